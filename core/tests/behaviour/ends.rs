//! Half close, STOP and CLOSE.

use crate::common::{Rig, Way::ToEdge, Way::ToPop, config, create, hello, millis, secs};
use crate::offers::lonely_edge;
use titan_core::endpoint::{CloseMode, Config};
use titan_proto::{Code, Frame, wire};

#[test]
fn the_clients_half_close_leaves_the_way_down_open() {
    let mut rig = Rig::new(config(), 1);
    let (pop, edge) = rig.connect();
    rig.send_up(pop, b"request");
    rig.pop.finish(rig.now, pop);
    rig.run();
    assert_eq!(rig.read_up(0, edge), b"request");
    assert!(
        rig.edges[0]
            .core
            .status(rig.now, edge)
            .unwrap()
            .recv_finished
    );
    rig.send_down(0, edge, b"response");
    assert_eq!(rig.read_down(pop), b"response");
    assert_eq!(rig.ended(pop), None);
    rig.edges[0].core.finish(rig.now, edge);
    rig.run();
    assert_eq!(rig.ended(pop), Some(Code::Ok));
    assert_eq!(rig.edge_ended(0, edge), Some(Code::Ok));
}

#[test]
fn the_targets_half_close_leaves_the_way_up_open() {
    let mut rig = Rig::new(config(), 1);
    let (pop, edge) = rig.connect();
    rig.send_down(0, edge, b"banner");
    rig.edges[0].core.finish(rig.now, edge);
    rig.run();
    assert!(!rig.pop.status(rig.now, pop).unwrap().recv_finished);
    assert_eq!(rig.read_down(pop), b"banner");
    assert!(rig.pop.status(rig.now, pop).unwrap().recv_finished);
    rig.send_up(pop, b"answer");
    assert_eq!(rig.read_up(0, edge), b"answer");
    rig.pop.finish(rig.now, pop);
    rig.run();
    assert_eq!(rig.ended(pop), Some(Code::Ok));
}

#[test]
fn a_clean_end_waits_for_the_last_byte_to_be_read() {
    let mut rig = Rig::new(config(), 1);
    let (pop, edge) = rig.connect();
    rig.pop.finish(rig.now, pop);
    rig.send_down(0, edge, b"tail");
    rig.edges[0].core.finish(rig.now, edge);
    rig.run();
    assert_eq!(rig.ended(pop), None);
    assert_eq!(rig.read_down(pop), b"tail");
    assert_eq!(rig.ended(pop), Some(Code::Ok));
}

#[test]
fn stop_ends_one_way_and_lets_the_other_go_on() {
    let mut rig = Rig::new(config(), 1);
    let (pop, edge) = rig.connect();
    rig.send_up(pop, b"unread");
    rig.edges[0].core.stop(rig.now, edge, Code::Reset);
    rig.run();
    let status = rig.pop.status(rig.now, pop).unwrap();
    assert!(status.send_stopped && status.send_room == 0);
    rig.send_up(pop, b"goes nowhere");
    assert_eq!(rig.data(ToEdge), b"unread");
    rig.send_down(0, edge, b"still here");
    assert_eq!(rig.read_down(pop), b"still here");
    rig.edges[0].core.finish(rig.now, edge);
    rig.run();
    assert_eq!(rig.ended(pop), Some(Code::Ok));
    assert_eq!(rig.edge_ended(0, edge), Some(Code::Ok));
}

#[test]
fn stop_drops_what_waits_for_credit() {
    let mut rig = Rig::new(
        Config {
            window_base: 1000,
            early_max: 1000,
            ..config()
        },
        1,
    );
    let (pop, edge) = rig.connect();
    rig.send_up(pop, &[1; 1500]);
    assert_eq!(rig.data(ToEdge).len(), 1000);
    rig.edges[0].core.stop(rig.now, edge, Code::Reset);
    rig.run();
    assert_eq!(rig.data(ToEdge).len(), 1000);
    assert_eq!(rig.pop.usage().session_bytes, 0);
}

#[test]
fn close_drain_delivers_what_was_numbered_before_it() {
    let mut rig = Rig::new(
        Config {
            window_base: 1000,
            early_max: 1000,
            ..config()
        },
        1,
    );
    let (pop, edge) = rig.connect();
    rig.send_down(0, edge, &[1; 1500]);
    rig.edges[0]
        .core
        .close(rig.now, edge, Code::Reset, CloseMode::Flush);
    rig.run();
    assert_eq!(rig.ended(pop), None, "bytes wait for credit");
    let mut got = rig.read_down(pop).len();
    got += rig.read_down(pop).len();
    assert_eq!(got, 1500);
    assert_eq!(rig.ended(pop), Some(Code::Reset));
    assert_eq!(rig.edges[0].core.usage().sessions, 0);
}

#[test]
fn close_drain_leaves_bytes_to_be_read_after_the_end() {
    let mut rig = Rig::new(config(), 1);
    let (pop, edge) = rig.connect();
    rig.send_down(0, edge, b"last words");
    rig.edges[0]
        .core
        .close(rig.now, edge, Code::Reset, CloseMode::Flush);
    rig.run();
    assert_eq!(rig.ended(pop), Some(Code::Reset));
    assert_eq!(rig.pop.status(rig.now, pop).unwrap().readable, 10);
    assert!(!rig.pop.status(rig.now, pop).unwrap().recv_finished);
    assert_eq!(rig.read_down(pop), b"last words");
}

#[test]
fn close_drain_after_half_close_is_still_a_drain() {
    let mut rig = Rig::new(config(), 1);
    let (pop, edge) = rig.connect();
    rig.send_up(pop, b"all of it");
    rig.pop.finish(rig.now, pop);
    rig.run();
    rig.pop.close(rig.now, pop, Code::Reset, CloseMode::Flush);
    rig.run();
    assert_eq!(rig.edge_ended(0, edge), Some(Code::Reset));
    assert_eq!(rig.read_up(0, edge), b"all of it");
}

#[test]
fn a_drain_that_finds_no_credit_ends_at_the_write_deadline() {
    let mut rig = Rig::new(
        Config {
            window_base: 1000,
            early_max: 1000,
            ..config()
        },
        1,
    );
    let (pop, edge) = rig.connect();
    rig.send_down(0, edge, &[1; 1500]);
    rig.edges[0]
        .core
        .close(rig.now, edge, Code::Reset, CloseMode::Flush);
    rig.wait(secs(30) - millis(1));
    assert_eq!(rig.ended(pop), None);
    rig.wait(millis(1));
    assert_eq!(rig.ended(pop), Some(Code::WriteTimeout));
    assert_eq!(rig.edges[0].core.usage().sessions, 0);
}

#[test]
fn bytes_left_by_a_drain_are_dropped_at_the_write_deadline() {
    let mut rig = Rig::new(config(), 1);
    let (pop, edge) = rig.connect();
    rig.send_down(0, edge, b"nobody reads this");
    rig.edges[0]
        .core
        .close(rig.now, edge, Code::Reset, CloseMode::Flush);
    rig.wait(secs(30) - millis(1));
    assert_eq!(rig.pop.status(rig.now, pop).unwrap().readable, 17);
    rig.wait(millis(1));
    assert_eq!(rig.pop.status(rig.now, pop).unwrap().readable, 0);
    assert_eq!(rig.pop.usage().session_bytes, 0);
}

#[test]
fn close_abort_drops_what_is_held() {
    let mut rig = Rig::new(config(), 1);
    let (pop, edge) = rig.connect();
    rig.send_down(0, edge, b"too late");
    rig.edges[0]
        .core
        .close(rig.now, edge, Code::QuotaExceeded, CloseMode::Abort);
    rig.run();
    assert_eq!(rig.ended(pop), Some(Code::QuotaExceeded));
    assert_eq!(rig.pop.status(rig.now, pop).unwrap().readable, 0);
    assert_eq!(rig.pop.usage().session_bytes, 0);
}

#[test]
fn frames_for_ended_sessions_are_counted_and_ignored() {
    let mut rig = Rig::new(config(), 1);
    let (pop, _) = rig.connect();
    rig.pop.close(rig.now, pop, Code::Ok, CloseMode::Abort);
    rig.run();
    let link = rig.link(0);
    let before = rig.pop.counters().frames_late;
    for frame in [
        Frame::Data {
            session: 1,
            data: bytes::Bytes::from_static(b"late"),
        },
        Frame::HalfClose {
            session: 1,
            final_offset: 77,
        },
        Frame::Stop {
            session: 1,
            code: 0,
        },
        Frame::Close {
            session: 1,
            close: wire::Close::default(),
        },
        Frame::Credit {
            session: 1,
            limit: u64::MAX,
        },
    ] {
        rig.inject(link, ToPop, frame);
    }
    assert_eq!(rig.pop.counters().frames_late, before + 5);
    assert_eq!(rig.tunnel_gone(), None);
}

#[test]
fn frames_above_the_highest_opened_session_end_the_tunnel() {
    let data = |session| Frame::Data {
        session,
        data: bytes::Bytes::from_static(b"x"),
    };
    let mut rig = Rig::new(config(), 1);
    rig.connect();
    let link = rig.link(0);
    rig.inject(link, ToPop, data(2));
    assert_eq!(rig.tunnel_gone(), Some(Code::Protocol));
    let mut rig = Rig::new(config(), 1);
    rig.connect();
    let link = rig.link(0);
    rig.inject(link, ToEdge, data(2));
    assert_eq!(rig.edges[0].core.counters().faults, 1);
}

#[test]
fn a_half_close_at_another_offset_than_the_bytes_ends_the_tunnel() {
    for final_offset in [0, 4, 6, u64::MAX] {
        let mut rig = Rig::new(config(), 1);
        let (_, edge) = rig.connect();
        rig.send_down(0, edge, b"bytes");
        let link = rig.link(0);
        let frame = Frame::HalfClose {
            session: 1,
            final_offset,
        };
        rig.inject(link, ToPop, frame);
        assert_eq!(rig.tunnel_gone(), Some(Code::Protocol), "{final_offset}");
    }
}

#[test]
fn bytes_after_a_half_close_end_the_tunnel() {
    let mut rig = Rig::new(config(), 1);
    let (_, edge) = rig.connect();
    rig.edges[0].core.finish(rig.now, edge);
    rig.run();
    let link = rig.link(0);
    let data = bytes::Bytes::from_static(b"x");
    rig.inject(link, ToPop, Frame::Data { session: 1, data });
    assert_eq!(rig.tunnel_gone(), Some(Code::Protocol));
}

#[test]
fn an_idle_session_ends_after_an_hour() {
    let mut rig = Rig::new(config(), 1);
    let (pop, edge) = rig.connect();
    rig.wait(secs(1800));
    rig.send_up(pop, b"awake");
    rig.read_up(0, edge);
    rig.wait(secs(3600) - millis(1));
    assert_eq!(rig.ended(pop), None);
    rig.wait(millis(1));
    assert_eq!(rig.ended(pop), Some(Code::IdleTimeout));
    assert_eq!(rig.edge_ended(0, edge), Some(Code::IdleTimeout));
}

#[test]
fn a_half_closed_idle_session_ends_after_five_minutes_on_either_side() {
    for by_client in [true, false] {
        let mut rig = Rig::new(config(), 1);
        let (pop, edge) = rig.connect();
        rig.wait(secs(20));
        if by_client {
            rig.pop.finish(rig.now, pop);
        } else {
            rig.edges[0].core.finish(rig.now, edge);
        }
        rig.wait(secs(300) - millis(1));
        assert_eq!(rig.ended(pop), None);
        assert_eq!(rig.edge_ended(0, edge), None);
        // Neither hears the other's verdict: each must watch for itself.
        let link = rig.link(0);
        rig.links[link].to_pop.held = true;
        rig.links[link].to_edge.held = true;
        rig.wait(millis(1));
        assert_eq!(rig.ended(pop), Some(Code::IdleTimeout), "{by_client}");
        assert_eq!(rig.edge_ended(0, edge), Some(Code::IdleTimeout));
    }
}

#[test]
fn an_edge_that_stopped_a_silent_client_ends_too() {
    let mut rig = Rig::new(config(), 1);
    let (pop, edge) = rig.connect();
    rig.edges[0].core.stop(rig.now, edge, Code::Reset);
    rig.wait(secs(300));
    assert_eq!(rig.ended(pop), Some(Code::IdleTimeout));
    assert_eq!(rig.edge_ended(0, edge), Some(Code::IdleTimeout));
}

#[test]
fn frames_that_carry_nothing_keep_no_session_alive() {
    let stop = Frame::Stop {
        session: 1,
        code: 0,
    };
    let data = bytes::Bytes::new();
    let empty = Frame::Data { session: 1, data };

    // A POP whose edge is played by the test.
    let mut rig = Rig::new(config(), 0);
    let link = rig.played_edge("node-0", hello(1, 1));
    let id = rig.open();
    let reply = wire::Reply::default();
    rig.inject(link, ToPop, Frame::Reply { session: 1, reply });
    rig.inject(link, ToPop, stop.clone());
    for _ in 0..30 {
        assert_eq!(rig.ended(id), None);
        rig.inject(link, ToPop, empty.clone());
        rig.inject(link, ToPop, stop.clone());
        rig.pop.release(rig.now, id, 0);
        rig.wait(secs(10));
    }
    assert_eq!(rig.ended(id), Some(Code::IdleTimeout));

    // And the other way round.
    let (mut rig, link) = lonely_edge(config());
    let create = create();
    rig.inject(link, ToEdge, Frame::Create { session: 1, create });
    let id = rig.edges[0].opened[0];
    rig.dialled(0, id, Ok(()));
    rig.edges[0].core.finish(rig.now, id);
    for _ in 0..30 {
        assert_eq!(rig.edge_ended(0, id), None);
        rig.inject(link, ToEdge, empty.clone());
        let core = &mut rig.edges[0].core;
        core.write(rig.now, id, bytes::Bytes::new());
        rig.wait(secs(10));
    }
    assert_eq!(rig.edge_ended(0, id), Some(Code::IdleTimeout));
}

#[test]
fn an_empty_write_is_no_life_either() {
    let mut rig = Rig::new(config(), 1);
    let (pop, edge) = rig.connect();
    rig.wait(secs(1800));
    rig.pop.write(rig.now, pop, bytes::Bytes::new());
    rig.pop.release(rig.now, pop, 0);
    let core = &mut rig.edges[0].core;
    core.write(rig.now, edge, bytes::Bytes::new());
    core.release(rig.now, edge, 0);
    rig.wait(secs(1800));
    assert_eq!(rig.ended(pop), Some(Code::IdleTimeout));
    assert_eq!(rig.edge_ended(0, edge), Some(Code::IdleTimeout));
}

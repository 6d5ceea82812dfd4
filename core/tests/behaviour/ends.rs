//! Half close, STOP and CLOSE.

use crate::common::{Way::ToEdge, Way::ToPop, World, config, create, hello, millis, secs};
use crate::offers::lonely_edge;
use titan_core::endpoint::{CloseMode, Config};
use titan_proto::{Code, Frame, wire};

#[test]
fn the_clients_half_close_leaves_the_way_down_open() {
    let mut world = World::new(config(), 1);
    let (pop, edge) = world.connect();
    world.send_up(pop, b"request");
    world.pop.finish(world.now, pop);
    world.run();
    assert_eq!(world.read_up(0, edge), b"request");
    assert!(
        world.edges[0]
            .core
            .status(world.now, edge)
            .unwrap()
            .recv_finished
    );
    world.send_down(0, edge, b"response");
    assert_eq!(world.read_down(pop), b"response");
    assert_eq!(world.ended(pop), None);
    world.edges[0].core.finish(world.now, edge);
    world.run();
    assert_eq!(world.ended(pop), Some(Code::Ok));
    assert_eq!(world.edge_ended(0, edge), Some(Code::Ok));
}

#[test]
fn the_targets_half_close_leaves_the_way_up_open() {
    let mut world = World::new(config(), 1);
    let (pop, edge) = world.connect();
    world.send_down(0, edge, b"banner");
    world.edges[0].core.finish(world.now, edge);
    world.run();
    assert!(!world.pop.status(world.now, pop).unwrap().recv_finished);
    assert_eq!(world.read_down(pop), b"banner");
    assert!(world.pop.status(world.now, pop).unwrap().recv_finished);
    world.send_up(pop, b"answer");
    assert_eq!(world.read_up(0, edge), b"answer");
    world.pop.finish(world.now, pop);
    world.run();
    assert_eq!(world.ended(pop), Some(Code::Ok));
}

#[test]
fn a_clean_end_waits_for_the_last_byte_to_be_read() {
    let mut world = World::new(config(), 1);
    let (pop, edge) = world.connect();
    world.pop.finish(world.now, pop);
    world.send_down(0, edge, b"tail");
    world.edges[0].core.finish(world.now, edge);
    world.run();
    assert_eq!(world.ended(pop), None);
    assert_eq!(world.read_down(pop), b"tail");
    assert_eq!(world.ended(pop), Some(Code::Ok));
}

#[test]
fn stop_ends_one_way_and_lets_the_other_go_on() {
    let mut world = World::new(config(), 1);
    let (pop, edge) = world.connect();
    world.send_up(pop, b"unread");
    world.edges[0].core.stop(world.now, edge, Code::Reset);
    world.run();
    let status = world.pop.status(world.now, pop).unwrap();
    assert!(status.send_stopped && status.send_room == 0);
    world.send_up(pop, b"goes nowhere");
    assert_eq!(world.data(ToEdge), b"unread");
    world.send_down(0, edge, b"still here");
    assert_eq!(world.read_down(pop), b"still here");
    world.edges[0].core.finish(world.now, edge);
    world.run();
    assert_eq!(world.ended(pop), Some(Code::Ok));
    assert_eq!(world.edge_ended(0, edge), Some(Code::Ok));
}

#[test]
fn stop_drops_what_waits_for_credit() {
    let mut world = World::new(
        Config {
            window_base: 1000,
            early_max: 1000,
            ..config()
        },
        1,
    );
    let (pop, edge) = world.connect();
    world.send_up(pop, &[1; 1500]);
    assert_eq!(world.data(ToEdge).len(), 1000);
    world.edges[0].core.stop(world.now, edge, Code::Reset);
    world.run();
    assert_eq!(world.data(ToEdge).len(), 1000);
    assert_eq!(world.pop.usage().session_bytes, 0);
}

#[test]
fn close_drain_delivers_what_was_numbered_before_it() {
    let mut world = World::new(
        Config {
            window_base: 1000,
            early_max: 1000,
            ..config()
        },
        1,
    );
    let (pop, edge) = world.connect();
    world.send_down(0, edge, &[1; 1500]);
    world.edges[0]
        .core
        .close(world.now, edge, Code::Reset, CloseMode::Flush);
    world.run();
    assert_eq!(world.ended(pop), None, "bytes wait for credit");
    let mut got = world.read_down(pop).len();
    got += world.read_down(pop).len();
    assert_eq!(got, 1500);
    assert_eq!(world.ended(pop), Some(Code::Reset));
    assert_eq!(world.edges[0].core.usage().sessions, 0);
}

#[test]
fn close_drain_leaves_bytes_to_be_read_after_the_end() {
    let mut world = World::new(config(), 1);
    let (pop, edge) = world.connect();
    world.send_down(0, edge, b"last words");
    world.edges[0]
        .core
        .close(world.now, edge, Code::Reset, CloseMode::Flush);
    world.run();
    assert_eq!(world.ended(pop), Some(Code::Reset));
    assert_eq!(world.pop.status(world.now, pop).unwrap().readable, 10);
    assert!(!world.pop.status(world.now, pop).unwrap().recv_finished);
    assert_eq!(world.read_down(pop), b"last words");
}

#[test]
fn close_drain_after_half_close_is_still_a_drain() {
    let mut world = World::new(config(), 1);
    let (pop, edge) = world.connect();
    world.send_up(pop, b"all of it");
    world.pop.finish(world.now, pop);
    world.run();
    world
        .pop
        .close(world.now, pop, Code::Reset, CloseMode::Flush);
    world.run();
    assert_eq!(world.edge_ended(0, edge), Some(Code::Reset));
    assert_eq!(world.read_up(0, edge), b"all of it");
}

#[test]
fn a_drain_that_finds_no_credit_ends_at_the_write_deadline() {
    let mut world = World::new(
        Config {
            window_base: 1000,
            early_max: 1000,
            ..config()
        },
        1,
    );
    let (pop, edge) = world.connect();
    world.send_down(0, edge, &[1; 1500]);
    world.edges[0]
        .core
        .close(world.now, edge, Code::Reset, CloseMode::Flush);
    world.wait(secs(30) - millis(1));
    assert_eq!(world.ended(pop), None);
    world.wait(millis(1));
    assert_eq!(world.ended(pop), Some(Code::WriteTimeout));
    assert_eq!(world.edges[0].core.usage().sessions, 0);
}

#[test]
fn bytes_left_by_a_drain_are_dropped_at_the_write_deadline() {
    let mut world = World::new(config(), 1);
    let (pop, edge) = world.connect();
    world.send_down(0, edge, b"nobody reads this");
    world.edges[0]
        .core
        .close(world.now, edge, Code::Reset, CloseMode::Flush);
    world.wait(secs(30) - millis(1));
    assert_eq!(world.pop.status(world.now, pop).unwrap().readable, 17);
    world.wait(millis(1));
    assert_eq!(world.pop.status(world.now, pop).unwrap().readable, 0);
    assert_eq!(world.pop.usage().session_bytes, 0);
}

#[test]
fn close_abort_drops_what_is_held() {
    let mut world = World::new(config(), 1);
    let (pop, edge) = world.connect();
    world.send_down(0, edge, b"too late");
    world.edges[0]
        .core
        .close(world.now, edge, Code::QuotaExceeded, CloseMode::Abort);
    world.run();
    assert_eq!(world.ended(pop), Some(Code::QuotaExceeded));
    assert_eq!(world.pop.status(world.now, pop).unwrap().readable, 0);
    assert_eq!(world.pop.usage().session_bytes, 0);
}

#[test]
fn frames_for_ended_sessions_are_counted_and_ignored() {
    let mut world = World::new(config(), 1);
    let (pop, _) = world.connect();
    world.pop.close(world.now, pop, Code::Ok, CloseMode::Abort);
    world.run();
    let link = world.link(0);
    let before = world.pop.counters().frames_late;
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
        world.inject(link, ToPop, frame);
    }
    assert_eq!(world.pop.counters().frames_late, before + 5);
    assert_eq!(world.tunnel_gone(), None);
}

#[test]
fn frames_above_the_highest_opened_session_end_the_tunnel() {
    let data = |session| Frame::Data {
        session,
        data: bytes::Bytes::from_static(b"x"),
    };
    let mut world = World::new(config(), 1);
    world.connect();
    let link = world.link(0);
    world.inject(link, ToPop, data(2));
    assert_eq!(world.tunnel_gone(), Some(Code::Protocol));
    let mut world = World::new(config(), 1);
    world.connect();
    let link = world.link(0);
    world.inject(link, ToEdge, data(2));
    assert_eq!(world.edges[0].core.counters().faults, 1);
}

#[test]
fn a_half_close_at_another_offset_than_the_bytes_ends_the_tunnel() {
    for final_offset in [0, 4, 6, u64::MAX] {
        let mut world = World::new(config(), 1);
        let (_, edge) = world.connect();
        world.send_down(0, edge, b"bytes");
        let link = world.link(0);
        let frame = Frame::HalfClose {
            session: 1,
            final_offset,
        };
        world.inject(link, ToPop, frame);
        assert_eq!(world.tunnel_gone(), Some(Code::Protocol), "{final_offset}");
    }
}

#[test]
fn bytes_after_a_half_close_end_the_tunnel() {
    let mut world = World::new(config(), 1);
    let (_, edge) = world.connect();
    world.edges[0].core.finish(world.now, edge);
    world.run();
    let link = world.link(0);
    let data = bytes::Bytes::from_static(b"x");
    world.inject(link, ToPop, Frame::Data { session: 1, data });
    assert_eq!(world.tunnel_gone(), Some(Code::Protocol));
}

#[test]
fn an_idle_session_ends_after_an_hour() {
    let mut world = World::new(config(), 1);
    let (pop, edge) = world.connect();
    world.wait(secs(1800));
    world.send_up(pop, b"awake");
    world.read_up(0, edge);
    world.wait(secs(3600) - millis(1));
    assert_eq!(world.ended(pop), None);
    world.wait(millis(1));
    assert_eq!(world.ended(pop), Some(Code::IdleTimeout));
    assert_eq!(world.edge_ended(0, edge), Some(Code::IdleTimeout));
}

#[test]
fn a_half_closed_idle_session_ends_after_five_minutes_on_either_side() {
    for by_client in [true, false] {
        let mut world = World::new(config(), 1);
        let (pop, edge) = world.connect();
        world.wait(secs(20));
        if by_client {
            world.pop.finish(world.now, pop);
        } else {
            world.edges[0].core.finish(world.now, edge);
        }
        world.wait(secs(300) - millis(1));
        assert_eq!(world.ended(pop), None);
        assert_eq!(world.edge_ended(0, edge), None);
        // Neither hears the other's verdict: each must watch for itself.
        let link = world.link(0);
        world.links[link].to_pop.held = true;
        world.links[link].to_edge.held = true;
        world.wait(millis(1));
        assert_eq!(world.ended(pop), Some(Code::IdleTimeout), "{by_client}");
        assert_eq!(world.edge_ended(0, edge), Some(Code::IdleTimeout));
    }
}

#[test]
fn an_edge_that_stopped_a_silent_client_ends_too() {
    let mut world = World::new(config(), 1);
    let (pop, edge) = world.connect();
    world.edges[0].core.stop(world.now, edge, Code::Reset);
    world.wait(secs(300));
    assert_eq!(world.ended(pop), Some(Code::IdleTimeout));
    assert_eq!(world.edge_ended(0, edge), Some(Code::IdleTimeout));
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
    let mut world = World::new(config(), 0);
    let link = world.played_edge("node-0", hello(1, 1));
    let id = world.open();
    let reply = wire::Reply::default();
    world.inject(link, ToPop, Frame::Reply { session: 1, reply });
    world.inject(link, ToPop, stop.clone());
    for _ in 0..30 {
        assert_eq!(world.ended(id), None);
        world.inject(link, ToPop, empty.clone());
        world.inject(link, ToPop, stop.clone());
        world.pop.release(world.now, id, 0);
        world.wait(secs(10));
    }
    assert_eq!(world.ended(id), Some(Code::IdleTimeout));

    // And the other way round.
    let (mut world, link) = lonely_edge(config());
    let create = create();
    world.inject(link, ToEdge, Frame::Create { session: 1, create });
    let id = world.edges[0].opened[0];
    world.dialled(0, id, Ok(()));
    world.edges[0].core.finish(world.now, id);
    for _ in 0..30 {
        assert_eq!(world.edge_ended(0, id), None);
        world.inject(link, ToEdge, empty.clone());
        let core = &mut world.edges[0].core;
        core.write(world.now, id, bytes::Bytes::new());
        world.wait(secs(10));
    }
    assert_eq!(world.edge_ended(0, id), Some(Code::IdleTimeout));
}

#[test]
fn an_empty_write_is_no_life_either() {
    let mut world = World::new(config(), 1);
    let (pop, edge) = world.connect();
    world.wait(secs(1800));
    world.pop.write(world.now, pop, bytes::Bytes::new());
    world.pop.release(world.now, pop, 0);
    let core = &mut world.edges[0].core;
    core.write(world.now, edge, bytes::Bytes::new());
    core.release(world.now, edge, 0);
    world.wait(secs(1800));
    assert_eq!(world.ended(pop), Some(Code::IdleTimeout));
    assert_eq!(world.edge_ended(0, edge), Some(Code::IdleTimeout));
}

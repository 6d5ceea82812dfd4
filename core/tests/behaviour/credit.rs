//! Credit, windows and their growth.

use crate::common::{Rig, Way::ToEdge, Way::ToPop, config, millis, secs};
use titan_core::endpoint::{CloseMode, Config};
use titan_proto::{Code, Frame, wire};

fn narrow() -> Config {
    Config {
        window_base: 1000,
        early_max: 1000,
        ..config()
    }
}

#[test]
fn exactly_the_granted_bytes_are_taken() {
    for (len, outcome) in [(1000, None), (1001, Some(Code::CreditExceeded))] {
        let mut rig = Rig::new(narrow(), 1);
        rig.connect();
        let link = rig.link(0);
        let data = bytes::Bytes::from(vec![1; len]);
        rig.inject(link, ToPop, Frame::Data { session: 1, data });
        assert_eq!(rig.tunnel_gone(), outcome, "{len}");
    }
}

#[test]
fn exactly_the_early_window_is_taken_by_an_edge() {
    for (len, faults) in [(1000, 0), (1001, 1)] {
        let mut rig = Rig::new(narrow(), 1);
        rig.open();
        let link = rig.link(0);
        let data = bytes::Bytes::from(vec![1; len]);
        rig.inject(link, ToEdge, Frame::Data { session: 1, data });
        assert_eq!(rig.edges[0].core.counters().faults, faults, "{len}");
    }
}

#[test]
fn a_sender_stops_at_its_credit_and_goes_on_when_bytes_left() {
    let mut rig = Rig::new(narrow(), 1);
    let (pop, edge) = rig.connect();
    rig.send_down(0, edge, &[1; 2500]);
    assert_eq!(rig.data(ToPop).len(), 1000);
    rig.pop.release(rig.now, pop, 249);
    rig.run();
    assert_eq!(rig.data(ToPop).len(), 1000, "too little for a frame");
    rig.pop.release(rig.now, pop, 1);
    rig.run();
    assert_eq!(rig.data(ToPop).len(), 1250);
    rig.read_down(pop);
    rig.read_down(pop);
    assert_eq!(rig.data(ToPop).len(), 2500);
}

#[test]
fn an_older_credit_takes_nothing_back() {
    let mut rig = Rig::new(narrow(), 1);
    let (_, edge) = rig.connect();
    let link = rig.link(0);
    for limit in [0, 999, 1, u64::MAX, 5] {
        rig.inject(link, ToEdge, Frame::Credit { session: 1, limit });
    }
    assert_eq!(rig.edges[0].core.counters().faults, 0);
    let room = rig.edges[0].core.status(rig.now, edge).unwrap().send_room;
    assert_eq!(room, rig.config.send_queue_max);
}

#[test]
fn endless_credit_in_create_and_reply_is_harmless() {
    let mut rig = Rig::new(narrow(), 1);
    rig.rewrite = Some(Box::new(|_, frame| match frame {
        Frame::Create { create, .. } => create.download_limit = u64::MAX,
        Frame::Reply { reply, .. } => reply.upload_limit = u64::MAX,
        _ => {}
    }));
    let (pop, edge) = rig.connect();
    let queue = rig.config.send_queue_max;
    assert_eq!(rig.pop.status(rig.now, pop).unwrap().send_room, queue);
    assert_eq!(
        rig.edges[0].core.status(rig.now, edge).unwrap().send_room,
        queue
    );
}

#[test]
fn a_driver_without_room_is_woken_when_there_is_some() {
    let mut rig = Rig::new(narrow(), 1);
    let (pop, edge) = rig.connect();
    rig.send_down(0, edge, &[1; 1000]);
    assert_eq!(
        rig.edges[0].core.status(rig.now, edge).unwrap().send_room,
        0
    );
    while rig.edges[0].core.poll_woken().is_some() {}
    rig.pop.release(rig.now, pop, 1000);
    let mut batch = titan_core::endpoint::Batch::new(64 << 10);
    let link = rig.link(0);
    let (at_pop, at_edge) = (rig.links[link].pop, rig.links[link].at_edge);
    let now = rig.now;
    rig.pop.poll_transmit(now, at_pop.unwrap(), &mut batch);
    for item in batch.drain() {
        if let titan_core::endpoint::Item::Frame(frame) = item {
            let message = crate::common::message(frame.kind, frame.session, &frame.payload);
            rig.edges[0]
                .core
                .handle_message(now, at_edge.unwrap(), &message);
        }
    }
    assert_eq!(rig.edges[0].core.poll_woken(), Some(edge));
    rig.run();
}

/// The client takes `windows` windows, each `pace` after it was sent.
fn windows_after(config: Config, windows: u32, pace: titan_core::time::Duration) -> (Rig, u64) {
    let mut rig = Rig::new(config, 1);
    let (pop, edge) = rig.connect();
    for _ in 0..windows {
        rig.wait(pace);
        for _ in 0..20 {
            let room = rig.edges[0].core.status(rig.now, edge).unwrap().send_room;
            if room == 0 {
                break;
            }
            // Everything is taken within the turn: the client is no brake.
            let bytes = bytes::Bytes::from(vec![1; room]);
            rig.edges[0].core.write(rig.now, edge, bytes);
            rig.take_in_turn(pop);
            // CREDIT waits: the window has to be used up first.
        }
        rig.run();
    }
    let growth = rig.pop.usage().growth_bytes;
    (rig, growth)
}

#[test]
fn a_window_that_is_used_up_at_once_doubles() {
    let (rig, growth) = windows_after(config(), 2, millis(1));
    assert!(growth >= rig.config.window_base, "{growth}");
}

#[test]
fn a_window_that_lasts_longer_than_two_round_trips_stays() {
    let (_, growth) = windows_after(config(), 6, millis(100));
    assert_eq!(growth, 0);
}

#[test]
fn a_window_stays_when_the_far_socket_is_the_brake() {
    let mut rig = Rig::new(config(), 1);
    let (pop, edge) = rig.connect();
    for _ in 0..8 {
        let room = rig.edges[0].core.status(rig.now, edge).unwrap().send_room;
        // The rig settles before the client reads: something always waits.
        rig.send_down(0, edge, &vec![1; room]);
        rig.read_down(pop);
    }
    assert_eq!(rig.pop.usage().growth_bytes, 0);
}

#[test]
fn growth_ends_at_the_largest_window_and_at_the_pool() {
    let limit = Config {
        window_max: 512 << 10,
        ..config()
    };
    let (rig, growth) = windows_after(limit, 10, millis(1));
    assert_eq!(growth, rig.config.window_max - rig.config.window_base);
    let poor = Config {
        memory_budget: 4 << 20,
        ..config()
    };
    let (rig, growth) = windows_after(poor, 20, millis(1));
    assert!(growth > 0 && growth <= rig.config.memory_budget / 4);
}

#[test]
fn growth_returns_to_the_pool_when_the_session_ends() {
    let (mut rig, growth) = windows_after(config(), 3, millis(1));
    assert!(growth > 0);
    let id = rig.pop_sessions[0];
    rig.pop.close(rig.now, id, Code::Ok, CloseMode::Abort);
    assert_eq!(rig.pop.usage().growth_bytes, growth, "CLOSE is due");
    rig.run();
    assert_eq!(rig.pop.usage().growth_bytes, 0);
}

#[test]
fn growth_returns_to_the_pool_when_the_session_rests() {
    let (mut rig, growth) = windows_after(config(), 3, millis(1));
    assert!(growth > 0);
    rig.wait(secs(30) - millis(1));
    assert_eq!(rig.pop.usage().growth_bytes, growth);
    rig.wait(millis(1));
    assert_eq!(rig.pop.usage().growth_bytes, 0);
    assert_eq!(rig.ended(rig.pop_sessions[0]), None);
}

#[test]
fn a_reply_with_less_than_the_early_window_takes_nothing_back() {
    let mut rig = Rig::new(narrow(), 1);
    rig.rewrite = Some(Box::new(|_, frame| {
        if let Frame::Reply { reply, .. } = frame {
            reply.upload_limit = 0;
        }
    }));
    let id = rig.open();
    rig.send_up(id, &[1; 600]);
    rig.answer(Ok(()));
    assert_eq!(rig.pop.status(rig.now, id).unwrap().send_room, 400);
    let _: wire::Reply = rig.pop.reply(id).unwrap().clone();
}

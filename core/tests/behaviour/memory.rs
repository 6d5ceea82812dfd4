//! What is held, what is refused and who goes when too much is held.

use crate::common::{Rig, Way::ToEdge, config, create, demand, millis, secs};
use titan_core::endpoint::{CloseMode, Config, MemoryLevel, Open, SessionId, Whose};
use titan_proto::{Code, Frame};

const BUDGET: u64 = 1_000_000;

fn poor() -> Config {
    Config {
        memory_budget: BUDGET,
        ..config()
    }
}

/// A POP with a small budget and a rich edge.
fn poor_pop(config: Config) -> Rig {
    let mut rig = Rig::new(config, 0);
    rig.config = crate::common::config();
    rig.add_edge("node-0");
    rig
}

/// Opens sessions of the given users.
fn several<const N: usize>(rig: &mut Rig, users: [u32; N]) -> [(SessionId, SessionId); N] {
    users.map(|group| rig.connect_with(Open { group, ..demand() }))
}

/// Lets the client of a session leave `len` bytes unread.
fn fill(rig: &mut Rig, (_, edge): (SessionId, SessionId), len: usize) {
    let mut left = len;
    while left > 0 {
        let status = rig.edges[0].core.status(rig.now, edge).unwrap();
        let room = status.send_room.min(left);
        assert!(room > 0, "a window holds {len}: {status:?}");
        rig.send_down(0, edge, &vec![1; room]);
        left -= room;
    }
}

#[test]
fn sessions_are_refused_from_four_fifths_of_the_budget() {
    let mut rig = poor_pop(poor());
    let ids = several(&mut rig, [1, 2, 3, 4]);
    for id in &ids[..3] {
        fill(&mut rig, *id, 250_000);
    }
    while rig.pop.usage().session_bytes < BUDGET * 4 / 5 {
        assert!(rig.pop.memory_level() < MemoryLevel::Refusing);
        fill(&mut rig, ids[3], 1000);
    }
    assert_eq!(rig.pop.memory_level(), MemoryLevel::Refusing);
    assert_eq!(rig.pop.open(rig.now, demand()), Err(Code::Overloaded));
    rig.read_down(ids[3].0);
    assert!(rig.pop.memory_level() < MemoryLevel::Refusing);
    let other = Open {
        group: 4,
        ..demand()
    };
    assert!(rig.pop.open(rig.now, other).is_ok());
}

#[test]
fn an_edge_short_of_memory_refuses_and_the_pop_goes_elsewhere() {
    let mut rig = Rig::new(config(), 2);
    let id = rig.open();
    let full = usize::from(rig.edges[0].opened.is_empty());
    // Nothing but this CREATE is at stake: the edge plays the overloaded one.
    rig.answer(Err(Code::Overloaded));
    assert_eq!(rig.answer(Ok(())), 1 - full);
    assert_eq!(rig.ended(id), None);
}

#[test]
fn an_edge_at_four_fifths_of_its_budget_replies_overloaded() {
    let mut rig = Rig::new(
        Config {
            memory_budget: 300_000,
            send_queue_max: 1 << 20,
            ..config()
        },
        0,
    );
    rig.add_offline("node-0");
    let link = rig.raw_pop(0);
    rig.inject(link, ToEdge, Frame::Hello(crate::common::welcome()));
    let frame = |session| Frame::Create {
        session,
        create: create(),
    };
    rig.inject(link, ToEdge, frame(1));
    let session = rig.edges[0].opened.pop().unwrap();
    rig.dialled(0, session, Ok(()));
    for _ in 0..4 {
        let data = bytes::Bytes::from(vec![1; 61_000]);
        rig.inject(link, ToEdge, Frame::Data { session: 1, data });
    }
    assert_eq!(rig.edges[0].core.memory_level(), MemoryLevel::Refusing);
    rig.wire.clear();
    rig.inject(link, ToEdge, frame(2));
    assert!(rig.edges[0].opened.is_empty());
    let replies: Vec<_> = rig
        .wire
        .iter()
        .filter_map(|seen| match &seen.frame {
            Frame::Reply { reply, .. } => Some(Code::from_wire(reply.code)),
            _ => None,
        })
        .collect();
    assert_eq!(replies, [Code::Overloaded]);
}

#[test]
fn shedding_takes_the_largest_that_stalled_and_spares_the_lively() {
    let mut rig = poor_pop(poor());
    let ids = several(&mut rig, [1, 2, 3, 4, 5]);
    for (id, len) in ids.into_iter().zip([250_000, 100_000, 250_000, 100_000]) {
        fill(&mut rig, id, len);
    }
    rig.wait(secs(4));
    rig.pop.release(rig.now, ids[0].0, 64 << 10);
    while rig.pop.memory_level() < MemoryLevel::Refusing {
        fill(&mut rig, ids[4], 1000);
    }
    assert_eq!(rig.pop.counters().shed, 0);
    rig.wait(secs(2));
    let ended = ids.map(|(id, _)| rig.ended(id));
    assert_eq!(ended, [None, None, Some(Code::Memory), None, None]);
    assert_eq!(rig.edge_ended(0, ids[2].1), Some(Code::Memory));
    assert!(rig.pop.memory_level() < MemoryLevel::Refusing);
}

#[test]
fn one_byte_now_and_then_is_no_progress() {
    let mut rig = poor_pop(poor());
    let ids = several(&mut rig, [1, 2, 3, 4]);
    for (id, len) in ids.into_iter().zip([250_000, 240_000, 230_000, 100_000]) {
        fill(&mut rig, id, len);
    }
    assert_eq!(rig.pop.memory_level(), MemoryLevel::Refusing);
    for _ in 0..8 {
        rig.wait(secs(1));
        for (id, _) in ids {
            rig.pop.release(rig.now, id, 1);
        }
    }
    assert!(rig.pop.counters().shed > 0);
    assert!(rig.pop.memory_level() < MemoryLevel::Refusing);
}

#[test]
fn a_full_budget_resets_nobody_at_once_and_refunds_everything() {
    let mut rig = poor_pop(poor());
    let ids = several(&mut rig, [1, 2, 3, 4, 5]);
    for (id, len) in ids.into_iter().zip([200_000, 250_000, 210_000, 220_000]) {
        fill(&mut rig, id, len);
    }
    while rig.pop.memory_level() < MemoryLevel::Full {
        fill(&mut rig, ids[4], 10_000);
    }
    assert_eq!(rig.pop.counters().shed, 0);
    rig.wait(secs(7));
    assert!(rig.pop.counters().shed > 0);
    assert!(rig.pop.memory_level() < MemoryLevel::Refusing);
    for (pop, edge) in ids {
        rig.pop.close(rig.now, pop, Code::Ok, CloseMode::Abort);
        rig.run();
        let core = &mut rig.edges[0].core;
        core.close(rig.now, edge, Code::Ok, CloseMode::Abort);
    }
    rig.wait(secs(2));
    for usage in [rig.pop.usage(), rig.edges[0].core.usage()] {
        assert_eq!((usage.sessions, usage.session_bytes), (0, 0));
        assert_eq!(
            (usage.resend_bytes, usage.timers),
            (0, 1),
            "no pressure, no timer"
        );
    }
}

#[test]
fn a_user_beyond_its_share_opens_nothing_and_loses_what_stands_still() {
    let mut rig = poor_pop(poor());
    let ids = several(&mut rig, [1, 2, 1, 1]);
    for (id, len) in ids.into_iter().zip([80_000, 80_000, 250_000, 120_000]) {
        fill(&mut rig, id, len);
    }
    assert_eq!(rig.pop.memory_level(), MemoryLevel::Normal);
    assert_eq!(rig.pop.open(rig.now, demand()), Err(Code::Overloaded));
    assert_eq!(rig.pop.short_of_memory(1), Some(Whose::User));
    assert_eq!(rig.pop.short_of_memory(2), None);
    rig.wait(secs(7));
    assert_eq!(rig.pop.counters().shed, 1);
    let ended = ids.map(|(id, _)| rig.ended(id));
    assert_eq!(ended, [None, None, Some(Code::Memory), None]);
    assert_eq!(rig.pop.short_of_memory(1), None);
}

#[test]
fn a_users_share_is_not_paid_by_a_session_that_only_sends() {
    let mut rig = poor_pop(Config {
        early_max: 1000,
        ..poor()
    });
    let ids = several(&mut rig, [1, 1, 1]);
    rig.links[0].to_edge.blocked = true;
    // Much waits to be sent, nothing for the client's socket.
    let bytes = bytes::Bytes::from(vec![1; 250_000]);
    rig.pop.write(rig.now, ids[0].0, bytes);
    fill(&mut rig, ids[1], 100_000);
    fill(&mut rig, ids[2], 60_000);
    rig.wait(secs(7));
    let ended = ids.map(|(id, _)| rig.ended(id));
    assert_eq!(ended, [None, Some(Code::Memory), None]);
}

#[test]
fn a_peer_that_withholds_acknowledgement_under_pressure_is_cut_off() {
    let mut rig = poor_pop(poor());
    let ids = several(&mut rig, [1, 2, 3, 4]);
    for id in &ids[..3] {
        fill(&mut rig, *id, 240_000);
    }
    rig.rewrite = Some(Box::new(|way, frame| {
        if let Frame::Ack { received } = frame
            && way == crate::common::Way::ToPop
        {
            *received = 0;
        }
    }));
    rig.send_up(ids[3].0, &vec![1; 150_000]);
    assert!(rig.pop.memory_level() >= MemoryLevel::Refusing);
    let resend = rig.pop.usage().resend_bytes;
    assert!(resend > 64 << 10 && resend < 150_000, "{resend}");
    rig.wait(secs(15) - millis(1));
    assert_eq!(rig.tunnel_gone(), None);
    rig.wait(millis(1));
    assert_eq!(rig.tunnel_gone(), Some(Code::AckWithheld));
    assert_eq!(rig.pop.usage().resend_bytes, 0);
}

#[test]
fn windows_are_small_under_pressure() {
    let mut rig = poor_pop(poor());
    let ids = several(&mut rig, [1, 2, 3, 4, 5]);
    for id in &ids[..3] {
        fill(&mut rig, *id, 250_000);
    }
    fill(&mut rig, ids[3], 60_000);
    assert_eq!(rig.pop.memory_level(), MemoryLevel::Refusing);
    fill(&mut rig, ids[4], 1000);
    rig.read_down(ids[4].0);
    // What was granted stays granted; nothing is added until it is used up.
    let room = rig.edges[0]
        .core
        .status(rig.now, ids[4].1)
        .unwrap()
        .send_room;
    assert_eq!(room as u64, rig.config.window_base - 1000);
    for _ in 0..4 {
        fill(&mut rig, ids[4], 60_000);
        rig.read_down(ids[4].0);
    }
    let room = rig.edges[0]
        .core
        .status(rig.now, ids[4].1)
        .unwrap()
        .send_room;
    assert!((48 << 10..=64 << 10).contains(&room), "{room}");
}

#[test]
fn data_that_waits_for_the_resend_pool_leaves_as_soon_as_there_is_some() {
    let mut rig = poor_pop(poor());
    rig.add_edge("node-1");
    let mut on = std::collections::BTreeMap::new();
    while on.len() < 2 {
        let id = rig.open();
        on.insert(rig.answer(Ok(())), id);
    }
    // No acknowledgement comes to the rescue.
    for edge in [0, 1] {
        let link = rig.link(edge);
        rig.links[link].to_pop.held = true;
    }
    for id in [on[&0], on[&1]] {
        rig.send_up(id, &vec![1; 100_000]);
    }
    let sent = rig.data(ToEdge).len();
    assert!((120_000..140_000).contains(&sent), "{sent}");
    let link = rig.link(0);
    rig.links[link].to_pop.held = false;
    rig.wait(millis(20));
    assert_eq!(rig.data(ToEdge).len(), 200_000);
}

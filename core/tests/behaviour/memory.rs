//! What is held, what is refused and who goes when too much is held.

use crate::common::{Way::ToEdge, World, config, create, demand, millis, secs};
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
fn poor_pop(config: Config) -> World {
    let mut world = World::new(config, 0);
    world.config = crate::common::config();
    world.add_edge("node-0");
    world
}

/// Opens sessions of the given users.
fn several<const N: usize>(world: &mut World, users: [u32; N]) -> [(SessionId, SessionId); N] {
    users.map(|group| world.connect_with(Open { group, ..demand() }))
}

/// Lets the client of a session leave `len` bytes unread.
fn fill(world: &mut World, (_, edge): (SessionId, SessionId), len: usize) {
    let mut left = len;
    while left > 0 {
        let status = world.edges[0].core.status(world.now, edge).unwrap();
        let room = status.send_room.min(left);
        assert!(room > 0, "a window holds {len}: {status:?}");
        world.send_down(0, edge, &vec![1; room]);
        left -= room;
    }
}

#[test]
fn sessions_are_refused_from_four_fifths_of_the_budget() {
    let mut world = poor_pop(poor());
    let ids = several(&mut world, [1, 2, 3, 4]);
    for id in &ids[..3] {
        fill(&mut world, *id, 250_000);
    }
    while world.pop.usage().session_bytes < BUDGET * 4 / 5 {
        assert!(world.pop.memory_level() < MemoryLevel::Refusing);
        fill(&mut world, ids[3], 1000);
    }
    assert_eq!(world.pop.memory_level(), MemoryLevel::Refusing);
    assert_eq!(world.pop.open(world.now, demand()), Err(Code::Overloaded));
    world.read_down(ids[3].0);
    assert!(world.pop.memory_level() < MemoryLevel::Refusing);
    let other = Open {
        group: 4,
        ..demand()
    };
    assert!(world.pop.open(world.now, other).is_ok());
}

#[test]
fn an_edge_short_of_memory_refuses_and_the_pop_goes_elsewhere() {
    let mut world = World::new(config(), 2);
    let id = world.open();
    let full = usize::from(world.edges[0].opened.is_empty());
    // Nothing but this CREATE is at stake: the edge plays the overloaded one.
    world.answer(Err(Code::Overloaded));
    assert_eq!(world.answer(Ok(())), 1 - full);
    assert_eq!(world.ended(id), None);
}

#[test]
fn an_edge_at_four_fifths_of_its_budget_replies_overloaded() {
    let mut world = World::new(
        Config {
            memory_budget: 300_000,
            send_queue_max: 1 << 20,
            ..config()
        },
        0,
    );
    world.add_offline("node-0");
    let link = world.raw_pop(0);
    world.inject(link, ToEdge, Frame::Hello(crate::common::welcome()));
    let frame = |session| Frame::Create {
        session,
        create: create(),
    };
    world.inject(link, ToEdge, frame(1));
    let session = world.edges[0].opened.pop().unwrap();
    world.dialled(0, session, Ok(()));
    for _ in 0..4 {
        let data = bytes::Bytes::from(vec![1; 61_000]);
        world.inject(link, ToEdge, Frame::Data { session: 1, data });
    }
    assert_eq!(world.edges[0].core.memory_level(), MemoryLevel::Refusing);
    world.wire.clear();
    world.inject(link, ToEdge, frame(2));
    assert!(world.edges[0].opened.is_empty());
    let replies: Vec<_> = world
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
    let mut world = poor_pop(poor());
    let ids = several(&mut world, [1, 2, 3, 4, 5]);
    for (id, len) in ids.into_iter().zip([250_000, 100_000, 250_000, 100_000]) {
        fill(&mut world, id, len);
    }
    world.wait(secs(4));
    world.pop.release(world.now, ids[0].0, 64 << 10);
    while world.pop.memory_level() < MemoryLevel::Refusing {
        fill(&mut world, ids[4], 1000);
    }
    assert_eq!(world.pop.counters().shed, 0);
    world.wait(secs(2));
    let ended = ids.map(|(id, _)| world.ended(id));
    assert_eq!(ended, [None, None, Some(Code::Memory), None, None]);
    assert_eq!(world.edge_ended(0, ids[2].1), Some(Code::Memory));
    assert!(world.pop.memory_level() < MemoryLevel::Refusing);
}

#[test]
fn one_byte_now_and_then_is_no_progress() {
    let mut world = poor_pop(poor());
    let ids = several(&mut world, [1, 2, 3, 4]);
    for (id, len) in ids.into_iter().zip([250_000, 240_000, 230_000, 100_000]) {
        fill(&mut world, id, len);
    }
    assert_eq!(world.pop.memory_level(), MemoryLevel::Refusing);
    for _ in 0..8 {
        world.wait(secs(1));
        for (id, _) in ids {
            world.pop.release(world.now, id, 1);
        }
    }
    assert!(world.pop.counters().shed > 0);
    assert!(world.pop.memory_level() < MemoryLevel::Refusing);
}

#[test]
fn a_full_budget_resets_nobody_at_once_and_refunds_everything() {
    let mut world = poor_pop(poor());
    let ids = several(&mut world, [1, 2, 3, 4, 5]);
    for (id, len) in ids.into_iter().zip([200_000, 250_000, 210_000, 220_000]) {
        fill(&mut world, id, len);
    }
    while world.pop.memory_level() < MemoryLevel::Full {
        fill(&mut world, ids[4], 10_000);
    }
    assert_eq!(world.pop.counters().shed, 0);
    world.wait(secs(7));
    assert!(world.pop.counters().shed > 0);
    assert!(world.pop.memory_level() < MemoryLevel::Refusing);
    for (pop, edge) in ids {
        world.pop.close(world.now, pop, Code::Ok, CloseMode::Abort);
        world.run();
        let core = &mut world.edges[0].core;
        core.close(world.now, edge, Code::Ok, CloseMode::Abort);
    }
    world.wait(secs(2));
    for usage in [world.pop.usage(), world.edges[0].core.usage()] {
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
    let mut world = poor_pop(poor());
    let ids = several(&mut world, [1, 2, 1, 1]);
    for (id, len) in ids.into_iter().zip([80_000, 80_000, 250_000, 120_000]) {
        fill(&mut world, id, len);
    }
    assert_eq!(world.pop.memory_level(), MemoryLevel::Normal);
    assert_eq!(world.pop.open(world.now, demand()), Err(Code::Overloaded));
    assert_eq!(world.pop.short_of_memory(1), Some(Whose::User));
    assert_eq!(world.pop.short_of_memory(2), None);
    world.wait(secs(7));
    assert_eq!(world.pop.counters().shed, 1);
    let ended = ids.map(|(id, _)| world.ended(id));
    assert_eq!(ended, [None, None, Some(Code::Memory), None]);
    assert_eq!(world.pop.short_of_memory(1), None);
}

#[test]
fn a_users_share_is_not_paid_by_a_session_that_only_sends() {
    let mut world = poor_pop(Config {
        early_max: 1000,
        ..poor()
    });
    let ids = several(&mut world, [1, 1, 1]);
    world.links[0].to_edge.blocked = true;
    // Much waits to be sent, nothing for the client's socket.
    let bytes = bytes::Bytes::from(vec![1; 250_000]);
    world.pop.write(world.now, ids[0].0, bytes);
    fill(&mut world, ids[1], 100_000);
    fill(&mut world, ids[2], 60_000);
    world.wait(secs(7));
    let ended = ids.map(|(id, _)| world.ended(id));
    assert_eq!(ended, [None, Some(Code::Memory), None]);
}

#[test]
fn a_peer_that_withholds_acknowledgement_under_pressure_is_cut_off() {
    let mut world = poor_pop(poor());
    let ids = several(&mut world, [1, 2, 3, 4]);
    for id in &ids[..3] {
        fill(&mut world, *id, 240_000);
    }
    world.rewrite = Some(Box::new(|way, frame| {
        if let Frame::Ack { received } = frame
            && way == crate::common::Way::ToPop
        {
            *received = 0;
        }
    }));
    world.send_up(ids[3].0, &vec![1; 150_000]);
    assert!(world.pop.memory_level() >= MemoryLevel::Refusing);
    let resend = world.pop.usage().resend_bytes;
    assert!(resend > 64 << 10 && resend < 150_000, "{resend}");
    world.wait(secs(15) - millis(1));
    assert_eq!(world.tunnel_gone(), None);
    world.wait(millis(1));
    assert_eq!(world.tunnel_gone(), Some(Code::AckWithheld));
    assert_eq!(world.pop.usage().resend_bytes, 0);
}

#[test]
fn windows_are_small_under_pressure() {
    let mut world = poor_pop(poor());
    let ids = several(&mut world, [1, 2, 3, 4, 5]);
    for id in &ids[..3] {
        fill(&mut world, *id, 250_000);
    }
    fill(&mut world, ids[3], 60_000);
    assert_eq!(world.pop.memory_level(), MemoryLevel::Refusing);
    fill(&mut world, ids[4], 1000);
    world.read_down(ids[4].0);
    // What was granted stays granted; nothing is added until it is used up.
    let room = world.edges[0]
        .core
        .status(world.now, ids[4].1)
        .unwrap()
        .send_room;
    assert_eq!(room as u64, world.config.window_base - 1000);
    for _ in 0..4 {
        fill(&mut world, ids[4], 60_000);
        world.read_down(ids[4].0);
    }
    let room = world.edges[0]
        .core
        .status(world.now, ids[4].1)
        .unwrap()
        .send_room;
    assert!((48 << 10..=64 << 10).contains(&room), "{room}");
}

#[test]
fn data_that_waits_for_the_resend_pool_leaves_as_soon_as_there_is_some() {
    let mut world = poor_pop(poor());
    world.add_edge("node-1");
    let mut on = std::collections::BTreeMap::new();
    while on.len() < 2 {
        let id = world.open();
        on.insert(world.answer(Ok(())), id);
    }
    // No acknowledgement comes to the rescue.
    for edge in [0, 1] {
        let link = world.link(edge);
        world.links[link].to_pop.held = true;
    }
    for id in [on[&0], on[&1]] {
        world.send_up(id, &vec![1; 100_000]);
    }
    let sent = world.data(ToEdge).len();
    assert!((120_000..140_000).contains(&sent), "{sent}");
    let link = world.link(0);
    world.links[link].to_pop.held = false;
    world.wait(millis(20));
    assert_eq!(world.data(ToEdge).len(), 200_000);
}

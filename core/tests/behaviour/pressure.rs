//! What is pinned, shared out and let go when memory is short: nobody who takes part honestly pays.

use crate::common::{Way::ToEdge, Way::ToPop, World, config, demand, encode, hello, millis, secs};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use titan_core::endpoint::{Batch, CloseMode, Config, MemoryLevel, Open, SessionId};
use titan_proto::{Code, Frame, wire};

/// A block of memory that tells whether anything still points into it.
struct Block {
    bytes: Vec<u8>,
    _alive: Arc<()>,
}

impl AsRef<[u8]> for Block {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

fn block(bytes: Vec<u8>) -> (Bytes, Arc<()>) {
    let alive = Arc::new(());
    let _alive = Arc::clone(&alive);
    (Bytes::from_owner(Block { bytes, _alive }), alive)
}

#[test]
fn a_reply_pins_no_read_block() {
    let mut world = World::new(config(), 1);
    let id = world.open();
    let reply = wire::Reply {
        code: 0,
        addresses: vec![Bytes::from_static(&[10, 0, 0, 1])],
        upload_limit: 256 << 10,
        ..wire::Reply::default()
    };
    let message = encode(Frame::Reply { session: 1, reply });
    let mut bytes = vec![0; 288 << 10];
    bytes[..message.len()].copy_from_slice(&message);
    let (block, alive) = block(bytes);
    let slice = block.slice(..message.len());
    drop(block);
    let link = world.link(0);
    let carrier = world.links[link].pop.unwrap();
    world.pop.handle_message(world.now, carrier, &slice);
    drop(slice);
    world.pop.settle(world.now);
    assert_eq!(world.ended(id), None);
    let reply = world.pop.reply(id).unwrap();
    assert_eq!(*reply.addresses[0], [10, 0, 0, 1]);
    assert_eq!(world.pop.usage().session_bytes, 0);
    assert_eq!(Arc::strong_count(&alive), 1, "nothing else is pinned");
}

#[test]
fn a_rest_is_charged_for_what_it_pins() {
    let mut world = World::new(config(), 0);
    let link = world.raw_edge("node-0");
    let mut greeting = hello(1, 1);
    greeting.limits.as_mut().unwrap().data_max = 1 << 10;
    world.inject(link, ToPop, Frame::Hello(greeting));
    world.inject(link, ToPop, Frame::Ack { received: 0 });
    let id = world.open();
    let reply = wire::Reply {
        upload_limit: 64 << 10,
        ..wire::Reply::default()
    };
    world.inject(link, ToPop, Frame::Reply { session: 1, reply });
    let (block, alive) = block(vec![1; 64 << 10]);
    // The peer takes frames of 1 KiB, and its carrier stops before the last.
    world.batch = 1 << 10;
    world.pop.write(world.now, id, block);
    let carrier = world.links[link].pop.unwrap();
    let mut batch = Batch::new(60 << 10);
    while world.pop.poll_ready().is_some() {}
    world.pop.poll_transmit(world.now, carrier, &mut batch);
    drop(batch);
    for received in 1.. {
        let ack = encode(Frame::Ack { received });
        world.pop.handle_message(world.now, carrier, &ack);
        assert_eq!(world.pop.usage().tunnels, 1, "{received}");
        if world.pop.usage().resend_bytes == 0 {
            break;
        }
    }
    let charged = world.pop.usage().session_bytes;
    assert!(
        Arc::strong_count(&alive) == 1 || charged >= 32 << 10,
        "64 KiB are pinned, charged are {charged}"
    );
}

#[test]
fn a_piece_on_its_way_is_charged_for_what_it_pins() {
    let mut world = World::new(config(), 0);
    let link = world.raw_edge("node-0");
    let mut greeting = hello(1, 1);
    greeting.limits.as_mut().unwrap().data_max = 1 << 10;
    world.inject(link, ToPop, Frame::Hello(greeting));
    world.inject(link, ToPop, Frame::Ack { received: 0 });
    let id = world.open();
    let reply = wire::Reply {
        upload_limit: 64 << 10,
        ..wire::Reply::default()
    };
    world.inject(link, ToPop, Frame::Reply { session: 1, reply });
    let (block, alive) = block(vec![1; 64 << 10]);
    world.pop.write(world.now, id, block);
    let carrier = world.links[link].pop.unwrap();
    let mut batch = Batch::new(4 << 10);
    while world.pop.poll_ready().is_some() {}
    world.pop.poll_transmit(world.now, carrier, &mut batch);
    drop(batch);
    // What stays is given up; what left may have to be sent again.
    world
        .pop
        .close(world.now, id, Code::Reset, CloseMode::Abort);
    let usage = world.pop.usage();
    assert!(
        usage.resend_bytes > 0 && usage.session_bytes == 0,
        "{usage:?}"
    );
    assert_eq!(Arc::strong_count(&alive), 1, "1 KiB pins 64");
}

#[test]
fn no_more_of_an_answer_is_kept_than_an_answer_has() {
    let mut world = World::new(config(), 1);
    let id = world.open();
    let mut addresses = vec![Bytes::from(vec![9; 17])];
    addresses.extend((0..9).map(|last| Bytes::from(vec![10, 0, 0, last])));
    let reply = wire::Reply {
        addresses,
        upload_limit: 1 << 10,
        ..wire::Reply::default()
    };
    world.inject(world.link(0), ToPop, Frame::Reply { session: 1, reply });
    let kept = &world.pop.reply(id).unwrap().addresses;
    let expected: Vec<_> = (0..8)
        .map(|last| Bytes::from(vec![10, 0, 0, last]))
        .collect();
    assert_eq!(*kept, expected);
}

/// A world whose POP has this budget, and whose edges are rich.
pub(crate) fn poor_pop(memory_budget: u64, edges: usize) -> World {
    let poor = Config {
        memory_budget,
        ..config()
    };
    let mut world = World::new(poor, 0);
    world.config = config();
    for edge in 0..edges {
        world.add_edge(&format!("node-{edge}"));
    }
    world
}

/// Opens sessions until there is one on each edge, and returns those.
pub(crate) fn one_on_each(world: &mut World, group: u32) -> BTreeMap<usize, SessionId> {
    let mut on = BTreeMap::new();
    while on.len() < world.edges.len() {
        let id = world.open_with(Open { group, ..demand() });
        let edge = world.answer(Ok(()));
        if let Some(spare) = on.insert(edge, id) {
            world
                .pop
                .close(world.now, spare, Code::Ok, CloseMode::Abort);
        }
    }
    on
}

/// A target sends what there is room for, at most `len` bytes; returns how many that were.
pub(crate) fn offer_down(world: &mut World, edge: usize, id: SessionId, len: usize) -> usize {
    let core = &mut world.edges[edge].core;
    let room = core
        .status(world.now, id)
        .map_or(0, |status| status.send_room);
    let len = room.min(len);
    if len > 0 {
        core.write(world.now, id, Bytes::from(vec![1; len]));
    }
    len
}

/// A client sends what there is room for, at most `len` bytes; returns how many that were.
pub(crate) fn offer_up(world: &mut World, id: SessionId, len: usize) -> usize {
    let status = world.pop.status(world.now, id);
    let len = status.map_or(0, |status| status.send_room).min(len);
    if len > 0 {
        world.pop.write(world.now, id, Bytes::from(vec![1; len]));
    }
    len
}

/// Opens sessions whose clients leave all that they get unread, until the user may open no more.
fn take_all(world: &mut World, group: u32) -> Vec<SessionId> {
    let mut held = Vec::new();
    for _ in 0..1000 {
        let Ok(id) = world.pop.open(world.now, Open { group, ..demand() }) else {
            return held;
        };
        world.run();
        let edge = world.edges.iter().position(|site| !site.opened.is_empty());
        let edge = edge.unwrap();
        let at_edge = world.edges[edge].opened.pop().unwrap();
        world.dialled(edge, at_edge, Ok(()));
        offer_down(world, edge, at_edge, usize::MAX);
        world.run();
        held.push(id);
    }
    panic!("nothing stops the user: {:?}", world.pop.usage());
}

#[test]
fn one_user_cannot_lock_everybody_out() {
    // The defaults divided by 1024, and sixteen tunnels.
    let small = Config {
        memory_budget: 1 << 20,
        window_base: 4 << 10,
        window_max: 16 << 10,
        ..config()
    };
    let mut world = World::new(small, 0);
    world.config = config();
    for edge in 0..16 {
        world.add_edge(&format!("node-{edge}"));
    }
    let held = take_all(&mut world, 1);
    assert!(held.len() > 64, "{}", held.len());
    for _ in 0..150 {
        world.wait(secs(4));
        for &id in &held {
            world.pop.release(world.now, id, 1);
        }
        world.run();
        let other = Open {
            group: 2,
            ..demand()
        };
        let id = world.pop.open(world.now, other).unwrap();
        world.pop.close(world.now, id, Code::Ok, CloseMode::Abort);
    }
}

#[test]
fn a_short_cut_resets_no_download() {
    let poor = Config {
        memory_budget: 4 << 20,
        ..config()
    };
    let mut world = World::new(config(), 0);
    world.config = poor;
    world.add_edge("node-0");
    let ids: Vec<_> = (0..20).map(|_| world.connect()).collect();
    world.unplug(0);
    for _ in 0..50 {
        for &(_, edge) in &ids {
            offer_down(&mut world, 0, edge, 64 << 10);
        }
        world.wait(millis(100));
    }
    let core = &world.edges[0].core;
    assert!(
        core.memory_level() < MemoryLevel::Refusing,
        "{:?}",
        core.usage()
    );
    world.plug_in(0);
    world.wait(secs(5));
    assert_eq!(world.edges[0].core.counters().shed, 0);
}

#[test]
fn many_silent_tunnels_reset_nobody() {
    let mut world = poor_pop(1_000_000, 40);
    let on = one_on_each(&mut world, 1);
    // The POP's line is silent for two seconds: far less than a carrier survives.
    for link in 0..world.links.len() {
        world.links[link].to_pop.held = true;
    }
    for &id in on.values() {
        world.send_up(id, &vec![1; 30_000]);
    }
    world.wait(secs(2));
    for link in 0..world.links.len() {
        world.links[link].to_pop.held = false;
    }
    world.wait(secs(1));
    assert_eq!(world.pop.counters().shed, 0);
    assert_eq!(world.data(ToEdge).len(), 40 * 30_000);
}

#[test]
fn a_stop_costs_the_same_among_many() {
    let cost = |sessions: u64| {
        let mut world = World::new(config(), 0);
        let link = world.raw_edge("node-0");
        let mut greeting = hello(1, 1);
        greeting.limits.as_mut().unwrap().sessions_max = 16_384;
        world.inject(link, ToPop, Frame::Hello(greeting));
        world.inject(link, ToPop, Frame::Ack { received: 0 });
        let ids: Vec<_> = (0..sessions)
            .map(|_| world.pop.open(world.now, demand()).unwrap())
            .collect();
        world.run();
        let carrier = world.links[link].pop.unwrap();
        for session in 1..=sessions {
            let reply = wire::Reply {
                upload_limit: 1 << 20,
                ..wire::Reply::default()
            };
            let frame = encode(Frame::Reply { session, reply });
            world.pop.handle_message(world.now, carrier, &frame);
        }
        world.run();
        world.links[link].to_edge.blocked = true;
        for &id in &ids {
            world.pop.write(world.now, id, Bytes::from_static(b"x"));
        }
        let before = world.pop.counters().visits;
        for session in [sessions, sessions / 2] {
            let stop = encode(Frame::Stop { session, code: 0 });
            world.pop.handle_message(world.now, carrier, &stop);
        }
        let middle = ids[ids.len() / 3];
        world
            .pop
            .close(world.now, middle, Code::Ok, CloseMode::Abort);
        assert_eq!(world.pop.counters().faults, 0);
        world.pop.counters().visits - before
    };
    assert_eq!(cost(16), cost(2048));
}

#[test]
fn relief_looks_at_some_in_a_turn_and_at_all_in_the_end() {
    let mut world = poor_pop(8 << 20, 1);
    let ids: Vec<_> = (0..400)
        .map(|number| {
            let group = 1 + number / 40;
            world.connect_with(Open { group, ..demand() })
        })
        .collect();
    let mut len = 0;
    while world.pop.memory_level() < MemoryLevel::Refusing {
        len += 1000;
        for &(_, edge) in &ids {
            offer_down(&mut world, 0, edge, 1000);
        }
        world.run();
        assert!(len < 60_000, "{:?}", world.pop.usage());
    }
    world.wait(secs(4));
    let before = world.pop.counters();
    assert_eq!(before.shed, 0);
    let end = world.now + secs(10);
    while world.now < end && world.pop.memory_level() >= MemoryLevel::Refusing {
        let visits = world.pop.counters().visits;
        world.wait(millis(10));
        let visited = world.pop.counters().visits - visits;
        assert!(visited < 300, "{visited} in a turn");
    }
    assert!(world.pop.memory_level() < MemoryLevel::Refusing);
}

#[test]
fn sockets_are_read_less_as_memory_fills_and_again_as_it_empties() {
    let mut world = poor_pop(1_000_000, 1);
    let ids: Vec<_> = (1..=8)
        .map(|group| world.connect_with(Open { group, ..demand() }))
        .collect();
    world.links[0].to_edge.blocked = true;
    loop {
        let sent: usize = ids
            .iter()
            .map(|&(id, _)| offer_up(&mut world, id, 10_000))
            .sum();
        if sent == 0 {
            break;
        }
    }
    let used = world.pop.usage().session_bytes;
    assert!((600_000..900_000).contains(&used), "{used}");
    assert_eq!(world.pop.counters().shed, 0);
    world.woken.clear();
    world.links[0].to_edge.blocked = false;
    world.wait(secs(1));
    for (id, _) in ids {
        assert!(world.woken.contains(&id), "{id:?} waits for ever");
        assert!(world.pop.status(world.now, id).unwrap().send_room > 0);
    }
}

#[test]
fn who_was_denied_memory_is_told_when_there_is_some() {
    let mut world = poor_pop(1_000_000, 1);
    let ids: Vec<_> = (1..=6)
        .map(|group| world.connect_with(Open { group, ..demand() }))
        .collect();
    let quiet: Vec<_> = (11..=40)
        .map(|group| world.connect_with(Open { group, ..demand() }).0)
        .collect();
    while world.pop.memory_level() < MemoryLevel::Full {
        for &(_, edge) in &ids {
            offer_down(&mut world, 0, edge, 10_000);
        }
        world.run();
    }
    for &id in &quiet {
        assert_eq!(world.pop.status(world.now, id).unwrap().send_room, 0);
    }
    world.woken.clear();
    world.read_down(ids[0].0);
    for &id in &quiet {
        assert!(world.woken.contains(&id), "{id:?} waits for ever");
        assert!(offer_up(&mut world, id, 100) == 100);
    }
}

#[test]
fn a_full_endpoint_is_not_handed_anything_and_loses_nothing() {
    let mut world = poor_pop(1_000_000, 1);
    let ids: Vec<_> = (1..=6)
        .map(|group| world.connect_with(Open { group, ..demand() }))
        .collect();
    let mut sent = BTreeMap::new();
    for _ in 0..40 {
        for &(pop, edge) in &ids {
            *sent.entry(pop).or_insert(0) += offer_down(&mut world, 0, edge, 10_000);
            world.run();
        }
    }
    let used = world.pop.usage().session_bytes;
    // One frame goes beyond.
    assert!((1_000_000..1_020_000).contains(&used), "{used}");
    assert_eq!(world.pop.counters().shed, 0);
    // Sockets that take something, however slowly the whole drains, lose nothing.
    let mut got = BTreeMap::new();
    for _ in 0..100 {
        for &(pop, _) in &ids {
            let readable = world
                .pop
                .status(world.now, pop)
                .unwrap()
                .readable
                .min(20_000);
            world.pop.release(world.now, pop, readable);
            *got.entry(pop).or_insert(0) += readable;
        }
        world.wait(secs(1));
    }
    assert_eq!(got, sent);
    assert_eq!(world.pop.counters().shed, 0);
    assert_eq!(world.tunnel_gone(), None);
}

/// Lets a client take `len` bytes in pieces as they come, and tells how long that took.
fn download(
    world: &mut World,
    edge: usize,
    (pop, at_edge): (SessionId, SessionId),
    len: usize,
) -> u64 {
    let start = world.now;
    let (mut sent, mut got) = (0, 0);
    while got < len {
        sent += offer_down(world, edge, at_edge, len - sent);
        world.run();
        got += world.read_down(pop).len();
        world.wait(millis(1));
    }
    u64::try_from(world.now.since(start).as_millis()).unwrap()
}

/// Connects a session of a group at the edge that is chosen.
pub(crate) fn connect_somewhere(world: &mut World, group: u32) -> (usize, (SessionId, SessionId)) {
    let pop = world.open_with(Open { group, ..demand() });
    let edge = world.edges.iter().position(|site| !site.opened.is_empty());
    let edge = edge.unwrap();
    let at_edge = world.edges[edge].opened.pop().unwrap();
    world.dialled(edge, at_edge, Ok(()));
    (edge, (pop, at_edge))
}

#[test]
fn held_bytes_that_one_user_takes_all_of_slow_no_other() {
    let time = |greedy: bool| {
        let mut world = poor_pop(8 << 20, 4);
        if greedy {
            take_all(&mut world, 1);
        }
        let (edge, ids) = connect_somewhere(&mut world, 2);
        let time = download(&mut world, edge, ids, 8 << 20);
        assert_eq!(world.ended(ids.0), None);
        time
    };
    let (alone, beside) = (time(false), time(true));
    assert!(
        beside * 5 <= alone * 6,
        "{alone} ms alone, {beside} ms beside"
    );
}

#[test]
fn a_resend_pool_that_one_user_takes_all_of_slows_no_other() {
    let time = |greedy: bool| {
        let mut world = poor_pop(8 << 20, 9);
        let on = one_on_each(&mut world, 1);
        let (edge, (pop, at_edge)) = connect_somewhere(&mut world, 2);
        for (&other, &id) in &on {
            if greedy && other != edge {
                let link = world.link(other);
                world.links[link].to_pop.held = true;
                while offer_up(&mut world, id, 64 << 10) > 0 {
                    world.run();
                }
            }
        }
        let start = world.now;
        let (mut sent, mut got, len) = (0, 0, 8 << 20);
        while got < len {
            sent += offer_up(&mut world, pop, len - sent);
            world.run();
            got += world.read_up(edge, at_edge).len();
            world.wait(millis(1));
        }
        u64::try_from(world.now.since(start).as_millis()).unwrap()
    };
    let (alone, beside) = (time(false), time(true));
    assert!(
        beside * 5 <= alone * 6,
        "{alone} ms alone, {beside} ms beside"
    );
}

#[test]
fn a_growth_pool_that_one_user_takes_all_of_leaves_another_its_share() {
    let mut world = poor_pop(16 << 20, 1);
    let pool = 4 << 20;
    let grow = |world: &mut World, group: u32, sessions: usize| {
        let before = world.pop.usage().growth_bytes;
        for _ in 0..sessions {
            let ids = world.connect_with(Open { group, ..demand() });
            for _ in 0..12 {
                world.wait(millis(1));
                for _ in 0..64 {
                    if offer_down(world, 0, ids.1, usize::MAX) == 0 {
                        break;
                    }
                    take_in_turn(world, ids.0);
                }
                world.run();
            }
        }
        world.pop.usage().growth_bytes - before
    };
    let greedy = grow(&mut world, 1, 20);
    assert!(greedy > 0 && greedy <= pool / 2, "{greedy}");
    let other = grow(&mut world, 2, 1);
    // Windows double: what fits of a third of the pool.
    assert!(other >= 768 << 10, "{other} beside {greedy}");
}

/// Moves what the edge has and lets the client take it before the turn is settled.
fn take_in_turn(world: &mut World, pop: SessionId) {
    let link = world.link(0);
    let (at_pop, at_edge) = (world.links[link].pop, world.links[link].at_edge);
    let mut batch = Batch::new(1 << 20);
    let now = world.now;
    let core = &mut world.edges[0].core;
    core.poll_transmit(now, at_edge.unwrap(), &mut batch);
    for item in batch.drain() {
        if let titan_core::endpoint::Item::Frame(frame) = item {
            let message = crate::common::message(frame.kind, frame.session, &frame.payload);
            world.pop.handle_message(now, at_pop.unwrap(), &message);
        }
    }
    let readable = world.pop.status(now, pop).unwrap().readable;
    world.pop.release(now, pop, readable);
    world.pop.settle(now);
}

/// Lets an edge come that the test plays, and opens a session there; returns its number too.
fn played_edge(world: &mut World, group: u32) -> (usize, SessionId, u64) {
    let link = world.raw_edge("node-played");
    world.inject(link, ToPop, Frame::Hello(hello(1, 1)));
    world.inject(link, ToPop, Frame::Ack { received: 0 });
    for _ in 0..100 {
        let id = world.open_with(Open { group, ..demand() });
        let seen = world.wire.last();
        if let Some(seen) = seen.filter(|seen| seen.link == link)
            && let Frame::Create { session, .. } = seen.frame
        {
            let reply = wire::Reply {
                upload_limit: 1 << 20,
                ..wire::Reply::default()
            };
            world.inject(link, ToPop, Frame::Reply { session, reply });
            world.inject(link, ToPop, Frame::Ack { received: 1 });
            return (link, id, session);
        }
        world.pop.close(world.now, id, Code::Ok, CloseMode::Abort);
        world.run();
    }
    panic!("the edge is never chosen");
}

#[test]
fn a_peer_that_never_acknowledges_does_not_keep_the_resend_pool() {
    let small = Config {
        memory_budget: 256 << 10,
        window_base: 4 << 10,
        window_max: 4 << 10,
        ..config()
    };
    let mut world = World::new(small, 0);
    world.config = config();
    world.add_edge("node-0");
    let (id, at_edge) = world.connect();
    let (link, mute, session) = played_edge(&mut world, 2);
    world.wait(secs(1));
    // It takes credit, which is nobody's, and nothing waits for what it does not say.
    let pool = 64 << 10;
    while world.pop.usage().resend_bytes < pool {
        let data = Bytes::from(vec![1; 1 << 10]);
        world.inject(link, ToPop, Frame::Data { session, data });
        assert_eq!(world.read_down(mute).len(), 1 << 10);
    }
    world.wait(secs(15) - millis(1));
    assert_eq!(world.tunnel_gone(), None);
    world.wait(millis(1));
    assert_eq!(world.tunnel_gone(), Some(Code::AckWithheld));
    assert_eq!(world.ended(mute), Some(Code::TunnelLost));
    assert_eq!(world.pop.usage().resend_bytes, 0);
    world.links[0].to_pop.held = true;
    while offer_up(&mut world, id, 10_000) > 0 {
        world.run();
    }
    let kept = world.pop.usage().resend_bytes;
    assert!(kept > pool / 3, "{kept} of {pool}");
    world.links[0].to_pop.held = false;
    world.run();
    assert_eq!(world.ended(id), None);
    assert!(!world.read_up(0, at_edge).is_empty());
}

#[test]
fn a_slow_way_back_costs_no_tunnel() {
    let mut world = poor_pop(1_000_000, 1);
    let ids: Vec<_> = (1..=2)
        .map(|group| world.connect_with(Open { group, ..demand() }))
        .collect();
    for _ in 0..4 {
        world.links[0].to_pop.held = true;
        for &(id, _) in &ids {
            while offer_up(&mut world, id, 10_000) > 0 {
                world.run();
            }
        }
        let kept = world.pop.usage().resend_bytes;
        assert!(kept > 125_000, "{kept}");
        world.wait(secs(14));
        world.links[0].to_pop.held = false;
        world.wait(millis(100));
        for &(_, edge) in &ids {
            world.read_up(0, edge);
        }
        world.wait(millis(100));
    }
    assert_eq!(world.tunnel_gone(), None);
}

#[test]
fn a_carrier_that_dies_costs_no_tunnel() {
    let mut world = poor_pop(1_000_000, 1);
    let (id, edge) = world.connect();
    world.wait(secs(1));
    // Nothing arrives any more; the last that comes back is younger than what is not acknowledged.
    world.links[0].to_edge.held = true;
    world.edges[0].online = false;
    let mut sent = 0;
    for _ in 0..100 {
        sent += offer_up(&mut world, id, 10_000);
        world.run();
    }
    world.wait(millis(500));
    world.send_down(0, edge, b"still there");
    world.links[0].to_pop.held = true;
    world.wait(secs(20));
    assert_eq!(world.tunnel_gone(), None);
    world.plug_in(0);
    world.wait(secs(1));
    assert_eq!(world.tunnel_gone(), None);
    assert_eq!(world.data(ToEdge).len(), sent);
}

/// A POP with two tunnels. The peer of one has used up the resend pool; on the other one group fills the
/// tunnel's floor, and `count` more have a little to send and will be passed over. Returns those.
fn to_pass_over(count: u32) -> (World, Vec<(SessionId, SessionId)>) {
    let small = Config {
        memory_budget: 256 << 10,
        window_base: 4 << 10,
        window_max: 4 << 10,
        ..config()
    };
    let mut world = World::new(small, 0);
    world.config = config();
    world.add_edge("node-0");
    let mut ids: Vec<_> = (0..=count)
        .map(|group| world.connect_with(Open { group, ..demand() }))
        .collect();
    world.wait(secs(1));
    let (link, mute, session) = played_edge(&mut world, count + 1);
    while world.pop.usage().resend_bytes < 64 << 10 {
        let data = Bytes::from(vec![1; 1 << 10]);
        world.inject(link, ToPop, Frame::Data { session, data });
        world.read_down(mute);
    }
    world.links[0].to_pop.held = true;
    let (first, _) = ids.remove(0);
    assert_eq!(offer_up(&mut world, first, 4_000), 4_000);
    world.run();
    for &(id, _) in &ids {
        assert_eq!(offer_up(&mut world, id, 100), 100);
    }
    (world, ids)
}

#[test]
fn groups_that_go_away_leave_no_other_behind() {
    for acknowledged_first in [false, true] {
        let (mut world, ids) = to_pass_over(9);
        world.run();
        if acknowledged_first {
            world.links[0].to_edge.blocked = true;
            world.wait(millis(10));
            world.links[0].to_pop.held = false;
            world.wait(millis(30));
        }
        for &(id, _) in &ids[..8] {
            world.pop.close(world.now, id, Code::Ok, CloseMode::Abort);
        }
        world.run();
        world.links[0].to_edge.blocked = false;
        world.links[0].to_pop.held = false;
        world.wait(secs(1));
        assert_eq!(world.read_up(0, ids[8].1).len(), 100);
    }
}

#[test]
fn one_who_may_send_is_found_behind_many_who_may_not() {
    let mut world = poor_pop(1_000_000, 2);
    let users: Vec<_> = (1..=18)
        .map(|group| one_on_each(&mut world, group))
        .collect();
    let (edge, other) = loop {
        let (edge, ids) = connect_somewhere(&mut world, 99);
        if edge == 1 {
            break (edge, ids);
        }
    };
    world.wait(secs(1));
    for link in 0..2 {
        world.links[link].to_pop.held = true;
    }
    let mut sent = 1;
    while sent > 0 {
        sent = users
            .iter()
            .map(|on| offer_up(&mut world, on[&0], 10_000))
            .sum();
        world.run();
    }
    // The first of them has the floor of the tunnel.
    offer_up(&mut world, users[0][&1], 10_000);
    world.run();
    let before = world.data(ToEdge).len();
    world.links[edge].to_edge.blocked = true;
    for on in &users[1..] {
        offer_up(&mut world, on[&1], 10_000);
    }
    offer_up(&mut world, other.0, 100);
    world.run();
    world.links[edge].to_edge.blocked = false;
    world.run();
    assert_eq!(world.data(ToEdge).len() - before, 100);
    assert_eq!(world.read_up(edge, other.1).len(), 100);
}

#[test]
fn a_batch_passes_over_some_and_its_carrier_comes_back_for_the_rest() {
    let (mut world, ids) = to_pass_over(200);
    let carrier = world.links[0].pop.unwrap();
    let mut batch = Batch::new(64 << 10);
    let (mut visits, mut calls) = (world.pop.counters().visits, 0);
    while let Some(ready) = world.pop.poll_ready() {
        assert_eq!(ready, carrier);
        world.pop.poll_transmit(world.now, carrier, &mut batch);
        assert!(batch.is_empty());
        calls += 1;
        let before = core::mem::replace(&mut visits, world.pop.counters().visits);
        assert!(visits - before < 40, "{} in a turn", visits - before);
    }
    assert!((12..20).contains(&calls), "{calls} turns");
    // Their tunnel's floor is theirs again, a few at a time.
    world.links[0].to_pop.held = false;
    world.wait(secs(5));
    for (_, edge) in ids {
        assert_eq!(world.read_up(0, edge).len(), 100);
    }
}

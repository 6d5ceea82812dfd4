//! What is shared out and let go when memory is short: nobody who takes part honestly pays.

use crate::common::{Way::ToEdge, World, config, demand, encode, hello, millis, secs};
use crate::offers::{
    beside_rich_edges, connect_somewhere, offer_down, offer_up, one_on_each, poor_pop,
};
use bytes::Bytes;
use std::collections::BTreeMap;
use titan_core::endpoint::{CloseMode, Config, MemoryLevel, Open, SessionId};
use titan_proto::{Code, Frame, wire};

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
    let mut world = beside_rich_edges(small, 16);
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
        let mut greeting = hello(1, 1);
        greeting.limits.as_mut().unwrap().sessions_max = 16_384;
        let link = world.played_edge("node-0", greeting);
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

/// Takes the sessions whose drivers are told of something.
fn told(world: &mut World) -> Vec<SessionId> {
    core::iter::from_fn(|| world.pop.poll_woken()).collect()
}

#[test]
fn who_waits_for_memory_is_told_in_turn_with_other_users_some_at_a_time() {
    let mut world = poor_pop(1_000_000, 1);
    let open = |world: &mut World, group| world.connect_with(Open { group, ..demand() });
    let ids: Vec<_> = (1..=6).map(|group| open(&mut world, group)).collect();
    let mut waiting: Vec<_> = (0..200).map(|_| open(&mut world, 11).0).collect();
    let other = open(&mut world, 12).0;
    waiting.push(other);
    while world.pop.memory_level() < MemoryLevel::Full {
        for &(_, edge) in &ids {
            offer_down(&mut world, 0, edge, 10_000);
        }
        world.run();
    }
    for &id in &waiting {
        assert_eq!(world.pop.status(world.now, id).unwrap().send_room, 0);
    }
    // Who goes away is not waited for.
    for id in waiting.drain(..4) {
        world.pop.close(world.now, id, Code::Ok, CloseMode::Abort);
    }
    world.run();
    told(&mut world);
    let visits = world.pop.counters().visits;
    world.pop.release(world.now, ids[0].0, usize::MAX);
    let looks = world.pop.counters().visits - visits;
    assert!(looks < 60, "{looks} looks");
    let mut seen = told(&mut world);
    assert_eq!(seen.len(), 16);
    assert!(seen[..2].contains(&other), "one of each user has its turn");
    while seen.len() < waiting.len() {
        world.now = world.now + millis(2);
        world.pop.handle_timeout(world.now);
        let more = told(&mut world);
        assert!((1..=16).contains(&more.len()), "{}", more.len());
        seen.extend(more);
    }
    seen.sort_unstable();
    waiting.sort_unstable();
    assert_eq!(seen, waiting);
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
                    world.take_in_turn(ids.0);
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

/// Lets a client take what it is sent as fast as it comes, so that its window grows if it may.
fn use_up_windows(world: &mut World, (pop, at_edge): (SessionId, SessionId)) {
    for _ in 0..12 {
        world.wait(millis(1));
        for _ in 0..64 {
            if offer_down(world, 0, at_edge, usize::MAX) == 0 {
                break;
            }
            world.take_in_turn(pop);
        }
        world.run();
    }
}

/// Lets clients of many users leave unread what they get, until that is so many bytes.
fn fill_by_many(world: &mut World, ids: &[(SessionId, SessionId)], bytes: u64) {
    for &(_, edge) in ids {
        if world.pop.usage().session_bytes >= bytes {
            return;
        }
        offer_down(world, 0, edge, usize::MAX);
        world.run();
    }
    panic!("{:?}", world.pop.usage());
}

#[test]
fn no_window_grows_from_three_fifths_of_the_budget_nor_beyond_a_share() {
    let budget = 16 << 20;
    for (same, part) in [(false, 61), (true, 42)] {
        let mut world = poor_pop(budget, 1);
        let groups = (0..60).map(|number| if same { 1 } else { 10 + number });
        let many: Vec<_> = groups
            .map(|group| world.connect_with(Open { group, ..demand() }))
            .collect();
        let ids = world.connect();
        fill_by_many(&mut world, &many, budget / 100 * part);
        let level = world.pop.memory_level();
        assert_eq!(level == MemoryLevel::Normal, same, "{level:?}");
        use_up_windows(&mut world, ids);
        assert_eq!(world.pop.usage().growth_bytes, 0);
        let core = &mut world.edges[0].core;
        let room = core.status(world.now, ids.1).unwrap().send_room;
        let most = if same { 64 << 10 } else { 256 << 10 };
        assert!(room <= most, "{room} beyond its share: {same}");
    }
}

#[test]
fn growth_goes_back_when_windows_have_to_be_small() {
    let budget = 16 << 20;
    let mut world = poor_pop(budget, 1);
    let many: Vec<_> = (10..70)
        .map(|group| world.connect_with(Open { group, ..demand() }))
        .collect();
    let ids = world.connect();
    use_up_windows(&mut world, ids);
    assert!(world.pop.usage().growth_bytes > 0);
    offer_down(&mut world, 0, ids.1, 1000);
    fill_by_many(&mut world, &many, budget / 100 * 81);
    assert!(
        world.pop.usage().growth_bytes > 0,
        "it has released nothing"
    );
    assert!(!world.read_down(ids.0).is_empty());
    assert_eq!(world.pop.usage().growth_bytes, 0);
}

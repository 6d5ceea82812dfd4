//! What is shared out and let go when memory is short: nobody who takes part honestly pays.

use crate::common::{Rig, Way::ToEdge, config, demand, encode, hello, millis, secs};
use crate::offers::{
    beside_rich_edges, connect_somewhere, offer_down, offer_up, one_on_each, poor_pop,
};
use bytes::Bytes;
use std::collections::BTreeMap;
use titan_core::endpoint::{CloseMode, Config, MemoryLevel, Open, SessionId};
use titan_proto::{Code, Frame, wire};

/// Opens sessions whose clients leave all that they get unread, until the user may open no more.
fn take_all(rig: &mut Rig, group: u32) -> Vec<SessionId> {
    let mut held = Vec::new();
    for _ in 0..1000 {
        let Ok(id) = rig.pop.open(rig.now, Open { group, ..demand() }) else {
            return held;
        };
        rig.run();
        let edge = rig.edges.iter().position(|site| !site.opened.is_empty());
        let edge = edge.unwrap();
        let at_edge = rig.edges[edge].opened.pop().unwrap();
        rig.dialled(edge, at_edge, Ok(()));
        offer_down(rig, edge, at_edge, usize::MAX);
        rig.run();
        held.push(id);
    }
    panic!("nothing stops the user: {:?}", rig.pop.usage());
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
    let mut rig = beside_rich_edges(small, 16);
    let held = take_all(&mut rig, 1);
    assert!(held.len() > 64, "{}", held.len());
    for _ in 0..150 {
        rig.wait(secs(4));
        for &id in &held {
            rig.pop.release(rig.now, id, 1);
        }
        rig.run();
        let other = Open {
            group: 2,
            ..demand()
        };
        let id = rig.pop.open(rig.now, other).unwrap();
        rig.pop.close(rig.now, id, Code::Ok, CloseMode::Abort);
    }
}

#[test]
fn a_short_cut_resets_no_download() {
    let poor = Config {
        memory_budget: 4 << 20,
        ..config()
    };
    let mut rig = Rig::new(config(), 0);
    rig.config = poor;
    rig.add_edge("node-0");
    let ids: Vec<_> = (0..20).map(|_| rig.connect()).collect();
    rig.unplug(0);
    for _ in 0..50 {
        for &(_, edge) in &ids {
            offer_down(&mut rig, 0, edge, 64 << 10);
        }
        rig.wait(millis(100));
    }
    let core = &rig.edges[0].core;
    assert!(
        core.memory_level() < MemoryLevel::Refusing,
        "{:?}",
        core.usage()
    );
    rig.plug_in(0);
    rig.wait(secs(5));
    assert_eq!(rig.edges[0].core.counters().shed, 0);
}

#[test]
fn many_silent_tunnels_reset_nobody() {
    let mut rig = poor_pop(1_000_000, 40);
    let on = one_on_each(&mut rig, 1);
    // The POP's line is silent for two seconds: far less than a carrier survives.
    for link in 0..rig.links.len() {
        rig.links[link].to_pop.held = true;
    }
    for &id in on.values() {
        rig.send_up(id, &vec![1; 30_000]);
    }
    rig.wait(secs(2));
    for link in 0..rig.links.len() {
        rig.links[link].to_pop.held = false;
    }
    rig.wait(secs(1));
    assert_eq!(rig.pop.counters().shed, 0);
    assert_eq!(rig.data(ToEdge).len(), 40 * 30_000);
}

#[test]
fn a_stop_costs_the_same_among_many() {
    let cost = |sessions: u64| {
        let mut rig = Rig::new(config(), 0);
        let mut greeting = hello(1, 1);
        greeting.limits.as_mut().unwrap().sessions_max = 16_384;
        let link = rig.played_edge("node-0", greeting);
        let ids: Vec<_> = (0..sessions)
            .map(|_| rig.pop.open(rig.now, demand()).unwrap())
            .collect();
        rig.run();
        let carrier = rig.links[link].pop.unwrap();
        for session in 1..=sessions {
            let reply = wire::Reply {
                upload_limit: 1 << 20,
                ..wire::Reply::default()
            };
            let frame = encode(Frame::Reply { session, reply });
            rig.pop.handle_message(rig.now, carrier, &frame);
        }
        rig.run();
        rig.links[link].to_edge.blocked = true;
        for &id in &ids {
            rig.pop.write(rig.now, id, Bytes::from_static(b"x"));
        }
        let before = rig.pop.counters().visits;
        for session in [sessions, sessions / 2] {
            let stop = encode(Frame::Stop { session, code: 0 });
            rig.pop.handle_message(rig.now, carrier, &stop);
        }
        let middle = ids[ids.len() / 3];
        rig.pop.close(rig.now, middle, Code::Ok, CloseMode::Abort);
        assert_eq!(rig.pop.counters().faults, 0);
        rig.pop.counters().visits - before
    };
    assert_eq!(cost(16), cost(2048));
}

#[test]
fn relief_looks_at_some_in_a_turn_and_at_all_in_the_end() {
    let mut rig = poor_pop(8 << 20, 1);
    let ids: Vec<_> = (0..400)
        .map(|number| {
            let group = 1 + number / 40;
            rig.connect_with(Open { group, ..demand() })
        })
        .collect();
    let mut len = 0;
    while rig.pop.memory_level() < MemoryLevel::Refusing {
        len += 1000;
        for &(_, edge) in &ids {
            offer_down(&mut rig, 0, edge, 1000);
        }
        rig.run();
        assert!(len < 60_000, "{:?}", rig.pop.usage());
    }
    rig.wait(secs(4));
    let before = rig.pop.counters();
    assert_eq!(before.shed, 0);
    let end = rig.now + secs(10);
    while rig.now < end && rig.pop.memory_level() >= MemoryLevel::Refusing {
        let visits = rig.pop.counters().visits;
        rig.wait(millis(10));
        let visited = rig.pop.counters().visits - visits;
        assert!(visited < 300, "{visited} in a turn");
    }
    assert!(rig.pop.memory_level() < MemoryLevel::Refusing);
}

#[test]
fn sockets_are_read_less_as_memory_fills_and_again_as_it_empties() {
    let mut rig = poor_pop(1_000_000, 1);
    let ids: Vec<_> = (1..=8)
        .map(|group| rig.connect_with(Open { group, ..demand() }))
        .collect();
    rig.links[0].to_edge.blocked = true;
    loop {
        let sent: usize = ids
            .iter()
            .map(|&(id, _)| offer_up(&mut rig, id, 10_000))
            .sum();
        if sent == 0 {
            break;
        }
    }
    let used = rig.pop.usage().session_bytes;
    assert!((600_000..900_000).contains(&used), "{used}");
    assert_eq!(rig.pop.counters().shed, 0);
    rig.woken.clear();
    rig.links[0].to_edge.blocked = false;
    rig.wait(secs(1));
    for (id, _) in ids {
        assert!(rig.woken.contains(&id), "{id:?} waits for ever");
        assert!(rig.pop.status(rig.now, id).unwrap().send_room > 0);
    }
}

#[test]
fn who_was_denied_memory_is_told_when_there_is_some() {
    let mut rig = poor_pop(1_000_000, 1);
    let ids: Vec<_> = (1..=6)
        .map(|group| rig.connect_with(Open { group, ..demand() }))
        .collect();
    let quiet: Vec<_> = (11..=40)
        .map(|group| rig.connect_with(Open { group, ..demand() }).0)
        .collect();
    while rig.pop.memory_level() < MemoryLevel::Full {
        for &(_, edge) in &ids {
            offer_down(&mut rig, 0, edge, 10_000);
        }
        rig.run();
    }
    for &id in &quiet {
        assert_eq!(rig.pop.status(rig.now, id).unwrap().send_room, 0);
    }
    rig.woken.clear();
    rig.read_down(ids[0].0);
    for &id in &quiet {
        assert!(rig.woken.contains(&id), "{id:?} waits for ever");
        assert!(offer_up(&mut rig, id, 100) == 100);
    }
}

/// Takes the sessions whose drivers are told of something.
fn told(rig: &mut Rig) -> Vec<SessionId> {
    core::iter::from_fn(|| rig.pop.poll_woken()).collect()
}

#[test]
fn who_waits_for_memory_is_told_in_turn_with_other_users_some_at_a_time() {
    let mut rig = poor_pop(1_000_000, 1);
    let open = |rig: &mut Rig, group| rig.connect_with(Open { group, ..demand() });
    let ids: Vec<_> = (1..=6).map(|group| open(&mut rig, group)).collect();
    let mut waiting: Vec<_> = (0..200).map(|_| open(&mut rig, 11).0).collect();
    let other = open(&mut rig, 12).0;
    waiting.push(other);
    while rig.pop.memory_level() < MemoryLevel::Full {
        for &(_, edge) in &ids {
            offer_down(&mut rig, 0, edge, 10_000);
        }
        rig.run();
    }
    for &id in &waiting {
        assert_eq!(rig.pop.status(rig.now, id).unwrap().send_room, 0);
    }
    // Who goes away is not waited for.
    for id in waiting.drain(..4) {
        rig.pop.close(rig.now, id, Code::Ok, CloseMode::Abort);
    }
    rig.run();
    told(&mut rig);
    let visits = rig.pop.counters().visits;
    rig.pop.release(rig.now, ids[0].0, usize::MAX);
    let looks = rig.pop.counters().visits - visits;
    assert!(looks < 60, "{looks} looks");
    let mut seen = told(&mut rig);
    assert_eq!(seen.len(), 16);
    assert!(seen[..2].contains(&other), "one of each user has its turn");
    while seen.len() < waiting.len() {
        rig.now = rig.now + millis(2);
        rig.pop.handle_timeout(rig.now);
        let more = told(&mut rig);
        assert!((1..=16).contains(&more.len()), "{}", more.len());
        seen.extend(more);
    }
    seen.sort_unstable();
    waiting.sort_unstable();
    assert_eq!(seen, waiting);
}

#[test]
fn a_full_endpoint_is_not_handed_anything_and_loses_nothing() {
    let mut rig = poor_pop(1_000_000, 1);
    let ids: Vec<_> = (1..=6)
        .map(|group| rig.connect_with(Open { group, ..demand() }))
        .collect();
    let mut sent = BTreeMap::new();
    for _ in 0..40 {
        for &(pop, edge) in &ids {
            *sent.entry(pop).or_insert(0) += offer_down(&mut rig, 0, edge, 10_000);
            rig.run();
        }
    }
    let used = rig.pop.usage().session_bytes;
    // One frame goes beyond.
    assert!((1_000_000..1_020_000).contains(&used), "{used}");
    assert_eq!(rig.pop.counters().shed, 0);
    // Sockets that take something, however slowly the whole drains, lose nothing.
    let mut got = BTreeMap::new();
    for _ in 0..100 {
        for &(pop, _) in &ids {
            let readable = rig.pop.status(rig.now, pop).unwrap().readable.min(20_000);
            rig.pop.release(rig.now, pop, readable);
            *got.entry(pop).or_insert(0) += readable;
        }
        rig.wait(secs(1));
    }
    assert_eq!(got, sent);
    assert_eq!(rig.pop.counters().shed, 0);
    assert_eq!(rig.tunnel_gone(), None);
}

/// Lets a client take `len` bytes in pieces as they come, and tells how long that took.
fn download(rig: &mut Rig, edge: usize, (pop, at_edge): (SessionId, SessionId), len: usize) -> u64 {
    let start = rig.now;
    let (mut sent, mut got) = (0, 0);
    while got < len {
        sent += offer_down(rig, edge, at_edge, len - sent);
        rig.run();
        got += rig.read_down(pop).len();
        rig.wait(millis(1));
    }
    u64::try_from(rig.now.since(start).as_millis()).unwrap()
}

#[test]
fn held_bytes_that_one_user_takes_all_of_slow_no_other() {
    let time = |greedy: bool| {
        let mut rig = poor_pop(8 << 20, 4);
        if greedy {
            take_all(&mut rig, 1);
        }
        let (edge, ids) = connect_somewhere(&mut rig, 2);
        let time = download(&mut rig, edge, ids, 8 << 20);
        assert_eq!(rig.ended(ids.0), None);
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
    let mut rig = poor_pop(16 << 20, 1);
    let pool = 4 << 20;
    let grow = |rig: &mut Rig, group: u32, sessions: usize| {
        let before = rig.pop.usage().growth_bytes;
        for _ in 0..sessions {
            let ids = rig.connect_with(Open { group, ..demand() });
            for _ in 0..12 {
                rig.wait(millis(1));
                for _ in 0..64 {
                    if offer_down(rig, 0, ids.1, usize::MAX) == 0 {
                        break;
                    }
                    rig.take_in_turn(ids.0);
                }
                rig.run();
            }
        }
        rig.pop.usage().growth_bytes - before
    };
    let greedy = grow(&mut rig, 1, 20);
    assert!(greedy > 0 && greedy <= pool / 2, "{greedy}");
    let other = grow(&mut rig, 2, 1);
    // Windows double: what fits of a third of the pool.
    assert!(other >= 768 << 10, "{other} beside {greedy}");
}

/// Lets a client take what it is sent as fast as it comes, so that its window grows if it may.
fn use_up_windows(rig: &mut Rig, (pop, at_edge): (SessionId, SessionId)) {
    for _ in 0..12 {
        rig.wait(millis(1));
        for _ in 0..64 {
            if offer_down(rig, 0, at_edge, usize::MAX) == 0 {
                break;
            }
            rig.take_in_turn(pop);
        }
        rig.run();
    }
}

/// Lets clients of many users leave unread what they get, until that is so many bytes.
fn fill_by_many(rig: &mut Rig, ids: &[(SessionId, SessionId)], bytes: u64) {
    for &(_, edge) in ids {
        if rig.pop.usage().session_bytes >= bytes {
            return;
        }
        offer_down(rig, 0, edge, usize::MAX);
        rig.run();
    }
    panic!("{:?}", rig.pop.usage());
}

#[test]
fn no_window_grows_from_three_fifths_of_the_budget_nor_beyond_a_share() {
    let budget = 16 << 20;
    for (same, part) in [(false, 61), (true, 42)] {
        let mut rig = poor_pop(budget, 1);
        let groups = (0..60).map(|number| if same { 1 } else { 10 + number });
        let many: Vec<_> = groups
            .map(|group| rig.connect_with(Open { group, ..demand() }))
            .collect();
        let ids = rig.connect();
        fill_by_many(&mut rig, &many, budget / 100 * part);
        let level = rig.pop.memory_level();
        assert_eq!(level == MemoryLevel::Normal, same, "{level:?}");
        use_up_windows(&mut rig, ids);
        assert_eq!(rig.pop.usage().growth_bytes, 0);
        let core = &mut rig.edges[0].core;
        let room = core.status(rig.now, ids.1).unwrap().send_room;
        let most = if same { 64 << 10 } else { 256 << 10 };
        assert!(room <= most, "{room} beyond its share: {same}");
    }
}

#[test]
fn growth_goes_back_when_windows_have_to_be_small() {
    let budget = 16 << 20;
    let mut rig = poor_pop(budget, 1);
    let many: Vec<_> = (10..70)
        .map(|group| rig.connect_with(Open { group, ..demand() }))
        .collect();
    let ids = rig.connect();
    use_up_windows(&mut rig, ids);
    assert!(rig.pop.usage().growth_bytes > 0);
    offer_down(&mut rig, 0, ids.1, 1000);
    fill_by_many(&mut rig, &many, budget / 100 * 81);
    assert!(rig.pop.usage().growth_bytes > 0, "it has released nothing");
    assert!(!rig.read_down(ids.0).is_empty());
    assert_eq!(rig.pop.usage().growth_bytes, 0);
}

//! Memory that is used up, or nearly: something always moves on, and who is not read is not blamed.

use crate::common::{World, demand, millis, secs};
use crate::pressure::{offer_down, offer_up, poor_pop};
use titan_core::endpoint::{MemoryLevel, Open, SessionId};
use titan_proto::Code;

/// Opens `count` sessions, each of another user from `group` on.
fn of_each(world: &mut World, group: u32, count: u32) -> Vec<(SessionId, SessionId)> {
    (group..group + count)
        .map(|group| world.connect_with(Open { group, ..demand() }))
        .collect()
}

fn fill_up(world: &mut World, ids: &[(SessionId, SessionId)], len: usize) {
    loop {
        let sent: usize = ids.iter().map(|&(id, _)| offer_up(world, id, len)).sum();
        world.run();
        if sent == 0 {
            return;
        }
    }
}

// --- Nothing waits for ever ---------------------------------------------------------------------------

#[test]
fn little_that_many_leave_unread_stops_nobody_for_ever() {
    let mut world = poor_pop(1 << 20, 1);
    let quiet = of_each(&mut world, 1, 40);
    // Each leaves as much as it may for as long as it likes, together more than the part of the budget
    // from which carriers are not read.
    for &(_, edge) in &quiet[..18] {
        world.send_down(0, edge, &[1; 1000]);
    }
    let senders = of_each(&mut world, 100, 400);
    world.links[0].to_edge.held = true;
    fill_up(&mut world, &senders, 4 << 10);
    for &(_, edge) in &quiet[18..] {
        if world.pop.memory_level() < MemoryLevel::Full {
            world.send_down(0, edge, &[1; 1000]);
        }
    }
    let usage = world.pop.usage();
    assert_eq!(world.pop.memory_level(), MemoryLevel::Full, "{usage:?}");
    assert_eq!(world.pop.counters().shed, 0);
    let over = usage.session_bytes + usage.resend_bytes - (1 << 20);
    // What would free all of it waits in a carrier.
    world.links[0].to_edge.held = false;
    world.wait(secs(10));
    let usage = world.pop.usage();
    assert!(world.pop.memory_level() < MemoryLevel::Full, "{usage:?}");
    assert!(usage.resend_bytes < 100_000, "{usage:?}");
    for &(pop, _) in &senders {
        assert_eq!(world.ended(pop), None);
    }
    let ended = quiet.iter().filter(|id| world.ended(id.0).is_some());
    let ended = u64::try_from(ended.count()).unwrap();
    // Each held a thousand bytes.
    let most = over / 1000 + 1;
    assert!((1..=most).contains(&ended), "{ended} of {most}");
}

#[test]
fn who_leaves_little_stays_while_another_leaves_more() {
    let mut world = poor_pop(1 << 20, 1);
    let quiet = of_each(&mut world, 1, 20);
    for &(_, edge) in &quiet {
        world.send_down(0, edge, &[1; 1000]);
    }
    let greedy = of_each(&mut world, 50, 6);
    while world.pop.memory_level() < MemoryLevel::Full {
        for &(_, edge) in &greedy {
            offer_down(&mut world, 0, edge, 10_000);
        }
        world.run();
    }
    world.wait(secs(20));
    assert!(world.pop.memory_level() < MemoryLevel::Refusing);
    for &(pop, _) in &quiet {
        assert_eq!(world.ended(pop), None);
    }
}

// --- Who is looked at ---------------------------------------------------------------------------------

#[test]
fn who_comes_beyond_its_share_by_what_others_hold_is_looked_at() {
    let mut world = poor_pop(1_000_000, 1);
    let still = [1, 1].map(|group| world.connect_with(Open { group, ..demand() }));
    let senders = of_each(&mut world, 10, 4);
    for (_, edge) in still {
        let sent = offer_down(&mut world, 0, edge, 190_000);
        assert_eq!(sent, 190_000);
        world.run();
    }
    assert_eq!(world.pop.short_of_memory(1), None);
    world.links[0].to_edge.blocked = true;
    for &(id, _) in &senders {
        offer_up(&mut world, id, 20_000);
    }
    world.run();
    assert!(world.pop.short_of_memory(1).is_some());
    world.wait(secs(7));
    assert_eq!(world.pop.counters().shed, 1);
}

#[test]
fn the_largest_user_is_looked_at_beside_one_nearly_as_large() {
    let mut world = poor_pop(1_000_000, 1);
    let ids = of_each(&mut world, 1, 4);
    for (&(_, edge), len) in ids.iter().zip([240_000, 140_000, 90_000, 90_000]).rev() {
        assert_eq!(offer_down(&mut world, 0, edge, len), len);
        world.run();
    }
    let beyond = [1, 2, 3, 4].map(|group| world.pop.short_of_memory(group).is_some());
    assert_eq!(beyond, [true, false, false, false]);
    world.wait(secs(7));
    assert_eq!(world.ended(ids[0].0), Some(Code::Memory));
    assert_eq!(world.pop.counters().shed, 1);
}

#[test]
fn relief_looks_at_some_users_in_a_turn_also_if_none_leaves_anything() {
    let mut world = poor_pop(1_000_000, 1);
    let senders = of_each(&mut world, 1, 400);
    world.links[0].to_edge.blocked = true;
    for &(id, _) in &senders {
        offer_up(&mut world, id, 2200);
    }
    let level = world.pop.memory_level();
    assert!((MemoryLevel::Refusing..MemoryLevel::Full).contains(&level));
    let start = world.pop.counters().visits;
    for _ in 0..1500 {
        let before = world.pop.counters().visits;
        world.wait(millis(1));
        let visited = world.pop.counters().visits - before;
        assert!(visited < 130, "{visited} in a turn");
    }
    assert!(world.pop.counters().visits - start >= 400, "at all of them");
    assert_eq!(world.pop.counters().shed, 0);
}

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

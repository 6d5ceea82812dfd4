//! Memory that is used up, or nearly: something always moves on, and who is not read is not blamed.

use crate::common::{Way::ToEdge, Way::ToPop, World, config, create, demand, hello, millis, secs};
use crate::offers::{
    beside_rich_edges, connect_somewhere, lonely_edge, offer_down, offer_up, poor_pop,
};
use bytes::Bytes;
use titan_core::endpoint::{CloseMode, Config, MemoryLevel, Open, SessionId};
use titan_proto::{Code, Frame, wire};

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

// --- Who is not read is not silent --------------------------------------------------------------------

/// Fills a POP of a million bytes far beyond that: what sessions of so many users get, so much each, arrives in
/// one turn.
fn overfill(world: &mut World, users: u32, each: usize) -> Vec<(SessionId, SessionId)> {
    let ids = of_each(world, 1, users);
    world.links[0].to_pop.held = true;
    for &(_, edge) in &ids {
        let mut left = each;
        while left > 0 {
            let sent = offer_down(world, 0, edge, left);
            assert!(sent > 0);
            left -= sent;
            world.run();
        }
    }
    ids
}

fn roomy() -> World {
    let poor = Config {
        memory_budget: 1_000_000,
        window_base: 2 << 20,
        ..config()
    };
    beside_rich_edges(poor, 1)
}

#[test]
fn a_carrier_that_is_not_read_is_not_silent_to_either_end() {
    let mut world = roomy();
    let sender = world.connect_with(Open {
        group: 9,
        ..demand()
    });
    let ids = overfill(&mut world, 4, 900_000);
    world.add_edge("node-1");
    // More than a user may keep for resending: the POP waits for an acknowledgement, too.
    world.links[0].to_edge.held = true;
    while offer_up(&mut world, sender.0, 50_000) > 0 {
        world.run();
    }
    world.links[0].to_pop.held = false;
    world.run();
    world.links[0].to_edge.held = false;
    for _ in 0..8 {
        // Enough that nobody stands still, and so little that it goes on.
        for &(pop, _) in &ids {
            world.pop.release(world.now, pop, 64 << 10);
        }
        world.wait(secs(4));
        assert_eq!(world.pop.memory_level(), MemoryLevel::Full);
    }
    assert_eq!(world.links.len(), 2, "nobody had to connect again");
    for &(pop, _) in &ids {
        while !world.read_down(pop).is_empty() {}
    }
    world.wait(secs(20));
    assert_eq!(world.links.len(), 2, "nor afterwards");
    assert_eq!(world.tunnel_gone(), None);
    assert_eq!(world.pop.counters().shed, 0);
    assert!(!world.read_up(0, sender.1).is_empty());
}

#[test]
fn the_time_in_which_nobody_is_read_is_no_debt() {
    let mut world = roomy();
    let senders = of_each(&mut world, 8, 2);
    let ids = overfill(&mut world, 2, 1_900_000);
    // They keep more than half of the pool, and what acknowledges it is not read for longer than anybody has.
    world.links[0].to_edge.held = true;
    fill_up(&mut world, &senders, 50_000);
    let kept = world.pop.usage().resend_bytes;
    assert!(kept > 125_000, "{kept}");
    world.links[0].to_pop.held = false;
    world.run();
    world.links[0].to_edge.held = false;
    for _ in 0..20 {
        for &(pop, _) in &ids {
            world.pop.release(world.now, pop, 64 << 10);
        }
        world.wait(millis(4_900));
        assert_eq!(world.pop.memory_level(), MemoryLevel::Full);
    }
    for &(pop, _) in &ids {
        while !world.read_down(pop).is_empty() {}
    }
    world.wait(secs(1));
    assert_eq!(world.tunnel_gone(), None);
    assert_eq!(world.pop.counters().shed, 0);
    assert!(world.pop.usage().resend_bytes < 1000);
}

/// A POP that is full for a moment each second, and what happens when that begins, ends and is over.
fn now_and_then_full(world: &mut World, seconds: u64, mut each: impl FnMut(&mut World)) {
    // Of each, one window is used.
    let ids: Vec<_> = (1..=6 * u32::try_from(seconds).unwrap())
        .map(|group| connect_somewhere(world, group))
        .collect();
    for ids in ids.chunks(6) {
        for &(edge, (_, at_edge)) in ids {
            offer_down(world, edge, at_edge, 250_000);
            world.run();
        }
        assert_eq!(world.pop.memory_level(), MemoryLevel::Full);
        each(world);
        world.wait(millis(100));
        each(world);
        while ids
            .iter()
            .any(|&(_, (pop, _))| !world.read_down(pop).is_empty())
        {}
        each(world);
        world.wait(millis(900));
    }
    assert_eq!(world.pop.counters().shed, 0);
}

#[test]
fn a_carrier_that_nobody_came_to_read_meanwhile_is_not_silent() {
    let mut world = poor_pop(1_000_000, 1);
    let late = world.played_edge("node-9", hello(1, 1));
    take_no_dials(&mut world, late);
    world.links[late].to_pop.held = true;
    let carrier = world.links[late].pop.unwrap();
    let ids = of_each(&mut world, 1, 12);
    let fill = |world: &mut World, ids: &[(SessionId, SessionId)]| {
        for &(_, edge) in ids {
            offer_down(world, 0, edge, 250_000);
            world.run();
        }
        assert_eq!(world.pop.memory_level(), MemoryLevel::Full);
    };
    fill(&mut world, &ids[..6]);
    assert!(!world.pop.takes_input(world.now, carrier));
    for &(id, _) in &ids[..6] {
        while !world.read_down(id).is_empty() {}
    }
    // It is its turn to be asked whether it is alive, and memory is used up again before it is read.
    world.wait(secs(6));
    fill(&mut world, &ids[6..]);
    for _ in 0..6 {
        for &(id, _) in &ids[6..] {
            world.pop.release(world.now, id, 1000);
        }
        world.wait(secs(3));
    }
    assert!(world.links[late].pop.is_some(), "it was not read");
}

/// An edge that the test plays takes no more dials.
fn take_no_dials(world: &mut World, link: usize) {
    let status = wire::Status {
        accepting: false,
        ..wire::Status::default()
    };
    world.inject(link, ToPop, Frame::Status(status));
}

#[test]
fn a_carrier_that_brings_nothing_is_silent_however_full_memory_is_now_and_then() {
    let mut world = poor_pop(1_000_000, 1);
    let dead = world.played_edge("node-9", hello(1, 1));
    take_no_dials(&mut world, dead);
    world.links[dead].to_pop.held = true;
    let carrier = world.links[dead].pop.unwrap();
    now_and_then_full(&mut world, 20, |world| {
        world.pop.takes_input(world.now, carrier);
    });
    assert_eq!(world.links[dead].pop, None, "it is forgotten");
}

#[test]
fn a_peer_that_is_read_and_acknowledges_nothing_is_cut_off() {
    let mut world = poor_pop(1_000_000, 0);
    let link = world.played_edge("node-9", hello(1, 1));
    let id = world.open();
    world.played_answer(link, 1, 1 << 20);
    while offer_up(&mut world, id, 50_000) > 0 {
        world.run();
    }
    take_no_dials(&mut world, link);
    let carrier = world.links[link].pop.unwrap();
    world.add_edge("node-0");
    now_and_then_full(&mut world, 20, |world| {
        if world.pop.takes_input(world.now, carrier) {
            world.pop.handle_alive(world.now, carrier);
        }
    });
    assert_eq!(world.tunnel_gone(), Some(Code::AckWithheld));
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

// --- What a user's share costs others -----------------------------------------------------------------

#[test]
fn what_one_user_holds_at_an_edge_makes_it_no_worse_for_others() {
    let mut world = World::new(config(), 1);
    let before = world.pop.explain(world.now, None);
    for code in [Code::Overloaded, Code::Memory] {
        for _ in 0..8 {
            let id = world.open();
            world.answer(Err(code));
            assert_eq!(world.ended(id), Some(code));
            let abort = CloseMode::Abort;
            world.pop.close(world.now, id, Code::Cancelled, abort);
            world.run();
        }
    }
    assert_eq!(world.pop.explain(world.now, None), before);
}

#[test]
fn windows_of_a_user_beyond_its_share_begin_small() {
    let poor = Config {
        memory_budget: 1_000_000,
        early_max: 1000,
        ..config()
    };
    let (mut world, link) = lonely_edge(poor);
    for session in 1..=3 {
        world.inject(
            link,
            ToEdge,
            Frame::Create {
                session,
                create: create(),
            },
        );
    }
    let ids = world.edges[0].opened.clone();
    for (session, &id) in (1..).zip(&ids) {
        if session < 3 {
            world.dialled(0, id, Ok(()));
            for _ in 0..4 {
                let data = Bytes::from(vec![1; 60_000]);
                world.inject(link, ToEdge, Frame::Data { session, data });
            }
        }
    }
    world.dialled(0, ids[2], Ok(()));
    let limits: Vec<_> = world
        .wire
        .iter()
        .filter_map(|seen| match &seen.frame {
            Frame::Reply { reply, .. } => Some(reply.upload_limit),
            _ => None,
        })
        .collect();
    assert_eq!(limits, [256 << 10, 256 << 10, 64 << 10]);
}

// --- Rooms near the end -------------------------------------------------------------------------------

#[test]
fn no_socket_is_read_for_crumbs() {
    let mut world = poor_pop(1_000_000, 1);
    let readers = of_each(&mut world, 1, 7);
    let (id, _) = world.connect_with(demand());
    let free = |world: &World| {
        let usage = world.pop.usage();
        1_000_000_usize.saturating_sub(usize::try_from(usage.session_bytes).unwrap())
    };
    'fill: loop {
        for &(_, edge) in &readers[..6] {
            if free(&world) < 16_000 {
                break 'fill;
            }
            offer_down(&mut world, 0, edge, 10_000);
            world.run();
        }
    }
    // What is copied is charged exactly.
    let len = free(&world) - 300;
    assert_eq!(offer_down(&mut world, 0, readers[6].1, len), len);
    world.run();
    assert_eq!(free(&world), 300);
    assert_eq!(world.pop.status(world.now, id).unwrap().send_room, 0);
    world.woken.clear();
    world.run();
    assert!(!world.woken.contains(&id));
    world.read_down(readers[6].0);
    assert!(world.woken.contains(&id), "it waits for ever");
    assert!(world.pop.status(world.now, id).unwrap().send_room > 4000);
}

#[test]
fn sockets_of_a_user_beyond_its_share_are_read_a_little_at_a_time() {
    let mut world = poor_pop(1_000_000, 1);
    let ids = [1, 1, 1, 2].map(|group| world.connect_with(Open { group, ..demand() }));
    for (_, edge) in &ids[..2] {
        assert_eq!(offer_down(&mut world, 0, *edge, 230_000), 230_000);
    }
    world.run();
    assert_eq!(world.pop.memory_level(), MemoryLevel::Normal);
    assert!(world.pop.short_of_memory(1).is_some());
    world.links[0].to_edge.blocked = true;
    assert_eq!(offer_up(&mut world, ids[2].0, 100_000), 4 << 10);
    assert_eq!(offer_up(&mut world, ids[2].0, 1), 0);
    assert_eq!(offer_up(&mut world, ids[3].0, 100_000), 100_000);
}

#[test]
fn no_socket_is_read_into_more_than_is_left() {
    let budget = 300_000;
    let mut world = poor_pop(budget, 1);
    let ids = of_each(&mut world, 1, 3);
    for &(_, edge) in &ids[..2] {
        assert_eq!(offer_down(&mut world, 0, edge, 75_000), 75_000);
    }
    world.run();
    assert_eq!(world.pop.memory_level(), MemoryLevel::Normal);
    let left = budget - world.pop.usage().session_bytes;
    let room = world.pop.status(world.now, ids[2].0).unwrap().send_room;
    assert_eq!(room as u64, left);
    // A queue may be that much longer.
    world.links[0].to_edge.blocked = true;
    assert_eq!(offer_up(&mut world, ids[2].0, 20_000), 20_000);
    let left = budget - world.pop.usage().session_bytes;
    let room = world.pop.status(world.now, ids[2].0).unwrap().send_room;
    assert_eq!(room as u64, left);
}

// --- A dial is not standing still ---------------------------------------------------------------------

#[test]
fn early_data_of_a_dial_stands_not_still() {
    let poor = Config {
        memory_budget: 100_000,
        ..config()
    };
    let (mut world, link) = lonely_edge(poor);
    for (session, len) in [(1, 30_000), (2, 60_000)] {
        let create = wire::Create {
            group: u32::try_from(session).unwrap(),
            ..create()
        };
        world.inject(link, ToEdge, Frame::Create { session, create });
        let data = Bytes::from(vec![1; len]);
        world.inject(link, ToEdge, Frame::Data { session, data });
    }
    assert!(world.edges[0].core.memory_level() >= MemoryLevel::Refusing);
    world.wait(secs(8));
    assert_eq!(world.edges[0].core.counters().shed, 0);
    // Once there is a socket, it has its time.
    let ids = world.edges[0].opened.clone();
    for id in ids {
        world.dialled(0, id, Ok(()));
    }
    world.wait(secs(4));
    assert_eq!(world.edges[0].core.counters().shed, 0);
    world.wait(secs(3));
    assert_eq!(world.edges[0].core.counters().shed, 1);
}

//! Memory that is used up, or nearly: something always moves on, and who is not read is not blamed.

use crate::common::{Rig, Way::ToEdge, Way::ToPop, config, create, demand, hello, millis, secs};
use crate::offers::{
    beside_rich_edges, connect_somewhere, lonely_edge, offer_down, offer_up, poor_pop,
};
use bytes::Bytes;
use titan_core::endpoint::{CloseMode, Config, MemoryLevel, Open, SessionId};
use titan_proto::{Code, Frame, wire};

/// Opens `count` sessions, each of another user from `group` on.
fn of_each(rig: &mut Rig, group: u32, count: u32) -> Vec<(SessionId, SessionId)> {
    (group..group + count)
        .map(|group| rig.connect_with(Open { group, ..demand() }))
        .collect()
}

fn fill_up(rig: &mut Rig, ids: &[(SessionId, SessionId)], len: usize) {
    loop {
        let sent: usize = ids.iter().map(|&(id, _)| offer_up(rig, id, len)).sum();
        rig.run();
        if sent == 0 {
            return;
        }
    }
}

// --- Nothing waits for ever ---------------------------------------------------------------------------

#[test]
fn little_that_many_leave_unread_stops_nobody_for_ever() {
    let mut rig = poor_pop(1 << 20, 1);
    let quiet = of_each(&mut rig, 1, 40);
    // Each leaves as much as it may for as long as it likes, together more than the part of the budget
    // from which carriers are not read.
    for &(_, edge) in &quiet[..18] {
        rig.send_down(0, edge, &[1; 1000]);
    }
    let senders = of_each(&mut rig, 100, 400);
    rig.links[0].to_edge.held = true;
    fill_up(&mut rig, &senders, 4 << 10);
    for &(_, edge) in &quiet[18..] {
        if rig.pop.memory_level() < MemoryLevel::Full {
            rig.send_down(0, edge, &[1; 1000]);
        }
    }
    let usage = rig.pop.usage();
    assert_eq!(rig.pop.memory_level(), MemoryLevel::Full, "{usage:?}");
    assert_eq!(rig.pop.counters().shed, 0);
    let over = usage.session_bytes + usage.resend_bytes - (1 << 20);
    // What would free all of it waits in a carrier.
    rig.links[0].to_edge.held = false;
    rig.wait(secs(10));
    let usage = rig.pop.usage();
    assert!(rig.pop.memory_level() < MemoryLevel::Full, "{usage:?}");
    assert!(usage.resend_bytes < 100_000, "{usage:?}");
    for &(pop, _) in &senders {
        assert_eq!(rig.ended(pop), None);
    }
    let ended = quiet.iter().filter(|id| rig.ended(id.0).is_some());
    let ended = u64::try_from(ended.count()).unwrap();
    // Each held a thousand bytes.
    let most = over / 1000 + 1;
    assert!((1..=most).contains(&ended), "{ended} of {most}");
}

#[test]
fn who_leaves_little_stays_while_another_leaves_more() {
    let mut rig = poor_pop(1 << 20, 1);
    let quiet = of_each(&mut rig, 1, 20);
    for &(_, edge) in &quiet {
        rig.send_down(0, edge, &[1; 1000]);
    }
    let greedy = of_each(&mut rig, 50, 6);
    while rig.pop.memory_level() < MemoryLevel::Full {
        for &(_, edge) in &greedy {
            offer_down(&mut rig, 0, edge, 10_000);
        }
        rig.run();
    }
    rig.wait(secs(20));
    assert!(rig.pop.memory_level() < MemoryLevel::Refusing);
    for &(pop, _) in &quiet {
        assert_eq!(rig.ended(pop), None);
    }
}

// --- Who is not read is not silent --------------------------------------------------------------------

/// Fills a POP of a million bytes far beyond that: what sessions of so many users get, so much each, arrives in
/// one turn.
fn overfill(rig: &mut Rig, users: u32, each: usize) -> Vec<(SessionId, SessionId)> {
    let ids = of_each(rig, 1, users);
    rig.links[0].to_pop.held = true;
    for &(_, edge) in &ids {
        let mut left = each;
        while left > 0 {
            let sent = offer_down(rig, 0, edge, left);
            assert!(sent > 0);
            left -= sent;
            rig.run();
        }
    }
    ids
}

fn roomy() -> Rig {
    let poor = Config {
        memory_budget: 1_000_000,
        window_base: 2 << 20,
        ..config()
    };
    beside_rich_edges(poor, 1)
}

#[test]
fn a_carrier_that_is_not_read_is_not_silent_to_either_end() {
    let mut rig = roomy();
    let sender = rig.connect_with(Open {
        group: 9,
        ..demand()
    });
    let ids = overfill(&mut rig, 4, 900_000);
    rig.add_edge("node-1");
    // More than a user may keep for resending: the POP waits for an acknowledgement, too.
    rig.links[0].to_edge.held = true;
    while offer_up(&mut rig, sender.0, 50_000) > 0 {
        rig.run();
    }
    rig.links[0].to_pop.held = false;
    rig.run();
    rig.links[0].to_edge.held = false;
    for _ in 0..8 {
        // Enough that nobody stands still, and so little that it goes on.
        for &(pop, _) in &ids {
            rig.pop.release(rig.now, pop, 64 << 10);
        }
        rig.wait(secs(4));
        assert_eq!(rig.pop.memory_level(), MemoryLevel::Full);
    }
    assert_eq!(rig.links.len(), 2, "nobody had to connect again");
    for &(pop, _) in &ids {
        while !rig.read_down(pop).is_empty() {}
    }
    rig.wait(secs(20));
    assert_eq!(rig.links.len(), 2, "nor afterwards");
    assert_eq!(rig.tunnel_gone(), None);
    assert_eq!(rig.pop.counters().shed, 0);
    assert!(!rig.read_up(0, sender.1).is_empty());
}

#[test]
fn the_time_in_which_nobody_is_read_is_no_debt() {
    let mut rig = roomy();
    let senders = of_each(&mut rig, 8, 2);
    let ids = overfill(&mut rig, 2, 1_900_000);
    // They keep more than half of the pool, and what acknowledges it is not read for longer than anybody has.
    rig.links[0].to_edge.held = true;
    fill_up(&mut rig, &senders, 50_000);
    let kept = rig.pop.usage().resend_bytes;
    assert!(kept > 125_000, "{kept}");
    rig.links[0].to_pop.held = false;
    rig.run();
    rig.links[0].to_edge.held = false;
    for _ in 0..20 {
        for &(pop, _) in &ids {
            rig.pop.release(rig.now, pop, 64 << 10);
        }
        rig.wait(millis(4_900));
        assert_eq!(rig.pop.memory_level(), MemoryLevel::Full);
    }
    for &(pop, _) in &ids {
        while !rig.read_down(pop).is_empty() {}
    }
    rig.wait(secs(1));
    assert_eq!(rig.tunnel_gone(), None);
    assert_eq!(rig.pop.counters().shed, 0);
    assert!(rig.pop.usage().resend_bytes < 1000);
}

/// A POP that is full for a moment each second, and what happens when that begins, ends and is over.
fn now_and_then_full(rig: &mut Rig, seconds: u64, mut each: impl FnMut(&mut Rig)) {
    // Of each, one window is used.
    let ids: Vec<_> = (1..=6 * u32::try_from(seconds).unwrap())
        .map(|group| connect_somewhere(rig, group))
        .collect();
    for ids in ids.chunks(6) {
        for &(edge, (_, at_edge)) in ids {
            offer_down(rig, edge, at_edge, 250_000);
            rig.run();
        }
        assert_eq!(rig.pop.memory_level(), MemoryLevel::Full);
        each(rig);
        rig.wait(millis(100));
        each(rig);
        while ids
            .iter()
            .any(|&(_, (pop, _))| !rig.read_down(pop).is_empty())
        {}
        each(rig);
        rig.wait(millis(900));
    }
    assert_eq!(rig.pop.counters().shed, 0);
}

#[test]
fn a_carrier_that_nobody_came_to_read_meanwhile_is_not_silent() {
    let mut rig = poor_pop(1_000_000, 1);
    let late = rig.played_edge("node-9", hello(1, 1));
    take_no_dials(&mut rig, late);
    rig.links[late].to_pop.held = true;
    let carrier = rig.links[late].pop.unwrap();
    let ids = of_each(&mut rig, 1, 12);
    let fill = |rig: &mut Rig, ids: &[(SessionId, SessionId)]| {
        for &(_, edge) in ids {
            offer_down(rig, 0, edge, 250_000);
            rig.run();
        }
        assert_eq!(rig.pop.memory_level(), MemoryLevel::Full);
    };
    fill(&mut rig, &ids[..6]);
    assert!(!rig.pop.takes_input(rig.now, carrier));
    for &(id, _) in &ids[..6] {
        while !rig.read_down(id).is_empty() {}
    }
    // It is its turn to be asked whether it is alive, and memory is used up again before it is read.
    rig.wait(secs(6));
    fill(&mut rig, &ids[6..]);
    for _ in 0..6 {
        for &(id, _) in &ids[6..] {
            rig.pop.release(rig.now, id, 1000);
        }
        rig.wait(secs(3));
    }
    assert!(rig.links[late].pop.is_some(), "it was not read");
}

/// An edge that the test plays takes no more dials.
fn take_no_dials(rig: &mut Rig, link: usize) {
    let status = wire::Status {
        accepting: false,
        ..wire::Status::default()
    };
    rig.inject(link, ToPop, Frame::Status(status));
}

#[test]
fn a_carrier_that_brings_nothing_is_silent_however_full_memory_is_now_and_then() {
    let mut rig = poor_pop(1_000_000, 1);
    let dead = rig.played_edge("node-9", hello(1, 1));
    take_no_dials(&mut rig, dead);
    rig.links[dead].to_pop.held = true;
    let carrier = rig.links[dead].pop.unwrap();
    now_and_then_full(&mut rig, 20, |rig| {
        rig.pop.takes_input(rig.now, carrier);
    });
    assert_eq!(rig.links[dead].pop, None, "it is forgotten");
}

#[test]
fn a_peer_that_is_read_and_acknowledges_nothing_is_cut_off() {
    let mut rig = poor_pop(1_000_000, 0);
    let link = rig.played_edge("node-9", hello(1, 1));
    let id = rig.open();
    rig.played_answer(link, 1, 1 << 20);
    while offer_up(&mut rig, id, 50_000) > 0 {
        rig.run();
    }
    take_no_dials(&mut rig, link);
    let carrier = rig.links[link].pop.unwrap();
    rig.add_edge("node-0");
    now_and_then_full(&mut rig, 20, |rig| {
        if rig.pop.takes_input(rig.now, carrier) {
            rig.pop.handle_alive(rig.now, carrier);
        }
    });
    assert_eq!(rig.tunnel_gone(), Some(Code::AckWithheld));
}

// --- Who is looked at ---------------------------------------------------------------------------------

#[test]
fn who_comes_beyond_its_share_by_what_others_hold_is_looked_at() {
    let mut rig = poor_pop(1_000_000, 1);
    let still = [1, 1].map(|group| rig.connect_with(Open { group, ..demand() }));
    let senders = of_each(&mut rig, 10, 4);
    for (_, edge) in still {
        let sent = offer_down(&mut rig, 0, edge, 190_000);
        assert_eq!(sent, 190_000);
        rig.run();
    }
    assert_eq!(rig.pop.short_of_memory(1), None);
    rig.links[0].to_edge.blocked = true;
    for &(id, _) in &senders {
        offer_up(&mut rig, id, 20_000);
    }
    rig.run();
    assert!(rig.pop.short_of_memory(1).is_some());
    rig.wait(secs(7));
    assert_eq!(rig.pop.counters().shed, 1);
}

#[test]
fn the_largest_user_is_looked_at_beside_one_nearly_as_large() {
    let mut rig = poor_pop(1_000_000, 1);
    let ids = of_each(&mut rig, 1, 4);
    for (&(_, edge), len) in ids.iter().zip([240_000, 140_000, 90_000, 90_000]).rev() {
        assert_eq!(offer_down(&mut rig, 0, edge, len), len);
        rig.run();
    }
    let beyond = [1, 2, 3, 4].map(|group| rig.pop.short_of_memory(group).is_some());
    assert_eq!(beyond, [true, false, false, false]);
    rig.wait(secs(7));
    assert_eq!(rig.ended(ids[0].0), Some(Code::Memory));
    assert_eq!(rig.pop.counters().shed, 1);
}

#[test]
fn relief_looks_at_some_users_in_a_turn_also_if_none_leaves_anything() {
    let mut rig = poor_pop(1_000_000, 1);
    let senders = of_each(&mut rig, 1, 400);
    rig.links[0].to_edge.blocked = true;
    for &(id, _) in &senders {
        offer_up(&mut rig, id, 2200);
    }
    let level = rig.pop.memory_level();
    assert!((MemoryLevel::Refusing..MemoryLevel::Full).contains(&level));
    let start = rig.pop.counters().visits;
    for _ in 0..1500 {
        let before = rig.pop.counters().visits;
        rig.wait(millis(1));
        let visited = rig.pop.counters().visits - before;
        assert!(visited < 130, "{visited} in a turn");
    }
    assert!(rig.pop.counters().visits - start >= 400, "at all of them");
    assert_eq!(rig.pop.counters().shed, 0);
}

// --- What a user's share costs others -----------------------------------------------------------------

#[test]
fn what_one_user_holds_at_an_edge_makes_it_no_worse_for_others() {
    let mut rig = Rig::new(config(), 1);
    let before = rig.pop.explain(rig.now, None);
    for code in [Code::Overloaded, Code::Memory] {
        for _ in 0..8 {
            let id = rig.open();
            rig.answer(Err(code));
            assert_eq!(rig.ended(id), Some(code));
            let abort = CloseMode::Abort;
            rig.pop.close(rig.now, id, Code::Cancelled, abort);
            rig.run();
        }
    }
    assert_eq!(rig.pop.explain(rig.now, None), before);
}

#[test]
fn windows_of_a_user_beyond_its_share_begin_small() {
    let poor = Config {
        memory_budget: 1_000_000,
        early_max: 1000,
        ..config()
    };
    let (mut rig, link) = lonely_edge(poor);
    for session in 1..=3 {
        rig.inject(
            link,
            ToEdge,
            Frame::Create {
                session,
                create: create(),
            },
        );
    }
    let ids = rig.edges[0].opened.clone();
    for (session, &id) in (1..).zip(&ids) {
        if session < 3 {
            rig.dialled(0, id, Ok(()));
            for _ in 0..4 {
                let data = Bytes::from(vec![1; 60_000]);
                rig.inject(link, ToEdge, Frame::Data { session, data });
            }
        }
    }
    rig.dialled(0, ids[2], Ok(()));
    let limits: Vec<_> = rig
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
    let mut rig = poor_pop(1_000_000, 1);
    let readers = of_each(&mut rig, 1, 7);
    let (id, _) = rig.connect_with(demand());
    let free = |rig: &Rig| {
        let usage = rig.pop.usage();
        1_000_000_usize.saturating_sub(usize::try_from(usage.session_bytes).unwrap())
    };
    'fill: loop {
        for &(_, edge) in &readers[..6] {
            if free(&rig) < 16_000 {
                break 'fill;
            }
            offer_down(&mut rig, 0, edge, 10_000);
            rig.run();
        }
    }
    // What is copied is charged exactly.
    let len = free(&rig) - 300;
    assert_eq!(offer_down(&mut rig, 0, readers[6].1, len), len);
    rig.run();
    assert_eq!(free(&rig), 300);
    assert_eq!(rig.pop.status(rig.now, id).unwrap().send_room, 0);
    rig.woken.clear();
    rig.run();
    assert!(!rig.woken.contains(&id));
    rig.read_down(readers[6].0);
    assert!(rig.woken.contains(&id), "it waits for ever");
    assert!(rig.pop.status(rig.now, id).unwrap().send_room > 4000);
}

#[test]
fn sockets_of_a_user_beyond_its_share_are_read_a_little_at_a_time() {
    let mut rig = poor_pop(1_000_000, 1);
    let ids = [1, 1, 1, 2].map(|group| rig.connect_with(Open { group, ..demand() }));
    for (_, edge) in &ids[..2] {
        assert_eq!(offer_down(&mut rig, 0, *edge, 230_000), 230_000);
    }
    rig.run();
    assert_eq!(rig.pop.memory_level(), MemoryLevel::Normal);
    assert!(rig.pop.short_of_memory(1).is_some());
    rig.links[0].to_edge.blocked = true;
    assert_eq!(offer_up(&mut rig, ids[2].0, 100_000), 4 << 10);
    assert_eq!(offer_up(&mut rig, ids[2].0, 1), 0);
    assert_eq!(offer_up(&mut rig, ids[3].0, 100_000), 100_000);
}

#[test]
fn no_socket_is_read_into_more_than_is_left() {
    let budget = 300_000;
    let mut rig = poor_pop(budget, 1);
    let ids = of_each(&mut rig, 1, 3);
    for &(_, edge) in &ids[..2] {
        assert_eq!(offer_down(&mut rig, 0, edge, 75_000), 75_000);
    }
    rig.run();
    assert_eq!(rig.pop.memory_level(), MemoryLevel::Normal);
    let left = budget - rig.pop.usage().session_bytes;
    let room = rig.pop.status(rig.now, ids[2].0).unwrap().send_room;
    assert_eq!(room as u64, left);
    // A queue may be that much longer.
    rig.links[0].to_edge.blocked = true;
    assert_eq!(offer_up(&mut rig, ids[2].0, 20_000), 20_000);
    let left = budget - rig.pop.usage().session_bytes;
    let room = rig.pop.status(rig.now, ids[2].0).unwrap().send_room;
    assert_eq!(room as u64, left);
}

// --- A dial is not standing still ---------------------------------------------------------------------

#[test]
fn early_data_of_a_dial_stands_not_still() {
    let poor = Config {
        memory_budget: 100_000,
        ..config()
    };
    let (mut rig, link) = lonely_edge(poor);
    for (session, len) in [(1, 30_000), (2, 60_000)] {
        let create = wire::Create {
            group: u32::try_from(session).unwrap(),
            ..create()
        };
        rig.inject(link, ToEdge, Frame::Create { session, create });
        let data = Bytes::from(vec![1; len]);
        rig.inject(link, ToEdge, Frame::Data { session, data });
    }
    assert!(rig.edges[0].core.memory_level() >= MemoryLevel::Refusing);
    rig.wait(secs(8));
    assert_eq!(rig.edges[0].core.counters().shed, 0);
    // Once there is a socket, it has its time.
    let ids = rig.edges[0].opened.clone();
    for id in ids {
        rig.dialled(0, id, Ok(()));
    }
    rig.wait(secs(4));
    assert_eq!(rig.edges[0].core.counters().shed, 0);
    rig.wait(secs(3));
    assert_eq!(rig.edges[0].core.counters().shed, 1);
}

//! Grants: what a group may carry, to the byte, and what is counted.

use crate::common::{Way::ToEdge, World, config, demand, millis, secs};
use titan_core::endpoint::{Carried, CloseMode, Config, Event, Grant, Open, PopEvent, SessionId};
use titan_proto::{Code, Frame};

fn grant(world: &mut World, group: u32, total: u64) {
    grant_with(world, group, total, 0);
}

fn grant_with(world: &mut World, group: u32, total: u64, low: u64) {
    let total = Some(total);
    world.pop.grant(world.now, group, Grant { total, low });
    world.run();
}

fn carried(world: &World) -> (u64, u64) {
    let Carried { up, down } = world.pop.carried(1);
    (up, down)
}

fn room(world: &mut World, id: SessionId) -> usize {
    world.pop.status(world.now, id).unwrap().send_room
}

fn readable(world: &mut World, id: SessionId) -> usize {
    world.pop.status(world.now, id).unwrap().readable
}

fn lows(world: &World) -> usize {
    let low =
        |event: &&Event<PopEvent>| **event == Event::Role(PopEvent::AllowanceLow { group: 1 });
    world.events.iter().filter(low).count()
}

fn was_woken(world: &mut World, id: SessionId) -> bool {
    core::mem::take(&mut world.woken).contains(&id)
}

#[test]
fn without_a_grant_bytes_are_counted_and_not_limited() {
    let mut world = World::new(config(), 1);
    let (id, at_edge) = world.connect();
    world.send_up(id, &[1; 3000]);
    world.send_down(0, at_edge, &[2; 5000]);
    assert_eq!(carried(&world), (3000, 0), "nothing has reached the client");
    assert_eq!(world.read_down(id).len(), 5000);
    assert_eq!(carried(&world), (3000, 5000));
    assert_eq!(world.pop.left(1), None);
}

#[test]
fn a_client_may_send_exactly_what_is_granted() {
    for (total, sent) in [(999, 999), (1000, 1000), (1001, 1000)] {
        let mut world = World::new(config(), 1);
        grant(&mut world, 1, total);
        let (id, at_edge) = world.connect();
        assert_eq!(room(&mut world, id) as u64, total);
        // A careless driver takes 1000 bytes whatever it is told.
        world.send_up(id, &[1; 1000]);
        assert_eq!(carried(&world), (sent, 0), "of {total}");
        assert_eq!(world.read_up(0, at_edge).len() as u64, sent);
        assert_eq!(room(&mut world, id) as u64, total - sent);
        grant(&mut world, 1, 5000);
        assert_eq!(carried(&world), (1000, 0));
        assert_eq!(world.read_up(0, at_edge).len() as u64, 1000 - sent);
    }
}

#[test]
fn what_is_recalled_moves_no_more() {
    let mut world = World::new(config(), 1);
    grant(&mut world, 1, 10_000);
    let (id, at_edge) = world.connect();
    world.send_up(id, &[1; 1000]);
    world.send_down(0, at_edge, &[2; 1000]);
    let low = 1;
    let recall = |total| Grant {
        total: Some(total),
        low,
    };
    world.pop.recall(world.now, 1, recall(1600));
    world.run();
    assert_eq!(room(&mut world, id), 600);
    assert_eq!(readable(&mut world, id), 600);
    assert_eq!(world.read_down(id).len(), 600);
    assert_eq!(world.pop.left(1), Some(0));
    assert_eq!(lows(&world), 1, "somebody has to ask for more");
    world.pop.recall(world.now, 1, recall(0));
    world.run();
    assert_eq!(carried(&world), (1000, 600));
    grant(&mut world, 1, 2000);
    assert!(was_woken(&mut world, id));
    assert_eq!(world.read_down(id).len(), 400);
}

#[test]
fn a_client_sees_exactly_what_is_granted() {
    for (total, seen) in [(999, 999), (1000, 1000), (1001, 1000)] {
        let mut world = World::new(config(), 1);
        grant(&mut world, 1, total);
        let (id, at_edge) = world.connect();
        world.send_down(0, at_edge, &[1; 1000]);
        assert_eq!(readable(&mut world, id) as u64, seen);
        assert_eq!(world.read_down(id).len() as u64, seen);
        assert_eq!(carried(&world), (0, seen));
        assert_eq!(readable(&mut world, id), 0);
        // Released is only what was readable, whatever the driver says.
        world.pop.release(world.now, id, 1000);
        assert_eq!(carried(&world), (0, seen));
    }
}

#[test]
fn both_directions_and_all_sessions_share_one_grant() {
    let mut world = World::new(config(), 1);
    grant(&mut world, 1, 1000);
    let (one, at_one) = world.connect();
    let (two, _) = world.connect();
    world.send_down(0, at_one, &[1; 600]);
    world.send_up(two, &[2; 500]);
    assert_eq!(world.read_down(one).len(), 500);
    assert_eq!(carried(&world), (500, 500));
    assert_eq!((room(&mut world, two), readable(&mut world, one)), (0, 0));
    // Another user is not concerned.
    let (other, _) = world.connect_with(Open {
        group: 2,
        ..demand()
    });
    assert!(room(&mut world, other) > 1000);
}

#[test]
fn who_found_nothing_left_is_woken_by_the_next_grant() {
    let mut world = World::new(config(), 1);
    grant(&mut world, 1, 100);
    let (id, at_edge) = world.connect();
    let (idle, _) = world.connect();
    world.send_down(0, at_edge, &[1; 300]);
    assert_eq!(world.read_down(id).len(), 100);
    assert_eq!((readable(&mut world, id), room(&mut world, idle)), (0, 0));
    world.wait(secs(60));
    world.woken.clear();
    grant(&mut world, 1, 150);
    assert!(was_woken(&mut world, id), "one who reads");
    assert_eq!(world.read_down(id).len(), 50);
    assert_eq!(readable(&mut world, id), 0);
    grant(&mut world, 1, 1_000_000);
    let woken = core::mem::take(&mut world.woken);
    assert!(woken.contains(&id) && woken.contains(&idle));
    assert_eq!(world.read_down(id).len(), 150);
}

#[test]
fn a_late_or_repeated_grant_changes_nothing() {
    let mut world = World::new(config(), 1);
    grant(&mut world, 1, 1000);
    let (id, _) = world.connect();
    world.send_up(id, &[1; 400]);
    for total in [1000, 300, 0] {
        grant(&mut world, 1, total);
        assert_eq!(room(&mut world, id), 600);
    }
}

#[test]
fn early_bytes_are_counted_once_over_three_exits() {
    let mut world = World::new(config(), 3);
    grant(&mut world, 1, 10_000);
    let id = world.open();
    world.send_up(id, &[1; 700]);
    world.answer(Err(Code::TimedOut));
    world.answer(Err(Code::TimedOut));
    assert_eq!(world.data(ToEdge).len(), 3 * 700, "framed for each exit");
    assert_eq!(carried(&world), (700, 0));
    let edge = world.answer(Ok(()));
    world.send_up(id, &[1; 300]);
    assert_eq!(carried(&world), (1000, 0));
    let _ = edge;
    assert_eq!(world.pop.left(1), Some(9_000));
}

#[test]
fn bytes_that_could_not_be_booked_wait_through_a_failover() {
    let mut world = World::new(config(), 2);
    grant(&mut world, 1, 500);
    let id = world.open();
    world.send_up(id, &[1; 700]);
    assert_eq!((carried(&world), world.data(ToEdge).len()), ((500, 0), 500));
    world.answer(Err(Code::TimedOut));
    assert_eq!(
        (carried(&world), world.data(ToEdge).len()),
        ((500, 0), 1000)
    );
    grant(&mut world, 1, 700);
    assert_eq!(
        (carried(&world), world.data(ToEdge).len()),
        ((700, 0), 1200)
    );
}

#[test]
fn a_resume_counts_nothing_again() {
    let mut world = World::new(config(), 1);
    grant(&mut world, 1, 10_000);
    let (id, at_edge) = world.connect();
    let link = world.link(0);
    world.links[link].to_edge.held = true;
    world.send_up(id, &[1; 4000]);
    world.send_down(0, at_edge, &[2; 3000]);
    world.cut(link);
    world.wait(secs(1));
    assert_eq!(world.read_up(0, at_edge).len(), 4000);
    assert_eq!(world.read_down(id).len(), 3000);
    assert_eq!(carried(&world), (4000, 3000));
}

#[test]
fn what_was_taken_and_never_sent_stays_counted_and_what_was_not_taken_does_not() {
    let mut world = World::new(config(), 1);
    grant(&mut world, 1, 1000);
    let (id, _) = world.connect();
    let link = world.link(0);
    world.links[link].to_edge.blocked = true;
    world.send_up(id, &[1; 1500]);
    world
        .pop
        .close(world.now, id, Code::Cancelled, CloseMode::Abort);
    world.links[link].to_edge.blocked = false;
    world.run();
    assert_eq!(world.data(ToEdge).len(), 0);
    assert_eq!(carried(&world), (1000, 0));
    assert_eq!(world.pop.left(1), Some(0));
}

#[test]
fn a_reset_in_mid_queue_counts_what_the_client_got() {
    let mut world = World::new(config(), 1);
    let (id, at_edge) = world.connect();
    world.send_down(0, at_edge, &[1; 3000]);
    world.pop.release(world.now, id, 1200);
    world.edges[0]
        .core
        .close(world.now, at_edge, Code::Reset, CloseMode::Abort);
    world.run();
    assert_eq!(world.ended(id), Some(Code::Reset));
    assert_eq!(carried(&world), (0, 1200), "the rest was dropped");
}

#[test]
fn the_tail_of_a_failed_session_waits_for_a_grant_and_is_not_lost() {
    let mut world = World::new(config(), 1);
    grant(&mut world, 1, 1000);
    let (id, at_edge) = world.connect();
    world.send_down(0, at_edge, &[1; 3000]);
    world.edges[0]
        .core
        .close(world.now, at_edge, Code::Reset, CloseMode::Flush);
    world.run();
    assert_eq!(world.ended(id), None, "bytes are withheld");
    assert_eq!(world.read_down(id).len(), 1000);
    let status = world.pop.status(world.now, id).unwrap();
    assert_eq!((status.readable, status.ended), (0, None));
    grant(&mut world, 1, 9000);
    assert!(was_woken(&mut world, id));
    assert_eq!(world.read_down(id).len(), 2000);
    assert_eq!(world.ended(id), Some(Code::Reset));
}

#[test]
fn the_tail_of_a_complete_session_has_its_time_from_the_grant_on() {
    let mut world = World::new(config(), 1);
    grant(&mut world, 1, 1000);
    let (id, at_edge) = world.connect();
    world.pop.finish(world.now, id);
    world.send_down(0, at_edge, &[1; 3000]);
    world.edges[0].core.finish(world.now, at_edge);
    world.run();
    assert_eq!(world.read_down(id).len(), 1000);
    world.wait(secs(20));
    world.edges[0].core.farewell(world.now, Code::ShuttingDown);
    world.wait(secs(20));
    grant(&mut world, 1, 9000);
    assert!(was_woken(&mut world, id));
    // Its client is slow, but not too slow.
    world.wait(secs(29));
    assert_eq!(world.read_down(id).len(), 2000);
    assert_eq!(world.ended(id), Some(Code::Ok));
}

#[test]
fn low_is_told_once_per_grant_at_the_byte() {
    let mut world = World::new(config(), 1);
    grant_with(&mut world, 1, 1000, 400);
    let (id, _) = world.connect();
    world.send_up(id, &[1; 600]);
    assert_eq!(lows(&world), 0, "400 are left");
    world.send_up(id, &[1; 1]);
    assert_eq!(lows(&world), 1);
    world.send_up(id, &[1; 100]);
    assert_eq!(lows(&world), 1);
    grant_with(&mut world, 1, 2000, 400);
    assert_eq!(lows(&world), 1);
    world.send_up(id, &[1; 1000]);
    assert_eq!(lows(&world), 2);
    grant_with(&mut world, 1, 2000, 400);
    assert_eq!(lows(&world), 3, "a grant that brings too little");
}

#[test]
fn an_exhausted_group_ends_in_mid_transfer_and_opens_again_with_a_grant() {
    let mut world = World::new(config(), 1);
    grant(&mut world, 1, 1 << 20);
    let (busy, at_edge) = world.connect();
    let (idle, _) = world.connect();
    let dialling = world.open();
    let (other, _) = world.connect_with(Open {
        group: 2,
        ..demand()
    });
    world.send_down(0, at_edge, &[1; 5000]);
    world.pop.exhaust(world.now, 1, Code::QuotaExceeded);
    assert_eq!(readable(&mut world, busy), 0);
    world.run();
    for id in [busy, idle, dialling] {
        assert_eq!(world.ended(id), Some(Code::QuotaExceeded));
    }
    assert_eq!(world.ended(other), None);
    assert_eq!(world.edge_ended(0, at_edge), Some(Code::QuotaExceeded));
    let close = |frame: &Frame| matches!(frame, Frame::Close { close, .. } if close.code == Code::QuotaExceeded.wire());
    assert_eq!(world.count(close), 3);
    let refused = world.pop.open(world.now, demand());
    assert_eq!(refused, Err(Code::QuotaExceeded));
    grant(&mut world, 1, 2 << 20);
    assert!(world.pop.open(world.now, demand()).is_ok());
    assert_eq!(carried(&world), (0, 0));
}

#[test]
fn a_group_of_very_many_sessions_is_ended_in_pieces() {
    let mut world = World::new(config(), 1);
    let ids: Vec<SessionId> = (0..200).map(|_| world.open()).collect();
    world.pop.exhaust(world.now, 1, Code::UserDisabled);
    world.run();
    let ended = |world: &mut World| {
        let count = ids.iter().filter(|&&id| world.ended(id).is_some());
        count.count()
    };
    assert_eq!(ended(&mut world), 64);
    // One that is opened after the next grant is none of those.
    world.pop.grant(world.now, 1, Grant::default());
    let later = world.open();
    world.wait(millis(10));
    assert_eq!(ended(&mut world), 200);
    assert_eq!(world.ended(later), None);
}

#[test]
fn usage_is_polled_by_group_and_a_group_is_forgotten_when_it_is_empty() {
    let mut world = World::new(config(), 1);
    let (id, _) = world.connect();
    let (other, _) = world.connect_with(Open {
        group: 2,
        ..demand()
    });
    assert_eq!(world.pop.poll_carried(), None);
    for _ in 0..3 {
        world.send_up(id, &[1; 10]);
    }
    world.send_up(other, &[1; 5]);
    let up = |up| Carried { up, down: 0 };
    assert_eq!(world.pop.poll_carried(), Some((1, up(30))));
    assert_eq!(world.pop.poll_carried(), Some((2, up(5))));
    assert_eq!(world.pop.poll_carried(), None);
    world.send_up(other, &[1; 1]);
    assert_eq!(world.pop.session_carried(other), Some(up(6)));
    assert_eq!(world.pop.forget_group(2), None, "it has a session");
    world
        .pop
        .close(world.now, other, Code::Ok, CloseMode::Abort);
    world.run();
    assert_eq!(world.pop.forget_group(2), Some(up(6)));
    assert_eq!(world.pop.poll_carried(), None);
    assert_eq!(world.pop.forget_group(2), None);
    assert_eq!(world.pop.usage().groups, 1);
}

#[test]
fn a_small_grant_goes_round_among_those_who_wait() {
    let mut world = World::new(
        Config {
            send_queue_max: 64 << 10,
            ..config()
        },
        1,
    );
    grant(&mut world, 1, 0);
    let ids: Vec<SessionId> = (0..10)
        .map(|_| {
            let (id, at_edge) = world.connect();
            world.send_down(0, at_edge, &[1; 20_000]);
            assert_eq!(readable(&mut world, id), 0);
            id
        })
        .collect();
    world.woken.clear();
    for round in 1..=50 {
        grant(&mut world, 1, round * 2048);
        for _ in 0..5 {
            for id in core::mem::take(&mut world.woken) {
                world.read_down(id);
                world.pop.status(world.now, id).unwrap();
            }
            world.wait(millis(1));
        }
    }
    let counts: Vec<u64> = ids
        .iter()
        .map(|&id| world.pop.session_carried(id).unwrap().down)
        .collect();
    assert_eq!(counts.iter().sum::<u64>(), 50 * 2048);
    let (least, most) = (counts.iter().min(), counts.iter().max());
    assert!(most.unwrap() - least.unwrap() <= 2048, "{counts:?}");
}

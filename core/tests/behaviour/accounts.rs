//! Grants: what a group may carry, to the byte, and what is counted.

use crate::common::{Rig, Way::ToEdge, config, demand, millis, secs};
use titan_core::endpoint::{Carried, CloseMode, Config, Event, Grant, Open, PopEvent, SessionId};
use titan_proto::{Code, Frame};

fn grant(rig: &mut Rig, group: u32, total: u64) {
    grant_with(rig, group, total, 0);
}

fn grant_with(rig: &mut Rig, group: u32, total: u64, low: u64) {
    let total = Some(total);
    rig.pop.grant(rig.now, group, Grant { total, low });
    rig.run();
}

fn carried(rig: &Rig) -> (u64, u64) {
    let Carried { up, down } = rig.pop.carried(1);
    (up, down)
}

fn room(rig: &mut Rig, id: SessionId) -> usize {
    rig.pop.status(rig.now, id).unwrap().send_room
}

fn readable(rig: &mut Rig, id: SessionId) -> usize {
    rig.pop.status(rig.now, id).unwrap().readable
}

fn lows(rig: &Rig) -> usize {
    let low =
        |event: &&Event<PopEvent>| **event == Event::Role(PopEvent::AllowanceLow { group: 1 });
    rig.events.iter().filter(low).count()
}

fn was_woken(rig: &mut Rig, id: SessionId) -> bool {
    core::mem::take(&mut rig.woken).contains(&id)
}

#[test]
fn without_a_grant_bytes_are_counted_and_not_limited() {
    let mut rig = Rig::new(config(), 1);
    let (id, at_edge) = rig.connect();
    rig.send_up(id, &[1; 3000]);
    rig.send_down(0, at_edge, &[2; 5000]);
    assert_eq!(carried(&rig), (3000, 0), "nothing has reached the client");
    assert_eq!(rig.read_down(id).len(), 5000);
    assert_eq!(carried(&rig), (3000, 5000));
    assert_eq!(rig.pop.left(1), None);
}

#[test]
fn a_client_may_send_exactly_what_is_granted() {
    for (total, sent) in [(999, 999), (1000, 1000), (1001, 1000)] {
        let mut rig = Rig::new(config(), 1);
        grant(&mut rig, 1, total);
        let (id, at_edge) = rig.connect();
        assert_eq!(room(&mut rig, id) as u64, total);
        // A careless driver takes 1000 bytes whatever it is told.
        rig.send_up(id, &[1; 1000]);
        assert_eq!(carried(&rig), (sent, 0), "of {total}");
        assert_eq!(rig.read_up(0, at_edge).len() as u64, sent);
        assert_eq!(room(&mut rig, id) as u64, total - sent);
        grant(&mut rig, 1, 5000);
        assert_eq!(carried(&rig), (1000, 0));
        assert_eq!(rig.read_up(0, at_edge).len() as u64, 1000 - sent);
    }
}

#[test]
fn what_is_recalled_moves_no_more() {
    let mut rig = Rig::new(config(), 1);
    grant(&mut rig, 1, 10_000);
    let (id, at_edge) = rig.connect();
    rig.send_up(id, &[1; 1000]);
    rig.send_down(0, at_edge, &[2; 1000]);
    let low = 1;
    let recall = |total| Grant {
        total: Some(total),
        low,
    };
    rig.pop.recall(rig.now, 1, recall(1600));
    rig.run();
    assert_eq!(room(&mut rig, id), 600);
    assert_eq!(readable(&mut rig, id), 600);
    assert_eq!(rig.read_down(id).len(), 600);
    assert_eq!(rig.pop.left(1), Some(0));
    assert_eq!(lows(&rig), 1, "somebody has to ask for more");
    rig.pop.recall(rig.now, 1, recall(0));
    rig.run();
    assert_eq!(carried(&rig), (1000, 600));
    grant(&mut rig, 1, 2000);
    assert!(was_woken(&mut rig, id));
    assert_eq!(rig.read_down(id).len(), 400);
}

#[test]
fn a_client_sees_exactly_what_is_granted() {
    for (total, seen) in [(999, 999), (1000, 1000), (1001, 1000)] {
        let mut rig = Rig::new(config(), 1);
        grant(&mut rig, 1, total);
        let (id, at_edge) = rig.connect();
        rig.send_down(0, at_edge, &[1; 1000]);
        assert_eq!(readable(&mut rig, id) as u64, seen);
        assert_eq!(rig.read_down(id).len() as u64, seen);
        assert_eq!(carried(&rig), (0, seen));
        assert_eq!(readable(&mut rig, id), 0);
        // Released is only what was readable, whatever the driver says.
        rig.pop.release(rig.now, id, 1000);
        assert_eq!(carried(&rig), (0, seen));
    }
}

#[test]
fn both_directions_and_all_sessions_share_one_grant() {
    let mut rig = Rig::new(config(), 1);
    grant(&mut rig, 1, 1000);
    let (one, at_one) = rig.connect();
    let (two, _) = rig.connect();
    rig.send_down(0, at_one, &[1; 600]);
    rig.send_up(two, &[2; 500]);
    assert_eq!(rig.read_down(one).len(), 500);
    assert_eq!(carried(&rig), (500, 500));
    assert_eq!((room(&mut rig, two), readable(&mut rig, one)), (0, 0));
    // Another user is not concerned.
    let (other, _) = rig.connect_with(Open {
        group: 2,
        ..demand()
    });
    assert!(room(&mut rig, other) > 1000);
}

#[test]
fn who_found_nothing_left_is_woken_by_the_next_grant() {
    let mut rig = Rig::new(config(), 1);
    grant(&mut rig, 1, 100);
    let (id, at_edge) = rig.connect();
    let (idle, _) = rig.connect();
    rig.send_down(0, at_edge, &[1; 300]);
    assert_eq!(rig.read_down(id).len(), 100);
    assert_eq!((readable(&mut rig, id), room(&mut rig, idle)), (0, 0));
    rig.wait(secs(60));
    rig.woken.clear();
    grant(&mut rig, 1, 150);
    assert!(was_woken(&mut rig, id), "one who reads");
    assert_eq!(rig.read_down(id).len(), 50);
    assert_eq!(readable(&mut rig, id), 0);
    grant(&mut rig, 1, 1_000_000);
    let woken = core::mem::take(&mut rig.woken);
    assert!(woken.contains(&id) && woken.contains(&idle));
    assert_eq!(rig.read_down(id).len(), 150);
}

#[test]
fn a_late_or_repeated_grant_changes_nothing() {
    let mut rig = Rig::new(config(), 1);
    grant(&mut rig, 1, 1000);
    let (id, _) = rig.connect();
    rig.send_up(id, &[1; 400]);
    for total in [1000, 300, 0] {
        grant(&mut rig, 1, total);
        assert_eq!(room(&mut rig, id), 600);
    }
}

#[test]
fn early_bytes_are_counted_once_over_three_exits() {
    let mut rig = Rig::new(config(), 3);
    grant(&mut rig, 1, 10_000);
    let id = rig.open();
    rig.send_up(id, &[1; 700]);
    rig.answer(Err(Code::TimedOut));
    rig.answer(Err(Code::TimedOut));
    assert_eq!(rig.data(ToEdge).len(), 3 * 700, "framed for each exit");
    assert_eq!(carried(&rig), (700, 0));
    let edge = rig.answer(Ok(()));
    rig.send_up(id, &[1; 300]);
    assert_eq!(carried(&rig), (1000, 0));
    let _ = edge;
    assert_eq!(rig.pop.left(1), Some(9_000));
}

#[test]
fn bytes_that_could_not_be_booked_wait_through_a_failover() {
    let mut rig = Rig::new(config(), 2);
    grant(&mut rig, 1, 500);
    let id = rig.open();
    rig.send_up(id, &[1; 700]);
    assert_eq!((carried(&rig), rig.data(ToEdge).len()), ((500, 0), 500));
    rig.answer(Err(Code::TimedOut));
    assert_eq!((carried(&rig), rig.data(ToEdge).len()), ((500, 0), 1000));
    grant(&mut rig, 1, 700);
    assert_eq!((carried(&rig), rig.data(ToEdge).len()), ((700, 0), 1200));
}

#[test]
fn a_resume_counts_nothing_again() {
    let mut rig = Rig::new(config(), 1);
    grant(&mut rig, 1, 10_000);
    let (id, at_edge) = rig.connect();
    let link = rig.link(0);
    rig.links[link].to_edge.held = true;
    rig.send_up(id, &[1; 4000]);
    rig.send_down(0, at_edge, &[2; 3000]);
    rig.cut(link);
    rig.wait(secs(1));
    assert_eq!(rig.read_up(0, at_edge).len(), 4000);
    assert_eq!(rig.read_down(id).len(), 3000);
    assert_eq!(carried(&rig), (4000, 3000));
}

#[test]
fn what_was_taken_and_never_sent_stays_counted_and_what_was_not_taken_does_not() {
    let mut rig = Rig::new(config(), 1);
    grant(&mut rig, 1, 1000);
    let (id, _) = rig.connect();
    let link = rig.link(0);
    rig.links[link].to_edge.blocked = true;
    rig.send_up(id, &[1; 1500]);
    rig.pop
        .close(rig.now, id, Code::Cancelled, CloseMode::Abort);
    rig.links[link].to_edge.blocked = false;
    rig.run();
    assert_eq!(rig.data(ToEdge).len(), 0);
    assert_eq!(carried(&rig), (1000, 0));
    assert_eq!(rig.pop.left(1), Some(0));
}

#[test]
fn a_reset_in_mid_queue_counts_what_the_client_got() {
    let mut rig = Rig::new(config(), 1);
    let (id, at_edge) = rig.connect();
    rig.send_down(0, at_edge, &[1; 3000]);
    rig.pop.release(rig.now, id, 1200);
    rig.edges[0]
        .core
        .close(rig.now, at_edge, Code::Reset, CloseMode::Abort);
    rig.run();
    assert_eq!(rig.ended(id), Some(Code::Reset));
    assert_eq!(carried(&rig), (0, 1200), "the rest was dropped");
}

#[test]
fn the_tail_of_a_failed_session_waits_for_a_grant_and_is_not_lost() {
    let mut rig = Rig::new(config(), 1);
    grant(&mut rig, 1, 1000);
    let (id, at_edge) = rig.connect();
    rig.send_down(0, at_edge, &[1; 3000]);
    rig.edges[0]
        .core
        .close(rig.now, at_edge, Code::Reset, CloseMode::Flush);
    rig.run();
    assert_eq!(rig.ended(id), None, "bytes are withheld");
    assert_eq!(rig.read_down(id).len(), 1000);
    let status = rig.pop.status(rig.now, id).unwrap();
    assert_eq!((status.readable, status.ended), (0, None));
    grant(&mut rig, 1, 9000);
    assert!(was_woken(&mut rig, id));
    assert_eq!(rig.read_down(id).len(), 2000);
    assert_eq!(rig.ended(id), Some(Code::Reset));
}

#[test]
fn the_tail_of_a_complete_session_has_its_time_from_the_grant_on() {
    let mut rig = Rig::new(config(), 1);
    grant(&mut rig, 1, 1000);
    let (id, at_edge) = rig.connect();
    rig.pop.finish(rig.now, id);
    rig.send_down(0, at_edge, &[1; 3000]);
    rig.edges[0].core.finish(rig.now, at_edge);
    rig.run();
    assert_eq!(rig.read_down(id).len(), 1000);
    rig.wait(secs(20));
    rig.edges[0].core.farewell(rig.now, Code::ShuttingDown);
    rig.wait(secs(20));
    grant(&mut rig, 1, 9000);
    assert!(was_woken(&mut rig, id));
    // Its client is slow, but not too slow.
    rig.wait(secs(29));
    assert_eq!(rig.read_down(id).len(), 2000);
    assert_eq!(rig.ended(id), Some(Code::Ok));
}

#[test]
fn low_is_told_once_per_grant_at_the_byte() {
    let mut rig = Rig::new(config(), 1);
    grant_with(&mut rig, 1, 1000, 400);
    let (id, _) = rig.connect();
    rig.send_up(id, &[1; 600]);
    assert_eq!(lows(&rig), 0, "400 are left");
    rig.send_up(id, &[1; 1]);
    assert_eq!(lows(&rig), 1);
    rig.send_up(id, &[1; 100]);
    assert_eq!(lows(&rig), 1);
    grant_with(&mut rig, 1, 2000, 400);
    assert_eq!(lows(&rig), 1);
    rig.send_up(id, &[1; 1000]);
    assert_eq!(lows(&rig), 2);
    grant_with(&mut rig, 1, 2000, 400);
    assert_eq!(lows(&rig), 3, "a grant that brings too little");
}

#[test]
fn an_exhausted_group_ends_in_mid_transfer_and_opens_again_with_a_grant() {
    let mut rig = Rig::new(config(), 1);
    grant(&mut rig, 1, 1 << 20);
    let (busy, at_edge) = rig.connect();
    let (idle, _) = rig.connect();
    let dialling = rig.open();
    let (other, _) = rig.connect_with(Open {
        group: 2,
        ..demand()
    });
    rig.send_down(0, at_edge, &[1; 5000]);
    rig.pop.exhaust(rig.now, 1, Code::QuotaExceeded);
    assert_eq!(readable(&mut rig, busy), 0);
    rig.run();
    for id in [busy, idle, dialling] {
        assert_eq!(rig.ended(id), Some(Code::QuotaExceeded));
    }
    assert_eq!(rig.ended(other), None);
    assert_eq!(rig.edge_ended(0, at_edge), Some(Code::QuotaExceeded));
    let close = |frame: &Frame| matches!(frame, Frame::Close { close, .. } if close.code == Code::QuotaExceeded.wire());
    assert_eq!(rig.count(close), 3);
    let refused = rig.pop.open(rig.now, demand());
    assert_eq!(refused, Err(Code::QuotaExceeded));
    grant(&mut rig, 1, 2 << 20);
    assert!(rig.pop.open(rig.now, demand()).is_ok());
    assert_eq!(carried(&rig), (0, 0));
}

#[test]
fn a_group_of_very_many_sessions_is_ended_in_pieces() {
    let mut rig = Rig::new(config(), 1);
    let ids: Vec<SessionId> = (0..200).map(|_| rig.open()).collect();
    rig.pop.exhaust(rig.now, 1, Code::UserDisabled);
    rig.run();
    let ended = |rig: &mut Rig| {
        let count = ids.iter().filter(|&&id| rig.ended(id).is_some());
        count.count()
    };
    assert_eq!(ended(&mut rig), 64);
    // One that is opened after the next grant is none of those.
    rig.pop.grant(rig.now, 1, Grant::default());
    let later = rig.open();
    rig.wait(millis(10));
    assert_eq!(ended(&mut rig), 200);
    assert_eq!(rig.ended(later), None);
}

#[test]
fn usage_is_polled_by_group_and_a_group_is_forgotten_when_it_is_empty() {
    let mut rig = Rig::new(config(), 1);
    let (id, _) = rig.connect();
    let (other, _) = rig.connect_with(Open {
        group: 2,
        ..demand()
    });
    assert_eq!(rig.pop.poll_carried(), None);
    for _ in 0..3 {
        rig.send_up(id, &[1; 10]);
    }
    rig.send_up(other, &[1; 5]);
    let up = |up| Carried { up, down: 0 };
    assert_eq!(rig.pop.poll_carried(), Some((1, up(30))));
    assert_eq!(rig.pop.poll_carried(), Some((2, up(5))));
    assert_eq!(rig.pop.poll_carried(), None);
    rig.send_up(other, &[1; 1]);
    assert_eq!(rig.pop.session_carried(other), Some(up(6)));
    assert_eq!(rig.pop.forget_group(2), None, "it has a session");
    rig.pop.close(rig.now, other, Code::Ok, CloseMode::Abort);
    rig.run();
    assert_eq!(rig.pop.forget_group(2), Some(up(6)));
    assert_eq!(rig.pop.poll_carried(), None);
    assert_eq!(rig.pop.forget_group(2), None);
    assert_eq!(rig.pop.usage().groups, 1);
}

#[test]
fn a_small_grant_goes_round_among_those_who_wait() {
    let mut rig = Rig::new(
        Config {
            send_queue_max: 64 << 10,
            ..config()
        },
        1,
    );
    grant(&mut rig, 1, 0);
    let ids: Vec<SessionId> = (0..10)
        .map(|_| {
            let (id, at_edge) = rig.connect();
            rig.send_down(0, at_edge, &[1; 20_000]);
            assert_eq!(readable(&mut rig, id), 0);
            id
        })
        .collect();
    rig.woken.clear();
    for round in 1..=50 {
        grant(&mut rig, 1, round * 2048);
        for _ in 0..5 {
            for id in core::mem::take(&mut rig.woken) {
                rig.read_down(id);
                rig.pop.status(rig.now, id).unwrap();
            }
            rig.wait(millis(1));
        }
    }
    let counts: Vec<u64> = ids
        .iter()
        .map(|&id| rig.pop.session_carried(id).unwrap().down)
        .collect();
    assert_eq!(counts.iter().sum::<u64>(), 50 * 2048);
    let (least, most) = (counts.iter().min(), counts.iter().max());
    assert!(most.unwrap() - least.unwrap() <= 2048, "{counts:?}");
}

//! Early data, and another exit before the client notices.

use crate::common::{Way::ToEdge, Way::ToPop, World, config, demand, millis, secs};
use titan_core::endpoint::{CloseMode, Config, Dial, Dialled, Open};
use titan_proto::{Code, Frame};

fn dials(world: &World) -> usize {
    world.count(|frame| matches!(frame, Frame::Create { .. }))
}

#[test]
fn early_bytes_follow_create_up_to_the_window_exactly() {
    for (len, sent) in [(999, 999), (1000, 1000), (1001, 1000)] {
        let mut world = World::new(
            Config {
                early_max: 1000,
                ..config()
            },
            1,
        );
        let id = world.open();
        assert_eq!(world.pop.status(world.now, id).unwrap().send_room, 1000);
        world.send_up(id, &vec![5; len]);
        assert_eq!(world.data(ToEdge).len(), sent, "of {len}");
        assert_eq!(
            world.pop.status(world.now, id).unwrap().send_room,
            1000 - sent
        );
        world.answer(Ok(()));
        assert_eq!(world.data(ToEdge).len(), len, "the reply frees the rest");
    }
}

#[test]
fn without_early_window_nothing_leaves_before_the_reply() {
    let mut world = World::new(
        Config {
            early_max: 0,
            ..config()
        },
        1,
    );
    let id = world.open();
    world.send_up(id, b"eager");
    world.pop.finish(world.now, id);
    world.run();
    assert_eq!(world.data(ToEdge), b"");
    assert_eq!(world.count(|f| matches!(f, Frame::HalfClose { .. })), 0);
    world.answer(Ok(()));
    assert_eq!(world.data(ToEdge), b"eager");
    assert_eq!(world.count(|f| matches!(f, Frame::HalfClose { .. })), 1);
}

#[test]
fn an_edge_that_promises_a_huge_early_window_does_not_make_the_pop_keep_it() {
    let mut world = World::new(config(), 0);
    world.rewrite = Some(Box::new(|_, frame| {
        if let Frame::Hello(hello) = frame {
            hello.limits.as_mut().unwrap().early_max = u64::MAX;
        }
    }));
    world.add_edge("node-0");
    let id = world.open();
    assert_eq!(
        world.pop.status(world.now, id).unwrap().send_room as u64,
        world.config.early_max
    );
}

#[test]
fn early_bytes_in_tiny_pieces_are_charged_for_what_they_pin() {
    let mut world = World::new(config(), 1);
    let id = world.open();
    for _ in 0..1000 {
        world.send_up(id, b"x");
    }
    assert!(world.pop.usage().session_bytes >= 32_000);
    world.answer(Ok(()));
    assert_eq!(world.pop.usage().session_bytes, 0);
}

#[test]
fn a_refused_dial_moves_once() {
    let mut world = World::new(config(), 3);
    let id = world.open();
    let first = world.answer(Err(Code::Refused));
    let second = world.answer(Err(Code::Refused));
    assert_ne!(first, second);
    assert_eq!(dials(&world), 2);
    assert_eq!(world.ended(id), Some(Code::Refused));
    assert_eq!(
        world.pop.status(world.now, id).unwrap().dial,
        Dial::Failed(Code::Refused)
    );
}

#[test]
fn a_timed_out_dial_moves_to_three_exits() {
    let mut world = World::new(config(), 4);
    let id = world.open();
    let mut tried = Vec::new();
    for _ in 0..3 {
        assert_eq!(world.ended(id), None);
        tried.push(world.answer(Err(Code::TimedOut)));
    }
    tried.sort_unstable();
    tried.dedup();
    assert_eq!((tried.len(), dials(&world)), (3, 3));
    assert_eq!(world.ended(id), Some(Code::TimedOut));
}

#[test]
fn a_forbidden_target_is_tried_nowhere_else() {
    let mut world = World::new(config(), 3);
    let id = world.open();
    world.answer(Err(Code::Forbidden));
    assert_eq!((dials(&world), world.ended(id)), (1, Some(Code::Forbidden)));
}

#[test]
fn a_strict_session_stays_with_its_exit_whatever_the_target_answers() {
    for code in [Code::Refused, Code::TimedOut, Code::NotResolved] {
        let mut world = World::new(config(), 3);
        let id = world.open_with(Open {
            strict: true,
            ..demand()
        });
        world.answer(Err(code));
        assert_eq!((dials(&world), world.ended(id)), (1, Some(code)));
    }
}

#[test]
fn a_strict_session_leaves_an_exit_that_is_overloaded() {
    let mut world = World::new(config(), 2);
    let id = world.open_with(Open {
        strict: true,
        ..demand()
    });
    world.answer(Err(Code::Overloaded));
    world.answer(Ok(()));
    assert_eq!(
        world.pop.status(world.now, id).unwrap().dial,
        Dial::Connected
    );
}

#[test]
fn early_bytes_and_the_end_move_together_after_a_refusal() {
    let mut world = World::new(config(), 2);
    let id = world.open();
    world.send_up(id, b"GET / ");
    world.send_up(id, b"HTTP/1.0");
    world.pop.finish(world.now, id);
    world.run();
    let first = world.answer(Err(Code::Refused));
    let second = 1 - first;
    let session = *world.edges[second].opened.last().unwrap();
    world.answer(Ok(()));
    assert_eq!(world.read_up(second, session), b"GET / HTTP/1.0");
    let status = world.edges[second].core.status(world.now, session).unwrap();
    assert!(status.recv_finished);
    assert_eq!(
        world.pop.status(world.now, id).unwrap().dial,
        Dial::Connected
    );
    assert_eq!(world.pop.counters().failovers, 1);
}

#[test]
fn bytes_beyond_the_early_window_keep_their_place_when_a_session_moves() {
    let mut world = World::new(
        Config {
            early_max: 4,
            data_max: 3,
            ..config()
        },
        2,
    );
    let id = world.open();
    world.send_up(id, b"abcdefgh");
    let first = world.answer(Err(Code::TimedOut));
    let session = *world.edges[1 - first].opened.last().unwrap();
    world.answer(Ok(()));
    assert_eq!(world.read_up(1 - first, session), b"abcdefgh");
}

#[test]
fn a_tunnel_lost_after_early_bytes_were_framed_resets() {
    let mut world = World::new(config(), 2);
    let id = world.open();
    world.send_up(id, b"x");
    let edge = usize::from(world.edges[0].opened.is_empty());
    world.unplug(edge);
    assert_eq!(world.ended(id), None, "it waits for the resume");
    // A fault of the edge ends the tunnel before the dial budget does.
    world.edges[edge].online = true;
    world.rewrite = Some(Box::new(|_, frame| {
        if let Frame::Hello(hello) = frame
            && hello.tunnel != 0
        {
            hello.received += 1000;
        }
    }));
    world.wait(millis(200));
    assert_eq!(world.ended(id), Some(Code::TunnelLost));
    assert_eq!(dials(&world), 1, "bytes may have reached a target");
}

#[test]
fn a_tunnel_lost_after_only_the_end_was_framed_resets() {
    let mut world = World::new(config(), 2);
    let id = world.open();
    world.pop.finish(world.now, id);
    world.run();
    let edge = usize::from(world.edges[0].opened.is_empty());
    world.unplug(edge);
    world.wait(secs(30));
    assert!(world.ended(id).is_some());
    assert_eq!(dials(&world), 1, "the end may have reached a target");
}

#[test]
fn a_tunnel_detached_before_any_byte_was_framed_is_left_at_once() {
    let mut world = World::new(config(), 2);
    let id = world.open();
    let edge = usize::from(world.edges[0].opened.is_empty());
    world.unplug(edge);
    assert_eq!(world.edges[1 - edge].opened.len(), 1);
    world.edges[edge].opened.clear();
    world.answer(Ok(()));
    assert_eq!(
        world.pop.status(world.now, id).unwrap().dial,
        Dial::Connected
    );
    // The edge that was left is told when it comes back, and its answer is nobody's.
    world.edges[edge].online = true;
    world.wait(millis(200));
    let closes = world.count(|frame| matches!(frame, Frame::Close { .. }));
    assert_eq!((closes, world.tunnel_gone()), (1, None));
    assert_eq!(
        world.pop.status(world.now, id).unwrap().dial,
        Dial::Connected
    );
}

#[test]
fn a_dial_waits_for_the_resume_of_its_tunnel() {
    let mut world = World::new(config(), 1);
    let id = world.open();
    world.send_up(id, b"early");
    world.cut(world.link(0));
    world.wait(millis(200));
    let session = world.edges[0].opened[0];
    world.answer(Ok(()));
    assert_eq!(world.read_up(0, session), b"early");
    assert_eq!(
        world.pop.status(world.now, id).unwrap().dial,
        Dial::Connected
    );
    assert_eq!(world.pop.counters().resumes, 1);
}

#[test]
fn a_silent_edge_is_given_up_after_its_own_dial_timeout_and_some() {
    let mut world = World::new(config(), 1);
    let id = world.open();
    world.send_up(id, b"x");
    world.wait(secs(15) - millis(1));
    assert_eq!(world.ended(id), None);
    world.wait(millis(1));
    assert_eq!(world.ended(id), Some(Code::TimedOut));
    world.pop.close(world.now, id, Code::Ok, CloseMode::Abort);
    world.run();
    assert_eq!(
        world.edges[0].core.dial_request(world.edges[0].opened[0]),
        None
    );
}

#[test]
fn a_dial_of_which_nothing_was_framed_leaves_a_silent_edge_until_the_budget_is_used_up() {
    let mut world = World::new(config(), 4);
    let id = world.open();
    world.wait(secs(25) - millis(1));
    assert_eq!((world.ended(id), dials(&world)), (None, 2));
    world.wait(millis(1));
    assert_eq!(world.ended(id), Some(Code::TimedOut));
}

#[test]
fn the_edges_deadline_is_the_shorter_of_both_sides() {
    let mut world = World::new(config(), 1);
    world.rewrite = Some(Box::new(|_, frame| {
        if let Frame::Create { create, .. } = frame {
            create.dial_timeout_ms = if create.group == 1 { 70 } else { u32::MAX };
        }
    }));
    world.open();
    world.open_with(Open {
        group: 2,
        ..demand()
    });
    for (session, wait) in world.edges[0].opened.iter().zip([millis(70), secs(10)]) {
        let request = world.edges[0].core.dial_request(*session).unwrap();
        assert_eq!(request.deadline, world.now + wait);
    }
}

#[test]
fn the_client_hears_the_targets_answer_and_not_that_of_a_broken_exit() {
    let mut world = World::new(config(), 2);
    let id = world.open();
    world.answer(Err(Code::TimedOut));
    world.answer(Err(Code::Overloaded));
    assert_eq!(world.ended(id), Some(Code::TimedOut));
}

#[test]
fn the_client_hears_the_targets_answer_although_the_next_exit_is_silent() {
    for budget in [10, 25] {
        let mut world = World::new(
            Config {
                dial_budget: secs(budget),
                ..config()
            },
            2,
        );
        let id = world.open();
        world.send_up(id, b"early");
        world.answer(Err(Code::Refused));
        world.wait(secs(30));
        assert_eq!(world.ended(id), Some(Code::Refused));
    }
}

#[test]
fn the_client_hears_the_targets_last_answer() {
    let mut world = World::new(config(), 2);
    let id = world.open();
    world.answer(Err(Code::TimedOut));
    world.answer(Err(Code::NotResolved));
    assert_eq!(world.ended(id), Some(Code::NotResolved));
}

#[test]
fn there_is_one_reply_per_create_also_after_close() {
    let mut world = World::new(config(), 1);
    for mode in [CloseMode::Abort, CloseMode::Flush] {
        world.wire.clear();
        let id = world.open();
        let session = world.edges[0].opened.pop().unwrap();
        world.pop.close(world.now, id, Code::Cancelled, mode);
        world.run();
        assert_eq!(world.count(|f| matches!(f, Frame::Reply { .. })), 1);
        assert_eq!(world.edges[0].core.dial_request(session), None);
        world.dialled(0, session, Ok(()));
        let late = world.edges[0].core.dial_request(session);
        world.dialled(0, session, Err(Code::Refused));
        assert_eq!(world.count(|f| matches!(f, Frame::Reply { .. })), 1);
        assert_eq!(late, None);
        assert_eq!(world.tunnel_gone(), None);
        assert_eq!(world.pop.usage().sessions, 0);
        assert_eq!(world.edges[0].core.usage().sessions, 0);
    }
}

#[test]
fn the_reply_comes_before_anything_else_of_the_edge() {
    let mut world = World::new(config(), 1);
    let id = world.open();
    let session = world.edges[0].opened.pop().unwrap();
    // A driver that is ahead of itself must not take the tunnel with it.
    let core = &mut world.edges[0].core;
    core.write(world.now, session, bytes::Bytes::from_static(b"hasty"));
    core.stop(world.now, session, Code::Reset);
    core.finish(world.now, session);
    world.run();
    assert_eq!(world.tunnel_gone(), None);
    assert!(world.wire.iter().all(
        |seen| seen.way == ToEdge || matches!(seen.frame, Frame::Hello(_) | Frame::Ack { .. })
    ));
    world.dialled(0, session, Ok(()));
    assert_eq!(world.tunnel_gone(), None);
    assert!(world.pop.status(world.now, id).unwrap().send_stopped);
    let first = world.wire.iter().find(|seen| {
        seen.way == ToPop && !matches!(seen.frame, Frame::Hello(_) | Frame::Ack { .. })
    });
    assert!(matches!(first.unwrap().frame, Frame::Reply { .. }));
}

#[test]
fn an_edge_that_lets_go_of_a_dial_answers_it() {
    for mode in [CloseMode::Abort, CloseMode::Flush] {
        let mut world = World::new(config(), 2);
        let id = world.open();
        world.send_up(id, b"early");
        let edge = usize::from(world.edges[0].opened.is_empty());
        let session = world.edges[edge].opened.pop().unwrap();
        world.edges[edge]
            .core
            .close(world.now, session, Code::ShuttingDown, mode);
        world.run();
        assert_eq!(world.tunnel_gone(), None);
        assert_eq!(world.edges[edge].core.usage().sessions, 0);
        assert_eq!(world.answer(Ok(())), 1 - edge, "nothing was written");
        assert_eq!(
            world.pop.status(world.now, id).unwrap().dial,
            Dial::Connected
        );
    }
}

#[test]
fn a_client_that_stops_reading_before_the_reply_does_no_harm() {
    for framed in [true, false] {
        let mut world = World::new(config(), 2);
        let link = [world.link(0), world.link(1)];
        for link in link {
            world.links[link].to_edge.blocked = !framed;
        }
        let id = world.open();
        world.pop.stop(world.now, id, Code::Reset);
        for link in link {
            world.links[link].to_edge.blocked = false;
        }
        world.run();
        let edge = world.answer(Err(Code::TimedOut));
        let session = *world.edges[1 - edge].opened.last().unwrap();
        world.answer(Ok(()));
        assert_eq!(world.tunnel_gone(), None);
        let now = world.now;
        let core = &mut world.edges[1 - edge].core;
        assert!(
            core.status(now, session).unwrap().send_stopped,
            "it moves along"
        );
        world.send_up(id, b"on");
        assert_eq!(world.read_up(1 - edge, session), b"on");
    }
}

#[test]
fn a_client_that_breaks_off_a_dial_still_has_its_bytes_delivered_if_it_connects() {
    let mut world = World::new(
        Config {
            early_max: 4,
            ..config()
        },
        1,
    );
    let id = world.open();
    let session = world.edges[0].opened.pop().unwrap();
    world.send_up(id, b"abcdefgh");
    world
        .pop
        .close(world.now, id, Code::Reset, CloseMode::Flush);
    world.run();
    world.dialled(0, session, Ok(()));
    let got = world.read_up(0, session);
    assert_eq!(got, b"abcdefgh", "numbered before CLOSE");
    assert_eq!(world.edge_ended(0, session), Some(Code::Reset));
    assert_eq!(world.pop.usage().sessions, 0);
}

#[test]
fn early_bytes_of_a_dial_that_is_broken_off_are_dropped_although_it_still_runs() {
    for mode in [CloseMode::Abort, CloseMode::Flush] {
        let mut world = World::new(config(), 1);
        let id = world.open();
        world.send_up(id, &[7; 1000]);
        assert!(world.edges[0].core.usage().session_bytes >= 1000);
        world.pop.close(world.now, id, Code::Reset, mode);
        world.run();
        let core = &mut world.edges[0].core;
        assert_eq!(core.usage().sessions, 1, "its driver has not let go");
        assert_eq!(core.usage().session_bytes, 0, "{mode:?}");
    }
}

#[test]
fn a_client_that_breaks_off_a_dial_that_fails_is_forgotten_at_once() {
    let mut world = World::new(
        Config {
            early_max: 4,
            ..config()
        },
        2,
    );
    let id = world.open();
    world.send_up(id, b"abcdefgh");
    world
        .pop
        .close(world.now, id, Code::Reset, CloseMode::Flush);
    world.run();
    world.answer(Err(Code::TimedOut));
    assert_eq!(dials(&world), 1);
    assert_eq!(world.pop.usage().sessions, 0);
}

#[test]
fn creates_of_different_users_may_overtake_each_other() {
    let mut world = World::new(config(), 1);
    let (bulk, _) = world.connect();
    let link = world.link(0);
    world.links[link].to_edge.blocked = true;
    // User 1 has used up its turn when both open a session.
    world.send_up(bulk, &vec![1; 200 << 10]);
    world.batch = 64 << 10;
    world.links[link].to_edge.blocked = false;
    let mut batch = titan_core::endpoint::Batch::new(1);
    let carrier = world.links[link].pop.unwrap();
    world.pop.poll_transmit(world.now, carrier, &mut batch);
    let sent: Vec<_> = batch.drain().collect();
    assert!(!sent.is_empty());
    let first = world.pop.open(world.now, demand()).unwrap();
    let second = world
        .pop
        .open(
            world.now,
            Open {
                group: 2,
                ..demand()
            },
        )
        .unwrap();
    for item in sent {
        if let titan_core::endpoint::Item::Frame(frame) = item {
            let message = crate::common::message(frame.kind, frame.session, &frame.payload);
            let at_edge = world.links[link].at_edge.unwrap();
            let now = world.now;
            world.edges[0].core.handle_message(now, at_edge, &message);
        }
    }
    world.run();
    assert_eq!(world.tunnel_gone(), None);
    assert_eq!(world.edges[0].core.counters().faults, 0);
    let opened = core::mem::take(&mut world.edges[0].opened);
    for session in opened {
        world.edges[0]
            .core
            .dialled(world.now, session, Ok(Dialled::default()));
    }
    world.run();
    for id in [first, second] {
        assert_eq!(
            world.pop.status(world.now, id).unwrap().dial,
            Dial::Connected
        );
    }
}

#[test]
fn a_dial_that_failed_without_a_reason_is_no_success() {
    let mut world = World::new(config(), 1);
    let id = world.open();
    world.answer(Err(Code::Ok));
    assert_eq!(world.ended(id), Some(Code::Internal));
}

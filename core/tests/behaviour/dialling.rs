//! Early data, and another exit before the client notices.

use crate::common::{Rig, Way::ToEdge, Way::ToPop, config, demand, millis, secs};
use titan_core::endpoint::{CloseMode, Config, Dial, Dialled, Open};
use titan_proto::{Code, Frame};

fn dials(rig: &Rig) -> usize {
    rig.count(|frame| matches!(frame, Frame::Create { .. }))
}

#[test]
fn early_bytes_follow_create_up_to_the_window_exactly() {
    for (len, sent) in [(999, 999), (1000, 1000), (1001, 1000)] {
        let mut rig = Rig::new(
            Config {
                early_max: 1000,
                ..config()
            },
            1,
        );
        let id = rig.open();
        assert_eq!(rig.pop.status(rig.now, id).unwrap().send_room, 1000);
        rig.send_up(id, &vec![5; len]);
        assert_eq!(rig.data(ToEdge).len(), sent, "of {len}");
        assert_eq!(rig.pop.status(rig.now, id).unwrap().send_room, 1000 - sent);
        rig.answer(Ok(()));
        assert_eq!(rig.data(ToEdge).len(), len, "the reply frees the rest");
    }
}

#[test]
fn without_early_window_nothing_leaves_before_the_reply() {
    let mut rig = Rig::new(
        Config {
            early_max: 0,
            ..config()
        },
        1,
    );
    let id = rig.open();
    rig.send_up(id, b"eager");
    rig.pop.finish(rig.now, id);
    rig.run();
    assert_eq!(rig.data(ToEdge), b"");
    assert_eq!(rig.count(|f| matches!(f, Frame::HalfClose { .. })), 0);
    rig.answer(Ok(()));
    assert_eq!(rig.data(ToEdge), b"eager");
    assert_eq!(rig.count(|f| matches!(f, Frame::HalfClose { .. })), 1);
}

#[test]
fn an_edge_that_promises_a_huge_early_window_does_not_make_the_pop_keep_it() {
    let mut rig = Rig::new(config(), 0);
    rig.rewrite = Some(Box::new(|_, frame| {
        if let Frame::Hello(hello) = frame {
            hello.limits.as_mut().unwrap().early_max = u64::MAX;
        }
    }));
    rig.add_edge("node-0");
    let id = rig.open();
    assert_eq!(
        rig.pop.status(rig.now, id).unwrap().send_room as u64,
        rig.config.early_max
    );
}

#[test]
fn early_bytes_in_tiny_pieces_are_charged_for_what_they_pin() {
    let mut rig = Rig::new(config(), 1);
    let id = rig.open();
    for _ in 0..1000 {
        rig.send_up(id, b"x");
    }
    assert!(rig.pop.usage().session_bytes >= 32_000);
    rig.answer(Ok(()));
    assert_eq!(rig.pop.usage().session_bytes, 0);
}

#[test]
fn a_refused_dial_moves_once() {
    let mut rig = Rig::new(config(), 3);
    let id = rig.open();
    let first = rig.answer(Err(Code::Refused));
    let second = rig.answer(Err(Code::Refused));
    assert_ne!(first, second);
    assert_eq!(dials(&rig), 2);
    assert_eq!(rig.ended(id), Some(Code::Refused));
    assert_eq!(
        rig.pop.status(rig.now, id).unwrap().dial,
        Dial::Failed(Code::Refused)
    );
}

#[test]
fn a_timed_out_dial_moves_to_three_exits() {
    let mut rig = Rig::new(config(), 4);
    let id = rig.open();
    let mut tried = Vec::new();
    for _ in 0..3 {
        assert_eq!(rig.ended(id), None);
        tried.push(rig.answer(Err(Code::TimedOut)));
    }
    tried.sort_unstable();
    tried.dedup();
    assert_eq!((tried.len(), dials(&rig)), (3, 3));
    assert_eq!(rig.ended(id), Some(Code::TimedOut));
}

#[test]
fn a_forbidden_target_is_tried_nowhere_else() {
    let mut rig = Rig::new(config(), 3);
    let id = rig.open();
    rig.answer(Err(Code::Forbidden));
    assert_eq!((dials(&rig), rig.ended(id)), (1, Some(Code::Forbidden)));
}

#[test]
fn a_strict_session_stays_with_its_exit_whatever_the_target_answers() {
    for code in [Code::Refused, Code::TimedOut, Code::NotResolved] {
        let mut rig = Rig::new(config(), 3);
        let id = rig.open_with(Open {
            strict: true,
            ..demand()
        });
        rig.answer(Err(code));
        assert_eq!((dials(&rig), rig.ended(id)), (1, Some(code)));
    }
}

#[test]
fn a_strict_session_leaves_an_exit_that_is_overloaded() {
    let mut rig = Rig::new(config(), 2);
    let id = rig.open_with(Open {
        strict: true,
        ..demand()
    });
    rig.answer(Err(Code::Overloaded));
    rig.answer(Ok(()));
    assert_eq!(rig.pop.status(rig.now, id).unwrap().dial, Dial::Connected);
}

#[test]
fn early_bytes_and_the_end_move_together_after_a_refusal() {
    let mut rig = Rig::new(config(), 2);
    let id = rig.open();
    rig.send_up(id, b"GET / ");
    rig.send_up(id, b"HTTP/1.0");
    rig.pop.finish(rig.now, id);
    rig.run();
    let first = rig.answer(Err(Code::Refused));
    let second = 1 - first;
    let session = *rig.edges[second].opened.last().unwrap();
    rig.answer(Ok(()));
    assert_eq!(rig.read_up(second, session), b"GET / HTTP/1.0");
    let status = rig.edges[second].core.status(rig.now, session).unwrap();
    assert!(status.recv_finished);
    assert_eq!(rig.pop.status(rig.now, id).unwrap().dial, Dial::Connected);
    assert_eq!(rig.pop.counters().failovers, 1);
}

#[test]
fn bytes_beyond_the_early_window_keep_their_place_when_a_session_moves() {
    let mut rig = Rig::new(
        Config {
            early_max: 4,
            data_max: 3,
            ..config()
        },
        2,
    );
    let id = rig.open();
    rig.send_up(id, b"abcdefgh");
    let first = rig.answer(Err(Code::TimedOut));
    let session = *rig.edges[1 - first].opened.last().unwrap();
    rig.answer(Ok(()));
    assert_eq!(rig.read_up(1 - first, session), b"abcdefgh");
}

#[test]
fn a_tunnel_lost_after_early_bytes_were_framed_resets() {
    let mut rig = Rig::new(config(), 2);
    let id = rig.open();
    rig.send_up(id, b"x");
    let edge = usize::from(rig.edges[0].opened.is_empty());
    rig.unplug(edge);
    assert_eq!(rig.ended(id), None, "it waits for the resume");
    // A fault of the edge ends the tunnel before the dial budget does.
    rig.edges[edge].online = true;
    rig.rewrite = Some(Box::new(|_, frame| {
        if let Frame::Hello(hello) = frame
            && hello.tunnel != 0
        {
            hello.received += 1000;
        }
    }));
    rig.wait(millis(200));
    assert_eq!(rig.ended(id), Some(Code::TunnelLost));
    assert_eq!(dials(&rig), 1, "bytes may have reached a target");
}

#[test]
fn a_tunnel_lost_after_only_the_end_was_framed_resets() {
    let mut rig = Rig::new(config(), 2);
    let id = rig.open();
    rig.pop.finish(rig.now, id);
    rig.run();
    let edge = usize::from(rig.edges[0].opened.is_empty());
    rig.unplug(edge);
    rig.wait(secs(30));
    assert!(rig.ended(id).is_some());
    assert_eq!(dials(&rig), 1, "the end may have reached a target");
}

#[test]
fn a_tunnel_detached_before_any_byte_was_framed_is_left_at_once() {
    let mut rig = Rig::new(config(), 2);
    let id = rig.open();
    let edge = usize::from(rig.edges[0].opened.is_empty());
    rig.unplug(edge);
    assert_eq!(rig.edges[1 - edge].opened.len(), 1);
    rig.edges[edge].opened.clear();
    rig.answer(Ok(()));
    assert_eq!(rig.pop.status(rig.now, id).unwrap().dial, Dial::Connected);
    // The edge that was left is told when it comes back, and its answer is nobody's.
    rig.edges[edge].online = true;
    rig.wait(millis(200));
    let closes = rig.count(|frame| matches!(frame, Frame::Close { .. }));
    assert_eq!((closes, rig.tunnel_gone()), (1, None));
    assert_eq!(rig.pop.status(rig.now, id).unwrap().dial, Dial::Connected);
}

#[test]
fn a_dial_waits_for_the_resume_of_its_tunnel() {
    let mut rig = Rig::new(config(), 1);
    let id = rig.open();
    rig.send_up(id, b"early");
    rig.cut(rig.link(0));
    rig.wait(millis(200));
    let session = rig.edges[0].opened[0];
    rig.answer(Ok(()));
    assert_eq!(rig.read_up(0, session), b"early");
    assert_eq!(rig.pop.status(rig.now, id).unwrap().dial, Dial::Connected);
    assert_eq!(rig.pop.counters().resumes, 1);
}

#[test]
fn a_silent_edge_is_given_up_after_its_own_dial_timeout_and_some() {
    let mut rig = Rig::new(config(), 1);
    let id = rig.open();
    rig.send_up(id, b"x");
    rig.wait(secs(15) - millis(1));
    assert_eq!(rig.ended(id), None);
    rig.wait(millis(1));
    assert_eq!(rig.ended(id), Some(Code::TimedOut));
    rig.pop.close(rig.now, id, Code::Ok, CloseMode::Abort);
    rig.run();
    assert_eq!(rig.edges[0].core.dial_request(rig.edges[0].opened[0]), None);
}

#[test]
fn a_dial_of_which_nothing_was_framed_leaves_a_silent_edge_until_the_budget_is_used_up() {
    let mut rig = Rig::new(config(), 4);
    let id = rig.open();
    rig.wait(secs(25) - millis(1));
    assert_eq!((rig.ended(id), dials(&rig)), (None, 2));
    rig.wait(millis(1));
    assert_eq!(rig.ended(id), Some(Code::TimedOut));
}

#[test]
fn the_edges_deadline_is_the_shorter_of_both_sides() {
    let mut rig = Rig::new(config(), 1);
    rig.rewrite = Some(Box::new(|_, frame| {
        if let Frame::Create { create, .. } = frame {
            create.dial_timeout_ms = if create.group == 1 { 70 } else { u32::MAX };
        }
    }));
    rig.open();
    rig.open_with(Open {
        group: 2,
        ..demand()
    });
    for (session, wait) in rig.edges[0].opened.iter().zip([millis(70), secs(10)]) {
        let request = rig.edges[0].core.dial_request(*session).unwrap();
        assert_eq!(request.deadline, rig.now + wait);
    }
}

#[test]
fn the_client_hears_the_targets_answer_and_not_that_of_a_broken_exit() {
    let mut rig = Rig::new(config(), 2);
    let id = rig.open();
    rig.answer(Err(Code::TimedOut));
    rig.answer(Err(Code::Overloaded));
    assert_eq!(rig.ended(id), Some(Code::TimedOut));
}

#[test]
fn the_client_hears_the_targets_answer_although_the_next_exit_is_silent() {
    for budget in [10, 25] {
        let mut rig = Rig::new(
            Config {
                dial_budget: secs(budget),
                ..config()
            },
            2,
        );
        let id = rig.open();
        rig.send_up(id, b"early");
        rig.answer(Err(Code::Refused));
        rig.wait(secs(30));
        assert_eq!(rig.ended(id), Some(Code::Refused));
    }
}

#[test]
fn the_client_hears_the_targets_last_answer() {
    let mut rig = Rig::new(config(), 2);
    let id = rig.open();
    rig.answer(Err(Code::TimedOut));
    rig.answer(Err(Code::NotResolved));
    assert_eq!(rig.ended(id), Some(Code::NotResolved));
}

#[test]
fn there_is_one_reply_per_create_also_after_close() {
    let mut rig = Rig::new(config(), 1);
    for mode in [CloseMode::Abort, CloseMode::Flush] {
        rig.wire.clear();
        let id = rig.open();
        let session = rig.edges[0].opened.pop().unwrap();
        rig.pop.close(rig.now, id, Code::Cancelled, mode);
        rig.run();
        assert_eq!(rig.count(|f| matches!(f, Frame::Reply { .. })), 1);
        assert_eq!(rig.edges[0].core.dial_request(session), None);
        rig.dialled(0, session, Ok(()));
        let late = rig.edges[0].core.dial_request(session);
        rig.dialled(0, session, Err(Code::Refused));
        assert_eq!(rig.count(|f| matches!(f, Frame::Reply { .. })), 1);
        assert_eq!(late, None);
        assert_eq!(rig.tunnel_gone(), None);
        assert_eq!(rig.pop.usage().sessions, 0);
        assert_eq!(rig.edges[0].core.usage().sessions, 0);
    }
}

#[test]
fn the_reply_comes_before_anything_else_of_the_edge() {
    let mut rig = Rig::new(config(), 1);
    let id = rig.open();
    let session = rig.edges[0].opened.pop().unwrap();
    // A driver that is ahead of itself must not take the tunnel with it.
    let core = &mut rig.edges[0].core;
    core.write(rig.now, session, bytes::Bytes::from_static(b"hasty"));
    core.stop(rig.now, session, Code::Reset);
    core.finish(rig.now, session);
    rig.run();
    assert_eq!(rig.tunnel_gone(), None);
    assert!(rig.wire.iter().all(
        |seen| seen.way == ToEdge || matches!(seen.frame, Frame::Hello(_) | Frame::Ack { .. })
    ));
    rig.dialled(0, session, Ok(()));
    assert_eq!(rig.tunnel_gone(), None);
    assert!(rig.pop.status(rig.now, id).unwrap().send_stopped);
    let first = rig.wire.iter().find(|seen| {
        seen.way == ToPop && !matches!(seen.frame, Frame::Hello(_) | Frame::Ack { .. })
    });
    assert!(matches!(first.unwrap().frame, Frame::Reply { .. }));
}

#[test]
fn an_edge_that_lets_go_of_a_dial_answers_it() {
    for mode in [CloseMode::Abort, CloseMode::Flush] {
        let mut rig = Rig::new(config(), 2);
        let id = rig.open();
        rig.send_up(id, b"early");
        let edge = usize::from(rig.edges[0].opened.is_empty());
        let session = rig.edges[edge].opened.pop().unwrap();
        rig.edges[edge]
            .core
            .close(rig.now, session, Code::ShuttingDown, mode);
        rig.run();
        assert_eq!(rig.tunnel_gone(), None);
        assert_eq!(rig.edges[edge].core.usage().sessions, 0);
        assert_eq!(rig.answer(Ok(())), 1 - edge, "nothing was written");
        assert_eq!(rig.pop.status(rig.now, id).unwrap().dial, Dial::Connected);
    }
}

#[test]
fn a_client_that_stops_reading_before_the_reply_does_no_harm() {
    for framed in [true, false] {
        let mut rig = Rig::new(config(), 2);
        let link = [rig.link(0), rig.link(1)];
        for link in link {
            rig.links[link].to_edge.blocked = !framed;
        }
        let id = rig.open();
        rig.pop.stop(rig.now, id, Code::Reset);
        for link in link {
            rig.links[link].to_edge.blocked = false;
        }
        rig.run();
        let edge = rig.answer(Err(Code::TimedOut));
        let session = *rig.edges[1 - edge].opened.last().unwrap();
        rig.answer(Ok(()));
        assert_eq!(rig.tunnel_gone(), None);
        let now = rig.now;
        let core = &mut rig.edges[1 - edge].core;
        assert!(
            core.status(now, session).unwrap().send_stopped,
            "it moves along"
        );
        rig.send_up(id, b"on");
        assert_eq!(rig.read_up(1 - edge, session), b"on");
    }
}

#[test]
fn a_client_that_breaks_off_a_dial_still_has_its_bytes_delivered_if_it_connects() {
    let mut rig = Rig::new(
        Config {
            early_max: 4,
            ..config()
        },
        1,
    );
    let id = rig.open();
    let session = rig.edges[0].opened.pop().unwrap();
    rig.send_up(id, b"abcdefgh");
    rig.pop.close(rig.now, id, Code::Reset, CloseMode::Flush);
    rig.run();
    rig.dialled(0, session, Ok(()));
    let got = rig.read_up(0, session);
    assert_eq!(got, b"abcdefgh", "numbered before CLOSE");
    assert_eq!(rig.edge_ended(0, session), Some(Code::Reset));
    assert_eq!(rig.pop.usage().sessions, 0);
}

#[test]
fn early_bytes_of_a_dial_that_is_broken_off_are_dropped_although_it_still_runs() {
    for mode in [CloseMode::Abort, CloseMode::Flush] {
        let mut rig = Rig::new(config(), 1);
        let id = rig.open();
        rig.send_up(id, &[7; 1000]);
        assert!(rig.edges[0].core.usage().session_bytes >= 1000);
        rig.pop.close(rig.now, id, Code::Reset, mode);
        rig.run();
        let core = &mut rig.edges[0].core;
        assert_eq!(core.usage().sessions, 1, "its driver has not let go");
        assert_eq!(core.usage().session_bytes, 0, "{mode:?}");
    }
}

#[test]
fn a_client_that_breaks_off_a_dial_that_fails_is_forgotten_at_once() {
    let mut rig = Rig::new(
        Config {
            early_max: 4,
            ..config()
        },
        2,
    );
    let id = rig.open();
    rig.send_up(id, b"abcdefgh");
    rig.pop.close(rig.now, id, Code::Reset, CloseMode::Flush);
    rig.run();
    rig.answer(Err(Code::TimedOut));
    assert_eq!(dials(&rig), 1);
    assert_eq!(rig.pop.usage().sessions, 0);
}

#[test]
fn creates_of_different_users_may_overtake_each_other() {
    let mut rig = Rig::new(config(), 1);
    let (bulk, _) = rig.connect();
    let link = rig.link(0);
    rig.links[link].to_edge.blocked = true;
    // User 1 has used up its turn when both open a session.
    rig.send_up(bulk, &vec![1; 200 << 10]);
    rig.batch = 64 << 10;
    rig.links[link].to_edge.blocked = false;
    let mut batch = titan_core::endpoint::Batch::new(1);
    let carrier = rig.links[link].pop.unwrap();
    rig.pop.poll_transmit(rig.now, carrier, &mut batch);
    let sent: Vec<_> = batch.drain().collect();
    assert!(!sent.is_empty());
    let first = rig.pop.open(rig.now, demand()).unwrap();
    let second = rig
        .pop
        .open(
            rig.now,
            Open {
                group: 2,
                ..demand()
            },
        )
        .unwrap();
    for item in sent {
        if let titan_core::endpoint::Item::Frame(frame) = item {
            let message = crate::common::message(frame.kind, frame.session, &frame.payload);
            let at_edge = rig.links[link].at_edge.unwrap();
            let now = rig.now;
            rig.edges[0].core.handle_message(now, at_edge, &message);
        }
    }
    rig.run();
    assert_eq!(rig.tunnel_gone(), None);
    assert_eq!(rig.edges[0].core.counters().faults, 0);
    let opened = core::mem::take(&mut rig.edges[0].opened);
    for session in opened {
        rig.edges[0]
            .core
            .dialled(rig.now, session, Ok(Dialled::default()));
    }
    rig.run();
    for id in [first, second] {
        assert_eq!(rig.pop.status(rig.now, id).unwrap().dial, Dial::Connected);
    }
}

#[test]
fn a_dial_that_failed_without_a_reason_is_no_success() {
    let mut rig = Rig::new(config(), 1);
    let id = rig.open();
    rig.answer(Err(Code::Ok));
    assert_eq!(rig.ended(id), Some(Code::Internal));
}

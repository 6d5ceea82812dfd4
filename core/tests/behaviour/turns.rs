//! A dial that waits for its turn in the POP's own queue: how long, and who is blamed.

use crate::common::{Rig, Way::ToEdge, config, demand, millis, secs};
use titan_core::endpoint::{Config, Dial, Event, PopEvent, SessionId, SessionReport, Whose};
use titan_core::exit::index::Verdict;
use titan_core::exit::lease::{SessionName, Sticky};
use titan_proto::{Code, Frame};

fn dials(rig: &Rig) -> usize {
    rig.count(|frame| matches!(frame, Frame::Create { .. }))
}

/// Stops, or lets, what the POP sends to an edge; the carrier lives.
fn hold_up(rig: &mut Rig, edge: usize, held_up: bool) {
    let link = rig.link(edge);
    rig.links[link].to_edge.blocked = held_up;
    rig.run();
}

/// Returns how an edge is judged, which a failure makes worse for minutes.
fn judged(rig: &Rig) -> Vec<Verdict> {
    rig.pop.explain(rig.now, None)
}

fn let_go(rig: &mut Rig, id: SessionId) -> SessionReport {
    let abort = titan_core::endpoint::CloseMode::Abort;
    rig.pop.close(rig.now, id, Code::Cancelled, abort);
    rig.run();
    let report = rig.events.iter().rev().find_map(|event| match event {
        Event::Role(PopEvent::SessionOver(report)) => Some((**report).clone()),
        _ => None,
    });
    report.unwrap()
}

#[test]
fn a_dial_waits_for_its_turn_as_long_as_it_may_take_in_all_and_then_the_pop_is_to_blame() {
    for sticky in [false, true] {
        let mut rig = Rig::new(config(), 1);
        let before = judged(&rig);
        hold_up(&mut rig, 0, true);
        let mut open = demand();
        open.sticky = sticky.then(|| Sticky {
            owner: 1,
            name: SessionName::new("a").unwrap(),
            strict: false,
        });
        let id = rig.open_with(open);
        rig.send_up(id, b"early");
        rig.wait(secs(25) - millis(1));
        assert_eq!(rig.ended(id), None);
        rig.wait(millis(1));
        assert_eq!(rig.ended(id), Some(Code::Overloaded));
        let report = let_go(&mut rig, id);
        assert_eq!(
            (report.code, report.whose),
            (Code::Overloaded, Some(Whose::Pop))
        );
        assert_eq!(judged(&rig), before, "no exit is blamed");
        hold_up(&mut rig, 0, false);
        assert_eq!(dials(&rig), 0);
    }
}

#[test]
fn the_silence_of_an_exit_counts_from_its_create() {
    let mut rig = Rig::new(
        Config {
            dial_budget: secs(60),
            ..config()
        },
        1,
    );
    let before = judged(&rig);
    hold_up(&mut rig, 0, true);
    let id = rig.open();
    rig.wait(secs(40));
    hold_up(&mut rig, 0, false);
    assert_eq!(dials(&rig), 1);
    rig.wait(secs(15) - millis(1));
    assert_eq!(rig.ended(id), None);
    rig.wait(millis(1));
    assert_eq!(rig.ended(id), Some(Code::TimedOut));
    let_go(&mut rig, id);
    assert_ne!(judged(&rig), before, "it had its time and said nothing");
}

#[test]
fn an_exit_that_was_asked_too_late_is_not_blamed() {
    for (early, code) in [(false, Code::Overloaded), (true, Code::TimedOut)] {
        let mut rig = Rig::new(config(), 1);
        let before = judged(&rig);
        hold_up(&mut rig, 0, true);
        let id = rig.open();
        rig.wait(secs(20));
        if early {
            rig.send_up(id, b"x");
        }
        hold_up(&mut rig, 0, false);
        rig.wait(secs(5) - millis(1));
        assert_eq!(rig.ended(id), None);
        rig.wait(millis(1));
        // What may have reached a target is not safe to try again.
        assert_eq!(rig.ended(id), Some(code));
        let_go(&mut rig, id);
        assert_eq!(judged(&rig), before);
    }
}

#[test]
fn a_dial_without_a_turn_goes_to_another_exit_and_blames_none() {
    let mut rig = Rig::new(config(), 2);
    let before = judged(&rig);
    hold_up(&mut rig, 0, true);
    hold_up(&mut rig, 1, true);
    let id = rig.open();
    let first = rig.pop.node_of(id).unwrap().to_owned();
    let second = usize::from(first == "node-0");
    hold_up(&mut rig, second, false);
    rig.wait(secs(15) - millis(1));
    assert_eq!(dials(&rig), 0);
    rig.wait(millis(1));
    assert_eq!(rig.answer(Ok(())), second);
    let status = rig.pop.status(rig.now, id).unwrap();
    assert_eq!(status.dial, Dial::Connected);
    let_go(&mut rig, id);
    assert_eq!(judged(&rig), before);
    hold_up(&mut rig, 1 - second, false);
    let seen = rig.wire.iter().filter(|seen| seen.way == ToEdge);
    let creates = seen.filter(|seen| matches!(seen.frame, Frame::Create { .. }));
    assert_eq!(creates.count(), 1, "the first edge never heard of it");
}

#[test]
fn a_dial_without_a_turn_tells_what_the_target_said_before() {
    let mut rig = Rig::new(config(), 2);
    let id = rig.open();
    let first = usize::from(rig.edges[0].opened.is_empty());
    hold_up(&mut rig, 1 - first, true);
    rig.answer(Err(Code::NotResolved));
    rig.wait(secs(25));
    assert_eq!(rig.ended(id), Some(Code::NotResolved));
}

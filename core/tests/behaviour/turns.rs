//! A dial that waits for its turn in the POP's own queue: how long, and who is blamed.

use crate::common::{Way::ToEdge, World, config, demand, millis, secs};
use titan_core::endpoint::{Config, Dial, Event, PopEvent, SessionId, SessionReport, Whose};
use titan_core::exit::index::Verdict;
use titan_core::exit::lease::{SessionName, Sticky};
use titan_proto::{Code, Frame};

fn dials(world: &World) -> usize {
    world.count(|frame| matches!(frame, Frame::Create { .. }))
}

/// Stops, or lets, what the POP sends to an edge; the carrier lives.
fn hold_up(world: &mut World, edge: usize, held_up: bool) {
    let link = world.link(edge);
    world.links[link].to_edge.blocked = held_up;
    world.run();
}

/// Returns how an edge is judged, which a failure makes worse for minutes.
fn judged(world: &World) -> Vec<Verdict> {
    world.pop.explain(world.now, None)
}

fn let_go(world: &mut World, id: SessionId) -> SessionReport {
    let abort = titan_core::endpoint::CloseMode::Abort;
    world.pop.close(world.now, id, Code::Cancelled, abort);
    world.run();
    let report = world.events.iter().rev().find_map(|event| match event {
        Event::Role(PopEvent::SessionOver(report)) => Some((**report).clone()),
        _ => None,
    });
    report.unwrap()
}

#[test]
fn a_dial_waits_for_its_turn_as_long_as_it_may_take_in_all_and_then_the_pop_is_to_blame() {
    for sticky in [false, true] {
        let mut world = World::new(config(), 1);
        let before = judged(&world);
        hold_up(&mut world, 0, true);
        let mut open = demand();
        open.sticky = sticky.then(|| Sticky {
            owner: 1,
            name: SessionName::new("a").unwrap(),
            strict: false,
        });
        let id = world.open_with(open);
        world.send_up(id, b"early");
        world.wait(secs(25) - millis(1));
        assert_eq!(world.ended(id), None);
        world.wait(millis(1));
        assert_eq!(world.ended(id), Some(Code::Overloaded));
        let report = let_go(&mut world, id);
        assert_eq!(
            (report.code, report.whose),
            (Code::Overloaded, Some(Whose::Pop))
        );
        assert_eq!(judged(&world), before, "no exit is blamed");
        hold_up(&mut world, 0, false);
        assert_eq!(dials(&world), 0);
    }
}

#[test]
fn the_silence_of_an_exit_counts_from_its_create() {
    let mut world = World::new(
        Config {
            dial_budget: secs(60),
            ..config()
        },
        1,
    );
    let before = judged(&world);
    hold_up(&mut world, 0, true);
    let id = world.open();
    world.wait(secs(40));
    hold_up(&mut world, 0, false);
    assert_eq!(dials(&world), 1);
    world.wait(secs(15) - millis(1));
    assert_eq!(world.ended(id), None);
    world.wait(millis(1));
    assert_eq!(world.ended(id), Some(Code::TimedOut));
    let_go(&mut world, id);
    assert_ne!(judged(&world), before, "it had its time and said nothing");
}

#[test]
fn an_exit_that_was_asked_too_late_is_not_blamed() {
    for (early, code) in [(false, Code::Overloaded), (true, Code::TimedOut)] {
        let mut world = World::new(config(), 1);
        let before = judged(&world);
        hold_up(&mut world, 0, true);
        let id = world.open();
        world.wait(secs(20));
        if early {
            world.send_up(id, b"x");
        }
        hold_up(&mut world, 0, false);
        world.wait(secs(5) - millis(1));
        assert_eq!(world.ended(id), None);
        world.wait(millis(1));
        // What may have reached a target is not safe to try again.
        assert_eq!(world.ended(id), Some(code));
        let_go(&mut world, id);
        assert_eq!(judged(&world), before);
    }
}

#[test]
fn a_dial_without_a_turn_goes_to_another_exit_and_blames_none() {
    let mut world = World::new(config(), 2);
    let before = judged(&world);
    hold_up(&mut world, 0, true);
    hold_up(&mut world, 1, true);
    let id = world.open();
    let first = world.pop.node_of(id).unwrap().to_owned();
    let second = usize::from(first == "node-0");
    hold_up(&mut world, second, false);
    world.wait(secs(15) - millis(1));
    assert_eq!(dials(&world), 0);
    world.wait(millis(1));
    assert_eq!(world.answer(Ok(())), second);
    let status = world.pop.status(world.now, id).unwrap();
    assert_eq!(status.dial, Dial::Connected);
    let_go(&mut world, id);
    assert_eq!(judged(&world), before);
    hold_up(&mut world, 1 - second, false);
    let seen = world.wire.iter().filter(|seen| seen.way == ToEdge);
    let creates = seen.filter(|seen| matches!(seen.frame, Frame::Create { .. }));
    assert_eq!(creates.count(), 1, "the first edge never heard of it");
}

#[test]
fn a_dial_without_a_turn_tells_what_the_target_said_before() {
    let mut world = World::new(config(), 2);
    let id = world.open();
    let first = usize::from(world.edges[0].opened.is_empty());
    hold_up(&mut world, 1 - first, true);
    world.answer(Err(Code::NotResolved));
    world.wait(secs(25));
    assert_eq!(world.ended(id), Some(Code::NotResolved));
}

//! How many sessions are let in, and until when a user may have any.

use crate::asking::{Desk, terms};
use titan_core::account::ledger::{
    Ask, Config, Event, Instruction, Ledger, Question, Standing, Terms,
};
use titan_core::endpoint::Rates;
use titan_core::time::{Duration, Instant};
use titan_proto::Code;

fn at(millis: u64) -> Instant {
    Instant::EPOCH + Duration::from_millis(millis)
}

fn counted(sessions_max: u32) -> Terms {
    Terms {
        sessions_max: Some(sessions_max),
        ..terms(None)
    }
}

fn elsewhere(sessions: u64) -> Standing {
    Standing {
        granted: 0,
        charged: 0,
        limit: None,
        sessions_elsewhere: sessions,
        held_elsewhere: 0,
        share: Rates::default(),
    }
}

/// Takes all messages, and returns the last that tells so many sessions.
fn telling(ledger: &mut Ledger, sessions: u32) -> Ask {
    let asks = core::iter::from_fn(|| ledger.poll_ask());
    let tells = |ask: &Ask| match &ask.question {
        Question::Report(batch) => batch[0].1.sessions == sessions,
        Question::Grant { .. } => false,
    };
    asks.filter(tells).last().expect("it is told to the store")
}

fn outcome(ledger: &mut Ledger) -> Option<Result<(), Code>> {
    let events = core::iter::from_fn(|| ledger.poll_event());
    let outcomes = events.filter_map(|event| match event {
        Event::Admitted { outcome, .. } => Some(outcome),
        _ => None,
    });
    outcomes.last()
}

#[test]
fn the_last_place_is_told_before_it_is_taken() {
    for (sessions, expected) in [(1, Ok(())), (2, Err(Code::SessionLimit))] {
        let mut ledger = Ledger::new(Config::default(), 0);
        let admission = ledger.admit(at(0), 0, 1, &counted(2)).unwrap();
        assert!(admission.waits);
        let ask = telling(&mut ledger, 1);
        assert_eq!(outcome(&mut ledger), None);
        ledger.handle_answer(at(100), ask.id, &[Some(elsewhere(sessions))]);
        assert_eq!(outcome(&mut ledger), Some(expected), "{sessions} elsewhere");
        assert_eq!(ledger.usage().places, usize::from(expected.is_ok()));
    }
}

#[test]
fn a_store_that_says_nothing_is_waited_for_half_a_second() {
    let mut ledger = Ledger::new(Config::default(), 0);
    assert!(ledger.admit(at(0), 0, 1, &counted(2)).unwrap().waits);
    let ask = telling(&mut ledger, 1);
    ledger.handle_timeout(at(499), 0);
    assert_eq!(outcome(&mut ledger), None);
    ledger.handle_timeout(at(500), 0);
    assert_eq!(outcome(&mut ledger), Some(Ok(())), "its own sessions count");
    // For a second it is not even asked.
    assert!(!ledger.admit(at(1_499), 0, 1, &counted(2)).unwrap().waits);
    assert_eq!(
        ledger.admit(at(1_499), 0, 1, &counted(2)),
        Err(Code::SessionLimit)
    );
    ledger.handle_answer(at(1_600), ask.id, &[Some(elsewhere(9))]);
    assert_eq!(outcome(&mut ledger), None, "it is in");
}

#[test]
fn a_number_that_was_overtaken_is_told_again() {
    let mut ledger = Ledger::new(Config::default(), 0);
    let first = ledger.admit(at(0), 0, 1, &counted(9)).unwrap();
    let slow = telling(&mut ledger, 1);
    ledger.leave(at(300), first.place);
    let fast = telling(&mut ledger, 0);
    ledger.handle_answer(at(400), fast.id, &[Some(elsewhere(0))]);
    assert_eq!(ledger.poll_ask(), None);
    ledger.handle_answer(at(500), slow.id, &[Some(elsewhere(0))]);
    assert_eq!(
        ledger.unreported().count(),
        1,
        "which of both came last is unknown"
    );
    ledger.handle_timeout(at(2_400), 0);
    let alone = telling(&mut ledger, 0);
    ledger.handle_answer(at(2_500), alone.id, &[Some(elsewhere(0))]);
    assert_eq!(ledger.unreported().count(), 0);
}

#[test]
fn a_new_password_ends_sessions_of_the_old_one() {
    let mut desk = Desk::new(&terms(None));
    desk.instructions();
    let renewed = Terms {
        password: 2,
        ..terms(None)
    };
    let second = desk.ledger.admit(desk.now(), 0, 42, &renewed);
    assert!(second.is_ok());
    let told = desk.instructions();
    let code = Code::BadCredentials;
    assert_eq!(told[0], Instruction::Exhaust { group: 7, code });
    assert!(matches!(told[1], Instruction::Grant { .. }), "{told:?}");
    let old = desk.ledger.admit(desk.now(), 0, 42, &terms(None));
    assert_eq!(old, Err(Code::BadCredentials));
}

#[test]
fn windows_follow_the_wall_clock_wherever_it_jumps() {
    let window = Terms {
        starts_at: Some(1_000),
        ends_at: Some(2_000),
        ..terms(None)
    };
    let mut ledger = Ledger::new(Config::default(), 0);
    assert_eq!(
        ledger.admit(at(0), 999, 1, &window),
        Err(Code::UserDisabled)
    );
    assert!(ledger.poll_timeout().is_some_and(|due| due <= at(200)));
    ledger.handle_timeout(at(200), 1_500);
    assert!(ledger.admit(at(200), 1_500, 1, &window).is_ok());
    while ledger.poll_instruction().is_some() {}
    ledger.handle_timeout(at(400), 5_000_000);
    let code = Code::UserDisabled;
    let shut = Instruction::Exhaust { group: 0, code };
    assert_eq!(ledger.poll_instruction(), Some(shut));
    assert_eq!(ledger.admit(at(400), 5_000_000, 1, &window), Err(code));
}

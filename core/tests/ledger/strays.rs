//! Calls with numbers that mean nothing, in an order that makes no sense.

use crate::rig::Choices;
use titan_core::account::ledger::{AskId, Config, Ledger, PlaceId, Question, Standing, Terms};
use titan_core::endpoint::{Carried, Rates};
use titan_core::time::{Duration, Instant};

/// Numbers at which sums end.
const AMOUNTS: [u64; 5] = [0, 1, 5_000, 1 << 40, u64::MAX];

/// Calls in any order, with instructions that are followed late or never.
pub(crate) fn run(bytes: &[u8]) {
    let mut choices = Choices(bytes);
    let mut ledger = Ledger::new(Config::default(), u32::MAX);
    let mut now = Instant::EPOCH;
    let mut places: Vec<PlaceId> = Vec::new();
    let mut asks: Vec<(AskId, usize)> = Vec::new();
    while let Some(what) = choices.next() {
        let group = [u32::MAX, 0, 1][choices.below(3)];
        let carried = Carried {
            up: AMOUNTS[choices.below(5)],
            down: AMOUNTS[choices.below(5)],
        };
        match what % 14 {
            0 | 1 => {
                let user = choices.below(3) as u64;
                let terms = terms(&mut choices);
                let admitted = ledger.admit(now, 100, user, &terms);
                places.extend(admitted.ok().map(|admission| admission.place));
            }
            2 if !places.is_empty() => {
                let place = places[choices.below(places.len())];
                ledger.leave(now, place);
            }
            3 => ledger.handle_carried(group, carried),
            4 => ledger.handle_low(now, group),
            5 => ledger.handle_recalled(now, group, carried),
            6 => {
                let last = (choices.below(2) == 0).then_some(carried);
                ledger.handle_forgotten(now, group, last);
            }
            7 => {
                let terms = (choices.below(4) > 0).then(|| terms(&mut choices));
                ledger.handle_terms(now, choices.below(200) as u64, group, terms);
            }
            8 if !asks.is_empty() => {
                let ask = asks[choices.below(asks.len())];
                answer(&mut ledger, now, ask, &mut choices);
            }
            9 if !asks.is_empty() => {
                let (ask, _) = asks[choices.below(asks.len())];
                ledger.handle_failure(now, ask);
            }
            10 => {
                now = now + Duration::from_millis(choices.below(256) as u64 * 20);
                ledger.handle_timeout(now, choices.below(200) as u64);
                let due = ledger.poll_timeout();
                assert!(
                    due.is_none_or(|due| due > now),
                    "{due:?} is over at {now:?}"
                );
            }
            11 => drop(ledger.poll_instruction()),
            12 => asks.extend(core::iter::from_fn(|| asked(&mut ledger))),
            13 if choices.below(8) == 0 => {
                ledger.close(now);
                places.clear();
            }
            13 => ledger.reassert(now),
            _ => while ledger.poll_event().is_some() {},
        }
        ledger.audit();
    }
}

/// Returns the next message to the store, and how many users it is about.
fn asked(ledger: &mut Ledger) -> Option<(AskId, usize)> {
    let ask = ledger.poll_ask()?;
    let about = match &ask.question {
        Question::Grant { .. } => 1,
        Question::Report(batch) => batch.len(),
    };
    Some((ask.id, about))
}

/// Answers a message about so many users; also with too many and too few answers.
fn answer(
    ledger: &mut Ledger,
    now: Instant,
    (ask, about): (AskId, usize),
    choices: &mut Choices<'_>,
) {
    let count = [about, 0, about + 1][choices.below(3)];
    let said: Vec<_> = (0..count).map(|_| standing(choices)).collect();
    ledger.handle_answer(now, ask, &said);
}

fn terms(choices: &mut Choices<'_>) -> Terms {
    let mut amount = || (choices.below(3) > 0).then(|| AMOUNTS[choices.below(5)]);
    Terms {
        limit: amount(),
        charged: amount().unwrap_or(0),
        spent: amount().unwrap_or(0),
        rates: Rates {
            up: amount().unwrap_or(0),
            down: 0,
        },
        starts_at: amount(),
        ends_at: amount(),
        password: amount().unwrap_or(0),
        enabled: choices.below(4) > 0,
        sessions_max: (choices.below(2) == 0).then_some(2),
    }
}

fn standing(choices: &mut Choices<'_>) -> Option<Standing> {
    let mut amount = || AMOUNTS[choices.below(5)];
    let standing = Standing {
        granted: amount(),
        charged: amount(),
        limit: Some(amount()),
        sessions_elsewhere: amount(),
        held_elsewhere: amount(),
        share: Rates {
            up: amount(),
            down: amount(),
        },
    };
    (choices.below(5) > 0).then_some(standing)
}

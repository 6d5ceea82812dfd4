//! The index held against what it promises.

extern crate std;

mod audit;
mod model;
mod spread;
mod time;

use super::*;
use crate::rng::Rng;
use crate::time::Duration;
use std::collections::BTreeMap as Counts;

const ANY: Demand = Demand {
    country: None,
    exclude: [None; EXCLUDE_COUNT_MAX],
};

fn at(seconds: u64) -> Instant {
    Instant::EPOCH + Duration::from_secs(seconds)
}

fn rng(seed: u8) -> Rng {
    Rng::new([seed; 32])
}

fn good(rtt_millis: u64) -> ExitState {
    ExitState {
        rtt: Some(Duration::from_millis(rtt_millis)),
        sessions: 0,
        session_cap: 1000,
        country: None,
        attached: true,
        accepting: true,
        draining: false,
        blacklisted: false,
    }
}

fn index(states: impl IntoIterator<Item = ExitState>) -> Index {
    let mut index = Index::new();
    for (slot, state) in (0..).zip(states) {
        index.insert(at(0), ExitKey(slot), state);
    }
    index.audit(at(0)).expect("consistent");
    index
}

/// Chooses at `now` without keeping the session.
fn glance(index: &mut Index, now: Instant, demand: &Demand, rng: &mut Rng) -> Option<u32> {
    let Choice { key, .. } = index.choose(now, demand, rng)?;
    index.session_closed(now, key);
    Some(key.0)
}

fn excluding<const N: usize>(keys: [u32; N]) -> Demand {
    let mut demand = ANY;
    for (slot, key) in demand.exclude.iter_mut().zip(keys) {
        *slot = Some(ExitKey(key));
    }
    demand
}

fn reason(index: &Index, now: Instant, demand: &Demand, key: u32) -> Option<Reason> {
    let verdicts = index.explain(now, demand);
    let verdict = verdicts
        .iter()
        .find(|verdict| verdict.key == ExitKey(key))
        .expect("explained");
    match verdict.standing {
        Standing::Candidate { .. } => None,
        Standing::LastResort { reason, .. } | Standing::Filtered { reason } => Some(reason),
    }
}

#[test]
fn a_filtered_exit_is_never_chosen_not_even_alone() {
    type Filter = fn(&mut ExitState);
    let filters: [(Reason, Filter); 6] = [
        (Reason::Detached, |state| state.attached = false),
        (Reason::Blacklisted, |state| state.blacklisted = true),
        (Reason::Draining, |state| state.draining = true),
        (Reason::NotAccepting, |state| state.accepting = false),
        (Reason::Full, |state| state.sessions = state.session_cap),
        (Reason::Full, |state| state.session_cap = 0),
    ];
    for (why, filter) in filters {
        let mut index = index([good(1), good(700)]);
        index.update(at(1), ExitKey(0), filter);
        index.audit(at(1)).expect("consistent");
        for _ in 0..100 {
            assert_eq!(
                glance(&mut index, at(1), &ANY, &mut rng(1)),
                Some(1),
                "{why:?}"
            );
        }
        assert_eq!(reason(&index, at(1), &ANY, 0), Some(why));
        index.remove(ExitKey(1));
        assert_eq!(index.choose(at(1), &ANY, &mut rng(1)), None, "{why:?}");
        index.update(at(1), ExitKey(0), |state| *state = good(1));
        assert_eq!(
            glance(&mut index, at(1), &ANY, &mut rng(1)),
            Some(0),
            "{why:?}"
        );
    }
}

#[test]
fn a_country_is_obeyed_and_no_country_means_any() {
    let located = |rtt, country: &[u8; 2]| ExitState {
        country: Some(*country),
        ..good(rtt)
    };
    let mut index = index([good(10), located(60, b"DE"), located(40, b"JP")]);
    let demand = |country: &[u8; 2]| Demand {
        country: Some(*country),
        ..ANY
    };
    assert_eq!(
        glance(&mut index, at(1), &demand(b"DE"), &mut rng(1)),
        Some(1)
    );
    assert_eq!(
        glance(&mut index, at(1), &demand(b"JP"), &mut rng(1)),
        Some(2)
    );
    assert_eq!(glance(&mut index, at(1), &demand(b"FR"), &mut rng(1)), None);
    assert_eq!(glance(&mut index, at(1), &ANY, &mut rng(1)), Some(0));
    assert_eq!(
        reason(&index, at(1), &demand(b"DE"), 0),
        Some(Reason::WrongCountry)
    );

    index.update(at(2), ExitKey(1), |state| state.country = Some(*b"FR"));
    index
        .audit(at(2))
        .expect("the buckets of a country are gone with its last exit");
    assert_eq!(glance(&mut index, at(2), &demand(b"DE"), &mut rng(1)), None);
    assert_eq!(
        glance(&mut index, at(2), &demand(b"FR"), &mut rng(1)),
        Some(1)
    );
    index.remove(ExitKey(1));
    index
        .audit(at(2))
        .expect("the buckets of a country are gone with its last exit");
    assert_eq!(index.countries.len(), 1);
}

#[test]
fn between_equal_scores_the_lower_key_wins() {
    for seed in 0..50 {
        let mut index = index([good(30), good(30)]);
        assert_eq!(glance(&mut index, at(1), &ANY, &mut rng(seed)), Some(0));
        index.remove(ExitKey(0));
        index.insert(at(1), ExitKey(7), good(30));
        assert_eq!(glance(&mut index, at(1), &ANY, &mut rng(seed)), Some(1));
    }
}

#[test]
fn the_better_of_two_wins_within_a_band() {
    let mut index = index([good(49), good(26)]);
    for seed in 0..50 {
        assert_eq!(glance(&mut index, at(1), &ANY, &mut rng(seed)), Some(1));
    }
    // The load counts: 26 ms at nearly a quarter of the cap is worse than 30 ms idle.
    index.update(at(1), ExitKey(0), |state| *state = good(30));
    index.update(at(1), ExitKey(1), |state| state.sessions = 240);
    assert_eq!(glance(&mut index, at(1), &ANY, &mut rng(1)), Some(0));
}

#[test]
fn the_same_seed_chooses_the_same() {
    let run = |seed| {
        let mut index = index((0..500).map(|slot| good(20 + slot % 100)));
        let mut rng = rng(seed);
        (0..2000)
            .map(|_| index.choose(at(1), &ANY, &mut rng))
            .collect::<Vec<_>>()
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn session_caps_are_exact() {
    let mut index = index((0..20).map(|slot| ExitState {
        session_cap: slot,
        ..good(1 + 90 * u64::from(slot))
    }));
    let mut rng = rng(5);
    let total: u32 = (0..20).sum();
    for _ in 0..total {
        assert!(index.choose(at(1), &ANY, &mut rng).is_some());
        index.audit(at(1)).expect("consistent");
    }
    assert_eq!(index.choose(at(1), &ANY, &mut rng), None);
    assert!((0..20).all(|slot| index.state(ExitKey(slot)).expect("present").sessions == slot));
    index.session_closed(at(1), ExitKey(7));
    assert_eq!(
        index.choose(at(1), &ANY, &mut rng).map(|choice| choice.key),
        Some(ExitKey(7))
    );
    // A sticky session may go beyond the cap, and then two must end before there is room.
    index.session_opened(at(1), ExitKey(7));
    index.session_closed(at(1), ExitKey(7));
    assert_eq!(index.choose(at(1), &ANY, &mut rng), None);
}

#[test]
fn excluded_exits_are_passed_over() {
    let mut index = index([good(1), good(1), good(1), good(60), good(900)]);
    for seed in 0..50 {
        let mut rng = rng(seed);
        let mut chosen = |demand| glance(&mut index, at(1), &demand, &mut rng);
        assert_eq!(chosen(excluding([0, 1])), Some(2));
        assert_eq!(chosen(excluding([2, 2, 0])), Some(1));
        assert_eq!(chosen(excluding([0, 1, 2])), Some(3));
        assert!(chosen(excluding([99, u32::MAX])) < Some(3));
    }
    index.remove(ExitKey(0));
    index.remove(ExitKey(1));
    assert_eq!(
        glance(&mut index, at(1), &excluding([2, 3]), &mut rng(1)),
        Some(4)
    );
    assert_eq!(
        glance(&mut index, at(1), &excluding([2, 3, 4]), &mut rng(1)),
        None
    );
    assert_eq!(
        reason(&index, at(1), &excluding([2]), 2),
        Some(Reason::Excluded)
    );
}

#[test]
fn slow_and_unstable_exits_are_a_last_resort_in_the_order_of_their_bands() {
    let mut index = index([good(801), good(1500), good(3000), good(10), good(800)]);
    (0..3).for_each(|_| index.lost(at(1), ExitKey(3)));
    for (best, why) in [
        (4, None),
        (0, Some(Reason::Slow)),
        (1, Some(Reason::Slow)),
        (2, Some(Reason::Slow)),
        (3, Some(Reason::Unstable)),
    ] {
        assert_eq!(reason(&index, at(1), &ANY, best), why);
        assert_eq!(glance(&mut index, at(1), &ANY, &mut rng(1)), Some(best));
        index.remove(ExitKey(best));
    }
    assert!(index.is_empty());
}

#[test]
fn unmeasured_exits_rank_between_but_are_tried() {
    let unmeasured = ExitState {
        rtt: None,
        ..good(0)
    };
    let mut index = index([unmeasured, good(790), good(801)]);
    let mut rng = rng(10);
    let mut counts = Counts::new();
    for _ in 0..6400 {
        *counts
            .entry(glance(&mut index, at(1), &ANY, &mut rng).expect("all are good"))
            .or_insert(0) += 1;
    }
    assert!((60..140).contains(&counts[&0]), "{counts:?}");
    assert_eq!(counts[&0] + counts[&1], 6400, "{counts:?}");
    index.remove(ExitKey(1));
    assert_eq!(glance(&mut index, at(1), &ANY, &mut rng), Some(0));
    // One that fails before it was measured is no newcomer to be tried.
    (0..4).for_each(|_| index.failed(at(1), ExitKey(0)));
    assert_eq!(reason(&index, at(1), &ANY, 0), Some(Reason::Failing));
}

#[test]
fn unknown_keys_are_ignored_and_slots_can_be_reused() {
    let mut index = Index::new();
    let key = ExitKey(3);
    index.update(at(1), key, |_| unreachable!("there is no exit"));
    index.session_opened(at(1), key);
    index.session_closed(at(1), key);
    index.failed(at(1), key);
    index.lost(at(1), key);
    assert_eq!((index.remove(key), index.state(key)), (None, None));
    index.insert(at(1), key, good(5));
    index.session_closed(at(1), key);
    (0..9).for_each(|_| index.failed(at(1), key));
    index.insert(at(2), key, good(6));
    assert_eq!((index.len(), index.state(key)), (1, Some(good(6))));
    assert_eq!(reason(&index, at(2), &ANY, 3), None);
    index.audit(at(2)).expect("the past is gone");
    assert_eq!(index.remove(key), Some(good(6)));
    assert!(index.is_empty() && index.reviews.is_empty());
}

#[test]
fn an_rtt_is_kept_within_its_range() {
    let mut index = index([good(0)]);
    let mut kept = |rtt| {
        index.update(at(1), ExitKey(0), |state| state.rtt = Some(rtt));
        index.state(ExitKey(0)).expect("present").rtt
    };
    assert_eq!(kept(Duration::ZERO), Some(Duration::from_micros(1)));
    assert_eq!(kept(Duration::MAX), Some(Duration::from_secs(60)));
}

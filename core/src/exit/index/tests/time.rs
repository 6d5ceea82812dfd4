//! Failures and losses, and how they are forgotten.

use super::*;

#[test]
fn an_unstable_exit_comes_back_by_time_alone() {
    let mut index = index([good(10), good(900)]);
    (0..3).for_each(|second| index.lost(at(second), ExitKey(0)));
    assert_eq!(glance(&mut index, at(3), &ANY, &mut rng(1)), Some(1));
    index.audit(at(3)).expect("consistent");
    assert_eq!(glance(&mut index, at(30), &ANY, &mut rng(1)), Some(1));
    assert_eq!(glance(&mut index, at(60), &ANY, &mut rng(1)), Some(0));
    index.audit(at(60)).expect("consistent");
}

#[test]
fn two_losses_do_not_make_an_exit_unstable() {
    let mut index = index([good(10), good(900)]);
    (0..2).for_each(|_| index.lost(at(1), ExitKey(0)));
    assert_eq!(glance(&mut index, at(1), &ANY, &mut rng(1)), Some(0));
    // Nor do losses that are far apart.
    (1..20).for_each(|turn| index.lost(at(turn * 120), ExitKey(0)));
    assert_eq!(reason(&index, at(19 * 120), &ANY, 0), None);
}

#[test]
fn an_exit_that_is_fast_because_it_fails_attracts_nothing() {
    let mut index = index((0..11).map(|slot| good(if slot == 0 { 1 } else { 120 })));
    let mut rng = rng(8);
    let mut failed = 0;
    // Ten choices a second for ten minutes; those of exit 0 fail at once.
    for turn in 0..6000 {
        let now = at(0) + Duration::from_millis(100 * turn);
        if glance(&mut index, now, &ANY, &mut rng) == Some(0) {
            failed += 1;
            index.failed(now, ExitKey(0));
        }
        index.audit(now).expect("consistent");
    }
    assert!((2..60).contains(&failed), "{failed} of 6000");
}

#[test]
fn an_exit_that_recovered_comes_back() {
    let mut index = index([good(20), good(120)]);
    (0..20).for_each(|_| index.failed(at(0), ExitKey(0)));
    assert_eq!(reason(&index, at(0), &ANY, 0), Some(Reason::Failing));
    assert_eq!(glance(&mut index, at(0), &ANY, &mut rng(1)), Some(1));
    assert_eq!(reason(&index, at(70), &ANY, 0), None);
    assert_eq!(glance(&mut index, at(70), &ANY, &mut rng(1)), Some(1));
    assert_eq!(glance(&mut index, at(600), &ANY, &mut rng(1)), Some(0));
    index.audit(at(600)).expect("consistent");
}

#[test]
fn reviews_of_many_exits_are_spread_over_choices() {
    let mut index = index((0..100).map(|_| good(20)));
    (0..100).for_each(|slot| (0..8).for_each(|_| index.failed(at(0), ExitKey(slot))));
    let mut rng = rng(9);
    for _ in 0..20 {
        let choice = index
            .choose(at(3600), &ANY, &mut rng)
            .expect("all recovered");
        let state = index.explain(at(3600), &ANY)[choice.key.0 as usize];
        assert!(matches!(state.standing, Standing::Candidate { band, .. } if band.rank() == 0));
        index
            .audit(at(3600))
            .expect("a band lags behind only while its review is due");
    }
    assert!(index.reviews.is_empty());
}

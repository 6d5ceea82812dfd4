//! Rates of users with sessions at several POPs.

use super::accounts::holder;
use super::{LEASE, Passing, pop, user};
use crate::store::{Holder, SILENT_AFTER, Standing, Store, Totals, User};
use titan_core::account::{Stake, divide};
use titan_core::endpoint::Rates;
use titan_core::rng::Rng;

pub(super) async fn all<S: Passing>(open: &mut impl FnMut() -> (S, S)) {
    who_is_alone_has_the_whole_rate(open()).await;
    shares_are_what_the_arithmetic_says(open()).await;
    a_silent_one_is_idle(open()).await;
    who_is_gone_gives_its_share_back(open()).await;
    a_lease_tells_the_share_too(open()).await;
}

const EVERYTHING: Rates = Rates {
    up: u64::MAX,
    down: u64::MAX,
};

/// A user with rates, and POPs that live.
async fn rated<S: Store>(store: &S, rates: Rates, pops: &[&str]) -> User {
    let mut new = user("ann");
    new.settings.upload_rate = (rates.up > 0).then_some(rates.up);
    new.settings.download_rate = (rates.down > 0).then_some(rates.down);
    for id in pops {
        store.pop_alive(pop(id, 1), LEASE).await.unwrap();
    }
    store.create_user(new).await.unwrap()
}

fn told(ann: &User, sessions: u32, wants: Rates) -> Totals {
    Totals {
        sessions,
        wants,
        ..Totals::new(ann.name.clone(), ann.id)
    }
}

async fn report<S: Store>(store: &S, by: &Holder, totals: Totals) -> Standing {
    let answer = store.report(by.clone(), vec![totals], None).await;
    answer.unwrap()[0].unwrap()
}

fn even(rate: u64) -> Rates {
    Rates {
        up: rate,
        down: rate,
    }
}

async fn who_is_alone_has_the_whole_rate<S: Store>((a, b): (S, S)) {
    let rates = Rates {
        up: 1_600,
        down: 3_200,
    };
    let ann = rated(&a, rates, &["p", "q"]).await;
    let (p, q) = (holder("p", 1), holder("q", 1));
    for wants in [Rates::default(), EVERYTHING] {
        let standing = report(&a, &p, told(&ann, 1, wants)).await;
        assert_eq!((standing.sessions_elsewhere, standing.share), (0, rates));
    }
    // A newcomer finds little at first, and half when the other has shrunk.
    let newcomer = told(&ann, 1, EVERYTHING);
    let share = report(&b, &q, newcomer.clone()).await.share;
    assert_eq!((share.up, share.down), (200, 400));
    let share = report(&a, &p, told(&ann, 1, EVERYTHING)).await.share;
    assert_eq!((share.up, share.down), (800, 1_600));
    let share = report(&b, &q, newcomer).await.share;
    assert_eq!((share.up, share.down), (800, 1_600));
    // Without a limit there is nothing to divide.
    let change = crate::store::UserChange {
        upload_rate: Some(None),
        ..Default::default()
    };
    a.change_user("ann", change).await.unwrap();
    let share = report(&a, &p, told(&ann, 1, EVERYTHING)).await.share;
    assert_eq!((share.up, share.down), (0, 1_600));
}

async fn shares_are_what_the_arithmetic_says<S: Store>((a, b): (S, S)) {
    let rates = Rates {
        up: 1_000_003,
        down: 77,
    };
    let names = ["p", "q", "r"];
    let ann = rated(&a, rates, &names).await;
    let mut stakes = [[Stake::default(); 2]; 3];
    let mut rng = Rng::new([3; 32]);
    // Each shares something once it has told while others were there.
    for name in names.iter().chain(&names) {
        report(&a, &holder(name, 1), told(&ann, 1, EVERYTHING)).await;
    }
    for step in 0..150 {
        let index = if step < 3 { step } else { rng.below(3) };
        let mut wanted = |rate: u64| match rng.below(4) {
            0 => 0,
            1 => u64::MAX,
            _ => rng.below(rate + 1),
        };
        let wants = Rates {
            up: wanted(rates.up),
            down: wanted(rates.down),
        };
        let index = usize::try_from(index).unwrap();
        let (store, by) = (if index == 1 { &b } else { &a }, holder(names[index], 1));
        let share = report(store, &by, told(&ann, 1, wants)).await.share;
        let ways = [
            (rates.up, wants.up, share.up),
            (rates.down, wants.down, share.down),
        ];
        for (way, (rate, wants, has)) in ways.into_iter().enumerate() {
            let mut others: Vec<Stake> = stakes.iter().map(|stakes| stakes[way]).collect();
            others.remove(index);
            // In the first steps it is not known what the others hold.
            if step >= 3 {
                assert_eq!(has, divide(rate, wants, &others), "{stakes:?}");
            }
            stakes[index][way] = Stake { wants, has };
        }
    }
}

async fn a_silent_one_is_idle<S: Passing>((a, b): (S, S)) {
    let ann = rated(&a, even(1_600), &["p", "q"]).await;
    let (p, q) = (holder("p", 1), holder("q", 1));
    let share = async |after| {
        report(&a, &p, told(&ann, 1, EVERYTHING)).await;
        a.pass(after).await;
        let share = report(&b, &q, told(&ann, 1, EVERYTHING)).await.share;
        // Whoever was there is gone.
        for by in [&p, &q] {
            report(&b, by, told(&ann, 0, EVERYTHING)).await;
        }
        share
    };
    // Less by what a busy machine may take for this.
    assert_eq!(share(SILENT_AFTER - 3).await, even(200));
    assert_eq!(share(SILENT_AFTER + 1).await, even(1_550));
}

async fn who_is_gone_gives_its_share_back<S: Passing>((a, b): (S, S)) {
    let ann = rated(&a, even(1_600), &["p", "q", "r"]).await;
    let (p, q, r) = (holder("p", 1), holder("q", 1), holder("r", 1));
    let of_p = async || report(&a, &p, told(&ann, 1, EVERYTHING)).await.share;
    let both = async || {
        for by in [&p, &q, &p, &q] {
            report(&b, by, told(&ann, 1, EVERYTHING)).await;
        }
        of_p().await
    };
    assert_eq!(both().await, even(800));
    // Its last session ends.
    report(&b, &q, told(&ann, 0, EVERYTHING)).await;
    assert_eq!(of_p().await, even(1_600));
    // It tells nothing any more, and what it has is its as long as its registration.
    assert_eq!(both().await, even(800));
    a.pass(LEASE / 2).await;
    assert_eq!(of_p().await, even(800));
    a.pass(LEASE / 2).await;
    assert_eq!(of_p().await, even(1_600));
    // Another process takes its place.
    for id in ["p", "q", "r"] {
        a.pop_alive(pop(id, 1), LEASE).await.unwrap();
    }
    assert_eq!(both().await, even(800));
    a.pop_alive(pop("q", 2), LEASE).await.unwrap();
    assert_eq!(of_p().await, even(1_600));
    // Another user of the name begins anew.
    a.delete_user("ann").await.unwrap();
    let ann = rated(&a, even(1_600), &[]).await;
    let share = report(&a, &r, told(&ann, 1, EVERYTHING)).await.share;
    assert_eq!(share, even(1_600));
}

async fn a_lease_tells_the_share_too<S: Store>((a, b): (S, S)) {
    let ann = rated(&a, even(1_600), &["p", "q"]).await;
    let lease = async |store: &S, by: &Holder| {
        let totals = told(&ann, 1, EVERYTHING);
        let answer = store.lease(by.clone(), totals, 9).await;
        answer.unwrap().unwrap().share
    };
    let (p, q) = (holder("p", 1), holder("q", 1));
    assert_eq!(lease(&a, &p).await, even(1_600));
    assert_eq!(lease(&b, &q).await, even(200));
    assert_eq!(lease(&a, &p).await, even(800));
}

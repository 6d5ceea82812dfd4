//! Quotas and traffic.

use super::{LEASE, NOW, Passing, pop, user};
use crate::store::{
    ADJUSTMENTS_KEPT, Adjustment, AdjustmentKind, COUNT_MAX, Holder, INCARNATIONS_KEPT, REPORT_MAX,
    Resolution, Standing, Store, StoreError, Totals, TrafficBucket, User, UserChange,
};

pub(super) async fn all<S: Passing>(open: &mut impl FnMut() -> (S, S)) {
    grants_end_at_the_limit(open()).await;
    repeating_and_coming_late_do_no_harm(open()).await;
    the_rest_goes_to_others(open()).await;
    a_dead_holder_keeps_its_charge(open()).await;
    what_a_server_forgot_is_told_again(open()).await;
    another_user_of_the_name_is_not_charged(open()).await;
    sessions_are_known_elsewhere(open()).await;
    what_others_hold_is_known(open()).await;
    adjustments_happen_once(open()).await;
    a_reset_leaves_what_is_held(open()).await;
    traffic_falls_into_buckets(open()).await;
    old_buckets_go(open()).await;
    old_processes_are_folded(open()).await;
}

pub(super) fn holder(pop: &str, incarnation: u64) -> Holder {
    Holder {
        pop: pop.to_owned(),
        incarnation,
    }
}

pub(super) async fn limited<S: Store>(store: &S, limit: Option<u64>) -> User {
    let mut new = user("ann");
    new.settings.traffic_limit = limit;
    store.create_user(new).await.unwrap()
}

fn totals(user: &User) -> Totals {
    Totals::new(user.name.clone(), user.id)
}

async fn lease<S: Store>(store: &S, by: &Holder, totals: &Totals, want: u64) -> Standing {
    let answer = store.lease(by.clone(), totals.clone(), want).await;
    answer.unwrap().unwrap()
}

async fn report<S: Store>(store: &S, by: &Holder, totals: &Totals) -> Standing {
    let answer = store.report(by.clone(), vec![totals.clone()], None).await;
    answer.unwrap()[0].unwrap()
}

async fn record<S: Store>(store: &S) -> User {
    store.user("ann").await.unwrap().unwrap()
}

async fn grants_end_at_the_limit<S: Store>((a, b): (S, S)) {
    let ann = limited(&a, Some(100)).await;
    let (p, q, none) = (holder("p", 1), holder("q", 1), totals(&ann));
    let standing = lease(&a, &p, &none, 60).await;
    assert_eq!(
        (standing.granted, standing.charged, standing.limit),
        (60, 60, Some(100))
    );
    let standing = lease(&b, &q, &none, 60).await;
    assert_eq!((standing.granted, standing.charged), (40, 100));
    assert_eq!(lease(&a, &p, &none, 61).await.granted, 60);
    assert_eq!(record(&b).await.charged, 100);
    // More is granted once there is more, to the byte.
    let more = UserChange {
        traffic_limit: Some(Some(101)),
        ..UserChange::default()
    };
    a.change_user("ann", more).await.unwrap();
    assert_eq!(lease(&a, &p, &none, 99).await.granted, 61);
    // Below what is charged nothing is, and what was granted stays.
    let less = UserChange {
        traffic_limit: Some(Some(10)),
        ..UserChange::default()
    };
    a.change_user("ann", less).await.unwrap();
    let standing = lease(&a, &p, &none, 99).await;
    assert_eq!(
        (standing.granted, standing.charged, standing.limit),
        (61, 101, Some(10))
    );
    let unlimited = UserChange {
        traffic_limit: Some(None),
        ..UserChange::default()
    };
    a.change_user("ann", unlimited).await.unwrap();
    let standing = lease(&a, &p, &none, 1 << 50).await;
    assert_eq!(
        (standing.granted, standing.charged, standing.limit),
        (1 << 50, (1 << 50) + 40, None)
    );
    // Absurd numbers do no harm.
    assert_eq!(lease(&a, &q, &none, u64::MAX).await.granted, COUNT_MAX / 2);
    assert_eq!(record(&a).await.charged, (1 << 50) + COUNT_MAX / 2);
}

async fn repeating_and_coming_late_do_no_harm<S: Store>((a, b): (S, S)) {
    let ann = limited(&a, Some(1_000)).await;
    let p = holder("p", 1);
    let start = totals(&ann);
    for store in [&a, &b, &a] {
        let standing = lease(store, &p, &start, 100).await;
        assert_eq!((standing.granted, standing.charged), (100, 100));
    }
    let mut now = start.clone();
    (now.granted, now.uploaded, now.downloaded) = (100, 30, 40);
    for store in [&a, &b] {
        assert_eq!(report(store, &p, &now).await.charged, 100);
    }
    let mut later = now.clone();
    (later.downloaded, later.returned) = (50, 20);
    assert_eq!(report(&a, &p, &later).await.charged, 80);
    // Everything that was sent before arrives once more.
    assert_eq!(report(&b, &p, &now).await.charged, 80);
    assert_eq!(
        lease(&b, &p, &start, 100).await,
        report(&a, &p, &later).await
    );
    let ann = record(&b).await;
    assert_eq!((ann.charged, ann.uploaded, ann.downloaded), (80, 30, 50));
    let day = a
        .traffic("ann", Resolution::Day, NOW, COUNT_MAX)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((day[0].uploaded, day[0].downloaded), (30, 50));
    let many = vec![later; REPORT_MAX + 1];
    assert_eq!(a.report(p, many, None).await, Err(StoreError::TooLarge));
}

async fn the_rest_goes_to_others<S: Store>((a, b): (S, S)) {
    let ann = limited(&a, Some(100)).await;
    let (p, q) = (holder("p", 1), holder("q", 1));
    let mut at_p = totals(&ann);
    at_p.granted = lease(&a, &p, &at_p, 100).await.granted;
    at_p.uploaded = 30;
    assert_eq!((at_p.spent(), at_p.rest()), (30, 70));
    at_p.returned = at_p.rest();
    assert_eq!(report(&a, &p, &at_p).await.charged, 30);
    assert_eq!(lease(&b, &q, &totals(&ann), 100).await.granted, 70);
    // What p wants again counts from what it was granted in all.
    assert_eq!(lease(&a, &p, &at_p, 150).await.granted, 100);
    let parts = b.usage("ann").await.unwrap().unwrap();
    let parts: Vec<_> = parts
        .iter()
        .map(|part| (&*part.holder.pop, part.granted, part.returned))
        .collect();
    assert_eq!(parts, [("p", 100, 70), ("q", 70, 0)]);
    assert_eq!(b.usage("bob").await.unwrap(), None);
}

async fn a_dead_holder_keeps_its_charge<S: Store>((a, b): (S, S)) {
    let ann = limited(&a, Some(100)).await;
    a.pop_alive(pop("p", 10), LEASE).await.unwrap();
    let (dead, next) = (holder("p", 10), holder("p", 20));
    let mut left = totals(&ann);
    left.granted = lease(&a, &dead, &left, 60).await.granted;
    left.downloaded = 25;
    a.pop_alive(pop("p", 20), LEASE).await.unwrap();
    assert_eq!(lease(&b, &next, &totals(&ann), 60).await.granted, 40);
    // A process that was replaced gets no more, and may still say what it did.
    let refused = a.lease(dead.clone(), left.clone(), 90).await;
    assert_eq!(refused, Err(StoreError::Superseded));
    assert_eq!(report(&a, &dead, &left).await.charged, 100);
    assert_eq!(record(&a).await.downloaded, 25);
    // Its journal may say that it had closed properly.
    left.returned = 35;
    assert_eq!(report(&a, &dead, &left).await.charged, 65);
}

async fn what_a_server_forgot_is_told_again<S: Store>((a, _): (S, S)) {
    let ann = limited(&a, Some(100)).await;
    let (p, q) = (holder("p", 1), holder("q", 1));
    // q was granted what p holds, because p's grant was forgotten: p tells it when it reports.
    let mut at_p = totals(&ann);
    (at_p.granted, at_p.uploaded) = (80, 10);
    assert_eq!(lease(&a, &q, &totals(&ann), 100).await.granted, 100);
    assert_eq!(report(&a, &p, &at_p).await.charged, 180);
    // What was spent is charged even if nothing was granted.
    at_p.uploaded = 90;
    let standing = report(&a, &p, &at_p).await;
    assert_eq!((standing.granted, standing.charged), (90, 190));
    assert_eq!(lease(&a, &p, &at_p, 1_000).await.granted, 90);
}

async fn another_user_of_the_name_is_not_charged<S: Store>((a, b): (S, S)) {
    let old = limited(&a, Some(100)).await;
    let p = holder("p", 1);
    let mut before = totals(&old);
    before.granted = lease(&a, &p, &before, 60).await.granted;
    before.uploaded = 50;
    report(&a, &p, &before).await;
    a.delete_user("ann").await.unwrap();
    assert_eq!(b.lease(p.clone(), before.clone(), 99).await, Ok(None));
    let new = limited(&a, Some(100)).await;
    assert_ne!(new.id, old.id);
    let both = vec![before.clone(), totals(&new), Totals::new("bob".into(), 1)];
    let answers = b.report(p.clone(), both, None).await.unwrap();
    assert_eq!(answers[0], None);
    assert_eq!(answers[1].unwrap().charged, 0);
    assert_eq!(answers[2], None);
    assert_eq!(b.lease(p.clone(), before, 99).await, Ok(None));
    assert_eq!(record(&b).await, new);
    let traffic = b.traffic("ann", Resolution::Day, 0, NOW).await.unwrap();
    assert_eq!(traffic, Some(Vec::new()));
}

async fn sessions_are_known_elsewhere<S: Passing>((a, b): (S, S)) {
    let ann = limited(&a, None).await;
    a.pop_alive(pop("p", 10), LEASE).await.unwrap();
    a.pop_alive(pop("q", 10), 9 * LEASE).await.unwrap();
    let (p, q) = (holder("p", 10), holder("q", 10));
    let mut at_p = totals(&ann);
    at_p.sessions = 3;
    assert_eq!(report(&a, &p, &at_p).await.sessions_elsewhere, 0);
    let mut at_q = totals(&ann);
    at_q.sessions = 2;
    assert_eq!(lease(&b, &q, &at_q, 1).await.sessions_elsewhere, 3);
    at_p.sessions = 1;
    assert_eq!(report(&a, &p, &at_p).await.sessions_elsewhere, 2);
    // The journal of a minute ago does not say how many there are now.
    at_p.sessions = 9;
    a.report(p, vec![at_p], Some(NOW)).await.unwrap();
    assert_eq!(report(&b, &q, &at_q).await.sessions_elsewhere, 1);
    a.pass(LEASE).await;
    assert_eq!(report(&b, &q, &at_q).await.sessions_elsewhere, 0);
    a.pop_alive(pop("p", 10), LEASE).await.unwrap();
    assert_eq!(report(&b, &q, &at_q).await.sessions_elsewhere, 1);
    a.pop_alive(pop("p", 11), LEASE).await.unwrap();
    assert_eq!(report(&b, &q, &at_q).await.sessions_elsewhere, 0);
}

async fn what_others_hold_is_known<S: Passing>((a, b): (S, S)) {
    let ann = limited(&a, Some(1000)).await;
    a.pop_alive(pop("p", 10), LEASE).await.unwrap();
    a.pop_alive(pop("q", 10), 9 * LEASE).await.unwrap();
    let (p, q) = (holder("p", 10), holder("q", 10));
    let mut at_p = totals(&ann);
    let at_q = totals(&ann);
    assert_eq!(lease(&a, &p, &at_p, 700).await.held_elsewhere, 0);
    assert_eq!(lease(&b, &q, &at_q, 400).await.held_elsewhere, 700);
    (at_p.granted, at_p.uploaded, at_p.returned) = (700, 100, 50);
    assert_eq!(report(&a, &p, &at_p).await.held_elsewhere, 300);
    assert_eq!(report(&b, &q, &at_q).await.held_elsewhere, 550);
    // A dead one's will not come back.
    a.pass(LEASE).await;
    assert_eq!(report(&b, &q, &at_q).await.held_elsewhere, 0);
    a.pop_alive(pop("p", 10), LEASE).await.unwrap();
    assert_eq!(report(&b, &q, &at_q).await.held_elsewhere, 550);
    a.pop_alive(pop("p", 11), LEASE).await.unwrap();
    assert_eq!(report(&b, &q, &at_q).await.held_elsewhere, 0);
}

async fn adjust<S: Store>(store: &S, id: &str, kind: AdjustmentKind) -> User {
    let adjustment = Adjustment {
        id: id.to_owned(),
        kind,
    };
    store.adjust_user("ann", adjustment).await.unwrap().unwrap()
}

async fn adjustments_happen_once<S: Store>((a, b): (S, S)) {
    let nobody = Adjustment {
        id: "1".to_owned(),
        kind: AdjustmentKind::Reset,
    };
    assert_eq!(a.adjust_user("ann", nobody).await.unwrap(), None);
    limited(&a, Some(100)).await;
    let add = AdjustmentKind::Add;
    for store in [&a, &b] {
        assert_eq!(
            adjust(store, "one", add(50)).await.settings.traffic_limit,
            Some(150)
        );
    }
    assert_eq!(
        adjust(&a, "two", add(-70)).await.settings.traffic_limit,
        Some(80)
    );
    assert_eq!(
        adjust(&a, "one", add(-70)).await.settings.traffic_limit,
        Some(80)
    );
    assert_eq!(
        adjust(&a, "3", add(i64::MIN)).await.settings.traffic_limit,
        Some(0)
    );
    assert_eq!(
        adjust(&a, "4", add(i64::MAX)).await.settings.traffic_limit,
        Some(COUNT_MAX)
    );
    for index in 0..ADJUSTMENTS_KEPT - 1 {
        adjust(&a, &format!("many {index}"), add(-1)).await;
    }
    let left = COUNT_MAX - u64::from(ADJUSTMENTS_KEPT) + 1;
    // The last ones are remembered.
    assert_eq!(
        adjust(&b, "4", add(-1)).await.settings.traffic_limit,
        Some(left)
    );
    assert_eq!(
        adjust(&b, "many 0", add(-1)).await.settings.traffic_limit,
        Some(left)
    );
    let unlimited = UserChange {
        traffic_limit: Some(None),
        ..UserChange::default()
    };
    a.change_user("ann", unlimited).await.unwrap();
    assert_eq!(
        adjust(&a, "last", add(5)).await.settings.traffic_limit,
        None
    );
}

async fn a_reset_leaves_what_is_held<S: Store>((a, b): (S, S)) {
    let ann = limited(&a, Some(100)).await;
    for id in ["p", "q"] {
        a.pop_alive(pop(id, 10), LEASE).await.unwrap();
    }
    let (live, dead) = (holder("p", 10), holder("q", 10));
    let mut at_live = totals(&ann);
    at_live.granted = lease(&a, &live, &at_live, 50).await.granted;
    at_live.uploaded = 20;
    report(&a, &live, &at_live).await;
    let mut at_dead = totals(&ann);
    at_dead.granted = lease(&a, &dead, &at_dead, 50).await.granted;
    at_dead.uploaded = 10;
    report(&a, &dead, &at_dead).await;
    a.pop_alive(pop("q", 20), LEASE).await.unwrap();

    let reset = adjust(&a, "r", AdjustmentKind::Reset).await;
    assert_eq!(
        (reset.charged, reset.uploaded, reset.downloaded),
        (30, 0, 0)
    );
    assert_eq!(adjust(&b, "r", AdjustmentKind::Reset).await.charged, 30);
    // What was counted before does not count again, and what is new does.
    at_live.uploaded = 45;
    assert_eq!(report(&b, &live, &at_live).await.charged, 30);
    assert_eq!(record(&b).await.uploaded, 25);
    at_live.returned = at_live.rest();
    assert_eq!(report(&b, &live, &at_live).await.charged, 25);
    // The journal of the dead one gives nothing back that no longer counts.
    at_dead.returned = at_dead.rest();
    assert_eq!(report(&b, &dead, &at_dead).await.charged, 25);
    assert_eq!(lease(&b, &live, &at_live, 1_000).await.granted, 125);
    assert_eq!(record(&b).await.charged, 100);
}

async fn traffic_falls_into_buckets<S: Store>((a, b): (S, S)) {
    let ann = limited(&a, None).await;
    let p = holder("p", 1);
    let midnight = NOW / 86_400 * 86_400;
    let mut now = totals(&ann);
    for (at, up, down) in [(0, 1, 10), (299, 2, 10), (300, 4, 20), (3_600, 8, 30)] {
        (now.uploaded, now.downloaded) = (up, down);
        for store in [&a, &b] {
            store
                .report(p.clone(), vec![now.clone()], Some(midnight + at))
                .await
                .unwrap();
        }
    }
    let read = async |resolution, from, until| {
        let buckets = b
            .traffic("ann", resolution, midnight + from, midnight + until)
            .await;
        let relative =
            |bucket: &TrafficBucket| (bucket.start - midnight, bucket.uploaded, bucket.downloaded);
        buckets
            .unwrap()
            .unwrap()
            .iter()
            .map(relative)
            .collect::<Vec<_>>()
    };
    let minutes = read(Resolution::FiveMinutes, 0, 86_399).await;
    assert_eq!(minutes, [(0, 2, 10), (300, 2, 10), (3_600, 4, 10)]);
    assert_eq!(read(Resolution::FiveMinutes, 299, 599).await, minutes[..2]);
    assert_eq!(read(Resolution::FiveMinutes, 300, 300).await, minutes[1..2]);
    assert_eq!(
        read(Resolution::FiveMinutes, 300, 299).await,
        [(300, 2, 10)][..0]
    );
    assert_eq!(
        read(Resolution::Hour, 0, 86_399).await,
        [(0, 4, 20), (3_600, 4, 10)]
    );
    assert_eq!(read(Resolution::Day, 0, 0).await, [(0, 8, 30)]);
    assert_eq!(
        b.traffic("bob", Resolution::Day, 0, NOW).await.unwrap(),
        None
    );
}

async fn old_buckets_go<S: Store>((a, b): (S, S)) {
    let ann = limited(&a, None).await;
    let p = holder("p", 1);
    let mut now = totals(&ann);
    let kept = Resolution::FiveMinutes.kept();
    let start = NOW / 86_400 * 86_400;
    for index in 0..=kept + 2 {
        now.uploaded += 1;
        a.report(p.clone(), vec![now.clone()], Some(start + index * 300))
            .await
            .unwrap();
    }
    let minutes = b
        .traffic("ann", Resolution::FiveMinutes, 0, NOW * 2)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(minutes.len() as u64, kept);
    assert_eq!(minutes[0].start, start + 3 * 300);
    // What comes later than anything is kept counts for the longer buckets only.
    now.uploaded += 5;
    a.report(p, vec![now.clone()], Some(start)).await.unwrap();
    let again = b
        .traffic("ann", Resolution::FiveMinutes, 0, NOW * 2)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(again, minutes);
    let days = b
        .traffic("ann", Resolution::Day, 0, NOW * 2)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        days.iter().map(|day| day.uploaded).sum::<u64>(),
        now.uploaded
    );
}

async fn old_processes_are_folded<S: Store>((a, b): (S, S)) {
    let ann = limited(&a, Some(1_000)).await;
    let mut then = totals(&ann);
    then.uploaded = 1;
    let last = u64::from(INCARNATIONS_KEPT) + 4;
    for incarnation in 1..=last {
        let by = holder("p", incarnation);
        then.granted = 2;
        assert_eq!(lease(&a, &by, &then, 2).await.granted, 2);
    }
    report(&a, &holder("q", 1), &then).await;
    let parts = b.usage("ann").await.unwrap().unwrap();
    assert_eq!(parts.len(), INCARNATIONS_KEPT as usize + 1);
    assert_eq!(parts[0].holder, holder("p", 5));
    let sum = record(&b).await;
    assert_eq!((sum.charged, sum.uploaded), (2 * last + 2, last + 1));
    // One that was folded is not counted anew.
    (then.uploaded, then.granted) = (2, 50);
    report(&a, &holder("p", 4), &then).await;
    let standing = lease(&a, &holder("p", 1), &then, 99).await;
    assert_eq!(standing.granted, 50);
    assert_eq!(record(&b).await, sum);
    // Others are.
    report(&a, &holder("p", 5), &then).await;
    assert_eq!(record(&b).await.uploaded, last + 2);
}

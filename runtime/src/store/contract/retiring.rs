//! A process of a POP and the one that takes its place.

use super::accounts::{holder, limited};
use super::{LEASE, Passing, at, node, online, pop};
use crate::store::{PopEntry, Store, StoreError, Totals};

pub(super) async fn all<S: Passing>(open: &mut impl FnMut() -> (S, S)) {
    who_was_to_go_keeps_what_it_has(open()).await;
    who_was_to_go_and_says_no_more_is_over(open()).await;
    two_that_have_one_number_are_told_apart(open()).await;
}

/// Registers a process that drains, with a node, and one that takes its place.
async fn replace<S: Store>(a: &S, b: &S) {
    a.pop_alive(pop("p", 10), LEASE).await.unwrap();
    assert!(a.drain_pop("p", 10).await.unwrap());
    a.node_online(node("m", "p", 10)).await.unwrap();
    b.pop_alive(pop("p", 20), LEASE).await.unwrap();
    b.node_online(node("n", "p", 20)).await.unwrap();
}

async fn node_count<S: Store>(store: &S) -> u64 {
    store.pops().await.unwrap()[0].node_count
}

async fn who_was_to_go_keeps_what_it_has<S: Passing>((a, b): (S, S)) {
    replace(&a, &b).await;
    a.node_online(node("o", "p", 11)).await.unwrap();
    assert_eq!(online(&a).await, [at("m", "p"), at("n", "p"), at("o", "p")]);
    // Where new ones are sent to counts its own.
    assert_eq!(node_count(&a).await, 1);
    assert!(a.is_pop_draining("p", 10).await.unwrap() && a.drain_pop("p", 10).await.unwrap());
    assert!(!a.is_pop_draining("p", 20).await.unwrap());
    // Its users go on, and what they hold and have open counts elsewhere.
    let ann = limited(&a, Some(100)).await;
    let mut totals = Totals::new(ann.name, ann.id);
    totals.sessions = 3;
    let lease = a.lease(holder("p", 10), totals.clone(), 60).await;
    assert_eq!(lease.unwrap().unwrap().granted, 60);
    totals.sessions = 0;
    let lease = b.lease(holder("p", 20), totals.clone(), 60).await;
    let lease = lease.unwrap().unwrap();
    let elsewhere = (lease.sessions_elsewhere, lease.held_elsewhere);
    assert_eq!((lease.granted, elsewhere), (40, (3, 60)));
    let older = a.lease(holder("p", 9), totals, 1).await;
    assert_eq!(older.map(drop), Err(StoreError::Superseded));
    // A node goes over.
    b.node_online(node("m", "p", 21)).await.unwrap();
    a.node_offline("m", "p", 10).await.unwrap();
    assert_eq!(online(&a).await.len(), 3);
    assert_eq!(node_count(&a).await, 2);
    // Both renew their leases.
    a.pass(LEASE / 2).await;
    a.pop_alive(pop("p", 10), LEASE).await.unwrap();
    a.pass(LEASE / 2).await;
    b.pop_alive(pop("p", 20), LEASE).await.unwrap();
    assert_eq!(online(&a).await.len(), 3);
    a.pop_gone("p", 10).await.unwrap();
    assert_eq!(online(&a).await, [at("m", "p"), at("n", "p")]);
    assert_eq!(node_count(&a).await, 2);
    let again = a.pop_alive(pop("p", 10), LEASE).await;
    assert_eq!(again, Err(StoreError::Superseded));
}

async fn who_was_to_go_and_says_no_more_is_over<S: Passing>((a, b): (S, S)) {
    replace(&a, &b).await;
    a.pass(LEASE).await;
    b.pop_alive(pop("p", 20), LEASE).await.unwrap();
    assert_eq!(online(&a).await, [at("n", "p")]);
    let late = a.pop_alive(pop("p", 10), LEASE).await;
    assert_eq!(late, Err(StoreError::Superseded));
    let late = a.node_online(node("m", "p", 12)).await;
    assert_eq!(late, Err(StoreError::Superseded));
    assert!(!a.is_pop_draining("p", 10).await.unwrap());
}

async fn two_that_have_one_number_are_told_apart<S: Store>((a, b): (S, S)) {
    a.pop_alive(pop("p", 10), LEASE).await.unwrap();
    let other = PopEntry {
        nonce: u64::MAX,
        ..pop("p", 10)
    };
    let second = b.pop_alive(other.clone(), LEASE).await;
    assert_eq!(second, Err(StoreError::Superseded));
    a.pop_alive(pop("p", 10), LEASE).await.unwrap();
    // One that comes after has a nonce, too.
    let next = PopEntry {
        incarnation: 20,
        ..other
    };
    b.pop_alive(next.clone(), LEASE).await.unwrap();
    assert_eq!(b.pops().await.unwrap()[0].pop, next);
}

//! POPs and the leases by which they live.

use super::{LEASE, Passing, at, node, online, pop};
use crate::store::{Nodes, POP_FORGOTTEN_AFTER, Pops, StoreError};

pub(super) async fn all<S: Passing>(open: &mut impl FnMut() -> (S, S)) {
    leases_end(open()).await;
    leases_are_of_one_time(open()).await;
    restarts_take_over(open()).await;
    draining_lasts_as_long_as_the_process(open()).await;
}

async fn leases_end<S: Passing>((a, b): (S, S)) {
    a.pop_alive(pop("p", 1), 2 * LEASE).await.unwrap();
    a.pop_alive(pop("q", 1), LEASE).await.unwrap();
    a.node_online(node("m", "p", 1)).await.unwrap();
    let mut newer = node("m", "q", 1);
    newer.online_since += 1;
    a.node_online(newer).await.unwrap();
    a.node_online(node("n", "q", 1)).await.unwrap();
    a.pass(LEASE / 2).await;
    assert_eq!(online(&b).await, [at("m", "q"), at("n", "q")]);
    // What the dead POP says no longer hides what the living one says.
    a.pass(LEASE / 2).await;
    assert_eq!(online(&b).await, [at("m", "p")]);
    assert_eq!(b.pops().await.unwrap().len(), 1);
    assert_eq!(b.incarnation("q").await.unwrap(), Some(1));
    // It was only cut off: its nodes are back with its lease.
    a.pop_alive(pop("q", 1), LEASE).await.unwrap();
    assert_eq!(online(&b).await.len(), 2);
    // A week later it is forgotten.
    a.pass(LEASE + POP_FORGOTTEN_AFTER + 1).await;
    a.pop_alive(pop("p", 1), LEASE).await.unwrap();
    assert_eq!(
        a.node_online(node("n", "q", 1)).await,
        Err(StoreError::Superseded)
    );
    assert_eq!(b.incarnation("q").await.unwrap(), None);
}

/// How long a POP lives is counted from when the store hears of it; nobody says what time it is.
async fn leases_are_of_one_time<S: Passing>((a, b): (S, S)) {
    for (store, id) in [(&a, "p"), (&b, "q")] {
        store.pop_alive(pop(id, 1), LEASE).await.unwrap();
    }
    let until: Vec<_> = b.pops().await.unwrap();
    let until: Vec<_> = until.iter().map(|pop| pop.lease_until).collect();
    // Seconds between, on a busy machine.
    assert!(until[0].abs_diff(until[1]) < LEASE / 10, "{until:?}");
    assert_eq!(a.pops().await, b.pops().await);
}

async fn restarts_take_over<S: Pops + Nodes>((a, b): (S, S)) {
    a.pop_alive(pop("p", 10), LEASE).await.unwrap();
    a.node_online(node("left", "p", 10)).await.unwrap();
    b.pop_alive(pop("p", 20), LEASE).await.unwrap();
    assert_eq!(online(&a).await, []);
    assert_eq!(
        a.node_online(node("late", "p", 11)).await,
        Err(StoreError::Superseded)
    );
    assert_eq!(
        a.pop_alive(pop("p", 10), LEASE).await,
        Err(StoreError::Superseded)
    );
    b.node_online(node("n", "p", 20)).await.unwrap();
    a.pop_gone("p", 10).await.unwrap();
    assert_eq!(online(&a).await, [at("n", "p")]);
    b.pop_gone("p", 20).await.unwrap();
    assert_eq!(online(&a).await, []);
    assert_eq!(a.pops().await.unwrap(), []);
}

async fn draining_lasts_as_long_as_the_process<S: Pops + Nodes>((a, b): (S, S)) {
    let draining = async |store: &S| -> Vec<bool> {
        let pops = store.pops().await.unwrap();
        pops.iter().map(|pop| pop.draining).collect()
    };
    assert!(!a.drain_pop("p", 10).await.unwrap());
    assert!(!a.is_pop_draining("p", 10).await.unwrap());
    a.pop_alive(pop("p", 10), LEASE).await.unwrap();
    a.pop_alive(pop("q", 10), LEASE).await.unwrap();
    // Not for one that came before or that comes after.
    for other in [9, 11] {
        assert!(!b.drain_pop("p", other).await.unwrap());
    }
    assert_eq!(draining(&a).await, [false, false]);
    for _ in 0..2 {
        assert!(b.drain_pop("p", 10).await.unwrap());
        assert_eq!(draining(&a).await, [true, false]);
    }
    assert!(a.is_pop_draining("p", 10).await.unwrap());
    assert!(!a.is_pop_draining("p", 11).await.unwrap());
    assert!(!a.is_pop_draining("q", 10).await.unwrap());
    // A renewal does not end it, a restart does.
    a.pop_alive(pop("p", 10), LEASE).await.unwrap();
    assert_eq!(draining(&b).await, [true, false]);
    a.pop_alive(pop("p", 20), LEASE).await.unwrap();
    assert_eq!(draining(&b).await, [false, false]);
    assert!(!a.is_pop_draining("p", 20).await.unwrap());
}

//! POPs and the leases by which they live.

use super::{NOW, at, node, online, pop};
use crate::store::{Nodes, POP_FORGOTTEN_AFTER, Pops, StoreError};

pub(super) async fn all<S: Pops + Nodes>(open: &mut impl FnMut() -> (S, S)) {
    leases_end(open()).await;
    restarts_take_over(open()).await;
    draining_lasts_as_long_as_the_process(open()).await;
}

async fn leases_end<S: Pops + Nodes>((a, b): (S, S)) {
    a.pop_alive(pop("p", 1), NOW, NOW + 9).await.unwrap();
    a.pop_alive(pop("q", 1), NOW, NOW + 5).await.unwrap();
    a.node_online(node("m", "p", 1)).await.unwrap();
    let mut newer = node("m", "q", 1);
    newer.online_since = NOW + 1;
    a.node_online(newer).await.unwrap();
    a.node_online(node("n", "q", 1)).await.unwrap();
    assert_eq!(online(&b, NOW + 4).await, [at("m", "q"), at("n", "q")]);
    // What the dead POP says no longer hides what the living one says.
    assert_eq!(online(&b, NOW + 5).await, [at("m", "p")]);
    assert_eq!(b.pops(NOW + 5).await.unwrap().len(), 1);
    // It was only cut off: its nodes are back with its lease.
    a.pop_alive(pop("q", 1), NOW + 6, NOW + 20).await.unwrap();
    assert_eq!(online(&b, NOW + 7).await.len(), 2);
    // A week later it is forgotten.
    let later = NOW + 30 + POP_FORGOTTEN_AFTER;
    a.pop_alive(pop("p", 1), later, later + 9).await.unwrap();
    assert_eq!(
        a.node_online(node("n", "q", 1)).await,
        Err(StoreError::Superseded)
    );
}

async fn restarts_take_over<S: Pops + Nodes>((a, b): (S, S)) {
    a.pop_alive(pop("p", 10), NOW, NOW + 9).await.unwrap();
    a.node_online(node("left", "p", 10)).await.unwrap();
    b.pop_alive(pop("p", 20), NOW, NOW + 9).await.unwrap();
    assert_eq!(online(&a, NOW).await, []);
    assert_eq!(
        a.node_online(node("late", "p", 11)).await,
        Err(StoreError::Superseded)
    );
    assert_eq!(
        a.pop_alive(pop("p", 10), NOW, NOW + 9).await,
        Err(StoreError::Superseded)
    );
    b.node_online(node("n", "p", 20)).await.unwrap();
    a.pop_gone("p", 10).await.unwrap();
    assert_eq!(online(&a, NOW).await, [at("n", "p")]);
    b.pop_gone("p", 20).await.unwrap();
    assert_eq!(online(&a, NOW).await, []);
    assert_eq!(a.pops(NOW).await.unwrap(), []);
}

async fn draining_lasts_as_long_as_the_process<S: Pops + Nodes>((a, b): (S, S)) {
    let draining = async |store: &S| -> Vec<bool> {
        let pops = store.pops(NOW).await.unwrap();
        pops.iter().map(|pop| pop.draining).collect()
    };
    assert!(!a.drain_pop("p", 10).await.unwrap());
    assert!(!a.is_pop_draining("p", 10).await.unwrap());
    a.pop_alive(pop("p", 10), NOW, NOW + 9).await.unwrap();
    a.pop_alive(pop("q", 10), NOW, NOW + 9).await.unwrap();
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
    a.pop_alive(pop("p", 10), NOW, NOW + 19).await.unwrap();
    assert_eq!(draining(&b).await, [true, false]);
    assert_eq!(b.pops(NOW).await.unwrap()[0].lease_until, NOW + 19);
    a.pop_alive(pop("p", 20), NOW, NOW + 9).await.unwrap();
    assert_eq!(draining(&b).await, [false, false]);
    assert!(!a.is_pop_draining("p", 20).await.unwrap());
}

//! What must cost the same however many nodes are online.

use super::{LEASE, node, pop, user};
use crate::store::{Page, Store};

/// How many nodes few and many are. What looks at every node costs twenty times as much among many.
const SIZES: [u32; 2] = [100, 2_000];

const POPS: u32 = 4;

/// Compares two stores without anything in them; `cost` tells what happened in one since it was asked last.
pub(crate) async fn is_flat<S: Store>(stores: [S; 2], mut cost: impl AsyncFnMut(&S) -> u64) {
    let [few, many] = &stores;
    let few = costs(few, SIZES[0], &mut cost).await;
    let many = costs(many, SIZES[1], &mut cost).await;
    assert!(few.iter().all(|(_, cost)| *cost > 0), "{few:?}");
    assert_eq!(few, many);
}

async fn costs<S: Store>(
    store: &S,
    size: u32,
    cost: &mut impl AsyncFnMut(&S) -> u64,
) -> Vec<(&'static str, u64)> {
    for index in 0..POPS {
        let pop = pop(&format!("p{index}"), 1);
        store.pop_alive(pop, LEASE).await.unwrap();
    }
    for index in 0..size {
        let (id, pop) = (format!("n{index:05}"), format!("p{}", index % POPS));
        store.node_online(node(&id, &pop, 1)).await.unwrap();
    }
    let mut costs = Vec::new();
    macro_rules! costs {
        ($($what:literal: $operation:expr;)*) => {$(
            cost(store).await;
            $operation.await.unwrap();
            costs.push(($what, cost(store).await));
        )*};
    }
    let page = |after: &str, limit| Page {
        after: Some(after.to_owned()),
        limit,
    };
    costs! {
        "list a page": store.nodes(page("n00010", 50));
        "list a page of a POP": store.pop_nodes("p1", page("n00010", 10));
        "list the POPs": store.pops();
        "look for a known node": store.node("n00050");
        "look for an unknown node": store.node("x");
        "ask the blacklist": store.blacklisted("n00050", [192, 0, 2, 1].into());
        "create a user": store.create_user(user("ann"));
        "renew a POP": store.pop_alive(pop("p1", 1), LEASE);
        "tell of a new node": store.node_online(node("new", "p1", 1));
        "tell of a node again": store.node_online(node("n00050", "p2", 1));
        "move a node": store.assign_nodes(vec!["n00050".to_owned()], "p3");
        "take a node offline": store.node_offline("n00050", "p2", 1);
    }
    costs
}

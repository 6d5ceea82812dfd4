//! Nodes: where they are online, and where they belong.

use super::{LEASE, NOW, Passing, at, node, online, pop};
use crate::store::{BATCH_MAX, NODE_FORGOTTEN_AFTER, NodeRtt, Nodes, Page, Pops, StoreError};

pub(super) async fn all<S: Passing>(open: &mut impl FnMut() -> (S, S)) {
    nodes_belong_to_their_pop(open()).await;
    generations_order_one_pop(open()).await;
    round_trips_are_batched(open()).await;
    a_pop_lists_its_own(open()).await;
    nodes_have_a_home(open()).await;
    many_nodes_of_a_dead_pop_leave(open()).await;
}

async fn nodes_belong_to_their_pop<S: Nodes + Pops>((a, b): (S, S)) {
    assert_eq!(
        a.node_online(node("n", "p", 1)).await,
        Err(StoreError::Superseded)
    );
    a.pop_alive(pop("p", 10), LEASE).await.unwrap();
    b.pop_alive(pop("q", 20), LEASE).await.unwrap();
    a.node_online(node("n", "p", 11)).await.unwrap();
    let mut moved = node("n", "q", 20);
    moved.online_since += 1;
    moved.rtt_ms = Some(7);
    b.node_online(moved.clone()).await.unwrap();
    assert_eq!(a.nodes(Page::first(9)).await.unwrap().items, [moved]);
    // The POP it left may be late to notice, and must not take it offline where it went.
    a.node_offline("n", "p", 11).await.unwrap();
    assert_eq!(online(&a).await, [at("n", "q")]);
    b.node_online(node("n", "p", 12)).await.unwrap();
    b.node_offline("n", "q", 20).await.unwrap();
    assert_eq!(online(&a).await, [at("n", "p")]);
    let counts: Vec<_> = a
        .pops()
        .await
        .unwrap()
        .iter()
        .map(|pop| pop.node_count)
        .collect();
    assert_eq!(counts, [1, 0]);
}

async fn generations_order_one_pop<S: Nodes + Pops>((a, b): (S, S)) {
    a.pop_alive(pop("p", 10), LEASE).await.unwrap();
    let mut newer = node("n", "p", 12);
    newer.version = "2".to_owned();
    a.node_online(newer.clone()).await.unwrap();
    b.node_online(node("n", "p", 11)).await.unwrap();
    b.node_offline("n", "p", 11).await.unwrap();
    assert_eq!(
        a.nodes(Page::first(9)).await.unwrap().items,
        std::slice::from_ref(&newer)
    );
    newer.rtt_ms = Some(30);
    newer.contested_at = Some(NOW + 5);
    a.node_online(newer.clone()).await.unwrap();
    assert_eq!(b.nodes(Page::first(9)).await.unwrap().items, [newer]);
    assert_eq!(b.pops().await.unwrap()[0].node_count, 1);
    b.node_offline("n", "p", 12).await.unwrap();
    assert_eq!(a.pops().await.unwrap()[0].node_count, 0);
    b.node_offline("n", "p", 12).await.unwrap();
    assert_eq!(a.pops().await.unwrap()[0].node_count, 0);
}

async fn round_trips_are_batched<S: Nodes + Pops>((a, b): (S, S)) {
    a.pop_alive(pop("p", 10), LEASE).await.unwrap();
    for id in ["m", "n"] {
        a.node_online(node(id, "p", 10)).await.unwrap();
    }
    let rtt = |id: &str, generation, rtt_ms| NodeRtt {
        id: id.to_owned(),
        generation,
        rtt_ms,
    };
    let measured = vec![rtt("m", 10, 5), rtt("n", 11, 6), rtt("gone", 10, 7)];
    a.nodes_measured("p", measured).await.unwrap();
    a.nodes_measured("q", vec![rtt("m", 10, 9)]).await.unwrap();
    let rtts: Vec<_> = b.nodes(Page::first(9)).await.unwrap().items;
    let rtts: Vec<_> = rtts.iter().map(|node| (&*node.id, node.rtt_ms)).collect();
    assert_eq!(rtts, [("m", Some(5)), ("n", None)]);
    let many = vec![rtt("m", 10, 1); BATCH_MAX + 1];
    assert_eq!(a.nodes_measured("p", many).await, Err(StoreError::TooLarge));
}

async fn a_pop_lists_its_own<S: Passing>((a, b): (S, S)) {
    for id in ["p", "q"] {
        a.pop_alive(pop(id, 1), LEASE).await.unwrap();
    }
    for id in ["a", "b", "c"] {
        a.node_online(node(id, "p", 1)).await.unwrap();
    }
    let mut newer = node("b", "q", 1);
    newer.online_since += 1;
    a.node_online(newer).await.unwrap();
    let list = async |pop: &str, page: Page| {
        let listing = b.pop_nodes(pop, page).await.unwrap();
        let ids: Vec<_> = listing.items.into_iter().map(|node| node.id).collect();
        (ids, listing.next)
    };
    let (ids, next) = list("p", Page::first(2)).await;
    assert_eq!(
        (ids, next.as_deref()),
        (vec!["a".into(), "b".into()], Some("b"))
    );
    let rest = Page {
        after: next,
        limit: 2,
    };
    assert_eq!(list("p", rest).await, (vec!["c".to_owned()], None));
    assert_eq!(list("q", Page::first(9)).await.0, ["b"]);
    assert_eq!(list("r", Page::first(9)).await.0, Vec::<String>::new());
    a.pass(LEASE).await;
    assert_eq!(list("p", Page::first(9)).await.0, Vec::<String>::new());
    // A new process of the POP has none yet.
    a.pop_alive(pop("p", 2), LEASE).await.unwrap();
    assert_eq!(list("p", Page::first(9)).await.0, Vec::<String>::new());
}

async fn nodes_have_a_home<S: Passing>((a, b): (S, S)) {
    assert_eq!(a.node("n").await.unwrap(), None);
    a.pop_alive(pop("p", 10), LEASE).await.unwrap();
    let entry = node("n", "p", 10);
    a.node_online(entry.clone()).await.unwrap();
    let known = b.node("n").await.unwrap().unwrap();
    assert_eq!((&*known.id, &*known.home), ("n", "p"));
    assert_eq!(
        (known.ip, known.seen_at),
        (Some(entry.ip), entry.online_since)
    );
    assert_eq!(known.online, Some(entry.clone()));

    b.assign_nodes(vec!["n".into(), "new".into()], "q")
        .await
        .unwrap();
    // What the old POP merely repeats does not move it back.
    a.node_online(entry.clone()).await.unwrap();
    let known = b.node("n").await.unwrap().unwrap();
    assert_eq!(known.home, "q");
    assert!(known.seen_at >= entry.online_since);
    assert_eq!((known.ip, known.online.is_some()), (Some(entry.ip), true));
    let new = b.node("new").await.unwrap().unwrap();
    assert_eq!((&*new.home, new.ip, new.online), ("q", None, None));

    a.node_offline("n", "p", 10).await.unwrap();
    let known = b.node("n").await.unwrap().unwrap();
    assert_eq!((&*known.home, known.online), ("q", None));
    // A new attachment does.
    a.node_online(node("n", "p", 11)).await.unwrap();
    assert_eq!(b.node("n").await.unwrap().unwrap().home, "p");
    a.node_offline("n", "p", 11).await.unwrap();
    a.pass(NODE_FORGOTTEN_AFTER - LEASE).await;
    assert!(b.node("n").await.unwrap().is_some());
    a.pass(LEASE + 1).await;
    assert_eq!(b.node("n").await.unwrap(), None);
}

/// More than a store may handle in one step.
async fn many_nodes_of_a_dead_pop_leave<S: Passing>((a, b): (S, S)) {
    a.pop_alive(pop("p", 1), LEASE).await.unwrap();
    a.pop_alive(pop("q", 1), 9 * LEASE).await.unwrap();
    for index in 0..1_500 {
        a.node_online(node(&format!("n{index:04}"), "p", 1))
            .await
            .unwrap();
    }
    a.node_online(node("n0700", "q", 1)).await.unwrap();
    a.node_online(node("z", "q", 1)).await.unwrap();
    // Its lease ends; then another POP's renewal sweeps.
    let left = [at("n0700", "q"), at("z", "q")];
    let gathered = async || {
        let mut page = Page::first(100);
        let mut found = Vec::new();
        loop {
            let listing = b.nodes(page.clone()).await.unwrap();
            found.extend(listing.items.into_iter().map(|node| (node.id, node.pop)));
            page.after = listing.next;
            if page.after.is_none() {
                return found;
            }
        }
    };
    a.pass(LEASE).await;
    assert_eq!(gathered().await, left);
    a.pop_alive(pop("q", 1), 9 * LEASE).await.unwrap();
    assert_eq!(gathered().await, left);
    // It was only cut off.
    a.pop_alive(pop("p", 1), LEASE).await.unwrap();
    assert_eq!(gathered().await.len(), 1_501);
    // Another process of it takes over.
    a.pop_alive(pop("p", 2), LEASE).await.unwrap();
    assert_eq!(gathered().await, left);
    assert_eq!(b.pops().await.unwrap()[0].node_count, 0);
    a.pop_gone("q", 1).await.unwrap();
    assert_eq!(online(&b).await, []);
}

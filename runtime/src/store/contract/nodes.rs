//! Nodes beyond being online, and blacklists.

use super::{NOW, at, node, online, pop};
use crate::store::{
    BATCH_MAX, BlacklistEntry, NODE_FORGOTTEN_AFTER, NodeRtt, Page, REASON_MAX, Store, StoreError,
    Subject, SubjectKind,
};
use std::net::IpAddr;

pub(super) async fn all<S: Store>(open: &mut impl FnMut() -> (S, S)) {
    round_trips_are_batched(open()).await;
    a_pop_lists_its_own(open()).await;
    nodes_have_a_home(open()).await;
    many_nodes_of_a_dead_pop_leave(open()).await;
    blacklists_turn_away(open()).await;
    blacklists_are_paged(open()).await;
}

async fn round_trips_are_batched<S: Store>((a, b): (S, S)) {
    a.pop_alive(pop("p", 10), NOW, NOW + 9).await.unwrap();
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
    let rtts: Vec<_> = b.nodes(Page::first(9), NOW).await.unwrap().items;
    let rtts: Vec<_> = rtts.iter().map(|node| (&*node.id, node.rtt_ms)).collect();
    assert_eq!(rtts, [("m", Some(5)), ("n", None)]);
    let many = vec![rtt("m", 10, 1); BATCH_MAX + 1];
    assert_eq!(a.nodes_measured("p", many).await, Err(StoreError::TooLarge));
}

async fn a_pop_lists_its_own<S: Store>((a, b): (S, S)) {
    for id in ["p", "q"] {
        a.pop_alive(pop(id, 1), NOW, NOW + 9).await.unwrap();
    }
    for id in ["a", "b", "c"] {
        a.node_online(node(id, "p", 1)).await.unwrap();
    }
    let mut newer = node("b", "q", 1);
    newer.online_since = NOW + 1;
    a.node_online(newer).await.unwrap();
    let list = async |pop: &str, page: Page, now| {
        let listing = b.pop_nodes(pop, page, now).await.unwrap();
        let ids: Vec<_> = listing.items.into_iter().map(|node| node.id).collect();
        (ids, listing.next)
    };
    let (ids, next) = list("p", Page::first(2), NOW).await;
    assert_eq!(
        (ids, next.as_deref()),
        (vec!["a".into(), "b".into()], Some("b"))
    );
    let rest = Page {
        after: next,
        limit: 2,
    };
    assert_eq!(list("p", rest, NOW).await, (vec!["c".to_owned()], None));
    assert_eq!(list("q", Page::first(9), NOW).await.0, ["b"]);
    assert_eq!(list("r", Page::first(9), NOW).await.0, Vec::<String>::new());
    assert_eq!(
        list("p", Page::first(9), NOW + 9).await.0,
        Vec::<String>::new()
    );
    // A new process of the POP has none yet.
    a.pop_alive(pop("p", 2), NOW, NOW + 9).await.unwrap();
    assert_eq!(list("p", Page::first(9), NOW).await.0, Vec::<String>::new());
}

async fn nodes_have_a_home<S: Store>((a, b): (S, S)) {
    assert_eq!(a.node("n", NOW).await.unwrap(), None);
    a.pop_alive(pop("p", 10), NOW, NOW + 9).await.unwrap();
    let entry = node("n", "p", 10);
    a.node_online(entry.clone()).await.unwrap();
    let known = b.node("n", NOW).await.unwrap().unwrap();
    assert_eq!((&*known.id, &*known.home), ("n", "p"));
    assert_eq!((known.ip, known.seen_at), (Some(entry.ip), NOW));
    assert_eq!(known.online, Some(entry.clone()));

    b.assign_nodes(vec!["n".into(), "new".into()], "q", NOW + 1)
        .await
        .unwrap();
    // What the old POP merely repeats does not move it back.
    a.node_online(entry.clone()).await.unwrap();
    let known = b.node("n", NOW).await.unwrap().unwrap();
    assert_eq!((&*known.home, known.seen_at), ("q", NOW + 1));
    assert_eq!((known.ip, known.online.is_some()), (Some(entry.ip), true));
    let new = b.node("new", NOW).await.unwrap().unwrap();
    assert_eq!((&*new.home, new.ip, new.online), ("q", None, None));

    a.node_offline("n", "p", 10).await.unwrap();
    let known = b.node("n", NOW).await.unwrap().unwrap();
    assert_eq!((&*known.home, known.online), ("q", None));
    // A new attachment does.
    a.node_online(node("n", "p", 11)).await.unwrap();
    assert_eq!(b.node("n", NOW).await.unwrap().unwrap().home, "p");
    a.node_offline("n", "p", 11).await.unwrap();
    let later = NOW + 1 + NODE_FORGOTTEN_AFTER;
    assert!(b.node("n", later - 1).await.unwrap().is_some());
    assert_eq!(b.node("n", later + 1).await.unwrap(), None);
}

/// More than a store may handle in one step.
async fn many_nodes_of_a_dead_pop_leave<S: Store>((a, b): (S, S)) {
    a.pop_alive(pop("p", 1), NOW, NOW + 5).await.unwrap();
    a.pop_alive(pop("q", 1), NOW, NOW + 99).await.unwrap();
    for index in 0..1_500 {
        a.node_online(node(&format!("n{index:04}"), "p", 1))
            .await
            .unwrap();
    }
    a.node_online(node("n0700", "q", 1)).await.unwrap();
    a.node_online(node("z", "q", 1)).await.unwrap();
    // Its lease ends; then another POP's renewal sweeps.
    let left = [at("n0700", "q"), at("z", "q")];
    let gathered = async |now| {
        let mut page = Page::first(100);
        let mut found = Vec::new();
        loop {
            let listing = b.nodes(page.clone(), now).await.unwrap();
            found.extend(listing.items.into_iter().map(|node| (node.id, node.pop)));
            page.after = listing.next;
            if page.after.is_none() {
                return found;
            }
        }
    };
    assert_eq!(gathered(NOW + 5).await, left);
    a.pop_alive(pop("q", 1), NOW + 5, NOW + 99).await.unwrap();
    assert_eq!(gathered(NOW + 5).await, left);
    // It was only cut off.
    a.pop_alive(pop("p", 1), NOW + 6, NOW + 20).await.unwrap();
    assert_eq!(gathered(NOW + 6).await.len(), 1_501);
    // Another process of it takes over.
    a.pop_alive(pop("p", 2), NOW + 7, NOW + 20).await.unwrap();
    assert_eq!(gathered(NOW + 7).await, left);
    assert_eq!(b.pops(NOW + 7).await.unwrap()[0].node_count, 0);
    a.pop_gone("q", 1).await.unwrap();
    assert_eq!(online(&b, NOW + 7).await, []);
}

fn listed(subject: Subject, reason: &str) -> BlacklistEntry {
    BlacklistEntry {
        subject,
        reason: reason.to_owned(),
        since: NOW,
    }
}

async fn blacklists_turn_away<S: Store>((a, b): (S, S)) {
    let [ip, other]: [IpAddr; 2] = ["203.0.113.9", "2001:db8::1"].map(|ip| ip.parse().unwrap());
    assert_eq!(b.blacklisted("n", ip).await.unwrap(), None);
    let node = listed(Subject::Node("n".into()), "spam");
    a.blacklist_add(vec![node.clone(), listed(Subject::Ip(ip), "abuse")])
        .await
        .unwrap();
    // The first reason stays.
    a.blacklist_add(vec![listed(Subject::Node("n".into()), "again")])
        .await
        .unwrap();
    assert_eq!(b.blacklisted("n", other).await.unwrap(), Some(node));
    let mapped = "::ffff:203.0.113.9".parse().unwrap();
    for ip in [ip, mapped] {
        let found = b.blacklisted("m", ip).await.unwrap().unwrap();
        assert_eq!(found.reason, "abuse");
    }
    // A node called like an address is not that address.
    assert_eq!(b.blacklisted("203.0.113.9", other).await.unwrap(), None);
    a.blacklist_remove(vec![Subject::Ip(mapped), Subject::Node("x".into())])
        .await
        .unwrap();
    assert_eq!(b.blacklisted("m", ip).await.unwrap(), None);
    assert!(b.blacklisted("n", ip).await.unwrap().is_some());
    let long = listed(Subject::Node("long".into()), &"é".repeat(REASON_MAX));
    a.blacklist_add(vec![long.clone()]).await.unwrap();
    let found = b.blacklisted("long", other).await.unwrap().unwrap();
    assert_eq!(found.reason, "é".repeat(REASON_MAX / 2));
    let many = vec![long; BATCH_MAX + 1];
    assert_eq!(a.blacklist_add(many).await, Err(StoreError::TooLarge));
}

async fn blacklists_are_paged<S: Store>((a, b): (S, S)) {
    let ips: Vec<IpAddr> = (1..=25)
        .map(|last| IpAddr::from([192, 0, 2, last]))
        .collect();
    let entries = ips.iter().map(|ip| listed(Subject::Ip(*ip), ""));
    a.blacklist_add(entries.collect()).await.unwrap();
    a.blacklist_add(vec![listed(Subject::Node("n".into()), "")])
        .await
        .unwrap();
    let mut page = Page::first(10);
    let mut found = Vec::new();
    loop {
        let listing = b.blacklist(SubjectKind::Ip, page.clone()).await.unwrap();
        found.extend(listing.items.into_iter().map(|entry| entry.subject));
        page.after = listing.next;
        if page.after.is_none() {
            break;
        }
    }
    found.sort();
    let expected: Vec<_> = ips.into_iter().map(Subject::Ip).collect();
    assert_eq!(found, expected);
    let nodes = b
        .blacklist(SubjectKind::Node, Page::first(10))
        .await
        .unwrap();
    assert_eq!(nodes.items.len(), 1);
}

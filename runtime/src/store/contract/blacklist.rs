//! Who is turned away.

use super::NOW;
use crate::store::{
    BATCH_MAX, BlacklistEntry, Blacklists, Page, REASON_MAX, StoreError, Subject, SubjectKind,
};
use std::net::IpAddr;

pub(super) async fn all<S: Blacklists>(open: &mut impl FnMut() -> (S, S)) {
    blacklists_turn_away(open()).await;
    blocks_turn_away(open()).await;
    blacklists_are_paged(open()).await;
}

fn listed(subject: Subject, reason: &str) -> BlacklistEntry {
    BlacklistEntry {
        subject,
        reason: reason.to_owned(),
        since: NOW,
    }
}

async fn blacklists_turn_away<S: Blacklists>((a, b): (S, S)) {
    let [ip, other]: [IpAddr; 2] = ["203.0.113.9", "2001:db8::1"].map(|ip| ip.parse().unwrap());
    assert_eq!(b.blacklisted("n", ip).await.unwrap(), None);
    let node = listed(Subject::Node("n".into()), "spam");
    a.blacklist_add(vec![node.clone(), listed(Subject::Ip(ip.into()), "abuse")])
        .await
        .unwrap();
    // The first reason stays.
    a.blacklist_add(vec![listed(Subject::Node("n".into()), "again")])
        .await
        .unwrap();
    assert_eq!(b.blacklisted("n", other).await.unwrap(), Some(node));
    let mapped: IpAddr = "::ffff:203.0.113.9".parse().unwrap();
    for ip in [ip, mapped] {
        let found = b.blacklisted("m", ip).await.unwrap().unwrap();
        assert_eq!(found.reason, "abuse");
    }
    // A node called like an address is not that address.
    assert_eq!(b.blacklisted("203.0.113.9", other).await.unwrap(), None);
    a.blacklist_remove(vec![Subject::Ip(mapped.into()), Subject::Node("x".into())])
        .await
        .unwrap();
    assert_eq!(b.blacklisted("m", ip).await.unwrap(), None);
    assert!(b.blacklisted("n", ip).await.unwrap().is_some());
    let long = listed(Subject::Node("long".into()), &"é".repeat(REASON_MAX + 1));
    a.blacklist_add(vec![long.clone()]).await.unwrap();
    let found = b.blacklisted("long", other).await.unwrap().unwrap();
    assert_eq!(found.reason, "é".repeat(REASON_MAX));
    let many = vec![long; BATCH_MAX + 1];
    assert_eq!(a.blacklist_add(many).await, Err(StoreError::TooLarge));
}

async fn blocks_turn_away<S: Blacklists>((a, b): (S, S)) {
    let block = |text: &str| Subject::Ip(text.parse().unwrap());
    let entries = [
        ("2001:db8::/32", "wide"),
        ("2001:db8::/64", "long"),
        ("10.0.0.0/8", "v4"),
    ];
    let entries = entries.map(|(text, reason)| listed(block(text), reason));
    a.blacklist_add(entries.to_vec()).await.unwrap();
    let reason = async |ip: &str| {
        let found = b.blacklisted("n", ip.parse().unwrap()).await.unwrap();
        found.map(|entry| (entry.subject.key(), entry.reason))
    };
    for (ip, key, why) in [
        ("2001:db8::9", "2001:db8::/64", "long"),
        ("2001:db8:0:1::9", "2001:db8::/32", "wide"),
        ("10.255.0.1", "10.0.0.0/8", "v4"),
        ("::ffff:10.0.0.1", "10.0.0.0/8", "v4"),
    ] {
        let expected = Some((key.to_owned(), why.to_owned()));
        assert_eq!(reason(ip).await, expected, "{ip}");
    }
    assert_eq!(reason("2001:db9::9").await, None);
    assert_eq!(reason("11.0.0.1").await, None);
    let page = b.blacklist(SubjectKind::Ip, Page::first(10)).await.unwrap();
    assert_eq!(page.items.len(), 3);
    a.blacklist_remove(vec![block("2001:db8::/64")])
        .await
        .unwrap();
    let wide = Some(("2001:db8::/32".to_owned(), "wide".to_owned()));
    assert_eq!(reason("2001:db8::9").await, wide);
}

async fn blacklists_are_paged<S: Blacklists>((a, b): (S, S)) {
    let ips: Vec<IpAddr> = (1..=25)
        .map(|last| IpAddr::from([192, 0, 2, last]))
        .collect();
    let entries = ips.iter().map(|ip| listed(Subject::Ip((*ip).into()), ""));
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
    let expected: Vec<_> = ips.into_iter().map(|ip| Subject::Ip(ip.into())).collect();
    assert_eq!(found, expected);
    let nodes = b
        .blacklist(SubjectKind::Node, Page::first(10))
        .await
        .unwrap();
    assert_eq!(nodes.items.len(), 1);
}

//! What every [`Store`] must do.

mod account;
mod admin;
mod changes;
pub(crate) mod cost;
mod nodes;
mod race;
mod users;

use super::{NewUser, NodeEntry, Page, PopEntry, Store, StoreError};

pub(crate) const NOW: u64 = 1_700_000_000;

/// Runs the whole suite. `open` yields two handles to one fresh store.
pub(crate) async fn all<S: Store>(mut open: impl FnMut() -> (S, S)) {
    users::all(&mut open).await;
    names_do_not_collide(open()).await;
    pages_cover_everything_once(open()).await;
    nodes_belong_to_their_pop(open()).await;
    generations_order_one_pop(open()).await;
    leases_end(open()).await;
    restarts_take_over(open()).await;
    draining_lasts_as_long_as_the_process(open()).await;
    meta_is_shared(open()).await;
    nodes::all(&mut open).await;
    changes::all(&mut open).await;
    account::all(&mut open).await;
    race::all(&mut open).await;
    admin::all(&mut open).await;
}

/// A user as the tests create it.
pub(crate) fn user(name: &str) -> NewUser {
    NewUser::new(name.to_owned(), "$argon2id$x".to_owned(), NOW)
}

pub(crate) fn pop(id: &str, incarnation: u64) -> PopEntry {
    PopEntry {
        id: id.to_owned(),
        incarnation,
        url: format!("wss://{id}:41005"),
        info: "{}".to_owned(),
    }
}

pub(crate) fn node(id: &str, pop: &str, generation: u64) -> NodeEntry {
    NodeEntry {
        id: id.to_owned(),
        pop: pop.to_owned(),
        generation,
        ip: "203.0.113.9".parse().unwrap(),
        os: "linux".to_owned(),
        version: "1".to_owned(),
        online_since: NOW,
        rtt_ms: None,
    }
}

async fn names_do_not_collide<S: Store>((a, b): (S, S)) {
    // Names that differ only in case, in separators other stores may use, in wildcards of query
    // languages, or that read like keys.
    let names = [
        "a",
        "A",
        "a:b",
        "a::b",
        "a%",
        "a_",
        "a*",
        "a b",
        "a\0b",
        "a'b",
        "a\"b",
        "é",
        "e\u{301}",
        "titan:user:a",
        "zset",
        "online",
        "free",
        "%6Fnline",
        "bind",
        "a@b",
        "1@b",
        "a\nb",
        "-",
        "{a}",
        "🦀",
    ];
    for name in names {
        let mut new = user(name);
        new.password_hash = format!("hash of {name}");
        a.create_user(new).await.unwrap();
        let value = format!("meta of {name}");
        assert_eq!(a.swap_meta(name, None, value).await, Ok(true));
        a.pop_alive(pop(name, 1), NOW, NOW + 9).await.unwrap();
        for other in ["x", name] {
            a.node_online(node(other, name, 1)).await.unwrap();
        }
    }
    for name in names {
        let found = b.user(name).await.unwrap().unwrap();
        assert_eq!(
            (&*found.name, found.password_hash),
            (name, format!("hash of {name}"))
        );
        assert_eq!(b.meta(name).await.unwrap(), Some(format!("meta of {name}")));
    }
    let pops = b.pops(NOW).await.unwrap();
    assert_eq!(pops.len(), names.len());
    assert!(pops.iter().all(|pop| pop.node_count == 2));
    assert_eq!(
        b.nodes(Page::first(100), NOW).await.unwrap().items.len(),
        names.len() + 1
    );
    for name in names {
        assert!(b.delete_user(name).await.unwrap());
    }
}

async fn pages_cover_everything_once<S: Store>((a, b): (S, S)) {
    a.pop_alive(pop("p", 1), NOW, NOW + 9).await.unwrap();
    for index in 0..25 {
        a.create_user(user(&format!("u{index:02}"))).await.unwrap();
        a.node_online(node(&format!("n{index:02}"), "p", 1))
            .await
            .unwrap();
    }
    for limit in [1, 7, 24, 25, 26, 0, u32::MAX] {
        let (mut names, mut ids) = (Vec::new(), Vec::new());
        let mut page = Page::first(limit);
        loop {
            let listing = b.users(page.clone()).await.unwrap();
            assert!(listing.items.len() <= limit.max(1) as usize);
            names.extend(listing.items.into_iter().map(|user| user.name));
            page.after = listing.next;
            if page.after.is_none() {
                break;
            }
        }
        loop {
            let listing = b.nodes(page.clone(), NOW).await.unwrap();
            ids.extend(listing.items.into_iter().map(|node| node.id));
            page.after = listing.next;
            if page.after.is_none() {
                break;
            }
        }
        assert_eq!(
            names,
            (0..25)
                .map(|index| format!("u{index:02}"))
                .collect::<Vec<_>>()
        );
        assert_eq!(
            ids,
            (0..25)
                .map(|index| format!("n{index:02}"))
                .collect::<Vec<_>>()
        );
    }
}

async fn online<S: Store>(store: &S, now: u64) -> Vec<(String, String)> {
    let listing = store.nodes(Page::first(100), now).await.unwrap();
    listing
        .items
        .into_iter()
        .map(|node| (node.id, node.pop))
        .collect()
}

fn at(node: &str, pop: &str) -> (String, String) {
    (node.to_owned(), pop.to_owned())
}

async fn nodes_belong_to_their_pop<S: Store>((a, b): (S, S)) {
    assert_eq!(
        a.node_online(node("n", "p", 1)).await,
        Err(StoreError::Superseded)
    );
    a.pop_alive(pop("p", 10), NOW, NOW + 9).await.unwrap();
    b.pop_alive(pop("q", 20), NOW, NOW + 9).await.unwrap();
    a.node_online(node("n", "p", 11)).await.unwrap();
    let mut moved = node("n", "q", 20);
    moved.online_since = NOW + 1;
    moved.rtt_ms = Some(7);
    b.node_online(moved.clone()).await.unwrap();
    assert_eq!(a.nodes(Page::first(9), NOW).await.unwrap().items, [moved]);
    // The POP it left may be late to notice, and must not take it offline where it went.
    a.node_offline("n", "p", 11).await.unwrap();
    assert_eq!(online(&a, NOW).await, [at("n", "q")]);
    b.node_online(node("n", "p", 12)).await.unwrap();
    b.node_offline("n", "q", 20).await.unwrap();
    assert_eq!(online(&a, NOW).await, [at("n", "p")]);
    let counts: Vec<_> = a
        .pops(NOW)
        .await
        .unwrap()
        .iter()
        .map(|pop| pop.node_count)
        .collect();
    assert_eq!(counts, [1, 0]);
}

async fn generations_order_one_pop<S: Store>((a, b): (S, S)) {
    a.pop_alive(pop("p", 10), NOW, NOW + 9).await.unwrap();
    let mut newer = node("n", "p", 12);
    newer.version = "2".to_owned();
    a.node_online(newer.clone()).await.unwrap();
    b.node_online(node("n", "p", 11)).await.unwrap();
    b.node_offline("n", "p", 11).await.unwrap();
    assert_eq!(
        a.nodes(Page::first(9), NOW).await.unwrap().items,
        std::slice::from_ref(&newer)
    );
    newer.rtt_ms = Some(30);
    a.node_online(newer.clone()).await.unwrap();
    assert_eq!(b.nodes(Page::first(9), NOW).await.unwrap().items, [newer]);
    assert_eq!(b.pops(NOW).await.unwrap()[0].node_count, 1);
    b.node_offline("n", "p", 12).await.unwrap();
    assert_eq!(a.pops(NOW).await.unwrap()[0].node_count, 0);
    b.node_offline("n", "p", 12).await.unwrap();
    assert_eq!(a.pops(NOW).await.unwrap()[0].node_count, 0);
}

async fn leases_end<S: Store>((a, b): (S, S)) {
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
    let later = NOW + 30 + super::POP_FORGOTTEN_AFTER;
    a.pop_alive(pop("p", 1), later, later + 9).await.unwrap();
    assert_eq!(
        a.node_online(node("n", "q", 1)).await,
        Err(StoreError::Superseded)
    );
}

async fn restarts_take_over<S: Store>((a, b): (S, S)) {
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

async fn draining_lasts_as_long_as_the_process<S: Store>((a, b): (S, S)) {
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

async fn meta_is_shared<S: Store>((a, b): (S, S)) {
    assert_eq!(a.meta("key").await.unwrap(), None);
    let swap = async |store: &S, expected: Option<&str>, value: &str| {
        let expected = expected.map(str::to_owned);
        store.swap_meta("key", expected, value.to_owned()).await
    };
    assert_eq!(swap(&a, None, "one").await, Ok(true));
    assert_eq!(swap(&a, Some("one"), "two").await, Ok(true));
    assert_eq!(b.meta("key").await.unwrap().as_deref(), Some("two"));
    assert_eq!(swap(&a, None, "three").await, Ok(false));
    assert_eq!(swap(&a, Some("one"), "three").await, Ok(false));
    assert_eq!(swap(&a, Some("two"), "three").await, Ok(true));
    assert_eq!(swap(&b, Some("two"), "four").await, Ok(false));
    assert_eq!(b.meta("key").await.unwrap().as_deref(), Some("three"));
    let long = "x".repeat(super::META_MAX + 1);
    assert_eq!(
        swap(&b, Some("three"), &long).await,
        Err(StoreError::TooLarge)
    );
    assert_eq!(a.meta("key").await.unwrap().as_deref(), Some("three"));
    let first = |store: S| async move { store.swap_meta("new", None, "x".to_owned()).await };
    assert_eq!(first(a.clone()).await, Ok(true));
    assert_eq!(first(b).await, Ok(false));
}

//! What every [`Store`] must do.

mod accounts;
mod audit;
mod blacklist;
mod changes;
pub(crate) mod cost;
mod meta;
mod nodes;
mod pops;
mod race;
mod retiring;
mod shares;
mod tokens;
mod users;

pub(crate) use audit::act;

use super::{NewUser, NodeEntry, Nodes, Page, PopEntry, Store};
use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

/// A time at which something is said to have happened.
pub(crate) const NOW: u64 = 1_700_000_000;

/// For how long POPs live, in seconds of the store's time: longer than any test takes.
pub(crate) const LEASE: u64 = 10_000;

/// A store in which time can pass.
pub(crate) trait Passing: Store {
    /// Lets so many seconds pass: by these what is kept is older afterwards.
    async fn pass(&self, seconds: u64);
}

/// Runs the whole suite. `open` yields two handles to one fresh store.
pub(crate) async fn all<S: Passing>(mut open: impl FnMut() -> (S, S)) {
    users::all(&mut open).await;
    names_do_not_collide(open()).await;
    pages_cover_everything_once(open()).await;
    pops::all(&mut open).await;
    retiring::all(&mut open).await;
    nodes::all(&mut open).await;
    blacklist::all(&mut open).await;
    changes::all(&mut open).await;
    accounts::all(&mut open).await;
    shares::all(&mut open).await;
    race::all(&mut open).await;
    tokens::all(&mut open).await;
    audit::all(&mut open).await;
    meta::all(&mut open).await;
}

/// A user as the tests create it.
pub(crate) fn user(name: &str) -> NewUser {
    NewUser::new(name.to_owned(), "$argon2id$x".to_owned(), NOW)
}

pub(crate) fn pop(id: &str, incarnation: u64) -> PopEntry {
    PopEntry {
        id: id.to_owned(),
        incarnation,
        nonce: 0,
        url: format!("wss://{id}:41005"),
        info: "{}".to_owned(),
    }
}

/// When nodes came online: not so long ago that they are forgotten.
static BEGUN: LazyLock<u64> = LazyLock::new(|| {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap().as_secs()
});

pub(crate) fn node(id: &str, pop: &str, generation: u64) -> NodeEntry {
    NodeEntry {
        id: id.to_owned(),
        pop: pop.to_owned(),
        generation,
        ip: "203.0.113.9".parse().unwrap(),
        os: "linux".to_owned(),
        version: "1".to_owned(),
        online_since: *BEGUN,
        rtt_ms: None,
        contested_at: None,
    }
}

async fn online<S: Nodes>(store: &S) -> Vec<(String, String)> {
    let listing = store.nodes(Page::first(100)).await.unwrap();
    listing
        .items
        .into_iter()
        .map(|node| (node.id, node.pop))
        .collect()
}

fn at(node: &str, pop: &str) -> (String, String) {
    (node.to_owned(), pop.to_owned())
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
        a.pop_alive(pop(name, 1), LEASE).await.unwrap();
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
    let pops = b.pops().await.unwrap();
    assert_eq!(pops.len(), names.len());
    assert!(pops.iter().all(|pop| pop.node_count == 2));
    assert_eq!(
        b.nodes(Page::first(100)).await.unwrap().items.len(),
        names.len() + 1
    );
    for name in names {
        assert!(b.delete_user(name).await.unwrap());
    }
}

async fn pages_cover_everything_once<S: Store>((a, b): (S, S)) {
    a.pop_alive(pop("p", 1), LEASE).await.unwrap();
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
            let listing = b.nodes(page.clone()).await.unwrap();
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

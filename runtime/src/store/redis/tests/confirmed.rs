//! What is answered when a replica has it: all acts of security, and what binds a node.

use super::failover::{Pair, eventually};
use super::{PATIENCE, command};
use crate::store::contract::{LEASE, NOW, node, pop, user};
use crate::store::{
    Adjustment, AdjustmentKind, AdminToken, BlacklistEntry, Blacklists as _, ChangeLog as _,
    Meta as _, Nodes as _, Order, Pops as _, Redis, Role, StoreError, Subject, Tokens as _,
    UserChange, Users as _,
};
use crate::token::{KeyRing, Signer};
use core::pin::Pin;
use core::time::Duration;
use std::time::Instant;

type Asking = Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send>>;

/// What an act is called, and how it is asked for.
type Act = (&'static str, fn(Redis) -> Asking);

/// Every act that the page on the store says is answered so.
const ACTS: &[Act] = &[
    ("create a user", |store| {
        Box::pin(async move { store.create_user(user("bob")).await.map(drop) })
    }),
    ("change a user", |store| {
        let off = UserChange {
            enabled: Some(false),
            ..UserChange::default()
        };
        Box::pin(async move { store.change_user("ann", off).await.map(drop) })
    }),
    ("adjust a user", |store| {
        let adjustment = Adjustment {
            id: "once".to_owned(),
            kind: AdjustmentKind::Reset,
        };
        Box::pin(async move { store.adjust_user("ann", adjustment).await.map(drop) })
    }),
    ("delete a user", |store| {
        Box::pin(async move { store.delete_user("gone").await.map(drop) })
    }),
    ("create a token", |store| {
        Box::pin(async move { store.create_token(token("new", 2)).await })
    }),
    ("revoke a token", |store| {
        Box::pin(async move { store.revoke_token("old", NOW).await.map(drop) })
    }),
    ("list a node", |store| {
        let entry = BlacklistEntry {
            subject: Subject::Node("n".to_owned()),
            reason: String::new(),
            since: NOW,
        };
        Box::pin(async move { store.blacklist_add(vec![entry]).await })
    }),
    ("pardon a node", |store| {
        let subject = Subject::Node("listed".to_owned());
        Box::pin(async move { store.blacklist_remove(vec![subject]).await })
    }),
    ("bind a node", |store| {
        Box::pin(async move { store.assign_nodes(vec!["n".to_owned()], "p").await })
    }),
    ("order a kick", |store| {
        let order = Order::Kick {
            nodes: vec!["n".to_owned()],
            retry_after: 1,
        };
        Box::pin(async move { store.order("p", NOW, order).await })
    }),
    ("order a migration", |store| {
        let order = Order::Migrate {
            nodes: vec!["n".to_owned()],
        };
        Box::pin(async move { store.order("p", NOW, order).await })
    }),
    ("publish a key", |store| {
        let key = Signer::from_seed([2; 32]).public_key();
        let day = Duration::from_secs(24 * 3_600);
        Box::pin(async move {
            KeyRing::publish(&store, "m2", &key, NOW, day)
                .await
                .map(drop)
        })
    }),
    ("change a value", |store| {
        let value = "v".to_owned();
        Box::pin(async move { store.swap_meta("k", None, value).await.map(drop) })
    }),
];

fn token(id: &str, hash: u8) -> AdminToken {
    AdminToken {
        id: id.to_owned(),
        hash: [hash; 32],
        name: id.to_owned(),
        role: Role::Admin,
        created_at: NOW,
        created_by: "admin.token".to_owned(),
        expires_at: None,
        revoked_at: None,
    }
}

/// A pair in which there is something to be changed.
async fn furnished() -> Pair {
    let pair = Pair::start().await;
    let store = &pair.store;
    for name in ["ann", "gone"] {
        store.create_user(user(name)).await.unwrap();
    }
    store.create_token(token("old", 1)).await.unwrap();
    store.pop_alive(pop("p", 1), LEASE).await.unwrap();
    store.node_online(node("n", "p", 1)).await.unwrap();
    pair
}

#[tokio::test]
async fn every_act_and_binding_waits_for_a_replica_or_fails_clearly() {
    let pair = furnished().await;
    pair.replica.pause(true);
    let mut answered = Vec::new();
    for (name, act) in ACTS {
        let outcome = act(pair.store.clone()).await;
        let told = outcome.map_err(|error| error.to_string());
        if !told
            .as_ref()
            .is_err_and(|told| told.contains("no replica confirms"))
        {
            answered.push((*name, told));
        }
    }
    assert_eq!(answered, []);
    // What is told again does not wait.
    let begun = Instant::now();
    pair.store.pop_alive(pop("p", 1), LEASE).await.unwrap();
    pair.store.node_online(node("n", "p", 1)).await.unwrap();
    assert!(begun.elapsed() < PATIENCE);
    pair.replica.pause(false);
}

#[tokio::test]
async fn what_was_answered_is_at_the_replica() {
    let pair = furnished().await;
    for (name, act) in ACTS {
        act(pair.store.clone())
            .await
            .unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    let there =
        async |words: &[&str]| -> Vec<String> { command(&pair.replica.url(0), words).await };
    assert_eq!(there(&["HMGET", "titan:node:n", "home"]).await, ["p"]);
    let changes = there(&["HKEYS", "titan:blacklist:node"]).await;
    assert_eq!(changes, ["n"]);
}

#[tokio::test]
async fn a_key_that_is_revoked_once_more_waits_for_a_replica_too() {
    let pair = furnished().await;
    let key = Signer::from_seed([1; 32]).public_key();
    let day = Duration::from_secs(24 * 3_600);
    let published = KeyRing::publish(&pair.store, "m", &key, NOW, day).await;
    assert_eq!(published, Ok(true));
    pair.replica.pause(true);
    // The first time it happens all the same.
    for at in [NOW, NOW + 1] {
        let error = KeyRing::revoke(&pair.store, &key, at).await.unwrap_err();
        assert!(error.to_string().contains("no replica confirms"), "{error}");
    }
    pair.replica.pause(false);
    let revoked = eventually(|| KeyRing::revoke(&pair.store, &key, NOW + 2)).await;
    assert_eq!(revoked.unwrap().revoked_at, Some(NOW));
    let ring: String = command(
        &pair.replica.url(0),
        &["HGET", "titan:meta", crate::store::META_NODE_TOKEN_KEYS],
    )
    .await;
    assert!(ring.contains(&format!("\"revoked_at\":{NOW}")), "{ring}");
}

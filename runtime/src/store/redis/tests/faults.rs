//! A server as it is run: restarted, silent, emptied, asked by many.

use super::command;
use crate::store::contract::{LEASE, act, pop, user};
use crate::store::{
    Accounts as _, AuditHead, AuditLog as _, ChangeLog as _, Holder, Meta as _, Page, Pops as _,
    Redis, Totals, Users as _,
};
use titan_kit::redis_server::{Fsync, RedisServer};

#[tokio::test]
async fn the_first_operation_after_a_restart_succeeds() {
    let mut server = RedisServer::start(Fsync::Always);
    let store = Redis::new(&server.url(0)).unwrap();
    for round in 0..4 {
        store.audit_append(act("before")).await.unwrap();
        server.restart();
        match round {
            0 => drop(store.users(Page::first(9)).await.unwrap()),
            1 => drop(store.create_user(user("ann")).await.unwrap()),
            2 => drop(store.audit_append(act("after")).await.unwrap()),
            _ => assert_eq!(store.swap_meta("key", None, "x".to_owned()).await, Ok(true)),
        }
    }
    // Nothing was recorded twice or lost.
    let records = store.audit(0, 99).await.unwrap();
    assert_eq!(records.len(), 5);
    let mut head = AuditHead::EMPTY;
    head.verify(&records).unwrap();
}

#[tokio::test]
async fn scripts_that_a_server_has_forgotten_are_told_to_it_again() {
    let server = RedisServer::start(Fsync::EverySecond);
    let store = Redis::new(&server.url(0)).unwrap();
    for name in ["a", "b"] {
        store.audit_append(act(name)).await.unwrap();
        let _: String = command(&server.url(0), &["SCRIPT", "FLUSH"]).await;
    }
    assert_eq!(store.audit(0, 9).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_connection_closed_while_nothing_was_asked_is_not_noticed() {
    let server = RedisServer::start(Fsync::EverySecond);
    let store = Redis::new(&server.url(0)).unwrap();
    for name in ["a", "b", "c"] {
        store.create_user(user(name)).await.unwrap();
        store.audit_append(act(name)).await.unwrap();
        let _: u64 = command(&server.url(0), &["CLIENT", "KILL", "TYPE", "normal"]).await;
    }
    assert_eq!(store.users(Page::first(9)).await.unwrap().items.len(), 3);
}

#[tokio::test]
async fn whoever_follows_learns_that_the_memory_was_emptied() {
    let server = RedisServer::start(Fsync::EverySecond);
    let store = Redis::new(&server.url(0)).unwrap();
    store.pop_alive(pop("p", 1), LEASE).await.unwrap();
    let before = store.changes(None, 9).await.unwrap().cursor;
    let same = store.changes(Some(before.clone()), 9).await.unwrap();
    assert!(!same.reload);
    let _: String = command(&server.url(0), &["FLUSHALL"]).await;
    // It is refused as long as the connection is of the run before.
    let mut changes = store.changes(Some(before.clone()), 9).await;
    for _ in 0..20 {
        if changes.is_err() {
            changes = store.changes(Some(before.clone()), 9).await;
        }
    }
    let changes = changes.unwrap();
    assert!(changes.reload && changes.cursor.run != before.run);
    // It stays the same from then on, and grants at once: nobody is registered.
    let after = store
        .changes(Some(changes.cursor.clone()), 9)
        .await
        .unwrap();
    assert!(!after.reload && after.cursor == changes.cursor);
    let ann = store.create_user(user("ann")).await.unwrap();
    let holder = Holder {
        pop: "p".to_owned(),
        incarnation: 1,
    };
    let totals = Totals::new("ann".to_owned(), ann.id);
    let standing = store.lease(holder, totals, 5).await.unwrap().unwrap();
    assert_eq!(standing.granted, 5);
}

#[tokio::test]
async fn five_hundred_acts_at_once_are_one_chain() {
    let server = RedisServer::start(Fsync::EverySecond);
    let managers = [0, 1].map(|_| Redis::new(&server.url(0)).unwrap());
    let mut acts = tokio::task::JoinSet::new();
    for index in 0..500 {
        let store = managers[index % 2].clone();
        acts.spawn(async move { store.audit_append(act(&index.to_string())).await });
    }
    let mut answers = Vec::new();
    while let Some(record) = acts.join_next().await {
        answers.push(record.unwrap().unwrap());
    }
    answers.sort_by_key(|record| record.seq);
    let records = managers[0].audit(0, 999).await.unwrap();
    assert_eq!(records.len(), 500);
    assert!(records == answers, "what was answered is not what is there");
    let mut head = AuditHead::EMPTY;
    head.verify(&records).unwrap();
    // They went together: a slow server takes few steps for them.
    let told: String = command(&server.url(0), &["INFO", "commandstats"]).await;
    let (_, steps) = told.split_once("cmdstat_evalsha:calls=").unwrap();
    let (steps, _) = steps.split_once(',').unwrap();
    assert!(steps.parse::<u32>().unwrap() < 100, "{steps} steps");
}

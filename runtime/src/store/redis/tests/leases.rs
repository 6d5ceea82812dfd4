//! Who lives, by a server's time: when it is started anew, and when its clock is set.

use super::age;
use crate::store::contract::{LEASE, Passing as _, pop, user};
use crate::store::{
    Accounts as _, ChangeLog as _, Holder, Pops as _, Redis, StoreError, Totals, User, Users as _,
};
use std::time::{SystemTime, UNIX_EPOCH};
use titan_kit::redis_server::{Fsync, RedisServer};

async fn lease(store: &Redis, pop: &str, ann: &User) -> Result<u64, StoreError> {
    let holder = Holder {
        pop: pop.to_owned(),
        incarnation: 1,
    };
    let totals = Totals::new(ann.name.clone(), ann.id);
    let standing = store.lease(holder, totals, 5).await?;
    Ok(standing.unwrap().granted)
}

async fn retell(store: &Redis, pop: &str) {
    let run = store.changes(None, 1).await.unwrap().cursor.run;
    let holder = Holder {
        pop: pop.to_owned(),
        incarnation: 1,
    };
    store.retold(holder, &run).await.unwrap();
}

#[track_caller]
fn refused(answer: Result<u64, StoreError>) {
    let error = answer.unwrap_err().to_string();
    assert!(error.contains("has not told yet"), "{error}");
}

#[tokio::test]
async fn whoever_lived_when_the_server_ended_is_waited_for_however_long_it_was_away() {
    let mut server = RedisServer::start(Fsync::Always);
    let store = Redis::new(&server.url(0)).unwrap();
    let ann = store.create_user(user("ann")).await.unwrap();
    store.pop_alive(pop("dead", 1), LEASE).await.unwrap();
    store.pass(LEASE).await;
    for id in ["p", "q"] {
        store.pop_alive(pop(id, 1), LEASE).await.unwrap();
    }
    // Longer than any lease: nobody could renew one meanwhile.
    store.pass(3 * LEASE).await;
    server.restart();
    refused(lease(&store, "p", &ann).await);
    retell(&store, "p").await;
    refused(lease(&store, "p", &ann).await);
    retell(&store, "q").await;
    assert_eq!(lease(&store, "p", &ann).await, Ok(5));
    // They have as long as then to renew their leases, and who was dead stays dead.
    let living: Vec<_> = store.pops().await.unwrap();
    let living: Vec<_> = living.iter().map(|status| &*status.pop.id).collect();
    assert_eq!(living, ["p", "q"]);
    store.pass(LEASE).await;
    assert_eq!(store.pops().await.unwrap(), []);
}

#[tokio::test]
async fn a_pop_that_lives_and_never_tells_is_waited_for_ninety_seconds() {
    let mut server = RedisServer::start(Fsync::Always);
    let store = Redis::new(&server.url(0)).unwrap();
    let ann = store.create_user(user("ann")).await.unwrap();
    for id in ["p", "mute"] {
        store.pop_alive(pop(id, 1), LEASE).await.unwrap();
    }
    server.restart();
    retell(&store, "p").await;
    refused(lease(&store, "p", &ann).await);
    // Less by what a busy machine may take for this.
    store.pass(60).await;
    refused(lease(&store, "p", &ann).await);
    store.pass(30).await;
    assert_eq!(lease(&store, "p", &ann).await, Ok(5));
}

#[tokio::test]
async fn a_clock_that_is_set_back_makes_no_lease_longer() {
    let server = RedisServer::start(Fsync::EverySecond);
    let store = Redis::new(&server.url(0)).unwrap();
    for id in ["p", "q"] {
        store.pop_alive(pop(id, 1), LEASE).await.unwrap();
    }
    // The server was an hour ahead when it heard of them.
    age(&store, -3_600).await;
    store.pop_alive(pop("q", 1), LEASE).await.unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.unwrap().as_secs();
    for status in store.pops().await.unwrap() {
        let until = status.lease_until;
        assert!(until <= now + LEASE + 2, "{} until {until}", status.pop.id);
    }
    store.pass(LEASE + 2).await;
    assert_eq!(store.pops().await.unwrap(), []);
}

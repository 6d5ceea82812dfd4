//! A store in a real redis-server.

mod access;
mod acts;
mod confirmed;
mod dictionary;
mod failover;
mod faults;
mod lanes;
mod leases;
mod relay;

use super::Redis;
use crate::store::contract::{self, LEASE, NOW, Passing, node, pop, user};
use crate::store::{
    Accounts as _, AuditLog as _, ChangeLog as _, Holder, Nodes as _, Order, Page, Pops as _,
    StoreError, Totals, Users as _,
};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use titan_kit::redis_server::{Fsync, RedisServer};

/// Longer than any operation may take, with something to spare on a busy machine.
const PATIENCE: Duration = Duration::from_secs(6);

/// Sets the times that are kept back, as if so many seconds had passed, or forth, as if the server's clock had
/// been set back.
async fn age(store: &Redis, seconds: i64) {
    let script = redis::Script::new(
            "for _, id in ipairs(redis.call('ZRANGE', 'titan:pops', 0, -1)) do
               redis.call('HINCRBY', 'titan:pop:' .. id, 'lease_until', -ARGV[1])
               if redis.call('HEXISTS', 'titan:pop:' .. id, 'retiring_until') == 1 then
                 redis.call('HINCRBY', 'titan:pop:' .. id, 'retiring_until', -ARGV[1])
               end
               redis.call('ZINCRBY', 'titan:pops', -ARGV[1], id)
             end
             for _, key in ipairs(redis.call('KEYS', 'titan:node:*')) do
               if redis.call('TYPE', key).ok == 'hash' and redis.call('HEXISTS', key, 'home_at') == 1 then
                 redis.call('HINCRBY', key, 'home_at', -ARGV[1])
               end
             end
             for _, key in ipairs(redis.call('KEYS', 'titan:usage:*')) do
               local all = redis.call('HGETALL', key)
               for i = 1, #all, 2 do
                 local part, told_at = string.match(all[i + 1], '^(.*) (%d+)$')
                 if part then
                   local at = string.format('%.0f', told_at - ARGV[1])
                   redis.call('HSET', key, all[i], part .. ' ' .. at)
                 end
               end
             end
             redis.call('HINCRBY', 'titan:run', 'heard', -ARGV[1])
             if redis.call('HEXISTS', 'titan:run', 'since') == 1 then
               redis.call('HINCRBY', 'titan:run', 'since', -ARGV[1])
             end",
        );
    store.run(&script, seconds).await.unwrap();
}

impl Passing for Redis {
    async fn pass(&self, seconds: u64) {
        age(self, seconds.try_into().unwrap()).await;
    }
}

/// Runs the contract with a database for each part of it.
async fn keeps_the_contract(fsync: Fsync) {
    let server = RedisServer::start(fsync);
    let mut database = 0;
    contract::all(|| {
        let url = server.url(database);
        database += 1;
        let open = || Redis::new(&url).unwrap();
        (open(), open())
    })
    .await;
    dictionary::holds(&server, database).await;
}

#[tokio::test]
async fn two_thousand_nodes_cost_as_many_commands_as_a_hundred() {
    let server = RedisServer::start(Fsync::EverySecond);
    let stores = [0, 1].map(|database| Redis::new(&server.url(database)).unwrap());
    contract::cost::is_flat(stores, async |_| {
        // Those that scripts give are counted, not those of connecting and of handing scripts over.
        let told: String = ask(&server, &["INFO", "commandstats"]).await;
        let _: String = ask(&server, &["CONFIG", "RESETSTAT"]).await;
        let own = [
            "cmdstat_info",
            "cmdstat_config",
            "cmdstat_client",
            "cmdstat_select",
            "cmdstat_hello",
            "cmdstat_script",
            "cmdstat_evalsha",
        ];
        let lines = told
            .lines()
            .filter(|line| !own.iter().any(|own| line.starts_with(own)));
        let calls = lines.filter_map(|line| line.split_once("calls=")?.1.split(',').next());
        calls.map(|calls| calls.parse::<u64>().unwrap()).sum()
    })
    .await;
}

#[tokio::test]
async fn a_server_keeps_the_contract() {
    keeps_the_contract(Fsync::EverySecond).await;
}

#[tokio::test]
async fn a_server_that_syncs_always_keeps_the_contract() {
    keeps_the_contract(Fsync::Always).await;
}

/// Asks the server itself.
async fn ask<T: redis::FromRedisValue>(server: &RedisServer, words: &[&str]) -> T {
    command(&server.url(0), words).await
}

/// Asks the server at an address itself.
async fn command<T: redis::FromRedisValue>(url: &str, words: &[&str]) -> T {
    let client = redis::Client::open(url).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut command = redis::cmd(words[0]);
    command.arg(&words[1..]);
    command.query_async(&mut connection).await.unwrap()
}

#[tokio::test]
async fn the_keys_are_those_of_the_dictionary() {
    let server = RedisServer::start(Fsync::EverySecond);
    let store = Redis::new(&server.url(0)).unwrap();
    let mut ann = user("ann");
    ann.settings.traffic_limit = Some(1_000);
    let ann = store.create_user(ann).await.unwrap();
    store.create_user(user("zset")).await.unwrap();
    for (id, lease) in [("p", LEASE), ("q", 9 * LEASE)] {
        store.pop_alive(pop(id, 1), lease).await.unwrap();
    }
    for id in ["n1", "online", "free", "zset", "%6Fnline"] {
        let mut entry = node(id, "p", 1);
        entry.rtt_ms = Some(7);
        store.node_online(entry).await.unwrap();
    }
    store.node_online(node("n2", "q", 1)).await.unwrap();
    let holder = Holder {
        pop: "p".to_owned(),
        incarnation: 1,
    };
    let mut totals = Totals::new("ann".to_owned(), ann.id);
    totals.uploaded = 30;
    store.lease(holder, totals, 100).await.unwrap();

    let types = [
        ("titan:user:ann", "hash"),
        ("titan:node:online", "set"),
        ("titan:node:free", "zset"),
        ("titan:node:zset", "zset"),
        ("titan:node:n1", "hash"),
        ("titan:node:%6Fnline", "hash"),
        ("titan:node:%256Fnline", "hash"),
        ("titan:node:%7Aset", "hash"),
        ("titan:traffic5min:ann", "hash"),
    ];
    for (key, expected) in types {
        let found: String = ask(&server, &["TYPE", key]).await;
        assert_eq!(found, expected, "{key}");
    }
    let charged: (u64, u64) = ask(
        &server,
        &[
            "HMGET",
            "titan:user:ann",
            "current_traffic",
            "total_traffic",
        ],
    )
    .await;
    assert_eq!(charged, (100, 1_000));
    let shown: Vec<String> = ask(
        &server,
        &["HMGET", "titan:node:n1", "ip", "os", "version", "net_delay"],
    )
    .await;
    assert_eq!(shown, ["203.0.113.9", "linux", "1", "7"]);
    let since: u64 = ask(&server, &["ZSCORE", "titan:node:free", "n1"]).await;
    assert_eq!(since, node("n1", "p", 1).online_since);
    let online: BTreeSet<String> = ask(&server, &["SMEMBERS", "titan:node:online"]).await;
    assert_eq!(online.len(), 6);

    // p dies; q's next renewal takes what p had out of the sets.
    store.pass(LEASE).await;
    store.pop_alive(pop("q", 1), 9 * LEASE).await.unwrap();
    let online: Vec<String> = ask(&server, &["SMEMBERS", "titan:node:online"]).await;
    assert_eq!(online, ["n2"]);
    let free: Vec<String> = ask(&server, &["ZRANGE", "titan:node:free", "0", "-1"]).await;
    assert_eq!(free, ["n2"]);
    // Deleting leaves nothing of a user but what every user shares.
    store.delete_user("ann").await.unwrap();
    let left: Vec<String> = ask(&server, &["KEYS", "*ann*"]).await;
    assert_eq!(left, Vec::<String>::new());
}

/// Kills the server in the middle of grants. If it syncs always, all that was answered must be there
/// afterwards; otherwise it may have forgotten the last moment, and is told again.
async fn a_killed_server_ends_up_with_the_truth(fsync: Fsync) {
    const LIMIT: u64 = 200_000;
    let mut server = RedisServer::start(fsync);
    // The user is there for sure, whatever is forgotten later.
    let _: String = ask(&server, &["CONFIG", "SET", "appendfsync", "always"]).await;
    let store = Redis::new(&server.url(0)).unwrap();
    let mut ann = user("ann");
    ann.settings.traffic_limit = Some(LIMIT);
    let ann = store.create_user(ann).await.unwrap();
    if fsync == Fsync::EverySecond {
        let _: String = ask(&server, &["CONFIG", "SET", "appendfsync", "everysec"]).await;
    }
    let before = store.changes(None, 9).await.unwrap().cursor;
    let pops = ["p", "q", "r"];
    let holder = |pop: &str| Holder {
        pop: pop.to_owned(),
        incarnation: 1,
    };
    let work = pops.map(|id| {
        let (store, holder) = (store.clone(), holder(id));
        let mut totals = Totals::new("ann".to_owned(), ann.id);
        tokio::spawn(async move {
            // Until the server is gone.
            loop {
                let want = totals.granted + 7;
                match store.lease(holder.clone(), totals.clone(), want).await {
                    Ok(standing) => totals.granted = standing.unwrap().granted,
                    Err(StoreError::Unavailable(_)) => return totals,
                    Err(error) => panic!("{error}"),
                }
                totals.uploaded += totals.rest();
            }
        })
    });
    // Kill it once all of them are in the middle of it.
    let other = Redis::new(&server.url(0)).unwrap();
    while other
        .usage("ann")
        .await
        .unwrap()
        .unwrap()
        .iter()
        .filter(|part| part.granted > 70)
        .count()
        < 3
    {}
    server.kill();
    let mut totals = Vec::new();
    for task in work {
        totals.push(task.await.unwrap());
    }
    let error = store.user("ann").await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");

    server.restart();
    while store.audit_head().await.is_err() {
        tokio::task::yield_now().await;
    }
    for (id, totals) in pops.iter().zip(&totals) {
        let parts = store.usage("ann").await.unwrap().unwrap();
        let part = parts.iter().find(|part| part.holder.pop == *id);
        let Some(part) = part.filter(|_| fsync == Fsync::Always) else {
            assert_eq!(fsync, Fsync::EverySecond, "{id} is forgotten");
            continue;
        };
        assert!(part.granted >= totals.granted, "{part:?} after {totals:?}");
        // The answer that was lost may have been one grant more.
        assert!(
            part.granted <= totals.granted + 7,
            "{part:?} after {totals:?}"
        );
    }
    // The server is another one: whoever remembers something tells and reads it again.
    let after = store.changes(Some(before.clone()), 9).await.unwrap();
    assert!(after.reload && after.cursor.run != before.run);
    let mut truth = 0;
    for (id, totals) in pops.iter().zip(totals) {
        let told = store
            .report(holder(id), vec![totals.clone()], None)
            .await
            .unwrap();
        let mut totals = Totals {
            granted: told[0].unwrap().granted,
            ..totals
        };
        totals.returned = totals.rest();
        truth += totals.spent();
        store.report(holder(id), vec![totals], None).await.unwrap();
    }
    let ann = store.user("ann").await.unwrap().unwrap();
    assert_eq!((ann.charged, ann.uploaded), (truth, truth));
    assert!(truth <= LIMIT);
}

#[tokio::test]
async fn a_killed_server_that_syncs_always_forgets_no_answer() {
    a_killed_server_ends_up_with_the_truth(Fsync::Always).await;
}

#[tokio::test]
async fn a_killed_server_that_syncs_every_second_is_told_again() {
    a_killed_server_ends_up_with_the_truth(Fsync::EverySecond).await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_stuck_server_delays_nobody_for_long() {
    let server = RedisServer::start(Fsync::EverySecond);
    let store = Redis::new(&server.url(0)).unwrap();
    store.create_user(user("ann")).await.unwrap();
    store.user("ann").await.unwrap();
    server.pause(true);
    let started = Instant::now();
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..1_100 {
        let store = store.clone();
        asking.spawn(async move { store.user("ann").await.unwrap_err().to_string() });
    }
    let mut errors = Vec::new();
    while let Some(error) = asking.join_next().await {
        errors.push(error.unwrap());
    }
    assert!(started.elapsed() < PATIENCE, "{:?}", started.elapsed());
    let refused = errors
        .iter()
        .filter(|error| error.contains("too many"))
        .count();
    assert_eq!(refused, 1_100 - 1_024);
    assert!(
        errors
            .iter()
            .any(|error| error.contains("no answer in time"))
    );
    // Connecting to it is as bounded.
    let started = Instant::now();
    store.user("ann").await.unwrap_err();
    assert!(started.elapsed() < PATIENCE, "{:?}", started.elapsed());
    server.pause(false);
    while store.user("ann").await.is_err() {
        tokio::task::yield_now().await;
    }
    assert!(store.users(Page::first(9)).await.unwrap().next.is_none());
}

#[tokio::test]
async fn a_server_that_is_not_there_fails_at_once_and_tells_no_password() {
    let started = Instant::now();
    let store = Redis::new("redis+unix:///does/not/exist?pass=s3cret").unwrap();
    let order = Order::Migrate { nodes: Vec::new() };
    let error = store.order("p", NOW, order).await.unwrap_err().to_string();
    assert!(
        error.contains("Redis") && !error.contains("s3cret"),
        "{error}"
    );
    assert!(started.elapsed() < PATIENCE);
    let error = Redis::new("redis://:s3cret@:what").unwrap_err().to_string();
    assert!(!error.contains("s3cret"), "{error}");
    assert!(!format!("{store:?}").contains("s3cret"));
}

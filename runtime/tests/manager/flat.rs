//! What grows with the number of nodes and what must not: run with `--nocapture` to see the figures.

use crate::harness::Manager;
use crate::world;
use core::time::Duration;
use http::{Method, StatusCode};
use serde_json::json;
use std::time::Instant;
use titan_runtime::store::{NodeEntry, PopEntry, Store as _};

/// How many POPs the nodes are spread over.
const POPS: usize = 4;

/// Requests of each kind.
const REQUESTS: usize = 60;

/// How much slower the fastest request may be among fifty times as many nodes. Measured it is about the
/// same; what looked at every node would be fifty times slower. The fastest, and both by turns, so that
/// a busy machine decides nothing.
const GROWTH_MAX: u32 = 12;

async fn filled(count: usize) -> Manager {
    let it = Manager::start().await;
    let now = world::now();
    for index in 0..POPS {
        let pop = PopEntry {
            id: format!("pop-{index}"),
            incarnation: 1,
            url: format!("wss://pop-{index}.example:41005"),
            info: String::new(),
        };
        it.store.pop_alive(pop, now, now + 3_600).await.unwrap();
    }
    for index in 0..count {
        let node = NodeEntry {
            id: format!("edge-{index:05}"),
            pop: format!("pop-{}", index % POPS),
            generation: 1,
            ip: std::net::Ipv4Addr::from_bits(0xC612_0000 + u32::try_from(index).unwrap()).into(),
            os: "linux".to_owned(),
            version: "0.1".to_owned(),
            online_since: now,
            rtt_ms: None,
        };
        it.store.node_online(node).await.unwrap();
    }
    it
}

/// Asks both by turns and returns the fastest answer of each.
async fn fastest(
    managers: [&Manager; 2],
    mut ask: impl AsyncFnMut(&Manager, usize) -> StatusCode,
) -> [Duration; 2] {
    let mut fastest = [Duration::MAX; 2];
    for index in 0..REQUESTS {
        for (manager, fastest) in managers.into_iter().zip(&mut fastest) {
            let before = Instant::now();
            let status = ask(manager, index).await;
            *fastest = before.elapsed().min(*fastest);
            assert!(status.is_success(), "{status}");
        }
    }
    fastest
}

#[tokio::test]
async fn ten_thousand_nodes_cost_what_two_hundred_do() {
    let (few, many) = (filled(200).await, filled(10_000).await);
    let both = [&few, &many];
    let list = fastest(both, async |it, _| {
        let path = "/v1/nodes?limit=100&cursor=edge-00050";
        it.get(path).await.status
    });
    let list = list.await;
    let allocate = fastest(both, async |it, index| {
        let path = format!("/v1/node/pop?nodeid=new-{index}");
        it.ask(Method::GET, &path, Some(&it.join), "").await.status
    });
    let allocate = allocate.await;
    let create = fastest(both, async |it, index| {
        let user = json!({ "name": format!("user{index}"), "password": "x" });
        it.post("/v1/users", user).await.status
    });
    let create = create.await;
    println!("fastest of {REQUESTS} requests     200 nodes   10 000 nodes");
    for (what, [few, many]) in [
        ("list a page of 100", list),
        ("allocate a POP", allocate),
        ("create a user", create),
    ] {
        println!("{what:<24} {few:>12.1?} {many:>14.1?}");
        assert!(many <= few * GROWTH_MAX, "{what}: {few:?} became {many:?}");
    }
    few.stop().await;
    many.stop().await;
}

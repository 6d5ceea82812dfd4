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

/// How much slower the middle request may be among a hundred times as many nodes. Measured it is about
/// the same; what looked at every node would be a hundred times slower.
const GROWTH_MAX: u32 = 4;

/// The middle of the times that requests took.
struct Figures {
    list: Duration,
    allocate: Duration,
    create: Duration,
}

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

async fn middle(mut ask: impl AsyncFnMut(usize) -> StatusCode) -> Duration {
    let mut times = Vec::with_capacity(REQUESTS);
    for index in 0..REQUESTS {
        let before = Instant::now();
        let status = ask(index).await;
        times.push(before.elapsed());
        assert!(status.is_success(), "{status}");
    }
    times.sort_unstable();
    times[REQUESTS / 2]
}

async fn measured(it: &Manager) -> Figures {
    let last = it.get("/v1/nodes?limit=100").await.body["next_cursor"].clone();
    let cursor = last.as_str().unwrap_or("edge-00050").to_owned();
    Figures {
        list: middle(async |_| {
            let path = format!("/v1/nodes?limit=100&cursor={cursor}");
            it.get(&path).await.status
        })
        .await,
        allocate: middle(async |index| {
            let path = format!("/v1/node/pop?nodeid=new-{index}");
            it.ask(Method::GET, &path, Some(&it.join), "").await.status
        })
        .await,
        create: middle(async |index| {
            let user = json!({ "name": format!("user{index}"), "password": "x" });
            it.post("/v1/users", user).await.status
        })
        .await,
    }
}

#[tokio::test]
async fn ten_thousand_nodes_cost_what_a_hundred_do() {
    let (few, many) = (filled(200).await, filled(10_000).await);
    let (few_took, many_took) = (measured(&few).await, measured(&many).await);
    println!("median of {REQUESTS} requests      200 nodes   10 000 nodes");
    for (what, few, many) in [
        ("list a page of 100", few_took.list, many_took.list),
        ("allocate a POP", few_took.allocate, many_took.allocate),
        ("create a user", few_took.create, many_took.create),
    ] {
        println!("{what:<24} {few:>12.1?} {many:>14.1?}");
        assert!(many <= few * GROWTH_MAX, "{what}: {few:?} became {many:?}");
    }
    few.stop().await;
    many.stop().await;
}

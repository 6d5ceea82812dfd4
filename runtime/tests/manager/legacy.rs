//! The older paths in detail: fields, defaults and orders.

use crate::harness::Manager;
use crate::world;
use http::StatusCode;
use serde_json::{Value, json};
use titan_runtime::config::StaticPop;
use titan_runtime::store::{Change, ChangeLog as _, Nodes as _, Order, Pops as _, Users as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

#[tokio::test]
async fn users_have_the_fields_and_defaults_of_before() {
    let it = Manager::start().await;
    it.register("pop-1", 1).await;
    it.online("edge-1", "pop-1").await;
    let creation = json!({ "user_name": "ann", "password": "x", "pop_id": "pop-1" });
    let created = it.post("/user/create", creation.clone()).await;
    assert_eq!(created.status, StatusCode::OK, "{created:?}");
    let start = created.body["traffic_limit"]["start_time"]
        .as_u64()
        .unwrap();
    assert!(start.abs_diff(world::now()) < 60);
    let limit = json!({
        "start_time": start, "end_time": start + 30 * 86_400, "total_traffic": 1_073_741_824_000_u64,
    });
    let route =
        json!({ "mode": 1, "node_id": null, "interval_minutes": null, "utc_minute_of_day": null });
    assert_eq!(
        created.body,
        json!({
            "user_name": "ann", "pop_id": "", "traffic_limit": limit, "route": route, "node_ip": "",
            "success_pops": ["pop-1"], "failed_pops": [], "not_in_force": [],
        })
    );
    it.post("/user/create", creation)
        .await
        .is_problem(409, "user_exists");
    let ann = json!({
        "user_name": "ann", "pop_id": "", "traffic_limit": limit, "route": route, "node_ip": "",
        "node_online": false, "current_traffic": 0, "off": false, "upload_rate_limit": 655_360,
        "download_rate_limit": 1_310_720, "last_route_switch_time": 0,
    });
    assert_eq!(it.get("/user/get?username=ann").await.body, ann);

    // Zeros are no limits.
    let open = json!({
        "user_name": "bob", "password": "x", "upload_rate_limit": 0, "download_rate_limit": 0,
        "traffic_limit": { "start_time": 1, "end_time": 4_000_000_000_u64, "total_traffic": 0 },
    });
    it.post("/user/create", open).await;
    let bob = it.store.user("bob").await.unwrap().unwrap();
    assert_eq!(
        (
            bob.settings.traffic_limit,
            bob.settings.upload_rate,
            bob.settings.download_rate
        ),
        (None, None, None)
    );

    let page = it.get("/user/list?popid=pop-1&start=1&end=1").await.body;
    assert_eq!(
        (&page["users"][0]["user_name"], &page["total"]),
        (&json!("bob"), &json!(2))
    );

    let done = json!({ "success": true, "err_msg": "" });
    let stop = json!({ "user_name": "ann", "action": "stop" });
    assert_eq!(it.post("/user/startorstop", stop).await.body, done);
    assert_eq!(it.get("/user/get?username=ann").await.body["off"], true);
    let change = json!({
        "user_name": "ann",
        "traffic_limit": { "start_time": 5, "end_time": 4_000_000_000_u64, "total_traffic": 7 },
        "route": { "mode": 2, "node_id": "edge-1", "interval_minutes": 0, "utc_minute_of_day": 0 },
    });
    assert_eq!(it.post("/user/modify", change).await.body, done);
    let shown = it.get("/user/get?username=ann").await.body;
    assert_eq!(shown["traffic_limit"]["total_traffic"], 7);
    assert_eq!(
        (
            &shown["route"]["node_id"],
            &shown["node_ip"],
            &shown["node_online"]
        ),
        (&json!("edge-1"), &json!("203.0.113.9"), &json!(true))
    );
    let expired = json!({
        "user_name": "ann", "traffic_limit": { "start_time": 5, "end_time": 6, "total_traffic": 7 },
    });
    it.post("/user/modify", expired)
        .await
        .is_problem(409, "conflict");
    it.stop().await;
}

/// What POPs were told since `it` began.
async fn orders(it: &Manager) -> Vec<(String, Order)> {
    let start = Some(titan_runtime::store::Cursor {
        run: it.store.changes(None, 1).await.unwrap().cursor.run,
        id: 0,
    });
    let changes = it.store.changes(start, 1_000).await.unwrap();
    let orders = changes.items.into_iter().filter_map(|change| match change {
        Change::Order { pop, order, .. } => Some((pop, order)),
        Change::User { .. } | Change::Blacklist { .. } | Change::Token { .. } | Change::Unknown => {
            None
        }
    });
    orders.collect()
}

#[tokio::test]
async fn nodes_are_kicked_and_moved_by_orders_to_their_pop() {
    let it = Manager::start().await;
    it.register("pop-1", 1).await;
    it.register("pop-2", 1).await;
    for index in 0..100 {
        it.online(&format!("edge-{index:03}"), "pop-1").await;
    }
    let done = json!({ "success": true, "err_msg": "" });
    assert_eq!(
        it.post("/node/kick?nodeid=edge-007", Value::Null)
            .await
            .body,
        done
    );
    it.post("/v1/nodes/edge-008/kick", json!({ "retry_after": 60 }))
        .await;
    let move_all = json!({ "source_pop": "pop-1", "target_pop": "pop-2", "count": 100 });
    assert_eq!(it.post("/node/migrate", move_all).await.body, done);
    let mut told = orders(&it).await.into_iter();
    for (node, seconds) in [("edge-007", 10), ("edge-008", 60)] {
        let kick = Order::Kick {
            nodes: vec![node.to_owned()],
            retry_after: seconds,
        };
        assert_eq!(told.next(), Some(("pop-1".to_owned(), kick)));
    }
    let mut moved = Vec::new();
    for (pop, order) in told {
        assert_eq!(pop, "pop-1");
        match order {
            Order::Migrate { nodes } => moved.extend(nodes),
            other @ (Order::Kick { .. } | Order::KickIp { .. } | Order::Unknown) => {
                panic!("{other:?}");
            }
        }
    }
    assert_eq!(moved.len(), 100);
    assert_eq!(it.get("/v1/nodes/edge-042").await.body["home"], "pop-2");
    // It goes where it belongs now.
    assert_eq!(it.enrol("nodeid=edge-042").await.body["pop_id"], "pop-2");
    // Nothing is at the other one yet.
    let back = json!({ "source_pop": "pop-2", "target_pop": "pop-1", "count": 1 });
    it.post("/node/migrate", back)
        .await
        .is_problem(409, "conflict");
    let nowhere = json!({ "from": "pop-1", "to": "pop-1", "count": 1 });
    it.post("/v1/nodes/migrate", nowhere)
        .await
        .is_problem(409, "conflict");
    it.store.node_offline("edge-001", "pop-1", 1).await.unwrap();
    it.post("/v1/nodes/edge-001/kick", json!({}))
        .await
        .is_problem(409, "node_offline");
    it.stop().await;
}

#[tokio::test]
async fn nodes_are_exported_whole() {
    let it = Manager::start().await;
    it.register("pop-1", 1).await;
    it.register("pop-2", 1).await;
    for index in 0..1_500 {
        it.online(&format!("edge-{index:04}"), "pop-1").await;
    }
    it.online("other", "pop-2").await;
    let answer = it.get("/pop/nodes/export").await;
    assert_eq!(answer.kind, "text/csv; charset=utf-8");
    let text = answer.body.as_str().unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 1_502);
    assert_eq!(lines[0], "pop_id,pop_name,node_id");
    assert_eq!(
        (lines[1], lines[1_500]),
        ("pop-1,pop-1,edge-0000", "pop-1,pop-1,edge-1499")
    );
    assert_eq!(lines[1_501], "pop-2,pop-2,other");
    let text = it.get("/v1/nodes.csv?pop=pop-2").await.body;
    assert_eq!(
        text,
        "pop,node,ip,os,version,online_since,rtt_ms\r\npop-2,other,203.0.113.9,linux,0.1,1700000000,12\r\n"
    );
    let page = it
        .get("/node/list?popid=pop-1&type=1&start=999&end=1000")
        .await
        .body;
    assert_eq!(
        (&page["nodes"][1]["id"], &page["total"]),
        (&json!("edge-1000"), &json!(1_500))
    );
    let pops = it.get("/pops").await.body;
    assert_eq!(pops["Pops"][0]["total_node"], 1_500);
    it.stop().await;
}

#[tokio::test]
async fn addresses_are_listed_in_parts() {
    let it = Manager::start().await;
    let ips: Vec<_> = (0..100)
        .map(|index| format!("198.51.100.{index}"))
        .collect();
    let many: Vec<_> = (0..101)
        .map(|index| format!("198.51.101.{index}"))
        .collect();
    it.post("/ip/blacklist/add", json!({ "ip_list": ips }))
        .await;
    let refused = it
        .post("/ip/blacklist/add", json!({ "ip_list": many }))
        .await;
    assert_eq!(refused.body["err_msg"], "too many ips, max is 100");
    let part = it.get("/ip/blacklist/get?count=60").await.body;
    assert_eq!(
        (&part["next_cursor"], &part["total"]),
        (&json!(60), &json!(100))
    );
    let rest = it.get("/ip/blacklist/get?count=60&cursor=60").await.body;
    assert_eq!(rest["next_cursor"], 0);
    let mut seen: Vec<_> = [part, rest]
        .iter()
        .flat_map(|part| part["ip_list"].as_array().unwrap().clone())
        .collect();
    seen.sort_by_key(|ip| {
        ip.as_str()
            .unwrap()
            .rsplit('.')
            .next()
            .unwrap()
            .parse::<u8>()
            .unwrap()
    });
    assert_eq!(seen, ips);
    it.post("/ip/blacklist/remove", json!({ "ip_list": ips }))
        .await;
    assert_eq!(it.get("/v1/blacklist/ips").await.body["entries"], json!([]));
    it.stop().await;
}

#[tokio::test]
async fn a_node_may_be_named_in_a_form() {
    let it = Manager::start().await;
    it.register("pop-1", 1).await;
    it.online("edge-1", "pop-1").await;
    let kick = async |kind: &str, body: &str| {
        let mut stream = TcpStream::connect(it.address).await.unwrap();
        let request = format!(
            "POST /node/kick HTTP/1.1\r\nHost: m\r\nAuthorization: Bearer {}\r\nContent-Type: {kind}\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            it.admin,
            body.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text["HTTP/1.1 ".len()..][..3].to_owned()
    };
    let form = "application/x-www-form-urlencoded";
    assert_eq!(kick(form, "nodeid=edge%2D1").await, "200");
    assert_eq!(kick(form, "nodeid=edge-9").await, "404");
    assert_eq!(kick(form, "node=edge-1").await, "400");
    assert_eq!(kick(form, "nodeid=\u{0}").await, "400");
    assert_eq!(kick(form, &"x".repeat(70_000)).await, "413");
    assert_eq!(kick("application/json", "nodeid=edge-1").await, "400");
    assert_eq!(orders(&it).await.len(), 1);
    it.stop().await;
}

#[tokio::test]
async fn a_configured_pop_that_is_away_is_known() {
    let it = Manager::start_with(tempfile::tempdir().unwrap(), |config| {
        config.pops = vec![StaticPop {
            id: "pop-1".to_owned(),
            url: "wss://pop-1:1".to_owned(),
        }];
    })
    .await;
    it.user("ann").await;
    let listed = it.get("/user/list?popid=pop-1&start=0&end=9").await.body;
    assert_eq!(listed["total"], 1);
    let ips = json!({ "pop_id": "pop-1", "ip_list": ["192.0.2.1"] });
    assert_eq!(
        it.post("/node/blacklist/add", ips.clone()).await.status,
        StatusCode::OK
    );
    let listed = it.get("/node/blacklist/get?popid=pop-1").await.body;
    assert_eq!(listed["ip_list"], json!(["192.0.2.1"]));
    assert_eq!(
        it.post("/node/blacklist/remove", ips).await.status,
        StatusCode::OK
    );
    it.stop().await;
}

#[tokio::test]
async fn nodes_are_not_moved_to_a_pop_that_drains() {
    let it = Manager::start().await;
    it.register("pop-1", 1).await;
    it.register("pop-2", 1).await;
    it.online("edge-1", "pop-1").await;
    assert!(it.store.drain_pop("pop-2", 1).await.unwrap());
    for body in [
        json!({ "to": "pop-2", "nodes": ["edge-1"] }),
        json!({ "to": "pop-2", "from": "pop-1", "count": 1 }),
    ] {
        it.post("/v1/nodes/migrate", body)
            .await
            .is_problem(409, "pop_draining");
    }
    let older = json!({ "source_pop": "pop-1", "target_pop": "pop-2", "count": 1 });
    it.post("/node/migrate", older)
        .await
        .is_problem(409, "pop_draining");
    assert_eq!(it.get("/v1/nodes/edge-1").await.body["home"], "pop-1");
    assert_eq!(orders(&it).await, []);
    // Away from it they are, each once.
    let back = json!({ "to": "pop-1", "nodes": ["edge-1", "edge-1"] });
    let moved = it.post("/v1/nodes/migrate", back).await.body;
    assert_eq!(moved, json!({ "assigned": 1, "ordered": 0 }));
    it.stop().await;
}

//! POPs that live, those that drain, and how nodes are kept away from these.

use crate::harness::Manager;
use crate::world;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use titan_runtime::store::Pops as _;

#[tokio::test]
async fn pops_are_listed_and_sent_away() {
    let it = Manager::start().await;
    assert_eq!(it.get("/v1/pops").await.body, json!({ "pops": [] }));
    it.register("pop-1", 7).await;
    it.register("pop-2", 1).await;
    it.online("edge-1", "pop-2").await;
    let pops = it.get("/v1/pops").await.body["pops"].take();
    let lease = pops[1]["lease_until"].as_u64().unwrap();
    // The store's time and the clock may be in different seconds.
    assert!((world::now()..=world::now() + 61).contains(&lease));
    let mut second = json!({
        "id": "pop-2", "url": "wss://pop-2.example:41005", "node_count": 1,
        "lease_until": lease, "draining": false,
    });
    assert_eq!((&pops[0]["id"], &pops[1]), (&json!("pop-1"), &second));

    let answer = it.post("/v1/pops/pop-2/drain", Value::Null).await;
    second["draining"] = json!(true);
    assert_eq!((answer.status, answer.body), (StatusCode::ACCEPTED, second));
    let drains: Vec<_> = it.store.pops().await.unwrap();
    assert_eq!((drains[0].draining, drains[1].draining), (false, true));
    assert!(it.store.is_pop_draining("pop-2", 1).await.unwrap());
    assert_eq!(it.get("/v1/pops").await.body["pops"][1]["draining"], true);
    // A second order changes nothing.
    let again = it.post("/v1/pops/pop-2/drain", Value::Null).await;
    assert_eq!(again.status, StatusCode::ACCEPTED);

    it.post("/v1/pops/pop-3/drain", Value::Null)
        .await
        .is_problem(404, "not_found");
    it.ask(Method::GET, "/v1/pops/pop-1/drain", Some(&it.admin), "")
        .await
        .is_problem(405, "method_not_allowed");
    it.stop().await;
}

#[tokio::test]
async fn no_edge_is_sent_to_a_pop_that_drains_or_that_it_leaves() {
    let it = Manager::start().await;
    it.register("pop-1", 1).await;
    it.register("pop-2", 1).await;
    it.online("other", "pop-2").await;
    let sent = async |query: &str| it.enrol(query).await.body["pop_id"].take();
    assert_eq!(sent("nodeid=n&exclude=pop-1").await, "pop-2");
    assert_eq!(sent("nodeid=n&exclude=pop-9,pop-2").await, "pop-1");
    it.enrol("nodeid=n&exclude=pop-1,pop-2")
        .await
        .is_problem(503, "no_pop");
    it.post("/v1/pops/pop-1/drain", Value::Null).await;
    assert_eq!(sent("nodeid=n").await, "pop-2");
    it.enrol("nodeid=n&exclude=pop-2")
        .await
        .is_problem(503, "no_pop");
    // A tunnel there can still be resumed with a token of today.
    assert_eq!(sent("nodeid=n&pop=pop-1").await, "pop-1");
    it.enrol("nodeid=n&pop=pop-9")
        .await
        .is_problem(503, "no_pop");

    let many = vec!["p"; 17].join(",");
    for wrong in ["", ",", "a%20b", &many] {
        it.enrol(&format!("nodeid=n&exclude={wrong}"))
            .await
            .is_problem(400, "bad_request");
    }
    it.stop().await;
}

//! Users in detail: patches, adjustments, charts, routes.

use crate::harness::{Answer, Manager};
use crate::world;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use titan_runtime::store::{Accounts as _, Holder, Pops as _, Totals, Users as _};

async fn ask(it: &Manager, method: Method, path: &str, body: Value) -> Answer {
    let body = body.to_string();
    it.ask(method, path, Some(&it.admin), &body).await
}

#[tokio::test]
async fn a_patch_changes_what_it_names_and_null_removes() {
    let it = Manager::start().await;
    it.user("ann").await;
    let all = json!({
        "enabled": false, "starts_at": 1_000, "expires_at": 2_000, "traffic_limit": 3_000,
        "upload_rate": 4_000, "download_rate": 5_000, "sessions_max": 6, "reply": "truthful",
    });
    let patch = |body: Value| ask(&it, Method::PATCH, "/v1/users/ann", body);
    let shown = patch(all.clone()).await.body;
    for (key, value) in all.as_object().unwrap() {
        assert_eq!(&shown[key], value, "{key}");
    }
    let shown = patch(json!({ "traffic_limit": null, "enabled": true }))
        .await
        .body;
    assert_eq!(
        (
            &shown["traffic_limit"],
            &shown["enabled"],
            &shown["upload_rate"]
        ),
        (&Value::Null, &json!(true), &json!(4_000))
    );
    assert_eq!(patch(json!({})).await.body, shown);
    for body in [
        json!({ "starts_at": 2_000 }),
        json!({ "expires_at": 1_000 }),
    ] {
        patch(body).await.is_problem(409, "conflict");
    }
    for body in [
        json!({ "upload_rate": 0 }),
        json!({ "sessions_max": 0 }),
        json!({ "traffic_limit": 9_007_199_254_740_992_u64 }),
        json!({ "name": "bob" }),
        json!({ "enabled": "yes" }),
    ] {
        patch(body).await.is_problem(400, "bad_request");
    }
    it.stop().await;
}

#[tokio::test]
async fn passwords_change() {
    let it = Manager::start().await;
    it.user("ann").await;
    let hash = async || it.store.user("ann").await.unwrap().unwrap().password_hash;
    let before = hash().await;
    let path = "/v1/users/ann/password";
    let given = ask(&it, Method::PUT, path, json!({ "password": "new" })).await;
    assert_eq!(
        (given.status, &given.body["password"]),
        (StatusCode::OK, &Value::Null)
    );
    let after = hash().await;
    assert!(before != after && after.starts_with("$argon2id$"));
    let made = ask(&it, Method::PUT, path, json!({})).await;
    assert!(made.body["password"].as_str().unwrap().len() >= 20);
    assert!(hash().await != after);
    it.stop().await;
}

#[tokio::test]
async fn what_is_kept_of_a_drawn_password_costs_no_argon2() {
    let it = Manager::start().await;
    let kept = async || it.store.user("ann").await.unwrap().unwrap().password_hash;
    let is_drawn = |hash: &str| hash.starts_with("$drawn-");
    let created = it.post("/v1/users", json!({ "name": "ann" })).await.body;
    assert!(created["password"].is_string() && is_drawn(&kept().await));
    let first = kept().await;
    let path = "/v1/users/ann/password";
    ask(&it, Method::PUT, path, json!({ "password": "chosen" })).await;
    assert!(!is_drawn(&kept().await), "anybody may guess it");
    let reset = ask(&it, Method::PUT, path, json!({})).await.body;
    assert!(reset["password"].is_string() && is_drawn(&kept().await));
    assert_ne!(kept().await, first);
    it.stop().await;
}

#[tokio::test]
async fn an_adjustment_happens_once() {
    let it = Manager::start().await;
    it.user("ann").await;
    ask(
        &it,
        Method::PATCH,
        "/v1/users/ann",
        json!({ "traffic_limit": 1_000 }),
    )
    .await;
    let adjust = |body: Value| ask(&it, Method::POST, "/v1/users/ann/adjustments", body);
    let more = json!({ "id": "invoice-7", "add_bytes": 500 });
    for _ in 0..2 {
        assert_eq!(adjust(more.clone()).await.body["traffic_limit"], 1_500);
    }
    assert_eq!(
        adjust(json!({ "add_bytes": -2_000 })).await.body["traffic_limit"],
        0
    );
    for body in [
        json!({}),
        json!({ "reset": false }),
        json!({ "id": "a b", "reset": true }),
        json!({ "add_bytes": 9_007_199_254_740_992_i64 }),
    ] {
        adjust(body).await.is_problem(400, "bad_request");
    }
    it.stop().await;
}

#[tokio::test]
async fn traffic_is_charted_without_gaps() {
    let it = Manager::start().await;
    it.user("ann").await;
    it.register("pop-1", 1).await;
    let id = it.store.user("ann").await.unwrap().unwrap().id;
    let holder = Holder {
        pop: "pop-1".to_owned(),
        incarnation: 1,
    };
    let now = world::now();
    let totals = |uploaded, downloaded| Totals {
        granted: 10_000_000,
        uploaded,
        downloaded,
        sessions: 3,
        ..Totals::new("ann".to_owned(), id)
    };
    let report = |totals, journal| it.store.report(holder.clone(), vec![totals], journal);
    report(totals(600_000, 0), Some(now - 600)).await.unwrap();
    report(totals(600_000, 3_000_000), Some(now)).await.unwrap();
    // A journal does not say how many sessions there are.
    report(totals(600_000, 3_000_000), None).await.unwrap();

    let from = now - 900;
    let path = format!("/v1/users/ann/traffic?from={from}&until={now}");
    let chart = it.get(&path).await.body;
    let buckets = chart["buckets"].as_array().unwrap();
    assert_eq!(buckets.len() as u64, now / 300 - from / 300 + 1);
    let column = |name: &str| {
        buckets
            .iter()
            .map(|one| one[name].as_u64().unwrap())
            .collect::<Vec<_>>()
    };
    assert!(
        column("start")
            .windows(2)
            .all(|pair| pair[1] - pair[0] == 300)
    );
    assert_eq!(column("uploaded").iter().sum::<u64>(), 600_000);
    assert_eq!(buckets.last().unwrap()["downloaded"], 3_000_000);
    assert_eq!(buckets.last().unwrap()["bandwidth"], 10_000);
    for (resolution, count) in [("5m", 288), ("hour", 168), ("day", 366)] {
        let chart = it
            .get(&format!("/v1/users/ann/traffic?resolution={resolution}"))
            .await
            .body;
        assert_eq!(chart["buckets"].as_array().unwrap().len(), count);
    }
    for query in ["resolution=year", "until=99999999999999999"] {
        it.get(&format!("/v1/users/ann/traffic?{query}"))
            .await
            .is_problem(400, "bad_request");
    }
    let stats = it.get("/v1/users/ann/stats").await.body;
    assert_eq!(
        (
            &stats["bandwidth_max"],
            &stats["uploaded"],
            &stats["sessions"]
        ),
        (&json!(10_000), &json!(600_000), &json!(3))
    );
    let usage = it.get("/v1/users/ann/usage").await.body;
    assert_eq!(usage["holders"][0]["pop"], "pop-1");
    assert_eq!(usage["holders"][0]["downloaded"], 3_000_000);

    // The older chart counts KB up.
    let path =
        format!("/user/stats/chart?type=minute&username=ann&start_time={from}&end_time={now}");
    let stats = it.get(&path).await.body["stats"]
        .as_array()
        .unwrap()
        .clone();
    let last = stats.last().unwrap();
    assert_eq!(
        (&last["Traffic"], &last["bandwidth"]),
        (&json!(3_515), &json!(9))
    );
    let base = it.get("/user/stats/base?username=ann").await.body;
    assert_eq!(
        (&base["total_traffic"], &base["current_conns"]),
        (&json!(3_600_000), &json!(3))
    );
    it.stop().await;
}

#[tokio::test]
async fn of_a_range_of_traffic_only_what_is_kept_is_shown() {
    let it = Manager::start().await;
    it.user("ann").await;
    let future = world::now() + 1_000_000;
    for (query, count) in [
        ("from=0", 288),
        (&*format!("until={future}"), 288),
        (&*format!("from={future}"), 0),
        ("from=2&until=1", 0),
        ("until=1", 0),
    ] {
        let path = format!("/v1/users/ann/traffic?{query}");
        let buckets = it.get(&path).await.body["buckets"].take();
        assert_eq!(buckets.as_array().unwrap().len(), count, "{query}");
    }
    it.stop().await;
}

#[tokio::test]
async fn routes_are_kept_and_said_not_to_be_in_force() {
    let it = Manager::start().await;
    it.register("pop-1", 1).await;
    it.online("edge-1", "pop-1").await;
    it.user("ann").await;
    let route = |route: Value| {
        ask(
            &it,
            Method::PATCH,
            "/v1/users/ann",
            json!({ "route": route }),
        )
    };
    let shown = route(json!({ "mode": "manual", "node": "edge-1" }))
        .await
        .body;
    assert_eq!(shown["not_in_force"], json!(["route"]));
    let switched = shown["route_switched_at"].as_u64().unwrap();
    assert!(switched.abs_diff(world::now()) < 60);
    let shown = route(json!({ "mode": "timed", "node": "edge-1", "interval_minutes": 5 }))
        .await
        .body;
    assert_eq!(shown["route_switched_at"], switched);
    let shown = route(json!({ "mode": "auto" })).await.body;
    assert_eq!(shown["not_in_force"], json!([]));
    for bad in [
        json!({ "mode": "manual" }),
        json!({ "mode": "auto", "node": "edge-1" }),
        json!({ "mode": "auto", "interval_minutes": 5 }),
        json!({ "mode": "timed" }),
        json!({ "mode": "timed", "interval_minutes": 0 }),
        json!({ "mode": "timed", "utc_minute_of_day": 1_440 }),
        json!({ "mode": "timed", "interval_minutes": 5, "utc_minute_of_day": 5 }),
        json!({ "mode": "random" }),
    ] {
        route(bad).await.is_problem(400, "bad_request");
    }
    let unknown = route(json!({ "mode": "manual", "node": "edge-9" })).await;
    unknown.is_problem(404, "not_found");
    assert_eq!(
        unknown.body["detail"],
        "route.node: there is no node `edge-9`"
    );
    it.stop().await;
}

#[tokio::test]
async fn sessions_of_a_process_that_died_are_not_counted() {
    let it = Manager::start().await;
    it.user("ann").await;
    let id = it.store.user("ann").await.unwrap().unwrap().id;
    for (pop, sessions) in [("pop-1", 3), ("pop-2", 5)] {
        it.register(pop, 1).await;
        let holder = Holder {
            pop: pop.to_owned(),
            incarnation: 1,
        };
        let totals = Totals {
            sessions,
            ..Totals::new("ann".to_owned(), id)
        };
        it.store.report(holder, vec![totals], None).await.unwrap();
    }
    let sessions = async || {
        let shown = it.get("/v1/users/ann/stats").await.body["sessions"].clone();
        let older = it.get("/user/stats/base?username=ann").await.body["current_conns"].clone();
        assert_eq!(shown, older);
        shown
    };
    assert_eq!(sessions().await, 8);
    // One was started anew and the other is gone; neither said a last word.
    it.register("pop-1", 2).await;
    assert_eq!(sessions().await, 5);
    it.store.pop_gone("pop-2", 1).await.unwrap();
    assert_eq!(sessions().await, 0);
    it.stop().await;
}

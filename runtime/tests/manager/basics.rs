//! The manager as a process: start, stop, TLS, and what was there first.

use crate::harness::{Manager, request};
use crate::world::{self, LoopbackEnv};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use std::path::Path;
use titan_runtime::config::{ManagerConfig, StaticPop, TlsFiles};
use titan_runtime::manager;
use titan_runtime::store::{Embedded, Location, Mode, Users as _};
use titan_runtime::tls::{Authority, client_config};
use titan_runtime::token::{KeyRing, Verifier};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

#[tokio::test]
async fn health_needs_no_token() {
    let it = Manager::start().await;
    let answer = it.ask(Method::GET, "/healthz", None, "").await;
    assert_eq!(
        (answer.status, &answer.body),
        (StatusCode::OK, &json!({ "status": "ok" }))
    );
    it.ask(Method::POST, "/healthz", None, "")
        .await
        .is_problem(405, "method_not_allowed");
    it.stop().await;
}

#[tokio::test]
async fn everything_else_needs_the_admin_token() {
    let it = Manager::start().await;
    let paths = [
        (Method::GET, "/v1/users"),
        (Method::POST, "/v1/users"),
        (Method::GET, "/v1/users/ann"),
        (Method::DELETE, "/v1/users/ann"),
        (Method::GET, "/v1/nodes"),
        (Method::GET, "/v1/pops"),
        (Method::POST, "/v1/pops/pop-1/drain"),
        (Method::POST, "/user/create"),
        (Method::GET, "/user/get?username=ann"),
        (Method::POST, "/user/delete"),
        (Method::GET, "/auth/token"),
        (Method::GET, "/nowhere"),
    ];
    for (method, path) in paths {
        let answer = it.ask(method.clone(), path, None, "").await;
        answer.is_problem(401, "unauthorized");
        // The join secret opens nothing but enrolment.
        it.ask(method, path, Some(""), "")
            .await
            .is_problem(401, "unauthorized");
    }
    it.ask(Method::GET, "/v1/users", Some(&it.join), "")
        .await
        .is_problem(401, "unauthorized");
    it.get("/nowhere").await.is_problem(404, "not_found");
    it.ask(Method::PUT, "/v1/users", Some(&it.admin), "")
        .await
        .is_problem(405, "method_not_allowed");
    it.stop().await;
}

#[tokio::test]
async fn no_header_makes_a_caller_an_admin() {
    let it = Manager::start().await;
    let mut stream = TcpStream::connect(it.address).await.unwrap();
    let headers = "Host: localhost\r\nX-Forwarded-For: 127.0.0.1\r\nX-Real-IP: 127.0.0.1\r\n\
                   Forwarded: for=127.0.0.1\r\nConnection: close\r\n";
    for path in ["/auth/token", "/v1/users", "/node/pop?nodeid=n"] {
        stream
            .write_all(format!("GET {path} HTTP/1.1\r\n{headers}\r\n").as_bytes())
            .await
            .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        assert!(text.starts_with("HTTP/1.1 401"), "{text}");
        assert!(
            text.to_lowercase().contains("www-authenticate: bearer"),
            "{text}"
        );
        stream = TcpStream::connect(it.address).await.unwrap();
    }
    drop(stream);
    it.stop().await;
}

#[tokio::test]
async fn users_are_created_shown_listed_and_deleted() {
    let it = Manager::start().await;
    let answer = it
        .post("/v1/users", json!({ "name": "ann", "password": "secret" }))
        .await;
    assert_eq!(answer.status, StatusCode::CREATED);
    assert_eq!(answer.location.as_deref(), Some("/v1/users/ann"));
    let created = answer.body["created_at"].as_u64().unwrap();
    assert!(created.abs_diff(world::now()) < 60);
    let route = json!({ "mode": "auto", "node": null, "interval_minutes": null, "utc_minute_of_day": null });
    let ann = json!({
        "name": "ann", "enabled": true, "created_at": created, "starts_at": null,
        "expires_at": null, "traffic_limit": null, "upload_rate": null, "download_rate": null,
        "sessions_max": null, "reply": "fast", "records": "default", "route": route, "route_switched_at": null,
        "charged": 0, "uploaded": 0, "downloaded": 0, "not_in_force": [],
    });
    assert_eq!(answer.body, ann);
    assert_eq!(it.get("/v1/users/ann").await.body, ann);

    let full = json!({
        "name": "bob", "enabled": false, "expires_at": 2_000_000_000, "reply": "truthful",
    });
    let bob = it.post("/v1/users", full).await.body;
    // No password was given, so one is made and shown this once.
    assert!(bob["password"].as_str().unwrap().len() >= 20);
    let shown = it.get("/v1/users/bob").await.body;
    assert_eq!(
        (&shown["enabled"], &shown["reply"]),
        (&json!(false), &json!("truthful"))
    );
    assert_eq!(
        (&shown["expires_at"], &shown["password"]),
        (&json!(2_000_000_000), &Value::Null)
    );

    let record = it.store.user("ann").await.unwrap().unwrap();
    assert!(
        record
            .password_hash
            .starts_with("$argon2id$v=19$m=19456,t=2,p=1$")
    );

    let page = it.get("/v1/users?limit=1").await.body;
    assert_eq!(page, json!({ "users": [ann], "next_cursor": "ann" }));
    let page = it.get("/v1/users?limit=1&cursor=ann").await.body;
    assert_eq!(
        (&page["users"][0], &page["next_cursor"]),
        (&shown, &Value::Null)
    );

    let deleted = it.delete("/v1/users/ann").await;
    assert_eq!(
        (deleted.status, deleted.body),
        (StatusCode::NO_CONTENT, Value::Null)
    );
    it.delete("/v1/users/ann")
        .await
        .is_problem(404, "not_found");
    it.get("/v1/users/ann").await.is_problem(404, "not_found");
    it.stop().await;
}

#[tokio::test]
async fn bad_users_are_refused() {
    let it = Manager::start().await;
    it.post("/v1/users", json!({ "name": "ann", "password": "x" }))
        .await;
    it.post("/v1/users", json!({ "name": "ann", "password": "y" }))
        .await
        .is_problem(409, "user_exists");
    for body in [
        json!({}),
        json!([]),
        json!({ "name": "a-b" }),
        json!({ "name": "a:b" }),
        json!({ "name": "" }),
        json!({ "name": ".." }),
        json!({ "name": "x".repeat(65) }),
        json!({ "name": "bob", "password": "" }),
        json!({ "name": "bob", "password": "x".repeat(256) }),
        json!({ "name": "bob", "reply": "late" }),
        json!({ "name": "bob", "expires_at": -1 }),
        json!({ "name": "bob", "admin": true }),
    ] {
        let answer = it.post("/v1/users", body).await;
        answer.is_problem(400, "bad_request");
        assert!(answer.body["detail"].is_string());
    }
    let wrong = json!({ "name": "bob", "route": { "mode": "late" } });
    let answer = it.post("/v1/users", wrong).await;
    let detail = answer.body["detail"].as_str().unwrap();
    assert!(detail.starts_with("route.mode: "), "{detail}");
    for body in ["", "{", "\u{0}", "null", r#"{"name":"bob","name":"eve"}"#] {
        let answer = it
            .ask(Method::POST, "/v1/users", Some(&it.admin), body)
            .await;
        answer.is_problem(400, "bad_request");
    }
    let long = json!({ "name": "bob", "password": "x".repeat(140_000) });
    it.post("/v1/users", long)
        .await
        .is_problem(413, "too_large");
    for query in [
        "limit=0",
        "limit=1001",
        "limit=x",
        "page=2",
        &format!("cursor={}", "x".repeat(65)),
    ] {
        it.get(&format!("/v1/users?{query}"))
            .await
            .is_problem(400, "bad_request");
    }
    it.get("/v1/users/%ff").await.is_problem(404, "not_found");
    it.get("/v1/users/no%2Fone")
        .await
        .is_problem(404, "not_found");
    it.stop().await;
}

#[tokio::test]
async fn nodes_are_listed_by_pages() {
    let it = Manager::start().await;
    assert_eq!(
        it.get("/v1/nodes").await.body,
        json!({ "nodes": [], "next_cursor": null })
    );
    it.register("pop-1", 1).await;
    it.online("edge-1", "pop-1").await;
    it.online("edge-2", "pop-1").await;
    let page = it.get("/v1/nodes?limit=1").await.body;
    let edge = json!({
        "id": "edge-1", "pop": "pop-1", "ip": "203.0.113.9", "os": "linux", "version": "0.1",
        "online_since": 1_700_000_000, "rtt_ms": 12, "contested_at": null, "warning": null,
    });
    assert_eq!(page, json!({ "nodes": [edge], "next_cursor": "edge-1" }));
    let page = it.get("/v1/nodes?cursor=edge-1").await.body;
    assert_eq!(
        (&page["nodes"][0]["id"], &page["next_cursor"]),
        (&json!("edge-2"), &Value::Null)
    );
    it.get("/v1/nodes?limit=0")
        .await
        .is_problem(400, "bad_request");
    it.stop().await;
}

#[tokio::test]
async fn edges_are_sent_to_the_least_loaded_pop_with_a_token_for_it() {
    let it = Manager::start().await;
    it.enrol("nodeid=edge-1").await.is_problem(503, "no_pop");
    it.register("pop-1", 1).await;
    it.register("pop-2", 1).await;
    it.online("other", "pop-1").await;
    let answer = it.enrol("nodeid=edge-1&vendor=acme&version=0.1").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.body["pop_id"], "pop-2");
    assert_eq!(
        answer.body["server_url"],
        "wss://pop-2.example:41005/ws/node"
    );
    let verifier = Verifier::load(it.data.path()).unwrap();
    let token = answer.body["access_token"].as_str().unwrap();
    let claims = verifier.verify(token, world::now()).unwrap();
    assert_eq!((&*claims.node, &*claims.pop), ("edge-1", "pop-2"));
    assert_eq!(answer.body["expires_at"], claims.expires);
    assert_eq!(answer.body["expires_in"], claims.expires - claims.issued);
    let keys = KeyRing::read(&it.store).await.unwrap();
    let [key] = &keys.verifiers(world::now())[..] else {
        panic!("one key: {keys:?}");
    };
    assert!(key.verify(token, world::now()).is_ok());

    it.enrol("").await.is_problem(400, "bad_request");
    it.enrol("nodeid=a%20b")
        .await
        .is_problem(400, "bad_request");
    it.enrol(&format!("nodeid=n&vendor={}", "x".repeat(65)))
        .await
        .is_problem(400, "bad_request");
    for token in [None, Some("guess"), Some(it.admin.as_str())] {
        it.ask(Method::GET, "/node/pop?nodeid=n", token, "")
            .await
            .is_problem(401, "unauthorized");
    }
    it.ask(Method::POST, "/node/pop?nodeid=n", Some(&it.join), "")
        .await
        .is_problem(405, "method_not_allowed");
    it.stop().await;
}

#[tokio::test]
async fn the_default_pop_stands_in() {
    let it = Manager::start_with(tempfile::tempdir().unwrap(), |config| {
        let pop = |id: &str| StaticPop {
            id: id.to_owned(),
            url: format!("wss://{id}:1"),
        };
        config.pops = vec![pop("pop-1"), pop("pop-2")];
        config.default_pop = Some("pop-2".to_owned());
    })
    .await;
    let answer = it.enrol("nodeid=n").await.body;
    assert_eq!(answer["server_url"], "wss://pop-2:1/ws/node");
    it.register("pop-3", 1).await;
    assert_eq!(it.enrol("nodeid=n").await.body["pop_id"], "pop-3");
    it.stop().await;
}

#[tokio::test]
async fn tokens_and_users_outlive_a_restart() {
    let it = Manager::start().await;
    it.post("/v1/users", json!({ "name": "ann" })).await;
    let (admin, join) = (it.admin.clone(), it.join.clone());
    assert!(admin != join && admin.len() == 64);
    #[cfg(unix)]
    for file in [
        manager::ADMIN_TOKEN_FILE,
        manager::JOIN_SECRET_FILE,
        "node-token.key",
    ] {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = it
            .data
            .path()
            .join(file)
            .metadata()
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    let data = it.stop().await;
    let it = Manager::start_with(data, |_| {}).await;
    assert_eq!((&it.admin, &it.join), (&admin, &join));
    assert_eq!(it.get("/v1/users/ann").await.status, StatusCode::OK);
    it.stop().await;
}

#[tokio::test]
async fn tls_is_served_and_a_silent_client_delays_nobody() {
    let data = tempfile::tempdir().unwrap();
    let authority = Authority::load_or_create(data.path(), &[], world::now()).unwrap();
    let it = Manager::start_with(data, |config| {
        config.insecure = false;
        config.tls = Some(TlsFiles {
            cert: authority.cert.clone(),
            key: authority.key.clone(),
        });
    })
    .await;
    let mut silent = TcpStream::connect(it.address).await.unwrap();
    let ask = async |ca: &Path| {
        let connector = tokio_rustls::TlsConnector::from(client_config(Some(ca)).unwrap());
        let stream = TcpStream::connect(it.address).await.unwrap();
        let stream = connector
            .connect("127.0.0.1".try_into().unwrap(), stream)
            .await?;
        Ok::<_, std::io::Error>(
            request(stream, Method::GET, "/v1/users", Some(&it.admin), "").await,
        )
    };
    assert_eq!(ask(&authority.ca).await.unwrap().status, StatusCode::OK);
    let stranger = tempfile::tempdir().unwrap();
    let stranger = Authority::load_or_create(stranger.path(), &[], world::now()).unwrap();
    assert!(ask(&stranger.ca).await.is_err());
    let Manager { stop, task, .. } = it;
    stop.send(()).unwrap();
    task.await.unwrap().unwrap();
    // Stopping did not wait for the one who never said anything.
    assert_eq!(silent.read(&mut [0; 1]).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn a_request_under_way_is_finished_on_shutdown() {
    let it = Manager::start().await;
    let mut stream = TcpStream::connect(it.address).await.unwrap();
    let body = json!({ "name": "ann", "password": "x" }).to_string();
    let head = format!(
        "POST /v1/users HTTP/1.1\r\nHost: m\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n\
         Expect: 100-continue\r\n\r\n",
        it.admin,
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // The interim answer says that the handler waits for the body.
    let mut interim = [0; 25];
    stream.read_exact(&mut interim).await.unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    let Manager {
        stop,
        task,
        address,
        store,
        data,
        ..
    } = it;
    stop.send(()).unwrap();
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    stream.write_all(body.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    assert!(text.starts_with("HTTP/1.1 201"), "{text}");
    task.await.unwrap().unwrap();
    assert!(store.user("ann").await.unwrap().is_some());
    drop(data);
}

#[tokio::test]
async fn what_cannot_start_says_why() {
    let it = Manager::start().await;
    let data = tempfile::tempdir().unwrap();
    let store = Embedded::open(&Location::Memory, Mode::Inline).unwrap();
    let start = async |config: ManagerConfig| {
        let (ready, _) = oneshot::channel();
        let error = manager::run(
            LoopbackEnv,
            config,
            store.clone(),
            ready,
            core::future::pending(),
        )
        .await
        .unwrap_err();
        error.to_string()
    };
    let config = ManagerConfig {
        data: data.path().join("new"),
        ..ManagerConfig::default()
    };
    assert!(start(config.clone()).await.contains("insecure"));
    let config = ManagerConfig {
        insecure: true,
        ..config
    };
    let taken = ManagerConfig {
        listen: it.address,
        ..config.clone()
    };
    assert!(start(taken).await.contains(&it.address.to_string()));
    std::fs::write(data.path().join("new").join(manager::ADMIN_TOKEN_FILE), "").unwrap();
    assert!(start(config).await.contains(manager::ADMIN_TOKEN_FILE));
    it.stop().await;
}

//! The manager over loopback: every endpoint with success, bad input, missing rights and unknown
//! objects.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod world;

use bytes::Bytes;
use core::time::Duration;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Instant;
use tempfile::TempDir;
use titan_runtime::config::{ManagerConfig, StaticPop, TlsFiles};
use titan_runtime::env::tokio::TokioEnv;
use titan_runtime::manager::{self, ManagerError};
use titan_runtime::store::{Embedded, Gate, Gated, Location, META_NODE_TOKEN_KEY, Mode};
use titan_runtime::store::{NodeEntry, PopEntry, Store, StoreError};
use titan_runtime::tls::{Authority, client_config};
use titan_runtime::token::{Secret, Verifier};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use world::World;

struct Manager {
    data: TempDir,
    address: SocketAddr,
    store: Embedded,
    admin: String,
    join: String,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), ManagerError>>,
}

struct Answer {
    status: StatusCode,
    kind: String,
    location: Option<String>,
    body: Value,
}

impl Manager {
    async fn start() -> Self {
        Self::start_with(tempfile::tempdir().unwrap(), |_| {}).await
    }

    async fn start_with(data: TempDir, change: impl FnOnce(&mut ManagerConfig)) -> Self {
        let mut config = ManagerConfig {
            data: data.path().to_owned(),
            listen: ([127, 0, 0, 1], 0).into(),
            insecure: true,
            ..ManagerConfig::default()
        };
        change(&mut config);
        let location = Location::Data(data.path().to_owned());
        let store = Embedded::open(&location, Mode::Thread).unwrap();
        let (ready, address) = oneshot::channel();
        let (stop, stopped) = oneshot::channel();
        let shutdown = async move {
            let _ = stopped.await;
        };
        let running = manager::run(World, config, store.clone(), ready, shutdown);
        let task = tokio::spawn(running);
        let address = address.await.unwrap();
        let secret = |file| {
            Secret::load(&data.path().join(file))
                .unwrap()
                .expose()
                .to_owned()
        };
        let admin = secret(manager::ADMIN_TOKEN_FILE);
        let join = secret(manager::JOIN_SECRET_FILE);
        Self {
            data,
            address,
            store,
            admin,
            join,
            stop,
            task,
        }
    }

    async fn stop(self) -> TempDir {
        self.stop.send(()).unwrap();
        self.task.await.unwrap().unwrap();
        self.data
    }

    async fn ask(&self, method: Method, path: &str, token: Option<&str>, body: &str) -> Answer {
        let stream = TcpStream::connect(self.address).await.unwrap();
        request(stream, method, path, token, body).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, Some(&self.admin), "").await
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        self.ask(Method::POST, path, Some(&self.admin), &body.to_string())
            .await
    }

    async fn delete(&self, path: &str) -> Answer {
        self.ask(Method::DELETE, path, Some(&self.admin), "").await
    }

    async fn enrol(&self, query: &str) -> Answer {
        let path = format!("/node/pop?{query}");
        self.ask(Method::GET, &path, Some(&self.join), "").await
    }

    async fn register(&self, pop: &str, incarnation: u64) {
        let entry = PopEntry {
            id: pop.to_owned(),
            incarnation,
            url: format!("wss://{pop}.example:41005"),
            info: String::new(),
        };
        let now = world::now();
        self.store.pop_alive(entry, now, now + 60).await.unwrap();
    }

    async fn online(&self, node: &str, pop: &str) {
        let node = NodeEntry {
            id: node.to_owned(),
            pop: pop.to_owned(),
            generation: 1,
            ip: "203.0.113.9".parse().unwrap(),
            os: "linux".to_owned(),
            version: "0.1".to_owned(),
            online_since: 1_700_000_000,
            rtt_ms: Some(12),
        };
        self.store.node_online(node).await.unwrap();
    }
}

impl Answer {
    #[track_caller]
    fn is_problem(&self, status: u16, code: &str) {
        assert_eq!(
            (self.status.as_u16(), &self.body["code"]),
            (status, &json!(code)),
            "{self:?}"
        );
        assert_eq!(self.kind, "application/problem+json");
        assert_eq!(self.body["status"], status);
        assert_eq!(self.body["type"], format!("urn:titan:problem:{code}"));
        assert!(self.body["title"].is_string());
    }
}

impl core::fmt::Debug for Answer {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} {} {}", self.status, self.kind, self.body)
    }
}

async fn request<T: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: T,
    method: Method,
    path: &str,
    token: Option<&str>,
    body: &str,
) -> Answer {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    let connection = tokio::spawn(connection);
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "manager");
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    let request = request
        .body(Full::new(Bytes::copy_from_slice(body.as_bytes())))
        .unwrap();
    let response = sender.send_request(request).await.unwrap();
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let text = |name| {
        head.headers
            .get(name)
            .map(|value| value.to_str().unwrap().to_owned())
    };
    drop(sender);
    let answer = Answer {
        status: head.status,
        kind: text(header::CONTENT_TYPE).unwrap_or_default(),
        location: text(header::LOCATION),
        body: if body.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&body).unwrap()
        },
    };
    // A body that was refused may still be on its way, which ends the connection.
    let _ = connection.await.unwrap();
    answer
}

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
async fn wrong_tokens_slow_an_address_down() {
    let it = Manager::start().await;
    let wrong = "f".repeat(64);
    for _ in 0..11 {
        it.ask(Method::GET, "/v1/users", Some(&wrong), "")
            .await
            .is_problem(401, "unauthorized");
    }
    let before = Instant::now();
    assert_eq!(it.get("/v1/users").await.status, StatusCode::OK);
    assert!(before.elapsed() >= Duration::from_millis(250));
    // The other token's failures are its own.
    assert_eq!(
        it.enrol("nodeid=n").await.status,
        StatusCode::SERVICE_UNAVAILABLE
    );
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
    let ann = json!({
        "name": "ann", "enabled": true, "created_at": created, "expires_at": null, "reply": "fast",
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
    for body in ["", "{", "\u{0}", "null"] {
        let answer = it
            .ask(Method::POST, "/v1/users", Some(&it.admin), body)
            .await;
        answer.is_problem(400, "bad_request");
    }
    let long = json!({ "name": "bob", "password": "x".repeat(70_000) });
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
async fn paths_of_older_scripts_work() {
    let it = Manager::start().await;
    let creation = json!({ "user_name": "ann", "password": "x", "pop_id": "pop-1" });
    let ann = json!({ "user_name": "ann", "pop_id": "", "off": false });
    let answer = it.post("/user/create", creation.clone()).await;
    assert_eq!((answer.status, answer.body), (StatusCode::OK, ann.clone()));
    it.post("/user/create", creation)
        .await
        .is_problem(409, "user_exists");
    let limited = json!({ "user_name": "bob", "password": "x", "upload_rate_limit": 1 });
    it.post("/user/create", limited)
        .await
        .is_problem(400, "bad_request");
    assert_eq!(it.get("/user/get?username=ann").await.body, ann);
    it.get("/user/get?username=bob")
        .await
        .is_problem(404, "not_found");
    it.get("/user/get").await.is_problem(400, "bad_request");
    let outcome = it
        .post("/user/delete", json!({ "user_name": "ann" }))
        .await
        .body;
    assert_eq!(outcome, json!({ "success": true, "err_msg": "" }));
    it.post("/user/delete", json!({ "user_name": "ann" }))
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
        "online_since": 1_700_000_000, "rtt_ms": 12,
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
    let key = it.store.meta(META_NODE_TOKEN_KEY).await.unwrap().unwrap();
    assert!(
        Verifier::new(&key)
            .unwrap()
            .verify(token, world::now())
            .is_ok()
    );

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
async fn pops_are_listed_and_sent_away() {
    let it = Manager::start().await;
    assert_eq!(it.get("/v1/pops").await.body, json!({ "pops": [] }));
    it.register("pop-1", 7).await;
    it.register("pop-2", 1).await;
    it.online("edge-1", "pop-2").await;
    let pops = it.get("/v1/pops").await.body["pops"].take();
    let lease = pops[1]["lease_until"].as_u64().unwrap();
    assert!((world::now()..=world::now() + 60).contains(&lease));
    let mut second = json!({
        "id": "pop-2", "url": "wss://pop-2.example:41005", "node_count": 1,
        "lease_until": lease, "draining": false,
    });
    assert_eq!((&pops[0]["id"], &pops[1]), (&json!("pop-1"), &second));

    let answer = it.post("/v1/pops/pop-2/drain", Value::Null).await;
    second["draining"] = json!(true);
    assert_eq!((answer.status, answer.body), (StatusCode::ACCEPTED, second));
    let drains: Vec<_> = it.store.pops(world::now()).await.unwrap();
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

/// A store that is away until it is let in.
#[derive(Clone)]
struct Away {
    back: watch::Sender<bool>,
    attempts: watch::Sender<u32>,
}

impl Gate for Away {
    async fn before(&self, _: &'static str) -> Result<(), StoreError> {
        self.attempts.send_modify(|attempts| *attempts += 1);
        core::future::ready(()).await;
        if *self.back.borrow() {
            return Ok(());
        }
        Err(StoreError::Unavailable("away".to_owned()))
    }

    async fn after(&self, _: &'static str) -> Result<(), StoreError> {
        core::future::ready(Ok(())).await
    }
}

#[tokio::test]
async fn it_waits_for_a_store_that_is_away() {
    let data = tempfile::tempdir().unwrap();
    let config = ManagerConfig {
        data: data.path().to_owned(),
        listen: ([127, 0, 0, 1], 0).into(),
        insecure: true,
        ..ManagerConfig::default()
    };
    let gate = Away {
        back: watch::Sender::new(false),
        attempts: watch::Sender::new(0),
    };
    let store = Gated {
        store: Embedded::open(&Location::Memory, Mode::Inline).unwrap(),
        gate: gate.clone(),
    };
    let start = |shutdown| {
        let (ready, address) = oneshot::channel();
        let running = manager::run(
            TokioEnv::new(),
            config.clone(),
            store.clone(),
            ready,
            shutdown,
        );
        (tokio::spawn(running), address)
    };
    let stop = || {
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async move {
            let _ = stopped.await;
        };
        (stop, shutdown)
    };
    let tried = async |times| {
        let mut attempts = gate.attempts.subscribe();
        attempts
            .wait_for(|attempts| *attempts >= times)
            .await
            .unwrap();
    };
    // It can be stopped while it waits.
    let (stopping, shutdown) = stop();
    let (task, address) = start(shutdown);
    tried(1).await;
    stopping.send(()).unwrap();
    task.await.unwrap().unwrap();
    assert!(address.await.is_err());

    let (stopping, shutdown) = stop();
    let (task, address) = start(shutdown);
    tried(3).await;
    gate.back.send_replace(true);
    address.await.unwrap();
    assert!(store.meta(META_NODE_TOKEN_KEY).await.unwrap().is_some());
    stopping.send(()).unwrap();
    task.await.unwrap().unwrap();
}

#[tokio::test]
async fn what_cannot_start_says_why() {
    let it = Manager::start().await;
    let data = tempfile::tempdir().unwrap();
    let store = Embedded::open(&Location::Memory, Mode::Inline).unwrap();
    let start = async |config: ManagerConfig| {
        let (ready, _) = oneshot::channel();
        let error = manager::run(World, config, store.clone(), ready, async {})
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

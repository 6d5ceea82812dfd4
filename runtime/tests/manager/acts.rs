//! Tokens, the audit log, and whose address a client has.

use crate::command::titan;
use crate::harness::{Answer, Manager, request};
use crate::world;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use titan_kit::redis_server::{Fsync, RedisServer};
use titan_runtime::store::{AuditHead, AuditLog as _, NewUser, Redis, Store, Users as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

impl Manager {
    /// How many acts are recorded.
    pub(crate) async fn store_head(&self) -> u64 {
        self.store.audit_head().await.unwrap().seq
    }

    pub(crate) async fn store_user(&self, name: &str) -> Option<()> {
        self.store.user(name).await.unwrap().map(|_| ())
    }

    async fn patch(&self, path: &str, body: Value) -> Answer {
        let body = body.to_string();
        self.ask(Method::PATCH, path, Some(&self.admin), &body)
            .await
    }
}

#[tokio::test]
async fn tokens_are_shown_once_and_kept_hashed_until_revoked() {
    let it = Manager::start().await;
    let (id, token) = it.token("operator").await;
    assert!(token.starts_with("titan_") && token.len() == 70);
    let listed = it.get("/v1/tokens").await.body;
    assert!(!listed.to_string().contains(&token), "{listed}");
    assert_eq!(listed["tokens"][0]["created_by"], "admin.token");
    let whoami = it
        .ask(Method::GET, "/v1/whoami", Some(&token), "")
        .await
        .body;
    assert_eq!(
        whoami,
        json!({ "id": id, "role": "operator", "source": "127.0.0.1" })
    );
    for file in std::fs::read_dir(it.data.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        let found = bytes
            .windows(token.len())
            .any(|window| window == token.as_bytes());
        assert!(!found, "the token itself is in the data directory");
    }
    let revoked = it.delete(&format!("/v1/tokens/{id}")).await;
    assert!(revoked.body["revoked_at"].is_u64());
    it.ask(Method::GET, "/v1/whoami", Some(&token), "")
        .await
        .is_problem(401, "unauthorized");
    // The last way in cannot be closed from outside.
    it.delete("/v1/tokens/admin.token")
        .await
        .is_problem(400, "bad_request");
    assert_eq!(it.get("/v1/whoami").await.body["id"], "admin.token");
    it.stop().await;
}

#[tokio::test]
async fn tokens_expire() {
    let it = Manager::start().await;
    let past = json!({ "name": "x", "role": "admin", "expires_at": world::now() - 1 });
    it.post("/v1/tokens", past)
        .await
        .is_problem(409, "conflict");
    let soon = json!({ "name": "x", "role": "admin", "expires_at": world::now() + 2 });
    let token = it.post("/v1/tokens", soon).await.body["token"]
        .as_str()
        .unwrap()
        .to_owned();
    let whoami = || it.ask(Method::GET, "/v1/whoami", Some(&token), "");
    assert_eq!(whoami().await.status, StatusCode::OK);
    let expired = world::now() + 2;
    loop {
        let late = world::now() > expired + 1;
        let answer = whoami().await;
        if answer.status != StatusCode::OK {
            answer.is_problem(401, "unauthorized");
            break;
        }
        assert!(!late, "it is still good");
        tokio::task::yield_now().await;
    }
    it.stop().await;
}

#[tokio::test]
async fn acts_are_recorded_before_and_after_without_secrets() {
    let it = Manager::start().await;
    it.user("ann").await;
    it.post("/v1/users", json!({ "name": "bob", "password": "hunter2" }))
        .await;
    it.patch(
        "/v1/users/ann",
        json!({ "traffic_limit": 5, "password": "hunter2" }),
    )
    .await;
    it.patch("/v1/users/carol", json!({ "traffic_limit": 5 }))
        .await;
    it.get("/v1/users").await;
    let (_, reader) = it.token("read-only").await;
    it.ask(Method::DELETE, "/v1/users/ann", Some(&reader), "")
        .await;
    let page = it.get("/v1/audit").await.body;
    assert!(!page.to_string().contains("hunter2"), "{page}");
    let acts: Vec<_> = page["records"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            assert_eq!(one["source"], "127.0.0.1");
            let text = |name: &str| one[name].as_str().unwrap();
            (text("action"), text("subject"), text("outcome"))
        })
        .collect();
    assert_eq!(
        acts,
        [
            ("user.create", "bob", "begun"),
            ("user.create", "bob", "ok"),
            ("user.modify", "ann", "begun"),
            ("user.modify", "ann", "ok"),
            ("user.modify", "carol", "begun"),
            ("user.modify", "carol", "not_found"),
            ("token.create", "read-only", "begun"),
            ("token.create", "read-only", "ok"),
            ("user.delete", "/v1/users/ann", "forbidden_role"),
        ]
    );
    let first: Value =
        serde_json::from_str(page["records"][2]["detail"].as_str().unwrap()).unwrap();
    assert_eq!(
        first["request"],
        json!({ "traffic_limit": 5, "password": "…" })
    );
    // The chain holds, and its end is what the manager says.
    let mut head = AuditHead::EMPTY;
    head.verify(&it.store.audit(0, 100).await.unwrap()).unwrap();
    let told = it.get("/v1/audit/head").await.body;
    assert_eq!(told["seq"], head.seq);
    assert_eq!(told["hash"], page["records"][8]["hash"]);
    let rest = it.get("/v1/audit?after=7&limit=1").await.body;
    assert_eq!(
        (&rest["records"][0]["seq"], &rest["next_after"]),
        (&json!(8), &json!(8))
    );
    it.stop().await;
}

#[tokio::test]
async fn a_body_without_names_is_refused_and_leaves_no_secret() {
    let it = Manager::start().await;
    it.user("ann").await;
    let password = it.admin.clone();
    for (method, path, body) in [
        (Method::POST, "/v1/users", json!(["bob", password])),
        (Method::PUT, "/v1/users/ann/password", json!([password])),
        (Method::POST, "/user/create", json!(["bob", password])),
        (
            Method::POST,
            "/user/password/modify",
            json!(["ann", password]),
        ),
    ] {
        let body = body.to_string();
        it.ask(method, path, Some(&it.admin), &body)
            .await
            .is_problem(400, "bad_request");
    }
    assert_eq!(it.store_head().await, 0);
    it.stop().await;
}

#[tokio::test]
async fn a_long_request_is_recorded_by_its_hash_and_no_password_by_its_name() {
    let it = Manager::start().await;
    let nodes: Vec<_> = (0..1_000).map(|index| format!("node-{index}")).collect();
    let body = json!({ "nodes": nodes });
    assert_eq!(
        it.post("/v1/blacklist", body.clone()).await.status,
        StatusCode::OK
    );
    let older = json!({
        "user_name": "ann", "password": "hunter2", "Old_Password": "hunter2",
        "route": { "mode": 1, "passwords": ["hunter2"] },
    });
    it.post("/user/create", older).await;
    let records = it.get("/v1/audit").await.body["records"].clone();
    let detail = |index: usize| -> Value {
        serde_json::from_str(records[index]["detail"].as_str().unwrap()).unwrap()
    };
    let text = body.to_string();
    let hash: String = Sha256::digest(&text)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(
        detail(0)["request"],
        json!({ "bytes": text.len(), "sha256": hash })
    );
    assert_eq!(detail(2)["request"]["user_name"], "ann");
    assert!(!records.to_string().contains("hunter2"), "{records}");
    it.stop().await;
}

#[tokio::test]
async fn a_token_that_is_refused_again_and_again_does_not_fill_the_record() {
    let it = Manager::start().await;
    let (id, reader) = it.token("read-only").await;
    let before = it.store_head().await;
    for _ in 0..45 {
        it.ask(Method::DELETE, "/v1/users/ann", Some(&reader), "")
            .await
            .is_problem(403, "forbidden_role");
    }
    it.ask(Method::DELETE, "/v1/blacklist/nodes/x", Some(&reader), "")
        .await
        .is_problem(403, "forbidden_role");
    let records = it.get(&format!("/v1/audit?after={before}")).await.body;
    let told: Vec<_> = records["records"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            assert_eq!(
                (&one["actor"], &one["outcome"]),
                (&json!(id), &json!("forbidden_role"))
            );
            let detail: Value = serde_json::from_str(one["detail"].as_str().unwrap()).unwrap();
            (
                one["action"].as_str().unwrap(),
                detail["refused"].as_u64().unwrap(),
            )
        })
        .collect();
    let counts = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 20, 40];
    let mut expected: Vec<_> = counts.map(|count| ("user.delete", count)).into();
    expected.push(("blacklist.remove_node", 1));
    assert_eq!(told, expected);
    it.stop().await;
}

/// Asks who is asking, with more headers.
async fn seen_as(it: &Manager, headers: &str) -> String {
    let mut stream = TcpStream::connect(it.address).await.unwrap();
    let request = format!(
        "GET /v1/whoami HTTP/1.1\r\nHost: m\r\nAuthorization: Bearer {}\r\n{headers}\
         Connection: close\r\n\r\n",
        it.admin
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let body = text.split_once("\r\n\r\n").unwrap().1;
    let body: Value = serde_json::from_str(body).unwrap();
    body["source"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn only_a_trusted_proxy_is_believed_about_an_address() {
    let forged =
        "X-Forwarded-For: 198.51.100.4\r\nForwarded: for=198.51.100.5\r\nX-Real-IP: 1.2.3.4\r\n";
    let it = Manager::start().await;
    assert_eq!(seen_as(&it, forged).await, "127.0.0.1");
    it.stop().await;
    let it = Manager::start_with(tempfile::tempdir().unwrap(), |config| {
        config.trusted_proxies = vec!["127.0.0.0/8".to_owned()];
    })
    .await;
    assert_eq!(seen_as(&it, forged).await, "198.51.100.4");
    let chain = "X-Forwarded-For: 9.9.9.9, 198.51.100.4\r\nX-Forwarded-For: 127.0.0.2\r\n";
    assert_eq!(seen_as(&it, chain).await, "198.51.100.4");
    it.stop().await;
}

/// How many users are changed at once, and how often each.
const CHANGED: u64 = 50;
const CHANGES: u64 = 10;

/// Changes users at once: all is made, answered and recorded.
async fn change_at_once(it: &Manager, store: &impl Store) {
    for index in 0..CHANGED {
        let user = NewUser::new(format!("u{index}"), "$".to_owned(), world::now());
        store.create_user(user).await.unwrap();
    }
    let before = store.audit_head().await.unwrap().seq;
    let mut tasks = JoinSet::new();
    for index in 0..CHANGED * CHANGES {
        let (address, admin) = (it.address, it.admin.clone());
        let path = format!("/v1/users/u{}", index % CHANGED);
        let body = json!({ "upload_rate": 10_000 + index }).to_string();
        tasks.spawn(async move {
            let stream = TcpStream::connect(address).await.unwrap();
            request(stream, Method::PATCH, &path, Some(&admin), &body).await
        });
    }
    let mut answered = Vec::new();
    while let Some(answer) = tasks.join_next().await {
        let answer = answer.unwrap();
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        answered.push(answer.body["upload_rate"].as_u64().unwrap());
    }
    // Each answer is what that change made of the user.
    answered.sort_unstable();
    assert!(answered.into_iter().eq(10_000..10_000 + CHANGED * CHANGES));
    let recorded = store.audit_head().await.unwrap().seq - before;
    // That it is tried, and how that went.
    assert_eq!(recorded, 2 * CHANGED * CHANGES);
    titan(it, "audit verify").await.unwrap();
}

#[tokio::test]
async fn changes_at_once_are_all_made_and_recorded_by_the_embedded_store() {
    let it = Manager::start().await;
    change_at_once(&it, &it.store).await;
    it.stop().await;
}

#[tokio::test]
async fn changes_at_once_are_all_made_and_recorded_by_redis() {
    let server = RedisServer::start(Fsync::EverySecond);
    let store = Redis::new(&server.url(0)).unwrap();
    let own = store.clone();
    let it = Manager::start_on(tempfile::tempdir().unwrap(), |_| {}, |_| own).await;
    change_at_once(&it, &store).await;
    it.stop().await;
}

//! How a server is reached: with a user, by TLS, by sentinels.

use super::{PATIENCE, command};
use crate::store::contract::user;
use crate::store::{Redis, StoreError, Users as _};
use crate::tls::Authority;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use titan_kit::redis_server::{Fsync, RedisServer};

#[tokio::test]
async fn a_user_of_an_access_list_needs_its_password() {
    let server = RedisServer::start(Fsync::EverySecond);
    let rules = [
        "on",
        ">p#a/s@s",
        "~titan:*",
        "+@all",
        "-@dangerous",
        "+info",
        "+role",
    ];
    let set = [&["ACL", "SETUSER", "titan"][..], &rules].concat();
    let _: String = command(&server.url(0), &set).await;
    let socket = server.socket();
    let address = |word: &str| format!("redis+unix://{}?user=titan&pass={word}", socket.display());
    let store = Redis::new(&address("p%23a%2Fs%40s")).unwrap();
    store.create_user(user("ann")).await.unwrap();
    let wrong = Redis::new(&address("wrong")).unwrap();
    let error = wrong.user("ann").await.unwrap_err().to_string();
    assert!(
        error.contains("refuses the user or the password"),
        "{error}"
    );
    let _: String = command(&server.url(0), &["ACL", "SETUSER", "titan", "-evalsha"]).await;
    let error = store.user("ann").await.unwrap_err().to_string();
    assert!(error.contains("access list"), "{error}");
}

#[tokio::test]
async fn by_tls_only_the_right_authority_is_trusted() {
    let directory = tempfile::tempdir().unwrap();
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let authority = Authority::load_or_create(directory.path(), &[], now).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let other = Authority::load_or_create(elsewhere.path(), &[], now).unwrap();
    let port = RedisServer::free_port();
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let (cert, key, ca) = (
        text(&authority.cert),
        text(&authority.key),
        text(&authority.ca),
    );
    let _server = RedisServer::start_with(
        Fsync::EverySecond,
        &[
            "--port",
            "0",
            "--tls-port",
            &port.to_string(),
            "--tls-cert-file",
            &cert,
            "--tls-key-file",
            &key,
            "--tls-ca-cert-file",
            &ca,
            "--tls-auth-clients",
            "no",
        ],
    );
    let store = Redis::new(&format!("rediss://localhost:{port}/0?ca={ca}")).unwrap();
    store.create_user(user("ann")).await.unwrap();
    let wrong = format!("rediss://localhost:{port}/0?ca={}", text(&other.ca));
    let error = Redis::new(&wrong).unwrap().user("ann").await.unwrap_err();
    assert!(error.to_string().contains("certificate"), "{error}");
    let error = Redis::new("rediss://localhost/0?ca=/does/not/exist.pem").unwrap_err();
    assert!(error.to_string().contains("/does/not/exist.pem"), "{error}");
}

/// A sentinel of a test's own, killed when dropped.
struct Sentinel(Child);

impl Sentinel {
    fn watch(directory: &Path, port: u16, primary: u16) -> Self {
        let file = directory.join("sentinel.conf");
        let text = format!(
            "port {port}\nbind 127.0.0.1\nsentinel monitor titan 127.0.0.1 {primary} 1\n\
             sentinel down-after-milliseconds titan 500\nsentinel failover-timeout titan 2000\n"
        );
        std::fs::write(&file, text).unwrap();
        let process = Command::new("redis-server")
            .args([file.to_str().unwrap(), "--sentinel"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self(process.unwrap())
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Longer than a sentinel takes to see that a primary is dead and to have a replica take over.
const FAILOVER: u32 = 10;

#[tokio::test]
async fn sentinels_lead_to_the_primary_and_to_the_next_one() {
    let directory = tempfile::tempdir().unwrap();
    let [first, second, third, nobody] = [(); 4].map(|()| RedisServer::free_port());
    let start = |port: u16| {
        let port = port.to_string();
        RedisServer::start_with(
            Fsync::Always,
            &["--port", &port, "--repl-diskless-sync-delay", "0"],
        )
    };
    let (mut primary, replica) = (start(first), start(second));
    let follow = ["REPLICAOF", "127.0.0.1", &first.to_string()];
    let _: String = command(&replica.url(0), &follow).await;
    let online = async || -> String { command(&primary.url(0), &["INFO", "replication"]).await };
    while !online().await.contains("state=online") {
        tokio::task::yield_now().await;
    }
    let _sentinel = Sentinel::watch(directory.path(), third, first);
    let url = format!("redis+sentinel://127.0.0.1:{nobody},127.0.0.1:{third}/titan/0");
    let store = Redis::new(&url).unwrap();
    let started = Instant::now();
    let patience = PATIENCE * FAILOVER;
    let create = async |name: &str| loop {
        match store.create_user(user(name)).await {
            Ok(_) | Err(StoreError::Exists) => break,
            Err(error) => assert!(started.elapsed() < patience, "{error}"),
        }
        tokio::task::yield_now().await;
    };
    create("ann").await;
    // The sentinel has to have heard of the replica before the primary dies.
    let known = async || -> String {
        command(&format!("redis://127.0.0.1:{third}"), &["INFO", "sentinel"]).await
    };
    while !known().await.contains("slaves=1") {
        assert!(started.elapsed() < patience);
        tokio::task::yield_now().await;
    }
    primary.kill();
    create("bob").await;
    let found: u64 = command(
        &replica.url(0),
        &["EXISTS", "titan:user:ann", "titan:user:bob"],
    )
    .await;
    assert_eq!(found, 2);
    let unknown = format!("redis+sentinel://127.0.0.1:{third}/other");
    let error = Redis::new(&unknown).unwrap().user("ann").await.unwrap_err();
    assert!(error.to_string().contains("no service `other`"), "{error}");
}

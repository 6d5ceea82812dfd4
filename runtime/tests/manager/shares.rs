//! What one address may take of a manager.

use crate::harness::Manager;
use core::time::Duration;
use http::{Method, StatusCode};
use std::net::{Ipv4Addr, SocketAddr};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout};

/// Connects from an address of this host.
async fn from(last: u8, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    let local = Ipv4Addr::new(127, 0, 0, last);
    socket.bind(SocketAddr::new(local.into(), 0)).unwrap();
    socket.connect(to).await.unwrap()
}

#[tokio::test]
async fn connections_that_say_nothing_keep_nobody_out() {
    let it = Manager::start_with(tempfile::tempdir().unwrap(), |config| {
        config.connections_max = 16;
    })
    .await;
    let mut silent = Vec::new();
    for last in [1, 1, 1, 66] {
        for _ in 0..16 {
            silent.push(from(last, it.address).await);
        }
        // From their address, too.
        let health = it.ask(Method::GET, "/healthz", None, "");
        let health = timeout(Duration::from_secs(5), health).await;
        assert_eq!(health.expect("it is answered").status, StatusCode::OK);
    }
    drop(silent);
    it.stop().await;
}

#[tokio::test]
async fn wrong_tokens_do_not_slow_right_ones() {
    let it = Manager::start().await;
    for _ in 0..11 {
        let guess = it.ask(Method::GET, "/v1/users", Some("guess"), "").await;
        guess.is_problem(401, "unauthorized");
        let guess = it
            .ask(Method::GET, "/node/pop?nodeid=n", Some("guess"), "")
            .await;
        guess.is_problem(401, "unauthorized");
    }
    // The next wrong one waits for half a second and more; these do not.
    let begun = Instant::now();
    assert_eq!(it.get("/v1/users").await.status, StatusCode::OK);
    it.enrol("nodeid=n").await.is_problem(503, "no_pop");
    let right = begun.elapsed();
    let guess = it.ask(Method::GET, "/v1/users", Some("guess"), "").await;
    guess.is_problem(401, "unauthorized");
    let wrong = begun.elapsed() - right;
    assert!(
        right < wrong,
        "right ones took {right:?}, a wrong one {wrong:?}"
    );
    it.stop().await;
}

//! Connections: how often they are tried, and by whom.

use super::PATIENCE;
use crate::store::contract::user;
use crate::store::{Redis, Users as _};
use core::time::Duration;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use titan_kit::redis_server::{Fsync, RedisServer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// A server that says the same to whatever it is asked, and counts connections.
async fn server_that_says(answer: &'static [u8]) -> (String, Arc<AtomicUsize>, JoinSet<()>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut clients = JoinSet::new();
        while let Ok((mut client, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::Relaxed);
            clients.spawn(async move {
                let mut asked = [0; 4096];
                while client.read(&mut asked).await.is_ok_and(|len| len > 0) {
                    // As many answers as it may wait for, and more.
                    if client.write_all(&answer.repeat(8)).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    (url, count, tasks)
}

#[tokio::test]
async fn many_who_wait_for_a_server_that_loads_connect_four_times_a_second() {
    let (url, count, _tasks) = server_that_says(b"-LOADING Redis is loading\r\n").await;
    let store = Redis::new(&url).unwrap();
    let started = Instant::now();
    let mut asking = JoinSet::new();
    for _ in 0..100 {
        let store = store.clone();
        asking.spawn(async move { store.user("ann").await.unwrap_err().to_string() });
    }
    while let Some(error) = asking.join_next().await {
        let error = error.unwrap();
        assert!(error.contains("LOADING"), "{error}");
    }
    let took = started.elapsed();
    assert!(took < PATIENCE, "{took:?}");
    let allowed = took.as_millis() / 250 + 1;
    let count = count.load(Ordering::Relaxed);
    // It was waited for, not given up at once.
    assert!(count > 2 && count as u128 <= allowed, "{count} in {took:?}");
}

/// Whoever gives up sooner than connecting takes must not begin it again and again.
#[tokio::test]
async fn callers_in_a_hurry_do_not_keep_a_slow_server_away() {
    let port = RedisServer::free_port();
    let _server = RedisServer::start_with(Fsync::EverySecond, &["--port", &port.to_string()]);
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    let relay = tokio::spawn(async move {
        let mut clients = JoinSet::new();
        while let Ok((mut client, _)) = listener.accept().await {
            clients.spawn(async move {
                sleep(Duration::from_millis(600)).await;
                let server = TcpStream::connect(("127.0.0.1", port)).await;
                // Either end may break off.
                let _ = copy_bidirectional(&mut client, &mut server.unwrap()).await;
            });
        }
    });
    let store = Redis::new(&url).unwrap();
    let started = Instant::now();
    while !matches!(
        timeout(Duration::from_millis(200), store.user("ann")).await,
        Ok(Ok(None))
    ) {
        assert!(started.elapsed() < PATIENCE, "nobody ever gets through");
    }
    store.create_user(user("ann")).await.unwrap();
    relay.abort();
}

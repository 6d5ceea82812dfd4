//! Edges whose world fails.

use super::*;
use crate::daemon::Stop;
use crate::env::tokio::{TcpListener, TcpStream, TokioEnv};
use crate::token::Secret;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::io;
use std::net::{IpAddr, SocketAddr};
use titan_core::time::Instant;
use tokio::sync::watch;
use tokio::task::LocalSet;
use tokio::time::timeout;

/// A world in which something panics.
#[derive(Clone)]
struct Failing {
    env: TokioEnv,
    fails: Fails,
}

#[derive(Clone)]
enum Fails {
    /// The first wait for a point in time after a connection was refused, which is that of the clock for the
    /// next attempt.
    Time(Arc<AtomicBool>),
    /// The second seed, which is that of the second edge.
    Seed(Arc<AtomicUsize>),
}

impl Env for Failing {
    type Stream = TcpStream;
    type Listener = TcpListener;

    fn now(&self) -> Instant {
        self.env.now()
    }

    fn unix_time(&self) -> Duration {
        self.env.unix_time()
    }

    async fn sleep_until(&self, at: Instant) {
        if let Fails::Time(ends) = &self.fails {
            let ends = ends.swap(false, Ordering::Relaxed);
            assert!(!ends, "on purpose: no time");
        }
        self.env.sleep_until(at).await;
    }

    async fn listen(&self, at: SocketAddr) -> io::Result<TcpListener> {
        self.env.listen(at).await
    }

    async fn connect(&self, to: SocketAddr) -> io::Result<TcpStream> {
        let connected = self.env.connect(to).await;
        if let Fails::Time(ends) = &self.fails {
            ends.store(connected.is_err(), Ordering::Relaxed);
        }
        connected
    }

    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        self.env.resolve(name).await
    }

    async fn work<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        self.env.work(job).await
    }

    fn seed(&self) -> [u8; 32] {
        if let Fails::Seed(given) = &self.fails {
            let given = given.fetch_add(1, Ordering::Relaxed);
            assert_ne!(given, 1, "on purpose: no seed");
        }
        self.env.seed()
    }
}

fn config() -> EdgeConfig {
    EdgeConfig {
        node_id: "edge".to_owned(),
        manager: "http://127.0.0.1:1".to_owned(),
        join: Some(Secret::new("s".to_owned())),
        insecure: true,
        ..EdgeConfig::default()
    }
}

#[tokio::test]
async fn an_edge_without_its_clock_ends_with_an_error() {
    let (attached, _) = mpsc::channel(1);
    let (_, census) = mpsc::channel(1);
    let (_stop, stopping) = watch::channel(Stop::No);
    let env = Failing {
        env: TokioEnv::new(),
        fails: Fails::Time(Arc::default()),
    };
    let local = LocalSet::new();
    let running = local.run_until(async move {
        tokio::task::spawn_local(run(env, config(), None, attached, census, stopping)).await
    });
    let ended = running.await;
    assert!(
        matches!(ended, Ok(Err(EdgeError::Task("the clock")))),
        "{ended:?}"
    );
}

#[tokio::test]
async fn edges_of_which_one_panics_end_with_an_error() {
    let config = EdgeConfig {
        copies: 2,
        ..config()
    };
    let (attached, _) = mpsc::channel(1);
    let (_stop, stopping) = watch::channel(Stop::No);
    let env = Failing {
        env: TokioEnv::new(),
        fails: Fails::Seed(Arc::default()),
    };
    let local = LocalSet::new();
    let running = local.run_until(run_copies(env, config, None, attached, stopping));
    let ended = timeout(Duration::from_secs(20), running).await;
    assert!(matches!(ended, Ok(Err(EdgeError::Panicked))), "{ended:?}");
}

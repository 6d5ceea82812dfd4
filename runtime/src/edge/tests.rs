//! Edges whose world fails.

use super::*;
use crate::daemon::Stop;
use crate::env::tokio::{TcpListener, TcpStream, TokioEnv};
use crate::token::Secret;
use core::sync::atomic::{AtomicBool, Ordering};
use std::io;
use std::net::{IpAddr, SocketAddr};
use titan_core::time::Instant;
use tokio::sync::watch;
use tokio::task::LocalSet;

/// A world in which one wait for a point in time panics: the first one after a connection was refused,
/// which is that of the clock for the next attempt.
#[derive(Clone)]
struct Timeless(TokioEnv, Arc<AtomicBool>);

impl Env for Timeless {
    type Stream = TcpStream;
    type Listener = TcpListener;

    fn now(&self) -> Instant {
        self.0.now()
    }

    fn unix_time(&self) -> Duration {
        self.0.unix_time()
    }

    async fn sleep_until(&self, at: Instant) {
        let ends = self.1.swap(false, Ordering::Relaxed);
        assert!(!ends, "on purpose: no time");
        self.0.sleep_until(at).await;
    }

    async fn listen(&self, at: SocketAddr) -> io::Result<TcpListener> {
        self.0.listen(at).await
    }

    async fn connect(&self, to: SocketAddr) -> io::Result<TcpStream> {
        let connected = self.0.connect(to).await;
        self.1.store(connected.is_err(), Ordering::Relaxed);
        connected
    }

    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        self.0.resolve(name).await
    }

    async fn work<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        self.0.work(job).await
    }

    fn seed(&self) -> [u8; 32] {
        self.0.seed()
    }
}

#[tokio::test]
async fn an_edge_without_its_clock_ends_with_an_error() {
    let config = EdgeConfig {
        node_id: "edge".to_owned(),
        manager: "http://127.0.0.1:1".to_owned(),
        join: Some(Secret::new("s".to_owned())),
        insecure: true,
        ..EdgeConfig::default()
    };
    let (attached, _) = mpsc::channel(1);
    let (_, census) = mpsc::channel(1);
    let (_stop, stopping) = watch::channel(Stop::No);
    let env = Timeless(TokioEnv::new(), Arc::default());
    let local = LocalSet::new();
    let running = local.run_until(async move {
        tokio::task::spawn_local(run(env, config, None, attached, census, stopping)).await
    });
    let ended = running.await;
    assert!(
        matches!(ended, Ok(Err(EdgeError::Task("the clock")))),
        "{ended:?}"
    );
}

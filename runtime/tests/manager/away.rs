//! A store that is away when the manager starts.

use titan_runtime::config::ManagerConfig;
use titan_runtime::env::tokio::TokioEnv;
use titan_runtime::manager;
use titan_runtime::store::{Embedded, Gate, Gated, Location, META_NODE_TOKEN_KEYS, Mode};
use titan_runtime::store::{Meta as _, StoreError};
use tokio::sync::{oneshot, watch};

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
    assert!(store.meta(META_NODE_TOKEN_KEYS).await.unwrap().is_some());
    stopping.send(()).unwrap();
    task.await.unwrap().unwrap();
}

//! One connection to the server, made when it is first needed and anew when it is lost.

use super::address::Address;
use super::dial::{Dialled, Driver, dial};
use super::failure::Failure;
use super::nonce;
use core::time::Duration;
use redis::Value;
use redis::aio::MultiplexedConnection;
use rustls::ClientConfig;
use std::sync::Arc;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// How long the server is left alone after a connection failed; operations fail at once meanwhile.
const RETRY: Duration = Duration::from_millis(250);

/// A connection that operations share.
#[derive(Default)]
pub(super) struct Lane(Mutex<State>);

#[derive(Default)]
struct State {
    connected: Option<Connected>,
    failed: Option<(Instant, String)>,
    count: u64,
}

/// A connection; clones share it.
#[derive(Clone)]
pub(super) struct Connected {
    pub(super) connection: MultiplexedConnection,
    driver: Arc<Driver>,
    /// Which one it is, counted from the first on.
    pub(super) number: u64,
}

impl Lane {
    /// Returns the connection, made anew if the last one is lost or was closed at the other end.
    pub(super) async fn connected(
        &self,
        address: &Address,
        tls: Option<&Arc<ClientConfig>>,
    ) -> Result<Connected, Failure> {
        // Whoever comes first connects; the others wait for it here.
        let mut state = self.0.lock().await;
        if let Some(connected) = &state.connected
            && !connected.driver.has_ended()
        {
            return Ok(connected.clone());
        }
        state.connected = None;
        if let Some((at, error)) = &state.failed
            && at.elapsed() < RETRY
        {
            return Err(Failure::Away(error.clone()));
        }
        let number = state.count + 1;
        let made = match timeout(CONNECT_TIMEOUT, connect(address, tls)).await {
            Ok(made) => made,
            Err(_) => Err(Failure::Away("it does not answer".to_owned())),
        };
        match made {
            Ok(Dialled { connection, driver }) => {
                let connected = Connected {
                    connection,
                    driver: Arc::new(driver),
                    number,
                };
                state.count = number;
                state.failed = None;
                state.connected = Some(connected.clone());
                Ok(connected)
            }
            Err(Failure::Away(error)) => {
                state.failed = Some((Instant::now(), error.clone()));
                Err(Failure::Away(error))
            }
            // It is there and not ready yet: whoever asks may wait.
            Err(failure) => Err(failure),
        }
    }

    /// Gives the connection up that there is.
    pub(super) async fn close(&self) {
        self.0.lock().await.connected = None;
    }

    /// Gives a connection up, unless there is a newer one.
    pub(super) async fn lose(&self, number: u64) {
        let mut state = self.0.lock().await;
        let is_last = |connected: &Connected| connected.number == number;
        if state.connected.as_ref().is_some_and(is_last) {
            state.connected = None;
        }
    }
}

/// Connects to a server that is the primary, and lets the store know of the run of it.
async fn connect(address: &Address, tls: Option<&Arc<ClientConfig>>) -> Result<Dialled, Failure> {
    let mut dialled = dial(address, tls).await?;
    let connection = &mut dialled.connection;
    let info: String = redis::cmd("INFO")
        .query_async(connection)
        .await
        .map_err(Failure::of_connecting)?;
    let find = |key: &str| {
        info.lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))
    };
    if find("role") == Some("slave") {
        let text = "the server is a replica, and the address must lead to the primary: name what moves \
                    with it, or sentinels";
        return Err(Failure::Away(text.to_owned()));
    }
    if find("aof_enabled") == Some("0") {
        tracing::warn!("the Redis server has no append-only file: it forgets when it ends");
    }
    if find("maxmemory_policy").is_some_and(|policy| policy != "noeviction") {
        tracing::warn!("the Redis server may evict: maxmemory-policy must be noeviction");
    }
    let process = find("run_id").unwrap_or_default();
    let nonce = nonce().map_err(|error| Failure::Away(error.to_string()))?;
    script!("arrive")
        .arg(process)
        .arg(format!("{process}-{nonce}"))
        .invoke_async::<Value>(connection)
        .await
        .map_err(Failure::of_connecting)?;
    Ok(dialled)
}

//! One connection to the server, made when it is first needed and anew when it is lost.

use super::address::Address;
use super::dial::{Dialled, Driver, candidates};
use super::failure::Failure;
use super::nonce::nonce;
use core::time::Duration;
use redis::Value;
use redis::aio::MultiplexedConnection;
use rustls::ClientConfig;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Mutex as AsyncMutex;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// How long the server is left alone after it could not be used; operations learn at once why.
const RETRY: Duration = Duration::from_millis(250);

/// A connection that operations share.
#[derive(Default)]
pub(super) struct Lane {
    current: Mutex<Option<Connected>>,
    /// Whoever comes first connects; the others wait for it here.
    making: AsyncMutex<Making>,
}

#[derive(Default)]
struct Making {
    /// Goes on when whoever began it gives up waiting.
    connecting: Option<Connecting>,
    failed: Option<(Instant, Failure)>,
    count: u64,
}

/// The task that connects; it ends with its handle.
struct Connecting(JoinHandle<Result<Dialled, Failure>>);

/// A connection; clones share it.
#[derive(Clone)]
pub(super) struct Connected {
    pub(super) connection: MultiplexedConnection,
    driver: Arc<Driver>,
    /// Which one it is, counted from the first on.
    pub(super) number: u64,
    made: Instant,
}

impl Lane {
    /// Returns the connection, made anew if the last one is lost or was closed at the other end.
    pub(super) async fn connected(
        &self,
        address: &Arc<Address>,
        tls: Option<&Arc<ClientConfig>>,
    ) -> Result<Connected, Failure> {
        if let Some(connected) = self.living() {
            return Ok(connected);
        }
        let mut making = self.making.lock().await;
        if let Some(connected) = self.living() {
            return Ok(connected);
        }
        if making.connecting.is_none()
            && let Some((at, failure)) = &making.failed
            && at.elapsed() < RETRY
        {
            return Err(failure.remembered());
        }
        let connecting = making
            .connecting
            .get_or_insert_with(|| Connecting::begin(Arc::clone(address), tls.cloned()));
        let made = (&mut connecting.0).await;
        making.connecting = None;
        match made.unwrap_or_else(|error| Err(Failure::Away(error.to_string()))) {
            Ok(Dialled { connection, driver }) => {
                making.count += 1;
                making.failed = None;
                let connected = Connected {
                    connection,
                    driver: Arc::new(driver),
                    number: making.count,
                    made: Instant::now(),
                };
                *self.current() = Some(connected.clone());
                Ok(connected)
            }
            Err(failure) => {
                making.failed = Some((Instant::now(), failure.remembered()));
                Err(failure)
            }
        }
    }

    /// Gives the connection up that there is.
    pub(super) fn close(&self) {
        self.lose_if(|_| true);
    }

    /// Gives a connection up, unless there is a newer one.
    pub(super) fn lose(&self, number: u64) {
        self.lose_if(|connected| connected.number == number);
    }

    /// Gives the connection up if it was made before this moment.
    pub(super) fn lose_older(&self, moment: Instant) {
        self.lose_if(|connected| connected.made < moment);
    }

    fn lose_if(&self, is_lost: impl FnOnce(&mut Connected) -> bool) {
        // What is under way on it may still be answered.
        drop(self.current().take_if(is_lost));
    }

    fn living(&self) -> Option<Connected> {
        let current = self.current();
        let living = current.as_ref().filter(|one| !one.driver.has_ended());
        living.cloned()
    }

    fn current(&self) -> MutexGuard<'_, Option<Connected>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connecting {
    fn begin(address: Arc<Address>, tls: Option<Arc<ClientConfig>>) -> Self {
        Self(tokio::spawn(async move {
            let made = timeout(CONNECT_TIMEOUT, connect(&address, tls.as_ref())).await;
            made.unwrap_or_else(|_| Err(Failure::Away("it does not answer".to_owned())))
        }))
    }
}

impl Drop for Connecting {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Connects to a server that is the primary, and lets the store know of the run of it.
async fn connect(address: &Address, tls: Option<&Arc<ClientConfig>>) -> Result<Dialled, Failure> {
    let mut last = Failure::Away("its address leads nowhere".to_owned());
    for place in candidates(address, tls).await? {
        let arrived = async {
            let mut dialled = place.dial(tls, &address.login).await?;
            arrive(&mut dialled.connection).await?;
            Ok::<_, Failure>(dialled)
        };
        match arrived.await {
            Ok(dialled) => return Ok(dialled),
            Err(failure) => last = failure,
        }
    }
    Err(last)
}

async fn arrive(connection: &mut MultiplexedConnection) -> Result<(), Failure> {
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
    // The process, and which history of writes it goes on with: a server that became a replica and a primary
    // again has what another one had, and may have forgotten as that one.
    let of = |key| find(key).unwrap_or_default();
    let process = format!("{}-{}", of("run_id"), of("master_replid"));
    let nonce = nonce().map_err(|error| Failure::Away(error.to_string()))?;
    script!("rebase" "arrive")
        .arg(&process)
        .arg(format!("{process}-{nonce}"))
        .invoke_async::<Value>(connection)
        .await
        .map_err(Failure::of_connecting)?;
    Ok(())
}

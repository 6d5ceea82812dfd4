//! How operations reach the server: over which connection, how often they are tried, and when they are
//! answered.

use super::address::Address;
use super::failure::{Again, Failure};
use super::lane::{Connected, Lane};
use crate::store::StoreError;
use core::time::Duration;
use redis::{Script, ScriptInvocation, ToRedisArgs, Value};
use rustls::ClientConfig;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until, timeout_at};

/// How long an operation may take, with connecting and with being repeated: a server that is well
/// answers within milliseconds, and callers give up on their own after a second or two.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(2);

/// The pause before an operation is tried again.
const PAUSE: Duration = Duration::from_millis(50);

/// How long a replica may take to confirm an act, in milliseconds.
const CONFIRM_MILLIS: u64 = 1_000;

/// The most operations under way; more fail at once, so that a stuck server costs bounded memory.
const OPERATIONS_MAX: usize = 1_024;

/// A handle to the connections; clones share them.
#[derive(Clone)]
pub(super) struct Link(Arc<Inner>);

struct Inner {
    address: Arc<Address>,
    tls: Option<Arc<ClientConfig>>,
    places: Semaphore,
    plain: Lane,
    /// Waiting for a replica holds a connection up, so acts that wait have one of their own.
    kept: Lane,
}

/// How an operation is asked for.
#[derive(Clone, Copy)]
pub(super) struct Manner {
    /// It is repeated if its answer was lost: twice is as good as once.
    repeat: bool,
    /// It is answered when a replica has it, if one is connected: it must outlive the server.
    keep: bool,
}

impl Manner {
    /// Repeated, and as safe as the server.
    pub(super) const PLAIN: Self = Self {
        repeat: true,
        keep: false,
    };
    /// An act of security or a binding.
    pub(super) const KEPT: Self = Self {
        repeat: true,
        keep: true,
    };
    /// As [`KEPT`](Self::KEPT), and not repeated if it may have happened.
    pub(super) const KEPT_ONCE: Self = Self {
        repeat: false,
        keep: true,
    };
}

/// One try of an operation.
struct Attempt {
    /// The connection it was asked over.
    used: Option<u64>,
    /// The operation is an act, and an earlier try of it was not answered.
    may_have_happened: bool,
}

impl Link {
    /// Reads the address and what it names; connects when something is asked for.
    pub(super) fn new(url: &str) -> Result<Self, StoreError> {
        let named =
            |problem: &str| StoreError::unavailable(format!("the address of the store {problem}"));
        let address = Address::parse(url).map_err(named)?;
        let tls =
            match &address.tls {
                Some(ca) => {
                    let made = crate::tls::client_config(Some(ca));
                    Some(made.map_err(|error| {
                        named(&format!("names a ca that cannot be used: {error}"))
                    })?)
                }
                None => None,
            };
        Ok(Self(Arc::new(Inner {
            address: Arc::new(address),
            tls,
            places: Semaphore::new(OPERATIONS_MAX),
            plain: Lane::default(),
            kept: Lane::default(),
        })))
    }

    /// Runs a script.
    pub(super) async fn run<A: ToRedisArgs>(
        &self,
        script: &Script,
        args: A,
        manner: Manner,
    ) -> Result<Value, StoreError> {
        let Ok(_place) = self.0.places.try_acquire() else {
            return Err(StoreError::unavailable("too many operations are waiting"));
        };
        let invocation = script.arg(args);
        let (lane, other) = if manner.keep {
            (&self.0.kept, &self.0.plain)
        } else {
            (&self.0.plain, &self.0.kept)
        };
        let deadline = Instant::now() + OPERATION_TIMEOUT;
        let mut before = None;
        let mut may_have_happened = false;
        loop {
            let began = Instant::now();
            let mut attempt = Attempt {
                used: None,
                may_have_happened,
            };
            let asked = self.attempt(lane, &invocation, manner, &mut attempt);
            let failure = match timeout_at(deadline, asked).await {
                Ok(Ok(value)) => return Ok(value),
                Ok(Err(failure)) => failure,
                Err(_) => Failure::Late(before.take()),
            };
            before = Some(failure.remembered().into_text());
            let verdict = failure.judge();
            if let Some(number) = attempt.used.filter(|_| verdict.lost) {
                lane.lose(number);
            }
            if verdict.moved {
                other.lose_older(began);
            }
            let again = match verdict.again {
                Again::Never => false,
                Again::Always => true,
                Again::IfRepeatable => manner.repeat,
            };
            let next = Instant::now() + PAUSE;
            if !again || next >= deadline {
                return Err(if may_have_happened {
                    doubtful(verdict.error)
                } else {
                    verdict.error
                });
            }
            may_have_happened |= manner.keep && verdict.again == Again::IfRepeatable;
            sleep_until(next).await;
        }
    }

    /// Gives up what leads to a server whose memory was emptied, so that the next connection tells it
    /// anew which run it is.
    pub(super) fn renew(&self) {
        self.0.plain.close();
    }

    async fn attempt(
        &self,
        lane: &Lane,
        invocation: &ScriptInvocation<'_>,
        manner: Manner,
        attempt: &mut Attempt,
    ) -> Result<Value, Failure> {
        let Inner { address, tls, .. } = &*self.0;
        let mut connected = lane.connected(address, tls.as_ref()).await?;
        attempt.used = Some(connected.number);
        if !manner.repeat {
            // What may not be repeated is asked only of a connection that has just answered.
            let ping = redis::cmd("PING")
                .exec_async(&mut connected.connection)
                .await;
            ping.map_err(Failure::Stale)?;
        }
        let value = invocation
            .invoke_async::<Value>(&mut connected.connection)
            .await
            .map_err(Failure::Server)?;
        if manner.keep {
            confirm(&mut connected, attempt.may_have_happened).await?;
        }
        Ok(value)
    }
}

/// Says of a refusal that it is not the whole truth: an earlier try was not answered.
fn doubtful(error: StoreError) -> StoreError {
    match error {
        StoreError::Unavailable(text) => StoreError::unavailable(format!(
            "{text}; it was tried before without an answer, and may have happened"
        )),
        error @ (StoreError::Exists
        | StoreError::Window
        | StoreError::Superseded
        | StoreError::TooLarge) => error,
    }
}

/// Waits until a replica has what was asked over this connection, if one is connected. If the same was asked
/// over another one before, this one may have written nothing.
async fn confirm(connected: &mut Connected, was_asked_before: bool) -> Result<(), Failure> {
    let connection = &mut connected.connection;
    let role: Vec<Value> = redis::cmd("ROLE")
        .query_async(connection)
        .await
        .map_err(Failure::behind)?;
    match (role.first(), role.get(2)) {
        (Some(Value::BulkString(kind)), Some(Value::Array(replicas))) if kind == b"master" => {
            if replicas.is_empty() {
                return Ok(());
            }
        }
        _ => return Err(Failure::Demoted),
    }
    // A server of 7.2 or later waits for what this connection wrote, and an act that is repeated over another
    // one finds itself done and writes nothing. So something is written behind it.
    let marked = redis::cmd("HSET")
        .arg("titan:run")
        .arg("kept")
        .arg(1)
        .exec_async(connection)
        .await;
    match marked {
        // What deletes passes a server that is full, and has written itself, unless another try did.
        Err(error) if error.code() == Some("OOM") => {
            if was_asked_before {
                return Err(Failure::Unconfirmed);
            }
        }
        marked => marked.map_err(Failure::behind)?,
    }
    let mut wait = redis::cmd("WAIT");
    wait.arg(1).arg(CONFIRM_MILLIS);
    let confirmed: u64 = wait
        .query_async(connection)
        .await
        .map_err(Failure::behind)?;
    if confirmed == 0 {
        return Err(Failure::Unconfirmed);
    }
    Ok(())
}

//! The connection to the server: one for all operations, made anew when it is lost.

use crate::store::StoreError;
use core::time::Duration;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ErrorKind, RedisError, Script, Value};
use std::sync::Arc;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::{Instant, timeout};

/// How long an operation may take, with connecting: a server that is well answers within
/// milliseconds, and callers give up on their own after a second or two.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(2);

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// How long the server is left alone after a connection failed; operations fail at once meanwhile.
const RETRY: Duration = Duration::from_millis(250);

/// The most operations under way; more fail at once, so that a stuck server costs bounded memory.
const OPERATIONS_MAX: usize = 1_024;

/// A handle to the connection; clones share it.
#[derive(Clone)]
pub(super) struct Link(Arc<Inner>);

struct Inner {
    client: Client,
    places: Semaphore,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    connected: Option<Connected>,
    failed: Option<(Instant, String)>,
    count: u64,
}

#[derive(Clone)]
struct Connected {
    connection: MultiplexedConnection,
    run: Arc<str>,
    number: u64,
}

/// What a script returned, and which run of the server did it.
pub(super) struct Answer {
    pub(super) value: Value,
    pub(super) run: Arc<str>,
}

impl Link {
    /// Reads the address; connects when something is asked for.
    pub(super) fn new(url: &str) -> Result<Self, StoreError> {
        // The text of this error could hold the password.
        let client = Client::open(url).map_err(|_| {
            StoreError::unavailable("the address of the Redis server makes no sense")
        })?;
        Ok(Self(Arc::new(Inner {
            client,
            places: Semaphore::new(OPERATIONS_MAX),
            state: Mutex::default(),
        })))
    }

    /// Runs a script.
    pub(super) async fn run<A: redis::ToRedisArgs>(
        &self,
        script: &Script,
        args: A,
    ) -> Result<Answer, StoreError> {
        let _place = self
            .0
            .places
            .try_acquire()
            .map_err(|_| StoreError::unavailable("too many operations are waiting"))?;
        let mut used = None;
        let work = async {
            let mut connected = self.connected().await?;
            used = Some(connected.number);
            let value = script
                .arg(args)
                .invoke_async::<Value>(&mut connected.connection)
                .await
                .map_err(Failure::Server)?;
            let run = connected.run;
            Ok(Answer { value, run })
        };
        let failure = match timeout(OPERATION_TIMEOUT, work).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(failure)) => failure,
            Err(_) => Failure::Late,
        };
        let (error, lost) = failure.judge();
        if let Some(number) = used.filter(|_| lost) {
            self.0.lose(number).await;
        }
        Err(error)
    }

    async fn connected(&self) -> Result<Connected, Failure> {
        // Whoever comes first connects; the others wait for it here.
        let mut state = self.0.state.lock().await;
        if let Some(connected) = &state.connected {
            return Ok(connected.clone());
        }
        if let Some((at, error)) = &state.failed
            && at.elapsed() < RETRY
        {
            return Err(Failure::Away(error.clone()));
        }
        let number = state.count + 1;
        match timeout(CONNECT_TIMEOUT, self.0.connect(number)).await {
            Ok(Ok(connected)) => {
                state.count = number;
                state.failed = None;
                state.connected = Some(connected.clone());
                Ok(connected)
            }
            Ok(Err(error)) => Err(state.fail(describe(&error))),
            Err(_) => Err(state.fail("it does not answer".to_owned())),
        }
    }
}

impl Inner {
    async fn connect(&self, number: u64) -> Result<Connected, RedisError> {
        // Times are kept here, over connecting and asking together.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None);
        let mut connection = self
            .client
            .get_multiplexed_async_connection_with_config(&config)
            .await?;
        let info: String = redis::cmd("INFO").query_async(&mut connection).await?;
        let find = |key: &str| {
            info.lines()
                .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))
        };
        if find("aof_enabled") == Some("0") {
            tracing::warn!("the Redis server has no append-only file: it forgets when it ends");
        }
        if find("maxmemory_policy").is_some_and(|policy| policy != "noeviction") {
            tracing::warn!("the Redis server may evict: maxmemory-policy must be noeviction");
        }
        let run = find("run_id").unwrap_or_default().into();
        Ok(Connected {
            connection,
            run,
            number,
        })
    }

    /// Gives a connection up, unless there is a newer one.
    async fn lose(&self, number: u64) {
        let mut state = self.state.lock().await;
        if state
            .connected
            .as_ref()
            .is_some_and(|connected| connected.number == number)
        {
            state.connected = None;
        }
    }
}

impl State {
    fn fail(&mut self, error: String) -> Failure {
        self.failed = Some((Instant::now(), error.clone()));
        Failure::Away(error)
    }
}

/// Why a script has no answer.
enum Failure {
    Away(String),
    Server(RedisError),
    Late,
}

impl Failure {
    /// Returns the error, and whether the connection is lost.
    fn judge(self) -> (StoreError, bool) {
        match self {
            Self::Away(error) => (StoreError::unavailable(format!("Redis: {error}")), false),
            Self::Late => (StoreError::unavailable("Redis: no answer in time"), true),
            Self::Server(error) => match error.code() {
                Some("EXISTS") => (StoreError::Exists, false),
                Some("WINDOW") => (StoreError::Window, false),
                Some("SUPERSEDED") => (StoreError::Superseded, false),
                _ => {
                    let lost = error.is_unrecoverable_error()
                        || error.is_io_error()
                        || error.kind() == ErrorKind::Parse;
                    let error = StoreError::unavailable(format!("Redis: {}", describe(&error)));
                    (error, lost)
                }
            },
        }
    }
}

/// Says what failed without what was sent.
fn describe(error: &RedisError) -> String {
    if error.kind() == ErrorKind::AuthenticationFailed {
        return "it refuses the credentials".to_owned();
    }
    error.to_string()
}

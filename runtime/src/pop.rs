//! The POP daemon: applications on one side, tunnels on the other.

mod account;
mod blacklist;
mod callers;
mod client;
mod follow;
mod keys;
mod orders;
mod patience;
mod registrar;
mod sessions;
mod tunnels;

use crate::auth::{AuthConfig, Authenticator};
use crate::config::PopConfig;
use crate::daemon::{Stop, Stopping, told};
use crate::data::DataError;
use crate::drain::Drain;
use crate::env::Env;
use crate::listen::listen;
use crate::records::Records;
use crate::shard::{Shard, Tasks};
use crate::store::{Cursor, Holder, Store};
use crate::telemetry::{self, NODE_EVENT};
use account::Accounts;
use blacklist::Blacklist;
use callers::Callers;
use core::time::Duration;
use keys::Keys;
use patience::Patience;
use registrar::{Incarnation, Registrar};
use rustls::ServerConfig;
use sessions::Sessions;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use titan_core::endpoint::{Config, Counters, Event, Pop, PopEvent, PopRole, Rates, Usage};
use tokio::sync::{Notify, oneshot};

/// Where a POP listens, once it does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PopReady {
    /// For applications, one address or more, in the order of the configuration.
    pub clients: Vec<SocketAddr>,
    /// For edges.
    pub tunnels: SocketAddr,
    /// By which the store tells this process from those before it.
    pub incarnation: u64,
}

/// Why a POP does not run.
#[derive(Debug, thiserror::Error)]
pub enum PopError {
    /// An address cannot be listened at.
    #[error("cannot listen at {at}: {source}")]
    Listen {
        /// The address.
        at: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// Another process was started under the same id.
    #[error("another process runs as POP {0}: every POP needs an id of its own")]
    TakenOver(String),
    /// Records are wanted and cannot be written.
    #[error("records: {0}")]
    Records(#[from] DataError),
    /// The key that verifies node tokens is broken.
    #[error("the key for node tokens: {0}")]
    Key(String),
    /// A task that the POP needs has panicked.
    #[error("the task for {0} failed; its panic is in the log")]
    Task(&'static str),
}

/// How long to wait before the store is asked again at start.
const STORE_RETRY: Duration = Duration::from_secs(2);

/// Longest wait after a failed accept, as when the process has no descriptor left.
const ACCEPT_RETRY_MAX: Duration = Duration::from_secs(1);

/// What the tasks of a POP share.
struct Shared<E: Env, S: Store> {
    env: E,
    store: S,
    shard: Shard<E, PopRole>,
    tasks: Tasks,
    config: PopConfig,
    auth: Authenticator<E, S>,
    keys: Keys,
    tls: Option<Arc<ServerConfig>>,
    registrar: Registrar,
    accounts: Accounts,
    blacklist: Blacklist,
    sessions: Sessions,
    records: Records<E>,
    drain: Drain,
    /// Another process has this POP's id.
    taken_over: Notify,
    clients: Callers,
    carriers: Callers,
}

/// A look into a running POP.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PopCensus {
    /// What the core holds.
    pub usage: Usage,
    /// What the core has counted.
    pub counters: Counters,
    /// Tasks that run.
    pub tasks: usize,
    /// Client connections.
    pub clients: usize,
    /// Carrier connections, also those that have not said HELLO.
    pub carriers: usize,
}

/// Asks a running POP for its [`PopCensus`].
pub type CensusRequest = oneshot::Sender<PopCensus>;

/// Runs a POP until it is told to end. Must be called within a `LocalSet`.
///
/// Told to drain, by `stopping` or by the manager's order in the store, it takes on no client and no
/// node any more and ends when its last session is over, or after the configured time.
///
/// `ready` hears where it listens; `census` may ask what it holds. Without the store it waits at
/// start, and says so.
///
/// # Errors
/// Fails if an address cannot be listened at, the token key is broken, a task fails that the POP cannot
/// do without, or another process takes the POP's id over while it does not drain.
pub async fn run<E: Env, S: Store>(
    env: E,
    config: PopConfig,
    store: S,
    tls: Option<Arc<ServerConfig>>,
    ready: oneshot::Sender<PopReady>,
    census: tokio::sync::mpsc::Receiver<CensusRequest>,
    mut stopping: Stopping,
) -> Result<(), PopError> {
    let records = Records::open(env.clone(), config.records_directory(), &config.records)?;
    let keys = tokio::select! {
        biased;
        () = told(&mut stopping, Stop::Drain) => return Ok(()),
        keys = Keys::find(&env, &config, &store) => keys?,
    };
    let (cursor, lists) = tokio::select! {
        biased;
        () = told(&mut stopping, Stop::Drain) => return Ok(()),
        begun = follow::begin(&env, &store) => begun,
    };
    let incarnation = tokio::select! {
        biased;
        () = told(&mut stopping, Stop::Drain) => return Ok(()),
        claimed = registrar::claim_incarnation(&env, &store, &config.id) => claimed,
    };
    let (clients, tunnels, bound) = tokio::select! {
        biased;
        () = told(&mut stopping, Stop::Drain) => return Ok(()),
        listening = listen_all(&env, &config, incarnation) => listening?,
    };

    let resume = config
        .resume_url
        .clone()
        .unwrap_or_else(|| config.public_url.clone());
    let core = Pop::new(core_config(&config), env.seed(), resume, env.now());
    let shard = Shard::new(env.clone(), core);
    let node_rates = Rates {
        up: config.limits.node_upload_rate,
        down: config.limits.node_download_rate,
    };
    shard.drive(|core, now| core.limit_nodes(now, node_rates));
    let auth = Authenticator::new(env.clone(), store.clone(), auth_config(&config));
    let registrar = Registrar::new(&config, incarnation);
    let holder = Holder {
        pop: config.id.clone(),
        incarnation: registrar.incarnation(),
    };
    let shared = Rc::new(Shared {
        env,
        store: store.clone(),
        accounts: Accounts::new(holder),
        blacklist: Blacklist::new(lists),
        sessions: Sessions::default(),
        records,
        shard,
        tasks: Tasks::default(),
        config,
        auth,
        keys,
        tls,
        registrar,
        drain: Drain::default(),
        taken_over: Notify::new(),
        clients: Callers::default(),
        carriers: Callers::default(),
    });
    start_tasks(&shared, cursor, (clients, tunnels), census);
    tracing::info!(pop = shared.config.id, clients = ?bound.clients, tunnels = %bound.tunnels, "ready");
    // Nobody may want to know.
    let _ = ready.send(bound);
    let timeout = shared.config.drain_timeout;
    let begin = || {
        shared.shard.drive(Pop::drain);
        shared.registrar.wake();
    };
    let (drain, clients) = (&shared.drain, shared.clients.count());
    let outcome = tokio::select! {
        biased;
        () = drain.watch(&shared.env, &mut stopping, timeout, clients, begin) => Ok(()),
        () = shared.taken_over.notified() => Err(PopError::TakenOver(shared.config.id.clone())),
        task = shared.tasks.failed() => Err(PopError::Task(task)),
    };
    shared.shard.farewell().await;
    sessions::leave(&shared);
    shared.tasks.shut_down().await;
    let mut patience = Patience::new(&shared.env, stopping);
    account::leave(&shared, &mut patience).await;
    registrar::leave(&shared, &store, &mut patience).await;
    tracing::info!(pop = shared.config.id, "stopped");
    outcome
}

/// Listens for applications, for edges, and says where.
async fn listen_all<E: Env>(
    env: &E,
    config: &PopConfig,
    incarnation: Incarnation,
) -> Result<(Vec<E::Listener>, E::Listener, PopReady), PopError> {
    let listen = async |at, what| {
        let listening = listen(env, at, what).await;
        listening.map_err(|source| PopError::Listen { at, source })
    };
    let (mut clients, mut clients_at) = (Vec::new(), Vec::new());
    for listener in config.client_listeners() {
        let (bound, at) = listen(listener.at, "applications").await?;
        clients.push(bound);
        clients_at.push(at);
    }
    let (tunnels, tunnels_at) = listen(config.listen_tunnels, "edges").await?;
    let bound = PopReady {
        clients: clients_at,
        tunnels: tunnels_at,
        incarnation: incarnation.number,
    };
    Ok((clients, tunnels, bound))
}

/// Starts the tasks that a POP has one of.
fn start_tasks<E: Env, S: Store>(
    shared: &Rc<Shared<E, S>>,
    cursor: Cursor,
    (clients, tunnels): (Vec<E::Listener>, E::Listener),
    census: tokio::sync::mpsc::Receiver<CensusRequest>,
) {
    let tasks = &shared.tasks;
    tasks.spawn_unique("the clock", shared.shard.clone().keep_time());
    tasks.spawn_unique("events", follow_events(Rc::clone(shared)));
    tasks.spawn_unique(
        "the list of nodes",
        registrar::keep(Rc::clone(shared), shared.store.clone()),
    );
    tasks.spawn_unique(
        "the comparison of nodes",
        registrar::compare(Rc::clone(shared)),
    );
    tasks.spawn_unique(
        "the stream of changes",
        follow::follow(Rc::clone(shared), cursor),
    );
    tasks.spawn_unique("the keys of managers", keys::keep(Rc::clone(shared)));
    tasks.spawn_unique("accounts", account::keep_time(Rc::clone(shared)));
    tasks.spawn_unique("usage", account::keep_journal(Rc::clone(shared)));
    for listener in clients {
        tasks.spawn_unique("applications", client::accept(Rc::clone(shared), listener));
    }
    tasks.spawn_unique("edges", tunnels::accept(Rc::clone(shared), tunnels));
    tasks.spawn(answer_census(Rc::clone(shared), census));
}

fn core_config(config: &PopConfig) -> Config {
    let limits = &config.limits;
    Config {
        window_base: u64::from(limits.window_bytes),
        window_max: u64::from(limits.window_bytes_max),
        memory_budget: limits.memory_budget_bytes,
        hello_timeout: limits.tunnel_handshake_timeout,
        resume_over_plaintext: config.resume_over_plaintext,
        ..Config::default()
    }
}

fn auth_config(config: &PopConfig) -> AuthConfig {
    let usual = AuthConfig::default();
    AuthConfig {
        checks_max: match config.limits.password_checks_max {
            0 => usual.checks_max,
            count => count as usize,
        },
        ..usual
    }
}

/// Logs and registers what happens to nodes.
async fn follow_events<E: Env, S: Store>(shared: Rc<Shared<E, S>>) {
    loop {
        match shared.shard.next_event().await {
            Event::Role(PopEvent::NodeAttached { tunnel, resumed }) => {
                let node = shared
                    .shard
                    .with_core(|core| core.node(tunnel).map(str::to_owned));
                if let Some(node) = node {
                    tracing::info!(name: NODE_EVENT, node, resumed, "{}", telemetry::tag::NODE_ONLINE);
                    shared.registrar.attached(&shared.env, &node, resumed);
                }
            }
            Event::Role(PopEvent::NodeDetached { tunnel, code }) => {
                let node = shared
                    .shard
                    .with_core(|core| core.node(tunnel).map(str::to_owned));
                tracing::info!(name: NODE_EVENT, node, code = code.tag(), "{}", telemetry::tag::NODE_UNSTABLE);
            }
            Event::Role(PopEvent::NodeGone { node, code, .. }) => {
                tracing::info!(name: NODE_EVENT, node, code = code.tag(), "{}", telemetry::tag::NODE_OFFLINE);
                let still = shared.shard.with_core(|core| core.has_node(&node));
                if !still {
                    shared.registrar.gone(&node);
                }
            }
            Event::Role(PopEvent::NodeContested { node }) => {
                tracing::warn!(
                    name: NODE_EVENT,
                    node,
                    "{}: two edges run with this id, and the older one is turned away while the newer one is \
                     here; give each an id of its own",
                    telemetry::tag::NODE_DUPLICATE
                );
                shared.registrar.contested(&shared.env, &node);
            }
            Event::CarrierFull { tunnel } => {
                let node = shared
                    .shard
                    .with_core(|core| core.node(tunnel).map(str::to_owned));
                tracing::warn!(node, "{}", telemetry::tag::WRITE_CHAN_FULL);
            }
            Event::Drained => shared.drain.core_is_done(),
            Event::Role(PopEvent::AllowanceLow { group }) => account::low(&shared, group),
            Event::Role(PopEvent::SessionOver(report)) => sessions::over(&shared, &report),
            Event::Sever { .. } | Event::TakesInput => {}
        }
    }
}

async fn answer_census<E: Env, S: Store>(
    shared: Rc<Shared<E, S>>,
    mut requests: tokio::sync::mpsc::Receiver<CensusRequest>,
) {
    while let Some(request) = requests.recv().await {
        let (usage, counters) = shared
            .shard
            .with_core(|core| (core.usage(), core.counters()));
        let census = PopCensus {
            usage,
            counters,
            tasks: shared.tasks.len(),
            clients: shared.clients.count().now(),
            carriers: shared.carriers.count().now(),
        };
        // Whoever asked may have gone.
        let _ = request.send(census);
    }
}

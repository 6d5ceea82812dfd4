//! The edge daemon: tunnels to POPs on one side, targets on the other.

mod ask;
mod host;
mod join;
mod session;
mod uplink;

use crate::config::EdgeConfig;
use crate::daemon::Stopping;
use crate::drain::{Count, Drain};
use crate::env::Env;
use crate::shard::{Shard, Tasks};
use crate::shares::{Greed, Shares};
use crate::url::Remembered;
use core::time::Duration;
use host::HostWatch;
use join::Joiner;
use rustls::ClientConfig;
use std::rc::Rc;
use std::sync::Arc;
use titan_core::endpoint::{
    Config, Counters, Edge, EdgeEvent, EdgeRole, Event, UplinkId, Usage, Whose,
};
use titan_core::exit::guard::{Guard, Network, NetworkError};
use titan_proto::wire::command::Action;
use titan_proto::{Code, wire};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinSet;

/// The most look-ups of targets' names at once; each holds two sockets, and a place for as long as the name
/// server is silent.
const LOOKUPS_MAX: usize = 128;

/// Why an edge does not run.
#[derive(Debug, thiserror::Error)]
pub enum EdgeError {
    /// A block of addresses cannot be read.
    #[error("block of addresses {text:?}: {source}")]
    Block {
        /// What was configured.
        text: String,
        /// Why not.
        source: NetworkError,
    },
    /// A task that the edge needs has panicked.
    #[error("the task for {0} failed; its panic is in the log")]
    Task(&'static str),
    /// One of several edges has panicked.
    #[error("an edge failed; its panic is in the log")]
    Panicked,
}

/// A look into a running edge.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct EdgeCensus {
    /// What the core holds.
    pub usage: Usage,
    /// What the core has counted.
    pub counters: Counters,
    /// Tasks that run.
    pub tasks: usize,
    /// Look-ups of targets' names that are under way.
    pub lookups: usize,
    /// Those that wait for a place.
    pub lookups_waiting: usize,
}

/// Asks a running edge for its [`EdgeCensus`].
pub type CensusRequest = oneshot::Sender<EdgeCensus>;

/// What the tasks of an edge share.
struct Shared<E: Env> {
    env: E,
    shard: Shard<E, EdgeRole>,
    tasks: Tasks,
    joiner: Joiner,
    /// Places for look-ups of targets' names, by the POP's numbers for users. Those of managers and POPs need
    /// none: an edge looks up few, and they must not wait.
    lookups: Shares<u32>,
    node: String,
    tls: Option<Arc<ClientConfig>>,
    remembered: Remembered,
    drain: Drain,
    /// The host may have come to another network.
    moved: Rc<Notify>,
    /// Sessions, until the last byte is with the target.
    sessions: Count,
}

impl<E: Env> Shared<E> {
    /// Returns the way to the manager.
    const fn way(&self) -> ask::Way<'_> {
        ask::Way {
            tls: self.tls.as_ref(),
            remembered: &self.remembered,
        }
    }
}

/// Runs an edge until it is told to end. Must be called within a `LocalSet`.
///
/// Told to drain, it has its POPs send it no session any more, and ends when the last one is over, or
/// after the configured time. A POP that drains has it connect to another one beside.
///
/// `attached` hears each time the tunnel to the POP stands; `census` may ask what the edge holds.
/// While manager or POP is away it tries again, for ever.
///
/// # Errors
/// Fails if the configuration names blocks of addresses that are none, and if a task fails that the edge
/// cannot do without.
pub async fn run<E: Env>(
    env: E,
    config: EdgeConfig,
    tls: Option<Arc<ClientConfig>>,
    attached: mpsc::Sender<()>,
    census: mpsc::Receiver<CensusRequest>,
    mut stopping: Stopping,
) -> Result<(), EdgeError> {
    let mut guard = Guard::new(networks(&config.allow_targets)?);
    guard.deny(networks(&config.deny_targets)?);
    let usual = Config::default();
    let core_config = Config {
        early_max: config.early_bytes.unwrap_or(usual.early_max),
        memory_budget: config.memory_budget_bytes,
        sessions_max: config.sessions_max,
        resume_over_plaintext: config.insecure,
        ..usual
    };
    let drain_timeout = config.drain_timeout;
    let core = Edge::new(core_config, env.seed(), guard, env.now());
    let shared = Rc::new(Shared {
        shard: Shard::new(env.clone(), core),
        env,
        tasks: Tasks::default(),
        node: config.node_id.clone(),
        joiner: Joiner::new(config),
        lookups: Shares::new(LOOKUPS_MAX, Greed::Half),
        tls,
        remembered: Remembered::default(),
        drain: Drain::default(),
        moved: Rc::default(),
        sessions: Count::default(),
    });
    let tasks = &shared.tasks;
    tasks.spawn_unique("the clock", shared.shard.clone().keep_time());
    tasks.spawn_unique("events", follow_events(Rc::clone(&shared), attached));
    tasks.spawn_unique("the renewal of tokens", renew_tokens(Rc::clone(&shared)));
    tasks.spawn(answer_census(Rc::clone(&shared), census));
    let host = HostWatch::new(
        shared.env.clone(),
        shared.shard.clone(),
        shared.node.clone(),
    );
    tasks.spawn_unique("the look at the host", host.run(Rc::clone(&shared.moved)));
    let begin = || shared.shard.drive(Edge::drain);
    let (env, sessions) = (&shared.env, &shared.sessions);
    let drain = &shared.drain;
    let outcome = tokio::select! {
        biased;
        () = drain.watch(env, &mut stopping, drain_timeout, sessions, begin) => Ok(()),
        task = shared.tasks.failed() => Err(EdgeError::Task(task)),
    };
    shared.shard.farewell().await;
    shared.tasks.shut_down().await;
    outcome
}

/// Runs as many edges as the configuration asks for; see [`run`].
///
/// # Errors
/// As [`run`].
pub async fn run_copies<E: Env>(
    env: E,
    config: EdgeConfig,
    tls: Option<Arc<ClientConfig>>,
    attached: mpsc::Sender<()>,
    stopping: Stopping,
) -> Result<(), EdgeError> {
    let mut edges = JoinSet::new();
    for copy in 0..config.copies {
        let mut config = config.clone();
        // The budget is the process's.
        config.memory_budget_bytes /= u64::from(config.copies);
        if config.copies > 1 {
            config.node_id = format!("{}-{copy}", config.node_id);
        }
        let (env, tls, stopping) = (env.clone(), tls.clone(), stopping.clone());
        // Each edge tells once that it is online.
        let (online, mut first) = mpsc::channel(1);
        let attached = attached.clone();
        edges.spawn_local(async move {
            let (_, census) = mpsc::channel(1);
            let tell = async {
                if first.recv().await.is_some() {
                    // Nobody may want to know.
                    let _ = attached.send(()).await;
                }
                core::future::pending::<()>().await;
            };
            tokio::select! {
                biased;
                outcome = run(env, config, tls, online, census, stopping) => outcome,
                () = tell => Ok(()),
            }
        });
    }
    drop(attached);
    while let Some(ended) = edges.join_next().await {
        match ended {
            Ok(outcome) => outcome?,
            // None is cancelled while they are waited for.
            Err(_) => return Err(EdgeError::Panicked),
        }
    }
    Ok(())
}

fn networks(texts: &[String]) -> Result<Vec<Network>, EdgeError> {
    let parse = |text: &String| {
        text.parse().map_err(|source| EdgeError::Block {
            text: text.clone(),
            source,
        })
    };
    texts.iter().map(parse).collect()
}

/// Does what the core asks for.
async fn follow_events<E: Env>(shared: Rc<Shared<E>>, attached: mpsc::Sender<()>) {
    loop {
        match shared.shard.next_event().await {
            Event::Role(EdgeEvent::Connect { uplink }) => {
                shared
                    .tasks
                    .spawn(uplink::connect(Rc::clone(&shared), uplink));
            }
            Event::Role(EdgeEvent::Opened { session }) => {
                shared
                    .tasks
                    .spawn(session::serve(Rc::clone(&shared), session));
            }
            Event::Role(EdgeEvent::UplinkAttached { resumed, .. }) => {
                tracing::info!(node = shared.node, resumed, "tunnel stands");
                shared.moved.notify_one();
                // A full channel already says that it stands.
                let _ = attached.try_send(());
            }
            Event::Role(EdgeEvent::UplinkDetached {
                code: Code::DuplicateNode,
                ..
            }) => {
                tracing::warn!(
                    node = shared.node,
                    code = Code::DuplicateNode.tag(),
                    "another edge came with this `node_id` later and has its place: give each edge an id of \
                     its own; this one tries again every few seconds, and is back when the other leaves"
                );
            }
            Event::Role(EdgeEvent::UplinkDetached { code, .. }) => {
                tracing::info!(node = shared.node, code = code.tag(), "tunnel lost");
            }
            Event::CarrierFull { .. } => {
                tracing::warn!(
                    node = shared.node,
                    "{}",
                    crate::telemetry::tag::WRITE_CHAN_FULL
                );
            }
            Event::Role(EdgeEvent::Command { uplink, command }) => obey(&shared, uplink, &command),
            Event::Role(EdgeEvent::UplinkGone { uplink }) => {
                tracing::info!(node = shared.node, "the POP that drained is left");
                shared.joiner.gone(uplink);
            }
            Event::Role(EdgeEvent::Denied {
                trace,
                group,
                code,
                whose,
            }) => {
                tracing::info!(
                    node = shared.node,
                    group,
                    code = code.tag(),
                    whose = whose.map(Whose::tag),
                    %trace,
                    "{}",
                    crate::telemetry::tag::DIAG
                );
            }
            Event::Drained => shared.drain.core_is_done(),
            Event::Sever { .. } | Event::TakesInput => {}
        }
    }
}

/// Does what a POP orders. Told to leave, because it drains or because this node is to move, the edge
/// looks for another POP and keeps the tunnel to this one as long as it lasts.
fn obey<E: Env>(shared: &Shared<E>, uplink: UplinkId, command: &wire::Command) {
    let code = Code::from_wire(command.code);
    let reason = code.tag();
    match Action::try_from(command.action) {
        Ok(Action::Drain) => {
            tracing::info!(node = shared.node, reason, "sent to another POP");
            shared.shard.drive(|core, now| {
                // Once only, and not if this edge itself is about to go.
                if core.retire_uplink(now, uplink) {
                    core.add_uplink(now);
                }
            });
        }
        Ok(Action::Kick) => {
            // The core has ended the tunnel and comes back when it may.
            let wait = Duration::from_millis(command.retry_after_ms);
            tracing::warn!(node = shared.node, reason, ?wait, "told to leave");
            if code == Code::Blacklisted {
                // Only the manager knows whether there is a POP for it.
                shared.joiner.forget(uplink);
            }
        }
        Ok(Action::Rate) => {
            let (up, down) = (command.upload_rate, command.download_rate);
            tracing::info!(node = shared.node, up, down, "told how fast it may be");
        }
        Ok(Action::None) if code == Code::DuplicateNode => {
            tracing::warn!(
                node = shared.node,
                "another edge runs with this `node_id` and is turned away while this one is here: give \
                 each edge an id of its own"
            );
        }
        Ok(Action::None) | Err(_) => {
            tracing::info!(node = shared.node, ?command, "an order that is not known");
        }
    }
}

/// Renews tokens for ever, so that a tunnel can be resumed however old it is and whether the manager is
/// there then or not.
async fn renew_tokens<E: Env>(shared: Rc<Shared<E>>) {
    let (env, joiner) = (&shared.env, &shared.joiner);
    loop {
        let uplink = joiner.renewal_due(env).await;
        match joiner.renew(env, shared.way(), uplink).await {
            Ok(()) => tracing::debug!(node = shared.node, "token renewed"),
            Err(error) => {
                tracing::warn!(node = shared.node, %error, "the token is not renewed yet");
            }
        }
    }
}

async fn answer_census<E: Env>(shared: Rc<Shared<E>>, mut requests: mpsc::Receiver<CensusRequest>) {
    while let Some(request) = requests.recv().await {
        let (usage, counters) = shared
            .shard
            .with_core(|core| (core.usage(), core.counters()));
        let (lookups, lookups_waiting) = shared.lookups.census();
        // Whoever asked may have gone.
        let _ = request.send(EdgeCensus {
            usage,
            counters,
            tasks: shared.tasks.len(),
            lookups,
            lookups_waiting,
        });
    }
}

#[cfg(test)]
mod tests;

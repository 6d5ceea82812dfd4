//! What the process of each role runs: the daemons of production, unchanged.

use super::process::{Failed, Process};
use crate::daemons::app::{run_clients, run_target};
use crate::daemons::clock;
use crate::daemons::env::TurmoilEnv;
use crate::daemons::host::{Host, Role, Sample};
use crate::daemons::ports::{MANAGER_PORT, SOCKS_PORT, TUNNEL_PORT};
use crate::daemons::world::Shared;
use core::convert::Infallible;
use core::future::{Future, pending};
use core::pin::Pin;
use core::time::Duration;
use std::net::SocketAddr;
use std::rc::Rc;
use titan_runtime::config::{EdgeConfig, ManagerConfig, PopConfig};
use titan_runtime::daemon::{Stopping, stopped};
use titan_runtime::{edge, manager, pop};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time;

/// How often a daemon is looked into.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

type Running = Pin<Box<dyn Future<Output = Result<(), Failed>>>>;

/// Starts the process of a host.
pub(super) fn start(shared: &Rc<Shared>, host: &Rc<Host>) -> Process {
    let env = TurmoilEnv::new(shared.network.clone(), host.ip);
    shared.network.begin_life(host.ip);
    let (shared, host) = (Rc::clone(shared), Rc::clone(host));
    Process::start(|stop| -> Running {
        match host.role {
            Role::Client => other(run_clients(shared, env)),
            Role::Target => other(run_target(shared, env, host.ip)),
            Role::Manager => other(run_manager(shared, host, env, stop)),
            Role::Pop => Box::pin(run_pop(shared, host, env, stop)),
            Role::Edge => other(run_edges(shared, host, env, stop)),
        }
    })
}

fn other(run: impl Future<Output = Result<(), String>> + 'static) -> Running {
    Box::pin(async move { run.await.map_err(Failed::Other) })
}

async fn run_manager(
    shared: Rc<Shared>,
    host: Rc<Host>,
    env: TurmoilEnv,
    stop: Stopping,
) -> Result<(), String> {
    let config = ManagerConfig {
        data: shared.data(&host.name),
        listen: (host.ip, MANAGER_PORT).into(),
        insecure: true,
        ..ManagerConfig::default()
    };
    let (ready, _) = oneshot::channel();
    let outcome = manager::run(env, config, shared.store.clone(), ready, stopped(stop)).await;
    outcome.map_err(|error| error.to_string())
}

async fn run_pop(
    shared: Rc<Shared>,
    host: Rc<Host>,
    env: TurmoilEnv,
    stop: Stopping,
) -> Result<(), Failed> {
    let tunnels = SocketAddr::new(host.ip, TUNNEL_PORT);
    let config = PopConfig {
        id: host.id(),
        // Its own: the key for node tokens comes from the store, as on a host of its own.
        data: shared.data(&host.name),
        listen_socks: Some((host.ip, SOCKS_PORT).into()),
        listen_tunnels: tunnels,
        public_url: format!("ws://{tunnels}"),
        insecure: true,
        resume_over_plaintext: true,
        ..PopConfig::default()
    };
    let (ready, bound) = oneshot::channel::<pop::PopReady>();
    let (ask, requests) = mpsc::channel::<pop::CensusRequest>(1);
    let store = shared.store.clone();
    let daemon = pop::run(env, config, store, None, ready, requests, stop);
    let look = looking(&host, &host.name, ask, |census| Sample {
        usage: census.usage,
        counters: census.counters,
        clients: census.clients,
        carriers: census.carriers,
    });
    // One that never gets so far carries nothing.
    let name = async {
        if let Ok(bound) = bound.await {
            shared.network.name_life(host.ip, bound.incarnation);
        }
        pending::<Infallible>().await
    };
    let outcome = tokio::select! {
        biased;
        outcome = daemon => outcome,
        never = look => match never {},
        never = name => match never {},
    };
    outcome.map_err(|error| {
        if matches!(error, pop::PopError::TakenOver(_)) {
            return Failed::TakenOver;
        }
        Failed::Other(error.to_string())
    })
}

async fn run_edges(
    shared: Rc<Shared>,
    host: Rc<Host>,
    env: TurmoilEnv,
    stop: Stopping,
) -> Result<(), String> {
    let copies = shared.scenario.topology.copies;
    let mut edges = JoinSet::new();
    for copy in 1..=copies {
        let node = match copies {
            1 => host.name.clone(),
            _ => format!("{}-{copy}", host.name),
        };
        let (shared, host) = (Rc::clone(&shared), Rc::clone(&host));
        let (env, stop) = (env.clone(), stop.clone());
        edges.spawn_local(run_edge(shared, host, node, env, stop));
    }
    while let Some(ended) = edges.join_next().await {
        ended.map_err(|error| error.to_string())??;
    }
    Ok(())
}

async fn run_edge(
    shared: Rc<Shared>,
    host: Rc<Host>,
    node: String,
    env: TurmoilEnv,
    stop: Stopping,
) -> Result<(), String> {
    let manager = SocketAddr::new(shared.ip("manager"), MANAGER_PORT);
    let config = EdgeConfig {
        node_id: node.clone(),
        manager: format!("http://{manager}"),
        join: Some(shared.join.clone()),
        insecure: true,
        ..EdgeConfig::default()
    };
    let (ask, requests) = mpsc::channel::<edge::CensusRequest>(1);
    let (attached, mut stands) = mpsc::channel(1);
    let daemon = edge::run(env, config, None, attached, requests, stop);
    let look = looking(&host, &node, ask, |census| Sample {
        usage: census.usage,
        counters: census.counters,
        ..Sample::default()
    });
    let count = async {
        while stands.recv().await.is_some() {
            shared.log.note(format_args!("{node} is attached"));
            host.looks
                .borrow_mut()
                .entry(node.clone())
                .or_default()
                .attached += 1;
        }
        pending().await
    };
    let outcome = tokio::select! {
        biased;
        outcome = daemon => outcome,
        never = look => match never {},
        () = count => Ok(()),
    };
    outcome.map_err(|error| error.to_string())
}

/// Looks into a daemon again and again.
async fn looking<T>(
    host: &Host,
    name: &str,
    ask: mpsc::Sender<oneshot::Sender<T>>,
    sample: impl Fn(T) -> Sample,
) -> Infallible {
    loop {
        time::sleep(LOOK_INTERVAL).await;
        let (answer, answered) = oneshot::channel();
        if ask.send(answer).await.is_err() {
            pending().await
        }
        if let Ok(census) = answered.await {
            let mut looks = host.looks.borrow_mut();
            looks
                .entry(name.to_owned())
                .or_default()
                .saw(sample(census), clock::now());
        }
    }
}

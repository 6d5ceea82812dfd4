//! The real daemons in a simulated network, and who uses them.
//!
//! ```text
//!  client 10.0.0.1 ──SOCKS5──▶ pop 10.0.0.2 ◀══ edge-1, edge-2 … 10.0.1.x ──▶ targets 45.0.0.x
//!                                  └────── store ────── manager 10.0.0.3
//! ```
//!
//! Hosts are called as above; there may be further POPs, `pop-2` at 10.0.0.12 and so on. Manager, POP and edges are those of production, each a process of its
//! own that can be stopped or killed; they share one store in memory. Carriers are in clear and may
//! be resumed all the same. Everything panics where a test would have to.

mod client;
mod payload;
mod process;
mod rest;
mod rogue;
mod target;

pub use client::{Client, Demand, Destination, Outcome, exchange, read_reply};
pub use payload::Payload;
pub use process::Process;
pub use rogue::{Farewell, Rogue};
pub use target::{Targets, Visit};

use crate::net::{Network, SimEnv};
use core::time::Duration;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use tempfile::TempDir;
use titan_runtime::auth::{Cost, hash_password};
use titan_runtime::config::{EdgeConfig, ManagerConfig, PopConfig};
use titan_runtime::daemon::stopped;
use titan_runtime::edge::{self, EdgeCensus};
use titan_runtime::env::Env as _;
use titan_runtime::manager::{self, ADMIN_TOKEN_FILE, JOIN_SECRET_FILE};
use titan_runtime::pop::{self, PopCensus, PopError};
use titan_runtime::store::{
    Embedded, Location, Mode, NewUser, Nodes as _, Page, ReplyMode, Users as _,
};
use titan_runtime::token::{Secret, Signer};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};

/// The id of the POP.
const POP_ID: &str = "pop-1";

/// Where the manager listens.
const MANAGER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 3)), 41004);

/// The user who is answered before the target is dialled.
pub const FAST: &str = "fast";

/// The user who is answered with the outcome of the dial.
pub const TRUTHFUL: &str = "truthful";

/// The password of both.
pub const PASSWORD: &str = "correct horse";

/// How long a daemon may take to come up.
const PATIENCE: Duration = Duration::from_secs(120);

/// A manager, a POP and edges in a network.
#[derive(Debug)]
pub struct Overlay {
    network: Network,
    store: Embedded,
    data: TempDir,
    join: Secret,
    signer: Signer,
    client: SimEnv,
    /// What POPs are started with.
    pub pop_config: PopConfig,
    /// What edges are started with, but for the node id.
    pub edge_config: EdgeConfig,
    /// What the manager is started with.
    pub manager_config: ManagerConfig,
    manager: Option<Process>,
    pop: Option<(Process, mpsc::Sender<pop::CensusRequest>)>,
    more_pops: BTreeMap<u8, Process>,
    edges: BTreeMap<String, (Process, mpsc::Sender<edge::CensusRequest>)>,
    /// By node and POP, the generation under which it was last seen online there.
    generations: BTreeMap<(String, String), u64>,
}

impl Overlay {
    /// Makes the hosts of client, POP and manager and fills the store; no daemon runs yet.
    pub async fn new(network: &Network) -> Self {
        let host = |name, last| network.host(name, IpAddr::from([10, 0, 0, last]));
        let client = host("client", 1);
        let (pop, manager) = (host("pop", 2), host("manager", 3));
        drop((pop, manager));
        let data = TempDir::new().expect("a temporary directory can be made");
        let path = data.path();
        let join = Secret::load_or_create(&path.join(JOIN_SECRET_FILE), [1; 32]).expect("a secret");
        let signer = Signer::load_or_create(path, [2; 32]).expect("a key");
        let (begun, started) = (client.unix_time(), tokio::time::Instant::now());
        let clock = move || (begun + started.elapsed()).as_secs();
        let store = Embedded::open_at(&Location::Memory, Mode::Inline, clock);
        let store = store.expect("memory can be opened");
        for (name, reply) in [(FAST, ReplyMode::Fast), (TRUTHFUL, ReplyMode::Truthful)] {
            let cheap = Cost {
                memory_kib: 8,
                passes: 1,
            };
            let hash = hash_password(PASSWORD, [3; 16], cheap);
            let mut user = NewUser::new(name.to_owned(), hash, 0);
            user.settings.reply = reply;
            store.create_user(user).await.expect("the name is free");
        }
        let pop_config = PopConfig {
            id: POP_ID.to_owned(),
            data: path.to_owned(),
            listen_socks: Some(([10, 0, 0, 2], 1080).into()),
            listen_tunnels: ([10, 0, 0, 2], 41005).into(),
            public_url: "ws://10.0.0.2:41005".to_owned(),
            insecure: true,
            resume_over_plaintext: true,
            ..PopConfig::default()
        };
        let edge_config = EdgeConfig {
            manager: "http://10.0.0.3:41004".to_owned(),
            join: Some(join.clone()),
            insecure: true,
            ..EdgeConfig::default()
        };
        let manager_config = ManagerConfig {
            data: path.to_owned(),
            listen: MANAGER,
            insecure: true,
            ..ManagerConfig::default()
        };
        Self {
            network: network.clone(),
            store,
            data,
            join,
            signer,
            client,
            pop_config,
            edge_config,
            manager_config,
            manager: None,
            pop: None,
            more_pops: BTreeMap::new(),
            edges: BTreeMap::new(),
            generations: BTreeMap::new(),
        }
    }

    /// Brings up manager, POP and this many edges, and waits until all are online.
    pub async fn up(network: &Network, edge_count: u8) -> Self {
        let mut overlay = Self::new(network).await;
        overlay.start(edge_count).await;
        overlay
    }

    /// Brings up manager, POP and edges `edge-1`, `edge-2` … and waits until all are online.
    pub async fn start(&mut self, edge_count: u8) {
        self.start_manager().await;
        self.start_pop().await;
        for index in 1..=edge_count {
            let name = self.add_edge(index);
            self.start_edge(&name);
            self.online(&name).await;
        }
    }

    /// Returns the network.
    #[must_use]
    pub const fn network(&self) -> &Network {
        &self.network
    }

    /// Returns the store.
    #[must_use]
    pub const fn store(&self) -> &Embedded {
        &self.store
    }

    /// Returns a client of this user.
    #[must_use]
    pub fn client(&self, user: &str) -> Client {
        Client::new(self.client.clone(), self.socks(), user, PASSWORD)
    }

    /// Returns a client of this user and password on another host.
    #[must_use]
    pub fn client_at(&self, host: &str, user: &str, password: &str) -> Client {
        Client::new(self.network.env(host), self.socks(), user, password)
    }

    /// Returns where applications connect.
    #[must_use]
    pub fn socks(&self) -> SocketAddr {
        self.pop_config.client_listeners()[0].at
    }

    /// Returns where edges connect.
    #[must_use]
    pub const fn tunnels(&self) -> SocketAddr {
        self.pop_config.listen_tunnels
    }

    /// Issues a token for a node, as the manager would.
    #[must_use]
    pub fn token(&self, node: &str) -> String {
        let now = self.client.unix_time().as_secs();
        self.signer
            .issue(node, POP_ID, now, Duration::from_secs(3_600))
    }

    /// Starts the manager and waits until it listens.
    pub async fn start_manager(&mut self) {
        let config = self.manager_config.clone();
        let (env, store) = (self.network.env("manager"), self.store.clone());
        let (ready, bound) = oneshot::channel();
        let process = Process::start(|stop| async move {
            let outcome = manager::run(env, config, store, ready, stopped(stop)).await;
            outcome.expect("a manager runs until it is stopped");
        });
        bound.await.expect("the manager comes up");
        self.manager = Some(process);
    }

    /// Kills the manager.
    pub async fn kill_manager(&mut self) {
        self.manager.take().expect("it runs").kill().await;
    }

    /// Starts the POP and waits until it listens.
    pub async fn start_pop(&mut self) {
        let (env, store) = (self.network.env("pop"), self.store.clone());
        let config = self.pop_config.clone();
        let (ready, bound) = oneshot::channel();
        let (census, requests) = mpsc::channel(1);
        let process = Process::start(|stop| async move {
            match pop::run(env, config, store, None, ready, requests, stop).await {
                Ok(()) | Err(PopError::TakenOver(_)) => {}
                Err(error) => panic!("a POP runs until it is stopped: {error}"),
            }
        });
        bound.await.expect("the POP comes up");
        self.pop = Some((process, census));
    }

    /// Kills the POP: its sockets end as its kernel ends them.
    pub async fn kill_pop(&mut self) {
        self.pop.take().expect("it runs").0.kill().await;
    }

    /// Starts another POP on a host of its own, `pop-2` and so on, and waits until it listens.
    pub async fn start_another_pop(&mut self, index: u8) {
        self.start_another_pop_as(index, &format!("pop-{index}"))
            .await;
    }

    /// Starts another POP on a host of its own under any id, and waits until it listens.
    pub async fn start_another_pop_as(&mut self, index: u8, id: &str) {
        let name = format!("pop-{index}");
        let ip = IpAddr::from([10, 0, 0, 10 + index]);
        let (env, store) = (self.network.host(&name, ip), self.store.clone());
        let config = PopConfig {
            id: id.to_owned(),
            listen_socks: Some((ip, 1080).into()),
            listen_tunnels: (ip, 41005).into(),
            public_url: format!("ws://{ip}:41005"),
            ..self.pop_config.clone()
        };
        let (ready, bound) = oneshot::channel();
        let process = Process::start(|stop| async move {
            let (_, census) = mpsc::channel(1);
            let outcome = pop::run(env, config, store, None, ready, census, stop).await;
            outcome.expect("a POP runs until it is stopped");
        });
        bound.await.expect("the POP comes up");
        self.more_pops.insert(index, process);
    }

    /// Returns a client of this user at another POP.
    #[must_use]
    pub fn client_of_another(&self, index: u8, user: &str) -> Client {
        let socks = (IpAddr::from([10, 0, 0, 10 + index]), 1080).into();
        Client::new(self.client.clone(), socks, user, PASSWORD)
    }

    /// Tells the POP to drain, as SIGTERM does.
    pub fn drain_pop(&self) {
        self.pop.as_ref().expect("it runs").0.drain();
    }

    /// Tells whether the POP has ended by itself.
    #[must_use]
    pub fn pop_has_ended(&self) -> bool {
        self.pop.as_ref().expect("it was started").0.has_ended()
    }

    /// Waits until the POP has ended by itself.
    pub async fn pop_ended(&mut self) {
        self.pop.take().expect("it runs").0.ended().await;
    }

    /// Tells the edge of a host to drain, as SIGTERM does.
    pub fn drain_edge(&self, host: &str) {
        self.edges.get(host).expect("it runs").0.drain();
    }

    /// Waits until the edge of a host has ended by itself.
    pub async fn edge_ended(&mut self, host: &str) {
        let (process, _) = self.edges.remove(host).expect("it runs");
        process.ended().await;
    }

    /// Asks the manager's REST API as an operator; returns status and body.
    pub async fn ask_manager(&self, method: &str, path: &str) -> (u16, String) {
        self.tell_manager(method, path, "").await
    }

    /// As [`ask_manager`](Self::ask_manager), with a body in JSON.
    pub async fn tell_manager(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let token = Secret::load(&self.data.path().join(ADMIN_TOKEN_FILE)).expect("a token");
        rest::ask(&self.client, MANAGER, token.expose(), method, path, body).await
    }

    /// Stops the POP at once, as a second SIGTERM does.
    pub async fn stop_pop(&mut self) {
        self.pop.take().expect("it runs").0.stop().await;
    }

    /// Makes the host of an edge and returns its name, which is also the id of its node.
    pub fn add_edge(&self, index: u8) -> String {
        let name = format!("edge-{index}");
        drop(self.network.host(&name, IpAddr::from([10, 0, 1, index])));
        name
    }

    /// Starts the edge of a host.
    pub fn start_edge(&mut self, host: &str) {
        self.start_edge_as(host, host);
    }

    /// Starts an edge on a host under the id of any node.
    pub fn start_edge_as(&mut self, host: &str, node: &str) {
        let config = EdgeConfig {
            node_id: node.to_owned(),
            ..self.edge_config.clone()
        };
        let env = self.network.env(host);
        let (census, requests) = mpsc::channel(1);
        let process = Process::start(|stop| async move {
            let (attached, _) = mpsc::channel(1);
            let outcome = edge::run(env, config, None, attached, requests, stop).await;
            outcome.expect("an edge runs until it is stopped");
        });
        self.edges.insert(host.to_owned(), (process, census));
    }

    /// Kills the edge of a host: its sockets end as its kernel ends them.
    pub async fn kill_edge(&mut self, host: &str) {
        let (process, _) = self.edges.remove(host).expect("it runs");
        process.kill().await;
    }

    /// Stops the edge of a host at once, as a second SIGTERM does.
    pub async fn stop_edge(&mut self, host: &str) {
        let (process, _) = self.edges.remove(host).expect("it runs");
        process.stop().await;
    }

    /// Waits until the node has come to a POP once more than when this was last asked. To resume is
    /// not to come: see [`resumed`](Self::resumed).
    pub async fn online(&mut self, node: &str) {
        let wait = async {
            loop {
                if let Some((pop, now)) = self.generation(node).await {
                    let there = (node.to_owned(), pop);
                    let known = self.generations.get(&there);
                    if known.is_none_or(|known| now > *known) {
                        return (there, now);
                    }
                }
                sleep(Duration::from_millis(1)).await;
            }
        };
        let came = timeout(PATIENCE, wait).await;
        let (there, generation) = came.unwrap_or_else(|_| panic!("{node} does not come online"));
        self.generations.insert(there, generation);
    }

    /// Waits until carriers have resumed tunnels at the POP this many times since it was started.
    pub async fn resumed(&self, times: u64) {
        let wait = async {
            while self.pop_census().await.counters.resumes < times {
                sleep(Duration::from_millis(1)).await;
            }
        };
        let done = timeout(PATIENCE, wait).await;
        done.unwrap_or_else(|_| panic!("no tunnel was resumed for the {times}th time"));
    }

    /// Empties the store, as another run of it, of everything that it was told.
    pub fn empty_store(&self) {
        let empty = Embedded::open(&Location::Memory, Mode::Inline);
        let emptied = self.store.fail_over(&empty.expect("memory can be opened"));
        emptied.expect("both are in memory");
    }

    /// Returns the POP that lists a node, and a number that grows whenever the node comes there anew; none
    /// while it is not listed.
    pub async fn generation(&self, node: &str) -> Option<(String, u64)> {
        let listed = self.store.nodes(Page::first(1_000)).await;
        let nodes = listed.expect("the store is there").items;
        nodes
            .into_iter()
            .find(|entry| entry.id == node)
            .map(|entry| (entry.pop, entry.generation))
    }

    /// Returns what the POP holds.
    pub async fn pop_census(&self) -> PopCensus {
        let (ask, answer) = oneshot::channel();
        let (_, census) = self.pop.as_ref().expect("it runs");
        census.send(ask).await.expect("the POP listens");
        answer.await.expect("the POP answers")
    }

    /// Returns what the edge of a host holds.
    pub async fn edge_census(&self, host: &str) -> EdgeCensus {
        let (ask, answer) = oneshot::channel();
        let (_, census) = self.edges.get(host).expect("it runs");
        census.send(ask).await.expect("the edge listens");
        answer.await.expect("the edge answers")
    }

    /// Returns the join secret.
    #[must_use]
    pub const fn join(&self) -> &Secret {
        &self.join
    }
}

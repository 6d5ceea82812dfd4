//! Tells the store which nodes are online here, without the data path ever waiting for it.

use super::Shared;
use super::blacklist::Visitor;
use crate::carrier::handshake::UpgradeRequest;
use crate::config::PopConfig;
use crate::env::Env;
use crate::store::{BATCH_MAX, NodeEntry, NodeRtt, PopEntry, Store, StoreError};
use core::cell::{Cell, RefCell};
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::rc::Rc;
use titan_core::time::Instant;
use tokio::sync::Notify;

/// How long the store believes that this POP lives without hearing from it.
const LEASE: Duration = Duration::from_secs(30);

/// How often it hears: the lease survives two losses.
const RENEWAL: Duration = Duration::from_secs(10);

/// How often a POP looks whether it was ordered to drain.
const ORDER_INTERVAL: Duration = Duration::from_secs(1);

/// How long to wait after the store has failed.
const RETRY: Duration = Duration::from_secs(1);

/// Nodes seen here, and which of them the store does not know yet. As long as the list of nodes,
/// whatever happens to the store.
#[derive(Debug)]
pub(super) struct Registrar {
    entry: PopEntry,
    generation: Cell<u64>,
    nodes: RefCell<BTreeMap<String, Known>>,
    dirty: RefCell<BTreeSet<String>>,
    /// Nodes whose round trip time the store does not know yet.
    measured: RefCell<BTreeSet<String>>,
    changed: Notify,
}

#[derive(Clone, Debug)]
struct Known {
    ip: IpAddr,
    /// Where its carriers come from, each as often as it has some.
    carriers: Vec<IpAddr>,
    /// It is here because it is on a blacklist.
    confined: bool,
    os: String,
    version: String,
    /// In Unix seconds; none while the node is not online.
    online_since: Option<u64>,
    generation: u64,
    rtt_ms: Option<u32>,
}

impl Registrar {
    pub(super) fn new<E: Env>(env: &E, config: &PopConfig) -> Self {
        let incarnation = u64::try_from(env.unix_time().as_micros()).unwrap_or(u64::MAX);
        Self {
            entry: PopEntry {
                id: config.id.clone(),
                incarnation,
                url: config.public_url.clone(),
                info: format!(r#"{{"version":"{}"}}"#, env!("CARGO_PKG_VERSION")),
            },
            generation: Cell::new(incarnation),
            nodes: RefCell::default(),
            dirty: RefCell::default(),
            measured: RefCell::default(),
            changed: Notify::new(),
        }
    }

    pub(super) const fn incarnation(&self) -> u64 {
        self.entry.incarnation
    }

    /// Notes what a node says about itself when it connects.
    pub(super) fn seen(&self, request: &UpgradeRequest, visitor: Visitor<'_>) {
        let Visitor { ip, confined, .. } = visitor;
        let mut nodes = self.nodes.borrow_mut();
        let known = nodes.entry(request.id.clone()).or_insert(Known {
            ip,
            carriers: Vec::new(),
            confined,
            os: String::new(),
            version: String::new(),
            online_since: None,
            generation: 0,
            rtt_ms: None,
        });
        known.confined = confined;
        known.carriers.push(ip);
        let same = known.ip == ip && known.os == request.os && known.version == request.version;
        known.ip = ip;
        known.os.clone_from(&request.os);
        known.version.clone_from(&request.version);
        if !same && known.online_since.is_some() {
            self.mark(&request.id);
        }
    }

    /// Returns the nodes that connect from an address, in its canonical form.
    pub(super) fn nodes_at(&self, ip: IpAddr) -> Vec<String> {
        let (nodes, ip) = (self.nodes.borrow(), ip.to_canonical());
        let there = nodes
            .iter()
            .filter(|(_, known)| known.ip == ip || known.carriers.contains(&ip));
        there.map(|(node, _)| node.clone()).collect()
    }

    /// Returns every node that is connected here.
    pub(super) fn all_nodes(&self) -> Vec<String> {
        self.nodes.borrow().keys().cloned().collect()
    }

    /// Notes that a carrier that was seen is over.
    pub(super) fn ended(&self, node: &str, ip: IpAddr) {
        if let Some(known) = self.nodes.borrow_mut().get_mut(node)
            && let Some(place) = known.carriers.iter().position(|&other| other == ip)
        {
            known.carriers.swap_remove(place);
        }
    }

    /// Returns from where a node connects, and whether it is here because it is on a blacklist.
    pub(super) fn whence(&self, node: &str) -> Option<(Vec<IpAddr>, bool)> {
        let nodes = self.nodes.borrow();
        let known = nodes.get(node)?;
        let mut ips = known.carriers.clone();
        ips.push(known.ip);
        Some((ips, known.confined))
    }

    /// Lets the store, which may have forgotten, hear of every node again.
    pub(super) fn tell_again(&self) {
        let nodes = self.nodes.borrow();
        let online = nodes
            .iter()
            .filter(|(_, known)| known.online_since.is_some());
        let mut dirty = self.dirty.borrow_mut();
        dirty.extend(online.map(|(node, _)| node.clone()));
        self.changed.notify_one();
    }

    /// Forgets a node whose carrier came to nothing.
    pub(super) fn forget(&self, node: &str) {
        let mut nodes = self.nodes.borrow_mut();
        let idle = nodes
            .get(node)
            .is_some_and(|known| known.online_since.is_none());
        if idle && !self.dirty.borrow().contains(node) {
            nodes.remove(node);
        }
    }

    /// Notes that a node can be used. One that only resumed is where it was: it must not take its home
    /// back from the POP that it is to move to.
    pub(super) fn attached<E: Env>(&self, env: &E, node: &str, resumed: bool) {
        let generation = self.generation.get() + 1;
        self.generation.set(generation);
        if let Some(known) = self.nodes.borrow_mut().get_mut(node) {
            if resumed && known.online_since.is_some() {
                return;
            }
            known
                .online_since
                .get_or_insert_with(|| env.unix_time().as_secs());
            known.generation = generation;
            self.mark(node);
        }
    }

    /// Notes that a node's tunnel is over.
    pub(super) fn gone(&self, node: &str) {
        if let Some(known) = self.nodes.borrow_mut().get_mut(node) {
            known.online_since = None;
            self.mark(node);
        }
    }

    /// Lets what this POP is about reach the store at once.
    pub(super) fn wake(&self) {
        self.changed.notify_one();
    }

    fn mark(&self, node: &str) {
        self.dirty.borrow_mut().insert(node.to_owned());
        self.changed.notify_one();
    }

    /// Takes over round trip times that have changed by more than a tenth.
    fn measure(&self, measured: &[(String, u32)]) {
        let mut nodes = self.nodes.borrow_mut();
        for (node, rtt_ms) in measured {
            let Some(known) = nodes.get_mut(node) else {
                continue;
            };
            let stale = known
                .rtt_ms
                .is_none_or(|old| old.abs_diff(*rtt_ms) > old / 10);
            if stale && known.online_since.is_some() {
                known.rtt_ms = Some(*rtt_ms);
                self.measured.borrow_mut().insert(node.clone());
            }
        }
    }

    /// Writes changes, one at least; what fails stays to be written. Goes on after `until` with the next
    /// call: a slow store must not keep this POP from renewing its lease.
    async fn flush<E: Env, S: Store>(
        &self,
        env: &E,
        store: &S,
        until: Instant,
    ) -> Result<(), StoreError> {
        loop {
            let Some(node) = self.dirty.borrow_mut().pop_first() else {
                break;
            };
            let known = self.nodes.borrow().get(&node).cloned();
            let Some(known) = known else { continue };
            // The entry says this, too.
            self.measured.borrow_mut().remove(&node);
            if let Err(error) = self.write(store, &node, known).await {
                self.dirty.borrow_mut().insert(node);
                return Err(error);
            }
            if env.now() >= until {
                self.changed.notify_one();
                return Ok(());
            }
        }
        self.flush_measured(store).await
    }

    /// Writes round trip times, many at a time (requirement W9).
    async fn flush_measured<S: Store>(&self, store: &S) -> Result<(), StoreError> {
        loop {
            let batch: Vec<String> = {
                let measured = self.measured.borrow();
                measured.iter().take(BATCH_MAX).cloned().collect()
            };
            if batch.is_empty() {
                return Ok(());
            }
            let rtts: Vec<NodeRtt> = {
                let nodes = self.nodes.borrow();
                let rtt = |id: &String| {
                    let known = nodes.get(id).filter(|known| known.online_since.is_some())?;
                    Some(NodeRtt {
                        id: id.clone(),
                        generation: known.generation,
                        rtt_ms: known.rtt_ms?,
                    })
                };
                batch.iter().filter_map(rtt).collect()
            };
            if !rtts.is_empty() {
                store.nodes_measured(&self.entry.id, rtts).await?;
            }
            let mut measured = self.measured.borrow_mut();
            for node in &batch {
                measured.remove(node);
            }
        }
    }

    async fn write<S: Store>(&self, store: &S, node: &str, known: Known) -> Result<(), StoreError> {
        let Known {
            ip,
            carriers: _,
            confined: _,
            os,
            version,
            online_since,
            generation,
            rtt_ms,
        } = known;
        let pop = self.entry.id.clone();
        let Some(online_since) = online_since else {
            store.node_offline(node, &pop, generation).await?;
            let mut nodes = self.nodes.borrow_mut();
            if nodes
                .get(node)
                .is_some_and(|now| now.online_since.is_none())
            {
                nodes.remove(node);
            }
            return Ok(());
        };
        let id = node.to_owned();
        let entry = NodeEntry {
            id,
            pop,
            generation,
            ip,
            os,
            version,
            online_since,
            rtt_ms,
        };
        store.node_online(entry).await
    }
}

/// Keeps the store informed for ever.
pub(super) async fn keep<E: Env, S: Store>(shared: Rc<Shared<E, S>>, store: S) {
    let (env, registrar) = (&shared.env, &shared.registrar);
    let mut renewal = env.now();
    let mut look = renewal;
    // The store knows that this POP drains.
    let mut marked = false;
    let mut available = true;
    loop {
        let outcome = async {
            let entry = &registrar.entry;
            if env.now() >= renewal {
                let now = env.unix_time().as_secs();
                store
                    .pop_alive(entry.clone(), now, now + LEASE.as_secs())
                    .await?;
                renewal = env.now() + RENEWAL;
                // A store that has lost its memory has lost this, too.
                marked = false;
                registrar.measure(&round_trips(&shared));
            }
            if shared.drain.is_begun() {
                if !marked {
                    store.drain_pop(&entry.id, entry.incarnation).await?;
                    marked = true;
                }
                look = renewal;
            } else if env.now() >= look {
                look = env.now() + ORDER_INTERVAL;
                if store.is_pop_draining(&entry.id, entry.incarnation).await? {
                    shared.drain.order();
                }
            }
            registrar.flush(env, &store, renewal.min(look)).await
        };
        match outcome.await {
            Ok(()) => {
                if !available {
                    tracing::info!("the store is back");
                }
                available = true;
                tokio::select! {
                    biased;
                    () = registrar.changed.notified() => {}
                    () = env.sleep_until(renewal.min(look)) => {}
                }
            }
            Err(error) => {
                if available {
                    tracing::warn!(%error, "the store does not take the list of nodes");
                }
                available = false;
                env.sleep_until(env.now() + RETRY).await;
            }
        }
    }
}

/// Tells the store that this POP is leaving. If it cannot be told, the lease tells it.
pub(super) async fn leave<E: Env, S: Store>(shared: &Shared<E, S>, store: &S) {
    let entry = &shared.registrar.entry;
    if let Err(error) = store.pop_gone(&entry.id, entry.incarnation).await {
        tracing::warn!(%error, "the store was not told");
    }
}

fn round_trips<E: Env, S: Store>(shared: &Shared<E, S>) -> Vec<(String, u32)> {
    shared.shard.look(|core| {
        let millis = |rtt: Duration| u32::try_from(rtt.as_millis()).unwrap_or(u32::MAX);
        let nodes = core.nodes().into_iter();
        nodes
            .filter_map(|view| Some((view.node.to_owned(), millis(view.rtt?))))
            .collect()
    })
}

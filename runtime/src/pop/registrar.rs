//! Tells the store which nodes are online here, without the data path ever waiting for it.

mod incarnation;
mod picture;

pub(super) use incarnation::{Incarnation, claim as claim_incarnation};

use super::Shared;
use super::blacklist::Visitor;
use super::patience::Patience;
use crate::carrier::handshake::UpgradeRequest;
use crate::config::PopConfig;
use crate::env::Env;
use crate::store::{BATCH_MAX, NodeEntry, NodeRtt, PopEntry, Prefix, Store, StoreError};
use core::cell::Cell;
use core::time::Duration;
use picture::{Contest, Known, Picture};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::rc::Rc;
use titan_core::time::Instant;

/// How long the store believes that this POP lives without hearing from it.
const LEASE: Duration = Duration::from_secs(30);

/// How often it hears: the lease survives two losses.
const RENEWAL: Duration = Duration::from_secs(10);

/// How often a POP looks whether it was ordered to drain.
const ORDER_INTERVAL: Duration = Duration::from_secs(1);

/// How long to wait after the store has failed.
const RETRY: Duration = Duration::from_secs(1);

/// How often the nodes listed here are compared with those that the core has.
const COMPARISON: Duration = Duration::from_secs(2);

/// What this POP tells the store about itself and its nodes.
#[derive(Debug)]
pub(super) struct Registrar {
    entry: PopEntry,
    picture: Picture,
    /// The store may have forgotten that this POP is registered.
    forgotten: Cell<bool>,
    /// Another process is registered under this POP's id.
    superseded: Cell<bool>,
}

impl Registrar {
    pub(super) fn new(config: &PopConfig, incarnation: Incarnation) -> Self {
        let Incarnation { number, nonce } = incarnation;
        Self {
            entry: PopEntry {
                id: config.id.clone(),
                incarnation: number,
                nonce,
                url: config.public_url.clone(),
                info: format!(r#"{{"version":"{}"}}"#, env!("CARGO_PKG_VERSION")),
            },
            picture: Picture::new(number),
            forgotten: Cell::new(false),
            superseded: Cell::new(false),
        }
    }

    pub(super) const fn incarnation(&self) -> u64 {
        self.entry.incarnation
    }

    /// Notes what a node says about itself when it connects.
    pub(super) fn seen(&self, request: &UpgradeRequest, visitor: Visitor<'_>) {
        self.picture.seen(request, visitor);
    }

    /// Notes that a carrier that was seen is over.
    pub(super) fn ended(&self, node: &str, ip: IpAddr) {
        self.picture.ended(node, ip);
    }

    /// Notes that a node can be used.
    pub(super) fn attached<E: Env>(&self, env: &E, node: &str, resumed: bool) {
        let now = env.unix_time().as_secs();
        self.picture.attached(now, node, resumed);
    }

    /// Notes that another process with a node's id was turned away.
    pub(super) fn contested<E: Env>(&self, env: &E, node: &str) {
        let contest = Contest {
            at: env.now(),
            unix_time: env.unix_time().as_secs(),
        };
        self.picture.contested(contest, node);
    }

    /// Notes that a node's tunnel is over.
    pub(super) fn gone(&self, node: &str) {
        self.picture.gone(node);
    }

    /// Returns the nodes that connect from one of these addresses.
    pub(super) fn nodes_at(&self, prefix: Prefix) -> Vec<String> {
        self.picture.nodes_at(prefix)
    }

    /// Returns every node that is connected here.
    pub(super) fn all_nodes(&self) -> Vec<String> {
        self.picture.all_nodes()
    }

    /// Returns from where a node connects, and whether it is here because it is on a blacklist.
    pub(super) fn whence(&self, node: &str) -> Option<(Vec<IpAddr>, bool)> {
        self.picture.whence(node)
    }

    /// Lets the store, which may have forgotten, hear of this POP and of every node again.
    pub(super) fn tell_again(&self) {
        self.forgotten.set(true);
        self.picture.tell_again();
    }

    /// Lets what this POP is about reach the store at once.
    pub(super) fn wake(&self) {
        self.picture.wake();
    }

    /// Writes changes, one at least; what fails stays to be written. Goes on after `until` with the next
    /// call: a slow store must not keep this POP from renewing its lease.
    async fn flush<E: Env, S: Store>(
        &self,
        env: &E,
        store: &S,
        until: Instant,
    ) -> Result<(), StoreError> {
        while let Some((node, known)) = self.picture.take_dirty() {
            if let Err(error) = self.write(store, &node, known).await {
                self.picture.not_told();
                return Err(error);
            }
            self.picture.told();
            if env.now() >= until {
                self.picture.wake();
                return Ok(());
            }
        }
        self.flush_measured(store).await
    }

    /// Writes round trip times, many at a time (requirement W9).
    async fn flush_measured<S: Store>(&self, store: &S) -> Result<(), StoreError> {
        loop {
            let (batch, rtts) = self.picture.rtts(BATCH_MAX);
            if batch.is_empty() {
                return Ok(());
            }
            let rtt = |(id, generation, rtt_ms)| NodeRtt {
                id,
                generation,
                rtt_ms,
            };
            let rtts: Vec<NodeRtt> = rtts.into_iter().map(rtt).collect();
            if !rtts.is_empty() {
                store.nodes_measured(&self.entry.id, rtts).await?;
            }
            self.picture.told_rtts(&batch);
        }
    }

    async fn write<S: Store>(&self, store: &S, node: &str, known: Known) -> Result<(), StoreError> {
        let pop = self.entry.id.clone();
        let Some(online_since) = known.online_since else {
            store.node_offline(node, &pop, known.generation).await?;
            return Ok(());
        };
        let entry = NodeEntry {
            id: node.to_owned(),
            pop,
            generation: known.generation,
            ip: known.ip,
            os: known.os,
            version: known.version,
            online_since,
            rtt_ms: known.rtt_ms,
            contested_at: known.contested.map(|last| last.unix_time),
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
    let mut taken_over = false;
    loop {
        let outcome = async {
            let entry = &registrar.entry;
            if registrar.forgotten.take() {
                // Due until it is told.
                renewal = env.now();
            }
            if env.now() >= renewal {
                let alive = store.pop_alive(entry.clone(), LEASE.as_secs()).await;
                taken_over = alive == Err(StoreError::Superseded);
                alive?;
                renewal = env.now() + RENEWAL;
                // A store that has lost its memory has lost this, too.
                marked = false;
                registrar.picture.measure(&round_trips(&shared));
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
        let outcome = outcome.await;
        if taken_over {
            return give_way(&shared);
        }
        match outcome {
            Ok(()) => {
                if !available {
                    tracing::info!("the store is back");
                }
                available = true;
                tokio::select! {
                    biased;
                    () = registrar.picture.changed() => {}
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

/// Ends this process, whose id another one has now: users and nodes of both would be taken for the other's.
/// One that drains was announced to go, and does so in its own time.
fn give_way<E: Env, S: Store>(shared: &Shared<E, S>) {
    let pop = &shared.registrar.entry.id;
    shared.registrar.superseded.set(true);
    if shared.drain.is_begun() {
        tracing::info!(
            pop,
            "another process has this POP's id now; this one goes on draining"
        );
    } else {
        tracing::error!(
            pop,
            "another process runs under this POP's id; this one ends"
        );
        shared.taken_over.notify_one();
    }
}

/// Tells the store that this POP is leaving. If it cannot be told, the lease tells it.
pub(super) async fn leave<E: Env, S: Store>(
    shared: &Shared<E, S>,
    store: &S,
    patience: &mut Patience<'_, E>,
) {
    if shared.registrar.superseded.get() {
        // What is registered is the other process's, which may have the same number.
        return;
    }
    let entry = &shared.registrar.entry;
    let told = patience.wait(store.pop_gone(&entry.id, entry.incarnation));
    let error = match told.await {
        Some(Ok(_)) => return,
        Some(Err(error)) => error.to_string(),
        None => "no answer in time".to_owned(),
    };
    tracing::warn!(error, "the store was not told");
}

fn round_trips<E: Env, S: Store>(shared: &Shared<E, S>) -> Vec<(String, u32)> {
    shared.shard.with_core(|core| {
        let millis = |rtt: Duration| u32::try_from(rtt.as_millis()).unwrap_or(u32::MAX);
        let nodes = core.nodes().into_iter();
        nodes
            .filter_map(|view| Some((view.node.to_owned(), millis(view.rtt?))))
            .collect()
    })
}

/// Compares for ever what is listed here with what the core has: no node may be out of reach of orders
/// while it carries. What differs twice in a row is corrected; events under way explain the rest.
pub(super) async fn compare<E: Env, S: Store>(shared: Rc<Shared<E, S>>) {
    let (env, picture) = (&shared.env, &shared.registrar.picture);
    let mut before = BTreeSet::new();
    loop {
        env.sleep_until(env.now() + COMPARISON).await;
        picture.settle(env.now());
        let carrying: BTreeSet<String> = shared.shard.with_core(|core| {
            let nodes = core.nodes().into_iter();
            nodes.map(|view| view.node.to_owned()).collect()
        });
        let now = picture.differences(&carrying);
        for node in now.intersection(&before) {
            tracing::warn!(node, "it was not listed as it is");
            picture.correct(env.unix_time().as_secs(), node, &carrying);
        }
        before = now;
    }
}

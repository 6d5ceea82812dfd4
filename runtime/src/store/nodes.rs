//! Nodes.

use super::{Listing, Page, StoreError};
use std::net::IpAddr;

/// How long it is remembered at which POP a node was, in seconds: a month.
pub const NODE_FORGOTTEN_AFTER: u64 = 30 * 24 * 3_600;

subject! {
    /// Nodes: where they are online, and where they belong.
    pub trait Nodes {
        /// Records that a node is online at a POP. Each POP has its own entry for a node, so no POP can
        /// erase another's; the entry with the latest [`NodeEntry::online_since`] is the one listed.
        /// Repeating it with the same generation updates the entry; an older generation changes nothing.
        ///
        /// # Errors
        /// [`StoreError::Superseded`] if the POP is not registered, or the generation is older than its
        /// registered incarnation.
        fn node_online(&self, node: NodeEntry) -> ();

        /// Removes the entry that `pop` has for a node, unless it has a newer generation.
        fn node_offline(&self, id: &str, pop: &str, generation: u64) -> ();

        /// Records the round-trip times that `pop` measured, at most [`BATCH_MAX`](super::BATCH_MAX) (requirement W9).
        fn nodes_measured(&self, pop: &str, rtts: Vec<NodeRtt>) -> ();

        /// Lists the nodes that are online at a POP whose lease holds, by id.
        fn nodes(&self, page: Page) -> Listing<NodeEntry>;

        /// Lists the entries of one POP, by node, if its lease holds.
        fn pop_nodes(&self, pop: &str, page: Page) -> Listing<NodeEntry>;

        /// Returns what is known of a node; it is forgotten [`NODE_FORGOTTEN_AFTER`] it was seen last.
        fn node(&self, id: &str) -> Option<KnownNode>;

        /// Makes `pop` the home of nodes, at most [`BATCH_MAX`](super::BATCH_MAX): where they are sent when they ask next.
        /// A node that attaches elsewhere later has its home there.
        fn assign_nodes(&self, ids: Vec<String>, pop: &str) -> ();
    }
}

/// A node that is online at a POP.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeEntry {
    /// The node's id.
    pub id: String,
    /// The POP that owns this entry.
    pub pop: String,
    /// Grows with every attachment at this POP, over restarts too.
    pub generation: u64,
    /// The address the node connects from.
    pub ip: IpAddr,
    /// The node's operating system, as it says.
    pub os: String,
    /// The node's version, as it says.
    pub version: String,
    /// Since when it is online, in Unix seconds.
    pub online_since: u64,
    /// The smoothed round-trip time in milliseconds, once measured.
    pub rtt_ms: Option<u32>,
    /// When another process with this id was turned away last, in Unix seconds, to a minute; none if that did
    /// not happen since this one came.
    pub contested_at: Option<u64>,
}

/// A round-trip time measured at a POP.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeRtt {
    /// The node's id.
    pub id: String,
    /// The generation of the entry it belongs to; another entry is left alone.
    pub generation: u64,
    /// The smoothed round-trip time in milliseconds.
    pub rtt_ms: u32,
}

/// What is known of a node, online or not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KnownNode {
    /// The node's id.
    pub id: String,
    /// The POP it belongs to: where it attached last, or where it was sent since.
    pub home: String,
    /// The address it attached from last; none if it was never seen.
    pub ip: Option<IpAddr>,
    /// When it attached or was sent last, in Unix seconds.
    pub seen_at: u64,
    /// Its entry, if it is online.
    pub online: Option<NodeEntry>,
}

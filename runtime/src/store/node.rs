//! POPs, nodes, and who is turned away.

use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// How long an expired POP is remembered before its record is removed, in seconds: a week, so that an
/// operator still sees which POP is missing.
pub const POP_FORGOTTEN_AFTER: u64 = 7 * 24 * 3_600;

/// How long it is remembered at which POP a node was, in seconds: a month.
pub const NODE_FORGOTTEN_AFTER: u64 = 30 * 24 * 3_600;

/// The longest reason for a blacklist entry, in bytes; a longer one is cut.
pub const REASON_MAX: usize = 256;

/// A POP as it registers itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PopEntry {
    /// The POP's id.
    pub id: String,
    /// Grows with every start of the POP: its start time in Unix microseconds. The generations of
    /// its nodes count up from here.
    pub incarnation: u64,
    /// Where edges connect, as in `wss://pop.example:41005`.
    pub url: String,
    /// What else the POP tells about itself, as JSON; at most [`super::META_MAX`] bytes.
    pub info: String,
}

/// A POP as the store knows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PopStatus {
    /// What the POP registered.
    pub pop: PopEntry,
    /// How many nodes are online there.
    pub node_count: u64,
    /// Until when its lease holds, in Unix seconds.
    pub lease_until: u64,
    /// It drains, or is to: no node is to be sent there.
    pub draining: bool,
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

/// Who a blacklist entry turns away.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Subject {
    /// A node, by its id.
    Node(String),
    /// Every node that connects from this address.
    Ip(IpAddr),
}

/// What kind of subject a blacklist lists.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SubjectKind {
    /// Nodes.
    Node,
    /// Addresses.
    Ip,
}

impl Subject {
    /// Returns what kind it is.
    #[must_use]
    pub const fn kind(&self) -> SubjectKind {
        match self {
            Self::Node(_) => SubjectKind::Node,
            Self::Ip(_) => SubjectKind::Ip,
        }
    }

    /// Returns the id or the address as the key of its list. An address has one spelling; one of
    /// IPv4 mapped into IPv6 is the IPv4 address.
    #[must_use]
    pub fn key(&self) -> String {
        match self {
            Self::Node(id) => id.clone(),
            Self::Ip(ip) => ip.to_canonical().to_string(),
        }
    }
}

impl SubjectKind {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Ip => "ip",
        }
    }

    /// Reads what [`Subject::key`] wrote.
    pub(super) fn subject(self, key: String) -> Option<Subject> {
        Some(match self {
            Self::Node => Subject::Node(key),
            Self::Ip => Subject::Ip(key.parse().ok()?),
        })
    }
}

/// An entry of a blacklist.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BlacklistEntry {
    /// Who is turned away.
    pub subject: Subject,
    /// Why, for people; at most [`REASON_MAX`] bytes.
    pub reason: String,
    /// Since when, in Unix seconds.
    pub since: u64,
}

impl BlacklistEntry {
    /// The reason within its bound.
    pub(super) fn reason(&self) -> &str {
        let mut end = self.reason.len().min(REASON_MAX);
        while !self.reason.is_char_boundary(end) {
            end -= 1;
        }
        &self.reason[..end]
    }
}

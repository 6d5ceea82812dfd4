//! Who is turned away.

mod prefix;

pub use prefix::{Prefix, PrefixError};

use super::{Listing, Page, StoreError};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// The longest reason for a blacklist entry, in characters; a longer one is cut.
pub const REASON_MAX: usize = 256;

subject! {
    /// Who is turned away.
    pub trait Blacklists {
        /// Puts subjects on their blacklist, at most [`BATCH_MAX`](super::BATCH_MAX). One that is on it already keeps its
        /// entry.
        fn blacklist_add(&self, entries: Vec<BlacklistEntry>) -> ();

        /// Takes subjects off their blacklist, at most [`BATCH_MAX`](super::BATCH_MAX).
        fn blacklist_remove(&self, subjects: Vec<Subject>) -> ();

        /// Returns why a node at this address is turned away, or none if it is not: by its id, or else by the
        /// longest prefix that is listed.
        fn blacklisted(&self, node: &str, ip: IpAddr) -> Option<BlacklistEntry>;

        /// Lists a blacklist, by [`Subject::key`].
        fn blacklist(&self, kind: SubjectKind, page: Page) -> Listing<BlacklistEntry>;
    }
}

/// Who a blacklist entry turns away.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Subject {
    /// A node, by its id.
    Node(String),
    /// Every node that connects from this address, or from one of this block.
    Ip(Prefix),
}

/// What kind of subject a blacklist lists.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SubjectKind {
    /// Nodes.
    Node,
    /// Addresses and blocks of them.
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

    /// Returns the id, the address or the block as the key of its list. Each has one spelling.
    #[must_use]
    pub fn key(&self) -> String {
        match self {
            Self::Node(id) => id.clone(),
            Self::Ip(prefix) => prefix.to_string(),
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
    /// Why, for people; at most [`REASON_MAX`] characters.
    pub reason: String,
    /// Since when, in Unix seconds.
    pub since: u64,
}

impl BlacklistEntry {
    /// The reason within its bound.
    pub(super) fn reason(&self) -> &str {
        let end = self.reason.char_indices().nth(REASON_MAX);
        end.map_or(&self.reason, |(end, _)| &self.reason[..end])
    }
}

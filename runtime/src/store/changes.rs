//! What changed, for those who remember.

use super::{StoreError, Subject};
use serde::{Deserialize, Serialize};

/// How many changes are kept to be read. A reader that is further behind reloads everything.
pub const CHANGES_KEPT: u64 = 4_096;

/// The most changes in one answer.
pub const CHANGES_MAX: u32 = 1_000;

/// The longest order, as JSON, in bytes.
pub const ORDER_MAX: usize = 4_096;

subject! {
    /// The stream of what changed, and orders in it.
    pub trait ChangeLog {
        /// Tells a POP, by the stream of changes, to do something. Nobody says whether it was done.
        ///
        /// # Errors
        /// [`StoreError::TooLarge`] if the order is longer than [`ORDER_MAX`].
        fn order(&self, pop: &str, at: u64, order: Order) -> ();

        /// Reads the changes after a cursor, at most `limit` and [`CHANGES_MAX`]. Without a cursor it
        /// returns the end of the stream and says to reload.
        ///
        /// It answers at once, also with nothing. Asking takes one round trip and no work.
        fn changes(&self, after: Option<Cursor>, limit: u32) -> Changes;
    }
}

/// A place in the stream of changes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cursor {
    /// The run of the store's server. A server that was started anew may have forgotten its last
    /// second, so its changes count from another beginning.
    pub run: String,
    /// The last change read.
    pub id: u64,
}

/// What was read of the stream of changes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Changes {
    /// The changes, oldest first.
    pub items: Vec<Change>,
    /// Where to go on reading. Its run tells whether the server is still the same: if not, a POP
    /// reports all its accounts and nodes again.
    pub cursor: Cursor,
    /// What was read before may be out of date, because the reader was too far behind, or began just
    /// now, or the server changed: read everything that is remembered again, from now on.
    pub reload: bool,
}

/// Something changed. It says what, not how: the reader reads it again.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Change {
    /// A user was created, changed, adjusted or deleted.
    User {
        /// The user's name.
        name: String,
    },
    /// Somebody was put on a blacklist or taken off it.
    Blacklist {
        /// Who.
        subject: Subject,
        /// Whether it is on it now.
        listed: bool,
    },
    /// An admin token was created or revoked.
    Token {
        /// The token's id.
        id: String,
    },
    /// A POP is to do something.
    Order {
        /// The POP's id.
        pop: String,
        /// When it was ordered, in Unix seconds. Orders are for now: an old one is not obeyed.
        at: u64,
        /// What it is to do.
        order: Order,
    },
    /// Something that this version does not know.
    #[serde(other)]
    Unknown,
}

/// What a POP is told to do.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "snake_case")]
pub enum Order {
    /// Turns nodes away; they may come back.
    Kick {
        /// The nodes' ids.
        nodes: Vec<String>,
        /// How long they are to stay away, in seconds.
        retry_after: u32,
    },
    /// Turns away every node that connects from an address.
    KickIp {
        /// The address.
        ip: std::net::IpAddr,
        /// How long they are to stay away, in seconds.
        retry_after: u32,
    },
    /// Sends nodes away to ask the manager for the POP that is their home now.
    Migrate {
        /// The nodes' ids.
        nodes: Vec<String>,
    },
    /// Something that this version does not know.
    #[serde(other)]
    Unknown,
}

/// Checks an order and writes it as it travels.
pub(super) fn encode_order(pop: &str, at: u64, order: Order) -> Result<String, StoreError> {
    let pop = pop.to_owned();
    let text = encode_change(&Change::Order { pop, at, order });
    if text.len() > ORDER_MAX {
        return Err(StoreError::TooLarge);
    }
    Ok(text)
}

pub(super) fn encode_change(change: &Change) -> String {
    serde_json::to_string(change).expect("a change has no keys that are no texts")
}

/// Reads a change; what cannot be read is from a newer version.
pub(super) fn decode_change(text: &str) -> Change {
    serde_json::from_str(text).unwrap_or(Change::Unknown)
}

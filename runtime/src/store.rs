//! What the daemons remember together: users, POPs, nodes (requirement W3).
//!
//! One trait, [`Store`], holds the operations the daemons mean. Every implementation is held to the
//! same suite in `contract`. Times are handed in as Unix seconds and never read inside, so a
//! simulation decides what time it is.

#[cfg(test)]
mod contract;
mod embedded;
mod nodes;
mod schema;
mod users;

pub use embedded::{Embedded, Location, Mode};

use core::future::Future;
use std::net::IpAddr;

/// The most entries one page holds; a larger request is cut to this.
pub const PAGE_MAX: u32 = 1_000;

/// The longest value of [`Store::set_meta`], in bytes.
pub const META_MAX: usize = 64 * 1024;

/// The key of [`Store::meta`] under which the manager keeps the public key of node tokens.
pub const META_NODE_TOKEN_KEY: &str = "node_token.public_key";

/// How long an expired POP is remembered before its record is removed, in seconds: a week, so that an
/// operator still sees which POP is missing.
pub const POP_FORGOTTEN_AFTER: u64 = 7 * 24 * 3_600;

/// A place for what the daemons share. Clones are handles to the same place.
///
/// Each operation is atomic. Dropping a future leaves open whether its operation happens.
///
/// # Errors
/// Every operation fails with [`StoreError::Unavailable`] while the place cannot be reached or has
/// too much to do; trying again later is then right.
pub trait Store: Clone + Send + Sync + 'static {
    /// Creates a user and returns its record.
    ///
    /// # Errors
    /// [`StoreError::Exists`] if the name is taken.
    fn create_user(&self, user: NewUser) -> impl Future<Output = Result<User, StoreError>> + Send;

    /// Returns the user of this name.
    fn user(&self, name: &str) -> impl Future<Output = Result<Option<User>, StoreError>> + Send;

    /// Lists users by name.
    fn users(&self, page: Page) -> impl Future<Output = Result<Listing<User>, StoreError>> + Send;

    /// Changes what `change` names of a user and returns the new record; none if there is no such
    /// user.
    fn change_user(
        &self,
        name: &str,
        change: UserChange,
    ) -> impl Future<Output = Result<Option<User>, StoreError>> + Send;

    /// Deletes a user; true if there was one.
    fn delete_user(&self, name: &str) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Registers a POP or renews its lease until `lease_until` (Unix seconds).
    ///
    /// A larger incarnation than the registered one takes the id over and takes what earlier ones
    /// left behind offline. Records of POPs that expired longer than [`POP_FORGOTTEN_AFTER`] before
    /// `now` are removed.
    ///
    /// # Errors
    /// [`StoreError::Superseded`] if a larger incarnation is registered.
    fn pop_alive(
        &self,
        pop: PopEntry,
        now: u64,
        lease_until: u64,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Ends the lease of a POP and takes its nodes offline, unless a larger incarnation took over.
    fn pop_gone(
        &self,
        id: &str,
        incarnation: u64,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Marks a POP as draining, or to be drained, which is the same to everybody else: no node is to be
    /// sent there. Holds as long as this incarnation is registered, and cannot be taken back. False if
    /// it is not registered.
    fn drain_pop(
        &self,
        id: &str,
        incarnation: u64,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Tells whether this incarnation of a POP is marked by [`drain_pop`](Self::drain_pop).
    fn is_pop_draining(
        &self,
        id: &str,
        incarnation: u64,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Lists the POPs whose lease holds at `now`, by id.
    fn pops(&self, now: u64) -> impl Future<Output = Result<Vec<PopStatus>, StoreError>> + Send;

    /// Records that a node is online at a POP. Each POP has its own entry for a node, so no POP can
    /// erase another's; the entry with the latest [`NodeEntry::online_since`] is the one listed.
    /// Repeating it with the same generation updates the entry; an older generation changes nothing.
    ///
    /// # Errors
    /// [`StoreError::Superseded`] if the POP is not registered, or the generation is older than its
    /// registered incarnation.
    fn node_online(&self, node: NodeEntry) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Removes the entry that `pop` has for a node, unless it has a newer generation.
    fn node_offline(
        &self,
        id: &str,
        pop: &str,
        generation: u64,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Lists the nodes that are online at a POP whose lease holds at `now`, by id.
    fn nodes(
        &self,
        page: Page,
        now: u64,
    ) -> impl Future<Output = Result<Listing<NodeEntry>, StoreError>> + Send;

    /// Returns a small value that all daemons share.
    fn meta(&self, key: &str) -> impl Future<Output = Result<Option<String>, StoreError>> + Send;

    /// Sets a small value that all daemons share.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`] if the value is longer than [`META_MAX`].
    fn set_meta(
        &self,
        key: &str,
        value: String,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// Why an operation of a [`Store`] failed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum StoreError {
    /// The name is taken.
    #[error("the name is taken")]
    Exists,
    /// A newer process owns what this one wanted to write.
    #[error("a newer process took over")]
    Superseded,
    /// The value is longer than allowed.
    #[error("the value is too large")]
    TooLarge,
    /// The store cannot be reached, is overloaded, or failed; try again later.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
}

/// When the client of a user is answered (requirement W13).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReplyMode {
    /// Before the exit has dialled.
    #[default]
    Fast,
    /// After the exit has dialled, with the dial's outcome.
    Truthful,
}

/// A user to be created.
#[derive(Clone, PartialEq, Eq)]
pub struct NewUser {
    /// The name; see [`crate::auth::is_user_name`] for what it may be.
    pub name: String,
    /// The password's hash as a PHC string.
    pub password_hash: String,
    /// Whether the user may connect.
    pub enabled: bool,
    /// When the user was created, in Unix seconds.
    pub created_at: u64,
    /// From when on the user may no longer connect, in Unix seconds.
    pub expires_at: Option<u64>,
    /// When clients are answered.
    pub reply: ReplyMode,
}

/// The record of a user.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// The name, unique and never changed.
    pub name: String,
    /// The password's hash as a PHC string.
    pub password_hash: String,
    /// A number that changes with the password and is never used twice in one store, so a user who
    /// was deleted and created again has another one.
    pub credential_version: u64,
    /// Whether the user may connect.
    pub enabled: bool,
    /// When the user was created, in Unix seconds.
    pub created_at: u64,
    /// From when on the user may no longer connect, in Unix seconds.
    pub expires_at: Option<u64>,
    /// When clients are answered.
    pub reply: ReplyMode,
}

/// What to change of a user; `None` leaves a field as it is.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct UserChange {
    /// The new password's hash as a PHC string.
    pub password_hash: Option<String>,
    /// Whether the user may connect.
    pub enabled: Option<bool>,
    /// The new expiry in Unix seconds; `Some(None)` removes it.
    pub expires_at: Option<Option<u64>>,
    /// When clients are answered.
    pub reply: Option<ReplyMode>,
}

// Hashes stay out of logs: they can be guessed at offline.
macro_rules! debug_without_hash {
    ($($type:ident)*) => {$(
        impl core::fmt::Debug for $type {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.debug_struct(stringify!($type))
                    .field("enabled", &self.enabled)
                    .field("expires_at", &self.expires_at)
                    .field("reply", &self.reply)
                    .finish_non_exhaustive()
            }
        }
    )*};
}
debug_without_hash!(NewUser User UserChange);

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
    /// What else the POP tells about itself, as JSON; at most [`META_MAX`] bytes.
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

/// Which part of a listing to return.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Page {
    /// The key after which the page starts: [`Listing::next`] of the page before.
    pub after: Option<String>,
    /// How many entries to return, from 1 to [`PAGE_MAX`]; other values are moved into that range.
    pub limit: u32,
}

impl Page {
    /// Creates the first page of at most `limit` entries.
    #[must_use]
    pub const fn first(limit: u32) -> Self {
        Self { after: None, limit }
    }
}

/// One page of a listing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listing<T> {
    /// The entries, in order of their keys.
    pub items: Vec<T>,
    /// What to pass as [`Page::after`] for the next page; none if this was the last.
    pub next: Option<String>,
}

impl<T> Listing<T> {
    /// Makes a page of `items`, of which one more than `limit` were asked for.
    fn cut(mut items: Vec<T>, limit: u32, key: impl Fn(&T) -> &str) -> Self {
        let more = items.len() > limit as usize;
        items.truncate(limit as usize);
        let next = items
            .last()
            .filter(|_| more)
            .map(|last| key(last).to_owned());
        Self { items, next }
    }
}

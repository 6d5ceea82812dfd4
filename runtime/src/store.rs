//! What the daemons remember together: users, POPs, nodes, quotas, traffic, tokens (requirement W3).
//!
//! One trait, [`Store`], holds the operations the daemons mean. Every implementation is held to the
//! same suite in `contract`. Times are handed in as Unix seconds and never read inside, so a
//! simulation decides what time it is.
//!
//! # Lost answers
//! An operation that failed as unavailable may have happened. All but four may simply be repeated:
//! what POPs report are totals, written as maxima; adjustments have ids; everything else sets a state.
//! Repeating [`Store::create_user`] or [`Store::create_token`] says [`StoreError::Exists`], repeating
//! [`Store::swap_meta`] says that it did nothing, and repeating [`Store::audit_append`] records the act
//! twice.

mod account;
mod admin;
mod audit;
mod change;
#[cfg(test)]
mod contract;
mod embedded;
mod forward;
mod node;
mod page;
mod redis;
mod user;
mod word;

pub use account::{
    Holder, HolderUsage, INCARNATIONS_KEPT, REPORT_MAX, Resolution, Standing, Totals, TrafficBucket,
};
pub use admin::{AdminToken, Role};
pub use audit::{AUDIT_MAX, AUDIT_RECORD_MAX, AuditHead, AuditRecord, BrokenChain, NewAudit};
pub use change::{CHANGES_KEPT, CHANGES_MAX, Change, Changes, Cursor, ORDER_MAX, Order};
pub use embedded::{Embedded, Location, Mode};
pub use forward::{AnyStore, Gate, Gated};
pub use node::{
    BlacklistEntry, KnownNode, NODE_FORGOTTEN_AFTER, NodeEntry, NodeRtt, POP_FORGOTTEN_AFTER,
    PopEntry, PopStatus, REASON_MAX, Subject, SubjectKind,
};
pub use page::{Listing, PAGE_MAX, Page};
pub use redis::Redis;
use user::is_window;

pub use user::{
    ADJUSTMENTS_KEPT, Adjustment, AdjustmentKind, NewUser, ReplyMode, Route, RouteMode, User,
    UserChange,
};

use core::future::Future;
use std::net::IpAddr;

/// The longest value of [`Store::swap_meta`], in bytes.
pub const META_MAX: usize = 64 * 1024;

/// The largest number of bytes or seconds that every store can count exactly: 2^53 - 1, nine
/// petabytes (Redis' scripts count in floating point).
pub const COUNT_MAX: u64 = (1 << 53) - 1;

/// The most entries that one call may carry where it carries a list.
pub const BATCH_MAX: usize = 1_000;

/// The key of [`Store::meta`] under which managers keep the public keys of node tokens.
pub const META_NODE_TOKEN_KEYS: &str = "node_token.public_keys";

/// A place for what the daemons share. Clones are handles to the same place.
///
/// Each operation is atomic. Dropping a future leaves open whether its operation happens.
///
/// # Errors
/// Every operation fails with [`StoreError::Unavailable`] while the place cannot be reached, does not
/// answer in time or has too much to do; trying again later is then right. Operations that carry a
/// list fail with [`StoreError::TooLarge`] if it is longer than [`BATCH_MAX`].
pub trait Store: Clone + Send + Sync + 'static {
    /// Creates a user and returns its record.
    ///
    /// # Errors
    /// [`StoreError::Exists`] if the name is taken; [`StoreError::TooLarge`] if a number is above
    /// [`COUNT_MAX`]; [`StoreError::Window`] if the user would start no earlier than it ends.
    fn create_user(&self, user: NewUser) -> impl Future<Output = Result<User, StoreError>> + Send;

    /// Returns the user of this name.
    fn user(&self, name: &str) -> impl Future<Output = Result<Option<User>, StoreError>> + Send;

    /// Lists users by name.
    fn users(&self, page: Page) -> impl Future<Output = Result<Listing<User>, StoreError>> + Send;

    /// Changes what `change` names of a user and returns the new record; none if there is no such
    /// user.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`] if a number is above [`COUNT_MAX`]; [`StoreError::Window`] if with the
    /// change the user would start no earlier than it ends. Then nothing is changed.
    fn change_user(
        &self,
        name: &str,
        change: UserChange,
    ) -> impl Future<Output = Result<Option<User>, StoreError>> + Send;

    /// Changes what a user may still transfer, once for each [`Adjustment::id`], and returns the
    /// record; none if there is no such user.
    fn adjust_user(
        &self,
        name: &str,
        adjustment: Adjustment,
    ) -> impl Future<Output = Result<Option<User>, StoreError>> + Send;

    /// Deletes a user with its account and traffic; true if there was one.
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

    /// Records the round-trip times that `pop` measured, at most [`BATCH_MAX`] (requirement W9).
    fn nodes_measured(
        &self,
        pop: &str,
        rtts: Vec<NodeRtt>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Lists the nodes that are online at a POP whose lease holds at `now`, by id.
    fn nodes(
        &self,
        page: Page,
        now: u64,
    ) -> impl Future<Output = Result<Listing<NodeEntry>, StoreError>> + Send;

    /// Lists the entries of one POP, by node, if its lease holds at `now`.
    fn pop_nodes(
        &self,
        pop: &str,
        page: Page,
        now: u64,
    ) -> impl Future<Output = Result<Listing<NodeEntry>, StoreError>> + Send;

    /// Returns what is known of a node; it is forgotten [`NODE_FORGOTTEN_AFTER`] it was seen last.
    fn node(
        &self,
        id: &str,
        now: u64,
    ) -> impl Future<Output = Result<Option<KnownNode>, StoreError>> + Send;

    /// Makes `pop` the home of nodes, at most [`BATCH_MAX`]: where they are sent when they ask next.
    /// A node that attaches elsewhere later has its home there.
    fn assign_nodes(
        &self,
        ids: Vec<String>,
        pop: &str,
        now: u64,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Puts subjects on their blacklist, at most [`BATCH_MAX`]. One that is on it already keeps its
    /// entry.
    fn blacklist_add(
        &self,
        entries: Vec<BlacklistEntry>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Takes subjects off their blacklist, at most [`BATCH_MAX`].
    fn blacklist_remove(
        &self,
        subjects: Vec<Subject>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Returns why a node at this address is turned away, or none if it is not.
    fn blacklisted(
        &self,
        node: &str,
        ip: IpAddr,
    ) -> impl Future<Output = Result<Option<BlacklistEntry>, StoreError>> + Send;

    /// Lists a blacklist, by [`Subject::key`].
    fn blacklist(
        &self,
        kind: SubjectKind,
        page: Page,
    ) -> impl Future<Output = Result<Listing<BlacklistEntry>, StoreError>> + Send;

    /// Tells a POP, by the stream of changes, to do something. Nobody says whether it was done.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`] if the order is longer than [`ORDER_MAX`].
    fn order(
        &self,
        pop: &str,
        at: u64,
        order: Order,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Reads the changes after a cursor, at most `limit` and [`CHANGES_MAX`]. Without a cursor it
    /// returns the end of the stream and says to reload.
    ///
    /// It answers at once, also with nothing. Asking takes one round trip and no work.
    fn changes(
        &self,
        after: Option<Cursor>,
        limit: u32,
    ) -> impl Future<Output = Result<Changes, StoreError>> + Send;

    /// Takes over the totals of `holder` for one user and grants more, until `want` bytes are granted
    /// in all since the start of the process, or as much of it as the user's limit over all POPs
    /// leaves. None if the user is gone.
    ///
    /// What is granted is charged at once. What the holder does not need it gives back by
    /// [`Totals::returned`]; what a dead holder had not given back stays charged.
    fn lease(
        &self,
        holder: Holder,
        totals: Totals,
        want: u64,
        at: u64,
    ) -> impl Future<Output = Result<Option<Standing>, StoreError>> + Send;

    /// Takes over the totals of `holder` for users, at most [`REPORT_MAX`], and returns how each
    /// stands; none for one who is gone. What is new in them counts as transferred at `at`
    /// (Unix seconds), which may lie in the past.
    ///
    /// Also for a process that has ended: what it left in its journal is still its.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`] if there are more than [`REPORT_MAX`].
    fn report(
        &self,
        holder: Holder,
        totals: Vec<Totals>,
        at: u64,
    ) -> impl Future<Output = Result<Vec<Option<Standing>>, StoreError>> + Send;

    /// Lists who holds or held what of a user's quota, by POP and incarnation. None if there is no
    /// such user.
    fn usage(
        &self,
        user: &str,
    ) -> impl Future<Output = Result<Option<Vec<HolderUsage>>, StoreError>> + Send;

    /// Returns the buckets in which a user transferred something, from the one that `from` lies in
    /// to the one that `until` lies in, oldest first. None if there is no such user.
    fn traffic(
        &self,
        user: &str,
        resolution: Resolution,
        from: u64,
        until: u64,
    ) -> impl Future<Output = Result<Option<Vec<TrafficBucket>>, StoreError>> + Send;

    /// Keeps an admin token.
    ///
    /// # Errors
    /// [`StoreError::Exists`] if there is one of this id or hash.
    fn create_token(
        &self,
        token: AdminToken,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Returns the token with this hash, also a revoked or expired one.
    fn token(
        &self,
        hash: [u8; 32],
    ) -> impl Future<Output = Result<Option<AdminToken>, StoreError>> + Send;

    /// Lists the tokens by id, also revoked and expired ones.
    fn tokens(
        &self,
        page: Page,
    ) -> impl Future<Output = Result<Listing<AdminToken>, StoreError>> + Send;

    /// Revokes a token, for good, and returns it; none if there is no such token.
    fn revoke_token(
        &self,
        id: &str,
        at: u64,
    ) -> impl Future<Output = Result<Option<AdminToken>, StoreError>> + Send;

    /// Records an administrative act as the next of the chain and returns the record.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`] if it is longer than [`AUDIT_RECORD_MAX`].
    fn audit_append(
        &self,
        act: NewAudit,
    ) -> impl Future<Output = Result<AuditRecord, StoreError>> + Send;

    /// Returns the records after place `after`, oldest first, at most `limit` and [`AUDIT_MAX`].
    fn audit(
        &self,
        after: u64,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<AuditRecord>, StoreError>> + Send;

    /// Returns the end of the chain of records.
    fn audit_head(&self) -> impl Future<Output = Result<AuditHead, StoreError>> + Send;

    /// Returns a small value that all daemons share.
    fn meta(&self, key: &str) -> impl Future<Output = Result<Option<String>, StoreError>> + Send;

    /// Sets a small value that all daemons share if it is what `expected` says, none included; false if it is not.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`] if the value is longer than [`META_MAX`].
    fn swap_meta(
        &self,
        key: &str,
        expected: Option<String>,
        value: String,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;
}

/// Why an operation of a [`Store`] failed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum StoreError {
    /// The name is taken.
    #[error("the name is taken")]
    Exists,
    /// The window of validity would end before it starts.
    #[error("the start must be before the end")]
    Window,
    /// A newer process owns what this one wanted to write.
    #[error("a newer process took over")]
    Superseded,
    /// A value or a list is longer than allowed, or a number larger.
    #[error("the value is too large")]
    TooLarge,
    /// The store cannot be reached, is overloaded, or failed; try again later.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
}

impl StoreError {
    pub(crate) fn unavailable(why: impl core::fmt::Display) -> Self {
        Self::Unavailable(why.to_string())
    }
}

/// Checks that a list is not longer than one call may carry.
fn check_batch<T>(items: &[T], max: usize) -> Result<(), StoreError> {
    if items.len() > max {
        return Err(StoreError::TooLarge);
    }
    Ok(())
}

/// Checks an order and writes it as it travels.
fn encode_order(pop: &str, at: u64, order: Order) -> Result<String, StoreError> {
    let pop = pop.to_owned();
    let text = encode_change(&Change::Order { pop, at, order });
    if text.len() > ORDER_MAX {
        return Err(StoreError::TooLarge);
    }
    Ok(text)
}

fn encode_change(change: &Change) -> String {
    serde_json::to_string(change).expect("a change has no keys that are no texts")
}

/// Reads a change; what cannot be read is from a newer version.
fn decode_change(text: &str) -> Change {
    serde_json::from_str(text).unwrap_or(Change::Unknown)
}

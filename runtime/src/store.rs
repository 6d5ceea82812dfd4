//! What the daemons remember together: users, POPs, nodes, quotas, traffic, tokens (requirement W3).
//!
//! The operations the daemons mean stand by subject: [`Users`], [`Pops`], [`Nodes`], [`Blacklists`],
//! [`ChangeLog`], [`Accounts`], [`Tokens`], [`AuditLog`] and [`Meta`]; [`Store`] is all of them. Each
//! subject has a file of its name here, in `embedded`, in `redis` and in `contract`, the suite that
//! every implementation is held to. Whether a lease holds is decided by
//! the store's own time, which is one for all daemons whatever their clocks say; a simulation hands in
//! a clock of its own. What an operator reads has the times that are handed in, as Unix seconds.
//!
//! # Lost answers
//! An operation that failed as unavailable may have happened. All but five may simply be repeated:
//! what POPs report are totals, written as maxima; adjustments have ids; everything else sets a state.
//! Repeating [`Users::create_user`] or [`Tokens::create_token`] says [`StoreError::Exists`], repeating
//! [`Users::delete_user`] or [`Meta::swap_meta`] says that it did nothing, and repeating [`AuditLog::audit_append`] records the
//! act twice.

#[macro_use]
mod subject;

mod accounts;
mod audit;
mod blacklist;
mod changes;
#[cfg(test)]
mod contract;
mod embedded;
mod forward;
mod meta;
mod nodes;
mod page;
mod pops;
mod redis;
mod tokens;
mod users;
mod word;

pub use accounts::{
    Accounts, Holder, HolderUsage, INCARNATIONS_KEPT, REPORT_MAX, Resolution, SILENT_AFTER,
    Standing, Totals, TrafficBucket,
};
pub use audit::{
    AUDIT_MAX, AUDIT_RECORD_MAX, AuditHead, AuditLog, AuditRecord, BrokenChain, NewAudit,
};
pub use blacklist::{
    BlacklistEntry, Blacklists, Prefix, PrefixError, REASON_MAX, Subject, SubjectKind,
};
pub use changes::{
    CHANGES_KEPT, CHANGES_MAX, Change, ChangeLog, Changes, Cursor, ORDER_MAX, Order,
};
pub use embedded::{Embedded, Location, Mode};
pub use forward::{AnyStore, Gate, Gated};
pub use meta::{META_MAX, META_NODE_TOKEN_KEYS, Meta};
pub use nodes::{KnownNode, NODE_FORGOTTEN_AFTER, NodeEntry, NodeRtt, Nodes};
pub use page::{Listing, PAGE_MAX, Page};
pub use pops::{GENERATIONS, POP_FORGOTTEN_AFTER, PopEntry, PopStatus, Pops};
pub use redis::Redis;
pub use tokens::{AdminToken, Role, Tokens};
pub use users::{
    ADJUSTMENTS_KEPT, Adjustment, AdjustmentKind, NewUser, RecordMode, ReplyMode, Route, RouteMode,
    User, UserChange, UserSettings, Users,
};

/// The largest number of bytes or seconds that every store can count exactly: 2^53 - 1, nine
/// petabytes (Redis' scripts count in floating point).
pub const COUNT_MAX: u64 = (1 << 53) - 1;

/// The most entries that one call may carry where it carries a list.
pub const BATCH_MAX: usize = 1_000;

/// A place for what the daemons share: every subject of it. Clones are handles to the same place.
///
/// Each operation is atomic. Dropping a future leaves open whether its operation happens.
///
/// # Errors
/// Every operation fails with [`StoreError::Unavailable`] while the place cannot be reached, does not
/// answer in time or has too much to do; trying again later is then right. Operations that carry a
/// list fail with [`StoreError::TooLarge`] if it is longer than [`BATCH_MAX`].
pub trait Store:
    Users + Pops + Nodes + Blacklists + ChangeLog + Accounts + Tokens + AuditLog + Meta
{
}

impl<S> Store for S where
    S: Users + Pops + Nodes + Blacklists + ChangeLog + Accounts + Tokens + AuditLog + Meta
{
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

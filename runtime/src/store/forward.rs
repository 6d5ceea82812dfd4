//! Stores made of other stores.

use super::{
    Adjustment, AdminToken, AuditHead, AuditRecord, BlacklistEntry, Changes, Cursor, Embedded,
    Holder, HolderUsage, KnownNode, Listing, Location, Mode, NewAudit, NewUser, NodeEntry, NodeRtt,
    Order, Page, PopEntry, PopStatus, Redis, Resolution, Standing, Store, StoreError, Subject,
    SubjectKind, Totals, TrafficBucket, User, UserChange,
};
use crate::config::StoreAddress;
use core::future::Future;
use std::net::IpAddr;
use std::path::Path;

/// Hands every operation of [`Store`] to a macro: name, arguments, and what it returns on success.
macro_rules! operations {
    ($with:ident) => {
        $with! {
            create_user(user: NewUser) -> User;
            user(name: &str) -> Option<User>;
            users(page: Page) -> Listing<User>;
            change_user(name: &str, change: UserChange) -> Option<User>;
            adjust_user(name: &str, adjustment: Adjustment) -> Option<User>;
            delete_user(name: &str) -> bool;
            pop_alive(pop: PopEntry, now: u64, lease_until: u64) -> ();
            pop_gone(id: &str, incarnation: u64) -> ();
            drain_pop(id: &str, incarnation: u64) -> bool;
            is_pop_draining(id: &str, incarnation: u64) -> bool;
            pops(now: u64) -> Vec<PopStatus>;
            node_online(node: NodeEntry) -> ();
            node_offline(id: &str, pop: &str, generation: u64) -> ();
            nodes_measured(pop: &str, rtts: Vec<NodeRtt>) -> ();
            nodes(page: Page, now: u64) -> Listing<NodeEntry>;
            pop_nodes(pop: &str, page: Page, now: u64) -> Listing<NodeEntry>;
            node(id: &str, now: u64) -> Option<KnownNode>;
            assign_nodes(ids: Vec<String>, pop: &str, now: u64) -> ();
            blacklist_add(entries: Vec<BlacklistEntry>) -> ();
            blacklist_remove(subjects: Vec<Subject>) -> ();
            blacklisted(node: &str, ip: IpAddr) -> Option<BlacklistEntry>;
            blacklist(kind: SubjectKind, page: Page) -> Listing<BlacklistEntry>;
            order(pop: &str, at: u64, order: Order) -> ();
            changes(after: Option<Cursor>, limit: u32) -> Changes;
            lease(holder: Holder, totals: Totals, want: u64, at: u64) -> Option<Standing>;
            report(holder: Holder, totals: Vec<Totals>, at: u64) -> Vec<Option<Standing>>;
            usage(user: &str) -> Option<Vec<HolderUsage>>;
            traffic(user: &str, resolution: Resolution, from: u64, until: u64)
                -> Option<Vec<TrafficBucket>>;
            create_token(token: AdminToken) -> ();
            token(hash: [u8; 32]) -> Option<AdminToken>;
            tokens(page: Page) -> Listing<AdminToken>;
            revoke_token(id: &str, at: u64) -> Option<AdminToken>;
            audit_append(act: NewAudit) -> AuditRecord;
            audit(after: u64, limit: u32) -> Vec<AuditRecord>;
            audit_head() -> AuditHead;
            meta(key: &str) -> Option<String>;
            swap_meta(key: &str, expected: Option<String>, value: String) -> bool;
        }
    };
}

/// Stands before a store and decides when, and whether, its operations succeed. Tests and simulations
/// make stores fail, hang and lose answers with it.
pub trait Gate: Clone + Send + Sync + 'static {
    /// Waits before an operation, named as in [`Store`], or fails it without it happening.
    fn before(
        &self,
        operation: &'static str,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Waits after an operation, or loses its answer.
    fn after(&self, operation: &'static str)
    -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// A store behind a [`Gate`].
#[derive(Clone, Debug)]
pub struct Gated<S, G> {
    /// The store itself.
    pub store: S,
    /// What stands before it.
    pub gate: G,
}

macro_rules! gated {
    ($($name:ident($($arg:ident: $type:ty),*) -> $out:ty;)*) => {
        impl<S: Store, G: Gate> Store for Gated<S, G> {
            $(async fn $name(&self, $($arg: $type),*) -> Result<$out, StoreError> {
                self.gate.before(stringify!($name)).await?;
                let answer = self.store.$name($($arg),*).await;
                self.gate.after(stringify!($name)).await?;
                answer
            })*
        }
    };
}
operations!(gated);

/// The store that a daemon is configured with.
#[derive(Clone, Debug)]
pub enum AnyStore {
    /// A file that the daemons of one host share.
    Embedded(Embedded),
    /// A Redis server that the daemons of several hosts share.
    Redis(Redis),
}

impl AnyStore {
    /// Opens the store at an address; the embedded one is in `data`. Blocks for that one; for the
    /// start of a daemon.
    ///
    /// # Errors
    /// Fails if the file cannot be used, or the address makes no sense. A server need not be there yet.
    pub fn open(address: &StoreAddress, data: &Path) -> Result<Self, StoreError> {
        match address.redis() {
            Some(url) => Redis::new(url).map(Self::Redis),
            None => {
                let location = Location::Data(data.to_owned());
                Embedded::open(&location, Mode::Thread).map(Self::Embedded)
            }
        }
    }
}

macro_rules! any {
    ($($name:ident($($arg:ident: $type:ty),*) -> $out:ty;)*) => {
        impl Store for AnyStore {
            $(async fn $name(&self, $($arg: $type),*) -> Result<$out, StoreError> {
                match self {
                    Self::Embedded(store) => store.$name($($arg),*).await,
                    Self::Redis(store) => store.$name($($arg),*).await,
                }
            })*
        }
    };
}
operations!(any);

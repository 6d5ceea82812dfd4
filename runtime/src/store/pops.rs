//! POPs.

use super::StoreError;

/// How long an expired POP is remembered before its record is removed, in seconds: a week, so that an
/// operator still sees which POP is missing.
pub const POP_FORGOTTEN_AFTER: u64 = 7 * 24 * 3_600;

/// How many numbers an incarnation has for the generations of its nodes before those of the next one begin.
/// Eight million starts keep both below 2^53, where Redis' scripts count exactly.
pub const GENERATIONS: u64 = 1 << 30;

subject! {
    /// POPs and the leases by which they live.
    pub trait Pops {
        /// Registers a POP or renews its lease, for `lease` seconds from now by the store's time.
        ///
        /// A larger incarnation than the registered one takes the id over and takes what earlier ones
        /// left behind offline. One that drains and whose lease holds is *retiring* from then on: it keeps
        /// its nodes, its part of users' quotas and a lease of its own, and has to renew that. Records of
        /// POPs whose lease ended more than [`POP_FORGOTTEN_AFTER`] ago are removed.
        ///
        /// # Errors
        /// [`StoreError::Superseded`] if a larger incarnation is registered and this one is not retiring, or
        /// if the same one is with another nonce.
        fn pop_alive(&self, pop: PopEntry, lease: u64) -> ();

        /// Ends the lease of a POP and takes its nodes offline, of a retiring one its own, unless a larger
        /// incarnation took over.
        fn pop_gone(&self, id: &str, incarnation: u64) -> ();

        /// Marks a POP as draining, or to be drained, which is the same to everybody else: no node is to be
        /// sent there. Holds as long as this incarnation is registered, and cannot be taken back. False if
        /// it is neither registered nor retiring.
        fn drain_pop(&self, id: &str, incarnation: u64) -> bool;

        /// Tells whether this incarnation of a POP is marked by [`drain_pop`](Self::drain_pop); one that is
        /// retiring is.
        fn is_pop_draining(&self, id: &str, incarnation: u64) -> bool;

        /// Lists the POPs whose lease holds, by id.
        fn pops(&self) -> Vec<PopStatus>;

        /// Returns the incarnation that was registered last under a POP's id, whether its lease holds or
        /// not; none if there was none or it is forgotten.
        fn incarnation(&self, id: &str) -> Option<u64>;
    }
}

/// A POP as it registers itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PopEntry {
    /// The POP's id.
    pub id: String,
    /// Grows with every start of the POP, by [`GENERATIONS`] at least. The generations of its nodes count up
    /// from here.
    pub incarnation: u64,
    /// Drawn at the start of the process, which it tells from another one of the same incarnation: a store
    /// that forgot its last moments lets two have it.
    pub nonce: u64,
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
    /// How many nodes are online at the registered incarnation.
    pub node_count: u64,
    /// Until when its lease holds, in seconds of the store's time.
    pub lease_until: u64,
    /// It drains, or is to: no node is to be sent there.
    pub draining: bool,
}

//! What a group may still do: how many bytes, and how fast.
//!
//! An `Account` is plain arithmetic over totals and time, without sessions: it can be shared by
//! several endpoints without a change to it. The [`ledger`] says what is granted to it.

pub mod ledger;
pub(crate) mod quota;
pub(crate) mod rate;
mod share;
mod way;

use crate::time::Instant;
use quota::Quota;
use rate::Bucket;
use titan_proto::Code;

pub use quota::{Carried, Grant};
pub use share::{Stake, divide};
pub(crate) use way::Way;

/// Rates of a group in bytes per second, all of its sessions together; zero is no limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Rates {
    /// From clients.
    pub up: u64,
    /// To clients.
    pub down: u64,
}

impl Rates {
    /// Tells whether either direction is limited.
    #[must_use]
    pub const fn is_limited(self) -> bool {
        self.up != 0 || self.down != 0
    }

    pub(crate) const fn of(self, way: Way) -> u64 {
        match way {
            Way::Up => self.up,
            Way::Down => self.down,
        }
    }
}

/// The account of one group.
#[derive(Debug, Default)]
pub(crate) struct Account {
    pub(crate) quota: Quota,
    up: Bucket,
    down: Bucket,
    /// Why nothing is allowed until the next grant.
    pub(crate) barred: Option<Code>,
}

impl Account {
    /// Takes a grant in. It lifts a bar.
    pub(crate) fn grant(&mut self, grant: Grant) {
        self.quota.grant(grant);
        self.barred = None;
    }

    /// Takes back what was granted beyond a total. A bar stays.
    pub(crate) fn recall(&mut self, grant: Grant) {
        self.quota.recall(grant);
    }

    pub(crate) fn limit_rate(&mut self, now: Instant, rates: Rates) {
        self.up.limit(now, rates.up);
        self.down.limit(now, rates.down);
    }

    const fn bucket(&self, way: Way) -> &Bucket {
        match way {
            Way::Up => &self.up,
            Way::Down => &self.down,
        }
    }

    /// Returns how many bytes may move now, for somebody who wants `wanted`: none rather than crumbs.
    pub(crate) fn allowance(&self, now: Instant, way: Way, wanted: u64) -> u64 {
        if self.barred.is_some() {
            return 0;
        }
        let (left, bucket) = (self.quota.left(), self.bucket(way));
        let available = bucket.available(now);
        if available < bucket.crumb().min(wanted).min(left) {
            return 0;
        }
        left.min(available)
    }

    /// Books bytes that moved.
    pub(crate) fn carry(&mut self, now: Instant, way: Way, bytes: u64) {
        self.quota.carry(way, bytes);
        match way {
            Way::Up => self.up.take(now, bytes),
            Way::Down => self.down.take(now, bytes),
        }
    }

    /// Returns from when on it is worth to call those who wait; never, without another grant.
    pub(crate) fn worth_at(&self, now: Instant, way: Way) -> Option<Instant> {
        let left = self.quota.left();
        if self.barred.is_some() || left == 0 {
            return None;
        }
        Some(self.bucket(way).worth_at(now, left))
    }
}

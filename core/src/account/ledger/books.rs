//! A user's totals in this process: what was granted, given back and carried.

use super::message::{Totals, totals};
use crate::account::Carried;
use crate::mark::{self, Mark};
use crate::planted::{self, Planted};

/// The totals of a user. All of them only grow, over all groups that the user has had.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Books {
    granted: u64,
    returned: u64,
    carried: Carried,
    /// What groups that the endpoint has forgotten had carried.
    base: Carried,
}

impl Books {
    /// Returns the same, to count on from when the endpoint has forgotten the group.
    pub(super) const fn reopened(self) -> Self {
        Self {
            base: self.carried,
            ..self
        }
    }

    /// Takes over what the group as it is now has carried.
    pub(super) fn count(&mut self, carried: Carried) {
        let up = self.base.up.saturating_add(carried.up);
        let down = self.base.down.saturating_add(carried.down);
        self.carried.up = self.carried.up.max(up);
        self.carried.down = self.carried.down.max(down);
    }

    /// Takes over what the store says it has granted in all.
    pub(super) fn grant(&mut self, granted: u64) {
        self.granted = self.granted.max(granted);
    }

    /// Returns what all groups that the user has had have carried.
    pub(super) const fn carried(&self) -> Carried {
        self.carried
    }

    /// Returns what is spent, in bytes.
    pub(super) const fn spent(&self) -> u64 {
        self.carried.total()
    }

    /// Returns what was granted and is neither spent nor given back, in bytes.
    pub(super) const fn rest(&self) -> u64 {
        self.granted
            .saturating_sub(self.returned)
            .saturating_sub(self.spent())
    }

    /// Returns what the group as it is now may carry in all, in bytes.
    pub(super) const fn ceiling(&self) -> u64 {
        self.granted
            .saturating_sub(self.returned)
            .saturating_sub(self.base.total())
    }

    /// Returns how much has to be granted in all for so much to be held.
    pub(super) fn want(&self, held: u64) -> u64 {
        let spent = self.returned.saturating_add(self.spent());
        spent.saturating_add(held).max(self.granted)
    }

    /// Gives back so much of the rest. Only what nothing can spend any more.
    pub(super) fn give_back(&mut self, bytes: u64) {
        self.returned = self.returned.saturating_add(bytes.min(self.rest()));
    }

    /// Gives back what the group was recalled from: it had `ceiling`, is left with `kept`, and has
    /// carried `carried` by then.
    pub(super) fn recalled(&mut self, ceiling: u64, kept: u64, carried: Carried) {
        let carried = planted::bend(Planted::RecallUnheard, carried, |_| Carried::default());
        if carried.total() > kept {
            mark::hit(Mark::RecallLate);
        }
        self.count(carried);
        self.give_back(ceiling.saturating_sub(kept.max(carried.total())));
    }

    /// The endpoint has forgotten the group, of which this is the last: the rest goes back.
    pub(super) fn close(&mut self, last: Carried) {
        self.count(last);
        *self = self.reopened();
        self.give_back(planted::bend(Planted::GrantKept, self.rest(), |_| 0));
    }

    /// Returns what the store is told.
    pub(super) const fn totals(&self, sessions: u32) -> Totals {
        totals(self.granted, self.returned, self.carried, sessions)
    }
}

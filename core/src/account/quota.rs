//! Bytes granted and carried: totals that only grow.

use super::way::Way;
use crate::planted::{self, Planted};

/// What a group has carried in all: totals that only grow.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Carried {
    /// Bytes taken from clients.
    pub up: u64,
    /// Bytes written to clients.
    pub down: u64,
}

impl Carried {
    /// Returns both directions together.
    #[must_use]
    pub const fn total(self) -> u64 {
        self.up.saturating_add(self.down)
    }

    pub(crate) const fn of(self, way: Way) -> u64 {
        match way {
            Way::Up => self.up,
            Way::Down => self.down,
        }
    }

    pub(crate) fn add(&mut self, way: Way, bytes: u64) {
        let side = match way {
            Way::Up => &mut self.up,
            Way::Down => &mut self.down,
        };
        *side = side.saturating_add(bytes);
    }
}

/// What a group may carry in all.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Grant {
    /// Bytes, both directions and everything carried before included; `None` is no limit. The
    /// largest total ever granted counts, so that a late or repeated grant does no harm.
    pub total: Option<u64>,
    /// [`AllowanceLow`](crate::endpoint::PopEvent::AllowanceLow) is raised when fewer bytes are left.
    pub low: u64,
}

/// The bytes of one account. Without a grant they are counted and not limited.
#[derive(Debug, Default)]
pub(crate) struct Quota {
    limited: bool,
    /// The largest total ever granted.
    granted: u64,
    low: u64,
    /// It was told that little is left, since the last grant.
    told: bool,
    carried: Carried,
    /// What had been carried when the limit came: no grant was needed for it.
    free: u64,
}

impl Quota {
    pub(super) fn grant(&mut self, grant: Grant) {
        if let Some(total) = grant.total {
            let again = u64::from(total == self.granted);
            let granted = total.max(self.granted);
            self.granted = planted::bend(Planted::GrantRepeated, granted, |granted| {
                granted.saturating_add(again << 10)
            });
        }
        self.limited = grant.total.is_some();
        self.low = grant.low;
        self.told = false;
    }

    /// Takes back what was granted beyond a total and is not spent.
    pub(super) fn recall(&mut self, grant: Grant) {
        if let Some(total) = grant.total {
            let kept = total.max(self.carried.total());
            self.granted = self.granted.min(kept);
        }
        self.low = grant.low;
        self.told = false;
    }

    pub(crate) const fn left(&self) -> u64 {
        if self.limited {
            self.granted.saturating_sub(self.carried.total())
        } else {
            u64::MAX
        }
    }

    pub(super) fn carry(&mut self, way: Way, bytes: u64) {
        self.carried.add(way, bytes);
        if !self.limited {
            self.free = self.carried.total();
        }
    }

    pub(crate) const fn carried(&self) -> Carried {
        self.carried
    }

    /// Tells, once per grant, that less is left than the driver wants.
    pub(crate) fn is_newly_low(&mut self) -> bool {
        let low = self.limited && self.left() < self.low;
        low && !core::mem::replace(&mut self.told, true)
    }

    /// Tells whether nothing was carried that was not granted before.
    pub(crate) fn is_covered(&self) -> bool {
        !self.limited || self.carried.total() <= self.granted.max(self.free)
    }
}

#[cfg(test)]
mod tests {
    use super::{Carried, Grant, Quota, Way};

    fn granted(total: u64, low: u64) -> Quota {
        let mut quota = Quota::default();
        quota.grant(Grant {
            total: Some(total),
            low,
        });
        quota
    }

    #[test]
    fn a_grant_is_a_maximum() {
        let mut quota = granted(100, 0);
        quota.carry(Way::Up, 60);
        for total in [100, 50, 0] {
            quota.grant(Grant {
                total: Some(total),
                low: 0,
            });
            assert_eq!(quota.left(), 40, "after {total}");
        }
        quota.grant(Grant {
            total: Some(101),
            low: 0,
        });
        assert_eq!(quota.left(), 41);
        assert_eq!(quota.carried(), Carried { up: 60, down: 0 });
    }

    #[test]
    fn a_recall_takes_back_what_is_not_spent() {
        for (total, left) in [(101, 40), (100, 40), (99, 39), (60, 0), (59, 0), (0, 0)] {
            let mut quota = granted(100, 0);
            quota.carry(Way::Up, 60);
            quota.recall(Grant {
                total: Some(total),
                low: 1,
            });
            assert_eq!(quota.left(), left, "down to {total}");
            assert!(quota.is_covered());
            assert_eq!(quota.is_newly_low(), left == 0);
            quota.grant(Grant {
                total: Some(90),
                low: 0,
            });
            assert_eq!(quota.left(), left.max(30), "granted anew");
        }
    }

    #[test]
    fn what_was_free_needs_no_grant() {
        let mut quota = Quota::default();
        quota.carry(Way::Down, 500);
        quota.grant(Grant {
            total: Some(100),
            low: 0,
        });
        assert_eq!(quota.left(), 0);
        assert!(quota.is_covered());
        quota.carry(Way::Down, 1);
        assert!(!quota.is_covered());
    }

    #[test]
    fn low_is_told_once_per_grant() {
        let mut quota = granted(100, 50);
        quota.carry(Way::Up, 50);
        assert!(!quota.is_newly_low(), "50 are left");
        quota.carry(Way::Up, 1);
        assert!(quota.is_newly_low());
        quota.carry(Way::Up, 1);
        assert!(!quota.is_newly_low());
        quota.grant(Grant {
            total: Some(100),
            low: 50,
        });
        assert!(quota.is_newly_low(), "the grant brought too little");
    }
}

//! What each owner has of the table of leases, and who gives one up for another.

use super::name::{LeaseKey, SessionName};
use crate::time::Instant;
use alloc::collections::{BTreeMap, BTreeSet};
use core::cmp::Reverse;

/// Every owner that has a lease. Each operation is O(log n).
#[derive(Debug, Default)]
pub(super) struct Owners {
    by_owner: BTreeMap<u64, Owner>,
    /// Those that have an idle lease: how many leases each has in all, and when the first of the idle ones
    /// ends. The last is the one that gives one up.
    ranking: BTreeSet<Rank>,
    /// Leases that somebody holds.
    held: usize,
}

type Rank = (usize, Reverse<Instant>, u64);

#[derive(Debug, Default)]
struct Owner {
    held: usize,
    /// Idle leases, the one that ends first before the others.
    idle: BTreeSet<(Instant, SessionName)>,
}

impl Owner {
    fn count(&self) -> usize {
        self.held + self.idle.len()
    }

    fn rank(&self, owner: u64) -> Option<Rank> {
        let &(first, _) = self.idle.first()?;
        Some((self.count(), Reverse(first), owner))
    }
}

impl Owners {
    /// Notes that a lease is held or idle, which it was not before.
    pub(super) fn add(&mut self, key: &LeaseKey, until: Option<Instant>) {
        self.held += usize::from(until.is_none());
        self.change(key.owner, |owner| match until {
            None => owner.held += 1,
            Some(until) => {
                owner.idle.insert((until, key.name.clone()));
            }
        });
    }

    /// Notes that a lease is no more what it was.
    pub(super) fn remove(&mut self, key: &LeaseKey, until: Option<Instant>) {
        self.held -= usize::from(until.is_none());
        self.change(key.owner, |owner| match until {
            None => owner.held -= 1,
            Some(until) => {
                owner.idle.remove(&(until, key.name.clone()));
            }
        });
    }

    fn change(&mut self, number: u64, change: impl FnOnce(&mut Owner)) {
        let owner = self.by_owner.entry(number).or_default();
        let before = owner.rank(number);
        change(owner);
        let after = owner.rank(number);
        if owner.count() == 0 {
            self.by_owner.remove(&number);
        }
        if let Some(before) = before {
            self.ranking.remove(&before);
        }
        self.ranking.extend(after);
    }

    /// Tells whether an owner may hold another lease, of `max`: while it holds fewer than nobody does.
    pub(super) fn may_hold(&self, owner: u64, max: usize) -> bool {
        let held = self.by_owner.get(&owner).map_or(0, |owner| owner.held);
        held < max.saturating_sub(self.held)
    }

    /// Returns the lease that has to go for another one of this owner's: the longest idle of whoever has
    /// most, and its own before anybody's who has no more. None if all others have less.
    pub(super) fn victim(&self, owner: u64) -> Option<LeaseKey> {
        let &(most, _, of) = self.ranking.last()?;
        let own = self.by_owner.get(&owner);
        let count = own.map_or(0, Owner::count);
        let has_idle = own.is_some_and(|own| !own.idle.is_empty());
        let of = if most > count || (most == count && !has_idle) {
            of
        } else if has_idle {
            owner
        } else {
            return None;
        };
        let (_, name) = self.by_owner.get(&of)?.idle.first()?;
        let name = name.clone();
        Some(LeaseKey { owner: of, name })
    }

    /// Checks that all leases are counted, and nothing else.
    pub(super) fn audit<'a>(&self, leases: impl Iterator<Item = (&'a LeaseKey, Option<Instant>)>) {
        let mut counted = Self::default();
        for (key, until) in leases {
            counted.add(key, until);
        }
        let same = |(number, owner): (&u64, &Owner)| {
            let counted = counted.by_owner.get(number);
            counted.is_some_and(|one| one.held == owner.held && one.idle == owner.idle)
        };
        assert!(
            self.held == counted.held
                && self.ranking == counted.ranking
                && self.by_owner.len() == counted.by_owner.len()
                && self.by_owner.iter().all(same),
            "I8: what owners have of the leases"
        );
    }
}

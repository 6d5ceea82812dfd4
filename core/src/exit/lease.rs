//! Sticky sessions: which node an owner's session name is bound to.
//!
//! ```text
//!              take                    release of the last            keep passed, or evicted
//!   (nothing) ──────▶ Held (holders) ───────────────────▶ Idle ─────────────────────────────▶ (nothing)
//!                       ▲  │ take: another node,            │
//!                       │  ▼ a new generation               │ hold
//!                       Held ◀──────────────────────────────┘
//! ```
//!
//! A table and nothing else: it knows no tunnels and chooses nothing. A generation is never used twice,
//! so that whoever held an earlier lease of the same name releases nothing of a later one (I8).

mod audit;
mod name;
mod owners;

pub(crate) use name::LeaseKey;
pub use name::{NAME_MAX, SessionName, Sticky};

use crate::expiring::Expiring;
use crate::planted::{self, Planted};
use crate::time::{Duration, Instant};
use alloc::boxed::Box;
use owners::Owners;

/// A binding to a node.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) node: Box<str>,
    pub(crate) generation: u64,
    pub(crate) holders: u32,
}

/// All leases of a POP: one ends once nobody has held it for a while. Every operation is O(log n).
#[derive(Debug)]
pub(crate) struct Leases {
    by_key: Expiring<LeaseKey, Lease>,
    owners: Owners,
    max: usize,
    generations: u64,
    keep: Duration,
}

impl Leases {
    /// Keeps leases for `keep` after their last holder, and at most `max` of them.
    pub(crate) fn new(keep: Duration, max: usize) -> Self {
        Self {
            by_key: Expiring::new(max),
            owners: Owners::default(),
            max,
            generations: 0,
            keep,
        }
    }

    pub(crate) fn get(&self, key: &LeaseKey) -> Option<&Lease> {
        self.by_key.get(key)
    }

    pub(crate) fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Adds a holder to the lease there is, and returns its generation; `None` if there is none, or if
    /// nobody holds it and its owner [may hold](Self::may_hold) no other.
    pub(crate) fn hold(&mut self, key: &LeaseKey) -> Option<u64> {
        if !self.may_hold(key) {
            return None;
        }
        let until = self.by_key.end_of(key);
        let lease = self.by_key.end_at(key, None)?;
        lease.holders += 1;
        let generation = lease.generation;
        if until.is_some() {
            self.owners.remove(key, until);
            self.owners.add(key, None);
        }
        Some(generation)
    }

    /// Binds a name to a node, with one holder and a new generation: a new lease, or another node for
    /// an old one. In a full table the longest idle lease of whoever has most goes; `None` if there is none
    /// to go for this owner, or if it [may hold](Self::may_hold) no other.
    pub(crate) fn take(&mut self, key: &LeaseKey, node: &str) -> Option<u64> {
        if !self.has_room(key) {
            return None;
        }
        let generation = self.generations + 1;
        let lease = Lease {
            node: node.into(),
            generation,
            holders: 1,
        };
        if self.by_key.get(key).is_some() {
            self.forget(key);
        } else if self.by_key.len() >= self.max {
            let victim = self.owners.victim(key.owner)?;
            self.forget(&victim);
        }
        self.by_key.insert(key.clone(), lease, None).ok()?;
        self.owners.add(key, None);
        self.generations = generation;
        Some(generation)
    }

    fn forget(&mut self, key: &LeaseKey) {
        self.owners.remove(key, self.by_key.end_of(key));
        self.by_key.remove(key);
    }

    /// Takes a holder off a lease; nothing happens if the lease has another generation by now.
    pub(crate) fn release(&mut self, now: Instant, key: &LeaseKey, generation: u64) {
        let Some(lease) = self.by_key.get_mut(key) else {
            return;
        };
        if lease.generation != generation && !planted::on(Planted::StaleRelease) {
            return;
        }
        lease.holders = lease.holders.saturating_sub(1);
        if lease.holders == 0 && self.by_key.end_of(key).is_none() {
            let until = Some(now + self.keep);
            self.by_key.end_at(key, until);
            self.owners.remove(key, None);
            self.owners.add(key, until);
        }
    }

    /// Tells whether a name may be held by a session more: an owner gets another lease to hold while it
    /// holds fewer than are held by nobody, so that it leaves half of the table to others.
    pub(crate) fn may_hold(&self, key: &LeaseKey) -> bool {
        let held = self.by_key.get(key).is_some() && self.by_key.end_of(key).is_none();
        held || self.owners.may_hold(key.owner, self.max)
    }

    /// Tells whether a name may be bound now.
    pub(crate) fn has_room(&self, key: &LeaseKey) -> bool {
        let place = self.by_key.get(key).is_some()
            || self.by_key.len() < self.max
            || self.owners.victim(key.owner).is_some();
        place && self.may_hold(key)
    }

    /// Returns when the next lease is to be forgotten.
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        self.by_key.next_end()
    }

    /// Forgets one lease that nobody held for long enough; false if there is none.
    pub(crate) fn expire(&mut self, now: Instant) -> bool {
        let Some((key, until)) = self.by_key.expire(now) else {
            return false;
        };
        self.owners.remove(&key, Some(until));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::{LeaseKey, Leases, NAME_MAX, SessionName};
    use crate::time::{Duration, Instant};

    const KEEP: Duration = Duration::from_secs(600);

    fn key(name: &str) -> LeaseKey {
        LeaseKey {
            owner: 1,
            name: SessionName::new(name).expect("a name"),
        }
    }

    #[test]
    fn names_are_bounded() {
        let text = "n".repeat(NAME_MAX + 1);
        assert!(SessionName::new(&text).is_none());
        assert!(SessionName::new(&text[1..]).is_some());
        assert!(SessionName::new("").is_none());
    }

    #[test]
    fn an_old_generation_releases_nothing() {
        let now = Instant::EPOCH;
        let mut leases = Leases::new(KEEP, 10);
        let old = leases.take(&key("a"), "one").expect("room");
        let new = leases.take(&key("a"), "two").expect("room");
        assert_ne!(old, new);
        leases.release(now, &key("a"), old);
        let lease = leases.get(&key("a")).expect("held");
        assert_eq!((&*lease.node, lease.holders), ("two", 1));
        assert_eq!(leases.next_expiry(), None);
        leases.release(now, &key("a"), new);
        assert_eq!(leases.next_expiry(), Some(now + KEEP));
    }

    #[test]
    fn an_idle_lease_lasts_exactly_its_time() {
        let now = Instant::EPOCH;
        let mut leases = Leases::new(KEEP, 10);
        let generation = leases.take(&key("a"), "one").expect("room");
        leases.release(now, &key("a"), generation);
        assert!(!leases.expire(now + KEEP - Duration::from_nanos(1)));
        assert_eq!(leases.hold(&key("a")), Some(generation));
        assert!(!leases.expire(now + KEEP), "held again");
        leases.release(now + KEEP, &key("a"), generation);
        assert!(leases.expire(now + KEEP + KEEP));
        assert_eq!((leases.len(), leases.hold(&key("a"))), (0, None));
    }

    #[test]
    fn a_full_table_forgets_the_longest_idle_or_refuses() {
        let at = |secs| Instant::EPOCH + Duration::from_secs(secs);
        let mut leases = Leases::new(KEEP, 2);
        let a = leases.take(&key("a"), "one").expect("room");
        assert!(!leases.has_room(&key("b")), "half is for others");
        leases.release(at(0), &key("a"), a);
        let b = leases.take(&key("b"), "one").expect("room");
        let other = LeaseKey {
            owner: 2,
            ..key("c")
        };
        assert_eq!(leases.hold(&key("a")), None);
        assert!(leases.has_room(&other), "what is idle of who has most");
        leases.release(at(1), &key("b"), b);
        assert!(leases.has_room(&key("c")));
        assert!(leases.take(&key("c"), "one").is_some());
        assert!(leases.get(&key("a")).is_none() && leases.get(&key("b")).is_some());
    }

    #[test]
    fn a_generation_is_never_used_twice() {
        let mut leases = Leases::new(KEEP, 10);
        let first = leases.take(&key("a"), "one").expect("room");
        leases.release(Instant::EPOCH, &key("a"), first);
        assert!(leases.expire(Instant::EPOCH + KEEP));
        assert_ne!(leases.take(&key("a"), "one"), Some(first));
    }
}

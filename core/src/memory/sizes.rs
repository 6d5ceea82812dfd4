//! Who holds how much, by powers of two: whoever is asked to let go is found without looking at the others.
//!
//! An entry rises with what is held and comes down only when it is looked at. So the first bytes of a session
//! move it a few times, and after that its way up and down costs nothing.

use crate::arena::SessionId;
use alloc::collections::BTreeSet;
use core::ops::Bound;

/// Returns the power of two that so many bytes have reached; what is below 256 counts as nothing.
pub(super) const fn class(bytes: u64) -> u8 {
    if bytes < 256 { 0 } else { bytes.ilog2() as u8 }
}

/// Those who hold something, in the order of the classes that are noted of them.
#[derive(Debug)]
pub(super) struct Sizes<K>(BTreeSet<(u8, K)>);

impl<K> Default for Sizes<K> {
    fn default() -> Self {
        Self(BTreeSet::new())
    }
}

impl<K: Copy + Ord> Sizes<K> {
    /// Notes what one holds, if that is of a higher class than is noted.
    pub(super) fn note(&mut self, key: K, noted: &mut u8, bytes: u64) {
        let now = class(bytes);
        if now > *noted {
            self.place(key, noted, now);
        }
    }

    /// Puts one that was looked at where it belongs.
    pub(super) fn lower(&mut self, key: K, noted: &mut u8, now: u8) {
        self.place(key, noted, now);
    }

    fn place(&mut self, key: K, noted: &mut u8, now: u8) {
        self.remove(key, *noted);
        *noted = now;
        if now > 0 {
            self.0.insert((now, key));
        }
    }

    pub(super) fn remove(&mut self, key: K, noted: u8) {
        if noted > 0 {
            self.0.remove(&(noted, key));
        }
    }

    /// Returns the largest below one, or of all.
    pub(super) fn largest(&self, below: Option<(u8, K)>) -> Option<(u8, K)> {
        let end = below.map_or(Bound::Unbounded, Bound::Excluded);
        self.0.range((Bound::Unbounded, end)).next_back().copied()
    }

    pub(super) fn has(&self, key: K, noted: u8) -> bool {
        noted == 0 || self.0.contains(&(noted, key))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// How far those who hold something have been looked at, the largest user first. `U` names a user.
#[derive(Debug)]
pub(super) struct Round<U> {
    pub(super) user: Option<(u8, U)>,
    pub(super) session: Option<(u8, SessionId)>,
    /// A user is being looked at.
    pub(super) open: bool,
    /// Whoever leaves anything waiting is looked at, not only who leaves more than it may.
    pub(super) all: bool,
    /// Somebody had to let go.
    pub(super) found: bool,
}

impl<U> Round<U> {
    pub(super) const fn new(all: bool) -> Self {
        Self {
            user: None,
            session: None,
            open: false,
            all,
            found: false,
        }
    }
}

//! Who holds how much, by powers of two: whoever is asked to let go is found without looking at the others.
//!
//! An entry rises with what is held and comes down only when it is looked at. So the first bytes of a session
//! move it a few times, and after that its way up and down costs nothing.

use super::users::{UserId, Users};
use super::{Memory, MemoryLevel};
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

/// How far those who hold something have been looked at, the largest user first.
#[derive(Debug, Default)]
pub(super) struct Round {
    user: Option<(u8, UserId)>,
    session: Option<(u8, SessionId)>,
    /// A user is being looked at.
    open: bool,
}

impl Memory {
    /// Begins to look at those who hold something.
    pub(crate) fn begin_round(&mut self) {
        self.round = Round::default();
    }

    /// Returns the next session that may have to let go, of the user who holds most: of everybody's from
    /// 80 % on, otherwise of those beyond their share. None when all were looked at.
    pub(crate) fn next_holder(&mut self) -> Option<SessionId> {
        loop {
            if let Some((_, user)) = self.round.user.filter(|_| self.round.open) {
                let short = self.level() >= MemoryLevel::Refusing;
                if (short || self.is_beyond_share(user))
                    && let Some(next) = self.users.largest_of(user, self.round.session)
                {
                    self.round.session = Some(next);
                    return Some(next.1);
                }
                self.round.open = false;
            }
            let short = self.level() >= MemoryLevel::Refusing;
            let next = self.users.largest(self.round.user)?;
            // All others hold less.
            if !short && next.0 < class(self.marks.full / super::USER_LEAST) {
                return None;
            }
            self.round = Round {
                user: Some(next),
                session: None,
                open: true,
            };
        }
    }

    /// Notes what a session that was looked at leaves waiting for its socket. Returns whether that is more
    /// than it may leave for as long as it likes.
    pub(crate) fn renote(
        &mut self,
        (user, session): (UserId, SessionId),
        noted: &mut u8,
        waiting: u64,
    ) -> bool {
        let holds = waiting > self.least();
        let waiting = if holds { waiting } else { 0 };
        if class(waiting) < *noted {
            self.users.lower(user, session, noted, waiting);
        }
        holds
    }

    /// Tells whether a user holds more than its share.
    pub(crate) fn has_beyond_share(&mut self) -> bool {
        let largest = self.users.largest(None);
        largest.is_some_and(|(_, user)| self.is_beyond_share(user))
    }

    /// Counts an entry of a list that was looked at.
    pub(crate) const fn visit(&mut self) {
        self.users.visits += 1;
    }

    /// Returns how many entries of the lists were looked at so far.
    pub(crate) const fn visits(&self) -> u64 {
        let Users { visits, .. } = &self.users;
        *visits
    }
}

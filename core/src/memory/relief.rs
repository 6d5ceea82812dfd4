//! A look at those who hold something, the largest first.

use super::budget::{Memory, USER_LEAST};
use super::level::MemoryLevel;
use super::sizes::{Round, class};
use super::users::{UserId, Users};
use crate::arena::SessionId;

/// What a look at one entry of the lists has shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Look {
    /// A session that may have to let go.
    At(SessionId),
    /// Nothing; the next entry may.
    On,
    /// All were looked at.
    Over,
}

impl Memory {
    /// Begins to look at those who hold something.
    pub(crate) fn begin_round(&mut self) {
        self.round = Round::new();
    }

    /// Looks at the next entry, of the user who holds most: of everybody's sessions from 80 % on, otherwise
    /// of those beyond their share.
    pub(crate) fn look(&mut self) -> Look {
        let short = self.level() >= MemoryLevel::Refusing;
        if let Some((_, user)) = self.round.user.filter(|_| self.round.open) {
            if (short || self.is_beyond_share(user))
                && let Some(next) = self.users.largest_of(user, self.round.session)
            {
                self.round.session = Some(next);
                return Look::At(next.1);
            }
            self.round.open = false;
        }
        let Some(next) = self.users.largest(self.round.user) else {
            return Look::Over;
        };
        // All others hold less.
        if !short && next.0 < class(self.marks.full / USER_LEAST) {
            return Look::Over;
        }
        if self.users.is_up_to_date(next) {
            self.round.user = Some(next);
            self.round.session = None;
            self.round.open = true;
        }
        Look::On
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

    /// Tells whether anybody may have to let go, without a look at all: of those who hold most, one may be
    /// beyond its share.
    pub(crate) fn is_tight(&self) -> bool {
        let used = self.used();
        let free = self.marks.refusing.saturating_sub(used);
        // Nobody holds more than all do.
        let share = free.max(self.marks.full / USER_LEAST);
        free == 0 || (used >= free && self.users.top() >= class(share))
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

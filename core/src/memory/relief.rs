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
        self.round = Round::new(false);
    }

    /// Notes that somebody had to let go.
    pub(crate) const fn found(&mut self) {
        self.round.found = true;
    }

    /// Begins once more, at those who leave little, if carriers are not read and nobody leaves more than it
    /// may: nothing else would free anything.
    pub(crate) fn look_closer(&mut self) -> bool {
        let closer = !self.takes_input() && !self.round.all && !self.round.found;
        if closer {
            self.round = Round::new(true);
        }
        closer
    }

    /// Looks at the next entry, of the user who holds most: of everybody's sessions from 80 % on, otherwise
    /// of those beyond their share.
    pub(crate) fn look(&mut self) -> Look {
        let short = self.level() >= MemoryLevel::Refusing;
        if let Some((_, user)) = self.round.user.filter(|_| self.round.open) {
            let matters = class(self.tolerated() + 1);
            if (short || self.is_beyond_share(user))
                && let Some(next) = self.users.largest_of(user, self.round.session)
                && next.0 >= matters
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

    /// Returns what a session may leave waiting for its socket in this round.
    fn tolerated(&self) -> u64 {
        if self.round.all && !self.takes_input() {
            0
        } else {
            self.least()
        }
    }

    /// Notes what a session that was looked at leaves waiting for its socket. Returns whether that is more
    /// than it may leave.
    pub(crate) fn renote(
        &mut self,
        (user, session): (UserId, SessionId),
        noted: &mut u8,
        waiting: u64,
    ) -> bool {
        if class(waiting) < *noted {
            self.users.lower(user, session, noted, waiting);
        }
        waiting > self.tolerated()
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

    /// Returns how many entries of the lists were looked at so far.
    pub(crate) const fn visits(&self) -> u64 {
        let Users { visits, .. } = &self.users;
        *visits
    }
}

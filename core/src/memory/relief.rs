//! A look at those who hold something, the largest first.

use super::budget::{Memory, USER_LEAST};
use super::level::MemoryLevel;
use super::sizes::{Round, class};
use super::users::{UserId, Users};
use crate::arena::SessionId;

impl Memory {
    /// Begins to look at those who hold something.
    pub(crate) fn begin_round(&mut self) {
        self.round = Round::new();
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
            if !short && next.0 < class(self.marks.full / USER_LEAST) {
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

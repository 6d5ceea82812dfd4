//! What a session is charged for.

use crate::config::{SHED_AFTER, SHED_BELOW};
use crate::memory::{Held, UserId};
use crate::planted::{self, Planted};
use crate::time::Instant;

/// What the session is charged for, and to whom.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pinned {
    pub(super) user: UserId,
    pub(super) held: Held,
    /// Window growth taken from the pool.
    pub(super) grown: u64,
    /// What the list of holders has noted of it.
    pub(super) noted: u8,
    pub(super) progress: Progress,
}

impl Pinned {
    pub(super) fn none(now: Instant, user: UserId) -> Self {
        Self {
            user,
            held: Held::default(),
            grown: 0,
            noted: 0,
            progress: Progress::since(now),
        }
    }
}

/// Whether a socket takes what waits for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Progress {
    since: Instant,
    /// Bytes taken since then.
    taken: u32,
}

impl Progress {
    pub(super) const fn since(now: Instant) -> Self {
        Self {
            since: now,
            taken: 0,
        }
    }

    /// Notes bytes that the socket took. Enough of them are progress, and the time begins anew.
    pub(super) fn take(&mut self, now: Instant, bytes: usize) {
        self.taken =
            u32::try_from(bytes).map_or(u32::MAX, |bytes| self.taken.saturating_add(bytes));
        if self.taken >= SHED_BELOW && !planted::on(Planted::ProgressForgotten) {
            *self = Self::since(now);
        }
    }

    /// Tells whether too little was taken for too long.
    pub(super) fn is_none(&self, now: Instant) -> bool {
        now.since(self.since) >= SHED_AFTER
    }
}

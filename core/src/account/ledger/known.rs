//! What the store knows of a user: what it has taken over, and what is on its way to it.

use super::message::Totals;
use crate::time::{Duration, Instant};

/// What a store that fails may forget of its last words, amply.
const FORGETS: Duration = Duration::from_secs(5);

/// What the store has taken over.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Known {
    /// Nothing yet.
    #[default]
    Nothing,
    /// It may have forgotten whatever it was told.
    Forgotten,
    /// These totals, since then. The number of sessions is in doubt if another message may have come
    /// after it with another.
    Totals {
        totals: Totals,
        sessions_sure: bool,
        at: Instant,
    },
}

/// Messages about the user that are under way. In which order the store takes them is unknown.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Flight {
    count: u32,
    /// The number of sessions that the last one tells.
    sessions: u32,
    /// Not all of them tell the same.
    mixed: bool,
}

/// What the store knows of a user.
#[derive(Debug, Default)]
pub(super) struct Knowledge {
    known: Known,
    flight: Flight,
}

impl Knowledge {
    /// Notes what the store has taken over, and when it said so.
    pub(super) const fn take(&mut self, now: Instant, totals: Totals) {
        self.known = Known::Totals {
            totals,
            sessions_sure: !self.flight.mixed,
            at: now,
        };
    }

    /// A message with this number of sessions is under way.
    pub(super) const fn sent(&mut self, sessions: u32) {
        self.flight = Flight {
            count: self.flight.count + 1,
            sessions,
            mixed: self.flight.count > 0 && (self.flight.mixed || self.flight.sessions != sessions),
        };
    }

    /// A message is under way no more; the store may have taken it, with this number of sessions.
    pub(super) fn landed(&mut self, sessions: u32) {
        self.flight.count = self.flight.count.saturating_sub(1);
        self.flight.mixed &= self.flight.count > 0;
        if let Known::Totals {
            totals,
            sessions_sure,
            ..
        } = &mut self.known
        {
            *sessions_sure &= totals.sessions == sessions;
        }
    }

    /// What was under way has no answer any more.
    pub(super) fn abandon(&mut self) {
        self.flight = Flight::default();
    }

    /// The store may have forgotten everything.
    pub(super) const fn forget(&mut self) {
        self.known = Known::Forgotten;
    }

    pub(super) const fn is_forgotten(&self) -> bool {
        matches!(self.known, Known::Forgotten)
    }

    pub(super) const fn is_under_way(&self) -> bool {
        self.flight.count > 0
    }

    /// Tells whether the store does not know these totals. What was granted the store knows better.
    pub(super) fn lacks(&self, now: Totals) -> bool {
        match self.known {
            Known::Nothing | Known::Forgotten => true,
            Known::Totals {
                totals,
                sessions_sure,
                ..
            } => {
                let Totals { granted, wants, .. } = totals;
                let known = Totals {
                    granted,
                    wants,
                    ..now
                };
                !sessions_sure || totals != known
            }
        }
    }

    /// Tells whether the store knows what it knows for so long that it does not forget it when it fails.
    pub(super) fn is_lasting(&self, now: Instant) -> bool {
        match self.known {
            Known::Nothing | Known::Forgotten => false,
            Known::Totals { at, .. } => now.since(at) >= FORGETS,
        }
    }
}

//! How much of a user's limit this POP asks for, and how much of it the user does not need.

use super::message::Config;
use crate::time::{Duration, Instant};

/// A POP asks for this part of what is left at most, so that others find something.
const PIECE_OF_LEFT: u64 = 4;

/// When half of a grant lasts less than this, the next one is larger, and when it lasts much longer,
/// smaller. Longer than an operation of the store takes: nobody waits for a slow one then.
const LASTS_MIN: Duration = Duration::from_secs(2);
const LASTS_MAX: Duration = Duration::from_secs(8);

/// Over how long the pace of a user is measured at least, and for how many times as long what is held
/// may last: the rest is for others. The smallest grant may be kept anyway, if much is left.
const PACE_MEASURED: Duration = Duration::from_secs(1);
const PACES_KEPT: u64 = 4;

/// How much a user needs.
#[derive(Debug)]
pub(super) struct Need {
    /// What the user has left over all POPs, as told last.
    left: u64,
    size: u64,
    asked_at: Instant,
    /// What had been spent when the pace was looked at last, and when that was.
    paced: (u64, Instant),
}

impl Need {
    pub(super) const fn new(now: Instant, left: u64, spent: u64, config: &Config) -> Self {
        Self {
            left,
            size: config.grant_min,
            asked_at: now,
            paced: (spent, now),
        }
    }

    /// Takes in what the user has left over all POPs.
    pub(super) const fn stand(&mut self, left: u64) {
        self.left = left;
    }

    /// Tells whether the user has something left that nobody was granted.
    pub(super) const fn has_left(&self) -> bool {
        self.left > 0
    }

    /// The largest part of what is left that this POP holds.
    fn piece(&self, config: &Config) -> u64 {
        (self.left / PIECE_OF_LEFT).max(config.piece_min)
    }

    /// Returns how much is to be held when it is asked for now; the size follows how long the last
    /// grant has lasted.
    pub(super) fn ask(&mut self, now: Instant, config: &Config) -> u64 {
        let lasted = now.since(self.asked_at);
        if lasted < LASTS_MIN {
            self.size = self.size.saturating_mul(2).min(config.grant_max);
        } else if lasted > LASTS_MAX {
            self.size = (self.size / 2).max(config.grant_min);
        }
        self.asked_at = now;
        self.size.min(self.piece(config))
    }

    /// Returns how much more is held than is spent within a few seconds at the pace since this was
    /// last called: nothing if that was a moment ago.
    pub(super) fn idle(&mut self, now: Instant, spent: u64, rest: u64, config: &Config) -> u64 {
        let (before, at) = self.paced;
        if now.since(at) < PACE_MEASURED {
            return 0;
        }
        self.paced = (spent, now);
        let moved = spent.saturating_sub(before);
        let floor = config.grant_min.min(self.piece(config));
        let keep = moved.saturating_mul(PACES_KEPT).max(floor);
        let idle = rest.saturating_sub(keep);
        if idle > 0 {
            self.size = self.size.min(keep.max(config.grant_min));
        }
        idle
    }
}

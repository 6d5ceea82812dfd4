//! Asking the store for more before what was granted is used up.
//!
//! ```text
//!         little is left              told to the store
//!  Idle ─────────────────▶ Due ──────────────────────────▶ Open
//!   ▲                       ▲                              │ │
//!   │                       └── Paused ◀── no answer, or ──┘ │
//!   │                                      others hold it    │
//!   └────────────────── granted, or dry ◀────────────────────┘
//! ```

use super::message::AskId;
use crate::mark::{self, Mark};
use crate::planted::{self, Planted};
use crate::time::{Duration, Instant};

/// How long to wait after the store has failed, at first and at most.
const RETRY: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(1);

/// How long, and how often, more is asked for when nothing is left but what other POPs hold and may
/// give back: a little longer than it takes one to see that it does not need it.
const OTHERS_WAIT: Duration = Duration::from_secs(6);
const OTHERS_INTERVAL: Duration = Duration::from_millis(200);

/// Whether more is being asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Asking {
    /// It is not.
    Idle,
    /// The store is about to be asked.
    Due(Patience),
    /// The store was asked.
    Open { ask: AskId, patience: Patience },
    /// The store is asked again then.
    Paused { until: Instant, patience: Patience },
}

/// How long it has been asked in vain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Patience {
    /// How long the next pause is if the store fails again.
    pause: Duration,
    /// Since when the store has had nothing while others held something.
    thirsty_since: Option<Instant>,
}

impl Patience {
    const FRESH: Self = Self {
        pause: RETRY,
        thirsty_since: None,
    };
}

impl Asking {
    /// Begins to ask, unless that is under way. True if it is.
    pub(super) fn begin(&mut self) -> bool {
        let begins = *self == Self::Idle;
        if begins {
            *self = Self::Due(Patience::FRESH);
        }
        begins
    }

    /// Asks again, if the pause is over. True if it is.
    pub(super) fn resume(&mut self, now: Instant) -> bool {
        if let Self::Paused { until, patience } = *self
            && until <= now
        {
            *self = Self::Due(patience);
            return true;
        }
        false
    }

    pub(super) const fn is_due(&self) -> bool {
        matches!(self, Self::Due(_))
    }

    /// Notes that the store is asked by this message.
    pub(super) const fn sent(&mut self, ask: AskId) {
        if let Self::Due(patience) = *self {
            *self = Self::Open { ask, patience };
        }
    }

    /// The store has answered. Returns how long it was asked in vain, if this is the message under way.
    pub(super) fn answered(&mut self, ask: AskId) -> Option<Patience> {
        let patience = self.patience_of(ask)?;
        *self = Self::Idle;
        Some(patience)
    }

    /// The store has not answered. Returns when it is asked again.
    pub(super) fn failed(&mut self, now: Instant, ask: AskId) -> Option<Instant> {
        let mut patience = self.patience_of(ask)?;
        mark::hit(Mark::GrantRetried);
        let until = now + patience.pause;
        patience.pause = (patience.pause * 2).min(RETRY_MAX);
        *self = Self::Paused { until, patience };
        Some(until)
    }

    /// Nothing is left but what others may give back. Returns when to ask for that; nothing if it was
    /// asked for long enough.
    pub(super) fn await_others(&mut self, now: Instant, mut patience: Patience) -> Option<Instant> {
        let since = *patience.thirsty_since.get_or_insert(now);
        mark::hit(Mark::OthersAwaited);
        if now.since(since) < OTHERS_WAIT && !planted::on(Planted::OthersNotAwaited) {
            let until = now + OTHERS_INTERVAL;
            patience.pause = RETRY;
            *self = Self::Paused { until, patience };
            return Some(until);
        }
        None
    }

    /// Returns until when it pauses, if it does.
    pub(super) const fn paused_until(&self) -> Option<Instant> {
        match *self {
            Self::Paused { until, .. } => Some(until),
            Self::Idle | Self::Due(_) | Self::Open { .. } => None,
        }
    }

    /// Returns how long it has been asked in vain, if this is the message under way.
    fn patience_of(&self, answered: AskId) -> Option<Patience> {
        match *self {
            Self::Open { ask, patience } if ask == answered => Some(patience),
            Self::Idle | Self::Due(_) | Self::Open { .. } | Self::Paused { .. } => None,
        }
    }
}

//! When the store is told what users have transferred, and of whom, in batches.
//!
//! Users who share a rate with other POPs are told of more often, by themselves.
//!
//! ```text
//!         2 s, 1 s, or something urgent     nothing left to tell
//!  Resting ──────────────────────────▶ Due ─────────────────────▶ Resting (told)
//!                                      │ ▲
//!                          a batch told ▼ │ answered
//!                                      Open ────────────────────▶ Resting (untold)
//!                                            no answer
//! ```

use super::user::User;
use crate::time::{Duration, Instant};
use alloc::collections::VecDeque;

/// The most users in one report.
pub const BATCH_MAX: usize = 256;

/// How often usage is reported.
const INTERVAL: Duration = Duration::from_secs(2);

/// How often users are told of who share a rate with other POPs.
const SHARING: Duration = Duration::from_secs(1);

/// How soon after a report the next one may follow.
const INTERVAL_MIN: Duration = Duration::from_millis(200);

/// Where reporting stands.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Round {
    /// There is nobody to report of.
    Asleep,
    /// Until the next time.
    Resting {
        since: Instant,
        /// Somebody wants the store to hear of sessions, or of what is given back, soon.
        urgent: bool,
    },
    /// The next batch is about to be told; of these users, if it is not the first.
    Due(Option<VecDeque<u32>>),
    /// A batch is being told, and these users come after it.
    Open { left: VecDeque<u32> },
}

/// Of whom a round tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Scope {
    /// Everybody of whom there is something to tell.
    All,
    /// Those who share a rate.
    Sharing,
}

/// Who shares a rate with other POPs when a round is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sharers {
    Nobody,
    Somebody,
    /// Somebody does, and the store has not heard of one of them.
    Newcomer,
}

/// When rounds begin, and of whom the one under way tells.
#[derive(Debug)]
pub(super) struct Agenda {
    round: Round,
    /// Something urgent came while a report was under way: the next one follows soon.
    hurried: bool,
    scope: Scope,
    /// When the last round about everybody was over.
    all_at: Instant,
    /// Whether the round tells of all who share a rate, and when one did last.
    sharers: bool,
    shared_at: Instant,
    /// How soon after a round those who share a rate are told of; none if nobody does.
    sharing: Option<Duration>,
}

impl Agenda {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            round: Round::Asleep,
            hurried: false,
            scope: Scope::All,
            all_at: now,
            sharers: true,
            shared_at: now,
            sharing: None,
        }
    }

    /// Returns when the next round begins, and of whom it tells then.
    pub(super) fn due(&self) -> Option<(Instant, Scope)> {
        let Round::Resting { since, urgent } = self.round else {
            return None;
        };
        if urgent {
            return Some((since + INTERVAL_MIN, Scope::All));
        }
        let pause = self.sharing.unwrap_or(INTERVAL_MIN);
        let next = since + pause;
        // A round about some may have been answered after the one about everybody was due: that follows
        // after the pause then, and not sooner.
        let all = (self.all_at + INTERVAL).max(next);
        Some(if self.sharing.is_some() && next < all {
            (next, Scope::Sharing)
        } else {
            (all, Scope::All)
        })
    }

    /// There is somebody to report of.
    pub(super) fn wake(&mut self, now: Instant) {
        if self.round == Round::Asleep {
            *self = Self {
                round: Round::Resting {
                    since: now,
                    urgent: false,
                },
                ..Self::new(now)
            };
        }
    }

    /// There is nobody to report of any more.
    pub(super) fn sleep(&mut self) {
        self.round = Round::Asleep;
    }

    /// Has those who share a rate be told of soon.
    pub(super) const fn hurry_sharing(&mut self) {
        self.sharing = Some(INTERVAL_MIN);
    }

    /// Has everything be reported soon.
    pub(super) const fn hurry(&mut self) {
        match &mut self.round {
            Round::Resting { urgent, .. } => *urgent = true,
            // What is being told may have been put together before.
            Round::Due(_) | Round::Open { .. } => self.hurried = true,
            Round::Asleep => {}
        }
    }

    /// Begins a round, if it is time.
    pub(super) fn begin(&mut self, now: Instant) -> Option<Scope> {
        let (_, scope) = self.due().filter(|(due, _)| *due <= now)?;
        self.scope = scope;
        // One about a newcomer, which may follow another, is about those alone who wait.
        self.sharers = scope == Scope::All || now.since(self.shared_at) >= SHARING;
        self.round = Round::Due(None);
        Some(scope)
    }

    /// Begins the last rounds, about everybody.
    pub(super) fn begin_last(&mut self, now: Instant) {
        *self = Self {
            round: Round::Due(None),
            ..Self::new(now)
        };
    }

    /// Begins the round once more.
    pub(super) fn repeat(&mut self) {
        self.round = Round::Due(None);
    }

    /// Tells whether the round tells of a user.
    pub(super) fn tells_of(&self, user: &User) -> bool {
        let all = self.scope == Scope::All;
        user.awaits_share() || (self.sharers && user.is_sharing()) || (all && user.is_unreported())
    }

    /// Tells whether the next batch is about to be told.
    pub(super) const fn is_due(&self) -> bool {
        matches!(self.round, Round::Due(_))
    }

    /// Takes those who are left of the round, if it is not the first batch that is told.
    pub(super) fn take_left(&mut self) -> Option<VecDeque<u32>> {
        let Round::Due(left) = &mut self.round else {
            return None;
        };
        left.take()
    }

    /// A batch is being told, and these users come after it.
    pub(super) fn open(&mut self, left: VecDeque<u32>) {
        self.round = Round::Open { left };
    }

    /// The batch is told. True if it was of a round, so that the next one follows.
    pub(super) fn answered(&mut self) -> bool {
        let Round::Open { left } = &mut self.round else {
            return false;
        };
        self.round = Round::Due(Some(core::mem::take(left)));
        true
    }

    /// The round is over: everything was told, or the store did not take it. Returns of whom it was to
    /// tell.
    pub(super) fn end(&mut self, now: Instant, told: bool, sharers: Sharers) -> Scope {
        if self.sharers || !told {
            self.shared_at = now;
        }
        let rest = SHARING.saturating_sub(now.since(self.shared_at));
        self.sharing = match sharers {
            Sharers::Nobody => None,
            Sharers::Somebody => Some(rest.max(INTERVAL_MIN)),
            Sharers::Newcomer => Some(INTERVAL_MIN),
        };
        if self.scope == Scope::All {
            self.all_at = now;
        }
        self.round = Round::Resting {
            since: now,
            urgent: core::mem::take(&mut self.hurried),
        };
        self.scope
    }
}

//! Telling the store what users have transferred, in batches, and giving back what they do not need.
//!
//! ```text
//!           2 s, or something urgent        nothing left to tell
//!  Resting ──────────────────────────▶ Due ─────────────────────▶ Resting (told)
//!                                      │ ▲
//!                          a batch told ▼ │ answered
//!                                      Open ────────────────────▶ Resting (untold)
//!                                            no answer
//! ```

use super::message::{Ask, Event, Question, Standing, Totals};
use super::{Ledger, Open, Stage, Wanted};
use crate::time::{Duration, Instant};
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// The most users in one report.
pub const BATCH_MAX: usize = 256;

/// How often usage is reported.
const INTERVAL: Duration = Duration::from_secs(2);

/// How soon after a report the next one may follow.
const INTERVAL_MIN: Duration = Duration::from_millis(200);

/// Where reporting stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Round {
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

impl Round {
    /// Returns when the next one begins.
    pub(super) fn due(&self) -> Option<Instant> {
        match *self {
            Self::Resting { since, urgent } => {
                Some(since + if urgent { INTERVAL_MIN } else { INTERVAL })
            }
            Self::Asleep | Self::Due(_) | Self::Open { .. } => None,
        }
    }
}

impl Ledger {
    /// Has everything be reported soon.
    pub(super) fn hurry(&mut self) {
        match self.round {
            Round::Resting { since, .. } => {
                self.round = Round::Resting {
                    since,
                    urgent: true,
                };
                self.begin_round();
            }
            // What is being told may have been put together before.
            Round::Due(_) | Round::Open { .. } => self.hurried = true,
            Round::Asleep => {}
        }
    }

    /// Begins a round, if it is time. Gives back what users do not need, and forgets those of whom
    /// everything is known.
    pub(super) fn begin_round(&mut self) {
        let now = self.now;
        if self.round.due().is_none_or(|due| due > now) {
            return;
        }
        let groups: Vec<u32> = self.users.keys().copied().collect();
        for group in groups {
            let config = self.config;
            if self.change(group, |user| user.tidy(now, &config)) == Some(true) {
                self.release(group);
            }
        }
        self.round = Round::Due(None);
        self.wanted.push_back(Wanted::Round);
    }

    /// Notes that the next batch is told; none if the round is over.
    pub(super) fn report(&mut self) -> Option<Ask> {
        let Round::Due(left) = &mut self.round else {
            return None;
        };
        let mut left = match left.take() {
            Some(left) => left,
            None => self.unreported().map(|(group, _)| group).collect(),
        };
        let mut batch = Vec::new();
        while batch.len() < BATCH_MAX
            && let Some(group) = left.pop_front()
        {
            // As they are now: the number of sessions told last is the one that counts.
            if let Some(user) = self.users.get(&group) {
                batch.push((group, user.totals()));
            }
        }
        if batch.is_empty() {
            self.end_round(true);
            return None;
        }
        self.round = Round::Open { left };
        let id = self.next_ask();
        self.send(id, Open::Round(batch.clone()));
        let question = Question::Report(batch);
        Some(Ask { id, question })
    }

    /// Takes in what the store says to a batch.
    pub(super) fn reported(&mut self, batch: &[(u32, Totals)], said: &[Option<Standing>]) {
        let now = self.now;
        for ((group, totals), standing) in batch.iter().zip(said) {
            self.change(*group, |user| match standing {
                Some(standing) => {
                    user.known(now, *totals);
                    // A grant whose answer was lost is found here; the next question adopts it.
                    user.stand(now, standing);
                }
                None => user.lose(),
            });
        }
        if let Round::Open { left } = &mut self.round {
            self.round = Round::Due(Some(core::mem::take(left)));
            self.wanted.push_back(Wanted::Round);
        }
    }

    /// The round is over: everything was told, or the store did not take it.
    pub(super) fn end_round(&mut self, told: bool) {
        if told && self.stage == Stage::Leaving && self.unreported().next().is_some() {
            // A grant that was found is given back.
            self.round = Round::Due(None);
            self.wanted.push_back(Wanted::Round);
            return;
        }
        let asleep = self.users.is_empty() || self.stage == Stage::Leaving;
        let urgent = core::mem::take(&mut self.hurried);
        self.round = if asleep {
            Round::Asleep
        } else {
            Round::Resting {
                since: self.now,
                urgent,
            }
        };
        self.events
            .push_back(if told { Event::Told } else { Event::Untold });
    }
}

//! Telling the store what users have transferred, in batches, and giving back what they do not need.
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

use super::message::{Ask, Event, Question, Standing, Totals};
use super::user::User;
use super::{Ledger, Open, Stage, Wanted};
use crate::time::{Duration, Instant};
use alloc::collections::VecDeque;
use alloc::vec::Vec;

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

/// Of whom a round tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Scope {
    /// Everybody of whom there is something to tell.
    All,
    /// Those who share a rate.
    Sharing,
}

/// When rounds begin, and of whom the one under way tells.
#[derive(Debug)]
pub(super) struct Agenda {
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
            scope: Scope::All,
            all_at: now,
            sharers: true,
            shared_at: now,
            sharing: None,
        }
    }
}

impl Ledger {
    /// Returns when the next round begins, and of whom it tells then.
    pub(super) fn round_due(&self) -> Option<(Instant, Scope)> {
        let Round::Resting { since, urgent } = self.round else {
            return None;
        };
        if urgent {
            return Some((since + INTERVAL_MIN, Scope::All));
        }
        let pause = self.agenda.sharing.unwrap_or(INTERVAL_MIN);
        let next = since + pause;
        // A round about some may have been answered after the one about everybody was due: that follows
        // after the pause then, and not sooner.
        let all = (self.agenda.all_at + INTERVAL).max(next);
        Some(if self.agenda.sharing.is_some() && next < all {
            (next, Scope::Sharing)
        } else {
            (all, Scope::All)
        })
    }

    /// Has the store be told soon of a user that came: others may have the whole rate.
    pub(super) fn hurry_share(&mut self, group: u32) {
        if self.users.get(&group).is_some_and(User::awaits_share) {
            self.agenda.sharing = Some(INTERVAL_MIN);
            self.begin_round();
        }
    }

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
        let Some((due, scope)) = self.round_due() else {
            return;
        };
        if due > now {
            return;
        }
        self.agenda.scope = scope;
        // One about a newcomer, which may follow another, is about those alone who wait.
        self.agenda.sharers = scope == Scope::All || now.since(self.agenda.shared_at) >= SHARING;
        self.users.values_mut().for_each(|user| user.measure(now));
        if scope == Scope::All {
            self.tidy_users();
        }
        self.round = Round::Due(None);
        self.wanted.push_back(Wanted::Round);
    }

    fn tidy_users(&mut self) {
        let now = self.now;
        let groups: Vec<u32> = self.users.keys().copied().collect();
        for group in groups {
            let config = self.config;
            if self.change(group, |user| user.tidy(now, &config)) == Some(true) {
                self.release(group);
            }
        }
    }

    /// Returns the groups of whom the round tells.
    fn groups_told(&self) -> VecDeque<u32> {
        let all = self.agenda.scope == Scope::All;
        let sharers = self.agenda.sharers;
        let told = |user: &User| {
            user.awaits_share() || (sharers && user.is_sharing()) || (all && user.is_unreported())
        };
        let users = self.users.iter().filter(|(_, user)| told(user));
        users.map(|(&group, _)| group).collect()
    }

    /// Notes that the next batch is told; none if the round is over.
    pub(super) fn report(&mut self) -> Option<Ask> {
        let Round::Due(left) = &mut self.round else {
            return None;
        };
        let mut left = match left.take() {
            Some(left) => left,
            None => self.groups_told(),
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
        // Somebody may have come while the round was under way.
        let awaits = told && self.users.values().any(User::awaits_share);
        let shares = self.users.values().any(User::is_sharing);
        if self.agenda.sharers || !told {
            self.agenda.shared_at = self.now;
        }
        let rest = SHARING.saturating_sub(self.now.since(self.agenda.shared_at));
        let pause = if awaits {
            INTERVAL_MIN
        } else {
            rest.max(INTERVAL_MIN)
        };
        self.agenda.sharing = shares.then_some(pause);
        let all = self.agenda.scope == Scope::All;
        if all {
            self.agenda.all_at = self.now;
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
        if all || !told {
            let event = if told { Event::Told } else { Event::Untold };
            self.events.push_back(event);
        }
    }
}

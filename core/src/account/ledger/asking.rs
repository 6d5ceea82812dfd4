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

use super::message::{AskId, Standing};
use super::user::{Supply, User};
use super::{Due, Ledger, Open, Wanted};
use crate::mark::{self, Mark};
use crate::planted::{self, Planted};
use crate::time::{Duration, Instant};

/// For how long it is believed that nothing is left of a limit.
pub(super) const DRY_AGE_MAX: Duration = Duration::from_millis(200);

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
    /// Returns how long it has been asked in vain, if this is the message under way.
    fn patience_of(self, answered: AskId) -> Option<Patience> {
        match self {
            Self::Open { ask, patience } if ask == answered => Some(patience),
            Self::Idle | Self::Due(_) | Self::Open { .. } | Self::Paused { .. } => None,
        }
    }
}

impl Ledger {
    /// Asks for more, unless that is under way.
    pub(super) fn ask(&mut self, group: u32) {
        if let Some(user) = self.users.get_mut(&group)
            && user.asking == Asking::Idle
        {
            user.asking = Asking::Due(Patience::FRESH);
            self.wanted.push_back(Wanted::Grant(group));
        }
    }

    /// Asks again.
    pub(super) fn unpause(&mut self, now: Instant, group: u32) {
        if let Some(user) = self.users.get_mut(&group)
            && let Asking::Paused { until, patience } = user.asking
            && until <= now
        {
            user.asking = Asking::Due(patience);
            self.wanted.push_back(Wanted::Grant(group));
        }
    }

    /// Notes that the store is asked; none if nothing is needed any more.
    pub(super) fn ask_for_more(&mut self, group: u32) -> Option<super::Ask> {
        let (now, config) = (self.now, self.config);
        let user = self.users.get_mut(&group)?;
        let Asking::Due(patience) = user.asking else {
            return None;
        };
        if !user.is_needy() {
            user.asking = Asking::Idle;
            return None;
        }
        let want = user.want(now, &config);
        let totals = user.totals();
        let id = self.next_ask();
        if let Some(user) = self.users.get_mut(&group) {
            user.asking = Asking::Open { ask: id, patience };
        }
        let sessions = totals.sessions;
        self.send(id, Open::Grant { group, sessions });
        let question = super::Question::Grant {
            group,
            totals,
            want,
        };
        Some(super::Ask { id, question })
    }

    /// Takes in an answer to [`ask_for_more`](Self::ask_for_more).
    pub(super) fn granted(&mut self, ask: AskId, group: u32, standing: Option<&Standing>) {
        let now = self.now;
        let again = self.change(group, |user| {
            let patience = user.asking.patience_of(ask)?;
            user.asking = Asking::Idle;
            match standing {
                Some(standing) => user.stand(now, standing),
                None => user.lose(),
            }
            user.settle(now, patience, standing?)
        });
        if let Some(until) = again.flatten() {
            self.deadlines.insert((until, Due::Grant(group)));
        }
    }

    /// The store has not answered [`ask_for_more`](Self::ask_for_more).
    pub(super) fn not_granted(&mut self, ask: AskId, group: u32) {
        let now = self.now;
        let again = self.change(group, |user| {
            let mut patience = user.asking.patience_of(ask)?;
            mark::hit(Mark::GrantRetried);
            let until = now + patience.pause;
            patience.pause = (patience.pause * 2).min(RETRY_MAX);
            user.asking = Asking::Paused { until, patience };
            Some(until)
        });
        if let Some(until) = again.flatten() {
            self.deadlines.insert((until, Due::Grant(group)));
        }
    }
}

impl User {
    /// Makes of an answer what there is to be made of it. Returns when to ask again, if it is worth
    /// while.
    fn settle(&mut self, now: Instant, mut patience: Patience, said: &Standing) -> Option<Instant> {
        if !self.is_needy() {
            // Without a limit any more there is nothing that could be used up.
            return None;
        }
        let dry = self.is_empty();
        if dry && !self.is_dry() && may_others_give(said) {
            let since = *patience.thirsty_since.get_or_insert(now);
            mark::hit(Mark::OthersAwaited);
            if now.since(since) < OTHERS_WAIT && !planted::on(Planted::OthersNotAwaited) {
                let until = now + OTHERS_INTERVAL;
                patience.pause = RETRY;
                self.asking = Asking::Paused { until, patience };
                return Some(until);
            }
        }
        self.supplied(if dry { Supply::Dry } else { Supply::Flowing });
        None
    }
}

/// Tells whether there would be something left if other POPs gave back what they hold.
fn may_others_give(standing: &Standing) -> bool {
    let spent = standing.charged.saturating_sub(standing.held_elsewhere);
    standing.held_elsewhere > 0 && standing.limit.is_none_or(|limit| spent < limit)
}

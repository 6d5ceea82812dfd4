//! What the endpoint has been told of a group, and what it is to be told next.
//!
//! ```text
//!            a session enters                    rest to be given back
//!  Down ───────────────────────▶ Up ────────────────────────────────▶ Recalling
//!   ▲                            │ ▲                                      │
//!   │ forgotten                  │ └────── recalled: so much is carried ──┘
//!   └──────────── Forgetting ◀───┘ nobody left
//!                     └──────▶ Up  it still has sessions
//! ```
//!
//! What is told is found by comparing what should be with what the endpoint was told, at the moment it is
//! told. So nothing is announced that something later has made wrong.

use super::message::Instruction;
use crate::account::{Grant, Rates};
use titan_proto::Code;

/// What a group may do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Gate {
    /// What was granted.
    Open,
    /// Nothing, and why.
    Shut(Code),
}

/// What the endpoint was told of the group, and what it is to be told once.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Talk {
    /// What it was told last; nothing yet of a group that is new there.
    rates: Option<Rates>,
    gate: Option<Gate>,
    /// It is warned below this, in bytes.
    low: u64,
    /// The grant is to be told again: an answer came or was to, and a warning may have been used up.
    afresh: bool,
    /// So much is to be given back, in bytes, when the group can spend it no more.
    surplus: u64,
    /// All sessions are to end, though others may follow.
    expel: Option<Code>,
    /// Nobody needs the group any more.
    idle: bool,
}

/// Where the group stands with the endpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Line {
    /// The endpoint knows nothing of it: nobody spends anything.
    Down,
    /// The endpoint knows it.
    Up(Talk),
    /// It was told to lower what it may carry, and has not said what it had carried by then.
    Recalling {
        talk: Talk,
        /// What the group could carry before, and what it is left with.
        ceiling: u64,
        kept: u64,
    },
    /// It was told to forget the group, and has not said whether it did.
    Forgetting(Talk),
}

/// What the group should be like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Wish {
    pub(super) rates: Rates,
    pub(super) gate: Gate,
    /// What it may carry in all; nothing of what has no limit.
    pub(super) ceiling: Option<u64>,
    /// How much of that is left.
    pub(super) rest: u64,
}

impl Line {
    /// Tells whether the endpoint may know the group.
    pub(super) const fn is_up(&self) -> bool {
        !matches!(self, Self::Down)
    }

    const fn talk(&mut self) -> Option<&mut Talk> {
        match self {
            Self::Down => None,
            Self::Up(talk) | Self::Forgetting(talk) | Self::Recalling { talk, .. } => Some(talk),
        }
    }

    /// Returns how much is to be given back.
    pub(super) const fn surplus(&self) -> u64 {
        match self {
            Self::Down => 0,
            Self::Up(talk) | Self::Forgetting(talk) | Self::Recalling { talk, .. } => talk.surplus,
        }
    }

    /// Lets the endpoint know the group. True if it does not yet.
    pub(super) fn enter(&mut self) -> bool {
        let fresh = !self.is_up();
        if fresh {
            *self = Self::Up(Talk::default());
        }
        fresh
    }

    /// Has up to so many bytes more given back, of the rest.
    pub(super) fn give_back(&mut self, bytes: u64, rest: u64) {
        if let Some(talk) = self.talk() {
            talk.surplus = talk.surplus.saturating_add(bytes).min(rest);
        }
    }

    /// Has all sessions end that there are.
    pub(super) fn expel(&mut self, code: Code) {
        if let Some(talk) = self.talk() {
            talk.expel = Some(code);
        }
    }

    /// Has the endpoint warn below `low` from now on.
    pub(super) fn warn_below(&mut self, low: u64) {
        if let Some(talk) = self.talk() {
            talk.low = low;
        }
    }

    /// Has the grant told again, with that warning.
    pub(super) fn tell_afresh(&mut self, low: u64) {
        self.warn_below(low);
        if let Some(talk) = self.talk() {
            talk.afresh = true;
        }
    }

    /// Notes whether anybody needs the group.
    pub(super) fn need(&mut self, needed: bool) {
        if let Some(talk) = self.talk() {
            talk.idle = !needed;
        }
    }

    /// Returns what the endpoint is to be told next, and notes that it was.
    pub(super) fn next(&mut self, group: u32, wish: &Wish) -> Option<Instruction> {
        let talk = self.talk()?;
        talk.surplus = talk.surplus.min(wish.rest);
        let Self::Up(talk) = self else { return None };
        if talk.idle {
            *self = Self::Forgetting(*talk);
            return Some(Instruction::Forget { group });
        }
        if talk.rates != Some(wish.rates) {
            let rates = wish.rates;
            talk.rates = Some(rates);
            return Some(Instruction::LimitRate { group, rates });
        }
        if let Some(ceiling) = wish.ceiling.filter(|_| talk.surplus > 0) {
            let (kept, grant) = talk.recall(ceiling, wish.rest);
            let talk = *talk;
            *self = Self::Recalling {
                talk,
                ceiling,
                kept,
            };
            return Some(Instruction::Recall { group, grant });
        }
        if let Some(code) = talk.expel.take() {
            talk.gate = Some(Gate::Shut(code));
            return Some(Instruction::Exhaust { group, code });
        }
        let changed = talk.gate != Some(wish.gate);
        match wish.gate {
            Gate::Shut(code) if changed => {
                talk.gate = Some(wish.gate);
                Some(Instruction::Exhaust { group, code })
            }
            Gate::Open if changed || talk.afresh => {
                talk.gate = Some(Gate::Open);
                talk.afresh = false;
                let grant = Grant {
                    total: wish.ceiling,
                    low: talk.low_of(wish.rest),
                };
                Some(Instruction::Grant { group, grant })
            }
            Gate::Shut(_) | Gate::Open => None,
        }
    }

    /// The endpoint has lowered what the group may carry. Returns what it could carry before and what it
    /// is left with; none if it was told nothing of the kind.
    pub(super) fn recalled(&mut self) -> Option<(u64, u64)> {
        let Self::Recalling {
            talk,
            ceiling,
            kept,
        } = *self
        else {
            return None;
        };
        *self = Self::Up(talk);
        Some((ceiling, kept))
    }

    /// The endpoint has forgotten the group, or still has sessions of it. True if it has, and was told to.
    pub(super) fn forgotten(&mut self, has: bool) -> bool {
        self.need(true);
        let Self::Forgetting(talk) = *self else {
            return false;
        };
        *self = if has { Self::Down } else { Self::Up(talk) };
        has
    }
}

impl Talk {
    /// Returns when what may be spent is little: half of it if some of the rest is to be given back.
    fn low_of(&self, rest: u64) -> u64 {
        if self.surplus > 0 {
            (rest.saturating_sub(self.surplus) / 2).max(1)
        } else {
            self.low
        }
    }

    /// Takes the surplus out of what the group may carry; returns what it is left with, and the grant that
    /// says so.
    fn recall(&mut self, ceiling: u64, rest: u64) -> (u64, Grant) {
        self.low = self.low_of(rest);
        let kept = ceiling.saturating_sub(core::mem::take(&mut self.surplus));
        let grant = Grant {
            total: Some(kept),
            low: self.low,
        };
        (kept, grant)
    }
}

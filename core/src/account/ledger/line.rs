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
use crate::account::{Carried, Grant, Rates};
use titan_proto::Code;

/// What a group may do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Gate {
    /// What was granted.
    Open,
    /// Nothing, and why.
    Shut(Code),
}

/// What the endpoint was told last; nothing yet of a group that is new there.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Told {
    rates: Option<Rates>,
    gate: Option<Gate>,
}

/// Where the group stands with the endpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Line {
    /// The endpoint knows nothing of it: nobody spends anything.
    Down,
    /// The endpoint knows it.
    Up(Told),
    /// It was told to lower what it may carry, and has not said what it had carried by then.
    Recalling {
        told: Told,
        /// What the group could carry before, and what it is left with.
        ceiling: u64,
        kept: u64,
    },
    /// It was told to forget the group, and has not said whether it did.
    Forgetting(Told),
}

/// What the group should be like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Wish {
    pub(super) rates: Rates,
    pub(super) gate: Gate,
    /// What it may carry, and when that is little.
    pub(super) grant: Grant,
    /// The grant is to be told again: an answer came, and a warning may have been used up.
    pub(super) afresh: bool,
    /// So much is to be given back, in bytes; nothing of what has no limit.
    pub(super) surplus: u64,
    /// All sessions are to end, though others may follow.
    pub(super) expel: Option<Code>,
    /// Nobody needs the group any more.
    pub(super) idle: bool,
}

impl Line {
    /// Tells whether the endpoint may know the group.
    pub(super) const fn is_up(&self) -> bool {
        !matches!(self, Self::Down)
    }

    /// Returns what the endpoint is to be told next, and notes that it was. The caller clears what it
    /// wished once: `surplus` by a recall, `expel` by an exhaustion, `afresh` by a grant.
    pub(super) fn next(&mut self, group: u32, wish: &Wish) -> Option<Instruction> {
        let Self::Up(told) = self else { return None };
        if wish.idle {
            *self = Self::Forgetting(*told);
            return Some(Instruction::Forget { group });
        }
        if told.rates != Some(wish.rates) {
            let rates = wish.rates;
            told.rates = Some(rates);
            return Some(Instruction::LimitRate { group, rates });
        }
        if let Some(ceiling) = wish.grant.total.filter(|_| wish.surplus > 0) {
            let kept = ceiling.saturating_sub(wish.surplus);
            let told = *told;
            *self = Self::Recalling {
                told,
                ceiling,
                kept,
            };
            let grant = Grant {
                total: Some(kept),
                low: wish.grant.low,
            };
            return Some(Instruction::Recall { group, grant });
        }
        if let Some(code) = wish.expel {
            told.gate = Some(Gate::Shut(code));
            return Some(Instruction::Exhaust { group, code });
        }
        let changed = told.gate != Some(wish.gate);
        match wish.gate {
            Gate::Shut(code) if changed => {
                told.gate = Some(wish.gate);
                Some(Instruction::Exhaust { group, code })
            }
            Gate::Open if changed || wish.afresh => {
                told.gate = Some(Gate::Open);
                let grant = wish.grant;
                Some(Instruction::Grant { group, grant })
            }
            Gate::Shut(_) | Gate::Open => None,
        }
    }

    /// The endpoint has lowered what the group may carry. Returns what it could carry before and what it
    /// is left with; none if it was told nothing of the kind.
    pub(super) fn recalled(&mut self) -> Option<(u64, u64)> {
        let Self::Recalling {
            told,
            ceiling,
            kept,
        } = *self
        else {
            return None;
        };
        *self = Self::Up(told);
        Some((ceiling, kept))
    }

    /// The endpoint has forgotten the group, or has not. True if it has, and was told to.
    pub(super) fn forgotten(&mut self, last: Option<Carried>) -> bool {
        let Self::Forgetting(told) = *self else {
            return false;
        };
        let forgotten = last.is_some();
        *self = if forgotten {
            Self::Down
        } else {
            Self::Up(told)
        };
        forgotten
    }
}

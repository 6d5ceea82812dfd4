//! What careless drivers do with groups, and what has to come of it.

use super::choices::Choices;
use crate::pair::Rig;
use std::collections::BTreeMap;
use titan_core::endpoint::{Grant, Rates};
use titan_proto::Code;

/// Most session names of a run.
const NAMES: u64 = 3;

/// A call about a group.
#[derive(Clone, Copy, Debug)]
pub struct AccountStep {
    pub group: u32,
    pub call: AccountCall,
}

#[derive(Clone, Copy, Debug)]
pub enum AccountCall {
    Grant {
        total: Option<u64>,
        /// The total is what was carried and this much more: grants in pieces.
        beyond: bool,
        low: u64,
    },
    Exhaust(Code),
    LimitRate(Rates),
    Forget,
    /// Asks which groups have carried something, until there are no more.
    Report,
}

/// A session's name, of those that many share.
#[derive(Clone, Copy, Debug)]
pub struct Name {
    pub number: u64,
    pub strict: bool,
}

/// Draws a call about a group out of a number below 40.
pub fn step(choices: &mut Choices<'_>, kind: u64) -> AccountStep {
    let group = choices.small();
    let call = match kind {
        0..18 => AccountCall::Grant {
            beyond: choices.flag(),
            total: match choices.below(8) {
                0 => None,
                1 => Some(choices.number()),
                _ => Some(choices.len() as u64),
            },
            low: choices.number(),
        },
        18..22 => AccountCall::Exhaust(choices.code()),
        22..32 => AccountCall::LimitRate(Rates {
            up: rate(choices),
            down: rate(choices),
        }),
        32..37 => AccountCall::Forget,
        _ => AccountCall::Report,
    };
    AccountStep { group, call }
}

fn rate(choices: &mut Choices<'_>) -> u64 {
    match choices.below(5) {
        0 => 0,
        1 => 1000,
        2 => 50_000,
        3 => 1_000_000,
        _ => choices.number(),
    }
}

/// Draws whether a session has a name, and which, out of a number below 4.
pub fn name(choices: &mut Choices<'_>, kind: u64) -> Option<Name> {
    (kind > 1).then(|| Name {
        number: choices.below(NAMES),
        strict: kind == 3,
    })
}

/// What a run has done to its groups.
#[derive(Debug, Default)]
pub struct Ledger(BTreeMap<u32, Entry>);

/// A group as its driver knows it.
#[derive(Debug, Default)]
struct Entry {
    limited: bool,
    /// The largest total ever granted.
    granted: u64,
    barred: bool,
    /// What it had carried when it was last looked at.
    carried: u64,
}

impl Ledger {
    /// Notes that a session was to be opened.
    ///
    /// # Panics
    /// Panics if a group that is shut opened it.
    pub fn opened(&mut self, group: u32, opened: bool) {
        let entry = self.0.entry(group).or_default();
        assert!(!(opened && entry.barred), "group {group} is shut");
    }

    /// Does what a step says.
    ///
    /// # Panics
    /// Panics if a group is forgotten with another total than it had.
    pub fn act(&mut self, rig: &mut Rig, step: AccountStep) {
        let AccountStep { group, call } = step;
        let now = rig.now;
        match call {
            AccountCall::Grant { total, beyond, low } => {
                let carried = rig.pop.carried(group).total();
                let base = if beyond { carried } else { 0 };
                let total = total.map(|total| total.saturating_add(base));
                let entry = self.0.entry(group).or_default();
                entry.limited = total.is_some();
                entry.granted = entry.granted.max(total.unwrap_or_default());
                entry.barred = false;
                rig.pop.grant(now, group, Grant { total, low });
            }
            AccountCall::Exhaust(code) => {
                self.0.entry(group).or_default().barred = true;
                rig.pop.exhaust(now, group, code);
            }
            AccountCall::LimitRate(rates) => {
                self.0.entry(group).or_default();
                rig.pop.limit_rate(now, group, rates);
            }
            AccountCall::Forget => self.forget(rig, group),
            AccountCall::Report => {
                while let Some((group, carried)) = rig.pop.poll_carried() {
                    assert_eq!(rig.pop.carried(group), carried);
                }
            }
        }
    }

    fn forget(&mut self, rig: &mut Rig, group: u32) {
        let carried = rig.pop.carried(group);
        if let Some(last) = rig.pop.forget_group(group) {
            assert_eq!(last, carried, "the last total of group {group}");
            self.0.remove(&group);
            assert_eq!(rig.pop.carried(group).total(), 0);
        }
    }

    /// Forgets all groups; their sessions are gone.
    pub fn forget_all(&mut self, rig: &mut Rig) {
        let groups: Vec<u32> = self.0.keys().copied().collect();
        for group in groups {
            self.forget(rig, group);
        }
    }

    /// Holds every group to what was granted.
    ///
    /// # Panics
    /// Panics if something is left that should not be, or the other way around.
    pub fn check(&mut self, rig: &Rig) {
        for (&group, entry) in &mut self.0 {
            let carried = rig.pop.carried(group).total();
            assert!(carried >= entry.carried, "totals of group {group} grow");
            if entry.barred {
                assert_eq!(carried, entry.carried, "group {group} is shut");
            }
            entry.carried = carried;
            let left = if entry.limited {
                entry.granted.saturating_sub(carried)
            } else {
                u64::MAX
            };
            let told = rig.pop.left(group).unwrap_or(u64::MAX);
            assert_eq!(told, left, "what is left of group {group}");
        }
    }
}

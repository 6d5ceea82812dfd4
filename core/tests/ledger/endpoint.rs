//! A POP's endpoint, as far as accounts go.

use std::collections::BTreeMap;
use titan_core::account::ledger::{Instruction, Ledger};
use titan_core::endpoint::Carried;
use titan_core::time::Instant;

/// A group that may carry what it was granted.
#[derive(Debug, Default)]
pub(crate) struct Group {
    /// None before the first grant and without a limit.
    granted: Option<u64>,
    low: u64,
    warned: bool,
    barred: bool,
    pub(crate) carried: Carried,
    /// Sessions, also those that have no place any more and are still being closed.
    pub(crate) sessions: u32,
}

impl Group {
    /// Returns how much may be carried now.
    pub(crate) fn left(&self) -> u64 {
        if self.barred {
            return 0;
        }
        self.granted.map_or(u64::MAX, |granted| {
            granted.saturating_sub(self.carried.total())
        })
    }
}

/// The groups of one process.
#[derive(Debug, Default)]
pub(crate) struct Endpoint {
    pub(crate) groups: BTreeMap<u32, Group>,
}

impl Endpoint {
    /// Does what the ledger says, and tells it what it has to hear.
    pub(crate) fn follow(&mut self, now: Instant, ledger: &mut Ledger, told: Instruction) {
        match told {
            Instruction::LimitRate { group, .. } => {
                self.groups.entry(group).or_default();
            }
            Instruction::Grant { group, grant } => {
                let group = self.groups.entry(group).or_default();
                group.granted = grant
                    .total
                    .map(|total| total.max(group.granted.unwrap_or(0)));
                (group.low, group.warned, group.barred) = (grant.low, false, false);
            }
            Instruction::Recall { group: id, grant } => {
                let group = self.groups.entry(id).or_default();
                let total = grant.total.expect("only what is limited is recalled");
                let kept = total.max(group.carried.total());
                group.granted = group.granted.map(|granted| granted.min(kept));
                (group.low, group.warned) = (grant.low, false);
                ledger.handle_recalled(now, id, group.carried);
            }
            Instruction::Exhaust { group, .. } => {
                self.groups.entry(group).or_default().barred = true;
            }
            Instruction::Forget { group } => {
                let empty = self
                    .groups
                    .get(&group)
                    .is_some_and(|group| group.sessions == 0);
                let last = empty.then(|| self.groups.remove(&group)).flatten();
                ledger.handle_forgotten(now, group, last.map(|group| group.carried));
            }
        }
    }

    /// Returns groups of which little is left, each once per grant.
    pub(crate) fn low(&mut self) -> Vec<u32> {
        let mut low = Vec::new();
        for (&id, group) in &mut self.groups {
            let left = group
                .granted
                .map(|granted| granted.saturating_sub(group.carried.total()));
            if left.is_some_and(|left| left < group.low) && !group.warned {
                group.warned = true;
                low.push(id);
            }
        }
        low
    }
}

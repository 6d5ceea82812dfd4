//! What processes were short of, and what was done to them.

use std::collections::BTreeSet;
use titan_core::endpoint::Usage;
use titan_core::time::Instant;

#[derive(Debug, Default)]
pub(super) struct Wants {
    /// POPs that held two fifths of their budget at least once: below, no user is beyond its share.
    pub(super) pops_pressed: BTreeSet<usize>,
    /// An edge did.
    pub(super) edge_pressed: bool,
    /// Nodes that took no new sessions for a while, of their own or because they were told to.
    pub(super) unwilling: BTreeSet<usize>,
    /// When the last of the faults so far was over.
    pub(super) troubled: Option<Instant>,
}

impl Wants {
    pub(super) fn pop_holds(&mut self, pop: usize, budget: u64, usage: Usage) {
        if is_pressed(budget, usage) {
            self.pops_pressed.insert(pop);
        }
    }

    pub(super) const fn edge_holds(&mut self, budget: u64, usage: Usage) {
        self.edge_pressed |= is_pressed(budget, usage);
    }

    pub(super) fn is_unwilling(&mut self, node: usize) {
        self.unwilling.insert(node);
    }

    pub(super) fn fault_until(&mut self, end: Instant) {
        self.troubled = self.troubled.max(Some(end));
    }
}

pub(super) const fn is_pressed(budget: u64, usage: Usage) -> bool {
    (usage.session_bytes + usage.resend_bytes) * 5 >= budget * 2
}

//! Who is refused or cut short for want of something, and whether it was wanting: told by what the world knows
//! of its processes.

use super::super::oracle::violated;
use super::super::scenario::Flow;
use super::World;
use super::wants::is_pressed;
use titan_core::time::Duration;
use titan_proto::Code;

/// How long after the end of a fault dials may still wait for it: edges come back, and what piled up leaves.
const AFTERMATH: Duration = Duration::from_secs(60);

impl World {
    /// A client is only refused for want of what its POP does not have.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "every code that is not named has no excuse"
    )]
    pub(super) fn judge_refused(&self, pop: usize, index: usize, code: Code) {
        let flow = &self.scenario.flows[index];
        let excused = match code {
            Code::NoExit => !self.has_exit(pop),
            Code::Overloaded => {
                self.is_pressed_now(pop) || self.is_full(pop, flow) || self.wants_leases(flow)
            }
            Code::ExitAway => flow.strict && self.record.fired > 0,
            Code::QuotaExceeded => self.is_spent(index),
            Code::ShuttingDown => self.pops[pop].draining,
            _ => false,
        };
        if !excused && !self.record.forged {
            let number = 6;
            violated(
                number,
                format_args!("flow {index} was refused by pop {pop} as {code:?} for no reason"),
            );
        }
    }

    /// Tells whether a POP, or an edge, was ever short of memory. What an edge refuses at once, nobody sees
    /// there.
    pub(super) fn was_pressed(&self, pop: usize) -> bool {
        let wants = &self.record.wants;
        wants.edge_pressed || wants.pops_pressed.contains(&pop)
    }

    /// Tells whether an edge took no sessions for a while.
    pub(super) fn met_unwilling(&self) -> bool {
        !self.record.wants.unwilling.is_empty()
    }

    /// Tells whether dials may have waited for a fault lately.
    pub(super) fn was_troubled(&self) -> bool {
        let troubled = self.record.wants.troubled;
        let aftermath = self.record.grace + AFTERMATH;
        troubled.is_some_and(|end| self.now <= end + aftermath)
    }

    pub(super) const fn wants_leases(&self, flow: &Flow) -> bool {
        flow.name.is_some() && self.scenario.limits.leases_max < 100
    }

    /// Tells whether a POP has a node that takes sessions, full or not.
    fn has_exit(&self, pop: usize) -> bool {
        let Some(core) = &self.pops[pop].core else {
            return false;
        };
        let unwilling = &self.record.wants.unwilling;
        core.nodes().iter().any(|view| {
            let node = view.node.strip_prefix("node-");
            let node = node.and_then(|number| number.parse().ok());
            view.attached && node.is_some_and(|node| !unwilling.contains(&node))
        })
    }

    fn is_pressed_now(&self, pop: usize) -> bool {
        let core = self.pops[pop].core.as_ref();
        core.is_some_and(|core| is_pressed(self.scenario.limits.memory_budget, core.usage()))
    }

    /// Tells whether half of the places are taken at each node: only then has any user no share in them.
    fn is_full(&self, pop: usize, flow: &Flow) -> bool {
        let cap = self.scenario.limits.sessions_max as usize;
        let Some(core) = &self.pops[pop].core else {
            return false;
        };
        // The node that a name is bound to may be away, and is full all the same.
        let is_bound = flow.name.is_some() && cap < 1_000;
        let nodes = core.nodes();
        let mut attached = nodes.iter().filter(|view| view.attached);
        is_bound || self.met_unwilling() || attached.all(|view| view.sessions * 2 >= cap)
    }
}

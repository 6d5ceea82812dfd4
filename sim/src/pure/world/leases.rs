//! Sticky flows, seen from outside: those of one name that overlap use one node (I8).

use super::super::oracle::violated;
use super::super::scenario::Flow;
use super::World;
use std::collections::BTreeMap;
use titan_core::exit::lease::{SessionName, Sticky};

impl Flow {
    /// Returns the session name as the core takes it.
    pub(super) fn sticky(&self) -> Option<Sticky> {
        let name = SessionName::new(&format!("name-{}", self.name?))?;
        Some(Sticky {
            owner: u64::from(self.group),
            name,
            strict: self.strict,
        })
    }
}

impl World {
    pub(super) fn judge_leases(&self) {
        for (pop, host) in self.pops.iter().enumerate() {
            let Some(core) = host.core.as_ref().filter(|_| host.touched) else {
                continue;
            };
            let mut nodes: BTreeMap<(u32, u64), &str> = BTreeMap::new();
            for (&id, client) in &host.clients.peers {
                let flow = &self.scenario.flows[client.flow];
                let (Some(name), Some(node)) = (flow.name, core.node_of(id)) else {
                    continue;
                };
                let bound = nodes.entry((flow.group, name)).or_insert(node);
                if *bound != node {
                    violated(
                        8,
                        format_args!(
                            "name {name} of group {} is at {bound} and {node}, pop {pop}",
                            flow.group
                        ),
                    );
                }
            }
        }
    }
}

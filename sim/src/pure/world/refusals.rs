//! Who is refused, at a POP or by an edge, and whether what it was refused for was wanting: told by what the world
//! knows of its processes.

use super::super::oracle::violated;
use super::super::scenario::Flow;
use super::World;
use super::flows::trace_of;
use super::host::Host;
use super::wants::{REFUSING, SHARE, node_number, stands_at};
use titan_core::endpoint::{NodeView, Pop, Whose};
use titan_core::trace::TraceId;
use titan_proto::Code;

/// A POP that found so many exits without a place for a user looks no further.
const FULL_MAX: usize = 4;

/// Below this many sessions or leases a limit may be reached.
const FEW: usize = 1_000;

impl World {
    /// A client is only refused for want of what its POP does not have.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "every code that is not named has no excuse"
    )]
    pub(super) fn judge_refused(&self, pop: usize, index: usize, code: Code) {
        let Some(core) = &self.pops[pop].core else {
            return;
        };
        let flow = &self.scenario.flows[index];
        let excused = match code {
            Code::NoExit => !core.nodes().iter().any(|view| self.takes(pop, view)),
            Code::Overloaded => {
                self.is_out_of_memory(pop, core, flow)
                    || self.is_full(pop, core, flow)
                    || self.wants_leases(core, flow)
            }
            Code::ExitAway => flow.strict && self.is_bound_away(pop, core, flow),
            Code::QuotaExceeded => self.is_spent(index),
            Code::ShuttingDown => self.pops[pop].draining,
            _ => false,
        };
        if !excused {
            violated(
                6,
                format_args!("flow {index} was refused by pop {pop} as {code:?} for no reason"),
            );
        }
    }

    /// An edge denies a session only for what its own account shows, a user's share or all that it holds, and
    /// its POP hears of it.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "every code that is not named has no excuse"
    )]
    pub(super) fn judge_denied(
        &mut self,
        edge: usize,
        trace: TraceId,
        code: Code,
        whose: Option<Whose>,
    ) {
        let flows = 0..self.scenario.flows.len();
        let index = flows.into_iter().find(|&flow| trace_of(flow) == trace);
        let percent = if whose == Some(Whose::User) {
            SHARE
        } else {
            REFUSING
        };
        let host = &mut self.edges[edge];
        let Some(core) = &host.core else { return };
        let excused = match code {
            Code::Overloaded => self.holds_now(Host::Edge(edge), percent),
            Code::ExitLimit => host.opened.len() >= self.scenario.limits.sessions_max as usize,
            Code::Forbidden => index.is_some_and(|flow| self.scenario.flows[flow].private),
            Code::Memory => {
                host.shed += 1;
                let mut targets = host.targets.peers.values();
                let stands_still = index.is_none_or(|flow| {
                    targets.any(|target| target.flow == flow && target.dawdles(self.now))
                });
                host.shed <= core.counters().shed
                    && stands_still
                    && self.holds_now(Host::Edge(edge), percent)
            }
            _ => false,
        };
        if !excused {
            violated(
                6,
                format_args!(
                    "edge {edge} denied flow {index:?} as {code:?} of {whose:?} for no reason"
                ),
            );
        }
        if let Some(flow) = index {
            self.record.wants.hears(flow, code);
        }
    }

    /// Tells whether a POP has no memory for another session of a user: at 80 % for anybody's, below only for
    /// who has something there.
    fn is_out_of_memory(&self, pop: usize, core: &Pop, flow: &Flow) -> bool {
        let usage = core.usage();
        let held = usage.session_bytes + usage.resend_bytes;
        let mut flows = self.pops[pop].unreported.values();
        let of_user = |&index: &usize| self.scenario.flows[index].group == flow.group;
        let budget = self.scenario.limits.memory_budget;
        stands_at(REFUSING, budget, held) || (stands_at(SHARE, budget, held) && flows.any(of_user))
    }

    /// Tells whether a process holds, or has just held, so much of its budget.
    pub(super) fn holds_now(&self, host: Host, percent: u64) -> bool {
        let usage = match host {
            Host::Pop(pop) => self.pops[pop].core.as_ref().map(|core| core.usage()),
            Host::Edge(edge) => self.edges[edge].core.as_ref().map(|core| core.usage()),
        };
        let budget = self.scenario.limits.memory_budget;
        let wants = &self.record.wants;
        usage.is_some_and(|usage| stands_at(percent, budget, wants.held_lately(host, usage)))
    }

    /// Tells whether a POP was told that a node takes sessions, and nobody has sent it away or may have told
    /// something else.
    fn takes(&self, pop: usize, view: &NodeView<'_>) -> bool {
        let wants = &self.record.wants;
        view.attached
            && node_number(view.node).is_some_and(|node| {
                let mut edges = (0..self.edges.len()).filter(|&edge| self.edges[edge].node == node);
                edges.all(|edge| !wants.declines((pop, edge)))
                    && !wants.leaving.contains(&(pop, node))
                    && !wants.forged.contains(&node)
            })
    }

    /// Tells whether no node has a place for a user, or not the one that the flow is bound to.
    fn is_full(&self, pop: usize, core: &Pop, flow: &Flow) -> bool {
        let cap = self.scenario.limits.sessions_max as usize;
        if cap >= FEW {
            return false;
        }
        let views = core.nodes();
        if let Some((node, held)) = self.bound(pop, flow) {
            let view = views
                .iter()
                .find(|view| node_number(view.node) == Some(node));
            let full = match view {
                Some(view) => self.is_node_full(pop, core, flow, view),
                None => self.may_be_full_away(pop, core, node),
            };
            if full || held {
                return full;
            }
        }
        let takes = views.iter().filter(|view| self.takes(pop, view));
        let (full, others): (Vec<_>, Vec<_>) =
            takes.partition(|view| self.is_node_full(pop, core, flow, view));
        let mut away = self
            .record
            .wants
            .places
            .keys()
            .filter(|&&(of, _)| of == pop);
        full.len() >= FULL_MAX
            || others.is_empty()
                && (!full.is_empty()
                    || away.any(|&(_, node)| self.may_be_full_away(pop, core, node)))
    }

    /// Tells whether a user has no dial left at a node: with as many under way as there are places.
    fn is_node_full(&self, pop: usize, core: &Pop, flow: &Flow, view: &NodeView<'_>) -> bool {
        let clients = self.pops[pop].clients.peers.iter();
        let here = clients.filter(|&(&id, _)| core.tunnel_of(id) == Some(view.tunnel));
        let (mut seen, mut dialling) = (0, 0);
        for (&id, client) in here {
            let of_user = self.scenario.flows[client.flow].group == flow.group;
            seen += 1;
            dialling += usize::from(of_user && core.reply(id).is_none());
        }
        // Those whose client is gone may be dials that nobody has answered.
        let unseen = view.sessions.saturating_sub(seen);
        view.sessions + dialling + unseen >= self.scenario.limits.sessions_max as usize
    }

    /// Tells the same of a node that is away, of which less is known.
    fn may_be_full_away(&self, pop: usize, core: &Pop, node: usize) -> bool {
        let places = self.record.wants.places.get(&(pop, node));
        let clients = self.pops[pop].clients.peers.keys();
        let here = clients.filter(|&&id| core.node_of(id).and_then(node_number) == Some(node));
        let taken = places.copied().unwrap_or(0) + here.count();
        2 * taken >= self.scenario.limits.sessions_max as usize
    }

    /// Returns the node that a flow's name may be bound to, and whether it surely is: others hold it.
    fn bound(&self, pop: usize, flow: &Flow) -> Option<(usize, bool)> {
        let wants = &self.record.wants;
        let &(node, seen) = wants.bound.get(&(pop, flow.group, flow.name?))?;
        let held = self.pops[pop].clients.peers.values().any(|client| {
            let other = &self.scenario.flows[client.flow];
            // Who only has to read what is left holds its name no more.
            client.over_since.is_none() && (other.group, other.name) == (flow.group, flow.name)
        });
        let kept = seen + self.scenario.limits.config().lease_idle + self.aftermath();
        // Who was suspended forgets once it has its turn.
        let suspended = self.now <= self.pops[pop].suspended_until;
        (held || suspended || self.now < kept).then_some((node, held))
    }

    /// Tells whether the node that a flow's name is bound to has no tunnel, or is to go.
    fn is_bound_away(&self, pop: usize, core: &Pop, flow: &Flow) -> bool {
        self.bound(pop, flow).is_some_and(|(node, _)| {
            let leaves = self.record.wants.leaving.contains(&(pop, node));
            leaves || !core.has_node(&format!("node-{node}"))
        })
    }

    fn wants_leases(&self, core: &Pop, flow: &Flow) -> bool {
        let few = self.scenario.limits.leases_max < FEW;
        flow.name.is_some() && few && core.usage().leases > 0
    }

    /// Notes where the dials of a POP are, which names are bound to what, and how full its nodes are.
    pub(super) fn follow_dials(&mut self, pop: usize) {
        let host = &self.pops[pop];
        let Some(core) = &host.core else { return };
        let wants = &mut self.record.wants;
        for (&id, client) in &host.clients.peers {
            let flow = &self.scenario.flows[client.flow];
            // Who is connected stays.
            if client.exit.is_some() && flow.name.is_none() {
                continue;
            }
            let Some(node) = core.node_of(id).and_then(node_number) else {
                continue;
            };
            wants.comes_to(client.flow, node);
            if let Some(name) = flow.name {
                let key = (pop, flow.group, name);
                wants.bound.insert(key, (node, self.now));
            }
        }
        if (self.scenario.limits.sessions_max as usize) < FEW {
            for view in core.nodes() {
                if let Some(node) = node_number(view.node) {
                    wants.places.insert((pop, node), view.sessions);
                }
            }
        }
    }
}

//! What is checked from outside, beside each core's own audit.

use super::super::oracle::violated;
use super::super::peer::Peer;
use super::super::scenario::Scenario;
use super::World;
use super::carriers::Transmitted;
use super::host::Host;
use super::wants::{Wants, node_number};
use std::collections::{BTreeMap, BTreeSet};
use titan_core::endpoint::{
    Carried, CarrierId, Counters, Deadline, Edge, Endpoint, Pop, PopEvent, Role, SessionId,
    SessionReport, TunnelId, UplinkId, Usage, Whose,
};
use titan_core::target::Host as Name;
use titan_core::time::{Duration, Instant};
use titan_proto::Code;
use titan_proto::limits::DATA_MAX;

/// A turn of the pure loop brings in one message, and the last chunk of its copy may be nearly empty.
const PER_CHUNK: u64 = 16 << 10;

/// What each tunnel may keep when the resend pool is used up: see "The bounds" in docs/design/memory.md.
const PER_TUNNEL: u64 = 12 << 10;

/// Sessions of a tunnel that are over but for frames that nobody takes, beyond twice the cap.
const ANSWERS_MAX: usize = 1_024;

/// An acknowledgement is due after this long.
const ACK_DELAY: Duration = Duration::from_millis(20);

/// Who acknowledges nothing for this long is cut off.
const DEAD_AFTER: Duration = Duration::from_secs(15);

/// What has happened so far: it excuses failures that nothing else would.
#[derive(Debug)]
pub(super) struct Record {
    /// Faults that found a victim.
    pub(super) fired: u64,
    /// Those who stalled read again.
    pub(super) released: bool,
    /// Exits asked for each flow.
    dials: BTreeMap<usize, usize>,
    /// What POPs that are gone had counted.
    pub(super) counters: Vec<Counters>,
    /// Nodes whose process changed, or whose carriers somebody tampers with.
    nodes_unsafe: BTreeSet<usize>,
    /// Nodes whose frames are counted along with made up ones.
    nodes_miscounted: BTreeSet<usize>,
    /// Targets that were sent a byte, per flow.
    reached: BTreeMap<usize, usize>,
    /// What processes that are gone had carried, by account.
    pub(super) carried: BTreeMap<usize, u64>,
    /// Bytes each failed client had sent.
    pub(super) client_failed: BTreeMap<usize, u64>,
    /// Bytes each failed target had sent, by flow, edge and life of the edge: an exit that a flow has
    /// left may come to dial as well, and its target is not the one that the client is connected to.
    pub(super) target_failed: BTreeMap<(usize, usize, u64), u64>,
    /// The count that a host was told last on the way between a node and a POP, and when it grew.
    progress: BTreeMap<(Host, usize, usize), (u64, Instant)>,
    /// Nodes and POPs one of which cut the other off for withholding.
    withheld: BTreeSet<(usize, usize)>,
    /// Since when there is a tunnel, as its POP or its edge has it.
    pop_begun: BTreeMap<(usize, TunnelId), Instant>,
    pub(super) edge_begun: BTreeMap<(usize, UplinkId), Instant>,
    pop_detached: BTreeMap<(usize, TunnelId), Instant>,
    edge_detached: BTreeMap<(usize, UplinkId), Instant>,
    pub(super) wants: Wants,
    pub(super) grace: Duration,
}

impl Record {
    pub(super) fn new(scenario: &Scenario) -> Self {
        Self {
            fired: 0,
            released: false,
            dials: BTreeMap::new(),
            counters: Vec::new(),
            nodes_unsafe: BTreeSet::new(),
            nodes_miscounted: BTreeSet::new(),
            reached: BTreeMap::new(),
            carried: BTreeMap::new(),
            client_failed: BTreeMap::new(),
            target_failed: BTreeMap::new(),
            progress: BTreeMap::new(),
            withheld: BTreeSet::new(),
            pop_begun: BTreeMap::new(),
            edge_begun: BTreeMap::new(),
            pop_detached: BTreeMap::new(),
            edge_detached: BTreeMap::new(),
            wants: Wants::default(),
            grace: scenario.limits.config().grace,
        }
    }

    pub(super) fn node_unsafe(&mut self, node: usize) {
        self.nodes_unsafe.insert(node);
    }

    /// Notes that made up frames were sent that are counted: after a resume as many of the honest peer
    /// are missing.
    pub(super) fn miscounted(&mut self, node: usize) {
        self.nodes_miscounted.insert(node);
    }

    /// Tells whether frames of a flow may be missing: what waits for one waits until nothing moved for
    /// as long as it may be idle.
    pub(super) fn is_miscounted(&self, flow: usize) -> bool {
        self.wants
            .exits_of(flow)
            .any(|node| self.nodes_miscounted.contains(&node))
    }

    /// Tells whether frames of this node may be missing.
    pub(super) fn is_node_miscounted(&self, node: usize) -> bool {
        self.nodes_miscounted.contains(&node)
    }

    /// Notes that a node is asked to dial for a flow, and returns how many were before.
    pub(super) fn dialled(&mut self, flow: usize, node: usize) -> usize {
        self.wants.comes_to(flow, node);
        let count = self.dials.entry(flow).or_default();
        *count += 1;
        *count - 1
    }

    pub(super) fn acknowledged(
        &mut self,
        host: Host,
        node: usize,
        pop: usize,
        count: u64,
        at: Option<Instant>,
    ) {
        let last = self.progress.entry((host, node, pop)).or_default();
        match at {
            Some(at) if last.0 != count => *last = (count, at),
            // A HELLO is no progress, and what it tells is none when it is told again.
            None => last.0 = last.0.max(count),
            Some(_) => {}
        }
    }

    pub(super) fn uplink_attached(
        &mut self,
        edge: usize,
        uplink: UplinkId,
        resumed: bool,
        now: Instant,
    ) {
        if !resumed {
            self.edge_begun.insert((edge, uplink), now);
        }
        self.edge_detached.remove(&(edge, uplink));
    }

    pub(super) fn uplink_detached(&mut self, edge: usize, uplink: UplinkId, now: Instant) {
        self.edge_detached.entry((edge, uplink)).or_insert(now);
    }
}

impl World {
    // --- After every action -----------------------------------------------------------------------

    /// Audits every process that something happened to.
    pub(super) fn judge_touched(&mut self) {
        let budget = self.scenario.limits.memory_budget;
        let data_max = self.scenario.limits.data_max as u64;
        let sessions_max = self.scenario.limits.sessions_max as usize;
        let early = self.scenario.flows.iter().map(|flow| flow.early);
        // Kept for another exit, and queued for the first.
        let early = 2 * early.max().unwrap_or(0);
        let wants = &mut self.record.wants;
        // Who makes messages up makes them as long as any may be.
        let message = |made_up: bool| if made_up { DATA_MAX as u64 } else { data_max };
        for (pop, host) in self
            .pops
            .iter()
            .enumerate()
            .filter(|(_, host)| host.touched)
        {
            if let Some(core) = &host.core {
                core.audit();
                let usage = core.usage();
                wants.holds(Host::Pop(pop), self.now, budget, usage);
                judge_memory(budget, message(!wants.forged.is_empty()), early, usage);
            }
        }
        let edges = self.edges.iter().enumerate();
        for (edge, host) in edges.filter(|(_, host)| host.touched) {
            if let Some(core) = &host.core {
                core.audit();
                let usage = core.usage();
                wants.holds(Host::Edge(edge), self.now, budget, usage);
                let made_up = wants.forged.contains(&host.node);
                judge_memory(budget, message(made_up), 0, usage);
                let held = host.targets.peers.len() + host.dialling.len();
                // Each is answered, also those beyond; what is answered waits for its carrier.
                let answered = 2 * sessions_max + ANSWERS_MAX;
                if usage.sessions > answered * usage.tunnels + held {
                    violated(10, format_args!("an edge holds {usage:?}"));
                }
            }
        }
    }

    /// Checks that no drained core wants to be called before `earliest`.
    pub(super) fn judge_deadlines(&self, earliest: Instant) {
        // Who was suspended until now has yet to come to what fell due meanwhile.
        let now = self.now;
        let pops = self.pops.iter().filter(|host| host.suspended_until < now);
        let edges = self.edges.iter().filter(|host| host.suspended_until < now);
        let pops = pops.filter_map(|host| host.core.as_ref());
        let edges = edges.filter_map(|host| host.core.as_ref());
        self.judge_ledgers(earliest);
        for due in pops.filter_map(|core| core.poll_timeout()) {
            self.judge_deadline(due, earliest);
        }
        for due in edges.filter_map(|core| core.poll_timeout()) {
            self.judge_deadline(due, earliest);
        }
    }

    fn judge_deadline<T: core::fmt::Debug>(&self, due: Deadline<T>, earliest: Instant) {
        if due.at < earliest {
            violated(6, format_args!("{due:?} has passed at {:?}", self.now));
        }
    }

    /// Checks that no carrier has output that nobody was told of.
    pub(super) fn judge_silence(&mut self) {
        let bearers: Vec<(Host, CarrierId)> = self.bearers.keys().copied().collect();
        for (host, carrier) in bearers {
            let waits = match host {
                Host::Pop(pop) => self.pops[pop].ready.contains(&carrier),
                Host::Edge(edge) => self.edges[edge].ready.contains(&carrier),
            };
            if !waits && self.transmit(host, carrier) == Transmitted::Some {
                violated(
                    6,
                    format_args!("{host:?} {carrier:?} has output that nobody was told of"),
                );
            }
        }
    }

    // --- When something ends ----------------------------------------------------------------------

    /// A tunnel ends only when its reason to live is gone.
    pub(super) fn judge_node(&mut self, pop: usize, event: &PopEvent) {
        match *event {
            PopEvent::NodeAttached { tunnel, resumed } => {
                self.record.pop_detached.remove(&(pop, tunnel));
                if !resumed {
                    self.record.pop_begun.insert((pop, tunnel), self.now);
                }
                self.has_tunnel(pop, tunnel, !resumed);
            }
            PopEvent::NodeDetached { tunnel, .. } => {
                self.record.pop_detached.insert((pop, tunnel), self.now);
            }
            PopEvent::NodeGone {
                tunnel,
                ref node,
                code,
            } => {
                let node = node_number(node).expect("nodes are numbered");
                let over = |since: Option<&Instant>| {
                    since.is_some_and(|&since| self.now >= since + self.record.grace)
                };
                let edge_away = self
                    .record
                    .edge_detached
                    .iter()
                    .any(|(&(edge, uplink), since)| {
                        let host = &self.edges[edge];
                        host.node == node
                            && host.uplinks.get(&uplink) == Some(&pop)
                            && over(Some(since))
                    });
                let excused = over(self.record.pop_detached.get(&(pop, tunnel)))
                    || edge_away
                    || self.record.nodes_unsafe.contains(&node)
                    || self.pops[pop].draining
                    || code == Code::AckWithheld
                    || (code == Code::Replaced && self.record.withheld.remove(&(node, pop)));
                if code == Code::AckWithheld {
                    let away = self.record.pop_detached.get(&(pop, tunnel));
                    let away =
                        away.is_some_and(|&since| since < self.now) && !self.is_borne(pop, node);
                    let begun = self.record.pop_begun.get(&(pop, tunnel)).copied();
                    self.judge_withheld(Host::Pop(pop), (node, pop), begun, away);
                }
                if !excused {
                    violated(
                        6,
                        format_args!("the tunnel of node {node} ended as {code:?} for no reason"),
                    );
                }
                let name = format!("node-{node}");
                let core = self.pops[pop].core.as_ref();
                if !core.is_some_and(|core| core.has_node(&name)) {
                    self.record.wants.leaving.remove(&(pop, node));
                }
                self.record.wants.tunnel_gone((pop, node), self.now);
                self.record.pop_detached.remove(&(pop, tunnel));
                self.record.pop_begun.remove(&(pop, tunnel));
            }
            PopEvent::NodeContested { .. }
            | PopEvent::AllowanceLow { .. }
            | PopEvent::SessionOver(_) => {}
        }
    }

    /// A node has confirmed its tunnel to a POP. What the edge's process before has told does not hold for a new one.
    fn has_tunnel(&mut self, pop: usize, tunnel: TunnelId, anew: bool) {
        let core = self.pops[pop].core.as_ref();
        let views = core.map(|core| core.nodes()).unwrap_or_default();
        let view = views.iter().find(|view| view.tunnel == tunnel);
        let Some(node) = view.and_then(|view| node_number(view.node)) else {
            return;
        };
        self.record.wants.confirms((pop, node));
        for edge in 0..self.edges.len() {
            if anew && self.edges[edge].node == node {
                let life = self.edges[edge].life;
                self.record.wants.lives_anew((pop, edge), life);
            }
        }
    }

    /// A session is reported once, when it is gone, and its bytes are its group's.
    pub(super) fn judge_report(&mut self, pop: usize, report: &SessionReport) {
        let Some(flow) = self.pops[pop].unreported.remove(&report.session) else {
            violated(
                6,
                format_args!("{report:?} is of no session, or told again"),
            );
        };
        self.judge_address(flow, report);
        let by_share = self.record.wants.by_share.contains(&flow);
        if by_share && report.code == Code::Memory && report.whose != Some(Whose::User) {
            violated(
                6,
                format_args!("{report:?} of flow {flow} is its user's doing"),
            );
        }
        let Some(core) = &self.pops[pop].core else {
            return;
        };
        if core.session_carried(report.session).is_some() {
            violated(6, format_args!("{report:?} is of a session that is there"));
        }
        let of_group = core.carried(report.group);
        let forgotten = of_group == Carried::default();
        let (up, down) = (report.carried.up, report.carried.down);
        if !forgotten && (up > of_group.up || down > of_group.down) {
            violated(
                9,
                format_args!("{report:?} of a group that has {of_group:?}"),
            );
        }
    }

    /// Who acknowledges something new within the time, or is away, is not cut off for withholding, but for one
    /// whose tunnel is as old as what it may owe gets. Either end may be the first to find out; the other one
    /// follows.
    pub(super) fn judge_withheld(
        &mut self,
        host: Host,
        (node, pop): (usize, usize),
        begun: Option<Instant>,
        away: bool,
    ) {
        if self.record.nodes_unsafe.contains(&node) || self.record.withheld.remove(&(node, pop)) {
            return;
        }
        let progress = self.record.progress.get(&(host, node, pop));
        let progress = progress.map(|&(_, at)| at);
        let silent = progress.is_none_or(|at| self.now >= at + DEAD_AFTER);
        let within = (DEAD_AFTER + self.record.grace) * 2 + DEAD_AFTER;
        let in_arrears = begun.is_some_and(|at| self.now >= at + within);
        if (away || !silent) && !in_arrears {
            violated(
                6,
                format_args!(
                    "{host:?} cut node {node} off for withholding, away: {away}, last acknowledged at {progress:?}"
                ),
            );
        }
        self.record.withheld.insert((node, pop));
    }

    /// A POP that says it is drained may end: nobody is connected to it.
    pub(super) fn judge_drained(&self, pop: usize) {
        let left = self.pops[pop].clients.peers.len();
        if left > 0 {
            violated(
                6,
                format_args!("pop {pop} is drained and would cut {left} clients off"),
            );
        }
    }

    /// A dial goes where an edge may go.
    pub(super) fn judge_dial(&self, host: &Name) {
        // Names are judged by what they resolve to.
        if let Name::Ip(address) = host
            && !address.to_string().starts_with("10.")
        {
            violated(11, format_args!("an edge is asked to dial {address}"));
        }
    }

    /// An edge takes no more sessions than it said, dialling or connected, over all its tunnels.
    pub(super) fn judge_session_cap(&self, edge: usize, session: SessionId) {
        let host = &self.edges[edge];
        let Some(core) = &host.core else { return };
        let known = host.targets.peers.keys().chain(host.dialling.keys());
        let others = known.filter(|&&id| id != session && core.tunnel_of(id).is_some());
        let count = 1 + others.count();
        let cap = self.scenario.limits.sessions_max as usize;
        if core.tunnel_of(session).is_some() && count > cap {
            violated(
                10,
                format_args!("edge {edge} dials for {count} sessions where {cap} are allowed"),
            );
        }
    }

    /// An acknowledgement waits for nothing but room in its carrier.
    pub(super) fn judge_ack(&mut self, link: usize, up: bool) {
        let now = self.now;
        let state = &mut self.links[link];
        let (edge, pop) = (state.edge, state.pop);
        let Some(since) = state.pipe(up).owes_since.take() else {
            return;
        };
        let was_suspended = if up {
            self.edges[edge].suspended_until >= since
        } else {
            self.pops[pop].suspended_until >= since
        };
        if now.since(since) > ACK_DELAY && !was_suspended {
            violated(
                5,
                format_args!(
                    "between edge {edge} and POP {pop} an acknowledgement waited for {:?}",
                    now.since(since)
                ),
            );
        }
    }

    /// At most one target of a flow is sent anything; what a client sent before it failed arrives.
    pub(super) fn judge_target(&mut self, edge: usize, target: &Peer) {
        if target.received > 0 {
            let reached = self.record.reached.entry(target.flow).or_default();
            *reached += 1;
            if *reached > 1 {
                violated(
                    7,
                    format_args!(
                        "flow {} reached two targets, the last by edge {edge}",
                        target.flow
                    ),
                );
            }
        }
        if target.ended == Some(Code::IdleTimeout) && target.idles(self.now, self.idle_min()) {
            self.record.wants.idled.insert(target.flow);
        }
        if target.failed {
            self.record.wants.failed.insert(target.flow);
            let life = self.edges[edge].life;
            let of = (target.flow, edge, life);
            self.record.target_failed.insert(of, target.sent);
        } else if let Some(&sent) = self.record.client_failed.get(&target.flow) {
            self.judge_rest(target, sent);
        }
    }

    /// What a socket sent before it failed arrives, if the other one takes it in time and both memory
    /// and the account allow: the news of the failure comes behind.
    pub(super) fn judge_rest(&self, peer: &Peer, sent: u64) {
        let patience = self.scenario.limits.config().write_deadline;
        // A session whose rest is not granted yet is over without telling: then what counts is that its
        // reader took what it could.
        let within = |since: Instant| self.now < since + patience;
        let in_time = peer.over_since.is_some_and(within) && peer.unread_since.is_none_or(within);
        if peer.ended == Some(Code::Reset)
            && !peer.stopped
            && in_time
            && !self.scenario.limits.is_short_of_memory()
            && !self.is_forged(peer.flow)
            && !self.is_spent(peer.flow)
            && peer.received != sent
        {
            violated(
                1,
                format_args!(
                    "flow {}: {} of {sent} bytes that were sent before a socket failed arrived",
                    peer.flow, peer.received
                ),
            );
        }
    }

    /// Checks a POP before it is gone.
    pub(super) fn judge_pop(&self, pop: usize, core: &Pop) {
        self.judge_faults(Host::Pop(pop), core);
    }

    /// Checks an edge before it is gone.
    pub(super) fn judge_edge(&mut self, edge: usize, core: &Edge) {
        self.judge_faults(Host::Edge(edge), core);
        let targets: Vec<Peer> = self.edges[edge].targets.peers.values().cloned().collect();
        for target in &targets {
            self.judge_target(edge, target);
        }
    }

    /// Honest peers find no fault with each other.
    fn judge_faults<R: Role>(&self, host: Host, core: &Endpoint<R>) {
        let faults = core.counters().faults;
        let forged = &self.record.wants.forged;
        let was_told_lies = match host {
            Host::Pop(_) => !forged.is_empty(),
            Host::Edge(edge) => forged.contains(&self.edges[edge].node),
        };
        if faults > 0 && !was_told_lies {
            violated(
                10,
                format_args!("{host:?} found fault with an honest peer, {faults} times"),
            );
        }
    }

    // --- At the end -------------------------------------------------------------------------------

    pub(super) fn judge_the_end(&mut self) {
        for pop in 0..self.pops.len() {
            self.close_accounts(pop);
            if self.pops[pop].core.is_some() {
                self.judge_told(pop);
            }
            let Some(core) = self.pops[pop].core.take() else {
                continue;
            };
            self.judge_pop(pop, &core);
            self.record.counters.push(core.counters());
            judge_leaks(Host::Pop(pop), core.usage(), 0);
            let untold = &self.pops[pop].unreported;
            if !untold.is_empty() {
                violated(
                    6,
                    format_args!("pop {pop} never told of the end of {untold:?}"),
                );
            }
        }
        for edge in 0..self.edges.len() {
            let Some(core) = self.edges[edge].core.take() else {
                continue;
            };
            self.judge_edge(edge, &core);
            let uplinks = self.edges[edge].uplinks.len();
            judge_leaks(Host::Edge(edge), core.usage(), uplinks);
        }
    }
}

/// Bytes that a client sends early are written without asking for room: when less than 80 % are held.
fn judge_memory(budget: u64, message: u64, early: u64, usage: Usage) {
    let unasked = budget / 5 * 4 + early;
    let turn = message + PER_CHUNK;
    let bound = budget.max(unasked) + budget / 64 + turn + PER_TUNNEL * usage.tunnels as u64;
    if usage.session_bytes + usage.resend_bytes > bound {
        violated(4, format_args!("{usage:?} with a budget of {budget} bytes"));
    }
}

/// Nothing is held of what has ended.
fn judge_leaks(host: Host, usage: Usage, uplinks: usize) {
    let calm = Usage {
        carriers: usage.carriers,
        tunnels: usage.tunnels,
        timers: usage.timers,
        groups: usage.groups,
        leases: usage.leases,
        ..Usage::default()
    };
    let timers = usage.carriers + usage.tunnels + uplinks + usage.leases.min(1);
    if usage != calm || usage.timers > timers {
        violated(6, format_args!("{host:?} still holds {usage:?}"));
    }
}

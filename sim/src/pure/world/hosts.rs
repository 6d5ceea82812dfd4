//! Processes: their cores, their lives, and letting them do what they can.

use super::super::chooser::{Chooser, mix};
use super::super::oracle::stuck;
use super::super::peer::Peer;
use super::charges::Books;
use super::desk::Desk;
use super::host::Host;
use super::{Action, World};
use core::hash::Hash as _;
use std::collections::BTreeMap;
use titan_core::endpoint::{
    CarrierId, Edge, EdgeEvent, Endpoint, Event, Pop, PopEvent, Rates, Role, SessionId, UplinkId,
};
use titan_core::exit::guard::Guard;
use titan_core::mark::{self, Mark};
use titan_core::time::{Duration, Instant};
use titan_proto::{Code, wire};

/// A POP's place; its process may be down.
#[derive(Debug, Default)]
pub(super) struct PopHost {
    pub(super) core: Option<Box<Pop>>,
    pub(super) life: u64,
    pub(super) clients: Sockets,
    /// Sessions that were opened and of whose end it has not told, and their flows.
    pub(super) unreported: BTreeMap<SessionId, usize>,
    pub(super) ready: Vec<CarrierId>,
    pub(super) touched: bool,
    pub(super) draining: bool,
    pub(super) books: Books,
    /// The ledger of each account.
    pub(super) desks: Vec<Desk>,
    /// The process is suspended until then.
    pub(super) suspended_until: Instant,
    /// It takes no carriers until then, and asks for this wait.
    pub(super) busy: (Instant, Duration),
    /// Clients that it reset for want of memory.
    pub(super) shed: u64,
}

/// An edge's place.
#[derive(Debug)]
pub(super) struct EdgeHost {
    /// The number of its node: a twin has that of its original.
    pub(super) node: usize,
    pub(super) core: Option<Box<Edge>>,
    pub(super) life: u64,
    pub(super) targets: Sockets,
    pub(super) dialling: BTreeMap<SessionId, (usize, Result<(), Code>)>,
    /// Which POP each uplink goes to.
    pub(super) uplinks: BTreeMap<UplinkId, usize>,
    pub(super) ready: Vec<CarrierId>,
    pub(super) touched: bool,
    /// Carriers so far; for jitter.
    pub(super) carriers: u64,
    /// What the next carrier's HELLO suffers: how late it is, and when the edge gives up, in ms.
    pub(super) late_hello: Option<(u64, u64)>,
    /// The process is suspended until then.
    pub(super) suspended_until: Instant,
    /// POPs on the way to which frames were lost since the last attachment: up, and down.
    pub(super) lost: BTreeMap<usize, (bool, bool)>,
    /// Sessions that it reset for want of memory.
    pub(super) shed: u64,
    /// Sessions that took a place when the present turn began, or within it.
    pub(super) opened: Vec<SessionId>,
}

/// The sockets of a process.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    pub(super) peers: BTreeMap<SessionId, Peer>,
    /// Those with a reason to be looked at.
    pub(super) awake: Vec<SessionId>,
}

impl Sockets {
    pub(super) fn insert(&mut self, id: SessionId, peer: Peer) {
        self.peers.insert(id, peer);
        self.awake.push(id);
    }

    /// Nobody looks without a reason: a wake-up that is lost is a flow that never ends.
    pub(super) fn wake(&mut self, id: SessionId) {
        if let Some(peer) = self.peers.get_mut(&id)
            && !peer.awake
        {
            peer.awake = true;
            self.awake.push(id);
        }
    }
}

impl PopHost {
    /// Tells whether it has something to do and runs.
    fn acts(&self, now: Instant) -> bool {
        self.touched && self.core.is_some() && self.suspended_until <= now
    }

    /// Returns when there is something to do for the endpoint or a ledger.
    fn due(&self) -> Option<Instant> {
        let core = self.core.as_ref().and_then(|core| core.poll_timeout());
        let desks = self.desks.iter();
        let desks = desks.filter_map(|desk| desk.ledger.poll_timeout());
        core.map(|deadline| deadline.at)
            .into_iter()
            .chain(desks)
            .min()
    }
}

impl EdgeHost {
    /// Tells whether it has something to do and runs.
    fn acts(&self, now: Instant) -> bool {
        self.touched && self.core.is_some() && self.suspended_until <= now
    }

    pub(super) fn new(node: usize) -> Self {
        Self {
            node,
            core: None,
            life: 0,
            targets: Sockets::default(),
            dialling: BTreeMap::new(),
            uplinks: BTreeMap::new(),
            ready: Vec::new(),
            touched: false,
            carriers: 0,
            late_hello: None,
            suspended_until: Instant::EPOCH,
            lost: BTreeMap::new(),
            shed: 0,
            opened: Vec::new(),
        }
    }
}

/// Most rounds of all hosts in one moment: beyond, something runs in a circle.
const ROUNDS_MAX: u32 = 100_000;

/// Returns the host part of the flows' targets.
pub(super) const TARGETS: &str = "10.0.0.0/8";

impl World {
    // --- Lives ------------------------------------------------------------------------------------

    /// Returns a seed of its own for each life of each process.
    fn endpoint_seed(&self, host: Host, life: u64) -> [u8; 32] {
        let (kind, index) = match host {
            Host::Pop(index) => (1, index as u64),
            Host::Edge(index) => (2, index as u64),
        };
        Chooser::new(mix(
            self.scenario.seed ^ mix(kind << 32 | index << 16 | life)
        ))
        .seed()
    }

    pub(super) fn start_pop(&mut self, pop: usize) {
        if self.pops[pop].core.is_some() {
            return;
        }
        let life = self.pops[pop].life + 1;
        let seed = self.endpoint_seed(Host::Pop(pop), life);
        let config = self.scenario.limits.config();
        let core = Pop::new(config, seed, format!("pop-{pop}"), self.now);
        self.pops[pop] = PopHost {
            core: Some(Box::new(core)),
            life,
            touched: true,
            ..PopHost::default()
        };
        self.record.wants.starts(Host::Pop(pop));
        self.open_accounts(pop);
    }

    pub(super) fn stop_pop(&mut self, pop: usize) {
        self.close_accounts(pop);
        let Some(core) = self.pops[pop].core.take() else {
            return;
        };
        self.judge_pop(pop, &core);
        self.record.counters.push(core.counters());
        for link in 0..self.links.len() {
            if self.links[link].pop == pop && self.links[link].pop_id.take().is_some() {
                self.break_link(link, None, Some(20));
            }
        }
        self.bearers.retain(|&(host, _), _| host != Host::Pop(pop));
        self.pops[pop].desks.clear();
        let clients = core::mem::take(&mut self.pops[pop].clients);
        for client in clients.peers.into_values() {
            self.flow_ended(client.flow, Code::ShuttingDown);
        }
        self.pops[pop].ready.clear();
    }

    pub(super) fn start_edge(&mut self, edge: usize) {
        if self.edges[edge].core.is_some() {
            return;
        }
        let life = self.edges[edge].life + 1;
        let guard = Guard::new(vec![TARGETS.parse().expect("a network")]);
        let seed = self.endpoint_seed(Host::Edge(edge), life);
        let config = self.scenario.limits.config();
        let mut core = Edge::new(config, seed, guard, self.now);
        let node = self.edges[edge].node;
        let uplink = core.add_uplink(self.now);
        let carriers = self.edges[edge].carriers;
        let late_hello = self.edges[edge].late_hello;
        let mut host = EdgeHost {
            core: Some(Box::new(core)),
            life,
            touched: true,
            carriers,
            late_hello,
            ..EdgeHost::new(node)
        };
        host.uplinks.insert(uplink, node % self.scenario.pops);
        self.edges[edge] = host;
        self.record.wants.starts(Host::Edge(edge));
    }

    pub(super) fn stop_edge(&mut self, edge: usize) {
        let Some(core) = self.edges[edge].core.take() else {
            return;
        };
        self.judge_edge(edge, &core);
        for link in 0..self.links.len() {
            if self.links[link].edge == edge && self.links[link].edge_id.take().is_some() {
                self.break_link(link, Some(20), None);
            }
        }
        self.bearers
            .retain(|&(host, _), _| host != Host::Edge(edge));
        self.record.wants.starts(Host::Edge(edge));
        let host = &mut self.edges[edge];
        host.targets = Sockets::default();
        host.dialling.clear();
        host.ready.clear();
    }

    // --- Time -------------------------------------------------------------------------------------

    /// Returns until when a process is suspended, if it is.
    pub(super) fn suspended(&self, host: Host) -> Option<Instant> {
        let until = match host {
            Host::Pop(pop) => self.pops[pop].suspended_until,
            Host::Edge(edge) => self.edges[edge].suspended_until,
        };
        (until > self.now).then_some(until)
    }

    pub(super) fn touch_host(&mut self, host: Host) {
        match host {
            Host::Pop(pop) => self.pops[pop].touched = true,
            Host::Edge(edge) => self.edges[edge].touched = true,
        }
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let now = self.now;
        let pops = self.pops.iter().filter(|host| host.suspended_until <= now);
        let edges = self.edges.iter().filter(|host| host.suspended_until <= now);
        let pops = pops.filter(|host| host.core.is_some());
        let pops = pops.filter_map(PopHost::due);
        let edges = edges.filter_map(|host| host.core.as_ref());
        let edges = edges.filter_map(|core| core.poll_timeout());
        pops.chain(edges.map(|deadline| deadline.at)).min()
    }

    pub(super) fn handle_timeouts(&mut self) {
        let now = self.now;
        for host in &mut self.pops {
            if let Some(core) = &mut host.core
                && host.suspended_until <= now
            {
                host.touched |= is_due(core, now);
            }
        }
        for pop in 0..self.pops.len() {
            if self.pops[pop].suspended_until <= now {
                self.desk_timeouts(pop);
            }
        }
        for host in &mut self.edges {
            if let Some(core) = &mut host.core
                && host.suspended_until <= now
            {
                host.touched |= is_due(core, now);
            }
        }
    }

    // --- Draining ---------------------------------------------------------------------------------

    /// Lets every process that something happened to do what it can now.
    pub(super) fn drain(&mut self) {
        let mut rounds = 0;
        loop {
            let mut moved = false;
            rounds += 1;
            if rounds > ROUNDS_MAX {
                stuck(format_args!(
                    "the hosts move without an end at {:?}",
                    self.now.since(Instant::EPOCH)
                ));
            }
            for pop in 0..self.pops.len() {
                if self.pops[pop].acts(self.now) {
                    moved |= self.pop_events(pop);
                    moved |= self.pop_sockets(pop);
                    let host = &mut self.pops[pop];
                    if let Some(core) = &mut host.core {
                        core.settle(self.now);
                        collect_ready(core, &mut host.ready);
                    }
                    moved |= self.transmit_ready(Host::Pop(pop));
                    // One that found too much to do comes again.
                    let host = &mut self.pops[pop];
                    if let Some(core) = &mut host.core {
                        moved |= collect_ready(core, &mut host.ready);
                    }
                }
            }
            for edge in 0..self.edges.len() {
                if self.edges[edge].acts(self.now) {
                    moved |= self.edge_events(edge);
                    moved |= self.edge_sockets(edge);
                    let host = &mut self.edges[edge];
                    if let Some(core) = &mut host.core {
                        core.settle(self.now);
                        collect_ready(core, &mut host.ready);
                    }
                    moved |= self.transmit_ready(Host::Edge(edge));
                    // One that found too much to do comes again.
                    let host = &mut self.edges[edge];
                    if let Some(core) = &mut host.core {
                        moved |= collect_ready(core, &mut host.ready);
                    }
                }
            }
            if !moved {
                break;
            }
        }
        self.judge_blocks();
        self.judge_touched();
        self.judge_accounts();
        self.judge_leases();
        if self.thorough {
            self.judge_silence();
        }
        let now = self.now;
        for host in &mut self.pops {
            host.touched &= host.suspended_until > now;
        }
        for host in &mut self.edges {
            if host.touched
                && let Some(core) = &host.core
            {
                host.opened.retain(|&id| core.tunnel_of(id).is_some());
            }
            host.touched &= host.suspended_until > now;
        }
    }

    fn pop_events(&mut self, pop: usize) -> bool {
        let mut moved = false;
        while let Some(event) = self.pops[pop]
            .core
            .as_mut()
            .and_then(|core| core.poll_event())
        {
            moved = true;
            event.hash(&mut self.trace);
            self.note(|| format!("pop {pop}: {event:?}"));
            match event {
                Event::Sever { carrier, .. } => self.severed(Host::Pop(pop), carrier),
                Event::Role(PopEvent::AllowanceLow { group }) => self.allowance_low(pop, group),
                Event::Role(PopEvent::SessionOver(report)) => self.judge_report(pop, &report),
                Event::Role(event) => self.judge_node(pop, &event),
                Event::Drained => self.judge_drained(pop),
                Event::TakesInput => self.read_again(Host::Pop(pop)),
                Event::CarrierFull { .. } => {}
            }
        }
        moved
    }

    fn edge_events(&mut self, edge: usize) -> bool {
        let mut moved = false;
        while let Some(event) = self.edges[edge]
            .core
            .as_mut()
            .and_then(|core| core.poll_event())
        {
            moved = true;
            event.hash(&mut self.trace);
            self.note(|| format!("edge {edge}: {event:?}"));
            match event {
                Event::Role(EdgeEvent::Connect { uplink }) => self.connect(edge, uplink),
                Event::Role(EdgeEvent::Opened { session }) => self.opened(edge, session),
                Event::Sever { carrier, .. } => self.severed(Host::Edge(edge), carrier),
                Event::Role(EdgeEvent::UplinkAttached { uplink, resumed }) => {
                    let now = self.now;
                    self.record.uplink_attached(edge, uplink, resumed, now);
                    let pop = self.edges[edge].uplinks.get(&uplink).copied();
                    let lost = pop.and_then(|pop| self.edges[edge].lost.remove(&pop));
                    if resumed && lost == Some((true, true)) {
                        mark::note(Mark::ResumeLossBoth);
                    }
                }
                Event::Role(EdgeEvent::UplinkDetached { uplink, code }) => {
                    self.record.uplink_detached(edge, uplink, self.now);
                    let host = &self.edges[edge];
                    if code == Code::AckWithheld
                        && let Some(&pop) = host.uplinks.get(&uplink)
                    {
                        let (host, of) = (Host::Edge(edge), (host.node, pop));
                        let begun = self.record.edge_begun.get(&(edge, uplink)).copied();
                        self.judge_withheld(host, of, begun, false);
                    }
                }
                Event::Role(EdgeEvent::Command { uplink, command }) => {
                    self.commanded(edge, uplink, command)
                }
                Event::Role(EdgeEvent::UplinkGone { uplink }) => {
                    self.edges[edge].uplinks.remove(&uplink);
                }
                Event::TakesInput => self.read_again(Host::Edge(edge)),
                Event::Role(EdgeEvent::Denied {
                    trace, code, whose, ..
                }) => {
                    self.judge_denied(edge, trace, code, whose);
                }
                Event::Drained | Event::CarrierFull { .. } => {}
            }
        }
        moved
    }

    /// An edge obeys its POP: sent away, it opens a tunnel to another one beside.
    fn commanded(&mut self, edge: usize, uplink: UplinkId, command: wire::Command) {
        let host = &mut self.edges[edge];
        let Some(core) = &mut host.core else { return };
        let taken: Vec<usize> = host.uplinks.values().copied().collect();
        let other =
            (0..self.pops.len()).find(|pop| !taken.contains(pop) && !self.pops[*pop].draining);
        if command.action() == wire::command::Action::Drain
            && let Some(other) = other
            && core.retire_uplink(self.now, uplink)
        {
            let added = core.add_uplink(self.now);
            host.uplinks.insert(added, other);
        }
    }

    /// An edge takes sessions again.
    pub(super) fn accept(&mut self, edge: usize, life: u64) {
        let host = &mut self.edges[edge];
        if host.life == life
            && let Some(core) = &mut host.core
        {
            host.touched = true;
            core.set_status(self.now, &taking(true, self.scenario.limits.sessions_max));
        }
    }

    /// A POP lets its edges be as fast as they can.
    pub(super) fn hurry(&mut self, pop: usize, life: u64) {
        let host = &mut self.pops[pop];
        if host.life == life
            && let Some(core) = &mut host.core
        {
            host.touched = true;
            core.limit_nodes(self.now, Rates::default());
        }
    }

    fn connect(&mut self, edge: usize, uplink: UplinkId) {
        let life = self.edges[edge].life;
        let host = &mut self.edges[edge];
        let (Some(core), Some(pop)) = (&host.core, host.uplinks.get_mut(&uplink)) else {
            return;
        };
        // A manager sends nobody to a POP that drains; what can be resumed is resumed.
        if self.pops[*pop].draining
            && core.resume_address(uplink).is_none()
            && let Some(other) = (0..self.pops.len()).find(|&pop| !self.pops[pop].draining)
        {
            *pop = other;
        }
        let pop = *pop;
        self.enter_in(
            2 * self.scenario.network.delay,
            Action::Connected {
                edge,
                life,
                uplink,
                pop,
            },
        );
    }

    pub(super) fn connected(&mut self, edge: usize, life: u64, uplink: UplinkId, pop: usize) {
        let now = self.now;
        let host = &mut self.edges[edge];
        if host.life != life {
            return;
        }
        let Some(core) = &mut host.core else { return };
        host.touched = true;
        let pop_host = &mut self.pops[pop];
        let (busy_until, retry) = pop_host.busy;
        let Some(pop_core) = &mut pop_host.core else {
            core.handle_connect_failed(now, uplink, Duration::ZERO);
            return;
        };
        if busy_until > now {
            core.handle_connect_failed(now, uplink, retry);
            return;
        }
        let nonce = pop_core.nonce();
        let node = format!("node-{}", host.node);
        let pop_id = pop_core.handle_carrier(now, &node, nonce, false);
        pop_host.touched = true;
        let edge_id = core.handle_connected(now, uplink, nonce, false);
        self.add_link(edge, pop, pop_id, edge_id);
    }
}

fn is_due<R: Role>(core: &mut Endpoint<R>, now: Instant) -> bool {
    let due = core
        .poll_timeout()
        .is_some_and(|deadline| deadline.at <= now);
    if due {
        core.handle_timeout(now);
    }
    due
}

/// Notes the carriers that have something to send; tells whether there were any.
fn collect_ready<R: Role>(core: &mut Endpoint<R>, ready: &mut Vec<CarrierId>) -> bool {
    let mut any = false;
    while let Some(id) = core.poll_ready() {
        any = true;
        if !ready.contains(&id) {
            ready.push(id);
        }
    }
    any
}

/// Returns what an edge says about itself.
pub(super) fn taking(accepting: bool, sessions_max: u32) -> wire::Status {
    wire::Status {
        accepting,
        sessions_max,
        ..wire::Status::default()
    }
}

//! The queue of actions and what each does.

use super::chooser::{Chooser, mix};
use super::flow::Peer;
use super::plan::{Answer, Options};
use bytes::{BufMut as _, Bytes, BytesMut};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use titan_core::endpoint::{
    Batch, CarrierId, Counters, Dial, Dialled, Edge, Event, Item, Open, Pop, SessionId, UplinkId,
    Usage,
};
use titan_core::exit::guard::Guard;
use titan_core::target::{Host, Target};
use titan_core::time::{Duration, Instant};
use titan_proto::{Code, encode_header, wire};

/// When the world gives up on flows that should have ended: after healing, every flow needs at most
/// the grace time, a dial budget, a write deadline and its transfer.
const PATIENCE: Duration = Duration::from_secs(400);

/// One thing that happens.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Action {
    Start {
        flow: usize,
    },
    ToEdge {
        link: usize,
    },
    ToPop {
        link: usize,
    },
    Connected {
        edge: usize,
        life: u64,
        uplink: UplinkId,
    },
    Dialled {
        edge: usize,
        life: u64,
        session: SessionId,
    },
    Cut,
    CloseSeen {
        link: usize,
        at_pop: bool,
    },
    Restart,
    Look,
}

/// What a run came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// Hash over every action and every byte on carriers.
    pub trace: u64,
    /// Actions done.
    pub actions: u64,
    /// Faults that happened.
    pub faults: u64,
    /// Flows that ended with both directions complete.
    pub complete: usize,
    /// Flows that ended with an error.
    pub failed: usize,
    /// What the POP counted.
    pub counters: Counters,
    /// Virtual time at the end.
    pub elapsed: Duration,
}

/// A carrier between an edge and the POP.
#[derive(Debug)]
struct Link {
    edge: usize,
    life: u64,
    pop: Option<CarrierId>,
    at_edge: Option<CarrierId>,
    to_pop: Pipe,
    to_edge: Pipe,
    cut: bool,
}

#[derive(Debug, Default)]
struct Pipe {
    items: VecDeque<(Instant, Parcel)>,
    bytes: usize,
}

#[derive(Clone, Debug)]
enum Parcel {
    Message(Bytes),
    Ping([u8; 8]),
    Pong([u8; 8]),
    Close(Code),
}

#[derive(Debug)]
struct EdgeHost {
    core: Edge,
    life: u64,
    sessions: BTreeMap<SessionId, Peer>,
    dialling: BTreeMap<SessionId, (usize, Answer)>,
}

impl EdgeHost {
    fn check_faults(&self) {
        let faults = self.core.counters().faults;
        assert_eq!(faults, 0, "an edge found fault with an honest POP");
    }
}

/// A POP, edges, carriers, clients and targets.
#[derive(Debug)]
pub struct World {
    seed: u64,
    options: Options,
    choose: Chooser,
    now: Instant,
    queue: BTreeSet<(Instant, u64, Action)>,
    entered: u64,
    pop: Pop,
    edges: Vec<EdgeHost>,
    links: Vec<Link>,
    clients: BTreeMap<SessionId, Peer>,
    started: usize,
    ended: Vec<(usize, Code)>,
    dials: BTreeMap<usize, usize>,
    faults: u64,
    actions: u64,
    trace: u64,
    healed: bool,
    /// Carriers that said they have output, by edge and by the POP, until they had no more.
    ready: BTreeSet<(Option<usize>, CarrierId)>,
}

impl World {
    /// Creates the world of a seed.
    #[must_use]
    pub fn new(seed: u64, options: Options) -> Self {
        let mut choose = Chooser::new(seed);
        let now = Instant::EPOCH;
        let pop = Pop::new(options.config.clone(), choose.seed(), String::new(), now);
        let mut world = Self {
            seed,
            choose,
            now,
            queue: BTreeSet::new(),
            entered: 0,
            pop,
            edges: Vec::new(),
            links: Vec::new(),
            clients: BTreeMap::new(),
            started: 0,
            ended: Vec::new(),
            dials: BTreeMap::new(),
            faults: 0,
            actions: 0,
            trace: seed,
            healed: false,
            ready: BTreeSet::new(),
            options,
        };
        for _ in 0..world.options.edges {
            let host = world.new_edge(0);
            world.edges.push(host);
        }
        for flow in 0..world.options.plans.len() {
            // Edges need a moment to attach before the first client asks.
            let at = now + world.options.plans[flow].start + Duration::from_secs(1);
            world.enter(at, Action::Start { flow });
        }
        let (cut, restart) = (world.options.cut_every, world.options.restart_every);
        world.enter_fault(cut, Action::Cut);
        world.enter_fault(restart, Action::Restart);
        world
    }

    /// Runs until every flow has ended.
    ///
    /// # Panics
    /// Panics on the first violation, naming the seed.
    #[must_use]
    pub fn run(mut self) -> Outcome {
        let seed = self.seed;
        let guard = scopeguard(move || eprintln!("violation: pure loop, seed {seed}"));
        self.drain();
        let limit = Instant::EPOCH + self.options.heal_at + PATIENCE;
        while self.ended.len() < self.options.plans.len() {
            assert!(
                self.step(limit),
                "I6: flows left at {:?}: {:?}",
                self.now,
                self.clients
            );
        }
        // Whatever is still on its way has to leave nothing behind.
        let calm = self.now + Duration::from_secs(120);
        while self.step(calm) {}
        self.check_leaks();
        guard.disarm();
        let complete = self
            .ended
            .iter()
            .filter(|(_, code)| *code == Code::Ok)
            .count();
        Outcome {
            trace: self.trace,
            actions: self.actions,
            faults: self.faults,
            complete,
            failed: self.ended.len() - complete,
            counters: self.pop.counters(),
            elapsed: self.now.since(Instant::EPOCH),
        }
    }

    fn check_leaks(&self) {
        assert_eq!(
            self.pop.counters().faults,
            0,
            "the POP found fault with an honest edge"
        );
        let usage = self.pop.usage();
        let calm = Usage {
            carriers: usage.carriers,
            tunnels: usage.tunnels,
            timers: usage.timers,
            ..Usage::default()
        };
        assert_eq!(usage, calm, "I6: the POP holds nothing of what has ended");
        assert!(
            usage.timers <= usage.carriers + usage.tunnels,
            "I6: timers {usage:?}"
        );
        for host in &self.edges {
            host.check_faults();
            let usage = host.core.usage();
            assert_eq!(
                usage.sessions, 0,
                "I6: an edge holds nothing of what has ended"
            );
            assert_eq!(
                usage.session_bytes + usage.resend_bytes + usage.growth_bytes,
                0
            );
        }
    }

    fn enter(&mut self, at: Instant, action: Action) {
        self.entered += 1;
        self.queue.insert((at.max(self.now), self.entered, action));
    }

    fn enter_fault(&mut self, every: Duration, action: Action) {
        if every > Duration::ZERO {
            let nanos = self.choose.below(2 * every.as_nanos() as u64);
            self.enter(self.now + Duration::from_nanos(nanos), action);
        }
    }

    /// Does the next thing; false if nothing is left before `limit`.
    fn step(&mut self, limit: Instant) -> bool {
        let deadlines = self
            .edges
            .iter()
            .filter_map(|host| host.core.poll_timeout());
        let timeout = deadlines
            .chain(self.pop.poll_timeout())
            .map(|deadline| deadline.at)
            .min();
        let action = self.queue.first().map(|&(at, ..)| at);
        let next = match (timeout, action) {
            (Some(timeout), Some(action)) => timeout.min(action),
            (Some(at), None) | (None, Some(at)) => at,
            (None, None) => return false,
        };
        if next > limit {
            return false;
        }
        self.now = self.now.max(next);
        self.actions += 1;
        self.trace = mix(self.trace ^ self.now.as_nanos());
        if action.is_some_and(|at| at <= self.now) {
            let (_, _, action) = self.queue.pop_first().expect("it was just there");
            self.act(action);
            self.drain();
            // Input first: what is due at this very moment has its turn after it.
            self.check_deadlines(self.now);
        } else {
            self.pop.handle_timeout(self.now);
            for host in &mut self.edges {
                host.core.handle_timeout(self.now);
            }
            self.drain();
            self.check_deadlines(self.now + Duration::from_nanos(1));
        }
        if !self.healed && self.now >= Instant::EPOCH + self.options.heal_at {
            self.healed = true;
        }
        true
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Start { flow } => self.start(flow),
            Action::ToEdge { link } => self.deliver(link, false),
            Action::ToPop { link } => self.deliver(link, true),
            Action::Connected { edge, life, uplink } => self.connected(edge, life, uplink),
            Action::Dialled {
                edge,
                life,
                session,
            } => self.dialled(edge, life, session),
            Action::Cut => {
                if !self.healed {
                    let link = self.choose.below(self.links.len() as u64) as usize;
                    let silent = self.options.silent_cuts && self.choose.chance(50);
                    self.cut(link, silent);
                    self.enter_fault(self.options.cut_every, Action::Cut);
                }
            }
            Action::CloseSeen { link, at_pop } => self.close_seen(link, at_pop),
            Action::Restart => {
                if !self.healed {
                    let edge = self.choose.below(self.edges.len() as u64) as usize;
                    self.restart(edge);
                    self.enter_fault(self.options.restart_every, Action::Restart);
                }
            }
            Action::Look => {
                let targets = self
                    .edges
                    .iter_mut()
                    .flat_map(|host| host.sessions.values_mut());
                for peer in self.clients.values_mut().chain(targets) {
                    peer.awake = true;
                }
            }
        }
    }

    // --- Flows --------------------------------------------------------------------------------------

    fn start(&mut self, flow: usize) {
        let plan = self.options.plans[flow];
        // The address names the flow; the guard of the edges allows just this range.
        let address = Ipv4Addr::from(0x0a00_0000 | flow as u32);
        let open = Open {
            target: Target {
                host: Host::Ip(IpAddr::V4(address)),
                port: 80,
            },
            group: plan.group,
            weight: 1,
            family: wire::create::Family::Any,
            country: None,
            strict: false,
            trace: [0; 16],
        };
        self.started += 1;
        match self.pop.open(self.now, open) {
            Ok(id) => {
                self.clients.insert(id, Peer::client(flow, &plan));
            }
            Err(code) => self.ended.push((flow, code)),
        }
        for from in [plan.client_reads_from, plan.target_reads_from] {
            self.enter(Instant::EPOCH + from, Action::Look);
        }
    }

    fn dialled(&mut self, edge: usize, life: u64, session: SessionId) {
        let host = &mut self.edges[edge];
        if host.life != life {
            return;
        }
        let Some((flow, answer)) = host.dialling.remove(&session) else {
            return;
        };
        let outcome = match answer {
            Answer::Connects => Ok(Dialled::default()),
            Answer::Refuses => Err(Code::Refused),
            Answer::Hangs => Err(Code::TimedOut),
        };
        let connected = outcome.is_ok() && host.core.dial_request(session).is_some();
        host.core.dialled(self.now, session, outcome);
        if connected {
            let target = Peer::target(flow, &self.options.plans[flow]);
            host.sessions.insert(session, target);
        } else {
            host.core.close(
                self.now,
                session,
                Code::Cancelled,
                titan_core::endpoint::CloseMode::Abort,
            );
        }
    }

    // --- Carriers -----------------------------------------------------------------------------------

    fn connected(&mut self, edge: usize, life: u64, uplink: UplinkId) {
        if self.edges[edge].life != life {
            return;
        }
        let nonce = self.pop.nonce();
        let node = format!("node-{edge}");
        let pop = self.pop.handle_carrier(self.now, &node, nonce, false);
        let host = &mut self.edges[edge];
        let at_edge = host.core.handle_connected(self.now, uplink, nonce, false);
        self.links.push(Link {
            edge,
            life,
            pop: Some(pop),
            at_edge,
            to_pop: Pipe::default(),
            to_edge: Pipe::default(),
            cut: false,
        });
    }

    /// Cuts a carrier: what is on its way is lost, and the ends learn of it later, or never.
    fn cut(&mut self, link: usize, silent: bool) {
        let Some(state) = self.links.get_mut(link) else {
            return;
        };
        if state.cut {
            return;
        }
        state.cut = true;
        self.faults += 1;
        state.to_pop = Pipe::default();
        state.to_edge = Pipe::default();
        if !silent {
            for at_pop in [true, false] {
                let after = Duration::from_millis(self.choose.below(500));
                self.enter(self.now + after, Action::CloseSeen { link, at_pop });
            }
        }
    }

    fn close_seen(&mut self, link: usize, at_pop: bool) {
        let state = &mut self.links[link];
        if at_pop {
            if let Some(id) = state.pop.take() {
                self.pop.handle_carrier_closed(self.now, id, Code::Reset);
            }
        } else if let Some(id) = state.at_edge.take()
            && self.edges[state.edge].life == state.life
        {
            self.edges[state.edge]
                .core
                .handle_carrier_closed(self.now, id, Code::Reset);
        }
    }

    fn restart(&mut self, edge: usize) {
        self.faults += 1;
        let life = self.edges[edge].life + 1;
        for link in 0..self.links.len() {
            if self.links[link].edge == edge {
                self.links[link].at_edge = None;
                self.cut(link, false);
            }
        }
        self.edges[edge].check_faults();
        self.ready.retain(|&(at, _)| at != Some(edge));
        self.edges[edge] = self.new_edge(life);
    }

    fn new_edge(&mut self, life: u64) -> EdgeHost {
        let guard = Guard::new(vec!["10.0.0.0/8".parse().expect("a network")]);
        let mut core = Edge::new(
            self.options.config.clone(),
            self.choose.seed(),
            guard,
            self.now,
        );
        core.add_uplink(self.now);
        EdgeHost {
            core,
            life,
            sessions: BTreeMap::new(),
            dialling: BTreeMap::new(),
        }
    }

    fn deliver(&mut self, link: usize, to_pop: bool) {
        let state = &mut self.links[link];
        let pipe = if to_pop {
            &mut state.to_pop
        } else {
            &mut state.to_edge
        };
        let Some(&(at, _)) = pipe.items.front() else {
            return;
        };
        if at > self.now {
            return;
        }
        let (_, parcel) = pipe.items.pop_front().expect("it was just there");
        pipe.bytes -= parcel.len();
        if let Parcel::Ping(payload) = parcel {
            let back = if to_pop {
                &mut state.to_edge
            } else {
                &mut state.to_pop
            };
            let at = self.now + self.options.delay;
            let at = back.items.back().map_or(at, |&(last, _)| last.max(at));
            back.items.push_back((at, Parcel::Pong(payload)));
            back.bytes += Parcel::Pong(payload).len();
            self.enter(
                at,
                if to_pop {
                    Action::ToEdge { link }
                } else {
                    Action::ToPop { link }
                },
            );
        }
        let state = &mut self.links[link];
        let live = self.edges[state.edge].life == state.life;
        match (to_pop, state.pop, state.at_edge) {
            (true, Some(id), _) => hand_in(&mut self.pop, self.now, id, &parcel),
            (false, _, Some(id)) if live => {
                hand_in(&mut self.edges[state.edge].core, self.now, id, &parcel);
            }
            _ => {}
        }
        if let Parcel::Close(_) = parcel {
            if to_pop {
                state.pop = None
            } else {
                state.at_edge = None
            }
            state.cut = true;
        }
        self.trace = mix(self.trace ^ parcel.hash());
    }

    // --- Draining -----------------------------------------------------------------------------------

    /// Lets every endpoint and socket do what it can now.
    fn drain(&mut self) {
        loop {
            let mut moved = self.drain_events();
            moved |= self.drain_sockets();
            self.pop.settle(self.now);
            for host in &mut self.edges {
                host.core.settle(self.now);
            }
            moved |= self.drain_carriers();
            if !moved {
                break;
            }
        }
        if self.options.audit {
            self.pop.audit();
            for host in &self.edges {
                host.core.audit();
            }
        }
    }

    /// Checks that no drained endpoint wants to be called before `earliest`.
    fn check_deadlines(&self, earliest: Instant) {
        let edges = self
            .edges
            .iter()
            .filter_map(|host| host.core.poll_timeout());
        for due in edges.chain(self.pop.poll_timeout()) {
            assert!(due.at >= earliest, "{due:?} has passed at {:?}", self.now);
        }
    }

    fn drain_events(&mut self) -> bool {
        let mut moved = false;
        while let Some(event) = self.pop.poll_event() {
            moved = true;
            if let Event::Sever { carrier, .. } = event {
                self.sever(carrier, true, 0);
            }
        }
        for edge in 0..self.edges.len() {
            let life = self.edges[edge].life;
            while let Some(event) = self.edges[edge].core.poll_event() {
                moved = true;
                match event {
                    Event::Connect { uplink } => {
                        let after = self.options.delay * 2;
                        self.enter(self.now + after, Action::Connected { edge, life, uplink });
                    }
                    Event::Opened { session } => self.opened(edge, session),
                    Event::Sever { carrier, .. } => self.sever(carrier, false, edge),
                    Event::NodeAttached { .. }
                    | Event::NodeDetached { .. }
                    | Event::NodeGone { .. }
                    | Event::UplinkAttached { .. }
                    | Event::UplinkDetached { .. }
                    | Event::Command { .. }
                    | Event::CarrierFull { .. } => {}
                }
            }
        }
        moved
    }

    fn sever(&mut self, carrier: CarrierId, at_pop: bool, edge: usize) {
        let found = self.links.iter().position(|link| {
            if at_pop {
                link.pop == Some(carrier)
            } else {
                link.edge == edge
                    && link.life == self.edges[edge].life
                    && link.at_edge == Some(carrier)
            }
        });
        if let Some(link) = found {
            if at_pop {
                self.links[link].pop = None
            } else {
                self.links[link].at_edge = None
            }
            if !self.links[link].cut {
                self.cut(link, false);
            }
        }
    }

    fn opened(&mut self, edge: usize, session: SessionId) {
        let host = &mut self.edges[edge];
        let Some(request) = host.core.dial_request(session) else {
            host.core.close(
                self.now,
                session,
                Code::Cancelled,
                titan_core::endpoint::CloseMode::Abort,
            );
            return;
        };
        let Host::Ip(IpAddr::V4(address)) = request.target.host else {
            panic!("a flow's address")
        };
        let flow = (u32::from(address) & 0xffff) as usize;
        let plan = self.options.plans[flow];
        let dial = self.dials.entry(flow).or_default();
        let answer = plan.answers[(*dial).min(2)];
        *dial += 1;
        host.dialling.insert(session, (flow, answer));
        let life = host.life;
        let at = match answer {
            Answer::Hangs => request.deadline,
            Answer::Connects | Answer::Refuses => self.now + plan.dial,
        };
        self.enter(
            at,
            Action::Dialled {
                edge,
                life,
                session,
            },
        );
    }

    fn drain_sockets(&mut self) -> bool {
        let mut moved = false;
        while let Some(id) = self.pop.poll_woken() {
            if let Some(client) = self.clients.get_mut(&id) {
                client.awake = true;
            }
        }
        let ids: Vec<SessionId> = self.clients.keys().copied().collect();
        for id in ids {
            let Some(client) = self.clients.get_mut(&id) else {
                continue;
            };
            // Nobody looks without a reason: a wake-up that is lost is a flow that never ends.
            if client.awake {
                client.awake = client.pump(self.now, &mut self.pop, id, true);
                moved |= client.awake;
            }
            if let Some(code) = client.ended {
                self.ended.push((client.flow, code));
                self.clients.remove(&id);
            }
        }
        for host in &mut self.edges {
            while let Some(id) = host.core.poll_woken() {
                if let Some(target) = host.sessions.get_mut(&id) {
                    target.awake = true;
                }
            }
            let ids: Vec<SessionId> = host.sessions.keys().copied().collect();
            for id in ids {
                let Some(target) = host.sessions.get_mut(&id) else {
                    continue;
                };
                if !target.awake {
                    continue;
                }
                let may_send = host
                    .core
                    .status(id)
                    .is_some_and(|status| status.dial == Dial::Connected);
                target.awake = target.pump(self.now, &mut host.core, id, may_send);
                moved |= target.awake;
                if target.ended.is_some() {
                    host.sessions.remove(&id);
                }
            }
        }
        moved
    }

    fn drain_carriers(&mut self) -> bool {
        let mut moved = false;
        while let Some(id) = self.pop.poll_ready() {
            self.ready.insert((None, id));
        }
        for (edge, host) in self.edges.iter_mut().enumerate() {
            while let Some(id) = host.core.poll_ready() {
                self.ready.insert((Some(edge), id));
            }
        }
        let mut batch = Batch::new(16 << 10);
        for link in 0..self.links.len() {
            for to_pop in [true, false] {
                moved |= self.transmit(link, to_pop, &mut batch);
            }
        }
        moved
    }

    /// Moves what fits from an endpoint to a carrier.
    fn transmit(&mut self, link: usize, to_pop: bool, batch: &mut Batch) -> bool {
        let state = &mut self.links[link];
        let live = self.edges[state.edge].life == state.life;
        let pipe = if to_pop {
            &mut state.to_pop
        } else {
            &mut state.to_edge
        };
        if pipe.bytes >= self.options.carrier_window {
            return false;
        }
        let announced = match (to_pop, state.at_edge, state.pop) {
            (true, Some(id), _) if live => {
                self.edges[state.edge]
                    .core
                    .poll_transmit(self.now, id, batch);
                (Some(state.edge), id)
            }
            (false, _, Some(id)) => {
                self.pop.poll_transmit(self.now, id, batch);
                (None, id)
            }
            _ => return false,
        };
        if batch.is_empty() {
            self.ready.remove(&announced);
            return false;
        }
        assert!(
            self.ready.contains(&announced),
            "I6: {announced:?} has output that nobody was told of"
        );
        let items: Vec<Item> = batch.drain().collect();
        for item in items {
            let parcel = Parcel::new(item);
            let jitter =
                Duration::from_nanos(self.choose.below(self.options.jitter.as_nanos() as u64 + 1));
            let state = &mut self.links[link];
            if let Parcel::Close(_) = parcel {
                if to_pop {
                    state.at_edge = None
                } else {
                    state.pop = None
                }
            }
            if state.cut {
                // Written into a dead connection.
                continue;
            }
            let pipe = if to_pop {
                &mut state.to_pop
            } else {
                &mut state.to_edge
            };
            let at = self.now + self.options.delay + jitter;
            let at = pipe.items.back().map_or(at, |&(last, _)| last.max(at));
            pipe.bytes += parcel.len();
            pipe.items.push_back((at, parcel));
            let action = if to_pop {
                Action::ToPop { link }
            } else {
                Action::ToEdge { link }
            };
            self.enter(at, action);
        }
        true
    }
}

impl Parcel {
    fn new(item: Item) -> Self {
        match item {
            Item::Frame(frame) => {
                let mut message = BytesMut::new();
                encode_header(frame.kind, frame.session, frame.payload.len(), &mut message);
                message.put_slice(&frame.payload);
                Self::Message(message.freeze())
            }
            Item::Ping(payload) => Self::Ping(payload),
            Item::Close(code) => Self::Close(code),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Message(message) => message.len(),
            Self::Ping(_) | Self::Pong(_) | Self::Close(_) => 8,
        }
    }

    fn hash(&self) -> u64 {
        let fold = |bytes: &[u8]| {
            bytes
                .iter()
                .fold(7, |hash, &byte| mix(hash ^ u64::from(byte)))
        };
        match self {
            Self::Message(message) => fold(message),
            Self::Ping(payload) | Self::Pong(payload) => fold(payload),
            Self::Close(code) => u64::from(code.wire()),
        }
    }
}

fn hand_in<R: titan_core::endpoint::Role>(
    endpoint: &mut titan_core::endpoint::Endpoint<R>,
    now: Instant,
    carrier: CarrierId,
    parcel: &Parcel,
) {
    match parcel {
        Parcel::Message(message) => endpoint.handle_message(now, carrier, message),
        Parcel::Ping(_) => endpoint.handle_alive(now, carrier),
        Parcel::Pong(payload) => endpoint.handle_pong(now, carrier, payload),
        Parcel::Close(_) => endpoint.handle_carrier_closed(now, carrier, Code::Cancelled),
    }
}

/// Runs `action` when dropped by a panic.
fn scopeguard<F: FnMut()>(action: F) -> Guarded<F> {
    Guarded {
        action,
        armed: true,
    }
}

struct Guarded<F: FnMut()> {
    action: F,
    armed: bool,
}

impl<F: FnMut()> Guarded<F> {
    fn disarm(mut self) {
        self.armed = false;
    }
}

impl<F: FnMut()> Drop for Guarded<F> {
    fn drop(&mut self) {
        if self.armed {
            (self.action)();
        }
    }
}

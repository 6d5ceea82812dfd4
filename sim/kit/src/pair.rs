//! A POP and edges joined by carriers in memory, under a clock that a test moves by hand.
//!
//! Carriers have no delay. Each direction of one can be held (frames wait), blocked (the sender's
//! connection has no room) or cut, and frames can be rewritten on their way or made by the test. After
//! every step the whole rig is drained, held to the contract of [`Endpoint`], and audited, which a test may
//! put off.

mod drain;
mod link;
mod values;

pub use link::{Link, Pipe, Seen, Way};
pub use values::{config, create, demand, encode, hello, message, millis, secs, welcome};

use Way::{ToEdge, ToPop};
use bytes::Bytes;
use std::collections::BTreeSet;
use std::net::IpAddr;
use titan_core::endpoint::{
    Batch, CarrierId, Config, Dialled, Edge, EdgeEvent, Endpoint, Event, Item, Open, Pop, PopEvent,
    Role, SessionId, UplinkId,
};
use titan_core::exit::guard::Guard;
use titan_core::time::{Duration, Instant};
use titan_proto::{Code, Frame, wire};

/// What changes frames on their way.
pub type Rewrite = Box<dyn FnMut(Way, &mut Frame)>;

pub struct Rig {
    pub now: Instant,
    pub config: Config,
    pub pop: Pop,
    pub edges: Vec<Site>,
    pub links: Vec<Link>,
    /// Every frame that arrived.
    pub wire: Vec<Seen>,
    /// Sessions opened at the POP.
    pub pop_sessions: Vec<SessionId>,
    /// Sessions of the POP and of edges whose drivers were woken.
    pub woken: Vec<SessionId>,
    pub edge_woken: Vec<(usize, SessionId)>,
    /// Everything the POP told its driver.
    pub events: Vec<Event<PopEvent>>,
    pub rewrite: Option<Rewrite>,
    /// New carriers cannot be read on the way.
    pub encrypted: bool,
    /// Most bytes per batch.
    pub batch: usize,
    /// Whether each [`Rig::run`] ends with [`Rig::audit`]; otherwise the test calls it.
    pub every_run_is_audited: bool,
    /// Carriers that said they have output, of an edge or the POP, until they had no more.
    ready: BTreeSet<(Option<usize>, CarrierId)>,
}

/// An edge and its driver.
pub struct Site {
    pub core: Edge,
    pub node: String,
    pub uplink: UplinkId,
    /// Connects when the core asks; otherwise the wish waits.
    pub online: bool,
    pub wants: bool,
    pub opened: Vec<SessionId>,
    pub events: Vec<Event<EdgeEvent>>,
}

impl Rig {
    /// Makes a POP and edges `node-0`, `node-1`, … that have tunnels already.
    pub fn new(config: Config, edges: usize) -> Self {
        let now = Instant::from_nanos(1_000_000_000);
        let pop = Pop::new(config.clone(), [1; 32], String::new(), now);
        let mut rig = Self {
            now,
            config,
            pop,
            edges: Vec::new(),
            links: Vec::new(),
            wire: Vec::new(),
            pop_sessions: Vec::new(),
            woken: Vec::new(),
            edge_woken: Vec::new(),
            events: Vec::new(),
            rewrite: None,
            encrypted: false,
            batch: 64 << 10,
            every_run_is_audited: true,
            ready: BTreeSet::new(),
        };
        for edge in 0..edges {
            rig.add_edge(&format!("node-{edge}"));
        }
        rig
    }

    /// Starts another edge process under a node's name.
    pub fn add_edge(&mut self, node: &str) -> usize {
        let edge = self.add_offline(node);
        self.plug_in(edge);
        edge
    }

    /// Starts another edge process that waits to be connected.
    pub fn add_offline(&mut self, node: &str) -> usize {
        let edge = self.edges.len();
        let seed = [u8::try_from(edge).unwrap() + 2; 32];
        let guard = Guard::new(vec!["10.0.0.0/8".parse().unwrap()]);
        let mut core = Edge::new(self.config.clone(), seed, guard, self.now);
        let uplink = core.add_uplink(self.now);
        self.edges.push(Site {
            core,
            node: node.into(),
            uplink,
            online: false,
            wants: false,
            opened: Vec::new(),
            events: Vec::new(),
        });
        self.run();
        edge
    }

    // --- Time -----------------------------------------------------------------------------------

    /// Lets everything happen that can happen now, and looks the rig over.
    pub fn run(&mut self) {
        self.drain();
        hold_to_contract(&mut self.pop, self.now);
        for site in &mut self.edges {
            hold_to_contract(&mut site.core, self.now);
        }
        if self.every_run_is_audited {
            self.audit();
        }
    }

    fn drain(&mut self) {
        loop {
            let mut moved = self.deliver();
            self.pop.settle(self.now);
            for site in &mut self.edges {
                site.core.settle(self.now);
            }
            moved |= self.drain_events();
            moved |= self.transmit();
            // Whatever an endpoint was asked last may have woken somebody.
            moved |= self.drain_events();
            if !moved {
                break;
            }
        }
    }

    /// Audits every endpoint.
    pub fn audit(&self) {
        self.pop.audit();
        for site in &self.edges {
            site.core.audit();
        }
    }

    /// Lets time pass, deadline by deadline.
    pub fn wait(&mut self, duration: Duration) {
        self.run();
        let end = self.now + duration;
        let mut steps = 0;
        loop {
            let edges = self
                .edges
                .iter()
                .filter_map(|site| Some(site.core.poll_timeout()?.at));
            let pop = self.pop.poll_timeout().map(|due| due.at);
            let next = edges.chain(pop).min();
            self.now = next.unwrap_or(end).clamp(self.now, end);
            self.pop.handle_timeout(self.now);
            for site in &mut self.edges {
                site.core.handle_timeout(self.now);
            }
            self.run();
            steps += 1;
            assert!(steps < 100_000, "time stands still at {:?}", self.now);
            if self.now == end {
                return;
            }
        }
    }

    // --- Carriers -------------------------------------------------------------------------------

    /// Returns the latest carrier of an edge.
    pub fn link(&self, edge: usize) -> usize {
        self.links
            .iter()
            .rposition(|link| link.edge == edge)
            .unwrap()
    }

    /// Opens a carrier whose edge end is played by the test.
    pub fn raw_edge(&mut self, node: &str) -> usize {
        let nonce = self.pop.nonce();
        self.raw_edge_with(node, nonce)
    }

    pub fn raw_edge_with(&mut self, node: &str, nonce: [u8; 16]) -> usize {
        let pop = self
            .pop
            .handle_carrier(self.now, node, nonce, self.encrypted);
        self.links.push(Link::new(usize::MAX, Some(pop), None));
        self.links.len() - 1
    }

    /// Lets an edge come that the test plays: it has greeted and has its tunnel.
    pub fn played_edge(&mut self, node: &str, greeting: wire::Hello) -> usize {
        let link = self.raw_edge(node);
        self.inject(link, ToPop, Frame::Hello(greeting));
        self.inject(link, ToPop, Frame::Ack { received: 0 });
        link
    }

    /// Has an edge that the test plays answer: the session is connected and takes so many bytes.
    pub fn played_answer(&mut self, link: usize, session: u64, upload_limit: u64) {
        let reply = wire::Reply {
            upload_limit,
            ..wire::Reply::default()
        };
        self.inject(link, ToPop, Frame::Reply { session, reply });
    }

    /// Opens a carrier of an edge whose POP end is played by the test.
    pub fn raw_pop(&mut self, edge: usize) -> usize {
        let site = &mut self.edges[edge];
        assert!(core::mem::take(&mut site.wants), "the edge wants a carrier");
        let carrier = site
            .core
            .handle_connected(self.now, site.uplink, [9; 16], self.encrypted);
        self.links.push(Link::new(edge, None, carrier));
        self.run();
        self.links.len() - 1
    }

    /// Connects an edge that waits for it, under any node's name.
    pub fn connect_as(&mut self, edge: usize, node: &str) -> usize {
        let nonce = self.pop.nonce();
        let site = &mut self.edges[edge];
        assert!(core::mem::take(&mut site.wants), "the edge wants a carrier");
        let pop = self
            .pop
            .handle_carrier(self.now, node, nonce, self.encrypted);
        let from = u8::try_from(edge).unwrap_or(u8::MAX);
        self.pop.observe(pop, IpAddr::from([192, 0, 2, from]));
        let at_edge = site
            .core
            .handle_connected(self.now, site.uplink, nonce, self.encrypted);
        self.links.push(Link::new(edge, Some(pop), at_edge));
        self.links.len() - 1
    }

    /// Ends a carrier: what is on its way is lost, and both ends learn of it.
    pub fn cut(&mut self, link: usize) {
        self.cut_end(link, ToPop);
        self.cut_end(link, ToEdge);
        self.run();
    }

    /// Ends a carrier for one end; the other hears nothing any more.
    pub fn cut_end(&mut self, link: usize, end: Way) {
        let state = &mut self.links[link];
        state.to_pop.items.clear();
        state.to_edge.items.clear();
        match end {
            ToPop => {
                if let Some(id) = state.pop.take() {
                    self.pop.handle_carrier_closed(self.now, id, Code::Reset);
                }
            }
            ToEdge => {
                if let Some(id) = state.at_edge.take() {
                    self.edges[state.edge]
                        .core
                        .handle_carrier_closed(self.now, id, Code::Reset);
                }
            }
        }
    }

    /// Takes an edge off the net: its carrier is cut and no new one comes.
    pub fn unplug(&mut self, edge: usize) {
        self.edges[edge].online = false;
        self.cut(self.link(edge));
    }

    /// Lets an edge connect again.
    pub fn plug_in(&mut self, edge: usize) {
        self.edges[edge].online = true;
        self.run();
    }

    /// Hands a frame to one end of a carrier as if the other had sent it.
    pub fn inject(&mut self, link: usize, way: Way, frame: Frame) {
        self.inject_raw(link, way, &encode(frame));
    }

    pub fn inject_raw(&mut self, link: usize, way: Way, message: &Bytes) {
        let state = &self.links[link];
        match way {
            ToPop => self
                .pop
                .handle_message(self.now, state.pop.unwrap(), message),
            ToEdge => self.edges[state.edge].core.handle_message(
                self.now,
                state.at_edge.unwrap(),
                message,
            ),
        }
        self.run();
    }

    // --- Sessions -------------------------------------------------------------------------------

    pub fn open(&mut self) -> SessionId {
        self.open_with(demand())
    }

    pub fn open_with(&mut self, open: Open) -> SessionId {
        let id = self.pop.open(self.now, open).unwrap();
        self.pop_sessions.push(id);
        self.run();
        id
    }

    /// Opens a session of user 1 and lets `edge`, the only one, connect it.
    pub fn connect(&mut self) -> (SessionId, SessionId) {
        self.connect_with(demand())
    }

    pub fn connect_with(&mut self, open: Open) -> (SessionId, SessionId) {
        let pop = self.open_with(open);
        let edge = self.edges[0].opened.pop().unwrap();
        self.dialled(0, edge, Ok(()));
        (pop, edge)
    }

    pub fn dialled(&mut self, edge: usize, id: SessionId, outcome: Result<(), Code>) {
        let outcome = outcome.map(|()| Dialled::default());
        let failed = outcome.is_err();
        let site = &mut self.edges[edge];
        site.core.dialled(self.now, id, outcome);
        if failed {
            let abort = titan_core::endpoint::CloseMode::Abort;
            site.core.close(self.now, id, Code::Cancelled, abort);
        }
        self.run();
    }

    /// Answers the latest dial wherever it is, and tells where that was.
    pub fn answer(&mut self, outcome: Result<(), Code>) -> usize {
        let edge = self
            .edges
            .iter()
            .position(|site| !site.opened.is_empty())
            .unwrap();
        let id = self.edges[edge].opened.pop().unwrap();
        self.dialled(edge, id, outcome);
        edge
    }

    /// The client sends.
    pub fn send_up(&mut self, id: SessionId, bytes: &[u8]) {
        self.pop.write(self.now, id, Bytes::copy_from_slice(bytes));
        self.run();
    }

    /// A target sends.
    pub fn send_down(&mut self, edge: usize, id: SessionId, bytes: &[u8]) {
        let bytes = Bytes::copy_from_slice(bytes);
        self.edges[edge].core.write(self.now, id, bytes);
        self.run();
    }

    /// The client takes everything that waits for it.
    pub fn read_down(&mut self, id: SessionId) -> Vec<u8> {
        let bytes = read(&mut self.pop, self.now, id);
        self.run();
        bytes
    }

    /// A target takes everything that waits for it.
    pub fn read_up(&mut self, edge: usize, id: SessionId) -> Vec<u8> {
        let bytes = read(&mut self.edges[edge].core, self.now, id);
        self.run();
        bytes
    }

    /// Moves what the first edge has, and lets the client take it before the turn is settled.
    pub fn take_in_turn(&mut self, id: SessionId) {
        let link = self.link(0);
        let (at_pop, at_edge) = (self.links[link].pop, self.links[link].at_edge);
        let mut batch = Batch::new(1 << 20);
        let edge = &mut self.edges[0].core;
        edge.poll_transmit(self.now, at_edge.unwrap(), &mut batch);
        for item in batch.drain() {
            if let Item::Frame(frame) = item {
                let message = message(frame.kind, frame.session, &frame.payload);
                self.pop.handle_message(self.now, at_pop.unwrap(), &message);
            }
        }
        let readable = self.pop.status(self.now, id).unwrap().readable;
        self.pop.release(self.now, id, readable);
        self.pop.settle(self.now);
    }

    pub fn ended(&mut self, id: SessionId) -> Option<Code> {
        self.pop.status(self.now, id).unwrap().ended
    }

    pub fn edge_ended(&mut self, edge: usize, id: SessionId) -> Option<Code> {
        self.edges[edge].core.status(self.now, id).unwrap().ended
    }

    // --- Looking --------------------------------------------------------------------------------

    pub fn count(&self, matches: impl Fn(&Frame) -> bool) -> usize {
        self.wire.iter().filter(|seen| matches(&seen.frame)).count()
    }

    /// Returns the payload bytes that went one way.
    pub fn data(&self, way: Way) -> Vec<u8> {
        let mut bytes = Vec::new();
        for seen in self.wire.iter().filter(|seen| seen.way == way) {
            if let Frame::Data { data, .. } = &seen.frame {
                bytes.extend_from_slice(data);
            }
        }
        bytes
    }

    pub fn byes(&self) -> Vec<(Code, u64)> {
        let mut byes = Vec::new();
        for seen in &self.wire {
            if let Frame::Bye(bye) = &seen.frame {
                byes.push((Code::from_wire(bye.code), bye.retry_after_ms));
            }
        }
        byes
    }

    /// Returns the latest HELLO that went one way.
    pub fn last_hello(&self, way: Way) -> wire::Hello {
        self.wire
            .iter()
            .rev()
            .filter(|seen| seen.way == way)
            .find_map(|seen| match &seen.frame {
                Frame::Hello(hello) => Some(hello.clone()),
                _ => None,
            })
            .unwrap()
    }

    pub fn tunnel_gone(&self) -> Option<Code> {
        self.events.iter().rev().find_map(|event| match event {
            Event::Role(PopEvent::NodeGone { code, .. }) => Some(*code),
            _ => None,
        })
    }
}

pub fn read<R: Role>(endpoint: &mut Endpoint<R>, now: Instant, id: SessionId) -> Vec<u8> {
    let bytes: Vec<u8> = endpoint.readable(id).flatten().copied().collect();
    endpoint.release(now, id, bytes.len());
    bytes
}

/// Holds a drained endpoint to the contract.
fn hold_to_contract<R: Role>(endpoint: &mut Endpoint<R>, now: Instant) {
    if let Some(due) = endpoint.poll_timeout() {
        assert!(due.at > now, "{due:?} is not in the future of {now:?}");
    }
    assert_eq!(endpoint.poll_woken(), None);
    assert!(endpoint.poll_event().is_none());
}

//! What only a POP does: it admits nodes, opens sessions, chooses exits and tries others.

mod account;
mod audit;
mod away;
mod bars;
mod clock;
mod desk;
mod entry;
mod failover;
mod greet;
mod group;
mod meter;
mod node;
mod part;
mod serve;
mod sticky;

use super::engine::Engine;
use super::role::{Duties, Role};
use super::{Endpoint, PopEvent, PopTimer};
use crate::account::Rates;
use crate::arena::{CarrierId, SessionId, TunnelId};
use crate::config::Config;
use crate::endpoint::report::{SessionReport, Whose};
use crate::exit::index::{Country, Demand, ExitKey, ExitState, Index, Verdict};
use crate::exit::lease::{Leases, Sticky};
use crate::mark::{self, Mark};
use crate::memory::{MemoryLevel, User};
use crate::rng::Rng;
use crate::session::early::Early;
use crate::session::{Limits, Payer, Session};
use crate::target::{Host, Target, to_octets};
use crate::time::{Duration, Instant};
use crate::timer::Armed;
use crate::trace::TraceId;
use crate::tunnel::Tunnel;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bars::Bars;
use bytes::Bytes;
use clock::DialClock;
use core::net::IpAddr;
use desk::{Guest, PopDesk};
use entry::NodeEntry;
use node::{Node, Taking};
use part::{Exits, Grip, PopAttempt, PopFlow};
use titan_proto::{Code, Frame, Party, wire};

/// The POP's part of an [`Endpoint`].
#[derive(Debug)]
pub struct PopRole {
    nodes: BTreeMap<Box<str>, NodeEntry>,
    by_wire: BTreeMap<u64, TunnelId>,
    index: Index,
    rng: Rng,
    /// What sessions are named by. Apart from the others, so that no name shifts a choice.
    traces: Rng,
    resume_address: String,
    leases: Leases,
    lease_timer: Armed,
    bars: Bars,
    node_rates: Rates,
}

/// What a client asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Open {
    /// Where to.
    pub target: Target,
    /// The POP's small number of the user; a user's sessions share turns.
    pub group: u32,
    /// The group's share of turns, 1 to 16.
    pub weight: u32,
    /// The family of addresses to use.
    pub family: wire::create::Family,
    /// The country the exit must be in.
    pub country: Option<Country>,
    /// The session stays with its exit whatever the target answers.
    pub strict: bool,
    /// The session goes where others of its owner and name go, whatever its target answers.
    pub sticky: Option<Sticky>,
    /// Follows the session through logs of POP and edge; see [`Endpoint::trace`].
    pub trace: TraceId,
}

/// A node with a live tunnel, for lists.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeView<'a> {
    /// The node's id.
    pub node: &'a str,
    /// Its tunnel.
    pub tunnel: TunnelId,
    /// It has a carrier.
    pub attached: bool,
    /// Smoothed round trip time.
    pub rtt: Option<Duration>,
    /// Places taken: sessions on it, and CREATEs that were given up and are not answered.
    pub sessions: usize,
}

impl Endpoint<PopRole> {
    /// Creates a POP without nodes. `resume_address` is where exactly this process can be reached;
    /// empty if that is where nodes connect anyway.
    #[must_use]
    pub fn new(config: Config, seed: [u8; 32], resume_address: String, now: Instant) -> Self {
        let leases = Leases::new(config.lease_idle, config.leases_max);
        let mut engine = Engine::new(config, seed);
        let rng = Rng::new(engine.rng.bytes());
        let traces = Rng::new(seed.map(|byte| !byte));
        let role = PopRole {
            nodes: BTreeMap::new(),
            by_wire: BTreeMap::new(),
            index: Index::new(),
            rng,
            traces,
            resume_address,
            leases,
            lease_timer: None,
            bars: Bars::new(),
            node_rates: Rates::default(),
        };
        Self { engine, role, now }
    }

    /// Takes a carrier whose token names `node`. `nonce` is the one its upgrade was answered with;
    /// `encrypted` tells whether its bytes cannot be read on the way.
    pub fn handle_carrier(
        &mut self,
        now: Instant,
        node: &str,
        nonce: [u8; 16],
        encrypted: bool,
    ) -> CarrierId {
        let now = self.enter(now);
        let guest = Guest {
            node: node.into(),
            address: None,
        };
        self.engine.add_carrier(now, guest, nonce, encrypted)
    }

    /// Notes where a carrier comes from, for the reports of its node's sessions; to be called before what
    /// was received on it is handed in.
    pub fn observe(&mut self, carrier: CarrierId, address: IpAddr) {
        if let Some(carrier) = self.engine.carriers.get_mut(carrier) {
            carrier.caller_mut().address = Some(address);
        }
    }

    /// Makes a name for a session that is to be opened: random, so that no two POPs make the same, and the
    /// same again for the same seed.
    pub fn trace(&mut self) -> TraceId {
        TraceId::new(self.role.traces.bytes())
    }

    /// Opens a session through the best exit. CREATE and the first bytes leave at once.
    ///
    /// # Errors
    /// [`Code::NoExit`] if no exit matches, [`Code::Overloaded`] if [memory is short](Self::short_of_memory), if
    /// every exit has as many sessions as it may, or if the group has as many dials under way as it may,
    /// [`Code::ShuttingDown`] if this POP drains, and the code the group was [shut](Self::exhaust)
    /// with. For sticky sessions also [`Code::ExitAway`] if the name is bound to a node that is gone
    /// and the session is strict, and [`Code::Overloaded`] if the owner may hold no more leases.
    pub fn open(&mut self, now: Instant, open: Open) -> Result<SessionId, Code> {
        let now = self.enter(now);
        if self.engine.is_leaving() {
            return Err(Code::ShuttingDown);
        }
        if self.short_of_memory(open.group).is_some() {
            mark::hit(Mark::OpenOverloaded);
            return Err(Code::Overloaded);
        }
        let demand = Demand {
            country: open.country,
            exclude: [None; 3],
        };
        if let Some(code) = self.engine.desk.groups.bar_of(open.group) {
            return Err(code);
        }
        let (tunnel, grip) = match &open.sticky {
            None => {
                let tunnel = self.role.choose(&self.engine, now, open.group, demand);
                (tunnel?, None)
            }
            Some(sticky) => {
                let engine = &self.engine;
                let leased = self.role.lease(engine, now, sticky, open.group, &demand);
                self.role.arm_leases(&mut self.engine, now);
                let (tunnel, grip) = leased?;
                (tunnel, Some(Box::new(grip)))
            }
        };
        let id = self.engine.open(now, open, grip);
        self.role.place(&mut self.engine, now, id, tunnel);
        self.engine.counters.opened += 1;
        self.leave(now);
        Ok(id)
    }

    /// Tells whether a group may open no session for want of memory, and whose that is: this POP's, or the
    /// group's share of it.
    #[must_use]
    pub fn short_of_memory(&self, group: u32) -> Option<Whose> {
        if self.engine.level() >= MemoryLevel::Refusing {
            return Some(Whose::Pop);
        }
        self.engine.memory.bars(own(group)).then_some(Whose::User)
    }

    /// Returns the edge's reply to the session, once there is one.
    #[must_use]
    pub fn reply(&self, session: SessionId) -> Option<&wire::Reply> {
        self.engine.sessions.get(session)?.flow().reply.as_deref()
    }

    /// Returns what would be told of a session if it were over now; `code` is why, unless it has ended. For
    /// a driver that goes away before its sessions.
    #[must_use]
    pub fn report(&self, id: SessionId, code: Code) -> Option<SessionReport> {
        let session = self.engine.sessions.get(id)?;
        let code = session.ended().unwrap_or(code);
        Some(session.flow().report(id, session.group(), code))
    }

    /// Returns the node a session runs over.
    #[must_use]
    pub fn node_of(&self, session: SessionId) -> Option<&str> {
        let tunnel = self.engine.sessions.get(session)?.tunnel()?;
        self.node(tunnel)
    }

    /// Returns the node of a tunnel.
    #[must_use]
    pub fn node(&self, tunnel: TunnelId) -> Option<&str> {
        Some(self.engine.tunnels.get(tunnel)?.peer().name())
    }

    /// Tells whether a node has a tunnel, attached or not.
    #[must_use]
    pub fn has_node(&self, node: &str) -> bool {
        self.role
            .nodes
            .get(node)
            .is_some_and(|entry| entry.has_tunnel())
    }

    /// Returns every node with a live tunnel. O(tunnels).
    #[must_use]
    pub fn nodes(&self) -> Vec<NodeView<'_>> {
        let tunnels = self.engine.tunnels.iter();
        tunnels
            .filter(|(_, tunnel)| tunnel.peer().is_confirmed())
            .map(|(id, tunnel)| NodeView {
                node: tunnel.peer().name(),
                tunnel: id,
                attached: tunnel.carrier().is_some(),
                rtt: tunnel.rtt().smoothed(),
                sessions: tunnel.session_count(),
            })
            .collect()
    }

    /// Tells why each exit would or would not be chosen (requirement B7). O(exits).
    #[must_use]
    pub fn explain(&self, now: Instant, country: Option<Country>) -> Vec<Verdict> {
        self.role.index.explain(
            now,
            &Demand {
                country,
                exclude: [None; 3],
            },
        )
    }
}

impl Engine<PopDesk> {
    /// Makes a session that has no tunnel yet.
    fn open(&mut self, now: Instant, open: Open, grip: Option<Box<Grip>>) -> SessionId {
        let trace = Bytes::copy_from_slice(open.trace.as_bytes());
        let create = wire::Create {
            kind: wire::create::Kind::Tcp as i32,
            target: Some(to_wire(&open.target)),
            family: open.family as i32,
            dial_timeout_ms: u32::try_from(self.config.dial_timeout.as_millis())
                .unwrap_or(u32::MAX),
            group: open.group,
            weight: open.weight,
            download_limit: 0,
            trace_id: trace,
        };
        let payer = Payer {
            group: open.group,
            weight: open.weight,
            user: self.memory.join(own(open.group)),
        };
        let window = self.initial_window(payer.user);
        let limits = Limits {
            send: 0,
            recv: window,
            window,
        };
        let attempt = PopAttempt {
            create,
            country: open.country,
            strict: open.strict,
            exits: Exits::default(),
            early: Early::default(),
            clock: DialClock::new(now, &self.config),
            refused: false,
            verdict: None,
        };
        let flow = PopFlow {
            grip,
            trace: open.trace,
            ..PopFlow::default()
        };
        let session = Session::opened(now, payer, limits, attempt, flow);
        let id = self.sessions.insert(session);
        self.desk.groups.join(id, open.group);
        id
    }

    /// Returns how many sessions an exit takes.
    fn cap_of(&self, tunnel: &Tunnel<Node>) -> u32 {
        tunnel
            .peer()
            .sessions_max()
            .min(tunnel.limits().sessions_max)
            .min(self.config.sessions_max)
    }

    /// Returns what the index is to know of a tunnel.
    fn exit_of(&self, tunnel: &Tunnel<Node>) -> ExitState {
        let node = tunnel.peer();
        ExitState {
            rtt: tunnel.rtt().smoothed(),
            sessions: u32::try_from(tunnel.session_count()).unwrap_or(u32::MAX),
            session_cap: self.cap_of(tunnel),
            country: None,
            attached: tunnel.carrier().is_some() && node.is_confirmed(),
            accepting: node.taking() == Taking::Sessions,
            draining: node.taking() == Taking::Leave || node.is_leaving(),
            blacklisted: false,
        }
    }

    /// Tells whether a group may have another dial on a tunnel.
    fn may_dial(&self, id: TunnelId, group: u32) -> bool {
        let tunnel = self.tunnels.get(id);
        tunnel.is_some_and(|tunnel| tunnel.may_dial(group, self.cap_of(tunnel) as usize))
    }
}

impl PopRole {
    /// Chooses a tunnel on which the group may have another dial, and counts a session on it.
    fn choose(
        &mut self,
        engine: &Engine<PopDesk>,
        now: Instant,
        group: u32,
        mut demand: Demand,
    ) -> Result<TunnelId, Code> {
        // Nobody knows of which countries those are that are full.
        let mut full = demand.country.is_none() && self.index.has_full();
        loop {
            let Some(choice) = self.index.choose(now, &demand, &mut self.rng) else {
                return Err(if full { Code::Overloaded } else { Code::NoExit });
            };
            let id = engine.tunnels.key_at(choice.key.0).ok_or(Code::NoExit)?;
            if engine.may_dial(id, group) {
                return Ok(id);
            }
            mark::hit(Mark::DialShare);
            full = true;
            self.index.session_closed(now, choice.key);
            let next = demand.exclude.iter_mut().find(|slot| slot.is_none());
            *next.ok_or(Code::Overloaded)? = Some(choice.key);
        }
    }

    /// Puts a session on a tunnel, as if it had never been on another.
    fn place(
        &self,
        engine: &mut Engine<PopDesk>,
        now: Instant,
        id: SessionId,
        tunnel_id: TunnelId,
    ) {
        let early_max = engine.config.early_max;
        let Some(user) = engine.sessions.get(id).map(Session::user) else {
            return;
        };
        let window = engine.initial_window(user);
        let Some(tunnel) = engine.tunnels.get_mut(tunnel_id) else {
            return;
        };
        let Some(session) = engine.sessions.get_mut(id) else {
            return;
        };
        let Some(attempt) = session.attempt_mut() else {
            return;
        };
        attempt.exits.push(key_of(tunnel_id));
        // An exit that is away is waited for as long as a dial may take in all.
        attempt.clock.queue(now, tunnel.carrier().is_some());
        let limits = Limits {
            send: tunnel.limits().early_max.min(early_max),
            recv: window,
            window,
        };
        session.flow_mut().exit = Some(Arc::clone(tunnel.peer().exit()));
        session.place_on(now, id, (tunnel_id, tunnel), limits);
        engine.follow(now, id);
    }

    /// Brings the index up to what is known of a tunnel.
    fn refresh(&mut self, engine: &Engine<PopDesk>, now: Instant, id: TunnelId) {
        let Some(tunnel) = engine.tunnels.get(id) else {
            return;
        };
        let known = engine.exit_of(tunnel);
        self.index.update(now, key_of(id), |state| {
            // Those that were chosen count at once, and leave when the engine says so.
            let sessions = state.sessions;
            *state = ExitState { sessions, ..known };
        });
    }

    fn status(
        &mut self,
        engine: &mut Engine<PopDesk>,
        now: Instant,
        id: TunnelId,
        status: &wire::Status,
    ) {
        if !status.accepting {
            mark::hit(Mark::NotAccepting);
        }
        if let Some(tunnel) = engine.tunnels.get_mut(id) {
            tunnel.peer_mut().report(status);
        }
        self.refresh(engine, now, id);
    }
}

impl Role for PopRole {
    type Event = PopEvent;
    type Timer = PopTimer;
}

impl Duties for PopRole {
    const PEER: Party = Party::Edge;

    type Desk = PopDesk;

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the table of frames says which come here"
    )]
    fn frame(
        &mut self,
        engine: &mut Engine<PopDesk>,
        now: Instant,
        carrier: CarrierId,
        frame: Frame,
    ) -> Result<(), Code> {
        match frame {
            Frame::Hello(hello) => self.greet(engine, now, carrier, &hello),
            Frame::Reply { session, reply } => {
                let tunnel = engine.tunnel_on(carrier).ok_or(Code::Protocol)?;
                self.replied(engine, now, tunnel, session, reply)?;
            }
            Frame::Status(status) => {
                let tunnel = engine.tunnel_on(carrier).ok_or(Code::Protocol)?;
                self.status(engine, now, tunnel, &status);
            }
            Frame::Bye(bye) => {
                let code = Code::from_wire(bye.code);
                match engine.tunnel_on(carrier) {
                    Some(tunnel) if !code.is_of_carrier() => {
                        engine.end_tunnel(now, tunnel, code, Duration::ZERO);
                    }
                    _ => engine.dismiss(now, carrier, code, Duration::ZERO),
                }
            }
            _ => return Err(Code::Protocol),
        }
        Ok(())
    }

    fn confirmed(&mut self, engine: &mut Engine<PopDesk>, now: Instant, tunnel: TunnelId) {
        self.confirm(engine, now, tunnel);
        Self::let_leave(engine, now, tunnel);
    }

    fn measured(&mut self, engine: &mut Engine<PopDesk>, now: Instant, tunnel: TunnelId) {
        self.refresh(engine, now, tunnel);
    }

    fn dial_overdue(&mut self, engine: &mut Engine<PopDesk>, now: Instant, session: SessionId) {
        self.give_up_exit(engine, now, session);
    }

    fn overdue(&mut self, engine: &mut Engine<PopDesk>, now: Instant, timer: PopTimer) {
        match timer {
            PopTimer::Group(group) => engine.expire_group(now, group),
            PopTimer::Leases => self.expire_leases(engine, now),
            PopTimer::Bars => {
                self.bars.expire(now);
                self.bars.arm(&mut engine.agenda.timers, now);
            }
        }
    }

    fn follow_up(&mut self, engine: &mut Engine<PopDesk>, now: Instant) {
        loop {
            self.release_leases(engine, now);
            for tunnel in core::mem::take(&mut engine.desk.left) {
                if engine.tunnels.get(tunnel).is_some() {
                    self.index.session_closed(now, key_of(tunnel));
                    Self::let_leave(engine, now, tunnel);
                }
            }
            if let Some(lost) = engine.lost.pop_front() {
                if let Some(tunnel) = lost.tunnel {
                    self.detached(engine, now, tunnel, lost.code);
                }
            } else if let Some((id, tunnel, code)) = engine.gone.pop_front() {
                self.tunnel_gone(engine, id, &tunnel, code);
            } else if let Some((session, code)) = engine.desk.orphaned.pop_front() {
                self.orphaned(engine, now, session, code);
            } else if !engine.desk.has_mail() {
                return;
            }
        }
    }

    fn audit(&self, engine: &Engine<PopDesk>, now: Instant) {
        engine.audit_groups(now);
        self.audit_leases(engine, now);
        self.audit_places(engine, now);
        self.bars.audit(now);
    }

    fn timers(&self, engine: &Engine<PopDesk>) -> impl Iterator<Item = (Armed, PopTimer)> {
        let leases = core::iter::once((self.lease_timer, PopTimer::Leases));
        let bars = core::iter::once((self.bars.timer(), PopTimer::Bars));
        leases.chain(bars).chain(engine.desk.groups.timers())
    }

    fn lease_count(&self) -> usize {
        self.leases.len()
    }

    fn group_count(&self, engine: &Engine<PopDesk>) -> usize {
        engine.desk.groups.len()
    }
}

/// A POP numbers its users itself.
const fn own(group: u32) -> User {
    User { owner: 0, group }
}

const fn key_of(tunnel: TunnelId) -> ExitKey {
    ExitKey(tunnel.index_number())
}

fn to_wire(target: &Target) -> wire::Target {
    let (ip, name) = match &target.host {
        Host::Ip(ip) => (to_octets(*ip), ""),
        Host::Name(name) => (Bytes::new(), &**name),
    };
    wire::Target {
        ip,
        name: name.into(),
        port: u32::from(target.port),
    }
}

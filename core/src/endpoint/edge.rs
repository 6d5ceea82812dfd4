//! What only an edge does: it keeps tunnels to POPs and dials what they ask for.

mod desk;
mod greet;
mod link;
mod order;
mod part;
mod reach;
mod uplink;

use super::engine::Engine;
use super::report::Whose;
use super::role::{Duties, Role};
use super::{EdgeEvent, EdgeTimer, Endpoint};
use crate::arena::{Arena, CarrierId, SessionId, TunnelId, UplinkId};
use crate::config::Config;
use crate::exit::candidate::{self, interleave};
use crate::exit::guard::{Guard, Network, OwnNetwork, canonical};
use crate::mark::{self, Mark};
use crate::memory::{MemoryLevel, User};
use crate::planted::{self, Planted};
use crate::session::{Limits, Payer, Session};
use crate::target::{Host, Target, from_octets, to_octets};
use crate::time::{Duration, Instant};
use crate::timer::Armed;
use crate::trace::TraceId;
use alloc::vec::Vec;
use core::net::IpAddr;
use desk::EdgeDesk;
use part::{EdgeAttempt, EdgeFlow};
use titan_proto::wire::create::{Family, Kind};
use titan_proto::{Code, Frame, Party, wire};
use uplink::Uplink;

/// The edge's part of an [`Endpoint`].
#[derive(Debug)]
pub struct EdgeRole {
    uplinks: Arena<UplinkId, Uplink>,
    guard: Guard,
    /// Tells this process from an earlier one of the same node.
    epoch: u64,
    attempt: u64,
    /// What POPs are told this edge takes on; with every carrier, since a lost one may have lost it.
    status: Option<wire::Status>,
}

/// What a driver has to dial.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DialRequest {
    /// Where to. A name is to be resolved here and its addresses to be judged by
    /// [`Edge::judge`](Endpoint::judge); an address has been judged.
    pub target: Target,
    /// The POP's number for the user it is for; zero is nobody's.
    pub group: u32,
    /// What the POP calls the session in its log.
    pub trace: TraceId,
    /// The family to use.
    pub family: Family,
    /// When resolving and dialling have to be done.
    pub deadline: Instant,
}

impl Endpoint<EdgeRole> {
    /// Creates an edge without uplinks that reaches what `guard` allows.
    #[must_use]
    pub fn new(config: Config, seed: [u8; 32], guard: Guard, now: Instant) -> Self {
        let mut engine = Engine::new(config, seed);
        let epoch = engine.rng.next_u64();
        let role = EdgeRole {
            uplinks: Arena::new(),
            guard,
            epoch,
            attempt: 0,
            status: None,
        };
        Self { engine, role, now }
    }

    /// Returns what an opened session is to be connected to; `None` if that no longer matters.
    #[must_use]
    pub fn dial_request(&self, id: SessionId) -> Option<DialRequest> {
        let session = self.engine.sessions.get(id)?;
        let attempt = session.attempt()?;
        Some(DialRequest {
            target: attempt.target.clone(),
            group: session.group(),
            trace: session.flow().trace,
            family: attempt.family,
            deadline: attempt.deadline,
        })
    }

    /// Judges what a name resolved to and puts it in the order of RFC 8305 section 4.
    ///
    /// # Errors
    /// [`Code::NotResolved`] if nothing of the asked family is left, [`Code::Forbidden`] if all of it
    /// is forbidden.
    pub fn judge(&self, family: Family, addresses: Vec<IpAddr>) -> Result<Vec<IpAddr>, Code> {
        let addresses = addresses
            .into_iter()
            .filter(|address| match family {
                Family::Any => true,
                Family::Ipv4 => address.is_ipv4(),
                Family::Ipv6 => address.is_ipv6(),
            })
            .collect();
        Ok(interleave(
            self.role.guard.filter(addresses)?,
            candidate::Family::V6,
        ))
    }

    /// Takes what the host tells of the networks it is on: nothing there is dialled from now on. Connections
    /// that stand are left alone.
    pub fn handle_own_network(&mut self, now: Instant, own: &OwnNetwork) {
        self.enter(now);
        self.role.guard.set_own(own);
    }

    /// Returns the networks that are forbidden because the host is on them: sorted, none within another.
    #[must_use]
    pub fn own_networks(&self) -> &[Network] {
        self.role.guard.own_networks()
    }

    /// Tells whether an address may be dialled now. A driver asks before each attempt, because what the host
    /// is on may have changed since the address was judged.
    #[must_use]
    pub fn may_dial(&self, address: IpAddr) -> bool {
        self.role.guard.check(address).is_ok()
    }

    /// Reports how the dial of an opened session went. The reply is queued before this returns, so
    /// the driver may write to the target as soon as it has reported success, and no sooner
    /// (invariant I7).
    pub fn dialled(&mut self, now: Instant, id: SessionId, outcome: Result<Dialled, Code>) {
        let now = self.enter(now);
        let user = self.engine.sessions.get(id).map(Session::user);
        let window = user.map_or(0, |user| self.engine.initial_window(user));
        let deadline = self.engine.rest_deadline(now);
        self.engine.change(now, id, |session| {
            if !session.is_dialling() {
                return;
            }
            match outcome {
                Ok(dialled) => session.connect(now, window, dialled.into_reply()),
                // A reply of `ok` would say the contrary.
                Err(Code::Ok) => session.refuse(Code::Internal, deadline),
                Err(code) => session.refuse(code, deadline),
            }
        });
        self.leave(now);
    }

    /// Takes on no session any more and tells every POP; uplinks go with their tunnels.
    /// [`Event::Drained`](crate::endpoint::Event::Drained) follows when the last session is over and its
    /// POP knows.
    pub fn drain(&mut self, now: Instant) {
        let now = self.enter(now);
        if self.engine.begin_drain() {
            let status = wire::Status {
                accepting: false,
                sessions_max: self.engine.config.sessions_max,
                reason: Code::ShuttingDown.wire(),
                until_ms: 0,
            };
            self.role.announce(&mut self.engine, status);
            self.role.retire_all(&mut self.engine, now);
        }
        self.leave(now);
    }

    /// Tells every POP how much this edge takes on, now and whenever one is connected.
    pub fn set_status(&mut self, now: Instant, status: &wire::Status) {
        let now = self.enter(now);
        self.role.announce(&mut self.engine, *status);
        self.leave(now);
    }
}

/// How a successful dial went.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Dialled {
    /// The address that was connected, first.
    pub addresses: Vec<IpAddr>,
    /// Time spent on the name.
    pub resolve: Duration,
    /// Time spent on connecting.
    pub dial: Duration,
}

impl Dialled {
    fn into_reply(self) -> wire::Reply {
        wire::Reply {
            code: Code::Ok.wire(),
            addresses: self.addresses.into_iter().map(to_octets).collect(),
            resolve_ms: millis(self.resolve),
            dial_ms: millis(self.dial),
            upload_limit: 0,
        }
    }
}

impl EdgeRole {
    /// Has every POP told, now and with every carrier to come.
    pub(super) fn announce(&mut self, engine: &mut Engine<EdgeDesk>, status: wire::Status) {
        self.status = Some(status);
        for id in engine.tunnels.keys() {
            engine.change_tunnel(id, |tunnel| tunnel.tell_peer().report(status));
        }
    }

    fn create(
        &self,
        engine: &mut Engine<EdgeDesk>,
        now: Instant,
        tunnel_id: TunnelId,
        number: u64,
        create: wire::Create,
    ) -> Result<(), Code> {
        let early_max = engine.config.early_max;
        let sessions_max = engine.config.sessions_max as usize;
        let Some(tunnel) = engine.tunnels.get_mut(tunnel_id) else {
            return Ok(());
        };
        if !tunnel.accept(number) {
            return Err(Code::Protocol);
        }
        if tunnel.unanswered() >= sessions_max.saturating_mul(2).saturating_add(REPLIES_MAX) {
            return Err(Code::ExitLimit);
        }
        let count = engine.desk.taken_on;
        let full = count >= sessions_max && !planted::on(Planted::SessionCapIgnored);
        let user = tunnel.peer().user(create.group);
        let target = from_wire(create.target.as_ref());
        let beyond = engine.memory.bars(user) && engine.level() < MemoryLevel::Refusing;
        let verdict = self.judge(engine, (full, user), &target, &create);
        let latest = now + engine.config.dial_timeout;
        let attempt = attempt(now, &create, target, latest);
        let payer = Payer {
            group: create.group,
            weight: create.weight,
            user: engine.memory.join(user),
        };
        let limits = Limits {
            send: create.download_limit,
            recv: early_max,
            window: early_max,
        };
        let trace = TraceId::from_wire(&create.trace_id);
        let counts = verdict.is_ok();
        engine.desk.taken_on += usize::from(counts);
        let flow = EdgeFlow { trace, counts };
        let mut session = Session::opened(now, payer, limits, attempt, flow);
        session = session.created(tunnel_id, number);
        if verdict.is_err() {
            session = session.without_driver();
        }
        let id = engine.sessions.insert(session);
        if let Some(tunnel) = engine.tunnels.get_mut(tunnel_id) {
            tunnel.admit(number, create.group, id);
        }
        engine.counters.opened += 1;
        match verdict {
            Ok(()) => engine.agenda.tell(EdgeEvent::Opened { session: id }),
            Err(code) => {
                engine.agenda.tell(EdgeEvent::Denied {
                    trace,
                    group: create.group,
                    code,
                    whose: Some(Whose::User)
                        .filter(|_| beyond && code == Code::Overloaded)
                        .or_else(|| Whose::of(code)),
                });
                let deadline = engine.rest_deadline(now);
                engine.change(now, id, |session| session.refuse(code, deadline));
            }
        }
        Ok(())
    }

    /// Tells whether a session may be dialled.
    fn judge(
        &self,
        engine: &Engine<EdgeDesk>,
        (full, user): (bool, User),
        target: &Result<Target, Code>,
        create: &wire::Create,
    ) -> Result<(), Code> {
        if full {
            mark::hit(Mark::SessionCap);
        }
        let pressed = engine.level() >= MemoryLevel::Refusing;
        if pressed {
            mark::hit(Mark::CreateOverloaded);
        }
        let beyond = engine.memory.bars(user);
        if beyond {
            mark::hit(Mark::OpenBeyondShare);
        }
        match target {
            // Framed before its POP knew.
            _ if engine.is_leaving() => Err(Code::ShuttingDown),
            _ if full => Err(Code::ExitLimit),
            _ if Kind::try_from(create.kind) != Ok(Kind::Tcp) => Err(Code::CommandUnsupported),
            _ if Family::try_from(create.family).is_err() => Err(Code::AddressUnsupported),
            Err(code) => Err(*code),
            Ok(Target {
                host: Host::Ip(address),
                ..
            }) if self.guard.check(*address).is_err() => Err(Code::Forbidden),
            Ok(_) if pressed || beyond => Err(Code::Overloaded),
            Ok(_) => Ok(()),
        }
    }
}

/// Returns what is to be dialled, until `latest`.
fn attempt(
    now: Instant,
    create: &wire::Create,
    target: Result<Target, Code>,
    latest: Instant,
) -> EdgeAttempt {
    let timeout = Duration::from_millis(u64::from(create.dial_timeout_ms));
    EdgeAttempt {
        target: target.unwrap_or(NO_TARGET),
        // One that is not known is refused.
        family: Family::try_from(create.family).unwrap_or(Family::Any),
        deadline: (now + timeout).min(latest),
    }
}

/// CREATEs whose answer nobody takes, beyond twice the limit: a POP counts them, and one that opens more
/// does not mean to use them.
const REPLIES_MAX: usize = 1024;

/// Stands in a session that is refused before it is dialled.
const NO_TARGET: Target = Target {
    host: Host::Ip(IpAddr::V4(core::net::Ipv4Addr::UNSPECIFIED)),
    port: 0,
};

impl Role for EdgeRole {
    type Event = EdgeEvent;
    type Timer = EdgeTimer;
}

impl Duties for EdgeRole {
    const PEER: Party = Party::Pop;

    type Desk = EdgeDesk;

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the table of frames says which come here"
    )]
    fn frame(
        &mut self,
        engine: &mut Engine<EdgeDesk>,
        now: Instant,
        carrier: CarrierId,
        frame: Frame,
    ) -> Result<(), Code> {
        match frame {
            Frame::Hello(hello) => self.greeted(engine, now, carrier, &hello),
            Frame::Bye(bye) => {
                self.dismissed(engine, now, carrier, &bye);
                Ok(())
            }
            Frame::Create { session, create } => {
                let tunnel = engine.tunnel_on(carrier).ok_or(Code::Protocol)?;
                self.create(engine, now, tunnel, session, create)
            }
            Frame::Command(command) => {
                self.ordered(engine, now, carrier, command);
                Ok(())
            }
            _ => Err(Code::Protocol),
        }
    }

    fn confirmed(&mut self, _: &mut Engine<EdgeDesk>, _: Instant, _: TunnelId) {}

    fn measured(&mut self, _: &mut Engine<EdgeDesk>, _: Instant, _: TunnelId) {}

    fn dial_overdue(&mut self, engine: &mut Engine<EdgeDesk>, now: Instant, session: SessionId) {
        debug_assert!(false, "an edge's driver ends its dials");
        engine.reset(now, session, Code::TimedOut);
    }

    fn overdue(&mut self, engine: &mut Engine<EdgeDesk>, _: Instant, timer: EdgeTimer) {
        let EdgeTimer::Uplink(uplink) = timer;
        self.connect(engine, uplink);
    }

    fn follow_up(&mut self, engine: &mut Engine<EdgeDesk>, now: Instant) {
        loop {
            if let Some(lost) = engine.lost.pop_front() {
                self.carrier_lost(engine, now, &lost);
            } else if let Some((id, tunnel, _)) = engine.gone.pop_front() {
                self.tunnel_gone(engine, now, id, &tunnel);
            } else {
                return;
            }
        }
    }

    fn audit(&self, engine: &Engine<EdgeDesk>, _: Instant) {
        let sessions = engine.sessions.iter();
        let counted = sessions.filter(|(_, session)| session.flow().counts);
        assert_eq!(
            counted
                .filter(|(_, session)| session.tunnel().is_some())
                .count(),
            engine.desk.taken_on,
            "I10: sessions that the host has taken on"
        );
        for (id, tunnel) in engine.tunnels.iter() {
            // A session leaves behind its answer.
            assert_eq!(tunnel.abandoned(), 0, "I10: {id:?} answers");
        }
    }

    fn timers(&self, _: &Engine<EdgeDesk>) -> impl Iterator<Item = (Armed, EdgeTimer)> {
        let uplinks = self.uplinks.iter();
        uplinks.map(|(id, uplink)| (uplink.timer(), EdgeTimer::Uplink(id)))
    }
}

fn from_wire(target: Option<&wire::Target>) -> Result<Target, Code> {
    let target = target.ok_or(Code::AddressUnsupported)?;
    let port = u16::try_from(target.port).ok().filter(|&port| port != 0);
    let port = port.ok_or(Code::AddressUnsupported)?;
    let host = if target.name.is_empty() {
        let address = from_octets(&target.ip).ok_or(Code::AddressUnsupported)?;
        // What is dialled is what is judged.
        Host::Ip(canonical(address))
    } else {
        // Parsed again: what the POP calls a name must not be an address in disguise.
        match Host::parse(&target.name).map_err(|_| Code::NotResolved)? {
            Host::Ip(address) => Host::Ip(canonical(address)),
            Host::Name(name) => Host::Name(name),
        }
    };
    Ok(Target { host, port })
}

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

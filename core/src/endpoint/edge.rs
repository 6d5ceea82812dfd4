//! What only an edge does: it keeps tunnels to POPs and dials what they ask for.

mod uplink;

use super::deadline::Overdue;
use super::engine::Engine;
use super::event::Event;
use super::{Endpoint, Role};
use crate::arena::{Arena, CarrierId, SessionId, TunnelId, UplinkId};
use crate::config::Config;
use crate::exit::candidate::{Family, interleave};
use crate::exit::guard::{Guard, canonical};
use crate::mark::{self, Mark};
use crate::memory::MemoryLevel;
use crate::planted::{self, Planted};
use crate::session::recv::RecvHalf;
use crate::session::send::SendHalf;
use crate::session::{CloseMode, Due, EdgeSide, Phase, Session, Side};
use crate::target::{Host, Target};
use crate::time::{Duration, Instant};
use alloc::boxed::Box;
use alloc::vec::Vec;
use bytes::Bytes;
use core::net::IpAddr;
use titan_proto::{Code, Frame, wire};
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
    /// The family to use.
    pub family: wire::create::Family,
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
        if session.phase != Phase::Dialling {
            return None;
        }
        let side = session.edge()?;
        Some(DialRequest {
            target: side.target.clone(),
            family: side.family,
            deadline: side.created_at + side.dial_timeout,
        })
    }

    /// Judges what a name resolved to and puts it in the order of RFC 8305 section 4.
    ///
    /// # Errors
    /// [`Code::NotResolved`] if nothing of the asked family is left, [`Code::Forbidden`] if all of it
    /// is forbidden.
    pub fn judge(
        &self,
        family: wire::create::Family,
        addresses: Vec<IpAddr>,
    ) -> Result<Vec<IpAddr>, Code> {
        let addresses = addresses
            .into_iter()
            .filter(|address| match family {
                wire::create::Family::Any => true,
                wire::create::Family::Ipv4 => address.is_ipv4(),
                wire::create::Family::Ipv6 => address.is_ipv6(),
            })
            .collect();
        Ok(interleave(self.role.guard.filter(addresses)?, Family::V6))
    }

    /// Reports how the dial of an opened session went. The reply is queued before this returns, so
    /// the driver may write to the target as soon as it has reported success, and no sooner
    /// (invariant I7).
    pub fn dialled(&mut self, now: Instant, id: SessionId, outcome: Result<Dialled, Code>) {
        let now = self.enter(now);
        let window = self.engine.initial_window();
        let Some(session) = self.engine.sessions.get_mut(id) else {
            return;
        };
        if session.phase != Phase::Dialling {
            return;
        }
        match outcome {
            Ok(dialled) => {
                session.phase = Phase::Open;
                session.moved_at = now;
                session.recv.window = window;
                // The early window was granted already.
                let limit = session.recv.limit.max(session.recv.released + window);
                session.recv.limit = limit;
                session.due.reply = Some(Box::new(wire::Reply {
                    code: Code::Ok.wire(),
                    addresses: dialled.addresses.into_iter().map(octets).collect(),
                    resolve_ms: millis(dialled.resolve),
                    dial_ms: millis(dialled.dial),
                    upload_limit: limit,
                }));
                self.engine.owe(id);
                self.engine.schedule(id);
                self.engine.rearm_idle(now, id);
                self.engine.wake(id);
            }
            // A reply of `ok` would say the contrary.
            Err(Code::Ok) => self.engine.refuse(now, id, Code::Internal),
            Err(code) => self.engine.refuse(now, id, code),
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

impl Engine {
    /// Answers a CREATE with a failure. The session is over once the reply is framed.
    fn refuse(&mut self, now: Instant, id: SessionId, code: Code) {
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        session.refuse(code);
        self.end(now, id, code, CloseMode::Abort);
        self.owe(id);
    }
}

impl Engine {
    /// Sends no faster on a tunnel than its POP wants, in bytes per second; zero is no limit.
    fn slow_down(&mut self, now: Instant, tunnel: Option<TunnelId>, rate: u64) {
        if let Some(id) = tunnel
            && let Some(tunnel) = self.tunnels.get_mut(id)
        {
            tunnel.limit_rate(now, rate);
            self.arm_tunnel(id);
            self.mark(id);
        }
    }
}

impl EdgeRole {
    /// Has every POP told, now and with every carrier to come.
    pub(super) fn announce(&mut self, engine: &mut Engine, status: wire::Status) {
        self.status = Some(status);
        for id in engine.tunnels.keys() {
            if let Some(tunnel) = engine.tunnels.get_mut(id) {
                tunnel.status = Some(status);
            }
            engine.mark(id);
        }
    }

    fn create(
        &self,
        engine: &mut Engine,
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
        if number <= tunnel.opened {
            return Err(Code::Protocol);
        }
        tunnel.opened = number;
        let full =
            tunnel.sessions.len() >= sessions_max && !planted::on(Planted::SessionCapIgnored);
        if tunnel.sessions.len() >= sessions_max.saturating_mul(2).saturating_add(REPLIES_MAX) {
            return Err(Code::ExitLimit);
        }
        let target = from_wire(create.target.as_ref());
        let verdict = match &target {
            // Framed before its POP knew.
            _ if engine.draining => Err(Code::ShuttingDown),
            _ if full => Err(Code::ExitLimit),
            _ if create.kind() != wire::create::Kind::Tcp => Err(Code::CommandUnsupported),
            Err(code) => Err(*code),
            Ok(Target {
                host: Host::Ip(address),
                ..
            }) => self.guard.check(*address).map_err(|_| Code::Forbidden),
            Ok(_) => Ok(()),
        };
        if full {
            mark::hit(Mark::SessionCap);
        }
        let pressed = engine.level() >= MemoryLevel::Refusing;
        let verdict = if pressed {
            mark::hit(Mark::CreateOverloaded);
            verdict.and(Err(Code::Overloaded))
        } else {
            verdict
        };
        let timeout = Duration::from_millis(u64::from(create.dial_timeout_ms));
        let dial_timeout = timeout.min(engine.config.dial_timeout);
        let Some(tunnel) = engine.tunnels.get_mut(tunnel_id) else {
            return Ok(());
        };
        let id = engine.sessions.insert(Session {
            tunnel: tunnel_id,
            number,
            mapped: true,
            group: create.group,
            weight: create.weight,
            phase: Phase::Dialling,
            send: SendHalf::new(create.download_limit),
            recv: RecvHalf::new(now, early_max, early_max),
            due: Due::default(),
            side: Side::Edge(Box::new(EdgeSide {
                target: target.unwrap_or(NO_TARGET),
                family: create.family(),
                dial_timeout,
                created_at: now,
            })),
            held_by_driver: verdict.is_ok(),
            in_control: false,
            in_scheduler: false,
            woken: false,
            starved: false,
            unsettled: false,
            moved_at: now,
            deadline: None,
            timer: None,
            charged: 0,
            held: 0,
            grown: 0,
        });
        tunnel.sessions.insert(number, id);
        engine.counters.opened += 1;
        match verdict {
            Ok(()) => engine.events.push_back(Event::Opened { session: id }),
            Err(code) => engine.refuse(now, id, code),
        }
        Ok(())
    }
}

/// Sessions that are over but for frames nobody takes, beyond twice the limit: a POP that opens more
/// does not mean to use them.
const REPLIES_MAX: usize = 1024;

/// Stands in a session that is refused before it is dialled.
const NO_TARGET: Target = Target {
    host: Host::Ip(IpAddr::V4(core::net::Ipv4Addr::UNSPECIFIED)),
    port: 0,
};

#[expect(
    private_interfaces,
    reason = "sealed: nothing outside can name the engine"
)]
impl Role for EdgeRole {
    fn frame(
        &mut self,
        engine: &mut Engine,
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
                let tunnel = engine.bearing(carrier).ok_or(Code::Protocol)?;
                self.create(engine, now, tunnel, session, create)
            }
            Frame::Command(command) => {
                if let Some(uplink) = self.uplink_of(engine, carrier) {
                    match command.action() {
                        wire::command::Action::Kick => self.kicked(engine, now, uplink, &command),
                        wire::command::Action::Rate => {
                            let tunnel = engine.bearing(carrier);
                            engine.slow_down(now, tunnel, command.download_rate);
                        }
                        // What there is to do is up to the driver.
                        wire::command::Action::None | wire::command::Action::Drain => {}
                    }
                    engine.events.push_back(Event::Command { uplink, command });
                }
                Ok(())
            }
            Frame::Reply { .. }
            | Frame::Data { .. }
            | Frame::HalfClose { .. }
            | Frame::Stop { .. }
            | Frame::Close { .. }
            | Frame::Credit { .. }
            | Frame::Udp { .. }
            | Frame::Ack { .. }
            | Frame::Status(_)
            | Frame::Unknown(_) => Err(Code::Protocol),
        }
    }

    fn confirmed(&mut self, _: &mut Engine, _: Instant, _: TunnelId) {}

    fn measured(&mut self, _: &mut Engine, _: Instant, _: TunnelId) {}

    fn overdue(&mut self, engine: &mut Engine, now: Instant, overdue: Overdue) {
        if let Overdue::Uplink(uplink) = overdue {
            self.connect(engine, now, uplink);
        }
    }

    fn audit(&self, _: &Engine) {}

    fn lease_count(&self) -> usize {
        0
    }

    fn follow_up(&mut self, engine: &mut Engine, now: Instant) {
        engine.left.clear();
        engine.orphaned.clear();
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
}

fn from_wire(target: Option<&wire::Target>) -> Result<Target, Code> {
    let target = target.ok_or(Code::AddressUnsupported)?;
    let port = u16::try_from(target.port).ok().filter(|&port| port != 0);
    let port = port.ok_or(Code::AddressUnsupported)?;
    let host = if target.name.is_empty() {
        let address = match *target.ip {
            [a, b, c, d] => Ok(IpAddr::from([a, b, c, d])),
            _ => <[u8; 16]>::try_from(&*target.ip).map(IpAddr::from),
        };
        // What is dialled is what is judged.
        Host::Ip(canonical(address.map_err(|_| Code::AddressUnsupported)?))
    } else {
        // Parsed again: what the POP calls a name must not be an address in disguise.
        match Host::parse(&target.name).map_err(|_| Code::NotResolved)? {
            Host::Ip(address) => Host::Ip(canonical(address)),
            Host::Name(name) => Host::Name(name),
        }
    };
    Ok(Target { host, port })
}

fn octets(address: IpAddr) -> Bytes {
    match address {
        IpAddr::V4(address) => Bytes::copy_from_slice(&address.octets()),
        IpAddr::V6(address) => Bytes::copy_from_slice(&address.octets()),
    }
}

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

//! What both roles share: carriers, tunnels, sessions, and the bookkeeping that ties them together.

use super::event::{Counters, Event};
use super::group::Groups;
use super::pop::sticky::Held;
use crate::arena::{Arena, CarrierId, SessionId, TunnelId};
use crate::carrier::{Carrier, CarrierState, Farewell, Peer};
use crate::config::{Config, STALL_AFTER};
use crate::mark::{self, Mark};
use crate::memory::{Memory, MemoryLevel};
use crate::planted::{self, Planted};
use crate::rng::Rng;
use crate::session::send::Fin;
use crate::session::{CloseMode, Phase, Session};
use crate::time::{Duration, Instant};
use crate::timer::{Armed, Timer, Timers};
use crate::tunnel::{AckState, Owner, Stall, Tunnel};
use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec::Vec;
use titan_proto::Code;

/// How long a carrier that says goodbye may take to send it.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) config: Config,
    pub(crate) rng: Rng,
    pub(crate) carriers: Arena<CarrierId, Carrier>,
    pub(crate) tunnels: Arena<TunnelId, Tunnel>,
    pub(crate) sessions: Arena<SessionId, Session>,
    pub(crate) timers: Timers,
    pub(crate) memory: Memory,
    pub(crate) memory_timer: Armed,
    pub(crate) events: VecDeque<Event>,
    pub(crate) ready: VecDeque<CarrierId>,
    pub(crate) woken: VecDeque<SessionId>,
    pub(crate) unsettled: Vec<SessionId>,
    /// Tunnels whose data waits until memory is less short, or for an acknowledgement.
    pub(crate) scarce: BTreeSet<TunnelId>,
    /// For the role: sessions that were dialling over what is gone.
    pub(crate) orphaned: VecDeque<(SessionId, Code)>,
    /// For the role: carriers that are gone.
    pub(crate) lost: VecDeque<Lost>,
    /// For the role: tunnels that have a session less.
    pub(crate) left: Vec<TunnelId>,
    /// For the role: tunnels that are gone.
    pub(crate) gone: VecDeque<(TunnelId, Tunnel, Code)>,
    pub(crate) counters: Counters,
    /// Tunnels with a session's frame that is not acknowledged.
    pub(crate) owing: usize,
    /// This side is going away.
    pub(crate) draining: bool,
    /// And the driver knows that nothing is left.
    pub(crate) drained: bool,
    /// This side has said goodbye.
    pub(crate) gone_for_good: bool,
    pub(crate) groups: Groups,
    /// For the role: holds on leases of sessions that are gone.
    pub(crate) unheld: Vec<Held>,
    pub(crate) lease_timer: Armed,
}

/// A carrier that is gone, or as good as gone.
#[derive(Debug)]
pub(crate) struct Lost {
    pub(crate) carrier: CarrierId,
    pub(crate) peer: Peer,
    /// The tunnel it bore, which still lives.
    pub(crate) tunnel: Option<TunnelId>,
    pub(crate) code: Code,
}

impl Engine {
    pub(crate) fn new(config: Config, seed: [u8; 32]) -> Self {
        let memory = Memory::new(config.memory_budget);
        Self {
            config,
            rng: Rng::new(seed),
            carriers: Arena::new(),
            tunnels: Arena::new(),
            sessions: Arena::new(),
            timers: Timers::default(),
            memory,
            memory_timer: None,
            events: VecDeque::new(),
            ready: VecDeque::new(),
            woken: VecDeque::new(),
            unsettled: Vec::new(),
            scarce: BTreeSet::new(),
            orphaned: VecDeque::new(),
            lost: VecDeque::new(),
            left: Vec::new(),
            gone: VecDeque::new(),
            counters: Counters::default(),
            owing: 0,
            draining: false,
            drained: false,
            gone_for_good: false,
            groups: Groups::default(),
            unheld: Vec::new(),
            lease_timer: None,
        }
    }

    // --- Telling the driver ---------------------------------------------------------------------

    pub(crate) fn wake(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        if session.held_by_driver && !session.woken {
            session.woken = true;
            self.woken.push_back(id);
        }
    }

    /// Puts the tunnel's carrier in the queue of those with output, if it has any.
    pub(crate) fn mark(&mut self, id: TunnelId) {
        let Some(tunnel) = self.tunnels.get(id) else {
            return;
        };
        if let Some(carrier) = tunnel.carrier
            && tunnel.has_output()
        {
            self.mark_carrier(carrier);
        }
    }

    pub(crate) fn mark_carrier(&mut self, id: CarrierId) {
        let Some(carrier) = self.carriers.get_mut(id) else {
            return;
        };
        if !carrier.ready {
            carrier.ready = true;
            self.ready.push_back(id);
        }
    }

    // --- Sessions ---------------------------------------------------------------------------------

    /// Gives a session its turn in the scheduler if it has something to send.
    pub(crate) fn schedule(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        let ready = session.due.create
            || (session.is_announced() && !session.is_ended() && session.send.is_ready());
        if session.in_scheduler || !ready || !session.mapped {
            return;
        }
        let Some(tunnel) = self.tunnels.get_mut(session.tunnel) else {
            return;
        };
        session.in_scheduler = true;
        tunnel.scheduler.push(session.group, session.weight, id);
        let tunnel = session.tunnel;
        self.mark(tunnel);
    }

    pub(crate) fn unschedule(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        if session.in_scheduler {
            session.in_scheduler = false;
            if let Some(tunnel) = self.tunnels.get_mut(session.tunnel) {
                tunnel.scheduler.remove(session.group, id);
            }
        }
    }

    /// Queues a session that owes control frames.
    pub(crate) fn owe(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        if session.in_control || !session.due.control() || !session.mapped {
            return;
        }
        if !session.is_announced() {
            // What is owed follows CREATE or reply.
            return;
        }
        let Some(tunnel) = self.tunnels.get_mut(session.tunnel) else {
            return;
        };
        session.in_control = true;
        tunnel.control.push_back(id);
        let tunnel = session.tunnel;
        self.mark(tunnel);
    }

    /// Brings the charges up to what the session holds now.
    pub(crate) fn recharge(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        let held = session.recv.queue.charge() as u64;
        let early = session.pop().map_or(0, |side| side.early.charge());
        let charge = held + session.send.queue.charge() as u64 + early;
        if charge != session.charged {
            self.memory.recharge(session.charged, charge);
            session.charged = charge;
        }
        if held != session.held {
            if let Some(tunnel) = self.tunnels.get_mut(session.tunnel) {
                tunnel.held = tunnel.held - session.held + held;
                let group = tunnel.held_by_group.entry(session.group).or_default();
                *group = *group - session.held + held;
                if *group == 0 {
                    tunnel.held_by_group.remove(&session.group);
                }
            }
            session.held = held;
        }
    }

    /// Draws the conclusions of whatever just changed about a session.
    pub(crate) fn advance(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        match session.phase {
            Phase::Dialling => {}
            Phase::Open => {
                if session.send.is_done() && session.recv.is_done() {
                    session.phase = Phase::Ended(Code::Ok);
                    session.due.credit = false;
                    session.due.stop = None;
                    self.wake(id);
                }
            }
            Phase::Closing(code) => {
                let away = self
                    .tunnels
                    .get(session.tunnel)
                    .is_some_and(|tunnel| tunnel.carrier.is_none());
                if away && planted::on(Planted::TailLostAtClose) {
                    session.send.clear();
                    self.recharge(id);
                }
                let Some(session) = self.sessions.get_mut(id) else {
                    return;
                };
                if session.send.queue.is_empty() {
                    session.phase = Phase::Ended(code);
                    session.due.close = Some((code, CloseMode::Drain));
                    session.due.create = false;
                    session.due.stop = None;
                    self.unschedule(id);
                    self.owe(id);
                }
            }
            Phase::Ended(_) => {}
        }
        self.let_go(id);
    }

    /// Frees what an ended session no longer needs: its number, then itself.
    fn let_go(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        if !session.is_ended() || session.due.any() {
            return;
        }
        self.unmap(id);
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        if session.held_by_driver {
            return;
        }
        session.recv.queue.clear();
        session.send.clear();
        if let Some(side) = session.pop_mut() {
            side.early.take();
        }
        let mut armed = session.timer.take();
        self.timers.arm(Timer::Session(id), &mut armed, None);
        self.recharge(id);
        let mut session = self.sessions.remove(id).expect("it was just there");
        self.leave_group(id, &session);
        let held = session.pop_mut().and_then(|side| side.held.take());
        self.unheld.extend(held.map(|held| *held));
        if session.phase == Phase::Ended(Code::Ok) || !planted::on(Planted::GrowthKept) {
            self.memory.growth -= session.grown;
        }
    }

    /// Takes the session's number off its tunnel.
    pub(crate) fn unmap(&mut self, id: SessionId) {
        self.unschedule(id);
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        if !session.mapped {
            return;
        }
        session.mapped = false;
        session.in_control = false;
        if let Some(tunnel) = self.tunnels.get_mut(session.tunnel) {
            tunnel.held -= session.held;
            if let Some(group) = tunnel.held_by_group.get_mut(&session.group) {
                *group -= session.held;
                if *group == 0 {
                    tunnel.held_by_group.remove(&session.group);
                }
            }
            if session.number == 0 {
                tunnel.unnumbered.remove(&id);
            } else {
                tunnel.sessions.remove(&session.number);
            }
            self.left.push(session.tunnel);
        }
        // The bytes that still wait are charged to the process alone.
        session.tunnel = NOWHERE;
    }

    /// Ends a session now. With `abort` nothing more leaves; otherwise what was received may.
    pub(crate) fn end(&mut self, now: Instant, id: SessionId, code: Code, mode: CloseMode) {
        let write_deadline = self.config.write_deadline;
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        // What ended well with bytes on their way to the socket has not ended well without them.
        let spoilt = mode == CloseMode::Abort && !session.recv.queue.is_empty();
        if !session.is_ended() || (session.phase == Phase::Ended(Code::Ok) && spoilt) {
            session.phase = Phase::Ended(code);
        }
        session.send.clear();
        if mode == CloseMode::Abort {
            session.recv.stop();
        }
        session.due.create = false;
        session.due.credit = false;
        session.due.stop = None;
        if let Some(side) = session.pop_mut() {
            side.early.take();
        }
        session.deadline = Some(now + write_deadline);
        self.arm_session(id, now + write_deadline);
        self.unschedule(id);
        self.recharge(id);
        self.wake(id);
        self.advance(id);
    }

    /// Ends a session for a reason of this side and tells the peer.
    pub(crate) fn reset(&mut self, now: Instant, id: SessionId, code: Code) {
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        if session.owes_reply() {
            session.refuse(code);
        } else if !session.is_ended() && session.is_announced() {
            session.due.close = Some((code, CloseMode::Abort));
        }
        self.end(now, id, code, CloseMode::Abort);
        self.owe(id);
    }

    pub(crate) fn arm_session(&mut self, id: SessionId, at: Instant) {
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        self.timers
            .arm_sooner(Timer::Session(id), &mut session.timer, at);
    }

    // --- Tunnels and carriers ------------------------------------------------------------------------

    pub(crate) fn add_carrier(
        &mut self,
        now: Instant,
        peer: Peer,
        nonce: [u8; 16],
        encrypted: bool,
    ) -> CarrierId {
        let id = self.carriers.insert(Carrier {
            state: CarrierState::Greeting,
            peer,
            nonce,
            encrypted,
            hello: None,
            received_at: now,
            pinged_at: None,
            ping_due: false,
            asked_at: None,
            ready: false,
            timer: None,
        });
        self.arm_carrier(id, now + self.config.hello_timeout);
        id
    }

    pub(crate) fn arm_carrier(&mut self, id: CarrierId, at: Instant) {
        let Some(carrier) = self.carriers.get_mut(id) else {
            return;
        };
        self.timers
            .arm(Timer::Carrier(id), &mut carrier.timer, Some(at));
    }

    /// Lets `carrier` bear `tunnel`; whatever bore it is stopped for good.
    pub(crate) fn attach(&mut self, now: Instant, id: TunnelId, carrier: CarrierId) {
        let Some(tunnel) = self.tunnels.get_mut(id) else {
            return;
        };
        let old = tunnel.carrier.replace(carrier);
        if old.is_some() {
            mark::hit(Mark::ResumeOverLive);
        }
        if !planted::on(Planted::GraceNotEnded) {
            tunnel.grace_until = None;
        }
        if planted::on(Planted::EndLostAtResume) {
            for session in tunnel.session_ids() {
                if let Some(session) = self.sessions.get_mut(session) {
                    session.due.stop = None;
                    session
                        .due
                        .close
                        .take_if(|(_, mode)| *mode == CloseMode::Drain);
                }
            }
        }
        tunnel.stall = Stall::None;
        tunnel.withheld_since = None;
        // HELLO tells the count.
        tunnel.numbering.tell();
        tunnel.ack = AckState::By(None);
        if let Some(old) = old
            && !planted::on(Planted::StaleCarrier)
        {
            if let Some(old) = self.carriers.get_mut(old) {
                // Not lost: the tunnel has moved.
                old.state = CarrierState::Greeting;
            }
            self.dismiss(now, old, Code::Replaced, Duration::ZERO);
        }
        let ping_after = self.config.ping_after;
        if let Some(carrier) = self.carriers.get_mut(carrier) {
            carrier.state = CarrierState::Bearing(id);
            carrier.ping_due = true;
            carrier.pinged_at = Some(now);
        }
        self.arm_carrier(carrier, now + ping_after);
        self.arm_tunnel(id);
        self.mark_carrier(carrier);
    }

    /// Arms the tunnel's timer for the earliest of what it waits for.
    pub(crate) fn arm_tunnel(&mut self, id: TunnelId) {
        let dead_after = self.config.dead_after;
        let Some(tunnel) = self.tunnels.get_mut(id) else {
            return;
        };
        let ack = match tunnel.ack {
            AckState::By(at) if tunnel.carrier.is_some() => at,
            AckState::By(_) | AckState::Now => None,
        };
        let stall = match tunnel.stall {
            Stall::Suspected(since) => Some(since + STALL_AFTER),
            Stall::None | Stall::Told => None,
        };
        let withheld = tunnel.withheld_since.map(|since| since + dead_after);
        let pause = tunnel.paused_until;
        let at = [
            ack,
            tunnel.grace_until,
            tunnel.leaving,
            pause,
            stall,
            withheld,
        ]
        .into_iter()
        .flatten()
        .min();
        self.timers.arm(Timer::Tunnel(id), &mut tunnel.timer, at);
    }

    /// Ends a carrier on purpose: BYE, then close. The tunnel it bore is detached.
    pub(crate) fn dismiss(&mut self, now: Instant, id: CarrierId, code: Code, retry: Duration) {
        let Some(carrier) = self.carriers.get_mut(id) else {
            return;
        };
        let farewell = CarrierState::Closing(Farewell {
            code,
            retry_after: retry,
            kick: false,
        });
        let state = core::mem::replace(&mut carrier.state, farewell);
        if matches!(state, CarrierState::Closing(_)) {
            carrier.state = state;
            return;
        }
        carrier.hello = None;
        carrier.ping_due = false;
        let peer = carrier.peer.clone();
        self.arm_carrier(id, now + FAREWELL_TIMEOUT);
        self.mark_carrier(id);
        let tunnel = match state {
            CarrierState::Bearing(tunnel) if self.detach(now, tunnel) => Some(tunnel),
            CarrierState::Bearing(_) | CarrierState::Greeting | CarrierState::Closing(_) => None,
        };
        self.lost.push_back(Lost {
            carrier: id,
            peer,
            tunnel,
            code,
        });
    }

    /// Forgets a carrier whose connection is gone.
    pub(crate) fn forget_carrier(&mut self, now: Instant, id: CarrierId, code: Code) {
        let Some(mut carrier) = self.carriers.remove(id) else {
            return;
        };
        self.timers
            .arm(Timer::Carrier(id), &mut carrier.timer, None);
        let tunnel = match carrier.state {
            CarrierState::Closing(_) => return,
            CarrierState::Bearing(tunnel) if self.detach(now, tunnel) => Some(tunnel),
            CarrierState::Bearing(_) | CarrierState::Greeting => None,
        };
        self.lost.push_back(Lost {
            carrier: id,
            peer: carrier.peer,
            tunnel,
            code,
        });
    }

    fn detach(&mut self, now: Instant, id: TunnelId) -> bool {
        let grace = self.config.grace;
        let Some(tunnel) = self.tunnels.get_mut(id) else {
            return false;
        };
        tunnel.carrier = None;
        if mark::COUNTED {
            let sessions = tunnel.session_ids().filter_map(|id| self.sessions.get(id));
            let mut sending = sessions.map(|session| &session.send);
            if sending.any(|send| send.credit() == 0 && send.fin == Fin::Open && send.offset > 0) {
                mark::hit(Mark::NoCreditAtCut);
            }
        }
        if planted::on(Planted::ControlLostAtCut) {
            tunnel.control.clear();
        }
        tunnel.grace_until = Some(now + grace);
        tunnel.stall = Stall::None;
        tunnel.withheld_since = None;
        self.arm_tunnel(id);
        true
    }

    /// Ends a tunnel because its node is to go, and orders that on the carrier, as its last frame.
    pub(crate) fn kick(&mut self, now: Instant, id: TunnelId, code: Code, retry: Duration) {
        let carrier = self.tunnels.get(id).and_then(|tunnel| tunnel.carrier);
        // Nothing numbered goes before HELLO. BYE says the same then.
        let greeted = carrier
            .and_then(|carrier| self.carriers.get(carrier))
            .is_some_and(|carrier| carrier.hello.is_none());
        self.end_tunnel(now, id, code, retry);
        if let Some(carrier) = carrier.and_then(|carrier| self.carriers.get_mut(carrier))
            && let CarrierState::Closing(farewell) = &mut carrier.state
        {
            farewell.kick = greeted;
        }
    }

    /// Ends a tunnel with all its sessions. Dialling sessions of a POP are left to the role.
    pub(crate) fn end_tunnel(&mut self, now: Instant, id: TunnelId, code: Code, retry: Duration) {
        let Some(mut tunnel) = self.tunnels.remove(id) else {
            return;
        };
        self.timers.arm(Timer::Tunnel(id), &mut tunnel.timer, None);
        self.memory.resend -= tunnel.numbering.charge();
        self.owing -= usize::from(tunnel.is_owing());
        self.scarce.remove(&id);
        if let Some(carrier) = tunnel.carrier {
            self.dismiss(now, carrier, code, retry);
        }
        let sessions: Vec<SessionId> = tunnel.session_ids().collect();
        tunnel.sessions.clear();
        tunnel.unnumbered.clear();
        let of_node = matches!(tunnel.owner, Owner::Node { .. });
        let lost = if code.is_of_operator() {
            Code::Kicked
        } else {
            Code::TunnelLost
        };
        for session_id in sessions {
            let Some(session) = self.sessions.get_mut(session_id) else {
                continue;
            };
            session.mapped = false;
            session.in_control = false;
            session.in_scheduler = false;
            session.tunnel = NOWHERE;
            session.due = crate::session::Due::default();
            let half_done =
                session.phase == Phase::Open && session.recv.is_done() && !session.send.is_done();
            // Everything of the peer is here, and everything of ours has left: the socket gets the rest.
            let complete = session.phase == Phase::Open
                && session.recv.fin.is_some()
                && session.send.is_done();
            if complete || (half_done && planted::on(Planted::CleanEndAtLoss)) {
                self.end(now, session_id, Code::Ok, CloseMode::Drain);
            } else if of_node && session.phase == Phase::Dialling {
                self.orphaned.push_back((session_id, lost));
            } else {
                self.end(now, session_id, lost, CloseMode::Abort);
            }
        }
        self.gone.push_back((id, tunnel, code));
    }

    /// Ends whatever a faulty peer reached us by.
    pub(crate) fn fault(&mut self, now: Instant, id: CarrierId, code: Code) {
        self.counters.faults += 1;
        match self.carriers.get(id).map(|carrier| &carrier.state) {
            Some(&CarrierState::Bearing(tunnel)) => {
                self.end_tunnel(now, tunnel, code, Duration::ZERO);
            }
            Some(CarrierState::Greeting) => self.dismiss(now, id, code, Duration::ZERO),
            Some(CarrierState::Closing(_)) | None => {}
        }
    }

    pub(crate) fn level(&self) -> MemoryLevel {
        self.memory.level()
    }
}

/// A tunnel id that never names one.
pub(crate) const NOWHERE: TunnelId = TunnelId::NOWHERE;

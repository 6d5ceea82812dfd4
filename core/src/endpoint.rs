//! The state machine that a driver holds: one per process and shard.
//!
//! Methods come in four kinds. `handle_*` bring facts from outside, commands ([`Endpoint::write`],
//! [`Endpoint::finish`], …) are what the driver wants, `poll_*` pull what is due, getters look. The
//! contract, each part tested:
//!
//! - Any order of calls is legal, and a stale id is answered like one of something that has ended.
//! - `now` never decreases; an earlier one counts as the latest seen.
//! - After `poll_ready`, `poll_woken` and `poll_event` have returned nothing and the ready carriers
//!   have been transmitted, `poll_timeout` is in the future or nothing.
//! - Each call does bounded work. Carriers, tunnels and sessions in which nothing happens cost
//!   nothing but a deadline.
//!
//! A turn of a driver is: hand in what was received, [`Endpoint::settle`], then drain the polls.

mod audit;
mod batch;
mod deadline;
mod drain;
mod edge;
mod engine;
mod event;
pub(crate) mod group;
pub(crate) mod pop;
mod pressure;
mod receive;
mod transmit;

pub use crate::account::{Carried, Grant, Rates};
pub use crate::arena::{CarrierId, SessionId, TunnelId, UplinkId};
pub use crate::config::Config;
pub use crate::memory::MemoryLevel;
pub use crate::session::CloseMode;
pub use crate::timer::Timer;
pub use crate::tunnel::rtt::Rtt;
pub use audit::Usage;
pub use batch::{Batch, FRAME_HEADER, Item, Outgoing};
pub use edge::{DialRequest, Dialled, EdgeRole};
pub use event::{Counters, Deadline, Dial, Event, SessionStatus};
pub use pop::{NodeView, Open, PopRole};

use crate::mark::{self, Mark};
use crate::session::{Phase, Side};
use crate::time::{Duration, Instant};
use crate::tunnel::Stall;
use bytes::Bytes;
use deadline::Overdue;
use engine::Engine;
use titan_proto::{Code, Envelope, Frame, is_numbered};

/// The state machine of a POP.
pub type Pop = Endpoint<PopRole>;

/// The state machine of an edge.
pub type Edge = Endpoint<EdgeRole>;

/// Every tunnel, carrier and session of one side. See the [module](self) for how to drive it.
#[derive(Debug)]
pub struct Endpoint<R> {
    engine: Engine,
    role: R,
    now: Instant,
}

/// What only the POP or only the edge does. Sealed: the two roles are all there are.
#[expect(
    private_interfaces,
    reason = "sealed: nothing outside can name the engine"
)]
pub trait Role: core::fmt::Debug + sealed::Sealed {
    /// Applies a frame that only this role understands.
    #[doc(hidden)]
    fn frame(
        &mut self,
        engine: &mut Engine,
        now: Instant,
        carrier: CarrierId,
        frame: Frame,
    ) -> Result<(), Code>;

    /// Learns that the peer acknowledged something on a carrier that bears a tunnel.
    #[doc(hidden)]
    fn confirmed(&mut self, engine: &mut Engine, now: Instant, tunnel: TunnelId);

    /// Learns that the round trip time of a tunnel was measured.
    #[doc(hidden)]
    fn measured(&mut self, engine: &mut Engine, now: Instant, tunnel: TunnelId);

    /// Handles a deadline of this role.
    #[doc(hidden)]
    fn overdue(&mut self, engine: &mut Engine, now: Instant, overdue: Overdue);

    /// Checks what only this role knows.
    #[doc(hidden)]
    fn audit(&self, engine: &Engine);

    /// Returns the leases that there are.
    #[doc(hidden)]
    fn lease_count(&self) -> usize;

    /// Takes up what the engine has left to the role.
    #[doc(hidden)]
    fn follow_up(&mut self, engine: &mut Engine, now: Instant);
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::PopRole {}
    impl Sealed for super::EdgeRole {}
}

// --- Facts from outside ---------------------------------------------------------------------------

impl<R: Role> Endpoint<R> {
    fn enter(&mut self, now: Instant) -> Instant {
        self.now = self.now.max(now);
        self.now
    }

    fn leave(&mut self, now: Instant) {
        self.role.follow_up(&mut self.engine, now);
        self.engine.relax();
        self.engine.tell_drained();
    }

    /// Takes the payload of one binary message. It may be a slice of a shared block: call
    /// [`settle`](Self::settle) before the block is to be reused. Whatever is wrong with the message
    /// ends what sent it and nothing else.
    pub fn handle_message(&mut self, now: Instant, carrier: CarrierId, message: &Bytes) {
        let now = self.enter(now);
        if let Err(code) = self.receive(now, carrier, message) {
            self.engine.fault(now, carrier, code);
        }
        self.leave(now);
    }

    fn receive(&mut self, now: Instant, id: CarrierId, message: &Bytes) -> Result<(), Code> {
        let engine = &mut self.engine;
        let Some(carrier) = engine.carriers.get_mut(id) else {
            return Ok(());
        };
        if matches!(carrier.state, crate::carrier::CarrierState::Closing(_)) {
            return Ok(());
        }
        carrier.received_at = now;
        let envelope = Envelope::decode(message).map_err(|error| error.code())?;
        let numbered = is_numbered(envelope.kind);
        let payload_len = envelope.payload.len();
        let unanswered = carrier.hello.is_some();
        let frame = Frame::decode(envelope).map_err(|error| error.code())?;
        let tunnel = engine.bearing(id);
        match frame {
            Frame::Unknown(_) => {
                engine.counters.frames_unknown += 1;
                return Ok(());
            }
            Frame::Hello(_) if tunnel.is_some() => return Err(Code::Protocol),
            Frame::Hello(_) | Frame::Bye(_) => {
                return self.role.frame(engine, now, id, frame);
            }
            Frame::Udp { .. } => return Ok(()),
            Frame::Ack { .. }
            | Frame::Command(_)
            | Frame::Create { .. }
            | Frame::Reply { .. }
            | Frame::Data { .. }
            | Frame::HalfClose { .. }
            | Frame::Stop { .. }
            | Frame::Close { .. }
            | Frame::Credit { .. }
            | Frame::Status(_) => {}
        }
        // Nothing but HELLO is allowed before HELLO, and nothing numbered before its answer: that
        // says what was received before.
        let tunnel = tunnel.ok_or(Code::Protocol)?;
        if numbered && unanswered {
            return Err(Code::Protocol);
        }
        match frame {
            Frame::Ack { received } => {
                engine.receive_ack(now, tunnel, received)?;
                self.role.confirmed(engine, now, tunnel);
            }
            Frame::Command(_) | Frame::Create { .. } | Frame::Reply { .. } | Frame::Status(_) => {
                self.role.frame(engine, now, id, frame)?;
            }
            Frame::Data { .. }
            | Frame::HalfClose { .. }
            | Frame::Stop { .. }
            | Frame::Close { .. }
            | Frame::Credit { .. } => engine.receive_session(now, tunnel, frame)?,
            Frame::Hello(_) | Frame::Bye(_) | Frame::Udp { .. } | Frame::Unknown(_) => {}
        }
        if numbered {
            self.engine.count(now, tunnel, payload_len);
        }
        Ok(())
    }

    /// Notes that any byte at all was received: the carrier lives.
    pub fn handle_alive(&mut self, now: Instant, carrier: CarrierId) {
        let now = self.enter(now);
        if let Some(carrier) = self.engine.carriers.get_mut(carrier) {
            carrier.received_at = now;
        }
    }

    /// Takes the payload of a WebSocket pong. One that answers no ping of ours says nothing.
    pub fn handle_pong(&mut self, now: Instant, carrier: CarrierId, payload: &[u8]) {
        let now = self.enter(now);
        let Some(tunnel) = self.engine.bearing(carrier) else {
            return;
        };
        let Some(carrier) = self.engine.carriers.get_mut(carrier) else {
            return;
        };
        carrier.received_at = now;
        let Ok(sent) = <[u8; 8]>::try_from(payload) else {
            return;
        };
        let sent = Instant::from_nanos(u64::from_be_bytes(sent));
        if carrier.asked_at != Some(sent) {
            return;
        }
        carrier.asked_at = None;
        if let Some(tunnel) = self.engine.tunnels.get_mut(tunnel) {
            tunnel.rtt.sample(now.since(sent));
        }
        self.role.measured(&mut self.engine, now, tunnel);
        self.leave(now);
    }

    /// Notes that the carrier's connection is gone, or that what it sent was no WebSocket (`code`).
    pub fn handle_carrier_closed(&mut self, now: Instant, carrier: CarrierId, code: Code) {
        let now = self.enter(now);
        self.engine.forget_carrier(now, carrier, code);
        self.leave(now);
    }

    /// Ends a carrier for what its driver found wrong with it: BYE is sent if it still can be.
    pub fn handle_carrier_fault(&mut self, now: Instant, carrier: CarrierId, code: Code) {
        let now = self.enter(now);
        self.engine.fault(now, carrier, code);
        self.leave(now);
    }

    /// Says goodbye on every carrier: this process is about to end. An edge connects no more.
    pub fn farewell(&mut self, now: Instant, code: Code) {
        let now = self.enter(now);
        self.engine.gone_for_good = true;
        for id in self.engine.carriers.keys() {
            self.engine.dismiss(now, id, code, Duration::ZERO);
        }
        self.leave(now);
    }

    /// Does what is due. A driver that was stopped receives first and calls this after.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.enter(now);
        while let Some(overdue) = self.engine.expire(now) {
            if overdue != Overdue::Nothing {
                self.role.overdue(&mut self.engine, now, overdue);
            }
            self.leave(now);
        }
    }

    /// Ends a turn of receiving: bytes that no socket took are copied out of the shared read block.
    pub fn settle(&mut self, now: Instant) {
        let now = self.enter(now);
        self.engine.settle(now);
        self.leave(now);
    }
}

// --- Commands of a session's driver -----------------------------------------------------------------

impl<R: Role> Endpoint<R> {
    /// Takes bytes read from the session's socket. They must pin no more than themselves. Offer at
    /// most [`SessionStatus::send_room`] bytes; what exceeds it is kept all the same.
    pub fn write(&mut self, now: Instant, id: SessionId, bytes: Bytes) {
        let now = self.enter(now);
        let queue_max = self.engine.config.send_queue_max;
        let Some(session) = self.engine.sessions.get_mut(id) else {
            return;
        };
        let open = matches!(session.phase, Phase::Dialling | Phase::Open);
        if !open || session.send.stopped || session.send.fin != crate::session::send::Fin::Open {
            return;
        }
        session.moved_at = now;
        session.send.unpaid += bytes.len();
        session.send.queue.push_owned(bytes);
        let full = session.send.room(queue_max) == 0;
        self.engine.recharge(id);
        self.engine.pay(now, id);
        if full {
            self.starve(now, id);
        }
        self.engine.schedule(id);
        self.leave(now);
    }

    /// Ends the direction from the session's socket: nothing more will be written.
    pub fn finish(&mut self, now: Instant, id: SessionId) {
        let now = self.enter(now);
        let Some(session) = self.engine.sessions.get_mut(id) else {
            return;
        };
        if session.send.fin == crate::session::send::Fin::Open && !session.is_ended() {
            session.send.fin = crate::session::send::Fin::Queued;
            session.moved_at = now;
            let tunnel = self.engine.tunnels.get(session.tunnel);
            if tunnel.is_some_and(|tunnel| tunnel.carrier.is_none()) {
                mark::hit(Mark::FinishDetached);
            }
            self.engine.rearm_idle(now, id);
            self.engine.schedule(id);
        }
        self.leave(now);
    }

    /// Shows the bytes that wait for the session's socket and may be written to it now. How many
    /// these are may change with any other call: what is written is to be released at once.
    pub fn readable(&self, id: SessionId) -> impl Iterator<Item = &[u8]> {
        let mut left = self.engine.readable_len(self.now, id);
        self.engine
            .sessions
            .get(id)
            .into_iter()
            .flat_map(|session| session.recv.queue.slices())
            .map_while(move |slice| {
                let len = slice.len().min(left);
                left -= len;
                (len > 0).then(|| &slice[..len])
            })
    }

    /// Notes that the first `count` readable bytes were written to the socket.
    pub fn release(&mut self, now: Instant, id: SessionId, count: usize) {
        let now = self.enter(now);
        self.engine.release(now, id, count);
        self.leave(now);
    }

    /// Ends the direction to the session's socket, which takes no more; the other goes on.
    pub fn stop(&mut self, now: Instant, id: SessionId, code: Code) {
        let now = self.enter(now);
        let Some(session) = self.engine.sessions.get_mut(id) else {
            return;
        };
        if !session.recv.stopped {
            let ended = session.is_ended();
            session.recv.stop();
            if !ended && session.recv.fin.is_none() {
                session.due.stop = Some(code);
            }
            self.engine.recharge(id);
            self.engine.owe(id);
            self.engine.advance(id);
        }
        self.leave(now);
    }

    /// Closes the session and lets go of it.
    pub fn close(&mut self, now: Instant, id: SessionId, code: Code, mode: CloseMode) {
        let now = self.enter(now);
        let deadline = now + self.engine.config.write_deadline;
        let Some(session) = self.engine.sessions.get_mut(id) else {
            return;
        };
        session.held_by_driver = false;
        session.recv.stop();
        match (session.phase, mode) {
            (Phase::Ended(_), _) => {}
            (Phase::Closing(_), CloseMode::Drain) => {}
            (Phase::Dialling | Phase::Open, CloseMode::Drain) if session.is_announced() => {
                let tunnel = self.engine.tunnels.get(session.tunnel);
                if tunnel.is_some_and(|tunnel| tunnel.carrier.is_none()) {
                    mark::hit(Mark::CloseDetached);
                }
                if session.phase == Phase::Dialling {
                    mark::hit(Mark::CloseWhileDialling);
                }
                session.phase = Phase::Closing(code);
                session.deadline = Some(deadline);
                session.due.credit = false;
                if let Some(side) = session.pop_mut() {
                    // No other exit will be tried.
                    side.early.take();
                }
                self.engine.arm_session(id, deadline);
            }
            (Phase::Dialling | Phase::Open | Phase::Closing(_), _) => {
                self.engine.reset(now, id, code);
            }
        }
        self.engine.recharge(id);
        self.engine.advance(id);
        self.leave(now);
    }

    /// Notes that the driver waits for room, so that it is woken when there is.
    fn starve(&mut self, now: Instant, id: SessionId) {
        let Some(session) = self.engine.sessions.get_mut(id) else {
            return;
        };
        session.starved = true;
        let tunnel_id = session.tunnel;
        let Some(tunnel) = self.engine.tunnels.get_mut(tunnel_id) else {
            return;
        };
        if tunnel.stall == Stall::None && tunnel.carrier.is_some() {
            tunnel.stall = Stall::Suspected(now);
            self.engine.arm_tunnel(tunnel_id);
        }
    }

    /// Returns how the session stands; `None` for one that is gone. A caller that finds no room is
    /// woken when there is some.
    pub fn status(&mut self, now: Instant, id: SessionId) -> Option<SessionStatus> {
        let now = self.enter(now);
        let queue_max = self.engine.config.send_queue_max;
        let session = self.engine.sessions.get_mut(id)?;
        let live = matches!(session.phase, Phase::Open | Phase::Dialling);
        let room = if live {
            session.send.room(queue_max)
        } else {
            0
        };
        session.starved |= room == 0;
        let waiting = session.recv.queue.len();
        let send_room = self.engine.may_take(now, id, room);
        let readable = self.engine.may_show(now, id);
        let session = self.engine.sessions.get(id)?;
        let dial = match (session.phase, &session.side) {
            (Phase::Dialling, _) => Dial::Pending,
            (Phase::Ended(code), Side::Pop(side)) if side.reply.is_none() => Dial::Failed(code),
            (Phase::Ended(code), Side::Edge(_)) if session.send.offset == 0 => Dial::Failed(code),
            (Phase::Open | Phase::Closing(_) | Phase::Ended(_), _) => Dial::Connected,
        };
        Some(SessionStatus {
            dial,
            readable,
            recv_finished: session.recv.is_done() && !session.recv.stopped,
            send_room,
            send_stopped: session.send.stopped,
            ended: match session.phase {
                Phase::Ended(code) if readable == waiting => Some(code),
                Phase::Ended(_) | Phase::Dialling | Phase::Open | Phase::Closing(_) => None,
            },
        })
    }
}

// --- What is due ------------------------------------------------------------------------------------

impl<R: Role> Endpoint<R> {
    /// Returns a carrier that has something to send. Each is returned once until transmitted.
    pub fn poll_ready(&mut self) -> Option<CarrierId> {
        loop {
            let id = self.engine.ready.pop_front()?;
            if let Some(carrier) = self.engine.carriers.get_mut(id) {
                carrier.ready = false;
                return Some(id);
            }
        }
    }

    /// Adds to `batch` what the carrier should bear next. Call it when the carrier can take bytes,
    /// again as long as the batch comes back full.
    pub fn poll_transmit(&mut self, now: Instant, carrier: CarrierId, batch: &mut Batch) {
        let now = self.enter(now);
        self.engine.transmit(now, carrier, batch);
        self.leave(now);
    }

    /// Returns a session whose [`status`](Self::status) has changed.
    pub fn poll_woken(&mut self) -> Option<SessionId> {
        loop {
            let id = self.engine.woken.pop_front()?;
            if let Some(session) = self.engine.sessions.get_mut(id) {
                session.woken = false;
                return Some(id);
            }
        }
    }

    /// Returns the next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.engine.events.pop_front()
    }

    /// Returns when [`handle_timeout`](Self::handle_timeout) is to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Deadline> {
        self.engine
            .timers
            .next()
            .map(|(at, reason)| Deadline { at, reason })
    }
}

// --- Looking ----------------------------------------------------------------------------------------

impl<R: Role> Endpoint<R> {
    /// Returns the counters.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.engine.counters
    }

    /// Returns the limits and times in force.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.engine.config
    }

    /// Returns how full the memory budget is.
    #[must_use]
    pub fn memory_level(&self) -> MemoryLevel {
        self.engine.level()
    }

    /// Returns the round trip time of a tunnel.
    #[must_use]
    pub fn rtt(&self, tunnel: TunnelId) -> Option<Rtt> {
        self.engine.tunnels.get(tunnel).map(|tunnel| tunnel.rtt)
    }

    /// Tells whether the session is on this tunnel.
    #[must_use]
    pub fn tunnel_of(&self, session: SessionId) -> Option<TunnelId> {
        let session = self.engine.sessions.get(session)?;
        session.mapped.then_some(session.tunnel)
    }

    /// Returns a 16-byte nonce, for the upgrade of a carrier.
    pub fn nonce(&mut self) -> [u8; 16] {
        self.engine.rng.bytes()
    }

    /// Returns a duration in `0..limit`.
    pub fn jitter(&mut self, limit: Duration) -> Duration {
        self.engine.rng.jitter(limit)
    }
}

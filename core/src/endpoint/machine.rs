//! The state machine of either side: what a driver may call whichever role it has.

use super::batch::Batch;
use super::deadline::Overdue;
use super::engine::Engine;
use super::event::{Counters, Deadline, Event};
use super::role::Role;
use crate::arena::{CarrierId, SessionId, TunnelId};
use crate::config::Config;
use crate::mark::{self, Mark};
use crate::memory::MemoryLevel;
use crate::session::{CloseMode, SessionStatus};
use crate::time::{Duration, Instant};
use crate::tunnel::rtt::Rtt;
use bytes::Bytes;
use titan_proto::{Class, Code, Envelope, Frame, FrameKind, Sender};

/// Every tunnel, carrier and session of one side. See the [module](super) for how to drive it.
#[derive(Debug)]
pub struct Endpoint<R: Role> {
    pub(super) engine: Engine<R::Desk>,
    pub(super) role: R,
    pub(super) now: Instant,
}

// --- Facts from outside ---------------------------------------------------------------------------

impl<R: Role> Endpoint<R> {
    pub(super) fn enter(&mut self, now: Instant) -> Instant {
        self.now = self.now.max(now);
        self.now
    }

    pub(super) fn leave(&mut self, now: Instant) {
        self.role.follow_up(&mut self.engine, now);
        self.engine.relax(now);
        self.engine.tell_input(now);
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
        if carrier.is_closing() {
            return Ok(());
        }
        carrier.heard(now);
        let envelope = Envelope::decode(message).map_err(|error| error.code())?;
        let (number, payload_len) = (envelope.session, envelope.payload.len());
        let unanswered = carrier.is_unanswered();
        let frame = Frame::decode(envelope).map_err(|error| error.code())?;
        let tunnel = engine.tunnel_on(id);
        // Until HELLO is answered, the peer cannot know what else is understood here, nor what was received.
        let greeted = tunnel.is_some() && !unanswered;
        let kind = frame.kind();
        if !greeted && kind.is_none_or(|kind| kind.class() != Class::Carrier) {
            return Err(Code::Protocol);
        }
        let Some(kind) = kind else {
            engine.counters.frames_unknown += 1;
            return Ok(());
        };
        if !kind.is_sent_by(R::PEER) {
            return Err(Code::Protocol);
        }
        let on = tunnel.ok_or(Code::Protocol);
        match (kind.class(), kind.sender()) {
            (Class::Carrier, _) => {
                if kind == FrameKind::Hello && tunnel.is_some() {
                    return Err(Code::Protocol);
                }
                return self.role.frame(engine, now, id, frame);
            }
            (Class::Tunnel, Sender::Both) => {
                // Without a session's number no other place knows what to do with it.
                let Frame::Ack { received } = frame else {
                    return Err(Code::Protocol);
                };
                engine.receive_ack(now, on?, received)?;
                self.role.confirmed(engine, now, on?);
            }
            // No session takes datagrams.
            (Class::Session, Sender::Both) if kind == FrameKind::Udp => return Ok(()),
            (Class::Session, Sender::Both) => engine.receive_session(now, on?, number, frame)?,
            (Class::Tunnel | Class::Session, Sender::Pop | Sender::Edge) => {
                self.role.frame(engine, now, id, frame)?;
            }
        }
        if kind.is_numbered() {
            self.engine.count(now, on?, payload_len);
        }
        Ok(())
    }

    /// Notes that any byte at all was received: the carrier lives.
    pub fn handle_alive(&mut self, now: Instant, carrier: CarrierId) {
        let now = self.enter(now);
        if let Some(carrier) = self.engine.carriers.get_mut(carrier) {
            carrier.heard(now);
        }
    }

    /// Takes the payload of a WebSocket pong. One that answers no ping of ours says nothing.
    pub fn handle_pong(&mut self, now: Instant, carrier: CarrierId, payload: &[u8]) {
        let now = self.enter(now);
        let Some(carrier) = self.engine.carriers.get_mut(carrier) else {
            return;
        };
        let Some(tunnel) = carrier.tunnel() else {
            return;
        };
        let Some(rtt) = carrier.answered(now, payload) else {
            return;
        };
        if let Some(tunnel) = self.engine.tunnels.get_mut(tunnel) {
            tunnel.measure(rtt);
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
        self.engine.part(now, code);
        self.leave(now);
    }

    /// Does what is due. A driver that was stopped receives first and calls this after.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.enter(now);
        while let Some(overdue) = self.engine.expire(now) {
            let engine = &mut self.engine;
            match overdue {
                Overdue::Nothing => {}
                Overdue::Dial(session) => self.role.dial_overdue(engine, now, session),
                Overdue::Role(timer) => self.role.overdue(engine, now, timer),
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
        let engine = &mut self.engine;
        let queue_max = engine.config.send_queue_max;
        let Some(session) = engine.sessions.get_mut(id) else {
            return;
        };
        if !session.write(now, bytes) {
            return;
        }
        let full = session.room(queue_max) == 0;
        let tunnel = session.tunnel();
        engine.pay(now, id);
        if full && let Some(tunnel) = tunnel {
            engine.change_tunnel(tunnel, |tunnel| tunnel.bearing_mut().suspect(now));
        }
        engine.follow(now, id);
        self.leave(now);
    }

    /// Ends the direction from the session's socket: nothing more will be written.
    pub fn finish(&mut self, now: Instant, id: SessionId) {
        let now = self.enter(now);
        let finished = self.engine.change(now, id, |session| session.finish(now));
        if finished == Some(true) && self.engine.is_away(id) {
            mark::hit(Mark::FinishDetached);
        }
        self.leave(now);
    }

    /// Shows the bytes that wait for the session's socket and may be written to it now. How many
    /// these are may change with any other call: what is written is to be released at once.
    pub fn readable(&self, id: SessionId) -> impl Iterator<Item = &[u8]> {
        let mut left = self.engine.readable(self.now, id);
        self.engine
            .sessions
            .get(id)
            .into_iter()
            .flat_map(|session| session.slices())
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
        self.engine.change(now, id, |session| session.stop(code));
        self.leave(now);
    }

    /// Closes the session and lets go of it.
    pub fn close(&mut self, now: Instant, id: SessionId, code: Code, mode: CloseMode) {
        let now = self.enter(now);
        let deadline = self.engine.rest_deadline(now);
        let away = self.engine.is_away(id);
        self.engine.change(now, id, |session| {
            let live = session.is_live();
            session.close(code, mode, deadline);
            if live && away && session.closing().is_some() {
                mark::hit(Mark::CloseDetached);
            }
        });
        self.leave(now);
    }

    /// Returns how the session stands; `None` for one that is gone. A caller that finds no room is
    /// woken when there is some.
    pub fn status(&mut self, now: Instant, id: SessionId) -> Option<SessionStatus> {
        let now = self.enter(now);
        let room = self.engine.room(id)?;
        let send_room = self.engine.take_in(now, id, room);
        let readable = self.engine.show(now, id);
        let session = self.engine.sessions.get(id)?;
        Some(session.status(readable, send_room))
    }
}

// --- What is due ------------------------------------------------------------------------------------

impl<R: Role> Endpoint<R> {
    /// Returns a carrier that has something to send. Each is returned once until transmitted.
    pub fn poll_ready(&mut self) -> Option<CarrierId> {
        self.engine.next_ready()
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
        self.engine.next_woken()
    }

    /// Returns the next event.
    pub fn poll_event(&mut self) -> Option<Event<R::Event>> {
        self.engine.agenda.events.pop_front()
    }

    /// Returns when [`handle_timeout`](Self::handle_timeout) is to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Deadline<R::Timer>> {
        let (at, reason) = self.engine.agenda.timers.next()?;
        Some(Deadline { at, reason })
    }
}

// --- Looking ----------------------------------------------------------------------------------------

impl<R: Role> Endpoint<R> {
    /// Returns the counters.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        Counters {
            visits: self.engine.memory.visits(),
            ..self.engine.counters
        }
    }

    /// Returns the limits and times in force.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.engine.config
    }

    /// Tells whether a carrier is to be read, and takes note of the answer: the time in which it is not counts
    /// neither as silence nor as acknowledgement withheld. None that bears a tunnel is while memory is used up
    /// by what waits for sockets. [`Event::TakesInput`] says when that is over.
    pub fn takes_input(&mut self, now: Instant, carrier: CarrierId) -> bool {
        let now = self.enter(now);
        self.engine.takes_input(now, carrier)
    }

    /// Returns how full the memory budget is.
    #[must_use]
    pub fn memory_level(&self) -> MemoryLevel {
        self.engine.level()
    }

    /// Returns the round trip time of a tunnel.
    #[must_use]
    pub fn rtt(&self, tunnel: TunnelId) -> Option<Rtt> {
        self.engine.tunnels.get(tunnel).map(|tunnel| tunnel.rtt())
    }

    /// Tells whether the session is on this tunnel.
    #[must_use]
    pub fn tunnel_of(&self, session: SessionId) -> Option<TunnelId> {
        self.engine.sessions.get(session)?.tunnel()
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

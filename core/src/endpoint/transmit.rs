//! Frames are made at the last moment, when a carrier has room for them.
//!
//! Order: what the last carrier left unacknowledged; small frames of the tunnel; control frames, made
//! from what sessions owe; then DATA, by the scheduler. The acknowledgement rides at the end.

use super::batch::Batch;
use super::desk::Desk;
use super::engine::Engine;
use crate::arena::{CarrierId, TunnelId};
use crate::carrier::{CarrierState, Farewell};
use crate::mark::{self, Mark};
use crate::session::{CloseMode, close};
use crate::time::{Duration, Instant};
use crate::tunnel::Turn;
use titan_proto::{Frame, wire};

/// Users passed over at most while a batch is filled.
const PASSED_OVER_MAX: usize = 16;

impl<D: Desk> Engine<D> {
    /// Fills the batch with what the carrier should bear next.
    pub(super) fn transmit(&mut self, now: Instant, id: CarrierId, batch: &mut Batch) {
        let Some(carrier) = self.carriers.get_mut(id) else {
            return;
        };
        if let Some(hello) = carrier.take_hello() {
            batch.push_frame(Frame::Hello(hello));
        }
        if let CarrierState::Closing(farewell) = carrier.state() {
            say_goodbye(farewell, batch);
            self.remove_carrier(id);
            return;
        }
        if let Some(ping) = carrier.take_ping(now) {
            batch.push_ping(ping);
        }
        if let Some(tunnel) = carrier.tunnel() {
            self.transmit_tunnel(now, tunnel, batch);
        }
    }

    fn transmit_tunnel(&mut self, now: Instant, id: TunnelId, batch: &mut Batch) {
        let Some(tunnel) = self.tunnels.get_mut(id) else {
            return;
        };
        batch.limit(tunnel.begin_turn());
        while !batch.is_full()
            && let Some(frame) = tunnel.replay()
        {
            batch.push(frame);
        }
        if !tunnel.has_replay() {
            self.transmit_control(now, id, batch);
            self.transmit_data(now, id, batch);
        }
        // An acknowledgement never waits for room: its peer may be waiting for it.
        let ack = self.change_tunnel(id, |tunnel| {
            tunnel.end_turn(now);
            tunnel.take_ack(!batch.is_empty())
        });
        if let Some(received) = ack.flatten() {
            batch.push_frame(Frame::Ack { received });
        }
    }

    fn transmit_control(&mut self, now: Instant, id: TunnelId, batch: &mut Batch) {
        let Some(tunnel) = self.tunnels.get_mut(id) else {
            return;
        };
        if let Some(notice) = tunnel.next_notice() {
            batch.push_frame(notice);
        }
        while !batch.is_full()
            && tunnel.takes_control(&self.memory)
            && let Some(order) = tunnel.next_order()
        {
            batch.push(tunnel.send(&mut self.memory, order));
            tunnel.recount(&mut self.memory, &mut self.owing);
        }
        while !batch.is_full()
            && tunnel.takes_control(&self.memory)
            && let Some((number, code)) = tunnel.next_close()
        {
            let frame = close(number, code, CloseMode::Abort);
            batch.push(tunnel.send_of_session(&mut self.memory, frame, None));
            tunnel.recount(&mut self.memory, &mut self.owing);
        }
        loop {
            let Some(tunnel) = self.tunnels.get_mut(id) else {
                return;
            };
            if batch.is_full() || !tunnel.takes_control(&self.memory) {
                return;
            }
            let Some(session_id) = tunnel.next_owing() else {
                return;
            };
            let Some(session) = self.sessions.get_mut(session_id) else {
                continue;
            };
            if !session.take_control(id) {
                continue;
            }
            while let Some(frame) = session.next_control() {
                if let Frame::Reply { session, .. } = frame {
                    tunnel.answered(session);
                }
                batch.push(tunnel.send_of_session(&mut self.memory, frame, None));
            }
            tunnel.recount(&mut self.memory, &mut self.owing);
            self.follow(now, session_id);
        }
    }

    fn transmit_data(&mut self, now: Instant, id: TunnelId, batch: &mut Batch) {
        let (data_max, queue_max) = (self.config.data_max, self.config.send_queue_max);
        let mut passed_over = 0;
        loop {
            let Some(tunnel) = self.tunnels.get_mut(id) else {
                return;
            };
            if batch.is_full() {
                return;
            }
            if !tunnel.takes_data() {
                tunnel.bearing_mut().withhold(now);
                mark::hit(Mark::ResendFull);
                return;
            }
            if !tunnel.has_line() {
                return;
            }
            let room = tunnel.data_room(now);
            if room == 0 {
                mark::hit(Mark::NodeSlowed);
                return;
            }
            let Some(turn) = tunnel.next_turn() else {
                return;
            };
            let session_id = turn.session;
            let Some(session) = self.sessions.get_mut(session_id) else {
                debug_assert!(false, "a scheduled session exists");
                tunnel.had_turn(now, turn, None, false);
                continue;
            };
            let user = session.user();
            let Some(resend_room) = tunnel.resend_room(&self.memory, user) else {
                mark::hit(Mark::DataScarce);
                self.pass_over(now, id, turn);
                passed_over += 1;
                if passed_over == PASSED_OVER_MAX {
                    self.look_on(id);
                    return;
                }
                continue;
            };
            let frame = if session.take_turn(session_id, tunnel) {
                session.create(now)
            } else {
                session.next_data(data_max.min(tunnel.data_max()).min(room).min(resend_room))
            };
            let queued = session.queued();
            let queue_room = self.memory.queue_room(session.user(), queued, queue_max);
            let more = session.sent(now, queue_room);
            let again = tunnel.had_turn(now, turn, frame.as_ref(), more);
            session.had_turn(again);
            if let Some(frame) = frame {
                batch.push(tunnel.send_of_session(&mut self.memory, frame, Some(user)));
            }
            tunnel.recount(&mut self.memory, &mut self.owing);
            self.follow(now, session_id);
        }
    }

    /// Passes a user over who keeps too much for resending, until something is acknowledged.
    fn pass_over(&mut self, now: Instant, id: TunnelId, turn: Turn) {
        let freed = self.memory.freed();
        if let Some(tunnel) = self.tunnels.get_mut(id) {
            tunnel.bearing_mut().withhold(now);
            if tunnel.pass_over(turn, freed) {
                self.scarce.insert((freed, id));
            }
        }
    }

    /// Has a carrier come back for what its tunnel still has in line.
    fn look_on(&mut self, id: TunnelId) {
        let tunnel = self.tunnels.get(id).filter(|tunnel| tunnel.has_line());
        if let Some(carrier) = tunnel.and_then(|tunnel| tunnel.carrier()) {
            self.call_carrier(carrier);
        }
    }
}

fn say_goodbye(farewell: Farewell, batch: &mut Batch) {
    if farewell.kick {
        batch.push_frame(Frame::Command(wire::Command {
            action: wire::command::Action::Kick as i32,
            code: farewell.code.wire(),
            retry_after_ms: millis(farewell.retry_after),
            ..wire::Command::default()
        }));
    }
    batch.push_frame(Frame::Bye(wire::Bye {
        code: farewell.code.wire(),
        retry_after_ms: millis(farewell.retry_after),
        detail: farewell.code.tag().into(),
    }));
    batch.push_close(farewell.code);
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

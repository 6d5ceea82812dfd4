//! Frames are made at the last moment, when a carrier has room for them.
//!
//! Order: what the last carrier left unacknowledged; small frames of the tunnel; control frames, made
//! from what sessions owe; then DATA, by the scheduler. The acknowledgement rides at the end.

use super::batch::{Batch, Outgoing};
use super::engine::Engine;
use crate::arena::{CarrierId, TunnelId};
use crate::carrier::CarrierState;
use crate::config::FRAME_OVERHEAD;
use crate::mark::{self, Mark};
use crate::memory::MemoryLevel;
use crate::planted::{self, Planted};
use crate::session::send::Fin;
use crate::session::{CloseMode, Phase, Session, Side};
use crate::time::{Duration, Instant};
use crate::timer::Timer;
use crate::tunnel::{AckState, Stall, Tunnel};
use titan_proto::{Code, Frame, wire};

/// Resend buffer of a tunnel while memory is short: enough to keep going, acknowledgement by
/// acknowledgement.
const RESEND_UNDER_PRESSURE: u64 = 64 << 10;

impl Engine {
    /// Fills the batch with what the carrier should bear next.
    pub(crate) fn transmit(&mut self, now: Instant, id: CarrierId, batch: &mut Batch) {
        let Some(carrier) = self.carriers.get_mut(id) else {
            return;
        };
        if let Some(hello) = carrier.hello.take() {
            batch.push_frame(Frame::Hello(*hello));
        }
        if let CarrierState::Closing(farewell) = carrier.state {
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
            let mut carrier = self.carriers.remove(id).expect("it was just there");
            self.timers
                .arm(Timer::Carrier(id), &mut carrier.timer, None);
            return;
        }
        if core::mem::take(&mut carrier.ping_due) {
            carrier.asked_at = Some(now);
            batch.push_ping(now.as_nanos().to_be_bytes());
        }
        if let CarrierState::Bearing(tunnel) = carrier.state {
            self.transmit_tunnel(now, tunnel, batch);
        }
    }

    fn transmit_tunnel(&mut self, now: Instant, id: TunnelId, batch: &mut Batch) {
        let Some(tunnel) = self.tunnels.get_mut(id) else {
            return;
        };
        tunnel.stall = Stall::None;
        let burst = tunnel.pace.burst();
        batch.limit(burst);
        tunnel.scheduler.fit(burst);
        while !batch.is_full()
            && let Some(frame) = tunnel.numbering.replay()
        {
            batch.push(frame);
        }
        if !tunnel.numbering.has_replay() {
            self.transmit_control(id, batch);
            self.transmit_data(now, id, batch);
        }
        let Some(tunnel) = self.tunnels.get_mut(id) else {
            return;
        };
        // An acknowledgement never waits for room: its peer may be waiting for it.
        let untold = tunnel.numbering.has_untold();
        if tunnel.ack == AckState::Now || (untold && !batch.is_empty()) {
            batch.push_frame(Frame::Ack {
                received: tunnel.numbering.tell(),
            });
            tunnel.ack = AckState::By(None);
        }
        self.arm_tunnel(id);
    }

    fn transmit_control(&mut self, id: TunnelId, batch: &mut Batch) {
        let Some(tunnel) = self.tunnels.get_mut(id) else {
            return;
        };
        if let Some(status) = tunnel.status.take() {
            batch.push_frame(Frame::Status(status));
        }
        while !batch.is_full()
            && tunnel.numbering.takes_control()
            && let Some((_, command)) = tunnel.commands.pop_first()
        {
            number(
                &mut self.memory.resend,
                tunnel,
                Frame::Command(command),
                batch,
            );
        }
        while !batch.is_full()
            && tunnel.numbering.takes_control()
            && let Some((session, code)) = tunnel.closes.pop_front()
        {
            let frame = Frame::Close {
                session,
                close: close(code, CloseMode::Abort),
            };
            number_session(
                &mut self.memory.resend,
                &mut self.owing,
                tunnel,
                frame,
                batch,
            );
        }
        loop {
            let Some(tunnel) = self.tunnels.get_mut(id) else {
                return;
            };
            if batch.is_full() || !tunnel.numbering.takes_control() {
                return;
            }
            let Some(session_id) = tunnel.control.pop_front() else {
                return;
            };
            let Some(session) = self.sessions.get_mut(session_id) else {
                continue;
            };
            if session.tunnel != id || !session.in_control {
                continue;
            }
            session.in_control = false;
            while let Some(frame) = next_control(session) {
                number_session(
                    &mut self.memory.resend,
                    &mut self.owing,
                    tunnel,
                    frame,
                    batch,
                );
            }
            self.advance(session_id);
        }
    }

    fn transmit_data(&mut self, now: Instant, id: TunnelId, batch: &mut Batch) {
        let (data_max, queue_max) = (self.config.data_max, self.config.send_queue_max);
        loop {
            let pressed = self.level() >= MemoryLevel::Refusing;
            let Some(tunnel) = self.tunnels.get_mut(id) else {
                return;
            };
            if batch.is_full() {
                return;
            }
            let scarce = pressed && tunnel.numbering.charge() > RESEND_UNDER_PRESSURE;
            if scarce || !tunnel.numbering.takes_data() {
                tunnel.withheld_since.get_or_insert(now);
                mark::hit(if scarce {
                    Mark::DataScarce
                } else {
                    Mark::ResendFull
                });
                if scarce {
                    self.scarce.insert(id);
                }
                return;
            }
            if tunnel.scheduler.is_empty() {
                return;
            }
            let room = tunnel.data_room(now);
            if room == 0 {
                mark::hit(Mark::NodeSlowed);
                return;
            }
            let Some((group, session_id)) = tunnel.scheduler.pop() else {
                return;
            };
            let Some(session) = self.sessions.get_mut(session_id) else {
                debug_assert!(false, "a scheduled session exists");
                tunnel.scheduler.charge(group, session_id, 0, false);
                continue;
            };
            session.moved_at = now;
            if session.due.create {
                // Numbers grow in the order of the CREATEs on the wire, which the scheduler decides.
                tunnel.opened += 1;
                session.number = tunnel.opened;
                tunnel.unnumbered.remove(&session_id);
                tunnel.sessions.insert(session.number, session_id);
            }
            let frame_max = data_max
                .min(tunnel.peer.data_max)
                .min(tunnel.pace.burst())
                .min(room);
            let frame = next_data(session, frame_max);
            let cost = if let Frame::Data { data, .. } = &frame {
                tunnel.rate.take(now, data.len() as u64);
                data.len()
            } else if let Frame::Create { .. } = &frame {
                tunnel.scheduler.create_cost()
            } else {
                FRAME_OVERHEAD as usize
            };
            number_session(
                &mut self.memory.resend,
                &mut self.owing,
                tunnel,
                frame,
                batch,
            );
            let more = session.send.is_ready();
            tunnel.scheduler.charge(group, session_id, cost, more);
            session.in_scheduler = more;
            // Woken at half the queue, a driver fills it in few turns instead of many.
            let roomy =
                session.send.room(queue_max) >= queue_max / 2 || session.send.queue.is_empty();
            let wake = session.starved && roomy && session.send.room(queue_max) > 0;
            if wake {
                mark::hit(Mark::RoomByCarrier);
                session.starved = false;
            }
            let half_closed = session.send.is_done();
            self.recharge(session_id);
            if half_closed {
                self.rearm_idle(now, session_id);
            }
            if wake {
                self.wake(session_id);
            }
            self.owe(session_id);
            self.advance(session_id);
        }
    }
}

/// Numbers a frame, keeps it for resending and puts it in the batch.
fn number(resend: &mut u64, tunnel: &mut Tunnel, frame: Frame, batch: &mut Batch) {
    let frame = Outgoing::from_frame(frame);
    *resend += frame.payload.len() as u64 + FRAME_OVERHEAD;
    batch.push(frame.clone());
    tunnel.numbering.send(frame);
}

/// Does the same for a frame of a session, and notes that the session's end is not safe before it is
/// acknowledged.
fn number_session(
    resend: &mut u64,
    owing: &mut usize,
    tunnel: &mut Tunnel,
    frame: Frame,
    batch: &mut Batch,
) {
    *owing += usize::from(!tunnel.is_owing());
    number(resend, tunnel, frame, batch);
    tunnel.last_of_session = tunnel.numbering.sent();
}

fn next_control(session: &mut Session) -> Option<Frame> {
    let number = session.number;
    if let Some(reply) = session.due.reply.take() {
        return Some(Frame::Reply {
            session: number,
            reply: *reply,
        });
    }
    if core::mem::take(&mut session.due.credit) {
        let limit = session.recv.target_limit();
        session.recv.limit = limit;
        return Some(Frame::Credit {
            session: number,
            limit,
        });
    }
    if let Some(code) = session.due.stop.take() {
        return Some(Frame::Stop {
            session: number,
            code: code.wire(),
        });
    }
    let (code, mode) = session.due.close.take()?;
    Some(Frame::Close {
        session: number,
        close: close(code, mode),
    })
}

/// Makes the session's next CREATE, DATA or HALF_CLOSE.
fn next_data(session: &mut Session, data_max: usize) -> Frame {
    let number = session.number;
    let dialling = session.phase == Phase::Dialling;
    if core::mem::take(&mut session.due.create) {
        let download_limit = session.recv.limit;
        let (group, weight) = (session.group, session.weight);
        if let Side::Pop(side) = &mut session.side {
            side.created = true;
            let mut create = side.create.clone();
            create.download_limit = download_limit;
            create.group = group;
            create.weight = weight;
            return Frame::Create {
                session: number,
                create,
            };
        }
    }
    let overtakes = session.send.fin == Fin::Queued
        && session.send.queue.len() > 8 << 10
        && planted::on(Planted::FinBeforeData);
    if session.send.queue.is_empty() || overtakes {
        session.send.fin = Fin::Sent;
        if dialling && let Some(side) = session.pop_mut() {
            side.early.finished = true;
        }
        let final_offset = session.send.offset;
        return Frame::HalfClose {
            session: number,
            final_offset,
        };
    }
    let data = session.send.take(data_max);
    if dialling && let Some(side) = session.pop_mut() {
        side.early.keep(data.clone());
    }
    Frame::Data {
        session: number,
        data,
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn close(code: Code, mode: CloseMode) -> wire::Close {
    let mode = match mode {
        CloseMode::Drain => wire::close::Mode::Drain,
        CloseMode::Abort => wire::close::Mode::Abort,
    };
    wire::Close {
        code: code.wire(),
        mode: mode as i32,
    }
}

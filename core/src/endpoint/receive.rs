//! What a peer sends, judged and applied.

use super::engine::Engine;
use crate::arena::{CarrierId, SessionId, TunnelId};
use crate::mark::{self, Mark};
use crate::memory::MemoryLevel;
use crate::planted::{self, Planted};
use crate::session::recv::RecvError;
use crate::session::send::Fin;
use crate::session::{CloseMode, Phase, Side};
use crate::time::Instant;
use crate::tunnel::AckState;
use bytes::Bytes;
use titan_proto::{Code, Frame, wire};

impl Engine {
    /// Applies a session frame that means the same to both roles.
    pub(crate) fn receive_session(
        &mut self,
        now: Instant,
        tunnel: TunnelId,
        frame: Frame,
    ) -> Result<(), Code> {
        match frame {
            Frame::Data { session, data } => self.receive_data(now, tunnel, session, data),
            Frame::HalfClose {
                session,
                final_offset,
            } => self.receive_half_close(now, tunnel, session, final_offset),
            Frame::Stop { session, code: _ } => self.receive_stop(now, tunnel, session),
            Frame::Close { session, close } => self.receive_close(now, tunnel, session, close),
            Frame::Credit { session, limit } => self.receive_credit(tunnel, session, limit),
            Frame::Command(_)
            | Frame::Create { .. }
            | Frame::Reply { .. }
            | Frame::Udp { .. }
            | Frame::Hello(_)
            | Frame::Ack { .. }
            | Frame::Status(_)
            | Frame::Bye(_)
            | Frame::Unknown(_) => Err(Code::Protocol),
        }
    }

    /// Counts a numbered frame as applied and sees to its acknowledgement.
    pub(crate) fn count(&mut self, now: Instant, id: TunnelId, payload_len: usize) {
        let ack_delay = self.config.ack_delay;
        let Some(tunnel) = self.tunnels.get_mut(id) else {
            return;
        };
        let waits = tunnel.held > 0 && planted::on(Planted::AckWaitsForSocket);
        if tunnel.numbering.receive(payload_len) && !waits {
            mark::hit(Mark::AckForVolume);
            tunnel.ack = AckState::Now;
            self.mark(id);
        } else if tunnel.ack == AckState::By(None) && !waits {
            tunnel.ack = AckState::By(Some(now + ack_delay));
            self.arm_tunnel(id);
        }
    }

    /// Applies the peer's acknowledgement.
    pub(crate) fn receive_ack(
        &mut self,
        now: Instant,
        id: TunnelId,
        received: u64,
    ) -> Result<(), Code> {
        let level = self.level();
        let Some(tunnel) = self.tunnels.get_mut(id) else {
            return Ok(());
        };
        let owed = tunnel.is_owing();
        let freed = tunnel.numbering.acknowledge(received).map_err(|_| {
            mark::hit(Mark::Desync);
            Code::Desync
        })?;
        self.owing -= usize::from(owed && !tunnel.is_owing());
        let pressed = level >= MemoryLevel::NoGrowth;
        let full = !tunnel.numbering.takes_data();
        if !(full && freed > 0 && planted::on(Planted::LostAckAccounting)) {
            self.memory.resend -= freed;
        }
        let busy = !tunnel.scheduler.is_empty() || !tunnel.numbering.takes_data();
        tunnel.pace.acknowledged(now, freed, busy);
        if freed > 0 && !(pressed && planted::on(Planted::WithheldNotForgiven)) {
            tunnel.withheld_since = None;
        }
        self.mark(id);
        Ok(())
    }

    /// Finds a session by its number: an error above the highest opened, nothing if it has ended.
    pub(crate) fn find(&mut self, id: TunnelId, number: u64) -> Result<Option<SessionId>, Code> {
        let Some(tunnel) = self.tunnels.get(id) else {
            return Ok(None);
        };
        if number > tunnel.opened {
            mark::hit(Mark::Stranger);
            return Err(Code::Protocol);
        }
        let found = tunnel.sessions.get(&number).copied();
        if found.is_none() {
            mark::hit(Mark::LateFrame);
            self.counters.frames_late += 1;
        }
        Ok(found)
    }

    fn receive_data(
        &mut self,
        now: Instant,
        tunnel: TunnelId,
        number: u64,
        data: Bytes,
    ) -> Result<(), Code> {
        let Some(id) = self.find(tunnel, number)? else {
            return Ok(());
        };
        let Some(session) = self.sessions.get_mut(id) else {
            return Ok(());
        };
        // The edge replies before it sends; a POP that still waits for the reply may not get bytes.
        if session.phase == Phase::Dialling && matches!(session.side, Side::Pop(_)) {
            return Err(Code::Protocol);
        }
        session.recv.push(data).map_err(|error| match error {
            RecvError::OverCredit => {
                mark::hit(Mark::CreditExceeded);
                Code::CreditExceeded
            }
            RecvError::AfterEnd => Code::Protocol,
        })?;
        session.moved_at = now;
        if session.recv.queue.has_passing() && !session.unsettled {
            session.unsettled = true;
            self.unsettled.push(id);
        }
        self.wake(id);
        Ok(())
    }

    fn receive_half_close(
        &mut self,
        now: Instant,
        tunnel: TunnelId,
        number: u64,
        final_offset: u64,
    ) -> Result<(), Code> {
        let Some(id) = self.find(tunnel, number)? else {
            return Ok(());
        };
        let Some(session) = self.sessions.get_mut(id) else {
            return Ok(());
        };
        if session.phase == Phase::Dialling && matches!(session.side, Side::Pop(_)) {
            return Err(Code::Protocol);
        }
        session
            .recv
            .finish(final_offset)
            .map_err(|_| Code::Protocol)?;
        session.moved_at = now;
        session.due.stop = None;
        self.rearm_idle(now, id);
        self.wake(id);
        self.advance(id);
        Ok(())
    }

    fn receive_stop(&mut self, now: Instant, tunnel: TunnelId, number: u64) -> Result<(), Code> {
        let Some(id) = self.find(tunnel, number)? else {
            return Ok(());
        };
        let Some(session) = self.sessions.get_mut(id) else {
            return Ok(());
        };
        if session.phase == Phase::Dialling && matches!(session.side, Side::Pop(_)) {
            return Err(Code::Protocol);
        }
        if session.is_ended() {
            return Ok(());
        }
        session.send.stopped = true;
        session.send.clear();
        if session.send.fin == Fin::Open {
            session.send.fin = Fin::Queued;
        }
        session.moved_at = now;
        self.rearm_idle(now, id);
        if !planted::on(Planted::HeldMiscounted) {
            self.recharge(id);
        }
        self.unschedule(id);
        self.schedule(id);
        self.wake(id);
        self.advance(id);
        Ok(())
    }

    fn receive_close(
        &mut self,
        now: Instant,
        tunnel: TunnelId,
        number: u64,
        close: wire::Close,
    ) -> Result<(), Code> {
        let Some(id) = self.find(tunnel, number)? else {
            return Ok(());
        };
        let Some(session) = self.sessions.get_mut(id) else {
            return Ok(());
        };
        let code = Code::from_wire(close.code);
        if session.phase == Phase::Dialling {
            match &session.side {
                Side::Pop(_) => return Err(Code::Protocol),
                // Every CREATE is answered exactly once, also when nobody waits any more.
                Side::Edge(_) => session.refuse(Code::Cancelled),
            }
        }
        // The peer has closed; a CLOSE of ours would only be dropped.
        session.due.close = None;
        let mode = match close.mode() {
            wire::close::Mode::Drain => CloseMode::Drain,
            wire::close::Mode::Abort => CloseMode::Abort,
        };
        self.end(now, id, code, mode);
        self.owe(id);
        Ok(())
    }

    fn receive_credit(&mut self, tunnel: TunnelId, number: u64, limit: u64) -> Result<(), Code> {
        let Some(id) = self.find(tunnel, number)? else {
            return Ok(());
        };
        let queue_max = self.config.send_queue_max;
        let pressed = self.level() >= MemoryLevel::NoGrowth;
        let Some(session) = self.sessions.get_mut(id) else {
            return Ok(());
        };
        if session.phase == Phase::Dialling && matches!(session.side, Side::Pop(_)) {
            return Err(Code::Protocol);
        }
        session.send.raise(limit);
        if session.starved && session.send.room(queue_max) > 0 {
            session.starved = false;
            mark::hit(Mark::RoomByCredit);
            if !(pressed && planted::on(Planted::WakeLost)) {
                self.wake(id);
            }
        }
        self.schedule(id);
        Ok(())
    }

    /// Drops everything a carrier sends unless it may: the tunnel it bears, if it bears one.
    pub(crate) fn bearing(&self, id: CarrierId) -> Option<TunnelId> {
        match self.carriers.get(id)?.state {
            crate::carrier::CarrierState::Bearing(tunnel) => Some(tunnel),
            crate::carrier::CarrierState::Greeting | crate::carrier::CarrierState::Closing(_) => {
                None
            }
        }
    }
}

//! What a peer says that means the same to both roles: of a session, and of what it has received.
//!
//! Frames arrive at `Endpoint::receive`, which goes by the table of frames: what both sides
//! send of a session or a tunnel comes here, all else goes to the role.

use super::desk::Desk;
use super::engine::Engine;
use crate::arena::{SessionId, TunnelId};
use crate::mark::{self, Mark};
use crate::memory::MemoryLevel;
use crate::planted::{self, Planted};
use crate::session::Heard;
use crate::time::Instant;
use titan_proto::{Code, Frame};

impl<D: Desk> Engine<D> {
    /// Applies a session frame that means the same to both roles.
    pub(super) fn receive_session(
        &mut self,
        now: Instant,
        tunnel: TunnelId,
        number: u64,
        frame: Frame,
    ) -> Result<(), Code> {
        let Some(id) = self.find(tunnel, number)? else {
            return Ok(());
        };
        let deadline = self.rest_deadline(now);
        let silent = self.level() >= MemoryLevel::NoGrowth && planted::on(Planted::WakeLost);
        let Some(session) = self.sessions.get_mut(id) else {
            return Ok(());
        };
        let (user, queued) = (session.user(), session.queued());
        let queue_max = self.config.send_queue_max;
        let heard = Heard {
            now,
            deadline,
            queue_room: self.memory.queue_room(user, queued, queue_max),
            silent,
        };
        session.receive(frame, heard)?;
        if session.unsettle() {
            self.unsettled.push(id);
        }
        self.follow(now, id);
        Ok(())
    }

    /// Counts a numbered frame as applied and sees to its acknowledgement.
    pub(super) fn count(&mut self, now: Instant, id: TunnelId, payload_len: usize) {
        let ack_at = now + self.config.ack_delay;
        let waits = planted::on(Planted::AckWaitsForSocket) && self.memory.waiting() > 0;
        self.change_tunnel(id, |tunnel| {
            let at_once = tunnel.receive(payload_len);
            if !waits {
                tunnel.owe_ack(at_once, ack_at);
            }
        });
    }

    /// Applies the peer's acknowledgement.
    pub(super) fn receive_ack(
        &mut self,
        now: Instant,
        id: TunnelId,
        received: u64,
    ) -> Result<(), Code> {
        let pressed = self.level() >= MemoryLevel::NoGrowth;
        let forgiving = !(pressed && planted::on(Planted::WithheldNotForgiven));
        let Some(tunnel) = self.tunnels.get_mut(id) else {
            return Ok(());
        };
        let applied = tunnel.acknowledged(now, received, forgiving, &mut self.memory);
        self.follow_tunnel(id);
        applied.map_err(|_| {
            mark::hit(Mark::Desync);
            Code::Desync
        })
    }

    /// Finds a session by its number: an error above the highest opened, nothing if it has ended.
    pub(super) fn find(&mut self, id: TunnelId, number: u64) -> Result<Option<SessionId>, Code> {
        let Some(tunnel) = self.tunnels.get(id) else {
            return Ok(None);
        };
        let found = tunnel.find(number).map_err(|()| {
            mark::hit(Mark::Stranger);
            Code::Protocol
        })?;
        if found.is_none() {
            mark::hit(Mark::LateFrame);
            self.counters.frames_late += 1;
        }
        Ok(found)
    }
}

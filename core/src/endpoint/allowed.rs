//! What a session may move, of what it could: its account has a say.

use super::desk::Desk;
use super::engine::Engine;
use crate::account::Way;
use crate::arena::SessionId;
use crate::mark::{self, Mark};
use crate::planted::{self, Planted};
use crate::session::Session;
use crate::time::Instant;

impl<D: Desk> Engine<D> {
    /// Returns how many of the bytes that wait for the session's socket it may see.
    pub(super) fn readable(&self, now: Instant, id: SessionId) -> usize {
        self.sessions
            .get(id)
            .map_or(0, |session| Self::readable_of(&self.desk, now, session))
    }

    pub(super) fn readable_of(desk: &D, now: Instant, session: &Session<D::Flow>) -> usize {
        let len = session.readable();
        if len == 0 || (session.is_ended() && planted::on(Planted::TailUncharged)) {
            return len;
        }
        let allowance = desk.allowance(now, session, Way::Down, len);
        len.min(usize::try_from(allowance).unwrap_or(usize::MAX))
    }

    /// Returns how many of `room` bytes the session may take from its client. One that may take none is
    /// called when it may.
    pub(super) fn take_in(&mut self, now: Instant, id: SessionId, room: usize) -> usize {
        if room == 0 {
            return 0;
        }
        let Some(session) = self.sessions.get_mut(id) else {
            return 0;
        };
        let allowance = self.desk.allowance(now, session, Way::Up, room);
        if allowance == 0 {
            self.desk
                .queue_up(now, &mut self.agenda, id, session, Way::Up);
        }
        room.min(usize::try_from(allowance).unwrap_or(usize::MAX))
    }

    /// Returns how many bytes the session may write to its client. One that may write none of what
    /// waits is called when it may.
    pub(super) fn show(&mut self, now: Instant, id: SessionId) -> usize {
        let Some(session) = self.sessions.get_mut(id) else {
            return 0;
        };
        let readable = Self::readable_of(&self.desk, now, session);
        if readable == 0 && session.readable() > 0 {
            self.desk
                .queue_up(now, &mut self.agenda, id, session, Way::Down);
        }
        readable
    }

    /// Books the bytes of the send queue that could not be booked when they were taken.
    pub(super) fn pay(&mut self, now: Instant, id: SessionId) {
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        let unpaid = session.unpaid();
        if unpaid == 0 {
            return;
        }
        let paid = self
            .desk
            .allowance(now, session, Way::Up, unpaid)
            .min(unpaid as u64);
        session.pay(paid);
        self.desk
            .carry(now, &mut self.agenda, session, Way::Up, paid);
        if paid < unpaid as u64 {
            mark::hit(Mark::WriteUnpaid);
            self.desk
                .queue_up(now, &mut self.agenda, id, session, Way::Up);
        }
    }
}

//! What the session's driver does.

use super::driver::Driver;
use super::send::Fin;
use super::{CloseMode, Flow, Phase, Session};
use crate::mark::{self, Mark};
use crate::time::Instant;
use bytes::Bytes;
use titan_proto::Code;

impl<F: Flow> Session<F> {
    /// Takes bytes read from the socket; false if the direction takes none.
    pub(crate) fn write(&mut self, now: Instant, bytes: Bytes) -> bool {
        let send = &mut self.body.send;
        if !matches!(self.phase, Phase::Dialling(_) | Phase::Open)
            || send.stopped
            || send.fin != Fin::Open
        {
            return false;
        }
        if bytes.is_empty() {
            return true;
        }
        self.moved_at = now;
        send.unpaid += bytes.len();
        send.queue.push_owned(bytes);
        true
    }

    /// Returns how many bytes the driver may read from the socket. One that finds no room waits for it.
    pub(crate) fn room(&mut self, queue_max: usize) -> usize {
        let room = if self.is_live() {
            self.body.send.room(queue_max)
        } else {
            0
        };
        self.body.send.starved |= room == 0;
        room
    }

    /// Returns the bytes at the end of the send queue that are not booked yet.
    pub(crate) const fn unpaid(&self) -> usize {
        self.body.send.unpaid
    }

    /// Notes that so many of them are booked.
    pub(crate) fn pay(&mut self, bytes: u64) {
        self.body.send.unpaid -= usize::try_from(bytes).unwrap_or(usize::MAX);
    }

    /// Ends the direction from the socket; false if it has ended.
    pub(crate) fn finish(&mut self, now: Instant) -> bool {
        let ends = self.body.send.fin == Fin::Open && !self.is_ended();
        if ends {
            self.body.send.fin = Fin::Queued;
            self.moved_at = now;
        }
        ends
    }

    /// Tells whether the direction from the socket has ended.
    pub(crate) fn has_finished(&self) -> bool {
        self.body.send.fin != Fin::Open
    }

    /// Returns the bytes that wait for the socket.
    pub(crate) const fn readable(&self) -> usize {
        self.body.recv.queue.len()
    }

    pub(crate) fn slices(&self) -> impl Iterator<Item = &[u8]> {
        self.body.recv.queue.slices()
    }

    /// Notes that bytes were written to the socket.
    pub(crate) fn release(&mut self, now: Instant, count: usize) {
        self.body.recv.release(count);
        self.charge.progress.take(now, count);
        if count > 0 {
            self.moved_at = now;
        }
    }

    /// Owes the peer credit if what was freed is worth a frame.
    pub(crate) fn return_credit(&mut self) {
        self.due.credit |= self.body.recv.wants_credit();
    }

    /// Ends the direction to the socket, which takes no more.
    pub(crate) fn stop(&mut self, code: Code) {
        let recv = &mut self.body.recv;
        if recv.stopped {
            return;
        }
        recv.stop();
        if recv.fin.is_none() && !self.is_ended() {
            self.due.stop = Some(code);
        }
    }

    /// Closes the session, and its driver lets go of it. What was read before still leaves until the
    /// deadline, if the peer knows of the session and `mode` allows.
    pub(crate) fn close(&mut self, code: Code, mode: CloseMode, deadline: Instant) {
        self.driver = Driver::Gone;
        self.body.recv.stop();
        if self.is_live() {
            self.flow.abandoned();
        }
        match (&self.phase, mode) {
            (Phase::Ended { .. }, _) | (Phase::Closing { .. }, CloseMode::Flush) => {}
            (Phase::Dialling(_) | Phase::Open, CloseMode::Flush) if self.is_announced() => {
                if self.is_dialling() {
                    mark::hit(Mark::CloseWhileDialling);
                }
                // No other exit will be tried.
                self.phase = Phase::Closing { code, deadline };
                self.due.credit = false;
            }
            (Phase::Dialling(_) | Phase::Open | Phase::Closing { .. }, _) => {
                self.reset(code, deadline);
            }
        }
    }

    /// Takes the session from its driver before it was given to one.
    pub(crate) fn without_driver(mut self) -> Self {
        self.driver = Driver::Gone;
        self
    }

    /// Returns what the session has taken from its socket and given to it, and not dropped; for audits.
    /// `None` for a direction that drops bytes. What is wrong is the audit's find.
    #[track_caller]
    pub(crate) fn counted(&self) -> (Option<u64>, Option<u64>) {
        let (send, recv) = (&self.body.send, &self.body.recv);
        assert!(
            send.unpaid <= send.queue.len(),
            "I9: a session owes for bytes that are gone"
        );
        let taken = send.offset + send.queue.len() as u64 - send.unpaid as u64;
        let live = self.is_live();
        (
            (live && !send.stopped).then_some(taken),
            (live && !recv.stopped).then_some(recv.released),
        )
    }
}

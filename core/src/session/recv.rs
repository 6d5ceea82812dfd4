//! The receiving half of a session: bytes from the peer on their way to the socket.

use super::queue::ByteQueue;
use crate::config::GROWTH_RTT_MIN;
use crate::planted::{self, Planted};
use crate::time::{Duration, Instant};
use bytes::Bytes;

/// What the peer did wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum RecvError {
    /// Bytes beyond the limit.
    OverCredit,
    /// Bytes after the end, or an end that does not match.
    AfterEnd,
}

#[derive(Debug)]
pub(super) struct RecvHalf {
    pub(super) queue: ByteQueue,
    /// Bytes received so far.
    pub(super) offset: u64,
    /// Offset that the peer may send up to.
    pub(super) limit: u64,
    /// Bytes that left for the socket, or were discarded.
    pub(super) released: u64,
    pub(super) window: u64,
    /// The direction's length, once the peer said so.
    pub(super) fin: Option<u64>,
    /// Bytes are discarded: the socket takes no more.
    pub(super) stopped: bool,
    epoch: Epoch,
}

/// The stretch over which the use of one window is timed.
#[derive(Debug)]
struct Epoch {
    start: Instant,
    released: u64,
    braked: bool,
}

impl RecvHalf {
    pub(super) fn new(now: Instant, limit: u64, window: u64) -> Self {
        Self {
            queue: ByteQueue::default(),
            offset: 0,
            limit,
            released: 0,
            window,
            fin: None,
            stopped: false,
            epoch: Epoch {
                start: now,
                released: 0,
                braked: false,
            },
        }
    }

    pub(super) fn push(&mut self, bytes: Bytes) -> Result<(), RecvError> {
        if self.fin.is_some() {
            return Err(RecvError::AfterEnd);
        }
        let offset = self.offset + bytes.len() as u64;
        if offset > self.limit && !planted::on(Planted::OverrunTaken) {
            return Err(RecvError::OverCredit);
        }
        self.offset = offset;
        if self.stopped {
            self.released = offset;
        } else {
            self.queue.push_passing(bytes);
        }
        Ok(())
    }

    pub(super) fn finish(&mut self, final_offset: u64) -> Result<(), RecvError> {
        if self.fin.is_some() || final_offset != self.offset {
            return Err(RecvError::AfterEnd);
        }
        self.fin = Some(final_offset);
        Ok(())
    }

    /// Notes that bytes were written to the socket; some may have been dropped meanwhile.
    pub(super) fn release(&mut self, count: usize) {
        let count = count.min(self.queue.len());
        self.queue.advance(count);
        self.released += count as u64;
    }

    /// Discards everything now and later.
    pub(super) fn stop(&mut self) {
        self.stopped = true;
        self.queue.clear();
        self.released = self.offset;
    }

    /// Copies what stays beyond the turn; a socket that leaves something is the brake.
    pub(super) fn settle(&mut self) {
        if self.queue.has_passing() {
            self.epoch.braked = true;
            self.queue.settle();
        }
    }

    /// Tells whether the socket has left something lately: it is what limits.
    pub(super) const fn is_braked(&self) -> bool {
        self.epoch.braked
    }

    /// Tells whether the whole direction was received and has left.
    pub(super) fn is_done(&self) -> bool {
        self.fin.is_some() && self.queue.is_empty()
    }

    /// Tells whether a new limit is worth a frame: a quarter window has been freed.
    pub(super) const fn wants_credit(&self) -> bool {
        self.fin.is_none() && self.target_limit() - self.limit >= self.window / 4
    }

    /// Returns the limit that a CREDIT sent now would carry. A window shrunk under memory pressure
    /// never takes a limit back.
    pub(super) const fn target_limit(&self) -> u64 {
        let target = self.released.saturating_add(self.window);
        if target > self.limit {
            target
        } else {
            self.limit
        }
    }

    /// Takes the limit that a CREDIT carries which is sent now.
    pub(super) const fn raise_limit(&mut self) -> u64 {
        self.limit = self.target_limit();
        self.limit
    }

    /// Tells, once per window, whether it was used up so fast that it should double.
    pub(super) fn outgrown(&mut self, now: Instant, rtt: Option<Duration>) -> bool {
        if self.released - self.epoch.released < self.window {
            return false;
        }
        let rtt = rtt.unwrap_or(GROWTH_RTT_MIN).max(GROWTH_RTT_MIN);
        let outgrown = !self.epoch.braked && now.since(self.epoch.start) < rtt * 2;
        self.epoch = Epoch {
            start: now,
            released: self.released,
            braked: false,
        };
        outgrown
    }
}

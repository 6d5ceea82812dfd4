//! The sending half of a session: bytes from its socket on their way to the peer.

use super::queue::ByteQueue;
use crate::planted::{self, Planted};
use bytes::Bytes;

/// How far the end of the direction has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fin {
    /// More may be written.
    Open,
    /// The driver finished; HALF_CLOSE follows the last byte.
    Queued,
    /// HALF_CLOSE is on its way.
    Sent,
}

/// Offsets are absolute, so that credit cannot leak: it is `limit - offset`, nothing else.
#[derive(Debug)]
pub(super) struct SendHalf {
    pub(super) queue: ByteQueue,
    /// Bytes at the end of the queue that are not booked yet: they may not be framed.
    pub(super) unpaid: usize,
    /// Bytes framed so far.
    pub(super) offset: u64,
    /// Offset the peer allows.
    pub(super) limit: u64,
    pub(super) fin: Fin,
    /// The peer reads no more.
    pub(super) stopped: bool,
    /// The driver found no room and waits for it.
    pub(super) starved: bool,
}

impl SendHalf {
    pub(super) fn new(limit: u64) -> Self {
        Self {
            queue: ByteQueue::default(),
            unpaid: 0,
            offset: 0,
            limit,
            fin: Fin::Open,
            stopped: false,
            starved: false,
        }
    }

    pub(super) const fn credit(&self) -> u64 {
        self.limit - self.offset
    }

    /// Returns how many bytes the driver may read from the socket for it.
    pub(super) fn room(&self, queue_max: usize) -> usize {
        if self.fin != Fin::Open || self.stopped {
            return 0;
        }
        let credit = usize::try_from(self.credit()).unwrap_or(usize::MAX);
        queue_max.min(credit).saturating_sub(self.queue.len())
    }

    /// Tells whether a frame could be made now.
    pub(super) fn is_ready(&self) -> bool {
        if self.queue.is_empty() {
            self.fin == Fin::Queued
        } else {
            self.credit() > 0 && self.queue.len() > self.unpaid
        }
    }

    /// Takes the bytes of the next frame.
    pub(super) fn take(&mut self, max: usize) -> Bytes {
        let credit = usize::try_from(self.credit()).unwrap_or(usize::MAX);
        let paid = self.queue.len() - self.unpaid;
        let bytes = self.queue.take(max.min(credit).min(paid));
        self.offset += bytes.len() as u64;
        assert!(
            self.offset <= self.limit,
            "a frame never exceeds its credit"
        );
        bytes
    }

    /// Tells whether the next frame is the end of the direction.
    pub(super) fn ends_now(&self) -> bool {
        planted::bend(Planted::FinBeforeData, self.queue.is_empty(), |is_empty| {
            is_empty || (self.fin == Fin::Queued && self.queue.len() > 8 << 10)
        })
    }

    /// Tells, once, that a driver that waits for room has `room_min` or, with nothing left in the
    /// queue, any.
    pub(super) fn relieve(&mut self, queue_max: usize, room_min: usize) -> bool {
        if !self.starved {
            return false;
        }
        let room = self.room(queue_max);
        let relieved = room > 0 && (room >= room_min || self.queue.is_empty());
        self.starved = !relieved;
        relieved
    }

    /// Notes that the peer reads no more. What waits is dropped, and the end of the direction follows.
    pub(super) fn stop(&mut self) {
        self.stopped = true;
        self.clear();
        if self.fin == Fin::Open {
            self.fin = Fin::Queued;
        }
    }

    /// Begins again towards another peer: what was framed for the former one goes before what waits.
    pub(super) fn restart(&mut self, finished: bool, again: impl Iterator<Item = Bytes>) {
        self.offset = 0;
        self.limit = 0;
        self.stopped = false;
        self.fin = if finished { Fin::Queued } else { Fin::Open };
        self.queue.prepend(again);
    }

    /// Tells whether the driver waits for room although the queue is empty and there is credit: then it is
    /// memory that there was none of.
    pub(super) fn lacks_memory(&self) -> bool {
        self.starved
            && self.queue.is_empty()
            && self.fin == Fin::Open
            && !self.stopped
            && self.credit() > 0
    }

    pub(super) fn lacks_credit(&self) -> bool {
        self.credit() == 0 && self.fin == Fin::Open && self.offset > 0
    }

    /// Drops what waits.
    pub(super) fn clear(&mut self) {
        self.queue.clear();
        self.unpaid = 0;
    }

    pub(super) fn raise(&mut self, limit: u64) {
        if limit > self.limit {
            self.limit = planted::bend(Planted::CreditOffByOne, limit, |limit| limit + 1);
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.fin == Fin::Sent
    }
}

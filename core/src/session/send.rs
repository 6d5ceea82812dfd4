//! The sending half of a session: bytes from its socket on their way to the peer.

use super::queue::ByteQueue;
use crate::planted::{self, Planted};
use bytes::Bytes;

/// How far the end of the direction has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fin {
    /// More may be written.
    Open,
    /// The driver finished; HALF_CLOSE follows the last byte.
    Queued,
    /// HALF_CLOSE is on its way.
    Sent,
}

/// Offsets are absolute, so that credit cannot leak: it is `limit - offset`, nothing else.
#[derive(Debug)]
pub(crate) struct SendHalf {
    pub(crate) queue: ByteQueue,
    /// Bytes at the end of the queue that are not booked yet: they may not be framed.
    pub(crate) unpaid: usize,
    /// Bytes framed so far.
    pub(crate) offset: u64,
    /// Offset the peer allows.
    pub(crate) limit: u64,
    pub(crate) fin: Fin,
    /// The peer reads no more.
    pub(crate) stopped: bool,
}

impl SendHalf {
    pub(crate) fn new(limit: u64) -> Self {
        Self {
            queue: ByteQueue::default(),
            unpaid: 0,
            offset: 0,
            limit,
            fin: Fin::Open,
            stopped: false,
        }
    }

    pub(crate) const fn credit(&self) -> u64 {
        self.limit - self.offset
    }

    /// Returns how many bytes the driver may read from the socket for it.
    pub(crate) fn room(&self, queue_max: usize) -> usize {
        if self.fin != Fin::Open || self.stopped {
            return 0;
        }
        let credit = usize::try_from(self.credit()).unwrap_or(usize::MAX);
        queue_max.min(credit).saturating_sub(self.queue.len())
    }

    /// Tells whether a frame could be made now.
    pub(crate) fn is_ready(&self) -> bool {
        if self.queue.is_empty() {
            self.fin == Fin::Queued
        } else {
            self.credit() > 0 && self.queue.len() > self.unpaid
        }
    }

    /// Takes the bytes of the next frame.
    pub(crate) fn take(&mut self, max: usize) -> Bytes {
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

    /// Drops what waits.
    pub(crate) fn clear(&mut self) {
        self.queue.clear();
        self.unpaid = 0;
    }

    pub(crate) fn raise(&mut self, limit: u64) {
        if limit > self.limit {
            self.limit = limit + u64::from(planted::on(Planted::CreditOffByOne));
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.fin == Fin::Sent
    }
}

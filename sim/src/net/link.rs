//! One direction between two hosts.

use super::conn::{Packet, Side};
use super::ids::ConnId;
use core::time::Duration;
use std::collections::VecDeque;
use titan_core::time::Instant;

/// What a packet is and where it goes.
#[derive(Clone, Debug)]
pub(super) struct Parcel {
    pub(super) conn: ConnId,
    pub(super) to: Side,
    pub(super) packet: Packet,
}

#[derive(Debug)]
pub(super) struct Link {
    pub(super) delay: Duration,
    /// Bytes per second; none is unlimited.
    pub(super) bandwidth: Option<u64>,
    /// When the last byte handed to it has left.
    free_at: Instant,
    pub(super) partitioned: bool,
    /// What was lost and will be sent again once the path works.
    pub(super) held: VecDeque<Parcel>,
}

impl Link {
    pub(super) fn new(delay: Duration) -> Self {
        Self {
            delay,
            bandwidth: None,
            free_at: Instant::EPOCH,
            partitioned: false,
            held: VecDeque::new(),
        }
    }

    /// Returns when `len` bytes handed over now arrive; those before them go first.
    pub(super) fn arrival(&mut self, now: Instant, len: usize) -> Instant {
        let Some(bandwidth) = self.bandwidth.filter(|_| len > 0) else {
            return now + self.delay;
        };
        let nanos = (len as u128) * 1_000_000_000 / u128::from(bandwidth.max(1));
        let busy = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        self.free_at = self.free_at.max(now) + busy;
        self.free_at + self.delay
    }
}

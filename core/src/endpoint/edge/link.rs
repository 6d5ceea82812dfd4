//! The edge's part of a tunnel, and of the carrier that is to bear it.

use crate::arena::{TunnelId, UplinkId};
use crate::memory::User;
use crate::time::Instant;
use crate::tunnel::Peer;
use titan_proto::{Frame, wire};

/// Who is at the other end of a carrier: the way to the POP, and the tunnel to be resumed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(super) uplink: UplinkId,
    pub(super) resume: Option<TunnelId>,
}

/// The edge's part of a tunnel.
#[derive(Debug)]
pub(crate) struct Link {
    pub(super) uplink: UplinkId,
    /// The latest STATUS not sent yet.
    pub(super) status: Option<wire::Status>,
}

impl Link {
    /// Returns whom a group of this POP is counted as: its number is the POP's.
    pub(super) const fn user(&self, group: u32) -> User {
        User {
            owner: self.uplink.slot() as u32,
            group,
        }
    }

    /// Has the POP told how much this edge takes on.
    pub(super) const fn report(&mut self, status: wire::Status) {
        self.status = Some(status);
    }
}

impl Peer for Link {
    fn next_order(&mut self) -> Option<Frame> {
        None
    }

    fn has_order(&self) -> bool {
        false
    }

    fn next_notice(&mut self) -> Option<Frame> {
        self.status.take().map(Frame::Status)
    }

    fn has_notice(&self) -> bool {
        self.status.is_some()
    }

    fn leaves_at(&self) -> Option<Instant> {
        None
    }
}

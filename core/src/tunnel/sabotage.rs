//! What planted bugs do to a tunnel, beyond what one call can.

use super::{Peer, Tunnel};

impl<P: Peer> Tunnel<P> {
    /// Forgets that users were passed over, and leaves the line of tunnels that look again.
    pub(super) const fn lose_passed_over(&mut self) -> Option<u64> {
        self.scarce = None;
        None
    }
}

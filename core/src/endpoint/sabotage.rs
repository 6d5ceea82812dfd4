//! What planted bugs do to an endpoint, beyond what one call can.

use super::desk::Desk;
use super::engine::Engine;
use crate::arena::TunnelId;

impl<D: Desk> Engine<D> {
    /// Forgets which ends of a tunnel's sessions the peer is to be told of.
    pub(super) fn lose_ends(&mut self, id: TunnelId) {
        let tunnel = self.tunnels.get(id).into_iter();
        for id in tunnel.flat_map(|tunnel| tunnel.session_ids()) {
            if let Some(session) = self.sessions.get_mut(id) {
                session.lose_end();
            }
        }
    }
}

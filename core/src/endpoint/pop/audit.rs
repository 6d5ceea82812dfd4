//! What a POP keeps of nodes and their tunnels beside them, counted again.

use super::desk::PopDesk;
use super::{PopRole, key_of};
use crate::endpoint::engine::Engine;
use crate::time::Instant;

impl PopRole {
    /// Checks that every tunnel is found by its id on the wire and by its node, that nothing else is, and
    /// that the index has each exit where it belongs and knows all of it that a choice goes by, and how many of
    /// its places are taken (I10).
    pub(super) fn audit_places(&self, engine: &Engine<PopDesk>, now: Instant) {
        let index = self.index.audit(now);
        assert!(index.is_ok(), "I6: the index of exits: {index:?}");
        for (id, tunnel) in engine.tunnels.iter() {
            let exit = engine.exit_of(tunnel);
            assert!(
                self.index.holds(key_of(id), exit),
                "I10: the index knows {:?} of {id:?}, which is {exit:?}",
                self.index.state(key_of(id))
            );
            assert!(
                self.by_wire.get(&tunnel.wire()) == Some(&id),
                "I6: {id:?} is found by its id"
            );
            let entry = self.nodes.get(tunnel.peer().name());
            assert!(
                entry.is_some_and(|entry| entry.tunnels().any(|known| known == id)),
                "I6: {id:?} is found by its node"
            );
        }
        assert!(
            self.by_wire.len() == engine.tunnels.len() && self.index.len() == self.by_wire.len(),
            "I6: tunnels that are no more are known by their ids or as exits"
        );
        let mut known = self.nodes.values().flat_map(|entry| entry.tunnels());
        assert!(
            known.all(|id| engine.tunnels.get(id).is_some())
                && self.nodes.values().all(|entry| entry.has_tunnel()),
            "I6: nodes that are here no more are known"
        );
    }
}

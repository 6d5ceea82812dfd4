//! Leases, counted again from the sessions that hold them.

use super::super::PopRole;
use super::Engine;
use crate::exit::lease::LeaseKey;
use alloc::collections::BTreeMap;

impl PopRole {
    /// Checks what holds about leases (I8), by counting again.
    pub(in crate::endpoint::pop) fn audit_leases(&self, engine: &Engine) {
        let mut holders = BTreeMap::<(LeaseKey, u64), u32>::new();
        for (id, session) in engine.sessions.iter() {
            let Some(held) = session.pop().and_then(|side| side.held.as_deref()) else {
                continue;
            };
            *holders
                .entry((held.key.clone(), held.generation))
                .or_default() += 1;
            let lease = self.leases.get(&held.key);
            let current = lease.filter(|lease| lease.generation == held.generation);
            let node = engine
                .tunnels
                .get(session.tunnel)
                .and_then(crate::tunnel::Tunnel::node);
            if session.mapped && !session.is_ended() {
                assert!(
                    current.map(|lease| &*lease.node) == node,
                    "I8: {id:?} is at {node:?} and not where its name is bound to"
                );
            }
        }
        self.leases.audit(&holders);
        assert!(
            self.leases.next_expiry().is_some() == engine.lease_timer.is_some(),
            "I6: the leases' timer"
        );
    }
}

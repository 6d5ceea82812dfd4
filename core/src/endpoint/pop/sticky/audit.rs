//! Leases, counted again from the sessions that hold them.

use super::super::PopRole;
use super::super::desk::PopDesk;
use crate::endpoint::engine::Engine;
use crate::exit::lease::LeaseKey;
use crate::time::Instant;
use alloc::collections::BTreeMap;

impl PopRole {
    /// Checks what holds about leases (I8), by counting again.
    pub(in crate::endpoint::pop) fn audit_leases(&self, engine: &Engine<PopDesk>, now: Instant) {
        let mut holders = BTreeMap::<(LeaseKey, u64), u32>::new();
        for (id, session) in engine.sessions.iter() {
            let Some(grip) = session.flow().grip.as_deref() else {
                continue;
            };
            *holders
                .entry((grip.key.clone(), grip.generation))
                .or_default() += 1;
            let lease = self.leases.get(&grip.key);
            let current = lease.filter(|lease| lease.generation == grip.generation);
            if let Some(on) = session.tunnel()
                && !session.is_ended()
            {
                let node = engine.tunnels.get(on).map(|tunnel| tunnel.peer().name());
                assert!(
                    current.map(|lease| &*lease.node) == node,
                    "I8: {id:?} is at {node:?} and not where its name is bound to"
                );
            }
        }
        self.leases.audit(&holders);
        let (next, timer) = (self.leases.next_expiry(), self.lease_timer);
        let exact = next.is_none_or(|next| next > now);
        assert!(
            timer.is_some() == next.is_some() && (!exact || timer == next),
            "I6: the leases' timer is armed for {timer:?}, the next is idle until {next:?}"
        );
    }
}

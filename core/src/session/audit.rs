//! Checks of everything that must hold of one session.

use super::{Attempt as _, Flow, Session};
use crate::arena::SessionId;
use crate::config::Config;
use crate::memory::Charge;
use crate::tunnel::{Peer, Tunnel};

impl<F: Flow> Session<F> {
    /// Checks the session by itself and against its tunnel, and returns its charges.
    pub(crate) fn audit<P: Peer>(
        &self,
        id: SessionId,
        tunnel: Option<&Tunnel<P>>,
        config: &Config,
    ) -> Charge {
        if let Err(what) = self.body.audit(config.window_max) {
            panic!("{what}: {id:?}");
        }
        let charge = self.audit_pinned();
        if let Some(attempt) = self.attempt() {
            let sent = self.tunnel().map(|_| self.body.send.offset);
            assert!(attempt.audit(sent), "I7: {id:?} early data is complete");
            assert!(
                attempt.deadline().is_none() || self.timer.is_some(),
                "I6: {id:?} dials without a deadline"
            );
        }
        self.audit_place(id, tunnel);
        charge
    }
}

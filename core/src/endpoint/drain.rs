//! Going away without cutting anything off (requirement B6).
//!
//! A draining side takes on nothing new, tells its peers so, and keeps what runs: tunnels are resumed
//! as ever. [`Event::Drained`] says that nothing is left which its end would cut off. A deadline is
//! the driver's business.

use super::engine::Engine;
use super::{EdgeRole, Endpoint, Event, PopRole, Role};
use crate::planted::{self, Planted};
use crate::time::{Duration, Instant};
use titan_proto::{Code, wire};

/// What a node without a tunnel is asked to wait by a draining POP: long enough that whoever sends
/// nodes here has heard of it, short because the node is not wanted elsewhere for it.
pub(super) const NEWCOMER_RETRY: Duration = Duration::from_secs(1);

impl<R: Role> Endpoint<R> {
    /// Tells whether this side is going away.
    #[must_use]
    pub const fn is_draining(&self) -> bool {
        self.engine.draining
    }
}

impl Endpoint<PopRole> {
    /// Takes on no session and no node any more, and tells every edge to look for another POP.
    /// [`Event::Drained`] follows when the last session is over and its edge knows.
    ///
    /// The order is told once per tunnel: like every numbered frame it arrives, over whatever carrier.
    pub fn drain(&mut self, now: Instant) {
        let now = self.enter(now);
        if !core::mem::replace(&mut self.engine.draining, true) {
            let order = wire::Command {
                action: wire::command::Action::Drain as i32,
                code: Code::ShuttingDown.wire(),
                ..wire::Command::default()
            };
            for id in self.engine.tunnels.keys() {
                if let Some(tunnel) = self.engine.tunnels.get_mut(id) {
                    tunnel.commands.insert(order.action, order);
                }
                self.engine.mark(id);
            }
        }
        self.leave(now);
    }
}

impl Endpoint<EdgeRole> {
    /// Takes on no session any more and tells every POP; uplinks go with their tunnels.
    /// [`Event::Drained`] follows when the last session is over and its POP knows.
    pub fn drain(&mut self, now: Instant) {
        let now = self.enter(now);
        if !core::mem::replace(&mut self.engine.draining, true) {
            let status = wire::Status {
                accepting: false,
                sessions_max: self.engine.config.sessions_max,
                reason: Code::ShuttingDown.wire(),
                until_ms: 0,
            };
            self.role.announce(&mut self.engine, status);
            self.role.retire_all(&mut self.engine, now);
        }
        self.leave(now);
    }
}

impl Engine {
    /// Tells, once, that nothing is left that the end of this process would cut off: no session, and
    /// no frame of one that its peer may not have.
    pub(crate) fn tell_drained(&mut self) {
        let empty = self.sessions.len() == 0 || planted::on(Planted::DrainedTooSoon);
        if self.draining && !self.drained && empty && self.owing == 0 {
            self.drained = true;
            self.events.push_back(Event::Drained);
        }
    }
}

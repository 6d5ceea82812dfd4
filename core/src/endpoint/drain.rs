//! Going away without cutting anything off (requirement B6).
//!
//! A draining side takes on nothing new, tells its peers so, and keeps what runs: tunnels are resumed
//! as ever. [`Event::Drained`] says that nothing is left which its end would cut off. A deadline is
//! the driver's business.

use super::desk::Desk;
use super::engine::{Engine, Life};
use super::{Endpoint, Event, Role};
use crate::planted::{self, Planted};
use titan_proto::Code;

impl<R: Role> Endpoint<R> {
    /// Tells whether this side is going away.
    #[must_use]
    pub const fn is_draining(&self) -> bool {
        self.engine.is_leaving()
    }
}

impl<D: Desk> Engine<D> {
    /// Tells whether this side takes on nothing new.
    pub(super) const fn is_leaving(&self) -> bool {
        !matches!(self.life, Life::Serving)
    }

    /// Begins to drain; false if this side is leaving already.
    pub(super) const fn begin_drain(&mut self) -> bool {
        let begins = !self.is_leaving();
        if begins {
            self.life = Life::Draining;
        }
        begins
    }

    /// Says goodbye on every carrier.
    pub(super) fn part(&mut self, now: crate::time::Instant, code: Code) {
        self.life = Life::Gone;
        for id in self.carriers.keys() {
            self.dismiss(now, id, code, crate::time::Duration::ZERO);
        }
    }

    /// Tells, once, that nothing is left that the end of this process would cut off: no session, and
    /// no frame of one that its peer may not have.
    pub(super) fn tell_drained(&mut self) {
        let empty = self.sessions.len() == 0 || planted::on(Planted::DrainedTooSoon);
        if self.life == Life::Draining && empty && self.owing == 0 {
            self.life = Life::Drained;
            self.agenda.events.push_back(Event::Drained);
        }
    }
}

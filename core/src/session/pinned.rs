//! What a session pins of the process's memory.

use super::charge::{Pinned, Progress};
use super::{Attempt as _, Flow, Session};
use crate::arena::{SessionId, TunnelId};
use crate::config::{Config, REST_AFTER};
use crate::mark::{self, Mark};
use crate::memory::{Charge, Held, Memory, UserId};
use crate::planted::{self, Planted};
use crate::time::{Duration, Instant};
use crate::tunnel::{Scheduler, Ticket};

impl<F: Flow> Session<F> {
    /// Returns whom the session is charged to.
    pub(crate) const fn user(&self) -> UserId {
        self.charge.user
    }

    /// Returns what it is charged for.
    pub(crate) const fn held(&self) -> u64 {
        self.charge.held.total
    }

    /// Returns how many bytes wait to be sent.
    pub(crate) const fn queued(&self) -> usize {
        self.body.send.queue.len()
    }

    fn pinned(&self) -> u64 {
        self.body.charge() + self.attempt().map_or(0, F::Attempt::charge)
    }

    /// Brings the charges up to what the session holds now.
    pub(crate) fn recharge(&mut self, now: Instant, id: SessionId, memory: &mut Memory) {
        let (old, waiting) = (self.charge.held, self.body.waiting());
        let total = planted::bend(Planted::HeldMiscounted, self.pinned(), |total| {
            let kept = self.body.send.stopped && !self.is_ended();
            if kept { total.max(old.total) } else { total }
        });
        let new = Held { total, waiting };
        if new == old {
            return;
        }
        let charge = &mut self.charge;
        if memory.recharge((charge.user, id), &mut charge.noted, old, new) {
            charge.progress = Progress::since(now);
        }
        charge.held = new;
    }

    /// Gives everything back. The session is on no tunnel any more.
    pub(crate) fn discharge(&mut self, id: SessionId, memory: &mut Memory) {
        let charge = &mut self.charge;
        let none = Held::default();
        memory.recharge((charge.user, id), &mut charge.noted, charge.held, none);
        charge.held = none;
        if self.ended() == Some(titan_proto::Code::Ok) || !planted::on(Planted::GrowthKept) {
            memory.shrink(self.charge.user, self.charge.grown);
        }
        memory.leave(self.charge.user, id, self.charge.noted);
    }

    /// Tells whether the session has to let go when memory is short: it leaves something waiting for a
    /// socket that takes next to nothing. A dial has none yet, and its time is short.
    pub(crate) fn stands_still(
        &mut self,
        now: Instant,
        id: SessionId,
        memory: &mut Memory,
    ) -> bool {
        let dials = self.is_dialling();
        let charge = &mut self.charge;
        memory.renote((charge.user, id), &mut charge.noted, charge.held.waiting)
            && charge.progress.is_none(now)
            && !dials
    }

    /// Lets the session stand in its user's line of those that wait for memory, if its driver waits for that
    /// alone. True if it did not stand there yet.
    pub(crate) fn join_denied(&mut self, id: SessionId, lines: &mut Scheduler) -> bool {
        let joins = self.body.send.lacks_memory() && self.is_live() && self.denied.is_none();
        if joins {
            self.denied = Some(lines.push(self.charge.user.slot(), 1, id));
        }
        joins
    }

    /// Returns its place in that line.
    pub(crate) const fn denied(&self) -> Option<Ticket> {
        self.denied
    }

    /// Notes that it has left that line: its driver is told that there is memory again.
    pub(crate) fn leave_denied(&mut self, room: usize) {
        self.denied = None;
        if self.is_live()
            && self.body.send.relieve(room, 1)
            && !planted::on(Planted::DeniedForgotten)
        {
            self.tell_driver();
        }
    }

    /// Copies what its socket has left of a shared read block.
    pub(crate) fn settle(&mut self) {
        self.unsettled = false;
        self.body.recv.settle();
    }

    /// Tells, once until it is settled, that the session holds slices of a read block.
    pub(crate) fn unsettle(&mut self) -> bool {
        let holds = self.body.recv.queue.has_passing();
        holds && !core::mem::replace(&mut self.unsettled, true)
    }

    /// Fits the window to how fast it is used and to how short memory is.
    pub(crate) fn fit_window(
        &mut self,
        now: Instant,
        rtt: Option<Duration>,
        config: &Config,
        memory: &mut Memory,
    ) {
        let user = self.charge.user;
        let recv = &mut self.body.recv;
        let (window, most) = (recv.window, memory.window_max(user));
        if window > most {
            if self.charge.grown > 0 {
                mark::hit(Mark::GrowthReturned);
            }
            recv.window = most;
            memory.shrink(user, core::mem::take(&mut self.charge.grown));
        } else if recv.outgrown(now, rtt) && window < config.window_max {
            let doubled = (window * 2).min(config.window_max);
            let extra = doubled
                .saturating_sub(config.window_base)
                .saturating_sub(self.charge.grown);
            if memory.grow(user, extra) {
                mark::hit(Mark::WindowGrown);
                self.charge.grown += extra;
                recv.window = doubled;
            } else {
                mark::hit(Mark::GrowthDenied);
            }
        }
    }

    /// Returns when the session gives its growth back if nothing moves.
    pub(crate) fn rests_at(&self) -> Option<Instant> {
        (self.charge.grown > 0).then(|| self.moved_at + REST_AFTER)
    }

    /// Gives the growth of the window back to the pool. A limit once told stays.
    pub(crate) fn rest(&mut self, config: &Config, memory: &mut Memory) {
        mark::hit(Mark::GrowthRested);
        let recv = &mut self.body.recv;
        recv.window = recv.window.min(config.window_base);
        memory.shrink(self.charge.user, core::mem::take(&mut self.charge.grown));
    }

    /// Returns the charges, checked against what is held. What is wrong is the audit's find.
    #[track_caller]
    pub(super) fn audit_pinned(&self) -> Charge {
        let Pinned {
            user,
            held,
            grown,
            noted,
            ..
        } = self.charge;
        if !self.unsettled {
            assert!(held.waiting == self.body.waiting(), "I4: waiting");
            assert!(held.total == self.pinned(), "I4: charge");
        }
        assert!(
            self.denied.is_some() || !(self.is_live() && self.body.send.lacks_memory()),
            "I6: a driver waits for memory that nobody will tell it of"
        );
        Charge {
            user,
            held,
            grown,
            noted,
        }
    }

    /// Tells whether the session is on this tunnel.
    pub(crate) fn is_on(&self, tunnel: TunnelId) -> bool {
        self.tunnel() == Some(tunnel)
    }
}

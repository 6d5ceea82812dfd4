//! What a session pins of the process's memory.

use super::charge::Pinned;
use super::{Attempt as _, Flow, Session};
use crate::arena::TunnelId;
use crate::config::Config;
use crate::mark::{self, Mark};
use crate::memory::{Memory, MemoryLevel, WINDOW_UNDER_PRESSURE};
use crate::planted::{self, Planted};
use crate::time::{Duration, Instant};
use crate::tunnel::{Peer, Tunnel};

impl<F: Flow> Session<F> {
    /// Returns everything the session is charged for.
    pub(crate) const fn charge(&self) -> u64 {
        self.charge.total
    }

    /// Returns what it is charged for bytes that wait for its socket.
    pub(crate) const fn waiting(&self) -> u64 {
        self.charge.waiting
    }

    fn pinned(&self) -> u64 {
        self.body.charge() + self.attempt().map_or(0, F::Attempt::charge)
    }

    /// Brings the charges up to what the session holds now.
    pub(crate) fn recharge<P: Peer>(
        &mut self,
        memory: &mut Memory,
        tunnel: Option<&mut Tunnel<P>>,
    ) {
        let (old, waiting) = (self.charge, self.body.waiting());
        let total = planted::bend(Planted::HeldMiscounted, self.pinned(), |total| {
            let kept = self.body.send.stopped && !self.is_ended();
            if kept { total.max(old.total) } else { total }
        });
        if total != old.total {
            memory.recharge(old.total, total);
            self.charge.total = total;
        }
        if waiting != old.waiting {
            if let Some(tunnel) = tunnel {
                tunnel.hold(self.group, old.waiting, waiting);
            }
            self.charge.waiting = waiting;
        }
    }

    /// Gives everything back. The session is on no tunnel any more.
    pub(crate) fn discharge(&mut self, memory: &mut Memory) {
        memory.recharge(self.charge.total, 0);
        if self.ended() == Some(titan_proto::Code::Ok) || !planted::on(Planted::GrowthKept) {
            memory.shrink(self.charge.grown);
        }
        self.charge = Pinned::default();
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
        level: MemoryLevel,
    ) {
        let recv = &mut self.body.recv;
        let window = recv.window;
        if level >= MemoryLevel::Refusing && window > WINDOW_UNDER_PRESSURE {
            if self.charge.grown > 0 {
                mark::hit(Mark::GrowthReturned);
            }
            recv.window = WINDOW_UNDER_PRESSURE;
            memory.shrink(core::mem::take(&mut self.charge.grown));
        } else if recv.outgrown(now, rtt) && window < config.window_max {
            let doubled = (window * 2).min(config.window_max);
            let extra = doubled
                .saturating_sub(config.window_base)
                .saturating_sub(self.charge.grown);
            if memory.grow(extra) {
                mark::hit(Mark::WindowGrown);
                self.charge.grown += extra;
                recv.window = doubled;
            } else {
                mark::hit(Mark::GrowthDenied);
            }
        }
    }

    /// Returns charge and growth, checked against what is held. What is wrong is the audit's find.
    #[track_caller]
    pub(super) fn audit_pinned(&self) -> (u64, u64) {
        if !self.unsettled {
            assert!(self.charge.waiting == self.body.waiting(), "I4: waiting");
            assert!(self.charge.total == self.pinned(), "I4: charge");
        }
        (self.charge.total, self.charge.grown)
    }

    /// Tells whether the session is on this tunnel.
    pub(crate) fn is_on(&self, tunnel: TunnelId) -> bool {
        self.tunnel() == Some(tunnel)
    }
}

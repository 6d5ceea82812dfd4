//! Held bytes: what is copied, what is charged, and who goes when too much is held (invariant I4).

use super::engine::Engine;
use crate::account::Way;
use crate::arena::SessionId;
use crate::config::SHED_AFTER;
use crate::mark::{self, Mark};
use crate::memory::{MemoryLevel, WINDOW_UNDER_PRESSURE};
use crate::planted::{self, Planted};
use crate::session::Session;
use crate::time::{Duration, Instant};
use crate::timer::Timer;
use titan_proto::Code;

/// How often memory pressure is looked at while it lasts.
const RELIEF_INTERVAL: Duration = Duration::from_secs(1);

impl Engine {
    /// Ends a turn of receiving: what sockets did not take is copied out of the shared read block.
    pub(crate) fn settle(&mut self, now: Instant) {
        let mut unsettled = core::mem::take(&mut self.unsettled);
        for id in unsettled.drain(..) {
            let Some(session) = self.sessions.get_mut(id) else {
                continue;
            };
            session.unsettled = false;
            session.recv.settle();
            self.recharge(id);
            self.check_caps(now, id);
        }
        self.unsettled = unsettled;
        mark_level(self.level());
        match self.level() {
            MemoryLevel::Normal | MemoryLevel::NoGrowth | MemoryLevel::Refusing => {}
            MemoryLevel::Shedding => {
                let at = now + RELIEF_INTERVAL;
                self.timers
                    .arm_sooner(Timer::Memory, &mut self.memory_timer, at);
            }
            MemoryLevel::Full => self.relieve(now),
        }
    }

    /// Lets tunnels send again whose data waited for memory.
    pub(crate) fn relax(&mut self) {
        if self.scarce.is_empty() || self.level() >= MemoryLevel::Refusing {
            return;
        }
        for tunnel in core::mem::take(&mut self.scarce) {
            self.mark(tunnel);
        }
    }

    /// Books bytes that left for a socket, and returns the credit for them.
    pub(crate) fn release(&mut self, now: Instant, id: SessionId, count: usize) {
        let level = self.level();
        let count = count.min(self.readable_len(now, id));
        self.carry(now, id, Way::Down, count as u64);
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        session.recv.release(count);
        session.moved_at = now;
        if session.is_ended() {
            self.recharge(id);
            self.may_show(now, id);
            return;
        }
        let rtt = self
            .tunnels
            .get(session.tunnel)
            .and_then(|tunnel| tunnel.rtt.smoothed());
        let window = session.recv.window;
        let base = self.config.window_base;
        let tunnel = self.tunnels.get(session.tunnel);
        let away = tunnel.is_some_and(|tunnel| tunnel.carrier.is_none());
        if away && session.recv.is_braked() && planted::on(Planted::CreditHeldBack) {
            session.recv.window = session.recv.window.saturating_sub(count as u64);
        }
        let of_group = tunnel.and_then(|tunnel| tunnel.held_by_group.get(&session.group));
        let others_hold = of_group.is_some_and(|&held| held > session.held);
        if others_hold && planted::on(Planted::CreditSharedByGroup) {
            self.recharge(id);
            return;
        }
        if level >= MemoryLevel::Refusing && window > WINDOW_UNDER_PRESSURE {
            if session.grown > 0 {
                mark::hit(Mark::GrowthReturned);
            }
            session.recv.window = WINDOW_UNDER_PRESSURE;
            self.memory.growth -= core::mem::take(&mut session.grown);
        } else if session.recv.outgrown(now, rtt) && window < self.config.window_max {
            let doubled = (window * 2).min(self.config.window_max);
            let extra = doubled.saturating_sub(base).saturating_sub(session.grown);
            if self.memory.grow(extra) {
                mark::hit(Mark::WindowGrown);
                session.grown += extra;
                session.recv.window = doubled;
            } else {
                mark::hit(Mark::GrowthDenied);
            }
        }
        if session.recv.wants_credit() && !session.due.credit {
            session.due.credit = true;
            self.owe(id);
        }
        self.may_show(now, id);
        self.recharge(id);
        self.advance(id);
    }

    /// Resets the largest session without progress until the pressure is off; at the very limit
    /// progress does not count.
    pub(crate) fn relieve(&mut self, now: Instant) {
        loop {
            let patience = match self.level() {
                MemoryLevel::Normal | MemoryLevel::NoGrowth | MemoryLevel::Refusing => return,
                MemoryLevel::Shedding => SHED_AFTER,
                MemoryLevel::Full => Duration::ZERO,
            };
            let charged = |session: &Session| {
                let idle = now.since(session.moved_at) >= patience;
                if idle { session.charged } else { 0 }
            };
            let Some(id) = self.largest(charged) else {
                break;
            };
            mark::hit(if patience.is_zero() {
                Mark::ShedFull
            } else {
                Mark::ShedIdle
            });
            self.shed(now, id);
        }
        let at = now + RELIEF_INTERVAL;
        self.timers
            .arm_sooner(Timer::Memory, &mut self.memory_timer, at);
    }

    /// Holds one tunnel and one group on it to their share.
    fn check_caps(&mut self, now: Instant, id: SessionId) {
        let Some(session) = self.sessions.get(id) else {
            return;
        };
        let (tunnel_id, group) = (session.tunnel, session.group);
        let Some(tunnel) = self.tunnels.get(tunnel_id) else {
            return;
        };
        let group_held = tunnel.held_by_group.get(&group).copied().unwrap_or(0);
        if group_held > self.config.group_held_max {
            mark::hit(Mark::GroupCap);
            self.shed_holder(now, |session| {
                session.tunnel == tunnel_id && session.group == group
            });
        } else if tunnel.held > self.config.tunnel_held_max {
            mark::hit(Mark::TunnelCap);
            self.shed_holder(now, |session| session.tunnel == tunnel_id);
        }
    }

    /// Resets whoever holds most for its socket among those whom a cap is about.
    fn shed_holder(&mut self, now: Instant, of: impl Fn(&Session) -> bool) {
        if let Some(id) = self.largest(|session| if of(session) { session.held } else { 0 }) {
            self.shed(now, id);
        }
    }

    fn shed(&mut self, now: Instant, id: SessionId) {
        self.counters.shed += 1;
        self.reset(now, id, Code::Memory);
    }

    /// Finds the session of the largest weight above zero. O(sessions); only under pressure.
    fn largest(&self, weight: impl Fn(&Session) -> u64) -> Option<SessionId> {
        self.sessions
            .iter()
            .map(|(id, session)| (weight(session), core::cmp::Reverse(id)))
            .filter(|&(weight, _)| weight > 0)
            .max()
            .map(|(_, core::cmp::Reverse(id))| id)
    }
}

/// Notes how short memory is.
fn mark_level(level: MemoryLevel) {
    match level {
        MemoryLevel::Normal => {}
        MemoryLevel::NoGrowth => mark::hit(Mark::LevelNoGrowth),
        MemoryLevel::Refusing => mark::hit(Mark::LevelRefusing),
        MemoryLevel::Shedding => mark::hit(Mark::LevelShedding),
        MemoryLevel::Full => mark::hit(Mark::LevelFull),
    }
}

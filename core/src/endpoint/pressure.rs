//! Held bytes: what is copied, what is charged, and who goes when too much is held (invariant I4).

use super::desk::Desk;
use super::engine::Engine;
use super::report::Whose;
use crate::account::Way;
use crate::arena::SessionId;
use crate::config::SHED_AFTER;
use crate::mark::{self, Mark};
use crate::memory::MemoryLevel;
use crate::planted::{self, Planted};
use crate::session::{Flow as _, Session};
use crate::time::{Duration, Instant};
use crate::timer::Timer;
use titan_proto::Code;

/// How often memory pressure is looked at while it lasts.
const RELIEF_INTERVAL: Duration = Duration::from_secs(1);

impl<D: Desk> Engine<D> {
    /// Whose memory this process's is.
    const OWN: Whose = if D::Flow::OPENS {
        Whose::Pop
    } else {
        Whose::Edge
    };

    /// Ends a turn of receiving: what sockets did not take is copied out of the shared read block.
    pub(super) fn settle(&mut self, now: Instant) {
        let mut unsettled = core::mem::take(&mut self.unsettled);
        for id in unsettled.drain(..) {
            if self.change(now, id, Session::settle).is_some() {
                self.check_caps(now, id);
            }
        }
        self.unsettled = unsettled;
        mark_level(self.level());
        match self.level() {
            MemoryLevel::Normal | MemoryLevel::NoGrowth | MemoryLevel::Refusing => {}
            MemoryLevel::Shedding => self.relieve_later(now),
            MemoryLevel::Full => self.relieve(now),
        }
    }

    fn relieve_later(&mut self, now: Instant) {
        let at = now + RELIEF_INTERVAL;
        let timers = &mut self.agenda.timers;
        timers.arm_sooner(Timer::Memory, &mut self.memory_timer, at);
    }

    /// Lets tunnels send again whose data waited for memory.
    pub(super) fn relax(&mut self) {
        if self.scarce.is_empty() || self.level() >= MemoryLevel::Refusing {
            return;
        }
        for tunnel in core::mem::take(&mut self.scarce) {
            self.change_tunnel(tunnel, |tunnel| tunnel.announce());
        }
    }

    /// Books bytes that left for a socket, and returns the credit for them.
    pub(super) fn release(&mut self, now: Instant, id: SessionId, count: usize) {
        let level = self.level();
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        let count = count.min(Self::readable_of(&self.desk, now, session));
        self.desk
            .carry(now, &mut self.agenda, session, Way::Down, count as u64);
        session.release(now, count);
        let tunnel = session.tunnel().and_then(|id| self.tunnels.get(id));
        if let Some(tunnel) = tunnel
            && !session.is_ended()
        {
            if tunnel.carrier().is_none() && planted::on(Planted::CreditHeldBack) {
                session.lose_window(count);
            }
            let others_wait = tunnel.waiting_of(session.group()) > session.waiting();
            if !(others_wait && planted::on(Planted::CreditSharedByGroup)) {
                let rtt = tunnel.rtt().smoothed();
                session.fit_window(now, rtt, &self.config, &mut self.memory, level);
                session.return_credit();
            }
        }
        self.show(now, id);
        self.follow(now, id);
    }

    /// Resets the largest session without progress until the pressure is off; at the very limit
    /// progress does not count.
    pub(super) fn relieve(&mut self, now: Instant) {
        loop {
            let patience = match self.level() {
                MemoryLevel::Normal | MemoryLevel::NoGrowth | MemoryLevel::Refusing => return,
                MemoryLevel::Shedding => SHED_AFTER,
                MemoryLevel::Full => Duration::ZERO,
            };
            let charged = |session: &Session<D::Flow>| {
                let idle = now.since(session.moved_at()) >= patience;
                if idle { session.charge() } else { 0 }
            };
            let Some(id) = self.largest(charged) else {
                break;
            };
            mark::hit(if patience.is_zero() {
                Mark::ShedFull
            } else {
                Mark::ShedIdle
            });
            self.shed(now, id, Self::OWN);
        }
        self.relieve_later(now);
    }

    /// Holds one tunnel and one group on it to their share.
    fn check_caps(&mut self, now: Instant, id: SessionId) {
        let Some(session) = self.sessions.get(id) else {
            return;
        };
        let group = session.group();
        let Some(on) = session.tunnel() else {
            return;
        };
        let Some(tunnel) = self.tunnels.get(on) else {
            return;
        };
        if tunnel.waiting_of(group) > self.config.group_held_max {
            mark::hit(Mark::GroupCap);
            let of = |session: &Session<_>| session.is_on(on) && session.group() == group;
            self.shed_holder(now, Whose::User, of);
        } else if tunnel.waiting() > self.config.tunnel_held_max {
            mark::hit(Mark::TunnelCap);
            self.shed_holder(now, Whose::Tunnel, |session| session.is_on(on));
        }
    }

    /// Resets whoever holds most for its socket among those whom a cap is about.
    fn shed_holder(&mut self, now: Instant, whose: Whose, of: impl Fn(&Session<D::Flow>) -> bool) {
        if let Some(id) = self.largest(|session| if of(session) { session.waiting() } else { 0 }) {
            self.shed(now, id, whose);
        }
    }

    fn shed(&mut self, now: Instant, id: SessionId, whose: Whose) {
        self.counters.shed += 1;
        if let Some(session) = self.sessions.get_mut(id) {
            self.desk.shed(&mut self.agenda, session, whose);
        }
        self.reset(now, id, Code::Memory);
    }

    /// Finds the session of the largest weight above zero. O(sessions); only under pressure.
    fn largest(&self, weight: impl Fn(&Session<D::Flow>) -> u64) -> Option<SessionId> {
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

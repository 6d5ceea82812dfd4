//! Held bytes: what is copied, who waits for memory and is told, and who goes when too much is held
//! (invariant I4).

use super::desk::Desk;
use super::engine::{Engine, Hearing, Relief};
use super::event::Event;
use super::report::Whose;
use crate::account::Way;
use crate::arena::{CarrierId, SessionId};
use crate::mark::{self, Mark};
use crate::memory::{Look, MemoryLevel};
use crate::planted::{self, Planted};
use crate::session::{Flow as _, Session};
use crate::time::{Duration, Instant};
use crate::timer::Timer;
use titan_proto::Code;

/// How often memory pressure is looked at while it lasts.
const RELIEF_INTERVAL: Duration = Duration::from_secs(1);

/// When what was too much for one turn goes on.
const RELIEF_GAP: Duration = Duration::from_millis(2);

/// Users and sessions looked at in one turn at most.
const VISITS_MAX: usize = 64;

/// Drivers told at once at most that there is memory again, and tunnels likewise.
const WAKES_MAX: usize = 16;
const TUNNELS_MAX: usize = 4;

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
            self.change(now, id, Session::settle);
        }
        self.unsettled = unsettled;
        mark_level(self.level());
    }

    fn tend_at(&mut self, at: Instant) {
        let timers = &mut self.agenda.timers;
        timers.arm_sooner(Timer::Memory, &mut self.memory_timer, at);
    }

    /// Does what is due for memory.
    pub(super) fn tend(&mut self, now: Instant) {
        match self.relief {
            Relief::Begins(at) if at <= now => {
                self.memory.begin_round();
                self.relieve(now);
            }
            Relief::GoesOn(at) if at <= now => self.relieve(now),
            Relief::Idle | Relief::Begins(_) | Relief::GoesOn(_) => {}
        }
        if let Some(at) = self.relief.at() {
            self.tend_at(at);
        }
    }

    // --- Who waits for memory -------------------------------------------------------------------------

    /// Returns how many bytes a session's driver may read from its socket.
    pub(super) fn room(&mut self, id: SessionId) -> Option<usize> {
        let session = self.sessions.get_mut(id)?;
        let (user, queued) = (session.user(), session.queued());
        let queue_max = self.config.send_queue_max;
        let room = session.room(self.memory.queue_room(user, queued, queue_max));
        if session.join_denied(id, &mut self.denied) {
            mark::hit(Mark::RoomDenied);
        }
        Some(room)
    }

    /// Tells some of those who waited for it that there is memory again, one of each user in turn, and the
    /// others a moment later.
    fn wake_denied(&mut self, now: Instant) {
        if self.denied.is_empty() || !self.memory.has_room() {
            return;
        }
        for _ in 0..WAKES_MAX {
            let Some(turn) = self.denied.pop() else {
                break;
            };
            self.denied.charge(turn, 1, false);
            self.memory.visited(1 + self.denied.take_visits());
            let id = turn.session;
            let Some(session) = self.sessions.get_mut(id) else {
                debug_assert!(false, "who is gone waits for nothing");
                continue;
            };
            let (user, queued) = (session.user(), session.queued());
            let queue_max = self.config.send_queue_max;
            session.leave_denied(self.memory.queue_room(user, queued, queue_max));
            if session.call_driver() {
                self.agenda.wake(id);
            }
        }
        if !self.denied.is_empty() {
            self.tend_at(now + RELIEF_GAP);
        }
    }

    /// Lets those go on who waited for memory, some at a time; and as long as anybody may have to let go,
    /// it is looked at who does.
    pub(super) fn relax(&mut self, now: Instant) {
        self.wake_denied(now);
        self.relax_tunnels(now);
        if self.relief == Relief::Idle && self.memory.is_tight() {
            let at = now + RELIEF_INTERVAL;
            self.relief = Relief::Begins(at);
            self.tend_at(at);
        }
    }

    /// Lets some tunnels look again whose data waited for what its users keep on others, once any of that
    /// was acknowledged, and the others a moment later.
    fn relax_tunnels(&mut self, now: Instant) {
        let freed = self.memory.freed();
        for _ in 0..TUNNELS_MAX {
            if !self.has_tunnels_to_relax() {
                return;
            }
            let Some((_, id)) = self.scarce.pop_first() else {
                return;
            };
            self.memory.visited(1);
            let since = self.change_tunnel(id, |tunnel| tunnel.look_again(freed));
            self.scarce.extend(since.flatten().map(|since| (since, id)));
        }
        if self.has_tunnels_to_relax() {
            self.tend_at(now + RELIEF_GAP);
        }
    }

    /// Tells whether tunnels wait to look again although they may.
    pub(super) fn has_tunnels_to_relax(&self) -> bool {
        let first = self.scarce.first();
        first.is_some_and(|&(since, _)| since != self.memory.freed())
    }

    /// Tells whether a carrier is to be read; if not, it is told when it is.
    pub(super) fn takes_input(&mut self, now: Instant, carrier: CarrierId) -> bool {
        let takes = self.memory.takes_input() || self.tunnel_on(carrier).is_none();
        if !takes {
            mark::hit(Mark::InputDenied);
            self.hearing = Hearing::Deaf;
        }
        self.excuse(now, carrier);
        if let Some(carrier) = self.carriers.get_mut(carrier) {
            carrier.be_read(now, takes);
        }
        takes
    }

    /// Leaves out the time in which a carrier was not read where its peer has to be heard in time: what that
    /// has said since waits in the kernel.
    pub(super) fn excuse(&mut self, now: Instant, id: CarrierId) {
        let Some(carrier) = self.carriers.get_mut(id) else {
            return;
        };
        let unread = carrier.excuse(self.hearing.unread_until(now));
        if unread > Duration::ZERO
            && let Some(tunnel) = carrier.tunnel()
        {
            self.change_tunnel(tunnel, |tunnel| tunnel.excuse(now, unread));
        }
    }

    /// Tells, once, that carriers are to be read again.
    pub(super) fn tell_input(&mut self, now: Instant) {
        if self.hearing.is_deaf() && self.memory.takes_input() {
            self.hearing = Hearing::Since(now);
            self.agenda.events.push_back(Event::TakesInput);
        }
    }

    /// Books bytes that left for a socket, and returns the credit for them.
    pub(super) fn release(&mut self, now: Instant, id: SessionId, count: usize) {
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
            let shared = planted::on(Planted::CreditSharedByGroup);
            if !(shared && self.memory.held(session.user()) > session.held()) {
                let rtt = tunnel.rtt().smoothed();
                session.fit_window(now, rtt, &self.config, &mut self.memory);
                session.return_credit();
            }
        }
        self.show(now, id);
        self.follow(now, id);
    }

    // --- Who goes -------------------------------------------------------------------------------------

    /// Resets sessions that hold something for a socket that takes next to nothing: of the user who holds
    /// most first, and of each the largest, from 80 % on until that level is left, and of a user beyond its
    /// share until it is not. Some are looked at in a turn, and the rest soon after.
    fn relieve(&mut self, now: Instant) {
        for _ in 0..VISITS_MAX {
            let id = match self.memory.look() {
                Look::At(id) => id,
                Look::On => continue,
                Look::Over if self.memory.look_closer() => continue,
                Look::Over => {
                    self.relief = Relief::Idle;
                    return;
                }
            };
            let session = self.sessions.get_mut(id);
            if session.is_some_and(|session| session.stands_still(now, id, &mut self.memory)) {
                let short = self.level() >= MemoryLevel::Refusing;
                mark::hit(if short {
                    Mark::ShedIdle
                } else {
                    Mark::ShedUser
                });
                self.memory.found();
                self.shed(now, id, if short { Self::OWN } else { Whose::User });
            }
        }
        self.relief = Relief::GoesOn(now + RELIEF_GAP);
    }

    fn shed(&mut self, now: Instant, id: SessionId, whose: Whose) {
        self.counters.shed += 1;
        if let Some(session) = self.sessions.get_mut(id) {
            self.desk.shed(&mut self.agenda, session, whose);
        }
        self.reset(now, id, Code::Memory);
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

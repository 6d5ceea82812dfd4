//! What both roles share: carriers, tunnels and sessions, and the one door to change any of them.
//!
//! ```text
//!   driver, peer, time, role
//!            │  change(session) ─▶ follow: phase, charges, lines of its tunnel,
//!            ▼                             driver, timer, end of life
//!         Engine ── change_tunnel ─▶ follow_tunnel: resend buffer, owing, timer, carrier
//!            │
//!            ▼
//!   Agenda: events, ready carriers, woken sessions, timers        Desk: what the role hears
//! ```
//!
//! Sessions and tunnels own their state and know nothing of this module. Whoever changes one says what
//! happened; what follows is computed here from the state, and nowhere else.

use super::agenda::Agenda;
use super::desk::Desk;
use super::event::Counters;
use crate::arena::{Arena, CarrierId, SessionId, TunnelId};
use crate::carrier::Carrier;
use crate::config::Config;
use crate::mark::{self, Mark};
use crate::memory::{Memory, MemoryLevel, UserId};
use crate::planted::{self, Planted};
use crate::rng::Rng;
use crate::session::{CloseMode, Session};
use crate::time::Instant;
use crate::timer::{Armed, Timer};
use crate::tunnel::{Answered, Scheduler, Tunnel};
use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec::Vec;
use titan_proto::Code;

#[derive(Debug)]
pub(crate) struct Engine<D: Desk> {
    pub(super) config: Config,
    pub(super) rng: Rng,
    pub(super) carriers: Arena<CarrierId, Carrier<D::Caller>>,
    pub(super) tunnels: Arena<TunnelId, Tunnel<D::Peer>>,
    pub(super) sessions: Arena<SessionId, Session<D::Flow>>,
    pub(super) agenda: Agenda<D::Event, D::Timer>,
    pub(super) memory: Memory,
    pub(super) memory_timer: Armed,
    pub(super) relief: Relief,
    pub(super) hearing: Hearing,
    pub(super) unsettled: Vec<SessionId>,
    /// Tunnels with users whose data waits for what they keep on others, each once, and how many bytes had
    /// been acknowledged of all when they began to wait; those first that have waited longest.
    pub(super) scarce: BTreeSet<(u64, TunnelId)>,
    /// Sessions whose drivers wait until there is memory, each once, by user.
    pub(super) denied: Scheduler,
    /// For the role: carriers that are gone.
    pub(super) lost: VecDeque<Lost<D::Caller>>,
    /// For the role: tunnels that are gone.
    pub(super) gone: VecDeque<(TunnelId, Tunnel<D::Peer>, Code)>,
    pub(super) counters: Counters,
    /// Tunnels with a session's frame that is not acknowledged.
    pub(super) owing: usize,
    pub(super) life: Life,
    pub(super) desk: D,
}

/// How far an endpoint is with its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Life {
    Serving,
    /// It takes on nothing new.
    Draining,
    /// It takes on nothing new, and its driver knows that its end would cut off nothing.
    Drained,
    /// It has said goodbye to everybody.
    Gone,
}

/// When it is looked at who holds what.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Relief {
    /// Not at all: nobody has to let go.
    Idle,
    /// A look begins then.
    Begins(Instant),
    /// A look is under way and goes on then.
    GoesOn(Instant),
}

/// Whether carriers are read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Hearing {
    /// Those that were not may be since then: their drivers were told so.
    Since(Instant),
    /// A driver was told not to read one, and not yet to go on.
    Deaf,
}

impl Relief {
    /// Returns when it is looked at next.
    pub(super) const fn at(self) -> Option<Instant> {
        match self {
            Self::Idle => None,
            Self::Begins(at) | Self::GoesOn(at) => Some(at),
        }
    }
}

impl Hearing {
    pub(super) const fn is_deaf(self) -> bool {
        matches!(self, Self::Deaf)
    }

    /// Returns until when one that is not read was not, as far as that is known now.
    pub(super) const fn unread_until(self, now: Instant) -> Instant {
        match self {
            Self::Since(at) => at,
            Self::Deaf => now,
        }
    }
}

/// A carrier that is gone, or as good as gone.
#[derive(Debug)]
pub(crate) struct Lost<C> {
    pub(crate) carrier: CarrierId,
    pub(crate) caller: C,
    /// The tunnel it bore, which still lives.
    pub(crate) tunnel: Option<TunnelId>,
    pub(crate) code: Code,
}

impl<D: Desk> Engine<D> {
    pub(super) fn new(config: Config, seed: [u8; 32]) -> Self {
        let memory = Memory::new(config.memory_budget);
        Self {
            config,
            rng: Rng::new(seed),
            carriers: Arena::new(),
            tunnels: Arena::new(),
            sessions: Arena::new(),
            agenda: Agenda::new(),
            memory,
            memory_timer: None,
            relief: Relief::Idle,
            hearing: Hearing::Since(Instant::EPOCH),
            unsettled: Vec::new(),
            scarce: BTreeSet::new(),
            denied: Scheduler::one_by_one(),
            lost: VecDeque::new(),
            gone: VecDeque::new(),
            counters: Counters::default(),
            owing: 0,
            life: Life::Serving,
            desk: D::default(),
        }
    }

    pub(super) const fn level(&self) -> MemoryLevel {
        self.memory.level()
    }

    /// Returns the window of a user's new session.
    pub(super) fn initial_window(&self, user: UserId) -> u64 {
        self.memory.initial_window(user, self.config.window_base)
    }

    /// Tells whether a session's tunnel has no carrier.
    pub(super) fn is_away(&self, id: SessionId) -> bool {
        let session = self.sessions.get(id);
        let tunnel = session.and_then(|session| self.tunnels.get(session.tunnel()?));
        tunnel.is_some_and(|tunnel| tunnel.carrier().is_none())
    }

    /// Returns until when what is left of a session that ends now may leave.
    pub(super) fn rest_deadline(&self, now: Instant) -> Instant {
        now + self.config.write_deadline
    }

    // --- The door to a session ------------------------------------------------------------------------

    /// Changes a session and draws every conclusion; nothing for one that is gone.
    #[inline]
    pub(super) fn change<T>(
        &mut self,
        now: Instant,
        id: SessionId,
        change: impl FnOnce(&mut Session<D::Flow>) -> T,
    ) -> Option<T> {
        let changed = change(self.sessions.get_mut(id)?);
        self.follow(now, id);
        Some(changed)
    }

    /// Draws every conclusion of a change to a session.
    pub(super) fn follow(&mut self, now: Instant, id: SessionId) {
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        let on = session.tunnel();
        let tunnel = on.and_then(|on| self.tunnels.get_mut(on));
        if planted::on(Planted::TailLostAtClose) {
            session.lose_tail(tunnel.as_deref());
        }
        session.conclude(now, &self.config);
        session.recharge(now, id, &mut self.memory);
        if let (Some(on), Some(tunnel)) = (on, tunnel) {
            if session.is_done_with_tunnel() {
                if session.leave(id, tunnel) {
                    self.desk.left(on);
                }
            } else {
                session.stand(id, tunnel);
            }
            tunnel.count_visits(&mut self.memory);
            if let Some(carrier) = tunnel.carrier_to_tell() {
                self.agenda.call(&mut self.carriers, carrier);
            }
        }
        if session.tunnel().is_none() {
            self.desk.adrift(session);
        }
        if session.call_driver() {
            self.agenda.wake(id);
        }
        session.join_denied(id, &mut self.denied);
        if session.is_forgotten() {
            self.forget(id);
            return;
        }
        let timers = &mut self.agenda.timers;
        let due = session.due_at(&self.config).into_iter();
        match due.chain(session.rests_at()).min() {
            Some(at) => timers.arm_sooner(Timer::Session(id), session.timer_mut(), at),
            None => timers.arm(Timer::Session(id), session.timer_mut(), None),
        }
    }

    fn forget(&mut self, id: SessionId) {
        let Some(mut session) = self.sessions.remove(id) else {
            return;
        };
        let timers = &mut self.agenda.timers;
        timers.arm(Timer::Session(id), session.timer_mut(), None);
        if let Some(ticket) = session.denied() {
            self.denied.remove(session.user().slot(), ticket);
            self.memory.visited(self.denied.take_visits());
        }
        session.discharge(id, &mut self.memory);
        self.desk.over(&mut self.agenda, id, session);
    }

    /// Takes a session off its tunnel, for another one.
    pub(super) fn unplace(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(id)
            && let Some(on) = session.tunnel()
            && let Some(tunnel) = self.tunnels.get_mut(on)
            && session.leave(id, tunnel)
        {
            self.desk.left(on);
        }
    }

    /// Notes that the CREATE of a number is answered; false if it was before.
    pub(super) fn answered(&mut self, on: TunnelId, number: u64) -> bool {
        let Some(tunnel) = self.tunnels.get_mut(on) else {
            return true;
        };
        let answered = tunnel.answered(number);
        if answered == Answered::Freed {
            mark::hit(Mark::PlaceFreedLate);
            self.desk.left(on);
        }
        answered != Answered::Before
    }

    /// Ends a session without a word to the peer, which has ended it or never knew it.
    pub(super) fn end(&mut self, now: Instant, id: SessionId, code: Code, mode: CloseMode) {
        let deadline = self.rest_deadline(now);
        self.change(now, id, |session| session.end(code, mode, deadline));
    }

    /// Ends a session for a reason of this side and tells the peer.
    pub(super) fn reset(&mut self, now: Instant, id: SessionId, code: Code) {
        let deadline = self.rest_deadline(now);
        self.change(now, id, |session| session.reset(code, deadline));
    }

    // --- The door to a tunnel -------------------------------------------------------------------------

    /// Changes a tunnel and draws every conclusion; nothing for one that is gone.
    #[inline]
    pub(super) fn change_tunnel<T>(
        &mut self,
        id: TunnelId,
        change: impl FnOnce(&mut Tunnel<D::Peer>) -> T,
    ) -> Option<T> {
        let changed = change(self.tunnels.get_mut(id)?);
        self.follow_tunnel(id);
        Some(changed)
    }

    /// Draws every conclusion of a change to a tunnel.
    pub(super) fn follow_tunnel(&mut self, id: TunnelId) {
        let Some(tunnel) = self.tunnels.get_mut(id) else {
            return;
        };
        tunnel.recount(&mut self.memory, &mut self.owing);
        let due = tunnel.due_at(&self.config);
        let timers = &mut self.agenda.timers;
        timers.arm(Timer::Tunnel(id), tunnel.timer_mut(), due);
        if let Some(carrier) = tunnel.carrier_to_tell() {
            self.agenda.call(&mut self.carriers, carrier);
        }
    }

    // --- Telling the driver ---------------------------------------------------------------------------

    /// Puts a carrier in the queue of those with output.
    pub(super) fn call_carrier(&mut self, id: CarrierId) {
        self.agenda.call(&mut self.carriers, id);
    }

    pub(super) fn next_ready(&mut self) -> Option<CarrierId> {
        loop {
            let id = self.agenda.next_ready()?;
            if let Some(carrier) = self.carriers.get_mut(id) {
                carrier.take_ready();
                return Some(id);
            }
        }
    }

    pub(super) fn next_woken(&mut self) -> Option<SessionId> {
        loop {
            let id = self.agenda.next_woken()?;
            if let Some(session) = self.sessions.get_mut(id)
                && session.driver_looks()
            {
                return Some(id);
            }
        }
    }
}

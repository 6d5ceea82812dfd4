//! Checks of everything that must always hold, from the inside.

use super::desk::Desk;
use super::engine::{Engine, Hearing};
use super::{Endpoint, Role};
use crate::memory::{Memory, Tally};
use crate::timer::{Armed, Timer};

/// What an endpoint holds now. A leak is a number that does not come back.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Usage {
    /// Carriers, also those that say goodbye.
    pub carriers: usize,
    /// Tunnels, attached or not.
    pub tunnels: usize,
    /// Sessions, also those that only their driver still holds.
    pub sessions: usize,
    /// Armed timers.
    pub timers: usize,
    /// Bytes held by sessions.
    pub session_bytes: u64,
    /// Bytes held for resending.
    pub resend_bytes: u64,
    /// Bytes of window growth handed out.
    pub growth_bytes: u64,
    /// Groups with an account, also those without sessions.
    pub groups: usize,
    /// Leases of session names, also those that nobody holds.
    pub leases: usize,
}

impl<R: Role> Endpoint<R> {
    /// Returns what the endpoint holds.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let engine = &self.engine;
        Usage {
            carriers: engine.carriers.len(),
            tunnels: engine.tunnels.len(),
            sessions: engine.sessions.len(),
            timers: engine.agenda.timers.len(),
            session_bytes: engine.memory.sessions(),
            resend_bytes: engine.memory.resend(),
            growth_bytes: engine.memory.growth(),
            groups: self.role.group_count(engine),
            leases: self.role.lease_count(),
        }
    }

    /// Checks the invariants that live here (I1, I3, I4, I6, I7, I8, I9, I10). O(everything).
    ///
    /// # Panics
    /// Panics if one does not hold.
    pub fn audit(&self) {
        self.engine.audit_memory();
        self.engine.audit_pressure();
        self.engine.audit_timers(self.role.timers(&self.engine));
        self.role.audit(&self.engine, self.now);
    }
}

impl<D: Desk> Engine<D> {
    fn audit_memory(&self) {
        let mut tally = self.audit_sessions();
        let resend = self.audit_tunnels();
        for (_, tunnel) in self.tunnels.iter() {
            for (user, kept) in tunnel.kept_of_users() {
                Memory::tally_kept(&mut tally, user, kept);
            }
        }
        self.memory.audit(&tally, resend, self.tunnels.len());
    }

    /// Checks that whoever waits for memory is told of it, and that it is looked at who holds it.
    fn audit_pressure(&self) {
        let mut denied = 0;
        for (id, session) in self.sessions.iter() {
            if let Some(ticket) = session.denied() {
                denied += 1;
                let user = session.user().slot();
                assert!(
                    self.denied.contains(user, ticket, id),
                    "I6: {id:?} waits for memory in no line"
                );
            }
        }
        assert_eq!(denied, self.denied.len(), "I6: who waits for memory");
        assert!(
            self.denied.is_consistent(),
            "I6: users that wait for memory"
        );
        let waits = !self.denied.is_empty() && self.memory.has_room();
        assert!(
            self.memory_timer.is_some() || !(waits || self.memory.is_tight()),
            "I6: nobody looks who is to have memory"
        );
        assert!(
            self.relief.at().is_some() || !self.memory.is_tight(),
            "I4: nobody looks who stands still"
        );
        assert!(
            !(self.hearing.is_deaf() && self.memory.takes_input()),
            "I6: carriers are to be read again"
        );
        for (id, carrier) in self.carriers.iter() {
            let is_told = match self.hearing {
                Hearing::Deaf => true,
                Hearing::Since(at) => carrier.unread_since().is_none_or(|since| since <= at),
            };
            assert!(is_told, "I6: {id:?} is not read");
        }
    }

    fn audit_sessions(&self) -> Tally {
        let mut tally = Tally::default();
        for (id, session) in self.sessions.iter() {
            let tunnel = session.tunnel().map(|on| {
                let tunnel = self.tunnels.get(on);
                tunnel.expect("a session's tunnel exists")
            });
            let charge = session.audit(id, tunnel, &self.config);
            self.memory.tally(&mut tally, id, charge);
        }
        tally
    }

    fn audit_tunnels(&self) -> u64 {
        let (mut resend, mut owing, mut scarce) = (0, 0, 0);
        for (id, tunnel) in self.tunnels.iter() {
            let mut in_line = 0;
            for session_id in tunnel.session_ids() {
                let session = self.sessions.get(session_id);
                let session = session.expect("a tunnel's session exists");
                assert!(
                    session.is_on(id),
                    "{session_id:?} is on the tunnel that knows it"
                );
                in_line += usize::from(session.is_in_line());
            }
            let kept = tunnel.audit(id, in_line);
            if let Some(since) = tunnel.scarce() {
                scarce += 1;
                assert!(
                    self.scarce.contains(&(since, id)),
                    "I6: {id:?} waits to look again"
                );
            }
            resend += kept.resend;
            owing += usize::from(kept.owing);
            match tunnel.carrier() {
                Some(carrier) => assert!(
                    self.carriers.get(carrier).is_some(),
                    "{id:?} is borne by a carrier that exists"
                ),
                None => assert!(tunnel.timer().is_some(), "I6: {id:?} ends some time"),
            }
        }
        assert_eq!(owing, self.owing, "I1: tunnels with frames of sessions");
        assert_eq!(
            scarce,
            self.scarce.len(),
            "I6: tunnels that wait to look again"
        );
        assert!(
            self.memory_timer.is_some() || !self.has_tunnels_to_relax(),
            "I6: nobody lets tunnels look again"
        );
        resend
    }

    fn audit_timers(&self, role: impl Iterator<Item = (Armed, D::Timer)>) {
        let mut armed = usize::from(self.memory_timer.is_some());
        let mut check = |at: Armed, timer: Timer<D::Timer>| {
            if let Some(at) = at {
                armed += 1;
                assert!(
                    self.agenda.timers.contains(at, timer),
                    "I6: {timer:?} is not armed as noted"
                );
            }
        };
        for (id, carrier) in self.carriers.iter() {
            check(carrier.timer(), Timer::Carrier(id));
            assert!(carrier.timer().is_some(), "I6: {id:?} has no deadline");
        }
        for (id, tunnel) in self.tunnels.iter() {
            check(tunnel.timer(), Timer::Tunnel(id));
        }
        for (id, session) in self.sessions.iter() {
            check(session.timer(), Timer::Session(id));
        }
        for (armed, timer) in role {
            check(armed, Timer::Role(timer));
        }
        assert!(
            armed == self.agenda.timers.len(),
            "I6: timers without an owner"
        );
    }
}

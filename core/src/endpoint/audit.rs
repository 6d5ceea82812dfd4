//! Checks of everything that must always hold, from the inside.

use super::engine::Engine;
use super::{Endpoint, Role};
use crate::session::{Phase, Session, Side};
use crate::timer::Timer;
use alloc::collections::BTreeMap;

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
        Usage {
            carriers: self.engine.carriers.len(),
            tunnels: self.engine.tunnels.len(),
            sessions: self.engine.sessions.len(),
            timers: self.engine.timers.len(),
            session_bytes: self.engine.memory.sessions,
            resend_bytes: self.engine.memory.resend,
            growth_bytes: self.engine.memory.growth,
            groups: self.engine.groups.len(),
            leases: self.role.lease_count(),
        }
    }

    /// Checks the invariants that live here (I3, I4, I6, I7, I8, I9). O(everything).
    ///
    /// # Panics
    /// Panics if one does not hold.
    pub fn audit(&self) {
        self.engine.audit();
        self.engine.audit_groups(self.now);
        self.role.audit(&self.engine);
    }
}

impl Engine {
    fn audit(&self) {
        self.audit_sessions();
        self.audit_tunnels();
        self.audit_timers();
    }

    fn audit_sessions(&self) {
        let (mut charged, mut grown) = (0, 0);
        for (id, session) in self.sessions.iter() {
            let (send, recv) = (&session.send, &session.recv);
            assert!(
                send.offset <= send.limit,
                "I3: {id:?} sent beyond its credit"
            );
            assert!(
                recv.offset <= recv.limit,
                "I3: {id:?} received beyond the grant"
            );
            assert!(
                recv.released <= recv.offset,
                "I3: {id:?} released what it never got"
            );
            assert_eq!(
                recv.offset - recv.released,
                recv.queue.len() as u64,
                "I3: {id:?} bytes are waiting or released"
            );
            assert!(
                recv.limit
                    <= recv.released.max(recv.offset) + self.config.window_max.max(recv.window),
                "I4: {id:?} granted more than its window"
            );
            assert!(
                send.queue.is_consistent() && recv.queue.is_consistent(),
                "I4: {id:?} queues"
            );
            let early = session.pop().map_or(0, |side| side.early.charge());
            let held = if session.unsettled {
                session.held
            } else {
                recv.queue.charge() as u64
            };
            assert_eq!(session.held, held, "I4: {id:?} held");
            if !session.unsettled {
                let charge = held + send.queue.charge() as u64 + early;
                assert_eq!(session.charged, charge, "I4: {id:?} charge");
            }
            charged += session.charged;
            grown += session.grown;
            if let Side::Pop(side) = &session.side {
                assert!(
                    side.early.len() == 0 || session.phase == Phase::Dialling,
                    "I7: {id:?} keeps early data after the reply"
                );
                if session.phase == Phase::Dialling && session.mapped {
                    assert_eq!(
                        side.early.len(),
                        send.offset,
                        "I7: {id:?} early data is complete"
                    );
                }
            }
            if session.mapped {
                let tunnel = self
                    .tunnels
                    .get(session.tunnel)
                    .expect("a mapped session's tunnel");
                assert!(
                    tunnel.sessions.get(&session.number) == Some(&id)
                        || (session.number == 0 && tunnel.unnumbered.contains(&id)),
                    "{id:?} is mapped"
                );
                assert_eq!(
                    session.number == 0,
                    session.due.create,
                    "{id:?} gets its number with its CREATE"
                );
                assert_eq!(
                    tunnel.scheduler.contains(session.group, id),
                    session.in_scheduler,
                    "{id:?} scheduled"
                );
                let ready = session.due.create
                    || (session.is_announced() && !session.is_ended() && send.is_ready());
                assert!(
                    !ready || session.in_scheduler,
                    "I5: {id:?} waits for no turn"
                );
                assert!(
                    !session.due.control() || session.in_control || !session.is_announced(),
                    "I6: {id:?} owes frames that nobody will make"
                );
            } else {
                assert!(
                    session.is_ended() && session.held_by_driver,
                    "I6: {id:?} has no reason to live: {:?}",
                    session.phase
                );
            }
            if let Phase::Dialling = session.phase
                && matches!(session.side, Side::Pop(_))
            {
                assert!(
                    session.timer.is_some(),
                    "I6: {id:?} dials without a deadline"
                );
            }
        }
        assert_eq!(
            charged, self.memory.sessions,
            "I4: sum of the sessions' charges"
        );
        assert_eq!(grown, self.memory.growth, "I4: sum of the windows' growth");
    }

    fn audit_tunnels(&self) {
        let (mut resend, mut owing) = (0, 0);
        for (id, tunnel) in self.tunnels.iter() {
            assert!(tunnel.numbering.is_consistent(), "I2: {id:?} numbering");
            resend += tunnel.numbering.charge();
            owing += usize::from(tunnel.is_owing());
            let mut held = BTreeMap::<u32, u64>::new();
            for number in tunnel.sessions.keys() {
                assert!(*number <= tunnel.opened, "{id:?} numbers grow");
            }
            for session_id in tunnel.session_ids() {
                let session = self
                    .sessions
                    .get(session_id)
                    .expect("a tunnel's session exists");
                assert_eq!(
                    session.tunnel, id,
                    "{session_id:?} is on the tunnel that knows it"
                );
                *held.entry(session.group).or_default() += session.held;
            }
            held.retain(|_, bytes| *bytes > 0);
            assert_eq!(tunnel.held, held.values().sum::<u64>(), "I4: {id:?} held");
            assert_eq!(tunnel.held_by_group, held, "I4: {id:?} held by group");
            match tunnel.carrier {
                Some(carrier) => assert!(
                    self.carriers.get(carrier).is_some(),
                    "{id:?} is borne by a carrier that exists"
                ),
                None => assert!(tunnel.grace_until.is_some(), "I6: {id:?} ends some time"),
            }
        }
        assert_eq!(resend, self.memory.resend, "I4: sum of the resend buffers");
        assert_eq!(owing, self.owing, "I1: tunnels with frames of sessions");
    }

    fn audit_timers(&self) {
        let mut armed = usize::from(self.memory_timer.is_some());
        let mut check = |at: crate::timer::Armed, timer: Timer| {
            if let Some(at) = at {
                armed += 1;
                assert!(
                    self.timers.contains(at, timer),
                    "I6: {timer:?} is not armed as noted"
                );
            }
        };
        for (id, carrier) in self.carriers.iter() {
            check(carrier.timer, Timer::Carrier(id));
            assert!(carrier.timer.is_some(), "I6: {id:?} has no deadline");
        }
        for (id, tunnel) in self.tunnels.iter() {
            check(tunnel.timer, Timer::Tunnel(id));
        }
        for (id, session) in self.sessions.iter() {
            check(session.timer, Timer::Session(id));
        }
        check(self.lease_timer, Timer::Leases);
        for (armed, timer) in self.group_timers() {
            check(armed, timer);
        }
        assert!(armed <= self.timers.len(), "I6: timers without an owner");
    }

    /// Returns the window of a new session.
    pub(crate) fn initial_window(&self) -> u64 {
        let base = self.config.window_base;
        if self.level() >= crate::memory::MemoryLevel::Refusing {
            base.min(crate::memory::WINDOW_UNDER_PRESSURE)
        } else {
            base
        }
    }
}

const _: () = assert!(
    size_of::<Session>() <= 512,
    "an idle session stays small (design goal: 4 KiB with its driver)"
);

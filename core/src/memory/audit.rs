//! Checks of everything that must hold of the budget.

use super::budget::{Held, Memory, RESEND_FLOOR};
use super::users::{Counted, UserId};
use crate::arena::SessionId;
use alloc::vec::Vec;

/// What the control frames that a session owes at once are charged at most, beyond which a tunnel looks
/// again whether it may make more.
const CONTROL_STEP: u64 = 4 << 10;

/// What an audit counts of sessions.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    held: Held,
    grown: u64,
    noted: usize,
    /// By slot; who has nothing may be left out.
    users: Vec<Counted>,
}

impl Tally {
    fn of(&mut self, user: UserId) -> &mut Counted {
        let slot = user.slot() as usize;
        if slot >= self.users.len() {
            self.users.resize(slot + 1, Counted::default());
        }
        &mut self.users[slot]
    }
}

/// What a session is charged, for audits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Charge {
    pub(crate) user: UserId,
    pub(crate) held: Held,
    pub(crate) grown: u64,
    pub(crate) noted: u8,
}

impl Memory {
    /// Counts a session.
    pub(crate) fn tally(&self, tally: &mut Tally, id: SessionId, charge: Charge) {
        tally.held.total += charge.held.total;
        tally.held.waiting += charge.held.waiting;
        tally.grown += charge.grown;
        tally.noted += usize::from(charge.noted > 0);
        let user = tally.of(charge.user);
        user.sessions += 1;
        user.held += charge.held.total;
        user.grown += charge.grown;
        let waiting = charge.held.waiting;
        assert!(
            self.users.lists(charge.user, id, charge.noted, waiting),
            "I4: {id:?} is listed for what it holds"
        );
    }

    /// Counts what is kept of a user for resending.
    pub(crate) fn tally_kept(tally: &mut Tally, user: UserId, kept: u64) {
        tally.of(user).kept += kept;
    }

    /// Checks the sums, and the bounds that hold whatever drivers and peers do.
    pub(crate) fn audit(&self, tally: &Tally, resend: u64, tunnels: usize) {
        assert_eq!(
            tally.held.total, self.sessions,
            "I4: sum of the sessions' charges"
        );
        assert_eq!(
            tally.held.waiting, self.waiting,
            "I4: sum of what waits for sockets"
        );
        assert_eq!(tally.grown, self.growth, "I4: sum of the windows' growth");
        assert_eq!(resend, self.resend, "I4: sum of the resend buffers");
        self.users.audit(&tally.users, tally.noted);
        assert!(self.growth <= self.growth_pool(), "I4: the growth pool");
        let floors = tunnels as u64 * (2 * RESEND_FLOOR + CONTROL_STEP);
        assert!(
            self.resend <= self.resend_pool() + CONTROL_STEP + floors,
            "I4: {} for resending, of a pool of {}",
            self.resend,
            self.resend_pool()
        );
    }
}

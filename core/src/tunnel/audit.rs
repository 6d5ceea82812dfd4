//! Checks of everything that must hold of one tunnel.

use super::{Peer, Tunnel};
use crate::arena::TunnelId;
use crate::memory::UserId;

/// What is kept for resending, and whether any of it is a session's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kept {
    pub(crate) resend: u64,
    pub(crate) owing: bool,
}

impl<P: Peer> Tunnel<P> {
    /// Checks the tunnel against where its sessions stand.
    pub(crate) fn audit(&self, id: TunnelId, in_line: usize) -> Kept {
        assert_eq!(
            self.scheduler.len(),
            in_line,
            "I6: {id:?} has sessions in line that stand nowhere"
        );
        assert!(self.scheduler.is_consistent(), "I6: {id:?} groups in line");
        assert!(
            self.scarce.is_some() || self.scheduler.parked_since().is_none(),
            "I6: {id:?} passes groups over and does not wait to look again"
        );
        assert!(self.numbering.is_consistent(), "I2: {id:?} numbering");
        assert!(self.roll.numbers_are_opened(), "{id:?} numbers grow");
        assert!(
            self.roll.places_are_counted(),
            "I10: {id:?} places of dials"
        );
        assert!(
            self.debt.is_consistent(self.numbering.acknowledged()),
            "I10: {id:?} owes what it has acknowledged"
        );
        Kept {
            resend: self.numbering.charge(),
            owing: self.is_owing(),
        }
    }

    /// Returns what is kept for resending of each user.
    pub(crate) fn kept_of_users(&self) -> impl Iterator<Item = (UserId, u64)> {
        self.numbering.kept_of_users()
    }
}

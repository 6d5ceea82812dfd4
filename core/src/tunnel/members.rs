//! The sessions of a tunnel, and which has its turn when.

use super::roll::Answered;
use super::scheduler::{Ticket, Turn};
use super::{Peer, Tunnel};
use crate::arena::SessionId;
use crate::config::FRAME_OVERHEAD;
use crate::time::Instant;
use titan_proto::Frame;

impl<P: Peer> Tunnel<P> {
    // --- Who is here ------------------------------------------------------------------------------

    /// Returns the sessions on this tunnel, numbered ones first.
    pub(crate) fn session_ids(&self) -> impl Iterator<Item = SessionId> {
        self.roll.ids()
    }

    /// Returns how many places are taken: by sessions, and by CREATEs that nobody waits for any more and
    /// that are not answered yet.
    pub(crate) fn session_count(&self) -> usize {
        self.roll.count()
    }

    /// Returns the session of a number; an error if there was never one.
    pub(crate) fn find(&self, number: u64) -> Result<Option<SessionId>, ()> {
        self.roll.find(number)
    }

    /// Tells whether the session is here, with this number or waiting for one.
    pub(crate) fn knows(&self, id: SessionId, number: Option<u64>) -> bool {
        self.roll.knows(id, number)
    }

    /// Accepts the number that the peer gives to a new session; false if it does not grow.
    pub(crate) const fn accept(&mut self, number: u64) -> bool {
        self.roll.accept(number)
    }

    /// Takes in the session that the peer opened.
    pub(crate) fn admit(&mut self, number: u64, group: u32, id: SessionId) {
        self.roll.admit(number, group, id);
    }

    /// Lets a new session wait for its number.
    pub(crate) fn queue(&mut self, group: u32, weight: u32, id: SessionId) -> Ticket {
        self.roll.queue(group, id);
        self.enlist(group, weight, id)
    }

    /// Gives a session whose turn it is the next number: they grow in the order of the CREATEs on the
    /// wire, which the scheduler decides.
    pub(crate) fn number(&mut self, group: u32, id: SessionId) -> u64 {
        self.roll.number(group, id)
    }

    /// Forgets a session that has no number.
    pub(crate) fn unqueue(&mut self, group: u32, ticket: Ticket, id: SessionId) {
        self.roll.unqueue(group, id);
        self.withdraw(group, ticket);
    }

    /// Forgets the session of a number; tells whether the number is in use no more.
    pub(crate) fn free(&mut self, number: u64) -> bool {
        self.roll.free(number)
    }

    /// Notes that the CREATE of a number is answered.
    pub(crate) fn answered(&mut self, number: u64) -> Answered {
        self.roll.answered(number)
    }

    /// Returns how many CREATEs are not answered whose session is not here any more.
    pub(crate) const fn abandoned(&self) -> usize {
        self.roll.abandoned()
    }

    /// Tells whether a group may have another dial, of so many places: while it has fewer under way than
    /// are free. One that takes all it can leaves half of them, two a third, and whoever comes next finds
    /// one free.
    pub(crate) fn may_dial(&self, group: u32, places: usize) -> bool {
        self.roll.dials_of(group) < places.saturating_sub(self.roll.count())
    }

    /// Returns how many CREATEs are not answered.
    pub(crate) fn unanswered(&self) -> usize {
        self.roll.unanswered()
    }

    // --- Whose turn it is -------------------------------------------------------------------------

    /// Puts a session in the line of those with DATA.
    pub(crate) fn enlist(&mut self, group: u32, weight: u32, id: SessionId) -> Ticket {
        self.untold = true;
        self.scheduler.push(group, weight, id)
    }

    pub(crate) fn withdraw(&mut self, group: u32, ticket: Ticket) {
        self.scheduler.remove(group, ticket);
    }

    pub(crate) fn is_scheduled(&self, group: u32, ticket: Ticket, id: SessionId) -> bool {
        self.scheduler.contains(group, ticket, id)
    }

    pub(crate) fn has_line(&self) -> bool {
        !self.scheduler.is_empty()
    }

    /// Takes the session whose turn it is. [`had_turn`](Self::had_turn) answers.
    pub(crate) fn next_turn(&mut self) -> Option<Turn> {
        self.scheduler.pop()
    }

    /// Takes a turn back: the user keeps too much for resending and is passed over until more than `freed`
    /// bytes have been acknowledged of all. True if the tunnel was not known to wait for that.
    pub(crate) fn pass_over(&mut self, turn: Turn, freed: u64) -> bool {
        self.scheduler.park(turn, freed);
        let known = self.scarce.is_some();
        self.scarce.get_or_insert(freed);
        !known
    }

    /// Books what the session sent, and puts it in the line again if there is `more`; returns its ticket.
    pub(crate) fn had_turn(
        &mut self,
        now: Instant,
        turn: Turn,
        frame: Option<&Frame>,
        more: bool,
    ) -> Option<Ticket> {
        let cost = match frame {
            Some(Frame::Data { data, .. }) => {
                self.throttle.take(now, data.len());
                data.len()
            }
            Some(Frame::Create { .. }) => self.scheduler.create_cost(),
            Some(_) => FRAME_OVERHEAD as usize,
            None => 0,
        };
        self.scheduler.charge(turn, cost, more)
    }

    /// Puts a session in the line of those who owe control frames.
    pub(crate) fn owe(&mut self, id: SessionId) {
        self.control.push_back(id);
        self.untold = true;
    }

    pub(crate) fn next_owing(&mut self) -> Option<SessionId> {
        self.control.pop_front()
    }
}

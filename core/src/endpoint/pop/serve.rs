//! Serving groups: who waits is called in turns, and who has to go is ended, some at a time.

use super::desk::PopDesk;
use crate::account::Way;
use crate::arena::SessionId;
use crate::endpoint::engine::Engine;
use crate::time::Instant;
use titan_proto::Code;

/// Sessions of a group ended at once at most when its account is shut.
const ENDS_MAX: usize = 64;

impl Engine<PopDesk> {
    /// Draws the conclusions of a change to a group's account: those who may move something are called.
    pub(super) fn follow_account(&mut self, now: Instant, number: u32) {
        self.serve(now, number);
        self.desk.groups.warn_if_low(&mut self.agenda, number);
    }

    /// Draws the conclusions of a grant that was taken back.
    pub(super) fn follow_recall(&mut self, now: Instant, number: u32) {
        let groups = &mut self.desk.groups;
        groups.warn_if_low(&mut self.agenda, number);
        groups.plan(now, &mut self.agenda.timers, number);
    }

    /// Does what is due for a group.
    pub(super) fn expire_group(&mut self, now: Instant, number: u32) {
        if self.desk.groups.expire(number) {
            self.serve(now, number);
        }
    }

    /// Bars a group until its next grant and begins to end its sessions.
    pub(super) fn shut_group(&mut self, now: Instant, number: u32, code: Code) {
        self.desk.groups.shut(number, code);
        self.serve(now, number);
    }

    /// Calls those whose turn it is, and ends some of those who are to end.
    pub(super) fn serve(&mut self, now: Instant, number: u32) {
        for way in Way::BOTH {
            self.call(now, number, way);
        }
        self.end_some(now, number);
        let groups = &mut self.desk.groups;
        groups.served(now, &mut self.agenda.timers, number);
    }

    fn call(&mut self, now: Instant, number: u32, way: Way) {
        let Some((calls, share)) = self.desk.groups.calls(now, number, way) else {
            return;
        };
        for _ in 0..calls {
            let Some((ticket, id)) = self.desk.groups.next_called(number, way) else {
                return;
            };
            self.call_one(now, id, way, (ticket, share));
        }
    }

    fn call_one(&mut self, now: Instant, id: SessionId, way: Way, (ticket, share): (u64, u64)) {
        let deadline = self.rest_deadline(now);
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        // Its remaining bytes were held up by us and not by a socket.
        session.prolong(deadline);
        session.flow_mut().meter.call(way, ticket, share);
        if way == Way::Up {
            self.pay(now, id);
        }
        self.change(now, id, |session| {
            // One that still waits for more would only look in vain.
            if session.flow().meter.ticket(way).is_none() {
                session.tell_driver();
            }
        });
    }

    fn end_some(&mut self, now: Instant, number: u32) {
        for _ in 0..ENDS_MAX {
            let Some((id, code)) = self.desk.groups.next_ended(number) else {
                return;
            };
            self.reset(now, id, code);
        }
    }
}

//! The groups of a POP: whose turn it is to move bytes when there are not enough for all.
//!
//! A session that finds nothing left of its group's account, or of its rate, takes a ticket. Those who
//! hold tickets are called in their order, some at a time, each to a share of what is there; nothing is
//! set aside for them, so that one who does not come costs nobody anything. While anyone holds a ticket
//! nobody overtakes.

mod audit;

use super::engine::Engine;
use super::event::Event;
use crate::account::{Account, Carried, Way};
use crate::arena::SessionId;
use crate::mark::{self, Mark};
use crate::planted::{self, Planted};
use crate::session::{Phase, Session};
use crate::time::{Duration, Instant};
use crate::timer::{Armed, Timer};
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use titan_proto::Code;

/// Sessions called at once at most; the rest is called a moment later.
const CALLS_MAX: usize = 64;

/// Bytes a session is called for at least, if there are that many.
const TURN_MIN: u64 = 1 << 10;

/// Time between two rounds of calls, and between two batches of sessions that are ended.
const GAP: Duration = Duration::from_millis(2);

/// Sessions of a group ended at once at most when its account is shut.
const ENDS_MAX: usize = 64;

/// All groups by number. Only a POP has any.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    by_number: BTreeMap<u32, Group>,
    /// Groups that carried something since the driver last asked, each once.
    dirty: VecDeque<u32>,
}

/// A group: an account, and the sessions that share it.
#[derive(Debug, Default)]
pub(crate) struct Group {
    pub(crate) account: Account,
    sessions: BTreeSet<SessionId>,
    /// Sessions that are going to be ended, and why.
    ending: BTreeSet<SessionId>,
    end_code: Option<Code>,
    up: Queue,
    down: Queue,
    /// What sessions that are gone have carried.
    past: Carried,
    dirty: bool,
    /// When there was the last round of calls or ends.
    served_at: Option<Instant>,
    timer: Armed,
}

/// Those who hold tickets, in order.
#[derive(Debug, Default)]
struct Queue {
    next: u64,
    waiting: BTreeMap<u64, SessionId>,
}

/// A POP's session as its group sees it.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    /// What this session has carried.
    pub(crate) carried: Carried,
    up: Place,
    down: Place,
}

/// Where a session stands in one direction.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    ticket: Option<u64>,
    /// The ticket it was last called with, until it has moved something.
    called: Option<u64>,
    /// Bytes it was called for and has not moved yet.
    turn: u64,
}

impl Meter {
    const fn place(&self, way: Way) -> &Place {
        match way {
            Way::Up => &self.up,
            Way::Down => &self.down,
        }
    }

    const fn place_mut(&mut self, way: Way) -> &mut Place {
        match way {
            Way::Up => &mut self.up,
            Way::Down => &mut self.down,
        }
    }
}

impl Group {
    const fn queue(&self, way: Way) -> &Queue {
        match way {
            Way::Up => &self.up,
            Way::Down => &self.down,
        }
    }

    const fn queue_mut(&mut self, way: Way) -> &mut Queue {
        match way {
            Way::Up => &mut self.up,
            Way::Down => &mut self.down,
        }
    }

    /// Tells whether no session is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.sessions.is_empty() && self.ending.is_empty()
    }

    /// Returns when there is something to do for it.
    fn due(&self, now: Instant) -> Option<Instant> {
        let calls = Way::BOTH
            .into_iter()
            .filter(|&way| !self.queue(way).waiting.is_empty())
            .filter_map(|way| self.account.worth_at(now, way))
            .min();
        let ends = (!self.ending.is_empty()).then_some(now);
        let due = calls.into_iter().chain(ends).min()?;
        let earliest = self
            .served_at
            .map_or(now, |served| (served + GAP).max(now))
            .max(now + Duration::from_nanos(1));
        Some(due.max(earliest))
    }
}

impl Groups {
    pub(crate) fn get(&self, number: u32) -> Option<&Group> {
        self.by_number.get(&number)
    }

    pub(crate) fn get_mut(&mut self, number: u32) -> Option<&mut Group> {
        self.by_number.get_mut(&number)
    }

    pub(crate) fn get_or_add(&mut self, number: u32) -> &mut Group {
        self.by_number.entry(number).or_default()
    }

    pub(crate) fn len(&self) -> usize {
        self.by_number.len()
    }

    /// Takes a group that carried something since it was last taken, and its totals.
    pub(crate) fn poll_dirty(&mut self) -> Option<(u32, Carried)> {
        loop {
            let number = self.dirty.pop_front()?;
            if let Some(group) = self.by_number.get_mut(&number)
                && core::mem::take(&mut group.dirty)
            {
                return Some((number, group.account.quota.carried()));
            }
        }
    }
}

impl Engine {
    /// Adds a new session to its group.
    pub(crate) fn join_group(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get(id) {
            let group = self.groups.get_or_add(session.group);
            group.sessions.insert(id);
        }
    }

    /// Returns why a group opens nothing.
    pub(crate) fn bar_of(&self, number: u32) -> Option<Code> {
        self.groups.get(number)?.account.barred
    }

    /// Takes a session that is gone out of its group.
    pub(crate) fn leave_group(&mut self, id: SessionId, session: &Session) {
        let Some(side) = session.pop() else { return };
        let Some(group) = self.groups.by_number.get_mut(&session.group) else {
            return;
        };
        group.sessions.remove(&id);
        group.ending.remove(&id);
        for way in Way::BOTH {
            if let Some(ticket) = side.meter.place(way).ticket {
                group.queue_mut(way).waiting.remove(&ticket);
            }
        }
        group.past.add(Way::Up, side.meter.carried.up);
        group.past.add(Way::Down, side.meter.carried.down);
    }

    /// Forgets a group without sessions.
    pub(crate) fn forget_group(&mut self, number: u32) -> Option<Carried> {
        let group = self.groups.by_number.get(&number)?;
        if !group.is_empty() {
            return None;
        }
        let mut group = self.groups.by_number.remove(&number)?;
        self.timers
            .arm(Timer::Group(number), &mut group.timer, None);
        self.groups.dirty.retain(|&dirty| dirty != number);
        Some(group.account.quota.carried())
    }

    /// Returns how many bytes a session may move now as far as its group is concerned.
    pub(crate) fn allowance(&self, now: Instant, id: SessionId, way: Way, wanted: usize) -> u64 {
        let Some((session, side)) = self
            .sessions
            .get(id)
            .and_then(|session| Some((session, session.pop()?)))
        else {
            return u64::MAX;
        };
        let Some(group) = self.groups.get(session.group) else {
            return u64::MAX;
        };
        let place = side.meter.place(way);
        if place.ticket.is_some() {
            return 0;
        }
        let allowance = group.account.allowance(now, way, wanted as u64);
        if group.queue(way).waiting.is_empty() {
            allowance
        } else {
            allowance.min(place.turn)
        }
    }

    /// Returns how many of the bytes that wait for the session's socket it may see.
    pub(crate) fn readable_len(&self, now: Instant, id: SessionId) -> usize {
        let len = self
            .sessions
            .get(id)
            .map_or(0, |session| session.recv.queue.len());
        if len == 0 {
            return 0;
        }
        let after_end = planted::on(Planted::TailUncharged)
            && self.sessions.get(id).is_some_and(Session::is_ended);
        if after_end {
            return len;
        }
        let allowance = self.allowance(now, id, Way::Down, len);
        len.min(usize::try_from(allowance).unwrap_or(usize::MAX))
    }

    /// Returns how many of `room` bytes the session may take from its client. Who may take none gets
    /// a ticket.
    pub(crate) fn may_take(&mut self, now: Instant, id: SessionId, room: usize) -> usize {
        if room == 0 {
            return 0;
        }
        let allowance = self.allowance(now, id, Way::Up, room);
        if allowance == 0 {
            self.queue_up(now, id, Way::Up);
        }
        room.min(usize::try_from(allowance).unwrap_or(usize::MAX))
    }

    /// Returns how many bytes the session may write to its client. Who may write none of what waits
    /// gets a ticket.
    pub(crate) fn may_show(&mut self, now: Instant, id: SessionId) -> usize {
        let readable = self.readable_len(now, id);
        let waits = self
            .sessions
            .get(id)
            .is_some_and(|session| !session.recv.queue.is_empty());
        if waits && readable == 0 {
            self.queue_up(now, id, Way::Down);
        }
        readable
    }

    /// Gives a session a ticket: it is called when there is something for it.
    pub(crate) fn queue_up(&mut self, now: Instant, id: SessionId, way: Way) {
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        let number = session.group;
        let Some(side) = session.pop_mut() else {
            return;
        };
        let Some(group) = self.groups.by_number.get_mut(&number) else {
            return;
        };
        let place = side.meter.place_mut(way);
        place.turn = 0;
        if place.ticket.is_none() {
            let queue = group.queue_mut(way);
            // Who was called and found that others had been faster keeps his place.
            let ticket = place.called.take().unwrap_or(queue.next);
            queue.next = queue.next.max(ticket + 1);
            queue.waiting.insert(ticket, id);
            place.ticket = Some(ticket);
            self.plan(now, number);
        }
    }

    /// Books bytes that a session moved.
    pub(crate) fn carry(&mut self, now: Instant, id: SessionId, way: Way, bytes: u64) {
        if bytes == 0 {
            return;
        }
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        let number = session.group;
        let Some(side) = session.pop_mut() else {
            return;
        };
        let Some(group) = self.groups.by_number.get_mut(&number) else {
            return;
        };
        side.meter.carried.add(way, bytes);
        let place = side.meter.place_mut(way);
        place.called = None;
        place.turn = place.turn.saturating_sub(bytes);
        group.account.carry(now, way, bytes);
        if !core::mem::replace(&mut group.dirty, true) {
            self.groups.dirty.push_back(number);
        }
        self.warn_if_low(number);
        self.plan(now, number);
    }

    /// Tells the driver once that little is left.
    pub(crate) fn warn_if_low(&mut self, number: u32) {
        if let Some(group) = self.groups.by_number.get_mut(&number)
            && group.account.quota.is_newly_low()
        {
            mark::hit(Mark::AllowanceLow);
            self.events.push_back(Event::AllowanceLow { group: number });
        }
    }

    /// Books the bytes of the send queue that could not be booked when they were taken.
    pub(crate) fn pay(&mut self, now: Instant, id: SessionId) {
        let unpaid = self
            .sessions
            .get(id)
            .map_or(0, |session| session.send.unpaid);
        if unpaid == 0 {
            return;
        }
        let allowance = self.allowance(now, id, Way::Up, unpaid);
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        let unpaid = unpaid as u64;
        let paid = unpaid.min(allowance);
        session.send.unpaid -= usize::try_from(paid).unwrap_or(usize::MAX);
        self.carry(now, id, Way::Up, paid);
        if paid < unpaid {
            mark::hit(Mark::WriteUnpaid);
            self.queue_up(now, id, Way::Up);
        }
    }

    /// Arms the group's timer for the next time there is something to do for it.
    pub(crate) fn plan(&mut self, now: Instant, number: u32) {
        if let Some(group) = self.groups.by_number.get_mut(&number) {
            let due = group.due(now);
            self.timers.arm(Timer::Group(number), &mut group.timer, due);
        }
    }

    /// Does what is due for a group.
    pub(crate) fn expire_group(&mut self, now: Instant, number: u32) {
        if let Some(group) = self.groups.by_number.get_mut(&number) {
            group.timer = None;
            self.serve(now, number);
        }
    }

    /// Calls those whose turn it is, and ends some of those who are to end.
    pub(crate) fn serve(&mut self, now: Instant, number: u32) {
        for way in Way::BOTH {
            self.call(now, number, way);
        }
        self.end_some(now, number);
        if let Some(group) = self.groups.by_number.get_mut(&number) {
            group.served_at = Some(now);
        }
        self.plan(now, number);
    }

    fn call(&mut self, now: Instant, number: u32, way: Way) {
        let Some(group) = self.groups.by_number.get(&number) else {
            return;
        };
        let waiting = group.queue(way).waiting.len();
        let worth = group.account.worth_at(now, way).is_some_and(|at| at <= now);
        if waiting == 0 || !worth {
            return;
        }
        let available = group.account.allowance(now, way, u64::MAX);
        let turns = usize::try_from(available / TURN_MIN).unwrap_or(usize::MAX);
        let calls = waiting.min(CALLS_MAX).min(turns.max(1));
        let share = available.div_ceil(calls as u64);
        for _ in 0..calls {
            let Some(group) = self.groups.by_number.get_mut(&number) else {
                return;
            };
            let Some((ticket, id)) = group.queue_mut(way).waiting.pop_first() else {
                return;
            };
            let deadline = now + self.config.write_deadline;
            let Some(session) = self.sessions.get_mut(id) else {
                continue;
            };
            // Its remaining bytes were held up by us and not by a socket.
            if matches!(session.phase, Phase::Closing(_) | Phase::Ended(_)) {
                session.deadline = session.deadline.max(Some(deadline));
            }
            if let Some(side) = session.pop_mut() {
                let place = side.meter.place_mut(way);
                place.ticket = None;
                place.called = Some(ticket);
                place.turn = share;
            }
            if way == Way::Up {
                self.pay(now, id);
                self.schedule(id);
            }
            // One that still waits for more would only look in vain.
            if self.holds_no_ticket(id, way) {
                self.wake(id);
            }
        }
    }

    /// Tells whether a session waits for its group's allowance, either way.
    pub(crate) fn holds_ticket(&self, id: SessionId) -> bool {
        let side = self.sessions.get(id).and_then(Session::pop);
        side.is_some_and(|side| {
            [Way::Up, Way::Down]
                .into_iter()
                .any(|way| side.meter.place(way).ticket.is_some())
        })
    }

    fn holds_no_ticket(&self, id: SessionId, way: Way) -> bool {
        let side = self.sessions.get(id).and_then(Session::pop);
        side.is_some_and(|side| side.meter.place(way).ticket.is_none())
    }

    /// Bars a group until its next grant and begins to end its sessions.
    pub(crate) fn shut_group(&mut self, now: Instant, number: u32, code: Code) {
        let group = self.groups.get_or_add(number);
        group.account.barred = Some(code);
        group.end_code = Some(code);
        let mut sessions = core::mem::take(&mut group.sessions);
        group.ending.append(&mut sessions);
        self.serve(now, number);
    }

    fn end_some(&mut self, now: Instant, number: u32) {
        for _ in 0..ENDS_MAX {
            let Some(group) = self.groups.by_number.get_mut(&number) else {
                return;
            };
            let code = group.end_code.unwrap_or(Code::QuotaExceeded);
            let Some(id) = group.ending.pop_first() else {
                return;
            };
            // It belongs to the group until its driver has let go.
            group.sessions.insert(id);
            self.reset(now, id, code);
        }
    }

    /// Returns the timers of groups, for the audit of timers.
    pub(crate) fn group_timers(&self) -> impl Iterator<Item = (Armed, Timer)> {
        self.groups
            .by_number
            .iter()
            .map(|(&number, group)| (group.timer, Timer::Group(number)))
    }
}

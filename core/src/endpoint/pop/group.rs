//! The groups of a POP: whose turn it is to move bytes when there are not enough for all.
//!
//! A session that finds nothing left of its group's account, or of its rate, takes a ticket. Those who
//! hold tickets are called in their order, some at a time, each to a share of what is there; nothing is
//! set aside for them, so that one who does not come costs nobody anything. While anyone holds a ticket
//! nobody overtakes.

mod audit;

use super::meter::Meter;
use super::part::PopFlow;
use crate::account::{Account, Carried, Way};
use crate::arena::SessionId;
use crate::endpoint::agenda::Agenda;
use crate::endpoint::event::{PopEvent, PopTimer};
use crate::mark::{self, Mark};
use crate::session::Session;
use crate::time::{Duration, Instant};
use crate::timer::{Armed, Timer, Timers};
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use titan_proto::Code;

/// Sessions called at once at most; the rest is called a moment later.
const CALLS_MAX: usize = 64;

/// Bytes a session is called for at least, if there are that many.
const TURN_MIN: u64 = 1 << 10;

/// Time between two rounds of calls, and between two batches of sessions that are ended.
const GAP: Duration = Duration::from_millis(2);

/// All groups by number.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    by_number: BTreeMap<u32, Group>,
    /// Groups that carried something since the driver last asked, each once.
    dirty: VecDeque<u32>,
}

/// A group: an account, and the sessions that share it.
#[derive(Debug, Default)]
pub(super) struct Group {
    account: Account,
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
    fn is_empty(&self) -> bool {
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
    pub(super) fn get(&self, number: u32) -> Option<&Group> {
        self.by_number.get(&number)
    }

    /// Returns the account of a group that is there.
    pub(super) fn account_mut(&mut self, number: u32) -> Option<&mut Account> {
        Some(&mut self.by_number.get_mut(&number)?.account)
    }

    /// Returns the account of a group, new or not.
    pub(super) fn account_or_add(&mut self, number: u32) -> &mut Account {
        &mut self.by_number.entry(number).or_default().account
    }

    pub(super) fn len(&self) -> usize {
        self.by_number.len()
    }

    /// Takes a group that carried something since it was last taken, and its totals.
    pub(super) fn poll_dirty(&mut self) -> Option<(u32, Carried)> {
        loop {
            let number = self.dirty.pop_front()?;
            if let Some(group) = self.by_number.get_mut(&number)
                && core::mem::take(&mut group.dirty)
            {
                return Some((number, group.account.quota.carried()));
            }
        }
    }

    /// Adds a new session to its group.
    pub(super) fn join(&mut self, id: SessionId, number: u32) {
        let group = self.by_number.entry(number).or_default();
        group.sessions.insert(id);
    }

    /// Returns why a group opens nothing.
    pub(super) fn bar_of(&self, number: u32) -> Option<Code> {
        self.get(number)?.account.barred
    }

    /// Takes a session that is gone out of its group.
    pub(super) fn leave(&mut self, id: SessionId, number: u32, meter: &Meter) {
        let Some(group) = self.by_number.get_mut(&number) else {
            return;
        };
        group.sessions.remove(&id);
        group.ending.remove(&id);
        for way in Way::BOTH {
            if let Some(ticket) = meter.ticket(way) {
                group.queue_mut(way).waiting.remove(&ticket);
            }
        }
        group.past.add(Way::Up, meter.carried().up);
        group.past.add(Way::Down, meter.carried().down);
    }

    /// Forgets a group without sessions.
    pub(super) fn forget(&mut self, timers: &mut Timers<PopTimer>, number: u32) -> Option<Carried> {
        if !self.by_number.get(&number)?.is_empty() {
            return None;
        }
        let mut group = self.by_number.remove(&number)?;
        timers.arm(timer(number), &mut group.timer, None);
        self.dirty.retain(|&dirty| dirty != number);
        Some(group.account.quota.carried())
    }

    /// Returns how many bytes a session may move now as far as its group is concerned.
    pub(super) fn allowance(
        &self,
        now: Instant,
        session: &Session<PopFlow>,
        way: Way,
        wanted: usize,
    ) -> u64 {
        let Some(group) = self.by_number.get(&session.group()) else {
            return u64::MAX;
        };
        let meter = &session.flow().meter;
        if meter.ticket(way).is_some() {
            return 0;
        }
        let allowance = group.account.allowance(now, way, wanted as u64);
        if group.queue(way).waiting.is_empty() {
            allowance
        } else {
            allowance.min(meter.turn(way))
        }
    }

    /// Gives a session a ticket: it is called when there is something for it.
    pub(super) fn queue_up(
        &mut self,
        now: Instant,
        agenda: &mut Agenda<PopEvent, PopTimer>,
        id: SessionId,
        session: &mut Session<PopFlow>,
        way: Way,
    ) {
        let number = session.group();
        let Some(group) = self.by_number.get_mut(&number) else {
            return;
        };
        let queue = group.queue_mut(way);
        if let Some(ticket) = session.flow_mut().meter.take_ticket(way, queue.next) {
            queue.next = queue.next.max(ticket + 1);
            queue.waiting.insert(ticket, id);
            group.plan(now, &mut agenda.timers, number);
        }
    }

    /// Books bytes that a session moved.
    pub(super) fn carry(
        &mut self,
        now: Instant,
        agenda: &mut Agenda<PopEvent, PopTimer>,
        session: &mut Session<PopFlow>,
        way: Way,
        bytes: u64,
    ) {
        if bytes == 0 {
            return;
        }
        let number = session.group();
        let Some(group) = self.by_number.get_mut(&number) else {
            return;
        };
        session.flow_mut().meter.carry(way, bytes);
        group.account.carry(now, way, bytes);
        if !core::mem::replace(&mut group.dirty, true) {
            self.dirty.push_back(number);
        }
        group.warn_if_low(agenda, number);
        group.plan(now, &mut agenda.timers, number);
    }

    /// Bars a group until its next grant; all of its sessions are going to be ended.
    pub(super) fn shut(&mut self, number: u32, code: Code) {
        let group = self.by_number.entry(number).or_default();
        group.account.barred = Some(code);
        group.end_code = Some(code);
        let mut sessions = core::mem::take(&mut group.sessions);
        group.ending.append(&mut sessions);
    }

    /// Returns how many sessions of a group are to be called now, and each to how much.
    pub(super) fn calls(&self, now: Instant, number: u32, way: Way) -> Option<(usize, u64)> {
        let group = self.by_number.get(&number)?;
        let waiting = group.queue(way).waiting.len();
        let worth = group.account.worth_at(now, way).is_some_and(|at| at <= now);
        if waiting == 0 || !worth {
            return None;
        }
        let available = group.account.allowance(now, way, u64::MAX);
        let turns = usize::try_from(available / TURN_MIN).unwrap_or(usize::MAX);
        let calls = waiting.min(CALLS_MAX).min(turns.max(1));
        Some((calls, available.div_ceil(calls as u64)))
    }

    /// Takes who has waited longest, and its ticket.
    pub(super) fn next_called(&mut self, number: u32, way: Way) -> Option<(u64, SessionId)> {
        let group = self.by_number.get_mut(&number)?;
        group.queue_mut(way).waiting.pop_first()
    }

    /// Takes a session that is to be ended, and why. It belongs to the group until its driver has let go.
    pub(super) fn next_ended(&mut self, number: u32) -> Option<(SessionId, Code)> {
        let group = self.by_number.get_mut(&number)?;
        let id = group.ending.pop_first()?;
        group.sessions.insert(id);
        Some((id, group.end_code.unwrap_or(Code::QuotaExceeded)))
    }

    /// Notes that a round of calls and ends is over, and plans the next.
    pub(super) fn served(&mut self, now: Instant, timers: &mut Timers<PopTimer>, number: u32) {
        if let Some(group) = self.by_number.get_mut(&number) {
            group.served_at = Some(now);
            group.plan(now, timers, number);
        }
    }

    /// Notes that a group's timer is due; false if there is no such group.
    pub(super) fn expire(&mut self, number: u32) -> bool {
        let group = self.by_number.get_mut(&number);
        group.map(|group| group.timer = None).is_some()
    }

    /// Tells the driver once that little is left.
    pub(super) fn warn_if_low(&mut self, agenda: &mut Agenda<PopEvent, PopTimer>, number: u32) {
        if let Some(group) = self.by_number.get_mut(&number) {
            group.warn_if_low(agenda, number);
        }
    }

    /// Arms a group's timer for the next time there is something to do for it.
    pub(super) fn plan(&mut self, now: Instant, timers: &mut Timers<PopTimer>, number: u32) {
        if let Some(group) = self.by_number.get_mut(&number) {
            group.plan(now, timers, number);
        }
    }

    /// Returns the timers of groups.
    pub(super) fn timers(&self) -> impl Iterator<Item = (Armed, PopTimer)> {
        let groups = self.by_number.iter();
        groups.map(|(&number, group)| (group.timer, PopTimer::Group(number)))
    }
}

impl Group {
    pub(super) const fn account(&self) -> &Account {
        &self.account
    }

    fn warn_if_low(&mut self, agenda: &mut Agenda<PopEvent, PopTimer>, number: u32) {
        if self.account.quota.is_newly_low() {
            mark::hit(Mark::AllowanceLow);
            agenda.tell(PopEvent::AllowanceLow { group: number });
        }
    }

    fn plan(&mut self, now: Instant, timers: &mut Timers<PopTimer>, number: u32) {
        let due = self.due(now);
        timers.arm(timer(number), &mut self.timer, due);
    }
}

const fn timer(number: u32) -> Timer<PopTimer> {
    Timer::Role(PopTimer::Group(number))
}

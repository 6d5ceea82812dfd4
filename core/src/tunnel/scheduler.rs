//! Who sends next: deficit round robin over groups, round robin over a group's sessions.
//!
//! A group whose user may keep no more for resending is parked: passed over without losing its turn, and looked
//! at again once something has been acknowledged, those first that have waited longest.

use crate::arena::SessionId;
use alloc::collections::BTreeMap;

/// Bytes a group may send per round, times its weight: as many as a carrier that is not slow takes.
const QUANTUM: i64 = 64 << 10;

/// Weights above count as this.
const WEIGHT_MAX: u32 = 16;

/// A place in a line: whoever came earlier has the smaller one.
pub(crate) type Ticket = u64;

/// Whose turn it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Turn {
    pub(crate) group: u32,
    pub(crate) session: SessionId,
    ticket: Ticket,
}

/// Groups that have their turns again at once, at most.
const UNPARK_MAX: usize = 4;

/// The sessions of one tunnel that have something to send, by group (user). Lines are kept in order of
/// tickets, so that whoever leaves one costs the same however long it is.
#[derive(Debug)]
pub(crate) struct Scheduler {
    groups: BTreeMap<u32, Group>,
    round: BTreeMap<Ticket, u32>,
    /// Groups that are passed over, in their order, and how much had been acknowledged of all then.
    parked: BTreeMap<Ticket, (u32, u64)>,
    next: Ticket,
    quantum: i64,
    /// Entries that were looked at for whoever leaves a line, is passed over or has had its turn.
    visits: u64,
}

impl Default for Scheduler {
    fn default() -> Self {
        Self {
            groups: BTreeMap::new(),
            round: BTreeMap::new(),
            parked: BTreeMap::new(),
            next: 0,
            quantum: QUANTUM,
            visits: 0,
        }
    }
}

#[derive(Debug)]
struct Group {
    sessions: BTreeMap<Ticket, SessionId>,
    /// Its place in the round.
    ticket: Ticket,
    deficit: i64,
    weight: i64,
    /// Its place among those that are passed over, instead.
    parked: Option<Ticket>,
}

impl Scheduler {
    /// Makes one in which each group has one turn in a round, if each is charged one byte.
    pub(crate) fn one_by_one() -> Self {
        Self {
            quantum: 1,
            ..Self::default()
        }
    }

    /// Fits a round to what the carrier takes at once, in bytes: whoever waits for a turn on a slow one
    /// waits for little of everybody else.
    pub(crate) fn fit(&mut self, burst: usize) {
        self.quantum = i64::try_from(burst).map_or(QUANTUM, |burst| burst.clamp(1, QUANTUM));
    }

    /// Returns what opening a session costs its group: a user who opens many does not delay those who
    /// transfer.
    pub(crate) fn create_cost(&self) -> usize {
        usize::try_from(self.quantum).unwrap_or(0)
    }

    /// Queues a session; the caller makes sure that it is queued once, and keeps the ticket.
    pub(crate) fn push(&mut self, group: u32, weight: u32, session: SessionId) -> Ticket {
        let weight = i64::from(weight.clamp(1, WEIGHT_MAX));
        let ticket = self.next;
        self.next += 1;
        let (round, quantum) = (&mut self.round, self.quantum);
        let entry = self.groups.entry(group).or_insert_with(|| {
            round.insert(ticket, group);
            Group {
                sessions: BTreeMap::new(),
                ticket,
                deficit: quantum * weight,
                weight,
                parked: None,
            }
        });
        entry.weight = weight;
        entry.sessions.insert(ticket, session);
        ticket
    }

    /// Takes the session whose turn it is. It must be answered by [`charge`](Self::charge).
    pub(crate) fn pop(&mut self) -> Option<Turn> {
        // A group that had its turn goes behind the others with something to spend, whatever it owes: else many
        // would be passed again and again once quanta have become small.
        loop {
            let first = self.round.first_entry()?;
            let number = *first.get();
            let group = self
                .groups
                .get_mut(&number)
                .expect("a group in the round exists");
            if group.deficit <= 0 {
                group.deficit = (group.deficit + self.quantum * group.weight).max(1);
                self.visits += 1;
                first.remove();
                group.ticket = self.next;
                self.next += 1;
                self.round.insert(group.ticket, number);
                continue;
            }
            let (ticket, session) = group
                .sessions
                .pop_first()
                .expect("a group in the round has sessions");
            return Some(Turn {
                group: number,
                session,
                ticket,
            });
        }
    }

    /// Books what the popped session sent and queues it again if it has `more`.
    pub(crate) fn charge(&mut self, turn: Turn, bytes: usize, more: bool) -> Option<Ticket> {
        let group = self
            .groups
            .get_mut(&turn.group)
            .expect("the group was popped from");
        group.deficit -= i64::try_from(bytes).unwrap_or(i64::MAX);
        if more {
            let ticket = self.next;
            self.next += 1;
            group.sessions.insert(ticket, turn.session);
            return Some(ticket);
        }
        self.leave_if_empty(turn.group);
        None
    }

    /// Puts the popped session back where it was, and passes its group over from now on, when `freed` bytes
    /// have been acknowledged of all.
    pub(crate) fn park(&mut self, turn: Turn, freed: u64) {
        self.visits += 1;
        if let Some(group) = self.groups.get_mut(&turn.group) {
            group.sessions.insert(turn.ticket, turn.session);
            self.round.remove(&group.ticket);
            self.parked.insert(self.next, (turn.group, freed));
            group.parked = Some(self.next);
            self.next += 1;
        }
    }

    /// Lets groups that were passed over have their turns again, those first that have waited longest; some
    /// of them, and only those for whom the time since when they wait `is_over`. Returns whether there were
    /// any.
    pub(crate) fn unpark(&mut self, is_over: impl Fn(u64) -> bool) -> bool {
        let mut any = false;
        for _ in 0..UNPARK_MAX {
            let Some(first) = self.parked.first_entry() else {
                break;
            };
            self.visits += 1;
            let (number, since) = *first.get();
            if !is_over(since) {
                break;
            }
            first.remove();
            if let Some(group) = self.groups.get_mut(&number) {
                group.parked = None;
                self.round.insert(group.ticket, number);
                any = true;
            }
        }
        any
    }

    /// Returns how much had been acknowledged of all when the group was passed over that has waited
    /// longest.
    pub(crate) fn parked_since(&self) -> Option<u64> {
        self.parked.values().next().map(|&(_, since)| since)
    }

    /// Forgets the queued session that has this ticket.
    pub(crate) fn remove(&mut self, number: u32, ticket: Ticket) {
        if let Some(group) = self.groups.get_mut(&number) {
            self.visits += 1;
            group.sessions.remove(&ticket);
            self.leave_if_empty(number);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.round.is_empty()
    }

    /// Tells whether the session is queued with this ticket.
    pub(crate) fn contains(&self, number: u32, ticket: Ticket, session: SessionId) -> bool {
        self.groups
            .get(&number)
            .is_some_and(|group| group.sessions.get(&ticket) == Some(&session))
    }

    /// Returns how many sessions are queued.
    pub(crate) fn len(&self) -> usize {
        self.groups.values().map(|group| group.sessions.len()).sum()
    }

    /// Takes the count of the entries that were looked at.
    pub(crate) const fn take_visits(&mut self) -> u64 {
        core::mem::replace(&mut self.visits, 0)
    }

    /// Tells whether each group is in the round, or passed over, and has somebody in its line.
    pub(crate) fn is_consistent(&self) -> bool {
        let stands = |(&number, group): (&u32, &Group)| {
            let in_round = self.round.get(&group.ticket) == Some(&number);
            let parked = group.parked.and_then(|ticket| self.parked.get(&ticket));
            in_round == group.parked.is_none()
                && parked.map(|&(number, _)| number) == group.parked.map(|_| number)
                && !group.sessions.is_empty()
        };
        self.groups.iter().all(stands) && self.groups.len() == self.round.len() + self.parked.len()
    }

    fn leave_if_empty(&mut self, number: u32) {
        if let Some(group) = self.groups.get(&number)
            && group.sessions.is_empty()
        {
            self.visits += 1;
            match group.parked {
                Some(ticket) => self.parked.remove(&ticket).map(|_| ()),
                None => self.round.remove(&group.ticket).map(|_| ()),
            };
            self.groups.remove(&number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{QUANTUM, Scheduler};
    use crate::arena::{Arena, SessionId};
    use alloc::collections::BTreeMap;
    use alloc::vec::Vec;

    fn ids(count: usize) -> Vec<SessionId> {
        let mut arena: Arena<SessionId, ()> = Arena::new();
        (0..count).map(|_| arena.insert(())).collect()
    }

    #[test]
    fn a_group_of_many_gets_no_more_than_a_group_of_one() {
        let ids = ids(33);
        let mut scheduler = Scheduler::default();
        scheduler.push(1, 1, ids[0]);
        for &id in &ids[1..] {
            scheduler.push(2, 1, id);
        }
        let mut sent = BTreeMap::<u32, usize>::new();
        for _ in 0..4000 {
            let turn = scheduler.pop().expect("all have more");
            let group = turn.group;
            let bytes = if group == 1 { 32 << 10 } else { 16 << 10 };
            *sent.entry(group).or_default() += bytes;
            scheduler.charge(turn, bytes, true);
        }
        let difference = sent[&1].abs_diff(sent[&2]);
        assert!(difference <= 2 * QUANTUM as usize, "{sent:?}");
    }

    #[test]
    fn weight_multiplies_the_share() {
        let ids = ids(2);
        let mut scheduler = Scheduler::default();
        scheduler.push(1, 3, ids[0]);
        scheduler.push(2, 1, ids[1]);
        let mut sent = BTreeMap::<u32, usize>::new();
        for _ in 0..4000 {
            let turn = scheduler.pop().expect("all have more");
            *sent.entry(turn.group).or_default() += 1000;
            scheduler.charge(turn, 1000, true);
        }
        let ratio = sent[&1] as f64 / sent[&2] as f64;
        assert!((2.8..3.2).contains(&ratio), "{sent:?}");
    }

    #[test]
    fn a_round_is_short_on_a_slow_carrier() {
        let ids = ids(3);
        let mut scheduler = Scheduler::default();
        scheduler.fit(16 << 10);
        scheduler.push(1, 1, ids[0]);
        let turn = scheduler.pop().expect("one is queued");
        scheduler.charge(turn, 16 << 10, true);
        scheduler.push(2, 1, ids[1]);
        scheduler.push(2, 1, ids[2]);
        let mut between = 0;
        for dial in [ids[1], ids[2]] {
            let turn = loop {
                let turn = scheduler.pop().expect("all are queued");
                if turn.session == dial {
                    break turn;
                }
                between += 16 << 10;
                scheduler.charge(turn, 16 << 10, true);
            };
            scheduler.charge(turn, scheduler.create_cost(), false);
        }
        assert!(
            between <= 2 * (16 << 10),
            "{between} bytes before two dials"
        );
    }

    #[test]
    fn nobody_is_passed_twice_for_what_it_sent_when_rounds_were_longer() {
        let ids = ids(1000);
        let mut scheduler = Scheduler::default();
        for (group, &id) in (1..).zip(&ids) {
            scheduler.push(group, 1, id);
        }
        // Each has one byte left of its turn, and sends as much as another one is.
        for _ in 0..2000 {
            let turn = scheduler.pop().expect("all have more");
            scheduler.charge(turn, QUANTUM as usize - 1, true);
        }
        scheduler.fit(1 << 10);
        scheduler.take_visits();
        for _ in 0..2000 {
            let turn = scheduler.pop().expect("all have more");
            let visits = scheduler.take_visits();
            assert!(visits <= 1, "{visits} groups had no turn");
            scheduler.charge(turn, 1 << 10, true);
        }
    }

    #[test]
    fn leaving_forgets_everything() {
        let ids = ids(2);
        let mut scheduler = Scheduler::default();
        let first = scheduler.push(1, 1, ids[0]);
        scheduler.push(1, 1, ids[1]);
        scheduler.remove(1, first);
        let turn = scheduler.pop().expect("one is left");
        assert_eq!(turn.session, ids[1]);
        scheduler.charge(turn, 1, false);
        assert!(scheduler.is_empty() && scheduler.pop().is_none());
    }

    #[test]
    fn a_group_that_is_passed_over_keeps_its_order() {
        let ids = ids(3);
        let mut scheduler = Scheduler::default();
        for (group, id) in [(1, ids[0]), (1, ids[1]), (2, ids[2])] {
            scheduler.push(group, 1, id);
        }
        let turn = scheduler.pop().expect("three are queued");
        scheduler.park(turn, 0);
        assert_eq!(scheduler.pop().map(|turn| turn.session), Some(ids[2]));
        assert!(!scheduler.unpark(|since| since > 0));
        assert!(scheduler.unpark(|_| true) && !scheduler.unpark(|_| true));
        assert_eq!(scheduler.pop(), Some(turn));
    }

    #[test]
    fn a_group_that_leaves_takes_no_turn_of_those_passed_over() {
        let ids = ids(9);
        let mut scheduler = Scheduler::default();
        let tickets: Vec<_> = (1..)
            .zip(&ids)
            .map(|(group, &id)| (group, scheduler.push(group, 1, id)))
            .collect();
        while let Some(turn) = scheduler.pop() {
            scheduler.park(turn, 0);
        }
        for &(group, ticket) in &tickets[..8] {
            scheduler.remove(group, ticket);
        }
        assert!(scheduler.unpark(|_| true) && scheduler.parked_since().is_none());
        assert_eq!(scheduler.pop().map(|turn| turn.session), Some(ids[8]));
    }
}

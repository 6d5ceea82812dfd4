//! Which sessions are on a tunnel.

use crate::arena::SessionId;
use alloc::collections::{BTreeMap, BTreeSet};

/// What an answer to a CREATE means for its number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Answered {
    /// There was one already.
    Before,
    /// Its session is here.
    InUse,
    /// Nobody waited for it: another session may have the place.
    Freed,
}

#[derive(Debug, Default)]
pub(super) struct Roll {
    numbered: BTreeMap<u64, SessionId>,
    /// Sessions whose CREATE is not framed yet; it is what gives them a number.
    queued: BTreeSet<SessionId>,
    /// Numbers whose CREATE is not answered, whoever still waits for that, and their groups. A number is
    /// in use until then: its peer has a session for it.
    unanswered: BTreeMap<u64, u32>,
    /// How many dials of each group are under way: queued or not answered.
    dials: BTreeMap<u32, usize>,
    /// How many of the unanswered have no session here any more.
    abandoned: usize,
    /// Highest session number ever opened.
    opened: u64,
}

impl Roll {
    /// Accepts the number that the peer gives to a new session; false if it does not grow.
    pub(super) const fn accept(&mut self, number: u64) -> bool {
        let grows = number > self.opened;
        if grows {
            self.opened = number;
        }
        grows
    }

    /// Takes in the session that the peer opened.
    pub(super) fn admit(&mut self, number: u64, group: u32, id: SessionId) {
        self.numbered.insert(number, id);
        self.unanswered.insert(number, group);
        *self.dials.entry(group).or_default() += 1;
    }

    /// Takes in a session that waits for its number.
    pub(super) fn queue(&mut self, group: u32, id: SessionId) {
        self.queued.insert(id);
        *self.dials.entry(group).or_default() += 1;
    }

    /// Gives a session that waits for it the next number.
    pub(super) fn number(&mut self, group: u32, id: SessionId) -> u64 {
        self.opened += 1;
        self.unqueue(group, id);
        self.admit(self.opened, group, id);
        self.opened
    }

    /// Forgets a session that has no number.
    pub(super) fn unqueue(&mut self, group: u32, id: SessionId) {
        if self.queued.remove(&id) {
            self.end_dial(group);
        }
    }

    fn end_dial(&mut self, group: u32) {
        if let Some(dials) = self.dials.get_mut(&group) {
            *dials -= 1;
            if *dials == 0 {
                self.dials.remove(&group);
            }
        }
    }

    /// Returns how many dials of a group are under way.
    pub(super) fn dials_of(&self, group: u32) -> usize {
        self.dials.get(&group).copied().unwrap_or(0)
    }

    /// Forgets the session of a number; tells whether the number is in use no more.
    pub(super) fn free(&mut self, number: u64) -> bool {
        let was_here = self.numbered.remove(&number).is_some();
        let waits = self.unanswered.contains_key(&number);
        self.abandoned += usize::from(was_here && waits);
        !waits
    }

    /// Notes the answer to a CREATE.
    pub(super) fn answered(&mut self, number: u64) -> Answered {
        let Some(group) = self.unanswered.remove(&number) else {
            return Answered::Before;
        };
        self.end_dial(group);
        if self.numbered.contains_key(&number) {
            return Answered::InUse;
        }
        self.abandoned -= 1;
        Answered::Freed
    }

    /// Returns how many CREATEs are not answered whose session is not here any more.
    pub(super) const fn abandoned(&self) -> usize {
        self.abandoned
    }

    /// Returns how many CREATEs are not answered.
    pub(super) fn unanswered(&self) -> usize {
        self.unanswered.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.numbered.is_empty() && self.queued.is_empty()
    }

    /// Returns the sessions, numbered ones first.
    pub(super) fn ids(&self) -> impl Iterator<Item = SessionId> {
        self.numbered.values().chain(&self.queued).copied()
    }

    /// Returns how many places are taken.
    pub(super) fn count(&self) -> usize {
        self.numbered.len() + self.queued.len() + self.abandoned
    }

    /// Returns the session of a number; an error if there was never one.
    pub(super) fn find(&self, number: u64) -> Result<Option<SessionId>, ()> {
        if number > self.opened {
            return Err(());
        }
        Ok(self.numbered.get(&number).copied())
    }

    /// Tells whether the session is here, with this number or waiting for one.
    pub(super) fn knows(&self, id: SessionId, number: Option<u64>) -> bool {
        match number {
            Some(number) => self.numbered.get(&number) == Some(&id),
            None => self.queued.contains(&id),
        }
    }

    pub(super) fn numbers_are_opened(&self) -> bool {
        let mut numbers = self.numbered.keys().chain(self.unanswered.keys());
        numbers.all(|&number| number <= self.opened)
    }

    pub(super) fn places_are_counted(&self) -> bool {
        let unanswered = self.unanswered.keys();
        let here = |number: &&u64| self.numbered.contains_key(number);
        let dials = self.dials.values().sum::<usize>();
        unanswered.filter(|number| !here(number)).count() == self.abandoned
            && dials == self.queued.len() + self.unanswered.len()
    }
}

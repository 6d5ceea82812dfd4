//! The users of a POP by their groups, and whom the endpoint may have to hear of.

use super::books::Books;
use super::message::{Config, Instruction, Terms};
use super::user::User;
use crate::mark::{self, Mark};
use crate::planted::{self, Planted};
use crate::time::Instant;
use alloc::collections::{BTreeMap, BTreeSet};

/// Users with sessions, or with something to be told.
#[derive(Debug)]
pub(super) struct Users {
    by_group: BTreeMap<u32, User>,
    by_id: BTreeMap<u64, u32>,
    /// Users of whom nothing is left to be told, by id: what comes next counts on from here. 48 bytes
    /// for each user whom the process has had.
    past: BTreeMap<u64, Books>,
    group_next: u32,
    /// Groups of which the endpoint may have to be told something.
    changed: BTreeSet<u32>,
}

impl Users {
    pub(super) const fn new(group_first: u32) -> Self {
        Self {
            by_group: BTreeMap::new(),
            by_id: BTreeMap::new(),
            past: BTreeMap::new(),
            group_next: group_first,
            changed: BTreeSet::new(),
        }
    }

    pub(super) fn get(&self, group: u32) -> Option<&User> {
        self.by_group.get(&group)
    }

    /// Returns a user, for a step of which the endpoint has nothing to hear.
    pub(super) fn get_mut(&mut self, group: u32) -> Option<&mut User> {
        self.by_group.get_mut(&group)
    }

    /// Changes a user; what the endpoint is to be told of it follows from its state then. The only way
    /// in for whatever the endpoint may have to hear of.
    pub(super) fn change<T>(&mut self, group: u32, step: impl FnOnce(&mut User) -> T) -> Option<T> {
        let out = step(self.by_group.get_mut(&group)?);
        self.changed.insert(group);
        Some(out)
    }

    /// Returns what the endpoint is to be told next.
    pub(super) fn instruct(&mut self) -> Option<Instruction> {
        while let Some(&group) = self.changed.first() {
            let user = self.by_group.get_mut(&group);
            if let Some(instruction) = user.and_then(|user| user.instruct(group)) {
                return Some(instruction);
            }
            self.changed.pop_first();
        }
        None
    }

    /// Finds the group of a user, by its id.
    pub(super) fn group_of(&self, id: u64) -> Option<u32> {
        self.by_id.get(&id).copied()
    }

    /// Adds a user, under a number that nobody has.
    pub(super) fn add(
        &mut self,
        now: Instant,
        unix_time: u64,
        id: u64,
        terms: Terms,
        config: &Config,
    ) -> u32 {
        while self.by_group.contains_key(&self.group_next) {
            self.group_next = self.group_next.wrapping_add(1);
        }
        let group = self.group_next;
        self.group_next = self.group_next.wrapping_add(1);
        let past = self.past.remove(&id);
        if past.is_some() {
            mark::hit(Mark::UserReturned);
        }
        let user = User::new(now, unix_time, id, terms, past, config);
        self.by_group.insert(group, user);
        self.by_id.insert(id, group);
        group
    }

    /// Lets a user go of whom nothing is left to be told.
    pub(super) fn release(&mut self, group: u32) -> Option<User> {
        let user = self.by_group.remove(&group)?;
        self.by_id.remove(&user.id());
        if !planted::on(Planted::TotalsBegunAnew) {
            // Also of one that the store says is no more: it may have said so for a moment only.
            self.past.insert(user.id(), user.books());
        }
        Some(user)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &User)> {
        self.by_group.iter().map(|(&group, user)| (group, user))
    }

    /// Returns everybody, for a step of which the endpoint has nothing to hear.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut User> {
        self.by_group.values_mut()
    }

    pub(super) fn len(&self) -> usize {
        self.by_group.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_group.is_empty()
    }

    /// Returns of how many only the totals are kept.
    pub(super) fn past_count(&self) -> usize {
        self.past.len()
    }

    pub(super) fn audit(&self) {
        for (group, user) in &self.by_group {
            user.audit();
            assert_eq!(self.by_id.get(&user.id()), Some(group), "found by its id");
        }
        assert_eq!(
            self.by_id.len(),
            self.by_group.len(),
            "every id has its user"
        );
    }
}

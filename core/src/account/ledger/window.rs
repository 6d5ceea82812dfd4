//! Windows of validity, which open and close by the wall clock.
//!
//! Nothing waits for a point of wall time, which may jump: as long as there are windows, the wall clock
//! is looked at in even steps of the driver's own time.

use super::Ledger;
use super::message::Terms;
use super::user::Reread;
use crate::time::{Duration, Instant};
use alloc::collections::BTreeSet;

/// How often the wall clock is looked at.
const INTERVAL: Duration = Duration::from_millis(200);

/// When windows open or close.
#[derive(Debug, Default)]
pub(super) struct Windows {
    /// In Unix seconds, by group.
    edges: BTreeSet<(u64, u32)>,
    /// When the wall clock is looked at next; none without windows.
    look_at: Option<Instant>,
}

impl Windows {
    pub(super) const fn due(&self) -> Option<Instant> {
        self.look_at
    }

    /// Notes when the window of a user opens and closes.
    pub(super) fn watch(&mut self, now: Instant, group: u32, terms: &Terms) {
        self.edges.extend(terms.edges().map(|at| (at, group)));
        if !self.edges.is_empty() && self.look_at.is_none() {
            self.look_at = Some(now + INTERVAL);
        }
    }

    /// Forgets the window of terms that count no more.
    pub(super) fn unwatch(&mut self, group: u32, terms: &Terms) {
        for at in terms.edges() {
            self.edges.remove(&(at, group));
        }
    }

    /// Begins a look if it is time.
    fn begin(&mut self, now: Instant) -> bool {
        let due = self.look_at.is_some_and(|at| at <= now);
        if due {
            self.look_at = (!self.edges.is_empty()).then_some(now + INTERVAL);
        }
        due
    }

    /// Takes a group whose window has opened or closed.
    fn pop(&mut self, unix_time: u64) -> Option<u32> {
        let edge = self.edges.first().filter(|(at, _)| *at <= unix_time);
        let edge = edge.copied()?;
        self.edges.remove(&edge);
        Some(edge.1)
    }
}

impl Ledger {
    /// Lets and shuts users in and out as their windows of validity open and close.
    pub(super) fn look_at_windows(&mut self, unix_time: u64) {
        if !self.windows.begin(self.now) {
            return;
        }
        while let Some(group) = self.windows.pop(unix_time) {
            let judged = self.change(group, |user| user.judge(unix_time));
            if judged == Some(Reread::Needy) {
                self.ask(group);
            }
        }
    }

    /// Takes in what reading a user's record has found.
    pub(super) fn reread(&mut self, unix_time: u64, group: u32, terms: Option<Terms>) {
        let now = self.now;
        let Some(terms) = terms else {
            self.change(group, |user| user.lose_read(now));
            return;
        };
        if let Some(user) = self.users.get(&group) {
            self.windows.unwatch(group, user.terms());
            self.windows.watch(now, group, &terms);
        }
        let reread = self.change(group, |user| user.read(now, unix_time, terms));
        if reread == Some(Reread::Needy) {
            self.ask(group);
        }
    }
}

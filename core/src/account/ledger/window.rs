//! Windows of validity, which open and close by the wall clock.
//!
//! Nothing waits for a point of wall time, which may jump: as long as there are windows, the wall clock
//! is looked at in even steps of the driver's own time.

use super::message::Terms;
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
    pub(super) fn begin(&mut self, now: Instant) -> bool {
        let due = self.look_at.is_some_and(|at| at <= now);
        if due {
            self.look_at = (!self.edges.is_empty()).then_some(now + INTERVAL);
        }
        due
    }

    /// Takes a group whose window has opened or closed.
    pub(super) fn pop(&mut self, unix_time: u64) -> Option<u32> {
        let edge = self.edges.first().filter(|(at, _)| *at <= unix_time);
        let edge = edge.copied()?;
        self.edges.remove(&edge);
        Some(edge.1)
    }
}

//! Deadlines: at most one per entity, none for what waits for nothing.

use crate::arena::{CarrierId, SessionId, TunnelId};
use crate::time::Instant;
use alloc::collections::BTreeSet;

/// Whose deadline it is. `R` are the deadlines that only one role has.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Timer<R> {
    /// HELLO, keepalive.
    Carrier(CarrierId),
    /// Acknowledgement, grace, stall detection.
    Tunnel(TunnelId),
    /// Dial, drain, idleness.
    Session(SessionId),
    /// What only this role waits for.
    Role(R),
    /// Relief of memory pressure.
    Memory,
}

/// An entity's own note of when its timer is due; `None` when it is not armed.
pub(crate) type Armed = Option<Instant>;

#[derive(Debug)]
pub(crate) struct Timers<R> {
    queue: BTreeSet<(Instant, Timer<R>)>,
}

impl<R: Copy + Ord> Timers<R> {
    pub(crate) const fn new() -> Self {
        Self {
            queue: BTreeSet::new(),
        }
    }

    /// Sets the deadline of `timer`, replacing the one noted in `armed`.
    pub(crate) fn arm(&mut self, timer: Timer<R>, armed: &mut Armed, at: Option<Instant>) {
        if *armed == at {
            return;
        }
        if let Some(old) = armed.take() {
            self.queue.remove(&(old, timer));
        }
        if let Some(at) = at {
            self.queue.insert((at, timer));
            *armed = Some(at);
        }
    }

    /// Makes sure that `timer` is due at `at` or earlier.
    pub(crate) fn arm_sooner(&mut self, timer: Timer<R>, armed: &mut Armed, at: Instant) {
        if armed.is_none_or(|old| old > at) {
            self.arm(timer, armed, Some(at));
        }
    }

    pub(crate) fn next(&self) -> Option<(Instant, Timer<R>)> {
        self.queue.first().copied()
    }

    /// Takes the earliest timer that is due; its owner must clear its note.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<Timer<R>> {
        let &(at, timer) = self.queue.first()?;
        if at > now {
            return None;
        }
        self.queue.pop_first();
        Some(timer)
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(crate) fn contains(&self, at: Instant, timer: Timer<R>) -> bool {
        self.queue.contains(&(at, timer))
    }
}

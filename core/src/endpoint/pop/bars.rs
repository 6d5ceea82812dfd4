//! Nodes that have to stay away for a while.

use crate::endpoint::event::PopTimer;
use crate::expiring::Expiring;
use crate::time::{Duration, Instant};
use crate::timer::{Armed, Timer, Timers};
use alloc::boxed::Box;
use titan_proto::Code;

/// The most nodes that are kept away at once. Beyond, those that may come back soonest may at once.
const BARS_MAX: usize = 100_000;

/// How many bars that are over are forgotten at once; the rest goes a moment later.
const FORGOTTEN_AT_ONCE: usize = 256;

/// How long others have their turn before more are forgotten.
const FORGETTING_PAUSE: Duration = Duration::from_millis(1);

/// Nodes that have to stay away for a while.
#[derive(Debug)]
pub(super) struct Bars {
    by_node: Expiring<Box<str>, Code>,
    timer: Armed,
}

impl Bars {
    pub(super) const fn new() -> Self {
        Self {
            by_node: Expiring::new(BARS_MAX),
            timer: None,
        }
    }

    /// Keeps a node away until then; lets it come if that is over.
    pub(super) fn add(&mut self, now: Instant, node: &str, code: Code, until: Instant) {
        self.by_node.remove(node);
        if until > now {
            let added = self.by_node.insert(node.into(), code, Some(until));
            debug_assert!(added.is_ok(), "each bar ends, so that there is room");
        }
    }

    /// Returns why a node has to stay away, and for how long still.
    pub(super) fn find(&self, now: Instant, node: &str) -> Option<(Code, Duration)> {
        let until = self.by_node.end_of(node)?;
        let code = *self.by_node.get(node)?;
        (until > now).then(|| (code, until.since(now)))
    }

    /// Forgets bars that are over: the nodes may never come back.
    pub(super) fn expire(&mut self, now: Instant) {
        self.timer = None;
        for _ in 0..FORGOTTEN_AT_ONCE {
            if self.by_node.expire(now).is_none() {
                return;
            }
        }
    }

    /// Arms the timer for the bar that is over next.
    pub(super) fn arm(&mut self, timers: &mut Timers<PopTimer>, now: Instant) {
        let next = self.by_node.next_end();
        let next = next.map(|at| at.max(now + FORGETTING_PAUSE));
        timers.arm(Timer::Role(PopTimer::Bars), &mut self.timer, next);
    }

    pub(super) const fn timer(&self) -> Armed {
        self.timer
    }

    /// Checks that the timer is armed for the bar that is over next, or a little later.
    pub(super) fn audit(&self, now: Instant) {
        let next = self.by_node.next_end();
        let exact = next.is_none_or(|next| next > now + FORGETTING_PAUSE);
        assert!(
            self.timer.is_some() == next.is_some() && (!exact || self.timer == next),
            "I6: the bars' timer is armed for {:?}, the next is over at {next:?}",
            self.timer
        );
        self.by_node.audit();
    }
}

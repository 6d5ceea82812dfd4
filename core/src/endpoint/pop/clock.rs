//! How long a dial may take: in this POP's own queue, at the exit that it is tried at, and in all.

use crate::config::Config;
use crate::time::{Duration, Instant};

/// How much longer than the edge the POP waits for a dial: only the edge's clock ends it, unless the
/// edge is silent.
const DIAL_SLACK: Duration = Duration::from_secs(5);

/// The times of one dial.
#[derive(Clone, Copy, Debug)]
pub(super) struct DialClock {
    /// Until when it may take in all, over all exits.
    last: Instant,
    /// How long its edge may take by itself.
    edge_takes: Duration,
    step: Step,
    deadline: Instant,
    /// How long it waited for its turns before.
    waited: Duration,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// It waits for its turn on a tunnel since then.
    Queued(Instant),
    /// Its CREATE was framed then.
    Framed(Instant),
}

/// Who has taken too long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Late {
    /// This POP: it had no turn for the dial, or so late that its exit had not its time.
    Pop,
    /// The exit, which had its time and said nothing.
    Exit,
    /// The exits before: this one had not its time.
    Others,
}

impl DialClock {
    pub(super) fn new(now: Instant, config: &Config) -> Self {
        let last = now + config.dial_budget;
        Self {
            last,
            edge_takes: config.dial_timeout,
            step: Step::Queued(now),
            deadline: last,
            waited: Duration::ZERO,
        }
    }

    pub(super) const fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Tells whether there is no time for another exit.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        now >= self.last
    }

    /// Begins to wait for a turn on a tunnel; no longer than an edge may be silent, unless nothing else
    /// is `worth_trying`.
    pub(super) fn queue(&mut self, now: Instant, worth_trying: bool) {
        self.step = Step::Queued(now);
        self.deadline = if worth_trying {
            self.patience(now)
        } else {
            self.last
        };
    }

    /// Counts for the exit from now on.
    pub(super) fn framed(&mut self, now: Instant) {
        if let Step::Queued(since) = self.step {
            self.waited += now.since(since);
        }
        self.step = Step::Framed(now);
        self.deadline = self.patience(now);
    }

    /// Waits as long as a dial may take in all.
    pub(super) const fn wait(&mut self) {
        self.deadline = self.last;
    }

    /// Judges who has taken too long.
    pub(super) fn late(&self, now: Instant) -> Late {
        let since = match self.step {
            Step::Queued(_) => return Late::Pop,
            Step::Framed(since) => since,
        };
        let had = now.since(since);
        if had >= self.edge_takes {
            Late::Exit
        } else if had + self.waited >= self.edge_takes {
            Late::Pop
        } else {
            Late::Others
        }
    }

    fn patience(&self, now: Instant) -> Instant {
        (now + self.edge_takes + DIAL_SLACK).min(self.last)
    }
}

//! What daemons are seen to hold and to have counted.

use core::time::Duration;
use titan_core::endpoint::{Counters, Usage};

/// A look into a daemon.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(in crate::daemons) struct Sample {
    pub(in crate::daemons) usage: Usage,
    pub(in crate::daemons) counters: Counters,
    /// Client connections of a POP.
    pub(in crate::daemons) clients: usize,
    /// Carrier connections of a POP.
    pub(in crate::daemons) carriers: usize,
}

/// What is known of a daemon over all its processes.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::daemons) struct Look {
    /// The latest sample of the present process, and when it was taken.
    pub(in crate::daemons) now: Option<(Sample, Duration)>,
    /// Counted by earlier ones.
    resumes_before: u64,
    failovers_before: u64,
    /// How often its tunnel stood.
    pub(in crate::daemons) attached: u64,
}

impl Look {
    /// Takes note of a sample.
    pub(in crate::daemons) fn saw(&mut self, sample: Sample, at: Duration) {
        self.now = Some((sample, at));
    }

    /// The process is gone.
    pub(in crate::daemons) fn gone(&mut self) {
        (self.resumes_before, self.failovers_before) = (self.resumes(), self.failovers());
        self.now = None;
    }

    /// Returns how many carriers resumed a tunnel.
    pub(in crate::daemons) fn resumes(&self) -> u64 {
        self.resumes_before + self.counters().resumes
    }

    /// Returns how many sessions moved to another exit.
    pub(in crate::daemons) fn failovers(&self) -> u64 {
        self.failovers_before + self.counters().failovers
    }

    fn counters(&self) -> Counters {
        self.now
            .map_or_else(Counters::default, |(sample, _)| sample.counters)
    }
}

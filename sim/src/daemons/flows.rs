//! What becomes of the flows.

use super::scenario::{Flows, Scenario};
use core::fmt;
use core::time::Duration;
use std::cell::RefCell;

/// How a connection of a client ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum End {
    /// Every byte came, and the end was clean.
    Complete,
    /// The proxy's reply, or 0 without one.
    Refused(u8),
    /// Reset after this many bytes.
    Reset(u64),
    /// Ended cleanly after this many bytes, too few.
    Torn(u64),
    /// Nothing moved for so long that the client gave up, after this many bytes.
    GaveUp(u64),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Complete => f.write_str("is complete"),
            Self::Refused(0) => f.write_str("gets no connection"),
            Self::Refused(code) => write!(f, "is refused with {code}"),
            Self::Reset(len) => write!(f, "is reset after {len} bytes"),
            Self::Torn(len) => write!(f, "ends too early after {len} bytes"),
            Self::GaveUp(len) => write!(f, "is given up after {len} bytes"),
        }
    }
}

/// A flow and what became of it.
#[derive(Clone, Debug)]
pub(super) struct Flow {
    /// Which of the scenario's groups it belongs to.
    pub(super) group: usize,
    /// Which of the group it is, from 1.
    pub(super) number: u64,
    start: Duration,
    /// How it ended, and when.
    pub(super) end: Option<(End, Duration)>,
    /// The longest wait for an answer.
    pub(super) slowest: Duration,
}

impl Flow {
    /// Returns how long it took, if it has ended.
    pub(super) fn took(&self) -> Option<Duration> {
        self.end.map(|(_, at)| at.saturating_sub(self.start))
    }
}

/// All flows of a run.
#[derive(Debug)]
pub(super) struct Board {
    flows: RefCell<Vec<Flow>>,
    names: Vec<String>,
}

impl Board {
    /// Lists the flows of a scenario.
    pub(super) fn new(scenario: &Scenario) -> Self {
        let mut flows = Vec::new();
        let mut names = Vec::new();
        for (group, like) in scenario.flows.iter().enumerate() {
            for index in 0..like.count {
                let start = like.start.min.as_millis() + index * like.every.as_millis();
                names.push(format!("{} {}", like.name, index + 1));
                flows.push(Flow {
                    group,
                    number: index + 1,
                    start: Duration::from_millis(start),
                    end: None,
                    slowest: Duration::ZERO,
                });
            }
        }
        Self {
            flows: RefCell::new(flows),
            names,
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.names.len()
    }

    pub(super) fn name(&self, index: usize) -> &str {
        self.names.get(index).map_or("unknown", String::as_str)
    }

    pub(super) fn group<'a>(&self, index: usize, scenario: &'a Scenario) -> &'a Flows {
        &scenario.flows[self.flows.borrow()[index].group]
    }

    pub(super) fn number(&self, index: usize) -> u64 {
        self.flows.borrow()[index].number
    }

    pub(super) fn start(&self, index: usize) -> Duration {
        self.flows.borrow()[index].start
    }

    /// Notes how long an answer took.
    pub(super) fn answered(&self, index: usize, took: Duration) {
        let slowest = &mut self.flows.borrow_mut()[index].slowest;
        *slowest = took.max(*slowest);
    }

    /// Notes an end.
    pub(super) fn ended(&self, index: usize, end: End, at: Duration) {
        self.flows.borrow_mut()[index].end = Some((end, at));
    }

    /// Returns the flows, of one name or all.
    pub(super) fn of(&self, scenario: &Scenario, name: Option<&str>) -> Vec<Flow> {
        let flows = self.flows.borrow();
        let named = |flow: &&Flow| name.is_none_or(|name| scenario.flows[flow.group].name == name);
        flows.iter().filter(named).cloned().collect()
    }

    /// Returns the names of those that have not ended.
    pub(super) fn open(&self) -> Vec<&str> {
        let flows = self.flows.borrow();
        let names = self.names.iter().map(String::as_str);
        let open = names
            .zip(flows.iter())
            .filter(|(_, flow)| flow.end.is_none());
        open.map(|(name, _)| name).collect()
    }

    /// Returns whether all have ended.
    pub(super) fn is_over(&self) -> bool {
        self.flows.borrow().iter().all(|flow| flow.end.is_some())
    }
}

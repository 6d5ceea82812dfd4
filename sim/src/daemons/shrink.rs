//! Makes a scenario that fails small: fewer faults, fewer flows.

use super::draw;
use super::run::{How, run};
use super::scenario::Scenario;
use crate::pure::Violation;

/// A small scenario that fails in the same way.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// The scenario, every time in it fixed.
    pub scenario: Scenario,
    /// How it fails.
    pub violation: Violation,
    /// How many runs it took.
    pub runs: usize,
}

/// Leaves out what a failure does not need (ddmin); none if the seed does not fail. A smaller
/// scenario counts if it fails in the same kind of way, for the same invariant.
#[must_use]
pub fn shrink(scenario: &Scenario, seed: u64, runs_max: usize) -> Option<Shrunk> {
    let start = draw::drawn(scenario, seed);
    let violation = fails(&start)?;
    let mut search = Search {
        best: start,
        violation,
        runs: 1,
        runs_max,
    };
    search.minimise(|scenario| &mut scenario.faults);
    search.minimise(|scenario| &mut scenario.acts);
    search.minimise(|scenario| &mut scenario.flows);
    while search.halve_counts() {}
    search.minimise(|scenario| &mut scenario.faults);
    Some(Shrunk {
        scenario: search.best,
        violation: search.violation,
        runs: search.runs,
    })
}

fn fails(scenario: &Scenario) -> Option<Violation> {
    run(scenario, scenario.seed, How::default()).outcome.err()
}

struct Search {
    best: Scenario,
    violation: Violation,
    runs: usize,
    runs_max: usize,
}

impl Search {
    /// Takes a smaller scenario over if it fails alike.
    fn accept(&mut self, smaller: Scenario) -> bool {
        if self.runs >= self.runs_max || super::check::check(&smaller).is_err() {
            return false;
        }
        self.runs += 1;
        let alike = |found: &Violation| {
            (found.kind, found.invariant) == (self.violation.kind, self.violation.invariant)
        };
        let Some(found) = fails(&smaller).filter(alike) else {
            return false;
        };
        (self.best, self.violation) = (smaller, found);
        true
    }

    /// Leaves out parts of a list, halves first and single entries last.
    fn minimise<T: Clone>(&mut self, list: impl Fn(&mut Scenario) -> &mut Vec<T>) {
        let mut parts = 1;
        loop {
            let len = list(&mut self.best).len();
            if len == 0 || parts > len {
                return;
            }
            let size = len.div_ceil(parts);
            let smaller = (0..len).step_by(size).any(|from| {
                let mut smaller = self.best.clone();
                list(&mut smaller).drain(from..(from + size).min(len));
                self.accept(smaller)
            });
            if smaller {
                parts = parts.saturating_sub(1).max(1);
            } else if parts == len {
                return;
            } else {
                parts = (parts * 2).min(len);
            }
        }
    }

    fn halve_counts(&mut self) -> bool {
        let mut smaller = self.best.clone();
        smaller
            .flows
            .iter_mut()
            .for_each(|flows| flows.count = flows.count.div_ceil(2));
        smaller != self.best && self.accept(smaller)
    }
}

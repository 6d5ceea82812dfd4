//! Many seeds on several threads.

use super::chooser::mix;
use super::oracle::{Kind, Violation};
use super::run;
use super::scenario::Scenario;
use super::world::Outcome;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};
use titan_proto::Code;

/// One seed in so many is run twice, to see that it leaves the same trace (I12).
const TWICE_ONE_IN: u64 = 32;

/// Runs in a report to the caller.
const REPORT_EVERY: u64 = 16;

/// Which seeds to run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Quest {
    /// The first seed.
    pub first: u64,
    /// How many at most.
    pub count: u64,
    /// Stops after this long.
    pub time: Option<Duration>,
    /// Threads.
    pub jobs: usize,
    /// Stops after this many violations.
    pub violations_max: usize,
}

/// What came of a quest.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Seeds that were run.
    pub seeds: u64,
    /// Actions per run.
    pub actions: Histogram,
    /// Faults that fired per run.
    pub faults: Histogram,
    /// How flows ended.
    pub ends: BTreeMap<Code, usize>,
    /// What went wrong, by seed.
    pub violations: BTreeMap<u64, Violation>,
    /// Wall time.
    pub elapsed: Duration,
    /// Hash over the traces of all seeds, the order of which does not matter.
    pub trace: u64,
}

/// Numbers, counted.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Histogram(BTreeMap<u64, u64>);

impl Histogram {
    fn add(&mut self, value: u64) {
        *self.0.entry(value).or_default() += 1;
    }

    /// Returns the median, zero of nothing.
    #[must_use]
    pub fn median(&self) -> u64 {
        let half = self.0.values().sum::<u64>().div_ceil(2);
        let mut seen = 0;
        for (&value, &count) in &self.0 {
            seen += count;
            if seen >= half {
                return value;
            }
        }
        0
    }

    /// Returns the largest, zero of nothing.
    #[must_use]
    pub fn max(&self) -> u64 {
        self.0.last_key_value().map_or(0, |(&value, _)| value)
    }

    /// Returns the sum.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.0.iter().map(|(value, count)| value * count).sum()
    }
}

impl Summary {
    fn add(&mut self, seed: u64, result: Result<Outcome, Violation>) {
        self.seeds += 1;
        match result {
            Ok(outcome) => {
                self.actions.add(outcome.actions);
                self.faults.add(outcome.faults);
                self.trace ^= mix(outcome.trace ^ mix(seed));
                for (code, count) in outcome.ends {
                    *self.ends.entry(code).or_default() += count;
                }
            }
            Err(violation) => {
                self.violations.insert(seed, violation);
            }
        }
    }

    /// Returns how many seeds one thread runs in a minute.
    #[must_use]
    pub fn per_minute(&self, jobs: usize) -> f64 {
        self.seeds as f64 * 60.0 / self.elapsed.as_secs_f64().max(1e-9) / jobs.max(1) as f64
    }
}

/// Runs one seed, now and then twice.
///
/// # Errors
/// Returns the first violation.
pub fn check_seed(seed: u64) -> Result<Outcome, Violation> {
    let scenario = Scenario::draw(seed);
    let outcome = run(&scenario)?;
    if seed.is_multiple_of(TWICE_ONE_IN) {
        check_again(&scenario, &outcome)?;
    }
    Ok(outcome)
}

/// Runs a scenario once more, which must come to the same.
///
/// # Errors
/// Returns the first violation, or that the traces differ.
pub fn check_again(scenario: &Scenario, outcome: &Outcome) -> Result<(), Violation> {
    let again = run(scenario)?;
    if again == *outcome {
        return Ok(());
    }
    Err(Violation {
        kind: Kind::WrongResult,
        invariant: Some(12),
        message: format!(
            "I12: the same scenario left the traces {:016x} and {:016x}",
            outcome.trace, again.trace
        ),
        by_check: true,
    })
}

/// Runs seeds and tells `watch` every now and then how far it is.
pub fn explore(quest: Quest, mut watch: impl FnMut(&Summary)) -> Summary {
    let started = Instant::now();
    let next = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    let (sender, results) = mpsc::sync_channel(1_024);
    let mut summary = Summary::default();
    thread::scope(|scope| {
        for _ in 0..quest.jobs.max(1) {
            let sender = sender.clone();
            let (next, stop) = (&next, &stop);
            scope.spawn(move || {
                loop {
                    let nth = next.fetch_add(1, Ordering::Relaxed);
                    let late = quest.time.is_some_and(|time| started.elapsed() >= time);
                    if nth >= quest.count || late || stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let seed = quest.first.wrapping_add(nth);
                    if sender.send((seed, check_seed(seed))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        for (seed, result) in results {
            summary.add(seed, result);
            summary.elapsed = started.elapsed();
            if summary.violations.len() >= quest.violations_max {
                stop.store(true, Ordering::Relaxed);
            }
            if summary.seeds.is_multiple_of(REPORT_EVERY) {
                watch(&summary);
            }
        }
    });
    summary.elapsed = started.elapsed();
    watch(&summary);
    summary
}

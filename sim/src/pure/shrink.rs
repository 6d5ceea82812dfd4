//! Makes a failing scenario small: takes out what the violation does not need.

use super::oracle::Violation;
use super::run;
use super::scenario::{Answer, Family, Fault, Habit, Limits, Network, Scenario};

/// What shrinking came to.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// The smallest scenario found.
    pub scenario: Scenario,
    /// What it still violates.
    pub violation: Violation,
    /// How many scenarios were tried.
    pub runs: usize,
}

/// Shrinks a scenario that fails, by at most `runs_max` runs; none if it does not fail.
///
/// Only a failure that says the same, numbers aside, counts as the same.
#[must_use]
pub fn shrink(scenario: &Scenario, runs_max: usize) -> Option<Shrunk> {
    let violation = run(scenario).err()?;
    let mut search = Search {
        wanted: violation.gist(),
        best: Shrunk {
            scenario: scenario.clone(),
            violation,
            runs: 1,
        },
        runs_max,
    };
    loop {
        let before = search.best.scenario.clone();
        search.parts(|scenario| &mut scenario.faults);
        search.parts(|scenario| &mut scenario.accounts);
        search.parts(|scenario| &mut scenario.flows);
        search.hosts();
        search.cuts();
        search.flows();
        search.plain();
        search.sooner();
        if search.best.scenario == before || search.is_spent() {
            break;
        }
    }
    Some(search.best)
}

struct Search {
    wanted: String,
    best: Shrunk,
    runs_max: usize,
}

impl Search {
    const fn is_spent(&self) -> bool {
        self.best.runs >= self.runs_max
    }

    /// Keeps a change of the best scenario if that still fails.
    fn attempt(&mut self, change: impl FnOnce(&mut Scenario)) -> bool {
        if self.is_spent() {
            return false;
        }
        let mut scenario = self.best.scenario.clone();
        change(&mut scenario);
        if scenario == self.best.scenario || scenario.check().is_err() {
            return false;
        }
        self.best.runs += 1;
        match run(&scenario) {
            Err(violation) if violation.gist() == self.wanted => {
                self.best.scenario = scenario;
                self.best.violation = violation;
                true
            }
            _ => false,
        }
    }

    /// Takes parts of a list out: halves, quarters, … single ones.
    fn parts<T>(&mut self, list: impl Fn(&mut Scenario) -> &mut Vec<T>) {
        let mut size = list(&mut self.best.scenario).len().div_ceil(2);
        while size > 0 {
            let mut from = 0;
            while from < list(&mut self.best.scenario).len() {
                let taken = self.attempt(|scenario| {
                    let list = list(scenario);
                    let end = (from + size).min(list.len());
                    list.drain(from..end);
                });
                if !taken {
                    from += size;
                }
            }
            size /= 2;
        }
    }

    /// Fewer hosts.
    fn hosts(&mut self) {
        self.attempt(|scenario| {
            scenario.pops = 1;
            for flow in &mut scenario.flows {
                flow.pop = 0;
            }
        });
        while self.attempt(|scenario| scenario.edges = scenario.edges.saturating_sub(1)) {}
    }

    /// Cuts after which nothing arrives any more, and which both ends see at once.
    fn cuts(&mut self) {
        for index in 0..self.best.scenario.faults.len() {
            self.attempt(|scenario| {
                if let Some((last, _)) = cut(scenario, index) {
                    *last[0] = 0;
                }
            });
            self.attempt(|scenario| {
                if let Some((last, _)) = cut(scenario, index) {
                    *last[1] = 0;
                }
            });
            self.attempt(|scenario| {
                if let Some((_, sees)) = cut(scenario, index) {
                    *sees[0] = Some(0);
                }
            });
            self.attempt(|scenario| {
                if let Some((_, sees)) = cut(scenario, index) {
                    *sees[1] = Some(0);
                }
            });
        }
    }

    /// Simpler flows.
    fn flows(&mut self) {
        for index in 0..self.best.scenario.flows.len() {
            for way in [true, false] {
                while self.attempt(|scenario| {
                    let flow = &mut scenario.flows[index];
                    let (sent, receiver) = if way {
                        (&mut flow.up, &mut flow.target)
                    } else {
                        (&mut flow.down, &mut flow.client)
                    };
                    *sent /= 2;
                    receiver.sends_after = receiver.sends_after.min(*sent);
                    flow.early = flow.early.min(flow.up);
                }) {}
            }
            self.attempt(|scenario| scenario.flows[index].answers = vec![Answer::Connects]);
            self.attempt(|scenario| scenario.flows[index].answers.truncate(1));
            self.attempt(|scenario| scenario.flows[index].early = 0);
            self.attempt(|scenario| scenario.flows[index].private = false);
            self.attempt(|scenario| scenario.flows[index].name = None);
            self.attempt(|scenario| scenario.flows[index].strict = false);
            self.attempt(|scenario| scenario.flows[index].weight = 1);
            self.attempt(|scenario| scenario.flows[index].named = false);
            self.attempt(|scenario| scenario.flows[index].family = Family::Any);
            self.attempt(|scenario| scenario.flows[index].addresses = 0);
            self.attempt(|scenario| scenario.flows[index].dial = 10);
            self.attempt(|scenario| scenario.flows[index].group = 1);
            self.attempt(|scenario| scenario.flows[index].client = Habit::default());
            self.attempt(|scenario| scenario.flows[index].target = Habit::default());
            for client in [true, false] {
                let change = |scenario: &mut Scenario, change: &dyn Fn(&mut Habit)| {
                    let flow = &mut scenario.flows[index];
                    change(if client {
                        &mut flow.client
                    } else {
                        &mut flow.target
                    });
                };
                let simpler: [&dyn Fn(&mut Habit); 8] = [
                    &|habit| habit.fails_from = None,
                    &|habit| habit.fails_at = None,
                    &|habit| habit.stops_at = None,
                    &|habit| habit.stalls_at = None,
                    &|habit| habit.sends_after = 0,
                    &|habit| habit.reads_from = 0,
                    &|habit| habit.pause = 0,
                    &|habit| habit.chunk = Habit::default().chunk,
                ];
                for simpler in simpler {
                    self.attempt(|scenario| change(scenario, simpler));
                }
            }
        }
    }

    /// The network and limits of a daemon, one by one.
    fn plain(&mut self) {
        let (network, limits) = (Network::default(), Limits::default());
        self.attempt(|scenario| scenario.network = network);
        self.attempt(|scenario| scenario.network.jitter = 0);
        self.attempt(|scenario| scenario.network.bandwidth = 0);
        self.attempt(|scenario| scenario.network.delay = network.delay);
        self.attempt(|scenario| scenario.network.window = network.window);
        self.attempt(|scenario| scenario.network.reads = network.reads);
        self.attempt(|scenario| scenario.limits = limits);
        self.attempt(|scenario| scenario.limits.window_base = limits.window_base);
        self.attempt(|scenario| scenario.limits.early_max = limits.early_max);
        self.attempt(|scenario| scenario.limits.resend_max = limits.resend_max);
        self.attempt(|scenario| scenario.limits.data_max = limits.data_max);
        self.attempt(|scenario| scenario.limits.send_queue_max = limits.send_queue_max);
        self.attempt(|scenario| scenario.limits.sessions_max = limits.sessions_max);
        self.attempt(|scenario| scenario.limits.memory_budget = limits.memory_budget);
        self.attempt(|scenario| scenario.limits.idle = limits.idle);
        self.attempt(|scenario| scenario.limits.idle_half_closed = limits.idle_half_closed);
        self.attempt(|scenario| scenario.limits.grace = limits.grace);
        self.attempt(|scenario| scenario.limits.write_deadline = limits.write_deadline);
        self.attempt(|scenario| scenario.limits.lease_idle = limits.lease_idle);
        self.attempt(|scenario| scenario.limits.leases_max = limits.leases_max);
        for index in 0..self.best.scenario.accounts.len() {
            self.attempt(|scenario| scenario.accounts[index].change = None);
            self.attempt(|scenario| scenario.accounts[index].up = 0);
            self.attempt(|scenario| scenario.accounts[index].down = 0);
            self.attempt(|scenario| scenario.accounts[index].lost = 0);
            self.attempt(|scenario| scenario.accounts[index].again = 0);
            self.attempt(|scenario| scenario.accounts[index].forgets = None);
            self.attempt(|scenario| scenario.accounts[index].delay = 5);
        }
    }

    /// Round times.
    fn sooner(&mut self) {
        for index in 0..self.best.scenario.flows.len() {
            for unit in [1_000, 100, 10] {
                self.attempt(|scenario| {
                    let start = &mut scenario.flows[index].start;
                    *start = (*start / unit * unit).max(unit.min(500));
                });
            }
        }
        for index in 0..self.best.scenario.faults.len() {
            for unit in [1_000, 100, 10] {
                self.attempt(|scenario| {
                    let at = &mut scenario.faults[index].at;
                    *at = *at / unit * unit;
                });
            }
        }
    }
}

/// What a cut lets through, up and down, and when each end sees it.
type CutParts<'a> = ([&'a mut u64; 2], [&'a mut Option<u64>; 2]);

/// Returns the parts of a fault that is a cut.
fn cut(scenario: &mut Scenario, index: usize) -> Option<CutParts<'_>> {
    if let Fault::Cut {
        pop_sees,
        edge_sees,
        last_up,
        last_down,
        ..
    } = &mut scenario.faults[index].fault
    {
        Some(([last_up, last_down], [pop_sees, edge_sees]))
    } else {
        None
    }
}

//! One run of a scenario.

use super::faults::Plan;
use super::findings::{Log, collecting_panics, panic_count};
use super::scenario::Scenario;
use super::trace::Trace;
use super::world::Shared;
use super::{account, clock, draw, entropy, expect, flows, host, kernel, trace};
use crate::pure::{Kind, Violation};
use core::time::Duration;
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};
use turmoil::{Builder, Sim};

/// One step of all hosts; the network moves between steps.
const TICK: Duration = Duration::from_millis(1);

/// How often a run looks whether it is over.
const LOOK: Duration = Duration::from_millis(100);

/// How long after the last flow a target may wait for what its client has sent: the client has all
/// it wanted then, and its own last bytes may still be on their way to a slow target.
const SERVED_WITHIN: Duration = Duration::from_secs(60);

/// How long after the last flow the store may take to have what moved: a grant is kept for 3 s, then
/// reported within 2 s, by way of what is under way and fails.
const SETTLED_WITHIN: Duration = Duration::from_secs(15);

/// How long it has to stay so: longer than from one report to the next.
const STAYS_SETTLED: Duration = Duration::from_millis(2_500);

/// Segments under way per direction of a connection, and connections that wait to be accepted: so
/// many that turmoil's own limits are never met. Ours are in `stream`.
const TCP_CAPACITY: usize = 1 << 20;

/// What to keep of a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct How {
    /// Keep what happens, line by line.
    pub log: bool,
    /// Hash every log line of everything.
    pub trace: bool,
    /// Keep these lines, too.
    pub trace_lines: bool,
}

/// A run.
#[derive(Clone, Debug)]
pub struct Run {
    /// How it ended.
    pub outcome: Result<Outcome, Violation>,
    /// What happened, if it was kept.
    pub log: Vec<String>,
    /// Every log line, if they were traced.
    pub trace: Trace,
}

/// What a run that went well came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Outcome {
    /// In virtual time.
    pub elapsed: Duration,
    /// Flows that are complete.
    pub complete: usize,
    /// Flows that are not.
    pub failed: usize,
    /// Carriers that resumed a tunnel.
    pub resumes: u64,
    /// Sessions that moved to another exit.
    pub failovers: u64,
    /// The hash of what happened.
    pub events: u64,
}

/// Runs a scenario with a seed, on a thread of its own.
#[must_use]
pub fn run(scenario: &Scenario, seed: u64, how: How) -> Run {
    let scenario = draw::drawn(scenario, seed);
    entropy::on_fresh_thread(seed, move || {
        clock::stepped(Duration::ZERO);
        let go = || collecting_panics(|| live(scenario, seed, how));
        let ((done, panics), trace) = if how.trace || how.trace_lines {
            trace::traced(how.trace_lines, go)
        } else {
            (go(), Trace::default())
        };
        let (outcome, log) = done.unwrap_or_else(|| (Ok(Outcome::default()), Vec::new()));
        let crash = |message: &String| Violation {
            kind: Kind::Crash,
            invariant: None,
            message: message.replace('\n', " "),
            by_check: false,
        };
        // A panic explains whatever else was found.
        let outcome = panics.first().map(crash).map_or(outcome, Err);
        Run {
            outcome,
            log,
            trace,
        }
    })
}

fn live(scenario: Scenario, seed: u64, how: How) -> (Result<Outcome, Violation>, Vec<String>) {
    let shared = Shared::new(scenario, seed, Log::new(how.log));
    let mut sim = build(&shared, seed);
    for host in shared.hosts.values() {
        let (shared, host) = (Rc::clone(&shared), Rc::clone(host));
        sim.host(host.ip, move || {
            let boot = kernel::boot(Rc::clone(&shared), Rc::clone(&host));
            async move {
                boot.await;
                Ok(())
            }
        });
    }
    drive(&shared, &mut sim);
    let (events, log) = shared.log.take();
    let outcome = match shared.findings.first() {
        Some(violation) => Err(violation),
        None => Ok(outcome(&shared, sim.elapsed(), events)),
    };
    // Hosts hold what they share; the simulation holds the hosts.
    drop(sim);
    (outcome, log)
}

fn build<'a>(shared: &Shared, seed: u64) -> Sim<'a> {
    let latency = shared.scenario.topology.latency;
    let epoch: SystemTime = UNIX_EPOCH + clock::UNIX_EPOCH;
    let mut builder = Builder::new();
    builder
        .rng_seed(seed)
        .epoch(epoch)
        .tick_duration(TICK)
        .simulation_duration(Duration::MAX)
        .min_message_latency(latency.min.duration())
        .max_message_latency(latency.max.duration())
        .tcp_capacity(TCP_CAPACITY)
        .enable_random_order();
    builder.build()
}

/// Steps until the scenario is over, its time is, or something is found.
fn drive(shared: &Rc<Shared>, sim: &mut Sim<'_>) {
    let mut plan = Plan::new(&shared.scenario);
    let lasts = shared.scenario.lasts.duration();
    let mut over_since = None;
    let mut settled_since = None;
    loop {
        plan.run_due(shared, sim);
        if let Err(error) = sim.step() {
            shared.findings.crashed(error.to_string());
        }
        let now = sim.elapsed();
        clock::stepped(now);
        if shared.findings.first().is_some() || panic_count() > 0 {
            return;
        }
        if !now.as_millis().is_multiple_of(LOOK.as_millis()) {
            continue;
        }
        expect::check_memory(shared);
        account::check_always(shared);
        let over = plan.is_over() && shared.flows.is_over() && shared.ledger.is_acted_out();
        if over {
            let since = *over_since.get_or_insert(now);
            if let Some(flow) = shared.unserved() {
                if now > since + SERVED_WITHIN {
                    let message =
                        format!("{flow}: complete, but its target did not get everything");
                    shared.findings.wrong(1, message);
                    return;
                }
                continue;
            }
            if let Some(within) = expect::empty_within(&shared.scenario)
                && let Err(left) = expect::emptied(shared, since)
            {
                if now > since + within {
                    let message = format!("{within:?} after the last flow, {left}");
                    shared.findings.stuck(message);
                    return;
                }
                continue;
            }
            if shared.scenario.users.is_empty() {
                break;
            }
            if let Err(left) = account::settled(shared) {
                if now > since + SETTLED_WITHIN {
                    shared.findings.wrong(9, left);
                    return;
                }
                settled_since = None;
                continue;
            }
            if now >= *settled_since.get_or_insert(now) + STAYS_SETTLED {
                break;
            }
        } else if now >= lasts {
            let open = shared.flows.open().join(", ");
            let message = if open.is_empty() {
                "the operator is not done".to_owned()
            } else {
                format!("these flows have not ended: {open}")
            };
            shared.findings.stuck(message);
            return;
        }
    }
    expect::check(shared);
}

fn outcome(shared: &Shared, elapsed: Duration, events: u64) -> Outcome {
    let flows = shared.flows.of(&shared.scenario, None);
    let complete = |flow: &&flows::Flow| matches!(flow.end, Some((flows::End::Complete, _)));
    let complete = flows.iter().filter(complete).count();
    let mut out = Outcome {
        elapsed,
        complete,
        failed: flows.len() - complete,
        events,
        ..Outcome::default()
    };
    for host in shared.hosts.values() {
        for look in host.looks.borrow().values() {
            out.failovers += look.failovers();
            if host.role == host::Role::Edge {
                out.resumes += look.resumes();
            }
        }
    }
    out
}

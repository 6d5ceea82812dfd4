//! Seeds by the thousand.

use crate::replay::{save, shorten};
use crate::{End, show};
use core::time::Duration;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};
use titan_sim::pure::explore::{Quest, explore as run};
use titan_sim::pure::{Scenario, Seed, shrink};

/// Most runs spent on making a failing seed small.
const SHRINK_RUNS: usize = 4_000;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The first seed, a number or generator:number; without it a fresh one, which is printed.
    #[arg(long)]
    seed: Option<Seed>,
    /// How many seeds; without it and without --time, ten thousand.
    #[arg(long)]
    count: Option<u64>,
    /// Stop after this long, such as 60s, 5m or 8h.
    #[arg(long, value_parser = show::duration)]
    time: Option<Duration>,
    /// Threads; one per core without it.
    #[arg(long, default_value_t = show::jobs())]
    jobs: usize,
    /// Stop after this many violations.
    #[arg(long, default_value_t = 1)]
    violations: usize,
    /// Fail if a rare path was never taken.
    #[arg(long)]
    require_marks: bool,
    /// Fail if half of the seeds have fewer events than this.
    #[arg(long, default_value_t = 0)]
    require_events: u64,
    /// Fail if half of the seeds have fewer faults that fired than this.
    #[arg(long, default_value_t = 0)]
    require_faults: u64,
    /// Write how often each rare path was taken.
    #[arg(long)]
    marks: bool,
    /// Where shrunk scenarios of failing seeds go.
    #[arg(long, default_value = "target/violations")]
    save: PathBuf,
}

pub(crate) fn explore(args: &Args) -> End {
    let first = args.seed.map_or_else(fresh_seed, |seed| seed.0);
    let usual = if args.time.is_some() {
        u64::MAX
    } else {
        10_000
    };
    let count = args.count.unwrap_or(usual);
    let from = Seed(first);
    println!("pure loop: seeds from {from} on, {} threads", args.jobs);
    let bar = show::bar((count != u64::MAX).then_some(count));
    let summary = run(
        Quest {
            first,
            count,
            time: args.time,
            jobs: args.jobs,
            violations_max: args.violations,
        },
        |summary| show::progress(&bar, summary, args.jobs),
    );
    bar.finish_and_clear();
    show::summary(&summary, args.jobs);
    if args.marks {
        show::marks();
    }
    for (&seed, violation) in &summary.violations {
        let (name, of) = (format!("seed-{seed}"), Some(Seed(seed)));
        println!("\n  seed {seed}: {violation}");
        println!("  replay: {}", shorten(&format!("--seed {}", Seed(seed))));
        match shrink(&Scenario::draw(seed), SHRINK_RUNS) {
            Some(shrunk) => match save(&args.save, &name, of, &shrunk) {
                Ok(path) => println!(
                    "  shrunk to {} flows and {} faults in {} runs: {}",
                    shrunk.scenario.flows.len(),
                    shrunk.scenario.faults.len(),
                    shrunk.runs,
                    shorten(&path.display().to_string())
                ),
                Err(error) => println!("  the shrunk scenario could not be saved: {error}"),
            },
            None => println!("  it does not fail again: the run is not deterministic"),
        }
    }
    if !summary.violations.is_empty() {
        return End::of(summary.violations.into_values());
    }
    let unhit = show::unhit();
    if args.require_marks && !unhit.is_empty() {
        println!("\n  never taken:");
        for mark in unhit {
            println!("    {}", mark.name());
        }
        return End::Incomplete;
    }
    if summary.actions.median() < args.require_events
        || summary.faults.median() < args.require_faults
    {
        println!("\n  too little happens in a seed");
        return End::Incomplete;
    }
    if summary.seeds == 0 {
        println!("\n  no seed was run");
        return End::Incomplete;
    }
    End::Well
}

/// Returns a seed that was probably never used, short enough to be typed.
fn fresh_seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let nanos = now.map_or(0, |since| since.as_nanos());
    // Seeds of one search follow each other: leave room between searches.
    (nanos / 1_000_000 % 1_000_000_000) as u64 * 1_000
}

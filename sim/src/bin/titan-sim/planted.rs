//! Planted bugs: switched on one by one, each has to be found.

use crate::{End, show};
use std::path::PathBuf;
use titan_core::planted::{Planted, switch_on};
use titan_sim::pure::explore::{Quest, explore};
use titan_sim::pure::{Kind, Scenario, shrink};

/// Most runs spent on making a scenario small, to count what a bug needs.
const SHRINK_RUNS: usize = 3_000;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Seeds to try per bug.
    #[arg(long, default_value_t = 20_000)]
    count: u64,
    /// Only this bug, by its name.
    #[arg(long)]
    bug: Option<String>,
    /// Threads; one per core without it.
    #[arg(long, default_value_t = show::jobs())]
    jobs: usize,
    /// Seeds that must show nothing once all bugs are off.
    #[arg(long, default_value_t = 2_000)]
    clean: u64,
    /// Shrink each find and tell how many faults it needs.
    #[arg(long)]
    shrink: bool,
    /// Where shrunk scenarios go.
    #[arg(long)]
    save: Option<PathBuf>,
}

pub(crate) fn planted(args: &Args) -> End {
    let mut missed = Vec::new();
    println!("  {:<28}{:>4}  {:>7}  found by", "planted bug", "I", "seed");
    for &bug in Planted::ALL {
        let name = format!("{bug:?}");
        if args.bug.as_ref().is_some_and(|wanted| *wanted != name) {
            continue;
        }
        switch_on(Some(bug));
        if !find(args, bug, &name) {
            missed.push(name);
        }
    }
    switch_on(None);
    let clean = explore(quest(0, args.clean, args.jobs), |_| {});
    println!(
        "\n  {} planted bugs, {} not found; {} seeds without any: {} violations",
        Planted::ALL.len(),
        missed.len(),
        clean.seeds,
        clean.violations.len()
    );
    if let Some(violation) = clean.violations.into_values().next() {
        println!("  {violation}");
        return End::Violated(violation);
    }
    if missed.is_empty() {
        End::Well
    } else {
        End::Incomplete
    }
}

const fn quest(first: u64, count: u64, jobs: usize) -> Quest {
    Quest {
        first,
        count,
        time: None,
        jobs,
        violations_max: 1,
    }
}

fn find(args: &Args, bug: Planted, name: &str) -> bool {
    let mut first = 0;
    while first < args.count {
        let summary = explore(quest(first, args.count - first, args.jobs), |_| {});
        // Several threads may each find one: the lowest seed tells the same story every time.
        let Some((&seed, violation)) = summary.violations.first_key_value() else {
            break;
        };
        if violation.by_check && violation.kind != Kind::Crash {
            let by = violation.message.chars().take(84).collect::<String>();
            println!("  {name:<28}{:>4}  {seed:>7}  {by}", bug.invariant());
            if args.shrink {
                needs(args, seed, name);
            }
            return true;
        }
        // An assertion in the changed code proves nothing: look further.
        first = seed + 1;
    }
    println!(
        "  {name:<28}{:>4}  not found: {}",
        bug.invariant(),
        bug.description()
    );
    false
}

/// Tells how much a find needs once it is small.
fn needs(args: &Args, seed: u64, name: &str) {
    let Some(shrunk) = shrink(&Scenario::draw(seed), SHRINK_RUNS) else {
        println!("  {:<28}      it does not fail again", "");
        return;
    };
    println!(
        "  {:<28}      shrunk to {} flows and {} faults: {}",
        "",
        shrunk.scenario.flows.len(),
        shrunk.scenario.faults.len(),
        shrunk.violation
    );
    if let Some(folder) = &args.save
        && let Err(error) = crate::replay::save(folder, name, &shrunk)
    {
        println!("  {:<28}      could not be saved: {error}", "");
    }
}

//! Planted bugs: switched on one by one, each has to be found.

use crate::{End, show};
use std::path::PathBuf;
use titan_core::planted::{Planted, switch_on};
use titan_sim::pure::explore::{Quest, explore};
use titan_sim::pure::{Kind, Scenario, Seed, run, shrink};

/// Most runs spent on making a scenario small, to count what a bug needs.
const SHRINK_RUNS: usize = 1_500;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Seeds to try per bug.
    #[arg(long, default_value_t = 20_000)]
    count: u64,
    /// Threads; one per core without it.
    #[arg(long, default_value_t = show::jobs())]
    jobs: usize,
    /// Seeds that must show nothing once all bugs are off.
    #[arg(long, default_value_t = 2_000)]
    clean: u64,
    /// Shrink each find and tell what it needs, also of bugs that need less than two troubles.
    #[arg(long)]
    shrink: bool,
    /// Where shrunk scenarios go.
    #[arg(long)]
    save: Option<PathBuf>,
}

/// Reads the name of a bug.
pub(crate) fn bug(name: &str) -> Result<Planted, String> {
    let mut all = Planted::ALL.iter().copied();
    all.find(|bug| format!("{bug:?}") == name)
        .ok_or_else(|| format!("no bug has the name {name}"))
}

pub(crate) fn planted(args: &Args, only: Option<Planted>) -> End {
    let mut missed = Vec::new();
    println!("  {:<24}{:>4}  {:>7}  found by", "planted bug", "I", "seed");
    for &bug in Planted::ALL {
        let name = format!("{bug:?}");
        if only.is_some_and(|only| only != bug) {
            continue;
        }
        switch_on(Some(bug));
        match find(args, bug, &name) {
            Found::Well => {}
            Found::Not => missed.push(name),
        }
    }
    switch_on(None);
    let clean = explore(quest(0, args.clean, args.jobs), |_| {});
    println!(
        "\n  {} planted bugs, {} not found as claimed; {} seeds without any: {} violations",
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

/// What came of looking for one bug.
enum Found {
    /// It was found, and what was claimed about it is so.
    Well,
    /// It was not found, or not as claimed.
    Not,
}

fn find(args: &Args, bug: Planted, name: &str) -> Found {
    let mut first = 0;
    while first < args.count {
        let summary = explore(quest(first, args.count - first, args.jobs), |_| {});
        // Several threads may each find one: the lowest seed tells the same story every time.
        let Some((&seed, violation)) = summary.violations.first_key_value() else {
            break;
        };
        if violation.by_check && violation.kind != Kind::Crash {
            let by = violation.message.chars().take(84).collect::<String>();
            println!("  {name:<24}{:>4}  {seed:>7}  {by}", bug.invariant());
            return if bug.faults() >= 2 || args.shrink || args.save.is_some() {
                needs(args, bug, seed, name)
            } else {
                Found::Well
            };
        }
        // An assertion in the changed code proves nothing: look further.
        first = seed + 1;
    }
    println!(
        "  {name:<24}{:>4}  not found: {}",
        bug.invariant(),
        bug.description()
    );
    Found::Not
}

/// Makes a find small, tells what has to go wrong for it, and shows which of that is needed.
fn needs(args: &Args, bug: Planted, seed: u64, name: &str) -> Found {
    let Some(shrunk) = shrink(&Scenario::draw(seed), SHRINK_RUNS) else {
        println!("{INDENT}it does not fail again");
        return Found::Not;
    };
    if let Some(folder) = &args.save
        && let Err(error) = crate::replay::save(folder, name, Some(Seed(seed)), &shrunk)
    {
        println!("{INDENT}could not be saved: {error}");
    }
    let troubles = shrunk.scenario.troubles();
    let mut needed = 0;
    for trouble in &troubles {
        let passes_without = run(&trouble.without).is_ok();
        needed += usize::from(passes_without);
        let mark = if passes_without {
            "needs"
        } else {
            "does not need"
        };
        println!("{INDENT}{mark} {}", trouble.what);
    }
    if needed < usize::from(bug.faults()) {
        println!("{INDENT}{} troubles were said to be needed", bug.faults());
        return Found::Not;
    }
    Found::Well
}

/// Before a line about the bug above.
const INDENT: &str = "                                       ";

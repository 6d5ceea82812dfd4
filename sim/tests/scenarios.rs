//! Every scenario file, with a few seeds; but first whether a seed gives the same run every time.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use core::sync::atomic::{AtomicUsize, Ordering};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::{fs, thread};
use titan_sim::daemons::{Difference, How, Scenario, Trace, run, run_twice};

/// Seeds per scenario. `titan-sim run scenarios/*.toml --seeds 20` runs more.
const SEEDS: u64 = 3;

/// Scenarios whose every log line is compared, in this process and with another one. Between them
/// they kill, cut, partition and take the store away; the others are compared event by event.
const TRACED: [&str; 6] = [
    "steady-load",
    "edge-crash",
    "failover",
    "power-loss",
    "manager-down",
    "quota-lost-answers",
];

#[test]
fn scenarios_run_alike_every_time_and_then_as_expected() {
    let scenarios = scenarios();
    assert!(scenarios.len() >= 20, "the files are there");
    let named = |name: &str| scenarios.iter().find(|(path, _)| stem(path) == name);
    let traced: Vec<_> = TRACED.iter().map(|name| named(name).unwrap()).collect();
    let apart = in_parallel(&traced, |(path, scenario)| {
        let trace = run_twice(scenario, scenario.seed).map_err(|error| tell(path, &error))?;
        same_elsewhere(path, scenario, &trace).map_err(|error| tell(path, &error))
    });
    assert!(apart.is_empty(), "not deterministic:\n{}", apart.join("\n"));
    let apart = in_parallel(&scenarios, |(path, scenario)| {
        let once = || run(scenario, scenario.seed, How::default()).outcome;
        let same = once() == once();
        same.then_some(()).ok_or_else(|| path.display().to_string())
    });
    assert!(apart.is_empty(), "not deterministic:\n{}", apart.join("\n"));

    let seeds = |(path, scenario)| (0..SEEDS).map(move |index| (path, scenario, index));
    let runs = scenarios.iter().map(|(path, scenario)| (path, scenario));
    let runs: Vec<_> = runs.flat_map(seeds).collect();
    let violated = in_parallel(&runs, |(path, scenario, index)| {
        let seed = scenario.seed + index;
        let outcome = run(scenario, seed, How::default()).outcome;
        outcome.map(drop).map_err(|violation| {
            let path = path.display();
            format!("titan-sim run {path} --seed {seed} --log: {violation}")
        })
    });
    assert!(violated.is_empty(), "violated:\n{}", violated.join("\n"));
}

#[test]
fn another_seed_is_another_run_and_the_first_other_line_is_told() {
    let (_, scenario) = scenarios().swap_remove(0);
    let traced = |seed| {
        let how = How {
            trace_lines: true,
            ..How::default()
        };
        run(&scenario, seed, how).trace
    };
    let (one, other) = (traced(1), traced(2));
    assert_ne!(one.hash, other.hash);
    let Difference::Line { number, one, other } = Difference::of(&one, &other) else {
        panic!("they differ");
    };
    assert!(number > 0 && one != other);
}

fn tell(path: &Path, error: &Difference) -> String {
    format!("{}: {error}", path.display())
}

/// Runs the seed of a scenario in another process and compares every log line.
fn same_elsewhere(path: &Path, scenario: &Scenario, trace: &Trace) -> Result<(), Difference> {
    let elsewhere = |extra: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_titan-sim"));
        command.arg("run").arg(path).arg("--trace").args(extra);
        let output = command.output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let expected = format!("trace {:016x} of {} lines", trace.hash, trace.count);
    if elsewhere(&[]).contains(&expected) {
        return Ok(());
    }
    let dir = tempfile::tempdir().unwrap();
    elsewhere(&["--trace-to", dir.path().to_str().unwrap()]);
    let file = dir
        .path()
        .join(format!("{}-{}.trace", stem(path), scenario.seed));
    let how = How {
        trace_lines: true,
        ..How::default()
    };
    let here = run(scenario, scenario.seed, how).trace.lines;
    let there = fs::read_to_string(file).unwrap();
    let lines = |trace: Vec<String>| Trace {
        lines: trace.into_iter().map(|line| (0, line)).collect(),
        ..Trace::default()
    };
    let here = lines(here.into_iter().map(|(_, line)| line).collect());
    let there = lines(there.lines().map(str::to_owned).collect());
    Err(Difference::of(&here, &there))
}

/// Returns all scenario files, in order of their names.
fn scenarios() -> Vec<(PathBuf, Scenario)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    let paths = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|is| is == "toml"))
        .collect();
    paths.sort();
    let load = |path: PathBuf| {
        let scenario = Scenario::load(&path).unwrap();
        (path, scenario)
    };
    paths.into_iter().map(load).collect()
}

fn stem(path: &Path) -> &str {
    path.file_stem().unwrap().to_str().unwrap()
}

/// Does something with each item, one per core at a time; returns what went wrong.
fn in_parallel<T: Sync>(items: &[T], job: impl Fn(&T) -> Result<(), String> + Sync) -> Vec<String> {
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    let threads = thread::available_parallelism().map_or(1, core::num::NonZero::get);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(failure) = job(item) {
                        failures.lock().unwrap().push(failure);
                    }
                }
            });
        }
    });
    failures.into_inner().unwrap()
}

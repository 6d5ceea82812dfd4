//! The daemons in turmoil, by scenario files.

use crate::{End, show};
use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Instant;
use titan_sim::daemons::{How, Outcome, Run, Scenario, run, shrink};
use titan_sim::pure::Violation;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Scenario files.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// The first seed; without it the file's.
    #[arg(long)]
    seed: Option<u64>,
    /// How many seeds per file.
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// Threads; one per core without it.
    #[arg(long, default_value_t = show::jobs())]
    jobs: usize,
    /// Write what happens, line by line.
    #[arg(long)]
    log: bool,
    /// Hash every log line of everything and write the hash.
    #[arg(long)]
    trace: bool,
    /// Write every log line of everything into this directory, a file per run.
    #[arg(long)]
    trace_to: Option<PathBuf>,
    /// Where shrunk scenarios of failing seeds go.
    #[arg(long, default_value = "target/violations")]
    save: PathBuf,
    /// Most runs spent on making a failing scenario small; 0 leaves it as it is.
    #[arg(long, default_value_t = 60)]
    shrink_runs: usize,
}

/// A scenario and one of its seeds.
struct Job<'a> {
    file: &'a Path,
    scenario: &'a Scenario,
    seed: u64,
}

/// What became of a job.
struct Done {
    job: usize,
    run: Run,
    took: Duration,
}

pub(crate) fn run_files(args: &Args) -> io::Result<End> {
    let files = args.files.iter().map(PathBuf::as_path);
    let scenarios = files
        .map(|file| Scenario::load(file).map(|scenario| (file, scenario)))
        .collect::<io::Result<Vec<_>>>()?;
    let jobs: Vec<_> = scenarios
        .iter()
        .flat_map(|(file, scenario)| {
            let first = args.seed.unwrap_or(scenario.seed);
            let seeds = (0..args.seeds).map(move |index| first.wrapping_add(index));
            seeds.map(move |seed| Job {
                file,
                scenario,
                seed,
            })
        })
        .collect();
    let how = How {
        log: args.log,
        trace: args.trace,
        trace_lines: args.trace_to.is_some(),
    };
    if let Some(dir) = &args.trace_to {
        fs::create_dir_all(dir)?;
    }
    let start = Instant::now();
    let bar = show::bar(Some(jobs.len() as u64));
    let mut table = Table::new(scenarios.iter().map(|(file, _)| name(file)).collect());
    let mut worst: Option<Violation> = None;
    let mut failed = Vec::new();
    let mut written = Ok(());
    all(&jobs, args.jobs, how, |done| {
        let job = &jobs[done.job];
        bar.inc(1);
        bar.suspend(|| tell(job, &done));
        if let Some(dir) = &args.trace_to
            && let Err(error) = write_trace(dir, job, &done.run)
        {
            written = Err(error);
        }
        table.add(&name(job.file), &done);
        if let Err(violation) = done.run.outcome {
            failed.push(done.job);
            if worst
                .as_ref()
                .is_none_or(|worst| worst.kind < violation.kind)
            {
                worst = Some(violation);
            }
        }
    });
    bar.finish_and_clear();
    written?;
    if jobs.len() > 1 {
        table.show(start.elapsed());
    }
    failed.sort_unstable();
    // One of each scenario is enough to work on.
    failed.dedup_by_key(|job| jobs[*job].file);
    for job in failed {
        make_small(args, &jobs[job]);
    }
    Ok(worst.map_or(End::Well, End::Violated))
}

/// Runs all jobs on several threads and hands over what is done, on this thread.
fn all(jobs: &[Job<'_>], threads: usize, how: How, mut done: impl FnMut(Done)) {
    let next = AtomicUsize::new(0);
    let (results, inbox) = channel();
    thread::scope(|scope| {
        for _ in 0..threads.clamp(1, jobs.len().max(1)) {
            let results = results.clone();
            scope.spawn(|| work(jobs, &next, how, results));
        }
        drop(results);
        inbox.iter().for_each(&mut done);
    });
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "its end is the sign that the thread is done"
)]
fn work(jobs: &[Job<'_>], next: &AtomicUsize, how: How, results: Sender<Done>) {
    loop {
        let index = next.fetch_add(1, Ordering::Relaxed);
        let Some(job) = jobs.get(index) else { return };
        let start = Instant::now();
        let run = run(job.scenario, job.seed, how);
        let done = Done {
            job: index,
            run,
            took: start.elapsed(),
        };
        if results.send(done).is_err() {
            return;
        }
    }
}

fn name(file: &Path) -> String {
    let stem = file.file_stem().unwrap_or(file.as_os_str());
    stem.to_string_lossy().into_owned()
}

fn tell(job: &Job<'_>, done: &Done) {
    for line in &done.run.log {
        println!("{line}");
    }
    let (name, seed) = (name(job.file), job.seed);
    match &done.run.outcome {
        Ok(outcome) => {
            let Outcome {
                elapsed,
                complete,
                failed,
                resumes,
                failovers,
                events,
            } = outcome;
            println!(
                "  ok    {name:<24} seed {seed:<6} {complete:>4} complete {failed:>3} not \
                 {resumes:>3} resumed {failovers:>3} moved {:>6.1} s in {:>5.2} s  {events:016x}",
                elapsed.as_secs_f64(),
                done.took.as_secs_f64(),
            );
        }
        Err(violation) => println!("  FAIL  {name:<24} seed {seed:<6} {violation}"),
    }
    if done.run.trace.count > 0 {
        let trace = &done.run.trace;
        println!("  trace {:016x} of {} lines", trace.hash, trace.count);
    }
}

fn write_trace(dir: &Path, job: &Job<'_>, run: &Run) -> io::Result<()> {
    let lines: String = run
        .trace
        .lines
        .iter()
        .flat_map(|(_, line)| [line, "\n"])
        .collect();
    let path = dir.join(format!("{}-{}.trace", name(job.file), job.seed));
    fs::write(path, lines)
}

/// Makes a failing seed small and tells how to run it again.
fn make_small(args: &Args, job: &Job<'_>) {
    let (file, seed) = (job.file.display(), job.seed);
    println!("\n  replay: {}", again(&format!("{file} --seed {seed}")));
    if args.shrink_runs == 0 {
        return;
    }
    let Some(shrunk) = shrink(job.scenario, seed, args.shrink_runs) else {
        println!("  it does not fail again: the run is not deterministic");
        return;
    };
    let path = args.save.join(format!("{}-{seed}.toml", name(job.file)));
    let text = shrunk.scenario.to_text(&shrunk.violation.to_string());
    let written = fs::create_dir_all(&args.save).and_then(|()| fs::write(&path, text));
    match written {
        Ok(()) => println!(
            "  shrunk to {} faults and {} kinds of flows in {} runs: {}\n  {}",
            shrunk.scenario.faults.len(),
            shrunk.scenario.flows.len(),
            shrunk.runs,
            again(&path.display().to_string()),
            shrunk.violation
        ),
        Err(error) => println!("  the shrunk scenario could not be saved: {error}"),
    }
}

fn again(what: &str) -> String {
    format!("cargo run -p titan-sim -- run {what} --log")
}

/// What all seeds of each scenario came to.
struct Table {
    rows: Vec<Row>,
}

#[derive(Default)]
struct Row {
    name: String,
    seeds: usize,
    failed: usize,
    simulated: Duration,
    took: Duration,
    resumes: u64,
    failovers: u64,
}

impl Table {
    fn new(names: Vec<String>) -> Self {
        let row = |name| Row {
            name,
            ..Row::default()
        };
        Self {
            rows: names.into_iter().map(row).collect(),
        }
    }

    fn add(&mut self, name: &str, done: &Done) {
        let Some(row) = self.rows.iter_mut().find(|row| row.name == name) else {
            return;
        };
        row.seeds += 1;
        row.took += done.took;
        match &done.run.outcome {
            Ok(outcome) => {
                row.simulated += outcome.elapsed;
                row.resumes += outcome.resumes;
                row.failovers += outcome.failovers;
            }
            Err(_) => row.failed += 1,
        }
    }

    fn show(&self, elapsed: Duration) {
        println!(
            "\n  {:<26}{:>6}{:>8}{:>9}{:>8}{:>14}{:>10}",
            "scenario", "seeds", "failed", "resumed", "moved", "simulated s", "cpu s"
        );
        for row in &self.rows {
            println!(
                "  {:<26}{:>6}{:>8}{:>9}{:>8}{:>14.1}{:>10.2}",
                row.name,
                row.seeds,
                row.failed,
                row.resumes,
                row.failovers,
                row.simulated.as_secs_f64(),
                row.took.as_secs_f64()
            );
        }
        let seeds: usize = self.rows.iter().map(|row| row.seeds).sum();
        let failed: usize = self.rows.iter().map(|row| row.failed).sum();
        println!(
            "\n  {seeds} runs, {failed} failed, in {:.1} s",
            elapsed.as_secs_f64()
        );
    }
}

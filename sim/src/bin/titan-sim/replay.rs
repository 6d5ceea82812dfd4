//! One run again, and making it small.

use crate::End;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use titan_sim::pure::explore::check_again;
use titan_sim::pure::{Scenario, Seed, Shrunk, run, run_with_log, shrink};

/// What to run: a seed or a file.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Subject {
    /// A scenario file of the pure loop.
    file: Option<PathBuf>,
    /// A seed: a number, or generator:number.
    #[arg(long)]
    seed: Option<Seed>,
}

impl Subject {
    fn scenario(&self) -> io::Result<Scenario> {
        match (&self.file, self.seed) {
            (Some(file), _) => Scenario::load(file),
            (None, seed) => Ok(Scenario::draw(seed.map_or(0, |seed| seed.0))),
        }
    }

    fn name(&self) -> String {
        match (&self.file, self.seed) {
            (Some(file), _) => file
                .file_stem()
                .map_or_else(|| "scenario".into(), |stem| stem.to_string_lossy())
                .into_owned(),
            (None, seed) => format!("seed-{}", seed.map_or(0, |seed| seed.0)),
        }
    }

    /// Says of a seed what it takes to draw the same of it again.
    fn origin(&self) -> Option<String> {
        self.seed.map(origin)
    }
}

fn origin(seed: Seed) -> String {
    format!("Seed {seed}.")
}

#[derive(Debug, clap::Args)]
pub(crate) struct ReplayArgs {
    #[command(flatten)]
    subject: Subject,
    /// Write what happens, line by line.
    #[arg(long)]
    log: bool,
    /// Write the scenario as a file has it, and do not run it.
    #[arg(long)]
    print: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ShrinkArgs {
    #[command(flatten)]
    subject: Subject,
    /// Where the small scenario goes.
    #[arg(long, default_value = "target/violations")]
    save: PathBuf,
    /// Most runs to spend.
    #[arg(long, default_value_t = 20_000)]
    runs: usize,
}

pub(crate) fn replay(args: &ReplayArgs) -> io::Result<End> {
    let scenario = args.subject.scenario()?;
    if args.print {
        let origin = args.subject.origin().unwrap_or_default();
        print!("{}", scenario.to_text(&origin));
        return Ok(End::Well);
    }
    if let Some(origin) = args.subject.origin() {
        println!("{origin}");
    }
    let result = if args.log {
        let (result, log) = run_with_log(&scenario);
        for line in log {
            println!("{line}");
        }
        result
    } else {
        run(&scenario)
    };
    let result = result.and_then(|outcome| {
        check_again(&scenario, &outcome)?;
        Ok(outcome)
    });
    Ok(match result {
        Ok(outcome) => {
            println!(
                "{} events, {} faults, {} flows complete, {} failed, {:.3} s of virtual time, \
                 trace {:016x} (twice)",
                outcome.actions,
                outcome.faults,
                outcome.complete(),
                outcome.failed(),
                outcome.elapsed.as_secs_f64(),
                outcome.trace
            );
            End::Well
        }
        Err(violation) => {
            println!("{violation}");
            End::Violated(violation)
        }
    })
}

pub(crate) fn shrink_down(args: &ShrinkArgs) -> io::Result<End> {
    let scenario = args.subject.scenario()?;
    let Some(shrunk) = shrink(&scenario, args.runs) else {
        println!("nothing is wrong with it");
        return Ok(End::Well);
    };
    let name = args.subject.name();
    let path = save(&args.save, &name, args.subject.seed, &shrunk)?;
    println!(
        "{}\n{} flows and {} faults are left of {} and {}, after {} runs: {}",
        shrunk.violation,
        shrunk.scenario.flows.len(),
        shrunk.scenario.faults.len(),
        scenario.flows.len(),
        scenario.faults.len(),
        shrunk.runs,
        shorten(&path.display().to_string())
    );
    Ok(End::Violated(shrunk.violation))
}

/// Writes a small scenario into a folder, which is made if need be; with the seed that drew it, if one did.
pub(crate) fn save(
    folder: &Path,
    name: &str,
    seed: Option<Seed>,
    shrunk: &Shrunk,
) -> io::Result<PathBuf> {
    fs::create_dir_all(folder)?;
    let path = folder.join(format!("{name}.toml"));
    let mut comment = format!(
        "{}\nReplay it: {}\n",
        shrunk.violation,
        shorten(&path.display().to_string())
    );
    if let Some(seed) = seed {
        comment.push_str(&format!("{}\n", origin(seed)));
    }
    let troubles = shrunk.scenario.troubles();
    if !troubles.is_empty() {
        comment.push_str("What goes wrong in it, all of which it takes:\n");
    }
    for trouble in troubles {
        comment.push_str(&format!("- {}\n", trouble.what));
    }
    fs::write(&path, shrunk.scenario.to_text(&comment))?;
    Ok(path)
}

/// Returns the one command that runs a subject again, with the bug that is switched on.
pub(crate) fn shorten(subject: &str) -> String {
    let (feature, bug) = match bug() {
        Some(bug) => (" --features planted", format!(" --bug {bug:?}")),
        None => ("", String::new()),
    };
    format!(
        "cargo run --profile sim -p titan-sim --no-default-features{feature} -- \
         replay {subject}{bug}"
    )
}

fn bug() -> Option<titan_core::planted::Planted> {
    use titan_core::planted::{Planted, on};
    Planted::ALL.iter().copied().find(|&bug| on(bug))
}

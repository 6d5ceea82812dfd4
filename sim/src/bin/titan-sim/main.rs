//! Runs simulated worlds: seeds by the thousand, one seed or file again, the daemons, experiments.
//!
//! Exit codes: 0 all is well, 1 the tool itself could not, 2 the command line is wrong, 3 a wrong
//! result, 4 no progress, 5 a crash, 6 a rare path was never taken or a planted bug not found.

#[cfg(feature = "daemons")]
mod experiment;
mod explore;
#[cfg(feature = "planted")]
mod planted;
mod replay;
#[cfg(feature = "daemons")]
mod run;
mod show;

use clap::{Parser, Subcommand};
use std::process::ExitCode;
use titan_sim::pure::{Kind, Violation};

/// Simulated worlds around the core and the daemons of Titan.
#[derive(Debug, Parser)]
#[command(
    name = "titan-sim",
    version,
    about,
    after_help = "Exit codes: 0 all is well, 1 the tool itself could not, 2 the command line is wrong,\n\
                  3 a wrong result, 4 no progress, 5 a crash, 6 a rare path was never taken or a\n\
                  planted bug was not found."
)]
struct Args {
    #[command(subcommand)]
    command: Command,
    /// Switch a planted bug on, by its name; `planted` then looks for this one alone.
    #[cfg(feature = "planted")]
    #[arg(long, global = true, value_parser = planted::bug)]
    bug: Option<titan_core::planted::Planted>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run many seeds of the pure loop: real cores, modelled network, every kind of fault.
    Explore(explore::Args),
    /// Run one seed or scenario file of the pure loop again.
    Replay(replay::ReplayArgs),
    /// Make a failing seed or scenario file of the pure loop small.
    Shrink(replay::ShrinkArgs),
    /// Run scenario files: the daemons in a simulated network.
    #[cfg(feature = "daemons")]
    Run(run::Args),
    /// Measure the daemons in virtual time and compare with what the distances demand.
    #[cfg(feature = "daemons")]
    Experiment(experiment::Args),
    /// Switch planted bugs on, one after the other, and see each of them found.
    #[cfg(feature = "planted")]
    Planted(planted::Args),
}

/// How a command ends.
enum End {
    Well,
    Violated(Violation),
    Incomplete,
}

impl End {
    /// Returns the end of a search: that of the worst violation if there is one.
    fn of(violations: impl IntoIterator<Item = Violation>) -> Self {
        violations
            .into_iter()
            .max_by_key(|violation| violation.kind)
            .map_or(Self::Well, Self::Violated)
    }

    const fn code(&self) -> u8 {
        match self {
            Self::Well => 0,
            Self::Violated(violation) => match violation.kind {
                Kind::WrongResult => 3,
                Kind::NoProgress => 4,
                Kind::Crash => 5,
            },
            Self::Incomplete => 6,
        }
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    #[cfg(feature = "planted")]
    titan_core::planted::switch_on(args.bug);
    let end = match args.command {
        Command::Explore(args) => Ok(explore::explore(&args)),
        Command::Replay(args) => replay::replay(&args),
        Command::Shrink(args) => replay::shrink_down(&args),
        #[cfg(feature = "daemons")]
        Command::Run(args) => run::run_files(&args),
        #[cfg(feature = "daemons")]
        Command::Experiment(args) => experiment::experiments(&args),
        #[cfg(feature = "planted")]
        Command::Planted(planted) => Ok(planted::planted(&planted, args.bug)),
    };
    match end {
        Ok(end) => end.code().into(),
        Err(error) => {
            eprintln!("titan-sim: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::End;
    use titan_sim::pure::{Kind, Violation};

    fn violation(kind: Kind) -> Violation {
        Violation {
            kind,
            invariant: None,
            message: String::new(),
            by_check: true,
        }
    }

    #[test]
    fn the_exit_code_tells_the_worst_violation() {
        use Kind::{Crash, NoProgress, WrongResult};
        for (kinds, code) in [
            (&[][..], 0),
            (&[WrongResult], 3),
            (&[NoProgress, WrongResult], 4),
            (&[WrongResult, Crash, NoProgress], 5),
        ] {
            let end = End::of(kinds.iter().map(|&kind| violation(kind)));
            assert_eq!(end.code(), code, "{kinds:?}");
        }
        assert_eq!(End::Incomplete.code(), 6);
    }
}

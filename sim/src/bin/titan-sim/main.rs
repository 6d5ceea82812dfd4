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
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run many seeds of the pure loop: real cores, modelled network, every kind of fault.
    Explore(explore::Args),
    /// Run one seed or scenario file of the pure loop again.
    Replay(replay::ReplayArgs),
    /// Make a failing seed or scenario file of the pure loop small.
    Shrink(replay::ShrinkArgs),
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

impl From<End> for ExitCode {
    fn from(end: End) -> Self {
        Self::from(match end {
            End::Well => 0,
            End::Violated(violation) => match violation.kind {
                Kind::WrongResult => 3,
                Kind::NoProgress => 4,
                Kind::Crash => 5,
            },
            End::Incomplete => 6,
        })
    }
}

fn main() -> ExitCode {
    let end = match Args::parse().command {
        Command::Explore(args) => Ok(explore::explore(&args)),
        Command::Replay(args) => replay::replay(&args),
        Command::Shrink(args) => replay::shrink_down(&args),
        #[cfg(feature = "daemons")]
        Command::Experiment(args) => experiment::experiments(&args),
        #[cfg(feature = "planted")]
        Command::Planted(args) => Ok(planted::planted(&args)),
    };
    match end {
        Ok(end) => end.into(),
        Err(error) => {
            eprintln!("titan-sim: {error}");
            ExitCode::FAILURE
        }
    }
}

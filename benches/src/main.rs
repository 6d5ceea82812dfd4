//! The end-to-end bench: real processes, beside a yardstick, in one table with ratios.
//!
//! ```text
//! cargo run --release -p titan-benches --bin titan-bench [-- --quick] [--only NAME]… [--against DIR] [--json]
//! ```
//!
//! # What is compared
//!
//! ```text
//! yardstick   load ──TCP────▶ relay ──TCP────▶ relay ──TCP──▶ target
//! titan       load ──SOCKS5─▶  POP  ◀══ws(s)══  edge ──TCP──▶ target
//! ```
//!
//! Every box is a process. Load, relays and target are this program again, each with a current-thread runtime; the
//! relays do nothing but `copy_bidirectional` with 256 KiB buffers. Load and target are the same programs for all
//! systems, so what differs is what stands between them. POP, edge and manager are Titan's daemons, built in
//! release. In each round every system runs the same load for the same time, one after the other and beginning
//! with another one each round; the table shows medians over the rounds and the ratios of those medians. A ratio
//! holds on any machine, the absolute figures only on this one.
//!
//! # What is measured
//!
//! - **bulk**: endless streams after a warm-up, bytes counted at the receiver by the receiver's clock.
//! - **requests**: 100 bytes up, 200 bytes down, one at a time on each of the persistent connections.
//! - **connections**: as many as are shown at once, each a new TCP connection, for Titan with SOCKS5 and password
//!   (three more round trips to the POP), one request, and the end of the connection.
//! - **memory**: growth of the POP's private dirty pages, no kernel memory. Per tunnel: one more edge process brings
//!   many edges, short sessions use them all, everything rests. Per session: sessions through one tunnel are opened,
//!   used and left idle; for the yardstick, connections through the first relay.
//!
//! - **CPU**: user and system time of POP and edge, or of both relays, from the start of a load to its end, for each
//!   byte, request or connection that it moved meanwhile, warm-up included.
//!
//! With `--against DIR` the daemons in DIR take part as further columns, by turns with the others in each round, and a
//! second table shows both builds and their ratios. What one change of the code costs is seen by such a run alone: two
//! runs, one after the other, differ by more.
//!
//! Streams carry stamps that depend on stream and position and are checked on arrival: damaged data ends the bench
//! instead of looking fast. Progress goes to standard error. Missed targets are reported, not failures; the exit code
//! tells whether everything could be measured. All children end with the bench.

#![cfg_attr(
    test,
    allow(clippy::unwrap_used, reason = "a test fails by it, where it is wrong")
)]

mod daemons;
mod failure;
mod flow;
mod kernel;
mod load;
mod measure;
mod pattern;
mod plan;
mod process;
mod relay;
mod report;
mod rest;
mod route;
mod system;
mod target;

use std::io::Read as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use crate::failure::{Failure, Result};
use crate::load::LoadArgs;
use crate::measure::Run;
use crate::plan::{Extent, MEASUREMENTS, Measurement};
use crate::process::Process;
use crate::system::{Builds, Kind};
use crate::target::Target;

/// Measures Titan's real daemons beside two plain relays.
#[derive(Debug, Parser)]
#[command(name = "titan-bench")]
struct Cli {
    #[command(subcommand)]
    child: Option<Child>,
    /// Short run: fewer and shorter rounds, fewer tunnels and sessions.
    #[arg(long)]
    quick: bool,
    /// Only measurements whose names begin so, or only these systems (yardstick, ws, wss); may be repeated.
    /// The yardstick runs along with ws and wss.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Rounds of each load instead of the usual number.
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
    /// Print all figures as one JSON document instead of tables.
    #[arg(long)]
    json: bool,
    /// Folder of titan-manager, titan-pop and titan-edge; without it they are built in release.
    #[arg(long, value_name = "DIR")]
    bin_dir: Option<PathBuf>,
    /// Compare with the daemons in this folder, by turns in one run.
    #[arg(long, value_name = "DIR")]
    against: Option<PathBuf>,
}

/// The other parts that this program plays.
#[derive(Debug, Subcommand)]
enum Child {
    /// Generates load.
    #[command(hide = true)]
    Load(LoadArgs),
    /// Relays to an address.
    #[command(hide = true)]
    Relay {
        /// Where each connection goes on to.
        next: SocketAddr,
    },
    /// Is the target.
    #[command(hide = true)]
    Target,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let mut cli = Cli::parse();
    let done = match cli.child.take() {
        Some(child) => child.run().await,
        None => bench_until_signal(&cli).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

impl Child {
    async fn run(self) -> Result<()> {
        std::thread::spawn(end_with_parent);
        match self {
            Self::Load(args) => {
                let (values, held) = load::run(&args).await?;
                println!("{}", serde_json::to_string(&values)?);
                if !held.is_empty() {
                    std::future::pending::<()>().await;
                }
                return Ok(());
            }
            Self::Relay { next } => println!("{}", relay::start(next).await?),
            Self::Target => {
                let target = target::start().await?;
                println!("{} {}", target.address, target.control);
            }
        }
        std::future::pending().await
    }
}

/// Ends this process when the bench, which holds the other end of standard input, is gone for whatever reason.
fn end_with_parent() {
    // It never writes, so the read returns only at the end.
    let _ = std::io::stdin().read(&mut [0]);
    std::process::exit(1);
}

/// Signals end the bench by dropping it, and with it all its children.
async fn bench_until_signal(cli: &Cli) -> Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::select! {
        done = bench(cli) => done,
        _ = interrupt.recv() => Err(Failure::new("interrupted")),
        _ = terminate.recv() => Err(Failure::new("terminated")),
        _ = hangup.recv() => Err(Failure::new("terminal closed")),
    }
}

async fn bench(cli: &Cli) -> Result<()> {
    let (kinds, measurements) = select(&cli.only, cli.against.is_some())?;
    if cfg!(debug_assertions) {
        eprintln!("warning: this is not a release build, its figures mean nothing");
    }
    let mut builds = Builds::default();
    if kinds.iter().any(|kind| *kind != Kind::Yardstick) {
        builds.own = daemons::find(cli.bin_dir.as_deref()).await?;
    }
    if kinds.iter().any(|kind| kind.is_other()) {
        builds.other = Some(daemons::find(cli.against.as_deref()).await?);
    }
    let mut extent = if cli.quick {
        Extent::QUICK
    } else {
        Extent::FULL
    };
    extent.rounds = cli.rounds.unwrap_or(extent.rounds).max(1);

    let mut process = Process::own("target", &["target".to_owned()], None)?;
    let [address, control] = process.addresses().await?;
    let target = Target { address, control };
    let (kinds, measurements) = (&kinds, &measurements);
    let run = Run {
        kinds,
        measurements,
        extent,
        target,
        builds: &builds,
    };
    let outcomes = run.outcomes().await;
    // With the target gone, what failed elsewhere is only a consequence.
    process.check()?;
    let outcomes = outcomes?;
    if cli.json {
        println!("{:#}", report::json(&outcomes, &builds));
        return Ok(());
    }
    println!("\n{}", report::table(&outcomes));
    if let Some(other) = &builds.other {
        println!(
            "\nother: {}\n\n{}",
            other.display(),
            report::comparison(&outcomes)
        );
    }
    Ok(())
}

/// Resolves the names of `--only`; the whole name of a measurement means that one alone. In a comparison each of
/// Titan's systems stands for that of the other build as well.
fn select(only: &[String], compared: bool) -> Result<(Vec<Kind>, Vec<&'static Measurement>)> {
    let systems = Kind::ALL.into_iter().filter(|kind| !kind.is_other());
    let names = systems.map(Kind::name).collect::<Vec<_>>();
    let is_system = |name: &str| names.contains(&name);
    let is_exact = |name: &str| MEASUREMENTS.iter().any(|one| one.name == name);
    let matches = |one: &Measurement, name: &str| {
        one.name == name || (one.name.starts_with(name) && !is_exact(name))
    };
    for name in only {
        if !is_system(name) && !MEASUREMENTS.iter().any(|one| matches(one, name)) {
            let measurements = MEASUREMENTS.iter().map(|one| one.name);
            let names = names.into_iter().chain(measurements).collect::<Vec<_>>();
            return Err(Failure::new(format!(
                "no {name}; there are {}",
                names.join(", ")
            )));
        }
    }
    let (systems, measurements): (Vec<_>, Vec<_>) = only.iter().partition(|name| is_system(name));
    let kinds = Kind::ALL.into_iter().filter(|kind| {
        let named = systems.iter().any(|name| *name == kind.own().name());
        let chosen = named || systems.is_empty() || *kind == Kind::Yardstick;
        chosen && (compared || !kind.is_other())
    });
    let chosen = MEASUREMENTS.iter().filter(|one| {
        measurements.is_empty() || measurements.iter().any(|name| matches(one, name))
    });
    Ok((kinds.collect(), chosen.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_selects() {
        let names = |only: &[&str]| {
            let only = only
                .iter()
                .map(|name| (*name).to_owned())
                .collect::<Vec<_>>();
            let (kinds, measurements) = select(&only, false)?;
            let names = measurements.iter().map(|one| one.name).collect::<Vec<_>>();
            Ok::<_, Failure>((kinds.len(), names.join(" ")))
        };
        assert_eq!(names(&[]).unwrap().0, 3);
        assert_eq!(names(&["yardstick"]).unwrap().0, 1);
        assert_eq!(
            names(&["wss", "bulk-up-1"]).unwrap(),
            (2, "bulk-up-1".to_owned())
        );
        assert_eq!(
            names(&["req"]).unwrap(),
            (3, "requests-1 requests-64".to_owned())
        );
        assert!(names(&["bulk", "nothing"]).is_err());
    }

    #[test]
    fn a_comparison_adds_the_other_build() {
        let kinds = |only: &[&str]| {
            let only = only
                .iter()
                .map(|name| (*name).to_owned())
                .collect::<Vec<_>>();
            select(&only, true).map(|(kinds, _)| kinds)
        };
        assert_eq!(kinds(&[]).unwrap(), Kind::ALL);
        let plain = [Kind::Yardstick, Kind::Ws, Kind::OtherWs];
        assert_eq!(kinds(&["ws"]).unwrap(), plain);
        assert_eq!(kinds(&["yardstick"]).unwrap(), [Kind::Yardstick]);
        assert!(kinds(&["other ws"]).is_err());
    }
}

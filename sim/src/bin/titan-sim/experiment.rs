//! Experiments: numbers for the documents.

use crate::{End, show};
use std::fs;
use std::io;
use std::path::PathBuf;
use titan_sim::experiment::zero_rtt::{Mode, Report, Row, TOLERANCE, experiment};
use titan_sim::pure::{Kind, Violation};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    experiment: Experiment,
}

#[derive(Debug, clap::Subcommand)]
enum Experiment {
    /// The time to the first byte with and without early data, over many distances.
    ZeroRtt {
        /// Writes a chart of the sweep into this file.
        #[arg(long)]
        svg: Option<PathBuf>,
    },
}

pub(crate) fn experiments(args: &Args) -> io::Result<End> {
    match &args.experiment {
        Experiment::ZeroRtt { svg } => {
            let bar = show::bar(None);
            let report = experiment(|done, all| {
                bar.set_length(all as u64);
                bar.set_position(done as u64);
            });
            bar.finish_and_clear();
            table(&report);
            if let Some(path) = svg {
                fs::write(path, report.svg().map_err(io::Error::other)?)?;
                println!("\n  chart: {}", path.display());
            }
            Ok(judge(&report))
        }
    }
}

fn table(report: &Report) {
    println!("\n  Time to the first byte in milliseconds, from sending the CONNECT request.");
    println!("  Round trips: a client–POP, b POP–edge, c edge–target; d: resolving the name.\n");
    println!(
        "  {:<26}{:>5}{:>5}{:>5}{:>5}  {:>9}{:>9}{:>9}{:>9}   fast saves of",
        "", "a", "b", "c", "d", "classic", "truthful", "fast", "eager"
    );
    println!("  {:<26}{:>58}   classic  truthful", "", "");
    for (name, row) in &report.places {
        print_row(name, row);
    }
    println!();
    for row in report.sweep.iter().step_by(2) {
        print_row("sweep", row);
    }
    let formulas = Mode::ALL.map(|mode| {
        let worst = report
            .rows()
            .map(|row| row.of(mode) / mode.formula(row.delays) as f64)
            .fold(0.0, f64::max);
        format!("{} {worst:.4}", mode.name())
    });
    println!("\n  measured / formula, at worst: {}", formulas.join(", "));
    for (mode, than) in [
        (Mode::Fast, Mode::Classic),
        (Mode::Eager, Mode::Classic),
        (Mode::Fast, Mode::Truthful),
        (Mode::Eager, Mode::Truthful),
    ] {
        let (low, high) = report.saves(mode, than);
        let enough = report.rows().filter(|row| row.saves(mode, than) >= 0.3);
        println!(
            "  {} saves {:.0} to {:.0} % of {}; 30 % or more in {} of {} rows",
            mode.name(),
            low * 100.0,
            high * 100.0,
            than.name(),
            enough.count(),
            report.rows().count()
        );
    }
}

fn print_row(name: &str, row: &Row) {
    let delays = row.delays;
    print!(
        "  {name:<26}{:>5}{:>5}{:>5}{:>5}  ",
        delays.a, delays.b, delays.c, delays.d
    );
    for took in row.took {
        print!("{took:>9.0}");
    }
    println!(
        "   {:>5.0} %   {:>5.0} %",
        row.saves(Mode::Fast, Mode::Classic) * 100.0,
        row.saves(Mode::Fast, Mode::Truthful) * 100.0
    );
}

fn judge(report: &Report) -> End {
    let worst = report.worst();
    if worst <= 1.0 + TOLERANCE {
        return End::Well;
    }
    End::Violated(Violation {
        kind: Kind::WrongResult,
        invariant: None,
        message: format!("a time to the first byte is {worst:.3} of its formula"),
        by_check: true,
    })
}

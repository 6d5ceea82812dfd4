//! The operator's command.

use clap::{Parser, Subcommand};
use core::error::Error;
use std::io::Write as _;
use std::process::ExitCode;
use titan_runtime::telemetry::{self, LogFormat};
use titan_runtime::up::{Ready, UpArgs};
use titan_runtime::{daemon, up};

/// A self-hosted egress overlay.
#[derive(Debug, Parser)]
#[command(name = "titan", version, about)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run manager, POP and edges in one process, to try Titan out.
    Up(UpArgs),
}

fn main() -> ExitCode {
    let args = Args::parse();
    let Command::Up(args) = args.command;
    daemon::exit("titan", bring_up(args))
}

fn bring_up(args: UpArgs) -> Result<(), Box<dyn Error>> {
    telemetry::init(LogFormat::default())?;
    let json = args.json;
    daemon::block_on(up::run(args, move |ready| {
        let text = if json { line(ready) } else { guide(ready) };
        // Nobody may be reading.
        let _ = writeln!(std::io::stdout(), "{text}");
    }))?
}

fn line(ready: &Ready) -> String {
    serde_json::to_string(ready).unwrap_or_else(|error| error.to_string())
}

fn guide(ready: &Ready) -> String {
    let Ready {
        proxy,
        user,
        password,
        manager,
        admin_token,
        ..
    } = ready;
    let ca = match &ready.ca {
        Some(ca) => format!(" --cacert {}", ca.display()),
        None => String::new(),
    };
    format!(
        "\nTitan is up. Applications connect to socks5h://{proxy} as {user}. Try:\n\n  \
         curl --proxy socks5h://{user}:{password}@{proxy} https://example.com/\n\n\
         The manager answers at {manager}:\n\n  \
         curl{ca} -H 'Authorization: Bearer {admin_token}' {manager}/v1/nodes\n\n\
         Ctrl-C ends it. Edges refuse private and local targets unless --allow-target names them."
    )
}

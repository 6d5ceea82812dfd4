//! The operator's command.

use clap::{CommandFactory as _, Parser, Subcommand};
use core::error::Error;
use std::io::Write as _;
use std::process::ExitCode;
use titan_runtime::cli;
use titan_runtime::config::Source;
use titan_runtime::env::tokio::TokioEnv;
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
    #[command(flatten)]
    Ask(cli::Command),
    /// Print the completions of a shell, as in `titan completions bash > /etc/bash_completion.d/titan`.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

fn main() -> ExitCode {
    let outcome = run(Args::parse().command);
    let code = outcome.as_ref().err().and_then(|error| {
        let error = error.downcast_ref::<cli::CliError>()?;
        Some(ExitCode::from(error.exit_code()))
    });
    let exit = daemon::exit("titan", outcome);
    code.unwrap_or(exit)
}

fn run(command: Command) -> Result<(), Box<dyn Error>> {
    match command {
        Command::Up(args) => bring_up(args),
        Command::Ask(command) => {
            let environment = Source::of_process(None, Vec::new()).environment;
            let env = TokioEnv::new();
            let mut out = std::io::stdout();
            let asking = cli::run(&env, &environment, command, &mut out);
            Ok(daemon::block_on(asking)??)
        }
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Args::command(), "titan", &mut std::io::stdout());
            Ok(())
        }
    }
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

//! The operator's command.

use clap::{CommandFactory as _, Parser, Subcommand};
use core::error::Error;
use std::io::Write as _;
use std::process::ExitCode;
use titan_runtime::cli;
use titan_runtime::up::{Ready, UpArgs};
use titan_runtime::{daemon, program};

/// What the help ends with.
const FIRST_STEPS: &str = "\
To try Titan out:  titan up
To ask a manager, say once where it is and who asks:
  export TITAN__MANAGER=https://manager.example:41004 TITAN__CA=/etc/titan/ca.pem
  export TITAN__TOKEN_FILE=/var/lib/titan/admin.token
and then, for instance:
  titan user create alice --expires-at +30d --download-rate 10Mbit
  titan node list
  titan pop drain pop-1
Exit codes: 0 done, 1 no, 2 a wrong command line, 3 manager or store not reached, 4 token not accepted,
5 no such thing, 6 refused, 7 the record of acts does not verify.";

/// Let applications out through other hosts: try it, and keep users, nodes and POPs of a running site.
#[derive(Debug, Parser)]
#[command(name = "titan", version, about, after_help = FIRST_STEPS)]
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
    daemon::main("titan", || run(Args::parse().command), exit_code)
}

fn exit_code(error: &(dyn Error + 'static)) -> Option<u8> {
    Some(error.downcast_ref::<cli::CliError>()?.exit_code())
}

fn run(command: Command) -> Result<(), Box<dyn Error>> {
    match command {
        Command::Up(args) => program::up::run(args, announce),
        Command::Ask(command) => program::ask::run(command),
        Command::Completions { shell } => {
            // Into memory: it would panic where the reader has seen enough.
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Args::command(), "titan", &mut text);
            Ok(daemon::print(&String::from_utf8_lossy(&text))?)
        }
    }
}

fn announce(args: &UpArgs, ready: &Ready) {
    let text = if args.json { line(ready) } else { guide(ready) };
    // Nobody may be reading.
    let _ = writeln!(std::io::stdout(), "{text}");
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

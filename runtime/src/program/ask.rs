//! One command to a manager.

use crate::cli::{self, Command};
use crate::config::Source;
use crate::daemon;
use crate::env::tokio::TokioEnv;
use core::error::Error;

/// Runs a command; what it says goes to standard output.
///
/// # Errors
/// Fails as [`cli::run`] does.
pub fn run(command: Command) -> Result<(), Box<dyn Error>> {
    let environment = Source::of_process(None, Vec::new()).environment;
    let env = TokioEnv::new();
    let mut out = std::io::stdout();
    Ok(daemon::block_on(cli::run(
        &env,
        &environment,
        command,
        &mut out,
    ))??)
}

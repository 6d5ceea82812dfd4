//! Manager, POP and edges in one process.

use crate::daemon;
use crate::telemetry::{self, LogFormat};
use crate::up::{self, Ready, UpArgs};
use core::error::Error;

/// Brings them up, says so, and ends them at a signal.
///
/// # Errors
/// Fails with what kept one of them from running.
pub fn run(args: UpArgs, announce: fn(&UpArgs, &Ready)) -> Result<(), Box<dyn Error>> {
    telemetry::init(LogFormat::default())?;
    let told = args.clone();
    daemon::block_on(up::run(args, |ready| announce(&told, ready)))?
}

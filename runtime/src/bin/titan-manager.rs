//! The manager daemon.

use clap::Parser as _;
use std::process::ExitCode;
use titan_runtime::config::ManagerArgs;
use titan_runtime::{daemon, program};

fn main() -> ExitCode {
    daemon::main(
        "titan-manager",
        || program::manager::run(&ManagerArgs::parse()),
        |_| None,
    )
}

//! The edge daemon.

use clap::Parser as _;
use std::process::ExitCode;
use titan_runtime::config::EdgeArgs;
use titan_runtime::{daemon, program};

fn main() -> ExitCode {
    daemon::main(
        "titan-edge",
        || program::edge::run(&EdgeArgs::parse()),
        |_| None,
    )
}

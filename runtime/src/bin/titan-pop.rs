//! The POP daemon.

use clap::Parser as _;
use std::process::ExitCode;
use titan_runtime::config::PopArgs;
use titan_runtime::{daemon, program};

fn main() -> ExitCode {
    daemon::main(
        "titan-pop",
        || program::pop::run(&PopArgs::parse()),
        |_| None,
    )
}

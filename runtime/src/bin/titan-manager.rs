//! The manager daemon.

use clap::Parser as _;
use core::error::Error;
use std::process::ExitCode;
use titan_runtime::config::{ManagerArgs, ManagerConfig};
use titan_runtime::env::tokio::TokioEnv;
use titan_runtime::store::AnyStore;
use titan_runtime::{daemon, data, manager, telemetry};
use tokio::sync::oneshot;

fn main() -> ExitCode {
    daemon::main("titan-manager", || run(&ManagerArgs::parse()), |_| None)
}

fn run(args: &ManagerArgs) -> Result<(), Box<dyn Error>> {
    if args.print_example {
        return Ok(daemon::print(ManagerConfig::EXAMPLE)?);
    }
    let config = ManagerConfig::load(args.source())?;
    telemetry::init(config.log_format)?;
    data::check(&config.data)?;
    let store = AnyStore::open(&config.store, &config.data)?;
    let (ready, _) = oneshot::channel();
    Ok(daemon::block_on(manager::run(
        TokioEnv::new(),
        config,
        store,
        ready,
        daemon::interrupted(),
    ))??)
}

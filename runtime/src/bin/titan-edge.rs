//! The edge daemon.

use clap::Parser as _;
use core::error::Error;
use std::process::ExitCode;
use titan_runtime::config::{EdgeArgs, EdgeConfig};
use titan_runtime::descriptors::Descriptors;
use titan_runtime::env::tokio::TokioEnv;
use titan_runtime::tls::client_config;
use titan_runtime::{daemon, edge, telemetry};
use tokio::sync::mpsc;

fn main() -> ExitCode {
    daemon::main("titan-edge", || run(&EdgeArgs::parse()), |_| None)
}

fn run(args: &EdgeArgs) -> Result<(), Box<dyn Error>> {
    if args.print_example {
        return Ok(daemon::print(EdgeConfig::EXAMPLE)?);
    }
    let mut config = EdgeConfig::load(args.source())?;
    telemetry::init(config.log_format)?;
    Descriptors::raise().fit_edge(&mut config);
    let tls = match &config.ca {
        Some(ca) => Some(client_config(Some(ca))?),
        None => None,
    };
    let (attached, _) = mpsc::channel(1);
    let env = TokioEnv::new();
    Ok(daemon::block_on(daemon::until_signalled(|stopping| {
        edge::run_copies(env, config, tls, attached, stopping)
    }))??)
}

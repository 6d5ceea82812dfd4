//! The POP daemon.

use clap::Parser as _;
use core::error::Error;
use std::process::ExitCode;
use titan_runtime::config::{PopArgs, PopConfig};
use titan_runtime::descriptors::Descriptors;
use titan_runtime::env::tokio::TokioEnv;
use titan_runtime::store::AnyStore;
use titan_runtime::tls::server_config;
use titan_runtime::{daemon, data, pop, telemetry};
use tokio::sync::{mpsc, oneshot};

fn main() -> ExitCode {
    daemon::main("titan-pop", || run(&PopArgs::parse()), |_| None)
}

fn run(args: &PopArgs) -> Result<(), Box<dyn Error>> {
    if args.print_example {
        return Ok(daemon::print(PopConfig::EXAMPLE)?);
    }
    let mut config = PopConfig::load(args.source())?;
    telemetry::init(config.log_format)?;
    Descriptors::raise().fit_pop(&mut config);
    data::check(&config.data)?;
    let store = AnyStore::open_shared(&config.store, &config.data)?;
    let tls = match &config.tls {
        Some(files) => Some(server_config(&files.cert, &files.key)?),
        None => None,
    };
    let (ready, _) = oneshot::channel();
    let (_, census) = mpsc::channel(1);
    let env = TokioEnv::new();
    Ok(daemon::block_on(daemon::until_signalled(|stopping| {
        pop::run(env, config, store, tls, ready, census, stopping)
    }))??)
}

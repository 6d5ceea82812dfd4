//! The POP.

use crate::config::{PopArgs, PopConfig};
use crate::descriptors::Descriptors;
use crate::env::tokio::TokioEnv;
use crate::store::AnyStore;
use crate::tls::server_config;
use crate::{daemon, data, memory, pop, telemetry};
use core::error::Error;
use tokio::sync::{mpsc, oneshot};

/// Runs a POP until a signal ends it.
///
/// # Errors
/// Fails with what is wrong with its configuration, or with what keeps it from running.
pub fn run(args: &PopArgs) -> Result<(), Box<dyn Error>> {
    if args.print_example {
        return Ok(daemon::print(PopConfig::EXAMPLE)?);
    }
    let mut config = PopConfig::load(args.source())?;
    telemetry::init(config.log_format)?;
    Descriptors::raise().fit_pop(&mut config);
    memory::fit_pop(&mut config.limits);
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

//! The manager.

use crate::config::{ManagerArgs, ManagerConfig};
use crate::descriptors::Descriptors;
use crate::env::tokio::TokioEnv;
use crate::store::AnyStore;
use crate::{daemon, data, manager, telemetry};
use core::error::Error;
use tokio::sync::oneshot;

/// Runs a manager until a signal ends it.
///
/// # Errors
/// Fails with what is wrong with its configuration, or with what keeps it from running.
pub fn run(args: &ManagerArgs) -> Result<(), Box<dyn Error>> {
    if args.print_example {
        return Ok(daemon::print(ManagerConfig::EXAMPLE)?);
    }
    let mut config = ManagerConfig::load(args.source())?;
    telemetry::init(config.log_format)?;
    Descriptors::raise().fit_manager(&mut config);
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

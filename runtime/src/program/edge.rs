//! The edge.

use crate::config::{EdgeArgs, EdgeConfig};
use crate::descriptors::Descriptors;
use crate::env::tokio::TokioEnv;
use crate::tls::client_config;
use crate::{daemon, edge, memory, telemetry};
use core::error::Error;
use tokio::sync::mpsc;

/// Runs an edge until a signal ends it.
///
/// # Errors
/// Fails with what is wrong with its configuration, or with what keeps it from running.
pub fn run(args: &EdgeArgs) -> Result<(), Box<dyn Error>> {
    if args.print_example {
        return Ok(daemon::print(EdgeConfig::EXAMPLE)?);
    }
    let mut config = EdgeConfig::load(args.source())?;
    telemetry::init(config.log_format)?;
    Descriptors::raise().fit_edge(&mut config);
    memory::fit_edge(&mut config);
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

//! A runtime in virtual time.

use super::config::Config;
use super::network::Network;
use tokio::runtime::Builder;
use tokio::task::LocalSet;

/// Runs a scenario in a new network, on this thread and in virtual time.
///
/// Time stands still while any task has something to do, and then jumps to the next timer. Tasks
/// that the scenario leaves behind are dropped when it returns.
///
/// # Panics
/// Panics if the scenario does, or within another runtime.
pub fn run<T>(config: Config, scenario: impl AsyncFnOnce(Network) -> T) -> T {
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without I/O needs nothing of the system");
    LocalSet::new().block_on(
        &runtime,
        async move { scenario(Network::new(config)).await },
    )
}

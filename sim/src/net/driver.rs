//! What makes a world's events happen.

use super::world::{Config, Shared, World};
use core::future::pending;
use std::sync::{Arc, Weak};
use tokio::runtime::Builder;
use tokio::sync::Notify;
use tokio::task::LocalSet;
use tokio::time;

/// Runs a scenario in a new world, on this thread and in virtual time.
///
/// Time stands still while any task has something to do, and then jumps to the next timer. Tasks
/// that the scenario leaves behind are dropped when it returns.
///
/// # Panics
/// Panics if the scenario does, or within another runtime.
pub fn run<T>(config: Config, scenario: impl AsyncFnOnce(World) -> T) -> T {
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without I/O needs nothing of the system");
    LocalSet::new().block_on(&runtime, async move { scenario(World::new(config)).await })
}

/// Lets events happen when they are due, as long as the world exists.
pub(super) async fn drive(shared: Weak<Shared>, sooner: Arc<Notify>) {
    loop {
        let Some(world) = World::upgrade(&shared) else {
            return;
        };
        let next = world.with(|state| state.next_at());
        let next = next.map(|at| world.tokio_instant(at));
        // A world that only its driver holds is over.
        drop(world);
        let due = async {
            match next {
                Some(at) => time::sleep_until(at).await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            () = sooner.notified() => {}
            () = due => {}
        }
    }
}

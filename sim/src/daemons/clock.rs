//! The time of a run.

use core::cell::Cell;
use core::time::Duration;
use tokio::runtime::Handle;

/// The Unix time at the start of every run: 2025-01-01.
pub(super) const UNIX_EPOCH: Duration = Duration::from_secs(1_735_689_600);

thread_local! {
    /// The time of the last step, for code that runs on no host.
    static STEPPED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// Notes how far the simulation has come.
pub(super) fn stepped(to: Duration) {
    STEPPED.set(to);
}

/// Returns the time since the run began: the host's whose code runs, or that of the last step.
pub(super) fn now() -> Duration {
    let stepped = || STEPPED.try_with(Cell::get).unwrap_or_default();
    // Where tasks are dropped with their runtime, turmoil's answer would depend on the real time.
    if Handle::try_current().is_err() {
        return stepped();
    }
    turmoil::sim_elapsed().unwrap_or_else(stepped)
}

//! A process: a daemon that can be killed with everything it has started.

use core::future::Future;
use titan_runtime::daemon::{Stop, Stopping};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle, LocalSet, spawn_local};

/// A daemon and its tasks. Dropping it kills them.
#[derive(Debug)]
pub(super) struct Process {
    stop: watch::Sender<Stop>,
    task: JoinHandle<Result<(), String>>,
}

impl Process {
    /// Starts what `run` returns; it is handed what tells it to end.
    pub(super) fn start<F: Future<Output = Result<(), String>> + 'static>(
        run: impl FnOnce(Stopping) -> F,
    ) -> Self {
        let (stop, stopping) = watch::channel(Stop::No);
        // In a set of its own, so that all of its tasks go with it.
        let tasks = LocalSet::new();
        let daemon = run(stopping);
        let task = spawn_local(async move { tasks.run_until(daemon).await });
        Self { stop, task }
    }

    /// Tells it to end, as signals do.
    pub(super) fn tell(&self, how: Stop) {
        self.stop.send_replace(how);
    }

    /// Returns whether it was told to end.
    pub(super) fn is_told(&self) -> bool {
        *self.stop.borrow() != Stop::No
    }

    /// Waits until it ends; returns how. Cancel-safe.
    pub(super) async fn ended(&mut self) -> Result<(), String> {
        let outcome = (&mut self.task).await;
        outcome.unwrap_or_else(|error| Err(error.to_string()))
    }

    /// Drops it and its tasks at once.
    pub(super) async fn kill(mut self) {
        self.task.abort();
        let ended: Result<_, JoinError> = (&mut self.task).await;
        // It may have ended in this very step.
        drop(ended);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.task.abort();
    }
}

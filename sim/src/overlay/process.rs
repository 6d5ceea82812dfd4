//! A daemon that can be killed with everything it has started.

use core::future::Future;
use titan_runtime::daemon::{Stop, Stopping};
use tokio::sync::watch;
use tokio::task::{JoinHandle, LocalSet, spawn_local};

/// A daemon and its tasks. Dropping it kills them.
#[derive(Debug)]
pub struct Process {
    stop: watch::Sender<Stop>,
    task: JoinHandle<()>,
}

impl Process {
    /// Starts what `run` returns; it is handed what tells it to stop.
    pub fn start<F: Future<Output = ()> + 'static>(run: impl FnOnce(Stopping) -> F) -> Self {
        let (stop, stopping) = watch::channel(Stop::No);
        // In a set of its own, so that all of its tasks go with it.
        let tasks = LocalSet::new();
        let daemon = run(stopping);
        let task = spawn_local(async move { tasks.run_until(daemon).await });
        Self { stop, task }
    }

    /// Asks the daemon to stop at once and waits until it has.
    pub async fn stop(self) {
        self.stop.send_replace(Stop::Now);
        self.ended().await;
    }

    /// Asks the daemon to drain.
    pub fn drain(&self) {
        self.stop.send_replace(Stop::Drain);
    }

    /// Waits until the daemon has ended by itself.
    pub async fn ended(mut self) {
        (&mut self.task).await.expect("a daemon stops in order");
    }

    /// Tells whether it has.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.task.is_finished()
    }

    /// Drops the daemon and its tasks at once.
    pub async fn kill(mut self) {
        self.task.abort();
        let ended = (&mut self.task).await;
        assert!(
            ended.is_err_and(|error| error.is_cancelled()),
            "the daemon had ended by itself"
        );
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.task.abort();
    }
}

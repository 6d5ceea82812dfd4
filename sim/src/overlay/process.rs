//! A daemon that can be killed with everything it has started.

use core::future::Future;
use tokio::sync::watch;
use tokio::task::{JoinHandle, LocalSet, spawn_local};

/// A daemon and its tasks. Dropping it kills them.
#[derive(Debug)]
pub struct Process {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Process {
    /// Starts what `run` returns; it is handed what tells it to stop.
    pub fn start<F: Future<Output = ()> + 'static>(
        run: impl FnOnce(watch::Receiver<bool>) -> F,
    ) -> Self {
        let (stop, stopping) = watch::channel(false);
        // In a set of its own, so that all of its tasks go with it.
        let tasks = LocalSet::new();
        let daemon = run(stopping);
        let task = spawn_local(async move { tasks.run_until(daemon).await });
        Self { stop, task }
    }

    /// Asks the daemon to stop and waits until it has.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        (&mut self.task).await.expect("a daemon stops in order");
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

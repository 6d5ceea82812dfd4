//! A process: a daemon that can be killed with everything it has started.

use core::cell::RefCell;
use core::fmt;
use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use std::rc::Rc;
use titan_runtime::daemon::{Stop, Stopping};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle, LocalSet, spawn_local};

/// Why a process has ended that was not told to.
#[derive(Debug)]
pub(super) enum Failed {
    /// It was a POP whose id another process has.
    TakenOver,
    /// Something else.
    Other(String),
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TakenOver => f.write_str("another process has its id"),
            Self::Other(message) => f.write_str(message),
        }
    }
}

/// A daemon and its tasks. Dropping it kills them.
#[derive(Debug)]
pub(super) struct Process {
    stop: watch::Sender<Stop>,
    gait: Rc<RefCell<Gait>>,
    task: JoinHandle<Result<(), Failed>>,
}

/// Whether a process runs.
#[derive(Debug, Default)]
enum Gait {
    #[default]
    Runs,
    /// It does not, and this is to be woken when it does again.
    Hangs(Option<Waker>),
}

impl Gait {
    /// Tells whether the process stands still; it is woken when it goes on.
    fn hangs(&mut self, context: &Context<'_>) -> bool {
        match self {
            Self::Runs => false,
            Self::Hangs(waker) => {
                *waker = Some(context.waker().clone());
                true
            }
        }
    }
}

impl Process {
    /// Starts what `run` returns; it is handed what tells it to end.
    pub(super) fn start<F: Future<Output = Result<(), Failed>> + 'static>(
        run: impl FnOnce(Stopping) -> F,
    ) -> Self {
        let (stop, stopping) = watch::channel(Stop::No);
        // In a set of its own, so that all of its tasks go with it.
        let tasks = LocalSet::new();
        let daemon = run(stopping);
        let gait = Rc::<RefCell<Gait>>::default();
        let own = Rc::clone(&gait);
        let task = spawn_local(async move {
            let mut daemon = pin!(tasks.run_until(daemon));
            poll_fn(|context| {
                if own.borrow_mut().hangs(context) {
                    return Poll::Pending;
                }
                daemon.as_mut().poll(context)
            })
            .await
        });
        Self { stop, gait, task }
    }

    /// Tells it to end, as signals do.
    pub(super) fn tell(&self, how: Stop) {
        self.stop.send_replace(how);
    }

    /// Lets it stand still, or go on.
    pub(super) fn hang(&self, hangs: bool) {
        let next = if hangs { Gait::Hangs(None) } else { Gait::Runs };
        if let Gait::Hangs(Some(waker)) = self.gait.replace(next) {
            waker.wake();
        }
    }

    /// Returns whether it was told to end.
    pub(super) fn is_told(&self) -> bool {
        *self.stop.borrow() != Stop::No
    }

    /// Waits until it ends; returns how. Cancel-safe.
    pub(super) async fn ended(&mut self) -> Result<(), Failed> {
        let outcome = (&mut self.task).await;
        outcome.unwrap_or_else(|error| Err(Failed::Other(error.to_string())))
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

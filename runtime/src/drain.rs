//! Ending a daemon without cutting off what runs (requirement B6).

use crate::daemon::{Stop, Stopping, told};
use crate::env::Env;
use core::cell::Cell;
use core::time::Duration;
use tokio::sync::{Notify, watch};

/// How far a daemon is on its way out.
#[derive(Debug, Default)]
pub(crate) struct Drain {
    begun: watch::Sender<bool>,
    /// The core has nothing left that would be cut off.
    core_done: Cell<bool>,
    ordered: Notify,
    moved: Notify,
}

impl Drain {
    /// Gives the order that a signal would give.
    #[cfg(feature = "pop")]
    pub(crate) fn order(&self) {
        self.ordered.notify_one();
    }

    /// Notes that the core has drained.
    pub(crate) fn core_is_done(&self) {
        self.core_done.set(true);
        self.moved.notify_one();
    }

    #[cfg(feature = "pop")]
    pub(crate) fn is_begun(&self) -> bool {
        *self.begun.borrow()
    }

    /// Waits until the daemon drains.
    #[cfg(feature = "pop")]
    pub(crate) async fn begun(&self) {
        // An error: the sender is gone, and it is here.
        let _ = self.begun.subscribe().wait_for(|begun| *begun).await;
    }

    /// Returns when the daemon has to end: told to end at once, or told to drain and everything is
    /// over, or not in time. `begin` makes it drain; `flows` counts what runs outside of the core.
    pub(crate) async fn watch<E: Env>(
        &self,
        env: &E,
        stopping: &mut Stopping,
        timeout: Duration,
        flows: &Count,
        begin: impl FnOnce(),
    ) {
        tokio::select! {
            biased;
            () = told(stopping, Stop::Drain) => {}
            () = self.ordered.notified() => {}
        }
        let drained = async {
            self.begun.send_replace(true);
            begin();
            tracing::info!(?timeout, flows = flows.now(), "draining");
            tokio::select! {
                biased;
                () = self.finished(flows) => tracing::info!("drained"),
                () = env.sleep_until(env.now() + timeout) => {
                    tracing::warn!(flows = flows.now(), "the time to drain is over");
                }
            }
        };
        tokio::select! {
            biased;
            () = told(stopping, Stop::Now) => {}
            () = drained => {}
        }
    }

    async fn finished(&self, flows: &Count) {
        while !self.core_done.get() || flows.now() > 0 {
            tokio::select! {
                biased;
                () = self.moved.notified() => {}
                () = flows.freed.notified() => {}
            }
        }
    }
}

/// How many of something there are.
#[derive(Debug, Default)]
pub(crate) struct Count {
    now: Cell<usize>,
    freed: Notify,
}

impl Count {
    pub(crate) const fn now(&self) -> usize {
        self.now.get()
    }

    /// Takes a place below `max`, if there is one, for as long as what is returned lives.
    pub(crate) fn take(&self, max: usize) -> Option<Counted<'_>> {
        if self.now.get() >= max {
            return None;
        }
        self.now.set(self.now.get() + 1);
        Some(Counted(self))
    }
}

/// A place in a [`Count`].
#[derive(Debug)]
pub(crate) struct Counted<'a>(&'a Count);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.now.set(self.0.now.get() - 1);
        self.0.freed.notify_one();
    }
}

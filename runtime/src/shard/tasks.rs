//! The tasks of a shard, all owned.

use core::cell::{Cell, RefCell};
use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// A set of local tasks. Dropping the last handle ends them all.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tasks(Rc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    set: RefCell<JoinSet<()>>,
    /// A task of which there is only one, and that panicked.
    failed: Cell<Option<&'static str>>,
    failing: Notify,
}

impl Tasks {
    /// Starts a task and forgets those that have ended.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        let mut set = self.0.set.borrow_mut();
        while let Some(ended) = set.try_join_next() {
            if let Err(error) = ended
                && error.is_panic()
            {
                // The hook has logged it; a fault of one flow is not one of all.
                tracing::error!(%error, "a task failed");
            }
        }
        set.spawn_local(task);
    }

    /// Starts a task without which the daemon is none. If it panics, [`failed`](Self::failed) tells.
    pub(crate) fn spawn_unique(
        &self,
        name: &'static str,
        task: impl Future<Output = ()> + 'static,
    ) {
        // The set owns the task, so the task must not own the set.
        let inner = Rc::downgrade(&self.0);
        self.spawn(async move {
            let mut task = pin!(task);
            let panicked =
                poll_fn(
                    |cx| match catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(cx))) {
                        Ok(Poll::Pending) => Poll::Pending,
                        Ok(Poll::Ready(())) => Poll::Ready(false),
                        Err(_) => Poll::Ready(true),
                    },
                );
            if panicked.await
                && let Some(inner) = inner.upgrade()
            {
                inner.failed.set(Some(name));
                inner.failing.notify_one();
            }
        });
    }

    /// Waits until a unique task has panicked, and returns its name.
    pub(crate) async fn failed(&self) -> &'static str {
        loop {
            if let Some(name) = self.0.failed.get() {
                return name;
            }
            self.0.failing.notified().await;
        }
    }

    /// Returns how many tasks run.
    pub(crate) fn len(&self) -> usize {
        let mut set = self.0.set.borrow_mut();
        while set.try_join_next().is_some() {}
        set.len()
    }

    /// Ends all tasks and waits for them.
    pub(crate) async fn shut_down(&self) {
        let mut set = core::mem::take(&mut *self.0.set.borrow_mut());
        set.shutdown().await;
    }
}

#[cfg(test)]
mod tests {
    use super::Tasks;
    use core::future::pending;
    use tokio::task::LocalSet;

    #[tokio::test]
    async fn only_a_unique_task_that_panics_is_a_failure() {
        let run = async {
            let tasks = Tasks::default();
            tasks.spawn(async { panic!("on purpose: one of many") });
            tasks.spawn_unique("ends", async {});
            tasks.spawn_unique("goes on", pending());
            let watch = tokio::time::timeout(core::time::Duration::from_millis(20), tasks.failed());
            assert!(watch.await.is_err());
            tasks.spawn_unique("fails", async { panic!("on purpose: the only one") });
            assert_eq!(tasks.failed().await, "fails");
            tasks.shut_down().await;
        };
        LocalSet::new().run_until(run).await;
    }
}

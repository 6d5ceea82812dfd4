//! The tasks of a shard, all owned.

use core::cell::RefCell;
use core::future::Future;
use std::rc::Rc;
use tokio::task::JoinSet;

/// A set of local tasks. Dropping the last handle ends them all.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tasks(Rc<RefCell<JoinSet<()>>>);

impl Tasks {
    /// Starts a task and forgets those that have ended.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        let mut set = self.0.borrow_mut();
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

    /// Returns how many tasks run.
    pub(crate) fn len(&self) -> usize {
        let mut set = self.0.borrow_mut();
        while set.try_join_next().is_some() {}
        set.len()
    }

    /// Ends all tasks and waits for them.
    pub(crate) async fn shut_down(&self) {
        let mut set = core::mem::take(&mut *self.0.borrow_mut());
        set.shutdown().await;
    }
}

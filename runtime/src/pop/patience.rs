//! How long a POP that ends waits for its store.

use crate::daemon::{Stop, Stopping, told};
use crate::env::Env;
use core::time::Duration;
use titan_core::time::Instant;

/// How long the store may take to hear the last of a POP, usage and leave together.
const ENDING: Duration = Duration::from_secs(3);

/// And of one that is to end at once.
const HURRY: Duration = Duration::from_secs(1);

/// The end of the wait for a store, however many calls there are.
#[derive(Debug)]
pub(super) struct Patience<'a, E> {
    env: &'a E,
    stopping: Stopping,
    until: Instant,
    hurried: bool,
}

impl<'a, E: Env> Patience<'a, E> {
    /// Begins to wait.
    pub(super) fn new(env: &'a E, stopping: Stopping) -> Self {
        Self {
            env,
            stopping,
            until: env.now() + ENDING,
            hurried: false,
        }
    }

    /// Returns what the store says; none once it takes too long.
    pub(super) async fn wait<T>(&mut self, call: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            answer = call => Some(answer),
            () = self.over() => None,
        }
    }

    async fn over(&mut self) {
        if !self.hurried {
            tokio::select! {
                biased;
                () = told(&mut self.stopping, Stop::Now) => {}
                () = self.env.sleep_until(self.until) => return,
            }
            self.hurried = true;
            self.until = self.until.min(self.env.now() + HURRY);
        }
        self.env.sleep_until(self.until).await;
    }
}

//! A store that can be slow, fail and be away.

use core::time::Duration;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use titan_core::rng::Rng;
use titan_runtime::store::{Embedded, Gate, Gated, StoreError};
use tokio::time;

/// How long an operation waits for a store that is away.
const PATIENCE: Duration = Duration::from_secs(2);

/// The store of all daemons of a run: in memory, behind the weather.
pub(super) type FaultyStore = Gated<Embedded, Weather>;

/// How the store does. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Weather(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    rng: Rng,
    trouble: Trouble,
}

/// What is wrong with the store.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Trouble {
    /// Operations of two hundred that fail before they are done, and as many whose answer is lost.
    pub(super) errors_percent: u64,
    /// How long each takes.
    pub(super) delay: Duration,
    /// Nothing is done at all.
    pub(super) away: bool,
}

impl Weather {
    pub(super) fn new(seed: [u8; 32]) -> Self {
        Self(Arc::new(Mutex::new(State {
            rng: Rng::new(seed),
            trouble: Trouble::default(),
        })))
    }

    pub(super) fn set_trouble(&self, trouble: Trouble) {
        self.state().trouble = trouble;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns what is wrong now, and whether half of an error happens.
    fn draw(&self) -> (Trouble, bool) {
        let mut state = self.state();
        let trouble = state.trouble;
        let fails = trouble.errors_percent > 0 && state.rng.below(200) < trouble.errors_percent;
        (trouble, fails)
    }
}

impl Gate for Weather {
    async fn before(&self, _operation: &'static str) -> Result<(), StoreError> {
        let (trouble, fails) = self.draw();
        let delay = if trouble.away {
            PATIENCE
        } else {
            trouble.delay
        };
        if !delay.is_zero() {
            time::sleep(delay).await;
        }
        if trouble.away || fails {
            return Err(failed());
        }
        Ok(())
    }

    async fn after(&self, _operation: &'static str) -> Result<(), StoreError> {
        let (_, fails) = self.draw();
        if fails {
            return Err(failed());
        }
        core::future::ready(Ok(())).await
    }
}

fn failed() -> StoreError {
    StoreError::Unavailable("the scenario says so".to_owned())
}

//! A store that can be slow, fail and be away.

use super::clock;
use super::units::{Span, Time};
use core::future::Future;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use titan_core::rng::Rng;
use titan_runtime::store::{Embedded, Gate, Gated, Pops as _, StoreError};
use tokio::time;

/// How long an operation waits for a store that does not answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long a server that is new waits for POPs to tell it again: those that have not by then are gone, as are
/// their leases.
const UNTOLD_MAX: Duration = Duration::from_secs(90);

/// The store of all daemons of a run: in memory, behind the weather.
pub(super) type FaultyStore = Gated<Embedded, Weather>;

/// How the store does. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Weather(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    rng: Rng,
    trouble: Trouble,
    /// Since when nothing is wrong, if so.
    calm_since: Option<Duration>,
    /// A second server that hears nothing any more.
    replica: Option<Embedded>,
    /// How many POPs a server that is new waits for before it grants, and until when.
    untold: (usize, Duration),
}

/// What is wrong with the store.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Trouble {
    /// Operations of two hundred that fail before they are done, and as many after.
    pub(super) errors_percent: u64,
    /// Operations of a hundred that are not done, and whoever asked waits in vain.
    pub(super) lost_requests_percent: u64,
    /// Operations of a hundred that are done and not answered.
    pub(super) lost_answers_percent: u64,
    /// How long each takes.
    pub(super) delay: Span,
    /// Nothing is done at all.
    pub(super) away: bool,
}

impl Weather {
    pub(super) fn new(seed: [u8; 32]) -> Self {
        Self(Arc::new(Mutex::new(State {
            rng: Rng::new(seed),
            trouble: Trouble::default(),
            calm_since: Some(Duration::ZERO),
            replica: None,
            untold: (0, Duration::ZERO),
        })))
    }

    pub(super) fn set_trouble(&self, trouble: Trouble) {
        let mut state = self.state();
        state.trouble = trouble;
        state.calm_since = (trouble == Trouble::default()).then(clock::now);
    }

    /// From now on the second server of a store hears nothing any more.
    pub(super) fn fall_behind(&self, store: &Embedded) {
        let replica = store.replica().expect("it is in memory");
        self.state().replica = Some(replica);
    }

    /// Refuses a grant of a server that waits for POPs.
    fn wait_for_pops(&self, operation: &str) -> Result<(), StoreError> {
        let (left, until) = self.state().untold;
        if operation == "lease" && left > 0 && clock::now() < until {
            return Err(failed());
        }
        Ok(())
    }

    /// Counts a POP that has told everything; whoever heard no answer says so again.
    fn hear_of_pops(&self, operation: &str) {
        if operation == "retold" {
            let (left, _) = &mut self.state().untold;
            *left = left.saturating_sub(1);
        }
    }

    /// Returns since when nothing is wrong; none while something is.
    pub(super) fn calm_since(&self) -> Option<Duration> {
        self.state().calm_since
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Draws what happens to an operation on its way.
    fn draw(&self, way: Way) -> Fate {
        let mut state = self.state();
        let trouble = state.trouble;
        if trouble.away {
            return Fate::Silence;
        }
        let mut happens = |share, of| share > 0 && state.rng.below(of) < share;
        let fails = happens(trouble.errors_percent, 200);
        let silent = match way {
            Way::There => happens(trouble.lost_requests_percent, 100),
            Way::Back => happens(trouble.lost_answers_percent, 100),
        };
        if fails || (silent && way == Way::Back && happens(1, 2)) {
            return Fate::Error;
        }
        if silent {
            return Fate::Silence;
        }
        match way {
            Way::There if trouble.delay != Span::default() => {
                Fate::Delay(trouble.delay.draw(&mut state.rng))
            }
            Way::There | Way::Back => Fate::Delay(Time::default()),
        }
    }

    async fn pass(&self, way: Way) -> Result<(), StoreError> {
        match self.draw(way) {
            Fate::Delay(delay) => {
                if delay > Time::default() {
                    time::sleep(delay.duration()).await;
                }
                Ok(())
            }
            Fate::Error => Err(failed()),
            Fate::Silence => {
                time::sleep(PATIENCE).await;
                Err(failed())
            }
        }
    }
}

/// Which way a message of an operation goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    There,
    Back,
}

/// What becomes of it.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Delay(Time),
    Error,
    /// Whoever asked waits in vain.
    Silence,
}

impl Gate for Weather {
    async fn before(&self, operation: &'static str) -> Result<(), StoreError> {
        self.pass(Way::There).await?;
        self.wait_for_pops(operation)
    }

    async fn after(&self, operation: &'static str) -> Result<(), StoreError> {
        self.pass(Way::Back).await?;
        self.hear_of_pops(operation);
        Ok(())
    }
}

/// The second server of a store takes over, if it has not yet.
pub(super) fn take_over(store: &FaultyStore) {
    let mut state = store.gate.state();
    let Some(replica) = state.replica.take() else {
        return;
    };
    store.store.fail_over(&replica).expect("both are in memory");
    let registered = at_once(store.store.pops()).expect("memory can be read");
    let now = clock::now();
    state.untold = (registered.len(), now + UNTOLD_MAX);
    state.calm_since = state.calm_since.map(|_| now);
}

fn failed() -> StoreError {
    StoreError::Unavailable("the scenario says so".to_owned())
}

/// Returns what a future has at once, as those of the store in memory have.
pub(super) fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(out) => out,
        Poll::Pending => panic!("it has to wait"),
    }
}

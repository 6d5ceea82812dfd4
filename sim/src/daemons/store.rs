//! A store that can be slow, fail and be away.

use core::future::Future;
use core::time::Duration;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use titan_core::rng::Rng;
use titan_runtime::store::{
    Embedded, Listing, NewUser, NodeEntry, Page, PopEntry, PopStatus, Store, StoreError, User,
    UserChange,
};
use tokio::time;

/// How long an operation waits for a store that is away.
const PATIENCE: Duration = Duration::from_secs(2);

/// The store of all daemons of a run.
#[derive(Clone)]
pub(super) struct FaultyStore {
    inner: Embedded,
    weather: Arc<Mutex<Weather>>,
}

/// How the store does.
struct Weather {
    rng: Rng,
    trouble: Trouble,
}

/// What is wrong with the store.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Trouble {
    /// Operations of a hundred that fail, half of them after they were done.
    pub(super) errors_percent: u64,
    /// How long each takes.
    pub(super) delay: Duration,
    /// Nothing is done at all.
    pub(super) away: bool,
}

/// What becomes of an operation.
enum Fate {
    Done,
    Lost,
    /// It is done, and who asked is told that it failed.
    AnswerLost,
}

impl FaultyStore {
    pub(super) fn new(inner: Embedded, seed: [u8; 32]) -> Self {
        let weather = Weather {
            rng: Rng::new(seed),
            trouble: Trouble::default(),
        };
        Self {
            inner,
            weather: Arc::new(Mutex::new(weather)),
        }
    }

    pub(super) fn set_trouble(&self, trouble: Trouble) {
        self.weather().trouble = trouble;
    }

    fn weather(&self) -> MutexGuard<'_, Weather> {
        self.weather.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does an operation as the weather has it.
    async fn through<T>(
        &self,
        operation: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let (delay, fate) = {
            let mut weather = self.weather();
            let trouble = weather.trouble;
            if trouble.away {
                (PATIENCE, Fate::Lost)
            } else if trouble.errors_percent > weather.rng.below(100) {
                let lost = weather.rng.below(2) == 0;
                let fate = if lost { Fate::Lost } else { Fate::AnswerLost };
                (trouble.delay, fate)
            } else {
                (trouble.delay, Fate::Done)
            }
        };
        if !delay.is_zero() {
            time::sleep(delay).await;
        }
        let failed = || StoreError::Unavailable("the scenario says so".to_owned());
        match fate {
            Fate::Done => operation.await,
            Fate::Lost => Err(failed()),
            Fate::AnswerLost => operation.await.and_then(|_| Err(failed())),
        }
    }
}

/// Sends every operation through the weather.
macro_rules! through {
    ($($name:ident($($argument:ident: $type:ty),*) -> $out:ty;)*) => {
        impl Store for FaultyStore {
            $(async fn $name(&self, $($argument: $type),*) -> Result<$out, StoreError> {
                self.through(self.inner.$name($($argument),*)).await
            })*
        }
    };
}

through! {
    create_user(user: NewUser) -> User;
    user(name: &str) -> Option<User>;
    users(page: Page) -> Listing<User>;
    change_user(name: &str, change: UserChange) -> Option<User>;
    delete_user(name: &str) -> bool;
    pop_alive(pop: PopEntry, now: u64, lease_until: u64) -> ();
    drain_pop(id: &str, incarnation: u64) -> bool;
    is_pop_draining(id: &str, incarnation: u64) -> bool;
    pop_gone(id: &str, incarnation: u64) -> ();
    pops(now: u64) -> Vec<PopStatus>;
    node_online(node: NodeEntry) -> ();
    node_offline(id: &str, pop: &str, generation: u64) -> ();
    nodes(page: Page, now: u64) -> Listing<NodeEntry>;
    meta(key: &str) -> Option<String>;
    set_meta(key: &str, value: String) -> ();
}

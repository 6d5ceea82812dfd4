//! One run for all who ask for the same.

use core::future::Future;
use core::hash::Hash;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::OnceCell;

/// Runs under way, by what they are for. Holds one entry per key that somebody waits for, so it is
/// bounded by the number of callers.
pub(super) struct Flights<K, T>(Mutex<HashMap<K, Flight<T>>>);

struct Flight<T> {
    result: Arc<OnceCell<T>>,
    passengers: usize,
}

impl<K: Copy + Eq + Hash, T: Clone> Flights<K, T> {
    /// Returns the result of `run`, or of the run another caller has under way for this key. If the
    /// caller that runs goes away, one that waits takes over with its own `run`.
    pub(super) async fn join<F: Future<Output = T>>(&self, key: K, run: impl FnOnce() -> F) -> T {
        let result = {
            let mut flights = self.lock();
            let new = || Flight {
                result: Arc::default(),
                passengers: 0,
            };
            let flight = flights.entry(key).or_insert_with(new);
            flight.passengers += 1;
            Arc::clone(&flight.result)
        };
        let _seat = Seat {
            flights: self,
            key,
            result: &result,
        };
        result.get_or_init(run).await.clone()
    }
}

impl<K, T> Flights<K, T> {
    fn lock(&self) -> MutexGuard<'_, HashMap<K, Flight<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
impl<K, T> Flights<K, T> {
    /// Returns how many callers wait.
    pub(super) fn passengers(&self) -> usize {
        self.lock().values().map(|flight| flight.passengers).sum()
    }
}

impl<K, T> Default for Flights<K, T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

struct Seat<'a, K: Copy + Eq + Hash, T> {
    flights: &'a Flights<K, T>,
    key: K,
    result: &'a Arc<OnceCell<T>>,
}

impl<K: Copy + Eq + Hash, T> Drop for Seat<'_, K, T> {
    fn drop(&mut self) {
        let mut flights = self.flights.lock();
        let Some(flight) = flights.get_mut(&self.key) else {
            return;
        };
        if !Arc::ptr_eq(&flight.result, self.result) {
            return;
        }
        flight.passengers -= 1;
        // A finished run is over at once: who asks from now on wants a new answer.
        if flight.passengers == 0 || flight.result.initialized() {
            flights.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::sync::atomic::{AtomicUsize, Ordering};
    use tokio::sync::Semaphore;

    #[tokio::test]
    async fn callers_share_one_run_and_survive_its_runner() {
        let flights = Arc::new(Flights::<u8, usize>::default());
        let (runs, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
        let spawn = || {
            let (flights, runs, gate) = (flights.clone(), runs.clone(), gate.clone());
            tokio::spawn(async move {
                let run = || async {
                    let run = runs.fetch_add(1, Ordering::SeqCst);
                    gate.acquire().await.unwrap().forget();
                    run
                };
                flights.join(1, run).await
            })
        };
        let first = spawn();
        tokio::task::yield_now().await;
        let others = [spawn(), spawn(), spawn()];
        tokio::task::yield_now().await;
        assert_eq!(runs.load(Ordering::SeqCst), 1);
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());
        gate.add_permits(1);
        for other in others {
            assert_eq!(other.await.unwrap(), 1);
        }
        assert_eq!(runs.load(Ordering::SeqCst), 2);
        assert!(flights.lock().is_empty());
    }
}

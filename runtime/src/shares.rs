//! Places that are shared out among users, addresses or whoever else may take all it can.

use core::fmt;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// How much of what is free one sharer may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Greed {
    /// A sharer gets another place while it holds fewer than are free. One that takes all it can is left with
    /// half of the places, two with a third each, and whoever comes next finds one free: for places that are
    /// held for long.
    Half,
    /// Places that nobody else waits for are anybody's: for places that are soon given back.
    #[cfg(any(test, feature = "auth"))]
    All,
}

/// Places for `K`. Who has to wait is served when a place is given back: first whoever holds the fewest, and
/// of those the one that was served longest ago, or came first. Clones share the places.
pub(crate) struct Shares<K: Clone + Ord>(Arc<Inner<K>>);

struct Inner<K: Clone + Ord> {
    greed: Greed,
    state: Mutex<State<K>>,
}

struct State<K: Clone + Ord> {
    free: usize,
    /// Those that hold a place or wait for one.
    sharers: BTreeMap<K, Sharer<K>>,
    /// Those that wait, in the order in which they are served: how many places each holds, when it was
    /// granted one last, and when it came.
    queue: BTreeSet<(usize, u64, u64, K)>,
    /// How many places were granted so far.
    grants: u64,
    /// How many sharers came so far.
    arrivals: u64,
}

struct Sharer<K: Clone + Ord> {
    held: usize,
    /// When it was granted a place last.
    served: u64,
    came: u64,
    waiting: VecDeque<oneshot::Sender<Place<K>>>,
}

/// One place; dropping it gives it back.
pub(crate) struct Place<K: Clone + Ord> {
    shares: Arc<Inner<K>>,
    key: K,
}

impl<K: Clone + Ord> Shares<K> {
    pub(crate) fn new(places: usize, greed: Greed) -> Self {
        let state = State {
            free: places,
            sharers: BTreeMap::new(),
            queue: BTreeSet::new(),
            grants: 0,
            arrivals: 0,
        };
        Self(Arc::new(Inner {
            greed,
            state: Mutex::new(state),
        }))
    }

    /// Takes a place, if this sharer may have another one now.
    #[cfg(any(test, feature = "auth"))]
    pub(crate) fn try_place(&self, key: K) -> Option<Place<K>> {
        self.0.enter(key, |sharer, may| {
            (may && sharer.waiting.is_empty()).then_some(())
        })
    }

    /// Waits for a place. How many wait is up to the callers; dropping the future leaves the queue.
    pub(crate) async fn place(&self, key: K) -> Place<K> {
        loop {
            let (grant, waiting) = oneshot::channel();
            let mut grant = Some(grant);
            let place = self.0.enter(key.clone(), |sharer, may| {
                if may && sharer.waiting.is_empty() {
                    return Some(());
                }
                sharer.waiting.extend(grant.take());
                None
            });
            if let Some(place) = place {
                return place;
            }
            // Whoever waits holds the shares, so that nobody drops the queue.
            if let Ok(place) = waiting.await {
                return place;
            }
        }
    }
}

#[cfg(feature = "edge")]
impl<K: Clone + Ord> Shares<K> {
    /// Returns how many places are held and how many wait for one.
    pub(crate) fn census(&self) -> (usize, usize) {
        let state = self.0.lock();
        let sharers = state.sharers.values();
        sharers.fold((0, 0), |(held, waiting), sharer| {
            (held + sharer.held, waiting + sharer.waiting.len())
        })
    }
}

#[cfg(test)]
impl<K: Clone + Ord> Shares<K> {
    /// Returns how many wait for a place of this sharer's.
    pub(crate) fn waiting(&self, key: &K) -> usize {
        let state = self.0.lock();
        let sharer = state.sharers.get(key);
        sharer.map_or(0, |sharer| sharer.waiting.len())
    }
}

impl<K: Clone + Ord> Inner<K> {
    /// Grants a place if `take` wants it; that hears whether the sharer may have one.
    fn enter(
        self: &Arc<Self>,
        key: K,
        take: impl FnOnce(&mut Sharer<K>, bool) -> Option<()>,
    ) -> Option<Place<K>> {
        let mut state = self.lock();
        let (greed, free) = (self.greed, state.free);
        let taken = state.change(&key, |sharer| {
            let may = sharer.may_have_another(greed, free);
            take(sharer, may)
        });
        taken.map(|()| self.grant(&mut state, key))
    }

    fn grant(self: &Arc<Self>, state: &mut State<K>, key: K) -> Place<K> {
        state.free -= 1;
        state.grants += 1;
        let served = state.grants;
        state.change(&key, |sharer| {
            sharer.held += 1;
            sharer.served = served;
        });
        let shares = Arc::clone(self);
        Place { shares, key }
    }

    /// Takes a place back and grants those that wait what they may have.
    fn give_back(self: &Arc<Self>, key: &K) {
        let mut undelivered = Vec::new();
        let mut state = self.lock();
        state.free += 1;
        state.change(key, |sharer| sharer.held -= 1);
        while let Some((key, next)) = state.next(self.greed) {
            let place = self.grant(&mut state, key);
            undelivered.extend(next.send(place).err());
        }
        drop(state);
        // What reached nobody is given back, now that the lock is free.
        drop(undelivered);
    }

    fn lock(&self) -> MutexGuard<'_, State<K>> {
        // No invariant spans a panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Clone + Ord> State<K> {
    /// Changes a sharer: the only way to do so. One that holds nothing and waits for nothing is forgotten.
    fn change<T>(&mut self, key: &K, change: impl FnOnce(&mut Sharer<K>) -> T) -> T {
        let arrivals = &mut self.arrivals;
        let sharer = self.sharers.entry(key.clone()).or_insert_with(|| {
            *arrivals += 1;
            Sharer::new(*arrivals)
        });
        if !sharer.waiting.is_empty() {
            self.queue.remove(&sharer.turn(key));
        }
        let out = change(sharer);
        if !sharer.waiting.is_empty() {
            self.queue.insert(sharer.turn(key));
        } else if sharer.held == 0 {
            self.sharers.remove(key);
        }
        out
    }

    /// Takes whoever is to be served next out of the queue.
    fn next(&mut self, greed: Greed) -> Option<(K, oneshot::Sender<Place<K>>)> {
        loop {
            let free = self.free;
            let key = self.queue.first()?.3.clone();
            let (all_gone, next) = self.change(&key, |sharer| {
                // Those who gave up.
                while sharer
                    .waiting
                    .front()
                    .is_some_and(oneshot::Sender::is_closed)
                {
                    sharer.waiting.pop_front();
                }
                let all_gone = sharer.waiting.is_empty();
                let may = sharer.may_have_another(greed, free);
                let next = may.then(|| sharer.waiting.pop_front());
                (all_gone, next.flatten())
            });
            match next {
                Some(next) => return Some((key, next)),
                None if all_gone => {}
                None => return None,
            }
        }
    }
}

impl<K: Clone + Ord> Sharer<K> {
    const fn new(came: u64) -> Self {
        Self {
            held: 0,
            served: 0,
            came,
            waiting: VecDeque::new(),
        }
    }

    fn turn(&self, key: &K) -> (usize, u64, u64, K) {
        (self.held, self.served, self.came, key.clone())
    }

    const fn may_have_another(&self, greed: Greed, free: usize) -> bool {
        match greed {
            Greed::Half => self.held < free,
            #[cfg(any(test, feature = "auth"))]
            Greed::All => free > 0,
        }
    }
}

impl<K: Clone + Ord> Clone for Shares<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K: Clone + Ord> Drop for Place<K> {
    fn drop(&mut self) {
        self.shares.give_back(&self.key);
    }
}

impl<K: Clone + Ord> fmt::Debug for Shares<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shares")
            .field("greed", &self.0.greed)
            .field("free", &self.0.lock().free)
            .finish_non_exhaustive()
    }
}

impl<K: Clone + Ord + fmt::Debug> fmt::Debug for Place<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Place").field(&self.key).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::future::Future;
    use core::pin::{Pin, pin};
    use core::task::{Context, Poll, Waker};

    const PLACES: usize = 8;

    fn poll<T>(future: Pin<&mut impl Future<Output = T>>) -> Option<T> {
        match future.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(out) => Some(out),
            Poll::Pending => None,
        }
    }

    /// Takes places until the sharer would have to wait.
    fn take_all(shares: &Shares<u32>, key: u32) -> Vec<Place<u32>> {
        core::iter::from_fn(|| shares.try_place(key)).collect()
    }

    fn is_unused(shares: &Shares<u32>, places: usize) -> bool {
        let state = shares.0.lock();
        state.free == places && state.sharers.is_empty()
    }

    #[test]
    fn whoever_takes_all_it_can_leaves_some_to_everyone_else() {
        let shares = Shares::new(PLACES, Greed::Half);
        let taken: Vec<_> = (1..=4).map(|key| take_all(&shares, key)).collect();
        let counts: Vec<_> = taken.iter().map(Vec::len).collect();
        assert_eq!(counts, [4, 2, 1, 1]);
        assert!(take_all(&shares, 5).is_empty());
        drop(taken);
        assert!(is_unused(&shares, PLACES));
    }

    #[test]
    fn a_place_goes_to_the_one_with_the_fewest_and_never_to_one_who_gave_up() {
        let shares = Shares::new(PLACES, Greed::Half);
        let mut greedy = take_all(&shares, 1);
        let mut other = take_all(&shares, 2);
        let mut first = Box::pin(shares.place(1));
        let mut second = Box::pin(shares.place(1));
        let mut third = Box::pin(shares.place(2));
        for waits in [&mut first, &mut second, &mut third] {
            assert!(poll(waits.as_mut()).is_none());
        }
        drop(first);
        // Three are free, and the first sharer holds four.
        drop(other.pop());
        assert!(poll(second.as_mut()).is_none());
        assert_eq!(poll(third.as_mut()).map(|place| place.key), Some(2));
        greedy.truncate(1);
        assert_eq!(poll(second.as_mut()).map(|place| place.key), Some(1));
        drop((greedy, other, second, third));
        assert!(is_unused(&shares, PLACES));
    }

    /// Finds whoever was granted a place.
    fn first_ready(
        queue: &mut [Pin<Box<impl Future<Output = Place<u32>>>>],
    ) -> (usize, Place<u32>) {
        let mut all = queue.iter_mut().enumerate();
        all.find_map(|(index, waits)| Some((index, poll(waits.as_mut())?)))
            .unwrap()
    }

    #[test]
    fn a_place_that_is_soon_given_back_goes_round() {
        let shares = Shares::new(1, Greed::All);
        let mut held = shares.try_place(1);
        let mut queue: Vec<_> = [1, 1, 1, 2, 2, 3]
            .map(|key| Box::pin(shares.place(key)))
            .into();
        for waits in &mut queue {
            assert!(poll(waits.as_mut()).is_none());
        }
        let mut served = Vec::new();
        while !queue.is_empty() {
            drop(held.take());
            let (index, place) = first_ready(&mut queue);
            served.push(place.key);
            drop(queue.remove(index));
            held = Some(place);
        }
        assert_eq!(served, [2, 3, 1, 2, 1, 1]);
    }

    #[test]
    fn who_came_first_is_served_first_whatever_it_is_called() {
        let shares = Shares::new(1, Greed::All);
        let mut held = shares.try_place(0);
        let mut queue: Vec<_> = [9, 5, 1].map(|key| Box::pin(shares.place(key))).into();
        for waits in &mut queue {
            assert!(poll(waits.as_mut()).is_none());
        }
        for key in [9, 5, 1] {
            drop(held.take());
            let (index, place) = first_ready(&mut queue);
            assert_eq!(place.key, key);
            drop(queue.remove(index));
            held = Some(place);
        }
    }

    #[test]
    fn what_is_granted_to_one_who_gives_up_is_free() {
        let shares = Shares::new(1, Greed::Half);
        let only = take_all(&shares, 1);
        let mut waits = Box::pin(shares.place(2));
        assert!(poll(waits.as_mut()).is_none());
        assert!(poll(pin!(shares.place(3))).is_none());
        drop(only);
        assert_eq!(shares.0.lock().free, 0);
        drop(waits);
        assert!(is_unused(&shares, 1));
    }
}

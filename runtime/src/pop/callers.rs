//! Who is connected to a listener: no address keeps others out by connections that show nothing.

use crate::auth::network;
use crate::drain::{Count, Counted};
use core::cell::{Cell, RefCell};
use core::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;
use tokio::sync::Notify;

/// The connections there are. Those that have shown who they are stay. While there is no place, the newest takes
/// that of the oldest that has shown nothing: of its own network, or of the one with the most of them and more
/// than its own.
#[derive(Debug, Default)]
pub(super) struct Callers {
    /// Connections, also those that have lost their places and are about to end.
    count: Count,
    shown: Cell<usize>,
    silent: RefCell<Silent>,
}

/// Those that have shown nothing yet.
#[derive(Debug, Default)]
struct Silent {
    count: usize,
    arrivals: u64,
    networks: BTreeMap<IpAddr, Queue>,
    /// The last one has the most, and of those the oldest.
    ranks: BTreeMap<Rank, IpAddr>,
}

/// Those of a network, by when they came.
type Queue = BTreeMap<u64, Rc<Notify>>;

/// How many a network has, and when the oldest of them came.
type Rank = (usize, Reverse<u64>);

/// A connection that was let in; dropping it frees its place.
#[derive(Debug)]
pub(super) struct Caller<'a> {
    callers: &'a Callers,
    _counted: Counted<'a>,
    peer: IpAddr,
    came: u64,
    shown: Cell<bool>,
    displaced: Rc<Notify>,
}

impl Callers {
    /// Lets a connection in; none if all `max` places are of such as have shown who they are.
    pub(super) fn admit(&self, max: usize, peer: IpAddr) -> Option<Caller<'_>> {
        let mut silent = self.silent.borrow_mut();
        if silent.count + self.shown.get() >= max {
            silent.displace_for(network(peer))?;
        }
        let displaced = Rc::<Notify>::default();
        let came = silent.enter(network(peer), Rc::clone(&displaced));
        let _counted = self.count.take(usize::MAX)?;
        Some(Caller {
            callers: self,
            _counted,
            peer: peer.to_canonical(),
            came,
            shown: Cell::new(false),
            displaced,
        })
    }

    /// Returns how many have shown who they are.
    pub(super) const fn shown(&self) -> usize {
        self.shown.get()
    }

    /// Returns the connections.
    pub(super) const fn count(&self) -> &Count {
        &self.count
    }
}

impl Silent {
    /// Changes a network's queue: the only way to do so.
    fn change<T>(&mut self, network: IpAddr, change: impl FnOnce(&mut Queue) -> T) -> T {
        let queue = self.networks.entry(network).or_default();
        if let Some(rank) = rank(queue) {
            self.ranks.remove(&rank);
        }
        self.count -= queue.len();
        let out = change(queue);
        self.count += queue.len();
        match rank(queue) {
            Some(rank) => drop(self.ranks.insert(rank, network)),
            None => drop(self.networks.remove(&network)),
        }
        out
    }

    fn enter(&mut self, network: IpAddr, displaced: Rc<Notify>) -> u64 {
        self.arrivals += 1;
        let came = self.arrivals;
        self.change(network, |queue| queue.insert(came, displaced));
        came
    }

    /// Returns whether it was there still.
    fn leave(&mut self, network: IpAddr, came: u64) -> bool {
        self.change(network, |queue| queue.remove(&came).is_some())
    }

    /// Has one go for a newcomer of this network; none if there is none.
    fn displace_for(&mut self, network: IpAddr) -> Option<()> {
        let (&(most, _), &loser) = self.ranks.last_key_value()?;
        let own = self.networks.get(&network).map_or(0, Queue::len);
        let loser = if own == most { network } else { loser };
        let (_, displaced) = self.change(loser, Queue::pop_first)?;
        displaced.notify_one();
        Some(())
    }
}

fn rank(queue: &Queue) -> Option<Rank> {
    let (&oldest, _) = queue.first_key_value()?;
    Some((queue.len(), Reverse(oldest)))
}

impl Caller<'_> {
    pub(super) const fn peer(&self) -> IpAddr {
        self.peer
    }

    /// Says that it has shown who it is: nobody takes its place any more. False if its place is somebody else's
    /// already.
    pub(super) fn show(&self) -> bool {
        let mut silent = self.callers.silent.borrow_mut();
        if silent.leave(network(self.peer), self.came) {
            self.shown.set(true);
            self.callers.shown.set(self.callers.shown.get() + 1);
        }
        self.shown.get()
    }

    /// Waits until its place is somebody else's.
    pub(super) async fn displaced(&self) {
        self.displaced.notified().await;
    }
}

impl Drop for Caller<'_> {
    fn drop(&mut self) {
        if self.shown.get() {
            self.callers.shown.set(self.callers.shown.get() - 1);
        } else {
            let mut silent = self.callers.silent.borrow_mut();
            silent.leave(network(self.peer), self.came);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 8;

    fn address(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    fn connect(callers: &Callers, last: u8) -> Caller<'_> {
        callers.admit(MAX, address(last)).unwrap()
    }

    fn has_gone(caller: &Caller<'_>) -> bool {
        let silent = caller.callers.silent.borrow();
        let queue = silent.networks.get(&network(caller.peer));
        !caller.shown.get() && !queue.is_some_and(|queue| queue.contains_key(&caller.came))
    }

    fn all_gone<'a>(callers: impl IntoIterator<Item = &'a Caller<'a>>) -> Vec<bool> {
        callers.into_iter().map(has_gone).collect()
    }

    #[test]
    fn an_address_that_shows_nothing_displaces_itself() {
        let callers = Callers::default();
        let first = connect(&callers, 1);
        let greedy: Vec<_> = (0..20).map(|_| connect(&callers, 2)).collect();
        assert!(!has_gone(&first));
        assert!(all_gone(&greedy[..13]).iter().all(|gone| *gone));
        assert!(all_gone(&greedy[13..]).iter().all(|gone| !gone));
        drop((first, greedy));
        let silent = callers.silent.borrow();
        assert_eq!((silent.count, callers.count.now()), (0, 0));
        assert!(silent.networks.is_empty() && silent.ranks.is_empty());
    }

    #[test]
    fn a_newcomer_takes_from_whoever_has_the_most() {
        let callers = Callers::default();
        let few: Vec<_> = (0..2).map(|_| connect(&callers, 1)).collect();
        let most: Vec<_> = (0..5).map(|_| connect(&callers, 2)).collect();
        let other = connect(&callers, 3);
        let newcomers: Vec<_> = [4, 5, 4].map(|last| connect(&callers, last)).into();
        assert_eq!(all_gone(&most), [true, true, true, false, false]);
        let stay = few.iter().chain(&newcomers).chain([&other]);
        assert!(all_gone(stay).iter().all(|gone| !gone));
    }

    #[test]
    fn of_networks_with_as_many_the_oldest_goes() {
        let callers = Callers::default();
        let all: Vec<_> = (1..=8).rev().map(|last| connect(&callers, last)).collect();
        let _newcomer = connect(&callers, 9);
        assert!(has_gone(&all[0]) && all_gone(&all[1..]).iter().all(|gone| !gone));
    }

    #[test]
    fn who_has_shown_itself_stays() {
        let callers = Callers::default();
        let known: Vec<_> = (0..7).map(|_| connect(&callers, 1)).collect();
        // Twice, as who asks again on one connection.
        assert!(known.iter().all(|caller| caller.show() && caller.show()));
        let silent = connect(&callers, 2);
        let last = connect(&callers, 1);
        assert!(has_gone(&silent) && !has_gone(&last));
        assert!(!silent.show() && callers.shown() == 7);
        assert!(last.show());
        assert!(callers.admit(MAX, address(2)).is_none());
        assert!(all_gone(&known).iter().all(|gone| !gone));
        drop(known);
        assert_eq!(callers.shown(), 1);
        assert!(callers.admit(MAX, address(2)).is_some());
    }

    #[tokio::test]
    async fn who_is_displaced_hears_of_it() {
        let callers = Callers::default();
        let first = connect(&callers, 1);
        let _rest: Vec<_> = (0..MAX).map(|_| connect(&callers, 1)).collect();
        first.displaced().await;
    }
}

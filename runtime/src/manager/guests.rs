//! Who is connected to the manager: no address keeps others out, nor itself.

use crate::auth::network;
use core::sync::atomic::{AtomicBool, Ordering};
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// The connections there are, at most `max`. An address is given another place while it holds fewer than are
/// free. Beyond, and when there is none, the newest connection takes the place of the oldest that asks for
/// nothing: of its own address, or of the one that holds the most and more than its own.
#[derive(Debug)]
pub(super) struct Guests {
    max: usize,
    seats: Mutex<Seats>,
}

#[derive(Debug, Default)]
struct Seats {
    count: usize,
    /// By address, the oldest first.
    taken: BTreeMap<IpAddr, VecDeque<Arc<Seat>>>,
}

/// The place of a connection.
#[derive(Debug, Default)]
pub(super) struct Seat {
    /// A request is being answered.
    busy: AtomicBool,
    unseated: Notify,
}

/// A connection that was let in; dropping it frees its place.
#[derive(Debug)]
pub(super) struct Guest {
    guests: Arc<Guests>,
    address: IpAddr,
    pub(super) seat: Arc<Seat>,
}

impl Guests {
    pub(super) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self {
            max,
            seats: Mutex::default(),
        })
    }

    /// Lets a connection from an address in; none if there is no place for it.
    pub(super) fn admit(self: &Arc<Self>, peer: IpAddr) -> Option<Guest> {
        let address = network(peer);
        let mut seats = self.lock();
        let free = self.max.saturating_sub(seats.count);
        let held = seats.taken.get(&address).map_or(0, VecDeque::len);
        if held >= free {
            let unseated = seats.unseat(address);
            let unseated = unseated || free == 0 && seats.unseat_of_most(held);
            if !unseated {
                return None;
            }
        }
        let seat = Arc::<Seat>::default();
        seats.count += 1;
        let taken = seats.taken.entry(address).or_default();
        taken.push_back(Arc::clone(&seat));
        Some(Guest {
            guests: Arc::clone(self),
            address,
            seat,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Seats> {
        // No invariant spans a panic.
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seats {
    /// Has the oldest connection of an address go that asks for nothing.
    fn unseat(&mut self, address: IpAddr) -> bool {
        let Some(taken) = self.taken.get_mut(&address) else {
            return false;
        };
        let idle = taken.iter().position(|seat| seat.is_idle());
        let Some(seat) = idle.and_then(|at| taken.remove(at)) else {
            return false;
        };
        self.count -= 1;
        seat.unseated.notify_one();
        true
    }

    /// Has one go of the address that holds the most, of those that hold more than so many and have one that
    /// asks for nothing.
    fn unseat_of_most(&mut self, held: usize) -> bool {
        let may_lose_one = |taken: &VecDeque<Arc<Seat>>| {
            taken.len() > held && taken.iter().any(|seat| seat.is_idle())
        };
        let all = self.taken.iter().filter(|(_, taken)| may_lose_one(taken));
        let most = all.max_by_key(|(_, taken)| taken.len());
        let most = most.map(|(address, _)| *address);
        most.is_some_and(|address| self.unseat(address))
    }
}

impl Seat {
    /// Says that a request is being answered until what is returned is dropped.
    pub(super) fn busy(self: &Arc<Self>) -> Busy {
        self.busy.store(true, Ordering::Relaxed);
        Busy(Arc::clone(self))
    }

    /// Lets the place be given to a newer connection until what is returned is dropped, although a request
    /// is being answered: it waits because a token was wrong.
    pub(super) fn rest(&self) -> Rest<'_> {
        self.busy.store(false, Ordering::Relaxed);
        Rest(self)
    }

    fn is_idle(&self) -> bool {
        !self.busy.load(Ordering::Relaxed)
    }

    /// Waits until the place is somebody else's.
    pub(super) async fn unseated(&self) {
        self.unseated.notified().await;
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct Busy(Arc<Seat>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.store(false, Ordering::Relaxed);
    }
}

/// A request that waits because a token was wrong.
#[derive(Debug)]
pub(super) struct Rest<'a>(&'a Seat);

impl Drop for Rest<'_> {
    fn drop(&mut self) {
        self.0.busy.store(true, Ordering::Relaxed);
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut seats = self.guests.lock();
        let Some(taken) = seats.taken.get_mut(&self.address) else {
            return;
        };
        let own = taken.iter().position(|seat| Arc::ptr_eq(seat, &self.seat));
        let removed = own.and_then(|at| taken.remove(at)).is_some();
        if taken.is_empty() {
            seats.taken.remove(&self.address);
        }
        seats.count -= usize::from(removed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 8;

    fn address(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    fn has_gone(guest: &Guest) -> bool {
        let seats = guest.guests.lock();
        let taken = seats.taken.get(&guest.address);
        !taken.is_some_and(|taken| taken.iter().any(|seat| Arc::ptr_eq(seat, &guest.seat)))
    }

    #[test]
    fn an_address_that_connects_all_it_can_displaces_itself() {
        let guests = Guests::new(MAX);
        let greedy: Vec<_> = (0..20).map(|_| guests.admit(address(1)).unwrap()).collect();
        let stay: Vec<_> = greedy.iter().map(|guest| !has_gone(guest)).collect();
        assert!(stay[..16].iter().all(|stays| !stays) && stay[16..].iter().all(|stays| *stays));
        assert_eq!(guests.lock().count, 4);
        let others: Vec<_> = (2..20)
            .map(|last| guests.admit(address(last)).unwrap())
            .collect();
        assert_eq!(guests.lock().count, MAX);
        assert!(others[17..].iter().all(|guest| !has_gone(guest)));
        drop((greedy, others));
        let seats = guests.lock();
        assert_eq!((seats.count, seats.taken.len()), (0, 0));
    }

    #[test]
    fn whoever_is_answered_stays() {
        let guests = Guests::new(MAX);
        let asking: Vec<_> = (0..4).map(|_| guests.admit(address(1)).unwrap()).collect();
        let busy: Vec<_> = asking.iter().map(|guest| guest.seat.busy()).collect();
        assert!(guests.admit(address(1)).is_none());
        assert!(guests.admit(address(2)).is_some());
        drop(busy);
        let next = guests.admit(address(1)).unwrap();
        assert!(has_gone(&asking[0]) && !has_gone(&asking[1]) && !has_gone(&next));
    }

    #[test]
    fn who_asks_all_the_time_keeps_nobody_out() {
        let guests = Guests::new(MAX);
        let asking: Vec<_> = (0..4).map(|_| guests.admit(address(1)).unwrap()).collect();
        let _busy: Vec<_> = asking.iter().map(|guest| guest.seat.busy()).collect();
        let idle: Vec<_> = [2, 2, 3, 4]
            .map(|last| guests.admit(address(last)).unwrap())
            .into();
        // Who holds as many as whoever has one to lose displaces nobody but itself.
        let _second = guests.admit(address(5)).unwrap();
        assert!(has_gone(&idle[0]) && !has_gone(&idle[1]));
        assert!(guests.admit(address(1)).is_none());
        assert!(idle[1..].iter().all(|guest| !has_gone(guest)));
    }

    #[test]
    fn whoever_waits_for_a_wrong_token_gives_way() {
        let guests = Guests::new(MAX);
        let asking: Vec<_> = (0..4).map(|_| guests.admit(address(1)).unwrap()).collect();
        let _busy: Vec<_> = asking.iter().map(|guest| guest.seat.busy()).collect();
        drop(asking[0].seat.rest());
        assert!(guests.admit(address(1)).is_none());
        let _rest = asking[1].seat.rest();
        let _next = guests.admit(address(1)).unwrap();
        assert!(!has_gone(&asking[0]) && has_gone(&asking[1]));
    }
}

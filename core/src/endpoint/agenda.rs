//! What the driver is to do: events, carriers with output, sessions that changed, deadlines.

use super::event::Event;
use crate::arena::{Arena, CarrierId, SessionId};
use crate::carrier::Carrier;
use crate::timer::Timers;
use alloc::collections::VecDeque;

/// What the driver is to do. `E` and `T` are the events and the deadlines that only one role has.
#[derive(Debug)]
pub(crate) struct Agenda<E, T> {
    pub(super) events: VecDeque<Event<E>>,
    pub(super) timers: Timers<T>,
    ready: VecDeque<CarrierId>,
    woken: VecDeque<SessionId>,
}

impl<E, T: Copy + Ord> Agenda<E, T> {
    pub(super) const fn new() -> Self {
        Self {
            events: VecDeque::new(),
            timers: Timers::new(),
            ready: VecDeque::new(),
            woken: VecDeque::new(),
        }
    }

    /// Queues an event of the role.
    pub(super) fn tell(&mut self, event: E) {
        self.events.push_back(Event::Role(event));
    }

    /// Puts a carrier in the queue of those with output, once.
    pub(super) fn call<C: Clone>(
        &mut self,
        carriers: &mut Arena<CarrierId, Carrier<C>>,
        id: CarrierId,
    ) {
        if let Some(carrier) = carriers.get_mut(id)
            && carrier.make_ready()
        {
            self.ready.push_back(id);
        }
    }

    pub(super) fn next_ready(&mut self) -> Option<CarrierId> {
        self.ready.pop_front()
    }

    /// Puts a session in the queue of those that changed.
    pub(super) fn wake(&mut self, id: SessionId) {
        self.woken.push_back(id);
    }

    pub(super) fn next_woken(&mut self) -> Option<SessionId> {
        self.woken.pop_front()
    }
}

//! A POP's session as its group sees it: what it has carried, and where it stands among the others.

use crate::account::{Carried, Way};

/// What a session has carried, and its place in either direction.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    carried: Carried,
    up: Place,
    down: Place,
}

/// Where a session stands in one direction.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    ticket: Option<u64>,
    /// The ticket it was last called with, until it has moved something.
    called: Option<u64>,
    /// Bytes it was called for and has not moved yet.
    turn: u64,
}

impl Meter {
    /// Returns what this session has carried.
    pub(super) const fn carried(&self) -> Carried {
        self.carried
    }

    /// Tells whether the session waits for a call, either way.
    pub(super) const fn waits(&self) -> bool {
        self.up.ticket.is_some() || self.down.ticket.is_some()
    }

    /// Returns its ticket, while it waits for a call.
    pub(super) const fn ticket(&self, way: Way) -> Option<u64> {
        self.place(way).ticket
    }

    /// Returns how many bytes it was called for and has not moved yet.
    pub(super) const fn turn(&self, way: Way) -> u64 {
        self.place(way).turn
    }

    /// Takes a ticket, the next one if the session has no claim to another; none if it holds one.
    pub(super) fn take_ticket(&mut self, way: Way, next: u64) -> Option<u64> {
        let place = self.place_mut(way);
        place.turn = 0;
        if place.ticket.is_some() {
            return None;
        }
        // Who was called and found that others had been faster keeps his place.
        place.ticket = Some(place.called.take().unwrap_or(next));
        place.ticket
    }

    /// Calls the session by its ticket to so many bytes.
    pub(super) const fn call(&mut self, way: Way, ticket: u64, turn: u64) {
        *self.place_mut(way) = Place {
            ticket: None,
            called: Some(ticket),
            turn,
        };
    }

    /// Books bytes that moved.
    pub(super) fn carry(&mut self, way: Way, bytes: u64) {
        self.carried.add(way, bytes);
        let place = self.place_mut(way);
        place.called = None;
        place.turn = place.turn.saturating_sub(bytes);
    }

    const fn place(&self, way: Way) -> &Place {
        match way {
            Way::Up => &self.up,
            Way::Down => &self.down,
        }
    }

    const fn place_mut(&mut self, way: Way) -> &mut Place {
        match way {
            Way::Up => &mut self.up,
            Way::Down => &mut self.down,
        }
    }
}

//! Places among the sessions of users, and whether there is one more.

use super::message::PlaceId;
use super::user::{Elsewhere, User};
use crate::time::{Duration, Instant};
use alloc::collections::BTreeMap;

/// How long a session waits for the store to say how many there are at other POPs.
pub(super) const STORE_WAIT: Duration = Duration::from_millis(500);

/// How long the store is not asked for that after it did not say.
const STORE_RETRY: Duration = Duration::from_secs(1);

/// For how long it is believed that there is room.
const ROOM_AGE_MAX: Duration = Duration::from_secs(1);

/// For how long it is believed that there is none.
const FULL_AGE_MAX: Duration = Duration::from_millis(200);

/// Sessions do not ask while there are so many fewer than half of what may be.
const FEWER: u64 = 32;

/// A place among the sessions of a user.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place {
    pub(super) group: u32,
    pub(super) stand: Stand,
}

/// Whether the session is in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stand {
    /// The store is asked whether there is room.
    Waiting {
        /// The session's number among those here.
        number: u32,
        /// Whether there is, as far as is known.
        guess: bool,
        until: Instant,
        /// The password that the user came with.
        password: u64,
    },
    In,
}

/// What is known of the number of sessions.
pub(super) enum Room {
    Enough,
    None,
    /// The store has to be asked; without it the guess counts.
    Unsure {
        guess: bool,
    },
}

/// Places taken or waited for.
#[derive(Debug)]
pub(super) struct Places {
    by_id: BTreeMap<PlaceId, Place>,
    next: u64,
    /// Until when the store is not asked for the number of sessions.
    count_again_at: Instant,
}

impl Places {
    pub(super) const fn new() -> Self {
        Self {
            by_id: BTreeMap::new(),
            next: 0,
            count_again_at: Instant::EPOCH,
        }
    }

    /// Takes a place for a session that is in.
    pub(super) fn take(&mut self, group: u32) -> PlaceId {
        let place = PlaceId(self.next);
        self.next += 1;
        let stand = Stand::In;
        self.by_id.insert(place, Place { group, stand });
        place
    }

    /// Notes how the session of a place stands.
    pub(super) fn stand(&mut self, place: PlaceId, stand: Stand) {
        if let Some(place) = self.by_id.get_mut(&place) {
            place.stand = stand;
        }
    }

    pub(super) fn get(&self, place: PlaceId) -> Option<Place> {
        self.by_id.get(&place).copied()
    }

    pub(super) fn free(&mut self, place: PlaceId) -> Option<Place> {
        self.by_id.remove(&place)
    }

    /// The store did not say how many sessions there are elsewhere.
    pub(super) fn store_failed(&mut self, now: Instant) {
        self.count_again_at = now + STORE_RETRY;
    }

    /// Tells whether it did not say a moment ago.
    pub(super) fn store_fails(&self, now: Instant) -> bool {
        now < self.count_again_at
    }

    pub(super) fn groups(&self) -> impl Iterator<Item = u32> {
        self.by_id.values().map(|place| place.group)
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn clear(&mut self) {
        self.by_id.clear();
    }
}

/// Tells whether session `number` of a user is not one too many.
pub(super) fn look(user: &User, now: Instant, number: u32, store_fails: bool) -> Room {
    let Some(max) = user.terms().sessions_max.map(u64::from) else {
        return Room::Enough;
    };
    let age = match user.elsewhere() {
        Elsewhere::Untold => Duration::MAX,
        Elsewhere::Told { at, .. } => now.since(at),
    };
    let guess = user.has_room(number);
    let known = u64::from(number).saturating_add(user.sessions_elsewhere());
    let is_sure = if guess {
        age <= ROOM_AGE_MAX && known.saturating_add(FEWER) <= max / 2
    } else {
        age <= FULL_AGE_MAX
    };
    match (is_sure || store_fails, guess) {
        (true, true) => Room::Enough,
        (true, false) => Room::None,
        (false, guess) => Room::Unsure { guess },
    }
}

//! What each user holds, over all tunnels and sessions.

use super::sizes::{Sizes, class};
use crate::arena::SessionId;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// Whose sessions are counted together.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct User {
    /// Who numbers the groups: this process, or a peer that this side has one tunnel to.
    pub(crate) owner: u32,
    pub(crate) group: u32,
}

/// Names a user for as long as it has a session, or a frame is kept for resending.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct UserId(u32);

impl UserId {
    /// Returns the number that no other user has at the same time.
    pub(crate) const fn slot(self) -> u32 {
        self.0
    }
}

#[derive(Debug, Default)]
pub(super) struct Users {
    ids: BTreeMap<User, UserId>,
    places: Vec<Place>,
    free: Vec<UserId>,
    /// Users by what they hold.
    sizes: Sizes<UserId>,
    /// Entries of the lists of users and holders that were looked at, and of others that are counted here.
    pub(super) visits: u64,
}

/// What is known of a user.
#[derive(Debug)]
struct Place {
    user: User,
    sessions: u32,
    held: u64,
    /// Kept for resending.
    kept: u64,
    grown: u64,
    noted: u8,
    /// Its sessions by what they leave waiting for their sockets.
    holders: Sizes<SessionId>,
}

impl Users {
    /// Returns a user that has a session.
    pub(super) fn find(&self, user: User) -> Option<UserId> {
        self.ids.get(&user).copied()
    }

    pub(super) fn held(&self, id: UserId) -> u64 {
        self.place(id).held
    }

    pub(super) fn kept(&self, id: UserId) -> u64 {
        self.place(id).kept
    }

    pub(super) fn keep(&mut self, id: UserId, bytes: u64) {
        self.place_mut(id).kept += bytes;
    }

    pub(super) fn unkeep(&mut self, id: UserId, bytes: u64) {
        self.place_mut(id).kept -= bytes;
        self.forget_if_gone(id);
    }

    pub(super) fn grown(&self, id: UserId) -> u64 {
        self.place(id).grown
    }

    pub(super) fn grow(&mut self, id: UserId, bytes: u64) {
        self.place_mut(id).grown += bytes;
    }

    pub(super) fn shrink(&mut self, id: UserId, bytes: u64) {
        self.place_mut(id).grown -= bytes;
    }

    pub(super) fn join(&mut self, user: User) -> UserId {
        let id = match self.ids.get(&user) {
            Some(&id) => id,
            None => self.add(user),
        };
        self.place_mut(id).sessions += 1;
        id
    }

    fn add(&mut self, user: User) -> UserId {
        let place = Place {
            user,
            sessions: 0,
            held: 0,
            kept: 0,
            grown: 0,
            noted: 0,
            holders: Sizes::default(),
        };
        let id = if let Some(id) = self.free.pop() {
            *self.place_mut(id) = place;
            id
        } else {
            self.places.push(place);
            let slot = u32::try_from(self.places.len() - 1);
            UserId(slot.expect("fewer than 2^32 users fit in memory"))
        };
        self.ids.insert(user, id);
        id
    }

    /// Notes that a user has a session less.
    pub(super) fn leave(&mut self, id: UserId) {
        self.place_mut(id).sessions -= 1;
        self.forget_if_gone(id);
    }

    /// Forgets a user without a session of whom nothing is kept.
    fn forget_if_gone(&mut self, id: UserId) {
        let place = self.place_mut(id);
        if place.sessions == 0 && place.kept == 0 {
            debug_assert!(place.held == 0 && place.grown == 0, "all was given back");
            let (user, noted) = (place.user, place.noted);
            self.sizes.remove(id, noted);
            self.ids.remove(&user);
            self.free.push(id);
        }
    }

    pub(super) fn recharge(&mut self, id: UserId, old: u64, new: u64) {
        let Some(place) = self.places.get_mut(id.0 as usize) else {
            return;
        };
        place.held = place.held - old + new;
        self.sizes.note(id, &mut place.noted, place.held);
    }

    /// Notes what a session leaves waiting for its socket.
    pub(super) fn note(&mut self, id: UserId, session: SessionId, noted: &mut u8, waiting: u64) {
        self.place_mut(id).holders.note(session, noted, waiting);
    }

    /// Forgets a session that was noted.
    pub(super) fn forget(&mut self, id: UserId, session: SessionId, noted: u8) {
        self.place_mut(id).holders.remove(session, noted);
    }

    /// Returns the user below one, or of all, that is noted for most.
    pub(super) fn largest(&mut self, below: Option<(u8, UserId)>) -> Option<(u8, UserId)> {
        self.visits += 1;
        self.sizes.largest(below)
    }

    /// Tells whether a user holds what it is noted for; if it holds less, that is noted.
    pub(super) fn is_up_to_date(&mut self, (noted, id): (u8, UserId)) -> bool {
        let place = &mut self.places[id.0 as usize];
        let now = class(place.held);
        if now < noted {
            self.sizes.lower(id, &mut place.noted, now);
        }
        now == noted
    }

    /// Returns the highest class that a user is noted for.
    pub(super) fn top(&self) -> u8 {
        self.sizes.largest(None).map_or(0, |(noted, _)| noted)
    }

    /// Returns the session of a user that is noted for most, below one or of all.
    pub(super) fn largest_of(
        &mut self,
        id: UserId,
        below: Option<(u8, SessionId)>,
    ) -> Option<(u8, SessionId)> {
        self.visits += 1;
        self.place(id).holders.largest(below)
    }

    /// Notes that a session leaves less waiting than it is noted for.
    pub(super) fn lower(&mut self, id: UserId, session: SessionId, noted: &mut u8, waiting: u64) {
        let now = class(waiting);
        self.place_mut(id).holders.lower(session, noted, now);
    }

    fn place(&self, id: UserId) -> &Place {
        &self.places[id.0 as usize]
    }

    fn place_mut(&mut self, id: UserId) -> &mut Place {
        &mut self.places[id.0 as usize]
    }
}

/// What an audit has counted of a user.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counted {
    pub(crate) sessions: u32,
    pub(crate) held: u64,
    pub(crate) kept: u64,
    pub(crate) grown: u64,
}

impl Users {
    /// Checks what is known of users against what their sessions hold, by slot.
    pub(super) fn audit(&self, counted: &[Counted], noted: usize) {
        let present = counted.iter().filter(|of| of.sessions > 0 || of.kept > 0);
        assert_eq!(self.ids.len(), present.count(), "I4: users");
        let mut holders = 0;
        for (&user, &id) in &self.ids {
            let (place, seen) = (
                self.place(id),
                counted.get(id.0 as usize).copied().unwrap_or_default(),
            );
            assert_eq!(place.user, user, "I4: a user's place");
            assert_eq!(place.sessions, seen.sessions, "I4: sessions of {user:?}");
            assert_eq!(place.held, seen.held, "I4: held by {user:?}");
            assert_eq!(place.kept, seen.kept, "I4: kept of {user:?}");
            assert_eq!(place.grown, seen.grown, "I4: growth of {user:?}");
            assert!(class(place.held) <= place.noted, "I4: {user:?} is noted");
            assert!(self.sizes.has(id, place.noted), "I4: {user:?} is listed");
            holders += place.holders.len();
        }
        assert_eq!(holders, noted, "I4: holders");
    }

    /// Tells whether a user's session is listed as it is noted, for what it holds or more.
    pub(super) fn lists(&self, id: UserId, session: SessionId, noted: u8, waiting: u64) -> bool {
        class(waiting) <= noted && self.place(id).holders.has(session, noted)
    }
}

//! Letting sessions of users in, no more than there may be.
//!
//! A session is told to the store before the store says how many there are elsewhere. So of two POPs
//! that ask for the last place one at least knows of the other.

use super::message::{Admission, Ask, Event, PlaceId, Question, Standing, Terms};
use super::user::{Elsewhere, User};
use super::{Due, Ledger, Open, Wanted};
use crate::time::{Duration, Instant};
use titan_proto::Code;

/// How long a session waits for the store to say how many there are at other POPs.
const STORE_WAIT: Duration = Duration::from_millis(500);

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
    stand: Stand,
}

/// Whether the session is in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stand {
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
enum Room {
    Enough,
    None,
    /// The store has to be asked; without it the guess counts.
    Unsure {
        guess: bool,
    },
}

impl Ledger {
    /// Lets one more session of a user in. For users whose sessions are limited the store may have to be
    /// asked; [`Event::Admitted`] tells within half a second what has come of it. Terms are those of the
    /// login.
    ///
    /// # Errors
    /// [`Code::UserDisabled`] if the user is off by now, [`Code::BadCredentials`] if the password was
    /// changed, [`Code::SessionLimit`] if there are as many sessions as there may be.
    pub fn admit(
        &mut self,
        now: Instant,
        unix_time: u64,
        user: u64,
        terms: &Terms,
    ) -> Result<Admission, Code> {
        let now = self.enter(now);
        let group = self.number(unix_time, user, terms);
        let known = self
            .users
            .get(&group)
            .map_or(0, |user| user.terms().password);
        if terms.password > known {
            // Sessions of the old password end before the first one of the new password begins.
            self.reread(unix_time, group, Some(terms.clone()));
        }
        let user = self.users.get_mut(&group).ok_or(Code::Internal)?;
        let max = user.terms().sessions_max;
        if max.is_some_and(|max| user.sessions() >= max) {
            return Err(Code::SessionLimit);
        }
        user.may(terms.password)?;
        let number = user.take_place();
        let room = look(user, now, number, now < self.count_again_at);
        let place = PlaceId(self.place_next);
        self.place_next += 1;
        let stand = Stand::In;
        self.places.insert(place, Place { group, stand });
        if max.is_some() {
            self.hurry();
        }
        self.hurry_share(group);
        let waits = match room {
            Room::Enough => {
                self.seat(group);
                false
            }
            Room::None => {
                self.leave(now, place);
                return Err(Code::SessionLimit);
            }
            Room::Unsure { guess } => {
                let until = now + STORE_WAIT;
                let stand = Stand::Waiting {
                    number,
                    guess,
                    until,
                    password: terms.password,
                };
                self.places.insert(place, Place { group, stand });
                self.deadlines.insert((until, Due::Place(place)));
                self.wanted.push_back(Wanted::Place(place));
                true
            }
        };
        Ok(Admission {
            place,
            group,
            waits,
        })
    }

    /// Frees a place; nothing if it is free.
    pub fn leave(&mut self, now: Instant, place: PlaceId) {
        let now = self.enter(now);
        let Some(Place { group, stand }) = self.places.remove(&place) else {
            return;
        };
        if let Stand::Waiting { until, .. } = stand {
            self.deadlines.remove(&(until, Due::Place(place)));
        }
        let counted = self.change(group, |user| {
            user.free_place(now);
            user.terms().sessions_max.is_some()
        });
        if counted == Some(true) {
            self.hurry();
        }
    }

    /// Lets the endpoint know of a user who has a session.
    pub(super) fn seat(&mut self, group: u32) {
        let now = self.now;
        if self.change(group, |user| user.enter(now)) == Some(true) {
            self.ask(group);
        }
    }

    /// Notes that the store is asked how many sessions there are elsewhere; none if nobody waits.
    pub(super) fn count(&mut self, place: PlaceId) -> Option<Ask> {
        let Place { group, stand } = *self.places.get(&place)?;
        let Stand::Waiting { .. } = stand else {
            return None;
        };
        let totals = self.users.get(&group)?.totals();
        let id = self.next_ask();
        let sessions = totals.sessions;
        let open = Open::Place {
            place,
            group,
            sessions,
        };
        self.send(id, open);
        let question = Question::Report(alloc::vec![(group, totals)]);
        Some(Ask { id, question })
    }

    /// Takes in how many sessions there are elsewhere; none if the store did not say.
    pub(super) fn counted(&mut self, place: PlaceId, group: u32, said: Option<Option<&Standing>>) {
        let now = self.now;
        self.change(group, |user| match said {
            Some(Some(standing)) => user.stand(now, standing),
            Some(None) => user.lose(),
            None => {}
        });
        if said.is_none() {
            self.count_again_at = now + STORE_RETRY;
        }
        self.decide(place, said.is_some());
    }

    /// A session has waited long enough.
    pub(super) fn overdue(&mut self, place: PlaceId) {
        if self.places.contains_key(&place) {
            self.count_again_at = self.now + STORE_RETRY;
            self.decide(place, false);
        }
    }

    /// Lets a session in that has waited, or turns it away.
    fn decide(&mut self, place: PlaceId, is_told: bool) {
        let Some(&Place { group, stand }) = self.places.get(&place) else {
            return;
        };
        let Stand::Waiting {
            number,
            guess,
            until,
            password,
        } = stand
        else {
            return;
        };
        let Some(user) = self.users.get(&group) else {
            return;
        };
        let room = if is_told {
            user.has_room(number)
        } else {
            guess
        };
        // Much may have changed meanwhile.
        let may = user.may(password);
        let outcome = may.and_then(|()| room.then_some(()).ok_or(Code::SessionLimit));
        if outcome.is_ok() {
            self.deadlines.remove(&(until, Due::Place(place)));
            let stand = Stand::In;
            self.places.insert(place, Place { group, stand });
            self.seat(group);
        } else {
            self.leave(self.now, place);
        }
        self.events.push_back(Event::Admitted { place, outcome });
    }
}

/// Tells whether session `number` of a user is not one too many.
fn look(user: &User, now: Instant, number: u32, store_fails: bool) -> Room {
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

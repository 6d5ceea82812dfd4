//! Letting sessions of users in, no more than there may be.
//!
//! A session is told to the store before the store says how many there are elsewhere. So of two POPs
//! that ask for the last place one at least knows of the other.

use super::message::{Admission, Ask, Event, PlaceId, Question, Standing, Terms};
use super::place::{Place, Room, STORE_WAIT, Stand, look};
use super::post::{Open, Wanted};
use super::{Due, Ledger};
use crate::time::Instant;
use titan_proto::Code;

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
        let known = self.users.get(group);
        let known = known.map_or(0, |user| user.terms().password);
        if terms.password > known {
            // Sessions of the old password end before the first one of the new password begins.
            self.reread(unix_time, group, Some(terms.clone()));
        }
        let user = self.users.get_mut(group).ok_or(Code::Internal)?;
        let max = user.terms().sessions_max;
        if max.is_some_and(|max| user.sessions() >= max) {
            return Err(Code::SessionLimit);
        }
        user.may(terms.password)?;
        let number = user.take_place();
        let room = look(user, now, number, self.places.store_fails(now));
        let place = self.places.take(group);
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
                self.places.stand(place, stand);
                self.deadlines.insert((until, Due::Place(place)));
                self.post.want(Wanted::Place(place));
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
        let Some(Place { group, stand }) = self.places.free(place) else {
            return;
        };
        if let Stand::Waiting { until, .. } = stand {
            self.deadlines.remove(&(until, Due::Place(place)));
        }
        let counted = self.users.change(group, |user| {
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
        if self.users.change(group, |user| user.enter(now)) == Some(true) {
            self.ask(group);
        }
    }

    /// Notes that the store is asked how many sessions there are elsewhere; none if nobody waits.
    pub(super) fn count(&mut self, place: PlaceId) -> Option<Ask> {
        let Place { group, stand } = self.places.get(place)?;
        let Stand::Waiting { .. } = stand else {
            return None;
        };
        let totals = self.users.get(group)?.totals();
        let sessions = totals.sessions;
        let id = self.send(Open::Place {
            place,
            group,
            sessions,
        });
        let question = Question::Report(alloc::vec![(group, totals)]);
        Some(Ask { id, question })
    }

    /// Takes in how many sessions there are elsewhere; none if the store did not say.
    pub(super) fn counted(&mut self, place: PlaceId, group: u32, said: Option<Option<&Standing>>) {
        let now = self.now;
        self.users.change(group, |user| match said {
            Some(Some(standing)) => user.stand(now, standing),
            Some(None) => user.lose(),
            None => {}
        });
        if said.is_none() {
            self.places.store_failed(now);
        }
        self.decide(place, said.is_some());
    }

    /// A session has waited long enough.
    pub(super) fn overdue(&mut self, place: PlaceId) {
        if self.places.get(place).is_some() {
            self.places.store_failed(self.now);
            self.decide(place, false);
        }
    }

    /// Lets a session in that has waited, or turns it away.
    fn decide(&mut self, place: PlaceId, is_told: bool) {
        let Some(Place { group, stand }) = self.places.get(place) else {
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
        let Some(user) = self.users.get(group) else {
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
            self.places.stand(place, Stand::In);
            self.seat(group);
        } else {
            self.leave(self.now, place);
        }
        self.events.push_back(Event::Admitted { place, outcome });
    }
}

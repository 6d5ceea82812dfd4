//! Telling the store what users have transferred, and giving back what they do not need.

use super::message::{Ask, Event, Question, Standing, Totals};
use super::post::{Open, Wanted};
use super::round::{BATCH_MAX, Scope, Sharers};
use super::user::User;
use super::{Ledger, Stage};
use alloc::collections::VecDeque;
use alloc::vec::Vec;

impl Ledger {
    /// Has the store be told soon of a user that came: others may have the whole rate.
    pub(super) fn hurry_share(&mut self, group: u32) {
        if self.users.get(group).is_some_and(User::awaits_share) {
            self.agenda.hurry_sharing();
            self.begin_round();
        }
    }

    /// Has everything be reported soon.
    pub(super) fn hurry(&mut self) {
        self.agenda.hurry();
        self.begin_round();
    }

    /// Begins a round, if it is time. Gives back what users do not need, and forgets those of whom
    /// everything is known.
    pub(super) fn begin_round(&mut self) {
        let now = self.now;
        let Some(scope) = self.agenda.begin(now) else {
            return;
        };
        self.users.iter_mut().for_each(|user| user.measure(now));
        if scope == Scope::All {
            self.tidy_users();
        }
        self.post.want(Wanted::Round);
    }

    fn tidy_users(&mut self) {
        let now = self.now;
        let groups: Vec<u32> = self.users.iter().map(|(group, _)| group).collect();
        for group in groups {
            let config = self.config;
            let tidied = self.users.change(group, |user| user.tidy(now, &config));
            if tidied == Some(true) {
                self.release(group);
            }
        }
    }

    /// Lets a user go of whom nothing is left to be told.
    fn release(&mut self, group: u32) {
        if let Some(user) = self.users.release(group) {
            self.windows.unwatch(group, user.terms());
            self.events.push_back(Event::Released { group });
        }
    }

    /// Notes that the next batch is told; none if the round is over.
    pub(super) fn report(&mut self) -> Option<Ask> {
        if !self.agenda.is_due() {
            return None;
        }
        let mut left = match self.agenda.take_left() {
            Some(left) => left,
            None => self.groups_told(),
        };
        let mut batch = Vec::new();
        while batch.len() < BATCH_MAX
            && let Some(group) = left.pop_front()
        {
            // As they are now: the number of sessions told last is the one that counts.
            if let Some(user) = self.users.get(group) {
                batch.push((group, user.totals()));
            }
        }
        if batch.is_empty() {
            self.end_round(true);
            return None;
        }
        self.agenda.open(left);
        let id = self.send(Open::Round(batch.clone()));
        let question = Question::Report(batch);
        Some(Ask { id, question })
    }

    /// Returns the groups of whom the round tells.
    fn groups_told(&self) -> VecDeque<u32> {
        let users = self.users.iter();
        let told = users.filter(|(_, user)| self.agenda.tells_of(user));
        told.map(|(group, _)| group).collect()
    }

    /// Takes in what the store says to a batch.
    pub(super) fn reported(&mut self, batch: &[(u32, Totals)], said: &[Option<Standing>]) {
        let now = self.now;
        for ((group, totals), standing) in batch.iter().zip(said) {
            self.users.change(*group, |user| match standing {
                Some(standing) => {
                    user.known(now, *totals);
                    // A grant whose answer was lost is found here; the next question adopts it.
                    user.stand(now, standing);
                }
                None => user.lose(),
            });
        }
        if self.agenda.answered() {
            self.post.want(Wanted::Round);
        }
    }

    /// The round is over: everything was told, or the store did not take it.
    pub(super) fn end_round(&mut self, told: bool) {
        let leaving = self.stage == Stage::Leaving;
        if told && leaving && self.unreported().next().is_some() {
            // A grant that was found is given back.
            self.agenda.repeat();
            self.post.want(Wanted::Round);
            return;
        }
        let sharers = self.sharers(told);
        let scope = self.agenda.end(self.now, told, sharers);
        if leaving || self.users.is_empty() {
            self.agenda.sleep();
        }
        if scope == Scope::All || !told {
            let event = if told { Event::Told } else { Event::Untold };
            self.events.push_back(event);
        }
    }

    /// Returns who shares a rate, now that a round is over.
    fn sharers(&self, told: bool) -> Sharers {
        let any = |is: fn(&User) -> bool| self.users.iter().any(|(_, user)| is(user));
        if !any(User::is_sharing) {
            Sharers::Nobody
        } else if told && any(User::awaits_share) {
            // Somebody has come while the round was under way.
            Sharers::Newcomer
        } else {
            Sharers::Somebody
        }
    }
}

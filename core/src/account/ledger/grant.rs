//! Having the store grant more before what was granted is used up.

use super::message::{Ask, AskId, Question, Standing};
use super::post::{Open, Wanted};
use super::{Due, Ledger};
use crate::time::Instant;

impl Ledger {
    /// Asks for more, unless that is under way.
    pub(super) fn ask(&mut self, group: u32) {
        if let Some(user) = self.users.get_mut(group)
            && user.ask()
        {
            self.post.want(Wanted::Grant(group));
        }
    }

    /// Asks again.
    pub(super) fn unpause(&mut self, now: Instant, group: u32) {
        if let Some(user) = self.users.get_mut(group)
            && user.ask_again(now)
        {
            self.post.want(Wanted::Grant(group));
        }
    }

    /// Notes that the store is asked; none if nothing is needed any more.
    pub(super) fn ask_for_more(&mut self, group: u32) -> Option<Ask> {
        let user = self.users.get_mut(group)?;
        let want = user.want(self.now, &self.config)?;
        let totals = user.totals();
        let sessions = totals.sessions;
        let id = self.send(Open::Grant { group, sessions });
        if let Some(user) = self.users.get_mut(group) {
            user.asked(id);
        }
        let question = Question::Grant {
            group,
            totals,
            want,
        };
        Some(Ask { id, question })
    }

    /// Takes in an answer to [`ask_for_more`](Self::ask_for_more).
    pub(super) fn granted(&mut self, ask: AskId, group: u32, standing: Option<&Standing>) {
        let now = self.now;
        let again = self
            .users
            .change(group, |user| user.granted(now, ask, standing));
        self.ask_again_at(group, again.flatten());
    }

    /// The store has not answered [`ask_for_more`](Self::ask_for_more).
    pub(super) fn not_granted(&mut self, ask: AskId, group: u32) {
        let now = self.now;
        let again = self.users.change(group, |user| user.not_granted(now, ask));
        self.ask_again_at(group, again.flatten());
    }

    fn ask_again_at(&mut self, group: u32, until: Option<Instant>) {
        if let Some(until) = until {
            self.deadlines.insert((until, Due::Grant(group)));
        }
    }
}

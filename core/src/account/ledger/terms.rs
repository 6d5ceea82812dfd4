//! What users may do changes: their records are read again, and windows of validity open and close.

use super::Ledger;
use super::message::Terms;
use super::user::{Reread, User};

impl Ledger {
    /// Lets and shuts users in and out as their windows of validity open and close.
    pub(super) fn look_at_windows(&mut self, unix_time: u64) {
        if !self.windows.begin(self.now) {
            return;
        }
        while let Some(group) = self.windows.pop(unix_time) {
            let judged = self.users.change(group, |user| user.judge(unix_time));
            if judged == Some(Reread::Needy) {
                self.ask(group);
            }
        }
    }

    /// Takes in what reading a user's record has found.
    pub(super) fn reread(&mut self, unix_time: u64, group: u32, terms: Option<Terms>) {
        let now = self.now;
        let Some(terms) = terms else {
            self.users.change(group, |user| user.lose_read(now));
            return;
        };
        if let Some(user) = self.users.get(group) {
            self.windows.unwatch(group, user.terms());
            self.windows.watch(now, group, &terms);
        }
        let read = |user: &mut User| user.read(now, unix_time, terms);
        let reread = self.users.change(group, read);
        if reread == Some(Reread::Needy) {
            self.ask(group);
        }
    }
}

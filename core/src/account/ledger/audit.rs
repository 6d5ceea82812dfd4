//! Checks of everything that must always hold, from the inside.

use super::{Due, Ledger};

impl Ledger {
    /// Sees that what must always hold does. O(users), for tests and simulations.
    ///
    /// # Panics
    /// Panics if something does not.
    pub fn audit(&self) {
        self.users.audit();
        for (group, user) in self.users.iter() {
            if let Some(until) = user.asks_again_at() {
                let due = (until, Due::Grant(group));
                assert!(
                    self.deadlines.contains(&due),
                    "group {group} waits for ever"
                );
            }
        }
        for group in self.places.groups() {
            assert!(self.users.get(group).is_some(), "a place of nobody");
        }
        let sessions: usize = self
            .users
            .iter()
            .map(|(_, user)| user.sessions() as usize)
            .sum();
        assert_eq!(sessions, self.places.len(), "every session has a place");
    }
}

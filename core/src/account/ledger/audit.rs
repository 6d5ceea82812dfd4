//! Checks of everything that must always hold, from the inside.

use super::asking::Asking;
use super::{Due, Ledger};

impl Ledger {
    /// Sees that what must always hold does. O(users), for tests and simulations.
    ///
    /// # Panics
    /// Panics if something does not.
    pub fn audit(&self) {
        for (group, user) in &self.users {
            user.audit();
            assert_eq!(self.by_id.get(&user.id()), Some(group), "found by its id");
            if let Asking::Paused { until, .. } = user.asking {
                let due = (until, Due::Grant(*group));
                assert!(
                    self.deadlines.contains(&due),
                    "group {group} waits for ever"
                );
            }
        }
        assert_eq!(self.by_id.len(), self.users.len(), "every id has its user");
        for place in self.places.values() {
            assert!(self.users.contains_key(&place.group), "a place of nobody");
        }
        let sessions: usize = self
            .users
            .values()
            .map(|user| user.sessions() as usize)
            .sum();
        assert_eq!(sessions, self.places.len(), "every session has a place");
    }
}

//! What must always hold of a user.

use super::User;

impl User {
    pub(in crate::account::ledger) fn audit(&self) {
        let totals = self.totals();
        assert!(
            totals.returned <= totals.granted,
            "I9: {totals:?} gives back more than was granted"
        );
        if !self.line.is_up() {
            let rest = self.books.rest();
            assert_eq!(rest, 0, "I9: a grant that nobody can spend is kept");
        }
    }
}

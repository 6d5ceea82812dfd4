//! Which refusals are recorded. Whoever holds a token of too low a role could otherwise fill the audit log,
//! which never forgets, as fast as the store writes.

use crate::auth::Table;
use core::time::Duration;
use std::sync::{Mutex, PoisonError};
use titan_core::time::Instant;

/// How many refusals in a row are recorded one by one.
const SINGLE: u64 = 10;

/// After this long without one, refusals are counted anew.
const FORGET_AFTER: Duration = Duration::from_secs(3_600);

/// The most pairs of a token and an operation that are remembered; one that is given up counts anew.
const PAIRS_MAX: usize = 4_096;

/// How often each token was refused each operation lately.
pub(super) struct Refusals(Mutex<Table<(String, &'static str), Count>>);

struct Count {
    count: u64,
    last: Instant,
}

impl Refusals {
    /// Counts a refusal. Returns how many there were in a row if that is to be recorded: the first ten, and
    /// then each time their number has doubled, so that a record never says less than half of them.
    pub(super) fn count(&self, token: &str, action: &'static str, now: Instant) -> Option<u64> {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (token.to_owned(), action);
        if table.get(&key).is_none() {
            let new = Count {
                count: 0,
                last: now,
            };
            table
                .insert(key.clone(), new, |_, _| true)
                .expect("every entry may go");
        }
        let (_, _, entry) = table.get(&key).expect("it was just there or inserted");
        if now.since(entry.last) > FORGET_AFTER {
            entry.count = 0;
        }
        entry.last = now;
        entry.count += 1;
        let recorded = entry.count <= SINGLE
            || entry.count.is_multiple_of(SINGLE) && (entry.count / SINGLE).is_power_of_two();
        recorded.then_some(entry.count)
    }
}

impl Default for Refusals {
    fn default() -> Self {
        Self(Mutex::new(Table::new(PAIRS_MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant::from_nanos(1_000_000_000_000);

    #[test]
    fn the_first_are_recorded_and_then_as_their_number_doubles() {
        let refusals = Refusals::default();
        let recorded: Vec<u64> = (0..100)
            .filter_map(|_| refusals.count("a", "user.create", NOW))
            .collect();
        assert_eq!(recorded, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 20, 40, 80]);
        // Another token and another operation have counts of their own.
        assert_eq!(refusals.count("b", "user.create", NOW), Some(1));
        assert_eq!(refusals.count("a", "user.delete", NOW), Some(1));
        let later = NOW + FORGET_AFTER + Duration::from_nanos(1);
        assert_eq!(refusals.count("a", "user.create", later), Some(1));
    }

    #[test]
    fn endless_tokens_stay_within_the_bound() {
        let refusals = Refusals::default();
        for index in 0..2 * PAIRS_MAX {
            assert_eq!(
                refusals.count(&index.to_string(), "user.create", NOW),
                Some(1)
            );
        }
        let mut table = refusals.0.lock().unwrap();
        let known = |index: usize| table.get(&(index.to_string(), "user.create")).is_some();
        assert_eq!(
            (0..2 * PAIRS_MAX).map(known).filter(|known| *known).count(),
            PAIRS_MAX
        );
    }
}

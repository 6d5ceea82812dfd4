//! The index checked against itself.

use super::{
    Index,
    buckets::Buckets,
    entry::{Entry, NEVER},
    told::ExitKey,
};
use crate::time::Instant;
use alloc::collections::BTreeSet;

/// What [`Index::audit`] found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mismatch {
    /// The exit concerned, if it is one.
    pub key: Option<ExitKey>,
    /// What does not hold.
    pub detail: &'static str,
}

impl Index {
    /// Recomputes every band, position, count and review: O(n), for tests and simulations.
    ///
    /// # Errors
    ///
    /// Returns the first thing that does not hold: a defect of the index.
    pub fn audit(&self, now: Instant) -> Result<(), Mismatch> {
        let mut countries = BTreeSet::new();
        let mut full = 0;
        let (mut count, mut placed, mut placed_in_countries, mut reviewed) = (0, 0, 0, 0);
        for (key, entry) in self.entries() {
            count += 1;
            full += usize::from(entry.is_full());
            countries.extend(entry.country());
            placed += usize::from(entry.band.is_some());
            placed_in_countries += usize::from(entry.band.is_some() && entry.country().is_some());
            reviewed += usize::from(entry.review != NEVER);
            self.audit_entry(now, key, entry)
                .map_err(|detail| Mismatch {
                    key: Some(key),
                    detail,
                })?;
        }
        let in_countries = self
            .countries
            .values()
            .map(Buckets::audited_count)
            .sum::<Option<usize>>();
        for (holds, detail) in [
            (count == self.len(), "the number of exits is wrong"),
            (self.full == full, "the number of full exits is wrong"),
            (self.reviews.len() == reviewed, "a review of no exit"),
            (
                self.everywhere.audited_count() == Some(placed),
                "the buckets of all exits hold a stranger",
            ),
            (
                in_countries == Some(placed_in_countries),
                "the buckets of a country hold a stranger",
            ),
            (
                self.countries
                    .keys()
                    .all(|country| countries.contains(country)),
                "buckets of a country without exits",
            ),
        ] {
            if !holds {
                return Err(Mismatch { key: None, detail });
            }
        }
        Ok(())
    }

    fn audit_entry(&self, now: Instant, key: ExitKey, entry: &Entry) -> Result<(), &'static str> {
        if entry.review != NEVER && !self.reviews.contains(&(entry.review, key)) {
            return Err("its review is not scheduled");
        }
        // A band lags behind only while its review is due.
        if entry.review > now && entry.band != entry.band_at(now) {
            return Err("it is in the wrong band");
        }
        if entry.band.is_some() != entry.barred().is_none() {
            return Err("it is filtered and in a band, or neither");
        }
        let Some(band) = entry.band else {
            return Ok(());
        };
        if self.everywhere.keys(band).get(entry.position as usize) != Some(&key) {
            return Err("its position among all exits is wrong");
        }
        let Some(country) = entry.country() else {
            return Ok(());
        };
        let keys = self
            .countries
            .get(&country)
            .map_or(&[][..], |buckets| buckets.keys(band));
        if keys.get(entry.position_in_country as usize) != Some(&key) {
            return Err("its position in its country is wrong");
        }
        Ok(())
    }
}

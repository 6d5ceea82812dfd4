//! Which exit: the best of two samples from the best band, in O(1) among 100 000.
//!
//! ```text
//!             filter (never broken)                 rank                      choose
//!  exits ──▶ attached, accepting, below cap, ──▶ country × band ──▶ best band that holds an exit,
//!            not draining, not blacklisted       (64 bands: RTT      two samples, the better score
//!            └─ else in no bucket at all          × load quarter)
//! ```
//!
//! - The score is the smoothed RTT × (1 + sessions ÷ cap). Every failure adds 200 ms to the RTT and
//!   is forgotten with a half-life of one minute, so an exit that is fast because it fails attracts
//!   nothing.
//! - Bands are ranked: measured exits up to 800 ms (failures included), unmeasured ones, slow ones,
//!   unstable ones. So slow and unstable exits are a last resort and never a refusal.
//! - An unmeasured exit waits for its first pong behind all measured ones; but one choice in 64 is
//!   taken from the unmeasured, so that new exits are used also where pongs are rare.
//! - Two samples instead of the best of all: what many choosers know is a moment old, and they must
//!   not all run to the same exit. A choice counts as a session of its exit at once.
//! - A band changes with the exit and, while failures or losses are being forgotten, with time:
//!   such exits have a *review*, the instant when they reach a better band, in an ordered set.
//!   Whoever chooses first works off reviews that are due. Everything else is O(1); a move of an
//!   exit under review is O(log of their number).

mod audit;
mod band;
mod buckets;
mod choose;
mod entry;
mod explain;
mod told;
mod trouble;
mod verdict;

#[cfg(test)]
mod tests;

pub use self::{
    audit::Mismatch,
    band::{Band, Score},
    choose::{Choice, STEP_COUNT_MAX},
    told::{Country, Demand, EXCLUDE_COUNT_MAX, ExitKey, ExitState},
    verdict::{Reason, Standing, Verdict},
};

use self::{buckets::Buckets, entry::Entry};
use crate::time::Instant;
use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};

/// The exits of a POP, kept ready for choosing.
///
/// Methods ignore keys that are not present. A key says nothing about who holds it: the caller ends
/// the sessions of an exit before it gives the slot to another.
#[derive(Clone, Debug, Default)]
pub struct Index {
    slots: Vec<Option<Entry>>,
    count: usize,
    /// How many exits are barred because they have as many sessions as they may.
    full: usize,
    everywhere: Buckets,
    /// Ordered, not hashed, so that every run is the same; bounded by the number of countries.
    countries: BTreeMap<Country, Buckets>,
    /// When time alone may move which exit to a better band.
    reviews: BTreeSet<(Instant, ExitKey)>,
}

impl Index {
    /// Creates an index without exits.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an exit without a past; one that held the key before is forgotten.
    pub fn insert(&mut self, now: Instant, key: ExitKey, state: ExitState) {
        self.remove(key);
        let slot = key.0 as usize;
        if slot >= self.slots.len() {
            self.slots.resize(slot + 1, None);
        }
        self.slots[slot] = Some(Entry::new(state));
        self.count += 1;
        self.place(now, key);
    }

    /// Removes an exit and returns its last state.
    pub fn remove(&mut self, key: ExitKey) -> Option<ExitState> {
        let entry = self.entry(key)?;
        let (state, review) = (entry.state(), entry.review);
        self.take_out(key);
        self.reviews.remove(&(review, key));
        self.full -= usize::from(self.entry(key).is_some_and(|entry| entry.full));
        self.slots[key.0 as usize] = None;
        self.count -= 1;
        Some(state)
    }

    /// Changes what is known of an exit; failures and losses stay.
    pub fn update(&mut self, now: Instant, key: ExitKey, change: impl FnOnce(&mut ExitState)) {
        let Some(entry) = self.entry(key) else { return };
        let country = entry.country();
        let mut state = entry.state();
        change(&mut state);
        if state.country != country {
            self.take_out(key);
        }
        self.modify(now, key, |entry| entry.set_state(state));
    }

    /// Counts a session that was given to an exit without [`Self::choose`], even beyond its cap: a
    /// sticky session.
    pub fn session_opened(&mut self, now: Instant, key: ExitKey) {
        self.modify(now, key, Entry::session_opened);
    }

    /// Counts the end of a session, chosen or opened.
    pub fn session_closed(&mut self, now: Instant, key: ExitKey) {
        self.modify(now, key, Entry::session_closed);
    }

    /// Counts a failure that is the exit's fault: 200 ms more RTT, 1.6 s at most, halved every
    /// minute.
    pub fn failed(&mut self, now: Instant, key: ExitKey) {
        self.modify(now, key, |entry| entry.trouble_mut().failed(now));
    }

    /// Counts the loss of an exit's carrier: three in a row make it unstable for 40 s after the last,
    /// more for up to two minutes.
    pub fn lost(&mut self, now: Instant, key: ExitKey) {
        self.modify(now, key, |entry| entry.trouble_mut().lost(now));
    }

    /// Returns the number of exits, chosen or not.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Tells whether an exit would do that has as many sessions as it may.
    #[must_use]
    pub const fn has_full(&self) -> bool {
        self.full > 0
    }

    /// Tells whether there are no exits.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Returns what is known of an exit.
    #[must_use]
    pub fn state(&self, key: ExitKey) -> Option<ExitState> {
        self.entry(key).map(Entry::state)
    }

    /// Tells whether this is what is known of an exit, its round trip time as exact as it is kept here.
    #[must_use]
    pub fn holds(&self, key: ExitKey, state: ExitState) -> bool {
        self.state(key) == Some(Entry::new(state).state())
    }

    fn modify(&mut self, now: Instant, key: ExitKey, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.entry_mut(key) {
            change(entry);
            self.place(now, key);
        }
    }

    /// Puts an exit into the band it belongs to and schedules its review.
    fn place(&mut self, now: Instant, key: ExitKey) {
        let Some(entry) = self.entry_mut(key) else {
            return;
        };
        let review = entry.review_after(now);
        let scheduled = core::mem::replace(&mut entry.review, review);
        let (band, placed) = (entry.band_at(now), entry.band);
        let full = entry.is_full();
        let was_full = core::mem::replace(&mut entry.full, full);
        self.full = self.full + usize::from(full) - usize::from(was_full);
        if scheduled != review {
            self.reviews.remove(&(scheduled, key));
            if review != entry::NEVER {
                self.reviews.insert((review, key));
            }
        }
        if band != placed {
            self.unlink(key);
            self.link(key, band);
        }
    }

    /// Takes an exit out of its buckets for good, and its country's buckets away if it was the last
    /// one in them.
    fn take_out(&mut self, key: ExitKey) {
        self.unlink(key);
        let Some(country) = self.entry(key).and_then(Entry::country) else {
            return;
        };
        if self
            .countries
            .get(&country)
            .is_some_and(|buckets| buckets.occupied() == 0)
        {
            self.countries.remove(&country);
        }
    }

    fn link(&mut self, key: ExitKey, band: Option<Band>) {
        let Some(band) = band else { return };
        let position = self.everywhere.push(band, key);
        let country = self.entry(key).and_then(Entry::country);
        let position_in_country = country.map_or(0, |country| {
            self.countries.entry(country).or_default().push(band, key)
        });
        if let Some(entry) = self.entry_mut(key) {
            entry.band = Some(band);
            entry.position = position;
            entry.position_in_country = position_in_country;
        }
    }

    fn unlink(&mut self, key: ExitKey) {
        let Some(entry) = self.entry_mut(key) else {
            return;
        };
        let Some(band) = entry.band.take() else {
            return;
        };
        let (position, position_in_country, country) =
            (entry.position, entry.position_in_country, entry.country());
        if let Some(moved) = self
            .everywhere
            .remove(band, position)
            .and_then(|moved| self.entry_mut(moved))
        {
            moved.position = position;
        }
        let moved = country
            .and_then(|country| self.countries.get_mut(&country))
            .and_then(|buckets| buckets.remove(band, position_in_country));
        if let Some(moved) = moved.and_then(|moved| self.entry_mut(moved)) {
            moved.position_in_country = position_in_country;
        }
    }

    fn entry(&self, key: ExitKey) -> Option<&Entry> {
        self.slots.get(key.0 as usize)?.as_ref()
    }

    fn entry_mut(&mut self, key: ExitKey) -> Option<&mut Entry> {
        self.slots.get_mut(key.0 as usize)?.as_mut()
    }

    fn entries(&self) -> impl Iterator<Item = (ExitKey, &Entry)> {
        (0..)
            .zip(&self.slots)
            .filter_map(|(slot, entry)| Some((ExitKey(slot), entry.as_ref()?)))
    }
}

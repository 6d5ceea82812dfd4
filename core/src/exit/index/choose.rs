//! One choice: two samples from the best band.

use super::{
    Index,
    band::{self, Band},
    told::{Demand, ExitKey},
};
use crate::{rng::Rng, time::Instant};

/// The most steps of one choice: reviews, bands looked at and exits looked at.
///
/// At most 8 reviews. At most 3 bands hold only excluded exits, so a walk over bands ends at the
/// 4th, and its first sample looks at 3 excluded exits and a good one; the second may meet 3
/// excluded exits and the first again. A walk over unmeasured bands in vain costs 3 bands and 3
/// exits more.
pub const STEP_COUNT_MAX: u32 = REVIEW_COUNT_MAX + (4 + 4 + 5) + (3 + 3);

/// The most reviews worked off by one choice: more than a choice uses up, so that while many exits
/// recover at once there are always recovered ones to choose from.
const REVIEW_COUNT_MAX: u32 = 8;

/// One choice in this many is taken from exits without a measured RTT: enough to try a newcomer
/// within seconds on a busy POP, too few to be felt if it turns out slow.
const UNMEASURED_EVERY: u64 = 64;

/// A chosen exit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Choice {
    /// The exit.
    pub key: ExitKey,
    /// The work it took: reviews, bands and exits looked at; at most [`STEP_COUNT_MAX`] however
    /// many exits there are.
    pub steps: u32,
}

impl Index {
    /// Chooses an exit and counts the session at once; the caller owes one
    /// [`Self::session_closed`].
    ///
    /// Returns `None` only if no exit passes the filter. Between equal scores the lower key wins.
    pub fn choose(&mut self, now: Instant, demand: &Demand, rng: &mut Rng) -> Option<Choice> {
        let mut steps = self.review(now);
        let key = self.pick(now, demand, rng, &mut steps)?;
        debug_assert!(steps <= STEP_COUNT_MAX, "{steps} steps");
        self.session_opened(now, key);
        Some(Choice { key, steps })
    }

    fn pick(
        &self,
        now: Instant,
        demand: &Demand,
        rng: &mut Rng,
        steps: &mut u32,
    ) -> Option<ExitKey> {
        let buckets = match demand.country {
            None => &self.everywhere,
            Some(country) => self.countries.get(&country)?,
        };
        let occupied = buckets.occupied();
        let newcomers = occupied & band::UNMEASURED;
        let try_newcomers =
            newcomers != 0 && occupied & band::MEASURED != 0 && rng.below(UNMEASURED_EVERY) == 0;
        let walks = [if try_newcomers { newcomers } else { 0 }, occupied];
        for mut bands in walks {
            while let Some(band) = Band::best(bands) {
                bands &= !band.bit();
                *steps += 1;
                let sampled = self.sample(now, buckets.keys(band), demand, rng, steps);
                if sampled.is_some() {
                    return sampled;
                }
            }
        }
        None
    }

    /// Returns the better of two exits of a band; none if all are excluded.
    fn sample(
        &self,
        now: Instant,
        keys: &[ExitKey],
        demand: &Demand,
        rng: &mut Rng,
        steps: &mut u32,
    ) -> Option<ExitKey> {
        let count = keys.len() as u64;
        let start = rng.below(count);
        let first = probe(keys, start, steps, |key| !demand.excludes(key))?;
        let second = (start + 1 + rng.below(count - 1)) % count;
        let second = probe(keys, second, steps, |key| {
            key != first && !demand.excludes(key)
        })
        .unwrap_or(first);
        let score = |key| self.entry(key).map(|entry| entry.score(now));
        Some(if (score(second), second) < (score(first), first) {
            second
        } else {
            first
        })
    }

    /// Works off reviews that are due and returns how many.
    fn review(&mut self, now: Instant) -> u32 {
        for done in 0..REVIEW_COUNT_MAX {
            match self.reviews.first() {
                Some(&(due, key)) if due <= now => self.place(now, key),
                _ => return done,
            }
        }
        REVIEW_COUNT_MAX
    }
}

/// Returns the first exit from `start` on, round the end, that is wanted. Only excluded exits and
/// the first sample are ever unwanted, so it looks at no more than these and one.
fn probe(
    keys: &[ExitKey],
    start: u64,
    steps: &mut u32,
    wanted: impl Fn(ExitKey) -> bool,
) -> Option<ExitKey> {
    let start = start as usize;
    keys[start..]
        .iter()
        .chain(&keys[..start])
        .copied()
        .find(|&key| {
            *steps += 1;
            wanted(key)
        })
}

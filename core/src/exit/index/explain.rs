//! Why an exit would be chosen, or not (requirement B7).

use super::{
    Index,
    entry::Entry,
    told::{Demand, ExitKey},
    verdict::{Reason, Standing, Verdict},
};
use crate::time::Instant;
use alloc::vec::Vec;

impl Index {
    /// Returns the standing of every exit, in the order of the keys: O(n), for people, not for
    /// choosing.
    #[must_use]
    pub fn explain(&self, now: Instant, demand: &Demand) -> Vec<Verdict> {
        self.entries()
            .map(|(key, entry)| Verdict {
                key,
                standing: standing(now, demand, key, entry),
            })
            .collect()
    }
}

fn standing(now: Instant, demand: &Demand, key: ExitKey, entry: &Entry) -> Standing {
    let filtered = entry.barred().or_else(|| {
        if demand.country.is_some() && demand.country != entry.country() {
            Some(Reason::WrongCountry)
        } else {
            demand.excludes(key).then_some(Reason::Excluded)
        }
    });
    match (filtered, entry.band_at(now)) {
        (Some(reason), _) => Standing::Filtered { reason },
        (None, Some(band)) => {
            let score = entry.score(now);
            match entry.doubted(now) {
                Some(reason) => Standing::LastResort {
                    band,
                    score,
                    reason,
                },
                None => Standing::Candidate { band, score },
            }
        }
        (None, None) => unreachable!("an exit that is not barred has a band"),
    }
}

//! What this POP knows of one user, and the arithmetic of its lease.

use crate::store::{Standing, Totals, User};
use core::time::Duration;
use std::sync::Arc;
use titan_core::endpoint::{Carried, Grant, Rates};
use titan_core::time::Instant;

/// The smallest and the largest lease asked for at once, in bytes, unless little is left.
const LEASE_MIN: u64 = 1 << 20;
const LEASE_MAX: u64 = 64 << 20;

/// The smallest piece of what is left that is asked for.
const PIECE_MIN: u64 = 64 << 10;

/// A POP asks for this part of what is left at most, so that others find something.
const PIECE_OF_LEFT: u64 = 4;

/// A lease that lasts less than this is followed by a larger one, and one that lasts much longer by a
/// smaller one.
const LASTS_MIN: Duration = Duration::from_millis(500);
const LASTS_MAX: Duration = Duration::from_secs(4);

/// A user that this POP has sessions of, or has to report.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) record: Arc<User>,
    pub(super) read_at: Instant,
    pub(super) sessions: u32,
    pub(super) idle_since: Instant,
    /// The core knows the group.
    pub(super) in_core: bool,
    /// The record says that nobody may use it.
    pub(super) off: bool,
    /// The store had nothing left, and the group is shut for it.
    pub(super) dry: bool,
    /// A lease is being asked for.
    pub(super) asking: bool,
    pub(super) asked_at: Instant,
    /// The store knows the user no more.
    pub(super) gone: bool,
    pub(super) elsewhere: u64,
    totals: Totals,
    told: Option<Totals>,
    /// What groups that the core has forgotten had carried.
    base: Carried,
    /// What the user has left over all POPs, as told last.
    left: u64,
    size: u64,
}

/// The totals of a user of whom nothing is left to be told. What comes next counts on from here, because
/// the store takes what this process tells as maxima; 32 bytes for each user whom it has had.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Past {
    granted: u64,
    returned: u64,
    carried: Carried,
}

impl Held {
    pub(super) fn new(record: Arc<User>, now: Instant) -> Self {
        let limit = record.traffic_limit.unwrap_or(u64::MAX);
        Self {
            totals: Totals::new(record.name.clone(), record.id),
            left: limit.saturating_sub(record.charged),
            record,
            read_at: now,
            sessions: 0,
            idle_since: now,
            in_core: false,
            off: false,
            dry: false,
            asking: false,
            asked_at: now,
            gone: false,
            elsewhere: 0,
            told: None,
            base: Carried::default(),
            size: LEASE_MIN,
        }
    }

    /// Returns the totals, for [`resume`](Self::resume).
    pub(super) const fn past(&self) -> Past {
        Past {
            granted: self.totals.granted,
            returned: self.totals.returned,
            carried: Carried {
                up: self.totals.uploaded,
                down: self.totals.downloaded,
            },
        }
    }

    /// Counts on from earlier totals of the user.
    pub(super) fn resume(mut self, past: Past) -> Self {
        self.totals.granted = past.granted;
        self.totals.returned = past.returned;
        self.totals.uploaded = past.carried.up;
        self.totals.downloaded = past.carried.down;
        self.base = past.carried;
        self
    }

    pub(super) fn rates(&self) -> Rates {
        Rates {
            up: self.record.upload_rate.unwrap_or(0),
            down: self.record.download_rate.unwrap_or(0),
        }
    }

    pub(super) fn is_limited(&self) -> bool {
        self.record.traffic_limit.is_some()
    }

    /// Takes over what the core has counted for the group as it is now.
    pub(super) fn count(&mut self, carried: Carried) {
        let uploaded = self.base.up.saturating_add(carried.up);
        let downloaded = self.base.down.saturating_add(carried.down);
        self.totals.uploaded = self.totals.uploaded.max(uploaded);
        self.totals.downloaded = self.totals.downloaded.max(downloaded);
    }

    /// Notes that the core has forgotten the group, and gives back what is left of the lease: nothing
    /// can spend it any more.
    pub(super) fn forgotten(&mut self, last: Carried) {
        self.count(last);
        self.base = Carried {
            up: self.totals.uploaded,
            down: self.totals.downloaded,
        };
        self.in_core = false;
        self.give_back();
    }

    /// Gives back what is left of the lease. Only where nothing can spend it.
    pub(super) fn give_back(&mut self) {
        self.totals.returned += self.totals.rest();
    }

    /// Returns what the core is to be granted, with a warning below `low` bytes.
    pub(super) fn grant(&self, low: u64) -> Grant {
        let ceiling = self.totals.granted.saturating_sub(self.totals.returned);
        let here = ceiling.saturating_sub(self.base.total());
        Grant {
            total: self.is_limited().then_some(here),
            low,
        }
    }

    /// Returns how much of the lease is left, in bytes.
    pub(super) const fn rest(&self) -> u64 {
        self.totals.rest()
    }

    /// Returns the totals as they stand.
    pub(super) fn totals(&self) -> Totals {
        Totals {
            sessions: self.sessions,
            ..self.totals.clone()
        }
    }

    /// Returns how much to be granted in all; the size follows how long the last lease has lasted.
    pub(super) fn want(&mut self, now: Instant) -> u64 {
        let lasted = now.since(self.asked_at);
        if lasted < LASTS_MIN {
            self.size = (self.size * 2).min(LEASE_MAX);
        } else if lasted > LASTS_MAX {
            self.size = (self.size / 2).max(LEASE_MIN);
        }
        self.asked_at = now;
        let spent = self.totals.returned.saturating_add(self.totals.spent());
        let granted = self.totals.granted.max(spent);
        let piece = (self.left / PIECE_OF_LEFT).max(PIECE_MIN);
        granted.saturating_add(self.size.min(piece))
    }

    /// Takes in how the user stands, with what was granted in an answer that was lost.
    pub(super) fn stand(&mut self, standing: &Standing) {
        self.totals.granted = self.totals.granted.max(standing.granted);
        self.elsewhere = standing.sessions_elsewhere;
        let limit = standing.limit.unwrap_or(u64::MAX);
        self.left = limit.saturating_sub(standing.charged);
        if !self.in_core {
            self.give_back();
        }
    }

    /// Tells whether the user has something left that nobody was granted.
    pub(super) const fn has_left(&self) -> bool {
        self.left > 0
    }

    /// Tells whether the store does not know the totals as they stand. What was granted the store
    /// knows better.
    pub(super) fn is_unreported(&self) -> bool {
        let now = self.totals();
        self.told.as_ref().is_none_or(|told| {
            (told.returned, told.uploaded, told.downloaded, told.sessions)
                != (now.returned, now.uploaded, now.downloaded, now.sessions)
        })
    }

    /// Notes what the store has taken over.
    pub(super) fn reported(&mut self, totals: Totals) {
        self.told = Some(totals);
    }

    /// Notes that the store may have forgotten everything.
    pub(super) fn reassert(&mut self) {
        self.told = None;
    }
}

#[cfg(test)]
mod tests {
    use super::{Carried, Held, Instant, Standing, User};
    use crate::store::{Embedded, Location, Mode, NewUser, Store as _};
    use std::sync::Arc;

    async fn record() -> Arc<User> {
        let store = Embedded::open(&Location::Memory, Mode::Inline).unwrap();
        let mut user = NewUser::new("ann".to_owned(), String::new(), 0);
        user.traffic_limit = Some(100);
        Arc::new(store.create_user(user).await.unwrap())
    }

    #[tokio::test]
    async fn a_user_who_comes_back_counts_on() {
        let record = record().await;
        let mut first = Held::new(Arc::clone(&record), Instant::EPOCH);
        let stands = |granted| Standing {
            granted,
            charged: granted,
            limit: Some(100),
            sessions_elsewhere: 0,
        };
        first.in_core = true;
        first.stand(&stands(60));
        first.forgotten(Carried { up: 10, down: 20 });

        let mut second = Held::new(record, Instant::EPOCH).resume(first.past());
        second.in_core = true;
        // What was spent or given back is not to be had again.
        second.stand(&stands(60));
        assert_eq!((second.rest(), second.grant(0).total), (0, Some(0)));
        second.stand(&stands(70));
        assert_eq!((second.rest(), second.grant(0).total), (10, Some(10)));
        second.count(Carried { up: 1, down: 2 });
        let totals = second.totals();
        assert_eq!((totals.uploaded, totals.downloaded), (11, 22));
        assert!(second.want(Instant::EPOCH) > 70);
    }
}

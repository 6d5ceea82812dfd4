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

/// When half of a lease lasts less than this, the next one is larger, and when it lasts much longer,
/// smaller. Longer than an operation of the store takes: nobody waits for a slow one then.
const LASTS_MIN: Duration = Duration::from_secs(2);
const LASTS_MAX: Duration = Duration::from_secs(8);

/// Over how long the pace of a user is measured at least, and for how many times as long what is held
/// may last: the rest is for others. [`LEASE_MIN`] may be kept anyway, if much is left.
const PACE_MEASURED: Duration = Duration::from_secs(1);
const PACES_KEPT: u64 = 4;

/// What a store that fails may forget of its last words, amply.
const FORGETS: Duration = Duration::from_secs(5);

/// A user that this POP has sessions of, or has to report.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) record: Arc<User>,
    /// None for a record that a login came with: it may be older than the last change.
    pub(super) read_at: Option<Instant>,
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
    /// Sessions at other POPs, as told last.
    pub(super) elsewhere: u64,
    /// When the store told how the user stands.
    pub(super) stood_at: Option<Instant>,
    /// Since when the store has had nothing while others held something.
    pub(super) thirsty_since: Option<Instant>,
    /// What had been spent when the pace was looked at last, and when that was.
    paced: (u64, Instant),
    totals: Totals,
    told: Option<Totals>,
    told_at: Instant,
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
        let limit = record.settings.traffic_limit.unwrap_or(u64::MAX);
        let spent = record.uploaded.saturating_add(record.downloaded);
        Self {
            totals: Totals::new(record.name.clone(), record.id),
            left: limit.saturating_sub(record.charged),
            record,
            read_at: None,
            sessions: 0,
            idle_since: now,
            in_core: false,
            off: false,
            dry: spent >= limit,
            asking: false,
            asked_at: now,
            gone: false,
            elsewhere: 0,
            stood_at: None,
            thirsty_since: None,
            paced: (0, now),
            told: None,
            told_at: now,
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
            up: self.record.settings.upload_rate.unwrap_or(0),
            down: self.record.settings.download_rate.unwrap_or(0),
        }
    }

    pub(super) fn is_limited(&self) -> bool {
        self.record.settings.traffic_limit.is_some()
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
        spent
            .saturating_add(self.size.min(self.piece()))
            .max(self.totals.granted)
    }

    /// The largest part of what is left that this POP holds.
    fn piece(&self) -> u64 {
        (self.left / PIECE_OF_LEFT).max(PIECE_MIN)
    }

    /// Returns how much more is held than is spent within a few seconds at the pace since this was
    /// last called: nothing if that was a moment ago.
    pub(super) fn idle(&mut self, now: Instant) -> u64 {
        let (spent, at) = self.paced;
        if now.since(at) < PACE_MEASURED {
            return 0;
        }
        self.paced = (self.totals.spent(), now);
        let moved = self.totals.spent() - spent;
        let floor = LEASE_MIN.min(self.piece());
        let keep = moved.saturating_mul(PACES_KEPT).max(floor);
        let idle = self.rest().saturating_sub(keep);
        if idle > 0 {
            self.size = self.size.min(keep.max(LEASE_MIN));
        }
        idle
    }

    /// Gives back up to so many bytes of the rest, and returns what the core is to be left with; none
    /// if there is nothing to give back.
    pub(super) fn lessen(&mut self, bytes: u64) -> Option<Grant> {
        let given = bytes.min(self.totals.rest());
        if given == 0 || !self.is_limited() {
            return None;
        }
        self.totals.returned += given;
        Some(self.grant((self.totals.rest() / 2).max(1)))
    }

    /// Tells whether session `number` here is not one too many, as far as is known.
    pub(super) fn has_room(&self, number: u32) -> bool {
        // Sessions before it may have ended meanwhile.
        let here = u64::from(number.min(self.sessions));
        let max = self.record.settings.sessions_max.map(u64::from);
        max.is_none_or(|max| here.saturating_add(self.elsewhere) <= max)
    }

    /// Takes in what the record says is left, and returns how much more than the limit is charged.
    pub(super) fn read(&mut self) -> u64 {
        let limit = self.record.settings.traffic_limit.unwrap_or(u64::MAX);
        self.left = limit.saturating_sub(self.record.charged);
        self.record.charged.saturating_sub(limit)
    }

    /// Takes in how the user stands, with what was granted in an answer that was lost. Returns how
    /// much more than the limit is charged.
    pub(super) fn stand(&mut self, standing: &Standing, now: Instant) -> u64 {
        self.stood_at = Some(now);
        self.totals.granted = self.totals.granted.max(standing.granted);
        self.elsewhere = standing.sessions_elsewhere;
        let limit = standing.limit.unwrap_or(u64::MAX);
        self.left = limit.saturating_sub(standing.charged);
        if !self.in_core {
            self.give_back();
        }
        standing.charged.saturating_sub(limit)
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
    pub(super) fn reported(&mut self, totals: Totals, now: Instant) {
        self.told = Some(totals);
        self.told_at = now;
    }

    /// Tells whether the store knows everything for so long that it does not forget it when it fails.
    pub(super) fn is_settled(&self, now: Instant) -> bool {
        !self.is_unreported() && now.since(self.told_at) >= FORGETS
    }

    /// Notes that the store may have forgotten everything.
    pub(super) fn reassert(&mut self) {
        self.told = None;
    }
}

#[cfg(test)]
mod tests {
    use super::{Carried, Held, Instant, Standing, User};
    use crate::store::{Embedded, Location, Mode, NewUser, Users as _};
    use std::sync::Arc;

    async fn record() -> Arc<User> {
        let store = Embedded::open(&Location::Memory, Mode::Inline).unwrap();
        let mut user = NewUser::new("ann".to_owned(), String::new(), 0);
        user.settings.traffic_limit = Some(100);
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
            held_elsewhere: 0,
        };
        first.in_core = true;
        first.stand(&stands(60), Instant::EPOCH);
        first.forgotten(Carried { up: 10, down: 20 });

        let mut second = Held::new(record, Instant::EPOCH).resume(first.past());
        second.in_core = true;
        // What was spent or given back is not to be had again.
        second.stand(&stands(60), Instant::EPOCH);
        assert_eq!((second.rest(), second.grant(0).total), (0, Some(0)));
        second.stand(&stands(70), Instant::EPOCH);
        assert_eq!((second.rest(), second.grant(0).total), (10, Some(10)));
        second.count(Carried { up: 1, down: 2 });
        let totals = second.totals();
        assert_eq!((totals.uploaded, totals.downloaded), (11, 22));
        assert!(second.want(Instant::EPOCH) > 70);
    }
}

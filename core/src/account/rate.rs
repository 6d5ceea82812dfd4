//! Bytes per second, exact: the level is kept in bytes times nanoseconds, so that nothing is rounded.

use crate::planted::{self, Planted};
use crate::time::{Duration, Instant};

/// What may move at once after a pause, as a part of a second: smooth, and no account of idle time.
const BURST_PER_SECOND: u64 = 20;

/// What may move at once at any rate: the smallest frame limit that a peer may set.
const BURST_MIN: u64 = 1 << 10;

const SECOND: u128 = 1_000_000_000;

/// A token bucket of 50 ms; without a rate it is bottomless.
#[derive(Debug, Default)]
pub(crate) struct Bucket {
    /// Bytes per second; zero is no limit.
    rate: u64,
    /// Bytes × 10⁹ at `at`.
    level: u128,
    at: Instant,
}

impl Bucket {
    /// Sets the rate. What has gathered stays, as far as the new rate's burst holds it.
    pub(crate) fn limit(&mut self, now: Instant, rate: u64) {
        if rate == self.rate {
            return;
        }
        let level = if self.rate == 0 {
            u128::MAX
        } else {
            self.level_at(now)
        };
        self.rate = rate;
        self.level = level.min(self.burst_scaled());
        self.at = now;
    }

    const fn burst(&self) -> u64 {
        let burst = self.rate / BURST_PER_SECOND;
        if burst > BURST_MIN { burst } else { BURST_MIN }
    }

    /// Returns what is too little to be moved for its own sake: who moved it would be back at once.
    pub(crate) const fn crumb(&self) -> u64 {
        self.burst() / 8
    }

    fn burst_scaled(&self) -> u128 {
        u128::from(self.burst()) * SECOND
    }

    fn level_at(&self, now: Instant) -> u128 {
        let gathered = now.since(self.at).as_nanos() * u128::from(self.rate);
        let level = self.level + gathered;
        let level_max = self.burst_scaled();
        planted::bend(Planted::IdleTimeSaved, level.min(level_max), |_| level)
    }

    /// Returns how many bytes may move now.
    pub(crate) fn available(&self, now: Instant) -> u64 {
        if self.rate == 0 {
            return u64::MAX;
        }
        u64::try_from(self.level_at(now) / SECOND).unwrap_or(u64::MAX)
    }

    /// Takes bytes that moved; more than is available leaves nothing.
    pub(crate) fn take(&mut self, now: Instant, bytes: u64) {
        if self.rate == 0 {
            return;
        }
        let taken = u128::from(bytes) * SECOND;
        self.level = self.level_at(now).saturating_sub(taken);
        self.at = self.at.max(now);
    }

    /// Returns when half a burst, or `enough` if that is less, is available: waking somebody for
    /// less is not worth it, and waiting for more could let the bucket run over.
    pub(crate) fn worth_at(&self, now: Instant, enough: u64) -> Instant {
        if self.rate == 0 {
            return now;
        }
        let wanted = u128::from((self.burst() / 2).min(enough).max(1)) * SECOND;
        let missing = wanted.saturating_sub(self.level_at(now));
        let nanos = missing.div_ceil(u128::from(self.rate));
        now + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::{BURST_MIN, Bucket};
    use crate::time::{Duration, Instant};

    fn at(millis: u64) -> Instant {
        Instant::EPOCH + Duration::from_millis(millis)
    }

    fn bucket(rate: u64) -> Bucket {
        let mut bucket = Bucket::default();
        bucket.limit(Instant::EPOCH, rate);
        bucket
    }

    #[test]
    fn a_burst_is_fifty_milliseconds_or_a_small_frame() {
        assert_eq!(bucket(1_000_000).available(at(0)), 50_000);
        assert_eq!(bucket(1_000_000).available(at(60_000)), 50_000);
        assert_eq!(bucket(1_000).available(at(60_000)), BURST_MIN);
        assert_eq!(bucket(0).available(at(0)), u64::MAX);
    }

    #[test]
    fn nothing_is_rounded_away() {
        // 7 bytes per second, looked at every millisecond, is 7 bytes per second.
        let mut bucket = bucket(7);
        bucket.take(at(0), BURST_MIN);
        let mut taken = 0;
        for millis in 0..=100_000 {
            let available = bucket.available(at(millis));
            bucket.take(at(millis), available);
            taken += available;
        }
        assert_eq!(taken, 700);
    }

    #[test]
    fn it_is_worth_it_at_half_a_burst_exactly() {
        let mut bucket = bucket(1_000_000);
        bucket.take(at(0), 50_000);
        let worth = bucket.worth_at(at(0), u64::MAX);
        assert_eq!(worth, at(25));
        assert_eq!(bucket.available(worth), 25_000);
        let few = bucket.worth_at(at(0), 10);
        assert_eq!(bucket.available(few), 10);
        assert_eq!(bucket.available(few - Duration::from_nanos(1)), 9);
    }

    #[test]
    fn a_change_gives_nothing_away() {
        let mut bucket = bucket(1_000_000);
        bucket.take(at(0), 50_000);
        bucket.limit(at(10), 2_000_000);
        assert_eq!(bucket.available(at(10)), 10_000);
        bucket.limit(at(10), 100_000);
        assert_eq!(bucket.available(at(10)), 5_000);
        bucket.limit(at(20), 0);
        assert_eq!(bucket.available(at(20)), u64::MAX);
    }
}

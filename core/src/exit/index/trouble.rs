//! What an exit did wrong lately, forgotten by and by.

use crate::time::{Duration, Instant};

/// The time in which a failure or a loss counts half. A minute is longer than any dial or
/// reconnect, so that trouble in a row adds up, and short enough that an exit that recovered is
/// back within minutes.
pub(super) const HALF_LIFE: Duration = Duration::from_secs(60);

/// What one failure adds to the RTT, in microseconds: a quarter of the limit above which exits are
/// avoided, so that four failures in a row make any exit a last resort, also the one that is fast
/// because it fails.
pub(super) const FAILURE_PENALTY: u32 = 200_000;

/// The highest penalty, in microseconds: twice the limit above which exits are avoided, so that the
/// worst exit is a candidate again after little more than one half-life.
pub(super) const PENALTY_MAX: u32 = 1_600_000;

/// One loss of a carrier. Fine units, because each event rounds the level up by less than one of
/// them.
const LOSS: u32 = 1 << 20;

/// Losses above which an exit is unstable: a single reconnect is ordinary, a second may be the same
/// outage.
const UNSTABLE: u32 = 2 * LOSS;

/// The highest level of losses: an exit is stable two half-lives after its last loss at the latest.
const LOSSES_MAX: u32 = 8 * LOSS;

const HALF_LIFE_NANOS: u64 = HALF_LIFE.as_nanos() as u64;

// The products in `decayed` and `time_until` fit 64 bits.
const _: () =
    assert!(PENALTY_MAX <= LOSSES_MAX && LOSSES_MAX as u64 <= u64::MAX / (2 * HALF_LIFE_NANOS));

/// Failures and losses of one exit. Both decay exponentially from a common instant and are computed
/// when they are read, so that time costs nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Trouble {
    /// Penalty at `at`, in microseconds of RTT.
    failures: u32,
    /// Losses at `at`, in fractions of [`LOSS`].
    losses: u32,
    at: Instant,
}

impl Trouble {
    /// Counts a failure.
    pub(super) fn failed(&mut self, now: Instant) {
        self.advance(now);
        self.failures = (self.failures + FAILURE_PENALTY).min(PENALTY_MAX);
    }

    /// Counts a loss of the carrier.
    pub(super) fn lost(&mut self, now: Instant) {
        self.advance(now);
        self.losses = (self.losses + LOSS).min(LOSSES_MAX);
    }

    /// Returns what failures add to the RTT, in microseconds.
    pub(super) fn penalty(&self, now: Instant) -> u32 {
        decayed(self.failures, now.since(self.at))
    }

    /// Tells whether the exit lost its carrier several times in a short time.
    pub(super) fn is_unstable(&self, now: Instant) -> bool {
        decayed(self.losses, now.since(self.at)) > UNSTABLE
    }

    /// Returns the first instant at which the penalty is at most `micros`.
    pub(super) fn penalty_at_most(&self, micros: u32) -> Instant {
        self.at + time_until(self.failures, micros)
    }

    /// Returns the first instant at which the exit is not unstable.
    pub(super) fn stable_at(&self) -> Instant {
        self.at + time_until(self.losses, UNSTABLE)
    }

    fn advance(&mut self, now: Instant) {
        let elapsed = now.since(self.at);
        self.failures = decayed(self.failures, elapsed);
        self.losses = decayed(self.losses, elapsed);
        self.at = self.at.max(now);
    }
}

/// Returns what is left of `level`: exact after whole half-lives and a straight line between them,
/// at most 6.2 % above the exponential. Integers, because `core` has no `exp2` and a seed must mean
/// the same everywhere.
fn decayed(level: u32, elapsed: Duration) -> u32 {
    let nanos = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
    let halvings = u32::try_from(nanos / HALF_LIFE_NANOS).unwrap_or(u32::MAX);
    let level = level.checked_shr(halvings).unwrap_or(0);
    let rest = nanos % HALF_LIFE_NANOS;
    level - (u64::from(level) * rest / (2 * HALF_LIFE_NANOS)) as u32
}

/// Returns the least time after which `level` has decayed to at most `target`.
fn time_until(mut level: u32, target: u32) -> Duration {
    let mut nanos = 0;
    while level / 2 > target {
        level /= 2;
        nanos += HALF_LIFE_NANOS;
    }
    if level > target {
        let line = (u64::from(level - target) * 2 * HALF_LIFE_NANOS).div_ceil(u64::from(level));
        nanos += line.min(HALF_LIFE_NANOS);
    }
    Duration::from_nanos(nanos)
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use proptest::prelude::*;

    fn at(seconds: u64) -> Instant {
        Instant::EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn trouble_halves_and_is_forgotten() {
        let mut trouble = Trouble::default();
        trouble.failed(at(5));
        assert_eq!(trouble.penalty(at(5)), FAILURE_PENALTY);
        assert_eq!(trouble.penalty(at(65)), FAILURE_PENALTY / 2);
        assert_eq!(trouble.penalty(at(125)), FAILURE_PENALTY / 4);
        assert_eq!(trouble.penalty(at(5 + 60 * 32)), 0);
        assert_eq!(trouble.penalty(Instant::from_nanos(u64::MAX)), 0);
    }

    #[test]
    fn trouble_has_a_ceiling() {
        let mut trouble = Trouble::default();
        for _ in 0..1000 {
            trouble.failed(at(1));
            trouble.lost(at(1));
        }
        assert_eq!(trouble.penalty(at(1)), PENALTY_MAX);
        assert!(trouble.is_unstable(at(120)));
        assert!(!trouble.is_unstable(at(121)));
    }

    #[test]
    fn failures_do_not_keep_an_exit_unstable() {
        let mut trouble = Trouble::default();
        (0..3).for_each(|_| trouble.lost(at(0)));
        for millis in 0..82_000 {
            trouble.failed(at(0) + Duration::from_millis(millis));
        }
        assert!(!trouble.is_unstable(at(82)));
    }

    #[test]
    fn a_clock_that_steps_back_adds_nothing() {
        let mut trouble = Trouble::default();
        trouble.failed(at(100));
        trouble.failed(at(40));
        assert_eq!(trouble.penalty(at(100)), 2 * FAILURE_PENALTY);
    }

    proptest! {
        #[test]
        fn decay_follows_the_exponential(level in 0..=LOSSES_MAX, millis in 0u64..600_000) {
            let exact = f64::from(level) * (-(millis as f64) / 60_000.0).exp2();
            let ours = f64::from(decayed(level, Duration::from_millis(millis)));
            prop_assert!(ours >= exact.floor() - 1.0 && ours <= exact * 1.062 + 1.0, "{ours} for {exact}");
        }

        #[test]
        fn time_until_is_the_first_such_time(level in 0..=LOSSES_MAX, target in 0..=LOSSES_MAX) {
            let time = time_until(level, target);
            prop_assert!(decayed(level, time) <= target);
            if let Some(before) = time.checked_sub(Duration::from_nanos(1)) {
                prop_assert!(decayed(level, before) > target);
            }
        }
    }
}

//! How much a carrier takes per second, so that little is committed at once to a slow one.

use crate::time::{Duration, Instant};

/// A frame that must overtake waits for at most this long behind what was committed before it.
const COMMIT: Duration = Duration::from_millis(50);

/// Never is less committed at once: below, headers and system calls would cost more than the wait.
const BURST_MIN: usize = 16 << 10;

/// The stretch over which a rate is measured.
const STRETCH: Duration = Duration::from_millis(100);

/// The rate of a tunnel's carrier, measured by acknowledgements while there is always something
/// unacknowledged: only then do they tell what the carrier takes rather than what it is given.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    stretch: Option<(Instant, u64)>,
    bytes_per_second: Option<u64>,
}

impl Pace {
    /// Notes that `freed` bytes were acknowledged. `busy` tells whether the resend buffer is full or
    /// DATA still waits, so that the carrier is what limits.
    pub(crate) fn acknowledged(&mut self, now: Instant, freed: u64, busy: bool) {
        if let Some((since, bytes)) = &mut self.stretch {
            *bytes += freed;
            let elapsed = now.since(*since);
            if elapsed >= STRETCH {
                let nanos = elapsed.as_nanos().max(1);
                let measured = u128::from(*bytes) * 1_000_000_000 / nanos;
                let measured = u64::try_from(measured).unwrap_or(u64::MAX);
                self.bytes_per_second = Some(
                    self.bytes_per_second
                        .map_or(measured, |old| old / 2 + measured / 2),
                );
                self.stretch = None;
            }
        }
        if !busy {
            self.stretch = None;
        } else if self.stretch.is_none() {
            self.stretch = Some((now, 0));
        }
    }

    /// Returns how many bytes to commit to the carrier at once.
    pub(crate) fn burst(&self) -> usize {
        let Some(rate) = self.bytes_per_second else {
            return usize::MAX;
        };
        let bytes = u128::from(rate) * COMMIT.as_nanos() / 1_000_000_000;
        usize::try_from(bytes).unwrap_or(usize::MAX).max(BURST_MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::{BURST_MIN, Pace};
    use crate::time::{Duration, Instant};

    #[test]
    fn a_busy_carrier_is_measured_and_an_idle_one_is_not() {
        let mut pace = Pace::default();
        let mut now = Instant::EPOCH;
        for _ in 0..100 {
            now = now + Duration::from_millis(20);
            pace.acknowledged(now, 1000, false);
        }
        assert_eq!(
            pace.burst(),
            usize::MAX,
            "a trickle says nothing about the carrier"
        );
        for _ in 0..100 {
            now = now + Duration::from_millis(20);
            pace.acknowledged(now, 25_000, true);
        }
        let burst = pace.burst();
        assert!(
            (60_000..65_000).contains(&burst),
            "50 ms of 1.25 MB/s, not {burst}"
        );
        for _ in 0..100 {
            now = now + Duration::from_millis(20);
            pace.acknowledged(now, 10, true);
        }
        assert_eq!(pace.burst(), BURST_MIN);
    }
}

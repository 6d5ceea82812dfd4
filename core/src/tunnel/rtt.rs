//! Round trip times, smoothed as in RFC 6298 section 2.

use crate::time::Duration;

/// Smoothed mean and deviation of a tunnel's round trip time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Rtt {
    estimate: Option<(Duration, Duration)>,
}

impl Rtt {
    pub(crate) fn sample(&mut self, rtt: Duration) {
        self.estimate = Some(match self.estimate {
            None => (rtt, rtt / 2),
            Some((smoothed, deviation)) => (
                (smoothed * 7 + rtt) / 8,
                (deviation * 3 + smoothed.abs_diff(rtt)) / 4,
            ),
        });
    }

    /// Returns the smoothed round trip time, if one was ever measured.
    #[must_use]
    pub fn smoothed(&self) -> Option<Duration> {
        self.estimate.map(|(smoothed, _)| smoothed)
    }

    /// Returns the mean deviation from it.
    #[must_use]
    pub fn deviation(&self) -> Option<Duration> {
        self.estimate.map(|(_, deviation)| deviation)
    }
}

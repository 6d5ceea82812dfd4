//! How fast DATA may leave: nodes may be slowed down.

use crate::account::rate::Bucket;
use crate::time::Instant;

#[derive(Debug, Default)]
pub(super) struct Throttle {
    rate: Bucket,
    paused_until: Option<Instant>,
}

impl Throttle {
    pub(super) fn limit(&mut self, now: Instant, rate: u64) {
        self.rate.limit(now, rate);
        self.paused_until = None;
    }

    /// Returns how many bytes may be sent now; none rather than crumbs, and then waits.
    pub(super) fn room(&mut self, now: Instant) -> usize {
        if self.paused_until.is_some() {
            return 0;
        }
        let available = self.rate.available(now);
        if available < self.rate.crumb().max(1) {
            self.paused_until = Some(self.rate.worth_at(now, u64::MAX));
            return 0;
        }
        usize::try_from(available).unwrap_or(usize::MAX)
    }

    pub(super) fn take(&mut self, now: Instant, bytes: usize) {
        self.rate.take(now, bytes as u64);
    }

    pub(super) const fn is_paused(&self) -> bool {
        self.paused_until.is_some()
    }

    pub(super) const fn paused_until(&self) -> Option<Instant> {
        self.paused_until
    }

    /// Ends a pause that is over.
    pub(super) fn unpause(&mut self, now: Instant) -> bool {
        self.paused_until.take_if(|until| *until <= now).is_some()
    }
}

//! How long a peer takes to acknowledge what it was sent, over all carriers.

use crate::config::Config;
use crate::time::{Duration, Instant};

/// What a peer has to acknowledge next, however little it says at a time and however often it comes back.
#[derive(Debug, Default)]
pub(super) struct Debt(Option<Owed>);

#[derive(Clone, Copy, Debug)]
struct Owed {
    /// The last frame of those that it owes.
    number: u64,
    since: Instant,
}

impl Debt {
    /// Brings it up to what was `sent`: once all that was owed is acknowledged, what was sent since is.
    pub(super) fn fall_due(&mut self, now: Instant, acknowledged: u64, sent: u64) {
        if self.0.is_none_or(|owed| owed.number <= acknowledged) {
            self.0 = (acknowledged < sent).then_some(Owed {
                number: sent,
                since: now,
            });
        }
    }

    /// Forgets what is acknowledged.
    pub(super) fn acknowledge(&mut self, acknowledged: u64) {
        self.0.take_if(|owed| owed.number <= acknowledged);
    }

    pub(super) fn due_at(&self, config: &Config) -> Option<Instant> {
        self.0.map(|owed| owed.since + config.ack_within())
    }

    pub(super) fn is_overdue(&self, now: Instant, config: &Config) -> bool {
        self.due_at(config).is_some_and(|at| at <= now)
    }

    /// Waits until then instead, which is later.
    pub(super) fn put_off_until(&mut self, until: Instant, config: &Config) {
        if let Some(owed) = &mut self.0 {
            owed.since = owed.since + until.since(owed.since + config.ack_within());
        }
    }

    /// Tells whether what is owed is not acknowledged.
    pub(super) fn is_consistent(&self, acknowledged: u64) -> bool {
        self.0.is_none_or(|owed| owed.number > acknowledged)
    }

    /// Leaves out the time in which the peer was not read.
    pub(super) fn excuse(&mut self, now: Instant, unread: Duration) {
        if let Some(owed) = &mut self.0 {
            owed.since = (owed.since + unread).min(now);
        }
    }
}

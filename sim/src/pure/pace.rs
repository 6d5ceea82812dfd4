//! How long what has to cross a scenario's paths may take for nobody's fault.

use super::scenario::{Network, Scenario};
use std::collections::BTreeMap;
use titan_core::time::Duration;

/// Bytes that a carrier is offered at once.
pub(super) const BATCH: u64 = 16 << 10;

/// What a group may send before it is the next one's turn.
const QUANTUM: u64 = 64 << 10;

impl Scenario {
    /// Returns how long the dials of a group may wait for their turns on one carrier, at most: each of
    /// them after every other group has had its own.
    pub(super) fn turns_max(&self, group: u32) -> Duration {
        let dials = self.flows.iter().filter(|flow| flow.group == group).count() as u64;
        let others = self.flows.iter().filter(|flow| flow.group != group);
        let others: BTreeMap<u32, u64> = others
            .map(|flow| (flow.group, u64::from(flow.weight)))
            .collect();
        let ahead = dials * others.values().sum::<u64>() * QUANTUM;
        Duration::from_millis(ahead.checked_div(self.network.bandwidth).unwrap_or(0))
    }
}

impl Scenario {
    /// Returns how long the rest of a session may take to leave behind what others have on its way, at most.
    pub(super) fn rest_max(&self) -> Duration {
        let network = &self.network;
        let weights = self.flows.iter().map(|flow| u64::from(flow.weight));
        let most = weights.sum::<u64>() * QUANTUM;
        let windows = most.div_ceil(network.window as u64);
        let paced = most.checked_div(network.bandwidth).unwrap_or(0);
        network.round_trip_max()
            + Duration::from_millis(windows * 2 * (network.delay + network.jitter) + paced)
    }
}

impl Network {
    /// Returns how long a question and its answer take at most when both wait behind a full window.
    #[must_use]
    pub(super) fn round_trip_max(&self) -> Duration {
        let queued = match self.bandwidth {
            0 => 0,
            // The last batch may exceed the window.
            rate => (self.window as u64 + BATCH) / rate,
        };
        Duration::from_millis(2 * (self.delay + self.jitter + queued))
    }
}

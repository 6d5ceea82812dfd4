//! How many sessions fit into what a process may hold.
//!
//! Each may leave a little waiting for as long as it likes, and nobody is reset for that; so all of them
//! together have to fit. What is refused at start is not refused in the middle of the night.

use crate::config::{EdgeConfig, Limits};
use titan_core::endpoint::Config;

/// Cuts the limit of a POP's sessions down to what its budget has room for, and says so.
pub fn fit_pop(limits: &mut Limits) {
    let names = ("limits.memory_budget_bytes", "limits.sessions_max");
    limits.clients_max = fit(names, limits.memory_budget_bytes, limits.clients_max);
}

/// Cuts the limit of the sessions of each edge of a process down to what its part of the budget has room for,
/// and says so.
pub fn fit_edge(config: &mut EdgeConfig) {
    let names = ("memory_budget_bytes", "sessions_max");
    let each = config.memory_budget_bytes / u64::from(config.copies.max(1));
    config.sessions_max = fit(names, each, config.sessions_max);
}

fn fit((budget_key, key): (&str, &str), budget: u64, configured: u32) -> u32 {
    let fitting = u32::try_from(Config::sessions_fitting(budget));
    // One without a session would be of no use.
    let fitting = fitting.unwrap_or(u32::MAX).max(1);
    if fitting < configured {
        tracing::warn!(
            configured,
            fitting,
            budget,
            "{budget_key} has no room for as many sessions as {key} says: raise it or lower the setting"
        );
    }
    configured.min(fitting)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_fit() {
        let mut limits = Limits::default();
        fit_pop(&mut limits);
        assert_eq!(limits.clients_max, Limits::default().clients_max);
        let mut config = EdgeConfig::default();
        fit_edge(&mut config);
        assert_eq!(config.sessions_max, EdgeConfig::default().sessions_max);
    }

    #[test]
    fn a_small_budget_has_few_sessions() {
        let mut limits = Limits {
            memory_budget_bytes: 16 << 20,
            ..Limits::default()
        };
        fit_pop(&mut limits);
        assert_eq!(limits.clients_max, 1_638);
        let mut config = EdgeConfig {
            memory_budget_bytes: 4 << 20,
            ..EdgeConfig::default()
        };
        fit_edge(&mut config);
        assert_eq!(config.sessions_max, 409);
        let mut copies = EdgeConfig {
            memory_budget_bytes: 16 << 20,
            copies: 4,
            ..EdgeConfig::default()
        };
        fit_edge(&mut copies);
        assert_eq!(copies.sessions_max, 409);
        copies.copies = 100_000;
        fit_edge(&mut copies);
        assert_eq!(copies.sessions_max, 1);
        // A setting that fits stays.
        (limits.clients_max, config.sessions_max) = (100, 100);
        fit_pop(&mut limits);
        fit_edge(&mut config);
        assert_eq!((limits.clients_max, config.sessions_max), (100, 100));
    }
}

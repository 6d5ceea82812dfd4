//! How many sessions fit into what a process may hold.
//!
//! Each may leave a little waiting for as long as it likes, and nobody is reset for that; so all of them
//! together have to fit. What is refused at start is not refused in the middle of the night.

use crate::config::{EdgeConfig, Limits};
use titan_core::endpoint::Config;

/// Cuts the limit of a POP's sessions down to what its budget has room for, and says so.
pub fn fit_pop(limits: &mut Limits) {
    let (configured, budget) = (limits.clients_max, limits.memory_budget_bytes);
    limits.clients_max = configured.min(fitting(budget));
    if limits.clients_max < configured {
        tracing::warn!(
            configured,
            fitting = limits.clients_max,
            budget,
            "limits.memory_budget_bytes has no room for as many sessions as limits.sessions_max says: raise it \
             or lower the setting"
        );
    }
}

/// Cuts the limit of the sessions of each edge of a process down to what its part of the budget has room for,
/// and says so.
pub fn fit_edge(config: &mut EdgeConfig) {
    let configured = config.sessions_max;
    cut_edge(config);
    if config.sessions_max < configured {
        tracing::warn!(
            configured,
            fitting = config.sessions_max,
            budget = config.memory_budget_bytes,
            copies = config.copies,
            "memory_budget_bytes, of which each copy has an equal part, has no room for as many sessions as \
             sessions_max says: raise it or lower the setting"
        );
    }
}

/// As [`fit_edge`], where nobody can change the settings: without a word.
pub(crate) fn cut_edge(config: &mut EdgeConfig) {
    let each = config.memory_budget_bytes / u64::from(config.copies.max(1));
    config.sessions_max = config.sessions_max.min(fitting(each));
}

/// Returns how many sessions fit, one at least: without, a process would be of no use.
fn fitting(budget: u64) -> u32 {
    let fitting = u32::try_from(Config::sessions_fitting(budget));
    fitting.unwrap_or(u32::MAX).max(1)
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

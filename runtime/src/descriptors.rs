//! How many files and sockets a process may have open, and what fits into that.
//!
//! Each client, carrier and target is a descriptor. When they run out, nothing works that was not open
//! before, so limits that the configuration allows are cut down at start to what the system grants, and
//! what tunnels need is set apart from what clients may take.

use crate::config::{EdgeConfig, ManagerConfig, PopConfig};

/// Descriptors for everything that is counted nowhere: the store, the log, files, listeners, the calls
/// to managers, look-ups.
const APART: u64 = 64;

/// The part of the rest that a POP sets apart for tunnels, and as much for clients.
const SHARE_APART: u64 = 4;

/// The fewest descriptors that a daemon can do anything with.
const LEAST: u64 = 128;

/// More than any system grants.
const MOST: u64 = 1 << 40;

/// How many descriptors the process may have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Descriptors(u64);

impl Descriptors {
    /// Raises the limit of this process to what the system grants, and returns it. Where there is no
    /// such limit, or none that can be told, everything fits.
    #[must_use]
    pub fn raise() -> Self {
        Self(raise().unwrap_or(u64::MAX))
    }

    /// Cuts the limits of a POP down to what fits, and says so. Neither clients nor tunnels can take the
    /// quarter that is set apart for the others.
    pub fn fit_pop(self, config: &mut PopConfig) {
        let limits = &mut config.limits;
        let rest = self.rest();
        let apart = rest / SHARE_APART;
        // Carriers beyond the limit are answered before they go: an eighth more.
        let tunnels = clamp((rest - apart) * 8 / 9, limits.tunnels_max);
        let carriers = u64::from(tunnels) + u64::from(tunnels) / 8;
        let clients = clamp(rest - apart.min(carriers), limits.clients_max);
        self.warn("limits.tunnels_max", limits.tunnels_max, tunnels);
        self.warn("limits.sessions_max", limits.clients_max, clients);
        (limits.tunnels_max, limits.clients_max) = (tunnels, clients);
    }

    /// Cuts the limit of each edge of a process down to what fits, and says so.
    pub fn fit_edge(self, config: &mut EdgeConfig) {
        // A session may try two addresses at once; a carrier may be replaced by another beside it.
        let each = self.rest() / u64::from(config.copies.max(1));
        let sessions = clamp(each.saturating_sub(4) * 4 / 5, config.sessions_max);
        self.warn("sessions_max", config.sessions_max, sessions);
        config.sessions_max = sessions;
    }

    /// Cuts the connections of a manager down to what fits, and says so.
    pub fn fit_manager(self, config: &mut ManagerConfig) {
        let connections = clamp(self.rest(), config.connections_max);
        self.warn("connections_max", config.connections_max, connections);
        config.connections_max = connections;
    }

    /// Leaves a part of the descriptors to others of the process.
    #[must_use]
    pub const fn share(self, of: u64) -> Self {
        Self(self.0 / of)
    }

    fn rest(self) -> u64 {
        self.0.clamp(LEAST, MOST) - APART
    }

    fn warn(self, key: &str, configured: u32, fitting: u32) {
        if fitting < configured {
            tracing::warn!(
                configured,
                fitting,
                open_files = self.0,
                "the limit of open files is too low for {key}: raise it (`ulimit -Hn`, \
                 systemd's LimitNOFILE) or lower the setting"
            );
        }
    }
}

/// Returns the lesser, at least one.
fn clamp(fitting: u64, configured: u32) -> u32 {
    u32::try_from(fitting)
        .unwrap_or(u32::MAX)
        .clamp(1, configured.max(1))
}

#[cfg(unix)]
#[allow(
    unsafe_code,
    reason = "the standard library does not know these limits"
)]
fn raise() -> Option<u64> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the argument points to a limit that is written to.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return None;
    }
    let (soft, hard) = (limit.rlim_cur, limit.rlim_max);
    limit.rlim_cur = hard;
    // SAFETY: the argument points to a limit that is read.
    let raised = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } == 0;
    // Some systems allow less than they grant.
    Some(if raised { hard } else { soft })
}

#[cfg(not(unix))]
fn raise() -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pop(descriptors: u64, clients_max: u32, tunnels_max: u32) -> (u32, u32) {
        let mut config = PopConfig::default();
        config.limits.clients_max = clients_max;
        config.limits.tunnels_max = tunnels_max;
        Descriptors(descriptors).fit_pop(&mut config);
        (config.limits.clients_max, config.limits.tunnels_max)
    }

    #[test]
    fn what_fits_stays_as_it_is() {
        assert_eq!(pop(1_000_000, 100_000, 100_000), (100_000, 100_000));
        assert_eq!(pop(u64::MAX, u32::MAX, u32::MAX), (u32::MAX, u32::MAX));
        let mut config = EdgeConfig::default();
        Descriptors(20_000).fit_edge(&mut config);
        assert_eq!(config.sessions_max, EdgeConfig::default().sessions_max);
    }

    #[test]
    fn what_does_not_fit_leaves_a_part_to_the_others() {
        for descriptors in [0, 100, 128, 1_024, 20_000, 65_536] {
            let (sessions, tunnels) = pop(descriptors, 100_000, 100_000);
            let rest = descriptors.max(LEAST) - APART;
            let carriers = u64::from(tunnels) + u64::from(tunnels) / 8;
            assert_eq!(u64::from(sessions), rest - rest / 4, "{descriptors}");
            assert!(carriers <= rest - rest / 4, "{descriptors}");
            assert!(carriers + 2 > rest - rest / 4, "{descriptors}");
        }
        // A POP of many tunnels and few clients.
        assert_eq!(pop(20_000, 100, 10_000), (100, 10_000));
        // Clients get what few tunnels leave.
        assert_eq!(pop(1_024, 100_000, 10), (1_024 - 64 - 11, 10));
    }

    #[test]
    fn a_manager_keeps_some_apart_from_its_connections() {
        for (descriptors, fitting) in [(0, 64), (200, 136), (1_024, 960), (20_000, 1_024)] {
            let mut config = ManagerConfig::default();
            Descriptors(descriptors).fit_manager(&mut config);
            assert_eq!(config.connections_max, fitting, "{descriptors}");
        }
    }

    #[test]
    fn edges_of_a_process_share_what_there_is() {
        let mut config = EdgeConfig {
            copies: 4,
            ..EdgeConfig::default()
        };
        Descriptors(1_064).fit_edge(&mut config);
        assert_eq!(config.sessions_max, 196);
    }
}

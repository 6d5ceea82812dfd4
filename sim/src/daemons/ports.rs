//! Where the daemons of a run listen.

/// The port of POPs for applications.
pub(super) const SOCKS_PORT: u16 = 1_080;

/// The port of POPs for edges.
pub(super) const TUNNEL_PORT: u16 = 41_005;

/// The port of the manager.
pub(super) const MANAGER_PORT: u16 = 41_004;

/// The port of all targets.
pub(super) const TARGET_PORT: u16 = 80;

//! What names hosts and connections.

/// The index of a host. Host 0 is nowhere: the owner of all addresses that no host has.
pub(super) type HostId = usize;
pub(super) const NOWHERE: HostId = 0;

/// Names a connection; never used twice.
pub(super) type ConnId = u64;

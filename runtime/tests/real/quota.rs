//! Quotas and limits over two POPs and one Redis, with sessions that run: never a byte too much, and
//! every change within a second.

mod away;
mod changes;
mod exact;
mod leases;
mod pace;
mod region;
mod sessions;
mod start;
mod transfers;

/// What a user of most tests may transfer, in bytes.
const LIMIT: u64 = 100_000_000;

/// How soon a change must reach sessions that run.
const SOON: std::time::Duration = std::time::Duration::from_secs(1);

//! The store of several hosts: a Redis server that all daemons share.
//!
//! Keys, types and fields are in `docs/store.md`. Each operation is one script, so it happens as a
//! whole or not at all. Scripts make keys out of names, so a cluster of servers cannot hold them:
//! one server does, with replicas if wanted.

mod account;
mod link;
mod operations;
mod records;
mod reply;
mod scripts;
#[cfg(test)]
mod tests;
mod users;

use super::StoreError;
use link::Link;

/// A store in a Redis server, version 7.0 or later.
///
/// There is one connection, made when it is first needed and anew when it is lost. An operation takes
/// no longer than two seconds and then fails as unavailable, at once while connecting fails, and so do
/// operations beyond a thousand under way.
#[derive(Clone)]
pub struct Redis(Link);

impl Redis {
    /// Makes a store at an address such as `redis://:password@host:6379/0` or
    /// `redis+unix:///run/redis.sock`. It need not be there yet.
    ///
    /// # Errors
    /// Fails if the address makes no sense.
    pub fn new(url: &str) -> Result<Self, StoreError> {
        Link::new(url).map(Self)
    }
}

impl core::fmt::Debug for Redis {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Redis").finish_non_exhaustive()
    }
}

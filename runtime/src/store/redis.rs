//! The store of several hosts: a Redis server that all daemons share.
//!
//! Keys, types and fields are in `docs/store.md`. Each operation is one script, so it happens as a
//! whole or not at all. Scripts make keys out of names, so a cluster of servers cannot hold them:
//! one server does, with replicas if wanted.

#[macro_use]
mod scripts;

mod accounts;
mod audit;
mod blacklist;
mod changes;
mod link;
mod meta;
mod nodes;
mod pops;
mod reply;
#[cfg(test)]
mod tests;
mod tokens;
mod users;

use super::{Page, StoreError};
use ::redis::{Script, ToRedisArgs, Value};
use link::Link;

/// The arguments of a script that takes none.
const NOTHING: &[&str] = &[];

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

    async fn run<A: ToRedisArgs>(&self, script: &Script, args: A) -> Result<Value, StoreError> {
        Ok(self.0.run(script, args).await?.value)
    }
}

impl core::fmt::Debug for Redis {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Redis").finish_non_exhaustive()
    }
}

/// Where in the order of names a page begins.
fn begin(page: &Page) -> String {
    match &page.after {
        Some(after) => format!("({after}"),
        None => "-".to_owned(),
    }
}

//! The store of several hosts: a Redis server that all daemons share.
//!
//! Keys, types and fields are in `docs/store.md`. Each operation is one script, so it happens as a
//! whole or not at all. Scripts make keys out of names, so a cluster of servers cannot hold them:
//! one server does, with replicas if wanted.

#[macro_use]
mod scripts;

mod accounts;
mod address;
mod audit;
mod blacklist;
mod chain;
mod changes;
mod dial;
mod failure;
mod lane;
mod link;
mod meta;
mod nodes;
mod nonce;
mod pops;
mod reply;
#[cfg(test)]
mod tests;
mod tokens;
mod users;

use super::{Page, StoreError};
use ::redis::{Script, ToRedisArgs, Value};
use address::Address;
use chain::Chain;
use link::{Link, Manner};
use std::sync::Arc;

/// The arguments of a script that takes none.
const NOTHING: &[&str] = &[];

/// A store in a Redis server, version 7.0 or later.
///
/// There are two connections, made when they are first needed and anew when they are lost or lead to a
/// server that is no primary any more. What then did not happen, or does no harm twice, is repeated. An
/// operation takes no longer than two seconds and then fails as unavailable, at once while connecting
/// fails, and so do operations beyond a thousand under way.
#[derive(Clone)]
pub struct Redis {
    link: Link,
    /// Acts that are to be recorded go one after another, and together.
    chain: Arc<Chain>,
}

impl Redis {
    /// Makes a store at an address, whose forms are in `docs/store.md`: a host, a socket, TLS,
    /// sentinels. It need not be there yet.
    ///
    /// # Errors
    /// Fails if the address makes no sense, or the file of an authority that it names cannot be used.
    pub fn new(url: &str) -> Result<Self, StoreError> {
        Ok(Self {
            link: Link::new(url)?,
            chain: Arc::default(),
        })
    }

    /// Checks an address.
    ///
    /// # Errors
    /// Says what is wrong with it and what to do, without repeating it.
    pub fn check(url: &str) -> Result<(), &'static str> {
        Address::parse(url).map(drop)
    }

    /// Runs a script that only reads, or whose effects are told again if they are lost.
    async fn run<A: ToRedisArgs>(&self, script: &Script, args: A) -> Result<Value, StoreError> {
        self.link.run(script, args, Manner::PLAIN).await
    }

    /// Runs a script that is an act of security or binds a node.
    async fn keep<A: ToRedisArgs>(&self, script: &Script, args: A) -> Result<Value, StoreError> {
        self.link.run(script, args, Manner::KEPT).await
    }

    /// As [`keep`](Self::keep), for what would say something else the second time.
    async fn keep_once<A: ToRedisArgs>(
        &self,
        script: &Script,
        args: A,
    ) -> Result<Value, StoreError> {
        self.link.run(script, args, Manner::KEPT_ONCE).await
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

//! Stores made of other stores. Each subject says of itself that they have it, see `subject`.

use super::{Embedded, Location, Mode, Redis, StoreError};
use crate::config::StoreAddress;
use core::future::Future;
use std::path::Path;

/// Stands before a store and decides when, and whether, its operations succeed. Tests and simulations
/// make stores fail, hang and lose answers with it.
pub trait Gate: Clone + Send + Sync + 'static {
    /// Waits before an operation, named as in [`super::Store`], or fails it without it happening.
    fn before(
        &self,
        operation: &'static str,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Waits after an operation, or loses its answer.
    fn after(&self, operation: &'static str)
    -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// A store behind a [`Gate`].
#[derive(Clone, Debug)]
pub struct Gated<S, G> {
    /// The store itself.
    pub store: S,
    /// What stands before it.
    pub gate: G,
}

/// The store that a daemon is configured with.
#[derive(Clone, Debug)]
pub enum AnyStore {
    /// A file that the daemons of one host share.
    Embedded(Embedded),
    /// A Redis server that the daemons of several hosts share.
    Redis(Redis),
}

impl AnyStore {
    /// Opens the store at an address; the embedded one is in `data`. Blocks for that one; for the
    /// start of a daemon.
    ///
    /// # Errors
    /// Fails if the file cannot be used, or the address makes no sense. A server need not be there yet.
    pub fn open(address: &StoreAddress, data: &Path) -> Result<Self, StoreError> {
        match address.redis() {
            Some(url) => Redis::new(url).map(Self::Redis),
            None => {
                let location = Location::Data(data.to_owned());
                Embedded::open(&location, Mode::Thread).map(Self::Embedded)
            }
        }
    }
}

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
    /// Opens the store at an address for a manager whose data directory is `data`. Blocks for the embedded
    /// one; for the start of a daemon.
    ///
    /// # Errors
    /// Fails if a file cannot be used, or the address makes no sense. A server need not be there yet.
    pub fn open(address: &StoreAddress, data: &Path) -> Result<Self, StoreError> {
        match address.redis() {
            Some(url) => Redis::new(url).map(Self::Redis),
            None => Embedded::open(&location(address, data), Mode::Thread).map(Self::Embedded),
        }
    }

    /// Does the same for a POP, which opens nothing that is for managers alone; see
    /// [`Embedded::open_shared`].
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_shared(address: &StoreAddress, data: &Path) -> Result<Self, StoreError> {
        match address.redis() {
            Some(url) => Redis::new(url).map(Self::Redis),
            None => {
                let location = location(address, data);
                Embedded::open_shared(&location, Mode::Thread).map(Self::Embedded)
            }
        }
    }
}

/// Returns where the embedded store is of a daemon with this data directory.
fn location(address: &StoreAddress, data: &Path) -> Location {
    match address.directory() {
        Some(shared) => Location::Apart {
            shared: shared.to_owned(),
            data: data.to_owned(),
        },
        None => Location::Data(data.to_owned()),
    }
}

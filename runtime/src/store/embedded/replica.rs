//! A replica that takes over, for simulations of a store that is one of two servers.

use super::{Embedded, Inner, Location, Mode, open_shared, unavailable};
use crate::store::StoreError;
use rusqlite::Connection;
use rusqlite::backup::Backup;
use std::sync::PoisonError;

/// How many pages are copied in one step: all of a store in memory.
const PAGES: i32 = -1;

impl Embedded {
    /// Makes a store of its own in memory that has what this one has now.
    ///
    /// # Errors
    /// Fails if this one has a thread of its own, which a simulation cannot have.
    pub fn replica(&self) -> Result<Self, StoreError> {
        let mut copy = open_shared(&Location::Memory)?;
        self.with_inline(|connection| {
            Backup::new(connection, &mut copy)?.step(PAGES)?;
            Ok(())
        })?;
        Self::with_connection(copy, Mode::Inline, self.clock.clone())
    }

    /// Lets a replica take over: what happened since it was made is forgotten, and whoever follows the
    /// changes is told that this is another run.
    ///
    /// # Errors
    /// As [`replica`](Self::replica).
    pub fn fail_over(&self, replica: &Self) -> Result<(), StoreError> {
        self.with_inline(|connection| {
            replica.with_inline(|copy| {
                Backup::new(copy, connection)?.step(PAGES)?;
                Ok(())
            })?;
            connection.execute("UPDATE identity SET run = lower(hex(randomblob(8)))", [])?;
            Ok(())
        })
    }

    fn with_inline<T>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let Inner::Inline(connection) = &*self.inner else {
            return Err(unavailable("a store with a thread has no replica"));
        };
        work(&mut connection.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

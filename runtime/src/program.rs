//! What the programs do, from their arguments to their end. Nothing in here is generic: for production the daemons are
//! compiled once, with this crate, and not again in each program.

#[cfg(feature = "cli")]
pub mod ask;
#[cfg(feature = "edge")]
pub mod edge;
#[cfg(feature = "manager")]
pub mod manager;
#[cfg(feature = "pop")]
pub mod pop;
#[cfg(all(feature = "edge", feature = "pop", feature = "manager"))]
pub mod up;

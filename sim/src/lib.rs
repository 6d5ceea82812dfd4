//! Simulated worlds around the core and the daemons of Titan.
//!
//! [`pure`] joins a POP core and edge cores by modelled carriers in virtual time, in one thread,
//! without a runtime. [`net`] is an in-memory network in which the real daemons run unchanged under
//! tokio's paused clock, and [`overlay`] brings them up there. [`daemons`] runs them on turmoil's
//! hosts, by scenario files.
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, reason = "a test may fail by panicking")
)]

#[cfg(all(test, feature = "daemons"))]
mod carrier;
#[cfg(feature = "daemons")]
pub mod daemons;
#[cfg(all(test, feature = "daemons"))]
mod dial;
#[cfg(feature = "daemons")]
pub mod experiment;
#[cfg(feature = "daemons")]
pub mod net;
#[cfg(feature = "daemons")]
pub mod overlay;
pub mod pure;

//! Simulated worlds around the core and the daemons of Titan.
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, reason = "a test may fail by panicking")
)]

#[cfg(test)]
mod carrier;
#[cfg(test)]
mod dial;
pub mod net;

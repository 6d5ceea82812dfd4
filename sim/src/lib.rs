//! Simulated worlds around the core and the daemons of Titan.
//!
//! [`pure`] joins a POP core and edge cores by modelled carriers in virtual time, in one thread,
//! without a runtime.

pub mod pure;

//! Every decision of Titan, as state machines that are driven and never drive.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod exit;
pub mod ingress;
pub mod rng;
pub mod target;
pub mod time;

//! Every decision of Titan, as state machines that are driven and never drive.
//!
//! Data walks through the modules one way: client bytes become a request in [`ingress`], a request finds
//! an exit in [`exit`], and its bytes travel as a session over a tunnel in [`endpoint`]. Nothing here
//! knows a socket, a clock, a thread or a source of randomness: time and seeds come in as arguments,
//! and the compiler keeps it so.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod account;
mod arena;
mod carrier;
mod config;
pub mod endpoint;
pub mod exit;
mod expiring;
pub mod ingress;
pub mod mark;
mod memory;
pub mod planted;
pub mod rng;
mod session;
pub mod target;
pub mod time;
mod timer;
pub mod trace;
mod tunnel;

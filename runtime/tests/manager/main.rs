//! The manager over loopback: every endpoint with success, bad input, missing rights and unknown
//! objects.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod acts;
mod allocation;
mod away;
mod basics;
mod cases;
mod command;
mod document;
mod fuzz;
mod harness;
mod keys;
mod legacy;
mod pops;
mod shares;
mod tamper;
mod users;
#[path = "../world/mod.rs"]
mod world;

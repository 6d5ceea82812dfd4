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
mod legacy;
mod pops;
#[path = "../world/redis_server.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    reason = "other tests have this module too, and kill and pause the server"
)]
mod redis_server;
mod tamper;
mod users;
#[path = "../world/mod.rs"]
mod world;

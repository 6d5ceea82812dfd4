//! What tests of several packages share: the core's two sides joined in memory, runs of them that are drawn
//! out of bytes, and servers of a test's own.
//!
//! Everything here panics when something is not as it must be; it is never part of what serves anyone.
#![allow(
    missing_docs,
    missing_debug_implementations,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    clippy::missing_panics_doc,
    reason = "tests look for one thing among many, and say what they mean by names"
)]

pub mod inputs;
pub mod pair;
pub mod redis_server;

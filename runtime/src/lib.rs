//! How the core of Titan meets the world: tokio, TLS, WebSocket, stores, and the daemons.
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, reason = "a test may fail by panicking")
)]

#[cfg(feature = "auth")]
pub mod auth;
pub mod carrier;
#[cfg(feature = "cli")]
pub mod cli;
pub mod config;
pub mod daemon;
#[cfg(feature = "store")]
pub mod data;
#[cfg(any(feature = "edge", feature = "pop", feature = "manager"))]
pub mod descriptors;
pub mod dial;
#[cfg(any(feature = "edge", feature = "pop"))]
mod drain;
#[cfg(feature = "edge")]
pub mod edge;
pub mod env;
#[cfg(any(feature = "manager", feature = "pop"))]
mod listen;
#[cfg(feature = "manager")]
pub mod manager;
#[cfg(any(feature = "edge", feature = "pop"))]
pub mod memory;
#[cfg(feature = "pop")]
pub mod pop;
// Nothing in it is for unit tests, which would compile all daemons once more.
#[cfg(not(test))]
pub mod program;
#[cfg(feature = "pop")]
mod records;
#[cfg(any(feature = "edge", feature = "pop"))]
mod shard;
#[cfg(any(feature = "edge", feature = "auth"))]
mod shares;
#[cfg(feature = "store")]
pub mod store;
pub mod telemetry;
pub mod tls;
pub mod token;
#[cfg(all(feature = "edge", feature = "pop", feature = "manager"))]
pub mod up;
#[cfg(any(feature = "edge", feature = "cli"))]
mod url;

//! How the core of Titan meets the world: tokio, TLS, WebSocket, stores, and the daemons.
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, reason = "a test may fail by panicking")
)]

#[cfg(feature = "auth")]
pub mod auth;
pub mod carrier;
pub mod config;
pub mod dial;
pub mod env;
#[cfg(feature = "manager")]
pub mod manager;
#[cfg(feature = "store")]
pub mod store;
pub mod telemetry;
pub mod tls;
pub mod token;

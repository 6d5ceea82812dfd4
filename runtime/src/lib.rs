//! How the core of Titan meets the world: tokio, TLS, WebSocket, stores, and the daemons.

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

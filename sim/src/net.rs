//! A network in memory, under tokio's paused clock.
//!
//! [`Network`] holds hosts and the links between them; each host is a [`SimEnv`], in which the daemons
//! of production run unchanged. Everything happens on one thread in virtual time, and the same seed
//! gives the same run.
//!
//! What is modelled, after TCP (RFC 9293): the three-way handshake with SYN retries and a bounded
//! backlog, one-way delays, bandwidth per direction, send and receive buffers with window updates,
//! half close, reset, and what a process and a host leave behind when they die. Lost bytes are held
//! and delivered when the path heals, as retransmission would, so that a stream is never torn by
//! loss alone. Packets, their loss and congestion control are not modelled.
//!
//! ```text
//! write ─▶ send buffer ─window─▶ link (delay, bandwidth) ─▶ receive buffer ─▶ read
//!             ▲ room ◀────────── acknowledgement ◀──────────────┘              │
//!             └ window ◀──────── window update ◀───────────────────────────────┘
//! ```
//!
//! tokio's timers have a resolution of one millisecond: delays of whole milliseconds are exact,
//! others are rounded up each time.

mod config;
mod conn;
mod driver;
mod env;
mod faults;
mod ids;
mod link;
mod network;
mod state;
mod stream;
#[cfg(test)]
mod tests;
mod transfer;

pub use config::Config;
pub use driver::run;
pub use env::{SimEnv, SimListener};
pub use network::Network;
pub use stream::SimStream;

//! The opening handshake of a carrier (RFC 6455 section 4).
//!
//! `GET /ws/node?id=…&os=…&version=…` with `Authorization: Bearer …` and the subprotocol `titan.v2`.
//! The answer carries the nonce for the proof of a resume in `titan-nonce`. A refusal is a plain HTTP
//! response with the code's tag in `titan-code`. No WebSocket extension is ever agreed on.

mod client;
mod server;
#[cfg(test)]
mod tests;

pub use client::{ClientRequest, ConnectError, Connected, connect, path_and_query};
pub use server::{HandshakeError, Refusal, Upgrade, UpgradeAnswer, UpgradeRequest, accept};

/// The path of carriers.
const PATH: &str = "/ws/node";

/// The subprotocol that names this version of the wire.
const SUBPROTOCOL: &str = "titan.v2";

/// The response header with the nonce, 32 hexadecimal digits.
const NONCE_HEADER: &str = "titan-nonce";

/// The response header with the tag of the code for which a carrier is refused.
const CODE_HEADER: &str = "titan-code";

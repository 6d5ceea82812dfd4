//! WebSocket connections that bear tunnels.
//!
//! tungstenite does the handshakes and parses and formats frame headers; reading and writing frames
//! is ours, because a buffer per connection cannot be small while idle and large while busy. Bytes
//! walk through here like this:
//!
//! ```text
//! stream ──one read──▶ SharedBlock ──unmasked in place──▶ Incoming::Message (slices of the block)
//! stream ◀──writes── batch from the BufferPool ◀──one copy, masked── header ‖ payload
//! ```
//!
//! Everything here is polled by the task that owns the connection, knows no protocol above
//! WebSocket (RFC 6455) and keeps no time.

mod block;
mod frame_io;
pub mod handshake;
mod head;
mod mask;
mod pool;
mod query;
mod reader;
mod stream;
#[cfg(test)]
mod tests;
mod writer;

pub use block::{BLOCK_SIZE, SharedBlock};
pub use frame_io::{CarrierError, Incoming, MESSAGE_LEN_MAX, ReadOutcome};
pub use pool::BufferPool;
pub use reader::FrameReader;
pub use stream::CarrierStream;
pub use writer::FrameWriter;

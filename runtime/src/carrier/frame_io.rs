//! What reader and writer share: what arrives, what can go wrong, and the limits of RFC 6455.

use bytes::Bytes;
use core::fmt;
use std::io;
use titan_proto::Code;

/// The largest message payload that a reader can be told to accept, in bytes. A message and its
/// frame header fit a block with room to spare, so that a block is never grown.
pub const MESSAGE_LEN_MAX: usize = 128 * 1024;

/// The largest payload of a control frame, in bytes (RFC 6455 section 5.5).
pub(super) const CONTROL_LEN_MAX: usize = 125;

/// The longest frame header: two bytes, a 64-bit length and a mask (RFC 6455 section 5.2).
pub(super) const HEADER_LEN_MAX: usize = 14;

/// One frame that arrived. Slices pin the block they lie in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Incoming {
    /// The payload of a binary frame, a slice of the read block.
    Message(Bytes),
    /// A ping; its payload, at most 125 bytes, belongs into the pong.
    Ping(Bytes),
    /// A pong with its payload, at most 125 bytes.
    Pong(Bytes),
    /// The peer closes. Frames after it are not read.
    Close {
        /// The status code; 1005 if the peer gave none (RFC 6455 section 7.1.5).
        code: u16,
        /// The peer's words, at most 123 bytes; empty if it gave none.
        reason: String,
    },
}

/// What one read brought.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReadOutcome {
    /// Bytes arrived, this many. They may not complete a frame.
    Received(usize),
    /// The stream ended. What was read of an incomplete frame is of no use.
    End,
}

/// Why a carrier cannot be read further.
#[derive(Debug)]
pub enum CarrierError {
    /// The stream failed.
    Io(io::Error),
    /// The peer broke RFC 6455 or our use of it.
    Frame {
        /// [`Code::Malformed`], [`Code::TooLarge`] or [`Code::Protocol`].
        code: Code,
        /// What was wrong, for logs.
        detail: &'static str,
    },
}

impl CarrierError {
    /// Returns the code of the failure; a failed stream is [`Code::Reset`].
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Io(_) => Code::Reset,
            Self::Frame { code, .. } => *code,
        }
    }
}

impl fmt::Display for CarrierError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "carrier failed: {error}"),
            Self::Frame { code, detail } => write!(f, "{}: {detail}", code.tag()),
        }
    }
}

impl std::error::Error for CarrierError {}

impl From<io::Error> for CarrierError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

//! What a carrier is to send next.

pub use crate::tunnel::numbering::Outgoing;
use alloc::vec::Vec;
use bytes::Bytes;
use titan_proto::{Code, Frame};

/// One thing to send on a carrier, in order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Item {
    /// A binary message: the header of `kind`, `session` and the payload's length, then the payload.
    Frame(Outgoing),
    /// A WebSocket ping with these eight bytes.
    Ping([u8; 8]),
    /// Nothing follows: send a WebSocket close and end the connection. The carrier is gone from the
    /// endpoint.
    Close(Code),
}

/// A batch that the driver owns, reuses and bounds.
#[derive(Debug)]
pub struct Batch {
    items: Vec<Item>,
    bytes: usize,
    bytes_max: usize,
    /// What the present carrier should be given at once; at most `bytes_max` counts.
    burst: usize,
}

/// What a frame takes on the wire beyond its payload, at most: the header of the message and that of
/// the WebSocket frame with its mask.
pub const FRAME_HEADER: usize = titan_proto::limits::HEADER_MAX + 14;

impl Batch {
    /// Creates a batch that is full from `bytes_max` bytes on the wire; the last frame may exceed it.
    #[must_use]
    pub const fn new(bytes_max: usize) -> Self {
        Self {
            items: Vec::new(),
            bytes: 0,
            bytes_max,
            burst: usize::MAX,
        }
    }

    /// Returns the bytes on the wire, headers at their largest.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.bytes
    }

    /// Tells whether nothing is to be sent.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Tells whether no further frame is taken.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.bytes >= self.bytes_max || self.bytes >= self.burst
    }

    /// Takes everything out, in order.
    pub fn drain(&mut self) -> impl Iterator<Item = Item> + '_ {
        self.bytes = 0;
        self.burst = usize::MAX;
        self.items.drain(..)
    }

    pub(crate) const fn limit(&mut self, burst: usize) {
        self.burst = burst;
    }

    pub(crate) fn push_frame(&mut self, frame: Frame) {
        let (kind, session, payload) = frame.encode();
        self.push(Outgoing {
            kind,
            session,
            payload,
        });
    }

    pub(crate) fn push(&mut self, frame: Outgoing) {
        self.bytes += frame.payload.len() + FRAME_HEADER;
        self.items.push(Item::Frame(frame));
    }

    pub(crate) fn push_ping(&mut self, payload: [u8; 8]) {
        self.bytes += FRAME_HEADER;
        self.items.push(Item::Ping(payload));
    }

    pub(crate) fn push_close(&mut self, code: Code) {
        self.bytes += FRAME_HEADER;
        self.items.push(Item::Close(code));
    }
}

impl Outgoing {
    /// Returns the payload's bytes.
    #[must_use]
    pub const fn payload(&self) -> &Bytes {
        &self.payload
    }
}

//! The outer message: type, session and payload, without copying the payload.

use crate::kind::FrameKind;
use crate::limits::{CONTROL_MAX, DATA_MAX, HEADER_MAX, LEGACY_SESSION_MAX, MESSAGE_MAX};
use crate::wire::MessageType;
use bytes::{BufMut, Bytes};

/// One [`Message`](crate::wire::Message) taken apart. `payload` and `legacy_session` are slices of
/// the message they came in.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Envelope {
    /// The number of the message type, known or not.
    pub kind: u32,
    /// The session's number, zero for frames of the tunnel.
    pub session: u64,
    /// The text id of a legacy frame, otherwise empty.
    pub legacy_session: Bytes,
    /// The payload.
    pub payload: Bytes,
}

/// Why a message is not a frame. Maps to [`Code::Malformed`](crate::Code::Malformed) and
/// [`Code::TooLarge`](crate::Code::TooLarge).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DecodeError {
    /// Not a valid encoding.
    Malformed(&'static str),
    /// A part exceeds its limit.
    TooLarge(&'static str),
}

impl DecodeError {
    /// Returns the code that tells the peer.
    #[must_use]
    pub const fn code(self) -> crate::Code {
        match self {
            Self::Malformed(_) => crate::Code::Malformed,
            Self::TooLarge(_) => crate::Code::TooLarge,
        }
    }

    /// Returns what is wrong, for logs.
    #[must_use]
    pub const fn detail(self) -> &'static str {
        match self {
            Self::Malformed(detail) | Self::TooLarge(detail) => detail,
        }
    }
}

impl Envelope {
    /// Takes a message apart without allocating; the payload stays where it is.
    ///
    /// # Errors
    /// Fails on anything that is not a `Message` within the limits of [`crate::limits`].
    pub fn decode(message: &Bytes) -> Result<Self, DecodeError> {
        if message.len() > MESSAGE_MAX {
            return Err(DecodeError::TooLarge("message"));
        }
        let mut reader = Reader {
            bytes: message,
            at: 0,
        };
        let mut envelope = Self::default();
        while reader.at < message.len() {
            let tag = reader.varint()?;
            match (tag >> 3, tag & 7) {
                (1, 0) => {
                    let kind = reader.varint()?;
                    envelope.kind =
                        u32::try_from(kind).map_err(|_| DecodeError::Malformed("message type"))?;
                }
                (2, 2) => envelope.legacy_session = reader.slice()?,
                (3, 2) => envelope.payload = reader.slice()?,
                (4, 0) => envelope.session = reader.varint()?,
                (0..=4, _) => return Err(DecodeError::Malformed("field of message")),
                (_, wire_type) => reader.skip(wire_type)?,
            }
        }
        if envelope.legacy_session.len() > LEGACY_SESSION_MAX {
            return Err(DecodeError::TooLarge("text session id"));
        }
        if envelope.payload.len() > payload_max(envelope.kind) {
            return Err(DecodeError::TooLarge("payload"));
        }
        Ok(envelope)
    }
}

/// Writes everything of a message that stands before its payload.
pub fn encode_header(kind: u32, session: u64, payload_len: usize, out: &mut impl BufMut) {
    debug_assert!(
        payload_len <= DATA_MAX,
        "payload over the limit of the wire"
    );
    out.put_u8(0x08);
    put_varint(u64::from(kind), out);
    if session != 0 {
        out.put_u8(0x20);
        put_varint(session, out);
    }
    if payload_len != 0 {
        out.put_u8(0x1a);
        put_varint(payload_len as u64, out);
    }
}

/// A header on the stack.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    bytes: [u8; HEADER_MAX],
    len: usize,
}

impl Header {
    /// Encodes the header of a frame; see [`encode_header`].
    #[must_use]
    pub fn new(kind: u32, session: u64, payload_len: usize) -> Self {
        let mut bytes = [0; HEADER_MAX];
        let mut rest = &mut bytes[..];
        encode_header(kind, session, payload_len, &mut rest);
        let len = HEADER_MAX - rest.len();
        Self { bytes, len }
    }

    /// Returns the encoded header.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

const fn payload_max(kind: u32) -> usize {
    /// Bytes for a test of a legacy edge's line.
    const TEST: u32 = MessageType::UploadTestData as u32;
    match FrameKind::from_number(kind) {
        Some(kind) => kind.payload_max(),
        None if kind == TEST => DATA_MAX,
        None => CONTROL_MAX,
    }
}

fn put_varint(mut value: u64, out: &mut impl BufMut) {
    while value >= 0x80 {
        out.put_u8(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.put_u8(value.to_le_bytes()[0]);
}

struct Reader<'a> {
    bytes: &'a Bytes,
    at: usize,
}

impl Reader<'_> {
    fn varint(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = *self
                .bytes
                .get(self.at)
                .ok_or(DecodeError::Malformed("truncated number"))?;
            self.at += 1;
            if shift == 63 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeError::Malformed("overlong number"))
    }

    fn slice(&mut self) -> Result<Bytes, DecodeError> {
        let end = self.advance_by_length()?;
        Ok(self.bytes.slice(end.0..end.1))
    }

    fn advance_by_length(&mut self) -> Result<(usize, usize), DecodeError> {
        let len = usize::try_from(self.varint()?).map_err(|_| DecodeError::TooLarge("length"))?;
        self.advance(len)
    }

    fn advance(&mut self, len: usize) -> Result<(usize, usize), DecodeError> {
        let start = self.at;
        let end = start
            .checked_add(len)
            .filter(|&end| end <= self.bytes.len())
            .ok_or(DecodeError::Malformed("truncated field"))?;
        self.at = end;
        Ok((start, end))
    }

    fn skip(&mut self, wire_type: u64) -> Result<(), DecodeError> {
        match wire_type {
            0 => self.varint().map(drop),
            1 => self.advance(8).map(drop),
            2 => self.advance_by_length().map(drop),
            5 => self.advance(4).map(drop),
            _ => Err(DecodeError::Malformed("wire type")),
        }
    }
}

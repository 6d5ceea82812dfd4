//! Reading WebSocket frames out of the shared block.

use super::block::SharedBlock;
use super::frame_io::{CONTROL_LEN_MAX, CarrierError, Incoming, MESSAGE_LEN_MAX, ReadOutcome};
use super::mask;
use bytes::{Buf as _, Bytes, BytesMut};
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::io::Cursor;
use titan_proto::Code;
use tokio::io::AsyncRead;
use tokio_util::io::poll_read_buf;
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

/// The status code of a close frame without one (RFC 6455 section 7.1.5).
const CLOSE_WITHOUT_STATUS: u16 = 1005;

/// The read half of a carrier: turns bytes into frames.
///
/// Between frames it holds no memory; within one it holds what arrived of it, at most the message
/// limit and a header.
#[derive(Debug)]
pub struct FrameReader {
    peer: Peer,
    message_len_max: usize,
    /// What arrived along with the handshake, not parsed yet.
    early: Vec<u8>,
    /// The beginning of a frame whose end has not arrived.
    stash: Vec<u8>,
    /// How many bytes the stashed frame lacks; zero if that is not known yet.
    missing: usize,
    /// A close frame arrived, or an error was reported: nothing after it counts.
    closed: bool,
}

/// Who sends the frames, which decides whether they must be masked (RFC 6455 section 5.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Peer {
    Client,
    Server,
}

/// A frame at the start of a buffer.
#[derive(Clone, Copy, Debug)]
struct Frame {
    opcode: OpCode,
    mask: Option<[u8; 4]>,
    header_len: usize,
    payload_len: usize,
}

impl FrameReader {
    /// Creates the reader of a server, which accepts masked frames only.
    ///
    /// `message_len_max` is the largest accepted message payload in bytes, at most
    /// [`MESSAGE_LEN_MAX`].
    #[must_use]
    pub fn server(message_len_max: usize) -> Self {
        Self::new(Peer::Client, message_len_max)
    }

    /// Creates the reader of a client, which accepts unmasked frames only.
    ///
    /// `message_len_max` is as for [`server`](Self::server); `early` is what the server sent right
    /// behind its handshake, which the first read reports.
    #[must_use]
    pub fn client(message_len_max: usize, early: Vec<u8>) -> Self {
        Self {
            early,
            ..Self::new(Peer::Server, message_len_max)
        }
    }

    fn new(peer: Peer, message_len_max: usize) -> Self {
        debug_assert!(message_len_max <= MESSAGE_LEN_MAX);
        let message_len_max = message_len_max.min(MESSAGE_LEN_MAX);
        Self {
            peer,
            message_len_max,
            early: Vec::new(),
            stash: Vec::new(),
            missing: 0,
            closed: false,
        }
    }

    /// Reads once and appends the frames that are complete now to `out`.
    ///
    /// One read yields at most a block of frames. `Pending` means that `cx` is woken when the stream
    /// is readable; `out` is then unchanged. After [`Incoming::Close`] and after an error every
    /// further call reports [`ReadOutcome::End`].
    ///
    /// # Errors
    /// Fails if the stream does, and for a frame that breaks the rules; the frames before it are in
    /// `out`. A message above the limit is refused by its header, before anything is held for it.
    pub fn poll_read<S: AsyncRead + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
        block: &mut SharedBlock,
        out: &mut Vec<Incoming>,
    ) -> Poll<Result<ReadOutcome, CarrierError>> {
        if self.closed {
            return Poll::Ready(Ok(ReadOutcome::End));
        }
        if !self.early.is_empty() {
            let early = BytesMut::from(&core::mem::take(&mut self.early)[..]);
            let len = early.len();
            return Poll::Ready(self.parse(early, out).map(|()| ReadOutcome::Received(len)));
        }

        // The read leaves a gap for the stash before it. The stash is copied only once the frame is
        // complete, so that a frame that trickles in costs time in proportion to its length.
        let mut gap = block.take(self.stash.len());
        let mut rest = gap.split_off(self.stash.len());
        let read = poll_read_buf(Pin::new(stream), cx, &mut rest);
        let received = rest.split();
        block.put(rest);
        let len = ready!(read)?;
        if len == 0 {
            return Poll::Ready(Ok(ReadOutcome::End));
        }
        if len < self.missing {
            self.extend_stash(&received);
            return Poll::Ready(Ok(ReadOutcome::Received(len)));
        }
        let data = if self.stash.is_empty() {
            received
        } else {
            gap.extend_from_slice(&core::mem::take(&mut self.stash));
            gap.unsplit(received);
            gap
        };
        Poll::Ready(self.parse(data, out).map(|()| ReadOutcome::Received(len)))
    }

    /// Returns the bytes held for an incomplete frame, counted at what they pin.
    #[must_use]
    pub fn held_len(&self) -> usize {
        self.stash.capacity() + self.early.capacity()
    }

    /// Moves the complete frames of `data` to `out` and keeps the rest.
    fn parse(&mut self, mut data: BytesMut, out: &mut Vec<Incoming>) -> Result<(), CarrierError> {
        self.missing = 0;
        loop {
            let frame = self.header(&data).inspect_err(|_| self.closed = true)?;
            let Some(frame) = frame else { break };
            let frame_len = frame.header_len + frame.payload_len;
            if data.len() < frame_len {
                self.missing = frame_len - data.len();
                break;
            }
            data.advance(frame.header_len);
            let mut payload = data.split_to(frame.payload_len);
            if let Some(key) = frame.mask {
                mask::apply(&mut payload, key, 0);
            }
            let incoming =
                incoming(frame.opcode, payload.freeze()).inspect_err(|_| self.closed = true)?;
            self.closed = matches!(incoming, Incoming::Close { .. });
            out.push(incoming);
            if self.closed {
                return Ok(());
            }
        }
        self.stash = data.to_vec();
        Ok(())
    }

    /// Appends to the stash, doubling it up to what its frame needs.
    fn extend_stash(&mut self, bytes: &[u8]) {
        let frame_len = self.stash.len() + self.missing;
        let len = self.stash.len() + bytes.len();
        if len > self.stash.capacity() {
            let capacity = (2 * self.stash.len()).max(len).min(frame_len);
            self.stash.reserve_exact(capacity - self.stash.len());
        }
        self.stash.extend_from_slice(bytes);
        self.missing -= bytes.len();
    }

    /// Parses and judges the header at the start of `data`; none if it is incomplete.
    fn header(&self, data: &[u8]) -> Result<Option<Frame>, CarrierError> {
        let mut cursor = Cursor::new(data);
        let parsed = FrameHeader::parse(&mut cursor);
        let Some((header, payload_len)) =
            parsed.map_err(|_| broken(Code::Protocol, "unknown opcode"))?
        else {
            return Ok(None);
        };
        if header.rsv1 || header.rsv2 || header.rsv3 {
            return Err(broken(Code::Protocol, "reserved bit without an extension"));
        }
        if !header.is_final {
            return Err(broken(Code::Protocol, "fragmented frame"));
        }
        match (self.peer, header.mask) {
            (Peer::Client, Some(_)) | (Peer::Server, None) => {}
            (Peer::Client, None) => return Err(broken(Code::Protocol, "unmasked client frame")),
            (Peer::Server, Some(_)) => return Err(broken(Code::Protocol, "masked server frame")),
        }
        let len_max = match header.opcode {
            OpCode::Data(Data::Binary) => self.message_len_max,
            OpCode::Control(_) => CONTROL_LEN_MAX,
            OpCode::Data(Data::Text) => return Err(broken(Code::Protocol, "text frame")),
            OpCode::Data(Data::Continue | Data::Reserved(_)) => {
                return Err(broken(Code::Protocol, "continuation frame"));
            }
        };
        let header_len = header.len(payload_len);
        if payload_len > len_max as u64 {
            return Err(broken(Code::TooLarge, "payload above the limit"));
        }
        if cursor.position() != header_len as u64 {
            // RFC 6455 section 5.2: the minimal number of bytes must be used.
            return Err(broken(Code::Malformed, "overlong payload length"));
        }
        let payload_len = payload_len as usize;
        Ok(Some(Frame {
            opcode: header.opcode,
            mask: header.mask,
            header_len,
            payload_len,
        }))
    }
}

/// Returns what a frame with an accepted header and this payload says.
fn incoming(opcode: OpCode, payload: Bytes) -> Result<Incoming, CarrierError> {
    match opcode {
        OpCode::Data(_) => Ok(Incoming::Message(payload)),
        OpCode::Control(Control::Ping) => Ok(Incoming::Ping(payload)),
        OpCode::Control(Control::Pong) => Ok(Incoming::Pong(payload)),
        OpCode::Control(Control::Close | Control::Reserved(_)) => close(&payload),
    }
}

/// Parses the payload of a close frame (RFC 6455 section 5.5.1).
fn close(payload: &[u8]) -> Result<Incoming, CarrierError> {
    let Some((code, reason)) = payload.split_first_chunk::<2>() else {
        if payload.is_empty() {
            return Ok(Incoming::Close {
                code: CLOSE_WITHOUT_STATUS,
                reason: String::new(),
            });
        }
        return Err(broken(
            Code::Malformed,
            "close frame with half a status code",
        ));
    };
    let reason =
        str::from_utf8(reason).map_err(|_| broken(Code::Malformed, "close reason is not UTF-8"))?;
    Ok(Incoming::Close {
        code: u16::from_be_bytes(*code),
        reason: reason.to_owned(),
    })
}

fn broken(code: Code, detail: &'static str) -> CarrierError {
    CarrierError::Frame { code, detail }
}

//! Writing WebSocket frames into batches.

use super::frame_io::{CONTROL_LEN_MAX, HEADER_LEN_MAX};
use super::mask;
use super::pool::BufferPool;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::io;
use titan_core::rng::Rng;
use tokio::io::AsyncWrite;
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

/// Room of a batch that messages leave to control frames, so that a ping, a pong and a close still
/// fit behind a full one.
const CONTROL_ROOM: usize = 3 * (HEADER_LEN_MAX + CONTROL_LEN_MAX);

/// The write half of a carrier: collects frames in one batch and writes it out.
///
/// It holds a batch only from the first frame until the last byte is written. Nothing is ever queued
/// beyond it: a frame that does not fit is refused and stays with the caller.
#[derive(Debug)]
pub struct FrameWriter {
    /// The source of mask keys; a server has none.
    keys: Option<Box<Rng>>,
    pool: BufferPool,
    /// Frames; no memory while idle.
    batch: Vec<u8>,
    /// How much of the batch is written.
    written: usize,
    /// Whether the stream may still hold bytes of ours, as TLS does.
    unflushed: bool,
}

impl FrameWriter {
    /// Creates the writer of a server, which does not mask.
    #[must_use]
    pub fn server(pool: BufferPool) -> Self {
        Self {
            keys: None,
            pool,
            batch: Vec::new(),
            written: 0,
            unflushed: false,
        }
    }

    /// Creates the writer of a client, which masks each frame with a fresh key out of `keys`.
    ///
    /// The keys must be unpredictable to whoever chooses the payloads (RFC 6455 section 10.3).
    #[must_use]
    pub fn client(pool: BufferPool, keys: Rng) -> Self {
        Self {
            keys: Some(Box::new(keys)),
            ..Self::server(pool)
        }
    }

    /// Returns how many bytes wait to be written, frame headers included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.batch.len() - self.written
    }

    /// Returns whether nothing waits to be written and the stream holds nothing back.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0 && !self.unflushed
    }

    /// Returns the largest message in bytes that [`push_message`](Self::push_message) takes now.
    #[must_use]
    pub fn room(&self) -> usize {
        (self.pool.batch_len_max() - self.len()).saturating_sub(HEADER_LEN_MAX + CONTROL_ROOM)
    }

    /// Adds the message `header ‖ payload` as one binary frame; false if there is no
    /// [`room`](Self::room), and then nothing changes.
    #[must_use]
    pub fn push_message(&mut self, header: &[u8], payload: &[u8]) -> bool {
        let fits = header.len() + payload.len() <= self.room();
        if fits {
            self.push(OpCode::Data(Data::Binary), header, payload);
        }
        fits
    }

    /// Adds a ping with up to 125 bytes; false if it is longer or the batch is full.
    #[must_use]
    pub fn push_ping(&mut self, payload: &[u8]) -> bool {
        self.push_control(Control::Ping, payload)
    }

    /// Adds a pong with up to 125 bytes; false if it is longer or the batch is full. A pong may be
    /// left out when a later ping is answered (RFC 6455 section 5.5.3).
    #[must_use]
    pub fn push_pong(&mut self, payload: &[u8]) -> bool {
        self.push_control(Control::Pong, payload)
    }

    /// Adds a close frame; false if the batch is full. The reason is cut to 123 bytes.
    #[must_use]
    pub fn push_close(&mut self, code: u16, reason: &str) -> bool {
        let mut end = reason.len().min(CONTROL_LEN_MAX - 2);
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        let mut payload = code.to_be_bytes().to_vec();
        payload.extend_from_slice(&reason.as_bytes()[..end]);
        self.push_control(Control::Close, &payload)
    }

    fn push_control(&mut self, control: Control, payload: &[u8]) -> bool {
        let fits = payload.len() <= CONTROL_LEN_MAX
            && self.len() + HEADER_LEN_MAX + payload.len() <= self.pool.batch_len_max();
        if fits {
            self.push(OpCode::Control(control), payload, &[]);
        }
        fits
    }

    /// Adds a frame that fits.
    fn push(&mut self, opcode: OpCode, front: &[u8], back: &[u8]) {
        let payload_len = front.len() + back.len();
        if self.batch.capacity() == 0 {
            self.batch = self.pool.take();
        } else if self.batch.len() + HEADER_LEN_MAX + payload_len > self.batch.capacity() {
            self.batch.drain(..self.written);
            self.written = 0;
        }
        let mask = self.keys.as_mut().map(|keys| keys.bytes::<4>());
        let header = FrameHeader {
            opcode,
            mask,
            ..FrameHeader::default()
        };
        header
            .format(payload_len as u64, &mut self.batch)
            .expect("writing to memory cannot fail");
        let start = self.batch.len();
        self.batch.extend_from_slice(front);
        self.batch.extend_from_slice(back);
        if let Some(key) = mask {
            mask::apply(&mut self.batch[start..], key, 0);
        }
        self.unflushed = true;
    }

    /// Writes until everything is out or the stream takes no more.
    ///
    /// On `Pending` the rest stays, `cx` is woken when the stream takes more, and frames can be added
    /// meanwhile. Without anything to write the stream is not touched.
    ///
    /// # Errors
    /// Fails if the stream does; the writer is then of no further use.
    pub fn poll_flush<S: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
    ) -> Poll<io::Result<()>> {
        while self.written < self.batch.len() {
            let rest = &self.batch[self.written..];
            match ready!(Pin::new(&mut *stream).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                len => self.written += len,
            }
        }
        if self.batch.capacity() > 0 {
            self.pool.put(core::mem::take(&mut self.batch));
            self.written = 0;
        }
        if self.unflushed {
            ready!(Pin::new(stream).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }
}

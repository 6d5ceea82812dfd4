//! The head of an HTTP message, kept apart from what follows it.

use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::io::{self, IoSlice};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The longest accepted head in bytes: a token of two KiB and a proxy's additions fit.
const HEAD_LEN_MAX: usize = 8 * 1024;

/// Bytes read at once: the head of an edge's request fits.
const READ_LEN: usize = 1024;

/// A stream that ends, for its reader, with the head of the peer's message.
///
/// The head is handed over in one piece however the network cut it: the handshake takes many small
/// reads for an attack. It may read further than the head; what follows must not get lost with its
/// buffers, and a head without an end must not fill memory.
#[derive(Debug)]
pub(super) struct HeadStream<'a, S> {
    stream: &'a mut S,
    head: Vec<u8>,
    /// Bytes of the head that its reader has.
    taken: usize,
    /// Bytes of the current line so far; none before the first line that is not empty.
    line_len: Option<usize>,
    ended: bool,
    rest: Vec<u8>,
}

impl<'a, S> HeadStream<'a, S> {
    pub(super) fn new(stream: &'a mut S) -> Self {
        Self {
            stream,
            head: Vec::new(),
            taken: 0,
            line_len: None,
            ended: false,
            rest: Vec::new(),
        }
    }

    /// Returns what was read behind the head.
    pub(super) fn into_rest(self) -> Vec<u8> {
        self.rest
    }

    /// Takes in what was read next; nothing is the end of the stream.
    fn extend(&mut self, bytes: &[u8]) -> io::Result<()> {
        let (head, rest) = bytes.split_at(self.scan(bytes));
        self.head.extend_from_slice(head);
        self.rest.extend_from_slice(rest);
        self.ended |= bytes.is_empty();
        if self.head.len() > HEAD_LEN_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "head too long"));
        }
        // Who speaks another protocol need not send an empty line to be told.
        let controls = |byte: &u8| byte.is_ascii_control() && !b"\t\r\n".contains(byte);
        if head.iter().any(controls) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "head not text"));
        }
        Ok(())
    }

    /// Returns how many of `bytes` belong to the head. Lines may end without a carriage return
    /// (RFC 9112 section 2.2), as the parser accepts them.
    fn scan(&mut self, bytes: &[u8]) -> usize {
        for (index, byte) in bytes.iter().enumerate() {
            self.line_len = match (byte, self.line_len) {
                (b'\r', len) => len,
                (b'\n', Some(0)) => {
                    self.ended = true;
                    return index + 1;
                }
                (b'\n', len) => len.map(|_| 0),
                (_, len) => Some(len.unwrap_or_default() + 1),
            };
        }
        bytes.len()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for HeadStream<'_, S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while !this.ended {
            let mut block = [0; READ_LEN];
            let mut block = ReadBuf::new(&mut block);
            ready!(Pin::new(&mut *this.stream).poll_read(cx, &mut block))?;
            this.extend(block.filled())?;
        }
        let left = &this.head[this.taken..];
        let len = left.len().min(buf.remaining());
        buf.put_slice(&left[..len]);
        this.taken += len;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for HeadStream<'_, S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.get_mut().stream).poll_write_vectored(cx, bufs)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.get_mut().stream).poll_shutdown(cx)
    }
}

//! Frames against tungstenite as the oracle, both ways.

mod oracle;
mod reader;
mod tls;
mod writer;

use super::{CarrierError, FrameReader, Incoming, ReadOutcome, SharedBlock};
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::collections::VecDeque;
use std::io;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream that yields these chunks, one per read, and then ends.
#[derive(Default)]
struct Chunks(VecDeque<Vec<u8>>);

impl Chunks {
    fn one(bytes: &[u8]) -> Self {
        Self(VecDeque::from([bytes.to_vec()]))
    }

    /// Cuts `bytes` into pieces of the given lengths, over and over.
    fn cut(bytes: &[u8], lens: &[usize]) -> Self {
        let mut rest = bytes;
        let mut chunks = VecDeque::new();
        for len in lens.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (chunk, tail) = rest.split_at((*len).min(rest.len()));
            chunks.push_back(chunk.to_vec());
            rest = tail;
        }
        Self(chunks)
    }
}

impl AsyncRead for Chunks {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(mut chunk) = self.0.pop_front() {
            let len = chunk.len().min(buf.remaining());
            buf.put_slice(&chunk[..len]);
            if len < chunk.len() {
                self.0.push_front(chunk.split_off(len));
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// A stream that takes at most this many bytes per write, and nothing every other time.
struct Slow {
    taken: Vec<u8>,
    len_max: usize,
    ready: bool,
}

impl Slow {
    fn new(len_max: usize) -> Self {
        Self {
            taken: Vec::new(),
            len_max,
            ready: false,
        }
    }
}

impl AsyncWrite for Slow {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.ready = !self.ready;
        if self.ready {
            return Poll::Pending;
        }
        let len = buf.len().min(self.len_max);
        self.taken.extend_from_slice(&buf[..len]);
        Poll::Ready(Ok(len))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn read_once(
    reader: &mut FrameReader,
    stream: &mut Chunks,
    block: &mut SharedBlock,
    out: &mut Vec<Incoming>,
) -> Result<ReadOutcome, CarrierError> {
    match reader.poll_read(&mut Context::from_waker(Waker::noop()), stream, block, out) {
        Poll::Ready(read) => read,
        Poll::Pending => panic!("chunks are always ready"),
    }
}

/// Reads everything; what was read before an error comes with it.
fn read_all(
    reader: &mut FrameReader,
    stream: &mut Chunks,
    block: &mut SharedBlock,
) -> (Vec<Incoming>, Option<CarrierError>) {
    let mut out = Vec::new();
    loop {
        match read_once(reader, stream, block, &mut out) {
            Ok(ReadOutcome::Received(_)) => {}
            Ok(ReadOutcome::End) => return (out, None),
            Err(error) => return (out, Some(error)),
        }
    }
}

//! A peer in memory that never makes anybody wait.

use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};
use std::io;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Makes what is sent of what was to be sent and what was heard.
type Answer = fn(&[u8], &[u8]) -> Vec<u8>;

/// A peer that sends bytes in pieces and hears everything.
pub(crate) struct Peer {
    sends: Vec<u8>,
    at: usize,
    piece: usize,
    heard: Vec<u8>,
    answer: Option<Answer>,
}

impl Peer {
    /// Creates a peer that sends `bytes`, at most `piece` of them at once.
    pub(crate) fn new(bytes: &[u8], piece: usize) -> Self {
        Self {
            sends: bytes.to_vec(),
            at: 0,
            piece: piece.max(1),
            heard: Vec::new(),
            answer: None,
        }
    }

    /// Has its words made of `bytes` and what it hears before it is first listened to.
    pub(crate) fn answering(self, answer: Answer) -> Self {
        Self {
            answer: Some(answer),
            ..self
        }
    }

    pub(crate) fn heard(&self) -> &[u8] {
        &self.heard
    }

    /// Returns what nobody has read yet.
    pub(crate) fn unread(&self) -> &[u8] {
        &self.sends[self.at..]
    }
}

impl AsyncRead for Peer {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(answer) = this.answer.take() {
            this.sends = answer(&this.sends, &this.heard);
        }
        let len = this.unread().len().min(this.piece).min(buf.remaining());
        buf.put_slice(&this.sends[this.at..this.at + len]);
        this.at += len;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Peer {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().heard.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Runs what never has to wait.
///
/// # Panics
/// Panics if it waits.
pub(crate) fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(out) => out,
        Poll::Pending => panic!("it waits for a peer that is always ready"),
    }
}

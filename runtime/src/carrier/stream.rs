//! The stream under a carrier, with or without TLS.

use crate::env::{Stream, StreamRole};
use core::pin::Pin;
use core::task::{Context, Poll};
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::{client, server};

/// A stream of the world, plain or under TLS.
#[derive(Debug)]
pub enum CarrierStream<S> {
    /// The stream itself.
    Plain(S),
    /// The server's end of TLS.
    TlsServer(Box<server::TlsStream<S>>),
    /// The client's end of TLS.
    TlsClient(Box<client::TlsStream<S>>),
}

impl<S> CarrierStream<S> {
    /// Returns the stream of the world.
    #[must_use]
    pub fn get_ref(&self) -> &S {
        match self {
            Self::Plain(stream) => stream,
            Self::TlsServer(stream) => stream.get_ref().0,
            Self::TlsClient(stream) => stream.get_ref().0,
        }
    }

    /// Returns whether the bytes on the wire are encrypted.
    #[must_use]
    pub const fn is_encrypted(&self) -> bool {
        !matches!(self, Self::Plain(_))
    }
}

impl<S> From<server::TlsStream<S>> for CarrierStream<S> {
    fn from(stream: server::TlsStream<S>) -> Self {
        Self::TlsServer(Box::new(stream))
    }
}

impl<S> From<client::TlsStream<S>> for CarrierStream<S> {
    fn from(stream: client::TlsStream<S>) -> Self {
        Self::TlsClient(Box::new(stream))
    }
}

impl<S: Stream> Stream for CarrierStream<S> {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.get_ref().peer_addr()
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.get_ref().local_addr()
    }

    fn tune(&self, role: StreamRole) {
        self.get_ref().tune(role);
    }

    fn set_abort_on_drop(&self) {
        self.get_ref().set_abort_on_drop();
    }

    fn set_end_on_drop(&self) {
        self.get_ref().set_end_on_drop();
    }
}

/// Calls the same method on whichever stream it is.
macro_rules! each {
    ($this:expr, $stream:ident => $call:expr) => {
        match $this.get_mut() {
            CarrierStream::Plain(stream) => {
                let $stream = Pin::new(stream);
                $call
            }
            CarrierStream::TlsServer(stream) => {
                let $stream = Pin::new(&mut **stream);
                $call
            }
            CarrierStream::TlsClient(stream) => {
                let $stream = Pin::new(&mut **stream);
                $call
            }
        }
    };
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for CarrierStream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        each!(self, stream => stream.poll_read(cx, buf))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for CarrierStream<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        each!(self, stream => stream.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self, stream => stream.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::TlsServer(stream) => stream.is_write_vectored(),
            Self::TlsClient(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => stream.poll_shutdown(cx))
    }
}

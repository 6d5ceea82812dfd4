//! An end of a connection in an application's hands.

use super::conn::Side;
use super::ids::ConnId;
use super::network::Network;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::io::{self, ErrorKind, IoSlice};
use std::net::SocketAddr;
use titan_runtime::env::{Stream, StreamRole};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A byte stream between two hosts of a network.
///
/// Dropping it ends it cleanly, unless bytes are unread or it shall abort: then the peer sees a
/// reset.
#[derive(Debug)]
pub struct SimStream {
    network: Network,
    conn: ConnId,
    side: Side,
}

impl SimStream {
    /// Wraps an end that the state counts as held by a stream.
    pub(super) fn new(network: Network, conn: ConnId, side: Side) -> Self {
        Self {
            network,
            conn,
            side,
        }
    }

    pub(super) fn poll_open(&self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        self.network.with(|state| state.poll_open(self.conn, cx))
    }

    fn abort_on_drop(&self, abort: bool) {
        self.network.with(|state| {
            if let Some(conn) = state.conns.get_mut(&self.conn) {
                conn.end_mut(self.side).abort_on_drop = abort;
            }
        });
    }

    fn address(&self, side: Side) -> io::Result<SocketAddr> {
        self.network.with(|state| {
            let conn = state.conns.get(&self.conn).ok_or(ErrorKind::NotConnected)?;
            Ok(conn.end(side).address)
        })
    }
}

impl Drop for SimStream {
    fn drop(&mut self) {
        self.network
            .with(|state| state.release_end(self.conn, self.side));
    }
}

impl Stream for SimStream {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.address(self.side.other())
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.address(self.side)
    }

    fn tune(&self, _role: StreamRole) {}

    fn set_abort_on_drop(&self) {
        self.abort_on_drop(true);
    }

    fn set_end_on_drop(&self) {
        self.abort_on_drop(false);
    }
}

impl AsyncRead for SimStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.network
            .with(|state| state.poll_read(self.conn, self.side, cx, buf))
    }
}

impl AsyncWrite for SimStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.network
            .with(|state| state.poll_write(self.conn, self.side, cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(
            self.network
                .with(|state| state.shutdown(self.conn, self.side)),
        )
    }
}

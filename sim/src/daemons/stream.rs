//! A TCP connection on top of turmoil's.
//!
//! turmoil 0.7 counts a window in calls of `write` and shares it in memory, loses the end of a stream
//! whose window is full, never wakes a writer whose peer has reset the connection, knows no abort,
//! and has one number for window and backlog. So its connections only carry messages here, in order,
//! over links with latency, holds and partitions, and with so large a `tcp_capacity` that its own
//! window never closes. Both ends of every connection are ours; a segment of turmoil's is one of:
//!
//! | tag | then | |
//! |---|---|---|
//! | [`DATA`] | bytes | at most [`SEGMENT`], within the window |
//! | [`WINDOW`] | a count | so many bytes more were read |
//! | [`FIN`] | | no more data follows |
//! | [`RESET`] | | the connection is dead |
//! | [`OPEN`] | | the listener's process has accepted; a connect ends with it |
//!
//! An end that its process drops is handed to the host's kernel ([`Linger`]), which waits until the
//! peer has read everything and ended too, and answers data with [`RESET`] meanwhile.

mod linger;
#[cfg(test)]
mod tests;
mod wakers;
mod wire;

pub(super) use linger::Linger;
pub(super) use wakers::Wakers;

use super::account::Tally;
use super::network::Network;
use bytes::{Buf as _, Bytes};
use core::future::poll_fn;
use core::pin::Pin;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Poll, Waker};
use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use titan_runtime::env::{Stream, StreamRole};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use turmoil::net::TcpStream;
#[cfg(doc)]
use wire::WINDOW;
use wire::{DATA, FIN, Message, OPEN, RESET, SEGMENT, poll_message, send, window};

/// Bytes a receiving end takes before its process reads.
const WINDOW_MAX: usize = 64 * 1024;

/// A byte stream between two hosts.
#[derive(Debug)]
pub(super) struct TurmoilStream {
    network: Network,
    id: u64,
    host: IpAddr,
    local: SocketAddr,
    peer: SocketAddr,
    /// None once it was handed to the kernel.
    tcp: Option<TcpStream>,
    wakers: Arc<Wakers>,
    abort_on_drop: AtomicBool,
    open: bool,
    inbox: VecDeque<Bytes>,
    /// Bytes read that the peer was not told of.
    untold: usize,
    /// Bytes that may be sent.
    window: usize,
    fin_sent: bool,
    fin_received: bool,
    failed: bool,
    /// Counts what its process reads and writes.
    tally: Option<Arc<Tally>>,
}

impl TurmoilStream {
    pub(super) fn new(network: Network, host: IpAddr, tcp: TcpStream) -> io::Result<Self> {
        let (local, peer) = (tcp.local_addr()?, tcp.peer_addr()?);
        let wakers = Arc::<Wakers>::default();
        let id = network.add_stream(host, peer.ip(), Arc::clone(&wakers));
        Ok(Self {
            network,
            id,
            host,
            local,
            peer,
            tcp: Some(tcp),
            wakers,
            abort_on_drop: AtomicBool::new(false),
            open: false,
            inbox: VecDeque::new(),
            untold: 0,
            window: WINDOW_MAX,
            fin_sent: false,
            fin_received: false,
            failed: false,
            tally: None,
        })
    }

    /// Tells the peer that its connection was accepted, and counts from now on, if it is to.
    pub(super) fn accepted(&mut self, tally: Option<Arc<Tally>>) -> io::Result<()> {
        self.open = true;
        self.tally = tally;
        self.send(&[OPEN])
    }

    /// Waits until the peer has accepted.
    pub(super) async fn opened(&mut self) -> io::Result<()> {
        poll_fn(|cx| {
            self.wakers.set_reader(cx);
            self.pump();
            if self.failed {
                return Poll::Ready(Err(ErrorKind::ConnectionReset.into()));
            }
            if self.open {
                return Poll::Ready(Ok(()));
            }
            Poll::Pending
        })
        .await
    }

    /// Takes in whatever has arrived.
    fn pump(&mut self) {
        if self.wakers.is_cut() {
            self.failed = true;
        }
        let waker = Waker::from(Arc::clone(&self.wakers));
        let mut cx = Context::from_waker(&waker);
        while !self.failed {
            let Some(tcp) = &mut self.tcp else { return };
            match poll_message(tcp, &mut cx) {
                Poll::Pending => return,
                Poll::Ready(Some(Message::Data(bytes))) => self.inbox.push_back(bytes),
                Poll::Ready(Some(Message::Window(len))) => self.window += len,
                Poll::Ready(Some(Message::Fin)) => self.fin_received = true,
                Poll::Ready(Some(Message::Open)) => self.open = true,
                Poll::Ready(Some(Message::Reset) | None) => self.failed = true,
            }
        }
    }

    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        let Some(tcp) = &self.tcp else {
            return Err(ErrorKind::NotConnected.into());
        };
        send(tcp, message).inspect_err(|_| self.failed = true)
    }

    /// Tells the peer what was read, if that is worth a message or nothing more will come.
    fn tell(&mut self) {
        let worth = self.untold >= WINDOW_MAX / 4 || self.fin_received;
        if worth && self.untold > 0 && !self.failed {
            let len = u32::try_from(self.untold).unwrap_or(u32::MAX);
            self.untold = 0;
            // A dead connection shows at the next read.
            let _ = self.send(&window(len));
        }
    }
}

impl AsyncRead for TurmoilStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.wakers.set_reader(cx);
        self.pump();
        // What a middlebox has cut is lost with what the kernel held; a reset leaves it to be read.
        if self.wakers.is_cut() {
            return Poll::Ready(Err(ErrorKind::ConnectionReset.into()));
        }
        let before = buf.filled().len();
        while buf.remaining() > 0
            && let Some(first) = self.inbox.front_mut()
        {
            let len = first.len().min(buf.remaining());
            buf.put_slice(&first[..len]);
            first.advance(len);
            if first.is_empty() {
                self.inbox.pop_front();
            }
        }
        let read = buf.filled().len() - before;
        self.untold += read;
        if let Some(tally) = &self.tally {
            tally.read(read);
        }
        self.tell();
        if read > 0 || self.fin_received {
            return Poll::Ready(Ok(()));
        }
        if self.failed {
            return Poll::Ready(Err(ErrorKind::ConnectionReset.into()));
        }
        Poll::Pending
    }
}

impl AsyncWrite for TurmoilStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.wakers.set_writer(cx);
        self.pump();
        if self.failed {
            return Poll::Ready(Err(ErrorKind::ConnectionReset.into()));
        }
        if self.fin_sent {
            return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
        }
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let len = buf.len().min(self.window).min(SEGMENT);
        if len == 0 {
            return Poll::Pending;
        }
        let mut message = Vec::with_capacity(len + 1);
        message.push(DATA);
        message.extend_from_slice(&buf[..len]);
        self.send(&message)?;
        self.window -= len;
        if let Some(tally) = &self.tally {
            tally.wrote(len);
        }
        Poll::Ready(Ok(len))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.failed {
            return Poll::Ready(Err(ErrorKind::NotConnected.into()));
        }
        if !self.fin_sent {
            self.fin_sent = true;
            self.send(&[FIN])?;
        }
        Poll::Ready(Ok(()))
    }
}

impl Stream for TurmoilStream {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.peer)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }

    fn tune(&self, _role: StreamRole) {}

    fn set_abort_on_drop(&self) {
        self.abort_on_drop.store(true, Ordering::Relaxed);
    }

    fn set_end_on_drop(&self) {
        self.abort_on_drop.store(false, Ordering::Relaxed);
    }
}

impl Drop for TurmoilStream {
    fn drop(&mut self) {
        self.network.remove_stream(self.id);
        if let Some(tally) = &self.tally {
            tally.closed();
        }
        // Without a host that runs there is nobody to say anything.
        if turmoil::sim_elapsed().is_none() {
            return;
        }
        self.pump();
        if self.failed {
            return;
        }
        let abort = self.abort_on_drop.load(Ordering::Relaxed) || !self.inbox.is_empty();
        // Errors show that the peer is gone.
        if abort {
            let _ = self.send(&[RESET]);
            return;
        }
        if self.untold > 0 {
            let len = u32::try_from(self.untold).unwrap_or(u32::MAX);
            let _ = self.send(&window(len));
        }
        if !self.fin_sent {
            let _ = self.send(&[FIN]);
        }
        if let Some(tcp) = self.tcp.take() {
            let unread = WINDOW_MAX - self.window.min(WINDOW_MAX);
            let socket = Linger::new(tcp, unread, self.fin_received);
            self.network.linger(self.host, socket);
        }
    }
}

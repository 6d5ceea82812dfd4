//! How bytes, ends and resets move through a connection.

use super::conn::{Holder, Opening, Packet, Sending, Side};
use super::ids::ConnId;
use super::link::Parcel;
use super::state::State;
use bytes::{Buf as _, Bytes};
use core::task::{Context, Poll};
use std::io::{self, ErrorKind, IoSlice};
use std::net::SocketAddr;
use tokio::io::ReadBuf;

/// The most bytes that travel as one packet: large, because each costs an event, and small enough
/// for connections to share a slow link.
const PACKET_LEN_MAX: usize = 16 * 1024;

impl State {
    /// Takes a packet in at its destination.
    pub(super) fn arrive(&mut self, parcel: Parcel) {
        let Parcel {
            conn: id,
            to,
            packet,
        } = parcel;
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        let end = conn.end_mut(to);
        let dead = end.failed || end.holder == Holder::Gone;
        match packet {
            Packet::Syn => self.arrive_syn(id),
            Packet::Refuse => {
                self.finish_opening(id, Opening::Failed(ErrorKind::ConnectionRefused));
            }
            // What reaches a dead socket is answered with a reset (RFC 9293 section 3.5.2).
            Packet::SynAck | Packet::Data(_) if dead => self.send(id, to, Packet::Reset),
            Packet::SynAck => self.finish_opening(id, Opening::Open),
            Packet::Data(bytes) => {
                let len = bytes.len();
                end.inbox.push_back(bytes);
                self.wakes.extend(end.read_waker.take());
                self.send(id, to, Packet::Ack(len));
            }
            Packet::Ack(len) => {
                end.unacknowledged -= len.min(end.unacknowledged);
                self.wakes.extend(end.write_waker.take());
            }
            Packet::Window(len) => {
                end.window += len;
                self.transmit(id, to);
            }
            Packet::Fin => {
                end.ended = true;
                self.wakes.extend(end.read_waker.take());
            }
            Packet::Reset => {
                end.fail(Some(ErrorKind::ConnectionReset), &mut self.wakes);
                self.finish_opening(id, Opening::Failed(ErrorKind::ConnectionReset));
            }
        }
    }

    fn arrive_syn(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get(&id) else {
            return;
        };
        let server = conn.end(Side::Server);
        let (host, address) = (server.host, server.address);
        // A repeated SYN, or one that nothing answers; its timer sends the next.
        if server.holder != Holder::Nobody || self.blackholes.contains(&address.ip()) {
            return;
        }
        let limit = self.config.backlog;
        let Some(backlog) = self.listener(host, address) else {
            return self.send(id, Side::Server, Packet::Refuse);
        };
        if backlog.waiting.len() >= limit {
            return;
        }
        backlog.waiting.push_back(id);
        let waker = backlog.waker.take();
        self.wakes.extend(waker);
        if let Some(conn) = self.conns.get_mut(&id) {
            conn.end_mut(Side::Server).holder = Holder::Backlog;
        }
        self.send(id, Side::Server, Packet::SynAck);
    }

    /// Sends what the window lets through, and the end of the stream behind it.
    fn transmit(&mut self, id: ConnId, side: Side) {
        while let Some(conn) = self.conns.get_mut(&id) {
            let end = conn.end_mut(side);
            let Some(front) = end.outbox.front_mut() else {
                if end.sending == Sending::Finishing {
                    end.sending = Sending::Finished;
                    self.send(id, side, Packet::Fin);
                }
                return;
            };
            let len = front.len().min(end.window).min(PACKET_LEN_MAX);
            if len == 0 {
                return;
            }
            let packet = front.split_to(len);
            if front.is_empty() {
                end.outbox.pop_front();
            }
            end.window -= len;
            end.outbox_len -= len;
            end.unacknowledged += len;
            self.send(id, side, Packet::Data(packet));
        }
    }

    pub(super) fn poll_accept(
        &mut self,
        host: usize,
        incarnation: u64,
        at: SocketAddr,
        cx: &Context<'_>,
    ) -> Poll<(ConnId, SocketAddr)> {
        let host = &mut self.hosts[host];
        if host.incarnation != incarnation {
            return Poll::Pending;
        }
        let Some(backlog) = host.listeners.get_mut(&at) else {
            return Poll::Pending;
        };
        while let Some(id) = backlog.waiting.pop_front() {
            if let Some(conn) = self.conns.get_mut(&id) {
                host.stream_count += 1;
                conn.end_mut(Side::Server).holder = Holder::Stream;
                return Poll::Ready((id, conn.end(Side::Client).address));
            }
        }
        backlog.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    pub(super) fn poll_read(
        &mut self,
        id: ConnId,
        side: Side,
        cx: &Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(conn) = self.conns.get_mut(&id) else {
            return Poll::Ready(Err(ErrorKind::NotConnected.into()));
        };
        let end = conn.end_mut(side);
        let mut read = 0;
        while buf.remaining() > 0
            && let Some(front) = end.inbox.front_mut()
        {
            let len = front.len().min(buf.remaining());
            buf.put_slice(&front[..len]);
            front.advance(len);
            if front.is_empty() {
                end.inbox.pop_front();
            }
            read += len;
        }
        if read > 0 {
            if !end.ended && !end.failed {
                self.send(id, side, Packet::Window(read));
            }
            return Poll::Ready(Ok(()));
        }
        if let Some(error) = end.error.take() {
            return Poll::Ready(Err(error.into()));
        }
        if end.ended || end.failed || buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        end.read_waker = Some(cx.waker().clone());
        Poll::Pending
    }

    pub(super) fn poll_write(
        &mut self,
        id: ConnId,
        side: Side,
        cx: &Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let send_buffer = self.config.send_buffer;
        let Some(conn) = self.conns.get_mut(&id) else {
            return Poll::Ready(Err(ErrorKind::NotConnected.into()));
        };
        let end = conn.end_mut(side);
        if let Some(error) = end.error.take() {
            return Poll::Ready(Err(error.into()));
        }
        if end.failed || end.sending != Sending::Open {
            return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
        }
        if bufs.iter().all(|buf| buf.is_empty()) {
            return Poll::Ready(Ok(0));
        }
        let room = send_buffer.saturating_sub(end.outbox_len + end.unacknowledged);
        if room == 0 {
            end.write_waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let mut written = 0;
        for buf in bufs {
            let len = buf.len().min(room - written);
            if len > 0 {
                end.outbox.push_back(Bytes::copy_from_slice(&buf[..len]));
                written += len;
            }
        }
        end.outbox_len += written;
        self.transmit(id, side);
        Poll::Ready(Ok(written))
    }

    pub(super) fn shutdown(&mut self, id: ConnId, side: Side) -> io::Result<()> {
        let Some(conn) = self.conns.get_mut(&id) else {
            return Err(ErrorKind::NotConnected.into());
        };
        let end = conn.end_mut(side);
        if end.failed {
            return Err(ErrorKind::NotConnected.into());
        }
        if end.sending == Sending::Open {
            end.sending = Sending::Finishing;
            self.transmit(id, side);
        }
        Ok(())
    }

    /// Takes an end out of its holder's hands: what is queued still goes out, but unread bytes or
    /// the wish to abort make it a reset (RFC 2525 section 2.17).
    pub(super) fn release_end(&mut self, id: ConnId, side: Side) {
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        let connecting = matches!(conn.opening, Opening::Connecting { .. });
        let end = conn.end_mut(side);
        if end.holder == Holder::Stream {
            self.hosts[end.host].stream_count -= 1;
        }
        end.holder = Holder::Gone;
        (end.read_waker, end.write_waker) = (None, None);
        if connecting && side == Side::Client {
            // Nothing is sent; the server's answer meets a dead end and is reset.
            end.fail(None, &mut self.wakes);
        } else if !end.failed {
            if end.abort_on_drop || !end.inbox.is_empty() {
                end.fail(None, &mut self.wakes);
                self.send(id, side, Packet::Reset);
            } else {
                // Nothing can fail: the end is alive.
                let _ = self.shutdown(id, side);
            }
        }
        if self.conns.get(&id).is_some_and(super::conn::Conn::is_over) {
            self.conns.remove(&id);
        }
    }

    /// Ends a listener; who waits in its backlog is reset.
    pub(super) fn close_listener(&mut self, host: usize, incarnation: u64, at: SocketAddr) {
        if self.hosts[host].incarnation != incarnation {
            return;
        }
        let Some(backlog) = self.hosts[host].listeners.remove(&at) else {
            return;
        };
        for id in backlog.waiting {
            if let Some(conn) = self.conns.get_mut(&id) {
                conn.end_mut(Side::Server).abort_on_drop = true;
            }
            self.release_end(id, Side::Server);
        }
    }
}

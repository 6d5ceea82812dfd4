//! What a session carries: two directions of bytes.
//!
//! What concerns both directions is said here: memory, the next frame, when they are complete, the
//! audit. The one direction is `send`'s, the other `recv`'s, and what driver and peer do with either
//! stands in `driven`, `heard` and `pinned`. A session that carries something else as well gets a body
//! beside this one; its phase, its place and its driver stay what they are.

use super::recv::{RecvError, RecvHalf};
use super::send::{Fin, SendHalf};
use crate::time::Instant;
use bytes::Bytes;
use titan_proto::Frame;

#[derive(Debug)]
pub(super) struct Streams {
    /// From the socket to the peer.
    pub(super) send: SendHalf,
    /// From the peer to the socket.
    pub(super) recv: RecvHalf,
}

impl Streams {
    /// May send up to `send_limit`, and lets the peer send up to `recv_limit`.
    pub(super) fn new(now: Instant, send_limit: u64, recv_limit: u64, window: u64) -> Self {
        Self {
            send: SendHalf::new(send_limit),
            recv: RecvHalf::new(now, recv_limit, window),
        }
    }

    /// Returns the memory that both directions pin.
    pub(super) const fn charge(&self) -> u64 {
        self.waiting() + self.send.queue.charge() as u64
    }

    /// Returns the part of it that waits for the socket.
    pub(super) const fn waiting(&self) -> u64 {
        self.recv.queue.charge() as u64
    }

    /// Tells whether both directions have been carried to their end.
    pub(super) fn is_complete(&self) -> bool {
        self.send.is_done() && self.recv.is_done()
    }

    /// Tells whether one direction is at its end: who then moves nothing has less time.
    pub(super) fn is_half_done(&self) -> bool {
        self.recv.fin.is_some() || self.send.is_done()
    }

    /// Drops everything of the direction to the peer, and with `all` of the other one.
    pub(super) fn drop_rest(&mut self, all: bool) {
        self.send.clear();
        if all {
            self.recv.stop();
        }
    }

    /// Takes the next DATA or HALF_CLOSE.
    pub(super) fn next_frame(&mut self, session: u64, data_max: usize) -> Frame {
        if self.send.ends_now() {
            self.send.fin = Fin::Sent;
            let final_offset = self.send.offset;
            return Frame::HalfClose {
                session,
                final_offset,
            };
        }
        let data = self.send.take(data_max);
        Frame::Data { session, data }
    }

    pub(super) fn receive(&mut self, data: Bytes) -> Result<(), RecvError> {
        self.recv.push(data)
    }

    /// Counts again; for audits.
    pub(super) fn audit(&self, window_max: u64) -> Result<(), &'static str> {
        let (send, recv) = (&self.send, &self.recv);
        let allowed = recv.released.max(recv.offset) + window_max.max(recv.window);
        for (holds, what) in [
            (send.offset <= send.limit, "I3: sent beyond its credit"),
            (recv.offset <= recv.limit, "I3: received beyond its limit"),
            (
                recv.released <= recv.offset,
                "I3: released what it never got",
            ),
            (
                recv.offset.wrapping_sub(recv.released) == recv.queue.len() as u64,
                "I3: bytes are waiting or released",
            ),
            (recv.limit <= allowed, "I4: a limit beyond its window"),
            (
                send.queue.is_consistent() && recv.queue.is_consistent(),
                "I4: queues",
            ),
        ] {
            if !holds {
                return Err(what);
            }
        }
        Ok(())
    }
}

//! The task between a socket and its session: a client at the POP, a target at the edge.

use super::Shard;
use crate::env::{Env, Stream as _};
use bytes::{Buf as _, Bytes};
use core::future::poll_fn;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::io::{self, IoSlice};
use titan_core::endpoint::{CloseMode, Dial, Role, SessionId, SessionStatus};
use titan_proto::Code;
use tokio::io::AsyncWrite as _;

/// Slices per vectored write.
const SLICES_MAX: usize = 32;

/// Reads per turn, so that a fast socket leaves a turn to others.
const READS_PER_TURN: usize = 4;

/// Makes the bytes that tell a client how its dial went.
type Answer = Box<dyn FnOnce(Result<(), Code>) -> Bytes>;

/// Moves bytes both ways until the session ends.
pub(crate) struct Relay<E: Env, R: Role + 'static> {
    shard: Shard<E, R>,
    hold: Hold<E, R>,
    id: SessionId,
    stream: E::Stream,
    /// Goes to the socket before anything of the session.
    front: Bytes,
    answer: Option<Answer>,
    refused: bool,
    reading: bool,
    writing: Writing,
}

/// Lets go of the session, also when the task is ended from outside.
struct Hold<E: Env, R: Role + 'static> {
    shard: Shard<E, R>,
    id: SessionId,
    code: Code,
    mode: CloseMode,
}

impl<E: Env, R: Role + 'static> Drop for Hold<E, R> {
    fn drop(&mut self) {
        self.shard
            .drive(|core, now| core.close(now, self.id, self.code, self.mode));
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Writing {
    Open,
    Finished,
    Broken,
}

/// How a relay ended. The socket is still open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum RelayEnd {
    /// Both directions are complete; `reading` if the socket may still send bytes nobody wants.
    Complete {
        /// The socket has not ended its direction.
        reading: bool,
    },
    /// The client was told that its dial failed.
    Refused,
    /// The session failed: the socket must see a reset.
    Failed(Code),
    /// The socket failed.
    Broken,
}

impl<E: Env, R: Role + 'static> Relay<E, R> {
    /// Takes over a session of the endpoint and the socket it is for.
    pub(crate) fn new(shard: Shard<E, R>, id: SessionId, stream: E::Stream) -> Self {
        // Whatever ends the relay before its time, a shutdown or a kill, must not look like the end
        // of the bytes.
        stream.set_abort_on_drop();
        Self {
            hold: Hold {
                shard: shard.clone(),
                id,
                code: Code::Cancelled,
                mode: CloseMode::Abort,
            },
            shard,
            id,
            stream,
            front: Bytes::new(),
            answer: None,
            refused: false,
            reading: true,
            writing: Writing::Open,
        }
    }

    /// Sends bytes to the socket before those of the session.
    #[cfg(feature = "pop")]
    pub(crate) fn with_front(mut self, front: Bytes) -> Self {
        self.front = front;
        self
    }

    /// Tells the client how the dial went, and nothing before.
    #[cfg(feature = "pop")]
    pub(crate) fn with_answer(mut self, answer: Answer) -> Self {
        self.answer = Some(answer);
        self
    }

    /// Hands in bytes that were read from the socket already.
    #[cfg(feature = "pop")]
    pub(crate) fn with_early(self, early: Bytes) -> Self {
        if !early.is_empty() {
            self.shard
                .drive(|core, now| core.write(now, self.id, early));
        }
        self
    }

    /// Runs until the session or the socket ends; the session is let go of either way.
    pub(crate) async fn run(mut self) -> (E::Stream, RelayEnd) {
        let end = poll_fn(|cx| self.poll(cx)).await;
        (self.hold.code, self.hold.mode) = match end {
            RelayEnd::Broken => (Code::Reset, CloseMode::Flush),
            RelayEnd::Complete { .. } | RelayEnd::Refused => (Code::Ok, CloseMode::Abort),
            RelayEnd::Failed(code) => (code, CloseMode::Abort),
        };
        (self.stream, end)
    }

    fn status(&self) -> Option<SessionStatus> {
        self.shard.status(self.id)
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<RelayEnd> {
        self.shard.register_session(self.id, cx.waker());
        let mut reads = 0;
        loop {
            let Some(status) = self.status() else {
                return Poll::Ready(RelayEnd::Failed(Code::Cancelled));
            };
            self.answer_dial(status.dial);
            if let Poll::Ready(Err(_)) = self.write_front(cx) {
                return Poll::Ready(RelayEnd::Broken);
            }
            if self.refused {
                return if self.front.is_empty() {
                    Poll::Ready(RelayEnd::Refused)
                } else {
                    Poll::Pending
                };
            }
            let mut moved = self.write_socket(cx, status);
            // What was written may have used up what could be read.
            let fresh = if moved { self.status() } else { Some(status) };
            let Some(status) = fresh else {
                return Poll::Ready(RelayEnd::Failed(Code::Cancelled));
            };
            if reads < READS_PER_TURN {
                reads += 1;
                match self.read_socket(cx, status) {
                    Ok(read) => moved |= read,
                    Err(_) => return Poll::Ready(RelayEnd::Broken),
                }
            } else if !moved {
                cx.waker().wake_by_ref();
            }
            if moved {
                continue;
            }
            if self.writing == Writing::Broken && !self.reading {
                return Poll::Ready(RelayEnd::Broken);
            }
            return match status.ended {
                Some(Code::Ok) if self.writing != Writing::Open => {
                    Poll::Ready(RelayEnd::Complete {
                        reading: self.reading,
                    })
                }
                Some(Code::Ok) | None => Poll::Pending,
                Some(code) if status.readable == 0 && self.front.is_empty() => {
                    Poll::Ready(RelayEnd::Failed(code))
                }
                Some(_) => Poll::Pending,
            };
        }
    }

    fn answer_dial(&mut self, dial: Dial) {
        let outcome = match dial {
            Dial::Pending => return,
            Dial::Connected => Ok(()),
            Dial::Failed(code) => Err(code),
        };
        if let Some(answer) = self.answer.take() {
            self.refused = outcome.is_err();
            self.front = answer(outcome);
        }
    }

    fn write_front(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.front.is_empty() {
            let len = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.front))?;
            if len == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.front.advance(len);
        }
        Poll::Ready(Ok(()))
    }

    /// Writes what waits for the socket. Returns whether anything changed.
    fn write_socket(&mut self, cx: &mut Context<'_>, status: SessionStatus) -> bool {
        if self.writing != Writing::Open || !self.front.is_empty() || self.answer.is_some() {
            return false;
        }
        let written = if status.readable > 0 {
            self.write_readable(cx).map_ok(Some)
        } else if status.recv_finished {
            Pin::new(&mut self.stream)
                .poll_shutdown(cx)
                .map_ok(|()| None)
        } else {
            return false;
        };
        match written {
            Poll::Pending => false,
            Poll::Ready(Ok(Some(len))) => {
                self.shard
                    .drive(|core, now| core.release(now, self.id, len));
                true
            }
            Poll::Ready(Ok(None)) => {
                self.writing = Writing::Finished;
                true
            }
            Poll::Ready(Err(_)) => {
                // The other direction goes on: the far end may still have an answer to give.
                self.writing = Writing::Broken;
                self.shard
                    .drive(|core, now| core.stop(now, self.id, Code::Reset));
                true
            }
        }
    }

    fn write_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let core = self.shard.0.core.borrow();
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let mut count = 0;
        for (place, slice) in slices.iter_mut().zip(core.readable(self.id)) {
            *place = IoSlice::new(slice);
            count += 1;
        }
        let len = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, &slices[..count]))?;
        if len == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        Poll::Ready(Ok(len))
    }

    /// Reads once if the session has room. Returns whether anything changed.
    fn read_socket(&mut self, cx: &mut Context<'_>, status: SessionStatus) -> io::Result<bool> {
        let room = if status.send_stopped {
            usize::MAX
        } else {
            status.send_room
        };
        if !self.reading || room == 0 || status.ended.is_some_and(|code| code != Code::Ok) {
            return Ok(false);
        }
        let session = (!status.send_stopped).then_some(self.id);
        match self.shard.poll_flow(cx, &mut self.stream, room, session) {
            Poll::Pending => Ok(false),
            Poll::Ready(Ok(0)) => {
                self.reading = false;
                self.shard.drive(|core, now| core.finish(now, self.id));
                Ok(true)
            }
            Poll::Ready(Ok(_)) => Ok(true),
            Poll::Ready(Err(error)) => Err(error),
        }
    }
}

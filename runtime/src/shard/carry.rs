//! The task of a carrier.

use super::Shard;
use super::hearing::Ticket;
use crate::carrier::{CarrierStream, FrameReader, FrameWriter, Incoming, ReadOutcome};
use crate::env::{Env, Stream};
use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::rc::Rc;
use titan_core::endpoint::{CarrierId, Endpoint, Item, Role};
use titan_proto::{Code, Header};

/// A write without progress for this long ends the carrier.
const WRITE_DEADLINE: Duration = Duration::from_secs(15);

/// A carrier that says goodbye may take this long to do so.
const GOODBYE_DEADLINE: Duration = Duration::from_secs(5);

/// Batches written per turn, so that a fast carrier leaves a turn to others.
const BATCHES_PER_TURN: usize = 4;

/// WebSocket close codes from here on are ours: this plus the wire number of a code.
const CLOSE_CODE_BASE: u16 = 4000;

/// A connected carrier.
pub(crate) struct Carry<S> {
    pub(crate) id: CarrierId,
    pub(crate) stream: CarrierStream<S>,
    pub(crate) reader: FrameReader,
    pub(crate) writer: FrameWriter,
}

/// Bears a carrier until it ends. The endpoint has forgotten it then.
pub(crate) async fn carry<E: Env, R: Role + 'static>(
    shard: Shard<E, R>,
    carry: Carry<E::Stream>,
) -> Code {
    let id = carry.id;
    let forget = Forget {
        shard: shard.clone(),
        id,
    };
    let mut task = Task {
        shard,
        carry,
        goodbye: None,
        stalled: None,
        unread: None,
    };
    let code = poll_fn(|cx| task.poll(cx)).await;
    forget
        .shard
        .drive(|core, now| core.handle_carrier_closed(now, id, code));
    // A goodbye that was written must not be thrown away with the socket.
    if task.goodbye.is_none() {
        task.carry.stream.set_abort_on_drop();
    }
    code
}

/// Tells the endpoint that the carrier is gone, also when the task is ended from outside.
struct Forget<E: Env, R: Role + 'static> {
    shard: Shard<E, R>,
    id: CarrierId,
}

impl<E: Env, R: Role + 'static> Drop for Forget<E, R> {
    fn drop(&mut self) {
        self.shard
            .drive(|core, now| core.handle_carrier_closed(now, self.id, Code::Reset));
    }
}

/// A blocked write: how many bytes were left when it last moved, and its patience.
type Stalled = (usize, Pin<Box<dyn Future<Output = ()>>>);

struct Task<E: Env, R: Role + 'static> {
    shard: Shard<E, R>,
    carry: Carry<E::Stream>,
    /// The endpoint has let go; the close frame is on its way.
    goodbye: Option<Code>,
    /// Fires when a write made no progress for too long.
    stalled: Option<Stalled>,
    /// Its place among those that wait to be read.
    unread: Option<Ticket>,
}

impl<E: Env, R: Role + 'static> Drop for Task<E, R> {
    /// Whoever was called to be read and is gone lets the next be.
    fn drop(&mut self) {
        self.shard.pass_hearing(&mut self.unread);
    }
}

impl<E: Env, R: Role + 'static> Task<E, R> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Code> {
        self.shard.register_carrier(self.carry.id, cx.waker());
        if self.goodbye.is_none() && self.shard.is_severed(self.carry.id) {
            return Poll::Ready(Code::Silent);
        }
        // Each direction has its own budget: a blocked write never keeps from reading.
        if self.goodbye.is_none()
            && let Poll::Ready(code) = self.receive(cx)
        {
            return Poll::Ready(code);
        }
        self.send(cx)
    }

    /// Reads one block.
    fn receive(&mut self, cx: &mut Context<'_>) -> Poll<Code> {
        let shard = Rc::clone(&self.shard.0);
        let mut incoming = shard.incoming.borrow_mut();
        debug_assert!(incoming.is_empty(), "a turn leaves nothing behind");
        // What sockets did not take of the last block is copied, so that the block is free.
        self.shard.drive(Endpoint::settle);
        if !self.is_heard() {
            return Poll::Pending;
        }
        let Carry {
            id,
            stream,
            reader,
            writer,
        } = &mut self.carry;
        let mut block = shard.read_block.borrow_mut();
        let outcome = match reader.poll_read(cx, stream, &mut block, &mut incoming) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(outcome) => outcome,
        };
        let mut closed = None;
        let id = *id;
        self.shard.drive(|core, now| {
            core.handle_alive(now, id);
            for frame in incoming.drain(..) {
                match frame {
                    Incoming::Message(message) => core.handle_message(now, id, &message),
                    // A pong that finds no room is left out: a later ping will be answered.
                    Incoming::Ping(payload) => drop(writer.push_pong(&payload)),
                    Incoming::Pong(payload) => core.handle_pong(now, id, &payload),
                    Incoming::Close { code, .. } => closed = Some(close_code(code)),
                }
            }
            if let Err(error) = &outcome {
                // A broken connection cannot be told anything, a broken frame can.
                let code = error.code();
                if code == Code::Reset {
                    core.handle_carrier_closed(now, id, code);
                } else {
                    core.handle_carrier_fault(now, id, code);
                }
            }
        });
        match (outcome, closed) {
            (_, Some(code)) => Poll::Ready(code),
            (Ok(ReadOutcome::End), None) => Poll::Ready(Code::Reset),
            (Err(error), None) if error.code() == Code::Reset => Poll::Ready(Code::Reset),
            (Err(_), None) => Poll::Pending,
            (Ok(ReadOutcome::Received(_)), None) => {
                // More may wait. The sessions woken by this block run first.
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    /// Tells whether the endpoint takes what the carrier brings; if not, the kernel keeps it, and the task is
    /// woken when that is over.
    fn is_heard(&mut self) -> bool {
        let id = self.carry.id;
        let is_heard = self.shard.drive(|core, now| core.takes_input(now, id));
        if is_heard {
            self.shard.pass_hearing(&mut self.unread);
        } else {
            let mut hearing = self.shard.0.hearing.borrow_mut();
            hearing.wait(&mut self.unread, id);
        }
        is_heard
    }

    /// Writes what is due.
    fn send(&mut self, cx: &mut Context<'_>) -> Poll<Code> {
        let shard = Rc::clone(&self.shard.0);
        for _ in 0..BATCHES_PER_TURN {
            let before = self.carry.writer.len();
            match self.carry.writer.poll_flush(cx, &mut self.carry.stream) {
                Poll::Ready(Ok(())) => self.stalled = None,
                Poll::Ready(Err(_)) => return Poll::Ready(self.goodbye.unwrap_or(Code::Reset)),
                Poll::Pending => return self.stall(cx, before),
            }
            if let Some(code) = self.goodbye {
                return Poll::Ready(code);
            }
            let mut batch = shard.batch.borrow_mut();
            let id = self.carry.id;
            self.shard
                .drive(|core, now| core.poll_transmit(now, id, &mut batch));
            if batch.is_empty() {
                return Poll::Pending;
            }
            for item in batch.drain() {
                let fits = match item {
                    Item::Frame(frame) => {
                        let payload = frame.payload();
                        let header = Header::new(frame.kind, frame.session, payload.len());
                        self.carry.writer.push_message(header.as_slice(), payload)
                    }
                    Item::Ping(payload) => self.carry.writer.push_ping(&payload),
                    Item::Close(code) => {
                        self.goodbye = Some(code);
                        self.shard.pass_hearing(&mut self.unread);
                        let number =
                            CLOSE_CODE_BASE.saturating_add(u16::try_from(code.wire()).unwrap_or(0));
                        self.carry.writer.push_close(number, code.tag())
                    }
                };
                debug_assert!(fits, "a batch fits an empty writer");
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Watches a blocked write.
    fn stall(&mut self, cx: &mut Context<'_>, before: usize) -> Poll<Code> {
        let left = self.carry.writer.len();
        let progressed = left < before;
        if progressed || self.stalled.as_ref().is_none_or(|(seen, _)| *seen != left) {
            let env = self.shard.env().clone();
            let patience = if self.goodbye.is_some() {
                GOODBYE_DEADLINE
            } else {
                WRITE_DEADLINE
            };
            let at = env.now() + patience;
            self.stalled = Some((left, Box::pin(async move { env.sleep_until(at).await })));
        }
        let Some((_, timer)) = &mut self.stalled else {
            return Poll::Pending;
        };
        timer
            .as_mut()
            .poll(cx)
            .map(|()| self.goodbye.unwrap_or(Code::WriteTimeout))
    }
}

/// Reads the code of a peer's close frame.
fn close_code(number: u16) -> Code {
    match number.checked_sub(CLOSE_CODE_BASE) {
        Some(wire) => Code::from_wire(u32::from(wire)),
        None => Code::Cancelled,
    }
}

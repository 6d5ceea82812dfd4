//! One thread's share of a daemon: a core endpoint, its tasks, and how they wake each other.
//!
//! Every socket is owned by one task, which reads, writes and drives the endpoint itself; no lock and
//! no channel stands between a socket and the protocol. A task polls its socket and its endpoint's
//! side of it, and whoever changes the endpoint wakes those it concerns:
//!
//! ```text
//!  carrier task ──handle_message──▶ endpoint ──poll_woken──▶ session task ──write──▶ socket
//!  carrier task ◀──poll_ready────── endpoint ◀──write─────── session task ◀──read─── socket
//!                                   timer task: handle_timeout, after the sockets had their turn
//! ```
//!
//! Borrows of the endpoint never cross an await.

mod carry;
mod flow;
mod hearing;
mod linger;
mod relay;
mod slots;
mod tasks;

pub(crate) use carry::{Carry, carry};
pub(crate) use linger::linger;
pub(crate) use relay::Relay;
#[cfg(feature = "pop")]
pub(crate) use relay::RelayEnd;
pub(crate) use tasks::Tasks;

use crate::carrier::{BufferPool, Incoming, SharedBlock};
use crate::env::{Env, Stream};
use bytes::Bytes;
use core::cell::{Cell, RefCell};
use core::task::{Context, Poll, Waker, ready};
use core::time::Duration;
use flow::FlowBlocks;
use hearing::{Hearing, Ticket};
use slots::Slots;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use titan_core::endpoint::{Batch, CarrierId, Endpoint, Event, Role, SessionId, SessionStatus};
use titan_core::time::Instant;
use titan_proto::Code;
use tokio::sync::Notify;

/// Bytes per batch of a carrier: few system calls when busy, and what one stalled carrier pins.
const BATCH_LEN: usize = 256 * 1024;

/// Room a writer's buffer needs beyond a batch: the last frame may exceed it, and control frames fit
/// behind.
const BATCH_SLACK: usize = 80 * 1024;

/// How long goodbyes may take at the end of the process, and how often that is looked at.
const FAREWELL: Duration = Duration::from_secs(1);
const FAREWELL_STEP: Duration = Duration::from_millis(5);

/// Batch buffers kept while no carrier needs them.
const IDLE_BUFFERS: usize = 4;

/// A shard. Clones are handles to the same one.
pub(crate) struct Shard<E: Env, R: Role>(Rc<Inner<E, R>>);

struct Inner<E: Env, R: Role> {
    env: E,
    core: RefCell<Endpoint<R>>,
    sessions: RefCell<Slots>,
    carriers: RefCell<Slots>,
    /// Carriers whose connections are to be closed at once.
    severed: RefCell<Vec<CarrierId>>,
    /// Carriers that are not read for want of memory.
    hearing: RefCell<Hearing<CarrierId>>,
    events: RefCell<VecDeque<Event<R::Event>>>,
    event_waker: Cell<Option<Waker>>,
    /// The deadline the timer task sleeps until.
    armed: Cell<Option<Instant>>,
    rearm: Notify,
    read_block: RefCell<SharedBlock>,
    flow: RefCell<FlowBlocks>,
    /// What a read of a session's socket gave.
    pieces: RefCell<Vec<Bytes>>,
    incoming: RefCell<Vec<Incoming>>,
    batch: RefCell<Batch>,
    pool: BufferPool,
}

impl<E: Env, R: Role> Clone for Shard<E, R> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<E: Env, R: Role + 'static> Shard<E, R> {
    pub(crate) fn new(env: E, core: Endpoint<R>) -> Self {
        Self(Rc::new(Inner {
            env,
            core: RefCell::new(core),
            sessions: RefCell::default(),
            carriers: RefCell::default(),
            severed: RefCell::default(),
            hearing: RefCell::default(),
            events: RefCell::default(),
            event_waker: Cell::default(),
            armed: Cell::new(None),
            rearm: Notify::new(),
            read_block: RefCell::default(),
            flow: RefCell::default(),
            pieces: RefCell::default(),
            incoming: RefCell::default(),
            batch: RefCell::new(Batch::new(BATCH_LEN)),
            pool: BufferPool::new(BATCH_LEN + BATCH_SLACK, IDLE_BUFFERS),
        }))
    }

    pub(crate) fn env(&self) -> &E {
        &self.0.env
    }

    pub(crate) fn pool(&self) -> BufferPool {
        self.0.pool.clone()
    }

    /// Drives the endpoint and wakes whom that concerns.
    pub(crate) fn drive<T>(&self, step: impl FnOnce(&mut Endpoint<R>, Instant) -> T) -> T {
        let now = self.0.env.now();
        let mut core = self.0.core.borrow_mut();
        let out = step(&mut core, now);
        self.pull(&mut core);
        out
    }

    /// Looks at the endpoint.
    pub(crate) fn with_core<T>(&self, look: impl FnOnce(&Endpoint<R>) -> T) -> T {
        look(&self.0.core.borrow())
    }

    /// Takes everything the endpoint has for its driver.
    fn pull(&self, core: &mut Endpoint<R>) {
        while let Some(id) = core.poll_ready() {
            self.0.carriers.borrow().wake(id.slot());
        }
        while let Some(event) = core.poll_event() {
            if let Event::Sever { carrier, .. } = event {
                self.0.severed.borrow_mut().push(carrier);
                self.0.carriers.borrow().wake(carrier.slot());
                continue;
            }
            if matches!(event, Event::TakesInput) {
                for id in self.0.hearing.borrow_mut().open() {
                    self.0.carriers.borrow().wake(id.slot());
                }
                continue;
            }
            self.0.events.borrow_mut().push_back(event);
            if let Some(waker) = self.0.event_waker.take() {
                waker.wake();
            }
        }
        // The first carriers that are read again go before the sockets that could fill what has become free:
        // what they bring may be what frees more.
        while let Some(id) = core.poll_woken() {
            self.0.sessions.borrow().wake(id.slot());
        }
        self.rearm(core);
    }

    /// Makes the timer task follow a deadline that came nearer.
    fn rearm(&self, core: &Endpoint<R>) {
        let due = core.poll_timeout().map(|deadline| deadline.at);
        if let Some(due) = due
            && self.0.armed.get().is_none_or(|armed| due < armed)
        {
            self.0.armed.set(Some(due));
            self.0.rearm.notify_one();
        }
    }

    /// Says goodbye on every carrier and waits until that is sent, but not for long.
    pub(crate) async fn farewell(&self) {
        self.drive(|core, now| core.farewell(now, Code::ShuttingDown));
        let deadline = self.0.env.now() + FAREWELL;
        while self.with_core(|core| core.usage().carriers > 0) && self.0.env.now() < deadline {
            self.0
                .env
                .sleep_until(self.0.env.now() + FAREWELL_STEP)
                .await;
        }
    }

    /// Waits for the next event. One task per shard may wait.
    pub(crate) async fn next_event(&self) -> Event<R::Event> {
        core::future::poll_fn(|cx| match self.0.events.borrow_mut().pop_front() {
            Some(event) => Poll::Ready(event),
            None => {
                self.0.event_waker.set(Some(cx.waker().clone()));
                Poll::Pending
            }
        })
        .await
    }

    /// Returns an event that nobody has waited for, at the end of the process.
    #[cfg(feature = "pop")]
    pub(crate) fn take_event(&self) -> Option<Event<R::Event>> {
        self.0.events.borrow_mut().pop_front()
    }

    /// Calls `handle_timeout` when it is due, for ever.
    pub(crate) async fn keep_time(self) {
        loop {
            let due = self
                .with_core(Endpoint::poll_timeout)
                .map(|deadline| deadline.at);
            self.0.armed.set(due);
            let rearmed = self.0.rearm.notified();
            match due {
                None => rearmed.await,
                Some(due) => {
                    tokio::select! {
                        biased;
                        () = rearmed => {}
                        () = self.0.env.sleep_until(due) => {
                            // A process that was stopped finds every deadline due while input waits
                            // in its sockets: what was received in time must count.
                            for _ in 0..2 {
                                tokio::task::yield_now().await;
                            }
                            self.drive(Endpoint::handle_timeout);
                        }
                    }
                }
            }
        }
    }

    /// Reads once from a session's socket, at most `room` bytes, and writes them to the session if it
    /// still wants them. Zero is the end.
    fn poll_flow<S: Stream>(
        &self,
        cx: &mut Context<'_>,
        stream: &mut S,
        room: usize,
        session: Option<SessionId>,
    ) -> Poll<io::Result<usize>> {
        let mut pieces = self.0.pieces.borrow_mut();
        let len = ready!(
            self.0
                .flow
                .borrow_mut()
                .poll_read(cx, stream, room, &mut pieces)
        )?;
        if let Some(id) = session.filter(|_| len > 0) {
            self.drive(|core, now| {
                for bytes in pieces.drain(..) {
                    core.write(now, id, bytes);
                }
            });
        }
        pieces.clear();
        Poll::Ready(Ok(len))
    }

    /// Looks how a session stands. One that finds too little to do may wait for a timer from now on.
    fn status(&self, id: SessionId) -> Option<SessionStatus> {
        let mut core = self.0.core.borrow_mut();
        let status = core.status(self.0.env.now(), id);
        self.rearm(&core);
        status
    }

    /// Waits until a session has ended, and tells why.
    #[cfg(feature = "edge")]
    pub(crate) async fn ended(&self, id: SessionId) -> Code {
        core::future::poll_fn(|cx| {
            self.register_session(id, cx.waker());
            match self.0.core.borrow_mut().status(self.0.env.now(), id) {
                None => Poll::Ready(Code::Cancelled),
                Some(status) => status.ended.map_or(Poll::Pending, Poll::Ready),
            }
        })
        .await
    }

    fn register_session(&self, id: SessionId, waker: &Waker) {
        self.0.sessions.borrow_mut().register(id.slot(), waker);
    }

    fn register_carrier(&self, id: CarrierId, waker: &Waker) {
        self.0.carriers.borrow_mut().register(id.slot(), waker);
    }

    /// Calls the next carrier that waits to be read: one is, or will not be any more, which had this place.
    fn pass_hearing(&self, place: &mut Option<Ticket>) {
        if let Some(next) = self.0.hearing.borrow_mut().pass(place) {
            self.0.carriers.borrow().wake(next.slot());
        }
    }

    /// Tells whether a carrier's connection is to be closed at once.
    fn is_severed(&self, id: CarrierId) -> bool {
        let mut severed = self.0.severed.borrow_mut();
        let before = severed.len();
        severed.retain(|&other| other != id);
        severed.len() != before
    }
}

//! One flow, on the POP's side and on the edge's side.
//!
//! ```text
//!              open / CREATE                 reply ok
//!   (nothing) ───────────────▶ Dialling ─────────────────▶ Open
//!                                 │  ▲                      │ │
//!              reply ≠ ok, and    │  │ another exit         │ │ both directions done,
//!              no exit is left    ▼  │                      │ │ CLOSE received, tunnel over
//!                               Ended ◀─────────────────────┘ │
//!                                 ▲                           │ close(drain)
//!                                 └────────── Closing ◀───────┘
//!                                   CLOSE framed
//! ```
//!
//! An ended session stays until its driver has let go of it; its number on the tunnel is free as soon
//! as nothing is due on the wire and its CREATE is answered.
//!
//! A session owns its state: nobody else writes a field. It has a [`Phase`], a [`Place`], a body
//! ([`Streams`](streams)), and what it owes the wire ([`Due`](due)). What only the POP or only the edge
//! knows is its [`Flow`]. Methods here change the session and nothing else. What a change means for the
//! rest of the process, the engine computes from the state, in one place, after each change.

mod audit;
mod charge;
mod driven;
mod driver;
mod due;
pub(crate) mod early;
mod heard;
mod pieces;
mod pinned;
mod place;
mod queue;
mod recv;
mod sabotage;
mod send;
mod standing;
mod status;
mod streams;

pub use due::CloseMode;
pub(crate) use due::close;
pub(crate) use heard::{Heard, Told};
pub use status::{Dial, SessionStatus};

use crate::arena::{SessionId, TunnelId};
use crate::config::Config;
use crate::mark::{self, Mark};
use crate::memory::UserId;
use crate::planted::{self, Planted};
use crate::time::Instant;
use crate::timer::Armed;
use crate::tunnel::{Peer, Ticket, Tunnel};
use alloc::boxed::Box;
use bytes::Bytes;
use charge::Pinned;
use driver::Driver;
use due::Due;
use place::Place;
use streams::Streams;
use titan_proto::{Code, Frame, wire};

/// What only one role knows of a session.
pub(crate) trait Flow: core::fmt::Debug {
    /// What is known while the target is not connected.
    type Attempt: Attempt;

    /// This side opens sessions, and its peer answers.
    const OPENS: bool;

    /// Learns that the driver gives up a session that is not over.
    fn abandoned(&mut self);

    /// Tells whether the target was connected, of a session that has ended and sent so many bytes.
    fn was_connected(&self, sent: u64) -> bool;
}

/// A dial, as one role sees it.
pub(crate) trait Attempt: core::fmt::Debug {
    /// Returns when it is given up, if that is for this side to say.
    fn deadline(&self) -> Option<Instant>;

    /// Returns the memory it pins.
    fn charge(&self) -> u64;

    /// Makes the CREATE, which leaves now.
    fn create(&mut self, now: Instant) -> wire::Create;

    /// Learns of a frame that left for the target before the reply.
    fn framed(&mut self, frame: &Frame);

    /// Checks it against the bytes framed for the present tunnel.
    fn audit(&self, sent: Option<u64>) -> bool;
}

/// Where a session is in its life.
#[derive(Debug)]
enum Phase<A> {
    /// The target is not connected yet.
    Dialling(Box<A>),
    /// Bytes flow.
    Open,
    /// Closed here; CLOSE follows the last byte of the send queue, which has until the deadline.
    Closing { code: Code, deadline: Instant },
    /// Over. What is left in the receive queue may still leave until the deadline.
    Ended { code: Code, deadline: Instant },
}

#[derive(Debug)]
pub(crate) struct Session<F: Flow> {
    group: u32,
    weight: u32,
    place: Place,
    phase: Phase<F::Attempt>,
    body: Streams,
    due: Due,
    flow: F,
    driver: Driver,
    /// In the engine's list of those that hold slices of a read block.
    unsettled: bool,
    /// Its place in the line of those of its user that wait for memory.
    denied: Option<Ticket>,
    /// When bytes last moved.
    moved_at: Instant,
    timer: Armed,
    charge: Pinned,
}

/// Who pays for a session: whose turns it takes, how many, and whose memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Payer {
    pub(crate) group: u32,
    pub(crate) weight: u32,
    pub(crate) user: UserId,
}

/// What both sides may send at first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Offset that this side may send up to.
    pub(crate) send: u64,
    /// Offset that the peer may send up to.
    pub(crate) recv: u64,
    pub(crate) window: u64,
}

// --- Beginning --------------------------------------------------------------------------------------

impl<F: Flow> Session<F> {
    /// Makes a session that a driver of this side opened. It is on no tunnel yet.
    pub(crate) fn opened(
        now: Instant,
        payer: Payer,
        limits: Limits,
        attempt: F::Attempt,
        flow: F,
    ) -> Self {
        Self {
            group: payer.group,
            weight: payer.weight,
            place: Place::Adrift,
            phase: Phase::Dialling(Box::new(attempt)),
            body: Streams::new(now, limits.send, limits.recv, limits.window),
            due: Due::default(),
            flow,
            driver: Driver::Told,
            unsettled: false,
            denied: None,
            moved_at: now,
            timer: None,
            charge: Pinned::none(now, payer.user),
        }
    }

    /// Makes the session that the peer opened by this number.
    pub(crate) fn created(mut self, tunnel: TunnelId, number: u64) -> Self {
        self.place = Place::numbered(tunnel, number);
        self
    }

    /// Puts the session on a tunnel, as if it had never been on another. Bytes and the end of the
    /// direction that were framed for the former one go first.
    pub(crate) fn place_on<P: Peer>(
        &mut self,
        now: Instant,
        id: SessionId,
        (tunnel_id, tunnel): (TunnelId, &mut Tunnel<P>),
        limits: Limits,
    ) {
        self.queue_on(id, tunnel_id, tunnel);
        self.body.send.limit = limits.send;
        let stopped = self.body.recv.stopped;
        self.body.recv = recv::RecvHalf::new(now, limits.recv, limits.window);
        self.body.recv.stopped = stopped;
        self.due = Due {
            stop: stopped.then_some(Code::Reset),
            ..Due::default()
        };
        self.tell_driver();
    }

    /// Takes back what was framed for an exit that came to nothing, to be framed again.
    pub(crate) fn take_back(&mut self, finished: bool, again: impl Iterator<Item = Bytes>) {
        self.body.send.restart(finished, again);
    }
}

// --- Looking ----------------------------------------------------------------------------------------

impl<F: Flow> Session<F> {
    pub(crate) const fn group(&self) -> u32 {
        self.group
    }

    pub(crate) const fn flow(&self) -> &F {
        &self.flow
    }

    pub(crate) const fn flow_mut(&mut self) -> &mut F {
        &mut self.flow
    }

    pub(crate) fn into_flow(self) -> F {
        self.flow
    }

    /// Returns the dial while it runs.
    pub(crate) fn attempt(&self) -> Option<&F::Attempt> {
        match &self.phase {
            Phase::Dialling(attempt) => Some(attempt),
            Phase::Open | Phase::Closing { .. } | Phase::Ended { .. } => None,
        }
    }

    pub(crate) fn attempt_mut(&mut self) -> Option<&mut F::Attempt> {
        match &mut self.phase {
            Phase::Dialling(attempt) => Some(attempt),
            Phase::Open | Phase::Closing { .. } | Phase::Ended { .. } => None,
        }
    }

    pub(crate) const fn is_dialling(&self) -> bool {
        matches!(self.phase, Phase::Dialling(_))
    }

    pub(crate) const fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open)
    }

    /// Returns why the session is being closed here.
    pub(crate) const fn closing(&self) -> Option<Code> {
        match self.phase {
            Phase::Closing { code, .. } => Some(code),
            Phase::Dialling(_) | Phase::Open | Phase::Ended { .. } => None,
        }
    }

    pub(crate) const fn is_ended(&self) -> bool {
        matches!(self.phase, Phase::Ended { .. })
    }

    /// Returns why the session has ended.
    pub(crate) const fn ended(&self) -> Option<Code> {
        match self.phase {
            Phase::Ended { code, .. } => Some(code),
            Phase::Dialling(_) | Phase::Open | Phase::Closing { .. } => None,
        }
    }

    /// Tells whether its driver may still write.
    pub(crate) const fn is_live(&self) -> bool {
        matches!(self.phase, Phase::Dialling(_) | Phase::Open)
    }

    /// Tells whether frames may follow: the opening side's CREATE is framed, the other's reply is due.
    pub(crate) const fn is_announced(&self) -> bool {
        if F::OPENS {
            self.number().is_some()
        } else {
            !self.is_dialling()
        }
    }

    /// Tells whether DATA or the end of the direction could be framed now.
    fn is_ready(&self) -> bool {
        self.body.send.is_ready() && !self.is_ended() && self.is_announced()
    }

    pub(crate) const fn moved_at(&self) -> Instant {
        self.moved_at
    }

    /// Returns when the session's present wait is too long.
    pub(crate) fn due_at(&self, config: &Config) -> Option<Instant> {
        match &self.phase {
            Phase::Dialling(attempt) => attempt.deadline(),
            Phase::Open => {
                let half = self.body.is_half_done();
                let limit = if half {
                    config.idle_half_closed
                } else {
                    config.idle
                };
                Some(self.moved_at + limit)
            }
            Phase::Closing { deadline, .. } => Some(*deadline),
            Phase::Ended { .. } if self.body.recv.queue.is_empty() => None,
            // Nothing is wrong with it: it has until its socket takes nothing any more.
            Phase::Ended { code, deadline } if *code == Code::Ok => {
                Some((self.moved_at + config.write_deadline).max(*deadline))
            }
            Phase::Ended { deadline, .. } => Some(*deadline),
        }
    }

    /// Gives the rest of a closed session more time: it was held up by this side and not by a socket.
    pub(crate) fn prolong(&mut self, until: Instant) {
        match &mut self.phase {
            Phase::Closing { deadline, .. } | Phase::Ended { deadline, .. } => {
                *deadline = until.max(*deadline);
            }
            Phase::Dialling(_) | Phase::Open => {}
        }
    }

    pub(crate) const fn timer_mut(&mut self) -> &mut Armed {
        &mut self.timer
    }

    pub(crate) const fn timer(&self) -> Armed {
        self.timer
    }

    /// Tells whether everything of both directions is where it belongs, so that the end of the tunnel
    /// takes nothing from the session: all of the peer is here, and all of ours has left.
    pub(crate) fn survives_tunnel(&self) -> bool {
        let (send, recv) = (&self.body.send, &self.body.recv);
        let half_done = recv.is_done() && !send.is_done();
        let complete = recv.fin.is_some() && send.is_done();
        self.is_open() && (complete || (half_done && planted::on(Planted::CleanEndAtLoss)))
    }

    /// Tells whether the session has bytes to send and no credit; for marks.
    pub(crate) fn lacks_credit(&self) -> bool {
        self.body.send.lacks_credit()
    }
}

// --- Ending -----------------------------------------------------------------------------------------

impl<F: Flow> Session<F> {
    /// Answers the CREATE with a failure, which proves that nothing was written to a target.
    fn answer_failure(&mut self, code: Code) {
        let code = if code == Code::Ok {
            Code::Cancelled
        } else {
            code
        };
        self.due.reply = Some(Box::new(wire::Reply {
            code: code.wire(),
            ..wire::Reply::default()
        }));
    }

    /// Answers a CREATE with a failure. The session is over once the reply is framed.
    pub(crate) fn refuse(&mut self, code: Code, deadline: Instant) {
        self.answer_failure(code);
        self.end(code, CloseMode::Abort, deadline);
    }

    /// Ends the session for a reason of this side and tells the peer.
    pub(crate) fn reset(&mut self, code: Code, deadline: Instant) {
        if self.is_dialling() && !F::OPENS {
            self.answer_failure(code);
        } else if !self.is_ended() && self.is_announced() {
            self.due.close = Some((code, CloseMode::Abort));
        }
        self.end(code, CloseMode::Abort, deadline);
    }

    /// Ends the session now. With `abort` nothing more leaves; otherwise what was received may, until
    /// the deadline.
    pub(crate) fn end(&mut self, code: Code, mode: CloseMode, deadline: Instant) {
        let abort = mode == CloseMode::Abort;
        // What ended well with bytes on their way to the socket has not ended well without them.
        let spoilt = abort && !self.body.recv.queue.is_empty();
        let code = match self.phase {
            Phase::Ended { code: Code::Ok, .. } if spoilt => code,
            Phase::Ended { code: first, .. } => first,
            Phase::Dialling(_) | Phase::Open | Phase::Closing { .. } => code,
        };
        self.phase = Phase::Ended { code, deadline };
        self.body.drop_rest(abort);
        self.due.forget_streams();
        self.tell_driver();
    }

    /// Ends what has waited for too long.
    pub(crate) fn be_late(&mut self, deadline: Instant) {
        match &mut self.phase {
            Phase::Dialling(_) => {}
            Phase::Open => {
                mark::hit(if self.body.is_half_done() {
                    Mark::IdleHalfClosed
                } else {
                    Mark::Idle
                });
                self.reset(Code::IdleTimeout, deadline);
            }
            Phase::Closing { .. } => {
                mark::hit(Mark::WriteTimeout);
                self.reset(Code::WriteTimeout, deadline);
            }
            Phase::Ended { code, .. } => {
                // The socket did not take the rest in time.
                mark::hit(Mark::RestDropped);
                if *code == Code::Ok {
                    *code = Code::WriteTimeout;
                }
                self.body.recv.stop();
                self.tell_driver();
            }
        }
    }

    /// Draws the conclusions of whatever has changed: a session is over when both directions are done,
    /// or when it is closed and its last byte is framed.
    pub(crate) fn conclude(&mut self, now: Instant, config: &Config) {
        match &self.phase {
            Phase::Open if self.body.is_complete() => {
                let deadline = now + config.write_deadline;
                self.phase = Phase::Ended {
                    code: Code::Ok,
                    deadline,
                };
                self.due.forget_streams();
                self.tell_driver();
            }
            &Phase::Closing { code, deadline } if self.body.send.queue.is_empty() => {
                self.phase = Phase::Ended { code, deadline };
                self.due.close = Some((code, CloseMode::Flush));
                self.due.stop = None;
            }
            Phase::Dialling(_) | Phase::Open | Phase::Closing { .. } | Phase::Ended { .. } => {}
        }
    }

    /// Tells whether the session needs its tunnel no more.
    pub(crate) const fn is_done_with_tunnel(&self) -> bool {
        self.is_ended() && !self.due.any()
    }

    /// Tells whether nobody needs the session any more.
    pub(crate) const fn is_forgotten(&self) -> bool {
        self.is_done_with_tunnel() && !self.has_driver()
    }
}

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
//! as nothing is due on the wire.

pub(crate) mod early;
pub(crate) mod queue;
pub(crate) mod recv;
pub(crate) mod send;

use crate::arena::TunnelId;
use crate::endpoint::group::Meter;
use crate::endpoint::pop::sticky::Held;
use crate::target::Target;
use crate::time::{Duration, Instant};
use crate::timer::Armed;
use alloc::boxed::Box;
use early::Early;
use recv::RecvHalf;
use send::SendHalf;
use titan_proto::{Code, wire};

/// How a session is closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CloseMode {
    /// What was read before is still delivered; for faults of a socket.
    Drain,
    /// Everything held is dropped; for policy and memory.
    Abort,
}

/// Where a session is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    /// The target is not connected yet.
    Dialling,
    /// Bytes flow.
    Open,
    /// Closed here; CLOSE follows the last byte of the send queue.
    Closing(Code),
    /// Over. What is left in the receive queue may still leave.
    Ended(Code),
}

/// What the session owes the wire besides bytes. Made into frames when the carrier has room.
#[derive(Debug, Default)]
pub(crate) struct Due {
    pub(crate) create: bool,
    pub(crate) reply: Option<Box<wire::Reply>>,
    pub(crate) credit: bool,
    pub(crate) stop: Option<Code>,
    pub(crate) close: Option<(Code, CloseMode)>,
}

impl Due {
    /// Tells whether a control frame is owed; CREATE waits for its turn in the scheduler instead.
    pub(crate) const fn control(&self) -> bool {
        self.reply.is_some() || self.credit || self.stop.is_some() || self.close.is_some()
    }

    /// Tells whether the session must keep its number.
    pub(crate) const fn any(&self) -> bool {
        self.create || self.control()
    }
}

#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) tunnel: TunnelId,
    /// The session's number on its tunnel; zero until CREATE is framed.
    pub(crate) number: u64,
    /// The tunnel still knows the session.
    pub(crate) mapped: bool,
    pub(crate) group: u32,
    pub(crate) weight: u32,
    pub(crate) phase: Phase,
    pub(crate) send: SendHalf,
    pub(crate) recv: RecvHalf,
    pub(crate) due: Due,
    pub(crate) side: Side,
    /// A driver holds the session.
    pub(crate) held_by_driver: bool,
    pub(crate) in_control: bool,
    pub(crate) in_scheduler: bool,
    pub(crate) woken: bool,
    /// The driver found no room and waits for it.
    pub(crate) starved: bool,
    pub(crate) unsettled: bool,
    /// When bytes last moved.
    pub(crate) moved_at: Instant,
    /// Deadline of the phase, if it has one of its own.
    pub(crate) deadline: Option<Instant>,
    pub(crate) timer: Armed,
    /// What the process's memory is charged for this session.
    pub(crate) charged: u64,
    /// The part of it that waits for the socket; charged to tunnel and group too.
    pub(crate) held: u64,
    /// Window growth taken from the pool.
    pub(crate) grown: u64,
}

/// What only one role knows.
#[derive(Debug)]
pub(crate) enum Side {
    Pop(Box<PopSide>),
    Edge(Box<EdgeSide>),
}

/// The POP's part: what it needs to try another exit.
#[derive(Debug)]
pub(crate) struct PopSide {
    /// The CREATE of every try; limits and group are filled in when it is framed.
    pub(crate) create: wire::Create,
    pub(crate) country: Option<[u8; 2]>,
    /// The target's answer never moves the session.
    pub(crate) strict: bool,
    pub(crate) exits: Exits,
    /// CREATE was framed for the present tunnel.
    pub(crate) created: bool,
    pub(crate) early: Early,
    pub(crate) meter: Meter,
    /// Its hold on the lease of its session name, if it has one.
    pub(crate) held: Option<Box<Held>>,
    pub(crate) opened_at: Instant,
    pub(crate) refused: bool,
    /// The first outcome that was the target's; what the client hears if nothing better follows.
    pub(crate) verdict: Option<Code>,
    /// What the exit told about the connection.
    pub(crate) reply: Option<Box<wire::Reply>>,
}

/// Tunnels already tried, by slot of the selection index.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Exits {
    pub(crate) keys: [u32; crate::config::EXITS_MAX],
    pub(crate) count: usize,
}

impl Exits {
    pub(crate) fn push(&mut self, key: u32) {
        if let Some(place) = self.keys.get_mut(self.count) {
            *place = key;
            self.count += 1;
        }
    }

    pub(crate) fn as_slice(&self) -> &[u32] {
        &self.keys[..self.count]
    }
}

/// The edge's part: what is to be dialled.
#[derive(Debug)]
pub(crate) struct EdgeSide {
    pub(crate) target: Target,
    pub(crate) family: wire::create::Family,
    pub(crate) dial_timeout: Duration,
    pub(crate) created_at: Instant,
}

impl Session {
    /// Tells whether frames may follow: the POP's CREATE is framed, the edge's reply is due.
    pub(crate) fn is_announced(&self) -> bool {
        match &self.side {
            Side::Pop(side) => side.created,
            Side::Edge(_) => self.phase != Phase::Dialling,
        }
    }

    /// Tells whether this is an edge's session whose CREATE is not answered yet.
    pub(crate) fn owes_reply(&self) -> bool {
        self.phase == Phase::Dialling && matches!(self.side, Side::Edge(_))
    }

    /// Answers the CREATE with a failure, which proves that nothing was written to a target.
    pub(crate) fn refuse(&mut self, code: Code) {
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

    pub(crate) const fn is_ended(&self) -> bool {
        matches!(self.phase, Phase::Ended(_))
    }

    pub(crate) fn pop(&self) -> Option<&PopSide> {
        match &self.side {
            Side::Pop(side) => Some(side),
            Side::Edge(_) => None,
        }
    }

    pub(crate) fn pop_mut(&mut self) -> Option<&mut PopSide> {
        match &mut self.side {
            Side::Pop(side) => Some(side),
            Side::Edge(_) => None,
        }
    }

    pub(crate) fn edge(&self) -> Option<&EdgeSide> {
        match &self.side {
            Side::Edge(side) => Some(side),
            Side::Pop(_) => None,
        }
    }
}

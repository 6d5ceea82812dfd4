//! Many sessions over a succession of carriers.
//!
//! A tunnel joins one POP process and one edge process. A carrier is one WebSocket connection that
//! bears it. The tunnel outlives its carrier: [`numbering`] keeps what the peer has not acknowledged
//! and sends it again over the next one.

pub(crate) mod numbering;
pub(crate) mod pace;
pub(crate) mod proof;
pub(crate) mod rtt;
pub(crate) mod scheduler;

use crate::account::rate::Bucket;
use crate::arena::{CarrierId, SessionId, UplinkId};
use crate::time::Instant;
use crate::timer::Armed;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use numbering::Numbering;
use pace::Pace;
use rtt::Rtt;
use scheduler::Scheduler;
use titan_proto::{Code, wire};

#[derive(Debug)]
pub(crate) struct Tunnel {
    /// The tunnel's id in HELLO.
    pub(crate) wire: u64,
    pub(crate) key: [u8; 32],
    pub(crate) owner: Owner,
    /// It was in use at some time: its end is worth telling.
    pub(crate) was_attached: bool,
    /// The carrier that bears it now.
    pub(crate) carrier: Option<CarrierId>,
    pub(crate) numbering: Numbering,
    pub(crate) peer: PeerLimits,
    pub(crate) sessions: BTreeMap<u64, SessionId>,
    /// Sessions whose CREATE is not framed yet; it is what gives them a number.
    pub(crate) unnumbered: BTreeSet<SessionId>,
    /// Highest session number ever opened.
    pub(crate) opened: u64,
    pub(crate) scheduler: Scheduler,
    /// Sessions that owe control frames, each once.
    pub(crate) control: VecDeque<SessionId>,
    /// Number of the last frame that was a session's.
    pub(crate) last_of_session: u64,
    /// CLOSE for sessions that moved to another exit; at most one per session that was live.
    pub(crate) closes: VecDeque<(u64, Code)>,
    /// The latest STATUS not sent yet (edge).
    pub(crate) status: Option<wire::Status>,
    /// The latest order of each kind not sent yet (POP).
    pub(crate) commands: BTreeMap<i32, wire::Command>,
    pub(crate) rtt: Rtt,
    pub(crate) pace: Pace,
    /// Bytes that wait for sockets, and the share of each group.
    pub(crate) held: u64,
    pub(crate) held_by_group: BTreeMap<u32, u64>,
    pub(crate) ack: AckState,
    /// When the tunnel ends unless a carrier comes back.
    pub(crate) grace_until: Option<Instant>,
    /// The node is to go when its sessions are over, or at this time (POP).
    pub(crate) leaving: Option<Instant>,
    /// What DATA this side may send, and until when it must not: nodes may be slowed down.
    pub(crate) rate: Bucket,
    pub(crate) paused_until: Option<Instant>,
    pub(crate) stall: Stall,
    /// Since when the resend buffer is full without any acknowledgement.
    pub(crate) withheld_since: Option<Instant>,
    pub(crate) timer: Armed,
}

/// When the peer is told what was received.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum AckState {
    /// Nothing is untold, or it rides on the next batch before this deadline.
    By(Option<Instant>),
    /// With the next batch, which is due at once.
    Now,
}

/// The episode in which the carrier takes nothing (W14).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stall {
    None,
    /// A session found no room at this time.
    Suspected(Instant),
    /// The log has been told.
    Told,
}

/// Who is at the other end.
#[derive(Debug)]
pub(crate) enum Owner {
    /// At the POP: the edge's node.
    Node {
        name: Box<str>,
        epoch: u64,
        attempt: u64,
        /// The node acknowledged the HELLO of the present carrier.
        confirmed: bool,
        accepting: bool,
        /// It is not accepting because it goes away.
        draining: bool,
        sessions_max: u32,
    },
    /// At the edge: the way to the POP.
    Uplink(UplinkId),
}

/// What the peer said about itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct PeerLimits {
    pub(crate) data_max: usize,
    pub(crate) early_max: u64,
    pub(crate) sessions_max: u32,
}

impl Tunnel {
    pub(crate) fn new(
        wire: u64,
        key: [u8; 32],
        owner: Owner,
        numbering: Numbering,
        peer: PeerLimits,
    ) -> Self {
        Self {
            wire,
            key,
            owner,
            was_attached: false,
            carrier: None,
            numbering,
            peer,
            sessions: BTreeMap::new(),
            unnumbered: BTreeSet::new(),
            opened: 0,
            scheduler: Scheduler::default(),
            control: VecDeque::new(),
            last_of_session: 0,
            closes: VecDeque::new(),
            status: None,
            commands: BTreeMap::new(),
            rtt: Rtt::default(),
            pace: Pace::default(),
            held: 0,
            held_by_group: BTreeMap::new(),
            ack: AckState::By(None),
            grace_until: None,
            leaving: None,
            rate: Bucket::default(),
            paused_until: None,
            stall: Stall::None,
            withheld_since: None,
            timer: None,
        }
    }

    /// Tells whether anything waits for the carrier.
    pub(crate) fn has_output(&self) -> bool {
        self.numbering.has_replay()
            || self.ack == AckState::Now
            || self.status.is_some()
            || (self.numbering.takes_control()
                && !(self.control.is_empty() && self.closes.is_empty() && self.commands.is_empty()))
            || (self.numbering.takes_data()
                && !self.scheduler.is_empty()
                && self.paused_until.is_none())
    }

    /// Limits the DATA that this side sends, in bytes per second; zero is no limit.
    pub(crate) fn limit_rate(&mut self, now: Instant, rate: u64) {
        self.rate.limit(now, rate);
        self.paused_until = None;
    }

    /// Returns how many bytes of DATA may be sent now; none rather than crumbs, and then waits.
    pub(crate) fn data_room(&mut self, now: Instant) -> usize {
        if self.paused_until.is_some() {
            return 0;
        }
        let available = self.rate.available(now);
        if available < self.rate.crumb().max(1) {
            self.paused_until = Some(self.rate.worth_at(now, u64::MAX));
            return 0;
        }
        usize::try_from(available).unwrap_or(usize::MAX)
    }

    /// Tells whether a session's frame is not acknowledged.
    pub(crate) const fn is_owing(&self) -> bool {
        self.last_of_session > self.numbering.acknowledged()
    }

    /// Tells whether nothing would be cut off if the tunnel ended: no session, and no frame that the
    /// peer may not have.
    pub(crate) fn is_idle(&self) -> bool {
        self.sessions.is_empty()
            && self.unnumbered.is_empty()
            && self.closes.is_empty()
            && self.commands.is_empty()
            && self.numbering.acknowledged() == self.numbering.sent()
    }

    /// Returns the sessions on this tunnel, numbered ones first.
    pub(crate) fn session_ids(&self) -> impl Iterator<Item = SessionId> {
        self.sessions.values().chain(&self.unnumbered).copied()
    }

    pub(crate) fn node(&self) -> Option<&str> {
        match &self.owner {
            Owner::Node { name, .. } => Some(name),
            Owner::Uplink(_) => None,
        }
    }
}

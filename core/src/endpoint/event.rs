//! What the driver learns.

use super::report::{SessionReport, Whose};
use crate::arena::{CarrierId, SessionId, TunnelId, UplinkId};
use crate::time::Instant;
use crate::timer::Timer;
use crate::trace::TraceId;
use alloc::boxed::Box;
use titan_proto::{Code, wire};

/// Something the driver has to act on. `R` is what only drivers of one role learn. Progress of sessions
/// is told by [`poll_woken`](crate::endpoint::Endpoint::poll_woken) instead.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Event<R> {
    /// This side was to drain, and nothing is left that its end would cut off.
    Drained,
    /// Close this carrier's connection at once; the endpoint has forgotten it.
    Sever {
        /// The carrier that was.
        carrier: CarrierId,
        /// Why.
        code: Code,
    },
    /// Carriers are to be read again, which [was not so](crate::endpoint::Endpoint::takes_input).
    TakesInput,
    /// A session had to stop reading because its carrier took nothing for a second (W14). Told once
    /// per episode.
    CarrierFull {
        /// The tunnel.
        tunnel: TunnelId,
    },
    /// Something that happens to this role alone.
    Role(R),
}

/// What only a POP's driver learns.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum PopEvent {
    /// A node can be used; or can be used again, when `resumed`.
    NodeAttached {
        /// The node's tunnel.
        tunnel: TunnelId,
        /// Its sessions went on.
        resumed: bool,
    },
    /// The node's carrier is gone; its sessions wait for the grace time.
    NodeDetached {
        /// The node's tunnel.
        tunnel: TunnelId,
        /// Why.
        code: Code,
    },
    /// The tunnel is over. Asking for it finds nothing any more.
    NodeGone {
        /// The tunnel that was.
        tunnel: TunnelId,
        /// The node's id.
        node: Box<str>,
        /// Why.
        code: Code,
    },
    /// A process of a node that another one has replaced came again and was turned away: two edges have
    /// one id.
    NodeContested {
        /// The node's id.
        node: Box<str>,
    },
    /// A group has fewer bytes left than its driver wants. Told once per grant.
    AllowanceLow {
        /// The group.
        group: u32,
    },
    /// A session is over, and its driver has let go of it. Told once of each that was opened; what it has
    /// carried changes no more.
    SessionOver(Box<SessionReport>),
}

/// What only an edge's driver learns.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum EdgeEvent {
    /// Open a carrier to the POP of this uplink.
    Connect {
        /// The uplink.
        uplink: UplinkId,
    },
    /// The tunnel to the POP stands; or stands again, when `resumed`.
    UplinkAttached {
        /// The uplink.
        uplink: UplinkId,
        /// Its sessions went on.
        resumed: bool,
    },
    /// The carrier is gone.
    UplinkDetached {
        /// The uplink.
        uplink: UplinkId,
        /// Why.
        code: Code,
    },
    /// The POP opened a session; dial its target.
    Opened {
        /// The session; the driver holds it from now on.
        session: SessionId,
    },
    /// The POP gives an order.
    Command {
        /// The uplink it came by.
        uplink: UplinkId,
        /// The order.
        command: wire::Command,
    },
    /// An uplink that was to go is gone.
    UplinkGone {
        /// The uplink that was.
        uplink: UplinkId,
    },
    /// This edge refused a session before its driver heard of it, or reset one for want of memory. As many
    /// as the POP asks for: what is written about them needs a rate.
    Denied {
        /// The session's name at the POP.
        trace: TraceId,
        /// The POP's number for the user it is for.
        group: u32,
        /// What the POP was told.
        code: Code,
        /// Whose limit it was, if it was one.
        whose: Option<Whose>,
    },
}

impl From<PopEvent> for Event<PopEvent> {
    fn from(event: PopEvent) -> Self {
        Self::Role(event)
    }
}

impl From<EdgeEvent> for Event<EdgeEvent> {
    fn from(event: EdgeEvent) -> Self {
        Self::Role(event)
    }
}

/// The deadlines that only a POP has.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum PopTimer {
    /// Rates, turns and ends of a group.
    Group(u32),
    /// Leases that nobody holds.
    Leases,
    /// Nodes that may come back.
    Bars,
}

/// The deadlines that only an edge has.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum EdgeTimer {
    /// Reconnection.
    Uplink(UplinkId),
}

/// When the driver must call `handle_timeout`, and for what.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Deadline<R> {
    /// At this time or soon after.
    pub at: Instant,
    /// For logs and metrics.
    pub reason: Timer<R>,
}

/// Counts of what is worth a metric.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Frames for sessions that had ended.
    pub frames_late: u64,
    /// Sessions moved to another exit.
    pub failovers: u64,
    /// Carriers that resumed a tunnel.
    pub resumes: u64,
    /// Resumes that were refused.
    pub resumes_refused: u64,
    /// Tunnels ended for a fault of the peer.
    pub faults: u64,
    /// Sessions reset for want of memory.
    pub shed: u64,
    /// Sessions opened.
    pub opened: u64,
    /// Unnumbered frames of a later version.
    pub frames_unknown: u64,
    /// Entries of lists that were looked at for want of memory: how much work that made.
    pub visits: u64,
}

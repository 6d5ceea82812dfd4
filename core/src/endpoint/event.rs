//! What the driver learns.

use crate::arena::{CarrierId, SessionId, TunnelId, UplinkId};
use crate::time::Instant;
use crate::timer::Timer;
use titan_proto::{Code, wire};

/// Something the driver has to act on. Progress of sessions is told by
/// [`poll_woken`](crate::endpoint::Endpoint::poll_woken) instead.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Event {
    /// POP: a node can be used; or can be used again, when `resumed`.
    NodeAttached {
        /// The node's tunnel.
        tunnel: TunnelId,
        /// Its sessions went on.
        resumed: bool,
    },
    /// POP: the node's carrier is gone; its sessions wait for the grace time.
    NodeDetached {
        /// The node's tunnel.
        tunnel: TunnelId,
        /// Why.
        code: Code,
    },
    /// POP: the tunnel is over. Asking for it finds nothing any more.
    NodeGone {
        /// The tunnel that was.
        tunnel: TunnelId,
        /// The node's id.
        node: alloc::boxed::Box<str>,
        /// Why.
        code: Code,
    },
    /// Edge: open a carrier to the POP of this uplink.
    Connect {
        /// The uplink.
        uplink: UplinkId,
    },
    /// Edge: the tunnel to the POP stands; or stands again, when `resumed`.
    UplinkAttached {
        /// The uplink.
        uplink: UplinkId,
        /// Its sessions went on.
        resumed: bool,
    },
    /// Edge: the carrier is gone.
    UplinkDetached {
        /// The uplink.
        uplink: UplinkId,
        /// Why.
        code: Code,
    },
    /// Edge: the POP opened a session; dial its target.
    Opened {
        /// The session; the driver holds it from now on.
        session: SessionId,
    },
    /// Edge: the POP gives an order.
    Command {
        /// The uplink it came by.
        uplink: UplinkId,
        /// The order.
        command: wire::Command,
    },
    /// Edge: an uplink that was to go is gone.
    UplinkGone {
        /// The uplink that was.
        uplink: UplinkId,
    },
    /// This side was to drain, and nothing is left that its end would cut off.
    Drained,
    /// Close this carrier's connection at once; the endpoint has forgotten it.
    Sever {
        /// The carrier that was.
        carrier: CarrierId,
        /// Why.
        code: Code,
    },
    /// A session had to stop reading because its carrier took nothing for a second (W14). Told once
    /// per episode.
    CarrierFull {
        /// The tunnel.
        tunnel: TunnelId,
    },
    /// POP: a group has fewer bytes left than its driver wants. Told once per grant.
    AllowanceLow {
        /// The group.
        group: u32,
    },
}

/// When the driver must call `handle_timeout`, and for what.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Deadline {
    /// At this time or soon after.
    pub at: Instant,
    /// For logs and metrics.
    pub reason: Timer,
}

/// How a session stands, for the driver that holds it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SessionStatus {
    /// How the dial stands.
    pub dial: Dial,
    /// Bytes that wait for the socket and may be written to it now.
    pub readable: usize,
    /// No bytes will follow the readable ones, and the direction is complete.
    pub recv_finished: bool,
    /// Bytes the driver may read from the socket and write.
    pub send_room: usize,
    /// The peer reads no more: what the socket still gives is to be discarded.
    pub send_stopped: bool,
    /// The session is over; not told while bytes for the socket are withheld for the sake of a rate or
    /// an allowance. [`Code::Ok`] means that both directions are complete; with any other
    /// code the socket is to be reset once nothing is readable.
    pub ended: Option<Code>,
}

/// How a session's dial stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dial {
    /// Not known yet.
    Pending,
    /// The target is connected.
    Connected,
    /// No exit could connect, and why.
    Failed(Code),
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
}

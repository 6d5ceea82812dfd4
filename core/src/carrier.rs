//! One WebSocket connection as the core sees it.

use crate::arena::{TunnelId, UplinkId};
use crate::time::{Duration, Instant};
use crate::timer::Armed;
use alloc::boxed::Box;
use titan_proto::{Code, wire};

#[derive(Debug)]
pub(crate) struct Carrier {
    pub(crate) state: CarrierState,
    pub(crate) peer: Peer,
    pub(crate) nonce: [u8; 16],
    /// The bytes cannot be read on the way.
    pub(crate) encrypted: bool,
    /// Our HELLO, until it is sent.
    pub(crate) hello: Option<Box<wire::Hello>>,
    /// When anything was last received.
    pub(crate) received_at: Instant,
    pub(crate) pinged_at: Option<Instant>,
    pub(crate) ping_due: bool,
    /// When the ping that is not answered yet was sent.
    pub(crate) asked_at: Option<Instant>,
    /// In the queue of carriers with output.
    pub(crate) ready: bool,
    pub(crate) timer: Armed,
}

#[derive(Debug)]
pub(crate) enum CarrierState {
    /// The peer's HELLO is awaited.
    Greeting,
    /// It bears a tunnel.
    Bearing(TunnelId),
    /// It says BYE and ends; nothing that arrives counts.
    Closing(Farewell),
}

/// Why a carrier ends, for the peer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Farewell {
    pub(crate) code: Code,
    pub(crate) retry_after: Duration,
    /// The order to leave goes before BYE.
    pub(crate) kick: bool,
}

/// Who is at the other end of a carrier.
#[derive(Clone, Debug)]
pub(crate) enum Peer {
    /// At the POP: the node that the token names.
    Node(Box<str>),
    /// At the edge: the way to the POP, and the tunnel to be resumed.
    Uplink {
        uplink: UplinkId,
        resume: Option<TunnelId>,
    },
}

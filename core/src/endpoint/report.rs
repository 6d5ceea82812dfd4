//! What is told of sessions that are over (requirement B14), and whose limit ended them.

use crate::account::Carried;
use crate::arena::SessionId;
use crate::trace::TraceId;
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::net::IpAddr;
use titan_proto::Code;

/// Everything a POP knows of a session that is over.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct SessionReport {
    /// The session that was.
    pub session: SessionId,
    /// Its name in the logs of POP and edge.
    pub trace: TraceId,
    /// Whose it was.
    pub group: u32,
    /// The exit it ran over; of one that was never connected, the last that was tried.
    pub exit: Option<Arc<Exit>>,
    /// The address of the target that the exit connected.
    pub address: Option<IpAddr>,
    /// What was charged for it.
    pub carried: Carried,
    /// How it ended. [`Code::Cancelled`] if the client or this process gave it up.
    pub code: Code,
    /// Whose limit that was, if it was one.
    pub whose: Option<Whose>,
}

/// An exit, as a session came to it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Exit {
    /// The node's id.
    pub node: Box<str>,
    /// The address that the node's carrier came from, if the driver [told](super::Endpoint::observe).
    pub address: Option<IpAddr>,
}

/// Whose limit refused or ended a session.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Whose {
    /// The user's: its share of the memory at one side, its quota, its number of sessions.
    User,
    /// The edge's: its memory or its sessions, and whatever else it refuses by.
    Edge,
    /// The POP's: its memory, or the turns that it gives on a tunnel.
    Pop,
}

impl Whose {
    /// Returns the word for logs and records.
    #[must_use]
    pub const fn tag(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Edge => "edge",
            Self::Pop => "pop",
        }
    }

    /// Returns whose limit a code names that a POP hears of, or gives, without having reached a limit of
    /// its own memory.
    #[must_use]
    pub const fn of(code: Code) -> Option<Self> {
        if matches!(code, Code::SessionLimit | Code::QuotaExceeded) {
            Some(Self::User)
        } else if matches!(code, Code::Memory | Code::Overloaded | Code::ExitLimit) {
            Some(Self::Edge)
        } else {
            None
        }
    }
}

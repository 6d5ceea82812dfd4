//! The edge's part of a session: what is to be dialled.

use crate::session::{Attempt, Flow};
use crate::target::Target;
use crate::time::Instant;
use crate::trace::TraceId;
use titan_proto::{Frame, wire};

/// All that an edge knows of a session that is connected.
#[derive(Debug)]
pub(crate) struct EdgeFlow {
    /// What the POP calls it.
    pub(super) trace: TraceId,
    /// It counts against what the host allows.
    pub(super) counts: bool,
}

/// The edge's part of a session while it dials.
#[derive(Debug)]
pub(crate) struct EdgeAttempt {
    pub(super) target: Target,
    pub(super) family: wire::create::Family,
    /// When the driver is to give the dial up.
    pub(super) deadline: Instant,
}

impl Flow for EdgeFlow {
    type Attempt = EdgeAttempt;

    const OPENS: bool = false;

    fn abandoned(&mut self) {}

    fn was_connected(&self, sent: u64) -> bool {
        sent > 0
    }
}

impl Attempt for EdgeAttempt {
    /// The driver has a clock of its own for it.
    fn deadline(&self) -> Option<Instant> {
        None
    }

    fn charge(&self) -> u64 {
        0
    }

    fn create(&mut self, _: Instant) -> wire::Create {
        wire::Create::default()
    }

    fn framed(&mut self, _: &Frame) {}

    fn audit(&self, _: Option<u64>) -> bool {
        true
    }
}

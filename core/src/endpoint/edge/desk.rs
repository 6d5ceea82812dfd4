//! What the engine asks of an edge in passing.

use super::link::{Call, Link};
use super::part::EdgeFlow;
use crate::account::Way;
use crate::arena::{SessionId, TunnelId};
use crate::endpoint::agenda::Agenda;
use crate::endpoint::desk::Desk;
use crate::endpoint::event::{EdgeEvent, EdgeTimer};
use crate::endpoint::report::Whose;
use crate::session::Session;
use crate::time::Instant;
use titan_proto::Code;

/// Nobody counts bytes at an edge, but its host has a limit for sessions.
#[derive(Debug, Default)]
pub(crate) struct EdgeDesk {
    /// Sessions that were taken on and are on a tunnel, whichever it is.
    pub(super) taken_on: usize,
}

impl Desk for EdgeDesk {
    type Flow = EdgeFlow;
    type Peer = Link;
    type Caller = Call;
    type Event = EdgeEvent;
    type Timer = EdgeTimer;

    fn allowance(&self, _: Instant, _: &Session<EdgeFlow>, _: Way, _: usize) -> u64 {
        u64::MAX
    }

    fn carry(
        &mut self,
        _: Instant,
        _: &mut Agenda<EdgeEvent, EdgeTimer>,
        _: &mut Session<EdgeFlow>,
        _: Way,
        _: u64,
    ) {
    }

    fn queue_up(
        &mut self,
        _: Instant,
        _: &mut Agenda<EdgeEvent, EdgeTimer>,
        _: SessionId,
        _: &mut Session<EdgeFlow>,
        _: Way,
    ) {
    }

    fn is_held_up(_: &Session<EdgeFlow>) -> bool {
        false
    }

    fn left(&mut self, _: TunnelId) {}

    fn adrift(&mut self, session: &mut Session<EdgeFlow>) {
        if core::mem::take(&mut session.flow_mut().counts) {
            self.taken_on -= 1;
        }
    }

    fn adopt(&mut self, _: SessionId, _: Code) -> bool {
        false
    }

    fn shed(
        &mut self,
        agenda: &mut Agenda<EdgeEvent, EdgeTimer>,
        session: &mut Session<EdgeFlow>,
        whose: Whose,
    ) {
        agenda.tell(EdgeEvent::Denied {
            trace: session.flow().trace,
            group: session.group(),
            code: Code::Memory,
            whose: Some(whose),
        });
    }

    fn over(&mut self, _: &mut Agenda<EdgeEvent, EdgeTimer>, _: SessionId, _: Session<EdgeFlow>) {}
}

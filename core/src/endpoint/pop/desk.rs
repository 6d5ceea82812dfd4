//! What the engine asks of a POP in passing, and leaves to it.

use super::group::Groups;
use super::node::Node;
use super::part::{Grip, PopFlow};
use crate::account::Way;
use crate::arena::{SessionId, TunnelId};
use crate::endpoint::agenda::Agenda;
use crate::endpoint::desk::Desk;
use crate::endpoint::event::{PopEvent, PopTimer};
use crate::endpoint::report::Whose;
use crate::session::Session;
use crate::time::Instant;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::IpAddr;
use titan_proto::Code;

/// Who is at the other end of a carrier.
#[derive(Clone, Debug)]
pub(crate) struct Guest {
    /// The node that the token names.
    pub(super) node: Box<str>,
    /// Where it comes from.
    pub(super) address: Option<IpAddr>,
}

#[derive(Debug, Default)]
pub(crate) struct PopDesk {
    pub(super) groups: Groups,
    /// Sessions that were dialling over what is gone.
    pub(super) orphaned: VecDeque<(SessionId, Code)>,
    /// Tunnels that have a place more.
    pub(super) left: Vec<TunnelId>,
    /// Grips on leases of sessions that are gone.
    pub(super) ungripped: Vec<Grip>,
}

impl Desk for PopDesk {
    type Flow = PopFlow;
    type Peer = Node;
    type Caller = Guest;
    type Event = PopEvent;
    type Timer = PopTimer;

    fn allowance(&self, now: Instant, session: &Session<PopFlow>, way: Way, wanted: usize) -> u64 {
        self.groups.allowance(now, session, way, wanted)
    }

    fn carry(
        &mut self,
        now: Instant,
        agenda: &mut Agenda<PopEvent, PopTimer>,
        session: &mut Session<PopFlow>,
        way: Way,
        bytes: u64,
    ) {
        self.groups.carry(now, agenda, session, way, bytes);
    }

    fn queue_up(
        &mut self,
        now: Instant,
        agenda: &mut Agenda<PopEvent, PopTimer>,
        id: SessionId,
        session: &mut Session<PopFlow>,
        way: Way,
    ) {
        self.groups.queue_up(now, agenda, id, session, way);
    }

    fn is_held_up(session: &Session<PopFlow>) -> bool {
        session.flow().meter.waits()
    }

    fn left(&mut self, tunnel: TunnelId) {
        self.left.push(tunnel);
    }

    fn adrift(&mut self, _: &mut Session<PopFlow>) {}

    fn adopt(&mut self, id: SessionId, code: Code) -> bool {
        self.orphaned.push_back((id, code));
        true
    }

    fn shed(
        &mut self,
        _: &mut Agenda<PopEvent, PopTimer>,
        session: &mut Session<PopFlow>,
        whose: Whose,
    ) {
        session.flow_mut().limit = Some(whose);
    }

    fn over(
        &mut self,
        agenda: &mut Agenda<PopEvent, PopTimer>,
        id: SessionId,
        session: Session<PopFlow>,
    ) {
        let group = session.group();
        // What nobody needs any more has ended.
        let code = session.ended().unwrap_or(Code::Internal);
        let flow = session.into_flow();
        let report = flow.report(id, group, code);
        agenda.tell(PopEvent::SessionOver(Box::new(report)));
        self.groups.leave(id, group, &flow.meter);
        self.ungripped.extend(flow.grip.map(|grip| *grip));
    }
}

impl PopDesk {
    /// Tells whether anything waits for the role to take it up.
    pub(super) fn has_mail(&self) -> bool {
        !(self.left.is_empty() && self.ungripped.is_empty() && self.orphaned.is_empty())
    }
}

//! What the engine asks of a role in passing.

use super::agenda::Agenda;
use super::report::Whose;
use crate::account::Way;
use crate::arena::{SessionId, TunnelId};
use crate::session::{Flow, Session};
use crate::time::Instant;
use crate::tunnel::Peer;
use core::fmt::Debug;
use titan_proto::Code;

/// What a role keeps within reach of the engine: its part of each session, tunnel and carrier, and what
/// it has to hear of when a session moves bytes, leaves its tunnel or is over.
pub(crate) trait Desk: Debug + Default {
    /// Its part of a session.
    type Flow: Flow;
    /// Its part of a tunnel.
    type Peer: Peer;
    /// Who is at the other end of a carrier.
    type Caller: Clone + Debug;
    /// What only drivers of this role learn.
    type Event: Debug;
    /// The deadlines that only this role has.
    type Timer: Copy + Ord + Debug;

    /// Returns how many bytes a session may move now, of those it wants to.
    fn allowance(
        &self,
        now: Instant,
        session: &Session<Self::Flow>,
        way: Way,
        wanted: usize,
    ) -> u64;

    /// Books bytes that a session moved.
    fn carry(
        &mut self,
        now: Instant,
        agenda: &mut Agenda<Self::Event, Self::Timer>,
        session: &mut Session<Self::Flow>,
        way: Way,
        bytes: u64,
    );

    /// Has a session called that may move nothing, when it may.
    fn queue_up(
        &mut self,
        now: Instant,
        agenda: &mut Agenda<Self::Event, Self::Timer>,
        id: SessionId,
        session: &mut Session<Self::Flow>,
        way: Way,
    );

    /// Tells whether a session waits for its call, either way.
    fn is_held_up(session: &Session<Self::Flow>) -> bool;

    /// Learns that a place on a tunnel is free again.
    fn left(&mut self, tunnel: TunnelId);

    /// Learns that a session is on no tunnel; perhaps not for the first time.
    fn adrift(&mut self, session: &mut Session<Self::Flow>);

    /// Takes over a session the dial of which lost its tunnel; false if it is over.
    fn adopt(&mut self, id: SessionId, code: Code) -> bool;

    /// Learns that a session is reset because of the memory that is held, and whose share that is.
    fn shed(
        &mut self,
        agenda: &mut Agenda<Self::Event, Self::Timer>,
        session: &mut Session<Self::Flow>,
        whose: Whose,
    );

    /// Learns that a session is gone.
    fn over(
        &mut self,
        agenda: &mut Agenda<Self::Event, Self::Timer>,
        id: SessionId,
        session: Session<Self::Flow>,
    );
}

//! What an endpoint asks of its role.

use super::desk::Desk;
use super::engine::Engine;
use crate::arena::{CarrierId, SessionId, TunnelId};
use crate::time::Instant;
use crate::timer::Armed;
use core::fmt::Debug;
use titan_proto::{Code, Frame, Party};

/// What only the POP or only the edge is. The two roles are all there are.
#[expect(
    private_bounds,
    reason = "sealed: nothing outside can name what a role does"
)]
pub trait Role:
    Duties<Desk: Desk<Event = <Self as Role>::Event, Timer = <Self as Role>::Timer>>
{
    /// What only drivers of this role learn.
    type Event: Debug;

    /// The deadlines that only this role has.
    type Timer: Copy + Ord + Debug;
}

/// What only the POP or only the edge does.
pub(crate) trait Duties: Debug {
    /// The role at the other end of a carrier.
    const PEER: Party;

    type Desk: Desk;

    /// Applies a frame about a carrier, or one that only the peer's role sends.
    fn frame(
        &mut self,
        engine: &mut Engine<Self::Desk>,
        now: Instant,
        carrier: CarrierId,
        frame: Frame,
    ) -> Result<(), Code>;

    /// Learns that the peer acknowledged something on a carrier that bears a tunnel.
    fn confirmed(&mut self, engine: &mut Engine<Self::Desk>, now: Instant, tunnel: TunnelId);

    /// Learns that the round trip time of a tunnel was measured.
    fn measured(&mut self, engine: &mut Engine<Self::Desk>, now: Instant, tunnel: TunnelId);

    /// Handles a dial that took too long.
    fn dial_overdue(&mut self, engine: &mut Engine<Self::Desk>, now: Instant, session: SessionId);

    /// Handles a deadline of this role.
    fn overdue(
        &mut self,
        engine: &mut Engine<Self::Desk>,
        now: Instant,
        timer: <Self::Desk as Desk>::Timer,
    );

    /// Takes up what the engine has left to the role.
    fn follow_up(&mut self, engine: &mut Engine<Self::Desk>, now: Instant);

    /// Checks what only this role knows.
    fn audit(&self, engine: &Engine<Self::Desk>, now: Instant);

    /// Returns this role's timers as it has noted them.
    fn timers(
        &self,
        engine: &Engine<Self::Desk>,
    ) -> impl Iterator<Item = (Armed, <Self::Desk as Desk>::Timer)>;

    /// Returns the leases that there are.
    fn lease_count(&self) -> usize {
        0
    }

    /// Returns the groups that there are.
    fn group_count(&self, _: &Engine<Self::Desk>) -> usize {
        0
    }
}

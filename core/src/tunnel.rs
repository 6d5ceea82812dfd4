//! Many sessions over a succession of carriers.
//!
//! A tunnel joins one POP process and one edge process. A carrier is one WebSocket connection that
//! bears it. The tunnel outlives its carrier: [`numbering`] keeps what the peer has not acknowledged
//! and sends it again over the next one.
//!
//! ```text
//!   (nothing) ──HELLO──▶ Borne ──carrier gone──▶ Detached ──grace over──▶ (nothing)
//!                          ▲ │                      │
//!                          │ └─another carrier      │ resume
//!                          └────────────────────────┘
//! ```
//!
//! A tunnel owns its state: what bears it ([`bearing`]), which sessions are on it and in which line
//! ([`roll`]), the frames that its peer may not have ([`numbering`]), how fast it may send
//! ([`throttle`]). What only the POP or only the edge knows of the peer is a [`Peer`]. Methods change the
//! tunnel and nothing else; what that means for memory, timer and carrier, the engine computes from the
//! state after each change.

mod audit;
pub(crate) mod bearing;
mod debt;
mod members;
pub(crate) mod numbering;
mod pace;
pub(crate) mod proof;
mod roll;
pub(crate) mod rtt;
mod sabotage;
mod scheduler;
mod throttle;

use crate::arena::{CarrierId, SessionId};
use crate::config::Config;
use crate::memory::{Memory, UserId};
use crate::planted::{self, Planted};
use crate::time::{Duration, Instant};
use crate::timer::Armed;
use alloc::collections::VecDeque;
use bearing::Bearing;
use debt::Debt;
use numbering::{Contradiction, Numbering, Outgoing};
use pace::Pace;
pub(crate) use roll::Answered;
use roll::Roll;
use rtt::Rtt;
pub(crate) use scheduler::{Scheduler, Ticket, Turn};
use throttle::Throttle;
use titan_proto::{Code, Frame};

/// What only one role knows of a tunnel's other end, and wants to tell it.
pub(crate) trait Peer: core::fmt::Debug {
    /// Takes the next numbered frame of the tunnel itself.
    fn next_order(&mut self) -> Option<Frame>;

    fn has_order(&self) -> bool;

    /// Takes the frame that is not numbered.
    fn next_notice(&mut self) -> Option<Frame>;

    fn has_notice(&self) -> bool;

    /// Returns when the tunnel ends by this role's will.
    fn leaves_at(&self) -> Option<Instant>;
}

#[derive(Debug)]
pub(crate) struct Tunnel<P> {
    /// The tunnel's id in HELLO.
    wire: u64,
    key: [u8; 32],
    peer: P,
    limits: PeerLimits,
    bearing: Bearing,
    debt: Debt,
    numbering: Numbering,
    /// Number of the last frame that was a session's.
    last_of_session: u64,
    roll: Roll,
    scheduler: Scheduler,
    /// Sessions that owe control frames, each once.
    control: VecDeque<SessionId>,
    /// CLOSE for sessions that moved to another exit; at most one per session that was live.
    closes: VecDeque<(u64, Code)>,
    rtt: Rtt,
    pace: Pace,
    throttle: Throttle,
    /// In the engine's list of those whose DATA waits for what others keep, since so much had been
    /// acknowledged of all.
    scarce: Option<u64>,
    /// There is something to send since the carrier was last told.
    untold: bool,
    counted: Counted,
    timer: Armed,
}

/// What the process counts of a tunnel.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Counted {
    resend: u64,
    owing: bool,
}

/// What the peer said about itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct PeerLimits {
    pub(crate) data_max: usize,
    pub(crate) early_max: u64,
    pub(crate) resend_max: u64,
    pub(crate) sessions_max: u32,
}

/// How a tunnel is known to both ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Identity {
    pub(crate) wire: u64,
    pub(crate) key: [u8; 32],
}

impl<P: Peer> Tunnel<P> {
    /// Makes a tunnel without sessions that waits for a carrier until `until`.
    pub(crate) fn new(
        identity: Identity,
        peer: P,
        limits: PeerLimits,
        resend_max: u64,
        until: Instant,
    ) -> Self {
        Self {
            wire: identity.wire,
            key: identity.key,
            peer,
            limits,
            bearing: Bearing::Detached { until },
            debt: Debt::default(),
            numbering: Numbering::new(resend_max, limits.resend_max),
            last_of_session: 0,
            roll: Roll::default(),
            scheduler: Scheduler::default(),
            control: VecDeque::new(),
            closes: VecDeque::new(),
            rtt: Rtt::default(),
            pace: Pace::default(),
            throttle: Throttle::default(),
            scarce: None,
            untold: false,
            counted: Counted::default(),
            timer: None,
        }
    }

    // --- Looking ----------------------------------------------------------------------------------

    pub(crate) const fn wire(&self) -> u64 {
        self.wire
    }

    pub(crate) const fn key(&self) -> &[u8; 32] {
        &self.key
    }

    pub(crate) const fn peer(&self) -> &P {
        &self.peer
    }

    pub(crate) const fn peer_mut(&mut self) -> &mut P {
        &mut self.peer
    }

    /// Returns the role's part, to be given something that the peer is to be told.
    pub(crate) const fn tell_peer(&mut self) -> &mut P {
        self.untold = true;
        &mut self.peer
    }

    pub(crate) const fn limits(&self) -> PeerLimits {
        self.limits
    }

    pub(crate) const fn rtt(&self) -> Rtt {
        self.rtt
    }

    pub(crate) fn measure(&mut self, rtt: Duration) {
        self.rtt.sample(rtt);
    }

    /// Returns the carrier that bears it now.
    pub(crate) const fn carrier(&self) -> Option<CarrierId> {
        self.bearing.carrier()
    }

    pub(crate) const fn timer_mut(&mut self) -> &mut Armed {
        &mut self.timer
    }

    pub(crate) const fn timer(&self) -> Armed {
        self.timer
    }

    /// Returns when the tunnel ends by this role's will.
    pub(crate) fn leaves_at(&self) -> Option<Instant> {
        self.peer.leaves_at()
    }

    /// Tells whether anything waits for the carrier.
    fn has_output(&self) -> bool {
        self.numbering.has_replay()
            || self.bearing.acknowledges_now()
            || self.peer.has_notice()
            || (self.numbering.takes_control()
                && !(self.control.is_empty() && self.closes.is_empty() && !self.peer.has_order()))
            || (self.numbering.takes_data()
                && !self.scheduler.is_empty()
                && !self.throttle.is_paused())
    }

    /// Tells whether a session's frame is not acknowledged.
    const fn is_owing(&self) -> bool {
        self.last_of_session > self.numbering.acknowledged()
    }

    /// Tells whether nothing would be cut off if the tunnel ended: no session, and no frame that the
    /// peer may not have.
    pub(crate) fn is_idle(&self) -> bool {
        self.roll.is_empty()
            && self.closes.is_empty()
            && !self.peer.has_order()
            && self.numbering.acknowledged() == self.numbering.sent()
    }

    /// Returns when the tunnel has something to do: the earliest of what it waits for.
    pub(crate) fn due_at(&self, config: &Config) -> Option<Instant> {
        [
            self.bearing.due_at(config),
            self.debt.due_at(config),
            self.peer.leaves_at(),
            self.throttle.paused_until(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    // --- Sending ----------------------------------------------------------------------------------

    /// Takes, once, the carrier that is to be told of something to send.
    pub(crate) fn carrier_to_tell(&mut self) -> Option<CarrierId> {
        if !core::mem::take(&mut self.untold) {
            return None;
        }
        self.carrier().filter(|_| self.has_output())
    }

    /// Limits the DATA that this side sends, in bytes per second; zero is no limit.
    pub(crate) fn limit_rate(&mut self, now: Instant, rate: u64) {
        self.throttle.limit(now, rate);
        self.untold = true;
    }

    /// Goes on sending DATA once its pause is over.
    pub(crate) fn unpause(&mut self, now: Instant) {
        if self.throttle.unpause(now) {
            self.untold = true;
        }
    }

    /// Returns how many bytes of DATA may be sent now; none rather than crumbs, and then waits.
    pub(crate) fn data_room(&mut self, now: Instant) -> usize {
        self.throttle.room(now)
    }

    /// Begins a turn of the carrier: returns how many bytes to commit to it at once, and fits the turns
    /// of sessions to that.
    pub(crate) fn begin_turn(&mut self) -> usize {
        self.bearing.took_something();
        let burst = self.pace.burst();
        self.scheduler.fit(burst);
        burst
    }

    /// Takes the next frame that the former carrier left unacknowledged.
    pub(crate) fn replay(&mut self) -> Option<Outgoing> {
        self.numbering.replay()
    }

    pub(crate) fn has_replay(&self) -> bool {
        self.numbering.has_replay()
    }

    /// Takes the next frame of the tunnel itself that is not numbered.
    pub(crate) fn next_notice(&mut self) -> Option<Frame> {
        self.peer.next_notice()
    }

    /// Takes the next order for the peer.
    pub(crate) fn next_order(&mut self) -> Option<Frame> {
        self.peer.next_order()
    }

    /// Takes the next CLOSE for a session that has moved away.
    pub(crate) fn next_close(&mut self) -> Option<(u64, Code)> {
        self.closes.pop_front()
    }

    /// Has the peer forget a session that has moved away.
    pub(crate) fn close_moved(&mut self, number: u64, code: Code) {
        self.closes.push_back((number, code));
        self.untold = true;
    }

    pub(crate) const fn takes_control(&self, memory: &Memory) -> bool {
        self.numbering.takes_control() && memory.takes_control(self.numbering.charge())
    }

    pub(crate) const fn takes_data(&self) -> bool {
        self.numbering.takes_data()
    }

    /// Returns how many bytes of DATA the next frame may have for what is kept for resending.
    pub(crate) fn resend_room(&self, memory: &Memory, user: UserId) -> Option<usize> {
        memory.resend_room(user, self.numbering.charge(), self.numbering.resend_max())
    }

    /// Has the users that were passed over have their turns again, some at a time.
    fn unpark(&mut self, is_over: impl Fn(u64) -> bool) {
        if self.scheduler.unpark(is_over) {
            self.untold = true;
        }
    }

    /// Has those users have their turns again who were passed over before something was acknowledged on any
    /// tunnel: `freed` tells how much on all. Returns since when the next of them waits, if any does.
    pub(crate) fn look_again(&mut self, freed: u64) -> Option<u64> {
        if planted::on(Planted::PassedOverForgotten) {
            return self.lose_passed_over();
        }
        self.unpark(|since| since != freed);
        self.scarce = self.scheduler.parked_since();
        self.scarce
    }

    /// Returns since when it is in the list of those whose DATA waits for what others keep.
    pub(crate) const fn scarce(&self) -> Option<u64> {
        self.scarce
    }

    /// Numbers a frame and keeps it for resending.
    pub(crate) fn send(&mut self, memory: &mut Memory, frame: Frame) -> Outgoing {
        self.keep(memory, frame, None)
    }

    fn keep(&mut self, memory: &mut Memory, frame: Frame, user: Option<UserId>) -> Outgoing {
        let (kind, session, payload) = frame.encode();
        let frame = Outgoing {
            kind,
            session,
            payload,
        };
        self.numbering.send(frame.clone(), user, memory);
        frame
    }

    /// Numbers a frame of a session, the end of which is not safe before it is acknowledged, and keeps it for
    /// resending. One that had a turn is in its user's share.
    pub(crate) fn send_of_session(
        &mut self,
        memory: &mut Memory,
        frame: Frame,
        user: Option<UserId>,
    ) -> Outgoing {
        let frame = self.keep(memory, frame, user);
        self.last_of_session = self.numbering.sent();
        frame
    }

    /// Returns how large a DATA frame may be for the peer, and for its turn.
    pub(crate) fn data_max(&self) -> usize {
        self.limits.data_max.min(self.pace.burst())
    }

    // --- Receiving --------------------------------------------------------------------------------

    /// Counts a numbered frame as applied. Returns whether its acknowledgement is due at once.
    pub(crate) const fn receive(&mut self, payload_len: usize) -> bool {
        self.numbering.receive(payload_len)
    }

    /// Owes the peer an acknowledgement, at once or at `ack_at`.
    pub(crate) fn owe_ack(&mut self, at_once: bool, ack_at: Instant) {
        if self.bearing.owe_ack(at_once, ack_at) {
            self.untold = true;
        }
    }

    pub(crate) const fn received(&self) -> u64 {
        self.numbering.received()
    }

    /// Returns the number of the first frame that the present carrier bears.
    pub(crate) const fn next_number(&self) -> u64 {
        self.numbering.next()
    }

    /// Acknowledges at once if the time to wait for company is over.
    pub(crate) fn ack_overdue(&mut self, now: Instant) {
        let untold = self.numbering.has_untold();
        if self.bearing.ack_overdue(now, untold) {
            self.untold = true;
        }
    }

    /// Acknowledges with the next batch, which is due at once.
    pub(crate) const fn ack_now(&mut self) {
        self.bearing.ack_now();
        self.untold = true;
    }

    /// Ends a turn of the carrier: the peer is to acknowledge what it bore.
    pub(crate) fn end_turn(&mut self, now: Instant) {
        if self.numbering.is_awaited() {
            self.bearing.await_ack(now);
        }
        self.fall_due(now);
    }

    fn fall_due(&mut self, now: Instant) {
        let (acknowledged, sent) = (self.numbering.acknowledged(), self.numbering.sent());
        self.debt.fall_due(now, acknowledged, sent);
    }

    /// Tells whether the peer owes an acknowledgement for so long that neither a little of it now and then
    /// nor another carrier is an excuse.
    pub(crate) fn is_in_arrears(&self, now: Instant, config: &Config) -> bool {
        self.debt.is_overdue(now, config)
    }

    /// Waits until then for what it owes.
    pub(crate) fn defer(&mut self, until: Instant, config: &Config) {
        self.debt.put_off_until(until, config);
    }

    /// Takes the count to tell the peer: when it is due, or when something else is sent anyway.
    pub(crate) fn take_ack(&mut self, rides: bool) -> Option<u64> {
        let due = self.bearing.acknowledges_now() || (rides && self.numbering.has_untold());
        due.then(|| {
            self.bearing.told();
            self.numbering.tell()
        })
    }

    /// Applies the peer's acknowledgement. `forgiving` tells whether one that comes late counts.
    pub(crate) fn acknowledged(
        &mut self,
        now: Instant,
        received: u64,
        forgiving: bool,
        memory: &mut Memory,
    ) -> Result<(), Contradiction> {
        let freed = self.numbering.acknowledge(received, memory)?;
        self.unpark(|_| freed > 0);
        let full = !self.numbering.takes_data();
        if full && planted::on(Planted::LostAckAccounting) {
            self.counted.resend -= freed;
        }
        let busy = full || !self.scheduler.is_empty();
        self.pace.acknowledged(now, freed, busy);
        if freed > 0 {
            self.fall_due(now);
            if forgiving {
                self.forgive(now);
            }
        }
        self.untold = true;
        Ok(())
    }

    /// Lets the time begin anew that the peer has to acknowledge something.
    fn forgive(&mut self, now: Instant) {
        self.await_anew(now);
        self.bearing.forgive();
    }

    /// Gives the peer as much longer to acknowledge something as it was not read.
    pub(crate) fn excuse(&mut self, now: Instant, unread: Duration) {
        self.bearing.excuse(now, unread);
        self.debt.excuse(now, unread);
    }

    /// Waits anew for what the present carrier bore.
    pub(crate) fn await_anew(&mut self, now: Instant) {
        self.bearing.await_anew(now, self.numbering.is_awaited());
    }

    /// Resumes: everything that the peer has not received is sent again.
    pub(crate) fn rewind(
        &mut self,
        received: u64,
        memory: &mut Memory,
    ) -> Result<(), Contradiction> {
        self.unpark(|_| true);
        self.numbering.rewind(received, memory)?;
        self.debt.acknowledge(self.numbering.acknowledged());
        Ok(())
    }

    pub(crate) const fn rekey(&mut self, key: [u8; 32]) {
        self.key = key;
    }

    // --- Bearing ----------------------------------------------------------------------------------

    /// Lets a carrier bear the tunnel; returns the one that did.
    pub(crate) fn attach(&mut self, carrier: CarrierId) -> Option<CarrierId> {
        // HELLO tells the count.
        self.numbering.tell();
        self.bearing.attach(carrier)
    }

    /// Waits for another carrier until `until`.
    pub(crate) fn detach(&mut self, until: Instant) {
        if planted::on(Planted::ControlLostAtCut) {
            self.control.clear();
        }
        self.bearing = Bearing::Detached { until };
    }

    pub(crate) const fn bearing(&self) -> &Bearing {
        &self.bearing
    }

    pub(crate) const fn bearing_mut(&mut self) -> &mut Bearing {
        &mut self.bearing
    }

    // --- What the process counts ------------------------------------------------------------------

    /// Brings what the process counts of the tunnel up to its state.
    pub(crate) fn recount(&mut self, memory: &mut Memory, owing: &mut usize) {
        let now = Counted {
            resend: self.numbering.charge(),
            owing: self.is_owing(),
        };
        self.count_as(now, memory, owing);
        self.count_visits(memory);
    }

    /// Counts the entries of its lines that were looked at.
    pub(crate) const fn count_visits(&mut self, memory: &mut Memory) {
        memory.visited(self.scheduler.take_visits());
    }

    /// Takes a tunnel that is over out of what is counted.
    pub(crate) fn uncount(&mut self, memory: &mut Memory, owing: &mut usize) {
        self.numbering.disown(memory);
        self.count_as(Counted::default(), memory, owing);
    }

    fn count_as(&mut self, now: Counted, memory: &mut Memory, owing: &mut usize) {
        let before = core::mem::replace(&mut self.counted, now);
        memory.recharge_resend(before.resend, now.resend);
        *owing = *owing + usize::from(now.owing) - usize::from(before.owing);
    }
}

//! What bears a tunnel, and what is between it and the tunnel.

use crate::arena::CarrierId;
use crate::config::{Config, STALL_AFTER};
use crate::mark::{self, Mark};
use crate::planted::{Leftover, Planted};
use crate::time::{Duration, Instant};

/// What bears a tunnel now.
#[derive(Debug)]
pub(crate) enum Bearing {
    Borne(Borne),
    /// Nothing: the tunnel ends then, unless a carrier comes back.
    Detached {
        until: Instant,
    },
}

/// A carrier, and what waits for it.
#[derive(Debug)]
pub(crate) struct Borne {
    carrier: CarrierId,
    ack: AckState,
    stall: Stall,
    /// Since when the peer has acknowledged nothing of what it was sent.
    awaited_since: Option<Instant>,
    /// Since when DATA waits for an acknowledgement.
    withheld_since: Option<Instant>,
    /// The grace time that ended with the resume.
    grace: Leftover<Instant>,
}

/// When the peer is told what was received.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum AckState {
    /// Nothing is untold, or it rides on the next batch before this deadline.
    By(Option<Instant>),
    /// With the next batch, which is due at once.
    Now,
}

/// The episode in which the carrier takes nothing (W14).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stall {
    None,
    /// A session found no room at this time.
    Suspected(Instant),
    /// The log has been told.
    Told,
}

impl Bearing {
    /// Gets another carrier, and returns the one before.
    pub(super) fn attach(&mut self, carrier: CarrierId) -> Option<CarrierId> {
        let before = self.carrier();
        let grace = match self {
            Self::Detached { until } => Leftover::of(Planted::GraceNotEnded, *until),
            Self::Borne(borne) => borne.grace,
        };
        *self = Self::Borne(Borne {
            carrier,
            ack: AckState::By(None),
            stall: Stall::None,
            awaited_since: None,
            withheld_since: None,
            grace,
        });
        before
    }

    pub(super) const fn carrier(&self) -> Option<CarrierId> {
        match self {
            Self::Borne(borne) => Some(borne.carrier),
            Self::Detached { .. } => None,
        }
    }

    const fn borne_mut(&mut self) -> Option<&mut Borne> {
        match self {
            Self::Borne(borne) => Some(borne),
            Self::Detached { .. } => None,
        }
    }

    pub(super) fn due_at(&self, config: &Config) -> Option<Instant> {
        let borne = match self {
            Self::Borne(borne) => borne,
            Self::Detached { until } => return Some(*until),
        };
        let ack = match borne.ack {
            AckState::By(at) => at,
            AckState::Now => None,
        };
        let stall = match borne.stall {
            Stall::Suspected(since) => Some(since + STALL_AFTER),
            Stall::None | Stall::Told => None,
        };
        let since = [borne.awaited_since, borne.withheld_since];
        let since = since.into_iter().flatten().min();
        let withheld = since.map(|since| since + config.dead_after);
        let deadlines = [ack, stall, withheld, borne.grace.get()];
        deadlines.into_iter().flatten().min()
    }

    /// Tells whether the time to wait for a carrier is over.
    pub(crate) fn is_over(&self, now: Instant) -> bool {
        match self {
            Self::Borne(borne) => borne.grace.get().is_some_and(|until| until <= now),
            Self::Detached { until } => *until <= now,
        }
    }

    // --- Acknowledgement of what was received -----------------------------------------------------

    /// Owes the peer an acknowledgement; true if the carrier is to be told.
    pub(super) fn owe_ack(&mut self, at_once: bool, at: Instant) -> bool {
        let Some(borne) = self.borne_mut() else {
            return false;
        };
        if at_once {
            mark::hit(Mark::AckForVolume);
            borne.ack = AckState::Now;
        } else if borne.ack == AckState::By(None) {
            borne.ack = AckState::By(Some(at));
        }
        at_once
    }

    pub(super) const fn ack_now(&mut self) {
        if let Some(borne) = self.borne_mut() {
            borne.ack = AckState::Now;
        }
    }

    pub(super) fn ack_overdue(&mut self, now: Instant, untold: bool) -> bool {
        match self.borne_mut() {
            Some(borne) if matches!(borne.ack, AckState::By(Some(at)) if at <= now) => {
                borne.ack = if untold {
                    AckState::Now
                } else {
                    AckState::By(None)
                };
                true
            }
            Some(_) | None => false,
        }
    }

    pub(super) const fn acknowledges_now(&self) -> bool {
        matches!(
            self,
            Self::Borne(Borne {
                ack: AckState::Now,
                ..
            })
        )
    }

    pub(super) const fn told(&mut self) {
        if let Some(borne) = self.borne_mut() {
            borne.ack = AckState::By(None);
        }
    }

    // --- A carrier or a peer that takes nothing ---------------------------------------------------

    /// Notes that a session found no room.
    pub(crate) fn suspect(&mut self, now: Instant) {
        if let Some(borne) = self.borne_mut()
            && borne.stall == Stall::None
        {
            borne.stall = Stall::Suspected(now);
        }
    }

    pub(super) const fn took_something(&mut self) {
        if let Some(borne) = self.borne_mut() {
            borne.stall = Stall::None;
        }
    }

    /// Tells, once per episode, that the carrier has taken nothing for too long.
    pub(crate) fn is_stalled(&mut self, now: Instant) -> bool {
        match self.borne_mut() {
            Some(borne) if matches!(borne.stall, Stall::Suspected(since) if now.since(since) >= STALL_AFTER) =>
            {
                borne.stall = Stall::Told;
                true
            }
            Some(_) | None => false,
        }
    }

    /// Notes that DATA waits for an acknowledgement.
    pub(crate) fn withhold(&mut self, now: Instant) {
        if let Some(borne) = self.borne_mut() {
            borne.withheld_since.get_or_insert(now);
        }
    }

    /// Notes that the peer has something to acknowledge.
    pub(super) fn await_ack(&mut self, now: Instant) {
        if let Some(borne) = self.borne_mut() {
            borne.awaited_since.get_or_insert(now);
        }
    }

    /// Begins to wait anew for what `is_awaited`.
    pub(super) fn await_anew(&mut self, now: Instant, is_awaited: bool) {
        if let Some(borne) = self.borne_mut() {
            borne.awaited_since = is_awaited.then_some(now);
        }
    }

    pub(super) const fn forgive(&mut self) {
        if let Some(borne) = self.borne_mut() {
            borne.withheld_since = None;
        }
    }

    /// Waits for so much longer.
    pub(crate) fn put_off(&mut self, by: Duration) {
        if let Some(borne) = self.borne_mut() {
            borne.awaited_since = borne.awaited_since.map(|since| since + by);
            borne.withheld_since = borne.withheld_since.map(|since| since + by);
        }
    }

    /// Leaves out the time in which the peer was not read.
    pub(super) fn excuse(&mut self, now: Instant, unread: Duration) {
        if let Some(borne) = self.borne_mut() {
            let later = |since: Instant| (since + unread).min(now);
            borne.awaited_since = borne.awaited_since.map(later);
            borne.withheld_since = borne.withheld_since.map(later);
        }
    }

    /// Tells whether the peer has acknowledged nothing for too long.
    pub(crate) fn is_overdue(&self, now: Instant, config: &Config) -> bool {
        let late = |since| now.since(since) >= config.dead_after;
        match self {
            Self::Borne(borne) => borne.awaited_since.is_some_and(late),
            Self::Detached { .. } => false,
        }
    }

    /// Tells whether DATA has waited for that for too long.
    pub(crate) fn is_withheld(&self, now: Instant, config: &Config) -> bool {
        let late = |since| now.since(since) >= config.dead_after;
        match self {
            Self::Borne(borne) => borne.withheld_since.is_some_and(late),
            Self::Detached { .. } => false,
        }
    }
}

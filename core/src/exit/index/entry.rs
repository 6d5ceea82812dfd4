//! What the index knows of one exit.

use super::{
    band::{Band, SLOW_RTT, Score, Traits, better_rtt},
    told::{Country, ExitState},
    trouble::Trouble,
    verdict::Reason,
};
use crate::time::{Duration, Instant};
use core::num::NonZeroU32;

/// What stands in for an RTT that was not measured, in microseconds: half of the limit above which
/// exits are avoided. It orders unmeasured exits by load and failures; their band keeps them behind
/// measured ones.
const UNMEASURED_RTT: u32 = SLOW_RTT / 2;

/// The highest RTT that is told apart, in microseconds: far beyond the time after which a silent
/// tunnel is dead.
const RTT_MAX: u32 = 60_000_000;

/// The review of an exit whose band does not change by time alone.
pub(super) const NEVER: Instant = Instant::from_nanos(u64::MAX);

/// One exit. Less than a cache line: with its places in two buckets it costs 64 bytes.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    trouble: Trouble,
    /// When time alone may have moved the exit to a better band.
    pub(super) review: Instant,
    /// Microseconds, at least one: the load must count on a loopback, too.
    rtt: Option<NonZeroU32>,
    sessions: u32,
    session_cap: u32,
    /// The position in the band among all exits; holds while `band` is set.
    pub(super) position: u32,
    /// The position in the band among the exits of its country; holds while `band` and `country`
    /// are set.
    pub(super) position_in_country: u32,
    country: Option<Country>,
    attached: bool,
    accepting: bool,
    draining: bool,
    blacklisted: bool,
    /// It is barred for nothing but its sessions, and counted so.
    pub(super) full: bool,
    /// The band whose buckets hold the exit; none while it must not be chosen.
    pub(super) band: Option<Band>,
}

const _: () = assert!(size_of::<Option<Entry>>() == 56);

impl Entry {
    /// Creates an exit without a past, in no band.
    pub(super) fn new(state: ExitState) -> Self {
        let mut entry = Self {
            trouble: Trouble::default(),
            review: NEVER,
            rtt: None,
            sessions: 0,
            session_cap: 0,
            position: 0,
            position_in_country: 0,
            country: None,
            attached: false,
            accepting: false,
            draining: false,
            blacklisted: false,
            full: false,
            band: None,
        };
        entry.set_state(state);
        entry
    }

    pub(super) fn set_state(&mut self, state: ExitState) {
        let ExitState {
            rtt,
            sessions,
            session_cap,
            country,
            attached,
            accepting,
            draining,
            blacklisted,
        } = state;
        let micros = |rtt: Duration| {
            u32::try_from(rtt.as_micros())
                .unwrap_or(u32::MAX)
                .min(RTT_MAX)
        };
        self.rtt = rtt.map(|rtt| NonZeroU32::new(micros(rtt)).unwrap_or(NonZeroU32::MIN));
        self.sessions = sessions;
        self.session_cap = session_cap;
        self.country = country;
        self.attached = attached;
        self.accepting = accepting;
        self.draining = draining;
        self.blacklisted = blacklisted;
    }

    pub(super) const fn session_opened(&mut self) {
        self.sessions = self.sessions.saturating_add(1);
    }

    pub(super) const fn session_closed(&mut self) {
        self.sessions = self.sessions.saturating_sub(1);
    }

    pub(super) const fn trouble_mut(&mut self) -> &mut Trouble {
        &mut self.trouble
    }

    pub(super) fn state(&self) -> ExitState {
        ExitState {
            rtt: self.rtt.map(|rtt| Duration::from_micros(rtt.get().into())),
            sessions: self.sessions,
            session_cap: self.session_cap,
            country: self.country,
            attached: self.attached,
            accepting: self.accepting,
            draining: self.draining,
            blacklisted: self.blacklisted,
        }
    }

    pub(super) const fn country(&self) -> Option<Country> {
        self.country
    }

    /// Returns why the exit must not be chosen, whatever the demand.
    pub(super) fn barred(&self) -> Option<Reason> {
        if !self.attached {
            Some(Reason::Detached)
        } else if self.blacklisted {
            Some(Reason::Blacklisted)
        } else if self.draining {
            Some(Reason::Draining)
        } else if !self.accepting {
            Some(Reason::NotAccepting)
        } else if self.sessions >= self.session_cap {
            Some(Reason::Full)
        } else {
            None
        }
    }

    /// Tells whether it would be chosen but for the sessions it has.
    pub(super) fn is_full(&self) -> bool {
        self.session_cap > 0 && self.barred() == Some(Reason::Full)
    }

    /// Returns why the exit is avoided while there are better ones.
    pub(super) fn doubted(&self, now: Instant) -> Option<Reason> {
        if self.trouble.is_unstable(now) {
            Some(Reason::Unstable)
        } else if self.rtt_alone() > SLOW_RTT {
            Some(Reason::Slow)
        } else if self.traits(now).rtt > SLOW_RTT {
            Some(Reason::Failing)
        } else {
            None
        }
    }

    /// Returns the band the exit belongs to; none while it must not be chosen.
    pub(super) fn band_at(&self, now: Instant) -> Option<Band> {
        self.barred().is_none().then(|| Band::of(&self.traits(now)))
    }

    /// Returns the exact score; the exit must not be barred.
    pub(super) fn score(&self, now: Instant) -> Score {
        Score::of(&self.traits(now))
    }

    /// Returns when time alone may next move the exit to a better band.
    pub(super) fn review_after(&self, now: Instant) -> Instant {
        if self.barred().is_some() {
            return NEVER;
        }
        let Traits { rtt, unstable, .. } = self.traits(now);
        let stable = if unstable {
            self.trouble.stable_at()
        } else {
            NEVER
        };
        let faster = better_rtt(rtt)
            .and_then(|limit| limit.checked_sub(self.rtt_alone()))
            .map_or(NEVER, |penalty| self.trouble.penalty_at_most(penalty));
        stable.min(faster)
    }

    fn traits(&self, now: Instant) -> Traits {
        Traits {
            rtt: self.rtt_alone() + self.trouble.penalty(now),
            measured: self.rtt.is_some(),
            unstable: self.trouble.is_unstable(now),
            sessions: self.sessions,
            session_cap: self.session_cap,
        }
    }

    fn rtt_alone(&self) -> u32 {
        self.rtt.map_or(UNMEASURED_RTT, NonZeroU32::get)
    }
}

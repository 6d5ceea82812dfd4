//! The way to one POP: whether it stands, and how long to wait before it is tried again.

use crate::arena::{CarrierId, TunnelId};
use crate::mark::{self, Mark};
use crate::rng::Rng;
use crate::time::Duration;
use crate::timer::Armed;
use alloc::borrow::ToOwned as _;
use alloc::string::String;
use core::net::IpAddr;

/// The first reconnection happens within this time.
const FIRST_JITTER: Duration = Duration::from_millis(200);

/// Largest wait between attempts while the tunnel can be resumed.
const RESUMABLE_WAIT_MAX: Duration = Duration::from_secs(3);

/// Largest wait between attempts otherwise.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Longest wait that a POP can ask for: whatever it says, an edge comes back.
const HINT_MAX: Duration = Duration::from_secs(3600);

#[derive(Debug)]
pub(crate) struct Uplink {
    state: State,
    tunnel: Option<TunnelId>,
    /// Where the POP wants to be resumed; empty: where it was reached.
    resume_address: String,
    /// Attempts since the last attachment.
    failures: u32,
    /// What the POP asked to wait.
    hint: Duration,
    /// It goes with its tunnel.
    retiring: bool,
    /// Where its POP last saw this edge come from, by family: the router that has the one is still there
    /// while the way to the POP leads over the other.
    observed: [Option<IpAddr>; 2],
    timer: Armed,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Until the timer is due.
    Waiting,
    /// The driver connects.
    Connecting,
    /// A carrier is there.
    Connected(CarrierId),
}

impl Uplink {
    pub(super) const fn new() -> Self {
        Self {
            state: State::Waiting,
            tunnel: None,
            resume_address: String::new(),
            failures: 0,
            hint: Duration::ZERO,
            retiring: false,
            observed: [None; 2],
            timer: None,
        }
    }

    pub(super) const fn timer(&self) -> Armed {
        self.timer
    }

    pub(super) const fn timer_mut(&mut self) -> &mut Armed {
        &mut self.timer
    }

    // --- The carrier ------------------------------------------------------------------------------

    /// Has the driver connect; false if it does, or if a carrier is there.
    pub(super) fn connect(&mut self) -> bool {
        let waits = self.state == State::Waiting;
        if waits {
            self.state = State::Connecting;
        }
        waits
    }

    pub(super) const fn is_connecting(&self) -> bool {
        matches!(self.state, State::Connecting)
    }

    /// Notes that a carrier is there.
    pub(super) const fn connected(&mut self, carrier: CarrierId) {
        self.state = State::Connected(carrier);
    }

    pub(super) const fn carrier(&self) -> Option<CarrierId> {
        match self.state {
            State::Connected(carrier) => Some(carrier),
            State::Waiting | State::Connecting => None,
        }
    }

    /// Takes what the POP asks to wait before the next attempt.
    pub(super) const fn wait_for(&mut self, hint: Duration) {
        self.hint = hint;
    }

    /// As [`wait_for`](Self::wait_for), unless it has asked for more already.
    pub(super) fn wait_longer(&mut self, hint: Duration) {
        self.hint = self.hint.max(hint);
    }

    /// Nothing speaks for waiting longer than the POP says.
    pub(super) const fn forgive(&mut self) {
        self.failures = 0;
    }

    /// Waits for the next attempt; returns how long. A tunnel that can be resumed does not wait long.
    pub(super) fn wait(&mut self, resumable: bool, rng: &mut Rng) -> Duration {
        self.state = State::Waiting;
        let limit = if self.failures == 0 {
            FIRST_JITTER
        } else {
            let cap = if resumable {
                RESUMABLE_WAIT_MAX
            } else {
                WAIT_MAX
            };
            (FIRST_JITTER * 2u32.saturating_pow(self.failures.min(16))).min(cap)
        };
        self.failures = self.failures.saturating_add(1);
        let hint = core::mem::take(&mut self.hint).min(HINT_MAX);
        if hint > Duration::ZERO {
            mark::hit(Mark::RetryHonoured);
        }
        // Whoever was sent away together does not come back together.
        let spread = limit.max(hint / 8);
        (hint + rng.jitter(spread)).min(HINT_MAX)
    }

    // --- The tunnel -------------------------------------------------------------------------------

    pub(super) const fn tunnel(&self) -> Option<TunnelId> {
        self.tunnel
    }

    /// Notes that the tunnel stands, and where the POP wants it to be resumed.
    pub(super) fn attached(&mut self, tunnel: TunnelId, resume_address: &str) {
        self.tunnel = Some(tunnel);
        self.failures = 0;
        self.hint = Duration::ZERO;
        resume_address.clone_into(&mut self.resume_address);
    }

    /// Notes where the POP sees this edge come from.
    pub(super) fn observed_at(&mut self, address: IpAddr) {
        self.observed[usize::from(address.is_ipv6())] = Some(address);
    }

    /// Forgets where it was seen: another POP serves it perhaps, and the host may be elsewhere.
    pub(super) const fn forget_observed(&mut self) {
        self.observed = [None; 2];
    }

    /// Returns where its POP has seen this edge come from.
    pub(super) fn observed(&self) -> impl Iterator<Item = IpAddr> {
        self.observed.into_iter().flatten()
    }

    /// Takes the tunnel off, which is to end.
    pub(super) const fn take_tunnel(&mut self) -> Option<TunnelId> {
        self.tunnel.take()
    }

    /// Forgets a tunnel that is gone.
    pub(super) fn forget_tunnel(&mut self, tunnel: TunnelId) {
        if self.tunnel == Some(tunnel) {
            self.tunnel = None;
        }
    }

    /// Returns where the POP asked to be resumed, if there is something to resume.
    pub(super) fn resume_address(&self) -> Option<&str> {
        self.tunnel.map(|_| &*self.resume_address)
    }

    /// Tells whether it waits for its first tunnel, or for another.
    pub(super) fn is_searching(&self) -> bool {
        self.state == State::Waiting && self.tunnel.is_none()
    }

    /// Lets it go with its tunnel; false if it was to go already.
    pub(super) const fn retire(&mut self) -> bool {
        !core::mem::replace(&mut self.retiring, true)
    }

    pub(super) const fn is_retiring(&self) -> bool {
        self.retiring
    }
}

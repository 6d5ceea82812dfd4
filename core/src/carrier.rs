//! One WebSocket connection as the core sees it.

use crate::arena::TunnelId;
use crate::config::{Config, PING_INTERVAL};
use crate::time::{Duration, Instant};
use crate::timer::Armed;
use alloc::boxed::Box;
use titan_proto::{Code, wire};

/// A connection. `C` is who is at its other end, as the role knows it.
#[derive(Debug)]
pub(crate) struct Carrier<C> {
    state: CarrierState,
    caller: C,
    nonce: [u8; 16],
    /// The bytes cannot be read on the way.
    encrypted: bool,
    /// Our HELLO, until it is sent.
    hello: Option<Box<wire::Hello>>,
    pulse: Pulse,
    /// In the queue of carriers with output.
    ready: bool,
    timer: Armed,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum CarrierState {
    /// The peer's HELLO is awaited.
    Greeting,
    /// It bears a tunnel.
    Bearing(TunnelId),
    /// It says BYE and ends; nothing that arrives counts.
    Closing(Farewell),
}

/// Why a carrier ends, for the peer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Farewell {
    pub(crate) code: Code,
    pub(crate) retry_after: Duration,
    /// The order to leave goes before BYE.
    pub(crate) kick: bool,
}

/// Signs of life.
#[derive(Debug)]
struct Pulse {
    /// When anything was last received.
    received_at: Instant,
    pinged_at: Option<Instant>,
    ping_due: bool,
    /// When the ping that is not answered yet was sent.
    asked_at: Option<Instant>,
    /// Since when it is not read, and how long it was not read since anything was received.
    unread_since: Option<Instant>,
    unread: Duration,
}

/// What a carrier's silence calls for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Silence {
    /// It has lasted too long.
    Dead,
    /// Look again at this time; a ping goes out before, if one is `due`.
    Until { at: Instant, ping: bool },
}

impl<C: Clone> Carrier<C> {
    pub(crate) const fn new(now: Instant, caller: C, nonce: [u8; 16], encrypted: bool) -> Self {
        Self {
            state: CarrierState::Greeting,
            caller,
            nonce,
            encrypted,
            hello: None,
            pulse: Pulse {
                received_at: now,
                pinged_at: None,
                ping_due: false,
                asked_at: None,
                unread_since: None,
                unread: Duration::ZERO,
            },
            ready: false,
            timer: None,
        }
    }

    pub(crate) const fn state(&self) -> CarrierState {
        self.state
    }

    pub(crate) const fn caller(&self) -> &C {
        &self.caller
    }

    pub(crate) const fn caller_mut(&mut self) -> &mut C {
        &mut self.caller
    }

    pub(crate) const fn nonce(&self) -> [u8; 16] {
        self.nonce
    }

    pub(crate) const fn is_encrypted(&self) -> bool {
        self.encrypted
    }

    pub(crate) const fn is_closing(&self) -> bool {
        matches!(self.state, CarrierState::Closing(_))
    }

    /// Returns the tunnel it bears.
    pub(crate) const fn tunnel(&self) -> Option<TunnelId> {
        match self.state {
            CarrierState::Bearing(tunnel) => Some(tunnel),
            CarrierState::Greeting | CarrierState::Closing(_) => None,
        }
    }

    /// Tells whether our HELLO waits to be sent.
    pub(crate) const fn is_unanswered(&self) -> bool {
        self.hello.is_some()
    }

    pub(crate) const fn timer_mut(&mut self) -> &mut Armed {
        &mut self.timer
    }

    pub(crate) const fn timer(&self) -> Armed {
        self.timer
    }

    /// Notes that the carrier is in the queue of those with output; false if it was.
    pub(crate) const fn make_ready(&mut self) -> bool {
        !core::mem::replace(&mut self.ready, true)
    }

    pub(crate) const fn take_ready(&mut self) -> bool {
        core::mem::replace(&mut self.ready, false)
    }

    pub(crate) fn greet(&mut self, hello: wire::Hello) {
        self.hello = Some(Box::new(hello));
    }

    pub(crate) fn take_hello(&mut self) -> Option<wire::Hello> {
        self.hello.take().map(|hello| *hello)
    }

    /// Bears a tunnel from now on, and asks the peer at once whether it is there.
    pub(crate) const fn bear(&mut self, now: Instant, tunnel: TunnelId) {
        self.state = CarrierState::Bearing(tunnel);
        self.pulse.ping_due = true;
        self.pulse.pinged_at = Some(now);
    }

    /// Bears nothing any more: its tunnel has moved to another carrier.
    pub(crate) const fn unload(&mut self) {
        self.state = CarrierState::Greeting;
    }

    /// Begins to say goodbye; returns the state before, or nothing if it does so already.
    pub(crate) fn close(&mut self, code: Code, retry_after: Duration) -> Option<CarrierState> {
        if self.is_closing() {
            return None;
        }
        let farewell = Farewell {
            code,
            retry_after,
            kick: false,
        };
        self.hello = None;
        self.pulse.ping_due = false;
        Some(core::mem::replace(
            &mut self.state,
            CarrierState::Closing(farewell),
        ))
    }

    /// Lets the order to leave go before the goodbye.
    pub(crate) const fn order_off(&mut self) {
        if let CarrierState::Closing(farewell) = &mut self.state {
            farewell.kick = true;
        }
    }

    /// Notes that bytes arrived: the carrier lives.
    pub(crate) const fn heard(&mut self, now: Instant) {
        self.pulse.received_at = now;
        self.pulse.unread = Duration::ZERO;
    }

    /// Notes that it is read from now on, or not.
    pub(crate) fn be_read(&mut self, now: Instant, reads: bool) {
        self.pulse.unread_since = (!reads).then_some(now);
    }

    pub(crate) const fn unread_since(&self) -> Option<Instant> {
        self.pulse.unread_since
    }

    /// Counts, and returns, how long it was not read until `until`. Its driver may not come to read it before
    /// memory is used up again: the rest begins then.
    pub(crate) fn excuse(&mut self, until: Instant) -> Duration {
        let Some(since) = self.pulse.unread_since else {
            return Duration::ZERO;
        };
        self.pulse.unread_since = Some(until);
        let unread = until.since(since);
        self.pulse.unread += unread;
        unread
    }

    /// Tells whether bytes arrived within the time after which the peer is asked for some.
    pub(crate) fn was_heard(&self, now: Instant, config: &Config) -> bool {
        now.since(self.pulse.received_at) <= config.ping_after
    }

    /// Takes a pong; returns the round trip time if it answers the ping that was sent last.
    pub(crate) fn answered(&mut self, now: Instant, payload: &[u8]) -> Option<Duration> {
        self.heard(now);
        let sent = Instant::from_nanos(u64::from_be_bytes(payload.try_into().ok()?));
        self.pulse.asked_at.take_if(|asked| *asked == sent)?;
        Some(now.since(sent))
    }

    /// Takes the ping that is due, as its payload.
    pub(crate) fn take_ping(&mut self, now: Instant) -> Option<[u8; 8]> {
        core::mem::take(&mut self.pulse.ping_due).then(|| {
            self.pulse.asked_at = Some(now);
            now.as_nanos().to_be_bytes()
        })
    }

    /// Judges how long nothing was received, and asks the peer if it is time to. One that is not read cannot
    /// be silent; but it is asked again and again, for its peer has to hear something, too. `deaf` tells whether
    /// some are not read.
    pub(crate) fn listen(&mut self, now: Instant, config: &Config, deaf: bool) -> Silence {
        let pulse = &mut self.pulse;
        let silence = now.since(pulse.received_at);
        let is_read = !deaf || pulse.unread_since.is_none();
        if is_read && silence >= config.dead_after + pulse.unread {
            return Silence::Dead;
        }
        let interval = if is_read {
            PING_INTERVAL
        } else {
            config.ping_after.min(PING_INTERVAL)
        };
        let asked = pulse.pinged_at.is_some_and(|at| at > pulse.received_at);
        let since_ping = pulse.pinged_at.map_or(interval, |at| now.since(at));
        let ping = (silence >= config.ping_after && !asked) || since_ping >= interval;
        if ping {
            pulse.ping_due = true;
            pulse.pinged_at = Some(now);
        }
        let asked = pulse.pinged_at.is_some_and(|at| at > pulse.received_at);
        let pinged_at = pulse.pinged_at.unwrap_or(now);
        let ping_at = pinged_at + interval;
        let next = if asked && is_read {
            // Something may be received meanwhile: silence counts from there again.
            let dead_at = (pulse.received_at + config.dead_after + pulse.unread).min(ping_at);
            let again = pinged_at + config.ping_after;
            if again > now {
                dead_at.min(again)
            } else {
                dead_at
            }
        } else if asked {
            ping_at
        } else {
            (pulse.received_at + config.ping_after).min(ping_at)
        };
        Silence::Until {
            at: next.max(now + Duration::from_nanos(1)),
            ping,
        }
    }
}

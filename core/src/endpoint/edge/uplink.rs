//! The way to one POP: connect, greet, resume, and when to try again.

use super::EdgeDesk;
use crate::arena::{CarrierId, TunnelId, UplinkId};
use crate::endpoint::engine::{Engine, Life, Lost};
use crate::endpoint::hello::{own_limits, peer_limits};
use crate::endpoint::{EdgeEvent, EdgeRole, EdgeTimer, Endpoint};
use crate::mark::{self, Mark};
use crate::time::{Duration, Instant};
use crate::timer::{Armed, Timer};
use crate::tunnel::proof::{Claim, prove};
use crate::tunnel::{Identity, Peer, Tunnel};
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use titan_proto::wire::command::Action;
use titan_proto::{Code, Frame, limits, wire};

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

/// Who is at the other end of a carrier: the way to the POP, and the tunnel to be resumed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    uplink: UplinkId,
    resume: Option<TunnelId>,
}

/// The edge's part of a tunnel.
#[derive(Debug)]
pub(crate) struct Link {
    uplink: UplinkId,
    /// The latest STATUS not sent yet.
    status: Option<wire::Status>,
}

impl Link {
    /// Has the POP told how much this edge takes on.
    pub(super) const fn report(&mut self, status: wire::Status) {
        self.status = Some(status);
    }
}

impl Peer for Link {
    fn next_order(&mut self) -> Option<Frame> {
        None
    }

    fn has_order(&self) -> bool {
        false
    }

    fn next_notice(&mut self) -> Option<Frame> {
        self.status.take().map(Frame::Status)
    }

    fn has_notice(&self) -> bool {
        self.status.is_some()
    }

    fn leaves_at(&self) -> Option<Instant> {
        None
    }
}

impl Uplink {
    pub(super) const fn timer(&self) -> Armed {
        self.timer
    }
}

impl Endpoint<EdgeRole> {
    /// Adds a POP to hold a tunnel to. [`EdgeEvent::Connect`] follows at once.
    pub fn add_uplink(&mut self, now: Instant) -> UplinkId {
        self.enter(now);
        let id = self.role.uplinks.insert(Uplink {
            state: State::Waiting,
            tunnel: None,
            resume_address: String::new(),
            failures: 0,
            hint: Duration::ZERO,
            retiring: false,
            timer: None,
        });
        self.role.connect(&mut self.engine, id);
        id
    }

    /// Lets an uplink go with its tunnel: as long as that lives it is kept and resumed, and then the
    /// uplink is gone ([`EdgeEvent::UplinkGone`]) instead of starting anew; without a tunnel at once.
    /// False if it was to go already.
    pub fn retire_uplink(&mut self, now: Instant, uplink: UplinkId) -> bool {
        let now = self.enter(now);
        let retired = self.role.retire(&mut self.engine, now, uplink);
        self.leave(now);
        retired
    }

    /// Returns the uplinks that go with their tunnels.
    #[must_use]
    pub fn retiring(&self) -> Vec<UplinkId> {
        let retiring = self
            .role
            .uplinks
            .iter()
            .filter(|(_, uplink)| uplink.retiring);
        retiring.map(|(id, _)| id).collect()
    }

    /// Takes the carrier that was connected for an uplink. `nonce` is the POP's answer to its
    /// upgrade.
    pub fn handle_connected(
        &mut self,
        now: Instant,
        uplink: UplinkId,
        nonce: [u8; 16],
        encrypted: bool,
    ) -> Option<CarrierId> {
        let now = self.enter(now);
        let id = self
            .role
            .connected(&mut self.engine, now, uplink, nonce, encrypted);
        self.leave(now);
        id
    }

    /// Notes that an uplink could not be connected, and what wait the other side asked for.
    pub fn handle_connect_failed(&mut self, now: Instant, uplink: UplinkId, retry: Duration) {
        let now = self.enter(now);
        if let Some(state) = self.role.uplinks.get_mut(uplink)
            && state.state == State::Connecting
        {
            state.hint = state.hint.max(retry);
            self.role.retry(&mut self.engine, now, uplink);
        }
        self.leave(now);
    }

    /// Returns where the uplink's POP asked to be resumed; `None` if there is nothing to resume.
    #[must_use]
    pub fn resume_address(&self, uplink: UplinkId) -> Option<&str> {
        let uplink = self.role.uplinks.get(uplink)?;
        uplink.tunnel.map(|_| &*uplink.resume_address)
    }

    /// Tells whether the uplink's tunnel stands now.
    #[must_use]
    pub fn is_attached(&self, uplink: UplinkId) -> bool {
        self.role
            .uplinks
            .get(uplink)
            .and_then(|uplink| self.engine.tunnels.get(uplink.tunnel?))
            .is_some_and(|tunnel| tunnel.carrier().is_some())
    }
}

impl EdgeRole {
    /// Asks the driver to connect.
    pub(super) fn connect(&mut self, engine: &mut Engine<EdgeDesk>, id: UplinkId) {
        let Some(uplink) = self.uplinks.get_mut(id) else {
            return;
        };
        uplink.timer = None;
        if uplink.state == State::Waiting && engine.life != Life::Gone {
            uplink.state = State::Connecting;
            engine.agenda.tell(EdgeEvent::Connect { uplink: id });
        }
    }

    /// Greets the POP over a new carrier.
    fn connected(
        &mut self,
        engine: &mut Engine<EdgeDesk>,
        now: Instant,
        id: UplinkId,
        nonce: [u8; 16],
        encrypted: bool,
    ) -> Option<CarrierId> {
        let resume_allowed = encrypted || engine.config.resume_over_plaintext;
        let uplink = self.uplinks.get_mut(id)?;
        if uplink.state != State::Connecting {
            return None;
        }
        if !resume_allowed && let Some(tunnel) = uplink.tunnel.take() {
            engine.end_tunnel(now, tunnel, Code::ResumeRefused, Duration::ZERO);
            if uplink.retiring {
                return None;
            }
        }
        self.attempt += 1;
        let (epoch, attempt) = (self.epoch, self.attempt);
        let resume = uplink.tunnel;
        let mut hello = wire::Hello {
            version: limits::VERSION,
            epoch,
            attempt,
            limits: Some(own_limits(&engine.config)),
            ..wire::Hello::default()
        };
        if let Some(tunnel) = resume.and_then(|tunnel| engine.tunnels.get(tunnel)) {
            let claim = Claim {
                nonce,
                tunnel: tunnel.wire(),
                epoch,
                attempt,
            };
            hello.tunnel = tunnel.wire();
            hello.received = tunnel.received();
            hello.proof = Bytes::copy_from_slice(&prove(tunnel.key(), claim));
        }
        let call = Call { uplink: id, resume };
        let carrier_id = engine.add_carrier(now, call, nonce, encrypted);
        if let Some(carrier) = engine.carriers.get_mut(carrier_id) {
            carrier.greet(hello);
        }
        engine.call_carrier(carrier_id);
        if let Some(uplink) = self.uplinks.get_mut(id) {
            uplink.state = State::Connected(carrier_id);
        }
        Some(carrier_id)
    }

    /// Applies the POP's HELLO.
    pub(super) fn greeted(
        &mut self,
        engine: &mut Engine<EdgeDesk>,
        now: Instant,
        carrier_id: CarrierId,
        hello: &wire::Hello,
    ) -> Result<(), Code> {
        let Some(carrier) = engine.carriers.get(carrier_id) else {
            return Ok(());
        };
        let Call { uplink: id, resume } = *carrier.caller();
        if hello.version != limits::VERSION {
            return Err(Code::VersionUnsupported);
        }
        let key: [u8; 32] = (*hello.resume_key)
            .try_into()
            .map_err(|_| Code::Malformed)?;
        let peer = peer_limits(hello)?;
        let tunnel_id = match resume {
            Some(tunnel_id) => {
                let Some(agreed) = engine.change_tunnel(tunnel_id, |tunnel| {
                    let agreed =
                        hello.tunnel == tunnel.wire() && hello.next == tunnel.received() + 1;
                    agreed && tunnel.rewind(hello.received).is_ok()
                }) else {
                    // The grace time ran out while the answer was on its way: nobody's fault.
                    mark::hit(Mark::ResumeTooLate);
                    engine.dismiss(now, carrier_id, Code::ResumeRefused, Duration::ZERO);
                    return Ok(());
                };
                if !agreed {
                    mark::hit(Mark::Desync);
                    engine.end_tunnel(now, tunnel_id, Code::Desync, Duration::ZERO);
                    return Err(Code::Desync);
                }
                engine.counters.resumes += 1;
                tunnel_id
            }
            None => {
                if hello.tunnel == 0 || hello.received != 0 || hello.next != 1 {
                    return Err(Code::Desync);
                }
                let wire = hello.tunnel;
                let link = Link {
                    uplink: id,
                    status: None,
                };
                let resend_max = engine.config.resend_max;
                let until = now + engine.config.grace;
                let identity = Identity { wire, key };
                engine
                    .tunnels
                    .insert(Tunnel::new(identity, link, peer, resend_max, until))
            }
        };
        engine.attach(now, tunnel_id, carrier_id);
        let status = self.status;
        engine.change_tunnel(tunnel_id, |tunnel| {
            tunnel.rekey(key);
            if tunnel.has_replay() {
                mark::hit(Mark::ResumeLossUp);
            }
            // The first acknowledgement tells the POP that its HELLO arrived.
            tunnel.ack_now();
            tunnel.peer_mut().status = status;
        });
        if let Some(uplink) = self.uplinks.get_mut(id) {
            uplink.tunnel = Some(tunnel_id);
            uplink.failures = 0;
            uplink.hint = Duration::ZERO;
            uplink.resume_address.clone_from(&hello.resume_address);
        }
        engine.agenda.tell(EdgeEvent::UplinkAttached {
            uplink: id,
            resumed: resume.is_some(),
        });
        Ok(())
    }

    /// Applies the POP's BYE.
    pub(super) fn dismissed(
        &mut self,
        engine: &mut Engine<EdgeDesk>,
        now: Instant,
        carrier: CarrierId,
        bye: &wire::Bye,
    ) {
        let code = Code::from_wire(bye.code);
        if let Some(id) = self.uplink_of(engine, carrier)
            && let Some(uplink) = self.uplinks.get_mut(id)
        {
            uplink.hint = Duration::from_millis(bye.retry_after_ms);
            if matches!(code, Code::ResumeRefused | Code::DuplicateNode) {
                // The POP is there: nothing speaks for waiting longer than it says.
                uplink.failures = 0;
            }
            if !code.is_of_carrier()
                && let Some(tunnel) = uplink.tunnel.take()
            {
                engine.end_tunnel(now, tunnel, code, Duration::ZERO);
            }
        }
        engine.dismiss(now, carrier, code, Duration::ZERO);
    }

    /// Obeys an order, and hands it to the driver.
    pub(super) fn ordered(
        &mut self,
        engine: &mut Engine<EdgeDesk>,
        now: Instant,
        carrier: CarrierId,
        command: wire::Command,
    ) {
        let Some(uplink) = self.uplink_of(engine, carrier) else {
            return;
        };
        match command.action() {
            Action::Kick => self.kicked(engine, now, uplink, &command),
            Action::Rate => {
                if let Some(tunnel) = engine.tunnel_on(carrier) {
                    let rate = command.download_rate;
                    engine.change_tunnel(tunnel, |tunnel| tunnel.limit_rate(now, rate));
                }
            }
            // What there is to do is up to the driver.
            Action::None | Action::Drain => {}
        }
        engine.agenda.tell(EdgeEvent::Command { uplink, command });
    }

    /// Obeys a POP that has the node go: whether its BYE still comes does not matter any more.
    fn kicked(
        &mut self,
        engine: &mut Engine<EdgeDesk>,
        now: Instant,
        uplink: UplinkId,
        command: &wire::Command,
    ) {
        let code = match Code::from_wire(command.code) {
            code if code.is_of_operator() => code,
            _ => Code::Kicked,
        };
        let Some(uplink) = self.uplinks.get_mut(uplink) else {
            return;
        };
        uplink.hint = Duration::from_millis(command.retry_after_ms);
        if let Some(tunnel) = uplink.tunnel.take() {
            engine.end_tunnel(now, tunnel, code, Duration::ZERO);
        }
    }

    pub(super) fn uplink_of(
        &self,
        engine: &Engine<EdgeDesk>,
        carrier: CarrierId,
    ) -> Option<UplinkId> {
        Some(engine.carriers.get(carrier)?.caller().uplink)
    }

    /// Handles the loss of a carrier.
    pub(super) fn carrier_lost(
        &mut self,
        engine: &mut Engine<EdgeDesk>,
        now: Instant,
        lost: &Lost<Call>,
    ) {
        let id = lost.caller.uplink;
        let Some(uplink) = self.uplinks.get_mut(id) else {
            return;
        };
        if uplink.state != State::Connected(lost.carrier) {
            return;
        }
        engine.agenda.tell(EdgeEvent::UplinkDetached {
            uplink: id,
            code: lost.code,
        });
        self.retry(engine, now, id);
    }

    pub(super) fn tunnel_gone(
        &mut self,
        engine: &mut Engine<EdgeDesk>,
        now: Instant,
        tunnel_id: TunnelId,
        tunnel: &Tunnel<Link>,
    ) {
        let id = tunnel.peer().uplink;
        let Some(uplink) = self.uplinks.get_mut(id) else {
            return;
        };
        if uplink.tunnel == Some(tunnel_id) {
            uplink.tunnel = None;
        }
        if uplink.retiring && uplink.tunnel.is_none() {
            self.remove(engine, now, id);
        }
    }

    pub(super) fn retire_all(&mut self, engine: &mut Engine<EdgeDesk>, now: Instant) {
        for id in self.uplinks.keys() {
            self.retire(engine, now, id);
        }
    }

    fn retire(&mut self, engine: &mut Engine<EdgeDesk>, now: Instant, id: UplinkId) -> bool {
        let Some(uplink) = self.uplinks.get_mut(id) else {
            return false;
        };
        if core::mem::replace(&mut uplink.retiring, true) {
            return false;
        }
        if uplink.tunnel.is_none() {
            self.remove(engine, now, id);
        }
        true
    }

    /// Forgets an uplink that has no tunnel.
    fn remove(&mut self, engine: &mut Engine<EdgeDesk>, now: Instant, id: UplinkId) {
        let Some(mut uplink) = self.uplinks.remove(id) else {
            return;
        };
        let timers = &mut engine.agenda.timers;
        timers.arm(timer(id), &mut uplink.timer, None);
        if let State::Connected(carrier) = uplink.state {
            engine.dismiss(now, carrier, Code::ShuttingDown, Duration::ZERO);
        }
        engine.agenda.tell(EdgeEvent::UplinkGone { uplink: id });
        // Whoever still looks for a POP looks at once: nothing else is left, and the one that went may
        // be back.
        for other in self.uplinks.keys() {
            if let Some(uplink) = self.uplinks.get_mut(other)
                && uplink.state == State::Waiting
                && uplink.tunnel.is_none()
            {
                uplink.failures = 0;
                self.retry(engine, now, other);
            }
        }
    }

    /// Sets the time of the next attempt.
    fn retry(&mut self, engine: &mut Engine<EdgeDesk>, now: Instant, id: UplinkId) {
        let Some(uplink) = self.uplinks.get_mut(id) else {
            return;
        };
        uplink.state = State::Waiting;
        let resumable = uplink
            .tunnel
            .is_some_and(|tunnel| engine.tunnels.get(tunnel).is_some());
        let limit = if uplink.failures == 0 {
            FIRST_JITTER
        } else {
            let cap = if resumable {
                RESUMABLE_WAIT_MAX
            } else {
                WAIT_MAX
            };
            (FIRST_JITTER * 2u32.saturating_pow(uplink.failures.min(16))).min(cap)
        };
        uplink.failures = uplink.failures.saturating_add(1);
        let hint = core::mem::take(&mut uplink.hint).min(HINT_MAX);
        if hint > Duration::ZERO {
            mark::hit(Mark::RetryHonoured);
        }
        // Whoever was sent away together does not come back together.
        let spread = limit.max(hint / 8);
        let wait = (hint + engine.rng.jitter(spread)).min(HINT_MAX);
        let timers = &mut engine.agenda.timers;
        timers.arm(timer(id), &mut uplink.timer, Some(now + wait));
    }
}

const fn timer(uplink: UplinkId) -> Timer<EdgeTimer> {
    Timer::Role(EdgeTimer::Uplink(uplink))
}

//! Reaching a POP: when an uplink is connected, and when it goes.

use super::EdgeRole;
use super::desk::EdgeDesk;
use super::link::{Call, Link};
use super::uplink::Uplink;
use crate::arena::{CarrierId, TunnelId, UplinkId};
use crate::endpoint::engine::{Engine, Life, Lost};
use crate::endpoint::event::{EdgeEvent, EdgeTimer};
use crate::endpoint::machine::Endpoint;
use crate::time::{Duration, Instant};
use crate::timer::Timer;
use crate::tunnel::Tunnel;
use alloc::vec::Vec;
use titan_proto::Code;

impl Endpoint<EdgeRole> {
    /// Adds a POP to hold a tunnel to. [`EdgeEvent::Connect`] follows at once.
    pub fn add_uplink(&mut self, now: Instant) -> UplinkId {
        self.enter(now);
        let id = self.role.uplinks.insert(Uplink::new());
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
            .filter(|(_, uplink)| uplink.is_retiring());
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
        if let Some(connecting) = self.role.uplinks.get_mut(uplink)
            && connecting.is_connecting()
        {
            connecting.wait_longer(retry);
            self.role.retry(&mut self.engine, now, uplink);
        }
        self.leave(now);
    }

    /// Returns where the uplink's POP asked to be resumed; `None` if there is nothing to resume.
    #[must_use]
    pub fn resume_address(&self, uplink: UplinkId) -> Option<&str> {
        self.role.uplinks.get(uplink)?.resume_address()
    }

    /// Tells whether the uplink's tunnel stands now.
    #[must_use]
    pub fn is_attached(&self, uplink: UplinkId) -> bool {
        self.role
            .uplinks
            .get(uplink)
            .and_then(|uplink| self.engine.tunnels.get(uplink.tunnel()?))
            .is_some_and(|tunnel| tunnel.carrier().is_some())
    }
}

impl EdgeRole {
    /// Asks the driver to connect.
    pub(super) fn connect(&mut self, engine: &mut Engine<EdgeDesk>, id: UplinkId) {
        let Some(uplink) = self.uplinks.get_mut(id) else {
            return;
        };
        *uplink.timer_mut() = None;
        if engine.life != Life::Gone && uplink.connect() {
            engine.agenda.tell(EdgeEvent::Connect { uplink: id });
        }
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
        if uplink.carrier() != Some(lost.carrier) {
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
        uplink.forget_tunnel(tunnel_id);
        if uplink.is_retiring() && uplink.tunnel().is_none() {
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
        if !uplink.retire() {
            return false;
        }
        if uplink.tunnel().is_none() {
            self.remove(engine, now, id);
        }
        true
    }

    /// Forbids what POPs see this edge come from. Each speaks for its own uplink, so that none takes back
    /// what another has seen.
    pub(super) fn heed_observers(&mut self) {
        let uplinks = self.uplinks.iter();
        let observed = uplinks.flat_map(|(_, uplink)| uplink.observed());
        self.guard.set_observed(observed.collect());
    }

    /// Forgets an uplink that has no tunnel.
    fn remove(&mut self, engine: &mut Engine<EdgeDesk>, now: Instant, id: UplinkId) {
        let Some(mut uplink) = self.uplinks.remove(id) else {
            return;
        };
        let timers = &mut engine.agenda.timers;
        timers.arm(timer(id), uplink.timer_mut(), None);
        if let Some(carrier) = uplink.carrier() {
            engine.dismiss(now, carrier, Code::ShuttingDown, Duration::ZERO);
        }
        self.heed_observers();
        engine.agenda.tell(EdgeEvent::UplinkGone { uplink: id });
        // Whoever still looks for a POP looks at once: nothing else is left, and the one that went may
        // be back.
        for other in self.uplinks.keys() {
            if let Some(uplink) = self.uplinks.get_mut(other)
                && uplink.is_searching()
            {
                uplink.forgive();
                self.retry(engine, now, other);
            }
        }
    }

    /// Sets the time of the next attempt.
    fn retry(&mut self, engine: &mut Engine<EdgeDesk>, now: Instant, id: UplinkId) {
        let Some(uplink) = self.uplinks.get_mut(id) else {
            return;
        };
        let resumable = uplink
            .tunnel()
            .is_some_and(|tunnel| engine.tunnels.get(tunnel).is_some());
        let wait = uplink.wait(resumable, &mut engine.rng);
        let timers = &mut engine.agenda.timers;
        timers.arm(timer(id), uplink.timer_mut(), Some(now + wait));
    }
}

const fn timer(uplink: UplinkId) -> Timer<EdgeTimer> {
    Timer::Role(EdgeTimer::Uplink(uplink))
}

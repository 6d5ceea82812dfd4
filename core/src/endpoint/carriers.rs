//! Carriers come and go, and tunnels end.

use super::desk::Desk;
use super::engine::{Engine, Lost};
use crate::arena::{CarrierId, SessionId, TunnelId};
use crate::carrier::{Carrier, CarrierState};
use crate::mark::{self, Mark};
use crate::planted::{self, Planted};
use crate::session::CloseMode;
use crate::time::{Duration, Instant};
use crate::timer::Timer;
use alloc::vec::Vec;
use titan_proto::Code;

/// How long a carrier that says goodbye may take to send it.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(5);

impl<D: Desk> Engine<D> {
    pub(super) fn add_carrier(
        &mut self,
        now: Instant,
        caller: D::Caller,
        nonce: [u8; 16],
        encrypted: bool,
    ) -> CarrierId {
        let carrier = Carrier::new(now, caller, nonce, encrypted);
        let id = self.carriers.insert(carrier);
        self.arm_carrier(id, now + self.config.hello_timeout);
        id
    }

    pub(super) fn arm_carrier(&mut self, id: CarrierId, at: Instant) {
        if let Some(carrier) = self.carriers.get_mut(id) {
            let timers = &mut self.agenda.timers;
            timers.arm(Timer::Carrier(id), carrier.timer_mut(), Some(at));
        }
    }

    /// Forgets a carrier and its deadline.
    pub(super) fn remove_carrier(&mut self, id: CarrierId) -> Option<Carrier<D::Caller>> {
        let mut carrier = self.carriers.remove(id)?;
        let timers = &mut self.agenda.timers;
        timers.arm(Timer::Carrier(id), carrier.timer_mut(), None);
        Some(carrier)
    }

    /// Returns the tunnel that a carrier bears.
    pub(super) fn tunnel_on(&self, carrier: CarrierId) -> Option<TunnelId> {
        self.carriers.get(carrier)?.tunnel()
    }

    /// Lets `carrier` bear `tunnel`; whatever bore it is stopped for good.
    pub(super) fn attach(&mut self, now: Instant, id: TunnelId, carrier_id: CarrierId) {
        if planted::on(Planted::EndLostAtResume) {
            self.lose_ends(id);
        }
        let Some(old) = self.change_tunnel(id, |tunnel| tunnel.attach(carrier_id)) else {
            return;
        };
        if let Some(old) = old {
            mark::hit(Mark::ResumeOverLive);
            if !planted::on(Planted::StaleCarrier) {
                if let Some(old) = self.carriers.get_mut(old) {
                    // Not lost: the tunnel has moved.
                    old.unload();
                }
                self.dismiss(now, old, Code::Replaced, Duration::ZERO);
            }
        }
        if let Some(carrier) = self.carriers.get_mut(carrier_id) {
            carrier.bear(now, id);
        }
        self.arm_carrier(carrier_id, now + self.config.ping_after);
        self.call_carrier(carrier_id);
    }

    /// Brings what a tunnel keeps for resending up to what its peer has received, before another carrier
    /// bears it. Nothing if it is gone.
    pub(super) fn rewind(&mut self, id: TunnelId, received: u64) -> Option<bool> {
        let tunnel = self.tunnels.get_mut(id)?;
        let agreed = tunnel.rewind(received, &mut self.memory).is_ok();
        self.follow_tunnel(id);
        Some(agreed)
    }

    /// Ends a carrier on purpose: BYE, then close. The tunnel it bore is detached.
    pub(super) fn dismiss(&mut self, now: Instant, id: CarrierId, code: Code, retry: Duration) {
        let Some(carrier) = self.carriers.get_mut(id) else {
            return;
        };
        let Some(state) = carrier.close(code, retry) else {
            return;
        };
        let caller = carrier.caller().clone();
        self.arm_carrier(id, now + FAREWELL_TIMEOUT);
        self.call_carrier(id);
        self.lose(now, id, state, caller, code);
    }

    /// Forgets a carrier whose connection is gone.
    pub(super) fn forget_carrier(&mut self, now: Instant, id: CarrierId, code: Code) {
        if let Some(carrier) = self.remove_carrier(id) {
            self.lose(now, id, carrier.state(), carrier.caller().clone(), code);
        }
    }

    fn lose(
        &mut self,
        now: Instant,
        carrier: CarrierId,
        state: CarrierState,
        caller: D::Caller,
        code: Code,
    ) {
        let tunnel = match state {
            CarrierState::Closing(_) => return,
            CarrierState::Bearing(tunnel) if self.detach(now, tunnel) => Some(tunnel),
            CarrierState::Bearing(_) | CarrierState::Greeting => None,
        };
        self.lost.push_back(Lost {
            carrier,
            caller,
            tunnel,
            code,
        });
    }

    fn detach(&mut self, now: Instant, id: TunnelId) -> bool {
        let until = now + self.config.grace;
        if mark::COUNTED
            && let Some(tunnel) = self.tunnels.get(id)
            && let mut sessions = tunnel.session_ids().filter_map(|id| self.sessions.get(id))
            && sessions.any(|session| session.lacks_credit())
        {
            mark::hit(Mark::NoCreditAtCut);
        }
        self.change_tunnel(id, |tunnel| tunnel.detach(until))
            .is_some()
    }

    /// Ends a tunnel because its node is to go, and orders that on the carrier, as its last frame.
    pub(super) fn kick(&mut self, now: Instant, id: TunnelId, code: Code, retry: Duration) {
        let carrier = self.tunnels.get(id).and_then(|tunnel| tunnel.carrier());
        // Nothing numbered goes before HELLO. BYE says the same then.
        let greeted = carrier
            .and_then(|carrier| self.carriers.get(carrier))
            .is_some_and(|carrier| !carrier.is_unanswered());
        self.end_tunnel(now, id, code, retry);
        if greeted && let Some(carrier) = carrier.and_then(|id| self.carriers.get_mut(id)) {
            carrier.order_off();
        }
    }

    /// Ends a tunnel with all its sessions, except dials that the role takes over.
    pub(super) fn end_tunnel(&mut self, now: Instant, id: TunnelId, code: Code, retry: Duration) {
        let Some(mut tunnel) = self.tunnels.remove(id) else {
            return;
        };
        let timers = &mut self.agenda.timers;
        timers.arm(Timer::Tunnel(id), tunnel.timer_mut(), None);
        tunnel.uncount(&mut self.memory, &mut self.owing);
        if let Some(since) = tunnel.scarce() {
            self.scarce.remove(&(since, id));
        }
        if let Some(carrier) = tunnel.carrier() {
            self.dismiss(now, carrier, code, retry);
        }
        let lost = if code.is_of_operator() {
            Code::Kicked
        } else {
            Code::TunnelLost
        };
        let deadline = self.rest_deadline(now);
        let sessions: Vec<SessionId> = tunnel.session_ids().collect();
        for session_id in sessions {
            let Some(session) = self.sessions.get_mut(session_id) else {
                continue;
            };
            session.cut_adrift();
            if session.survives_tunnel() {
                // The socket gets the rest.
                session.end(Code::Ok, CloseMode::Flush, deadline);
            } else if session.is_dialling() && self.desk.adopt(session_id, lost) {
                continue;
            } else {
                session.end(lost, CloseMode::Abort, deadline);
            }
            self.follow(now, session_id);
        }
        self.gone.push_back((id, tunnel, code));
    }

    /// Ends whatever a faulty peer reached us by.
    pub(super) fn fault(&mut self, now: Instant, id: CarrierId, code: Code) {
        self.counters.faults += 1;
        match self.carriers.get(id).map(Carrier::state) {
            Some(CarrierState::Bearing(tunnel)) => {
                self.end_tunnel(now, tunnel, code, Duration::ZERO);
            }
            Some(CarrierState::Greeting) => self.dismiss(now, id, code, Duration::ZERO),
            Some(CarrierState::Closing(_)) | None => {}
        }
    }
}

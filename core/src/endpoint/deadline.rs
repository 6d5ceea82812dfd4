//! What happens because time passed.

use super::desk::Desk;
use super::engine::Engine;
use super::event::Event;
use crate::arena::{CarrierId, SessionId, TunnelId};
use crate::carrier::{CarrierState, Silence};
use crate::mark::{self, Mark};
use crate::time::{Duration, Instant};
use crate::timer::Timer;
use titan_proto::Code;

/// How long to wait for a word of a peer that acknowledges nothing, before it is judged again.
const LISTEN_AGAIN: Duration = Duration::from_secs(1);

/// What the role has to do about a deadline.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Overdue<T> {
    Nothing,
    /// A dial took too long.
    Dial(SessionId),
    /// A deadline of the role itself.
    Role(T),
}

impl<D: Desk> Engine<D> {
    /// Handles the earliest due timer; `None` when none is due.
    pub(super) fn expire(&mut self, now: Instant) -> Option<Overdue<D::Timer>> {
        match self.agenda.timers.pop_due(now)? {
            Timer::Carrier(id) => self.expire_carrier(now, id),
            Timer::Tunnel(id) => self.expire_tunnel(now, id),
            Timer::Session(id) => return Some(self.expire_session(now, id)),
            Timer::Role(timer) => return Some(Overdue::Role(timer)),
            Timer::Memory => {
                self.memory_timer = None;
                self.tend(now);
            }
        }
        Some(Overdue::Nothing)
    }

    fn expire_carrier(&mut self, now: Instant, id: CarrierId) {
        self.excuse(now, id);
        let deaf = self.hearing.is_deaf();
        let Some(carrier) = self.carriers.get_mut(id) else {
            return;
        };
        *carrier.timer_mut() = None;
        match carrier.state() {
            CarrierState::Closing(farewell) => {
                // Its connection does not even take a goodbye.
                mark::hit(Mark::Severed);
                self.carriers.remove(id);
                self.sever(id, farewell.code);
            }
            CarrierState::Greeting => {
                mark::hit(Mark::HelloTimeout);
                self.dismiss(now, id, Code::HelloTimeout, Duration::ZERO);
            }
            CarrierState::Bearing(_) => match carrier.listen(now, &self.config, deaf) {
                Silence::Dead => {
                    mark::hit(Mark::Silent);
                    self.forget_carrier(now, id, Code::Silent);
                    self.sever(id, Code::Silent);
                }
                Silence::Until { at, ping } => {
                    if ping {
                        self.call_carrier(id);
                    }
                    self.arm_carrier(id, at);
                }
            },
        }
    }

    fn sever(&mut self, carrier: CarrierId, code: Code) {
        self.agenda.events.push_back(Event::Sever { carrier, code });
    }

    fn expire_tunnel(&mut self, now: Instant, id: TunnelId) {
        let Some(tunnel) = self.tunnels.get_mut(id) else {
            return;
        };
        *tunnel.timer_mut() = None;
        if let Some(carrier) = tunnel.carrier() {
            self.excuse(now, carrier);
        }
        let Some(tunnel) = self.tunnels.get_mut(id) else {
            return;
        };
        if tunnel.bearing().is_over(now) {
            mark::hit(Mark::GraceExpired);
            self.end_tunnel(now, id, Code::TunnelLost, Duration::ZERO);
            return;
        }
        if tunnel.leaves_at().is_some_and(|until| until <= now) {
            mark::hit(Mark::SentAwayLate);
            self.kick(now, id, Code::Migrated, Duration::ZERO);
            return;
        }
        if self.withholds(now, id) {
            mark::hit(Mark::AckWithheld);
            self.end_tunnel(now, id, Code::AckWithheld, Duration::ZERO);
            return;
        }
        let Some(tunnel) = self.tunnels.get_mut(id) else {
            return;
        };
        tunnel.unpause(now);
        tunnel.ack_overdue(now);
        if tunnel.bearing_mut().is_stalled(now) {
            mark::hit(Mark::CarrierFull);
            let event = Event::CarrierFull { tunnel: id };
            self.agenda.events.push_back(event);
        }
        self.follow_tunnel(id);
    }

    /// Tells whether a peer is to be cut off that acknowledges nothing: DATA waits for that, or what is
    /// kept for it others need. Who says nothing at all has lost its carrier, not its tunnel; but nobody
    /// keeps what others need by a word now and then or by coming back.
    fn withholds(&mut self, now: Instant, id: TunnelId) -> bool {
        let Some(tunnel) = self.tunnels.get_mut(id) else {
            return false;
        };
        if tunnel.is_in_arrears(now, &self.config) {
            if self.memory.is_resend_short() {
                return true;
            }
            tunnel.defer(now + self.config.dead_after, &self.config);
        }
        let withheld = tunnel.bearing().is_withheld(now, &self.config);
        if !withheld && !tunnel.bearing().is_overdue(now, &self.config) {
            return false;
        }
        let carrier = tunnel.carrier().and_then(|id| self.carriers.get(id));
        if !carrier.is_some_and(|carrier| carrier.was_heard(now, &self.config)) {
            tunnel.bearing_mut().put_off(LISTEN_AGAIN);
        } else if withheld || self.memory.is_resend_short() {
            return true;
        } else {
            tunnel.await_anew(now);
        }
        false
    }

    fn expire_session(&mut self, now: Instant, id: SessionId) -> Overdue<D::Timer> {
        let again = self.rest_deadline(now);
        let idle_half_closed = self.config.idle_half_closed;
        let Some(session) = self.sessions.get_mut(id) else {
            return Overdue::Nothing;
        };
        *session.timer_mut() = None;
        if session.rests_at().is_some_and(|at| at <= now) {
            session.rest(&self.config, &mut self.memory);
        }
        if session.due_at(&self.config).is_some_and(|due| due <= now) {
            // The rest of a closed session that waits for its group's allowance and not for a socket may
            // do so for as long as a half-closed session may stand still.
            let closed = session.is_ended() || session.closing().is_some();
            let still = now.since(session.moved_at());
            if closed && still < idle_half_closed && D::is_held_up(session) {
                session.prolong(again);
            } else if session.is_dialling() {
                return Overdue::Dial(id);
            } else {
                session.be_late(again);
            }
        }
        self.follow(now, id);
        Overdue::Nothing
    }
}

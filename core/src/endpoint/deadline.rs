//! What happens because time passed.

use super::engine::Engine;
use super::event::Event;
use crate::arena::{CarrierId, SessionId, TunnelId};
use crate::carrier::CarrierState;
use crate::config::{PING_INTERVAL, STALL_AFTER};
use crate::mark::{self, Mark};
use crate::session::{Phase, Side};
use crate::time::{Duration, Instant};
use crate::timer::Timer;
use crate::tunnel::{AckState, Stall};
use titan_proto::Code;

/// What the role has to do about a deadline.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Overdue {
    Nothing,
    /// A POP's session got no reply in time.
    Dial(SessionId),
    /// An edge's uplink is to be connected.
    Uplink(crate::arena::UplinkId),
    /// Leases were idle for long enough.
    Leases,
}

impl Engine {
    /// Handles the earliest due timer; `None` when none is due.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<Overdue> {
        let timer = self.timers.pop_due(now)?;
        Some(match timer {
            Timer::Carrier(id) => {
                self.expire_carrier(now, id);
                Overdue::Nothing
            }
            Timer::Tunnel(id) => {
                self.expire_tunnel(now, id);
                Overdue::Nothing
            }
            Timer::Session(id) => self.expire_session(now, id),
            Timer::Uplink(id) => Overdue::Uplink(id),
            Timer::Group(group) => {
                self.expire_group(now, group);
                Overdue::Nothing
            }
            Timer::Leases => {
                self.lease_timer = None;
                Overdue::Leases
            }
            Timer::Memory => {
                self.memory_timer = None;
                self.relieve(now);
                Overdue::Nothing
            }
        })
    }

    fn expire_carrier(&mut self, now: Instant, id: CarrierId) {
        let (ping_after, dead_after) = (self.config.ping_after, self.config.dead_after);
        let Some(carrier) = self.carriers.get_mut(id) else {
            return;
        };
        carrier.timer = None;
        match carrier.state {
            CarrierState::Closing(farewell) => {
                // Its connection does not even take a goodbye.
                mark::hit(Mark::Severed);
                self.carriers.remove(id);
                self.events.push_back(Event::Sever {
                    carrier: id,
                    code: farewell.code,
                });
            }
            CarrierState::Greeting => {
                mark::hit(Mark::HelloTimeout);
                self.dismiss(now, id, Code::HelloTimeout, Duration::ZERO);
            }
            CarrierState::Bearing(_) => {
                let silence = now.since(carrier.received_at);
                if silence >= dead_after {
                    mark::hit(Mark::Silent);
                    self.forget_carrier(now, id, Code::Silent);
                    self.events.push_back(Event::Sever {
                        carrier: id,
                        code: Code::Silent,
                    });
                    return;
                }
                let asked = carrier.pinged_at.is_some_and(|at| at > carrier.received_at);
                let since_ping = carrier.pinged_at.map_or(PING_INTERVAL, |at| now.since(at));
                if (silence >= ping_after && !asked) || since_ping >= PING_INTERVAL {
                    carrier.ping_due = true;
                    carrier.pinged_at = Some(now);
                    self.mark_carrier(id);
                }
                let Some(carrier) = self.carriers.get(id) else {
                    return;
                };
                let asked = carrier.pinged_at.is_some_and(|at| at > carrier.received_at);
                let ping_at = carrier.pinged_at.unwrap_or(now) + PING_INTERVAL;
                let next = if asked {
                    // Something may be received meanwhile: silence counts from there again.
                    let dead_at = (carrier.received_at + dead_after).min(ping_at);
                    let again = carrier.pinged_at.unwrap_or(now) + ping_after;
                    if again > now {
                        dead_at.min(again)
                    } else {
                        dead_at
                    }
                } else {
                    (carrier.received_at + ping_after).min(ping_at)
                };
                self.arm_carrier(id, next.max(now + Duration::from_nanos(1)));
            }
        }
    }

    fn expire_tunnel(&mut self, now: Instant, id: TunnelId) {
        let dead_after = self.config.dead_after;
        let Some(tunnel) = self.tunnels.get_mut(id) else {
            return;
        };
        tunnel.timer = None;
        if tunnel.grace_until.is_some_and(|until| until <= now) {
            mark::hit(Mark::GraceExpired);
            self.end_tunnel(now, id, Code::TunnelLost, Duration::ZERO);
            return;
        }
        if tunnel.leaving.is_some_and(|until| until <= now) {
            mark::hit(Mark::SentAwayLate);
            self.kick(now, id, Code::Migrated, Duration::ZERO);
            return;
        }
        if tunnel
            .withheld_since
            .is_some_and(|since| now.since(since) >= dead_after)
        {
            mark::hit(Mark::AckWithheld);
            self.end_tunnel(now, id, Code::AckWithheld, Duration::ZERO);
            return;
        }
        if tunnel.paused_until.is_some_and(|until| until <= now) {
            tunnel.paused_until = None;
            self.mark(id);
        }
        let Some(tunnel) = self.tunnels.get_mut(id) else {
            return;
        };
        if let AckState::By(Some(at)) = tunnel.ack
            && at <= now
        {
            tunnel.ack = if tunnel.numbering.has_untold() {
                AckState::Now
            } else {
                AckState::By(None)
            };
            self.mark(id);
        }
        let Some(tunnel) = self.tunnels.get_mut(id) else {
            return;
        };
        if let Stall::Suspected(since) = tunnel.stall
            && now.since(since) >= STALL_AFTER
        {
            mark::hit(Mark::CarrierFull);
            tunnel.stall = Stall::Told;
            self.events.push_back(Event::CarrierFull { tunnel: id });
        }
        self.arm_tunnel(id);
    }

    fn expire_session(&mut self, now: Instant, id: SessionId) -> Overdue {
        let Some(session) = self.sessions.get_mut(id) else {
            return Overdue::Nothing;
        };
        session.timer = None;
        let due = self.session_due(id);
        let Some(due) = due else {
            return Overdue::Nothing;
        };
        if due > now {
            self.arm_session(id, due);
            return Overdue::Nothing;
        }
        if self.is_held_up(now, id) {
            let again = now + self.config.write_deadline;
            if let Some(session) = self.sessions.get_mut(id) {
                session.deadline = session.deadline.max(Some(again));
            }
            self.arm_session(id, again);
            return Overdue::Nothing;
        }
        let Some(session) = self.sessions.get_mut(id) else {
            return Overdue::Nothing;
        };
        match session.phase {
            Phase::Dialling => match session.side {
                Side::Pop(_) => return Overdue::Dial(id),
                Side::Edge(_) => {}
            },
            Phase::Open => {
                let half = session.recv.fin.is_some() || session.send.is_done();
                mark::hit(if half {
                    Mark::IdleHalfClosed
                } else {
                    Mark::Idle
                });
                self.reset(now, id, Code::IdleTimeout);
            }
            Phase::Closing(_) => {
                mark::hit(Mark::WriteTimeout);
                self.reset(now, id, Code::WriteTimeout);
            }
            Phase::Ended(_) => {
                // The socket did not take the rest in time.
                mark::hit(Mark::RestDropped);
                session.recv.stop();
                if session.phase == Phase::Ended(Code::Ok) {
                    session.phase = Phase::Ended(Code::WriteTimeout);
                }
                self.recharge(id);
                self.wake(id);
                self.advance(id);
            }
        }
        Overdue::Nothing
    }

    /// Tells whether the rest of a closed session waits for its group's allowance and not for a socket.
    /// It may do so for as long as a half-closed session may stand still.
    fn is_held_up(&self, now: Instant, id: SessionId) -> bool {
        let Some(session) = self.sessions.get(id) else {
            return false;
        };
        matches!(session.phase, Phase::Closing(_) | Phase::Ended(_))
            && now.since(session.moved_at) < self.config.idle_half_closed
            && self.holds_ticket(id)
    }

    /// Returns when the session's present wait is too long.
    fn session_due(&self, id: SessionId) -> Option<Instant> {
        let session = self.sessions.get(id)?;
        match session.phase {
            Phase::Dialling | Phase::Closing(_) => session.deadline,
            Phase::Ended(_) if session.recv.queue.is_empty() => None,
            // Nothing is wrong with it: it has until its socket takes nothing any more. What had to wait
            // for its group's allowance counts from there, like the rest of any other session.
            Phase::Ended(Code::Ok) => {
                let quiet = session.moved_at + self.config.write_deadline;
                session.deadline.max(Some(quiet))
            }
            Phase::Ended(_) => session.deadline,
            Phase::Open => {
                let half = session.recv.fin.is_some() || session.send.is_done();
                let limit = if half {
                    self.config.idle_half_closed
                } else {
                    self.config.idle
                };
                Some(session.moved_at + limit)
            }
        }
    }

    /// Makes the timer follow a limit that became shorter.
    pub(crate) fn rearm_idle(&mut self, now: Instant, id: SessionId) {
        if let Some(due) = self.session_due(id) {
            self.arm_session(id, due.max(now));
        }
    }
}

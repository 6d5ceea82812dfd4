//! Sticky sessions: the exit of a session is the node that its name is bound to.
//!
//! Nothing that a target answers moves such a session. It goes to another exit only together with its
//! name: when the node's tunnel has ended, or when the node itself takes no session and nobody else
//! holds the lease.

mod audit;

use super::desk::PopDesk;
use super::failover::{is_exit_failure, is_of_tunnel};
use super::part::Grip;
use super::{PopRole, key_of};
use crate::arena::{SessionId, TunnelId};
use crate::endpoint::engine::Engine;
use crate::endpoint::event::PopTimer;
use crate::exit::index::Demand;
use crate::exit::lease::{LeaseKey, Sticky};
use crate::mark::{self, Mark};
use crate::planted::{self, Planted};
use crate::time::{Duration, Instant};
use crate::timer::Timer;
use titan_proto::Code;

/// How many leases are forgotten at once: those of a tunnel that ended become due together, and carriers
/// wait meanwhile. Well below a millisecond of work.
const FORGOTTEN_AT_ONCE: usize = 256;

/// How long carriers have their turn before more leases are forgotten.
const FORGETTING_PAUSE: Duration = Duration::from_millis(1);

impl Engine<PopDesk> {
    /// Tells whether a sticky session waits for an exit that is away.
    pub(super) fn is_leased_away(&self, id: SessionId) -> bool {
        let session = self.sessions.get(id);
        self.is_away(id) && session.is_some_and(|session| session.flow().grip.is_some())
    }
}

impl PopRole {
    /// Finds the exit that a name is bound to, or binds it to one, and holds the lease. Counts a
    /// session on the exit.
    pub(super) fn lease(
        &mut self,
        engine: &Engine<PopDesk>,
        now: Instant,
        sticky: &Sticky,
        group: u32,
        demand: &Demand,
    ) -> Result<(TunnelId, Grip), Code> {
        let key = LeaseKey {
            owner: sticky.owner,
            name: sticky.name.clone(),
        };
        if let Some(lease) = self.leases.get(&key) {
            // A name that is in use stays where it is (I8), another one leaves before its node does.
            let stays = |&id: &TunnelId| {
                let tunnel = engine.tunnels.get(id);
                lease.holders > 0 || tunnel.is_some_and(|tunnel| !tunnel.peer().is_leaving())
            };
            if let Some(tunnel) = self.tunnel_of_node(engine, &lease.node).filter(stays) {
                return self.join(engine, now, key, sticky.strict, (tunnel, group));
            }
            if sticky.strict {
                return Err(Code::ExitAway);
            }
            mark::hit(Mark::LeaseMoved);
        } else if !self.leases.has_room(&key) {
            mark::hit(Mark::LeasesFull);
            return Err(Code::Overloaded);
        }
        self.bind(engine, now, key, sticky.strict, (group, demand))
    }

    /// Returns the node's tunnel, attached or waiting to be.
    fn tunnel_of_node(&self, engine: &Engine<PopDesk>, node: &str) -> Option<TunnelId> {
        let id = self.nodes.get(node)?.tunnel()?;
        let tunnel = engine.tunnels.get(id)?;
        if tunnel.carrier().is_none() && planted::on(Planted::LeaseLeftWhileAway) {
            return None;
        }
        Some(id)
    }

    /// Adds a session to a lease. The exit's cap and its shares hold here too, also while it is away.
    fn join(
        &mut self,
        engine: &Engine<PopDesk>,
        now: Instant,
        key: LeaseKey,
        strict: bool,
        (id, group): (TunnelId, u32),
    ) -> Result<(TunnelId, Grip), Code> {
        let tunnel = engine.tunnels.get(id).ok_or(Code::ExitAway)?;
        if !engine.may_dial(id, group) {
            return Err(Code::Overloaded);
        }
        if tunnel.carrier().is_none() {
            mark::hit(Mark::LeaseWaits);
        }
        // The lease is there, so that it is the owner's share which is used up.
        let generation = self.leases.hold(&key).ok_or(Code::Overloaded)?;
        self.index.session_opened(now, key_of(id));
        let grip = Grip {
            key,
            generation,
            strict,
        };
        Ok((id, grip))
    }

    /// Binds a name to the best exit.
    fn bind(
        &mut self,
        engine: &Engine<PopDesk>,
        now: Instant,
        key: LeaseKey,
        strict: bool,
        (group, demand): (u32, &Demand),
    ) -> Result<(TunnelId, Grip), Code> {
        let tunnel = self.choose(engine, now, group, *demand)?;
        let bound = engine
            .tunnels
            .get(tunnel)
            .and_then(|tunnel| self.leases.take(&key, tunnel.peer().name()));
        let Some(generation) = bound else {
            self.index.session_closed(now, key_of(tunnel));
            return Err(Code::Overloaded);
        };
        let grip = Grip {
            key,
            generation,
            strict,
        };
        Ok((tunnel, grip))
    }

    /// Finds another exit for a sticky session whose dial came to nothing, if its name may move.
    pub(super) fn another_leased(
        &mut self,
        engine: &mut Engine<PopDesk>,
        now: Instant,
        id: SessionId,
        code: Code,
    ) -> Option<TunnelId> {
        let session = engine.sessions.get_mut(id)?;
        let attempt = session.attempt()?;
        if attempt.exits.are_used_up() || attempt.clock.is_over(now) {
            return None;
        }
        let demand = Demand {
            country: attempt.country,
            exclude: attempt.exits.tried(),
        };
        let group = session.group();
        let flow = session.flow_mut();
        let grip = flow.grip.as_ref()?;
        let lost = is_of_tunnel(code);
        let alone = self
            .leases
            .get(&grip.key)
            .is_some_and(|lease| lease.generation == grip.generation && lease.holders == 1);
        if grip.strict || !(lost || (alone && is_exit_failure(code))) {
            return None;
        }
        let grip = flow.grip.take()?;
        self.leases.release(now, &grip.key, grip.generation);
        let found = if lost {
            let sticky = Sticky {
                owner: grip.key.owner,
                name: grip.key.name.clone(),
                strict: false,
            };
            self.lease(engine, now, &sticky, group, &demand)
        } else {
            self.bind(engine, now, grip.key, false, (group, &demand))
        };
        self.arm_leases(engine, now);
        let (tunnel, grip) = found.ok()?;
        let session = engine.sessions.get_mut(id)?;
        session.flow_mut().grip = Some(alloc::boxed::Box::new(grip));
        Some(tunnel)
    }

    /// Lets sticky dials wait for their exit as long as a dial may take in all.
    pub(super) fn wait_for_exit(engine: &mut Engine<PopDesk>, id: SessionId) {
        if let Some(session) = engine.sessions.get_mut(id)
            && session.flow().grip.is_some()
            && let Some(attempt) = session.attempt_mut()
        {
            attempt.clock.wait();
        }
    }

    /// Takes the grips of sessions that are gone off their leases.
    pub(super) fn release_leases(&mut self, engine: &mut Engine<PopDesk>, now: Instant) {
        if engine.desk.ungripped.is_empty() {
            return;
        }
        for grip in core::mem::take(&mut engine.desk.ungripped) {
            self.leases.release(now, &grip.key, grip.generation);
        }
        self.arm_leases(engine, now);
    }

    /// Forgets leases that were idle for too long, but not too many at once.
    pub(super) fn expire_leases(&mut self, engine: &mut Engine<PopDesk>, now: Instant) {
        self.lease_timer = None;
        for _ in 0..FORGOTTEN_AT_ONCE {
            if !self.leases.expire(now) {
                break;
            }
        }
        self.arm_leases(engine, now);
    }

    /// Arms the timer for the lease that is to be forgotten next.
    pub(super) fn arm_leases(&mut self, engine: &mut Engine<PopDesk>, now: Instant) {
        let next = self.leases.next_expiry().map(|at| {
            if at > now {
                at
            } else {
                self.lease_timer.unwrap_or(now + FORGETTING_PAUSE)
            }
        });
        let timers = &mut engine.agenda.timers;
        timers.arm(Timer::Role(PopTimer::Leases), &mut self.lease_timer, next);
    }
}

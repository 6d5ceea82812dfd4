//! Sticky sessions: the exit of a session is the node that its name is bound to.
//!
//! Nothing that a target answers moves such a session. It goes to another exit only together with its
//! name: when the node's tunnel has ended, or when the node itself takes no session and nobody else
//! holds the lease.

mod audit;

use super::super::engine::Engine;
use super::failover::{is_exit_failure, is_of_tunnel};
use super::{PopRole, key_of};
use crate::arena::{SessionId, TunnelId};
use crate::config::EXITS_MAX;
use crate::exit::index::{Demand, ExitKey};
use crate::exit::lease::{LeaseKey, Sticky};
use crate::mark::{self, Mark};
use crate::planted::{self, Planted};
use crate::session::Phase;
use crate::time::Instant;
use crate::timer::Timer;
use crate::tunnel::Owner;
use titan_proto::Code;

impl Engine {
    /// Tells whether a sticky session waits for an exit that is away.
    pub(super) fn is_leased_away(&self, id: SessionId) -> bool {
        self.sessions.get(id).is_some_and(|session| {
            let away = self
                .tunnels
                .get(session.tunnel)
                .is_none_or(|tunnel| tunnel.carrier.is_none());
            away && session.pop().is_some_and(|side| side.held.is_some())
        })
    }
}

/// A session's hold on a lease.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) key: LeaseKey,
    pub(crate) generation: u64,
    pub(crate) strict: bool,
}

impl PopRole {
    /// Finds the exit that a name is bound to, or binds it to one, and holds the lease. Counts a
    /// session on the exit.
    pub(super) fn lease(
        &mut self,
        engine: &Engine,
        now: Instant,
        group: u32,
        sticky: &Sticky,
        demand: &Demand,
    ) -> Result<(TunnelId, Held), Code> {
        let key = LeaseKey {
            group,
            name: sticky.name.clone(),
        };
        if let Some(lease) = self.leases.get(&key) {
            // A name that is in use stays where it is (I8), another one leaves before its node does.
            let stays = |&id: &TunnelId| {
                let tunnel = engine.tunnels.get(id);
                lease.holders > 0 || tunnel.is_some_and(|tunnel| tunnel.leaving.is_none())
            };
            if let Some(tunnel) = self.tunnel_of_node(engine, &lease.node).filter(stays) {
                return self.join(engine, now, key, sticky.strict, tunnel);
            }
            if sticky.strict {
                return Err(Code::ExitAway);
            }
            mark::hit(Mark::LeaseMoved);
        } else if !self.leases.has_room() {
            mark::hit(Mark::LeasesFull);
            return Err(Code::Overloaded);
        }
        self.bind(engine, now, key, sticky.strict, demand)
    }

    /// Returns the node's tunnel, attached or waiting to be.
    fn tunnel_of_node(&self, engine: &Engine, node: &str) -> Option<TunnelId> {
        let id = self.nodes.get(node)?.tunnel?;
        let tunnel = engine.tunnels.get(id)?;
        if tunnel.carrier.is_none() && planted::on(Planted::LeaseLeftWhileAway) {
            return None;
        }
        Some(id)
    }

    /// Adds a session to a lease. The exit's cap holds here too, also while it is away.
    fn join(
        &mut self,
        engine: &Engine,
        now: Instant,
        key: LeaseKey,
        strict: bool,
        id: TunnelId,
    ) -> Result<(TunnelId, Held), Code> {
        let tunnel = engine.tunnels.get(id).ok_or(Code::ExitAway)?;
        let told = match tunnel.owner {
            Owner::Node { sessions_max, .. } => sessions_max,
            Owner::Uplink(_) => u32::MAX,
        };
        let cap = told
            .min(tunnel.peer.sessions_max)
            .min(engine.config.sessions_max);
        if tunnel.sessions.len() + tunnel.unnumbered.len() >= cap as usize {
            return Err(Code::Overloaded);
        }
        if tunnel.carrier.is_none() {
            mark::hit(Mark::LeaseWaits);
        }
        let generation = self.leases.hold(&key).ok_or(Code::Internal)?;
        self.index.session_opened(now, key_of(id));
        let held = Held {
            key,
            generation,
            strict,
        };
        Ok((id, held))
    }

    /// Binds a name to the best exit.
    fn bind(
        &mut self,
        engine: &Engine,
        now: Instant,
        key: LeaseKey,
        strict: bool,
        demand: &Demand,
    ) -> Result<(TunnelId, Held), Code> {
        let tunnel = self.choose(engine, now, demand).ok_or(Code::NoExit)?;
        let bound = engine
            .tunnels
            .get(tunnel)
            .and_then(crate::tunnel::Tunnel::node)
            .and_then(|node| self.leases.take(&key, node));
        let Some(generation) = bound else {
            self.index.session_closed(now, key_of(tunnel));
            return Err(Code::Overloaded);
        };
        let held = Held {
            key,
            generation,
            strict,
        };
        Ok((tunnel, held))
    }

    /// Finds another exit for a sticky session whose dial came to nothing, if its name may move.
    pub(super) fn another_leased(
        &mut self,
        engine: &mut Engine,
        now: Instant,
        id: SessionId,
        code: Code,
    ) -> Option<TunnelId> {
        let budget = engine.config.dial_budget;
        let session = engine.sessions.get_mut(id)?;
        let side = session.pop_mut()?;
        let tried = side.exits;
        if tried.count >= EXITS_MAX || now >= side.opened_at + budget {
            return None;
        }
        let held = side.held.as_ref()?;
        let lost = is_of_tunnel(code);
        let alone = self
            .leases
            .get(&held.key)
            .is_some_and(|lease| lease.generation == held.generation && lease.holders == 1);
        if held.strict || !(lost || (alone && is_exit_failure(code))) {
            return None;
        }
        let held = side.held.take()?;
        let mut exclude = [None; 3];
        for (place, &key) in exclude.iter_mut().zip(tried.as_slice()) {
            *place = Some(ExitKey(key));
        }
        let demand = Demand {
            country: side.country,
            exclude,
        };
        self.leases.release(now, &held.key, held.generation);
        let found = if lost {
            let sticky = Sticky {
                name: held.key.name.clone(),
                strict: false,
            };
            self.lease(engine, now, held.key.group, &sticky, &demand)
        } else {
            self.bind(engine, now, held.key, false, &demand)
        };
        self.arm_leases(engine);
        let (tunnel, held) = found.ok()?;
        let side = engine.sessions.get_mut(id)?.pop_mut()?;
        side.held = Some(alloc::boxed::Box::new(held));
        Some(tunnel)
    }

    /// Lets sticky dials wait for their exit as long as a dial may take in all.
    pub(super) fn wait_for_exit(engine: &mut Engine, id: SessionId) {
        let budget = engine.config.dial_budget;
        if let Some(session) = engine.sessions.get_mut(id)
            && session.phase == Phase::Dialling
            && let Some(side) = session.pop()
            && side.held.is_some()
        {
            session.deadline = Some(side.opened_at + budget);
        }
    }

    /// Takes the holds of sessions that are gone off their leases.
    pub(super) fn release_leases(&mut self, engine: &mut Engine, now: Instant) {
        if engine.unheld.is_empty() {
            return;
        }
        for held in core::mem::take(&mut engine.unheld) {
            self.leases.release(now, &held.key, held.generation);
        }
        self.arm_leases(engine);
    }

    /// Forgets leases that were idle for too long.
    pub(super) fn expire_leases(&mut self, engine: &mut Engine, now: Instant) {
        while self.leases.expire(now) {}
        self.arm_leases(engine);
    }

    /// Arms the timer for the lease that is to be forgotten next.
    pub(super) fn arm_leases(&self, engine: &mut Engine) {
        let next = self.leases.next_expiry();
        engine
            .timers
            .arm(Timer::Leases, &mut engine.lease_timer, next);
    }
}

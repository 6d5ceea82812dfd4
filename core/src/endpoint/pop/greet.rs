//! HELLO, as a POP answers it: who may bear which tunnel.

use super::super::drain::NEWCOMER_RETRY;
use super::super::engine::Engine;
use super::super::event::Event;
use super::{PopRole, exit_state, key_of};
use crate::account::Rates;
use crate::arena::{CarrierId, TunnelId};
use crate::carrier::Peer;
use crate::config::DUPLICATE_RETRY;
use crate::mark::{self, Mark};
use crate::planted::{self, Planted};
use crate::time::{Duration, Instant};
use crate::tunnel::numbering::Numbering;
use crate::tunnel::proof::{Claim, verify};
use crate::tunnel::{Owner, PeerLimits, Tunnel};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use bytes::Bytes;
use titan_proto::{Code, limits, wire};

/// Replaced processes of one node that are remembered.
const REPLACED_MAX: usize = 8;

/// What is known of a node id.
#[derive(Debug, Default)]
pub(crate) struct NodeEntry {
    /// The tunnel in use.
    pub(super) tunnel: Option<TunnelId>,
    /// The tunnel of another process, until its first acknowledgement.
    pub(super) pending: Option<TunnelId>,
    /// Processes that were taken over from, and until when they are turned away.
    replaced: VecDeque<(u64, Instant)>,
}

impl NodeEntry {
    pub(super) fn has_tunnel(&self) -> bool {
        self.tunnel.is_some() || self.pending.is_some()
    }
}

/// Why a HELLO is turned away, and for how long.
struct Refusal {
    code: Code,
    retry: Duration,
}

impl From<Code> for Refusal {
    fn from(code: Code) -> Self {
        Self {
            code,
            retry: Duration::ZERO,
        }
    }
}

impl PopRole {
    /// Answers an edge's HELLO: by HELLO, or by BYE on this carrier alone.
    pub(super) fn greet(
        &mut self,
        engine: &mut Engine,
        now: Instant,
        carrier: CarrierId,
        hello: &wire::Hello,
    ) {
        if let Err(Refusal { code, retry }) = self.admit(engine, now, carrier, hello) {
            engine.dismiss(now, carrier, code, retry);
        }
    }

    fn admit(
        &mut self,
        engine: &mut Engine,
        now: Instant,
        carrier_id: CarrierId,
        hello: &wire::Hello,
    ) -> Result<(), Refusal> {
        let Some(carrier) = engine.carriers.get(carrier_id) else {
            return Ok(());
        };
        let Peer::Node(node) = carrier.peer.clone() else {
            return Err(Code::Protocol.into());
        };
        let (nonce, encrypted) = (carrier.nonce, carrier.encrypted);
        if hello.version != limits::VERSION {
            return Err(Code::VersionUnsupported.into());
        }
        let peer = peer_limits(hello)?;
        self.turn_away(now, &node, hello.epoch)?;
        let id = if hello.tunnel == 0 {
            if hello.received != 0 {
                return Err(Code::Desync.into());
            }
            self.admit_new(engine, now, &node, hello, peer)?
        } else {
            let claim = Claim {
                nonce,
                tunnel: hello.tunnel,
                epoch: hello.epoch,
                attempt: hello.attempt,
            };
            self.admit_resumed(engine, now, &node, hello, claim, encrypted)
                .inspect_err(|_| {
                    mark::hit(Mark::ResumeRefused);
                    engine.counters.resumes_refused += 1;
                })?
        };
        engine.attach(now, id, carrier_id);
        let config = &engine.config;
        let Some(tunnel) = engine.tunnels.get_mut(id) else {
            return Ok(());
        };
        let reply = wire::Hello {
            version: limits::VERSION,
            tunnel: tunnel.wire,
            received: tunnel.numbering.received(),
            next: tunnel.numbering.next(),
            limits: Some(own_limits(config)),
            resume_key: Bytes::copy_from_slice(&tunnel.key),
            resume_address: self.resume_address.clone(),
            ..wire::Hello::default()
        };
        if let Some(carrier) = engine.carriers.get_mut(carrier_id) {
            carrier.hello = Some(Box::new(reply));
        }
        self.refresh(engine, now, id);
        Ok(())
    }

    /// Refuses nodes that were told to stay away, and processes that another one of the same node has
    /// replaced.
    fn turn_away(&mut self, now: Instant, node: &str, epoch: u64) -> Result<(), Refusal> {
        if let Some((code, retry)) = self.bars.find(now, node) {
            mark::hit(Mark::Barred);
            return Err(Refusal { code, retry });
        }
        let Some(entry) = self.nodes.get_mut(node) else {
            return Ok(());
        };
        entry.replaced.retain(|&(_, until)| until > now);
        let until = entry
            .replaced
            .iter()
            .find(|&&(replaced, _)| replaced == epoch);
        match until {
            Some(&(_, until)) => {
                mark::hit(Mark::DuplicateNode);
                Err(Refusal {
                    code: Code::DuplicateNode,
                    retry: until.since(now),
                })
            }
            None => Ok(()),
        }
    }

    fn admit_new(
        &mut self,
        engine: &mut Engine,
        now: Instant,
        node: &str,
        hello: &wire::Hello,
        peer: PeerLimits,
    ) -> Result<TunnelId, Refusal> {
        if engine.draining {
            // Before anything of an earlier tunnel is touched: its sessions go on.
            return Err(Refusal {
                code: Code::ShuttingDown,
                retry: NEWCOMER_RETRY,
            });
        }
        let entry = self.nodes.entry(node.into()).or_default();
        for known in [entry.tunnel, entry.pending].into_iter().flatten() {
            let same = engine.tunnels.get(known).is_some_and(
                |tunnel| matches!(tunnel.owner, Owner::Node { epoch, .. } if epoch == hello.epoch),
            );
            if same {
                newer(engine, known, hello)?;
                // The process has lost its side of that tunnel.
                mark::hit(Mark::Anew);
                engine.end_tunnel(now, known, Code::Replaced, Duration::ZERO);
            }
        }
        if let Some(pending) = entry.pending.take() {
            // A third process: the second never got as far as an acknowledgement.
            mark::hit(Mark::ThirdProcess);
            engine.end_tunnel(now, pending, Code::Replaced, Duration::ZERO);
        }
        let wire = loop {
            let wire = engine.rng.next_u64();
            if wire != 0 && !self.by_wire.contains_key(&wire) {
                break wire;
            }
        };
        let key = engine.rng.bytes();
        let owner = Owner::Node {
            name: node.into(),
            epoch: hello.epoch,
            attempt: hello.attempt,
            confirmed: false,
            accepting: true,
            draining: false,
            sessions_max: peer.sessions_max,
        };
        let peer_resend_max = hello.limits.as_ref().map_or(0, |limits| limits.resend_max);
        let numbering = Numbering::new(engine.config.resend_max, peer_resend_max);
        let id = engine
            .tunnels
            .insert(Tunnel::new(wire, key, owner, numbering, peer));
        self.by_wire.insert(wire, id);
        self.index
            .insert(now, key_of(id), exit_state(peer.sessions_max));
        if self.node_rates != Rates::default() {
            engine.limit_node(now, id, self.node_rates);
        }
        let entry = self.nodes.entry(node.into()).or_default();
        if entry
            .tunnel
            .is_some_and(|tunnel| engine.tunnels.get(tunnel).is_some())
        {
            entry.pending = Some(id);
        } else {
            entry.tunnel = Some(id);
        }
        Ok(id)
    }

    fn admit_resumed(
        &self,
        engine: &mut Engine,
        now: Instant,
        node: &str,
        hello: &wire::Hello,
        claim: Claim,
        encrypted: bool,
    ) -> Result<TunnelId, Refusal> {
        // Who cannot prove the tunnel theirs learns nothing about it.
        let refused = Refusal::from(Code::ResumeRefused);
        if !encrypted && !engine.config.resume_over_plaintext {
            return Err(refused);
        }
        let Some(&id) = self.by_wire.get(&hello.tunnel) else {
            return Err(refused);
        };
        let Some(tunnel) = engine.tunnels.get_mut(id) else {
            return Err(refused);
        };
        let Owner::Node { name, epoch, .. } = &tunnel.owner else {
            return Err(refused);
        };
        if **name != *node || *epoch != hello.epoch || !verify(&tunnel.key, claim, &hello.proof) {
            return Err(refused);
        }
        newer(engine, id, hello)?;
        let Some(tunnel) = engine.tunnels.get_mut(id) else {
            return Err(refused);
        };
        let owed = tunnel.is_owing();
        match tunnel.numbering.rewind(hello.received) {
            Ok(freed) => {
                engine.memory.resend -= freed;
                engine.owing -= usize::from(owed && !tunnel.is_owing());
            }
            Err(_) => {
                mark::hit(Mark::Desync);
                engine.end_tunnel(now, id, Code::Desync, Duration::ZERO);
                return Err(Code::Desync.into());
            }
        }
        if let Owner::Node {
            attempt, confirmed, ..
        } = &mut tunnel.owner
        {
            if tunnel.was_attached && tunnel.carrier.is_some() && !*confirmed {
                mark::hit(Mark::ResumeUnconfirmed);
            }
            *attempt = hello.attempt;
            *confirmed = false;
        }
        if tunnel.numbering.has_replay() {
            mark::hit(Mark::ResumeLossDown);
        }
        engine.counters.resumes += 1;
        Ok(id)
    }

    /// Handles an acknowledgement: the first on a carrier shows that the edge got our HELLO.
    pub(super) fn confirm(&mut self, engine: &mut Engine, now: Instant, id: TunnelId) {
        let Some(tunnel) = engine.tunnels.get_mut(id) else {
            return;
        };
        let resumed = tunnel.was_attached;
        let Owner::Node {
            name, confirmed, ..
        } = &mut tunnel.owner
        else {
            return;
        };
        if core::mem::replace(confirmed, true) {
            return;
        }
        tunnel.was_attached = true;
        let Some(entry) = self.nodes.get_mut(&**name) else {
            return;
        };
        if entry.pending == Some(id) {
            entry.pending = None;
            let old = entry.tunnel.replace(id);
            if let Some(old) = old
                && let Some(Owner::Node { epoch, .. }) =
                    engine.tunnels.get(old).map(|tunnel| &tunnel.owner)
            {
                if entry.replaced.len() == REPLACED_MAX {
                    entry.replaced.pop_front();
                }
                mark::hit(Mark::Takeover);
                entry.replaced.push_back((*epoch, now + DUPLICATE_RETRY));
                engine.end_tunnel(now, old, Code::DuplicateNode, DUPLICATE_RETRY);
            }
        }
        self.refresh(engine, now, id);
        engine.events.push_back(Event::NodeAttached {
            tunnel: id,
            resumed,
        });
    }

    /// Forgets a tunnel that has ended.
    pub(super) fn tunnel_gone(
        &mut self,
        engine: &mut Engine,
        id: TunnelId,
        tunnel: Tunnel,
        code: Code,
    ) {
        self.by_wire.remove(&tunnel.wire);
        let slot_taken = engine.tunnels.key_at(key_of(id).0).is_some();
        if !slot_taken {
            self.index.remove(key_of(id));
        }
        let Owner::Node { name, .. } = &tunnel.owner else {
            return;
        };
        if let Some(entry) = self.nodes.get_mut(&**name) {
            if entry.tunnel == Some(id) {
                entry.tunnel = entry.pending.take();
            }
            if entry.pending == Some(id) {
                entry.pending = None;
            }
            if entry.tunnel.is_none() && entry.replaced.is_empty() {
                self.nodes.remove(&**name);
            }
        }
        if tunnel.was_attached {
            engine.events.extend(Event::gone(id, &tunnel, code));
        }
    }
}

/// Requires a HELLO to be later than the last accepted one of its tunnel.
fn newer(engine: &Engine, id: TunnelId, hello: &wire::Hello) -> Result<(), Refusal> {
    match engine.tunnels.get(id).map(|tunnel| &tunnel.owner) {
        Some(Owner::Node { attempt, .. })
            if hello.attempt <= *attempt && !planted::on(Planted::LateHelloTaken) =>
        {
            mark::hit(Mark::StaleAttempt);
            Err(Code::StaleAttempt.into())
        }
        _ => Ok(()),
    }
}

/// Reads what the peer says about itself, within what makes sense.
pub(crate) fn peer_limits(hello: &wire::Hello) -> Result<PeerLimits, Code> {
    let told = hello.limits.as_ref().ok_or(Code::Malformed)?;
    if told.resend_max < RESEND_MIN || told.data_max < DATA_MIN {
        return Err(Code::Malformed);
    }
    Ok(PeerLimits {
        data_max: (told.data_max as usize).min(limits::DATA_MAX),
        early_max: told.early_max,
        sessions_max: told.sessions_max,
    })
}

/// Smallest limits that a peer may set: below, every frame would be a special case.
const RESEND_MIN: u64 = 64 << 10;
const DATA_MIN: u32 = 1 << 10;

/// Returns what this side tells about itself.
pub(crate) fn own_limits(config: &crate::config::Config) -> wire::Limits {
    wire::Limits {
        data_max: u32::try_from(limits::DATA_MAX).unwrap_or(u32::MAX),
        resend_max: config.resend_max,
        early_max: config.early_max,
        sessions_max: config.sessions_max,
    }
}

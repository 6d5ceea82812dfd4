//! HELLO, as a POP answers it: who may bear which tunnel.

use super::desk::{Guest, PopDesk};
use super::node::Node;
use super::{PopRole, key_of};
use crate::account::Rates;
use crate::arena::{CarrierId, TunnelId};
use crate::endpoint::engine::Engine;
use crate::endpoint::event::PopEvent;
use crate::endpoint::hello::{own_limits, peer_limits};
use crate::mark::{self, Mark};
use crate::target::to_octets;
use crate::time::{Duration, Instant};
use crate::tunnel::proof::{Claim, verify};
use crate::tunnel::{Identity, PeerLimits, Tunnel};
use bytes::Bytes;
use titan_proto::{Code, limits, wire};

/// What a node without a tunnel is asked to wait by a draining POP: long enough that whoever sends
/// nodes here has heard of it, short because the node is not wanted elsewhere for it.
const NEWCOMER_RETRY: Duration = Duration::from_secs(1);

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
        engine: &mut Engine<PopDesk>,
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
        engine: &mut Engine<PopDesk>,
        now: Instant,
        carrier_id: CarrierId,
        hello: &wire::Hello,
    ) -> Result<(), Refusal> {
        let Some(carrier) = engine.carriers.get(carrier_id) else {
            return Ok(());
        };
        let Guest { node, address } = carrier.caller().clone();
        let (nonce, encrypted) = (carrier.nonce(), carrier.is_encrypted());
        if hello.version != limits::VERSION {
            return Err(Code::VersionUnsupported.into());
        }
        let peer = peer_limits(hello)?;
        self.turn_away(engine, now, &node, hello.epoch)?;
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
        let Some(tunnel) = engine.tunnels.get_mut(id) else {
            return Ok(());
        };
        tunnel.peer_mut().come_from(address);
        let reply = wire::Hello {
            version: limits::VERSION,
            tunnel: tunnel.wire(),
            received: tunnel.received(),
            next: tunnel.next_number(),
            limits: Some(own_limits(&engine.config)),
            resume_key: Bytes::copy_from_slice(tunnel.key()),
            resume_address: self.resume_address.clone(),
            observed_address: address.map(to_octets).unwrap_or_default(),
            ..wire::Hello::default()
        };
        if let Some(carrier) = engine.carriers.get_mut(carrier_id) {
            carrier.greet(reply);
        }
        self.refresh(engine, now, id);
        Ok(())
    }

    /// Refuses nodes that were told to stay away, and processes that another one of the same node has
    /// replaced.
    fn turn_away(
        &mut self,
        engine: &mut Engine<PopDesk>,
        now: Instant,
        node: &str,
        epoch: u64,
    ) -> Result<(), Refusal> {
        if let Some((code, retry)) = self.bars.find(now, node) {
            mark::hit(Mark::Barred);
            return Err(Refusal { code, retry });
        }
        let Some(entry) = self.nodes.get_mut(node) else {
            return Ok(());
        };
        if !entry.hear_replaced(now, epoch) {
            return Ok(());
        }
        // It lives beside the one that replaced it: two have one id.
        mark::hit(Mark::DuplicateNode);
        if let Some(id) = entry.tunnel() {
            engine.change_tunnel(id, |tunnel| {
                if !tunnel.peer().is_warned() {
                    tunnel.tell_peer().warn_of_duplicate();
                }
            });
        }
        engine
            .agenda
            .tell(PopEvent::NodeContested { node: node.into() });
        Err(Refusal {
            code: Code::DuplicateNode,
            retry: entry.duplicate_retry(now),
        })
    }

    fn admit_new(
        &mut self,
        engine: &mut Engine<PopDesk>,
        now: Instant,
        node: &str,
        hello: &wire::Hello,
        peer: PeerLimits,
    ) -> Result<TunnelId, Refusal> {
        if engine.is_leaving() {
            // Before anything of an earlier tunnel is touched: its sessions go on.
            return Err(Refusal {
                code: Code::ShuttingDown,
                retry: NEWCOMER_RETRY,
            });
        }
        let entry = self.nodes.entry(node.into()).or_default();
        for known in entry.tunnels() {
            let tunnel = engine.tunnels.get(known);
            if tunnel.is_some_and(|tunnel| tunnel.peer().epoch() == hello.epoch) {
                newer(engine, known, hello)?;
                // The process has lost its side of that tunnel.
                mark::hit(Mark::Anew);
                engine.end_tunnel(now, known, Code::Replaced, Duration::ZERO);
            }
        }
        if let Some(pending) = entry.take_pending() {
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
        let identity = Identity { wire, key };
        let until = now + engine.config.grace;
        let tunnel = Tunnel::new(
            identity,
            Node::new(node, hello, peer.sessions_max),
            peer,
            engine.config.resend_max,
            until,
        );
        let known = engine.exit_of(&tunnel);
        let id = engine.tunnels.insert(tunnel);
        self.by_wire.insert(wire, id);
        self.index.insert(now, key_of(id), known);
        if self.node_rates != Rates::default() {
            engine.limit_node(now, id, self.node_rates);
        }
        let entry = self.nodes.entry(node.into()).or_default();
        let known = entry.tunnel();
        let lives = known.is_some_and(|tunnel| engine.tunnels.get(tunnel).is_some());
        entry.add(id, lives);
        Ok(id)
    }

    fn admit_resumed(
        &self,
        engine: &mut Engine<PopDesk>,
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
        let known = self.by_wire.get(&hello.tunnel).copied();
        let theirs = known.and_then(|id| {
            let tunnel = engine.tunnels.get(id)?;
            let known = tunnel.peer();
            let fits = (known.name() == node) & (known.epoch() == hello.epoch);
            fits.then_some((id, tunnel.key()))
        });
        let proved = verify(theirs.map(|(_, key)| key), claim, &hello.proof);
        let Some((id, _)) = theirs.filter(|_| proved) else {
            return Err(refused);
        };
        newer(engine, id, hello)?;
        let rewound = engine.rewind(id, hello.received);
        match rewound {
            Some(true) => {
                engine.change_tunnel(id, |tunnel| {
                    let borne = tunnel.carrier().is_some();
                    if tunnel.peer_mut().greet_again(hello.attempt) && borne {
                        mark::hit(Mark::ResumeUnconfirmed);
                    }
                    if tunnel.has_replay() {
                        mark::hit(Mark::ResumeLossDown);
                    }
                });
                engine.counters.resumes += 1;
                Ok(id)
            }
            Some(false) => {
                mark::hit(Mark::Desync);
                engine.end_tunnel(now, id, Code::Desync, Duration::ZERO);
                Err(Code::Desync.into())
            }
            None => Err(refused),
        }
    }

    /// Handles an acknowledgement: the first on a carrier shows that the edge got our HELLO.
    pub(super) fn confirm(&mut self, engine: &mut Engine<PopDesk>, now: Instant, id: TunnelId) {
        let Some(tunnel) = engine.tunnels.get_mut(id) else {
            return;
        };
        let node = tunnel.peer_mut();
        let Some(confirmed) = node.confirm() else {
            return;
        };
        let Some(entry) = self.nodes.get_mut(node.name()) else {
            return;
        };
        if let Some(old) = entry.take_over(id)
            && let Some(tunnel) = engine.tunnels.get(old)
        {
            mark::hit(Mark::Takeover);
            entry.remember_replaced(now, tunnel.peer().epoch());
            let retry = entry.duplicate_retry(now);
            engine.end_tunnel(now, old, Code::DuplicateNode, retry);
        }
        self.refresh(engine, now, id);
        engine.agenda.tell(PopEvent::NodeAttached {
            tunnel: id,
            resumed: confirmed.resumed,
        });
    }

    /// Forgets a tunnel that has ended.
    pub(super) fn tunnel_gone(
        &mut self,
        engine: &mut Engine<PopDesk>,
        id: TunnelId,
        tunnel: &Tunnel<Node>,
        code: Code,
    ) {
        self.by_wire.remove(&tunnel.wire());
        let slot_taken = engine.tunnels.key_at(key_of(id).0).is_some();
        if !slot_taken {
            self.index.remove(key_of(id));
        }
        let node = tunnel.peer();
        if let Some(entry) = self.nodes.get_mut(node.name()) {
            entry.forget(id);
            // Nobody has the node's place any more: processes that were replaced may come back.
            if entry.tunnel().is_none() {
                self.nodes.remove(node.name());
            }
        }
        if node.was_attached() {
            engine.agenda.tell(PopEvent::NodeGone {
                tunnel: id,
                node: node.name().into(),
                code,
            });
        }
    }
}

/// Requires a HELLO to be later than the last accepted one of its tunnel.
fn newer(engine: &Engine<PopDesk>, id: TunnelId, hello: &wire::Hello) -> Result<(), Refusal> {
    match engine.tunnels.get(id) {
        Some(tunnel) if !tunnel.peer().is_newer(hello.attempt) => {
            mark::hit(Mark::StaleAttempt);
            Err(Code::StaleAttempt.into())
        }
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests;

//! HELLO, as an edge says it, and what it makes of the answer.

use super::EdgeRole;
use super::desk::EdgeDesk;
use super::link::{Call, Link};
use crate::arena::{CarrierId, TunnelId, UplinkId};
use crate::endpoint::engine::Engine;
use crate::endpoint::event::EdgeEvent;
use crate::endpoint::hello::{own_limits, peer_limits};
use crate::exit::guard::canonical;
use crate::mark::{self, Mark};
use crate::target::from_octets;
use crate::time::{Duration, Instant};
use crate::tunnel::proof::{Claim, prove};
use crate::tunnel::{Identity, PeerLimits, Tunnel};
use bytes::Bytes;
use core::net::IpAddr;
use titan_proto::{Code, limits, wire};

impl EdgeRole {
    /// Greets the POP over a new carrier.
    pub(super) fn connected(
        &mut self,
        engine: &mut Engine<EdgeDesk>,
        now: Instant,
        id: UplinkId,
        nonce: [u8; 16],
        encrypted: bool,
    ) -> Option<CarrierId> {
        let resume_allowed = encrypted || engine.config.resume_over_plaintext;
        let uplink = self.uplinks.get_mut(id)?;
        if !uplink.is_connecting() {
            return None;
        }
        if !resume_allowed && let Some(tunnel) = uplink.take_tunnel() {
            engine.end_tunnel(now, tunnel, Code::ResumeRefused, Duration::ZERO);
            if uplink.is_retiring() {
                return None;
            }
        }
        self.attempt += 1;
        let (epoch, attempt) = (self.epoch, self.attempt);
        let resume = uplink.tunnel();
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
            uplink.connected(carrier_id);
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
        let observed = observed(hello)?;
        let tunnel_id = match resume {
            Some(tunnel_id) => {
                let Some(agreed) = agree(engine, tunnel_id, hello) else {
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
            None => begin(engine, now, id, hello, peer, key)?,
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
            uplink.attached(tunnel_id, &hello.resume_address);
            if resume.is_none() {
                uplink.forget_observed();
            }
            if let Some(address) = observed {
                uplink.observed_at(address);
            }
        }
        self.heed_observers();
        engine.agenda.tell(EdgeEvent::UplinkAttached {
            uplink: id,
            resumed: resume.is_some(),
        });
        Ok(())
    }
}

/// Reads where the POP sees this edge come from.
fn observed(hello: &wire::Hello) -> Result<Option<IpAddr>, Code> {
    let octets = &hello.observed_address;
    if octets.is_empty() {
        return Ok(None);
    }
    let address = from_octets(octets).ok_or(Code::Malformed)?;
    Ok(Some(canonical(address)))
}

/// Tells whether both sides agree on what a tunnel that is to be resumed has carried; nothing if it is gone.
fn agree(engine: &mut Engine<EdgeDesk>, id: TunnelId, hello: &wire::Hello) -> Option<bool> {
    let tunnel = engine.tunnels.get(id)?;
    let agreed = hello.tunnel == tunnel.wire() && hello.next == tunnel.received() + 1;
    Some(agreed && engine.rewind(id, hello.received)?)
}

/// Makes the tunnel that the POP has begun.
fn begin(
    engine: &mut Engine<EdgeDesk>,
    now: Instant,
    uplink: UplinkId,
    hello: &wire::Hello,
    peer: PeerLimits,
    key: [u8; 32],
) -> Result<TunnelId, Code> {
    if hello.tunnel == 0 || hello.received != 0 || hello.next != 1 {
        return Err(Code::Desync);
    }
    let wire = hello.tunnel;
    let link = Link {
        uplink,
        status: None,
    };
    let resend_max = engine.config.resend_max;
    let until = now + engine.config.grace;
    let identity = Identity { wire, key };
    let tunnel = Tunnel::new(identity, link, peer, resend_max, until);
    Ok(engine.tunnels.insert(tunnel))
}

//! What an edge may reach: nothing private (invariant I11, requirement B8).
//!
//! The guard judges addresses, never names: resolve once, [filter](Guard::filter) the answer, connect
//! to what is left. Then a name that resolves differently a moment later changes nothing.

mod embedded;
mod network;
mod own;
mod ranges;

pub use network::{Network, NetworkError};
pub use own::{InterfaceAddress, OwnNetwork};

use crate::planted::{self, Planted};
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;
use embedded::embedded;
use own::Own;
use titan_proto::Code;

/// Returns the address in the form that is judged and must be connected to: IPv4-mapped IPv6
/// (`::ffff:0:0/96`) becomes IPv4, everything else stays.
#[must_use]
pub const fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// Decides which addresses an edge connects to.
///
/// Each address passes three lists: what the host of the edge denies is forbidden whatever else is
/// said, what it allows wins over the built-in ranges and over the networks that the host is on. An IPv6 address that carries IPv4 addresses passes if
/// it and all of them do, wherever the carrying form puts them (NAT64, 6to4, Teredo, ISATAP and the
/// retired ones); an entry of the allow list that is long enough to spell out a carried address speaks
/// for that one too. NAT64's well-known prefix is judged by what it carries alone. NAT64 behind a
/// prefix of a network's own choice cannot be recognised and belongs into [`Guard::deny`].
#[derive(Clone, Debug, Default)]
pub struct Guard {
    allow: Vec<Network>,
    deny: Vec<Network>,
    own: Own,
}

impl Guard {
    /// Creates the guard that makes exceptions for the networks of `allow`; with none, only public
    /// addresses pass.
    #[must_use]
    pub fn new(allow: Vec<Network>) -> Self {
        Self {
            allow,
            ..Self::default()
        }
    }

    /// Replaces the networks forbidden beside the built-in ones. They stay so within a network that is
    /// allowed: who allows a network and denies a part of it means both.
    pub fn deny(&mut self, networks: Vec<Network>) {
        self.deny = networks;
    }

    /// Replaces what the host tells of the networks it is on. Forbidden are the addresses of its interfaces,
    /// who is at the other end of a link between two, the gateways, and every neighbour: who shares an
    /// interface's prefix, or the first 16 bits (IPv4) or 48 (IPv6) if the prefix is shorter.
    pub fn set_own(&mut self, own: &OwnNetwork) {
        self.own.set_host(own);
    }

    /// Replaces the addresses that others see the host come from, which lead back to its router.
    pub fn set_observed(&mut self, addresses: Vec<IpAddr>) {
        self.own.set_observed(addresses);
    }

    /// Returns what [`set_own`](Self::set_own) made of it: sorted, none within another.
    #[must_use]
    pub fn own_networks(&self) -> &[Network] {
        self.own.networks()
    }

    /// Judges one address; its [`canonical`] form gets the same verdict.
    ///
    /// # Errors
    ///
    /// Returns the range that forbids the address.
    pub fn check(&self, address: IpAddr) -> Result<(), Forbidden> {
        let address = canonical(address);
        planted::bend(Planted::PrivateReached, self.judge(address), |verdict| {
            let spared = matches!(address, IpAddr::V4(v4) if v4.octets()[0] == 192);
            if spared { Ok(()) } else { verdict }
        })?;
        let IpAddr::V6(carrier) = address else {
            return Ok(());
        };
        for carried in embedded(carrier) {
            let spelled_out = |network: &Network| {
                network.prefix() >= carried.bits_end && network.contains(address)
            };
            if !self.allow.iter().any(spelled_out) {
                self.judge(carried.address.into())?;
            }
        }
        Ok(())
    }

    /// Keeps the canonical form of the permitted addresses of a resolver's answer, in its order.
    ///
    /// # Errors
    ///
    /// Returns [`Code::NotResolved`] for an empty answer and [`Code::Forbidden`] if nothing is left.
    pub fn filter(&self, mut answer: Vec<IpAddr>) -> Result<Vec<IpAddr>, Code> {
        if answer.is_empty() {
            return Err(Code::NotResolved);
        }
        answer.retain_mut(|address| {
            *address = canonical(*address);
            self.check(*address).is_ok()
        });
        if answer.is_empty() {
            Err(Code::Forbidden)
        } else {
            Ok(answer)
        }
    }

    /// Judges an address for itself, whatever it carries.
    fn judge(&self, address: IpAddr) -> Result<(), Forbidden> {
        let within =
            |networks: &[Network]| networks.iter().any(|network| network.contains(address));
        if within(&self.deny) {
            return Err(Forbidden {
                range: "denied here",
            });
        }
        if within(&self.allow) {
            return Ok(());
        }
        let found = self.own.find(address).or_else(|| ranges::find(address));
        found.map_or(Ok(()), |range| Err(Forbidden { range }))
    }
}

/// The range that forbids an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Forbidden {
    range: &'static str,
}

impl Forbidden {
    /// Returns the name of the range, for logs and explanations.
    #[must_use]
    pub const fn range(self) -> &'static str {
        self.range
    }
}

impl fmt::Display for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the address is forbidden: {}", self.range)
    }
}

impl core::error::Error for Forbidden {}

impl From<Forbidden> for Code {
    fn from(_: Forbidden) -> Self {
        Self::Forbidden
    }
}

#[cfg(test)]
mod tests;

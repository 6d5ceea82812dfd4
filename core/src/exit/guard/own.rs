//! The networks that the host of an edge is on. They are nobody's targets: behind the router's back an
//! edge would lead into its host's services, to its neighbours and to the router itself.

use super::network::Network;
use alloc::vec::Vec;
use core::net::IpAddr;

/// The shortest prefixes that are taken for a network of neighbours: beyond, an interface speaks for half
/// the world (a tunnel with a netmask of zero), and only what is around its address counts.
const PREFIX_MIN_V4: u8 = 16;
const PREFIX_MIN_V6: u8 = 48;

/// What a host tells of the networks it is on.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct OwnNetwork {
    /// The addresses of its interfaces.
    pub interfaces: Vec<InterfaceAddress>,
    /// The routers that its default routes name.
    pub gateways: Vec<IpAddr>,
    /// Prefixes that it reaches without a router although no interface has an address in them, each with
    /// how many leading bits count.
    pub on_link: Vec<(IpAddr, u8)>,
}

/// An address of an interface.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct InterfaceAddress {
    /// The host's address.
    pub address: IpAddr,
    /// How many leading bits the neighbours share with `peer` if there is one, or else with `address`; more
    /// than there are is all of them.
    pub prefix: u8,
    /// The other end of a link between two.
    pub peer: Option<IpAddr>,
}

/// The address alone, without neighbours.
impl From<IpAddr> for InterfaceAddress {
    fn from(address: IpAddr) -> Self {
        Self {
            address,
            prefix: u8::MAX,
            peer: None,
        }
    }
}

/// What is forbidden because of where the host is.
#[derive(Clone, Debug, Default)]
pub(super) struct Own {
    /// Sorted, none within another: looking an address up costs the logarithm of how many there are.
    networks: Vec<Network>,
    /// As others see the host; sorted.
    observed: Vec<IpAddr>,
}

impl Own {
    pub(super) fn set_host(&mut self, own: &OwnNetwork) {
        let interfaces = own.interfaces.iter().flat_map(|interface| {
            let InterfaceAddress {
                address,
                prefix,
                peer,
            } = *interface;
            let around = peer.unwrap_or(address);
            [Network::from(address), neighbours(around, prefix)]
        });
        let gateways = own.gateways.iter().map(|&gateway| gateway.into());
        let on_link = own.on_link.iter();
        let on_link = on_link.map(|&(address, prefix)| neighbours(address, prefix));
        let mut networks: Vec<Network> = interfaces.chain(gateways).chain(on_link).collect();
        // A network stands before those within it.
        networks.sort_unstable();
        networks.dedup_by(|inner, outer| outer.contains(inner.address()));
        self.networks = networks;
    }

    pub(super) fn set_observed(&mut self, mut addresses: Vec<IpAddr>) {
        for address in &mut addresses {
            *address = address.to_canonical();
        }
        addresses.sort_unstable();
        addresses.dedup();
        self.observed = addresses;
    }

    pub(super) fn networks(&self) -> &[Network] {
        &self.networks
    }

    /// Returns what forbids a canonical address, if anything does.
    pub(super) fn find(&self, address: IpAddr) -> Option<&'static str> {
        let after = self
            .networks
            .partition_point(|network| network.address() <= address);
        let last = self.networks[..after].last();
        if last.is_some_and(|network| network.contains(address)) {
            return Some("the host's own network");
        }
        let observed = self.observed.binary_search(&address).is_ok();
        observed.then_some("the host's own public address")
    }
}

/// Returns the network of those that an interface reaches without a router.
fn neighbours(address: IpAddr, prefix: u8) -> Network {
    let mapped = address.is_ipv6() && address.to_canonical().is_ipv4();
    let prefix = if mapped {
        prefix.saturating_sub(96)
    } else {
        prefix
    };
    let address = address.to_canonical();
    let least = if address.is_ipv4() {
        PREFIX_MIN_V4
    } else {
        PREFIX_MIN_V6
    };
    Network::around(address, prefix.max(least))
}

#[cfg(test)]
mod tests;

//! Networks in CIDR notation.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

/// The addresses that share a prefix, such as `10.0.0.0/8` (RFC 4632 section 3.1, RFC 4291 section
/// 2.3). A bare address is the network of itself.
///
/// Networks of IPv4-mapped addresses are IPv4 networks, because the guard judges mapped addresses as
/// IPv4.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Network {
    /// Zero beyond the prefix, never IPv4-mapped.
    address: IpAddr,
    /// At most the bits of `address`.
    prefix: u8,
}

impl Network {
    /// Creates the network of the addresses that share the first `prefix` bits of `address`.
    ///
    /// # Errors
    ///
    /// Returns an error if `prefix` exceeds 32 (IPv4) or 128 (IPv6) bits, and if `address` has bits set
    /// beyond it: an allow list must not open a network where its author meant a host.
    pub const fn new(address: IpAddr, prefix: u8) -> Result<Self, NetworkError> {
        let bits_beyond = match address {
            IpAddr::V4(address) if prefix <= 32 => (address.to_bits() & !mask_v4(prefix)) as u128,
            IpAddr::V6(address) if prefix <= 128 => address.to_bits() & !mask_v6(prefix),
            IpAddr::V4(_) | IpAddr::V6(_) => return Err(NetworkError::Prefix),
        };
        if bits_beyond != 0 {
            return Err(NetworkError::HostBits);
        }
        // The marker of mapped addresses ends at bit 96, so with no bits beyond, the prefix is longer.
        let prefix = match (address, address.to_canonical()) {
            (IpAddr::V6(_), IpAddr::V4(_)) => prefix.saturating_sub(96),
            (IpAddr::V6(_), IpAddr::V6(_)) | (IpAddr::V4(_), _) => prefix,
        };
        Ok(Self {
            address: address.to_canonical(),
            prefix,
        })
    }

    /// Returns the network of the addresses that share the first `prefix` bits of `address`, or all bits if
    /// there are no more.
    pub(super) const fn around(address: IpAddr, prefix: u8) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => {
                let prefix = if prefix > 32 { 32 } else { prefix };
                let first = Ipv4Addr::from_bits(address.to_bits() & mask_v4(prefix));
                Self {
                    address: IpAddr::V4(first),
                    prefix,
                }
            }
            IpAddr::V6(address) => {
                let prefix = if prefix > 128 { 128 } else { prefix };
                let first = Ipv6Addr::from_bits(address.to_bits() & mask_v6(prefix));
                Self {
                    address: IpAddr::V6(first),
                    prefix,
                }
            }
        }
    }

    /// Returns the network's first address.
    #[must_use]
    pub const fn address(&self) -> IpAddr {
        self.address
    }

    /// Returns the length of the prefix in bits.
    #[must_use]
    pub const fn prefix(&self) -> u8 {
        self.prefix
    }

    /// Tells whether `address`, in its canonical form, is in the network.
    #[must_use]
    pub const fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(first), IpAddr::V4(address)) => {
                address.to_bits() & mask_v4(self.prefix) == first.to_bits()
            }
            (IpAddr::V6(first), IpAddr::V6(address)) => {
                address.to_bits() & mask_v6(self.prefix) == first.to_bits()
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }

    /// Creates a network of a built-in table.
    pub(super) const fn v4([a, b, c, d]: [u8; 4], prefix: u8) -> Self {
        Self::literal(IpAddr::V4(Ipv4Addr::new(a, b, c, d)), prefix)
    }

    /// Creates a network of a built-in table.
    pub(super) const fn v6([a, b, c, d, e, f, g, h]: [u16; 8], prefix: u8) -> Self {
        Self::literal(IpAddr::V6(Ipv6Addr::new(a, b, c, d, e, f, g, h)), prefix)
    }

    /// Fails to compile, rather than to run, if used in a constant.
    const fn literal(address: IpAddr, prefix: u8) -> Self {
        match Self::new(address, prefix) {
            Ok(network) => network,
            Err(_) => panic!("a built-in network is malformed"),
        }
    }
}

const fn mask_v4(prefix: u8) -> u32 {
    match u32::MAX.checked_shr(prefix as u32) {
        Some(host) => !host,
        None => u32::MAX,
    }
}

const fn mask_v6(prefix: u8) -> u128 {
    match u128::MAX.checked_shr(prefix as u32) {
        Some(host) => !host,
        None => u128::MAX,
    }
}

/// The network of one address.
impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        let address = address.to_canonical();
        Self {
            address,
            prefix: if address.is_ipv4() { 32 } else { 128 },
        }
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, prefix) = text
            .split_once('/')
            .map_or((text, None), |(a, p)| (a, Some(p)));
        let address: IpAddr = address.parse().map_err(|_| NetworkError::Address)?;
        let Some(prefix) = prefix else {
            return Ok(address.into());
        };
        if !prefix.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(NetworkError::Prefix);
        }
        Self::new(address, prefix.parse().map_err(|_| NetworkError::Prefix)?)
    }
}

/// Writes `address/prefix`.
impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// Why a text or a pair is not a network.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NetworkError {
    /// The part before the slash is no address.
    Address,
    /// The prefix is no number or longer than the address.
    Prefix,
    /// The address has bits set beyond the prefix.
    HostBits,
}

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Address => "the network's address is not valid",
            Self::Prefix => {
                "the network's prefix is not a number from 0 to 32 (IPv4) or 128 (IPv6)"
            }
            Self::HostBits => "the network's address has bits set beyond the prefix",
        })
    }
}

impl core::error::Error for NetworkError {}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::{Network, NetworkError};
    use alloc::string::ToString as _;
    use core::net::IpAddr;
    use proptest::prelude::*;

    #[test]
    fn networks_read_and_write_cidr() {
        for (text, shown) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("127.0.0.1", "127.0.0.1/32"),
            ("::1", "::1/128"),
            ("::/0", "::/0"),
            ("2001:DB8::/32", "2001:db8::/32"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("::ffff:0:0/96", "0.0.0.0/0"),
            ("::ffff:127.0.0.1", "127.0.0.1/32"),
        ] {
            assert_eq!(
                text.parse::<Network>().unwrap().to_string(),
                shown,
                "{text}"
            );
        }
    }

    #[test]
    fn malformed_networks_are_errors() {
        for (text, error) in [
            ("", NetworkError::Address),
            ("10.0.0/8", NetworkError::Address),
            ("example.com/8", NetworkError::Address),
            ("[::1]/128", NetworkError::Address),
            (" 10.0.0.0/8", NetworkError::Address),
            ("10.0.0.0/", NetworkError::Prefix),
            ("10.0.0.0/33", NetworkError::Prefix),
            ("::/129", NetworkError::Prefix),
            ("10.0.0.0/+8", NetworkError::Prefix),
            ("10.0.0.0/8/8", NetworkError::Prefix),
            ("10.0.0.0/256", NetworkError::Prefix),
            ("10.0.0.1/31", NetworkError::HostBits),
            ("1.0.0.0/0", NetworkError::HostBits),
            ("::1/127", NetworkError::HostBits),
            ("::ffff:0:0/90", NetworkError::HostBits),
        ] {
            assert_eq!(text.parse::<Network>(), Err(error), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_network_has_its_first_address_and_survives_display(address: IpAddr, prefix: u8) {
            if let Ok(network) = Network::new(address, prefix) {
                prop_assert!(network.contains(address));
                prop_assert_eq!(network.to_string().parse(), Ok(network));
            }
        }

        #[test]
        fn prefixes_cut_where_they_say(first: u32, other: u32, prefix in 0_u32..=32) {
            let host = u32::MAX.checked_shr(prefix).unwrap_or(0);
            let text = alloc::format!("{}/{prefix}", core::net::Ipv4Addr::from_bits(first & !host));
            let network: Network = text.parse().unwrap();
            let address = IpAddr::V4(core::net::Ipv4Addr::from_bits(other));
            prop_assert_eq!(network.contains(address), (first ^ other).leading_zeros() >= prefix);
        }
    }
}

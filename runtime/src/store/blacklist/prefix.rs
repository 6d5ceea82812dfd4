//! Addresses that are turned away together.

use core::fmt;
use core::str::FromStr;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use titan_core::exit::guard::{Network, NetworkError};

/// The shortest prefix of IPv4 and of IPv6 addresses: what is wider is a slip, not somebody to turn away.
const V4_MIN: u8 = 8;
const V6_MIN: u8 = 16;

/// The addresses that share a prefix: a single one, or a block such as `2001:db8::/64`, which is what one
/// subscriber of IPv6 has. Addresses of IPv4 mapped into IPv6 are the IPv4 addresses.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Prefix(Network);

/// Why a text is no prefix.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PrefixError {
    /// It is no address and no block of addresses.
    #[error("it is neither an address nor a block such as 2001:db8::/64: {0}")]
    Network(NetworkError),
    /// It would turn away a good part of the world.
    #[error("its prefix is shorter than {V4_MIN} bits (IPv4) or {V6_MIN} bits (IPv6)")]
    Wide,
}

impl Prefix {
    /// Tells whether an address is one of these.
    #[must_use]
    pub const fn contains(self, ip: IpAddr) -> bool {
        self.0.contains(ip)
    }

    /// Returns every prefix that an address may be turned away by, the longest first.
    pub(crate) fn around(ip: IpAddr) -> impl Iterator<Item = Self> {
        let ip = ip.to_canonical();
        let (len, min) = span(ip);
        (min..=len).rev().filter_map(move |prefix| {
            let first = match ip {
                IpAddr::V4(ip) => IpAddr::V4((ip.to_bits() & (u32::MAX << (32 - prefix))).into()),
                IpAddr::V6(ip) => IpAddr::V6((ip.to_bits() & (u128::MAX << (128 - prefix))).into()),
            };
            Network::new(first, prefix).ok().map(Self)
        })
    }
}

/// Returns how many bits an address has, and how many its prefix must have.
const fn span(ip: IpAddr) -> (u8, u8) {
    match ip {
        IpAddr::V4(_) => (32, V4_MIN),
        IpAddr::V6(_) => (128, V6_MIN),
    }
}

/// The address alone.
impl From<IpAddr> for Prefix {
    fn from(ip: IpAddr) -> Self {
        Self(ip.into())
    }
}

impl FromStr for Prefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let network: Network = text.parse().map_err(PrefixError::Network)?;
        let (_, min) = span(network.address());
        if network.prefix() < min {
            return Err(PrefixError::Wide);
        }
        Ok(Self(network))
    }
}

impl TryFrom<String> for Prefix {
    type Error = PrefixError;

    fn try_from(text: String) -> Result<Self, PrefixError> {
        text.parse()
    }
}

impl From<Prefix> for String {
    fn from(prefix: Prefix) -> Self {
        prefix.to_string()
    }
}

/// Writes a single address as itself, and more than one as `address/prefix`: one spelling for each.
impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (len, _) = span(self.0.address());
        if self.0.prefix() == len {
            self.0.address().fmt(f)
        } else {
            self.0.fmt(f)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_spelling() {
        for (text, shown) in [
            ("192.0.2.9", "192.0.2.9"),
            ("192.0.2.9/32", "192.0.2.9"),
            ("::ffff:192.0.2.9", "192.0.2.9"),
            ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("2001:DB8:0::/64", "2001:db8::/64"),
            ("2001:db8::1/128", "2001:db8::1"),
        ] {
            let prefix: Prefix = text.parse().unwrap();
            assert_eq!(prefix.to_string(), shown, "{text}");
            let json = serde_json::to_string(&prefix).unwrap();
            assert_eq!(json, format!("{shown:?}"));
            assert_eq!(serde_json::from_str::<Prefix>(&json).unwrap(), prefix);
        }
    }

    #[test]
    fn what_is_no_prefix_or_too_wide_is_refused() {
        for (text, error) in [
            ("x", PrefixError::Network(NetworkError::Address)),
            ("192.0.2.1/24", PrefixError::Network(NetworkError::HostBits)),
            ("192.0.2.0/33", PrefixError::Network(NetworkError::Prefix)),
            ("0.0.0.0/0", PrefixError::Wide),
            ("64.0.0.0/7", PrefixError::Wide),
            ("2000::/15", PrefixError::Wide),
            ("::ffff:0:0/96", PrefixError::Wide),
        ] {
            assert_eq!(text.parse::<Prefix>(), Err(error), "{text}");
        }
    }

    #[test]
    fn an_address_is_in_the_prefixes_around_it_and_no_other() {
        for (text, count) in [
            ("192.0.2.9", 25),
            ("::ffff:192.0.2.9", 25),
            ("2001:db8::1", 113),
            ("::", 113),
        ] {
            let ip: IpAddr = text.parse().unwrap();
            let around: Vec<Prefix> = Prefix::around(ip).collect();
            assert_eq!(around.len(), count, "{text}");
            assert_eq!(around[0], ip.into());
            assert!(around.iter().all(|prefix| prefix.contains(ip)));
            for prefix in &around {
                assert_eq!(prefix.to_string().parse(), Ok(*prefix));
            }
        }
        let block: Prefix = "2001:db8::/64".parse().unwrap();
        for (text, inside) in [("2001:db8::ffff:1", true), ("2001:db8:0:1::", false)] {
            let ip: IpAddr = text.parse().unwrap();
            assert_eq!(block.contains(ip), inside, "{text}");
            assert_eq!(Prefix::around(ip).any(|prefix| prefix == block), inside);
        }
    }
}

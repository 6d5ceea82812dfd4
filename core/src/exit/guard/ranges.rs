//! The ranges that are never public, after IANA's special-purpose registries
//! (<https://www.iana.org/assignments/iana-ipv4-special-registry>,
//! <https://www.iana.org/assignments/iana-ipv6-special-registry>).

use super::network::Network;
use core::net::IpAddr;

/// Returns the name of the range that forbids `address` for itself, whatever it carries.
pub(super) fn find(address: IpAddr) -> Option<&'static str> {
    let table = if address.is_ipv4() { V4 } else { V6 };
    let row = table.iter().find(|(network, _)| network.contains(address));
    match row {
        Some(&(_, PUBLIC)) => None,
        Some(&(_, name)) => Some(name),
        None if address.is_ipv4() => None,
        None => Some("not global unicast"),
    }
}

/// Ends the search with "permitted".
const PUBLIC: &str = "";

const METADATA: &str = "cloud metadata";
const DOCUMENTATION: &str = "documentation";
const BENCHMARKING: &str = "benchmarking";
const PRIVATE: &str = "private";
const LINK_LOCAL: &str = "link-local";
const MULTICAST: &str = "multicast";

/// The first row that has the address names it; an address in no row is public.
static V4: &[(Network, &str)] = &const {
    [
        (Network::v4([169, 254, 169, 254], 32), METADATA),
        (Network::v4([100, 100, 100, 200], 32), METADATA),
        // Azure's host agent, in the middle of public space.
        (Network::v4([168, 63, 129, 16], 32), METADATA),
        (Network::v4([0, 0, 0, 0], 8), "this network"),
        (Network::v4([10, 0, 0, 0], 8), PRIVATE),
        (Network::v4([100, 64, 0, 0], 10), "shared"),
        (Network::v4([127, 0, 0, 0], 8), "loopback"),
        (Network::v4([169, 254, 0, 0], 16), LINK_LOCAL),
        (Network::v4([172, 16, 0, 0], 12), PRIVATE),
        (Network::v4([192, 0, 0, 0], 24), "protocol assignments"),
        (Network::v4([192, 0, 2, 0], 24), DOCUMENTATION),
        (Network::v4([192, 88, 99, 0], 24), "6to4 relay"),
        (Network::v4([192, 168, 0, 0], 16), PRIVATE),
        (Network::v4([198, 18, 0, 0], 15), BENCHMARKING),
        (Network::v4([198, 51, 100, 0], 24), DOCUMENTATION),
        (Network::v4([203, 0, 113, 0], 24), DOCUMENTATION),
        (Network::v4([224, 0, 0, 0], 4), MULTICAST),
        (Network::v4([255, 255, 255, 255], 32), "broadcast"),
        (Network::v4([240, 0, 0, 0], 4), "reserved"),
    ]
};

/// The first row that has the address names it; an address in no row is not public.
static V6: &[(Network, &str)] = &const {
    [
        (
            Network::v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254], 128),
            METADATA,
        ),
        (Network::v6([0, 0, 0, 0, 0, 0, 0, 0], 128), "unspecified"),
        (Network::v6([0, 0, 0, 0, 0, 0, 0, 1], 128), "loopback"),
        (Network::v6([0, 0, 0, 0, 0, 0, 0, 0], 96), "IPv4-compatible"),
        (
            Network::v6([0, 0, 0, 0, 0xffff, 0, 0, 0], 96),
            "IPv4-translated",
        ),
        // Reaches what it carries, which is judged on its own.
        (Network::v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96), PUBLIC),
        (
            Network::v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48),
            "local NAT64",
        ),
        (Network::v6([0x100, 0, 0, 0, 0, 0, 0, 0], 64), "discard"),
        (Network::v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32), "Teredo"),
        (Network::v6([0x2001, 2, 0, 0, 0, 0, 0, 0], 48), BENCHMARKING),
        // ORCHID, drone ids, AS112 and the like: no servers.
        (
            Network::v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23),
            "protocol assignments",
        ),
        (
            Network::v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32),
            DOCUMENTATION,
        ),
        (Network::v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16), "6to4"),
        (
            Network::v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20),
            DOCUMENTATION,
        ),
        (Network::v6([0x2000, 0, 0, 0, 0, 0, 0, 0], 3), PUBLIC),
        (
            Network::v6([0x5f00, 0, 0, 0, 0, 0, 0, 0], 16),
            "segment routing",
        ),
        (
            Network::v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7),
            "unique local",
        ),
        (Network::v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10), LINK_LOCAL),
        (Network::v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10), "site-local"),
        (Network::v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8), MULTICAST),
    ]
};

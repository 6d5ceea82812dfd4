//! The routes, as Linux tells them: `net/ipv4/fib_trie.c` and `net/ipv6/route.c` write the tables.

use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use titan_core::exit::guard::OwnNetwork;

const TABLE_V4: &str = "/proc/net/route";
const TABLE_V6: &str = "/proc/net/ipv6_route";

/// How much of a table is read, in bytes: IPv6 writes its default routes last, and a router has a hundred
/// thousand others.
const TABLE_MAX: u64 = 16 * 1024 * 1024;

/// `RTF_UP`, `RTF_GATEWAY`, `RTF_REJECT` and `RTF_LOCAL`: the route is in use, leads over a router, leads
/// nowhere, or to the host itself.
const IN_USE: u32 = 0x1;
const OVER_ROUTER: u32 = 0x2;
const NOWHERE: u32 = 0x200;
const TO_ITSELF: u32 = 0x8000_0000;

/// The longest prefix of a default route: some tunnels take the two halves of all addresses instead.
const DEFAULT_MAX: u32 = 1;

/// The shortest prefixes of what counts as neighbours by a route alone: shorter ones are a tunnel's part of the
/// world.
const ON_LINK_MIN_V4: u32 = 24;
const ON_LINK_MIN_V6: u32 = 64;

/// How many prefixes are told at most.
const ON_LINK_MAX: usize = 1_024;

/// What a row says of where the host is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Route {
    /// A default route leads over this router.
    Over(IpAddr),
    /// What shares so many bits is reached without one.
    OnLink(IpAddr, u8),
}

type Row = fn(&str) -> Option<Route>;

/// Notes the routers of the default routes, and the prefixes that are reached without one.
///
/// # Errors
/// Fails as the file system does, but not where there is no table or it is kept secret.
pub(super) fn read(own: &mut OwnNetwork) -> io::Result<()> {
    let rows: [(&str, Row); 2] = [(TABLE_V4, row_v4), (TABLE_V6, row_v6)];
    for (path, row) in rows {
        let file = match File::open(path) {
            // No such family here, or Android.
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::NotFound | ErrorKind::PermissionDenied
                ) =>
            {
                continue;
            }
            file => file?,
        };
        for route in read_table(BufReader::new(file.take(TABLE_MAX)), row)? {
            match route {
                Route::Over(router) => own.gateways.push(router),
                Route::OnLink(address, prefix) => own.on_link.push((address, prefix)),
            }
        }
    }
    own.on_link.truncate(ON_LINK_MAX);
    Ok(())
}

/// Reads a table by its rows, each route once.
fn read_table(table: impl BufRead, row: Row) -> io::Result<Vec<Route>> {
    let mut found = Vec::new();
    // Names of interfaces are bytes.
    for line in table.split(b'\n') {
        found.extend(row(&String::from_utf8_lossy(&line?)));
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// Tells whether a route leads to neighbours over an interface that has some.
fn is_on_link(flags: u32, device: &str) -> bool {
    flags & (IN_USE | OVER_ROUTER | NOWHERE | TO_ITSELF) == IN_USE && device != "lo"
}

/// Reads interface, destination, gateway, flags, three counts and mask; addresses are words of four bytes as
/// this machine holds them.
fn row_v4(line: &str) -> Option<Route> {
    let mut fields = line.split_ascii_whitespace();
    let word = |text: &str| u32::from_str_radix(text, 16).ok();
    let device = fields.next()?;
    let destination = word(fields.next()?)?;
    let gateway = word(fields.next()?)?;
    let flags = word(fields.next()?)?;
    let mask = u32::from_be_bytes(word(fields.nth(3)?)?.to_ne_bytes());
    let prefix = mask.leading_ones();
    if mask.count_ones() != prefix {
        return None;
    }
    let bits = u32::from_be_bytes(destination.to_ne_bytes()) & mask;
    if prefix <= DEFAULT_MAX && flags & OVER_ROUTER != 0 && gateway != 0 {
        return Some(Route::Over(Ipv4Addr::from(gateway.to_ne_bytes()).into()));
    }
    let neighbours = prefix >= ON_LINK_MIN_V4 && is_on_link(flags, device);
    let prefix = u8::try_from(prefix).ok().filter(|_| neighbours)?;
    Some(Route::OnLink(Ipv4Addr::from_bits(bits).into(), prefix))
}

/// Reads destination and its prefix, source and its prefix, next hop, three counts, flags and interface;
/// addresses are 32 digits in the order of the wire.
fn row_v6(line: &str) -> Option<Route> {
    let mut fields = line.split_ascii_whitespace();
    let number = |text: &str| u32::from_str_radix(text, 16).ok();
    let address = |text: &str| u128::from_str_radix(text, 16).ok().map(Ipv6Addr::from_bits);
    let destination = address(fields.next()?)?;
    let prefix = number(fields.next()?)?;
    let hop = address(fields.nth(2)?)?;
    let flags = number(fields.nth(3)?)?;
    let device = fields.next()?;
    if prefix <= DEFAULT_MAX && flags & OVER_ROUTER != 0 && !hop.is_unspecified() {
        return Some(Route::Over(hop.into()));
    }
    let neighbours = prefix >= ON_LINK_MIN_V6 && is_on_link(flags, device);
    let prefix = u8::try_from(prefix).ok().filter(|_| neighbours)?;
    Some(Route::OnLink(destination.into(), prefix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEAD_V4: &str =
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT";

    fn word(address: &str) -> String {
        let octets = address.parse::<Ipv4Addr>().unwrap().octets();
        format!("{:08X}", u32::from_ne_bytes(octets))
    }

    fn line_v4(destination: &str, gateway: &str, flags: u32, mask: &str) -> String {
        let [destination, gateway, mask] = [destination, gateway, mask].map(word);
        format!("eth0\t{destination}\t{gateway}\t{flags:04X}\t0\t0\t100\t{mask}\t0\t0\t0   ")
    }

    fn digits(address: &str) -> String {
        format!("{:032x}", address.parse::<Ipv6Addr>().unwrap().to_bits())
    }

    fn line_v6(destination: &str, prefix: u32, hop: &str, flags: u32) -> String {
        let (to, zero, hop) = (digits(destination), digits("::"), digits(hop));
        format!("{to} {prefix:02x} {zero} 00 {hop} 00000400 00000001 00000000 {flags:08x}     eth0")
    }

    fn over(router: &str) -> Route {
        Route::Over(router.parse().unwrap())
    }

    fn on_link(address: &str, prefix: u8) -> Route {
        Route::OnLink(address.parse().unwrap(), prefix)
    }

    #[test]
    fn routers_and_neighbours_are_found() {
        let table = [
            HEAD_V4.to_owned(),
            line_v4("0.0.0.0", "198.41.0.1", 3, "0.0.0.0"),
            line_v4("0.0.0.0", "198.41.0.1", 3, "0.0.0.0"),
            // The two halves, as tunnels take them.
            line_v4("0.0.0.0", "198.41.0.2", 3, "128.0.0.0"),
            line_v4("128.0.0.0", "198.41.0.2", 3, "128.0.0.0"),
            // Neighbours, another network, a link without a router, and what leads nowhere.
            line_v4("198.41.0.0", "0.0.0.0", 1, "255.255.255.0"),
            line_v4("10.0.0.0", "198.41.0.3", 3, "255.0.0.0"),
            line_v4("0.0.0.0", "0.0.0.0", 1, "0.0.0.0"),
            line_v4("198.42.0.0", "0.0.0.0", 1, "255.254.0.0"),
            line_v4("198.43.0.9", "0.0.0.0", 0x201, "255.255.255.255"),
        ];
        let found = read_table(table.join("\n").as_bytes(), row_v4).unwrap();
        let expected = [
            over("198.41.0.1"),
            over("198.41.0.2"),
            on_link("198.41.0.0", 24),
        ];
        assert_eq!(found, expected);
        let table = [
            line_v6("::", 0, "fe80::1", 3),
            line_v6("::", 0, "2606:4700::1", 3),
            line_v6("2606:4700:1::", 64, "2606:4700::2", 3),
            // A host that got its address alone, and the prefix as a route.
            line_v6("2606:4700:2::", 64, "::", 1),
            line_v6("2606:4700::", 32, "::", 1),
            // The host itself, and what is not to be reached at all.
            line_v6("2606:4700:2::5", 128, "::", 0x8000_0001),
            line_v6("::", 0, "::", 0x0020_0200),
        ];
        let found = read_table(table.join("\n").as_bytes(), row_v6).unwrap();
        let expected = [
            over("2606:4700::1"),
            over("fe80::1"),
            on_link("2606:4700:2::", 64),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_table_that_breaks_off_is_an_error() {
        struct Broken;
        impl io::Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(ErrorKind::Other.into())
            }
        }
        assert!(read_table(BufReader::new(Broken), row_v4).is_err());
    }

    #[test]
    fn a_table_as_the_kernel_writes_it_is_read() {
        let row = "wlan0\t00000000\t0101A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0";
        let route = row_v4(row).unwrap();
        if cfg!(target_endian = "little") {
            assert_eq!(route, over("192.168.1.1"));
        }
        let row = "00000000000000000000000000000000 00 00000000000000000000000000000000 00 \
                   fe800000000000000000000000000001 00000258 00000001 00000000 00000003    wlan0";
        assert_eq!(row_v6(row), Some(over("fe80::1")));
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_fault(text in "(\\PC{0,40}|[0-9A-Fa-f \\t\\n]{0,200})") {
            for row in [row_v4 as Row, row_v6] {
                let found = read_table(text.as_bytes(), row).unwrap();
                prop_assert!(found.len() <= text.lines().count());
            }
        }

        #[test]
        fn a_row_is_read_as_it_was_written(
            destination: u32, gateway: u32, flags in 0_u32..0x1000, prefix in 0_u32..=32,
        ) {
            let mask = !u32::MAX.checked_shr(prefix).unwrap_or(0);
            let text = |bits: u32| Ipv4Addr::from_bits(bits).to_string();
            let line = line_v4(&text(destination & mask), &text(gateway), flags, &text(mask));
            let expected = if prefix <= 1 && flags & 2 != 0 && gateway != 0 {
                Some(over(&text(gateway)))
            } else if prefix >= 24 && flags & 0x203 == 1 {
                Some(on_link(&text(destination & mask), prefix as u8))
            } else {
                None
            };
            prop_assert_eq!(row_v4(&line), expected);
        }

        #[test]
        fn a_row_of_ipv6_is_read_as_it_was_written(
            destination: u128, hop: u128, flags: u32, prefix in 0_u32..=128,
        ) {
            let text = |bits| Ipv6Addr::from_bits(bits).to_string();
            let line = line_v6(&text(destination), prefix, &text(hop), flags);
            let expected = if prefix <= 1 && flags & 2 != 0 && hop != 0 {
                Some(over(&text(hop)))
            } else if prefix >= 64 && flags & 0x8000_0203 == 1 {
                Some(on_link(&text(destination), prefix as u8))
            } else {
                None
            };
            prop_assert_eq!(row_v6(&line), expected);
        }
    }
}

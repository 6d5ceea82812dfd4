//! The default routes, as Linux tells them: `net/ipv4/fib_trie.c` and `net/ipv6/route.c` write the tables.

use std::fs::File;
use std::io::{BufRead, BufReader, Read as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const TABLE_V4: &str = "/proc/net/route";
const TABLE_V6: &str = "/proc/net/ipv6_route";

/// How much of a table is read, in bytes: default routes come first, and a router has a million others.
const TABLE_MAX: u64 = 256 * 1024;

/// `RTF_GATEWAY`: the route leads over a router.
const OVER_ROUTER: u32 = 0x2;

/// The longest prefix of a default route: some tunnels take the two halves of all addresses instead.
const DEFAULT_MAX: u32 = 1;

/// Reads the router out of a row that is a default route.
type Row = fn(&str) -> Option<IpAddr>;

/// Returns the routers of the default routes; none of a table that cannot be read.
pub(super) fn read_gateways() -> Vec<IpAddr> {
    let rows: [(&str, Row); 2] = [(TABLE_V4, row_v4), (TABLE_V6, row_v6)];
    let mut found = Vec::new();
    for (path, row) in rows {
        if let Ok(file) = File::open(path) {
            found.extend(read_table(BufReader::new(file.take(TABLE_MAX)), row));
        }
    }
    found
}

/// Reads a table by its rows, each router once.
fn read_table(table: impl BufRead, row: impl Fn(&str) -> Option<IpAddr>) -> Vec<IpAddr> {
    let lines = table.lines().map_while(Result::ok);
    let mut found: Vec<_> = lines.filter_map(|line| row(&line)).collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// Reads interface, destination, gateway, flags, three counts and mask; addresses are words of four bytes as
/// this machine holds them.
fn row_v4(line: &str) -> Option<IpAddr> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let word = |text: &str| u32::from_str_radix(text, 16).ok();
    let destination = word(fields.next()?)?;
    let gateway = word(fields.next()?)?;
    let flags = word(fields.next()?)?;
    let mask = u32::from_be_bytes(word(fields.nth(3)?)?.to_ne_bytes());
    let spread = u32::from_be_bytes(destination.to_ne_bytes()) & !mask == 0;
    let is_default =
        spread && mask.leading_ones() <= DEFAULT_MAX && mask.count_ones() <= DEFAULT_MAX;
    let leads = is_default && flags & OVER_ROUTER != 0 && gateway != 0;
    leads.then(|| Ipv4Addr::from(gateway.to_ne_bytes()).into())
}

/// Reads destination and its prefix, source and its prefix, next hop, three counts and flags; addresses are
/// 32 digits in the order of the wire.
fn row_v6(line: &str) -> Option<IpAddr> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let number = |text: &str| u32::from_str_radix(text, 16).ok();
    let prefix = number(fields.next()?)?;
    let hop = fields.nth(2)?;
    let hop = Ipv6Addr::from_bits(u128::from_str_radix(hop, 16).ok()?);
    let flags = number(fields.nth(3)?)?;
    let leads = prefix <= DEFAULT_MAX && flags & OVER_ROUTER != 0 && !hop.is_unspecified();
    leads.then_some(hop.into())
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

    fn line_v6(prefix: u32, hop: &str, flags: u32) -> String {
        let (zero, hop) = (digits("::"), digits(hop));
        format!(
            "{zero} {prefix:02x} {zero} 00 {hop} 00000400 00000001 00000000 {flags:08x}     eth0"
        )
    }

    #[test]
    fn the_routers_of_default_routes_are_found() {
        let table = [
            HEAD_V4.to_owned(),
            line_v4("0.0.0.0", "198.41.0.1", 3, "0.0.0.0"),
            line_v4("0.0.0.0", "198.41.0.1", 3, "0.0.0.0"),
            // The two halves, as tunnels take them.
            line_v4("0.0.0.0", "198.41.0.2", 3, "128.0.0.0"),
            line_v4("128.0.0.0", "198.41.0.2", 3, "128.0.0.0"),
            // Neighbours, another network, and a link without a router.
            line_v4("198.41.0.0", "0.0.0.0", 1, "255.255.255.0"),
            line_v4("10.0.0.0", "198.41.0.3", 3, "255.0.0.0"),
            line_v4("0.0.0.0", "0.0.0.0", 1, "0.0.0.0"),
        ];
        let found = read_table(table.join("\n").as_bytes(), row_v4);
        assert_eq!(
            found,
            ["198.41.0.1", "198.41.0.2"].map(|ip| ip.parse::<IpAddr>().unwrap())
        );
        let table = [
            line_v6(0, "fe80::1", 3),
            line_v6(0, "2606:4700::1", 3),
            line_v6(64, "2606:4700::2", 3),
            // What is not to be reached at all.
            line_v6(0, "::", 0x0020_0200),
        ];
        let found = read_table(table.join("\n").as_bytes(), row_v6);
        assert_eq!(
            found,
            ["2606:4700::1", "fe80::1"].map(|ip| ip.parse::<IpAddr>().unwrap())
        );
    }

    #[test]
    fn a_table_as_the_kernel_writes_it_is_read() {
        let row = "wlan0\t00000000\t0101A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0";
        let gateway = row_v4(row).unwrap();
        if cfg!(target_endian = "little") {
            assert_eq!(gateway, IpAddr::from([192, 168, 1, 1]));
        }
        let row = "00000000000000000000000000000000 00 00000000000000000000000000000000 00 \
                   fe800000000000000000000000000001 00000258 00000001 00000000 00000003    wlan0";
        assert_eq!(row_v6(row), Some("fe80::1".parse().unwrap()));
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_fault(text in "(\\PC{0,40}|[0-9A-Fa-f \\t\\n]{0,200})") {
            for row in [row_v4, row_v6] {
                let found = read_table(text.as_bytes(), row);
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
            let leads = prefix <= 1 && flags & 2 != 0 && gateway != 0;
            let expected = leads.then(|| IpAddr::V4(Ipv4Addr::from_bits(gateway)));
            prop_assert_eq!(row_v4(&line), expected);
        }

        #[test]
        fn a_row_of_ipv6_is_read_as_it_was_written(
            hop: u128, flags: u32, prefix in 0_u32..=128,
        ) {
            let hop = Ipv6Addr::from_bits(hop);
            let leads = prefix <= 1 && flags & 2 != 0 && !hop.is_unspecified();
            let line = line_v6(prefix, &hop.to_string(), flags);
            prop_assert_eq!(row_v6(&line), leads.then_some(IpAddr::V6(hop)));
        }
    }
}

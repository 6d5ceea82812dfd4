//! IPv4 addresses inside IPv6 addresses.

use core::net::{Ipv4Addr, Ipv6Addr};

/// An IPv4 address found in an IPv6 address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Embedded {
    /// The address.
    pub(super) address: Ipv4Addr,
    /// How many leading bits of the IPv6 address spell it out.
    pub(super) bits_end: u8,
}

/// Returns every IPv4 address that `address` carries. IPv4-mapped addresses are not looked for: their
/// canonical form is IPv4.
pub(super) fn embedded(address: Ipv6Addr) -> impl Iterator<Item = Embedded> {
    let bits = address.to_bits();
    // The 32 bits that end at `bits_end`.
    let at = move |bits_end: u8| Embedded {
        address: Ipv4Addr::from_bits((bits >> (128 - u32::from(bits_end))) as u32),
        bits_end,
    };
    // The same over the byte of zeros at bit 64 that splits them (RFC 6052 section 2.2).
    let split_at = move |bits_end: u8| {
        let joined = (bits & !(u128::MAX >> 64)) | (bits << 72 >> 64);
        Embedded {
            address: Ipv4Addr::from_bits((joined >> (136 - u32::from(bits_end))) as u32),
            bits_end,
        }
    };
    // Tells whether all bits from `start` are zero, the padding of a short NAT64 prefix.
    let padded = move |start: u32| bits << start == 0 && (bits >> 56) as u8 == 0;

    let found: [Option<Embedded>; 4] = match address.segments() {
        // Unspecified and loopback: RFC 4291 section 2.5.5 does not count them as IPv4-compatible.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => [None; 4],
        // IPv4-compatible (RFC 4291 section 2.5.5.1), IPv4-translated (RFC 2765 section 2.1), NAT64 with
        // the well-known prefix (RFC 6052 section 2.1).
        [0, 0, 0, 0, 0, 0, _, _]
        | [0, 0, 0, 0, 0xffff, 0, _, _]
        | [0x64, 0xff9b, 0, 0, 0, 0, _, _] => [Some(at(128)), None, None, None],
        // Local NAT64 (RFC 8215). How long its prefix is cannot be seen: every reading counts that the
        // padding permits, and the last one unless its bits are padding.
        [0x64, 0xff9b, 1, ..] => [
            padded(88).then(|| split_at(88)),
            padded(96).then(|| split_at(96)),
            padded(104).then(|| split_at(104)),
            (!padded(96)).then(|| at(128)),
        ],
        // Teredo (RFC 4380 section 4): the server, and the client with all bits inverted.
        [0x2001, 0, ..] => {
            let client = Embedded {
                address: Ipv4Addr::from_bits(!bits as u32),
                bits_end: 128,
            };
            [Some(at(64)), Some(client), None, None]
        }
        // 6to4 (RFC 3056 section 2), possibly with an ISATAP interface behind it.
        [0x2002, _, _, _, 0 | 0x200, 0x5efe, _, _] => [Some(at(48)), Some(at(128)), None, None],
        [0x2002, ..] => [Some(at(48)), None, None, None],
        // ISATAP (RFC 5214 section 6.1); the bit tells whether the IPv4 address is globally unique.
        [_, _, _, _, 0 | 0x200, 0x5efe, _, _] => [Some(at(128)), None, None, None],
        _ => [None; 4],
    };
    found.into_iter().flatten()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::embedded;
    use alloc::vec::Vec;

    #[test]
    fn examples_of_the_specifications_decode() {
        for (address, expected) in [
            ("::1", ""),
            ("::", ""),
            ("::192.0.2.33", "192.0.2.33/128"),
            ("::ffff:0:192.0.2.33", "192.0.2.33/128"),
            ("64:ff9b::192.0.2.33", "192.0.2.33/128"),
            // RFC 6052 section 2.4, with the local prefix cut to 48, 56, 64 and 96 bits.
            (
                "64:ff9b:1:c000:2:2100::",
                "192.0.2.33/88 0.2.33.0/96 2.33.0.0/104",
            ),
            ("64:ff9b:1:3c0:0:221::", "192.0.2.33/96 0.2.33.0/104"),
            ("64:ff9b:1:3:c0:2:2100:0", "192.0.2.33/104 33.0.0.0/128"),
            ("64:ff9b:1:3:4:5:192.0.2.33", "192.0.2.33/128"),
            ("64:ff9b:1:3:100:0:192.0.2.33", "192.0.2.33/128"),
            ("2002:c000:0221::1", "192.0.2.33/48"),
            (
                "2002:c000:0221::5efe:10.0.0.1",
                "192.0.2.33/48 10.0.0.1/128",
            ),
            // RFC 4380 section 4: the client 192.0.2.45, its server 65.54.227.120.
            (
                "2001:0:4136:e378:8000:63bf:3fff:fdd2",
                "65.54.227.120/64 192.0.2.45/128",
            ),
            ("2606:4700::5efe:10.0.0.1", "10.0.0.1/128"),
            ("fe80::200:5efe:8.8.8.8", "8.8.8.8/128"),
            ("2606:4700::1111", ""),
        ] {
            let found: Vec<_> = embedded(address.parse().unwrap())
                .map(|found| alloc::format!("{}/{}", found.address, found.bits_end))
                .collect();
            assert_eq!(found.join(" "), expected, "{address}");
        }
    }
}

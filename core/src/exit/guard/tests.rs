#![allow(clippy::unwrap_used, reason = "tests")]

use super::{Forbidden, Guard, Network, canonical};
use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use proptest::prelude::*;
use titan_proto::Code;

/// The forbidden IPv4 ranges as first and last address, written down apart from the table under test.
const FORBIDDEN_V4: [(u32, u32); 19] = [
    (0x0000_0000, 0x00ff_ffff),
    (0x0a00_0000, 0x0aff_ffff),
    (0x6440_0000, 0x647f_ffff),
    (0x6464_64c8, 0x6464_64c8),
    (0x7f00_0000, 0x7fff_ffff),
    (0xa83f_8110, 0xa83f_8110),
    (0xa9fe_0000, 0xa9fe_ffff),
    (0xa9fe_a9fe, 0xa9fe_a9fe),
    (0xac10_0000, 0xac1f_ffff),
    (0xc000_0000, 0xc000_00ff),
    (0xc000_0200, 0xc000_02ff),
    (0xc058_6300, 0xc058_63ff),
    (0xc0a8_0000, 0xc0a8_ffff),
    (0xc612_0000, 0xc613_ffff),
    (0xc633_6400, 0xc633_64ff),
    (0xcb00_7100, 0xcb00_71ff),
    (0xe000_0000, 0xefff_ffff),
    (0xf000_0000, 0xffff_fffe),
    (0xffff_ffff, 0xffff_ffff),
];

fn forbidden_v4(bits: u32) -> bool {
    FORBIDDEN_V4
        .iter()
        .any(|&(first, last)| (first..=last).contains(&bits))
}

/// The forbidden IPv6 ranges in and around global unicast, as first and last address.
const FORBIDDEN_V6: [(&str, &str); 16] = [
    ("::", "::1"),
    ("::2", "64:ff9a:ffff:ffff:ffff:ffff:ffff:ffff"),
    (
        "64:ff9b:0:0:0:1::",
        "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    ),
    ("64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff"),
    ("100::", "100::ffff:ffff:ffff:ffff"),
    ("2001::", "2001:0:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("2001:1::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("4000::", "5eff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("5f00::", "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("5f01::", "fbff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("fe00::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
];

fn guard(allow: &[&str]) -> Guard {
    Guard::new(networks(allow))
}

fn networks(texts: &[&str]) -> Vec<Network> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn passes(guard: &Guard, address: &str) -> bool {
    guard.check(ip(address)).is_ok()
}

/// Builds an IPv6 address from the bits around an IPv4 address that ends at `bits_end`.
fn carry(carrier: &str, bits: u32, bits_end: u32) -> IpAddr {
    let carrier: Ipv6Addr = carrier.parse().unwrap();
    Ipv6Addr::from_bits(carrier.to_bits() | (u128::from(bits) << (128 - bits_end))).into()
}

/// Asserts that one IPv4 address gets the expected verdict bare and in each form that carries it.
fn assert_verdicts(bits: u32, expected: bool) {
    let public = Guard::default();
    let opened = guard(&["::/0"]);
    let address = Ipv4Addr::from_bits(bits);
    assert_eq!(public.check(address.into()).is_ok(), expected, "{address}");

    // The forms that are judged by what they carry, and those in public space that carry it.
    for carrier in [
        "::ffff:0:0",
        "64:ff9b::",
        "2606:4700::5efe:0:0",
        "2606:4700::200:5efe:0:0",
    ] {
        let address = carry(carrier, bits, 128);
        assert_eq!(public.check(address).is_ok(), expected, "{address}");
    }
    // The forms that are forbidden as a whole: not even a public address passes, and where the form
    // itself is allowed, only a public one does.
    let wholes = [
        carry("::", bits, 128),
        carry("::ffff:0:0:0", bits, 128),
        carry("64:ff9b:1:2:103:4::", bits, 128),
        carry("2002::1", bits, 48),
        // Client 8.8.8.8 behind the server, then the server 8.8.8.8 before the client.
        carry("2001::f7f7:f7f7", bits, 64),
        carry("2001:0:808:808::", !bits, 128),
    ];
    for address in wholes {
        assert!(public.check(address).is_err(), "{address}");
        if !["::", "::1"].map(ip).contains(&address) {
            assert_eq!(
                opened.check(address).is_ok(),
                expected,
                "{address} with its form allowed"
            );
        }
    }
    if !expected {
        let allowed = Guard::new(vec![IpAddr::from(address).into()]);
        for carrier in ["::ffff:0:0", "64:ff9b::", "2606:4700::5efe:0:0"] {
            let address = carry(carrier, bits, 128);
            assert_eq!(
                allowed.check(address),
                Ok(()),
                "{address} with what it carries allowed"
            );
        }
    }
}

#[test]
fn every_boundary_of_every_range_holds_bare_and_embedded() {
    for (first, last) in FORBIDDEN_V4 {
        for bits in [
            first.wrapping_sub(1),
            first,
            first + (last - first) / 2,
            last,
            last.wrapping_add(1),
        ] {
            assert_verdicts(bits, !forbidden_v4(bits));
        }
    }
    for address in [
        [8, 8, 8, 8],
        [1, 1, 1, 1],
        [100, 63, 255, 255],
        [172, 32, 0, 0],
        [223, 255, 255, 255],
    ] {
        assert_verdicts(u32::from_be_bytes(address), true);
    }
}

#[test]
fn every_boundary_of_every_ipv6_range_holds() {
    let guard = Guard::default();
    let bounds = FORBIDDEN_V6.map(|(first, last)| {
        let bits = |text: &str| text.parse::<Ipv6Addr>().unwrap().to_bits();
        (bits(first), bits(last))
    });
    // These two are judged by what they carry.
    let delegated =
        |bits: u128| bits >> 32 == 0xffff || bits >> 32 == u128::from(0x64_ff9b_u64) << 64;
    for (first, last) in bounds {
        for bits in [
            first.wrapping_sub(1),
            first,
            first / 2 + last / 2,
            last,
            last.wrapping_add(1),
        ] {
            if !delegated(bits) {
                let expected = bounds
                    .iter()
                    .any(|&(first, last)| (first..=last).contains(&bits));
                let address = Ipv6Addr::from_bits(bits);
                assert_eq!(guard.check(address.into()).is_err(), expected, "{address}");
            }
        }
    }
    for public in [
        "2000::",
        "2001:200::",
        "2001:4860:4860::8888",
        "2606:4700::1111",
        "2a00::1",
        "3fff:1000::",
    ] {
        assert!(passes(&guard, public), "{public}");
    }
}

#[test]
fn verdicts_name_their_range() {
    let guard = Guard::default();
    let range = |address: &str| guard.check(ip(address)).map_err(Forbidden::range);
    for (address, expected) in [
        ("169.254.169.254", "cloud metadata"),
        ("168.63.129.16", "cloud metadata"),
        ("100.100.100.200", "cloud metadata"),
        ("fd00:ec2::254", "cloud metadata"),
        ("169.254.169.253", "link-local"),
        ("192.168.1.1", "private"),
        ("::ffff:127.0.0.1", "loopback"),
        ("64:ff9b::127.0.0.1", "loopback"),
        ("2606:4700::5efe:10.0.0.1", "private"),
        ("::1", "loopback"),
        ("::", "unspecified"),
        ("2002:808:808::1", "6to4"),
        ("2001::1", "Teredo"),
        ("1234::", "not global unicast"),
        ("255.255.255.255", "broadcast"),
    ] {
        assert_eq!(range(address), Err(expected), "{address}");
    }
}

#[test]
fn the_allow_list_makes_exceptions_address_by_address() {
    let lab = guard(&[
        "127.0.0.0/8",
        "192.168.1.7",
        "fd00::/8",
        "fe80::5efe:10.0.0.1",
    ]);
    for address in [
        "127.0.0.1",
        "::ffff:127.0.0.1",
        "64:ff9b::127.0.0.1",
        "192.168.1.7",
        "fd12::1",
    ] {
        assert!(passes(&lab, address), "{address}");
    }
    assert!(
        passes(&lab, "fe80::5efe:10.0.0.1"),
        "an entry that spells out what is carried"
    );
    for address in [
        "192.168.1.8",
        "10.0.0.1",
        "::1",
        "2002:7f00:1::",
        "::127.0.0.1",
        "fd00::5efe:10.0.0.1",
    ] {
        assert!(!passes(&lab, address), "{address}");
    }
    let mapped = guard(&["::ffff:10.0.0.0/104"]);
    assert!(passes(&mapped, "10.1.2.3") && passes(&mapped, "::ffff:10.1.2.3"));
    let all_v6 = guard(&["::/0"]);
    assert!(passes(&all_v6, "::1") && passes(&all_v6, "ff02::1"));
    assert!(
        !passes(&all_v6, "::ffff:127.0.0.1"),
        "a mapped address is IPv4"
    );
    assert!(
        !passes(&all_v6, "64:ff9b:1:a00:0:100::"),
        "10.0.0.1 behind a local prefix of 48 bits"
    );
    assert!(
        !passes(&all_v6, "64:ff9b:1:0:a:0:100:0"),
        "10.0.0.1 behind one of 64 bits"
    );
}

#[test]
fn what_is_denied_stays_so_within_what_is_allowed() {
    let mut guard = guard(&["10.0.0.0/8", "2606:4700::2"]);
    let addresses = ["10.0.0.1", "10.0.0.2", "198.41.0.5", "2606:4700::2"];
    assert!(addresses.iter().all(|address| passes(&guard, address)));
    guard.deny(vec![ip("10.0.0.2").into(), ip("198.41.0.5").into()]);
    assert_eq!(
        addresses.map(|address| passes(&guard, address)),
        [true, false, false, true]
    );
    assert!(!passes(&guard, "::ffff:198.41.0.5"));
    assert!(!passes(&guard, "64:ff9b::198.41.0.5"));
    guard.deny(Vec::new());
    assert!(
        addresses.iter().all(|address| passes(&guard, address)),
        "the list is replaced"
    );
}

#[test]
fn answers_are_filtered_to_canonical_public_addresses() {
    let guard = Guard::default();
    let filter = |answer: &[&str]| guard.filter(answer.iter().map(|text| ip(text)).collect());
    assert_eq!(
        filter(&[
            "10.0.0.1",
            "8.8.8.8",
            "::1",
            "::ffff:9.9.9.9",
            "2606:4700::1111"
        ]),
        Ok(vec![ip("8.8.8.8"), ip("9.9.9.9"), ip("2606:4700::1111")])
    );
    assert_eq!(
        filter(&["127.0.0.1", "::ffff:10.0.0.1"]),
        Err(Code::Forbidden)
    );
    assert_eq!(filter(&[]), Err(Code::NotResolved));
    assert_eq!(
        guard.check(ip("::1")).map_err(Code::from),
        Err(Code::Forbidden)
    );
}

/// Any address, with those that carry IPv4 made likely.
fn addresses() -> impl Strategy<Value = IpAddr> {
    let carriers = prop::sample::select(vec![
        0_u128,
        0xffff << 32,
        0xffff << 48,
        0x64_ff9b << 96,
        0x64_ff9b_0001 << 80,
        0x2001 << 112,
        0x2002 << 112,
        0x2606_4700_u128 << 96 | 0x5efe << 32,
    ]);
    prop_oneof![
        any::<IpAddr>(),
        (
            carriers,
            any::<u32>(),
            prop::sample::select(vec![0, 24, 40, 64, 80])
        )
            .prop_map(|(carrier, bits, shift)| Ipv6Addr::from_bits(
                carrier | u128::from(bits) << shift
            )
            .into()),
    ]
}

proptest! {
    #[test]
    fn random_ipv4_verdicts_agree_in_every_form(bits: u32) {
        assert_verdicts(bits, !forbidden_v4(bits));
    }

    #[test]
    fn the_canonical_form_gets_the_same_verdict(address in addresses(), other in addresses(), prefix in 0_u8..=128) {
        let mut guard = Guard::new(Network::new(other, prefix).into_iter().collect());
        prop_assert_eq!(guard.check(address), guard.check(canonical(address)));
        guard.deny(vec![address.into()]);
        prop_assert_eq!(guard.check(address), guard.check(canonical(address)));
        prop_assert_eq!(canonical(canonical(address)), canonical(address));
        prop_assert_eq!(guard.filter(vec![address]).is_ok(), guard.check(address).is_ok());
    }

    #[test]
    fn an_address_passes_once_it_is_allowed_and_not_denied(address in addresses()) {
        let mut guard = Guard::new(vec![address.into()]);
        prop_assert_eq!(guard.check(address), Ok(()));
        guard.deny(vec![address.into()]);
        prop_assert!(guard.check(address).is_err());
    }

    #[test]
    fn denying_never_permits(address in addresses(), denied in addresses()) {
        let public = Guard::default();
        let mut strict = Guard::default();
        strict.deny(vec![denied.into()]);
        prop_assert!(public.check(address).is_ok() || strict.check(address).is_err());
        prop_assert!(strict.check(denied).is_err());
    }
}

#![allow(clippy::unwrap_used, reason = "tests")]

use super::{Host, HostError, NAME_LEN_MAX, Target};
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};
use proptest::prelude::*;

fn ip(text: &str) -> Result<Host, HostError> {
    Ok(Host::Ip(text.parse().unwrap()))
}

fn name(text: &str) -> Result<Host, HostError> {
    Ok(Host::Name(text.into()))
}

#[test]
fn every_spelling_of_an_address_is_that_address() {
    for text in [
        "127.0.0.1",
        "127.0.0.1.",
        "127.1",
        "127.0.1",
        "2130706433",
        "0177.0.0.1",
        "0x7f.1",
        "0X7F.0x0.0.01",
        "017700000001",
        "0x7f000001",
        "00000177.1",
    ] {
        assert_eq!(Host::parse(text), ip("127.0.0.1"), "{text}");
    }
    assert_eq!(Host::parse("0"), ip("0.0.0.0"));
    assert_eq!(Host::parse("0x"), ip("0.0.0.0"));
    assert_eq!(Host::parse("4294967295"), ip("255.255.255.255"));
    assert_eq!(Host::parse("1.16777215"), ip("1.255.255.255"));
    assert_eq!(Host::parse("::1"), ip("::1"));
    assert_eq!(Host::parse("[::1]"), ip("::1"));
    assert_eq!(Host::parse("[2001:DB8::A]"), ip("2001:db8::a"));
    assert_eq!(
        Host::parse("::ffff:127.0.0.1"),
        ip("::ffff:127.0.0.1"),
        "stays as given"
    );
}

#[test]
fn numbers_that_are_no_address_are_errors() {
    for text in [
        "256.0.0.1",
        "1.2.3.256",
        "4294967296",
        "1.16777216",
        "1.2.65536",
        "1.2.3.4.5",
        "09",
        "1.2.3.08",
        "0x1ffffffff",
        "example.1",
        "a.0x1",
        "1.a.3.4",
        "99999999999999999999",
        "0.0.0.0.0",
        "-1.2",
        "a.0xfffffffff",
    ] {
        assert_eq!(Host::parse(text), Err(HostError::Ipv4), "{text}");
    }
    assert_eq!(
        Host::parse("1.2.3.0x7g"),
        name("1.2.3.0x7g"),
        "no number, hence a name"
    );
    assert_eq!(Host::parse("1.2.3.4a"), name("1.2.3.4a"));
    assert_eq!(Host::parse("+1"), Err(HostError::Character));
}

#[test]
fn names_are_lower_case_without_trailing_dot() {
    assert_eq!(Host::parse("Example.COM."), name("example.com"));
    assert_eq!(Host::parse("_dns.x-1.xn--p1ai"), name("_dns.x-1.xn--p1ai"));
    assert_eq!(Host::parse("localhost"), name("localhost"));
}

#[test]
fn malformed_hosts_name_the_broken_rule() {
    for (text, error) in [
        ("", HostError::Empty),
        (".", HostError::Empty),
        ("..", HostError::Label),
        ("a..b", HostError::Label),
        (".a", HostError::Label),
        ("a..", HostError::Label),
        ("1..2", HostError::Label),
        ("a b", HostError::Character),
        ("a\0b", HostError::Character),
        ("bücher.example", HostError::Character),
        ("１２７.0.0.1", HostError::Character),
        ("a%2e", HostError::Character),
        ("example.com]", HostError::Character),
        ("[example.com]", HostError::Ipv6),
        ("[127.0.0.1]", HostError::Ipv6),
        ("[::1", HostError::Ipv6),
        ("::1]", HostError::Ipv6),
        ("[[::1]]", HostError::Ipv6),
        ("[::1].", HostError::Ipv6),
        ("[]", HostError::Ipv6),
        ("[fe80::1%1]", HostError::Ipv6),
        ("fe80::1%eth0", HostError::Ipv6),
        ("example.com:80", HostError::Ipv6),
        ("::ffff:0177.0.0.1", HostError::Ipv6),
    ] {
        assert_eq!(Host::parse(text), Err(error), "{text:?}");
    }
}

#[test]
fn lengths_hold_at_their_limits() {
    let label = "a".repeat(63);
    assert!(Host::parse(&label).is_ok());
    assert_eq!(Host::parse(&"a".repeat(64)), Err(HostError::Label));
    let longest = [label.as_str(); 4].join(".");
    assert_eq!(longest.len(), NAME_LEN_MAX);
    assert!(Host::parse(&longest).is_ok());
    assert!(Host::parse(&format!("{longest}.")).is_ok());
    assert_eq!(Host::parse(&format!("{longest}a")), Err(HostError::TooLong));
}

#[test]
fn targets_read_as_authorities() {
    let show = |host: &str| {
        Target {
            host: Host::parse(host).unwrap(),
            port: 80,
        }
        .to_string()
    };
    assert_eq!(show("EXAMPLE.com"), "example.com:80");
    assert_eq!(show("127.1"), "127.0.0.1:80");
    assert_eq!(show("::1"), "[::1]:80");
}

/// Spells a number in one of the radices of `inet_aton`, with leading zeros where they are free.
fn spell(number: u32, style: u8) -> String {
    match style % 5 {
        0 => format!("{number}"),
        1 => format!("0{number:o}"),
        2 => format!("0x{number:x}"),
        3 => format!("0X{number:08X}"),
        _ => format!("000{number:o}"),
    }
}

proptest! {
    #[test]
    fn all_spellings_of_a_random_address_agree(
        bits: u32, count in 1_usize..=4, styles: [u8; 4], dot: bool,
    ) {
        let octets = bits.to_be_bytes();
        let mut parts: Vec<_> = octets[..count - 1].iter().map(|&byte| u32::from(byte)).collect();
        parts.push(bits & (u32::MAX >> (8 * (count - 1))));
        let mut text = parts.iter().zip(styles).map(|(&part, style)| spell(part, style))
            .collect::<Vec<_>>().join(".");
        if dot {
            text.push('.');
        }
        prop_assert_eq!(Host::parse(&text), Ok(Host::Ip(Ipv4Addr::from_bits(bits).into())), "{}", text);
    }

    #[test]
    fn addresses_survive_display(address: IpAddr) {
        prop_assert_eq!(Host::parse(&Host::Ip(address).to_string()), Ok(Host::Ip(address)));
        prop_assert_eq!(
            Host::parse(&format!("[{address}]")).is_ok(), address.is_ipv6(), "brackets are for IPv6"
        );
    }

    #[test]
    fn parsing_is_idempotent(text in "\\PC{0,20}|[0-9a-fxA-FX.:%\\[\\]_-]{0,24}|([a-zA-Z0-9_-]{1,9}\\.){0,4}[a-z]{1,5}\\.?") {
        if let Ok(host) = Host::parse(&text) {
            prop_assert_eq!(Host::parse(&host.to_string()), Ok(host.clone()));
            prop_assert_eq!(Host::parse(&text.to_ascii_uppercase()), Ok(host));
        }
    }
}

#![allow(clippy::unwrap_used, reason = "tests")]

use super::super::{Forbidden, Guard, Network};
use super::{InterfaceAddress, OwnNetwork};
use alloc::string::{String, ToString as _};
use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use proptest::prelude::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Reads `address/prefix`, and the address of a peer behind a space.
fn interface(text: &str) -> InterfaceAddress {
    let (own, peer) = text
        .split_once(' ')
        .map_or((text, None), |(own, peer)| (own, Some(peer)));
    let (address, prefix) = own.split_once('/').unwrap();
    InterfaceAddress {
        address: ip(address),
        prefix: prefix.parse().unwrap(),
        peer: peer.map(ip),
    }
}

fn own(interfaces: &[&str], gateways: &[&str]) -> OwnNetwork {
    OwnNetwork {
        interfaces: interfaces.iter().map(|text| interface(text)).collect(),
        gateways: gateways.iter().map(|text| ip(text)).collect(),
        on_link: Vec::new(),
    }
}

fn settled(interfaces: &[&str], gateways: &[&str]) -> Guard {
    let mut guard = Guard::default();
    guard.set_own(&own(interfaces, gateways));
    guard
}

fn passes(guard: &Guard, address: &str) -> bool {
    guard.check(ip(address)).is_ok()
}

fn networks(guard: &Guard) -> Vec<String> {
    guard
        .own_networks()
        .iter()
        .map(Network::to_string)
        .collect()
}

#[test]
fn interfaces_forbid_themselves_and_their_neighbours() {
    let guard = settled(&["198.41.7.20/24", "2606:4700:1:2::20/64"], &[]);
    for address in [
        "198.41.7.0",
        "198.41.7.20",
        "198.41.7.255",
        "2606:4700:1:2::1",
        "2606:4700:1:2:ffff:ffff:ffff:ffff",
        // However they are written.
        "::ffff:198.41.7.9",
        "64:ff9b::198.41.7.9",
        "2a00::5efe:198.41.7.9",
    ] {
        assert!(!passes(&guard, address), "{address}");
    }
    for address in [
        "198.41.6.255",
        "198.41.8.0",
        "2606:4700:1:3::",
        "2606:4700:1:1::1",
    ] {
        assert!(passes(&guard, address), "{address}");
    }
    let range = guard.check(ip("198.41.7.9")).map_err(Forbidden::range);
    assert_eq!(range, Err("the host's own network"));
}

#[test]
fn an_address_without_neighbours_forbids_itself_alone() {
    let guard = settled(&["198.41.7.20/32", "2606:4700::20/128"], &["198.41.0.1"]);
    let found = ["198.41.0.1/32", "198.41.7.20/32", "2606:4700::20/128"];
    assert_eq!(networks(&guard), found);
    assert!(passes(&guard, "198.41.7.21") && passes(&guard, "2606:4700::21"));
}

#[test]
fn a_link_between_two_forbids_both_ends() {
    let guard = settled(&["198.41.7.20/32 198.42.0.1", "9.0.0.2/31 9.0.0.3"], &[]);
    let found = ["9.0.0.2/31", "198.41.7.20/32", "198.42.0.1/32"];
    assert_eq!(networks(&guard), found);
    // The prefix is that of the other end.
    let guard = settled(&["198.41.7.20/24 198.42.0.1"], &[]);
    assert_eq!(networks(&guard), ["198.41.7.20/32", "198.42.0.0/24"]);
}

#[test]
fn prefixes_that_are_no_network_of_neighbours_are_cut() {
    let guard = settled(&["25.1.2.3/0", "2606:4700:1:2::1/3"], &[]);
    assert_eq!(networks(&guard), ["25.1.0.0/16", "2606:4700:1::/48"]);
    let guard = settled(&["25.1.2.3/16", "2606:4700:1:2::1/48"], &[]);
    assert_eq!(networks(&guard), ["25.1.0.0/16", "2606:4700:1::/48"]);
    // Not even a prefix that no address has.
    let guard = settled(&["25.1.2.3/33", "2606:4700::1/255"], &[]);
    assert_eq!(networks(&guard), ["25.1.2.3/32", "2606:4700::1/128"]);
}

#[test]
fn networks_within_others_are_not_kept() {
    let interfaces = [
        "9.1.2.3/24",
        "9.1.2.200/25",
        "9.1.0.1/16",
        "9.1.2.3/24",
        "9.2.0.1/32",
    ];
    let guard = settled(&interfaces, &["9.1.2.1", "9.2.0.1", "::ffff:9.2.0.1"]);
    assert_eq!(networks(&guard), ["9.1.0.0/16", "9.2.0.1/32"]);
}

#[test]
fn mapped_interfaces_are_those_of_ipv4() {
    let guard = settled(&["::ffff:9.1.2.3/120"], &[]);
    assert_eq!(networks(&guard), ["9.1.2.0/24"]);
}

#[test]
fn what_the_host_is_on_is_replaced_as_a_whole() {
    let mut guard = settled(&["9.1.2.3/24"], &["9.3.0.1"]);
    guard.set_own(&own(&["9.2.2.3/24"], &[]));
    assert!(passes(&guard, "9.1.2.3") && passes(&guard, "9.3.0.1"));
    assert!(!passes(&guard, "9.2.2.9"));
    guard.set_own(&OwnNetwork::default());
    assert!(passes(&guard, "9.2.2.9"));
}

#[test]
fn the_address_that_others_see_is_forbidden_and_its_neighbours_are_not() {
    let mut guard = settled(&["192.168.1.2/24"], &["192.168.1.1"]);
    guard.set_observed(vec![ip("2606:4700::5"), ip("::ffff:198.41.7.20")]);
    for address in ["198.41.7.20", "64:ff9b::198.41.7.20", "2606:4700::5"] {
        let range = guard.check(ip(address)).map_err(Forbidden::range);
        assert_eq!(range, Err("the host's own public address"), "{address}");
    }
    assert!(passes(&guard, "198.41.7.21") && passes(&guard, "2606:4700::6"));
    guard.set_observed(vec![ip("198.41.7.21")]);
    assert!(passes(&guard, "198.41.7.20") && !passes(&guard, "198.41.7.21"));
}

#[test]
fn the_allow_list_opens_the_own_network_and_the_deny_list_closes_it() {
    let mut guard = Guard::new(vec!["198.41.7.0/24".parse().unwrap()]);
    guard.set_own(&own(
        &["198.41.7.20/24", "9.1.2.3/24", "127.0.0.1/8"],
        &["198.41.7.1"],
    ));
    guard.set_observed(vec![ip("198.41.7.20")]);
    for address in ["198.41.7.1", "198.41.7.20", "198.41.7.99"] {
        assert!(passes(&guard, address), "{address}");
    }
    assert!(!passes(&guard, "9.1.2.4") && !passes(&guard, "127.0.0.1"));
    guard.deny(vec![ip("198.41.7.1").into(), ip("198.41.7.20").into()]);
    assert!(!passes(&guard, "198.41.7.1") && !passes(&guard, "198.41.7.20"));
    assert!(passes(&guard, "198.41.7.99"));
}

/// Addresses close enough to each other to share prefixes.
fn near() -> impl Strategy<Value = IpAddr> {
    let v4 = any::<u16>().prop_map(|bits| Ipv4Addr::from_bits(0x2d01_0000 | u32::from(bits)));
    let v6 = any::<u32>()
        .prop_map(|bits| Ipv6Addr::from_bits(0x2606_4700_0001_0000 << 64 | u128::from(bits) << 56));
    prop_oneof![v4.prop_map(IpAddr::V4), v6.prop_map(IpAddr::V6)]
}

fn interfaces() -> impl Strategy<Value = Vec<InterfaceAddress>> {
    let one = (near(), 0_u8..140, prop::option::of(near()));
    let one = one.prop_map(|(address, prefix, peer)| InterfaceAddress {
        address,
        prefix,
        peer,
    });
    prop::collection::vec(one, 0..12)
}

/// How many leading bits two addresses share; none of two families.
fn shared(a: IpAddr, b: IpAddr) -> Option<u32> {
    match (a, b) {
        (IpAddr::V4(a), IpAddr::V4(b)) => Some((a.to_bits() ^ b.to_bits()).leading_zeros()),
        (IpAddr::V6(a), IpAddr::V6(b)) => Some((a.to_bits() ^ b.to_bits()).leading_zeros()),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => None,
    }
}

proptest! {
    #[test]
    fn what_is_forbidden_is_what_each_interface_says(
        interfaces in interfaces(),
        gateways in prop::collection::vec(near(), 0..4),
        asked in prop::collection::vec(near(), 1..20),
    ) {
        let mut guard = Guard::default();
        guard.set_own(&OwnNetwork {
            interfaces: interfaces.clone(),
            gateways: gateways.clone(),
            on_link: Vec::new(),
        });
        let own = interfaces.iter().map(|interface| interface.address);
        for address in asked.into_iter().chain(own).chain(gateways.iter().copied()) {
            let neighbour = |interface: &InterfaceAddress| {
                let least = if address.is_ipv4() { 16 } else { 48 };
                let all = if address.is_ipv4() { 32 } else { 128 };
                let prefix = u32::from(interface.prefix).clamp(least, all);
                let around = interface.peer.unwrap_or(interface.address);
                interface.address == address
                    || shared(around, address).is_some_and(|bits| bits >= prefix)
            };
            let expected = interfaces.iter().any(neighbour) || gateways.contains(&address);
            prop_assert_eq!(guard.check(address).is_err(), expected, "{}", address);
        }
        for pair in guard.own_networks().windows(2) {
            prop_assert!(pair[0] < pair[1] && !pair[0].contains(pair[1].address()));
        }
    }

    #[test]
    fn knowing_the_host_never_permits(
        interfaces in interfaces(),
        observed in any::<Vec<IpAddr>>(),
        address: IpAddr,
    ) {
        let mut guard = Guard::default();
        let before = guard.check(address);
        guard.set_own(&OwnNetwork { interfaces, ..OwnNetwork::default() });
        guard.set_observed(observed.clone());
        prop_assert!(before.is_ok() || guard.check(address).is_err());
        for seen in observed {
            prop_assert!(guard.check(seen).is_err());
        }
    }
}

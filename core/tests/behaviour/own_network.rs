//! The networks of the edge's host, and where its POPs see it come from.

use crate::common::{Rig, Way::ToEdge, config, create, demand, encode, millis, secs, welcome};
use bytes::Bytes;
use std::net::IpAddr;
use titan_core::endpoint::{Batch, CarrierId, Edge, EdgeEvent, Event, SessionId, UplinkId};
use titan_core::exit::guard::{Guard, InterfaceAddress, OwnNetwork};
use titan_core::target::Host;
use titan_core::time::Instant;
use titan_proto::wire::create::Family;
use titan_proto::{Code, Frame, wire};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Tells an edge that its host has an interface more.
fn appears(rig: &mut Rig, edge: usize, address: &str, prefix: u8) {
    let interface = InterfaceAddress {
        address: ip(address),
        prefix,
        peer: None,
    };
    let own = OwnNetwork {
        interfaces: vec![interface],
        gateways: vec![ip("9.0.0.1")],
        on_link: vec![(ip("9.1.0.0"), 24)],
    };
    rig.edges[edge].core.handle_own_network(rig.now, &own);
}

/// Opens a session to an address, and returns how it ended before anybody dialled.
fn outcome(rig: &mut Rig, to: &str) -> Option<Code> {
    let mut open = demand();
    open.target.host = Host::Ip(ip(to));
    let id: SessionId = rig.open_with(open);
    rig.ended(id)
}

fn denied(rig: &Rig, edge: usize) -> Vec<Code> {
    let events = rig.edges[edge].events.iter();
    events
        .filter_map(|event| match event {
            Event::Role(EdgeEvent::Denied { code, .. }) => Some(*code),
            _ => None,
        })
        .collect()
}

#[test]
fn a_network_is_forbidden_from_when_its_host_is_on_it() {
    let mut rig = Rig::new(config(), 1);
    assert_eq!(outcome(&mut rig, "45.0.0.9"), None);
    appears(&mut rig, 0, "45.0.0.1", 24);
    assert_eq!(outcome(&mut rig, "45.0.0.9"), Some(Code::Forbidden));
    assert_eq!(outcome(&mut rig, "9.0.0.1"), Some(Code::Forbidden));
    assert_eq!(outcome(&mut rig, "45.0.1.9"), None);
    assert_eq!(outcome(&mut rig, "9.1.0.200"), Some(Code::Forbidden));
    assert_eq!(denied(&rig, 0), [Code::Forbidden; 3]);
    // And not when it has left.
    rig.edges[0]
        .core
        .handle_own_network(rig.now, &OwnNetwork::default());
    assert_eq!(outcome(&mut rig, "45.0.0.9"), None);
}

#[test]
fn addresses_of_names_are_judged_by_where_the_host_is_when_they_are_dialled() {
    let mut rig = Rig::new(config(), 1);
    let answer = || vec![ip("45.0.0.9"), ip("2606:4700::9"), ip("46.0.0.9")];
    let judged = |rig: &Rig| rig.edges[0].core.judge(Family::Any, answer());
    assert_eq!(judged(&rig).unwrap().len(), 3);
    appears(&mut rig, 0, "45.0.0.1", 24);
    assert_eq!(judged(&rig), Ok(vec![ip("2606:4700::9"), ip("46.0.0.9")]));
    // What was judged before, and is only now dialled.
    let core = &rig.edges[0].core;
    assert!(!core.may_dial(ip("45.0.0.9")) && core.may_dial(ip("46.0.0.9")));
    assert_eq!(core.own_networks().len(), 3);
}

#[test]
fn a_pop_tells_where_it_sees_an_edge_come_from() {
    let rig = Rig::new(config(), 2);
    let told = rig.wire.iter().filter_map(|seen| match &seen.frame {
        Frame::Hello(hello) if seen.way == ToEdge => Some(hello.observed_address.to_vec()),
        _ => None,
    });
    let told: Vec<_> = told.collect();
    assert_eq!(told, [[192, 0, 2, 0], [192, 0, 2, 1]]);
}

/// Has POPs see every edge come from this address.
fn seen_at(rig: &mut Rig, octets: &'static [u8]) {
    rig.rewrite = Some(Box::new(move |way, frame| {
        if let (ToEdge, Frame::Hello(hello)) = (way, frame) {
            hello.observed_address = Bytes::from_static(octets);
        }
    }));
}

#[test]
fn an_edge_does_not_dial_its_own_public_address() {
    let mut rig = Rig::new(config(), 0);
    seen_at(&mut rig, &[45, 0, 0, 7]);
    rig.add_edge("node-0");
    assert_eq!(outcome(&mut rig, "45.0.0.7"), Some(Code::Forbidden));
    assert_eq!(outcome(&mut rig, "45.0.0.8"), None);
    // It comes from elsewhere, over the other family and then over the same one.
    let six = ip("2606:4700::7");
    seen_at(
        &mut rig,
        &[0x26, 6, 0x47, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7],
    );
    rig.cut(rig.link(0));
    rig.wait(secs(5));
    let core = &rig.edges[0].core;
    assert!(!core.may_dial(six) && !core.may_dial(ip("45.0.0.7")));
    seen_at(&mut rig, &[45, 0, 0, 8]);
    rig.cut(rig.link(0));
    rig.wait(secs(5));
    let core = &rig.edges[0].core;
    assert!(!core.may_dial(six) && !core.may_dial(ip("45.0.0.8")));
    assert!(core.may_dial(ip("45.0.0.7")));
}

#[test]
fn where_an_edge_was_seen_ends_with_the_tunnel() {
    let mut rig = Rig::new(config(), 0);
    seen_at(&mut rig, &[45, 0, 0, 7]);
    rig.add_edge("node-0");
    rig.unplug(0);
    rig.wait(secs(60));
    assert!(!rig.edges[0].core.may_dial(ip("45.0.0.7")));
    // The next POP cannot tell.
    seen_at(&mut rig, &[]);
    rig.plug_in(0);
    rig.wait(secs(120));
    assert_eq!(outcome(&mut rig, "45.0.0.8"), None, "a tunnel stands");
    assert!(rig.edges[0].core.may_dial(ip("45.0.0.7")));
}

#[test]
fn an_edge_that_is_not_told_where_it_comes_from_goes_on() {
    let mut rig = Rig::new(config(), 0);
    seen_at(&mut rig, &[]);
    rig.add_edge("node-0");
    assert_eq!(outcome(&mut rig, "45.0.0.7"), None);
    seen_at(&mut rig, &[45, 0, 0]);
    rig.cut(rig.link(0));
    rig.wait(millis(500));
    assert!(rig.byes().contains(&(Code::Malformed, 0)));
}

const NOW: Instant = Instant::from_nanos(1);

/// Lets a POP greet an edge that it sees at this address.
fn greet(edge: &mut Edge, uplink: UplinkId, octets: &'static [u8]) -> CarrierId {
    let carrier = edge.handle_connected(NOW, uplink, [9; 16], true).unwrap();
    // The edge speaks first.
    edge.poll_transmit(NOW, carrier, &mut Batch::new(64 << 10));
    let hello = wire::Hello {
        observed_address: Bytes::from_static(octets),
        ..welcome()
    };
    edge.handle_message(NOW, carrier, &encode(Frame::Hello(hello)));
    assert!(edge.is_attached(uplink));
    carrier
}

#[test]
fn a_pop_takes_nothing_back_that_another_has_seen() {
    let mut edge = Edge::new(config(), [1; 32], Guard::default(), NOW);
    let (a, b) = (edge.add_uplink(NOW), edge.add_uplink(NOW));
    greet(&mut edge, a, &[45, 0, 0, 7]);
    let carrier = greet(&mut edge, b, &[45, 0, 0, 8]);
    assert!(!edge.may_dial(ip("45.0.0.7")) && !edge.may_dial(ip("45.0.0.8")));
    // The edge leaves one of them, and what that one saw goes with it.
    edge.retire_uplink(NOW, b);
    assert!(!edge.may_dial(ip("45.0.0.8")), "its sessions go on");
    let bye = wire::Bye {
        code: Code::ShuttingDown.wire(),
        ..wire::Bye::default()
    };
    edge.handle_message(NOW, carrier, &encode(Frame::Bye(bye)));
    assert!(edge.may_dial(ip("45.0.0.8")) && !edge.may_dial(ip("45.0.0.7")));
}

#[test]
fn an_address_in_a_create_is_judged_whatever_its_spelling() {
    let mut edge = Edge::new(config(), [1; 32], Guard::default(), NOW);
    let uplink = edge.add_uplink(NOW);
    let carrier = greet(&mut edge, uplink, &[45, 0, 0, 9]);
    for (number, name) in (1..).zip(["45.0.0.9", "0x2d.9", "::ffff:45.0.0.9"]) {
        let mut create = create();
        create.target = Some(wire::Target {
            ip: Bytes::new(),
            name: name.to_owned(),
            port: 80,
        });
        let session = number;
        edge.handle_message(NOW, carrier, &encode(Frame::Create { session, create }));
    }
    let mut codes = Vec::new();
    while let Some(event) = edge.poll_event() {
        if let Event::Role(EdgeEvent::Denied { code, .. }) = event {
            codes.push(code);
        }
    }
    assert_eq!(codes, [Code::Forbidden; 3]);
}

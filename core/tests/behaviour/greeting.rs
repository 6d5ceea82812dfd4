//! HELLO: who bears which tunnel.

use crate::common::{Way::ToEdge, Way::ToPop, World, config, encode, hello, millis, secs, welcome};
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use titan_core::endpoint::{CloseMode, Config, Event, PopEvent};
use titan_core::time::Duration;
use titan_proto::wire::command::Action;
use titan_proto::{Code, Frame, wire};

fn attached(world: &World) -> bool {
    world.pop.nodes().iter().any(|node| node.attached)
}

#[test]
fn a_second_hello_ends_the_tunnel() {
    let mut world = World::new(config(), 0);
    let link = world.played_edge("node-0", hello(1, 1));
    assert!(attached(&world));
    world.inject(link, ToPop, Frame::Hello(hello(1, 2)));
    assert_eq!(world.tunnel_gone(), Some(Code::Protocol));
    assert_eq!(world.byes(), [(Code::Protocol, 0)]);
}

#[test]
fn nothing_but_bye_may_come_before_hello() {
    for frame in [
        Frame::Reply {
            session: 1,
            reply: wire::Reply::default(),
        },
        Frame::Ack { received: 0 },
        Frame::Status(wire::Status::default()),
        Frame::Unknown(64 + 20),
        Frame::Udp {
            session: 1,
            udp: wire::Udp::default(),
        },
    ] {
        let mut world = World::new(config(), 0);
        let link = world.raw_edge("node-0");
        world.inject(link, ToPop, frame);
        assert_eq!(world.byes(), [(Code::Protocol, 0)]);
        assert_eq!(world.pop.usage().tunnels, 0);
    }
}

#[test]
fn nothing_but_bye_may_come_between_hello_and_its_answer() {
    let datagram = Frame::Udp {
        session: 1,
        udp: wire::Udp::default(),
    };
    for frame in [
        Frame::Ack { received: 0 },
        Frame::Status(wire::Status::default()),
        Frame::Unknown(64 + 20),
        Frame::Hello(hello(77, 2)),
        datagram,
    ] {
        let mut world = World::new(config(), 1);
        let (victim, _) = world.connect();
        let link = world.raw_edge("node-0");
        world.links[link].to_edge.blocked = true;
        world.inject(link, ToPop, Frame::Hello(hello(77, 1)));
        world.inject(link, ToPop, frame);
        world.links[link].to_edge.blocked = false;
        world.run();
        assert_eq!(world.byes(), [(Code::Protocol, 0)]);
        assert_eq!(world.ended(victim), None, "nobody took its node over");
        assert_eq!(world.pop.usage().tunnels, 1);
    }
}

#[test]
fn an_edge_must_wait_for_the_pops_hello_before_it_numbers_frames() {
    let mut world = World::new(config(), 1);
    let (pop, _) = world.connect();
    world.edges[0].online = false;
    world.cut(world.link(0));
    world.wait(millis(200));
    let link = world.connect_as(0, "node-0");
    world.links[link].to_edge.blocked = true;
    world.run();
    // The POP has taken the HELLO and not yet answered; its count is in the answer.
    let data = Bytes::from_static(b"twice");
    world.inject(link, ToPop, Frame::Data { session: 1, data });
    assert_eq!(world.tunnel_gone(), Some(Code::Protocol));
    assert_eq!(world.ended(pop), Some(Code::TunnelLost));
}

#[test]
fn another_version_is_refused() {
    for version in [0, 1, 3, u32::MAX] {
        let mut world = World::new(config(), 0);
        let link = world.raw_edge("node-0");
        let hello = wire::Hello {
            version,
            ..hello(1, 1)
        };
        world.inject(link, ToPop, Frame::Hello(hello));
        assert_eq!(world.byes(), [(Code::VersionUnsupported, 0)]);
        world.add_offline("node-1");
        let link = world.raw_pop(0);
        let welcome = wire::Hello {
            version,
            ..welcome()
        };
        world.wire.clear();
        world.inject(link, ToEdge, Frame::Hello(welcome));
        assert_eq!(world.byes(), [(Code::VersionUnsupported, 0)]);
    }
}

#[test]
fn a_stale_attempt_closes_only_its_carrier() {
    for attempt in [0, 4, 5] {
        let mut world = World::new(config(), 0);
        world.played_edge("node-0", hello(1, 5));
        let stale = world.raw_edge("node-0");
        world.inject(stale, ToPop, Frame::Hello(hello(1, attempt)));
        assert_eq!(world.byes(), [(Code::StaleAttempt, 0)]);
        assert!(attached(&world));
        assert_eq!(world.tunnel_gone(), None);
    }
}

#[test]
fn the_same_process_without_a_tunnel_ends_its_earlier_one() {
    let mut world = World::new(config(), 0);
    world.played_edge("node-0", hello(1, 5));
    let first = world.last_hello(ToEdge).tunnel;
    let again = world.raw_edge("node-0");
    world.inject(again, ToPop, Frame::Hello(hello(1, 6)));
    assert_eq!(world.tunnel_gone(), Some(Code::Replaced));
    assert_ne!(world.last_hello(ToEdge).tunnel, first);
    assert_eq!(world.pop.usage().tunnels, 1);
}

/// Cuts the only edge off and lets it resume with a HELLO changed by the test.
fn resume_with(change: impl Fn(&mut wire::Hello) + 'static) -> World {
    let mut world = World::new(config(), 1);
    let (pop, edge) = world.connect();
    world.send_up(pop, b"up");
    world.send_down(0, edge, b"down");
    world.rewrite = Some(Box::new(move |way, frame| {
        if let Frame::Hello(hello) = frame
            && way == ToPop
            && hello.tunnel != 0
        {
            change(hello);
        }
    }));
    world.wire.clear();
    world.cut(world.link(0));
    world.wait(millis(200));
    world
}

#[test]
fn an_honest_resume_goes_on() {
    let world = resume_with(|_| {});
    assert_eq!(world.byes(), []);
    assert_eq!(world.pop.counters().resumes, 1);
}

#[test]
fn a_forged_proof_is_refused() {
    let forgeries: [fn(&mut wire::Hello); 5] = [
        |hello| hello.proof = vec![0; 32].into(),
        |hello| hello.proof = Bytes::new(),
        |hello| hello.attempt += 1,
        |hello| hello.epoch ^= 1,
        |hello| hello.tunnel ^= 1,
    ];
    for forge in forgeries {
        let world = resume_with(forge);
        assert_eq!(world.byes()[0], (Code::ResumeRefused, 0));
        assert_eq!(world.pop.counters().resumes, 0);
    }
}

#[test]
fn a_proof_for_another_carrier_is_refused() {
    let mut world = World::new(config(), 1);
    world.edges[0].online = false;
    world.cut(world.link(0));
    world.wait(millis(200));
    let link = world.connect_as(0, "node-0");
    world.links[link].to_pop.held = true;
    world.run();
    // The HELLO is played back on a carrier with a nonce of its own.
    let eavesdropper = world.raw_edge("node-0");
    let mut batch = titan_core::endpoint::Batch::new(1);
    world.cut(link);
    world.wait(secs(3));
    let link = world.connect_as(0, "node-0");
    let at_edge = world.links[link].at_edge.unwrap();
    let now = world.now;
    world.edges[0].core.poll_transmit(now, at_edge, &mut batch);
    for item in batch.drain() {
        if let titan_core::endpoint::Item::Frame(frame) = item {
            let message = crate::common::message(frame.kind, frame.session, &frame.payload);
            world.inject_raw(eavesdropper, ToPop, &message);
        }
    }
    assert_eq!(world.byes(), [(Code::ResumeRefused, 0)]);
}

#[test]
fn the_tunnel_of_another_node_is_refused() {
    let mut world = World::new(config(), 1);
    world.edges[0].online = false;
    world.cut(world.link(0));
    world.wait(millis(200));
    world.connect_as(0, "node-1");
    world.run();
    assert_eq!(world.byes(), [(Code::ResumeRefused, 0)]);
    assert!(world.pop.has_node("node-0"));
}

#[test]
fn plaintext_carriers_resume_only_where_configured() {
    for (encrypted, allowed, resumes) in [(false, false, 0), (true, false, 1), (false, true, 1)] {
        let mut world = World::new(
            Config {
                resume_over_plaintext: allowed,
                ..config()
            },
            0,
        );
        world.encrypted = encrypted;
        world.add_edge("node-0");
        world.cut(world.link(0));
        world.wait(millis(200));
        assert!(attached(&world));
        assert_eq!(world.pop.counters().resumes, resumes);
    }
}

#[test]
fn a_pop_refuses_a_plaintext_resume_whatever_the_edge_thinks() {
    let mut world = World::new(
        Config {
            resume_over_plaintext: false,
            ..config()
        },
        0,
    );
    world.config.resume_over_plaintext = true;
    world.add_edge("node-0");
    world.cut(world.link(0));
    world.wait(millis(200));
    assert_eq!(world.byes(), [(Code::ResumeRefused, 0)]);
    assert_eq!(world.pop.counters().resumes, 0);
}

#[test]
fn a_count_of_more_than_was_sent_ends_the_tunnel() {
    for extra in [1, 1000, u64::MAX - 10] {
        let world = resume_with(move |hello| hello.received += extra);
        assert_eq!(world.byes()[0], (Code::Desync, 0));
        assert_eq!(world.tunnel_gone(), Some(Code::Desync));
    }
}

#[test]
fn a_count_below_what_was_acknowledged_ends_the_tunnel() {
    let world = resume_with(|hello| hello.received = 0);
    assert_eq!(world.byes()[0], (Code::Desync, 0));
}

#[test]
fn an_edge_that_is_promised_another_next_frame_ends_the_tunnel() {
    for (next, received) in [(1i64, 0i64), (-1, 0), (0, 100), (0, -1)] {
        let mut world = World::new(config(), 1);
        let (pop, edge) = world.connect();
        world.send_up(pop, b"up");
        world.send_down(0, edge, b"down");
        world.wait(secs(1));
        world.rewrite = Some(Box::new(move |way, frame| {
            if let Frame::Hello(hello) = frame
                && way == ToEdge
                && hello.next > 1
            {
                hello.next = hello.next.checked_add_signed(next).unwrap();
                hello.received = hello.received.checked_add_signed(received).unwrap();
            }
        }));
        world.cut(world.link(0));
        world.wait(millis(200));
        assert_eq!(world.byes()[0].0, Code::Desync, "{next} {received}");
        assert_eq!(world.edge_ended(0, edge), Some(Code::TunnelLost));
    }
}

#[test]
fn what_was_lost_with_a_carrier_arrives_once_over_the_next() {
    let mut world = World::new(
        Config {
            data_max: 1 << 10,
            ..config()
        },
        1,
    );
    let (pop, edge) = world.connect();
    let bytes: Vec<u8> = (0..100_000u32).map(|at| (at % 251) as u8).collect();
    let mut got = Vec::new();
    for piece in bytes.chunks(10_000) {
        let link = world.link(0);
        world.links[link].to_edge.held = true;
        world.send_up(pop, &piece[..5000]);
        world.cut(link);
        world.send_up(pop, &piece[5000..]);
        world.wait(millis(200));
        got.extend(world.read_up(0, edge));
    }
    assert_eq!(got, bytes);
    assert_eq!(world.pop.counters().resumes, 10);
    assert_eq!(world.pop.counters().faults, 0);
}

#[test]
fn control_frames_survive_a_carrier_too() {
    let mut world = World::new(config(), 1);
    let (pop, edge) = world.connect();
    let link = world.link(0);
    world.links[link].to_edge.held = true;
    world.send_up(pop, b"tail");
    world
        .pop
        .close(world.now, pop, Code::Reset, CloseMode::Flush);
    world.run();
    world.cut(link);
    world.wait(millis(200));
    assert_eq!(world.read_up(0, edge), b"tail");
    assert_eq!(world.edge_ended(0, edge), Some(Code::Reset));
    world.wait(secs(1));
    assert_eq!(world.pop.usage().resend_bytes, 0);
}

#[test]
fn a_new_carrier_stops_the_old_one_for_good() {
    let mut world = World::new(config(), 1);
    let (pop, _) = world.connect();
    let old = world.link(0);
    // The POP hears nothing of the end of the old carrier, and its frames come late.
    world.cut_end(old, ToEdge);
    world.wait(millis(200));
    assert_eq!(world.pop.counters().resumes, 1);
    let data = Bytes::from_static(b"ghost");
    if let Some(id) = world.links[old].pop {
        let message = encode(Frame::Data { session: 1, data });
        world.pop.handle_message(world.now, id, &message);
    }
    world.run();
    assert_eq!(world.read_down(pop), b"");
    assert_eq!(world.tunnel_gone(), None);
    assert_eq!(world.byes(), [(Code::Replaced, 0)]);
}

/// Proves a tunnel as the wire document says.
pub(crate) fn prove(key: &[u8], nonce: [u8; 16], hello: &wire::Hello) -> Bytes {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(b"titan resume v2");
    mac.update(&nonce);
    for number in [hello.tunnel, hello.epoch, hello.attempt] {
        mac.update(&number.to_be_bytes());
    }
    Bytes::copy_from_slice(&mac.finalize().into_bytes())
}

#[test]
fn only_the_process_that_opened_a_tunnel_resumes_it() {
    for (epoch, answer) in [(1, vec![]), (2, vec![(Code::ResumeRefused, 0)])] {
        let mut world = World::new(config(), 0);
        let link = world.raw_edge("node-0");
        world.inject(link, ToPop, Frame::Hello(hello(1, 1)));
        let ours = world.last_hello(ToEdge);
        world.cut(link);
        let mut hello = wire::Hello {
            tunnel: ours.tunnel,
            ..hello(epoch, 2)
        };
        let nonce = [5; 16];
        hello.proof = prove(&ours.resume_key, nonce, &hello);
        let link = world.raw_edge_with("node-0", nonce);
        world.inject(link, ToPop, Frame::Hello(hello));
        assert_eq!(world.byes(), answer, "epoch {epoch}");
    }
}

#[test]
fn a_session_that_ended_makes_room_at_its_exit() {
    let mut world = World::new(
        Config {
            sessions_max: 2,
            ..config()
        },
        1,
    );
    for _ in 0..5 {
        let sessions = [world.connect(), world.connect()];
        let demand = crate::common::demand();
        assert_eq!(world.pop.open(world.now, demand), Err(Code::Overloaded));
        for (id, _) in sessions {
            world.pop.close(world.now, id, Code::Ok, CloseMode::Abort);
        }
        world.run();
    }
}

#[test]
fn another_process_takes_a_node_over_at_its_first_acknowledgement() {
    let mut world = World::new(config(), 1);
    let (id, _) = world.connect();
    let epoch = world.last_hello(ToPop).epoch;
    let newcomer = world.raw_edge("node-0");
    world.inject(newcomer, ToPop, Frame::Hello(hello(7, 1)));
    world.wait(secs(1));
    assert_eq!(world.ended(id), None, "a HELLO alone takes nothing over");
    world.edges[0].online = false;
    world.inject(newcomer, ToPop, Frame::Ack { received: 0 });
    assert_eq!(world.ended(id), Some(Code::TunnelLost));
    assert_eq!(world.byes(), [(Code::DuplicateNode, 5_000)]);
    assert_eq!(world.pop.nodes().len(), 1);
    // The replaced process is turned away as long as the other is there, with or without a tunnel.
    world.wait(secs(10));
    for (attempt, tunnel) in [0, 5].into_iter().enumerate() {
        world.wire.clear();
        let again = world.raw_edge("node-0");
        let hello = wire::Hello {
            tunnel,
            ..hello(epoch, 1000 + attempt as u64)
        };
        world.inject(again, ToPop, Frame::Hello(hello));
        assert_eq!(world.byes(), [(Code::DuplicateNode, 5_000)]);
        // Whoever has its place hears of it, once.
        let told = world.wire.iter().filter(|seen| {
            matches!(&seen.frame, Frame::Command(command)
                if command.code == Code::DuplicateNode.wire() && command.action() == Action::None)
        });
        assert_eq!(told.count(), usize::from(attempt == 0));
        let contested = Event::Role(PopEvent::NodeContested {
            node: "node-0".into(),
        });
        let events = core::mem::take(&mut world.events);
        assert_eq!(
            events.iter().filter(|event| **event == contested).count(),
            1
        );
    }
    let bye = wire::Bye {
        code: Code::ShuttingDown.wire(),
        ..wire::Bye::default()
    };
    world.inject(newcomer, ToPop, Frame::Bye(bye));
    world.wire.clear();
    let again = world.raw_edge("node-0");
    world.inject(again, ToPop, Frame::Hello(hello(epoch, 1002)));
    assert_eq!(world.byes(), []);
}

#[test]
fn a_replaced_edge_is_back_within_seconds_when_the_newer_one_leaves() {
    let mut world = World::new(config(), 1);
    let newcomer = world.played_edge("node-0", hello(7, 1));
    let links = world.links.len();
    world.wait(secs(5) - millis(1));
    assert_eq!(world.links.len(), links);
    // And a bit, as each edge draws it; it comes again and again.
    world.wait(secs(8));
    assert_eq!(world.links.len(), links + 2);
    let turned_away = (Code::DuplicateNode, 5_000);
    assert_eq!(world.byes(), [turned_away; 3]);
    let bye = wire::Bye {
        code: Code::ShuttingDown.wire(),
        ..wire::Bye::default()
    };
    world.inject(newcomer, ToPop, Frame::Bye(bye));
    world.wait(secs(6));
    assert!(world.edges[0].core.is_attached(world.edges[0].uplink));
    assert_eq!(world.links.len(), links + 3);
}

#[test]
fn a_herd_of_clones_is_told_to_stay_away_for_longer_and_longer() {
    let mut world = World::new(config(), 0);
    for epoch in 1..=12 {
        world.played_edge("node-0", hello(epoch, 1));
    }
    let waits: Vec<u64> = world.byes().into_iter().map(|(_, wait)| wait).collect();
    let expected = [5, 10, 20, 40, 80, 160, 320, 600, 600, 600, 600];
    assert_eq!(waits, expected.map(|seconds| seconds * 1_000));
}

#[test]
fn processes_that_are_no_more_keep_nobody_away_for_longer() {
    let mut world = World::new(config(), 0);
    let takes_over = |world: &mut World, epoch| {
        world.played_edge("node-0", hello(epoch, 1));
    };
    for epoch in 1..=8 {
        takes_over(&mut world, epoch);
    }
    // As a node that crashes and is started again does.
    let edge = world.add_edge("node-0");
    world.wait(secs(1_300));
    assert!(world.edges[edge].core.is_attached(world.edges[edge].uplink));
    takes_over(&mut world, 9);
    assert_eq!(world.byes().last(), Some(&(Code::DuplicateNode, 5_000)));
}

#[test]
fn an_edge_never_waits_for_ever() {
    for retry_after_ms in [u64::MAX, u64::from(u32::MAX) * 1000] {
        let mut world = World::new(config(), 1);
        let link = world.link(0);
        let bye = wire::Bye {
            code: Code::ShuttingDown.wire(),
            retry_after_ms,
            detail: String::new(),
        };
        world.inject(link, ToEdge, Frame::Bye(bye));
        world.wait(secs(3600));
        assert!(attached(&world));
    }
    let mut world = World::new(config(), 0);
    world.add_offline("node-0");
    let site = &mut world.edges[0];
    site.wants = false;
    site.core
        .handle_connect_failed(world.now, site.uplink, Duration::MAX);
    world.wait(secs(3600));
    assert!(world.edges[0].wants);
}

#[test]
fn the_first_reconnection_is_near_and_later_ones_back_off() {
    let mut world = World::new(config(), 1);
    world.unplug(0);
    let mut waits = Vec::new();
    for _ in 0..12 {
        let before = world.now;
        while !world.edges[0].wants {
            world.wait(millis(10));
        }
        waits.push(world.now.since(before));
        world.edges[0].wants = false;
        let uplink = world.edges[0].uplink;
        let core = &mut world.edges[0].core;
        core.handle_connect_failed(world.now, uplink, Duration::ZERO);
    }
    assert!(waits[0] <= millis(210), "{waits:?}");
    assert!(waits.iter().all(|&wait| wait <= secs(61)), "{waits:?}");
    assert!(waits.iter().any(|&wait| wait > secs(1)), "{waits:?}");
}

#[test]
fn a_hello_with_senseless_limits_is_refused() {
    let changes: [fn(&mut wire::Hello); 4] = [
        |hello| hello.limits = None,
        |hello| hello.limits.as_mut().unwrap().data_max = 0,
        |hello| hello.limits.as_mut().unwrap().resend_max = 0,
        |hello| hello.received = 1,
    ];
    for change in changes {
        let mut world = World::new(config(), 0);
        let link = world.raw_edge("node-0");
        let mut hello = hello(1, 1);
        change(&mut hello);
        world.inject(link, ToPop, Frame::Hello(hello));
        assert_eq!(world.byes().len(), 1);
        assert_eq!(world.pop.usage().tunnels, 0);
    }
}

#[test]
fn an_edge_that_takes_no_sessions_is_not_asked() {
    let mut world = World::new(config(), 0);
    let mut closed = hello(1, 1);
    closed.limits.as_mut().unwrap().sessions_max = 0;
    world.played_edge("node-0", closed);
    let demand = crate::common::demand();
    assert_eq!(world.pop.open(world.now, demand), Err(Code::NoExit));
}

#[test]
fn a_carrier_must_greet_in_time() {
    let mut world = World::new(config(), 0);
    world.raw_edge("node-0");
    world.wait(secs(10) - millis(1));
    assert_eq!(world.byes(), []);
    world.wait(millis(1));
    assert_eq!(world.byes(), [(Code::HelloTimeout, 0)]);
    assert_eq!(world.pop.usage().carriers, 0);
}

#[test]
fn what_an_edge_takes_on_is_told_again_to_every_tunnel_and_carrier() {
    let mut world = World::new(config(), 1);
    let link = world.link(0);
    world.links[link].to_pop.held = true;
    let status = wire::Status {
        accepting: false,
        sessions_max: 10,
        ..wire::Status::default()
    };
    world.edges[0].core.set_status(world.now, &status);
    world.run();
    // The carrier takes it and dies.
    world.cut(link);
    world.wait(millis(200));
    let demand = crate::common::demand();
    assert_eq!(world.pop.open(world.now, demand.clone()), Err(Code::NoExit));
    // The tunnel dies, too.
    world.unplug(0);
    world.wait(secs(60));
    world.plug_in(0);
    assert!(attached(&world));
    assert_eq!(world.pop.open(world.now, demand), Err(Code::NoExit));
    assert!(matches!(
        world.events.last(),
        Some(Event::Role(PopEvent::NodeAttached { .. }))
    ));
}

//! HELLO: who bears which tunnel.

use crate::common::{Rig, Way::ToEdge, Way::ToPop, config, encode, hello, millis, secs, welcome};
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use titan_core::endpoint::{CloseMode, Config, Event, PopEvent};
use titan_core::time::Duration;
use titan_proto::wire::command::Action;
use titan_proto::{Code, Frame, wire};

fn attached(rig: &Rig) -> bool {
    rig.pop.nodes().iter().any(|node| node.attached)
}

#[test]
fn a_second_hello_ends_the_tunnel() {
    let mut rig = Rig::new(config(), 0);
    let link = rig.played_edge("node-0", hello(1, 1));
    assert!(attached(&rig));
    rig.inject(link, ToPop, Frame::Hello(hello(1, 2)));
    assert_eq!(rig.tunnel_gone(), Some(Code::Protocol));
    assert_eq!(rig.byes(), [(Code::Protocol, 0)]);
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
        let mut rig = Rig::new(config(), 0);
        let link = rig.raw_edge("node-0");
        rig.inject(link, ToPop, frame);
        assert_eq!(rig.byes(), [(Code::Protocol, 0)]);
        assert_eq!(rig.pop.usage().tunnels, 0);
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
        let mut rig = Rig::new(config(), 1);
        let (victim, _) = rig.connect();
        let link = rig.raw_edge("node-0");
        rig.links[link].to_edge.blocked = true;
        rig.inject(link, ToPop, Frame::Hello(hello(77, 1)));
        rig.inject(link, ToPop, frame);
        rig.links[link].to_edge.blocked = false;
        rig.run();
        assert_eq!(rig.byes(), [(Code::Protocol, 0)]);
        assert_eq!(rig.ended(victim), None, "nobody took its node over");
        assert_eq!(rig.pop.usage().tunnels, 1);
    }
}

#[test]
fn an_edge_must_wait_for_the_pops_hello_before_it_numbers_frames() {
    let mut rig = Rig::new(config(), 1);
    let (pop, _) = rig.connect();
    rig.edges[0].online = false;
    rig.cut(rig.link(0));
    rig.wait(millis(200));
    let link = rig.connect_as(0, "node-0");
    rig.links[link].to_edge.blocked = true;
    rig.run();
    // The POP has taken the HELLO and not yet answered; its count is in the answer.
    let data = Bytes::from_static(b"twice");
    rig.inject(link, ToPop, Frame::Data { session: 1, data });
    assert_eq!(rig.tunnel_gone(), Some(Code::Protocol));
    assert_eq!(rig.ended(pop), Some(Code::TunnelLost));
}

#[test]
fn another_version_is_refused() {
    for version in [0, 1, 3, u32::MAX] {
        let mut rig = Rig::new(config(), 0);
        let link = rig.raw_edge("node-0");
        let hello = wire::Hello {
            version,
            ..hello(1, 1)
        };
        rig.inject(link, ToPop, Frame::Hello(hello));
        assert_eq!(rig.byes(), [(Code::VersionUnsupported, 0)]);
        rig.add_offline("node-1");
        let link = rig.raw_pop(0);
        let welcome = wire::Hello {
            version,
            ..welcome()
        };
        rig.wire.clear();
        rig.inject(link, ToEdge, Frame::Hello(welcome));
        assert_eq!(rig.byes(), [(Code::VersionUnsupported, 0)]);
    }
}

#[test]
fn a_stale_attempt_closes_only_its_carrier() {
    for attempt in [0, 4, 5] {
        let mut rig = Rig::new(config(), 0);
        rig.played_edge("node-0", hello(1, 5));
        let stale = rig.raw_edge("node-0");
        rig.inject(stale, ToPop, Frame::Hello(hello(1, attempt)));
        assert_eq!(rig.byes(), [(Code::StaleAttempt, 0)]);
        assert!(attached(&rig));
        assert_eq!(rig.tunnel_gone(), None);
    }
}

#[test]
fn the_same_process_without_a_tunnel_ends_its_earlier_one() {
    let mut rig = Rig::new(config(), 0);
    rig.played_edge("node-0", hello(1, 5));
    let first = rig.last_hello(ToEdge).tunnel;
    let again = rig.raw_edge("node-0");
    rig.inject(again, ToPop, Frame::Hello(hello(1, 6)));
    assert_eq!(rig.tunnel_gone(), Some(Code::Replaced));
    assert_ne!(rig.last_hello(ToEdge).tunnel, first);
    assert_eq!(rig.pop.usage().tunnels, 1);
}

/// Cuts the only edge off and lets it resume with a HELLO changed by the test.
fn resume_with(change: impl Fn(&mut wire::Hello) + 'static) -> Rig {
    let mut rig = Rig::new(config(), 1);
    let (pop, edge) = rig.connect();
    rig.send_up(pop, b"up");
    rig.send_down(0, edge, b"down");
    rig.rewrite = Some(Box::new(move |way, frame| {
        if let Frame::Hello(hello) = frame
            && way == ToPop
            && hello.tunnel != 0
        {
            change(hello);
        }
    }));
    rig.wire.clear();
    rig.cut(rig.link(0));
    rig.wait(millis(200));
    rig
}

#[test]
fn an_honest_resume_goes_on() {
    let rig = resume_with(|_| {});
    assert_eq!(rig.byes(), []);
    assert_eq!(rig.pop.counters().resumes, 1);
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
        let rig = resume_with(forge);
        assert_eq!(rig.byes()[0], (Code::ResumeRefused, 0));
        assert_eq!(rig.pop.counters().resumes, 0);
    }
}

#[test]
fn a_proof_for_another_carrier_is_refused() {
    let mut rig = Rig::new(config(), 1);
    rig.edges[0].online = false;
    rig.cut(rig.link(0));
    rig.wait(millis(200));
    let link = rig.connect_as(0, "node-0");
    rig.links[link].to_pop.held = true;
    rig.run();
    // The HELLO is played back on a carrier with a nonce of its own.
    let eavesdropper = rig.raw_edge("node-0");
    let mut batch = titan_core::endpoint::Batch::new(1);
    rig.cut(link);
    rig.wait(secs(3));
    let link = rig.connect_as(0, "node-0");
    let at_edge = rig.links[link].at_edge.unwrap();
    let now = rig.now;
    rig.edges[0].core.poll_transmit(now, at_edge, &mut batch);
    for item in batch.drain() {
        if let titan_core::endpoint::Item::Frame(frame) = item {
            let message = crate::common::message(frame.kind, frame.session, &frame.payload);
            rig.inject_raw(eavesdropper, ToPop, &message);
        }
    }
    assert_eq!(rig.byes(), [(Code::ResumeRefused, 0)]);
}

#[test]
fn the_tunnel_of_another_node_is_refused() {
    let mut rig = Rig::new(config(), 1);
    rig.edges[0].online = false;
    rig.cut(rig.link(0));
    rig.wait(millis(200));
    rig.connect_as(0, "node-1");
    rig.run();
    assert_eq!(rig.byes(), [(Code::ResumeRefused, 0)]);
    assert!(rig.pop.has_node("node-0"));
}

#[test]
fn plaintext_carriers_resume_only_where_configured() {
    for (encrypted, allowed, resumes) in [(false, false, 0), (true, false, 1), (false, true, 1)] {
        let mut rig = Rig::new(
            Config {
                resume_over_plaintext: allowed,
                ..config()
            },
            0,
        );
        rig.encrypted = encrypted;
        rig.add_edge("node-0");
        rig.cut(rig.link(0));
        rig.wait(millis(200));
        assert!(attached(&rig));
        assert_eq!(rig.pop.counters().resumes, resumes);
    }
}

#[test]
fn a_pop_refuses_a_plaintext_resume_whatever_the_edge_thinks() {
    let mut rig = Rig::new(
        Config {
            resume_over_plaintext: false,
            ..config()
        },
        0,
    );
    rig.config.resume_over_plaintext = true;
    rig.add_edge("node-0");
    rig.cut(rig.link(0));
    rig.wait(millis(200));
    assert_eq!(rig.byes(), [(Code::ResumeRefused, 0)]);
    assert_eq!(rig.pop.counters().resumes, 0);
}

#[test]
fn a_count_of_more_than_was_sent_ends_the_tunnel() {
    for extra in [1, 1000, u64::MAX - 10] {
        let rig = resume_with(move |hello| hello.received += extra);
        assert_eq!(rig.byes()[0], (Code::Desync, 0));
        assert_eq!(rig.tunnel_gone(), Some(Code::Desync));
    }
}

#[test]
fn a_count_below_what_was_acknowledged_ends_the_tunnel() {
    let rig = resume_with(|hello| hello.received = 0);
    assert_eq!(rig.byes()[0], (Code::Desync, 0));
}

#[test]
fn an_edge_that_is_promised_another_next_frame_ends_the_tunnel() {
    for (next, received) in [(1i64, 0i64), (-1, 0), (0, 100), (0, -1)] {
        let mut rig = Rig::new(config(), 1);
        let (pop, edge) = rig.connect();
        rig.send_up(pop, b"up");
        rig.send_down(0, edge, b"down");
        rig.wait(secs(1));
        rig.rewrite = Some(Box::new(move |way, frame| {
            if let Frame::Hello(hello) = frame
                && way == ToEdge
                && hello.next > 1
            {
                hello.next = hello.next.checked_add_signed(next).unwrap();
                hello.received = hello.received.checked_add_signed(received).unwrap();
            }
        }));
        rig.cut(rig.link(0));
        rig.wait(millis(200));
        assert_eq!(rig.byes()[0].0, Code::Desync, "{next} {received}");
        assert_eq!(rig.edge_ended(0, edge), Some(Code::TunnelLost));
    }
}

#[test]
fn what_was_lost_with_a_carrier_arrives_once_over_the_next() {
    let mut rig = Rig::new(
        Config {
            data_max: 1 << 10,
            ..config()
        },
        1,
    );
    let (pop, edge) = rig.connect();
    let bytes: Vec<u8> = (0..100_000u32).map(|at| (at % 251) as u8).collect();
    let mut got = Vec::new();
    for piece in bytes.chunks(10_000) {
        let link = rig.link(0);
        rig.links[link].to_edge.held = true;
        rig.send_up(pop, &piece[..5000]);
        rig.cut(link);
        rig.send_up(pop, &piece[5000..]);
        rig.wait(millis(200));
        got.extend(rig.read_up(0, edge));
    }
    assert_eq!(got, bytes);
    assert_eq!(rig.pop.counters().resumes, 10);
    assert_eq!(rig.pop.counters().faults, 0);
}

#[test]
fn control_frames_survive_a_carrier_too() {
    let mut rig = Rig::new(config(), 1);
    let (pop, edge) = rig.connect();
    let link = rig.link(0);
    rig.links[link].to_edge.held = true;
    rig.send_up(pop, b"tail");
    rig.pop.close(rig.now, pop, Code::Reset, CloseMode::Flush);
    rig.run();
    rig.cut(link);
    rig.wait(millis(200));
    assert_eq!(rig.read_up(0, edge), b"tail");
    assert_eq!(rig.edge_ended(0, edge), Some(Code::Reset));
    rig.wait(secs(1));
    assert_eq!(rig.pop.usage().resend_bytes, 0);
}

#[test]
fn a_new_carrier_stops_the_old_one_for_good() {
    let mut rig = Rig::new(config(), 1);
    let (pop, _) = rig.connect();
    let old = rig.link(0);
    // The POP hears nothing of the end of the old carrier, and its frames come late.
    rig.cut_end(old, ToEdge);
    rig.wait(millis(200));
    assert_eq!(rig.pop.counters().resumes, 1);
    let data = Bytes::from_static(b"ghost");
    if let Some(id) = rig.links[old].pop {
        let message = encode(Frame::Data { session: 1, data });
        rig.pop.handle_message(rig.now, id, &message);
    }
    rig.run();
    assert_eq!(rig.read_down(pop), b"");
    assert_eq!(rig.tunnel_gone(), None);
    assert_eq!(rig.byes(), [(Code::Replaced, 0)]);
}

#[test]
fn a_node_that_comes_over_another_carrier_is_not_chosen_before_it_confirms() {
    let mut rig = Rig::new(config(), 1);
    rig.edges[0].online = false;
    // The POP hears nothing of the end of the old carrier.
    rig.cut_end(rig.link(0), ToEdge);
    rig.wait(millis(200));
    let new = rig.connect_as(0, "node-0");
    rig.links[new].to_edge.held = true;
    rig.run();
    assert_eq!(rig.pop.counters().resumes, 1);
    assert_eq!(
        rig.pop.open(rig.now, crate::common::demand()),
        Err(Code::NoExit)
    );
    rig.links[new].to_edge.held = false;
    rig.run();
    rig.connect();
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
        let mut rig = Rig::new(config(), 0);
        let link = rig.raw_edge("node-0");
        rig.inject(link, ToPop, Frame::Hello(hello(1, 1)));
        let ours = rig.last_hello(ToEdge);
        rig.cut(link);
        let mut hello = wire::Hello {
            tunnel: ours.tunnel,
            ..hello(epoch, 2)
        };
        let nonce = [5; 16];
        hello.proof = prove(&ours.resume_key, nonce, &hello);
        let link = rig.raw_edge_with("node-0", nonce);
        rig.inject(link, ToPop, Frame::Hello(hello));
        assert_eq!(rig.byes(), answer, "epoch {epoch}");
    }
}

#[test]
fn a_session_that_ended_makes_room_at_its_exit() {
    let mut rig = Rig::new(
        Config {
            sessions_max: 2,
            ..config()
        },
        1,
    );
    for _ in 0..5 {
        let sessions = [rig.connect(), rig.connect()];
        let demand = crate::common::demand();
        assert_eq!(rig.pop.open(rig.now, demand), Err(Code::Overloaded));
        for (id, _) in sessions {
            rig.pop.close(rig.now, id, Code::Ok, CloseMode::Abort);
        }
        rig.run();
    }
}

#[test]
fn another_process_takes_a_node_over_at_its_first_acknowledgement() {
    let mut rig = Rig::new(config(), 1);
    let (id, _) = rig.connect();
    let epoch = rig.last_hello(ToPop).epoch;
    let newcomer = rig.raw_edge("node-0");
    rig.inject(newcomer, ToPop, Frame::Hello(hello(7, 1)));
    rig.wait(secs(1));
    assert_eq!(rig.ended(id), None, "a HELLO alone takes nothing over");
    rig.edges[0].online = false;
    rig.inject(newcomer, ToPop, Frame::Ack { received: 0 });
    assert_eq!(rig.ended(id), Some(Code::TunnelLost));
    assert_eq!(rig.byes(), [(Code::DuplicateNode, 5_000)]);
    assert_eq!(rig.pop.nodes().len(), 1);
    // The replaced process is turned away as long as the other is there, with or without a tunnel.
    rig.wait(secs(10));
    for (attempt, tunnel) in [0, 5].into_iter().enumerate() {
        rig.wire.clear();
        let again = rig.raw_edge("node-0");
        let hello = wire::Hello {
            tunnel,
            ..hello(epoch, 1000 + attempt as u64)
        };
        rig.inject(again, ToPop, Frame::Hello(hello));
        assert_eq!(rig.byes(), [(Code::DuplicateNode, 5_000)]);
        // Whoever has its place hears of it, once.
        let told = rig.wire.iter().filter(|seen| {
            matches!(&seen.frame, Frame::Command(command)
                if command.code == Code::DuplicateNode.wire() && command.action() == Action::None)
        });
        assert_eq!(told.count(), usize::from(attempt == 0));
        let contested = Event::Role(PopEvent::NodeContested {
            node: "node-0".into(),
        });
        let events = core::mem::take(&mut rig.events);
        assert_eq!(
            events.iter().filter(|event| **event == contested).count(),
            1
        );
    }
    let bye = wire::Bye {
        code: Code::ShuttingDown.wire(),
        ..wire::Bye::default()
    };
    rig.inject(newcomer, ToPop, Frame::Bye(bye));
    rig.wire.clear();
    let again = rig.raw_edge("node-0");
    rig.inject(again, ToPop, Frame::Hello(hello(epoch, 1002)));
    assert_eq!(rig.byes(), []);
}

#[test]
fn a_replaced_edge_is_back_within_seconds_when_the_newer_one_leaves() {
    let mut rig = Rig::new(config(), 1);
    let newcomer = rig.played_edge("node-0", hello(7, 1));
    let links = rig.links.len();
    rig.wait(secs(5) - millis(1));
    assert_eq!(rig.links.len(), links);
    // And a bit, as each edge draws it; it comes again and again.
    rig.wait(secs(8));
    assert_eq!(rig.links.len(), links + 2);
    let turned_away = (Code::DuplicateNode, 5_000);
    assert_eq!(rig.byes(), [turned_away; 3]);
    let bye = wire::Bye {
        code: Code::ShuttingDown.wire(),
        ..wire::Bye::default()
    };
    rig.inject(newcomer, ToPop, Frame::Bye(bye));
    rig.wait(secs(6));
    assert!(rig.edges[0].core.is_attached(rig.edges[0].uplink));
    assert_eq!(rig.links.len(), links + 3);
}

#[test]
fn a_herd_of_clones_is_told_to_stay_away_for_longer_and_longer() {
    let mut rig = Rig::new(config(), 0);
    for epoch in 1..=12 {
        rig.played_edge("node-0", hello(epoch, 1));
    }
    let waits: Vec<u64> = rig.byes().into_iter().map(|(_, wait)| wait).collect();
    let expected = [5, 10, 20, 40, 80, 160, 320, 600, 600, 600, 600];
    assert_eq!(waits, expected.map(|seconds| seconds * 1_000));
}

#[test]
fn processes_that_are_no_more_keep_nobody_away_for_longer() {
    let mut rig = Rig::new(config(), 0);
    let takes_over = |rig: &mut Rig, epoch| {
        rig.played_edge("node-0", hello(epoch, 1));
    };
    for epoch in 1..=8 {
        takes_over(&mut rig, epoch);
    }
    // As a node that crashes and is started again does.
    let edge = rig.add_edge("node-0");
    rig.wait(secs(1_300));
    assert!(rig.edges[edge].core.is_attached(rig.edges[edge].uplink));
    takes_over(&mut rig, 9);
    assert_eq!(rig.byes().last(), Some(&(Code::DuplicateNode, 5_000)));
}

#[test]
fn an_edge_never_waits_for_ever() {
    for retry_after_ms in [u64::MAX, u64::from(u32::MAX) * 1000] {
        let mut rig = Rig::new(config(), 1);
        let link = rig.link(0);
        let bye = wire::Bye {
            code: Code::ShuttingDown.wire(),
            retry_after_ms,
            detail: String::new(),
        };
        rig.inject(link, ToEdge, Frame::Bye(bye));
        rig.wait(secs(3600));
        assert!(attached(&rig));
    }
    let mut rig = Rig::new(config(), 0);
    rig.add_offline("node-0");
    let site = &mut rig.edges[0];
    site.wants = false;
    site.core
        .handle_connect_failed(rig.now, site.uplink, Duration::MAX);
    rig.wait(secs(3600));
    assert!(rig.edges[0].wants);
}

#[test]
fn the_first_reconnection_is_near_and_later_ones_back_off() {
    let mut rig = Rig::new(config(), 1);
    rig.unplug(0);
    let mut waits = Vec::new();
    for _ in 0..12 {
        let before = rig.now;
        while !rig.edges[0].wants {
            rig.wait(millis(10));
        }
        waits.push(rig.now.since(before));
        rig.edges[0].wants = false;
        let uplink = rig.edges[0].uplink;
        let core = &mut rig.edges[0].core;
        core.handle_connect_failed(rig.now, uplink, Duration::ZERO);
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
        let mut rig = Rig::new(config(), 0);
        let link = rig.raw_edge("node-0");
        let mut hello = hello(1, 1);
        change(&mut hello);
        rig.inject(link, ToPop, Frame::Hello(hello));
        assert_eq!(rig.byes().len(), 1);
        assert_eq!(rig.pop.usage().tunnels, 0);
    }
}

#[test]
fn an_edge_that_takes_no_sessions_is_not_asked() {
    let mut rig = Rig::new(config(), 0);
    let mut closed = hello(1, 1);
    closed.limits.as_mut().unwrap().sessions_max = 0;
    rig.played_edge("node-0", closed);
    let demand = crate::common::demand();
    assert_eq!(rig.pop.open(rig.now, demand), Err(Code::NoExit));
}

#[test]
fn a_carrier_must_greet_in_time() {
    let mut rig = Rig::new(config(), 0);
    rig.raw_edge("node-0");
    rig.wait(secs(10) - millis(1));
    assert_eq!(rig.byes(), []);
    rig.wait(millis(1));
    assert_eq!(rig.byes(), [(Code::HelloTimeout, 0)]);
    assert_eq!(rig.pop.usage().carriers, 0);
}

#[test]
fn what_an_edge_takes_on_is_told_again_to_every_tunnel_and_carrier() {
    let mut rig = Rig::new(config(), 1);
    let link = rig.link(0);
    rig.links[link].to_pop.held = true;
    let status = wire::Status {
        accepting: false,
        sessions_max: 10,
        ..wire::Status::default()
    };
    rig.edges[0].core.set_status(rig.now, &status);
    rig.run();
    // The carrier takes it and dies.
    rig.cut(link);
    rig.wait(millis(200));
    let demand = crate::common::demand();
    assert_eq!(rig.pop.open(rig.now, demand.clone()), Err(Code::NoExit));
    // The tunnel dies, too.
    rig.unplug(0);
    rig.wait(secs(60));
    rig.plug_in(0);
    assert!(attached(&rig));
    assert_eq!(rig.pop.open(rig.now, demand), Err(Code::NoExit));
    assert!(matches!(
        rig.events.last(),
        Some(Event::Role(PopEvent::NodeAttached { .. }))
    ));
}

//! Peers that do not play by the rules.

use crate::common::{Rig, Way::ToEdge, Way::ToPop, config, create, hello, message, millis, secs};
use crate::offers::lonely_edge;
use bytes::Bytes;
use titan_core::endpoint::{Config, EdgeEvent, Event, Open};
use titan_proto::{Class, Code, Frame, FrameKind, Party, wire};

fn replies(rig: &Rig) -> Vec<(u64, Code)> {
    let mut replies = Vec::new();
    for seen in &rig.wire {
        if let Frame::Reply { session, reply } = &seen.frame {
            replies.push((*session, Code::from_wire(reply.code)));
        }
    }
    replies
}

#[test]
fn a_create_is_refused_for_what_it_asks() {
    type Change = fn(&mut wire::Create);
    let cases: [(Change, Code); 12] = [
        (|c| c.target = None, Code::AddressUnsupported),
        (
            |c| c.target.as_mut().unwrap().port = 0,
            Code::AddressUnsupported,
        ),
        (
            |c| c.target.as_mut().unwrap().port = 65_536,
            Code::AddressUnsupported,
        ),
        (
            |c| c.target.as_mut().unwrap().ip = Bytes::from_static(&[1; 5]),
            Code::AddressUnsupported,
        ),
        (
            |c| c.target.as_mut().unwrap().name = "0x7f.1".into(),
            Code::Forbidden,
        ),
        (
            |c| c.target.as_mut().unwrap().name = "no such name!".into(),
            Code::NotResolved,
        ),
        (
            |c| c.target.as_mut().unwrap().ip = Bytes::from_static(&[127, 0, 0, 1]),
            Code::Forbidden,
        ),
        (|c| c.kind = 1, Code::CommandUnsupported),
        (|c| c.kind = 2, Code::CommandUnsupported),
        (|c| c.kind = -1, Code::CommandUnsupported),
        (|c| c.family = 3, Code::AddressUnsupported),
        (|c| c.family = i32::MIN, Code::AddressUnsupported),
    ];
    let (mut rig, link) = lonely_edge(config());
    for (session, (change, code)) in (1..).zip(cases) {
        let mut create = create();
        change(&mut create);
        rig.inject(link, ToEdge, Frame::Create { session, create });
        assert_eq!(replies(&rig).last(), Some(&(session, code)));
    }
    assert!(rig.edges[0].opened.is_empty());
    assert_eq!(rig.edges[0].core.usage().sessions, 0);
}

#[test]
fn a_close_of_an_unknown_mode_is_a_fault_of_its_sender() {
    let close = wire::Close { code: 0, mode: 2 };
    let frame = Frame::Close { session: 1, close };
    let (mut rig, link) = lonely_edge(config());
    let create = create();
    rig.inject(link, ToEdge, Frame::Create { session: 1, create });
    rig.inject(link, ToEdge, frame.clone());
    assert_eq!(rig.byes(), [(Code::Protocol, 0)]);
    let mut rig = Rig::new(config(), 1);
    rig.connect();
    rig.inject(rig.link(0), ToPop, frame);
    assert_eq!(rig.tunnel_gone(), Some(Code::Protocol));
}

#[test]
fn an_order_of_an_unknown_kind_is_told_and_not_obeyed() {
    let (mut rig, link) = lonely_edge(config());
    let command = wire::Command {
        action: 4,
        ..wire::Command::default()
    };
    rig.inject(link, ToEdge, Frame::Command(command));
    assert!(rig.byes().is_empty());
    let told = rig.edges[0].events.last();
    assert!(
        matches!(told, Some(Event::Role(EdgeEvent::Command { command, .. })) if command.action == 4)
    );
}

#[test]
fn session_numbers_only_grow() {
    for session in [1, 5] {
        let (mut rig, link) = lonely_edge(config());
        let frame = |session| Frame::Create {
            session,
            create: create(),
        };
        rig.inject(link, ToEdge, frame(5));
        rig.inject(link, ToEdge, frame(session));
        assert_eq!(rig.byes(), [(Code::Protocol, 0)]);
    }
    let (mut rig, link) = lonely_edge(config());
    let create = create();
    let session = u64::MAX;
    rig.inject(link, ToEdge, Frame::Create { session, create });
    assert_eq!(rig.edges[0].opened.len(), 1);
}

#[test]
fn extreme_numbers_in_a_create_are_harmless() {
    let (mut rig, link) = lonely_edge(config());
    for (session, extreme) in [(1, u32::MAX), (2, 0)] {
        let create = wire::Create {
            group: extreme,
            weight: extreme,
            dial_timeout_ms: extreme,
            download_limit: if extreme == 0 { 0 } else { u64::MAX },
            ..create()
        };
        rig.inject(link, ToEdge, Frame::Create { session, create });
    }
    for session in core::mem::take(&mut rig.edges[0].opened) {
        rig.dialled(0, session, Ok(()));
        rig.send_down(0, session, &[1; 100_000]);
    }
    assert_eq!(rig.data(ToPop).len(), 100_000);
    rig.wait(secs(1));
}

#[test]
fn sessions_beyond_the_edges_limit_are_refused() {
    let (mut rig, link) = lonely_edge(Config {
        sessions_max: 2,
        ..config()
    });
    for session in 1..=3 {
        let create = create();
        rig.inject(link, ToEdge, Frame::Create { session, create });
    }
    assert_eq!(rig.edges[0].opened.len(), 2);
    assert_eq!(replies(&rig), [(3, Code::ExitLimit)]);
}

#[test]
fn a_flood_of_creates_whose_replies_nobody_takes_ends_the_tunnel() {
    let (mut rig, link) = lonely_edge(Config {
        sessions_max: 10,
        ..config()
    });
    rig.links[link].to_pop.blocked = true;
    for session in 1..=3000 {
        let create = create();
        let frame = crate::common::encode(Frame::Create { session, create });
        let carrier = rig.links[link].at_edge.unwrap();
        rig.edges[0].core.handle_message(rig.now, carrier, &frame);
    }
    rig.run();
    assert_eq!(rig.edges[0].core.counters().faults, 1);
    assert!(rig.edges[0].core.usage().sessions <= 10);
}

#[test]
fn a_peer_cannot_speak_for_the_other_role() {
    let mut refused = [0, 0];
    for &kind in FrameKind::ALL {
        let session = u64::from(kind.class() == Class::Session);
        if !kind.is_sent_by(Party::Pop) {
            let (mut rig, link) = lonely_edge(config());
            rig.inject_raw(link, ToEdge, &message(kind.number(), session, &[]));
            assert_eq!(rig.byes(), [(Code::Protocol, 0)], "{}", kind.name());
            refused[0] += 1;
        }
        if !kind.is_sent_by(Party::Edge) {
            let mut rig = Rig::new(config(), 1);
            let link = rig.link(0);
            rig.inject_raw(link, ToPop, &message(kind.number(), session, &[]));
            assert_eq!(rig.tunnel_gone(), Some(Code::Protocol), "{}", kind.name());
            refused[1] += 1;
        }
    }
    assert_eq!(refused, [2, 2], "REPLY and STATUS; COMMAND and CREATE");
}

#[test]
fn no_frame_of_a_tunnel_is_taken_for_one_of_a_session() {
    for (way, party) in [(ToPop, Party::Edge), (ToEdge, Party::Pop)] {
        let of_tunnel = |kind: &&FrameKind| kind.class() == Class::Tunnel && kind.is_sent_by(party);
        for kind in FrameKind::ALL.iter().filter(of_tunnel) {
            let mut rig = Rig::new(config(), 1);
            rig.connect();
            rig.inject_raw(rig.link(0), way, &message(kind.number(), 0, &[]));
            let late = match way {
                ToPop => rig.pop.counters().frames_late,
                ToEdge => rig.edges[0].core.counters().frames_late,
            };
            assert_eq!(late, 0, "{} counts as late", kind.name());
        }
    }
}

#[test]
fn unknown_frames_are_ignored_from_64_on_and_errors_below() {
    let mut rig = Rig::new(config(), 1);
    let link = rig.link(0);
    rig.inject_raw(link, ToPop, &message(64 + 20, 0, b"later"));
    rig.inject_raw(link, ToPop, &message(u32::MAX, 7, &[]));
    assert_eq!(rig.pop.counters().frames_unknown, 2);
    assert_eq!(rig.tunnel_gone(), None);
    rig.inject_raw(link, ToPop, &message(40, 0, &[]));
    assert_eq!(rig.tunnel_gone(), Some(Code::Malformed));
}

#[test]
fn an_edge_may_send_nothing_before_its_reply() {
    let data = Bytes::from_static(b"x");
    for frame in [
        Frame::Data { session: 1, data },
        Frame::HalfClose {
            session: 1,
            final_offset: 0,
        },
        Frame::Stop {
            session: 1,
            code: 0,
        },
        Frame::Close {
            session: 1,
            close: wire::Close::default(),
        },
        Frame::Credit {
            session: 1,
            limit: 1,
        },
    ] {
        let mut rig = Rig::new(config(), 1);
        let id = rig.open();
        let link = rig.link(0);
        rig.inject(link, ToPop, frame);
        assert_eq!(rig.tunnel_gone(), Some(Code::Protocol));
        assert!(rig.ended(id).is_some());
    }
}

#[test]
fn a_second_reply_ends_the_tunnel() {
    let mut rig = Rig::new(config(), 1);
    rig.connect();
    let link = rig.link(0);
    let reply = wire::Reply::default();
    rig.inject(link, ToPop, Frame::Reply { session: 1, reply });
    assert_eq!(rig.tunnel_gone(), Some(Code::Protocol));
}

#[test]
fn a_fault_harms_nobody_elses_tunnel() {
    let mut rig = Rig::new(config(), 2);
    let mut ids = Vec::new();
    for group in 0..8 {
        let id = rig.open_with(Open {
            group,
            ..crate::common::demand()
        });
        let edge = rig.answer(Ok(()));
        ids.push((edge, id));
    }
    let link = rig.link(0);
    rig.inject_raw(link, ToPop, &Bytes::from_static(&[0xff; 40]));
    for (edge, id) in ids {
        let expected = (edge == 0).then_some(Code::TunnelLost);
        assert_eq!(rig.ended(id), expected);
    }
}

#[test]
fn a_process_that_greets_again_and_again_leaves_nothing_behind() {
    let mut rig = Rig::new(config(), 0);
    for attempt in 1..200 {
        let link = rig.raw_edge("node-0");
        rig.inject(link, ToPop, Frame::Hello(hello(1 + attempt % 3, attempt)));
    }
    assert_eq!(rig.pop.usage().tunnels, 1);
    let link = rig.links.len() - 1;
    rig.cut_end(link, ToPop);
    rig.wait(secs(60));
    let usage = rig.pop.usage();
    assert_eq!((usage.tunnels, usage.carriers, usage.timers), (0, 0, 0));
    assert!(!rig.pop.has_node("node-0"));
}

#[test]
fn an_edge_that_flaps_leaves_nothing_behind() {
    let mut rig = Rig::new(config(), 1);
    for _ in 0..50 {
        let id = rig.open();
        rig.send_up(id, b"x");
        let abort = titan_core::endpoint::CloseMode::Abort;
        rig.cut(rig.link(0));
        rig.pop.close(rig.now, id, Code::Cancelled, abort);
        rig.wait(millis(200));
        for session in core::mem::take(&mut rig.edges[0].opened) {
            rig.dialled(0, session, Err(Code::TimedOut));
        }
    }
    rig.wait(secs(2));
    assert_eq!(rig.pop.usage().sessions, 0);
    assert_eq!(rig.edges[0].core.usage().sessions, 0);
    assert_eq!(rig.pop.usage().resend_bytes, 0);
    assert_eq!(rig.tunnel_gone(), None);
}

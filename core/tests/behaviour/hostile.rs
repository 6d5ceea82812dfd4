//! Peers that do not play by the rules.

use crate::common::{Way::ToEdge, Way::ToPop, World, config, create, hello, message, millis, secs};
use crate::offers::lonely_edge;
use bytes::Bytes;
use titan_core::endpoint::{Config, EdgeEvent, Event, Open};
use titan_proto::{Class, Code, Frame, FrameKind, Party, wire};

fn replies(world: &World) -> Vec<(u64, Code)> {
    let mut replies = Vec::new();
    for seen in &world.wire {
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
    let (mut world, link) = lonely_edge(config());
    for (session, (change, code)) in (1..).zip(cases) {
        let mut create = create();
        change(&mut create);
        world.inject(link, ToEdge, Frame::Create { session, create });
        assert_eq!(replies(&world).last(), Some(&(session, code)));
    }
    assert!(world.edges[0].opened.is_empty());
    assert_eq!(world.edges[0].core.usage().sessions, 0);
}

#[test]
fn a_close_of_an_unknown_mode_is_a_fault_of_its_sender() {
    let close = wire::Close { code: 0, mode: 2 };
    let frame = Frame::Close { session: 1, close };
    let (mut world, link) = lonely_edge(config());
    let create = create();
    world.inject(link, ToEdge, Frame::Create { session: 1, create });
    world.inject(link, ToEdge, frame.clone());
    assert_eq!(world.byes(), [(Code::Protocol, 0)]);
    let mut world = World::new(config(), 1);
    world.connect();
    world.inject(world.link(0), ToPop, frame);
    assert_eq!(world.tunnel_gone(), Some(Code::Protocol));
}

#[test]
fn an_order_of_an_unknown_kind_is_told_and_not_obeyed() {
    let (mut world, link) = lonely_edge(config());
    let command = wire::Command {
        action: 4,
        ..wire::Command::default()
    };
    world.inject(link, ToEdge, Frame::Command(command));
    assert!(world.byes().is_empty());
    let told = world.edges[0].events.last();
    assert!(
        matches!(told, Some(Event::Role(EdgeEvent::Command { command, .. })) if command.action == 4)
    );
}

#[test]
fn session_numbers_only_grow() {
    for session in [1, 5] {
        let (mut world, link) = lonely_edge(config());
        let frame = |session| Frame::Create {
            session,
            create: create(),
        };
        world.inject(link, ToEdge, frame(5));
        world.inject(link, ToEdge, frame(session));
        assert_eq!(world.byes(), [(Code::Protocol, 0)]);
    }
    let (mut world, link) = lonely_edge(config());
    let create = create();
    let session = u64::MAX;
    world.inject(link, ToEdge, Frame::Create { session, create });
    assert_eq!(world.edges[0].opened.len(), 1);
}

#[test]
fn extreme_numbers_in_a_create_are_harmless() {
    let (mut world, link) = lonely_edge(config());
    for (session, extreme) in [(1, u32::MAX), (2, 0)] {
        let create = wire::Create {
            group: extreme,
            weight: extreme,
            dial_timeout_ms: extreme,
            download_limit: if extreme == 0 { 0 } else { u64::MAX },
            ..create()
        };
        world.inject(link, ToEdge, Frame::Create { session, create });
    }
    for session in core::mem::take(&mut world.edges[0].opened) {
        world.dialled(0, session, Ok(()));
        world.send_down(0, session, &[1; 100_000]);
    }
    assert_eq!(world.data(ToPop).len(), 100_000);
    world.wait(secs(1));
}

#[test]
fn sessions_beyond_the_edges_limit_are_refused() {
    let (mut world, link) = lonely_edge(Config {
        sessions_max: 2,
        ..config()
    });
    for session in 1..=3 {
        let create = create();
        world.inject(link, ToEdge, Frame::Create { session, create });
    }
    assert_eq!(world.edges[0].opened.len(), 2);
    assert_eq!(replies(&world), [(3, Code::ExitLimit)]);
}

#[test]
fn a_flood_of_creates_whose_replies_nobody_takes_ends_the_tunnel() {
    let (mut world, link) = lonely_edge(Config {
        sessions_max: 10,
        ..config()
    });
    world.links[link].to_pop.blocked = true;
    for session in 1..=3000 {
        let create = create();
        let frame = crate::common::encode(Frame::Create { session, create });
        let carrier = world.links[link].at_edge.unwrap();
        world.edges[0]
            .core
            .handle_message(world.now, carrier, &frame);
    }
    world.run();
    assert_eq!(world.edges[0].core.counters().faults, 1);
    assert!(world.edges[0].core.usage().sessions <= 10);
}

#[test]
fn a_peer_cannot_speak_for_the_other_role() {
    let mut refused = [0, 0];
    for &kind in FrameKind::ALL {
        let session = u64::from(kind.class() == Class::Session);
        if !kind.is_sent_by(Party::Pop) {
            let (mut world, link) = lonely_edge(config());
            world.inject_raw(link, ToEdge, &message(kind.number(), session, &[]));
            assert_eq!(world.byes(), [(Code::Protocol, 0)], "{}", kind.name());
            refused[0] += 1;
        }
        if !kind.is_sent_by(Party::Edge) {
            let mut world = World::new(config(), 1);
            let link = world.link(0);
            world.inject_raw(link, ToPop, &message(kind.number(), session, &[]));
            assert_eq!(world.tunnel_gone(), Some(Code::Protocol), "{}", kind.name());
            refused[1] += 1;
        }
    }
    assert_eq!(refused, [2, 2], "REPLY and STATUS; COMMAND and CREATE");
}

#[test]
fn unknown_frames_are_ignored_from_64_on_and_errors_below() {
    let mut world = World::new(config(), 1);
    let link = world.link(0);
    world.inject_raw(link, ToPop, &message(64 + 20, 0, b"later"));
    world.inject_raw(link, ToPop, &message(u32::MAX, 7, &[]));
    assert_eq!(world.pop.counters().frames_unknown, 2);
    assert_eq!(world.tunnel_gone(), None);
    world.inject_raw(link, ToPop, &message(40, 0, &[]));
    assert_eq!(world.tunnel_gone(), Some(Code::Malformed));
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
        let mut world = World::new(config(), 1);
        let id = world.open();
        let link = world.link(0);
        world.inject(link, ToPop, frame);
        assert_eq!(world.tunnel_gone(), Some(Code::Protocol));
        assert!(world.ended(id).is_some());
    }
}

#[test]
fn a_second_reply_ends_the_tunnel() {
    let mut world = World::new(config(), 1);
    world.connect();
    let link = world.link(0);
    let reply = wire::Reply::default();
    world.inject(link, ToPop, Frame::Reply { session: 1, reply });
    assert_eq!(world.tunnel_gone(), Some(Code::Protocol));
}

#[test]
fn a_fault_harms_nobody_elses_tunnel() {
    let mut world = World::new(config(), 2);
    let mut ids = Vec::new();
    for group in 0..8 {
        let id = world.open_with(Open {
            group,
            ..crate::common::demand()
        });
        let edge = world.answer(Ok(()));
        ids.push((edge, id));
    }
    let link = world.link(0);
    world.inject_raw(link, ToPop, &Bytes::from_static(&[0xff; 40]));
    for (edge, id) in ids {
        let expected = (edge == 0).then_some(Code::TunnelLost);
        assert_eq!(world.ended(id), expected);
    }
}

#[test]
fn a_process_that_greets_again_and_again_leaves_nothing_behind() {
    let mut world = World::new(config(), 0);
    for attempt in 1..200 {
        let link = world.raw_edge("node-0");
        world.inject(link, ToPop, Frame::Hello(hello(1 + attempt % 3, attempt)));
    }
    assert_eq!(world.pop.usage().tunnels, 1);
    let link = world.links.len() - 1;
    world.cut_end(link, ToPop);
    world.wait(secs(60));
    let usage = world.pop.usage();
    assert_eq!((usage.tunnels, usage.carriers, usage.timers), (0, 0, 0));
    assert!(!world.pop.has_node("node-0"));
}

#[test]
fn an_edge_that_flaps_leaves_nothing_behind() {
    let mut world = World::new(config(), 1);
    for _ in 0..50 {
        let id = world.open();
        world.send_up(id, b"x");
        let abort = titan_core::endpoint::CloseMode::Abort;
        world.cut(world.link(0));
        world.pop.close(world.now, id, Code::Cancelled, abort);
        world.wait(millis(200));
        for session in core::mem::take(&mut world.edges[0].opened) {
            world.dialled(0, session, Err(Code::TimedOut));
        }
    }
    world.wait(secs(2));
    assert_eq!(world.pop.usage().sessions, 0);
    assert_eq!(world.edges[0].core.usage().sessions, 0);
    assert_eq!(world.pop.usage().resend_bytes, 0);
    assert_eq!(world.tunnel_gone(), None);
}

//! Places for sessions: an exit has as many as its host allows, and a dial holds one until it is answered.

use crate::common::{
    Rig, Way::ToPop, config, create, demand, encode, hello, millis, secs, welcome,
};
use bytes::Bytes;
use std::collections::VecDeque;
use titan_core::endpoint::{
    Batch, CloseMode, Config, Edge, EdgeEvent, Event, Open, SessionId, UplinkId,
};
use titan_core::exit::guard::Guard;
use titan_core::exit::lease::{SessionName, Sticky};
use titan_core::time::{Duration, Instant};
use titan_proto::{Code, Frame, wire};

fn places(sessions_max: u32) -> Config {
    Config {
        sessions_max,
        ..config()
    }
}

fn of_user(group: u32) -> Open {
    Open { group, ..demand() }
}

fn abort(rig: &mut Rig, id: SessionId) {
    rig.pop.close(rig.now, id, Code::Reset, CloseMode::Abort);
    rig.run();
}

#[test]
fn a_client_that_comes_and_goes_harms_nobody_else() {
    let mut rig = Rig::new(places(16), 1);
    let (victim, _) = rig.connect_with(of_user(2));
    let link = rig.link(0);
    rig.links[link].to_pop.blocked = true;
    let mut opened = 0;
    for _ in 0..1100 {
        let Ok(id) = rig.pop.open(rig.now, demand()) else {
            continue;
        };
        opened += 1;
        rig.run();
        rig.pop.close(rig.now, id, Code::Reset, CloseMode::Flush);
        rig.run();
    }
    assert!((1..16).contains(&opened), "{opened} were opened");
    rig.links[link].to_pop.blocked = false;
    rig.run();
    let faults = rig.edges[0].core.counters().faults;
    assert_eq!((rig.ended(victim), faults), (None, 0));
    assert!(rig.byes().is_empty());
    assert_eq!(rig.pop.nodes()[0].sessions, 1, "all places are free again");
}

#[test]
fn a_dial_that_was_given_up_holds_its_place_until_it_is_answered() {
    for mode in [CloseMode::Abort, CloseMode::Flush] {
        let mut rig = Rig::new(places(2), 1);
        let link = rig.link(0);
        rig.links[link].to_pop.blocked = true;
        for group in [1, 2] {
            let id = rig.open_with(of_user(group));
            rig.pop.close(rig.now, id, Code::Cancelled, mode);
            rig.run();
        }
        assert_eq!(rig.pop.nodes()[0].sessions, 2);
        assert!(rig.pop.open(rig.now, of_user(3)).is_err());
        rig.links[link].to_pop.blocked = false;
        rig.run();
        assert_eq!(rig.pop.nodes()[0].sessions, 0);
        rig.open_with(of_user(3));
    }
}

#[test]
fn a_dial_that_moved_on_holds_its_place_until_it_is_answered() {
    let taken = |rig: &Rig| -> usize { rig.pop.nodes().iter().map(|node| node.sessions).sum() };
    let mut rig = Rig::new(config(), 2);
    let id = rig.open();
    let first = usize::from(rig.edges[0].opened.is_empty());
    rig.wait(secs(14));
    let link = rig.link(first);
    rig.links[link].to_pop.held = true;
    rig.wait(secs(1));
    assert_eq!(rig.edges[1 - first].opened.len(), 1);
    assert_eq!(taken(&rig), 2, "the first edge has a session still");
    rig.links[link].to_pop.held = false;
    rig.run();
    assert_eq!(taken(&rig), 1);
    abort(&mut rig, id);
    assert_eq!(taken(&rig), 0);
}

#[test]
fn a_place_waits_for_the_resume_of_its_tunnel() {
    let mut rig = Rig::new(config(), 1);
    let id = rig.open();
    let link = rig.link(0);
    rig.links[link].to_pop.held = true;
    abort(&mut rig, id);
    rig.cut(link);
    rig.wait(secs(5));
    assert_eq!(rig.pop.counters().resumes, 1);
    assert_eq!(rig.pop.nodes()[0].sessions, 0);
    assert_eq!(rig.tunnel_gone(), None);
}

#[test]
fn a_create_is_answered_once_whatever_became_of_its_session() {
    let mut rig = Rig::new(config(), 1);
    let id = rig.open();
    abort(&mut rig, id);
    assert_eq!(rig.count(|frame| matches!(frame, Frame::Reply { .. })), 1);
    let reply = wire::Reply::default();
    rig.inject(rig.link(0), ToPop, Frame::Reply { session: 1, reply });
    assert_eq!(rig.tunnel_gone(), None, "it is dropped");
    assert_eq!(rig.pop.nodes()[0].sessions, 0);
}

#[test]
fn a_tunnel_outlives_any_number_of_sessions() {
    let mut rig = Rig::new(places(1), 1);
    for _ in 0..1100 {
        let (pop, edge) = rig.connect_with(of_user(1));
        abort(&mut rig, pop);
        rig.edges[0]
            .core
            .close(rig.now, edge, Code::Ok, CloseMode::Abort);
        rig.run();
    }
    assert_eq!(rig.tunnel_gone(), None);
}

#[test]
fn a_second_answer_to_what_is_being_closed_ends_the_tunnel() {
    let mut rig = Rig::new(config(), 0);
    let mut greeting = hello(1, 1);
    greeting.limits.as_mut().unwrap().early_max = 0;
    let link = rig.played_edge("node-0", greeting);
    let id = rig.open();
    rig.pop.write(rig.now, id, Bytes::from(vec![1; 100]));
    rig.pop.close(rig.now, id, Code::Ok, CloseMode::Flush);
    rig.run();
    let reply = wire::Reply {
        upload_limit: 50,
        ..wire::Reply::default()
    };
    let answer = || Frame::Reply {
        session: 1,
        reply: reply.clone(),
    };
    rig.inject(link, ToPop, answer());
    assert_eq!(rig.tunnel_gone(), None);
    rig.inject(link, ToPop, answer());
    assert_eq!(rig.tunnel_gone(), Some(Code::Protocol));
}

#[test]
fn when_every_place_is_taken_that_is_what_a_client_hears() {
    let mut rig = Rig::new(places(1), 2);
    rig.open_with(of_user(1));
    rig.open_with(of_user(2));
    let refused = rig.pop.open(rig.now, of_user(3));
    assert_eq!(refused, Err(Code::Overloaded));
    rig.unplug(0);
    rig.unplug(1);
    let refused = rig.pop.open(rig.now, of_user(3));
    assert_eq!(refused, Err(Code::NoExit));
}

#[test]
fn whoever_dials_all_it_can_leaves_places_for_everybody_else() {
    for sticky in [false, true] {
        let mut rig = Rig::new(places(16), 1);
        let open = |rig: &mut Rig, group| {
            let mut open = of_user(group);
            open.sticky = sticky.then(|| Sticky {
                owner: u64::from(group),
                name: SessionName::new("name").unwrap(),
                strict: false,
            });
            rig.pop.open(rig.now, open)
        };
        let all_of = |rig: &mut Rig, group| {
            let ids = core::iter::from_fn(|| {
                let id = open(rig, group);
                assert!(id.is_ok() || id == Err(Code::Overloaded));
                id.ok()
            });
            ids.count()
        };
        let taken: Vec<usize> = (1..=5).map(|group| all_of(&mut rig, group)).collect();
        assert_eq!(taken, [8, 4, 2, 1, 1]);
        rig.run();
    }
}

#[test]
fn a_users_share_counts_dials_and_no_sessions_that_are_connected() {
    let mut rig = Rig::new(places(8), 1);
    for _ in 0..6 {
        rig.connect();
    }
    rig.open();
    assert!(rig.pop.open(rig.now, demand()).is_err(), "one is free");
    rig.answer(Ok(()));
    rig.open();
}

#[test]
fn a_user_without_a_share_at_one_exit_goes_to_another() {
    let mut rig = Rig::new(places(4), 3);
    let ids: Vec<SessionId> = (0..6).map(|_| rig.open()).collect();
    let taken: Vec<usize> = rig.pop.nodes().iter().map(|node| node.sessions).collect();
    assert_eq!((ids.len(), taken), (6, vec![2, 2, 2]));
    assert_eq!(rig.pop.open(rig.now, demand()), Err(Code::Overloaded));
}

/// Returns how long the first byte took, for each session that user 2 opens one after the other over an
/// edge of 32 places, every dial of which takes 100 ms.
fn first_bytes(greedy: bool) -> Vec<Duration> {
    let step = millis(5);
    let mut rig = Rig::new(places(32), 1);
    let mut dials: Vec<(Instant, SessionId)> = Vec::new();
    let mut of_greedy = VecDeque::new();
    let mut mine = None;
    let mut took = Vec::new();
    while took.len() < 20 {
        if greedy {
            while let Ok(id) = rig.pop.open(rig.now, demand()) {
                of_greedy.push_back(id);
            }
            // Some are given up at once, the others when they are connected.
            for _ in 0..of_greedy.len() / 4 {
                let id = of_greedy.pop_front().unwrap();
                rig.pop.close(rig.now, id, Code::Reset, CloseMode::Abort);
            }
        }
        let (since, id) = *mine.get_or_insert_with(|| {
            let id = rig.pop.open(rig.now, of_user(2));
            (rig.now, id.expect("there is a place for everybody"))
        });
        rig.wait(step);
        let now = rig.now;
        for session in rig.edges[0].opened.drain(..) {
            dials.push((now + millis(100), session));
        }
        while let Some(nth) = dials.iter().position(|&(at, _)| at <= now) {
            let (_, session) = dials.remove(nth);
            rig.dialled(0, session, Ok(()));
            rig.send_down(0, session, b"first");
        }
        if !rig.read_down(id).is_empty() {
            took.push(now.since(since));
            abort(&mut rig, id);
            mine = None;
        }
        of_greedy.retain(|&id| {
            let connected = !rig.read_down(id).is_empty();
            if connected {
                abort(&mut rig, id);
            }
            !connected
        });
        for (edge, session) in core::mem::take(&mut rig.edge_woken) {
            let core = &mut rig.edges[edge].core;
            if core
                .status(now, session)
                .is_some_and(|status| status.ended.is_some())
            {
                core.close(now, session, Code::Ok, CloseMode::Abort);
            }
        }
    }
    assert_eq!(rig.tunnel_gone(), None);
    took
}

#[test]
fn a_users_first_byte_comes_as_soon_as_alone_while_another_dials_all_it_can() {
    let alone = first_bytes(false).into_iter().max().unwrap();
    let beside = first_bytes(true).into_iter().max().unwrap();
    assert!(
        beside <= alone * 6 / 5,
        "{alone:?} alone, {beside:?} beside"
    );
}

/// An edge with a tunnel to each of two POPs, played by the test.
struct Host {
    now: Instant,
    edge: Edge,
    carriers: Vec<(UplinkId, titan_core::endpoint::CarrierId)>,
    batch: Batch,
}

impl Host {
    fn new(sessions_max: u32) -> Self {
        let now = Instant::from_nanos(1_000_000_000);
        let guard = Guard::new(vec!["10.0.0.0/8".parse().unwrap()]);
        let mut host = Self {
            now,
            edge: Edge::new(places(sessions_max), [1; 32], guard, now),
            carriers: Vec::new(),
            batch: Batch::new(1 << 20),
        };
        for tunnel in [98, 99] {
            let uplink = host.edge.add_uplink(now);
            let carrier = host.edge.handle_connected(now, uplink, [0; 16], true);
            host.carriers.push((uplink, carrier.unwrap()));
            host.replies();
            let hello = wire::Hello {
                tunnel,
                ..welcome()
            };
            host.hear(usize::from(tunnel == 99), Frame::Hello(hello));
        }
        host
    }

    fn hear(&mut self, pop: usize, frame: Frame) {
        let carrier = self.carriers[pop].1;
        self.edge.handle_message(self.now, carrier, &encode(frame));
        self.edge.audit();
    }

    fn create(&mut self, pop: usize, session: u64) {
        let create = create();
        self.hear(pop, Frame::Create { session, create });
    }

    /// Returns the sessions to be dialled that were not returned before.
    fn opened(&mut self) -> Vec<SessionId> {
        let mut opened = Vec::new();
        while let Some(event) = self.edge.poll_event() {
            if let Event::Role(EdgeEvent::Opened { session }) = event {
                opened.push(session);
            }
        }
        opened
    }

    /// Takes what the edge has to send, and returns what it answers.
    fn replies(&mut self) -> Vec<Code> {
        let mut replies = Vec::new();
        for &(_, carrier) in &self.carriers {
            self.edge.poll_transmit(self.now, carrier, &mut self.batch);
            for item in self.batch.drain() {
                if let titan_core::endpoint::Item::Frame(frame) = item {
                    let message = crate::common::message(frame.kind, frame.session, &frame.payload);
                    let envelope = titan_proto::Envelope::decode(&message).unwrap();
                    if let Frame::Reply { reply, .. } = Frame::decode(envelope).unwrap() {
                        replies.push(Code::from_wire(reply.code));
                    }
                }
            }
        }
        self.edge.audit();
        replies
    }
}

#[test]
fn an_edge_takes_no_more_sessions_of_all_pops_than_its_host_allows() {
    let mut host = Host::new(3);
    for session in 1..=2 {
        host.create(0, session);
        host.create(1, session);
    }
    assert_eq!(host.opened().len(), 3);
    assert_eq!(host.replies(), [Code::ExitLimit]);
    // What one POP gives back is anybody's.
    let close = wire::Close { code: 0, mode: 1 };
    host.hear(0, Frame::Close { session: 1, close });
    host.create(1, 3);
    assert_eq!(host.opened().len(), 0, "its answer is still to be sent");
    assert_eq!(host.replies(), [Code::Cancelled, Code::ExitLimit]);
    host.create(1, 4);
    assert_eq!(host.opened().len(), 1);
}

#[test]
fn what_a_lost_pop_had_of_a_host_is_free_for_the_others() {
    let mut host = Host::new(2);
    for session in 1..=2 {
        host.create(0, session);
    }
    assert_eq!(host.opened().len(), 2);
    host.create(1, 1);
    assert_eq!(host.opened().len(), 0);
    host.hear(
        0,
        Frame::Bye(wire::Bye {
            code: Code::ShuttingDown.wire(),
            ..wire::Bye::default()
        }),
    );
    for session in 2..=3 {
        host.create(1, session);
    }
    assert_eq!(host.opened().len(), 2);
}

#[test]
fn refusals_that_wait_for_their_carrier_take_no_place_of_the_host() {
    let mut host = Host::new(2);
    for session in 1..=100 {
        host.create(0, session);
    }
    let first = host.opened();
    for &session in &first {
        let now = host.now;
        host.edge.dialled(now, session, Err(Code::Refused));
    }
    host.replies();
    host.create(1, 1);
    host.create(1, 2);
    assert_eq!((first.len(), host.opened().len()), (2, 2));
}

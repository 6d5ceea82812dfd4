//! What operators order: nodes that go at once, and nodes that go when their sessions are over.

use crate::common::{Rig, Way, config, demand, millis, secs};
use titan_core::endpoint::{CloseMode, EdgeEvent, Event, Open, PopEvent, Rates, UplinkId};
use titan_core::exit::lease::{SessionName, Sticky};
use titan_proto::{Code, Frame, wire};
use wire::command::Action;

/// Returns the orders of a kind that an edge got: code and wait.
fn orders(rig: &Rig, edge: usize, action: Action) -> Vec<(Code, u64)> {
    let mut orders = Vec::new();
    for event in &rig.edges[edge].events {
        if let Event::Role(EdgeEvent::Command { command, .. }) = event
            && command.action() == action
        {
            orders.push((Code::from_wire(command.code), command.retry_after_ms));
        }
    }
    orders
}

fn kick(rig: &mut Rig, node: &str, retry: u64) -> bool {
    let kicked = rig.pop.kick(rig.now, node, Code::Kicked, secs(retry));
    rig.run();
    kicked
}

fn send_away(rig: &mut Rig, node: &str) -> bool {
    let told = rig.pop.send_away(rig.now, node, secs(600));
    rig.run();
    told
}

fn hellos(rig: &Rig) -> usize {
    rig.count(|frame| matches!(frame, Frame::Hello(hello) if hello.epoch != 0 && hello.next == 0))
}

#[test]
fn a_kicked_node_hears_why_and_stays_away_as_long_as_it_is_told() {
    let mut rig = Rig::new(config(), 1);
    let (pop, edge) = rig.connect();
    rig.send_up(pop, b"before");
    assert!(kick(&mut rig, "node-0", 10));
    assert_eq!(rig.ended(pop), Some(Code::Kicked));
    assert_eq!(rig.edge_ended(0, edge), Some(Code::Kicked));
    assert_eq!(orders(&rig, 0, Action::Kick), [(Code::Kicked, 10_000)]);
    assert_eq!(rig.tunnel_gone(), Some(Code::Kicked));
    assert!(!rig.pop.has_node("node-0"));
    assert_eq!(rig.pop.open(rig.now, demand()), Err(Code::NoExit));

    let before = hellos(&rig);
    rig.wait(millis(9_999));
    assert_eq!(hellos(&rig), before, "not before its time");
    // Nor do all that are kicked together come back at the same moment.
    rig.wait(millis(1_300));
    assert_eq!(hellos(&rig), before + 1);
    assert!(rig.pop.has_node("node-0"));
    assert_eq!(orders(&rig, 0, Action::Kick).len(), 1);

    rig.pop.close(rig.now, pop, Code::Ok, CloseMode::Abort);
    rig.edges[0]
        .core
        .close(rig.now, edge, Code::Ok, CloseMode::Abort);
    rig.wait(secs(6));
    let (at_pop, at_edge) = (rig.pop.usage(), rig.edges[0].core.usage());
    for usage in [at_pop, at_edge] {
        assert_eq!((usage.carriers, usage.tunnels), (1, 1));
        assert_eq!((usage.sessions, usage.session_bytes), (0, 0));
        assert_eq!(usage.resend_bytes, 0);
    }
}

#[test]
fn a_node_that_comes_back_too_soon_is_refused() {
    let mut rig = Rig::new(config(), 1);
    assert_eq!(rig.pop.bar_of(rig.now, "node-0"), None);
    kick(&mut rig, "node-0", 10);
    rig.wait(secs(4));
    let bar = rig.pop.bar_of(rig.now, "node-0");
    assert_eq!(bar, Some((Code::Kicked, secs(6))));
    // Another process of it, which knows nothing of the order.
    let byes = rig.byes().len();
    rig.add_edge("node-0");
    assert_eq!(rig.byes()[byes..], [(Code::Kicked, 6_000)]);
    // Others are none the worse.
    rig.add_edge("node-1");
    assert!(rig.pop.has_node("node-1") && !rig.pop.has_node("node-0"));
    rig.wait(secs(6));
    assert_eq!(rig.pop.bar_of(rig.now, "node-0"), None);
}

#[test]
fn a_node_that_is_away_is_kicked_all_the_same() {
    let mut rig = Rig::new(config(), 1);
    let (pop, edge) = rig.connect();
    rig.unplug(0);
    assert!(kick(&mut rig, "node-0", 10));
    assert_eq!(rig.ended(pop), Some(Code::Kicked));
    assert_eq!(rig.pop.usage().tunnels, 0);
    rig.plug_in(0);
    rig.wait(secs(5));
    let (code, wait) = *rig.byes().last().unwrap();
    assert_eq!(code, Code::Kicked);
    assert!(
        (5_000..=10_000).contains(&wait),
        "what is left of it: {wait}"
    );
    assert_eq!(rig.edge_ended(0, edge), Some(Code::Kicked));
    assert!(!rig.pop.has_node("node-0"));
    rig.wait(secs(8));
    assert!(rig.pop.has_node("node-0"));
}

#[test]
fn one_that_was_not_here_stays_away_too_and_no_wait_is_no_bar() {
    let mut rig = Rig::new(config(), 0);
    assert!(!kick(&mut rig, "node-0", 10));
    assert!(rig.pop.bar_of(rig.now, "node-0").is_some());
    assert!(!kick(&mut rig, "node-0", 0));
    assert_eq!(rig.pop.bar_of(rig.now, "node-0"), None);
    rig.add_edge("node-0");
    assert!(rig.pop.has_node("node-0"));
}

#[test]
fn an_order_that_is_lost_with_its_carrier_is_not_needed() {
    for lost in [Action::Kick, Action::None] {
        let mut rig = Rig::new(config(), 1);
        let (_, edge) = rig.connect();
        let link = rig.link(0);
        if lost == Action::Kick {
            // BYE alone says the same.
            rig.rewrite = Some(Box::new(move |_, frame| {
                if matches!(frame, Frame::Command(_)) {
                    *frame = Frame::Unknown(99);
                }
            }));
            kick(&mut rig, "node-0", 10);
        } else {
            // And so does COMMAND: what follows it does not arrive.
            rig.inject(
                link,
                Way::ToEdge,
                Frame::Command(wire::Command {
                    action: Action::Kick as i32,
                    code: Code::Kicked.wire(),
                    retry_after_ms: 10_000,
                    ..wire::Command::default()
                }),
            );
        }
        assert_eq!(rig.edge_ended(0, edge), Some(Code::Kicked));
        let before = hellos(&rig);
        rig.wait(millis(9_999));
        assert_eq!(hellos(&rig), before);
        rig.wait(millis(1_300));
        assert_eq!(hellos(&rig), before + 1);
    }
}

#[test]
fn dials_of_a_kicked_node_of_which_nothing_was_framed_go_elsewhere() {
    let mut rig = Rig::new(config(), 2);
    let first = rig.open();
    let at = (0..2)
        .find(|&edge| !rig.edges[edge].opened.is_empty())
        .unwrap();
    rig.edges[at].opened.clear();
    let node = format!("node-{at}");
    kick(&mut rig, &node, 10);
    assert_eq!(rig.answer(Ok(())), 1 - at);
    assert_eq!(rig.ended(first), None);
    // Of which something was framed: it may have reached the target.
    let second = rig.open();
    rig.send_up(second, b"early");
    kick(&mut rig, &format!("node-{}", 1 - at), 10);
    assert_eq!(rig.ended(second), Some(Code::Kicked));
}

#[test]
fn a_node_is_kicked_before_and_after_its_first_hello() {
    let mut rig = Rig::new(config(), 0);
    let edge = rig.add_offline("node-0");
    // Its connection is there; HELLO is not.
    let link = rig.connect_as(edge, "node-0");
    rig.links[link].to_pop.held = true;
    rig.run();
    assert!(!kick(&mut rig, "node-0", 10));
    rig.links[link].to_pop.held = false;
    rig.run();
    assert_eq!(rig.byes(), [(Code::Kicked, 10_000)]);
    assert!(!rig.pop.has_node("node-0"));
    // HELLO was answered, but the answer is still here: nothing numbered goes before it.
    rig.wait(secs(12));
    let link = rig.connect_as(edge, "node-0");
    rig.links[link].to_edge.blocked = true;
    rig.run();
    assert!(kick(&mut rig, "node-0", 10));
    rig.links[link].to_edge.blocked = false;
    rig.run();
    assert_eq!(orders(&rig, edge, Action::Kick), []);
    assert_eq!(rig.byes().last(), Some(&(Code::Kicked, 10_000)));
}

#[test]
fn a_node_that_is_sent_away_goes_when_its_last_session_is_over() {
    let mut rig = Rig::new(config(), 1);
    let (pop, edge) = rig.connect();
    assert!(send_away(&mut rig, "node-0"));
    assert!(!send_away(&mut rig, "node-0"), "once");
    assert_eq!(orders(&rig, 0, Action::Drain), [(Code::Migrated, 0)]);
    assert_eq!(rig.pop.open(rig.now, demand()), Err(Code::NoExit));

    // What runs goes on, over any number of carriers, and the order is not told again.
    rig.wait(secs(60));
    rig.cut(rig.link(0));
    rig.wait(millis(200));
    rig.send_down(0, edge, b"on");
    assert_eq!(rig.read_down(pop), b"on");
    assert_eq!(rig.pop.open(rig.now, demand()), Err(Code::NoExit));
    assert_eq!(orders(&rig, 0, Action::Drain).len(), 1);

    let uplink: UplinkId = rig.edges[0].uplink;
    let now = rig.now;
    assert!(rig.edges[0].core.retire_uplink(now, uplink));
    rig.pop.finish(rig.now, pop);
    rig.edges[0].core.finish(rig.now, edge);
    rig.wait(millis(50));
    assert_eq!(rig.ended(pop), Some(Code::Ok));
    assert_eq!(rig.edge_ended(0, edge), Some(Code::Ok));
    assert_eq!(rig.tunnel_gone(), Some(Code::Migrated));
    let gone = Event::Role(EdgeEvent::UplinkGone { uplink });
    assert!(rig.edges[0].events.contains(&gone));
}

#[test]
fn one_without_sessions_goes_as_soon_as_it_knows() {
    let mut rig = Rig::new(config(), 1);
    rig.unplug(0);
    send_away(&mut rig, "node-0");
    rig.wait(secs(10));
    assert!(rig.pop.has_node("node-0"), "it has not heard of it");
    rig.plug_in(0);
    rig.wait(secs(4));
    assert_eq!(orders(&rig, 0, Action::Drain), [(Code::Migrated, 0)]);
    let gone = |event: &&Event<PopEvent>| {
        matches!(
            event,
            Event::Role(PopEvent::NodeGone {
                code: Code::Migrated,
                ..
            })
        )
    };
    assert_eq!(rig.events.iter().filter(gone).count(), 1);
    // Nothing keeps it away, should it be sent here again.
    assert!(rig.pop.has_node("node-0"));
    assert!(rig.pop.open(rig.now, demand()).is_ok());
}

#[test]
fn whoever_is_sent_away_has_not_for_ever() {
    let mut rig = Rig::new(config(), 1);
    let (pop, edge) = rig.connect();
    send_away(&mut rig, "node-0");
    rig.wait(millis(599_999));
    assert_eq!(rig.ended(pop), None);
    rig.wait(millis(1));
    assert_eq!(rig.ended(pop), Some(Code::Kicked));
    assert_eq!(rig.edge_ended(0, edge), Some(Code::Kicked));
    assert_eq!(orders(&rig, 0, Action::Kick), [(Code::Migrated, 0)]);
}

#[test]
fn a_name_leaves_a_node_that_is_sent_away() {
    let mut rig = Rig::new(config(), 2);
    let named = |strict| Open {
        sticky: Some(Sticky {
            owner: 0,
            name: SessionName::new("a").unwrap(),
            strict,
        }),
        ..demand()
    };
    let first = rig.open_with(named(false));
    rig.answer(Ok(()));
    let node = rig.pop.node_of(first).unwrap().to_owned();
    // One that keeps the tunnel.
    let mut others = Vec::new();
    while !others.contains(&Some(node.clone())) {
        let other = rig.open();
        rig.answer(Ok(()));
        others.push(rig.pop.node_of(other).map(str::to_owned));
    }
    send_away(&mut rig, &node);
    // In use, a name is at one node only.
    let second = rig.open_with(named(true));
    assert_eq!(rig.pop.node_of(second), Some(&*node));
    rig.pop.close(rig.now, first, Code::Ok, CloseMode::Abort);
    rig.pop.close(rig.now, second, Code::Ok, CloseMode::Abort);
    rig.run();
    assert!(rig.pop.has_node(&node));
    assert_eq!(rig.pop.open(rig.now, named(true)), Err(Code::ExitAway));
    let third = rig.open_with(named(false));
    assert_ne!(rig.pop.node_of(third), Some(&*node));
}

/// Lets both sides of a session send as much as goes, taking everything, and returns how much it was.
fn flood(rig: &mut Rig, time: u64) -> (usize, usize) {
    // What is left of the flood before has its turn, and CREATE waits for a turn like DATA.
    rig.wait(millis(100));
    let (pop, edge) = rig.connect();
    let (mut up, mut down) = (0, 0);
    for _ in 0..time / 5 {
        let room = rig.pop.status(rig.now, pop).unwrap().send_room;
        rig.send_up(pop, &vec![1; room]);
        let room = rig.edges[0].core.status(rig.now, edge);
        rig.send_down(0, edge, &vec![2; room.unwrap().send_room]);
        rig.wait(millis(5));
        up += rig.read_up(0, edge).len();
        down += rig.read_down(pop).len();
    }
    assert_eq!((rig.ended(pop), rig.edge_ended(0, edge)), (None, None));
    rig.pop.close(rig.now, pop, Code::Ok, CloseMode::Abort);
    rig.run();
    (up, down)
}

#[test]
fn a_node_is_as_fast_as_it_is_told() {
    let mut rig = Rig::new(config(), 1);
    let (up, down) = flood(&mut rig, 500);
    assert!(up > 20_000_000 && down > 20_000_000, "{up} {down}");
    let rates = Rates {
        up: 1_000_000,
        down: 400_000,
    };
    rig.pop.limit_nodes(rig.now, rates);
    rig.run();
    let told = |rig: &Rig, edge: usize| orders(rig, edge, Action::Rate).len();
    assert_eq!(told(&rig, 0), 1);
    let near = |bytes: usize, rate: usize| (rate * 95 / 100..=rate * 105 / 100).contains(&bytes);
    // After what was framed before, and a burst.
    flood(&mut rig, 1_000);
    let (up, down) = flood(&mut rig, 10_000);
    assert!(near(up, 10_000_000) && near(down, 4_000_000), "{up} {down}");

    // It holds over carriers, for those that come, and not for ever.
    rig.cut(rig.link(0));
    rig.wait(secs(4));
    let (_, down) = flood(&mut rig, 10_000);
    assert!(near(down, 4_000_000), "{down}");
    assert_eq!(told(&rig, 0), 1);
    let other = rig.add_edge("node-1");
    assert_eq!(told(&rig, other), 1);
    rig.unplug(other);
    rig.wait(secs(31));
    rig.pop.limit_nodes(rig.now, Rates::default());
    rig.run();
    let (up, down) = flood(&mut rig, 500);
    assert!(up > 20_000_000 && down > 20_000_000, "{up} {down}");
}

#[test]
fn what_is_known_of_nodes_that_never_come_back_ends() {
    const COUNT: usize = 1_000;
    let mut rig = Rig::new(config(), 1);
    let idle = rig.pop.usage();
    for number in 0..COUNT {
        rig.pop
            .kick(rig.now, &format!("gone-{number}"), Code::Kicked, secs(3600));
    }
    rig.unplug(0);
    rig.wait(secs(3600) - millis(1));
    let bar = |rig: &Rig| rig.pop.bar_of(rig.now, "gone-7").is_some();
    assert!(bar(&rig) && !rig.pop.has_node("node-0"));
    assert_eq!(rig.pop.usage().timers, 1, "the bars' own");
    rig.wait(millis(10));
    assert!(!bar(&rig));
    let usage = rig.pop.usage();
    assert_eq!((usage.timers, usage.tunnels), (0, 0), "before: {idle:?}");
}

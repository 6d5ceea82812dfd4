//! What operators order: nodes that go at once, and nodes that go when their sessions are over.

use crate::common::{Way, World, config, demand, millis, secs};
use titan_core::endpoint::{CloseMode, EdgeEvent, Event, Open, PopEvent, Rates, UplinkId};
use titan_core::exit::lease::{SessionName, Sticky};
use titan_proto::{Code, Frame, wire};
use wire::command::Action;

/// Returns the orders of a kind that an edge got: code and wait.
fn orders(world: &World, edge: usize, action: Action) -> Vec<(Code, u64)> {
    let mut orders = Vec::new();
    for event in &world.edges[edge].events {
        if let Event::Role(EdgeEvent::Command { command, .. }) = event
            && command.action() == action
        {
            orders.push((Code::from_wire(command.code), command.retry_after_ms));
        }
    }
    orders
}

fn kick(world: &mut World, node: &str, retry: u64) -> bool {
    let kicked = world.pop.kick(world.now, node, Code::Kicked, secs(retry));
    world.run();
    kicked
}

fn send_away(world: &mut World, node: &str) -> bool {
    let told = world.pop.send_away(world.now, node, secs(600));
    world.run();
    told
}

fn hellos(world: &World) -> usize {
    world.count(|frame| matches!(frame, Frame::Hello(hello) if hello.epoch != 0 && hello.next == 0))
}

#[test]
fn a_kicked_node_hears_why_and_stays_away_as_long_as_it_is_told() {
    let mut world = World::new(config(), 1);
    let (pop, edge) = world.connect();
    world.send_up(pop, b"before");
    assert!(kick(&mut world, "node-0", 10));
    assert_eq!(world.ended(pop), Some(Code::Kicked));
    assert_eq!(world.edge_ended(0, edge), Some(Code::Kicked));
    assert_eq!(orders(&world, 0, Action::Kick), [(Code::Kicked, 10_000)]);
    assert_eq!(world.tunnel_gone(), Some(Code::Kicked));
    assert!(!world.pop.has_node("node-0"));
    assert_eq!(world.pop.open(world.now, demand()), Err(Code::NoExit));

    let before = hellos(&world);
    world.wait(millis(9_999));
    assert_eq!(hellos(&world), before, "not before its time");
    // Nor do all that are kicked together come back at the same moment.
    world.wait(millis(1_300));
    assert_eq!(hellos(&world), before + 1);
    assert!(world.pop.has_node("node-0"));
    assert_eq!(orders(&world, 0, Action::Kick).len(), 1);

    world.pop.close(world.now, pop, Code::Ok, CloseMode::Abort);
    world.edges[0]
        .core
        .close(world.now, edge, Code::Ok, CloseMode::Abort);
    world.wait(secs(6));
    let (at_pop, at_edge) = (world.pop.usage(), world.edges[0].core.usage());
    for usage in [at_pop, at_edge] {
        assert_eq!((usage.carriers, usage.tunnels), (1, 1));
        assert_eq!((usage.sessions, usage.session_bytes), (0, 0));
        assert_eq!(usage.resend_bytes, 0);
    }
}

#[test]
fn a_node_that_comes_back_too_soon_is_refused() {
    let mut world = World::new(config(), 1);
    assert_eq!(world.pop.bar_of(world.now, "node-0"), None);
    kick(&mut world, "node-0", 10);
    world.wait(secs(4));
    let bar = world.pop.bar_of(world.now, "node-0");
    assert_eq!(bar, Some((Code::Kicked, secs(6))));
    // Another process of it, which knows nothing of the order.
    let byes = world.byes().len();
    world.add_edge("node-0");
    assert_eq!(world.byes()[byes..], [(Code::Kicked, 6_000)]);
    // Others are none the worse.
    world.add_edge("node-1");
    assert!(world.pop.has_node("node-1") && !world.pop.has_node("node-0"));
    world.wait(secs(6));
    assert_eq!(world.pop.bar_of(world.now, "node-0"), None);
}

#[test]
fn a_node_that_is_away_is_kicked_all_the_same() {
    let mut world = World::new(config(), 1);
    let (pop, edge) = world.connect();
    world.unplug(0);
    assert!(kick(&mut world, "node-0", 10));
    assert_eq!(world.ended(pop), Some(Code::Kicked));
    assert_eq!(world.pop.usage().tunnels, 0);
    world.plug_in(0);
    world.wait(secs(5));
    let (code, wait) = *world.byes().last().unwrap();
    assert_eq!(code, Code::Kicked);
    assert!(
        (5_000..=10_000).contains(&wait),
        "what is left of it: {wait}"
    );
    assert_eq!(world.edge_ended(0, edge), Some(Code::Kicked));
    assert!(!world.pop.has_node("node-0"));
    world.wait(secs(8));
    assert!(world.pop.has_node("node-0"));
}

#[test]
fn one_that_was_not_here_stays_away_too_and_no_wait_is_no_bar() {
    let mut world = World::new(config(), 0);
    assert!(!kick(&mut world, "node-0", 10));
    assert!(world.pop.bar_of(world.now, "node-0").is_some());
    assert!(!kick(&mut world, "node-0", 0));
    assert_eq!(world.pop.bar_of(world.now, "node-0"), None);
    world.add_edge("node-0");
    assert!(world.pop.has_node("node-0"));
}

#[test]
fn an_order_that_is_lost_with_its_carrier_is_not_needed() {
    for lost in [Action::Kick, Action::None] {
        let mut world = World::new(config(), 1);
        let (_, edge) = world.connect();
        let link = world.link(0);
        if lost == Action::Kick {
            // BYE alone says the same.
            world.rewrite = Some(Box::new(move |_, frame| {
                if matches!(frame, Frame::Command(_)) {
                    *frame = Frame::Unknown(99);
                }
            }));
            kick(&mut world, "node-0", 10);
        } else {
            // And so does COMMAND: what follows it does not arrive.
            world.inject(
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
        assert_eq!(world.edge_ended(0, edge), Some(Code::Kicked));
        let before = hellos(&world);
        world.wait(millis(9_999));
        assert_eq!(hellos(&world), before);
        world.wait(millis(1_300));
        assert_eq!(hellos(&world), before + 1);
    }
}

#[test]
fn dials_of_a_kicked_node_of_which_nothing_was_framed_go_elsewhere() {
    let mut world = World::new(config(), 2);
    let first = world.open();
    let at = (0..2)
        .find(|&edge| !world.edges[edge].opened.is_empty())
        .unwrap();
    world.edges[at].opened.clear();
    let node = format!("node-{at}");
    kick(&mut world, &node, 10);
    assert_eq!(world.answer(Ok(())), 1 - at);
    assert_eq!(world.ended(first), None);
    // Of which something was framed: it may have reached the target.
    let second = world.open();
    world.send_up(second, b"early");
    kick(&mut world, &format!("node-{}", 1 - at), 10);
    assert_eq!(world.ended(second), Some(Code::Kicked));
}

#[test]
fn a_node_is_kicked_before_and_after_its_first_hello() {
    let mut world = World::new(config(), 0);
    let edge = world.add_offline("node-0");
    // Its connection is there; HELLO is not.
    let link = world.connect_as(edge, "node-0");
    world.links[link].to_pop.held = true;
    world.run();
    assert!(!kick(&mut world, "node-0", 10));
    world.links[link].to_pop.held = false;
    world.run();
    assert_eq!(world.byes(), [(Code::Kicked, 10_000)]);
    assert!(!world.pop.has_node("node-0"));
    // HELLO was answered, but the answer is still here: nothing numbered goes before it.
    world.wait(secs(12));
    let link = world.connect_as(edge, "node-0");
    world.links[link].to_edge.blocked = true;
    world.run();
    assert!(kick(&mut world, "node-0", 10));
    world.links[link].to_edge.blocked = false;
    world.run();
    assert_eq!(orders(&world, edge, Action::Kick), []);
    assert_eq!(world.byes().last(), Some(&(Code::Kicked, 10_000)));
}

#[test]
fn a_node_that_is_sent_away_goes_when_its_last_session_is_over() {
    let mut world = World::new(config(), 1);
    let (pop, edge) = world.connect();
    assert!(send_away(&mut world, "node-0"));
    assert!(!send_away(&mut world, "node-0"), "once");
    assert_eq!(orders(&world, 0, Action::Drain), [(Code::Migrated, 0)]);
    assert_eq!(world.pop.open(world.now, demand()), Err(Code::NoExit));

    // What runs goes on, over any number of carriers, and the order is not told again.
    world.wait(secs(60));
    world.cut(world.link(0));
    world.wait(millis(200));
    world.send_down(0, edge, b"on");
    assert_eq!(world.read_down(pop), b"on");
    assert_eq!(world.pop.open(world.now, demand()), Err(Code::NoExit));
    assert_eq!(orders(&world, 0, Action::Drain).len(), 1);

    let uplink: UplinkId = world.edges[0].uplink;
    let now = world.now;
    assert!(world.edges[0].core.retire_uplink(now, uplink));
    world.pop.finish(world.now, pop);
    world.edges[0].core.finish(world.now, edge);
    world.wait(millis(50));
    assert_eq!(world.ended(pop), Some(Code::Ok));
    assert_eq!(world.edge_ended(0, edge), Some(Code::Ok));
    assert_eq!(world.tunnel_gone(), Some(Code::Migrated));
    let gone = Event::Role(EdgeEvent::UplinkGone { uplink });
    assert!(world.edges[0].events.contains(&gone));
}

#[test]
fn one_without_sessions_goes_as_soon_as_it_knows() {
    let mut world = World::new(config(), 1);
    world.unplug(0);
    send_away(&mut world, "node-0");
    world.wait(secs(10));
    assert!(world.pop.has_node("node-0"), "it has not heard of it");
    world.plug_in(0);
    world.wait(secs(4));
    assert_eq!(orders(&world, 0, Action::Drain), [(Code::Migrated, 0)]);
    let gone = |event: &&Event<PopEvent>| {
        matches!(
            event,
            Event::Role(PopEvent::NodeGone {
                code: Code::Migrated,
                ..
            })
        )
    };
    assert_eq!(world.events.iter().filter(gone).count(), 1);
    // Nothing keeps it away, should it be sent here again.
    assert!(world.pop.has_node("node-0"));
    assert!(world.pop.open(world.now, demand()).is_ok());
}

#[test]
fn whoever_is_sent_away_has_not_for_ever() {
    let mut world = World::new(config(), 1);
    let (pop, edge) = world.connect();
    send_away(&mut world, "node-0");
    world.wait(millis(599_999));
    assert_eq!(world.ended(pop), None);
    world.wait(millis(1));
    assert_eq!(world.ended(pop), Some(Code::Kicked));
    assert_eq!(world.edge_ended(0, edge), Some(Code::Kicked));
    assert_eq!(orders(&world, 0, Action::Kick), [(Code::Migrated, 0)]);
}

#[test]
fn a_name_leaves_a_node_that_is_sent_away() {
    let mut world = World::new(config(), 2);
    let named = |strict| Open {
        sticky: Some(Sticky {
            owner: 0,
            name: SessionName::new("a").unwrap(),
            strict,
        }),
        ..demand()
    };
    let first = world.open_with(named(false));
    world.answer(Ok(()));
    let node = world.pop.node_of(first).unwrap().to_owned();
    // One that keeps the tunnel.
    let mut others = Vec::new();
    while !others.contains(&Some(node.clone())) {
        let other = world.open();
        world.answer(Ok(()));
        others.push(world.pop.node_of(other).map(str::to_owned));
    }
    send_away(&mut world, &node);
    // In use, a name is at one node only.
    let second = world.open_with(named(true));
    assert_eq!(world.pop.node_of(second), Some(&*node));
    world
        .pop
        .close(world.now, first, Code::Ok, CloseMode::Abort);
    world
        .pop
        .close(world.now, second, Code::Ok, CloseMode::Abort);
    world.run();
    assert!(world.pop.has_node(&node));
    assert_eq!(world.pop.open(world.now, named(true)), Err(Code::ExitAway));
    let third = world.open_with(named(false));
    assert_ne!(world.pop.node_of(third), Some(&*node));
}

/// Lets both sides of a session send as much as goes, taking everything, and returns how much it was.
fn flood(world: &mut World, time: u64) -> (usize, usize) {
    // What is left of the flood before has its turn, and CREATE waits for a turn like DATA.
    world.wait(millis(100));
    let (pop, edge) = world.connect();
    let (mut up, mut down) = (0, 0);
    for _ in 0..time / 5 {
        let room = world.pop.status(world.now, pop).unwrap().send_room;
        world.send_up(pop, &vec![1; room]);
        let room = world.edges[0].core.status(world.now, edge);
        world.send_down(0, edge, &vec![2; room.unwrap().send_room]);
        world.wait(millis(5));
        up += world.read_up(0, edge).len();
        down += world.read_down(pop).len();
    }
    assert_eq!((world.ended(pop), world.edge_ended(0, edge)), (None, None));
    world.pop.close(world.now, pop, Code::Ok, CloseMode::Abort);
    world.run();
    (up, down)
}

#[test]
fn a_node_is_as_fast_as_it_is_told() {
    let mut world = World::new(config(), 1);
    let (up, down) = flood(&mut world, 500);
    assert!(up > 20_000_000 && down > 20_000_000, "{up} {down}");
    let rates = Rates {
        up: 1_000_000,
        down: 400_000,
    };
    world.pop.limit_nodes(world.now, rates);
    world.run();
    let told = |world: &World, edge: usize| orders(world, edge, Action::Rate).len();
    assert_eq!(told(&world, 0), 1);
    let near = |bytes: usize, rate: usize| (rate * 95 / 100..=rate * 105 / 100).contains(&bytes);
    // After what was framed before, and a burst.
    flood(&mut world, 1_000);
    let (up, down) = flood(&mut world, 10_000);
    assert!(near(up, 10_000_000) && near(down, 4_000_000), "{up} {down}");

    // It holds over carriers, for those that come, and not for ever.
    world.cut(world.link(0));
    world.wait(secs(4));
    let (_, down) = flood(&mut world, 10_000);
    assert!(near(down, 4_000_000), "{down}");
    assert_eq!(told(&world, 0), 1);
    let other = world.add_edge("node-1");
    assert_eq!(told(&world, other), 1);
    world.unplug(other);
    world.wait(secs(31));
    world.pop.limit_nodes(world.now, Rates::default());
    world.run();
    let (up, down) = flood(&mut world, 500);
    assert!(up > 20_000_000 && down > 20_000_000, "{up} {down}");
}

#[test]
fn what_is_known_of_nodes_that_never_come_back_ends() {
    const COUNT: usize = 1_000;
    let mut world = World::new(config(), 1);
    let idle = world.pop.usage();
    for number in 0..COUNT {
        world.pop.kick(
            world.now,
            &format!("gone-{number}"),
            Code::Kicked,
            secs(3600),
        );
    }
    world.unplug(0);
    world.wait(secs(3600) - millis(1));
    let bar = |world: &World| world.pop.bar_of(world.now, "gone-7").is_some();
    assert!(bar(&world) && !world.pop.has_node("node-0"));
    assert_eq!(world.pop.usage().timers, 1, "the bars' own");
    world.wait(millis(10));
    assert!(!bar(&world));
    let usage = world.pop.usage();
    assert_eq!((usage.timers, usage.tunnels), (0, 0), "before: {idle:?}");
}

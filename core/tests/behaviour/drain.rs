//! Going away: nothing new is taken on, nothing that runs is cut off.

use crate::common::{Way::ToPop, World, config, demand, encode, hello, millis, secs};
use titan_core::endpoint::{CloseMode, EdgeEvent, Event};
use titan_core::exit::index::{Reason, Standing};
use titan_proto::{Code, Frame, wire};

/// Returns how many orders to drain an edge got.
fn orders(world: &World, edge: usize) -> usize {
    let drain = |event: &&Event<EdgeEvent>| match event {
        Event::Role(EdgeEvent::Command { command, .. }) => {
            command.action() == wire::command::Action::Drain
        }
        _ => false,
    };
    world.edges[edge].events.iter().filter(drain).count()
}

fn drained<R: PartialEq>(events: &[Event<R>]) -> usize {
    events
        .iter()
        .filter(|event| **event == Event::Drained)
        .count()
}

/// Lets a POP drain.
fn drain(world: &mut World) {
    world.pop.drain(world.now);
    world.run();
}

/// Lets an edge drain.
fn drain_edge(world: &mut World, edge: usize) {
    world.edges[edge].core.drain(world.now);
    world.run();
}

#[test]
fn a_draining_pop_lets_sessions_end_and_takes_none() {
    let mut world = World::new(config(), 2);
    let (pop, edge) = {
        let id = world.open();
        let at = world.answer(Ok(()));
        assert_eq!(world.pop.node_of(id), Some(&*format!("node-{at}")));
        (id, at)
    };
    drain(&mut world);
    assert_eq!(world.pop.open(world.now, demand()), Err(Code::ShuttingDown));
    assert_eq!((orders(&world, 0), orders(&world, 1)), (1, 1));
    drain(&mut world);
    assert_eq!((orders(&world, 0), orders(&world, 1)), (1, 1), "told once");

    world.wait(secs(60));
    world.send_up(pop, b"on");
    assert_eq!(world.data(crate::common::Way::ToEdge), b"on");
    assert_eq!(drained(&world.events), 0);
    world
        .pop
        .close(world.now, pop, Code::Reset, CloseMode::Abort);
    world.wait(millis(20));
    assert_eq!(drained(&world.events), 1);
    assert!(world.pop.is_draining() && !world.edges[edge].core.is_draining());
    world.wait(secs(60));
    assert_eq!(drained(&world.events), 1, "told once");
}

#[test]
fn a_pop_without_sessions_has_drained_at_once() {
    let mut world = World::new(config(), 1);
    assert_eq!(drained(&world.events), 0);
    // Nor does it wait for somebody who is away.
    world.unplug(0);
    drain(&mut world);
    assert_eq!(drained(&world.events), 1);
}

#[test]
fn the_order_waits_for_an_edge_that_is_away() {
    let mut world = World::new(config(), 1);
    let (pop, edge) = world.connect();
    world.unplug(0);
    drain(&mut world);
    world.wait(secs(10));
    world.plug_in(0);
    world.wait(secs(3));
    assert_eq!(orders(&world, 0), 1);
    // And once more: sessions go on over as many carriers as it takes.
    world.cut(world.link(0));
    world.wait(millis(200));
    world.send_down(0, edge, b"still here");
    assert_eq!(world.read_down(pop), b"still here");
    assert_eq!(orders(&world, 0), 1);
}

#[test]
fn a_draining_pop_sends_nodes_without_a_tunnel_away() {
    let mut world = World::new(config(), 1);
    let (pop, edge) = world.connect();
    drain(&mut world);
    world.add_edge("node-1");
    assert_eq!(world.byes(), [(Code::ShuttingDown, 1000)]);
    assert_eq!(world.pop.nodes().len(), 1);
    // Nor does a process get anew what it has: its sessions would end.
    let known = world.last_hello(ToPop);
    let first = world
        .wire
        .iter()
        .find_map(|seen| match &seen.frame {
            Frame::Hello(hello) if seen.way == ToPop => Some(hello.epoch),
            _ => None,
        })
        .unwrap();
    let link = world.raw_edge("node-0");
    let anew = hello(first, known.attempt + 1);
    world.inject_raw(link, ToPop, &encode(Frame::Hello(anew)));
    assert_eq!(world.byes().len(), 2);
    world.send_down(0, edge, b"unharmed");
    assert_eq!(world.read_down(pop), b"unharmed");
}

#[test]
fn dials_under_way_still_find_another_exit() {
    let mut world = World::new(config(), 2);
    let pop = world.open();
    drain(&mut world);
    world.answer(Err(Code::Overloaded));
    world.answer(Ok(()));
    assert_eq!(world.ended(pop), None);
    assert_eq!(world.pop.counters().failovers, 1);
    assert_eq!(drained(&world.events), 0);
}

#[test]
fn drained_means_that_the_edge_has_the_last_frame() {
    let mut world = World::new(config(), 1);
    let (pop, edge) = world.connect();
    drain(&mut world);
    world.edges[0].core.finish(world.now, edge);
    world.wait(millis(20));
    let link = world.link(0);
    world.links[link].to_edge.held = true;
    world.send_up(pop, b"the last words");
    world.pop.finish(world.now, pop);
    world.run();
    assert_eq!(world.ended(pop), Some(Code::Ok));
    world.pop.close(world.now, pop, Code::Ok, CloseMode::Abort);
    world.wait(secs(1));
    assert_eq!(world.pop.usage().sessions, 0);
    assert_eq!(drained(&world.events), 0);
    // It is lost with its carrier and goes over the next.
    world.cut(link);
    assert_eq!(drained(&world.events), 0);
    world.wait(millis(300));
    assert_eq!(drained(&world.events), 1);
    world.pop.farewell(world.now, Code::ShuttingDown);
    world.run();
    assert_eq!(world.read_up(0, edge), b"the last words");
    let status = world.edges[0].core.status(world.now, edge).unwrap();
    assert!(
        status.recv_finished && status.ended == Some(Code::Ok),
        "{status:?}"
    );
}

#[test]
fn a_tunnel_that_is_given_up_ends_the_wait_for_it() {
    let mut world = World::new(config(), 1);
    let (pop, edge) = world.connect();
    drain(&mut world);
    world.edges[0].core.finish(world.now, edge);
    world.wait(millis(20));
    let link = world.link(0);
    world.links[link].to_edge.held = true;
    world.pop.finish(world.now, pop);
    world.run();
    world.pop.close(world.now, pop, Code::Ok, CloseMode::Abort);
    world.unplug(0);
    world.wait(secs(29));
    assert_eq!(drained(&world.events), 0);
    world.wait(secs(1));
    assert_eq!(drained(&world.events), 1);
}

#[test]
fn a_retired_uplink_lasts_as_long_as_its_tunnel() {
    let mut world = World::new(config(), 1);
    let (pop, edge) = world.connect();
    drain(&mut world);
    let uplink = world.edges[0].uplink;
    let now = world.now;
    assert!(world.edges[0].core.retire_uplink(now, uplink));
    assert!(!world.edges[0].core.retire_uplink(now, uplink), "once");
    assert_eq!(world.edges[0].core.retiring(), [uplink]);
    world.cut(world.link(0));
    world.wait(millis(200));
    world.send_down(0, edge, b"resumed");
    assert_eq!(world.read_down(pop), b"resumed");

    let gone = Event::Role(EdgeEvent::UplinkGone { uplink });
    assert!(!world.edges[0].events.contains(&gone));
    world.pop.farewell(world.now, Code::ShuttingDown);
    world.run();
    assert!(world.edges[0].events.contains(&gone));
    assert_eq!(world.edges[0].core.retiring(), []);
    let links = world.links.len();
    world.wait(secs(300));
    assert_eq!(world.links.len(), links, "it does not come back");
    assert_eq!(world.edges[0].core.usage().timers, 0);
    assert!(!world.edges[0].core.retire_uplink(world.now, uplink));
}

#[test]
fn an_edge_that_found_no_other_pop_looks_at_once_when_the_old_one_is_gone() {
    let mut world = World::new(config(), 1);
    let now = world.now;
    let site = &mut world.edges[0];
    site.online = false;
    site.core.retire_uplink(now, site.uplink);
    let second = site.core.add_uplink(now);
    world.run();
    let asked = |world: &World| {
        let events = world.edges[0].events.iter();
        events
            .filter(|event| **event == Event::Role(EdgeEvent::Connect { uplink: second }))
            .count()
    };
    for count in 1..12 {
        assert_eq!(asked(&world), count);
        let core = &mut world.edges[0].core;
        core.handle_connect_failed(world.now, second, secs(0));
        world.wait(secs(60));
    }
    assert_eq!(asked(&world), 12);
    let core = &mut world.edges[0].core;
    core.handle_connect_failed(world.now, second, secs(60));
    world.run();
    world.pop.farewell(world.now, Code::ShuttingDown);
    world.run();
    assert_eq!(asked(&world), 12);
    world.wait(millis(200));
    assert_eq!(asked(&world), 13);
}

#[test]
fn a_retired_uplink_goes_after_the_grace_time() {
    let mut world = World::new(config(), 1);
    let uplink = world.edges[0].uplink;
    let now = world.now;
    world.edges[0].core.retire_uplink(now, uplink);
    world.unplug(0);
    let gone = Event::Role(EdgeEvent::UplinkGone { uplink });
    world.wait(secs(29));
    assert!(!world.edges[0].events.contains(&gone));
    world.wait(secs(1));
    assert!(world.edges[0].events.contains(&gone));
    world.edges[0].wants = false;
    world.wait(secs(300));
    assert!(!world.edges[0].wants);
}

#[test]
fn a_retired_uplink_whose_resume_is_refused_is_gone() {
    let mut world = World::new(config(), 1);
    let uplink = world.edges[0].uplink;
    let now = world.now;
    world.edges[0].core.retire_uplink(now, uplink);
    world.edges[0].online = false;
    world.cut(world.link(0));
    world.wait(millis(200));
    let link = world.raw_pop(0);
    let bye = wire::Bye {
        code: Code::ResumeRefused.wire(),
        ..wire::Bye::default()
    };
    world.inject(link, crate::common::Way::ToEdge, Frame::Bye(bye));
    let gone = Event::Role(EdgeEvent::UplinkGone { uplink });
    assert!(world.edges[0].events.contains(&gone));
}

#[test]
fn an_uplink_without_a_tunnel_is_retired_at_once() {
    let mut world = World::new(config(), 0);
    let edge = world.add_offline("node-0");
    let uplink = world.edges[edge].uplink;
    let now = world.now;
    assert!(world.edges[edge].core.retire_uplink(now, uplink));
    world.run();
    assert!(
        world.edges[edge]
            .events
            .contains(&Event::Role(EdgeEvent::UplinkGone { uplink }))
    );
    // The connection that was under way is of no use.
    let core = &mut world.edges[edge].core;
    assert_eq!(core.handle_connected(now, uplink, [0; 16], false), None);
    assert_eq!(core.usage().timers, 0);
}

#[test]
fn a_draining_edge_is_chosen_no_more_and_keeps_its_sessions() {
    let mut world = World::new(config(), 1);
    let (pop, edge) = world.connect();
    drain_edge(&mut world, 0);
    assert_eq!(world.pop.open(world.now, demand()), Err(Code::NoExit));
    let verdicts = world.pop.explain(world.now, None);
    let reason = Reason::Draining;
    assert_eq!(verdicts[0].standing, Standing::Filtered { reason });
    world.cut(world.link(0));
    world.wait(millis(200));
    assert_eq!(world.pop.open(world.now, demand()), Err(Code::NoExit));

    world.send_up(pop, b"request");
    assert_eq!(world.read_up(0, edge), b"request");
    world.pop.finish(world.now, pop);
    world.edges[0].core.finish(world.now, edge);
    world.run();
    assert_eq!(drained(&world.edges[0].events), 0);
    world.edges[0]
        .core
        .close(world.now, edge, Code::Ok, CloseMode::Abort);
    world.wait(millis(20));
    assert_eq!(drained(&world.edges[0].events), 1);
    world.edges[0].core.farewell(world.now, Code::ShuttingDown);
    world.run();
    assert_eq!(world.tunnel_gone(), Some(Code::ShuttingDown));
    let links = world.links.len();
    world.wait(secs(300));
    assert_eq!(world.links.len(), links, "it does not come back");
}

#[test]
fn a_create_that_crosses_the_news_goes_elsewhere() {
    let mut world = World::new(config(), 2);
    let pop = world.open();
    let first = world.answer(Ok(()));
    assert_eq!(world.ended(pop), None);
    let link = world.link(first);
    world.links[link].to_pop.held = true;
    drain_edge(&mut world, first);
    let before = world.edges[first].opened.len();
    let mut moved = 0;
    for _ in 0..32 {
        let id = world.open();
        if world.pop.node_of(id) == Some(&*format!("node-{first}")) {
            moved += 1;
        }
    }
    assert!(moved > 0, "some of them were sent to the edge that drains");
    assert_eq!(world.edges[first].opened.len(), before);
    world.links[link].to_pop.held = false;
    world.run();
    assert_eq!(world.edges[1 - first].opened.len(), 32);
    assert_eq!(world.pop.counters().failovers, moved);
}

#[test]
fn a_client_has_the_rest_of_what_arrived_before_the_tunnel_ended() {
    let mut world = World::new(config(), 1);
    let (pop, edge) = world.connect();
    world.pop.finish(world.now, pop);
    world.send_down(0, edge, b"all of it");
    world.edges[0].core.finish(world.now, edge);
    world.run();
    world.edges[0].core.farewell(world.now, Code::ShuttingDown);
    world.run();
    let status = world.pop.status(world.now, pop).unwrap();
    assert_eq!((status.ended, status.readable), (Some(Code::Ok), 9));
    world.wait(secs(29));
    assert_eq!(world.read_down(pop), b"all of it");
    assert!(world.pop.status(world.now, pop).unwrap().recv_finished);
    world.wait(secs(60));
    assert_eq!(world.ended(pop), Some(Code::Ok));
    world.pop.close(world.now, pop, Code::Ok, CloseMode::Abort);
    world.run();
    assert_eq!(world.pop.usage().sessions, 0);
}

#[test]
fn a_client_that_does_not_take_the_rest_sees_a_failure() {
    let mut world = World::new(config(), 1);
    let (pop, edge) = world.connect();
    world.pop.finish(world.now, pop);
    world.send_down(0, edge, b"all of it");
    world.edges[0].core.finish(world.now, edge);
    world.run();
    world.edges[0].core.farewell(world.now, Code::ShuttingDown);
    world.wait(secs(31));
    let status = world.pop.status(world.now, pop).unwrap();
    assert_eq!(status.ended, Some(Code::WriteTimeout));
    assert!(status.readable == 0 && !status.recv_finished);
}

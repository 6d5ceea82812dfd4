//! Going away: nothing new is taken on, nothing that runs is cut off.

use crate::common::{Rig, Way::ToPop, config, demand, encode, hello, millis, secs};
use titan_core::endpoint::{CloseMode, EdgeEvent, Event};
use titan_core::exit::index::{Reason, Standing};
use titan_proto::{Code, Frame, wire};

/// Returns how many orders to drain an edge got.
fn orders(rig: &Rig, edge: usize) -> usize {
    let drain = |event: &&Event<EdgeEvent>| match event {
        Event::Role(EdgeEvent::Command { command, .. }) => {
            command.action() == wire::command::Action::Drain
        }
        _ => false,
    };
    rig.edges[edge].events.iter().filter(drain).count()
}

fn drained<R: PartialEq>(events: &[Event<R>]) -> usize {
    events
        .iter()
        .filter(|event| **event == Event::Drained)
        .count()
}

/// Lets a POP drain.
fn drain(rig: &mut Rig) {
    rig.pop.drain(rig.now);
    rig.run();
}

/// Lets an edge drain.
fn drain_edge(rig: &mut Rig, edge: usize) {
    rig.edges[edge].core.drain(rig.now);
    rig.run();
}

#[test]
fn a_draining_pop_lets_sessions_end_and_takes_none() {
    let mut rig = Rig::new(config(), 2);
    let (pop, edge) = {
        let id = rig.open();
        let at = rig.answer(Ok(()));
        assert_eq!(rig.pop.node_of(id), Some(&*format!("node-{at}")));
        (id, at)
    };
    drain(&mut rig);
    assert_eq!(rig.pop.open(rig.now, demand()), Err(Code::ShuttingDown));
    assert_eq!((orders(&rig, 0), orders(&rig, 1)), (1, 1));
    drain(&mut rig);
    assert_eq!((orders(&rig, 0), orders(&rig, 1)), (1, 1), "told once");

    rig.wait(secs(60));
    rig.send_up(pop, b"on");
    assert_eq!(rig.data(crate::common::Way::ToEdge), b"on");
    assert_eq!(drained(&rig.events), 0);
    rig.pop.close(rig.now, pop, Code::Reset, CloseMode::Abort);
    rig.wait(millis(20));
    assert_eq!(drained(&rig.events), 1);
    assert!(rig.pop.is_draining() && !rig.edges[edge].core.is_draining());
    rig.wait(secs(60));
    assert_eq!(drained(&rig.events), 1, "told once");
}

#[test]
fn a_pop_without_sessions_has_drained_at_once() {
    let mut rig = Rig::new(config(), 1);
    assert_eq!(drained(&rig.events), 0);
    // Nor does it wait for somebody who is away.
    rig.unplug(0);
    drain(&mut rig);
    assert_eq!(drained(&rig.events), 1);
}

#[test]
fn the_order_waits_for_an_edge_that_is_away() {
    let mut rig = Rig::new(config(), 1);
    let (pop, edge) = rig.connect();
    rig.unplug(0);
    drain(&mut rig);
    rig.wait(secs(10));
    rig.plug_in(0);
    rig.wait(secs(3));
    assert_eq!(orders(&rig, 0), 1);
    // And once more: sessions go on over as many carriers as it takes.
    rig.cut(rig.link(0));
    rig.wait(millis(200));
    rig.send_down(0, edge, b"still here");
    assert_eq!(rig.read_down(pop), b"still here");
    assert_eq!(orders(&rig, 0), 1);
}

#[test]
fn a_draining_pop_sends_nodes_without_a_tunnel_away() {
    let mut rig = Rig::new(config(), 1);
    let (pop, edge) = rig.connect();
    drain(&mut rig);
    rig.add_edge("node-1");
    assert_eq!(rig.byes(), [(Code::ShuttingDown, 1000)]);
    assert_eq!(rig.pop.nodes().len(), 1);
    // Nor does a process get anew what it has: its sessions would end.
    let known = rig.last_hello(ToPop);
    let first = rig
        .wire
        .iter()
        .find_map(|seen| match &seen.frame {
            Frame::Hello(hello) if seen.way == ToPop => Some(hello.epoch),
            _ => None,
        })
        .unwrap();
    let link = rig.raw_edge("node-0");
    let anew = hello(first, known.attempt + 1);
    rig.inject_raw(link, ToPop, &encode(Frame::Hello(anew)));
    assert_eq!(rig.byes().len(), 2);
    rig.send_down(0, edge, b"unharmed");
    assert_eq!(rig.read_down(pop), b"unharmed");
}

#[test]
fn dials_under_way_still_find_another_exit() {
    let mut rig = Rig::new(config(), 2);
    let pop = rig.open();
    drain(&mut rig);
    rig.answer(Err(Code::Overloaded));
    rig.answer(Ok(()));
    assert_eq!(rig.ended(pop), None);
    assert_eq!(rig.pop.counters().failovers, 1);
    assert_eq!(drained(&rig.events), 0);
}

#[test]
fn drained_means_that_the_edge_has_the_last_frame() {
    let mut rig = Rig::new(config(), 1);
    let (pop, edge) = rig.connect();
    drain(&mut rig);
    rig.edges[0].core.finish(rig.now, edge);
    rig.wait(millis(20));
    let link = rig.link(0);
    rig.links[link].to_edge.held = true;
    rig.send_up(pop, b"the last words");
    rig.pop.finish(rig.now, pop);
    rig.run();
    assert_eq!(rig.ended(pop), Some(Code::Ok));
    rig.pop.close(rig.now, pop, Code::Ok, CloseMode::Abort);
    rig.wait(secs(1));
    assert_eq!(rig.pop.usage().sessions, 0);
    assert_eq!(drained(&rig.events), 0);
    // It is lost with its carrier and goes over the next.
    rig.cut(link);
    assert_eq!(drained(&rig.events), 0);
    rig.wait(millis(300));
    assert_eq!(drained(&rig.events), 1);
    rig.pop.farewell(rig.now, Code::ShuttingDown);
    rig.run();
    assert_eq!(rig.read_up(0, edge), b"the last words");
    let status = rig.edges[0].core.status(rig.now, edge).unwrap();
    assert!(
        status.recv_finished && status.ended == Some(Code::Ok),
        "{status:?}"
    );
}

#[test]
fn a_tunnel_that_is_given_up_ends_the_wait_for_it() {
    let mut rig = Rig::new(config(), 1);
    let (pop, edge) = rig.connect();
    drain(&mut rig);
    rig.edges[0].core.finish(rig.now, edge);
    rig.wait(millis(20));
    let link = rig.link(0);
    rig.links[link].to_edge.held = true;
    rig.pop.finish(rig.now, pop);
    rig.run();
    rig.pop.close(rig.now, pop, Code::Ok, CloseMode::Abort);
    rig.unplug(0);
    rig.wait(secs(29));
    assert_eq!(drained(&rig.events), 0);
    rig.wait(secs(1));
    assert_eq!(drained(&rig.events), 1);
}

#[test]
fn a_retired_uplink_lasts_as_long_as_its_tunnel() {
    let mut rig = Rig::new(config(), 1);
    let (pop, edge) = rig.connect();
    drain(&mut rig);
    let uplink = rig.edges[0].uplink;
    let now = rig.now;
    assert!(rig.edges[0].core.retire_uplink(now, uplink));
    assert!(!rig.edges[0].core.retire_uplink(now, uplink), "once");
    assert_eq!(rig.edges[0].core.retiring(), [uplink]);
    rig.cut(rig.link(0));
    rig.wait(millis(200));
    rig.send_down(0, edge, b"resumed");
    assert_eq!(rig.read_down(pop), b"resumed");

    let gone = Event::Role(EdgeEvent::UplinkGone { uplink });
    assert!(!rig.edges[0].events.contains(&gone));
    rig.pop.farewell(rig.now, Code::ShuttingDown);
    rig.run();
    assert!(rig.edges[0].events.contains(&gone));
    assert_eq!(rig.edges[0].core.retiring(), []);
    let links = rig.links.len();
    rig.wait(secs(300));
    assert_eq!(rig.links.len(), links, "it does not come back");
    assert_eq!(rig.edges[0].core.usage().timers, 0);
    assert!(!rig.edges[0].core.retire_uplink(rig.now, uplink));
}

#[test]
fn an_edge_that_found_no_other_pop_looks_at_once_when_the_old_one_is_gone() {
    let mut rig = Rig::new(config(), 1);
    let now = rig.now;
    let site = &mut rig.edges[0];
    site.online = false;
    site.core.retire_uplink(now, site.uplink);
    let second = site.core.add_uplink(now);
    rig.run();
    let asked = |rig: &Rig| {
        let events = rig.edges[0].events.iter();
        events
            .filter(|event| **event == Event::Role(EdgeEvent::Connect { uplink: second }))
            .count()
    };
    for count in 1..12 {
        assert_eq!(asked(&rig), count);
        let core = &mut rig.edges[0].core;
        core.handle_connect_failed(rig.now, second, secs(0));
        rig.wait(secs(60));
    }
    assert_eq!(asked(&rig), 12);
    let core = &mut rig.edges[0].core;
    core.handle_connect_failed(rig.now, second, secs(60));
    rig.run();
    rig.pop.farewell(rig.now, Code::ShuttingDown);
    rig.run();
    assert_eq!(asked(&rig), 12);
    rig.wait(millis(200));
    assert_eq!(asked(&rig), 13);
}

#[test]
fn a_retired_uplink_goes_after_the_grace_time() {
    let mut rig = Rig::new(config(), 1);
    let uplink = rig.edges[0].uplink;
    let now = rig.now;
    rig.edges[0].core.retire_uplink(now, uplink);
    rig.unplug(0);
    let gone = Event::Role(EdgeEvent::UplinkGone { uplink });
    rig.wait(secs(29));
    assert!(!rig.edges[0].events.contains(&gone));
    rig.wait(secs(1));
    assert!(rig.edges[0].events.contains(&gone));
    rig.edges[0].wants = false;
    rig.wait(secs(300));
    assert!(!rig.edges[0].wants);
}

#[test]
fn a_retired_uplink_whose_resume_is_refused_is_gone() {
    let mut rig = Rig::new(config(), 1);
    let uplink = rig.edges[0].uplink;
    let now = rig.now;
    rig.edges[0].core.retire_uplink(now, uplink);
    rig.edges[0].online = false;
    rig.cut(rig.link(0));
    rig.wait(millis(200));
    let link = rig.raw_pop(0);
    let bye = wire::Bye {
        code: Code::ResumeRefused.wire(),
        ..wire::Bye::default()
    };
    rig.inject(link, crate::common::Way::ToEdge, Frame::Bye(bye));
    let gone = Event::Role(EdgeEvent::UplinkGone { uplink });
    assert!(rig.edges[0].events.contains(&gone));
}

#[test]
fn an_uplink_without_a_tunnel_is_retired_at_once() {
    let mut rig = Rig::new(config(), 0);
    let edge = rig.add_offline("node-0");
    let uplink = rig.edges[edge].uplink;
    let now = rig.now;
    assert!(rig.edges[edge].core.retire_uplink(now, uplink));
    rig.run();
    assert!(
        rig.edges[edge]
            .events
            .contains(&Event::Role(EdgeEvent::UplinkGone { uplink }))
    );
    // The connection that was under way is of no use.
    let core = &mut rig.edges[edge].core;
    assert_eq!(core.handle_connected(now, uplink, [0; 16], false), None);
    assert_eq!(core.usage().timers, 0);
}

#[test]
fn a_draining_edge_is_chosen_no_more_and_keeps_its_sessions() {
    let mut rig = Rig::new(config(), 1);
    let (pop, edge) = rig.connect();
    drain_edge(&mut rig, 0);
    assert_eq!(rig.pop.open(rig.now, demand()), Err(Code::NoExit));
    let verdicts = rig.pop.explain(rig.now, None);
    let reason = Reason::Draining;
    assert_eq!(verdicts[0].standing, Standing::Filtered { reason });
    rig.cut(rig.link(0));
    rig.wait(millis(200));
    assert_eq!(rig.pop.open(rig.now, demand()), Err(Code::NoExit));

    rig.send_up(pop, b"request");
    assert_eq!(rig.read_up(0, edge), b"request");
    rig.pop.finish(rig.now, pop);
    rig.edges[0].core.finish(rig.now, edge);
    rig.run();
    assert_eq!(drained(&rig.edges[0].events), 0);
    rig.edges[0]
        .core
        .close(rig.now, edge, Code::Ok, CloseMode::Abort);
    rig.wait(millis(20));
    assert_eq!(drained(&rig.edges[0].events), 1);
    rig.edges[0].core.farewell(rig.now, Code::ShuttingDown);
    rig.run();
    assert_eq!(rig.tunnel_gone(), Some(Code::ShuttingDown));
    let links = rig.links.len();
    rig.wait(secs(300));
    assert_eq!(rig.links.len(), links, "it does not come back");
}

#[test]
fn a_create_that_crosses_the_news_goes_elsewhere() {
    let mut rig = Rig::new(config(), 2);
    let pop = rig.open();
    let first = rig.answer(Ok(()));
    assert_eq!(rig.ended(pop), None);
    let link = rig.link(first);
    rig.links[link].to_pop.held = true;
    drain_edge(&mut rig, first);
    let before = rig.edges[first].opened.len();
    let mut moved = 0;
    for _ in 0..32 {
        let id = rig.open();
        if rig.pop.node_of(id) == Some(&*format!("node-{first}")) {
            moved += 1;
        }
    }
    assert!(moved > 0, "some of them were sent to the edge that drains");
    assert_eq!(rig.edges[first].opened.len(), before);
    rig.links[link].to_pop.held = false;
    rig.run();
    assert_eq!(rig.edges[1 - first].opened.len(), 32);
    assert_eq!(rig.pop.counters().failovers, moved);
}

#[test]
fn a_client_has_the_rest_of_what_arrived_before_the_tunnel_ended() {
    let mut rig = Rig::new(config(), 1);
    let (pop, edge) = rig.connect();
    rig.pop.finish(rig.now, pop);
    rig.send_down(0, edge, b"all of it");
    rig.edges[0].core.finish(rig.now, edge);
    rig.run();
    rig.edges[0].core.farewell(rig.now, Code::ShuttingDown);
    rig.run();
    let status = rig.pop.status(rig.now, pop).unwrap();
    assert_eq!((status.ended, status.readable), (Some(Code::Ok), 9));
    rig.wait(secs(29));
    assert_eq!(rig.read_down(pop), b"all of it");
    assert!(rig.pop.status(rig.now, pop).unwrap().recv_finished);
    rig.wait(secs(60));
    assert_eq!(rig.ended(pop), Some(Code::Ok));
    rig.pop.close(rig.now, pop, Code::Ok, CloseMode::Abort);
    rig.run();
    assert_eq!(rig.pop.usage().sessions, 0);
}

#[test]
fn a_client_that_does_not_take_the_rest_sees_a_failure() {
    let mut rig = Rig::new(config(), 1);
    let (pop, edge) = rig.connect();
    rig.pop.finish(rig.now, pop);
    rig.send_down(0, edge, b"all of it");
    rig.edges[0].core.finish(rig.now, edge);
    rig.run();
    rig.edges[0].core.farewell(rig.now, Code::ShuttingDown);
    rig.wait(secs(31));
    let status = rig.pop.status(rig.now, pop).unwrap();
    assert_eq!(status.ended, Some(Code::WriteTimeout));
    assert!(status.readable == 0 && !status.recv_finished);
}

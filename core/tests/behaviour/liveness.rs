//! Keepalive, grace, acknowledgement and the resend buffer.

use crate::common::{Way::ToEdge, Way::ToPop, World, config, millis, secs};
use titan_core::endpoint::{Batch, Config, Event, Item, Timer};
use titan_core::time::Instant;
use titan_proto::{Code, Frame};

/// Takes what a POP has for its only carrier.
fn pull(world: &mut World) -> Vec<Item> {
    let link = world.link(0);
    let mut batch = Batch::new(1 << 20);
    let carrier = world.links[link].pop.unwrap();
    world.pop.poll_transmit(world.now, carrier, &mut batch);
    batch.drain().collect()
}

fn is_ping(item: &Item) -> bool {
    matches!(item, Item::Ping(_))
}

fn ack_of(items: &[Item]) -> bool {
    items
        .iter()
        .any(|item| matches!(item, Item::Frame(frame) if frame.kind == 65))
}

/// Keeps the edge from sending and the POP's output from leaving, so that the test sees both.
fn isolate(world: &mut World) {
    world.edges[0].online = false;
    let link = world.link(0);
    world.links[link].to_pop.held = true;
    world.links[link].to_edge.blocked = true;
    pull(world);
}

#[test]
fn a_carrier_is_pinged_after_five_seconds_of_silence() {
    let mut world = World::new(config(), 1);
    isolate(&mut world);
    world.wait(secs(5) - millis(1));
    assert!(!pull(&mut world).iter().any(is_ping));
    world.wait(millis(1));
    assert_eq!(
        pull(&mut world).iter().filter(|item| is_ping(item)).count(),
        1
    );
    world.wait(secs(9));
    assert!(!pull(&mut world).iter().any(is_ping), "asked already");
}

#[test]
fn any_byte_is_life_and_silence_counts_from_it() {
    let mut world = World::new(config(), 1);
    isolate(&mut world);
    let carrier = world.links[world.link(0)].pop.unwrap();
    world.wait(secs(7));
    pull(&mut world);
    world.pop.handle_alive(world.now, carrier);
    world.wait(secs(5) - millis(1));
    assert!(!pull(&mut world).iter().any(is_ping));
    world.wait(millis(1));
    assert!(pull(&mut world).iter().any(is_ping), "five seconds again");
    world.wait(secs(10) - millis(1));
    assert!(world.links[world.link(0)].pop.is_some());
    world.wait(millis(1));
    let severed = Event::Sever {
        carrier,
        code: Code::Silent,
    };
    assert!(world.events.contains(&severed), "dead at fifteen");
}

#[test]
fn what_was_received_counts_before_deadlines_that_passed_meanwhile() {
    let mut world = World::new(config(), 1);
    isolate(&mut world);
    let carrier = world.links[world.link(0)].pop.unwrap();
    // The process was stopped for a minute; bytes wait in its socket.
    world.now = world.now + secs(60);
    world.pop.handle_alive(world.now, carrier);
    world.pop.handle_timeout(world.now);
    assert!(pull(&mut world).iter().any(is_ping));
    assert!(
        world
            .events
            .iter()
            .all(|event| !matches!(event, Event::Sever { .. }))
    );
    world.edges[0].core.handle_timeout(world.now);
    world.run();
}

#[test]
fn a_detached_tunnel_is_kept_for_thirty_seconds() {
    let mut world = World::new(config(), 1);
    let (pop, edge) = world.connect();
    world.unplug(0);
    world.wait(secs(30) - millis(1));
    assert_eq!((world.ended(pop), world.edge_ended(0, edge)), (None, None));
    world.wait(millis(1));
    assert_eq!(world.ended(pop), Some(Code::TunnelLost));
    assert_eq!(world.edge_ended(0, edge), Some(Code::TunnelLost));
    assert_eq!(world.pop.usage().tunnels, 0);
    assert_eq!(world.edges[0].core.usage().tunnels, 0);
}

#[test]
fn a_carrier_in_the_last_moment_saves_the_tunnel() {
    let mut world = World::new(config(), 1);
    let (pop, _) = world.connect();
    world.unplug(0);
    world.wait(secs(30) - millis(1));
    world.plug_in(0);
    world.wait(secs(60));
    assert_eq!(world.ended(pop), None);
}

#[test]
fn a_frame_is_acknowledged_after_twenty_milliseconds() {
    let mut world = World::new(config(), 1);
    let (_, edge) = world.connect();
    world.wait(secs(1));
    let link = world.link(0);
    world.links[link].to_edge.blocked = true;
    pull(&mut world);
    world.send_down(0, edge, b"x");
    assert!(!ack_of(&pull(&mut world)));
    world.wait(millis(20) - core::time::Duration::from_nanos(1));
    assert!(!ack_of(&pull(&mut world)));
    world.wait(core::time::Duration::from_nanos(1));
    assert!(ack_of(&pull(&mut world)));
}

#[test]
fn an_acknowledgement_rides_on_any_batch() {
    let mut world = World::new(config(), 1);
    let (pop, edge) = world.connect();
    world.wait(secs(1));
    let link = world.link(0);
    world.links[link].to_edge.blocked = true;
    world.send_down(0, edge, b"x");
    world.send_up(pop, b"y");
    let items = pull(&mut world);
    assert!(ack_of(&items) && items.len() == 2, "{items:?}");
    world.links[link].to_edge.blocked = false;
    world.cut(link);
}

#[test]
fn an_acknowledgement_is_due_at_once_after_a_quarter_of_what_the_peer_keeps() {
    let resend_max = 256 << 10;
    let mut world = World::new(
        Config {
            resend_max,
            data_max: 16 << 10,
            ..config()
        },
        1,
    );
    let (_, edge) = world.connect();
    world.wait(secs(1));
    let link = world.link(0);
    world.links[link].to_edge.blocked = true;
    world.send_down(0, edge, &[1; 48 << 10]);
    assert!(!ack_of(&pull(&mut world)));
    world.send_down(0, edge, &[1; 16 << 10]);
    assert!(ack_of(&pull(&mut world)));
}

#[test]
fn a_full_resend_buffer_holds_back_data_but_not_control() {
    let mut world = World::new(
        Config {
            resend_max: 64 << 10,
            data_max: 16 << 10,
            ..config()
        },
        1,
    );
    let (pop, _) = world.connect();
    let (other, at_edge) = world.connect();
    world.wait(secs(1));
    let link = world.link(0);
    world.links[link].to_pop.held = true;
    world.send_up(pop, &vec![1; 200 << 10]);
    let sent = world.data(ToEdge).len();
    assert!((63 << 10..64 << 10).contains(&sent), "{sent}");
    let abort = titan_core::endpoint::CloseMode::Abort;
    world.pop.close(world.now, other, Code::Kicked, abort);
    world.run();
    assert_eq!(world.edge_ended(0, at_edge), Some(Code::Kicked));
    world.links[link].to_pop.held = false;
    world.run();
    assert_eq!(world.data(ToEdge).len(), 200 << 10);
}

#[test]
fn a_peer_that_withholds_acknowledgement_is_cut_off_after_fifteen_seconds() {
    let mut world = World::new(
        Config {
            resend_max: 64 << 10,
            ..config()
        },
        1,
    );
    let (pop, _) = world.connect();
    world.wait(secs(1));
    world.rewrite = Some(Box::new(|way, frame| {
        if let Frame::Ack { received } = frame
            && way == ToPop
        {
            *received = 0;
        }
    }));
    world.send_up(pop, &vec![1; 100 << 10]);
    world.wait(secs(15) - millis(1));
    assert_eq!(world.tunnel_gone(), None);
    world.wait(millis(1));
    assert_eq!(world.tunnel_gone(), Some(Code::AckWithheld));
    assert_eq!(world.ended(pop), Some(Code::TunnelLost));
}

#[test]
fn an_acknowledgement_of_what_was_never_sent_ends_the_tunnel() {
    for received in [1000, u64::MAX] {
        let mut world = World::new(config(), 1);
        let link = world.link(0);
        world.inject(link, ToPop, Frame::Ack { received });
        assert_eq!(world.tunnel_gone(), Some(Code::Desync));
    }
}

#[test]
fn pongs_to_no_ping_of_ours_say_nothing() {
    let mut world = World::new(config(), 1);
    let carrier = world.links[world.link(0)].pop.unwrap();
    let tunnel = world.pop.nodes()[0].tunnel;
    let before = world.pop.rtt(tunnel);
    // The ping of the carrier's first moment was answered; nobody may answer it again, or later ones
    // before they are sent, to look near.
    let first = world.now.as_nanos().to_be_bytes();
    world.wait(secs(2));
    let later = (world.now + secs(5)).as_nanos().to_be_bytes();
    let now = world.now.as_nanos().to_be_bytes();
    let payloads = [
        &first[..],
        &now,
        &later,
        &[0; 8],
        &[0xff; 8],
        &[],
        &[1; 7],
        &[0; 125],
    ];
    for payload in payloads {
        world.pop.handle_pong(world.now, carrier, payload);
    }
    assert_eq!(world.pop.rtt(tunnel), before);
    world.run();
}

#[test]
fn a_carrier_that_takes_nothing_is_told_once_per_episode() {
    let mut world = World::new(config(), 1);
    let (pop, edge) = world.connect();
    let link = world.link(0);
    let told = |world: &World| {
        let full = |event: &&Event<_>| matches!(event, Event::CarrierFull { .. });
        world.events.iter().filter(full).count()
    };
    for episode in 1..3 {
        world.links[link].to_edge.blocked = true;
        let room = world.pop.status(world.now, pop).unwrap().send_room;
        world.send_up(pop, &vec![1; room]);
        world.wait(secs(1) - millis(1));
        assert_eq!(told(&world), episode - 1);
        world.wait(secs(3));
        assert_eq!(told(&world), episode);
        world.links[link].to_edge.blocked = false;
        world.run();
        world.read_up(0, edge);
    }
}

#[test]
fn what_is_idle_costs_no_timer_but_its_deadline() {
    let mut world = World::new(config(), 1);
    world.wait(secs(1));
    let idle = world.pop.usage();
    assert_eq!((idle.timers, idle.carriers, idle.tunnels), (1, 1, 1));
    for _ in 0..10 {
        world.connect();
    }
    world.wait(secs(1));
    assert_eq!(world.pop.usage().timers, 11);
    assert_eq!(world.edges[0].core.usage().timers, 11);
    let due = world.pop.poll_timeout().unwrap();
    assert!(matches!(due.reason, Timer::Carrier(_)), "{due:?}");
}

#[test]
fn time_that_runs_backwards_counts_as_the_latest_seen() {
    let mut world = World::new(config(), 1);
    let (pop, _) = world.connect();
    let carrier = world.links[world.link(0)].pop.unwrap();
    world.pop.handle_timeout(Instant::EPOCH);
    world.pop.handle_alive(Instant::EPOCH, carrier);
    world
        .pop
        .write(Instant::EPOCH, pop, bytes::Bytes::from_static(b"x"));
    world.run();
    world.wait(secs(10));
    assert_eq!(world.ended(pop), None);
}

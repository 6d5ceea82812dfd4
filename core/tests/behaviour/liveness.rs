//! Keepalive, grace, acknowledgement and the resend buffer.

use crate::common::{Rig, Way::ToEdge, Way::ToPop, config, millis, secs};
use titan_core::endpoint::{Batch, Config, Event, Item, Timer};
use titan_core::time::Instant;
use titan_proto::{Code, Frame};

/// Takes what a POP has for its only carrier.
fn pull(rig: &mut Rig) -> Vec<Item> {
    let link = rig.link(0);
    let mut batch = Batch::new(1 << 20);
    let carrier = rig.links[link].pop.unwrap();
    rig.pop.poll_transmit(rig.now, carrier, &mut batch);
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
fn isolate(rig: &mut Rig) {
    rig.edges[0].online = false;
    let link = rig.link(0);
    rig.links[link].to_pop.held = true;
    rig.links[link].to_edge.blocked = true;
    pull(rig);
}

#[test]
fn a_carrier_is_pinged_after_five_seconds_of_silence() {
    let mut rig = Rig::new(config(), 1);
    isolate(&mut rig);
    rig.wait(secs(5) - millis(1));
    assert!(!pull(&mut rig).iter().any(is_ping));
    rig.wait(millis(1));
    assert_eq!(
        pull(&mut rig).iter().filter(|item| is_ping(item)).count(),
        1
    );
    rig.wait(secs(9));
    assert!(!pull(&mut rig).iter().any(is_ping), "asked already");
}

#[test]
fn any_byte_is_life_and_silence_counts_from_it() {
    let mut rig = Rig::new(config(), 1);
    isolate(&mut rig);
    let carrier = rig.links[rig.link(0)].pop.unwrap();
    rig.wait(secs(7));
    pull(&mut rig);
    rig.pop.handle_alive(rig.now, carrier);
    rig.wait(secs(5) - millis(1));
    assert!(!pull(&mut rig).iter().any(is_ping));
    rig.wait(millis(1));
    assert!(pull(&mut rig).iter().any(is_ping), "five seconds again");
    rig.wait(secs(10) - millis(1));
    assert!(rig.links[rig.link(0)].pop.is_some());
    rig.wait(millis(1));
    let severed = Event::Sever {
        carrier,
        code: Code::Silent,
    };
    assert!(rig.events.contains(&severed), "dead at fifteen");
}

#[test]
fn what_was_received_counts_before_deadlines_that_passed_meanwhile() {
    let mut rig = Rig::new(config(), 1);
    isolate(&mut rig);
    let carrier = rig.links[rig.link(0)].pop.unwrap();
    // The process was stopped for a minute; bytes wait in its socket.
    rig.now = rig.now + secs(60);
    rig.pop.handle_alive(rig.now, carrier);
    rig.pop.handle_timeout(rig.now);
    assert!(pull(&mut rig).iter().any(is_ping));
    assert!(
        rig.events
            .iter()
            .all(|event| !matches!(event, Event::Sever { .. }))
    );
    rig.edges[0].core.handle_timeout(rig.now);
    rig.run();
}

#[test]
fn a_detached_tunnel_is_kept_for_thirty_seconds() {
    let mut rig = Rig::new(config(), 1);
    let (pop, edge) = rig.connect();
    rig.unplug(0);
    rig.wait(secs(30) - millis(1));
    assert_eq!((rig.ended(pop), rig.edge_ended(0, edge)), (None, None));
    rig.wait(millis(1));
    assert_eq!(rig.ended(pop), Some(Code::TunnelLost));
    assert_eq!(rig.edge_ended(0, edge), Some(Code::TunnelLost));
    assert_eq!(rig.pop.usage().tunnels, 0);
    assert_eq!(rig.edges[0].core.usage().tunnels, 0);
}

#[test]
fn a_carrier_in_the_last_moment_saves_the_tunnel() {
    let mut rig = Rig::new(config(), 1);
    let (pop, _) = rig.connect();
    rig.unplug(0);
    rig.wait(secs(30) - millis(1));
    rig.plug_in(0);
    rig.wait(secs(60));
    assert_eq!(rig.ended(pop), None);
}

#[test]
fn a_frame_is_acknowledged_after_twenty_milliseconds() {
    let mut rig = Rig::new(config(), 1);
    let (_, edge) = rig.connect();
    rig.wait(secs(1));
    let link = rig.link(0);
    rig.links[link].to_edge.blocked = true;
    pull(&mut rig);
    rig.send_down(0, edge, b"x");
    assert!(!ack_of(&pull(&mut rig)));
    rig.wait(millis(20) - core::time::Duration::from_nanos(1));
    assert!(!ack_of(&pull(&mut rig)));
    rig.wait(core::time::Duration::from_nanos(1));
    assert!(ack_of(&pull(&mut rig)));
}

#[test]
fn an_acknowledgement_rides_on_any_batch() {
    let mut rig = Rig::new(config(), 1);
    let (pop, edge) = rig.connect();
    rig.wait(secs(1));
    let link = rig.link(0);
    rig.links[link].to_edge.blocked = true;
    rig.send_down(0, edge, b"x");
    rig.send_up(pop, b"y");
    let items = pull(&mut rig);
    assert!(ack_of(&items) && items.len() == 2, "{items:?}");
    rig.links[link].to_edge.blocked = false;
    rig.cut(link);
}

#[test]
fn an_acknowledgement_is_due_at_once_after_a_quarter_of_what_the_peer_keeps() {
    let resend_max = 256 << 10;
    let mut rig = Rig::new(
        Config {
            resend_max,
            data_max: 16 << 10,
            ..config()
        },
        1,
    );
    let (_, edge) = rig.connect();
    rig.wait(secs(1));
    let link = rig.link(0);
    rig.links[link].to_edge.blocked = true;
    rig.send_down(0, edge, &[1; 48 << 10]);
    assert!(!ack_of(&pull(&mut rig)));
    rig.send_down(0, edge, &[1; 16 << 10]);
    assert!(ack_of(&pull(&mut rig)));
}

#[test]
fn a_full_resend_buffer_holds_back_data_but_not_control() {
    let mut rig = Rig::new(
        Config {
            resend_max: 64 << 10,
            data_max: 16 << 10,
            ..config()
        },
        1,
    );
    let (pop, _) = rig.connect();
    let (other, at_edge) = rig.connect();
    rig.wait(secs(1));
    let link = rig.link(0);
    rig.links[link].to_pop.held = true;
    rig.send_up(pop, &vec![1; 200 << 10]);
    let sent = rig.data(ToEdge).len();
    assert!((63 << 10..64 << 10).contains(&sent), "{sent}");
    let abort = titan_core::endpoint::CloseMode::Abort;
    rig.pop.close(rig.now, other, Code::Kicked, abort);
    rig.run();
    assert_eq!(rig.edge_ended(0, at_edge), Some(Code::Kicked));
    rig.links[link].to_pop.held = false;
    rig.run();
    assert_eq!(rig.data(ToEdge).len(), 200 << 10);
}

#[test]
fn a_peer_that_withholds_acknowledgement_is_cut_off_after_fifteen_seconds() {
    let mut rig = Rig::new(
        Config {
            resend_max: 64 << 10,
            ..config()
        },
        1,
    );
    let (pop, _) = rig.connect();
    rig.wait(secs(1));
    rig.rewrite = Some(Box::new(|way, frame| {
        if let Frame::Ack { received } = frame
            && way == ToPop
        {
            *received = 0;
        }
    }));
    rig.send_up(pop, &vec![1; 100 << 10]);
    rig.wait(secs(15) - millis(1));
    assert_eq!(rig.tunnel_gone(), None);
    rig.wait(millis(1));
    assert_eq!(rig.tunnel_gone(), Some(Code::AckWithheld));
    assert_eq!(rig.ended(pop), Some(Code::TunnelLost));
}

#[test]
fn an_acknowledgement_of_what_was_never_sent_ends_the_tunnel() {
    for received in [1000, u64::MAX] {
        let mut rig = Rig::new(config(), 1);
        let link = rig.link(0);
        rig.inject(link, ToPop, Frame::Ack { received });
        assert_eq!(rig.tunnel_gone(), Some(Code::Desync));
    }
}

#[test]
fn pongs_to_no_ping_of_ours_say_nothing() {
    let mut rig = Rig::new(config(), 1);
    let carrier = rig.links[rig.link(0)].pop.unwrap();
    let tunnel = rig.pop.nodes()[0].tunnel;
    let before = rig.pop.rtt(tunnel);
    // The ping of the carrier's first moment was answered; nobody may answer it again, or later ones
    // before they are sent, to look near.
    let first = rig.now.as_nanos().to_be_bytes();
    rig.wait(secs(2));
    let later = (rig.now + secs(5)).as_nanos().to_be_bytes();
    let now = rig.now.as_nanos().to_be_bytes();
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
        rig.pop.handle_pong(rig.now, carrier, payload);
    }
    assert_eq!(rig.pop.rtt(tunnel), before);
    rig.run();
}

#[test]
fn a_carrier_that_takes_nothing_is_told_once_per_episode() {
    let mut rig = Rig::new(config(), 1);
    let (pop, edge) = rig.connect();
    let link = rig.link(0);
    let told = |rig: &Rig| {
        let full = |event: &&Event<_>| matches!(event, Event::CarrierFull { .. });
        rig.events.iter().filter(full).count()
    };
    for episode in 1..3 {
        rig.links[link].to_edge.blocked = true;
        let room = rig.pop.status(rig.now, pop).unwrap().send_room;
        rig.send_up(pop, &vec![1; room]);
        rig.wait(secs(1) - millis(1));
        assert_eq!(told(&rig), episode - 1);
        rig.wait(secs(3));
        assert_eq!(told(&rig), episode);
        rig.links[link].to_edge.blocked = false;
        rig.run();
        rig.read_up(0, edge);
    }
}

#[test]
fn what_is_idle_costs_no_timer_but_its_deadline() {
    let mut rig = Rig::new(config(), 1);
    rig.wait(secs(1));
    let idle = rig.pop.usage();
    assert_eq!((idle.timers, idle.carriers, idle.tunnels), (1, 1, 1));
    for _ in 0..10 {
        rig.connect();
    }
    rig.wait(secs(1));
    assert_eq!(rig.pop.usage().timers, 11);
    assert_eq!(rig.edges[0].core.usage().timers, 11);
    let due = rig.pop.poll_timeout().unwrap();
    assert!(matches!(due.reason, Timer::Carrier(_)), "{due:?}");
}

#[test]
fn time_that_runs_backwards_counts_as_the_latest_seen() {
    let mut rig = Rig::new(config(), 1);
    let (pop, _) = rig.connect();
    let carrier = rig.links[rig.link(0)].pop.unwrap();
    rig.pop.handle_timeout(Instant::EPOCH);
    rig.pop.handle_alive(Instant::EPOCH, carrier);
    rig.pop
        .write(Instant::EPOCH, pop, bytes::Bytes::from_static(b"x"));
    rig.run();
    rig.wait(secs(10));
    assert_eq!(rig.ended(pop), None);
}

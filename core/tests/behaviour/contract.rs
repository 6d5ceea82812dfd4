//! Any order of calls is legal, and a stale id names nothing.

use crate::common::{World, config, millis, secs};
use bytes::Bytes;
use titan_core::endpoint::{Batch, CloseMode, Dialled};
use titan_core::time::Duration;
use titan_proto::{Code, wire};

#[test]
fn stale_ids_are_harmless() {
    let mut world = World::new(config(), 1);
    let (pop, edge) = world.connect();
    let carrier = world.links[world.link(0)].pop.unwrap();
    let tunnel = world.pop.nodes()[0].tunnel;
    world.pop.close(world.now, pop, Code::Ok, CloseMode::Abort);
    world.run();
    let core = &mut world.edges[0].core;
    core.close(world.now, edge, Code::Ok, CloseMode::Abort);
    world.unplug(0);
    world.wait(secs(31));
    let now = world.now;
    let core = &mut world.pop;
    assert_eq!(core.status(pop), None);
    core.write(now, pop, Bytes::from_static(b"x"));
    core.finish(now, pop);
    core.stop(now, pop, Code::Ok);
    core.release(now, pop, 5);
    core.close(now, pop, Code::Ok, CloseMode::Drain);
    assert_eq!(core.readable(pop).count(), 0);
    assert_eq!((core.reply(pop), core.node_of(pop)), (None, None));
    assert_eq!((core.tunnel_of(pop), core.node(tunnel)), (None, None));
    core.command(now, tunnel, wire::Command::default());
    core.handle_message(now, carrier, &Bytes::from_static(b"x"));
    core.handle_pong(now, carrier, &[0; 8]);
    core.handle_alive(now, carrier);
    core.handle_carrier_closed(now, carrier, Code::Reset);
    core.handle_carrier_fault(now, carrier, Code::Malformed);
    let mut batch = Batch::new(100);
    core.poll_transmit(now, carrier, &mut batch);
    assert!(batch.is_empty());
    let core = &mut world.edges[0].core;
    core.dialled(now, edge, Ok(Dialled::default()));
    core.dialled(now, edge, Err(Code::Refused));
    assert_eq!(core.dial_request(edge), None);
    world.run();
    assert_eq!(world.pop.usage().sessions, 0);
}

#[test]
fn every_session_ends_when_its_drivers_let_go() {
    for first in [CloseMode::Abort, CloseMode::Drain] {
        for second in [CloseMode::Abort, CloseMode::Drain] {
            let mut world = World::new(config(), 1);
            let (pop, edge) = world.connect();
            world.send_up(pop, &vec![1; 300 << 10]);
            world.send_down(0, edge, &vec![2; 300 << 10]);
            world.pop.close(world.now, pop, Code::Reset, first);
            let core = &mut world.edges[0].core;
            core.close(world.now, edge, Code::Reset, second);
            world.wait(secs(61));
            assert_eq!(world.pop.usage().sessions, 0);
            assert_eq!(world.edges[0].core.usage().sessions, 0);
            assert_eq!(world.pop.usage().session_bytes, 0);
            assert_eq!(world.pop.usage().resend_bytes, 0);
        }
    }
}

#[test]
fn an_uplink_that_is_not_connecting_ignores_connections() {
    let mut world = World::new(config(), 1);
    let uplink = world.edges[0].uplink;
    let core = &mut world.edges[0].core;
    assert_eq!(
        core.handle_connected(world.now, uplink, [0; 16], true),
        None
    );
    core.handle_connect_failed(world.now, uplink, Duration::ZERO);
    assert!(core.is_attached(uplink));
    world.wait(millis(1));
}

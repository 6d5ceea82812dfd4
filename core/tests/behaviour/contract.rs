//! Any order of calls is legal, and a stale id names nothing.

use crate::common::{Rig, config, millis, secs};
use bytes::Bytes;
use titan_core::endpoint::{Batch, CloseMode, Dialled};
use titan_core::time::Duration;
use titan_proto::Code;

#[test]
fn stale_ids_are_harmless() {
    let mut rig = Rig::new(config(), 1);
    let (pop, edge) = rig.connect();
    let carrier = rig.links[rig.link(0)].pop.unwrap();
    let tunnel = rig.pop.nodes()[0].tunnel;
    rig.pop.close(rig.now, pop, Code::Ok, CloseMode::Abort);
    rig.run();
    let core = &mut rig.edges[0].core;
    core.close(rig.now, edge, Code::Ok, CloseMode::Abort);
    rig.unplug(0);
    rig.wait(secs(31));
    let now = rig.now;
    let core = &mut rig.pop;
    assert_eq!(core.status(now, pop), None);
    core.write(now, pop, Bytes::from_static(b"x"));
    core.finish(now, pop);
    core.stop(now, pop, Code::Ok);
    core.release(now, pop, 5);
    core.close(now, pop, Code::Ok, CloseMode::Flush);
    assert_eq!(core.readable(pop).count(), 0);
    assert_eq!((core.reply(pop), core.node_of(pop)), (None, None));
    assert_eq!((core.tunnel_of(pop), core.node(tunnel)), (None, None));
    assert!(!core.kick(now, "node-9", Code::Kicked, secs(1)));
    assert!(!core.send_away(now, "node-9", secs(1)));
    core.handle_message(now, carrier, &Bytes::from_static(b"x"));
    core.handle_pong(now, carrier, &[0; 8]);
    core.handle_alive(now, carrier);
    core.handle_carrier_closed(now, carrier, Code::Reset);
    core.handle_carrier_fault(now, carrier, Code::Malformed);
    let mut batch = Batch::new(100);
    core.poll_transmit(now, carrier, &mut batch);
    assert!(batch.is_empty());
    let core = &mut rig.edges[0].core;
    core.dialled(now, edge, Ok(Dialled::default()));
    core.dialled(now, edge, Err(Code::Refused));
    assert_eq!(core.dial_request(edge), None);
    rig.run();
    assert_eq!(rig.pop.usage().sessions, 0);
}

#[test]
fn a_driver_may_release_more_than_is_left() {
    let mut rig = Rig::new(config(), 1);
    let (pop, edge) = rig.connect();
    rig.send_down(0, edge, b"bytes");
    rig.pop.release(rig.now, pop, 6);
    rig.run();
    assert_eq!(rig.pop.status(rig.now, pop).unwrap().readable, 0);
    rig.send_down(0, edge, b"more");
    assert_eq!(rig.read_down(pop), b"more");
}

#[test]
fn every_pair_of_commands_in_every_phase_is_legal() {
    type Command = fn(&mut Rig, titan_core::endpoint::SessionId, titan_core::endpoint::SessionId);
    let commands: [Command; 14] = [
        |w, pop, _| w.pop.write(w.now, pop, Bytes::from_static(b"up")),
        |w, pop, _| w.pop.finish(w.now, pop),
        |w, pop, _| w.pop.stop(w.now, pop, Code::Reset),
        |w, pop, _| w.pop.release(w.now, pop, 1),
        |w, pop, _| w.pop.close(w.now, pop, Code::Reset, CloseMode::Flush),
        |w, pop, _| w.pop.close(w.now, pop, Code::Kicked, CloseMode::Abort),
        |w, _, edge| {
            w.edges[0]
                .core
                .write(w.now, edge, Bytes::from_static(b"dn"))
        },
        |w, _, edge| w.edges[0].core.finish(w.now, edge),
        |w, _, edge| w.edges[0].core.stop(w.now, edge, Code::Reset),
        |w, _, edge| w.edges[0].core.release(w.now, edge, 1),
        |w, _, edge| {
            let core = &mut w.edges[0].core;
            core.close(w.now, edge, Code::Reset, CloseMode::Flush);
        },
        |w, _, edge| {
            let core = &mut w.edges[0].core;
            core.close(w.now, edge, Code::Kicked, CloseMode::Abort);
        },
        |w, _, edge| {
            let core = &mut w.edges[0].core;
            core.dialled(w.now, edge, Ok(Dialled::default()));
        },
        |w, _, edge| w.edges[0].core.dialled(w.now, edge, Err(Code::TimedOut)),
    ];
    let base = config();
    for first in commands {
        for second in commands {
            for third in commands {
                for between in [false, true] {
                    let mut rig = Rig::new(base.clone(), 1);
                    let pop = rig.open();
                    let edge = rig.edges[0].opened[0];
                    for command in [first, second, third] {
                        command(&mut rig, pop, edge);
                        if between {
                            rig.run();
                        }
                    }
                    rig.run();
                    assert_eq!(rig.pop.counters().faults, 0);
                    assert_eq!(rig.edges[0].core.counters().faults, 0);
                }
            }
        }
    }
}

#[test]
fn every_session_ends_when_its_drivers_let_go() {
    for first in [CloseMode::Abort, CloseMode::Flush] {
        for second in [CloseMode::Abort, CloseMode::Flush] {
            let mut rig = Rig::new(config(), 1);
            let (pop, edge) = rig.connect();
            rig.send_up(pop, &vec![1; 300 << 10]);
            rig.send_down(0, edge, &vec![2; 300 << 10]);
            rig.pop.close(rig.now, pop, Code::Reset, first);
            let core = &mut rig.edges[0].core;
            core.close(rig.now, edge, Code::Reset, second);
            rig.wait(secs(61));
            assert_eq!(rig.pop.usage().sessions, 0);
            assert_eq!(rig.edges[0].core.usage().sessions, 0);
            assert_eq!(rig.pop.usage().session_bytes, 0);
            assert_eq!(rig.pop.usage().resend_bytes, 0);
        }
    }
}

#[test]
fn drivers_are_woken_for_whatever_changed() {
    type Change = fn(&mut Rig, titan_core::endpoint::SessionId, titan_core::endpoint::SessionId);
    let changes: [Change; 7] = [
        |w, _, edge| w.send_down(0, edge, b"bytes"),
        |w, _, edge| w.edges[0].core.finish(w.now, edge),
        |w, _, edge| w.edges[0].core.stop(w.now, edge, Code::Reset),
        |w, _, edge| {
            let core = &mut w.edges[0].core;
            core.close(w.now, edge, Code::Reset, CloseMode::Flush);
        },
        |w, _, edge| {
            let core = &mut w.edges[0].core;
            core.close(w.now, edge, Code::Reset, CloseMode::Abort);
        },
        |w, _, _| {
            w.unplug(0);
            w.wait(secs(30));
        },
        |w, pop, _| {
            // Room: the carrier takes what filled the queue.
            let link = w.link(0);
            w.links[link].to_edge.blocked = true;
            let room = w.pop.status(w.now, pop).unwrap().send_room;
            w.send_up(pop, &vec![1; room]);
            assert_eq!(w.pop.status(w.now, pop).unwrap().send_room, 0);
            assert_eq!(w.woken, []);
            w.links[link].to_edge.blocked = false;
        },
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut rig = Rig::new(
            titan_core::endpoint::Config {
                send_queue_max: 10_000,
                ..config()
            },
            1,
        );
        let (pop, edge) = rig.connect();
        assert_eq!(rig.woken.last(), Some(&pop), "the reply");
        rig.woken.clear();
        change(&mut rig, pop, edge);
        rig.run();
        assert_eq!(rig.woken, [pop], "change {number}");
    }
}

#[test]
fn an_uplink_that_is_not_connecting_ignores_connections() {
    let mut rig = Rig::new(config(), 1);
    let uplink = rig.edges[0].uplink;
    let core = &mut rig.edges[0].core;
    assert_eq!(core.handle_connected(rig.now, uplink, [0; 16], true), None);
    core.handle_connect_failed(rig.now, uplink, Duration::ZERO);
    assert!(core.is_attached(uplink));
    rig.wait(millis(1));
}

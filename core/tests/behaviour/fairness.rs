//! Who sends next on a common carrier.

use crate::common::{Rig, Way::ToEdge, config, demand};
use std::collections::BTreeMap;
use titan_core::endpoint::{Config, Open, SessionId};
use titan_proto::Frame;

/// Opens sessions of users 1 and 2 and connects them all.
fn crowd(rig: &mut Rig, users: &[(u32, usize, u32)]) -> Vec<(u32, SessionId)> {
    let mut ids = Vec::new();
    for &(group, count, weight) in users {
        for _ in 0..count {
            let open = Open {
                group,
                weight,
                ..demand()
            };
            ids.push((group, rig.connect_with(open).0));
        }
    }
    ids
}

/// Fills all send queues, then lets the carrier take `bytes`.
fn share(rig: &mut Rig, ids: &[(u32, SessionId)], bytes: usize) -> BTreeMap<u32, usize> {
    let link = rig.link(0);
    let carrier = rig.links[link].pop.unwrap();
    let mut number_group = BTreeMap::new();
    for seen in &rig.wire {
        if let Frame::Create { session, create } = &seen.frame {
            number_group.insert(*session, create.group);
        }
    }
    for &(_, id) in ids {
        let bytes = bytes::Bytes::from(vec![1; 256 << 10]);
        rig.pop.write(rig.now, id, bytes);
    }
    let mut sent = BTreeMap::new();
    let mut batch = titan_core::endpoint::Batch::new(64 << 10);
    while sent.values().sum::<usize>() < bytes {
        rig.pop.poll_transmit(rig.now, carrier, &mut batch);
        for item in batch.drain() {
            if let titan_core::endpoint::Item::Frame(frame) = item
                && frame.kind == 3
            {
                *sent.entry(number_group[&frame.session]).or_default() += frame.payload.len();
            }
        }
    }
    sent
}

#[test]
fn a_user_with_a_hundred_sessions_gets_no_more_than_one_with_one() {
    for data_max in [1 << 10, 60 << 10, 64 << 10] {
        let mut rig = Rig::new(
            Config {
                data_max,
                resend_max: 64 << 20,
                ..config()
            },
            1,
        );
        let ids = crowd(&mut rig, &[(1, 100, 1), (2, 1, 1)]);
        let sent = share(&mut rig, &ids, 400 << 10);
        let difference = sent[&1].abs_diff(sent[&2]);
        assert!(difference <= 128 << 10, "{data_max}: {sent:?}");
    }
}

#[test]
fn any_weight_is_taken_as_one_to_sixteen() {
    let mut rig = Rig::new(
        Config {
            resend_max: 64 << 20,
            data_max: 16 << 10,
            ..config()
        },
        1,
    );
    let ids = crowd(&mut rig, &[(1, 40, u32::MAX), (2, 1, 0)]);
    let sent = share(&mut rig, &ids, 2176 << 10);
    assert!(sent[&1] > 12 * sent[&2], "{sent:?}");
    assert!(sent[&2] >= 64 << 10, "{sent:?}");
}

#[test]
fn opening_sessions_costs_a_user_its_turn() {
    let mut rig = Rig::new(
        Config {
            resend_max: 64 << 20,
            ..config()
        },
        1,
    );
    let ids = crowd(&mut rig, &[(2, 1, 1)]);
    let link = rig.link(0);
    let carrier = rig.links[link].pop.unwrap();
    for _ in 0..50 {
        rig.pop.open(rig.now, demand()).unwrap();
    }
    let bytes = bytes::Bytes::from(vec![1; 256 << 10]);
    rig.pop.write(rig.now, ids[0].1, bytes);
    let mut batch = titan_core::endpoint::Batch::new(200 << 10);
    rig.pop.poll_transmit(rig.now, carrier, &mut batch);
    let mut creates = 0;
    for item in batch.drain() {
        if let titan_core::endpoint::Item::Frame(frame) = item {
            creates += usize::from(frame.kind == 2);
        }
    }
    assert!(
        (1..=6).contains(&creates),
        "{creates} before 200 KiB of data"
    );
    rig.run();
    let rest = rig.count(|f| matches!(f, Frame::Create { .. }));
    assert_eq!(rest + creates, 51);
    assert_eq!(rig.data(ToEdge).len(), 0, "taken by the batch above");
}

#[test]
fn control_frames_overtake_data() {
    let mut rig = Rig::new(config(), 1);
    let ids = crowd(&mut rig, &[(1, 2, 1)]);
    let link = rig.link(0);
    let carrier = rig.links[link].pop.unwrap();
    let bytes = bytes::Bytes::from(vec![1; 256 << 10]);
    rig.pop.write(rig.now, ids[0].1, bytes);
    let abort = titan_core::endpoint::CloseMode::Abort;
    let code = titan_proto::Code::Kicked;
    rig.pop.close(rig.now, ids[1].1, code, abort);
    let mut batch = titan_core::endpoint::Batch::new(1);
    rig.pop.poll_transmit(rig.now, carrier, &mut batch);
    let first = batch.drain().next();
    assert!(matches!(first, Some(titan_core::endpoint::Item::Frame(frame)) if frame.kind == 4));
}

#[test]
fn a_session_that_stalls_delays_no_other() {
    let mut rig = Rig::new(config(), 1);
    let (stalled, _) = rig.connect();
    let (lively, at_edge) = rig.connect();
    rig.send_up(stalled, &vec![1; 600 << 10]);
    for _ in 0..20 {
        rig.send_up(lively, &[2; 50_000]);
        assert_eq!(rig.read_up(0, at_edge).len(), 50_000);
    }
}

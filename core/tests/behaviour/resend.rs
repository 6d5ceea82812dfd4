//! The pool that all resend buffers draw on: what each tunnel and user has of it, and who gives it back.

use crate::common::{Rig, Way::ToEdge, Way::ToPop, config, demand, encode, hello, millis, secs};
use crate::greeting::prove;
use crate::offers::{
    beside_rich_edges, connect_somewhere, offer_down, offer_up, one_on_each, poor_pop,
};
use bytes::Bytes;
use std::collections::BTreeSet;
use titan_core::endpoint::{Batch, CloseMode, Config, Open, SessionId};
use titan_core::time::Duration;
use titan_proto::{Code, Frame, wire};

#[test]
fn a_resend_pool_that_one_user_takes_all_of_slows_no_other() {
    let time = |greedy: bool| {
        let mut rig = poor_pop(8 << 20, 9);
        let on = one_on_each(&mut rig, 1);
        let (edge, (pop, at_edge)) = connect_somewhere(&mut rig, 2);
        for (&other, &id) in &on {
            if greedy && other != edge {
                let link = rig.link(other);
                rig.links[link].to_pop.held = true;
                while offer_up(&mut rig, id, 64 << 10) > 0 {
                    rig.run();
                }
            }
        }
        let start = rig.now;
        let (mut sent, mut got, len) = (0, 0, 8 << 20);
        while got < len {
            sent += offer_up(&mut rig, pop, len - sent);
            rig.run();
            got += rig.read_up(edge, at_edge).len();
            rig.wait(millis(1));
        }
        u64::try_from(rig.now.since(start).as_millis()).unwrap()
    };
    let (alone, beside) = (time(false), time(true));
    assert!(
        beside * 5 <= alone * 6,
        "{alone} ms alone, {beside} ms beside"
    );
}

/// A POP with a resend pool of 64 KiB and small windows, and an edge.
fn narrow() -> Rig {
    let small = Config {
        memory_budget: 256 << 10,
        window_base: 4 << 10,
        window_max: 4 << 10,
        ..config()
    };
    beside_rich_edges(small, 1)
}

/// Lets an edge come that the test plays, and opens a session there; returns its number too.
fn at_played_edge(rig: &mut Rig, group: u32) -> (usize, SessionId, u64) {
    let link = rig.played_edge("node-played", hello(1, 1));
    for _ in 0..100 {
        let id = rig.open_with(Open { group, ..demand() });
        let seen = rig.wire.last();
        if let Some(seen) = seen.filter(|seen| seen.link == link)
            && let Frame::Create { session, .. } = seen.frame
        {
            rig.played_answer(link, session, 1 << 20);
            rig.inject(link, ToPop, Frame::Ack { received: 1 });
            return (link, id, session);
        }
        rig.pop.close(rig.now, id, Code::Ok, CloseMode::Abort);
        rig.run();
    }
    panic!("the edge is never chosen");
}

#[test]
fn a_peer_that_never_acknowledges_does_not_keep_the_resend_pool() {
    let mut rig = narrow();
    let (id, at_edge) = rig.connect();
    let (link, mute, session) = at_played_edge(&mut rig, 2);
    rig.wait(secs(1));
    // It takes credit, which is nobody's, and nothing waits for what it does not say.
    let pool = 64 << 10;
    while rig.pop.usage().resend_bytes < pool {
        let data = Bytes::from(vec![1; 1 << 10]);
        rig.inject(link, ToPop, Frame::Data { session, data });
        assert_eq!(rig.read_down(mute).len(), 1 << 10);
    }
    rig.wait(secs(15) - millis(1));
    assert_eq!(rig.tunnel_gone(), None);
    rig.wait(millis(1));
    assert_eq!(rig.tunnel_gone(), Some(Code::AckWithheld));
    assert_eq!(rig.ended(mute), Some(Code::TunnelLost));
    assert_eq!(rig.pop.usage().resend_bytes, 0);
    rig.links[0].to_pop.held = true;
    while offer_up(&mut rig, id, 10_000) > 0 {
        rig.run();
    }
    let kept = rig.pop.usage().resend_bytes;
    assert!(kept > pool / 3, "{kept} of {pool}");
    rig.links[0].to_pop.held = false;
    rig.run();
    assert_eq!(rig.ended(id), None);
    assert!(!rig.read_up(0, at_edge).is_empty());
}

#[test]
fn a_slow_way_back_costs_no_tunnel() {
    let mut rig = poor_pop(1_000_000, 1);
    let ids: Vec<_> = (1..=2)
        .map(|group| rig.connect_with(Open { group, ..demand() }))
        .collect();
    for _ in 0..4 {
        rig.links[0].to_pop.held = true;
        for &(id, _) in &ids {
            while offer_up(&mut rig, id, 10_000) > 0 {
                rig.run();
            }
        }
        let kept = rig.pop.usage().resend_bytes;
        assert!(kept > 125_000, "{kept}");
        rig.wait(secs(14));
        rig.links[0].to_pop.held = false;
        rig.wait(millis(100));
        for &(_, edge) in &ids {
            rig.read_up(0, edge);
        }
        rig.wait(millis(100));
    }
    assert_eq!(rig.tunnel_gone(), None);
}

#[test]
fn a_carrier_that_dies_costs_no_tunnel() {
    let mut rig = poor_pop(1_000_000, 1);
    let (id, edge) = rig.connect();
    rig.wait(secs(1));
    // Nothing arrives any more; the last that comes back is younger than what is not acknowledged.
    rig.links[0].to_edge.held = true;
    rig.edges[0].online = false;
    let mut sent = 0;
    for _ in 0..100 {
        sent += offer_up(&mut rig, id, 10_000);
        rig.run();
    }
    rig.wait(millis(500));
    rig.send_down(0, edge, b"still there");
    rig.links[0].to_pop.held = true;
    rig.wait(secs(20));
    assert_eq!(rig.tunnel_gone(), None);
    rig.plug_in(0);
    rig.wait(secs(1));
    assert_eq!(rig.tunnel_gone(), None);
    assert_eq!(rig.data(ToEdge).len(), sent);
}

/// A POP with two tunnels. The peer of one has used up the resend pool; on the other one group fills the
/// tunnel's floor, and `count` more have a little to send and will be passed over. Returns those.
fn to_pass_over(count: u32) -> (Rig, Vec<(SessionId, SessionId)>) {
    let mut rig = narrow();
    let mut ids: Vec<_> = (0..=count)
        .map(|group| rig.connect_with(Open { group, ..demand() }))
        .collect();
    rig.wait(secs(1));
    let (link, mute, session) = at_played_edge(&mut rig, count + 1);
    while rig.pop.usage().resend_bytes < 64 << 10 {
        let data = Bytes::from(vec![1; 1 << 10]);
        rig.inject(link, ToPop, Frame::Data { session, data });
        rig.read_down(mute);
    }
    rig.links[0].to_pop.held = true;
    let (first, _) = ids.remove(0);
    assert_eq!(offer_up(&mut rig, first, 4_000), 4_000);
    rig.run();
    for &(id, _) in &ids {
        assert_eq!(offer_up(&mut rig, id, 100), 100);
    }
    (rig, ids)
}

#[test]
fn groups_that_go_away_leave_no_other_behind() {
    for acknowledged_first in [false, true] {
        let (mut rig, ids) = to_pass_over(9);
        rig.run();
        if acknowledged_first {
            rig.links[0].to_edge.blocked = true;
            rig.wait(millis(10));
            rig.links[0].to_pop.held = false;
            rig.wait(millis(30));
        }
        for &(id, _) in &ids[..8] {
            rig.pop.close(rig.now, id, Code::Ok, CloseMode::Abort);
        }
        rig.run();
        rig.links[0].to_edge.blocked = false;
        rig.links[0].to_pop.held = false;
        rig.wait(secs(1));
        assert_eq!(rig.read_up(0, ids[8].1).len(), 100);
    }
}

#[test]
fn one_who_may_send_is_found_behind_many_who_may_not() {
    let mut rig = poor_pop(1_000_000, 2);
    let users: Vec<_> = (1..=18).map(|group| one_on_each(&mut rig, group)).collect();
    let (edge, other) = loop {
        let (edge, ids) = connect_somewhere(&mut rig, 99);
        if edge == 1 {
            break (edge, ids);
        }
    };
    rig.wait(secs(1));
    for link in 0..2 {
        rig.links[link].to_pop.held = true;
    }
    let mut sent = 1;
    while sent > 0 {
        sent = users
            .iter()
            .map(|on| offer_up(&mut rig, on[&0], 10_000))
            .sum();
        rig.run();
    }
    // The first of them has the floor of the tunnel.
    offer_up(&mut rig, users[0][&1], 10_000);
    rig.run();
    let before = rig.data(ToEdge).len();
    rig.links[edge].to_edge.blocked = true;
    for on in &users[1..] {
        offer_up(&mut rig, on[&1], 10_000);
    }
    offer_up(&mut rig, other.0, 100);
    rig.run();
    rig.links[edge].to_edge.blocked = false;
    rig.run();
    assert_eq!(rig.data(ToEdge).len() - before, 100);
    assert_eq!(rig.read_up(edge, other.1).len(), 100);
}

#[test]
fn a_batch_passes_over_some_and_its_carrier_comes_back_for_the_rest() {
    let (mut rig, ids) = to_pass_over(200);
    let carrier = rig.links[0].pop.unwrap();
    let mut batch = Batch::new(64 << 10);
    let (mut visits, mut calls) = (rig.pop.counters().visits, 0);
    while let Some(ready) = rig.pop.poll_ready() {
        assert_eq!(ready, carrier);
        rig.pop.poll_transmit(rig.now, carrier, &mut batch);
        assert!(batch.is_empty());
        calls += 1;
        let before = core::mem::replace(&mut visits, rig.pop.counters().visits);
        assert!(visits - before < 40, "{} in a turn", visits - before);
    }
    assert!((12..20).contains(&calls), "{calls} turns");
    // Their tunnel's floor is theirs again, a few at a time.
    rig.links[0].to_pop.held = false;
    rig.wait(secs(5));
    for (_, edge) in ids {
        assert_eq!(rig.read_up(0, edge).len(), 100);
    }
}

// --- What nobody keeps for ever -----------------------------------------------------------------------

/// A session on an edge that the test plays, which takes credit and acknowledges only what the test says.
struct Mute {
    link: usize,
    id: SessionId,
    session: u64,
    /// What the POP told it when it came.
    welcome: wire::Hello,
    received: u64,
}

impl Mute {
    fn new(rig: &mut Rig, group: u32) -> Self {
        let (link, id, session) = at_played_edge(rig, group);
        Self {
            link,
            id,
            session,
            welcome: rig.last_hello(ToEdge),
            received: 1,
        }
    }

    /// Lets the POP keep so many bytes for it.
    fn take(&self, rig: &mut Rig, bytes: u64) {
        for _ in 0..2000 {
            if rig.pop.usage().resend_bytes >= bytes {
                return;
            }
            self.use_window(rig);
        }
        panic!("{:?}", rig.pop.usage());
    }

    fn use_window(&self, rig: &mut Rig) {
        let (session, data) = (self.session, Bytes::from(vec![1; 1 << 10]));
        rig.inject(self.link, ToPop, Frame::Data { session, data });
        assert_eq!(rig.read_down(self.id).len(), 1 << 10);
    }

    /// Acknowledges another frame.
    fn acknowledge(&mut self, rig: &mut Rig) {
        self.received += 1;
        let received = self.received;
        rig.inject(self.link, ToPop, Frame::Ack { received });
    }

    /// Acknowledges what its present carrier brought, which is all that was owed.
    fn acknowledge_all(&mut self, rig: &mut Rig) {
        let numbered = rig.wire.iter().filter(|seen| {
            let kind = seen.frame.kind();
            seen.link == self.link
                && seen.way == ToEdge
                && kind.is_some_and(|kind| kind.is_numbered())
        });
        self.received += numbered.count() as u64;
        let received = self.received;
        rig.inject(self.link, ToPop, Frame::Ack { received });
    }

    /// Comes back on another carrier, with nothing more than before.
    fn come_back(&mut self, rig: &mut Rig, attempt: u64) {
        rig.cut(self.link);
        let mut again = wire::Hello {
            tunnel: self.welcome.tunnel,
            received: self.received,
            next: rig.last_hello(ToEdge).received + 1,
            ..hello(1, attempt)
        };
        let nonce = [5; 16];
        again.proof = prove(&self.welcome.resume_key, nonce, &again);
        self.link = rig.raw_edge_with("node-played", nonce);
        rig.inject(self.link, ToPop, Frame::Hello(again));
    }
}

/// Waits, and says a word now and then meanwhile.
fn wait_heard(rig: &mut Rig, link: usize, duration: Duration) {
    let end = rig.now + duration;
    while rig.now < end {
        rig.wait(secs(4).min(end.since(rig.now)));
        if let Some(carrier) = rig.links[link].pop {
            rig.pop.handle_alive(rig.now, carrier);
        }
    }
}

#[test]
fn a_peer_that_acknowledges_a_little_now_and_then_does_not_keep_what_others_need() {
    let mut rig = narrow();
    let (id, at_edge) = rig.connect();
    let mut mute = Mute::new(&mut rig, 2);
    // What it acknowledges first is what it owes; then it owes all the rest.
    mute.take(&mut rig, 64 << 10);
    for _ in 0..8 {
        wait_heard(&mut rig, mute.link, secs(14));
        mute.acknowledge(&mut rig);
    }
    wait_heard(&mut rig, mute.link, secs(7) - millis(1));
    assert_eq!(rig.tunnel_gone(), None);
    // Another one waits for what it keeps.
    rig.links[0].to_pop.held = true;
    assert_eq!(offer_up(&mut rig, id, 4_000), 4_000);
    rig.run();
    assert_eq!(offer_up(&mut rig, id, 4_000), 4_000);
    rig.run();
    assert!(rig.data(ToEdge).len() < 5_000);
    wait_heard(&mut rig, mute.link, millis(1));
    assert_eq!(rig.tunnel_gone(), Some(Code::AckWithheld));
    assert_eq!(rig.ended(mute.id), Some(Code::TunnelLost));
    rig.wait(millis(10));
    assert_eq!(rig.data(ToEdge).len(), 8_000);
    assert_eq!(rig.ended(id), None);
    assert_eq!(rig.read_up(0, at_edge).len(), 8_000);
}

/// Has a peer owe more than half of the pool, and come back every 14 s, seven times.
fn come_back_for_long() -> (Rig, Mute) {
    let mut rig = narrow();
    rig.connect();
    let mut mute = Mute::new(&mut rig, 2);
    mute.take(&mut rig, 64 << 10);
    for attempt in 2..9 {
        wait_heard(&mut rig, mute.link, secs(14));
        mute.come_back(&mut rig, attempt);
    }
    (rig, mute)
}

#[test]
fn a_peer_that_comes_back_again_and_again_does_not_keep_what_others_need() {
    let (mut rig, mute) = come_back_for_long();
    assert_eq!(rig.pop.counters().resumes, 7);
    wait_heard(&mut rig, mute.link, secs(7) - millis(1));
    assert_eq!(rig.tunnel_gone(), None);
    wait_heard(&mut rig, mute.link, millis(1));
    assert_eq!(rig.tunnel_gone(), Some(Code::AckWithheld));
    assert_eq!(rig.pop.usage().resend_bytes, 0);
}

#[test]
fn a_peer_that_is_away_when_its_time_is_over_does_not_keep_what_others_need() {
    let (mut rig, mute) = come_back_for_long();
    rig.cut(mute.link);
    rig.wait(secs(7) - millis(1));
    assert_eq!(rig.tunnel_gone(), None);
    rig.wait(millis(1));
    assert_eq!(rig.tunnel_gone(), Some(Code::AckWithheld));
}

#[test]
fn two_carriers_that_die_cost_no_tunnel_although_others_need_what_it_keeps() {
    let mut rig = narrow();
    rig.connect();
    let mut mute = Mute::new(&mut rig, 2);
    mute.take(&mut rig, 64 << 10);
    for attempt in 2..4 {
        // Nothing arrives any more, so that nothing is heard; and it comes back in the last moment.
        rig.links[mute.link].to_edge.held = true;
        rig.wait(secs(15));
        assert_eq!(rig.links[mute.link].pop, None, "it was found dead");
        rig.wait(secs(30) - millis(1));
        mute.come_back(&mut rig, attempt);
    }
    wait_heard(&mut rig, mute.link, secs(14));
    mute.acknowledge_all(&mut rig);
    rig.wait(millis(100));
    assert_eq!(rig.tunnel_gone(), None);
    assert_eq!(rig.pop.counters().resumes, 2);
    assert!(rig.pop.usage().resend_bytes < 1000);
}

#[test]
fn a_peer_that_acknowledges_next_to_nothing_stays_while_nobody_is_short() {
    let mut rig = narrow();
    rig.connect();
    let mut mute = Mute::new(&mut rig, 2);
    mute.take(&mut rig, 20 << 10);
    for attempt in 2..12 {
        wait_heard(&mut rig, mute.link, secs(14));
        mute.acknowledge(&mut rig);
        wait_heard(&mut rig, mute.link, secs(14));
        mute.come_back(&mut rig, attempt);
    }
    // Nor if it is looked at late.
    rig.now = rig.now + secs(60);
    let carrier = rig.links[mute.link].pop.unwrap();
    rig.pop.handle_alive(rig.now, carrier);
    rig.pop.handle_timeout(rig.now);
    rig.run();
    // Nor does one that says nothing at all.
    wait_heard(&mut rig, mute.link, secs(100));
    assert_eq!(rig.tunnel_gone(), None);
    mute.take(&mut rig, 40 << 10);
    for _ in 0..3 {
        wait_heard(&mut rig, mute.link, secs(5));
        if rig.tunnel_gone().is_none() {
            mute.acknowledge(&mut rig);
        }
    }
    assert_eq!(rig.tunnel_gone(), Some(Code::AckWithheld));
}

// --- Control frames -----------------------------------------------------------------------------------

#[test]
fn a_used_up_pool_stops_the_control_frames_of_those_who_keep_it_and_of_nobody_else() {
    let mut rig = narrow();
    let (id, at_edge) = rig.connect();
    let mute = Mute::new(&mut rig, 2);
    let pool = 64 << 10;
    mute.take(&mut rig, pool);
    for _ in 0..3 {
        mute.use_window(&mut rig);
    }
    let kept = rig.pop.usage().resend_bytes;
    assert!(kept < pool + 100, "{kept}");
    // Windows of the other one are 4 KiB: it needs credit.
    let mut got = 0;
    while got < 100_000 {
        assert!(offer_down(&mut rig, 0, at_edge, 4_000) > 0, "{got}");
        rig.run();
        got += rig.read_down(id).len();
        rig.wait(millis(30));
    }
}

// --- Some at a time -----------------------------------------------------------------------------------

#[test]
fn some_tunnels_look_again_at_once_and_the_others_a_moment_later() {
    let mut rig = poor_pop(1_000_000, 12);
    let on = one_on_each(&mut rig, 1);
    rig.wait(secs(1));
    for link in 0..rig.links.len() {
        rig.links[link].to_pop.held = true;
    }
    let mut sent = 1;
    while sent > 0 {
        sent = on.values().map(|&id| offer_up(&mut rig, id, 10_000)).sum();
        rig.run();
    }
    let link = rig.link(0);
    let numbered = rig.wire.iter().filter(|seen| {
        let kind = seen.frame.kind();
        seen.link == link && seen.way == ToEdge && kind.is_some_and(|kind| kind.is_numbered())
    });
    let ack = encode(Frame::Ack {
        received: numbered.count() as u64,
    });
    while rig.pop.poll_ready().is_some() {}
    let carrier = rig.links[link].pop.unwrap();
    rig.pop.handle_message(rig.now, carrier, &ack);
    let mut told: BTreeSet<_> = core::iter::from_fn(|| rig.pop.poll_ready()).collect();
    let others = told.iter().filter(|&&id| id != carrier);
    assert!((3..=4).contains(&others.count()), "{told:?}");
    for _ in 0..2 {
        rig.now = rig.now + millis(2);
        rig.pop.handle_timeout(rig.now);
        let before = told.len();
        told.extend(core::iter::from_fn(|| rig.pop.poll_ready()));
        assert!(told.len() - before <= 4, "{told:?}");
    }
    assert!(told.len() >= 11, "{told:?}");
}

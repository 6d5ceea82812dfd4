//! Rates: how fast a group may go, over time, and what waiting costs.

use crate::common::{Rig, config, millis, secs};
use bytes::Bytes;
use titan_core::endpoint::{Config, Rates, SessionId};
use titan_core::time::{Duration, Instant};

fn limit(rig: &mut Rig, up: u64, down: u64) {
    rig.pop.limit_rate(rig.now, 1, Rates { up, down });
    rig.run();
}

/// Clients that send and read as fast as they may.
struct Busy {
    ids: Vec<SessionId>,
    at_edge: Vec<SessionId>,
    wakes: usize,
    up: bool,
    down: bool,
    /// Bytes by time.
    moved: Vec<(Instant, u64)>,
}

impl Busy {
    fn new(rig: &mut Rig, count: usize) -> Self {
        let (mut ids, mut at_edge) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let (id, edge) = rig.connect();
            ids.push(id);
            at_edge.push(edge);
        }
        Self {
            ids,
            at_edge,
            wakes: 0,
            up: true,
            down: true,
            moved: Vec::new(),
        }
    }

    fn look(&mut self, rig: &mut Rig, id: SessionId) {
        loop {
            let status = rig.pop.status(rig.now, id).unwrap();
            let up = if self.up { status.send_room } else { 0 };
            let down = if self.down { status.readable } else { 0 };
            if up + down == 0 {
                return;
            }
            rig.pop.write(rig.now, id, Bytes::from(vec![1; up]));
            rig.pop.release(rig.now, id, down);
            let moved = (up + down) as u64;
            self.moved.push((rig.now, moved));
            rig.run();
        }
    }

    /// Lets time pass. Targets read and send all the time; clients do when they are woken.
    fn run(&mut self, rig: &mut Rig, time: Duration) {
        let end = rig.now + time;
        for id in self.ids.clone() {
            self.look(rig, id);
        }
        while rig.now < end {
            for &id in &self.at_edge {
                rig.read_up(0, id);
                let room = rig.edges[0].core.status(rig.now, id).unwrap().send_room;
                if self.down && room > 0 {
                    rig.send_down(0, id, &vec![2; room]);
                }
            }
            for id in core::mem::take(&mut rig.woken) {
                self.wakes += 1;
                self.look(rig, id);
            }
            let due = rig.pop.poll_timeout().map_or(end, |due| due.at);
            let step = due.min(rig.now + millis(5)).min(end).since(rig.now);
            rig.wait(step.max(Duration::from_nanos(1)));
        }
    }

    fn moved_between(&self, from: Instant, to: Instant) -> u64 {
        let within = |at: Instant| from <= at && at < to;
        let moved = self.moved.iter().filter(|&&(at, _)| within(at));
        moved.map(|&(_, bytes)| bytes).sum()
    }
}

fn assert_close(moved: u64, wanted: u64) {
    let share = moved as f64 / wanted as f64;
    assert!((0.95..=1.05).contains(&share), "{moved} of {wanted}");
}

#[test]
fn a_rate_holds_within_five_per_cent_over_ten_seconds() {
    for (up, down) in [(20_000, 0), (0, 20_000), (1_000_000, 0), (0, 1_000_000)] {
        for sessions in [1, 7] {
            let mut rig = Rig::new(config(), 1);
            let mut busy = Busy::new(&mut rig, sessions);
            limit(&mut rig, up, down);
            (busy.up, busy.down) = (up > 0, down > 0);
            let before = rig.pop.carried(1);
            busy.run(&mut rig, secs(10));
            let after = rig.pop.carried(1);
            assert_close(after.total() - before.total(), (up + down) * 10);
        }
    }
}

#[test]
fn any_window_has_its_rate_and_a_burst_at_most() {
    let mut rig = Rig::new(config(), 1);
    limit(&mut rig, 100_000, 100_000);
    let mut busy = Busy::new(&mut rig, 3);
    busy.run(&mut rig, secs(5));
    for (index, &(from, _)) in busy.moved.iter().enumerate() {
        let mut sum = 0;
        for &(at, bytes) in &busy.moved[index..] {
            sum += bytes;
            let allowed = 2 * (5_000 + 100_000 * at.since(from).as_millis() as u64 / 1000 + 100);
            assert!(sum <= allowed, "{sum} in {:?}", at.since(from));
        }
    }
}

#[test]
fn idle_time_is_not_saved_up() {
    let mut rig = Rig::new(config(), 1);
    limit(&mut rig, 100_000, 100_000);
    let mut busy = Busy::new(&mut rig, 2);
    busy.run(&mut rig, secs(2));
    rig.wait(secs(30));
    let start = rig.now;
    busy.run(&mut rig, secs(10));
    assert_close(busy.moved_between(start, start + secs(10)), 2_000_000);
    let first = busy.moved_between(start, start + millis(20));
    assert!(first <= 2 * (5_000 + 2_000), "{first} at once");
}

#[test]
fn a_rate_changes_while_sessions_run() {
    let mut rig = Rig::new(config(), 1);
    let mut busy = Busy::new(&mut rig, 2);
    busy.down = false;
    for (rate, secs_) in [(50_000, 3), (400_000, 3), (10_000, 5)] {
        limit(&mut rig, rate, 0);
        let before = rig.pop.carried(1).up;
        busy.run(&mut rig, secs(secs_));
        let moved = rig.pop.carried(1).up - before;
        let wanted = rate * secs_;
        assert!(
            moved.abs_diff(wanted) <= wanted / 20 + 2_500,
            "{moved} of {wanted}"
        );
    }
    limit(&mut rig, 0, 0);
    let before = rig.pop.carried(1).up;
    busy.run(&mut rig, millis(100));
    assert!(
        rig.pop.carried(1).up - before > 256 << 10,
        "no limit any more"
    );
}

#[test]
fn waiting_for_a_rate_costs_few_wakes_and_nothing_spins() {
    let mut rig = Rig::new(config(), 1);
    limit(&mut rig, 100_000, 0);
    let mut busy = Busy::new(&mut rig, 1);
    busy.down = false;
    rig.woken.clear();
    busy.run(&mut rig, secs(10));
    assert!(busy.wakes <= 800, "{} wakes in 10 s", busy.wakes);
    assert!(busy.moved.len() <= 1700, "{} pieces", busy.moved.len());
    assert!(busy.wakes >= 200, "{} wakes in 10 s", busy.wakes);
}

#[test]
fn a_withheld_download_withholds_credit() {
    let mut rig = Rig::new(
        Config {
            window_base: 64 << 10,
            ..config()
        },
        1,
    );
    limit(&mut rig, 0, 10_000);
    let mut busy = Busy::new(&mut rig, 1);
    busy.up = false;
    busy.run(&mut rig, secs(2));
    let at_edge = busy.at_edge[0];
    let sent = rig.data(crate::common::Way::ToPop).len() as u64;
    assert!(sent <= (64 << 10) + rig.pop.carried(1).down + (16 << 10));
    assert_eq!(
        rig.edges[0]
            .core
            .status(rig.now, at_edge)
            .unwrap()
            .send_room,
        0
    );
}

#[test]
fn sessions_of_a_slow_group_get_the_same() {
    let mut rig = Rig::new(config(), 1);
    limit(&mut rig, 100_000, 0);
    let mut busy = Busy::new(&mut rig, 20);
    busy.down = false;
    busy.run(&mut rig, secs(20));
    let counts: Vec<u64> = busy
        .ids
        .iter()
        .map(|&id| rig.pop.session_carried(id).unwrap().up)
        .collect();
    let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
    assert!(most - least <= most / 5, "{counts:?}");
}

#[test]
fn an_idle_client_does_not_hold_up_those_who_wait_behind_it() {
    let mut rig = Rig::new(config(), 1);
    limit(&mut rig, 100_000, 0);
    let mut busy = Busy::new(&mut rig, 1);
    busy.down = false;
    busy.run(&mut rig, secs(1));
    // A hundred clients look once, find nothing, and have nothing to send.
    for _ in 0..100 {
        let (id, _) = rig.connect();
        rig.pop.status(rig.now, id).unwrap();
    }
    let before = rig.pop.carried(1).up;
    busy.run(&mut rig, secs(2));
    assert_close(rig.pop.carried(1).up - before, 200_000);
}

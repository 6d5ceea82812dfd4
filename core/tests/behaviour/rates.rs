//! Rates: how fast a group may go, over time, and what waiting costs.

use crate::common::{World, config, millis, secs};
use bytes::Bytes;
use titan_core::endpoint::{Config, Rates, SessionId};
use titan_core::time::{Duration, Instant};

fn limit(world: &mut World, up: u64, down: u64) {
    world.pop.limit_rate(world.now, 1, Rates { up, down });
    world.run();
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
    fn new(world: &mut World, count: usize) -> Self {
        let (mut ids, mut at_edge) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let (id, edge) = world.connect();
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

    fn look(&mut self, world: &mut World, id: SessionId) {
        loop {
            let status = world.pop.status(world.now, id).unwrap();
            let up = if self.up { status.send_room } else { 0 };
            let down = if self.down { status.readable } else { 0 };
            if up + down == 0 {
                return;
            }
            world.pop.write(world.now, id, Bytes::from(vec![1; up]));
            world.pop.release(world.now, id, down);
            let moved = (up + down) as u64;
            self.moved.push((world.now, moved));
            world.run();
        }
    }

    /// Lets time pass. Targets read and send all the time; clients do when they are woken.
    fn run(&mut self, world: &mut World, time: Duration) {
        let end = world.now + time;
        for id in self.ids.clone() {
            self.look(world, id);
        }
        while world.now < end {
            for &id in &self.at_edge {
                world.read_up(0, id);
                let room = world.edges[0].core.status(world.now, id).unwrap().send_room;
                if self.down && room > 0 {
                    world.send_down(0, id, &vec![2; room]);
                }
            }
            for id in core::mem::take(&mut world.woken) {
                self.wakes += 1;
                self.look(world, id);
            }
            let due = world.pop.poll_timeout().map_or(end, |due| due.at);
            let step = due.min(world.now + millis(5)).min(end).since(world.now);
            world.wait(step.max(Duration::from_nanos(1)));
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
            let mut world = World::new(config(), 1);
            let mut busy = Busy::new(&mut world, sessions);
            limit(&mut world, up, down);
            (busy.up, busy.down) = (up > 0, down > 0);
            let before = world.pop.carried(1);
            busy.run(&mut world, secs(10));
            let after = world.pop.carried(1);
            assert_close(after.total() - before.total(), (up + down) * 10);
        }
    }
}

#[test]
fn any_window_has_its_rate_and_a_burst_at_most() {
    let mut world = World::new(config(), 1);
    limit(&mut world, 100_000, 100_000);
    let mut busy = Busy::new(&mut world, 3);
    busy.run(&mut world, secs(5));
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
    let mut world = World::new(config(), 1);
    limit(&mut world, 100_000, 100_000);
    let mut busy = Busy::new(&mut world, 2);
    busy.run(&mut world, secs(2));
    world.wait(secs(30));
    let start = world.now;
    busy.run(&mut world, secs(10));
    assert_close(busy.moved_between(start, start + secs(10)), 2_000_000);
    let first = busy.moved_between(start, start + millis(20));
    assert!(first <= 2 * (5_000 + 2_000), "{first} at once");
}

#[test]
fn a_rate_changes_while_sessions_run() {
    let mut world = World::new(config(), 1);
    let mut busy = Busy::new(&mut world, 2);
    busy.down = false;
    for (rate, secs_) in [(50_000, 3), (400_000, 3), (10_000, 5)] {
        limit(&mut world, rate, 0);
        let before = world.pop.carried(1).up;
        busy.run(&mut world, secs(secs_));
        let moved = world.pop.carried(1).up - before;
        let wanted = rate * secs_;
        assert!(
            moved.abs_diff(wanted) <= wanted / 20 + 2_500,
            "{moved} of {wanted}"
        );
    }
    limit(&mut world, 0, 0);
    let before = world.pop.carried(1).up;
    busy.run(&mut world, millis(100));
    assert!(
        world.pop.carried(1).up - before > 256 << 10,
        "no limit any more"
    );
}

#[test]
fn waiting_for_a_rate_costs_few_wakes_and_nothing_spins() {
    let mut world = World::new(config(), 1);
    limit(&mut world, 100_000, 0);
    let mut busy = Busy::new(&mut world, 1);
    busy.down = false;
    world.woken.clear();
    busy.run(&mut world, secs(10));
    assert!(busy.wakes <= 800, "{} wakes in 10 s", busy.wakes);
    assert!(busy.moved.len() <= 1700, "{} pieces", busy.moved.len());
    assert!(busy.wakes >= 200, "{} wakes in 10 s", busy.wakes);
}

#[test]
fn a_withheld_download_withholds_credit() {
    let mut world = World::new(
        Config {
            window_base: 64 << 10,
            ..config()
        },
        1,
    );
    limit(&mut world, 0, 10_000);
    let mut busy = Busy::new(&mut world, 1);
    busy.up = false;
    busy.run(&mut world, secs(2));
    let at_edge = busy.at_edge[0];
    let sent = world.data(crate::common::Way::ToPop).len() as u64;
    assert!(sent <= (64 << 10) + world.pop.carried(1).down + (16 << 10));
    assert_eq!(
        world.edges[0]
            .core
            .status(world.now, at_edge)
            .unwrap()
            .send_room,
        0
    );
}

#[test]
fn sessions_of_a_slow_group_get_the_same() {
    let mut world = World::new(config(), 1);
    limit(&mut world, 100_000, 0);
    let mut busy = Busy::new(&mut world, 20);
    busy.down = false;
    busy.run(&mut world, secs(20));
    let counts: Vec<u64> = busy
        .ids
        .iter()
        .map(|&id| world.pop.session_carried(id).unwrap().up)
        .collect();
    let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
    assert!(most - least <= most / 5, "{counts:?}");
}

#[test]
fn an_idle_client_does_not_hold_up_those_who_wait_behind_it() {
    let mut world = World::new(config(), 1);
    limit(&mut world, 100_000, 0);
    let mut busy = Busy::new(&mut world, 1);
    busy.down = false;
    busy.run(&mut world, secs(1));
    // A hundred clients look once, find nothing, and have nothing to send.
    for _ in 0..100 {
        let (id, _) = world.connect();
        world.pop.status(world.now, id).unwrap();
    }
    let before = world.pop.carried(1).up;
    busy.run(&mut world, secs(2));
    assert_close(world.pop.carried(1).up - before, 200_000);
}

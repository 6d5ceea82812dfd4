//! What POPs hold of a limit follows the limit, and what a user needs where.

use super::region::{Region, carried, rest};
use super::transfers::Transfers;
use super::{LIMIT, SOON};
use crate::process::eventually;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Sessions at each POP.
const SESSIONS: usize = 2;

/// How much a POP with a session that moves nothing may keep from others, in bytes.
const KEPT_MAX: u64 = 1 << 20;

const TENTH: Duration = Duration::from_millis(100);

fn rates(rate: u64) -> Value {
    json!({ "upload_rate": rate, "download_rate": rate })
}

#[test]
fn a_first_limit_counts_for_running_sessions_within_a_second() {
    const RATE: u64 = 5_000_000;
    let region = Region::start(1);
    let user = region.user("ann", &rates(RATE));
    let transfers = Transfers::start(user, &region.proxies, SESSIONS);
    transfers.reach(4 * RATE / 2);
    let limit = transfers.moved().received + 8 * RATE;
    let begun = Instant::now();
    region.change(user, &json!({ "traffic_limit": limit }));
    eventually(
        "both POPs hold a lease",
        SOON.saturating_sub(begun.elapsed()),
        || {
            let parts = region.parts(user);
            parts.iter().filter(|part| rest(part) > 0).count() == 2
        },
    );
    println!("leases after {:?}", begun.elapsed());
    transfers.wait_end(limit);
    let moved = transfers.moved();
    let charged = region.settled(user, 0);
    println!("{moved:?}, charged and counted {charged} of {limit}");
    assert!(moved.received <= charged && charged <= moved.sent);
    assert!(charged <= limit);
    assert!(charged >= limit - KEPT_MAX, "cut off too early");
}

#[test]
fn a_lowered_limit_takes_back_what_pops_hold() {
    const RATE: u64 = 1_000_000;
    let region = Region::start(1);
    let user = region.user("ann", &json!({ "traffic_limit": 10 * LIMIT }));
    let transfers = Transfers::start(user, &region.proxies, SESSIONS);
    transfers.reach(LIMIT);
    region.change(user, &rates(RATE));
    eventually("the rate counts", SOON, || {
        transfers.moved_in(TENTH) < 8 * RATE / 10
    });
    let limit = transfers.moved().received;
    let held: u64 = region.parts(user).iter().map(rest).sum();
    region.change(user, &json!({ "traffic_limit": limit }));
    let changed = Instant::now();
    eventually("all are cut off", 2 * SOON, || transfers.are_cut());
    let took = changed.elapsed();
    transfers.wait_end(u64::MAX);
    let moved = transfers.moved();
    println!("{moved:?} of {limit}, POPs held {held}; cut off after {took:?}");
    let charged = region.settled(user, 0);
    assert!(moved.received <= charged && charged <= moved.sent);
    assert!(held > 20 * RATE, "there was nothing to be taken back");
    assert!(took <= SOON);
    assert!(
        moved.received <= limit + 4 * RATE,
        "more than moves in a second"
    );
}

#[test]
fn what_lies_idle_at_one_pop_is_there_for_the_other() {
    let region = Region::start(1);
    let user = region.user("ann", &json!({ "traffic_limit": LIMIT }));
    let idle = Transfers::start(user, &region.proxies[1..], 1);
    idle.reach(LIMIT / 3);
    idle.pause();
    let held = rest(&region.part(user, 1).unwrap());
    let busy = Transfers::start(user, &region.proxies[..1], SESSIONS);
    busy.wait_end(LIMIT);
    let moved = busy.moved().received + idle.moved().received;
    let kept = rest(&region.part(user, 1).unwrap());
    println!("{moved} of {LIMIT} received, {held} held by the idle POP, {kept} at the end");
    assert!(!idle.are_cut(), "the idle session lives");
    assert!(held > 2 * KEPT_MAX, "the idle POP held nothing");
    assert!(kept <= KEPT_MAX);
    let charged = region.record(user).charged;
    let counted: u64 = region.parts(user).iter().map(carried).sum();
    assert_eq!(charged, counted + kept);
    assert!(counted >= LIMIT - KEPT_MAX, "cut off too early");
}

//! A limit is exact, whatever dies.

use super::LIMIT;
use super::region::{Region, carried, rest};
use super::transfers::Transfers;
use crate::process::eventually;
use crate::server::PATIENCE;
use crate::socks;
use serde_json::json;
use std::fs;

/// Edges, and sessions, at each POP.
const EDGES: usize = 10;

/// How much of what a user has left a POP holds at most: one lease.
const LEASE_OF_LEFT: u64 = 4;

/// How early a user may be cut off, in bytes, because another POP holds the last piece.
const EARLY_MAX: u64 = 1 << 20;

#[test]
fn a_limit_is_exact_over_two_pops_and_twenty_edges() {
    let region = Region::start(EDGES);
    let user = region.user("ann", &json!({ "traffic_limit": LIMIT }));
    let transfers = Transfers::start(user, &region.proxies, EDGES);
    transfers.wait_end(LIMIT);
    let moved = transfers.moved();
    let charged = region.settled(user, 0);
    println!("{moved:?}, charged and counted {charged} of {LIMIT}");
    assert!(moved.received <= charged, "not all is charged");
    assert!(charged <= moved.sent, "something is charged twice");
    assert!(charged <= LIMIT && moved.received <= LIMIT);
    assert!(charged >= LIMIT - EARLY_MAX, "cut off too early");
}

#[test]
fn a_killed_pop_costs_at_most_its_lease() {
    let mut region = Region::start(EDGES);
    let user = region.user("ann", &json!({ "traffic_limit": LIMIT }));
    let transfers = Transfers::start(user, &region.proxies, EDGES);
    transfers.reach(LIMIT / 4);
    let dead = region.kill_pop(1, user);
    transfers.wait_end(LIMIT);
    let (all, of_dead) = (transfers.moved(), transfers.over(|proxy| proxy == 1));
    let of_living = transfers.over(|proxy| proxy == 0);

    let charge = dead.granted - dead.returned;
    let lease = rest(&dead);
    let charged = region.settled(user, lease);
    let living = carried(&region.part(user, 0).unwrap());
    println!(
        "{all:?}, charged {charged} of {LIMIT}; dead: {of_dead:?}, charge {charge}, lease {lease}; \
         living: {of_living:?}, counted {living}"
    );
    assert!(lease <= LIMIT / LEASE_OF_LEFT, "more than one lease");
    assert!(of_dead.received <= charge, "carried without a grant");
    // On its way were bytes that it had taken, or could have.
    assert!(charge <= of_dead.sent + lease);
    assert!(of_living.received <= living && living <= of_living.sent);
    assert_eq!(charged, charge + living);
    assert!(all.received <= charged && charged <= LIMIT);
    assert!(charged <= all.sent + lease);
    assert!(charged >= LIMIT - EARLY_MAX, "cut off too early");

    // Its next process is another holder, which gives nothing back for it.
    region.restart_pop(1);
    eventually("its next process has asked for a lease", PATIENCE, || {
        // There is no edge for it; it asks before it looks for one.
        let _ = socks::connect_as(user, region.proxies[1], region.proxies[0]);
        region.part(user, 1).unwrap().holder != dead.holder
    });
    let parts = region.parts(user);
    let left = parts.iter().find(|part| part.holder == dead.holder);
    assert_eq!(left, Some(&dead), "somebody meddled with what it had");
    assert_eq!(region.record(user).charged, charged);
}

#[test]
fn a_limit_is_exact_when_the_store_is_killed() {
    let mut region = Region::start(EDGES);
    let user = region.user("ann", &json!({ "traffic_limit": LIMIT }));
    let transfers = Transfers::start(user, &region.proxies, EDGES);
    transfers.reach(LIMIT / 4);
    region.redis.kill();
    eventually("both POPs keep usage on the disk", PATIENCE, || {
        journals(&region) == 2
    });
    region.redis.restart();
    transfers.wait_end(LIMIT);
    let moved = transfers.moved();
    let charged = region.settled(user, 0);
    println!("{moved:?}, charged and counted {charged} of {LIMIT}");
    assert!(moved.received <= charged, "something is lost");
    assert!(charged <= moved.sent, "something is charged twice");
    assert!(charged <= LIMIT);
    assert!(charged >= LIMIT - EARLY_MAX, "cut off too early");
    eventually("the journals are gone", PATIENCE, || journals(&region) == 0);
}

/// Returns how many journals of usage there are.
fn journals(region: &Region) -> usize {
    let files = fs::read_dir(region.site.data()).unwrap();
    let names = files.map(|file| file.unwrap().file_name());
    names
        .filter(|name| name.to_string_lossy().ends_with(".journal"))
        .count()
}

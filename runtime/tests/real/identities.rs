//! Two edges or two POPs that were given one id.

use crate::process::eventually;
use crate::server::{PATIENCE, Server};
use crate::site::{Site, echoes};
use crate::socks;
use std::fs;
use std::time::{Duration, Instant};

/// How soon the older edge has come again, was turned away, and that is told: it comes every 5 s and a bit.
const CONTEST: Duration = Duration::from_secs(15);

/// How soon the older edge is back.
const RETURN: Duration = Duration::from_secs(12);

#[test]
fn two_edges_with_one_id_are_told_of_and_the_older_is_back_when_the_newer_leaves() {
    let site = Site::new();
    let server = Server::echo();
    let _manager = site.manager();
    let _pop = site.logged("pop", |site| site.pop());
    let _older = site.logged("older", |site| site.edge("one"));
    site.wait_online("one", CONTEST);
    let newer = site.logged("newer", |site| site.edge("one"));
    eventually("the API says so", CONTEST, || {
        let node = site.rest("v1/nodes/one", None);
        let online = &node.unwrap_or_default()["online"];
        let said = online["warning"].as_str().unwrap_or_default();
        said.contains("two edges run with this id") && online["contested_at"].is_u64()
    });
    echoes(&mut site.connect(server.address).unwrap()).unwrap();
    for (log, said) in [
        ("pop", "[NODE_DUPLICATE]: two edges run with this id"),
        ("older", "another edge came with this `node_id` later"),
        ("newer", "another edge runs with this `node_id`"),
    ] {
        eventually("the log says so", CONTEST, || {
            let text = fs::read_to_string(site.log_of(log)).unwrap();
            text.contains(said)
        });
    }

    newer.terminate();
    let left = Instant::now();
    site.wait_service(server.address, RETURN);
    println!("served again after {:?}", left.elapsed());
    eventually("nothing is wrong any more", RETURN, || {
        let node = site.rest("v1/nodes/one", None);
        node.is_some_and(|node| {
            node["online"]["pop"] == "pop" && node["online"]["warning"].is_null()
        })
    });
}

#[test]
fn of_two_pops_with_one_id_the_older_ends_and_says_why_and_the_newer_serves() {
    let (site, server) = (Site::new(), Server::echo());
    let _manager = site.manager();
    let mut older = site.logged("older", |site| site.pop());
    let _edge = site.edge("one");
    site.wait_service(server.address, PATIENCE);
    let (mut newer, proxy) = site.another_pop_as("pop");
    let status = older.wait(PATIENCE);
    assert_eq!(status.code(), Some(1));
    let said = fs::read_to_string(site.log_of("older")).unwrap();
    let words = "another process runs as POP pop: every POP needs an id of its own";
    assert!(said.contains(words), "{said}");
    eventually("the edge has come to the newer", PATIENCE, || {
        let stream = socks::connect(proxy, server.address);
        stream.is_ok_and(|mut stream| echoes(&mut stream).is_ok())
    });
    assert!(!newer.has_ended());
}

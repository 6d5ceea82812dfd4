//! What operators order of nodes, and whom they turn away: POPs and edges obey, within a second.

use crate::process::eventually;
use crate::server::{PATIENCE, Server};
use crate::site::{Site, echoes};
use crate::socks;
use serde_json::json;
use std::io::{ErrorKind, Read as _};
use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::time::{Duration, Instant, SystemTime};
use titan_runtime::store::{Blacklists as _, ChangeLog as _, Order, StoreError, Subject};

/// How soon an order takes effect.
const SOON: Duration = Duration::from_secs(1);

/// How soon an edge is back once it may.
const RETURN: Duration = Duration::from_secs(15);

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn session(site: &Site, server: &Server) -> TcpStream {
    let mut stream = site.connect(server.address).unwrap();
    echoes(&mut stream).unwrap();
    stream
}

/// Waits until a session is cut and returns how long that took.
fn cut(stream: &mut TcpStream) -> Duration {
    let start = Instant::now();
    let error = stream.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    start.elapsed()
}

fn unix_time() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs()
}

fn run<T>(operation: impl Future<Output = Result<T, StoreError>>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(operation).unwrap()
}

fn kick(nodes: &[&str], retry_after: u32) -> Order {
    Order::Kick {
        nodes: nodes.iter().map(|&node| node.to_owned()).collect(),
        retry_after,
    }
}

fn blacklist(site: &Site, nodes: &[&str]) {
    let body = json!({ "nodes": nodes, "reason": "a test" });
    assert!(site.rest("v1/blacklist", Some(&body)).is_some());
}

fn pardon(site: &Site, node: &str) {
    let subject = Subject::Node(node.to_owned());
    run(site.store().blacklist_remove(vec![subject]));
}

#[test]
fn a_kicked_node_is_gone_within_a_second_and_back_when_it_may() {
    let (site, server) = (Site::new(), Server::echo());
    let [_manager, _pop, _edge] = site.start_all("one");
    let token = site.node_token("one");
    let mut stream = session(&site, &server);
    let kicked = Instant::now();
    site.rest("v1/nodes/one/kick", Some(&json!({ "retry_after": 4 })))
        .unwrap();
    let took = cut(&mut stream);
    println!("cut after {took:?}");
    assert!(took < SOON, "{took:?}");
    eventually("the node is offline", SOON, || !site.is_online("one"));
    // Nor does another process of it get in.
    let refused = ("503".to_owned(), "kicked".to_owned());
    assert_eq!(site.knock("one", &token), refused);
    assert!(
        kicked.elapsed() < Duration::from_secs(4),
        "too slow to tell"
    );
    site.wait_online("one", RETURN);
    let away = kicked.elapsed();
    println!("back after {away:?}");
    assert!(away >= Duration::from_secs(4), "{away:?}");
    session(&site, &server);
}

#[test]
fn whoever_comes_from_an_address_is_kicked() {
    let site = Site::new();
    let [_manager, _pop, _one] = site.start_all("one");
    let _two = site.edge("two");
    site.wait_online("two", PATIENCE);
    // A handshake from elsewhere does not hide where the tunnel comes from.
    let token = site.node_token("two");
    let elsewhere = site.knock_from("127.0.0.2", "two", &token);
    assert_eq!(elsewhere.0, "101");
    let token = site.node_token("three");
    let kicked = Instant::now();
    let order = Order::KickIp {
        ip: HERE,
        retry_after: 4,
    };
    run(site.store().order("pop", unix_time(), order));
    eventually("both are gone", SOON, || {
        !site.is_online("one") && !site.is_online("two")
    });
    // Nor does one come that was not there.
    let refused = ("503".to_owned(), "kicked".to_owned());
    assert_eq!(site.knock("three", &token), refused);
    eventually("both are back", RETURN, || {
        site.is_online("one") && site.is_online("two")
    });
    assert!(kicked.elapsed() >= Duration::from_secs(4));
}

#[test]
fn a_node_on_the_blacklist_is_turned_away_until_it_is_on_none() {
    let (site, server) = (Site::new(), Server::echo());
    let [_manager, mut pop, _other] = site.start_all("two");
    let mut stream = session(&site, &server);
    let mut edge = site.edge("one");
    site.wait_online("one", PATIENCE);
    let token = site.node_token("one");
    let accepted = ("101".to_owned(), String::new());
    assert_eq!(site.knock("one", &token), accepted);

    let listed = Instant::now();
    blacklist(&site, &["one"]);
    eventually("the node is offline", SOON, || !site.is_online("one"));
    println!("offline after {:?}", listed.elapsed());
    // Sessions of others go on.
    echoes(&mut stream).unwrap();

    // The POP knows it by itself, also after a restart, whatever token there is.
    let refused = ("403".to_owned(), "blacklisted".to_owned());
    assert_eq!(site.knock("one", &token), refused);
    pop.kill();
    let _pop = site.pop();
    site.wait_online("two", RETURN);
    assert_eq!(site.knock("one", &token), refused);
    edge.kill();
    let mut edge = site.edge("one");
    let _third = site.edge("three");
    site.wait_online("three", RETURN);
    assert!(!site.is_online("one"));

    pardon(&site, "one");
    eventually("the POP lets it in", SOON, || {
        site.knock("one", &token) == accepted
    });
    // An edge asks seldom once it was turned away; one that starts asks at once.
    edge.kill();
    let _edge = site.edge("one");
    site.wait_online("one", RETURN);
}

#[test]
fn a_block_of_addresses_turns_away_whoever_comes_from_it() {
    let site = Site::new();
    let [_manager, _pop, _one] = site.start_all("one");
    let token = site.node_token("two");
    let accepted = ("101".to_owned(), String::new());
    assert_eq!(site.knock_from("127.0.1.9", "two", &token), accepted);
    let block = |prefix: &str| json!({ "ips": [prefix] });
    assert!(
        site.rest("v1/blacklist", Some(&block("127.0.1.0/24")))
            .is_some()
    );
    let refused = ("403".to_owned(), "blacklisted".to_owned());
    // Whoever is let in keeps the look busy for two seconds.
    eventually("the block is turned away", PATIENCE, || {
        site.knock_from("127.0.1.200", "two", &token) == refused
    });
    // The node itself is kept away for a moment; another one comes from outside of the block.
    let token = site.node_token("three");
    assert_eq!(site.knock_from("127.0.2.9", "three", &token), accepted);
    assert!(site.is_online("one"));
    // One that is here goes.
    assert!(
        site.rest("v1/blacklist", Some(&block("127.0.0.0/30")))
            .is_some()
    );
    eventually("the node is offline", SOON, || !site.is_online("one"));
    assert!(
        site.call("DELETE", "v1/blacklist/ips/127.0.1.0%2F24", None)
            .is_some()
    );
    eventually("the block is let in", PATIENCE, || {
        site.knock_from("127.0.1.200", "three", &token) == accepted
    });
}

#[test]
fn there_is_a_pop_for_nodes_on_the_blacklist() {
    let site = Site::new();
    let _manager = site.manager_with("blacklist_pop = \"pop-2\"");
    let (_pop, _edge) = (site.pop(), site.edge("one"));
    site.wait_online("one", PATIENCE);
    let _second = site.another_pop();
    let at = |pop: &str| site.pop_of("one").as_deref() == Some(pop);
    assert!(at("pop"));
    blacklist(&site, &["one"]);
    eventually("it is where it belongs", RETURN + RETURN, || at("pop-2"));
    // There it stays, whatever else is listed.
    blacklist(&site, &["two"]);
    pardon(&site, "one");
    eventually("it comes back", RETURN, || at("pop"));
}

#[test]
fn a_migrated_node_serves_at_its_new_pop_and_cuts_nothing_off() {
    let (site, server) = (Site::new(), Server::echo());
    let [_manager, _pop, _edge] = site.start_all("one");
    let (_second, proxy) = site.another_pop();
    let mut stream = session(&site, &server);
    let order = json!({ "to": "pop-2", "nodes": ["one"] });
    let answer = site.rest("v1/nodes/migrate", Some(&order)).unwrap();
    assert_eq!(answer, json!({ "assigned": 1, "ordered": 1 }));
    let ordered = Instant::now();
    eventually("it serves elsewhere", RETURN, || {
        let stream = socks::connect(proxy, server.address);
        stream.is_ok_and(|mut stream| echoes(&mut stream).is_ok())
    });
    println!("serves elsewhere after {:?}", ordered.elapsed());
    assert_eq!(site.pop_of("one").as_deref(), Some("pop-2"));
    // What runs goes on, where it is; nothing new comes there.
    echoes(&mut stream).unwrap();
    assert!(site.connect(server.address).is_err());
    drop(stream);
    eventually("it has left", RETURN, || {
        let nodes = site.rest("v1/nodes?pop=pop", None).unwrap();
        nodes["nodes"] == json!([])
    });
    assert_eq!(site.pop_of("one").as_deref(), Some("pop-2"));
}

#[test]
fn orders_of_yesterday_are_not_obeyed() {
    let (site, server) = (Site::new(), Server::echo());
    let [_manager, _pop, _one] = site.start_all("one");
    let mut stream = session(&site, &server);
    let _two = site.edge("two");
    site.wait_online("two", PATIENCE);
    let store = site.store();
    run(store.order("pop", unix_time() - 120, kick(&["one"], 60)));
    // One for another POP is not for this one.
    run(store.order("pop-2", unix_time(), kick(&["one"], 60)));
    run(store.order("pop", unix_time(), kick(&["two"], 60)));
    // Orders are read one after the other.
    eventually("the last one is obeyed", SOON, || !site.is_online("two"));
    assert!(site.is_online("one"));
    echoes(&mut stream).unwrap();
}

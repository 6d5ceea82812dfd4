//! Daemons that die without a word: what can go on does, what cannot ends with an error, and service
//! returns by itself.

use crate::process::eventually;
use crate::server::Server;
use crate::site::{Site, echoes};
use std::io::{ErrorKind, Read as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// A tunnel outlives its carrier by this long.
const GRACE: Duration = Duration::from_secs(30);

/// How soon service is back once its daemon is.
const RETURN: Duration = Duration::from_secs(15);

/// Waits for the error that a session ends with, and returns how long that took.
fn wait_reset(stream: &mut TcpStream) -> Duration {
    let start = Instant::now();
    let error = stream.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    start.elapsed()
}

#[test]
fn without_the_manager_old_and_new_sessions_go_on() {
    let (site, server) = (Site::new(), Server::echo());
    let [mut manager, _pop, _edge] = site.start_all("one");
    let mut session = site.connect(server.address).unwrap();
    echoes(&mut session).unwrap();

    manager.kill();
    echoes(&mut session).unwrap();
    for _ in 0..20 {
        echoes(&mut site.connect(server.address).unwrap()).unwrap();
    }

    let _manager = site.manager();
    let _other = site.edge("two");
    site.wait_online("two", RETURN);
    echoes(&mut session).unwrap();
}

#[test]
fn an_edge_that_dies_resets_its_sessions_after_the_grace_time_and_another_takes_over() {
    let (site, server) = (Site::new(), Server::echo());
    let [_manager, _pop, mut edge] = site.start_all("one");
    let mut session = site.connect(server.address).unwrap();
    echoes(&mut session).unwrap();
    let _other = site.edge("two");
    site.wait_online("two", RETURN);

    edge.kill();
    let killed = Instant::now();
    site.wait_service(server.address, Duration::from_secs(5));
    for _ in 0..20 {
        echoes(&mut site.connect(server.address).unwrap()).unwrap();
    }
    wait_reset(&mut session);
    let took = killed.elapsed();
    let range = GRACE - Duration::from_secs(1)..GRACE + Duration::from_secs(5);
    assert!(range.contains(&took), "reset after {took:?}");
    eventually("the dead edge leaves the list", RETURN, || {
        !site.is_online("one")
    });

    let _edge = site.edge("one");
    site.wait_online("one", RETURN);
}

#[test]
fn an_edge_that_comes_back_ends_its_old_sessions_at_once_and_serves_new_ones() {
    let (site, server) = (Site::new(), Server::echo());
    let [_manager, _pop, mut edge] = site.start_all("one");
    let mut session = site.connect(server.address).unwrap();
    echoes(&mut session).unwrap();

    edge.kill();
    // Without any exit, whoever comes is refused instead of left waiting.
    let start = Instant::now();
    let refused = site
        .connect(server.address)
        .and_then(|mut stream| echoes(&mut stream));
    refused.unwrap_err();
    assert!(
        start.elapsed() < GRACE,
        "refused after {:?}",
        start.elapsed()
    );

    let _edge = site.edge("one");
    let took = wait_reset(&mut session);
    assert!(took < RETURN, "reset after {took:?}");
    site.wait_service(server.address, RETURN);
}

#[test]
fn a_pop_that_dies_ends_its_sessions_on_both_sides_and_serves_again_once_it_is_back() {
    let (site, server) = (Site::new(), Server::echo());
    let [_manager, mut pop, _edge] = site.start_all("one");
    let mut session = site.connect(server.address).unwrap();
    echoes(&mut session).unwrap();

    pop.kill();
    // The system ends a dead process's connections, cleanly or not.
    assert!(session.read(&mut [0]).is_ok_and(|len| len == 0) || echoes(&mut session).is_err());
    site.connect(server.address).unwrap_err();

    let _pop = site.pop();
    let back = Instant::now();
    let ended = server.outcome().unwrap_err();
    assert_eq!(ended.kind(), ErrorKind::ConnectionReset);
    site.wait_service(server.address, RETURN);
    assert!(back.elapsed() < RETURN, "back after {:?}", back.elapsed());
}

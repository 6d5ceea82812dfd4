//! Daemons that are asked to end: what runs is finished first, unless they are asked twice.

use crate::content::Content;
use crate::process::{Process, eventually};
use crate::server::{PATIENCE, Server};
use crate::site::{Site, echoes};
use crate::socks;
use std::io::{ErrorKind, Read as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

const MIB: u64 = 1 << 20;

/// More than all windows and buffers on the way together, so that its end is not on its way before its
/// middle has arrived.
const DOWN: Content = Content::new(1, 128 * MIB);
const UP: Content = Content::new(2, 128 * MIB);

/// How soon a process with nothing left to do ends.
const PROMPTLY: Duration = Duration::from_secs(10);

/// Sends and takes all of it on one connection, and wants a clean end.
fn exchanges() -> Server {
    Server::start(|stream| {
        let mut out = stream.try_clone()?;
        let sender = thread::spawn(move || {
            DOWN.send(&mut out)?;
            out.shutdown(Shutdown::Write)
        });
        UP.receive_to_end(&mut &stream)?;
        sender.join().unwrap()
    })
}

/// Moves everything both ways; `middle` is called when an eighth has come.
fn exchange(stream: TcpStream, middle: impl FnOnce()) {
    let mut out = stream.try_clone().unwrap();
    let sender = thread::spawn(move || {
        UP.send(&mut out)?;
        out.shutdown(Shutdown::Write)
    });
    let mut middle = Some(middle);
    DOWN.receive_noting(&mut &stream, |at| {
        if at > DOWN.len / 8
            && let Some(middle) = middle.take()
        {
            middle();
        }
    })
    .unwrap();
    assert_eq!((&stream).read(&mut [0]).unwrap(), 0);
    sender.join().unwrap().unwrap();
}

fn ends_well(process: &mut Process) {
    assert_eq!(process.wait(PROMPTLY).code(), Some(0));
}

fn refuses(proxy: SocketAddr) -> bool {
    TcpStream::connect(proxy).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

#[test]
fn a_pop_asked_to_end_finishes_its_transfer_first() {
    let (site, server) = (Site::new(), exchanges());
    let [_manager, mut pop, _edge] = site.start_all("one");
    let stream = site.connect(server.address).unwrap();
    exchange(stream, || {
        pop.terminate();
        eventually("newcomers are refused", PROMPTLY, || refuses(site.proxy));
    });
    server.outcome().unwrap();
    ends_well(&mut pop);
    assert_eq!(server.accepted(), 1);
}

#[test]
fn a_pop_ordered_to_drain_hands_its_edge_on_and_ends() {
    let (site, server, other) = (Site::new(), exchanges(), Server::echo());
    let [_manager, mut pop, _edge] = site.start_all("one");
    let (_second, proxy) = site.another_pop();
    let stream = site.connect(server.address).unwrap();
    exchange(stream, || {
        site.order_to_drain("pop");
        eventually("the edge serves elsewhere", PROMPTLY, || {
            socks::connect(proxy, other.address).is_ok_and(|mut stream| echoes(&mut stream).is_ok())
        });
        assert!(refuses(site.proxy));
    });
    server.outcome().unwrap();
    ends_well(&mut pop);
}

#[test]
fn a_pop_asked_twice_ends_promptly() {
    for interrupt in [false, true] {
        let (site, server) = (Site::new(), Server::echo());
        let [_manager, mut pop, _edge] = site.start_all("one");
        let mut session = site.connect(server.address).unwrap();
        echoes(&mut session).unwrap();
        pop.terminate();
        eventually("newcomers are refused", PROMPTLY, || refuses(site.proxy));
        echoes(&mut session).unwrap();
        assert!(!pop.has_ended());
        if interrupt {
            pop.signal("INT");
        } else {
            pop.terminate();
        }
        let asked = Instant::now();
        ends_well(&mut pop);
        assert!(asked.elapsed() < Duration::from_secs(5));
        let error = session.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
}

#[test]
fn a_pop_without_sessions_ends_promptly() {
    let (site, server) = (Site::new(), Server::echo());
    let [_manager, mut pop, _edge] = site.start_all("one");
    pop.terminate();
    ends_well(&mut pop);
    let _pop = site.pop();
    site.wait_service(server.address, PATIENCE);
}

#[test]
fn an_edge_asked_to_end_finishes_its_transfer_first() {
    let (site, server, other) = (Site::new(), exchanges(), Server::echo());
    let [_manager, _pop, mut edge] = site.start_all("one");
    let stream = site.connect(server.address).unwrap();
    exchange(stream, || {
        edge.terminate();
        eventually("the edge is chosen no more", PROMPTLY, || {
            site.connect(other.address).is_err()
        });
    });
    server.outcome().unwrap();
    ends_well(&mut edge);
}

#[test]
fn an_edge_asked_twice_ends_promptly() {
    let (site, server) = (Site::new(), Server::echo());
    let [_manager, _pop, mut edge] = site.start_all("one");
    let mut session = site.connect(server.address).unwrap();
    echoes(&mut session).unwrap();
    edge.terminate();
    eventually("the edge is chosen no more", PROMPTLY, || {
        site.connect(server.address).is_err()
    });
    echoes(&mut session).unwrap();
    edge.terminate();
    ends_well(&mut edge);
    let error = session.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

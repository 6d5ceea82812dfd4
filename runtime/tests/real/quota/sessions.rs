//! How many sessions a user may have at once, over all POPs.

use super::region::Region;
use crate::process::eventually;
use crate::server::{PATIENCE, Server};
use crate::site::echoes;
use crate::socks::{self, Host};
use serde_json::json;
use std::net::{SocketAddr, TcpStream};
use std::thread;

/// What SOCKS5 calls a connection that the rules do not allow.
const NOT_ALLOWED: u8 = 2;

const MAX: usize = 3;

/// A user of some sessions, and a target that echoes.
struct User<'a> {
    name: (&'a str, &'a str),
    target: SocketAddr,
}

impl User<'_> {
    /// Opens a session, unless there are too many.
    fn open(&self, proxy: SocketAddr) -> Option<TcpStream> {
        let host = Host::Ip(self.target.ip());
        let asked = socks::ask_as(self.name, proxy, host, self.target.port());
        let (mut stream, reply) = asked.unwrap();
        if reply == 0 {
            echoes(&mut stream).unwrap();
            return Some(stream);
        }
        assert_eq!(reply, NOT_ALLOWED);
        None
    }
}

#[test]
fn sessions_are_limited_over_one_and_over_two_pops() {
    let (region, echo) = (Region::start(1), Server::echo());
    let user = User {
        name: region.user("ann", &json!({ "sessions_max": MAX })),
        target: echo.address,
    };
    let [one, two] = region.proxies;
    let mut open: Vec<_> = (0..MAX).map(|_| user.open(one).unwrap()).collect();
    assert!(user.open(one).is_none());
    assert!(
        user.open(two).is_none(),
        "the other POP has never seen the user"
    );
    drop(open.pop());
    eventually("there is a place at the other POP", PATIENCE, || {
        open.extend(user.open(two));
        open.len() == MAX
    });
    assert!(user.open(one).is_none());
    assert!(user.open(two).is_none());
    open.clear();
    eventually("all are over", PATIENCE, || {
        open.extend(user.open(one));
        open.len() == MAX
    });
    assert!(user.open(two).is_none());
}

#[test]
fn sessions_that_begin_at_once_at_two_pops_are_not_too_many() {
    let (region, echo) = (Region::start(1), Server::echo());
    let user = User {
        name: region.user("ann", &json!({ "sessions_max": MAX })),
        target: echo.address,
    };
    // Both know the password.
    for proxy in region.proxies {
        drop(user.open(proxy));
    }
    let open = thread::scope(|scope| {
        let mut all = Vec::new();
        for number in 0..8 * MAX {
            let (user, proxy) = (&user, region.proxies[number % 2]);
            all.push(scope.spawn(move || user.open(proxy)));
        }
        let open = all.into_iter().map(|one| one.join().unwrap());
        open.collect::<Vec<_>>()
    });
    let count = open.iter().flatten().count();
    println!("{count} of {MAX}");
    assert!((1..=MAX).contains(&count), "{count}");
}

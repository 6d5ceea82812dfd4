//! Clients that log in, hold their request back, and find that an operator was quicker.

use crate::process::eventually;
use crate::server::{PATIENCE, Server, patient};
use crate::site::{Site, echoes};
use serde_json::{Value, json};
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

const USER: &str = "late";
const PASSWORD: &str = "secret-late";

/// How soon a change must reach sessions that run.
const SOON: Duration = Duration::from_secs(1);

/// Logs in; the stream and whether that was good.
fn login(proxy: SocketAddr) -> io::Result<(TcpStream, bool)> {
    let mut stream = patient(TcpStream::connect_timeout(&proxy, PATIENCE)?)?;
    let mut hello = vec![5, 1, 2, 1];
    for text in [USER, PASSWORD] {
        hello.push(u8::try_from(text.len()).unwrap());
        hello.extend_from_slice(text.as_bytes());
    }
    stream.write_all(&hello)?;
    let mut answer = [0; 4];
    stream.read_exact(&mut answer)?;
    Ok((stream, answer == [5, 2, 1, 0]))
}

fn request(stream: &mut TcpStream, to: SocketAddr) -> u8 {
    let SocketAddr::V4(to) = to else {
        panic!("an IPv4 address")
    };
    let mut request = vec![5, 1, 0, 1];
    request.extend_from_slice(&to.ip().octets());
    request.extend(to.port().to_be_bytes());
    stream.write_all(&request).unwrap();
    let mut head = [0; 10];
    stream.read_exact(&mut head).unwrap();
    head[1]
}

/// Changes the user between login and request, and waits until the POP lets nobody in as before.
fn no_session_outlives(method: &str, path: &str, change: &Value) {
    let site = Site::new();
    let server = Server::echo();
    let _daemons = site.start_all("one");
    let user = json!({"name": USER, "password": PASSWORD});
    site.rest("v1/users", Some(&user)).unwrap();
    let (mut stream, is_in) = login(site.proxy).unwrap();
    assert!(is_in);
    site.call(method, path, Some(change)).unwrap();
    eventually("the POP has heard of it", PATIENCE, || {
        login(site.proxy).is_ok_and(|(_, is_in)| !is_in)
    });
    let begun = Instant::now();
    if request(&mut stream, server.address) != 0 {
        return;
    }
    while echoes(&mut stream).is_ok() {
        assert!(begun.elapsed() < SOON, "the session goes on");
    }
}

#[test]
fn who_is_stopped_between_login_and_request_is_cut_off() {
    let change = json!({"enabled": false});
    no_session_outlives("PATCH", "v1/users/late", &change);
}

#[test]
fn an_old_password_is_cut_off_also_if_its_login_came_before() {
    let change = json!({"password": "another-one"});
    no_session_outlives("PUT", "v1/users/late/password", &change);
}

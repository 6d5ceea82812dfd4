//! Nothing local is reachable through an edge that was not told otherwise.

use crate::socks::{self, Host};
use crate::titan::Titan;
use std::fs;
use std::io::{self, Read as _};
use std::net::{IpAddr, TcpListener, UdpSocket};
use std::process::Stdio;
use std::time::Duration;
use titan_runtime::telemetry::FILTER_VARIABLE;

/// RFC 1928: not allowed by ruleset.
const FORBIDDEN: u8 = 2;

/// Names that the machine's own hosts file sends to loopback; no other name is asked for, so that no
/// look-up leaves the machine.
fn local_names() -> Vec<String> {
    let hosts = fs::read_to_string("/etc/hosts").unwrap_or_default();
    let mut names = vec!["localhost".to_owned()];
    for line in hosts.lines() {
        let line = line.split('#').next().unwrap_or("");
        let mut words = line.split_whitespace();
        let address = words.next().and_then(|word| word.parse::<IpAddr>().ok());
        if address.is_some_and(|address| address.is_loopback()) {
            names.extend(words.map(str::to_owned));
        }
    }
    names
}

#[test]
fn local_targets_are_forbidden_in_every_spelling() {
    let titan = Titan::up_with(&["--truthful"]);
    // A target that would answer: what is refused is refused by rule, not by chance.
    let listeners = ["0.0.0.0:0", "[::]:0"].map(|address| {
        let listener = TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        listener
    });
    let addresses = [
        "127.0.0.1",
        "127.255.255.254",
        "0.0.0.0",
        "169.254.169.254",
        "::1",
        "::",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
    ];
    let spellings = [
        "127.0.0.1",
        "127.0.0.1.",
        "127.1",
        "127.0.1",
        "2130706433",
        "017700000001",
        "0x7f000001",
        "0177.0.0.1",
        "0x7f.1",
        "0X7F.0x0.0.0x1",
        "0",
        "2852039166",
        "[::1]",
        "::1",
        "[::ffff:127.0.0.1]",
        "::ffff:7f00:1",
        "LOCALHOST",
        "localhost.",
    ];
    let names = local_names();
    for listener in &listeners {
        let port = listener.local_addr().unwrap().port();
        let addresses = addresses.iter().map(|text| Host::Ip(text.parse().unwrap()));
        let spellings = spellings.iter().map(|text| Host::Name(text));
        let names = names.iter().map(|name| Host::Name(name));
        for host in addresses.chain(spellings).chain(names) {
            let (mut stream, reply) = socks::ask(titan.proxy, host, port).unwrap();
            assert_eq!(reply, FORBIDDEN, "{host:?}");
            assert_eq!(stream.read(&mut [0]).unwrap(), 0, "{host:?}");
        }
        let accepted = listener.accept().map(|(_, peer)| peer);
        assert_eq!(accepted.unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }
}

#[test]
fn only_what_an_edge_was_told_to_allow_is_allowed() {
    let titan = Titan::up_with(&["--truthful", "--allow-target", "127.0.0.2/32"]);
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let reply = |host| socks::ask(titan.proxy, host, port).unwrap().1;
    assert_eq!(reply(Host::Name("127.2")), 0);
    assert_eq!(reply(Host::Ip("::ffff:127.0.0.2".parse().unwrap())), 0);
    assert_eq!(reply(Host::Name("127.1")), FORBIDDEN);
    assert_eq!(reply(Host::Name("localhost")), FORBIDDEN);
}

/// Returns the address from which this machine would go out, if it has anywhere to go; nothing is sent.
fn address_of_this_machine() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.connect("192.0.2.1:9").ok()?;
    Some(socket.local_addr().unwrap().ip())
}

#[test]
fn what_this_machine_is_on_is_found_and_forbidden() {
    let mut titan = Titan::up_changed(&["--truthful"], |command| {
        command.env(FILTER_VARIABLE, "info").stderr(Stdio::piped());
    });
    let mut log = titan.process.child().stderr.take().unwrap();
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    if let Some(address) = address_of_this_machine() {
        let (_, reply) = socks::ask(titan.proxy, Host::Ip(address), port).unwrap();
        assert_eq!(reply, FORBIDDEN, "{address}");
    }
    titan.process.terminate();
    assert!(titan.process.wait(Duration::from_secs(10)).success());
    let mut text = String::new();
    log.read_to_string(&mut text).unwrap();
    let line = text.lines().find(|line| line.contains("own networks"));
    let line = line.unwrap_or_else(|| panic!("{text}"));
    assert!(line.contains("127.0.0.0/16"), "{line}");
}

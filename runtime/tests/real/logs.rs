//! Logs never matter: whatever becomes of standard error, daemons carry and obey.

use crate::server::{PATIENCE, Server};
use crate::site::echoes;
use crate::socks::{self, Host};
use crate::titan::Titan;
use std::fs::File;
use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::process::Stdio;
use std::time::Duration;
use titan_runtime::telemetry::FILTER_VARIABLE;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// RFC 1928: connection refused.
const REFUSED: u8 = 5;

/// What a daemon may take to end at once.
const END: Duration = Duration::from_secs(10);

const ARGUMENTS: [&str; 3] = ["--truthful", "--allow-target", "127.0.0.0/8"];

fn up(level: &str, errors: impl Into<Stdio>) -> Titan {
    Titan::up_changed(&ARGUMENTS, |command| {
        command.env(FILTER_VARIABLE, level).stderr(errors);
    })
}

/// Asks for a target that refuses, which is logged, and for one that serves.
fn serves(titan: &Titan, echo: &Server) {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    for _ in 0..3 {
        let (_, reply) = socks::ask(titan.proxy, Host::Ip(HERE), port).unwrap();
        assert_eq!(reply, REFUSED);
    }
    echoes(&mut titan.connect(echo.address).unwrap()).unwrap();
}

#[test]
fn a_full_disk_under_the_log_stops_nothing() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let mut titan = up("info", full);
    let echo = Server::echo();
    for _ in 0..3 {
        serves(&titan, &echo);
    }
    titan.process.terminate();
    assert!(titan.process.wait(END).success());
}

#[test]
fn a_reader_of_the_log_that_leaves_stops_nothing() {
    let mut titan = up("info", Stdio::piped());
    drop(titan.process.child().stderr.take());
    let echo = Server::echo();
    for _ in 0..3 {
        serves(&titan, &echo);
    }
    titan.process.terminate();
    assert!(titan.process.wait(END).success());
}

#[test]
fn a_log_that_nobody_drains_stops_nothing() {
    // Every frame is logged, more than a pipe holds.
    let mut titan = up("trace", Stdio::piped());
    let _log = titan.process.child().stderr.take().unwrap();
    let echo = Server::echo();
    let mut stream = titan.connect(echo.address).unwrap();
    for _ in 0..8_000 {
        echoes(&mut stream).unwrap();
    }
    serves(&titan, &echo);
    titan.process.terminate();
    assert!(titan.process.wait(END).success());
}

#[test]
fn a_failed_dial_is_found_under_one_name_at_pop_and_edge() {
    let mut titan = up("info", Stdio::piped());
    let mut log = titan.process.child().stderr.take().unwrap();
    serves(&titan, &Server::echo());
    titan.process.terminate();
    assert!(titan.process.wait(END).success());
    let mut text = String::new();
    log.read_to_string(&mut text).unwrap();
    let traces = |room: &str| -> Vec<String> {
        // The session that served may be another one, if it had not left when the process was told to end.
        let is_failed = |line: &&str| {
            line.contains(room) && line.contains("[DIAG]") && line.contains(r#"code="refused""#)
        };
        let lines = text.lines().filter(is_failed);
        lines
            .map(|line| {
                assert!(line.contains(r#"node="edge"#), "{line}");
                let (_, trace) = line.split_once("trace=").unwrap();
                trace.chars().take_while(char::is_ascii_hexdigit).collect()
            })
            .collect()
    };
    let (pop, edge) = (traces("titan_runtime::pop"), traces("titan_runtime::edge"));
    assert_eq!(pop.len(), 3, "{text}");
    for trace in &pop {
        assert_eq!(trace.len(), 32);
        assert!(edge.contains(trace), "{trace} in {text}");
        assert_eq!(pop.iter().filter(|other| *other == trace).count(), 1);
    }
    let mut at_pop = text
        .lines()
        .filter(|line| line.contains("titan_runtime::pop"));
    let is_nameless = |line: &str| line.contains("refused") && !line.contains(r#"user="u""#);
    assert!(!at_pop.any(is_nameless), "{text}");
}

#[test]
fn failed_dials_are_logged_at_a_rate_and_the_others_counted() {
    let mut titan = up("info", Stdio::piped());
    let mut log = titan.process.child().stderr.take().unwrap();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    for _ in 0..600 {
        let (_, reply) = socks::ask(titan.proxy, Host::Ip(HERE), port).unwrap();
        assert_eq!(reply, REFUSED);
    }
    titan.process.terminate();
    assert!(titan.process.wait(PATIENCE).success());
    let mut text = String::new();
    log.read_to_string(&mut text).unwrap();
    let edge = |line: &&str| line.contains("titan_runtime::edge") && line.contains("[DIAG]");
    let (told, logged): (Vec<_>, Vec<_>) = text
        .lines()
        .filter(edge)
        .partition(|line| line.contains("more like `[DIAG]` were left out"));
    assert!((100..500).contains(&logged.len()), "{} lines", logged.len());
    let left_out: usize = told
        .iter()
        .map(|line| {
            let (_, after) = line.split_once(": ").unwrap();
            after.split(' ').next().unwrap().parse::<usize>().unwrap()
        })
        .sum();
    assert_eq!(logged.len() + left_out, 600, "{told:?}");
}

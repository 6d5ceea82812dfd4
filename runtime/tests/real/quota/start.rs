//! Daemons that start before their store.

use crate::process::{Process, eventually};
use crate::server::PATIENCE;
use crate::site::free_address;
use crate::titan::daemon;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::path::Path;
use std::process::Stdio;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Instant;

use titan_kit::redis_server::{Fsync, RedisServer};
use titan_runtime::telemetry::FILTER_VARIABLE;

/// Starts a daemon and returns it with the lines of its log.
fn start(program: &str, data: &Path, config: &str) -> (Process, Receiver<String>) {
    let path = data.join("config.toml");
    fs::write(&path, config).unwrap();
    let mut command = daemon(program);
    command.arg("--config").arg(path).stderr(Stdio::piped());
    let mut process = Process::spawn(command.env(FILTER_VARIABLE, "warn"));
    let log = process.child().stderr.take().unwrap();
    let (tell, lines) = mpsc::channel();
    thread::spawn(move || {
        // The test may have heard enough; the daemon still needs a reader.
        BufReader::new(log)
            .lines()
            .map_while(Result::ok)
            .for_each(|line| drop(tell.send(line)));
    });
    (process, lines)
}

/// Waits until a daemon says that it waits.
fn waits(log: &Receiver<String>) {
    let deadline = Instant::now() + PATIENCE;
    let mut told = Vec::new();
    while let Ok(line) = log.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        if line.contains("waiting for the store") {
            return;
        }
        told.push(line);
    }
    panic!("it does not say that it waits for the store, but {told:?}");
}

#[test]
fn daemons_that_start_without_their_store_wait_say_so_and_then_serve() {
    let mut redis = RedisServer::start(Fsync::Always);
    redis.kill();
    // Each with what it has on its own host.
    let [of_manager, of_pop] = [0; 2].map(|_| tempfile::tempdir().unwrap());
    let (manager, proxy, tunnels) = (free_address(), free_address(), free_address());
    let common = |data: &Path| {
        format!(
            "insecure = true\ndata = {data:?}\nstore = {:?}\n",
            redis.url(0)
        )
    };
    let (_manager, manager_log) = start(
        env!("CARGO_BIN_EXE_titan-manager"),
        of_manager.path(),
        &format!("listen = \"{manager}\"\n{}", common(of_manager.path())),
    );
    let (_pop, pop_log) = start(
        env!("CARGO_BIN_EXE_titan-pop"),
        of_pop.path(),
        &format!(
            "id = \"pop\"\nlisten_socks = \"{proxy}\"\nlisten_tunnels = \"{tunnels}\"\n\
             public_url = \"ws://{tunnels}\"\n{}",
            common(of_pop.path())
        ),
    );
    waits(&manager_log);
    waits(&pop_log);
    for address in [manager, proxy] {
        assert!(TcpStream::connect(address).is_err(), "it serves already");
    }
    redis.restart();
    for address in [manager, proxy] {
        eventually("it serves", PATIENCE, || {
            TcpStream::connect(address).is_ok()
        });
    }
}

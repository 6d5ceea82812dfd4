//! The disk under the store takes no more: what operators and users hear, that nothing is lost, and that all
//! goes on by itself once it does.

use crate::process::{Process, eventually};
use crate::server::{PATIENCE, Server};
use crate::site::{Site, echoes};
use crate::socks::{self, USER};
use serde_json::{Value, json};
use std::io::{self, Read as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use titan_runtime::telemetry::FILTER_VARIABLE;

/// How many bytes of a file can be written while the disk is full: less than any daemon has to say.
const FULL: &str = "64";

/// The command's exit code when the store is away.
const AWAY: i32 = 3;

/// A daemon whose disk can be filled, and what it has said.
struct Daemon {
    process: Process,
    said: Arc<Mutex<String>>,
}

impl Daemon {
    fn of(mut process: Process) -> Self {
        let mut errors = process.child().stderr.take().unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        let heard = Arc::clone(&said);
        thread::spawn(move || {
            let mut bytes = [0; 4_096];
            while let Ok(len @ 1..) = errors.read(&mut bytes) {
                let text = String::from_utf8_lossy(&bytes[..len]);
                heard.lock().unwrap().push_str(&text);
            }
        });
        Self { process, said }
    }

    /// Lets its files grow no more, or again: as on a full disk each write fails, and reading goes on.
    fn fill(&mut self, is_full: bool) {
        let most = if is_full { FULL } else { "unlimited" };
        let limited = Command::new("prlimit")
            .args(["--pid", &self.process.child().id().to_string()])
            .arg(format!("--fsize={most}:unlimited"))
            .status();
        assert!(limited.unwrap().success());
    }

    fn has_said(&self, words: &str) -> bool {
        self.said.lock().unwrap().contains(words)
    }
}

/// Has a daemon be told of the limit by an error, as a disk does, and not ended by the signal.
fn spared(command: &mut Command) {
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "trap '' XFSZ && exec \"$0\" \"$@\""])
        .arg(command.get_program())
        .args(command.get_args());
    for (name, value) in command.get_envs() {
        shell.env(name, value.unwrap_or_default());
    }
    shell.env(FILTER_VARIABLE, "info").stderr(Stdio::piped());
    *command = shell;
}

/// Runs an operator's command; returns its exit code and what it says.
fn titan(site: &Site, arguments: &[&str]) -> (i32, String) {
    let output = site.titan().args(arguments).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.code().unwrap(),
        String::from_utf8(said).unwrap(),
    )
}

/// Sends a word there and back so many times.
fn echo(stream: &mut TcpStream, times: u64) {
    for _ in 0..times {
        echoes(stream).unwrap();
    }
}

fn counted(site: &Site) -> Value {
    let user = site.rest(&format!("v1/users/{}", USER.0), None);
    let user = user.expect("it is read all the same");
    json!([user["uploaded"], user["downloaded"]])
}

/// Asserts that what has to be written is not done, and that the operator hears so.
fn acts_are_refused(site: &Site) {
    for act in [
        &["user", "create", "late"][..],
        &["user", "delete", "early"],
        &["node", "kick", "one"],
    ] {
        let (code, said) = titan(site, act);
        assert_eq!(code, AWAY, "{act:?}: {said}");
    }
}

#[test]
fn a_full_disk_refuses_what_has_to_be_written_and_loses_nothing() {
    const WORD: u64 = 5;
    let server = Server::start(|mut stream| {
        let mut out = stream.try_clone()?;
        io::copy(&mut stream, &mut out).map(drop)
    });
    let site = Site::new();
    let mut manager = Daemon::of(site.manager_changed("", spared));
    let mut pop = Daemon::of(site.pop_changed("", spared));
    let _edge = site.edge("one");
    site.wait_online("one", PATIENCE);
    let mut stream = site.connect(server.address).unwrap();
    echo(&mut stream, 100);
    eventually("it is counted", PATIENCE, || {
        counted(&site) == json!([100 * WORD, 100 * WORD])
    });
    assert_eq!(titan(&site, &["user", "create", "early"]).0, 0);

    manager.fill(true);
    pop.fill(true);
    acts_are_refused(&site);
    assert!(manager.has_said("the store is away"));
    // What is only read is answered.
    let (code, said) = titan(&site, &["user", "list"]);
    assert!(
        code == 0 && said.contains("early") && !said.contains("late"),
        "{said}"
    );
    // Who is here stays, and comes again.
    echo(&mut stream, 100);
    let mut another = site.connect(server.address).unwrap();
    echo(&mut another, 100);
    for words in [
        "the store does not take usage: it is kept on the disk",
        "usage cannot be kept on the disk",
    ] {
        eventually(words, PATIENCE, || pop.has_said(words));
    }
    let stranger = socks::connect_as(("stranger", "x"), site.proxy, server.address);
    assert_eq!(
        stranger.unwrap_err().kind(),
        io::ErrorKind::PermissionDenied
    );
    assert_eq!(counted(&site), json!([100 * WORD, 100 * WORD]));
    assert!(site.is_online("one"));

    manager.fill(false);
    pop.fill(false);
    eventually("all is counted", PATIENCE, || {
        counted(&site) == json!([300 * WORD, 300 * WORD])
    });
    let (code, said) = titan(&site, &["user", "create", "late"]);
    assert_eq!(code, 0, "{said}");
    let (code, said) = titan(&site, &["user", "list"]);
    assert!(
        code == 0 && said.contains("early") && said.contains("late"),
        "{said}"
    );
    let (code, said) = titan(&site, &["audit", "verify"]);
    assert_eq!(code, 0, "{said}");
    echo(&mut stream, 1);
    site.wait_service(server.address, PATIENCE);
    for daemon in [&mut manager, &mut pop] {
        assert!(!daemon.process.has_ended() && !daemon.has_said("panicked"));
    }
}

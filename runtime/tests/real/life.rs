//! How daemons live: signals, descriptors, pipes, and words on the command line.

use crate::process::{Process, eventually};
use crate::server::{PATIENCE, Server, patient};
use crate::site::{Site, echoes};
use crate::titan::Titan;
use std::fs;
use std::io::{self, ErrorKind, Read as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;
use titan_runtime::telemetry::FILTER_VARIABLE;

const DAEMONS: [&str; 4] = [
    env!("CARGO_BIN_EXE_titan"),
    env!("CARGO_BIN_EXE_titan-manager"),
    env!("CARGO_BIN_EXE_titan-pop"),
    env!("CARGO_BIN_EXE_titan-edge"),
];

fn echo() -> Server {
    Server::start(|mut stream| {
        let mut out = stream.try_clone()?;
        io::copy(&mut stream, &mut out).map(drop)
    })
}

/// Has a command run by a shell that first limits its descriptors.
fn with_open_files(command: &mut Command, limits: &str) {
    let mut limited = Command::new("sh");
    limited
        .args(["-c", &format!("{limits} && exec \"$0\" \"$@\"")])
        .arg(command.get_program())
        .args(command.get_args());
    for (name, value) in command.get_envs() {
        limited.env(name, value.unwrap_or_default());
    }
    *command = limited;
}

/// Waits until a daemon says in its log that it does not care. Whoever runs the tests may have had the signal
/// ignored already, and then that alone shows who did.
fn wait_until_ignored(log: &Path) {
    eventually("the signal is ignored", PATIENCE, || {
        let log = fs::read_to_string(log).unwrap();
        log.contains("SIGHUP is ignored")
    });
}

#[test]
fn a_closed_terminal_ends_nothing() {
    let log = tempfile::NamedTempFile::new().unwrap();
    let mut titan = Titan::up_changed(&["--allow-target", "127.0.0.0/8"], |command| {
        let log = log.reopen().unwrap();
        command.env(FILTER_VARIABLE, "info").stderr(log);
    });
    let echo = echo();
    let mut stream = titan.connect(echo.address).unwrap();
    titan.process.signal("HUP");
    wait_until_ignored(log.path());
    for _ in 0..3 {
        echoes(&mut stream).unwrap();
        echoes(&mut titan.connect(echo.address).unwrap()).unwrap();
        assert!(!titan.process.has_ended());
    }
    titan.process.terminate();
    assert!(titan.process.wait(PATIENCE).success());
}

#[test]
fn a_closed_terminal_ends_no_daemon_by_itself() {
    let (site, echo) = (Site::new(), echo());
    let mut daemons = [
        site.logged("manager", Site::manager),
        site.logged("pop", Site::pop),
        site.logged("edge", |site| site.edge("one")),
    ];
    site.wait_online("one", PATIENCE);
    let mut stream = site.connect(echo.address).unwrap();
    echoes(&mut stream).unwrap();
    for (daemon, name) in daemons.iter().zip(["manager", "pop", "edge"]) {
        daemon.signal("HUP");
        wait_until_ignored(&site.log_of(name));
    }
    for _ in 0..3 {
        echoes(&mut stream).unwrap();
        echoes(&mut site.connect(echo.address).unwrap()).unwrap();
        assert!(site.rest("v1/nodes/one", None).is_some());
        for daemon in &mut daemons {
            assert!(!daemon.has_ended());
        }
    }
    drop(stream);
    for daemon in daemons.iter_mut().rev() {
        daemon.terminate();
        assert_eq!(daemon.wait(PATIENCE).code(), Some(0));
    }
}

#[test]
fn the_limit_of_open_files_is_raised_to_what_the_system_grants() {
    let mut titan = Titan::up_changed(&[], |command| {
        with_open_files(command, "ulimit -Sn 200 && ulimit -Hn 2000");
    });
    let limits = fs::read_to_string(format!("/proc/{}/limits", titan.process.child().id()));
    let limits = limits.unwrap();
    let open_files = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let soft = open_files.unwrap().split_whitespace().nth(3);
    assert_eq!(soft, Some("2000"));
}

#[test]
fn what_a_small_budget_has_no_room_for_is_said_at_start() {
    const SAYS: &str = "has no room for as many sessions";
    let site = Site::new();
    let _manager = site.manager();
    let small = "[limits]\nmemory_budget_bytes = 16777216\n";
    let _pop = site.logged("pop", |site| site.pop_with(small));
    // Each copy has a part of what is enough for twice as many.
    let _edge = site.logged("edge", |site| {
        site.edge_with("edge", |command| {
            command
                .env("TITAN__COPIES", "2")
                .env("TITAN__MEMORY_BUDGET_BYTES", "4194304");
        })
    });
    for (name, fitting) in [("pop", "fitting=1638 "), ("edge", "fitting=204 ")] {
        eventually("it says so", PATIENCE, || {
            let log = fs::read_to_string(site.log_of(name)).unwrap();
            let mut lines = log.lines().filter(|line| line.contains(SAYS));
            lines.any(|line| line.contains(fitting))
        });
    }
}

/// Connects more clients than there are descriptors, who say nothing and stay, until the last of them are
/// refused at once.
fn crowd(proxy: SocketAddr) -> Vec<io::Result<TcpStream>> {
    let idle: Vec<io::Result<TcpStream>> = (0..300)
        .map(|_| TcpStream::connect_timeout(&proxy, PATIENCE).and_then(patient))
        .collect();
    let soon = Duration::from_secs(5);
    let refused = idle.iter().rev().take(100).filter(|connected| {
        // The refusal may be there before the connection is handed out.
        let answer = match connected {
            Ok(stream) => {
                stream.set_read_timeout(Some(soon)).unwrap();
                // Silence until the handshake is late is no answer.
                (&*stream).read(&mut [0]).err().map(|error| error.kind())
            }
            Err(error) => Some(error.kind()),
        };
        answer == Some(ErrorKind::ConnectionReset)
    });
    assert_eq!(refused.count(), 100);
    idle
}

#[test]
fn out_of_descriptors_newcomers_are_refused_at_once_and_what_runs_goes_on() {
    let titan = Titan::up_changed(&["--allow-target", "127.0.0.0/8"], |command| {
        with_open_files(command, "ulimit -n 220");
    });
    let echo = echo();
    let mut stream = titan.connect(echo.address).unwrap();
    let idle = crowd(titan.proxy);
    echoes(&mut stream).unwrap();
    drop(idle);
    eventually("newcomers are served", PATIENCE, || {
        let stream = titan.connect(echo.address);
        stream.is_ok_and(|mut stream| echoes(&mut stream).is_ok())
    });
}

#[test]
fn an_edge_comes_back_while_clients_take_every_descriptor_they_may() {
    let (site, echo) = (Site::new(), echo());
    let _manager = site.manager();
    // Clients that say nothing stay for longer than this takes.
    let patience = "[limits]\nclient_handshake_timeout = \"10m\"\n";
    let _pop = site.pop_changed(patience, |command| {
        with_open_files(command, "ulimit -n 220");
    });
    let mut edge = site.edge("one");
    site.wait_online("one", PATIENCE);
    let mut stream = site.connect(echo.address).unwrap();
    echoes(&mut stream).unwrap();
    let idle = crowd(site.proxy);
    echoes(&mut stream).unwrap();
    edge.kill();
    let _edge = site.logged("back", |site| site.edge("one"));
    // What the first one and its session leave would be enough for two.
    let _others = ["two", "three", "four"].map(|id| site.edge(id));
    eventually("it is back", PATIENCE, || {
        let log = fs::read_to_string(site.log_of("back")).unwrap();
        log.contains("tunnel stands")
    });
    for id in ["two", "three", "four"] {
        site.wait_online(id, PATIENCE);
    }
    drop(idle);
    site.wait_service(echo.address, PATIENCE);
}

#[test]
fn new_sessions_go_past_an_edge_that_has_no_descriptors_left() {
    let (site, echo) = (Site::new(), echo());
    let (_manager, _pop) = (site.manager(), site.pop());
    let _full = site.edge_with("full", |command| {
        with_open_files(command, "ulimit -n 128");
    });
    site.wait_service(echo.address, PATIENCE);
    let session = || -> io::Result<TcpStream> {
        let mut stream = site.connect(echo.address)?;
        echoes(&mut stream)?;
        Ok(stream)
    };
    let mut held: Vec<_> = core::iter::from_fn(|| session().ok()).take(128).collect();
    assert!((2..128).contains(&held.len()), "{} are held", held.len());
    let _other = site.edge("other");
    site.wait_online("other", PATIENCE);
    for _ in 0..100 {
        session().unwrap();
    }
    for stream in &mut held {
        echoes(stream).unwrap();
    }
}

/// Connects out and returns both ends, of which the near one holds a port of this host.
fn outgoing() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (near, listener.accept().unwrap().0)
}

#[test]
fn a_daemon_waits_for_a_port_that_a_connection_holds_and_says_so() {
    let (near, far) = outgoing();
    let mut site = Site::new();
    site.proxy = near.local_addr().unwrap();
    // A POP listens once it knows a manager's key.
    let _manager = site.manager();
    let mut pop = site.logged("pop", Site::pop);
    let log = || fs::read_to_string(site.log_of("pop")).unwrap();
    eventually("it says so", PATIENCE, || {
        let at = site.proxy.to_string();
        log()
            .lines()
            .any(|line| line.contains("waiting to listen for") && line.contains(&at))
    });
    assert!(!pop.has_ended() && !log().contains("ready"));
    // The end that goes first is remembered by the system for a while.
    drop(far);
    drop(near);
    eventually("it listens", PATIENCE, || log().contains("ready"));
    TcpStream::connect(site.proxy).unwrap();
}

#[test]
fn every_program_says_its_version() {
    for program in DAEMONS {
        let output = Command::new(program).arg("--version").output().unwrap();
        assert!(output.status.success(), "{program}");
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(
            said.trim_end().ends_with(env!("CARGO_PKG_VERSION")),
            "{said}"
        );
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let titan = DAEMONS[0];
    for (program, arguments) in [
        (titan, &["completions", "bash"][..]),
        (DAEMONS[1], &["--print-example"]),
        (DAEMONS[2], &["--print-example"]),
        (DAEMONS[3], &["--print-example"]),
    ] {
        let mut command = Command::new(program);
        let (success, said) = unread(command.args(arguments));
        assert!(success && said.is_empty(), "{program}: {said}");
    }
    let site = Site::new();
    let _manager = site.manager();
    for arguments in [&["user", "list"][..], &["user", "list", "--json"]] {
        let (success, said) = unread(site.titan().args(arguments));
        assert!(success && said.is_empty(), "{arguments:?}: {said}");
    }
}

/// Runs a command whose output nobody reads; returns whether it succeeds and what it says about that.
fn unread(command: &mut Command) -> (bool, String) {
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let (status, said) = ended(command.stdout(writer));
    (status.success(), said)
}

/// Runs a command that is to end by itself; returns how it ends and what it says of errors.
fn ended(command: &mut Command) -> (ExitStatus, String) {
    let mut process = Process::spawn(command.stderr(Stdio::piped()));
    let status = process.wait(PATIENCE);
    let mut said = String::new();
    let mut errors = process.child().stderr.take().unwrap();
    errors.read_to_string(&mut said).unwrap();
    (status, said)
}

#[test]
fn a_user_that_cannot_be_is_refused_in_words() {
    let data = tempfile::tempdir().unwrap();
    for (user, wants) in [
        ("my-user:pw", "`my-user` is no name of a user"),
        ("my", "NAME:PASSWORD"),
        ("my:", "a password has 1 to 255 bytes"),
    ] {
        let mut command = Command::new(DAEMONS[0]);
        command
            .args(["up", "--user", user, "--data"])
            .arg(data.path())
            .args(["--listen", "127.0.0.1:0", "--manager", "127.0.0.1:0"])
            .args(["--tunnels", "127.0.0.1:0"]);
        let (status, said) = ended(&mut command);
        assert_eq!(status.code(), Some(1), "{user}: {said}");
        assert!(said.contains("--user") && said.contains(wants), "{said}");
    }
}

#[test]
fn a_data_directory_that_takes_no_writes_is_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    for (program, arguments) in [
        (DAEMONS[1], &["--insecure"][..]),
        (
            DAEMONS[2],
            &["--insecure", "--id", "p", "--public-url", "ws://p"],
        ),
    ] {
        let mut command = Command::new(program);
        command.args(arguments).arg("--data").arg(file.path());
        let (status, said) = ended(&mut command);
        assert!(!status.success());
        let name = file.path().display().to_string();
        assert!(
            said.contains("the data directory") && said.contains(&name),
            "{said}"
        );
    }
}

//! What one daemon may not know of another, and what may not leave in clear.

use crate::process::{Process, eventually};
use crate::server::{PATIENCE, Server};
use crate::site::{Site, echoes};
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

/// Users and groups that nothing of the system runs as.
const POP_USER: u32 = 60_123;
const TITAN_GROUP: u32 = 60_120;

/// Gives a file or directory to a user and a group.
fn give(path: &Path, user: u32, group: u32, mode: u32) {
    chown(path, Some(user), Some(group)).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Returns the files that a process has open.
fn open_files(process: &mut Process) -> Vec<String> {
    let directory = format!("/proc/{}/fd", process.child().id());
    let files = fs::read_dir(directory).unwrap();
    let target = |entry: io::Result<fs::DirEntry>| fs::read_link(entry.ok()?.path()).ok();
    let files = files.filter_map(target);
    files.map(|path| path.display().to_string()).collect()
}

#[test]
fn a_pop_serves_as_a_user_who_can_read_nothing_of_the_managers() {
    // Only root can start what another user is to run.
    let root =
        fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
    let room = tempfile::tempdir().unwrap();
    let (shared, own) = (room.path().join("shared"), room.path().join("pop"));
    for directory in [&shared, &own] {
        fs::create_dir(directory).unwrap();
    }
    if root {
        give(room.path(), 0, TITAN_GROUP, 0o750);
        give(&shared, 0, TITAN_GROUP, 0o2770);
        give(&own, POP_USER, TITAN_GROUP, 0o700);
    }
    let site = Site::new().with_store(format!("embedded:{}", shared.display()));
    let server = Server::echo();
    let _manager = site.manager();
    let mut pop = site.pop_apart(&own, |command| {
        if root {
            give(&own.join("pop.toml"), POP_USER, TITAN_GROUP, 0o600);
            give(&own.join("tls.pem"), POP_USER, TITAN_GROUP, 0o600);
            give(&own.join("tls.key"), POP_USER, TITAN_GROUP, 0o600);
            give(&own.join("titan-pop"), POP_USER, TITAN_GROUP, 0o700);
            command.uid(POP_USER).gid(TITAN_GROUP);
        }
    });
    let _edge = site.edge("one");
    site.wait_online("one", PATIENCE);
    echoes(&mut site.connect(server.address).unwrap()).unwrap();

    let managers = site.data().display().to_string();
    let files = open_files(&mut pop);
    assert!(
        files.iter().any(|file| file.ends_with("titan.db")),
        "{files:?}"
    );
    assert!(
        files.iter().all(|file| !file.ends_with("manager.db")),
        "{files:?}"
    );
    let astray = files.iter().find(|file| file.starts_with(&managers));
    assert_eq!(astray, None);
    for secret in [
        "admin.token",
        "join.secret",
        "node-token.key",
        "ca.key",
        "manager.db",
    ] {
        let path = site.data().join(secret);
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o077,
            0,
            "{secret}"
        );
        if root {
            let mut reader = Command::new("cat");
            let read = reader.arg(&path).uid(POP_USER).gid(TITAN_GROUP).output();
            assert!(!read.unwrap().status.success(), "{secret} can be read");
        }
    }
}

#[test]
fn an_edge_that_was_not_told_to_goes_nowhere_in_clear() {
    let mut site = Site::new();
    // Whoever is on the way writes down what passes.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    site.public = listener.local_addr().unwrap();
    let _manager = site.manager();
    let mut pop = site.pop_in_clear();
    let edge = site.logged("edge", |site| site.edge("one"));
    eventually(
        "the edge says again and again why it does not go there",
        PATIENCE,
        || {
            let log = fs::read_to_string(site.log_of("edge")).unwrap();
            let told = |line: &&str| line.contains("is in clear") && line.contains("insecure");
            log.lines().filter(told).count() > 3
        },
    );
    listener.set_nonblocking(true).unwrap();
    let came = listener.accept().map(drop).unwrap_err();
    assert_eq!(came.kind(), io::ErrorKind::WouldBlock);
    assert!(!pop.has_ended() && !site.is_online("one"));
    drop(edge);
}

//! A redis-server of a test's own.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// When the server writes its append-only file to the disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fsync {
    /// Once a second: a crash of the host forgets the last one.
    EverySecond,
    /// Before each answer.
    Always,
}

/// A redis-server with an append-only file, on a socket in a directory and perhaps on a port of the
/// loopback. It is killed when dropped.
#[derive(Debug)]
pub struct RedisServer {
    directory: tempfile::TempDir,
    fsync: Fsync,
    /// More of its command line.
    options: Vec<String>,
    process: Option<Child>,
}

impl RedisServer {
    /// Starts a server with nothing in it.
    pub fn start(fsync: Fsync) -> Self {
        Self::start_with(fsync, &["--port", "0"])
    }

    /// Starts a server with nothing in it and these options.
    pub fn start_with(fsync: Fsync, options: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let mut server = Self {
            directory,
            fsync,
            options: options.iter().map(|&option| option.to_owned()).collect(),
            process: None,
        };
        server.restart();
        server
    }

    /// Returns a port of the loopback that nobody listens at.
    pub fn free_port() -> u16 {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
        listener.local_addr().expect("it is bound").port()
    }

    /// Returns the address of one of its 256 databases, which share nothing but the server.
    pub fn url(&self, database: usize) -> String {
        format!("redis+unix://{}?db={database}", self.socket().display())
    }

    /// Returns where it listens.
    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("redis.sock")
    }

    /// Kills the server as the kernel would, with SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("it runs");
            process.wait().expect("it ends");
        }
    }

    /// Starts the server with what it had written, and returns when it answers.
    pub fn restart(&mut self) {
        self.kill();
        let path = self.directory.path();
        let mut process = command(path, self.fsync)
            .args(&self.options)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server is installed (.ci/test installs it)");
        let output = process.stdout.take().expect("it is piped");
        let mut lines = BufReader::new(output).lines();
        let ready = lines
            .by_ref()
            .map_while(Result::ok)
            .any(|line| line.contains("eady to accept connections"));
        assert!(ready, "redis-server ended before it was ready");
        // It goes on logging; nobody may leave it with a full pipe.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        self.process = Some(process);
    }

    /// Stops the server from doing anything, or lets it go on.
    #[cfg(unix)]
    pub fn pause(&self, paused: bool) {
        let process = self.process.as_ref().expect("it runs");
        let signal = if paused { "-STOP" } else { "-CONT" };
        let sent = Command::new("kill")
            .args([signal, &process.id().to_string()])
            .status();
        assert!(sent.expect("kill exists").success());
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

fn command(directory: &Path, fsync: Fsync) -> Command {
    let fsync = match fsync {
        Fsync::EverySecond => "everysec",
        Fsync::Always => "always",
    };
    let mut command = Command::new("redis-server");
    command
        .args(["--bind", "127.0.0.1", "--unixsocket", "redis.sock"])
        .args(["--appendonly", "yes", "--appendfsync", fsync])
        .args(["--save", "", "--databases", "256", "--daemonize", "no"])
        .current_dir(directory);
    command
}

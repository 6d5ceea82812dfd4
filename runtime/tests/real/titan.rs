//! `titan up` as a process.

use crate::process::Process;
use crate::server::PATIENCE;
use crate::{curl, socks};
use serde_json::Value;
use std::ffi::OsStr;
use std::io::{self, BufRead as _, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use tempfile::TempDir;
use titan_runtime::telemetry::FILTER_VARIABLE;

/// A running `titan up` with a data directory of its own.
#[derive(Debug)]
pub(crate) struct Titan {
    pub(crate) process: Process,
    pub(crate) proxy: SocketAddr,
    _data: TempDir,
}

impl Titan {
    /// Brings it up with edges that may reach loopback.
    pub(crate) fn up() -> Self {
        let allowed = ["--allow-target", "127.0.0.0/8", "--allow-target", "::1/128"];
        Self::up_with(&allowed)
    }

    pub(crate) fn up_with(arguments: &[&str]) -> Self {
        Self::up_changed(arguments, |_| {})
    }

    /// Brings it up by a command that is changed at last.
    pub(crate) fn up_changed(arguments: &[&str], change: impl FnOnce(&mut Command)) -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut command = daemon(env!("CARGO_BIN_EXE_titan"));
        command.args(["up", "--json", "--data"]).arg(data.path());
        command.arg(format!("--user={}:{}", socks::USER.0, socks::USER.1));
        for address in ["--listen", "--manager", "--tunnels"] {
            command.args([address, "127.0.0.1:0"]);
        }
        command.args(arguments);
        change(&mut command);
        let mut process = Process::spawn(command.stdout(Stdio::piped()));
        let output = process.child().stdout.take().unwrap();
        let (tell, ready) = mpsc::channel();
        thread::spawn(move || {
            let mut line = String::new();
            let read = BufReader::new(output).read_line(&mut line);
            // The test may have given up.
            let _ = tell.send(read.map(|_| line));
        });
        let line = ready.recv_timeout(PATIENCE).unwrap().unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap();
        Self {
            process,
            proxy: ready["proxy"].as_str().unwrap().parse().unwrap(),
            _data: data,
        }
    }

    pub(crate) fn curl(&self) -> Command {
        curl::curl(self.proxy)
    }

    pub(crate) fn connect(&self, target: SocketAddr) -> io::Result<TcpStream> {
        socks::connect(self.proxy, target)
    }
}

/// Returns the command of a daemon, which says little unless asked.
pub(crate) fn daemon(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    if std::env::var_os(FILTER_VARIABLE).is_none() {
        command.env(FILTER_VARIABLE, "error");
    }
    command
}

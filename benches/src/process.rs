//! Child processes that never outlive the bench and explain their failures.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::failure::{Context as _, Failure, Result};
use crate::load::{LoadArgs, PASSWORD_VARIABLE, Values};

/// Last lines of a child's output that are shown when it fails.
const TAIL_COUNT: usize = 30;
/// How long a child of this program may take to listen.
const START_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a load may take beyond its window; the memory loads open thousands of sessions.
const LOAD_TIMEOUT: Duration = Duration::from_secs(180);

/// How often a killed child is asked whether it has ended: for a second in all, should the kernel hold it.
const END_POLL_COUNT: usize = 500;
const END_POLL_INTERVAL: Duration = Duration::from_millis(2);

/// A running child. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    pid: u32,
    lines: mpsc::UnboundedReceiver<String>,
    tail: Tail,
    /// Children of this program end when it closes: they go even if the bench itself is killed.
    _stdin: Option<ChildStdin>,
}

impl Process {
    /// Starts a program whose output is a log.
    pub(crate) fn daemon(name: &str, command: Command) -> Result<Self> {
        Self::start(name, command, Stdio::null())
    }

    /// Starts a hidden subcommand of this program.
    pub(crate) fn own(name: &str, arguments: &[String], password: Option<&str>) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(arguments);
        if let Some(password) = password {
            command.env(PASSWORD_VARIABLE, password);
        }
        Self::start(name, command, Stdio::piped())
    }

    /// Starts the load described by `args`.
    pub(crate) fn load(args: &LoadArgs, password: Option<&str>) -> Result<Self> {
        Self::own("load", &args.arguments(), password)
    }

    fn start(name: &str, mut command: Command, stdin: Stdio) -> Result<Self> {
        let mut child = command
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context(format_args!("cannot start {name}"))?;
        let tail = Tail::default();
        let (sender, lines) = mpsc::unbounded_channel();
        if let Some(stderr) = child.stderr.take() {
            let tail = tail.clone();
            tokio::spawn(drain(stderr, move |line| tail.push(line)));
        }
        if let Some(stdout) = child.stdout.take() {
            let tail = tail.clone();
            tokio::spawn(drain(stdout, move |line| {
                tail.push(line.clone());
                let _ = sender.send(line); // Nobody reads a daemon's lines.
            }));
        }
        let pid = child
            .id()
            .ok_or_else(|| Failure::new(format!("{name} ended at once")))?;
        let _stdin = child.stdin.take();
        Ok(Self {
            name: name.to_owned(),
            child,
            pid,
            lines,
            tail,
            _stdin,
        })
    }

    /// The process id.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// The next line of standard output.
    pub(crate) async fn line(&mut self, within: Duration) -> Result<String> {
        match timeout(within, self.lines.recv()).await {
            Ok(Some(line)) => Ok(line),
            Ok(None) => {
                let _ = self.child.wait().await;
                Err(self.failure("ended"))
            }
            Err(_) => Err(self.failure(&format!("said nothing for {} s", within.as_secs()))),
        }
    }

    /// The addresses that a child of this program prints once it listens.
    pub(crate) async fn addresses<const N: usize>(&mut self) -> Result<[SocketAddr; N]> {
        let line = self.line(START_TIMEOUT).await?;
        let addresses = line
            .split(' ')
            .map(str::parse)
            .collect::<Result<Vec<SocketAddr>, _>>();
        addresses
            .ok()
            .and_then(|list| list.try_into().ok())
            .ok_or_else(|| self.failure("printed no addresses"))
    }

    /// The values that a load prints after its window.
    pub(crate) async fn values(&mut self, window: Duration) -> Result<Values> {
        let line = self.line(window + LOAD_TIMEOUT).await?;
        serde_json::from_str(&line).context("cannot read the load's values")
    }

    /// Fails when the process has ended.
    pub(crate) fn check(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(self.failure(&format!("ended with {status}"))),
        }
    }

    /// The end of the process's output under its name, or nothing.
    pub(crate) fn log(&self) -> String {
        match self.tail.indented() {
            lines if lines.is_empty() => lines,
            lines => format!("\n{} said last:{lines}", self.name),
        }
    }

    /// Says what is wrong with this process, with the end of its output.
    pub(crate) fn failure(&self, what: &str) -> Failure {
        Failure::new(format!("{} {what}{}", self.name, self.tail.indented()))
    }
}

impl Drop for Process {
    /// Waits for the end, which a killed process reaches at once: its ports and files are free then, and no dead
    /// entry stays in the process table of a container that has no init.
    fn drop(&mut self) {
        let _ = self.child.start_kill(); // It may have ended already.
        for _ in 0..END_POLL_COUNT {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(END_POLL_INTERVAL);
        }
    }
}

async fn drain(output: impl AsyncRead + Unpin, mut taker: impl FnMut(String)) {
    let mut lines = BufReader::new(output).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        taker(line);
    }
}

#[derive(Clone, Debug, Default)]
struct Tail(Arc<Mutex<VecDeque<String>>>);

impl Tail {
    fn push(&self, line: String) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == TAIL_COUNT {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    fn indented(&self) -> String {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().map(|line| format!("\n    {line}")).collect()
    }
}

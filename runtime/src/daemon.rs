//! What every daemon's `main` needs: a thread with a runtime, and signals.

use core::future::Future;
use std::io;
use std::process::ExitCode;
use std::thread::{self, JoinHandle};
use tokio::runtime::Builder;
use tokio::sync::watch;
use tokio::task::LocalSet;

/// Runs a future, and the local tasks it starts, on this thread to its end.
///
/// # Errors
/// Fails if the runtime cannot be set up.
pub fn block_on<F: Future>(future: F) -> io::Result<F::Output> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    Ok(LocalSet::new().block_on(&runtime, future))
}

/// Runs a future on a thread of its own; it is made there, so it need not be `Send`.
///
/// # Errors
/// Fails if the thread cannot be started.
pub fn spawn<F: Future<Output: Send + 'static>>(
    name: &str,
    make: impl FnOnce() -> F + Send + 'static,
) -> io::Result<JoinHandle<io::Result<F::Output>>> {
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || block_on(make()))
}

/// How a daemon is to end.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Stop {
    /// Not at all.
    #[default]
    No,
    /// Take on nothing new, and end when what runs is over.
    Drain,
    /// At once.
    Now,
}

/// What tells a daemon to end. The sender's end is as good as [`Stop::Now`].
pub type Stopping = watch::Receiver<Stop>;

/// Waits until a daemon is to end in this way or a faster one.
pub async fn told(stopping: &mut Stopping, how: Stop) {
    // An error: the sender is gone.
    let _ = stopping.wait_for(|told| *told >= how).await;
}

/// Waits until a daemon that does not drain is to end.
pub async fn stopped(mut stopping: Stopping) {
    told(&mut stopping, Stop::Drain).await;
}

/// Runs a daemon that drains at the first SIGTERM and ends at once at the second, or at SIGINT
/// (elsewhere Ctrl-C).
pub async fn until_signalled<F: Future>(run: impl FnOnce(Stopping) -> F) -> F::Output {
    let (stop, stopping) = watch::channel(Stop::No);
    let signals = async {
        tokio::select! {
            biased;
            () = ctrl_c() => {}
            () = async {
                let mut terminations = Terminations::new();
                terminations.next().await;
                stop.send_replace(Stop::Drain);
                terminations.next().await;
            } => {}
        }
        stop.send_replace(Stop::Now);
        core::future::pending().await
    };
    tokio::select! {
        biased;
        // Listening first: what comes while the daemon starts counts.
        outcome = signals => outcome,
        outcome = run(stopping) => outcome,
    }
}

/// Waits for SIGINT or SIGTERM; elsewhere for Ctrl-C.
pub async fn interrupted() {
    tokio::select! {
        biased;
        () = ctrl_c() => {}
        () = async { Terminations::new().next().await } => {}
    }
}

async fn ctrl_c() {
    // Without signals the process can only be killed.
    if tokio::signal::ctrl_c().await.is_err() {
        core::future::pending::<()>().await;
    }
}

/// SIGTERM, again and again: one that comes between two waits counts. Elsewhere it never comes.
struct Terminations {
    #[cfg(unix)]
    signal: Option<tokio::signal::unix::Signal>,
}

impl Terminations {
    fn new() -> Self {
        Self {
            #[cfg(unix)]
            signal: {
                use tokio::signal::unix::{SignalKind, signal};
                signal(SignalKind::terminate()).ok()
            },
        }
    }

    async fn next(&mut self) {
        #[cfg(unix)]
        if let Some(signal) = &mut self.signal {
            signal.recv().await;
            return;
        }
        core::future::pending::<()>().await;
    }
}

/// Ends a process: success, or the error on standard error.
#[must_use]
pub fn exit(name: &str, outcome: Result<(), Box<dyn core::error::Error>>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut message = format!("{name}: {error}");
            let mut source = error.source();
            while let Some(cause) = source {
                if !message.contains(&cause.to_string()) {
                    message.push_str(&format!(": {cause}"));
                }
                source = cause.source();
            }
            report(&message);
            ExitCode::FAILURE
        }
    }
}

#[allow(
    clippy::print_stderr,
    reason = "the last word of a process goes to its standard error"
)]
fn report(message: &str) {
    eprintln!("{message}");
}

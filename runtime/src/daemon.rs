//! What every daemon's `main` needs: a thread with a runtime, signals, and an end.

use crate::telemetry;
use core::error::Error;
use core::future::Future;
use std::io::{self, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::ExitCode;
use std::thread::{self, JoinHandle};
use tokio::runtime::Builder;
use tokio::sync::watch;
use tokio::task::LocalSet;

/// The exit code of a process that panicked, as the standard library has it.
pub(crate) const PANICKED: u8 = 101;

/// Runs a future, and the local tasks it starts, on this thread to its end. It does not wait for work
/// that others do for it, such as a name that is looked up.
///
/// # Errors
/// Fails if the runtime cannot be set up.
pub fn block_on<F: Future>(future: F) -> io::Result<F::Output> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let run = || LocalSet::new().block_on(&runtime, future);
    let outcome = catch_unwind(AssertUnwindSafe(run));
    // Dropped, it would wait for its threads: for a name server that does not answer, say.
    runtime.shutdown_background();
    Ok(outcome.unwrap_or_else(|panic| resume_unwind(panic)))
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

/// Does the work of a thread without which the process is none: a panic that gets out of it ends the process.
#[cfg(feature = "store")]
pub(crate) fn vital(work: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(work)).is_err() {
        // The panic has been logged.
        telemetry::flush();
        std::process::exit(i32::from(PANICKED));
    }
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
/// (elsewhere Ctrl-C). SIGHUP does nothing.
pub async fn until_signalled<F: Future>(run: impl FnOnce(Stopping) -> F) -> F::Output {
    let (stop, stopping) = watch::channel(Stop::No);
    let signals = async {
        let mut terminations = Signals::new(Kind::Terminate);
        tokio::select! {
            biased;
            () = ctrl_c() => {}
            () = async {
                terminations.next().await;
                stop.send_replace(Stop::Drain);
                terminations.next().await;
            } => {}
            () = ignore_hangups() => {}
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

/// Waits for SIGINT or SIGTERM; elsewhere for Ctrl-C. SIGHUP does nothing from here on.
pub async fn interrupted() {
    let mut terminations = Signals::new(Kind::Terminate);
    tokio::select! {
        biased;
        () = ctrl_c() => {}
        () = terminations.next() => {}
        () = ignore_hangups() => {}
    }
}

async fn ctrl_c() {
    // Without signals the process can only be killed.
    if tokio::signal::ctrl_c().await.is_err() {
        core::future::pending::<()>().await;
    }
}

/// Keeps a closed terminal, or a manager of services that asks for a reload, from ending the process.
async fn ignore_hangups() {
    let mut hangups = Signals::new(Kind::HangUp);
    loop {
        hangups.next().await;
        tracing::info!("SIGHUP is ignored: settings, keys and certificates are read at start only");
    }
}

/// The signals that a daemon hears.
#[derive(Clone, Copy)]
enum Kind {
    Terminate,
    HangUp,
}

/// A signal, again and again: one that comes between two waits counts. Elsewhere it never comes.
struct Signals {
    #[cfg(unix)]
    signal: Option<tokio::signal::unix::Signal>,
}

impl Signals {
    #[cfg_attr(not(unix), allow(unused_variables, reason = "no such signals there"))]
    fn new(kind: Kind) -> Self {
        Self {
            #[cfg(unix)]
            signal: {
                use tokio::signal::unix::{SignalKind, signal};
                signal(match kind {
                    Kind::Terminate => SignalKind::terminate(),
                    Kind::HangUp => SignalKind::hangup(),
                })
                .ok()
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

/// Prints a text to standard output. A reader that has seen enough, as `head` has, is no error.
///
/// # Errors
/// Fails if it cannot be written for another reason.
pub fn print(text: &str) -> io::Result<()> {
    forgive_reader(io::stdout().write_all(text.as_bytes()))
}

/// Takes the end of a pipe's reader for success.
///
/// # Errors
/// Passes on every other error.
pub fn forgive_reader(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Runs a process and ends it: success, or the error on standard error. `code` may name the exit code
/// of an error.
pub fn main(
    name: &str,
    run: impl FnOnce() -> Result<(), Box<dyn Error>>,
    code: impl FnOnce(&(dyn Error + 'static)) -> Option<u8>,
) -> ExitCode {
    // A panic has been logged; what is logged is to be written.
    let exit = match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => {
            telemetry::say_last(&format!("{name}: {}", in_words(&*error)));
            code(&*error).map_or(ExitCode::FAILURE, ExitCode::from)
        }
        Err(_) => ExitCode::from(PANICKED),
    };
    telemetry::flush();
    exit
}

/// Returns an error and what caused it, unless it says that itself.
fn in_words(error: &dyn Error) -> String {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        if !message.contains(&cause.to_string()) {
            message.push_str(&format!(": {cause}"));
        }
        source = cause.source();
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn an_end_waits_for_no_work_that_goes_on() {
        let (release, held) = mpsc::channel::<()>();
        let (begun, working) = tokio::sync::oneshot::channel();
        let run = async {
            tokio::task::spawn_blocking(move || {
                begun.send(()).unwrap();
                // As a name server that does not answer.
                let _ = held.recv();
            });
            working.await.unwrap();
            7
        };
        assert_eq!(block_on(run).unwrap(), 7);
        drop(release);
    }

    #[cfg(feature = "store")]
    #[test]
    fn a_process_ends_with_a_thread_that_it_needs() {
        const VARIABLE: &str = "TITAN_TEST_VITAL";
        if std::env::var_os(VARIABLE).is_some() {
            let work = || vital(|| panic!("on purpose: a thread that is needed"));
            let _ = thread::spawn(work).join();
            unreachable!("the process goes on");
        }
        let name = "daemon::tests::a_process_ends_with_a_thread_that_it_needs";
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(VARIABLE, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!said.contains("the process goes on"), "{said}");
        assert_eq!(output.status.code(), Some(i32::from(PANICKED)), "{said}");
    }

    #[test]
    fn an_error_and_what_caused_it_are_told_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("outer")]
        struct Outer(#[source] io::Error);
        let error = Outer(io::Error::other("inner"));
        assert_eq!(in_words(&error), "outer: inner");
        assert_eq!(in_words(&io::Error::other("alone")), "alone");
    }
}

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

/// Waits for SIGINT or SIGTERM; elsewhere for Ctrl-C.
pub async fn interrupted() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                biased;
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    // Without signals the process can only be killed.
    if tokio::signal::ctrl_c().await.is_err() {
        core::future::pending::<()>().await;
    }
}

/// Waits until the other end says stop or is gone.
pub async fn stopped(mut stop: watch::Receiver<bool>) {
    // The sender's end is as good as its word.
    let _ = stop.wait_for(|stop| *stop).await;
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

//! Logs, and the tags by which operators find things in them (requirement W19).
//!
//! No log line matters to what is carried: it waits for nobody, fails nobody, and none of a kind that
//! others can cause fills a disk.

mod bound;
mod format;
mod last;
mod notice;
mod rate;
mod writer;

pub use format::LogFormat;
pub use rate::NODE_EVENT;

use core::time::Duration;
use notice::Notice;
use std::io::{self, IsTerminal as _, Write};
use std::sync::OnceLock;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, fmt};
use writer::Lines;

/// The environment variable that says what is logged, as in `info,titan_runtime::store=debug`.
pub const FILTER_VARIABLE: &str = "TITAN_LOG";

/// Tags that start the message of an event, stable because scripts look for them.
pub mod tag {
    /// A node attached to a POP and can carry sessions.
    pub const NODE_ONLINE: &str = "[NODE_ONLINE]";
    /// A node is gone: its grace time is over, or another process took its place.
    pub const NODE_OFFLINE: &str = "[NODE_OFFLINE]";
    /// A node has lost its carrier and is waited for; one that does so often is chosen last.
    pub const NODE_UNSTABLE: &str = "[NODE_UNSTABLE]";
    /// Two edges run with one id: one that another has replaced came again and was turned away.
    pub const NODE_DUPLICATE: &str = "[NODE_DUPLICATE]";
    /// A target refused, hung, did not resolve or is forbidden.
    pub const DIAG: &str = "[DIAG]";
    /// A session stopped reading because its carrier took nothing for a second; once per episode
    /// (requirement W14).
    pub const WRITE_CHAN_FULL: &str = "writeChan full";
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter cannot be understood.
    #[error("{FILTER_VARIABLE}: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// The process already logs elsewhere.
    #[error(transparent)]
    AlreadySet(#[from] tracing_subscriber::util::TryInitError),
    /// The thread that writes cannot be started.
    #[error("the thread of the log: {0}")]
    Thread(#[source] io::Error),
}

/// How long the end of a process waits for its log to be written.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// The log of this process.
static LOG: OnceLock<Lines> = OnceLock::new();

/// Sends the events of this process to standard error: those that `TITAN_LOG` selects or, without
/// it, `info` and above, and of each kind as many as its rate allows. Panics are logged there too.
///
/// A process that ends calls [`flush`].
///
/// # Errors
/// Fails if `TITAN_LOG` cannot be understood, logging was set up before, or no thread can be started.
pub fn init(format: LogFormat) -> Result<(), TelemetryError> {
    let filter = std::env::var(FILTER_VARIABLE)
        .ok()
        .filter(|text| !text.is_empty());
    let filter = EnvFilter::builder().parse(filter.as_deref().unwrap_or("info"))?;
    let lines = Lines::start(format, standard_error()).map_err(TelemetryError::Thread)?;
    let events = fmt::layer()
        .with_ansi(io::stderr().is_terminal())
        .with_writer(lines.clone())
        // It would say so on standard error, and panic where that fails.
        .log_internal_errors(false);
    let registry = tracing_subscriber::registry()
        .with(filter)
        .with(bound::Bound(lines.clone()));
    match format {
        LogFormat::Compact => registry.with(events.compact()).try_init()?,
        LogFormat::Json => registry.with(events.json()).try_init()?,
    }
    last::log_panics(lines.clone());
    // Set only here, and who came first has made the above fail.
    let _ = LOG.set(lines);
    Ok(())
}

/// Waits until what was logged is written, but not for long.
pub fn flush() {
    if let Some(lines) = LOG.get() {
        lines.flush(FLUSH_TIMEOUT);
    }
}

/// Says the last word of a process on standard error: through its log, if it has one.
pub fn say_last(message: &str) {
    match LOG.get() {
        Some(lines) => {
            lines.note(&Notice::error("titan_runtime", message));
            lines.flush(FLUSH_TIMEOUT);
        }
        // Nobody may be reading.
        None => drop(writeln!(io::stderr(), "{message}")),
    }
}

/// Returns standard error without the lock that whoever uses it otherwise would wait for.
fn standard_error() -> Box<dyn Write + Send> {
    #[cfg(unix)]
    {
        use std::os::fd::AsFd as _;
        if let Ok(descriptor) = io::stderr().as_fd().try_clone_to_owned() {
            return Box::new(std::fs::File::from(descriptor));
        }
    }
    Box::new(io::stderr())
}

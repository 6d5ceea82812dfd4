//! Logs, and the tags by which operators find things in them (requirement W19).

use std::io::IsTerminal as _;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt as _;

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
    /// A target refused, hung, did not resolve or is forbidden.
    pub const DIAG: &str = "[DIAG]";
    /// A session stopped reading because its carrier took nothing for a second; once per episode
    /// (requirement W14).
    pub const WRITE_CHAN_FULL: &str = "writeChan full";
}

/// How events are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One short line each, for people.
    #[default]
    Compact,
    /// One JSON object each, for machines.
    Json,
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
}

/// Sends the events of this process to standard error: those that `TITAN_LOG` selects or, without
/// it, `info` and above.
///
/// # Errors
/// Fails if `TITAN_LOG` cannot be understood or logging was set up before.
pub fn init(format: LogFormat) -> Result<(), TelemetryError> {
    let filter = std::env::var(FILTER_VARIABLE)
        .ok()
        .filter(|text| !text.is_empty());
    let filter = EnvFilter::builder().parse(filter.as_deref().unwrap_or("info"))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Compact => builder.compact().finish().try_init()?,
        LogFormat::Json => builder.json().finish().try_init()?,
    }
    Ok(())
}

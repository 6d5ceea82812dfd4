//! The two forms of a log.

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

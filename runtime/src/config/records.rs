//! What a POP records of sessions.

use super::ConfigError;
use super::values::{check_min, duration};
use core::time::Duration;
use serde::Deserialize;
use std::path::PathBuf;

/// What a POP records of sessions, and how much of it is kept (requirement B14).
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RecordsConfig {
    /// Whether the sessions of users are recorded that are not set otherwise.
    pub enabled: bool,
    /// The directory of the files; without it `records-ID` in the POP's `data`.
    pub directory: Option<PathBuf>,
    /// How many bytes all files may have together.
    pub bytes_max: u64,
    /// How old a record gets.
    #[serde(deserialize_with = "duration")]
    pub age_max: Duration,
}

impl RecordsConfig {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        // A file has a sixteenth of it, and a line some hundred bytes.
        check_min("records.bytes_max", self.bytes_max, 1 << 20)?;
        check_min("records.age_max", self.age_max.as_secs(), 3600)
    }
}

impl Default for RecordsConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            directory: None,
            bytes_max: 1 << 30,
            age_max: Duration::from_secs(30 * 86_400),
        }
    }
}

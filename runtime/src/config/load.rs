//! Files, environment and flags become one configuration.

use config::{Config, Environment, File, FileFormat};
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// What every variable of ours starts with.
const PREFIX: &str = "TITAN";
const SEPARATOR: &str = "__";

/// Where a configuration is read from.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// The TOML file.
    pub file: Option<PathBuf>,
    /// The environment; variables that do not start with `TITAN__` are ignored.
    pub environment: HashMap<String, String>,
    /// Flags, by key.
    pub flags: Vec<(&'static str, String)>,
}

/// Why a configuration cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read or is no TOML, a key is unknown, or a value has the wrong form.
    #[error("{0}")]
    Unreadable(String),
    /// A value is missing or makes no sense.
    #[error("`{key}` {problem}")]
    Invalid {
        /// The key.
        key: &'static str,
        /// What is wrong with it.
        problem: String,
    },
}

impl Source {
    /// Reads the environment of this process beside a file and flags.
    #[must_use]
    pub fn of_process(file: Option<PathBuf>, flags: Vec<(&'static str, String)>) -> Self {
        // Values that are no text cannot be ours; keys of ours are plain ASCII.
        let text = |(key, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((key.into_string().ok()?, value.into_string().ok()?))
        };
        Self {
            file,
            environment: std::env::vars_os().filter_map(text).collect(),
            flags,
        }
    }

    /// Reads a configuration; the keys in `secrets` may not be in the file.
    pub(super) fn load<T: DeserializeOwned>(
        self,
        secrets: &[&'static str],
    ) -> Result<T, ConfigError> {
        let file = self
            .file
            .as_deref()
            .map(|path| read_file(path, secrets))
            .transpose()?;
        let environment = Environment::with_prefix(PREFIX)
            .prefix_separator(SEPARATOR)
            .separator(SEPARATOR)
            .source(Some(self.environment));
        let mut builder = Config::builder();
        if let Some(file) = file {
            builder = builder.add_source(file);
        }
        builder = builder.add_source(environment);
        for (key, value) in self.flags {
            builder = builder.set_override(key, value).map_err(unreadable)?;
        }
        builder
            .build()
            .map_err(unreadable)?
            .try_deserialize()
            .map_err(|error| {
                ConfigError::Unreadable(format!(
                    "{error} (variables are written {PREFIX}{SEPARATOR}SECTION{SEPARATOR}KEY)"
                ))
            })
    }
}

impl ConfigError {
    pub(super) fn invalid(key: &'static str, problem: impl Into<String>) -> Self {
        Self::Invalid {
            key,
            problem: problem.into(),
        }
    }
}

fn read_file(path: &Path, secrets: &[&'static str]) -> Result<Config, ConfigError> {
    let file = Config::builder()
        .add_source(File::from(path).format(FileFormat::Toml))
        .build()
        .map_err(unreadable)?;
    for key in secrets {
        if file.get_string(key).is_ok() {
            return Err(ConfigError::invalid(
                key,
                format!(
                    "is a secret and may not be in {}: name a file with `{key}_file`, or set \
                     {PREFIX}{SEPARATOR}{}",
                    path.display(),
                    key.to_uppercase()
                ),
            ));
        }
    }
    if file
        .get_string("store")
        .is_ok_and(|address| super::store::has_credentials(&address))
    {
        return Err(ConfigError::invalid(
            "store",
            format!(
                "holds a password, which may not be in {}: name a file with `store_file`, or set \
                 {PREFIX}{SEPARATOR}STORE",
                path.display()
            ),
        ));
    }
    Ok(file)
}

fn unreadable(error: config::ConfigError) -> ConfigError {
    ConfigError::Unreadable(error.to_string())
}

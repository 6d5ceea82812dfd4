//! Files, environment and flags become one configuration.

use super::error::ConfigError;
use super::fields;
use config::{Config, Environment, File, FileFormat};
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// What every variable of ours starts with.
const PREFIX: &str = "TITAN";
const SEPARATOR: &str = "__";
const PREFIX_OF_KEYS: &str = "TITAN__";

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
        mut self,
        secrets: &[&'static str],
    ) -> Result<T, ConfigError> {
        self.environment = own_variables::<T>(self.environment)?;
        let file = match &self.file {
            Some(path) => Some(ConfigFile::read(path, secrets)?),
            None => None,
        };
        let mut builder = Config::builder();
        if let Some(file) = &file {
            builder = builder.add_source(file.config.clone());
        }
        builder = builder.add_source(variables(self.environment.clone()));
        for (key, value) in &self.flags {
            builder = builder
                .set_override(*key, value.clone())
                .map_err(unreadable)?;
        }
        let config = builder.build().map_err(unreadable)?;
        config
            .try_deserialize::<T>()
            .map_err(|error| self.explain::<T>(file.as_ref(), &error.to_string()))
    }

    /// Says where an error is, by reading each source without the others: none of them has to be
    /// complete.
    fn explain<T: DeserializeOwned>(&self, file: Option<&ConfigFile>, error: &str) -> ConfigError {
        if let Some(file) = file
            && let Some(problem) = file.problem::<T>()
        {
            return ConfigError::Unreadable(problem);
        }
        let fails = |config: Result<Config, config::ConfigError>| {
            let read = config.and_then(Config::try_deserialize::<T>);
            read.is_err_and(|alone| alone.to_string() == error)
        };
        let mut names: Vec<_> = self.environment.iter().collect();
        names.sort_unstable();
        for (name, value) in names {
            let alone = variables(HashMap::from([(name.clone(), value.clone())]));
            if fails(Config::builder().add_source(alone).build()) {
                return ConfigError::Unreadable(format!("{name}: {error}"));
            }
        }
        for (key, value) in &self.flags {
            let alone = Config::builder().set_override(*key, value.clone());
            if fails(alone.and_then(|builder| builder.build())) {
                let flag = key.replace('_', "-");
                return ConfigError::Unreadable(format!("--{flag}: {error}"));
            }
        }
        ConfigError::Unreadable(error.to_owned())
    }
}

/// Returns the variables that this configuration is read from. Those that only other programs of Titan
/// read are left to them: daemons are started from shells in which the operator's command is set up.
fn own_variables<T: DeserializeOwned>(
    environment: HashMap<String, String>,
) -> Result<HashMap<String, String>, ConfigError> {
    let own = fields::of::<T>();
    let mut kept = HashMap::new();
    for (name, value) in environment {
        let Some(key) = name.strip_prefix(PREFIX_OF_KEYS) else {
            continue;
        };
        let key = key.to_lowercase();
        let first = key.split(SEPARATOR).next().unwrap_or_default();
        if own.contains(&first) {
            kept.insert(name, value);
        } else if !fields::ALL.contains(&first) {
            return Err(ConfigError::Unreadable(format!(
                "the variable {name} sets no key: there is no `{first}` (variables are written \
                 TITAN__SECTION__KEY)"
            )));
        }
    }
    Ok(kept)
}

fn variables(environment: HashMap<String, String>) -> Environment {
    Environment::with_prefix(PREFIX)
        .prefix_separator(SEPARATOR)
        .separator(SEPARATOR)
        .source(Some(environment))
}

/// The configuration file, read.
struct ConfigFile {
    path: PathBuf,
    text: String,
    config: Config,
}

impl ConfigFile {
    fn read(path: &Path, secrets: &[&'static str]) -> Result<Self, ConfigError> {
        let unusable =
            |problem: String| ConfigError::Unreadable(format!("{}{problem}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|error| unusable(format!(": {error}")))?;
        if let Err(error) = toml::from_str::<toml::Table>(&text) {
            return Err(unusable(format!(
                ":{}: {}",
                line_of(&text, &error),
                error.message()
            )));
        }
        let config = Config::builder()
            .add_source(File::from_str(&text, FileFormat::Toml))
            .build()
            .map_err(unreadable)?;
        let file = Self {
            path: path.to_owned(),
            text,
            config,
        };
        file.check_secrets(secrets)?;
        Ok(file)
    }

    fn check_secrets(&self, secrets: &[&'static str]) -> Result<(), ConfigError> {
        for key in secrets {
            if self.config.get_string(key).is_ok() {
                return Err(ConfigError::invalid(
                    key,
                    format!(
                        "is a secret and may not be in {}: name a file with `{key}_file`, or set \
                         {PREFIX_OF_KEYS}{}",
                        self.path.display(),
                        key.to_uppercase()
                    ),
                ));
            }
        }
        let address = self.config.get_string("store");
        if address.is_ok_and(|address| super::store::has_credentials(&address)) {
            return Err(ConfigError::invalid(
                "store",
                format!(
                    "holds a password, which may not be in {}: name a file with `store_file`, or \
                     set {PREFIX_OF_KEYS}STORE",
                    self.path.display()
                ),
            ));
        }
        Ok(())
    }

    /// Returns what is wrong with the file by itself, and in which line.
    fn problem<T: DeserializeOwned>(&self) -> Option<String> {
        let error = self.config.clone().try_deserialize::<T>().err()?;
        let line = match toml::from_str::<T>(&self.text) {
            Err(place) => format!(":{}", line_of(&self.text, &place)),
            Ok(_) => String::new(),
        };
        Some(format!("{}{line}: {error}", self.path.display()))
    }
}

/// Returns the line of an error. The text there is not told: it may hold a secret.
fn line_of(text: &str, error: &toml::de::Error) -> usize {
    let start = error.span().map_or(0, |span| span.start.min(text.len()));
    let before = &text.as_bytes()[..start];
    1 + before.iter().filter(|byte| **byte == b'\n').count()
}

fn unreadable(error: config::ConfigError) -> ConfigError {
    ConfigError::Unreadable(error.to_string())
}

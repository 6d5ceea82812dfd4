//! The edge's configuration.

use super::values::{check_blocks, check_id, check_min, check_url, duration, list};
use super::{ConfigError, Source};
use crate::telemetry::LogFormat;
use crate::token::Secret;
use core::time::Duration;
use serde::Deserialize;
use std::path::PathBuf;

/// The configuration of `titan-edge`.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EdgeConfig {
    /// The node's id, unique among all nodes. Required.
    pub node_id: String,
    /// The manager's address, as in `https://manager.example:41004`. Required.
    pub manager: String,
    /// The PEM file of the CA that manager and POP are certified by. Required with TLS.
    pub ca: Option<PathBuf>,
    /// The file that holds the join secret.
    pub join_file: Option<PathBuf>,
    /// The join secret; from the environment only.
    pub join: Option<Secret>,
    /// Blocks of private and local addresses that may be reached all the same (requirement B8).
    #[serde(deserialize_with = "list")]
    pub allow_targets: Vec<String>,
    /// Blocks of addresses that may not be reached, allowed or not.
    #[serde(deserialize_with = "list")]
    pub deny_targets: Vec<String>,
    /// Lets manager and POP be reached without TLS.
    pub insecure: bool,
    /// How many bytes of traffic the process may hold; each of several `copies` has an equal part of it.
    pub memory_budget_bytes: u64,
    /// The most sessions at once.
    pub sessions_max: u32,
    /// How long running sessions may go on once the edge drains.
    #[serde(deserialize_with = "duration")]
    pub drain_timeout: Duration,
    /// How many edges to run in this process, for load tests; above 1 they are called `node_id-0`,
    /// `node_id-1` and so on.
    pub copies: u32,
    /// How logs are written.
    pub log_format: LogFormat,
    /// How many bytes of a client an edge takes before its dial is done, if not the usual; for
    /// simulations and benches, which show what early data is worth.
    #[serde(skip)]
    #[doc(hidden)]
    pub early_bytes: Option<u64>,
}

/// The command line of `titan-edge`.
#[derive(Clone, Debug, Default, clap::Parser)]
#[command(
    name = "titan-edge",
    version,
    about = "Connects to targets on behalf of a POP"
)]
pub struct EdgeArgs {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The node's id.
    #[arg(long, value_name = "ID")]
    pub node_id: Option<String>,
    /// The manager's address, as in `https://manager.example:41004`.
    #[arg(long, value_name = "URL")]
    pub manager: Option<String>,
    /// The PEM file of the CA that manager and POP are certified by.
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// The file that holds the join secret.
    #[arg(long, value_name = "FILE")]
    pub join_file: Option<PathBuf>,
    /// A block of private addresses that may be reached all the same; may be repeated.
    #[arg(long = "allow-target", value_name = "CIDR")]
    pub allow_targets: Vec<String>,
    /// Let manager and POP be reached without TLS.
    #[arg(long)]
    pub insecure: bool,
    /// Print an example configuration and end.
    #[arg(long)]
    pub print_example: bool,
}

impl EdgeConfig {
    /// A configuration file that says what there is to configure.
    pub const EXAMPLE: &'static str = include_str!("edge.toml");

    /// Reads and checks a configuration and, if it is in a file, the join secret.
    ///
    /// # Errors
    /// Says which key is unknown, missing or wrong, or why the join secret cannot be read.
    pub fn load(source: Source) -> Result<Self, ConfigError> {
        let mut config: Self = source.load(&["join"])?;
        config.validate()?;
        if let Some(path) = &config.join_file {
            let secret = Secret::load(path)
                .map_err(|error| ConfigError::invalid("join_file", error.to_string()))?;
            config.join = Some(secret);
        }
        Ok(config)
    }

    /// Checks what single values cannot say.
    ///
    /// # Errors
    /// Says which key is missing or wrong.
    pub fn validate(&self) -> Result<(), ConfigError> {
        check_id("node_id", &self.node_id)?;
        check_url("manager", &self.manager, ["https", "http"], self.insecure)?;
        if self.ca.is_none() && !self.insecure {
            return Err(ConfigError::invalid(
                "ca",
                "is required: the system's root certificates are not used",
            ));
        }
        match (&self.join_file, &self.join) {
            (None, None) => {
                return Err(ConfigError::invalid(
                    "join_file",
                    "is required, unless TITAN__JOIN holds the join secret",
                ));
            }
            (Some(_), Some(_)) => {
                return Err(ConfigError::invalid("join_file", "contradicts TITAN__JOIN"));
            }
            _ => {}
        }
        check_blocks("allow_targets", &self.allow_targets)?;
        check_blocks("deny_targets", &self.deny_targets)?;
        check_min("memory_budget_bytes", self.memory_budget_bytes, 4 << 20)?;
        check_min("copies", self.copies, 1)?;
        check_min("sessions_max", self.sessions_max, 1)
    }
}

impl Default for EdgeConfig {
    fn default() -> Self {
        Self {
            node_id: String::new(),
            manager: String::new(),
            ca: None,
            join_file: None,
            join: None,
            allow_targets: Vec::new(),
            deny_targets: Vec::new(),
            insecure: false,
            memory_budget_bytes: 256 << 20,
            sessions_max: 4_096,
            drain_timeout: Duration::from_secs(600),
            copies: 1,
            log_format: LogFormat::default(),
            early_bytes: None,
        }
    }
}

impl EdgeArgs {
    /// Returns where the configuration is read from.
    #[must_use]
    pub fn source(&self) -> Source {
        let path = |path: &PathBuf| path.display().to_string();
        let mut flags = Vec::new();
        flags.extend(self.node_id.clone().map(|id| ("node_id", id)));
        flags.extend(self.manager.clone().map(|url| ("manager", url)));
        flags.extend(self.ca.as_ref().map(|ca| ("ca", path(ca))));
        flags.extend(
            self.join_file
                .as_ref()
                .map(|file| ("join_file", path(file))),
        );
        if !self.allow_targets.is_empty() {
            flags.push(("allow_targets", self.allow_targets.join(",")));
        }
        flags.extend(self.insecure.then(|| ("insecure", "true".to_owned())));
        Source::of_process(self.config.clone(), flags)
    }
}

//! The manager's configuration.

use super::values::{check_blocks, check_id, check_min, check_url, duration, list};
use super::{ConfigError, Source, StoreAddress, TlsFiles, check_protection};
use crate::telemetry::LogFormat;
use core::time::Duration;
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// The configuration of `titan-manager`.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ManagerConfig {
    /// The directory of the store and the manager's secrets; created if missing.
    pub data: PathBuf,
    /// Which store the daemons share: the one in `data`, or a Redis server.
    pub store: StoreAddress,
    /// The file that holds what `store` would, so that it may hold a password.
    pub store_file: Option<PathBuf>,
    /// Where the REST API listens.
    pub listen: SocketAddr,
    /// The certificate of the REST API.
    pub tls: Option<TlsFiles>,
    /// Serves the REST API without TLS.
    pub insecure: bool,
    /// POPs beside those that register themselves; also overrides the URL they register.
    #[serde(deserialize_with = "list")]
    pub pops: Vec<StaticPop>,
    /// The POP that nodes are sent to when none is known to live.
    pub default_pop: Option<String>,
    /// The POP that nodes on the blacklist are sent to; without it they are refused.
    pub blacklist_pop: Option<String>,
    /// The proxies that are believed about whom they ask for: blocks of addresses.
    #[serde(deserialize_with = "list")]
    pub trusted_proxies: Vec<String>,
    /// The header in which they say it.
    pub proxy_header: ProxyHeader,
    /// How long a node token is good for. A node fetches another when two thirds of that are over, so for
    /// a third of it at least a node can do without the manager.
    #[serde(deserialize_with = "duration")]
    pub node_token_lifetime: Duration,
    /// The most connections at once. An address is left with half of them if it takes all it can.
    pub connections_max: u32,
    /// How logs are written.
    pub log_format: LogFormat,
}

/// A POP the manager is told about.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StaticPop {
    /// The POP's id.
    pub id: String,
    /// Where edges connect, as in `wss://pop.example:41005`.
    pub url: String,
}

/// The header in which a proxy says whom it asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProxyHeader {
    /// `X-Forwarded-For`.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// The command line of `titan-manager`.
#[derive(Clone, Debug, Default, clap::Parser)]
#[command(
    name = "titan-manager",
    version,
    about = "Keeps users and nodes, and tells edges where to connect"
)]
pub struct ManagerArgs {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The directory of the store and the manager's secrets.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Where the REST API listens.
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
    /// Serve without TLS.
    #[arg(long)]
    pub insecure: bool,
    /// Print an example configuration and end.
    #[arg(long)]
    pub print_example: bool,
}

impl ManagerConfig {
    /// A configuration file that says what there is to configure.
    pub const EXAMPLE: &'static str = include_str!("manager.toml");

    /// Reads and checks a configuration.
    ///
    /// # Errors
    /// Says which key is unknown, missing or wrong.
    pub fn load(source: Source) -> Result<Self, ConfigError> {
        let mut config: Self = source.load(&[])?;
        config.validate()?;
        config.store = config.store.choose(config.store_file.as_deref())?;
        config.store_file = None;
        Ok(config)
    }

    /// Checks what single values cannot say.
    ///
    /// # Errors
    /// Says which key is missing or wrong.
    pub fn validate(&self) -> Result<(), ConfigError> {
        check_protection(self.tls.as_ref(), self.insecure)?;
        for (index, pop) in self.pops.iter().enumerate() {
            check_id("pops.id", &pop.id)?;
            check_url("pops.url", &pop.url, ["wss", "ws"], true)?;
            if self.pops[..index].iter().any(|other| other.id == pop.id) {
                return Err(ConfigError::invalid(
                    "pops",
                    format!("names `{}` twice", pop.id),
                ));
            }
        }
        if let Some(id) = &self.default_pop {
            check_id("default_pop", id)?;
            if self.pops.iter().all(|pop| pop.id != *id) {
                return Err(ConfigError::invalid(
                    "default_pop",
                    "must name one of `pops`",
                ));
            }
        }
        if let Some(id) = &self.blacklist_pop {
            check_id("blacklist_pop", id)?;
        }
        check_blocks("trusted_proxies", &self.trusted_proxies)?;
        check_min("connections_max", self.connections_max, 8)?;
        check_min(
            "node_token_lifetime",
            self.node_token_lifetime.as_secs(),
            60,
        )
    }
}

impl Default for ManagerConfig {
    fn default() -> Self {
        Self {
            data: "/var/lib/titan".into(),
            store: StoreAddress::default(),
            store_file: None,
            listen: ([127, 0, 0, 1], 41_004).into(),
            tls: None,
            insecure: false,
            pops: Vec::new(),
            default_pop: None,
            blacklist_pop: None,
            trusted_proxies: Vec::new(),
            proxy_header: ProxyHeader::default(),
            node_token_lifetime: Duration::from_secs(24 * 3_600),
            connections_max: 1_024,
            log_format: LogFormat::default(),
        }
    }
}

impl FromStr for StaticPop {
    type Err = &'static str;

    /// Reads `id=url`, the form for environment variables.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (id, url) = text.split_once('=').ok_or("a POP is written id=url")?;
        Ok(Self {
            id: id.to_owned(),
            url: url.to_owned(),
        })
    }
}

impl ManagerArgs {
    /// Returns where the configuration is read from.
    #[must_use]
    pub fn source(&self) -> Source {
        let mut flags = Vec::new();
        flags.extend(
            self.data
                .as_ref()
                .map(|data| ("data", data.display().to_string())),
        );
        flags.extend(self.listen.map(|listen| ("listen", listen.to_string())));
        flags.extend(self.insecure.then(|| ("insecure", "true".to_owned())));
        Source::of_process(self.config.clone(), flags)
    }
}

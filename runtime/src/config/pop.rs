//! The POP's configuration.

use super::values::{check_id, check_min, check_url, duration, list};
use super::{ConfigError, RecordsConfig, Source, StoreAddress, TlsFiles, check_protection};
use crate::telemetry::LogFormat;
use core::time::Duration;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::net::{AddrParseError, IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

/// The most listeners for applications.
pub const LISTENERS_MAX: usize = 64;

/// Where applications connect if nothing else is configured.
const LISTEN_DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1_080);

/// Where applications connect.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListenerConfig {
    /// The address.
    pub at: SocketAddr,
}

/// Reads an address: all that an environment variable can say of a listener.
impl FromStr for ListenerConfig {
    type Err = AddrParseError;

    fn from_str(text: &str) -> Result<Self, AddrParseError> {
        text.parse().map(|at| Self { at })
    }
}

/// The configuration of `titan-pop`.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PopConfig {
    /// The POP's id, unique among all POPs. Required.
    pub id: String,
    /// The directory of the store; on the manager's host, the manager's.
    pub data: PathBuf,
    /// Which store the daemons share: the one in `data`, or a Redis server.
    pub store: StoreAddress,
    /// The file that holds what `store` would, so that it may hold a password.
    pub store_file: Option<PathBuf>,
    /// Where applications connect, at most [`LISTENERS_MAX`] of them; see [`Self::client_listeners`].
    #[serde(deserialize_with = "list")]
    pub listeners: Vec<ListenerConfig>,
    /// Short for a single one of `listeners`.
    pub listen_socks: Option<SocketAddr>,
    /// Where edges connect.
    pub listen_tunnels: SocketAddr,
    /// Where edges reach `listen_tunnels`, as in `wss://pop.example:41005`. Required.
    pub public_url: String,
    /// Where edges reach this very process, behind balancers too; without it `public_url`.
    pub resume_url: Option<String>,
    /// The certificate for edges.
    pub tls: Option<TlsFiles>,
    /// Serves edges without TLS.
    pub insecure: bool,
    /// Lets tunnels resume over a connection in clear, where whoever listens could take them over.
    pub resume_over_plaintext: bool,
    /// The key that verifies node tokens, as in `node-token.pub`; without it that file of `data`, or
    /// else what the manager put into the store.
    pub node_token_key: Option<String>,
    /// How long running sessions may go on once the POP drains.
    #[serde(deserialize_with = "duration")]
    pub drain_timeout: Duration,
    /// What the POP bounds.
    pub limits: Limits,
    /// What it records of sessions.
    pub records: RecordsConfig,
    /// How logs are written.
    pub log_format: LogFormat,
}

/// What a POP bounds.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// The most applications that are connected at once.
    #[serde(rename = "sessions_max")]
    pub clients_max: u32,
    /// The most tunnels at once.
    pub tunnels_max: u32,
    /// How many bytes of traffic the process may hold.
    pub memory_budget_bytes: u64,
    /// How long an application may take from connecting to its request.
    #[serde(deserialize_with = "duration")]
    pub client_handshake_timeout: Duration,
    /// How long an edge may take from connecting to its upgrade, and from there to its HELLO.
    #[serde(deserialize_with = "duration")]
    pub tunnel_handshake_timeout: Duration,
    /// How many bytes a session may be ahead of its reader at first.
    pub window_bytes: u32,
    /// How many bytes a session may be ahead of its reader at most.
    pub window_bytes_max: u32,
    /// How many bytes per second a node may send to targets; zero is no limit.
    pub node_upload_rate: u64,
    /// How many bytes per second a node may send to this POP; zero is no limit.
    pub node_download_rate: u64,
    /// How many chosen passwords are verified at once, of users not seen since the POP started; zero is half of
    /// the cores. One takes a core about 15 ms.
    pub password_checks_max: u32,
}

/// The command line of `titan-pop`.
#[derive(Clone, Debug, Default, clap::Parser)]
#[command(
    name = "titan-pop",
    version,
    about = "Takes applications' connections to edges"
)]
pub struct PopArgs {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The POP's id.
    #[arg(long, value_name = "ID")]
    pub id: Option<String>,
    /// The directory of the store.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Where applications connect.
    #[arg(long, value_name = "ADDRESS")]
    pub listen_socks: Option<SocketAddr>,
    /// Where edges connect.
    #[arg(long, value_name = "ADDRESS")]
    pub listen_tunnels: Option<SocketAddr>,
    /// Where edges reach it, as in `wss://pop.example:41005`.
    #[arg(long, value_name = "URL")]
    pub public_url: Option<String>,
    /// Serve edges without TLS.
    #[arg(long)]
    pub insecure: bool,
    /// Print an example configuration and end.
    #[arg(long)]
    pub print_example: bool,
}

impl PopConfig {
    /// A configuration file that says what there is to configure.
    pub const EXAMPLE: &'static str = include_str!("pop.toml");

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
        check_id("id", &self.id)?;
        check_protection(self.tls.as_ref(), self.insecure)?;
        // TLS may also end at a balancer, so a protected URL is right with or without `tls`.
        check_url("public_url", &self.public_url, ["wss", "ws"], self.insecure)?;
        if let Some(url) = &self.resume_url {
            check_url("resume_url", url, ["wss", "ws"], self.insecure)?;
        }
        self.check_listeners()?;
        self.records.validate()?;
        self.limits.validate()
    }

    fn check_listeners(&self) -> Result<(), ConfigError> {
        let count = self.listeners.len();
        if count > LISTENERS_MAX {
            return Err(ConfigError::invalid(
                "listeners",
                format!("must be at most {LISTENERS_MAX}, not {count}"),
            ));
        }
        if count > 0 && self.listen_socks.is_some() {
            return Err(ConfigError::invalid(
                "listen_socks",
                "contradicts `listeners`, which it is short for",
            ));
        }
        let mut seen = BTreeSet::new();
        for ListenerConfig { at } in &self.listeners {
            // Port 0 is another one each time.
            if at.port() != 0 && !seen.insert(at) {
                return Err(ConfigError::invalid(
                    "listeners.at",
                    format!("names {at} twice"),
                ));
            }
        }
        Ok(())
    }

    /// Returns the directory of the records.
    #[must_use]
    pub fn records_directory(&self) -> PathBuf {
        let directory = self.records.directory.clone();
        directory.unwrap_or_else(|| self.data.join(format!("records-{}", self.id)))
    }

    /// Returns where applications connect: `listeners`, or else `listen_socks`, or else
    /// 127.0.0.1:1080.
    #[must_use]
    pub fn client_listeners(&self) -> Vec<ListenerConfig> {
        if self.listeners.is_empty() {
            let at = self.listen_socks.unwrap_or(LISTEN_DEFAULT);
            vec![ListenerConfig { at }]
        } else {
            self.listeners.clone()
        }
    }
}

impl Default for PopConfig {
    fn default() -> Self {
        Self {
            id: String::new(),
            data: "/var/lib/titan".into(),
            store: StoreAddress::default(),
            store_file: None,
            listeners: Vec::new(),
            listen_socks: None,
            listen_tunnels: ([0, 0, 0, 0], 41_005).into(),
            public_url: String::new(),
            resume_url: None,
            tls: None,
            insecure: false,
            resume_over_plaintext: false,
            node_token_key: None,
            drain_timeout: Duration::from_secs(600),
            limits: Limits::default(),
            records: RecordsConfig::default(),
            log_format: LogFormat::default(),
        }
    }
}

impl Limits {
    fn validate(&self) -> Result<(), ConfigError> {
        let handshakes = [
            (
                "limits.client_handshake_timeout",
                self.client_handshake_timeout,
            ),
            (
                "limits.tunnel_handshake_timeout",
                self.tunnel_handshake_timeout,
            ),
        ];
        for (key, timeout) in handshakes {
            check_min(key, timeout.as_millis(), 100)?;
        }
        check_min("limits.sessions_max", self.clients_max, 1)?;
        check_min("limits.tunnels_max", self.tunnels_max, 1)?;
        check_min(
            "limits.memory_budget_bytes",
            self.memory_budget_bytes,
            16 << 20,
        )?;
        // Below two frames a session would wait for credit after each.
        check_min("limits.window_bytes", self.window_bytes, 32 << 10)?;
        check_min(
            "limits.window_bytes_max",
            self.window_bytes_max,
            self.window_bytes,
        )
    }
}

impl Default for Limits {
    /// Values for a host with two cores and a few GB.
    fn default() -> Self {
        Self {
            clients_max: 100_000,
            tunnels_max: 100_000,
            memory_budget_bytes: 1 << 30,
            client_handshake_timeout: Duration::from_secs(10),
            tunnel_handshake_timeout: Duration::from_secs(10),
            window_bytes: 256 << 10,
            window_bytes_max: 16 << 20,
            node_upload_rate: 0,
            node_download_rate: 0,
            password_checks_max: 0,
        }
    }
}

impl PopArgs {
    /// Returns where the configuration is read from.
    #[must_use]
    pub fn source(&self) -> Source {
        let mut flags = Vec::new();
        flags.extend(self.id.clone().map(|id| ("id", id)));
        flags.extend(
            self.data
                .as_ref()
                .map(|data| ("data", data.display().to_string())),
        );
        flags.extend(
            self.listen_socks
                .map(|listen| ("listen_socks", listen.to_string())),
        );
        flags.extend(
            self.listen_tunnels
                .map(|listen| ("listen_tunnels", listen.to_string())),
        );
        flags.extend(self.public_url.clone().map(|url| ("public_url", url)));
        flags.extend(self.insecure.then(|| ("insecure", "true".to_owned())));
        Source::of_process(self.config.clone(), flags)
    }
}

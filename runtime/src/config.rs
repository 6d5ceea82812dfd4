//! What operators configure.
//!
//! Each daemon reads one TOML file; every key can also be given as an environment variable
//! `TITAN__SECTION__KEY` (two underscores, as one is what orchestrators inject) and the common ones as
//! flags. Flags win over the environment, the environment over the file. Keys that do not exist are
//! errors; variables that another program of Titan reads are ignored. Secrets come from files or the environment, never from the configuration file or a flag.

mod edge;
mod error;
mod fields;
mod load;
mod manager;
mod pop;
mod records;
mod store;
#[cfg(test)]
mod tests;
mod values;

pub use edge::{EdgeArgs, EdgeConfig};
pub use error::ConfigError;
pub use load::Source;
pub use manager::{ManagerArgs, ManagerConfig, ProxyHeader, StaticPop};
pub use pop::{LISTENERS_MAX, Limits, ListenerConfig, PopArgs, PopConfig};
pub use records::RecordsConfig;
pub use store::StoreAddress;

use serde::Deserialize;
use std::path::PathBuf;

/// A TLS certificate and its key.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    /// The PEM file of the certificate chain.
    pub cert: PathBuf,
    /// The PEM file of the key.
    pub key: PathBuf,
}

/// Checks that a listener is either protected or said to be open, not both or neither.
fn check_protection(tls: Option<&TlsFiles>, insecure: bool) -> Result<(), ConfigError> {
    match (tls, insecure) {
        (None, false) => Err(ConfigError::invalid(
            "tls",
            "needs `cert` and `key`; without TLS everything travels in clear, which has to be asked \
             for by `insecure = true`",
        )),
        (Some(_), true) => Err(ConfigError::invalid("insecure", "contradicts `tls`")),
        _ => Ok(()),
    }
}

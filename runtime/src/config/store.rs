//! Which store daemons share.

use super::ConfigError;
use core::fmt;
use serde::{Deserialize, Deserializer};
use std::path::Path;

/// The word for the store in the data directory.
const EMBEDDED: &str = "embedded";

/// What a store's address may begin with.
const SCHEMES: [&str; 6] = [
    "redis://",
    "rediss://",
    "redis+sentinel://",
    "rediss+sentinel://",
    "redis+unix://",
    "unix://",
];

/// Where the store is that daemons share: in the data directory, or a Redis server.
///
/// It may hold a password, so its debug form shows nothing.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct StoreAddress(Option<String>);

impl StoreAddress {
    /// Returns the address of the Redis server; none for the store in the data directory.
    #[must_use]
    pub fn redis(&self) -> Option<&str> {
        self.0.as_deref()
    }

    /// Reads an address. The error does not repeat it.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        if text == EMBEDDED {
            return Ok(Self(None));
        }
        let named = |scheme: &&str| {
            text.strip_prefix(*scheme)
                .is_some_and(|rest| !rest.is_empty())
        };
        if !SCHEMES.iter().any(named) {
            return Err("must be `embedded` or an address such as redis://host:6379/0");
        }
        #[cfg(feature = "store")]
        crate::store::Redis::check(text)?;
        Ok(Self(Some(text.to_owned())))
    }

    /// Returns the store that is configured: by its address or by the file that holds it.
    pub(super) fn choose(&self, file: Option<&Path>) -> Result<Self, ConfigError> {
        let Some(path) = file else {
            return Ok(self.clone());
        };
        if self.0.is_some() {
            return Err(ConfigError::invalid("store_file", "contradicts `store`"));
        }
        let text = std::fs::read_to_string(path).map_err(|error| {
            ConfigError::invalid("store_file", format!("{}: {error}", path.display()))
        })?;
        Self::parse(text.trim()).map_err(|problem| {
            ConfigError::invalid(
                "store_file",
                format!("names {}, which {problem}", path.display()),
            )
        })
    }
}

/// Returns whether an address holds a user or a password.
pub(super) fn has_credentials(address: &str) -> bool {
    // The query of a socket's address may hold them too.
    ["@", "pass=", "password=", "user="]
        .iter()
        .any(|sign| address.contains(sign))
}

impl fmt::Debug for StoreAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.0.is_some() { "redis" } else { EMBEDDED };
        f.debug_tuple("StoreAddress").field(&kind).finish()
    }
}

impl<'de> Deserialize<'de> for StoreAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(|problem| serde::de::Error::custom(format!("`store` {problem}")))
    }
}

//! Which store daemons share.

use super::ConfigError;
use core::fmt;
use serde::{Deserialize, Deserializer};
use std::path::{Path, PathBuf};

/// The word for the store in the data directory, or behind a colon in another one.
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

/// Where the store is that daemons share: in the data directory, in a directory of its own, or a Redis server.
///
/// It may hold a password, so its debug form shows nothing.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct StoreAddress(Place);

#[derive(Clone, PartialEq, Eq, Default)]
enum Place {
    #[default]
    Data,
    Directory(PathBuf),
    Redis(String),
}

impl StoreAddress {
    /// Returns the address of the Redis server; none for a store in a directory.
    #[must_use]
    pub fn redis(&self) -> Option<&str> {
        match &self.0 {
            Place::Redis(address) => Some(address),
            Place::Data | Place::Directory(_) => None,
        }
    }

    /// Returns the directory of the store if it has one of its own.
    #[must_use]
    pub fn directory(&self) -> Option<&Path> {
        match &self.0 {
            Place::Directory(directory) => Some(directory),
            Place::Data | Place::Redis(_) => None,
        }
    }

    /// Reads an address. The error does not repeat it.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        if text == EMBEDDED {
            return Ok(Self(Place::Data));
        }
        let directory = text
            .strip_prefix(EMBEDDED)
            .and_then(|rest| rest.strip_prefix(':'));
        if let Some(directory) = directory.filter(|directory| !directory.is_empty()) {
            return Ok(Self(Place::Directory(directory.into())));
        }
        let named = |scheme: &&str| {
            text.strip_prefix(*scheme)
                .is_some_and(|rest| !rest.is_empty())
        };
        if !SCHEMES.iter().any(named) {
            return Err(
                "must be `embedded`, `embedded:DIRECTORY` or an address such as redis://host:6379/0",
            );
        }
        #[cfg(feature = "store")]
        crate::store::Redis::check(text)?;
        Ok(Self(Place::Redis(text.to_owned())))
    }

    /// Returns the store that is configured: by its address or by the file that holds it.
    pub(super) fn choose(&self, file: Option<&Path>) -> Result<Self, ConfigError> {
        let Some(path) = file else {
            return Ok(self.clone());
        };
        if self.0 != Place::Data {
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
        let kind = match &self.0 {
            Place::Data => EMBEDDED,
            Place::Directory(_) => "a directory",
            Place::Redis(_) => "redis",
        };
        f.debug_tuple("StoreAddress").field(&kind).finish()
    }
}

impl<'de> Deserialize<'de> for StoreAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(|problem| serde::de::Error::custom(format!("`store` {problem}")))
    }
}

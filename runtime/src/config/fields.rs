//! Which keys a configuration has.

use core::fmt;
use serde::de::{DeserializeOwned, Deserializer, Error, Visitor};

/// The first part of every key that some program of Titan has.
pub(super) const ALL: [&str; 37] = [
    "allow_targets",
    "blacklist_pop",
    "ca",
    "connections_max",
    "copies",
    "data",
    "default_pop",
    "deny_targets",
    "drain_timeout",
    "id",
    "insecure",
    "join",
    "join_file",
    "limits",
    "listen",
    "listen_socks",
    "listen_tunnels",
    "listeners",
    "log_format",
    "manager",
    "memory_budget_bytes",
    "node_id",
    "node_token_key",
    "node_token_lifetime",
    "pops",
    "proxy_header",
    "public_url",
    "records",
    "resume_over_plaintext",
    "resume_url",
    "sessions_max",
    "store",
    "store_file",
    "tls",
    "token",
    "token_file",
    "trusted_proxies",
];

/// Returns the names of the fields that a struct is read from.
pub(super) fn of<T: DeserializeOwned>() -> &'static [&'static str] {
    match T::deserialize(Asked) {
        Err(Answer(fields)) => fields,
        // Only what has no fields can be read from nothing.
        Ok(_) => &[],
    }
}

/// A source that gives no value, but notes the fields it is asked for.
struct Asked;

/// The fields that were asked for.
#[derive(Debug)]
struct Answer(&'static [&'static str]);

impl<'de> Deserializer<'de> for Asked {
    type Error = Answer;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Answer> {
        Err(Answer(&[]))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Answer> {
        Err(Answer(fields))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nothing is read here")
    }
}

impl core::error::Error for Answer {}

impl Error for Answer {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self(&[])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_those_of_the_struct() {
        let fields = of::<crate::config::TlsFiles>();
        assert_eq!(fields, ["cert", "key"]);
        assert!(of::<u32>().is_empty());
    }
}

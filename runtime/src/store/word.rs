//! Enums without data as words.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Error, Value};

/// Writes an enum as the text that serde gives it.
pub(super) fn word<T: Serialize>(value: T) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(text)) => text,
        _ => unreachable!("only enums without data are written as words"),
    }
}

/// The other way round from [`word`].
pub(super) fn from_word<T: DeserializeOwned>(text: String) -> Result<T, Error> {
    serde_json::from_value(Value::String(text))
}

//! What scripts return.

use crate::store::StoreError;
use redis::Value;
use std::collections::BTreeMap;

/// A hash.
pub(super) type Fields = BTreeMap<String, String>;

/// Makes the error for an answer that does not have the form its script gives it.
pub(super) fn malformed() -> StoreError {
    StoreError::unavailable("Redis holds something that Titan did not write")
}

pub(super) fn text(value: Value) -> Result<String, StoreError> {
    if let Value::Int(number) = value {
        return Ok(number.to_string());
    }
    let Value::BulkString(bytes) = value else {
        return Err(malformed());
    };
    String::from_utf8(bytes).map_err(|_| malformed())
}

pub(super) fn optional(value: Value) -> Result<Option<String>, StoreError> {
    if value == Value::Nil {
        return Ok(None);
    }
    text(value).map(Some)
}

pub(super) fn array(value: Value) -> Result<Vec<Value>, StoreError> {
    let Value::Array(items) = value else {
        return Err(malformed());
    };
    Ok(items)
}

/// Exactly `N` items.
pub(super) fn items<const N: usize>(value: Value) -> Result<[Value; N], StoreError> {
    array(value)?.try_into().map_err(|_| malformed())
}

pub(super) fn texts<const N: usize>(value: Value) -> Result<[String; N], StoreError> {
    let texts: Vec<_> = array(value)?
        .into_iter()
        .map(text)
        .collect::<Result<_, _>>()?;
    texts.try_into().map_err(|_| malformed())
}

/// Fields and values that alternate.
pub(super) fn fields(value: Value) -> Result<Fields, StoreError> {
    let mut all = Fields::new();
    let mut items = array(value)?.into_iter();
    while let Some(field) = items.next() {
        all.insert(text(field)?, text(items.next().ok_or_else(malformed)?)?);
    }
    Ok(all)
}

pub(super) fn number<T: core::str::FromStr>(text: &str) -> Result<T, StoreError> {
    text.parse().map_err(|_| malformed())
}

pub(super) fn count(value: Value) -> Result<u64, StoreError> {
    number(&text(value)?)
}

/// A number that is absent if the text is empty.
pub(super) fn optional_number<T: core::str::FromStr>(text: &str) -> Result<Option<T>, StoreError> {
    if text.is_empty() {
        return Ok(None);
    }
    number(text).map(Some)
}

/// Takes a field that must be there.
pub(super) fn take(fields: &mut Fields, name: &str) -> Result<String, StoreError> {
    fields.remove(name).ok_or_else(malformed)
}

/// Takes a number that may be absent.
pub(super) fn take_number<T: core::str::FromStr>(
    fields: &mut Fields,
    name: &str,
) -> Result<Option<T>, StoreError> {
    fields.remove(name).map(|text| number(&text)).transpose()
}

pub(super) fn to_hex(bytes: &[u8; 32]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn from_hex(text: &str) -> Result<[u8; 32], StoreError> {
    if text.len() != 64 || !text.is_ascii() {
        return Err(malformed());
    }
    let mut bytes = [0; 32];
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).map_err(|_| malformed())?;
    }
    Ok(bytes)
}

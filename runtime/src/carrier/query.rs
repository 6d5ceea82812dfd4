//! The query of an upgrade request (RFC 3986 sections 2.1 and 3.4).

use core::fmt::Write as _;

/// The longest accepted value, decoded, in bytes.
const VALUE_LEN_MAX: usize = 64;

/// Returns the one value of `key` in `query`, decoded; none if it is missing, given twice, too long,
/// or not printable text.
pub(super) fn value(query: &str, key: &str) -> Option<String> {
    let mut values = query.split('&').filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        (name == key).then_some(value)
    });
    let (value, None) = (values.next()?, values.next()) else {
        return None;
    };
    decode(value)
}

/// Undoes percent-encoding.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len().min(VALUE_LEN_MAX));
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let (byte, tail) = match (first, tail) {
            (b'%', [high, low, tail @ ..]) => (hex(*high)? << 4 | hex(*low)?, tail),
            (b'%', _) => return None,
            (byte, tail) => (*byte, tail),
        };
        if bytes.len() == VALUE_LEN_MAX {
            return None;
        }
        bytes.push(byte);
        rest = tail;
    }
    // Values end up in logs and on screens.
    String::from_utf8(bytes)
        .ok()
        .filter(|text| !text.chars().any(char::is_control))
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|digit| digit as u8)
}

/// Appends `text` to `out` with everything but unreserved characters percent-encoded.
pub(super) fn encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").expect("writing to memory cannot fail");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{VALUE_LEN_MAX, encode, value};
    use proptest::prelude::*;

    #[test]
    fn values_are_found_once_or_not_at_all() {
        assert_eq!(value("id=a%2Fb&os=linux", "id").as_deref(), Some("a/b"));
        assert_eq!(value("id=a&os=linux", "os").as_deref(), Some("linux"));
        assert_eq!(value("id=a+b", "id").as_deref(), Some("a+b"));
        for query in [
            "",
            "id",
            "xid=a",
            "id=a&id=b",
            "id=%",
            "id=%4",
            "id=%zz",
            "id=%ff",
            "id=%0a",
        ] {
            assert_eq!(value(query, "id"), None, "{query}");
        }
    }

    #[test]
    fn values_end_at_their_limit() {
        let mut query = format!("id={}", "a".repeat(VALUE_LEN_MAX));
        assert!(value(&query, "id").is_some());
        query.push('a');
        assert_eq!(value(&query, "id"), None);
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(text in "[^\\p{Cc}]{0,16}") {
            let mut query = "id=".to_owned();
            encode(&text, &mut query);
            prop_assert_eq!(value(&query, "id"), Some(text));
        }
    }
}

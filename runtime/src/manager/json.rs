//! JSON as bodies bear it. Every number that is whole is read as an integer, also `60.0`: to JSON Schema, and so to
//! whoever goes by the OpenAPI document, both are the same. A member that is there twice is an error: which of the
//! two is meant nobody knows.

use core::fmt;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// The largest number below which every whole one has a floating point number of its own. That each is read as that
/// number takes the feature `float_roundtrip` of serde_json, which rounds otherwise.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// A text of JSON, read strictly.
pub(super) struct Document(pub(super) Value);

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Document;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Document, E> {
        Ok(Document(Value::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Document, E> {
        Ok(Document(value.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Document, E> {
        Ok(Document(number.into()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Document, E> {
        Ok(Document(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Document, E> {
        let is_whole = number.fract() == 0.0 && number.abs() < WHOLE_MAX;
        Ok(Document(if is_whole {
            (number as i64).into()
        } else {
            number.into()
        }))
    }

    fn visit_str<E>(self, text: &str) -> Result<Document, E> {
        Ok(Document(text.into()))
    }

    fn visit_string<E>(self, text: String) -> Result<Document, E> {
        Ok(Document(text.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Document, A::Error> {
        let mut read = Vec::new();
        while let Some(Document(item)) = items.next_element()? {
            read.push(item);
        }
        Ok(Document(read.into()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Document, A::Error> {
        let mut read = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if read.contains_key(&name) {
                return Err(A::Error::custom(format_args!("`{name}` is there twice")));
            }
            let Document(value) = members.next_value()?;
            read.insert(name, value);
        }
        Ok(Document(read.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::Document;
    use serde_json::{Value, json};

    fn read(text: &str) -> Result<Value, String> {
        let read = serde_json::from_str::<Document>(text);
        read.map(|document| document.0)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn whole_numbers_are_integers() {
        for (text, number) in [
            ("60.0", json!(60)),
            ("6e1", json!(60)),
            ("-2.0", json!(-2)),
            ("9007199254740991.0", json!(9_007_199_254_740_991_u64)),
            ("-9007199254740991.00", json!(-9_007_199_254_740_991_i64)),
            ("90071992547409910e-1", json!(9_007_199_254_740_991_u64)),
            ("9007199254740992.0", json!(9_007_199_254_740_992.0)),
            ("4503599627370495.5", json!(4_503_599_627_370_495.5)),
            ("18446744073709551615", json!(u64::MAX)),
            ("0.5", json!(0.5)),
            ("1e300", json!(1e300)),
        ] {
            assert_eq!(read(text), Ok(number), "{text}");
            assert_eq!(
                read(&format!("{{\"a\":[{text}]}}")).unwrap()["a"][0],
                read(text).unwrap()
            );
        }
    }

    #[test]
    fn nothing_is_there_twice() {
        assert_eq!(
            read(r#"{"a":{"b":1},"c":{"b":2}}"#),
            Ok(json!({ "a": { "b": 1 }, "c": { "b": 2 } }))
        );
        let refused = read(r#"{"a":{"b":1,"b":1}}"#).unwrap_err();
        assert!(
            refused.starts_with("`b` is there twice at line 1 column"),
            "{refused}"
        );
    }
}

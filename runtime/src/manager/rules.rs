//! What the members of a body say together, for the OpenAPI document: which of them are given beside which others.
//! Each rule is that of a handler; what JSON Schema cannot say, as that one number is below another, is answered
//! as a `conflict`.

use serde_json::{Value, json};
use utoipa::openapi::{Components, RefOr, Schema};

/// Adds the rules to the schemas they are about.
///
/// # Panics
/// If a rule is about a schema or a member that there is not.
pub(super) fn add(components: &mut Components) {
    for (schema, word, rule) in rules() {
        let Some(RefOr::T(Schema::Object(object))) = components.schemas.get_mut(schema) else {
            panic!("there is no object `{schema}`");
        };
        let cases = rule.as_array().into_iter().flatten();
        let members = cases.filter_map(|case| case["properties"].as_object());
        for member in members.flat_map(|members| members.keys()) {
            assert!(
                object.properties.contains_key(member),
                "`{schema}` has no `{member}`"
            );
        }
        // The model has no place for this beside an object's properties, but it writes extensions there.
        let extensions = object.extensions.get_or_insert_default();
        extensions.insert(word.to_owned(), rule);
    }
}

fn rules() -> [(&'static str, &'static str, Value); 5] {
    let none = json!({ "type": "null" });
    let text = json!({ "type": "string" });
    let number = json!({ "type": "integer" });
    [
        (
            "AdjustmentBody",
            "oneOf",
            json!([
                { "required": ["add_bytes"],
                  "properties": { "add_bytes": number, "reset": { "enum": [false, null] } } },
                { "required": ["reset"],
                  "properties": { "reset": { "const": true }, "add_bytes": none } },
            ]),
        ),
        (
            "Migration",
            "oneOf",
            json!([
                { "required": ["nodes"],
                  "properties": { "nodes": { "type": "array" }, "from": none, "count": none } },
                { "required": ["from", "count"],
                  "properties": { "from": text, "count": number, "nodes": none } },
            ]),
        ),
        (
            "Addition",
            "anyOf",
            json!([
                { "required": ["nodes"], "properties": { "nodes": { "minItems": 1 } } },
                { "required": ["ips"], "properties": { "ips": { "minItems": 1 } } },
            ]),
        ),
        (
            "Route",
            "oneOf",
            json!([
                { "properties": { "mode": { "enum": ["auto", "custom", "polling"] }, "node": none,
                                  "interval_minutes": none, "utc_minute_of_day": none } },
                { "required": ["node"],
                  "properties": { "mode": { "const": "manual" }, "node": text,
                                  "interval_minutes": none, "utc_minute_of_day": none } },
                { "required": ["interval_minutes"],
                  "properties": { "mode": { "const": "timed" }, "interval_minutes": number,
                                  "utc_minute_of_day": none } },
                { "required": ["utc_minute_of_day"],
                  "properties": { "mode": { "const": "timed" }, "interval_minutes": none,
                                  "utc_minute_of_day": number } },
            ]),
        ),
        (
            "LegacyRoute",
            "oneOf",
            json!([
                { "properties": { "mode": { "enum": [1, 4, 5] }, "node_id": { "enum": ["", null] } } },
                { "required": ["node_id"],
                  "properties": { "mode": { "const": 2 },
                                  "node_id": { "type": "string", "minLength": 1 } } },
                { "required": ["interval_minutes"],
                  "properties": { "mode": { "const": 3 },
                                  "interval_minutes": { "type": "integer", "minimum": 1 } } },
                { "required": ["utc_minute_of_day"],
                  "properties": { "mode": { "const": 3 }, "interval_minutes": { "enum": [0, null] },
                                  "utc_minute_of_day": number } },
            ]),
        ),
    ]
}

//! What the JSON Schemas of our files share.

use serde_json::{Value, json};

/// A mapping with these keys and no others.
pub(crate) fn object(properties: Value, required: &[&str], description: &str) -> Value {
    let mut schema = json!({
        "type": "object",
        "description": description,
        "properties": null,
        "required": required,
        "additionalProperties": false,
    });
    schema["properties"] = properties;
    schema
}

/// Text that is not empty.
pub(crate) fn text(description: &str) -> Value {
    json!({ "type": "string", "minLength": 1, "description": description })
}

/// A duration as [`super::parse_duration`] reads it.
pub(crate) fn duration() -> Value {
    json!({
        "type": "string",
        "pattern": "^(?=.)([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$",
        "description": "500ms, 3s, 2m, 1h30m",
    })
}

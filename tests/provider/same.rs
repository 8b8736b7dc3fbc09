//! Whether two documents say the same, field by field.

use serde_json::Value;

/// Every place where the two differ; lists are compared as sets, because the provider promises no order, and secrets,
/// which a pull leaves out, are not compared.
pub(crate) fn differences(expected: &Value, found: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    compare("", &plain(expected), &plain(found), &mut faults);
    faults
}

/// The same without secrets, lists sorted by all that their items hold.
fn plain(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .iter()
            .filter(|(name, _)| !SECRET.contains(&name.as_str()))
            .map(|(name, value)| (name.clone(), plain(value)))
            .collect(),
        Value::Array(items) => {
            let mut items: Vec<Value> = items.iter().map(plain).collect();
            items.sort_by_key(ToString::to_string);
            Value::Array(items)
        }
        scalar => scalar.clone(),
    }
}

/// What both providers' documents may hold and no facts folder does.
const SECRET: &[&str] = &[
    "PreSharedKey",
    "CustomerGatewayConfiguration",
    "secret",
    "adminPassword",
    "radiusServerSecret",
    "httpProxyConfig",
];

fn compare(place: &str, expected: &Value, found: &Value, faults: &mut Vec<String>) {
    match (expected, found) {
        (Value::Object(expected), Value::Object(found)) => {
            for (name, value) in expected {
                match found.get(name) {
                    Some(other) => compare(&format!("{place}/{name}"), value, other, faults),
                    None => faults.push(format!("{place}/{name}: missing")),
                }
            }
            let more = found.keys().filter(|name| !expected.contains_key(*name));
            faults.extend(more.map(|name| format!("{place}/{name}: not expected")));
        }
        (Value::Array(expected), Value::Array(found)) if expected.len() == found.len() => {
            for (index, (expected, found)) in expected.iter().zip(found).enumerate() {
                compare(&format!("{place}/{index}"), expected, found, faults);
            }
        }
        _ if expected == found => {}
        _ => faults.push(format!("{place}: {expected} was expected, but {found} found")),
    }
}

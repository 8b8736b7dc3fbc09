//! `kubereach schema scenario|report|watch`.

use serde_json::Value;

use super::arguments::SchemaOf;
use crate::report;

/// The schema as one JSON document that ends with a newline; `scenario` makes that of the scenario file, `watch` that of
/// the watch's configuration.
#[must_use]
pub fn document(of: SchemaOf, scenario: impl FnOnce() -> Value, watch: impl FnOnce() -> Value) -> String {
    let schema = match of {
        SchemaOf::Scenario => scenario(),
        SchemaOf::Watch => watch(),
        SchemaOf::Report => report::json::schema(),
    };
    report::json::to_document(&schema)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_schema_is_one_document() {
        let report: Value = serde_json::from_str(&document(SchemaOf::Report, || Value::Null, || Value::Null)).unwrap();
        assert_eq!(report["title"], "kubereach.report/v1");
        assert_eq!(document(SchemaOf::Scenario, || serde_json::json!({}), || Value::Null), "{}\n");
        assert_eq!(document(SchemaOf::Watch, || Value::Null, || serde_json::json!({})), "{}\n");
    }
}

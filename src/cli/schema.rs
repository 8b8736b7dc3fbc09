//! `kubereach schema scenario|report`.

use serde_json::Value;

use super::arguments::SchemaOf;
use crate::report;

/// The schema as one JSON document that ends with a newline; `scenario` makes that of the scenario file.
#[must_use]
pub fn document(of: SchemaOf, scenario: impl FnOnce() -> Value) -> String {
    let schema = match of {
        SchemaOf::Scenario => scenario(),
        SchemaOf::Report => report::json::schema(),
    };
    report::json::to_document(&schema)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_schema_is_one_document() {
        let report: Value = serde_json::from_str(&document(SchemaOf::Report, || Value::Null)).unwrap();
        assert_eq!(report["title"], "kubereach.report/v1");
        assert_eq!(document(SchemaOf::Scenario, || serde_json::json!({})), "{}\n");
    }
}

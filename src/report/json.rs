//! The whole report as one JSON document, and its schema.

use super::{Report, words};

/// One pretty-printed document, ending with a newline. The data is whole; characters that a terminal might act upon
/// are written as `\uXXXX`, which every JSON reader turns back.
#[must_use]
pub fn render(report: &Report) -> String {
    to_document(report)
}

/// JSON Schema (2020-12) of the report.
#[must_use]
pub fn schema() -> serde_json::Value {
    let mut schema = schemars::schema_for!(Report).to_value();
    if let Some(object) = schema.as_object_mut() {
        object.insert("$id".to_owned(), "urn:kubereach:schema:report:v1".into());
        object.insert("title".to_owned(), super::REPORT_SCHEMA.into());
        if let Some(name) = object.get_mut("properties").and_then(|properties| properties.get_mut("schema")) {
            *name =
                serde_json::json!({ "const": super::REPORT_SCHEMA, "description": "Name and version of this form." });
        }
    }
    schema
}

/// Any value as a document for a terminal or a file.
pub(crate) fn to_document(value: &impl serde::Serialize) -> String {
    // Serialising plain data to a string fails only for maps with keys that are no strings; there are none.
    let text = serde_json::to_string_pretty(value).unwrap_or_else(|error| {
        serde_json::json!({ "error": format!("the report cannot be written as JSON: {error}") }).to_string()
    });
    let mut document = String::with_capacity(text.len() + 1);
    for character in text.chars() {
        // Beyond the line breaks of the layout such characters can only stand inside strings.
        if character == '\u{7f}' || words::is_deceptive(character) {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                push!(document, "\\u{unit:04x}");
            }
        } else {
            document.push(character);
        }
    }
    document.push('\n');
    document
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::every_variant;

    #[test]
    fn the_schema_accepts_real_reports_and_refuses_others() {
        let validator = jsonschema::validator_for(&schema()).unwrap();
        for report in [every_variant::report(), every_variant::doctor_report(), every_variant::hostile_report()] {
            let document: serde_json::Value = serde_json::from_str(&render(&report)).unwrap();
            let errors: Vec<String> = validator.iter_errors(&document).map(|error| error.to_string()).collect();
            assert!(errors.is_empty(), "{errors:?}");
        }
        let mut document = serde_json::to_value(every_variant::report()).unwrap();
        document["verdict"] = "fine".into();
        assert!(!validator.is_valid(&document));
        let mut document = serde_json::to_value(every_variant::report()).unwrap();
        document["schema"] = "another/v1".into();
        assert!(!validator.is_valid(&document));
        let mut document = serde_json::to_value(every_variant::report()).unwrap();
        document["cells"][0].as_object_mut().unwrap().remove("cluster");
        assert!(!validator.is_valid(&document));
    }

    #[test]
    fn data_survives_and_the_terminal_too() {
        let report = every_variant::hostile_report();
        let document = render(&report);
        assert!(document.ends_with("}\n"));
        assert!(document.chars().all(|c| c == '\n' || !c.is_control() && !words::is_deceptive(c)));
        let back: serde_json::Value = serde_json::from_str(&document).unwrap();
        assert_eq!(back, serde_json::to_value(&report).unwrap());
    }

    #[test]
    fn every_variant_as_json() {
        insta::assert_snapshot!(render(&every_variant::report()));
    }
}

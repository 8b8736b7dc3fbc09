//! SARIF 2.1.0: a rule a cause, a result a finding. Only the small part of the format that code-scanning services read.

use std::{collections::BTreeMap, path::Path};

use jiff::Timestamp;
use serde::Serialize;

use super::{Confidence, Finding, RenderContext, Report, RuleText, Severity, words};

/// Draws the report. Results point at the scenario file where it is known, and always at `cluster/vantage`.
#[must_use]
pub fn render(report: &Report, context: &RenderContext) -> String {
    let scenario = context.scenario.as_deref();
    let known = |code: &str| context.rules.and_then(|rules| rules(code));
    let findings = words::findings_once(report);
    let mut codes: Vec<&str> = Vec::new();
    for finding in &findings {
        if !codes.contains(&finding.code.as_str()) {
            codes.push(&finding.code);
        }
    }
    let rules = codes
        .iter()
        .filter_map(|code| findings.iter().find(|f| f.code == *code))
        .map(|f| rule(f, known(&f.code)))
        .collect();
    let results = findings
        .iter()
        .map(|finding| {
            let index = codes.iter().position(|code| *code == finding.code).unwrap_or_default();
            result(finding, index, scenario)
        })
        .collect();
    super::json::to_document(&Log {
        schema: "https://json.schemastore.org/sarif-2.1.0.json",
        version: "2.1.0",
        runs: [Run {
            tool: Tool {
                driver: Driver {
                    name: "kubereach",
                    version: env!("CARGO_PKG_VERSION"),
                    information_uri: env!("CARGO_PKG_REPOSITORY"),
                    rules,
                },
            },
            invocations: [Invocation {
                execution_successful: true,
                start_time_utc: report.started_at,
                end_time_utc: report.finished_at,
            }],
            results,
            properties: BTreeMap::from([("verdict", serde_json::Value::from(report.verdict.label()))]),
        }],
    })
}

fn rule(finding: &Finding, known: Option<RuleText>) -> Rule {
    let RuleText { title, severity, help, docs } = known.unwrap_or_else(|| RuleText {
        title: finding.title.clone(),
        severity: finding.severity,
        help: finding.title.clone(),
        docs: String::new(),
    });
    // The finding knows whose page says it where both providers have one.
    let docs = finding.docs.clone().or(Some(docs)).filter(|docs| !docs.is_empty());
    Rule {
        id: words::visible(&finding.code),
        short_description: Message { text: words::visible(&title) },
        help: Message { text: words::visible(&help) },
        help_uri: docs.filter(|docs| docs.starts_with("https://")).map(|docs| words::visible(&docs)),
        default_configuration: Configuration { level: level(severity) },
    }
}

fn result(finding: &Finding, rule_index: usize, scenario: Option<&Path>) -> ResultEntry {
    let cells = words::finding_cells(finding);
    let logical = |cell: &String| LogicalLocation { fully_qualified_name: words::visible(cell), kind: "resource" };
    let physical = scenario.map(|path| PhysicalLocation {
        artifact_location: ArtifactLocation { uri: file_uri(path) },
        region: Region { start_line: 1 },
    });
    let location = Location { physical_location: physical, logical_locations: cells.iter().map(logical).collect() };
    ResultEntry {
        rule_id: words::visible(&finding.code),
        rule_index,
        level: level(finding.severity),
        message: Message { text: message(finding) },
        locations: vec![location],
        partial_fingerprints: BTreeMap::from([(
            "kubereach/v1",
            words::visible(&format!("{}:{}{}", finding.code, cells.join(","), subject(finding))),
        )]),
        rank: match finding.confidence {
            Confidence::Certain => 100.0,
            Confidence::Likely => 70.0,
            Confidence::Possible => 30.0,
        },
        properties: BTreeMap::from([
            ("confidence", serde_json::Value::from(finding.confidence.label())),
            ("cells", serde_json::Value::from(cells)),
        ]),
    }
}

/// What tells two findings of one code apart that stand in no cell: the name of the setting, without its value.
fn subject(finding: &Finding) -> String {
    let setting = finding.setting.as_deref().filter(|_| finding.vantage.is_none() && finding.cells.is_empty());
    setting.map_or_else(String::new, |name| {
        let end = [" = ", " ("].iter().filter_map(|mark| name.find(mark)).min().unwrap_or(name.len());
        format!(":{}", &name[..end])
    })
}

fn message(finding: &Finding) -> String {
    let mut lines = vec![words::visible(&finding.title)];
    lines.extend(finding.evidence.iter().map(|sentence| words::visible(sentence)));
    lines.extend(finding.setting.iter().map(|setting| format!("Setting: {}", words::visible(setting))));
    if let Some(fix) = &finding.fix {
        lines.push("Fix:".to_owned());
        lines.extend(words::command_lines(fix));
    }
    lines.push(words::confidence_meaning(finding.confidence).to_owned());
    lines.join("\n")
}

const fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "note",
    }
}

/// A relative path stays relative (code scanning resolves it against the repository); an absolute one becomes `file:`.
fn file_uri(path: &Path) -> String {
    if let Ok(url) = url::Url::from_file_path(path) {
        return url.into();
    }
    let text = path.to_string_lossy().replace('\\', "/");
    let mut uri = String::with_capacity(text.len());
    for byte in text.trim_start_matches("./").bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            push!(uri, "%{byte:02X}");
        }
    }
    uri
}

#[derive(Serialize)]
struct Log {
    #[serde(rename = "$schema")]
    schema: &'static str,
    version: &'static str,
    runs: [Run; 1],
}

#[derive(Serialize)]
struct Run {
    tool: Tool,
    invocations: [Invocation; 1],
    results: Vec<ResultEntry>,
    properties: BTreeMap<&'static str, serde_json::Value>,
}

#[derive(Serialize)]
struct Tool {
    driver: Driver,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Driver {
    name: &'static str,
    version: &'static str,
    information_uri: &'static str,
    rules: Vec<Rule>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    id: String,
    short_description: Message,
    help: Message,
    #[serde(skip_serializing_if = "Option::is_none")]
    help_uri: Option<String>,
    default_configuration: Configuration,
}

#[derive(Serialize)]
struct Configuration {
    level: &'static str,
}

#[derive(Serialize)]
struct Message {
    text: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Invocation {
    execution_successful: bool,
    start_time_utc: Timestamp,
    end_time_utc: Timestamp,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResultEntry {
    rule_id: String,
    rule_index: usize,
    level: &'static str,
    message: Message,
    locations: Vec<Location>,
    partial_fingerprints: BTreeMap<&'static str, String>,
    rank: f64,
    properties: BTreeMap<&'static str, serde_json::Value>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Location {
    #[serde(skip_serializing_if = "Option::is_none")]
    physical_location: Option<PhysicalLocation>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    logical_locations: Vec<LogicalLocation>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PhysicalLocation {
    artifact_location: ArtifactLocation,
    region: Region,
}

#[derive(Serialize)]
struct ArtifactLocation {
    uri: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Region {
    start_line: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LogicalLocation {
    fully_qualified_name: String,
    kind: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{causes, report::every_variant};

    fn context(scenario: Option<&str>) -> RenderContext {
        let rules = |code: &str| {
            let cause = causes::by_code(code)?;
            let help = format!("{} Setting: {}", cause.signature, cause.setting);
            Some(RuleText {
                title: cause.title.to_owned(),
                severity: cause.severity,
                help,
                docs: cause.docs.to_owned(),
            })
        };
        RenderContext { scenario: scenario.map(Into::into), rules: Some(rules), ..RenderContext::default() }
    }

    fn parsed(report: &Report, scenario: Option<&str>) -> serde_json::Value {
        serde_json::from_str(&render(report, &context(scenario))).unwrap()
    }

    #[test]
    fn without_a_catalogue_the_finding_speaks_for_its_rule() {
        let report = every_variant::report();
        let log: serde_json::Value = serde_json::from_str(&render(&report, &RenderContext::default())).unwrap();
        let rules = log["runs"][0]["tool"]["driver"]["rules"].as_array().unwrap();
        for rule in rules {
            let finding = report.findings.iter().find(|finding| rule["id"] == finding.code.as_str()).unwrap();
            assert_eq!(rule["shortDescription"]["text"], words::visible(&finding.title));
        }
    }

    #[test]
    fn every_variant_as_sarif() {
        insta::assert_snapshot!(render(&every_variant::report(), &context(Some("scenarios/all of it.yaml"))));
    }

    #[test]
    fn every_result_names_its_rule() {
        let log = parsed(&every_variant::report(), None);
        let run = &log["runs"][0];
        let results = run["results"].as_array().unwrap();
        assert_eq!(results.len(), every_variant::report().findings.len());
        for result in results {
            let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
            assert_eq!(run["tool"]["driver"]["rules"][index]["id"], result["ruleId"]);
        }
    }

    #[test]
    fn locations_are_the_file_where_known_and_always_the_cells() {
        let location =
            |scenario| parsed(&every_variant::report(), scenario)["runs"][0]["results"][0]["locations"][0].clone();
        assert_eq!(location(None)["physicalLocation"], serde_json::Value::Null);
        assert_eq!(location(None)["logicalLocations"][0]["fullyQualifiedName"], "prod/laptop");
        let uri = &location(Some("./my scenario.yaml"))["physicalLocation"]["artifactLocation"]["uri"];
        assert_eq!(uri, "my%20scenario.yaml");
        let uri = &location(Some("/srv/a b.yaml"))["physicalLocation"]["artifactLocation"]["uri"];
        assert_eq!(uri, "file:///srv/a%20b.yaml");
    }
}

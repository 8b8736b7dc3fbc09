//! `JUnit` XML: a suite a cluster, a test case a cell.
//!
//! A mismatch is a failure. An inconclusive cell is an error: the check itself could not be made. A propagating cell is
//! skipped with its reason: nothing is decided yet, and the exit status says so as well. Findings that belong to no
//! cell are test cases of the suite `configuration`.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Property, TestCase, TestCaseStatus, TestSuite};

use super::{Cell, Finding, Report, Severity, Verdict, words};

/// Draws the report; the result ends with a newline.
#[must_use]
pub fn render(report: &Report) -> String {
    let mut document = quick_junit::Report::new("kubereach");
    document.set_time(between(report));
    let mut clusters: Vec<&str> = Vec::new();
    for cell in &report.cells {
        if !clusters.contains(&cell.cluster.as_str()) {
            clusters.push(&cell.cluster);
        }
    }
    for cluster in clusters {
        let mut suite = TestSuite::new(words::visible(cluster));
        suite.add_property(Property::new("startedAt", report.started_at.to_string()));
        suite.add_test_cases(report.cells.iter().filter(|cell| cell.cluster == cluster).map(cell_case));
        document.add_test_suite(suite);
    }
    let homeless: Vec<&Finding> =
        report.findings.iter().filter(|finding| finding.cells.is_empty() && finding.vantage.is_none()).collect();
    if !homeless.is_empty() {
        let mut suite = TestSuite::new("configuration");
        suite.add_test_cases(homeless.into_iter().map(finding_case));
        document.add_test_suite(suite);
    }
    match document.to_string() {
        Ok(xml) if xml.ends_with('\n') => xml,
        Ok(xml) => xml + "\n",
        Err(error) => format!("<!-- the report cannot be written as XML: {} -->\n", words::visible(&error.to_string())),
    }
}

fn cell_case(cell: &Cell) -> TestCase {
    let answer = words::visible(&words::answer(cell));
    let mut status = match cell.verdict {
        Verdict::Match => TestCaseStatus::success(),
        Verdict::Mismatch => TestCaseStatus::non_success(NonSuccessKind::Failure),
        Verdict::Inconclusive => TestCaseStatus::non_success(NonSuccessKind::Error),
        Verdict::Propagating => TestCaseStatus::skipped(),
    };
    if cell.verdict != Verdict::Match {
        status.set_type(cell.verdict.label());
        status.set_message(match cell.verdict {
            Verdict::Propagating => format!("still propagating: {answer}"),
            _ => answer.clone(),
        });
        status.set_description(body(cell));
    }
    let mut case = TestCase::new(words::visible(&cell.vantage), status);
    case.set_classname(words::visible(&cell.subject()));
    case.set_time(cell_time(cell));
    for (name, value) in [
        ("intended", cell.intended.label()),
        ("configured", cell.configured.label()),
        ("observed", cell.observed.label()),
        ("verdict", cell.verdict.label()),
    ] {
        case.add_property(Property::new(name, value));
    }
    if cell.verdict == Verdict::Match {
        case.set_system_out(format!("{answer}\n{}", findings_text(&cell.findings)));
    }
    case
}

fn finding_case(finding: &Finding) -> TestCase {
    let title = words::visible(&finding.title);
    let mut status = match finding.severity {
        Severity::Error => TestCaseStatus::non_success(NonSuccessKind::Failure),
        Severity::Warning | Severity::Info => TestCaseStatus::success(),
    };
    let text = findings_text(std::slice::from_ref(finding));
    if finding.severity == Severity::Error {
        status.set_type(words::visible(&finding.code));
        status.set_message(title);
        status.set_description(text.clone());
    }
    let mut case = TestCase::new(words::visible(&finding.code), status);
    case.set_classname(words::visible(finding.cluster.as_deref().unwrap_or("configuration")));
    if finding.severity != Severity::Error {
        case.set_system_out(text);
    }
    case
}

fn body(cell: &Cell) -> String {
    let mut text = format!(
        "intended {}, configured {}, observed {}\n",
        cell.intended.label(),
        cell.configured.label(),
        cell.observed.label()
    );
    for attempt in cell.attempts.iter().take(words::ADDRESS_LIMIT) {
        let stop = words::stopped_at(attempt).unwrap_or_else(|| words::http_outcome(attempt));
        push!(text, "{}: {stop}\n", words::attempt_name(attempt));
    }
    text + &findings_text(&cell.findings)
}

fn findings_text(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let (severity, confidence) = (finding.severity.label(), finding.confidence.label());
        let (code, title) = (words::visible(&finding.code), words::visible(&finding.title));
        push!(text, "\n{title}\n[{code}, {severity}, {confidence}]\n");
        for sentence in &finding.evidence {
            push!(text, "  {}\n", words::visible(sentence));
        }
        if let Some(setting) = &finding.setting {
            push!(text, "  Setting: {}\n", words::visible(setting));
        }
        if let Some(fix) = &finding.fix {
            text.push_str("  Fix:\n");
            for line in words::command_lines(fix) {
                push!(text, "    {line}\n");
            }
        }
        if let Some(docs) = &finding.docs {
            push!(text, "  Docs: {}\n", words::visible(docs));
        }
    }
    text
}

fn between(report: &Report) -> Duration {
    Duration::try_from(report.finished_at.duration_since(report.started_at)).unwrap_or_default()
}

/// The longest address of a cell plus its lookup.
fn cell_time(cell: &Cell) -> Duration {
    let dns = words::deciding_resolver(&cell.dns).map_or(0.0, |dns| dns.ms);
    let longest = cell.attempts.iter().map(|a| a.tcp.ms + a.tls.ms + a.http.ms).fold(0.0, f64::max);
    Duration::try_from_secs_f64((dns + longest) / 1_000.0).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::every_variant;

    #[test]
    fn every_variant_as_junit() {
        insta::assert_snapshot!(render(&every_variant::report()));
    }

    #[test]
    fn each_verdict_has_its_element() {
        let report = every_variant::report();
        let xml = render(&report);
        let count = |verdict| report.cells.iter().filter(|cell| cell.verdict == verdict).count();
        let homeless = report
            .findings
            .iter()
            .filter(|f| f.cells.is_empty() && f.vantage.is_none() && f.severity == Severity::Error);
        assert_eq!(xml.matches("<failure ").count(), count(Verdict::Mismatch) + homeless.count());
        assert_eq!(xml.matches("<error ").count(), count(Verdict::Inconclusive));
        assert_eq!(xml.matches("<skipped ").count(), count(Verdict::Propagating));
    }

    #[test]
    fn hostile_text_is_escaped() {
        let xml = render(&every_variant::hostile_report());
        assert!(!xml.contains("<script") && !xml.contains("]]>"), "{xml}");
        assert!(xml.chars().all(|c| c == '\n' || !c.is_control()));
    }
}

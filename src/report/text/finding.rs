//! Findings: what was expected and seen, the setting, the command, how sure, where to read on.

use crate::report::{
    Finding, Severity,
    page::{Ink, Page, span},
    words,
};

/// Draws the findings, numbered, the most probable first. `name_cells` says for each where it stands.
pub(super) fn draw(page: &mut Page, findings: &[&Finding], name_cells: bool) {
    if findings.is_empty() {
        return;
    }
    page.blank();
    page.line(0, &[span(Ink::Strong, if findings.len() == 1 { "FINDING" } else { "FINDINGS" })]);
    for (index, finding) in findings.iter().enumerate() {
        page.blank();
        one(page, index + 1, finding, &words::fresh_evidence(findings, index), name_cells);
    }
}

fn one(page: &mut Page, number: usize, finding: &Finding, evidence: &[&str], name_cells: bool) {
    let ink = severity_ink(finding.severity);
    let number = format!("{number}. ");
    let indent = number.len();
    page.paragraph(0, indent, &[span(Ink::Strong, number), span(Ink::Strong, &finding.title)]);
    page.paragraph(
        indent,
        indent + 2,
        &[
            span(Ink::Plain, &finding.code),
            span(Ink::Dim, " · "),
            span(ink, finding.severity.label()),
            span(Ink::Dim, " · "),
            span(Ink::Plain, finding.confidence.label()),
        ],
    );
    if name_cells {
        let cells = words::finding_cells(finding);
        if !cells.is_empty() {
            page.paragraph(indent, indent + 2, &[span(Ink::Dim, "In: "), span(Ink::Plain, cells.join(", "))]);
        }
    }
    for sentence in evidence {
        page.paragraph(indent, indent + 2, &[span(Ink::Plain, *sentence)]);
    }
    if let Some(setting) = &finding.setting {
        page.paragraph(indent, indent + 2, &[span(Ink::Dim, "Setting: "), span(Ink::Plain, setting)]);
    }
    if let Some(fix) = &finding.fix {
        page.line(indent, &[span(Ink::Dim, "Fix:")]);
        page.command(indent + 2, fix);
    }
    page.paragraph(indent, indent + 2, &[span(Ink::Plain, words::confidence_meaning(finding.confidence))]);
    if let Some(docs) = &finding.docs {
        page.line(indent, &[span(Ink::Dim, "Docs: "), span(Ink::Plain, docs)]);
    }
    page.line(indent, &[span(Ink::Dim, "More: "), span(Ink::Plain, format!("kubereach explain {}", finding.code))]);
}

const fn severity_ink(severity: Severity) -> Ink {
    match severity {
        Severity::Error => Ink::Bad,
        Severity::Warning => Ink::Warn,
        Severity::Info => Ink::Dim,
    }
}

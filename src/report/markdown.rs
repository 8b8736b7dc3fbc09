//! GitHub-flavoured Markdown for a pipeline's step summary: the matrix, then what does not match, folded.

use super::{
    Cell, Finding, Report, Severity, Verdict, Via,
    matrix::{Grid, first_error, truths},
    words,
};

/// Draws the report, at most about [`SIZE_LIMIT`] bytes: details that would exceed it are counted instead.
#[must_use]
pub fn render(report: &Report) -> String {
    let mut text = format!("## kubereach: {}\n\n", escape(&words::headline(report)));
    if let Some(grid) = Grid::of(&report.cells).filter(|grid| grid.subjects.len() <= MOST_COLUMNS) {
        text.push_str(&self::grid(&grid));
    }
    if !report.cells.is_empty() {
        text.push_str("| | cluster | vantage | intended | configured | observed | via | verdict | cause |\n");
        text.push_str("|---|---|---|---|---|---|---|---|---|\n");
    }
    let rows: Vec<String> = report.cells.iter().map(row).collect();
    let omitted = push_bounded(&mut text, &rows, SIZE_LIMIT / 2);
    if omitted > 0 {
        push!(text, "\n{omitted} further cells are in the JSON report.\n");
    }
    for words in report.cells.iter().filter_map(words::converged).take(CONVERGED_LIMIT) {
        push!(text, "\n{}\n", escape(&words));
    }
    text.push('\n');
    let once = words::findings_once(report);
    let findings: Vec<String> =
        once.iter().enumerate().map(|(index, one)| finding(one, &words::fresh_evidence(&once, index))).collect();
    if !findings.is_empty() {
        text.push_str("### Findings\n\n");
    }
    let omitted = push_bounded(&mut text, &findings, SIZE_LIMIT / 4 * 3);
    if omitted > 0 {
        push!(text, "{omitted} further findings are in the JSON report.\n\n");
    }
    let cells: Vec<String> = report.cells.iter().filter(|cell| cell.verdict != Verdict::Match).map(details).collect();
    if !cells.is_empty() {
        text.push_str("### Cells that do not match\n\n");
    }
    let omitted = push_bounded(&mut text, &cells, SIZE_LIMIT);
    if omitted > 0 {
        push!(text, "The details of {omitted} further cells are in the JSON report.\n\n");
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

/// Text that Markdown and HTML blocks in it both leave alone, on one line, also inside a table: entities, because
/// backslashes do nothing inside an HTML block such as `<summary>`.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in words::visible(text).chars() {
        // An at sign or a number sign would mention a person or an issue.
        if "&<>\"|\\`*_[]~$@#".contains(character) {
            push!(escaped, "&#{};", u32::from(character));
        } else {
            escaped.push(character);
        }
    }
    // Neither may become a link by itself.
    escaped.replace("://", "&#58;//").replace("www.", "www&#46;")
}

/// Pushes pieces while the text stays below the limit; gives back how many were left out.
fn push_bounded(text: &mut String, pieces: &[String], limit: usize) -> usize {
    for (index, piece) in pieces.iter().enumerate() {
        if text.len() + piece.len() > limit {
            return pieces.len() - index;
        }
        text.push_str(piece);
    }
    0
}

/// Vantages by clusters, bounded: intended, configured and observed, and the cause.
fn grid(grid: &Grid<'_>) -> String {
    let subjects: Vec<String> = grid.subjects.iter().map(|subject| escape(subject)).collect();
    let mut text = format!("| intended / configured / observed | {} |\n", subjects.join(" | "));
    push!(text, "|---|{}\n", "---|".repeat(subjects.len()));
    let rows: Vec<String> = grid
        .vantages
        .iter()
        .map(|vantage| {
            let cells = grid.subjects.iter().map(|subject| match grid.cell(subject, vantage) {
                None => String::new(),
                Some((_, cell)) => {
                    let code = first_error(cell).map(|code| format!("<br><code>{}</code>", escape(code)));
                    format!("{} {}{}", mark(cell.verdict), truths(cell), code.unwrap_or_default())
                }
            });
            format!("| **{}** | {} |\n", escape(vantage), cells.collect::<Vec<_>>().join(" | "))
        })
        .collect();
    let omitted = push_bounded(&mut text, &rows, SIZE_LIMIT / 4);
    if omitted > 0 {
        push!(text, "\n{omitted} further vantages are in the JSON report.\n");
    }
    text.push('\n');
    text
}

fn row(cell: &Cell) -> String {
    format!(
        "| {} | {} | {} | {} | {} | {} | {} | **{}** | {} |\n",
        mark(cell.verdict),
        escape(&cell.subject()),
        escape(&cell.vantage),
        cell.intended.label(),
        cell.configured.label(),
        cell.observed.label(),
        cell.via.map_or("", Via::label),
        cell.verdict.label(),
        first_error(cell).map(|code| format!("<code>{}</code>", escape(code))).unwrap_or_default(),
    )
}

fn finding(finding: &Finding, evidence: &[&str]) -> String {
    let mark = match finding.severity {
        Severity::Error => "❌",
        Severity::Warning => "⚠️",
        Severity::Info => "ℹ️",
    };
    let code = escape(&finding.code);
    let (severity, confidence) = (finding.severity.label(), finding.confidence.label());
    let mut text = format!(
        "<details open><summary>{mark} <b>{}</b> (<code>{code}</code>, {severity}, {confidence})</summary>\n\n",
        escape(&finding.title)
    );
    let cells: Vec<String> = words::finding_cells(finding).iter().map(|cell| escape(cell)).collect();
    if !cells.is_empty() {
        push!(text, "In: {}\n\n", cells.join(", "));
    }
    for sentence in evidence {
        push!(text, "- {}\n", escape(sentence));
    }
    if let Some(setting) = &finding.setting {
        push!(text, "\nSetting: {}\n", escape(setting));
    }
    if let Some(fix) = &finding.fix {
        push!(text, "\n{}", fenced(fix));
    }
    push!(text, "\n{}\n", escape(words::confidence_meaning(finding.confidence)));
    if let Some(docs) = finding.docs.as_ref().filter(|docs| is_plain_link(docs)) {
        push!(text, "\n[Documentation]({docs})\n");
    }
    text + "\n</details>\n\n"
}

/// A code block whose fence is longer than any run of backticks inside.
fn fenced(command: &str) -> String {
    let lines = words::command_lines(command);
    let longest = lines.iter().flat_map(|line| line.split(|c| c != '`')).map(str::len).max().unwrap_or_default();
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}sh\n{}\n{fence}\n", lines.join("\n"))
}

/// An address that cannot end the link that it stands in.
fn is_plain_link(link: &str) -> bool {
    link.starts_with("https://")
        && link.len() < words::TEXT_LIMIT
        && link.bytes().all(|byte| byte.is_ascii_graphic() && !b"()<>\\\"`".contains(&byte))
}

fn details(cell: &Cell) -> String {
    let mut text = format!(
        "<details><summary>{} {} from {}: {}</summary>\n\n",
        mark(cell.verdict),
        escape(&cell.subject()),
        escape(&cell.vantage),
        escape(&words::answer(cell))
    );
    if let Some(endpoint) = &cell.endpoint {
        push!(text, "Endpoint {}\n\n", escape(endpoint));
    }
    if !cell.dns.is_empty() {
        text.push_str(
            "| resolver | server | outcome | addresses | class | TTL | time |\n|---|---|---|---|---|--:|--:|\n",
        );
    }
    for dns in &cell.dns {
        let addresses: Vec<String> = dns.addresses.iter().take(words::ADDRESS_LIMIT).map(ToString::to_string).collect();
        push!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} |\n",
            escape(&dns.resolver),
            escape(dns.server.as_deref().unwrap_or("")),
            dns.outcome.label(),
            escape(&addresses.join(" ")),
            dns.address_class.label(),
            dns.ttl.map(|ttl| format!("{ttl} s")).unwrap_or_default(),
            words::duration(dns.ms),
        );
    }
    if let Some(proxy) = &cell.proxy {
        let (tcp, tunnel) = (proxy.tcp.outcome.label(), proxy.tunnel.outcome.label());
        push!(text, "\nProxy {}: tcp {tcp}, tunnel {tunnel}\n", escape(&proxy.url));
    }
    if !cell.attempts.is_empty() {
        text.push_str("\n| address | class | TCP | TLS | HTTP | observed |\n|---|---|---|---|---|---|\n");
    }
    for attempt in cell.attempts.iter().take(words::ADDRESS_LIMIT) {
        push!(
            text,
            "| {} | {} | {} | {} | {} | {} |\n",
            escape(&words::attempt_name(attempt)),
            attempt.address_class.label(),
            timed(attempt.tcp.outcome.label(), attempt.tcp.ms),
            timed(attempt.tls.outcome.label(), attempt.tls.ms),
            timed(&words::http_outcome(attempt), attempt.http.ms),
            attempt.observed.label(),
        );
    }
    if cell.attempts.len() > words::ADDRESS_LIMIT {
        push!(text, "\n{} more addresses are in the JSON report\n", cell.attempts.len() - words::ADDRESS_LIMIT);
    }
    if !cell.path.is_empty() {
        text.push_str("\n| hop | kind | decision | rule |\n|---|---|---|---|\n");
    }
    for hop in &cell.path {
        let columns = [&hop.component, &hop.kind, &hop.decision, &hop.rule].map(|column| escape(column));
        push!(text, "| {} |\n", columns.join(" | "));
    }
    text + "\n</details>\n\n"
}

/// `verified 9.0 ms`; a stage that was not reached took no time.
fn timed(outcome: &str, ms: f64) -> String {
    if outcome == "skipped" { "–".to_owned() } else { format!("{outcome} {}", words::duration(ms)) }
}

const fn mark(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Match => "✅",
        Verdict::Propagating => "⏳",
        Verdict::Inconclusive => "❔",
        Verdict::Mismatch => "❌",
    }
}

/// Cells of which it is told how long they took.
/// Clusters beside each other.
const MOST_COLUMNS: usize = 12;
const CONVERGED_LIMIT: usize = 100;

/// Bytes of the whole text, somewhat less than the 1 MiB that a GitHub step summary may have.
pub const SIZE_LIMIT: usize = 960_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::every_variant;

    #[test]
    fn every_variant_as_markdown() {
        insta::assert_snapshot!(render(&every_variant::report()));
    }

    #[test]
    fn hostile_text_stays_text() {
        assert_eq!(escape("a|b\n`c` <d> http://e @g"), "a&#124;b&#92;n&#96;c&#96; &#60;d&#62; http&#58;//e &#64;g");
        let text = render(&every_variant::hostile_report());
        // Fenced blocks hold commands as they are; their fence is longer than any inside.
        let outside: String = text.split("````sh\n").map(|part| part.split("\n````\n").last().unwrap()).collect();
        assert!(text.matches("````sh").count() >= 3 && !outside.contains("<script"), "{outside}");
        assert!(!text.contains("\nFORGED"));
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()));
        assert_eq!(fenced("a ```` b"), "`````sh\na ```` b\n`````\n");
        assert!(!is_plain_link("https://a/)[x](javascript:y"));
    }

    #[test]
    fn a_great_report_fits_a_step_summary() {
        let mut report = every_variant::report();
        let cell = report.cells[0].clone();
        report.cells = vec![cell; 5_000];
        let text = render(&report);
        assert!(text.len() < 1_000_000, "{}", text.len());
        assert!(text.contains("further cells are in the JSON report"), "says what was left out");
    }
}

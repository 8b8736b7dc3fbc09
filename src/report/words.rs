//! Words that every renderer shares: harmless text, durations, the answer of a cell in one line.

use jiff::Timestamp;
use kubereach_probes::{Attempt, DnsObservation, HttpOutcome, TcpOutcome, TlsOutcome, TunnelOutcome};

use super::{Cell, Confidence, Finding, Intended, Reachability, Severity, Verdict};

/// Text from anywhere, made harmless for a terminal and for one line: control characters, terminal escapes,
/// direction overrides and invisible characters are written out (`\x1b`, `\u{202e}`), and what exceeds
/// [`TEXT_LIMIT`] characters is cut with a note of how much.
#[must_use]
pub fn visible(text: &str) -> String {
    let total = text.chars().count();
    let mut clean = String::with_capacity(text.len());
    for character in text.chars().take(TEXT_LIMIT) {
        push_visible(&mut clean, character);
    }
    if total > TEXT_LIMIT {
        push!(clean, "… ({} more characters)", total - TEXT_LIMIT);
    }
    clean
}

/// A command, line by line, each harmless like [`visible`], never cut in the middle: one that is longer than
/// [`COMMAND_LIMIT`] bytes is not shown at all, because half a command is worse than none.
#[must_use]
pub fn command_lines(command: &str) -> Vec<String> {
    if command.len() > COMMAND_LIMIT {
        return vec!["# too long to print here; it is in the JSON report".to_owned()];
    }
    command
        .lines()
        .map(|line| {
            let mut clean = String::with_capacity(line.len());
            line.trim_end().chars().for_each(|character| push_visible(&mut clean, character));
            clean
        })
        .collect()
}

/// Milliseconds for people: `0.3 ms`, `12 ms`, `3.0 s`, `2.5 min`; `-` for what is no duration.
#[must_use]
pub fn duration(ms: f64) -> String {
    if !ms.is_finite() || ms < 0.0 {
        "-".to_owned()
    } else if ms < 9.95 {
        format!("{ms:.1} ms")
    } else if ms < 999.5 {
        format!("{ms:.0} ms")
    } else if ms < 120_000.0 {
        format!("{:.1} s", ms / 1_000.0)
    } else {
        format!("{:.1} min", ms / 60_000.0)
    }
}

/// A time for people, UTC to the second: `2026-11-22 15:47:35 UTC`.
#[must_use]
pub fn moment(at: Timestamp) -> String {
    format!("{} UTC", stamp(at))
}

/// The same where a heading says that it is UTC: `2026-11-22 15:47:35`.
#[must_use]
pub fn stamp(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// How long ago a time was: `12 s`, `38 min`, `5 h`, `3 days`.
#[must_use]
pub fn ago(at: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(at).as_secs().max(0);
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// `1 entry`, `3 entries`.
#[must_use]
pub fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// The answer of a cell in one line, e.g. `reachable: a Kubernetes API server answered 401 (v1.33.1)`: the cell's own
/// summary where it has one, else made from what was observed.
#[must_use]
pub fn answer(cell: &Cell) -> String {
    let word = answer_word(cell);
    let summary = cell.summary.trim();
    if summary.is_empty() {
        return summarise(cell);
    }
    let begins = [
        word,
        "reachable",
        "not reachable",
        "unreachable",
        "not known",
        "offline",
        "predicted",
        "not predicted",
        "not decided",
    ];
    if begins.iter().any(|begin| summary.starts_with(begin)) {
        summary.to_owned()
    } else {
        format!("{word}: {summary}")
    }
}

/// The answer of a cell in one line, made only from what was observed; fit for [`Cell::summary`].
#[must_use]
pub fn summarise(cell: &Cell) -> String {
    let word = answer_word(cell);
    match cell.observed {
        Reachability::Reachable => format!("{word}: {}", reachable_because(cell)),
        Reachability::Unreachable => format!("{word}: {}", unreachable_because(cell)),
        Reachability::Unknown => format!("{word}: {}", unknown_because(cell)),
    }
}

/// `198.51.100.20:443`, `[2001:db8::1]:443`, or `through the proxy` when the proxy resolves the name.
#[must_use]
pub fn attempt_name(attempt: &Attempt) -> String {
    match attempt.address {
        Some(address) => std::net::SocketAddr::new(address, attempt.port).to_string(),
        None => format!("through the proxy, port {}", attempt.port),
    }
}

/// `prod from office: as intended after 9.1 s, 4 rounds`, for a cell that was waited for and converged.
#[must_use]
pub fn converged(cell: &Cell) -> Option<String> {
    let after = duration(cell.converged_after_ms? as f64);
    let rounds = if cell.rounds == 1 { "round" } else { "rounds" };
    Some(format!("{} from {}: as intended after {after}, {} {rounds}", cell.subject(), cell.vantage, cell.rounds))
}

/// The stage at which an attempt stopped and how: `tcp timeout`; `None` when it reached an API server.
#[must_use]
pub fn stopped_at(attempt: &Attempt) -> Option<String> {
    if attempt.skipped.is_some() {
        Some("not dialled".to_owned())
    } else if !matches!(attempt.tcp.outcome, TcpOutcome::Connected) {
        Some(format!("tcp {}", attempt.tcp.outcome.label()))
    } else if !matches!(attempt.tls.outcome, TlsOutcome::Verified) {
        Some(format!("tls {}", attempt.tls.outcome.label()))
    } else if !matches!(attempt.http.outcome, HttpOutcome::ApiServer) {
        Some(format!("http {}", attempt.http.outcome.label()))
    } else {
        None
    }
}

/// `api-server 401`: an HTTP stage in one or two words.
#[must_use]
pub fn http_outcome(attempt: &Attempt) -> String {
    match attempt.http.status {
        Some(status) => format!("{} {status}", attempt.http.outcome.label()),
        None => attempt.http.outcome.label().to_owned(),
    }
}

/// The resolver that decides: `system`, else the first that was asked.
#[must_use]
pub fn deciding_resolver(dns: &[DnsObservation]) -> Option<&DnsObservation> {
    dns.iter().find(|entry| entry.resolver == "system").or_else(|| dns.first())
}

/// What a degree of confidence says.
#[must_use]
pub const fn confidence_meaning(confidence: Confidence) -> &'static str {
    match confidence {
        Confidence::Certain => "Certain: no other cause looks like this",
        Confidence::Likely => "Likely: the rivals that could be checked are ruled out",
        Confidence::Possible => "Possible: other causes look the same; the evidence says what would decide",
    }
}

/// Every finding of the report once: its own list, then those that stand only in a cell.
#[must_use]
pub fn findings_once(report: &super::Report) -> Vec<&Finding> {
    let listed = |code: &str| report.findings.iter().any(|finding| finding.code == code);
    let only_in_cells = report.cells.iter().flat_map(|cell| &cell.findings).filter(|finding| !listed(&finding.code));
    report.findings.iter().chain(only_in_cells).collect()
}

/// What a finding says that none of those before it has said of the same cells: expectation and standpoint stand once.
#[must_use]
pub fn fresh_evidence<'a>(findings: &[&'a Finding], index: usize) -> Vec<&'a str> {
    let Some((finding, earlier)) = findings.get(index).map(|finding| (*finding, &findings[..index])) else {
        return Vec::new();
    };
    let cells = finding_cells(finding);
    let said = |sentence: &String| {
        earlier.iter().any(|other| other.evidence.contains(sentence) && finding_cells(other) == cells)
    };
    finding.evidence.iter().filter(|sentence| !said(sentence)).map(String::as_str).collect()
}

/// `cluster/vantage` of the cells in which a finding stands.
#[must_use]
pub fn finding_cells(finding: &Finding) -> Vec<String> {
    if !finding.cells.is_empty() {
        return finding.cells.clone();
    }
    match (&finding.cluster, &finding.vantage) {
        (Some(cluster), Some(vantage)) => vec![format!("{cluster}/{vantage}")],
        (Some(cluster), None) => vec![cluster.clone()],
        (None, _) => Vec::new(),
    }
}

/// The report's verdict in one line: `mismatch: 2 of 5 cells do not match`.
#[must_use]
pub fn headline(report: &super::Report) -> String {
    let total = report.cells.len();
    let count = |verdict: Verdict| report.cells.iter().filter(|cell| cell.verdict == verdict).count();
    let label = report.verdict.label();
    if total == 0 {
        return format!("{label}: {}", findings_counted(&report.findings));
    }
    let worst = report.cells.iter().map(|cell| cell.verdict).max();
    // Doctor's second path never decides; a configuration that is not the one that is meant always does.
    let beyond = if worst.is_some_and(|worst| report.verdict > worst) {
        ", but the configuration is not the one that is meant"
    } else {
        ""
    };
    if count(Verdict::Match) == total {
        return match beyond {
            "" => format!("{label}: {total} of {total} cells"),
            beyond => format!("{label}: {total} of {total} cells match{beyond}"),
        };
    }
    let parts: Vec<String> = [Verdict::Mismatch, Verdict::Inconclusive, Verdict::Propagating, Verdict::Match]
        .into_iter()
        .filter(|&verdict| count(verdict) > 0)
        .map(|verdict| format!("{} {}", count(verdict), verdict.label()))
        .collect();
    format!("{label}: {} of {total} cells{beyond}", parts.join(", "))
}

/// `1 error, 2 warnings, 3 notes`, or `no findings`.
fn findings_counted(findings: &[Finding]) -> String {
    let parts: Vec<String> = [(Severity::Error, "error"), (Severity::Warning, "warning"), (Severity::Info, "note")]
        .into_iter()
        .filter_map(|(severity, noun)| {
            let count = findings.iter().filter(|finding| finding.severity == severity).count();
            (count > 0).then(|| format!("{count} {noun}{}", if count == 1 { "" } else { "s" }))
        })
        .collect();
    if parts.is_empty() { "no findings".to_owned() } else { parts.join(", ") }
}

const fn answer_word(cell: &Cell) -> &'static str {
    match (cell.observed, cell.intended) {
        (Reachability::Reachable, Intended::Unreachable) => "reachable, though it should not be",
        (Reachability::Reachable, _) => "reachable",
        (Reachability::Unreachable, Intended::Unreachable) => "not reachable, as intended",
        (Reachability::Unreachable, _) => "not reachable",
        (Reachability::Unknown, _) => "not known",
    }
}

fn reachable_because(cell: &Cell) -> String {
    let dialled = || cell.attempts.iter().filter(|attempt| attempt.decides && attempt.skipped.is_none());
    let reached: Vec<&Attempt> = dialled().filter(|attempt| attempt.observed == Reachability::Reachable).collect();
    let Some(first) = reached.first() else { return "a Kubernetes API server answered".to_owned() };
    let mut text = "a Kubernetes API server answered".to_owned();
    if let Some(status) = first.http.status {
        push!(text, " {status}");
    }
    if let Some(version) = reached.iter().find_map(|attempt| attempt.http.version.as_deref()) {
        push!(text, " ({version})");
    }
    if reached.len() < dialled().count() {
        push!(text, " at {} of {} addresses", reached.len(), dialled().count());
    }
    text
}

fn unreachable_because(cell: &Cell) -> String {
    if let Some(proxy) = &cell.proxy
        && proxy.tunnel.outcome != TunnelOutcome::Established
    {
        return match (proxy.tcp.outcome, proxy.tunnel.outcome) {
            (TcpOutcome::Connected, outcome) => format!("the proxy {} said {}", proxy.url, outcome.label()),
            (outcome, _) => format!("the proxy {} itself: tcp {}", proxy.url, outcome.label()),
        };
    }
    // A skipped address does not count, unless there is no other.
    let all = || cell.attempts.iter().filter(|attempt| attempt.decides);
    let dialled: Vec<&Attempt> = all().filter(|attempt| attempt.skipped.is_none()).collect();
    let deciding = if dialled.is_empty() { all().collect() } else { dialled };
    if deciding.is_empty() {
        return match deciding_resolver(&cell.dns) {
            Some(dns) => format!("no address for {} ({} resolver: {})", dns.name, dns.resolver, dns.outcome.label()),
            None => "nothing answered".to_owned(),
        };
    }
    let mut groups: Vec<(String, usize)> = Vec::new();
    for stop in deciding.iter().filter_map(|attempt| stopped_at(attempt)) {
        match groups.iter_mut().find(|(text, _)| *text == stop) {
            Some((_, count)) => *count += 1,
            None => groups.push((stop, 1)),
        }
    }
    groups.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let total = deciding.len();
    let parts: Vec<String> = groups.iter().map(|(text, count)| format!("{text} at {count} of {total}")).collect();
    let noun = if total == 1 { "address" } else { "addresses" };
    format!("{} {noun}", parts.join(", "))
}

fn unknown_because(cell: &Cell) -> &'static str {
    match &cell.connectivity {
        Some(connectivity) if !connectivity.ipv4_route && !connectivity.ipv6_route => {
            "this prober has no route to any network"
        }
        Some(connectivity)
            if !connectivity.controls.is_empty() && connectivity.controls.iter().all(|c| !c.answered) =>
        {
            "this prober seems to be offline, no control target answers either"
        }
        _ if cell.attempts.is_empty() && cell.dns.is_empty() => "nothing was probed",
        _ => "the probe could not be decided",
    }
}

/// Pushes a character, written out when it could hide, move or colour text.
fn push_visible(clean: &mut String, character: char) {
    match character {
        '\n' => clean.push_str("\\n"),
        '\r' => clean.push_str("\\r"),
        '\t' => clean.push_str("\\t"),
        '\0'..='\u{1f}' | '\u{7f}' => push!(*clean, "\\x{:02x}", u32::from(character)),
        _ if is_deceptive(character) => push!(*clean, "\\u{{{:x}}}", u32::from(character)),
        _ => clean.push(character),
    }
}

/// Characters that terminals and browsers act upon or do not show: C1 controls, direction marks and overrides,
/// zero-width ones, line separators, variation selectors, tags, private use, noncharacters.
pub(super) const fn is_deceptive(character: char) -> bool {
    matches!(character,
        '\u{80}'..='\u{9f}' | '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
        | '\u{e000}'..='\u{f8ff}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        | '\u{fffe}' | '\u{ffff}' | '\u{e0000}'..='\u{10ffff}')
}

/// Characters of one piece of text that are shown.
pub const TEXT_LIMIT: usize = 1_000;

/// Bytes of a command that are shown.
pub const COMMAND_LIMIT: usize = 8_192;

/// Addresses of one cell that are drawn; the rest is counted, and whole in the JSON report.
pub const ADDRESS_LIMIT: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_become_visible_and_length_is_bounded() {
        assert_eq!(visible("a\x1b[31mb\u{9b}c\u{202e}d\r\n\t\u{7f}"), "a\\x1b[31mb\\u{9b}c\\u{202e}d\\r\\n\\t\\x7f");
        assert_eq!(visible("grün 東京"), "grün 東京");
        let long = visible(&"x".repeat(5_000));
        assert!(long.ends_with("… (4000 more characters)") && long.chars().count() < 1_100, "{long}");
    }

    #[test]
    fn a_command_keeps_its_lines_and_is_never_cut() {
        assert_eq!(command_lines("a 'b' \\\n  c\x07"), ["a 'b' \\", "  c\\x07"]);
        assert_eq!(command_lines(&"y".repeat(COMMAND_LIMIT + 1)).len(), 1);
        assert!(command_lines(&"y".repeat(COMMAND_LIMIT + 1))[0].starts_with('#'));
    }

    #[test]
    fn what_an_earlier_finding_said_of_the_same_cells_is_not_said_again() {
        let finding = |code: &str, vantage: &str, evidence: &[&str]| Finding {
            code: code.to_owned(),
            cells: vec![format!("prod/{vantage}")],
            evidence: evidence.iter().map(|&sentence| sentence.to_owned()).collect(),
            ..crate::report::every_variant::report().findings[0].clone()
        };
        let first = finding("a", "laptop", &["Expected.", "Seen."]);
        let second = finding("b", "laptop", &["Expected.", "Seen otherwise."]);
        let elsewhere = finding("c", "office", &["Expected."]);
        let findings = [&first, &second, &elsewhere];
        assert_eq!(fresh_evidence(&findings, 0), ["Expected.", "Seen."]);
        assert_eq!(fresh_evidence(&findings, 1), ["Seen otherwise."]);
        assert_eq!(fresh_evidence(&findings, 2), ["Expected."]);
    }

    #[test]
    fn durations_read_well() {
        let shown: Vec<String> =
            [0.0, 3.12, 12.4, 999.4, 999.6, 3_000.0, 150_000.0, f64::NAN, -1.0].into_iter().map(duration).collect();
        assert_eq!(shown, ["0.0 ms", "3.1 ms", "12 ms", "999 ms", "1.0 s", "3.0 s", "2.5 min", "-", "-"]);
    }
}

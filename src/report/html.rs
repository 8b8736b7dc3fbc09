//! One self-contained HTML file: no script, no external asset, light and dark by the reader's preference.

use kubereach_probes::{HttpOutcome, TcpOutcome, TlsOutcome};

use super::{
    Cell, Finding, Hop, Report, Verdict, Via,
    matrix::{Grid, first_error, truths},
    words,
};

/// Draws the report.
#[must_use]
pub fn render(report: &Report) -> String {
    let mut html = String::from(HEAD);
    push!(html, "<style>{STYLE}</style>\n</head>\n<body>\n");
    let verdict = report.verdict.label();
    push!(html, "<h1>kubereach: <span class=\"{verdict}\">{}</span></h1>\n", escape(&words::headline(report)));
    push!(html, "<p class=\"dim\">{} to {} (UTC)</p>\n", report.started_at, report.finished_at);
    matrix(&mut html, report);
    let found = words::findings_once(report);
    if !found.is_empty() {
        html.push_str("<h2>Findings</h2>\n<ol>\n");
        for (index, one) in found.iter().enumerate() {
            finding(&mut html, one, &words::fresh_evidence(&found, index));
        }
        html.push_str("</ol>\n");
    }
    if !report.cells.is_empty() {
        html.push_str("<h2>Cells</h2>\n");
    }
    for (index, cell) in report.cells.iter().enumerate() {
        details(&mut html, index, cell);
    }
    html.push_str("</body>\n</html>\n");
    html
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in words::visible(text).chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(character),
        }
    }
    escaped
}

fn matrix(html: &mut String, report: &Report) {
    if report.cells.is_empty() {
        return;
    }
    if let Some(grid) = Grid::of(&report.cells) {
        self::grid(html, &grid);
    }
    html.push_str("<table>\n");
    table_head(html, &["cluster", "vantage", "intended", "configured", "observed", "via", "verdict", "cause"]);
    for (index, cell) in report.cells.iter().enumerate() {
        let verdict = cell.verdict.label();
        push!(
            *html,
            "<tr><td>{}</td><td><a href=\"#cell-{index}\">{}</a></td><td>{}</td><td>{}</td><td>{}</td><td>{}</td>\
             <td class=\"{verdict}\">{} {verdict}</td><td><code>{}</code></td></tr>\n",
            escape(&cell.subject()),
            escape(&cell.vantage),
            cell.intended.label(),
            cell.configured.label(),
            cell.observed.label(),
            cell.via.map_or("", Via::label),
            mark(cell.verdict),
            escape(first_error(cell).unwrap_or_default()),
        );
    }
    html.push_str("</table>\n");
}

/// Vantages by clusters: intended, configured and observed, each a link to its cell.
fn grid(html: &mut String, grid: &Grid<'_>) {
    html.push_str("<table>\n<tr><th>intended / configured / observed</th>");
    for subject in &grid.subjects {
        push!(*html, "<th>{}</th>", escape(subject));
    }
    html.push_str("</tr>\n");
    for vantage in &grid.vantages {
        push!(*html, "<tr><th>{}</th>", escape(vantage));
        for subject in &grid.subjects {
            let Some((index, cell)) = grid.cell(subject, vantage) else {
                html.push_str("<td></td>");
                continue;
            };
            let code = first_error(cell).map(|code| format!("<br><code>{}</code>", escape(code))).unwrap_or_default();
            push!(
                *html,
                "<td><a href=\"#cell-{index}\"><span class=\"{}\">{}</span> {}</a>{code}</td>",
                cell.verdict.label(),
                mark(cell.verdict),
                truths(cell),
            );
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</table>\n");
}

fn finding(html: &mut String, finding: &Finding, evidence: &[&str]) {
    let (severity, confidence) = (finding.severity.label(), finding.confidence.label());
    push!(*html, "<li class=\"finding\"><b>{}</b><br>\n", escape(&finding.title));
    push!(
        *html,
        "<code>{}</code> · <span class=\"{severity}\">{severity}</span> · {confidence}\n",
        escape(&finding.code)
    );
    let cells = words::finding_cells(finding);
    if !cells.is_empty() {
        push!(*html, "<p class=\"dim\">In: {}</p>\n", escape(&cells.join(", ")));
    }
    for sentence in evidence {
        push!(*html, "<p>{}</p>\n", escape(sentence));
    }
    if let Some(setting) = &finding.setting {
        push!(*html, "<p>Setting: <code>{}</code></p>\n", escape(setting));
    }
    if let Some(fix) = &finding.fix {
        let lines: Vec<String> = words::command_lines(fix).iter().map(|line| escape_whole(line)).collect();
        push!(*html, "<pre>{}</pre>\n", lines.join("\n"));
    }
    push!(*html, "<p class=\"dim\">{}</p>\n", escape(words::confidence_meaning(finding.confidence)));
    if let Some(docs) = finding.docs.as_ref().filter(|docs| docs.starts_with("https://")) {
        let docs = escape(docs);
        push!(*html, "<p><a rel=\"noreferrer\" href=\"{docs}\">{docs}</a></p>\n");
    }
    html.push_str("</li>\n");
}

/// A line of a command: escaped, but never cut (its length is bounded as a whole).
fn escape_whole(line: &str) -> String {
    let pieces: Vec<char> = line.chars().collect();
    pieces.chunks(words::TEXT_LIMIT).map(|piece| escape(&piece.iter().collect::<String>())).collect()
}

fn details(html: &mut String, index: usize, cell: &Cell) {
    let open = if cell.verdict == Verdict::Match { "" } else { " open" };
    let verdict = cell.verdict.label();
    push!(
        *html,
        "<details id=\"cell-{index}\"{open}><summary><span class=\"{verdict}\">{}</span> <b>{} from {}</b>: {}</summary>\n",
        mark(cell.verdict),
        escape(&cell.subject()),
        escape(&cell.vantage),
        escape(&words::answer(cell)),
    );
    push!(
        *html,
        "<p class=\"dim\">{} ({}), {} {}{}</p>\n",
        escape(cell.endpoint.as_deref().unwrap_or("endpoint not known")),
        cell.provider.label(),
        cell.rounds,
        if cell.rounds == 1 { "round" } else { "rounds" },
        cell.converged_after_ms
            .map(|ms| format!(", converged after {}", words::duration(ms as f64)))
            .unwrap_or_default(),
    );
    resolvers(html, cell);
    proxy(html, cell);
    attempts(html, cell);
    egress(html, cell);
    path(html, &cell.path);
    html.push_str("</details>\n");
}

fn resolvers(html: &mut String, cell: &Cell) {
    if cell.dns.is_empty() {
        return;
    }
    html.push_str("<table>\n");
    table_head(html, &["resolver", "server", "outcome", "addresses", "class", "TTL", "time"]);
    for dns in &cell.dns {
        let addresses: Vec<String> = dns.addresses.iter().take(words::ADDRESS_LIMIT).map(ToString::to_string).collect();
        push!(
            *html,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
            escape(&dns.resolver),
            escape(dns.server.as_deref().unwrap_or("")),
            dns.outcome.label(),
            addresses.join("<br>"),
            dns.address_class.label(),
            dns.ttl.map(|ttl| format!("{ttl} s")).unwrap_or_default(),
            words::duration(dns.ms),
        );
    }
    html.push_str("</table>\n");
}

fn proxy(html: &mut String, cell: &Cell) {
    let Some(proxy) = &cell.proxy else { return };
    push!(
        *html,
        "<p>Proxy <code>{}</code>: tcp {}, tunnel {}{}</p>\n",
        escape(&proxy.url),
        proxy.tcp.outcome.label(),
        proxy.tunnel.outcome.label(),
        proxy.tunnel.detail.as_ref().map(|detail| format!(" ({})", escape(detail))).unwrap_or_default(),
    );
}

fn attempts(html: &mut String, cell: &Cell) {
    if cell.attempts.is_empty() {
        return;
    }
    html.push_str("<table>\n");
    table_head(html, &["address", "class", "TCP", "TLS", "HTTP", "observed"]);
    for attempt in cell.attempts.iter().take(words::ADDRESS_LIMIT) {
        let stage = |good: bool, skipped: bool, outcome: &str, ms: f64, detail: &Option<String>| {
            let class = if good { "match" } else { "mismatch" };
            if skipped {
                return "<td class=\"dim\">skipped</td>".to_owned();
            }
            let detail = detail.as_ref().map(|detail| format!("<br><small>{}</small>", escape(detail)));
            let time = words::duration(ms);
            format!("<td><span class=\"{class}\">{outcome}</span> {time}{}</td>", detail.unwrap_or_default())
        };
        let (tcp, tls, http) = (&attempt.tcp, &attempt.tls, &attempt.http);
        push!(
            *html,
            "<tr><td>{}{}</td><td>{}</td>{}{}{}<td>{}</td></tr>\n",
            escape(&words::attempt_name(attempt)),
            if attempt.decides { "" } else { "<br><small>evidence only</small>" },
            attempt.address_class.label(),
            stage(
                tcp.outcome == TcpOutcome::Connected,
                attempt.skipped.is_some(),
                tcp.outcome.label(),
                tcp.ms,
                &tcp.detail
            ),
            stage(
                tls.outcome == TlsOutcome::Verified,
                tls.outcome == TlsOutcome::Skipped,
                tls.outcome.label(),
                tls.ms,
                &tls.detail
            ),
            stage(
                http.outcome == HttpOutcome::ApiServer,
                http.outcome == HttpOutcome::Skipped,
                &words::http_outcome(attempt),
                http.ms,
                &http.detail
            ),
            attempt.observed.label(),
        );
    }
    html.push_str("</table>\n");
    if cell.attempts.len() > words::ADDRESS_LIMIT {
        let more = cell.attempts.len() - words::ADDRESS_LIMIT;
        push!(*html, "<p class=\"dim\">{more} more addresses are in the JSON report</p>\n");
    }
}

fn egress(html: &mut String, cell: &Cell) {
    for one in &cell.egress {
        let server = escape(&one.server);
        let detail = one.detail.as_ref().map(|detail| format!(": {}", escape(detail))).unwrap_or_default();
        match one.address {
            Some(address) => push!(*html, "<p>Seen as <code>{address}</code> by <code>{server}</code></p>\n"),
            None => push!(*html, "<p class=\"dim\"><code>{server}</code> tells no address{detail}</p>\n"),
        }
    }
    for sentence in &cell.left_out {
        push!(*html, "<p class=\"warning\">Not done: {}</p>\n", escape(sentence));
    }
}

/// The path as a chain of boxes, the blocking ones marked.
fn path(html: &mut String, hops: &[Hop]) {
    if hops.is_empty() {
        return;
    }
    html.push_str("<ol class=\"path\">\n");
    for hop in hops {
        let class = match hop.decision.as_str() {
            "deny" | "drop" => "mismatch",
            "unknown" => "inconclusive",
            _ => "match",
        };
        push!(
            *html,
            "<li><b>{}</b><br><small>{}</small><br><span class=\"{class}\">{}</span><br><small>{}</small></li>\n",
            escape(&hop.component),
            escape(&hop.kind),
            escape(&hop.decision),
            escape(&hop.rule),
        );
    }
    html.push_str("</ol>\n");
}

fn table_head(html: &mut String, columns: &[&str]) {
    html.push_str("<tr>");
    for column in columns {
        push!(*html, "<th>{column}</th>");
    }
    html.push_str("</tr>\n");
}

const fn mark(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Match => "✓",
        Verdict::Propagating => "…",
        Verdict::Inconclusive => "?",
        Verdict::Mismatch => "✗",
    }
}

const HEAD: &str = r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>kubereach report</title>
"#;

const STYLE: &str = "
:root { color-scheme: light dark; --back: #fff; --fore: #1b1f24; --dim: #59636e; --line: #d1d9e0; --box: #f6f8fa;
  --good: #1a7f37; --bad: #c62828; --warn: #8a5a00; }
@media (prefers-color-scheme: dark) {
  :root { --back: #0d1117; --fore: #e6edf3; --dim: #9198a1; --line: #3d444d; --box: #161b22;
    --good: #4ac26b; --bad: #ff7b72; --warn: #d9a441; }
}
body { background: var(--back); color: var(--fore); font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto;
  max-width: 70rem; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; display: block; margin: .7rem 0; overflow-x: auto; }
th, td { border: 1px solid var(--line); padding: .25rem .6rem; text-align: left; vertical-align: top; }
th { background: var(--box); font-weight: 600; }
pre { background: var(--box); border: 1px solid var(--line); overflow-x: auto; padding: .6rem; }
code, pre { font-family: ui-monospace, monospace; font-size: .9em; overflow-wrap: anywhere; }
p { margin: .3rem 0; } a { color: inherit; } .dim { color: var(--dim); }
.match { color: var(--good); } .mismatch, .error { color: var(--bad); font-weight: 600; }
.inconclusive, .propagating, .warning { color: var(--warn); font-weight: 600; } .info { color: var(--dim); }
details { border: 1px solid var(--line); border-radius: 6px; margin: .6rem 0; padding: .5rem .8rem; }
summary { cursor: pointer; } li.finding { margin-bottom: 1.2rem; }
ol.path { display: flex; flex-wrap: wrap; gap: 1.6rem; list-style: none; padding: 0; }
ol.path li { background: var(--box); border: 1px solid var(--line); border-radius: 6px; max-width: 16rem;
  padding: .4rem .6rem; position: relative; }
ol.path li + li::before { content: '→'; left: -1.3rem; position: absolute; top: .4rem; }
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::every_variant;

    #[test]
    fn every_variant_as_html() {
        insta::assert_snapshot!(render(&every_variant::report()));
    }

    #[test]
    fn hostile_text_is_escaped() {
        let html = render(&every_variant::hostile_report());
        assert!(
            !html.contains("<script") && !html.contains("onerror=\"") && !html.contains("javascript:x\""),
            "{html}"
        );
        assert!(html.chars().all(|c| c == '\n' || !c.is_control()));
    }

    #[test]
    fn nothing_is_loaded_from_elsewhere() {
        let html = render(&every_variant::report());
        for forbidden in ["<script", "<link", "<img", "src=", "url(", "@import"] {
            assert!(!html.contains(forbidden), "{forbidden}");
        }
    }
}

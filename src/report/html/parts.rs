//! The pieces of HTML that the report's file and the watch's page share.

use kubereach_probes::{HttpOutcome, TcpOutcome, TlsOutcome};

use crate::report::{Cell, Finding, Hop, Verdict, words};

/// Text from anywhere as text of HTML: harmless as [`words::visible`] makes it, markup escaped.
pub(crate) fn escape(text: &str) -> String {
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

/// A finding as an item of a list, with so much of its evidence.
pub(crate) fn finding(html: &mut String, finding: &Finding, evidence: &[&str]) {
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

/// How each resolver answered, as a table.
pub(crate) fn resolvers(html: &mut String, cell: &Cell) {
    if cell.dns.is_empty() {
        return;
    }
    table_begin(html, "Resolvers", &["resolver", "server", "outcome", "addresses", "class", "TTL", "time"]);
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
    table_end(html);
}

/// The proxy in between, in a sentence.
pub(crate) fn proxy(html: &mut String, cell: &Cell) {
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

/// Each address that was dialled, stage by stage, as a table.
pub(crate) fn attempts(html: &mut String, cell: &Cell) {
    if cell.attempts.is_empty() {
        return;
    }
    table_begin(html, "Addresses", &["address", "class", "TCP", "TLS", "HTTP", "observed"]);
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
    table_end(html);
    if cell.attempts.len() > words::ADDRESS_LIMIT {
        let more = cell.attempts.len() - words::ADDRESS_LIMIT;
        push!(*html, "<p class=\"dim\">{more} more addresses are in the JSON report</p>\n");
    }
}

/// By which address the vantage is seen, and what it did not do.
pub(crate) fn egress(html: &mut String, cell: &Cell) {
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
pub(crate) fn path(html: &mut String, hops: &[Hop]) {
    if hops.is_empty() {
        return;
    }
    html.push_str("<ol class=\"path\">\n");
    for hop in hops {
        let (verdict, blocks) = match hop.decision.as_str() {
            "deny" | "drop" => (Verdict::Mismatch, " class=\"blocks\""),
            "unknown" => (Verdict::Inconclusive, ""),
            _ => (Verdict::Match, ""),
        };
        push!(
            *html,
            "<li{blocks}><b>{}</b><br><small>{}</small><br><span class=\"{}\">{} {}</span><br><small>{}</small></li>\n",
            escape(&hop.component),
            escape(&hop.kind),
            verdict.label(),
            mark(verdict),
            escape(&hop.decision),
            escape(&hop.rule),
        );
    }
    html.push_str("</ol>\n");
}

/// The beginning of a table that scrolls by itself, with its caption and the names of its columns.
pub(crate) fn table_begin(html: &mut String, caption: &str, columns: &[&str]) {
    push!(
        *html,
        "<div class=\"scroll\" role=\"group\" aria-label=\"{caption}\" tabindex=\"0\"><table>\n\
         <caption>{caption}</caption>\n<thead><tr>"
    );
    for column in columns {
        push!(*html, "<th scope=\"col\">{column}</th>");
    }
    html.push_str("</tr></thead>\n<tbody>\n");
}

/// The end of a table that [`table_begin`] began.
pub(crate) fn table_end(html: &mut String) {
    html.push_str("</tbody>\n</table></div>\n");
}

/// A verdict as one character, so that colour is never all that tells it.
pub(crate) const fn mark(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Match => "✓",
        Verdict::Propagating => "…",
        Verdict::Inconclusive => "?",
        Verdict::Mismatch => "✗",
    }
}

/// A line of a command: escaped, but never cut (its length is bounded as a whole).
fn escape_whole(line: &str) -> String {
    let pieces: Vec<char> = line.chars().collect();
    pieces.chunks(words::TEXT_LIMIT).map(|piece| escape(&piece.iter().collect::<String>())).collect()
}

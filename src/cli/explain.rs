//! `kubereach explain`: the long form of a cause, or the causes that fit the text of an error.

use crate::{
    causes::{self, Cause, Need, symptoms::Ranked},
    input::InputError,
    report::{
        json,
        page::{Ink, Page, Paper, span},
    },
};

/// Whether a query is meant as a code rather than as the text of an error: one kebab-case word with a hyphen, or a
/// code that exists.
#[must_use]
pub fn is_code(query: &str) -> bool {
    let query = query.trim();
    let kebab = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    causes::by_code(query).is_some() || query.contains('-') && query.chars().all(kebab)
}

/// The cause with this code; else an input error with the nearest codes.
pub fn find(code: &str) -> Result<&'static Cause, InputError> {
    causes::by_code(code.trim()).ok_or_else(|| unknown(code.trim(), causes::all().map(|cause| cause.code)))
}

/// A cause in the long form, for people.
#[must_use]
pub fn cause_text(cause: &Cause, paper: Paper) -> String {
    let mut page = Page::new(paper);
    page.paragraph(0, 2, &[span(Ink::Strong, cause.title)]);
    page.line(0, &[span(Ink::Dim, format!("{} · {}", cause.code, cause.severity.label()))]);
    section(&mut page, "WHAT IS SEEN, AND WHAT ELSE LOOKS LIKE IT", cause.signature);
    section(&mut page, "WHAT DECIDES", cause.decided_by);
    let needs: Vec<&str> = cause.needs.iter().map(|need| need_words(*need)).collect();
    section(&mut page, "NEEDS", &needs.join(", "));
    section(&mut page, "SETTING", cause.setting);
    if !cause.fix.is_empty() {
        heading(&mut page, "FIX");
        page.command(2, cause.fix);
    }
    if !cause.kubectl.is_empty() {
        heading(&mut page, "KUBECTL SAYS");
        cause.kubectl.iter().for_each(|fragment| page.paragraph(2, 4, &[span(Ink::Plain, *fragment)]));
    }
    if !cause.docs.is_empty() {
        heading(&mut page, "READ ON");
        page.line(2, &[span(Ink::Plain, cause.docs)]);
    }
    page.finish()
}

/// A cause as one JSON document.
#[must_use]
pub fn cause_json(cause: &Cause) -> String {
    json::to_document(&serde_json::json!({
        "schema": "kubereach.cause/v1",
        "code": cause.code,
        "severity": cause.severity,
        "title": cause.title,
        "needs": cause.needs.iter().map(|need| need_label(*need)).collect::<Vec<_>>(),
        "signature": cause.signature,
        "setting": cause.setting,
        "fix": cause.fix,
        "docs": cause.docs,
        "kubectl": cause.kubectl,
        "decidedBy": cause.decided_by,
    }))
}

/// The causes that fit an error text, most probable first, for people.
#[must_use]
pub fn ranked_text(ranked: &[Ranked], paper: Paper) -> String {
    let mut page = Page::new(paper);
    if ranked.is_empty() {
        page.paragraph(0, 2, &[span(Ink::Strong, "No cause in the catalogue fits this text.")]);
        page.paragraph(0, 2, &[span(Ink::Plain, "To see what happens on the wire, run:")]);
        page.command(2, "kubereach doctor");
        return page.finish();
    }
    let count = if ranked.len() == 1 { "One cause fits".to_owned() } else { format!("{} causes fit", ranked.len()) };
    page.paragraph(0, 2, &[span(Ink::Strong, format!("{count} this text, the most probable first"))]);
    let mut number = 0;
    // Causes that the same words point to, and that the same probe tells apart, stand together.
    for group in ranked.chunk_by(|one, next| one.why == next.why && one.decided_by == next.decided_by) {
        page.blank();
        for (label, text) in [("", &*group[0].why), ("Decided by: ", group[0].decided_by)] {
            if !text.is_empty() {
                page.paragraph(0, 2, &[span(Ink::Dim, label), span(Ink::Plain, text)]);
            }
        }
        for Ranked { code, .. } in group {
            number += 1;
            let head = format!("{number}. ");
            let title = causes::by_code(code).map_or(*code, |cause| cause.title);
            page.paragraph(2, 2 + head.len(), &[span(Ink::Plain, &head), span(Ink::Strong, title)]);
            page.line(2 + head.len(), &[span(Ink::Dim, *code)]);
        }
    }
    page.blank();
    page.paragraph(0, 2, &[span(Ink::Plain, "To read on, and to let the probes decide:")]);
    page.command(2, &format!("kubereach explain {}", ranked[0].code));
    page.command(2, "kubereach doctor");
    page.finish()
}

/// The causes that fit an error text as one JSON document.
#[must_use]
pub fn ranked_json(text: &str, ranked: &[Ranked]) -> String {
    json::to_document(&serde_json::json!({
        "schema": "kubereach.explanation/v1",
        "text": text,
        "causes": ranked,
    }))
}

fn unknown(code: &str, known: impl Iterator<Item = &'static str>) -> InputError {
    let near = near(code, known);
    let error = InputError::new(format!("no finding has the code {code:?}"));
    if near.is_empty() {
        error.help("codes stand in reports; paste the text of an error to see which causes fit")
    } else {
        error.help(format!("did you mean {}?", near.join(", ")))
    }
}

/// The at most five codes that resemble this one, the nearest first.
fn near(code: &str, known: impl Iterator<Item = &'static str>) -> Vec<&'static str> {
    // A pasted page is no code, and comparing takes time by length.
    let code: String = code.chars().take(80).collect();
    let mut rated: Vec<(f64, &str)> = known
        .map(|other| {
            let within = code.len() >= 4 && other.contains(code.as_str());
            (if within { 1.0 } else { strsim::jaro_winkler(&code, other) }, other)
        })
        .filter(|(similarity, _)| *similarity >= SIMILAR)
        .collect();
    rated.sort_by(|(a, x), (b, y)| b.total_cmp(a).then(x.cmp(y)));
    rated.into_iter().take(5).map(|(_, other)| other).collect()
}

fn section(page: &mut Page, title: &str, text: &str) {
    if text.is_empty() {
        return;
    }
    heading(page, title);
    text.split('\n')
        .filter(|line| !line.trim().is_empty())
        .for_each(|line| page.paragraph(2, 2, &[span(Ink::Plain, line)]));
}

fn heading(page: &mut Page, title: &str) {
    page.blank();
    page.line(0, &[span(Ink::Strong, title)]);
}

const fn need_words(need: Need) -> &'static str {
    match need {
        Need::Probe => "a live probe",
        Need::Facts => "the provider's configuration",
        Need::Client => "kubeconfig, environment or local routes",
        Need::Scenario => "the scenario",
    }
}

const fn need_label(need: Need) -> &'static str {
    match need {
        Need::Probe => "probe",
        Need::Facts => "facts",
        Need::Client => "client",
        Need::Scenario => "scenario",
    }
}

const SIMILAR: f64 = 0.85;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Severity;

    const CAUSE: Cause = Cause {
        configuration: None,
        code: "example-connect-timeout",
        severity: Severity::Error,
        title: "Nothing answers on the port",
        needs: &[Need::Probe, Need::Facts],
        signature: "TCP gets no answer from any address. A silent allow-list, a missing route and a switched-off \
                    server look the same; a refusal would rule out the first.",
        setting: "the path between vantage and endpoint",
        fix: "kubereach doctor -v",
        docs: "https://kubernetes.io/docs/reference/",
        kubectl: &["i/o timeout"],
        decided_by: "a probe from inside the network",
        predicate: None,
    };

    fn ranked() -> Vec<Ranked> {
        vec![
            Ranked { code: "example-connect-timeout", why: "\"i/o timeout\"".to_owned(), decided_by: "a trace" },
            Ranked { code: "example-no-route", why: "\"dial tcp\"\x1b".to_owned(), decided_by: "" },
        ]
    }

    #[test]
    fn a_cause_reads_well() {
        insta::assert_snapshot!("cause", cause_text(&CAUSE, Paper { width: 60, ..Paper::default() }));
        let json: serde_json::Value = serde_json::from_str(&cause_json(&CAUSE)).unwrap();
        assert_eq!(json["needs"], serde_json::json!(["probe", "facts"]));
        assert_eq!(json["severity"], "error");
    }

    #[test]
    fn ranked_causes_read_well() {
        insta::assert_snapshot!("ranked", ranked_text(&ranked(), Paper::default()));
        assert!(ranked_text(&[], Paper::default()).contains("kubereach doctor"));
        let json: serde_json::Value = serde_json::from_str(&ranked_json("x", &ranked())).unwrap();
        assert_eq!(json["causes"][0]["decidedBy"], "a trace");
    }

    #[test]
    fn an_unknown_code_names_its_neighbours() {
        let known = ["net-connect-timeout", "net-connect-refused", "tls-expired", "dns-stale-answer"];
        let help = |code: &str| unknown(code, known.into_iter()).help.unwrap();
        assert!(
            help("net-conect-timeout").starts_with("did you mean net-connect-timeout"),
            "{}",
            help("net-conect-timeout")
        );
        assert_eq!(help("stale-answer"), "did you mean dns-stale-answer?");
        assert!(help("zzzz").starts_with("codes stand in reports"));
        assert!(find("no-such-code-as-this-one").is_err());
    }

    #[test]
    fn codes_and_texts_are_told_apart() {
        assert!(is_code(" tls-expired "));
        assert!(!is_code("Unable to connect to the server: net/http: TLS handshake timeout"));
        assert!(!is_code("timeout"));
    }
}

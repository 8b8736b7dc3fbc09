//! The judgement: what a run said against what the case expects, and against what the contract says of every run.

use std::{collections::BTreeMap, fmt::Write as _};

use kubereach::causes;
use serde_json::Value;

use crate::case::{AttemptExpect, Case, CellExpect, DnsExpect, FindingExpect};

/// What a run of kubereach came to.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Exit status; `None` when a signal ended it.
    pub(crate) exit: Option<i32>,
    /// How long it took.
    pub(crate) seconds: f64,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// The JSON report's text, if one was written.
    pub(crate) report: Option<String>,
    /// What `kubereach schema report` prints.
    pub(crate) schema: String,
}

impl Outcome {
    /// All of it, for the reader of a failure.
    pub(crate) fn show(&self) -> String {
        let report = self.report.as_deref().map_or_else(|| "none".to_owned(), brief);
        format!(
            "--- exit {:?} after {:.1} s\n--- stdout\n{}\n--- stderr\n{}\n--- report\n{report}",
            self.exit, self.seconds, self.stdout, self.stderr
        )
    }
}

/// What doctor observed on the path that kubectl takes, if it came to an observation.
pub(crate) fn observed_here(outcome: &Outcome) -> Option<String> {
    let report: Value = serde_json::from_str(outcome.report.as_deref()?).ok()?;
    let here = list(&report["cells"]).iter().find(|cell| cell["vantage"] == "here")?;
    here["observed"].as_str().map(str::to_owned)
}

/// Everything that is not as it should be, a line each.
pub(crate) fn judge(case: &Case, outcome: &Outcome) -> Vec<String> {
    let mut problems = Vec::new();
    let expect = &case.expect;
    let verdict = expect.verdict.as_deref().or(case.healthy.then_some("match"));
    let exit = expect.exit.or(verdict.map(exit_of));
    if let Some(exit) = exit
        && outcome.exit != Some(exit)
    {
        problems.push(format!("exit status: {exit} expected, {:?} seen", outcome.exit));
    }
    for (texts, seen, place) in
        [(&expect.stdout, &outcome.stdout, "stdout"), (&expect.stderr, &outcome.stderr, "stderr")]
    {
        for text in texts.iter().filter(|text| !seen.contains(text.as_str())) {
            problems.push(format!("{place}: {text:?} is not in it"));
        }
    }
    for secret in &expect.secrets {
        let report = outcome.report.as_deref().unwrap_or_default();
        if [outcome.stdout.as_str(), outcome.stderr.as_str(), report].iter().any(|text| text.contains(secret.as_str()))
        {
            problems.push(format!("the secret {secret:?} is shown"));
        }
    }
    if let Some(most) = expect.max_seconds
        && outcome.seconds > most
    {
        problems.push(format!("time: at most {most} s expected, {:.1} s seen", outcome.seconds));
    }
    if let Some(least) = expect.min_seconds
        && outcome.seconds < least
    {
        problems.push(format!("time: at least {least} s expected, {:.1} s seen", outcome.seconds));
    }
    if outcome.stderr.contains("panicked") {
        problems.push("it panicked".to_owned());
    }
    if exit == Some(2) {
        if !outcome.stdout.is_empty() {
            problems.push("stdout must be empty on exit 2".to_owned());
        }
        return problems;
    }
    let Some(text) = &outcome.report else {
        problems.push("no report was written".to_owned());
        return problems;
    };
    match serde_json::from_str::<Value>(text) {
        Ok(report) => {
            for part in expect.report.iter().filter(|part| !text.contains(part.as_str())) {
                problems.push(format!("report: {part:?} is not in it"));
            }
            judge_contract(&report, outcome, &mut problems);
            judge_report(case, verdict, &report, &mut problems);
        }
        Err(error) => problems.push(format!("the report is no JSON: {error}")),
    }
    problems
}

/// What the contract says of every report.
fn judge_contract(report: &Value, outcome: &Outcome, problems: &mut Vec<String>) {
    if let Ok(schema) = serde_json::from_str::<Value>(&outcome.schema) {
        match jsonschema::validator_for(&schema) {
            Ok(validator) => problems.extend(
                validator
                    .iter_errors(report)
                    .take(5)
                    .map(|error| format!("schema: {error} at {}", error.instance_path())),
            ),
            Err(error) => problems.push(format!("`schema report` is no schema: {error}")),
        }
    }
    if report["schema"] != "kubereach.report/v1" {
        problems.push(format!("schema: {}", report["schema"]));
    }
    if let Some(verdict) = report["verdict"].as_str()
        && outcome.exit != Some(exit_of(verdict))
    {
        problems.push(format!("verdict {verdict} with exit status {:?}", outcome.exit));
    }
    for cell in list(&report["cells"]) {
        let name = cell_name(cell);
        let findings = list(&cell["findings"]);
        if cell["verdict"] != "match"
            && !findings.iter().any(|finding| finding["severity"] == "error" || finding["code"] == "unexplained")
        {
            problems.push(format!("{name} is {} without a finding of severity error", cell["verdict"]));
        }
        for finding in findings {
            let code = finding["code"].as_str().unwrap_or_default();
            if causes::by_code(code).is_none() {
                problems.push(format!("{name}: the code {code:?} is not in the catalogue"));
            }
            if list(&finding["evidence"]).is_empty() {
                problems.push(format!("{name}: {code} has no evidence"));
            }
            if !list(&report["findings"]).iter().any(|whole| whole["code"] == finding["code"]) {
                problems.push(format!("{name}: {code} is missing from the report's own list"));
            }
        }
    }
}

fn judge_report(case: &Case, verdict: Option<&str>, report: &Value, problems: &mut Vec<String>) {
    let expect = &case.expect;
    compare("verdict", verdict, &report["verdict"], problems);
    let findings = list(&report["findings"]);
    let codes: Vec<&str> = findings.iter().filter_map(|finding| finding["code"].as_str()).collect();
    judge_codes("report", &codes, &expect.codes, &expect.absent, expect.first.as_deref(), problems);
    let errors = expect.errors.clone().or(case.healthy.then(Vec::new));
    let warnings = expect.warnings.clone().or((case.healthy && !case.facts.is_empty()).then(Vec::new));
    for (severity, wanted) in [("error", errors), ("warning", warnings)] {
        let Some(mut wanted) = wanted else { continue };
        let of_severity = findings.iter().filter(|finding| finding["severity"] == severity);
        let mut seen: Vec<&str> = of_severity.filter_map(|finding| finding["code"].as_str()).collect();
        wanted.sort_unstable();
        seen.sort_unstable();
        seen.dedup();
        if wanted != seen {
            problems.push(format!("severity {severity}: {wanted:?} expected, {seen:?} seen"));
        }
    }
    for (code, wanted) in &expect.findings {
        judge_finding(code, wanted, findings, problems);
    }
    if let Some(first) = list(&report["cells"]).first() {
        judge_lookups("the first cell", &expect.dns, first, problems);
        judge_attempts("the first cell", &expect.attempts, first, problems);
    }
    for (name, wanted) in &expect.cells {
        match list(&report["cells"]).iter().find(|cell| cell_name(cell) == *name) {
            Some(cell) => judge_cell(name, wanted, cell, problems),
            None => problems.push(format!("there is no cell {name}")),
        }
    }
}

/// The first finding of this code that is as it should be is enough: the same cause may show in several places.
fn judge_finding(code: &str, wanted: &FindingExpect, findings: &[Value], problems: &mut Vec<String>) {
    let of_this_code = findings.iter().filter(|finding| finding["code"] == code);
    let mut nearest: Option<Vec<String>> = None;
    for finding in of_this_code {
        let mut wrong = Vec::new();
        compare(&format!("{code}: severity"), wanted.severity.as_deref(), &finding["severity"], &mut wrong);
        compare(&format!("{code}: confidence"), wanted.confidence.as_deref(), &finding["confidence"], &mut wrong);
        let evidence = list(&finding["evidence"]).iter().filter_map(Value::as_str).collect::<Vec<_>>().join("\n");
        let text = |field: &str| finding[field].as_str().unwrap_or_default().to_owned();
        for (place, parts, seen) in [
            ("evidence", &wanted.evidence, evidence),
            ("setting", &wanted.setting, text("setting")),
            ("fix", &wanted.fix, text("fix")),
        ] {
            for part in parts.iter().filter(|part| !seen.contains(part.as_str())) {
                wrong.push(format!("{code}: {part:?} is not in its {place}:\n{seen}"));
            }
        }
        if wrong.is_empty() {
            return;
        }
        if nearest.as_ref().is_none_or(|nearest| wrong.len() < nearest.len()) {
            nearest = Some(wrong);
        }
    }
    problems.extend(nearest.unwrap_or_else(|| vec![format!("finding {code} expected, not seen")]));
}

fn judge_cell(name: &str, wanted: &CellExpect, cell: &Value, problems: &mut Vec<String>) {
    for (field, wanted) in [
        ("intended", &wanted.intended),
        ("configured", &wanted.configured),
        ("observed", &wanted.observed),
        ("verdict", &wanted.verdict),
        ("via", &wanted.via),
        ("provider", &wanted.provider),
    ] {
        compare(&format!("{name}: {field}"), wanted.as_deref(), &cell[field], problems);
    }
    compare(&format!("{name}: tunnel"), wanted.tunnel.as_deref(), &cell["proxy"]["tunnel"]["outcome"], problems);
    if let Some(converged) = wanted.converged
        && cell["convergedAfterMs"].is_u64() != converged
    {
        problems.push(format!("{name}: convergedAfterMs is {}", cell["convergedAfterMs"]));
    }
    if let Some((least, most)) = wanted.converged_between
        && !cell["convergedAfterMs"].as_u64().is_some_and(|ms| (least..=most).contains(&ms))
    {
        problems.push(format!("{name}: convergedAfterMs is {}", cell["convergedAfterMs"]));
    }
    if let Some(wanted) = &wanted.blockers {
        let stops = |hop: &&Value| ["deny", "drop", "unknown"].iter().any(|decision| hop["decision"] == *decision);
        let hops = list(&cell["path"]).iter().filter(stops);
        let seen: Vec<&str> = hops.filter_map(|hop| hop["component"].as_str()).collect();
        if *wanted != seen {
            problems.push(format!("{name}: blockers {wanted:?} expected, {seen:?} seen"));
        }
    }
    let codes: Vec<&str> = list(&cell["findings"]).iter().filter_map(|finding| finding["code"].as_str()).collect();
    judge_codes(name, &codes, &wanted.codes, &wanted.absent, wanted.first.as_deref(), problems);
    judge_lookups(name, &wanted.dns, cell, problems);
    judge_attempts(name, &wanted.attempts, cell, problems);
}

fn judge_codes(
    place: &str,
    seen: &[&str],
    present: &[String],
    absent: &[String],
    first: Option<&str>,
    problems: &mut Vec<String>,
) {
    for code in present.iter().filter(|code| !seen.contains(&code.as_str())) {
        problems.push(format!("{place}: finding {code} expected, {seen:?} seen"));
    }
    for code in absent.iter().filter(|code| seen.contains(&code.as_str())) {
        problems.push(format!("{place}: finding {code} must not be there"));
    }
    if let Some(first) = first
        && seen.first() != Some(&first)
    {
        problems.push(format!("{place}: first finding {first} expected, {seen:?} seen"));
    }
}

fn judge_lookups(place: &str, wanted: &BTreeMap<String, DnsExpect>, cell: &Value, problems: &mut Vec<String>) {
    for (resolver, wanted) in wanted {
        let Some(lookup) = list(&cell["dns"]).iter().find(|lookup| lookup["resolver"] == resolver.as_str()) else {
            problems.push(format!("{place}: the resolver {resolver} was not asked"));
            continue;
        };
        let place = format!("{place}: {resolver}");
        compare(&format!("{place}: outcome"), wanted.outcome.as_deref(), &lookup["outcome"], problems);
        compare(&format!("{place}: class"), wanted.class.as_deref(), &lookup["class"], problems);
        if let Some(addresses) = &wanted.addresses {
            let mut seen: Vec<&str> = list(&lookup["addresses"]).iter().filter_map(Value::as_str).collect();
            let mut addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
            seen.sort_unstable();
            addresses.sort_unstable();
            if seen != addresses {
                problems.push(format!("{place}: {addresses:?} expected, {seen:?} seen"));
            }
        }
    }
}

fn judge_attempts(place: &str, wanted: &BTreeMap<String, AttemptExpect>, cell: &Value, problems: &mut Vec<String>) {
    for (address, wanted) in wanted {
        // A proxy that resolves the name itself leaves the address open: `-` in a case.
        let fits = |attempt: &&Value| {
            if address == "-" { attempt["address"].is_null() } else { attempt["address"] == address.as_str() }
        };
        let Some(attempt) = list(&cell["attempts"]).iter().find(fits) else {
            problems.push(format!("{place}: {address} was not tried"));
            continue;
        };
        let place = format!("{place}: {address}");
        compare(&format!("{place}: tcp"), wanted.tcp.as_deref(), &attempt["tcp"]["outcome"], problems);
        compare(&format!("{place}: tls"), wanted.tls.as_deref(), &attempt["tls"]["outcome"], problems);
        compare(&format!("{place}: http"), wanted.http.as_deref(), &attempt["http"]["outcome"], problems);
        compare(&format!("{place}: observed"), wanted.observed.as_deref(), &attempt["observed"], problems);
        if let Some(status) = wanted.status
            && attempt["http"]["status"] != status
        {
            problems.push(format!("{place}: status {status} expected, {} seen", attempt["http"]["status"]));
        }
        if let Some(skipped) = wanted.skipped
            && attempt["skipped"].is_string() != skipped
        {
            problems.push(format!("{place}: skipped is {}", attempt["skipped"]));
        }
        for (kind, outcome) in &wanted.variants {
            let variant = list(&attempt["tls"]["variants"]).iter().find(|variant| variant["kind"] == kind.as_str());
            let seen = variant.map_or(&Value::Null, |variant| &variant["outcome"]);
            compare(&format!("{place}: variant {kind}"), Some(outcome), seen, problems);
        }
    }
}

fn compare(what: &str, wanted: Option<&str>, seen: &Value, problems: &mut Vec<String>) {
    let Some(wanted) = wanted else { return };
    let fits = if wanted == "null" { seen.is_null() } else { seen == wanted };
    if !fits {
        problems.push(format!("{what}: {wanted} expected, {seen} seen"));
    }
}

/// The parts of a report that a judgement is about.
fn brief(text: &str) -> String {
    let Ok(report) = serde_json::from_str::<Value>(text) else { return text.to_owned() };
    let mut brief = format!("verdict {}\n", report["verdict"]);
    for cell in list(&report["cells"]) {
        let _ = writeln!(
            brief,
            "{}: intended {} configured {} observed {} verdict {} via {} converged {}",
            cell_name(cell),
            cell["intended"],
            cell["configured"],
            cell["observed"],
            cell["verdict"],
            cell["via"],
            cell["convergedAfterMs"]
        );
        for lookup in list(&cell["dns"]) {
            let _ = writeln!(
                brief,
                "  dns {} {}: {} {} {}",
                lookup["resolver"], lookup["server"], lookup["outcome"], lookup["addresses"], lookup["detail"]
            );
        }
        for attempt in list(&cell["attempts"]) {
            let _ =
                writeln!(brief, "  {} by {} skipped {}", attempt["address"], attempt["resolvers"], attempt["skipped"]);
            for stage in ["tcp", "tls", "http"] {
                let _ = writeln!(brief, "    {stage}: {} {}", attempt[stage]["outcome"], attempt[stage]["detail"]);
            }
            let _ = writeln!(brief, "    variants: {}", attempt["tls"]["variants"]);
        }
        if !cell["proxy"].is_null() {
            let _ = writeln!(brief, "  proxy: {}", cell["proxy"]);
        }
        if !cell["connectivity"].is_null() {
            let _ = writeln!(brief, "  connectivity: {}", cell["connectivity"]);
        }
        for hop in list(&cell["path"]) {
            let _ = writeln!(brief, "  hop {} {} {} {}", hop["component"], hop["kind"], hop["decision"], hop["rule"]);
        }
        show_findings(&mut brief, "  ", list(&cell["findings"]));
    }
    let own = list(&report["findings"]).iter().filter(|finding| finding["vantage"].is_null()).cloned();
    show_findings(&mut brief, "", &own.collect::<Vec<_>>());
    brief
}

fn show_findings(brief: &mut String, indent: &str, findings: &[Value]) {
    for finding in findings {
        let _ = writeln!(
            brief,
            "{indent}finding {} {} {} {}\n{indent}  setting {} fix {}",
            finding["severity"],
            finding["confidence"],
            finding["code"],
            finding["evidence"],
            finding["setting"],
            finding["fix"]
        );
    }
}

fn cell_name(cell: &Value) -> String {
    format!("{}/{}", cell["cluster"].as_str().unwrap_or("?"), cell["vantage"].as_str().unwrap_or("?"))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn exit_of(verdict: &str) -> i32 {
    match verdict {
        "match" => 0,
        "mismatch" => 1,
        "inconclusive" => 3,
        _ => 4,
    }
}

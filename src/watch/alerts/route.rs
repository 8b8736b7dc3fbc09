//! Which alerts an event raises, changes or ends: pure.
//!
//! An alert is what its labels say. During an incident they change for one reason only: it became worse (what could not
//! be decided is now a mismatch, a warning is now an error). Then the old alert ends and another begins. The code of
//! the finding is an annotation, because a cause that is seen better is no second incident, and nobody is to be called
//! twice for it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::{
    report::{
        Cell, Finding, Intended, Reachability, Severity, Verdict,
        words::{moment, visible},
    },
    watch::{
        board::CellNow,
        config::{Route, WatchConfig},
        record::{Alert, CellId, CellKey, Change, Event, EventKind, Standing},
        web::links::cell_path,
    },
};

/// The alerts that an event of a cell raises, changes or ends, one a receiver. `cell` is the cell as it is after the
/// event, `open` the alerts that are stored (those of other cells are passed over).
#[must_use]
pub fn raised(config: &WatchConfig, event: &Event, cell: &CellNow, open: &[Alert]) -> Vec<Alert> {
    match event.kind {
        EventKind::Configuration | EventKind::Paused | EventKind::Resumed => return Vec::new(),
        EventKind::First | EventKind::Failed | EventKind::Changed | EventKind::Recovered => {}
    }
    let open = open_of(cell, open);
    let Some(standing) = &event.to else { return Vec::new() };
    match standing.verdict {
        Verdict::Match => open.into_iter().map(|alert| ended(alert, event.since, event.at)).collect(),
        Verdict::Propagating => Vec::new(),
        Verdict::Inconclusive | Verdict::Mismatch => {
            // What was told before the window goes on; nothing is added to it.
            if cell.maintenance {
                return Vec::new();
            }
            let told = Told { standing, summary: &event.summary, changes: &event.changes };
            let mut alerts = Vec::new();
            for wanted in wanted(config, cell, &told) {
                match open.iter().find(|alert| alert.receiver == wanted.receiver) {
                    Some(alert) => alerts.extend(changed(alert, wanted, event.since, event.at)),
                    None => alerts.push(wanted.begun(cell, cell.state.incident.unwrap_or(event.since), event.at)),
                }
            }
            alerts
        }
    }
}

/// The same for a cell whose incident was there before: at the start, after a maintenance window, and after a reload
/// that changed the routes. `event` is the one by which its state began, where that is known: what was told then is told
/// now. `open` are the alerts that are stored. Nothing when all is as it should be.
#[must_use]
pub fn reconciled(
    config: &WatchConfig,
    cell: &CellNow,
    event: Option<&Event>,
    open: &[Alert],
    now: Timestamp,
) -> Vec<Alert> {
    let open = open_of(cell, open);
    let standing = match &cell.state.standing {
        None => return Vec::new(),
        Some(standing) if standing.verdict != Verdict::Match => standing,
        Some(_) => {
            let end = cell.state.since.unwrap_or(now);
            return open.into_iter().map(|alert| ended(alert, end, now)).collect();
        }
    };
    let mut alerts = Vec::new();
    let mut left = Vec::new();
    for alert in open {
        let routed = |route: &&Route| route.receivers.contains(&alert.receiver) && route.matcher.matches(&cell.key);
        if config.routes.iter().any(|route| routed(&route)) {
            left.push(alert);
        } else {
            alerts.push(ended(alert, now, now));
        }
    }
    if cell.maintenance || standing.verdict == Verdict::Propagating {
        return alerts;
    }
    let summary = event.map_or_else(|| standing_summary(cell, standing), |event| event.summary.clone());
    let told = Told { standing, summary: &summary, changes: event.map_or(&[], |event| &event.changes) };
    for wanted in wanted(config, cell, &told) {
        match left.iter().find(|alert| alert.receiver == wanted.receiver) {
            Some(alert) => {
                let same_labels = wanted.labels_after(alert) == alert.labels;
                if !same_labels || alert.repeat_seconds != wanted.repeat_seconds {
                    alerts.extend(changed(alert, wanted, now, now));
                }
            }
            None => alerts.push(wanted.begun(cell, cell.state.incident.unwrap_or(now), now)),
        }
    }
    alerts
}

/// The ends of the alerts of cells that are no longer checked: their recovery will never be seen.
#[must_use]
pub fn forgotten(known: &BTreeSet<CellId>, open: &[Alert], now: Timestamp) -> Vec<Alert> {
    open.iter()
        .filter(|alert| alert.ends_at.is_none() && !known.contains(&alert.cell))
        .map(|alert| ended(alert, now, now))
        .collect()
}

/// The page of a cell, where the page has a public URL.
#[must_use]
pub fn permalink(public_url: Option<&str>, key: &CellKey) -> Option<String> {
    Some(format!("{}{}", public_url?.trim_end_matches('/'), cell_path(key)))
}

/// What an alert is to tell.
struct Told<'a> {
    standing: &'a Standing,
    summary: &'a str,
    changes: &'a [Change],
}

/// What the routes want a receiver to be told.
struct Wanted {
    receiver: String,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    repeat_seconds: u64,
}

impl Wanted {
    /// An alert that begins.
    fn begun(self, cell: &CellNow, starts_at: Timestamp, now: Timestamp) -> Alert {
        Alert {
            id: 0,
            receiver: self.receiver,
            cell: cell.id,
            starts_at: to_the_millisecond(starts_at),
            ends_at: None,
            labels: self.labels,
            annotations: self.annotations,
            repeat_seconds: self.repeat_seconds,
            next_at: now,
            attempts: 0,
            delivered: false,
        }
    }

    /// Its labels, where `before` is told already: never a lesser alert than that.
    fn labels_after(&self, before: &Alert) -> BTreeMap<String, String> {
        let mut labels = self.labels.clone();
        let mut keep = |name: &str| {
            if let Some(value) = before.labels.get(name) {
                labels.insert(name.to_owned(), value.clone());
            }
        };
        let was_inconclusive = before.labels.get(ALERTNAME).is_some_and(|name| name == INCONCLUSIVE);
        let is_inconclusive = self.labels.get(ALERTNAME).is_some_and(|name| name == INCONCLUSIVE);
        if !was_inconclusive || is_inconclusive {
            keep(ALERTNAME);
        }
        let severity = |labels: &BTreeMap<String, String>| {
            let label = labels.get(SEVERITY)?;
            Severity::ALL.iter().copied().find(|severity| severity.label() == label)
        };
        if let (Some(was), Some(is)) = (severity(&before.labels), severity(&self.labels))
            && was < is
        {
            keep(SEVERITY);
        }
        labels
    }
}

/// What becomes of an alert that is told already: the same alert with new words, or its end and the begin of another.
fn changed(alert: &Alert, wanted: Wanted, since: Timestamp, now: Timestamp) -> Vec<Alert> {
    let labels = wanted.labels_after(alert);
    let same = labels == alert.labels;
    let next = Alert {
        annotations: wanted.annotations,
        repeat_seconds: wanted.repeat_seconds,
        next_at: now,
        attempts: 0,
        ..alert.clone()
    };
    if same {
        return vec![next];
    }
    // (receiver, cell, begin) names an alert: the new one begins later, if only by a hair.
    let begin = alert.starts_at.checked_add(HAIR).map_or(since, |least| since.max(least));
    let begin = to_the_millisecond(begin);
    let begun = Alert { id: 0, starts_at: begin, labels, delivered: false, ..next };
    vec![ended(alert, begin, now), begun]
}

/// The alert, over.
fn ended(alert: &Alert, ends_at: Timestamp, now: Timestamp) -> Alert {
    let ends_at = to_the_millisecond(ends_at).max(alert.starts_at);
    Alert { ends_at: Some(ends_at), next_at: now, attempts: 0, ..alert.clone() }
}

/// The alerts of a cell that last.
fn open_of<'a>(cell: &CellNow, open: &'a [Alert]) -> Vec<&'a Alert> {
    open.iter().filter(|alert| alert.cell == cell.id && alert.ends_at.is_none()).collect()
}

/// One entry a receiver, over all routes that match: the shortest repetition counts, and of labels of the same name the
/// first route's.
fn wanted(config: &WatchConfig, cell: &CellNow, told: &Told<'_>) -> Vec<Wanted> {
    let severity = severity_of(cell, told.standing);
    let inconclusive = told.standing.verdict == Verdict::Inconclusive;
    let routes = config.routes.iter().filter(|route| {
        route.matcher.matches(&cell.key) && severity <= route.severity && (route.inconclusive || !inconclusive)
    });
    let own = own_labels(cell, told.standing, severity);
    let public_url = config.web.as_ref().and_then(|web| web.public_url.as_deref());
    let annotations = annotations(cell, told, public_url);
    let mut wanted: Vec<Wanted> = Vec::new();
    for route in routes {
        for receiver in &route.receivers {
            let repeat_seconds = route.repeat.as_secs().max(1);
            let index = wanted.iter().position(|entry| entry.receiver == *receiver).unwrap_or_else(|| {
                wanted.push(Wanted {
                    receiver: receiver.clone(),
                    labels: BTreeMap::new(),
                    annotations: annotations.clone(),
                    repeat_seconds,
                });
                wanted.len() - 1
            });
            let entry = &mut wanted[index];
            entry.repeat_seconds = entry.repeat_seconds.min(repeat_seconds);
            for (name, value) in &route.labels {
                entry.labels.entry(name.clone()).or_insert_with(|| bounded(value, LABEL_LIMIT));
            }
        }
    }
    for entry in &mut wanted {
        for (name, value) in &own {
            // A route may say how severe its receivers take it; what names the cell is ours.
            if name != SEVERITY || !entry.labels.contains_key(SEVERITY) {
                entry.labels.insert(name.clone(), value.clone());
            }
        }
    }
    wanted
}

/// The labels that do not come from a route.
fn own_labels(cell: &CellNow, standing: &Standing, severity: Severity) -> BTreeMap<String, String> {
    let observed = cell.last.as_ref().map(|round| round.observed);
    let name = match (standing.verdict, cell.intended, observed) {
        (Verdict::Inconclusive, ..) => INCONCLUSIVE,
        (_, Intended::Unreachable, Some(Reachability::Reachable)) => "KubereachUnexpectedlyReachable",
        (_, Intended::Reachable | Intended::Unspecified, Some(Reachability::Unreachable)) => "KubereachUnreachable",
        _ => "KubereachMismatch",
    };
    [
        (ALERTNAME, name),
        ("check", &cell.key.check),
        ("cluster", &cell.key.cluster),
        ("vantage", &cell.key.vantage),
        ("target", cell.key.target.label()),
        ("provider", cell.provider.label()),
        (SEVERITY, severity.label()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), bounded(value, LABEL_LIMIT)))
    .collect()
}

/// What explains it. Everything is bounded; what came from the network is made visible.
fn annotations(cell: &CellNow, told: &Told<'_>, public_url: Option<&str>) -> BTreeMap<String, String> {
    let mut annotations = BTreeMap::new();
    let mut put = |name: &str, value: String| {
        if !value.is_empty() {
            annotations.insert(name.to_owned(), value);
        }
    };
    put("summary", bounded(told.summary, SUMMARY_LIMIT));
    put("verdict", told.standing.verdict.label().to_owned());
    put("intended", cell.intended.label().to_owned());
    if let Some(round) = &cell.last {
        put("observed", round.observed.label().to_owned());
    }
    if let Some(code) = &told.standing.code {
        put("code", bounded(code, LABEL_LIMIT));
    }
    let finding = cell.detail.as_deref().and_then(|detail| finding_of(detail, told.standing));
    put("description", description(cell.detail.as_deref(), finding));
    if let Some(finding) = finding {
        put("confidence", finding.confidence.label().to_owned());
        put("setting", finding.setting.as_deref().map_or_else(String::new, |text| bounded(text, SUMMARY_LIMIT)));
        // Half a command is worse than none.
        if let Some(fix) = finding.fix.as_ref().filter(|fix| fix.len() <= TEXT_LIMIT) {
            put("fix", fix.lines().map(visible).collect::<Vec<_>>().join("\n"));
        }
        if let Some(docs) = &finding.docs {
            put("docs_url", bounded(docs, SUMMARY_LIMIT));
        }
        put("runbook_url", format!("{RUNBOOK}#{}", bounded(&finding.code, LABEL_LIMIT)));
    }
    let mut changes: Vec<String> = told
        .changes
        .iter()
        .take(MOST_CHANGES)
        .map(|change| format!("{} {}", moment(change.at), bounded(&change.text, SUMMARY_LIMIT)))
        .collect();
    if told.changes.len() > MOST_CHANGES {
        changes.push(format!("and {} more", told.changes.len() - MOST_CHANGES));
    }
    put("changes", changes.join("\n"));
    put("url", permalink(public_url, &cell.key).unwrap_or_default());
    annotations
}

/// The finding that explains a standing.
fn finding_of<'a>(detail: &'a Cell, standing: &Standing) -> Option<&'a Finding> {
    let named = |finding: &&Finding| Some(&finding.code) == standing.code.as_ref();
    detail
        .findings
        .iter()
        .find(named)
        .or_else(|| detail.findings.iter().find(|finding| finding.severity == Severity::Error))
        .or_else(|| detail.findings.first())
}

/// What was seen, a sentence a line.
fn description(detail: Option<&Cell>, finding: Option<&Finding>) -> String {
    let mut lines = Vec::new();
    if let Some(finding) = finding {
        lines.push(bounded(&finding.title, SUMMARY_LIMIT));
        lines.extend(finding.evidence.iter().take(MOST_EVIDENCE).map(|text| bounded(text, SUMMARY_LIMIT)));
    } else if let Some(detail) = detail {
        lines.push(bounded(&detail.summary, SUMMARY_LIMIT));
    }
    let others = detail.map_or(0, |detail| detail.findings.len()).saturating_sub(usize::from(finding.is_some()));
    if others > 0 {
        lines.push(format!(
            "There {}",
            if others == 1 { "is 1 more finding".to_owned() } else { format!("are {others} more findings") }
        ));
    }
    lines.join("\n")
}

/// One sentence on a cell that was not fine before either.
fn standing_summary(cell: &CellNow, standing: &Standing) -> String {
    let title = cell.detail.as_deref().and_then(|detail| finding_of(detail, standing)).map(|finding| &finding.title);
    let word = standing.verdict.label();
    match title {
        Some(title) => format!("{}: {word}: {title}", cell.key.subject()),
        None => format!("{}: {word}", cell.key.subject()),
    }
}

/// How bad the worst finding is.
fn severity_of(cell: &CellNow, standing: &Standing) -> Severity {
    let worst = cell.detail.iter().flat_map(|detail| &detail.findings).map(|finding| finding.severity).min();
    worst.unwrap_or(if standing.verdict == Verdict::Mismatch { Severity::Error } else { Severity::Warning })
}

/// As the history keeps it: (receiver, cell, begin) is to name the same alert there and here.
fn to_the_millisecond(at: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(at.as_millisecond()).unwrap_or(at)
}

/// At most so many characters, on one line, harmless.
fn bounded(text: &str, limit: usize) -> String {
    let clean = visible(text);
    match clean.char_indices().nth(limit) {
        Some((end, _)) => format!("{}…", &clean[..end]),
        None => clean,
    }
}

const ALERTNAME: &str = "alertname";
const SEVERITY: &str = "severity";
const INCONCLUSIVE: &str = "KubereachInconclusive";

/// What the catalogue says of a code.
const RUNBOOK: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main/docs/causes.md");

const HAIR: jiff::SignedDuration = jiff::SignedDuration::from_millis(1);
const LABEL_LIMIT: usize = 200;
const SUMMARY_LIMIT: usize = 300;
const TEXT_LIMIT: usize = 2_000;
const MOST_EVIDENCE: usize = 6;
const MOST_CHANGES: usize = 10;

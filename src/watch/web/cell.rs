//! The page of a cell. Pure.

use std::sync::Arc;

use jiff::Timestamp;
use maud::{Markup, html};
use serde::Serialize;

use super::{
    chart::{self, word},
    events,
    history::{Range, Spans, worst},
    layout::{self, Moment, Page, SCHEMA, health, time},
    links,
    matrix::remarks,
    shown::{Brief, Shown},
};
use crate::{
    report::{
        Cell, Finding,
        html::parts,
        words::{self, ago},
    },
    watch::{
        board::CellNow,
        record::{Event, Rollup, Stage, StageSum},
    },
};

/// What the page of a cell is drawn from.
pub(super) struct CellPage {
    /// Now.
    pub(super) moment: Moment,
    /// The cell, with the detail of its last round where that can be read.
    pub(super) cell: Arc<CellNow>,
    /// Why the detail of its last round cannot be read.
    pub(super) unread: Option<String>,
    /// The maintenance window that is open for it, and its end.
    pub(super) window: Option<(String, Timestamp)>,
    /// How many rounds must agree.
    pub(super) confirm: Option<u32>,
    /// How much of the past.
    pub(super) range: Range,
    /// The past, or why it cannot be read.
    pub(super) past: Result<Spans, String>,
    /// What happened last, or why it cannot be read.
    pub(super) events: Result<Vec<Event>, String>,
}

/// The page as JSON.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Json<'a> {
    schema: &'static str,
    now: Timestamp,
    cell: Brief<'a>,
    confirm: Option<u32>,
    last_round: Option<&'a crate::watch::record::Round>,
    detail: Option<&'a Cell>,
    detail_error: Option<&'a str>,
    maintenance_window: Option<WindowJson<'a>>,
    range: Range,
    history: Option<Vec<SpanJson>>,
    history_error: Option<&'a str>,
    events: Option<&'a [Event]>,
    events_error: Option<&'a str>,
}

#[derive(Serialize)]
struct WindowJson<'a> {
    name: &'a str,
    until: Timestamp,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SpanJson {
    from: Timestamp,
    seconds: i64,
    worst: Option<&'static str>,
    matched: u32,
    mismatched: u32,
    inconclusive: u32,
    propagating: u32,
    offline: u32,
    stages: std::collections::BTreeMap<&'static str, StageSum>,
}

impl CellPage {
    /// For programs.
    pub(super) fn json(&self) -> serde_json::Result<String> {
        let span = |spans: &Spans, from: Timestamp, sum: &Rollup| SpanJson {
            from,
            seconds: spans.width().as_secs(),
            worst: worst(sum).map(|(shown, _)| shown.label()),
            matched: sum.matched,
            mismatched: sum.mismatched,
            inconclusive: sum.inconclusive,
            propagating: sum.propagating,
            offline: sum.offline,
            stages: Stage::ALL.iter().map(|stage| stage.label()).zip(sum.stages).collect(),
        };
        let past = self.past.as_ref();
        serde_json::to_string(&Json {
            schema: SCHEMA,
            now: self.moment.now,
            cell: Brief::of(&self.cell, self.moment.now),
            confirm: self.confirm,
            last_round: self.cell.last.as_ref(),
            detail: self.cell.detail.as_deref(),
            detail_error: self.unread.as_deref(),
            maintenance_window: self.window.as_ref().map(|(name, until)| WindowJson { name, until: *until }),
            range: self.range,
            history: past.ok().map(|spans| spans.iter().map(|(from, sum)| span(spans, from, sum)).collect()),
            history_error: past.err().map(String::as_str),
            events: self.events.as_deref().ok(),
            events_error: self.events.as_ref().err().map(String::as_str),
        })
    }

    /// For people.
    pub(super) fn html(&self) -> String {
        let Moment { now, .. } = self.moment;
        let key = &self.cell.key;
        let shown = Shown::of(&self.cell, now);
        let subject = key.target.of(&key.cluster);
        let title = format!("{subject} from {}", key.vantage);
        let summary = format!("{title}: {}", shown.word());
        let json = format!("{}.json?range={}", links::cell_path(key), self.range.label());
        let main = html! {
            (health(&self.moment))
            (self.standing(shown))
            @if let Some(why) = &self.unread { (layout::unread(why)) }
            @if let Some(detail) = &self.cell.detail { (findings("Findings of the last round", "h2", &detail.findings)) }
            (self.history())
            @if let Some(detail) = &self.cell.detail { (seen(detail, "h2")) }
            h2 { "Events" }
            @match &self.events {
                Ok(list) => (events::table(list, now, "Of this cell, and of its cluster's configuration")),
                Err(why) => (layout::unread(why)),
            }
            p { a href=(events::cell_query(key)) { "Every event of this cell" } }
        };
        Page { title: &title, summary: &summary, section: "", json: &json, now, refresh: true }.around(&main)
    }

    fn standing(&self, shown: Shown) -> Markup {
        let now = self.moment.now;
        let CellNow { key, provider, intended, interval, state, last, due, own, detail, .. } = self.cell.as_ref();
        html! {
            dl.facts {
                dt { "Now" }
                dd {
                    (word(shown)) (remarks(&self.cell, shown))
                    @if let Some(code) = state.standing.as_ref().and_then(|standing| standing.code.as_ref()) {
                        " · " code { (words::visible(code)) }
                    }
                }
                @if let Some(since) = state.since { dt { "Since" } dd { (time(since)) " UTC (" (ago(since, now)) ")" } }
                @if let Some(pending) = &state.pending {
                    dt { "Not confirmed yet" }
                    dd {
                        (pending.standing.verdict.label())
                        @if let Some(code) = &pending.standing.code { " (" code { (words::visible(code)) } ")" }
                        ": " (pending.rounds) @if let Some(confirm) = self.confirm { " of " (confirm) } " rounds, since "
                        (time(pending.since)) " UTC"
                    }
                }
                @if let Some(paused) = state.paused_since {
                    dt { "Judgement paused" } dd { "since " (time(paused)) " UTC: the prober itself is offline" }
                }
                @if let Some((name, until)) = &self.window {
                    dt { "Maintenance" }
                    dd { (words::visible(&layout::window(name, *until, now))) ": probed and recorded, and nobody is alerted" }
                }
                @if let Some(incident) = state.incident {
                    dt { "Incident" } dd { "since " (time(incident)) " UTC (" (ago(incident, now)) ")" }
                }
                dt { "Last round" }
                dd {
                    @match last {
                        Some(round) => {
                            (time(round.at)) " UTC (" (ago(round.at, now)) " ago)"
                            @if let Some(detail) = detail { ": " (words::visible(&words::answer(detail))) }
                        },
                        None => "none yet",
                    }
                }
                dt { "Intended" } dd { (intended.label()) }
                @if let Some(detail) = detail {
                    dt { "Configured, observed" } dd { (detail.configured.label()) ", " (detail.observed.label()) }
                    dt { "Endpoint" } dd { (words::visible(detail.endpoint.as_deref().unwrap_or("not known"))) " (" (provider.label()) ")" }
                }
                dt { "Cluster" } dd { (layout::cluster_link(&key.cluster_key())) " in " (words::visible(&key.check)) }
                dt { "Checked" }
                dd {
                    "every " (words::duration(interval.as_secs_f64() * 1_000.0))
                    @if let Some(due) = due { ", next at " (time(*due)) " UTC" }
                    @if !own { ", by another process" }
                }
            }
        }
    }

    fn history(&self) -> Markup {
        html! {
            h2 { "History" }
            nav.ranges aria-label="Range of the history" {
                ul {
                    @for range in Range::ALL {
                        li {
                            a href=(format!("{}?range={}", links::cell_path(&self.cell.key), range.label()))
                                aria-current=[(*range == self.range).then_some("page")] { (range.label()) }
                        }
                    }
                }
            }
            @match &self.past {
                Err(why) => (layout::unread(why)),
                Ok(spans) if spans.is_empty() => p { "No round in " (self.range.words()) },
                Ok(spans) => {
                    (chart::strip(spans, self.range))
                    p.dim {
                        "A bar is the worst of its span; the higher, the more of its rounds. A low bar is a match."
                    }
                    h2 { "Times of the stages" }
                    div.charts { @for stage in Stage::ALL { (chart::stage(*stage, spans, self.range)) } }
                    p.dim { "Line: mean of a span. Dashed: the longest." }
                    (chart::stages_table(spans))
                },
            }
        }
    }
}

/// Findings with their evidence, under a heading of their own; nothing where there are none.
pub(super) fn findings(title: &str, level: &str, findings: &[Finding]) -> Markup {
    let findings: Vec<&Finding> = findings.iter().collect();
    html! {
        @if !findings.is_empty() {
            (heading(level, title))
            ol {
                (layout::drawn(|html| {
                    for (index, finding) in findings.iter().enumerate() {
                        parts::finding(html, finding, &words::fresh_evidence(&findings, index));
                    }
                }))
            }
        }
    }
}

/// What a round saw: the path through the configuration, answers of resolvers, attempts.
pub(super) fn seen(cell: &Cell, level: &str) -> Markup {
    html! {
        @if !cell.path.is_empty() {
            (heading(level, "Path through the configuration"))
            (layout::drawn(|html| parts::path(html, &cell.path)))
        }
        (heading(level, "What was seen"))
        (layout::drawn(|html| {
            parts::resolvers(html, cell);
            parts::proxy(html, cell);
            parts::attempts(html, cell);
            parts::egress(html, cell);
        }))
        @if cell.dns.is_empty() && cell.attempts.is_empty() { p.dim { "Nothing was probed" } }
    }
}

fn heading(level: &str, text: &str) -> Markup {
    html! { @if level == "h2" { h2 { (text) } } @else { h3 { (text) } } }
}

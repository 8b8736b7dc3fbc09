//! The event log, and the page of an event. Pure.

use jiff::Timestamp;
use maud::{Markup, html};
use serde::{Deserialize, Serialize};

use super::{
    cell::{findings, seen},
    chart::word,
    layout::{self, Moment, Page, SCHEMA, health, short_time, time},
    links,
    shown::Shown,
};
use crate::{
    report::{Cell, CellTarget, words},
    watch::{
        record::{CellKey, ClusterKey, Event, EventKind, Standing},
        store::EventFilter,
    },
};

/// Which events are asked for, as the query has it; what is empty does not narrow.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct EventQuery {
    kind: String,
    check: String,
    cluster: String,
    vantage: String,
    target: String,
    from: String,
    until: String,
    before: String,
    limit: String,
}

impl EventQuery {
    /// What to ask the history for.
    ///
    /// # Errors
    /// What is wrong with the question, for people.
    pub(super) fn filter(&self) -> Result<EventFilter, String> {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let kind = some(&self.kind).map(|kind| {
            let known = || EventKind::ALL.iter().map(|kind| kind.label()).collect::<Vec<_>>().join(", ");
            let found = EventKind::ALL.iter().find(|one| one.label() == kind).copied();
            found.ok_or_else(|| format!("kind is none of {}", known()))
        });
        let time = |name: &str, text: &str| {
            let whole = if text.len() == DATE_LENGTH { format!("{text}T00:00:00Z") } else { text.to_owned() };
            let read = (!text.is_empty()).then(|| whole.parse::<Timestamp>());
            read.transpose()
                .map_err(|_| format!("{name} is no date like 2026-11-22 and no time like 2026-11-22T14:02:00Z"))
        };
        let number = |name: &str, text: &str| {
            let read = (!text.is_empty()).then(|| text.parse::<u32>().map(i64::from).or_else(|_| text.parse::<i64>()));
            read.transpose().map_err(|_| format!("{name} is no number"))
        };
        if self.check.is_empty() != self.cluster.is_empty() {
            return Err("check and cluster belong together".to_owned());
        }
        if !self.vantage.is_empty() && self.cluster.is_empty() {
            return Err("vantage wants check and cluster beside it".to_owned());
        }
        let cluster = some(&self.cluster).map(|cluster| ClusterKey { check: self.check.clone(), cluster });
        let target = if self.target.is_empty() { CellTarget::default().label() } else { &self.target };
        let target = target_named(target).ok_or_else(|| "target is neither kubernetes nor eks-api".to_owned())?;
        let cell = some(&self.vantage).zip(cluster.clone()).map(|(vantage, ClusterKey { check, cluster })| CellKey {
            check,
            cluster,
            vantage,
            target,
        });
        let limit = number("limit", &self.limit)?.and_then(|limit| usize::try_from(limit).ok());
        Ok(EventFilter {
            cluster: if cell.is_some() { None } else { cluster },
            cell,
            kinds: kind.transpose()?.into_iter().collect(),
            from: time("from", &self.from)?,
            until: time("until", &self.until)?,
            before: number("before", &self.before)?,
            limit: limit.unwrap_or(EVENTS).clamp(1, MAX_EVENTS),
        })
    }

    fn query(&self, before: &str) -> String {
        links::query([
            ("kind", self.kind.as_str()),
            ("check", &self.check),
            ("cluster", &self.cluster),
            ("vantage", &self.vantage),
            ("target", &self.target),
            ("from", &self.from),
            ("until", &self.until),
            ("limit", &self.limit),
            ("before", before),
        ])
    }
}

/// The log, as far as it is asked for.
pub(super) struct EventsPage {
    /// Now.
    pub(super) moment: Moment,
    /// The question.
    pub(super) query: EventQuery,
    /// At most so many are on a page.
    pub(super) limit: usize,
    /// The newest first, or why they cannot be read.
    pub(super) events: Result<Vec<Event>, String>,
}

/// The page as JSON.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LogJson<'a> {
    schema: &'static str,
    now: Timestamp,
    events: Option<&'a [Event]>,
    error: Option<&'a str>,
    /// Path and query of the next page.
    next: Option<String>,
}

impl EventsPage {
    /// For programs.
    pub(super) fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string(&LogJson {
            schema: SCHEMA,
            now: self.moment.now,
            events: self.events.as_deref().ok(),
            error: self.events.as_ref().err().map(String::as_str),
            next: self.next().map(|query| format!("/events.json{query}")),
        })
    }

    /// For people.
    pub(super) fn html(&self) -> String {
        let now = self.moment.now;
        let query = &self.query;
        let newest = self.events.as_ref().ok().and_then(|events| events.first());
        let summary = newest.map_or_else(|| "No events".to_owned(), |event| format!("Newest event: {}", event.summary));
        let main = html! {
            (health(&self.moment))
            form action="/events" role="search" aria-label="Events" {
                label {
                    span { "Kind" }
                    select name="kind" {
                        option value="" { "all" }
                        @for kind in EventKind::ALL {
                            option value=(kind.label()) selected[query.kind == kind.label()] { (kind.label()) }
                        }
                    }
                }
                @for (name, title, value) in [
                    ("check", "Check", &query.check),
                    ("cluster", "Cluster", &query.cluster),
                    ("vantage", "Vantage", &query.vantage),
                    ("from", "From (UTC)", &query.from),
                    ("until", "Until (UTC)", &query.until),
                ] {
                    label { span { (title) } input name=(name) value=(words::visible(value)) maxlength="200"; }
                }
                button { "Show" }
            }
            @match &self.events {
                Ok(events) => (table(events, now, "The newest first")),
                Err(why) => (layout::unread(why)),
            }
            @if let Some(next) = self.next() {
                nav.pages aria-label="Pages of events" { ul { li { a rel="next" href=(format!("/events{next}")) { "Older events" } } } }
            }
        };
        let json = format!("/events.json{}", self.query.query(&self.query.before));
        Page { title: "Events", summary: &summary, section: "/events", json: &json, now, refresh: true }.around(&main)
    }

    fn next(&self) -> Option<String> {
        let events = self.events.as_ref().ok()?;
        let last = events.last().filter(|_| events.len() >= self.limit)?;
        Some(self.query.query(&last.id.to_string()))
    }
}

/// An event, with what was before and after it.
pub(super) struct EventPage {
    /// Now.
    pub(super) moment: Moment,
    /// The event.
    pub(super) event: Event,
    /// The last good round; or why it cannot be read.
    pub(super) before: Result<Option<Cell>, String>,
    /// The round that confirmed it; or why it cannot be read.
    pub(super) after: Result<Option<Cell>, String>,
}

/// The page as JSON.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EventJson<'a> {
    schema: &'static str,
    event: &'a Event,
    before: Option<&'a Cell>,
    after: Option<&'a Cell>,
    error: Option<&'a str>,
}

impl EventPage {
    /// For programs.
    pub(super) fn json(&self) -> serde_json::Result<String> {
        let side = |side: &'_ Result<Option<Cell>, String>| side.as_ref().ok().cloned().flatten();
        let error = self.before.as_ref().err().or(self.after.as_ref().err());
        serde_json::to_string(&EventJson {
            schema: SCHEMA,
            event: &self.event,
            before: side(&self.before).as_ref(),
            after: side(&self.after).as_ref(),
            error: error.map(String::as_str),
        })
    }

    /// For people.
    pub(super) fn html(&self) -> String {
        let event = &self.event;
        let main = html! {
            (health(&self.moment))
            dl.facts {
                dt { "What" } dd { (kind(event.kind)) }
                dt { "Where" } dd { (subject(event)) " in " (words::visible(&event.cluster.check)) }
                dt { "Began" } dd { (time(event.since)) " UTC" }
                dt { "Certain" } dd { (time(event.at)) " UTC" }
                @if event.from.is_some() || event.to.is_some() {
                    dt { "Was" } dd { (standing(event.from.as_ref())) }
                    dt { "Is" } dd { (standing(event.to.as_ref())) }
                }
            }
            h2 { "What differs" }
            @if event.changes.is_empty() { p { "Nothing that was observed or configured differs" } } @else {
                ul {
                    @for change in &event.changes {
                        li { (words::visible(&change.text)) " " small.dim { "(" (words::moment(change.at)) ")" } }
                    }
                }
            }
            @if event.before.is_some() || event.after.is_some() {
                div.sides {
                    (side("Before", &self.before))
                    (side("After", &self.after))
                }
            }
        };
        let page = Page {
            title: &event.summary,
            summary: "",
            section: "",
            json: &format!("{}.json", links::event_path(event.id)),
            now: self.moment.now,
            refresh: false,
        };
        page.around(&main)
    }
}

/// Events as a table.
pub(super) fn table(events: &[Event], now: Timestamp, caption: &str) -> Markup {
    html! {
        @if events.is_empty() { p { "No events" } } @else {
            div.scroll role="group" aria-label=(format!("Events: {caption}")) tabindex="0" {
                table {
                    caption { (caption) }
                    thead {
                        tr {
                            th scope="col" { "time (UTC)" } th scope="col" { "what" }
                            th scope="col" { "where" } th scope="col" { "event" }
                        }
                    }
                    tbody {
                        @for event in events {
                            tr {
                                td { (short_time(event.at, now)) }
                                td { (kind(event.kind)) }
                                td { (subject(event)) }
                                td {
                                    a href=(links::event_path(event.id)) { (words::visible(&event.summary)) }
                                    @if let Some(change) = event.changes.first() { br; small { (words::visible(&change.text)) } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The log of one cell.
pub(super) fn cell_query(key: &CellKey) -> String {
    let query = links::query([
        ("check", key.check.as_str()),
        ("cluster", &key.cluster),
        ("vantage", &key.vantage),
        ("target", key.target.label()),
    ]);
    format!("/events{query}")
}

/// The log of one cluster.
pub(super) fn cluster_query(key: &ClusterKey) -> String {
    format!("/events{}", links::query([("check", key.check.as_str()), ("cluster", key.cluster.as_str())]))
}

/// What is to be reached, by its label.
pub(super) fn target_named(label: &str) -> Option<CellTarget> {
    CellTarget::ALL.iter().find(|target| target.label() == label).copied()
}

fn side(title: &str, cell: &Result<Option<Cell>, String>) -> Markup {
    html! {
        section aria-label=(title) {
            h2 { (title) }
            @match cell {
                Ok(Some(cell)) => {
                    p { (word(Shown::of_verdict(cell.verdict))) ": " (words::visible(&words::answer(cell))) }
                    (findings("Findings", "h3", &cell.findings))
                    (seen(cell, "h3"))
                },
                Ok(None) => p.dim { "Not known" },
                Err(why) => (layout::unread(why)),
            }
        }
    }
}

fn subject(event: &Event) -> Markup {
    html! {
        @match &event.cell {
            Some(cell) => a href=(links::cell_path(cell)) { (words::visible(&cell.subject())) },
            None => (layout::cluster_link(&event.cluster)),
        }
    }
}

fn standing(standing: Option<&Standing>) -> Markup {
    html! {
        @match standing {
            Some(standing) => {
                (word(Shown::of_verdict(standing.verdict)))
                @if let Some(code) = &standing.code { " · " code { (words::visible(code)) } }
            },
            None => "not known",
        }
    }
}

fn kind(kind: EventKind) -> Markup {
    let (class, mark) = match kind {
        EventKind::Failed => ("mismatch", "✗"),
        EventKind::Recovered => ("match", "✓"),
        EventKind::Changed => ("warning", "≠"),
        EventKind::Configuration => ("configuration", "⚙"),
        EventKind::Paused => ("warning", "‖"),
        EventKind::Resumed => ("match", "▶"),
        EventKind::First => ("info", "○"),
    };
    html! { span class=(class) { (mark) " " (kind.label()) } }
}

const EVENTS: usize = 100;
const MAX_EVENTS: usize = 1_000;
/// Of `2026-11-22`.
const DATE_LENGTH: usize = 10;

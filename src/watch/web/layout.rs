//! What every page has: head, navigation, health of the watch, times.

use std::sync::Arc;

use jiff::{Timestamp, tz::TimeZone};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde::Serialize;

use super::{assets, links};
use crate::{
    report::words,
    watch::{
        board::{CellNow, Health},
        config::WatchConfig,
    },
};

/// Name and version of the JSON form of every page.
pub(super) const SCHEMA: &str = "kubereach.watch/v1";

/// What a page is made for.
#[derive(Clone, Debug)]
pub(super) struct Moment {
    /// Now.
    pub(super) now: Timestamp,
    /// The watch's own health.
    pub(super) health: Health,
    /// Every cell.
    pub(super) cells: Vec<Arc<CellNow>>,
    /// The maintenance windows that are open.
    pub(super) windows: Vec<OpenWindow>,
}

/// A maintenance window that is open.
#[derive(Clone, Debug)]
pub(super) struct OpenWindow {
    /// Why; may be empty.
    pub(super) name: String,
    /// When it ends.
    pub(super) until: Timestamp,
    /// Of how many cells.
    pub(super) cells: usize,
}

impl OpenWindow {
    /// Those that are open for any of these cells; each cell counts for the one that ends last.
    pub(super) fn all(config: &WatchConfig, cells: &[Arc<CellNow>], now: Timestamp) -> Vec<Self> {
        let open = config.open_windows(now);
        let mut counts = vec![0_usize; open.len()];
        if !open.is_empty() {
            for cell in cells {
                if let Some(place) = open.iter().position(|(window, _)| window.matcher.matches(&cell.key)) {
                    counts[place] += 1;
                }
            }
        }
        let named = open.into_iter().zip(counts).filter(|(_, cells)| *cells > 0);
        named.map(|((window, until), cells)| Self { name: window.name.clone(), until, cells }).collect()
    }
}

/// `patch night until 04:00 UTC`: a maintenance window.
pub(super) fn window(name: &str, until: Timestamp, now: Timestamp) -> String {
    let until = format!("until {} UTC", clock(until, now));
    if name.is_empty() { until } else { format!("{name} {until}") }
}

/// A page around its main part.
pub(super) struct Page<'a> {
    /// Its title; also its first heading.
    pub(super) title: &'a str,
    /// What a refreshed page tells those who do not see it, when it changes.
    pub(super) summary: &'a str,
    /// Path of the entry of the navigation that it belongs to.
    pub(super) section: &'a str,
    /// The same as JSON: path and query.
    pub(super) json: &'a str,
    /// When it was drawn.
    pub(super) now: Timestamp,
    /// Whether it changes by itself.
    pub(super) refresh: bool,
}

impl Page<'_> {
    /// The whole document.
    pub(super) fn around(&self, main: &Markup) -> String {
        let title = words::visible(self.title);
        let document = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (title) " · kubereach watch" }
                    link rel="icon" href=(assets::ICON.path);
                    link rel="stylesheet" href=(assets::STYLE.path);
                    script src=(assets::SCRIPT.path) defer {}
                }
                body data-refresh=[self.refresh.then_some(REFRESH_SECONDS)] {
                    a.skip href="#main" { "Skip to content" }
                    header {
                        p { "kubereach watch" }
                        nav aria-label="Pages" {
                            ul {
                                @for (path, name) in [("/", "Matrix"), ("/events", "Events")] {
                                    li {
                                        a href=(path) aria-current=[(path == self.section).then_some("page")] { (name) }
                                    }
                                }
                            }
                        }
                    }
                    main #main tabindex="-1" data-summary=(words::visible(self.summary)) {
                        h1 { (title) }
                        (main)
                    }
                    footer {
                        p.dim {
                            span #refreshed { "Drawn at " (time(self.now)) " UTC" }
                            " · "
                            a href=(self.json) { "This page as JSON" }
                        }
                    }
                    div.unseen #live role="status" aria-live="polite" {}
                }
            }
        };
        document.into_string()
    }
}

/// What is wrong with the watch itself, a sentence each, as HTML; nothing when all is well.
pub(super) fn health(moment: &Moment) -> Markup {
    let troubles = troubles(moment);
    html! {
        @if !troubles.is_empty() {
            ul.health aria-label="Health of the watch" {
                @for trouble in &troubles {
                    li { span.warning { "! " } (words::visible(trouble)) }
                }
            }
        }
    }
}

/// What is wrong with the watch itself, a sentence each.
pub(super) fn troubles(moment: &Moment) -> Vec<String> {
    let Moment { now, health, cells, windows } = moment;
    let mut troubles = Vec::new();
    if let Some((since, why)) = &health.store {
        troubles.push(format!(
            "History cannot be written since {} UTC ({} rounds wait): {why}",
            clock(*since, *now),
            health.unwritten
        ));
    }
    if health.dropped > 0 {
        troubles.push(format!("{} rounds were given up because history could not be written", health.dropped));
    }
    if let Some(why) = &health.reload {
        troubles.push(format!("The last reload was refused, the configuration before it goes on: {why}"));
    }
    let count = |is: &dyn Fn(&CellNow) -> bool| cells.iter().filter(|cell| is(cell)).count();
    let paused = count(&|cell| cell.state.paused_since.is_some());
    if paused > 0 {
        troubles.push(format!(
            "The prober is offline: {} not judged until it is back",
            words::counted(paused, "cell is", "cells are")
        ));
    }
    let overdue = count(&|cell| cell.is_overdue(*now));
    if overdue > 0 {
        troubles.push(format!(
            "{} overdue: no round came when it was due",
            words::counted(overdue, "cell is", "cells are")
        ));
    }
    for OpenWindow { name, until, cells } in windows {
        let cells = words::counted(*cells, "cell", "cells");
        troubles.push(format!("Maintenance: {} ({cells}): nobody is alerted", window(name, *until, *now)));
    }
    troubles
}

/// The watch's own health, as JSON.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct HealthJson {
    process: String,
    started_at: Option<Timestamp>,
    configured_at: Option<Timestamp>,
    history_writable: bool,
    history_failing_since: Option<Timestamp>,
    history_error: Option<String>,
    unwritten: u64,
    dropped: u64,
    reload_error: Option<String>,
}

impl From<&Health> for HealthJson {
    fn from(health: &Health) -> Self {
        Self {
            process: health.process.clone(),
            started_at: health.started_at,
            configured_at: health.configured_at,
            history_writable: health.store.is_none(),
            history_failing_since: health.store.as_ref().map(|(since, _)| *since),
            history_error: health.store.as_ref().map(|(_, why)| why.clone()),
            unwritten: health.unwritten,
            dropped: health.dropped,
            reload_error: health.reload.clone(),
        }
    }
}

/// That history could not be read, in place of what would stand there.
pub(super) fn unread(why: &str) -> Markup {
    html! { p.warning role="note" { "? History cannot be read: " (words::visible(why)) } }
}

/// HTML that the report's renderer draws.
pub(super) fn drawn(draw: impl FnOnce(&mut String)) -> Markup {
    let mut text = String::new();
    draw(&mut text);
    PreEscaped(text)
}

/// A time to the second, UTC.
pub(super) fn time(at: Timestamp) -> Markup {
    html! { time datetime=(at) { (words::stamp(at)) } }
}

/// A time as short as it can be told today.
pub(super) fn short_time(at: Timestamp, now: Timestamp) -> Markup {
    html! { time datetime=(at) title=(words::moment(at)) { (clock(at, now)) } }
}

/// `14:02` where it is today's (UTC), else `11-21 14:02`, or `2025-11-21`.
pub(super) fn clock(at: Timestamp, now: Timestamp) -> String {
    let (at, now) = (at.to_zoned(TimeZone::UTC), now.to_zoned(TimeZone::UTC));
    let form = if at.date() == now.date() {
        "%H:%M"
    } else if at.year() == now.year() {
        "%m-%d %H:%M"
    } else {
        "%Y-%m-%d"
    };
    at.strftime(form).to_string()
}

/// A link to a cluster's page.
pub(super) fn cluster_link(key: &crate::watch::record::ClusterKey) -> Markup {
    html! { a href=(links::cluster_path(key)) { (words::visible(&key.cluster)) } }
}

/// How often a page asks again, seconds.
const REFRESH_SECONDS: u32 = 5;

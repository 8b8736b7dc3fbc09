//! The first page: every cell as it is now. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::Timestamp;
use maud::{Markup, html};
use serde::Serialize;

use super::{
    chart::word,
    events,
    layout::{self, HealthJson, Moment, Page, SCHEMA, health, short_time, troubles},
    links,
    shown::{Brief, CellFilter, Shown, counted, counts},
};
use crate::{
    report::{
        CellTarget,
        words::{self, ago},
    },
    watch::{
        board::CellNow,
        record::{ClusterKey, Event},
    },
};

/// The cells that are asked for, of those that there are.
pub(super) struct MatrixPage {
    moment: Moment,
    filter: CellFilter,
    chosen: Vec<Arc<CellNow>>,
    page: usize,
    events: Result<Vec<Event>, String>,
}

/// The page as JSON.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Json<'a> {
    schema: &'static str,
    now: Timestamp,
    health: HealthJson,
    troubles: Vec<String>,
    counts: BTreeMap<&'static str, usize>,
    cells_total: usize,
    cells_chosen: usize,
    page: usize,
    pages: usize,
    cells: Vec<Brief<'a>>,
}

impl MatrixPage {
    /// Of a moment, as far as it is asked for, with what happened last.
    ///
    /// # Errors
    /// What is wrong with the question, for people.
    pub(super) fn of(moment: Moment, filter: CellFilter, events: Result<Vec<Event>, String>) -> Result<Self, String> {
        let chosen = filter.choose(&moment.cells, moment.now)?;
        let page = filter.page()?;
        Ok(Self { moment, filter, chosen, page, events })
    }

    /// For programs.
    pub(super) fn json(&self) -> serde_json::Result<String> {
        let now = self.moment.now;
        let counts = counts(&self.moment.cells, now).into_iter().map(|(shown, count)| (shown.label(), count)).collect();
        serde_json::to_string(&Json {
            schema: SCHEMA,
            now,
            health: HealthJson::from(&self.moment.health),
            troubles: troubles(&self.moment),
            counts,
            cells_total: self.moment.cells.len(),
            cells_chosen: self.chosen.len(),
            page: self.page,
            pages: self.pages(),
            cells: self.slice().iter().map(|cell| Brief::of(cell, now)).collect(),
        })
    }

    /// For people.
    pub(super) fn html(&self) -> String {
        let now = self.moment.now;
        let counts = counts(&self.moment.cells, now);
        let summary = counted(&counts);
        let json = format!("/index.json{}", self.filter.query(self.page));
        let main = html! {
            (health(&self.moment))
            ul.counts aria-label="Cells by verdict" {
                @for (shown, count) in &counts {
                    li {
                        a href=(CellFilter { verdict: shown.label().to_owned(), ..CellFilter::default() }.query(1)) {
                            (count) " " (word(*shown))
                        }
                    }
                }
                @if counts.is_empty() { li { "No cells yet: the configuration names none, or was not taken yet" } }
            }
            (self.form())
            (self.worst())
            (self.groups())
            (self.paging())
            h2 { "Latest events" }
            @match &self.events {
                Ok(list) => (events::table(list, now, "The newest first")),
                Err(why) => (layout::unread(why)),
            }
        };
        Page { title: "Reachability now", summary: &summary, section: "/", json: &json, now, refresh: true }
            .around(&main)
    }

    fn pages(&self) -> usize {
        self.chosen.len().div_ceil(PAGE_CELLS).max(1)
    }

    fn slice(&self) -> &[Arc<CellNow>] {
        let from = (self.page - 1).saturating_mul(PAGE_CELLS).min(self.chosen.len());
        &self.chosen[from..(from + PAGE_CELLS).min(self.chosen.len())]
    }

    fn form(&self) -> Markup {
        let filter = &self.filter;
        html! {
            form action="/" role="search" aria-label="Cells" {
                label {
                    span { "Verdict" }
                    select name="verdict" {
                        option value="" { "all" }
                        @for shown in Shown::ALL {
                            option value=(shown.label()) selected[filter.verdict == shown.label()] { (shown.word()) }
                        }
                    }
                }
                @for (name, title, value) in [
                    ("check", "Check", &filter.check),
                    ("cluster", "Cluster", &filter.cluster),
                    ("vantage", "Vantage", &filter.vantage),
                ] {
                    label { span { (title) } input name=(name) value=(words::visible(value)) maxlength="200"; }
                }
                button { "Show" }
                small.dim { "In names, * stands for any run of characters" }
                @if self.chosen.len() != self.moment.cells.len() {
                    span { (self.chosen.len()) " of " (self.moment.cells.len()) " cells · " a href="/" { "all" } }
                }
            }
        }
    }

    /// On more than one page: what is not fine, whichever page it is on.
    fn worst(&self) -> Markup {
        if self.pages() == 1 || self.page != 1 {
            return html! {};
        }
        let mut bad: Vec<&CellNow> = self.chosen.iter().map(AsRef::as_ref).collect();
        bad.retain(|cell| Shown::of(cell, self.moment.now) != Shown::Match);
        bad.sort_by_key(|cell| Shown::of(cell, self.moment.now));
        html! {
            @if !bad.is_empty() {
                h2 { "Not fine (" (bad.len()) ")" }
                (list(bad.iter().take(WORST_CELLS).copied(), self.moment.now, "Cells that are not fine, the worst first"))
                @if bad.len() > WORST_CELLS { p.dim { "The first " (WORST_CELLS) "; narrow by verdict to see the others" } }
            }
        }
    }

    fn groups(&self) -> Markup {
        let mut checks: BTreeMap<&str, Vec<&CellNow>> = BTreeMap::new();
        for cell in self.slice() {
            checks.entry(&cell.key.check).or_default().push(cell);
        }
        html! {
            @for (check, cells) in &checks {
                h2 { (words::visible(check)) }
                (grid(check, cells, self.moment.now))
            }
            @if checks.is_empty() && !self.moment.cells.is_empty() { p { "No cell fits. " a href="/" { "Show all" } } }
        }
    }

    fn paging(&self) -> Markup {
        let pages = self.pages();
        html! {
            @if pages > 1 {
                nav.pages aria-label="Pages of cells" {
                    ul {
                        @for page in 1..=pages.min(MAX_PAGES) {
                            li {
                                a href=(format!("/{}", self.filter.query(page))) aria-current=[(page == self.page).then_some("page")] { (page) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Cells as a list.
pub(super) fn list<'a>(cells: impl Iterator<Item = &'a CellNow>, now: Timestamp, caption: &str) -> Markup {
    html! {
        div.scroll role="group" aria-label=(words::visible(caption)) tabindex="0" {
            table {
                caption { (words::visible(caption)) }
                thead {
                    tr {
                        th scope="col" { "cluster" } th scope="col" { "vantage" } th scope="col" { "verdict" }
                        th scope="col" { "cause" } th scope="col" { "since" } th scope="col" { "last seen" }
                    }
                }
                tbody {
                    @for cell in cells {
                        @let shown = Shown::of(cell, now);
                        tr {
                            td { (words::visible(&cell.key.target.of(&cell.key.cluster))) }
                            td { a href=(links::cell_path(&cell.key)) { (words::visible(&cell.key.vantage)) } }
                            td { (word(shown)) (remarks(cell, shown)) }
                            td {
                                @if let Some(code) = cell.state.standing.as_ref().and_then(|standing| standing.code.as_ref()) {
                                    code { (words::visible(code)) }
                                }
                            }
                            td { (since(cell, now)) }
                            td { (seen(cell, now)) }
                        }
                    }
                }
            }
        }
    }
}

/// What must be said beside the verdict: what it was before it grew stale, what is not confirmed yet, maintenance.
pub(super) fn remarks(cell: &CellNow, shown: Shown) -> Markup {
    let standing = cell.state.standing.as_ref().map(|standing| standing.verdict.label());
    html! {
        @if let (Shown::Stale | Shown::Paused, Some(standing)) = (shown, standing) {
            br; span.old { "was " (standing) }
        }
        @if let Some(pending) = &cell.state.pending {
            br; small { "lately " (pending.standing.verdict.label()) " × " (pending.rounds) }
        }
        @if cell.maintenance { br; small { "maintenance" } }
    }
}

/// Since when it stands so.
pub(super) fn since(cell: &CellNow, now: Timestamp) -> Markup {
    html! {
        @match cell.state.since {
            Some(since) => { (short_time(since, now)) " (" (ago(since, now)) ")" },
            None => "–",
        }
    }
}

/// When its last round was.
pub(super) fn seen(cell: &CellNow, now: Timestamp) -> Markup {
    html! {
        @match &cell.last {
            Some(round) => time datetime=(round.at) { (ago(round.at, now)) " ago" },
            None => "never",
        }
    }
}

/// Clusters by vantages; a list where most of that would be empty.
fn grid(check: &str, cells: &[&CellNow], now: Timestamp) -> Markup {
    let rows: BTreeSet<(&str, CellTarget)> =
        cells.iter().map(|cell| (cell.key.cluster.as_str(), cell.key.target)).collect();
    let columns: BTreeSet<&str> = cells.iter().map(|cell| cell.key.vantage.as_str()).collect();
    let caption = format!("{check}: clusters by vantages");
    if rows.len() * columns.len() > cells.len() * 2 {
        return list(cells.iter().copied(), now, &format!("{check}: cells"));
    }
    let by_place: BTreeMap<_, _> = cells
        .iter()
        .map(|cell| ((cell.key.cluster.as_str(), cell.key.target, cell.key.vantage.as_str()), *cell))
        .collect();
    html! {
        div.scroll.matrix role="group" aria-label=(words::visible(&caption)) tabindex="0" {
            table {
                caption.unseen { (words::visible(&caption)) }
                thead {
                    tr {
                        th scope="col" { "cluster" }
                        @for vantage in &columns { th scope="col" { (words::visible(vantage)) } }
                    }
                }
                tbody {
                    @for (cluster, target) in &rows {
                        tr {
                            th scope="row" {
                                a href=(links::cluster_path(&ClusterKey { check: check.to_owned(), cluster: (*cluster).to_owned() })) {
                                    (words::visible(&target.of(cluster)))
                                }
                            }
                            @for vantage in &columns {
                                @match by_place.get(&(*cluster, *target, *vantage)) {
                                    Some(cell) => (place(cell, now)),
                                    None => td.none { "not checked" },
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn place(cell: &CellNow, now: Timestamp) -> Markup {
    let shown = Shown::of(cell, now);
    html! {
        td class=(shown.label()) {
            a href=(links::cell_path(&cell.key)) { (word(shown)) }
            @if let Some(code) = cell.state.standing.as_ref().and_then(|standing| standing.code.as_ref()) {
                br; code { (words::visible(code)) }
            }
            (remarks(cell, shown))
            br; small { @if cell.state.since.is_some() { "since " (since(cell, now)) br; } "seen " (seen(cell, now)) }
        }
    }
}

/// Cells of one page: more of them are on further pages, and what is not fine stands on the first.
pub(super) const PAGE_CELLS: usize = 1_000;
const WORST_CELLS: usize = 100;
const MAX_PAGES: usize = 1_000;

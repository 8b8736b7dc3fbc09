//! The page of a cluster: its cells, its resolvers side by side, its configuration. Pure.

use std::{collections::BTreeSet, sync::Arc};

use jiff::Timestamp;
use maud::{Markup, html};
use serde::Serialize;

use super::{
    cell::findings,
    events,
    layout::{self, Moment, Page, SCHEMA, health},
    links, matrix,
    shown::{Brief, counted, counts},
};
use crate::{
    report::{Finding, words},
    watch::{
        board::CellNow,
        record::{ClusterKey, Event},
    },
};

/// What the page of a cluster is drawn from.
pub(super) struct ClusterPage {
    /// Now.
    pub(super) moment: Moment,
    /// Which cluster.
    pub(super) key: ClusterKey,
    /// Its cells, with the details of their last rounds where those can be read.
    pub(super) cells: Vec<Arc<CellNow>>,
    /// Why some detail cannot be read.
    pub(super) unread: Option<String>,
    /// Cells whose detail was not read, because there are too many of them.
    pub(super) left_out: usize,
    /// What its configuration shows by itself.
    pub(super) findings: Vec<Finding>,
    /// Changes of its configuration, or why they cannot be read.
    pub(super) changes: Result<Vec<Event>, String>,
}

/// The page as JSON.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Json<'a> {
    schema: &'static str,
    now: Timestamp,
    #[serde(flatten)]
    key: &'a ClusterKey,
    cells: Vec<Brief<'a>>,
    resolvers: Vec<Answer<'a>>,
    resolvers_error: Option<&'a str>,
    /// Cells whose answers are left out.
    resolvers_left_out: usize,
    findings: &'a [Finding],
    changes: Option<&'a [Event]>,
    changes_error: Option<&'a str>,
}

/// How one resolver answered at one vantage.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    vantage: &'a str,
    target: crate::report::CellTarget,
    #[serde(flatten)]
    dns: &'a kubereach_probes::DnsObservation,
}

impl ClusterPage {
    /// For programs.
    pub(super) fn json(&self) -> serde_json::Result<String> {
        let answers = self.cells.iter().flat_map(|cell| {
            let detail = cell.detail.iter().flat_map(|detail| &detail.dns);
            detail.map(|dns| Answer { vantage: &cell.key.vantage, target: cell.key.target, dns })
        });
        serde_json::to_string(&Json {
            schema: SCHEMA,
            now: self.moment.now,
            key: &self.key,
            cells: self.cells.iter().map(|cell| Brief::of(cell, self.moment.now)).collect(),
            resolvers: answers.collect(),
            resolvers_error: self.unread.as_deref(),
            resolvers_left_out: self.left_out,
            findings: &self.findings,
            changes: self.changes.as_deref().ok(),
            changes_error: self.changes.as_ref().err().map(String::as_str),
        })
    }

    /// For people.
    pub(super) fn html(&self) -> String {
        let now = self.moment.now;
        let title = format!("{} in {}", self.key.cluster, self.key.check);
        let summary = format!("{title}: {}", counted(&counts(&self.cells, now)));
        let json = format!("{}.json", links::cluster_path(&self.key));
        let main = html! {
            (health(&self.moment))
            h2 { "Cells" }
            (matrix::list(self.cells.iter().map(AsRef::as_ref).take(matrix::PAGE_CELLS), now, "By vantage"))
            h2 { "Resolvers side by side" }
            (self.resolvers())
            @if let Some(why) = &self.unread { (layout::unread(why)) }
            @if self.left_out > 0 {
                p.dim { "Not shown: " (words::counted(self.left_out, "cell", "cells")) " of other processes; their own pages have it" }
            }
            (findings("What its configuration shows by itself", "h2", &self.findings))
            h2 { "Changes of its configuration" }
            @match &self.changes {
                Ok(list) => (events::table(list, now, "As its provider tells it")),
                Err(why) => (layout::unread(why)),
            }
            p { a href=(events::cluster_query(&self.key)) { "Every event of this cluster" } }
        };
        Page { title: &title, summary: &summary, section: "", json: &json, now, refresh: true }.around(&main)
    }

    /// Vantages by resolvers: outcome, class, addresses.
    fn resolvers(&self) -> Markup {
        let seen = |cell: &'_ CellNow| cell.detail.clone();
        let details: Vec<_> = self
            .cells
            .iter()
            .filter_map(|cell| Some((&cell.key, seen(cell)?)))
            .filter(|(_, detail)| !detail.dns.is_empty())
            .take(matrix::PAGE_CELLS)
            .collect();
        let labels: BTreeSet<&str> =
            details.iter().flat_map(|(_, detail)| &detail.dns).map(|dns| dns.resolver.as_str()).collect();
        if labels.is_empty() {
            return html! { p { "No resolver was asked yet" } };
        }
        // The one that decides comes first.
        let mut labels: Vec<&str> = labels.into_iter().collect();
        labels.sort_by_key(|label| *label != "system");
        labels.truncate(MAX_RESOLVERS);
        html! {
            div.scroll role="group" aria-label="Resolvers side by side" tabindex="0" {
                table {
                    caption { "What each resolver answers at each vantage, in the last round" }
                    thead {
                        tr {
                            th scope="col" { "vantage" }
                            @for label in &labels { th scope="col" { (words::visible(label)) } }
                        }
                    }
                    tbody {
                        @for (key, detail) in &details {
                            tr {
                                th scope="row" { a href=(links::cell_path(key)) { (words::visible(&key.target.of(&key.vantage))) } }
                                @for label in &labels {
                                    @match detail.dns.iter().find(|dns| dns.resolver == *label) {
                                        Some(dns) => td {
                                            (dns.outcome.label()) ", " (dns.address_class.label())
                                            @for address in dns.addresses.iter().take(words::ADDRESS_LIMIT) { br; code { (address) } }
                                        },
                                        None => td.none { "not asked" },
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Resolvers that stand side by side.
const MAX_RESOLVERS: usize = 24;

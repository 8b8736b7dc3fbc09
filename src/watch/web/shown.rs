//! What a cell is shown as, and which cells are asked for: pure.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::links;
use crate::{
    report::{Intended, Provider, Verdict},
    watch::{
        board::CellNow,
        config::matches_name,
        record::{CellKey, Pending, Standing},
    },
};

/// What a cell is shown as: its verdict, unless that says nothing of now. The worst comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Shown {
    /// The truths disagree.
    Mismatch,
    /// Its round did not come when it was due: what was known is no longer.
    Stale,
    /// It could not be decided.
    Inconclusive,
    /// The prober is offline, and judgement pauses.
    Paused,
    /// It was never judged.
    NotJudged,
    /// A change is young.
    Propagating,
    /// All is as it should be.
    Match,
}

kubereach_probes::labels! { Shown {
    Mismatch => "mismatch",
    Stale => "stale",
    Inconclusive => "inconclusive",
    Paused => "paused",
    NotJudged => "not-judged",
    Propagating => "propagating",
    Match => "match",
} }

impl Shown {
    /// What a cell is shown as at a time.
    pub(super) fn of(cell: &CellNow, now: Timestamp) -> Self {
        if cell.last.is_some() && cell.is_overdue(now) {
            return Self::Stale;
        }
        if cell.state.paused_since.is_some() {
            return Self::Paused;
        }
        cell.state.standing.as_ref().map_or(Self::NotJudged, |standing| Self::of_verdict(standing.verdict))
    }

    /// The one of a verdict.
    pub(super) const fn of_verdict(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Match => Self::Match,
            Verdict::Propagating => Self::Propagating,
            Verdict::Inconclusive => Self::Inconclusive,
            Verdict::Mismatch => Self::Mismatch,
        }
    }

    /// For people.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::NotJudged => "not judged yet",
            Self::Paused => "paused: prober offline",
            other => other.label(),
        }
    }

    /// One character, so that colour is never all that tells it.
    pub(super) const fn mark(self) -> &'static str {
        match self {
            Self::Mismatch => crate::report::html::parts::mark(Verdict::Mismatch),
            Self::Inconclusive => crate::report::html::parts::mark(Verdict::Inconclusive),
            Self::Propagating => crate::report::html::parts::mark(Verdict::Propagating),
            Self::Match => crate::report::html::parts::mark(Verdict::Match),
            Self::Stale => "!",
            Self::Paused => "‖",
            Self::NotJudged => "○",
        }
    }
}

/// A cell in brief, as JSON.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Brief<'a> {
    #[serde(flatten)]
    key: &'a CellKey,
    url: String,
    provider: Provider,
    intended: Intended,
    shown: Shown,
    standing: Option<&'a Standing>,
    since: Option<Timestamp>,
    pending: Option<&'a Pending>,
    paused_since: Option<Timestamp>,
    incident: Option<Timestamp>,
    last_seen: Option<Timestamp>,
    due: Option<Timestamp>,
    interval_seconds: f64,
    maintenance: bool,
    own: bool,
}

impl<'a> Brief<'a> {
    /// Of a cell at a time.
    pub(super) fn of(cell: &'a CellNow, now: Timestamp) -> Self {
        Self {
            key: &cell.key,
            url: links::cell_path(&cell.key),
            provider: cell.provider,
            intended: cell.intended,
            shown: Shown::of(cell, now),
            standing: cell.state.standing.as_ref(),
            since: cell.state.since,
            pending: cell.state.pending.as_ref(),
            paused_since: cell.state.paused_since,
            incident: cell.state.incident,
            last_seen: cell.last.as_ref().map(|round| round.at),
            due: cell.due,
            interval_seconds: cell.interval.as_secs_f64(),
            maintenance: cell.maintenance,
            own: cell.own,
        }
    }
}

/// Which cells are asked for, as the query has it; what is empty does not narrow.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct CellFilter {
    /// A [`Shown`].
    pub(super) verdict: String,
    /// Name of the check; in each name `*` stands for any run of characters.
    pub(super) check: String,
    /// Name of the cluster.
    pub(super) cluster: String,
    /// Name of the vantage.
    pub(super) vantage: String,
    /// Which page, from 1.
    pub(super) page: String,
}

impl CellFilter {
    /// The cells that are asked for.
    ///
    /// # Errors
    /// What is wrong with the query, for people.
    pub(super) fn choose(&self, cells: &[Arc<CellNow>], now: Timestamp) -> Result<Vec<Arc<CellNow>>, String> {
        let verdict = Shown::ALL.iter().find(|shown| shown.label() == self.verdict).copied();
        if verdict.is_none() && !self.verdict.is_empty() {
            let known: Vec<&str> = Shown::ALL.iter().map(|shown| shown.label()).collect();
            return Err(format!("verdict is none of {}", known.join(", ")));
        }
        let fits = |cell: &&Arc<CellNow>| {
            fits(&self.check, &cell.key.check)
                && fits(&self.cluster, &cell.key.cluster)
                && fits(&self.vantage, &cell.key.vantage)
                && verdict.is_none_or(|verdict| Shown::of(cell, now) == verdict)
        };
        Ok(cells.iter().filter(fits).cloned().collect())
    }

    /// The page, from 1.
    ///
    /// # Errors
    /// It is no number.
    pub(super) fn page(&self) -> Result<usize, String> {
        if self.page.is_empty() {
            return Ok(1);
        }
        self.page.parse().ok().filter(|page| *page > 0).ok_or_else(|| "page is no number from 1 on".to_owned())
    }

    /// The same question for another page.
    pub(super) fn query(&self, page: usize) -> String {
        let page = if page == 1 { String::new() } else { page.to_string() };
        let pairs = [
            ("verdict", &self.verdict),
            ("check", &self.check),
            ("cluster", &self.cluster),
            ("vantage", &self.vantage),
        ];
        let pairs = pairs.into_iter().map(|(name, value)| (name, value.as_str()));
        links::query(pairs.chain([("page", page.as_str())]))
    }
}

/// How many cells are shown as what, the worst first.
pub(super) fn counts(cells: &[Arc<CellNow>], now: Timestamp) -> BTreeMap<Shown, usize> {
    let mut counts = BTreeMap::new();
    for cell in cells {
        *counts.entry(Shown::of(cell, now)).or_default() += 1;
    }
    counts
}

/// `1 mismatch, 3 match`.
pub(super) fn counted(counts: &BTreeMap<Shown, usize>) -> String {
    let parts: Vec<String> = counts.iter().map(|(shown, count)| format!("{count} {}", shown.word())).collect();
    if parts.is_empty() { "no cells".to_owned() } else { parts.join(", ") }
}

/// Whether a name fits what was asked for; `*` stands for any run of characters, nothing for every name.
fn fits(pattern: &str, name: &str) -> bool {
    pattern.is_empty() || matches_name(pattern, name)
}

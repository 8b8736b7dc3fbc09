//! Cluster × vantage at a glance: one value, drawn by every format that has room for it.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Cell, CellTarget, Intended, Reachability, Severity, Verdict, Via};

/// Every cell in brief, by cluster and vantage.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Matrix {
    /// Names of the clusters, in the scenario's order.
    pub clusters: Vec<String>,
    /// Names of the vantages, in the scenario's order.
    pub vantages: Vec<String>,
    /// One entry a cell of the report, in its order. A pair that the scenario does not ask for has none.
    pub cells: Vec<MatrixCell>,
}

/// One cell in brief.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MatrixCell {
    /// Name of the cluster.
    pub cluster: String,
    /// Name of the vantage.
    pub vantage: String,
    /// What is to be reached there.
    pub target: CellTarget,
    /// What should be.
    pub intended: Intended,
    /// What the provider's configuration allows.
    pub configured: Reachability,
    /// What happens.
    pub observed: Reachability,
    /// The three side by side.
    pub verdict: Verdict,
    /// Class of the addresses that answered.
    pub via: Option<Via>,
    /// The addresses that echo servers see the vantage by.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub egress: Vec<IpAddr>,
    /// Code of the most probable finding of severity `error`; null when there is none.
    pub code: Option<String>,
}

impl Matrix {
    /// The cells in brief; `None` when there are none.
    #[must_use]
    pub fn of(cells: &[Cell]) -> Option<Self> {
        if cells.is_empty() {
            return None;
        }
        Some(Self {
            clusters: in_order(cells.iter().map(|cell| cell.cluster.as_str())),
            vantages: in_order(cells.iter().map(|cell| cell.vantage.as_str())),
            cells: cells.iter().map(brief).collect(),
        })
    }
}

fn brief(cell: &Cell) -> MatrixCell {
    let mut egress: Vec<IpAddr> = cell.egress.iter().filter_map(|one| one.address).collect();
    egress.sort_unstable();
    egress.dedup();
    MatrixCell {
        cluster: cell.cluster.clone(),
        vantage: cell.vantage.clone(),
        target: cell.target,
        intended: cell.intended,
        configured: cell.configured,
        observed: cell.observed,
        verdict: cell.verdict,
        via: cell.via,
        egress,
        code: first_error(cell).map(str::to_owned),
    }
}

/// Code of the most probable finding of severity `error`.
pub(super) fn first_error(cell: &Cell) -> Option<&str> {
    cell.findings.iter().find(|finding| finding.severity == Severity::Error).map(|finding| finding.code.as_str())
}

/// `reachable/unreachable/unknown`: intended, configured, observed.
pub(super) fn truths(cell: &Cell) -> String {
    let intended = if cell.intended == Intended::Unspecified { "-" } else { cell.intended.label() };
    format!("{intended} / {} / {}", cell.configured.label(), cell.observed.label())
}

/// The three truths as letters: `r` reachable, `u` unreachable, `.` not known, `-` not said. A `?` is a verdict.
pub(super) fn letters(cell: &Cell) -> String {
    let letter = |truth: Reachability| match truth {
        Reachability::Reachable => 'r',
        Reachability::Unreachable => 'u',
        Reachability::Unknown => '.',
    };
    let intended = match cell.intended {
        Intended::Reachable => 'r',
        Intended::Unreachable => 'u',
        Intended::Unspecified => '-',
    };
    format!("{intended}{}{}", letter(cell.configured), letter(cell.observed))
}

/// The cells by what is looked at and from where: more than one of each.
pub(super) struct Grid<'a> {
    /// What is looked at, in the report's order.
    pub(super) subjects: Vec<String>,
    /// From where, in the report's order.
    pub(super) vantages: Vec<String>,
    cells: HashMap<(String, String), (usize, &'a Cell)>,
}

impl<'a> Grid<'a> {
    /// `None` where a list shows it as well: with one cluster or one vantage, or with few of the pairs.
    pub(super) fn of(cells: &'a [Cell]) -> Option<Self> {
        let names: Vec<String> = cells.iter().map(Cell::subject).collect();
        let subjects = in_order(names.iter().map(String::as_str));
        let vantages = in_order(cells.iter().map(|cell| cell.vantage.as_str()));
        let sparse = cells.len() * 2 <= subjects.len() * vantages.len();
        if subjects.len() < 2 || vantages.len() < 2 || sparse {
            return None;
        }
        let place = |(index, cell): (usize, &'a Cell)| ((cell.subject(), cell.vantage.clone()), (index, cell));
        Some(Self { subjects, vantages, cells: cells.iter().enumerate().map(place).collect() })
    }

    /// The cell, and its place in the report.
    pub(super) fn cell(&self, subject: &str, vantage: &str) -> Option<(usize, &'a Cell)> {
        self.cells.get(&(subject.to_owned(), vantage.to_owned())).copied()
    }
}

/// How many cells there are of each verdict, the worst first: `3 mismatch, 1,197 match`.
pub(super) fn counts<'a>(cells: impl Iterator<Item = &'a Cell>) -> String {
    let mut counts: BTreeMap<std::cmp::Reverse<Verdict>, usize> = BTreeMap::new();
    for cell in cells {
        *counts.entry(std::cmp::Reverse(cell.verdict)).or_default() += 1;
    }
    let counts: Vec<String> = counts.iter().map(|(verdict, count)| format!("{count} {}", verdict.0.label())).collect();
    counts.join(", ")
}

/// Each name once, in the order of the first.
fn in_order<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut seen = std::collections::HashSet::new();
    names.filter(|name| seen.insert(*name)).map(str::to_owned).collect()
}

//! What is allowed and probably not meant.

use std::collections::BTreeSet;

use super::{Matcher, WatchConfig, matches_name};
use crate::{input::quoted, watch::record::CellKey};

impl WatchConfig {
    /// What is allowed and probably not meant, a sentence each: receivers that nobody tells anything, patterns that fit
    /// nothing.
    #[must_use]
    pub fn doubts(&self) -> Vec<String> {
        let keys = self.keys();
        let mut doubts = Vec::new();
        for (number, route) in (1..).zip(&self.routes) {
            doubts.extend(doubts_of(&format!("route {number}"), &route.matcher, &keys));
        }
        for (number, window) in (1..).zip(&self.maintenance) {
            let name = match window.name.as_str() {
                "" => format!("maintenance window {number}"),
                name => format!("maintenance window {}", quoted(name)),
            };
            doubts.extend(doubts_of(&name, &window.matcher, &keys));
        }
        let told: BTreeSet<&String> = self.routes.iter().flat_map(|route| &route.receivers).collect();
        let untold = self.receivers.iter().filter(|receiver| !told.contains(&receiver.name));
        doubts.extend(untold.map(|receiver| format!("no route names the receiver {}", quoted(&receiver.name))));
        doubts
    }

    /// Every cell that is checked.
    fn keys(&self) -> Vec<CellKey> {
        let cells = self.checks.iter().flat_map(|check| check.plan.cells.iter().map(move |cell| (check, cell)));
        cells
            .map(|(check, cell)| CellKey {
                check: check.name.clone(),
                cluster: check.plan.clusters[cell.cluster].name.clone(),
                vantage: check.plan.vantages[cell.vantage].name.clone(),
                target: cell.target,
            })
            .collect()
    }
}

/// What is odd about which cells something is about.
fn doubts_of(subject: &str, matcher: &Matcher, keys: &[CellKey]) -> Option<String> {
    type Part<'a> = (&'a str, &'a [String], fn(&CellKey) -> &str);
    let parts: [Part<'_>; 3] = [
        ("check", &matcher.checks, |key| &key.check),
        ("cluster", &matcher.clusters, |key| &key.cluster),
        ("vantage", &matcher.vantages, |key| &key.vantage),
    ];
    let mut idle = Vec::new();
    for (what, patterns, name) in parts {
        let names: BTreeSet<&str> = keys.iter().map(name).collect();
        let fits_nothing = |pattern: &&String| !names.iter().any(|name| matches_name(pattern, name));
        idle.extend(patterns.iter().filter(fits_nothing).map(|pattern| format!("{what} {}", quoted(pattern))));
    }
    if !idle.is_empty() {
        return Some(format!("{subject}: there is no {}", idle.join(", ")));
    }
    (!keys.iter().any(|key| matcher.matches(key))).then(|| format!("{subject} fits no cell"))
}

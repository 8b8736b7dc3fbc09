//! What is known now: one entry a cell, shared by the runner (which writes) and page, metrics and alerts (which read).

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};

use super::record::{CellId, CellKey, CellState, Round};
use crate::report::{Cell, Finding, Intended, Provider};

/// One cell, as it is known now.
#[derive(Clone, Debug)]
pub struct CellNow {
    /// The database's number.
    pub id: CellId,
    /// Its names.
    pub key: CellKey,
    /// Who runs the cluster.
    pub provider: Provider,
    /// What should be.
    pub intended: Intended,
    /// How far apart its rounds are, as a rule.
    pub interval: Duration,
    /// What is confirmed, and what is not yet.
    pub state: CellState,
    /// Its last stored round.
    pub last: Option<Round>,
    /// The judged cell of that round.
    pub detail: Option<Arc<Cell>>,
    /// The slot that follows its last round (or the start): when it is due next. A slot that has passed is one that no
    /// round came of. Null when another process runs it and no round of it is known; the end of time when it is never due
    /// again.
    pub due: Option<Timestamp>,
    /// This process runs it.
    pub own: bool,
    /// A maintenance window is open: it is probed and recorded, and nobody is alerted.
    pub maintenance: bool,
}

impl CellNow {
    /// Whether it should have had a round by now, and had none: what was known of it is not known any more. While its
    /// next slot lies ahead it never is, however long ago the last round was.
    #[must_use]
    pub fn is_overdue(&self, now: Timestamp) -> bool {
        // What another process stored is read now and then.
        let read = if self.own { Duration::ZERO } else { OTHERS_READ_EVERY };
        match (self.due, &self.last) {
            (Some(due), _) => is_missed(due, self.interval, read, now),
            (None, Some(last)) => is_past(last.at, self.interval.saturating_mul(MISSED_ROUNDS), read, now),
            (None, None) => false,
        }
    }
}

/// Whether a slot passed so long ago that its round will not come any more: three intervals, but a minute at least and a
/// quarter of an hour at most, and `besides`.
#[must_use]
pub fn is_missed(due: Timestamp, interval: Duration, besides: Duration, now: Timestamp) -> bool {
    is_past(due, interval.saturating_mul(MISSED_ROUNDS).clamp(SHORTEST_WAIT, LONGEST_WAIT), besides, now)
}

fn is_past(at: Timestamp, allowed: Duration, besides: Duration, now: Timestamp) -> bool {
    SignedDuration::try_from(allowed.saturating_add(besides)).is_ok_and(|allowed| now.duration_since(at) > allowed)
}

/// How the watch itself is.
#[derive(Clone, Debug, Default)]
pub struct Health {
    /// Why history cannot be written at the moment, and since when; null when it can.
    pub store: Option<(Timestamp, String)>,
    /// Rounds that wait for being written.
    pub unwritten: u64,
    /// Rounds that were given up because too many were waiting.
    pub dropped: u64,
    /// Why the last reload of the configuration was refused; null when it was taken.
    pub reload: Option<String>,
    /// When the process began.
    pub started_at: Option<Timestamp>,
    /// When the configuration was last taken.
    pub configured_at: Option<Timestamp>,
    /// Name of this process among those that share a database.
    pub process: String,
}

/// The cells and the watch's own health.
#[derive(Debug, Default)]
pub struct Board {
    cells: RwLock<BTreeMap<CellKey, Arc<CellNow>>>,
    health: RwLock<Health>,
    /// What a cluster's configuration shows by itself, by (check, cluster).
    configuration: RwLock<BTreeMap<(String, String), Vec<Finding>>>,
}

impl Board {
    /// Every cell, in the order of its names.
    #[must_use]
    pub fn cells(&self) -> Vec<Arc<CellNow>> {
        self.cells.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// One cell.
    #[must_use]
    pub fn cell(&self, key: &CellKey) -> Option<Arc<CellNow>> {
        self.cells.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    /// Puts a cell's new entry in place of its old one.
    pub fn put(&self, cell: CellNow) {
        self.cells.write().unwrap_or_else(PoisonError::into_inner).insert(cell.key.clone(), Arc::new(cell));
    }

    /// Forgets the cells that `keep` is false for.
    pub fn retain(&self, keep: impl Fn(&CellNow) -> bool) {
        self.cells.write().unwrap_or_else(PoisonError::into_inner).retain(|_, cell| keep(cell));
    }

    /// The watch's own health.
    #[must_use]
    pub fn health(&self) -> Health {
        self.health.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes the watch's own health.
    pub fn change_health(&self, change: impl FnOnce(&mut Health)) {
        change(&mut self.health.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// What a cluster's configuration shows by itself.
    #[must_use]
    pub fn configuration(&self, check: &str, cluster: &str) -> Vec<Finding> {
        let key = (check.to_owned(), cluster.to_owned());
        self.configuration.read().unwrap_or_else(PoisonError::into_inner).get(&key).cloned().unwrap_or_default()
    }

    /// Replaces what a cluster's configuration shows by itself.
    pub fn put_configuration(&self, check: &str, cluster: &str, findings: Vec<Finding>) {
        let key = (check.to_owned(), cluster.to_owned());
        self.configuration.write().unwrap_or_else(PoisonError::into_inner).insert(key, findings);
    }
}

/// How often what other processes stored is read.
pub const OTHERS_READ_EVERY: Duration = Duration::from_secs(10);
/// After so many intervals a round is given up.
const MISSED_ROUNDS: u32 = 3;
const SHORTEST_WAIT: Duration = Duration::from_mins(1);
const LONGEST_WAIT: Duration = Duration::from_mins(15);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        report::{CellTarget, Reachability, Verdict},
        watch::record::{DetailId, StageTimes},
    };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn cell(interval: u64, last: Option<i64>, due: Option<i64>, own: bool) -> CellNow {
        let key = CellKey {
            check: "main".to_owned(),
            cluster: "prod".to_owned(),
            vantage: "office".to_owned(),
            target: CellTarget::Kubernetes,
        };
        let last = last.map(|last| Round {
            cell: CellId(1),
            at: at(last),
            verdict: Verdict::Match,
            observed: Reachability::Reachable,
            offline: false,
            stages: StageTimes::default(),
            detail: DetailId(1),
        });
        CellNow {
            id: CellId(1),
            key,
            provider: Provider::Generic,
            intended: Intended::Reachable,
            interval: Duration::from_secs(interval),
            state: CellState::default(),
            last,
            detail: None,
            due: due.map(at),
            own,
            maintenance: false,
        }
    }

    /// Since the slot that was missed, not since the last round: a check of office hours is not overdue at night.
    #[test]
    fn overdue_is_what_missed_its_slot() {
        for (interval, last, due, own, from) in [
            (30, Some(0), Some(30), true, Some(30 + 90)),
            (1, Some(0), Some(1), true, Some(1 + 60)),
            (3_600, Some(0), Some(3_600), true, Some(3_600 + 900)),
            (300, Some(0), Some(14 * 3_600), true, Some(14 * 3_600 + 900)),
            (30, None, Some(5), true, Some(5 + 90)),
            // Another process's: what it stored is known ten seconds later.
            (1, Some(0), Some(1), false, Some(1 + 60 + 10)),
            (300, Some(0), Some(14 * 3_600), false, Some(14 * 3_600 + 910)),
            (1, Some(0), None, false, Some(13)),
            (30, Some(0), None, true, Some(90)),
            (30, None, None, false, None),
        ] {
            let cell = cell(interval, last, due, own);
            let first = (0..20 * 3_600).find(|second| cell.is_overdue(at(second + 1)));
            assert_eq!(first, from, "{interval} s, last {last:?}, due {due:?}, own {own}");
        }
        let mut never = cell(30, Some(0), None, true);
        never.due = Some(Timestamp::MAX);
        assert!(!never.is_overdue(at(1_000_000_000)));
    }
}

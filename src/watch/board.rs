//! What is known now: one entry a cell, shared by the runner (which writes) and page, metrics and alerts (which read).

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use jiff::Timestamp;

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
    /// round came of. Null when another process runs it; the end of time when it is never due again.
    pub due: Option<Timestamp>,
    /// This process runs it.
    pub own: bool,
    /// A maintenance window is open: it is probed and recorded, and nobody is alerted.
    pub maintenance: bool,
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

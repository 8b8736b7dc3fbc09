//! History: the same tables in SQLite (one process) and PostgreSQL (several).

use std::time::Duration;

use jiff::Timestamp;
use thiserror::Error;

use super::{
    config::{Retention, Storage},
    record::{
        Alert, CellId, CellKey, CellState, ClusterKey, Detail, DetailId, Event, EventKind, Rollup, Round, Snapshot,
    },
};
use crate::report::Cell;

/// Why history could not be written or read.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The database refused or could not be reached; it may work later.
    #[error("{operation}: {message}")]
    Unavailable {
        /// What was being done.
        operation: &'static str,
        /// What the database said, without credentials.
        message: String,
    },
    /// The database is of a newer kubereach, or no database of ours.
    #[error("{0}")]
    Foreign(String),
}

/// What is stored together or not at all.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Finished rounds. One that is stored already (same cell, same slot) is left as it is.
    pub rounds: Vec<Round>,
    /// Details that the rounds name. One that is stored already is left as it is.
    pub details: Vec<Detail>,
    /// New states.
    pub states: Vec<(CellId, CellState)>,
    /// New entries of the event log.
    pub events: Vec<Event>,
    /// New snapshots of configurations.
    pub snapshots: Vec<Snapshot>,
    /// Alerts that begin or changed: by (receiver, cell, `starts_at`), an alert replaces the one that is stored, and is
    /// due at once. `ends_at` set resolves it.
    pub alerts: Vec<Alert>,
}

/// A cell as it is stored.
#[derive(Clone, Debug)]
pub struct StoredCell {
    /// Number.
    pub id: CellId,
    /// Names.
    pub key: CellKey,
    /// What is confirmed.
    pub state: CellState,
    /// Its last round.
    pub last: Option<Round>,
}

/// Which events.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    /// Of this cell; events of its cluster's configuration count, too.
    pub cell: Option<CellKey>,
    /// Of this cluster.
    pub cluster: Option<ClusterKey>,
    /// Of these kinds; all when empty.
    pub kinds: Vec<EventKind>,
    /// From this time on.
    pub from: Option<Timestamp>,
    /// Before this time.
    pub until: Option<Timestamp>,
    /// Only with smaller numbers, for the next page.
    pub before: Option<i64>,
    /// At most so many, the newest first.
    pub limit: usize,
}

/// How wide the spans of rollups are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Span {
    /// Hours, UTC.
    Hour,
    /// Days, UTC.
    Day,
}

/// The history. Cheap to clone; every clone is the same database.
#[derive(Clone, Debug)]
pub struct Store {}

impl Store {
    /// Opens the database, makes or migrates its tables.
    pub async fn open(storage: &Storage) -> Result<Self, StoreError> {
        todo!("{storage:?}")
    }

    /// The numbers of cells, in the order given; new ones are made.
    pub async fn register(&self, keys: &[CellKey]) -> Result<Vec<CellId>, StoreError> {
        todo!("{keys:?}")
    }

    /// Every cell that was ever registered.
    pub async fn cells(&self) -> Result<Vec<StoredCell>, StoreError> {
        todo!()
    }

    /// Stores a batch: all of it, durably against the death of this process, or nothing.
    pub async fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        todo!("{batch:?}")
    }

    /// A judged cell.
    pub async fn detail(&self, id: DetailId) -> Result<Option<Cell>, StoreError> {
        todo!("{id:?}")
    }

    /// Rounds of a cell, oldest first; of more than `limit` the newest.
    pub async fn rounds(
        &self,
        cell: CellId,
        from: Timestamp,
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<Round>, StoreError> {
        todo!("{cell:?} {from} {until} {limit}")
    }

    /// Rollups of cells (all when empty), by cell and begin.
    pub async fn rollups(
        &self,
        cells: &[CellId],
        span: Span,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<Rollup>, StoreError> {
        todo!("{cells:?} {span:?} {from} {until}")
    }

    /// Events, newest first.
    pub async fn events(&self, filter: &EventFilter) -> Result<Vec<Event>, StoreError> {
        todo!("{filter:?}")
    }

    /// One event.
    pub async fn event(&self, id: i64) -> Result<Option<Event>, StoreError> {
        todo!("{id}")
    }

    /// The last snapshot of a cluster's configuration that was taken before a time.
    pub async fn snapshot(&self, cluster: &ClusterKey, before: Timestamp) -> Result<Option<Snapshot>, StoreError> {
        todo!("{cluster:?} {before}")
    }

    /// Alerts that are due, by receiver and begin.
    pub async fn alerts_due(&self, now: Timestamp, limit: usize) -> Result<Vec<Alert>, StoreError> {
        todo!("{now} {limit}")
    }

    /// Alerts that are open, or not delivered yet.
    pub async fn alerts(&self) -> Result<Vec<Alert>, StoreError> {
        todo!()
    }

    /// Writes down how deliveries ended: an alert with `ends_at` that was delivered is removed, any other keeps its new
    /// `next_at`, `attempts` and `delivered`; one that was changed meanwhile stays due.
    pub async fn alerts_sent(&self, alerts: &[Alert]) -> Result<(), StoreError> {
        todo!("{alerts:?}")
    }

    /// Takes or renews leases for a process: those that nobody holds or that ran out, by the database's clock. The names
    /// that it holds afterwards. SQLite has one process, which gets them all.
    pub async fn lease(&self, holder: &str, names: &[String], lasts: Duration) -> Result<Vec<String>, StoreError> {
        todo!("{holder} {names:?} {lasts:?}")
    }

    /// Gives leases back.
    pub async fn release(&self, holder: &str, names: &[String]) -> Result<(), StoreError> {
        todo!("{holder} {names:?}")
    }

    /// Processes that are alive (they renewed any lease that still lasts), in order.
    pub async fn processes(&self) -> Result<Vec<String>, StoreError> {
        todo!()
    }

    /// Removes what is older than it is to be kept, a bounded piece at a time; how many rows went.
    pub async fn prune(&self, retention: &Retention, now: Timestamp) -> Result<u64, StoreError> {
        todo!("{retention:?} {now}")
    }

    /// Writes everything down and lets go of the file or connections.
    pub async fn close(&self) {
        todo!()
    }
}

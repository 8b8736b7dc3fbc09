//! History: the same tables in SQLite (one process) and PostgreSQL (several).

mod again;
mod answers;
mod codes;
mod commit;
mod engine;
mod lock;
mod postgres;
mod schema;
mod sqlite;
mod tls;
mod upkeep;
mod value;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use thiserror::Error;

use commit::{Commit, Known};
use engine::{Engine, Work};
use lock::{Lock, Refused};
use postgres::Postgres;
use schema::{Prepare, Unfit};
use sqlite::Sqlite;
use upkeep::{Lease, Register, Release, Sent};
use value::Fault;

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
    /// Another process writes this file: an SQLite database has one writer.
    #[error("another `kubereach watch` is writing this history")]
    Busy,
}

/// What is stored together or not at all.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Finished rounds. One that is stored already is left as it is; another one of the same cell and slot, as they come
    /// after the clock was set back, is stored at the next free millisecond.
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
pub struct Store {
    engine: Engine,
    /// Which database it is, for messages; without credentials.
    place: Arc<str>,
    known: Known,
    /// SQLite belongs to one process: who it says it is, and until when.
    holders: Arc<Mutex<BTreeMap<String, Instant>>>,
}

impl Store {
    /// Opens the database, makes or migrates its tables. Several processes may do so at once with PostgreSQL; a file is
    /// [`StoreError::Busy`] until every clone of the store that another one opened is closed or dropped, whatever link it
    /// was opened by.
    pub async fn open(storage: &Storage) -> Result<Self, StoreError> {
        let begun = Instant::now();
        let store = loop {
            match Self::new(storage, true) {
                // One that is just ending is waited for.
                Err(StoreError::Busy) if begun.elapsed() < PATIENCE => tokio::time::sleep(PATIENCE / 10).await,
                result => break result?,
            }
        };
        let prepared = store.engine.write(Prepare { migrate: true }).await;
        store.fit(prepared).await
    }

    /// Opens a database that exists to read it, while others write it or not. Nothing in it is changed, and everything
    /// that would change it fails.
    pub async fn open_to_read(storage: &Storage) -> Result<Self, StoreError> {
        let store = Self::new(storage, false)?;
        if let Engine::Sqlite(sqlite) = &store.engine
            && !sqlite.path().exists()
        {
            return Err(StoreError::Foreign(Unfit::Missing.message(&store.place)));
        }
        let prepared = store.engine.look(Prepare { migrate: false }).await;
        store.fit(prepared).await
    }

    /// The numbers of cells, in the order given; new ones are made.
    pub async fn register(&self, keys: &[CellKey]) -> Result<Vec<CellId>, StoreError> {
        self.write(Register::new(keys)).await
    }

    /// Every cell that was ever registered.
    pub async fn cells(&self) -> Result<Vec<StoredCell>, StoreError> {
        self.read(answers::cells(&self.engine)).await
    }

    /// Stores a batch: all of it, durably against the death of this process, or nothing.
    pub async fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        let commit = Commit::new(batch, &self.known).map_err(|fault| self.error(WRITE, fault))?;
        self.write(commit).await?;
        self.known.learn(batch);
        Ok(())
    }

    /// A judged cell.
    pub async fn detail(&self, id: DetailId) -> Result<Option<Cell>, StoreError> {
        self.read(answers::detail(&self.engine, id)).await
    }

    /// Rounds of a cell, oldest first; of more than `limit` the newest.
    pub async fn rounds(
        &self,
        cell: CellId,
        from: Timestamp,
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<Round>, StoreError> {
        self.read(answers::rounds(&self.engine, cell, milliseconds(from, until), limit)).await
    }

    /// Rollups of cells (all when empty), by cell and begin. A round while the prober was offline counts as `offline`
    /// and as nothing else.
    pub async fn rollups(
        &self,
        cells: &[CellId],
        span: Span,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<Rollup>, StoreError> {
        self.read(answers::rollups(&self.engine, cells, span, milliseconds(from, until))).await
    }

    /// Events, newest first.
    pub async fn events(&self, filter: &EventFilter) -> Result<Vec<Event>, StoreError> {
        self.read(answers::events(&self.engine, filter)).await
    }

    /// One event.
    pub async fn event(&self, id: i64) -> Result<Option<Event>, StoreError> {
        self.read(answers::one_event(&self.engine, id)).await
    }

    /// The last snapshot of a cluster's configuration that was taken before a time.
    pub async fn snapshot(&self, cluster: &ClusterKey, before: Timestamp) -> Result<Option<Snapshot>, StoreError> {
        self.read(answers::snapshot(&self.engine, cluster, before.as_millisecond())).await
    }

    /// Alerts that are due, by receiver and begin.
    pub async fn alerts_due(&self, now: Timestamp, limit: usize) -> Result<Vec<Alert>, StoreError> {
        self.read(answers::alerts_due(&self.engine, now.as_millisecond(), limit)).await
    }

    /// Alerts that are open, or not delivered yet.
    pub async fn alerts(&self) -> Result<Vec<Alert>, StoreError> {
        self.read(answers::alerts(&self.engine)).await
    }

    /// Writes down how deliveries ended: an alert with `ends_at` that was delivered is removed, any other keeps its new
    /// `next_at`, `attempts` and `delivered`; one that was changed meanwhile stays due.
    pub async fn alerts_sent(&self, alerts: &[Alert]) -> Result<(), StoreError> {
        let sent = Sent::new(alerts).map_err(|fault| self.error(WRITE, fault))?;
        self.write(sent).await
    }

    /// Takes or renews leases for a process: those that nobody holds or that ran out, by the database's clock. The names
    /// that it holds afterwards. SQLite has one process, which gets them all.
    pub async fn lease(&self, holder: &str, names: &[String], lasts: Duration) -> Result<Vec<String>, StoreError> {
        if let Engine::Sqlite(_) = &self.engine {
            let mut holders = self.holders.lock().unwrap_or_else(PoisonError::into_inner);
            holders.insert(holder.to_owned(), Instant::now() + lasts.min(LONGEST_LEASE));
            return Ok(names.to_vec());
        }
        let sorted: BTreeSet<&String> = names.iter().collect();
        let held = self.write(Lease::new(holder, &sorted, lasts)).await?;
        let held: BTreeSet<&String> =
            sorted.into_iter().zip(held).filter_map(|(name, held)| held.then_some(name)).collect();
        Ok(names.iter().filter(|name| held.contains(name)).cloned().collect())
    }

    /// Gives leases back.
    pub async fn release(&self, holder: &str, names: &[String]) -> Result<(), StoreError> {
        if let Engine::Sqlite(_) = &self.engine {
            self.holders.lock().unwrap_or_else(PoisonError::into_inner).remove(holder);
            return Ok(());
        }
        self.write(Release::new(holder, &names.iter().collect())).await
    }

    /// Processes that are alive (they renewed any lease that still lasts), in order.
    pub async fn processes(&self) -> Result<Vec<String>, StoreError> {
        if let Engine::Sqlite(_) = &self.engine {
            let mut holders = self.holders.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            holders.retain(|_, until| *until > now);
            return Ok(holders.keys().cloned().collect());
        }
        self.read(upkeep::holders(&self.engine)).await
    }

    /// Removes what is older than it is to be kept, a bounded piece at a time with room for batches in between; how many
    /// rows went.
    pub async fn prune(&self, retention: &Retention, now: Timestamp) -> Result<u64, StoreError> {
        upkeep::prune(&self.engine, retention, now).await.map_err(|fault| self.error(WRITE, fault))
    }

    /// Writes everything down and lets go of the file or connections.
    pub async fn close(&self) {
        match &self.engine {
            Engine::Sqlite(sqlite) => sqlite.close().await,
            Engine::Postgres(postgres) => postgres.close(),
        }
    }

    fn new(storage: &Storage, writes: bool) -> Result<Self, StoreError> {
        let (engine, place) = match storage {
            Storage::Sqlite { path } => {
                let place = path.display().to_string();
                let refused = |refused| match refused {
                    Refused::Busy => StoreError::Busy,
                    Refused::Fault(fault) => error(&place, OPEN, fault),
                };
                let lock = if writes { Some(Lock::take(path).map_err(refused)?) } else { None };
                let sqlite = Sqlite::new(path, lock).map_err(|fault| error(&place, OPEN, fault))?;
                (Engine::Sqlite(sqlite), place)
            }
            Storage::Postgres { url, ca } => {
                let postgres = Postgres::new(url, ca.as_deref().map(Path::new)).map_err(StoreError::Foreign)?;
                let place = postgres.place().to_owned();
                (Engine::Postgres(postgres), place)
            }
        };
        Ok(Self { engine, place: place.into(), known: Known::default(), holders: Arc::default() })
    }

    async fn fit(self, prepared: Result<Result<(), Unfit>, Fault>) -> Result<Self, StoreError> {
        let problem = match prepared {
            Ok(Ok(())) => return Ok(self),
            Ok(Err(unfit)) => StoreError::Foreign(unfit.message(&self.place)),
            Err(fault) => self.error(OPEN, fault),
        };
        self.close().await;
        Err(problem)
    }

    async fn write<W: Work>(&self, work: W) -> Result<W::Output, StoreError> {
        self.engine.write(work).await.map_err(|fault| self.error(WRITE, fault))
    }

    async fn read<T>(&self, question: impl Future<Output = Result<T, Fault>>) -> Result<T, StoreError> {
        question.await.map_err(|fault| self.error(READ, fault))
    }

    fn error(&self, operation: &'static str, fault: Fault) -> StoreError {
        error(&self.place, operation, fault)
    }
}

fn error(place: &str, operation: &'static str, fault: Fault) -> StoreError {
    match fault {
        Fault::Unavailable(message) | Fault::Conflict(message) => {
            StoreError::Unavailable { operation, message: format!("{place}: {message}") }
        }
        Fault::Damaged(message) => StoreError::Foreign(format!(
            "{operation}: {place}: {message}; move it away for a new one to be made, or put a backup in its place"
        )),
    }
}

fn milliseconds(from: Timestamp, until: Timestamp) -> (i64, i64) {
    (from.as_millisecond(), until.as_millisecond())
}

const OPEN: &str = "history cannot be opened";
const READ: &str = "history cannot be read";
const WRITE: &str = "history cannot be written";
const PATIENCE: Duration = Duration::from_millis(500);
const LONGEST_LEASE: Duration = Duration::from_hours(24);

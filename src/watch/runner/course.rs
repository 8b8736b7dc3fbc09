//! One configuration in operation: its probers, its cells, its tasks.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};

use super::{Parts, Prober, WatchError, configuration, ledger::Message, scheduler, shares::Mine};
use crate::{
    input::InputErrors,
    report::{Intended, Provider, Via},
    scenario::Plan,
    watch::{
        config::{CheckSet, WatchConfig},
        record::{CellId, CellKey, CellState, ClusterKey, Round},
        schedule,
    },
};

/// One configuration in operation.
pub(super) struct Course {
    pub(super) config: Arc<WatchConfig>,
    /// By check set.
    pub(super) probers: Vec<Arc<dyn Prober>>,
    pub(super) cells: Vec<Slot>,
    /// The place of each among them.
    places: HashMap<CellId, usize>,
    /// By check set: how far apart rounds are, as a rule.
    intervals: Vec<Duration>,
    /// Ends the rounds that are under way.
    end: watch::Sender<bool>,
    /// The configuration is to be read again at once, by (check set, cluster).
    pub(super) wanted: mpsc::UnboundedSender<(usize, usize)>,
    requests: std::sync::Mutex<Option<mpsc::UnboundedReceiver<(usize, usize)>>>,
}

/// A cell of a course.
pub(super) struct Slot {
    pub(super) id: CellId,
    pub(super) key: CellKey,
    /// Number of its check set.
    pub(super) check: usize,
    /// Number in the plan.
    pub(super) index: usize,
    /// Number of its cluster in the plan.
    pub(super) cluster: usize,
    /// What its place in the schedule follows from.
    pub(super) seed: u64,
    pub(super) intended: Intended,
    pub(super) provider: Provider,
    /// A round of it is under way.
    pub(super) busy: Arc<AtomicBool>,
    /// The intent and the endpoint: a state that was judged for others is none.
    pub(super) meant: String,
    /// What the history knew of it when it was registered.
    pub(super) stored: Option<(CellState, Option<Round>)>,
}

impl Slot {
    /// Takes the cell for a round; false when one is under way.
    pub(super) fn take(&self) -> bool {
        !self.busy.swap(true, Ordering::AcqRel)
    }
}

/// The tasks of a course.
pub(super) struct Running {
    course: Arc<Course>,
    parts: Parts,
    /// Ends scheduling; rounds that are under way end by themselves.
    halt: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Course {
    /// Makes the probers; asks nobody anything.
    pub(super) fn new(
        config: Arc<WatchConfig>,
        parts: &Parts,
        stop: &watch::Receiver<bool>,
    ) -> Result<Self, WatchError> {
        let (end, ended) = watch::channel(*stop.borrow());
        let mut probers = Vec::with_capacity(config.checks.len());
        let mut errors = Vec::new();
        for check in &config.checks {
            match (parts.prober)(check, ended.clone()) {
                Ok(prober) => probers.push(prober),
                Err(InputErrors(more)) => errors.extend(more),
            }
        }
        if !errors.is_empty() {
            return Err(InputErrors(errors).into());
        }
        let cells = config.checks.iter().enumerate().flat_map(|(number, check)| slots(number, check)).collect();
        let intervals = config.checks.iter().map(|check| check.schedule.interval()).collect();
        let (wanted, requests) = mpsc::unbounded_channel();
        Ok(Self {
            config,
            probers,
            cells,
            places: HashMap::new(),
            intervals,
            end,
            wanted,
            requests: std::sync::Mutex::new(Some(requests)),
        })
    }

    /// Gives every cell its number in the database, and what the history knows of it.
    pub(super) async fn register(&mut self, parts: &Parts) -> Result<(), WatchError> {
        let keys: Vec<CellKey> = self.cells.iter().map(|slot| slot.key.clone()).collect();
        let ids = parts.store.register(&keys).await?;
        let mut stored: HashMap<CellId, (CellState, Option<Round>)> =
            parts.store.cells().await?.into_iter().map(|cell| (cell.id, (cell.state, cell.last))).collect();
        for (slot, id) in self.cells.iter_mut().zip(ids) {
            slot.id = id;
            slot.stored = stored.remove(&id);
        }
        self.places = self.cells.iter().enumerate().map(|(place, slot)| (slot.id, place)).collect();
        Ok(())
    }

    /// The check set of a cell.
    pub(super) fn check(&self, slot: &Slot) -> &CheckSet {
        &self.config.checks[slot.check]
    }

    /// The name of a cluster.
    pub(super) fn cluster_key(&self, check: usize, cluster: usize) -> ClusterKey {
        let set = &self.config.checks[check];
        ClusterKey { check: set.name.clone(), cluster: set.plan.clusters[cluster].name.clone() }
    }

    /// The same cell in this configuration: of that number, with the same intent and endpoint.
    pub(super) fn counterpart(&self, other: &Slot) -> Option<&Slot> {
        let slot = &self.cells[*self.places.get(&other.id)?];
        (slot.meant == other.meant).then_some(slot)
    }

    /// How far apart the rounds of a cell are, as a rule.
    pub(super) fn interval(&self, slot: &Slot) -> Duration {
        self.intervals[slot.check]
    }

    /// When a cell is due next.
    pub(super) fn next(&self, slot: &Slot, after: Timestamp) -> Timestamp {
        self.check(slot).schedule.next(slot.seed, after)
    }

    /// Begins to read configurations and to probe.
    pub(super) fn start(self: &Arc<Self>, parts: &Parts, mine: &Mine, finished: mpsc::Sender<Message>) -> Running {
        let (halt, halted) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let (ready, becomes_ready) = mpsc::unbounded_channel();
        let requests = self.requests.lock().ok().and_then(|mut requests| requests.take());
        tasks.spawn(configuration::follow(
            Arc::clone(self),
            parts.clone(),
            requests,
            ready,
            finished.clone(),
            halted.clone(),
        ));
        tasks.spawn(scheduler::schedule(
            Arc::clone(self),
            parts.clone(),
            mine.clone(),
            becomes_ready,
            finished,
            halted,
        ));
        Running { course: Arc::clone(self), parts: parts.clone(), halt, tasks }
    }

    /// Ends every connection, and says what could not be removed from other hosts.
    pub(super) async fn close(&self, parts: &Parts) {
        for prober in &self.probers {
            for left_behind in prober.close().await {
                parts.say(left_behind);
            }
        }
    }
}

impl Running {
    /// Completes when a task of it has ended by itself, which none should.
    pub(super) async fn broken(&mut self) {
        if self.tasks.join_next().await.is_none() {
            std::future::pending::<()>().await;
        }
    }

    /// Ends scheduling; the rounds that are under way end in their own time, then the connections.
    pub(super) fn retire(mut self) {
        let _ = self.halt.send(true);
        tokio::spawn(async move {
            while self.tasks.join_next().await.is_some() {}
            self.course.close(&self.parts).await;
        });
    }

    /// Ends scheduling and the rounds that are under way, and closes the connections.
    pub(super) async fn end(mut self) {
        let _ = self.halt.send(true);
        let _ = self.course.end.send(true);
        while self.tasks.join_next().await.is_some() {}
        self.course.close(&self.parts).await;
    }
}

/// What is meant with a cell.
fn meant(plan: &Plan, index: usize) -> String {
    let cell = &plan.cells[index];
    let endpoint = plan.clusters[cell.cluster].endpoint.as_ref().map(ToString::to_string).unwrap_or_default();
    let via = cell.via.map_or("any", Via::label);
    format!("{} via {via} at {endpoint}", cell.intended.label())
}

fn slots(number: usize, check: &CheckSet) -> Vec<Slot> {
    let plan = &check.plan;
    let cells = plan.cells.iter().zip(check.keys()).enumerate().map(|(index, (cell, key))| Slot {
        id: CellId(0),
        seed: schedule::seed(&key),
        key,
        check: number,
        index,
        cluster: cell.cluster,
        intended: cell.intended,
        provider: plan.clusters[cell.cluster].provider,
        meant: meant(plan, index),
        busy: Arc::new(AtomicBool::new(false)),
        stored: None,
    });
    cells.collect()
}

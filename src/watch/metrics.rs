//! `/metrics`: what Prometheus is told.
//!
//! Counters and histograms are kept by `prometheus-client`. What is known of single cells is written straight from the
//! [`Board`]: it is kept there already, and it vanishes with its cell. Histograms are by check and vantage, not by cell: with
//! 14 buckets and four stages, 5,000 cells would be 320,000 series.

mod catalogue;
mod cells;
mod process;
mod text;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

pub use catalogue::{CATALOGUE, Kind, Metric};
use prometheus_client::{
    encoding::text::encode_registry,
    metrics::{TypedMetric, counter::Counter, family::Family, histogram::Histogram},
    registry::{Metric as RegistryMetric, Registry},
};

use super::{
    board::Board,
    config::WatchConfig,
    record::{Event, EventKind, Round, Stage},
};
use crate::report::Verdict;

/// Counters and histograms of this process. What can be read off the [`Board`] is not kept twice.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    rounds: Family<Labels, Counter>,
    offline_rounds: Family<Labels, Counter>,
    stages: Family<Labels, Histogram>,
    durations: Family<Labels, Histogram>,
    lag: Histogram,
    propagation: Family<Labels, Histogram>,
    events: Family<Labels, Counter>,
    deliveries: Family<Labels, Counter>,
    write_durations: Histogram,
    write_errors: Counter,
    rounds_written: Counter,
    /// Checks with their vantages that have histograms of their own.
    pairs: Mutex<BTreeMap<String, BTreeSet<String>>>,
    /// How long the last exposition was.
    length: AtomicUsize,
}

type Labels = Vec<(&'static str, String)>;

impl Metrics {
    /// Of a new process. What can be counted is there from the beginning, with 0.
    #[must_use]
    pub fn new(config: &WatchConfig) -> Self {
        let metrics = Self::registered();
        for kind in EventKind::ALL {
            metrics.events.get_or_create(&vec![("kind", kind.label().to_owned())]).inc_by(0);
        }
        for check in &config.checks {
            for verdict in Verdict::ALL {
                metrics.rounds.get_or_create(&round_labels(&check.name, *verdict)).inc_by(0);
            }
            metrics.offline_rounds.get_or_create(&check_label(&check.name)).inc_by(0);
        }
        for receiver in &config.receivers {
            for ok in [true, false] {
                metrics.deliveries.get_or_create(&delivery_labels(&receiver.name, ok)).inc_by(0);
            }
        }
        metrics
    }

    /// A round of `check` from `vantage` was finished, so much later than it was due, within so much time.
    pub fn round(&self, check: &str, vantage: &str, round: &Round, lag: Duration, took: Duration) {
        self.lag.observe(lag.as_secs_f64());
        self.durations.get_or_create(&check_label(check)).observe(took.as_secs_f64());
        if round.offline {
            self.offline_rounds.get_or_create(&check_label(check)).inc();
            return;
        }
        self.rounds.get_or_create(&round_labels(check, round.verdict)).inc();
        let vantage = if self.has_room(check, vantage) { vantage } else { OTHERS };
        for stage in Stage::ALL {
            if let Some(time) = round.stages.of(*stage) {
                let labels = stage_labels(check, vantage, *stage);
                self.stages.get_or_create(&labels).observe(Duration::from_micros(u64::from(time)).as_secs_f64());
            }
        }
    }

    /// A slot of a cell of `check` was left out: its round before was still under way, or the slot was noticed too late.
    pub fn missed(&self, check: &str) {
        let _ = check;
    }

    /// An event was confirmed; `converged` is how long a change took to reach a cell, where that is known.
    pub fn event(&self, event: &Event, converged: Option<Duration>) {
        self.events.get_or_create(&vec![("kind", event.kind.label().to_owned())]).inc();
        if let Some(converged) = converged {
            self.propagation.get_or_create(&check_label(&event.cluster.check)).observe(converged.as_secs_f64());
        }
    }

    /// A delivery to a receiver ended.
    pub fn delivery(&self, receiver: &str, ok: bool) {
        self.deliveries.get_or_create(&delivery_labels(receiver, ok)).inc();
    }

    /// Rounds were written to the history, or that failed.
    pub fn written(&self, rounds: usize, took: Duration, ok: bool) {
        self.write_durations.observe(took.as_secs_f64());
        if ok {
            self.rounds_written.inc_by(u64::try_from(rounds).unwrap_or(u64::MAX));
        } else {
            self.write_errors.inc();
        }
    }

    /// The exposition, with what the board shows. Its content type is [`CONTENT_TYPE`].
    #[must_use]
    pub fn exposition(&self, board: &Board) -> String {
        self.forget_what_is_gone(board);
        let mut text = String::with_capacity(self.length.load(Ordering::Relaxed) + 4_096);
        // Writing into a string cannot fail.
        let _ = encode_registry(&mut text, &self.registry);
        cells::write_cells(&mut text, board, MOST_CELLS);
        cells::write_health(&mut text, board);
        process::write_process(&mut text);
        text.push_str("# EOF\n");
        self.length.store(text.len(), Ordering::Relaxed);
        text
    }

    /// The same in the older text format, for readers that do not ask for OpenMetrics (`promtool check metrics` is one). Its
    /// content type is [`CLASSIC_CONTENT_TYPE`].
    #[must_use]
    pub fn classic_exposition(&self, board: &Board) -> String {
        text::classic(&self.exposition(board), CATALOGUE)
    }

    /// Empty, each metric under the name that the catalogue gives it.
    fn registered() -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            rounds: Family::default(),
            offline_rounds: Family::default(),
            stages: Family::new_with_constructor(|| Histogram::new(STAGE_BUCKETS)),
            durations: Family::new_with_constructor(|| Histogram::new(ROUND_BUCKETS)),
            lag: Histogram::new(LAG_BUCKETS),
            propagation: Family::new_with_constructor(|| Histogram::new(PROPAGATION_BUCKETS)),
            events: Family::default(),
            deliveries: Family::default(),
            write_durations: Histogram::new(WRITE_BUCKETS),
            write_errors: Counter::default(),
            rounds_written: Counter::default(),
            pairs: Mutex::default(),
            length: AtomicUsize::new(0),
        };
        let registry = &mut metrics.registry;
        register(registry, catalogue::ROUNDS, &metrics.rounds);
        register(registry, catalogue::OFFLINE_ROUNDS, &metrics.offline_rounds);
        register(registry, catalogue::STAGE_DURATION, &metrics.stages);
        register(registry, catalogue::ROUND_DURATION, &metrics.durations);
        register(registry, catalogue::SCHEDULER_LAG, &metrics.lag);
        register(registry, catalogue::PROPAGATION, &metrics.propagation);
        register(registry, catalogue::EVENTS, &metrics.events);
        register(registry, catalogue::DELIVERIES, &metrics.deliveries);
        register(registry, catalogue::HISTORY_WRITE_DURATION, &metrics.write_durations);
        register(registry, catalogue::HISTORY_WRITE_ERRORS, &metrics.write_errors);
        register(registry, catalogue::HISTORY_ROUNDS, &metrics.rounds_written);
        metrics
    }

    /// Whether a vantage of a check has histograms of its own: the first so many have.
    fn has_room(&self, check: &str, vantage: &str) -> bool {
        let mut pairs = self.pairs.lock().unwrap_or_else(PoisonError::into_inner);
        if pairs.get(check).is_some_and(|vantages| vantages.contains(vantage)) {
            return true;
        }
        if pairs.values().map(BTreeSet::len).sum::<usize>() >= MOST_PAIRS {
            return false;
        }
        pairs.entry(check.to_owned()).or_default().insert(vantage.to_owned());
        true
    }

    /// Drops the histograms of vantages that no cell of this process has any longer.
    fn forget_what_is_gone(&self, board: &Board) {
        let cells = board.cells();
        let mut pairs = self.pairs.lock().unwrap_or_else(PoisonError::into_inner);
        let present: BTreeSet<(&str, &str)> = cells
            .iter()
            .filter(|cell| cell.own)
            .map(|cell| (cell.key.check.as_str(), cell.key.vantage.as_str()))
            .collect();
        for (check, vantages) in pairs.iter_mut() {
            vantages.retain(|vantage| {
                let stays = present.contains(&(check.as_str(), vantage.as_str()));
                if !stays {
                    for stage in Stage::ALL {
                        self.stages.remove(&stage_labels(check, vantage, *stage));
                    }
                }
                stays
            });
        }
        pairs.retain(|_, vantages| !vantages.is_empty());
    }
}

/// Puts a metric under the name of the catalogue.
fn register<M>(registry: &mut Registry, metric: Metric, value: &M)
where
    M: RegistryMetric + TypedMetric + Clone,
{
    registry.register(metric.family(), metric.help, value.clone());
}

fn check_label(check: &str) -> Labels {
    vec![("check", text::bounded(check).into_owned())]
}

fn round_labels(check: &str, verdict: Verdict) -> Labels {
    vec![("check", text::bounded(check).into_owned()), ("verdict", verdict.label().to_owned())]
}

fn stage_labels(check: &str, vantage: &str, stage: Stage) -> Labels {
    vec![
        ("check", text::bounded(check).into_owned()),
        ("vantage", text::bounded(vantage).into_owned()),
        ("stage", stage.label().to_owned()),
    ]
}

fn delivery_labels(receiver: &str, ok: bool) -> Labels {
    let outcome = if ok { "delivered" } else { "failed" };
    vec![("receiver", text::bounded(receiver).into_owned()), ("outcome", outcome.to_owned())]
}

/// Of the exposition.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Of the older text format.
pub const CLASSIC_CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Cells that are exported one by one: about 20 series and 4 kB each.
const MOST_CELLS: usize = 20_000;

/// Vantages of checks that have histograms of their own: 64 series each.
const MOST_PAIRS: usize = 500;

/// The vantage of those that have not.
const OTHERS: &str = "(others)";

const STAGE_BUCKETS: [f64; 13] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
const ROUND_BUCKETS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0];
const LAG_BUCKETS: [f64; 13] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0];
const PROPAGATION_BUCKETS: [f64; 11] = [1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_200.0, 1_800.0, 3_600.0];
const WRITE_BUCKETS: [f64; 11] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 10.0];

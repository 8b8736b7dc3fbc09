//! Runs what is due: scheduler → prober → ledger, with the provider's configuration read beside, until it is stopped.
//!
//! A [`Course`] is one configuration in operation. A reload replaces it by another; the ledger and everything that is
//! remembered stay.

mod clock;
mod configuration;
mod course;
mod ledger;
mod once;
mod scheduler;
mod shares;

use std::{sync::Arc, time::Duration};

pub use clock::{Clock, SystemClock};
use futures_util::future::BoxFuture;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};

pub use once::once;
pub use shares::SHARES;

use self::{course::Course, ledger::Ledger};
use super::{
    alerts,
    board::Board,
    config::{CheckSet, WatchConfig},
    metrics::Metrics,
    schedule,
    store::{Store, StoreError},
};
use crate::{
    check::{Look, Refreshed, Session},
    input::InputErrors,
    report::Finding,
};

/// What probes the cells of one check set. [`Session`] is the one that is used; tests bring their own.
pub trait Prober: Send + Sync + 'static {
    /// Probes a cell of the plan once and judges it; ends within about `timeout`.
    fn round(&self, index: usize, timeout: Duration) -> BoxFuture<'_, Look>;
    /// Reads a cluster's configuration again.
    fn refresh(&self, cluster: usize) -> BoxFuture<'_, Refreshed>;
    /// The configuration of a cluster can be read somewhere.
    fn has_configuration(&self, cluster: usize) -> bool;
    /// What a cluster's configuration shows by itself.
    fn configuration_findings(&self, cluster: usize) -> Vec<Finding>;
    /// Ends every connection; says what could not be removed from other hosts.
    fn close(&self) -> BoxFuture<'_, Vec<String>>;
}

impl Prober for Session {
    fn round(&self, index: usize, timeout: Duration) -> BoxFuture<'_, Look> {
        Box::pin(self.round(index, timeout))
    }

    fn refresh(&self, cluster: usize) -> BoxFuture<'_, Refreshed> {
        Box::pin(self.refresh(cluster))
    }

    fn has_configuration(&self, cluster: usize) -> bool {
        self.has_configuration(cluster)
    }

    fn configuration_findings(&self, cluster: usize) -> Vec<Finding> {
        self.configuration_findings(cluster)
    }

    fn close(&self) -> BoxFuture<'_, Vec<String>> {
        Box::pin(self.close())
    }
}

/// Makes the prober of a check set; it ends its rounds when the flag turns true.
pub type MakeProber =
    Arc<dyn Fn(&CheckSet, watch::Receiver<bool>) -> Result<Arc<dyn Prober>, InputErrors> + Send + Sync>;

/// What a watch is made of.
#[derive(Clone)]
pub struct Parts {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// History.
    pub store: Store,
    /// What is known now.
    pub board: Arc<Board>,
    /// What Prometheus is told.
    pub metrics: Arc<Metrics>,
    /// Who probes.
    pub prober: MakeProber,
    /// One line each, for people: events, and what went wrong with the watch itself.
    pub notices: mpsc::UnboundedSender<String>,
    /// Name of this process among those that share a database.
    pub process: String,
}

impl Parts {
    fn say(&self, line: impl Into<String>) {
        // Nobody listening is no reason to stop.
        let _ = self.notices.send(line.into());
    }
}

/// Runs until `stop` turns true: then rounds that are under way are ended, what they found is stored, and what is due
/// is sent once more. Each configuration that comes through `reloads` replaces the one before; states stay.
///
/// # Errors
/// The history cannot be used at the start, or the first configuration's authorities cannot.
pub async fn watch(
    config: Arc<WatchConfig>,
    parts: Parts,
    mut reloads: mpsc::Receiver<Arc<WatchConfig>>,
    mut stop: watch::Receiver<bool>,
) -> Result<(), WatchError> {
    let (current, _) = watch::channel(Arc::clone(&config));
    let shares = shares::Shares::new(&config.storage, &parts).await?;
    let mine = shares.mine();
    let mut ledger = Ledger::new(parts.clone(), mine.clone());
    let course = reload(config, &parts, &stop).await?;
    ledger.take(&course).await;
    let (finished, results) = mpsc::channel(RESULTS_WAITING);
    let ledger = tokio::spawn(ledger.keep(results));
    let mut beside = JoinSet::new();
    beside.spawn(shares.keep(parts.clone(), stop.clone()));
    beside.spawn(prune(parts.clone(), current.subscribe(), stop.clone()));
    let delivering = tokio::spawn(deliver(&parts, current.subscribe(), stop.clone()));
    let ends = stop.clone();
    let mut running = course.start(&parts, &mine, finished.clone());
    loop {
        tokio::select! {
            () = turned(&mut stop) => break,
            Some(config) = reloads.recv() => {
                // Of several that wait the last one counts.
                let config = std::iter::from_fn(|| reloads.try_recv().ok()).last().unwrap_or(config);
                match reload(Arc::clone(&config), &parts, &ends).await {
                    Ok(next) => {
                        running.retire();
                        // Nobody listening means that the watch is over.
                        let _ = finished.send(ledger::Message::Course(Arc::clone(&next))).await;
                        current.send_replace(config);
                        running = next.start(&parts, &mine, finished.clone());
                        parts.say("configuration taken");
                    }
                    Err(error) => {
                        parts.board.change_health(|health| health.reload = Some(error.to_string()));
                        parts.say(format!("configuration not taken, the one before stays: {error}"));
                    }
                }
            }
        }
    }
    running.end().await;
    drop(finished);
    // What was found is written before anything is told of it.
    let _ = ledger.await;
    let _ = delivering.await;
    beside.shutdown().await;
    parts.store.close().await;
    Ok(())
}

fn deliver(
    parts: &Parts,
    config: watch::Receiver<Arc<WatchConfig>>,
    stop: watch::Receiver<bool>,
) -> impl Future<Output = ()> + Send + 'static {
    let Parts { store, metrics, process, notices, .. } = parts.clone();
    alerts::deliver(store, config, metrics, process, notices, stop)
}

async fn reload(
    config: Arc<WatchConfig>,
    parts: &Parts,
    stop: &watch::Receiver<bool>,
) -> Result<Arc<Course>, WatchError> {
    let mut course = Course::new(config, parts, stop)?;
    course.register(parts).await?;
    Ok(Arc::new(course))
}

/// Completes when the flag has turned true, or will never.
async fn turned(flag: &mut watch::Receiver<bool>) {
    // Whoever could turn it is gone: nobody is left to work for.
    let _ = flag.wait_for(|flag| *flag).await;
}

/// Removes what is older than it is to be kept, now and then.
async fn prune(parts: Parts, config: watch::Receiver<Arc<WatchConfig>>, mut stop: watch::Receiver<bool>) {
    loop {
        let next = schedule::later(parts.clock.now(), PRUNE_EVERY);
        tokio::select! {
            () = parts.clock.sleep_until(next) => {}
            () = turned(&mut stop) => return,
        }
        let retention = config.borrow().retention;
        if let Err(error) = parts.store.prune(&retention, parts.clock.now()).await {
            parts.say(format!("old history could not be removed: {error}"));
        }
    }
}

/// Why a watch could not begin, or a reload was refused.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// The history cannot be used.
    #[error("history: {0}")]
    Store(#[from] StoreError),
    /// The configuration cannot be used.
    #[error("{0}")]
    Input(InputErrors),
}

impl From<InputErrors> for WatchError {
    fn from(errors: InputErrors) -> Self {
        Self::Input(errors)
    }
}

/// Rounds that may wait for the ledger.
const RESULTS_WAITING: usize = 4_096;
const PRUNE_EVERY: Duration = Duration::from_mins(10);

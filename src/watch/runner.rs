//! Runs what is due: scheduler → prober → ledger, with the provider's configuration read beside, until it is stopped.
//!
//! A `Course` is one configuration in operation. A reload replaces it by another; the ledger and everything that is
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
    sync::{mpsc, oneshot, watch},
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

/// A configuration that is to replace the one before, and where to say whether it was taken.
pub type Reload = (Arc<WatchConfig>, oneshot::Sender<Result<(), String>>);

/// Runs until `stop` turns true: then rounds that are under way are ended, what they found is stored, and what is due
/// is sent once more. Each configuration that comes through `reloads` and can be used replaces the one before, in
/// `current` too; states stay.
///
/// # Errors
/// The history cannot be used at the start, the first configuration's authorities cannot, a part of the watch died, or
/// not everything could be written at the end.
pub async fn watch(
    parts: Parts,
    current: watch::Sender<Arc<WatchConfig>>,
    mut reloads: mpsc::Receiver<Reload>,
    mut stop: watch::Receiver<bool>,
) -> Result<(), WatchError> {
    let config = Arc::clone(&current.borrow());
    let shares = shares::Shares::new(&config.storage, &parts).await?;
    let mine = shares.mine();
    let mut ledger = Ledger::new(parts.clone(), mine.clone());
    let course = reload(config, &parts, &stop).await?;
    ledger.take(&course).await;
    let (finished, results) = mpsc::channel(RESULTS_WAITING);
    let mut ledger = tokio::spawn(ledger.keep(results));
    let mut beside = JoinSet::new();
    beside.spawn(shares.keep(parts.clone(), stop.clone()));
    beside.spawn(prune(parts.clone(), current.subscribe(), stop.clone()));
    let mut delivering = tokio::spawn(deliver(&parts, current.subscribe(), stop.clone()));
    let ends = stop.clone();
    let mut running = course.start(&parts, &mine, finished.clone());
    let died = loop {
        tokio::select! {
            () = turned(&mut stop) => break None,
            // A watch of which a part is gone must not look like one that watches.
            _ = &mut ledger => break Some("the ledger"),
            _ = &mut delivering => break Some("the delivery of alerts"),
            () = running.broken() => break Some("the scheduler"),
            Some((config, answer)) = reloads.recv() => {
                let taken = match reload(Arc::clone(&config), &parts, &ends).await {
                    Ok(next) => {
                        running.retire();
                        // Nobody listening means that the watch is over.
                        let _ = finished.send(ledger::Message::Course(Arc::clone(&next))).await;
                        current.send_replace(config);
                        running = next.start(&parts, &mine, finished.clone());
                        Ok(())
                    }
                    Err(error) => Err(error.to_string()),
                };
                // Whoever asked may be gone.
                let _ = answer.send(taken);
            }
        }
    };
    if let Some(part) = died {
        return Err(WatchError::Died(part));
    }
    running.end().await;
    drop(finished);
    // What was found is written before anything is told of it.
    let written = ledger.await.unwrap_or(false);
    let _ = delivering.await;
    beside.shutdown().await;
    // A database that does not answer must not hold the end up.
    let _ = tokio::time::timeout(LONGEST_CLOSE, parts.store.close()).await;
    if written { Ok(()) } else { Err(WatchError::Unwritten) }
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
    /// A part of the watch died.
    #[error("{0} has died, which is a fault of kubereach: the watch ends rather than look as if it watched")]
    Died(&'static str),
    /// What was found last could not be written.
    #[error("not everything could be written to the history")]
    Unwritten,
}

impl From<InputErrors> for WatchError {
    fn from(errors: InputErrors) -> Self {
        Self::Input(errors)
    }
}

/// Rounds that may wait for the ledger.
const RESULTS_WAITING: usize = 4_096;
const LONGEST_CLOSE: Duration = Duration::from_secs(5);
const PRUNE_EVERY: Duration = Duration::from_mins(10);

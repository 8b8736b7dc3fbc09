//! Who is told, and until when: alerts are stored with the event that raised them, and sent until they arrive.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use tokio::sync::watch;

use super::{
    board::CellNow,
    config::WatchConfig,
    metrics::Metrics,
    record::{Alert, CellKey, Event},
    store::Store,
};

/// The alerts that an event of a cell raises, changes or resolves, one a receiver: pure. `cell` is the cell as it is after the event.
#[must_use]
pub fn raised(config: &WatchConfig, event: &Event, cell: &CellNow) -> Vec<Alert> {
    let _ = (config, event, cell);
    Vec::new()
}

/// The same for a cell whose incident was there before: after a maintenance window, and after a reload that changed the routes.
/// `open` are the alerts that are stored.
#[must_use]
pub fn reconciled(config: &WatchConfig, cell: &CellNow, open: &[Alert], now: Timestamp) -> Vec<Alert> {
    let _ = (config, cell, open, now);
    Vec::new()
}

/// Sends what is due until `stop` turns true, then once more what can be sent at once. `config` may change under way.
pub async fn deliver(
    store: Store,
    config: watch::Receiver<Arc<WatchConfig>>,
    metrics: Arc<Metrics>,
    process: String,
    notices: tokio::sync::mpsc::UnboundedSender<String>,
    stop: watch::Receiver<bool>,
) {
    let _ = (store, config, metrics, process, notices, stop);
}

/// Names of cells by their alerts' labels, for links.
#[must_use]
pub fn permalink(public_url: Option<&str>, key: &CellKey) -> Option<String> {
    let _ = (public_url, key, BTreeMap::<(), ()>::new());
    None
}

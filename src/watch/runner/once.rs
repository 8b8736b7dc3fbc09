//! Every cell once: for those who have a scheduler of their own.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Semaphore, mpsc, watch},
    task::JoinSet,
};

use super::{
    Parts, WatchError,
    course::Course,
    ledger::{Finished, Ledger, Message, Reconfigured},
    reload,
    shares::SHARES,
};
use crate::{
    check,
    report::{Cell, Report},
    watch::{alerts, config::WatchConfig},
};

/// Probes every cell once, writes history, sends what is due, and reports what was seen. Confirmation counts over runs:
/// what is pending is remembered. With the report goes whether everything could be written.
///
/// # Errors
/// The history cannot be used, or the configuration's authorities cannot.
pub async fn once(
    config: Arc<WatchConfig>,
    parts: Parts,
    stop: watch::Receiver<bool>,
) -> Result<(Report, bool), WatchError> {
    let started_at = parts.clock.now();
    let course = reload(Arc::clone(&config), &parts, &stop).await?;
    let (_all, mine) = watch::channel(Arc::new((0..SHARES).collect()));
    let mut ledger = Ledger::new(parts.clone(), mine);
    ledger.take(&course).await;
    read_configurations(&course, &mut ledger).await;
    let descriptors = Arc::new(Semaphore::new(check::descriptors() / 2));
    let mut rounds = JoinSet::new();
    for (number, slot) in course.cells.iter().enumerate() {
        let (course, descriptors) = (Arc::clone(&course), Arc::clone(&descriptors));
        let (prober, index) = (Arc::clone(&course.probers[slot.check]), slot.index);
        rounds.spawn(async move {
            // The semaphore is never closed.
            let _permit = descriptors.acquire().await.ok();
            let timeout = course.check(&course.cells[number]).timeout;
            let begun = std::time::Instant::now();
            let look = prober.round(index, timeout).await;
            (number, look, begun.elapsed())
        });
    }
    let mut cells: Vec<(usize, Cell)> = Vec::with_capacity(course.cells.len());
    let interrupted = || *stop.borrow();
    while let Some(ended) = rounds.join_next().await {
        let Ok((slot, look, took)) = ended else { continue };
        cells.push((slot, Cell::clone(&look.cell)));
        if interrupted() {
            continue;
        }
        let due = parts.clock.now();
        let finished = Finished { course: Arc::clone(&course), slot, due, lag: Duration::ZERO, took, look };
        ledger.hear(Message::Finished(Box::new(finished))).await;
    }
    let written = ledger.settle().await;
    let Parts { store, metrics, process, notices, .. } = parts.clone();
    alerts::deliver_once(store, Arc::clone(&config), metrics, process, notices).await;
    course.close(&parts).await;
    cells.sort_by_key(|(slot, _)| *slot);
    let cells = cells.into_iter().map(|(_, cell)| cell).collect();
    let findings = config
        .checks
        .iter()
        .flat_map(|check| check.plan.clusters.iter().map(move |cluster| (check, cluster)))
        .flat_map(|(check, cluster)| parts.board.configuration(&check.name, &cluster.name))
        .collect();
    let report = check::report(cells, findings, started_at);
    parts.store.close().await;
    Ok((report, written))
}

async fn read_configurations(course: &Arc<Course>, ledger: &mut Ledger) {
    let (sender, mut readings) = mpsc::unbounded_channel();
    let permits = Arc::new(Semaphore::new(READ_AT_ONCE));
    for (check, set) in course.config.checks.iter().enumerate() {
        for cluster in (0..set.plan.clusters.len()).filter(|cluster| course.probers[check].has_configuration(*cluster))
        {
            let (course, sender, permits) = (Arc::clone(course), sender.clone(), Arc::clone(&permits));
            tokio::spawn(async move {
                // The semaphore is never closed.
                let _permit = permits.acquire().await.ok();
                let prober = &course.probers[check];
                let refreshed = prober.refresh(cluster).await;
                let findings = prober.configuration_findings(cluster);
                let key = course.cluster_key(check, cluster);
                // Nobody listening means that the run is over.
                let _ = sender.send(Reconfigured { key, seed: 0, refreshed, findings });
            });
        }
    }
    drop(sender);
    while let Some(reading) = readings.recv().await {
        ledger.hear(Message::Configuration(Box::new(reading))).await;
    }
}

const READ_AT_ONCE: usize = 8;

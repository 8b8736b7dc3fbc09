//! Reads the configuration of every cluster at the start, again and again, and at once where a cell begins to fail.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tokio::{
    sync::{Semaphore, mpsc, watch},
    task::JoinSet,
};

use super::{
    Parts,
    course::Course,
    ledger::{Message, Reconfigured},
    turned,
};
use crate::watch::{
    record::CellKey,
    schedule::{self, later},
};

/// Reads until it is halted. A check set whose clusters have all been read (or have had their time) is `ready`.
pub(super) async fn follow(
    course: Arc<Course>,
    parts: Parts,
    requests: Option<mpsc::UnboundedReceiver<(usize, usize)>>,
    ready: mpsc::UnboundedSender<usize>,
    finished: mpsc::Sender<Message>,
    mut halted: watch::Receiver<bool>,
) {
    let Some(mut requests) = requests else { return };
    let clusters: Vec<(usize, usize)> = course
        .config
        .checks
        .iter()
        .enumerate()
        .flat_map(|(check, set)| (0..set.plan.clusters.len()).map(move |cluster| (check, cluster)))
        .filter(|&(check, cluster)| course.probers[check].has_configuration(cluster))
        .collect();
    let permits = Arc::new(Semaphore::new(READ_AT_ONCE));
    let mut reading: JoinSet<((usize, usize), bool)> = JoinSet::new();
    // Rounds wait for the first reading, which may tell the endpoint, but not for ever.
    let mut outstanding: HashMap<usize, usize> = HashMap::new();
    let begun = Instant::now();
    for &(check, cluster) in &clusters {
        *outstanding.entry(check).or_default() += 1;
        reading.spawn(read(Arc::clone(&course), (check, cluster), Arc::clone(&permits), finished.clone()));
    }
    for check in (0..course.config.checks.len()).filter(|check| !outstanding.contains_key(check)) {
        let _ = ready.send(check);
    }
    let mut due: HashMap<(usize, usize), Timestamp> = HashMap::new();
    let mut last: HashMap<(usize, usize), Instant> = clusters.iter().map(|place| (*place, begun)).collect();
    loop {
        let now = parts.clock.now();
        let next = due.values().min().copied().unwrap_or(Timestamp::MAX).min(later(now, Duration::from_secs(1)));
        tokio::select! {
            Some(Ok((place, soon))) = reading.join_next() => {
                if let Some(left) = outstanding.get_mut(&place.0) {
                    *left -= 1;
                    if *left == 0 {
                        outstanding.remove(&place.0);
                        let _ = ready.send(place.0);
                    }
                }
                due.insert(place, if soon { later(parts.clock.now(), AGAIN_SOON) } else { slot(&course, place, parts.clock.now()) });
            }
            Some(place) = requests.recv() => {
                let recent = last.get(&place).is_some_and(|last| last.elapsed() < NOT_SOONER);
                if due.contains_key(&place) && !recent {
                    due.insert(place, now);
                }
            }
            () = parts.clock.sleep_until(next) => {}
            () = turned(&mut halted) => return,
        }
        if begun.elapsed() > LONGEST_FIRST_READING {
            for check in std::mem::take(&mut outstanding).into_keys() {
                let _ = ready.send(check);
            }
        }
        let now = parts.clock.now();
        let over: Vec<(usize, usize)> = due.iter().filter(|(_, at)| **at <= now).map(|(place, _)| *place).collect();
        for place in over {
            due.remove(&place);
            last.insert(place, Instant::now());
            reading.spawn(read(Arc::clone(&course), place, Arc::clone(&permits), finished.clone()));
        }
    }
}

/// Reads one cluster's configuration; whether it is worth reading again soon.
async fn read(
    course: Arc<Course>,
    (check, cluster): (usize, usize),
    permits: Arc<Semaphore>,
    finished: mpsc::Sender<Message>,
) -> ((usize, usize), bool) {
    // The semaphore is never closed.
    let _permit = permits.acquire().await.ok();
    let prober = Arc::clone(&course.probers[check]);
    let refreshed = prober.refresh(cluster).await;
    let soon = refreshed.under_way;
    let findings = prober.configuration_findings(cluster);
    let key = course.cluster_key(check, cluster);
    let own = share_seed(&course, check, cluster);
    // Nobody listening means that the watch is over.
    let _ = finished.send(Message::Configuration(Box::new(Reconfigured { key, seed: own, refreshed, findings }))).await;
    ((check, cluster), soon)
}

/// When a cluster's configuration is to be read next: clusters are spread over the interval.
fn slot(course: &Course, (check, cluster): (usize, usize), after: Timestamp) -> Timestamp {
    let every =
        schedule::Schedule::Every { interval: course.config.checks[check].configuration_every, jitter: Duration::ZERO };
    every.next(share_seed(course, check, cluster), after)
}

/// What a cluster's place among the shares follows from.
fn share_seed(course: &Course, check: usize, cluster: usize) -> u64 {
    let key = course.cluster_key(check, cluster);
    let target = crate::report::CellTarget::Kubernetes;
    schedule::seed(&CellKey { check: key.check, cluster: key.cluster, vantage: String::new(), target })
}

const READ_AT_ONCE: usize = 8;
const LONGEST_FIRST_READING: Duration = Duration::from_secs(20);
/// While a change is under way.
const AGAIN_SOON: Duration = Duration::from_secs(15);
/// However many cells begin to fail.
const NOT_SOONER: Duration = Duration::from_secs(5);

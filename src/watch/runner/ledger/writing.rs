//! Batches on their way into the history. While it cannot be written, probing goes on and rounds wait, so many.

use std::{
    collections::HashSet,
    mem,
    time::{Duration, Instant},
};

use tokio::task::JoinHandle;

use crate::watch::{
    record::{Alert, Detail, DetailId},
    runner::Parts,
    store::{Batch, StoreError},
};

/// Writes batches one after the other.
pub(super) struct Writer {
    parts: Parts,
    /// What is gathered for the next write.
    pub(super) batch: Batch,
    under_way: Option<JoinHandle<(Batch, Result<(), StoreError>)>>,
    /// The alerts of the batch that is being written.
    written_now: Vec<Alert>,
    /// Details that are stored, or on their way.
    details: HashSet<DetailId>,
    /// When the next write is due. Whoever sets the clock stops no write.
    next: Instant,
    /// When the write that is under way began.
    began: Instant,
    failures: u32,
    dropped: u64,
}

impl Writer {
    pub(super) fn new(parts: Parts) -> Self {
        Self {
            parts,
            batch: Batch::default(),
            under_way: None,
            written_now: Vec::new(),
            details: HashSet::new(),
            next: Instant::now(),
            began: Instant::now(),
            failures: 0,
            dropped: 0,
        }
    }

    /// The alerts that the history may not have yet, in the order in which they came.
    pub(super) fn alerts(&self) -> impl Iterator<Item = &Alert> {
        self.written_now.iter().chain(&self.batch.alerts)
    }

    /// Takes a detail along, once.
    pub(super) fn detail(&mut self, detail: impl FnOnce() -> Detail, id: DetailId) {
        if self.details.len() >= DETAILS_REMEMBERED {
            self.details.clear();
        }
        if self.details.insert(id) {
            self.batch.details.push(detail());
        }
    }

    /// Completes when a write can begin, or when the one that is under way has ended (then it is looked at).
    pub(super) async fn due(&mut self) {
        loop {
            if let Some(writing) = &mut self.under_way {
                let ended = writing.await;
                self.under_way = None;
                self.ended(ended.map_err(|_| ()));
            }
            if is_empty(&self.batch) {
                // Somebody else wakes us.
                return std::future::pending().await;
            }
            if Instant::now() >= self.next {
                return;
            }
            tokio::time::sleep_until(self.next.into()).await;
        }
    }

    /// So much is gathered that it is to be written at once.
    pub(super) fn is_full(&self) -> bool {
        self.failures == 0 && self.under_way.is_none() && self.batch.rounds.len() >= ROUNDS_A_BATCH
    }

    /// Begins to write what is gathered, unless a write is under way.
    pub(super) fn flush(&mut self) {
        if self.under_way.is_some() || is_empty(&self.batch) {
            return;
        }
        self.began = Instant::now();
        self.next = self.began + WRITE_EVERY;
        let batch = mem::take(&mut self.batch);
        self.written_now.clone_from(&batch.alerts);
        let parts = self.parts.clone();
        self.under_way = Some(tokio::spawn(async move {
            let begun = Instant::now();
            let written = parts.store.commit(&batch).await;
            parts.metrics.written(batch.rounds.len(), begun.elapsed(), written.is_ok());
            (batch, written)
        }));
    }

    /// What waits is told while it waits, a write that takes long among it.
    pub(super) fn note_waiting(&mut self) {
        let unwritten = self.batch.rounds.len() as u64;
        let slow = self.under_way.is_some() && self.began.elapsed() > SLOW_WRITE;
        let now = self.parts.clock.now();
        self.parts.board.change_health(|health| {
            health.unwritten = unwritten;
            if slow && health.store.is_none() {
                health.store = Some((now, "a write has been under way for many seconds".to_owned()));
            }
        });
    }

    /// Writes everything, and tries no longer than a few times and seconds; whether it is written.
    pub(super) async fn finish(&mut self) -> bool {
        let end = tokio::time::Instant::now() + LAST_WRITES;
        for _ in 0..LAST_TRIES {
            self.flush();
            let Some(writing) = &mut self.under_way else { break };
            let Ok(ended) = tokio::time::timeout_at(end, writing).await else { break };
            self.under_way = None;
            self.ended(ended.map_err(|_| ()));
        }
        if self.under_way.is_none() && is_empty(&self.batch) {
            return true;
        }
        let Batch { rounds, events, alerts, .. } = &self.batch;
        self.parts.say(format!(
            "not everything could be written to the history: {} rounds, {} events and {} alerts are lost",
            rounds.len(),
            events.len(),
            alerts.len()
        ));
        false
    }

    fn ended(&mut self, ended: Result<(Batch, Result<(), StoreError>), ()>) {
        let now = self.parts.clock.now();
        self.written_now.clear();
        match ended {
            Ok((_, Ok(()))) => {
                if self.failures > 0 {
                    self.parts.say("history is written again");
                }
                self.failures = 0;
                let unwritten = self.batch.rounds.len() as u64;
                self.parts.board.change_health(|health| {
                    health.store = None;
                    health.unwritten = unwritten;
                });
            }
            Ok((batch, Err(error))) => {
                if self.failures == 0 {
                    self.parts.say(format!("history cannot be written, probing goes on and alerts wait: {error}"));
                }
                self.failures = self.failures.saturating_add(1);
                let pause = WRITE_EVERY.saturating_mul(2_u32.saturating_pow(self.failures.min(16)));
                self.next = Instant::now() + pause.min(LONGEST_PAUSE);
                self.put_back(batch);
                let (unwritten, dropped) = (self.batch.rounds.len() as u64, self.dropped);
                self.parts.board.change_health(|health| {
                    let since = health.store.take().map_or(now, |(since, _)| since);
                    health.store = Some((since, error.to_string()));
                    health.unwritten = unwritten;
                    health.dropped = dropped;
                });
            }
            // A write that died takes its batch along; what follows is written.
            Err(()) => self.details.clear(),
        }
    }

    /// What could not be written goes before what came since; of too many rounds the oldest are given up, and no event,
    /// state or alert is.
    fn put_back(&mut self, mut first: Batch) {
        let then = mem::take(&mut self.batch);
        first.rounds.extend(then.rounds);
        first.details.extend(then.details);
        first.states.extend(then.states);
        first.events.extend(then.events);
        first.snapshots.extend(then.snapshots);
        first.alerts.extend(then.alerts);
        // Details are large; rounds without theirs still count.
        let surplus = first.details.len().saturating_sub(DETAILS_WAITING);
        for detail in first.details.drain(..surplus) {
            self.details.remove(&detail.id);
        }
        let surplus = first.rounds.len().saturating_sub(ROUNDS_WAITING);
        if surplus > 0 {
            first.rounds.drain(..surplus);
            self.dropped += surplus as u64;
        }
        // The last state of a cell is the one that counts.
        let mut seen = HashSet::new();
        first.states.reverse();
        first.states.retain(|(cell, _)| seen.insert(*cell));
        first.states.reverse();
        self.batch = first;
    }
}

fn is_empty(batch: &Batch) -> bool {
    let Batch { rounds, details, states, events, snapshots, alerts } = batch;
    rounds.is_empty()
        && details.is_empty()
        && states.is_empty()
        && events.is_empty()
        && snapshots.is_empty()
        && alerts.is_empty()
}

/// What was found is in the history after so long at the latest.
const WRITE_EVERY: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
const ROUNDS_A_BATCH: usize = 1_000;
/// About 100 bytes each.
const ROUNDS_WAITING: usize = 500_000;
/// Some ten kilobytes each.
const DETAILS_WAITING: usize = 4_000;
const SLOW_WRITE: Duration = Duration::from_secs(5);
const LAST_WRITES: Duration = Duration::from_secs(10);
const DETAILS_REMEMBERED: usize = 200_000;
const LAST_TRIES: usize = 3;

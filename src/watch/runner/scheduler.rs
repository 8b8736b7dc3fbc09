//! Which cell is due when: a queue of slots. A cell has one round under way at a time; slots that are missed (the machine
//! slept, the clock was set, a round took too long) are left out, not made up for.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashSet},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tokio::{
    sync::{Semaphore, mpsc, watch},
    task::JoinSet,
};

use super::{
    Parts,
    clock::until,
    course::Course,
    ledger::{Finished, Message},
    shares::{Mine, share_of},
    turned,
};
use crate::{check, watch::schedule::later};

/// Starts rounds until it is halted, then waits for those that are under way. `ready` tells the check sets whose
/// configuration has been read for the first time.
pub(super) async fn schedule(
    course: Arc<Course>,
    parts: Parts,
    mut mine: Mine,
    mut ready: mpsc::UnboundedReceiver<usize>,
    finished: mpsc::Sender<Message>,
    mut halted: watch::Receiver<bool>,
) {
    let descriptors = Arc::new(Semaphore::new(check::descriptors()));
    let mut queue = Queue { course: Arc::clone(&course), due: BinaryHeap::new(), queued: HashSet::new() };
    let mut open: HashSet<usize> = HashSet::new();
    let mut rounds = JoinSet::new();
    let mut seen = parts.clock.now();
    let mut refill = true;
    loop {
        let now = parts.clock.now();
        if until(now, seen).is_some_and(|back| back > CLOCK_TOLERANCE) {
            // The clock was set back: what was due in its future is due anew.
            queue.due.clear();
            queue.queued.clear();
            refill = true;
        }
        seen = now;
        let own = Arc::clone(&mine.borrow_and_update());
        if std::mem::take(&mut refill) {
            queue.fill(now, |check, share| open.contains(&check) && own.contains(&share));
        }
        while let Some((due, cell)) = queue.pop(now) {
            let slot = &course.cells[cell];
            if !own.contains(&share_of(slot.seed)) {
                continue;
            }
            let late = until(due, now).unwrap_or_default();
            let interval = course.interval(slot);
            queue.push(course.next(slot, if late > interval { now } else { due }), cell);
            if late > interval.max(SHORTEST_MISS) || !slot.take() {
                parts.metrics.missed(&slot.key.check);
                continue;
            }
            // Results of ended rounds are collected as new ones begin, so that none is kept for long.
            while rounds.try_join_next().is_some() {}
            rounds.spawn(round(
                Arc::clone(&course),
                parts.clone(),
                cell,
                due,
                Arc::clone(&descriptors),
                finished.clone(),
            ));
        }
        let wake = queue.next().unwrap_or(Timestamp::MAX).min(later(now, LONGEST_SLEEP));
        tokio::select! {
            () = parts.clock.sleep_until(wake) => {}
            Some(check) = ready.recv() => refill = open.insert(check),
            Ok(()) = mine.changed() => refill = true,
            () = turned(&mut halted) => break,
        }
    }
    while rounds.join_next().await.is_some() {}
}

/// One round of one cell.
async fn round(
    course: Arc<Course>,
    parts: Parts,
    cell: usize,
    due: Timestamp,
    descriptors: Arc<Semaphore>,
    finished: mpsc::Sender<Message>,
) {
    let slot = &course.cells[cell];
    // Freed whatever becomes of the round.
    let _free = Free(Arc::clone(&slot.busy));
    // The semaphore is never closed; without a permit the round would only start earlier.
    let _permit = descriptors.acquire_many(DESCRIPTORS_A_ROUND).await.ok();
    let lag = until(due, parts.clock.now()).unwrap_or_default();
    let begun = Instant::now();
    let check = course.check(slot);
    let look = course.probers[slot.check].round(slot.index, check.timeout).await;
    let message = Finished { course: Arc::clone(&course), slot: cell, due, lag, took: begun.elapsed(), look };
    // Nobody listening means that the watch is over.
    let _ = finished.send(Message::Finished(Box::new(message))).await;
}

/// Gives a cell back.
struct Free(Arc<std::sync::atomic::AtomicBool>);

impl Drop for Free {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// What is due, by time.
struct Queue {
    course: Arc<Course>,
    due: BinaryHeap<Reverse<(Timestamp, usize)>>,
    queued: HashSet<usize>,
}

impl Queue {
    /// Queues the cells that are wanted and not queued yet.
    fn fill(&mut self, now: Timestamp, wanted: impl Fn(usize, u64) -> bool) {
        let course = Arc::clone(&self.course);
        for (number, slot) in course.cells.iter().enumerate() {
            if !self.queued.contains(&number) && wanted(slot.check, share_of(slot.seed)) {
                self.push(course.next(slot, now), number);
            }
        }
    }

    fn push(&mut self, due: Timestamp, cell: usize) {
        self.queued.insert(cell);
        self.due.push(Reverse((due, cell)));
    }

    fn next(&self) -> Option<Timestamp> {
        self.due.peek().map(|Reverse((due, _))| *due)
    }

    fn pop(&mut self, now: Timestamp) -> Option<(Timestamp, usize)> {
        self.next().filter(|due| *due <= now)?;
        let Reverse((due, cell)) = self.due.pop()?;
        self.queued.remove(&cell);
        Some((due, cell))
    }
}

/// As many as a name's servers and addresses hold at a time, as a rule.
const DESCRIPTORS_A_ROUND: u32 = 2;
/// Clocks are corrected by small steps all the time.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(1);
/// A clock that was set is noticed after this long.
const LONGEST_SLEEP: Duration = Duration::from_secs(5);
/// A slot is not missed for being this late, however short the interval.
const SHORTEST_MISS: Duration = Duration::from_secs(1);

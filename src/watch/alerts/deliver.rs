//! Sends what is due, until it arrives.
//!
//! One process of those that share a database does it, by a lease. Each receiver has a worker of its own while
//! something is due to it, so none holds up another. A worker holds one batch until the receiver took it, trying again
//! after 1 s, 2 s, 4 s … 60 s, for as long as it takes. Before it tries again it looks at what became of the alerts:
//! what is over by now is told as over, which is another delivery with another idempotency key. That is at least once:
//! when the process dies between a delivery and its being written down, the same comes again, with the same key.

mod outbox;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use tokio::{
    sync::{mpsc::UnboundedSender, watch},
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

pub(super) use outbox::Outbox;
use outbox::Shared;

use super::{
    alertmanager, command,
    payload::Payload,
    post::{Failure, Post},
    webhook,
};
use crate::{
    report::words::counted,
    watch::{
        config::{Receiver, ReceiverKind, WatchConfig},
        metrics::Metrics,
        record::Alert,
        schedule::later,
        store::{Store, StoreError},
    },
};

/// Sends what is due until `stop` turns true, then once more what can be sent at once. `config` may change under way.
/// `process` is the name of this process among those that share the database; `notices` gets a line for people when a
/// receiver is lost or found again.
pub async fn deliver(
    store: Store,
    config: watch::Receiver<Arc<WatchConfig>>,
    metrics: Arc<Metrics>,
    process: String,
    notices: UnboundedSender<String>,
    stop: watch::Receiver<bool>,
) {
    let outbox = Shared { store, process };
    run(Desk::new(outbox, config, metrics, notices), stop).await;
}

/// Sends once what is due, for a run that comes again by somebody else's schedule: every alert lasts until the next run
/// is overdue.
pub async fn deliver_once(
    store: Store,
    config: Arc<WatchConfig>,
    metrics: Arc<Metrics>,
    process: String,
    notices: UnboundedSender<String>,
) {
    let outbox = Shared { store, process };
    let (_config, config) = watch::channel(config);
    let (_stop, stopped) = watch::channel(true);
    run(Desk { once: true, ..Desk::new(outbox, config, metrics, notices) }, stopped).await;
}

/// How fast things go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// How often is looked for what is due.
    pub(super) poll: Duration,
    /// How long the lease lasts; it is renewed after a third of that.
    pub(super) lease: Duration,
    /// The first wait after a failure, which doubles.
    pub(super) first_wait: Duration,
    /// The longest wait.
    pub(super) longest_wait: Duration,
    /// What is left after `stop`.
    pub(super) last_try: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            poll: Duration::from_millis(500),
            lease: Duration::from_secs(15),
            first_wait: Duration::from_secs(1),
            longest_wait: Duration::from_mins(1),
            last_try: Duration::from_secs(5),
        }
    }
}

impl Pace {
    /// How long to wait after so many failed attempts.
    pub(super) fn wait(&self, attempts: u32) -> Duration {
        let doubled = 2_u32.saturating_pow(attempts.saturating_sub(1).min(16));
        self.first_wait.saturating_mul(doubled).min(self.longest_wait)
    }
}

/// What the workers share.
pub(super) struct Desk<O> {
    pub(super) outbox: O,
    pub(super) config: watch::Receiver<Arc<WatchConfig>>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) notices: UnboundedSender<String>,
    pub(super) post: Post,
    pub(super) pace: Pace,
    /// This process is the one that sends.
    pub(super) leading: AtomicBool,
    /// This is one of many runs, each of which sends once.
    pub(super) once: bool,
}

impl<O> Desk<O> {
    fn new(
        outbox: O,
        config: watch::Receiver<Arc<WatchConfig>>,
        metrics: Arc<Metrics>,
        notices: UnboundedSender<String>,
    ) -> Self {
        let leading = AtomicBool::new(false);
        Self { outbox, config, metrics, notices, post: Post::default(), pace: Pace::default(), leading, once: false }
    }
}

/// Looks for what is due, and gives each receiver a worker.
pub(super) async fn run<O: Outbox>(desk: Desk<O>, mut stop: watch::Receiver<bool>) {
    let desk = Arc::new(desk);
    let mut rounds = Rounds {
        desk: Arc::clone(&desk),
        stop: stop.clone(),
        workers: JoinSet::new(),
        busy: BTreeSet::new(),
        leased_until: None,
        renew_at: Instant::now(),
        trouble: BTreeSet::new(),
    };
    while !*stop.borrow_and_update() {
        rounds.turn().await;
        let next = Instant::now() + desk.pace.poll;
        tokio::select! {
            changed = stop.changed() => if changed.is_err() { break },
            Some(ended) = rounds.workers.join_next() => rounds.ended(ended).await,
            () = tokio::time::sleep_until(next) => {}
        }
    }
    // The workers try once more by themselves; what nobody worked at gets a worker.
    let _ = timeout(desk.pace.last_try, async {
        loop {
            rounds.turn().await;
            match rounds.workers.join_next().await {
                Some(Ok((name, true))) => _ = rounds.busy.remove(&name),
                Some(_) => {}
                None => break,
            }
        }
    })
    .await;
    drop(rounds);
    let _ = timeout(Duration::from_secs(1), desk.outbox.release()).await;
}

/// What the main loop remembers.
struct Rounds<O> {
    desk: Arc<Desk<O>>,
    stop: watch::Receiver<bool>,
    workers: JoinSet<(String, bool)>,
    /// Receivers with a worker.
    busy: BTreeSet<String>,
    leased_until: Option<Instant>,
    renew_at: Instant,
    /// What cannot be done with the history. An outage is over when all of it can.
    trouble: BTreeSet<Task>,
}

/// What the main loop does with the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Task {
    Lease,
    Look,
    Write,
}

impl<O: Outbox> Rounds<O> {
    /// Renews the lease when it is time to, and hands out what is due.
    async fn turn(&mut self) {
        let now = Instant::now();
        if now >= self.renew_at {
            self.renew_at = now + self.desk.pace.lease / 3;
            let leased = self.desk.outbox.lease(self.desk.pace.lease).await;
            match leased {
                Ok(true) => self.leased_until = Some(now + self.desk.pace.lease),
                Ok(false) => self.leased_until = None,
                // It lasts for as long as it was given.
                Err(_) => {}
            }
            self.note(Task::Lease, leased.err().as_ref());
        }
        let leading = self.leased_until.is_some_and(|until| Instant::now() < until);
        self.desk.leading.store(leading, Ordering::Relaxed);
        if leading {
            self.hand_out(Timestamp::now()).await;
        }
    }

    /// Gives what is due to the receivers' workers.
    async fn hand_out(&mut self, now: Timestamp) {
        let due = match self.desk.outbox.due(now, MOST_DUE).await {
            Ok(due) => due,
            Err(error) => return self.note(Task::Look, Some(&error)),
        };
        self.note(Task::Look, None);
        let full = due.len() >= MOST_DUE;
        let mut batches: BTreeMap<String, Vec<Alert>> = BTreeMap::new();
        for alert in due {
            batches.entry(alert.receiver.clone()).or_default().push(alert);
        }
        let config = Arc::clone(&self.desk.config.borrow());
        let mut aside = Vec::new();
        for (name, mut alerts) in batches {
            let Some(receiver) = receiver(&config, &name) else {
                // Nobody is there to be told: what is over is done, what lasts may find its receiver again.
                let later = later(now, self.desk.pace.longest_wait);
                aside.extend(alerts.into_iter().map(|alert| Alert {
                    delivered: alert.delivered || alert.ends_at.is_some(),
                    next_at: later,
                    ..alert
                }));
                continue;
            };
            if self.busy.contains(&name) {
                // A crowd of one receiver must not hide the others'.
                if full {
                    let later = later(now, ASIDE);
                    aside.extend(alerts.into_iter().map(|alert| Alert { next_at: later, ..alert }));
                }
                continue;
            }
            alerts.sort_by_key(|alert| (alert.starts_at, alert.cell.0));
            alerts.truncate(most_at_once(receiver));
            self.busy.insert(name.clone());
            let worker = Worker { desk: Arc::clone(&self.desk), name, stop: self.stop.clone() };
            self.workers.spawn(worker.work(alerts));
        }
        let written = if aside.is_empty() { Ok(()) } else { self.desk.outbox.sent(&aside).await };
        self.note(Task::Write, written.err().as_ref());
    }

    /// A worker ended.
    async fn ended(&mut self, ended: Result<(String, bool), tokio::task::JoinError>) {
        match ended {
            Ok((name, arrived)) => {
                self.busy.remove(&name);
                if !arrived {
                    sleep(self.desk.pace.poll).await;
                }
            }
            // It panicked, which is a fault of ours; its receiver is not lost for that.
            Err(_) => self.busy.clear(),
        }
    }

    /// Says what is wrong with the history, once an outage.
    fn note(&mut self, task: Task, error: Option<&StoreError>) {
        let Some(error) = error else {
            self.trouble.remove(&task);
            return;
        };
        if self.trouble.is_empty() {
            let _ = self.desk.notices.send(format!("alerts wait, the history does not answer: {error}"));
        }
        self.trouble.insert(task);
    }
}

/// Who brings one batch to one receiver.
struct Worker<O> {
    desk: Arc<Desk<O>>,
    name: String,
    stop: watch::Receiver<bool>,
}

impl<O: Outbox> Worker<O> {
    /// Until the receiver took the batch, or nobody is to be told any longer. The receiver's name, and whether it was
    /// taken and written down.
    async fn work(mut self, mut batch: Vec<Alert>) -> (String, bool) {
        // What is sent stays the same at every attempt, whatever is written down in between, unless it is no longer true.
        let mut frozen = batch.clone();
        let begun = Instant::now();
        let mut attempts = 0_u32;
        let mut told: Option<Failure> = None;
        loop {
            let config = Arc::clone(&self.desk.config.borrow());
            let Some(receiver) = receiver(&config, &self.name).cloned() else { return (self.name, false) };
            let last = *self.stop.borrow();
            let failure = match self.send(&config, &receiver, &frozen).await {
                Ok(()) => {
                    if attempts > 0 {
                        self.say(&format!(
                            "is told again, after {} and {:.0} s",
                            counted(
                                usize::try_from(attempts).unwrap_or(usize::MAX),
                                "failed attempt",
                                "failed attempts"
                            ),
                            begun.elapsed().as_secs_f64()
                        ));
                    }
                    let done = self.taken(&receiver, batch).await;
                    return (self.name, done);
                }
                Err(Failure::Refused(_)) if frozen.len() > 1 => {
                    let done = self.one_by_one(&config, &receiver, batch).await;
                    return (self.name, done);
                }
                Err(failure) => failure,
            };
            attempts += 1;
            // One that is refused again and again is told of once.
            let known = matches!(failure, Failure::Refused(_)) && batch.iter().all(|alert| alert.attempts > 0);
            if told.as_ref() != Some(&failure) && !known {
                let what = counted(frozen.len(), "alert", "alerts");
                let then = if self.desk.once { "the next run tries again" } else { "it is tried again until it works" };
                self.say(&format!("was not told of {what}: {}; {then}", failure.message()));
                told = Some(failure.clone());
            }
            let longest = batch.iter().map(|alert| alert.attempts).max().unwrap_or_default();
            let wait = self.desk.pace.wait(longest.max(attempts - 1).saturating_add(1));
            let next = later(Timestamp::now(), wait);
            for alert in &mut batch {
                alert.attempts = alert.attempts.saturating_add(1);
                alert.next_at = next;
            }
            // If this cannot be written down, it is merely tried again earlier after a restart.
            let _ = self.desk.outbox.sent(&batch).await;
            // One alone that is refused does not hold up those that come after it.
            if last || matches!(failure, Failure::Refused(_)) || !self.wait(wait).await {
                return (self.name, false);
            }
            self.look_again(&mut frozen, &mut batch).await;
            if frozen.is_empty() {
                return (self.name, true);
            }
        }
    }

    /// Takes over what the history says of a batch that did not arrive: an alert that ended meanwhile, or has new words,
    /// is told as it is now, and one that another process brought there is not told again. What did not change is sent
    /// as before, byte for byte.
    async fn look_again(&self, frozen: &mut Vec<Alert>, batch: &mut Vec<Alert>) {
        // What cannot be looked at is sent as it was.
        let Ok(known) = self.desk.outbox.known(&self.name).await else { return };
        let known: HashMap<_, Alert> = known.into_iter().map(|alert| ((alert.cell, alert.starts_at), alert)).collect();
        let (before, attempts) = (std::mem::take(frozen), std::mem::take(batch));
        for (sent, noted) in before.into_iter().zip(attempts) {
            let Some(now) = known.get(&(sent.cell, sent.starts_at)) else { continue };
            let same = (now.ends_at, &now.labels, &now.annotations) == (sent.ends_at, &sent.labels, &sent.annotations);
            if same && now.delivered && !sent.delivered {
                continue;
            }
            frozen.push(if same { sent } else { now.clone() });
            batch.push(if same { noted } else { now.clone() });
        }
    }

    /// Finds out which of a batch is refused.
    async fn one_by_one(&mut self, config: &WatchConfig, receiver: &Receiver, batch: Vec<Alert>) -> bool {
        let mut taken = Vec::new();
        for mut alert in batch {
            match self.send(config, receiver, std::slice::from_ref(&alert)).await {
                Ok(()) => taken.push(alert),
                Err(failure) => {
                    if alert.attempts == 0 {
                        let name = alert.labels.get("cluster").cloned().unwrap_or_default();
                        self.say(&format!("does not take an alert on {name}: {}", failure.message()));
                    }
                    alert.attempts = alert.attempts.saturating_add(1);
                    alert.next_at = later(Timestamp::now(), self.desk.pace.wait(alert.attempts));
                    let _ = self.desk.outbox.sent(&[alert]).await;
                    if matches!(failure, Failure::Unavailable(_)) {
                        break;
                    }
                }
            }
        }
        self.taken(receiver, taken).await
    }

    /// One attempt.
    async fn send(&self, config: &WatchConfig, receiver: &Receiver, alerts: &[Alert]) -> Result<(), Failure> {
        let public_url = config.web.as_ref().and_then(|web| web.public_url.as_deref());
        let payload = || Payload::new(&receiver.name, alerts, public_url);
        let post = &self.desk.post;
        let sending = async {
            match &receiver.kind {
                ReceiverKind::Alertmanager { urls } => {
                    let lasts = |alert: &Alert| alertmanager::lasts(config, alert, self.desk.once);
                    alertmanager::send(post, urls, alerts, receiver.timeout, lasts).await
                }
                ReceiverKind::Webhook { url, secret } => {
                    webhook::send(post, url, secret.as_ref(), &payload(), receiver.timeout).await
                }
                ReceiverKind::Command { command } => command::send(command, &payload(), receiver.timeout).await,
            }
        };
        let outcome = sending.await;
        self.desk.metrics.delivery(&receiver.name, outcome.is_ok());
        outcome
    }

    /// Writes down that the receiver took them; false when that cannot be done, so that they will come again.
    async fn taken(&mut self, receiver: &Receiver, mut batch: Vec<Alert>) -> bool {
        let now = Timestamp::now();
        for alert in &mut batch {
            let wanted = Duration::from_secs(alert.repeat_seconds.max(1));
            let repeat = match receiver.kind {
                ReceiverKind::Alertmanager { .. } => alertmanager::repeat(wanted),
                ReceiverKind::Webhook { .. } | ReceiverKind::Command { .. } => wanted,
            };
            alert.delivered = true;
            alert.attempts = 0;
            alert.next_at = later(now, repeat);
        }
        for attempt in 1..=WRITES {
            if self.desk.outbox.sent(&batch).await.is_ok() {
                return true;
            }
            if attempt < WRITES && !self.wait(self.desk.pace.wait(attempt)).await {
                break;
            }
        }
        false
    }

    /// Waits; false when nobody is to be told by this process any longer. The end of the watch ends the waiting only:
    /// there is one try more.
    async fn wait(&mut self, time: Duration) -> bool {
        let until = Instant::now() + time;
        while Instant::now() < until {
            if *self.stop.borrow_and_update() {
                return true;
            }
            if !self.desk.leading.load(Ordering::Relaxed) {
                return false;
            }
            let step = self.desk.pace.poll.min(until.saturating_duration_since(Instant::now()));
            tokio::select! {
                changed = self.stop.changed() => if changed.is_err() { return false },
                () = sleep(step) => {}
            }
        }
        true
    }

    fn say(&self, what: &str) {
        let _ = self.desk.notices.send(format!("alert receiver {}: {what}", self.name));
    }
}

/// A receiver, by its name.
fn receiver<'a>(config: &'a WatchConfig, name: &str) -> Option<&'a Receiver> {
    config.receivers.iter().find(|receiver| receiver.name == name)
}

/// How many alerts a delivery holds at most.
fn most_at_once(receiver: &Receiver) -> usize {
    match receiver.kind {
        ReceiverKind::Alertmanager { .. } => 500,
        ReceiverKind::Webhook { .. } | ReceiverKind::Command { .. } => 100,
    }
}

/// Alerts looked at in one turn.
const MOST_DUE: usize = 5_000;

/// For how long the crowd of a busy receiver steps aside.
const ASIDE: Duration = Duration::from_secs(5);

/// Attempts to write down that a batch arrived.
const WRITES: u32 = 5;

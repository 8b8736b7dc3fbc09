//! Carries out orders, within the agent's own allow list and limits, whatever an order says.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use kubereach_probes::{
    AddressClasses, Attempt, Observation, Options, Permit, Run, SharedControls, SystemResolver, Target, probe,
};
use serde::Deserialize;
use tokio::sync::{Semaphore, watch};

use crate::{
    allow::AllowList,
    inspect::{self, Permitted, Refused},
    order::{self, MAXIMUM_ORDER_BYTES, MAXIMUM_REPLY_BYTES, MessageError, Order, Outcome, PROTOCOL, Refusal, Reply},
    reduce,
};

/// Bounds of what an agent does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Orders that are taken on within a minute, all at once or spread over it.
    pub orders_per_minute: u32,
    /// Orders that are carried out at the same time.
    pub concurrency: usize,
    /// Orders that wait for those to end, beyond which the agent is busy.
    pub waiting: usize,
    /// Longest time for one order; what is known by then is the answer.
    pub deadline: Duration,
    /// Longest order, in bytes.
    pub order_bytes: usize,
    /// Longest reply, in bytes of JSON.
    pub reply_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            orders_per_minute: 1200,
            concurrency: 64,
            waiting: 256,
            deadline: Duration::from_mins(1),
            order_bytes: MAXIMUM_ORDER_BYTES,
            reply_bytes: MAXIMUM_REPLY_BYTES,
        }
    }
}

/// Carries out orders.
#[derive(Debug)]
pub struct Worker {
    name: Option<String>,
    allow: AllowList,
    limits: Limits,
    /// As many as may be carried out or wait.
    room: Semaphore,
    /// As many as may be carried out.
    hands: Semaphore,
    rate: Mutex<Bucket>,
    shared: Mutex<Vec<(Ways, SharedControls)>>,
}

impl Worker {
    /// A worker that has done nothing yet. With a name, it takes only orders for that name.
    #[must_use]
    pub fn new(name: Option<String>, allow: AllowList, limits: Limits) -> Self {
        let concurrency = limits.concurrency.clamp(1, MAXIMUM_CONCURRENCY);
        let waiting = limits.waiting.min(MAXIMUM_WAITING);
        Self {
            name,
            allow,
            limits,
            room: Semaphore::new(concurrency + waiting),
            hands: Semaphore::new(concurrency),
            rate: Mutex::new(Bucket::full(limits.orders_per_minute, Instant::now())),
            shared: Mutex::default(),
        }
    }

    /// Its name, when it has one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Its bounds.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Reads an order and carries it out; what cannot be read is refused.
    pub async fn answer(&self, message: &[u8], run: &Run) -> Reply {
        match order::read::<Order>(message, self.limits.order_bytes.min(MAXIMUM_ORDER_BYTES)) {
            Ok(order) => self.carry_out(order, run).await,
            Err(error) => {
                let reason = match error {
                    MessageError::OtherVersion(_) => Refusal::OtherVersion,
                    MessageError::TooLong(..) | MessageError::Malformed(_) => Refusal::Malformed,
                };
                self.refuse(&id_of(message), reason, error.to_string())
            }
        }
    }

    /// Carries out the order, or says why not. Takes at most the time that the order is valid and [`Limits::deadline`],
    /// whichever is less, and ends at once with what is known when `run.stop` turns true.
    pub async fn carry_out(&self, order: Order, run: &Run) -> Reply {
        match self.observe(&order, run).await {
            Ok(observation) => {
                let agent = self.name.clone().unwrap_or_else(|| order.agent.clone());
                let outcome = Outcome::Observed { observation: Box::new(observation) };
                let reply = Reply { protocol: PROTOCOL, id: order.id, agent, finished_at: Timestamp::now(), outcome };
                let limit = self.limits.reply_bytes.min(MAXIMUM_REPLY_BYTES);
                reduce::to_fit(reply, |reply| order::write(reply).len() <= limit, limit)
            }
            Err((reason, detail)) => {
                let (id, agent) =
                    if inspect::check_names(&order).is_ok() { (order.id, order.agent) } else { Default::default() };
                let reply = self.refuse(&id, reason, detail);
                if self.name.is_none() { Reply { agent, ..reply } } else { reply }
            }
        }
    }

    /// The reply that says why the order of this id is not carried out.
    #[must_use]
    pub fn refuse(&self, id: &str, reason: Refusal, detail: impl Into<String>) -> Reply {
        Reply {
            protocol: PROTOCOL,
            id: id.to_owned(),
            agent: self.name.clone().unwrap_or_default(),
            finished_at: Timestamp::now(),
            outcome: Outcome::Refused { reason, detail: plain(&detail.into()) },
        }
    }

    async fn observe(&self, order: &Order, run: &Run) -> Result<Observation, Refused> {
        let permitted = inspect::inspect(order, self.name.as_deref(), &self.allow, Timestamp::now())?;
        let Permitted { target, mut options, left_out, remaining } = permitted;
        options.shared_controls = self.shared(&options);
        let busy = |words: &str| (Refusal::Busy, words.to_owned());
        let _room = self.room.try_acquire().map_err(|_full| {
            busy(&format!(
                "this agent has {} orders at hand and {} waiting",
                self.limits.concurrency, self.limits.waiting
            ))
        })?;
        if !self.rate.lock().unwrap_or_else(PoisonError::into_inner).take(Instant::now()) {
            return Err(busy(&format!("this agent takes {} orders a minute", self.limits.orders_per_minute)));
        }
        let began = Instant::now();
        let _hand = tokio::time::timeout(remaining, self.hands.acquire())
            .await
            .map_err(|_elapsed| busy("the order expired while it waited for others to end"))?
            .map_err(|_closed| busy("this agent is ending"))?;
        let patience = remaining.saturating_sub(began.elapsed()).min(self.limits.deadline);
        let permit = options.permit.clone();
        let (target, options) = (Arc::new(target), Arc::new(options));
        let (stop, stopped) = watch::channel(false);
        let inner = Run { stop: stopped, events: run.events.clone() };
        let mut probing = std::pin::pin!(probe(&target, &options, &inner));
        let mut observation = tokio::select! {
            biased;
            observation = &mut probing => observation,
            () = ended(run, patience) => {
                // The receiver is in `inner`.
                let _ = stop.send(true);
                probing.await
            }
        };
        observation.left_out.splice(0..0, left_out);
        if observation.cut_short && !*run.stop.borrow() {
            let limit =
                if patience == self.limits.deadline { "its `--deadline`" } else { "what the order left of its time" };
            observation.ended_early =
                Some(format!("this agent gave the order {:?} ({limit}), and ended it then", rounded(patience)));
        }
        judge(&observation, &target, &permit)?;
        Ok(observation)
    }

    /// What controls and echo servers said to orders that ask them the same way, so that a thousand orders ask once.
    fn shared(&self, options: &Options) -> SharedControls {
        let ways = Ways::of(options);
        let mut known = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, shared)) = known.iter().find(|(one, _)| *one == ways) {
            return shared.clone();
        }
        if known.len() >= MAXIMUM_WAYS {
            known.remove(0);
        }
        let shared = SharedControls::default();
        known.push((ways, shared.clone()));
        shared
    }
}

/// What an answer of a control or an echo server depends on, beside who is asked.
#[derive(Debug, PartialEq)]
struct Ways {
    permit: Permit,
    system: SystemResolver,
    classes: AddressClasses,
    timeouts: [Duration; 2],
}

impl Ways {
    fn of(options: &Options) -> Self {
        Self {
            permit: options.permit.clone(),
            system: options.system.clone(),
            classes: options.classes.clone(),
            timeouts: [options.connect_timeout, options.dns_timeout],
        }
    }
}

/// To whole milliseconds, for people.
fn rounded(duration: Duration) -> Duration {
    Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

/// Nothing is known of a target whose deciding addresses may all not be dialled.
fn judge(observation: &Observation, target: &Target, permit: &Permit) -> Result<(), Refused> {
    let deciding = || observation.attempts.iter().filter(|attempt| attempt.decides);
    let forbidden = |attempt: &Attempt| permit.refuses((attempt.address?, target.port).into());
    let reasons: Vec<String> = deciding().filter_map(forbidden).take(8).collect();
    if reasons.is_empty() || deciding().any(|attempt| attempt.skipped.is_none()) {
        return Ok(());
    }
    let detail = format!("{} resolves to nothing that this agent may dial: {}", target.host, reasons.join("; "));
    Err((Refusal::NotPermitted, detail))
}

/// Completes when the run is stopped, or the time is up.
async fn ended(run: &Run, patience: Duration) {
    tokio::select! {
        () = run.stopped() => {}
        () = tokio::time::sleep(patience) => {}
    }
}

/// The id in a message that is otherwise not understood, so that its sender knows which one is refused.
pub(crate) fn id_of(message: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Id {
        id: String,
    }
    let id = serde_json::from_slice::<Id>(message).map(|message| message.id).unwrap_or_default();
    if inspect::check_id(&id).is_ok() { id } else { String::new() }
}

/// Bounded, on one line.
fn plain(words: &str) -> String {
    let clean = |letter: char| if letter.is_control() { '\u{fffd}' } else { letter };
    let mut plain: String = words.chars().map(clean).take(MAXIMUM_DETAIL).collect();
    if words.chars().nth(MAXIMUM_DETAIL).is_some() {
        plain.push('…');
    }
    plain
}

/// Gives a token an order, and regains them evenly.
#[derive(Debug)]
struct Bucket {
    per_minute: f64,
    tokens: f64,
    at: Instant,
}

impl Bucket {
    fn full(per_minute: u32, now: Instant) -> Self {
        Self { per_minute: f64::from(per_minute), tokens: f64::from(per_minute), at: now }
    }

    fn take(&mut self, now: Instant) -> bool {
        let regained = now.saturating_duration_since(self.at).as_secs_f64() * self.per_minute / 60.0;
        self.tokens = (self.tokens + regained).min(self.per_minute);
        self.at = now;
        let enough = self.tokens >= 1.0;
        if enough {
            self.tokens -= 1.0;
        }
        enough
    }
}

const MAXIMUM_CONCURRENCY: usize = 4096;
const MAXIMUM_WAITING: usize = 65_536;
const MAXIMUM_DETAIL: usize = 600;
const MAXIMUM_WAYS: usize = 16;

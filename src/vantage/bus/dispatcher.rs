//! Orders out, replies in: the controller's end of the bus.

mod streams;

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_nats::{
    Message,
    connection::State,
    jetstream::{
        Context,
        consumer::{AckPolicy, DeliverPolicy, pull},
    },
};
use futures_util::StreamExt as _;
use jiff::{SignedDuration, Timestamp};
use kubereach_agent::{
    MessageError, Order, Outcome, PROTOCOL, Refusal, Reply,
    bus::{
        Link, OBSERVATIONS, PRESENCE, Presence, Servers, backoff, connect, context, headers, id_of,
        observation_subject, order_subject, presence_subject, seal_of,
    },
    keys,
    order::{LONGEST_VALIDITY, MAXIMUM_ORDER_BYTES, MAXIMUM_REPLY_BYTES, read, write},
    seal::{OrderDigest, Seal, SealError, check_reply, seal_order},
};
use nkeys::KeyPair;
use tokio::{
    sync::{OnceCell, Semaphore, oneshot},
    task::JoinHandle,
    time::sleep,
};

use super::ledger::{Ending, Issued, Ledger, Tally, issued};

/// Sends orders to agents and sees each of them through to its end.
pub struct Dispatcher {
    link: Link,
    context: Context,
    key: KeyPair,
    ledger: Arc<Ledger>,
    agents: Mutex<HashMap<String, Arc<AgentState>>>,
    /// Place in the stream of observations up to which replies were read.
    read_up_to: AtomicU64,
    /// Since when the connection is there: before that nothing could be heard.
    connected_at: Mutex<Timestamp>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

/// What is known of an agent.
struct AgentState {
    /// As many orders as are issued to it at a time; the others wait here, where their time does not run.
    window: Semaphore,
    widened: AtomicBool,
    prepared: OnceCell<()>,
    heard: Mutex<Option<Heard>>,
    /// An order expired and nothing was heard of it meanwhile.
    silent: AtomicBool,
}

#[derive(Clone)]
struct Heard {
    at: Timestamp,
    presence: Option<Presence>,
}

impl Dispatcher {
    /// Connects, makes what is missing on the server, and begins to take replies: also those to orders that an earlier
    /// process entered in the ledger.
    ///
    /// # Errors
    /// In words: a file that cannot be used, no server, credentials refused, TLS not verified, a missing permission.
    pub async fn connect(servers: &Servers, signing_key: &Path, ledger: Ledger) -> Result<Arc<Self>, String> {
        let key = keys::read(signing_key).map_err(|error| error.to_string())?;
        let link = connect(servers, "kubereach", INBOX).await.map_err(|error| error.to_string())?;
        let context = context(&link);
        let dispatcher = Arc::new(Self {
            link,
            context,
            key,
            ledger: Arc::new(ledger),
            agents: Mutex::default(),
            read_up_to: AtomicU64::new(0),
            connected_at: Mutex::new(Timestamp::now()),
            tasks: Mutex::default(),
        });
        let last = dispatcher.make_streams().await?;
        dispatcher.read_up_to.store(last, Ordering::Relaxed);
        let oldest = dispatcher.ledger.outstanding().iter().map(|issued| issued.after).min();
        let from = oldest.map_or(last, |after| after.saturating_sub(LOOK_BACK));
        let heartbeats = dispatcher.link.client.subscribe(presence_subject("*")).await;
        let mut heartbeats = heartbeats.map_err(|error| format!("the NATS server gives no heartbeats: {error}"))?;
        let listener = Arc::clone(&dispatcher);
        let listening = tokio::spawn(async move {
            while let Some(message) = heartbeats.next().await {
                listener.hear(&message);
            }
        });
        let collector = Arc::clone(&dispatcher);
        let collecting = tokio::spawn(async move { collector.collect(from).await });
        dispatcher.tasks.lock().unwrap_or_else(PoisonError::into_inner).extend([listening, collecting]);
        Ok(dispatcher)
    }

    /// The ledger.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The public key that orders are signed with.
    #[must_use]
    pub fn public_key(&self) -> String {
        self.key.public_key()
    }

    /// Issues an order to the agent, whose replies must be signed by `key`, and waits for its end. The order is made
    /// when its turn has come. When the caller stops waiting, it ends as expired.
    ///
    /// # Errors
    /// In words, when the order was never issued.
    pub async fn dispatch(
        &self,
        agent: &str,
        key: &str,
        order: impl FnOnce() -> Order + Send,
    ) -> Result<Ending, String> {
        let state = self.agent(agent);
        // The semaphore is never closed.
        let _turn = state.window.acquire().await;
        self.connected().await?;
        self.prepare(agent, &state).await?;
        if state.silent.load(Ordering::Relaxed) {
            return Err(format!("the agent `{agent}` does not answer: {}", self.last_heard(agent, key)));
        }
        let order = order();
        let payload = write(&order);
        if payload.len() > MAXIMUM_ORDER_BYTES {
            let error = MessageError::TooLong(payload.len(), MAXIMUM_ORDER_BYTES);
            return Err(format!("the order for the agent `{agent}` cannot travel: {error}"));
        }
        // JSON is UTF-8.
        let payload = String::from_utf8(payload).unwrap_or_default();
        let seal = seal_order(&self.key, payload.as_bytes());
        let digest = OrderDigest::of(&seal, payload.as_bytes());
        let issued = issued(&order, payload, digest, key, self.read_up_to.load(Ordering::Relaxed));
        let ending = self.ledger.issue(issued.clone()).await;
        let ending = ending.map_err(|error| {
            self.ledger.expire(&issued.id);
            format!("the ledger cannot be written: {error}")
        })?;
        Ok(self.see_through(issued, &seal, ending).await)
    }

    /// Takes up the orders that an earlier process left in the ledger, each with its id.
    #[must_use]
    pub fn resume(self: &Arc<Self>) -> Vec<(String, JoinHandle<Ending>)> {
        let take_up = |issued: Issued| {
            let ending = self.ledger.take_up(&issued.id)?;
            let (dispatcher, id) = (Arc::clone(self), issued.id.clone());
            let seeing = async move {
                let seal = seal_order(&dispatcher.key, issued.payload.as_bytes());
                dispatcher.see_through(issued, &seal, ending).await
            };
            Some((id, tokio::spawn(seeing)))
        };
        self.ledger.outstanding().into_iter().filter_map(take_up).collect()
    }

    /// Stops taking replies. What was not believed of those that came, and what came too late, a sentence each.
    pub async fn close(&self) -> Vec<String> {
        for task in self.tasks.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            task.abort();
        }
        // What is still to be sent is sent, unless the server is gone.
        let _ = tokio::time::timeout(Duration::from_secs(2), self.link.client.flush()).await;
        let Tally { rejected, late, .. } = self.ledger.tally();
        let not_believed =
            |(reason, count): (&String, &u64)| format!("messages from agents not believed: {count} ({reason})");
        let late = (late > 0).then(|| {
            let (replies, their, were) = if late == 1 { ("reply", "its", "was") } else { ("replies", "their", "were") };
            format!("{late} {replies} came after {their} order had expired, and {were} not counted")
        });
        rejected.iter().map(not_believed).chain(late).collect()
    }

    /// Publishes an issued order, again whenever that may be needed, until it ends.
    async fn see_through(&self, issued: Issued, seal: &Seal, ending: oneshot::Receiver<Ending>) -> Ending {
        let guard = Abandoned { dispatcher: self, agent: &issued.agent, id: &issued.id };
        let began = Timestamp::now();
        let patience = issued.expires_at.duration_since(began);
        let patience = if patience.is_positive() { patience.unsigned_abs() } else { Duration::ZERO };
        let state = self.agent(&issued.agent);
        let trouble = Mutex::new(None);
        tokio::select! {
            biased;
            Ok(ending) = ending => return ending,
            () = sleep(patience.min(LONGEST_VALIDITY)) => {}
            () = unheard_of(&state) => {}
            () = self.keep_publishing(&issued, seal, &trouble) => {}
        }
        let rejected = self.ledger.expire(&issued.id);
        drop(guard);
        let heard = lock(&state.heard).as_ref().is_some_and(|heard| heard.at >= began);
        state.silent.store(!heard, Ordering::Relaxed);
        let mut text = format!(
            "the agent `{}` did not answer within {} s: {}",
            issued.agent,
            Timestamp::now().duration_since(began).as_secs(),
            self.last_heard(&issued.agent, &issued.key)
        );
        if let Some(trouble) = lock(&trouble).take() {
            text = format!("{text}; the NATS server did not take the order: {trouble}");
        }
        if !rejected.is_empty() {
            text = format!("{text}; replies that were not believed: {}", listed(&rejected));
        }
        Ending::Expired(text)
    }

    /// What keeps the agent from answering, in words, where anything is known to: the connection, or its long silence.
    pub(super) fn trouble(&self, agent: &str, key: &str) -> Option<String> {
        if !self.is_connected() {
            return Some(self.lost());
        }
        let state = self.agent(agent);
        let silent = state.silent.load(Ordering::Relaxed) || self.is_long_silent(&state);
        silent.then(|| format!("the agent `{agent}` does not answer: {}", self.last_heard(agent, key)))
    }

    /// Waits while the connection is lost, but not for ever: what is sent meanwhile would arrive when nobody waits for
    /// it any more.
    async fn connected(&self) -> Result<(), String> {
        let returned = async {
            while !self.is_connected() {
                sleep(CONNECTION_POLL).await;
            }
        };
        tokio::time::timeout(CONNECTION_PATIENCE, returned).await.map_err(|_| self.lost())
    }

    fn is_connected(&self) -> bool {
        self.link.client.connection_state() == State::Connected
    }

    fn lost(&self) -> String {
        let problem = self.link.take_problem().map(|problem| format!(" ({problem})")).unwrap_or_default();
        format!("the connection to the NATS server is lost{problem}; it is tried again until it is there")
    }

    /// Several heartbeats in a row did not come.
    fn is_long_silent(&self, state: &AgentState) -> bool {
        let heard = lock(&state.heard).as_ref().map_or(Timestamp::MIN, |heard| heard.at);
        let since = heard.max(*lock(&self.connected_at));
        Timestamp::now().duration_since(since) > LONG_SILENCE
    }

    /// Never ends. A message that the server has already is not stored twice; one that it lost in a crash is stored
    /// again; and an agent that has had it knows that.
    async fn keep_publishing(&self, issued: &Issued, seal: &Seal, trouble: &Mutex<Option<String>>) {
        let mut connections = self.link.connections.clone();
        let mut attempt = 1;
        loop {
            connections.mark_unchanged();
            let (subject, headers) = (order_subject(&issued.agent), headers(seal, &issued.id));
            let published =
                match self.context.publish_with_headers(subject, headers, issued.payload.clone().into()).await {
                    Ok(published) => published.await,
                    Err(error) => Err(error),
                };
            let changed = async {
                if connections.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            match published {
                Ok(_) => {
                    *lock(trouble) = None;
                    attempt = 1;
                    changed.await;
                }
                Err(error) => {
                    *lock(trouble) = Some(self.link.take_problem().unwrap_or_else(|| error.to_string()));
                    attempt += 1;
                    let wait = backoff(attempt).clamp(Duration::from_millis(200), Duration::from_secs(3));
                    tokio::select! { () = sleep(wait) => {}, () = changed => {} }
                    // The streams may be what is missing.
                    if self.make_streams().await.is_ok() {
                        let _ = self.make_queue(&issued.agent).await;
                    }
                }
            }
        }
    }

    async fn collect(self: Arc<Self>, mut from: u64) {
        let mut connections = self.link.connections.clone();
        loop {
            connections.mark_unchanged();
            // Whatever went wrong, it is read again from where it may have been lost.
            tokio::select! {
                _ = self.collect_from(from + 1) => {}
                Ok(()) = connections.changed() => {}
            }
            let read = self.read_up_to.load(Ordering::Relaxed);
            let oldest = self.ledger.outstanding().iter().map(|issued| issued.after).min();
            *lock(&self.connected_at) = Timestamp::now();
            // A server that crashed may have lost the last messages, and give their places to others.
            from = oldest.unwrap_or(read).min(read).saturating_sub(LOOK_BACK);
            sleep(Duration::from_millis(200)).await;
        }
    }

    async fn collect_from(self: &Arc<Self>, start_sequence: u64) -> Result<(), async_nats::Error> {
        let config = pull::Config {
            name: Some(format!("controller-{}", self.link.client.new_inbox().rsplit('.').next().unwrap_or("x"))),
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence },
            ack_policy: AckPolicy::None,
            filter_subject: observation_subject("*"),
            inactive_threshold: Duration::from_mins(1),
            memory_storage: true,
            ..pull::Config::default()
        };
        let consumer = self.context.create_consumer_on_stream(config, OBSERVATIONS).await?;
        let messages = consumer.stream().max_messages_per_batch(256).expires(PULL).heartbeat(PULL / 4);
        let mut messages = messages.messages().await?;
        while let Some(message) = messages.next().await {
            let message = message?;
            if let Ok(info) = message.info() {
                self.read_up_to.store(info.stream_sequence, Ordering::Relaxed);
            }
            self.take(&message);
        }
        Ok(())
    }

    /// One message of the stream of observations: believed, or counted as not.
    fn take(self: &Arc<Self>, message: &Message) {
        let Some(agent) = message.subject.strip_prefix(observation_subject("").as_str()) else { return };
        let Some(id) = id_of(&message.payload) else {
            self.ledger.reject(None, "unreadable");
            return;
        };
        // Replies to other controllers pass by here, too.
        let Some((expected, key, digest)) = self.ledger.claim(&id) else { return };
        let reply = match Self::believe(message, agent, &expected, &key, &digest) {
            Ok(reply) => reply,
            Err(reason) => return self.ledger.reject(Some(&id), reason),
        };
        let heard = Heard { at: Timestamp::now(), presence: None };
        self.note(agent, heard);
        // It ended once; that somebody sent it again is no end of the first.
        if let Outcome::Refused { reason: Refusal::Replayed, .. } = reply.outcome {
            return self.ledger.reject(Some(&id), "replayed");
        }
        let ledger = Arc::clone(&self.ledger);
        tokio::spawn(async move { ledger.replied(&id, reply).await });
    }

    fn believe(
        message: &Message,
        agent: &str,
        expected: &str,
        key: &str,
        digest: &OrderDigest,
    ) -> Result<Reply, &'static str> {
        if message.payload.len() > MAXIMUM_REPLY_BYTES {
            return Err("too-long");
        }
        if agent != expected {
            return Err("other-agent");
        }
        let seal = seal_of(message.headers.as_ref());
        check_reply(&seal, digest, &message.payload, key).map_err(|error| match error {
            SealError::Unsigned => "unsigned",
            SealError::OtherKey => "other-key",
            SealError::Bad => "bad-signature",
        })?;
        match read::<Reply>(&message.payload, MAXIMUM_REPLY_BYTES) {
            Ok(reply) if reply.agent == expected => Ok(reply),
            Ok(_) => Err("other-agent"),
            // It is the agent that says so, and to this order.
            Err(MessageError::OtherVersion(theirs)) => Ok(Reply {
                protocol: PROTOCOL,
                id: id_of(&message.payload).unwrap_or_default(),
                agent: expected.to_owned(),
                finished_at: Timestamp::now(),
                outcome: Outcome::Refused {
                    reason: Refusal::OtherVersion,
                    detail: format!("it speaks version {theirs}, and this is version {PROTOCOL}"),
                },
            }),
            Err(_) => Err("unreadable"),
        }
    }

    fn hear(&self, message: &Message) {
        let Some(agent) = message.subject.strip_prefix(presence_subject("").as_str()) else { return };
        // Only agents that somebody asked for are kept in mind.
        if !lock(&self.agents).contains_key(agent) {
            return;
        }
        let presence = read::<Presence>(&message.payload, MAXIMUM_PRESENCE_BYTES).ok();
        self.note(agent, Heard { at: Timestamp::now(), presence });
    }

    fn note(&self, agent: &str, heard: Heard) {
        let state = self.agent(agent);
        if let Some(presence) = &heard.presence
            && !state.widened.swap(true, Ordering::Relaxed)
        {
            state.window.add_permits(presence.slots.min(WIDEST_WINDOW).saturating_sub(WINDOW));
        }
        state.silent.store(false, Ordering::Relaxed);
        let mut known = lock(&state.heard);
        let before = known.take();
        let presence = heard.presence.or_else(|| before.and_then(|before| before.presence));
        *known = Some(Heard { at: heard.at, presence });
    }

    fn agent(&self, name: &str) -> Arc<AgentState> {
        let mut agents = lock(&self.agents);
        let state = agents.entry(name.to_owned()).or_insert_with(|| {
            Arc::new(AgentState {
                window: Semaphore::new(WINDOW),
                widened: AtomicBool::new(false),
                prepared: OnceCell::new(),
                heard: Mutex::new(None),
                silent: AtomicBool::new(false),
            })
        });
        Arc::clone(state)
    }

    /// What is known of when the agent was there, in words.
    fn last_heard(&self, agent: &str, key: &str) -> String {
        let Some(Heard { at, presence }) = lock(&self.agent(agent).heard).clone() else {
            return format!(
                "never heard of; is it running, under the name `{agent}`, and connected to this NATS server? (its log says \
                 `connected to …`)"
            );
        };
        let mut text = format!("last heard of {} ago", ago(Timestamp::now().duration_since(at).unsigned_abs()));
        let Some(presence) = presence else { return text };
        if presence.key != key {
            text = format!("{text}; an agent of that name says that its key is {}, not {key}", presence.key);
        }
        if presence.protocol != PROTOCOL {
            text = format!("{text}; it speaks version {}, and this is version {PROTOCOL}", presence.protocol);
        }
        text
    }

    /// Makes the agent's queue, once, and asks when it was last there.
    async fn prepare(&self, agent: &str, state: &AgentState) -> Result<(), String> {
        let prepare = || async {
            self.make_queue(agent).await?;
            let Ok(stream) = self.context.get_stream_no_info(PRESENCE).await else { return Ok(()) };
            let Ok(last) = stream.get_last_raw_message_by_subject(&presence_subject(agent)).await else {
                return Ok(());
            };
            if let Ok(at) = Timestamp::from_nanosecond(last.time.unix_timestamp_nanos()) {
                let presence = read::<Presence>(&last.payload, MAXIMUM_PRESENCE_BYTES).ok();
                self.note(agent, Heard { at, presence });
            }
            Ok(())
        };
        state.prepared.get_or_try_init(prepare).await.copied()
    }
}

/// Ends an order for which nobody waits any longer, whatever the reason. An agent that has long been silent gets no
/// other before it is heard again: they would pile up in its queue.
struct Abandoned<'a> {
    dispatcher: &'a Dispatcher,
    agent: &'a str,
    id: &'a str,
}

impl Drop for Abandoned<'_> {
    fn drop(&mut self) {
        let dispatcher = self.dispatcher;
        dispatcher.ledger.expire(self.id);
        let state = dispatcher.agent(self.agent);
        if dispatcher.is_connected() && dispatcher.is_long_silent(&state) {
            state.silent.store(true, Ordering::Relaxed);
        }
    }
}

/// Ends when an agent that is there would have said so, and none has: by a heartbeat, now or within the last weeks.
async fn unheard_of(state: &AgentState) {
    sleep(UNHEARD).await;
    // Of an order that an earlier process left, the server was not asked when its agent was last there.
    if lock(&state.heard).is_some() || !state.prepared.initialized() {
        std::future::pending::<()>().await;
    }
}

fn ago(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

fn listed(rejected: &BTreeMap<String, u64>) -> String {
    let words: Vec<String> = rejected.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    words.join(", ")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Below which subjects a controller takes what the server tells it.
const INBOX: &str = "_INBOX.kubereach-controller";
/// An agent says that it is there when it connects, and every ten seconds: time for one that is just being started.
const UNHEARD: Duration = Duration::from_secs(15);
/// Heartbeats come every ten seconds.
const LONG_SILENCE: SignedDuration = SignedDuration::from_secs(35);
/// Longer than the longest pause between two tries to connect.
const CONNECTION_PATIENCE: Duration = Duration::from_secs(20);
const CONNECTION_POLL: Duration = Duration::from_millis(100);
const PULL: Duration = Duration::from_secs(20);
const LOOK_BACK: u64 = 1024;
const WINDOW: usize = 8;
const WIDEST_WINDOW: usize = 64;
const MAXIMUM_PRESENCE_BYTES: usize = 4096;

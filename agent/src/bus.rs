//! A long-lived agent: it dials out to NATS, takes signed orders from its own queue and publishes sealed replies.
//!
//! Orders are delivered at least once. An order's message is acknowledged only once its reply is stored by the server;
//! until then the agent says from time to time that it is at work, and whatever dies in between, the message comes
//! again. What makes this safe is the book of the orders that are under way or done (`book.rs`).

mod arguments;
mod book;
mod lines;
mod link;
mod refusals;

use std::{
    future::Future,
    io,
    path::PathBuf,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_nats::{
    HeaderMap, Message,
    jetstream::{self, Context},
};
use futures_util::StreamExt as _;
use jiff::Timestamp;
use kubereach_probes::Run;
use nkeys::KeyPair;
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep, timeout_at},
};

pub(crate) use self::arguments::servers_of_environment;
pub use self::arguments::{BusArguments, make_key, serve};
pub use self::lines::read_lines;
pub use self::link::{Link, LinkError, Servers, backoff, connect};
use self::{
    book::{Book, Entered, Sealed},
    refusals::Refusals,
};
use crate::{
    MessageError, Order, Outcome, PROTOCOL, Refusal, Reply, Worker, is_agent_name, is_public_key,
    order::{LONGEST_VALIDITY, MAXIMUM_ORDER_BYTES, MAXIMUM_REPLY_BYTES, read, write},
    seal::{OrderDigest, Seal, check_order, seal_reply},
};

/// The stream that orders wait in, one subject an agent.
pub const ORDERS: &str = "KUBEREACH_ORDERS";
/// The stream that replies are stored in, one subject an agent.
pub const OBSERVATIONS: &str = "KUBEREACH_OBSERVATIONS";
/// The stream that holds the last heartbeat of each agent.
pub const PRESENCE: &str = "KUBEREACH_PRESENCE";
/// Header with the version of the message.
pub const PROTOCOL_HEADER: &str = "Kubereach-Protocol";
/// Header with the signer's public key.
pub const KEY_HEADER: &str = "Kubereach-Key";
/// Header with the signature.
pub const SIGNATURE_HEADER: &str = "Kubereach-Signature";
/// The server delivers a message again when it has heard nothing of it for so long.
pub const ACK_WAIT: Duration = Duration::from_secs(30);
/// An agent that is there says so this often.
pub const HEARTBEAT: Duration = Duration::from_secs(10);

/// Subject of an agent's orders.
#[must_use]
pub fn order_subject(agent: &str) -> String {
    format!("kubereach.orders.{agent}")
}

/// Subject of an agent's replies.
#[must_use]
pub fn observation_subject(agent: &str) -> String {
    format!("kubereach.observations.{agent}")
}

/// Subject of an agent's heartbeats.
#[must_use]
pub fn presence_subject(agent: &str) -> String {
    format!("kubereach.presence.{agent}")
}

/// Below which subjects an agent takes what the server tells it.
#[must_use]
pub fn agent_inbox(agent: &str) -> String {
    format!("_INBOX.kubereach-agent.{agent}")
}

/// The headers of a sealed message. The id keeps the server from storing it twice.
#[must_use]
pub fn headers(seal: &Seal, message_id: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(async_nats::header::NATS_MESSAGE_ID, message_id);
    headers.insert(PROTOCOL_HEADER, PROTOCOL.to_string().as_str());
    headers.insert(KEY_HEADER, seal.key.as_str());
    headers.insert(SIGNATURE_HEADER, seal.signature.as_str());
    headers
}

/// What the headers of a message say of its signer; empty where they say nothing.
#[must_use]
pub fn seal_of(headers: Option<&HeaderMap>) -> Seal {
    let text = |name: &str| {
        let value = headers.and_then(|headers| headers.get(name)).map(|value| value.as_str().to_owned());
        value.filter(|value| value.len() <= LONGEST_HEADER).unwrap_or_default()
    };
    Seal { key: text(KEY_HEADER), signature: text(SIGNATURE_HEADER) }
}

/// The version that the headers of a message name.
#[must_use]
pub fn protocol_of(headers: Option<&HeaderMap>) -> Option<u32> {
    headers.and_then(|headers| headers.get(PROTOCOL_HEADER))?.as_str().parse().ok()
}

/// What a running agent tells of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Presence {
    /// Version of the messages that it speaks.
    pub protocol: u32,
    /// Its own version.
    pub version: String,
    /// Its public key.
    pub key: String,
    /// How many orders it carries out at a time.
    pub slots: usize,
    /// How many it is carrying out.
    pub under_way: usize,
}

/// Who carries an order out: in the agent, its worker.
pub trait Carrier: Send + Sync + 'static {
    /// Carries it out, or says why not.
    fn carry_out<'a>(&'a self, order: Order, run: &'a Run) -> Pin<Box<dyn Future<Output = Reply> + Send + 'a>>;
}

impl Carrier for Worker {
    fn carry_out<'a>(&'a self, order: Order, run: &'a Run) -> Pin<Box<dyn Future<Output = Reply> + Send + 'a>> {
        Box::pin(Self::carry_out(self, order, run))
    }
}

/// What an agent on NATS is given.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its name.
    pub name: String,
    /// Where the servers are.
    pub servers: Servers,
    /// Public keys of the controllers whose orders it takes.
    pub controllers: Vec<String>,
    /// Folder of its book; without one it takes no order from before its start.
    pub state: Option<PathBuf>,
    /// How many orders it carries out at a time.
    pub slots: usize,
}

/// Why an agent cannot run.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// Something that it was given cannot be used.
    #[error("{0}")]
    Unusable(String),
    /// Its folder cannot be used.
    #[error("the folder {} cannot keep the book of orders: {error}", folder.display())]
    State {
        /// The folder.
        folder: PathBuf,
        /// What the system says.
        error: io::Error,
    },
}

/// Who hears what an agent has to tell: a sentence at a time.
pub type Tell = Arc<dyn Fn(String) + Send + Sync>;

/// A long-lived agent.
pub struct Agent {
    settings: Settings,
    key: KeyPair,
    book: Mutex<Book>,
    carrier: Arc<dyn Carrier>,
    slots: Arc<Semaphore>,
    tell: Tell,
    refusals: Mutex<Refusals>,
}

impl Agent {
    /// An agent that signs with this key.
    ///
    /// # Errors
    /// When what it is given cannot be used.
    pub fn new(
        settings: Settings,
        key: KeyPair,
        carrier: Arc<dyn Carrier>,
        tell: Tell,
    ) -> Result<Arc<Self>, AgentError> {
        if !is_agent_name(&settings.name) {
            let text = format!("`{}` cannot be the name of an agent: 1 to 64 letters, digits, `-`, `_`", settings.name);
            return Err(AgentError::Unusable(text));
        }
        if settings.controllers.is_empty() {
            let text = "no controller's key is named, so that no order could be believed";
            return Err(AgentError::Unusable(text.to_owned()));
        }
        if settings.controllers.iter().any(|key| key.starts_with('S')) {
            let text = "what is given as a controller's public key begins with `S`: that is a secret seed, which is not to \
                        leave its file; write the public key, which begins with `U`";
            return Err(AgentError::Unusable(text.to_owned()));
        }
        if let Some(key) = settings.controllers.iter().find(|key| !is_public_key(key)) {
            let text = format!("`{key}` is no public key of a controller: it begins with `U` and has 56 characters");
            return Err(AgentError::Unusable(text));
        }
        let now = Timestamp::now();
        let book = match &settings.state {
            None => Book::in_memory(now),
            Some(folder) => {
                Book::open(folder, now).map_err(|error| AgentError::State { folder: folder.clone(), error })?
            }
        };
        let slots = Arc::new(Semaphore::new(settings.slots.clamp(1, MOST_SLOTS)));
        Ok(Arc::new(Self { settings, key, book: Mutex::new(book), carrier, slots, tell, refusals: Mutex::default() }))
    }

    /// Takes orders until `stop` turns true; connects again whenever that is needed, for ever.
    ///
    /// # Errors
    /// When what it is given cannot be used to connect at all.
    pub async fn run(self: &Arc<Self>, mut stop: watch::Receiver<bool>) -> Result<(), AgentError> {
        let mut attempt = 1_usize;
        let mut told = None;
        let (name, inbox) = (format!("kubereach-agent {}", self.settings.name), agent_inbox(&self.settings.name));
        let link = loop {
            let error = tokio::select! {
                biased;
                () = stopped(&mut stop) => return Ok(()),
                linked = connect(&self.settings.servers, &name, &inbox) => match linked {
                    Ok(link) => break link,
                    Err(LinkError::Unusable(text)) => return Err(AgentError::Unusable(text)),
                    Err(error) => error,
                },
            };
            // The same trouble for hours is one line of the log.
            if told.as_ref() != Some(&error) {
                (self.tell)(format!("{error}; trying again until it does"));
                told = Some(error);
            }
            attempt += 1;
            tokio::select! {
                biased;
                () = stopped(&mut stop) => return Ok(()),
                () = sleep(backoff(attempt)) => {}
            }
        };
        let urls = self.settings.servers.urls.join(", ");
        (self.tell)(format!("connected to {urls} as `{}`, key {}", self.settings.name, self.key.public_key()));
        self.serve(&link, stop).await;
        // What is still to be sent is sent, unless the server is gone.
        let _ = tokio::time::timeout(Duration::from_secs(2), link.client.flush()).await;
        Ok(())
    }

    /// Asks for as many orders as there is room for, again and again.
    async fn serve(self: &Arc<Self>, link: &Link, mut stop: watch::Receiver<bool>) {
        let context = context(link);
        let mut tasks = JoinSet::new();
        let heart = tokio::spawn(Arc::clone(self).beat(link.clone()));
        let mut connections = link.connections.clone();
        // Whether orders could be taken when that was last told.
        let mut told = None;
        // A server says nothing of a queue that is not there: until one has answered, it is asked often.
        let mut answered = false;
        'connection: loop {
            connections.mark_unchanged();
            // A new inbox for each connection: what was asked on the one before is not answered into this one.
            let subject = link.client.new_inbox();
            let Ok(mut inbox) = link.client.subscribe(subject.clone()).await else { break };
            loop {
                tokio::select! {
                    biased;
                    () = stopped(&mut stop) => break 'connection,
                    Ok(()) = connections.changed() => continue 'connection,
                    // The semaphore is never closed.
                    _ = self.slots.acquire() => {}
                }
                while tasks.try_join_next().is_some() {}
                let batch = self.slots.available_permits().max(1);
                let wait = if answered { PULL } else { FIRST_PULL };
                let next = format!("$JS.API.CONSUMER.MSG.NEXT.{ORDERS}.{}", self.settings.name);
                let request = format!("{{\"batch\":{batch},\"expires\":{}}}", wait.as_nanos());
                if link.client.publish_with_reply(next, subject.clone(), request.into()).await.is_err() {
                    break 'connection;
                }
                let end = Instant::now() + wait + Duration::from_secs(1);
                let mut received = 0;
                let pause = loop {
                    let message = tokio::select! {
                        biased;
                        () = stopped(&mut stop) => break 'connection,
                        Ok(()) = connections.changed() => continue 'connection,
                        message = timeout_at(end, inbox.next()) => message,
                    };
                    let message = match message {
                        Err(_) => {
                            answered = false;
                            break Duration::ZERO;
                        }
                        Ok(None) => break 'connection,
                        Ok(Some(message)) => message,
                    };
                    answered = true;
                    match message.status.map(|status| status.as_u16()) {
                        None => {
                            received += 1;
                            // Taken at once, so that the next request counts it.
                            let slot = Arc::clone(&self.slots).try_acquire_owned().ok();
                            tasks.spawn(Arc::clone(self).take(link.clone(), context.clone(), message, slot));
                            if received >= batch {
                                break Duration::ZERO;
                            }
                        }
                        Some(100) => {}
                        Some(404 | 408) => break Duration::ZERO,
                        // Newer servers do say that nobody is there.
                        Some(status) => {
                            answered = status != 503;
                            break QUEUE_PAUSE;
                        }
                    }
                };
                if told != Some(answered) {
                    told = Some(answered);
                    let text = if answered {
                        "taking orders"
                    } else {
                        "no controller has made a queue for this agent yet; waiting for it"
                    };
                    (self.tell)(text.to_owned());
                }
                if let Some(problem) = link.take_problem() {
                    (self.tell)(format!("the NATS server says: {problem}"));
                }
                tokio::select! {
                    biased;
                    () = stopped(&mut stop) => break 'connection,
                    Ok(()) = connections.changed() => continue 'connection,
                    () = sleep(pause) => {}
                }
            }
        }
        // Orders that do not end in time are delivered again, to the next start of this agent.
        let ending = async { while tasks.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(GRACE, ending).await;
        heart.abort();
    }

    async fn beat(self: Arc<Self>, link: Link) {
        let mut connections = link.connections.clone();
        let mut ticks = interval(HEARTBEAT);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                Ok(()) = connections.changed() => {}
            }
            let slots = self.settings.slots.clamp(1, MOST_SLOTS);
            let presence = Presence {
                protocol: PROTOCOL,
                version: env!("CARGO_PKG_VERSION").to_owned(),
                key: self.key.public_key(),
                slots,
                under_way: slots.saturating_sub(self.slots.available_permits()),
            };
            // A heartbeat that is lost is followed by another.
            let _ = link.client.publish(presence_subject(&self.settings.name), write(&presence).into()).await;
        }
    }

    /// One message: carried out (or refused), reply stored, acknowledged.
    async fn take(self: Arc<Self>, link: Link, context: Context, message: Message, slot: Option<OwnedSemaphorePermit>) {
        let message = jetstream::Message { message, context: context.clone() };
        let Some(acknowledge) = message.reply.clone() else { return };
        let Ok(sequence) = message.info().map(|info| info.stream_sequence) else { return };
        let mut work = std::pin::pin!(self.handle(&link, &context, &message, sequence, slot));
        let mut ticks = interval(ACK_WAIT / 3);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.reset();
        let done = loop {
            tokio::select! {
                biased;
                done = &mut work => break done,
                // When this is lost, the message is delivered again, which the book knows.
                _ = ticks.tick() => {
                    let _ = link.client.publish(acknowledge.clone(), "+WPI".into()).await;
                }
            }
        };
        if done {
            let _ = link.client.publish(acknowledge, "+ACK".into()).await;
        }
    }

    /// Whether the server has the reply.
    async fn handle(
        self: &Arc<Self>,
        link: &Link,
        context: &Context,
        message: &Message,
        sequence: u64,
        slot: Option<OwnedSemaphorePermit>,
    ) -> bool {
        let _slot = match slot {
            Some(slot) => Some(slot),
            // More came than was asked for. The semaphore is never closed.
            None => Arc::clone(&self.slots).acquire_owned().await.ok(),
        };
        let seal = seal_of(message.headers.as_ref());
        let digest = OrderDigest::of(&seal, &message.payload);
        let order = match self.open(message, &seal) {
            Ok(order) => order,
            Err((reason, detail)) => {
                let Some(id) = id_of(&message.payload) else {
                    self.tell_bounded(format!(
                        "a message that names no order was dropped ({}): {detail}",
                        reason.label()
                    ));
                    return true;
                };
                let reply = self.refusal(&id, reason, detail);
                self.tell_refusal(&reply, &seal);
                let reply = self.sealed(&digest, &reply);
                return self.publish(link, context, &reply, &format!("{id}.{sequence}")).await;
            }
        };
        let id = order.id.clone();
        let times = (order.issued_at, order.expires_at);
        let entered = self.with_book(move |book| {
            book.enter(&order.id, sequence, times, Timestamp::now()).map(|entered| (entered, order))
        });
        let refusal = match entered.await {
            Ok((Entered::New | Entered::Again, order)) => {
                let reply = self.carrier.carry_out(order, &Run::unattended()).await;
                self.tell_refusal(&reply, &seal);
                let sealed = self.sealed(&digest, &reply);
                let (kept, name) = (sealed.clone(), id.clone());
                if let Err(error) = self.with_book(move |book| book.keep(&name, &kept)).await {
                    (self.tell)(format!("the book of orders cannot be written: {error}"));
                }
                return self.publish(link, context, &sealed, &id).await;
            }
            Ok((Entered::Done(reply), _)) => return self.publish(link, context, &reply, &id).await,
            Ok((Entered::Replay(before), _)) => {
                // Should the server have lost the reply to the one before, here it is again.
                if let Some(reply) = before
                    && !self.publish(link, context, &reply, &id).await
                {
                    return false;
                }
                self.refusal(&id, Refusal::Replayed, "it came before, as another message".to_owned())
            }
            Ok((Entered::Forgotten, _)) => {
                let detail = "it was issued before this agent started, and may have been carried out then (with \
                              `--state DIR` the agent would know)";
                self.refusal(&id, Refusal::Expired, detail.to_owned())
            }
            Ok((Entered::Full, _)) => {
                self.refusal(&id, Refusal::Busy, "it keeps as many orders in mind as it can".to_owned())
            }
            Err(error) => {
                (self.tell)(format!("the book of orders cannot be written: {error}"));
                self.refusal(&id, Refusal::Busy, "it cannot write down that it takes the order".to_owned())
            }
        };
        self.tell_refusal(&refusal, &seal);
        let reply = self.sealed(&digest, &refusal);
        self.publish(link, context, &reply, &format!("{id}.{sequence}")).await
    }

    /// What the log says of an order that is not carried out.
    fn tell_refusal(&self, reply: &Reply, seal: &Seal) {
        let Outcome::Refused { reason, detail } = &reply.outcome else { return };
        let signer = Some(seal.key.as_str()).filter(|key| is_public_key(key)).unwrap_or("nobody that can be read");
        // The detail may repeat what is in the order.
        let detail: String = detail.chars().filter(|letter| !letter.is_control()).take(LONGEST_DETAIL).collect();
        let text = format!("order {} refused ({}), signed by {signer}: {detail}", reply.id, reason.label());
        self.tell_bounded(text);
    }

    fn tell_bounded(&self, text: String) {
        let lines = self.refusals.lock().unwrap_or_else(PoisonError::into_inner).lines(text, std::time::Instant::now());
        for line in lines {
            (self.tell)(line);
        }
    }

    /// The order in a message, when a controller of ours signed it for us.
    fn open(&self, message: &Message, seal: &Seal) -> Result<Order, (Refusal, String)> {
        let ours = format!("this agent speaks version {PROTOCOL}");
        if message.payload.len() > MAXIMUM_ORDER_BYTES {
            let error = MessageError::TooLong(message.payload.len(), MAXIMUM_ORDER_BYTES);
            return Err((Refusal::Malformed, error.to_string()));
        }
        // Before the signature: another version may sign otherwise.
        if let Some(theirs) = protocol_of(message.headers.as_ref()).filter(|theirs| *theirs != PROTOCOL) {
            return Err((Refusal::OtherVersion, format!("the order is of version {theirs}; {ours}")));
        }
        check_order(seal, &message.payload, &self.settings.controllers).map_err(|error| {
            let key = Some(seal.key.as_str()).filter(|key| is_public_key(key)).unwrap_or("none that can be read");
            (Refusal::BadSignature, format!("{error} (the order names the key {key})"))
        })?;
        let order: Order = read(&message.payload, MAXIMUM_ORDER_BYTES).map_err(|error| match error {
            MessageError::OtherVersion(theirs) => {
                (Refusal::OtherVersion, format!("the order is of version {theirs}; {ours}"))
            }
            error => (Refusal::Malformed, error.to_string()),
        })?;
        if !is_order_id(&order.id) {
            return Err((Refusal::Malformed, "its id is not one".to_owned()));
        }
        if order.agent != self.settings.name {
            return Err((Refusal::NotForThisAgent, format!("this is `{}`", self.settings.name)));
        }
        // It would have to be remembered for as long.
        let latest = Timestamp::now().checked_add(LONGEST_VALIDITY + CLOCKS_DIFFER).unwrap_or(Timestamp::MAX);
        if order.expires_at > latest {
            let detail = format!(
                "it is valid until {} by the controller's clock, further ahead than an order may be; it is {} by this \
                 agent's clock",
                order.expires_at,
                Timestamp::now()
            );
            return Err((Refusal::Expired, detail));
        }
        Ok(order)
    }

    fn refusal(&self, id: &str, reason: Refusal, detail: String) -> Reply {
        Reply {
            protocol: PROTOCOL,
            id: id.to_owned(),
            agent: self.settings.name.clone(),
            finished_at: Timestamp::now(),
            outcome: Outcome::Refused { reason, detail },
        }
    }

    fn sealed(&self, order: &OrderDigest, reply: &Reply) -> Sealed {
        let mut payload = write(reply);
        if payload.len() > MAXIMUM_REPLY_BYTES {
            let detail = format!("what was seen takes {} bytes, more than a reply may have", payload.len());
            payload = write(&self.refusal(&reply.id, Refusal::Malformed, detail));
        }
        // JSON is UTF-8.
        let payload = String::from_utf8(payload).unwrap_or_default();
        Sealed { seal: seal_reply(&self.key, order, payload.as_bytes()), payload }
    }

    /// Publishes a reply until the server has stored it, or nobody can wait for it any longer. Whether it has.
    async fn publish(&self, link: &Link, context: &Context, reply: &Sealed, id: &str) -> bool {
        let subject = observation_subject(&self.settings.name);
        let message_id = format!("{}.{id}", self.settings.name);
        let mut connections = link.connections.clone();
        let end = Instant::now() + LONGEST_VALIDITY;
        for attempt in 2.. {
            let headers = headers(&reply.seal, &message_id);
            let payload = reply.payload.clone().into();
            let stored = match context.publish_with_headers(subject.clone(), headers, payload).await {
                Ok(stored) => stored.await,
                Err(error) => Err(error),
            };
            let Err(error) = stored else { return true };
            if attempt == 4 {
                (self.tell)(format!("a reply is not stored: {error}; trying on"));
            }
            if Instant::now() > end {
                return false;
            }
            tokio::select! {
                () = sleep(backoff(attempt).max(Duration::from_millis(100))) => {}
                Ok(()) = connections.changed() => {}
            }
        }
        false
    }

    /// Works with the book: beside the threads of the runtime where it is on disk.
    async fn with_book<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&mut Book) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        if self.settings.state.is_none() {
            return work(&mut self.book.lock().unwrap_or_else(PoisonError::into_inner));
        }
        let agent = Arc::clone(self);
        tokio::task::spawn_blocking(move || {
            let mut book = agent.book.lock().map_err(|_| io::Error::other("it is in disorder"))?;
            work(&mut book)
        })
        .await
        .map_err(io::Error::other)?
    }
}

/// `JetStream`, with bounds that suit a connection that restores itself.
#[must_use]
pub fn context(link: &Link) -> Context {
    jetstream::context::ContextBuilder::new()
        .timeout(Duration::from_secs(5))
        .ack_timeout(Duration::from_secs(5))
        .build(link.client.clone())
}

/// Whether this can be the id of an order: 1 to 64 letters, digits and hyphens.
#[must_use]
pub fn is_order_id(id: &str) -> bool {
    (1..=64).contains(&id.len()) && id.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '-')
}

/// The id of the order or reply in a message that may be unreadable otherwise.
#[must_use]
pub fn id_of(payload: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Named {
        id: String,
    }
    let named: Named = serde_json::from_slice(payload).ok()?;
    is_order_id(&named.id).then_some(named.id)
}

/// Waits until it turns true; a sender that is gone will never stop us.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}

const LONGEST_HEADER: usize = 256;
const LONGEST_DETAIL: usize = 300;
const MOST_SLOTS: usize = 256;
const CLOCKS_DIFFER: Duration = Duration::from_mins(5);
const PULL: Duration = Duration::from_secs(20);
const FIRST_PULL: Duration = Duration::from_secs(2);
const QUEUE_PAUSE: Duration = Duration::from_secs(2);
const GRACE: Duration = Duration::from_secs(10);

//! The ledger of orders: each ends exactly once, as a result, a refusal or an expiry.
//!
//! In memory it is enough for one run. On disk it is a file that only grows, one line an event, each on disk before
//! anything follows from it, so that a controller that was killed takes up what is outstanding.

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError, mpsc},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use kubereach_agent::{Order, Outcome, Reply, bus::read_lines, seal::OrderDigest};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

/// How an order ended.
#[derive(Clone, Debug)]
pub enum Ending {
    /// The agent has replied: with an observation or a refusal.
    Replied(Box<Reply>),
    /// Nobody waits for it any longer; why, in words.
    Expired(String),
}

/// How many orders came to what. Every issued order is in exactly one of `observed`, `refused`, `expired` and
/// `outstanding`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Orders entered.
    pub issued: u64,
    /// Ended with an observation.
    pub observed: u64,
    /// Ended with a refusal.
    pub refused: u64,
    /// Ended without a reply.
    pub expired: u64,
    /// Not ended.
    pub outstanding: u64,
    /// Replies to orders that had expired: noted, never counted as results.
    pub late: u64,
    /// Replies to orders that had one.
    pub repeated: u64,
    /// Messages that were not believed, by what was wrong with them.
    pub rejected: BTreeMap<String, u64>,
}

/// An order that has been entered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Issued {
    pub(super) id: String,
    /// The agent that it is for, and the key that its replies must bear.
    pub(super) agent: String,
    pub(super) key: String,
    pub(super) expires_at: Timestamp,
    /// Place in the stream of observations that its reply comes after.
    pub(super) after: u64,
    pub(super) digest: String,
    /// The order as it travels; empty once it has ended.
    pub(super) payload: String,
}

/// What became of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It ends its order.
    First,
    /// Its order had expired.
    Late,
    /// Its order had a reply.
    Again,
}

/// The ledger.
pub struct Ledger {
    state: Mutex<State>,
    writer: Option<mpsc::Sender<Append>>,
}

#[derive(Default)]
struct State {
    orders: HashMap<String, Entry>,
    tally: Tally,
    /// Orders of a ledger in memory that have ended, in that order, and when.
    ended: VecDeque<(Instant, String)>,
}

struct Entry {
    issued: Issued,
    end: Option<End>,
    waiter: Option<oneshot::Sender<Ending>>,
    /// What was not believed of what claimed to answer it.
    rejected: BTreeMap<String, u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum End {
    Observed,
    Refused,
    Expired,
}

struct Append {
    line: Vec<u8>,
    done: Option<oneshot::Sender<io::Result<()>>>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Line {
    Issued(Issued),
    Ended { id: String, end: End },
    Late { id: String },
}

impl Ledger {
    /// A ledger for this process alone.
    #[must_use]
    pub fn in_memory() -> Self {
        Self { state: Mutex::default(), writer: None }
    }

    /// The ledger in this file, which is made when it is not there.
    ///
    /// # Errors
    /// When it cannot be read or written, or another controller has it open.
    pub fn open(file: &Path) -> io::Result<Self> {
        let opened = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(file)?;
        opened.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => io::Error::other("another controller has it open"),
            TryLockError::Error(error) => error,
        })?;
        let mut state = State::default();
        let whole = state.read(&opened)?;
        // What a crash cut short was never acted upon, and must not run into the next line.
        opened.set_len(whole)?;
        opened.sync_all()?;
        if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            File::open(folder)?.sync_all()?;
        }
        let (writer, appends) = mpsc::channel();
        std::thread::Builder::new().name("ledger".to_owned()).spawn(move || write_lines(&opened, &appends))?;
        Ok(Self { state: Mutex::new(state), writer: Some(writer) })
    }

    /// How many orders came to what.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.lock().tally.clone()
    }

    /// Whether an order of this id was ever entered.
    #[must_use]
    pub fn knows(&self, id: &str) -> bool {
        self.lock().orders.contains_key(id)
    }

    /// Enters an order; once this returns, it is on disk. The receiver hears how it ends.
    pub(super) async fn issue(&self, issued: Issued) -> io::Result<oneshot::Receiver<Ending>> {
        let (waiter, ending) = oneshot::channel();
        let line = Line::Issued(issued.clone());
        {
            let mut state = self.lock();
            if self.writer.is_none() {
                state.forget(Instant::now());
            }
            if state.orders.contains_key(&issued.id) {
                return Err(io::Error::other("an order of this id was issued before"));
            }
            state.tally.issued += 1;
            state.tally.outstanding += 1;
            let entry = Entry { issued, end: None, waiter: Some(waiter), rejected: BTreeMap::new() };
            state.orders.insert(entry.issued.id.clone(), entry);
        }
        self.append(&line).await?;
        Ok(ending)
    }

    /// Takes up an order that an earlier process left: the receiver hears how it ends.
    pub(super) fn take_up(&self, id: &str) -> Option<oneshot::Receiver<Ending>> {
        let mut state = self.lock();
        let entry = state.orders.get_mut(id).filter(|entry| entry.end.is_none())?;
        let (waiter, ending) = oneshot::channel();
        entry.waiter = Some(waiter);
        Some(ending)
    }

    /// The orders that have not ended.
    pub(super) fn outstanding(&self) -> Vec<Issued> {
        let state = self.lock();
        state.orders.values().filter(|entry| entry.end.is_none()).map(|entry| entry.issued.clone()).collect()
    }

    /// What is known of the order of this id: never its payload.
    pub(super) fn claim(&self, id: &str) -> Option<(String, String, OrderDigest)> {
        let state = self.lock();
        let issued = &state.orders.get(id)?.issued;
        Some((issued.agent.clone(), issued.key.clone(), OrderDigest(issued.digest.clone())))
    }

    /// Takes a reply that is believed. It ends its order when it is the first and in time.
    pub(super) async fn replied(&self, id: &str, reply: Reply) -> Option<Taken> {
        let end = match reply.outcome {
            Outcome::Observed { .. } => End::Observed,
            Outcome::Refused { .. } => End::Refused,
        };
        let (line, waiter, taken) = {
            let mut state = self.lock();
            let State { orders, tally, ended } = &mut *state;
            let entry = orders.get_mut(id)?;
            match entry.end {
                Some(End::Expired) => {
                    tally.late += 1;
                    (Some(Line::Late { id: id.to_owned() }), None, Taken::Late)
                }
                Some(_) => {
                    tally.repeated += 1;
                    (None, None, Taken::Again)
                }
                None => {
                    let waiter = entry.finish(end, tally);
                    if self.writer.is_none() {
                        ended.push_back((Instant::now(), id.to_owned()));
                    }
                    (Some(Line::Ended { id: id.to_owned(), end }), waiter, Taken::First)
                }
            }
        };
        if let Some(line) = line {
            // An end that is not on disk is found again in the stream after a crash.
            let _ = self.append(&line).await;
        }
        if let Some(waiter) = waiter {
            // Nobody waiting is no reason to count it otherwise.
            let _ = waiter.send(Ending::Replied(Box::new(reply)));
        }
        Some(taken)
    }

    /// Ends an order without a reply, unless it has ended. What was rejected in its name, by what was wrong with it.
    pub(super) fn expire(&self, id: &str) -> BTreeMap<String, u64> {
        let mut state = self.lock();
        let State { orders, tally, ended } = &mut *state;
        let Some(entry) = orders.get_mut(id) else { return BTreeMap::new() };
        let rejected = entry.rejected.clone();
        if entry.end.is_none() {
            entry.finish(End::Expired, tally);
            if self.writer.is_none() {
                ended.push_back((Instant::now(), id.to_owned()));
            }
            drop(state);
            if let Some(writer) = &self.writer
                && let Ok(line) = line_of(&Line::Ended { id: id.to_owned(), end: End::Expired })
            {
                // Not waited for: when it is lost, the order expires again after the restart.
                let _ = writer.send(Append { line, done: None });
            }
        }
        rejected
    }

    /// Counts a message that is not believed, with the order that it claims to answer.
    pub(super) fn reject(&self, id: Option<&str>, reason: &str) {
        let mut state = self.lock();
        *state.tally.rejected.entry(reason.to_owned()).or_default() += 1;
        if let Some(entry) = id.and_then(|id| state.orders.get_mut(id)) {
            *entry.rejected.entry(reason.to_owned()).or_default() += 1;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn append(&self, line: &Line) -> io::Result<()> {
        let Some(writer) = &self.writer else { return Ok(()) };
        let (done, written) = oneshot::channel();
        let gone = || io::Error::other("nobody writes it any longer");
        writer.send(Append { line: line_of(line)?, done: Some(done) }).map_err(|_| gone())?;
        written.await.map_err(|_| gone())?
    }
}

impl Entry {
    fn finish(&mut self, end: End, tally: &mut Tally) -> Option<oneshot::Sender<Ending>> {
        self.end = Some(end);
        // Only its digest is needed to know a late reply.
        self.issued.payload = String::new();
        tally.outstanding = tally.outstanding.saturating_sub(1);
        match end {
            End::Observed => tally.observed += 1,
            End::Refused => tally.refused += 1,
            End::Expired => tally.expired += 1,
        }
        self.waiter.take()
    }
}

impl State {
    /// Forgets what ended long ago, so that a run of months holds no more than one of minutes. A reply that comes later
    /// still is not even noted.
    fn forget(&mut self, now: Instant) {
        while let Some((_, id)) = self.ended.pop_front_if(|(at, _)| now.duration_since(*at) > REMEMBERED) {
            self.orders.remove(&id);
        }
    }

    /// Reads every whole line and gives how many bytes they have.
    fn read(&mut self, file: &File) -> io::Result<u64> {
        read_lines(file, LONGEST_LINE, |line| self.apply(line))
    }

    fn apply(&mut self, line: Line) {
        let Self { orders, tally, .. } = self;
        match line {
            Line::Issued(issued) => {
                tally.issued += 1;
                tally.outstanding += 1;
                let entry = Entry { issued, end: None, waiter: None, rejected: BTreeMap::new() };
                orders.insert(entry.issued.id.clone(), entry);
            }
            Line::Ended { id, end } => {
                if let Some(entry) = orders.get_mut(&id).filter(|entry| entry.end.is_none()) {
                    entry.finish(end, tally);
                }
            }
            Line::Late { .. } => tally.late += 1,
        }
    }
}

/// Whether an order may be issued in this text: an order of ours, at most so long.
pub(super) fn issued(order: &Order, payload: String, digest: OrderDigest, key: &str, after: u64) -> Issued {
    Issued {
        id: order.id.clone(),
        agent: order.agent.clone(),
        key: key.to_owned(),
        expires_at: order.expires_at,
        after,
        digest: digest.0,
        payload,
    }
}

fn line_of(line: &Line) -> io::Result<Vec<u8>> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    Ok(text)
}

/// Writes what comes, as much at a time as has come meanwhile, and says so once it is on disk.
fn write_lines(mut file: &File, appends: &mpsc::Receiver<Append>) {
    let mut broken = false;
    while let Ok(first) = appends.recv() {
        let mut batch = vec![first];
        while batch.len() < MOST_AT_ONCE
            && let Ok(next) = appends.recv_timeout(Duration::ZERO)
        {
            batch.push(next);
        }
        let text: Vec<u8> = batch.iter().flat_map(|append| append.line.iter().copied()).collect();
        let written = if broken {
            Err(io::Error::other("it could not be written before"))
        } else {
            file.write_all(&text).and_then(|()| file.sync_data())
        };
        broken |= written.is_err();
        for append in batch {
            if let Some(done) = append.done {
                let result = written.as_ref().copied().map_err(|error| io::Error::new(error.kind(), error.to_string()));
                // Who no longer waits need not know.
                let _ = done.send(result);
            }
        }
    }
}

/// Removes the orders that ended long ago from a ledger that nobody has open.
///
/// # Errors
/// When it cannot be read or written, or a controller has it open.
pub fn compact(file: &Path, before: Timestamp) -> io::Result<()> {
    let opened = File::open(file)?;
    opened.try_lock().map_err(io::Error::from)?;
    let mut state = State::default();
    state.read(&opened)?;
    let new = file.with_extension("new");
    let mut written = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    for entry in state.orders.into_values() {
        if entry.end.is_some() && entry.issued.expires_at < before {
            continue;
        }
        let (id, end) = (entry.issued.id.clone(), entry.end);
        written.write_all(&line_of(&Line::Issued(entry.issued))?)?;
        if let Some(end) = end {
            written.write_all(&line_of(&Line::Ended { id, end })?)?;
        }
    }
    written.sync_all()?;
    fs::rename(&new, file)
}

const LONGEST_LINE: u64 = 2 * 1024 * 1024;
const MOST_AT_ONCE: usize = 1024;
/// How long a ledger in memory knows an order that has ended, for replies that come late.
const REMEMBERED: Duration = Duration::from_mins(2);

//! Probing from another host by the OpenSSH of this one.
//!
//! One child process of the system's `ssh` is kept for each host: every order goes down its one channel and every
//! observation comes back up, so that all but the first cost one round trip. Compared with a control socket and a
//! session for each order, that is a round trip less each and leaves no socket behind; and when this process dies, in
//! whichever way, the channel ends and the agent with it.

mod binary;
mod config;
mod connection;
mod remote;
mod words;

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use kubereach_agent::Order;
use kubereach_probes::{Observation, Options, Run, Target};
use tokio::sync::{OnceCell, Semaphore};

use self::connection::Connection;
use super::{allow, errand, unavailable};
use crate::scenario::SshHost;

/// The hosts of a run, each with its connection.
#[derive(Default)]
pub(super) struct Hosts(Mutex<HashMap<SshHost, Arc<Host>>>);

impl Hosts {
    /// Tells what will be asked of the host's agent, before it is started.
    pub(super) fn announce(&self, host: &SshHost, target: &Target, options: &Options) {
        let host = self.host(host);
        host.allowances.lock().unwrap_or_else(PoisonError::into_inner).extend(allow::allowances(target, options));
    }

    /// Probes from the host. When `run` is stopped it returns at once, and [`Hosts::close`] ends what is under way there.
    pub(super) async fn observe(
        &self,
        host: &SshHost,
        target: &Arc<Target>,
        options: &Arc<Options>,
        run: &Run,
    ) -> Observation {
        let host = self.host(host);
        tokio::select! {
            biased;
            () = run.stopped() => Observation { cut_short: true, ..Observation::default() },
            observation = host.observe(target, options) => observation,
        }
    }

    /// Ends every connection. Says what could not be seen removed.
    pub(super) async fn close(&self) -> Vec<String> {
        let hosts: Vec<Arc<Host>> =
            self.0.lock().unwrap_or_else(PoisonError::into_inner).drain().map(|(_, host)| host).collect();
        let mut closing = tokio::task::JoinSet::new();
        for host in hosts {
            closing.spawn(async move { host.close().await });
        }
        closing.join_all().await.into_iter().flatten().collect()
    }

    fn host(&self, place: &SshHost) -> Arc<Host> {
        let mut hosts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(hosts.entry(place.clone()).or_insert_with(|| Arc::new(Host::new(place.clone()))))
    }
}

/// One host and the connection to it.
struct Host {
    place: SshHost,
    allowances: Mutex<BTreeSet<String>>,
    attempt: Mutex<Option<Arc<Attempt>>>,
    /// The folder on the host that was made for an agent and not yet seen removed.
    folder: Arc<Mutex<Option<String>>>,
    at_once: Semaphore,
}

/// One try to connect, shared by all who wait for it.
#[derive(Default)]
struct Attempt(OnceCell<Result<Connection, Failed>>);

struct Failed {
    at: Instant,
    reason: String,
}

impl Attempt {
    /// Whether those who come now share it.
    fn holds(&self) -> bool {
        match self.0.get() {
            None => true,
            // Those who waited while it was silent do not wait for the same silence once more.
            Some(Ok(connection)) => connection.is_open() || connection.was_given_up_within(REMEMBERED),
            Some(Err(failed)) => failed.at.elapsed() < REMEMBERED,
        }
    }
}

impl Host {
    fn new(place: SshHost) -> Self {
        let at_once = Semaphore::new(ORDERS_AT_ONCE);
        Self { place, allowances: Mutex::default(), attempt: Mutex::default(), folder: Arc::default(), at_once }
    }

    async fn observe(&self, target: &Target, options: &Options) -> Observation {
        let name = &self.place.host;
        // The semaphore is never closed.
        let _permit = self.at_once.acquire().await.ok();
        let attempt = {
            let mut attempt = self.attempt.lock().unwrap_or_else(PoisonError::into_inner);
            let fresh = attempt.take().filter(|attempt| attempt.holds()).unwrap_or_default();
            Arc::clone(attempt.insert(fresh))
        };
        let connection = attempt.0.get_or_init(|| self.connect(target, options)).await;
        let connection = match connection {
            Ok(connection) => connection,
            Err(failed) => return unavailable(failed.reason.clone()),
        };
        let longest = errand::longest_probe(options);
        let order: Order = errand::order("", target, options, longest + CLOCKS_APART);
        match connection.ask(name, &order, longest + WAY).await {
            Ok(reply) => errand::observed(reply, &order, name),
            Err(reason) => unavailable(reason),
        }
    }

    async fn connect(&self, target: &Target, options: &Options) -> Result<Connection, Failed> {
        let allowances = {
            let mut allowances = self.allowances.lock().unwrap_or_else(PoisonError::into_inner);
            allowances.extend(allow::allowances(target, options));
            allowances.clone()
        };
        Connection::open(&self.place, &allowances, Arc::clone(&self.folder))
            .await
            .map_err(|reason| Failed { at: Instant::now(), reason })
    }

    async fn close(&self) -> Option<String> {
        let attempt = self.attempt.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Ok(connection)) = attempt.as_ref().and_then(|attempt| attempt.0.get()) {
            connection.close().await;
        }
        let folder = self.folder.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        Some(format!(
            "{} was not seen to remove {folder}: its own shell does so when the connection ends",
            self.place.host
        ))
    }
}

/// Orders under way on one connection; the others wait here, where they do not expire.
const ORDERS_AT_ONCE: usize = 16;
/// Beyond what a probe may take, for the way there and back.
const WAY: Duration = Duration::from_secs(10);
/// The host's clock may be ahead of ours by so much. Nobody but us can send this order again: it is no one's to replay.
const CLOCKS_APART: Duration = Duration::from_mins(2);
/// Cells that begin shortly after a failure share it instead of waiting for the next one.
const REMEMBERED: Duration = Duration::from_secs(5);

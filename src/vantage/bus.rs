//! Probing from long-lived agents, through NATS.

mod dispatcher;
mod ledger;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use kubereach_agent::bus::Servers;
use kubereach_probes::{Observation, Options, Run, Target};
use tokio::sync::Mutex;

pub use self::{
    dispatcher::Dispatcher,
    ledger::{Ending, Ledger, Tally, compact},
};
use super::{errand, unavailable};
use crate::scenario::{AgentName, NatsServers};

/// What was opened, or why it could not be and when that was found out.
type Opened = Result<Arc<Dispatcher>, (String, Instant)>;

/// What is open for the run.
pub(super) struct Controller {
    servers: Option<NatsServers>,
    /// Opened by the first order, or why it could not be and when that was found out.
    dispatcher: Arc<Mutex<Option<Opened>>>,
}

impl Controller {
    pub(super) fn new(servers: Option<&NatsServers>) -> Self {
        Self { servers: servers.cloned(), dispatcher: Arc::new(Mutex::const_new(None)) }
    }

    pub(super) async fn observe(
        &self,
        agent: &AgentName,
        target: &Arc<Target>,
        options: &Arc<Options>,
        run: &Run,
    ) -> Observation {
        let Some(servers) = &self.servers else {
            return unavailable(format!(
                "the scenario has no `nats`, so the agent `{}` cannot be given orders: write `nats: {{ servers: \
                 [tls://host:4222], signingKey: FILE }}`",
                agent.name
            ));
        };
        let Some(key) = &agent.key else {
            return unavailable(format!(
                "the agent `{0}` has no `key` in the scenario, so nothing that it says could be believed: write `agent: \
                 {{ name: {0}, key: U… }}` with the key that it prints when it connects",
                agent.name
            ));
        };
        let place = format!("`{}`", agent.name);
        let mut issued = None;
        let began = Instant::now();
        let carried = async {
            let dispatcher = self.dispatcher(servers).await?;
            // Others' orders may be before this one in the agent's hands.
            let validity = errand::longest_probe(options).saturating_mul(2);
            let make = || issued.insert(errand::order(&agent.name, target, options, validity)).clone();
            dispatcher.dispatch(&agent.name, key, make).await
        };
        let ended = tokio::select! {
            biased;
            ended = carried => ended,
            () = run.stopped() => return self.unanswered(agent, key, began.elapsed()),
        };
        match (ended, issued) {
            (Ok(Ending::Replied(reply)), Some(order)) => errand::observed(Ok(*reply), &order, &place),
            (Ok(Ending::Expired(reason)) | Err(reason), _) => unavailable(reason),
            (Ok(Ending::Replied(_)), None) => unavailable(format!("the agent {place} answered to nothing")),
        }
    }

    pub(super) async fn close(&self) -> Vec<String> {
        match self.dispatcher.lock().await.take() {
            Some(Ok(dispatcher)) => dispatcher.close().await,
            _ => Vec::new(),
        }
    }

    /// What comes of an order for which nobody waits any longer: the trouble of the vantage where there is some, and
    /// otherwise that there was not enough time.
    fn unanswered(&self, agent: &AgentName, key: &str, waited: Duration) -> Observation {
        let trouble = match self.dispatcher.try_lock().as_deref() {
            Ok(Some(Ok(dispatcher))) => dispatcher.trouble(&agent.name, key),
            Ok(Some(Err((reason, _)))) => Some(reason.clone()),
            Ok(None) => None,
            // It is being opened.
            Err(_) => Some(format!("no NATS server has answered within {:.1} s", waited.as_secs_f64())),
        };
        trouble.map_or_else(|| Observation { cut_short: true, ..Observation::default() }, unavailable)
    }

    /// The connection, opened where it is not. Whoever stops waiting for it leaves it to those that come after.
    async fn dispatcher(&self, servers: &NatsServers) -> Result<Arc<Dispatcher>, String> {
        if let Ok(open) = self.dispatcher.try_lock()
            && let Some(Ok(dispatcher)) = &*open
        {
            return Ok(Arc::clone(dispatcher));
        }
        let (dispatcher, servers) = (Arc::clone(&self.dispatcher), servers.clone());
        let opening = tokio::spawn(async move { open(&dispatcher, &servers).await });
        opening.await.unwrap_or_else(|_| Err("the connection to the NATS server was given up".to_owned()))
    }
}

async fn open(dispatcher: &Mutex<Option<Opened>>, servers: &NatsServers) -> Result<Arc<Dispatcher>, String> {
    let mut open = dispatcher.lock().await;
    match &*open {
        Some(Ok(dispatcher)) => return Ok(Arc::clone(dispatcher)),
        // A hundred cells need not try in turn what failed for the first of them.
        Some(Err((reason, at))) if at.elapsed() < BETWEEN_TRIES => return Err(reason.clone()),
        _ => {}
    }
    let reached = Servers {
        urls: servers.servers.clone(),
        ca: servers.ca.clone(),
        credentials: servers.credentials.clone(),
        user_key: servers.user_key.clone(),
        certificate: servers.certificate.clone(),
    };
    let opened = Dispatcher::connect(&reached, &servers.signing_key, Ledger::in_memory()).await;
    *open = Some(opened.clone().map_err(|reason| (reason, Instant::now())));
    opened
}

const BETWEEN_TRIES: Duration = Duration::from_secs(10);

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
    dispatcher: Mutex<Option<Opened>>,
}

impl Controller {
    pub(super) fn new(servers: Option<&NatsServers>) -> Self {
        Self { servers: servers.cloned(), dispatcher: Mutex::const_new(None) }
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
            () = run.stopped() => return Observation { cut_short: true, ..Observation::default() },
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

    async fn dispatcher(&self, servers: &NatsServers) -> Result<Arc<Dispatcher>, String> {
        let mut open = self.dispatcher.lock().await;
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
}

const BETWEEN_TRIES: Duration = Duration::from_secs(10);

//! Probing from long-lived agents, through NATS.

use std::sync::Arc;

use kubereach_probes::{Observation, Options, Run, Target};

use super::unavailable;
use crate::scenario::{AgentName, NatsServers};

/// What is open for the run.
pub(super) struct Controller {
    servers: Option<NatsServers>,
}

impl Controller {
    pub(super) fn new(servers: Option<&NatsServers>) -> Self {
        Self { servers: servers.cloned() }
    }

    pub(super) async fn observe(
        &self,
        agent: &AgentName,
        target: &Arc<Target>,
        options: &Arc<Options>,
        run: &Run,
    ) -> Observation {
        let _ = (&self.servers, agent, target, options, run);
        unavailable("not there yet")
    }

    pub(super) async fn close(&self) -> Vec<String> {
        Vec::new()
    }
}

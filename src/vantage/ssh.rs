//! Probing from another host by the OpenSSH of this one.

use std::sync::Arc;

use kubereach_probes::{Observation, Options, Run, Target};

use super::unavailable;
use crate::scenario::SshHost;

/// What is open for the run.
#[derive(Default)]
pub(super) struct Hosts {}

impl Hosts {
    pub(super) async fn observe(
        &self,
        host: &SshHost,
        target: &Arc<Target>,
        options: &Arc<Options>,
        run: &Run,
    ) -> Observation {
        let _ = (host, target, options, run);
        unavailable("not there yet")
    }

    pub(super) async fn close(&self) -> Vec<String> {
        Vec::new()
    }
}

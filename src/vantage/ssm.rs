//! Probing from an EC2 instance by AWS Systems Manager.

use std::sync::Arc;

use kubereach_probes::{Observation, Options, Run, Target};

use super::unavailable;
use crate::scenario::SsmInstance;

/// What is open for the run.
#[derive(Default)]
pub(super) struct Instances {}

impl Instances {
    pub(super) async fn observe(
        &self,
        instance: &SsmInstance,
        target: &Arc<Target>,
        options: &Arc<Options>,
        run: &Run,
    ) -> Observation {
        let _ = (instance, target, options, run);
        unavailable("not there yet")
    }

    pub(super) async fn close(&self) -> Vec<String> {
        Vec::new()
    }
}

//! Probing from a pod of another cluster.

use std::sync::Arc;

use kubereach_probes::{Observation, Options, Run, Target};

use super::unavailable;
use crate::scenario::PodPlace;

/// What is open for the run.
#[derive(Default)]
pub(super) struct Pods {}

impl Pods {
    pub(super) async fn observe(
        &self,
        place: &PodPlace,
        target: &Arc<Target>,
        options: &Arc<Options>,
        run: &Run,
    ) -> Observation {
        let _ = (place, target, options, run);
        unavailable("not there yet")
    }

    pub(super) async fn close(&self) -> Vec<String> {
        Vec::new()
    }
}

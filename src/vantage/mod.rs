//! Where probes run. Each kind of vantage takes the same order and returns the same observation.

mod namespace;

use std::sync::Arc;

use kubereach_probes::{Observation, Options, Run, Target, probe};

use crate::scenario::{Vantage, VantageKind};

/// Probes the target from the vantage, or says in [`Observation::vantage_error`] why that cannot be.
pub async fn observe(vantage: &Vantage, target: &Arc<Target>, options: &Arc<Options>, run: &Run) -> Observation {
    match &vantage.kind {
        VantageKind::Local { netns: Some(netns), .. } => namespace::probe_inside(netns, target, options, run).await,
        VantageKind::Local { .. } | VantageKind::Proxy(_) => probe(target, options, run).await,
        VantageKind::Model { .. } => unavailable("a model vantage is never probed, only predicted"),
        kind @ (VantageKind::Ssh { .. } | VantageKind::Ssm { .. } | VantageKind::Agent { .. }) => {
            unavailable(format!("this version of kubereach does not probe from `{}` vantages", kind.label()))
        }
    }
}

fn unavailable(reason: impl Into<String>) -> Observation {
    Observation { vantage_error: Some(reason.into()), ..Observation::default() }
}

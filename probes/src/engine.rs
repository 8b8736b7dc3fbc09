//! Name → addresses → attempts: the probers in order, every address on its own.

use crate::{Observation, Options, Target};

/// Probes the target once.
pub async fn probe(_target: &Target, _options: &Options) -> Observation {
    Observation::default()
}

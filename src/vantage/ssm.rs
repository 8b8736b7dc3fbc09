//! Probing from an EC2 instance, or any other managed node, by AWS Systems Manager's Run Command.
//!
//! One order is one command: a shell script that finds an agent, lets it carry out the order that stands in the script,
//! and prints its reply, packed to fit what an answer of the service may hold.

mod script;
mod words;

#[cfg(feature = "aws")]
mod run;

#[cfg(feature = "aws")]
pub(super) use run::Instances;

#[cfg(not(feature = "aws"))]
pub(super) use without::Instances;

/// What stands in for it in a build without the SDK.
#[cfg(not(feature = "aws"))]
mod without {
    use std::sync::Arc;

    use kubereach_probes::{Observation, Options, Run, Target};

    use crate::{scenario::SsmInstance, vantage::unavailable};

    #[derive(Default)]
    pub(crate) struct Instances {}

    impl Instances {
        pub(crate) async fn observe(
            &self,
            _instance: &SsmInstance,
            _target: &Arc<Target>,
            _options: &Arc<Options>,
            _run: &Run,
        ) -> Observation {
            unavailable("this build of kubereach does not speak to AWS (its feature `aws` is off)")
        }

        pub(crate) fn close(&self) -> Vec<String> {
            Vec::new()
        }
    }
}

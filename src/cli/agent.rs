//! `kubereach agent`: what `kubereach-agent` does, in the binary that everybody has.

use std::process::ExitCode;

use kubereach_agent::AgentArguments;

use crate::input::{InputError, InputErrors};

pub(super) fn main(arguments: &AgentArguments) -> Result<ExitCode, InputErrors> {
    kubereach_agent::run(arguments).map_err(|reason| InputError::new(reason).into())
}

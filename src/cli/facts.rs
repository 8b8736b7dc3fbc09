//! `kubereach facts`: the provider's configuration as a folder of plain JSON.

mod lint;
mod pull;
mod show;

use std::process::ExitCode;

use super::arguments::{FactsArguments, FactsCommand, PullProvider};
use crate::input::InputErrors;

pub(super) fn main(arguments: &FactsArguments) -> Result<ExitCode, InputErrors> {
    match &arguments.command {
        FactsCommand::Pull(pull) => match &pull.provider {
            PullProvider::Eks(eks) => pull::eks(eks),
            PullProvider::Aks(aks) => pull::aks(aks),
        },
        FactsCommand::Show(show) => show::main(show),
        FactsCommand::Lint(lint) => lint::main(lint),
    }
}

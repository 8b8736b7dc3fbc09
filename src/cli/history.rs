//! `kubereach history CONFIG`: what a watch has seen.

use std::process::ExitCode;

use super::arguments::HistoryArguments;
use crate::input::InputErrors;

pub(super) fn main(arguments: &HistoryArguments) -> Result<ExitCode, InputErrors> {
    todo!("{arguments:?}")
}

//! `kubereach watch CONFIG`: scheduled checks, until a signal ends them.

use std::process::ExitCode;

use super::arguments::WatchArguments;
use crate::input::InputErrors;

pub(super) fn main(arguments: &WatchArguments) -> Result<ExitCode, InputErrors> {
    todo!("{arguments:?}")
}

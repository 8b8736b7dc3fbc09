//! Arguments → command → exit status.

use std::process::ExitCode;

fn main() -> ExitCode {
    kubereach::cli::main(std::env::args_os())
}

//! `watch` among real servers: databases, Prometheus, Alertmanager, a browser; and what is done to it.

#![expect(clippy::unwrap_used, reason = "a test that cannot set up its world has failed")]
#![expect(clippy::print_stdout, reason = "figures are printed")]

mod alerts;
mod faults;
mod metrics;
mod page;
mod postgres;
mod process;
mod simulated;
mod starting;
mod store;
mod tools;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    if let Some(status) = store::played() {
        return status;
    }
    let trials = [
        store::trials(),
        page::trials(),
        alerts::trials(),
        metrics::trials(),
        faults::trials(),
        simulated::trials(),
        starting::trials(),
    ];
    let conclusion = libtest_mimic::run(&Arguments::from_args(), trials.into_iter().flatten().collect());
    postgres::stop();
    conclusion.exit_code()
}

/// A panic is a failure with its message printed.
fn trial(name: &str, case: impl FnOnce() + Send + 'static) -> Trial {
    Trial::test(name, move || {
        case();
        Ok(())
    })
}

//! Agents over NATS, against the real server with the configuration of `docs/agents-over-nats.md`.
//!
//! `KUBEREACH_FIGURE=200x500 cargo test --test bus figure -- --nocapture` measures the whole figure of
//! `docs/performance.md`; without the variable a short form of it runs.

#![expect(clippy::unwrap_used, reason = "a test that cannot set up its world has failed")]
#![expect(clippy::print_stdout, reason = "figures are printed")]

mod figure;
mod kill;
mod security;
mod watch;
mod world;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    if let Ok(role) = std::env::var(kill::ROLE) {
        kill::play(&role);
        return ExitCode::SUCCESS;
    }
    let arguments = Arguments::from_args();
    let mut trials: Vec<Trial> = security::CASES.iter().map(|(name, case)| trial(name, *case)).collect();
    trials.push(trial("every_order_ends_though_each_part_is_killed", kill::each_part_in_turn));
    trials.push(trial("a_watch_probes_from_an_agent", watch::a_watch_probes_from_an_agent));
    trials.push(trial("figure", figure::measure));
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// A panic is a failure with its message printed.
fn trial(name: &str, case: fn()) -> Trial {
    Trial::test(name, move || {
        case();
        Ok(())
    })
}

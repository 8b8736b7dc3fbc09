//! Agents over NATS, against the real server with the configuration of `docs/agents-over-nats.md`.
//!
//! `KUBEREACH_FIGURE=200x500 cargo test --test bus figure -- --nocapture` measures the whole figure of
//! `docs/performance.md`; without the variable a short form of it runs.

#![expect(clippy::unwrap_used, reason = "a test that cannot set up its world has failed")]
#![expect(clippy::print_stdout, reason = "figures are printed")]

mod figure;
mod kill;
mod security;
mod world;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

fn main() -> ExitCode {
    if let Ok(role) = std::env::var(kill::ROLE) {
        kill::play(&role);
        return ExitCode::SUCCESS;
    }
    let arguments = Arguments::from_args();
    let mut trials: Vec<Trial> =
        security::CASES.iter().map(|(name, case)| Trial::test(*name, move || run(*case))).collect();
    trials.push(Trial::test("every_order_ends_though_each_part_is_killed", || run(kill::each_part_in_turn)));
    trials.push(Trial::test("figure", || run(figure::measure)));
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// A panic is a failure with its message printed.
fn run(case: fn()) -> Result<(), Failed> {
    case();
    Ok(())
}

//! `kubereach-agent`: the agent by itself, one static file.

use std::{io::Write as _, process::ExitCode};

use clap::Parser;
use kubereach_agent::AgentArguments;

/// A vantage point that takes work: it probes what its own allow list permits, and nothing else.
#[derive(Debug, Parser)]
#[command(name = "kubereach-agent", version, max_term_width = 100)]
struct Program {
    #[command(flatten)]
    arguments: AgentArguments,
}

fn main() -> ExitCode {
    kubereach_agent::run(&Program::parse().arguments).unwrap_or_else(|reason| {
        // Nowhere left to report that stderr is gone.
        let _ = writeln!(std::io::stderr(), "kubereach-agent: {reason}");
        ExitCode::from(2)
    })
}

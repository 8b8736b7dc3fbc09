//! The command line: one file a command, wiring only.

mod agent;
pub mod arguments;
pub mod completions;
pub mod demo;
pub mod doctor;
pub mod explain;
pub mod facts;
mod history;
pub mod man;
mod predict;
pub mod printer;
pub mod progress;
mod run;
pub mod schema;
mod trace;
pub mod verify;
mod watch;

use std::{ffi::OsString, process::ExitCode};

use arguments::{Command, ExplainFormat};

use crate::{
    causes::symptoms,
    input::{InputError, InputErrors},
    report::{Report, Verdict},
    scenario,
};

/// Runs a whole command line, the program's name first, and gives its exit status.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match arguments::parse(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Nowhere left to report that stdout or stderr is gone.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(EXIT_INPUT));
        }
    };
    let environment = |name: &str| crate::input::variable(name);
    let result = match &arguments.command {
        Command::Doctor(arguments) => doctor::main(arguments, &environment),
        Command::Verify(arguments) => verify::main(arguments),
        Command::Predict(arguments) => predict::main(arguments),
        Command::Trace(arguments) => trace::main(arguments),
        Command::Facts(arguments) => facts::main(arguments),
        Command::Demo(arguments) => demo::main(arguments),
        Command::Watch(arguments) => watch::main(arguments),
        Command::History(arguments) => history::main(arguments),
        Command::Agent(arguments) => agent::main(arguments),
        Command::Explain(arguments) => explain(arguments),
        Command::Schema(arguments) => {
            print(&schema::document(arguments.of, scenario::schema, crate::watch::config::schema))
        }
        Command::Completions(arguments) => print(&completions::script(arguments.shell)),
        Command::Man(arguments) => man::write(&arguments.directory).map_err(InputErrors::from).and_then(|pages| {
            let names: Vec<String> = pages.iter().map(|page| page.display().to_string()).collect();
            print(&(names.join("\n") + "\n"))
        }),
    };
    result.unwrap_or_else(|errors| {
        printer::complain(&format!("{errors}\n"));
        ExitCode::from(EXIT_INPUT)
    })
}

fn explain(arguments: &arguments::ExplainArguments) -> Result<ExitCode, InputErrors> {
    let query = arguments.text();
    let paper = printer::paper(arguments.color);
    if explain::is_code(&query) {
        let cause = explain::find(&query)?;
        return print(&match arguments.output {
            ExplainFormat::Text => explain::cause_text(cause, paper),
            ExplainFormat::Json => explain::cause_json(cause),
        });
    }
    let ranked = symptoms::rank(&query);
    print(&match arguments.output {
        ExplainFormat::Text => explain::ranked_text(&ranked, paper),
        ExplainFormat::Json => explain::ranked_json(&query, &ranked),
    })
}

fn print(text: &str) -> Result<ExitCode, InputErrors> {
    printer::print(text).map_err(|error| InputError::new(format!("cannot write to stdout: {error}")))?;
    Ok(ExitCode::SUCCESS)
}

/// The contract's exit status of a report.
#[must_use]
pub fn exit_status(report: &Report) -> u8 {
    match report.verdict {
        Verdict::Match => 0,
        Verdict::Mismatch => 1,
        Verdict::Inconclusive => 3,
        Verdict::Propagating => 4,
    }
}

/// The input is wrong.
const EXIT_INPUT: u8 = 2;

//! The `ssh` transport against real servers: four hosts in namespaces of their own, OpenSSH on two of them.
//!
//! Each case runs in a process of its own that first leaves the host's network, mounts and process table behind, as the
//! lab's do; nothing survives it. `KUBEREACH_LAB=required` makes a case that cannot run here a failure.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "figures, and what was not run, are for the reader")]
#![expect(clippy::unwrap_used, reason = "a test that cannot set up its world has failed")]

mod cases;
mod figure;
mod world;

use std::{
    process::{Command, ExitCode, Stdio},
    time::Duration,
};

use libtest_mimic::{Arguments, Failed, Trial};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [_, "case", name] => alone(name),
        _ => all(),
    }
}

/// Inside the sandbox, as its first process.
fn alone(name: &str) -> ExitCode {
    std::thread::spawn(|| {
        std::thread::sleep(LONGEST_CASE);
        eprintln!("not done after {} s", LONGEST_CASE.as_secs());
        // Ends the process namespace, and with it whatever hangs.
        std::process::exit(1);
    });
    let Some((_, case)) = cases().find(|(known, _)| *known == name) else { return ExitCode::FAILURE };
    case(&mut world::World::build());
    ExitCode::SUCCESS
}

fn all() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Cases mostly wait.
    arguments.test_threads.get_or_insert(3);
    let required = std::env::var("KUBEREACH_LAB").is_ok_and(|value| value == "required");
    let reason = world::usable().err();
    if reason.is_none() {
        world::make_stand_in();
    }
    let trials = cases()
        .map(|(name, _)| match &reason {
            None => Trial::test(name, move || run(name)),
            Some(reason) => {
                let message = format!("cannot run here: {reason}");
                let label = if required { name.to_owned() } else { format!("{name} [not run: {reason}]") };
                Trial::test(label, move || Err(Failed::from(message))).with_ignored_flag(!required)
            }
        })
        .collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    if let Some(reason) = reason.filter(|_| !arguments.list) {
        println!("ssh: no case was run: {reason}");
    }
    conclusion.exit_code()
}

fn run(name: &str) -> Result<(), Failed> {
    let output = world::sandbox_command()
        .arg("--")
        .arg(std::env::current_exe()?)
        .args(["case", name])
        .stdin(Stdio::null())
        .output()?;
    if output.status.success() {
        print!("{}", String::from_utf8_lossy(&output.stdout));
        return Ok(());
    }
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    Err(format!("{}\n{}\n({})", said(&output.stdout), said(&output.stderr), output.status).into())
}

fn cases() -> impl Iterator<Item = (&'static str, cases::Case)> {
    cases::CASES.iter().chain(figure::CASES).copied()
}

/// The tools of this world, by the path that servers need.
pub(crate) fn tool(name: &str) -> Command {
    let mut command = Command::new(name);
    command.env("PATH", world::tool_path());
    command
}

const LONGEST_CASE: Duration = Duration::from_mins(2);

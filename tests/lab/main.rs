//! The lab: every file under `scenarios/lab` is one behaviour, tried with hosts, links, servers and faults of its own.
//!
//! A case runs in a process of its own that first leaves the host's network, mounts and process table behind
//! (`unshare`), then builds its hosts as network namespaces, starts real servers, injects the fault, lets ordinary
//! tools confirm that the fault is there, runs the built binary and judges its report. Nothing survives it.
//!
//! `KUBEREACH_LAB=required` makes a case that cannot run here a failure instead of an ignored test;
//! `KUBEREACH_LAB_ONLY=confirm` stops after the ordinary tools. See `scenarios/lab/README.md` for the form of a case.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the lab speaks to its reader and between its processes"
)]

mod case;
mod judge;
mod sandbox;
mod servers;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    sync::OnceLock,
};

use case::Case;
use kubereach::causes;
use libtest_mimic::{Arguments, Failed, Trial};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        // Inside a host of a sandbox: the servers of that host.
        [_, "serve", description] => servers::run(Path::new(description)),
        // Inside a sandbox, as its first process: one case.
        [_, "case", file] => sandbox::run(Path::new(file)),
        _ => run_all(),
    }
}

/// Runs the cases as tests of libtest's kind.
fn run_all() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Cases mostly wait: more of them at a time than there are processors do no harm.
    arguments.test_threads.get_or_insert(4);
    let required = std::env::var("KUBEREACH_LAB").is_ok_and(|value| value == "required");
    let files = case_files();
    let namespaces = namespaces_usable();
    let mut trials = vec![
        Trial::test("every_case_is_well_formed", every_case_is_well_formed),
        Trial::test("there_are_enough_cases", there_are_enough_cases),
        Trial::test("every_code_that_is_told_has_a_case", every_code_that_is_told_has_a_case),
        Trial::test("every_code_of_a_case_exists", every_code_of_a_case_exists),
        Trial::test("every_outcome_has_a_case", every_outcome_has_a_case),
    ];
    let mut not_run: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in &files {
        let name = case_name(file);
        let reason = namespaces.as_ref().err().cloned().or_else(|| {
            let missing = case::load(file).ok()?.missing_tools();
            (!missing.is_empty()).then(|| format!("needs {}", missing.join(", ")))
        });
        let file = file.clone();
        trials.push(match reason {
            None => Trial::test(name, move || run_case(&file)),
            Some(reason) => {
                not_run.entry(reason.clone()).or_default().push(name.clone());
                let message = format!("cannot run here: {reason}");
                let label = if required { name } else { format!("{name} [not run: {reason}]") };
                Trial::test(label, move || Err(Failed::from(message))).with_ignored_flag(!required)
            }
        });
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    if !arguments.list {
        let left_out: usize = not_run.values().map(Vec::len).sum();
        println!("lab: {left_out} of {} cases not run", files.len());
        for (reason, names) in &not_run {
            println!("lab: {reason}: {}", names.join(", "));
        }
    }
    conclusion.exit_code()
}

/// One case, in a sandbox of its own.
fn run_case(file: &Path) -> Result<(), Failed> {
    let output = sandbox_command()
        .arg("--")
        .arg(std::env::current_exe()?)
        .arg("case")
        .arg(file)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{}\n({})", String::from_utf8_lossy(&output.stdout).trim_end(), output.status).into())
}

/// `unshare` into new network, mount and process namespaces, whose processes all die with the first one.
fn sandbox_command() -> Command {
    let mut command = Command::new("unshare");
    // The owner of one's own entry under /proc is the effective user.
    let root = std::fs::metadata("/proc/self").is_ok_and(|entry| std::os::unix::fs::MetadataExt::uid(&entry) == 0);
    if !root {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["--net", "--mount", "--pid", "--fork", "--kill-child"]);
    command.env("PATH", case::tool_path());
    command
}

/// Whether this host lets us build hosts; otherwise why not.
fn namespaces_usable() -> Result<(), String> {
    let missing: Vec<&str> =
        ["unshare", "ip", "nft", "mount"].into_iter().filter(|tool| case::find_tool(tool).is_none()).collect();
    if !missing.is_empty() {
        return Err(format!("needs {}", missing.join(", ")));
    }
    let script = "mount -t tmpfs lab /run && ip netns add probe && ip netns exec probe nft list ruleset && \
                  ip link add name veth0 netns probe type veth peer name veth1 && ip netns exec probe sh -c \
                  'echo 1 > /proc/sys/net/ipv4/ip_forward'";
    let output = sandbox_command()
        .args(["--", "sh", "-c", script])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("unshare: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    Err(format!("no namespaces: {}", words.lines().next().unwrap_or("unshare failed")))
}

fn case_files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/lab");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    files.sort();
    files
}

fn case_name(file: &Path) -> String {
    file.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn cases() -> Result<&'static [(String, Case)], Failed> {
    static CASES: OnceLock<Result<Vec<(String, Case)>, String>> = OnceLock::new();
    let load = || case_files().iter().map(|file| Ok((case_name(file), case::load(file)?))).collect();
    CASES.get_or_init(load).as_deref().map_err(|problem| problem.clone().into())
}

fn every_case_is_well_formed() -> Result<(), Failed> {
    let problems: Vec<String> = case_files().iter().filter_map(|file| case::load(file).err()).collect();
    if problems.is_empty() { Ok(()) } else { Err(problems.join("\n").into()) }
}

fn there_are_enough_cases() -> Result<(), Failed> {
    let cases = cases()?;
    let healthy = cases.iter().filter(|(_, case)| case.healthy).count();
    let faults = cases.len() - healthy;
    if faults < LEAST_FAULTS || healthy < LEAST_HEALTHY {
        return Err(format!("{faults} fault cases of {LEAST_FAULTS}, {healthy} healthy ones of {LEAST_HEALTHY}").into());
    }
    Ok(())
}

fn every_code_that_is_told_has_a_case() -> Result<(), Failed> {
    let cases = cases()?;
    // A code that a case is for, but does not insist on, is not tried.
    let tried: BTreeSet<&str> =
        cases.iter().flat_map(|(_, case)| case.expect.required_codes().map(String::as_str)).collect();
    let missing: Vec<&str> = causes::all()
        .filter(|cause| cause.predicate.is_some() && !tried.contains(cause.code))
        .map(|cause| cause.code)
        .collect();
    if missing.is_empty() { Ok(()) } else { Err(format!("no case is for {}", missing.join(", ")).into()) }
}

/// The outcomes of each stage are read from the report's own schema, which is made from the types.
fn every_outcome_has_a_case() -> Result<(), Failed> {
    let tried: BTreeSet<String> = cases()?.iter().flat_map(|(_, case)| case.expect.required_outcomes()).collect();
    let schema = kubereach::report::json::schema();
    let mut missing = Vec::new();
    for (stage, name) in [
        ("dns", "DnsOutcome"),
        ("tcp", "TcpOutcome"),
        ("tls", "TlsOutcome"),
        ("http", "HttpOutcome"),
        ("tunnel", "TunnelOutcome"),
    ] {
        let variants = schema["$defs"][name]["oneOf"].as_array().cloned().unwrap_or_default();
        if variants.is_empty() {
            return Err(format!("the schema has no variants for {name}").into());
        }
        for variant in variants.iter().filter_map(|variant| variant["const"].as_str()) {
            let outcome = format!("{stage} {variant}");
            if !tried.contains(&outcome) && !WITHOUT_A_CASE.contains(&outcome.as_str()) {
                missing.push(outcome);
            }
        }
    }
    if missing.is_empty() { Ok(()) } else { Err(format!("no case insists on {}", missing.join(", ")).into()) }
}

fn every_code_of_a_case_exists() -> Result<(), Failed> {
    let mut problems = Vec::new();
    for (name, case) in cases()? {
        for code in case.codes.iter().chain(case.expect.named_codes()) {
            if causes::by_code(code).is_none() {
                problems.push(format!("{name}: no cause is called {code}"));
            }
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems.join("\n").into()) }
}

/// Outcomes that need no case: what is skipped is skipped because of the stage before it.
const WITHOUT_A_CASE: &[&str] = &["tls skipped", "http skipped", "tunnel skipped"];
const LEAST_FAULTS: usize = 40;
const LEAST_HEALTHY: usize = 10;

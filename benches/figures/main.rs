//! The figures of `docs/performance.md`, each against its floor and its bound, measured in one run.
//!
//!     cargo bench --bench figures                 all of them
//!     cargo bench --bench figures -- cpu silent   some of them: doctor, silent, cpu, many,
//!                                                  sets, evaluation, folders, history, watch
//!
//! The bench leaves the host's network first (`unshare`): what it measures goes over a loopback of its own, and what is
//! to be silent goes to an interface that leads nowhere. Exit status 1 when a bound is not met.

#![expect(clippy::print_stdout, reason = "a bench speaks to its reader and between its processes")]

mod cost;
mod figure;
mod history;
mod model;
mod watch;
mod world;

use std::{
    env,
    error::Error,
    fs,
    net::Ipv4Addr,
    path::Path,
    process::{Command, ExitCode, Stdio},
    time::Duration,
};

use cost::{Cost, Measured};
use figure::{Bound, Figure, Outcome, median, milliseconds};
use world::{HOST, World};

/// How one figure is measured.
type Measure = fn(&World) -> Outcome;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["inside", wanted @ ..] => measure_all(wanted),
        ["serve", description] => world::serve_for_ever(Path::new(description)).map(|()| ExitCode::SUCCESS),
        ["probe", ca, count] => cost::probe(Path::new(ca), count).map(|()| ExitCode::SUCCESS),
        ["floor", ca, count] => cost::floor(Path::new(ca), count).map(|()| ExitCode::SUCCESS),
        ["measured", program, rest @ ..] => cost::run_measured(program, rest).map(|()| ExitCode::SUCCESS),
        wanted => world::enter(wanted),
    };
    result.unwrap_or_else(|error| {
        println!("figures: {error}");
        ExitCode::FAILURE
    })
}

fn measure_all(wanted: &[&str]) -> Result<ExitCode, Box<dyn Error>> {
    let world = World::build()?;
    let figures: [(&str, Measure); 9] = [
        ("doctor", healthy_doctor),
        ("silent", silent_doctor),
        ("cpu", cpu_of_a_probe),
        ("many", many_silent),
        ("sets", model::sets),
        ("evaluation", model::evaluation),
        ("folders", model::folders),
        ("history", history::year),
        ("watch", watch::measure),
    ];
    let mut met = true;
    println!("{:<70} {:>10}  {:<28} {:>6}  {:<22}", "figure", "value", "floor", "ratio", "bound");
    for (name, figure) in figures {
        if !wanted.is_empty() && !wanted.contains(&name) {
            continue;
        }
        match figure(&world) {
            Ok(Measured::Figures(figures)) => {
                for figure in figures {
                    println!("{figure}");
                    met &= figure.is_met();
                }
            }
            Ok(Measured::Skipped(reason)) => println!("{name:<58} skipped: {reason}"),
            Err(error) => {
                println!("{name:<58} FAILED: {error}");
                met = false;
            }
        }
    }
    Ok(if met { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// `doctor` with a kubeconfig against `curl` for the same name, certificate authority and path, one after the other.
fn healthy_doctor(world: &World) -> Outcome {
    let Some(curl) = world::find_tool("curl") else { return Ok(Measured::Skipped("needs curl".to_owned())) };
    let url = format!("https://{HOST}/version");
    let (mut doctor, mut plain) = (Vec::new(), Vec::new());
    for round in 0..WARM_UP + RUNS {
        let ours = cost::wall(world.kubereach(&["doctor"]), Some(0))?;
        let mut command = Command::new(&curl);
        command.args(["--silent", "--show-error", "--fail", "--cacert"]).arg(world.ca()).arg(&url);
        let theirs = cost::wall(command, Some(0))?;
        if round >= WARM_UP {
            doctor.push(ours);
            plain.push(theirs);
        }
    }
    let (value, floor) = (median(&mut doctor), median(&mut plain));
    Ok(Measured::Figures(vec![Figure {
        name: format!("doctor, healthy target: median wall of {RUNS}"),
        value: milliseconds(value),
        floor: Some(("curl".to_owned(), milliseconds(floor))),
        unit: "ms",
        bound: Bound::RatioAndMore(1.3, 30.0),
    }]))
}

/// `doctor` where nothing answers at all: neither the target nor the controls.
fn silent_doctor(world: &World) -> Outcome {
    let mut walls = Vec::new();
    for _ in 0..SILENT_RUNS {
        walls.push(cost::wall(world.kubereach(&["doctor", "--context", "silent"]), None)?);
    }
    walls.sort();
    let worst = walls.last().copied().unwrap_or_default();
    let mut figure = Figure {
        name: format!("doctor, silent target, defaults: slowest wall of {SILENT_RUNS}"),
        value: worst.as_secs_f64(),
        floor: None,
        unit: "s",
        bound: Bound::AtMost(5.0),
    };
    if env::var("KUBEREACH_BENCH_KUBECTL").is_ok_and(|value| value == "1") {
        let kubectl = world::find_tool("kubectl").ok_or("KUBEREACH_BENCH_KUBECTL=1 needs kubectl")?;
        let mut command = Command::new("timeout");
        command.arg(KUBECTL_LIMIT.as_secs().to_string()).arg(kubectl);
        command.args(["--kubeconfig"]).arg(world.kubeconfig()).args(["--context", "silent", "get", "namespaces"]);
        // kubectl's status is 1; that of `timeout` at the limit is another, and an error here.
        let waited = cost::wall(command, Some(1))?;
        figure.floor = Some(("kubectl's error".to_owned(), waited.as_secs_f64()));
    }
    Ok(Measured::Figures(vec![figure]))
}

/// CPU time of a probe in this library and of the least that does the same exchange, in processes that take turns.
fn cpu_of_a_probe(world: &World) -> Outcome {
    let this = env::current_exe()?;
    let (mut ours, mut least, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..CPU_ROUNDS {
        let cost_of = |mode: &str| -> Result<Duration, Box<dyn Error>> {
            let mut command = Command::new(&this);
            command.arg(mode).arg(world.ca()).arg(PROBES.to_string()).stderr(Stdio::inherit());
            Ok(cost::reported(command)?.cpu / PROBES)
        };
        let (floor, probe) = (cost_of("floor")?, cost_of("probe")?);
        ratios.push(probe.as_secs_f64() / floor.as_secs_f64());
        ours.push(probe);
        least.push(floor);
    }
    ratios.sort_by(f64::total_cmp);
    Ok(Measured::Figures(vec![Figure {
        name: format!("CPU of a probe (TCP, TLS 1.3, GET): median of {CPU_ROUNDS} × {PROBES}"),
        value: milliseconds(median(&mut ours)),
        floor: Some(("minimal tokio-rustls".to_owned(), milliseconds(median(&mut least)))),
        unit: "ms",
        // Each round's two halves had the same neighbours on this machine, so their ratio is what is judged.
        bound: Bound::MedianRatio(ratios[ratios.len() / 2], 1.25),
    }]))
}

/// One scenario with ten thousand clusters that never answer, through the real command and its JSON report.
fn many_silent(world: &World) -> Outcome {
    if let Some(reason) = world::too_few_descriptors(TARGETS) {
        return Ok(Measured::Skipped(reason));
    }
    let scenario = world.folder().join("many.yaml");
    fs::write(&scenario, many_clusters())?;
    let report = world.folder().join("many.json");
    let mut arguments = vec!["verify".to_owned(), scenario.display().to_string()];
    arguments.extend(["-o".to_owned(), format!("json={}", report.display())]);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let Cost { wall, peak_kib, status, .. } = cost::reported(cost::measuring(&world.kubereach(&arguments))?)?;
    if status != Some(1) {
        return Err(format!("verify ended with status {status:?}, not with 1").into());
    }
    let timeouts = fs::read_to_string(&report)?.matches("\"no answer within 3s\"").count();
    if timeouts < usize::try_from(TARGETS)? {
        return Err(format!("only {timeouts} of {TARGETS} targets were waited for").into());
    }
    let figure = |name: &str, value: f64, unit, most| Figure {
        name: format!("verify, {TARGETS} silent targets at once: {name}"),
        value,
        floor: None,
        unit,
        bound: Bound::AtMost(most),
    };
    Ok(Measured::Figures(vec![
        figure("wall", wall.as_secs_f64(), "s", 4.5),
        figure("peak memory", peak_kib as f64 / 1024.0, "MiB", 150.0 * 1e6 / 1024.0 / 1024.0),
    ]))
}

fn many_clusters() -> String {
    use std::fmt::Write as _;
    let mut text = String::from("apiVersion: kubereach/v1\nclusters:\n");
    let first = u32::from(Ipv4Addr::new(10, 100, 0, 1));
    for index in 0..TARGETS {
        // Writing to a string never fails.
        let _ = writeln!(text, "  c{index:05}: {{ endpoint: \"https://{}\" }}", Ipv4Addr::from(first + index));
    }
    // A control that answers: the prober is online, so that each target is diagnosed for itself.
    text.push_str("controls: [\"127.0.0.1:443\"]\nvantages:\n  here: { local: {} }\nexpect:\n");
    for index in 0..TARGETS {
        let _ = writeln!(text, "  - {{ cluster: c{index:05}, from: here, reachable: true }}");
    }
    text
}

const WARM_UP: usize = 3;
const RUNS: usize = 40;
const SILENT_RUNS: usize = 3;
const CPU_ROUNDS: usize = 7;
const PROBES: u32 = 2_000;
const TARGETS: u32 = 10_000;
/// Longer than kubectl's five attempts of half a minute each.
const KUBECTL_LIMIT: Duration = Duration::from_secs(200);

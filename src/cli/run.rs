//! What every probing command does around a run: runtime, progress, interruption, time limit, reports.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use tokio::sync::{mpsc, watch};

use super::{arguments::OutputArguments, exit_status, printer, progress::Progress};
use crate::{
    causes,
    check::{self, Settings},
    input::{InputError, InputErrors},
    report::{
        self, Format, RenderContext, Report, RuleText,
        text::{Mode, TextOptions},
    },
    scenario::Plan,
};

/// Runs the future on a runtime of its own, with a thread for each processor.
pub(super) fn block_on<T>(future: impl Future<Output = T>) -> Result<T, InputErrors> {
    block_on_threads(std::thread::available_parallelism().map_or(1, usize::from), future)
}

/// The same with so many threads.
pub(super) fn block_on_threads<T>(threads: usize, future: impl Future<Output = T>) -> Result<T, InputErrors> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads.max(1))
        .enable_all()
        .build()
        .map_err(|error| InputError::new(format!("this machine gives no threads: {error}")))?;
    let output = runtime.block_on(future);
    // A lookup stuck in the system's resolver must not hold the report back.
    runtime.shutdown_background();
    Ok(output)
}

/// Runs the plan with progress on stderr; SIGINT, SIGTERM and the time limit end it with what is known.
pub(super) async fn run(
    plan: &Plan,
    settings: &Settings,
    verbose: bool,
    timeout: Option<Duration>,
) -> Result<Report, InputErrors> {
    let (stop, stopped) = watch::channel(false);
    let stopper = tokio::spawn(async move {
        tokio::select! {
            () = interrupted() => {}
            () = time_is_up(timeout) => {}
        }
        // Nobody listening means that the run is over.
        let _ = stop.send(true);
        // A second signal ends the process at once, as it would without us.
        interrupted().await;
        std::process::exit(130);
    });
    let (events, mut receiver) = mpsc::unbounded_channel();
    let progress = Progress::new(plan.cells.len(), verbose);
    let showing = tokio::spawn(async move {
        while let Some(event) = receiver.recv().await {
            progress.on(&event);
        }
    });
    let report = check::run(plan, settings, stopped, Some(events)).await;
    // The senders are gone now; what is left in the channel is still shown.
    let _ = tokio::time::timeout(Duration::from_millis(200), showing).await;
    stopper.abort();
    report
}

/// Refuses, before anything is probed, to begin a run whose report could not be written.
pub(super) fn check_files(output: &OutputArguments) -> Result<(), InputErrors> {
    let errors: Vec<InputError> = output
        .files()
        .filter_map(|(_, file)| {
            let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            (!folder.is_dir() || file.is_dir()).then(|| {
                InputError::new("a report cannot be written there: a file in a folder that exists was expected")
                    .in_file(file.clone())
            })
        })
        .collect();
    if errors.is_empty() { Ok(()) } else { Err(InputErrors(errors)) }
}

/// Writes the report to stdout and to every file asked for; the exit status is the report's.
pub(super) fn write(
    report: &Report,
    output: &OutputArguments,
    mode: Mode,
    scenario: Option<PathBuf>,
    footer: &str,
) -> Result<ExitCode, InputErrors> {
    let paper = printer::paper(output.color);
    let text = |color| TextOptions { width: paper.width, color, verbose: output.verbose, mode, unicode: paper.unicode };
    let to_stdout = RenderContext { text: text(paper.color), scenario: scenario.clone(), rules: Some(rule_text) };
    let format = output.stdout_format();
    let mut document = report::render(format, report, &to_stdout);
    if format == Format::Text {
        document.push_str(footer);
    }
    printer::print(&document).map_err(|error| InputError::new(format!("cannot write to stdout: {error}")))?;
    let to_file = RenderContext { text: text(false), scenario, rules: Some(rule_text) };
    for (format, file) in output.files() {
        std::fs::write(file, report::render(format, report, &to_file))
            .map_err(|error| InputError::new(format!("cannot write the report: {error}")).in_file(file.clone()))?;
    }
    Ok(ExitCode::from(exit_status(report)))
}

/// What the catalogue says of a code.
fn rule_text(code: &str) -> Option<RuleText> {
    let cause = causes::by_code(code)?;
    Some(RuleText {
        title: cause.title.to_owned(),
        severity: cause.severity,
        help: format!("{} Setting: {}", cause.signature, cause.setting),
        docs: cause.docs.to_owned(),
    })
}

/// Waits for SIGINT or SIGTERM.
pub(super) async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        // Without handlers the signals do what they always do.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

async fn time_is_up(timeout: Option<Duration>) {
    match timeout {
        Some(timeout) => tokio::time::sleep(timeout).await,
        None => std::future::pending().await,
    }
}

//! `kubereach watch CONFIG`: scheduled checks, until a signal ends them.

mod outline;
mod talking;

use std::{process::ExitCode, sync::Arc, time::Duration};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{mpsc, oneshot, watch},
};

use self::{outline::outline, talking::Talking};
use super::{
    arguments::{OutputArguments, WatchArguments},
    printer, run, verify,
};
use crate::{
    check::{Session, Settings},
    input::{InputError, InputErrors},
    report::{Report, text::Mode, words::counted},
    watch::{
        board::Board,
        config::{self, CheckSet, Storage, WatchConfig},
        metrics::Metrics,
        runner::{self, MakeProber, Parts, Prober, Reload, SystemClock, WatchError},
        store::{Store, StoreError},
        web,
    },
};

pub(super) fn main(arguments: &WatchArguments) -> Result<ExitCode, InputErrors> {
    let config = config::load(&arguments.config)?;
    if arguments.check_config {
        printer::print(&outline(&config))
            .map_err(|error| InputError::new(format!("cannot write to stdout: {error}")))?;
        return Ok(ExitCode::SUCCESS);
    }
    let output = &arguments.output;
    let ended = if arguments.once {
        run::check_files(output)?;
        run::block_on(once(config, output.verbose))?.map(Some)
    } else {
        only_for_once(output)?;
        run::block_on_threads(threads(&config), watch_on(config, output.verbose))?.map(|()| None)
    };
    match ended {
        Ok(Some((report, written))) => {
            let status = run::write(&report, output, Mode::Verify, Some(arguments.config.clone()), "")?;
            if written {
                return Ok(status);
            }
            // A run that nobody will remember is not fine, whatever it saw.
            printer::complain("error: what was found could not be written to the history\n");
            Ok(ExitCode::from(EXIT_SURROUNDINGS))
        }
        Ok(None) => Ok(ExitCode::SUCCESS),
        Err(Refusal::Input(errors)) => Err(errors),
        Err(Refusal::Surroundings(errors)) => {
            printer::complain(&format!("{errors}\n"));
            Ok(ExitCode::from(EXIT_SURROUNDINGS))
        }
    }
}

/// As many threads as the probes need, and no more: what wakes another thread costs more than it brings.
fn threads(config: &WatchConfig) -> usize {
    let rate: f64 = config
        .checks
        .iter()
        .map(|check| check.plan.cells.len() as f64 / check.schedule.interval().as_secs_f64().max(1.0))
        .sum();
    let most = std::thread::available_parallelism().map_or(1, usize::from);
    (1..most).find(|threads| rate <= *threads as f64 * PROBES_A_THREAD).unwrap_or(most)
}

/// Why it does not run.
enum Refusal {
    /// The configuration is wrong: another try changes nothing.
    Input(InputErrors),
    /// A port in use, a lock that is held, a database that does not answer: another try may do.
    Surroundings(InputErrors),
}

impl From<WatchError> for Refusal {
    fn from(error: WatchError) -> Self {
        match error {
            WatchError::Input(errors) => Self::Input(errors),
            WatchError::Store(error) => unusable(&error, None),
            error @ (WatchError::Died(_) | WatchError::Unwritten) => {
                Self::Surroundings(InputError::new(error.to_string()).into())
            }
        }
    }
}

/// What a history that cannot be used means.
fn unusable(error: &StoreError, config: Option<&WatchConfig>) -> Refusal {
    let mut told = InputError::new(format!("the history cannot be used: {error}"));
    if let Some(config) = config {
        told = told.in_file(&config.file);
    }
    match error {
        StoreError::Unavailable { .. } => Refusal::Surroundings(told.into()),
        StoreError::Busy => {
            let told = InputError::new(error.to_string())
                .help("stop it, or give this one a file of its own; several processes share a PostgreSQL database");
            Refusal::Surroundings(match config.map(|config| &config.storage) {
                Some(Storage::Sqlite { path }) => told.in_file(path.clone()).into(),
                _ => told.into(),
            })
        }
        StoreError::Foreign(_) => Refusal::Input(told.into()),
    }
}

/// Runs until a signal ends it.
async fn watch_on(config: WatchConfig, verbose: bool) -> Result<(), Refusal> {
    let config = Arc::new(config);
    // From now on a signal is heard, however long the database takes.
    let hangups = signal(SignalKind::hangup()).ok();
    let mut interrupted = Box::pin(run::interrupted());
    let opened = tokio::select! {
        opened = open_with_patience(&config) => opened?,
        () = &mut interrupted => {
            log("stopped");
            return Ok(());
        }
    };
    let listener = match &config.web {
        Some(web) => Some(web::listen(web.listen).await.map_err(|error| {
            Refusal::Surroundings(
                InputError::new(format!("the web page cannot listen on {}: {error}", web.listen))
                    .in_file(&config.file)
                    .help("name another address under `web: { listen: … }`, or turn the page off by `web: false`")
                    .into(),
            )
        })?),
        None => None,
    };
    let (parts, lines) = parts(&config, opened, verbose);
    let (stop, stopped) = watch::channel(false);
    let (current, configuration) = watch::channel(Arc::clone(&config));
    let telling = tokio::spawn(tell(lines));
    let serving = listener.map(|listener| {
        if let Ok(address) = listener.local_addr() {
            say(&parts, format!("web page on http://{address}/"));
        }
        let (board, metrics) = (Arc::clone(&parts.board), Arc::clone(&parts.metrics));
        let sources = web::Sources { board, store: parts.store.clone(), metrics, config: configuration };
        tokio::spawn(web::serve(listener, sources, stopped.clone()))
    });
    let (reload, reloads) = mpsc::channel(RELOADS_WAITING);
    let reloading = tokio::spawn(reload_on_hangup(hangups, parts.clone(), Arc::clone(&config), reload));
    let stopper = tokio::spawn(async move {
        interrupted.await;
        // Nobody listening means that the watch is over.
        let _ = stop.send(true);
        run::interrupted().await;
        std::process::exit(130);
    });
    say(&parts, started(&config));
    for doubt in config.doubts() {
        say(&parts, format!("warning: {doubt}"));
    }
    let result = Box::pin(runner::watch(parts.clone(), current, reloads, stopped)).await;
    reloading.abort();
    if let Some(serving) = serving {
        let _ = serving.await;
    }
    stopper.abort();
    say(&parts, "stopped");
    drop(parts);
    // What is left to say is said.
    let _ = tokio::time::timeout(Duration::from_millis(200), telling).await;
    Ok(result?)
}

async fn once(config: WatchConfig, verbose: bool) -> Result<(Report, bool), Refusal> {
    let config = Arc::new(config);
    let store = Store::open(&config.storage).await.map_err(|error| unusable(&error, Some(&config)))?;
    let (parts, lines) = parts(&config, store, verbose);
    let (stop, stopped) = watch::channel(false);
    let telling = tokio::spawn(tell(lines));
    let stopper = tokio::spawn(async move {
        run::interrupted().await;
        let _ = stop.send(true);
        run::interrupted().await;
        std::process::exit(130);
    });
    let report = Box::pin(runner::once(config, parts, stopped)).await;
    stopper.abort();
    let _ = tokio::time::timeout(Duration::from_millis(200), telling).await;
    Ok(report?)
}

/// Opens the history. A server that does not answer may be about to start: it is asked again and again.
async fn open_with_patience(config: &WatchConfig) -> Result<Store, Refusal> {
    let mut pause = FIRST_PAUSE;
    let mut said = String::new();
    loop {
        let error = match Store::open(&config.storage).await {
            Ok(store) => {
                if !said.is_empty() {
                    log("the history can be used now");
                }
                return Ok(store);
            }
            Err(error) => error,
        };
        let waits = matches!((&config.storage, &error), (Storage::Postgres { .. }, StoreError::Unavailable { .. }));
        if !waits {
            return Err(unusable(&error, Some(config)));
        }
        let words = error.to_string();
        if words != said {
            log(&format!("nothing is watched yet, it is tried again until the history can be used: {words}"));
            said = words;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// SIGHUP: the file is read again; a mistake in it leaves everything as it is.
async fn reload_on_hangup(
    hangups: Option<Signal>,
    parts: Parts,
    first: Arc<WatchConfig>,
    reload: mpsc::Sender<Reload>,
) {
    let Some(mut hangup) = hangups else { return };
    while hangup.recv().await.is_some() {
        let file = first.file.clone();
        let loaded = tokio::task::spawn_blocking(move || config::load(&file)).await;
        let refused = match loaded {
            Ok(Ok(config)) => match fixed(&first, &config) {
                None => {
                    let (answer, taken) = oneshot::channel();
                    if reload.send((Arc::new(config), answer)).await.is_err() {
                        return;
                    }
                    // One after the other, so that what is told is told of the last.
                    match taken.await {
                        Ok(Ok(())) => None,
                        Ok(Err(reason)) => Some(reason),
                        Err(_) => return,
                    }
                }
                Some(reason) => Some(reason.to_owned()),
            },
            Ok(Err(errors)) => Some(errors.to_string()),
            Err(_) => Some("the file could not be read".to_owned()),
        };
        parts.board.change_health(|health| health.reload.clone_from(&refused));
        match refused {
            None => say(&parts, "configuration taken"),
            Some(reason) => say(&parts, format!("configuration not taken, the one before stays:\n{reason}")),
        }
    }
}

/// What a running watch cannot change.
fn fixed(before: &WatchConfig, after: &WatchConfig) -> Option<&'static str> {
    let same_storage = match (&before.storage, &after.storage) {
        (Storage::Sqlite { path: one }, Storage::Sqlite { path: other }) => one == other,
        (Storage::Postgres { url: one, ca: with }, Storage::Postgres { url: other, ca: and }) => {
            use secrecy::ExposeSecret;
            one.expose_secret() == other.expose_secret() && with == and
        }
        _ => false,
    };
    let listens = |config: &WatchConfig| config.web.as_ref().map(|web| web.listen);
    if !same_storage {
        return Some("`storage` cannot change while it runs; restart the watch");
    }
    (listens(before) != listens(after)).then_some("`web.listen` cannot change while it runs; restart the watch")
}

fn parts(config: &Arc<WatchConfig>, store: Store, verbose: bool) -> (Parts, mpsc::UnboundedReceiver<String>) {
    let (notices, lines) = mpsc::unbounded_channel();
    let board = Arc::new(Board::default());
    let process = process_name();
    board.change_health(|health| {
        health.started_at = Some(jiff::Timestamp::now());
        health.process.clone_from(&process);
    });
    // Who probes must not keep the lines from ending.
    let talk = notices.downgrade();
    let prober: MakeProber = Arc::new(move |check: &CheckSet, stop| {
        let session = Session::new(check.plan.clone(), settings(check), stop, None)?;
        Ok(match talk.upgrade().filter(|_| verbose) {
            Some(notices) => Arc::new(Talking { session, notices }) as Arc<dyn Prober>,
            None => Arc::new(session),
        })
    });
    let metrics = Arc::new(Metrics::new(config));
    (Parts { clock: Arc::new(SystemClock), store, board, metrics, prober, notices, process }, lines)
}

/// As `verify` probes, one round at a time.
fn settings(check: &CheckSet) -> Settings {
    let settings = Settings { connect_timeout: check.connect_timeout, ..Settings::default() };
    verify::asking_in_need(settings, &check.plan)
}

/// Name of this process: the host's, its number, and a part that no other has (containers share the first two).
fn process_name() -> String {
    use std::hash::{BuildHasher, RandomState};
    let part = RandomState::new().hash_one(std::process::id()) & 0xffff_ffff;
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim();
    format!("{}-{}-{part:08x}", if host.is_empty() { "host" } else { host }, std::process::id())
}

fn only_for_once(output: &OutputArguments) -> Result<(), InputErrors> {
    if output.outputs.is_empty() {
        return Ok(());
    }
    Err(InputError::new("`-o` is for `--once`: a watch that runs reports by its web page, metrics and alerts")
        .help("add `--once`, or read the history with `kubereach history`")
        .into())
}

fn say(parts: &Parts, line: impl Into<String>) {
    // Nobody listening is no reason to stop.
    let _ = parts.notices.send(line.into());
}

/// One line a notice, with its time, on stderr.
async fn tell(mut lines: mpsc::UnboundedReceiver<String>) {
    while let Some(line) = lines.recv().await {
        log(&line);
    }
}

fn log(line: &str) {
    let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ");
    printer::complain(&format!("{now} {line}\n"));
}

fn started(config: &WatchConfig) -> String {
    let cells: usize = config.checks.iter().map(|check| check.plan.cells.len()).sum();
    let checks = config.checks.len();
    format!("watching {} of {}", counted(cells, "cell", "cells"), counted(checks, "check", "checks"))
}

const RELOADS_WAITING: usize = 1;
/// What one thread carries with ease.
const PROBES_A_THREAD: f64 = 600.0;
/// A server that starts with this host needs a moment.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// What another start may mend: not the input's fault.
const EXIT_SURROUNDINGS: u8 = 1;

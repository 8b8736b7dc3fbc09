//! `kubereach watch CONFIG`: scheduled checks, until a signal ends them.

use std::{process::ExitCode, sync::Arc};

use tokio::sync::{mpsc, watch};

use super::{
    arguments::{OutputArguments, WatchArguments},
    printer, run, verify,
};
use crate::{
    check::{Session, Settings},
    input::{InputError, InputErrors},
    report::text::Mode,
    watch::{
        board::Board,
        config::{self, CheckSet, ReceiverKind, Storage, WatchConfig},
        metrics::Metrics,
        runner::{self, MakeProber, Parts, Prober, SystemClock, WatchError},
        schedule::Schedule,
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
    if arguments.once {
        run::check_files(&arguments.output)?;
        let report = run::block_on(once(config))??;
        return run::write(&report, &arguments.output, Mode::Verify, Some(arguments.config.clone()), "");
    }
    only_for_once(&arguments.output)?;
    run::block_on(watch_on(config))??;
    Ok(ExitCode::SUCCESS)
}

/// Runs until a signal ends it.
async fn watch_on(config: WatchConfig) -> Result<(), InputErrors> {
    let config = Arc::new(config);
    let listener = match &config.web {
        Some(web) => Some(web::listen(web.listen).await.map_err(|error| {
            InputError::new(format!("the web page cannot listen on {}: {error}", web.listen))
                .in_file(&config.file)
                .help("name another address under `web: { listen: … }`, or turn the page off by `web: false`")
        })?),
        None => None,
    };
    let (parts, lines) = parts(&config).await?;
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
    let reloading = tokio::spawn(reload_on_hangup(parts.clone(), Arc::clone(&config), current, reload));
    let stopper = tokio::spawn(async move {
        run::interrupted().await;
        // Nobody listening means that the watch is over.
        let _ = stop.send(true);
        run::interrupted().await;
        std::process::exit(130);
    });
    say(&parts, started(&config));
    let result = runner::watch(config, parts.clone(), reloads, stopped).await;
    reloading.abort();
    if let Some(serving) = serving {
        let _ = serving.await;
    }
    stopper.abort();
    say(&parts, "stopped");
    drop(parts);
    // What is left to say is said.
    let _ = tokio::time::timeout(std::time::Duration::from_millis(200), telling).await;
    result.map_err(input_errors)
}

async fn once(config: WatchConfig) -> Result<crate::report::Report, InputErrors> {
    let config = Arc::new(config);
    let (parts, lines) = parts(&config).await?;
    let (stop, stopped) = watch::channel(false);
    let telling = tokio::spawn(tell(lines));
    let stopper = tokio::spawn(async move {
        run::interrupted().await;
        let _ = stop.send(true);
        run::interrupted().await;
        std::process::exit(130);
    });
    let report = runner::once(config, parts, stopped).await;
    stopper.abort();
    let _ = tokio::time::timeout(std::time::Duration::from_millis(200), telling).await;
    report.map_err(input_errors)
}

/// SIGHUP: the file is read again; a mistake in it leaves everything as it is.
async fn reload_on_hangup(
    parts: Parts,
    first: Arc<WatchConfig>,
    current: watch::Sender<Arc<WatchConfig>>,
    reload: mpsc::Sender<Arc<WatchConfig>>,
) {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut hangup) = signal(SignalKind::hangup()) else { return };
    while hangup.recv().await.is_some() {
        let file = first.file.clone();
        let loaded = tokio::task::spawn_blocking(move || config::load(&file)).await;
        let refused = match loaded {
            Ok(Ok(config)) => match fixed(&first, &config) {
                None => {
                    let config = Arc::new(config);
                    current.send_replace(Arc::clone(&config));
                    parts.board.change_health(|health| health.reload = None);
                    if reload.send(config).await.is_err() {
                        return;
                    }
                    continue;
                }
                Some(reason) => reason.to_owned(),
            },
            Ok(Err(errors)) => errors.to_string(),
            Err(_) => "the file could not be read".to_owned(),
        };
        parts.board.change_health(|health| health.reload = Some(refused.clone()));
        say(&parts, format!("configuration not taken, the one before stays:\n{refused}"));
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

async fn parts(config: &Arc<WatchConfig>) -> Result<(Parts, mpsc::UnboundedReceiver<String>), InputErrors> {
    let store = Store::open(&config.storage).await.map_err(|error| unusable(&error, config))?;
    let (notices, lines) = mpsc::unbounded_channel();
    let board = Arc::new(Board::default());
    let process = process_name();
    board.change_health(|health| {
        health.started_at = Some(jiff::Timestamp::now());
        health.process.clone_from(&process);
    });
    let prober: MakeProber = Arc::new(|check: &CheckSet, stop| {
        let session = Session::new(check.plan.clone(), settings(check), stop, None)?;
        Ok(Arc::new(session) as Arc<dyn Prober>)
    });
    let metrics = Arc::new(Metrics::new(config));
    let parts = Parts { clock: Arc::new(SystemClock), store, board, metrics, prober, notices, process };
    Ok((parts, lines))
}

/// As `verify` probes, one round at a time.
fn settings(check: &CheckSet) -> Settings {
    let settings = Settings { connect_timeout: check.connect_timeout, ..Settings::default() };
    verify::asking_in_need(settings, &check.plan)
}

/// Two watches on one file would both probe everything.
fn unusable(error: &StoreError, config: &WatchConfig) -> InputErrors {
    match (error, &config.storage) {
        (StoreError::Busy, Storage::Sqlite { path }) => InputError::new(error.to_string())
            .in_file(path.clone())
            .help("stop it, or give this one a file of its own; several processes share a PostgreSQL database")
            .into(),
        _ => InputError::new(format!("the history cannot be used: {error}")).in_file(&config.file).into(),
    }
}

/// Name of this process: the host's, and its number.
fn process_name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim();
    format!("{}-{}", if host.is_empty() { "host" } else { host }, std::process::id())
}

fn input_errors(error: WatchError) -> InputErrors {
    match error {
        WatchError::Input(errors) => errors,
        WatchError::Store(error) => InputError::new(format!("the history cannot be used: {error}")).into(),
    }
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
        let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ");
        printer::complain(&format!("{now} {line}\n"));
    }
}

fn started(config: &WatchConfig) -> String {
    let cells: usize = config.checks.iter().map(|check| check.plan.cells.len()).sum();
    let sets = config.checks.len();
    format!("watching {cells} cell{} of {sets} check set{}", plural(cells), plural(sets))
}

/// What would run.
fn outline(config: &WatchConfig) -> String {
    use std::fmt::Write as _;
    let mut text = format!("{}: {}\n", config.file.display(), started(config));
    for check in &config.checks {
        let cells = check.plan.cells.len();
        // Writing into a string cannot fail.
        let _ = writeln!(
            text,
            "  {}: {cells} cell{}, {}, confirmed by {} round{}",
            check.name,
            plural(cells),
            schedule(&check.schedule),
            check.confirm,
            plural(check.confirm as usize),
        );
    }
    let storage = match &config.storage {
        Storage::Sqlite { path } => format!("SQLite, {}", path.display()),
        Storage::Postgres { .. } => "PostgreSQL".to_owned(),
    };
    let _ = writeln!(text, "  history: {storage}");
    for receiver in &config.receivers {
        let kind = match receiver.kind {
            ReceiverKind::Alertmanager { .. } => "Alertmanager",
            ReceiverKind::Webhook { .. } => "webhook",
            ReceiverKind::Command { .. } => "command",
        };
        let _ = writeln!(text, "  alerts: {} ({kind})", receiver.name);
    }
    if let Some(web) = &config.web {
        let _ = writeln!(text, "  web page: http://{}/", web.listen);
    }
    text
}

fn schedule(schedule: &Schedule) -> String {
    match schedule {
        Schedule::Every { interval, .. } => format!("every {} s", interval.as_secs_f64()),
        Schedule::Cron { cron, zone, .. } => {
            let zone = zone.iana_name().unwrap_or("UTC");
            format!("cron {} ({zone})", cron.as_str())
        }
    }
}

const fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

/// Signals that come faster than configurations can be taken.
const RELOADS_WAITING: usize = 16;

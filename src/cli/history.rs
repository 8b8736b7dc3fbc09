//! `kubereach history CONFIG`: what a watch has seen. Reads the database that the watch writes, at the same time or not.

mod csv;
mod json;
mod rows;
mod text;

use std::{
    io::{self, BufWriter, Write},
    process::ExitCode,
};

use jiff::Timestamp;

use super::{
    arguments::{HistoryArguments, HistoryFormat, HistoryOf},
    printer, run,
};
use crate::{
    input::{InputError, InputErrors, listed, parse_long_duration, quoted},
    watch::{
        config::{self, Matcher, Storage},
        store::{Store, StoreError},
    },
};

pub(super) fn main(arguments: &HistoryArguments) -> Result<ExitCode, InputErrors> {
    let question = Question::new(arguments, Timestamp::now())?;
    let storage = config::load_storage(&arguments.config)?;
    run::block_on(answer(arguments, &question, &storage))??;
    Ok(ExitCode::SUCCESS)
}

/// What is asked.
#[derive(Clone, Debug)]
struct Question {
    /// What is listed.
    of: HistoryOf,
    /// Of which cells.
    matcher: Matcher,
    /// From this time on.
    from: Timestamp,
    /// Before this time.
    until: Timestamp,
    /// At most so many rows.
    limit: usize,
}

impl Question {
    fn new(arguments: &HistoryArguments, now: Timestamp) -> Result<Self, InputErrors> {
        let mut errors = Vec::new();
        let mut time = |name: &str, text: &str| {
            instant(name, text, now).unwrap_or_else(|error| {
                errors.push(error);
                now
            })
        };
        let from = time("--since", &arguments.since);
        let until = arguments.until.as_deref().map_or(now, |text| time("--until", text));
        if errors.is_empty() && from >= until {
            errors.push(InputError::new(format!("--since ({from}) is not before --until ({until})")));
        }
        if arguments.limit == 0 {
            errors.push(InputError::new("--limit 0 leaves nothing to list; expected 1 or more"));
        }
        if !errors.is_empty() {
            return Err(InputErrors(errors));
        }
        let (clusters, vantages) = (arguments.cluster.clone(), arguments.vantage.clone());
        let matcher = Matcher { clusters, vantages, ..Matcher::default() };
        Ok(Self { of: arguments.what, matcher, from, until, limit: arguments.limit })
    }
}

/// A time by itself, or so long ago.
fn instant(name: &str, text: &str, now: Timestamp) -> Result<Timestamp, InputError> {
    if let Ok(time) = text.trim().parse::<Timestamp>() {
        return Ok(time);
    }
    let wrong = || {
        InputError::new(format!(
            "{name}: {} is no time; expected one like `2026-11-01T00:00:00Z`, or how long ago like `90m` or `7d`",
            quoted(text)
        ))
    };
    let ago = parse_long_duration(text).map_err(|_| wrong())?;
    now.checked_sub(ago).map_err(|_| wrong())
}

async fn answer(arguments: &HistoryArguments, question: &Question, storage: &Storage) -> Result<(), InputErrors> {
    let store = Store::open_to_read(storage).await.map_err(|error| refused(&error, arguments, storage))?;
    let printed = list(&store, arguments, question).await;
    store.close().await;
    match printed {
        Ok(()) => Ok(()),
        Err(Stop::Store(error)) => Err(refused(&error, arguments, storage)),
        Err(Stop::Input(error)) => Err(error.into()),
        // A reader that went away (`| head`) wants no more.
        Err(Stop::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(Stop::Output(error)) => Err(InputError::new(format!("cannot write to stdout: {error}")).into()),
    }
}

async fn list(store: &Store, arguments: &HistoryArguments, question: &Question) -> Result<(), Stop> {
    let mut cells = store.cells().await?;
    cells.retain(|cell| question.matcher.matches(&cell.key));
    cells.sort_by(|left, right| left.key.cmp(&right.key));
    if cells.is_empty() {
        named_nothing(store, question).await?;
    }
    let mut output = BufWriter::new(io::stdout());
    match arguments.output {
        HistoryFormat::Text => {
            let paper = printer::paper(arguments.color);
            text::write(&mut output, store, &cells, question, paper).await?;
        }
        HistoryFormat::Json => json::write(&mut output, store, &cells, question).await?,
        HistoryFormat::Csv => csv::write(&mut output, store, &cells, question).await?,
    }
    output.flush()?;
    Ok(())
}

/// A name that no cell has is probably misspelt.
async fn named_nothing(store: &Store, question: &Question) -> Result<(), Stop> {
    let all = store.cells().await?;
    let Matcher { clusters, vantages, .. } = &question.matcher;
    if all.is_empty() || clusters.is_empty() && vantages.is_empty() {
        return Ok(());
    }
    let names = |name: fn(&crate::watch::record::CellKey) -> &str| {
        let mut names: Vec<&str> = all.iter().map(|cell| name(&cell.key)).collect();
        names.sort_unstable();
        names.dedup();
        listed(names)
    };
    let help = format!("clusters: {}; vantages: {}", names(|key| &key.cluster), names(|key| &key.vantage));
    Err(Stop::Input(InputError::new("no cell of that cluster and vantage was ever watched").help(help)))
}

fn refused(error: &StoreError, arguments: &HistoryArguments, storage: &Storage) -> InputErrors {
    let told = InputError::new(error.to_string()).in_file(&arguments.config);
    let help = match (storage, error) {
        (_, StoreError::Foreign(_)) => None,
        (Storage::Sqlite { .. }, _) => {
            Some("who reads history needs the right to read the file and to write into its folder")
        }
        (Storage::Postgres { .. }, _) => Some("see whether the server runs and lets this host and user in"),
    };
    match help {
        Some(help) => told.help(help).into(),
        None => told.into(),
    }
}

/// Why listing ended early.
#[derive(Debug)]
enum Stop {
    /// The database.
    Store(StoreError),
    /// What was asked.
    Input(InputError),
    /// Standard output.
    Output(io::Error),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

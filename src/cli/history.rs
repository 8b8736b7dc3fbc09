//! `kubereach history CONFIG`: what a watch has seen. Reads the database that the watch writes, at the same time or not.

mod csv;
mod json;
mod newest;
mod rows;
mod text;
mod watched;

use std::{
    collections::BTreeSet,
    io::{self, BufWriter, Write},
    process::ExitCode,
};

use jiff::Timestamp;

use self::{rows::Source, watched::Watched};
use super::{
    arguments::{HistoryArguments, HistoryFormat, HistoryOf},
    printer, run,
};
use crate::{
    input::{InputError, InputErrors, listed, parse_long_duration, quoted},
    report::CellTarget,
    watch::{
        config::{self, Matcher, Storage},
        record::{CellKey, Event, EventKind},
        store::{Store, StoreError, StoredCell},
    },
};

pub(super) fn main(arguments: &HistoryArguments) -> Result<ExitCode, InputErrors> {
    let question = Question::new(arguments, Timestamp::now())?;
    let storage = config::load_storage(&arguments.config)?;
    // Where the rest of the configuration cannot be read here, what it has watched is not known.
    let watched = Watched::new(config::load(&arguments.config).ok().as_ref());
    run::block_on(answer(arguments, &question, &watched, &storage))??;
    Ok(ExitCode::SUCCESS)
}

/// What is asked.
#[derive(Clone, Debug)]
struct Question {
    /// What is listed.
    of: HistoryOf,
    /// Of which cells.
    matcher: Matcher,
    /// Of what is to be reached there; of everything when empty.
    targets: Vec<CellTarget>,
    /// Events of which kinds; all when empty.
    kinds: Vec<EventKind>,
    /// Now.
    now: Timestamp,
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
        if !arguments.kind.is_empty() && arguments.what != HistoryOf::Events {
            errors.push(
                InputError::new("--kind is for `events`").help("write `kubereach history CONFIG events --kind …`"),
            );
        }
        if !errors.is_empty() {
            return Err(InputErrors(errors));
        }
        let (checks, clusters, vantages) =
            (arguments.check.clone(), arguments.cluster.clone(), arguments.vantage.clone());
        Ok(Self {
            of: arguments.what,
            matcher: Matcher { checks, clusters, vantages },
            targets: arguments.target.clone(),
            kinds: arguments.kind.clone(),
            now,
            from,
            until,
            limit: arguments.limit,
        })
    }

    /// Whether a cell is asked for.
    fn names(&self, key: &CellKey) -> bool {
        self.matcher.matches(key) && (self.targets.is_empty() || self.targets.contains(&key.target))
    }

    /// Whether an event is asked for: a change of a cluster's configuration is with any of its vantages and targets.
    fn tells(&self, event: &Event) -> bool {
        match &event.cell {
            Some(cell) => self.names(cell),
            None => {
                let key = CellKey {
                    check: event.cluster.check.clone(),
                    cluster: event.cluster.cluster.clone(),
                    vantage: String::new(),
                    target: CellTarget::Kubernetes,
                };
                Matcher { vantages: Vec::new(), ..self.matcher.clone() }.matches(&key)
            }
        }
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

async fn answer(
    arguments: &HistoryArguments,
    question: &Question,
    watched: &Watched,
    storage: &Storage,
) -> Result<(), InputErrors> {
    let store = Store::open_to_read(storage).await.map_err(|error| refused(&error, arguments, storage))?;
    let printed = list(&store, arguments, question, watched).await;
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

async fn list(store: &Store, arguments: &HistoryArguments, question: &Question, watched: &Watched) -> Result<(), Stop> {
    let mut cells = store.cells().await?;
    let checks: BTreeSet<&str> = cells.iter().map(|cell| cell.key.check.as_str()).collect();
    let several_checks = checks.len() > 1;
    if !cells.iter().any(|cell| question.names(&cell.key)) {
        named_nothing(&cells, question)?;
    }
    cells.retain(|cell| question.names(&cell.key));
    cells.sort_by(|left, right| {
        let place = |cell: &StoredCell| watched.has(&cell.key) == Some(false);
        place(left).cmp(&place(right)).then_with(|| left.key.cmp(&right.key))
    });
    let source = Source { store, cells: &cells, watched, question };
    let mut output = BufWriter::new(io::stdout());
    match arguments.output {
        HistoryFormat::Text => {
            let paper = printer::paper(arguments.color);
            text::write(&mut output, &source, several_checks, paper).await?;
        }
        HistoryFormat::Json => json::write(&mut output, &source).await?,
        HistoryFormat::Csv => csv::write(&mut output, &source).await?,
    }
    output.flush()?;
    Ok(())
}

/// A name that no cell has is probably misspelt.
fn named_nothing(all: &[StoredCell], question: &Question) -> Result<(), Stop> {
    let Matcher { checks, clusters, vantages } = &question.matcher;
    if all.is_empty()
        || [checks, clusters, vantages].iter().all(|names| names.is_empty()) && question.targets.is_empty()
    {
        return Ok(());
    }
    let names = |name: fn(&CellKey) -> &str| {
        let mut names: Vec<&str> = all.iter().map(|cell| name(&cell.key)).collect();
        names.sort_unstable();
        names.dedup();
        listed(names)
    };
    let help = format!(
        "checks: {}; clusters: {}; vantages: {}; targets: {}",
        names(|key| &key.check),
        names(|key| &key.cluster),
        names(|key| &key.vantage),
        names(|key| key.target.label()),
    );
    Err(Stop::Input(InputError::new("no such cell was ever watched").help(help)))
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

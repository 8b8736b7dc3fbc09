//! What to check, when, where history goes, and whom to tell: the watch's configuration as validated values.

mod alerts;
mod doubts;
mod keys;
mod places;
mod read;
mod schema;
#[cfg(test)]
mod tests;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;
pub use schema::schema;
use secrecy::SecretString;

use super::{record::CellKey, schedule::Schedule};
use crate::{
    input::{InputErrors, read_text, variable},
    report::Severity,
    scenario::Plan,
};

/// Reads a configuration: UTF-8, at most 1 MiB, YAML or JSON. Relative paths are resolved against its folder, and the
/// files that it names (scenarios, secrets, certificates) are read. Every mistake comes at once, those of the scenario
/// files with their own file and line.
pub fn load(path: &Path) -> Result<WatchConfig, InputErrors> {
    read::read(&read_text(path, read::WHAT, read::LARGEST)?, path, &|name| variable(name))
}

/// Reads nothing of a configuration but where history goes, for whoever only reads that. The secrets of receivers and
/// the page, and the scenarios, need not be there.
pub fn load_storage(path: &Path) -> Result<Storage, InputErrors> {
    read::read_storage(&read_text(path, read::WHAT, read::LARGEST)?, path, &|name| variable(name))
}

/// The whole configuration. Relative paths are resolved, scenario files read and validated.
#[derive(Clone, Debug)]
pub struct WatchConfig {
    /// The file it came from.
    pub file: PathBuf,
    /// What is checked, by name.
    pub checks: Vec<CheckSet>,
    /// Where history goes.
    pub storage: Storage,
    /// How long history is kept.
    pub retention: Retention,
    /// When nobody is to be alerted.
    pub maintenance: Vec<MaintenanceWindow>,
    /// Who can be told.
    pub receivers: Vec<Receiver>,
    /// Who is told of what.
    pub routes: Vec<Route>,
    /// The web page, its JSON and `/metrics`; null when it is turned off.
    pub web: Option<Web>,
}

/// One scenario file with its schedule.
#[derive(Clone, Debug)]
pub struct CheckSet {
    /// Name, unique: by default the file's stem.
    pub name: String,
    /// The scenario.
    pub plan: Plan,
    /// When each cell is due.
    pub schedule: Schedule,
    /// Upper bound of one round of one cell.
    pub timeout: Duration,
    /// Bound of each connect, handshake and first answer.
    pub connect_timeout: Duration,
    /// How many rounds in a row must agree before a cell's state changes; at least 1.
    pub confirm: u32,
    /// How often the provider's configuration is read again.
    pub configuration_every: Duration,
}

impl CheckSet {
    /// The names of its cells, in the order of the plan.
    pub fn keys(&self) -> impl Iterator<Item = CellKey> {
        self.plan.cells.iter().map(|cell| CellKey {
            check: self.name.clone(),
            cluster: self.plan.clusters[cell.cluster].name.clone(),
            vantage: self.plan.vantages[cell.vantage].name.clone(),
            target: cell.target,
        })
    }
}

/// Where history goes.
#[derive(Clone, Debug)]
pub enum Storage {
    /// One file on this host.
    Sqlite {
        /// The database file; its folder exists.
        path: PathBuf,
    },
    /// A PostgreSQL server, which several processes may share.
    Postgres {
        /// Connection string (`postgres://user:password@host/database?sslmode=require`); never shown.
        url: SecretString,
        /// PEM file with the authorities of the server's certificate; the system's roots without it.
        ca: Option<PathBuf>,
    },
}

/// How long history is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Single rounds.
    pub rounds: Duration,
    /// Hours and days.
    pub rollups: Duration,
    /// Events, with the details and snapshots that they name.
    pub events: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        const DAY: Duration = Duration::from_hours(24);
        Self { rounds: 14 * DAY, rollups: 400 * DAY, events: 400 * DAY }
    }
}

/// Which cells something is about; an empty list means all. `*` stands for any run of characters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matcher {
    /// Names of checks.
    pub checks: Vec<String>,
    /// Names of clusters.
    pub clusters: Vec<String>,
    /// Names of vantages.
    pub vantages: Vec<String>,
}

impl Matcher {
    /// Whether a cell is one of them.
    #[must_use]
    pub fn matches(&self, key: &CellKey) -> bool {
        let any = |patterns: &[String], name: &str| {
            patterns.is_empty() || patterns.iter().any(|pattern| matches_name(pattern, name))
        };
        any(&self.checks, &key.check) && any(&self.clusters, &key.cluster) && any(&self.vantages, &key.vantage)
    }
}

/// Whether a name fits a pattern in which `*` stands for any run of characters. Takes time in the product of both
/// lengths at most.
#[must_use]
pub fn matches_name(pattern: &str, name: &str) -> bool {
    let Some((begin, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut name) = name.strip_prefix(begin) else { return false };
    let mut pieces = rest.split('*').peekable();
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            return name.ends_with(piece);
        }
        // The first place that fits leaves the most for the pieces that follow.
        let Some(at) = name.find(piece) else { return false };
        name = &name[at + piece.len()..];
    }
    true
}

/// When nobody is to be alerted of some cells.
#[derive(Clone, Debug)]
pub struct MaintenanceWindow {
    /// Why, for people; may be empty.
    pub name: String,
    /// Of which cells.
    pub matcher: Matcher,
    /// When.
    pub when: MaintenanceTime,
}

/// When a maintenance window is open.
#[derive(Clone, Debug)]
pub enum MaintenanceTime {
    /// Once.
    Once {
        /// Begin.
        from: Timestamp,
        /// End.
        until: Timestamp,
    },
    /// Again and again.
    Recurring {
        /// Its begins; a [`Schedule::Cron`].
        begins: Schedule,
        /// How long it lasts.
        lasts: Duration,
    },
}

impl MaintenanceTime {
    /// Whether the window is open at this time: its begin is part of it, its end is not.
    #[must_use]
    pub fn is_open(&self, at: Timestamp) -> bool {
        self.open_until(at).is_some()
    }

    /// When the window that is open at this time ends; `None` while none is. Where it begins again before it has ended,
    /// the end of the last begin counts.
    #[must_use]
    pub fn open_until(&self, at: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Once { from, until } => (*from <= at && at < *until).then_some(*until),
            Self::Recurring { begins, lasts } => {
                let first = begins.next(0, at.checked_sub(*lasts).ok()?);
                let begun = std::iter::successors(Some(first), |begin| Some(begins.next(0, *begin)));
                let last = begun.take_while(|begin| *begin <= at).take(OVERLAPPING_WINDOWS).last()?;
                Some(last.saturating_add(*lasts).unwrap_or(Timestamp::MAX))
            }
        }
    }
}

impl WatchConfig {
    /// Whether a maintenance window is open for a cell.
    #[must_use]
    pub fn in_maintenance(&self, key: &CellKey, at: Timestamp) -> bool {
        self.maintenance.iter().any(|window| window.matcher.matches(key) && window.when.is_open(at))
    }

    /// The maintenance windows that are open, each with its end, the one that ends last first.
    #[must_use]
    pub fn open_windows(&self, at: Timestamp) -> Vec<(&MaintenanceWindow, Timestamp)> {
        let open = self.maintenance.iter().filter_map(|window| Some((window, window.when.open_until(at)?)));
        let mut open: Vec<_> = open.collect();
        open.sort_by_key(|(_, until)| std::cmp::Reverse(*until));
        open
    }

    /// The maintenance window that is open for a cell, with its name and end: of several the one that ends last.
    #[must_use]
    pub fn maintenance_of(&self, key: &CellKey, at: Timestamp) -> Option<(&str, Timestamp)> {
        let open = self.open_windows(at).into_iter().find(|(window, _)| window.matcher.matches(key));
        open.map(|(window, until)| (window.name.as_str(), until))
    }
}

/// Who can be told.
#[derive(Clone, Debug)]
pub struct Receiver {
    /// Name, unique.
    pub name: String,
    /// How.
    pub kind: ReceiverKind,
    /// Bound of one delivery.
    pub timeout: Duration,
}

/// How a receiver is told.
#[derive(Clone, Debug)]
pub enum ReceiverKind {
    /// Prometheus' Alertmanager, API v2. All of its replicas are told.
    Alertmanager {
        /// Base URLs.
        urls: Vec<String>,
    },
    /// A POST of JSON, signed.
    Webhook {
        /// Where.
        url: SecretString,
        /// Key of the signature (HMAC-SHA-256); unsigned without it.
        secret: Option<SecretString>,
    },
    /// A program, which gets the JSON on its standard input.
    Command {
        /// Program and arguments; no shell.
        command: Vec<String>,
    },
}

/// Who is told of what. Every route that matches counts.
#[derive(Clone, Debug)]
pub struct Route {
    /// Of which cells.
    pub matcher: Matcher,
    /// Only of findings at least this bad.
    pub severity: Severity,
    /// Cells that stay inconclusive count, too.
    pub inconclusive: bool,
    /// Names of receivers.
    pub receivers: Vec<String>,
    /// How long after a delivery it is sent again while the incident lasts.
    pub repeat: Duration,
    /// Labels added to every alert.
    pub labels: Vec<(String, String)>,
}

/// The web page.
#[derive(Clone, Debug)]
pub struct Web {
    /// Where it listens; loopback unless `token` is set or `behind_proxy` says who protects it.
    pub listen: SocketAddr,
    /// What a visitor must show (`Authorization: Bearer …`, or once as `?token=…`, which becomes a cookie).
    pub token: Option<SecretString>,
    /// A reverse proxy in front of it asks for credentials.
    pub behind_proxy: bool,
    /// Under which URL people reach it, for links in alerts; no trailing slash.
    pub public_url: Option<String>,
}

/// Begins of one window that are looked at: one that begins again more often while it lasts is as good as always open.
const OVERLAPPING_WINDOWS: usize = 64;

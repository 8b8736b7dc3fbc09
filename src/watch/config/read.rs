//! From the positioned tree to the configuration. Every mistake is noted and the reading goes on.

use std::{collections::HashSet, path::Path, time::Duration};

use super::{CheckSet, Retention, Storage, WatchConfig, keys};
use crate::{
    input::{
        Documents, Fields, InputError, InputErrors, Kind, Limits, MEBIBYTE, Node, Reading, Source, in_order,
        parse_long_duration, quoted, read_root,
    },
    scenario::{self, Plan},
    watch::schedule::Schedule,
};

/// Validates a configuration.
pub(super) fn read(
    text: &str,
    file: &Path,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<WatchConfig, InputErrors> {
    read_part(text, file, environment, Reader::config)
}

/// Validates where history goes, and nothing else.
pub(super) fn read_storage(
    text: &str,
    file: &Path,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Storage, InputErrors> {
    read_part(text, file, environment, |reader, root| {
        let watch = reader.watch(root)?;
        reader.storage(&watch)
    })
}

fn read_part<'a, T>(
    text: &'a str,
    file: &'a Path,
    environment: &'a dyn Fn(&str) -> Option<String>,
    part: impl FnOnce(&mut Reader<'a>, &Node) -> Option<T>,
) -> Result<T, InputErrors> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.len() as u64 > LARGEST {
        return Err(InputError::new("the configuration is larger than 1 MiB").in_file(file).into());
    }
    let source = Source::new(file, text).hiding(may_hold_access);
    let help = "it needs `apiVersion: kubereach/v1` and `watch: { checks: [{ scenario: scenario.yaml }] }`";
    let (root, errors) = read_root(&source, text, LIMITS, Reader::WHAT, help)?;
    let mut reader = Reader { source, environment, errors };
    match part(&mut reader, &root) {
        Some(found) if reader.errors.is_empty() => Ok(found),
        _ => Err(in_order(reader.errors, file)),
    }
}

/// The file with what was found wrong with it.
pub(super) struct Reader<'a> {
    pub(super) source: Source<'a>,
    environment: &'a dyn Fn(&str) -> Option<String>,
    pub(super) errors: Vec<InputError>,
}

impl Reading for Reader<'_> {
    const WHAT: &'static str = WHAT;

    fn source(&self) -> &Source<'_> {
        &self.source
    }

    fn errors(&mut self) -> &mut Vec<InputError> {
        &mut self.errors
    }

    fn variable(&self, name: &str) -> Option<String> {
        (self.environment)(name)
    }
}

/// What holds for a check that does not say otherwise.
struct Defaults {
    every: Duration,
    jitter: Option<Duration>,
    spread: Option<Duration>,
    timezone: jiff::tz::TimeZone,
    timeout: Duration,
    connect_timeout: Duration,
    confirm: u32,
    configuration_every: Duration,
}

impl Reader<'_> {
    /// The keys of `watch`.
    fn watch<'n>(&mut self, root: &'n Node) -> Option<Fields<'n>> {
        let root = self.fields(root, "a watch configuration", keys::ROOT)?;
        self.api_version(&root);
        let Some(node) = root.get("watch") else {
            self.lacks(&root, "watch", "the watch configuration");
            return None;
        };
        self.fields(node, "`watch`", keys::WATCH)
    }

    fn config(&mut self, root: &Node) -> Option<WatchConfig> {
        let fields = self.watch(root)?;
        let defaults = self.defaults(&fields);
        let checks = self.checks(&fields, &defaults);
        let storage = self.storage(&fields);
        let retention = fields.get("retention").map(|node| self.retention(node)).unwrap_or_default();
        let maintenance = self.maintenance(&fields);
        let (receivers, routes) = self.alerts(&fields);
        let web = self.web(&fields);
        // Names that match nothing are told once every name is known.
        if checks.iter().all(Option::is_some) {
            let plans: Vec<&CheckSet> = checks.iter().flatten().collect();
            self.check_matchers(&fields, &plans);
        }
        Some(WatchConfig {
            file: self.source.file.to_owned(),
            checks: checks.into_iter().collect::<Option<_>>()?,
            storage: storage?,
            retention,
            maintenance,
            receivers,
            routes,
            web,
        })
    }

    fn defaults(&mut self, fields: &Fields<'_>) -> Defaults {
        let fields = fields
            .get("defaults")
            .and_then(|node| self.fields(node, "`defaults`", keys::DEFAULTS))
            .unwrap_or(Fields { entries: &[], position: fields.position });
        let written =
            |reader: &mut Self, key: &str| fields.get(key).and_then(|node| reader.duration(node, &format!("`{key}`")));
        let every = self.every(&fields);
        let timeout = self.bound(&fields, "timeout");
        if let (Some(every), Some(timeout)) = (every, timeout)
            && timeout > every
        {
            self.longer_than_its_interval(&fields);
        }
        Defaults {
            every: every.unwrap_or(EVERY),
            jitter: written(self, "jitter"),
            spread: written(self, "spread"),
            timezone: self.timezone(&fields).unwrap_or(jiff::tz::TimeZone::UTC),
            timeout: timeout.unwrap_or(TIMEOUT),
            connect_timeout: self.bound(&fields, "connectTimeout").unwrap_or(CONNECT_TIMEOUT),
            confirm: self.confirm(&fields).unwrap_or(CONFIRM),
            configuration_every: self.configuration_every(&fields).unwrap_or(CONFIGURATION_EVERY),
        }
    }

    /// The checks; `None` for one with mistakes.
    fn checks(&mut self, fields: &Fields<'_>, defaults: &Defaults) -> Vec<Option<CheckSet>> {
        let help = "write `checks: [{ scenario: scenario.yaml }]`";
        let Some(node) = fields.get("checks") else {
            self.error(fields.place("checks"), "nothing is checked: `checks` is missing", help);
            return vec![None];
        };
        let items = self.items(node, "`checks`");
        if items.is_empty() && matches!(node.kind, Kind::List(_)) {
            self.error(node.position, "nothing is checked: `checks` is empty", help);
        }
        if items.len() > MOST_CHECKS {
            self.error(
                node.position,
                format!("there are more than {MOST_CHECKS} checks"),
                "give each process its part",
            );
            return vec![None];
        }
        let mut names = HashSet::new();
        items.into_iter().map(|item| self.check(item, defaults, &mut names)).collect()
    }

    fn check(&mut self, node: &Node, defaults: &Defaults, names: &mut HashSet<String>) -> Option<CheckSet> {
        let before = self.errors.len();
        let fields = self.fields(node, "a check", keys::CHECK)?;
        let plan = self.scenario(&fields);
        let name = self.check_name(&fields, names);
        let schedule = self.schedule(&fields, defaults);
        let own = self.bound(&fields, "timeout");
        if let (Some(timeout), Some(Schedule::Every { interval, .. })) = (own, &schedule)
            && timeout > *interval
        {
            self.longer_than_its_interval(&fields);
        }
        let connect = self.bound(&fields, "connectTimeout");
        if let (Some(connect), Some(timeout)) = (connect, own)
            && connect > timeout
        {
            let message = "`connectTimeout` is longer than `timeout`, which bounds the whole round";
            self.error(fields.place("connectTimeout"), message, "give each stage less time than the round");
        }
        let confirm = self.confirm(&fields).unwrap_or(defaults.confirm);
        let configuration_every = self.configuration_every(&fields).unwrap_or(defaults.configuration_every);
        if self.errors.len() > before {
            return None;
        }
        let schedule = schedule?;
        let longest = match &schedule {
            Schedule::Every { interval, .. } => *interval,
            Schedule::Cron { .. } => Duration::MAX,
        };
        let timeout = own.unwrap_or(defaults.timeout).min(longest);
        let connect_timeout = connect.unwrap_or(defaults.connect_timeout).min(timeout);
        Some(CheckSet { name: name?, plan: plan?, schedule, timeout, connect_timeout, confirm, configuration_every })
    }

    fn scenario(&mut self, fields: &Fields<'_>) -> Option<Plan> {
        let Some(node) = fields.get("scenario") else {
            self.lacks(fields, "scenario", "a check");
            return None;
        };
        let path = self.path(node, "`scenario`")?;
        scenario::load(&path).map_err(|errors| self.absorb(node, errors)).ok()
    }

    /// The check's name: by default the stem of its scenario's file.
    fn check_name(&mut self, fields: &Fields<'_>, names: &mut HashSet<String>) -> Option<String> {
        let (name, place) = match fields.get("name") {
            Some(node) => (self.text(node, "`name`")?, node.position),
            None => {
                let node = fields.get("scenario")?;
                let Kind::Scalar { text, .. } = &node.kind else { return None };
                let stem = Path::new(text.trim()).file_stem().map(|stem| stem.to_string_lossy().into_owned());
                (stem.unwrap_or_default(), node.position)
            }
        };
        let odd = |character: char| character.is_control() || matches!(character, '/' | '*');
        if name.is_empty() || name.chars().count() > LONGEST_NAME || name.contains(odd) {
            let message = format!("{} cannot be the name of a check", quoted(&name));
            let help = format!("give it a `name` of 1 to {LONGEST_NAME} characters, without `/` and `*`");
            self.error(place, message, help);
            return None;
        }
        if !names.insert(name.clone()) {
            let message = format!("there are two checks named {}", quoted(&name));
            self.error(place, message, "give one of them another `name`; without one it is the file's stem");
            return None;
        }
        Some(name)
    }

    fn schedule(&mut self, fields: &Fields<'_>, defaults: &Defaults) -> Option<Schedule> {
        if let (Some(_), Some(cron)) = (fields.entry("every"), fields.entry("cron")) {
            self.error(cron.position, "a check has both `every` and `cron`", "keep the one that says when it runs");
            return None;
        }
        let (foreign, owner) = match fields.entry("cron") {
            Some(_) => (&["jitter"][..], "`every`"),
            None => (&["timezone", "spread"][..], "`cron`"),
        };
        for key in foreign {
            if let Some(entry) = fields.entry(key) {
                self.error(entry.position, format!("`{key}` goes with {owner}, which is not here"), "remove it");
            }
        }
        if fields.entry("cron").is_some() {
            let zone = match fields.entry("timezone") {
                Some(_) => self.timezone(fields),
                None => Some(defaults.timezone.clone()),
            };
            let begins = self.cron(fields, "a check", zone)?;
            let gap = begins.interval();
            let own = fields.get("spread").and_then(|node| self.duration(node, "`spread`"));
            if own.is_some_and(|spread| spread > gap) {
                let message = "`spread` is longer than the time from one run to the next";
                self.error(fields.place("spread"), message, "cells are spread over this time after each run begins");
            }
            let Schedule::Cron { cron, zone, .. } = begins else { return None };
            return Some(Schedule::Cron { cron, zone, spread: own.or(defaults.spread).unwrap_or(SPREAD).min(gap) });
        }
        let interval = match fields.entry("every") {
            Some(_) => self.every(fields)?,
            None => defaults.every,
        };
        let own = fields.get("jitter").and_then(|node| self.duration(node, "`jitter`"));
        if own.is_some_and(|jitter| jitter > interval / 2) {
            let message = "`jitter` is more than half of the interval, so that rounds could overtake each other";
            self.error(fields.place("jitter"), message, "write `jitter: 2s`, or `0s` for none");
        }
        let bound = if defaults.jitter.is_some() { interval / 2 } else { interval / 10 };
        let jitter = own.unwrap_or_else(|| defaults.jitter.unwrap_or(JITTER).min(bound));
        Some(Schedule::Every { interval, jitter })
    }

    /// `cron`, which must be there, without spreading. `what` is the mapping. Without a zone, whose mistake is told
    /// already, only what is wrong with the expression is found.
    pub(super) fn cron(
        &mut self,
        fields: &Fields<'_>,
        what: &str,
        zone: Option<jiff::tz::TimeZone>,
    ) -> Option<Schedule> {
        let (known, zone) = (zone.is_some(), zone.unwrap_or(jiff::tz::TimeZone::UTC));
        let text = self.required(fields, "cron", what)?;
        let help =
            "write five fields, minute to day of the week, such as `*/5 8-18 * * MON-FRI`, or six with seconds first";
        let parsed = if text.len() > LONGEST_CRON {
            Err("it is too long".to_owned())
        } else {
            text.parse::<croner::Cron>().map_err(|error| cron_reason(&error))
        };
        let found = parsed.and_then(|cron| {
            let schedule = Schedule::Cron { cron: Box::new(cron), zone, spread: Duration::ZERO };
            if schedule.next(0, jiff::Timestamp::UNIX_EPOCH) == jiff::Timestamp::MAX {
                return Err("no such time ever comes".to_owned());
            }
            Ok(schedule)
        });
        found
            .map_err(|reason| {
                let message = format!("{} is no cron expression: {reason}", quoted(&text));
                self.error(fields.place("cron"), message, help);
            })
            .ok()
            .filter(|_| known)
    }

    pub(super) fn timezone(&mut self, fields: &Fields<'_>) -> Option<jiff::tz::TimeZone> {
        let node = fields.get("timezone")?;
        let name = self.text(node, "`timezone`")?;
        if matches!(name.as_str(), "UTC" | "Etc/UTC") {
            return Some(jiff::tz::TimeZone::UTC);
        }
        let zone = jiff::tz::TimeZone::get(&name).ok();
        if zone.is_none() {
            let message = format!("the time zone {} is not known to this host", quoted(&name));
            let help =
                "write a name such as `Europe/Berlin` or `UTC`; the names come from the system's package `tzdata`";
            self.error(node.position, message, help);
        }
        zone
    }

    fn every(&mut self, fields: &Fields<'_>) -> Option<Duration> {
        let node = fields.get("every")?;
        let every = self.duration(node, "`every`")?;
        if !(SHORTEST_INTERVAL..=LONGEST_INTERVAL).contains(&every) {
            self.error(node.position, "`every` must be from `1s` to `168h`", "write `every: 30s`");
            return None;
        }
        Some(every)
    }

    /// A bound of time, which must leave some.
    pub(super) fn bound(&mut self, fields: &Fields<'_>, key: &str) -> Option<Duration> {
        let node = fields.get(key)?;
        let bound = self.duration(node, &format!("`{key}`"))?;
        if !(SHORTEST_BOUND..=LONGEST_BOUND).contains(&bound) {
            self.error(node.position, format!("`{key}` must be from `10ms` to `1h`"), format!("write `{key}: 5s`"));
            return None;
        }
        Some(bound)
    }

    fn confirm(&mut self, fields: &Fields<'_>) -> Option<u32> {
        let help = "it is how many rounds in a row must agree before a cell's state changes, 3 by default";
        fields.get("confirm").and_then(|node| self.number(node, "`confirm`", 1..=100, help))
    }

    fn configuration_every(&mut self, fields: &Fields<'_>) -> Option<Duration> {
        let node = fields.get("configurationEvery")?;
        let every = self.duration(node, "`configurationEvery`")?;
        if every < SHORTEST_CONFIGURATION {
            let message = "`configurationEvery` is shorter than `10s`: providers limit how often they are asked";
            self.error(node.position, message, "write `configurationEvery: 5m`");
            return None;
        }
        Some(every)
    }

    fn longer_than_its_interval(&mut self, fields: &Fields<'_>) {
        let message = "`timeout` is longer than `every`: a round could still run when the next is due";
        self.error(fields.place("timeout"), message, "shorten `timeout`, or make `every` longer");
    }

    fn retention(&mut self, node: &Node) -> Retention {
        let default = Retention::default();
        let Some(fields) = self.fields(node, "`retention`", keys::RETENTION) else { return default };
        let mut kept = |key: &str, default: Duration| {
            let Some(node) = fields.get(key) else { return default };
            let Some(kept) = self.duration_by(node, &format!("`{key}`"), parse_long_duration) else { return default };
            if kept < SHORTEST_KEPT {
                self.error(
                    node.position,
                    format!("`{key}` are kept for less than an hour"),
                    format!("write `{key}: 14d`"),
                );
            }
            kept
        };
        Retention {
            rounds: kept("rounds", default.rounds),
            rollups: kept("rollups", default.rollups),
            events: kept("events", default.events),
        }
    }
}

/// What a parser of cron expressions says, in our way.
fn cron_reason(error: &croner::errors::CronError) -> String {
    let text = error.to_string();
    let text = text.split_once(": ").map_or(text.as_str(), |(_, reason)| reason).trim_end_matches('.');
    let mut letters = text.chars().take(LONGEST_CRON);
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

/// Whether a line may hold what gives access: a URL may carry a token in its path, and a connection string a password.
fn may_hold_access(line: &str) -> bool {
    let line = line.to_ascii_lowercase();
    line.contains("://") || line.contains("password") || line.contains("secret:") || line.contains("token:")
}

const EVERY: Duration = Duration::from_secs(30);
const JITTER: Duration = Duration::from_secs(2);
const SPREAD: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(20);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const CONFIRM: u32 = 3;
const CONFIGURATION_EVERY: Duration = Duration::from_mins(5);

const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);
const LONGEST_INTERVAL: Duration = Duration::from_hours(168);
const SHORTEST_BOUND: Duration = Duration::from_millis(10);
const LONGEST_BOUND: Duration = Duration::from_hours(1);
const SHORTEST_CONFIGURATION: Duration = Duration::from_secs(10);
const SHORTEST_KEPT: Duration = Duration::from_hours(1);
const LONGEST_CRON: usize = 200;
const LONGEST_NAME: usize = 100;
const MOST_CHECKS: usize = 10_000;
/// A configuration of a thousand checks with all their keys fits.
const LIMITS: Limits = Limits { nodes: 200_000, depth: 32, documents: Documents::One };
/// What the file is, in messages.
pub(super) const WHAT: &str = "watch configuration";
/// Bytes of a configuration.
pub(super) const LARGEST: u64 = MEBIBYTE;

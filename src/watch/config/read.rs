//! From the positioned tree to the configuration. Every mistake is noted and the reading goes on.

use std::{
    collections::HashSet,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use secrecy::SecretString;

use super::{CheckSet, Retention, Storage, WatchConfig, Web, keys};
use crate::{
    input::{
        Documents, Entry, Fields, InputError, InputErrors, Kind, Limits, MEBIBYTE, Node, Reading, Source, in_order,
        parse_long_duration, quoted, read_root, read_text,
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
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.len() as u64 > LARGEST {
        return Err(InputError::new("the configuration is larger than 1 MiB").in_file(file).into());
    }
    let source = Source::new(file, text).hiding(may_hold_access);
    let help = "it needs `apiVersion: kubereach/v1` and `watch: { checks: [{ scenario: scenario.yaml }] }`";
    let (root, errors) = read_root(&source, text, LIMITS, Reader::WHAT, help)?;
    let mut reader = Reader { source, environment, errors };
    match reader.config(&root) {
        Some(config) if reader.errors.is_empty() => Ok(config),
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
    fn config(&mut self, root: &Node) -> Option<WatchConfig> {
        let root = self.fields(root, "a watch configuration", keys::ROOT)?;
        self.api_version(&root);
        let Some(node) = root.get("watch") else {
            self.lacks(&root, "watch", "the watch configuration");
            return None;
        };
        let fields = self.fields(node, "`watch`", keys::WATCH)?;
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
                Some(_) => self.timezone(fields)?,
                None => defaults.timezone.clone(),
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

    /// `cron`, which must be there, without spreading. `what` is the mapping.
    pub(super) fn cron(&mut self, fields: &Fields<'_>, what: &str, zone: jiff::tz::TimeZone) -> Option<Schedule> {
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

    fn storage(&mut self, fields: &Fields<'_>) -> Option<Storage> {
        let Some(entry) = fields.entry("storage") else {
            return self.sqlite(self.resolved(DATABASE), fields.position);
        };
        let fields = self.fields(&entry.value, "`storage`", keys::STORAGE)?;
        match (fields.entry("sqlite"), fields.entry("postgres")) {
            (Some(sqlite), None) => {
                let path = self.path(&sqlite.value, "`sqlite`")?;
                self.sqlite(path, sqlite.value.position)
            }
            (None, Some(postgres)) => self.postgres(postgres),
            (Some(_), Some(later)) => {
                self.error(later.position, "`storage` is `sqlite` and `postgres` at once", "keep one");
                None
            }
            (None, None) => {
                let help = "write `storage: { sqlite: ./kubereach.db }`";
                self.error(entry.position, "`storage` does not say where history goes", help);
                None
            }
        }
    }

    /// The file need not be there, but it must be possible to make it.
    fn sqlite(&mut self, path: PathBuf, place: (usize, usize)) -> Option<Storage> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        let writable = |path: &Path, flags| nix::unistd::access(path, flags | nix::unistd::AccessFlags::W_OK);
        let wrong = if !folder.is_dir() {
            Some(format!("the folder of the database, {}, does not exist", folder.display()))
        } else if let Err(error) = writable(folder, nix::unistd::AccessFlags::X_OK) {
            let reason = error.desc().to_lowercase();
            Some(format!("nothing can be written into the folder of the database, {}: {reason}", folder.display()))
        } else if path.exists() && !path.is_file() {
            Some(format!("the database {} is no file", path.display()))
        } else if let Some(error) =
            path.exists().then(|| writable(&path, nix::unistd::AccessFlags::R_OK)).and_then(Result::err)
        {
            Some(format!("the database {} cannot be written: {}", path.display(), error.desc().to_lowercase()))
        } else {
            None
        };
        if let Some(message) = wrong {
            let help = "write `storage: { sqlite: /var/lib/kubereach/kubereach.db }`, in a folder that this account may write to";
            self.error(place, message, help);
            return None;
        }
        Some(Storage::Sqlite { path })
    }

    fn postgres(&mut self, entry: &Entry) -> Option<Storage> {
        let fields = self.fields(&entry.value, "`postgres`", keys::POSTGRES)?;
        let url = self.secret(&fields, "`postgres`", ["url", "urlFile", "urlEnv"]);
        let ca = fields.get("ca").and_then(|node| self.authority(node));
        let url = url?;
        let parsed = url::Url::parse(secrecy::ExposeSecret::expose_secret(&url)).ok();
        if !parsed.is_some_and(|url| matches!(url.scheme(), "postgres" | "postgresql") && url.has_host()) {
            let message = "the URL of `postgres` is no connection URL of PostgreSQL";
            let help = "it has the form `postgres://user:password@host:5432/database`; signs such as `@` in a password are written as `%40`";
            let error = self.source.error_without_snippet(entry.position, message).help(help);
            self.errors.push(error);
            return None;
        }
        Some(Storage::Postgres { url, ca })
    }

    fn authority(&mut self, node: &Node) -> Option<PathBuf> {
        let path = self.path(node, "`ca`")?;
        let wrong = match read_text(&path, "CA file", MEBIBYTE) {
            Ok(text) if text.contains("-----BEGIN CERTIFICATE-----") => return Some(path),
            Ok(_) => "it holds no certificate".to_owned(),
            Err(error) => error.message,
        };
        let message = format!("`ca`, the file {}: {wrong}", path.display());
        self.error(node.position, message, "give the path of a PEM file with the server's authorities");
        None
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

    fn web(&mut self, fields: &Fields<'_>) -> Option<Web> {
        let default = || Web { listen: LISTEN, token: None, behind_proxy: false, public_url: None };
        let Some(node) = fields.get("web") else { return Some(default()) };
        if matches!(node.kind, Kind::Scalar { plain: true, .. }) {
            return self.boolean(node, "`web`")?.then(default);
        }
        let fields = self.fields(node, "`web`", keys::WEB)?;
        let listen = fields.get("listen").and_then(|node| {
            let text = self.text(node, "`listen`")?;
            let address = text.parse::<SocketAddr>().ok();
            if address.is_none() {
                let message = format!("{} is no address to listen on", quoted(&text));
                self.error(node.position, message, "write an address with its port: `127.0.0.1:8480` or `[::1]:8480`");
            }
            address
        });
        let token = ["tokenFile", "tokenEnv"].iter().any(|key| fields.entry(key).is_some());
        let token = token.then(|| self.secret(&fields, "`web`", ["", "tokenFile", "tokenEnv"])).flatten();
        if let Some(token) = &token {
            self.check_token(&fields, token);
        }
        let behind_proxy =
            fields.get("behindProxy").and_then(|node| self.boolean(node, "`behindProxy`")).unwrap_or(false);
        let asks = ["tokenFile", "tokenEnv"].iter().any(|key| fields.entry(key).is_some()) || behind_proxy;
        if let Some(listen) = listen
            && !listen.ip().to_canonical().is_loopback()
            && !asks
        {
            let message =
                format!("`listen` is {listen}, which others can reach, and nobody would be asked who they are");
            let help = "add `tokenFile: FILE`, or `behindProxy: true` where a reverse proxy asks for credentials, or listen on `127.0.0.1:8480`";
            self.error(fields.place("listen"), message, help);
        }
        let public_url = fields.get("publicUrl").and_then(|node| {
            let help = "write `https://reach.example.com`, without credentials and query";
            Some(self.plain_url(node, "`publicUrl`", help)?.trim_end_matches('/').to_owned())
        });
        Some(Web { listen: listen.unwrap_or(LISTEN), token, behind_proxy, public_url })
    }

    /// A token travels in a header and in a cookie.
    fn check_token(&mut self, fields: &Fields<'_>, token: &SecretString) {
        let token = secrecy::ExposeSecret::expose_secret(token);
        let plain = |letter: char| letter.is_ascii_alphanumeric() || "-._~+/=".contains(letter);
        if token.len() < SHORTEST_TOKEN || token.len() > LONGEST_TOKEN || !token.chars().all(plain) {
            let place = if fields.entry("tokenFile").is_some() { "tokenFile" } else { "tokenEnv" };
            let message = "the token that a visitor must show is too short or holds signs that no token may hold";
            let help = format!(
                "use {SHORTEST_TOKEN} to {LONGEST_TOKEN} letters, digits and `-._~+/=`: `openssl rand -hex 32` makes one"
            );
            self.error(fields.place(place), message, help);
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
const DATABASE: &str = "kubereach.db";
const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8480);

const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);
const LONGEST_INTERVAL: Duration = Duration::from_hours(168);
const SHORTEST_BOUND: Duration = Duration::from_millis(10);
const LONGEST_BOUND: Duration = Duration::from_hours(1);
const SHORTEST_CONFIGURATION: Duration = Duration::from_secs(10);
const SHORTEST_KEPT: Duration = Duration::from_hours(1);
const SHORTEST_TOKEN: usize = 16;
const LONGEST_TOKEN: usize = 256;
const LONGEST_CRON: usize = 200;
const LONGEST_NAME: usize = 100;
const MOST_CHECKS: usize = 10_000;
/// A configuration of a thousand checks with all their keys fits.
const LIMITS: Limits = Limits { nodes: 200_000, depth: 32, documents: Documents::One };
/// What the file is, in messages.
pub(super) const WHAT: &str = "watch configuration";
/// Bytes of a configuration.
pub(super) const LARGEST: u64 = MEBIBYTE;

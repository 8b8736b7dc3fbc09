//! Reading whom to tell, and when nobody is: maintenance windows, receivers, routes, and the secrets that they need.

use std::{path::Path, time::Duration};

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};

use super::{CheckSet, MaintenanceTime, MaintenanceWindow, Matcher, Receiver, ReceiverKind, Route, keys, read::Reader};
use crate::{
    input::{Entry, Fields, Kind, Names, Node, Reading, closest, listed, names_of, quoted, read_text},
    report::Severity,
};

impl Reader<'_> {
    pub(super) fn maintenance(&mut self, fields: &Fields<'_>) -> Vec<MaintenanceWindow> {
        let items = fields.get("maintenance").map(|node| self.items(node, "`maintenance`")).unwrap_or_default();
        items.into_iter().filter_map(|item| self.window(item)).collect()
    }

    fn window(&mut self, node: &Node) -> Option<MaintenanceWindow> {
        let what = "a maintenance window";
        let fields = self.fields(node, what, keys::MAINTENANCE)?;
        let name = self.optional(&fields, "name").unwrap_or_default();
        let matcher = self.matcher(&fields);
        let groups = [&["from", "until"][..], &["cron", "lasts", "timezone"]];
        let written = groups.map(|keys| keys.iter().any(|key| fields.entry(key).is_some()));
        let when = match written {
            [true, false] => self.once(&fields, what),
            [false, true] => self.recurring(&fields, what),
            [true, true] => {
                let message = format!("{what} is once (`from`, `until`) and recurring (`cron`, `lasts`) at once");
                self.error(node.position, message, "make two windows of it");
                None
            }
            [false, false] => {
                let help = "add `from` and `until`, or `cron` and `lasts`";
                self.error(node.position, format!("{what} does not say when it is"), help);
                None
            }
        };
        Some(MaintenanceWindow { name, matcher, when: when? })
    }

    fn once(&mut self, fields: &Fields<'_>, what: &str) -> Option<MaintenanceTime> {
        let (from, until) = (self.time(fields, "from", what), self.time(fields, "until", what));
        let (from, until) = (from?, until?);
        if until <= from {
            self.error(fields.place("until"), "the window ends before it begins", "`until` must be later than `from`");
        }
        Some(MaintenanceTime::Once { from, until })
    }

    fn recurring(&mut self, fields: &Fields<'_>, what: &str) -> Option<MaintenanceTime> {
        let zone = match fields.entry("timezone") {
            Some(_) => self.timezone(fields),
            None => Some(jiff::tz::TimeZone::UTC),
        };
        if fields.entry("lasts").is_none() {
            self.lacks(fields, "lasts", what);
        }
        let lasts = fields.get("lasts").and_then(|node| {
            let lasts = self.duration(node, "`lasts`")?;
            if lasts.is_zero() {
                self.error(node.position, "the window lasts for no time", "write `lasts: 2h`");
            }
            Some(lasts)
        });
        let begins = self.cron(fields, what, zone);
        Some(MaintenanceTime::Recurring { begins: begins?, lasts: lasts? })
    }

    fn time(&mut self, fields: &Fields<'_>, key: &str, what: &str) -> Option<Timestamp> {
        let text = self.required(fields, key, what)?;
        let time = text.parse::<Timestamp>().ok();
        if time.is_none() {
            let message = format!("{} is no time", quoted(&text));
            self.error(fields.place(key), message, "write it as RFC 3339 with its offset: `2026-12-01T20:00:00Z`");
        }
        time
    }

    fn matcher(&mut self, fields: &Fields<'_>) -> Matcher {
        let mut names = |key: &str| {
            let Some(node) = fields.get(key) else { return Vec::new() };
            if let Kind::Scalar { text, .. } = &node.kind {
                return vec![text.trim().to_owned()];
            }
            let items = self.items(node, &format!("`{key}`"));
            if items.is_empty() && matches!(node.kind, Kind::List(_)) {
                self.error(node.position, format!("`{key}` is empty"), format!("leave `{key}` out for all of them"));
            }
            items.into_iter().filter_map(|item| self.text(item, &format!("a name of `{key}`"))).collect()
        };
        Matcher { checks: names("checks"), clusters: names("clusters"), vantages: names("vantages") }
    }

    /// Says which names of maintenance windows and routes are nobody's. What has a `*` in it may be for later.
    pub(super) fn check_matchers(&mut self, fields: &Fields<'_>, checks: &[&CheckSet]) {
        let routes = fields.get("alerts").and_then(|node| node.get("routes"));
        let known: [(&str, &str, Vec<&str>); 3] = [
            ("checks", "check", checks.iter().map(|check| check.name.as_str()).collect()),
            (
                "clusters",
                "cluster",
                checks.iter().flat_map(|check| &check.plan.clusters).map(|one| &*one.name).collect(),
            ),
            (
                "vantages",
                "vantage",
                checks.iter().flat_map(|check| &check.plan.vantages).map(|one| &*one.name).collect(),
            ),
        ];
        for part in [fields.get("maintenance"), routes].into_iter().flatten() {
            let Kind::List(items) = &part.kind else { continue };
            for (key, what, names) in &known {
                for node in items.iter().filter_map(|item| item.get(key)) {
                    self.check_names(node, what, names);
                }
            }
        }
    }

    fn check_names(&mut self, node: &Node, what: &str, names: &[&str]) {
        let items = match &node.kind {
            Kind::List(items) => items.iter().collect(),
            _ => vec![node],
        };
        for item in items {
            let Kind::Scalar { text, .. } = &item.kind else { continue };
            let name = text.trim();
            if name.contains('*') || names.contains(&name) {
                continue;
            }
            let mut message = format!("no check has the {what} {}", quoted(name));
            if what == "check" {
                message = format!("there is no check {}", quoted(name));
            }
            if let Some(similar) = closest(name, names.iter().copied()) {
                message = format!("{message}; did you mean {}?", quoted(similar));
            }
            let mut sorted = names.to_vec();
            sorted.sort_unstable();
            sorted.dedup();
            self.error(item.position, message, format!("known {what}s: {}", listed(sorted)));
        }
    }

    /// Receivers, and who of them is told of what: all of everything where no route is written.
    pub(super) fn alerts(&mut self, fields: &Fields<'_>) -> (Vec<Receiver>, Vec<Route>) {
        let Some(node) = fields.get("alerts") else { return (Vec::new(), Vec::new()) };
        let Some(fields) = self.fields(node, "`alerts`", keys::ALERTS) else { return (Vec::new(), Vec::new()) };
        let entries =
            self.named(&fields, "receivers", "receiver", "receivers: { ops: { alertmanager: { urls: […] } } }");
        let names = names_of(entries);
        let receivers: Vec<Receiver> = entries.iter().filter_map(|entry| self.receiver(entry)).collect();
        let Some(node) = fields.get("routes") else {
            let everybody = entries.iter().map(|entry| entry.key.to_string()).collect();
            return (receivers, vec![Route::to(everybody)]);
        };
        let items = self.items(node, "`routes`");
        if items.is_empty() && matches!(node.kind, Kind::List(_)) {
            let help = "leave `routes` out to tell every receiver of everything";
            self.error(node.position, "`routes` is empty: no receiver is told of anything", help);
        }
        let routes = items.into_iter().filter_map(|item| self.route(item, &names)).collect();
        (receivers, routes)
    }

    fn receiver(&mut self, entry: &Entry) -> Option<Receiver> {
        let what = format!("the receiver {}", quoted(&entry.key));
        let fields = self.fields(&entry.value, &what, keys::RECEIVER)?;
        let timeout = self.bound(&fields, "timeout").unwrap_or(DELIVERY_TIMEOUT);
        let kinds: Vec<&Entry> = fields.entries.iter().filter(|entry| &*entry.key != "timeout").collect();
        let kind = match kinds.as_slice() {
            [one] => match &*one.key {
                "alertmanager" => self.alertmanager(&one.value),
                "webhook" => self.webhook(&one.value),
                "command" => self.command(&one.value),
                _ => None,
            },
            [] => {
                let help = "add one of `alertmanager`, `webhook` and `command`";
                self.error(entry.position, format!("{what} does not say how it is told"), help);
                None
            }
            [_, second, ..] => {
                let known = kinds.iter().all(|kind| keys::RECEIVER.contains(&&*kind.key));
                if known {
                    let message = format!("{what} is {} at once", listed(kinds.iter().map(|kind| &*kind.key)));
                    self.error(second.position, message, "make a receiver of each");
                }
                None
            }
        };
        Some(Receiver { name: entry.key.to_string(), kind: kind?, timeout })
    }

    fn alertmanager(&mut self, node: &Node) -> Option<ReceiverKind> {
        let fields = self.fields(node, "`alertmanager`", keys::ALERTMANAGER)?;
        let help = "write `urls: [http://127.0.0.1:9093]`, every replica of it, without credentials and query";
        let Some(node) = fields.get("urls") else {
            self.lacks(&fields, "urls", "`alertmanager`");
            return None;
        };
        let items = self.urls(node, "`urls`", help);
        if items.is_empty() && matches!(node.kind, Kind::List(_)) {
            self.error(node.position, "`urls` is empty", help);
        }
        let urls = items.into_iter().filter_map(|item| self.plain_url(item, "a URL of `urls`", help));
        Some(ReceiverKind::Alertmanager { urls: urls.map(|url| url.trim_end_matches('/').to_owned()).collect() })
    }

    fn webhook(&mut self, node: &Node) -> Option<ReceiverKind> {
        let fields = self.fields(node, "`webhook`", keys::WEBHOOK)?;
        let url = self.secret(&fields, "`webhook`", ["url", "urlFile", "urlEnv"]);
        let signed = ["secretFile", "secretEnv"].iter().any(|key| fields.entry(key).is_some());
        let secret =
            if signed { Some(self.secret(&fields, "`webhook`", ["", "secretFile", "secretEnv"])?) } else { None };
        let url = url?;
        let parsed = url::Url::parse(url.expose_secret()).ok();
        if !parsed.is_some_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host()) {
            self.error_of_secret(node, "the URL of `webhook` is no `http` or `https` URL", "write `https://host/path`");
            return None;
        }
        Some(ReceiverKind::Webhook { url, secret })
    }

    fn command(&mut self, node: &Node) -> Option<ReceiverKind> {
        let help =
            "write `command: [/usr/local/bin/page, --team, sre]`: a program by its absolute path, and its arguments";
        let command: Vec<String> = self
            .items(node, "`command`")
            .into_iter()
            .filter_map(|item| self.text(item, "a word of `command`"))
            .collect();
        if matches!(node.kind, Kind::List(_))
            && (!command.first().is_some_and(|program| program.starts_with('/'))
                || command.iter().any(|word| word.contains('\0')))
        {
            self.error(node.position, "`command` names no program by its absolute path", help);
            return None;
        }
        let program = Path::new(command.first()?);
        let wrong = if program.is_file() {
            let executable = nix::unistd::access(program, nix::unistd::AccessFlags::X_OK);
            executable.err().map(|error| format!("cannot be executed: {}", error.desc().to_lowercase()))
        } else {
            Some("does not exist".to_owned())
        };
        if let Some(wrong) = wrong {
            let message = format!("the program {} of `command` {wrong}", quoted(&program.display().to_string()));
            self.error(node.position, message, help);
            return None;
        }
        Some(ReceiverKind::Command { command })
    }

    fn route(&mut self, node: &Node, names: &Names) -> Option<Route> {
        let fields = self.fields(node, "a route", keys::ROUTE)?;
        let matcher = self.matcher(&fields);
        let severity = fields.get("severity").and_then(|node| {
            let text = self.text(node, "`severity`")?;
            let severity = Severity::ALL.iter().copied().find(|severity| severity.label() == text);
            if severity.is_none() {
                let message =
                    format!("`severity` must be `error`, `warning` or `info`, but {} stands here", quoted(&text));
                self.error(node.position, message, "it is the least of what is told, `error` by default");
            }
            severity
        });
        let inconclusive = fields.get("inconclusive").and_then(|node| self.boolean(node, "`inconclusive`"));
        let receivers = match fields.get("receivers") {
            None => {
                self.lacks(&fields, "receivers", "a route");
                Vec::new()
            }
            Some(node) => {
                let items: Vec<&Node> = match &node.kind {
                    Kind::Scalar { .. } => vec![node],
                    _ => self.items(node, "`receivers`"),
                };
                if items.is_empty() && matches!(node.kind, Kind::List(_)) {
                    self.error(
                        node.position,
                        "the route tells nobody: `receivers` is empty",
                        "name one of `receivers`",
                    );
                }
                items
                    .into_iter()
                    .filter_map(|item| {
                        self.reference(item, "receiver", names)?;
                        self.text(item, "a receiver")
                    })
                    .collect()
            }
        };
        let repeat = fields.get("repeat").and_then(|node| {
            let repeat = self.duration(node, "`repeat`")?;
            if repeat < SHORTEST_REPEAT {
                self.error(node.position, "`repeat` is shorter than `1m`", "write `repeat: 4h`");
            }
            Some(repeat)
        });
        let labels = fields.get("labels").map(|node| self.label_texts(node)).unwrap_or_default();
        let default = Route::to(receivers);
        Some(Route {
            matcher,
            severity: severity.unwrap_or(default.severity),
            inconclusive: inconclusive.unwrap_or(default.inconclusive),
            repeat: repeat.unwrap_or(default.repeat),
            labels,
            ..default
        })
    }

    /// Labels as Prometheus knows them (<https://prometheus.io/docs/concepts/data_model/#metric-names-and-labels>).
    fn label_texts(&mut self, node: &Node) -> Vec<(String, String)> {
        if let Kind::Map(entries) = &node.kind {
            for entry in entries {
                let plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
                let begins = entry.key.chars().next().is_some_and(|first| !first.is_ascii_digit());
                if !begins || !entry.key.chars().all(plain) || entry.key.starts_with("__") {
                    let message = format!("{} cannot be the name of a label", quoted(&entry.key));
                    self.error(entry.position, message, "use letters, digits and `_`; it begins with a letter");
                } else if OWN_LABELS.contains(&&*entry.key) {
                    let message = format!("the label {} is the watch's own", quoted(&entry.key));
                    self.error(entry.position, message, "it says which cell an alert is about; choose another name");
                }
            }
        }
        self.texts(node, "labels", "a label")
    }

    /// A `http` or `https` URL that gives no access: it is shown.
    pub(super) fn plain_url(&mut self, node: &Node, what: &str, help: &str) -> Option<String> {
        let text = self.text(node, what)?;
        let usable = url::Url::parse(&text).is_ok_and(|url| {
            matches!(url.scheme(), "http" | "https")
                && url.has_host()
                && url.username().is_empty()
                && url.password().is_none()
                && url.query().is_none()
                && url.fragment().is_none()
        });
        if !usable {
            self.error_of_secret(node, format!("{what} is no such URL as may stand here"), help);
            return None;
        }
        Some(text)
    }

    /// A secret that stands in the text, in a file or in the environment: exactly one of the three keys. An empty first
    /// key means that it must not stand in the text.
    pub(super) fn secret(&mut self, fields: &Fields<'_>, what: &str, keys: [&str; 3]) -> Option<SecretString> {
        let [inline, file, variable] = keys;
        let written: Vec<&Entry> = keys.iter().filter_map(|key| fields.entry(key)).collect();
        let entry = match written.as_slice() {
            [one] => *one,
            [] => {
                let help = format!("add one of {}", listed(keys.iter().copied().filter(|key| !key.is_empty())));
                self.error(fields.position, format!("{what} lacks its `{inline}`"), help);
                return None;
            }
            [_, second, ..] => {
                let message = format!("{what} has {} at once", listed(written.iter().map(|entry| &*entry.key)));
                let error = self.source.error_without_snippet(second.position, message).help("keep one of them");
                self.errors.push(error);
                return None;
            }
        };
        let node = &entry.value;
        let found = if &*entry.key == inline {
            let Kind::Scalar { text, .. } = &node.kind else {
                self.mismatch(node, &format!("`{inline}`"), "text");
                return None;
            };
            Ok(text.trim().to_owned())
        } else if &*entry.key == file {
            let path = self.path(node, &format!("`{file}`"))?;
            read_text(&path, "file", LARGEST_SECRET)
                .map(|text| text.trim().to_owned())
                .map_err(|error| format!("`{file}`, the file {}: {}", path.display(), error.message))
        } else {
            let name = self.text(node, &format!("`{variable}`"))?;
            self.variable(&name)
                .map(|value| value.trim().to_owned())
                .ok_or_else(|| format!("`{variable}`: the environment has no variable {}", quoted(&name)))
        };
        match found {
            Ok(secret) if !secret.is_empty() => Some(SecretString::from(secret)),
            Ok(_) => {
                self.error_of_secret(
                    node,
                    format!("`{}` is empty", entry.key),
                    "it must hold the secret and nothing else",
                );
                None
            }
            Err(message) => {
                self.error(node.position, message, "it is read at start and at each reload");
                None
            }
        }
    }
}

impl Route {
    /// To these receivers, of every cell that fails.
    fn to(receivers: Vec<String>) -> Self {
        Self {
            matcher: Matcher::default(),
            severity: Severity::Error,
            inconclusive: false,
            receivers,
            repeat: REPEAT,
            labels: Vec::new(),
        }
    }
}

/// What every alert is named by.
const OWN_LABELS: &[&str] = &["alertname", "check", "cluster", "vantage", "target", "provider"];
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(10);
const REPEAT: Duration = Duration::from_hours(4);
const SHORTEST_REPEAT: Duration = Duration::from_mins(1);
const LARGEST_SECRET: u64 = 64 * 1024;

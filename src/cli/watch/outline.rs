//! What a configuration comes to, for `--check-config`.

use std::{fmt::Write as _, time::Duration};

use super::started;
use crate::{
    report::{Severity, words::counted},
    watch::{
        config::{MaintenanceTime, MaintenanceWindow, Matcher, ReceiverKind, Retention, Route, Storage, WatchConfig},
        schedule::Schedule,
    },
};

/// What would run, whom it would tell, and what is probably not meant.
pub(super) fn outline(config: &WatchConfig) -> String {
    let mut text = format!("{}: {}\n", config.file.display(), started(config));
    // Writing into a string cannot fail.
    let mut line = |line: &str| {
        let _ = writeln!(text, "  {line}");
    };
    for check in &config.checks {
        let cells = counted(check.plan.cells.len(), "cell", "cells");
        let rounds = counted(usize::try_from(check.confirm).unwrap_or(usize::MAX), "round", "rounds");
        line(&format!("{}: {cells}, {}, confirmed by {rounds}", check.name, schedule(&check.schedule)));
    }
    let storage = match &config.storage {
        Storage::Sqlite { path } => format!("SQLite, {}", path.display()),
        Storage::Postgres { .. } => "PostgreSQL".to_owned(),
    };
    let Retention { rounds, rollups, events } = config.retention;
    line(&format!(
        "history: {storage}; rounds are kept for {}, hours and days for {}, events for {}",
        span(rounds),
        span(rollups),
        span(events)
    ));
    for window in &config.maintenance {
        line(&maintenance(window));
    }
    for receiver in &config.receivers {
        let kind = match receiver.kind {
            ReceiverKind::Alertmanager { .. } => "Alertmanager",
            ReceiverKind::Webhook { .. } => "webhook",
            ReceiverKind::Command { .. } => "command",
        };
        line(&format!("receiver {} ({kind})", receiver.name));
    }
    for (number, one) in (1..).zip(&config.routes) {
        line(&format!("route {number}: {}", route(one)));
    }
    if let Some(web) = &config.web {
        line(&format!("web page: http://{}/", web.listen));
    }
    for doubt in config.doubts() {
        line(&format!("warning: {doubt}"));
    }
    text
}

fn schedule(schedule: &Schedule) -> String {
    match schedule {
        Schedule::Every { interval, .. } => format!("every {}", span(*interval)),
        Schedule::Cron { cron, zone, .. } => {
            let zone = zone.iana_name().unwrap_or("UTC");
            format!("cron {} ({zone})", cron.as_str())
        }
    }
}

fn maintenance(window: &MaintenanceWindow) -> String {
    let when = match &window.when {
        MaintenanceTime::Once { from, until } => format!("from {from} until {until}"),
        MaintenanceTime::Recurring { begins, lasts } => format!("{} for {}", schedule(begins), span(*lasts)),
    };
    let name = if window.name.is_empty() { String::new() } else { format!(" {}", window.name) };
    format!("maintenance{name}: {when}, {}", cells(&window.matcher))
}

fn route(route: &Route) -> String {
    let severity = match route.severity {
        Severity::Error => "errors",
        Severity::Warning => "errors and warnings",
        Severity::Info => "all findings",
    };
    let inconclusive = if route.inconclusive { " and what cannot be decided" } else { "" };
    let receivers = route.receivers.join(", ");
    let again = span(route.repeat);
    format!("{severity}{inconclusive} of {} to {receivers}, again every {again}", cells(&route.matcher))
}

/// Which cells something is about.
fn cells(matcher: &Matcher) -> String {
    let parts = [("check", &matcher.checks), ("cluster", &matcher.clusters), ("vantage", &matcher.vantages)];
    let named: Vec<String> = parts
        .into_iter()
        .filter(|(_, patterns)| !patterns.is_empty())
        .map(|(what, patterns)| format!("{what} {}", patterns.join(" or ")))
        .collect();
    if named.is_empty() { "every cell".to_owned() } else { format!("cells of {}", named.join(", ")) }
}

/// `14d`, `1h30m`, `500ms`: as it is written.
fn span(time: Duration) -> String {
    let mut left = time.as_millis();
    let mut text = String::new();
    for (unit, length) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)] {
        if left >= length {
            // Writing into a string cannot fail.
            let _ = write!(text, "{}{unit}", left / length);
            left %= length;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::config;

    #[test]
    fn the_outline_tells_all_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let scenario = "apiVersion: kubereach/v1\nclusters: { prod: { endpoint: https://prod.example.com } }\n\
            vantages: { office: { local: {} } }\nexpect: [{ cluster: prod, from: office, reachable: true }]\n";
        std::fs::write(folder.path().join("prod.yaml"), scenario).unwrap();
        let text = r"
apiVersion: kubereach/v1
watch:
  checks: [{ scenario: prod.yaml, every: 90s }, { scenario: prod.yaml, name: day, cron: '0 8 * * *', confirm: 1 }]
  retention: { rounds: 1d12h }
  maintenance: [{ name: night, clusters: [prod], cron: '0 2 * * *', lasts: 90m, timezone: Europe/Berlin }]
  alerts:
    receivers: { a: { command: [/bin/sh] }, b: { webhook: { url: 'https://hook.example.com/hunter2' } } }
    routes: [{ receivers: a, severity: warning, inconclusive: true, vantages: [office, 'x*'] }]
";
        std::fs::write(folder.path().join("watch.yaml"), text).unwrap();
        let config = config::load(&folder.path().join("watch.yaml")).unwrap_or_else(|errors| panic!("{errors}"));
        let here = folder.path().display().to_string();
        let expected = "HERE/watch.yaml: watching 2 cells of 2 checks
  prod: 1 cell, every 1m30s, confirmed by 3 rounds
  day: 1 cell, cron 0 8 * * * (UTC), confirmed by 1 round
  history: SQLite, HERE/kubereach.db; rounds are kept for 1d12h, hours and days for 400d, events for 400d
  maintenance night: cron 0 2 * * * (Europe/Berlin) for 1h30m, cells of cluster prod
  receiver a (command)
  receiver b (webhook)
  route 1: errors and warnings and what cannot be decided of cells of vantage office or x* to a, again every 4h
  web page: http://127.0.0.1:8480/
  warning: route 1: there is no vantage `x*`
  warning: no route names the receiver `b`
";
        assert_eq!(outline(&config).replace(&here, "HERE"), expected);
    }
}

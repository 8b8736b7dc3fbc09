//! The keys of a watch configuration, mapping by mapping: the reader takes these and no others.

pub(super) const ROOT: &[&str] = &["apiVersion", "watch"];
pub(super) const WATCH: &[&str] = &["defaults", "checks", "storage", "retention", "maintenance", "alerts", "web"];
pub(super) const DEFAULTS: &[&str] =
    &["every", "jitter", "spread", "timezone", "timeout", "connectTimeout", "confirm", "configurationEvery"];
pub(super) const CHECK: &[&str] = &[
    "scenario",
    "name",
    "every",
    "jitter",
    "cron",
    "timezone",
    "spread",
    "timeout",
    "connectTimeout",
    "confirm",
    "configurationEvery",
];
pub(super) const STORAGE: &[&str] = &["sqlite", "postgres"];
pub(super) const POSTGRES: &[&str] = &["url", "urlFile", "urlEnv", "ca"];
pub(super) const RETENTION: &[&str] = &["rounds", "rollups", "events"];
pub(super) const MAINTENANCE: &[&str] =
    &["name", "checks", "clusters", "vantages", "from", "until", "cron", "lasts", "timezone"];
pub(super) const ALERTS: &[&str] = &["receivers", "routes"];
pub(super) const RECEIVER: &[&str] = &["alertmanager", "webhook", "command", "timeout"];
pub(super) const ALERTMANAGER: &[&str] = &["urls"];
pub(super) const WEBHOOK: &[&str] = &["url", "urlFile", "urlEnv", "secretFile", "secretEnv"];
pub(super) const ROUTE: &[&str] =
    &["checks", "clusters", "vantages", "severity", "inconclusive", "receivers", "repeat", "labels"];
pub(super) const WEB: &[&str] = &["listen", "tokenFile", "tokenEnv", "behindProxy", "publicUrl"];

/// All of them, by what they are the keys of: what guide and schema must know.
#[cfg(test)]
pub(super) const ALL: &[(&str, &[&str])] = &[
    ("the file", ROOT),
    ("watch", WATCH),
    ("defaults", DEFAULTS),
    ("checks", CHECK),
    ("storage", STORAGE),
    ("postgres", POSTGRES),
    ("retention", RETENTION),
    ("maintenance", MAINTENANCE),
    ("alerts", ALERTS),
    ("receivers", RECEIVER),
    ("alertmanager", ALERTMANAGER),
    ("webhook", WEBHOOK),
    ("routes", ROUTE),
    ("web", WEB),
];

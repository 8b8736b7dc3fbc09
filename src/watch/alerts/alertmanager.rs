//! Prometheus' Alertmanager, API v2.
//!
//! As Prometheus does, an alert that lasts is sent again and again with an end a few repetitions ahead: if this watch
//! dies, it runs out, and the alert on the watch itself takes over. All replicas are told, and one that took it is
//! enough: they agree on what was notified, not on alerts, and one that was away is told at the next repetition, or
//! lets the alert run out.

use std::{collections::BTreeMap, time::Duration};

use futures_util::future::join_all;
use jiff::Timestamp;
use reqwest::header::HeaderMap;
use serde::Serialize;

use super::post::{Failure, Post};
use crate::watch::{config::WatchConfig, record::Alert, schedule::later};

/// Posts the alerts to every replica. `lasts` is how long an alert is taken to last without another word.
pub(super) async fn send(
    post: &Post,
    urls: &[String],
    alerts: &[Alert],
    timeout: Duration,
    lasts: impl Fn(&Alert) -> Duration,
) -> Result<(), Failure> {
    let body = body(alerts, Timestamp::now(), lasts);
    let answers = join_all(urls.iter().map(|url| {
        let url = format!("{}/api/v2/alerts", url.trim_end_matches('/'));
        let body = body.clone();
        async move { post.json(&url, HeaderMap::new(), body, timeout).await }
    }))
    .await;
    let mut failures = Vec::new();
    for answer in answers {
        match answer {
            Ok(()) => return Ok(()),
            Err(failure) => failures.push(failure),
        }
    }
    let refused = failures.iter().find(|failure| matches!(failure, Failure::Refused(_))).cloned();
    Err(refused
        .or_else(|| failures.into_iter().next())
        .unwrap_or_else(|| Failure::Unavailable("it has no URL".to_owned())))
}

/// How long after a delivery an alert is sent again while it lasts: at most [`REPEAT`], so that it never runs out.
pub(super) fn repeat(wanted: Duration) -> Duration {
    wanted.min(REPEAT)
}

/// How long an alert lasts without another word. One of a single run lasts so long that a run which is late or fails does
/// not end it.
pub(super) fn lasts(config: &WatchConfig, alert: &Alert, once: bool) -> Duration {
    if !once {
        return LASTS;
    }
    let name = alert.labels.get("check");
    let check = config.checks.iter().find(|check| Some(&check.name) == name);
    let between = check.map_or(Duration::ZERO, |check| check.schedule.interval());
    between.saturating_mul(2).saturating_add(LASTS).min(LONGEST_LASTS)
}

/// The alerts in the shape of the API.
pub(super) fn body(alerts: &[Alert], now: Timestamp, lasts: impl Fn(&Alert) -> Duration) -> Vec<u8> {
    let alerts: Vec<PostableAlert<'_>> = alerts
        .iter()
        .map(|alert| PostableAlert {
            labels: &alert.labels,
            annotations: &alert.annotations,
            starts_at: alert.starts_at,
            ends_at: alert.ends_at.unwrap_or_else(|| later(now, lasts(alert))),
            generator_url: alert.annotations.get("url").map(String::as_str),
        })
        .collect();
    // Maps of strings cannot fail to be written.
    serde_json::to_vec(&alerts).unwrap_or_default()
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PostableAlert<'a> {
    labels: &'a BTreeMap<String, String>,
    annotations: &'a BTreeMap<String, String>,
    starts_at: Timestamp,
    ends_at: Timestamp,
    #[serde(rename = "generatorURL", skip_serializing_if = "Option::is_none")]
    generator_url: Option<&'a str>,
}

/// Prometheus' `--rules.alert.resend-delay`.
const REPEAT: Duration = Duration::from_mins(1);

/// How long an alert that an Alertmanager was told of lasts without another word: a little more than the four
/// repetitions that Prometheus gives, because a failed delivery is tried again only after up to a minute.
const LASTS: Duration = Duration::from_mins(5);

/// What is checked more rarely than that is told as resolved in between.
const LONGEST_LASTS: Duration = Duration::from_hours(21 * 24);

//! What webhooks and commands are given: Alertmanager's webhook shape, version 4, and a little more.

use std::collections::BTreeMap;

use aws_lc_rs::digest;
use serde::Serialize;

use crate::watch::{record::Alert, words::hex};

/// A delivery: some alerts of one receiver, the oldest first. It is the same, byte for byte, at each attempt.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Payload {
    /// Of Alertmanager's shape.
    version: &'static str,
    /// Of what is ours.
    schema: &'static str,
    pub(super) idempotency_key: String,
    group_key: String,
    truncated_alerts: u32,
    pub(super) status: &'static str,
    pub(super) receiver: String,
    group_labels: BTreeMap<String, String>,
    pub(super) common_labels: BTreeMap<String, String>,
    pub(super) common_annotations: BTreeMap<String, String>,
    #[serde(rename = "externalURL")]
    external_url: String,
    pub(super) alerts: Vec<PayloadAlert>,
}

/// One of them.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PayloadAlert {
    status: &'static str,
    labels: BTreeMap<String, String>,
    pub(super) annotations: BTreeMap<String, String>,
    starts_at: String,
    ends_at: String,
    #[serde(rename = "generatorURL")]
    generator_url: String,
    fingerprint: String,
}

impl Payload {
    /// Of these alerts.
    pub(super) fn new(receiver: &str, alerts: &[Alert], public_url: Option<&str>) -> Self {
        let firing = alerts.iter().any(|alert| alert.ends_at.is_none());
        Self {
            version: "4",
            schema: "kubereach.alert/v1",
            idempotency_key: idempotency_key(receiver, alerts),
            group_key: format!("kubereach/{receiver}"),
            truncated_alerts: 0,
            status: if firing { FIRING } else { RESOLVED },
            receiver: receiver.to_owned(),
            group_labels: BTreeMap::new(),
            common_labels: common(alerts.iter().map(|alert| &alert.labels)),
            common_annotations: common(alerts.iter().map(|alert| &alert.annotations)),
            external_url: public_url.unwrap_or_default().to_owned(),
            alerts: alerts.iter().map(PayloadAlert::new).collect(),
        }
    }

    /// As it is sent.
    pub(super) fn bytes(&self) -> Vec<u8> {
        // Maps of strings cannot fail to be written.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

impl PayloadAlert {
    fn new(alert: &Alert) -> Self {
        Self {
            status: if alert.ends_at.is_none() { FIRING } else { RESOLVED },
            labels: alert.labels.clone(),
            annotations: alert.annotations.clone(),
            starts_at: alert.starts_at.to_string(),
            ends_at: alert.ends_at.map_or_else(|| NEVER.to_owned(), |end| end.to_string()),
            generator_url: alert.annotations.get("url").cloned().unwrap_or_default(),
            fingerprint: fingerprint(&alert.labels),
        }
    }
}

/// The fingerprint that Alertmanager gives to these labels: FNV-1a, 64 bits, over names and values, each ended by a
/// byte 255.
pub(super) fn fingerprint(labels: &BTreeMap<String, String>) -> String {
    let bytes = labels.iter().flat_map(|(name, value)| [name, value]).flat_map(|text| text.bytes().chain([0xff]));
    let hash = bytes
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    format!("{hash:016x}")
}

/// The same for every attempt at the same alerts, whichever process makes it. A reminder of what has arrived already is
/// another delivery: its due time tells it apart.
fn idempotency_key(receiver: &str, alerts: &[Alert]) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    let mut add = |text: &str| {
        context.update(&text.len().to_be_bytes());
        context.update(text.as_bytes());
    };
    add(receiver);
    for alert in alerts {
        add(&alert.cell.0.to_string());
        add(&alert.starts_at.to_string());
        add(&alert.ends_at.map_or_else(String::new, |end| end.to_string()));
        for (name, value) in alert.labels.iter().chain(&alert.annotations) {
            add(name);
            add(value);
        }
        add(&if alert.delivered { alert.next_at.to_string() } else { String::new() });
    }
    hex(&context.finish().as_ref()[..16])
}

/// What all have alike.
fn common<'a>(mut maps: impl Iterator<Item = &'a BTreeMap<String, String>>) -> BTreeMap<String, String> {
    let mut common = maps.next().cloned().unwrap_or_default();
    for map in maps {
        common.retain(|name, value| map.get(name) == Some(value));
    }
    common
}

const FIRING: &str = "firing";
const RESOLVED: &str = "resolved";

/// Go's zero time, which Alertmanager writes where an alert has not ended.
const NEVER: &str = "0001-01-01T00:00:00Z";

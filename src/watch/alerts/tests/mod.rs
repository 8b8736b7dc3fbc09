mod delivering;
mod outages;
mod routing;

use std::{path::PathBuf, sync::Arc, time::Duration};

use jiff::Timestamp;
use secrecy::SecretString;

use super::{payload, webhook};
use crate::{
    report::{Cell, CellTarget, Intended, Provider, Reachability, Severity, Verdict},
    watch::{
        board::CellNow,
        config::{Matcher, Receiver, ReceiverKind, Retention, Route, Storage, WatchConfig, Web},
        record::{
            Alert, CellId, CellKey, CellState, ClusterKey, DetailId, Event, EventKind, Round, StageTimes, Standing,
        },
    },
};

#[test]
fn a_signature_is_what_other_tools_compute() {
    // printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac shared-secret
    let secret = SecretString::from("shared-secret");
    assert_eq!(
        webhook::signature(&secret, 1_700_000_000, br#"{"a":1}"#),
        "t=1700000000,v1=46dcf16b2bf0ae1e3497a93b80e02f1016a6f7d969acd0bed37a30172a73d715"
    );
}

#[test]
fn a_delivery_has_the_same_key_whenever_it_is_tried_and_a_reminder_another() {
    let alert = alert("hook", 1, None);
    let key = |alert: &Alert| payload::Payload::new("hook", std::slice::from_ref(alert), None).idempotency_key;
    let first = key(&alert);
    assert_eq!(first.len(), 32);
    let tried = Alert { attempts: 7, next_at: at(90), id: 4, ..alert.clone() };
    assert_eq!(key(&tried), first);
    let over = Alert { ends_at: Some(at(50)), ..alert.clone() };
    assert_ne!(key(&over), first);
    let reminder = Alert { delivered: true, ..alert.clone() };
    let later = Alert { next_at: at(900), ..reminder.clone() };
    assert_ne!(key(&reminder), first);
    assert_ne!(key(&reminder), key(&later));
}

#[test]
fn a_payload_has_alertmanagers_shape() {
    let alerts = [alert("hook", 1, None), alert("hook", 2, Some(at(60)))];
    let payload = payload::Payload::new("hook", &alerts, Some("https://watch.example.com"));
    let value: serde_json::Value = serde_json::from_slice(&payload.bytes()).unwrap();
    assert_eq!(value["version"], "4");
    assert_eq!(value["status"], "firing");
    assert_eq!(value["externalURL"], "https://watch.example.com");
    assert_eq!(value["commonLabels"]["alertname"], "KubereachUnreachable");
    assert_eq!(value["commonLabels"].get("cluster"), None);
    assert_eq!(value["alerts"][0]["endsAt"], "0001-01-01T00:00:00Z");
    assert_eq!(value["alerts"][0]["status"], "firing");
    assert_eq!(value["alerts"][1]["status"], "resolved");
    assert_eq!(value["alerts"][1]["endsAt"], at(60).to_string());
    assert_eq!(payload.bytes(), payload.bytes());
}

/// So many seconds after a fixed time.
fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + seconds).unwrap()
}

fn alert(receiver: &str, number: i64, ends_at: Option<Timestamp>) -> Alert {
    let labels =
        [("alertname", "KubereachUnreachable"), ("cluster", &format!("cluster-{number}")), ("vantage", "office")];
    Alert {
        id: number,
        receiver: receiver.to_owned(),
        cell: CellId(number),
        starts_at: at(number),
        ends_at,
        labels: labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        annotations: [("summary".to_owned(), format!("cluster-{number} is gone"))].into(),
        repeat_seconds: 3_600,
        next_at: at(number),
        attempts: 0,
        delivered: false,
    }
}

fn receiver(name: &str, kind: ReceiverKind) -> Receiver {
    Receiver { name: name.to_owned(), kind, timeout: Duration::from_secs(1) }
}

fn command(name: &str, words: &[&str]) -> Receiver {
    receiver(name, ReceiverKind::Command { command: words.iter().map(|word| (*word).to_owned()).collect() })
}

fn route(receivers: &[&str]) -> Route {
    Route {
        matcher: Matcher::default(),
        severity: Severity::Error,
        inconclusive: false,
        receivers: receivers.iter().map(|name| (*name).to_owned()).collect(),
        repeat: Duration::from_hours(4),
        labels: Vec::new(),
    }
}

fn config(receivers: Vec<Receiver>, routes: Vec<Route>) -> WatchConfig {
    WatchConfig {
        file: PathBuf::from("watch.yaml"),
        checks: Vec::new(),
        storage: Storage::Sqlite { path: PathBuf::from("unused.db") },
        retention: Retention::default(),
        maintenance: Vec::new(),
        receivers,
        routes,
        web: Some(Web {
            listen: ([127, 0, 0, 1], 0).into(),
            token: None,
            behind_proxy: false,
            public_url: Some("https://watch.example.com/".to_owned()),
        }),
    }
}

fn standing(verdict: Verdict) -> Standing {
    let code = (verdict != Verdict::Match).then(|| "eks-client-not-in-public-access-cidrs".to_owned());
    Standing { verdict, code }
}

fn cell(verdict: Verdict) -> CellNow {
    let detail: Cell = serde_json::from_str(include_str!("../../../../tests/watch/cell.json")).unwrap();
    CellNow {
        id: CellId(1),
        key: CellKey {
            check: "prod".to_owned(),
            cluster: "eu-1".to_owned(),
            vantage: "office".to_owned(),
            target: CellTarget::Kubernetes,
        },
        provider: Provider::Eks,
        intended: Intended::Reachable,
        interval: Duration::from_secs(30),
        state: CellState {
            standing: Some(standing(verdict)),
            since: Some(at(0)),
            incident: (verdict != Verdict::Match).then(|| at(0)),
            ..CellState::default()
        },
        last: Some(Round {
            cell: CellId(1),
            at: at(60),
            verdict,
            observed: Reachability::Unreachable,
            offline: false,
            stages: StageTimes::default(),
            detail: DetailId(1),
        }),
        detail: Some(Arc::new(detail)),
        due: None,
        own: true,
        maintenance: false,
    }
}

fn event(kind: EventKind, cell: &CellNow, since: i64) -> Event {
    Event {
        id: 0,
        at: at(since + 60),
        since: at(since),
        kind,
        cluster: ClusterKey { check: cell.key.check.clone(), cluster: cell.key.cluster.clone() },
        cell: Some(cell.key.clone()),
        from: None,
        to: cell.state.standing.clone(),
        changes: Vec::new(),
        before: None,
        after: None,
        summary: "eu-1 is unreachable from office".to_owned(),
    }
}

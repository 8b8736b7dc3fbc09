//! What is stored: small values of every kind.

use std::{future::Future, sync::Arc};

use jiff::Timestamp;
use kubereach::{
    report::{Cell, CellTarget, Reachability, Verdict},
    watch::{
        record::{CellId, CellKey, ClusterKey, Detail, DetailId, Event, EventKind, Round, StageTimes, Standing},
        store::{Batch, Store},
    },
};

/// Runs a case to its end.
pub(crate) fn run<T>(case: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(case)
}

/// A time, by seconds after the begin of 2026-03-01 UTC.
pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(MARCH + seconds).unwrap()
}

/// The names of a cell.
pub(crate) fn key(cluster: &str, vantage: &str) -> CellKey {
    CellKey {
        check: "fleet".to_owned(),
        cluster: cluster.to_owned(),
        vantage: vantage.to_owned(),
        target: CellTarget::Kubernetes,
    }
}

/// A cluster of that check set.
pub(crate) fn cluster(name: &str) -> ClusterKey {
    key(name, "").cluster_key()
}

/// Numbers for cells of one vantage.
pub(crate) async fn cells(store: &Store, count: usize) -> Vec<CellId> {
    let keys: Vec<CellKey> = (0..count).map(|index| key(&format!("c{index}"), "office")).collect();
    store.register(&keys).await.unwrap()
}

/// A round that matched.
pub(crate) fn round(cell: CellId, at: Timestamp) -> Round {
    Round {
        cell,
        at,
        verdict: Verdict::Match,
        observed: Reachability::Reachable,
        offline: false,
        stages: StageTimes { dns: Some(1_200), tcp: Some(20_500), tls: Some(45_000), http: Some(30_250) },
        detail: DetailId(7),
    }
}

/// A batch of rounds alone, with the detail that they share.
pub(crate) fn batch(rounds: Vec<Round>) -> Batch {
    Batch { rounds, details: vec![detail(7, "all is well")], ..Batch::default() }
}

/// A judged cell.
pub(crate) fn detail(id: i64, summary: &str) -> Detail {
    let cell: Cell = serde_json::from_value(serde_json::json!({
        "cluster": "c0", "vantage": "office", "target": "kubernetes", "endpoint": "https://api.test:443",
        "provider": "generic", "intended": "reachable", "configured": "unknown", "observed": "reachable",
        "verdict": "match", "via": null, "dns": [], "attempts": [], "path": [], "findings": [],
        "convergedAfterMs": null, "rounds": 1, "summary": summary,
    }))
    .unwrap();
    Detail { id: DetailId(id), cell: Arc::new(cell) }
}

/// An event of a cell.
pub(crate) fn event(cluster_name: &str, vantage: &str, kind: EventKind, seconds: i64) -> Event {
    let mismatch = Standing { verdict: Verdict::Mismatch, code: Some("tcp-timeout".to_owned()) };
    Event {
        id: 0,
        at: at(seconds),
        since: at(seconds - 60),
        kind,
        cluster: cluster(cluster_name),
        cell: (!vantage.is_empty()).then(|| key(cluster_name, vantage)),
        from: Some(Standing { verdict: Verdict::Match, code: None }),
        to: Some(mismatch),
        changes: Vec::new(),
        before: None,
        after: None,
        summary: format!("{cluster_name} at {seconds}"),
    }
}

const MARCH: i64 = 1_772_323_200;

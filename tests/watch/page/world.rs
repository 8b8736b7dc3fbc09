//! A watch's page with a past: clusters, vantages, a year of rounds, and one cell that is red.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use kubereach::{
    report::{Cell, CellTarget, Intended, Provider, Reachability, Verdict},
    watch::{
        board::{Board, CellNow},
        config::{Retention, Storage, WatchConfig, Web},
        metrics::Metrics,
        record::{
            CellId, CellKey, CellState, Change, ChangeKind, Detail, DetailId, Event, EventKind, Round, StageTimes,
            Standing,
        },
        store::{Batch, Store},
        web::{Sources, listen, serve},
    },
};
use serde_json::json;
use tokio::{runtime::Runtime, sync::watch};

/// A page that is served.
pub(crate) struct World {
    pub(crate) board: Arc<Board>,
    pub(crate) address: SocketAddr,
    /// Where the event is that the past holds.
    pub(crate) event: i64,
    stop: watch::Sender<bool>,
    _config: watch::Sender<Arc<WatchConfig>>,
    runtime: Runtime,
    _folder: tempfile::TempDir,
}

impl World {
    pub(crate) fn new(token: Option<&str>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let board = Arc::new(Board::default());
        let (stop, stopped) = watch::channel(false);
        let (address, config, event) = runtime.block_on(async {
            let listener = listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
            let address = listener.local_addr().unwrap();
            let storage = Storage::Sqlite { path: folder.path().join("history.db") };
            let store = Store::open(&storage).await.unwrap();
            let event = past(&board, &store).await;
            let web = Web { listen: address, token: token.map(Into::into), behind_proxy: false, public_url: None };
            let config = WatchConfig {
                file: folder.path().join("watch.yaml"),
                checks: Vec::new(),
                storage,
                retention: Retention::default(),
                maintenance: Vec::new(),
                receivers: Vec::new(),
                routes: Vec::new(),
                web: Some(web),
            };
            let metrics = Arc::new(Metrics::new(&config));
            let (config, receiver) = watch::channel(Arc::new(config));
            let sources = Sources { board: Arc::clone(&board), store, metrics, config: receiver };
            tokio::spawn(serve(listener, sources, stopped));
            (address, config, event)
        });
        Self { board, address, event, stop, _config: config, runtime, _folder: folder }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The page is no longer there.
    pub(crate) fn stop(&self) {
        self.stop.send_replace(true);
        self.runtime.block_on(async {
            while tokio::net::TcpStream::connect(self.address).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
    }

    /// Changes what a cell is taken to be.
    pub(crate) fn judge(&self, key: &CellKey, verdict: Verdict) {
        let mut cell = self.board.cell(key).unwrap().as_ref().clone();
        cell.state.standing = Some(standing(verdict));
        cell.state.since = Some(Timestamp::now());
        self.board.put(cell);
    }
}

pub(crate) fn key(check: &str, cluster: &str, vantage: &str) -> CellKey {
    let [check, cluster, vantage] = [check, cluster, vantage].map(str::to_owned);
    CellKey { check, cluster, vantage, target: CellTarget::Kubernetes }
}

/// A name that does its worst.
pub(crate) const HOSTILE: &str = "<script>alert(1)</script>/../\u{202e}\"'&";

/// Cells on the board, and what went before in the history; the number of the event.
async fn past(board: &Board, store: &Store) -> i64 {
    let keys: Vec<CellKey> = [("prod", "office"), ("prod", "ci"), ("prod", "bastion"), ("staging", "office")]
        .into_iter()
        .chain([("staging", "ci"), ("staging", "bastion")])
        .map(|(cluster, vantage)| key("clusters", cluster, vantage))
        .chain([key("hostile", HOSTILE, "..")])
        .collect();
    let ids = store.register(&keys).await.unwrap();
    let now = Timestamp::now();
    let good = Detail { id: DetailId(1), cell: Arc::new(cell(&keys[1], Verdict::Match)) };
    let bad = Detail { id: DetailId(2), cell: Arc::new(cell(&keys[0], Verdict::Mismatch)) };
    let failed_at = now - SignedDuration::from_mins(38);
    for (index, (key, id)) in keys.iter().zip(&ids).enumerate() {
        let is_bad = index == 0;
        let mut batch = Batch { details: vec![good.clone(), bad.clone()], ..Batch::default() };
        for slot in 0..720 {
            let at = now - SignedDuration::from_secs(120 * slot) - SignedDuration::from_secs(5);
            let verdict = if is_bad && at > failed_at { Verdict::Mismatch } else { Verdict::Match };
            batch.rounds.push(round(*id, at, verdict, slot));
        }
        batch.rounds.reverse();
        let last = batch.rounds.last().unwrap().clone();
        store.commit(&batch).await.unwrap();
        let verdict = last.verdict;
        let since = if is_bad { failed_at } else { now - SignedDuration::from_hours(75) };
        board.put(CellNow {
            id: *id,
            key: key.clone(),
            provider: Provider::Eks,
            intended: Intended::Reachable,
            interval: Duration::from_secs(30),
            state: CellState {
                standing: Some(standing(verdict)),
                since: Some(since),
                incident: is_bad.then_some(since),
                ..CellState::default()
            },
            detail: Some(Arc::new(cell(key, verdict))),
            last: Some(last),
            due: Some(now + SignedDuration::from_secs(25)),
            own: true,
            maintenance: false,
        });
    }
    board.change_health(|health| {
        health.started_at = Some(now - SignedDuration::from_hours(75));
        health.configured_at = health.started_at;
    });
    let event = Event {
        id: 0,
        at: failed_at + SignedDuration::from_mins(1),
        since: failed_at,
        kind: EventKind::Failed,
        cluster: keys[0].cluster_key(),
        cell: Some(keys[0].clone()),
        from: Some(standing(Verdict::Match)),
        to: Some(standing(Verdict::Mismatch)),
        changes: vec![Change {
            kind: ChangeKind::Configuration,
            at: failed_at - SignedDuration::from_mins(1),
            text: "publicAccessCidrs lost 203.0.113.0/24".to_owned(),
        }],
        before: Some(good.id),
        after: Some(bad.id),
        summary: "prod/office is no longer reachable: eks-client-not-in-public-access-cidrs".to_owned(),
    };
    store.commit(&Batch { events: vec![event], ..Batch::default() }).await.unwrap();
    let filter = kubereach::watch::store::EventFilter { limit: 1, ..Default::default() };
    store.events(&filter).await.unwrap()[0].id
}

fn standing(verdict: Verdict) -> Standing {
    let code = (verdict != Verdict::Match).then(|| "eks-client-not-in-public-access-cidrs".to_owned());
    Standing { verdict, code }
}

fn round(cell: CellId, at: Timestamp, verdict: Verdict, slot: i64) -> Round {
    let wave = u32::try_from(slot % 17).unwrap() * 130;
    let (reached, good) = match verdict {
        Verdict::Match => (Reachability::Reachable, true),
        _ => (Reachability::Unreachable, false),
    };
    let stages = StageTimes {
        dns: Some(1_200 + wave),
        tcp: good.then_some(11_000 + wave),
        tls: good.then_some(14_500 + 2 * wave),
        http: good.then_some(4_100 + wave),
    };
    let at = Timestamp::from_millisecond(at.as_millisecond()).unwrap();
    Round { cell, at, verdict, observed: reached, offline: false, stages, detail: DetailId(if good { 1 } else { 2 }) }
}

/// A judged cell as a report has it.
fn cell(key: &CellKey, verdict: Verdict) -> Cell {
    let good = verdict == Verdict::Match;
    let truth = if good { "reachable" } else { "unreachable" };
    let dns = |resolver: &str, server: &str| {
        json!({ "resolver": resolver, "server": server, "name": "prod.eks.example.com", "outcome": "answer",
            "addresses": ["198.51.100.20", "198.51.100.21"], "cnames": [], "ttl": 60, "class": "public", "ms": 1.4,
            "source": "server", "detail": null, "queries": [] })
    };
    let attempt = |address: &str| {
        let tcp = if good { "connected" } else { "timeout" };
        json!({ "address": address, "port": 443, "class": "public", "resolvers": ["system", "public"],
            "decides": true, "skipped": null, "observed": truth, "route": null, "trace": null, "repeats": null,
            "path_mtu": null, "pathMtu": null,
            "tcp": { "outcome": tcp, "ms": if good { 11.9 } else { 3000.0 }, "detail": null, "source": "203.0.113.7", "icmp": null },
            "tls": tls(good), "http": http(good) })
    };
    let finding = json!({ "code": "eks-client-not-in-public-access-cidrs", "severity": "error", "confidence": "certain",
        "title": "The public endpoint does not admit this client's address", "cluster": key.cluster,
        "vantage": key.vantage,
        "evidence": ["office is seen as 203.0.113.7, which none of publicAccessCidrs holds",
            "TCP to both addresses timed out"],
        "setting": "resourcesVpcConfig.publicAccessCidrs",
        "fix": "aws eks update-cluster-config --name prod --resources-vpc-config \\\n  publicAccessCidrs=192.0.2.0/24,203.0.113.0/24",
        "docs": "https://docs.aws.amazon.com/eks/latest/userguide/cluster-endpoint.html" });
    let hop = |component: &str, kind: &str, decision: &str, rule: &str| json!({ "component": component, "kind": kind, "decision": decision, "rule": rule });
    let path = [
        hop("203.0.113.7", "client", "forward", "the internet"),
        hop("prod", "public-access-cidrs", "deny", "192.0.2.0/24 does not hold 203.0.113.7"),
        hop("prod", "api-server", "unknown", "not looked at"),
    ];
    let blank = json!([]);
    serde_json::from_value(json!({
        "cluster": key.cluster, "vantage": key.vantage, "target": "kubernetes",
        "endpoint": "https://prod.eks.example.com:443", "provider": "eks", "intended": "reachable",
        "configured": truth, "observed": truth, "verdict": verdict.label(), "via": if good { json!("public") } else { json!(null) },
        "dns": [dns("system", "192.0.2.53:53"), dns("public", "9.9.9.9:53")],
        "attempts": [attempt("198.51.100.20"), attempt("198.51.100.21")],
        "path": if good { blank.clone() } else { json!(path) }, "findings": if good { blank } else { json!([finding]) },
        "convergedAfterMs": null, "rounds": 1, "summary": "",
    }))
    .unwrap()
}

fn tls(good: bool) -> serde_json::Value {
    serde_json::from_str(if good { TLS_GOOD } else { TLS_SKIPPED }).unwrap()
}

fn http(good: bool) -> serde_json::Value {
    serde_json::from_str(if good { HTTP_GOOD } else { HTTP_SKIPPED }).unwrap()
}

const TLS_GOOD: &str = r#"{ "outcome": "verified", "ms": 14.8, "version": "1.3", "suite": null, "keyExchange": null,
  "alpn": "h2", "serverName": "prod.eks.example.com", "chain": [], "detail": null, "checks": null, "variants": [] }"#;
const TLS_SKIPPED: &str = r#"{ "outcome": "skipped", "ms": 0, "version": null, "suite": null, "keyExchange": null,
  "alpn": null, "serverName": null, "chain": [], "detail": null, "checks": null, "variants": [] }"#;
const HTTP_GOOD: &str = r#"{ "outcome": "api-server", "status": 401, "ms": 4.1, "version": "v1.33.1", "detail": null,
  "date": null, "clockAheadSeconds": null, "server": null, "location": null, "authenticated": false,
  "http1Outcome": null, "requests": [] }"#;
const HTTP_SKIPPED: &str = r#"{ "outcome": "skipped", "status": null, "ms": 0, "version": null, "detail": null,
  "date": null, "clockAheadSeconds": null, "server": null, "location": null, "authenticated": false,
  "http1Outcome": null, "requests": [] }"#;

//! Alerts reach a real Alertmanager, through a real history.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp};
use kubereach::{
    report::{Cell, CellTarget, Intended, Provider, Reachability, Severity, Verdict},
    watch::{
        alerts::{deliver, raised, reconciled},
        board::CellNow,
        config::{Matcher, Receiver, ReceiverKind, Retention, Route, Storage, WatchConfig},
        metrics::Metrics,
        record::{
            Alert, CellId, CellKey, CellState, ClusterKey, DetailId, Event, EventKind, Round, StageTimes, Standing,
        },
        store::{Batch, Store},
    },
};
use libtest_mimic::Trial;
use serde_json::Value;
use tokio::{
    runtime::Runtime,
    sync::{mpsc, watch},
    task::JoinHandle,
};

/// The cases.
pub(crate) fn trials() -> Vec<Trial> {
    let cases: [(&str, fn()); 2] = [
        ("alerts_fire_once_and_resolve_in_alertmanager", fire_and_resolve),
        ("alerts_wait_for_an_alertmanager_that_is_down", wait_for_alertmanager),
    ];
    cases.map(|(name, case)| super::tools::trial(name, &["prometheus-alertmanager"], case)).into()
}

/// Raised once, told again without becoming another, worse as another, and over when it is over.
fn fire_and_resolve() {
    let mut alertmanager = Alertmanager::new();
    alertmanager.start();
    // The second replica never answers.
    let world = World::new(&[&alertmanager.url, &unused_url()]);
    let mut cell = world.cell(Verdict::Inconclusive);
    let began = now().saturating_sub(SignedDuration::from_mins(2)).unwrap();
    cell.state.incident = Some(began);
    let first = world.tell(&cell, EventKind::Failed, began, &[]);
    let fired = alertmanager.until(|alerts| alerts.len() == 1);
    assert_eq!(fired[0]["labels"]["alertname"], "KubereachInconclusive");
    assert_eq!(fired[0]["labels"]["team"], "sre");
    assert_eq!(time(&fired[0]["startsAt"]), began);
    let ahead = time(&fired[0]["endsAt"]).duration_since(now());
    assert!(ahead > SignedDuration::from_mins(4) && ahead <= SignedDuration::from_mins(5), "{ahead:?}");
    assert!(fired[0]["annotations"]["description"].as_str().unwrap().contains("203.0.113.7"));

    // The same once more, and with another cause: still one.
    let same = reconciled(&world.config, &cell, None, &first, now());
    assert!(same.is_empty(), "{same:?}");
    cell.state.standing = Some(Standing { verdict: Verdict::Inconclusive, code: Some("net-tcp-timeout".to_owned()) });
    let next = world.tell(&cell, EventKind::Changed, now(), &first);
    let fired =
        alertmanager.until(|alerts| alerts.iter().any(|alert| alert["annotations"]["code"] == "net-tcp-timeout"));
    assert_eq!(fired.len(), 1);

    // Worse: the one ends, the other begins.
    let mismatch = world.cell(Verdict::Mismatch);
    let worse = world.tell(&mismatch, EventKind::Changed, now(), &next);
    assert_eq!(worse.len(), 2);
    let name = |alert: &Value| alert["labels"]["alertname"].as_str().unwrap().to_owned();
    let fired = alertmanager.until(|alerts| alerts.iter().map(name).eq(["KubereachUnreachable".to_owned()]));
    assert_eq!(fired.len(), 1);

    let open: Vec<Alert> = worse.into_iter().filter(|alert| alert.ends_at.is_none()).collect();
    world.tell(&world.cell(Verdict::Match), EventKind::Recovered, now(), &open);
    alertmanager.until(<[Value]>::is_empty);
    world.until_nothing_waits();
    let said = world.end();
    assert!(said.is_empty(), "{said:?}");
}

/// What began while it was down arrives when it is back, the oldest first; so does what was told before, and an end.
fn wait_for_alertmanager() {
    let mut alertmanager = Alertmanager::new();
    let world = World::new(&[&alertmanager.url]);
    let cells: Vec<CellNow> = (0..40).map(|number| world.numbered_cell(number, Verdict::Mismatch)).collect();
    let began = now().saturating_sub(SignedDuration::from_secs(30)).unwrap();
    let mut open = Vec::new();
    for cell in &cells {
        open.extend(world.tell(cell, EventKind::Failed, began, &[]));
    }
    std::thread::sleep(Duration::from_millis(2_500));
    // One recovers before anybody could be told.
    let recovered = world.numbered_cell(0, Verdict::Match);
    world.tell(&recovered, EventKind::Recovered, now(), &open);
    alertmanager.start();
    let begun = Instant::now();
    alertmanager.until(|alerts| alerts.len() == 39);
    assert!(begun.elapsed() < Duration::from_secs(15));
    // It dies and forgets; the next repetition would tell it again, the end is told in any case.
    alertmanager.kill();
    let recovered = world.numbered_cell(1, Verdict::Match);
    world.tell(&recovered, EventKind::Recovered, now(), &open);
    std::thread::sleep(Duration::from_millis(1_500));
    alertmanager.start();
    alertmanager.until(|alerts| !alerts.iter().any(|alert| alert["labels"]["cluster"] == "cluster-1"));
    world.until_nothing_waits();
    let said = world.end().join("\n");
    assert!(said.contains("alert receiver ops: was not told of"), "{said}");
    assert!(said.contains("alert receiver ops: is told again"), "{said}");
    assert!(!said.contains("127.0.0.1"), "{said}");
}

/// Alertmanager, with a memory of its own.
struct Alertmanager {
    folder: tempfile::TempDir,
    url: String,
    port: u16,
    server: Option<Child>,
}

impl Alertmanager {
    /// Not started yet.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(
            folder.path().join("alertmanager.yml"),
            "route: { receiver: nobody }\nreceivers: [{ name: nobody }]\n",
        )
        .unwrap();
        let port = super::tools::unused_port();
        Self { folder, url: format!("http://127.0.0.1:{port}/"), port, server: None }
    }

    fn start(&mut self) {
        let file = |name: &str| self.folder.path().join(name).display().to_string();
        let log = fs::File::create(file("log")).unwrap();
        let server = Command::new("prometheus-alertmanager")
            .arg(format!("--config.file={}", file("alertmanager.yml")))
            .arg(format!("--storage.path={}", file("data")))
            .arg(format!("--web.listen-address=127.0.0.1:{}", self.port))
            .arg("--cluster.listen-address=")
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.server = Some(server);
        super::tools::until_it_answers(&format!("{}-/ready", self.url), Path::new(&file("log")));
    }

    fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.kill().unwrap();
            server.wait().unwrap();
        }
    }

    /// Its active alerts, once they are as wanted.
    fn until(&self, holds: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let begun = Instant::now();
        loop {
            let answer = super::tools::get_json(&format!("{}api/v2/alerts?active=true", self.url));
            let alerts = answer.as_array().unwrap().clone();
            if holds(&alerts) {
                return alerts;
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "{alerts:#?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A history with what is sent from it.
struct World {
    config: WatchConfig,
    store: Store,
    cells: Vec<CellId>,
    stop: watch::Sender<bool>,
    notices: mpsc::UnboundedReceiver<String>,
    delivering: JoinHandle<()>,
    runtime: Runtime,
    _folder: tempfile::TempDir,
}

impl World {
    fn new(urls: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let storage = Storage::Sqlite { path: folder.path().join("history.db") };
        let config = config(storage.clone(), urls);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (stop, stopped) = watch::channel(false);
        let (said, notices) = mpsc::unbounded_channel();
        let (store, cells) = runtime.block_on(async {
            let store = Store::open(&storage).await.unwrap();
            let keys: Vec<CellKey> = (0..40).map(key).collect();
            let cells = store.register(&keys).await.unwrap();
            (store, cells)
        });
        let metrics = Arc::new(Metrics::new(&config));
        let current = watch::channel(Arc::new(config.clone())).1;
        let delivering = runtime.spawn(deliver(store.clone(), current, metrics, "one".to_owned(), said, stopped));
        Self { config, store, cells, stop, notices, delivering, runtime, _folder: folder }
    }

    fn cell(&self, verdict: Verdict) -> CellNow {
        self.numbered_cell(0, verdict)
    }

    fn numbered_cell(&self, number: usize, verdict: Verdict) -> CellNow {
        let detail: Cell = serde_json::from_str(include_str!("cell.json")).unwrap();
        let code = (verdict != Verdict::Match).then(|| detail.findings[0].code.clone());
        let id = self.cells[number];
        CellNow {
            id,
            key: key(number),
            provider: Provider::Eks,
            intended: Intended::Reachable,
            interval: Duration::from_secs(30),
            state: CellState { standing: Some(Standing { verdict, code }), ..CellState::default() },
            last: Some(Round {
                cell: id,
                at: now(),
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

    /// Stores an event of a cell with the alerts that follow from it, which are returned.
    fn tell(&self, cell: &CellNow, kind: EventKind, since: Timestamp, open: &[Alert]) -> Vec<Alert> {
        let event = Event {
            id: 0,
            at: now(),
            since,
            kind,
            cluster: ClusterKey { check: cell.key.check.clone(), cluster: cell.key.cluster.clone() },
            cell: Some(cell.key.clone()),
            from: None,
            to: cell.state.standing.clone(),
            changes: Vec::new(),
            before: None,
            after: None,
            summary: format!("{} from {}", cell.key.cluster, cell.key.vantage),
        };
        let alerts = raised(&self.config, &event, cell, open);
        assert!(!alerts.is_empty());
        let batch = Batch { events: vec![event], alerts: alerts.clone(), ..Batch::default() };
        self.runtime.block_on(self.store.commit(&batch)).unwrap();
        alerts
    }

    /// Every alert is delivered, and what is over is forgotten.
    fn until_nothing_waits(&self) {
        let begun = Instant::now();
        loop {
            let alerts = self.runtime.block_on(self.store.alerts()).unwrap();
            if alerts.iter().all(|alert| alert.delivered && alert.ends_at.is_none()) {
                return;
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "{alerts:#?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// What was said.
    fn end(mut self) -> Vec<String> {
        self.stop.send_replace(true);
        self.runtime.block_on(async {
            self.delivering.await.unwrap();
            self.store.close().await;
        });
        let mut said = Vec::new();
        while let Ok(line) = self.notices.try_recv() {
            said.push(line);
        }
        said
    }
}

fn config(storage: Storage, urls: &[&str]) -> WatchConfig {
    WatchConfig {
        file: "watch.yaml".into(),
        checks: Vec::new(),
        storage,
        retention: Retention::default(),
        maintenance: Vec::new(),
        receivers: vec![Receiver {
            name: "ops".to_owned(),
            kind: ReceiverKind::Alertmanager { urls: urls.iter().map(|url| (*url).to_owned()).collect() },
            timeout: Duration::from_secs(5),
        }],
        routes: vec![Route {
            matcher: Matcher::default(),
            severity: Severity::Warning,
            inconclusive: true,
            receivers: vec!["ops".to_owned()],
            repeat: Duration::from_hours(4),
            labels: vec![("team".to_owned(), "sre".to_owned())],
        }],
        web: None,
    }
}

fn key(number: usize) -> CellKey {
    CellKey {
        check: "prod".to_owned(),
        cluster: format!("cluster-{number}"),
        vantage: "office".to_owned(),
        target: CellTarget::Kubernetes,
    }
}

/// To the millisecond, as slots are.
fn now() -> Timestamp {
    Timestamp::from_millisecond(Timestamp::now().as_millisecond()).unwrap()
}

fn time(value: &Value) -> Timestamp {
    value.as_str().unwrap().parse().unwrap()
}

fn unused_url() -> String {
    format!("http://127.0.0.1:{}", super::tools::unused_port())
}

//! A real Prometheus scrapes the watch, and `promtool` takes what it ships.

use std::{
    fs,
    io::Write,
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use kubereach::{
    report::{Cell, CellTarget, Intended, Provider, Reachability, Verdict},
    watch::{
        board::{Board, CellNow},
        config::{CheckSet, Receiver, ReceiverKind, Retention, Storage, WatchConfig, Web},
        metrics::Metrics,
        record::{CellId, CellKey, CellState, DetailId, Round, StageTimes, Standing},
        store::Store,
        web::{Sources, listen, serve},
    },
};
use libtest_mimic::Trial;
use serde_json::Value;
use tokio::{runtime::Runtime, sync::watch};

use super::tools::{encoded, get, get_json, until_it_answers, unused_port};

/// The cases.
pub(crate) fn trials() -> Vec<Trial> {
    vec![
        super::tools::trial("metrics_and_rules_pass_promtool", &["promtool"], promtool),
        super::tools::trial("metrics_are_scraped_by_prometheus", &["prometheus"], prometheus),
    ]
}

/// The exposition, the rules and their unit tests.
fn promtool() {
    let (metrics, board) = filled(20);
    let mut check = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    check.stdin.take().unwrap().write_all(metrics.classic_exposition(&board).as_bytes()).unwrap();
    let output = check.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for (what, file) in [("check", "kubereach-rules.yaml"), ("test", "kubereach-rules-test.yaml")] {
        let file = root().join("docs/prometheus").join(file);
        let output = Command::new("promtool").args([what, "rules"]).arg(file).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&text));
    }
}

/// Its series are there, every rule evaluates, every panel of the dashboard asks what Prometheus understands, and a cell
/// that went is gone.
fn prometheus() {
    let world = World::new();
    let server = Prometheus::start(world.address);
    let verdicts = "kubereach_cell_verdict{verdict=\"mismatch\"} == 1";
    server.until(verdicts, |result| result.len() == 20);
    let sample = &server.query("kubereach_finding")[0];
    assert_eq!(sample["metric"]["code"], "eks-client-not-in-public-access-cidrs");
    assert_eq!(sample["metric"]["job"], "kubereach");
    let lag =
        server.until("histogram_quantile(0.99, kubereach_scheduler_lag_seconds_bucket)", |result| result.len() == 1);
    let seconds: f64 = lag[0]["value"][1].as_str().unwrap().parse().unwrap();
    assert!((0.001..=0.0025).contains(&seconds), "{seconds}");
    server.until("kubereach_build_info * on (instance) process_start_time_seconds > 0", |result| result.len() == 1);
    assert!(server.query("kubereach_rounds_total{verdict=\"mismatch\"}").len() == 1);

    for (title, expression) in dashboard() {
        let answer = server.ask(&expression);
        assert_eq!(answer["status"], "success", "{title}: {expression}: {answer}");
        // Nothing is overdue or in trouble here, and rates need two scrapes.
        let nothing =
            ["Overdue", "How long changes took", "Events"].contains(&title.as_str()) || expression.contains('[');
        let result = answer["data"]["result"].as_array().unwrap();
        assert!(nothing || !result.is_empty(), "{title}: {expression} has no result");
    }

    let rules = get_json(&format!("{}/api/v1/rules", server.url));
    let begun = Instant::now();
    while server.ask("ALERTS{alertname=\"KubereachCellMismatch\"}")["data"]["result"].as_array().unwrap().is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{rules:#}");
        std::thread::sleep(Duration::from_millis(100));
    }
    let rules = get_json(&format!("{}/api/v1/rules", server.url));
    for rule in rules["data"]["groups"].as_array().unwrap().iter().flat_map(|group| group["rules"].as_array().unwrap())
    {
        assert_eq!(rule["health"], "ok", "{rule:#}");
    }

    // Of a cell whose prober is offline, and of one that nobody probes any longer, the last verdict is no verdict.
    for (number, change) in [(5, OFFLINE), (6, OVERDUE)] {
        let mut cell = world.board.cells()[number].as_ref().clone();
        change(&mut cell);
        world.board.put(cell);
    }
    let panel = |title: &str| dashboard().into_iter().find(|(have, _)| have == title).unwrap().1;
    server.until(&panel("Mismatch"), |result| result[0]["value"][1] == "18");
    for title in ["Overdue", "Offline"] {
        server.until(&panel(title), |result| result[0]["value"][1] == "1");
    }
    let shown = server.query(&panel("Cells"));
    let count = |value: &str| shown.iter().filter(|cell| cell["value"][1] == value).count();
    assert_eq!((shown.len(), count("3"), count("4")), (20, 18, 2), "{shown:?}");

    world.board.retain(|cell| cell.key.cluster == "cluster-3");
    server.until(verdicts, |result| result.len() == 1);
}

/// The expressions of the dashboard, its variables filled in.
fn dashboard() -> Vec<(String, String)> {
    let text = fs::read_to_string(root().join("docs/grafana/kubereach.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let variables: Vec<&str> =
        dashboard["templating"]["list"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    let mut expressions = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        for target in panel["targets"].as_array().into_iter().flatten() {
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{title}");
            let mut expression = target["expr"].as_str().unwrap().replace("$__rate_interval", "1m");
            for name in &variables {
                expression = expression.replace(&format!("${name}"), ".*");
            }
            assert!(!expression.contains('$'), "{title}: {expression}");
            expressions.push((title.to_owned(), expression));
        }
    }
    assert!(expressions.len() > 30);
    expressions
}

/// A Prometheus that scrapes one watch every second.
struct Prometheus {
    url: String,
    server: Child,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    fn start(target: SocketAddr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let rules = root().join("docs/prometheus/kubereach-rules.yaml");
        let configuration = format!(
            "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\nrule_files: [{:?}]\nscrape_configs:\n  \
             - {{ job_name: kubereach, static_configs: [{{ targets: [\"{target}\"] }}] }}\n",
            rules.display().to_string()
        );
        let file = |name: &str| folder.path().join(name).display().to_string();
        fs::write(file("prometheus.yml"), configuration).unwrap();
        let address = format!("127.0.0.1:{}", unused_port());
        let server = Command::new("prometheus")
            .arg(format!("--config.file={}", file("prometheus.yml")))
            .arg(format!("--storage.tsdb.path={}", file("data")))
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(fs::File::create(file("log")).unwrap())
            .spawn()
            .unwrap();
        let url = format!("http://{address}");
        until_it_answers(&format!("{url}/-/ready"), Path::new(&file("log")));
        Self { url, server, _folder: folder }
    }

    fn ask(&self, expression: &str) -> Value {
        get_json(&format!("{}/api/v1/query?query={}", self.url, encoded(expression)))
    }

    fn query(&self, expression: &str) -> Vec<Value> {
        self.ask(expression)["data"]["result"].as_array().unwrap().clone()
    }

    fn until(&self, expression: &str, holds: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let begun = Instant::now();
        loop {
            let result = self.query(expression);
            if holds(&result) {
                return result;
            }
            let targets = get(&format!("{}/api/v1/targets", self.url));
            assert!(begun.elapsed() < Duration::from_secs(20), "{expression}: {result:?}\n{targets:?}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// A page that serves `/metrics`.
struct World {
    board: Arc<Board>,
    address: SocketAddr,
    _stop: watch::Sender<bool>,
    _runtime: Runtime,
    _folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (metrics, board) = filled(20);
        let board = Arc::new(board);
        let (stop, stopped) = watch::channel(false);
        let address = runtime.block_on(async {
            let listener = listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
            let address = listener.local_addr().unwrap();
            let mut config = config();
            config.storage = Storage::Sqlite { path: folder.path().join("history.db") };
            config.web = Some(Web { listen: address, token: None, behind_proxy: false, public_url: None });
            let store = Store::open(&config.storage).await.unwrap();
            let sources = Sources {
                board: Arc::clone(&board),
                store,
                metrics: Arc::new(metrics),
                config: watch::channel(Arc::new(config)).1,
            };
            tokio::spawn(serve(listener, sources, stopped));
            address
        });
        Self { board, address, _stop: stop, _runtime: runtime, _folder: folder }
    }
}

/// Cells that are wrong, with a round each.
fn filled(cells: i64) -> (Metrics, Board) {
    let metrics = Metrics::new(&config());
    let board = Board::default();
    let now = Timestamp::now();
    board.change_health(|health| {
        health.started_at = Some(now);
        health.configured_at = Some(now);
    });
    let detail: Cell = serde_json::from_str(include_str!("cell.json")).unwrap();
    let detail = Arc::new(detail);
    for number in 0..cells {
        let round = Round {
            cell: CellId(number),
            at: now,
            verdict: Verdict::Mismatch,
            observed: Reachability::Unreachable,
            offline: false,
            stages: StageTimes { dns: Some(3_100), tcp: Some(12_000), tls: Some(9_001), http: Some(4_000) },
            detail: DetailId(1),
        };
        metrics.round("prod", VANTAGE, &round, Duration::from_millis(2), Duration::from_millis(30));
        let code = Some(detail.findings[0].code.clone());
        board.put(CellNow {
            id: CellId(number),
            key: CellKey {
                check: "prod".to_owned(),
                cluster: format!("cluster-{number}"),
                vantage: VANTAGE.to_owned(),
                target: CellTarget::Kubernetes,
            },
            provider: Provider::Eks,
            intended: Intended::Reachable,
            interval: Duration::from_secs(30),
            state: CellState {
                standing: Some(Standing { verdict: Verdict::Mismatch, code }),
                since: Some(now),
                incident: Some(now),
                ..CellState::default()
            },
            last: Some(round),
            detail: Some(Arc::clone(&detail)),
            due: None,
            own: true,
            maintenance: false,
        });
    }
    metrics.delivery("ops", true);
    metrics.written(5, Duration::from_millis(3), true);
    metrics.missed("prod");
    (metrics, board)
}

fn config() -> WatchConfig {
    WatchConfig {
        file: "watch.yaml".into(),
        checks: Vec::<CheckSet>::new(),
        storage: Storage::Sqlite { path: "unused.db".into() },
        retention: Retention::default(),
        maintenance: Vec::new(),
        receivers: vec![Receiver {
            name: "ops".to_owned(),
            kind: ReceiverKind::Alertmanager { urls: Vec::new() },
            timeout: Duration::from_secs(1),
        }],
        routes: Vec::new(),
        web: None,
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

const OFFLINE: fn(&mut CellNow) = |cell| cell.state.paused_since = Some(Timestamp::now());
const OVERDUE: fn(&mut CellNow) = |cell| {
    if let Some(round) = &mut cell.last {
        round.at -= Duration::from_hours(1);
    }
    // The cells of this world have no slots of their own.
    cell.due = Some(Timestamp::now() - Duration::from_hours(1));
};
/// As awkward as a name may be.
const VANTAGE: &str = "office \"\\ ü";

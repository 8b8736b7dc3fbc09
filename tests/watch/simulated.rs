//! The scheduler and the ledger by a clock of the test's own: a day in seconds, clocks that are set, reloads, many cells.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write as _,
    fs,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use kubereach::{
    check::{Look, Refreshed, Times},
    report::{Cell, Finding, Verdict},
    watch::{
        board::Board,
        config::{self, CheckSet, WatchConfig},
        metrics::Metrics,
        record::EventKind,
        runner::{self, Clock, Parts, Prober},
        schedule,
        store::{EventFilter, Store},
    },
};
use libtest_mimic::Trial;
use serde_json::json;
use tokio::sync::{mpsc, oneshot, watch};

use crate::process::resident_kib;

/// The cases.
pub(crate) fn trials() -> Vec<Trial> {
    vec![
        alone("a_day_passes_without_drift_or_growth", a_day),
        crate::trial("clocks_that_are_set_neither_stop_nor_flood", clock_jumps),
        crate::trial("a_storm_of_reloads_loses_no_state", reload_storm),
        alone("ten_thousand_cells_are_all_probed", ten_thousand_cells),
    ]
}

/// A case in a process of its own, because it measures the memory of its process.
fn alone(name: &'static str, case: fn()) -> Trial {
    crate::trial(name, move || {
        if std::env::var_os(ALONE).is_some() {
            return case();
        }
        let mut again = std::process::Command::new(std::env::current_exe().unwrap());
        let output = again.args(["--exact", name, "--nocapture"]).env(ALONE, "1").output().unwrap();
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        println!("{said}");
        assert!(output.status.success() && said.contains("1 passed"), "{name} failed by itself");
    })
}

const ALONE: &str = "KUBEREACH_TEST_ALONE";
const HOUR: i64 = 3_600;
const BEGIN: &str = "2026-03-01T00:00:00Z";

fn a_day() {
    let world = World::new(4, 5, "every: 30s, jitter: 2s");
    let (failed, mended) = (world.at(10 * HOUR), world.at(12 * HOUR));
    // The first vantage is cut off for two hours; now and then a single round of another one fails.
    world.prober.script(move |vantage, now| match vantage {
        "v0" => now >= failed && now < mended,
        "v1" => now.as_second() % 1_800 < 30,
        _ => false,
    });
    let mut early = 0;
    world.run(|world| {
        world.advance_to(world.at(2 * HOUR));
        early = resident_kib(std::process::id());
        world.advance_to(world.at(24 * HOUR));
    });
    let grown = resident_kib(std::process::id()).saturating_sub(early);
    println!("a simulated day: {} rounds, {grown} KiB grown after its second hour", world.prober.rounds());
    assert!(grown < 24 * 1_024, "{grown} KiB");
    let runtime = world.runtime();
    let store = runtime.block_on(Store::open(&world.config.storage)).unwrap();
    for cell in runtime.block_on(store.cells()).unwrap() {
        let rounds = runtime.block_on(store.rounds(cell.id, world.at(0), world.at(25 * HOUR), 10_000)).unwrap();
        assert!((2_878..=2_881).contains(&rounds.len()), "{}: {}", cell.key.subject(), rounds.len());
        // Every slot is the schedule's own, to the millisecond, and none is missing.
        let (schedule, seed) = (&world.config.checks[0].schedule, schedule::seed(&cell.key));
        for pair in rounds.windows(2) {
            assert_eq!(schedule.next(seed, pair[0].at), pair[1].at, "{}", cell.key.subject());
        }
    }
    let count = |kind| {
        let filter = EventFilter { kinds: vec![kind], limit: 1_000, ..EventFilter::default() };
        runtime.block_on(store.events(&filter)).unwrap()
    };
    let failures = count(EventKind::Failed);
    assert_eq!(failures.len(), 4, "one a cluster, seen from the vantage that is cut off: {failures:#?}");
    assert!(failures.iter().all(|event| event.cell.as_ref().unwrap().vantage == "v0"));
    assert!(failures.iter().all(|event| event.since >= failed && event.since < failed + SignedDuration::from_secs(40)));
    assert_eq!(count(EventKind::Recovered).len(), 4);
    assert_eq!(count(EventKind::Changed).len(), 0);
}

fn clock_jumps() {
    let world = World::new(10, 10, "every: 30s, jitter: 0s");
    world.run(|world| {
        world.advance_to(world.at(300));
        let before = world.prober.rounds();
        // Forward: what was missed is not made up for.
        world.clock.set(world.at(3 * HOUR));
        world.advance_to(world.at(3 * HOUR + 60));
        let forward = world.prober.rounds() - before;
        assert!((200..=320).contains(&forward), "{forward} rounds of 100 cells in a minute after three hours' leap");
        // Back: nothing waits for a time that was.
        let before = world.prober.rounds();
        world.clock.set(world.at(HOUR));
        world.advance_to(world.at(HOUR + 90));
        let back = world.prober.rounds() - before;
        assert!((200..=420).contains(&back), "{back} rounds of 100 cells in 90 s after a leap back");
    });
}

fn reload_storm() {
    let world = World::new(5, 4, "every: 10s, jitter: 0s");
    let failed = world.at(120);
    world.prober.script(move |vantage, now| vantage == "v0" && now >= failed);
    world.run(|world| {
        world.advance_to(world.at(300));
        let open: Vec<_> = world.board.cells().iter().filter_map(|cell| cell.state.incident).collect();
        assert_eq!(open.len(), 5);
        for step in 1..=100 {
            world.reload();
            world.advance_to(world.at(300 + step * 3));
        }
        world.advance_to(world.at(700));
        let after: Vec<_> = world.board.cells().iter().filter_map(|cell| cell.state.incident).collect();
        assert_eq!(after, open, "incidents go on as they began");
        assert_eq!(world.board.cells().len(), 20);
        let silent = world
            .board
            .cells()
            .iter()
            .filter(|cell| cell.last.as_ref().is_none_or(|last| last.at < world.at(680)))
            .count();
        assert_eq!(silent, 0, "every cell is still probed");
    });
    let runtime = world.runtime();
    let store = runtime.block_on(Store::open(&world.config.storage)).unwrap();
    let filter =
        EventFilter { kinds: vec![EventKind::Failed, EventKind::Recovered], limit: 100, ..EventFilter::default() };
    assert_eq!(runtime.block_on(store.events(&filter)).unwrap().len(), 5, "no incident was told twice");
}

fn ten_thousand_cells() {
    let world = World::new(100, 100, "every: 10s, jitter: 0s");
    world.run(|world| {
        world.advance_to(world.at(31));
        let rounds = world.prober.rounds();
        assert!((29_000..=31_500).contains(&rounds), "{rounds}");
        assert!(world.board.cells().iter().all(|cell| cell.last.is_some()));
        // Spread, not in one burst: no second of the interval has more than a part.
        let busiest = world.prober.busiest_second();
        assert!(busiest < 1_500, "{busiest} of 10,000 rounds in one second of ten");
    });
    println!("10,000 cells: {} KiB resident", resident_kib(std::process::id()));
}

/// A watch whose time and probes are the test's.
struct World {
    config: Arc<WatchConfig>,
    clock: Arc<SimulatedClock>,
    prober: Arc<ScriptedProber>,
    board: Arc<Board>,
    begin: Timestamp,
    reloads: Mutex<Option<mpsc::Sender<runner::Reload>>>,
    runtime: tokio::runtime::Runtime,
    _folder: tempfile::TempDir,
}

impl World {
    fn new(clusters: usize, vantages: usize, schedule: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = Arc::new(configuration(folder.path(), clusters, vantages, schedule));
        let begin: Timestamp = BEGIN.parse().unwrap();
        let clock = Arc::new(SimulatedClock::new(begin));
        let prober = Arc::new(ScriptedProber::new(&config.checks[0], Arc::clone(&clock)));
        Self {
            config,
            clock,
            prober,
            board: Arc::new(Board::default()),
            begin,
            reloads: Mutex::new(None),
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap(),
            _folder: folder,
        }
    }

    fn at(&self, seconds: i64) -> Timestamp {
        self.begin + SignedDuration::from_secs(seconds)
    }

    const fn runtime(&self) -> &tokio::runtime::Runtime {
        &self.runtime
    }

    /// Runs the watch while `story` moves its time, then stops it.
    fn run(&self, story: impl FnOnce(&Self)) {
        let (stop, stopped) = watch::channel(false);
        let (reload, reloads) = mpsc::channel(16);
        *self.reloads.lock().unwrap() = Some(reload);
        let (notices, _lines) = mpsc::unbounded_channel();
        let store = self.runtime.block_on(Store::open(&self.config.storage)).unwrap();
        let prober = Arc::clone(&self.prober);
        let parts = Parts {
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            store,
            board: Arc::clone(&self.board),
            metrics: Arc::new(Metrics::new(&self.config)),
            prober: Arc::new(move |_: &CheckSet, _| Ok(Arc::clone(&prober) as Arc<dyn Prober>)),
            notices,
            process: "test".to_owned(),
        };
        let watching = {
            let current = watch::channel(Arc::clone(&self.config)).0;
            self.runtime.spawn(runner::watch(parts, current, reloads, stopped))
        };
        self.runtime.block_on(async {
            // The start waits for the database, which knows nothing of the test's time.
            let due = |board: &Board| {
                board.health().configured_at.is_some() && !self.clock.sleepers.lock().unwrap().is_empty()
            };
            while !due(&self.board) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        });
        story(self);
        let _ = stop.send(true);
        self.runtime.block_on(async {
            // The last write waits for nobody's clock.
            while !watching.is_finished() {
                self.clock.step(Timestamp::MAX);
                settle(&self.prober).await;
            }
            watching.await.unwrap().unwrap();
        });
    }

    fn reload(&self) {
        let reloads = self.reloads.lock().unwrap().clone().unwrap();
        let (answer, taken) = oneshot::channel();
        self.runtime.block_on(async {
            reloads.send((Arc::clone(&self.config), answer)).await.unwrap();
            taken.await.unwrap().unwrap();
        });
    }

    /// Lets time pass, from one thing that is waited for to the next.
    fn advance_to(&self, end: Timestamp) {
        self.runtime.block_on(async {
            settle(&self.prober).await;
            while self.clock.step(end) {
                settle(&self.prober).await;
            }
        });
    }
}

/// Lets every task go on until it waits for time, or for the database.
async fn settle(prober: &ScriptedProber) {
    for _ in 0..8 {
        tokio::task::yield_now().await;
    }
    while prober.under_way.load(Ordering::Acquire) > 0 {
        tokio::task::yield_now().await;
    }
}

fn configuration(folder: &Path, clusters: usize, vantages: usize, schedule: &str) -> WatchConfig {
    let mut scenario = "apiVersion: kubereach/v1\nclusters:\n".to_owned();
    let names =
        |letter: char, count: usize| (0..count).map(move |number| format!("{letter}{number}")).collect::<Vec<_>>();
    let (clusters, vantages) = (names('c', clusters), names('v', vantages));
    for cluster in &clusters {
        writeln!(scenario, "  {cluster}: {{ endpoint: https://127.0.0.1:1 }}").unwrap();
    }
    scenario += "vantages:\n";
    for vantage in &vantages {
        writeln!(scenario, "  {vantage}: {{ local: {{}} }}").unwrap();
    }
    scenario += "expect:\n";
    for cluster in &clusters {
        writeln!(scenario, "  - {{ cluster: {cluster}, from: [{}], reachable: true }}", vantages.join(", ")).unwrap();
    }
    fs::write(folder.join("all.yaml"), scenario).unwrap();
    let text = format!(
        "apiVersion: kubereach/v1\nwatch:\n  checks: [{{ scenario: all.yaml, {schedule}, timeout: 5s, confirm: 3 }}]\n  \
         storage: {{ sqlite: ./history.db }}\n  web: false\n"
    );
    fs::write(folder.join("watch.yaml"), text).unwrap();
    config::load(&folder.join("watch.yaml")).unwrap()
}

/// Time that passes when the test says so.
struct SimulatedClock {
    now: Mutex<Timestamp>,
    sleepers: Mutex<BTreeMap<(Timestamp, u64), oneshot::Sender<()>>>,
    number: AtomicU64,
}

impl SimulatedClock {
    fn new(now: Timestamp) -> Self {
        Self { now: Mutex::new(now), sleepers: Mutex::default(), number: AtomicU64::new(0) }
    }

    /// Goes on to the next time that somebody waits for, up to `end`; false when that is reached.
    fn step(&self, end: Timestamp) -> bool {
        let mut sleepers = self.sleepers.lock().unwrap();
        // Who no longer waits moves no clock.
        while sleepers.first_entry().is_some_and(|first| first.get().is_closed()) {
            sleepers.pop_first();
        }
        let next = sleepers.first_key_value().map(|((at, _), _)| *at).filter(|at| *at <= end);
        let mut now = self.now.lock().unwrap();
        let Some(next) = next else {
            *now = (*now).max(end.min(*now + SignedDuration::from_hours(48)));
            return false;
        };
        *now = (*now).max(next);
        while let Some(first) = sleepers.first_entry().filter(|first| first.key().0 <= *now) {
            let _ = first.remove().send(());
        }
        true
    }

    /// Sets the clock, as an administrator does.
    fn set(&self, to: Timestamp) {
        *self.now.lock().unwrap() = to;
        // What sleeps looks at the clock again soon, as the system's clock does.
        for (_, sleeper) in std::mem::take(&mut *self.sleepers.lock().unwrap()) {
            let _ = sleeper.send(());
        }
    }
}

impl Clock for SimulatedClock {
    fn now(&self) -> Timestamp {
        *self.now.lock().unwrap()
    }

    fn sleep_until(&self, at: Timestamp) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let begun = self.now();
            while (begun..at).contains(&self.now()) {
                let (sender, woken) = oneshot::channel();
                let number = self.number.fetch_add(1, Ordering::Relaxed);
                // Naps of a minute at most: a clock that is set while somebody sleeps is noticed.
                let until = at.min(self.now() + SignedDuration::from_secs(60));
                self.sleepers.lock().unwrap().insert((until, number), sender);
                let _ = woken.await;
            }
        })
    }
}

type Script = Box<dyn Fn(&str, Timestamp) -> bool + Send + Sync>;

/// A prober that answers at once, by a script: whether a vantage is cut off at a time.
struct ScriptedProber {
    cells: Vec<[Arc<Cell>; 2]>,
    clock: Arc<SimulatedClock>,
    script: Mutex<Option<Script>>,
    under_way: AtomicUsize,
    rounds: AtomicUsize,
    seconds: Mutex<HashMap<i64, usize>>,
    closed: AtomicBool,
}

impl ScriptedProber {
    fn new(check: &CheckSet, clock: Arc<SimulatedClock>) -> Self {
        let plan = &check.plan;
        let cells = plan.cells.iter().map(|cell| {
            let (cluster, vantage) = (&plan.clusters[cell.cluster].name, &plan.vantages[cell.vantage].name);
            [Verdict::Match, Verdict::Mismatch].map(|verdict| Arc::new(judged(cluster, vantage, verdict)))
        });
        Self {
            cells: cells.collect(),
            clock,
            script: Mutex::new(None),
            under_way: AtomicUsize::new(0),
            rounds: AtomicUsize::new(0),
            seconds: Mutex::default(),
            closed: AtomicBool::new(false),
        }
    }

    fn script(&self, script: impl Fn(&str, Timestamp) -> bool + Send + Sync + 'static) {
        *self.script.lock().unwrap() = Some(Box::new(script));
    }

    fn rounds(&self) -> usize {
        self.rounds.load(Ordering::Acquire)
    }

    fn busiest_second(&self) -> usize {
        self.seconds.lock().unwrap().values().copied().max().unwrap_or_default()
    }
}

impl Prober for ScriptedProber {
    fn round(&self, index: usize, _timeout: Duration) -> BoxFuture<'_, Look> {
        Box::pin(async move {
            self.under_way.fetch_add(1, Ordering::AcqRel);
            tokio::task::yield_now().await;
            let now = self.clock.now();
            *self.seconds.lock().unwrap().entry(now.as_second()).or_default() += 1;
            let [fine, failing] = &self.cells[index];
            let fails = self.script.lock().unwrap().as_ref().is_some_and(|script| script(&fine.vantage, now));
            let (cell, id) = if fails { (failing, 1) } else { (fine, 0) };
            let number = i64::try_from(index).unwrap();
            let times = Times { tcp: Some(1.0), tls: Some(2.0), http: Some(3.0), ..Times::default() };
            self.rounds.fetch_add(1, Ordering::AcqRel);
            self.under_way.fetch_sub(1, Ordering::AcqRel);
            Look { cell: Arc::clone(cell), id: number * 2 + id, fresh: false, offline: false, times }
        })
    }

    fn refresh(&self, _cluster: usize) -> BoxFuture<'_, Refreshed> {
        Box::pin(async { Refreshed::default() })
    }

    fn has_configuration(&self, _cluster: usize) -> bool {
        false
    }

    fn configuration_findings(&self, _cluster: usize) -> Vec<Finding> {
        Vec::new()
    }

    fn close(&self) -> BoxFuture<'_, Vec<String>> {
        self.closed.store(true, Ordering::Release);
        Box::pin(async { Vec::new() })
    }
}

fn judged(cluster: &str, vantage: &str, verdict: Verdict) -> Cell {
    let observed = if verdict == Verdict::Match { "reachable" } else { "unreachable" };
    let findings = if verdict == Verdict::Match {
        json!([])
    } else {
        json!([{ "code": "net-packets-dropped", "severity": "error", "confidence": "likely", "title": "Packets are dropped",
            "cluster": cluster, "vantage": vantage, "evidence": [], "setting": null, "fix": null, "docs": null }])
    };
    serde_json::from_value(json!({
        "cluster": cluster, "vantage": vantage, "endpoint": "https://127.0.0.1:1", "provider": "generic",
        "intended": "reachable", "configured": "unknown", "observed": observed, "verdict": verdict, "via": null,
        "dns": [], "attempts": [], "path": [], "findings": findings, "convergedAfterMs": null, "rounds": 1,
        "summary": observed,
    }))
    .unwrap()
}

//! What is done to a running watch: killed, starved of disk, stormed with signals, joined by a second one.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use kubereach::watch::{
    config::Storage,
    record::EventKind,
    store::{EventFilter, Store},
};
use libtest_mimic::Trial;
use rusqlite::Connection;
use secrecy::ExposeSecret;

use crate::{
    postgres,
    process::{Api, Watch, free, resident_kib, scenario},
    tools,
};

/// The cases.
pub(crate) fn trials() -> Vec<Trial> {
    vec![
        crate::trial("killed_in_the_middle_of_an_incident", killed),
        tools::trial("a_full_disk_stops_no_probe", &["unshare", "mount"], full_disk),
        crate::trial("signals_that_storm_and_files_that_are_broken", hangups),
        crate::trial("once_counts_over_its_runs", once),
        crate::trial("a_second_watch_on_the_same_file_is_refused", second),
        tools::trial("two_processes_share_the_cells_of_one_database", &["psql"], shared),
    ]
}

fn killed() {
    let folder = tempfile::tempdir().unwrap();
    let mut api = Api::open(folder.path());
    let page = configure(folder.path(), api.address, 40, "sqlite: history.db", "every: 1s, jitter: 0s, confirm: 2");
    let mut watch = Watch::start(folder.path(), page);
    watch.until("every cell is a match", |watch| watch.metric("kubereach_cell_verdict", "verdict=\"match\"") == 40);
    api.close();
    watch.until("every cell failed", |watch| watch.metric("kubereach_cell_verdict", "verdict=\"mismatch\"") == 40);
    for _ in 0..5 {
        watch.until("something more is written", |watch| {
            watch.metric("kubereach_history_rounds_written_total", "") > 60
        });
        let before = rounds(folder.path());
        let written = watch.metric("kubereach_history_rounds_written_total", "");
        watch.signal("KILL");
        watch.end();
        // What it said was written is there, and whole.
        let database = Connection::open(folder.path().join("history.db")).unwrap();
        let whole: String = database.query_row("pragma integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(whole, "ok");
        assert!(rounds(folder.path()) >= before && before + 40 >= written, "{before} of {written}");
        drop(database);
        watch = Watch::start(folder.path(), page);
        watch.until("it remembers every incident", |watch| {
            watch.metric("kubereach_cell_verdict", "verdict=\"mismatch\"") == 40
        });
    }
    api.reopen();
    watch.until("every cell recovered", |watch| watch.metric("kubereach_cell_verdict", "verdict=\"match\"") == 40);
    watch.signal("TERM");
    assert!(watch.end().success());
    let kinds = kinds(&Storage::Sqlite { path: folder.path().join("history.db") });
    // One incident a cell, however often the watch was killed in it.
    assert_eq!((count(&kinds, EventKind::Failed), count(&kinds, EventKind::Recovered)), (40, 40));
}

fn full_disk() {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let api = Api::open(folder.path());
    let page = configure(folder.path(), api.address, 60, "sqlite: disk/history.db", "every: 1s, jitter: 0s");
    let mut command = Command::new("unshare");
    if !postgres::is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["--mount", "sh", "-c", "mount -t tmpfs -o size=6m tmpfs disk && exec \"$0\" watch watch.yaml"]);
    command.arg(env!("CARGO_BIN_EXE_kubereach")).current_dir(folder.path());
    let mut watch = Watch::spawn(command, folder.path(), page);
    watch.until("rounds are written", |watch| watch.metric("kubereach_history_rounds_written_total", "") > 100);
    // The disk is the watch's own; the way to it goes by its process.
    let filler = Path::new("/proc")
        .join(watch.id().to_string())
        .join("root")
        .join(disk.strip_prefix("/").unwrap())
        .join("filler");
    let _ = fs::write(&filler, vec![0; 6 << 20]);
    watch.until("it says that it cannot write", |watch| watch.metric("kubereach_history_writable", "") == 0);
    let (probed, waiting) =
        (watch.metric("kubereach_rounds_total", ""), watch.metric("kubereach_history_unwritten_rounds", ""));
    watch.until("it probes on", |watch| watch.metric("kubereach_rounds_total", "") >= probed + 120);
    assert!(watch.metric("kubereach_history_unwritten_rounds", "") > waiting, "what was found waits");
    let said = watch.said().join("\n");
    assert!(said.contains("history cannot be written, probing goes on") && said.contains("full"), "{said}");
    assert!(watch.get("/").contains("cannot be written"), "the page tells");
    fs::remove_file(&filler).unwrap();
    watch.until("it writes again", |watch| watch.metric("kubereach_history_writable", "") == 1);
    watch.until("nothing waits", |watch| watch.metric("kubereach_history_unwritten_rounds", "") < 120);
    assert_eq!(watch.metric("kubereach_history_dropped_rounds_total", ""), 0);
    let (probed, written) =
        (watch.metric("kubereach_rounds_total", ""), watch.metric("kubereach_history_rounds_written_total", ""));
    assert!(written + 180 >= probed, "{written} of {probed} rounds are written");
}

fn hangups() {
    let folder = tempfile::tempdir().unwrap();
    let api = Api::open(folder.path());
    let page = configure(folder.path(), api.address, 20, "sqlite: history.db", "every: 1s, jitter: 0s");
    let mut watch = Watch::start(folder.path(), page);
    watch.until("every cell is a match", |watch| watch.metric("kubereach_cell_verdict", "verdict=\"match\"") == 20);
    let good = fs::read_to_string(folder.path().join("watch.yaml")).unwrap();
    let memory = resident_kib(watch.id());
    for storm in 0..200 {
        let text = if storm % 3 == 0 { "watch: [".to_owned() } else { good.clone() };
        fs::write(folder.path().join("watch.yaml"), text).unwrap();
        watch.signal("HUP");
        std::thread::sleep(Duration::from_millis(5));
    }
    fs::write(folder.path().join("watch.yaml"), "watch: [").unwrap();
    watch.signal("HUP");
    watch.until("the last file was refused", |watch| watch.metric("kubereach_config_last_reload_successful", "") == 0);
    let probed = watch.metric("kubereach_rounds_total", "");
    watch.until("it probes on with the one before", |watch| watch.metric("kubereach_rounds_total", "") > probed + 40);
    assert!(watch.get("/").contains("reload") || watch.get("/").contains("configuration"), "the page tells");
    fs::write(folder.path().join("watch.yaml"), good.replace("confirm: 3", "confirm: 2")).unwrap();
    watch.signal("HUP");
    watch.until("the good file was taken", |watch| watch.metric("kubereach_config_last_reload_successful", "") == 1);
    assert_eq!(watch.metric("kubereach_cell_verdict", "verdict=\"match\""), 20, "no state was lost");
    let grown = resident_kib(watch.id()).saturating_sub(memory);
    println!("200 hangups: {grown} KiB grown");
    assert!(grown < 60 << 10, "{grown} KiB");
    watch.signal("TERM");
    assert!(watch.end().success());
    // A cell that is as it was is told of once, whatever the storm.
    let kinds = kinds(&Storage::Sqlite { path: folder.path().join("history.db") });
    assert_eq!(kinds, vec![EventKind::First; 20]);
}

fn once() {
    let folder = tempfile::tempdir().unwrap();
    let mut api = Api::open(folder.path());
    configure(folder.path(), api.address, 2, "sqlite: history.db", "every: 1m, confirm: 2");
    let run = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubereach"));
        command.args(["watch", "watch.yaml", "--once", "-o", "json"]).current_dir(folder.path());
        let output = command.env_clear().env("HOME", folder.path()).output().unwrap();
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report["cells"].as_array().unwrap().len(), 2);
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(run().0, Some(0));
    api.close();
    let (status, said) = run();
    assert_eq!(status, Some(1));
    assert!(!said.contains("failed:"), "one round is not enough: {said}");
    let (status, said) = run();
    assert_eq!((status, said.matches("failed:").count()), (Some(1), 2), "{said}");
    api.reopen();
    assert_eq!(run().0, Some(0));
    let (status, said) = run();
    assert_eq!((status, said.matches("recovered:").count()), (Some(0), 2), "{said}");
    assert_eq!(rounds(folder.path()), 10);
}

fn second() {
    let folder = tempfile::tempdir().unwrap();
    let api = Api::open(folder.path());
    let page = configure(folder.path(), api.address, 1, "sqlite: history.db", "every: 1s, jitter: 0s");
    let _first = Watch::start(folder.path(), page);
    configure(folder.path(), api.address, 1, "sqlite: history.db", "every: 1s, jitter: 0s");
    for arguments in [vec!["watch", "watch.yaml"], vec!["watch", "watch.yaml", "--once"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubereach"));
        let output = command.args(&arguments).current_dir(folder.path()).env_clear().output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("another `kubereach watch` is writing this history"), "{said}");
    }
    // By another name it is the same history.
    std::os::unix::fs::symlink("history.db", folder.path().join("other.db")).unwrap();
    configure(folder.path(), api.address, 1, "sqlite: other.db", "every: 1s, jitter: 0s");
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubereach"));
    let output = command.args(["watch", "watch.yaml"]).current_dir(folder.path()).env_clear().output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("another `kubereach watch` is writing this history"), "{said}");
    // Whoever only reads is welcome.
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubereach"));
    let output = command.args(["history", "watch.yaml"]).current_dir(folder.path()).env_clear().output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn shared() {
    let storage = postgres::shared().database();
    let Storage::Postgres { url, .. } = &storage else { unreachable!("a PostgreSQL server has no other databases") };
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let api = Api::open(folders[0].path());
    fs::copy(folders[0].path().join("ca.pem"), folders[1].path().join("ca.pem")).unwrap();
    let mut watches: Vec<Watch> = folders
        .iter()
        .map(|folder| {
            fs::write(folder.path().join("url"), url.expose_secret()).unwrap();
            let page = configure(folder.path(), api.address, 64, "postgres: { urlFile: url }", "every: 1s, jitter: 0s");
            Watch::start(folder.path(), page)
        })
        .collect();
    let own = |watch: &Watch| watch.metric("kubereach_cells", "");
    for watch in &mut watches {
        watch.until("it has its part of the cells", |watch| (10..=54).contains(&own(watch)));
    }
    let begun = Instant::now();
    while own(&watches[0]) + own(&watches[1]) != 64 {
        assert!(begun.elapsed() < Duration::from_secs(30), "{} and {}", own(&watches[0]), own(&watches[1]));
        std::thread::sleep(Duration::from_millis(200));
    }
    // Each check by exactly one: what both probed is what is stored, nothing of it twice.
    let store =
        |statement: &str| postgres::shared().sql(&database(url.expose_secret()), statement).parse::<u64>().unwrap();
    let probed =
        |watches: &[Watch]| watches.iter().map(|watch| watch.metric("kubereach_rounds_total", "")).sum::<u64>();
    let stored = || store("select count(*) from rounds");
    let (probed_before, stored_before) = (probed(&watches), stored());
    std::thread::sleep(Duration::from_secs(5));
    let (probed_after, stored_after) = (probed(&watches) - probed_before, stored() - stored_before);
    assert!(probed_after > 200, "{probed_after}");
    assert!(stored_after.abs_diff(probed_after) <= 130, "{stored_after} stored of {probed_after} probed");
    // Both pages show every cell, the other's too.
    for watch in &mut watches {
        watch.until("its page shows every cell", |watch| {
            watch.get("/index.json").matches("\"verdict\":\"match\"").count() >= 64
        });
    }
    // The cells of one that is gone go to the other, each once.
    watches[1].signal("KILL");
    watches[1].end();
    watches[0].until("it has all of the cells", |watch| own(watch) == 64);
}

/// The database's name in its URL.
fn database(url: &str) -> String {
    url.rsplit('/').next().unwrap().split('?').next().unwrap().to_owned()
}

/// Writes scenario and configuration; where the page will be.
fn configure(folder: &Path, api: SocketAddr, vantages: usize, storage: &str, schedule: &str) -> SocketAddr {
    let page = free();
    fs::write(folder.join("clusters.yaml"), scenario(api, vantages)).unwrap();
    let config = format!(
        "apiVersion: kubereach/v1\nwatch:\n  defaults: {{ connectTimeout: 500ms, timeout: 1s }}\n  \
         checks: [{{ scenario: clusters.yaml, {schedule} }}]\n  storage: {{ {storage} }}\n  web: {{ listen: '{page}' }}\n"
    );
    fs::write(folder.join("watch.yaml"), config).unwrap();
    page
}

fn rounds(folder: &Path) -> u64 {
    let database = Connection::open(folder.join("history.db")).unwrap();
    database.query_row("select count(*) from rounds", [], |row| row.get::<_, i64>(0)).unwrap().try_into().unwrap()
}

fn kinds(storage: &Storage) -> Vec<EventKind> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let events = runtime.block_on(async {
        let store = Store::open(storage).await.unwrap();
        store.events(&EventFilter { limit: 1_000, ..EventFilter::default() }).await.unwrap()
    });
    events.into_iter().map(|event| event.kind).collect()
}

fn count(kinds: &[EventKind], kind: EventKind) -> usize {
    kinds.iter().filter(|one| **one == kind).count()
}

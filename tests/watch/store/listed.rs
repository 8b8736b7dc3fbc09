//! `kubereach history`, the built binary, over a database that another process writes.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use jiff::{SignedDuration, Timestamp};
use kubereach::{
    report::{CellTarget, Verdict},
    watch::{
        config::Storage,
        record::{CellKey, CellState, Change, ChangeKind, EventKind, Round, Standing},
        store::{Batch, Store},
    },
};
use secrecy::ExposeSecret as _;

use super::world::{batch, cells, event, key, round, run};
use crate::postgres;

/// A file.
pub(crate) fn of_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let storage = Storage::Sqlite { path: folder.path().join("history.db") };
    every_list(folder.path(), &storage, "storage: { sqlite: ./history.db }");
}

/// A server.
pub(crate) fn of_a_server() {
    let folder = tempfile::tempdir().unwrap();
    let storage = postgres::shared().database();
    let Storage::Postgres { url, .. } = &storage else { panic!("no server") };
    fs::write(folder.path().join("url"), url.expose_secret()).unwrap();
    let mut permissions = fs::metadata(folder.path().join("url")).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o600);
    fs::set_permissions(folder.path().join("url"), permissions).unwrap();
    every_list(folder.path(), &storage, "storage: { postgres: { urlFile: ./url } }");
}

fn every_list(folder: &Path, storage: &Storage, storage_text: &str) {
    let scenario = "apiVersion: kubereach/v1\nclusters:\n  c0: { endpoint: \"https://127.0.0.1\" }\n\
                    vantages:\n  office: { local: {} }\nexpect:\n  - { cluster: c0, from: office, reachable: true }\n";
    fs::write(folder.join("fleet.yaml"), scenario).unwrap();
    let config = format!("apiVersion: kubereach/v1\nwatch:\n  checks:\n    - scenario: fleet.yaml\n  {storage_text}\n");
    fs::write(folder.join("watch.yaml"), config).unwrap();
    let listed = |columns: &str, arguments: &[&str]| -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubereach"));
        command.args(["history", "watch.yaml"]).args(arguments).current_dir(folder).env("COLUMNS", columns);
        command.env("LC_ALL", "C.UTF-8").env_remove("NO_COLOR").output().unwrap()
    };
    let list = |arguments: &[&str]| listed("80", arguments);
    let list_at = |columns: &str, arguments: &[&str]| String::from_utf8(listed(columns, arguments).stdout).unwrap();
    let none = list(&[]);
    assert_eq!(none.status.code(), Some(2));
    let said = String::from_utf8(none.stderr).unwrap();
    assert!(said.contains("holds no history yet; `kubereach watch` makes it"), "{said}");

    // Another process writes while this one reads.
    let store = run(Store::open(storage)).unwrap();
    let now = Timestamp::now();
    let ago = |minutes: i64| now.checked_sub(SignedDuration::from_mins(minutes)).unwrap();
    let ago = |minutes| Timestamp::from_millisecond(ago(minutes).as_millisecond()).unwrap();
    run(fill(&store, &ago));

    let text = |arguments: &[&str]| {
        let output = list(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    for what in ["cells", "rounds", "hours", "days", "events"] {
        let table = text(&[what, "--since", "3d"]);
        assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
        assert!(table.contains("c0/office"), "{table}");
        let csv = text(&[what, "--since", "3d", "-o", "csv"]);
        let columns = |line: &str| line.split(',').count();
        let header = csv.lines().next().unwrap();
        assert!(csv.lines().count() > 1 && csv.lines().all(|line| columns(line) == columns(header)), "{csv}");
        let json: serde_json::Value = serde_json::from_str(&text(&[what, "--since", "3d", "-o", "json"])).unwrap();
        assert_eq!((&json["schema"], &json["of"]), (&"kubereach.history/v1".into(), &what.into()));
        let rows = json["rows"].as_array().unwrap();
        assert_eq!((rows.len(), json["truncated"].as_bool()), (csv.lines().count() - 1, Some(false)), "{what}");
        assert!(rows.iter().all(|row| row["cluster"].is_string()), "{json}");
        let cut: serde_json::Value =
            serde_json::from_str(&text(&[what, "--since", "3d", "-o", "json", "--limit", "1"])).unwrap();
        assert_eq!((cut["rows"].as_array().unwrap().len(), cut["truncated"].as_bool()), (1, Some(rows.len() > 1)));
    }
    let json: serde_json::Value =
        serde_json::from_str(&text(&["--cluster", "c*", "--vantage", "off*", "-o", "json"])).unwrap();
    let cell = &json["rows"][0];
    assert_eq!(
        (&cell["cluster"], &cell["verdict"], &cell["code"]),
        (&"c0".into(), &"mismatch".into(), &"tcp-timeout".into())
    );
    assert_eq!((&cell["availability"], &cell["offline"], &cell["tcpMeanMs"]), (&0.9.into(), &1.into(), &20.5.into()));
    assert_eq!(json["rows"][1]["availability"], serde_json::Value::Null);
    // Nobody has watched for five minutes; the other cell is not in the configuration.
    assert_eq!((&cell["now"], &json["rows"][1]["now"]), (&"stale".into(), &"not-watched".into()));
    let table = text(&["--since", "3d"]);
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[1].contains("stale, was mismatch (tcp-timeout)") && lines[1].contains("5 min ago"), "{table}");
    assert!(lines[2].contains("not watched any more") && lines[2].contains("never"), "{table}");

    // Another check, with a newer round.
    let other = CellKey { check: "night".to_owned(), target: CellTarget::EksApi, ..key("c0", "office") };
    let id = run(store.register(&[other])).unwrap()[0];
    run(store.commit(&batch(vec![round(id, ago(1))]))).unwrap();
    let rows = |arguments: &[&str]| -> Vec<serde_json::Value> {
        let all = [arguments, &["-o", "json", "--since", "3d"]].concat();
        let json: serde_json::Value = serde_json::from_str(&text(&all)).unwrap();
        json["rows"].as_array().unwrap().clone()
    };
    let newest = rows(&["rounds", "--limit", "2"]);
    assert_eq!((&newest[0]["check"], &newest[1]["check"]), (&"night".into(), &"fleet".into()), "{newest:?}");
    assert_eq!(rows(&["rounds", "--check", "night"]).len(), 1);
    assert_eq!(rows(&["rounds", "--target", "eks-api"]).len(), 1);
    assert_eq!((rows(&["events", "--kind", "failed"]).len(), rows(&["events", "--kind", "recovered"]).len()), (1, 0));
    let tables = [text(&["--since", "3d"]), text(&["rounds"]), text(&["events"])];
    for table in &tables {
        assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
    }
    assert!(tables[0].contains("c0 (eks-api)/office in night: not watched any more"), "{}", tables[0]);
    let wide = list_at("120", &["--since", "3d"]);
    assert!(wide.starts_with("CHECK") && wide.lines().last().unwrap().starts_with("night"), "{wide}");
    assert!(tables[1].lines().next().unwrap().contains("CHECK") && tables[1].contains("night"), "{}", tables[1]);
    assert!(tables[2].contains("c0/office in fleet"), "{}", tables[2]);
    let cut = text(&["rounds", "--limit", "3"]);
    assert!(cut.ends_with("there are more than 3; a larger --limit or narrower filters show the others\n"), "{cut}");
    let wide = list_at("120", &["hours", "--cluster", "c0", "--target", "kubernetes"]);
    assert!(wide.contains("20.5/20.5") && wide.contains("mean/longest"), "{wide}");
    assert!(wide.lines().all(|line| line.chars().count() <= 120), "{wide}");
    let only = text(&["rounds", "-o", "csv", "--since", &ago(50).to_string(), "--until", "19m"]);
    assert_eq!(only.lines().count(), 1 + 4, "{only}");
    assert!(text(&["events", "--cluster", "c1"]).contains("no event from"));

    for (arguments, said) in [
        (&["--since", "yesterday"][..], "--since: `yesterday` is no time; expected one like"),
        (&["--since", "1h", "--until", "2h"], "is not before --until"),
        (&["--limit", "0"], "expected 1 or more"),
        (&["--cluster", "prod"], "no such cell was ever watched"),
        (&["--check", "nightly"], "checks: `fleet` and `night`"),
        (&["events", "--kind", "bang"], "failed"),
        (&["rounds", "--kind", "failed"], "--kind is for `events`"),
    ] {
        let output = list(arguments);
        let words = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), words.contains(said)), (Some(2), true), "{words}");
    }
    run(store.close());
}

/// Ten rounds of one cell, one that is not judged, an event; and a cell that was never probed.
async fn fill(store: &Store, ago: &impl Fn(i64) -> Timestamp) {
    let ids = cells(store, 2).await;
    let mut rounds: Vec<Round> = (2..=10).map(|index| round(ids[0], ago(index * 10))).collect();
    rounds.push(Round { verdict: Verdict::Mismatch, ..round(ids[0], ago(10)) });
    rounds.push(Round { offline: true, ..round(ids[0], ago(5)) });
    let standing = Standing { verdict: Verdict::Mismatch, code: Some("tcp-timeout".to_owned()) };
    let state = CellState { standing: Some(standing), since: Some(ago(10)), ..CellState::default() };
    let mut failed = event("c0", "office", EventKind::Failed, 0);
    (failed.at, failed.since) = (ago(9), ago(10));
    let text = "publicAccessCidrs lost 203.0.113.0/24".to_owned();
    failed.changes = vec![Change { kind: ChangeKind::Configuration, at: ago(11), text }];
    let all = Batch { states: vec![(ids[0], state)], events: vec![failed], ..batch(rounds) };
    store.commit(&all).await.unwrap();
}

//! What is done to a database, and to whoever writes it.

use std::{
    env, fs,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use kubereach::watch::{
    config::Storage,
    record::{CellId, Round},
    store::{Span, Store, StoreError},
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer};
use rusqlite::Connection;
use secrecy::{ExposeSecret as _, SecretString};

use super::{
    world::{at, batch, cells, key, round, run},
    writers,
};
use crate::postgres::{self, Server};

/// Cases of one file.
pub(crate) const SQLITE: &[(&str, fn())] = &[
    ("killed_while_it_writes", killed_while_it_writes),
    ("the_disk_is_full_for_a_while", the_disk_is_full_for_a_while),
    ("several_make_the_tables_at_once", || several_make_the_tables_at_once(&file().1)),
    ("what_is_not_ours_is_left_alone", what_is_not_ours_is_left_alone),
    ("locked_removed_and_read_by_others", locked_removed_and_read_by_others),
    ("it_has_one_writer_by_whatever_name", writers::it_has_one_writer),
    ("a_slot_that_took_other_times_is_another_round", || {
        let (_folder, storage) = file();
        writers::slot_with_other_times(&storage, 2);
    }),
];

/// Cases of a server.
pub(crate) const POSTGRES: &[(&str, fn())] = &[
    ("the_server_restarts_and_crashes_while_it_is_written", the_server_restarts_and_crashes),
    ("several_make_the_tables_at_once", || several_make_the_tables_at_once(&postgres::shared().database())),
    ("a_round_that_two_processes_ran_is_stored_once", || {
        writers::slot_with_other_times(&postgres::shared().database(), 1);
    }),
    ("a_lease_has_one_holder_and_passes_on", a_lease_has_one_holder_and_passes_on),
    ("refused_and_foreign_databases", refused_and_foreign_databases),
    ("encryption_as_asked_for", encryption_as_asked_for),
];

/// Plays another process, when a case started this binary for that.
pub(crate) fn played() -> Option<ExitCode> {
    let (role, place) = (env::var(ROLE).ok()?, env::var(PLACE).unwrap());
    run(async {
        match role.as_str() {
            "write" => write_for_ever(&sqlite(Path::new(&place))).await,
            "make" => {
                let store = loop {
                    match Store::open(&storage(&place)).await {
                        // A file is made by one after the other.
                        Err(StoreError::Busy) if !place.starts_with("postgres") => {}
                        result => break result.unwrap(),
                    }
                };
                store.register(&[key("prod", "office")]).await.unwrap();
                store.close().await;
            }
            "full" => fill_the_disk(Path::new(&place)).await,
            other => panic!("no such role: {other}"),
        }
    });
    Some(ExitCode::SUCCESS)
}

/// Every batch that was acknowledged is there, and of every other all or nothing.
fn killed_while_it_writes() {
    let (folder, storage) = file();
    let path = folder.path().join("history.db");
    let mut acknowledged = 0_i64;
    for life in 0..6_u64 {
        let mut writer = as_another("write", path.to_str().unwrap()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(writer.stdout.take().unwrap()).lines();
        let reader =
            std::thread::spawn(move || lines.map_while(Result::ok).filter_map(|line| line.parse().ok()).last());
        std::thread::sleep(Duration::from_millis(300 + 67 * life));
        writer.kill().unwrap();
        writer.wait().unwrap();
        acknowledged = reader.join().unwrap().unwrap_or(acknowledged);
        let connection = Connection::open(&path).unwrap();
        let whole: String = connection.query_row("pragma integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(whole, "ok");
    }
    assert!(acknowledged > 20, "only {acknowledged} batches were written");
    run(async {
        let store = Store::open_to_read(&storage).await.unwrap();
        let ids: Vec<CellId> = store.cells().await.unwrap().into_iter().map(|cell| cell.id).collect();
        let (mut rounds, mut counted) = (Vec::new(), 0);
        for id in &ids {
            rounds.push(store.rounds(*id, at(0), at(i64::from(u32::MAX)), usize::MAX).await.unwrap());
        }
        for day in store.rollups(&[], Span::Day, at(0), at(i64::from(u32::MAX))).await.unwrap() {
            counted += u64::from(day.matched);
        }
        let seconds = |round: &Round| round.at.as_second() - at(0).as_second();
        for of_cell in &rounds {
            let times: Vec<i64> = of_cell.iter().map(seconds).collect();
            assert_eq!(times, (1..=times.len().try_into().unwrap()).collect::<Vec<i64>>(), "none missing, none twice");
            assert_eq!(times.len(), rounds[0].len(), "half of a batch");
        }
        assert!(i64::try_from(rounds[0].len()).unwrap() >= acknowledged, "{} of {acknowledged}", rounds[0].len());
        assert_eq!(counted, rounds.iter().map(|rounds| rounds.len() as u64).sum::<u64>());
    });
}

/// Commits batches and prints the number of each once it is acknowledged, from the first that is not stored.
async fn write_for_ever(storage: &Storage) {
    let store = Store::open(storage).await.unwrap();
    let ids = cells(&store, 12).await;
    let last = store.cells().await.unwrap()[0].last.clone();
    let mut number = last.map_or(0, |round| round.at.as_second() - at(0).as_second());
    loop {
        number += 1;
        // A batch is repeated, as one is that was in doubt.
        for _ in 0..2 {
            store.commit(&batch(ids.iter().map(|id| round(*id, at(number))).collect())).await.unwrap();
        }
        let mut stdout = std::io::stdout().lock();
        writeln!(stdout, "{number}").and_then(|()| stdout.flush()).unwrap();
    }
}

fn the_disk_is_full_for_a_while() {
    let folder = tempfile::tempdir().unwrap();
    let mut outside = Command::new("unshare");
    if !postgres::is_root() {
        outside.arg("--map-root-user");
    }
    let script = "mount -t tmpfs -o size=2m tmpfs \"$1\" && exec \"$2\"";
    outside.args(["--mount", "sh", "-c", script, "sh"]).arg(folder.path()).arg(env::current_exe().unwrap());
    let output = outside.env(ROLE, "full").env(PLACE, folder.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
}

/// In a namespace where this folder is a disk of 2 MB.
async fn fill_the_disk(folder: &Path) {
    let ballast = folder.join("ballast");
    fs::write(&ballast, vec![0; 700 << 10]).unwrap();
    let store = Store::open(&sqlite(&folder.join("history.db"))).await.unwrap();
    let ids = cells(&store, 50).await;
    let next = |number: i64| batch(ids.iter().map(|id| round(*id, at(number))).collect());
    let (mut number, mut refused) = (0, 0);
    while refused < 5 {
        match store.commit(&next(number)).await {
            Ok(()) => number += 1,
            Err(StoreError::Unavailable { message, .. }) => {
                assert!(message.contains("the disk is full"), "{message}");
                refused += 1;
            }
            Err(error) => panic!("{error}"),
        }
        assert!(number < 10_000, "the disk is never full");
    }
    let stored = |store: &Store| {
        let (store, id) = (store.clone(), ids[49]);
        async move { i64::try_from(store.rounds(id, at(0), at(20_000), usize::MAX).await.unwrap().len()).unwrap() }
    };
    assert_eq!(stored(&store).await, number, "what was stored can still be read");
    fs::remove_file(&ballast).unwrap();
    for _ in 0..10 {
        store.commit(&next(number)).await.unwrap();
        number += 1;
    }
    assert_eq!(stored(&store).await, number);
    store.close().await;
    let connection = Connection::open(folder.join("history.db")).unwrap();
    let whole: String = connection.query_row("pragma integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(whole, "ok");
}

fn several_make_the_tables_at_once(storage: &Storage) {
    let place = match storage {
        Storage::Sqlite { path } => path.display().to_string(),
        Storage::Postgres { url, .. } => url.expose_secret().to_owned(),
    };
    let start = || as_another("make", &place).stderr(Stdio::piped()).spawn().unwrap();
    let processes: Vec<_> = (0..6).map(|_| start()).collect();
    for process in processes {
        let output = process.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    run(async {
        let store = Store::open(storage).await.unwrap();
        assert_eq!(store.cells().await.unwrap().len(), 1);
        store.close().await;
    });
}

fn what_is_not_ours_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("text"), "This is a letter to my grandmother, not a database. ".repeat(100)).unwrap();
    Connection::open(path("other")).unwrap().execute_batch("create table recipes (name text)").unwrap();
    let history = sqlite(&path("newer"));
    run(async { Store::open(&history).await.unwrap().close().await });
    let raise = "insert into kubereach_schema (version, applied_at) values (99, 0)";
    Connection::open(path("newer")).unwrap().execute_batch(raise).unwrap();
    for (name, said) in [
        ("text", "is not an SQLite database; move it away"),
        ("other", "holds tables that are not kubereach's"),
        ("newer", "was written by a newer kubereach (its tables are of version 99"),
    ] {
        let before = fs::read(path(name)).unwrap();
        let storage = sqlite(&path(name));
        for result in [run(Store::open(&storage)), run(Store::open_to_read(&storage))] {
            let error = result.unwrap_err();
            assert!(matches!(error, StoreError::Foreign(_)), "{name}: {error:?}");
            assert!(error.to_string().contains(said) && error.to_string().contains(name), "{error}");
        }
        assert!(fs::read(path(name)).unwrap() == before, "{name} was changed");
    }
    let none = run(Store::open_to_read(&sqlite(&path("none")))).unwrap_err().to_string();
    assert!(none.contains("holds no history yet; `kubereach watch` makes it"), "{none}");
    assert!(!path("none").exists());
    let nowhere = run(Store::open(&sqlite(Path::new("/nonexistent/history.db")))).unwrap_err();
    assert!(nowhere.to_string().contains("the file cannot be opened"), "{nowhere}");
}

fn locked_removed_and_read_by_others() {
    let (folder, storage) = file();
    let path = folder.path().join("history.db");
    run(async {
        let store = Store::open(&storage).await.unwrap();
        let ids = cells(&store, 1).await;
        store.commit(&batch(vec![round(ids[0], at(1))])).await.unwrap();
        let reader = Store::open_to_read(&storage).await.unwrap();
        let refused = reader.commit(&batch(vec![round(ids[0], at(2))])).await.unwrap_err();
        assert!(refused.to_string().contains("history cannot be written"), "{refused}");

        let other = Connection::open(&path).unwrap();
        other.execute_batch("begin immediate").unwrap();
        let locked = store.commit(&batch(vec![round(ids[0], at(2))])).await.unwrap_err();
        assert!(locked.to_string().contains("another program has the database locked"), "{locked}");
        assert_eq!(reader.rounds(ids[0], at(0), at(9), 9).await.unwrap().len(), 1, "a writer is in no reader's way");
        other.execute_batch("commit").unwrap();
        store.commit(&batch(vec![round(ids[0], at(2))])).await.unwrap();
        assert_eq!(reader.rounds(ids[0], at(0), at(9), 9).await.unwrap().len(), 2);
        reader.close().await;
        let closed = reader.cells().await.unwrap_err().to_string();
        assert!(closed.contains("is closed"), "{closed}");

        let aside = folder.path().join("aside.db");
        fs::rename(&path, &aside).unwrap();
        let gone = store.commit(&batch(vec![round(ids[0], at(3))])).await.unwrap_err();
        assert!(gone.to_string().contains("removed or replaced"), "{gone}");
        fs::rename(&aside, &path).unwrap();
        store.commit(&batch(vec![round(ids[0], at(3))])).await.unwrap();

        fs::remove_file(&path).unwrap();
        let gone = store.commit(&batch(vec![round(ids[0], at(3))])).await.unwrap_err();
        assert!(gone.to_string().contains("removed or replaced"), "{gone}");
        assert!(!path.exists());
        store.close().await;
    });
}

fn the_server_restarts_and_crashes() {
    let server = Server::start(&[]);
    let storage = server.database();
    run(async {
        let store = Store::open(&storage).await.unwrap();
        let ids = cells(&store, 10).await;
        let writer = tokio::spawn({
            let (store, ids) = (store.clone(), ids.clone());
            async move {
                let mut failures = Vec::new();
                for number in 0..400 {
                    let batch = batch(ids.iter().map(|id| round(*id, at(number))).collect());
                    while let Err(error) = store.commit(&batch).await {
                        failures.push(error.to_string());
                        assert!(failures.len() < 5_000, "{error}");
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                failures
            }
        });
        for signal in ["INT", "QUIT"] {
            tokio::time::sleep(Duration::from_millis(400)).await;
            tokio::task::block_in_place(|| server.end(signal));
            assert!(store.cells().await.is_err());
            tokio::time::sleep(Duration::from_millis(200)).await;
            tokio::task::block_in_place(|| server.resume());
        }
        let failures = writer.await.unwrap();
        assert!(failures.len() > 2, "it never failed: {failures:?}");
        assert!(
            failures.iter().all(|failure| failure.starts_with("history cannot be written: the PostgreSQL database"))
        );
        for id in &ids {
            let times: Vec<i64> = store
                .rounds(*id, at(0), at(9_999), 9_999)
                .await
                .unwrap()
                .iter()
                .map(|round| round.at.as_second())
                .collect();
            assert_eq!(times, (0..400).map(|second| at(second).as_second()).collect::<Vec<_>>());
        }
        let days = store.rollups(&[], Span::Day, at(0), at(86_400)).await.unwrap();
        assert!(days.iter().all(|day| day.matched == 400), "counted twice or not at all: {days:?}");
        store.close().await;
    });
}

/// Two that take what they can, again and again: what one may believe to hold, the other never gets meanwhile.
fn a_lease_has_one_holder_and_passes_on() {
    const LASTS: Duration = Duration::from_millis(300);
    let storage = postgres::shared().database();
    let names: Vec<String> = (0..8).map(|index| format!("cell {index}")).collect();
    run(async {
        let store = Store::open(&storage).await.unwrap();
        let contend = |holder: &'static str, until: Instant, give_up: bool| {
            let (store, names) = (store.clone(), names.clone());
            tokio::spawn(async move {
                let mut spans: Vec<(String, Instant, Instant)> = Vec::new();
                // In step with each other, the one who asks first would have them for ever.
                let mut pause = if give_up { 23 } else { 17 };
                while Instant::now() < until {
                    let asked = Instant::now();
                    for name in store.lease(holder, &names, LASTS).await.unwrap() {
                        spans.push((name, Instant::now(), asked + LASTS));
                    }
                    // Now and then so long that all of it runs out.
                    pause = pause * 7 % 500;
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                    if give_up && pause % 3 == 0 {
                        let now = Instant::now();
                        for span in &mut spans {
                            span.2 = span.2.min(now);
                        }
                        store.release(holder, &names).await.unwrap();
                    }
                }
                spans
            })
        };
        let until = Instant::now() + Duration::from_secs(4);
        let (one, two) = (contend("one", until, false), contend("two", until, true));
        let (one, two) = (one.await.unwrap(), two.await.unwrap());
        assert!(one.len() > 8 && two.len() > 8, "nothing passed on: {} {}", one.len(), two.len());
        for (name, from, to) in &one {
            for (other, begin, end) in &two {
                assert!(name != other || begin >= to || from >= end, "two hold {name}");
            }
        }

        // A holder that died.
        tokio::time::sleep(LASTS).await;
        assert_eq!(store.lease("dead", &names, LASTS).await.unwrap(), names);
        assert!(store.lease("alive", &names[..3], LASTS).await.unwrap().is_empty());
        assert_eq!(store.processes().await.unwrap(), ["dead"]);
        tokio::time::sleep(LASTS + Duration::from_millis(20)).await;
        assert_eq!(store.lease("alive", &names[..3], LASTS).await.unwrap(), names[..3]);
        assert_eq!(store.processes().await.unwrap(), ["alive"]);
        store.release("alive", &names).await.unwrap();
        assert!(store.processes().await.unwrap().is_empty());
        store.close().await;
    });
}

fn refused_and_foreign_databases() {
    let server = postgres::shared();
    let open = |storage: &Storage| run(Store::open(storage)).unwrap_err();
    let with = |text: &str| Storage::Postgres { url: SecretString::from(text.to_owned()), ca: None };
    server.sql("postgres", "create database recipes");
    server.sql("recipes", "create table recipes (name text)");
    let foreign = open(&server.storage("admin", "recipes", "", None));
    assert!(matches!(foreign, StoreError::Foreign(_)), "{foreign:?}");
    assert!(foreign.to_string().contains("database recipes at 127.0.0.1 holds tables that are not"), "{foreign}");
    // In a schema of its own it has room, with no right to anything else.
    server.sql("recipes", "create role watch login; create schema watch authorization watch");
    run(async {
        let ours = server.storage("watch", "recipes", "options=-c%20search_path%3Dwatch", None);
        let store = Store::open(&ours).await.unwrap();
        cells(&store, 1).await;
        store.close().await;
        let reader = Store::open_to_read(&ours).await.unwrap();
        assert_eq!(reader.cells().await.unwrap().len(), 1);
        reader.close().await;
    });

    let empty = run(Store::open_to_read(&server.database())).unwrap_err().to_string();
    assert!(empty.contains("holds no history yet"), "{empty}");
    let port = server.port();
    for (url, said) in [
        (format!("postgres://admin:hunter2@127.0.0.1:{port}/nowhere"), "database \"nowhere\" does not exist"),
        (format!("postgres://nobody:hunter2@127.0.0.1:{port}/postgres"), "role \"nobody\" does not exist"),
        ("postgres://admin:hunter2@127.0.0.1:1/postgres".to_owned(), "refused"),
        ("postgres://admin:hunter2".to_owned(), "expected postgres://user:password@host/database"),
        ("hunter2".to_owned(), "expected postgres://"),
        ("postgres://a:hunter2@h/d?sslmode=maybe".to_owned(), "is none of disable, prefer"),
        ("postgres://a:hunter2@h/d?port=hunter2".to_owned(), "cannot be read"),
    ] {
        let error = open(&with(&url)).to_string();
        assert!(error.contains(said) && !error.contains("hunter2"), "{url}: {error}");
        assert!(!format!("{:?}", with(&url)).contains("hunter2"));
    }
}

fn encryption_as_asked_for() {
    let authority = rcgen::KeyPair::generate().unwrap();
    let mut parameters = CertificateParams::new(Vec::new()).unwrap();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = parameters.self_signed(&authority).unwrap().pem();
    let issuer = Issuer::new(parameters, authority);
    let leaf_key = rcgen::KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&leaf_key, &issuer).unwrap();
    let stranger = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap().cert.pem();
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = (folder.path().join("ca.pem"), folder.path().join("stranger.pem"));
    fs::write(&ours, ca).unwrap();
    fs::write(&theirs, stranger).unwrap();

    let server = Server::start(&["password_encryption = 'scram-sha-256'"]);
    server.write("server.crt", &leaf.pem());
    server.write("server.key", &leaf_key.serialize_pem());
    server.sql("postgres", "create role watch login password 'hunter2'");
    server.sql("postgres", "create database history owner watch");
    server.write("pg_hba.conf", "local all admin trust\nhostssl history watch 127.0.0.1/32 scram-sha-256\n");
    server.sql("postgres", "alter system set ssl = on");
    server.end("INT");
    server.resume();
    let port = server.port();
    let plain = "no pg_hba.conf entry";
    let untrusted = "invalid peer certificate";
    for (host, options, ca, said) in [
        ("localhost", "", None, None),
        ("localhost", "sslmode=prefer", None, None),
        ("localhost", "sslmode=disable", None, Some(plain)),
        ("127.0.0.1", "sslmode=require", None, None),
        ("127.0.0.1", "sslmode=require&channel_binding=require", None, None),
        ("localhost", "sslmode=require", Some(&theirs), Some(untrusted)),
        ("127.0.0.1", "sslmode=verify-ca", Some(&ours), None),
        ("localhost", "sslmode=verify-ca", Some(&theirs), Some(untrusted)),
        ("localhost", "sslmode=verify-full", Some(&ours), None),
        ("127.0.0.1", "sslmode=verify-full", Some(&ours), Some(untrusted)),
        ("localhost", "sslmode=verify-full", Some(&theirs), Some(untrusted)),
        ("localhost", "sslmode=verify-full", None, Some(untrusted)),
    ] {
        let url = SecretString::from(format!("postgres://watch:hunter2@{host}:{port}/history?{options}"));
        let result = run(async {
            let store = Store::open(&Storage::Postgres { url, ca: ca.cloned() }).await?;
            store.cells().await?;
            store.close().await;
            Ok::<(), StoreError>(())
        });
        match (result, said) {
            (Ok(()), None) => {}
            (Err(error), Some(said)) if error.to_string().contains(said) => {
                assert!(!error.to_string().contains("hunter2"), "{error}");
            }
            (result, _) => panic!("{host} {options} {ca:?}: {result:?}"),
        }
    }
    let wrong = SecretString::from(format!("postgres://watch:hunter3@localhost:{port}/history"));
    let refused = run(Store::open(&Storage::Postgres { url: wrong, ca: None })).unwrap_err().to_string();
    assert!(refused.contains("password authentication failed") && !refused.contains("hunter3"), "{refused}");
}

/// Where a file of a case's own will be.
pub(super) fn file() -> (tempfile::TempDir, Storage) {
    let folder = tempfile::tempdir().unwrap();
    let storage = sqlite(&folder.path().join("history.db"));
    (folder, storage)
}

/// A file's place.
pub(super) fn sqlite(path: &Path) -> Storage {
    Storage::Sqlite { path: PathBuf::from(path) }
}

fn storage(place: &str) -> Storage {
    if place.starts_with("postgres://") {
        return Storage::Postgres { url: SecretString::from(place.to_owned()), ca: None };
    }
    sqlite(Path::new(place))
}

fn as_another(role: &str, place: &str) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.env(ROLE, role).env(PLACE, place);
    command
}

const ROLE: &str = "KUBEREACH_TEST_HISTORY_ROLE";
const PLACE: &str = "KUBEREACH_TEST_HISTORY_PLACE";

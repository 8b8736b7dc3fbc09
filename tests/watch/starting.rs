//! How a watch begins, and what its exit status says when it does not.

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use kubereach::watch::config::Storage;
use libtest_mimic::Trial;
use secrecy::ExposeSecret;

use crate::{
    postgres,
    process::{Api, free, scenario},
    tools,
};

/// The cases.
pub(crate) fn trials() -> Vec<Trial> {
    vec![
        crate::trial("surroundings_and_mistakes_have_exit_statuses_of_their_own", statuses),
        crate::trial("history_needs_to_know_where_it_is_and_nothing_else", history),
        crate::trial("rounds_are_told_when_asked_for", verbose),
        tools::trial("a_database_that_is_not_up_yet_is_waited_for", &["psql"], patience),
    ]
}

fn statuses() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    configure(folder.path(), free(), taken.local_addr().unwrap(), "sqlite: history.db");
    let (status, said) = ended(folder.path(), &["watch", "watch.yaml"]);
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("the web page cannot listen on"), "{said}");
    configure(folder.path(), free(), free(), "sqlite: nowhere/history.db");
    let (status, said) = ended(folder.path(), &["watch", "watch.yaml"]);
    assert_eq!(status, Some(2), "{said}");
    // What is there and is no history is the input's fault, too.
    fs::write(folder.path().join("other.db"), "no database ".repeat(1_000)).unwrap();
    configure(folder.path(), free(), free(), "sqlite: other.db");
    let (status, said) = ended(folder.path(), &["watch", "watch.yaml"]);
    assert_eq!(status, Some(2), "{said}");
}

fn history() {
    let folder = tempfile::tempdir().unwrap();
    let api = Api::open(folder.path());
    configure(folder.path(), api.address, free(), "sqlite: history.db");
    assert_eq!(ended(folder.path(), &["watch", "watch.yaml", "--once"]).0, Some(0));
    let mut config = fs::read_to_string(folder.path().join("watch.yaml")).unwrap();
    config += "  alerts: { receivers: { hook: { webhook: { urlEnv: HOOK } } } }\n";
    fs::write(folder.path().join("watch.yaml"), config).unwrap();
    fs::remove_file(folder.path().join("clusters.yaml")).unwrap();
    let (status, said) = ended(folder.path(), &["watch", "watch.yaml", "--check-config"]);
    assert_eq!(status, Some(2));
    assert!(said.contains("no variable `HOOK`") && said.contains("clusters.yaml"), "{said}");
    let (status, said) = ended(folder.path(), &["history", "watch.yaml", "rounds"]);
    assert_eq!(status, Some(0), "{said}");
}

fn verbose() {
    let folder = tempfile::tempdir().unwrap();
    let api = Api::open(folder.path());
    configure(folder.path(), api.address, free(), "sqlite: history.db");
    let (status, said) = ended(folder.path(), &["watch", "watch.yaml", "--once"]);
    assert_eq!(status, Some(0));
    assert!(!said.contains("prod from v0"), "{said}");
    let (status, said) = ended(folder.path(), &["watch", "watch.yaml", "--once", "-v"]);
    assert_eq!(status, Some(0));
    assert!(said.lines().any(|line| line.contains(" prod from v0: match after ")), "{said}");
}

fn patience() {
    let server = postgres::Server::start(&[]);
    let Storage::Postgres { url, .. } = server.database() else { unreachable!("a server has no other databases") };
    server.end("INT");
    let folder = tempfile::tempdir().unwrap();
    let api = Api::open(folder.path());
    let page = free();
    configure(folder.path(), api.address, page, "postgres: { urlFile: url }");
    fs::write(folder.path().join("url"), url.expose_secret()).unwrap();
    // Who comes again by himself is told at once.
    let (status, said) = ended(folder.path(), &["watch", "watch.yaml", "--once"]);
    assert_eq!(status, Some(1), "{said}");
    // A signal is heard while it waits.
    let mut early = Waiting::begin(folder.path());
    early.until("it waits", |waiting| waiting.said().contains("nothing is watched yet"));
    early.signal("TERM");
    assert!(early.process.wait().unwrap().success());
    let mut watch = Waiting::begin(folder.path());
    watch.until("it waits", |waiting| waiting.said().contains("nothing is watched yet"));
    assert!(TcpStream::connect(page).is_err(), "no page before there is something to see");
    watch.signal("HUP");
    server.resume();
    watch.until("the page is there", |_| TcpStream::connect(page).is_ok());
    let said = watch.said();
    assert!(said.contains("the history can be used now"), "{said}");
    assert_eq!(said.matches("nothing is watched yet").count(), 1, "{said}");
    watch.signal("TERM");
    assert!(watch.process.wait().unwrap().success());
}

/// A watch that has no page yet.
struct Waiting {
    process: Child,
    log: std::path::PathBuf,
}

impl Waiting {
    fn begin(folder: &Path) -> Self {
        let log = folder.join("log");
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubereach"));
        command.args(["watch", "watch.yaml"]).current_dir(folder).env_clear().env("HOME", folder);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(fs::File::create(&log).unwrap());
        Self { process: command.spawn().unwrap(), log }
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    fn signal(&self, name: &str) {
        assert!(Command::new("kill").args(["-s", name, &self.process.id().to_string()]).status().unwrap().success());
    }

    fn until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !is_so(self) {
            assert!(self.process.try_wait().unwrap().is_none(), "it ended before {what}: {}", self.said());
            assert!(begun.elapsed() < Duration::from_secs(30), "never: {what}: {}", self.said());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Runs it to its end: the exit status, and what it said.
fn ended(folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubereach"));
    let output = command.args(arguments).current_dir(folder).env_clear().env("HOME", folder).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

/// Writes scenario and configuration.
fn configure(folder: &Path, api: SocketAddr, page: SocketAddr, storage: &str) {
    if !folder.join("ca.pem").exists() {
        let ca = rcgen::generate_simple_self_signed(["ca".to_owned()]).unwrap().cert.pem();
        fs::write(folder.join("ca.pem"), ca).unwrap();
    }
    fs::write(folder.join("clusters.yaml"), scenario(api, 1)).unwrap();
    let config = format!(
        "apiVersion: kubereach/v1\nwatch:\n  checks: [{{ scenario: clusters.yaml, every: 1s }}]\n  \
         storage: {{ {storage} }}\n  web: {{ listen: '{page}' }}\n"
    );
    fs::write(folder.join("watch.yaml"), config).unwrap();
}

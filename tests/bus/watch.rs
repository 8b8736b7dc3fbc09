//! A watch that probes from an agent for long, and what it makes of a NATS server that is killed.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use kubereach::demo::servers::{ApiServer, CertificateSpec, LabCa, Running, ServerSpec, serve};
use serde_json::Value;

use crate::world::World;

/// It comes to a match; without the server it is soon inconclusive, because of the vantage, and never a mismatch; with
/// the server it is a match again, by itself, and all of that was one incident.
pub(crate) fn a_watch_probes_from_an_agent() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::new(folder.path(), &["one".to_owned()]);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (api, _server) = runtime.block_on(api_server(folder.path()));
    let page = free();
    write_configuration(&world, api, page);
    let _agent = Process::start(folder.path(), "agent.log", &agent_arguments(&world, api.port()));
    // The queue of a new agent is made by the first order for it, which may take longer than a round of a watch.
    kubereach(folder.path(), &["verify", "nightly.yaml"]);
    let mut watch = Process::start(folder.path(), "watch.log", &["watch".to_owned(), "watch.yaml".to_owned()]);

    let first = watch.until(page, "a match", "match", &["match", "inconclusive"]);
    let before = events(folder.path()).len();
    world.kill_server();
    let killed = watch.until(page, "inconclusive", "inconclusive", &["match", "inconclusive"]);
    let cell = cell(page).unwrap();
    assert_eq!(cell["standing"]["code"], "inconclusive-vantage-unavailable", "{cell}");
    let detail = get(page, "/cells/nightly/prod/remote/kubernetes.json").unwrap();
    assert!(detail.contains("NATS server"), "{detail}");
    // It stays that way, and says the same for as long as it lasts.
    std::thread::sleep(Duration::from_secs(4));
    world.start_server();
    let again = watch.until(page, "a match again", "match", &["match", "inconclusive"]);

    let kinds = events(folder.path());
    assert_eq!(kinds[before..], ["failed", "recovered"], "{kinds:?}");
    println!(
        "match after {:.1} s, inconclusive {:.1} s after the server was killed, match {:.1} s after it was started again",
        first.as_secs_f64(),
        killed.as_secs_f64(),
        again.as_secs_f64()
    );
}

/// The kinds of all events in the history, the oldest first.
fn events(folder: &Path) -> Vec<String> {
    // What the page shows is in the history a moment later.
    std::thread::sleep(Duration::from_millis(700));
    let history = kubereach(folder, &["history", "watch.yaml", "events", "-o", "json"]);
    let history: Value = serde_json::from_slice(&history).unwrap();
    history["rows"].as_array().unwrap().iter().rev().map(|row| row["kind"].as_str().unwrap().to_owned()).collect()
}

/// What the built binary prints where all is well.
fn kubereach(folder: &Path, arguments: &[&str]) -> Vec<u8> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubereach"));
    let output = command.args(arguments).current_dir(folder).env_clear().env("HOME", folder).output().unwrap();
    let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{arguments:?}:\n{said}\n{complained}");
    output.stdout
}

/// An API server on loopback; its authority is `api-ca.pem` in the folder.
async fn api_server(folder: &Path) -> (SocketAddr, Running) {
    let authority = Arc::new(LabCa::new("kubernetes").unwrap());
    fs::write(folder.join("api-ca.pem"), authority.certificate_pem()).unwrap();
    let address = free();
    let certificate = CertificateSpec { addresses: vec![address.ip()], ..CertificateSpec::default() };
    let server = ServerSpec::Api(ApiServer::new(vec![address], certificate));
    let authorities = BTreeMap::from([("prod".to_owned(), authority)]);
    (address, serve(&authorities, &[server]).await.unwrap())
}

fn write_configuration(world: &World, api: SocketAddr, page: SocketAddr) {
    let (port, key) = (world.port, world.identity("one").public_key());
    let scenario = format!(
        "apiVersion: kubereach/v1\ncontrols: []\nclusters:\n  prod: {{ endpoint: 'https://{api}', ca: api-ca.pem }}\n\
         nats: {{ servers: ['tls://localhost:{port}'], ca: ca.pem, userKey: controller.nk, signingKey: signing.nk }}\n\
         vantages:\n  remote: {{ agent: {{ name: one, key: {key} }} }}\n\
         expect: [{{ cluster: prod, from: remote, reachable: true }}]\n"
    );
    fs::write(world.folder.join("nightly.yaml"), scenario).unwrap();
    let config = format!(
        "apiVersion: kubereach/v1\nwatch:\n  defaults: {{ connectTimeout: 500ms, timeout: 1s }}\n  \
         checks: [{{ scenario: nightly.yaml, every: 1s, jitter: 0s, confirm: 2 }}]\n  \
         storage: {{ sqlite: history.db }}\n  web: {{ listen: '{page}' }}\n"
    );
    fs::write(world.folder.join("watch.yaml"), config).unwrap();
}

fn agent_arguments(world: &World, api_port: u16) -> Vec<String> {
    let file = |name: &str| world.folder.join(name).display().to_string();
    let arguments = [
        ("--nats", format!("tls://localhost:{}", world.port)),
        ("--ca", file("ca.pem")),
        ("--name", "one".to_owned()),
        ("--user-key", file("one.nk")),
        ("--identity", file("one.identity.nk")),
        ("--controller-key", world.key("signing").public_key()),
        ("--state", file("agent-state")),
        ("--allow-cidr", "127.0.0.1/32".to_owned()),
        ("--allow-port", api_port.to_string()),
    ];
    let given = arguments.into_iter().flat_map(|(name, value)| [name.to_owned(), value]);
    std::iter::once("agent".to_owned()).chain(given).collect()
}

/// The built binary at work; it ends with this value.
struct Process {
    child: Child,
    log: std::path::PathBuf,
}

impl Process {
    fn start(folder: &Path, log: &str, arguments: &[String]) -> Self {
        let log = folder.join(log);
        let child = Command::new(env!("CARGO_BIN_EXE_kubereach"))
            .args(arguments)
            .current_dir(folder)
            .env_clear()
            .env("HOME", folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Self { child, log }
    }

    /// Waits until the cell has this verdict; before that it may have only those. How long it took.
    fn until(&mut self, page: SocketAddr, what: &str, verdict: &str, meanwhile: &[&str]) -> Duration {
        let begun = Instant::now();
        loop {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            assert!(self.child.try_wait().unwrap().is_none(), "it ended before {what}:\n{log}");
            let cell = cell(page).unwrap_or_default();
            match cell["standing"]["verdict"].as_str() {
                Some(now) if now == verdict => return begun.elapsed(),
                Some(now) => assert!(meanwhile.contains(&now), "{now} before {what}: {cell}\n{log}"),
                None => {}
            }
            assert!(begun.elapsed() < PATIENCE, "never {what}: {cell}\n{log}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The only cell, as the page's JSON has it.
fn cell(page: SocketAddr) -> Option<Value> {
    let matrix: Value = serde_json::from_str(&get(page, "/index.json")?).ok()?;
    matrix["cells"].get(0).cloned()
}

/// One request over HTTP/1.0, so that the answer ends with the connection: its body.
fn get(page: SocketAddr, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(page).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {page}\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned())
}

fn free() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

const PATIENCE: Duration = Duration::from_secs(25);

//! A PostgreSQL server of a test's own, in a folder of its own, as a user without privileges.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use kubereach::watch::config::Storage;
use secrecy::SecretString;
use tempfile::TempDir;

/// A server; it ends with this value.
pub(crate) struct Server {
    folder: TempDir,
    tools: PathBuf,
    port: u16,
    process: Mutex<Option<Child>>,
    databases: AtomicUsize,
}

/// Why there can be no server here; null when there can.
pub(crate) fn missing() -> Option<&'static str> {
    if tools().is_none() || find("psql").is_none() {
        return Some("needs PostgreSQL's initdb, postgres and psql");
    }
    (is_root() && find("setpriv").is_none()).then_some("needs setpriv, because initdb refuses root")
}

/// The server that most cases share, each with a database of its own.
pub(crate) fn shared() -> &'static Server {
    static ONCE: OnceLock<&'static Server> = OnceLock::new();
    SHARED.get_or_init(|| Mutex::new(None));
    ONCE.get_or_init(|| Box::leak(Box::new(Server::start(&[]))))
}

/// Ends the shared server, if it was started: statics are never dropped.
pub(crate) fn stop() {
    if let Some(folder) = SHARED.get().and_then(|shared| shared.lock().unwrap().take()) {
        let server = shared();
        server.end("INT");
        fs::remove_dir_all(folder).unwrap();
    }
}

impl Server {
    /// Makes a cluster of databases and starts its server, with lines added to its configuration.
    pub(crate) fn start(configuration: &[&str]) -> Self {
        let tools = tools().unwrap();
        let folder = tempfile::Builder::new().prefix("kubereach-postgres").tempdir().unwrap();
        if let Some(shared) = SHARED.get() {
            shared.lock().unwrap().get_or_insert_with(|| folder.path().to_owned());
        }
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
        give_away(folder.path());
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let server = Self { folder, tools, port, process: Mutex::new(None), databases: AtomicUsize::new(0) };
        let data = server.data();
        let mut initdb = server.command("initdb");
        initdb.args(["--no-sync", "--no-instructions", "--auth=trust", "--username=admin", "--encoding=UTF8"]);
        let made = initdb.args(["--locale=C", "--pgdata"]).arg(&data).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let mut text = fs::read_to_string(data.join("postgresql.conf")).unwrap();
        for line in [
            format!("port = {port}"),
            format!("unix_socket_directories = '{}'", server.folder.path().display()),
            "listen_addresses = '127.0.0.1'".to_owned(),
            "max_connections = 50".to_owned(),
            "shared_buffers = 16MB".to_owned(),
            // What is tested is the death of processes, not of the machine.
            "fsync = off".to_owned(),
        ]
        .into_iter()
        .chain(configuration.iter().map(|line| (*line).to_owned()))
        {
            text.push_str(&line);
            text.push('\n');
        }
        fs::write(data.join("postgresql.conf"), text).unwrap();
        server.resume();
        server
    }

    /// The folder of the data, to put certificates and access rules into.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Writes a file that the server can read and nobody else.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.data().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        give_away(&path);
    }

    /// A new and empty database, and how to get there.
    pub(crate) fn database(&self) -> Storage {
        let name = format!("history{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("create database {name}"));
        self.storage("admin", &name, "sslmode=disable", None)
    }

    /// How to get to a database.
    pub(crate) fn storage(&self, user: &str, database: &str, options: &str, ca: Option<PathBuf>) -> Storage {
        let url = format!("postgres://{user}@127.0.0.1:{}/{database}?{options}", self.port);
        Storage::Postgres { url: SecretString::from(url), ca }
    }

    /// The port on 127.0.0.1.
    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// What a statement answers.
    pub(crate) fn sql(&self, database: &str, statement: &str) -> String {
        let mut psql = Command::new("psql");
        psql.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--username=admin", "--dbname", database]);
        psql.args(["--host", &self.folder.path().display().to_string(), "--port", &self.port.to_string()]);
        let output = psql.args(["--command", statement]).output().unwrap();
        assert!(output.status.success(), "{statement}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Ends the server: `INT` closes its connections, `QUIT` is a crash.
    pub(crate) fn end(&self, signal: &str) {
        if let Some(mut process) = self.process.lock().unwrap().take() {
            Command::new("kill").args(["-s", signal, &process.id().to_string()]).status().unwrap();
            process.wait().unwrap();
        }
    }

    /// Starts the server, and waits until it answers.
    pub(crate) fn resume(&self) {
        let log = fs::File::create(self.folder.path().join("log")).unwrap();
        let mut postgres = self.command("postgres");
        postgres.arg("-D").arg(self.data()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        *self.process.lock().unwrap() = Some(postgres.spawn().unwrap());
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let mut ready = Command::new("psql");
            ready.args(["--no-psqlrc", "--host=127.0.0.1", "--port", &self.port.to_string(), "--username=admin"]);
            ready.args(["--dbname=postgres", "--command=select 1"]).stdout(Stdio::null()).stderr(Stdio::null());
            // Who must not come in by this way has reached a server all the same.
            let refused =
                || fs::read_to_string(self.folder.path().join("log")).is_ok_and(|log| log.contains("ready to accept"));
            if ready.status().unwrap().success() || refused() {
                return;
            }
            let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "PostgreSQL does not start: {log}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// One of the server's programs, as a user without privileges.
    fn command(&self, tool: &str) -> Command {
        let path = self.tools.join(tool);
        let mut command = if is_root() {
            let mut command = Command::new("setpriv");
            let (user, group) = (format!("--reuid={NOBODY}"), format!("--regid={NOBODY}"));
            command.args([user.as_str(), group.as_str(), "--clear-groups"]).arg(path);
            command
        } else {
            Command::new(path)
        };
        command.current_dir(self.folder.path());
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end("INT");
    }
}

/// Debian keeps the server's programs outside of the search path.
fn tools() -> Option<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .map(|versions| versions.filter_map(Result::ok).map(|version| version.path().join("bin")).collect())
        .unwrap_or_default();
    found.sort();
    found.splice(0..0, find("initdb").and_then(|path| path.parent().map(Path::to_owned)));
    found.into_iter().rev().find(|folder| folder.join("initdb").exists() && folder.join("postgres").exists())
}

fn find(tool: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(tool)).find(|path| path.exists())
}

/// Whether this process may do everything.
pub(crate) fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|this| this.uid() == 0)
}

fn give_away(path: &Path) {
    if is_root() {
        chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
}

/// The folder of the shared server, once somebody asked for it.
static SHARED: OnceLock<Mutex<Option<PathBuf>>> = OnceLock::new();
const NOBODY: u32 = 65_534;

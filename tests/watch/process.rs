//! The built binary as a watch, and an API server for it to look at.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use kubereach::demo::servers::{ApiServer, CertificateSpec, LabCa, Running, ServerSpec, serve};
use tokio::runtime::Runtime;

use crate::tools;

/// A watch that runs; it ends with this value.
pub(crate) struct Watch {
    process: Child,
    page: SocketAddr,
    said: Arc<Mutex<Vec<String>>>,
}

impl Watch {
    /// Runs `watch.yaml` of the folder, the page of which is at `page`.
    pub(crate) fn start(folder: &Path, page: SocketAddr) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubereach"));
        command.args(["watch", "watch.yaml"]).current_dir(folder);
        Self::spawn(command, folder, page)
    }

    /// Runs a command that becomes a watch.
    pub(crate) fn spawn(mut command: Command, home: &Path, page: SocketAddr) -> Self {
        command.env_clear().env("HOME", home).env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let lines = BufReader::new(process.stderr.take().unwrap());
        let said = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&said);
        // What it says is shown where the case fails.
        std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                println!("watch: {line}");
                heard.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        let mut watch = Self { process, page, said };
        watch.until("it listens", |watch| std::net::TcpStream::connect(watch.page).is_ok());
        watch
    }

    /// What it said so far.
    pub(crate) fn said(&self) -> Vec<String> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        assert!(Command::new("kill").args(["-s", name, &self.id().to_string()]).status().unwrap().success());
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Waits for its end.
    pub(crate) fn end(&mut self) -> ExitStatus {
        self.process.wait().unwrap()
    }

    /// Waits until something is so.
    pub(crate) fn until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !is_so(self) {
            assert!(self.process.try_wait().unwrap().is_none(), "the watch ended before {what}");
            assert!(begun.elapsed() < LONGEST_WAIT, "never: {what}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// A page of it, or its JSON; empty while it does not answer.
    pub(crate) fn get(&self, path: &str) -> String {
        tools::get(&format!("http://{}{path}", self.page)).map(|(_, body)| body).unwrap_or_default()
    }

    /// The sum of a metric over its labels, of those lines that hold `label`.
    pub(crate) fn metric(&self, name: &str, label: &str) -> u64 {
        let exposition = self.get("/metrics");
        let lines = exposition.lines().filter(|line| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])) && line.contains(label)
        });
        let values = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
        values.map(|value| value as u64).sum()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// An API server that can be closed and opened.
pub(crate) struct Api {
    pub(crate) address: SocketAddr,
    authority: Arc<LabCa>,
    running: Option<Running>,
    runtime: Runtime,
}

impl Api {
    /// Opens one; the certificate of its authority is `ca.pem` in the folder.
    pub(crate) fn open(folder: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let authority = Arc::new(LabCa::new("kubernetes").unwrap());
        fs::write(folder.join("ca.pem"), authority.certificate_pem()).unwrap();
        let mut api = Self { address: free(), authority, running: None, runtime };
        api.reopen();
        api
    }

    pub(crate) fn reopen(&mut self) {
        let certificate = CertificateSpec { addresses: vec![self.address.ip()], ..CertificateSpec::default() };
        let server = ServerSpec::Api(ApiServer::new(vec![self.address], certificate));
        let authorities = BTreeMap::from([("prod".to_owned(), Arc::clone(&self.authority))]);
        self.running = Some(self.runtime.block_on(async { serve(&authorities, &[server]).await.unwrap() }));
    }

    pub(crate) fn close(&mut self) {
        self.running = None;
    }
}

/// A scenario of one cluster at the API server, seen from so many vantages, all of which are to reach it.
pub(crate) fn scenario(api: SocketAddr, vantages: usize) -> String {
    let names: Vec<String> = (0..vantages).map(|number| format!("v{number}")).collect();
    let each: Vec<String> = names.iter().map(|name| format!("  {name}: {{ local: {{}} }}\n")).collect();
    let each = each.concat();
    format!(
        "apiVersion: kubereach/v1\ncontrols: []\nclusters:\n  prod: {{ endpoint: 'https://{api}', ca: ca.pem }}\n\
         vantages:\n{each}expect: [{{ cluster: prod, from: [{}], reachable: true }}]\n",
        names.join(", ")
    )
}

/// The memory that a process holds.
pub(crate) fn resident_kib(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// An address that nobody listens on.
pub(crate) fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

const LONGEST_WAIT: Duration = Duration::from_mins(1);

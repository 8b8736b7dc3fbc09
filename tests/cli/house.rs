//! A folder, a cluster's authority and servers on loopback; and the binary, run among them.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use kubereach::demo::servers::{
    ApiServer, CertificateSpec, DnsAnswer, DnsServer, DnsView, LabCa, Running, Script, ServerSpec, Step, serve,
};
use serde_json::Value;

/// The cluster's name in DNS and in its certificate.
pub(crate) const HOST: &str = "api.kubereach.test";

/// Port 0 of loopback: any that is free.
pub(crate) fn anywhere() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// Everything that one test needs; gone when it is dropped.
pub(crate) struct House {
    folder: tempfile::TempDir,
    authorities: BTreeMap<String, Arc<LabCa>>,
    runtime: tokio::runtime::Runtime,
    running: Vec<Running>,
}

impl House {
    /// An empty house, with the cluster's CA in `ca.pem` and a stranger's in `other.pem`.
    pub(crate) fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let authority = |name: &str| Arc::new(LabCa::new(name).unwrap());
        let authorities = BTreeMap::from([
            ("prod".to_owned(), authority("kubernetes")),
            ("other".to_owned(), authority("somebody else")),
        ]);
        let house = Self { folder: tempfile::tempdir().unwrap(), authorities, runtime, running: Vec::new() };
        house.file("ca.pem", house.authorities["prod"].certificate_pem());
        house.file("other.pem", house.authorities["other"].certificate_pem());
        house
    }

    /// Runs something on the house's runtime, which goes on with what it spawned.
    pub(crate) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// Starts a server; its first address.
    pub(crate) fn serve(&mut self, server: ServerSpec) -> SocketAddr {
        let running = self.runtime.block_on(serve(&self.authorities, &[server])).unwrap();
        let address = running.addresses()[0];
        self.running.push(running);
        address
    }

    /// A healthy API server whose certificate is for [`HOST`] and 127.0.0.1.
    pub(crate) fn api(&mut self) -> SocketAddr {
        self.api_that(|_| {})
    }

    /// An API server that differs.
    pub(crate) fn api_that(&mut self, differs: impl FnOnce(&mut ApiServer)) -> SocketAddr {
        let certificate = CertificateSpec {
            names: vec![HOST.to_owned(), "kubernetes".to_owned()],
            addresses: vec![anywhere().ip()],
            ..CertificateSpec::default()
        };
        let mut server = ApiServer::new(vec![anywhere()], certificate);
        differs(&mut server);
        self.serve(ServerSpec::Api(server))
    }

    /// A peer that accepts and says nothing.
    pub(crate) fn silent(&mut self) -> SocketAddr {
        self.serve(ServerSpec::Script(Script { listen: vec![anywhere()], steps: vec![Step::Stall] }))
    }

    /// A DNS server that knows [`HOST`] only, with these answers one after the other.
    pub(crate) fn dns(&mut self, answers: Vec<DnsAnswer>) -> SocketAddr {
        let view = DnsView { names: BTreeMap::from([(HOST.to_owned(), answers)]), ..DnsView::default() };
        self.serve(ServerSpec::Dns(DnsServer { listen: vec![anywhere()], views: vec![view] }))
    }

    /// A DNS server that knows [`HOST`] at 127.0.0.1.
    pub(crate) fn usual_dns(&mut self) -> SocketAddr {
        self.dns(vec![DnsAnswer::addresses(vec![anywhere().ip()])])
    }

    /// The folder in which the binary runs.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file of the folder.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    /// A kubeconfig with one cluster `prod` (trusting `ca.pem`), one context `ops` and one user `me`.
    pub(crate) fn kubeconfig(&self, name: &str, server: &str, user: &str) -> PathBuf {
        self.file(
            name,
            format!(
                "apiVersion: v1\nkind: Config\ncurrent-context: ops\nclusters:\n- name: prod\n  cluster: {{ server: '{server}', \
                 certificate-authority: ca.pem }}\ncontexts:\n- name: ops\n  context: {{ cluster: prod, user: me }}\n\
                 users:\n- name: me\n  user: {user}\n"
            ),
        )
    }

    /// A scenario with cluster `prod` at this URL seen from `here`; `rest` holds `expect` and what else it says.
    pub(crate) fn scenario(&self, endpoint: &str, dns: SocketAddr, rest: &str) -> PathBuf {
        self.file(
            "scenario.yaml",
            format!(
                "apiVersion: kubereach/v1\ncontrols: []\nresolvers: {{ system: ['{dns}'] }}\nclusters:\n  prod: {{ \
                 endpoint: '{endpoint}', ca: ca.pem }}\nvantages:\n  here: {{ local: {{}} }}\n{rest}\n"
            ),
        )
    }

    /// The binary with these arguments, in the folder, with nothing in its environment but a home.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubereach"));
        command.args(arguments).current_dir(self.folder()).env_clear().env("HOME", self.folder().join("home"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs the binary.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        Ran::new(&mut self.command(arguments))
    }

    /// Runs `doctor`, asking nobody beyond loopback, and reads its report.
    pub(crate) fn doctor(&self, arguments: &[&str]) -> Reported {
        self.doctor_with(arguments, &[])
    }

    /// The same with variables in its environment.
    pub(crate) fn doctor_with(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Reported {
        let mut command = self.command(&["doctor", "--no-controls", "-o", "json"]);
        command.args(arguments).envs(environment.iter().copied());
        Reported::read(Ran::new(&mut command))
    }

    /// Runs `verify scenario.yaml` and reads its report.
    pub(crate) fn verify(&self, arguments: &[&str]) -> Reported {
        let mut command = self.command(&["verify", "scenario.yaml", "-o", "json"]);
        Reported::read(Ran::new(command.args(arguments)))
    }

    /// Runs the binary on input that it must refuse: exit 2, nothing on stdout. What it says, the folder left out.
    pub(crate) fn refused(&self, arguments: &[&str]) -> String {
        self.refused_with(arguments, &[])
    }

    /// The same with variables in its environment.
    pub(crate) fn refused_with(&self, arguments: &[&str], environment: &[(&str, &str)]) -> String {
        let mut command = self.command(arguments);
        let ran = Ran::new(command.envs(environment.iter().copied()));
        assert_eq!(ran.status, Some(2), "{arguments:?}: {}", ran.stderr);
        assert_eq!(ran.stdout, "", "{arguments:?} wrote to stdout");
        assert!(!ran.stderr.is_empty(), "{arguments:?} said nothing");
        assert!(ran.wall < Duration::from_secs(5), "{arguments:?} took {:?}", ran.wall);
        ran.stderr.replace(&self.folder().display().to_string(), "~")
    }
}

/// What a run of the binary left.
#[derive(Debug)]
pub(crate) struct Ran {
    /// Exit status; none when a signal ended it.
    pub(crate) status: Option<i32>,
    /// Its stdout.
    pub(crate) stdout: String,
    /// Its stderr.
    pub(crate) stderr: String,
    /// How long it took.
    pub(crate) wall: Duration,
}

impl Ran {
    /// Runs a command to its end.
    pub(crate) fn new(command: &mut Command) -> Self {
        let started = Instant::now();
        let output = command.output().unwrap();
        Self::from_output(output, started)
    }

    /// From what a child left.
    pub(crate) fn from_output(output: Output, started: Instant) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        let (stdout, stderr) = (text(output.stdout), text(output.stderr));
        let panicked = stderr.contains("panicked");
        assert!(!panicked, "{stderr}");
        Self { status: output.status.code(), stdout, stderr, wall: started.elapsed() }
    }
}

/// A run whose stdout is a report.
#[derive(Debug)]
pub(crate) struct Reported {
    /// The run.
    pub(crate) ran: Ran,
    /// Its report.
    pub(crate) report: Value,
}

impl Reported {
    /// Reads the report, holds it against the published schema and against the rules of the contract.
    pub(crate) fn read(ran: Ran) -> Self {
        let report: Value = serde_json::from_str(&ran.stdout)
            .unwrap_or_else(|error| panic!("stdout is not one JSON document: {error}\n{}\n{}", ran.stdout, ran.stderr));
        let wrong: Vec<String> =
            validator().iter_errors(&report).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(wrong.is_empty(), "the report breaks its schema: {wrong:#?}");
        for cell in report["cells"].as_array().unwrap() {
            let errors = cell["findings"].as_array().unwrap().iter().any(|finding| finding["severity"] == "error");
            let fits = (cell["verdict"] == "match") != errors;
            assert!(fits, "a cell that is {} with findings {:#}", cell["verdict"], cell["findings"]);
        }
        Self { ran, report }
    }

    /// The exit status and the verdict, which must go together.
    pub(crate) fn verdict(&self) -> (i32, &str) {
        let verdict = self.report["verdict"].as_str().unwrap();
        let status = match verdict {
            "match" => 0,
            "mismatch" => 1,
            "inconclusive" => 3,
            "propagating" => 4,
            other => panic!("verdict {other}"),
        };
        assert_eq!(self.ran.status, Some(status), "{verdict}: {}", self.ran.stderr);
        (status, verdict)
    }

    /// A cell by the name of its vantage.
    pub(crate) fn cell(&self, vantage: &str) -> &Value {
        let cells = self.report["cells"].as_array().unwrap();
        cells
            .iter()
            .find(|cell| cell["vantage"] == vantage)
            .unwrap_or_else(|| panic!("no cell of {vantage} in {:#}", self.report))
    }

    /// The names of the vantages, in order.
    pub(crate) fn vantages(&self) -> Vec<&str> {
        self.report["cells"].as_array().unwrap().iter().map(|cell| cell["vantage"].as_str().unwrap()).collect()
    }

    /// The codes of a severity, in order.
    pub(crate) fn codes(&self, severity: &str) -> Vec<&str> {
        let findings = self.report["findings"].as_array().unwrap();
        findings
            .iter()
            .filter(|finding| finding["severity"] == severity)
            .map(|finding| finding["code"].as_str().unwrap())
            .collect()
    }

    /// Outcomes of the first attempt's stages: tcp, tls, http.
    pub(crate) fn stages(&self, vantage: &str) -> [&str; 3] {
        let attempt = &self.cell(vantage)["attempts"][0];
        ["tcp", "tls", "http"].map(|stage| attempt[stage]["outcome"].as_str().unwrap_or("none"))
    }
}

/// The schema as the binary prints it.
fn validator() -> &'static jsonschema::Validator {
    static VALIDATOR: OnceLock<jsonschema::Validator> = OnceLock::new();
    VALIDATOR.get_or_init(|| {
        let output = Command::new(env!("CARGO_BIN_EXE_kubereach")).args(["schema", "report"]).output().unwrap();
        let schema: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(jsonschema::meta::is_valid(&schema));
        jsonschema::validator_for(&schema).unwrap()
    })
}

/// A port of 127.0.0.1 where nobody listens.
pub(crate) fn closed_port() -> SocketAddr {
    std::net::TcpListener::bind(anywhere()).unwrap().local_addr().unwrap()
}

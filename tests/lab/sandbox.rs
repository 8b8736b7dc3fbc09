//! One case in a world of its own: hosts, links, servers, fault, confirmation, run. This process is the first one of
//! its process namespace: when it ends, everything it started ends with it.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs::{self, File},
    io::{BufRead, BufReader},
    net::IpAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Output, Stdio},
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use kubereach::demo::servers::{ApiServer, AuthoritySpec, CertificateSpec, LabCa, ServerSpec};

use crate::{
    case::{self, Case, Confirm, Records, VIEWS},
    judge::{self, Outcome},
    servers::{Description, READY},
};

/// Runs the case of this file; says on stdout what is not as it should be.
pub(crate) fn run(file: &Path) -> ExitCode {
    thread::spawn(|| {
        thread::sleep(LONGEST_CASE);
        let stage = STAGE.lock().map(|stage| stage.clone()).unwrap_or_default();
        println!("not done after {} s; it was to {stage}", LONGEST_CASE.as_secs());
        // Ends the process namespace, and with it whatever hangs.
        std::process::exit(1);
    });
    match case::load(file).and_then(|case| Sandbox::build(&case)?.play(&case)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            println!("{problem}");
            ExitCode::FAILURE
        }
    }
}

/// Waits until something that was started is ready.
type Readiness = Box<dyn FnOnce() -> Result<(), String>>;

struct Sandbox {
    /// Values of `${…}`.
    values: BTreeMap<String, String>,
    authorities: BTreeMap<String, AuthoritySpec>,
    /// Servers and changes to come, so that they are not dropped before the end.
    processes: Vec<Child>,
}

impl Sandbox {
    /// The hosts and links that every case has, and the case's files.
    fn build(case: &Case) -> Result<Self, String> {
        stage("build the hosts");
        must(
            "mount -t tmpfs -o mode=755 lab /run && mkdir -p /run/lab/work/home /run/lab/etc /run/lab/serve /run/lab/bin",
        )?;
        // Where resolv.conf is a link into the /run that was just covered, give it something to lead to.
        let _ = fs::canonicalize("/etc/resolv.conf").or_else(|_| {
            let target = Path::new("/etc").join(fs::read_link("/etc/resolv.conf")?);
            fs::create_dir_all(target.parent().unwrap_or(Path::new("/run")))?;
            File::create(&target)?;
            Ok::<PathBuf, std::io::Error>(target)
        });
        fs::write(ON_HOST, ON_HOST_SCRIPT).map_err(|error| format!("{ON_HOST}: {error}"))?;
        must(&format!("chmod 755 {ON_HOST}"))?;
        must(TOPOLOGY)?;
        let mut sandbox = Self { values: BTreeMap::new(), authorities: BTreeMap::new(), processes: Vec::new() };
        sandbox.make_authorities(case)?;
        sandbox.write_files(case)?;
        Ok(sandbox)
    }

    fn make_authorities(&mut self, case: &Case) -> Result<(), String> {
        let mut specs = case.authorities.clone();
        specs.entry("prod".to_owned()).or_default();
        for (name, mut spec) in specs {
            let authority = LabCa::from_spec(&spec).map_err(|error| error.to_string())?;
            let path = format!("{WORK}/{name}-ca.pem");
            write(&path, authority.certificate_pem())?;
            let base64 = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, authority.certificate_pem());
            self.values.insert(format!("ca.{name}.path"), path);
            self.values.insert(format!("ca.{name}.base64"), base64);
            for (file, certificate) in case.certificates.iter().filter(|(_, certificate)| certificate.authority == name)
            {
                let identity = authority.issue(certificate).map_err(|error| error.to_string())?;
                let chain: String = identity.chain.iter().map(|one| pem("CERTIFICATE", one)).collect();
                write(&format!("{WORK}/{file}.pem"), &chain)?;
                write(&format!("{WORK}/{file}-key.pem"), &pem("PRIVATE KEY", identity.key.secret_der()))?;
            }
            spec.key_pem = Some(authority.key_pem());
            self.authorities.insert(name, spec);
        }
        self.values.insert("dir".to_owned(), WORK.to_owned());
        self.values.insert("kubereach".to_owned(), env!("CARGO_BIN_EXE_kubereach").to_owned());
        self.values.insert("eks".to_owned(), EKS_HOST.to_owned());
        self.values.insert("now".to_owned(), jiff::Timestamp::now().to_string());
        for (name, value) in AKS {
            self.values.insert((*name).to_owned(), (*value).to_owned());
        }
        Ok(())
    }

    fn write_files(&self, case: &Case) -> Result<(), String> {
        for host in case::HOSTS {
            let given = case.etc.get(host);
            let resolver = if host == "branch" { "10.20.0.2" } else { "192.0.2.53" };
            let defaults = [
                ("resolv.conf", format!("nameserver {resolver}\n")),
                ("hosts", "127.0.0.1 localhost\n::1 localhost\n".to_owned()),
                ("nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n".to_owned()),
            ];
            fs::create_dir_all(format!("/run/lab/etc/{host}")).map_err(|error| error.to_string())?;
            for (name, text) in defaults {
                let text = given.and_then(|files| files.get(name)).unwrap_or(&text);
                write(&format!("/run/lab/etc/{host}/{name}"), &self.fill(text)?)?;
            }
        }
        let config = &case.kubeconfig;
        let mut text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: prod\ncontexts:\n- name: prod\n  context: {{ cluster: prod, user: someone }}\n\
             clusters:\n- name: prod\n  cluster:\n    server: {}\n",
            config.server
        );
        if let Some(authority) = &config.authority {
            let _ = writeln!(text, "    certificate-authority-data: ${{ca.{authority}.base64}}");
        }
        for line in &config.cluster {
            let _ = writeln!(text, "    {line}");
        }
        let _ = writeln!(text, "users:\n- name: someone\n  user:{}", if config.user.is_empty() { " {}" } else { "" });
        for line in &config.user {
            let _ = writeln!(text, "    {line}");
        }
        write(&format!("{WORK}/kubeconfig"), &self.fill(&text)?)?;
        let mut files = case.files.clone();
        let facts = case.facts.iter().map(|(name, document)| (format!("facts/{name}"), document));
        // JSON is YAML.
        let scenario = case.scenario.iter().map(|scenario| ("scenario.yaml".to_owned(), scenario));
        for (name, value) in facts.chain(scenario) {
            files.insert(name, serde_json::to_string_pretty(value).map_err(|error| error.to_string())?);
        }
        for (name, text) in &files {
            let path = format!("{WORK}/{name}");
            if let Some(folder) = Path::new(&path).parent() {
                fs::create_dir_all(folder).map_err(|error| format!("{path}: {error}"))?;
            }
            write(&path, &self.fill(text)?)?;
        }
        Ok(())
    }

    /// Servers, fault, confirmation, run, judgement.
    fn play(mut self, case: &Case) -> Result<(), String> {
        self.change("setup", &case.setup)?;
        self.start_servers(case)?;
        self.change("inject", &case.inject)?;
        for confirm in &case.confirm {
            self.confirm(confirm)?;
        }
        if std::env::var("KUBEREACH_LAB_ONLY").is_ok_and(|value| value == "confirm") {
            return Ok(());
        }
        let outcome = self.run_kubereach(case)?;
        let mut problems = judge::judge(case, &outcome);
        if std::env::var_os("KUBEREACH_LAB_KUBECTL").is_some() && case.expect.kubectl.is_none() {
            problems.extend(self.compare_with_kubectl(case, &outcome)?);
        }
        if problems.is_empty() {
            if std::env::var_os("KUBEREACH_LAB_SHOW").is_some() {
                eprintln!("{}", outcome.show());
            }
            return Ok(());
        }
        Err(format!("{}\n\n{}", problems.join("\n"), outcome.show()))
    }

    /// Runs shell lines by host; all of them must succeed.
    fn change(&self, what: &str, lines: &BTreeMap<String, Vec<String>>) -> Result<(), String> {
        stage(what);
        for (host, lines) in lines {
            for line in lines {
                let output = on(host, &format!("set -e\n{}", self.fill(line)?));
                if !output.status.success() {
                    return Err(format!("{what}: {}", words(host, line, &output)));
                }
            }
        }
        Ok(())
    }

    fn start_servers(&mut self, case: &Case) -> Result<(), String> {
        let mut servers = case.servers.clone();
        if !servers.contains_key("server") {
            servers.insert("server".to_owned(), vec![ServerSpec::Api(default_server())]);
        }
        let mut waiting: Vec<(String, Readiness)> = Vec::new();
        for (host, servers) in servers.into_iter().filter(|(_, servers)| !servers.is_empty()) {
            let file = format!("/run/lab/serve/{host}.json");
            let description = Description { authorities: self.authorities.clone(), servers };
            write(&file, &serde_json::to_string(&description).map_err(|error| error.to_string())?)?;
            let mut child = host_command(&host)
                .arg(std::env::current_exe().map_err(|error| error.to_string())?)
                .arg("serve")
                .arg(&file)
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .spawn()
                .map_err(|error| error.to_string())?;
            let stdout = child.stdout.take();
            self.processes.push(child);
            waiting.push((
                format!("start the servers of {host}"),
                Box::new(move || {
                    let mut line = String::new();
                    if let Some(stdout) = stdout {
                        BufReader::new(stdout).read_line(&mut line).map_err(|error| error.to_string())?;
                    }
                    if line.trim() == READY { Ok(()) } else { Err(format!("servers of {host}: {}", line.trim())) }
                }),
            ));
        }
        if case.uses_bind() {
            write_zones(case)?;
            self.spawn("dns", &format!("exec {BIND}/named -g -n 1 -c {BIND}/named.conf"), "named.log")?;
            let views: Vec<&str> = served_views(case).collect();
            waiting.push((
                "start bind9".to_owned(),
                Box::new(move || {
                    for view in views {
                        let (address, _) = view_addresses(view);
                        until(
                            "dns",
                            &format!(
                                "dig +time=1 +tries=1 +noall +comments @{address} ready.lab.test A | grep -q NXDOMAIN"
                            ),
                            "named.log",
                        )?;
                    }
                    Ok(())
                }),
            ));
        }
        for (index, daemon) in case.daemons.iter().enumerate() {
            let log = format!("daemon-{index}.log");
            self.spawn(&daemon.host, &self.fill(&daemon.run)?, &log)?;
            let (host, ready) = (daemon.host.clone(), self.fill(&daemon.ready)?);
            waiting.push((format!("start: {}", daemon.run), Box::new(move || until(&host, &ready, &log))));
        }
        for (what, wait) in waiting {
            stage(&what);
            wait()?;
        }
        Ok(())
    }

    /// Starts a shell line on a host; its words go to a log.
    fn spawn(&mut self, host: &str, line: &str, log: &str) -> Result<(), String> {
        let log = File::create(format!("/run/lab/{log}")).map_err(|error| error.to_string())?;
        let child = host_command(host)
            .args(["sh", "-c", line])
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(|error| error.to_string())?)
            .stderr(log)
            .spawn()
            .map_err(|error| error.to_string())?;
        self.processes.push(child);
        Ok(())
    }

    fn confirm(&self, confirm: &Confirm) -> Result<(), String> {
        stage(&format!("confirm: {}", confirm.run));
        let line = self.fill(&confirm.run)?;
        let output = on(&confirm.host, &line);
        let text = said(&output);
        let exit_wanted = confirm.exit.or((confirm.expect.is_none() && confirm.lacks.is_none()).then_some(0));
        let fits = exit_wanted.is_none_or(|exit| output.status.code() == Some(exit))
            && confirm.expect.as_ref().is_none_or(|expected| text.contains(expected.as_str()))
            && confirm.lacks.as_ref().is_none_or(|lacking| !text.contains(lacking.as_str()));
        if fits {
            return Ok(());
        }
        let mut wanted = String::new();
        if let Some(exit) = exit_wanted {
            let _ = write!(wanted, " exit status {exit}");
        }
        if let Some(expected) = &confirm.expect {
            let _ = write!(wanted, " {expected:?}");
        }
        if let Some(lacking) = &confirm.lacks {
            let _ = write!(wanted, " no {lacking:?}");
        }
        Err(format!("not confirmed: wanted{wanted}\n{}", words(&confirm.host, &line, &output)))
    }

    fn run_kubereach(&self, case: &Case) -> Result<Outcome, String> {
        stage("run kubereach");
        let mut command = host_command(&case.run.host);
        let mut environment = BTreeMap::from([
            ("PATH".to_owned(), std::env::var("PATH").unwrap_or_default()),
            ("HOME".to_owned(), format!("{WORK}/home")),
            ("KUBECONFIG".to_owned(), format!("{WORK}/kubeconfig")),
            ("NO_COLOR".to_owned(), "1".to_owned()),
        ]);
        for (name, value) in &case.run.env {
            environment.insert(name.clone(), self.fill(value)?);
        }
        command.args(["env", "-i"]).args(environment.iter().map(|(name, value)| format!("{name}={value}")));
        command.arg(env!("CARGO_BIN_EXE_kubereach"));
        for argument in &case.run.args {
            command.arg(self.fill(argument)?);
        }
        command.args(["-o", "text", "-o", &format!("json={WORK}/report.json")]);
        command.current_dir(WORK).stdin(Stdio::null());
        let (stdout, stderr) = (format!("{WORK}/stdout"), format!("{WORK}/stderr"));
        command.stdout(File::create(&stdout).map_err(|error| error.to_string())?);
        command.stderr(File::create(&stderr).map_err(|error| error.to_string())?);
        let started = Instant::now();
        let mut child = command.spawn().map_err(|error| error.to_string())?;
        for later in &case.later {
            let (after, host, line) = (later.after, later.host.clone(), self.fill(&later.run)?);
            thread::spawn(move || {
                thread::sleep(Duration::from_secs_f64(after));
                let output = on(&host, &line);
                if !output.status.success() {
                    println!("later: {}", words(&host, &line, &output));
                }
            });
        }
        if let Some(signal) = &case.run.signal {
            let after = Duration::from_secs_f64(signal.after);
            // Every program on the way (`ip netns exec`, `sh`, `env`) replaced itself: the child is kubereach.
            let kill = format!("kill -{} {}", signal.name, child.id());
            thread::spawn(move || {
                thread::sleep(after);
                let _ = Command::new("sh").args(["-c", &kill]).status();
            });
        }
        let status = child.wait().map_err(|error| error.to_string())?;
        let seconds = started.elapsed().as_secs_f64();
        let read =
            |path: &str| fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
        let report = fs::read_to_string(format!("{WORK}/report.json")).ok();
        let schema = Command::new(env!("CARGO_BIN_EXE_kubereach")).args(["schema", "report"]).output();
        Ok(Outcome {
            exit: status.code(),
            seconds,
            stdout: read(&stdout),
            stderr: read(&stderr),
            report,
            schema: schema.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default(),
        })
    }

    /// What kubectl itself comes to, on the same host with the same files, against what kubereach observed.
    fn compare_with_kubectl(&self, case: &Case, outcome: &Outcome) -> Result<Option<String>, String> {
        stage("ask kubectl");
        let Some(observed) = judge::observed_here(outcome) else { return Ok(None) };
        let mut settings = String::new();
        for (name, value) in &case.run.env {
            let _ = write!(settings, "{name}='{}' ", self.fill(value)?);
        }
        // The lab's user may have no credentials at all, for which kubectl would ask a person.
        let line = format!(
            "{settings} HOME={WORK}/home KUBECONFIG={WORK}/kubeconfig timeout 25 kubectl --token=none get --raw /version --request-timeout=12s"
        );
        let output = on(&case.run.host, &line);
        let text = said(&output);
        // What an API server says arrives as an error too.
        let from_server = ["Error from server", "must be logged in", "etcd"];
        let answered = output.status.success() || from_server.iter().any(|words| text.contains(words));
        if (observed == "reachable") == answered || observed == "unknown" {
            return Ok(None);
        }
        Ok(Some(format!(
            "kubereach says {observed}, kubectl says otherwise:\n{}",
            words(&case.run.host, &line, &output)
        )))
    }

    /// The text with every `${name}` replaced.
    fn fill(&self, text: &str) -> Result<String, String> {
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            let Some((name, after)) = after.split_once('}') else { return Err(format!("no end of ${{ in: {text}")) };
            let value = self.values.get(name).cloned().or_else(|| self.moment(name)).ok_or_else(|| {
                format!("nothing is called ${{{name}}}: {}", self.values.keys().cloned().collect::<Vec<_>>().join(", "))
            })?;
            filled.push_str(before);
            filled.push_str(&value);
            rest = after;
        }
        filled.push_str(rest);
        Ok(filled)
    }

    /// `now-85s`: so many seconds before the case began.
    fn moment(&self, name: &str) -> Option<String> {
        let seconds: i64 = name.strip_prefix("now-")?.strip_suffix('s')?.parse().ok()?;
        let now: jiff::Timestamp = self.values.get("now")?.parse().ok()?;
        Some(now.checked_sub(jiff::SignedDuration::from_secs(seconds)).ok()?.to_string())
    }
}

/// A healthy API server on every address of the server's host.
fn default_server() -> ApiServer {
    let addresses = SERVER_ADDRESSES.iter().filter_map(|text| text.parse::<IpAddr>().ok());
    let certificate = CertificateSpec { names: vec!["api.prod.lab.test".to_owned()], ..CertificateSpec::default() };
    ApiServer::new(addresses.map(|address| (address, 443).into()).collect(), certificate)
}

fn served_views(case: &Case) -> impl Iterator<Item = &'static str> {
    VIEWS.into_iter().filter(|view| !case.dns.without.iter().any(|without| without == view))
}

/// The first address of a view, and all of them.
fn view_addresses(view: &str) -> (&'static str, &'static str) {
    match view {
        "system" => ("192.0.2.53", "192.0.2.53; 2001:db8:d::53;"),
        "public" => ("192.0.2.99", "192.0.2.99; 9.9.9.9; 1.1.1.1;"),
        _ => ("10.20.0.2", "10.20.0.2;"),
    }
}

/// A configuration of bind9 with one root zone a view: whatever is not in it does not exist.
fn write_zones(case: &Case) -> Result<(), String> {
    // A copy of the program: the profile that some distributions lay on /usr/sbin/named forbids our folders.
    let named = case::find_tool("named").ok_or("named is gone")?;
    must(&format!("mkdir -p {BIND} && cp {} {BIND}/named && chmod 755 {BIND}", named.display()))?;
    let addresses: Vec<&str> = served_views(case).map(|view| view_addresses(view).1).collect();
    let (v6, v4): (Vec<&str>, Vec<&str>) = addresses
        .iter()
        .flat_map(|list| list.split_inclusive(';'))
        .map(str::trim)
        .partition(|address| address.contains(':'));
    let v6 = if v6.is_empty() { "none;".to_owned() } else { v6.join(" ") };
    let mut config = format!(
        "options {{\n directory \"{BIND}\";\n pid-file none;\n session-keyfile none;\n listen-on {{ {} }};\n listen-on-v6 {{ {v6} }};\n \
         recursion yes;\n allow-recursion {{ any; }};\n allow-query {{ any; }};\n dnssec-validation no;\n empty-zones-enable no;\n \
         minimal-responses yes;\n notify no;\n}};\ncontrols {{}};\n",
        v4.join(" ")
    );
    for view in served_views(case) {
        let _ = writeln!(
            config,
            "view \"{view}\" {{ match-destinations {{ {} }}; zone \".\" {{ type primary; file \"{view}.zone\"; }}; }};",
            view_addresses(view).1
        );
        let own = match view {
            "system" => &case.dns.system,
            "public" => &case.dns.public,
            _ => &case.dns.vpc,
        };
        write(&format!("{BIND}/{view}.zone"), &zone(&case.dns.all, own, case.dns.ttl)?)?;
    }
    write(&format!("{BIND}/named.conf"), &config)
}

fn zone(all: &Records, own: &Records, ttl: u32) -> Result<String, String> {
    let mut text = format!(
        "$TTL {ttl}\n. IN SOA ns.lab.test. hostmaster.lab.test. 1 3600 600 86400 {ttl}\n. IN NS ns.lab.test.\nns.lab.test. IN A 192.0.2.53\n"
    );
    let mut records = all.clone();
    records.extend(own.clone());
    for (name, values) in records {
        for value in values {
            let data = match value.parse::<IpAddr>() {
                Ok(IpAddr::V4(v4)) => format!("A {v4}"),
                Ok(IpAddr::V6(v6)) => format!("AAAA {v6}"),
                Err(_) => match value.split_once(' ') {
                    Some(("CNAME", target)) => format!("CNAME {}.", target.trim_end_matches('.')),
                    Some(("TXT", text)) => format!("TXT \"{text}\""),
                    _ => return Err(format!("record of {name}: {value:?} is no address, CNAME or TXT")),
                },
            };
            let _ = writeln!(text, "{name}. IN {data}");
        }
    }
    Ok(text)
}

/// DER as PEM text.
fn pem(label: &str, der: &[u8]) -> String {
    let text = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, der);
    let lines: Vec<String> =
        text.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line).into_owned()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// A command on a host, with that host's network and files of /etc.
fn host_command(host: &str) -> Command {
    let mut command = Command::new(ON_HOST);
    command.arg(host).env("PATH", case::tool_path()).current_dir(WORK);
    command
}

fn on(host: &str, line: &str) -> Output {
    host_command(host).args(["sh", "-c", line]).stdin(Stdio::null()).output().unwrap_or_else(|error| Output {
        status: std::process::ExitStatus::default(),
        stdout: Vec::new(),
        stderr: error.to_string().into_bytes(),
    })
}

/// Repeats a line on a host until it succeeds.
fn until(host: &str, line: &str, log: &str) -> Result<(), String> {
    let begin = Instant::now();
    loop {
        let output = on(host, line);
        if output.status.success() {
            return Ok(());
        }
        if begin.elapsed() > LONGEST_START {
            let log = fs::read_to_string(format!("/run/lab/{log}")).unwrap_or_default();
            return Err(format!("not ready: {}\n{log}", words(host, line, &output)));
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// A shell script that must succeed, on no host in particular.
fn must(script: &str) -> Result<(), String> {
    let output = Command::new("sh")
        .args(["-ec", script])
        .env("PATH", case::tool_path())
        .stdin(Stdio::null())
        .output()
        .map_err(|error| error.to_string())?;
    if output.status.success() { Ok(()) } else { Err(format!("cannot build the lab: {}", said(&output))) }
}

fn write(path: &str, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("{path}: {error}"))
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn words(host: &str, line: &str, output: &Output) -> String {
    format!("{host}$ {line}\n{}({})", said(output), output.status)
}

fn stage(what: &str) {
    if let Ok(mut stage) = STAGE.lock() {
        what.clone_into(&mut stage);
    }
}

static STAGE: Mutex<String> = Mutex::new(String::new());

const LONGEST_CASE: Duration = Duration::from_mins(2);
const LONGEST_START: Duration = Duration::from_secs(15);
/// The endpoint of the clusters under `scenarios/lab/bases`.
const EKS_HOST: &str = "0123456789abcdef0123456789abcdef.gr7.eu-west-1.eks.amazonaws.com";
/// Names and ids of the AKS clusters there: what stands before the type of a resource in its id, in the resource group of
/// the cluster and of its network, and in that of its nodes.
const AKS: &[(&str, &str)] = &[
    ("aks", "prod-dns-1a2b3c4d.hcp.westeurope.azmk8s.io"),
    ("aks.private", "prod-dns-1a2b3c4d.5f6e7d8c-0000-4000-8000-000000000001.privatelink.westeurope.azmk8s.io"),
    ("rg", "/subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/rg-prod/providers"),
    ("mc", "/subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/MC_rg-prod_prod_westeurope/providers"),
];
const WORK: &str = "/run/lab/work";
const BIND: &str = "/run/lab/bind";
const SERVER_ADDRESSES: [&str; 7] =
    ["203.0.113.10", "203.0.113.11", "203.0.113.12", "10.20.0.10", "10.20.0.11", "2001:db8:5::10", "2001:db8:5::11"];

const ON_HOST: &str = "/run/lab/on";
/// `on HOST COMMAND…`: in the host's network namespace, with the host's own files laid over /etc.
const ON_HOST_SCRIPT: &str = r#"#!/bin/sh
host=$1; shift
exec ip netns exec "$host" sh -c '
for file in /run/lab/etc/"$0"/*; do mount --bind "$file" "/etc/${file##*/}" || exit 125; done
exec "$@"' "$host" "$@"
"#;

/// Six hosts around a router, and one behind the branch, whose address nobody routes to: `branch` has to translate it
/// (`nft`) before it reaches anything. Addresses are those of documentation and benchmark ranges, and 10.20.0.0/16 inside.
///
/// ```text
/// client 198.51.100.7, 2001:db8:c::7 ──┐                 ┌── server 203.0.113.10-12, 10.20.0.10-11, 2001:db8:5::10-11
/// inner 10.99.0.7 ── branch 198.18.7.7 ┼── router (.1) ──┼── dns 192.0.2.53 (system), .99 9.9.9.9 1.1.1.1 (public), 10.20.0.2 (vpc)
///                                      └─────────────────┴── proxy 192.0.2.130
/// ```
const TOPOLOGY: &str = r"
for host in client branch inner router server dns proxy; do
  ip netns add $host
  ip netns exec $host sh -c '
    cd /proc/sys/net
    echo 0 > ipv6/conf/all/accept_dad; echo 0 > ipv6/conf/default/accept_dad; echo 0 > ipv6/conf/default/router_solicitations
    echo 0 > ipv4/icmp_ratelimit; echo 0 > ipv6/icmp/ratelimit
    if [ $0 = router ]; then echo 1 > ipv4/ip_forward; echo 1 > ipv6/conf/all/forwarding; fi' $host
done
ip -batch - <<END
link add name eth0 netns client type veth peer name client netns router
link add name eth0 netns branch type veth peer name branch netns router
link add name eth0 netns inner type veth peer name inner netns branch
link add name eth0 netns server type veth peer name server netns router
link add name eth0 netns dns type veth peer name dns netns router
link add name eth0 netns proxy type veth peer name proxy netns router
END
ip -n router -batch - <<END
link set lo up
link set client up
link set branch up
link set server up
link set dns up
link set proxy up
address add 198.51.100.1/24 dev client
address add 2001:db8:c::1/64 dev client nodad
address add 198.18.7.1/24 dev branch
address add 203.0.113.1/24 dev server
address add 10.20.0.1/24 dev server
address add 2001:db8:5::1/64 dev server nodad
address add 192.0.2.1/25 dev dns
address add 2001:db8:d::1/64 dev dns nodad
address add 192.0.2.129/25 dev proxy
route add 10.20.0.2/32 via 192.0.2.53
route add 9.9.9.9/32 via 192.0.2.53
route add 1.1.1.1/32 via 192.0.2.53
END
ip -n client -batch - <<END
link set lo up
link set eth0 up
address add 198.51.100.7/24 dev eth0
address add 2001:db8:c::7/64 dev eth0 nodad
route add default via 198.51.100.1
route add default via 2001:db8:c::1
END
ip -n branch -batch - <<END
link set lo up
link set eth0 up
address add 198.18.7.7/24 dev eth0
link set inner up
address add 10.99.0.1/24 dev inner
route add default via 198.18.7.1
END
ip -n inner -batch - <<END
link set lo up
link set eth0 up
address add 10.99.0.7/24 dev eth0
route add default via 10.99.0.1
END
ip -n server -batch - <<END
link set lo up
link set eth0 up
address add 203.0.113.10/24 dev eth0
address add 203.0.113.11/24 dev eth0
address add 203.0.113.12/24 dev eth0
address add 10.20.0.10/24 dev eth0
address add 10.20.0.11/24 dev eth0
address add 2001:db8:5::10/64 dev eth0 nodad
address add 2001:db8:5::11/64 dev eth0 nodad
route add default via 203.0.113.1
route add default via 2001:db8:5::1
END
ip -n dns -batch - <<END
link set lo up
link set eth0 up
address add 192.0.2.53/25 dev eth0
address add 192.0.2.99/25 dev eth0
address add 10.20.0.2/32 dev lo
address add 9.9.9.9/32 dev lo
address add 1.1.1.1/32 dev lo
address add 2001:db8:d::53/64 dev eth0 nodad
route add default via 192.0.2.1
route add default via 2001:db8:d::1
END
ip -n proxy -batch - <<END
link set lo up
link set eth0 up
address add 192.0.2.130/25 dev eth0
route add default via 192.0.2.129
END
";

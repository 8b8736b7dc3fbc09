//! A case: the form of the files under `scenarios/lab`, and what the tools on this host make possible.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Mutex,
};

use kubereach::demo::servers::{AuthoritySpec, CertificateSpec, ServerSpec};
use serde::Deserialize;
use serde_json::{Map, Value};

/// One behaviour.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Case {
    /// What is the matter, in one sentence.
    pub(crate) title: String,
    /// Codes of the catalogue that this case is for.
    #[serde(default)]
    pub(crate) codes: Vec<String>,
    /// Nothing is wrong: the run must end well and without a finding of severity `error`.
    #[serde(default)]
    pub(crate) healthy: bool,
    /// Tools beyond those of every case.
    #[serde(default)]
    pub(crate) needs: Vec<String>,
    /// Shell lines by host that give the hosts other addresses, links and routes than every case has.
    #[serde(default)]
    pub(crate) setup: BTreeMap<String, Vec<String>>,
    /// The provider's JSON by file name, written to the folder `facts`.
    #[serde(default)]
    pub(crate) facts: BTreeMap<String, Value>,
    /// `scenario.yaml`, as values.
    #[serde(default)]
    pub(crate) scenario: Option<Value>,
    /// Certificate authorities beside `prod`, by name.
    #[serde(default)]
    pub(crate) authorities: BTreeMap<String, AuthoritySpec>,
    /// Certificates of servers of others, by name: `NAME.pem` and `NAME-key.pem` of the working folder.
    #[serde(default)]
    pub(crate) certificates: BTreeMap<String, CertificateSpec>,
    /// Zones of the DNS host.
    #[serde(default)]
    pub(crate) dns: Dns,
    /// Files of `/etc` (`resolv.conf`, `hosts`, `nsswitch.conf`), by host.
    #[serde(default)]
    pub(crate) etc: BTreeMap<String, BTreeMap<String, String>>,
    /// Servers of our own, by host; a healthy API server on `server` unless that host is named here.
    #[serde(default)]
    pub(crate) servers: BTreeMap<String, Vec<ServerSpec>>,
    /// Servers of others.
    #[serde(default)]
    pub(crate) daemons: Vec<Daemon>,
    /// The kubeconfig that the run finds.
    #[serde(default)]
    pub(crate) kubeconfig: Kubeconfig,
    /// Other files of the working folder.
    #[serde(default)]
    pub(crate) files: BTreeMap<String, String>,
    /// Shell lines that bring the fault about, by host.
    #[serde(default)]
    pub(crate) inject: BTreeMap<String, Vec<String>>,
    /// Ordinary tools that show that the fault is there.
    #[serde(default)]
    pub(crate) confirm: Vec<Confirm>,
    /// What happens during the run.
    #[serde(default)]
    pub(crate) later: Vec<Later>,
    /// How kubereach is called.
    #[serde(default)]
    pub(crate) run: Run,
    /// What it must say.
    pub(crate) expect: Expect,
}

/// What the DNS host answers: records for every view, then those of single views. A record is an address or
/// `CNAME name`. All other names do not exist.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub(crate) struct Dns {
    pub(crate) all: Records,
    /// What the client's own resolver (192.0.2.53) says.
    pub(crate) system: Records,
    /// What the public resolvers (192.0.2.99, 9.9.9.9, 1.1.1.1) say.
    pub(crate) public: Records,
    /// What the resolver inside the private network (10.20.0.2) says.
    pub(crate) vpc: Records,
    /// Time to live of records and of negative answers, in seconds.
    pub(crate) ttl: u32,
    /// Views whose addresses bind9 leaves alone: nobody listens there unless `servers` says so.
    pub(crate) without: Vec<String>,
}

/// Name → records.
pub(crate) type Records = BTreeMap<String, Vec<String>>;

impl Default for Dns {
    fn default() -> Self {
        let all = BTreeMap::from([("api.prod.lab.test".to_owned(), vec!["203.0.113.10".to_owned()])]);
        let none = Records::new;
        Self { all, system: none(), public: none(), vpc: none(), ttl: 60, without: Vec::new() }
    }
}

/// A server that is not ours.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Daemon {
    pub(crate) host: String,
    /// A shell line that stays in the foreground.
    pub(crate) run: String,
    /// A shell line on the same host that succeeds once the server is ready.
    pub(crate) ready: String,
}

/// A kubeconfig with one cluster, `prod`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub(crate) struct Kubeconfig {
    pub(crate) server: String,
    /// The authority that it trusts; none when absent.
    pub(crate) authority: Option<String>,
    /// Further keys of the cluster, as lines of YAML.
    pub(crate) cluster: Vec<String>,
    /// The user, as lines of YAML.
    pub(crate) user: Vec<String>,
}

impl Default for Kubeconfig {
    fn default() -> Self {
        Self {
            server: "https://api.prod.lab.test".to_owned(),
            authority: Some("prod".to_owned()),
            cluster: Vec::new(),
            user: Vec::new(),
        }
    }
}

/// An ordinary tool's word. Without `exit` and `expect` the line must succeed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Confirm {
    pub(crate) host: String,
    pub(crate) run: String,
    /// Exit status.
    pub(crate) exit: Option<i32>,
    /// Text that its output must hold.
    pub(crate) expect: Option<String>,
    /// Text that its output must not hold.
    pub(crate) lacks: Option<String>,
}

/// A change during the run.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Later {
    /// Seconds after kubereach was started.
    pub(crate) after: f64,
    pub(crate) host: String,
    pub(crate) run: String,
}

/// How kubereach is called; `-o text -o json=…` is added, and `KUBECONFIG` is set.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Run {
    pub(crate) host: String,
    pub(crate) args: Vec<String>,
    /// The whole environment beside PATH, HOME and KUBECONFIG.
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) signal: Option<Signal>,
}

impl Default for Run {
    fn default() -> Self {
        Self { host: "client".to_owned(), args: vec!["doctor".to_owned()], env: BTreeMap::new(), signal: None }
    }
}

/// A signal to kubereach.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Signal {
    /// Seconds after its start.
    pub(crate) after: f64,
    /// `INT` or `TERM`.
    pub(crate) name: String,
}

/// What the run must come to. Absent means: not looked at.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub(crate) struct Expect {
    /// Exit status; follows from `verdict` when absent.
    pub(crate) exit: Option<i32>,
    /// The report's verdict; `match` in a healthy case.
    pub(crate) verdict: Option<String>,
    /// Cells by `cluster/vantage`.
    pub(crate) cells: BTreeMap<String, CellExpect>,
    /// Lookups of the first cell, by resolver.
    pub(crate) dns: BTreeMap<String, DnsExpect>,
    /// Attempts of the first cell, by address.
    pub(crate) attempts: BTreeMap<String, AttemptExpect>,
    /// Codes that must be among the findings.
    pub(crate) codes: Vec<String>,
    /// Code of the first finding.
    pub(crate) first: Option<String>,
    /// Codes of severity `error`, all of them, in any order.
    pub(crate) errors: Option<Vec<String>>,
    /// Codes of severity `warning`, all of them, in any order; none in a healthy case with facts.
    pub(crate) warnings: Option<Vec<String>>,
    /// Findings of the report, by code.
    pub(crate) findings: BTreeMap<String, FindingExpect>,
    /// Codes that must not be among the findings.
    pub(crate) absent: Vec<String>,
    /// Texts that stdout must hold.
    pub(crate) stdout: Vec<String>,
    /// Texts that stderr must hold.
    pub(crate) stderr: Vec<String>,
    /// Texts that the report must hold.
    pub(crate) report: Vec<String>,
    /// Texts that neither output nor report may hold.
    pub(crate) secrets: Vec<String>,
    /// Why kubectl may come to something else.
    pub(crate) kubectl: Option<String>,
    /// Upper bound of the run, in seconds.
    pub(crate) max_seconds: Option<f64>,
    /// Lower bound of the run, in seconds.
    pub(crate) min_seconds: Option<f64>,
}

impl Expect {
    /// Every code that a report must hold for the case to pass.
    pub(crate) fn required_codes(&self) -> impl Iterator<Item = &String> {
        let cells = self.cells.values().flat_map(|cell| cell.codes.iter().chain(&cell.first));
        self.codes
            .iter()
            .chain(&self.first)
            .chain(self.errors.iter().flatten())
            .chain(self.warnings.iter().flatten())
            .chain(self.findings.keys())
            .chain(cells)
    }

    /// Every outcome that a report must hold for the case to pass, as `stage outcome`.
    pub(crate) fn required_outcomes(&self) -> impl Iterator<Item = String> {
        let lookups = self.cells.values().flat_map(|cell| cell.dns.values()).chain(self.dns.values());
        let attempts = self.cells.values().flat_map(|cell| cell.attempts.values()).chain(self.attempts.values());
        let tunnels = self.cells.values().map(|cell| ("tunnel", &cell.tunnel));
        let stages =
            attempts.flat_map(|attempt| [("tcp", &attempt.tcp), ("tls", &attempt.tls), ("http", &attempt.http)]);
        lookups
            .map(|lookup| ("dns", &lookup.outcome))
            .chain(stages)
            .chain(tunnels)
            .filter_map(|(stage, outcome)| Some(format!("{stage} {}", outcome.as_ref()?)))
    }

    /// Every code that is named anywhere.
    pub(crate) fn named_codes(&self) -> impl Iterator<Item = &String> {
        let cells = self.cells.values().flat_map(|cell| cell.codes.iter().chain(&cell.absent).chain(&cell.first));
        let all = self.errors.iter().chain(&self.warnings).flatten().chain(self.findings.keys());
        self.codes.iter().chain(&self.first).chain(all).chain(&self.absent).chain(cells)
    }
}

/// What a finding must say.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct FindingExpect {
    pub(crate) severity: Option<String>,
    pub(crate) confidence: Option<String>,
    /// Texts that its evidence must hold, in any of its sentences.
    pub(crate) evidence: Vec<String>,
    /// Texts that its setting must hold.
    pub(crate) setting: Vec<String>,
    /// Texts that its command must hold.
    pub(crate) fix: Vec<String>,
}

/// What a cell must say.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub(crate) struct CellExpect {
    pub(crate) intended: Option<String>,
    pub(crate) configured: Option<String>,
    pub(crate) observed: Option<String>,
    pub(crate) verdict: Option<String>,
    pub(crate) via: Option<String>,
    pub(crate) provider: Option<String>,
    pub(crate) first: Option<String>,
    pub(crate) codes: Vec<String>,
    pub(crate) absent: Vec<String>,
    /// Components of its path that stop the packet or of which it is not known, in the path's order.
    pub(crate) blockers: Option<Vec<String>>,
    /// `true`: `convergedAfterMs` is a number; `false`: it is null.
    pub(crate) converged: Option<bool>,
    /// The least and the most that `convergedAfterMs` may be.
    pub(crate) converged_between: Option<(u64, u64)>,
    pub(crate) dns: BTreeMap<String, DnsExpect>,
    pub(crate) attempts: BTreeMap<String, AttemptExpect>,
    /// Outcome of the proxy's tunnel.
    pub(crate) tunnel: Option<String>,
}

/// What a lookup must say.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct DnsExpect {
    pub(crate) outcome: Option<String>,
    pub(crate) class: Option<String>,
    /// All of them, in any order.
    pub(crate) addresses: Option<Vec<String>>,
}

/// What an attempt must say.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct AttemptExpect {
    pub(crate) tcp: Option<String>,
    pub(crate) tls: Option<String>,
    pub(crate) http: Option<String>,
    pub(crate) status: Option<u16>,
    pub(crate) observed: Option<String>,
    /// Whether it was not dialled at all.
    pub(crate) skipped: Option<bool>,
    /// `variants` of the TLS stage: kind → outcome.
    pub(crate) variants: BTreeMap<String, String>,
}

/// Reads a case; the message of an error names the file.
pub(crate) fn load(file: &Path) -> Result<Case, String> {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let text = std::fs::read_to_string(file).map_err(|error| format!("{name}: {error}"))?;
    let case: Case = if text.lines().any(|line| line.starts_with("base:")) {
        let value = laid_over_base(file, LONGEST_CHAIN)?;
        serde_json::from_value(value).map_err(|error| format!("{name}: {error}"))?
    } else {
        serde_saphyr::from_str(&text).map_err(|error| format!("{name}: {error}"))?
    };
    case.check().map_err(|problem| format!("{name}: {problem}"))?;
    Ok(case)
}

/// The values of a file, laid over those of the file that its `base` names, and so on.
fn laid_over_base(file: &Path, chain: usize) -> Result<Value, String> {
    // Many cases have few bases.
    static BASES: Mutex<BTreeMap<PathBuf, Value>> = Mutex::new(BTreeMap::new());
    let name = file.display();
    let text = std::fs::read_to_string(file).map_err(|error| format!("{name}: {error}"))?;
    let mut own: Value = serde_saphyr::from_str(&text).map_err(|error| format!("{name}: {error}"))?;
    let base = own.as_object_mut().and_then(|fields| fields.remove("base"));
    let Some(base) = base.as_ref().and_then(Value::as_str) else { return Ok(own) };
    let left = chain.checked_sub(1).ok_or_else(|| format!("{name}: too many bases, one over another"))?;
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("scenarios/lab/bases/{base}.yaml"));
    let known = BASES.lock().ok().and_then(|bases| bases.get(&base).cloned());
    let mut value = match known {
        Some(value) => value,
        None => laid_over_base(&base, left)?,
    };
    if let Ok(mut bases) = BASES.lock() {
        bases.entry(base).or_insert_with(|| value.clone());
    }
    lay_over(&mut value, own);
    Ok(value)
}

/// A JSON merge patch, but for lists of the provider's objects: those are merged by the objects' ids, and an object
/// with `Gone: true` is taken out.
fn lay_over(under: &mut Value, over: Value) {
    let over = match over {
        Value::Object(over) => over,
        over => {
            *under = over;
            return;
        }
    };
    if !under.is_object() {
        *under = Value::Object(Map::new());
    }
    let Value::Object(fields) = under else { return };
    for (key, value) in over {
        if value.is_null() {
            fields.remove(&key);
            continue;
        }
        let id = OBJECT_LISTS.iter().find(|(list, _)| *list == key).map(|(_, id)| *id);
        let own = fields.entry(key).or_insert_with(|| Value::Object(Map::new()));
        match (&mut *own, id, value) {
            (Value::Array(objects), Some(id), Value::Array(others)) => lay_over_objects(objects, others, id),
            (own, _, value) => lay_over(own, value),
        }
    }
}

fn lay_over_objects(objects: &mut Vec<Value>, others: Vec<Value>, id: &str) {
    for other in others {
        let place = objects.iter().position(|object| object.get(id) == other.get(id));
        match place {
            Some(place) if other.get("Gone").is_some() => drop(objects.remove(place)),
            Some(place) => lay_over(&mut objects[place], other),
            None => objects.push(other),
        }
    }
}

impl Case {
    /// The rules that a type cannot hold.
    fn check(&self) -> Result<(), String> {
        let hosts = (self.servers.keys())
            .chain(self.setup.keys())
            .chain(self.inject.keys())
            .chain(self.etc.keys())
            .chain(self.daemons.iter().map(|daemon| &daemon.host))
            .chain(self.confirm.iter().map(|confirm| &confirm.host))
            .chain(self.later.iter().map(|later| &later.host));
        if let Some(unknown) = hosts.into_iter().find(|host| !HOSTS.contains(&host.as_str())) {
            return Err(format!("no host is called {unknown}: {}", HOSTS.join(", ")));
        }
        if let Some(unknown) = self.dns.without.iter().find(|view| !VIEWS.contains(&view.as_str())) {
            return Err(format!("no view is called {unknown}: {}", VIEWS.join(", ")));
        }
        if self.title.is_empty() {
            return Err("a case has a title".to_owned());
        }
        if !self.healthy && (self.codes.is_empty() && self.expect.exit != Some(2)) {
            return Err("a case that is not healthy says which codes it is for".to_owned());
        }
        let sends_packets = self.run.args.first().is_none_or(|command| !PACKETLESS.contains(&command.as_str()));
        if !self.healthy && self.confirm.is_empty() && sends_packets {
            return Err("a fault is confirmed by an ordinary tool".to_owned());
        }
        if self.expect.verdict.is_none() && self.expect.exit.is_none() && !self.healthy {
            return Err("a case expects a verdict or an exit status".to_owned());
        }
        Ok(())
    }

    /// The tools that this case needs and this host lacks.
    pub(crate) fn missing_tools(&self) -> Vec<String> {
        let mut needed: Vec<&str> = self.needs.iter().map(String::as_str).collect();
        if self.uses_bind() {
            needed.push("named");
        }
        // The first word of each command of a confirming line is a tool.
        for confirm in &self.confirm {
            let commands = confirm.run.split(['|', ';', '&']);
            needed.extend(commands.filter_map(first_tool));
        }
        needed.sort_unstable();
        needed.dedup();
        needed.retain(|tool| find_tool(tool).is_none());
        needed.into_iter().map(str::to_owned).collect()
    }

    /// Whether any view is served by bind9.
    pub(crate) fn uses_bind(&self) -> bool {
        VIEWS.iter().any(|view| !self.dns.without.iter().any(|without| without == view))
    }
}

/// The tool that a command of a shell line calls, past settings and words of the shell.
fn first_tool(command: &str) -> Option<&str> {
    let mut words = command.split_whitespace();
    let word = words.find(|word| !word.contains('=') && !["!", "do", "then", "if", "while"].contains(word))?;
    match word {
        "for" | "done" | "fi" | "[" | "test" => None,
        // `timeout 3 tool`.
        "timeout" => words.nth(1),
        word => word.starts_with(|first: char| first.is_ascii_lowercase()).then_some(word),
    }
}

/// Commands that show nothing on the wire, so that no ordinary tool can confirm anything.
const PACKETLESS: [&str; 3] = ["predict", "trace", "facts"];
/// Bases over bases.
const LONGEST_CHAIN: usize = 4;
/// Lists of the provider's objects, each with the key that tells its objects apart.
const OBJECT_LISTS: &[(&str, &str)] = &[
    ("Vpcs", "VpcId"),
    ("DhcpOptions", "DhcpOptionsId"),
    ("Subnets", "SubnetId"),
    ("RouteTables", "RouteTableId"),
    ("NetworkAcls", "NetworkAclId"),
    ("SecurityGroups", "GroupId"),
    ("NetworkInterfaces", "NetworkInterfaceId"),
    ("Reservations", "ReservationId"),
    ("Instances", "InstanceId"),
    ("NatGateways", "NatGatewayId"),
    ("InternetGateways", "InternetGatewayId"),
    ("PrefixLists", "PrefixListId"),
    ("VpcPeeringConnections", "VpcPeeringConnectionId"),
    ("TransitGateways", "TransitGatewayId"),
    ("TransitGatewayAttachments", "TransitGatewayAttachmentId"),
    ("TransitGatewayVpcAttachments", "TransitGatewayAttachmentId"),
    ("TransitGatewayRouteTables", "TransitGatewayRouteTableId"),
    ("VpnGateways", "VpnGatewayId"),
    ("VpnConnections", "VpnConnectionId"),
    ("VpcEndpoints", "VpcEndpointId"),
    // Azure's: lists of the resource manager, and what stands inside their objects.
    ("value", "id"),
    ("subnets", "name"),
    ("virtualNetworkPeerings", "name"),
    ("securityRules", "name"),
    ("routes", "name"),
];
/// The hosts of every case.
pub(crate) const HOSTS: [&str; 7] = ["client", "branch", "inner", "router", "server", "dns", "proxy"];
/// The views of the DNS host.
pub(crate) const VIEWS: [&str; 3] = ["system", "public", "vpc"];

/// PATH with the administrators' folders, where the lab's tools live.
pub(crate) fn tool_path() -> String {
    let path = std::env::var("PATH").unwrap_or_default();
    format!("{path}:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin")
}

/// Where a tool is, if it is.
pub(crate) fn find_tool(name: &str) -> Option<PathBuf> {
    tool_path().split(':').map(|folder| Path::new(folder).join(name)).find(|path| path.is_file())
}

//! Probing by Systems Manager's Run Command, against a server that speaks its protocol (AWS JSON 1.1) and really runs
//! what it is sent, with `sh`, so that the real agent answers.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::{Arc, Mutex},
    thread::sleep,
    time::{Duration, Instant},
};

use kubereach::demo::servers::{ApiServer, CertificateSpec, LabCa, Running, Script, ServerSpec, Step, serve};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::recorded::Test;

pub(crate) const TRIALS: &[(&str, Test)] = &[
    ("ssm_probes_by_an_agent_of_the_instance", ssm_probes_by_an_agent_of_the_instance),
    ("ssm_fetches_an_agent_for_one_run", ssm_fetches_an_agent_for_one_run),
    ("ssm_tells_what_is_missing_on_the_instance", ssm_tells_what_is_missing_on_the_instance),
    ("ssm_tells_instances_that_take_no_command_apart", ssm_tells_instances_that_take_no_command_apart),
    ("ssm_tells_what_is_not_allowed", ssm_tells_what_is_not_allowed),
    ("ssm_tells_what_it_lacks_itself", ssm_tells_what_it_lacks_itself),
    ("ssm_tells_what_became_of_a_command", ssm_tells_what_became_of_a_command),
    ("ssm_waits_out_throttling_and_delays", ssm_waits_out_throttling_and_delays),
    ("ssm_output_that_was_cut_off_is_told", ssm_output_that_was_cut_off_is_told),
    ("ssm_cancels_what_is_interrupted", ssm_cancels_what_is_interrupted),
    ("ssm_asks_for_no_more_than_its_policy_allows", ssm_asks_for_no_more_than_its_policy_allows),
    ("ssm_believes_nothing_that_is_no_answer", ssm_believes_nothing_that_is_no_answer),
];

fn ssm_probes_by_an_agent_of_the_instance() {
    let mut house = House::new();
    house.api();
    let report = house.verify("");
    assert_eq!(report["verdict"], "match", "{report:#}");
    assert_eq!(report["cells"][0]["attempts"][0]["http"]["outcome"], "api-server", "{report:#}");
    assert!(house.asked().contains("SendCommand") && !house.asked().contains("CancelCommand"));
    let sent = house.server.state.lock().unwrap().sent.clone();
    assert_eq!((&sent["DocumentName"], &sent["InstanceIds"]), (&json!("AWS-RunShellScript"), &json!([INSTANCE])));
    assert!(sent["TimeoutSeconds"].as_u64().unwrap() >= 30, "{sent}");
    assert!(sent["Parameters"]["executionTimeout"][0].as_str().unwrap().parse::<u32>().unwrap() < 300, "{sent}");
    assert!(!sent.to_string().contains("sesame"), "a secret went out: {sent}");
    // At a path, too.
    std::fs::remove_file(house.file("bin/kubereach")).unwrap();
    let report = house.verify(&format!(", agent: {}", house.file("real/kubereach").display()));
    assert_eq!(report["verdict"], "match", "{report:#}");
}

fn ssm_fetches_an_agent_for_one_run() {
    let mut house = House::new();
    house.api();
    std::fs::remove_file(house.file("bin/kubereach")).unwrap();
    let agent = house.file("agent");
    let text =
        format!("#!/bin/sh\n[ \"$1\" = --version ] && exit 0\nexec {} agent \"$@\"\n", env!("CARGO_BIN_EXE_kubereach"));
    std::fs::write(&agent, text).unwrap();
    let fetch = "#!/bin/sh\nwhile [ \"$1\" != -o ]; do shift; done\ncp";
    house.program("curl", &format!("{fetch} {} \"$2\"\n", agent.display()));
    let digest = digest(&agent);
    let download = |digest: &str| format!(", download: {{ url: 'https://example.test/agent', sha256: '{digest}' }}");
    let report = house.verify(&download(&digest));
    assert_eq!(report["verdict"], "match", "{report:#}");
    assert!(house.left().is_empty(), "{:?}", house.left());
    let told = house.unavailable(&download(&"0".repeat(64)));
    assert!(told.contains("is not the one of `download.sha256`") && told.contains(&digest), "{told}");
    assert!(house.left().is_empty(), "{:?}", house.left());
    house.program("curl", "#!/bin/sh\necho 'curl: (22) The requested URL returned error: 404' >&2\nexit 22\n");
    let told = house.unavailable(&download(&digest));
    assert!(told.contains("cannot fetch the agent (curl 22)") && told.contains("error: 404"), "{told}");
    assert!(house.left().is_empty(), "{:?}", house.left());
}

fn ssm_tells_what_is_missing_on_the_instance() {
    let house = House::new();
    std::fs::remove_file(house.file("bin/kubereach")).unwrap();
    let told = house.unavailable("");
    assert!(told.contains("has neither kubereach-agent nor kubereach") && told.contains("(Linux "), "{told}");
    let told = house.unavailable(", agent: /opt/none");
    assert!(told.contains("no program at /opt/none"), "{told}");
    house.program("kubereach", "#!/bin/sh\necho 'error: unrecognized subcommand' >&2\nexit 2\n");
    let told = house.unavailable("");
    assert!(told.contains("ended with status 2") && told.contains("unrecognized subcommand"), "{told}");
    // An agent of another version answers in its own.
    let reply = "KUBEREACH-REPLY-1:eyJwcm90b2NvbCI6MCwiaWQiOiJ4In0=";
    house.program("kubereach", &format!("#!/bin/sh\necho {reply}\n"));
    let told = house.unavailable("");
    assert!(told.contains("older") && told.contains("version 0"), "{told}");
}

fn ssm_tells_instances_that_take_no_command_apart() {
    let house = House::new();
    house.server.fault("SendCommand", 400, "InvalidInstanceId", "Instances not in a valid state for account");
    let told = house.unavailable("");
    assert!(told.contains("is no managed node") && told.contains("AmazonSSMManagedInstanceCore"), "{told}");
    for (ping, platform, word) in [
        ("ConnectionLost", "Linux", "does not answer (ConnectionLost)"),
        ("Online", "Windows", "AWS-RunShellScript is for Linux"),
        ("Online", "Linux", "is online"),
    ] {
        let known = json!([{"InstanceId": INSTANCE, "PingStatus": ping, "PlatformType": platform}]);
        house.server.state.lock().unwrap().instances = known;
        let told = house.unavailable("");
        assert!(told.contains(word), "{told}");
    }
    house.server.fault("SendCommand", 400, "UnsupportedPlatformType", "");
    let told = house.unavailable("");
    assert!(told.contains("AWS-RunShellScript is for Linux"), "{told}");
}

fn ssm_tells_what_is_not_allowed() {
    let house = House::new();
    for action in ["SendCommand", "GetCommandInvocation"] {
        let words = format!("User: arn:aws:iam::1:user/x is not authorized to perform: ssm:{action}");
        house.server.fault(action, 400, "AccessDeniedException", &words);
        let told = house.unavailable("");
        assert!(told.contains(&format!("may not use ssm:{action}")) && told.contains("docs/ssm-policy.json"), "{told}");
        house.server.no_fault(action);
    }
    assert!(house.asked().contains("CancelCommand"), "what cannot be waited for is cancelled");
    house.server.fault("SendCommand", 400, "ExpiredTokenException", "The security token included is expired");
    let told = house.unavailable("");
    assert!(told.contains("not accepted") && told.contains("aws sso login"), "{told}");
    // An answer that repeats what only we know.
    house.server.fault("SendCommand", 400, "ValidationException", "bad key sesame-of-aws");
    let told = house.unavailable("");
    assert!(told.contains("ssm:SendCommand failed") && !told.contains("sesame"), "{told}");
}

fn ssm_tells_what_it_lacks_itself() {
    let house = House::new();
    let told = why_unavailable(house.command("").env_remove("AWS_SECRET_ACCESS_KEY").env_remove("AWS_ACCESS_KEY_ID"));
    assert!(told.contains("no AWS credentials") && told.contains("aws sso login"), "{told}");
    let mut command = house.command("");
    house.scenario("", "");
    let told = why_unavailable(&mut command);
    assert!(told.contains("no region is given or configured"), "{told}");
    drop(TcpListener::bind(house.server.address));
    let told = why_unavailable(&mut house.command_at("http://127.0.0.1:9", ""));
    assert!(told.contains("cannot be reached"), "{told}");
}

fn ssm_tells_what_became_of_a_command() {
    let house = House::new();
    for (status, details, word) in [
        ("TimedOut", "Delivery Timed Out", "did not take the command in time"),
        ("TimedOut", "Execution Timed Out", "did not end within its time"),
        ("Failed", "Undeliverable", "cannot be delivered"),
        ("Cancelled", "Cancelled", "somebody cancelled"),
        ("Failed", "Failed", "failed: Failed"),
    ] {
        house.server.state.lock().unwrap().ending = Some((status, details));
        let told = house.unavailable("");
        assert!(told.contains(word), "{told}");
    }
}

fn ssm_waits_out_throttling_and_delays() {
    let mut house = House::new();
    house.api();
    for action in ["SendCommand", "GetCommandInvocation"] {
        house.server.fault_times(action, 400, "ThrottlingException", "Rate exceeded", 2);
    }
    let report = house.verify("");
    assert_eq!(report["verdict"], "match", "{report:#}");
    house.server.fault_times("GetCommandInvocation", 400, "InvocationDoesNotExist", "", 2);
    let report = house.verify("");
    assert_eq!(report["verdict"], "match", "{report:#}");
}

fn ssm_output_that_was_cut_off_is_told() {
    let house = House::new();
    house.program("kubereach", "#!/bin/sh\nhead -c 30000 /dev/zero | tr '\\0' x\nexit 0\n");
    let told = house.unavailable("");
    assert!(told.contains("was cut off"), "{told}");
    // A reply that something else broke.
    house.program("kubereach", "#!/bin/sh\nprintf 'KUBEREACH-REPLY-1:eyJ'; exit 0\n");
    let told = house.unavailable("");
    assert!(told.contains("cannot be read"), "{told}");
}

fn ssm_cancels_what_is_interrupted() {
    let mut house = House::new();
    house.silent();
    let child = house.command("").spawn().unwrap();
    until("the command", || house.server.state.lock().unwrap().commands.values().any(|command| command.pid.is_some()));
    sleep(Duration::from_millis(500));
    let begun = Instant::now();
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let report = report(&output);
    assert!(report["findings"].to_string().contains("inconclusive-run-interrupted"), "{report:#}");
    assert!(house.asked().contains("CancelCommand"));
    until("the agent to end", || {
        house.server.state.lock().unwrap().commands.values().all(|command| command.ended.is_some())
    });
    // One that cannot be cancelled is named.
    house.server.fault("CancelCommand", 400, "AccessDeniedException", "no");
    let child = house.command("").spawn().unwrap();
    until("the command", || house.server.state.lock().unwrap().commands.len() > 1);
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("could not be cancelled") && stderr.contains("aws ssm cancel-command"), "{stderr}");
}

/// What the code asks for = what docs/ssm-policy.json allows.
fn ssm_asks_for_no_more_than_its_policy_allows() {
    let house = House::new();
    house.program("kubereach", "#!/bin/sh\nexit 0\n");
    let _ = house.unavailable("");
    house.server.fault("GetCommandInvocation", 400, "AccessDeniedException", "");
    let _ = house.unavailable("");
    house.server.fault("SendCommand", 400, "InvalidInstanceId", "");
    let _ = house.unavailable("");
    let asked: BTreeSet<String> = house.asked().iter().map(|action| format!("ssm:{action}")).collect();
    let policy = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/ssm-policy.json")).unwrap();
    let policy: Value = serde_json::from_str(&policy).unwrap();
    let statements = policy["Statement"].as_array().unwrap();
    let allowed: BTreeSet<String> = statements
        .iter()
        .flat_map(|statement| statement["Action"].as_array().unwrap())
        .map(|action| action.as_str().unwrap().to_owned())
        .collect();
    assert_eq!(asked, allowed);
    // Commands may be sent by one document only.
    let sending = statements.iter().find(|statement| statement["Action"][0] == "ssm:SendCommand").unwrap();
    let documents: Vec<&str> = sending["Resource"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .filter(|arn| arn.contains(":document/"))
        .collect();
    assert_eq!(documents.len(), 1, "{documents:?}");
    assert!(documents[0].ends_with(":document/AWS-RunShellScript"), "{documents:?}");
}

fn ssm_believes_nothing_that_is_no_answer() {
    let house = House::new();
    for (status, body) in [(200, "<html>login</html>"), (302, ""), (404, "no such page"), (200, "{}"), (200, "[1")] {
        house.server.state.lock().unwrap().raw = Some((status, body.to_owned()));
        let told = house.unavailable("");
        assert!(told.contains("Nothing was probed"), "{told}");
    }
}

/// An API server, a service with one instance whose programs are in `bin`, and a scenario.
struct House {
    runtime: Runtime,
    folder: TempDir,
    authority: Arc<LabCa>,
    api: SocketAddr,
    running: Vec<Running>,
    server: Server,
}

impl House {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["bin", "tmp", "real"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        let authority = Arc::new(LabCa::new("the cluster's CA").unwrap());
        std::fs::write(folder.path().join("ca.pem"), authority.certificate_pem()).unwrap();
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_kubereach"), folder.path().join("real/kubereach")).unwrap();
        let api = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let server = Server::start(folder.path());
        let house = Self { runtime: Runtime::new().unwrap(), folder, authority, api, running: Vec::new(), server };
        house.program("kubereach", &format!("#!/bin/sh\nexec {} \"$@\"\n", env!("CARGO_BIN_EXE_kubereach")));
        house
    }

    fn api(&mut self) {
        let certificate = CertificateSpec { addresses: vec![self.api.ip()], ..CertificateSpec::default() };
        self.serve(ServerSpec::Api(ApiServer::new(vec![self.api], certificate)));
    }

    /// Something that accepts and says nothing.
    fn silent(&mut self) {
        self.serve(ServerSpec::Script(Script { listen: vec![self.api], steps: vec![Step::Stall] }));
    }

    fn serve(&mut self, server: ServerSpec) {
        let authorities = BTreeMap::from([("prod".to_owned(), Arc::clone(&self.authority))]);
        self.running.push(self.runtime.block_on(serve(&authorities, &[server])).unwrap());
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A program of the instance.
    fn program(&self, name: &str, text: &str) {
        let file = self.file("bin").join(name);
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// What is left in the instance's temporary folder.
    fn left(&self) -> Vec<PathBuf> {
        std::fs::read_dir(self.file("tmp")).unwrap().flatten().map(|entry| entry.path()).collect()
    }

    fn scenario(&self, region: &str, more: &str) {
        let text = format!(
            "apiVersion: kubereach/v1\ncontrols: []\nclusters:\n  prod: {{ endpoint: 'https://{}', ca: ca.pem }}\nvantages:\n  \
             node: {{ ssm: {{ instance: {INSTANCE}{region}{more} }} }}\n\
             expect:\n  - {{ cluster: prod, from: node, reachable: true }}\n",
            self.api
        );
        std::fs::write(self.file("scenario.yaml"), text).unwrap();
    }

    fn command(&self, more: &str) -> Command {
        self.command_at(&format!("http://{}", self.server.address), more)
    }

    fn command_at(&self, endpoint: &str, more: &str) -> Command {
        self.scenario(", region: eu-west-1", more);
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubereach"));
        command.args(["verify", "scenario.yaml", "--no-wait", "-o", "json"]);
        command.env("AWS_ENDPOINT_URL", endpoint).env("AWS_SECRET_ACCESS_KEY", "sesame-of-aws");
        command.current_dir(self.folder.path()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn verify(&self, more: &str) -> Value {
        report(&self.command(more).output().unwrap())
    }

    /// Why nothing was probed.
    fn unavailable(&self, more: &str) -> String {
        why_unavailable(&mut self.command(more))
    }

    fn asked(&self) -> BTreeSet<String> {
        self.server.state.lock().unwrap().asked.clone()
    }
}

fn why_unavailable(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let report = report(&output);
    assert_eq!(output.status.code(), Some(3), "{report:#}");
    let finding = &report["cells"][0]["findings"][0];
    assert_eq!(finding["code"], "inconclusive-vantage-unavailable", "{report:#}");
    let evidence = finding["evidence"].as_array().unwrap();
    let told = evidence.iter().filter_map(Value::as_str).find(|told| told.starts_with("Nothing was probed"));
    told.unwrap_or_else(|| panic!("{report:#}")).to_owned()
}

fn until(what: &str, ready: impl Fn() -> bool) {
    let begun = Instant::now();
    while !ready() {
        assert!(begun.elapsed() < Duration::from_secs(20), "waited in vain: {what}");
        sleep(Duration::from_millis(30));
    }
}

fn digest(file: &Path) -> String {
    let output = Command::new("sha256sum").arg(file).output().unwrap();
    String::from_utf8(output.stdout).unwrap().split_whitespace().next().unwrap().to_owned()
}

fn report(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
}

/// The service, on loopback.
struct Server {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    folder: PathBuf,
    asked: BTreeSet<String>,
    sent: Value,
    commands: HashMap<String, Sent>,
    faults: HashMap<String, Fault>,
    /// What `DescribeInstanceInformation` lists.
    instances: Value,
    /// How every command ends, instead of running.
    ending: Option<(&'static str, &'static str)>,
    /// What is answered to everything.
    raw: Option<(u16, String)>,
}

#[derive(Clone)]
struct Fault {
    status: u16,
    code: String,
    message: String,
    times: usize,
}

#[derive(Default)]
struct Sent {
    pid: Option<u32>,
    /// Status and its details, exit status, output and errors.
    ended: Option<(String, String, i32, String, String)>,
}

impl Server {
    fn start(folder: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = State { folder: folder.to_owned(), instances: json!([]), ..State::default() };
        let state = Arc::new(Mutex::new(state));
        let serving = Arc::clone(&state);
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let state = Arc::clone(&serving);
                std::thread::spawn(move || answer(&connection, &state));
            }
        });
        Self { address, state }
    }

    fn fault(&self, action: &str, status: u16, code: &str, message: &str) {
        self.fault_times(action, status, code, message, usize::MAX);
    }

    fn fault_times(&self, action: &str, status: u16, code: &str, message: &str, times: usize) {
        let fault = Fault { status, code: code.to_owned(), message: message.to_owned(), times };
        self.state.lock().unwrap().faults.insert(action.to_owned(), fault);
    }

    fn no_fault(&self, action: &str) {
        self.state.lock().unwrap().faults.remove(action);
    }
}

/// One request on one connection.
fn answer(mut connection: &TcpStream, state: &Arc<Mutex<State>>) -> Option<()> {
    let mut reader = BufReader::new(connection);
    let (mut action, mut length, mut signed) = (String::new(), 0, false);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let lower = line.to_ascii_lowercase();
        if let Some(target) = lower.starts_with("x-amz-target:").then(|| line.split_once("AmazonSSM.")).flatten() {
            target.1.trim().clone_into(&mut action);
        }
        if let Some(text) = lower.strip_prefix("content-length:") {
            length = text.trim().parse().ok()?;
        }
        signed |= lower.starts_with("authorization: aws4-hmac-sha256");
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let request: Value = serde_json::from_slice(&body).ok()?;
    let (status, text) = if signed {
        respond(&action, &request, state)
    } else {
        refusal(400, "MissingAuthenticationTokenException", "not signed")
    };
    write!(
        connection,
        "HTTP/1.1 {status} x\r\ncontent-type: application/x-amz-json-1.1\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{text}",
        text.len()
    )
    .ok()
}

fn respond(action: &str, request: &Value, state: &Arc<Mutex<State>>) -> (u16, String) {
    let mut locked = state.lock().unwrap();
    locked.asked.insert(action.to_owned());
    if let Some(raw) = locked.raw.clone() {
        return raw;
    }
    if let Some(fault) = locked.faults.get_mut(action)
        && fault.times > 0
    {
        fault.times = fault.times.saturating_sub(1);
        return refusal(fault.status, &fault.code, &fault.message);
    }
    match action {
        "SendCommand" => {
            let id = format!("00000000-0000-4000-8000-{:012}", locked.commands.len());
            locked.sent = request.clone();
            let ending = locked.ending;
            let ended = ending
                .map(|(status, details)| (status.to_owned(), details.to_owned(), -1, String::new(), String::new()));
            locked.commands.insert(id.clone(), Sent { pid: None, ended });
            if ending.is_none() {
                let lines = request["Parameters"]["commands"].as_array().unwrap().iter().filter_map(Value::as_str);
                let script = lines.collect::<Vec<_>>().join("\n");
                let (folder, state, id) = (locked.folder.clone(), Arc::clone(state), id.clone());
                std::thread::spawn(move || carry_out(&script, &folder, &id, &state));
            }
            (200, json!({"Command": {"CommandId": id, "Status": "Pending"}}).to_string())
        }
        "GetCommandInvocation" => match locked.commands.get(request["CommandId"].as_str().unwrap_or_default()) {
            None => refusal(400, "InvocationDoesNotExist", ""),
            Some(Sent { ended: None, .. }) => {
                (200, json!({"Status": "InProgress", "StatusDetails": "InProgress", "ResponseCode": -1}).to_string())
            }
            Some(Sent { ended: Some((status, details, code, output, error)), .. }) => {
                let answer = json!({"Status": status, "StatusDetails": details, "ResponseCode": code,
                    "StandardOutputContent": output, "StandardErrorContent": error});
                (200, answer.to_string())
            }
        },
        "CancelCommand" => {
            if let Some(pid) =
                locked.commands.get(request["CommandId"].as_str().unwrap_or_default()).and_then(|sent| sent.pid)
            {
                // The whole group, as the service's agent does.
                let _ = Command::new("kill").args(["-KILL", "--", &format!("-{pid}")]).status();
            }
            (200, "{}".to_owned())
        }
        "DescribeInstanceInformation" => (200, json!({"InstanceInformationList": locked.instances}).to_string()),
        _ => refusal(400, "UnknownOperationException", action),
    }
}

fn refusal(status: u16, code: &str, message: &str) -> (u16, String) {
    (status, json!({"__type": code, "message": message}).to_string())
}

/// Runs the script as the instance would; what it may hold of the output is what the service gives.
fn carry_out(script: &str, folder: &Path, id: &str, state: &Mutex<State>) {
    let child = Command::new("sh")
        .args(["-c", script])
        .env_clear()
        .env("PATH", format!("{}:/usr/bin:/bin", folder.join("bin").display()))
        .env("TMPDIR", folder.join("tmp"))
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    state.lock().unwrap().commands.get_mut(id).unwrap().pid = Some(child.id());
    let output = child.wait_with_output().unwrap();
    let cut = |bytes: &[u8], most: usize| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        if text.chars().count() > most {
            text.chars().take(most).collect::<String>() + "\n--output truncated--"
        } else {
            text
        }
    };
    let code = output.status.code().unwrap_or(-1);
    let status = if code == 0 { "Success" } else { "Failed" };
    let ended = (status.to_owned(), status.to_owned(), code, cut(&output.stdout, 24_000), cut(&output.stderr, 8_000));
    state.lock().unwrap().commands.get_mut(id).unwrap().ended = Some(ended);
}

const INSTANCE: &str = "i-0123456789abcdef0";

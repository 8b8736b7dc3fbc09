//! Pulls from kubereach's own server, which answers from documents: what goes wrong, how fast it is, what it asks.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Command, Output},
    sync::{
        Arc, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use kubereach::{
    demo::servers::{AwsApi, AwsFault, Running, ServerSpec, serve},
    facts::{
        aws::{Action, EksRequest, PullError, pull},
        write::{Pulled, write},
    },
};
use libtest_mimic::Trial;
use nix::sys::{
    resource::{UsageWho, getrusage},
    time::{TimeVal, TimeValLike},
};
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::{documents, moto::files, same::differences};

/// A case.
pub(crate) type Test = fn();

pub(crate) fn trials() -> Vec<Trial> {
    let trial = |(name, test): &(&'static str, Test)| {
        let test = *test;
        let alone = name.ends_with("calls_run_at_the_same_time");
        Trial::test(*name, move || {
            // A failed test poisons the lock, which holds nothing.
            let _alone = alone.then(|| MACHINE.write());
            let _among_others = (!alone).then(|| MACHINE.read());
            test();
            Ok(())
        })
    };
    TRIALS.iter().chain(crate::verify::TRIALS).chain(crate::ssm::TRIALS).chain(azure()).map(trial).collect()
}

/// The cases of the other provider.
fn azure() -> impl Iterator<Item = &'static (&'static str, Test)> {
    #[cfg(feature = "azure")]
    let trials = crate::arm::TRIALS.iter().chain(crate::arm_verify::TRIALS);
    #[cfg(not(feature = "azure"))]
    let trials = std::iter::empty();
    trials
}

/// Held by every case; whole by the one that measures time.
pub(crate) static MACHINE: RwLock<()> = RwLock::new(());

/// The issue's figure.
const MOST_OF_THE_CHAIN: f64 = 1.3;
const MOST_TRIES: usize = 30;
/// Calls of a pull from [`documents::region`].
const CALLS: usize = 36;

const TRIALS: &[(&str, Test)] = &[
    ("every_document_arrives_whole", every_document_arrives_whole),
    ("pages_make_the_same_documents", pages_make_the_same_documents),
    ("two_pulls_give_the_same_bytes", two_pulls_give_the_same_bytes),
    ("a_denied_action_leaves_only_its_own_file_out", a_denied_action_leaves_only_its_own_file_out),
    ("an_action_that_fails_leaves_only_its_own_file_out", an_action_that_fails_leaves_only_its_own_file_out),
    ("throttling_is_waited_out", throttling_is_waited_out),
    ("what_ends_a_pull_is_told_clearly", what_ends_a_pull_is_told_clearly),
    ("what_is_no_aws_api_ends_a_pull", what_is_no_aws_api_ends_a_pull),
    ("an_endless_answer_ends", an_endless_answer_ends),
    ("an_answer_of_newer_types_is_kept", an_answer_of_newer_types_is_kept),
    ("no_credential_is_repeated", no_credential_is_repeated),
    ("nothing_but_the_policy_is_asked", nothing_but_the_policy_is_asked),
    ("calls_run_at_the_same_time", calls_run_at_the_same_time),
    ("the_command_writes_and_tells", the_command_writes_and_tells),
    ("the_command_tells_what_it_lacks", the_command_tells_what_it_lacks),
];

fn every_document_arrives_whole() {
    let house = House::new(AwsApi::default());
    let pulled = house.pull().unwrap();
    assert_eq!(pulled.documents.keys().cloned().collect::<Vec<_>>(), documents::files());
    assert_same(&pulled);
    let manifest = &pulled.manifest;
    assert_eq!(manifest.account.as_deref(), Some("123456789012"));
    assert_eq!((manifest.region.as_deref(), manifest.cluster.as_deref()), (Some("eu-west-1"), Some("prod")));
    assert!(manifest.denied.is_empty() && manifest.failed.is_empty(), "{manifest:?}");
    let text: String = pulled.documents.values().map(ToString::to_string).collect();
    assert!(!text.contains("hunter2"), "a secret got through");
    // The order of name servers, of tunnels and of updates says something.
    let servers =
        &pulled.documents["ec2/describe-dhcp-options.json"]["DhcpOptions"][0]["DhcpConfigurations"][0]["Values"];
    assert_eq!(servers[0]["Value"], "10.20.0.53");
    assert_eq!(pulled.documents["eks/list-updates.json"]["updateIds"][0], "u-9");
}

fn pages_make_the_same_documents() {
    for page_size in [1, 2, 4] {
        let house = House::new(AwsApi { page_size: Some(page_size), ..AwsApi::default() });
        let pulled = house.pull().unwrap();
        assert_same(&pulled);
        let asked = house.requests();
        let interfaces = asked.iter().filter(|asked| asked["operation"] == "DescribeNetworkInterfaces").count();
        assert_eq!(interfaces, 5_usize.div_ceil(page_size));
        let text: String = pulled.documents.values().map(ToString::to_string).collect();
        assert!(!text.contains("page-"), "a token was kept");
    }
}

fn two_pulls_give_the_same_bytes() {
    let house = House::new(AwsApi { unordered: true, ..AwsApi::default() });
    let home = tempfile::tempdir().unwrap();
    write(&house.pull().unwrap(), home.path()).unwrap();
    let first = files(home.path());
    std::thread::sleep(Duration::from_millis(1_100));
    let again = write(&house.pull().unwrap(), home.path()).unwrap();
    assert_eq!((again.changed, again.removed), (0, 0));
    assert_eq!(files(home.path()), first);
}

fn a_denied_action_leaves_only_its_own_file_out() {
    let words = "You are not authorized to perform this operation. Encoded authorization failure message: ";
    let mut faults: Vec<AwsFault> = ["ec2:DescribeNetworkAcls", "ec2:DescribeVpcAttribute"]
        .iter()
        .map(|action| fault(action, 403, "UnauthorizedOperation", &format!("{words}{action}")))
        .collect();
    faults.push(fault(
        "eks:ListUpdates",
        403,
        "AccessDeniedException",
        "User: arn:aws:iam::1:user/x is not authorized",
    ));
    let pulled = House::new(AwsApi { faults, ..AwsApi::default() }).pull().unwrap();
    let denied: Vec<(&str, &str)> =
        pulled.manifest.denied.iter().map(|denied| (denied.action.as_str(), denied.message.as_str())).collect();
    let words = "UnauthorizedOperation: You are not authorized to perform this operation.";
    assert_eq!(
        denied,
        [
            ("ec2:DescribeNetworkAcls", words),
            ("ec2:DescribeVpcAttribute", words),
            ("eks:ListUpdates", "AccessDeniedException: User: arn:aws:iam::1:user/x is not authorized"),
        ]
    );
    assert!(pulled.manifest.failed.is_empty());
    let left_out = |path: &&String| {
        ["ec2/describe-network-acls", "ec2/describe-vpc-attribute", "eks/list-updates", "eks/describe-update"]
            .iter()
            .any(|stem| path.starts_with(stem))
    };
    let expected: Vec<String> = documents::files().iter().filter(|path| !left_out(path)).cloned().collect();
    assert_eq!(pulled.documents.keys().cloned().collect::<Vec<_>>(), expected);
}

fn an_action_that_fails_leaves_only_its_own_file_out() {
    let faults = vec![
        fault(
            "ec2:DescribeVpcBlockPublicAccessOptions",
            400,
            "InvalidAction",
            "The action is not valid\r\n for this endpoint",
        ),
        fault("eks:ListCertificateAuthorities", 404, "", ""),
        fault("eks:DescribeUpdate", 404, "ResourceNotFoundException", "No update found"),
    ];
    let pulled = House::new(AwsApi { faults, ..AwsApi::default() }).pull().unwrap();
    let failed: Vec<String> =
        pulled.manifest.failed.iter().map(|failed| format!("{} {}", failed.action, failed.message)).collect();
    assert_eq!(
        failed,
        [
            "ec2:DescribeVpcBlockPublicAccessOptions InvalidAction: The action is not valid",
            "eks:DescribeUpdate ResourceNotFoundException: No update found",
            "eks:ListCertificateAuthorities HTTP 404",
        ]
    );
    assert!(pulled.manifest.denied.is_empty());
    assert!(!pulled.documents.contains_key("ec2/describe-vpc-block-public-access-options.json"));
    assert!(pulled.documents.contains_key("eks/list-updates.json"));
}

fn throttling_is_waited_out() {
    let faults = vec![
        AwsFault {
            times: Some(2),
            ..fault("ec2:DescribeSubnets", 503, "RequestLimitExceeded", "Request limit exceeded.")
        },
        AwsFault { times: Some(2), ..fault("eks:DescribeCluster", 429, "ThrottlingException", "Rate exceeded") },
        AwsFault {
            times: Some(1),
            ..fault("ec2:DescribeVpcs", 500, "InternalError", "An internal error has occurred")
        },
    ];
    let house = House::new(AwsApi { faults, ..AwsApi::default() });
    let pulled = house.pull().unwrap();
    assert_same(&pulled);
    assert!(pulled.manifest.failed.is_empty(), "{:?}", pulled.manifest);
    let tries = |operation: &str| house.requests().iter().filter(|asked| asked["operation"] == operation).count();
    assert_eq!((tries("DescribeSubnets"), tries("DescribeCluster"), tries("DescribeVpcs")), (3, 3, 2));
}

fn what_ends_a_pull_is_told_clearly() {
    let house = House::new(AwsApi::default());
    let request = EksRequest { name: "other".to_owned(), ..house.request() };
    let error = house.runtime.block_on(pull(&request, drop)).unwrap_err();
    assert!(matches!(&error, PullError::NotFound { name, .. } if name == "other"), "{error}");
    assert_eq!(error.help().unwrap(), "aws eks list-clusters --region eu-west-1 lists those there are");

    let expired = fault("eks:*", 403, "ExpiredTokenException", "The security token included in the request is expired");
    let house = House::new(AwsApi { faults: vec![expired], ..AwsApi::default() });
    let error = house.pull().unwrap_err();
    assert!(matches!(error, PullError::Credentials(_)), "{error}");

    // A port on which nobody listens any more.
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let request = EksRequest { endpoint_url: Some(format!("http://{nobody}")), ..house.request() };
    let error = house.runtime.block_on(pull(&request, drop)).unwrap_err();
    assert!(matches!(&error, PullError::Unreachable { region, .. } if region == "eu-west-1"), "{error}");
}

/// Whoever answers, the facts of the earlier pull stay, and the command fails.
fn what_is_no_aws_api_ends_a_pull() {
    let house = House::new(AwsApi::default());
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("facts/prod");
    assert_eq!(house.command(home.path(), &[]).output().unwrap().status.code(), Some(0));
    let first = files(&folder);
    for head in [
        "200 OK\r\ncontent-type: text/html",
        "302 Found\r\nlocation: http://portal.invalid/login",
        "403 Forbidden\r\ncontent-type: text/html",
        "404 Not Found",
    ] {
        for body in ["<html><body>Log in</body></html>", "{}", "\u{0}", ""] {
            let other = answerer(&format!("HTTP/1.1 {head}"), body);
            let output = command(other, home.path()).output().unwrap();
            let (stdout, stderr) = told(&output);
            assert_eq!((output.status.code(), stdout.as_str()), (Some(2), ""), "{head} {body} {stderr}");
            assert!(stderr.starts_with(&format!("error: what answers at http://{other} is no AWS API: ")), "{stderr}");
            assert_eq!(files(&folder), first);
        }
    }
    // A failure of the cluster's own API is told as it is; only a refusal leaves facts without the cluster.
    let fails = |status, code: &str| {
        let faults = vec![fault("eks:DescribeCluster", status, code, "words")];
        House::new(AwsApi { faults, ..AwsApi::default() }).pull()
    };
    let error = fails(400, "InvalidRequestException").unwrap_err();
    assert!(matches!(&error, PullError::Failed { message, .. } if message.ends_with("words")), "{error}");
    assert!(fails(403, "AccessDeniedException").unwrap().documents.contains_key("ec2/describe-vpcs.json"));
}

fn an_endless_answer_ends() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = listener.local_addr().unwrap();
    let sent = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&sent);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, sent) = (stream.unwrap(), Arc::clone(&counter));
            std::thread::spawn(move || {
                let _ = stream.read(&mut [0; 8_192]);
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
                let chunk = [&b"100000\r\n"[..], &vec![b' '; 1 << 20], b"\r\n"].concat();
                while stream.write_all(&chunk).is_ok() {
                    sent.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    let home = tempfile::tempdir().unwrap();
    let output = command(server, home.path()).output().unwrap();
    let (_, stderr) = told(&output);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("larger than") && stderr.contains("MiB"), "{stderr}");
    // What waits in the sockets' buffers of some fifty connections was sent, but not read.
    assert!(sent.load(Ordering::Relaxed) < 1_024, "{} MiB were sent", sent.load(Ordering::Relaxed));
}

/// The SDK's own types hold no text for a time, and no number for a name.
fn an_answer_of_newer_types_is_kept() {
    let cluster = r#"{"cluster": {"name": "prod", "status": "ACTIVE", "createdAt": true, "version": 7}}"#;
    let server = answerer("HTTP/1.1 200 OK\r\ncontent-type: application/json", cluster);
    let request = EksRequest {
        name: "prod".to_owned(),
        region: Some("eu-west-1".to_owned()),
        profile: None,
        endpoint_url: Some(format!("http://{server}")),
    };
    let pulled = Runtime::new().unwrap().block_on(pull(&request, drop)).unwrap();
    let expected: Value = serde_json::from_str(cluster).unwrap();
    assert_eq!(pulled.documents["eks/describe-cluster.json"], expected);
    let failed = pulled.manifest.failed.iter().find(|failed| failed.action == "eks:ListUpdates").unwrap();
    assert_eq!(failed.message, "an answer that cannot be read: it is not what ListUpdates gives");
}

fn no_credential_is_repeated() {
    let (secret, token) = ("wJalrXUtnFEMIK7MDENG", "IQoJb3JpZ2luX2VjEHoaCXVz");
    let canonical = format!("host:x\nx-amz-security-token:{token}\n{secret}");
    let echo = |action: &str, code: &str, message: &str| fault(action, 400, code, message);
    for (code, status) in [("InvalidAction", Some(0)), ("SignatureDoesNotMatch", Some(0))] {
        let faults = vec![
            echo("ec2:DescribeVpcs", code, &format!("The Canonical String is {token} {canonical}")),
            echo("ec2:DescribeSubnets", code, &format!("Authorization: AWS4-HMAC-SHA256 Credential=x {secret}")),
        ];
        let house = House::new(AwsApi { faults, ..AwsApi::default() });
        let home = tempfile::tempdir().unwrap();
        let mut command = house.command(home.path(), &["-v"]);
        command.env("AWS_SECRET_ACCESS_KEY", secret).env("AWS_SESSION_TOKEN", token);
        let output = command.output().unwrap();
        let (stdout, stderr) = told(&output);
        assert_eq!(output.status.code(), status, "{stderr}");
        let manifest = std::fs::read_to_string(home.path().join("facts/prod/manifest.json")).unwrap();
        for text in [stdout, stderr, manifest] {
            assert!(text.contains(code), "{text}");
            for part in [secret, token, "x-amz-security-token", "AWS4-HMAC"] {
                assert!(!text.contains(part), "{text}");
            }
        }
    }
}

/// A server that gives everybody the same answer, then closes.
pub(crate) fn answerer(head: &str, body: &str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = listener.local_addr().unwrap();
    let answer = format!("{head}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, answer) = (stream.unwrap(), answer.clone());
            std::thread::spawn(move || {
                let _ = stream.read(&mut [0; 8_192]);
                let _ = stream.write_all(answer.as_bytes());
                let _ = stream.shutdown(Shutdown::Write);
                // What is not read would make the system reset the connection, and the answer with it.
                let _ = stream.read_to_end(&mut Vec::new());
            });
        }
    });
    server
}

/// The built binary, asked to pull from there.
fn command(server: SocketAddr, folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubereach"));
    let endpoint = format!("http://{server}");
    command.args(["facts", "pull", "eks", "--name", "prod", "--region", "eu-west-1", "--endpoint-url", &endpoint]);
    command.current_dir(folder);
    command
}

fn nothing_but_the_policy_is_asked() {
    let house = House::new(AwsApi::default());
    house.pull().unwrap();
    let asked: BTreeSet<String> = house
        .requests()
        .iter()
        .map(|asked| format!("{}:{}", asked["service"].as_str().unwrap(), asked["operation"].as_str().unwrap()))
        .collect();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/eks-iam-policy.json");
    let policy: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let granted: BTreeSet<String> = policy["Statement"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|statement| statement["Action"].as_array().unwrap())
        .map(|action| action.as_str().unwrap().to_owned())
        .collect();
    assert_eq!(asked, granted);
    assert_eq!(asked, Action::ALL.iter().map(|action| action.permission()).collect());
}

/// The longest chain is two calls: a list, then what its items are asked for.
fn calls_run_at_the_same_time() {
    let house = House::new(AwsApi { latency_ms: 100, ..AwsApi::default() });
    let pull = || house.pull().map(drop).unwrap();
    assert_at_the_same_time(house.server, "calls", 2, pull, |calls| assert_eq!(calls, CALLS));
}

/// Asserts that a pull takes hardly longer than its longest chain of calls, to a server that takes 100 ms for each.
///
/// The best of some pulls counts: what else this machine does is no part of the figure. Nor, in a build that is not
/// optimised, is the time that the processor spends in it.
pub(crate) fn assert_at_the_same_time(
    server: SocketAddr,
    word: &str,
    longest_allowed: u32,
    pull: impl Fn(),
    count: impl Fn(usize),
) {
    let chain = Duration::from_millis(100) * longest_allowed;
    let (mut best, mut told, mut before) = (f64::INFINITY, String::new(), 0);
    for _ in 0..MOST_TRIES {
        let (begun, busy) = (Instant::now(), processor_time());
        pull();
        let (wall, busy) = (begun.elapsed(), processor_time().saturating_sub(busy));
        let requests = requests(server).split_off(before);
        before += requests.len();
        count(requests.len());
        let longest = longest_chain(&requests);
        let counted = if cfg!(debug_assertions) { wall.saturating_sub(busy) } else { wall };
        let ratio = counted.as_secs_f64() / chain.as_secs_f64();
        // A chain that is too long is no matter of the processor.
        let judged = if longest > longest_allowed as usize { f64::INFINITY } else { ratio };
        if judged < best {
            best = judged;
            told = format!(
                "{} {word} of 100 ms, at most {longest} in a row, in {} ms: {:.2} × the longest chain; {} ms of it on the \
                 processor",
                requests.len(),
                wall.as_millis(),
                wall.as_secs_f64() / chain.as_secs_f64(),
                busy.as_millis(),
            );
        }
        if best <= MOST_OF_THE_CHAIN {
            break;
        }
    }
    println!("provider: {told}");
    assert!(best <= MOST_OF_THE_CHAIN, "{best:.2} × the longest chain, {MOST_OF_THE_CHAIN} were allowed: {told}");
}

/// How many requests came one after the other: each after the answer to the one before it.
fn longest_chain(requests: &[Value]) -> usize {
    let time = |request: &Value, name: &str| request[name].as_f64().unwrap();
    let mut by_answer: Vec<(f64, f64)> =
        requests.iter().map(|request| (time(request, "answered"), time(request, "arrived"))).collect();
    by_answer.sort_by(|left, right| left.0.total_cmp(&right.0));
    let (mut length, mut last) = (0, f64::NEG_INFINITY);
    for (answered, arrived) in by_answer {
        if arrived >= last {
            (length, last) = (length + 1, answered);
        }
    }
    length
}

/// What this process has had of the processors so far.
fn processor_time() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
    let micros = |time: TimeVal| u64::try_from(time.num_microseconds()).unwrap();
    Duration::from_micros(micros(usage.user_time()) + micros(usage.system_time()))
}

fn the_command_writes_and_tells() {
    let denied = fault("ec2:DescribeNetworkAcls", 403, "UnauthorizedOperation", "no");
    let house = House::new(AwsApi { faults: vec![denied], ..AwsApi::default() });
    let home = tempfile::tempdir().unwrap();
    let run = |verbose: &[&str]| house.command(home.path(), verbose).output().unwrap();
    let output = run(&["-v"]);
    let text = told(&output);
    assert_eq!(output.status.code(), Some(0), "{text:?}");
    assert!(text.0.starts_with("EKS cluster prod in eu-west-1, account 123456789012\n"), "{}", text.0);
    assert!(text.0.contains("ec2:DescribeNetworkAcls  what the network ACLs let through"), "{}", text.0);
    assert!(text.1.contains("ec2:DescribeVpcs: 2 found\n"), "{}", text.1);
    assert_eq!(text.1.lines().count(), Action::ALL.len(), "{}", text.1);
    let first = files(&home.path().join("facts/prod"));
    assert_eq!(first.len(), documents::files().len());
    let again = told(&run(&[]));
    assert!(again.0.contains("unchanged since the last pull") && again.1.is_empty(), "{again:?}");
    assert_eq!(files(&home.path().join("facts/prod")), first);
    // A folder of somebody else's is refused before anything is asked.
    let asked = house.requests().len();
    std::fs::write(home.path().join("thesis.tex"), "x").unwrap();
    let refused = run(&["--out", "."]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(told(&refused).1.contains("no pull made it") && told(&refused).0.is_empty());
    assert_eq!(house.requests().len(), asked);
}

fn the_command_tells_what_it_lacks() {
    let house = House::new(AwsApi::default());
    let home = tempfile::tempdir().unwrap();
    let mut command = house.command(home.path(), &[]);
    let output = command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY").output().unwrap();
    let (stdout, stderr) = told(&output);
    assert_eq!((output.status.code(), stdout.as_str()), (Some(2), ""));
    assert!(stderr.starts_with("error: no AWS credentials: ") && stderr.contains("aws sso login"), "{stderr}");
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubereach"));
    let output = command.args(["facts", "pull", "eks", "--name", "prod"]).current_dir(home.path()).output().unwrap();
    let (stdout, stderr) = told(&output);
    assert_eq!((output.status.code(), stdout.as_str()), (Some(2), ""));
    assert_eq!(stderr, "error: no region is given or configured\n  help: give --region, or set AWS_REGION\n");
    assert!(std::fs::read_dir(home.path()).unwrap().next().is_none(), "something was written");
}

/// A server and what is needed to ask it.
struct House {
    runtime: Runtime,
    server: SocketAddr,
    _running: Running,
}

impl House {
    fn new(api: AwsApi) -> Self {
        let runtime = Runtime::new().unwrap();
        let api = AwsApi { listen: vec!["127.0.0.1:0".parse().unwrap()], documents: documents::region(), ..api };
        let running = runtime.block_on(serve(&BTreeMap::new(), &[ServerSpec::Aws(api)])).unwrap();
        Self { server: running.addresses()[0], runtime, _running: running }
    }

    fn request(&self) -> EksRequest {
        EksRequest {
            name: "prod".to_owned(),
            region: Some("eu-west-1".to_owned()),
            profile: None,
            endpoint_url: Some(format!("http://{}", self.server)),
        }
    }

    fn pull(&self) -> Result<Pulled, PullError> {
        self.runtime.block_on(pull(&self.request(), drop))
    }

    /// What the server was asked so far.
    fn requests(&self) -> Vec<Value> {
        requests(self.server)
    }

    /// The built binary, asked to pull.
    fn command(&self, folder: &Path, more: &[&str]) -> Command {
        let mut command = command(self.server, folder);
        command.args(more);
        command
    }
}

/// What a server was asked so far.
pub(crate) fn requests(server: SocketAddr) -> Vec<Value> {
    let mut stream = TcpStream::connect(server).unwrap();
    stream.write_all(b"GET /requests HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (_, body) = text.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(body).unwrap()
}

fn fault(action: &str, status: u16, code: &str, message: &str) -> AwsFault {
    let (action, code, message) = (action.to_owned(), code.to_owned(), message.to_owned());
    AwsFault { action, times: None, status, code, message }
}

/// Every document that the server has came through, but for secrets and the order of lists.
fn assert_same(pulled: &Pulled) {
    assert_holds(pulled, documents::region());
}

/// These documents came through, but for secrets and the order of lists.
pub(crate) fn assert_holds(pulled: &Pulled, expected: BTreeMap<String, Value>) {
    let mut faults = Vec::new();
    for (path, document) in expected {
        let found = pulled.documents.get(&path).unwrap_or_else(|| panic!("{path} is missing"));
        faults.extend(differences(&document, found).iter().map(|fault| format!("{path}{fault}")));
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

pub(crate) fn told(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

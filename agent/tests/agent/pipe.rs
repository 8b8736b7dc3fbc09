//! The built agent at the other end of a pipe.

use std::{
    collections::BTreeSet,
    process::Stdio,
    time::{Duration, Instant},
};

use kubereach_agent::{Hello, MessageError, Order, Refusal, Reply, order as wire, pack_order, unpack_reply};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

use crate::{Silent, observed, order, refused};

const SOON: Duration = Duration::from_secs(5);

struct Agent {
    child: Child,
    input: Option<ChildStdin>,
    output: Option<Lines<BufReader<ChildStdout>>>,
}

impl Agent {
    /// Started, its hello read.
    async fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_kubereach-agent"))
            .arg("--stdio")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let input = child.stdin.take();
        let output = child.stdout.take().map(|output| BufReader::new(output).lines());
        let mut agent = Self { child, input, output };
        let hello: Hello = wire::read(agent.line().await.as_bytes(), 1_000).unwrap();
        assert_eq!(hello, Hello::ours());
        agent
    }

    async fn line(&mut self) -> String {
        timeout(SOON, self.output.as_mut().unwrap().next_line()).await.unwrap().unwrap().unwrap()
    }

    async fn reply(&mut self) -> Reply {
        let line = self.line().await;
        wire::read(line.as_bytes(), wire::MAXIMUM_REPLY_BYTES).unwrap()
    }

    async fn send(&mut self, order: &Order) {
        self.send_bytes(&[wire::write(order), b"\n".to_vec()].concat()).await;
    }

    async fn send_bytes(&mut self, bytes: &[u8]) {
        self.input.as_mut().unwrap().write_all(bytes).await.unwrap();
    }

    async fn ends(&mut self) -> bool {
        timeout(SOON, self.child.wait()).await.unwrap().unwrap().success()
    }

    /// The most memory that it had resident, in KiB.
    fn peak(&self) -> u64 {
        status_of(self.child.id().unwrap(), "VmHWM")
    }
}

/// A figure of `/proc/PID/status`, in KiB.
pub(crate) fn status_of(process: u32, key: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).unwrap();
    line.trim().trim_end_matches("kB").trim().parse().unwrap()
}

#[tokio::test]
async fn orders_in_replies_out_then_the_end() {
    let silent = Silent::start([127, 0, 0, 1], 0).await;
    let port = silent.address.port();
    let mut agent = Agent::start(&["--allow-cidr", "127.0.0.0/8", "--allow-port", &format!("443,{port}")]).await;
    // A slow one does not hold the others up.
    agent.send(&order("slow", "127.0.0.1", port)).await;
    agent.send_bytes(b"\n  \nno order\n").await;
    for number in 0..20 {
        agent.send(&order(&format!("o-{number}"), "127.0.0.1", 443)).await;
    }
    let mut ids = BTreeSet::new();
    for _ in 0..21 {
        let reply = agent.reply().await;
        if reply.id.is_empty() {
            assert_eq!(refused(&reply).0, Refusal::Malformed);
        } else {
            assert_eq!(observed(&reply).attempts.len(), 1);
        }
        assert!(ids.insert(reply.id));
    }
    assert!(!ids.contains("slow"));
    // The end of the orders lets those under way end.
    drop(agent.input.take());
    let last = agent.reply().await;
    assert_eq!((last.id.as_str(), observed(&last).attempts.len()), ("slow", 1));
    assert!(agent.output.as_mut().unwrap().next_line().await.unwrap().is_none());
    assert!(agent.ends().await);
}

#[tokio::test]
async fn nobody_who_reads_ends_everything() {
    let silent = Silent::start([127, 0, 0, 1], 0).await;
    let port = silent.address.port();
    let mut agent = Agent::start(&["--allow-cidr", "127.0.0.0/8", "--allow-port", &port.to_string()]).await;
    let mut order = order("slow", "127.0.0.1", port);
    order.probe.connect_timeout_ms = 15_000;
    agent.send(&order).await;
    while silent.came() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let began = Instant::now();
    drop(agent.output.take());
    assert!(agent.ends().await);
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
}

#[tokio::test]
async fn an_endless_line_is_refused_and_not_kept() {
    let mut agent = Agent::start(&["--allow-cidr", "127.0.0.0/8"]).await;
    let before = agent.peak();
    let part = vec![b'{'; 1 << 20];
    for _ in 0..64 {
        agent.send_bytes(&part).await;
    }
    agent.send_bytes(b"\n").await;
    agent.send(&order("after", "127.0.0.1", 443)).await;
    let mut replies = [agent.reply().await, agent.reply().await];
    replies.sort_by(|one, other| one.id.cmp(&other.id));
    let (reason, detail) = refused(&replies[0]);
    assert!(reason == Refusal::Malformed && detail.contains("67108864 bytes"), "{detail}");
    assert_eq!(observed(&replies[1]).attempts.len(), 1);
    let grown = agent.peak() - before;
    assert!(grown < 16 * 1024, "{grown} KiB");
}

#[tokio::test]
async fn once_reads_one_order_and_prints_one_line() {
    let once = async |order: Option<String>, arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubereach-agent"));
        command.arg("--once").args(arguments).env_remove("KUBEREACH_ORDER").stdin(Stdio::null());
        command.envs(order.map(|order| ("KUBEREACH_ORDER", order)));
        timeout(SOON, command.output()).await.unwrap().unwrap()
    };
    let good = order("o-1", "127.0.0.1", 443);
    let plain = base64(&wire::write(&good));
    for packed in [pack_order(&good), plain] {
        let output = once(Some(packed), &["--allow-cidr", "127.0.0.0/8"]).await;
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && text.ends_with('\n') && text.lines().count() == 1 && text.len() <= 24_000);
        let reply = unpack_reply(&text).unwrap();
        assert_eq!((reply.id.as_str(), observed(&reply).attempts.len()), ("o-1", 1));
    }
    for (packed, word) in [("", "inflated"), ("####", "base64"), ("eJw=", "inflated"), ("e30=", "protocol")] {
        let output = once(Some(packed.to_owned()), &[]).await;
        let reply = unpack_reply(&String::from_utf8(output.stdout).unwrap());
        let reply = reply.unwrap_or_else(|error: MessageError| panic!("{packed}: {error}"));
        assert!(refused(&reply).1.contains(word), "{packed}: {reply:?}");
    }
    let output = once(None, &[]).await;
    assert!(output.status.code() == Some(2) && output.stdout.is_empty());
    assert!(String::from_utf8_lossy(&output.stderr).contains("KUBEREACH_ORDER"));
}

#[tokio::test]
async fn one_way_of_taking_orders_is_named() {
    for arguments in
        [&[][..], &["--stdio", "--once"], &["--stdio", "--allow-cidr", "10.0.0.1/8"], &["--stdio", "--rate", "0"]]
    {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubereach-agent"));
        let output = timeout(SOON, command.args(arguments).stdin(Stdio::null()).output()).await.unwrap().unwrap();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{arguments:?}");
    }
}

#[tokio::test]
async fn a_variable_is_no_way_that_somebody_chose_and_keys_may_end_with_a_line() {
    let ran = async |variables: &[(&str, &str)], arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubereach-agent"));
        command.args(arguments).envs(variables.iter().copied()).stdin(Stdio::null());
        let output = timeout(SOON, command.output()).await.unwrap().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).display().to_string();
    let nats = ("KUBEREACH_AGENT_NATS", "tls://nats.example:4222");
    assert_eq!(ran(&[nats], &["--stdio"]).await, (Some(0), String::new()));
    assert_eq!(ran(&[nats], &["--make-key", &file("key.nk")]).await, (Some(0), String::new()));
    // What is typed is a choice, and there is one of it.
    let (status, told) = ran(&[], &["--stdio", "--nats", nats.1]).await;
    assert!(status == Some(2) && told.contains("cannot be used with"), "{told}");
    let seed = nkeys::KeyPair::new_user().seed().unwrap();
    let public = format!("{}\n", nkeys::KeyPair::new_user().public_key());
    let (identity, controller) = (file("identity.nk"), "KUBEREACH_AGENT_CONTROLLER_KEY");
    let whole = ["--name", "a", "--identity", identity.as_str(), "--user-key", "/none"];
    for (variables, arguments, word) in [
        (&[nats][..], &[][..], "`--name NAME`"),
        (&[nats], &["--name", "a"], "`--controller-key U…`"),
        (&[nats, (controller, &public)], &["--name", "a"], "`--identity FILE`"),
        (&[("KUBEREACH_AGENT_NATS", "nats://nats.example")], &[], "TLS"),
        // The end of the line is no part of the key: what is wrong is the file that comes next.
        (&[nats, (controller, &public)], &whole, "/none"),
        (&[nats, (controller, &seed)], &whole, "secret seed"),
        (&[], &["--stdio", "--allow-port", "https"], "a port from 1 to 65535"),
        (&[], &["--stdio", "--allow-port", "0"], "a port from 1 to 65535"),
    ] {
        let (status, told) = ran(variables, arguments).await;
        assert!(status == Some(2) && told.contains(word), "{word}: {told}");
        assert!(!told.contains(&seed), "{told}");
    }
}

fn base64(bytes: &[u8]) -> String {
    base64::Engine::encode(&base64::engine::general_purpose::STANDARD, bytes)
}

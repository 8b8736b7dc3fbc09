use std::{
    collections::BTreeSet,
    fs,
    future::Future,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::*;
use crate::watch::{
    alerts::{
        deliver::{Desk, Outbox, Pace, Task, run},
        post::Post,
    },
    metrics::Metrics,
    store::StoreError,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_that_fails_in_every_way_gets_all_of_it() {
    use Answer::{Hang, Huge, Ok, Redirect, Refuse, Status};
    let hook = Hook::start(&[Status(500), Hang, Refuse, Redirect, Status(403), Ok, Huge]).await;
    let config = config(vec![hook.receiver("hook")], vec![]);
    let world = World::start(config, vec![alert("hook", 2, None), alert("hook", 1, None)]);
    world.until(|stored| stored.iter().all(|alert| alert.delivered)).await;
    // The next has an answer that is far too long, and has arrived all the same.
    world.store(alert("hook", 3, Some(at(40))));
    world.until(|stored| stored.len() == 2).await;
    let notices = world.end().await;
    let requests = hook.requests();
    assert_eq!(requests.len(), 7);
    let first = &requests[0];
    for request in &requests[..6] {
        assert_eq!(request.body, first.body);
        assert_eq!(request.header("idempotency-key"), first.header("idempotency-key"));
        let signature = request.header("x-kubereach-signature");
        let seconds = signature.strip_prefix("t=").unwrap().split(',').next().unwrap().parse().unwrap();
        assert_eq!(signature, webhook::signature(&SecretString::from(SECRET), seconds, &request.body));
    }
    assert_ne!(requests[6].header("idempotency-key"), first.header("idempotency-key"));
    let body: serde_json::Value = serde_json::from_slice(&first.body).unwrap();
    let names: Vec<_> = body["alerts"].as_array().unwrap().iter().map(|alert| &alert["labels"]["cluster"]).collect();
    assert_eq!(names, ["cluster-1", "cluster-2"]);
    assert!(first.path.ends_with("/secret-path"));
    let text = notices.join("\n");
    assert!(text.contains("alert receiver hook: was not told of 2 alerts: it answers 500"), "{text}");
    assert!(text.contains("redirects are not followed"), "{text}");
    assert!(text.contains("is told again, after 5 failed attempts"), "{text}");
    assert!(!text.contains("secret-path") && !text.contains(SECRET) && !text.contains("127.0.0.1"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_incident_that_ended_meanwhile_is_told_with_both_times() {
    let hook = Hook::start(&[Answer::Status(503)]).await;
    let world = World::start(config(vec![hook.receiver("hook")], vec![]), vec![]);
    // Begun and ended in the history, before anything could be sent.
    world.store(alert("hook", 5, Some(at(30))));
    world.until(<[Alert]>::is_empty).await;
    world.end().await;
    let body: serde_json::Value = serde_json::from_slice(&hook.requests().last().unwrap().body).unwrap();
    assert_eq!(body["status"], "resolved");
    assert_eq!(body["alerts"][0]["startsAt"], at(5).to_string());
    assert_eq!(body["alerts"][0]["endsAt"], at(30).to_string());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_lasts_is_sent_again_and_its_end_follows() {
    let hook = Hook::start(&[]).await;
    let world = World::start(config(vec![hook.receiver("hook")], vec![]), vec![]);
    world.store(Alert { repeat_seconds: 1, ..alert("hook", 1, None) });
    let begun = Instant::now();
    hook.until(2).await;
    assert!(begun.elapsed() > Duration::from_millis(900), "{:?}", begun.elapsed());
    world.store(alert("hook", 1, Some(at(90))));
    world.until(<[Alert]>::is_empty).await;
    world.end().await;
    let keys: BTreeSet<String> = hook.requests().iter().map(|request| request.header("idempotency-key")).collect();
    assert_eq!(keys.len(), hook.requests().len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn receivers_do_not_hold_each_other_up_and_one_bad_alert_not_the_others() {
    let hanging = Hook::start(&[Answer::Hang; 50]).await;
    let picky = Hook::start(&[]).await;
    let receivers = vec![hanging.receiver("hanging"), picky.receiver("picky"), command("false", &["false"])];
    let mut alerts: Vec<Alert> = (1..=300).map(|number| alert("hanging", number, None)).collect();
    alerts.extend((1..=3).map(|number| alert("picky", number, None)));
    alerts[301].annotations.insert("summary".to_owned(), POISON.to_owned());
    alerts.push(alert("false", 1, None));
    alerts.push(alert("unknown", 1, Some(at(9))));
    let world = World::start(config(receivers, vec![]), alerts);
    let begun = Instant::now();
    world
        .until(|stored| {
            let delivered = stored.iter().filter(|alert| alert.receiver == "picky" && alert.delivered).count();
            delivered == 2 && !stored.iter().any(|alert| alert.receiver == "unknown")
        })
        .await;
    assert!(begun.elapsed() < Duration::from_millis(900), "the hanging one does not hold it up");
    // The end of the watch is bounded, too.
    let stopping = Instant::now();
    let notices = world.end().await.join("\n");
    assert!(stopping.elapsed() < Duration::from_secs(3), "{:?}", stopping.elapsed());
    assert!(notices.contains("alert receiver picky: does not take an alert on cluster-2: it answers 400"), "{notices}");
    assert!(notices.contains("alert receiver false: was not told of 1 alert: it ended with 1"), "{notices}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_the_end_what_is_due_is_tried_once_more() {
    let hook = Hook::start(&[]).await;
    let world = World::start(config(vec![hook.receiver("hook")], vec![]), vec![]);
    sleep(Duration::from_millis(100)).await;
    // In one breath: the loop has no time to find it before it is stopped.
    world.store(alert("hook", 1, None));
    world.end().await;
    assert_eq!(hook.requests().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_that_ends_at_once_tells_all_the_same() {
    let hook = Hook::start(&[]).await;
    let receivers = vec![hook.receiver("hook"), command("false", &["false"])];
    let mut alerts: Vec<Alert> = (1..=250).map(|number| alert("hook", number, None)).collect();
    alerts.push(alert("false", 1, None));
    let world = World::started(config(receivers, vec![]), alerts, true);
    let outbox = Arc::clone(&world.outbox);
    world.end().await;
    assert_eq!(hook.requests().len(), 3);
    let stored = outbox.alerts.lock().unwrap();
    assert!(stored.iter().all(|alert| alert.delivered == (alert.receiver == "hook")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_holder_of_the_lease_sends() {
    let hook = Hook::start(&[]).await;
    let world = World::start(config(vec![hook.receiver("hook")], vec![]), vec![]);
    world.outbox.leased.store(false, Ordering::Relaxed);
    sleep(Duration::from_millis(200)).await;
    world.store(alert("hook", 1, None));
    sleep(Duration::from_millis(200)).await;
    assert_eq!(hook.requests().len(), 0);
    world.outbox.leased.store(true, Ordering::Relaxed);
    hook.until(1).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_gets_json_and_variables_and_is_killed_with_its_children() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let told = format!("cat > {}; env > {}; echo \"$0\" > {}", path("json"), path("env"), path("zero"));
    let hang = format!("sleep 300 & echo $! > {}; yes | head -c 10000000; wait", path("child"));
    let loud = "printf '\\033[31mno \\nsecond' >&2; exit 3";
    let receivers = vec![
        command("told", &["sh", "-c", &told, "$HOME; `reboot`"]),
        command("hang", &["sh", "-c", &hang]),
        command("loud", &["sh", "-c", loud]),
        command("absent", &["/nonexistent/program"]),
        command("deaf", &["true"]),
        command("background", &["sh", "-c", "sleep 2 & exit 0"]),
    ];
    let names = receivers.iter().map(|receiver| alert(&receiver.name, 1, None)).collect();
    let world = World::start(config(receivers, vec![]), names);
    world
        .until(|stored| {
            let good = ["told", "deaf", "background"];
            let delivered = |name: &str| stored.iter().any(|alert| alert.receiver == name && alert.delivered);
            good.iter().all(|name| delivered(name))
                && stored.iter().any(|alert| alert.receiver == "hang" && alert.attempts > 0)
        })
        .await;
    let notices = world.end().await.join("\n");
    let body: serde_json::Value = serde_json::from_slice(&fs::read(path("json")).unwrap()).unwrap();
    assert_eq!(body["alerts"][0]["labels"]["cluster"], "cluster-1");
    let variables = fs::read_to_string(path("env")).unwrap();
    for line in
        ["KUBEREACH_STATUS=firing", "KUBEREACH_CLUSTER=cluster-1", "KUBEREACH_ALERTS=1", "KUBEREACH_RECEIVER=told"]
    {
        assert!(variables.lines().any(|have| have == line), "{line} in {variables}");
    }
    // Cargo gives this process many more.
    assert!(std::env::var_os("CARGO_PKG_NAME").is_some());
    let given = ["PATH", "HOME", "LANG", "TZ", "TMPDIR", "USER", "PWD", "OLDPWD", "SHLVL", "_"];
    let known = |name: &str| {
        ["KUBEREACH_", "LC_", "SSL_CERT_"].iter().any(|prefix| name.starts_with(prefix))
            || name.to_ascii_lowercase().ends_with("_proxy")
            || given.contains(&name)
    };
    for name in variables.lines().filter_map(|line| Some(line.split_once('=')?.0)) {
        assert!(known(name) && std::env::var_os(name).is_none_or(|_| !name.starts_with("KUBEREACH_")), "{name}");
    }
    assert_eq!(fs::read_to_string(path("zero")).unwrap(), "$HOME; `reboot`\n");
    let child = fs::read_to_string(path("child")).unwrap();
    let begun = Instant::now();
    let lives = |status: String| !status.contains("State:\tZ");
    while fs::read_to_string(format!("/proc/{}/status", child.trim())).is_ok_and(lives) {
        assert!(begun.elapsed() < Duration::from_secs(5), "the child lives on");
        sleep(Duration::from_millis(10)).await;
    }
    assert!(notices.contains("loud: was not told of 1 alert: it ended with 3: \\x1b[31mno"), "{notices}");
    assert!(!notices.contains("second"), "{notices}");
    assert!(notices.contains("hang: was not told of 1 alert: it did not end in time and was killed"), "{notices}");
    assert!(notices.contains("absent: was not told of 1 alert: it cannot be started"), "{notices}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_nobody_vouches_for_is_not_taken() {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    let tls = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            rustls::pki_types::PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        )
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(tls));
        while let Ok((stream, _)) = listener.accept().await {
            let _ = acceptor.accept(stream).await;
        }
    });
    let url = SecretString::from(format!("https://localhost:{port}/secret-path"));
    let receivers = vec![receiver("hook", ReceiverKind::Webhook { url, secret: None })];
    let world = World::start(config(receivers, vec![]), vec![alert("hook", 1, None)]);
    world.until(|stored| stored[0].attempts > 0).await;
    let notices = world.end().await.join("\n");
    server.abort();
    assert!(notices.contains("no verified TLS connection can be made with it"), "{notices}");
    assert!(!notices.contains("localhost"), "{notices}");
}

#[test]
fn waits_double_up_to_a_minute() {
    let pace = Pace::default();
    let waits: Vec<u64> = (1..=9).map(|attempts| pace.wait(attempts).as_secs()).collect();
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    assert_eq!(pace.wait(u32::MAX), Duration::from_mins(1));
}

/// Alerts in memory, with the promises of the history.
#[derive(Default)]
pub(super) struct Memory {
    alerts: Mutex<Vec<Alert>>,
    leased: AtomicBool,
    /// What fails.
    pub(super) failing: Mutex<Vec<Task>>,
}

impl Memory {
    fn can(&self, task: Task) -> Result<(), StoreError> {
        if self.failing.lock().unwrap().contains(&task) {
            return Err(StoreError::Unavailable { operation: "trying", message: format!("no {task:?}") });
        }
        Ok(())
    }
}

impl Outbox for Arc<Memory> {
    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<Alert>, StoreError> {
        self.can(Task::Look)?;
        let mut due: Vec<Alert> =
            self.alerts.lock().unwrap().iter().filter(|alert| alert.next_at <= now).cloned().collect();
        due.sort_by(|one, other| (&one.receiver, one.starts_at).cmp(&(&other.receiver, other.starts_at)));
        due.truncate(limit);
        Ok(due)
    }

    async fn known(&self, receiver: &str) -> Result<Vec<Alert>, StoreError> {
        Ok(self.alerts.lock().unwrap().iter().filter(|alert| alert.receiver == receiver).cloned().collect())
    }

    async fn sent(&self, sent: &[Alert]) -> Result<(), StoreError> {
        self.can(Task::Write)?;
        let mut alerts = self.alerts.lock().unwrap();
        for one in sent {
            let same = |alert: &Alert| {
                (&alert.receiver, alert.cell, alert.starts_at) == (&one.receiver, one.cell, one.starts_at)
                    && (alert.ends_at, &alert.annotations) == (one.ends_at, &one.annotations)
            };
            if one.ends_at.is_some() && one.delivered {
                alerts.retain(|alert| !same(alert));
            } else if let Some(alert) = alerts.iter_mut().find(|alert| same(alert)) {
                (alert.next_at, alert.attempts, alert.delivered) = (one.next_at, one.attempts, one.delivered);
            }
        }
        Ok(())
    }

    fn lease(&self, _lasts: Duration) -> impl Future<Output = Result<bool, StoreError>> + Send {
        let can = self.can(Task::Lease);
        std::future::ready(can.map(|()| self.leased.load(Ordering::Relaxed)))
    }

    fn release(&self) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }
}

/// A delivery that runs.
pub(super) struct World {
    pub(super) outbox: Arc<Memory>,
    stop: watch::Sender<bool>,
    notices: mpsc::UnboundedReceiver<String>,
    running: JoinHandle<()>,
}

impl World {
    pub(super) fn start(config: WatchConfig, alerts: Vec<Alert>) -> Self {
        Self::started(config, alerts, false)
    }

    pub(super) fn started(config: WatchConfig, alerts: Vec<Alert>, stop_at_once: bool) -> Self {
        let outbox =
            Arc::new(Memory { alerts: Mutex::new(alerts), leased: AtomicBool::new(true), ..Memory::default() });
        let (stop, stopped) = watch::channel(stop_at_once);
        let (notices, said) = mpsc::unbounded_channel();
        let desk = Desk {
            outbox: Arc::clone(&outbox),
            metrics: Arc::new(Metrics::new(&config)),
            config: watch::channel(Arc::new(config)).1,
            notices,
            post: Post::default(),
            pace: Pace {
                poll: Duration::from_millis(20),
                lease: Duration::from_millis(100),
                first_wait: Duration::from_millis(30),
                longest_wait: Duration::from_millis(200),
                last_try: Duration::from_secs(2),
            },
            leading: AtomicBool::new(false),
            once: stop_at_once,
        };
        Self { outbox, stop, notices: said, running: tokio::spawn(run(desk, stopped)) }
    }

    /// Stores an alert as the history does: by receiver, cell and begin.
    pub(super) fn store(&self, alert: Alert) {
        let mut alerts = self.outbox.alerts.lock().unwrap();
        alerts.retain(|other| {
            (&other.receiver, other.cell, other.starts_at) != (&alert.receiver, alert.cell, alert.starts_at)
        });
        alerts.push(alert);
    }

    pub(super) async fn until(&self, holds: impl Fn(&[Alert]) -> bool) {
        let begun = Instant::now();
        while !holds(&self.outbox.alerts.lock().unwrap()) {
            assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", self.outbox.alerts.lock().unwrap());
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// What was said.
    pub(super) async fn end(mut self) -> Vec<String> {
        self.stop.send_replace(true);
        timeout(Duration::from_secs(20), self.running).await.unwrap().unwrap();
        let mut said = Vec::new();
        while let Some(line) = self.notices.recv().await {
            said.push(line);
        }
        said
    }
}

#[derive(Clone, Copy)]
pub(super) enum Answer {
    Ok,
    Status(u16),
    Hang,
    /// Closes the connection.
    Refuse,
    Redirect,
    Huge,
}

pub(super) struct Request {
    path: String,
    head: String,
    pub(super) body: Vec<u8>,
}

impl Request {
    pub(super) fn header(&self, name: &str) -> String {
        let line = self.head.lines().find(|line| line.to_lowercase().starts_with(&format!("{name}:")));
        line.and_then(|line| line.split_once(": ")).unwrap().1.trim().to_owned()
    }
}

/// A receiver that answers as told, and well when it was told nothing more.
pub(super) struct Hook {
    pub(super) port: u16,
    requests: Arc<Mutex<Vec<Request>>>,
    server: JoinHandle<()>,
}

impl Hook {
    pub(super) async fn start(answers: &[Answer]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests: Arc<Mutex<Vec<Request>>> = Arc::default();
        let answers = answers.to_vec();
        let seen = Arc::clone(&requests);
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, Arc::clone(&seen), answers.clone()));
            }
        });
        Self { port, requests, server }
    }

    pub(super) fn receiver(&self, name: &str) -> Receiver {
        let url = SecretString::from(format!("http://127.0.0.1:{}/secret-path", self.port));
        receiver(name, ReceiverKind::Webhook { url, secret: Some(SecretString::from(SECRET)) })
    }

    pub(super) fn requests(&self) -> std::sync::MutexGuard<'_, Vec<Request>> {
        self.requests.lock().unwrap()
    }

    pub(super) async fn until(&self, count: usize) {
        let begun = Instant::now();
        while self.requests().len() < count {
            assert!(begun.elapsed() < Duration::from_secs(20));
            sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Hook {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// One request a connection.
async fn answer(mut stream: TcpStream, seen: Arc<Mutex<Vec<Request>>>, answers: Vec<Answer>) {
    let mut bytes = Vec::new();
    let head = loop {
        let mut buffer = [0; 4_096];
        let read = stream.read(&mut buffer).await.unwrap_or_default();
        if read == 0 {
            return;
        }
        bytes.extend_from_slice(&buffer[..read]);
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break String::from_utf8(bytes.drain(..end + 4).collect()).unwrap();
        }
    };
    let path = head.split(' ').nth(1).unwrap().to_owned();
    let mut request = Request { path, head, body: Vec::new() };
    let length: usize = request.header("content-length").parse().unwrap();
    while bytes.len() < length {
        let mut buffer = [0; 4_096];
        let read = stream.read(&mut buffer).await.unwrap();
        bytes.extend_from_slice(&buffer[..read]);
    }
    request.body = bytes;
    let poisoned = String::from_utf8_lossy(&request.body).contains(POISON);
    let index = {
        let mut seen = seen.lock().unwrap();
        seen.push(request);
        seen.len() - 1
    };
    let reply = match answers.get(index).copied().unwrap_or(Answer::Ok) {
        _ if poisoned => "HTTP/1.1 400 Bad\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned(),
        Answer::Ok => "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok".to_owned(),
        Answer::Status(status) => format!("HTTP/1.1 {status} No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"),
        Answer::Redirect => {
            "HTTP/1.1 307 Elsewhere\r\nlocation: /elsewhere\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                .to_owned()
        }
        Answer::Hang => return sleep(Duration::from_mins(1)).await,
        Answer::Refuse => return,
        Answer::Huge => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
            let much = vec![b'x'; 65_536];
            while stream.write_all(&much).await.is_ok() {}
            return;
        }
    };
    let _ = stream.write_all(reply.as_bytes()).await;
}

const SECRET: &str = "shared-secret";

/// What the receivers of these tests do not take.
const POISON: &str = "poison";

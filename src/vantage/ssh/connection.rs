//! One `ssh` process and the conversation over it: the agent's greeting, then orders out and replies back.
//!
//! Nothing that the host says is believed: lines are bounded, what is no message of ours is passed over, and what is
//! shown of it is cleaned.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    path::Path,
    process::Stdio,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use kubereach_agent::{
    Hello, MessageError, Order, PROTOCOL, Reply,
    order::{self, MAXIMUM_REPLY_BYTES},
};
use serde::Deserialize;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command},
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use super::{
    binary,
    config::ClientConfig,
    remote::{self, Failure, Said},
    words,
};
use crate::{redact, scenario::SshHost};

/// An agent that waits for orders.
pub(super) struct Connection {
    orders: Mutex<Option<mpsc::Sender<Vec<u8>>>>,
    shared: Arc<Shared>,
    reader: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Shared {
    /// Who waits for the reply to which order.
    waiting: Mutex<HashMap<String, oneshot::Sender<Result<Reply, MessageError>>>>,
    /// Why there are no more replies.
    ended: OnceLock<String>,
    closing: AtomicBool,
    /// How many replies came.
    replies: AtomicU64,
    /// When it was closed because nothing came back.
    given_up: OnceLock<Instant>,
}

impl Connection {
    /// Connects and waits for the agent's greeting; sends an agent where there is none.
    ///
    /// # Errors
    /// In words, with what to do about it.
    pub(super) async fn open(
        host: &SshHost,
        allowances: &BTreeSet<String>,
        folder: Arc<Mutex<Option<String>>>,
    ) -> Result<Self, String> {
        let name = host.host.as_str();
        // The scenario's reader refuses these as well; here they would reach a command line.
        let plain = |letter: char| letter.is_ascii_alphanumeric() || "._-@:%+[]/=~,".contains(letter);
        if name.is_empty() || name.starts_with('-') || !name.chars().all(plain) {
            return Err(format!("{name:?} cannot be a host of OpenSSH"));
        }
        if let Some(file) = &host.config
            && let Err(error) = std::fs::File::open(file)
        {
            return Err(format!("the OpenSSH client configuration {} cannot be read: {error}", file.display()));
        }
        let config = ClientConfig::write(host.config.as_deref())
            .map_err(|error| format!("no private folder for the OpenSSH client configuration: {error}"))?;
        let command = remote::command(host, allowances);
        let mut child = spawn(host, &config.file, &command)?;
        let (Some(stdin), Some(stdout), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err("ssh was started without its pipes".to_owned());
        };
        let mut talk = Talk {
            host: name,
            child,
            stdin: Some(stdin),
            sending: None,
            stdout: Lines::new(stdout),
            stderr: Tail::read(stderr),
            config,
            folder,
            agent: None,
            noise: Vec::new(),
        };
        match tokio::time::timeout(LONGEST_GREETING, talk.greeting()).await {
            Ok(Ok(())) => talk.begin().await,
            Ok(Err(reason)) => Err(reason),
            Err(_) => Err(talk.silent()),
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.shared.ended.get().is_none()
    }

    pub(super) fn was_given_up_within(&self, time: Duration) -> bool {
        self.shared.given_up.get().is_some_and(|at| at.elapsed() < time)
    }

    /// Sends an order and waits for its reply. An agent that sends no reply at all in that time is given up: the
    /// connection is closed, and all who wait on it hear the same reason.
    ///
    /// # Errors
    /// In words, when nothing came back in time, or the connection has ended or ends meanwhile.
    pub(super) async fn ask(
        &self,
        host: &str,
        order: &Order,
        longest: Duration,
    ) -> Result<Result<Reply, MessageError>, String> {
        let before = self.shared.replies.load(Ordering::Relaxed);
        if let Ok(carried) = tokio::time::timeout(longest, self.carry(order)).await {
            return carried;
        }
        // One that lasts a few seconds is told in seconds.
        let reason = format!("the agent of {host} did not answer within {} s", longest.as_secs_f64().round());
        if self.shared.replies.load(Ordering::Relaxed) != before {
            return Err(reason);
        }
        let reason = format!("{reason}: the connection was closed");
        self.give_up(&reason).await;
        Err(self.shared.ended.get().cloned().unwrap_or(reason))
    }

    /// Kills the process of ssh, with which the agent ends.
    async fn give_up(&self, reason: &str) {
        let _ = self.shared.given_up.set(Instant::now());
        let _ = self.shared.ended.set(reason.to_owned());
        self.orders.lock().unwrap_or_else(PoisonError::into_inner).take();
        let reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner).clear();
        if let Some(reader) = reader {
            reader.abort();
            let _ = reader.await;
        }
    }

    /// Sends an order and waits for its reply, however long that takes.
    async fn carry(&self, order: &Order) -> Result<Result<Reply, MessageError>, String> {
        let (sender, receiver) = oneshot::channel();
        let _forgotten = Waiting { shared: &self.shared, id: &order.id };
        self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(order.id.clone(), sender);
        let orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut line = order::write(order);
        line.push(b'\n');
        // A writer that is gone shows in the reply that never comes.
        if let Some(orders) = orders {
            let _ = orders.send(line).await;
        }
        if let Some(reason) = self.shared.ended.get() {
            return Err(reason.clone());
        }
        receiver.await.map_err(|_| {
            self.shared.ended.get().cloned().unwrap_or_else(|| "the connection ended without a reply".to_owned())
        })
    }

    /// Ends the agent and the connection: at once where orders are under way, else by saying goodbye.
    pub(super) async fn close(&self) {
        self.shared.closing.store(true, Ordering::Relaxed);
        let busy = !self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner).is_empty();
        // Without a sender the writer closes the channel, which ends an agent that has nothing to do.
        self.orders.lock().unwrap_or_else(PoisonError::into_inner).take();
        let reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut reader) = reader else { return };
        if busy || tokio::time::timeout(LONGEST_GOODBYE, &mut reader).await.is_err() {
            reader.abort();
            // The process of ssh is dropped, and killed, with its task.
            let _ = reader.await;
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(reader) = self.reader.lock().unwrap_or_else(PoisonError::into_inner).take() {
            reader.abort();
        }
    }
}

/// An order that nobody waits for any longer is forgotten. One that was stopped stays: the agent still has it.
struct Waiting<'a> {
    shared: &'a Shared,
    id: &'a str,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut waiting = self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        // Its receiver is dropped after this: it is still open exactly when nothing came.
        if waiting.get(self.id).is_some_and(oneshot::Sender::is_closed) {
            waiting.remove(self.id);
        }
    }
}

fn spawn(host: &SshHost, config: &Path, command: &str) -> Result<Child, String> {
    let mut ssh = Command::new("ssh");
    ssh.arg("-T").arg("-F").arg(config);
    if let Some(port) = host.port {
        ssh.arg("-p").arg(port.to_string());
    }
    ssh.args(["--", &host.host, command]);
    // Nobody is asked anything, in no window either; an interrupt of the terminal is ours to handle.
    ssh.env("SSH_ASKPASS_REQUIRE", "never").env_remove("SSH_ASKPASS").process_group(0);
    ssh.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    ssh.spawn().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            "there is no `ssh` on this machine: install the client of OpenSSH (openssh-client)".to_owned()
        }
        _ => format!("ssh cannot be started: {error}"),
    })
}

/// The conversation before the first order.
struct Talk<'a> {
    host: &'a str,
    child: Child,
    /// Where orders will go; with `sending` while an agent is on its way.
    stdin: Option<ChildStdin>,
    sending: Option<JoinHandle<ChildStdin>>,
    stdout: Lines<ChildStdout>,
    stderr: Tail,
    /// There as long as ssh is: a client of a jump host reads it, too.
    config: ClientConfig,
    folder: Arc<Mutex<Option<String>>>,
    /// Path of the agent, as the host told it.
    agent: Option<String>,
    /// What else the host wrote, for messages.
    noise: Vec<String>,
}

impl Talk<'_> {
    /// Until the agent has said who it is.
    async fn greeting(&mut self) -> Result<(), String> {
        let host = self.host;
        let mut bytes = 0;
        let mut marks = HashSet::new();
        loop {
            let line = match self.stdout.next(LONGEST_LINE_OF_GREETING).await {
                Ok(Some(line)) => line,
                Ok(None) => return Err(self.ended().await),
                Err(error) => return Err(format!("{host} cannot be read from: {error}")),
            };
            // With its end: empty lines are noise, too.
            bytes += line.len() + 1;
            let text = String::from_utf8_lossy(&line).into_owned();
            if let Ok(hello) = serde_json::from_slice::<Hello>(&line) {
                return self.check(&hello);
            }
            // Of what we have the host say each comes once, and what comes again is noise; a second wish for an agent is
            // refused where it is heard.
            let said = remote::said(&text)
                .filter(|said| marks.insert(std::mem::discriminant(said)) || matches!(said, Said::Nothing(_)));
            if let Some(said) = said {
                self.heard(said).await?;
            } else if bytes > MOST_NOISE {
                return Err(format!(
                    "{host} writes more than {} KiB before any agent speaks: {:?} …; look at its shell profile",
                    MOST_NOISE >> 10,
                    redact::clean(self.noise.first().unwrap_or(&text))
                ));
            } else if self.noise.len() < LINES_SHOWN && !text.trim().is_empty() {
                self.noise.push(redact::clean(&text));
            }
        }
    }

    async fn heard(&mut self, said: Said) -> Result<(), String> {
        let host = self.host;
        match said {
            Said::Found(path) => self.agent = Some(redact::clean(&path)),
            Said::Absent(path) => {
                return Err(format!(
                    "{host} has no program at {}, where the scenario's `agent` says that it is",
                    redact::clean(&path)
                ));
            }
            Said::Nothing(platform) => self.upload(&platform).await?,
            Said::Folder(folder) => {
                let plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-".contains(letter);
                let folder = if folder.chars().all(plain) { redact::clean(&folder) } else { "its folder".to_owned() };
                *self.folder.lock().unwrap_or_else(PoisonError::into_inner) = Some(folder);
            }
            Said::Removed => {
                self.folder.lock().unwrap_or_else(PoisonError::into_inner).take();
            }
            Said::Failed(failure) => {
                self.folder.lock().unwrap_or_else(PoisonError::into_inner).take();
                return Err(self.not_used(&failure));
            }
        }
        Ok(())
    }

    async fn upload(&mut self, platform: &str) -> Result<(), String> {
        let host = self.host;
        let platform = redact::clean(platform);
        let wanted = platform.clone();
        let found = tokio::task::spawn_blocking(move || binary::for_platform(&wanted)).await;
        let agent = found.unwrap_or_else(|_| Err("looking for one failed".to_owned())).map_err(|reason| {
            format!(
                "{host} ({platform}) has neither kubereach-agent nor kubereach in its PATH, and none can be sent: {reason}; \
                 install one there, or name it by `agent`"
            )
        })?;
        let announcement = remote::announcement(agent.bytes.len(), &agent.digest);
        let Some(mut stdin) = self.stdin.take() else {
            return Err(format!("{host} asks for an agent more than once"));
        };
        self.agent = Some("the agent that was sent".to_owned());
        // Beside reading: the host says meanwhile what it does with it, and what breaks this is told by its end.
        self.sending = Some(tokio::spawn(async move {
            let _ = async {
                stdin.write_all(announcement.as_bytes()).await?;
                stdin.write_all(&agent.bytes).await?;
                stdin.flush().await
            }
            .await;
            stdin
        }));
        Ok(())
    }

    fn not_used(&self, failure: &Failure) -> String {
        let host = self.host;
        match failure {
            Failure::Folder => {
                format!(
                    "{host} has no room for an agent: no private folder could be made and filled there; install one"
                )
            }
            Failure::NoDigestTool => format!(
                "{host} has neither sha256sum nor shasum nor openssl: an agent that was sent is not run unchecked; \
                 install one there"
            ),
            Failure::Digest(theirs) => format!(
                "the agent that arrived at {host} is not the one that was sent (its SHA-256 is {}): it was not run",
                redact::clean(theirs)
            ),
            Failure::CannotRun(folder) => format!(
                "{host} does not run files in {}: it is mounted `noexec`, or a policy forbids it; install an agent there",
                redact::clean(folder)
            ),
            Failure::Broken(status) => {
                format!("the agent that was sent to {host} does not run there (status {})", redact::clean(status))
            }
        }
    }

    fn check(&self, hello: &Hello) -> Result<(), String> {
        if hello.protocol == PROTOCOL {
            return Ok(());
        }
        let word = if hello.protocol < PROTOCOL { "older" } else { "newer" };
        let place = self.agent.as_ref().map_or_else(String::new, |path| format!(" ({path})"));
        Err(format!(
            "the agent on {}{place} is {word} ({}, protocol {}; this is protocol {PROTOCOL}): renew kubereach {}",
            self.host,
            redact::clean(&hello.agent),
            hello.protocol,
            if hello.protocol < PROTOCOL { "there" } else { "here" },
        ))
    }

    /// Why the host's output ended before any greeting.
    async fn ended(&mut self) -> String {
        let host = self.host;
        let status = status_of(&mut self.child).await;
        let stderr = self.stderr.text().await;
        let last = stderr.lines().rev().map(redact::clean).find(|line| !line.is_empty());
        let noise = self.noise.last().cloned();
        let said = last.or(noise).map_or_else(|| "it said nothing".to_owned(), |said| format!("it said {said:?}"));
        let jump = jump_host(&self.config.file, host).await;
        let explain = || words::explain(host, jump.as_deref(), &stderr);
        match (status, &self.agent) {
            (Some(255) | None, None) => explain(),
            (Some(255) | None, Some(_)) => format!("the connection to {host} was lost: {}", explain()),
            (Some(status), Some(agent)) => format!(
                "{agent} on {host} ended with status {status} before it was ready, and {said}; an agent of another version \
                 does not know what it is told: renew it"
            ),
            (Some(status), None) => format!(
                "{host} lets us in but runs no shell command (status {status}), and {said}; the account needs a POSIX shell, \
                 or `kubereach-agent --stdio` as its forced command"
            ),
        }
    }

    /// What to say of a host that says nothing in time.
    fn silent(&self) -> String {
        let noise = match self.noise.last() {
            Some(line) => format!(" (it wrote {line:?})"),
            None => String::new(),
        };
        match &self.agent {
            Some(agent) => {
                format!("{agent} on {} did not speak within {} s{noise}", self.host, LONGEST_GREETING.as_secs())
            }
            None => format!("no agent on {} spoke within {} s{noise}", self.host, LONGEST_GREETING.as_secs()),
        }
    }

    /// From here on orders may be sent.
    async fn begin(self) -> Result<Connection, String> {
        let sent = match self.sending {
            // It speaks, so it has been sent; a host that only pretends does not take it.
            Some(sending) => tokio::time::timeout(LONGEST_END, sending).await.ok().and_then(Result::ok),
            None => None,
        };
        let Some(mut stdin) = self.stdin.or(sent) else {
            return Err(format!("{} speaks as an agent before it has taken the one that was sent", self.host));
        };
        let shared = Arc::new(Shared::default());
        let (orders, mut outgoing) = mpsc::channel::<Vec<u8>>(QUEUE);
        tokio::spawn(async move {
            while let Some(line) = outgoing.recv().await {
                if stdin.write_all(&line).await.is_err() || stdin.flush().await.is_err() {
                    break;
                }
            }
        });
        let conversation = Conversation {
            host: self.host.to_owned(),
            child: self.child,
            stdout: self.stdout,
            stderr: self.stderr,
            _config: self.config,
            folder: self.folder,
            shared: Arc::clone(&shared),
        };
        let reader = tokio::spawn(conversation.listen());
        Ok(Connection { orders: Mutex::new(Some(orders)), shared, reader: Mutex::new(Some(reader)) })
    }
}

/// The conversation after the greeting.
struct Conversation {
    host: String,
    child: Child,
    stdout: Lines<ChildStdout>,
    stderr: Tail,
    _config: ClientConfig,
    folder: Arc<Mutex<Option<String>>>,
    shared: Arc<Shared>,
}

impl Conversation {
    async fn listen(mut self) {
        let reason = self.replies().await;
        // Who looks at the map after this finds the reason.
        let _ = self.shared.ended.set(reason);
        self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Hands out replies until there are no more; says why.
    async fn replies(&mut self) -> String {
        #[derive(Deserialize)]
        struct About {
            id: String,
        }
        let host = self.host.clone();
        let mut noise = 0;
        loop {
            let line = match self.stdout.next(MAXIMUM_REPLY_BYTES).await {
                Ok(Some(line)) => line,
                Ok(None) => return self.lost().await,
                Err(error) => return format!("the connection to {host} was given up: {error}"),
            };
            let about = serde_json::from_slice::<About>(&line).ok();
            let waiting = about
                .and_then(|about| self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&about.id));
            if let Some(waiting) = waiting {
                self.shared.replies.fetch_add(1, Ordering::Relaxed);
                // Who was stopped meanwhile does not listen any more.
                let _ = waiting.send(order::read(&line, MAXIMUM_REPLY_BYTES));
                continue;
            }
            if remote::said(&String::from_utf8_lossy(&line)) == Some(Said::Removed) {
                self.folder.lock().unwrap_or_else(PoisonError::into_inner).take();
            }
            noise += line.len() + 1;
            if noise > MAXIMUM_REPLY_BYTES {
                let line = redact::clean(&String::from_utf8_lossy(&line));
                return format!("the connection to {host} was given up: it writes what is no reply, such as {line:?}");
            }
        }
    }

    async fn lost(&mut self) -> String {
        let host = &self.host;
        let status = status_of(&mut self.child).await;
        let stderr = self.stderr.text().await;
        let said = stderr.lines().rev().map(redact::clean).find(|line| !line.is_empty());
        let said = said.map_or_else(String::new, |said| format!(" ({said})"));
        match status {
            Some(255) | None => format!("the connection to {host} was lost{said}"),
            Some(status) => format!("the agent on {host} ended with status {status}{said}"),
        }
    }
}

/// The jump host of the configuration, when there is one. Asks nobody but this machine's own files.
async fn jump_host(config: &Path, host: &str) -> Option<String> {
    let mut asking = Command::new("ssh");
    asking.arg("-G").arg("-F").arg(config).args(["--", host]).stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(LONGEST_END, asking.output()).await.ok()?.ok()?;
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let jump = told.lines().find_map(|line| line.strip_prefix("proxyjump "))?;
    (jump != "none").then(|| jump.to_owned())
}

/// The exit status, of a process that is about to end.
async fn status_of(child: &mut Child) -> Option<i32> {
    match tokio::time::timeout(LONGEST_END, child.wait()).await {
        Ok(Ok(status)) => status.code(),
        // It is killed when it is dropped.
        _ => None,
    }
}

/// Lines of a bounded length.
struct Lines<Stream> {
    stream: BufReader<Stream>,
    line: Vec<u8>,
}

impl<Stream: AsyncRead + Unpin> Lines<Stream> {
    fn new(stream: Stream) -> Self {
        Self { stream: BufReader::with_capacity(64 << 10, stream), line: Vec::new() }
    }

    /// The next line, without its end; `None` at the end of the stream. May be dropped and asked again.
    async fn next(&mut self, longest: usize) -> std::io::Result<Option<Vec<u8>>> {
        loop {
            let available = self.stream.fill_buf().await?;
            if available.is_empty() {
                return Ok((!self.line.is_empty()).then(|| std::mem::take(&mut self.line)));
            }
            let end = available.iter().position(|byte| *byte == b'\n');
            let taken = end.unwrap_or(available.len());
            if self.line.len() + taken > longest {
                return Err(std::io::Error::other(format!("it writes a line of more than {longest} bytes")));
            }
            self.line.extend_from_slice(&available[..taken]);
            self.stream.consume(end.map_or(taken, |end| end + 1));
            if end.is_some() {
                return Ok(Some(std::mem::take(&mut self.line)));
            }
        }
    }
}

/// The last of what a process writes to its standard error; the rest is read and let go.
struct Tail {
    kept: Arc<Mutex<Vec<u8>>>,
    task: JoinHandle<()>,
}

impl Tail {
    fn read(mut stderr: ChildStderr) -> Self {
        let kept: Arc<Mutex<Vec<u8>>> = Arc::default();
        let keep = Arc::clone(&kept);
        let task = tokio::spawn(async move {
            let mut buffer = vec![0; 8 << 10];
            while let Ok(length @ 1..) = stderr.read(&mut buffer).await {
                let mut kept = keep.lock().unwrap_or_else(PoisonError::into_inner);
                kept.extend_from_slice(&buffer[..length]);
                let beyond = kept.len().saturating_sub(MOST_KEPT);
                kept.drain(..beyond);
            }
        });
        Self { kept, task }
    }

    /// What was written, of a process that has ended.
    async fn text(&mut self) -> String {
        // Another process may hold the pipe: a master of the user's own.
        let _ = tokio::time::timeout(LONGEST_END, &mut self.task).await;
        String::from_utf8_lossy(&self.kept.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Beyond `ConnectTimeout` for the host and one on the way, logging in and, where it must be, sending an agent.
const LONGEST_GREETING: Duration = Duration::from_secs(150);
const LONGEST_GOODBYE: Duration = Duration::from_secs(2);
const LONGEST_END: Duration = Duration::from_secs(2);
const LONGEST_LINE_OF_GREETING: usize = 64 << 10;
/// Bytes of a profile's words.
const MOST_NOISE: usize = 256 << 10;
const LINES_SHOWN: usize = 5;
/// Bytes of standard error.
const MOST_KEPT: usize = 16 << 10;
const QUEUE: usize = 16;

#[cfg(test)]
mod tests {
    use kubereach_probes::{Options, Target, Trust};

    use super::{super::super::errand, *};

    /// A shell script in the place of ssh.
    fn talk(script: &str) -> Talk<'static> {
        let mut shell = Command::new("sh");
        shell.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = shell.kill_on_drop(true).spawn().unwrap();
        Talk {
            host: "far",
            stdin: child.stdin.take(),
            sending: None,
            stdout: Lines::new(child.stdout.take().unwrap()),
            stderr: Tail::read(child.stderr.take().unwrap()),
            child,
            config: ClientConfig::write(None).unwrap(),
            folder: Arc::default(),
            agent: None,
            noise: Vec::new(),
        }
    }

    fn order(id: &str) -> Order {
        let target = Target::new("api.example", 443, Trust::SystemRoots);
        let options = Options::plain(Duration::from_secs(1));
        Order { id: id.to_owned(), ..errand::order("", &target, &options, Duration::from_mins(1)) }
    }

    #[tokio::test]
    async fn a_silent_agent_is_given_up_at_once_for_all_who_wait() {
        let connection = talk("exec cat >/dev/null").begin().await.unwrap();
        let (one, other) = (order("one"), order("other"));
        let long = Duration::from_mins(1);
        let (first, second) =
            tokio::join!(connection.ask("far", &one, Duration::from_millis(1200)), connection.ask("far", &other, long));
        let reason = first.unwrap_err();
        assert_eq!(reason, "the agent of far did not answer within 1 s: the connection was closed");
        assert_eq!(second.unwrap_err(), reason);
        assert!(!connection.is_open() && connection.was_given_up_within(long));
        let late = tokio::time::timeout(Duration::from_secs(10), connection.ask("far", &one, long)).await.unwrap();
        assert_eq!(late.unwrap_err(), reason);
    }

    #[tokio::test]
    async fn one_that_answers_others_is_kept() {
        let connection = talk(r#"read -r l; echo '{"id":"one"}'; exec cat >/dev/null"#).begin().await.unwrap();
        let (one, other) = (order("one"), order("other"));
        let short = Duration::from_millis(1500);
        let (first, second) = tokio::join!(connection.ask("far", &one, short), connection.ask("far", &other, short));
        assert!(first.unwrap().is_err(), "it is no whole reply");
        assert!(second.unwrap_err().ends_with("within 2 s"));
        assert!(connection.is_open());
        connection.close().await;
    }

    #[tokio::test]
    async fn endless_lines_are_noise_whatever_is_in_them() {
        for line in ["KUBEREACH-SSH-1 found x", "KUBEREACH-SSH-1 removed", "KUBEREACH-SSH-1 folder /tmp/x", ""] {
            let mut talk = talk(&format!("while :; do echo '{line}'; done"));
            let greeted = tokio::time::timeout(Duration::from_mins(1), talk.greeting()).await.unwrap();
            let reason = greeted.unwrap_err();
            assert!(reason.contains("writes more than 256 KiB before any agent speaks"), "{reason}");
        }
        let connection = talk("while :; do echo 'KUBEREACH-SSH-1 removed'; done").begin().await.unwrap();
        let reason = connection.ask("far", &order("one"), Duration::from_mins(2)).await.unwrap_err();
        assert!(reason.contains("it writes what is no reply"), "{reason}");
    }
}

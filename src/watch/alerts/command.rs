//! A program, which gets the JSON on its standard input.

use std::{
    process::{ExitStatus, Stdio},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    process::Command,
    time::timeout,
};

use super::{payload::Payload, post::Failure};
use crate::report::words::visible;

/// Runs the program; ok when it ends with 0. When `limit` has passed, or when nobody waits for it any longer, it is
/// killed with everything that it started.
pub(super) async fn send(command: &[String], payload: &Payload, limit: Duration) -> Result<(), Failure> {
    match timeout(limit, run(command, payload)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Failure::Unavailable("it did not end in time and was killed".to_owned())),
    }
}

async fn run(command: &[String], payload: &Payload) -> Result<(), Failure> {
    let [program, arguments @ ..] = command else {
        return Err(Failure::Unavailable("it has no program".to_owned()));
    };
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(is_passed_on)))
        .envs(variables(payload))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| Failure::Unavailable(format!("it cannot be started: {}", error.kind())))?;
    // Dropped before the child, whose number is its own until then.
    let mut group = Group(child.id());
    let (input, output, errors) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (said, complained) = (Mutex::default(), Mutex::default());
    let body = payload.bytes();
    let talk = async {
        let tell = async {
            if let Some(mut input) = input {
                // It need not read what it is told.
                let _ = input.write_all(&body).await;
            }
        };
        tokio::join!(tell, listen(output, &said), listen(errors, &complained));
    };
    tokio::pin!(talk);
    let mut talking = true;
    let status = loop {
        tokio::select! {
            status = child.wait() => break status,
            () = &mut talk, if talking => talking = false,
        }
    };
    // What it left in the background may go on.
    group.0 = None;
    if talking {
        // What it said last may still be in the pipes.
        let _ = timeout(LAST_WORDS, &mut talk).await;
    }
    let status = status.map_err(|error| Failure::Unavailable(format!("it cannot be waited for: {}", error.kind())))?;
    judged(status, &said, &complained)
}

/// What its end means.
fn judged(status: ExitStatus, said: &Mutex<Vec<u8>>, complained: &Mutex<Vec<u8>>) -> Result<(), Failure> {
    if status.success() {
        return Ok(());
    }
    let message = match status.code() {
        Some(code) => format!("it ended with {code}"),
        None => "it was killed".to_owned(),
    };
    let first_line = |bytes: &Mutex<Vec<u8>>| {
        let bytes = bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&bytes).trim().lines().next().unwrap_or_default().to_owned();
        visible(&text.chars().take(LINE_LIMIT).collect::<String>())
    };
    Err(Failure::Unavailable(match [complained, said].into_iter().map(first_line).find(|line| !line.is_empty()) {
        Some(line) => format!("{message}: {line}"),
        None => message,
    }))
}

/// Keeps the beginning of what it says, and passes over the rest.
async fn listen(pipe: Option<impl AsyncRead + Unpin>, beginning: &Mutex<Vec<u8>>) {
    let Some(mut pipe) = pipe else { return };
    let mut buffer = vec![0; 8 * 1024];
    while let Ok(read @ 1..) = pipe.read(&mut buffer).await {
        let mut kept = beginning.lock().unwrap_or_else(PoisonError::into_inner);
        let room = KEPT_LIMIT.saturating_sub(kept.len());
        kept.extend_from_slice(&buffer[..read.min(room)]);
    }
}

/// Whether a variable of the watch is the program's, too: what programs need to run and to reach others. Any other may
/// be a secret of the watch, which the program may show or pass on.
fn is_passed_on(name: &str) -> bool {
    PASSED_ON.contains(&name)
        || name.starts_with("LC_")
        || name.starts_with("SSL_CERT_")
        || name.to_ascii_lowercase().ends_with("_proxy")
}

/// What scripts need without reading JSON.
fn variables(payload: &Payload) -> Vec<(String, String)> {
    let summary =
        payload.alerts.first().and_then(|alert| alert.annotations.get("summary")).cloned().unwrap_or_default();
    let summary = match payload.alerts.len() {
        0 | 1 => summary,
        several => format!("{several} alerts, the first: {summary}"),
    };
    let mut variables = vec![
        ("KUBEREACH_STATUS".to_owned(), payload.status.to_owned()),
        ("KUBEREACH_RECEIVER".to_owned(), payload.receiver.clone()),
        ("KUBEREACH_ALERTS".to_owned(), payload.alerts.len().to_string()),
        ("KUBEREACH_SUMMARY".to_owned(), summary),
        ("KUBEREACH_IDEMPOTENCY_KEY".to_owned(), payload.idempotency_key.clone()),
    ];
    for name in ["alertname", "check", "cluster", "vantage", "target", "provider", "severity"] {
        let value = payload.common_labels.get(name).cloned().unwrap_or_default();
        variables.push((format!("KUBEREACH_{}", name.to_uppercase()), value));
    }
    for name in ["code", "url"] {
        let value = payload.common_annotations.get(name).cloned().unwrap_or_default();
        variables.push((format!("KUBEREACH_{}", name.to_uppercase()), value));
    }
    variables
}

/// The process group that a program leads. Dropped before the program ended, it is killed: the program alone would
/// leave its children behind.
struct Group(Option<u32>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            // The shell's own `kill`: signalling a group is a system call that safe Rust does not offer.
            let _ = std::process::Command::new("/bin/sh")
                .args(["-c", "kill -s KILL -- \"-$1\"", "sh", &leader.to_string()])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
        }
    }
}

/// How long the pipes are listened to after its end: what it left in the background may hold them open.
const LAST_WORDS: Duration = Duration::from_millis(200);
const LINE_LIMIT: usize = 200;
const PASSED_ON: &[&str] = &["PATH", "HOME", "LANG", "TZ", "TMPDIR", "USER"];
const KEPT_LIMIT: usize = 4 * 1024;

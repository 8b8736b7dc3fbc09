//! Servers that Debian has, and how they are spoken to.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    time::{Duration, Instant},
};

use libtest_mimic::{Failed, Trial};
use serde_json::Value;

/// A case that needs these programs. Without them it is counted and named, or fails where nothing may be left out.
pub(crate) fn trial(name: &str, programs: &[&str], case: fn()) -> Trial {
    let missing: Vec<&str> = programs.iter().copied().filter(|program| !is_installed(program)).collect();
    if missing.is_empty() {
        return super::trial(name, case);
    }
    let required = std::env::var("KUBEREACH_LAB").is_ok_and(|value| value == "required");
    let reason = format!("{} not installed", missing.join(", "));
    let label = if required { name.to_owned() } else { format!("{name} [not run: {reason}]") };
    Trial::test(label, move || Err(Failed::from(reason))).with_ignored_flag(!required)
}

fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// A port that nobody listens on.
pub(crate) fn unused_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Waits until a server answers with 200.
pub(crate) fn until_it_answers(url: &str, log: &Path) {
    let begun = Instant::now();
    while get(url).is_none_or(|(status, _)| status != 200) {
        let log = fs::read_to_string(log).unwrap_or_default();
        assert!(begun.elapsed() < Duration::from_secs(20), "{url} does not answer:\n{log}");
        std::thread::sleep(Duration::from_millis(30));
    }
}

/// What a server says, as JSON.
pub(crate) fn get_json(url: &str) -> Value {
    let (status, body) = get(url).unwrap_or_else(|| panic!("{url} does not answer"));
    serde_json::from_str(&body).unwrap_or_else(|_| panic!("{url} answers {status}: {body}"))
}

/// One request over HTTP/1.0, so that the answer ends with the connection: status and body.
pub(crate) fn get(url: &str) -> Option<(u16, String)> {
    let rest = url.strip_prefix("http://").unwrap();
    let (address, path) = rest.split_once('/').unwrap();
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
    write!(stream, "GET /{path} HTTP/1.0\r\nHost: {address}\r\n\r\n").ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

/// A text as part of a query.
pub(crate) fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

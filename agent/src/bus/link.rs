//! The connection to NATS, the same at both ends: TLS, credentials, and what is wrong in words.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_nats::{Auth, AuthError, Client, ConnectErrorKind, ConnectOptions, Event, ServerAddr};
use nkeys::KeyPair;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio::sync::watch;

use crate::{check_server, keys};

/// Where the servers are, and who asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Servers {
    /// `tls://host:port`; `nats://` only towards loopback.
    pub urls: Vec<String>,
    /// PEM file with the servers' authorities; the system's roots when absent.
    pub ca: Option<PathBuf>,
    /// File with user credentials (JWT and seed).
    pub credentials: Option<PathBuf>,
    /// File with the seed of a user key, for servers that know users by their key.
    pub user_key: Option<PathBuf>,
    /// PEM files of a client certificate and its key.
    pub certificate: Option<(PathBuf, PathBuf)>,
}

/// A connection that restores itself, for ever.
#[derive(Clone)]
pub struct Link {
    /// What messages go through.
    pub client: Client,
    /// Counts the connections made: a change says that what was asked on the one before may be lost.
    pub connections: watch::Receiver<u64>,
    problem: Arc<Mutex<Option<String>>>,
}

impl Link {
    /// The last thing that the server complained about, and forgets it: a subject that it does not permit.
    #[must_use]
    pub fn take_problem(&self) -> Option<String> {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Why there is no connection. The text names the servers and what to look at; it holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// What was configured cannot be used: another try changes nothing.
    #[error("{0}")]
    Unusable(String),
    /// The server does not know these credentials, or wants some.
    #[error("the NATS server refuses us ({0}): {1}")]
    Refused(String, String),
    /// The server's certificate, or ours.
    #[error("TLS with the NATS server failed ({0}): {1}")]
    Tls(String, String),
    /// Nobody answered.
    #[error("no NATS server answers ({0}): {1}")]
    Unreachable(String, String),
}

/// Connects once.
///
/// # Errors
/// When there is no server that takes us.
pub async fn connect(servers: &Servers, name: &str, inbox: &str) -> Result<Link, LinkError> {
    let addresses = addresses(servers)?;
    let (counter, connections) = watch::channel(0_u64);
    let problem = Arc::new(Mutex::new(None));
    let noted = Arc::clone(&problem);
    let callback = move |event: Event| {
        match event {
            Event::Connected => counter.send_modify(|count| *count += 1),
            Event::ServerError(error) => {
                *noted.lock().unwrap_or_else(PoisonError::into_inner) = Some(short(&error.to_string()));
            }
            _ => {}
        }
        std::future::ready(())
    };
    let options = authenticated(servers)?
        .name(name)
        .custom_inbox_prefix(inbox)
        .connection_timeout(CONNECT_TIMEOUT)
        .request_timeout(Some(REQUEST_TIMEOUT))
        .ping_interval(PING_INTERVAL)
        // What other servers call themselves has no scheme, and may not be ours.
        .ignore_discovered_servers()
        .max_reconnects(None)
        .reconnect_delay_callback(backoff)
        .event_callback(callback);
    let options = with_certificates(options, servers)?;
    let urls = servers.urls.join(", ");
    let client = options.connect(addresses).await.map_err(|error| {
        let text = short(&with_sources(&error));
        let refused = |text: String| LinkError::Refused(urls.clone(), advised(text, &credentials_advice(servers)));
        let tls = |text: String| {
            let advice = tls_advice(&text, servers.ca.as_deref());
            LinkError::Tls(urls.clone(), advised(text, &advice))
        };
        match error.kind() {
            ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => refused(text),
            ConnectErrorKind::ServerParse => LinkError::Unusable(format!("{urls}: {text}")),
            ConnectErrorKind::Tls => tls(text),
            _ if ["certificate", "alert", "corrupt message", "handshake"].iter().any(|word| text.contains(word)) => {
                tls(text)
            }
            _ if text.contains("uthorization") || text.contains("uthentication") => refused(text),
            _ => LinkError::Unreachable(urls, text),
        }
    })?;
    Ok(Link { client, connections, problem })
}

/// How long to wait before the next try: doubled each time up to 15 seconds, with a part left to chance.
#[must_use]
pub fn backoff(attempt: usize) -> Duration {
    if attempt <= 1 {
        return Duration::ZERO;
    }
    let doubled = FIRST_WAIT.saturating_mul(1 << attempt.min(10)).min(LONGEST_WAIT);
    // A thousand agents that lost the same server shall not come back in the same millisecond.
    let chance = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |now| now.subsec_nanos());
    doubled.mul_f64(0.75 + f64::from(chance % 1_000) / 4_000.0)
}

fn addresses(servers: &Servers) -> Result<Vec<ServerAddr>, LinkError> {
    if servers.urls.is_empty() {
        return Err(LinkError::Unusable("no NATS server is named".to_owned()));
    }
    let parse = |url: &String| {
        check_server(url)
            .and_then(|()| url.parse::<ServerAddr>().map_err(|error| error.to_string()))
            .map_err(|error| LinkError::Unusable(format!("the NATS server `{url}`: {error}")))
    };
    servers.urls.iter().map(parse).collect()
}

fn authenticated(servers: &Servers) -> Result<ConnectOptions, LinkError> {
    let unusable = |error: keys::KeyError| LinkError::Unusable(error.to_string());
    let (jwt, key) = match (&servers.credentials, &servers.user_key) {
        (Some(_), Some(_)) => {
            let text = "both user credentials and a user key are named, and NATS takes one of them";
            return Err(LinkError::Unusable(text.to_owned()));
        }
        (Some(file), None) => {
            let (jwt, key) = read_credentials(file)?;
            (Some(jwt), key)
        }
        (None, Some(file)) => (None, keys::read(file).map_err(unusable)?),
        (None, None) => return Ok(ConnectOptions::new()),
    };
    // The library would keep the seed as text; the key signs here instead.
    Ok(ConnectOptions::with_auth_callback(move |nonce| {
        let mut auth = Auth::new();
        let signed = key.sign(&nonce).map_err(AuthError::new);
        let answer = signed.map(|signature| {
            auth.signature = Some(signature);
            auth.nkey = jwt.is_none().then(|| key.public_key());
            auth.jwt.clone_from(&jwt);
            auth
        });
        std::future::ready(answer)
    }))
}

/// The two blocks of a file of user credentials, as NATS's own tools write it.
fn read_credentials(file: &Path) -> Result<(String, KeyPair), LinkError> {
    let unusable =
        |text: String| LinkError::Unusable(format!("the file of user credentials {}: {text}", file.display()));
    let mut text = read_bounded(file).map_err(unusable)?;
    let block = |word: &str| {
        let text = std::str::from_utf8(&text).ok()?;
        let mut lines = text.lines().map(str::trim);
        lines.find(|line| line.starts_with("-----BEGIN") && line.contains(word))?;
        lines.find(|line| !line.is_empty()).map(str::to_owned)
    };
    let (jwt, seed) = (block("JWT"), block("SEED").map(String::into_bytes));
    keys::wipe(&mut text);
    let (Some(jwt), Some(mut seed)) = (jwt, seed) else {
        return Err(unusable("it does not hold a user JWT and a seed".to_owned()));
    };
    let key = std::str::from_utf8(&seed).ok().and_then(|seed| KeyPair::from_seed(seed).ok());
    keys::wipe(&mut seed);
    Ok((jwt, key.ok_or_else(|| unusable("its seed cannot be read".to_owned()))?))
}

fn with_certificates(options: ConnectOptions, servers: &Servers) -> Result<ConnectOptions, LinkError> {
    let mut options = options;
    if let Some(file) = &servers.ca {
        certificates(file, "authorities")?;
        options = options.add_root_certificates(file.clone());
    }
    if let Some((certificate, key)) = &servers.certificate {
        certificates(certificate, "client certificate")?;
        let unusable =
            |text: String| LinkError::Unusable(format!("the key of the client certificate {}: {text}", key.display()));
        let mut text = read_bounded(key).map_err(unusable)?;
        let found = PrivateKeyDer::from_pem_slice(&text).is_ok();
        keys::wipe(&mut text);
        if !found {
            return Err(unusable("it holds no private key in PEM".to_owned()));
        }
        options = options.add_client_certificate(certificate.clone(), key.clone());
    }
    Ok(options)
}

/// What the library reads later is read once before, so that what is wrong with it is said by name.
fn certificates(file: &Path, what: &str) -> Result<(), LinkError> {
    let unusable = |text: String| LinkError::Unusable(format!("the file of the {what} {}: {text}", file.display()));
    let text = read_bounded(file).map_err(unusable)?;
    let found = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>();
    match found {
        Ok(found) if !found.is_empty() => Ok(()),
        _ => Err(unusable("it holds no certificate in PEM".to_owned())),
    }
}

fn read_bounded(file: &Path) -> Result<Vec<u8>, String> {
    let metadata = fs::metadata(file).map_err(|error| error.to_string())?;
    if !metadata.is_file() || metadata.len() > LONGEST_FILE {
        return Err("it is no file of a key or a certificate".to_owned());
    }
    fs::read(file).map_err(|error| error.to_string())
}

/// The text of an error with those behind it, each once.
fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        let more = error.to_string();
        if more.contains(&text) {
            text = more;
        } else if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        next = error.source();
    }
    text
}

fn advised(text: String, advice: &str) -> String {
    if advice.is_empty() { text } else { format!("{text}; {advice}") }
}

/// What to look at when the server does not know who asks: both ends name it in words of their own.
fn credentials_advice(servers: &Servers) -> String {
    match (&servers.credentials, &servers.user_key, &servers.certificate) {
        (Some(file), ..) => format!("the credentials of {} are not accepted", file.display()),
        (_, Some(file), _) => format!("it does not accept the key of {}: look at its `users`", file.display()),
        (.., Some((file, _))) => format!("it does not accept the certificate of {}", file.display()),
        _ => {
            "no credentials were given: name them by `nats.userKey` or `nats.credentials` (an agent's `--user-key` or \
              `--credentials`)"
                .to_owned()
        }
    }
}

/// What to look at when a certificate is not accepted.
fn tls_advice(text: &str, ca: Option<&Path>) -> String {
    if ["UnknownIssuer", "BadSignature", "CaUsedAsEndEntity"].iter().any(|word| text.contains(word)) {
        match ca {
            Some(file) => format!(
                "look at `nats.ca` (an agent's `--ca`): {} does not hold the authority that signed the server's certificate",
                file.display()
            ),
            None => {
                "name the authority that signed the server's certificate by `nats.ca` (an agent's `--ca`): without it, \
                     the system's authorities are asked"
                    .to_owned()
            }
        }
    } else if text.contains("not valid for name") || text.contains("NotValidForName") {
        "the server's certificate is for another name than that of the URL".to_owned()
    } else if text.contains("CertificateRequired") || text.contains("certificate required") {
        "the server wants a client certificate: `nats.certificate` and `nats.key` (an agent's `--certificate` and `--key`)"
            .to_owned()
    } else {
        String::new()
    }
}

/// What comes from a server is bounded and printable.
fn short(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(300).collect()
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
const PING_INTERVAL: Duration = Duration::from_secs(20);
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(15);
const LONGEST_FILE: u64 = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_are_bounded() {
        assert_eq!(backoff(1), Duration::ZERO);
        assert!(backoff(3) < backoff(8));
        for attempt in [2, 10, 64, 1_000_000, usize::MAX] {
            assert!(backoff(attempt) <= LONGEST_WAIT && backoff(attempt) > Duration::from_millis(50));
        }
    }

    #[test]
    fn what_fails_says_where_to_look() {
        #[derive(Debug, thiserror::Error)]
        #[error("violation")]
        struct Outer(#[source] std::io::Error);

        let ca = Path::new("/x/ca.pem");
        let unknown = "IO error: invalid peer certificate: UnknownIssuer";
        assert!(tls_advice(unknown, Some(ca)).contains("look at `nats.ca` (an agent's `--ca`): /x/ca.pem"));
        assert!(tls_advice(unknown, None).contains("name the authority"));
        assert!(
            tls_advice("invalid peer certificate: certificate not valid for name \"a\"", None).contains("another name")
        );
        assert!(credentials_advice(&Servers::default()).contains("no credentials were given"));
        let keyed = Servers { user_key: Some(ca.to_owned()), ..Servers::default() };
        assert!(
            !credentials_advice(&keyed).contains("no credentials") && credentials_advice(&keyed).contains("/x/ca.pem")
        );
        assert_eq!(with_sources(&Outer(std::io::Error::other("nats: violation"))), "nats: violation");
    }

    #[tokio::test]
    async fn what_cannot_be_used_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let urls = vec!["nats://127.0.0.1:1".to_owned()];
        let here = Servers { urls, ..Servers::default() };
        let broken = file("broken.pem", "-----BEGIN CERTIFICATE-----\nhunter2\n");
        for (servers, word) in [
            (Servers::default(), "no NATS server is named"),
            (Servers { urls: vec!["nats://nats.example:4222".to_owned()], ..Servers::default() }, "TLS"),
            (Servers { urls: vec!["tls://user:hunter2@nats.example".to_owned()], ..Servers::default() }, "credentials"),
            (Servers { ca: Some(broken.clone()), ..here.clone() }, "no certificate"),
            (Servers { ca: Some(folder.path().join("none.pem")), ..here.clone() }, "none.pem"),
            (Servers { user_key: Some(broken.clone()), ..here.clone() }, "everybody"),
            (Servers { credentials: Some(broken.clone()), ..here.clone() }, "JWT"),
            (Servers { certificate: Some((broken.clone(), broken.clone())), ..here.clone() }, "client certificate"),
            (Servers { credentials: Some(broken.clone()), user_key: Some(broken), ..here.clone() }, "one of them"),
        ] {
            let Err(LinkError::Unusable(text)) = connect(&servers, "test", "_INBOX.test").await else {
                panic!("{word}: usable");
            };
            assert!(text.contains(word), "{word}: {text}");
            assert!(!text.contains("hunter2") || word == "credentials", "{text}");
        }
        let Err(LinkError::Unreachable(..)) = connect(&here, "test", "_INBOX.test").await else {
            panic!("somebody answers at port 1");
        };
    }
}

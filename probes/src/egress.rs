//! By which address others see this host: echo servers are asked over HTTP or STUN, on the path that the probe takes.
//!
//! The body of an HTTP answer is the address, as text or as a member of a JSON object; STUN is the binding request of
//! RFC 8489 over UDP or TCP. What a server says is believed only where it can be true. Nothing is sent but the question:
//! no credential, no redirect followed.

use std::{
    collections::HashMap,
    convert::Infallible,
    future::Future,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use http_body_util::{BodyExt as _, Empty, LengthLimitError, Limited};
use hyper::{
    Request, StatusCode,
    body::Bytes,
    client::conn::http1,
    header::{ACCEPT, CONNECTION, HOST, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use rustls::crypto::aws_lc_rs;
use socket2::{SockAddr, Type};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::UdpSocket,
    sync::OnceCell,
};

use crate::{
    AddressClass, AddressClasses, EchoScheme, EchoServer, EgressObservation, Endpoint, Options, ProxyTarget,
    TcpOutcome, TlsOutcome, Trust, TunnelOutcome,
    dns::{DnsSettings, milliseconds},
    proxy::{self, BoxedStream},
    system,
    target::embedded_ipv4,
    tcp::{self, ConnectSettings},
    tls::{self, Hello},
};

/// An address family, where the question is which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    pub(crate) const fn of(address: &IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

/// What came of asking an echo server.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Asked {
    /// It was asked.
    Observed(EgressObservation),
    /// It was not, because this vantage's own limits forbid it: a sentence.
    LeftOut(String),
}

/// What echo servers said, for all probes that share it: a thousand targets ask each of them once a round.
#[derive(Clone, Debug, Default)]
pub(crate) struct SharedEchoes(Arc<Mutex<Answers>>);

type Answers = HashMap<(EchoServer, Option<Family>), Answer>;

/// An echo server, being asked or answered.
#[derive(Debug)]
struct Answer {
    since: Instant,
    asked: Arc<OnceCell<Vec<Asked>>>,
}

impl SharedEchoes {
    /// What the server says, or has said to somebody who asked at most [`FRESH`] ago: one entry for each address that it
    /// sees, else one that tells why there is none. `family` is that of the path; `None` takes what its name gives.
    pub(crate) async fn ask(&self, server: &EchoServer, family: Option<Family>, options: &Options) -> Vec<Asked> {
        let asked = {
            // A panic elsewhere while the map was held leaves it usable.
            let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            known.retain(|_, one| one.since.elapsed() < FRESH);
            let new = || Answer { since: Instant::now(), asked: Arc::default() };
            Arc::clone(&known.entry((server.clone(), family)).or_insert_with(new).asked)
        };
        // Who asks may be stopped; then the next one that waits asks again.
        asked.get_or_init(|| twice(server, family, options)).await.clone()
    }
}

/// The server's name in reports: its URL, less a query, which may hold a secret.
pub(crate) fn label(server: &EchoServer) -> String {
    server.redacted()
}

/// Asks over two connections at once: where several addresses take turns, it shows from connection to connection.
async fn twice(server: &EchoServer, family: Option<Family>, options: &Options) -> Vec<Asked> {
    let ask = || Box::pin(once(server, family, options));
    let (first, second) = tokio::join!(ask(), ask());
    let seen = |asked: &Asked| match asked {
        Asked::Observed(observed) => observed.address,
        Asked::LeftOut(_) => None,
    };
    match (seen(&first), seen(&second)) {
        (Some(one), Some(other)) if one != other => vec![first, second],
        (None, Some(_)) => vec![second],
        _ => vec![first],
    }
}

async fn once(server: &EchoServer, family: Option<Family>, options: &Options) -> Asked {
    let begun = Instant::now();
    let mut asked = None;
    let said = match tokio::time::timeout(options.connect_timeout, said(server, family, options, &mut asked)).await {
        Ok(said) => said,
        Err(_) => Err(Silence::Because(format!("no answer within {:?}", options.connect_timeout))),
    };
    let said = match said {
        Ok(address) => plausible(address, asked, &options.classes),
        Err(Silence::Because(reason)) => Err(reason),
        Err(Silence::NotPermitted(reason)) => {
            return Asked::LeftOut(format!("echo server {}: {reason}", label(server)));
        }
    };
    let (address, detail) = match said {
        Ok(address) => (Some(address), None),
        Err(reason) => (None, Some(reason)),
    };
    Asked::Observed(EgressObservation {
        server: label(server),
        asked,
        address,
        ms: milliseconds(begun.elapsed()),
        detail,
    })
}

/// Why a server said nothing.
enum Silence {
    Because(String),
    /// Its address may not be dialled from here.
    NotPermitted(String),
}

impl From<String> for Silence {
    fn from(reason: String) -> Self {
        Self::Because(reason)
    }
}

/// What the server says; `asked` becomes the address of it that was asked last.
async fn said(
    server: &EchoServer,
    family: Option<Family>,
    options: &Options,
    asked: &mut Option<IpAddr>,
) -> Result<IpAddr, Silence> {
    if let Some(proxy) = &options.proxy {
        if server.scheme == EchoScheme::Stun {
            return Err("STUN over UDP passes no proxy: name an `http`, `https` or `stun-tcp` server"
                .to_owned()
                .into());
        }
        let host = if proxy.scheme.resolves_remotely() {
            if let Ok(address) = server.host.parse() {
                permitted(options, SocketAddr::new(address, server.port))?;
            }
            server.host.clone()
        } else {
            let address = addresses(server, family, options).await?.remove(0);
            permitted(options, SocketAddr::new(address, server.port))?;
            *asked = Some(address);
            address.to_string()
        };
        let stream = through(proxy, &host, server.port, options).await?;
        return over_stream(server, stream, options).await.map_err(Silence::from);
    }
    let mut refused = None;
    let mut failed = String::new();
    for address in addresses(server, family, options).await? {
        let peer = SocketAddr::new(address, server.port);
        if let Err(reason) = permitted(options, peer) {
            refused = Some(reason);
            continue;
        }
        *asked = Some(address);
        if server.scheme == EchoScheme::Stun {
            return Ok(over_udp(peer, options).await?);
        }
        let settings = connect_settings(options);
        match tcp::connect(peer, settings).await {
            (_, Some(stream)) => return over_stream(server, Box::new(stream), options).await.map_err(Silence::from),
            (stage, None) => {
                let detail = stage.detail.map(|detail| format!(": {detail}")).unwrap_or_default();
                failed = format!("tcp {}{detail}", stage.outcome.label());
            }
        }
    }
    match refused {
        Some(refused) if failed.is_empty() => Err(refused),
        _ => Err(Silence::Because(failed)),
    }
}

fn permitted(options: &Options, peer: SocketAddr) -> Result<(), Silence> {
    options.permit.refuses(peer).map_or(Ok(()), |reason| Err(Silence::NotPermitted(reason)))
}

const fn connect_settings(options: &Options) -> ConnectSettings<'_> {
    ConnectSettings {
        timeout: options.connect_timeout,
        source: &options.source,
        maximum_segment: None,
        permit: Some(&options.permit),
    }
}

/// Addresses of the server of this family; at least one.
async fn addresses(server: &EchoServer, family: Option<Family>, options: &Options) -> Result<Vec<IpAddr>, String> {
    let all = match server.host.parse() {
        Ok(address) => vec![address],
        Err(_) => resolved(&server.host, options).await?,
    };
    let fits = |address: &IpAddr| family.is_none_or(|family| family == Family::of(address));
    let fitting: Vec<IpAddr> = all.into_iter().filter(fits).take(MAXIMUM_ADDRESSES).collect();
    if fitting.is_empty() {
        let family = if family == Some(Family::V6) { "IPv6" } else { "IPv4" };
        return Err(format!("it has no {family} address, the family that the endpoint is reached by"));
    }
    Ok(fitting)
}

async fn resolved(name: &str, options: &Options) -> Result<Vec<IpAddr>, String> {
    let settings = DnsSettings { timeout: options.dns_timeout, source: &options.source, classes: &options.classes };
    let answer = system::ask_system(&options.system, name, &settings).await.into_iter().next();
    match answer {
        Some(answer) if !answer.addresses.is_empty() => Ok(answer.addresses),
        answer => {
            let outcome = answer.map_or("timeout", |answer| answer.outcome.label());
            Err(format!("the name {name} does not resolve here: {outcome}"))
        }
    }
}

/// A tunnel through the proxy to the server.
async fn through(proxy: &ProxyTarget, host: &str, port: u16, options: &Options) -> Result<BoxedStream, Silence> {
    let all = match proxy.host.parse() {
        Ok(address) => vec![address],
        Err(_) => resolved(&proxy.host, options).await?,
    };
    let mut own = Vec::new();
    for address in all.into_iter().take(MAXIMUM_ADDRESSES) {
        permitted(options, SocketAddr::new(address, proxy.port))?;
        own.push(address);
    }
    let (observed, stream) = proxy::tunnel(proxy, None, &own, host, port, connect_settings(options)).await;
    stream.ok_or_else(|| {
        let tunnel = &observed.tunnel;
        let reason = if tunnel.outcome == TunnelOutcome::Skipped && observed.tcp.outcome != TcpOutcome::Connected {
            format!("the proxy: tcp {}", observed.tcp.outcome.label())
        } else {
            let status = tunnel.status.map(|status| format!(" {status}")).unwrap_or_default();
            format!("the proxy: tunnel {}{status}", tunnel.outcome.label())
        };
        Silence::Because(reason)
    })
}

async fn over_stream(server: &EchoServer, stream: BoxedStream, options: &Options) -> Result<IpAddr, String> {
    match server.scheme {
        EchoScheme::Http => over_http(server, stream).await,
        EchoScheme::Https => {
            let timeout = options.connect_timeout;
            let shaken = tls::handshake(stream, &server.host, &Trust::SystemRoots, Hello::Http1, None, timeout).await;
            match shaken {
                (stage, Some(stream)) if stage.outcome == TlsOutcome::Verified => over_http(server, stream).await,
                (stage, _) => {
                    let detail = stage.detail.map(|detail| format!(": {detail}")).unwrap_or_default();
                    Err(format!("tls {}{detail}", stage.outcome.label()))
                }
            }
        }
        EchoScheme::Stun | EchoScheme::StunTcp => over_tcp(stream).await,
    }
}

/// One request, and what its answer's body says.
async fn over_http<S>(server: &EchoServer, stream: S) -> Result<IpAddr, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(LARGEST_HEAD)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| format!("http: {error}"))?;
    let authority = match (server.scheme, server.port) {
        (EchoScheme::Http, 80) | (EchoScheme::Https, 443) if server.host.contains(':') => format!("[{}]", server.host),
        (EchoScheme::Http, 80) | (EchoScheme::Https, 443) => server.host.clone(),
        (_, port) => Endpoint { host: server.host.clone(), port }.to_string(),
    };
    let request = Request::get(server.path.as_str())
        .header(HOST, authority)
        .header(USER_AGENT, concat!("kubereach/", env!("CARGO_PKG_VERSION")))
        .header(ACCEPT, "text/plain, application/json")
        .header(CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| format!("the request cannot be made: {error}"))?;
    let conversing = async move {
        let answer = sender.send_request(request).await.map_err(|error| format!("http: {error}"))?;
        let status = answer.status();
        if status.is_redirection() {
            return Err(format!("it redirects (http {}), which is not followed", status.as_u16()));
        }
        if status != StatusCode::OK {
            return Err(format!("http status {}", status.as_u16()));
        }
        let body = Limited::new(answer.into_body(), LARGEST_BODY).collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() {
                format!("its answer is longer than {LARGEST_BODY} bytes")
            } else {
                format!("http: {error}")
            }
        })?;
        address_in(&body.to_bytes())
    };
    // The connection has to be driven for as long as the answer is read; its end is no answer.
    let driving = async {
        let _ = connection.await;
        std::future::pending::<Infallible>().await
    };
    either(conversing, driving).await
}

async fn either<T>(answer: impl Future<Output = T>, never: impl Future<Output = Infallible>) -> T {
    tokio::select! {
        biased;
        never = never => match never {},
        answer = answer => answer,
    }
}

/// The address that a body tells: alone, with a port, quoted, as a line `ip=…`, or as a member of a JSON object.
fn address_in(body: &[u8]) -> Result<IpAddr, String> {
    let text = String::from_utf8_lossy(body);
    let text = text.trim().trim_start_matches('\u{feff}');
    let written = |text: &str| -> Option<IpAddr> {
        let text = text.trim();
        text.parse().ok().or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()))
    };
    if let Some(address) = written(text) {
        return Ok(address);
    }
    match serde_json::from_str(text) {
        Ok(serde_json::Value::String(text)) => {
            if let Some(address) = written(&text) {
                return Ok(address);
            }
        }
        Ok(serde_json::Value::Object(members)) => {
            let members = MEMBERS.iter().filter_map(|name| members.get(*name)?.as_str());
            // `origin` may name a chain of forwarders: then it does not tell which of them the far side sees.
            if let Some(address) = members.into_iter().find_map(written) {
                return Ok(address);
            }
            return Err(format!("its JSON answer names no single address: an object, {} bytes", body.len()));
        }
        _ => {}
    }
    if let Some(address) = text.lines().find_map(|line| written(line.strip_prefix("ip=")?)) {
        return Ok(address);
    }
    // Whoever names an echo server must not learn by it what a host in here says: its kind, and nothing of it.
    let kind = match (text.as_bytes().first(), serde_json::from_str::<serde::de::IgnoredAny>(text)) {
        (None, _) => return Err("its answer is empty".to_owned()),
        (Some(b'<'), _) => "markup",
        (_, Ok(_)) => "JSON",
        (_, Err(_)) if body.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace()) => "text",
        _ => "no plain text",
    };
    Err(format!("its answer is no address: {kind}, {} bytes", body.len()))
}

/// Whether what it says can be true.
fn plausible(seen: IpAddr, asked: Option<IpAddr>, classes: &AddressClasses) -> Result<IpAddr, String> {
    let seen = seen.to_canonical();
    let nobody = match seen {
        IpAddr::V4(address) => {
            address.is_unspecified() || address.is_multicast() || address.is_broadcast() || address.octets()[0] >= 240
        }
        IpAddr::V6(address) => address.is_unspecified() || address.is_multicast(),
    };
    if nobody {
        return Err(format!("it says {seen}, which is no host's address"));
    }
    let Some(asked) = asked else { return Ok(seen) };
    // Behind a translator IPv6 goes out and IPv4 arrives.
    if seen.is_ipv4() != embedded_ipv4(asked).is_ipv4() {
        return Err(format!("it was asked at {asked} and says {seen}, an address of the other family"));
    }
    if classes.of(asked) == AddressClass::Public && classes.of(seen) == AddressClass::Private {
        return Err(format!("it says {seen}, a private address: it does not see this host from the internet"));
    }
    Ok(seen)
}

/// STUN over UDP: sent again until an answer to this very request comes; the caller bounds the time.
async fn over_udp(peer: SocketAddr, options: &Options) -> Result<IpAddr, String> {
    let failed = |doing: &str, error: &std::io::Error| format!("udp: {doing}: {error}");
    let socket = tcp::open(peer.ip(), Type::DGRAM, &options.source).map_err(|error| format!("udp: {error}"))?;
    socket.connect(&SockAddr::from(peer)).map_err(|error| failed("connect", &error))?;
    let socket = UdpSocket::from_std(socket.into()).map_err(|error| failed("socket", &error))?;
    let id = transaction()?;
    let request = binding_request(&id);
    let mut buffer = [0; LARGEST_MESSAGE];
    let mut wait = FIRST_WAIT;
    loop {
        socket.send(&request).await.map_err(|error| failed("send", &error))?;
        let until = tokio::time::Instant::now() + wait;
        while let Ok(received) = tokio::time::timeout_at(until, socket.recv(&mut buffer)).await {
            let length = received.map_err(|error| failed("receive", &error))?;
            // What is not an answer to this request is somebody's guess: the right one may still come.
            if let Some(said) = binding_response(&buffer[..length], &id) {
                return said;
            }
        }
        wait *= 2;
    }
}

/// STUN over TCP.
async fn over_tcp(mut stream: BoxedStream) -> Result<IpAddr, String> {
    let failed = |error: std::io::Error| format!("tcp: {error}");
    let id = transaction()?;
    stream.write_all(&binding_request(&id)).await.map_err(failed)?;
    let mut message = vec![0; HEADER];
    stream.read_exact(&mut message).await.map_err(failed)?;
    let length = usize::from(u16::from_be_bytes([message[2], message[3]]));
    if !length.is_multiple_of(4) || HEADER + length > LARGEST_MESSAGE {
        return Err("its answer is no STUN message".to_owned());
    }
    message.resize(HEADER + length, 0);
    stream.read_exact(&mut message[HEADER..]).await.map_err(failed)?;
    binding_response(&message, &id).unwrap_or_else(|| Err("its answer is none to this request".to_owned()))
}

type Transaction = [u8; 12];

/// Unpredictable, so that only who sees the request can answer it.
fn transaction() -> Result<Transaction, String> {
    let mut id = Transaction::default();
    let random = aws_lc_rs::default_provider().secure_random.fill(&mut id);
    random.map_err(|_| "this host has no random numbers".to_owned())?;
    Ok(id)
}

/// RFC 8489, section 5: type, length, magic cookie, transaction id.
fn binding_request(id: &Transaction) -> [u8; HEADER] {
    let mut request = [0; HEADER];
    request[1] = 1;
    request[4..8].copy_from_slice(&COOKIE);
    request[8..].copy_from_slice(id);
    request
}

/// What an answer to this request says; `None` when it is none.
fn binding_response(message: &[u8], id: &Transaction) -> Option<Result<IpAddr, String>> {
    let (header, mut rest) = message.split_at_checked(HEADER)?;
    let kind = u16::from_be_bytes([header[0], header[1]]);
    let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
    if header[4..8] != COOKIE || header[8..] != *id || rest.len() < length || ![SUCCESS, FAILURE].contains(&kind) {
        return None;
    }
    rest = &rest[..length];
    while let Some((head, tail)) = rest.split_at_checked(4) {
        let attribute = u16::from_be_bytes([head[0], head[1]]);
        let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let Some(value) = tail.get(..length) else { break };
        match (kind, attribute) {
            (SUCCESS, XOR_MAPPED_ADDRESS) => {
                return Some(mapped(value, id).ok_or_else(|| "its mapped address cannot be read".to_owned()));
            }
            (FAILURE, ERROR_CODE) if value.len() >= 4 => {
                let code = u16::from(value[2] & 7) * 100 + u16::from(value[3]);
                return Some(Err(format!("STUN error {code}")));
            }
            _ => {}
        }
        // Values are padded to four bytes.
        rest = tail.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Some(Err("its answer names no address".to_owned()))
}

/// RFC 8489, section 14.2.
fn mapped(value: &[u8], id: &Transaction) -> Option<IpAddr> {
    let mut key = [0; 16];
    key[..4].copy_from_slice(&COOKIE);
    key[4..].copy_from_slice(id);
    let address = value.get(4..)?;
    let plain = |index: usize| address[index] ^ key[index];
    match (value.get(1)?, address.len()) {
        (1, 4) => Some(IpAddr::V4(Ipv4Addr::from(std::array::from_fn::<u8, 4, _>(plain)))),
        (2, 16) => Some(IpAddr::V6(Ipv6Addr::from(std::array::from_fn::<u8, 16, _>(plain)))),
        _ => None,
    }
}

const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const HEADER: usize = 20;
const SUCCESS: u16 = 0x0101;
const FAILURE: u16 = 0x0111;
const ERROR_CODE: u16 = 0x0009;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
/// Of a STUN message: far above what a binding response needs.
const LARGEST_MESSAGE: usize = 2_048;
/// Before a request is sent again (RFC 8489, section 6.2.1), then twice as long each time.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// Of the head of an HTTP answer.
const LARGEST_HEAD: usize = 16 * 1_024;
/// Of its body, in bytes.
const LARGEST_BODY: usize = 8 * 1_024;
/// Members of a JSON object that tell the address, in the order of trust.
const MEMBERS: &[&str] = &["ip", "origin", "address", "ip_addr", "ipAddress", "clientIp", "query", "your_ip"];
/// Addresses of one name that are tried.
const MAXIMUM_ADDRESSES: usize = 2;
/// Shorter than a pause between the rounds of a run that waits for a change.
const FRESH: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;

//! A tunnel through a proxy: connect, TLS with an `https` proxy, then CONNECT or SOCKS 5, each a stage of its own.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use rustls::RootCertStore;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    time::timeout,
};

use crate::{
    ClusterCa, DnsObservation, Endpoint, ProxyObservation, ProxyScheme, ProxyTarget, TcpOutcome, TcpStage, TlsOutcome,
    TlsStage, Trust, TunnelOutcome, TunnelStage,
    tcp::{self, ConnectSettings, milliseconds},
    tls::{self, Hello},
};

/// A byte stream in both directions, whatever carries it.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A stream whose carrier does not matter any more.
pub type BoxedStream = Box<dyn Stream>;

/// Opens a tunnel through `proxy` to `host:port`; `host` is a name or an address literal without brackets.
///
/// `addresses` are the proxy's own, tried in order until one connects; `dns` is the lookup that gave them, kept as
/// evidence. Connect, handshake and the proxy's answer are each bound by `settings.timeout`. The stream is there exactly
/// when the outcome is [`TunnelOutcome::Established`], and gives every byte that followed the proxy's answer.
///
/// Credentials go to the proxy only, and to an `https` proxy only after its certificate has been verified.
pub async fn tunnel(
    proxy: &ProxyTarget,
    dns: Option<DnsObservation>,
    addresses: &[IpAddr],
    host: &str,
    port: u16,
    settings: ConnectSettings<'_>,
) -> (ProxyObservation, Option<BoxedStream>) {
    let mut observation = ProxyObservation {
        url: proxy.redacted(),
        dns,
        address: None,
        tcp: TcpStage {
            outcome: TcpOutcome::Unreachable,
            ms: 0.0,
            detail: Some("the proxy has no address".to_owned()),
            source: None,
            icmp: None,
        },
        tls: None,
        tunnel: TunnelStage { outcome: TunnelOutcome::Skipped, status: None, ms: 0.0, detail: None },
    };
    let mut connected = None;
    for address in addresses.iter().take(MAXIMUM_ADDRESSES) {
        let (stage, stream) = tcp::connect(SocketAddr::new(*address, proxy.port), settings).await;
        observation.address = Some(*address);
        observation.tcp = stage;
        connected = stream;
        if connected.is_some() {
            break;
        }
    }
    let Some(stream) = connected else { return (observation, None) };
    let mut stream: BoxedStream = if proxy.scheme == ProxyScheme::Https {
        let (stage, stream) = secured(stream, proxy, settings.timeout).await;
        let verified = stage.outcome == TlsOutcome::Verified;
        observation.tls = Some(stage);
        match stream {
            Some(stream) if verified => stream,
            _ => return (observation, None),
        }
    } else {
        Box::new(stream)
    };
    let start = Instant::now();
    let asked = async {
        match proxy.scheme {
            ProxyScheme::Http | ProxyScheme::Https => connect_method(&mut stream, proxy, host, port).await,
            ProxyScheme::Socks5 | ProxyScheme::Socks5h => socks(&mut stream, proxy, host, port).await,
        }
    };
    let answer = match timeout(settings.timeout, asked).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => Answer::of_error(&error),
        Err(_) => Answer::new(TunnelOutcome::Timeout, format!("no complete answer within {:?}", settings.timeout)),
    };
    observation.tunnel = TunnelStage {
        outcome: answer.outcome,
        status: answer.status,
        ms: milliseconds(start.elapsed()),
        detail: answer.detail,
    };
    if answer.outcome != TunnelOutcome::Established {
        return (observation, None);
    }
    let stream: BoxedStream =
        if answer.rest.is_empty() { stream } else { Box::new(Preceded { rest: answer.rest, given: 0, inner: stream }) };
    (observation, Some(stream))
}

/// What a proxy answered.
struct Answer {
    outcome: TunnelOutcome,
    status: Option<u16>,
    detail: Option<String>,
    /// Bytes after the answer: the tunnel's first.
    rest: Vec<u8>,
}

impl Answer {
    fn new(outcome: TunnelOutcome, detail: impl Into<String>) -> Self {
        Self { outcome, status: None, detail: Some(detail.into()), rest: Vec::new() }
    }

    fn of_error(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::InvalidInput => Self::new(TunnelOutcome::Denied, error.to_string()),
            io::ErrorKind::UnexpectedEof => {
                Self::new(TunnelOutcome::Closed, "the proxy closed the connection without an answer")
            }
            _ => Self::new(TunnelOutcome::Closed, error.to_string()),
        }
    }
}

async fn secured(
    stream: tokio::net::TcpStream,
    proxy: &ProxyTarget,
    limit: Duration,
) -> (TlsStage, Option<BoxedStream>) {
    let trust = match &proxy.roots {
        None => Trust::SystemRoots,
        Some(certificates) => {
            let mut roots = RootCertStore::empty();
            // One that is no trust anchor cannot vouch for the proxy; the handshake then says untrusted.
            roots.add_parsable_certificates(certificates.iter().cloned());
            Trust::ClusterCa(Arc::new(ClusterCa { roots, certificates: certificates.as_ref().clone() }))
        }
    };
    let (stage, stream) = tls::handshake(stream, &proxy.host, &trust, Hello::Http1, None, limit).await;
    (stage, stream.map(|stream| Box::new(stream) as BoxedStream))
}

async fn connect_method(stream: &mut BoxedStream, proxy: &ProxyTarget, host: &str, port: u16) -> io::Result<Answer> {
    if host.is_empty() || host.chars().any(|character| character.is_control() || character.is_whitespace()) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the target's name cannot be sent to a proxy"));
    }
    let target = Endpoint { host: host.to_owned(), port };
    let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
    if let Some((user, password)) = &proxy.credentials {
        request.push_str("Proxy-Authorization: Basic ");
        BASE64_STANDARD.encode_string(format!("{user}:{password}"), &mut request);
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let mut head = Vec::with_capacity(512);
    for _ in 0..=MAXIMUM_INTERIM_ANSWERS {
        let end = match read_head(stream, &mut head).await? {
            Head::Ends(end) => end,
            Head::Foreign => return Ok(Answer::new(TunnelOutcome::NotAProxy, first_bytes(&head))),
            Head::TooLong => {
                return Ok(Answer::new(TunnelOutcome::NotAProxy, "the head of the answer does not end within 16 KiB"));
            }
            Head::Closed if head.is_empty() => return Err(io::ErrorKind::UnexpectedEof.into()),
            Head::Closed => {
                return Ok(Answer::new(TunnelOutcome::Closed, "the proxy closed the connection within its answer"));
            }
        };
        let rest = head.split_off(end);
        let Some((status, words)) = status_line(&head) else {
            return Ok(Answer::new(TunnelOutcome::NotAProxy, first_bytes(&head)));
        };
        if (100..200).contains(&status) && status != SWITCHING_PROTOCOLS {
            head = rest;
            continue;
        }
        let outcome = outcome_of_status(status);
        let detail = (outcome != TunnelOutcome::Established).then_some(words);
        return Ok(Answer { outcome, status: Some(status), detail, rest });
    }
    Ok(Answer::new(TunnelOutcome::NotAProxy, "interim answers without end"))
}

/// How far the head of an answer came.
enum Head {
    /// It ends before this byte.
    Ends(usize),
    /// It does not begin like HTTP.
    Foreign,
    TooLong,
    Closed,
}

/// Reads until a head is complete; what is in `head` already counts.
async fn read_head(stream: &mut BoxedStream, head: &mut Vec<u8>) -> io::Result<Head> {
    let mut searched: usize = 0;
    loop {
        let begins = &head[..head.len().min(HTTP.len())];
        if !HTTP.starts_with(begins) {
            return Ok(Head::Foreign);
        }
        // Only what is new, and the few bytes before it that may begin the end.
        let from = searched.saturating_sub(3);
        if let Some(end) = end_of_head(&head[from..]) {
            return Ok(Head::Ends(from + end));
        }
        searched = head.len();
        if head.len() >= MAXIMUM_HEAD {
            return Ok(Head::TooLong);
        }
        let room = (MAXIMUM_HEAD - head.len()) as u64;
        if (&mut *stream).take(room).read_buf(head).await? == 0 {
            return Ok(Head::Closed);
        }
    }
}

/// Where the empty line ends, by CRLF or by the bare LF that careless proxies send.
fn end_of_head(bytes: &[u8]) -> Option<usize> {
    let strict = bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|position| position + 4);
    let bare = bytes.windows(2).position(|window| window == b"\n\n").map(|position| position + 2);
    strict.into_iter().chain(bare).min()
}

/// Status and reason of a head; the reason is cut and free of control characters.
fn status_line(head: &[u8]) -> Option<(u16, String)> {
    let line = head.split(|byte| *byte == b'\n').next()?;
    let line = String::from_utf8_lossy(line);
    let mut parts = line.trim_end().splitn(3, ' ');
    let version = parts.next()?;
    if !matches!(version, "HTTP/1.0" | "HTTP/1.1") {
        return None;
    }
    let digits = parts.next().filter(|digits| digits.len() == 3)?;
    let status: u16 = digits.parse().ok().filter(|status| (100..600).contains(status))?;
    let reason = printable(parts.next().unwrap_or_default());
    Some((status, if reason.is_empty() { format!("HTTP {status}") } else { format!("HTTP {status} {reason}") }))
}

const fn outcome_of_status(status: u16) -> TunnelOutcome {
    match status {
        200..=299 => TunnelOutcome::Established,
        407 => TunnelOutcome::AuthenticationRequired,
        400..=499 => TunnelOutcome::Denied,
        500..=599 => TunnelOutcome::TargetUnreachable,
        // A redirect (a captive portal's) or a protocol switch answers no CONNECT.
        _ => TunnelOutcome::NotAProxy,
    }
}

/// RFC 1928, and RFC 1929 for user and password.
async fn socks(stream: &mut BoxedStream, proxy: &ProxyTarget, host: &str, port: u16) -> io::Result<Answer> {
    let unsendable =
        |what: &str| io::Error::new(io::ErrorKind::InvalidInput, format!("{what} cannot be sent to a SOCKS proxy"));
    let mut request = vec![SOCKS_VERSION, 1, 0];
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(v4)) => {
            request.push(SOCKS_IPV4);
            request.extend(v4.octets());
        }
        Ok(IpAddr::V6(v6)) => {
            request.push(SOCKS_IPV6);
            request.extend(v6.octets());
        }
        Err(_) => {
            request.push(SOCKS_NAME);
            request.push(
                u8::try_from(host.len())
                    .ok()
                    .filter(|length| *length > 0)
                    .ok_or_else(|| unsendable("the target's name"))?,
            );
            request.extend(host.as_bytes());
        }
    }
    request.extend(port.to_be_bytes());

    let methods: &[u8] = if proxy.credentials.is_some() {
        &[SOCKS_VERSION, 2, SOCKS_OPEN, SOCKS_PASSWORD]
    } else {
        &[SOCKS_VERSION, 1, SOCKS_OPEN]
    };
    stream.write_all(methods).await?;
    stream.flush().await?;
    let mut chosen = [0; 2];
    if let Some(answer) = read_reply(stream, &mut chosen).await? {
        return Ok(answer);
    }
    match (chosen[1], &proxy.credentials) {
        (SOCKS_OPEN, _) => {}
        (SOCKS_PASSWORD, Some((user, password))) => {
            let length =
                |text: &str| u8::try_from(text.len()).map_err(|_| unsendable("a user or password of over 255 bytes"));
            let mut login = vec![SOCKS_LOGIN_VERSION, length(user)?];
            login.extend(user.as_bytes());
            login.push(length(password)?);
            login.extend(password.as_bytes());
            stream.write_all(&login).await?;
            stream.flush().await?;
            let mut verdict = [0; 2];
            stream.read_exact(&mut verdict).await?;
            if verdict[1] != 0 {
                return Ok(Answer::new(
                    TunnelOutcome::AuthenticationRequired,
                    format!("the proxy rejects the user or the password (status {})", verdict[1]),
                ));
            }
        }
        (SOCKS_NONE_ACCEPTABLE | SOCKS_PASSWORD, _) => {
            let words = if proxy.credentials.is_some() {
                "the proxy accepts neither user and password nor their absence"
            } else {
                "the proxy wants a user and a password"
            };
            return Ok(Answer::new(TunnelOutcome::AuthenticationRequired, words));
        }
        (other, _) => {
            return Ok(Answer::new(
                TunnelOutcome::NotAProxy,
                format!("chose SOCKS method {other}, which was not offered"),
            ));
        }
    }
    stream.write_all(&request).await?;
    stream.flush().await?;
    let mut reply = [0; 4];
    if let Some(answer) = read_reply(stream, &mut reply).await? {
        return Ok(answer);
    }
    if reply[1] != 0 {
        let (outcome, words) = socks_refusal(reply[1]);
        return Ok(Answer::new(outcome, format!("SOCKS reply {}: {words}", reply[1])));
    }
    // The address that the proxy connects from: of no interest, but it stands before the tunnel's first byte.
    let length = match reply[3] {
        SOCKS_IPV4 => size_of::<Ipv4Addr>(),
        SOCKS_IPV6 => size_of::<Ipv6Addr>(),
        SOCKS_NAME => usize::from(stream.read_u8().await?),
        other => {
            return Ok(Answer::new(TunnelOutcome::NotAProxy, format!("SOCKS reply with address type {other}")));
        }
    };
    let mut bound = [0; 257];
    stream.read_exact(&mut bound[..length + size_of::<u16>()]).await?;
    Ok(Answer { outcome: TunnelOutcome::Established, status: None, detail: None, rest: Vec::new() })
}

/// Fills `reply`; an answer where its first byte is not that of SOCKS 5.
async fn read_reply(stream: &mut BoxedStream, reply: &mut [u8]) -> io::Result<Option<Answer>> {
    let mut filled = 0;
    while filled < reply.len() {
        let count = stream.read(&mut reply[filled..]).await?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        filled += count;
        if reply[0] != SOCKS_VERSION {
            return Ok(Some(Answer::new(TunnelOutcome::NotAProxy, first_bytes(&reply[..filled]))));
        }
    }
    Ok(None)
}

/// RFC 1928, section 6.
const fn socks_refusal(code: u8) -> (TunnelOutcome, &'static str) {
    match code {
        1 => (TunnelOutcome::TargetUnreachable, "general failure"),
        2 => (TunnelOutcome::Denied, "not allowed by the proxy's rules"),
        3 => (TunnelOutcome::TargetUnreachable, "network unreachable"),
        4 => (TunnelOutcome::TargetUnreachable, "host unreachable"),
        5 => (TunnelOutcome::TargetUnreachable, "connection refused"),
        6 => (TunnelOutcome::TargetUnreachable, "time to live expired"),
        7 => (TunnelOutcome::Denied, "command not supported"),
        8 => (TunnelOutcome::Denied, "address type not supported"),
        _ => (TunnelOutcome::TargetUnreachable, "unknown failure"),
    }
}

fn first_bytes(bytes: &[u8]) -> String {
    format!("the answer is not that of such a proxy, it begins with {:?}", printable(&String::from_utf8_lossy(bytes)))
}

/// Text of a peer's, cut and without control characters.
fn printable(text: &str) -> String {
    let visible = |character: char| if character.is_control() { ' ' } else { character };
    text.chars().take(MAXIMUM_WORDS).map(visible).collect::<String>().trim().to_owned()
}

/// A stream that first gives bytes which were read too early.
struct Preceded {
    rest: Vec<u8>,
    given: usize,
    inner: BoxedStream,
}

impl AsyncRead for Preceded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.given == self.rest.len() {
            return Pin::new(&mut self.inner).poll_read(context, buffer);
        }
        let count = buffer.remaining().min(self.rest.len() - self.given);
        buffer.put_slice(&self.rest[self.given..self.given + count]);
        self.given += count;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Preceded {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

const HTTP: &[u8] = b"HTTP/1.";
const SWITCHING_PROTOCOLS: u16 = 101;
const MAXIMUM_ADDRESSES: usize = 8;
const MAXIMUM_HEAD: usize = 16 << 10;
const MAXIMUM_INTERIM_ANSWERS: usize = 4;
const MAXIMUM_WORDS: usize = 120;
const SOCKS_VERSION: u8 = 5;
const SOCKS_LOGIN_VERSION: u8 = 1;
const SOCKS_OPEN: u8 = 0;
const SOCKS_PASSWORD: u8 = 2;
const SOCKS_NONE_ACCEPTABLE: u8 = 0xff;
const SOCKS_IPV4: u8 = 1;
const SOCKS_NAME: u8 = 3;
const SOCKS_IPV6: u8 = 4;

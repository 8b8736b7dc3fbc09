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
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    time::timeout,
};

use crate::{
    DnsObservation, Endpoint, ProxyObservation, ProxyScheme, ProxyTarget, TcpOutcome, TcpStage, TlsOutcome, TlsStage,
    Trust, TunnelOutcome, TunnelStage,
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
        detail: answer.detail.map(|words| presentable(&words, proxy)),
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
    let trust = match &proxy.authorities {
        None => Trust::SystemRoots,
        Some(authorities) => Trust::ClusterCa(Arc::clone(authorities)),
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

/// Status of a head, and the status with its reason in words.
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
    let reason = parts.next().unwrap_or_default().trim();
    Some((status, if reason.is_empty() { format!("HTTP {status}") } else { format!("HTTP {status} {reason}") }))
}

const fn outcome_of_status(status: u16) -> TunnelOutcome {
    match status {
        200..=299 => TunnelOutcome::Established,
        // Some proxies (tinyproxy) answer wrong credentials with 401, as if they were the server.
        401 | 407 => TunnelOutcome::AuthenticationRequired,
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
    let line = bytes.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
    format!("the answer is not that of such a proxy, it begins with {:?}", String::from_utf8_lossy(line))
}

/// A peer's words without control characters, without the credentials that it may echo, and cut.
fn presentable(words: &str, proxy: &ProxyTarget) -> String {
    let mut words: String =
        words.chars().map(|character| if character.is_control() { ' ' } else { character }).collect();
    if let Some((user, password)) = &proxy.credentials {
        for secret in [&BASE64_STANDARD.encode(format!("{user}:{password}")), password] {
            if !secret.is_empty() {
                words = words.replace(secret.as_str(), "(credentials)");
            }
        }
    }
    words.trim().chars().take(MAXIMUM_WORDS).collect()
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
const MAXIMUM_WORDS: usize = 200;
const SOCKS_VERSION: u8 = 5;
const SOCKS_LOGIN_VERSION: u8 = 1;
const SOCKS_OPEN: u8 = 0;
const SOCKS_PASSWORD: u8 = 2;
const SOCKS_NONE_ACCEPTABLE: u8 = 0xff;
const SOCKS_IPV4: u8 = 1;
const SOCKS_NAME: u8 = 3;
const SOCKS_IPV6: u8 = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SourceBinding;
    use tokio::net::{TcpListener, TcpStream};

    /// What a fake proxy does with its connection.
    #[derive(Clone)]
    enum Fake {
        /// Reads until the request ends, says this, then echoes.
        Says(&'static str),
        /// Says these bytes as the answers to what it reads, one a read, then echoes.
        Replies(Vec<Vec<u8>>),
        /// Says this, one byte every 20 ms.
        Drips(&'static str),
        /// A header that never ends.
        Floods,
        ClosesAfter(&'static str),
        Silent,
    }

    async fn serve(mut stream: TcpStream, fake: Fake) -> Vec<u8> {
        let mut seen = vec![0; 4096];
        let mut asked = Vec::new();
        match fake {
            Fake::Says(words) => {
                let count = stream.read(&mut seen).await.unwrap();
                asked.extend_from_slice(&seen[..count]);
                let _ = stream.write_all(words.as_bytes()).await;
                let (mut reader, mut writer) = stream.split();
                let _ = tokio::io::copy(&mut reader, &mut writer).await;
            }
            Fake::Replies(replies) => {
                for reply in replies {
                    let count = stream.read(&mut seen).await.unwrap();
                    asked.extend_from_slice(&seen[..count]);
                    let _ = stream.write_all(&reply).await;
                }
                let (mut reader, mut writer) = stream.split();
                let _ = tokio::io::copy(&mut reader, &mut writer).await;
            }
            Fake::Drips(words) => {
                for byte in words.bytes() {
                    let _ = stream.write_all(&[byte]).await;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                tokio::time::sleep(Duration::from_secs(5)).await;
            }
            Fake::Floods => {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nX: ").await;
                while stream.write_all(&[b'x'; 1024]).await.is_ok() {}
            }
            Fake::ClosesAfter(words) => {
                let count = stream.read(&mut seen).await.unwrap();
                asked.extend_from_slice(&seen[..count]);
                let _ = stream.write_all(words.as_bytes()).await;
            }
            Fake::Silent => tokio::time::sleep(Duration::from_secs(5)).await,
        }
        asked
    }

    struct Told {
        observation: ProxyObservation,
        stream: Option<BoxedStream>,
        server: tokio::task::JoinHandle<Vec<u8>>,
    }

    async fn through(fake: Fake, scheme: ProxyScheme, credentials: Option<(&str, &str)>, host: &str) -> Told {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            serve(stream, fake).await
        });
        let proxy = ProxyTarget {
            scheme,
            host: "proxy.test".into(),
            port,
            credentials: credentials.map(|(user, password)| (user.into(), password.into())),
            authorities: None,
        };
        let source = SourceBinding::default();
        let settings = ConnectSettings {
            timeout: Duration::from_millis(500),
            source: &source,
            maximum_segment: None,
            permit: None,
        };
        // The first address refuses, so that every test also shows the second one taken.
        let addresses = ["127.0.0.2".parse().unwrap(), "127.0.0.1".parse().unwrap()];
        let (observation, stream) = tunnel(&proxy, None, &addresses, host, 443, settings).await;
        assert_eq!(observation.address, Some(addresses[1]));
        assert_eq!(observation.tcp.outcome, TcpOutcome::Connected);
        assert_eq!(stream.is_some(), observation.tunnel.outcome == TunnelOutcome::Established);
        Told { observation, stream, server }
    }

    async fn http(fake: Fake) -> TunnelStage {
        let start = Instant::now();
        let told = through(fake, ProxyScheme::Http, None, "api.test").await;
        assert!(start.elapsed() < Duration::from_secs(2));
        told.server.abort();
        told.observation.tunnel
    }

    #[tokio::test]
    async fn bytes_after_the_head_belong_to_the_tunnel() {
        let fake = Fake::Says("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 Connection established\r\nA: b\r\n\r\nfirst ");
        let told = through(fake, ProxyScheme::Http, None, "fd00::1").await;
        assert_eq!(told.observation.tunnel.status, Some(200));
        assert_eq!(told.observation.tunnel.detail, None);
        let mut stream = told.stream.unwrap();
        stream.write_all(b"second").await.unwrap();
        let mut all = [0; 12];
        stream.read_exact(&mut all).await.unwrap();
        assert_eq!(&all, b"first second");
        drop(stream);
        let asked = String::from_utf8(told.server.await.unwrap()).unwrap();
        assert_eq!(asked, "CONNECT [fd00::1]:443 HTTP/1.1\r\nHost: [fd00::1]:443\r\n\r\n");
    }

    #[tokio::test]
    async fn statuses_say_why_there_is_no_tunnel() {
        for (words, outcome, status) in [
            ("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", TunnelOutcome::AuthenticationRequired, 407),
            ("HTTP/1.0 401 Unauthorized\r\n\r\n", TunnelOutcome::AuthenticationRequired, 401),
            ("HTTP/1.0 403 Forbidden\r\nServer: x\r\n\r\nno", TunnelOutcome::Denied, 403),
            ("HTTP/1.1 405 Not here\n\n", TunnelOutcome::Denied, 405),
            ("HTTP/1.1 502 Bad Gateway\r\n\r\n", TunnelOutcome::TargetUnreachable, 502),
            ("HTTP/1.1 503\r\n\r\n", TunnelOutcome::TargetUnreachable, 503),
            ("HTTP/1.1 504 Gateway Timeout\r\n\r\n", TunnelOutcome::TargetUnreachable, 504),
            ("HTTP/1.1 302 Found\r\nLocation: http://portal/\r\n\r\n", TunnelOutcome::NotAProxy, 302),
        ] {
            let stage = http(Fake::Says(words)).await;
            assert_eq!((stage.outcome, stage.status), (outcome, Some(status)), "{stage:?}");
            assert!(stage.detail.is_some_and(|detail| detail.starts_with(&format!("HTTP {status}"))));
        }
    }

    #[tokio::test]
    async fn peers_that_are_no_proxy_or_fall_silent_are_told_apart() {
        for (fake, outcome) in [
            (Fake::Says("SSH-2.0-OpenSSH_9.2\r\n"), TunnelOutcome::NotAProxy),
            (Fake::Says("\u{0}\u{1}\u{2}garbage"), TunnelOutcome::NotAProxy),
            (Fake::Says("HTTP/1.1 999 Odd\r\n\r\n"), TunnelOutcome::NotAProxy),
            (Fake::Says("HTTP/1.1 2oo OK\r\n\r\n"), TunnelOutcome::NotAProxy),
            (Fake::Says("HTTP/1.1 200 OK\r\n"), TunnelOutcome::Timeout),
            (Fake::Drips("HTTP/1.1 200 OK\r\nServer: a very slow one indeed\r\n\r\n"), TunnelOutcome::Timeout),
            (Fake::Floods, TunnelOutcome::NotAProxy),
            (Fake::ClosesAfter(""), TunnelOutcome::Closed),
            (Fake::ClosesAfter("HTTP/1.1 200 OK\r\nServ"), TunnelOutcome::Closed),
            (Fake::Silent, TunnelOutcome::Timeout),
        ] {
            let stage = http(fake).await;
            assert_eq!(stage.outcome, outcome, "{stage:?}");
            assert!(stage.detail.is_some_and(|detail| !detail.chars().any(char::is_control)));
        }
    }

    #[tokio::test]
    async fn credentials_are_sent_and_never_shown() {
        let echo = "HTTP/1.1 407 dXNlcjpzM2NyZXQ= s3cret\r\n\r\n";
        let told = through(Fake::Says(echo), ProxyScheme::Http, Some(("user", "s3cret")), "api.test").await;
        let shown = format!("{:?}", told.observation) + &serde_json::to_string(&told.observation).unwrap();
        assert!(!shown.contains("s3cret") && !shown.contains("dXNlcjpzM2NyZXQ="), "{shown}");
        let asked = String::from_utf8(told.server.await.unwrap()).unwrap();
        assert!(asked.contains("\r\nProxy-Authorization: Basic dXNlcjpzM2NyZXQ=\r\n"), "{asked}");

        let logged_in = Fake::Replies(vec![vec![5, 2], vec![1, 1]]);
        let told = through(logged_in, ProxyScheme::Socks5h, Some(("user", "s3cret")), "api.test").await;
        assert_eq!(told.observation.tunnel.outcome, TunnelOutcome::AuthenticationRequired);
        assert!(!format!("{:?}", told.observation).contains("s3cret"));
        assert_eq!(told.server.await.unwrap(), b"\x05\x02\x00\x02\x01\x04user\x06s3cret");
    }

    #[tokio::test]
    async fn a_name_that_would_break_the_request_is_not_sent() {
        let told = through(Fake::Silent, ProxyScheme::Http, None, "a\r\nEvil: yes").await;
        assert_eq!(told.observation.tunnel.outcome, TunnelOutcome::Denied);
        let told = through(Fake::Silent, ProxyScheme::Socks5h, None, &"a".repeat(256)).await;
        assert_eq!(told.observation.tunnel.outcome, TunnelOutcome::Denied);
    }

    #[tokio::test]
    async fn socks_tunnels_by_name_and_by_address() {
        for (scheme, host, credentials, replies, asked) in [
            (
                ProxyScheme::Socks5h,
                "api.test",
                None,
                vec![vec![5, 0], b"\x05\x00\x00\x01\x7f\x00\x00\x01\x12\x34hi".to_vec()],
                b"\x05\x01\x00\x05\x01\x00\x03\x08api.test\x01\xbb".to_vec(),
            ),
            (
                ProxyScheme::Socks5,
                "10.1.2.3",
                Some(("u", "p")),
                vec![vec![5, 2], vec![1, 0], b"\x05\x00\x00\x03\x02ab\x00\x00hi".to_vec()],
                b"\x05\x02\x00\x02\x01\x01u\x01p\x05\x01\x00\x01\x0a\x01\x02\x03\x01\xbb".to_vec(),
            ),
        ] {
            let told = through(Fake::Replies(replies), scheme, credentials, host).await;
            assert_eq!(told.observation.tunnel.outcome, TunnelOutcome::Established, "{:?}", told.observation.tunnel);
            let mut stream = told.stream.unwrap();
            let mut two = [0; 2];
            stream.read_exact(&mut two).await.unwrap();
            assert_eq!(&two, b"hi");
            drop(stream);
            assert_eq!(told.server.await.unwrap(), asked);
        }
    }

    #[tokio::test]
    async fn socks_refusals_are_told_apart() {
        let refused = |code: u8| Fake::Replies(vec![vec![5, 0], vec![5, code, 0, 1, 0, 0, 0, 0, 0, 0]]);
        for (fake, outcome) in [
            (refused(1), TunnelOutcome::TargetUnreachable),
            (refused(2), TunnelOutcome::Denied),
            (refused(3), TunnelOutcome::TargetUnreachable),
            (refused(4), TunnelOutcome::TargetUnreachable),
            (refused(5), TunnelOutcome::TargetUnreachable),
            (refused(6), TunnelOutcome::TargetUnreachable),
            (refused(7), TunnelOutcome::Denied),
            (refused(8), TunnelOutcome::Denied),
            (refused(99), TunnelOutcome::TargetUnreachable),
            (Fake::Replies(vec![vec![5, 0xff]]), TunnelOutcome::AuthenticationRequired),
            (Fake::Replies(vec![vec![5, 2]]), TunnelOutcome::AuthenticationRequired),
            (Fake::Replies(vec![vec![5, 1]]), TunnelOutcome::NotAProxy),
            (Fake::Replies(vec![vec![4, 0]]), TunnelOutcome::NotAProxy),
            (Fake::Replies(vec![vec![5, 0], vec![5, 0, 0, 9, 0, 0]]), TunnelOutcome::NotAProxy),
            (Fake::Says("HTTP/1.1 400 Bad Request\r\n\r\n"), TunnelOutcome::NotAProxy),
            (Fake::ClosesAfter(""), TunnelOutcome::Closed),
            (Fake::ClosesAfter("\u{5}"), TunnelOutcome::Closed),
            (Fake::Drips("\u{5}"), TunnelOutcome::Timeout),
            (Fake::Silent, TunnelOutcome::Timeout),
        ] {
            let told = through(fake, ProxyScheme::Socks5h, None, "api.test").await;
            told.server.abort();
            assert_eq!(told.observation.tunnel.outcome, outcome, "{:?}", told.observation.tunnel);
        }
    }

    #[tokio::test]
    async fn an_https_proxy_that_does_not_speak_tls_gets_no_credentials() {
        let fake = Fake::Says("HTTP/1.1 400 Bad Request\r\n\r\n");
        let told = through(fake, ProxyScheme::Https, Some(("user", "s3cret")), "api.test").await;
        assert_eq!(told.observation.tls.unwrap().outcome, TlsOutcome::NotTls);
        assert_eq!(told.observation.tunnel.outcome, TunnelOutcome::Skipped);
        told.server.abort();
    }

    #[tokio::test]
    async fn an_https_proxy_is_verified_before_it_is_asked() {
        let authority = rcgen::generate_simple_self_signed(vec!["proxy.test".to_owned()]).unwrap();
        let certificate = authority.cert.der().clone();
        let pem = authority.cert.pem();
        let key = rustls::pki_types::PrivateKeyDer::try_from(authority.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let mut asked = [0; 512];
                let _ = stream.read(&mut asked).await;
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nhi").await;
                let _ = stream.flush().await;
                let _ = stream.read(&mut asked).await;
            }
        });
        let source = SourceBinding::default();
        let settings =
            ConnectSettings { timeout: Duration::from_secs(2), source: &source, maximum_segment: None, permit: None };
        for (host, verified) in [("proxy.test", true), ("other.test", false)] {
            let proxy = ProxyTarget {
                scheme: ProxyScheme::Https,
                host: host.into(),
                port,
                credentials: None,
                authorities: Some(Arc::new(crate::ClusterCa::from_pem(&pem).unwrap())),
            };
            let address = ["127.0.0.1".parse().unwrap()];
            let (observation, stream) = tunnel(&proxy, None, &address, "api.test", 443, settings).await;
            let outcome = observation.tls.unwrap().outcome;
            assert_eq!(outcome == TlsOutcome::Verified, verified, "{outcome:?}");
            if let Some(mut stream) = stream {
                let mut two = [0; 2];
                stream.read_exact(&mut two).await.unwrap();
                assert_eq!(&two, b"hi");
            } else {
                assert!(!verified);
                assert_eq!(observation.tunnel.outcome, TunnelOutcome::Skipped);
            }
        }
    }

    #[tokio::test]
    async fn a_proxy_without_address_is_not_asked() {
        let proxy = ProxyTarget {
            scheme: ProxyScheme::Http,
            host: "proxy.test".into(),
            port: 3128,
            credentials: None,
            authorities: None,
        };
        let source = SourceBinding::default();
        let settings =
            ConnectSettings { timeout: Duration::from_secs(1), source: &source, maximum_segment: None, permit: None };
        let (observation, stream) = tunnel(&proxy, None, &[], "api.test", 443, settings).await;
        assert!(stream.is_none() && observation.address.is_none());
        assert_eq!(observation.tunnel.outcome, TunnelOutcome::Skipped);
    }
}

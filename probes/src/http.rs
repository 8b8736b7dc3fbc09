//! HTTP on the very stream whose handshake was measured: is this a Kubernetes API server, and what does it say?

use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use jiff::Timestamp;
use serde::Deserialize;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::JoinHandle,
};

use crate::{Credentials, HttpOutcome, HttpRequest, HttpStage};

/// What to ask on a stream.
#[derive(Clone, Copy, Debug)]
pub struct Exchange<'a> {
    /// `host` or `host:port` for the `Host` header.
    pub authority: &'a str,
    /// Path below which the API lives.
    pub base_path: &'a str,
    /// Paths to ask below it, the deciding one first.
    pub paths: &'a [String],
    /// Sent with each request when given; the caller has verified the peer.
    pub credentials: Option<&'a Credentials>,
    /// Whether ALPN agreed on HTTP/2.
    pub http2: bool,
    /// Bound of the session's set-up and of the deciding answer; each further request gets at most a second.
    pub timeout: Duration,
}

/// Asks the API server and tells what answered. The stream is closed afterwards.
pub async fn exchange<S>(stream: S, exchange: Exchange<'_>) -> HttpStage
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut stage = converse(stream, exchange).await;
    if let Some(credentials) = exchange.credentials {
        hide(&mut stage, credentials);
    }
    stage
}

async fn converse<S>(stream: S, exchange: Exchange<'_>) -> HttpStage
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let started = Instant::now();
    let session = tokio::time::timeout(exchange.timeout, connect(stream, exchange.http2)).await;
    let mut session = match session {
        Ok(Ok(session)) => session,
        Ok(Err(error)) => return failed(classify(&error), &error, started, exchange),
        Err(_elapsed) => return failed(HttpOutcome::Timeout, &"no HTTP session within the time", started, exchange),
    };
    let Some((first, rest)) = exchange.paths.split_first() else {
        return HttpStage::skipped();
    };
    let decisive = ask(&mut session, first, exchange).await;
    let mut stage = match &decisive {
        Ok(answer) => from_answer(answer, started, exchange),
        Err(Failure { outcome, detail, .. }) => failed(*outcome, detail, started, exchange),
    };
    stage
        .requests
        .push(decisive.as_ref().map_or_else(|failure| failure.request(first), |answer| answer.request(first)));
    if decisive.is_ok() {
        let exchange = Exchange { timeout: exchange.timeout.min(FURTHER_REQUEST), ..exchange };
        for path in rest {
            let answer = ask(&mut session, path, exchange).await;
            if let Ok(answer) = &answer
                && answer.is_api_server()
                && stage.outcome != HttpOutcome::ApiServer
            {
                stage.outcome = HttpOutcome::ApiServer;
                stage.status = Some(answer.status.as_u16());
                stage.detail = Some(format!("{path}: {}", answer.words()));
            }
            let ended = answer.is_err();
            stage.requests.push(answer.as_ref().map_or_else(|failure| failure.request(path), |a| a.request(path)));
            if ended {
                break;
            }
        }
    }
    stage
}

/// A server may echo what it was sent: no credential stays in what it said, nor a cut-off piece of one.
fn hide(stage: &mut HttpStage, credentials: &Credentials) {
    let secrets = match credentials {
        Credentials::Bearer(token) => vec![token.clone()],
        Credentials::Basic(user, password) => {
            vec![BASE64_STANDARD.encode(format!("{user}:{password}")), password.clone()]
        }
        Credentials::ClientCertificate(..) => return,
    };
    let said = [&mut stage.detail, &mut stage.server, &mut stage.location, &mut stage.version];
    let said = said.into_iter().flatten().chain(stage.requests.iter_mut().map(|request| &mut request.body));
    for text in said {
        for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
            *text = without(text, secret);
        }
    }
}

/// The text with the secret replaced, and with what is left of it where the text was cut or the secret shortened.
fn without(text: &str, secret: &str) -> String {
    let text = text.replace(secret, HIDDEN);
    let characters: Vec<(usize, char)> = secret.char_indices().collect();
    // Shorter pieces than these are anybody's words.
    let Some(&(least, _)) = characters.get(SHORTEST_PIECE) else { return text };
    let Some(start) = text.find(&secret[..least]) else { return text };
    // All that follows may be a piece of it: nothing the server says is worth the risk.
    format!("{}{HIDDEN}", &text[..start])
}

impl HttpStage {
    /// The stage of an attempt that never came so far.
    #[must_use]
    pub const fn skipped() -> Self {
        Self {
            outcome: HttpOutcome::Skipped,
            status: None,
            ms: 0.0,
            version: None,
            detail: None,
            date: None,
            clock_ahead_seconds: None,
            server: None,
            location: None,
            authenticated: false,
            http1_outcome: None,
            requests: Vec::new(),
        }
    }
}

struct Session {
    sender: Sender,
    /// Ends when the sender is dropped, or with the reason why it cannot go on.
    connection: JoinHandle<Result<(), hyper::Error>>,
}

enum Sender {
    Http1(hyper::client::conn::http1::SendRequest<Empty<Bytes>>),
    Http2(hyper::client::conn::http2::SendRequest<Empty<Bytes>>),
}

async fn connect<S>(stream: S, http2: bool) -> Result<Session, hyper::Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let io = TokioIo::new(stream);
    if http2 {
        let (sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await?;
        Ok(Session { sender: Sender::Http2(sender), connection: tokio::spawn(connection) })
    } else {
        let (sender, connection) = hyper::client::conn::http1::Builder::new()
            .max_headers(100)
            .max_buf_size(MAXIMUM_HEAD)
            .handshake(io)
            .await?;
        Ok(Session { sender: Sender::Http1(sender), connection: tokio::spawn(connection) })
    }
}

impl Session {
    /// Sends a request. When the connection itself ended, the error is the connection's: it knows the reason.
    async fn send(&mut self, request: Request<Empty<Bytes>>) -> Result<Response<Incoming>, hyper::Error> {
        let sent = async {
            match &mut self.sender {
                Sender::Http1(sender) => {
                    sender.ready().await?;
                    sender.send_request(request).await
                }
                Sender::Http2(sender) => {
                    sender.ready().await?;
                    sender.send_request(request).await
                }
            }
        }
        .await;
        match sent {
            Err(error) if error.is_canceled() || error.is_closed() => {
                match tokio::time::timeout(CONNECTION_ENDS, &mut self.connection).await {
                    Ok(Ok(Err(reason))) => Err(reason),
                    _ => Err(error),
                }
            }
            sent => sent,
        }
    }
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Body,
    ms: f64,
}

/// What a body turned out to be.
enum Body {
    Status {
        message: Option<String>,
    },
    Version {
        git_version: String,
    },
    Text,
    Html,
    /// Any other JSON, with the `message` that errors of providers' APIs carry.
    Json {
        message: Option<String>,
    },
    Empty,
    Unfinished,
}

struct Failure {
    outcome: HttpOutcome,
    detail: String,
    ms: f64,
}

impl Failure {
    fn request(&self, path: &str) -> HttpRequest {
        HttpRequest { path: path.to_owned(), status: None, ms: self.ms, body: self.detail.clone() }
    }
}

async fn ask(session: &mut Session, path: &str, exchange: Exchange<'_>) -> Result<Answer, Failure> {
    let started = Instant::now();
    let failure = |outcome, detail: &dyn std::fmt::Display| Failure {
        outcome,
        detail: detail.to_string(),
        ms: milliseconds(started),
    };
    let request = request(path, exchange).map_err(|error| failure(HttpOutcome::Error, &error))?;
    let deadline = tokio::time::Instant::now() + exchange.timeout;
    let response: Response<Incoming> = match tokio::time::timeout_at(deadline, session.send(request)).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => return Err(failure(classify(&error), &root_words(&error))),
        Err(_elapsed) => return Err(failure(HttpOutcome::Timeout, &"no answer within the time")),
    };
    let ms = milliseconds(started);
    let (head, body) = response.into_parts();
    let body = read(body, deadline, &head.headers).await;
    Ok(Answer { status: head.status, headers: head.headers, body, ms })
}

fn request(path: &str, exchange: Exchange<'_>) -> Result<Request<Empty<Bytes>>, http::Error> {
    let target = format!("{}{path}", exchange.base_path);
    let mut request = Request::builder()
        .method(Method::GET)
        .header(header::USER_AGENT, concat!("kubereach/", env!("CARGO_PKG_VERSION")))
        .header(header::ACCEPT, "application/json, */*");
    request = if exchange.http2 {
        request.uri(format!("https://{}{target}", exchange.authority))
    } else {
        request.uri(target).header(header::HOST, exchange.authority)
    };
    match exchange.credentials {
        Some(Credentials::Bearer(token)) => {
            request = request.header(header::AUTHORIZATION, sensitive("Bearer", token)?);
        }
        Some(Credentials::Basic(user, password)) => {
            let pair = BASE64_STANDARD.encode(format!("{user}:{password}"));
            request = request.header(header::AUTHORIZATION, sensitive("Basic", &pair)?);
        }
        Some(Credentials::ClientCertificate(..)) | None => {}
    }
    request.body(Empty::new())
}

fn sensitive(scheme: &str, value: &str) -> Result<http::HeaderValue, http::Error> {
    let mut value = http::HeaderValue::from_str(&format!("{scheme} {value}"))?;
    value.set_sensitive(true);
    Ok(value)
}

async fn read(mut body: Incoming, deadline: tokio::time::Instant, headers: &HeaderMap) -> Body {
    let mut bytes = Vec::new();
    let mut complete = false;
    while bytes.len() < MAXIMUM_BODY {
        match tokio::time::timeout_at(deadline, body.frame()).await {
            Ok(Some(Ok(frame))) => {
                if let Some(data) = frame.data_ref() {
                    bytes.extend_from_slice(&data[..data.len().min(MAXIMUM_BODY - bytes.len())]);
                }
            }
            Ok(None) => {
                complete = true;
                break;
            }
            Ok(Some(Err(_))) | Err(_) => break,
        }
    }
    kind_of(&bytes, complete, headers)
}

fn kind_of(bytes: &[u8], complete: bool, headers: &HeaderMap) -> Body {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Known {
        kind: Option<String>,
        api_version: Option<String>,
        #[serde(alias = "Message")]
        message: Option<String>,
        major: Option<String>,
        git_version: Option<String>,
    }
    let cut = |message: String| message.chars().take(MAXIMUM_TEXT).collect::<String>();
    if bytes.is_empty() {
        return if complete { Body::Empty } else { Body::Unfinished };
    }
    if let Ok(known) = serde_json::from_slice::<Known>(bytes) {
        return match known {
            Known { kind: Some(kind), api_version: Some(version), message, .. }
                if kind == "Status" && version == "v1" =>
            {
                Body::Status { message: message.map(cut) }
            }
            Known { major: Some(_), git_version: Some(version), .. } => {
                Body::Version { git_version: version.chars().take(80).collect() }
            }
            Known { message, .. } => Body::Json { message: message.map(cut) },
        };
    }
    let declared_html = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.to_ascii_lowercase().contains("html"));
    let start: String = String::from_utf8_lossy(&bytes[..bytes.len().min(512)]).trim_start().to_ascii_lowercase();
    if declared_html || start.starts_with("<!doctype html") || start.starts_with("<html") {
        return Body::Html;
    }
    if !complete {
        return Body::Unfinished;
    }
    if serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok() {
        Body::Json { message: None }
    } else {
        Body::Text
    }
}

impl Answer {
    /// A `Status` or version object, or the headers that only an API server sets.
    fn is_api_server(&self) -> bool {
        matches!(self.body, Body::Status { .. } | Body::Version { .. })
            || ["audit-id", "x-kubernetes-pf-flowschema-uid"].iter().any(|name| self.headers.contains_key(*name))
    }

    fn words(&self) -> String {
        match &self.body {
            Body::Status { message: Some(message) } => message.clone(),
            Body::Status { message: None } => "a Kubernetes Status object".to_owned(),
            Body::Version { .. } => "a version object".to_owned(),
            Body::Text => "plain text".to_owned(),
            Body::Html => "an HTML page".to_owned(),
            Body::Json { message: None } => "JSON that is neither a Kubernetes Status nor a version".to_owned(),
            Body::Json { message: Some(message) } => {
                format!("JSON that is neither a Kubernetes Status nor a version: {message}")
            }
            Body::Empty => "an empty body".to_owned(),
            Body::Unfinished => "a body that did not end within the time or the size".to_owned(),
        }
    }

    fn request(&self, path: &str) -> HttpRequest {
        let body = match self.body {
            Body::Status { .. } => "status",
            Body::Version { .. } => "version",
            Body::Text => "text",
            Body::Html => "html",
            Body::Json { .. } => "json",
            Body::Empty => "empty",
            Body::Unfinished => "unfinished",
        };
        HttpRequest { path: path.to_owned(), status: Some(self.status.as_u16()), ms: self.ms, body: body.to_owned() }
    }

    fn header(&self, name: header::HeaderName, most: usize) -> Option<String> {
        let value = self.headers.get(name)?;
        Some(String::from_utf8_lossy(value.as_bytes()).chars().take(most).collect())
    }
}

fn from_answer(answer: &Answer, started: Instant, exchange: Exchange<'_>) -> HttpStage {
    let date = answer
        .header(header::DATE, 64)
        .and_then(|text| jiff::fmt::rfc2822::DateTimeParser::new().relaxed_weekday(true).parse_timestamp(text).ok());
    HttpStage {
        outcome: if answer.is_api_server() { HttpOutcome::ApiServer } else { HttpOutcome::NotApiServer },
        status: Some(answer.status.as_u16()),
        ms: milliseconds(started),
        version: match &answer.body {
            Body::Version { git_version } => Some(git_version.clone()),
            _ => None,
        },
        detail: Some(answer.words()),
        date,
        clock_ahead_seconds: date.map(|date| Timestamp::now().as_second() - date.as_second()),
        server: answer.header(header::SERVER, 80),
        location: answer.status.is_redirection().then(|| answer.header(header::LOCATION, 200)).flatten(),
        authenticated: exchange.credentials.is_some(),
        ..HttpStage::skipped()
    }
}

fn failed(outcome: HttpOutcome, detail: &dyn std::fmt::Display, started: Instant, exchange: Exchange<'_>) -> HttpStage {
    HttpStage {
        outcome,
        ms: milliseconds(started),
        detail: Some(detail.to_string()),
        authenticated: exchange.credentials.is_some(),
        ..HttpStage::skipped()
    }
}

fn classify(error: &hyper::Error) -> HttpOutcome {
    let io_kind = std::error::Error::source(error)
        .and_then(|source| source.downcast_ref::<std::io::Error>())
        .map(std::io::Error::kind);
    match io_kind {
        Some(std::io::ErrorKind::TimedOut) => HttpOutcome::Timeout,
        Some(_) => HttpOutcome::Reset,
        None if error.is_timeout() => HttpOutcome::Timeout,
        None if error.is_incomplete_message() || error.is_closed() || error.is_canceled() => HttpOutcome::Reset,
        None => HttpOutcome::Error,
    }
}

/// The error and what lies beneath it: hyper's own words often leave out the reason.
fn root_words(error: &hyper::Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}

const HIDDEN: &str = "(credentials)";
const SHORTEST_PIECE: usize = 8;
const FURTHER_REQUEST: Duration = Duration::from_secs(1);
/// How long an ended connection may take to say why.
const CONNECTION_ENDS: Duration = Duration::from_millis(100);
const MAXIMUM_BODY: usize = 64 * 1024;
const MAXIMUM_HEAD: usize = 64 * 1024;
const MAXIMUM_TEXT: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_echoes_of_the_credentials_is_hidden() {
        let echoing = || HttpStage {
            detail: Some("bad token Bearer hunter2hunter2".into()),
            location: Some("https://sso.test/?t=hunter2hunter2&x=1".into()),
            server: Some("hunter2hunt".into()),
            version: Some("aHVudGVyOmh1bnRlcjI=".into()),
            requests: vec![HttpRequest { path: "/livez".into(), status: None, ms: 0.0, body: "hunter2hunter2".into() }],
            ..HttpStage::skipped()
        };
        let mut stage = echoing();
        hide(&mut stage, &Credentials::Bearer("hunter2hunter2".into()));
        assert_eq!(stage.location.as_deref(), Some("https://sso.test/?t=(credentials)&x=1"));
        assert_eq!(stage.server.as_deref(), Some("(credentials)"));
        assert!(!format!("{stage:?}").contains("hunter2"), "{stage:?}");
        let mut stage = echoing();
        hide(&mut stage, &Credentials::Basic("hunter".into(), "hunter2".into()));
        assert_eq!(stage.version.as_deref(), Some("(credentials)"));
        assert!(!format!("{stage:?}").contains("hunter2"), "{stage:?}");
    }
}

//! A server that speaks enough of the Kubernetes API for a client without credentials.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use hyper::{
    Request, Response,
    body::{Body as HttpBody, Bytes, Frame, Incoming, SizeHint},
    header::{self, HeaderName, HeaderValue},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, Sleep},
};
use tokio_rustls::TlsAcceptor;

use super::{CertificateSpec, LabCa, Running, ServerError, reset, script::noise};

/// An API server over TLS with HTTP/2 and HTTP/1.1 by ALPN.
///
/// Without anything else said, `/version`, `/livez`, `/readyz` and `/healthz` are answered to everybody and the rest
/// is forbidden, as a Kubernetes API server does by default.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ApiServer {
    /// Where it listens.
    pub listen: Vec<SocketAddr>,
    /// What it presents.
    #[serde(default)]
    pub certificate: CertificateSpec,
    /// TLS versions it speaks: `1.2`, `1.3`.
    #[serde(default = "both_versions")]
    pub versions: Vec<String>,
    /// Protocols it agrees to by ALPN, the preferred first; empty for a peer that knows no ALPN.
    #[serde(default = "both_protocols")]
    pub alpn: Vec<String>,
    /// What it tells a client without credentials.
    #[serde(default)]
    pub anonymous: Anonymous,
    /// The version it tells.
    #[serde(default = "default_version")]
    pub version: String,
    /// Answers that differ, by path prefix; the first that fits is used.
    #[serde(default)]
    pub routes: Vec<Route>,
    /// Seconds by which its clock (the `Date` header) is off.
    #[serde(default)]
    pub date_offset_seconds: i64,
    /// What it does once the handshake is done.
    #[serde(default)]
    pub after_handshake: Conduct,
    /// The same, for HTTP/2 connections only.
    #[serde(default)]
    pub over_http2: Conduct,
}

impl ApiServer {
    /// A healthy server on these addresses.
    #[must_use]
    pub fn new(listen: Vec<SocketAddr>, certificate: CertificateSpec) -> Self {
        Self {
            listen,
            certificate,
            versions: both_versions(),
            alpn: both_protocols(),
            anonymous: Anonymous::default(),
            version: default_version(),
            routes: Vec::new(),
            date_offset_seconds: 0,
            after_handshake: Conduct::Serve,
            over_http2: Conduct::Serve,
        }
    }

    pub(super) async fn start(
        &self,
        authorities: &BTreeMap<String, Arc<LabCa>>,
        running: &mut Running,
    ) -> Result<(), ServerError> {
        let mut versions = Vec::new();
        for version in &self.versions {
            versions.push(match version.as_str() {
                "1.2" => &rustls::version::TLS12,
                "1.3" => &rustls::version::TLS13,
                other => return Err(ServerError::Invalid(format!("no such TLS version: {other}"))),
            });
        }
        let acceptor = TlsAcceptor::from(self.certificate.issue(authorities)?.into_config(&versions, &self.alpn)?);
        let server = Arc::new(self.clone());
        let handler = move |stream| connection(Arc::clone(&server), acceptor.clone(), stream);
        running.accept(&self.listen, handler).await
    }

    fn answer(&self, path: &str) -> Route {
        if let Some(route) = self.routes.iter().find(|route| path.starts_with(&route.path)) {
            return route.clone();
        }
        let known = match path {
            "/version" => Some(Body::Version),
            "/livez" | "/readyz" | "/healthz" => Some(Body::Text("ok".to_owned())),
            _ => None,
        };
        match (self.anonymous, known) {
            (Anonymous::PublicInfo, Some(body)) => Route { status: 200, body, ..Route::default() },
            (Anonymous::Unauthorized, _) => Route { status: 401, ..Route::default() },
            (Anonymous::PublicInfo | Anonymous::Forbidden, _) => Route { status: 403, ..Route::default() },
        }
    }
}

/// What a client without credentials is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Anonymous {
    /// Version and health, and 403 for the rest: Kubernetes' default.
    #[default]
    PublicInfo,
    /// 403 everywhere.
    Forbidden,
    /// 401 everywhere: anonymous requests are off.
    Unauthorized,
}

/// What a server does with a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Conduct {
    /// Serves it.
    #[default]
    Serve,
    /// Keeps it open and says nothing.
    Silent,
    /// Closes it in an orderly way.
    Close,
    /// Resets it.
    Reset,
    /// Answers whatever comes with bytes that are no HTTP, and keeps it open.
    Noise,
}

/// An answer.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct Route {
    /// Prefix of the path; the empty one fits everything.
    pub path: String,
    /// HTTP status.
    pub status: u16,
    /// The body.
    pub body: Body,
    /// Headers beside those that belong to the body.
    pub headers: BTreeMap<String, String>,
    /// Milliseconds before the answer.
    pub delay_ms: u64,
}

/// A body.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Body {
    /// A Kubernetes `Status` object for the HTTP status.
    #[default]
    Status,
    /// A version object.
    Version,
    /// Plain text.
    Text(String),
    /// A web page.
    Html(String),
    /// JSON that is no Kubernetes object.
    Json(String),
    /// Nothing.
    Empty,
    /// Text without end, as fast as it is read.
    Endless,
    /// One byte a second, without end.
    Drip,
}

async fn connection(server: Arc<ApiServer>, acceptor: TlsAcceptor, stream: TcpStream) {
    let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE_LIMIT, acceptor.accept(stream)).await else { return };
    let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let conduct = match server.after_handshake {
        Conduct::Serve if http2 => server.over_http2,
        conduct => conduct,
    };
    match conduct {
        Conduct::Serve => {}
        Conduct::Silent => return hold(stream).await,
        Conduct::Close => {
            let mut stream = stream;
            let _ = stream.shutdown().await;
            return;
        }
        Conduct::Reset => return reset(stream.into_inner().0),
        Conduct::Noise => {
            let mut stream = stream;
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(&noise(2048)).await;
            return hold(stream).await;
        }
    }
    let service = service_fn(move |request| respond(Arc::clone(&server), request));
    let io = TokioIo::new(stream);
    // A client that goes away mid-answer is no event worth telling.
    let _ = if http2 {
        hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(io, service).await
    } else {
        hyper::server::conn::http1::Builder::new().serve_connection(io, service).await
    };
}

/// Keeps a connection open, reads what comes and says nothing, until the peer ends it.
async fn hold(mut stream: impl tokio::io::AsyncRead + Unpin) {
    let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
}

async fn respond(server: Arc<ApiServer>, request: Request<Incoming>) -> Result<Response<Payload>, Infallible> {
    let route = server.answer(request.uri().path());
    if route.delay_ms > 0 {
        tokio::time::sleep(Duration::from_millis(route.delay_ms)).await;
    }
    let (content_type, payload) = payload(&server, &route);
    let mut response = Response::new(payload);
    *response.status_mut() = hyper::StatusCode::from_u16(route.status).unwrap_or(hyper::StatusCode::OK);
    let headers = response.headers_mut();
    let mut set = |name: HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    set(header::CONTENT_TYPE, content_type);
    if matches!(route.body, Body::Status | Body::Version) {
        set(HeaderName::from_static("audit-id"), "8f2b5f0c-7d65-4a8e-9a0b-3f1f4c1d2e3a");
        set(header::CACHE_CONTROL, "no-cache, private");
    }
    let now = jiff::Timestamp::now().as_second().saturating_add(server.date_offset_seconds);
    if let Ok(date) = jiff::Timestamp::from_second(now)
        && let Ok(text) = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&date)
    {
        set(header::DATE, &text);
    }
    for (name, value) in &route.headers {
        if let Ok(name) = HeaderName::from_bytes(name.as_bytes()) {
            set(name, value);
        }
    }
    Ok(response)
}

fn payload(server: &ApiServer, route: &Route) -> (&'static str, Payload) {
    let text = |text: &str| Payload::Whole(Some(Bytes::from(text.to_owned())));
    match &route.body {
        Body::Status => ("application/json", text(&status_object(route.status))),
        Body::Version => ("application/json", text(&version_object(&server.version))),
        Body::Text(body) => ("text/plain; charset=utf-8", text(body)),
        Body::Html(body) => ("text/html; charset=utf-8", text(body)),
        Body::Json(body) => ("application/json", text(body)),
        Body::Empty => ("text/plain", Payload::Whole(None)),
        Body::Endless => ("text/plain", Payload::Endless),
        Body::Drip => ("text/plain", Payload::Drip(Box::pin(tokio::time::sleep(Duration::ZERO)))),
    }
}

fn status_object(status: u16) -> String {
    let (reason, message) = match status {
        401 => ("Unauthorized", "Unauthorized"),
        403 => ("Forbidden", "forbidden: User \"system:anonymous\" cannot get path \"/\""),
        404 => ("NotFound", "the server could not find the requested resource"),
        429 => ("TooManyRequests", "too many requests, please try again later"),
        503 => ("ServiceUnavailable", "the server is currently unable to handle the request"),
        504 => ("Timeout", "the server was unable to return a response in the time allotted"),
        _ => ("InternalError", "an error on the server has prevented the request from succeeding"),
    };
    serde_json::json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": if status < 400 { "Success" } else { "Failure" },
        "message": message, "reason": reason, "code": status,
    })
    .to_string()
}

fn version_object(version: &str) -> String {
    let mut parts = version.trim_start_matches('v').split('.');
    serde_json::json!({
        "major": parts.next().unwrap_or("1"), "minor": parts.next().unwrap_or("33"), "gitVersion": version,
        "gitCommit": "0000000000000000000000000000000000000000", "gitTreeState": "clean",
        "buildDate": "2025-06-01T00:00:00Z", "goVersion": "go1.24.4", "compiler": "gc", "platform": "linux/amd64",
    })
    .to_string()
}

/// What a body is made of while it goes out.
pub(super) enum Payload {
    Whole(Option<Bytes>),
    Endless,
    Drip(Pin<Box<Sleep>>),
}

impl HttpBody for Payload {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut *self {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Endless => Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b'x'; 4096]))))),
            Self::Drip(sleep) => {
                std::task::ready!(sleep.as_mut().poll(context));
                sleep.as_mut().reset(Instant::now() + DRIP_INTERVAL);
                Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"x")))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Endless | Self::Drip(_) => SizeHint::default(),
        }
    }
}

fn both_versions() -> Vec<String> {
    vec!["1.2".to_owned(), "1.3".to_owned()]
}

fn both_protocols() -> Vec<String> {
    vec!["h2".to_owned(), "http/1.1".to_owned()]
}

fn default_version() -> String {
    "v1.33.1".to_owned()
}

const HANDSHAKE_LIMIT: Duration = Duration::from_secs(30);
const DRIP_INTERVAL: Duration = Duration::from_secs(1);

//! Who may ask what: methods, sizes, `Host`, the token; and the headers of every answer.

use std::{net::IpAddr, sync::Arc, time::Duration};

use aws_lc_rs::{constant_time, digest, hmac};
use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header, uri::Authority},
    middleware::Next,
    response::{IntoResponse, Response},
};
use hyper::body::Body as _;
use maud::{DOCTYPE, html};
use secrecy::ExposeSecret;
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};

use super::{Sources, assets};
use crate::watch::{config::Web, words::hex};

/// What the guard knows.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    sources: Sources,
    /// Requests that are worked on at a time.
    places: Arc<Semaphore>,
}

impl Guard {
    /// For these sources.
    pub(super) fn new(sources: Sources) -> Self {
        Self { sources, places: Arc::new(Semaphore::new(MAX_REQUESTS)) }
    }
}

/// A visitor who may see every page: marks a request for the one page that is for everybody.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known;

/// Refuses what is not allowed, lets the rest through, a few at a time, and dresses every answer.
pub(super) async fn guard(State(guard): State<Guard>, mut request: Request, next: Next) -> Response {
    // The configuration of now: a reload may have changed it.
    let config = Arc::clone(&guard.sources.config.borrow());
    if let Some(short) = config.web.as_ref().and_then(|web| below(&base(web), request.uri())) {
        *request.uri_mut() = short;
    }
    let head = request.method() == Method::HEAD;
    let asset = assets::at(request.uri().path()).is_some();
    let secure = request.uri().path() != HEALTH;
    let refused = refusal(request.method(), request.uri(), request.headers(), request.body())
        .or_else(|| config.web.as_ref().filter(|_| secure).and_then(|web| not_admitted(web, &request)));
    if !secure && config.web.as_ref().is_some_and(|web| is_known(web, &request)) {
        request.extensions_mut().insert(Known);
    }
    let mut response = match refused {
        Some(refused) => refused,
        None => {
            let deadline = Instant::now() + REQUEST_TIMEOUT;
            let work = async {
                // Whether the process runs is told however busy it is.
                let place = if secure { guard.places.acquire().await.ok() } else { None };
                let response = next.run(request).await;
                drop(place);
                response
            };
            timeout_at(deadline, work).await.unwrap_or_else(|_| {
                plain(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "The page was not ready in time: the watch or its database is busy",
                )
            })
        }
    };
    dress(response.headers_mut(), asset);
    if head {
        *response.body_mut() = Body::empty();
    }
    response
}

/// What stands before every path as visitors see it: the path of `publicUrl`, without a slash at its end; empty for most.
pub(super) fn base(web: &Web) -> String {
    let url = web.public_url.as_ref().and_then(|url| url::Url::parse(url).ok());
    let path = url.as_ref().map_or("", |url| url.path()).trim_end_matches('/');
    // It stands in attributes: nothing that means something there.
    if path.starts_with("//") || path.contains(['"', '\'', '<', '>', '&']) { String::new() } else { path.to_owned() }
}

/// The address without what stands before it; `None` where that is not there. A reverse proxy may take it away itself.
fn below(base: &str, uri: &Uri) -> Option<Uri> {
    let rest = uri.path_and_query()?.as_str().strip_prefix(base).filter(|_| !base.is_empty())?;
    match rest.as_bytes().first() {
        Some(b'/') => rest.parse().ok(),
        Some(b'?') => format!("/{rest}").parse().ok(),
        None => Some(Uri::from_static("/")),
        Some(_) => None,
    }
}

/// What is refused whoever asks.
fn refusal(method: &Method, uri: &Uri, headers: &HeaderMap, body: &Body) -> Option<Response> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "Pages are read only: GET and HEAD are all there is");
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return Some(response);
    }
    let length = uri.path_and_query().map_or(0, |whole| whole.as_str().len());
    if length > MAX_TARGET_BYTES {
        return Some(plain(StatusCode::URI_TOO_LONG, "The address is too long"));
    }
    // Slashes or backslashes at the start could make a redirect lead to another host.
    if uri.path().starts_with("//") || uri.path().contains('\\') {
        return Some(plain(StatusCode::NOT_FOUND, "There is no such page"));
    }
    let empty = body.is_end_stream() && !headers.contains_key(header::TRANSFER_ENCODING);
    (!empty).then(|| plain(StatusCode::PAYLOAD_TOO_LARGE, "A request has no body here"))
}

/// Whether a visitor showed the token, or is at this machine where none is asked for.
fn is_known(web: &Web, request: &Request) -> bool {
    (web.token.is_some() || web.listen.ip().is_loopback()) && not_admitted(web, request).is_none()
}

/// What is answered to a visitor who may not see pages.
fn not_admitted(web: &Web, request: &Request) -> Option<Response> {
    let Some(token) = &web.token else {
        return if web.listen.ip().is_loopback() { unexpected_host(web, request) } else { None };
    };
    let token = token.expose_secret();
    let (uri, headers) = (request.uri(), request.headers());
    let given = uri.query().unwrap_or_default();
    let shown = url::form_urlencoded::parse(given.as_bytes()).find(|(name, _)| name == TOKEN_PARAMETER);
    if let Some((_, shown)) = shown {
        return Some(if same(shown.as_bytes(), token.as_bytes()) {
            let_in(web, token, uri)
        } else {
            ask_for_token(web, uri)
        });
    }
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| {
        let (scheme, credentials) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| credentials.trim())
    });
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut cookies = cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let by_bearer = bearer.is_some_and(|bearer| same(bearer.as_bytes(), token.as_bytes()));
    let pass = pass(token);
    if by_bearer || cookies.any(|(name, value)| name == COOKIE && same(value.as_bytes(), pass.as_bytes())) {
        None
    } else {
        Some(ask_for_token(web, uri))
    }
}

/// On a loopback address without a token anybody at this host may look, but no web page elsewhere that made its name
/// resolve to loopback.
fn unexpected_host(web: &Web, request: &Request) -> Option<Response> {
    let header = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let named = header.and_then(|host| host.parse::<Authority>().ok());
    let (Some(named), absolute) = (named, request.uri().authority()) else {
        return Some(plain(StatusCode::BAD_REQUEST, "The Host header is missing or no host"));
    };
    let public = web.public_url.as_ref().and_then(|url| url::Url::parse(url).ok());
    let public = public.as_ref().and_then(url::Url::host_str);
    let known = |host: &str| {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let address: Option<IpAddr> = bare.parse().ok();
        host.eq_ignore_ascii_case("localhost")
            || public.is_some_and(|public| host.eq_ignore_ascii_case(public))
            || address.is_some_and(|address| {
                address == web.listen.ip() || ["127.0.0.1", "::1"].iter().any(|own| address.to_string() == *own)
            })
    };
    if known(named.host()) && absolute.is_none_or(|absolute| known(absolute.host())) {
        None
    } else {
        Some(plain(
            StatusCode::MISDIRECTED_REQUEST,
            "This host name is not known here. Reach the page by localhost, or set web.publicUrl to its address",
        ))
    }
}

/// Sets the cookie, and leads to the same page without the token in its address.
fn let_in(web: &Web, token: &str, uri: &Uri) -> Response {
    let rest = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    let rest = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(rest.filter(|(name, _)| name != TOKEN_PARAMETER))
        .finish();
    let path = format!("{}{}", base(web), uri.path());
    let to = if rest.is_empty() { path } else { format!("{path}?{rest}") };
    let secure = if web.public_url.as_ref().is_some_and(|url| url.starts_with("https://")) { "; Secure" } else { "" };
    let cookie =
        format!("{COOKIE}={}; Path=/; Max-Age={COOKIE_LASTS_SECONDS}; HttpOnly; SameSite=Strict{secure}", pass(token));
    (StatusCode::SEE_OTHER, [(header::LOCATION, to), (header::SET_COOKIE, cookie)]).into_response()
}

/// The page of whoever is not known yet.
fn ask_for_token(web: &Web, uri: &Uri) -> Response {
    let path = format!("{}{}", base(web), uri.path());
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Token · kubereach watch" }
            }
            body {
                main {
                    h1 { "kubereach watch" }
                    p { "This page wants a token: as \"Authorization: Bearer …\", or here." }
                    form action=(path) {
                        label { "Token " input name=(TOKEN_PARAMETER) type="password" autocomplete="current-password"; }
                        " "
                        button { "Open" }
                    }
                    p { a href=(path) { "Open this page again" } ", if a link with the token led here." }
                }
            }
        }
    };
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::WWW_AUTHENTICATE, "Bearer realm=\"kubereach watch\""),
    ];
    (StatusCode::UNAUTHORIZED, headers, page.into_string()).into_response()
}

/// What the cookie holds: made from the token, and useless for making it.
fn pass(token: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, token.as_bytes());
    hex(hmac::sign(&key, b"kubereach watch, cookie").as_ref())
}

/// Whether two secrets are the same; how long that takes says nothing of them but their own lengths.
fn same(given: &[u8], known: &[u8]) -> bool {
    let digest = |secret: &[u8]| digest::digest(&digest::SHA256, secret);
    constant_time::verify_slices_are_equal(digest(given).as_ref(), digest(known).as_ref()).is_ok()
}

/// A short answer in plain text.
pub(super) fn plain(status: StatusCode, text: &str) -> Response {
    (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], format!("{text}\n")).into_response()
}

fn dress(headers: &mut HeaderMap, asset: bool) {
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
    let cache = if asset { "private, max-age=31536000, immutable" } else { "no-store" };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    headers.insert(header::VARY, HeaderValue::from_static("Accept, Authorization, Cookie"));
}

/// What a page may load and do: its own style, script, picture and refreshing; forms lead here.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
/// Whether the process runs: the one page that is for everybody.
pub(super) const HEALTH: &str = "/healthz";
const TOKEN_PARAMETER: &str = "token";
const COOKIE: &str = "kubereach_watch";
const COOKIE_LASTS_SECONDS: u32 = 30 * 24 * 3_600;
const MAX_TARGET_BYTES: usize = 4_096;
/// So that a flood of requests takes neither the processors nor the database from the checks.
const MAX_REQUESTS: usize = 4;
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);

//! One call: an HTTPS request with a token, tried again where the provider asks for it, its pages made one document.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use reqwest::{Method, StatusCode, Url, header};
use serde_json::{Map, Value};

use super::{
    AksRequest, PullError,
    credentials::{Cloud, Credentials},
};
use crate::{
    facts::azure::is_plain,
    redact::{Secrets, chain, one_line, without_secrets},
};

/// The resource manager and a token for it.
#[derive(Clone, Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    base: Url,
    credentials: Arc<Credentials>,
    secrets: Secrets,
    /// How many bytes the answers of this pull have had so far.
    read: Arc<AtomicU64>,
}

/// Why a call gave no document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CallError {
    /// The login does not allow it.
    Denied(String),
    /// The provider does not know the token, or there is none any more.
    Credentials(PullError),
    /// What was asked about does not exist.
    Missing(String),
    /// No answer came.
    Unreachable(String),
    /// What came is no answer of the provider's protocol.
    Foreign(String),
    /// Anything else.
    Other(String),
}

impl CallError {
    /// What happened, in one line.
    pub(super) fn message(&self) -> String {
        match self {
            Self::Denied(message)
            | Self::Missing(message)
            | Self::Unreachable(message)
            | Self::Foreign(message)
            | Self::Other(message) => message.clone(),
            Self::Credentials(error) => error.to_string(),
        }
    }
}

/// What came back, whole.
struct Answer {
    status: StatusCode,
    headers: header::HeaderMap,
    body: Vec<u8>,
}

impl Client {
    /// Decides whom to ask and with whose token, and gets the token.
    pub(super) async fn connect(request: &AksRequest, tell: &impl Fn(String)) -> Result<Self, PullError> {
        let mut cloud = Cloud::of_environment();
        let base = match &request.endpoint_url {
            Some(url) => endpoint(url)?,
            None => endpoint(cloud.resource_manager())?,
        };
        let host = base.host_str().unwrap_or_default();
        cloud = Cloud::of_host(host).unwrap_or(cloud);
        let secrets = Secrets::default();
        let credentials = Credentials::find(request.credential, request.subscription.as_deref(), cloud, &secrets)?;
        tell(format!("{} is asked with {}", without_secrets(base.as_str()), credentials.name()));
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_LIMIT)
            .referer(false);
        if is_loopback(&base) {
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(|error| PullError::Endpoint(chain(&error, &secrets)))?;
        let client = Self { http, base, credentials: Arc::new(credentials), secrets, read: Arc::default() };
        client.credentials.token(None).await?;
        Ok(client)
    }

    /// Who is asked, for messages.
    pub(super) fn endpoint(&self) -> String {
        without_secrets(self.base.as_str())
    }

    /// The URL of a path, given by its segments, with a version of the API.
    pub(super) fn url<'a>(&self, segments: impl IntoIterator<Item = &'a str>, api_version: &str) -> Option<Url> {
        let mut url = self.base.clone();
        {
            let mut path = url.path_segments_mut().ok()?;
            path.pop_if_empty();
            for segment in segments {
                if !is_plain(segment) {
                    return None;
                }
                path.push(segment);
            }
        }
        url.query_pairs_mut().append_pair("api-version", api_version);
        Some(url)
    }

    /// One object.
    pub(super) async fn object(&self, url: Url) -> Result<Value, CallError> {
        let answer = self.asked(Method::GET, &url).await?;
        self.object_of(&answer).map(Value::Object)
    }

    /// A list, all its pages: `{"value": […]}`.
    pub(super) async fn list(&self, first: Url) -> Result<Value, CallError> {
        let mut items: Vec<Value> = Vec::new();
        let mut seen: BTreeSet<String> = BTreeSet::new();
        let mut url = first;
        loop {
            if !seen.insert(url.to_string()) {
                return Err(CallError::Other("the provider gave the same page twice".to_owned()));
            }
            if seen.len() > MOST_PAGES {
                return Err(CallError::Other(format!("there are more than {MOST_PAGES} pages")));
            }
            let answer = self.asked(Method::GET, &url).await?;
            let mut page = self.object_of(&answer)?;
            let Some(Value::Array(more)) = page.remove("value") else {
                return Err(CallError::Foreign("the answer is no list".to_owned()));
            };
            items.extend(more);
            match page.remove("nextLink") {
                Some(Value::String(next)) if !next.is_empty() => url = self.same_origin(&next, "the next page")?,
                _ => return Ok(Value::Object(Map::from_iter([("value".to_owned(), Value::Array(items))]))),
            }
        }
    }

    /// What an operation gives that may take its time: 202 and a place to look for the result.
    /// <https://learn.microsoft.com/azure/azure-resource-manager/management/async-operations>
    pub(super) async fn result_of_post(&self, url: Url) -> Result<Value, CallError> {
        let begun = tokio::time::Instant::now();
        let mut answer = self.asked(Method::POST, &url).await?;
        let mut location: Option<Url> = None;
        loop {
            if answer.status != StatusCode::ACCEPTED {
                let body = self.object_of(&answer)?;
                // The other form: an operation with a status.
                match body.get("status").and_then(Value::as_str) {
                    Some("Succeeded") => match location.take() {
                        Some(result) => {
                            answer = self.asked(Method::GET, &result).await?;
                            continue;
                        }
                        None => return Ok(body.get("properties").cloned().unwrap_or_default()),
                    },
                    Some(failed @ ("Failed" | "Canceled")) => {
                        let words = body["error"]["message"].as_str().unwrap_or_default();
                        let words = one_line(&format!("the operation has {failed}: {words}"), &self.secrets);
                        return Err(CallError::Other(words));
                    }
                    Some(_) => {}
                    None => return Ok(Value::Object(body)),
                }
            }
            if begun.elapsed() > OPERATION_LIMIT {
                let message = format!("the operation took longer than {} s", OPERATION_LIMIT.as_secs());
                return Err(CallError::Other(message));
            }
            let place = |name: &str| answer.headers.get(name).and_then(|place| place.to_str().ok());
            let next = match (place("location"), place("azure-asyncoperation")) {
                (Some(result), None) => self.same_origin(result, "the result")?,
                (result, Some(operation)) => {
                    if let Some(result) = result {
                        location = Some(self.same_origin(result, "the result")?);
                    }
                    self.same_origin(operation, "the operation")?
                }
                (None, None) if answer.status == StatusCode::ACCEPTED => {
                    return Err(CallError::Foreign("the answer says nowhere where the result will be".to_owned()));
                }
                // An operation that is under way is asked again where it was.
                (None, None) => url.clone(),
            };
            tokio::time::sleep(retry_after(&answer.headers).unwrap_or(POLL).clamp(SHORTEST_POLL, LONGEST_POLL)).await;
            answer = self.asked(Method::GET, &next).await?;
        }
    }

    /// The answer, if it is one of success.
    async fn asked(&self, method: Method, url: &Url) -> Result<Answer, CallError> {
        let answer = tokio::time::timeout(CALL_LIMIT, self.insist(method, url)).await;
        let answer =
            answer.map_err(|_| CallError::Unreachable(format!("no answer within {} s", CALL_LIMIT.as_secs())))??;
        if answer.status.is_success() { Ok(answer) } else { Err(self.classify(&answer)) }
    }

    /// Asks until there is an answer that stays.
    async fn insist(&self, method: Method, url: &Url) -> Result<Answer, CallError> {
        let mut refused: Option<Arc<str>> = None;
        let mut attempt = 0;
        loop {
            attempt += 1;
            let token = self.credentials.token(refused.as_deref()).await.map_err(CallError::Credentials)?;
            let tried = tokio::time::timeout(ATTEMPT_LIMIT, self.attempt(&method, url, &token)).await;
            let tried = tried.unwrap_or_else(|_| {
                Err((true, CallError::Unreachable(format!("no answer within {} s", ATTEMPT_LIMIT.as_secs()))))
            });
            let wait = match &tried {
                Ok(answer) if answer.status == StatusCode::UNAUTHORIZED && refused.is_none() => {
                    // It may have ended, or been withdrawn, since it was given.
                    refused = Some(token);
                    continue;
                }
                Ok(answer) if is_passing(answer.status) => {
                    retry_after(&answer.headers).unwrap_or_else(|| backoff(attempt))
                }
                Err((true, _)) => backoff(attempt),
                Ok(_) | Err(_) => return tried.map_err(|(_, error)| error),
            };
            if attempt >= ATTEMPTS || wait > LONGEST_WAIT {
                return tried.map_err(|(_, error)| error);
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// One request; the error says whether another may do better.
    async fn attempt(&self, method: &Method, url: &Url, token: &str) -> Result<Answer, (bool, CallError)> {
        let mut bearer = header::HeaderValue::try_from(format!("Bearer {token}"))
            .map_err(|_| (false, CallError::Credentials(PullError::Credentials("the token is no token".to_owned()))))?;
        bearer.set_sensitive(true);
        let mut request = self
            .http
            .request(method.clone(), url.clone())
            .header(header::AUTHORIZATION, bearer)
            .header(header::ACCEPT, "application/json");
        if *method == Method::POST {
            request = request.header(header::CONTENT_LENGTH, 0);
        }
        let unreachable = |error: reqwest::Error| {
            let again = error.is_connect() || error.is_timeout() || error.is_request();
            (again, CallError::Unreachable(chain(&error.without_url(), &self.secrets)))
        };
        let mut response = request.send().await.map_err(unreachable)?;
        let too_large = || (false, CallError::Foreign(format!("the answer is larger than {} MiB", LARGEST_BODY >> 20)));
        if response.content_length().is_some_and(|length| length > LARGEST_BODY) {
            return Err(too_large());
        }
        let (status, headers) = (response.status(), response.headers().clone());
        let mut body: Vec<u8> = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            let length = u64::try_from(chunk.len()).unwrap_or(u64::MAX);
            if self.read.fetch_add(length, Ordering::Relaxed).saturating_add(length) > LARGEST_PULL {
                let message = format!("the answers of this pull are larger than {} MiB", LARGEST_PULL >> 20);
                return Err((false, CallError::Other(message)));
            }
            body.extend_from_slice(&chunk);
            if u64::try_from(body.len()).unwrap_or(u64::MAX) > LARGEST_BODY {
                return Err(too_large());
            }
        }
        Ok(Answer { status, headers, body })
    }

    fn object_of(&self, answer: &Answer) -> Result<Map<String, Value>, CallError> {
        match serde_json::from_slice(&answer.body) {
            Ok(Value::Object(fields)) => Ok(fields),
            Ok(_) => Err(CallError::Foreign("the answer is no JSON object".to_owned())),
            Err(error) => {
                let words = one_line(&format!("the answer is not JSON: {error}"), &self.secrets);
                Err(CallError::Foreign(words))
            }
        }
    }

    /// A link of an answer, if it leads to the host that is asked anyway: the token goes nowhere else.
    fn same_origin(&self, link: &str, what: &str) -> Result<Url, CallError> {
        let url = self.base.join(link).ok();
        let own =
            |url: &Url| url.origin() == self.base.origin() && url.username().is_empty() && url.password().is_none();
        url.filter(own).ok_or_else(|| {
            let message =
                format!("{what} is said to be at {}, which is not {}", without_secrets(link), self.endpoint());
            CallError::Other(one_line(&message, &self.secrets))
        })
    }

    /// What kind of failure it is, by status and code:
    /// <https://learn.microsoft.com/azure/azure-resource-manager/troubleshooting/common-deployment-errors>.
    fn classify(&self, answer: &Answer) -> CallError {
        let status = answer.status.as_u16();
        if answer.status.is_redirection() {
            return CallError::Foreign(format!("HTTP {status}, a redirect, which is not followed"));
        }
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let error = if body["error"].is_object() { &body["error"] } else { &body };
        let words = |name: &str| error[name].as_str().map(|text| one_line(text, &self.secrets)).unwrap_or_default();
        let (code, message) = (words("code"), words("message"));
        // The provider names every error.
        if code.is_empty() {
            let again = if is_passing(answer.status) { ", again and again" } else { "" };
            let message = format!("HTTP {status}{again}");
            return if is_passing(answer.status) { CallError::Other(message) } else { CallError::Foreign(message) };
        }
        let told = if message.is_empty() { format!("{code} (HTTP {status})") } else { format!("{code}: {message}") };
        match status {
            401 => CallError::Credentials(PullError::Credentials(told)),
            403 => CallError::Denied(told),
            404 => CallError::Missing(told),
            _ => CallError::Other(told),
        }
    }
}

/// Where the resource manager is: HTTPS, or HTTP on this machine.
fn endpoint(url: &str) -> Result<Url, PullError> {
    let refuse = |reason: &str| PullError::Endpoint(format!("{}: {reason}", without_secrets(url)));
    let mut url = Url::parse(url).map_err(|_| PullError::Endpoint("it is no URL".to_owned()))?;
    match url.scheme() {
        "https" => {}
        "http" if is_loopback(&url) => {}
        "http" => return Err(refuse("a token is sent without encryption to this machine only")),
        _ => return Err(refuse("https was expected")),
    }
    if url.host_str().is_none_or(str::is_empty) || !url.username().is_empty() || url.password().is_some() {
        return Err(refuse("a host without a user was expected"));
    }
    url.set_query(None);
    url.set_fragment(None);
    Ok(url)
}

/// Whether it leads to this machine and nowhere else, whatever a resolver says.
fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        // <https://www.rfc-editor.org/rfc/rfc6761#section-6.3>
        Some(url::Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        None => false,
    }
}

/// Whether the provider may answer better in a moment.
fn is_passing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 429 | 500 | 502 | 503 | 504)
}

/// How long the provider asks to be left alone: seconds, or a date.
fn retry_after(headers: &header::HeaderMap) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u32>() {
        return Some(Duration::from_secs(seconds.into()));
    }
    let date = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    Some(Duration::try_from(date.duration_since(Timestamp::now())).unwrap_or_default())
}

fn backoff(attempt: u32) -> Duration {
    FIRST_BACKOFF.saturating_mul(1 << attempt.min(8)).min(LONGEST_BACKOFF)
}

const CONNECT_LIMIT: Duration = Duration::from_millis(3_100);
const ATTEMPT_LIMIT: Duration = Duration::from_secs(30);
const CALL_LIMIT: Duration = Duration::from_mins(2);
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const LONGEST_BACKOFF: Duration = Duration::from_secs(5);
/// A provider that asks for more patience than this is taken at its word: the call has failed.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// The first try included.
const ATTEMPTS: u32 = 5;
const OPERATION_LIMIT: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_secs(1);
const SHORTEST_POLL: Duration = Duration::from_millis(100);
const LONGEST_POLL: Duration = Duration::from_secs(10);
const MOST_PAGES: usize = 1_000;
const LARGEST_BODY: u64 = 64 << 20;
/// Answers that are tried again count again.
const LARGEST_PULL: u64 = 512 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_goes_unencrypted_to_this_machine_only() {
        for url in [
            "https://management.azure.com",
            "https://arm.example:8443/x",
            "http://127.0.0.1:5001",
            "http://[::1]:1",
            "http://localhost:9",
        ] {
            assert!(endpoint(url).is_ok(), "{url}");
        }
        for url in [
            "http://management.azure.com",
            "http://127.0.0.1.evil.example",
            "http://10.0.0.1",
            "ftp://127.0.0.1",
            "x",
            "https://user:hunter2@arm.example",
        ] {
            let error = endpoint(url).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn patience_is_read_in_both_forms() {
        let asks = |text: &str| {
            let mut headers = header::HeaderMap::new();
            headers.insert(header::RETRY_AFTER, text.parse().unwrap());
            retry_after(&headers)
        };
        assert_eq!(asks("7"), Some(Duration::from_secs(7)));
        assert_eq!(asks("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        assert!(asks("Tue, 31 Dec 2999 23:59:59 GMT").is_some_and(|wait| wait > LONGEST_WAIT));
        assert_eq!(asks("soon"), None);
        assert!(backoff(1) < backoff(3) && backoff(40) == LONGEST_BACKOFF);
    }
}

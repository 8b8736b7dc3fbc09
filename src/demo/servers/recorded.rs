//! What servers share that answer from the documents of a facts folder: HTTP, a log of what was asked, faults that pass.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    future::Future,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use hyper::{Request, Response, StatusCode, body::Bytes, body::Incoming, header::HeaderValue, service::service_fn};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde_json::Value;

use super::{Running, ServerError, api::Payload};

/// Serves plain HTTP/1.1 on every address with one state.
pub(super) async fn serve_http<State, Answer, Answered>(
    running: &mut Running,
    listen: &[SocketAddr],
    state: Arc<State>,
    answer: Answer,
) -> Result<(), ServerError>
where
    State: Send + Sync + 'static,
    Answer: Fn(Arc<State>, Request<Incoming>) -> Answered + Clone + Send + Sync + 'static,
    Answered: Future<Output = Response<Payload>> + Send + 'static,
{
    let handler = move |stream| {
        let (state, answer) = (Arc::clone(&state), answer.clone());
        async move {
            let service = service_fn(move |request| {
                let answered = answer(Arc::clone(&state), request);
                async move { Ok::<_, Infallible>(answered.await) }
            });
            // A client that goes away is its own affair.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        }
    };
    running.accept(listen, handler).await
}

/// What was asked so far, in order.
#[derive(Debug)]
pub(super) struct Log<Asked> {
    entries: Mutex<Vec<Logged<Asked>>>,
    begun: Instant,
}

/// A request and when it was here, in milliseconds since the server's start.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Logged<Asked> {
    #[serde(flatten)]
    asked: Asked,
    arrived: f64,
    answered: Option<f64>,
    status: Option<u16>,
}

impl<Asked> Default for Log<Asked> {
    fn default() -> Self {
        Self { entries: Mutex::default(), begun: Instant::now() }
    }
}

impl<Asked: Clone + PartialEq + Serialize> Log<Asked> {
    /// A request has come; gives its place and how often it came so far.
    pub(super) fn arrived(&self, asked: Asked) -> (usize, usize) {
        let arrived = self.milliseconds();
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let times = entries.iter().filter(|other| other.asked == asked).count() + 1;
        entries.push(Logged { asked, arrived, answered: None, status: None });
        (entries.len() - 1, times)
    }

    /// The answer to a request goes out.
    pub(super) fn answered(&self, place: usize, status: StatusCode) {
        let now = self.milliseconds();
        if let Some(entry) = self.entries.lock().unwrap_or_else(PoisonError::into_inner).get_mut(place) {
            (entry.answered, entry.status) = (Some(now), Some(status.as_u16()));
        }
    }

    /// How many requests have come.
    pub(super) fn len(&self) -> usize {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Everything, as a JSON document.
    pub(super) fn respond(&self) -> Response<Payload> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner).clone();
        respond(StatusCode::OK, "application/json", serde_json::json!(entries).to_string())
    }

    /// Since the start.
    pub(super) fn milliseconds(&self) -> f64 {
        self.begun.elapsed().as_secs_f64() * 1_000.0
    }
}

/// How often each of a list of faults still happens; `None` is always.
#[derive(Debug)]
pub(super) struct Left(Mutex<Vec<Option<u32>>>);

impl FromIterator<Option<u32>> for Left {
    fn from_iter<Times: IntoIterator<Item = Option<u32>>>(times: Times) -> Self {
        Self(Mutex::new(times.into_iter().collect()))
    }
}

impl Left {
    /// The first fault that fits and still happens; it is used up by once.
    pub(super) fn take<'a, Fault>(&self, faults: &'a [Fault], fits: impl Fn(&Fault) -> bool) -> Option<&'a Fault> {
        let mut left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        faults.iter().zip(left.iter_mut()).find_map(|(fault, left)| match left {
            _ if !fits(fault) => None,
            Some(0) => None,
            Some(times) => {
                *times -= 1;
                Some(fault)
            }
            None => Some(fault),
        })
    }
}

/// A document of those that were given, else of the folder. The path may be made of what a client sent.
pub(super) fn document(documents: &BTreeMap<String, Value>, folder: Option<&PathBuf>, path: &str) -> Option<Value> {
    if let Some(document) = documents.get(path) {
        return Some(document.clone());
    }
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_/.".contains(letter);
    if path.contains("..") || !path.chars().all(plain) {
        return None;
    }
    serde_json::from_slice(&std::fs::read(folder?.join(path)).ok()?).ok()
}

/// A whole body.
pub(super) fn respond(status: StatusCode, kind: &'static str, body: String) -> Response<Payload> {
    let mut response = Response::new(Payload::Whole(Some(Bytes::from(body))));
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", HeaderValue::from_static(kind));
    response
}

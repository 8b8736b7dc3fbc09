//! A small Kubernetes API: Jobs whose pod is a process of this host, with a pod's troubles.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    io::Read as _,
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
};

use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request, Response, StatusCode, body::Bytes, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

/// What is the matter with the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Nothing.
    None,
    /// This verb and resource are not permitted.
    Forbidden(&'static str),
    /// The image cannot be pulled.
    NoImage,
    /// No pod is made, and an event says why.
    NoPod,
    /// The pod runs for ever.
    Endless,
    /// The agent is of an older version.
    Older,
    /// The image is something else.
    NoAgent,
}

/// The bearer token that it wants.
pub(crate) const TOKEN: &str = "a-token-that-nobody-may-see";

/// The API; everything that it started ends with it.
pub(crate) struct FakeCluster {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
}

struct State {
    trouble: Trouble,
    jobs: Mutex<BTreeMap<String, Made>>,
    asked: Mutex<Vec<String>>,
}

struct Made {
    manifest: Value,
    pod: Option<Child>,
    log: String,
    ended: bool,
}

impl FakeCluster {
    /// Serves on a free port of loopback.
    pub(crate) async fn start(trouble: Trouble) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State { trouble, jobs: Mutex::default(), asked: Mutex::default() });
        let serving = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&serving);
                tokio::spawn(async move {
                    let answering = service_fn(move |request| answer(Arc::clone(&state), request));
                    // A client that hangs up is none of ours.
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), answering)
                        .await;
                });
            }
        });
        Self { address, state }
    }

    /// Names of the Jobs that are there.
    pub(crate) fn jobs(&self) -> Vec<String> {
        self.state.jobs.lock().unwrap().keys().cloned().collect()
    }

    /// What was asked for, as `VERB resource`, each once, in the order of the first time.
    pub(crate) fn asked(&self) -> Vec<String> {
        let mut seen = Vec::new();
        for one in self.state.asked.lock().unwrap().iter() {
            if !seen.contains(one) {
                seen.push(one.clone());
            }
        }
        seen
    }

    /// The Jobs' manifests as they were sent, those that were deleted too.
    pub(crate) fn manifests(&self) -> Vec<Value> {
        self.state
            .asked
            .lock()
            .unwrap()
            .iter()
            .filter_map(|one| serde_json::from_str(one.strip_prefix("MANIFEST ")?).ok())
            .collect()
    }
}

async fn answer(state: Arc<State>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let authorised = request.headers().get("authorization").is_some_and(|value| value == &format!("Bearer {TOKEN}"));
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let body = request.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    if !authorised {
        return Ok(status(StatusCode::UNAUTHORIZED, "Unauthorized"));
    }
    let path: Vec<&str> = uri.path().trim_matches('/').split('/').collect();
    let (resource, name) = match path.as_slice() {
        ["apis", "batch", "v1", "namespaces", "probes", "jobs"] => ("jobs", None),
        ["apis", "batch", "v1", "namespaces", "probes", "jobs", name] => ("jobs", Some(*name)),
        ["api", "v1", "namespaces", "probes", "pods"] => ("pods", None),
        ["api", "v1", "namespaces", "probes", "pods", name, "log"] => ("pods/log", Some(*name)),
        ["api", "v1", "namespaces", "probes", "events"] => ("events", None),
        _ => return Ok(status(StatusCode::NOT_FOUND, "the server could not find the requested resource")),
    };
    let verb = match (&method, name) {
        (&Method::POST, _) => "create",
        (&Method::DELETE, _) => "delete",
        (_, None) => "list",
        (_, Some(_)) => "get",
    };
    let asked = format!("{verb} {resource}");
    state.asked.lock().unwrap().push(asked.clone());
    if state.trouble
        == Trouble::Forbidden(match asked.as_str() {
            "create jobs" => "create jobs",
            "list pods" => "list pods",
            "get pods/log" => "get pods/log",
            "delete jobs" => "delete jobs",
            _ => "",
        })
    {
        let message = format!("{resource} is forbidden: User \"probe\" cannot {verb} resource \"{resource}\"");
        return Ok(status(StatusCode::FORBIDDEN, &message));
    }
    Ok(match (verb, resource) {
        ("create", "jobs") => create(&state, &body),
        ("delete", "jobs") => match state.jobs.lock().unwrap().remove(name.unwrap_or_default()) {
            Some(mut made) => {
                if let Some(pod) = &mut made.pod {
                    let _ = pod.kill();
                    let _ = pod.wait();
                }
                json_answer(&json!({ "kind": "Status", "apiVersion": "v1", "status": "Success" }))
            }
            None => status(StatusCode::NOT_FOUND, "jobs.batch not found"),
        },
        ("get", "jobs") => match state.jobs.lock().unwrap().get(name.unwrap_or_default()) {
            Some(made) => json_answer(&json!({
                "apiVersion": "batch/v1", "kind": "Job", "metadata": made.manifest["metadata"], "status": {},
            })),
            None => status(StatusCode::NOT_FOUND, "jobs.batch not found"),
        },
        ("list", "pods") => json_answer(&pods(&state, uri.query().unwrap_or_default())),
        ("list", "events") => {
            let event = json!({
                "metadata": {}, "involvedObject": {}, "type": "Warning", "reason": "FailedCreate",
                "message": "exceeded quota: compute",
            });
            let items = if state.trouble == Trouble::NoPod { json!([event]) } else { json!([]) };
            json_answer(&json!({ "apiVersion": "v1", "kind": "EventList", "metadata": {}, "items": items }))
        }
        _ => {
            let job = name.unwrap_or_default().trim_end_matches("-pod");
            let log = state.jobs.lock().unwrap().get(job).map(|made| made.log.clone()).unwrap_or_default();
            Response::new(Full::new(Bytes::from(log)))
        }
    })
}

/// Starts the container's process as the manifest says.
fn create(state: &State, body: &[u8]) -> Response<Full<Bytes>> {
    let manifest: Value = serde_json::from_slice(body).unwrap();
    state.asked.lock().unwrap().push(format!("MANIFEST {manifest}"));
    let container = &manifest["spec"]["template"]["spec"]["containers"][0];
    let arguments = container["args"].as_array().unwrap().iter().map(|one| one.as_str().unwrap().to_owned());
    let environment = container["env"].as_array().unwrap().iter();
    let mut command = match state.trouble {
        Trouble::Endless => Command::new("sleep"),
        Trouble::NoAgent | Trouble::Older => Command::new("echo"),
        _ => Command::new(env!("CARGO_BIN_EXE_kubereach")),
    };
    match state.trouble {
        Trouble::Endless => drop(command.arg("600")),
        Trouble::NoAgent => drop(command.arg("hello from nginx")),
        Trouble::Older => drop(command.arg(older_reply())),
        _ => drop(command.arg("agent").args(arguments)),
    }
    command.env_clear().envs(environment.map(|one| (one["name"].as_str().unwrap(), one["value"].as_str().unwrap())));
    let starts = !matches!(state.trouble, Trouble::NoImage | Trouble::NoPod);
    let pod = starts.then(|| command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
    let name = manifest["metadata"]["name"].as_str().unwrap().to_owned();
    let answer = json_answer(&manifest);
    state.jobs.lock().unwrap().insert(name, Made { manifest, pod, log: String::new(), ended: false });
    answer
}

fn pods(state: &State, query: &str) -> Value {
    let mut jobs = state.jobs.lock().unwrap();
    let mut items = Vec::new();
    for (name, made) in jobs.iter_mut().filter(|(name, _)| query.contains(&format!("job-name%3D{name}"))) {
        if state.trouble == Trouble::NoPod {
            continue;
        }
        if let Some(pod) = made.pod.as_mut().filter(|_| !made.ended)
            && pod.try_wait().unwrap().is_some()
        {
            made.ended = true;
            if let Some(output) = &mut pod.stdout {
                output.read_to_string(&mut made.log).unwrap();
            }
        }
        let status = match (state.trouble, made.ended) {
            (Trouble::NoImage, _) => json!({ "phase": "Pending", "containerStatuses": [{
                "name": "agent", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
                "state": { "waiting": { "reason": "ErrImagePull", "message": "not found" } },
            }] }),
            (_, true) => json!({ "phase": "Succeeded" }),
            (_, false) => json!({ "phase": "Running" }),
        };
        items.push(json!({ "metadata": { "name": format!("{name}-pod") }, "status": status }));
    }
    json!({ "apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": items })
}

/// The reply of an agent of version 0.
fn older_reply() -> String {
    use std::io::Write as _;
    let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(br#"{"protocol":0}"#).unwrap();
    let text = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, packed.finish().unwrap());
    format!("KUBEREACH-REPLY-1:{text}")
}

fn json_answer(value: &Value) -> Response<Full<Bytes>> {
    Response::builder()
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(value.to_string())))
        .unwrap()
}

fn status(code: StatusCode, message: &str) -> Response<Full<Bytes>> {
    let mut answer = json_answer(&json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code.as_u16(),
    }));
    *answer.status_mut() = code;
    answer
}

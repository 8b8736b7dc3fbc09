//! Probing from a pod of another cluster.
//!
//! The agent runs as a Job that ends by itself: it is created, waited for, read from its log and deleted. Should this
//! process die in between, the cluster stops the Job after its `activeDeadlineSeconds` and removes it after its
//! `ttlSecondsAfterFinished`.

mod manifest;
mod request;
mod state;
mod words;

use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures_util::AsyncReadExt as _;
use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{Event, Pod},
};
use kube::{
    Api, Client, Config,
    api::{ListParams, LogParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use kubereach_agent::{Order, Reply, order};
use kubereach_probes::{Observation, Options, Run, Target};
use tokio::{
    sync::{OnceCell, Semaphore},
    task::JoinSet,
};

use self::{
    request::{List, Resource},
    state::{Progress, progress},
};
use super::{allow, errand, unavailable};
use crate::{
    redact::{clean, without_secrets},
    scenario::PodPlace,
};

/// The clusters that pods were started in during this run, and the Jobs that are still there.
#[derive(Default)]
pub(super) struct Pods {
    clusters: Mutex<HashMap<PodPlace, Arc<Cluster>>>,
}

/// One cluster, as one kubeconfig's user.
#[derive(Default)]
struct Cluster {
    connection: OnceCell<Result<Connection, String>>,
    /// Names of the Jobs that were asked for and are not known to be gone.
    outstanding: Mutex<Vec<String>>,
}

#[derive(Clone)]
struct Connection {
    client: Client,
    namespace: String,
    /// The API server, and where its address is from.
    shown: Arc<str>,
    at_once: Arc<Semaphore>,
}

impl Pods {
    /// Probes from a new pod. When `run` is stopped the pod is deleted at once.
    pub(super) async fn observe(
        &self,
        place: &PodPlace,
        target: &Arc<Target>,
        options: &Arc<Options>,
        run: &Run,
    ) -> Observation {
        let cluster =
            Arc::clone(self.clusters.lock().unwrap_or_else(PoisonError::into_inner).entry(place.clone()).or_default());
        let connection = match cluster.connection.get_or_init(|| connect(place)).await {
            Ok(connection) => connection.clone(),
            Err(reason) => return unavailable(reason.clone()),
        };
        // The semaphore is never closed.
        let _permit = connection.at_once.acquire().await.ok();
        let order = errand::order("", target, options, VALIDITY);
        let name = format!("kubereach-{}", &order.id[..12]);
        let job = manifest::job(&name, place, &order, allow::allowances(target, options), active_deadline(options));
        cluster.outstanding.lock().unwrap_or_else(PoisonError::into_inner).push(name.clone());
        let outcome = tokio::select! {
            biased;
            () = run.stopped() => None,
            outcome = errand_of(&connection, &job, &name, &order, options) => Some(outcome),
        };
        // Whatever came of it, the pod goes now; when the run ends, all go at once in `close`. What cannot be deleted is named
        // there.
        if outcome.is_some() && remove(&connection, &name, REQUEST).await.is_ok() {
            cluster.forget(&name);
        }
        match outcome {
            None => Observation { cut_short: true, ..Observation::default() },
            Some(Ok(reply)) => errand::observed(Ok(reply), &order, &format!("pod {name}")),
            Some(Err(reason)) => unavailable(reason),
        }
    }

    /// Deletes what is still there. Says what could not be deleted.
    pub(super) async fn close(&self) -> Vec<String> {
        let clusters: Vec<Arc<Cluster>> =
            self.clusters.lock().unwrap_or_else(PoisonError::into_inner).drain().map(|(_, cluster)| cluster).collect();
        // All at once: whoever waits for the end waits once.
        let mut removing = JoinSet::new();
        for cluster in clusters {
            let Some(Ok(connection)) = cluster.connection.get() else { continue };
            let names = std::mem::take(&mut *cluster.outstanding.lock().unwrap_or_else(PoisonError::into_inner));
            for name in names {
                let connection = connection.clone();
                removing.spawn(async move {
                    let reason = remove(&connection, &name, AT_THE_END).await.err()?;
                    let namespace = &connection.namespace;
                    Some(format!(
                        "the job {name} could not be deleted: {reason}; it ends by itself, or: \
                         kubectl delete job --namespace {namespace} {name}"
                    ))
                });
            }
        }
        removing.join_all().await.into_iter().flatten().collect()
    }
}

impl Connection {
    fn jobs(&self) -> Resource<'_> {
        self.resource::<Job>()
    }

    /// A kind of object of the namespace.
    fn resource<K: kube::Resource<DynamicType = ()>>(&self) -> Resource<'_> {
        Resource::new(&self.client, K::url_path(&(), Some(&self.namespace)))
    }
}

impl Cluster {
    fn forget(&self, name: &str) {
        self.outstanding.lock().unwrap_or_else(PoisonError::into_inner).retain(|known| known != name);
    }
}

async fn connect(place: &PodPlace) -> Result<Connection, String> {
    let from = place
        .kubeconfig
        .as_deref()
        .map_or_else(|| "your own kubeconfig".to_owned(), |file| format!("the kubeconfig {}", file.display()));
    let read = match &place.kubeconfig {
        Some(file) => Kubeconfig::read_from(file),
        None => Kubeconfig::read(),
    };
    let kubeconfig = read.map_err(|error| format!("{from} {}", words::of_kubeconfig(&error)))?;
    let context = chosen_context(&kubeconfig, place.context.as_deref()).map_err(|reason| format!("{from} {reason}"))?;
    let options = KubeConfigOptions { context: Some(context.clone()), cluster: None, user: None };
    let mut config = within(CONNECT, "reading it", async {
        let reading = Config::from_custom_kubeconfig(kubeconfig, &options).await;
        reading.map_err(|error| words::of_kubeconfig(&error))
    })
    .await
    .map_err(|reason| format!("{from} (context {context}): {reason}"))?;
    let server = without_secrets(&config.cluster_url.to_string());
    let shown = format!("the API server {server} of {from} (context {context})").into();
    config.connect_timeout = Some(CONNECT);
    config.read_timeout = Some(REQUEST);
    config.write_timeout = Some(REQUEST);
    let namespace = place.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
    let client = Client::try_from(config).map_err(|error| format!("{from}: {}", words::of(&error)))?;
    Ok(Connection { client, namespace, shown, at_once: Arc::new(Semaphore::new(PODS_AT_ONCE)) })
}

/// The context that is meant, which is there.
fn chosen_context(kubeconfig: &Kubeconfig, named: Option<&str>) -> Result<String, String> {
    let known: Vec<&str> = kubeconfig.contexts.iter().map(|context| context.name.as_str()).collect();
    let listed = match known.as_slice() {
        [] => "it has none".to_owned(),
        _ if known.len() > MOST_LISTED => format!("it has {}, …", known[..MOST_LISTED].join(", ")),
        _ => format!("it has {}", known.join(", ")),
    };
    match named.or(kubeconfig.current_context.as_deref()).filter(|name| !name.is_empty()) {
        None => Err(format!("names no current context: write `context` ({})", clean(&listed))),
        Some(name) if known.contains(&name) => Ok(name.to_owned()),
        Some(name) => Err(format!("has no context {:?}: {}", clean(name), clean(&listed))),
    }
}

/// Create, wait, read.
async fn errand_of(
    connection: &Connection,
    job: &Job,
    name: &str,
    order: &Order,
    options: &Options,
) -> Result<Reply, String> {
    let _: Job = asked("create jobs", connection, connection.jobs().create(job)).await?;
    let pod = finished(connection, name, active_deadline(options)).await?;
    let log = log(connection, &pod).await?;
    kubereach_agent::unpack_reply(&log).map_err(|error| match error {
        order::MessageError::OtherVersion(theirs) => errand::other_version(&format!("pod {pod}"), theirs),
        error => {
            let said = log.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("nothing");
            let said = clean(said);
            let id = &order.id;
            format!("the log of pod {pod} holds no reply to order {id}: {error}; its last line is {said:?}")
        }
    })
}

/// Waits until the Job's pod has ended, and gives the pod's name; or says why it never will.
async fn finished(connection: &Connection, name: &str, deadline: Duration) -> Result<String, String> {
    let selector = ListParams::default().labels(&format!("job-name={name}")).limit(2);
    let started = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        let found: List<Pod> = asked("list pods", connection, connection.resource::<Pod>().list(&selector)).await?;
        let job: Job = asked("get jobs", connection, connection.jobs().get(name)).await?;
        let state = match progress(&job, found.items.first()) {
            Progress::Ended { pod } => return Ok(pod),
            Progress::Never(reason) => {
                return Err(format!(
                    "the pod of job {name} does not run: {}",
                    with_events(connection, name, reason).await
                ));
            }
            Progress::Waiting(state) => state,
        };
        if started.elapsed() > deadline + SCHEDULING {
            let why = with_events(connection, name, state).await;
            return Err(format!("the pod of job {name} has not ended after {} s: {why}", started.elapsed().as_secs()));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// What the cluster's events say of a Job that has no pod; nothing more where they may not be read.
async fn with_events(connection: &Connection, name: &str, reason: String) -> String {
    let events = connection.resource::<Event>();
    let about = ListParams::default().fields(&format!("involvedObject.name={name}")).limit(20);
    let Ok(Ok(list)) = tokio::time::timeout(REQUEST, events.list::<Event>(&about)).await else { return reason };
    let warning = |event: &&Event| event.type_.as_deref() == Some("Warning");
    match list.items.iter().rev().find(warning).and_then(|event| event.message.as_deref()) {
        Some(message) => format!("{reason}: {}", clean(message)),
        None => reason,
    }
}

/// The end of a pod's log, bounded.
async fn log(connection: &Connection, pod: &str) -> Result<String, String> {
    let pods: Api<Pod> = Api::namespaced(connection.client.clone(), &connection.namespace);
    let most = i64::try_from(order::MAXIMUM_REPLY_BYTES).unwrap_or(i64::MAX);
    let wanted = LogParams { limit_bytes: Some(most), ..LogParams::default() };
    let stream = asked("get pods/log", connection, pods.log_stream(pod, &wanted)).await?;
    let mut text = Vec::new();
    let reading = async {
        let stream = std::pin::pin!(stream);
        let mut bounded = stream.take(order::MAXIMUM_REPLY_BYTES as u64);
        bounded.read_to_end(&mut text).await.map_err(|error| error.to_string())
    };
    within(REQUEST, "reading the log", reading).await?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Deletes the Job and its pod. That it is not there is as good.
async fn remove(connection: &Connection, name: &str, limit: Duration) -> Result<(), String> {
    let deleting = async {
        match connection.jobs().delete(name).await {
            Ok(()) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(words::of(&error)),
        }
    };
    within(limit, "deleting it", deleting).await
}

/// One request, within its time; a denial names the permission.
async fn asked<T>(
    action: &str,
    connection: &Connection,
    request: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, String> {
    let answer = async {
        request.await.map_err(|error| match &error {
            kube::Error::Api(status) if status.code == 403 => {
                format!("not permitted (the role needs to {action} there): {}", clean(&status.message))
            }
            kube::Error::Api(status) if status.code == 401 => {
                "the credentials of the kubeconfig are not accepted".to_owned()
            }
            _ => words::of(&error),
        })
    };
    let Connection { namespace, shown, .. } = connection;
    within(REQUEST, "the answer", answer)
        .await
        .map_err(|reason| format!("{action} in namespace {namespace} at {shown}: {reason}"))
}

async fn within<T>(limit: Duration, what: &str, future: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    tokio::time::timeout(limit, future)
        .await
        .unwrap_or_else(|_| Err(format!("{what} took longer than {} s", limit.as_secs())))
}

/// How long the Job may run once its pod has started.
fn active_deadline(options: &Options) -> Duration {
    errand::longest_probe(options) + SCHEDULING
}

/// A node's clock may be minutes from ours, and an image takes its time to arrive.
const VALIDITY: Duration = Duration::from_mins(10);
/// Scheduling and pulling the image.
const SCHEDULING: Duration = Duration::from_mins(1);
const CONNECT: Duration = Duration::from_secs(10);
const REQUEST: Duration = Duration::from_secs(20);
/// Whoever has ended the run does not wait long.
const AT_THE_END: Duration = Duration::from_secs(4);
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
const PODS_AT_ONCE: usize = 8;
const MOST_LISTED: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_wrong_with_a_kubeconfig_is_said_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("kc.yaml");
        let text = "{ apiVersion: v1, kind: Config, current-context: a, contexts: [{ name: a, context: { cluster: c, user: u } }, \
                    { name: b, context: { cluster: c, user: u } }], clusters: [{ name: c, cluster: { server: 'http://127.0.0.1:1' } }], \
                    users: [{ name: u, user: { token: sesame } }] }";
        std::fs::write(&file, text).unwrap();
        let place = |file: &std::path::Path, context: Option<&str>| PodPlace {
            kubeconfig: Some(file.to_owned()),
            context: context.map(str::to_owned),
            namespace: Some("probes".to_owned()),
            image: "i".to_owned(),
            service_account: None,
            node_selector: Vec::new(),
        };
        let told = async |place: PodPlace| connect(&place).await.err().unwrap();
        let missing = told(place(&folder.path().join("nope"), None)).await;
        assert!(missing.contains("/nope cannot be read: No such file") && !missing.contains('"'), "{missing}");
        let wrong = told(place(&file, Some("z"))).await;
        assert!(wrong.ends_with("has no context \"z\": it has a, b"), "{wrong}");
        let connection = connect(&place(&file, Some("b"))).await.unwrap();
        let jobs: Api<Job> = Api::namespaced(connection.client.clone(), &connection.namespace);
        let refused = asked("get jobs", &connection, jobs.get("x")).await.unwrap_err();
        let at = format!(
            "in namespace probes at the API server http://127.0.0.1:1 of the kubeconfig {} (context b): ",
            file.display()
        );
        assert!(refused.contains(&at) && refused.contains("refused"), "{refused}");
        assert!(!refused.contains("ServiceError") && !refused.contains("sesame"), "{refused}");
    }
}

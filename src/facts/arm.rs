//! Facts of an AKS cluster, live: the bodies of Azure Resource Manager as the documents of a facts folder.
//!
//! With its folder the only module that names the provider's SDK and its HTTP client. What it gives is what the
//! provider's API answers, whole, but for secrets, which are left out, and for the order of lists, which is made the same
//! in every pull.

mod actions;
mod client;
mod credentials;
mod follow;
mod tidy;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

pub use actions::Action;
use base64::{Engine, engine::general_purpose::STANDARD};
use client::{CallError, Client};
pub use credentials::Credential;
use follow::Known;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{
    azure::ArmId,
    live::{UnderWay, now, refusals},
    manifest::Manifest,
    write::Pulled,
};
use crate::input::InputError;

/// Which cluster's facts, and with whose login.
///
/// A cluster is named by its name (with its resource group where several have it), or found by the host of its API
/// server among those that the login sees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AksRequest {
    /// The subscription, by id or by name; without it the only one, or that of the cluster found by its host.
    pub subscription: Option<String>,
    /// The cluster's resource group.
    pub resource_group: Option<String>,
    /// The cluster's name.
    pub name: Option<String>,
    /// The host of a kubeconfig's server, without port: finds the cluster where its name is not known.
    pub host: Option<String>,
    /// Any API that is compatible with the resource manager, instead of the cloud's own.
    pub endpoint_url: Option<String>,
    /// Where the token comes from.
    pub credential: Credential,
    /// Asks, too, which routes and rules the interfaces of virtual machines really have; needs two actions that the
    /// role of those who only read does not hold.
    pub effective_routes: bool,
    /// Asks, too, for the certificate authority of the API server. It stands in the kubeconfig of a user only, of which
    /// nothing else is kept.
    pub certificate_authority: bool,
}

/// Why there are no facts at all. A single action that is denied or fails is none of these.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PullError {
    /// The name, the resource group or the subscription cannot be one.
    #[error("{value:?} is no {what}")]
    Name {
        /// What it should be the name of.
        what: &'static str,
        /// What was given, bounded.
        value: String,
    },
    /// Neither a name nor a host was given, or several clusters have the name.
    #[error("which cluster is meant is not clear: {0}")]
    Unclear(String),
    /// No subscription is given, and there is none or more than one.
    #[error("no subscription is given, and the login sees {0}")]
    NoSubscription(String),
    /// The endpoint cannot be used.
    #[error("the endpoint cannot be used: {0}")]
    Endpoint(String),
    /// Nobody is logged in.
    #[error("no Azure login: {0}")]
    NoCredentials(String),
    /// The provider does not accept the token.
    #[error("the Azure login is not accepted: {0}")]
    Credentials(String),
    /// There is no such cluster.
    #[error("there is no AKS cluster {name:?} in {place}: {message}")]
    NotFound {
        /// The name asked for.
        name: String,
        /// The resource group or the subscription asked.
        place: String,
        /// The provider's words.
        message: String,
    },
    /// No cluster that the login sees has such an API server.
    #[error("no AKS cluster that the login sees has the API server {0}")]
    NoSuchHost(String),
    /// No answer from the API.
    #[error("{endpoint} cannot be reached: {message}")]
    Unreachable {
        /// Who was asked, without secrets.
        endpoint: String,
        /// What happened.
        message: String,
    },
    /// Somebody answers, but not as the resource manager does: a portal, a proxy, a redirect.
    #[error("what answers at {endpoint} is no Azure Resource Manager: {message}")]
    NotArm {
        /// Who was asked, without secrets.
        endpoint: String,
        /// What came.
        message: String,
    },
    /// The API did not describe the cluster, and did not say that it must not.
    #[error("{endpoint} does not describe the cluster: {message}")]
    Failed {
        /// Who was asked, without secrets.
        endpoint: String,
        /// The provider's words.
        message: String,
    },
    /// It took longer than ten minutes.
    #[error("Azure Resource Manager took longer than {} minutes", PULL_LIMIT.as_secs() / 60)]
    TooLong,
}

impl PullError {
    /// How to mend it.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        Some(match self {
            Self::TooLong => return None,
            Self::Name { .. } | Self::NotFound { .. } | Self::NoSuchHost(_) => {
                "az aks list -o table lists those there are".to_owned()
            }
            Self::Unclear(_) => {
                "give --name and --resource-group; az aks list -o table lists those there are".to_owned()
            }
            Self::NoSubscription(_) => "give --subscription; az account list -o table lists those there are".to_owned(),
            Self::Endpoint(_) => "give an https URL, or leave --endpoint-url out".to_owned(),
            Self::NoCredentials(_) => {
                "log in (az login), or set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET; \
                 az account show tells who you are"
                    .to_owned()
            }
            Self::Credentials(_) => {
                "log in again (az login) and compare this machine's clock; az account show tells who you are".to_owned()
            }
            Self::Failed { .. } => {
                "try again later; azure.status.microsoft tells of the provider's own faults".to_owned()
            }
            Self::NotArm { .. } => {
                "look at --endpoint-url and the proxy settings, and whether this network wants a login".to_owned()
            }
            Self::Unreachable { .. } => {
                "look at --endpoint-url, AZURE_CLOUD, the proxy settings and this network's way out".to_owned()
            }
        })
    }
}

impl From<PullError> for InputError {
    fn from(error: PullError) -> Self {
        Self { help: error.help(), ..Self::new(error.to_string()) }
    }
}

/// Reads the configuration of a cluster and of its subscription's network: a vantage may be in any virtual network.
///
/// Calls that wait for nothing run at the same time, those that need another's answer as soon as it is there.
/// `tell` gets a line that says whose login is used, then one line an action. Dropping the future ends every call.
pub async fn pull(request: &AksRequest, tell: impl Fn(String)) -> Result<Pulled, PullError> {
    pull_those(request, tell, |_| true).await
}

/// Reads the cluster and its changes of the last hour only: what changes while an update is under way.
pub async fn pull_cluster(request: &AksRequest, tell: impl Fn(String)) -> Result<Pulled, PullError> {
    pull_those(request, tell, Action::about_the_cluster).await
}

async fn pull_those(
    request: &AksRequest,
    tell: impl Fn(String),
    wanted: fn(Action) -> bool,
) -> Result<Pulled, PullError> {
    for (what, value, longest) in [
        ("name of an AKS cluster", &request.name, LONGEST_NAME),
        ("name of a resource group", &request.resource_group, LONGEST_GROUP),
        ("subscription", &request.subscription, LONGEST_SUBSCRIPTION),
    ] {
        let Some(value) = value else { continue };
        if !is_name(value, longest, what == "subscription") {
            return Err(PullError::Name { what, value: value.chars().take(longest).collect() });
        }
    }
    if request.name.is_none() && request.host.is_none() {
        return Err(PullError::Unclear("neither its name nor its host is given".to_owned()));
    }
    let everything = async {
        let client = Client::connect(request, &tell).await?;
        let target = find(&client, request, &tell).await?;
        let collector = Collector {
            known: Known::new(&target.subscription),
            client,
            target,
            tell: &tell,
            wanted,
            effective: request.effective_routes,
            authority: request.certificate_authority,
            running: UnderWay::at_most(MOST_AT_A_TIME),
            asked: BTreeSet::new(),
            waiting: BTreeMap::new(),
            documents: BTreeMap::new(),
            denied: BTreeMap::new(),
            failed: BTreeMap::new(),
            unreachable: BTreeSet::new(),
            answered: BTreeSet::new(),
            listed: BTreeSet::new(),
            said: BTreeMap::new(),
        };
        collector.run().await
    };
    tokio::time::timeout(PULL_LIMIT, everything).await.map_err(|_| PullError::TooLong)?
}

/// Where the cluster is.
#[derive(Clone, Debug)]
struct Target {
    subscription: String,
    group: String,
    name: String,
}

impl Target {
    /// The segments of the cluster's path.
    fn path(&self) -> [&str; 8] {
        [
            "subscriptions",
            &self.subscription,
            "resourceGroups",
            &self.group,
            "providers",
            "Microsoft.ContainerService",
            "managedClusters",
            &self.name,
        ]
    }
}

/// Finds the cluster as far as the request does not say where it is.
async fn find(client: &Client, request: &AksRequest, tell: &impl Fn(String)) -> Result<Target, PullError> {
    if let (Some(subscription), Some(group), Some(name)) = (
        request.subscription.as_deref().filter(|text| is_subscription_id(text)),
        &request.resource_group,
        &request.name,
    ) {
        return Ok(Target { subscription: subscription.to_owned(), group: group.clone(), name: name.clone() });
    }
    let subscriptions = subscriptions(client, request, tell).await?;
    if let ([subscription], Some(group), Some(name)) =
        (subscriptions.as_slice(), &request.resource_group, &request.name)
    {
        return Ok(Target { subscription: subscription.clone(), group: group.clone(), name: name.clone() });
    }
    let mut lists = UnderWay::at_most(MOST_AT_A_TIME);
    for subscription in &subscriptions {
        let segments = ["subscriptions", subscription, "providers", "Microsoft.ContainerService", "managedClusters"];
        let Some(url) = client.url(segments, Action::ManagedClusters.api_version()) else { continue };
        let client = client.clone();
        lists.start(async move { client.list(url).await });
    }
    let mut found: Vec<Target> = Vec::new();
    let mut refused: Option<CallError> = None;
    while let Some(answer) = lists.next().await {
        match answer {
            Ok(list) => {
                let clusters = list["value"].as_array().map(Vec::as_slice).unwrap_or_default();
                found.extend(clusters.iter().filter(|cluster| is_meant(cluster, request)).filter_map(target_of));
            }
            Err(error) => refused = Some(error),
        }
    }
    found.sort_by(|left, right| left.path().cmp(&right.path()));
    match (found.as_slice(), refused) {
        ([one], _) => {
            tell(format!("the cluster is {} in the resource group {}", one.name, one.group));
            Ok(one.clone())
        }
        ([_, _, ..], _) => {
            let groups: Vec<&str> = found.iter().map(|target| target.group.as_str()).collect();
            Err(PullError::Unclear(format!("it may be the one of any of the resource groups {}", groups.join(", "))))
        }
        ([], Some(error)) => Err(fatal(client, Action::ManagedClusters, error)),
        ([], None) => Err(match (&request.name, &request.host) {
            (Some(name), _) => PullError::NotFound {
                name: name.clone(),
                place: request.resource_group.clone().unwrap_or_else(|| "the subscription".to_owned()),
                message: "the list of clusters does not hold it".to_owned(),
            },
            (None, host) => PullError::NoSuchHost(host.clone().unwrap_or_default()),
        }),
    }
}

/// The ids of the subscriptions that may be meant.
async fn subscriptions(
    client: &Client,
    request: &AksRequest,
    tell: &impl Fn(String),
) -> Result<Vec<String>, PullError> {
    if let Some(id) = request.subscription.as_ref().filter(|text| is_subscription_id(text)) {
        return Ok(vec![id.clone()]);
    }
    let action = Action::Subscriptions;
    let url = client.url(["subscriptions"], action.api_version()).ok_or(PullError::TooLong)?;
    let list = client.list(url).await.map_err(|error| fatal(client, action, error))?;
    let all = list["value"].as_array().map(Vec::as_slice).unwrap_or_default();
    tell(format!("{}: {} found", action.permission(), all.len()));
    let id = |one: &Value| one["subscriptionId"].as_str().map(str::to_owned);
    if let Some(name) = &request.subscription {
        let named = |one: &&Value| one["displayName"].as_str().is_some_and(|own| own.eq_ignore_ascii_case(name));
        let named: Vec<String> = all.iter().filter(named).filter_map(id).collect();
        return match named.len() {
            1 => Ok(named),
            _ => Err(PullError::Name { what: "subscription that the login sees", value: name.clone() }),
        };
    }
    let usable = |one: &&Value| one["state"].as_str().is_none_or(|state| !["Disabled", "Deleted"].contains(&state));
    let usable: Vec<String> = all.iter().filter(usable).filter_map(id).filter(|id| is_subscription_id(id)).collect();
    match usable.len() {
        0 => Err(PullError::NoSubscription("none".to_owned())),
        1 => Ok(usable),
        // A host names one cluster only, wherever it is.
        2..=MOST_SUBSCRIPTIONS if request.name.is_none() => Ok(usable),
        many => Err(PullError::NoSubscription(many.to_string())),
    }
}

/// Whether a cluster of a list is the one that the request means.
fn is_meant(cluster: &Value, request: &AksRequest) -> bool {
    let same = |own: &Value, wanted: &str| own.as_str().is_some_and(|own| own.eq_ignore_ascii_case(wanted));
    if let Some(name) = &request.name {
        let group = |group: &String| {
            let id = cluster["id"].as_str().and_then(ArmId::of_resource);
            id.is_some_and(|id| follow::group(&id) == group.to_lowercase())
        };
        return same(&cluster["name"], name) && request.resource_group.as_ref().is_none_or(group);
    }
    let Some(host) = request.host.as_deref().map(|host| host.trim_end_matches('.')) else { return false };
    let properties = &cluster["properties"];
    ["fqdn", "privateFQDN", "azurePortalFQDN"].iter().any(|name| same(&properties[*name], host))
}

fn target_of(cluster: &Value) -> Option<Target> {
    let id = ArmId::of_resource(cluster["id"].as_str()?)?;
    let (subscription, group) = (id.subscription()?.to_owned(), id.resource_group()?.to_owned());
    let name = id.name().to_owned();
    id.is_of("Microsoft.ContainerService/managedClusters").then_some(Target { subscription, group, name })
}

/// What ends a pull when it happens to a call that everything depends on.
fn fatal(client: &Client, action: Action, error: CallError) -> PullError {
    let endpoint = client.endpoint();
    match error {
        CallError::Credentials(error) => error,
        CallError::Unreachable(message) => PullError::Unreachable { endpoint, message },
        CallError::Foreign(message) => PullError::NotArm { endpoint, message },
        CallError::Denied(message) | CallError::Missing(message) | CallError::Other(message) => {
            PullError::Failed { endpoint, message: format!("{}: {message}", action.permission()) }
        }
    }
}

/// An action and what it is asked about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Call {
    /// The managed cluster.
    Cluster,
    /// Its node pools.
    AgentPools,
    /// What was done to it lately.
    ActivityLog,
    /// Every resource of a type in the subscription.
    All(Action),
    /// Every resource of a type in a resource group of the subscription.
    InGroup(Action, String),
    /// One resource, wherever it is.
    One(Action, ArmId),
    /// What belongs to a resource: the links and the records of a zone, the interfaces of a scale set.
    Of(Action, ArmId),
    /// The service tags as a location knows them.
    ServiceTags(String),
    /// What an interface really has.
    Effective(Action, ArmId),
    /// The kubeconfig of a user.
    UserCredential,
}

impl Call {
    fn action(&self) -> Action {
        match self {
            Self::Cluster => Action::ManagedClusters,
            Self::AgentPools => Action::AgentPools,
            Self::ActivityLog => Action::ActivityLog,
            Self::ServiceTags(_) => Action::ServiceTags,
            Self::UserCredential => Action::UserCredential,
            Self::All(action)
            | Self::InGroup(action, _)
            | Self::One(action, _)
            | Self::Of(action, _)
            | Self::Effective(action, _) => *action,
        }
    }

    /// Asks.
    async fn ask(&self, client: &Client, target: &Target) -> Result<Value, CallError> {
        let action = self.action();
        let none = || CallError::Other("no request can be made of the id".to_owned());
        let url = |segments: Vec<&str>| client.url(segments, action.api_version()).ok_or_else(none);
        let below = |id: &ArmId, last: &str| {
            let segments: Vec<&str> = id.segments().chain([last]).collect();
            client.url(segments, action.api_version()).ok_or_else(none)
        };
        let own = ["subscriptions", target.subscription.as_str(), "providers"];
        match self {
            Self::Cluster => client.object(url(target.path().to_vec())?).await,
            Self::AgentPools => client.list(url([&target.path()[..], &["agentPools"]].concat())?).await,
            Self::ActivityLog => {
                let path = [&own[..], &["Microsoft.Insights", "eventtypes", "management", "values"]].concat();
                let mut url = url(path)?;
                url.query_pairs_mut().append_pair("$filter", &changes_filter(target));
                client.list(url).await
            }
            Self::All(action) => {
                let kind = action.listed_type().ok_or_else(none)?;
                client.list(url(own.iter().copied().chain(kind.split('/')).collect())?).await
            }
            Self::InGroup(action, group) => {
                let kind = action.listed_type().ok_or_else(none)?;
                let scope = ["subscriptions", &target.subscription, "resourceGroups", group, "providers"];
                client.list(url(scope.into_iter().chain(kind.split('/')).collect())?).await
            }
            Self::One(_, id) => client.object(url(id.segments().collect())?).await,
            Self::Of(action, id) => {
                let kind = action.resource_type();
                client.list(below(id, kind.rsplit('/').next().unwrap_or_default())?).await
            }
            Self::ServiceTags(location) => {
                let path = [&own[..], &["Microsoft.Network", "locations", location, "serviceTags"]].concat();
                client.object(url(path)?).await
            }
            Self::UserCredential => {
                client.result_of_post(url([&target.path()[..], &["listClusterUserCredential"]].concat())?).await
            }
            Self::Effective(action, id) => {
                let verb = action.resource_type();
                client.result_of_post(below(id, verb.rsplit('/').next().unwrap_or_default())?).await
            }
        }
    }
}

/// The changes of the last hour, of this cluster: <https://learn.microsoft.com/rest/api/monitor/activity-logs/list>.
/// Full minutes, so that requests made together are the same.
fn changes_filter(target: &Target) -> String {
    let second = Timestamp::now().saturating_sub(CHANGES).map_or(0, Timestamp::as_second);
    let since = Timestamp::from_second(second - second.rem_euclid(60)).unwrap_or_default();
    let path = target.path().join("/");
    format!("eventTimestamp ge '{since}' and resourceUri eq '/{path}'")
}

struct Collector<'a, Tell> {
    client: Client,
    target: Target,
    tell: &'a Tell,
    wanted: fn(Action) -> bool,
    effective: bool,
    authority: bool,
    running: UnderWay<(Call, Result<Value, CallError>)>,
    /// Every call that was ever started.
    asked: BTreeSet<Call>,
    /// How many calls of each action are not done.
    waiting: BTreeMap<Action, usize>,
    /// The resources, and what they lead to.
    known: Known,
    /// Documents that are no lists of resources.
    documents: BTreeMap<String, Value>,
    denied: BTreeMap<Action, BTreeSet<String>>,
    failed: BTreeMap<Action, BTreeSet<String>>,
    unreachable: BTreeSet<String>,
    /// Actions of which any call was answered with a document.
    answered: BTreeSet<Action>,
    /// Actions whose list of the whole subscription came.
    listed: BTreeSet<Action>,
    /// What was told of each action.
    said: BTreeMap<Action, String>,
}

impl<Tell: Fn(String)> Collector<'_, Tell> {
    async fn run(mut self) -> Result<Pulled, PullError> {
        // What others wait for is on its way first.
        let first = [Call::Cluster, Call::All(Action::VirtualNetworks), Call::All(Action::PrivateDnsZones)];
        let lists = Action::ALL.iter().filter(|action| **action != Action::ManagedClusters);
        let lists = lists.filter(|action| action.listed_type().is_some()).map(|action| Call::All(*action));
        let authority = self.authority.then_some(Call::UserCredential);
        for call in first.into_iter().chain([Call::ActivityLog, Call::AgentPools]).chain(authority).chain(lists) {
            if (self.wanted)(call.action()) {
                self.start(call);
            }
        }
        while let Some((call, result)) = self.running.next().await {
            let action = call.action();
            if let Call::All(action) = call {
                self.known.settle(action);
            }
            match result {
                Ok(document) => self.keep(&call, document)?,
                Err(error) => self.refuse(&call, error)?,
            }
            let left = self.waiting.entry(action).or_default();
            *left = left.saturating_sub(1);
            // Zones and nodes may be many, and their records and interfaces lead nowhere.
            let leads = !matches!(action, Action::PrivateDnsRecords | Action::ScaleSetInterfaces);
            if leads || self.effective {
                for next in self.next_calls() {
                    self.start(next);
                }
            }
            if self.waiting.get(&action) == Some(&0) {
                self.say(action);
            }
        }
        if self.answered.is_empty()
            && self.denied.is_empty()
            && let Some(message) = self.unreachable.pop_first()
        {
            return Err(PullError::Unreachable { endpoint: self.client.endpoint(), message });
        }
        Ok(self.finish())
    }

    fn start(&mut self, call: Call) {
        if !self.asked.insert(call.clone()) {
            return;
        }
        if self.asked.len() > MOST_CALLS {
            let message = format!("there are more than {MOST_CALLS} things to ask about");
            self.failed.entry(call.action()).or_default().insert(message);
            return;
        }
        *self.waiting.entry(call.action()).or_default() += 1;
        let (client, target) = (self.client.clone(), self.target.clone());
        self.running.start(async move {
            let result = call.ask(&client, &target).await;
            (call, result)
        });
    }

    /// What can be asked now that was not asked yet.
    fn next_calls(&self) -> Vec<Call> {
        if !(self.wanted)(Action::VirtualNetworks) {
            return Vec::new();
        }
        let mut calls = self.known.next_calls();
        // Who may not list the subscription may still list the groups that matter.
        let refused = self.denied.keys().filter(|action| action.listed_type().is_some());
        for action in refused.filter(|action| **action != Action::ManagedClusters) {
            let groups = self.known.groups().into_iter().chain([self.target.group.to_lowercase()]);
            calls.extend(groups.map(|group| Call::InGroup(*action, group)));
        }
        calls.retain(|call| !self.asked.contains(call));
        let quiet = |action: &Action| self.waiting.get(action).is_none_or(|left| *left == 0);
        // The choice is made once, when everything it is made among is there.
        let chosen = self.asked.iter().any(|call| matches!(call, Call::Effective(..)));
        let settled = [Action::ManagedClusters, Action::VirtualNetworks, Action::NetworkInterfaces];
        if self.effective && !chosen && settled.iter().all(quiet) && calls.is_empty() {
            for interface in self.known.machine_interfaces(MOST_INTERFACES) {
                calls.push(Call::Effective(Action::EffectiveRouteTable, interface.clone()));
                calls.push(Call::Effective(Action::EffectiveNetworkSecurityGroups, interface));
            }
        }
        calls
    }

    fn keep(&mut self, call: &Call, document: Value) -> Result<(), PullError> {
        if *call == Call::UserCredential {
            // The rest of a kubeconfig is secret.
            match authority_of(&document) {
                Some(data) => {
                    let document = json!({"certificateAuthorityData": data});
                    self.documents.insert("aks/certificate-authority.json".to_owned(), document);
                }
                None => {
                    let message = "the answer holds no kubeconfig with a certificate authority".to_owned();
                    self.failed.entry(call.action()).or_default().insert(message);
                }
            }
            return Ok(());
        }
        let document = tidy::tidy(document);
        self.answered.insert(call.action());
        match call {
            Call::Cluster => {
                if !document["properties"].is_object() {
                    let message = "the answer is no managed cluster".to_owned();
                    return Err(PullError::NotArm { endpoint: self.client.endpoint(), message });
                }
                self.known.set_cluster(&document);
                self.documents.insert("aks/show.json".to_owned(), document);
            }
            Call::ActivityLog => {
                self.documents.insert("aks/activity-log.json".to_owned(), changes(&document));
            }
            Call::ServiceTags(_) => {
                self.documents.insert("network/service-tags.json".to_owned(), document);
            }
            Call::AgentPools => {
                self.documents.insert("aks/agent-pools.json".to_owned(), document);
            }
            Call::Effective(action, id) => {
                let path = self.effective_path(*action, id);
                self.documents.insert(path, document);
            }
            // Kept above.
            Call::UserCredential => {}
            Call::One(action, _) => self.known.add(*action, [document]),
            Call::All(action) | Call::InGroup(action, _) | Call::Of(action, _) => {
                if matches!(call, Call::All(_)) {
                    self.listed.insert(*action);
                }
                let Value::Object(mut fields) = document else { return Ok(()) };
                if let Some(Value::Array(items)) = fields.remove("value") {
                    self.known.add(*action, items);
                }
            }
        }
        Ok(())
    }

    /// Resources that were asked for one by one, each in a file of its own.
    fn keep_apart(&mut self, file: &str) {
        let stem = file.strip_suffix(".json").unwrap_or(file);
        for (number, resource) in self.known.take(file).into_iter().enumerate() {
            let name = plain_name(resource["name"].as_str().unwrap_or_default());
            let path = format!("{stem}-{name}.json");
            let path = if self.documents.contains_key(&path) { format!("{stem}-{name}-{number}.json") } else { path };
            self.documents.insert(path, resource);
        }
    }

    /// A file for each interface, named after it; with its resource group where two have the name.
    fn effective_path(&self, action: Action, id: &ArmId) -> String {
        let stem = match action {
            Action::EffectiveRouteTable => "effective-route-table",
            _ => "effective-network-security-groups",
        };
        let path = format!("network/{stem}-{}.json", plain_name(id.name()));
        if self.documents.contains_key(&path) {
            return format!("network/{stem}-{}-{}.json", plain_name(id.name()), plain_name(&follow::group(id)));
        }
        path
    }

    /// Notes a refusal; some leave nothing to go on with.
    fn refuse(&mut self, call: &Call, error: CallError) -> Result<(), PullError> {
        let (action, message) = (call.action(), error.message());
        if *call == Call::Cluster {
            match error {
                CallError::Denied(_) => {}
                CallError::Missing(message) => {
                    let place = format!("the resource group {}", self.target.group);
                    return Err(PullError::NotFound { name: self.target.name.clone(), place, message });
                }
                error => return Err(fatal(&self.client, action, error)),
            }
        }
        if matches!(error, CallError::Unreachable(_)) {
            self.unreachable.insert(message.clone());
        }
        let list = if matches!(error, CallError::Denied(_)) { &mut self.denied } else { &mut self.failed };
        list.entry(action).or_default().insert(message);
        Ok(())
    }

    /// Tells what became of an action; again only where more came of it since.
    fn say(&mut self, action: Action) {
        let line = self.line(action);
        if self.said.get(&action) != Some(&line) {
            (self.tell)(line.clone());
            self.said.insert(action, line);
        }
    }

    /// What became of an action, in one line.
    fn line(&self, action: Action) -> String {
        let name = action.permission();
        if let Some(message) = self.denied.get(&action).and_then(BTreeSet::first) {
            return format!("{name}: not allowed: {message}");
        }
        if let Some(message) = self.failed.get(&action).and_then(BTreeSet::first) {
            return format!("{name}: failed: {message}");
        }
        match action.file() {
            Some(file) if self.known.holds(file) => format!("{name}: {} found", self.known.count(file)),
            _ => format!("{name}: read"),
        }
    }

    fn finish(mut self) -> Pulled {
        for action in Action::ALL {
            let Some(file) = action.file().filter(|file| !self.documents.contains_key(*file)) else { continue };
            // Nobody asked for what nothing leads to: there is none.
            let led_to =
                |other| self.answered.contains(&other) && !self.asked.iter().any(|call| call.action() == *action);
            let whole = match action {
                Action::PrivateDnsZoneLinks | Action::PrivateDnsRecords => {
                    self.answered.contains(action) || led_to(Action::PrivateDnsZones)
                }
                Action::VirtualNetworkGateways => self.answered.contains(action) || led_to(Action::VirtualNetworks),
                Action::ScaleSetInterfaces => self.answered.contains(action),
                _ => self.listed.contains(action),
            };
            if whole {
                self.documents.insert(file.to_owned(), json!({"value": self.known.take(file)}));
            } else if *action != Action::NetworkInterfaces || !self.answered.contains(&Action::ScaleSetInterfaces) {
                // A list would say that there are no others.
                self.keep_apart(file);
            }
        }
        let show = self.documents.get("aks/show.json");
        let text = |name: &str| show.and_then(|show| show[name].as_str()).map(str::to_owned);
        let manifest = Manifest {
            created_at: Some(now()),
            provider: Some("aks".to_owned()),
            cluster: Some(text("name").unwrap_or(self.target.name)),
            account: Some(self.target.subscription),
            region: text("location"),
            denied: refusals(self.denied, Action::permission),
            failed: refusals(self.failed, Action::permission),
            files: self.documents.keys().cloned().collect(),
        };
        Pulled { documents: self.documents, manifest }
    }
}

/// The certificate authority of the first kubeconfig in the answer, base64 of PEM text
/// (<https://learn.microsoft.com/rest/api/aks/managed-clusters/list-cluster-user-credentials>).
fn authority_of(credentials: &Value) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Kubeconfig {
        clusters: Vec<Named>,
    }
    #[derive(serde::Deserialize)]
    struct Named {
        cluster: Cluster,
    }
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "kebab-case")]
    struct Cluster {
        certificate_authority_data: Option<String>,
    }
    let encoded = credentials["kubeconfigs"].as_array()?.first()?["value"].as_str()?;
    let text = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
    // An error would repeat what stands there.
    let kubeconfig: Kubeconfig = serde_saphyr::from_str(&text).ok()?;
    let data = kubeconfig.clusters.into_iter().find_map(|named| named.cluster.certificate_authority_data)?;
    let pem = STANDARD.decode(data.trim()).ok()?;
    pem.starts_with(b"-----BEGIN CERTIFICATE-----").then(|| data.trim().to_owned())
}

/// Of the log's events those that change who can reach the cluster, and of these only what happened, to what, when and
/// how it ended: who did it is nobody's business here.
fn changes(log: &Value) -> Value {
    let events = log["value"].as_array().map(Vec::as_slice).unwrap_or_default();
    let operation = |event: &Value| event["operationName"]["value"].as_str().unwrap_or_default().to_ascii_lowercase();
    let changes = |event: &&Value| CHANGING.contains(&operation(event).as_str());
    let kept = |event: &Value| -> Value {
        KEPT_OF_EVENTS
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), event.get(*name)?.clone())))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    let mut events: Vec<Value> = events.iter().filter(changes).map(kept).collect();
    events.sort_by_cached_key(|event| {
        (event["eventTimestamp"].as_str().unwrap_or_default().to_owned(), event.to_string())
    });
    json!({"value": events})
}

/// A name as a part of a file's name: what could mean something there is an underscore.
fn plain_name(text: &str) -> String {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    let name: String = text.chars().map(|letter| if allowed(letter) { letter } else { '_' }).collect();
    name.chars().take(LONGEST_GROUP).collect()
}

/// Letters, digits and what names of this kind may hold besides; nothing that means something in a path.
fn is_name(text: &str, longest: usize, spaced: bool) -> bool {
    let allowed = |letter: char| letter.is_alphanumeric() || "-_.()".contains(letter) || (spaced && letter == ' ');
    (1..=longest).contains(&text.chars().count()) && text.chars().all(allowed) && text != "." && text != ".."
}

/// Whether it is written as an id, `00000000-0000-0000-0000-000000000000`, and not as a name.
fn is_subscription_id(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12])
        && parts.iter().all(|part| part.chars().all(|letter| letter.is_ascii_hexdigit()))
}

/// Operations that change the API server's endpoint, or whether it is there, in lower case.
const CHANGING: &[&str] = &[
    "microsoft.containerservice/managedclusters/write",
    "microsoft.containerservice/managedclusters/start/action",
    "microsoft.containerservice/managedclusters/stop/action",
];
const KEPT_OF_EVENTS: &[&str] =
    &["eventTimestamp", "operationName", "resourceId", "status", "subStatus", "correlationId"];
/// <https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules>
const LONGEST_NAME: usize = 63;
const LONGEST_GROUP: usize = 90;
const LONGEST_SUBSCRIPTION: usize = 64;
/// How far back changes are looked for.
const CHANGES: SignedDuration = SignedDuration::from_hours(1);
/// Below the provider's burst for reading calls, and enough for all that wait for nothing at once:
/// <https://learn.microsoft.com/azure/azure-resource-manager/management/request-limits-and-throttling>.
const MOST_AT_A_TIME: usize = 48;
const MOST_CALLS: usize = 5_000;
/// Looked through for a host.
const MOST_SUBSCRIPTIONS: usize = 200;
/// Interfaces whose effective routes are asked for.
const MOST_INTERFACES: usize = 20;
const PULL_LIMIT: Duration = Duration::from_mins(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_cannot_be_a_name_is_refused_before_anything_is_asked() {
        for name in ["", "a/b", "..", "a?b", "a b", "a%2f", &"a".repeat(64)] {
            let request = AksRequest { name: Some((*name).to_owned()), ..AksRequest::default() };
            assert!(matches!(pull(&request, drop).await, Err(PullError::Name { .. })), "{name}");
            let request = AksRequest {
                name: Some("prod".to_owned()),
                subscription: Some(format!("{name}/")),
                ..AksRequest::default()
            };
            assert!(matches!(pull(&request, drop).await, Err(PullError::Name { .. })), "{name}");
        }
        assert!(matches!(pull(&AksRequest::default(), drop).await, Err(PullError::Unclear(_))));
    }

    #[test]
    fn subscriptions_are_told_from_their_names() {
        assert!(is_subscription_id("00000000-0000-0000-0000-00000000000A"));
        for name in ["", "Pay as you go", "00000000-0000-0000-0000-00000000000", "00000000-0000-0000-0000-00000000000g"]
        {
            assert!(!is_subscription_id(name), "{name}");
        }
    }

    #[test]
    fn only_changes_of_the_endpoint_are_kept_and_nobody_is_named() {
        let event = |operation: &str, time: &str| {
            json!({"operationName": {"value": operation, "localizedValue": "x"}, "eventTimestamp": time,
                "status": {"value": "Succeeded"}, "caller": "jane@example.com", "claims": {"ipaddr": "198.51.100.7"},
                "httpRequest": {"clientIpAddress": "198.51.100.7"}})
        };
        let log = json!({"value": [
            event("Microsoft.ContainerService/managedClusters/write", "2026-01-01T10:00:05Z"),
            event("Microsoft.ContainerService/managedClusters/listClusterUserCredential/action", "2026-01-01T10:00:03Z"),
            event("MICROSOFT.CONTAINERSERVICE/MANAGEDCLUSTERS/WRITE", "2026-01-01T10:00:01Z"),
        ]});
        let kept = changes(&log);
        assert_eq!(kept["value"].as_array().unwrap().len(), 2, "{kept}");
        assert_eq!(kept["value"][0]["eventTimestamp"], "2026-01-01T10:00:01Z");
        assert!(!kept.to_string().contains("jane") && !kept.to_string().contains("198.51.100.7"), "{kept}");
    }
}

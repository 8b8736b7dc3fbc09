//! A server that speaks as Azure Resource Manager does, from the bodies of a facts folder.
//!
//! What it answers is what a folder of the resource manager's own bodies holds: resources by their ids, lists of a
//! subscription, of a resource group and of a resource, in pages; with refusals, throttling, latency and changes as told,
//! so that live pulls can be tried without an account. It wants a bearer token and a version of the API, and gives out
//! tokens itself as the identity endpoint of an app does. `GET /requests` tells what was asked so far, in order.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use hyper::{Method, Request, Response, StatusCode, body::Incoming, header::HeaderValue};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    Running, ServerError,
    api::Payload,
    recorded::{Left, Log, document, respond, serve_http},
};

/// An Azure Resource Manager over plain HTTP.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ArmApi {
    /// Where it listens.
    pub listen: Vec<SocketAddr>,
    /// A facts folder to answer from: bodies of the resource manager, not what the command line makes of them.
    #[serde(default)]
    pub facts: Option<PathBuf>,
    /// Documents by their path in a facts folder; they go before those of the folder.
    #[serde(default)]
    pub documents: BTreeMap<String, Value>,
    /// Documents that take the place of others in the course of time, in order.
    #[serde(default)]
    pub later: Vec<ArmLater>,
    /// Milliseconds before each answer, those of the identity endpoint apart.
    #[serde(default)]
    pub latency_ms: u64,
    /// Items of a list in one page; all of them without it.
    #[serde(default)]
    pub page_size: Option<usize>,
    /// Whether lists come in another order each time, as the provider promises none.
    #[serde(default)]
    pub unordered: bool,
    /// The only token that is good, besides those that its own identity endpoint gave; without either any token is.
    #[serde(default)]
    pub token: Option<String>,
    /// Gives out tokens at `/msi/token`.
    #[serde(default)]
    pub identity: Option<ArmIdentity>,
    /// How often the result of an operation is not there yet.
    #[serde(default)]
    pub polls: u32,
    /// What goes wrong; the first that fits is used.
    #[serde(default)]
    pub faults: Vec<ArmFault>,
}

/// The identity endpoint of an app:
/// <https://learn.microsoft.com/azure/app-service/overview-managed-identity#rest-endpoint-reference>.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ArmIdentity {
    /// What the header `X-IDENTITY-HEADER` must hold.
    pub header: String,
    /// Seconds that a token is good for.
    #[serde(default = "an_hour")]
    pub seconds: i64,
}

/// What the world looks like from a moment on.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ArmLater {
    /// Milliseconds after the start.
    #[serde(default)]
    pub after_ms: u64,
    /// And not before so many requests have come.
    #[serde(default)]
    pub after_requests: usize,
    /// Documents by their path.
    pub documents: BTreeMap<String, Value>,
}

/// A request that is not answered as it should be.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct ArmFault {
    /// `Microsoft.Network/virtualNetworks/read`, `Microsoft.Network/*`; empty for any.
    pub action: String,
    /// A part of the path, without regard to case; empty for any.
    pub resource: String,
    /// Only so often; always without it.
    pub times: Option<u32>,
    /// The HTTP status.
    pub status: u16,
    /// The provider's code: `AuthorizationFailed`.
    pub code: String,
    /// Its words; `{token}` stands for the token that was shown.
    pub message: String,
    /// Seconds that the client is asked to wait.
    pub retry_after: Option<u64>,
    /// What happens.
    pub conduct: ArmConduct,
}

/// What a fault does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ArmConduct {
    /// An error of the provider's form.
    #[default]
    Error,
    /// A body without end.
    Endless,
    /// No answer.
    Silent,
    /// Somewhere else is to be asked: a redirect.
    Redirect(String),
    /// The list is right, but its next page is somewhere else.
    NextLink(String),
}

impl ArmApi {
    pub(super) async fn start(&self, running: &mut Running) -> Result<(), ServerError> {
        let mut documents = self.documents.clone();
        for path in self.facts.iter().flat_map(|folder| paths_in(folder)) {
            if let Some(found) = document(&self.documents, self.facts.as_ref(), &path) {
                documents.insert(path, found);
            }
        }
        let mut worlds = vec![World::new(&documents)];
        for later in &self.later {
            documents.extend(later.documents.clone());
            worlds.push(World::new(&documents));
        }
        let state = Arc::new(State {
            left: self.faults.iter().map(|fault| fault.times).collect(),
            api: self.clone(),
            log: Log::default(),
            worlds,
            given: Mutex::default(),
            operations: Mutex::default(),
            numbers: AtomicU64::new(1),
        });
        serve_http(running, &self.listen, state, |state, request| async move { state.answer(request).await }).await
    }
}

struct State {
    api: ArmApi,
    /// How often each fault still happens.
    left: Left,
    log: Log<Asked>,
    /// As it is at first, and after each of the changes.
    worlds: Vec<World>,
    /// Tokens that were given out, and when they end, in seconds since 1970.
    given: Mutex<BTreeMap<String, i64>>,
    /// Operations under way: how often they are not done yet, and the document they will give.
    operations: Mutex<BTreeMap<String, (u32, String)>>,
    numbers: AtomicU64,
}

/// One request: what `GET /requests` tells of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    method: String,
    /// The permission that it takes: `Microsoft.Network/virtualNetworks/read`.
    action: String,
    path: String,
    api_version: Option<String>,
    /// The place in a list that it begins at.
    page: Option<String>,
    filter: Option<String>,
}

/// The resources at a moment.
#[derive(Debug, Default)]
struct World {
    /// By their ids in lower case.
    resources: BTreeMap<String, Value>,
    /// Ids of resources that others are a part of, in lower case, though no document holds them: scale sets.
    implied: BTreeMap<String, String>,
    subscriptions: BTreeSet<String>,
    events: Vec<Value>,
    /// Whole documents, by their paths.
    documents: BTreeMap<String, Value>,
}

impl State {
    async fn answer(&self, request: Request<Incoming>) -> Response<Payload> {
        let path = request.uri().path().to_owned();
        if path == "/requests" {
            return self.log.respond();
        }
        let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let query = request.uri().query().unwrap_or_default();
        let query: BTreeMap<String, String> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        if path == IDENTITY_PATH {
            return self.give_token(header("x-identity-header").as_deref(), &query);
        }
        let path = percent_decoded(&path);
        let asked = Asked {
            method: request.method().to_string(),
            action: action_of(request.method(), &path),
            path,
            api_version: query.get("api-version").cloned(),
            page: query.get("$skiptoken").cloned(),
            filter: query.get("$filter").cloned(),
        };
        let (place, times) = self.log.arrived(asked.clone());
        tokio::time::sleep(Duration::from_millis(self.api.latency_ms)).await;
        let bearer = header("authorization").and_then(|value| value.strip_prefix("Bearer ").map(str::to_owned));
        let host = header("host").unwrap_or_default();
        let response = self.respond_to(&asked, bearer.as_deref(), &host, times).await;
        self.log.answered(place, response.status());
        response
    }

    /// As the identity endpoint of an app does.
    fn give_token(&self, header: Option<&str>, query: &BTreeMap<String, String>) -> Response<Payload> {
        let Some(identity) = &self.api.identity else {
            return refuse(404, "NotFound", "there is no identity here");
        };
        if header != Some(identity.header.as_str()) {
            return refuse(401, "Unauthorized", "the header X-IDENTITY-HEADER is wrong");
        }
        let resource = query.get("resource").map(String::as_str).unwrap_or_default();
        if !query.contains_key("api-version") || !resource.starts_with("https://management.") {
            return refuse(400, "BadRequest", "a version of the API and the resource manager were expected");
        }
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let token = self.api.token.clone().unwrap_or_else(|| format!("kubereach-fake-token-{number:08}"));
        let ends = Timestamp::now().as_second() + identity.seconds;
        self.given.lock().unwrap_or_else(PoisonError::into_inner).insert(token.clone(), ends);
        let body = json!({"access_token": token, "expires_on": ends.to_string(), "resource": resource, "token_type": "Bearer"});
        respond(StatusCode::OK, "application/json", body.to_string())
    }

    /// Why a token is not good.
    fn token_fault(&self, bearer: Option<&str>) -> Option<(&'static str, &'static str)> {
        let Some(token) = bearer.filter(|token| !token.is_empty()) else {
            return Some(("AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing."));
        };
        if self.api.token.is_none() && self.api.identity.is_none() {
            return None;
        }
        let given = self.given.lock().unwrap_or_else(PoisonError::into_inner).get(token).copied();
        match given {
            Some(ends) if ends <= Timestamp::now().as_second() => Some((
                "ExpiredAuthenticationToken",
                "The access token expiry UTC time is earlier than current UTC time.",
            )),
            Some(_) => None,
            None if self.api.token.as_deref() == Some(token) => None,
            None => Some(("InvalidAuthenticationToken", "The access token is invalid.")),
        }
    }

    async fn respond_to(&self, asked: &Asked, bearer: Option<&str>, host: &str, times: usize) -> Response<Payload> {
        if let Some((code, message)) = self.token_fault(bearer) {
            return refuse(401, code, message);
        }
        let Some(version) = &asked.api_version else {
            return refuse(
                400,
                "MissingApiVersionParameter",
                "The api-version query parameter (?api-version=) is required for all requests.",
            );
        };
        if version.get(..10).is_none_or(|date| date.parse::<jiff::civil::Date>().is_err()) {
            return refuse(400, "InvalidApiVersionParameter", "The api-version is invalid.");
        }
        let fits = |fault: &ArmFault| {
            let (wanted, action) = (fault.action.to_lowercase(), asked.action.to_lowercase());
            let action = match wanted.strip_suffix('*') {
                Some(begin) => action.starts_with(begin),
                None => wanted.is_empty() || wanted == action,
            };
            action && asked.path.to_lowercase().contains(&fault.resource.to_lowercase())
        };
        let mut elsewhere = None;
        if let Some(fault) = self.left.take(&self.api.faults, fits) {
            match &fault.conduct {
                ArmConduct::Error => {
                    let message = fault.message.replace("{token}", bearer.unwrap_or_default());
                    let mut response = refuse(fault.status, &fault.code, &message);
                    if let Some(seconds) = fault.retry_after {
                        response.headers_mut().insert("retry-after", HeaderValue::from(seconds));
                    }
                    return response;
                }
                ArmConduct::Endless => return Response::new(Payload::Endless),
                ArmConduct::Silent => return std::future::pending().await,
                ArmConduct::Redirect(place) => {
                    let mut response = respond(StatusCode::FOUND, "text/html", String::new());
                    insert(&mut response, "location", place);
                    return response;
                }
                ArmConduct::NextLink(place) => elsewhere = Some(place),
            }
        }
        let mut answer = self.resource(asked, host);
        if let Found::List(items) = &mut answer
            && self.api.unordered
            && times.is_multiple_of(2)
        {
            items.reverse();
        }
        match answer {
            Found::List(items) => {
                let mut body = self.page(asked, items, host);
                if let Some(place) = elsewhere {
                    body["nextLink"] = json!(place);
                }
                respond(StatusCode::OK, "application/json; charset=utf-8", body.to_string())
            }
            Found::Object(object) => respond(StatusCode::OK, "application/json; charset=utf-8", object.to_string()),
            Found::Response(response) => response,
        }
    }

    fn world(&self) -> &World {
        let (now, requests) = (self.log.milliseconds(), self.log.len());
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of a test")]
        let passed = |later: &&ArmLater| now >= later.after_ms as f64 && requests > later.after_requests;
        let stage = self.api.later.iter().take_while(passed).count();
        &self.worlds[stage.min(self.worlds.len() - 1)]
    }

    fn resource(&self, asked: &Asked, host: &str) -> Found {
        let world = self.world();
        let segments: Vec<&str> = asked.path.trim_matches('/').split('/').collect();
        if segments == ["subscriptions"] {
            return Found::List(world.subscriptions.iter().map(|id| subscription(id)).collect());
        }
        let unknown = || Found::Response(refuse(404, "InvalidResourceType", "The resource type could not be found."));
        let Some(place) = segments.iter().rposition(|segment| segment.eq_ignore_ascii_case("providers")) else {
            return unknown();
        };
        let (scope, named) = (&segments[..place], &segments[place + 1..]);
        let subscription = segments.get(1).map(|id| id.to_lowercase()).unwrap_or_default();
        if !world.subscriptions.contains(&subscription) {
            let message = format!("The subscription '{subscription}' could not be found.");
            return Found::Response(refuse(404, "SubscriptionNotFound", &message));
        }
        let post = asked.method == "POST";
        match named {
            ["Microsoft.Insights", "eventtypes", "management", "values"] if !post => {
                if asked.filter.as_ref().is_none_or(|filter| !filter.contains("eventTimestamp ge '")) {
                    return Found::Response(refuse(
                        400,
                        "BadRequest",
                        "The filter is mandatory and begins with eventTimestamp",
                    ));
                }
                Found::List(world.events.clone())
            }
            ["Microsoft.Network", "locations", _, "serviceTags"] if !post => {
                world.documents.get("network/service-tags.json").cloned().map_or_else(unknown, Found::Object)
            }
            ["Microsoft.Network", "locations", _, "operationResults", number] if !post => {
                self.result(number, asked, host)
            }
            [.., operation] if post => self.begin(operation, &segments, asked, host),
            // A namespace, then pairs of a type and a name.
            _ if named.len() % 2 == 1 => {
                let found = world.resources.get(&asked.path.trim_end_matches('/').to_lowercase());
                found.cloned().map_or_else(|| Found::Response(not_found(&segments, named)), Found::Object)
            }
            _ => match world.list(scope, named) {
                Some(items) => Found::List(items),
                None => {
                    let parent = named.iter().nth_back(1).copied().unwrap_or_default();
                    let message = format!(
                        "Can not perform requested operation on nested resource. Parent resource '{parent}' not found."
                    );
                    Found::Response(refuse(404, "ParentResourceNotFound", &message))
                }
            },
        }
    }

    /// An operation that takes its time: where its result will be.
    fn begin(&self, operation: &str, segments: &[&str], asked: &Asked, host: &str) -> Found {
        if operation == "listClusterUserCredential" {
            return self.user_credential(segments);
        }
        let stem = match operation {
            "effectiveRouteTable" => "effective-route-table",
            "effectiveNetworkSecurityGroups" => "effective-network-security-groups",
            _ => return Found::Response(refuse(405, "MethodNotAllowed", "The resource type does not support it.")),
        };
        let of = segments[..segments.len() - 1].join("/");
        let Some(interface) = self.world().resources.get(&format!("/{}", of.to_lowercase())) else {
            let named = segments.get(5..segments.len() - 1).unwrap_or_default();
            return Found::Response(not_found(segments, named));
        };
        let name = interface["name"].as_str().unwrap_or_default();
        let number = self.numbers.fetch_add(1, Ordering::Relaxed).to_string();
        let path = format!("network/{stem}-{name}.json");
        self.operations.lock().unwrap_or_else(PoisonError::into_inner).insert(number.clone(), (self.api.polls, path));
        Found::Response(accepted(segments[1], &number, asked, host))
    }

    /// A user's kubeconfig, with what nobody else may see.
    fn user_credential(&self, segments: &[&str]) -> Found {
        let world = self.world();
        let data = world.documents.get("aks/certificate-authority.json").map(|one| &one["certificateAuthorityData"]);
        let Some(data) = data.and_then(Value::as_str) else {
            let named = segments.get(5..segments.len() - 1).unwrap_or_default();
            return Found::Response(not_found(segments, named));
        };
        let kubeconfig = format!(
            "apiVersion: v1\nclusters:\n- name: prod\n  cluster:\n    server: https://prod.test:443\n    certificate-authority-data: {data}\n\
             users:\n- name: clusterUser\n  user: {{token: {USER_TOKEN}}}\n"
        );
        let value = STANDARD.encode(kubeconfig);
        Found::Object(json!({"kubeconfigs": [{"name": "clusterUser", "value": value}]}))
    }

    fn result(&self, number: &str, asked: &Asked, host: &str) -> Found {
        let mut operations = self.operations.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((left, path)) = operations.get_mut(number) else {
            return Found::Response(refuse(404, "OperationNotFound", "There is no such operation."));
        };
        if *left > 0 {
            *left -= 1;
            let subscription = asked.path.split('/').nth(2).unwrap_or_default();
            return Found::Response(accepted(subscription, number, asked, host));
        }
        let found = self.world().documents.get(path.as_str()).cloned();
        Found::Object(found.unwrap_or_else(|| json!({"value": []})))
    }

    /// The page that is asked for, with a link to the next.
    fn page(&self, asked: &Asked, items: Vec<Value>, host: &str) -> Value {
        let Some(size) = self.api.page_size else { return json!({"value": items}) };
        let begin = asked.page.as_ref().and_then(|page| page.strip_prefix("page-")?.parse().ok()).unwrap_or(0_usize);
        let end = begin.saturating_add(size);
        let more = end < items.len();
        let mut body = json!({"value": items.into_iter().skip(begin).take(size).collect::<Vec<_>>()});
        if more {
            let mut query = url::form_urlencoded::Serializer::new(String::new());
            query.append_pair("api-version", asked.api_version.as_deref().unwrap_or_default());
            if let Some(filter) = &asked.filter {
                query.append_pair("$filter", filter);
            }
            query.append_pair("$skiptoken", &format!("page-{end}"));
            body["nextLink"] = json!(format!("http://{host}{}?{}", asked.path, query.finish()));
        }
        body
    }
}

/// What a path leads to.
enum Found {
    Object(Value),
    List(Vec<Value>),
    /// Anything that is not simply there: an error, or a place to look later.
    Response(Response<Payload>),
}

impl World {
    fn new(documents: &BTreeMap<String, Value>) -> Self {
        let mut world = Self { documents: documents.clone(), ..Self::default() };
        for (path, document) in documents {
            let items = document["value"].as_array();
            if path == "aks/activity-log.json" {
                world.events = items.cloned().unwrap_or_default();
                continue;
            }
            let items = items.map_or_else(|| std::slice::from_ref(document), Vec::as_slice);
            for item in items {
                let Some(id) = item["id"].as_str().filter(|_| path != "network/service-tags.json") else { continue };
                let lower = id.to_lowercase();
                world.subscriptions.extend(lower.split('/').nth(2).map(str::to_owned));
                if let Some(begin) = lower.find("/virtualmachines/").filter(|_| lower.contains(SCALE_SETS)) {
                    world.implied.insert(lower[..begin].to_owned(), id[..begin].to_owned());
                }
                world.resources.insert(lower, item.clone());
            }
        }
        world
    }

    /// The resources of a type in a scope, or those that belong to another; `None` where that is not there.
    fn list(&self, scope: &[&str], named: &[&str]) -> Option<Vec<Value>> {
        let (kind, parent) = named.split_last()?;
        let scope = format!("/{}/", scope.join("/").to_lowercase());
        let kind = kind.to_lowercase();
        if let [namespace] = parent {
            let begin = format!("providers/{}/{kind}/", namespace.to_lowercase());
            let own = |id: &str| {
                let after = id.strip_prefix(&scope)?;
                let name = match after.strip_prefix("resourcegroups/") {
                    Some(rest) => rest.split_once('/')?.1.strip_prefix(&begin)?,
                    None => after.strip_prefix(&begin)?,
                };
                (!name.contains('/')).then_some(())
            };
            let known = self.resources.iter().filter(|(id, _)| own(id).is_some()).map(|(_, item)| item.clone());
            let implied = self.implied.iter().filter(|(id, _)| own(id).is_some() && !self.resources.contains_key(*id));
            let implied = implied.map(|(_, id)| json!({"id": id, "name": id.rsplit('/').next()}));
            return Some(known.chain(implied).collect());
        }
        let parent = format!("{scope}providers/{}", parent.join("/").to_lowercase());
        if !self.resources.contains_key(&parent) && !self.implied.contains_key(&parent) {
            return None;
        }
        let belongs = |id: &str| {
            let Some(rest) = id.strip_prefix(&parent).and_then(|rest| rest.strip_prefix('/')) else { return false };
            let parts: Vec<&str> = rest.split('/').collect();
            match parts.as_slice() {
                [own, _] => *own == kind || (kind == "all" && *own != "virtualnetworklinks"),
                ["virtualmachines", _, own, _] => *own == kind,
                _ => false,
            }
        };
        Some(self.resources.iter().filter(|(id, _)| belongs(id)).map(|(_, item)| item.clone()).collect())
    }
}

/// The permission that a request takes, told from its path alone.
fn action_of(method: &Method, path: &str) -> String {
    let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
    if segments == ["subscriptions"] {
        return "Microsoft.Resources/subscriptions/read".to_owned();
    }
    let Some(place) = segments.iter().rposition(|segment| segment.eq_ignore_ascii_case("providers")) else {
        return String::new();
    };
    let mut action = segments.get(place + 1).copied().unwrap_or_default().to_owned();
    let types = segments[place + 1..].iter().skip(1).step_by(2);
    for kind in types {
        let _ = write!(action, "/{kind}");
    }
    action + if *method == Method::POST { "/action" } else { "/read" }
}

fn subscription(id: &str) -> Value {
    json!({"id": format!("/subscriptions/{id}"), "subscriptionId": id, "displayName": format!("subscription {id}"), "state": "Enabled"})
}

/// 202 and the place of the result.
fn accepted(subscription: &str, number: &str, asked: &Asked, host: &str) -> Response<Payload> {
    let version = asked.api_version.as_deref().unwrap_or_default();
    let place = format!(
        "http://{host}/subscriptions/{subscription}/providers/Microsoft.Network/locations/here/operationResults/{number}?api-version={version}"
    );
    let mut response = respond(StatusCode::ACCEPTED, "application/json", "null".to_owned());
    insert(&mut response, "location", &place);
    insert(&mut response, "retry-after", "0");
    response
}

fn not_found(segments: &[&str], named: &[&str]) -> Response<Payload> {
    let group = segments.get(3).copied().unwrap_or_default();
    let kind: Vec<&str> = named.iter().take(1).chain(named.iter().skip(1).step_by(2)).copied().collect();
    let message = format!(
        "The Resource '{}/{}' under resource group '{group}' was not found. For more details please go to \
         https://aka.ms/ARMResourceNotFoundFix",
        kind.join("/"),
        named.last().copied().unwrap_or_default()
    );
    refuse(404, "ResourceNotFound", &message)
}

/// An error of the provider's form:
/// <https://github.com/microsoft/api-guidelines/blob/vNext/azure/Guidelines.md#handling-errors>.
fn refuse(status: u16, code: &str, message: &str) -> Response<Payload> {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = json!({"error": {"code": code, "message": message}});
    respond(status, "application/json; charset=utf-8", body.to_string())
}

fn insert(response: &mut Response<Payload>, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

/// Names of resource groups may hold letters of any alphabet, and parentheses.
fn percent_decoded(path: &str) -> String {
    // The form's own signs mean themselves in a path.
    let form = format!("x={}", path.replace('+', "%2B").replace('&', "%26"));
    url::form_urlencoded::parse(form.as_bytes()).next().map(|(_, value)| value.into_owned()).unwrap_or_default()
}

/// The files of a facts folder, relative to it.
fn paths_in(folder: &Path) -> Vec<String> {
    let mut paths = Vec::new();
    for part in ["aks", "network", "compute"] {
        let entries = std::fs::read_dir(folder.join(part)).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        paths.extend(
            names
                .filter(|name| Path::new(name).extension().is_some_and(|extension| extension == "json"))
                .map(|name| format!("{part}/{name}")),
        );
    }
    paths.sort();
    paths
}

const fn an_hour() -> i64 {
    3_600
}

const IDENTITY_PATH: &str = "/msi/token";
/// Stands where a user's secret would: whoever pulls must not keep it.
const USER_TOKEN: &str = "kubereach-fake-user-token";
const SCALE_SETS: &str = "/providers/microsoft.compute/virtualmachinescalesets/";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_are_told_from_paths() {
        let of = |path: &str| action_of(&Method::GET, path);
        assert_eq!(of("/subscriptions"), "Microsoft.Resources/subscriptions/read");
        assert_eq!(
            of("/subscriptions/s/providers/Microsoft.Network/natGateways"),
            "Microsoft.Network/natGateways/read"
        );
        assert_eq!(
            of("/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/privateDnsZones/z/ALL"),
            "Microsoft.Network/privateDnsZones/ALL/read"
        );
        assert_eq!(
            of("/subscriptions/s/providers/Microsoft.Insights/eventtypes/management/values"),
            "Microsoft.Insights/eventtypes/values/read"
        );
        assert_eq!(
            action_of(
                &Method::POST,
                "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/networkInterfaces/n/effectiveRouteTable"
            ),
            "Microsoft.Network/networkInterfaces/effectiveRouteTable/action"
        );
    }

    #[test]
    fn paths_are_decoded() {
        assert_eq!(percent_decoded("/a%20b/(c)+d&e=f%C3%A9"), "/a b/(c)+d&e=fé");
    }
}

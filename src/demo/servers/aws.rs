//! A server that speaks the provider's protocols (EC2: query and XML; EKS: REST and JSON) from a facts folder.
//!
//! What it answers is what a folder of the command line's JSON holds, put back into the form of the wire, so that live
//! pulls can be tried without an account: with pages, refusals, throttling and latency as told. It checks no signature,
//! only that there is one. `GET /requests` tells what was asked so far, in order.

use std::{
    collections::BTreeMap,
    fmt::Write,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, LazyLock},
    time::Duration,
};

use http_body_util::{BodyExt, Limited};
use hyper::{Method, Request, Response, StatusCode, body::Incoming};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    Running, ServerError,
    api::Payload,
    recorded::{Left, Log, document, respond, serve_http},
};

/// An AWS-compatible API over plain HTTP.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct AwsApi {
    /// Where it listens.
    pub listen: Vec<SocketAddr>,
    /// A facts folder to answer from.
    #[serde(default)]
    pub facts: Option<PathBuf>,
    /// Documents by their path in a facts folder; they go before those of the folder.
    #[serde(default)]
    pub documents: BTreeMap<String, Value>,
    /// Milliseconds before each answer.
    #[serde(default)]
    pub latency_ms: u64,
    /// Items of a list in one page; all of them without it.
    #[serde(default)]
    pub page_size: Option<usize>,
    /// Whether lists come in another order each time, as the provider promises none.
    #[serde(default)]
    pub unordered: bool,
    /// What goes wrong; the first that fits is used.
    #[serde(default)]
    pub faults: Vec<AwsFault>,
}

/// An action that is answered with an error.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct AwsFault {
    /// `ec2:DescribeVpcs`, or `ec2:*` for all of a service.
    pub action: String,
    /// Only so often; always without it.
    #[serde(default)]
    pub times: Option<u32>,
    /// The HTTP status.
    pub status: u16,
    /// The provider's code: `UnauthorizedOperation`.
    pub code: String,
    /// Its words.
    #[serde(default)]
    pub message: String,
}

impl AwsApi {
    pub(super) async fn start(&self, running: &mut Running) -> Result<(), ServerError> {
        let left = self.faults.iter().map(|fault| fault.times).collect();
        let state = Arc::new(State { api: self.clone(), left, log: Log::default() });
        serve_http(running, &self.listen, state, |state, request| async move { state.answer(request).await }).await
    }
}

struct State {
    api: AwsApi,
    /// How often each fault still happens.
    left: Left,
    log: Log<Asked>,
}

/// One request: what `GET /requests` tells of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
struct Asked {
    service: &'static str,
    operation: String,
    /// The object asked about.
    id: Option<String>,
    attribute: Option<String>,
    token: Option<String>,
}

impl State {
    async fn answer(&self, request: Request<Incoming>) -> Response<Payload> {
        if request.method() == Method::GET && request.uri().path() == "/requests" {
            return self.log.respond();
        }
        let signed = request.headers().get("authorization").is_some_and(|value| value.as_bytes().starts_with(b"AWS4-"));
        let asked = if request.method() == Method::POST {
            let body = Limited::new(request.into_body(), LARGEST_REQUEST).collect().await;
            let body = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
            Asked::by_query(&body)
        } else {
            Asked::by_path(request.uri().path(), request.uri().query().unwrap_or_default())
        };
        let (place, times) = self.log.arrived(asked.clone());
        tokio::time::sleep(Duration::from_millis(self.api.latency_ms)).await;
        let response = self.respond_to(&asked, signed, times);
        self.log.answered(place, response.status());
        response
    }

    fn respond_to(&self, asked: &Asked, signed: bool, times: usize) -> Response<Payload> {
        if !signed {
            return asked.refuse(403, "MissingAuthenticationToken", "the request is not signed");
        }
        if let Some(fault) = self.fault(asked) {
            return asked.refuse(fault.status, &fault.code, &fault.message);
        }
        let Some(mut document) = self.document(asked) else {
            let what = asked.id.as_deref().unwrap_or_default();
            let message = format!("No cluster found for name: {what}.");
            return asked.refuse(404, "ResourceNotFoundException", &message);
        };
        self.cut(asked, &mut document, times);
        let shapes = &TABLE[asked.service]["shapes"];
        let shape = TABLE[asked.service]["operations"][&asked.operation].as_str().unwrap_or_default();
        if asked.service == "eks" {
            return respond(StatusCode::OK, "application/json", to_json(&document, shape, shapes).to_string());
        }
        let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        let name = format!("{}Response", asked.operation);
        // What a model does not know must not disturb a client.
        let _ = write!(xml, "<{name} xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\"><requestId>r-1</requestId>");
        xml.push_str("<fieldOfTomorrow><item><deep>1</deep></item></fieldOfTomorrow>");
        push_xml(&mut xml, &document, shape, shapes);
        let _ = write!(xml, "</{name}>");
        respond(StatusCode::OK, "text/xml;charset=UTF-8", xml)
    }

    fn fault(&self, asked: &Asked) -> Option<&AwsFault> {
        let action = format!("{}:{}", asked.service, asked.operation);
        let all = format!("{}:*", asked.service);
        self.left.take(&self.api.faults, |fault| fault.action == action || fault.action == all)
    }

    /// The document of the folder; where there is none, an answer that nothing is there. `None` for an object that must
    /// be there to be asked about.
    fn document(&self, asked: &Asked) -> Option<Value> {
        let stem = asked.stem();
        let attribute = asked.attribute.as_ref().map_or_else(String::new, |attribute| format!("-{attribute}"));
        let id = asked.id.as_ref().filter(|_| asked.operation != "DescribeCluster");
        let id = id.map_or_else(String::new, |id| format!("-{id}"));
        let found = self.read(&format!("{stem}{attribute}{id}.json"));
        let found = found.or_else(|| self.read(&format!("{stem}{attribute}.json")));
        match asked.operation.as_str() {
            "DescribeCluster" => found.filter(|document| document["cluster"]["name"].as_str() == asked.id.as_deref()),
            "DescribeUpdate" | "DescribeCertificateAuthority" => found,
            "DescribeVpcAttribute" => Some(found.unwrap_or_else(|| {
                let mut name = asked.attribute.clone().unwrap_or_default();
                if let Some(first) = name.get_mut(..1) {
                    first.make_ascii_uppercase();
                }
                json!({"VpcId": asked.id, name: {"Value": true}})
            })),
            _ => Some(found.unwrap_or_else(|| asked.nothing())),
        }
    }

    fn read(&self, path: &str) -> Option<Value> {
        document(&self.api.documents, self.api.facts.as_ref(), path)
    }

    /// Leaves the page that is asked for, with the token of the next.
    fn cut(&self, asked: &Asked, document: &mut Value, times: usize) {
        let Some(fields) = document.as_object_mut() else { return };
        let Some(list) = fields.values_mut().find_map(Value::as_array_mut) else { return };
        let Some(size) = self.api.page_size else {
            // The order of these says something.
            if self.api.unordered && times.is_multiple_of(2) && asked.operation != "ListUpdates" {
                list.reverse();
            }
            return;
        };
        let begin = asked.token.as_ref().and_then(|token| token.strip_prefix("page-")?.parse().ok()).unwrap_or(0);
        let end = begin + size;
        let more = end < list.len();
        *list = list.iter().skip(begin).take(size).cloned().collect();
        if more {
            let name = if asked.service == "ec2" { "NextToken" } else { "nextToken" };
            fields.insert(name.to_owned(), json!(format!("page-{end}")));
        }
    }
}

impl Asked {
    /// EC2: a form.
    fn by_query(body: &[u8]) -> Self {
        let form: BTreeMap<String, String> = url::form_urlencoded::parse(body).into_owned().collect();
        let id = ["VpcId", "PrefixListId", "TransitGatewayRouteTableId"].iter().find_map(|name| form.get(*name));
        Self {
            service: "ec2",
            operation: form.get("Action").cloned().unwrap_or_default(),
            id: id.cloned(),
            attribute: form.get("Attribute").cloned(),
            token: form.get("NextToken").cloned(),
        }
    }

    /// EKS: a path.
    fn by_path(path: &str, query: &str) -> Self {
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let (operation, id) = match parts.as_slice() {
            ["clusters", name] => ("DescribeCluster", Some(*name)),
            ["clusters", _, "updates"] => ("ListUpdates", None),
            ["clusters", _, "updates", id] => ("DescribeUpdate", Some(*id)),
            ["clusters", _, "certificate-authorities"] => ("ListCertificateAuthorities", None),
            ["clusters", _, "certificate-authorities", id] => ("DescribeCertificateAuthority", Some(*id)),
            _ => ("", None),
        };
        let token = url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "nextToken");
        Self {
            service: "eks",
            operation: operation.to_owned(),
            id: id.map(str::to_owned),
            attribute: None,
            token: token.map(|(_, token)| token.into_owned()),
        }
    }

    /// `ec2/describe-vpcs`.
    fn stem(&self) -> String {
        let mut stem = format!("{}/", self.service);
        for (index, letter) in self.operation.char_indices() {
            if letter.is_ascii_uppercase() && index > 0 {
                stem.push('-');
            }
            stem.push(letter.to_ascii_lowercase());
        }
        stem
    }

    /// An answer whose lists are empty.
    fn nothing(&self) -> Value {
        let service = &TABLE[self.service];
        let shape = service["operations"][&self.operation].as_str().unwrap_or_default();
        let members = service["shapes"][shape].as_object().into_iter().flat_map(|members| members.values());
        members
            .filter(|member| service["shapes"][member[1].as_str().unwrap_or_default()].is_array())
            .map(|member| (member[0].as_str().unwrap_or_default().to_owned(), json!([])))
            .collect()
    }

    fn refuse(&self, status: u16, code: &str, message: &str) -> Response<Payload> {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if self.service == "ec2" {
            let (code, message) = (escaped(code), escaped(message));
            let xml = format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response><Errors><Error><Code>{code}</Code>\
                 <Message>{message}</Message></Error></Errors><RequestID>r-1</RequestID></Response>"
            );
            return respond(status, "text/xml;charset=UTF-8", xml);
        }
        let mut response = respond(status, "application/json", json!({"message": message}).to_string());
        if let Ok(code) = code.parse() {
            response.headers_mut().insert("x-amzn-errortype", code);
        }
        response
    }
}

/// The inner XML of a value: members by their names on the wire. A member that the table leaves out is a secret: it is
/// written by its own name, so that a client can be seen to drop it.
fn push_xml(xml: &mut String, value: &Value, shape: &str, shapes: &Value) {
    match value {
        Value::Object(fields) => {
            let members = shapes[shape].as_object();
            for (name, value) in fields {
                let known = members.and_then(|members| members.iter().find(|(_, member)| member[0] == **name));
                let (wire, shape) = match known {
                    Some((wire, member)) => (wire.clone(), member[1].as_str().unwrap_or_default()),
                    None => (with_small_initial(name), ""),
                };
                element(xml, &wire, value, shape, shapes);
            }
        }
        Value::Array(items) => {
            let shape = shapes[shape][0].as_str().unwrap_or_default();
            for item in items {
                element(xml, "item", item, shape, shapes);
            }
        }
        Value::String(text) if shapes[shape] == "timestamp" => {
            let time = text.parse::<Timestamp>();
            let text = time.map_or_else(|_| text.clone(), |time| time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string());
            xml.push_str(&escaped(&text));
        }
        Value::String(text) => xml.push_str(&escaped(text)),
        scalar => xml.push_str(&scalar.to_string()),
    }
}

fn element(xml: &mut String, name: &str, value: &Value, shape: &str, shapes: &Value) {
    let _ = write!(xml, "<{name}>");
    push_xml(xml, value, shape, shapes);
    let _ = write!(xml, "</{name}>");
}

fn with_small_initial(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map(|first| first.to_ascii_lowercase()).into_iter().chain(letters).collect()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The same value with times as seconds, as the wire has them, and a null that means nothing.
fn to_json(value: &Value, shape: &str, shapes: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let members = shapes[shape].as_object();
            let mut object: serde_json::Map<String, Value> = fields
                .iter()
                .map(|(name, value)| {
                    let shape = members.and_then(|members| members.get(name)).and_then(|member| member[1].as_str());
                    (name.clone(), to_json(value, shape.unwrap_or_default(), shapes))
                })
                .collect();
            if members.is_some() {
                object.insert("fieldOfTomorrow".to_owned(), Value::Null);
            }
            Value::Object(object)
        }
        Value::Array(items) => {
            let shape = shapes[shape][0].as_str().unwrap_or_default();
            items.iter().map(|item| to_json(item, shape, shapes)).collect()
        }
        Value::String(text) if shapes[shape] == "timestamp" => match text.parse::<Timestamp>() {
            Ok(time) => json!(time.as_duration().as_secs_f64()),
            Err(_) => value.clone(),
        },
        scalar => scalar.clone(),
    }
}

/// The table with which the collector reads, used backwards. A test of the collector makes sure that it can be read.
static TABLE: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("../../facts/aws/shapes.json")).unwrap_or_default());

const LARGEST_REQUEST: usize = 1 << 20;

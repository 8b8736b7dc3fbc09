//! What is kept of the provider's documents: settings, in an order of their own, without secrets and without what
//! changes by itself.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
};

use flate2::{Compression, read::ZlibDecoder, write::ZlibEncoder};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::watch::record::{ClusterKey, Snapshot};

/// A snapshot of a cluster's configuration: documents by their path in a facts folder (`eks/describe-cluster.json`).
///
/// What changes by itself is left out (times, states of health, tags, tokens of pages, machines that come and go), so
/// that two readings of one configuration have one hash; so is everything that is a secret, and what is no
/// configuration (`manifest.json`, the provider's lists of updates).
#[must_use]
pub fn snapshot(cluster: ClusterKey, at: Timestamp, documents: &[(String, Value)]) -> Snapshot {
    let kept: BTreeMap<&str, Value> = documents
        .iter()
        .filter(|(path, document)| is_configuration(path) && !is_credential(document))
        .map(|(path, document)| (path.as_str(), tidy(document, "")))
        .collect();
    packed(cluster, at, &kept)
}

/// The later of two snapshots with those documents of the earlier one that it does not have: one that could not be read
/// this time (a permission, a timeout) is known as it was, and what changes meanwhile is told when it can be read again.
/// A document of something that is really gone stays as it was, too, however often it is absent: the two cannot be told
/// apart here, and what went is seen in the document that lists it.
#[must_use]
pub fn carried_over(before: &Snapshot, after: Snapshot) -> Snapshot {
    if before.hash == after.hash {
        return after;
    }
    let mut known = documents(&after);
    let read = known.len();
    for (path, document) in documents(before) {
        known.entry(path).or_insert(document);
    }
    if known.len() == read { after } else { packed(after.cluster, after.at, &known) }
}

fn packed<K: Ord + Serialize>(cluster: ClusterKey, at: Timestamp, documents: &BTreeMap<K, Value>) -> Snapshot {
    // Maps of text to values can always be written.
    let text = serde_json::to_vec(documents).unwrap_or_default();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &text);
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&digest.as_ref()[..8]);
    let hash = (u64::from_be_bytes(bytes) >> 1).cast_signed();
    let mut body = ZlibEncoder::new(Vec::new(), Compression::default());
    // Writing into memory does not fail.
    let body = body.write_all(&text).and_then(|()| body.finish()).unwrap_or_default();
    Snapshot { cluster, at, hash, body }
}

/// The documents of a snapshot; none where its body cannot be read.
pub(super) fn documents(snapshot: &Snapshot) -> BTreeMap<String, Value> {
    let mut text = Vec::new();
    match ZlibDecoder::new(snapshot.body.as_slice()).take(LARGEST).read_to_end(&mut text) {
        Ok(_) => serde_json::from_slice(&text).unwrap_or_default(),
        Err(_) => BTreeMap::new(),
    }
}

/// Whether a document says how something is set, and not what happened.
fn is_configuration(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    name != "manifest.json" && !name.starts_with("list-updates") && !name.starts_with("describe-update")
}

/// Whether a document gives access: a kubeconfig, a token of `get-token`, credentials of a session.
fn is_credential(document: &Value) -> bool {
    document.get("kind").is_some_and(|kind| kind == "ExecCredential" || kind == "Config")
        || document.get("kubeconfigs").is_some()
        || document.get("Credentials").is_some()
}

/// A document without what is left out; lists are sorted, because the providers give them in any order.
fn tidy(value: &Value, parent: &str) -> Value {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            let kept = keys.into_iter().filter(|key| !is_left_out(key, &map[key.as_str()], parent));
            let kept: Map<String, Value> = kept.map(|key| (key.clone(), tidy(&map[key.as_str()], key))).collect();
            Value::Object(kept)
        }
        Value::Array(items) => {
            let mut kept: Vec<(String, Value)> = items
                .iter()
                .filter(|item| !comes_and_goes(item, parent))
                .map(|item| tidy(item, parent))
                .map(|item| (item.to_string(), item))
                .collect();
            kept.sort_by(|left, right| left.0.cmp(&right.0));
            Value::Array(kept.into_iter().map(|(_, item)| item).collect())
        }
        Value::String(text) if text.contains("PRIVATE KEY") => Value::Null,
        other => other.clone(),
    }
}

fn is_left_out(key: &str, value: &Value, parent: &str) -> bool {
    let lower = key.to_ascii_lowercase();
    let secret = SECRETS.iter().any(|part| lower.contains(part));
    let pool = parent == "agentPoolProfiles" && matches!(lower.as_str(), "count" | "powerstate");
    // The state of an EKS cluster goes to UPDATING and back with each change.
    let state = parent == "cluster" && lower == "status";
    value.is_null() || secret || pool || state || VOLATILE.contains(&lower.as_str()) || only_refers(&lower, value)
}

/// References back to the machines of a subnet or a group, which come and go.
fn only_refers(key: &str, value: &Value) -> bool {
    let refers = |item: &Value| {
        item.as_object().is_some_and(|map| {
            map.iter().all(|(key, value)| matches!(key.as_str(), "id" | "resourceGroup") || value.is_null())
        })
    };
    matches!(key, "ipconfigurations" | "networkinterfaces" | "backendipconfigurations")
        && value.as_array().is_some_and(|items| items.iter().all(refers))
}

/// Machines that a group of nodes makes and removes by itself, and interfaces of such machines, of pods, of load
/// balancers. Interfaces of the control plane, of gateways and endpoints stay, as do single machines.
fn comes_and_goes(item: &Value, parent: &str) -> bool {
    let tagged = |item: &Value| {
        let tags = item.get("Tags").or_else(|| item.get("TagSet")).and_then(Value::as_array);
        tags.is_some_and(|tags| {
            tags.iter().filter_map(|tag| tag.get("Key")?.as_str()).any(|key| {
                key == "eks:cluster-name"
                    || key == "aws:autoscaling:groupName"
                    || key.starts_with("kubernetes.io/cluster/")
            })
        })
    };
    match parent {
        "Instances" => tagged(item),
        "Reservations" => item
            .get("Instances")
            .and_then(Value::as_array)
            .is_some_and(|instances| !instances.is_empty() && instances.iter().all(tagged)),
        "NetworkInterfaces" => {
            let text = |key: &str| item.get(key).and_then(Value::as_str).unwrap_or_default();
            let (kind, about) = (text("InterfaceType"), text("Description"));
            if about.starts_with("Amazon EKS ") {
                return false;
            }
            let of_gateway = !matches!(kind, "" | "interface" | "lambda" | "trunk" | "branch" | "efa");
            let of_machine = item.get("Attachment").is_some_and(|attachment| attachment.get("InstanceId").is_some());
            let of_pods = about.starts_with("aws-K8S-") || about.starts_with("ELB ");
            !of_gateway && (of_pods || tagged(item) || !of_machine)
        }
        _ => false,
    }
}

/// Parts of names of fields that hold secrets, in lower case.
const SECRETS: &[&str] = &[
    "password",
    "secret",
    "privatekey",
    "presharedkey",
    "sharedkey",
    "accesskey",
    "token",
    "customergatewayconfiguration",
    "userdata",
    "keydata",
    "credential",
    "kubeconfig",
];

/// Names of fields that change by themselves, in lower case.
const VOLATILE: &[&str] = &[
    "tags",
    "tagset",
    "etag",
    "health",
    "platformversion",
    "nodeimageversion",
    "provisioningstate",
    "systemdata",
    "createdat",
    "creationtimestamp",
    "createtime",
    "creationtime",
    "modifiedat",
    "lastmodified",
    "lastmodifiedtime",
    "lastupdatedtimestamp",
    "laststatuschange",
    "launchtime",
    "attachtime",
    "vgwtelemetry",
    "availableipaddresscount",
    "statetransitionreason",
    "usageoperationupdatetime",
    "responsemetadata",
    "requestid",
    "resourceguid",
    "deletetime",
    "expirationtime",
];
/// Bytes of a snapshot's documents.
const LARGEST: u64 = 64 * 1024 * 1024;

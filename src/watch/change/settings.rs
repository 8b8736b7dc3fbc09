//! Two snapshots side by side, setting by setting, by the names that the providers give them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{bounded, lost_and_gained, snapshot::documents};
use crate::watch::record::{Change, ChangeKind, Snapshot};

/// What differs between two snapshots of the provider's documents: what each setting gained and lost. Lists of plain
/// values are sets, lists of objects go by the objects' ids, and what changes by itself (times, tags of versions,
/// request ids, states of health) is left out. A document that only one of them has says nothing: it may not have been
/// readable.
#[must_use]
pub fn configured(before: &Snapshot, after: &Snapshot) -> Vec<Change> {
    if before.hash == after.hash {
        return Vec::new();
    }
    let (old, new) = (documents(before), documents(after));
    let mut told: Vec<(usize, String)> = Vec::new();
    for (path, now) in &new {
        let Some(then) = old.get(path).filter(|then| *then != now) else { continue };
        compare(&Settings::of(path, then), &Settings::of(path, now), &mut told);
    }
    told.sort();
    bounded(told.into_iter().map(|(_, text)| (ChangeKind::Configuration, text)).collect(), after.at)
}

/// The settings of one document.
#[derive(Default)]
struct Settings {
    /// Objects by their place, with what they are in short.
    objects: BTreeMap<String, String>,
    /// Single values and sets of values by their place.
    values: BTreeMap<String, Held>,
}

#[derive(PartialEq, Eq)]
enum Held {
    One(String),
    Many(BTreeSet<String>),
}

fn compare(old: &Settings, new: &Settings, told: &mut Vec<(usize, String)>) {
    let mut whole: Vec<&str> = Vec::new();
    let mut tell = |place: &str, text: String| told.push((rank(place), text));
    let objects: BTreeSet<&String> = old.objects.keys().chain(new.objects.keys()).collect();
    for place in objects {
        let (word, about) = match (old.objects.get(place), new.objects.get(place)) {
            (Some(about), None) => ("gone", about),
            (None, Some(about)) => ("new", about),
            _ => continue,
        };
        // What is inside of it comes and goes with it.
        if !whole.iter().any(|outer| is_inside(place, outer)) {
            tell(place, format!("{place} is {word} ({about})"));
            whole.push(place);
        }
    }
    let values: BTreeSet<&String> = old.values.keys().chain(new.values.keys()).collect();
    for place in values.into_iter().filter(|place| !whole.iter().any(|outer| is_inside(place, outer))) {
        let text = match (old.values.get(place), new.values.get(place)) {
            (Some(then), Some(now)) if then == now => continue,
            (Some(Held::Many(then)), Some(Held::Many(now))) => format!("{place} {}", lost_and_gained(then, now)),
            (Some(Held::Many(then)), None) => format!("{place} {}", lost_and_gained(then, &BTreeSet::new())),
            (None, Some(Held::Many(now))) => format!("{place} {}", lost_and_gained(&BTreeSet::new(), now)),
            (Some(then), Some(now)) => format!("{place} is {} instead of {}", now.words(), then.words()),
            (None, Some(now)) => format!("{place} is {}, and was not set", now.words()),
            (Some(then), None) => format!("{place} is not set, and was {}", then.words()),
            (None, None) => continue,
        };
        tell(place, text);
    }
}

fn is_inside(place: &str, outer: &str) -> bool {
    place.strip_prefix(outer).is_some_and(|rest| rest.starts_with(['.', ':']))
}

/// The most telling first: who may speak to the API server, then the cluster, then rules, routes and the rest.
fn rank(place: &str) -> usize {
    let of = |parts: &[&str]| parts.iter().any(|part| place.contains(part));
    if of(&["publicAccessCidrs", "endpointPublicAccess", "endpointPrivateAccess", "apiServerAccessProfile"]) {
        0
    } else if of(&["resourcesVpcConfig", "publicNetworkAccess", "fqdn", "endpoint", "certificateAuthority"]) {
        1
    } else if of(&["ingress", "egress", "securityRules", "rule "]) {
        2
    } else if of(&["route"]) {
        3
    } else {
        4
    }
}

impl Held {
    fn words(&self) -> String {
        match self {
            Self::One(text) => text.clone(),
            Self::Many(texts) => super::listed(texts),
        }
    }
}

impl Settings {
    fn of(path: &str, document: &Value) -> Self {
        let mut settings = Self::default();
        let owner = owner(path, document);
        match document {
            Value::Array(items) => settings.objects(&owner, "", "object", items),
            Value::Object(map) if map.get("id").is_some_and(Value::is_string) && path.starts_with("network/") => {
                settings.objects(&owner, "", "object", std::slice::from_ref(document));
            }
            Value::Object(map) => {
                for (key, value) in map {
                    match value {
                        // `describe-cluster` has everything in one object, and so do Azure's own documents.
                        Value::Object(inner) if matches!(key.as_str(), "cluster" | "properties") => {
                            for (key, value) in inner {
                                settings.take(&owner, key, value);
                            }
                        }
                        // Reservations say nothing of their instances.
                        Value::Array(items) if key == "Reservations" => {
                            let instances = items.iter().filter_map(|item| item.get("Instances")?.as_array());
                            instances.for_each(|instances| settings.objects("", "", "instance", instances));
                        }
                        Value::Array(items) if key == "value" || has_ids(key, items) => {
                            settings.objects(&owner, "", &words(key), items);
                        }
                        value => settings.take(&owner, key, value),
                    }
                }
            }
            _ => {}
        }
        settings
    }

    /// One field of the object at `place`.
    fn take(&mut self, place: &str, key: &str, value: &Value) {
        let at = |key: &str| match place {
            "" => key.to_owned(),
            place if self.objects.contains_key(place) && !place.contains(':') => format!("{place}: {key}"),
            place => format!("{place}.{key}"),
        };
        match value {
            Value::Null => {}
            Value::Object(map) if key == "properties" => {
                for (key, value) in map {
                    self.take(place, key, value);
                }
            }
            Value::Object(map) => {
                let inner = at(key);
                for (key, value) in map {
                    self.take(&inner, key, value);
                }
            }
            Value::Array(items) => {
                let inner = at(key);
                match key {
                    "IpPermissions" => {
                        self.many(at("ingress"), items.iter().flat_map(|item| permissions(item, "from")));
                    }
                    "IpPermissionsEgress" => {
                        self.many(at("egress"), items.iter().flat_map(|item| permissions(item, "to")));
                    }
                    "Entries" if items.iter().all(|item| item.get("RuleNumber").is_some()) => {
                        for (name, rule) in items.iter().map(acl_rule) {
                            self.values.insert(at(&name), Held::One(rule));
                        }
                    }
                    "Routes" => {
                        for (name, target) in items.iter().map(route) {
                            self.values.insert(at(&name), Held::One(target));
                        }
                    }
                    _ if items.iter().all(only_refers) => {
                        self.many(inner, items.iter().filter_map(|item| id_of(key, item)));
                    }
                    _ if has_ids(key, items) => self.objects(&inner, key, &words(key), items),
                    _ => self.many(inner, items.iter().map(short)),
                }
            }
            scalar => {
                self.values.insert(at(key), Held::One(short(scalar)));
            }
        }
    }

    fn many(&mut self, place: String, values: impl Iterator<Item = String>) {
        let values: BTreeSet<String> = values.collect();
        // An empty list and none are the same.
        if !values.is_empty() {
            self.values.insert(place, Held::Many(values));
        }
    }

    /// Objects of a list, each by its id.
    fn objects(&mut self, place: &str, collection: &str, what: &str, items: &[Value]) {
        for item in items {
            let Some(id) = id_of(collection, item) else {
                if let Value::Object(map) = item {
                    map.iter().for_each(|(key, value)| self.take(place, key, value));
                }
                continue;
            };
            let (inner, about) =
                if place.is_empty() { (id, what.to_owned()) } else { (format!("{place}.{id}"), short(item)) };
            self.objects.insert(inner.clone(), about);
            if let Value::Object(map) = item {
                for (key, value) in map.iter().filter(|(key, _)| !IDS.contains(&key.as_str())) {
                    self.take(&inner, key, value);
                }
            }
        }
    }
}

/// Whose a document is whose content does not carry the id: the file's name does.
fn owner(path: &str, document: &Value) -> String {
    let stem = path.rsplit('/').next().unwrap_or(path).trim_end_matches(".json");
    let named = ["get-managed-prefix-list-entries-", "search-transit-gateway-routes-"];
    if let Some(id) = named.iter().find_map(|prefix| stem.strip_prefix(prefix)) {
        return id.to_owned();
    }
    document.get("VpcId").and_then(Value::as_str).map(str::to_owned).unwrap_or_default()
}

fn has_ids(collection: &str, items: &[Value]) -> bool {
    !items.is_empty() && items.iter().all(|item| id_of(collection, item).is_some())
}

/// Whether an object is nothing but the id of another one.
fn only_refers(item: &Value) -> bool {
    item.as_object().is_some_and(|map| map.len() == 1) && item.get("id").is_some()
}

/// The id by which an object of a list is known: EC2's carry their kind's name, Azure's are names within a type.
fn id_of(collection: &str, item: &Value) -> Option<String> {
    let text = |key: &str| item.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    if let Some(id) = text("id").filter(|id| id.starts_with('/')) {
        let mut parts = id.rsplit('/');
        let name = parts.next().unwrap_or_default();
        // `…/networkSecurityGroups/nodes`; a part of another object goes by its name alone.
        return match (collection.is_empty(), parts.next()) {
            (true, Some(kind)) => Some(format!("{kind}/{name}")),
            _ => Some(name.to_owned()),
        };
    }
    // What refers to several objects is known by the id of its own.
    IDS.iter().find_map(|key| text(key)).map(str::to_owned)
}

/// `security group`, from `SecurityGroups`.
fn words(collection: &str) -> String {
    let mut words = String::new();
    for letter in collection.chars() {
        if letter.is_ascii_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.push(letter.to_ascii_lowercase());
    }
    match words.as_str() {
        "value" => "object".to_owned(),
        _ => words.strip_suffix('s').unwrap_or(&words).to_owned(),
    }
}

/// A value in few words.
fn short(value: &Value) -> String {
    let text = match value {
        // Of Azure's ids the end tells them apart.
        Value::String(text) if text.starts_with("/subscriptions/") => {
            let mut parts = text.rsplitn(3, '/');
            let (name, kind) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            format!("{kind}/{name}")
        }
        Value::String(text) => text.clone(),
        Value::Object(map) => match map.iter().next() {
            Some((key, value)) if map.len() == 1 && matches!(key.as_str(), "Value" | "id") => short(value),
            _ => {
                let fields = map.iter().filter(|(key, value)| !IDS.contains(&key.as_str()) && !value.is_null());
                fields
                    .take(MOST_FIELDS)
                    .map(|(key, value)| format!("{key} {}", short(value)))
                    .collect::<Vec<_>>()
                    .join(", ")
            }
        },
        Value::Array(items) => items.iter().take(MOST_FIELDS).map(short).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    };
    match text.char_indices().nth(LONGEST_VALUE) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// The rules of one permission of a security group, one a peer: `tcp/443 from 10.0.0.0/8`.
fn permissions(item: &Value, direction: &str) -> Vec<String> {
    let ports = &ports(item, item.get("FromPort"), item.get("ToPort"), "IpProtocol");
    let lists = [
        ("IpRanges", "CidrIp"),
        ("Ipv6Ranges", "CidrIpv6"),
        ("PrefixListIds", "PrefixListId"),
        ("UserIdGroupPairs", "GroupId"),
    ];
    lists
        .iter()
        .flat_map(|(list, key)| {
            let peers = item.get(list).and_then(Value::as_array).into_iter().flatten();
            peers.filter_map(move |peer| Some(format!("{ports} {direction} {}", peer.get(key)?.as_str()?)))
        })
        .collect()
}

/// A rule of a network ACL: its name, and what it says.
fn acl_rule(item: &Value) -> (String, String) {
    let direction = if item.get("Egress") == Some(&Value::Bool(true)) { "outbound" } else { "inbound" };
    let name = format!("{direction} rule {}", item.get("RuleNumber").map(short).unwrap_or_default());
    let range = item.get("PortRange");
    let ports =
        ports(item, range.and_then(|range| range.get("From")), range.and_then(|range| range.get("To")), "Protocol");
    let peer = item.get("CidrBlock").or_else(|| item.get("Ipv6CidrBlock")).map(short).unwrap_or_default();
    (name, format!("{} {ports} {peer}", item.get("RuleAction").map(short).unwrap_or_default()))
}

fn ports(item: &Value, from: Option<&Value>, to: Option<&Value>, protocol: &str) -> String {
    let protocol = match item.get(protocol).and_then(Value::as_str) {
        None | Some("-1") => return "all traffic".to_owned(),
        Some("6") => "tcp",
        Some("17") => "udp",
        Some(other) => other,
    };
    match (from.and_then(Value::as_i64), to.and_then(Value::as_i64)) {
        (Some(from), Some(to)) if from >= 0 && from == to => format!("{protocol}/{from}"),
        (Some(from), Some(to)) if from >= 0 => format!("{protocol}/{from}-{to}"),
        _ => protocol.to_owned(),
    }
}

/// A route: where it goes to, and by what.
fn route(item: &Value) -> (String, String) {
    let destinations = ["DestinationCidrBlock", "DestinationIpv6CidrBlock", "DestinationPrefixListId"];
    let destination = destinations.iter().find_map(|key| item.get(key)?.as_str()).unwrap_or("?");
    let name = format!("route to {destination}");
    let mut target: Vec<String> = Vec::new();
    if let Some(map) = item.as_object() {
        let known =
            map.iter().filter(|(key, _)| !destinations.contains(&key.as_str()) && !ROUTE_NOTES.contains(&key.as_str()));
        target.extend(known.map(|(_, value)| short(value)));
    }
    if let Some(state) = item.get("State").and_then(Value::as_str).filter(|state| *state != "active") {
        target.push(state.to_owned());
    }
    (name, target.join(" "))
}

/// Fields that name an object, its own name first.
const IDS: &[&str] = &[
    "RouteTableAssociationId",
    "NetworkAclAssociationId",
    "TransitGatewayAttachmentId",
    "TransitGatewayRouteTableId",
    "VpcPeeringConnectionId",
    "NatGatewayId",
    "InternetGatewayId",
    "VpcEndpointId",
    "VpnConnectionId",
    "VpnGatewayId",
    "NetworkInterfaceId",
    "InstanceId",
    "ReservationId",
    "RouteTableId",
    "NetworkAclId",
    "DhcpOptionsId",
    "PrefixListId",
    "TransitGatewayId",
    "SubnetId",
    "GroupId",
    "VpcId",
    "Key",
    "Id",
    "id",
    "name",
    "Name",
];
/// Of a route, what is not its way.
const ROUTE_NOTES: &[&str] = &["Origin", "State", "Type", "PrefixListId", "TransitGatewayRouteTableAnnouncementId"];
const MOST_FIELDS: usize = 6;
const LONGEST_VALUE: usize = 120;

//! One document of Azure → typed resources. What each is, is told by its `type`, else by its id.

use std::{collections::HashMap, fmt::Debug, path::Path};

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{ActivityEvent, ArmId, EffectiveRoutes, Kind, Network, canonical::canonical};
use crate::{
    facts::aks::{AgentPool, ManagedCluster},
    input::{Documents, InputError, Kind as NodeKind, Limits, Node, Source, read_tree},
};

/// What the documents said of AKS and Azure.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::facts) struct Found {
    pub(in crate::facts) managed_clusters: Option<Vec<ManagedCluster>>,
    pub(in crate::facts) agent_pools: Option<Vec<AgentPool>>,
    pub(in crate::facts) activity: Option<Vec<ActivityEvent>>,
    pub(in crate::facts) network: Network,
    /// Where each resource is in the list of its kind.
    seen: HashMap<(Kind, ArmId), usize>,
}

/// Declares the kinds: what their type is, how our own files name a list of them, and where they are kept.
macro_rules! kinds {
    ($($kind:ident: $type:literal, $file:literal => $($place:ident).+;)+) => {
        /// The kind of a type in lower case.
        pub(super) fn kind_of_type(kind: &str) -> Option<Kind> {
            match kind {
                $($type => Some(Kind::$kind),)+
                // `…/privateDnsZones/A`, and the other types of records.
                _ if kind.starts_with("microsoft.network/privatednszones/") => Some(Kind::PrivateDnsRecordSet),
                _ => None,
            }
        }

        /// The kind that an empty list is of, by the name of its file.
        fn kind_of_file(stem: &str) -> Option<Kind> {
            match stem {
                $($file => Some(Kind::$kind),)+
                _ => None,
            }
        }

        impl Found {
            /// Adds a resource, or notes that there is none. An id that says two things is an error.
            fn take(&mut self, kind: Kind, item: Option<Item<'_>>) -> Result<(), InputError> {
                match kind {
                    $(Kind::$kind => add(kind, self.$($place).+.get_or_insert_default(), &mut self.seen, item),)+
                    Kind::ServiceTag | Kind::EffectiveRoutes => Ok(()),
                }
            }
        }
    };
}

kinds! {
    ManagedCluster: "microsoft.containerservice/managedclusters", "managed-clusters" => managed_clusters;
    AgentPool: "microsoft.containerservice/managedclusters/agentpools", "agent-pools" => agent_pools;
    ActivityEvent: "activity-event", "activity-log" => activity;
    VirtualNetwork: "microsoft.network/virtualnetworks", "virtual-networks" => network.virtual_networks;
    Subnet: "microsoft.network/virtualnetworks/subnets", "subnets" => network.subnets;
    Peering: "microsoft.network/virtualnetworks/virtualnetworkpeerings", "peerings" => network.peerings;
    NetworkSecurityGroup: "microsoft.network/networksecuritygroups", "network-security-groups" => network.network_security_groups;
    RouteTable: "microsoft.network/routetables", "route-tables" => network.route_tables;
    PublicIpAddress: "microsoft.network/publicipaddresses", "public-ip-addresses" => network.public_ip_addresses;
    PublicIpPrefix: "microsoft.network/publicipprefixes", "public-ip-prefixes" => network.public_ip_prefixes;
    LoadBalancer: "microsoft.network/loadbalancers", "load-balancers" => network.load_balancers;
    NatGateway: "microsoft.network/natgateways", "nat-gateways" => network.nat_gateways;
    PrivateEndpoint: "microsoft.network/privateendpoints", "private-endpoints" => network.private_endpoints;
    NetworkInterface: "microsoft.network/networkinterfaces", "network-interfaces" => network.network_interfaces;
    Firewall: "microsoft.network/azurefirewalls", "azure-firewalls" => network.firewalls;
    VirtualNetworkGateway: "microsoft.network/virtualnetworkgateways", "virtual-network-gateways" => network.virtual_network_gateways;
    PrivateDnsZone: "microsoft.network/privatednszones", "private-dns-zones" => network.private_dns_zones;
    PrivateDnsZoneLink: "microsoft.network/privatednszones/virtualnetworklinks", "private-dns-zone-links" => network.private_dns_zone_links;
    PrivateDnsRecordSet: "microsoft.network/privatednszones/a", "private-dns-records" => network.private_dns_records;
}

/// A document of Azure's and where it came from.
#[derive(Clone, Copy)]
struct Place<'a> {
    file: &'a Path,
    bytes: &'a [u8],
}

/// A resource in a document.
struct Item<'a> {
    value: Value,
    path: Vec<Step>,
    place: Place<'a>,
}

/// A step from a value to one inside it.
#[derive(Clone, Debug)]
enum Step {
    Key(String),
    Index(usize),
}

/// What must be told apart by its id.
trait Resource: DeserializeOwned + PartialEq + Debug {
    /// Its id, where two of the same are one.
    fn id(&self) -> Option<&ArmId>;
}

macro_rules! resources {
    ($($type:ty),+ $(,)?) => {
        $(impl Resource for $type {
            fn id(&self) -> Option<&ArmId> {
                Some(&self.id).filter(|id| !id.is_empty())
            }
        })+
    };
}

resources! {
    ManagedCluster, AgentPool, super::VirtualNetwork, super::Subnet, super::Peering, super::NetworkSecurityGroup,
    super::RouteTable, super::PublicIpAddress, super::PublicIpPrefix, super::LoadBalancer, super::NatGateway,
    super::PrivateEndpoint, super::NetworkInterface, super::Firewall, super::VirtualNetworkGateway,
    super::PrivateDnsZone, super::PrivateDnsZoneLink, super::PrivateDnsRecordSet,
}

impl Resource for ActivityEvent {
    fn id(&self) -> Option<&ArmId> {
        None
    }
}

/// Reads a document. False when it says nothing that is known.
///
/// # Errors
/// It is no JSON, one page of several, or a resource in it says something impossible or twice: the first such error.
pub(in crate::facts) fn read(
    found: &mut Found,
    file: &Path,
    relative: &Path,
    bytes: &[u8],
) -> Result<bool, InputError> {
    let document: Value = serde_json::from_slice(bytes).map_err(|error| {
        let position = (error.line().max(1), error.column().max(1));
        InputError::new("this is not JSON").in_file(file).at(position.0, position.1)
    })?;
    let stem = relative.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let place = Place { file, bytes };
    let (items, key) = match document {
        Value::Array(items) => (items, None),
        Value::Object(mut members) => {
            if members.get("nextLink").and_then(Value::as_str).is_some_and(|link| !link.is_empty()) {
                let message = "this is one page of several (`nextLink`), and what the others say is not known";
                let help = "pull all of them: `kubereach facts pull aks`, or `az … list -o json`, which follows them";
                return Err(InputError::new(message).in_file(file).help(help));
            }
            let key = ["value", "values"].into_iter().find(|key| members.get(*key).is_some_and(Value::is_array));
            match key.and_then(|key| members.remove(key)) {
                Some(Value::Array(items)) => (items, key),
                _ => {
                    let value = Value::Object(members);
                    let Some(kind) = kind_of(&value) else { return Ok(false) };
                    found.take(kind, Some(Item { value, path: Vec::new(), place }))?;
                    return Ok(true);
                }
            }
        }
        _ => return Ok(false),
    };
    let at = |index| key.map(|key| Step::Key(key.to_owned())).into_iter().chain([Step::Index(index)]).collect();
    if key == Some("values") {
        let all = found.network.service_tags.get_or_insert_default();
        for (index, value) in items.into_iter().enumerate() {
            all.push(typed(&Item { value, path: at(index), place })?);
        }
        found.network.listed.insert(Kind::ServiceTag);
        return Ok(true);
    }
    if let Some(name) = stem.strip_prefix(EFFECTIVE_ROUTES) {
        let mut routes = Vec::new();
        for (index, value) in items.into_iter().enumerate() {
            routes.push(typed(&Item { value, path: at(index), place })?);
        }
        let network_interface = name.trim_start_matches('-').to_owned();
        found.network.effective_routes.push(EffectiveRoutes { network_interface, routes });
        return Ok(true);
    }
    if items.is_empty() {
        let Some(kind) = kind_of_file(stem) else { return Ok(false) };
        found.take(kind, None)?;
        found.network.listed.insert(kind);
        return Ok(true);
    }
    let mut known = false;
    for (index, value) in items.into_iter().enumerate() {
        let Some(kind) = kind_of(&value) else { continue };
        known = true;
        found.network.listed.insert(kind);
        found.take(kind, Some(Item { value, path: at(index), place }))?;
    }
    Ok(known)
}

/// What a resource is: by its id, which holds every type on the way, else by its type.
fn kind_of(value: &Value) -> Option<Kind> {
    let text = |key: &str| value.get(key).and_then(Value::as_str);
    if value.get("eventTimestamp").is_some() && value.get("operationName").is_some() {
        return Some(Kind::ActivityEvent);
    }
    let of_id = || {
        let kind = ArmId::new(text("id")?).kind()?;
        // Interfaces of scale sets stand in their machines.
        if kind.ends_with("/networkinterfaces") {
            return Some(Kind::NetworkInterface);
        }
        kind_of_type(&kind)
    };
    text("type").and_then(|kind| kind_of_type(&kind.to_ascii_lowercase())).or_else(of_id)
}

fn add<T: Resource>(
    kind: Kind,
    all: &mut Vec<T>,
    seen: &mut HashMap<(Kind, ArmId), usize>,
    item: Option<Item<'_>>,
) -> Result<(), InputError> {
    let Some(item) = item else { return Ok(()) };
    let one: T = typed(&item)?;
    let Some(id) = one.id() else {
        all.push(one);
        return Ok(());
    };
    let place = *seen.entry((kind, id.clone())).or_insert(all.len());
    match all.get(place) {
        Some(other) if *other == one => {}
        Some(_) => {
            let (line, column) = position(&item, &item.path);
            return Err(InputError::new(format!("`{}` is described twice, and differently", id.name().escape_debug()))
                .in_file(item.place.file)
                .at(line, column)
                .help("keep the facts of one moment in a folder"));
        }
        None => all.push(one),
    }
    Ok(())
}

fn typed<T: DeserializeOwned>(item: &Item<'_>) -> Result<T, InputError> {
    T::deserialize(canonical(item.value.clone())).map_err(|error| {
        let mut path = item.path.clone();
        culprit::<T>(&item.value, &mut path);
        let (line, column) = position(item, &path);
        let name = item.value.get("id").and_then(Value::as_str).map(|id| ArmId::new(id).name().to_owned());
        let of = name.map(|name| format!(" of `{}`", name.escape_debug())).unwrap_or_default();
        let words: Vec<String> = path.iter().skip(item.path.len()).map(Step::to_string).collect();
        let place =
            if words.is_empty() { String::new() } else { format!("`{}`{of}: ", words.join(".").escape_debug()) };
        InputError::new(format!("this is not what the provider prints: {place}{error}"))
            .in_file(item.place.file)
            .at(line, column)
            .help("write it anew with `kubereach facts pull aks`, or with `az … -o json`")
    })
}

/// Goes down to the member without which the value could be read.
fn culprit<T: DeserializeOwned>(whole: &Value, path: &mut Vec<Step>) {
    let base = path.len();
    for _ in 0..DEEPEST {
        let Some(here) = path.iter().skip(base).try_fold(whole, |value, step| step.step(value)) else { return };
        let steps: Vec<Step> = match here {
            Value::Object(members) => members.keys().cloned().map(Step::Key).collect(),
            Value::Array(items) => (0..items.len()).map(Step::Index).collect(),
            _ => return,
        };
        let guilty = steps.into_iter().take(MOST_MEMBERS).find(|step| {
            let mut without = whole.clone();
            let mut inside = Some(&mut without);
            for step in path.iter().skip(base) {
                inside = inside.and_then(|value| step.step_mut(value));
            }
            match (inside, step) {
                (Some(Value::Object(members)), Step::Key(key)) => drop(members.remove(key)),
                (Some(Value::Array(items)), Step::Index(index)) if *index < items.len() => drop(items.remove(*index)),
                _ => return false,
            }
            T::deserialize(canonical(without)).is_ok()
        });
        match guilty {
            Some(step) => path.push(step),
            None => return,
        }
    }
}

/// Line and column of a value, by reading the text once more; those of the file where that does not lead there.
fn position(item: &Item<'_>, path: &[Step]) -> (usize, usize) {
    let limits = Limits { nodes: MOST_NODES, depth: DEEPEST, documents: Documents::One };
    let found = || {
        let text = std::str::from_utf8(item.place.bytes).ok()?;
        let source = Source::new(item.place.file, text);
        let root = read_tree(&source, text, limits).ok()?.root?;
        let mut position = root.position;
        let mut node: &Node = &root;
        for step in path {
            node = match (&node.kind, step) {
                (NodeKind::Map(entries), Step::Key(key)) => {
                    let entry = entries.iter().find(|entry| *entry.key == **key)?;
                    position = entry.position;
                    &entry.value
                }
                (NodeKind::List(items), Step::Index(index)) => {
                    let inner = items.get(*index)?;
                    position = inner.position;
                    inner
                }
                _ => return Some(position),
            };
        }
        Some(position)
    };
    found().unwrap_or((1, 1))
}

impl Step {
    fn step<'v>(&self, value: &'v Value) -> Option<&'v Value> {
        match self {
            Self::Key(key) => value.get(key),
            Self::Index(index) => value.get(index),
        }
    }

    fn step_mut<'v>(&self, value: &'v mut Value) -> Option<&'v mut Value> {
        match self {
            Self::Key(key) => value.get_mut(key),
            Self::Index(index) => value.get_mut(index),
        }
    }
}

impl std::fmt::Display for Step {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Key(key) => formatter.write_str(key),
            Self::Index(index) => write!(formatter, "{index}"),
        }
    }
}

const EFFECTIVE_ROUTES: &str = "effective-route-table";
/// JSON of more levels is refused by the reader already.
const DEEPEST: usize = 128;
const MOST_MEMBERS: usize = 4_096;
const MOST_NODES: usize = 400_000;

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use serde_json::json;

    use super::*;
    use crate::facts::{Facts, aks::AuthorizedSource, from_documents};

    fn facts(documents: &[(&str, String)]) -> Result<Facts, String> {
        let documents = documents.iter().map(|(name, text)| (PathBuf::from(name), text.clone().into_bytes()));
        from_documents(Path::new("folder"), documents.collect::<Vec<_>>()).map_err(|errors| errors.to_string())
    }

    const CREATING: &str =
        include_str!("../../../tests/data/aks/managed-cluster-get.2021-10-01.authorized-ranges.creating.json");
    const PLAIN: &str = include_str!("../../../tests/data/aks/managed-cluster-get.2024-09-01.json");

    #[test]
    fn bodies_of_the_real_api_are_read() {
        let read = facts(&[("aks/show.json", CREATING.to_owned())]).unwrap();
        let cluster = read.managed_cluster.unwrap();
        assert_eq!(cluster.name, "cliakstest000001");
        assert_eq!(cluster.resource_group(), Some("clitest000001"));
        assert_eq!(cluster.provisioning_state.as_deref(), Some("Creating"));
        assert_eq!(cluster.access().authorized_ip_ranges[0].text(), "1.2.3.4/32");
        let profile = cluster.network_profile.unwrap();
        assert_eq!(profile.outbound_type.as_deref(), Some("loadBalancer"));
        let outbound = profile.load_balancer_profile.unwrap().effective_outbound_ips;
        assert_eq!(outbound[0].id.name(), "def6bad5-9966-4275-ad61-892c2aec94ef");
        assert!(read.unrecognised.is_empty());
        let cluster = facts(&[("any.json", PLAIN.to_owned())]).unwrap().managed_cluster.unwrap();
        assert_eq!(cluster.fqdn.as_deref(), Some("dnsprefix1-abcd1234.hcp.eastus.azmk8s.io"));
        assert!(!cluster.is_private() && cluster.access().authorized_ip_ranges.is_empty());
        assert_eq!(cluster.agent_pool_profiles[0].count, Some(3));
    }

    #[test]
    fn what_az_prints_says_the_same() {
        let body = json!({"id": "/subscriptions/s/resourcegroups/rg/providers/Microsoft.ContainerService/managedClusters/prod",
            "name": "prod", "type": "Microsoft.ContainerService/ManagedClusters", "properties": {
                "privateFQDN": "p.privatelink.westeurope.azmk8s.io",
                "apiServerAccessProfile": {"authorizedIPRanges": ["198.51.100.0/24", "AzureDevOps"], "privateDNSZone": "none",
                    "enablePrivateClusterPublicFQDN": true, "subnetId": "/subscriptions/s/x"},
                "agentPoolProfiles": [{"name": "a", "enableNodePublicIP": true, "nodePublicIPPrefixID": "/p", "vnetSubnetID": "/v"}],
                "networkProfile": {"loadBalancerProfile": {"effectiveOutboundIPs": [{"id": "/e"}]}}}});
        let printed = json!({"id": "/subscriptions/s/resourcegroups/rg/providers/Microsoft.ContainerService/managedClusters/prod",
            "name": "prod", "type": "Microsoft.ContainerService/ManagedClusters", "resourceGroup": "rg",
            "privateFqdn": "p.privatelink.westeurope.azmk8s.io",
            "apiServerAccessProfile": {"authorizedIpRanges": ["198.51.100.0/24", "AzureDevOps"], "privateDnsZone": "none",
                "enablePrivateClusterPublicFqdn": true, "subnetId": "/subscriptions/s/x"},
            "agentPoolProfiles": [{"name": "a", "enableNodePublicIp": true, "nodePublicIpPrefixId": "/p", "vnetSubnetId": "/v"}],
            "networkProfile": {"loadBalancerProfile": {"effectiveOutboundIPs": [{"id": "/e"}]}}});
        let read = |value: &Value| facts(&[("show.json", value.to_string())]).unwrap().managed_cluster.unwrap();
        let cluster = read(&body);
        assert_eq!(cluster, read(&printed));
        assert_eq!(cluster.private_fqdn.as_deref(), Some("p.privatelink.westeurope.azmk8s.io"));
        let access = cluster.access();
        assert_eq!(access.authorized_ip_ranges[1], AuthorizedSource::ServiceTag("AzureDevOps".to_owned()));
        assert_eq!(
            (access.private_dns_zone.as_deref(), access.enable_private_cluster_public_fqdn),
            (Some("none"), Some(true))
        );
        let pool = &cluster.agent_pool_profiles[0];
        assert_eq!(
            (pool.enable_node_public_ip, pool.node_public_ip_prefix_id.as_ref().map(ArmId::as_str)),
            (Some(true), Some("/p"))
        );
        assert_eq!(pool.vnet_subnet_id.as_ref().map(ArmId::as_str), Some("/v"));
    }

    #[test]
    fn lists_of_both_shapes_and_single_resources_are_read() {
        let network = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Network/virtualNetworks/hub";
        let zone = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Network/privateDnsZones/z";
        let documents = [
            (
                "network/virtual-networks.json",
                json!({"value": [{"id": network, "name": "hub", "properties": {
                "addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}, "subnets": [{"id": format!("{network}/subnets/a"),
                    "name": "a", "properties": {"addressPrefix": "10.0.1.0/24", "natGateway": {"id": "/n"}}}]}}]}),
            ),
            (
                "network/again.json",
                json!([{"id": network.to_uppercase(), "name": "hub", "addressSpace": {"addressPrefixes": ["10.0.0.0/16"]},
                "subnets": [{"id": format!("{network}/subnets/a"), "name": "a", "addressPrefix": "10.0.1.0/24", "natGateway": {"id": "/n"}}]}]),
            ),
            (
                "records.json",
                json!([{"id": format!("{zone}/A/prod"), "name": "prod", "type": "Microsoft.Network/privateDnsZones/A",
                "aRecords": [{"ipv4Address": "10.0.1.4"}]}]),
            ),
            (
                "links.json",
                json!({"value": [{"id": format!("{zone}/virtualNetworkLinks/l"), "name": "l",
                "properties": {"virtualNetwork": {"id": network}}}]}),
            ),
            ("network/route-tables.json", json!([])),
            (
                "tags.json",
                json!({"changeNumber": 1, "values": [{"name": "AzureDevOps", "properties": {"addressPrefixes": ["20.0.0.0/8"]}}]}),
            ),
            (
                "network/effective-route-table-vm-nic.json",
                json!({"value": [{"source": "User", "state": "Active",
                "addressPrefix": ["0.0.0.0/0"], "nextHopType": "VirtualAppliance", "nextHopIpAddress": ["10.0.0.4"]}]}),
            ),
            (
                "log.json",
                json!([{"resourceId": "/x", "eventTimestamp": "2026-03-01T12:00:00.1234567Z",
                "operationName": {"value": "Microsoft.ContainerService/managedClusters/write"}, "status": {"value": "Succeeded"}}]),
            ),
            ("strange.json", json!({"id": "/subscriptions/s/providers/Microsoft.Else/others/x"})),
            ("strings.json", json!(["a"])),
        ];
        let documents: Vec<_> = documents.iter().map(|(name, value)| (*name, value.to_string())).collect();
        let facts = facts(&documents).unwrap();
        let azure = &facts.azure;
        assert_eq!(azure.virtual_networks.as_ref().map(Vec::len), Some(1));
        let subnet = azure.all_subnets().next().unwrap();
        assert_eq!(
            (subnet.prefixes().collect::<Vec<_>>(), subnet.id.parent().unwrap().name()),
            (vec!["10.0.1.0/24"], "hub")
        );
        let record = &azure.private_dns_records.as_ref().unwrap()[0];
        assert_eq!(record.a_records[0].ipv4_address, Some("10.0.1.4".parse().unwrap()));
        let link = &azure.private_dns_zone_links.as_ref().unwrap()[0];
        assert_eq!(link.id.parent(), Some(ArmId::new(zone)));
        assert_eq!(azure.route_tables, Some(Vec::new()));
        assert_eq!(azure.network_security_groups, None);
        assert_eq!(azure.service_tags.as_ref().unwrap()[0].address_prefixes.len(), 1);
        assert_eq!(azure.effective_routes[0].network_interface, "vm-nic");
        assert!(facts.activity.unwrap()[0].event_timestamp.is_some());
        assert_eq!(facts.unrecognised, [PathBuf::from("strange.json"), PathBuf::from("strings.json")]);
        for kind in [Kind::VirtualNetwork, Kind::PrivateDnsZoneLink, Kind::RouteTable, Kind::ServiceTag] {
            assert!(azure.listed.contains(&kind), "{kind:?}");
        }
    }

    #[test]
    fn an_error_names_file_line_and_what_was_expected() {
        let cluster = |ranges: &str| {
            format!(
                "{{\n \"id\": \"/subscriptions/s/resourceGroups/rg/providers/Microsoft.ContainerService/managedClusters/prod\",\n \"properties\": {{\n  \"apiServerAccessProfile\": {{\n   \"authorizedIPRanges\": [\"1.2.3.4\",\n    {ranges}]}}}}}}"
            )
        };
        for (ranges, expected) in [
            ("\"1.2.3\"", ["show.json:6:5", "authorizedIPRanges", "`1.2.3`", "of `prod`"]),
            ("7", ["show.json:6:5", "expected a string", "of `prod`", "authorizedIPRanges"]),
            ("\"\\u001b[1m\"", ["show.json:6:5", "\\u{1b}", "no service tag", "az … -o json"]),
        ] {
            let error = facts(&[("aks/show.json", cluster(ranges))]).unwrap_err();
            for word in expected {
                assert!(error.contains(word), "{word}: {error}");
            }
            assert!(!error.contains('\u{1b}'));
        }
        let page = json!({"value": [], "nextLink": "https://next.test/"}).to_string();
        assert!(facts(&[("network/route-tables.json", page)]).unwrap_err().contains("one page of several"));
        let table = |state: &str| {
            json!([{"id": "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Network/routeTables/rt", "name": state}]).to_string()
        };
        let error = facts(&[("a.json", table("a")), ("b.json", table("b"))]).unwrap_err();
        assert!(error.contains("`rt` is described twice") && error.contains("b.json:1"), "{error}");
        let other = CREATING.replace("cliakstest000001", "another");
        let error = facts(&[("a.json", CREATING.to_owned()), ("b.json", other)]).unwrap_err();
        assert!(error.contains("more than one cluster") && error.contains("`another`"), "{error}");
        assert!(facts(&[("a.json", "[1,".to_owned())]).unwrap_err().contains("not JSON"));
    }

    #[test]
    fn an_earlier_snapshot_stands_beside_the_present_one() {
        let earlier = CREATING.replace("1.2.3.4/32", "5.6.7.8/32");
        let read = facts(&[("aks/show.json", CREATING.to_owned()), ("aks/earlier-show.json", earlier)]).unwrap();
        assert_eq!(read.earlier.unwrap().access().authorized_ip_ranges[0].text(), "5.6.7.8/32");
        assert_eq!(read.managed_cluster.unwrap().access().authorized_ip_ranges[0].text(), "1.2.3.4/32");
    }

    #[test]
    fn many_resources_are_read_in_linear_time() {
        let interfaces: Vec<Value> = (0..30_000)
            .map(|number| json!({"id": format!("/subscriptions/s/resourceGroups/rg/providers/Microsoft.Network/networkInterfaces/{number}")}))
            .collect();
        let begun = std::time::Instant::now();
        let facts = facts(&[("nics.json", Value::Array(interfaces).to_string())]).unwrap();
        assert_eq!(facts.azure.network_interfaces.map(|all| all.len()), Some(30_000));
        assert!(begun.elapsed() < std::time::Duration::from_secs(20), "{:?}", begun.elapsed());
    }
}

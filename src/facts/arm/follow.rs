//! What is known so far, and what that leads to: resources of other subscriptions, zones' links and records, gateways.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Call, actions::Action};
use crate::facts::azure::{ArmId, is_plain};

/// The resources of a pull by the file that will hold them, and what the cluster says.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// The cluster's own subscription, in lower case.
    subscription: String,
    cluster: Option<Cluster>,
    /// By file, then by id in lower case.
    files: BTreeMap<&'static str, BTreeMap<String, Value>>,
    /// The scale sets of the subscription.
    scale_sets: BTreeSet<ArmId>,
    /// Lists of the whole subscription that came, or were refused.
    settled: BTreeSet<Action>,
    /// Whether any rule or range names a service tag whose ranges only the provider knows.
    names_a_tag: bool,
}

/// What the cluster's own description leads to.
#[derive(Debug, Default)]
struct Cluster {
    node_group: String,
    location: String,
    /// Names of its API server, in lower case.
    names: Vec<String>,
    networks: BTreeSet<ArmId>,
    zone: Option<ArmId>,
    /// Public addresses and prefixes with which it leaves.
    outbound: Vec<ArmId>,
}

impl Known {
    pub(super) fn new(subscription: &str) -> Self {
        Self { subscription: subscription.to_lowercase(), ..Self::default() }
    }

    /// The list of the whole subscription has come, or will not.
    pub(super) fn settle(&mut self, action: Action) {
        self.settled.insert(action);
    }

    /// Takes in what the cluster says.
    pub(super) fn set_cluster(&mut self, show: &Value) {
        let properties = &show["properties"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_lowercase();
        let access = &properties["apiServerAccessProfile"];
        let pools = items(&properties["agentPoolProfiles"]);
        let subnets = pools.iter().flat_map(|pool| [&pool["vnetSubnetID"], &pool["podSubnetID"]]);
        let subnets = subnets.chain([&access["subnetId"]]);
        let profiles =
            [&properties["networkProfile"]["loadBalancerProfile"], &properties["networkProfile"]["natGatewayProfile"]];
        let effective = profiles.iter().flat_map(|profile| items(&profile["effectiveOutboundIPs"]));
        let given = profiles.iter().flat_map(|profile| {
            items(&profile["outboundIPs"]["publicIPs"])
                .iter()
                .chain(items(&profile["outboundIPPrefixes"]["publicIPPrefixes"]))
        });
        let prefixes = pools.iter().filter_map(|pool| id(&pool["nodePublicIPPrefixID"]));
        self.names_a_tag |= items(&access["authorizedIPRanges"]).iter().any(is_foreign_tag);
        self.cluster = Some(Cluster {
            node_group: text(&properties["nodeResourceGroup"]),
            location: text(&show["location"]).replace(' ', ""),
            names: ["fqdn", "privateFQDN"]
                .iter()
                .map(|name| text(&properties[*name]))
                .filter(|name| !name.is_empty())
                .collect(),
            networks: subnets.filter_map(|subnet| id(subnet)?.parent()).filter(is_network).collect(),
            zone: id(&access["privateDNSZone"]).filter(|zone| zone.is_of("Microsoft.Network/privateDnsZones")),
            outbound: effective.chain(given).filter_map(|address| id(&address["id"])).chain(prefixes).collect(),
        });
    }

    /// Takes in resources.
    pub(super) fn add(&mut self, action: Action, resources: impl IntoIterator<Item = Value>) {
        for resource in resources {
            let id = id(&resource["id"]);
            if action == Action::ScaleSets {
                self.scale_sets.extend(id);
                continue;
            }
            let Some(file) = action.file() else { continue };
            if matches!(action, Action::NetworkSecurityGroups | Action::RouteTables) {
                self.names_a_tag |= names_a_tag(&resource);
            }
            // What has no id of the usual form is kept, too: it is what the provider said.
            let key = id.map_or_else(|| format!("~{resource}"), |id| id.folded().to_owned());
            self.files.entry(file).or_default().insert(key, resource);
        }
    }

    /// Whether there is anything for the file.
    pub(super) fn holds(&self, file: &str) -> bool {
        self.files.contains_key(file)
    }

    /// How many resources there are for the file.
    pub(super) fn count(&self, file: &str) -> usize {
        self.files.get(file).map_or(0, BTreeMap::len)
    }

    /// The resources of the file, by their ids.
    pub(super) fn take(&mut self, file: &str) -> Vec<Value> {
        self.files.remove(file).map(|items| items.into_values().collect()).unwrap_or_default()
    }

    /// Everything that what is known leads to; what was asked before is among it.
    pub(super) fn next_calls(&self) -> Vec<Call> {
        let mut calls = Vec::new();
        let mut need = |action: Action, id: ArmId| {
            if self.lacks(action, &id) {
                calls.push(Call::One(action, id));
            }
        };
        let networks = self.networks_around();
        for network in &networks {
            need(Action::VirtualNetworks, network.clone());
        }
        let mut gateways_of_subnets = BTreeSet::new();
        for network in networks.iter().filter_map(|network| self.resource(Action::VirtualNetworks, network)) {
            for subnet in items(&network["properties"]["subnets"]) {
                for (name, action) in [
                    ("networkSecurityGroup", Action::NetworkSecurityGroups),
                    ("routeTable", Action::RouteTables),
                    ("natGateway", Action::NatGateways),
                ] {
                    let Some(id) = id(&subnet["properties"][name]["id"]).filter(|id| is_of(action, id)) else {
                        continue;
                    };
                    if action == Action::NatGateways {
                        gateways_of_subnets.insert(id.clone());
                    }
                    need(action, id);
                }
            }
        }
        for gateway in gateways_of_subnets.iter().filter_map(|gateway| self.resource(Action::NatGateways, gateway)) {
            let properties = &gateway["properties"];
            let addresses =
                items(&properties["publicIpAddresses"]).iter().chain(items(&properties["publicIpPrefixes"]));
            for address in addresses.filter_map(|address| id(&address["id"])) {
                need(address_action(&address), address);
            }
        }
        for address in self.cluster.iter().flat_map(|cluster| &cluster.outbound) {
            need(address_action(address), address.clone());
        }
        for gateway in self.virtual_network_gateways() {
            need(Action::VirtualNetworkGateways, gateway);
        }
        for gateway in self.resources(Action::VirtualNetworkGateways) {
            for configuration in items(&gateway["properties"]["ipConfigurations"]) {
                if let Some(address) = id(&configuration["properties"]["publicIPAddress"]["id"]) {
                    need(address_action(&address), address);
                }
            }
        }
        if let Some(zone) = self.cluster.as_ref().and_then(|cluster| cluster.zone.clone()) {
            need(Action::PrivateDnsZones, zone);
        }
        for zone in self.zones_that_matter() {
            calls.push(Call::Of(Action::PrivateDnsZoneLinks, zone.clone()));
            calls.push(Call::Of(Action::PrivateDnsRecords, zone));
        }
        if let Some(cluster) = &self.cluster {
            let nodes = self.scale_sets.iter().filter(|set| group(set) == cluster.node_group);
            calls.extend(nodes.map(|set| Call::Of(Action::ScaleSetInterfaces, set.clone())));
            if self.names_a_tag && !cluster.location.is_empty() {
                calls.push(Call::ServiceTags(cluster.location.clone()));
            }
        }
        calls
    }

    /// The interfaces of virtual machines in the cluster's networks and in those directly peered with them.
    pub(super) fn machine_interfaces(&self, most: usize) -> Vec<ArmId> {
        let near = self.networks_within(1);
        let interfaces = self.resources(Action::NetworkInterfaces).filter(|interface| {
            let properties = &interface["properties"];
            let inside = |configuration: &Value| {
                let subnet = id(&configuration["properties"]["subnet"]["id"]);
                subnet.and_then(|subnet| subnet.parent()).is_some_and(|network| near.contains(&network))
            };
            properties["virtualMachine"]["id"].is_string() && items(&properties["ipConfigurations"]).iter().any(inside)
        });
        let ids =
            interfaces.filter_map(|interface| id(&interface["id"])).filter(|id| is_of(Action::NetworkInterfaces, id));
        ids.take(most).collect()
    }

    /// The resource groups of the cluster's subscription that hold what the cluster is made of, in lower case.
    pub(super) fn groups(&self) -> BTreeSet<String> {
        let Some(cluster) = &self.cluster else { return BTreeSet::new() };
        let networks = self.networks_within(PEERINGS);
        let own = networks.iter().chain(&cluster.zone).filter(|id| self.is_own(id));
        own.map(group).chain([cluster.node_group.clone()]).filter(|group| is_plain(group)).collect()
    }

    /// Whether a resource must be asked for by its id: its subscription is another's, or its list does not hold it.
    fn lacks(&self, action: Action, id: &ArmId) -> bool {
        let listed = self.is_own(id) && action.listed_type().is_some();
        is_of(action, id) && self.resource(action, id).is_none() && (!listed || self.settled.contains(&action))
    }

    /// Whether it is of the cluster's own subscription.
    fn is_own(&self, id: &ArmId) -> bool {
        id.subscription().is_some_and(|own| own.to_lowercase() == self.subscription)
    }

    fn resource(&self, action: Action, id: &ArmId) -> Option<&Value> {
        self.files.get(action.file()?)?.get(id.folded())
    }

    fn resources(&self, action: Action) -> impl Iterator<Item = &Value> {
        action.file().and_then(|file| self.files.get(file)).into_iter().flat_map(BTreeMap::values)
    }

    /// The networks that traffic of the cluster may pass: its own, two peerings around, and those its zones are linked to.
    fn networks_around(&self) -> BTreeSet<ArmId> {
        let mut networks = self.networks_within(PEERINGS);
        let links = self.resources(Action::PrivateDnsZoneLinks);
        networks.extend(links.filter_map(|link| id(&link["properties"]["virtualNetwork"]["id"])).filter(is_network));
        networks
    }

    fn networks_within(&self, peerings: usize) -> BTreeSet<ArmId> {
        let Some(cluster) = &self.cluster else { return BTreeSet::new() };
        let managed = self.resources(Action::VirtualNetworks).filter_map(|network| id(&network["id"]));
        let managed = managed.filter(|id| !cluster.node_group.is_empty() && group(id) == cluster.node_group);
        let mut networks: BTreeSet<ArmId> = cluster.networks.iter().cloned().chain(managed).collect();
        let mut edge = networks.clone();
        for _ in 0..peerings {
            let known = edge.iter().filter_map(|network| self.resource(Action::VirtualNetworks, network));
            let peerings = known.flat_map(|network| items(&network["properties"]["virtualNetworkPeerings"]));
            let remote = peerings.filter_map(|peering| id(&peering["properties"]["remoteVirtualNetwork"]["id"]));
            edge = remote.filter(is_network).filter(|network| !networks.contains(network)).collect();
            networks.extend(edge.iter().cloned());
        }
        networks
    }

    /// The gateways that stand in the networks' gateway subnets; only these say where they are.
    fn virtual_network_gateways(&self) -> BTreeSet<ArmId> {
        let subnets =
            self.resources(Action::VirtualNetworks).flat_map(|network| items(&network["properties"]["subnets"]));
        let subnets = subnets
            .filter(|subnet| subnet["name"].as_str().is_some_and(|name| name.eq_ignore_ascii_case("GatewaySubnet")));
        let configurations = subnets.flat_map(|subnet| items(&subnet["properties"]["ipConfigurations"]));
        let gateways = configurations.filter_map(|configuration| id(&configuration["id"])?.parent());
        gateways.filter(|gateway| is_of(Action::VirtualNetworkGateways, gateway)).collect()
    }

    /// Zones that answer, or may answer, for the name of an API server.
    fn zones_that_matter(&self) -> BTreeSet<ArmId> {
        let own = self.cluster.as_ref().and_then(|cluster| cluster.zone.clone());
        let known = self.resources(Action::PrivateDnsZones).filter_map(|zone| id(&zone["id"]));
        known.filter(|zone| self.matters(zone.name())).chain(own).collect()
    }

    fn matters(&self, zone: &str) -> bool {
        let zone = zone.trim_end_matches('.').to_lowercase();
        let ends_in = |name: &str, end: &str| {
            name.strip_suffix(end).is_some_and(|before| before.is_empty() || before.ends_with('.'))
        };
        let names = self.cluster.iter().flat_map(|cluster| &cluster.names);
        !zone.is_empty()
            && (ZONES.iter().any(|end| ends_in(&zone, end)) || names.into_iter().any(|name| ends_in(name, &zone)))
    }
}

/// The resource group, in lower case.
pub(super) fn group(id: &ArmId) -> String {
    id.resource_group().unwrap_or_default().to_lowercase()
}

/// Whether a rule or a route names a service tag whose ranges are not known without asking.
fn names_a_tag(resource: &Value) -> bool {
    let properties = &resource["properties"];
    let rules = items(&properties["securityRules"]).iter().chain(items(&properties["defaultSecurityRules"]));
    let in_rule = |rule: &Value| {
        let one = |name: &str| is_foreign_tag(&rule["properties"][name]);
        let many = |name: &str| items(&rule["properties"][name]).iter().any(is_foreign_tag);
        one("sourceAddressPrefix")
            || one("destinationAddressPrefix")
            || many("sourceAddressPrefixes")
            || many("destinationAddressPrefixes")
    };
    rules.into_iter().any(in_rule)
        || items(&properties["routes"]).iter().any(|route| is_foreign_tag(&route["properties"]["addressPrefix"]))
}

/// Whether it is the name of a service tag, and none of those that mean something by themselves:
/// <https://learn.microsoft.com/azure/virtual-network/service-tags-overview>.
fn is_foreign_tag(prefix: &Value) -> bool {
    let Some(text) = prefix.as_str() else { return false };
    let letters = text.starts_with(|first: char| first.is_ascii_alphabetic()) && !text.contains(':');
    letters && !OWN_TAGS.iter().any(|tag| tag.eq_ignore_ascii_case(text))
}

fn is_network(id: &ArmId) -> bool {
    is_of(Action::VirtualNetworks, id)
}

fn is_of(action: Action, id: &ArmId) -> bool {
    id.is_of(&action.resource_type())
}

/// Public addresses and prefixes stand in the same places.
fn address_action(id: &ArmId) -> Action {
    if is_of(Action::PublicIpPrefixes, id) { Action::PublicIpPrefixes } else { Action::PublicIpAddresses }
}

fn id(value: &Value) -> Option<ArmId> {
    ArmId::of_resource(value.as_str()?)
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Where the names of API servers end, in each cloud:
/// <https://learn.microsoft.com/azure/private-link/private-endpoint-dns>.
const ZONES: &[&str] = &["azmk8s.io", "cx.aks.containerservice.azure.us", "cx.prod.service.azk8s.cn"];
const OWN_TAGS: &[&str] = &["VirtualNetwork", "AzureLoadBalancer", "Internet", "Default"];
/// How many peerings around the cluster's networks are followed: a hub, and what is beyond it.
const PEERINGS: usize = 2;

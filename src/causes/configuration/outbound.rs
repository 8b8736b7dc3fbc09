//! Where the nodes of an AKS cluster are, and with which addresses their packets leave.

use std::{collections::BTreeSet, net::IpAddr};

use ipnet::IpNet;

use super::{
    super::evidence::clean,
    ConfigurationView,
    azure::{is_default_route, vnets_of_group},
    is,
    words::listed,
};
use crate::facts::{
    aks::{AgentPool, ManagedCluster, OutboundProfile},
    azure::{ArmId, Reference, Subnet},
};

/// What the internet sees of a cluster's nodes, over IPv4.
#[derive(Debug, Default)]
pub(super) struct Outbound {
    /// Each range once, with the name of the address, NAT gateway or firewall that has it.
    pub(super) known: Vec<(IpNet, String)>,
    /// What is not known of it: a clause each.
    pub(super) unknown: Vec<String>,
}

impl Outbound {
    /// Notes what is not known, once: several subnets may lead to the same.
    fn not_known(&mut self, clause: impl Into<String>) {
        let clause = clause.into();
        if !self.unknown.contains(&clause) {
            self.unknown.push(clause);
        }
    }
}

/// The subnets of a cluster's nodes.
#[derive(Debug, Default)]
pub(super) struct NodeSubnets<'a> {
    /// Those that the facts describe.
    pub(super) known: Vec<&'a Subnet>,
    /// Ids of the others.
    pub(super) unknown: Vec<&'a ArmId>,
    /// The node pools name none, and AKS made the network, which the facts do not hold.
    pub(super) network_unknown: bool,
}

/// The node pools: as the cluster describes them, then those that only the list of them has.
pub(super) fn pools<'a>(view: &ConfigurationView<'a>) -> Vec<&'a AgentPool> {
    let mut pools: Vec<&AgentPool> =
        view.aks().map_or_else(Vec::new, |cluster| cluster.agent_pool_profiles.iter().collect());
    let known: BTreeSet<&str> = pools.iter().map(|pool| pool.name.as_str()).collect();
    let listed = view.facts.agent_pools.iter().flatten().filter(|pool| !known.contains(pool.name.as_str()));
    let more: Vec<&AgentPool> = listed.collect();
    pools.extend(more);
    pools
}

/// The subnets of the nodes: those that the pools name; where they name none, those of the network that AKS made.
pub(super) fn node_subnets<'a>(view: &ConfigurationView<'a>) -> NodeSubnets<'a> {
    let mut found = NodeSubnets::default();
    let Some(cluster) = view.aks() else { return found };
    let named: BTreeSet<&ArmId> =
        pools(view).into_iter().filter_map(|pool| pool.vnet_subnet_id.as_ref()).filter(|id| !id.is_empty()).collect();
    if named.is_empty() {
        // What is given over to a service has no nodes in it.
        let inside = cluster.node_resource_group.as_deref().into_iter().flat_map(|group| vnets_of_group(view, group));
        found.known =
            inside.flat_map(|network| &network.subnets).filter(|subnet| subnet.delegations.is_empty()).collect();
        found.network_unknown = found.known.is_empty();
        return found;
    }
    for id in named {
        match view.azure_subnet(id) {
            Some(subnet) => found.known.push(subnet),
            None => found.unknown.push(id),
        }
    }
    found
}

/// The addresses by which nodes reach the public endpoint
/// (<https://learn.microsoft.com/azure/aks/egress-outboundtype>).
pub(super) fn outbound(view: &ConfigurationView<'_>) -> Outbound {
    let mut found = Outbound::default();
    let Some(cluster) = view.aks() else { return found };
    let network = cluster.network_profile.as_ref();
    let profile = |profile: Option<&OutboundProfile>| -> Vec<Reference> {
        profile.map_or_else(Vec::new, |profile| profile.effective_outbound_ips.to_vec())
    };
    let balancer = profile(network.and_then(|network| network.load_balancer_profile.as_ref()));
    let gateway = profile(network.and_then(|network| network.nat_gateway_profile.as_ref()));
    let kind = network.and_then(|network| network.outbound_type.as_deref());
    if is(kind, "userDefinedRouting") {
        by_routes(view, &mut found);
    } else if is(kind, "managedNATGateway") || is(kind, "userAssignedNATGateway") {
        if gateway.is_empty() {
            by_nat_gateways(view, &mut found, true);
        }
        references(view, &gateway, "natGatewayProfile", &mut found);
    } else if is(kind, "none") || is(kind, "block") {
        found.not_known(format!("the outbound type is {}", clean(kind.unwrap_or_default())));
    } else if balancer.is_empty() {
        found.not_known(match kind {
            Some(kind) if !is(Some(kind), "loadBalancer") => format!("the outbound type is {}", clean(kind)),
            Some(_) => "`loadBalancerProfile.effectiveOutboundIPs` is not in the facts".to_owned(),
            None => "`networkProfile.outboundType` is not in the facts".to_owned(),
        });
    } else {
        references(view, &balancer, "loadBalancerProfile", &mut found);
        // Where a subnet has a NAT gateway, its packets leave by that one
        // (<https://learn.microsoft.com/azure/nat-gateway/nat-overview>).
        by_nat_gateways(view, &mut found, false);
    }
    found
}

/// The cluster's prefix of node addresses, with what is known of it.
pub(super) fn prefix_of(view: &ConfigurationView<'_>, id: &ArmId) -> Option<IpNet> {
    let prefixes = view.facts.azure.public_ip_prefixes.iter().flatten();
    prefixes.filter(|prefix| prefix.id == *id).find_map(|prefix| prefix.ip_prefix.as_deref()?.parse().ok())
}

/// Whether a cluster gives its nodes public addresses.
pub(super) fn pools_with_public_addresses<'a>(view: &ConfigurationView<'a>) -> Vec<&'a AgentPool> {
    pools(view).into_iter().filter(|pool| pool.enable_node_public_ip == Some(true)).collect()
}

/// The ranges of public addresses and prefixes that are named by their ids.
pub(super) fn references(view: &ConfigurationView<'_>, all: &[Reference], of: &str, found: &mut Outbound) {
    for Reference { id } in all {
        let azure = &view.facts.azure;
        let net = if id.kind().is_some_and(|kind| kind.ends_with("/publicipprefixes")) {
            prefix_of(view, id)
        } else {
            let addresses = azure.public_ip_addresses.iter().flatten();
            addresses.filter(|one| one.id == *id).find_map(|one| one.ip_address).map(IpNet::from)
        };
        match net {
            Some(net) => add(found, net, id.name()),
            None => found.not_known(format!("the facts do not hold the address of {} ({of})", clean(id.name()))),
        }
    }
}

/// By the NAT gateways of the nodes' subnets. `needed`: every subnet must have one.
fn by_nat_gateways(view: &ConfigurationView<'_>, found: &mut Outbound, needed: bool) {
    let subnets = node_subnets(view);
    if needed {
        unknown_subnets(&subnets, found);
    }
    for subnet in subnets.known {
        let Some(Reference { id }) = &subnet.nat_gateway else {
            if needed {
                found.not_known(format!("the subnet {} has no NAT gateway", clean(&subnet.name)));
            }
            continue;
        };
        match view.facts.azure.nat_gateways.iter().flatten().find(|gateway| gateway.id == *id) {
            Some(gateway) => {
                let all: Vec<Reference> =
                    gateway.public_ip_addresses.iter().chain(&gateway.public_ip_prefixes).cloned().collect();
                if all.is_empty() {
                    found.not_known(format!("the NAT gateway {} has no address", clean(id.name())));
                }
                references(view, &all, id.name(), found);
            }
            None => found.not_known(format!("the NAT gateway {} is not in the facts", clean(id.name()))),
        }
    }
}

/// By the default routes of the nodes' subnets.
fn by_routes(view: &ConfigurationView<'_>, found: &mut Outbound) {
    let subnets = node_subnets(view);
    unknown_subnets(&subnets, found);
    for subnet in subnets.known {
        let name = clean(&subnet.name);
        let Some(Reference { id }) = &subnet.route_table else {
            found.not_known(format!("the subnet {name} has no route table"));
            continue;
        };
        let Some(table) = view.facts.azure.route_tables.iter().flatten().find(|table| table.id == *id) else {
            found.not_known(format!("the route table {} is not in the facts", clean(id.name())));
            continue;
        };
        let Some(route) = table.routes.iter().find(|route| is_default_route(route)) else {
            found.not_known(format!("the route table {} has no default route", clean(&table.name)));
            continue;
        };
        let hop: Option<IpAddr> = route.next_hop_ip_address.as_deref().and_then(|text| text.parse().ok());
        let appliance = is(route.next_hop_type.as_deref(), "VirtualAppliance");
        let Some(hop) = hop.filter(|_| appliance) else {
            found.not_known(format!(
                "the default route of {} leads to {}",
                clean(&table.name),
                clean(route.next_hop_type.as_deref().unwrap_or("a next hop that the facts do not say"))
            ));
            continue;
        };
        by_firewall(view, hop, found);
    }
}

/// By the Azure Firewall with this private address.
fn by_firewall(view: &ConfigurationView<'_>, hop: IpAddr, found: &mut Outbound) {
    let has = |address: Option<IpAddr>| address == Some(hop);
    let firewall = view
        .facts
        .azure
        .firewalls
        .iter()
        .flatten()
        .find(|firewall| firewall.ip_configurations.iter().any(|one| has(one.private_ip_address)));
    let Some(firewall) = firewall else {
        found.not_known(format!("the default route leads to {hop}, which is no Azure Firewall of the facts"));
        return;
    };
    let all: Vec<Reference> =
        firewall.ip_configurations.iter().filter_map(|one| one.public_ip_address.clone()).collect();
    if all.is_empty() {
        found.not_known(format!("the firewall {} has no public address of its own", clean(&firewall.name)));
    }
    references(view, &all, &firewall.name, found);
}

fn unknown_subnets(subnets: &NodeSubnets<'_>, found: &mut Outbound) {
    if !subnets.unknown.is_empty() {
        let names = listed(subnets.unknown.iter().map(|id| id.name()));
        found.not_known(format!("the facts do not hold the nodes' subnets: {names}"));
    }
    if subnets.network_unknown {
        found.not_known("the facts do not hold the nodes' network".to_owned());
    }
}

fn add(found: &mut Outbound, net: IpNet, origin: &str) {
    if net.addr().is_ipv4() && !found.known.iter().any(|(known, _)| *known == net) {
        found.known.push((net, clean(origin)));
    }
}

/// The name of the node resource group's network, for people.
pub(super) fn node_group(cluster: &ManagedCluster) -> Option<&str> {
    cluster.node_resource_group.as_deref().filter(|group| !group.is_empty())
}

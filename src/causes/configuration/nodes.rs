//! Where the nodes are, and which addresses the internet sees of them.

use std::{collections::BTreeSet, net::IpAddr};

use super::{ConfigurationView, is};
use crate::facts::ec2::{Instance, Route, Subnet};

/// What the internet sees of a cluster's nodes, over IPv4.
#[derive(Debug, Default)]
pub(super) struct NodeEgress {
    /// Each address once, with the NAT gateway or instance that has it.
    pub(super) known: Vec<(IpAddr, String)>,
    /// Subnets whose way out is not known, or that have none: a clause each.
    pub(super) unknown: Vec<String>,
    /// The nodes are instances of the facts; else the cluster's own subnets stand for theirs.
    pub(super) from_instances: bool,
    /// Subnets that were looked at.
    pub(super) subnets: usize,
}

/// The addresses by which nodes reach the public endpoint, by the routes of their subnets.
pub(super) fn egress(view: &ConfigurationView<'_>) -> NodeEgress {
    let nodes = instances(view);
    let mut found = NodeEgress { from_instances: !nodes.is_empty(), ..NodeEgress::default() };
    let subnets: Vec<&Subnet> = if nodes.is_empty() {
        view.subnets()
    } else {
        let ids: BTreeSet<&str> = nodes.iter().filter_map(|node| node.subnet_id.as_deref()).collect();
        ids.into_iter().filter_map(|id| view.subnet(id)).collect()
    };
    found.subnets = subnets.len();
    for subnet in subnets {
        of_subnet(view, subnet, &nodes, &mut found);
    }
    found
}

/// The running instances that carry the cluster's tags.
pub(super) fn instances<'a>(view: &ConfigurationView<'a>) -> Vec<&'a Instance> {
    let Some(name) = view.eks().map(|cluster| cluster.name.as_str()).filter(|name| !name.is_empty()) else {
        return Vec::new();
    };
    let owned = format!("kubernetes.io/cluster/{name}");
    let vpc = view.vpc_id();
    let runs = |instance: &Instance| {
        let state = instance.state.as_ref().and_then(|state| state.name.as_deref());
        state.is_none_or(|state| ["running", "pending"].contains(&state))
    };
    view.facts
        .network
        .instances
        .iter()
        .flatten()
        .filter(|instance| runs(instance) && (vpc.is_none() || instance.vpc_id.as_deref() == vpc))
        .filter(|instance| {
            instance
                .tags
                .iter()
                .any(|tag| tag.key == owned || (CLUSTER_TAGS.contains(&tag.key.as_str()) && tag.value == name))
        })
        .collect()
}

fn of_subnet(view: &ConfigurationView<'_>, subnet: &Subnet, nodes: &[&Instance], found: &mut NodeEgress) {
    let id = &subnet.subnet_id;
    let Some(table) = view.route_table(subnet) else {
        found.unknown.push(format!("the route table of {id} is not in the facts"));
        return;
    };
    let Some(routes) = &table.routes else {
        found.unknown.push(format!("the routes of {} ({id}) are not in the facts", table.route_table_id));
        return;
    };
    let Some(route) = routes.iter().find(|route| is_default(route)) else {
        found.unknown.push(format!("{id} has no default route ({})", table.route_table_id));
        return;
    };
    if is(route.state.as_deref(), "blackhole") {
        found.unknown.push(format!("the default route of {id} is a black hole ({})", table.route_table_id));
    } else if let Some(nat) = &route.nat_gateway_id {
        of_nat(view, id, nat, found);
    } else if route.gateway_id.as_deref().is_some_and(|gateway| gateway.starts_with("igw-")) {
        let here: Vec<&&Instance> =
            nodes.iter().filter(|node| node.subnet_id.as_deref() == Some(id.as_str())).collect();
        if here.is_empty() {
            found.unknown.push(format!("hosts in {id} leave by public addresses of their own"));
        }
        for node in here {
            match node.public_ip_address {
                Some(address) => add(found, address, &node.instance_id),
                None => found.unknown.push(format!("{} in {id} has no public address", node.instance_id)),
            }
        }
    } else {
        found.unknown.push(format!("{id} leaves by {}", target(route)));
    }
}

fn of_nat(view: &ConfigurationView<'_>, subnet: &str, id: &str, found: &mut NodeEgress) {
    let Some(gateways) = &view.facts.network.nat_gateways else {
        found.unknown.push(format!("{subnet} leaves by {id}, and the NAT gateways are not in the facts"));
        return;
    };
    let Some(gateway) = gateways.iter().find(|gateway| gateway.nat_gateway_id == id) else {
        found.unknown.push(format!("{subnet} leaves by {id}, which is not in the facts"));
        return;
    };
    if is(gateway.connectivity_type.as_deref(), "private") {
        found.unknown.push(format!("{subnet} leaves by {id}, a private NAT gateway"));
        return;
    }
    let state = gateway.state.as_deref();
    if state.is_some() && !is(state, "available") {
        found.unknown.push(format!("{subnet} leaves by {id}, which is {}", state.unwrap_or_default()));
        return;
    }
    let before = found.known.len();
    let addresses: Vec<IpAddr> = gateway.nat_gateway_addresses.iter().filter_map(|one| one.public_ip).collect();
    for address in &addresses {
        add(found, *address, id);
    }
    if before == found.known.len() && addresses.is_empty() {
        found.unknown.push(format!("{subnet} leaves by {id}, whose addresses the facts do not say"));
    }
}

fn add(found: &mut NodeEgress, address: IpAddr, origin: &str) {
    if !found.known.iter().any(|(known, _)| *known == address) {
        found.known.push((address, origin.to_owned()));
    }
}

/// Whether a route is the IPv4 default route, or one of the two halves that stand for it.
pub(super) fn is_default(route: &Route) -> bool {
    route.destination_cidr_block.as_ref().is_some_and(|cidr| cidr.net.prefix_len() <= 1 && cidr.net.addr().is_ipv4())
}

/// The id that a route leads to.
pub(super) fn target(route: &Route) -> String {
    let targets = [
        &route.nat_gateway_id,
        &route.transit_gateway_id,
        &route.vpc_peering_connection_id,
        &route.egress_only_internet_gateway_id,
        &route.network_interface_id,
        &route.instance_id,
        &route.local_gateway_id,
        &route.carrier_gateway_id,
        &route.core_network_arn,
        &route.gateway_id,
    ];
    targets.into_iter().flatten().next().cloned().unwrap_or_else(|| "an unknown target".to_owned())
}

/// Tags that carry the name of a cluster: of managed node groups, of EKS Auto Mode, of eksctl.
const CLUSTER_TAGS: &[&str] =
    &["eks:cluster-name", "aws:eks:cluster-name", "eks:eks-cluster-name", "alpha.eksctl.io/cluster-name"];

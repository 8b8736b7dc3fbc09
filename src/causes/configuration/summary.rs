//! A cluster's configuration on one page: what `facts show` prints.

use std::net::IpAddr;

use jiff::Timestamp;
use serde::Serialize;

use super::{
    ConfigurationView,
    allow_lists::{PublicList, set_of, texts},
    endpoint, gaps, network, nodes,
};
use crate::{
    facts::{
        ec2::{NetworkInterface, PeeringVpc},
        manifest::Refused,
    },
    model::set::Family,
};

/// One page about a cluster. What the facts do not say is null; lists are whole.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Always [`SUMMARY_SCHEMA`].
    pub schema: &'static str,
    /// The provider's name of the cluster.
    pub cluster: Option<String>,
    /// Region.
    pub region: Option<String>,
    /// Account.
    pub account: Option<String>,
    /// Status of the cluster.
    pub status: Option<String>,
    /// Kubernetes version.
    pub version: Option<String>,
    /// URL of the endpoint.
    pub endpoint: Option<String>,
    /// Codes of health issues.
    pub health_issues: Vec<String>,
    /// `EndpointAccessUpdate Successful`: the newest update of the endpoint or its network.
    pub newest_update: Option<String>,
    /// When the facts were read.
    pub read_at: Option<Timestamp>,
    /// The public endpoint is on.
    pub public_access: Option<bool>,
    /// The private endpoint is on.
    pub private_access: Option<bool>,
    /// The endpoint has IPv6 addresses.
    pub takes_ipv6: Option<bool>,
    /// Who is let in by the public endpoint; null when it is off, or the list not known.
    pub allow_list: Option<AllowListSummary>,
    /// The cluster's VPC.
    pub vpc: Option<VpcSummary>,
    /// The cluster's subnets.
    pub subnets: Vec<SubnetSummary>,
    /// The control plane's interfaces in the VPC.
    pub control_plane_interfaces: Vec<InterfaceSummary>,
    /// Addresses that the internet sees of the nodes, each with the NAT gateway or instance that has it.
    pub egress: Vec<EgressSummary>,
    /// Ways out whose address is not known, and subnets without one.
    pub egress_unknown: Vec<String>,
    /// Peering connections, transit-gateway attachments, VPN connections of the VPC.
    pub connected: Vec<ConnectedSummary>,
    /// Interface endpoints in the VPC.
    pub interface_endpoints: Vec<EndpointSummary>,
    /// What is not in the facts.
    #[serde(flatten)]
    pub gaps: GapsSummary,
}

/// The list of the public endpoint.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AllowListSummary {
    /// As stored; empty means everybody.
    pub entries: Vec<String>,
    /// The shortest list that lets the same sources in.
    pub minimal: Vec<String>,
    /// How many entries EKS takes.
    pub quota: usize,
    /// IPv4 addresses that are let in.
    pub ipv4_addresses: u64,
    /// Whether every IPv4 address is let in.
    pub ipv4_open: bool,
    /// Whether every IPv6 address is let in.
    pub ipv6_open: bool,
    /// Service tags on it, which only AKS has.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub service_tags: Vec<String>,
}

impl AllowListSummary {
    pub(super) fn of(list: &PublicList<'_>) -> Self {
        Self {
            entries: list.entries.iter().map(|entry| entry.text.clone()).collect(),
            minimal: texts(if list.entries.is_empty() && list.tags.is_empty() {
                list.set.cover()
            } else {
                set_of(&list.entries).cover()
            }),
            quota: list.limit,
            ipv4_addresses: u64::try_from(list.set.ipv4().count()).unwrap_or(u64::MAX),
            ipv4_open: list.set.is_everything(Family::V4),
            ipv6_open: list.set.is_everything(Family::V6),
            service_tags: list.tags.iter().map(|tag| (*tag).to_owned()).collect(),
        }
    }
}

/// A VPC.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VpcSummary {
    /// `vpc-…`.
    pub id: String,
    /// Its ranges in effect.
    pub ranges: Vec<String>,
    /// Its resolver answers.
    pub enable_dns_support: Option<bool>,
    /// Private zones are in effect.
    pub enable_dns_hostnames: Option<bool>,
    /// DNS servers of its DHCP options; null when they are not known.
    pub domain_name_servers: Option<Vec<String>>,
}

/// A subnet of the cluster.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SubnetSummary {
    /// `subnet-…`.
    pub id: String,
    /// Availability zone.
    pub zone: Option<String>,
    /// IPv4 range.
    pub range: Option<String>,
    /// Free IPv4 addresses.
    pub free_addresses: Option<u64>,
    /// Where its default route leads; null when it has none, or its table is not known.
    pub default_route: Option<String>,
}

/// An interface of the control plane.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InterfaceSummary {
    /// `eni-…`.
    pub id: String,
    /// `subnet-…`.
    pub subnet: Option<String>,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Its security groups.
    pub groups: Vec<String>,
}

/// An address that the internet sees.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EgressSummary {
    /// The address.
    pub address: IpAddr,
    /// `nat-…` or `i-…`.
    pub by: String,
    /// Whether the public endpoint lets it in; null when that is not known.
    pub listed: Option<bool>,
}

/// A connected network.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConnectedSummary {
    /// `peering`, `transit-gateway`, `vpn`.
    pub kind: &'static str,
    /// Id of the connection or attachment.
    pub id: String,
    /// What is at the far side.
    pub to: String,
    /// Its state.
    pub state: Option<String>,
    /// Ranges of the far side, where they are known.
    pub ranges: Vec<String>,
}

/// An interface endpoint.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointSummary {
    /// `vpce-…`.
    pub id: String,
    /// `com.amazonaws.…`.
    pub service: Option<String>,
    /// Its state.
    pub state: Option<String>,
    /// The service's ordinary names lead to it.
    pub private_dns: Option<bool>,
}

/// What is not in the facts.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GapsSummary {
    /// Files that a cluster like this needs and that are not there.
    pub missing: Vec<MissingSummary>,
    /// Actions that were refused when the facts were read.
    pub denied: Vec<Refused>,
    /// Actions that failed otherwise.
    pub failed: Vec<Refused>,
}

impl GapsSummary {
    pub(super) fn of(view: &ConfigurationView<'_>) -> Self {
        let (denied, failed) = match &view.facts.manifest {
            Some(manifest) => (manifest.denied.clone(), manifest.failed.clone()),
            None => (Vec::new(), Vec::new()),
        };
        Self {
            missing: gaps::of_page(view)
                .into_iter()
                .map(|gap| MissingSummary { file: gap.file, action: gap.action, unknown: gap.unknown })
                .collect(),
            denied,
            failed,
        }
    }
}

/// A file that is not there.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MissingSummary {
    /// Relative to the folder.
    pub file: String,
    /// The permission that brings it.
    pub action: &'static str,
    /// What is unknown without it.
    pub unknown: String,
}

/// Name and version of the JSON form.
pub const SUMMARY_SCHEMA: &str = "kubereach.facts/v1";

/// The page about a cluster.
#[must_use]
pub fn summary(view: &ConfigurationView<'_>) -> Summary {
    let cluster = view.eks();
    let manifest = view.facts.manifest.as_ref();
    let list = PublicList::of(view);
    let egress = nodes::egress(view);
    let listed = |address: IpAddr| list.as_ref().map(|list| list.set.contains(address));
    Summary {
        schema: SUMMARY_SCHEMA,
        cluster: text(cluster.map(|cluster| cluster.name.as_str())),
        region: text(
            cluster.and_then(|cluster| cluster.region()).or_else(|| manifest.and_then(|one| one.region.as_deref())),
        ),
        account: text(
            cluster.and_then(|cluster| cluster.account()).or_else(|| manifest.and_then(|one| one.account.as_deref())),
        ),
        status: text(cluster.and_then(|cluster| cluster.status.as_deref())),
        version: text(cluster.and_then(|cluster| cluster.version.as_deref())),
        endpoint: text(cluster.and_then(|cluster| cluster.endpoint.as_deref())),
        health_issues: cluster
            .and_then(|cluster| cluster.health.as_ref())
            .map(|health| health.issues.iter().filter_map(|issue| issue.code.clone()).collect())
            .unwrap_or_default(),
        newest_update: endpoint::newest_update(view).map(|update| {
            [update.kind.as_deref(), update.status.as_deref()].into_iter().flatten().collect::<Vec<_>>().join(" ")
        }),
        read_at: manifest.and_then(|manifest| manifest.created_at),
        public_access: view.public_access(),
        private_access: view.private_access(),
        takes_ipv6: cluster.and_then(endpoint::takes_ipv6),
        allow_list: list.as_ref().map(AllowListSummary::of),
        vpc: view.vpc_id().map(|id| vpc(view, id)),
        subnets: subnets(view),
        control_plane_interfaces: interfaces(view),
        egress: egress
            .known
            .into_iter()
            .map(|(address, by)| EgressSummary { address, by, listed: listed(address) })
            .collect(),
        egress_unknown: egress.unknown,
        connected: connected(view),
        interface_endpoints: endpoints(view),
        gaps: GapsSummary::of(view),
    }
}

/// What is not empty.
pub(super) fn text(value: Option<&str>) -> Option<String> {
    value.filter(|value| !value.is_empty()).map(str::to_owned)
}

fn vpc(view: &ConfigurationView<'_>, id: &str) -> VpcSummary {
    let vpc = view.vpc(id);
    let (enable_dns_support, enable_dns_hostnames) = view.dns_attributes(id);
    let mut ranges: Vec<String> =
        vpc.map(network::ipv4_ranges).unwrap_or_default().iter().map(|range| range.net.to_string()).collect();
    let six = vpc.into_iter().flat_map(|vpc| vpc.ipv6_cidr_block_association_set.iter());
    ranges.extend(six.filter_map(|one| one.ipv6_cidr_block.as_ref()).map(|range| range.net.to_string()));
    VpcSummary {
        id: id.to_owned(),
        ranges,
        enable_dns_support,
        enable_dns_hostnames,
        domain_name_servers: vpc.and_then(|vpc| network::domain_name_servers(view, vpc)),
    }
}

fn subnets(view: &ConfigurationView<'_>) -> Vec<SubnetSummary> {
    let ids = view.config().map_or(&[][..], |config| &config.subnet_ids);
    ids.iter()
        .map(|id| {
            let subnet = view.subnet(id);
            let table = subnet.and_then(|subnet| view.route_table(subnet));
            SubnetSummary {
                id: id.clone(),
                zone: subnet.and_then(|subnet| subnet.availability_zone.clone()),
                range: subnet.and_then(|subnet| subnet.cidr_block.as_ref()).map(|range| range.net.to_string()),
                free_addresses: subnet.and_then(|subnet| subnet.available_ip_address_count),
                default_route: table
                    .and_then(|table| table.routes.iter().flatten().find(|route| nodes::is_default(route)))
                    .map(nodes::target),
            }
        })
        .collect()
}

fn interfaces(view: &ConfigurationView<'_>) -> Vec<InterfaceSummary> {
    let Some(cluster) = view.eks() else { return Vec::new() };
    let description = cluster.interface_description();
    let of_cluster = |interface: &&NetworkInterface| interface.description.as_deref() == Some(description.as_str());
    view.facts
        .network
        .network_interfaces
        .iter()
        .flatten()
        .filter(of_cluster)
        .map(|interface| InterfaceSummary {
            id: interface.network_interface_id.clone(),
            subnet: interface.subnet_id.clone(),
            addresses: interface
                .private_ip_address
                .into_iter()
                .chain(interface.ipv6_addresses.iter().filter_map(|one| one.ipv6_address))
                .collect(),
            groups: interface.groups.iter().filter_map(|group| group.group_id.clone()).collect(),
        })
        .collect()
}

fn connected(view: &ConfigurationView<'_>) -> Vec<ConnectedSummary> {
    let Some(vpc) = view.vpc_id() else { return Vec::new() };
    let network = &view.facts.network;
    let mut connected = Vec::new();
    for peering in network.peering_connections.iter().flatten() {
        let sides = [&peering.requester_vpc_info, &peering.accepter_vpc_info];
        let own = |side: &&PeeringVpc| side.vpc_id.as_deref() == Some(vpc);
        if !sides.into_iter().flatten().any(|side| own(&side)) {
            continue;
        }
        let Some(peer) = sides.into_iter().flatten().find(|side| !own(side)) else { continue };
        connected.push(ConnectedSummary {
            kind: "peering",
            id: peering.vpc_peering_connection_id.clone(),
            to: peer.vpc_id.clone().unwrap_or_else(|| "a VPC".to_owned()),
            state: peering.status.as_ref().and_then(|status| status.code.clone()),
            ranges: network::peering_ranges(peer).iter().map(|range| range.net.to_string()).collect(),
        });
    }
    let attachments = network.transit_gateway_vpc_attachments.as_deref().unwrap_or_default();
    let mut gateways = Vec::new();
    for attachment in attachments.iter().filter(|one| one.vpc_id.as_deref() == Some(vpc)) {
        gateways.extend(attachment.transit_gateway_id.clone());
        connected.push(ConnectedSummary {
            kind: "transit-gateway",
            id: attachment.transit_gateway_attachment_id.clone(),
            to: attachment.transit_gateway_id.clone().unwrap_or_else(|| "a transit gateway".to_owned()),
            state: attachment.state.clone(),
            ranges: Vec::new(),
        });
    }
    let of_vpc = network
        .vpn_gateways
        .iter()
        .flatten()
        .filter(|gateway| gateway.vpc_attachments.iter().any(|one| one.vpc_id.as_deref() == Some(vpc)));
    gateways.extend(of_vpc.map(|gateway| gateway.vpn_gateway_id.clone()));
    for vpn in network.vpn_connections.iter().flatten() {
        let gateway = vpn.vpn_gateway_id.as_ref().or(vpn.transit_gateway_id.as_ref());
        let Some(gateway) = gateway.filter(|gateway| gateways.contains(gateway)) else { continue };
        let up = vpn.vgw_telemetry.iter().filter(|tunnel| super::is(tunnel.status.as_deref(), "UP")).count();
        let tunnels = vpn.vgw_telemetry.len();
        let state = vpn.state.as_deref().unwrap_or("state not known");
        connected.push(ConnectedSummary {
            kind: "vpn",
            id: vpn.vpn_connection_id.clone(),
            to: gateway.clone(),
            state: Some(if tunnels == 0 { state.to_owned() } else { format!("{state}, {up} of {tunnels} tunnels up") }),
            ranges: vpn
                .routes
                .iter()
                .filter_map(|route| route.destination_cidr_block.as_ref())
                .map(|range| range.net.to_string())
                .collect(),
        });
    }
    connected
}

fn endpoints(view: &ConfigurationView<'_>) -> Vec<EndpointSummary> {
    let vpc = view.vpc_id();
    view.facts
        .network
        .vpc_endpoints
        .iter()
        .flatten()
        .filter(|endpoint| vpc.is_some() && endpoint.vpc_id.as_deref() == vpc)
        .filter(|endpoint| super::is(endpoint.vpc_endpoint_type.as_deref(), "Interface"))
        .map(|endpoint| EndpointSummary {
            id: endpoint.vpc_endpoint_id.clone(),
            service: endpoint.service_name.clone(),
            state: endpoint.state.clone(),
            private_dns: endpoint.private_dns_enabled,
        })
        .collect()
}

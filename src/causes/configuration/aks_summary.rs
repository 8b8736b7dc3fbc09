//! An AKS cluster's configuration on one page: what `facts show` prints.

use std::{collections::BTreeSet, net::IpAddr};

use jiff::Timestamp;
use serde::Serialize;

use super::{
    ConfigurationView, aks_zones,
    allow_lists::PublicList,
    azure::{api_addresses, api_subnet, node_networks, private_endpoint},
    is, outbound,
    summary::{AllowListSummary, GapsSummary, SUMMARY_SCHEMA, text},
    words,
};
use crate::{
    facts::{
        aks::ManagedCluster,
        azure::{ArmId, Kind, Reference, Subnet},
    },
    model::set::AddressSet,
};

/// One page about an AKS cluster. What the facts do not say is null; lists are whole.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AksSummary {
    /// Always [`SUMMARY_SCHEMA`].
    pub schema: &'static str,
    /// Always `aks`.
    pub provider: &'static str,
    /// The provider's name of the cluster.
    pub cluster: Option<String>,
    /// Its resource group.
    pub resource_group: Option<String>,
    /// Its subscription.
    pub subscription: Option<String>,
    /// Its region.
    pub location: Option<String>,
    /// `provisioningState`.
    pub provisioning_state: Option<String>,
    /// `powerState`.
    pub power_state: Option<String>,
    /// Kubernetes version.
    pub version: Option<String>,
    /// The public name of the API server.
    pub fqdn: Option<String>,
    /// Its name in the private zone.
    pub private_fqdn: Option<String>,
    /// When the facts were read.
    pub read_at: Option<Timestamp>,
    /// `public`, `public-vnet-integrated`, `private-endpoint`, `private-vnet-integrated`.
    pub mode: Option<&'static str>,
    /// There is a public endpoint.
    pub public_access: Option<bool>,
    /// The API server has private addresses.
    pub private_access: Option<bool>,
    /// The public name gives the private addresses (`enablePrivateClusterPublicFQDN`).
    pub public_fqdn: Option<bool>,
    /// `az aks command invoke` works (`disableRunCommand` is not set).
    pub run_command: Option<bool>,
    /// Who is let in by the public endpoint; null when there is none.
    pub allow_list: Option<AllowListSummary>,
    /// How the nodes' packets leave: `loadBalancer`, `userDefinedRouting` …
    pub outbound_type: Option<String>,
    /// `standard` or `basic`.
    pub load_balancer_sku: Option<String>,
    /// Ranges that the internet sees of the nodes, each with the address, NAT gateway or firewall that has it.
    pub egress: Vec<RangeSummary>,
    /// What is not known of that.
    pub egress_unknown: Vec<String>,
    /// The private endpoint of the API server.
    pub private_endpoint: Option<PrivateEndpointSummary>,
    /// The subnet of a VNet-integrated API server.
    pub api_server_subnet: Option<NodeSubnetSummary>,
    /// The private addresses of the API server, as far as they are known.
    pub api_server_addresses: Vec<IpAddr>,
    /// The private DNS zone; null for public clusters.
    pub zone: Option<ZoneSummary>,
    /// The subnets of the nodes.
    pub node_subnets: Vec<NodeSubnetSummary>,
    /// The networks of the nodes and of the API server, and those that are peered with them.
    pub networks: Vec<NetworkSummary>,
    /// What is not in the facts.
    #[serde(flatten)]
    pub gaps: GapsSummary,
}

/// A range that the internet sees.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RangeSummary {
    /// An address, or a range of them.
    pub range: String,
    /// Name of what has it.
    pub by: String,
    /// Whether the public endpoint lets all of it in; null when there is none.
    pub listed: Option<bool>,
}

/// A private endpoint.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PrivateEndpointSummary {
    /// Its id.
    pub id: String,
    /// State of its connection.
    pub state: Option<String>,
    /// The subnet that it is in.
    pub subnet: Option<String>,
}

/// A private DNS zone.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ZoneSummary {
    /// `system`, `none`, or an id.
    pub setting: Option<String>,
    /// Its name, where the facts hold it.
    pub name: Option<String>,
    /// Ids of the networks that are linked to it; null when that is not known.
    pub links: Option<Vec<String>>,
    /// Addresses of the API server's record; null when that is not known.
    pub record: Option<Vec<IpAddr>>,
}

/// A subnet.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeSubnetSummary {
    /// Its id.
    pub id: String,
    /// Its ranges; empty when the facts do not hold it.
    pub ranges: Vec<String>,
    /// Name of its network security group.
    pub network_security_group: Option<String>,
    /// Name of its route table.
    pub route_table: Option<String>,
    /// Name of its NAT gateway.
    pub nat_gateway: Option<String>,
}

/// A virtual network.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NetworkSummary {
    /// Its id.
    pub id: String,
    /// Its ranges.
    pub ranges: Vec<String>,
    /// DNS servers of its own; empty for Azure's.
    pub dns_servers: Vec<String>,
    /// Its peerings.
    pub peerings: Vec<PeeringSummary>,
}

/// One side of a peering.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PeeringSummary {
    /// Its name.
    pub name: String,
    /// Id of the network at the far side.
    pub to: Option<String>,
    /// `Connected`, `Initiated`, `Disconnected`.
    pub state: Option<String>,
}

/// The page about a cluster.
#[must_use]
pub fn summary(view: &ConfigurationView<'_>) -> AksSummary {
    let cluster = view.aks();
    let manifest = view.facts.manifest.as_ref();
    let list = PublicList::of(view);
    let access = cluster.map(ManagedCluster::access);
    let network = cluster.and_then(|cluster| cluster.network_profile.as_ref());
    let egress = outbound::outbound(view);
    let listed = |net| list.as_ref().map(|list| list.set.is_superset(&AddressSet::from_nets([&net])));
    AksSummary {
        schema: SUMMARY_SCHEMA,
        provider: "aks",
        cluster: text(cluster.map(|cluster| cluster.name.as_str())),
        resource_group: text(cluster.and_then(ManagedCluster::resource_group)),
        subscription: text(words::subscription(view)),
        location: text(
            cluster
                .and_then(|cluster| cluster.location.as_deref())
                .or_else(|| manifest.and_then(|manifest| manifest.region.as_deref())),
        ),
        provisioning_state: text(cluster.and_then(|cluster| cluster.provisioning_state.as_deref())),
        power_state: text(cluster.and_then(|cluster| cluster.power_state.as_ref()?.code.as_deref())),
        version: text(cluster.and_then(|cluster| cluster.current_kubernetes_version.as_deref())),
        fqdn: text(cluster.and_then(|cluster| cluster.fqdn.as_deref())),
        private_fqdn: text(cluster.and_then(|cluster| cluster.private_fqdn.as_deref())),
        read_at: manifest.and_then(|manifest| manifest.created_at),
        mode: cluster.map(|cluster| match (cluster.is_private(), cluster.is_vnet_integrated()) {
            (false, false) => "public",
            (false, true) => "public-vnet-integrated",
            (true, false) => "private-endpoint",
            (true, true) => "private-vnet-integrated",
        }),
        public_access: cluster.and_then(|_| view.public_access()),
        private_access: cluster.and_then(|_| view.private_access()),
        public_fqdn: access.as_ref().and_then(|access| access.enable_private_cluster_public_fqdn),
        run_command: access.as_ref().and_then(|access| access.disable_run_command).map(|disabled| !disabled),
        allow_list: list.as_ref().map(AllowListSummary::of),
        outbound_type: text(network.and_then(|network| network.outbound_type.as_deref())),
        load_balancer_sku: text(network.and_then(|network| network.load_balancer_sku.as_deref())),
        egress: egress
            .known
            .into_iter()
            .map(|(net, by)| RangeSummary { range: words::place(net), by, listed: listed(net) })
            .collect(),
        egress_unknown: egress.unknown,
        private_endpoint: private_endpoint(view)
            .filter(|_| cluster.is_some_and(|cluster| cluster.is_private() && !cluster.is_vnet_integrated()))
            .map(|endpoint| PrivateEndpointSummary {
                id: endpoint.id.as_str().to_owned(),
                state: endpoint
                    .private_link_service_connections
                    .iter()
                    .chain(&endpoint.manual_private_link_service_connections)
                    .find_map(|one| one.private_link_service_connection_state.status.clone()),
                subnet: endpoint.subnet.as_ref().map(|subnet| subnet.id.as_str().to_owned()),
            }),
        api_server_subnet: cluster
            .filter(|cluster| cluster.is_vnet_integrated())
            .and_then(|cluster| api_subnet(view, cluster))
            .map(subnet),
        api_server_addresses: api_addresses(view),
        zone: zone(view),
        node_subnets: node_subnets(view),
        networks: networks(view),
        gaps: GapsSummary::of(view),
    }
}

fn zone(view: &ConfigurationView<'_>) -> Option<ZoneSummary> {
    let cluster = view.aks().filter(|cluster| cluster.is_private())?;
    let setting = cluster.access().private_dns_zone.clone().filter(|setting| !setting.is_empty());
    let found = aks_zones::zone(view);
    let zone = found.as_ref().and_then(|found| found.zone);
    let links = found.as_ref().and_then(|found| found.id.clone()).and_then(|id| {
        let links = view.facts.azure.private_dns_zone_links.as_deref().unwrap_or_default();
        let own: Vec<String> = links
            .iter()
            .filter(|link| link.id.parent().as_ref() == Some(&id))
            .filter_map(|link| Some(link.virtual_network.as_ref()?.id.as_str().to_owned()))
            .collect();
        (!own.is_empty() || view.facts.azure_lists(Kind::PrivateDnsZoneLink)).then_some(own)
    });
    if found.is_none() && !is(setting.as_deref(), "none") && setting.is_none() {
        return None;
    }
    Some(ZoneSummary {
        setting,
        name: zone.map(|zone| zone.name.clone()),
        links,
        record: zone.zip(found.as_ref()).and_then(|(zone, found)| aks_zones::recorded(view, zone, &found.host)),
    })
}

fn node_subnets(view: &ConfigurationView<'_>) -> Vec<NodeSubnetSummary> {
    let found = outbound::node_subnets(view);
    let unknown = found.unknown.iter().map(|id| NodeSubnetSummary {
        id: id.as_str().to_owned(),
        ranges: Vec::new(),
        network_security_group: None,
        route_table: None,
        nat_gateway: None,
    });
    found.known.iter().map(|one| subnet(one)).chain(unknown).collect()
}

fn subnet(subnet: &Subnet) -> NodeSubnetSummary {
    let name = |reference: &Option<Reference>| reference.as_ref().map(|one| one.id.name().to_owned());
    NodeSubnetSummary {
        id: subnet.id.as_str().to_owned(),
        ranges: subnet.prefixes().map(str::to_owned).collect(),
        network_security_group: name(&subnet.network_security_group),
        route_table: name(&subnet.route_table),
        nat_gateway: name(&subnet.nat_gateway),
    }
}

/// The nodes' networks, that of the API server, and those that are peered with them, as far as the facts hold them.
fn networks(view: &ConfigurationView<'_>) -> Vec<NetworkSummary> {
    let mut ids: BTreeSet<ArmId> = node_networks(view).into_iter().map(|network| network.id.clone()).collect();
    let integrated = view.aks().filter(|cluster| cluster.is_vnet_integrated());
    ids.extend(integrated.and_then(|cluster| api_subnet(view, cluster)).and_then(|subnet| subnet.id.parent()));
    let peered: Vec<ArmId> = view
        .facts
        .azure
        .all_peerings()
        .filter(|(place, _)| ids.contains(place))
        .filter_map(|(_, peering)| Some(peering.remote_virtual_network.as_ref()?.id.clone()))
        .collect();
    ids.extend(peered);
    ids.iter()
        .filter_map(|id| view.azure_network(id))
        .map(|network| NetworkSummary {
            id: network.id.as_str().to_owned(),
            ranges: network.address_space.address_prefixes.to_vec(),
            dns_servers: network.dhcp_options.dns_servers.to_vec(),
            peerings: view
                .facts
                .azure
                .all_peerings()
                .filter(|(place, _)| *place == network.id)
                .map(|(_, peering)| PeeringSummary {
                    name: peering.name.clone(),
                    to: peering.remote_virtual_network.as_ref().map(|one| one.id.as_str().to_owned()),
                    state: peering.peering_state.clone(),
                })
                .collect(),
        })
        .collect()
}

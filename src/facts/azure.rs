//! Azure Resource Manager's own JSON as plain types: bodies of the REST API, and what `az … -o json` prints.
//!
//! The two shapes differ: the command line lifts `properties` into the resource and spells `authorizedIpRanges` what the
//! REST API spells `authorizedIPRanges`. `canonical.rs` makes one of both before anything is read. Shapes after
//! <https://learn.microsoft.com/rest/api/virtualnetwork/> and <https://learn.microsoft.com/rest/api/dns/>. Every field may
//! be missing; states and modes are text, because a provider may add one any day.

mod canonical;
mod id;
mod read;

use std::{collections::BTreeSet, net::IpAddr, ops::Deref};

use jiff::Timestamp;
use serde::{Deserialize, Deserializer};

use super::{Facts, List, address, manifest::Refused, timestamp};
pub use id::ArmId;
#[cfg(feature = "azure")]
pub(super) use id::is_plain;
pub(super) use read::{Found, read};

/// What the facts say of Azure's network. `None`: no file said anything of that kind.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Network {
    /// `az network vnet list`.
    pub virtual_networks: Option<Vec<VirtualNetwork>>,
    /// `az network vnet subnet list`: subnets beside those that stand in their networks.
    pub subnets: Option<Vec<Subnet>>,
    /// `az network vnet peering list`: peerings beside those that stand in their networks.
    pub peerings: Option<Vec<Peering>>,
    /// `az network nsg list`.
    pub network_security_groups: Option<Vec<NetworkSecurityGroup>>,
    /// `az network route-table list`.
    pub route_tables: Option<Vec<RouteTable>>,
    /// `az network public-ip list`.
    pub public_ip_addresses: Option<Vec<PublicIpAddress>>,
    /// `az network public-ip prefix list`.
    pub public_ip_prefixes: Option<Vec<PublicIpPrefix>>,
    /// `az network lb list`.
    pub load_balancers: Option<Vec<LoadBalancer>>,
    /// `az network nat gateway list`.
    pub nat_gateways: Option<Vec<NatGateway>>,
    /// `az network private-endpoint list`.
    pub private_endpoints: Option<Vec<PrivateEndpoint>>,
    /// `az network nic list`, and those of scale sets.
    pub network_interfaces: Option<Vec<NetworkInterface>>,
    /// `az network firewall list`.
    pub firewalls: Option<Vec<Firewall>>,
    /// `az network vnet-gateway list`.
    pub virtual_network_gateways: Option<Vec<VirtualNetworkGateway>>,
    /// `az network private-dns zone list`.
    pub private_dns_zones: Option<Vec<PrivateDnsZone>>,
    /// `az network private-dns link vnet list`, of as many zones as were asked for.
    pub private_dns_zone_links: Option<Vec<PrivateDnsZoneLink>>,
    /// `az network private-dns record-set list`, of as many zones as were asked for.
    pub private_dns_records: Option<Vec<PrivateDnsRecordSet>>,
    /// `az network list-service-tags`, or the file of ranges that Microsoft publishes every week.
    pub service_tags: Option<Vec<ServiceTag>>,
    /// `az network nic show-effective-route-table`.
    pub effective_routes: Vec<EffectiveRoutes>,
    /// Kinds that came as a list: what is in none of its items is not there at all, as far as one may read.
    pub listed: BTreeSet<Kind>,
    /// Kinds of which something was refused or failed when the facts were pulled: what is not there may exist.
    pub refused: BTreeSet<Kind>,
}

/// A list of a resource's own that a file may leave out or write as `null`: it is not known then, not empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told<T>(pub Option<Vec<T>>);

impl<T> Told<T> {
    /// Whether a file says what is in it.
    #[must_use]
    pub const fn is_told(&self) -> bool {
        self.0.is_some()
    }
}

impl<T> Default for Told<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> Deref for Told<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        self.0.as_deref().unwrap_or_default()
    }
}

impl<'a, T> IntoIterator for &'a Told<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<T> From<Vec<T>> for Told<T> {
    fn from(items: Vec<T>) -> Self {
        Self(Some(items))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Told<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(Option::deserialize(deserializer)?))
    }
}

/// What a resource is, in the words of its `type` or id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names are the provider's own: its API reference describes them")]
pub enum Kind {
    ManagedCluster,
    AgentPool,
    ActivityEvent,
    VirtualNetwork,
    Subnet,
    Peering,
    NetworkSecurityGroup,
    RouteTable,
    PublicIpAddress,
    PublicIpPrefix,
    LoadBalancer,
    NatGateway,
    PrivateEndpoint,
    NetworkInterface,
    Firewall,
    VirtualNetworkGateway,
    PrivateDnsZone,
    PrivateDnsZoneLink,
    PrivateDnsRecordSet,
    ServiceTag,
    EffectiveRoutes,
}

/// A resource that is named by its id only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Reference {
    /// Its id.
    pub id: ArmId,
}

/// A virtual network.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VirtualNetwork {
    /// Its id.
    pub id: ArmId,
    /// Its name.
    pub name: String,
    /// Its region.
    pub location: Option<String>,
    /// Its ranges.
    pub address_space: AddressSpace,
    /// The DNS servers that its hosts are given; empty stands for Azure's own, 168.63.129.16.
    pub dhcp_options: DhcpOptions,
    /// Its subnets.
    pub subnets: List<Subnet>,
    /// Its peerings: this side of them.
    pub virtual_network_peerings: Told<Peering>,
}

/// Ranges of a network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AddressSpace {
    /// The ranges.
    pub address_prefixes: List<String>,
}

/// What hosts are told of DNS.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DhcpOptions {
    /// Addresses of servers.
    pub dns_servers: List<String>,
}

/// A subnet.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Subnet {
    /// Its id, which holds that of its network.
    pub id: ArmId,
    /// Its name.
    pub name: String,
    /// Its range, where it has one.
    pub address_prefix: Option<String>,
    /// Its ranges, where it has several.
    pub address_prefixes: List<String>,
    /// Its security group.
    pub network_security_group: Option<Reference>,
    /// Its route table.
    pub route_table: Option<Reference>,
    /// Its NAT gateway.
    pub nat_gateway: Option<Reference>,
    /// Services that it is given over to.
    pub delegations: List<Delegation>,
    /// Whether NSGs and user-defined routes cover private endpoints in it: `Disabled` (neither),
    /// `NetworkSecurityGroupEnabled`, `RouteTableEnabled`, `Enabled` (both).
    pub private_endpoint_network_policies: Option<String>,
    /// Interfaces and gateways in it.
    pub ip_configurations: List<Reference>,
    /// Private endpoints in it.
    pub private_endpoints: List<Reference>,
    /// False: hosts without a public address, NAT gateway or load balancer have no way out.
    pub default_outbound_access: Option<bool>,
}

/// A service that a subnet is given over to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Delegation {
    /// `Microsoft.ContainerService/managedClusters`.
    pub service_name: Option<String>,
}

/// One side of a peering.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Peering {
    /// Its id, which holds that of this side's network.
    pub id: ArmId,
    /// Its name.
    pub name: String,
    /// The other side's network.
    pub remote_virtual_network: Option<Reference>,
    /// Ranges of the other side, as of the last synchronisation.
    pub remote_address_space: AddressSpace,
    /// `Connected`, `Initiated` (the other side is missing), `Disconnected`.
    pub peering_state: Option<String>,
    /// The other side's hosts are part of the service tag `VirtualNetwork` here; false: traffic between both is denied.
    pub allow_virtual_network_access: Option<bool>,
    /// Packets that did not begin in the other network may come in from it.
    pub allow_forwarded_traffic: Option<bool>,
    /// The other network may use this one's gateway.
    pub allow_gateway_transit: Option<bool>,
    /// This network uses the other one's gateway.
    pub use_remote_gateways: Option<bool>,
}

/// A network security group.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NetworkSecurityGroup {
    /// Its id.
    pub id: ArmId,
    /// Its name.
    pub name: String,
    /// The user's rules.
    pub security_rules: Told<SecurityRule>,
    /// The provider's rules, which come after all others; empty where the file leaves them out.
    pub default_security_rules: List<SecurityRule>,
}

/// A rule of a network security group.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SecurityRule {
    /// Its name.
    pub name: String,
    /// `Inbound` or `Outbound`.
    pub direction: Option<String>,
    /// `Allow` or `Deny`.
    pub access: Option<String>,
    /// 100 to 4096; the lowest number that matches decides. The provider's rules have 65000 and more.
    pub priority: Option<i64>,
    /// `Tcp`, `Udp`, `Icmp`, `Esp`, `Ah` or `*`.
    pub protocol: Option<String>,
    /// Range, service tag or `*`.
    pub source_address_prefix: Option<String>,
    /// Several of them.
    pub source_address_prefixes: List<String>,
    /// Hosts of these groups.
    pub source_application_security_groups: List<Reference>,
    /// Range, service tag or `*`.
    pub destination_address_prefix: Option<String>,
    /// Several of them.
    pub destination_address_prefixes: List<String>,
    /// Hosts of these groups.
    pub destination_application_security_groups: List<Reference>,
    /// Port, range `a-b` or `*`.
    pub source_port_range: Option<String>,
    /// Several of them.
    pub source_port_ranges: List<String>,
    /// Port, range `a-b` or `*`.
    pub destination_port_range: Option<String>,
    /// Several of them.
    pub destination_port_ranges: List<String>,
}

/// A route table: user-defined routes.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RouteTable {
    /// Its id.
    pub id: ArmId,
    /// Its name.
    pub name: String,
    /// Its routes.
    pub routes: Told<Route>,
    /// Routes of gateways do not get into its subnets.
    pub disable_bgp_route_propagation: Option<bool>,
}

/// A user-defined route.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Route {
    /// Its name.
    pub name: String,
    /// Range or service tag.
    pub address_prefix: Option<String>,
    /// `VirtualNetworkGateway`, `VnetLocal`, `Internet`, `VirtualAppliance`, `None`.
    pub next_hop_type: Option<String>,
    /// The appliance.
    pub next_hop_ip_address: Option<String>,
}

/// A public address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PublicIpAddress {
    /// Its id.
    pub id: ArmId,
    /// Its name.
    pub name: String,
    /// The address; `None` while it is not given out.
    #[serde(deserialize_with = "address")]
    pub ip_address: Option<IpAddr>,
    /// The prefix that it was taken from.
    pub public_ip_prefix: Option<Reference>,
}

/// A range of public addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PublicIpPrefix {
    /// Its id.
    pub id: ArmId,
    /// Its name.
    pub name: String,
    /// The range.
    pub ip_prefix: Option<String>,
}

/// A load balancer.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LoadBalancer {
    /// Its id.
    pub id: ArmId,
    /// Its name; the API server's own in a VNet-integrated cluster is `kube-apiserver`.
    pub name: String,
    /// Its addresses.
    pub frontend_ip_configurations: List<IpConfiguration>,
    /// With which of them the members of its pools leave.
    pub outbound_rules: List<OutboundRule>,
}

/// With which addresses of a load balancer the members of a pool leave.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OutboundRule {
    /// Addresses of the load balancer, by their ids.
    pub frontend_ip_configurations: List<Reference>,
    /// The pool.
    pub backend_address_pool: Option<Reference>,
}

/// An address of a resource.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IpConfiguration {
    /// Its id.
    pub id: ArmId,
    /// The private address.
    #[serde(deserialize_with = "address")]
    pub private_ip_address: Option<IpAddr>,
    /// The subnet that it is in.
    pub subnet: Option<Reference>,
    /// The public address.
    pub public_ip_address: Option<Reference>,
    /// The public prefix.
    pub public_ip_prefix: Option<Reference>,
    /// Application security groups that it is in.
    pub application_security_groups: List<Reference>,
    /// Pools of load balancers that it is in; their ids hold those of the load balancers.
    pub load_balancer_backend_address_pools: List<Reference>,
}

/// A NAT gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NatGateway {
    /// Its id.
    pub id: ArmId,
    /// Its name.
    pub name: String,
    /// Addresses that packets leave with.
    pub public_ip_addresses: List<Reference>,
    /// Ranges that packets leave with.
    pub public_ip_prefixes: List<Reference>,
}

/// A private endpoint.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PrivateEndpoint {
    /// Its id.
    pub id: ArmId,
    /// Its name; that of an AKS cluster is `kube-apiserver`.
    pub name: String,
    /// The subnet that it is in.
    pub subnet: Option<Reference>,
    /// Its interfaces.
    pub network_interfaces: List<Reference>,
    /// What it leads to.
    pub private_link_service_connections: List<PrivateLinkServiceConnection>,
    /// What it leads to, where somebody must approve it.
    pub manual_private_link_service_connections: List<PrivateLinkServiceConnection>,
    /// Application security groups that it is in.
    pub application_security_groups: List<Reference>,
    /// Names and addresses that it has.
    pub custom_dns_configs: List<CustomDnsConfig>,
}

/// What a private endpoint leads to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PrivateLinkServiceConnection {
    /// The service: for AKS the managed cluster.
    pub private_link_service_id: Option<ArmId>,
    /// `management` for AKS.
    pub group_ids: List<String>,
    /// Whether it works.
    pub private_link_service_connection_state: ConnectionState,
}

/// Whether a private endpoint works.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConnectionState {
    /// `Approved`, `Pending`, `Rejected`, `Disconnected`.
    pub status: Option<String>,
    /// For people.
    pub description: Option<String>,
}

/// A name of a private endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CustomDnsConfig {
    /// The name.
    pub fqdn: Option<String>,
    /// Its addresses.
    pub ip_addresses: List<String>,
}

/// A network interface.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NetworkInterface {
    /// Its id.
    pub id: ArmId,
    /// Its name.
    pub name: String,
    /// Its addresses.
    pub ip_configurations: List<IpConfiguration>,
    /// Its own security group, besides that of its subnet.
    pub network_security_group: Option<Reference>,
    /// It forwards packets of others: an appliance.
    pub enable_ip_forwarding: Option<bool>,
    /// The machine that it belongs to.
    pub virtual_machine: Option<Reference>,
    /// The private endpoint that it belongs to.
    pub private_endpoint: Option<Reference>,
}

/// An Azure Firewall.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Firewall {
    /// Its id.
    pub id: ArmId,
    /// Its name.
    pub name: String,
    /// Its addresses: the private one is the next hop of routes, with the public ones packets leave.
    pub ip_configurations: List<IpConfiguration>,
}

/// A gateway to other networks: VPN or `ExpressRoute`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VirtualNetworkGateway {
    /// Its id.
    pub id: ArmId,
    /// Its name.
    pub name: String,
    /// `Vpn` or `ExpressRoute`.
    pub gateway_type: Option<String>,
    /// Its addresses; the subnet tells the network that it is in.
    pub ip_configurations: List<IpConfiguration>,
    /// What single machines are given that dial in.
    pub vpn_client_configuration: Option<VpnClientConfiguration>,
    /// Ranges beyond it that somebody wrote down.
    pub custom_routes: AddressSpace,
}

/// What machines are given that dial in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VpnClientConfiguration {
    /// Their addresses.
    pub vpn_client_address_pool: AddressSpace,
}

/// A private DNS zone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PrivateDnsZone {
    /// Its id.
    pub id: ArmId,
    /// The domain.
    pub name: String,
}

/// A network that sees a private DNS zone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PrivateDnsZoneLink {
    /// Its id, which holds that of its zone.
    pub id: ArmId,
    /// Its name.
    pub name: String,
    /// The network.
    pub virtual_network: Option<Reference>,
    /// `Completed`, `InProgress`.
    pub virtual_network_link_state: Option<String>,
    /// `Default`: what the zone does not know does not exist. `NxDomainRedirect`: public DNS is asked then.
    pub resolution_policy: Option<String>,
}

/// The records of one name in a private DNS zone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PrivateDnsRecordSet {
    /// Its id, which holds that of its zone.
    pub id: ArmId,
    /// The name within the zone; `@` for the zone itself.
    pub name: String,
    /// IPv4 addresses; empty in sets of another type.
    pub a_records: List<ARecord>,
    /// Seconds.
    pub ttl: Option<u64>,
}

/// An IPv4 address in DNS.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ARecord {
    /// The address.
    #[serde(deserialize_with = "address")]
    pub ipv4_address: Option<IpAddr>,
}

/// The ranges of a service of Azure.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceTag {
    /// `AzureCloud.westeurope`.
    pub name: String,
    /// Its ranges.
    pub address_prefixes: Told<String>,
}

/// The routes that are really in effect at one interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EffectiveRoutes {
    /// The interface's name, as the file name says.
    pub network_interface: String,
    /// The routes.
    pub routes: Vec<EffectiveRoute>,
}

/// A route that is in effect, or was overruled.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EffectiveRoute {
    /// Name of the user-defined route.
    pub name: Option<String>,
    /// `Default`, `User`, `VirtualNetworkGateway`.
    pub source: Option<String>,
    /// `Active` or `Invalid`.
    pub state: Option<String>,
    /// Ranges.
    pub address_prefix: List<String>,
    /// Addresses of the next hop.
    pub next_hop_ip_address: List<String>,
    /// `VnetLocal`, `VNetPeering`, `Internet`, `VirtualAppliance`, `InterfaceEndpoint`, `None` …
    pub next_hop_type: Option<String>,
}

/// Something that happened to a resource, as the activity log has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ActivityEvent {
    /// What it happened to.
    pub resource_id: ArmId,
    /// When.
    #[serde(deserialize_with = "timestamp")]
    pub event_timestamp: Option<Timestamp>,
    /// `Microsoft.ContainerService/managedClusters/write`.
    pub operation_name: Localizable,
    /// `Started`, `Accepted`, `Succeeded`, `Failed`.
    pub status: Localizable,
}

/// A word of the activity log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Localizable {
    /// The word that does not depend on the language.
    pub value: String,
}

impl Network {
    /// Every subnet that the facts describe: those in their networks, then those that stand alone and are in none.
    pub fn all_subnets(&self) -> impl Iterator<Item = &Subnet> {
        let networks = self.virtual_networks.as_deref().unwrap_or_default();
        let inner = networks.iter().flat_map(|network| &network.subnets);
        let alone = self.subnets.as_deref().unwrap_or_default().iter();
        let known: BTreeSet<&ArmId> = networks.iter().flat_map(|network| &network.subnets).map(|one| &one.id).collect();
        inner.chain(alone.filter(move |one| !known.contains(&one.id)))
    }

    /// Every side of a peering that the facts describe, each with the network that it belongs to.
    pub fn all_peerings(&self) -> impl Iterator<Item = (ArmId, &Peering)> {
        let networks = self.virtual_networks.as_deref().unwrap_or_default();
        let inner = networks
            .iter()
            .flat_map(|network| network.virtual_network_peerings.iter().map(|peering| (network.id.clone(), peering)));
        let alone = self.peerings.as_deref().unwrap_or_default().iter();
        let known: BTreeSet<&ArmId> =
            networks.iter().flat_map(|network| &network.virtual_network_peerings).map(|one| &one.id).collect();
        inner.chain(alone.filter(move |one| !known.contains(&one.id)).filter_map(|one| Some((one.id.parent()?, one))))
    }
}

impl Facts {
    /// Whether the facts hold every resource of this kind that there is, as far as the credentials may see: it came as a
    /// list, and no part of that was refused or failed. Only then does what is absent not exist.
    #[must_use]
    pub fn azure_lists(&self, kind: Kind) -> bool {
        // Subnets and peerings stand in their networks.
        let inside = matches!(kind, Kind::Subnet | Kind::Peering) && self.azure.listed.contains(&Kind::VirtualNetwork);
        let lacks = |refused: &Refused| {
            let of = Kind::of_action(&refused.action);
            of == Some(kind) || (inside && of == Some(Kind::VirtualNetwork))
        };
        let refused = self.manifest.iter().flat_map(|manifest| manifest.denied.iter().chain(&manifest.failed));
        (inside || self.azure.listed.contains(&kind)) && !refused.into_iter().any(lacks)
    }
}

impl Kind {
    /// What an action such as `Microsoft.Network/virtualNetworks/read` is about, in whatever case it is written.
    #[must_use]
    pub fn of_action(action: &str) -> Option<Self> {
        let action = action.to_ascii_lowercase();
        let (kind, _verb) = action.rsplit_once('/')?;
        match kind {
            "microsoft.insights/eventtypes/management" | "microsoft.insights/eventtypes/values" => {
                Some(Self::ActivityEvent)
            }
            "microsoft.network/locations/servicetags" | "microsoft.network/servicetags" => Some(Self::ServiceTag),
            // Interfaces of scale sets stand in their machines.
            _ if kind.ends_with("/networkinterfaces") => Some(Self::NetworkInterface),
            _ => read::kind_of_type(kind),
        }
    }
}

impl Subnet {
    /// Its ranges, in either form, as written.
    pub fn prefixes(&self) -> impl Iterator<Item = &str> {
        let several = self.address_prefixes.iter().map(String::as_str);
        let only = self.address_prefix.as_deref().filter(|one| !self.address_prefixes.iter().any(|other| other == one));
        several.chain(only)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Manifest;

    #[test]
    fn what_was_refused_in_part_is_no_list() {
        let mut facts = Facts::default();
        assert!(!facts.azure_lists(Kind::RouteTable));
        facts.azure.listed.extend([Kind::RouteTable, Kind::VirtualNetwork, Kind::PrivateDnsRecordSet]);
        assert!(facts.azure_lists(Kind::RouteTable) && facts.azure_lists(Kind::Peering));
        let refused = |action: &str| Refused { action: action.to_owned(), message: String::new() };
        for (action, kind) in [
            ("microsoft.network/RouteTables/read", Kind::RouteTable),
            ("Microsoft.Network/virtualNetworks/read", Kind::Peering),
            ("Microsoft.Network/virtualNetworks/read", Kind::VirtualNetwork),
            ("Microsoft.Network/virtualNetworks/virtualNetworkPeerings/read", Kind::Peering),
            ("Microsoft.Network/privateDnsZones/ALL/read", Kind::PrivateDnsRecordSet),
        ] {
            assert!(facts.azure_lists(kind));
            facts.manifest = Some(Manifest { failed: vec![refused(action)], ..Manifest::default() });
            assert!(!facts.azure_lists(kind), "{action}");
            facts.manifest = None;
        }
        facts.manifest = Some(Manifest {
            denied: vec![refused("Microsoft.Network/virtualNetworks/virtualNetworkPeerings/read"), refused("nonsense")],
            ..Manifest::default()
        });
        assert!(facts.azure_lists(Kind::VirtualNetwork) && !facts.azure_lists(Kind::Peering));
    }
}

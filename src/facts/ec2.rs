//! The EC2 API's own JSON as plain types: what `aws ec2 describe-… --output json` prints.
//!
//! Only what the model reads is named; everything else is passed over. States and types are text, because a provider
//! may add one any day. Every field may be missing. Shapes after the EC2 API model
//! (<https://docs.aws.amazon.com/AWSEC2/latest/APIReference/>).

use std::net::IpAddr;

use serde::Deserialize;

use super::{Cidr, List, address};

/// Everything that the facts say of EC2. `None`: no file said anything; an empty list: there is none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Network {
    /// `describe-vpcs`.
    pub vpcs: Option<Vec<Vpc>>,
    /// `describe-vpc-attribute`, both attributes, by VPC.
    pub vpc_attributes: Vec<VpcAttribute>,
    /// `describe-dhcp-options`.
    pub dhcp_options: Option<Vec<DhcpOptions>>,
    /// `describe-subnets`.
    pub subnets: Option<Vec<Subnet>>,
    /// `describe-route-tables`.
    pub route_tables: Option<Vec<RouteTable>>,
    /// `describe-network-acls`.
    pub network_acls: Option<Vec<NetworkAcl>>,
    /// `describe-security-groups`.
    pub security_groups: Option<Vec<SecurityGroup>>,
    /// `describe-network-interfaces`.
    pub network_interfaces: Option<Vec<NetworkInterface>>,
    /// `describe-instances`, without the reservations around them.
    pub instances: Option<Vec<Instance>>,
    /// `describe-nat-gateways`.
    pub nat_gateways: Option<Vec<NatGateway>>,
    /// `describe-internet-gateways`.
    pub internet_gateways: Option<Vec<InternetGateway>>,
    /// `describe-egress-only-internet-gateways`.
    pub egress_only_internet_gateways: Option<Vec<EgressOnlyInternetGateway>>,
    /// `describe-managed-prefix-lists`.
    pub prefix_lists: Option<Vec<PrefixList>>,
    /// `get-managed-prefix-list-entries`, by prefix list.
    pub prefix_list_entries: Vec<PrefixListEntries>,
    /// `describe-vpc-peering-connections`.
    pub peering_connections: Option<Vec<PeeringConnection>>,
    /// `describe-transit-gateways`.
    pub transit_gateways: Option<Vec<TransitGateway>>,
    /// `describe-transit-gateway-attachments`.
    pub transit_gateway_attachments: Option<Vec<TransitGatewayAttachment>>,
    /// `describe-transit-gateway-vpc-attachments`.
    pub transit_gateway_vpc_attachments: Option<Vec<TransitGatewayVpcAttachment>>,
    /// `describe-transit-gateway-route-tables`.
    pub transit_gateway_route_tables: Option<Vec<TransitGatewayRouteTable>>,
    /// `search-transit-gateway-routes`, by route table.
    pub transit_gateway_routes: Vec<TransitGatewayRoutes>,
    /// `describe-vpn-gateways`.
    pub vpn_gateways: Option<Vec<VpnGateway>>,
    /// `describe-vpn-connections`.
    pub vpn_connections: Option<Vec<VpnConnection>>,
    /// `describe-vpc-endpoints`.
    pub vpc_endpoints: Option<Vec<VpcEndpoint>>,
    /// `describe-vpc-block-public-access-options`.
    pub block_public_access: Option<BlockPublicAccess>,
}

/// A VPC.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Vpc {
    /// `vpc-…`.
    pub vpc_id: String,
    /// The primary IPv4 range.
    pub cidr_block: Option<Cidr>,
    /// All IPv4 ranges, the primary one among them.
    pub cidr_block_association_set: List<CidrAssociation>,
    /// IPv6 ranges.
    pub ipv6_cidr_block_association_set: List<Ipv6CidrAssociation>,
    /// `dopt-…`, or `default`.
    pub dhcp_options_id: Option<String>,
    /// Made by AWS, not by a user.
    pub is_default: Option<bool>,
    /// Account.
    pub owner_id: Option<String>,
    /// `Name` and others.
    pub tags: List<Tag>,
}

/// An IPv4 range of a VPC.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CidrAssociation {
    /// The range.
    pub cidr_block: Option<Cidr>,
    /// `associated` counts; `associating`, `disassociated` do not.
    pub cidr_block_state: Option<StateText>,
}

/// An IPv6 range of a VPC or subnet.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Ipv6CidrAssociation {
    /// The range.
    pub ipv6_cidr_block: Option<Cidr>,
    /// `associated` counts.
    pub ipv6_cidr_block_state: Option<StateText>,
}

/// `{"State": "…"}`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct StateText {
    /// The state's word.
    pub state: Option<String>,
}

/// `{"Key": …, "Value": …}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Tag {
    /// Name of the tag.
    pub key: String,
    /// Its value.
    pub value: String,
}

/// The DNS attributes of one VPC; each `None` until a file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VpcAttribute {
    /// `vpc-…`; `None` when neither content nor file name says, which then means the only VPC there is.
    pub vpc_id: Option<String>,
    /// The VPC's resolver answers.
    pub enable_dns_support: Option<bool>,
    /// Private zones are in effect.
    pub enable_dns_hostnames: Option<bool>,
}

/// A set of DHCP options.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DhcpOptions {
    /// `dopt-…`.
    pub dhcp_options_id: String,
    /// `domain-name-servers` and others.
    pub dhcp_configurations: List<DhcpConfiguration>,
}

/// One DHCP option.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DhcpConfiguration {
    /// Name of the option.
    pub key: String,
    /// Its values; `AmazonProvidedDNS` is one.
    pub values: List<DhcpValue>,
}

/// `{"Value": …}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DhcpValue {
    /// The value.
    pub value: String,
}

/// A subnet.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Subnet {
    /// `subnet-…`.
    pub subnet_id: String,
    /// `vpc-…`.
    pub vpc_id: String,
    /// IPv4 range.
    pub cidr_block: Option<Cidr>,
    /// IPv6 ranges.
    pub ipv6_cidr_block_association_set: List<Ipv6CidrAssociation>,
    /// Name of the zone, `eu-west-1a`.
    pub availability_zone: Option<String>,
    /// Id of the zone, `use1-az3`.
    pub availability_zone_id: Option<String>,
    /// Free IPv4 addresses.
    pub available_ip_address_count: Option<u64>,
    /// New hosts get a public address.
    pub map_public_ip_on_launch: Option<bool>,
    /// `Name` and others.
    pub tags: List<Tag>,
}

/// A route table of a VPC.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RouteTable {
    /// `rtb-…`.
    pub route_table_id: String,
    /// `vpc-…`.
    pub vpc_id: String,
    /// Subnets and gateways that use it.
    pub associations: List<RouteTableAssociation>,
    /// The routes, in no order that matters; `None` when the facts leave them out, which is not "none".
    pub routes: Option<List<Route>>,
}

/// Who uses a route table.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RouteTableAssociation {
    /// The VPC's main table: subnets without a table of their own use it.
    pub main: Option<bool>,
    /// `subnet-…`.
    pub subnet_id: Option<String>,
    /// A gateway (edge association).
    pub gateway_id: Option<String>,
    /// `associated` counts.
    pub association_state: Option<StateText>,
}

/// A route. Exactly one destination and one target are set.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Route {
    /// IPv4 destination.
    pub destination_cidr_block: Option<Cidr>,
    /// IPv6 destination.
    pub destination_ipv6_cidr_block: Option<Cidr>,
    /// Prefix-list destination.
    pub destination_prefix_list_id: Option<String>,
    /// `local`, `igw-…`, `vgw-…`, or a gateway endpoint `vpce-…`.
    pub gateway_id: Option<String>,
    /// `eigw-…`.
    pub egress_only_internet_gateway_id: Option<String>,
    /// `nat-…`.
    pub nat_gateway_id: Option<String>,
    /// `tgw-…`.
    pub transit_gateway_id: Option<String>,
    /// `pcx-…`.
    pub vpc_peering_connection_id: Option<String>,
    /// `eni-…`: an appliance.
    pub network_interface_id: Option<String>,
    /// `i-…`: an appliance.
    pub instance_id: Option<String>,
    /// Local gateway of an Outpost.
    pub local_gateway_id: Option<String>,
    /// Carrier gateway of a Wavelength zone.
    pub carrier_gateway_id: Option<String>,
    /// A core network of Cloud WAN.
    pub core_network_arn: Option<String>,
    /// `active` or `blackhole`.
    pub state: Option<String>,
    /// `CreateRouteTable` (local), `CreateRoute` (static) or `EnableVgwRoutePropagation`.
    pub origin: Option<String>,
}

/// A network ACL.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NetworkAcl {
    /// `acl-…`.
    pub network_acl_id: String,
    /// `vpc-…`.
    pub vpc_id: String,
    /// Subnets that without one of their own use it.
    pub is_default: Option<bool>,
    /// Subnets that use it.
    pub associations: List<NetworkAclAssociation>,
    /// The entries, in any order; their numbers order them. `None` when the facts leave them out.
    pub entries: Option<List<NetworkAclEntry>>,
}

/// A subnet that uses a network ACL.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NetworkAclAssociation {
    /// `subnet-…`.
    pub subnet_id: Option<String>,
}

/// An entry of a network ACL
/// (<https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_NetworkAclEntry.html>).
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NetworkAclEntry {
    /// Ascending order of evaluation; 32767 is the final `*`.
    pub rule_number: Option<u32>,
    /// Number of the protocol, or `-1` for all; 6 is TCP.
    pub protocol: Option<String>,
    /// `allow` or `deny`.
    pub rule_action: Option<String>,
    /// For packets that leave the subnet.
    pub egress: Option<bool>,
    /// IPv4 range of the far side.
    pub cidr_block: Option<Cidr>,
    /// IPv6 range of the far side.
    pub ipv6_cidr_block: Option<Cidr>,
    /// Destination ports; all when absent.
    pub port_range: Option<PortRange>,
}

/// Inclusive port range.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PortRange {
    /// First port.
    pub from: Option<i64>,
    /// Last port.
    pub to: Option<i64>,
}

/// A security group.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct SecurityGroup {
    /// `sg-…`.
    pub group_id: String,
    /// Its name.
    pub group_name: Option<String>,
    /// `vpc-…`.
    pub vpc_id: Option<String>,
    /// Ingress rules; `None` when the facts leave them out, which is not "none".
    pub ip_permissions: Option<List<Permission>>,
    /// Egress rules; `None` when the facts leave them out.
    pub ip_permissions_egress: Option<List<Permission>>,
}

/// A rule of a security group: one protocol and port range, several peers.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Permission {
    /// `tcp`, `udp`, `icmp`, `icmpv6`, a number, or `-1` for all.
    pub ip_protocol: Option<String>,
    /// First port; absent or -1 for all.
    pub from_port: Option<i64>,
    /// Last port; absent or -1 for all.
    pub to_port: Option<i64>,
    /// IPv4 peers.
    pub ip_ranges: List<IpRange>,
    /// IPv6 peers.
    pub ipv6_ranges: List<Ipv6Range>,
    /// Prefix lists as peers.
    pub prefix_list_ids: List<PrefixListReference>,
    /// Groups as peers.
    pub user_id_group_pairs: List<GroupReference>,
}

/// An IPv4 peer.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct IpRange {
    /// The range.
    pub cidr_ip: Option<Cidr>,
    /// What the user wrote beside it.
    pub description: Option<String>,
}

/// An IPv6 peer.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Ipv6Range {
    /// The range.
    pub cidr_ipv6: Option<Cidr>,
    /// What the user wrote beside it.
    pub description: Option<String>,
}

/// A prefix list as a peer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PrefixListReference {
    /// `pl-…`.
    pub prefix_list_id: String,
}

/// A group as a peer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct GroupReference {
    /// `sg-…`.
    pub group_id: Option<String>,
    /// Account of the group.
    pub user_id: Option<String>,
    /// `vpc-…`, when the group is behind a peering connection.
    pub vpc_id: Option<String>,
    /// `pcx-…`, when the group is behind a peering connection.
    pub vpc_peering_connection_id: Option<String>,
    /// State of that peering connection.
    pub peering_status: Option<String>,
}

/// A network interface.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NetworkInterface {
    /// `eni-…`.
    pub network_interface_id: String,
    /// `subnet-…`.
    pub subnet_id: Option<String>,
    /// `vpc-…`.
    pub vpc_id: Option<String>,
    /// Name of the zone.
    pub availability_zone: Option<String>,
    /// `Amazon EKS <cluster>` for the control plane's own.
    pub description: Option<String>,
    /// `interface`, `nat_gateway`, `transit_gateway`, `vpc_endpoint` …
    pub interface_type: Option<String>,
    /// Its security groups.
    pub groups: List<GroupReference>,
    /// Primary private IPv4 address.
    #[serde(deserialize_with = "address")]
    pub private_ip_address: Option<IpAddr>,
    /// All private IPv4 addresses, each with its public one.
    pub private_ip_addresses: List<PrivateAddress>,
    /// IPv6 addresses.
    pub ipv6_addresses: List<Ipv6Address>,
    /// The public address of the primary private one.
    pub association: Option<PublicAssociation>,
    /// What it is attached to.
    pub attachment: Option<InterfaceAttachment>,
    /// Packets of other addresses are refused; off on appliances.
    pub source_dest_check: Option<bool>,
    /// `in-use`, `available` …
    pub status: Option<String>,
    /// Made by a service.
    pub requester_managed: Option<bool>,
}

/// A private address of a network interface.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PrivateAddress {
    /// The address.
    #[serde(deserialize_with = "address")]
    pub private_ip_address: Option<IpAddr>,
    /// The interface's first address.
    pub primary: Option<bool>,
    /// Its public address.
    pub association: Option<PublicAssociation>,
}

/// A public IPv4 address that a private one is known by.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PublicAssociation {
    /// The public address.
    #[serde(deserialize_with = "address")]
    pub public_ip: Option<IpAddr>,
}

/// An IPv6 address of a network interface.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Ipv6Address {
    /// The address.
    #[serde(deserialize_with = "address")]
    pub ipv6_address: Option<IpAddr>,
}

/// What a network interface is attached to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct InterfaceAttachment {
    /// `i-…`.
    pub instance_id: Option<String>,
    /// 0 is the primary interface.
    pub device_index: Option<i64>,
    /// `attached` counts.
    pub status: Option<String>,
}

/// An instance.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Instance {
    /// `i-…`.
    pub instance_id: String,
    /// `subnet-…`.
    pub subnet_id: Option<String>,
    /// `vpc-…`.
    pub vpc_id: Option<String>,
    /// `running`, `stopped` …
    pub state: Option<InstanceState>,
    /// Primary private address.
    #[serde(deserialize_with = "address")]
    pub private_ip_address: Option<IpAddr>,
    /// Public address.
    #[serde(deserialize_with = "address")]
    pub public_ip_address: Option<IpAddr>,
    /// Groups of its primary interface.
    pub security_groups: List<GroupReference>,
    /// Its interfaces, the same shape as `describe-network-interfaces` as far as we read it.
    pub network_interfaces: List<NetworkInterface>,
    /// `Name` and others.
    pub tags: List<Tag>,
}

/// State of an instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct InstanceState {
    /// `running` …
    pub name: Option<String>,
}

/// A NAT gateway.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NatGateway {
    /// `nat-…`.
    pub nat_gateway_id: String,
    /// `subnet-…`.
    pub subnet_id: Option<String>,
    /// `vpc-…`.
    pub vpc_id: Option<String>,
    /// `available` counts.
    pub state: Option<String>,
    /// `public` or `private`; public when absent.
    pub connectivity_type: Option<String>,
    /// Its addresses.
    pub nat_gateway_addresses: List<NatGatewayAddress>,
}

/// An address of a NAT gateway.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NatGatewayAddress {
    /// What the internet sees.
    #[serde(deserialize_with = "address")]
    pub public_ip: Option<IpAddr>,
    /// What the VPC sees.
    #[serde(deserialize_with = "address")]
    pub private_ip: Option<IpAddr>,
    /// `eni-…`.
    pub network_interface_id: Option<String>,
}

/// An internet gateway.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct InternetGateway {
    /// `igw-…`.
    pub internet_gateway_id: String,
    /// VPCs; `available` (and `attached`) count.
    pub attachments: List<GatewayAttachment>,
}

/// An egress-only internet gateway, for IPv6.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct EgressOnlyInternetGateway {
    /// `eigw-…`.
    pub egress_only_internet_gateway_id: String,
    /// VPCs; `attached` counts.
    pub attachments: List<GatewayAttachment>,
}

/// A VPC that a gateway is attached to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct GatewayAttachment {
    /// `vpc-…`.
    pub vpc_id: Option<String>,
    /// `attached`, `available`, `detached` …
    pub state: Option<String>,
}

/// A managed prefix list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PrefixList {
    /// `pl-…`.
    pub prefix_list_id: String,
    /// Its name; `com.amazonaws.…` for AWS's own.
    pub prefix_list_name: Option<String>,
    /// Present version; a change must name it.
    pub version: Option<i64>,
    /// How many entries it may have.
    pub max_entries: Option<i64>,
}

/// The entries of one prefix list.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PrefixListEntries {
    /// `pl-…`, from the file's name.
    pub prefix_list_id: String,
    /// The ranges.
    pub entries: Vec<Cidr>,
}

/// A VPC peering connection.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PeeringConnection {
    /// `pcx-…`.
    pub vpc_peering_connection_id: String,
    /// One side.
    pub requester_vpc_info: Option<PeeringVpc>,
    /// The other.
    pub accepter_vpc_info: Option<PeeringVpc>,
    /// `active` counts.
    pub status: Option<PeeringStatus>,
}

/// One side of a peering connection.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PeeringVpc {
    /// `vpc-…`.
    pub vpc_id: Option<String>,
    /// Primary range.
    pub cidr_block: Option<Cidr>,
    /// All IPv4 ranges.
    pub cidr_block_set: List<CidrAssociation>,
    /// All IPv6 ranges.
    pub ipv6_cidr_block_set: List<Ipv6CidrAssociation>,
    /// Account.
    pub owner_id: Option<String>,
    /// Region.
    pub region: Option<String>,
}

/// State of a peering connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PeeringStatus {
    /// `active`, `pending-acceptance`, `expired` …
    pub code: Option<String>,
    /// For people.
    pub message: Option<String>,
}

/// A transit gateway.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TransitGateway {
    /// `tgw-…`.
    pub transit_gateway_id: String,
    /// `available` counts.
    pub state: Option<String>,
    /// Account.
    pub owner_id: Option<String>,
    /// Its options.
    pub options: Option<TransitGatewayOptions>,
}

/// Options of a transit gateway, or of a VPC attachment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TransitGatewayOptions {
    /// `enable`: groups of one attached VPC may be named in rules of another.
    pub security_group_referencing_support: Option<String>,
    /// `enable`: both directions use one Availability Zone.
    pub appliance_mode_support: Option<String>,
    /// Table of attachments that name none.
    pub association_default_route_table_id: Option<String>,
    /// `enable`: new attachments are associated with the default table.
    pub default_route_table_association: Option<String>,
}

/// Any attachment of a transit gateway.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TransitGatewayAttachment {
    /// `tgw-attach-…`.
    pub transit_gateway_attachment_id: String,
    /// `tgw-…`.
    pub transit_gateway_id: Option<String>,
    /// `vpc`, `vpn`, `direct-connect-gateway`, `peering`, `connect`.
    pub resource_type: Option<String>,
    /// `vpc-…`, `vpn-…`, or the peer's `tgw-…`.
    pub resource_id: Option<String>,
    /// `available` counts.
    pub state: Option<String>,
    /// Which table its packets are looked up in.
    pub association: Option<TransitGatewayAssociation>,
}

/// Which route table an attachment uses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TransitGatewayAssociation {
    /// `tgw-rtb-…`.
    pub transit_gateway_route_table_id: Option<String>,
    /// `associated` counts.
    pub state: Option<String>,
}

/// A VPC attachment of a transit gateway.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TransitGatewayVpcAttachment {
    /// `tgw-attach-…`.
    pub transit_gateway_attachment_id: String,
    /// `tgw-…`.
    pub transit_gateway_id: Option<String>,
    /// `vpc-…`.
    pub vpc_id: Option<String>,
    /// `available` counts.
    pub state: Option<String>,
    /// One subnet in each Availability Zone that it serves.
    pub subnet_ids: List<String>,
    /// Its options.
    pub options: Option<TransitGatewayOptions>,
}

/// A route table of a transit gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TransitGatewayRouteTable {
    /// `tgw-rtb-…`.
    pub transit_gateway_route_table_id: String,
    /// `tgw-…`.
    pub transit_gateway_id: Option<String>,
    /// `available` counts.
    pub state: Option<String>,
    /// Attachments without an association of their own use it.
    pub default_association_route_table: Option<bool>,
}

/// The routes of one transit-gateway route table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TransitGatewayRoutes {
    /// `tgw-rtb-…`, from the file's name.
    pub transit_gateway_route_table_id: String,
    /// The routes.
    pub routes: Vec<TransitGatewayRoute>,
    /// The search was cut off: a route that is not here may exist.
    pub more: bool,
}

/// A route of a transit gateway.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TransitGatewayRoute {
    /// Destination.
    pub destination_cidr_block: Option<Cidr>,
    /// Destination by prefix list.
    pub prefix_list_id: Option<String>,
    /// `static` or `propagated`.
    #[serde(rename = "Type")]
    pub kind: Option<String>,
    /// `active` or `blackhole`.
    pub state: Option<String>,
    /// Where it leads; several share the load.
    pub transit_gateway_attachments: List<TransitGatewayRouteAttachment>,
}

/// Where a transit-gateway route leads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TransitGatewayRouteAttachment {
    /// `tgw-attach-…`.
    pub transit_gateway_attachment_id: Option<String>,
    /// `vpc`, `vpn` …
    pub resource_type: Option<String>,
    /// `vpc-…` …
    pub resource_id: Option<String>,
}

/// A virtual private gateway.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct VpnGateway {
    /// `vgw-…`.
    pub vpn_gateway_id: String,
    /// `available` counts.
    pub state: Option<String>,
    /// VPCs; `attached` counts.
    pub vpc_attachments: List<GatewayAttachment>,
}

/// A site-to-site VPN connection. Its pre-shared keys are never read.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct VpnConnection {
    /// `vpn-…`.
    pub vpn_connection_id: String,
    /// `vgw-…`.
    pub vpn_gateway_id: Option<String>,
    /// `tgw-…`.
    pub transit_gateway_id: Option<String>,
    /// `available` counts.
    pub state: Option<String>,
    /// Static routes of the far side.
    pub routes: List<VpnRoute>,
    /// The tunnels.
    pub vgw_telemetry: List<VpnTelemetry>,
}

/// A static route of a VPN connection.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct VpnRoute {
    /// Destination.
    pub destination_cidr_block: Option<Cidr>,
    /// `available` counts.
    pub state: Option<String>,
}

/// A tunnel of a VPN connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct VpnTelemetry {
    /// `UP` or `DOWN`.
    pub status: Option<String>,
}

/// A VPC endpoint.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct VpcEndpoint {
    /// `vpce-…`.
    pub vpc_endpoint_id: String,
    /// `Interface`, `Gateway`, `GatewayLoadBalancer`.
    pub vpc_endpoint_type: Option<String>,
    /// `vpc-…`.
    pub vpc_id: Option<String>,
    /// `com.amazonaws.<region>.eks` …
    pub service_name: Option<String>,
    /// `available` counts, whatever its case.
    pub state: Option<String>,
    /// The service's ordinary names lead to it.
    pub private_dns_enabled: Option<bool>,
    /// Who may call what through it, as JSON text.
    pub policy_document: Option<String>,
    /// Subnets with an interface of it.
    pub subnet_ids: List<String>,
    /// Its interfaces.
    pub network_interface_ids: List<String>,
    /// Security groups of its interfaces.
    pub groups: List<GroupReference>,
    /// Names of its own.
    pub dns_entries: List<DnsEntry>,
    /// `ipv4`, `dualstack`, `ipv6`.
    pub ip_address_type: Option<String>,
}

/// A DNS name of a VPC endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DnsEntry {
    /// The name.
    pub dns_name: Option<String>,
}

/// VPC Block Public Access.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct BlockPublicAccess {
    /// `off`, `block-bidirectional`, `block-ingress`.
    pub internet_gateway_block_mode: Option<String>,
}

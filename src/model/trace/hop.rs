//! The hops of a path: which object, what it decides, by which rule, and why in a form that causes can read.

use ipnet::IpNet;

use crate::{facts::azure::ArmId, model::set::PortSet, report};

/// One hop of a path through the configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Hop {
    /// Id of the object; several are joined by `, `.
    pub component: String,
    /// What it is.
    pub kind: HopKind,
    /// What it does with the packet.
    pub decision: Decision,
    /// The rule that decided, in words.
    pub rule: String,
    /// Why the packet does not simply pass; `None` where it does.
    pub reason: Option<Reason>,
}

impl Hop {
    /// As it stands in a report.
    #[must_use]
    pub fn report(&self) -> report::Hop {
        report::Hop {
            component: self.component.clone(),
            kind: self.kind.label().to_owned(),
            decision: self.decision.label().to_owned(),
            rule: self.rule.clone(),
        }
    }
}

/// What a hop is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HopKind {
    /// An instance.
    Instance,
    /// A network interface.
    NetworkInterface,
    /// An address of which the facts do not know who has it.
    Address,
    /// The security groups of a network interface.
    SecurityGroup,
    /// The network ACL of a subnet.
    NetworkAcl,
    /// A subnet, as one end of the path.
    Subnet,
    /// The route table of a subnet.
    RouteTable,
    /// A VPC peering connection.
    Peering,
    /// A transit gateway.
    TransitGateway,
    /// An attachment of a transit gateway.
    TransitGatewayAttachment,
    /// A route table of a transit gateway.
    TransitGatewayRouteTable,
    /// A NAT gateway.
    NatGateway,
    /// An internet gateway.
    InternetGateway,
    /// An egress-only internet gateway.
    EgressOnlyInternetGateway,
    /// A virtual private gateway.
    VpnGateway,
    /// A VPN connection.
    VpnConnection,
    /// A VPC endpoint.
    VpcEndpoint,
    /// A VPC, as a place in which a packet is lost or of which the facts say nothing.
    Vpc,
    /// The Region's setting that blocks public access of VPCs.
    BlockPublicAccess,
    /// The internet, as one end of the path.
    Internet,
    /// A network beyond a gateway, as one end of the path.
    OnPremises,
    /// Something that decides by itself what to do with packets, or a gateway that is not modelled.
    Appliance,
    /// A machine in Azure.
    VirtualMachine,
    /// A network security group, of a subnet or of a network interface.
    NetworkSecurityGroup,
    /// A virtual network of Azure, as a place in which a packet is lost or of which the facts say nothing.
    VirtualNetwork,
    /// A private endpoint.
    PrivateEndpoint,
    /// A load balancer of Azure.
    LoadBalancer,
    /// An Azure Firewall.
    Firewall,
    /// A VPN or `ExpressRoute` gateway.
    VirtualNetworkGateway,
    /// A public address of Azure that an interface has.
    PublicIpAddress,
}

kubereach_probes::labels! { HopKind {
    Instance => "instance",
    NetworkInterface => "network-interface",
    Address => "address",
    SecurityGroup => "security-group",
    NetworkAcl => "network-acl",
    Subnet => "subnet",
    RouteTable => "route-table",
    Peering => "peering",
    TransitGateway => "transit-gateway",
    TransitGatewayAttachment => "transit-gateway-attachment",
    TransitGatewayRouteTable => "transit-gateway-route-table",
    NatGateway => "nat-gateway",
    InternetGateway => "internet-gateway",
    EgressOnlyInternetGateway => "egress-only-internet-gateway",
    VpnGateway => "vpn-gateway",
    VpnConnection => "vpn-connection",
    VpcEndpoint => "vpc-endpoint",
    Vpc => "vpc",
    BlockPublicAccess => "block-public-access",
    Internet => "internet",
    OnPremises => "on-premises",
    Appliance => "appliance",
    VirtualMachine => "virtual-machine",
    NetworkSecurityGroup => "nsg",
    VirtualNetwork => "virtual-network",
    PrivateEndpoint => "private-endpoint",
    LoadBalancer => "load-balancer",
    Firewall => "firewall",
    VirtualNetworkGateway => "virtual-network-gateway",
    PublicIpAddress => "public-ip-address",
} }

/// What a hop does with the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Decision {
    /// A filter lets it pass.
    Allow,
    /// A filter stops it.
    Deny,
    /// It is sent on.
    Forward,
    /// It is lost: no route, a gateway that does not carry it.
    Drop,
    /// The facts do not say, or only a part passes.
    Unknown,
}

impl Decision {
    /// Whether the packet ends here.
    #[must_use]
    pub const fn blocks(self) -> bool {
        matches!(self, Self::Deny | Self::Drop)
    }
}

kubereach_probes::labels! { Decision {
    Allow => "allow",
    Deny => "deny",
    Forward => "forward",
    Drop => "drop",
    Unknown => "unknown",
} }

/// Why a hop stops a packet, or why it is not known whether it does. `reply`: on the way back.
#[derive(Clone, Debug, PartialEq)]
pub enum Reason {
    /// No egress rule of the source's groups allows it.
    SecurityGroupEgress {
        /// The groups of the source's interface.
        groups: Vec<String>,
        /// Where the packet goes.
        destination: IpNet,
        /// Destination port.
        port: u16,
    },
    /// No ingress rule of the destination's groups allows it.
    SecurityGroupIngress {
        /// The groups of the destination's interface.
        groups: Vec<String>,
        /// Where the packet comes from, as the destination sees it.
        source: IpNet,
        /// Destination port.
        port: u16,
    },
    /// Rules for the port exist, but only through prefix lists that do not hold the far side.
    PrefixListLacks {
        /// `pl-…`, the first of them.
        prefix_list: String,
        /// Its present version, which a change must name.
        version: Option<i64>,
        /// The groups of the interface.
        groups: Vec<String>,
        /// The address that is missing.
        peer: IpNet,
        /// Rules for packets that leave.
        egress: bool,
        /// Destination port.
        port: u16,
    },
    /// Only a part of the source range is allowed by the groups.
    SecurityGroupPart {
        /// The groups.
        groups: Vec<String>,
        /// Rules for packets that leave.
        egress: bool,
        /// The part that is allowed.
        open: super::super::set::AddressSet,
    },
    /// Whether a rule that names a group applies is not known: the far side's groups are not.
    GroupsUnknown {
        /// The interface, subnet or address whose groups are not known.
        of: String,
    },
    /// An entry of a network ACL denies it, all of it or a part.
    AclEntry {
        /// `acl-…`.
        acl: String,
        /// The subnet that it guards.
        subnet: String,
        /// Number of the deciding entry; `None` for the final `*`.
        rule_number: Option<u32>,
        /// Packets that leave the subnet.
        egress: bool,
        /// Replies.
        reply: bool,
        /// The destination ports that are denied.
        ports: PortSet,
        /// The destination ports that pass nevertheless.
        open: PortSet,
        /// The far side.
        peer: IpNet,
    },
    /// No route to the destination.
    NoRoute {
        /// `rtb-…`.
        table: String,
        /// The subnet that uses the table.
        subnet: String,
        /// Where the packet goes.
        destination: IpNet,
        /// Replies.
        reply: bool,
    },
    /// The longest matching route leads nowhere.
    Blackhole {
        /// `rtb-…`.
        table: String,
        /// The route's destination, as printed.
        route: String,
        /// What it names: an id that is gone.
        target: String,
        /// Where the packet goes.
        destination: IpNet,
        /// Replies.
        reply: bool,
    },
    /// Only a part of the source range has a route of its own.
    RoutePart {
        /// Route table.
        table: String,
        /// The part that another route would take.
        part: IpNet,
    },
    /// The peering connection is not active.
    PeeringState {
        /// `pcx-…`.
        peering: String,
        /// `pending-acceptance`, `expired` …
        code: String,
        /// Replies.
        reply: bool,
    },
    /// The destination is not in the peer: peering carries nothing further.
    PeeringNotTransitive {
        /// `pcx-…`.
        peering: String,
        /// Where the packet goes.
        destination: IpNet,
        /// Replies.
        reply: bool,
    },
    /// The transit gateway itself is not available.
    TransitGatewayState {
        /// `tgw-…`.
        gateway: String,
        /// Its state.
        state: String,
    },
    /// The VPC has no attachment to the transit gateway, or one that is not available.
    AttachmentState {
        /// `tgw-attach-…`; the transit gateway where there is no attachment.
        attachment: String,
        /// Its state; `none` where there is no attachment.
        state: String,
        /// Replies.
        reply: bool,
    },
    /// The attachment has no subnet in the zone that the packet comes from.
    AttachmentZone {
        /// `tgw-attach-…`.
        attachment: String,
        /// The zone.
        zone: String,
        /// The subnet that the packet comes from.
        subnet: String,
        /// Replies.
        reply: bool,
    },
    /// A transit-gateway route table has no usable route.
    TransitRoute {
        /// `tgw-rtb-…`.
        table: String,
        /// Where the packet goes.
        destination: IpNet,
        /// There is a route, and it is a black hole.
        blackhole: bool,
        /// The attachment by which the packet came.
        attachment: String,
        /// Attachments of the VPC that holds the destination, to which a route would have to lead.
        towards: Vec<String>,
        /// Replies.
        reply: bool,
    },
    /// The attachment is associated with no route table.
    NoAssociation {
        /// `tgw-attach-…`.
        attachment: String,
        /// Replies.
        reply: bool,
    },
    /// The NAT gateway is not available.
    NatState {
        /// `nat-…`.
        gateway: String,
        /// Its state; `none` when it is not there.
        state: String,
    },
    /// A private NAT gateway, or one without a public address, does not lead to the internet.
    NatPrivate {
        /// `nat-…`.
        gateway: String,
    },
    /// NAT gateways translate IPv4 only, unless the destination is in `64:ff9b::/96`.
    NatFamily {
        /// `nat-…`.
        gateway: String,
    },
    /// The gateway is attached to no VPC, or to another one.
    GatewayDetached {
        /// `igw-…`, `eigw-…`, `vgw-…`.
        gateway: String,
        /// The VPC.
        vpc: String,
    },
    /// The gateway carries the other address family only.
    GatewayFamily {
        /// `eigw-…`.
        gateway: String,
    },
    /// The source has no public address, so that an internet gateway does not carry its packets.
    NoPublicAddress {
        /// The interface or subnet.
        of: String,
    },
    /// VPC Block Public Access.
    BlockPublicAccess {
        /// `block-bidirectional` or `block-ingress`.
        mode: String,
    },
    /// The far side's address is inside a range of the VPC, so that packets to it stay local.
    OverlapsClient {
        /// The VPC in which they stay.
        vpc: String,
        /// Its range.
        cidr: String,
        /// Replies.
        reply: bool,
    },
    /// From the internet only public addresses can be reached.
    PrivateFromInternet {
        /// The address that was asked for.
        address: std::net::IpAddr,
    },
    /// Every tunnel of the VPN connection is down.
    VpnDown {
        /// `vpn-…`, joined by `, `.
        connection: String,
    },
    /// The route leads out of the network in which the destination is.
    LeadsElsewhere {
        /// Where it leads.
        target: String,
        /// Where the packet should go.
        destination: IpNet,
        /// Replies.
        reply: bool,
    },
    /// The instance is not running.
    InstanceState {
        /// `i-…`.
        instance: String,
        /// Its state.
        state: String,
    },
    /// The VPC endpoint is not available.
    EndpointState {
        /// `vpce-…`.
        endpoint: String,
        /// Its state.
        state: String,
    },
    /// A route table, gateway or table sends the packet where it has been before.
    Loop {
        /// The object that is met again.
        component: String,
    },
    /// A file of the facts folder is absent, or does not speak of this object.
    Missing {
        /// What is not known, in words: `the network ACL of subnet-…`.
        what: String,
        /// The file of the facts folder that would say.
        file: String,
        /// The provider's action that would bring it.
        action: &'static str,
    },
    /// The facts cannot say by their nature.
    NotEvaluable {
        /// What, in words.
        what: String,
    },
    /// Azure: a rule of a network security group denies it, all of it or a part.
    NsgRule(NsgRule),
    /// Azure: whether a rule of a network security group matches is not known, and the next one would decide otherwise.
    NsgRuleUnclear {
        /// The rule.
        rule: NsgRule,
        /// The service tag whose ranges are not in the facts, where that is why.
        tag: Option<String>,
        /// Why, in words.
        why: String,
    },
    /// Azure: a route sends it where it does not arrive, or to an appliance of which the facts do not know what it does.
    UserRoute {
        /// The route table; `None` for a route of the provider's, or one of an interface's effective routes.
        table: Option<ArmId>,
        /// The subnet whose packets it concerns.
        subnet: ArmId,
        /// The route's name.
        route: String,
        /// Its range or service tag, as written.
        prefix: String,
        /// `None`, `VirtualAppliance`, `Internet`, `VirtualNetworkGateway` …
        next_hop: String,
        /// The appliance.
        appliance: Option<std::net::IpAddr>,
        /// That appliance, where it is an Azure Firewall of the facts.
        firewall: Option<ArmId>,
        /// Where the packet goes.
        destination: IpNet,
        /// Replies.
        reply: bool,
    },
    /// Azure: the peering of two virtual networks does not carry it.
    VirtualNetworkPeering {
        /// This side of the peering; `None` where there is none.
        peering: Option<ArmId>,
        /// The network that the packet is in.
        network: ArmId,
        /// The network that it should get to.
        remote: ArmId,
        /// Why not.
        problem: PeeringProblem,
        /// Replies.
        reply: bool,
    },
    /// Azure: a host without a public address, NAT gateway or load balancer in a subnet without default outbound access.
    NoOutboundAccess {
        /// The subnet.
        subnet: ArmId,
    },
}

/// A rule of a network security group, and which packet it decided.
#[derive(Clone, Debug, PartialEq)]
pub struct NsgRule {
    /// The group.
    pub group: ArmId,
    /// The subnet or interface that it guards.
    pub guards: ArmId,
    /// The rule's name; empty where no rule matches.
    pub name: String,
    /// Its priority.
    pub priority: Option<i64>,
    /// Rules for packets that come in.
    pub inbound: bool,
    /// Where the packet comes from; a range where it may come from several.
    pub source: IpNet,
    /// Where it goes.
    pub destination: IpNet,
    /// Destination port.
    pub port: u16,
}

impl NsgRule {
    /// Whether it is one of the provider's own, which come after the user's
    /// (<https://learn.microsoft.com/azure/virtual-network/network-security-groups-overview>).
    #[must_use]
    pub fn is_the_providers(&self) -> bool {
        self.priority.is_some_and(|priority| priority > LAST_OWN_PRIORITY)
    }
}

/// Why a peering of two virtual networks does not carry a packet
/// (<https://learn.microsoft.com/azure/virtual-network/virtual-network-manage-peering>).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeeringProblem {
    /// There is none between the two.
    Missing,
    /// There is none between the two, only one each with a third network: peering is not transitive.
    NotTransitive {
        /// The third network.
        through: ArmId,
    },
    /// It is not `Connected`: `Initiated` while the other side is missing, or `Disconnected`.
    State(String),
    /// This side does not have `allowVirtualNetworkAccess`, and no security rule names the addresses instead.
    AccessDenied,
    /// This side does not have `allowForwardedTraffic`, and the packet comes from a third network.
    ForwardedTraffic,
    /// The gateway of the one is not lent to the other: `allowGatewayTransit` there, `useRemoteGateways` here.
    GatewayTransit,
}

/// The lowest of the user's rules.
const LAST_OWN_PRIORITY: i64 = 4_096;

//! The provider's objects by id, each with what belongs to it.

use std::{collections::HashMap, net::IpAddr, sync::OnceLock};

use ipnet::IpNet;

use super::set::Family;
use crate::facts::{Cidr, ec2};

/// An index of the EC2 facts. Only references are kept; rules are laid flat once.
#[derive(Debug)]
pub struct Network<'f> {
    /// What it is an index of.
    pub facts: &'f ec2::Network,
    vpcs: HashMap<&'f str, &'f ec2::Vpc>,
    subnets: HashMap<&'f str, &'f ec2::Subnet>,
    interfaces: HashMap<&'f str, &'f ec2::NetworkInterface>,
    instances: HashMap<&'f str, &'f ec2::Instance>,
    holders: HashMap<IpAddr, Vec<Holder<'f>>>,
    /// See [`Self::tells_apart`].
    apart: OnceLock<bool>,
    subnet_tables: HashMap<&'f str, &'f ec2::RouteTable>,
    main_tables: HashMap<&'f str, &'f ec2::RouteTable>,
    acls: Vec<Acl<'f>>,
    subnet_acls: HashMap<&'f str, usize>,
    default_acls: HashMap<&'f str, usize>,
    groups: HashMap<&'f str, Group<'f>>,
    prefix_lists: HashMap<&'f str, &'f ec2::PrefixList>,
    prefix_list_entries: HashMap<&'f str, Vec<IpNet>>,
    peerings: HashMap<&'f str, &'f ec2::PeeringConnection>,
    nat_gateways: HashMap<&'f str, &'f ec2::NatGateway>,
    transit_gateways: HashMap<&'f str, &'f ec2::TransitGateway>,
    attachments: HashMap<&'f str, &'f ec2::TransitGatewayAttachment>,
    vpc_attachments: HashMap<&'f str, &'f ec2::TransitGatewayVpcAttachment>,
    transit_routes: HashMap<&'f str, &'f ec2::TransitGatewayRoutes>,
    endpoints: HashMap<&'f str, &'f ec2::VpcEndpoint>,
    interface_endpoints: HashMap<&'f str, &'f ec2::VpcEndpoint>,
}

/// Who has an address.
#[derive(Clone, Copy, Debug)]
pub struct Holder<'f> {
    /// The interface.
    pub interface: &'f ec2::NetworkInterface,
    /// Its address inside the VPC; the address itself unless that is the public one.
    pub inside: IpAddr,
    /// The public IPv4 address of that address.
    pub public: Option<IpAddr>,
}

/// A security group with those of its rules that can match TCP or that cannot be understood, one peer a rule.
#[derive(Debug)]
pub struct Group<'f> {
    /// The group.
    pub facts: &'f ec2::SecurityGroup,
    /// For packets that come; `None` when the facts leave the rules out.
    pub ingress: Option<Vec<Rule<'f>>>,
    /// For packets that go; `None` when the facts leave the rules out.
    pub egress: Option<Vec<Rule<'f>>>,
}

/// One peer of one rule of a security group.
#[derive(Debug)]
pub struct Rule<'f> {
    /// Place of the rule in the provider's list, from 1.
    pub number: usize,
    /// Whether it is for every protocol.
    pub all_protocols: bool,
    /// First port.
    pub first: u16,
    /// Last port.
    pub last: u16,
    /// The far side.
    pub peer: Peer<'f>,
    /// The far side as numbers, where it is one range.
    pub span: Option<Span>,
    /// What the user wrote beside it.
    pub description: Option<&'f str>,
    /// What of it cannot be understood, so that it is not known whether it matches.
    pub unclear: Option<&'static str>,
}

/// A range as numbers: comparing those is all that most rules ask for, thousands of times a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    family: Family,
    first: u128,
    last: u128,
}

impl Span {
    /// The first and the last address of a range.
    #[must_use]
    pub fn of(net: &IpNet) -> Self {
        match net {
            IpNet::V4(net) => Self {
                family: Family::V4,
                first: u128::from(net.network().to_bits()),
                last: u128::from(net.broadcast().to_bits()),
            },
            IpNet::V6(net) => {
                Self { family: Family::V6, first: net.network().to_bits(), last: net.broadcast().to_bits() }
            }
        }
    }

    /// Whether all of the other range is in this one.
    #[must_use]
    pub fn holds(&self, other: &Self) -> bool {
        self.family == other.family && self.first <= other.first && other.last <= self.last
    }

    /// Whether they share an address.
    #[must_use]
    pub fn touches(&self, other: &Self) -> bool {
        self.family == other.family && self.first <= other.last && other.first <= self.last
    }
}

/// The far side of a rule.
#[derive(Clone, Copy, Debug)]
pub enum Peer<'f> {
    /// A range.
    Net(&'f Cidr),
    /// A prefix list, `pl-…`.
    List(&'f str),
    /// Members of a group.
    Group(&'f ec2::GroupReference),
}

/// A network ACL with those of its entries that can match TCP or that cannot be understood, in the order of evaluation.
#[derive(Debug)]
pub struct Acl<'f> {
    /// `acl-…`.
    pub id: &'f str,
    /// For packets that come into the subnet; `None` when the facts leave the entries out.
    pub ingress: Option<Vec<Entry<'f>>>,
    /// For packets that leave it; `None` when the facts leave the entries out.
    pub egress: Option<Vec<Entry<'f>>>,
}

/// An entry of a network ACL.
#[derive(Debug)]
pub struct Entry<'f> {
    /// Its number; `None` when the facts leave it out: it may then stand before any other.
    pub number: Option<u32>,
    /// Allow or deny.
    pub allow: bool,
    /// Whether it is for every protocol.
    pub all_protocols: bool,
    /// First destination port.
    pub first: u16,
    /// Last destination port.
    pub last: u16,
    /// The far side; `None` when the entry names none, which may then be any.
    pub net: Option<&'f Cidr>,
    /// What of it cannot be understood, so that it is not known what it does with what it may match.
    pub unclear: Option<&'static str>,
}

/// A network ACL's final entry has this number.
pub const FINAL_ENTRY: u32 = 32_767;

impl<'f> Network<'f> {
    /// Whether any range of the facts holds some of these places and not the others. They are always the same places:
    /// the answer is kept.
    #[must_use]
    pub fn tells_apart(&self, places: &[Span]) -> bool {
        let splits = |range: Span| {
            let held = places.iter().filter(|place| range.holds(place)).count();
            held > 0 && held < places.len()
        };
        *self.apart.get_or_init(|| {
            let routes =
                self.facts.route_tables.iter().flatten().flat_map(|table| table.routes.iter().flat_map(|list| &list.0));
            let gateway_routes = self.facts.transit_gateway_routes.iter().flat_map(|table| &table.routes);
            let listed = self.facts.prefix_list_entries.iter().flat_map(|list| &list.entries);
            let entries = self.acls.iter().flat_map(|acl| acl.ingress.iter().chain(&acl.egress).flatten());
            let rules = self.groups.values().flat_map(|group| group.ingress.iter().chain(&group.egress).flatten());
            routes
                .filter_map(|route| route.destination_cidr_block.as_ref())
                .chain(gateway_routes.filter_map(|route| route.destination_cidr_block.as_ref()))
                .chain(listed)
                .chain(entries.filter_map(|entry| entry.net))
                .any(|cidr| splits(Span::of(&cidr.net)))
                || rules.filter_map(|rule| rule.span).any(splits)
        })
    }

    /// Makes the index.
    #[must_use]
    pub fn new(facts: &'f ec2::Network) -> Self {
        let instances = by_id(facts.instances.as_ref(), |one| &one.instance_id);
        let mut interfaces = by_id(facts.network_interfaces.as_ref(), |one| &one.network_interface_id);
        // An instance describes its interfaces, too; the description of the interface itself says more.
        for interface in facts.instances.iter().flatten().flat_map(|instance| &instance.network_interfaces) {
            interfaces.entry(interface.network_interface_id.as_str()).or_insert(interface);
        }
        let acls: Vec<Acl<'f>> = facts.network_acls.iter().flatten().map(acl).collect();
        let (mut subnet_acls, mut default_acls) = (HashMap::new(), HashMap::new());
        for (index, acl) in facts.network_acls.iter().flatten().enumerate() {
            for subnet in acl.associations.iter().filter_map(|association| association.subnet_id.as_deref()) {
                subnet_acls.insert(subnet, index);
            }
            if acl.is_default == Some(true) {
                default_acls.insert(acl.vpc_id.as_str(), index);
            }
        }
        let (mut subnet_tables, mut main_tables) = (HashMap::new(), HashMap::new());
        for table in facts.route_tables.iter().flatten() {
            for association in table.associations.iter().filter(|association| is_associated(association)) {
                if let Some(subnet) = association.subnet_id.as_deref() {
                    subnet_tables.insert(subnet, table);
                }
                if association.main == Some(true) {
                    main_tables.insert(table.vpc_id.as_str(), table);
                }
            }
        }
        let endpoints = by_id(facts.vpc_endpoints.as_ref(), |one| &one.vpc_endpoint_id);
        let interface_endpoints = endpoints
            .values()
            .flat_map(|endpoint| endpoint.network_interface_ids.iter().map(|id| (id.as_str(), *endpoint)))
            .collect();
        let holders = holders(&interfaces);
        Self {
            facts,
            vpcs: by_id(facts.vpcs.as_ref(), |one| &one.vpc_id),
            subnets: by_id(facts.subnets.as_ref(), |one| &one.subnet_id),
            interfaces,
            instances,
            holders,
            apart: OnceLock::new(),
            subnet_tables,
            main_tables,
            acls,
            subnet_acls,
            default_acls,
            groups: facts.security_groups.iter().flatten().map(|one| (one.group_id.as_str(), group(one))).collect(),
            prefix_lists: by_id(facts.prefix_lists.as_ref(), |one| &one.prefix_list_id),
            prefix_list_entries: facts
                .prefix_list_entries
                .iter()
                .map(|one| (one.prefix_list_id.as_str(), one.entries.iter().map(|entry| entry.net).collect()))
                .collect(),
            peerings: by_id(facts.peering_connections.as_ref(), |one| &one.vpc_peering_connection_id),
            nat_gateways: by_id(facts.nat_gateways.as_ref(), |one| &one.nat_gateway_id),
            transit_gateways: by_id(facts.transit_gateways.as_ref(), |one| &one.transit_gateway_id),
            attachments: by_id(facts.transit_gateway_attachments.as_ref(), |one| &one.transit_gateway_attachment_id),
            vpc_attachments: by_id(facts.transit_gateway_vpc_attachments.as_ref(), |one| {
                &one.transit_gateway_attachment_id
            }),
            transit_routes: facts
                .transit_gateway_routes
                .iter()
                .map(|one| (one.transit_gateway_route_table_id.as_str(), one))
                .collect(),
            endpoints,
            interface_endpoints,
        }
    }

    /// A VPC.
    #[must_use]
    pub fn vpc(&self, id: &str) -> Option<&'f ec2::Vpc> {
        self.vpcs.get(id).copied()
    }

    /// The ranges that are associated with a VPC, both families; empty when the facts do not hold it.
    pub fn vpc_ranges(&self, id: &str) -> impl Iterator<Item = IpNet> + use<'f> {
        self.vpc(id).into_iter().flat_map(ranges_of)
    }

    /// A subnet.
    #[must_use]
    pub fn subnet(&self, id: &str) -> Option<&'f ec2::Subnet> {
        self.subnets.get(id).copied()
    }

    /// A network interface, also one that only its instance describes.
    #[must_use]
    pub fn interface(&self, id: &str) -> Option<&'f ec2::NetworkInterface> {
        self.interfaces.get(id).copied()
    }

    /// Every network interface, in no order.
    pub fn interfaces(&self) -> impl Iterator<Item = &'f ec2::NetworkInterface> {
        self.interfaces.values().copied()
    }

    /// The interfaces of a cluster's control plane, in the order of their ids: those described as `Amazon EKS <cluster>`
    /// (<https://docs.aws.amazon.com/eks/latest/userguide/network-reqs.html>).
    #[must_use]
    pub fn control_plane_interfaces(&self, cluster: &str) -> Vec<&'f ec2::NetworkInterface> {
        let mut found: Vec<_> = self
            .interfaces()
            .filter(|interface| {
                interface.description.as_deref().and_then(|text| text.strip_prefix("Amazon EKS ")) == Some(cluster)
            })
            .collect();
        found.sort_by(|one, other| one.network_interface_id.cmp(&other.network_interface_id));
        found
    }

    /// An instance.
    #[must_use]
    pub fn instance(&self, id: &str) -> Option<&'f ec2::Instance> {
        self.instances.get(id).copied()
    }

    /// The ids of a kind, for messages about one that is not there: `i-`, `eni-`, `subnet-`.
    pub fn ids(&self, prefix: &str) -> Vec<&'f str> {
        match prefix {
            "i-" => self.instances.keys().copied().collect(),
            "eni-" => self.interfaces.keys().copied().collect(),
            _ => self.subnets.keys().copied().collect(),
        }
    }

    /// Who has this address, public or inside a VPC, in the order of interface ids.
    #[must_use]
    pub fn holders(&self, address: IpAddr) -> &[Holder<'f>] {
        self.holders.get(&address).map_or(&[], Vec::as_slice)
    }

    /// The route table that a subnet uses: its own, else the VPC's main one.
    #[must_use]
    pub fn route_table(&self, subnet: &str, vpc: &str) -> Option<&'f ec2::RouteTable> {
        self.subnet_tables.get(subnet).or_else(|| self.main_tables.get(vpc)).copied()
    }

    /// The network ACL that a subnet uses: its own, else the VPC's default one.
    #[must_use]
    pub fn network_acl(&self, subnet: &str, vpc: &str) -> Option<&Acl<'f>> {
        self.subnet_acls.get(subnet).or_else(|| self.default_acls.get(vpc)).and_then(|index| self.acls.get(*index))
    }

    /// A security group with its rules.
    #[must_use]
    pub fn group(&self, id: &str) -> Option<&Group<'f>> {
        self.groups.get(id)
    }

    /// A prefix list.
    #[must_use]
    pub fn prefix_list(&self, id: &str) -> Option<&'f ec2::PrefixList> {
        self.prefix_lists.get(id).copied()
    }

    /// The entries of a prefix list; `None` when no file says.
    #[must_use]
    pub fn prefix_list_entries(&self, id: &str) -> Option<&[IpNet]> {
        self.prefix_list_entries.get(id).map(Vec::as_slice)
    }

    /// A peering connection.
    #[must_use]
    pub fn peering(&self, id: &str) -> Option<&'f ec2::PeeringConnection> {
        self.peerings.get(id).copied()
    }

    /// The peering connections of a VPC, each with its own and the other side.
    pub fn peerings_of<'a>(
        &'a self,
        vpc: &'a str,
    ) -> impl Iterator<Item = (&'f ec2::PeeringConnection, &'f ec2::PeeringVpc)> + 'a {
        self.facts
            .peering_connections
            .iter()
            .flatten()
            .filter_map(move |peering| Some((peering, other_side(peering, vpc)?)))
    }

    /// A NAT gateway.
    #[must_use]
    pub fn nat_gateway(&self, id: &str) -> Option<&'f ec2::NatGateway> {
        self.nat_gateways.get(id).copied()
    }

    /// An internet gateway.
    #[must_use]
    pub fn internet_gateway(&self, id: &str) -> Option<&'f ec2::InternetGateway> {
        self.facts.internet_gateways.iter().flatten().find(|gateway| gateway.internet_gateway_id == id)
    }

    /// The internet gateway that is attached to a VPC.
    #[must_use]
    pub fn internet_gateway_of(&self, vpc: &str) -> Option<&'f ec2::InternetGateway> {
        self.facts.internet_gateways.iter().flatten().find(|gateway| is_attached(&gateway.attachments, vpc))
    }

    /// An egress-only internet gateway.
    #[must_use]
    pub fn egress_only_gateway(&self, id: &str) -> Option<&'f ec2::EgressOnlyInternetGateway> {
        let all = self.facts.egress_only_internet_gateways.iter().flatten();
        all.into_iter().find(|gateway| gateway.egress_only_internet_gateway_id == id)
    }

    /// A transit gateway.
    #[must_use]
    pub fn transit_gateway(&self, id: &str) -> Option<&'f ec2::TransitGateway> {
        self.transit_gateways.get(id).copied()
    }

    /// An attachment of a transit gateway, with its association.
    #[must_use]
    pub fn attachment(&self, id: &str) -> Option<&'f ec2::TransitGatewayAttachment> {
        self.attachments.get(id).copied()
    }

    /// A VPC attachment of a transit gateway, with its subnets.
    #[must_use]
    pub fn vpc_attachment(&self, id: &str) -> Option<&'f ec2::TransitGatewayVpcAttachment> {
        self.vpc_attachments.get(id).copied()
    }

    /// The attachment of a VPC to a transit gateway; an available one before others.
    #[must_use]
    pub fn vpc_attachment_of(&self, gateway: &str, vpc: &str) -> Option<&'f ec2::TransitGatewayVpcAttachment> {
        let all = self.facts.transit_gateway_vpc_attachments.iter().flatten().filter(|attachment| {
            attachment.transit_gateway_id.as_deref() == Some(gateway) && attachment.vpc_id.as_deref() == Some(vpc)
        });
        all.max_by_key(|attachment| {
            (is(attachment.state.as_deref(), "available"), &attachment.transit_gateway_attachment_id)
        })
    }

    /// The routes of a transit-gateway route table; `None` when no file says.
    #[must_use]
    pub fn transit_routes(&self, table: &str) -> Option<&'f ec2::TransitGatewayRoutes> {
        self.transit_routes.get(table).copied()
    }

    /// A virtual private gateway.
    #[must_use]
    pub fn vpn_gateway(&self, id: &str) -> Option<&'f ec2::VpnGateway> {
        self.facts.vpn_gateways.iter().flatten().find(|gateway| gateway.vpn_gateway_id == id)
    }

    /// A VPC endpoint.
    #[must_use]
    pub fn endpoint(&self, id: &str) -> Option<&'f ec2::VpcEndpoint> {
        self.endpoints.get(id).copied()
    }

    /// The VPC endpoint that an interface belongs to.
    #[must_use]
    pub fn endpoint_of_interface(&self, id: &str) -> Option<&'f ec2::VpcEndpoint> {
        self.interface_endpoints.get(id).copied()
    }
}

/// Whether a state is this word, whatever its case: providers differ in it.
#[must_use]
pub fn is(state: Option<&str>, word: &str) -> bool {
    state.is_some_and(|state| state.eq_ignore_ascii_case(word))
}

/// Whether a gateway is attached to the VPC: `available` for an internet gateway, `attached` for others.
#[must_use]
pub fn is_attached(attachments: &[ec2::GatewayAttachment], vpc: &str) -> bool {
    attachments.iter().any(|attachment| {
        attachment.vpc_id.as_deref() == Some(vpc)
            && (is(attachment.state.as_deref(), "attached") || is(attachment.state.as_deref(), "available"))
    })
}

/// The other side of a peering connection, seen from a VPC; `None` when that VPC is on neither.
#[must_use]
pub fn other_side<'f>(peering: &'f ec2::PeeringConnection, vpc: &str) -> Option<&'f ec2::PeeringVpc> {
    let (one, other) = (peering.requester_vpc_info.as_ref(), peering.accepter_vpc_info.as_ref());
    let is_vpc = |side: Option<&ec2::PeeringVpc>| side.and_then(|side| side.vpc_id.as_deref()) == Some(vpc);
    if is_vpc(one) { other } else { one.filter(|_| is_vpc(other)) }
}

/// The ranges of one side of a peering connection.
#[must_use]
pub fn peer_ranges(side: &ec2::PeeringVpc) -> Vec<IpNet> {
    let sets = side.cidr_block_set.iter().filter_map(|one| one.cidr_block.as_ref());
    let v6 = side.ipv6_cidr_block_set.iter().filter_map(|one| one.ipv6_cidr_block.as_ref());
    side.cidr_block.iter().chain(sets).chain(v6).map(|cidr| cidr.net).collect()
}

/// The ranges of a subnet, IPv4 first.
#[must_use]
pub fn subnet_ranges(subnet: &ec2::Subnet) -> Vec<IpNet> {
    let v6 = subnet.ipv6_cidr_block_association_set.iter().filter(|one| counts(one.ipv6_cidr_block_state.as_ref()));
    subnet.cidr_block.iter().chain(v6.filter_map(|one| one.ipv6_cidr_block.as_ref())).map(|cidr| cidr.net).collect()
}

fn ranges_of(vpc: &ec2::Vpc) -> Vec<IpNet> {
    let v4 = vpc.cidr_block_association_set.iter().filter(|one| counts(one.cidr_block_state.as_ref()));
    let v6 = vpc.ipv6_cidr_block_association_set.iter().filter(|one| counts(one.ipv6_cidr_block_state.as_ref()));
    let mut ranges: Vec<IpNet> = vpc
        .cidr_block
        .iter()
        .chain(v4.filter_map(|one| one.cidr_block.as_ref()))
        .chain(v6.filter_map(|one| one.ipv6_cidr_block.as_ref()))
        .map(|cidr| cidr.net)
        .collect();
    ranges.sort_unstable();
    ranges.dedup();
    ranges
}

/// Whether an association is in effect; one without a state is.
fn counts(state: Option<&ec2::StateText>) -> bool {
    state.and_then(|state| state.state.as_deref()).is_none_or(|state| state.eq_ignore_ascii_case("associated"))
}

fn is_associated(association: &ec2::RouteTableAssociation) -> bool {
    counts(association.association_state.as_ref())
}

fn by_id<T>(all: Option<&Vec<T>>, id: impl Fn(&T) -> &String) -> HashMap<&str, &T> {
    all.into_iter().flatten().map(|one| (id(one).as_str(), one)).collect()
}

fn holders<'f>(interfaces: &HashMap<&'f str, &'f ec2::NetworkInterface>) -> HashMap<IpAddr, Vec<Holder<'f>>> {
    let mut holders: HashMap<IpAddr, Vec<Holder<'f>>> = HashMap::with_capacity(interfaces.len() * 2);
    let mut add = |address: IpAddr, holder: Holder<'f>| {
        let all = holders.entry(address).or_default();
        // One interface after the other: if it is there already, it is the last.
        let last = all.last().map(|other| other.interface.network_interface_id.as_str());
        if last != Some(holder.interface.network_interface_id.as_str()) {
            all.push(holder);
        }
    };
    for interface in interfaces.values().copied() {
        for (inside, public) in interface_addresses(interface) {
            let holder = Holder { interface, inside, public };
            add(inside, holder);
            if let Some(public) = public {
                add(public, holder);
            }
        }
    }
    for all in holders.values_mut() {
        all.sort_by(|one, other| one.interface.network_interface_id.cmp(&other.interface.network_interface_id));
    }
    holders
}

/// The addresses of an interface inside its VPC, the primary one first, each with its public IPv4 address.
#[must_use]
pub fn interface_addresses(interface: &ec2::NetworkInterface) -> Vec<(IpAddr, Option<IpAddr>)> {
    let public = |association: Option<&ec2::PublicAssociation>| association.and_then(|one| one.public_ip);
    let mut found: Vec<(IpAddr, Option<IpAddr>)> = Vec::new();
    let mut places: HashMap<IpAddr, usize> = HashMap::new();
    if let Some(primary) = interface.private_ip_address {
        places.insert(primary, 0);
        found.push((primary, public(interface.association.as_ref())));
    }
    for one in &interface.private_ip_addresses {
        let Some(address) = one.private_ip_address else { continue };
        let place = *places.entry(address).or_insert(found.len());
        match found.get_mut(place) {
            Some((_, known)) => *known = known.or(public(one.association.as_ref())),
            None => found.push((address, public(one.association.as_ref()))),
        }
    }
    found.extend(interface.ipv6_addresses.iter().filter_map(|one| one.ipv6_address).map(|address| (address, None)));
    found
}

fn group(facts: &ec2::SecurityGroup) -> Group<'_> {
    Group {
        facts,
        ingress: facts.ip_permissions.as_ref().map(|list| rules(list)),
        egress: facts.ip_permissions_egress.as_ref().map(|list| rules(list)),
    }
}

/// The rules that can match TCP or cannot be understood, each peer on its own.
fn rules(permissions: &[ec2::Permission]) -> Vec<Rule<'_>> {
    let mut rules = Vec::with_capacity(permissions.len());
    for (index, permission) in permissions.iter().enumerate() {
        let ports = Ports::of(permission.ip_protocol.as_deref(), permission.from_port, permission.to_port);
        let (all_protocols, first, last, unclear) = match ports {
            Ports::All => (true, 0, u16::MAX, None),
            Ports::Tcp(first, last) => (false, first, last, None),
            Ports::Other => continue,
            Ports::Unclear(what) => (false, 0, u16::MAX, Some(what)),
        };
        let mut add = |peer, description: Option<_>| {
            let span = match peer {
                Peer::Net(cidr) => Some(Span::of(&cidr.net)),
                Peer::List(_) | Peer::Group(_) => None,
            };
            rules.push(Rule { number: index + 1, all_protocols, first, last, peer, span, description, unclear });
        };
        for range in &permission.ip_ranges {
            if let Some(cidr) = &range.cidr_ip {
                add(Peer::Net(cidr), range.description.as_deref());
            }
        }
        for range in &permission.ipv6_ranges {
            if let Some(cidr) = &range.cidr_ipv6 {
                add(Peer::Net(cidr), range.description.as_deref());
            }
        }
        for list in &permission.prefix_list_ids {
            add(Peer::List(&list.prefix_list_id), None);
        }
        for pair in &permission.user_id_group_pairs {
            add(Peer::Group(pair), None);
        }
    }
    rules
}

/// What a rule's protocol and ports mean to TCP.
enum Ports {
    /// Every protocol, whatever ports are written beside it
    /// (<https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_IpPermission.html>).
    All,
    /// TCP, from the first to the last port.
    Tcp(u16, u16),
    /// Another protocol.
    Other,
    /// What cannot be understood.
    Unclear(&'static str),
}

impl Ports {
    fn of(protocol: Option<&str>, from: Option<i64>, to: Option<i64>) -> Self {
        let Some(protocol) = protocol else { return Self::Unclear("it names no protocol") };
        let is = |word: &str| protocol.eq_ignore_ascii_case(word);
        if protocol == "-1" || is("all") {
            return Self::All;
        }
        if protocol != "6" && !is("tcp") {
            let known = protocol.parse::<u8>().is_ok() || OTHER_PROTOCOLS.iter().any(|word| is(word));
            return if known { Self::Other } else { Self::Unclear("its protocol is not one that is known") };
        }
        let from = from.filter(|port| *port != -1).unwrap_or(0).max(0);
        let to = to.filter(|port| *port != -1).unwrap_or_else(|| i64::from(u16::MAX)).min(i64::from(u16::MAX));
        match (u16::try_from(from), u16::try_from(to)) {
            (Ok(first), Ok(last)) if first <= last => Self::Tcp(first, last),
            _ => Self::Unclear("its first port is behind its last"),
        }
    }
}

fn acl(facts: &ec2::NetworkAcl) -> Acl<'_> {
    let entries = |egress: bool| {
        let all = facts.entries.as_ref()?;
        // An entry that does not say for which direction it is may be for either.
        let of_direction = all.iter().filter(|entry| entry.egress.is_none_or(|known| known == egress));
        let mut entries: Vec<Entry<'_>> = of_direction.filter_map(acl_entry).collect();
        entries.sort_by_key(|entry| entry.number);
        Some(entries)
    };
    Acl { id: &facts.network_acl_id, ingress: entries(false), egress: entries(true) }
}

/// `None` for an entry of another protocol.
fn acl_entry(entry: &ec2::NetworkAclEntry) -> Option<Entry<'_>> {
    let (from, to) = entry.port_range.as_ref().map_or((None, None), |range| (range.from, range.to));
    let (all_protocols, first, last, mut unclear) = match Ports::of(entry.protocol.as_deref(), from, to) {
        Ports::All => (true, 0, u16::MAX, None),
        Ports::Tcp(first, last) => (false, first, last, None),
        Ports::Other => return None,
        Ports::Unclear(what) => (false, 0, u16::MAX, Some(what)),
    };
    let net = entry.cidr_block.as_ref().or(entry.ipv6_cidr_block.as_ref());
    let action = entry.rule_action.as_deref();
    let allow = is(action, "allow");
    let doubts = [
        (net.is_none(), "it names no range"),
        (!allow && !is(action, "deny"), "its action is neither allow nor deny"),
        (entry.rule_number.is_none(), "it has no number"),
        (entry.egress.is_none(), "it does not say for which direction it is"),
    ];
    for (_, what) in doubts.into_iter().filter(|(doubt, _)| *doubt) {
        unclear.get_or_insert(what);
    }
    Some(Entry { number: entry.rule_number, allow, all_protocols, first, last, net, unclear })
}

/// Names of protocols that stand beside numbers; with these, a rule does not speak of TCP.
const OTHER_PROTOCOLS: [&str; 6] = ["udp", "icmp", "icmpv6", "ipv6-icmp", "esp", "ah"];

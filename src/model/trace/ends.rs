//! What the two ends of a path are: an interface, a host of which less is known, or something outside.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{HopKind, Point, TraceError};
use crate::{
    facts::ec2,
    model::{
        network::{Holder, Network, interface_addresses, is, other_side, subnet_ranges},
        set::Family,
    },
};

/// One end of a path.
#[derive(Clone, Debug)]
pub(super) enum End<'f> {
    Inside(Inside<'f>),
    Outside(IpAddr),
}

impl<'f> End<'f> {
    pub(super) fn inside(&self) -> Option<&Inside<'f>> {
        match self {
            Self::Inside(inside) => Some(inside),
            Self::Outside(_) => None,
        }
    }
}

/// An end inside a VPC of the facts.
#[derive(Clone, Debug)]
pub(super) struct Inside<'f> {
    /// Interface, subnet or address, for messages.
    pub(super) label: String,
    pub(super) kind: HopKind,
    pub(super) vpc: &'f str,
    /// Empty when the facts do not say.
    pub(super) subnet: &'f str,
    /// Its addresses inside the VPC: one, or the range of a subnet. All of one family.
    pub(super) nets: Vec<IpNet>,
    pub(super) public: Public,
    pub(super) groups: Groups<'f>,
    pub(super) interface: Option<&'f ec2::NetworkInterface>,
    pub(super) instance: Option<&'f ec2::Instance>,
}

/// The public address of an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Public {
    Is(IpAddr),
    None,
    /// The facts do not say.
    Unknown,
}

/// The security groups of an end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Groups<'f> {
    Known(Vec<&'f str>),
    /// The facts do not say.
    Unknown,
    /// Not part of the question, or the thing has none by its nature.
    None,
}

/// The two ends, and the address that is dialled.
pub(super) struct Ends<'f> {
    pub(super) from: End<'f>,
    pub(super) to: End<'f>,
    pub(super) dialled: IpAddr,
}

/// Finds both ends; an address that several VPCs hold is decided by the other end where that is possible.
pub(super) fn resolve<'f>(network: &Network<'f>, from: &Point, to: &Point) -> Result<Ends<'f>, TraceError> {
    if let Point::Subnet(id) = to {
        return Err(TraceError::SubnetAsDestination(id.clone()));
    }
    let (sources, destinations) = (candidates(network, from)?, candidates(network, to)?);
    let (source, destination) = choose(network, (from, sources), (to, destinations))?;
    if let (Candidate::Outside(_), Candidate::Outside(_)) = (&source, &destination) {
        return Err(TraceError::NothingInside { from: from.clone(), to: to.clone() });
    }
    let wanted = |point: &Point| if let Point::Address(address) = point { Some(Family::of(*address)) } else { None };
    let has = |family: &Family| source.has(*family) && destination.has(*family);
    let family = match (wanted(from), wanted(to)) {
        (Some(one), Some(other)) if one != other => None,
        (Some(family), _) | (_, Some(family)) => Some(family).filter(has),
        (None, None) => [Family::V4, Family::V6].into_iter().find(has),
    };
    let Some(family) = family else {
        return Err(TraceError::NoCommonFamily { from: from.clone(), to: to.clone() });
    };
    let from = source.end(network, family);
    let to_end = destination.end(network, family);
    // From outside, the public address of an interface is what is dialled.
    let dialled = match (to, &to_end, &from) {
        (Point::Address(address), ..) | (_, End::Outside(address), _) => *address,
        (_, End::Inside(inside), End::Outside(source)) if !is_private(*source) => match inside.public {
            Public::Is(public) => public,
            Public::None | Public::Unknown => first(inside),
        },
        (_, End::Inside(inside), _) => first(inside),
    };
    Ok(Ends { from, to: to_end, dialled })
}

fn first(inside: &Inside<'_>) -> IpAddr {
    inside.nets.first().map_or(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), IpNet::addr)
}

/// Whether an address is one that the internet does not carry: RFC 1918, RFC 6598, unique local, link-local, loopback.
pub(in crate::model) fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let octets = address.octets();
            address.is_private()
                || address.is_link_local()
                || address.is_loopback()
                || (octets[0] == 100 && (64..128).contains(&octets[1]))
        }
        IpAddr::V6(address) => address.is_unique_local() || address.is_unicast_link_local() || address.is_loopback(),
    }
}

/// A thing that a point may mean, before its family is decided.
#[derive(Clone, Debug)]
enum Candidate<'f> {
    Interface {
        interface: &'f ec2::NetworkInterface,
        /// The address that was asked for, and its public one.
        chosen: Option<(IpAddr, Option<IpAddr>)>,
    },
    /// An instance whose interfaces no file describes.
    Instance(&'f ec2::Instance),
    Subnet(&'f ec2::Subnet),
    /// An address in a VPC that no interface of the facts has.
    Host {
        address: IpAddr,
        vpc: &'f str,
        subnet: Option<&'f ec2::Subnet>,
    },
    Outside(IpAddr),
}

impl<'f> Candidate<'f> {
    fn vpc(&self, network: &Network<'f>) -> Option<&'f str> {
        match self {
            Self::Interface { interface, .. } => Some(vpc_of_interface(network, interface)),
            Self::Instance(instance) => instance.vpc_id.as_deref(),
            Self::Subnet(subnet) => Some(&subnet.vpc_id),
            Self::Host { vpc, .. } => Some(vpc),
            Self::Outside(_) => None,
        }
    }

    fn has(&self, family: Family) -> bool {
        match self {
            Self::Interface { interface, chosen } => match chosen {
                Some((address, _)) => Family::of(*address) == family,
                None => interface_addresses(interface).iter().any(|(address, _)| Family::of(*address) == family),
            },
            Self::Instance(instance) => {
                instance.private_ip_address.is_some_and(|address| Family::of(address) == family)
            }
            Self::Subnet(subnet) => subnet_ranges(subnet).iter().any(|net| Family::of_net(net) == family),
            Self::Host { address, .. } | Self::Outside(address) => Family::of(*address) == family,
        }
    }

    fn end(&self, network: &Network<'f>, family: Family) -> End<'f> {
        match self {
            Self::Interface { interface, chosen } => End::Inside(interface_end(network, interface, *chosen, family)),
            Self::Instance(instance) => End::Inside(instance_end(instance)),
            Self::Subnet(subnet) => End::Inside(Inside {
                label: subnet.subnet_id.clone(),
                kind: HopKind::Subnet,
                vpc: &subnet.vpc_id,
                subnet: &subnet.subnet_id,
                nets: subnet_ranges(subnet).into_iter().filter(|net| Family::of_net(net) == family).collect(),
                public: if family == Family::V4 { Public::Unknown } else { Public::None },
                groups: Groups::None,
                interface: None,
                instance: None,
            }),
            Self::Host { address, vpc, subnet } => End::Inside(Inside {
                label: address.to_string(),
                kind: HopKind::NetworkInterface,
                vpc,
                subnet: subnet.map_or("", |subnet| subnet.subnet_id.as_str()),
                nets: vec![IpNet::from(*address)],
                public: if address.is_ipv4() { Public::Unknown } else { Public::None },
                groups: Groups::Unknown,
                interface: None,
                instance: None,
            }),
            Self::Outside(address) => End::Outside(*address),
        }
    }

    /// Where it is, for a message.
    fn place(&self, network: &Network<'f>) -> String {
        let what = match self {
            Self::Interface { interface, .. } => interface.network_interface_id.clone(),
            Self::Instance(instance) => instance.instance_id.clone(),
            Self::Subnet(subnet) | Self::Host { subnet: Some(subnet), .. } => subnet.subnet_id.clone(),
            Self::Host { subnet: None, .. } => "a range".to_owned(),
            Self::Outside(_) => return "outside".to_owned(),
        };
        format!("{what} in {}", self.vpc(network).unwrap_or_default())
    }
}

fn interface_end<'f>(
    network: &Network<'f>,
    interface: &'f ec2::NetworkInterface,
    chosen: Option<(IpAddr, Option<IpAddr>)>,
    family: Family,
) -> Inside<'f> {
    let address =
        chosen.or_else(|| interface_addresses(interface).into_iter().find(|(one, _)| Family::of(*one) == family));
    let instance = interface.attachment.as_ref().and_then(|attachment| attachment.instance_id.as_deref());
    let subnet = interface.subnet_id.as_deref().unwrap_or_default();
    let groups: Vec<&str> = interface.groups.iter().filter_map(|group| group.group_id.as_deref()).collect();
    // These take packets without asking a group, unless they have one.
    let without = ["nat_gateway", "transit_gateway", "network_load_balancer", "gateway_load_balancer"];
    let groups = if !groups.is_empty() {
        Groups::Known(groups)
    } else if without.iter().any(|kind| is(interface.interface_type.as_deref(), kind)) {
        Groups::None
    } else {
        Groups::Unknown
    };
    Inside {
        label: interface.network_interface_id.clone(),
        kind: HopKind::NetworkInterface,
        vpc: vpc_of_interface(network, interface),
        subnet,
        nets: address.iter().map(|(address, _)| IpNet::from(*address)).collect(),
        public: address.and_then(|(_, public)| public).map_or(Public::None, Public::Is),
        groups,
        interface: Some(interface),
        instance: instance.and_then(|id| network.instance(id)),
    }
}

fn instance_end(instance: &ec2::Instance) -> Inside<'_> {
    let groups: Vec<&str> = instance.security_groups.iter().filter_map(|group| group.group_id.as_deref()).collect();
    Inside {
        label: instance.instance_id.clone(),
        kind: HopKind::Instance,
        vpc: instance.vpc_id.as_deref().unwrap_or_default(),
        subnet: instance.subnet_id.as_deref().unwrap_or_default(),
        nets: instance.private_ip_address.into_iter().map(IpNet::from).collect(),
        public: instance.public_ip_address.map_or(Public::None, Public::Is),
        groups: if groups.is_empty() { Groups::Unknown } else { Groups::Known(groups) },
        interface: None,
        instance: Some(instance),
    }
}

fn vpc_of_interface<'f>(network: &Network<'f>, interface: &'f ec2::NetworkInterface) -> &'f str {
    let subnet = || interface.subnet_id.as_deref().and_then(|id| network.subnet(id));
    interface.vpc_id.as_deref().or_else(|| subnet().map(|subnet| subnet.vpc_id.as_str())).unwrap_or_default()
}

fn candidates<'f>(network: &Network<'f>, point: &Point) -> Result<Vec<Candidate<'f>>, TraceError> {
    let facts = network.facts;
    let not_found =
        |what, id: &str, prefix| TraceError::NotFound { what, id: id.to_owned(), near: near(network, id, prefix) };
    let absent = |id: &str, file| TraceError::NoFile { id: id.to_owned(), file };
    Ok(match point {
        Point::Interface(id) => match network.interface(id) {
            Some(interface) => vec![Candidate::Interface { interface, chosen: None }],
            None if facts.network_interfaces.is_none() && facts.instances.is_none() => {
                return Err(absent(id, "ec2/describe-network-interfaces.json"));
            }
            None => return Err(not_found("network interface", id, "eni-")),
        },
        Point::Instance(id) => match network.instance(id) {
            Some(instance) => vec![instance_candidate(network, instance)],
            None if facts.instances.is_none() => match interface_of_instance(network, id) {
                Some(interface) => vec![Candidate::Interface { interface, chosen: None }],
                None => return Err(absent(id, "ec2/describe-instances.json")),
            },
            None => return Err(not_found("instance", id, "i-")),
        },
        Point::Subnet(id) => match network.subnet(id) {
            Some(subnet) => vec![Candidate::Subnet(subnet)],
            None if facts.subnets.is_none() => return Err(absent(id, "ec2/describe-subnets.json")),
            None => return Err(not_found("subnet", id, "subnet-")),
        },
        Point::Address(address) => address_candidates(network, *address),
        Point::Resource(_) => return Err(TraceError::OtherProvider(point.clone())),
    })
}

fn instance_candidate<'f>(network: &Network<'f>, instance: &'f ec2::Instance) -> Candidate<'f> {
    let described = instance.network_interfaces.iter().min_by_key(|interface| {
        interface.attachment.as_ref().and_then(|attachment| attachment.device_index).unwrap_or(i64::MAX)
    });
    let described = described.and_then(|interface| network.interface(&interface.network_interface_id));
    match described.or_else(|| interface_of_instance(network, &instance.instance_id)) {
        Some(interface) => Candidate::Interface { interface, chosen: None },
        None => Candidate::Instance(instance),
    }
}

/// The primary interface of an instance, by what the interfaces say.
fn interface_of_instance<'f>(network: &Network<'f>, id: &str) -> Option<&'f ec2::NetworkInterface> {
    let index = |interface: &&ec2::NetworkInterface| {
        let attachment = interface.attachment.as_ref()?;
        (attachment.instance_id.as_deref() == Some(id)).then(|| attachment.device_index.unwrap_or(i64::MAX))
    };
    network.interfaces().filter(|interface| index(interface).is_some()).min_by_key(|interface| index(interface))
}

fn address_candidates<'f>(network: &Network<'f>, address: IpAddr) -> Vec<Candidate<'f>> {
    let mut found: Vec<Candidate<'f>> = network
        .holders(address)
        .iter()
        .map(|Holder { interface, inside, public }| Candidate::Interface {
            interface,
            chosen: Some((*inside, *public)),
        })
        .collect();
    let held: Vec<&str> = found.iter().filter_map(|one| one.vpc(network)).collect();
    for instance in network.facts.instances.iter().flatten() {
        let known = |one: &Candidate<'_>| matches!(one, Candidate::Interface { .. });
        let has = instance.private_ip_address == Some(address) || instance.public_ip_address == Some(address);
        if has && !found.iter().any(known) {
            found.push(Candidate::Instance(instance));
        }
    }
    let held: Vec<&str> = held.into_iter().chain(found.iter().filter_map(|one| one.vpc(network))).collect();
    let mut nowhere = None;
    for vpc in network.facts.vpcs.iter().flatten().map(|vpc| vpc.vpc_id.as_str()) {
        if held.contains(&vpc) || !network.vpc_ranges(vpc).any(|range| range.contains(&address)) {
            continue;
        }
        let subnet =
            network.facts.subnets.iter().flatten().find(|subnet| {
                subnet.vpc_id == vpc && subnet_ranges(subnet).iter().any(|range| range.contains(&address))
            });
        let host = Candidate::Host { address, vpc, subnet };
        // A range that no subnet uses holds nobody, unless the subnets are not known.
        if subnet.is_some() { found.push(host) } else { nowhere = nowhere.or(Some(host)) }
    }
    // Without a description of the VPCs, their subnets still say where an address is.
    if network.facts.vpcs.is_none() {
        for subnet in network.facts.subnets.iter().flatten() {
            let vpc = subnet.vpc_id.as_str();
            let known = found.iter().any(|one| one.vpc(network) == Some(vpc));
            if !known && subnet_ranges(subnet).iter().any(|range| range.contains(&address)) {
                found.push(Candidate::Host { address, vpc, subnet: Some(subnet) });
            }
        }
    }
    if found.is_empty() {
        found.push(nowhere.unwrap_or(Candidate::Outside(address)));
    }
    found
}

/// Of what may be meant at each end, the pair with the highest rank.
///
/// # Errors
///
/// Several places have an address, and nothing tells which is meant; or nothing may be meant.
pub(in crate::model) fn best_pair<End: Clone>(
    (from, sources): (&Point, &[End]),
    (to, destinations): (&Point, &[End]),
    rank: impl Fn(&End, &End) -> i32,
    place: impl Fn(&End) -> String,
) -> Result<(End, End), TraceError> {
    let mut best: Vec<(i32, usize, usize)> = Vec::new();
    for (i, source) in sources.iter().enumerate() {
        for (j, destination) in destinations.iter().enumerate() {
            let score = rank(source, destination);
            match best.first() {
                Some((highest, ..)) if *highest > score => {}
                Some((highest, ..)) if *highest == score => best.push((score, i, j)),
                _ => best = vec![(score, i, j)],
            }
        }
    }
    let differ = |pick: fn(&(i32, usize, usize)) -> usize| best.iter().any(|one| pick(one) != pick(&best[0]));
    let ambiguous = |point: &Point, all: &[End]| match point {
        Point::Address(address) => Some(TraceError::Ambiguous {
            address: *address,
            places: all.iter().take(MOST_PLACES).map(&place).collect(),
        }),
        _ => None,
    };
    if differ(|one| one.1)
        && let Some(error) = ambiguous(from, sources)
    {
        return Err(error);
    }
    if differ(|one| one.2)
        && let Some(error) = ambiguous(to, destinations)
    {
        return Err(error);
    }
    match best.first().and_then(|(_, i, j)| Some((sources.get(*i)?.clone(), destinations.get(*j)?.clone()))) {
        Some(pair) => Ok(pair),
        None => Err(TraceError::NothingInside { from: from.clone(), to: to.clone() }),
    }
}

/// The at most three names that resemble this one.
pub(in crate::model) fn similar<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut rated: Vec<(f64, &str)> = known
        .into_iter()
        .map(|other| (strsim::jaro_winkler(name, other), other))
        .filter(|(similarity, _)| *similarity >= SIMILAR)
        .collect();
    rated.sort_by(|(a, x), (b, y)| b.total_cmp(a).then(x.cmp(y)));
    rated.dedup();
    rated.into_iter().take(3).map(|(_, other)| other.to_owned()).collect()
}

/// The pair that fits best: both in one VPC, then in connected ones; an interface before a mere range.
fn choose<'f>(
    network: &Network<'f>,
    (from, sources): (&Point, Vec<Candidate<'f>>),
    (to, destinations): (&Point, Vec<Candidate<'f>>),
) -> Result<(Candidate<'f>, Candidate<'f>), TraceError> {
    let rank = |one: &Candidate<'f>, other: &Candidate<'f>| {
        let near = match (one.vpc(network), other.vpc(network)) {
            (Some(one), Some(other)) if one == other => 8,
            (Some(one), Some(other)) if connected(network, one, other) => 4,
            _ => 0,
        };
        let held = |one: &Candidate<'f>| i32::from(!matches!(one, Candidate::Host { .. }));
        near + held(one) + held(other)
    };
    best_pair((from, &sources), (to, &destinations), rank, |one| one.place(network))
}

/// Whether two VPCs are peers or on one transit gateway.
fn connected(network: &Network<'_>, one: &str, other: &str) -> bool {
    let peered = network
        .facts
        .peering_connections
        .iter()
        .flatten()
        .any(|peering| other_side(peering, one).and_then(|side| side.vpc_id.as_deref()) == Some(other));
    let attachments = || network.facts.transit_gateway_vpc_attachments.iter().flatten();
    peered
        || attachments().filter(|attachment| attachment.vpc_id.as_deref() == Some(one)).any(|attachment| {
            attachments().any(|another| {
                another.vpc_id.as_deref() == Some(other) && another.transit_gateway_id == attachment.transit_gateway_id
            })
        })
}

fn near(network: &Network<'_>, id: &str, prefix: &str) -> Vec<String> {
    similar(id, network.ids(prefix))
}

/// How many places a message names.
pub(in crate::model) const MOST_PLACES: usize = 5;
const SIMILAR: f64 = 0.9;

//! What the two ends of a path are in Azure: an interface, a private endpoint, a load balancer, a host of which less is
//! known, or something outside.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{Network, PublicOf, contains};
use crate::{
    facts::azure::{ArmId, IpConfiguration, LoadBalancer, NetworkInterface, PrivateEndpoint},
    model::{
        set::Family,
        trace::{HopKind, MOST_PLACES, Point, TraceError, best_pair, is_private, similar},
    },
};

/// One end of a path.
#[derive(Clone, Debug)]
pub(super) enum End<'f> {
    Inside(Inside<'f>),
    Outside(IpAddr),
}

/// An end inside a virtual network of the facts.
#[derive(Clone, Debug)]
pub(super) struct Inside<'f> {
    /// Interface, subnet or address, for people.
    pub(super) label: String,
    pub(super) kind: HopKind,
    pub(super) network: usize,
    /// `None` when no subnet of the facts holds the address.
    pub(super) subnet: Option<usize>,
    /// Its addresses: one, or the range of a subnet. All of one family once both ends are chosen.
    pub(super) nets: Vec<IpNet>,
    pub(super) guard: Guard<'f>,
    pub(super) public: PublicOf,
    pub(super) configuration: Option<&'f IpConfiguration>,
}

/// What stands between an end and its subnet.
#[derive(Clone, Copy, Debug)]
pub(super) enum Guard<'f> {
    /// An interface of the facts, with or without a group of its own.
    Interface(&'f NetworkInterface),
    /// A private endpoint, described or not: its subnet's group counts only if the subnet says so.
    Endpoint(&'f ArmId, Option<&'f PrivateEndpoint>),
    /// The API server of a VNet-integrated cluster: its load balancer, whose members listen on a port of their own.
    ApiServer,
    /// Another load balancer or a firewall: what stands behind it is not told.
    FrontEnd,
    /// Any host of a subnet: what is its own is not part of the question.
    NotAsked,
    /// A host that no interface of the facts describes.
    Unknown,
}

/// The two ends, and the address that is dialled.
#[derive(Debug)]
pub(super) struct Ends<'f> {
    pub(super) from: End<'f>,
    pub(super) to: End<'f>,
    pub(super) dialled: IpAddr,
}

/// Finds both ends; an address that several networks hold is decided by the other end where that is possible.
pub(super) fn resolve<'f>(network: &Network<'f>, from: &Point, to: &Point) -> Result<Ends<'f>, TraceError> {
    if network.vnets().next().is_none() {
        return Err(TraceError::NoFile { id: from.to_string(), file: "network/virtual-networks.json" });
    }
    let sources = candidates(network, from)?;
    let destinations = candidates(network, to)?;
    if let [End::Inside(Inside { guard: Guard::NotAsked, .. })] = destinations.as_slice() {
        return Err(TraceError::SubnetAsDestination(to.to_string()));
    }
    let (from_end, to_end) = choose(network, (from, sources), (to, destinations))?;
    if let (End::Outside(_), End::Outside(_)) = (&from_end, &to_end) {
        return Err(TraceError::NothingInside { from: from.clone(), to: to.clone() });
    }
    let wanted = |point: &Point| if let Point::Address(address) = point { Some(Family::of(*address)) } else { None };
    let fits = |family: &Family| {
        let has = |end: &End<'_>| match end {
            End::Inside(inside) => inside.nets.iter().any(|net| Family::of(net.addr()) == *family),
            End::Outside(address) => Family::of(*address) == *family,
        };
        let asked = |point| wanted(point).is_none_or(|asked| asked == *family);
        has(&from_end) && has(&to_end) && asked(from) && asked(to)
    };
    let Some(family) = [Family::V4, Family::V6].into_iter().find(fits) else {
        return Err(TraceError::NoCommonFamily { from: from.clone(), to: to.clone() });
    };
    let narrowed = |end| match end {
        End::Inside(mut inside) => {
            inside.nets.retain(|net| Family::of(net.addr()) == family);
            // Of an interface, its first address; of a subnet, its whole range.
            if !matches!(inside.guard, Guard::NotAsked) {
                inside.nets.truncate(1);
            }
            End::Inside(inside)
        }
        outside @ End::Outside(_) => outside,
    };
    let (from_end, to_end) = (narrowed(from_end), narrowed(to_end));
    let dialled = match (to, &from_end, &to_end) {
        (Point::Address(address), ..) | (_, _, End::Outside(address)) => *address,
        // From the internet, by the public address where there is one.
        (_, End::Outside(source), End::Inside(inside)) if !is_private(*source) => match inside.public {
            PublicOf::Is(public) => public,
            PublicOf::None | PublicOf::Unknown => first(inside),
        },
        (_, _, End::Inside(inside)) => first(inside),
    };
    Ok(Ends { from: from_end, to: to_end, dialled })
}

/// The interface that a point means.
pub(super) fn interface_of<'f>(
    network: &Network<'f>,
    point: &Point,
) -> Result<Option<&'f NetworkInterface>, TraceError> {
    let all = candidates(network, point)?;
    Ok(match all.as_slice() {
        [End::Inside(Inside { guard: Guard::Interface(interface), .. })] => Some(interface),
        _ => None,
    })
}

/// The network that a point is in, where that is one.
pub(super) fn network_of_point(network: &Network<'_>, point: &Point) -> Option<usize> {
    match candidates(network, point).ok()?.as_slice() {
        [only] => network_of(only),
        _ => None,
    }
}

pub(super) fn first(inside: &Inside<'_>) -> IpAddr {
    inside.nets.first().map_or(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), IpNet::addr)
}

/// `network/subnet`.
pub(super) fn subnet_label(network: &Network<'_>, subnet: usize) -> String {
    network.place(subnet).map_or_else(String::new, |place| {
        let home = network.vnet(place.network).map(|one| one.id.name()).unwrap_or_default();
        format!("{home}/{}", place.facts.id.name())
    })
}

fn candidates<'f>(network: &Network<'f>, point: &Point) -> Result<Vec<End<'f>>, TraceError> {
    match point {
        Point::Address(address) => Ok(by_address(network, *address)),
        Point::Resource(id) if id.as_str().starts_with('/') => by_id(network, id).map(|end| vec![end]),
        Point::Resource(id) => by_name(network, id.as_str()).map(|end| vec![end]),
        // Azure's names may look like another provider's ids.
        Point::Interface(name) | Point::Instance(name) | Point::Subnet(name) => {
            by_name(network, name).map(|end| vec![end])
        }
    }
}

fn by_id<'f>(network: &Network<'f>, id: &ArmId) -> Result<End<'f>, TraceError> {
    let all = interfaces(network);
    let of_machine = |one: &&NetworkInterface| {
        one.virtual_machine.as_ref().is_some_and(|machine| machine.id == *id || is_instance_of(&machine.id, id))
    };
    if let Some(interface) = network.interface(id).or_else(|| all.iter().find(of_machine)) {
        return of_interface(network, interface, None).ok_or_else(|| no_place(id.as_str(), "virtual-networks"));
    }
    let undescribed = || network.endpoint_addresses().iter().map(|one| one.endpoint).find(|one| *one == id);
    if let Some(endpoint) = network.endpoint(id).map(|one| &one.id).or_else(undescribed) {
        return of_endpoint(network, endpoint).ok_or_else(|| no_place(id.as_str(), "network-interfaces"));
    }
    if let Some(balancer) = network.facts.load_balancers.as_deref().unwrap_or_default().iter().find(|one| one.id == *id)
    {
        let front = balancer.frontend_ip_configurations.iter().find_map(|one| front_end(network, one, &balancer.id));
        return front.ok_or_else(|| no_place(id.as_str(), "virtual-networks"));
    }
    if let Some(subnet) = network.place_by_id(id) {
        return Ok(End::Inside(whole_subnet(network, subnet)));
    }
    Err(absent(network, id.as_str(), id.name()))
}

/// A scale set stands for its machines.
fn is_instance_of(machine: &ArmId, set: &ArmId) -> bool {
    machine.parent().is_some_and(|parent| parent == *set)
}

fn by_name<'f>(network: &Network<'f>, name: &str) -> Result<End<'f>, TraceError> {
    let (mut ids, mut machines): (Vec<&ArmId>, Vec<&ArmId>) = (Vec::new(), Vec::new());
    for interface in interfaces(network) {
        if interface.id.name().eq_ignore_ascii_case(name) {
            ids.push(&interface.id);
        }
        if let Some(machine) = &interface.virtual_machine
            && is_machine(&machine.id, name)
            && !machines.contains(&&machine.id)
        {
            machines.push(&machine.id);
        }
    }
    let endpoints = network.facts.private_endpoints.as_deref().unwrap_or_default().iter().map(|one| &one.id);
    // Described or not: its interface names it.
    let mut endpoints: Vec<&ArmId> = endpoints
        .chain(network.endpoint_addresses().iter().map(|one| one.endpoint))
        .filter(|id| id.name().eq_ignore_ascii_case(name))
        .collect();
    endpoints.sort_unstable();
    endpoints.dedup();
    ids.extend(endpoints);
    let inner = |one: &&LoadBalancer| one.frontend_ip_configurations.iter().any(|one| one.private_ip_address.is_some());
    let balancers = network.facts.load_balancers.as_deref().unwrap_or_default().iter().filter(inner);
    ids.extend(balancers.map(|one| &one.id).filter(|id| id.name().eq_ignore_ascii_case(name)));
    // A machine and its interface may have one name: they are one end.
    machines.retain(|machine| {
        let own = |id: &&ArmId| {
            let interface = network.interface(id).and_then(|one| one.virtual_machine.as_ref());
            interface.is_some_and(|one| one.id == **machine)
        };
        !ids.iter().any(own)
    });
    ids.extend(machines);
    match ids.as_slice() {
        [] => Err(absent(network, name, name)),
        [only] => by_id(network, only),
        several => Err(TraceError::AmbiguousName {
            name: name.to_owned(),
            ids: several.iter().take(MOST_PLACES).map(ToString::to_string).collect(),
        }),
    }
}

/// Whether a machine is called so: by its name, or as `<scale set>_<number>` or the host name that a node of a scale set
/// has, `<scale set>` and six digits of base 36.
fn is_machine(id: &ArmId, name: &str) -> bool {
    let Some(set) = id.name_of("virtualMachineScaleSets") else { return id.name().eq_ignore_ascii_case(name) };
    let number = id.name();
    let Some(rest) =
        name.get(set.len()..).filter(|_| name.get(..set.len()).is_some_and(|start| start.eq_ignore_ascii_case(set)))
    else {
        return false;
    };
    match rest.strip_prefix('_') {
        Some(written) => written == number,
        None => rest.len() == 6 && u64::from_str_radix(rest, 36).ok() == number.parse().ok(),
    }
}

fn interfaces<'f>(network: &Network<'f>) -> &'f [NetworkInterface] {
    network.facts.network_interfaces.as_deref().unwrap_or_default()
}

fn absent(network: &Network<'_>, asked: &str, name: &str) -> TraceError {
    if network.facts.network_interfaces.is_none() {
        return no_place(asked, "network-interfaces");
    }
    let endpoints = network.facts.private_endpoints.as_deref().unwrap_or_default().iter().map(|one| one.id.name());
    let machines = interfaces(network).iter().filter_map(|one| one.virtual_machine.as_ref()).map(|one| one.id.name());
    let known = interfaces(network).iter().map(|one| one.id.name()).chain(machines).chain(endpoints);
    TraceError::NotFound {
        what: "network interface, machine, private endpoint or internal load balancer",
        id: asked.to_owned(),
        near: similar(name, known),
    }
}

fn no_place(id: &str, file: &str) -> TraceError {
    let file = match file {
        "network-interfaces" => "network/network-interfaces.json",
        _ => "network/virtual-networks.json",
    };
    TraceError::NoFile { id: id.to_owned(), file }
}

/// An interface; `chosen` is the configuration whose address was asked for.
fn of_interface<'f>(
    network: &Network<'f>,
    interface: &'f NetworkInterface,
    chosen: Option<&'f IpConfiguration>,
) -> Option<End<'f>> {
    let configuration =
        chosen.or_else(|| interface.ip_configurations.iter().find(|one| one.private_ip_address.is_some()))?;
    let subnet = configuration
        .subnet
        .as_ref()
        .or_else(|| interface.ip_configurations.iter().find_map(|one| one.subnet.as_ref()))?;
    let subnet = network.place_by_id(&subnet.id)?;
    let place = network.place(subnet)?;
    let nets = match chosen {
        Some(one) => one.private_ip_address.into_iter().map(IpNet::from).collect(),
        None => interface.ip_configurations.iter().filter_map(|one| one.private_ip_address).map(IpNet::from).collect(),
    };
    let endpoint = match network.endpoint_of(interface) {
        Some(endpoint) => Some((&endpoint.id, Some(endpoint))),
        None => interface.private_endpoint.as_ref().map(|reference| (&reference.id, None)),
    };
    let (label, kind, guard) = match (endpoint, &interface.virtual_machine) {
        (Some((id, endpoint)), _) => (id.name().to_owned(), HopKind::PrivateEndpoint, Guard::Endpoint(id, endpoint)),
        (None, Some(machine)) => (machine_name(&machine.id), HopKind::VirtualMachine, Guard::Interface(interface)),
        (None, None) => (interface.id.name().to_owned(), HopKind::NetworkInterface, Guard::Interface(interface)),
    };
    Some(End::Inside(Inside {
        label,
        kind,
        network: place.network,
        subnet: Some(subnet),
        nets,
        guard,
        public: network.public_address(configuration),
        configuration: Some(configuration),
    }))
}

/// The name of a machine; one of a scale set is named after it.
fn machine_name(id: &ArmId) -> String {
    match id.name_of("virtualMachineScaleSets") {
        Some(set) => format!("{set}_{}", id.name()),
        None => id.name().to_owned(),
    }
}

fn of_endpoint<'f>(network: &Network<'f>, id: &'f ArmId) -> Option<End<'f>> {
    let known: Vec<_> = network.endpoint_addresses().iter().filter(|one| one.endpoint == id).collect();
    let subnet = known.iter().find_map(|one| one.subnet)?;
    Some(End::Inside(Inside {
        label: id.name().to_owned(),
        kind: HopKind::PrivateEndpoint,
        network: network.place(subnet)?.network,
        subnet: Some(subnet),
        nets: known.iter().map(|one| IpNet::from(one.address)).collect(),
        guard: Guard::Endpoint(id, network.endpoint(id)),
        public: PublicOf::None,
        configuration: None,
    }))
}

fn front_end<'f>(network: &Network<'f>, front: &'f IpConfiguration, of: &ArmId) -> Option<End<'f>> {
    let address = front.private_ip_address?;
    let subnet = network.place_by_id(&front.subnet.as_ref()?.id)?;
    let guard = if is_api_server(network, subnet) || of.name().eq_ignore_ascii_case(API_SERVER) {
        Guard::ApiServer
    } else {
        Guard::FrontEnd
    };
    Some(End::Inside(Inside {
        label: of.name().to_owned(),
        kind: HopKind::LoadBalancer,
        network: network.place(subnet)?.network,
        subnet: Some(subnet),
        nets: vec![IpNet::from(address)],
        guard,
        public: PublicOf::None,
        configuration: Some(front),
    }))
}

/// Whether a subnet is given over to API servers
/// (<https://learn.microsoft.com/azure/aks/api-server-vnet-integration>): nothing else can be in it.
fn is_api_server(network: &Network<'_>, subnet: usize) -> bool {
    network.place(subnet).is_some_and(|place| {
        let services = place.facts.delegations.iter().filter_map(|one| one.service_name.as_deref());
        services.into_iter().any(|service| service.eq_ignore_ascii_case(API_SERVER_SERVICE))
    })
}

fn whole_subnet<'f>(network: &Network<'f>, subnet: usize) -> Inside<'f> {
    let place = network.place(subnet);
    Inside {
        label: subnet_label(network, subnet),
        kind: HopKind::Subnet,
        network: place.map_or(0, |place| place.network),
        subnet: Some(subnet),
        nets: place.map(|place| place.ranges.clone()).unwrap_or_default(),
        guard: Guard::NotAsked,
        public: PublicOf::None,
        configuration: None,
    }
}

fn by_address<'f>(network: &Network<'f>, address: IpAddr) -> Vec<End<'f>> {
    let mut found: Vec<End<'f>> = Vec::new();
    for holder in network.holders(address) {
        found.extend(of_interface(network, holder.interface, Some(holder.configuration)));
    }
    let held = |found: &[End<'f>], place: Option<usize>| found.iter().any(|end| network_of(end) == place);
    for one in network.endpoint_addresses().iter().filter(|one| one.address == address) {
        let place = one.subnet.and_then(|subnet| network.place(subnet)).map(|place| place.network);
        if place.is_some() && !held(&found, place) {
            found.extend(of_endpoint(network, one.endpoint));
        }
    }
    for balancer in network.facts.load_balancers.as_deref().unwrap_or_default() {
        let fronts = balancer.frontend_ip_configurations.iter();
        for front in fronts.filter(|one| one.private_ip_address == Some(address)) {
            found.extend(front_end(network, front, &balancer.id).filter(|end| !held(&found, network_of(end))));
        }
    }
    if let Some(firewall) = network.firewall_at(address) {
        let configuration = firewall.ip_configurations.iter().find(|one| one.private_ip_address == Some(address));
        let end = configuration.and_then(|one| front_end(network, one, &firewall.id));
        found.extend(end.filter(|end| !held(&found, network_of(end))));
    }
    let mut nowhere = None;
    for (place, one) in network.vnets() {
        // Each address is in a handful of places; a hostile file could name thousands.
        if found.len() >= MOST_CANDIDATES {
            break;
        }
        if held(&found, Some(place)) || !contains(&one.ranges, address) {
            continue;
        }
        let subnet = network
            .places()
            .find(|(_, subnet)| subnet.network == place && contains(&subnet.ranges, address))
            .map(|(subnet, _)| subnet);
        let api_server = subnet.is_some_and(|subnet| is_api_server(network, subnet));
        let host = End::Inside(Inside {
            label: address.to_string(),
            kind: if api_server { HopKind::LoadBalancer } else { HopKind::NetworkInterface },
            network: place,
            subnet,
            nets: vec![IpNet::from(address)],
            guard: if api_server { Guard::ApiServer } else { Guard::Unknown },
            public: PublicOf::Unknown,
            configuration: None,
        });
        // A range that no subnet uses holds nobody.
        if subnet.is_some() { found.push(host) } else { nowhere = nowhere.or(Some(host)) }
    }
    if found.is_empty() {
        found.push(nowhere.unwrap_or(End::Outside(address)));
    }
    found
}

fn network_of(end: &End<'_>) -> Option<usize> {
    match end {
        End::Inside(inside) => Some(inside.network),
        End::Outside(_) => None,
    }
}

/// The pair that fits best: both in one network, then in peered ones; a known holder before a mere range.
fn choose<'f>(
    network: &Network<'f>,
    (from, sources): (&Point, Vec<End<'f>>),
    (to, destinations): (&Point, Vec<End<'f>>),
) -> Result<(End<'f>, End<'f>), TraceError> {
    let rank = |one: &End<'f>, other: &End<'f>| {
        let near = match (network_of(one), network_of(other)) {
            (Some(one), Some(other)) if one == other => 8,
            (Some(one), Some(other)) if are_peers(network, one, other) => 4,
            _ => 0,
        };
        let held =
            |end: &End<'f>| i32::from(matches!(end, End::Inside(inside) if !matches!(inside.guard, Guard::Unknown)));
        near + held(one) + held(other)
    };
    let most = |all: &[End<'f>]| all.len().min(MOST_CANDIDATES);
    best_pair((from, &sources[..most(&sources)]), (to, &destinations[..most(&destinations)]), rank, |end| {
        place_of(network, end)
    })
}

fn are_peers(network: &Network<'_>, one: usize, other: usize) -> bool {
    network.vnet(other).is_some_and(|other| network.peering(one, &other.id).is_some())
}

fn place_of(network: &Network<'_>, end: &End<'_>) -> String {
    match end {
        End::Inside(inside) => {
            let home = network.vnet(inside.network).map(|one| one.id.name()).unwrap_or_default();
            format!("{} in {home}", inside.label)
        }
        End::Outside(address) => address.to_string(),
    }
}

const API_SERVER: &str = "kube-apiserver";
const API_SERVER_SERVICE: &str = "Microsoft.ContainerService/managedClusters";
const MOST_CANDIDATES: usize = 64;

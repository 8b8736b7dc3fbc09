//! Which route a subnet's packets take: the longest prefix; of equal ones the user's, then those of gateways, then the
//! provider's (<https://learn.microsoft.com/azure/virtual-network/virtual-networks-udr-overview>).

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};

use super::{EndpointAddress, Network, contains, net};
use crate::{
    facts::azure::{ArmId, EffectiveRoute, NetworkInterface, Peering, Route, RouteTable},
    model::{
        set::{AddressSet, Family},
        trace::is_private,
    },
};

/// Where a route leads.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Via<'f> {
    /// Another host of the virtual network.
    Local,
    /// A peered network.
    Peering(ArmId),
    /// A private endpoint, straight.
    Endpoint(&'f ArmId),
    Internet,
    Appliance(Option<IpAddr>),
    /// A gateway, of the network itself or of a peer.
    Gateway,
    /// `None`: packets are dropped.
    Nowhere,
    /// A kind of next hop that is not known.
    Other,
}

/// Whose route it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Origin<'f> {
    System,
    User {
        table: &'f RouteTable,
        route: &'f Route,
    },
    /// Of a gateway: addresses of machines that dial in, or custom routes.
    Gateway,
    /// As read at the interface itself.
    Effective(&'f EffectiveRoute),
}

/// A route that was taken.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Chosen<'f> {
    pub(super) via: Via<'f>,
    pub(super) origin: Origin<'f>,
    /// Its range.
    pub(super) net: IpNet,
}

/// What looking for a route came to.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Looked<'f> {
    Route(Chosen<'f>),
    /// This one, unless a gateway has learned a better one.
    UnlessLearned(Chosen<'f>),
    /// The route table is not in the facts.
    NoTable(&'f ArmId),
    /// The network is not in the facts, only its subnets.
    NoNetwork,
    /// What decides cannot be told, in words.
    Unclear(String),
}

/// The route that packets of a subnet, or of an interface in it, take to an address.
pub(super) fn look_up<'f>(
    network: &Network<'f>,
    subnet: usize,
    interface: Option<&NetworkInterface>,
    destination: IpAddr,
) -> Looked<'f> {
    let Some(place) = network.place(subnet) else { return Looked::NoNetwork };
    match interface.map_or(Effective::None, |interface| effective(network, interface)) {
        Effective::Routes(known) => return by_effective(network, place.network, known, destination),
        Effective::Several => {
            return Looked::Unclear(
                "several files tell the effective routes of the interface, and not the same".to_owned(),
            );
        }
        Effective::None => {}
    }
    let table = match &place.facts.route_table {
        None => None,
        Some(reference) => match network.table(&reference.id) {
            Some(table) => Some(table),
            None => return Looked::NoTable(&reference.id),
        },
    };
    let Some(own) = network.vnet(place.network) else { return Looked::NoNetwork };
    let propagates = table.is_none_or(|table| table.disable_bgp_route_propagation != Some(true));
    let mut best: Option<(u8, u8, Chosen<'f>)> = None;
    let mut consider = |rank: u8, net: IpNet, via: Via<'f>, origin: Origin<'f>| {
        if !net.contains(&destination) {
            return;
        }
        let better = best.as_ref().is_none_or(|(length, known, _)| (net.prefix_len(), rank) > (*length, *known));
        if better {
            best = Some((net.prefix_len(), rank, Chosen { via, origin, net }));
        }
    };
    let mut unclear = None;
    for route in table.iter().flat_map(|table| &table.routes) {
        let Some(table) = table else { continue };
        let origin = Origin::User { table, route };
        let prefix = route.address_prefix.as_deref().unwrap_or_default();
        if let Some(net) = net(prefix) {
            consider(EXPLICIT, net, next_hop(route), origin);
        } else if let Some(nets) = network.service_tag(prefix) {
            for net in nets {
                consider(TAGGED, *net, next_hop(route), origin);
            }
        } else if !is_private(destination) || !is_tag(prefix) {
            unclear = Some(format!(
                "the ranges of `{}`, which route {} of {} names, are not in the facts",
                prefix.escape_debug(),
                route.name,
                table.id.name()
            ));
        }
    }
    own.ranges.iter().for_each(|net| consider(SYSTEM, *net, Via::Local, Origin::System));
    for peering in own.peerings.iter().filter(|peering| carries(peering)) {
        let Some(remote) = &peering.remote_virtual_network else { continue };
        for net in ranges_of(network, peering) {
            consider(SYSTEM, net, Via::Peering(remote.id.clone()), Origin::System);
        }
    }
    let beyond = gateways_of(network, place.network);
    for net in beyond.iter().filter(|_| propagates).flat_map(|gateway| &gateway.ranges) {
        consider(GATEWAY, *net, Via::Gateway, Origin::Gateway);
    }
    for one in network.endpoint_addresses().iter().filter(|one| one.address == destination) {
        let covered = |route: &Route| route.address_prefix.as_deref().and_then(net);
        let users: Vec<IpNet> = table.iter().flat_map(|table| &table.routes).filter_map(covered).collect();
        if announces(network, place.network, one) && !overruled(network, one, &users) {
            consider(SYSTEM, IpNet::from(destination), Via::Endpoint(one.endpoint), Origin::System);
        }
    }
    match Family::of(destination) {
        Family::V4 => {
            consider(SYSTEM, everything(), Via::Internet, Origin::System);
            for (address, length) in RESERVED {
                consider(SYSTEM, IpNet::V4(Ipv4Net::new_assert(address, length)), Via::Nowhere, Origin::System);
            }
        }
        Family::V6 if !is_private(destination) => {
            consider(SYSTEM, IpNet::V6(ipnet::Ipv6Net::default()), Via::Internet, Origin::System);
        }
        Family::V6 => {}
    }
    let Some((length, rank, chosen)) = best else {
        return Looked::Unclear(format!("where packets to {destination} go is not documented"));
    };
    let exact = length == IpNet::from(destination).prefix_len();
    let surely = exact && rank == EXPLICIT;
    if let Some(unclear) = unclear.filter(|_| !surely) {
        return Looked::Unclear(unclear);
    }
    let at_home = matches!(chosen.via, Via::Local | Via::Peering(_) | Via::Endpoint(_)) && rank == SYSTEM;
    let elsewhere = own.facts.is_some() && !is_private(destination);
    if !own.whole && !at_home && !surely && !(rank == EXPLICIT && (elsewhere || own.facts.is_none())) {
        return Looked::NoNetwork;
    }
    // A longer range of a peer may be there that nobody could read.
    let garbled = own.peerings.iter().filter(|one| carries(one)).any(|one| !ranges_understood(network, one));
    let hidden = !own.peerings_told || garbled;
    if hidden && own.facts.is_some() && !at_home && !surely && is_in_a_network_or_private(network, destination) {
        return Looked::Unclear(format!(
            "the peerings of {}, or their ranges, are not all in the facts",
            own.id.name()
        ));
    }
    // Ranges of virtual networks go before what gateways learn, whatever its length.
    let may_learn = propagates && beyond.iter().any(|gateway| gateway.learns);
    let in_networks = contains(&own.ranges, destination)
        || own.peerings.iter().filter(|one| carries(one)).any(|one| contains(&ranges_of(network, one), destination));
    let settled = at_home || exact || in_networks || (rank >= TAGGED && !is_private(destination));
    if may_learn && !settled && rank != GATEWAY {
        return Looked::UnlessLearned(chosen);
    }
    Looked::Route(chosen)
}

/// Whether a user-defined route of the subnet parts a range: some of its addresses go another way.
pub(super) fn parts<'f>(network: &Network<'f>, subnet: usize, range: &IpNet) -> Option<&'f Route> {
    let table = network.place(subnet)?.facts.route_table.as_ref()?;
    let inside = |route: &&Route| {
        route.address_prefix.as_deref().and_then(net).is_some_and(|net| net != *range && range.contains(&net))
    };
    network.table(&table.id)?.routes.iter().find(inside)
}

/// The ranges of the user-defined routes of a subnet; `None` when its table is not in the facts.
pub(super) fn user_ranges(network: &Network<'_>, subnet: usize) -> Option<AddressSet> {
    let Some(reference) = network.place(subnet).and_then(|place| place.facts.route_table.as_ref()) else {
        return Some(AddressSet::empty());
    };
    let table = network.table(&reference.id)?;
    let prefixes = || table.routes.iter().map(|route| route.address_prefix.as_deref().unwrap_or_default());
    // One that is not understood may hold anything.
    if prefixes().any(|prefix| net(prefix).is_none() && !is_tag(prefix)) {
        return None;
    }
    Some(prefixes().filter_map(net).collect())
}

/// A gateway that a network uses: its own, or one that a peer lends it.
#[derive(Debug)]
pub(super) struct Beyond {
    /// The network that the gateway is in.
    pub(super) network: Option<usize>,
    pub(super) ranges: Vec<IpNet>,
    /// It may know routes that no file tells.
    pub(super) learns: bool,
}

/// The gateways that a network uses.
pub(super) fn gateways_of(network: &Network<'_>, place: usize) -> Vec<Beyond> {
    let Some(own) = network.vnet(place) else { return Vec::new() };
    let mut found = Vec::new();
    if own.learns_routes() {
        found.push(Beyond { network: Some(place), ranges: own.ranges_beyond(), learns: true });
    }
    for peering in own.peerings.iter().filter(|one| one.use_remote_gateways == Some(true) && carries(one)) {
        let remote = peering.remote_virtual_network.as_ref().and_then(|remote| network.vnet_by_id(&remote.id));
        let known = remote.and_then(|remote| network.vnet(remote));
        found.push(Beyond {
            network: remote,
            ranges: known.map(super::Vnet::ranges_beyond).unwrap_or_default(),
            learns: true,
        });
    }
    found
}

/// Whether a peering is up as far as the facts say; one that does not tell its state may be.
pub(super) fn carries(peering: &Peering) -> bool {
    peering.peering_state.as_deref().is_none_or(|state| state.eq_ignore_ascii_case("Connected"))
}

/// Whether the ranges of the other side of a peering are all understood.
pub(super) fn ranges_understood(network: &Network<'_>, peering: &Peering) -> bool {
    let remote = peering.remote_virtual_network.as_ref().and_then(|remote| network.vnet_by_id(&remote.id));
    match remote.and_then(|place| network.vnet(place)).filter(|remote| remote.facts.is_some()) {
        Some(remote) => remote.whole,
        None => peering.remote_address_space.address_prefixes.iter().all(|text| net(text).is_some()),
    }
}

/// Every range of the routes that a host's packets may take, each as a set; those of service tags of the facts too.
pub(super) fn ranges_of_routes(
    network: &Network<'_>,
    subnet: usize,
    interface: Option<&NetworkInterface>,
) -> Vec<AddressSet> {
    let mut found: Vec<AddressSet> = Vec::new();
    if let Some(Effective::Routes(routes)) = interface.map(|interface| effective(network, interface)) {
        let nets = routes.iter().flat_map(|route| &route.address_prefix).filter_map(|text| net(text));
        found.extend(nets.map(|net| AddressSet::from_nets(&[net])));
        return found;
    }
    let table = network.place(subnet).and_then(|place| place.facts.route_table.as_ref());
    for route in table.and_then(|one| network.table(&one.id)).into_iter().flat_map(|table| &table.routes) {
        let prefix = route.address_prefix.as_deref().unwrap_or_default();
        match net(prefix) {
            Some(net) => found.push(AddressSet::from_nets(&[net])),
            None => found.extend(network.service_tag(prefix).map(AddressSet::from_nets)),
        }
    }
    found
}

/// The ranges of the other side of a peering.
pub(super) fn ranges_of(network: &Network<'_>, peering: &Peering) -> Vec<IpNet> {
    let remote = peering.remote_virtual_network.as_ref().and_then(|remote| network.vnet_by_id(&remote.id));
    match remote.and_then(|place| network.vnet(place)).filter(|remote| remote.facts.is_some()) {
        Some(remote) => remote.ranges.clone(),
        None => peering.remote_address_space.address_prefixes.iter().filter_map(|text| net(text)).collect(),
    }
}

/// Whether the route of a private endpoint is known in a network: its own and those directly peered.
fn announces(network: &Network<'_>, to: usize, endpoint: &EndpointAddress<'_>) -> bool {
    let Some(home) = endpoint.subnet.and_then(|subnet| network.place(subnet)).map(|place| place.network) else {
        return false;
    };
    let Some(home_network) = network.vnet(home) else { return false };
    let back = || {
        let Some(own) = network.vnet(to) else { return true };
        match network.peering(home, &own.id) {
            Some(back) => carries(back),
            None => !home_network.peerings_told,
        }
    };
    home == to || (network.peering(to, &home_network.id).is_some_and(carries) && back())
}

/// Whether the user's routes overrule that of a private endpoint: its subnet's policies cover routes, and one is at least
/// as long as the range of its network (<https://learn.microsoft.com/azure/private-link/disable-private-endpoint-network-policy>).
fn overruled(network: &Network<'_>, endpoint: &EndpointAddress<'_>, users: &[IpNet]) -> bool {
    let Some(place) = endpoint.subnet.and_then(|subnet| network.place(subnet)) else { return false };
    let policies = place.facts.private_endpoint_network_policies.as_deref().unwrap_or_default();
    let covers = ["Enabled", "RouteTableEnabled"].iter().any(|word| policies.eq_ignore_ascii_case(word));
    let range = network.vnet(place.network).and_then(|home| {
        home.ranges.iter().filter(|range| range.contains(&endpoint.address)).map(IpNet::prefix_len).max()
    });
    let long_enough = |net: &IpNet| range.is_some_and(|length| net.prefix_len() >= length);
    covers && users.iter().any(|net| net.contains(&endpoint.address) && long_enough(net))
}

fn next_hop(route: &Route) -> Via<'static> {
    let address = route.next_hop_ip_address.as_deref().and_then(|text| text.trim().parse().ok());
    match route.next_hop_type.as_deref() {
        Some(kind) if is(kind, "VirtualAppliance") => Via::Appliance(address),
        Some(kind) if is(kind, "VirtualNetworkGateway") => Via::Gateway,
        Some(kind) if is(kind, "VnetLocal") => Via::Local,
        Some(kind) if is(kind, "Internet") => Via::Internet,
        Some(kind) if is(kind, "None") => Via::Nowhere,
        _ => Via::Other,
    }
}

/// What the facts tell of an interface's effective routes.
enum Effective<'f> {
    Routes(&'f [EffectiveRoute]),
    /// Nothing that is sure to be of this interface.
    None,
    /// Several, which contradict each other.
    Several,
}

/// The routes that were read at an interface itself. A file is named after its interface, with the resource group where
/// two have the name: one that may be of several interfaces is of none.
fn effective<'f>(network: &Network<'f>, interface: &NetworkInterface) -> Effective<'f> {
    let is_of = |file: &str, one: &NetworkInterface| {
        let group = one.id.resource_group().unwrap_or_default();
        is(file, one.id.name()) || is(file, &format!("{}-{group}", one.id.name()))
    };
    let all = network.facts.network_interfaces.as_deref().unwrap_or_default();
    let only_of_this = |file: &str| all.iter().filter(|one| is_of(file, one)).all(|one| one.id == interface.id);
    let known = network.facts.effective_routes.iter();
    let mut own = known.filter(|one| is_of(&one.network_interface, interface) && only_of_this(&one.network_interface));
    match (own.next(), own.next()) {
        (None, _) => Effective::None,
        (Some(first), None) => Effective::Routes(&first.routes),
        (Some(first), Some(second)) if first.routes == second.routes && own.all(|one| one.routes == first.routes) => {
            Effective::Routes(&first.routes)
        }
        (Some(_), Some(_)) => Effective::Several,
    }
}

/// What a service tag is called, other than a range.
pub(super) fn is_tag(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic()) && !text.contains([':', '/'])
}

fn is_in_a_network_or_private(network: &Network<'_>, address: IpAddr) -> bool {
    is_private(address) || network.is_in_a_network(address)
}

fn by_effective<'f>(
    network: &Network<'f>,
    own: usize,
    routes: &'f [EffectiveRoute],
    destination: IpAddr,
) -> Looked<'f> {
    let active = |route: &&EffectiveRoute| route.state.as_deref().is_none_or(|state| is(state, "Active"));
    let fitting = routes.iter().filter(active).flat_map(|route| {
        let nets = route.address_prefix.iter().filter_map(|text| net(text));
        nets.filter(|net| net.contains(&destination)).map(move |net| (net, route))
    });
    let fitting: Vec<(IpNet, &EffectiveRoute)> = fitting.collect();
    let Some((net, route)) = fitting.iter().copied().max_by_key(|(net, _)| net.prefix_len()) else {
        return Looked::Unclear(format!("no effective route of the interface holds {destination}"));
    };
    let leads = |one: &EffectiveRoute, other: &EffectiveRoute| {
        one.next_hop_type == other.next_hop_type && one.next_hop_ip_address == other.next_hop_ip_address
    };
    if fitting.iter().any(|(other, also)| *other == net && !leads(route, also)) {
        return Looked::Unclear(format!("two effective routes of the interface send {net} to different places"));
    }
    let via = match route.next_hop_type.as_deref().unwrap_or_default() {
        kind if is(kind, "VnetLocal") => Via::Local,
        kind if is(kind, "VNetPeering") || is(kind, "VNetGlobalPeering") => {
            let peers = network.vnet(own).map(|own| own.peerings.as_slice()).unwrap_or_default();
            let holding = peers.iter().find(|peering| contains(&ranges_of(network, peering), destination));
            match holding.and_then(|peering| peering.remote_virtual_network.as_ref()) {
                Some(remote) => Via::Peering(remote.id.clone()),
                None => Via::Other,
            }
        }
        kind if is(kind, "InterfaceEndpoint") => {
            let endpoint = network.endpoint_addresses().iter().find(|one| one.address == destination);
            endpoint.map_or(Via::Other, |one| Via::Endpoint(one.endpoint))
        }
        kind if is(kind, "Internet") => Via::Internet,
        kind if is(kind, "VirtualAppliance") => {
            Via::Appliance(route.next_hop_ip_address.iter().find_map(|text| text.parse().ok()))
        }
        kind if is(kind, "VirtualNetworkGateway") => Via::Gateway,
        kind if is(kind, "None") => Via::Nowhere,
        _ => Via::Other,
    };
    Looked::Route(Chosen { via, origin: Origin::Effective(route), net })
}

fn is(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}

fn everything() -> IpNet {
    IpNet::V4(Ipv4Net::default())
}

const EXPLICIT: u8 = 3;
const TAGGED: u8 = 2;
const GATEWAY: u8 = 1;
const SYSTEM: u8 = 0;
/// Ranges that go nowhere unless a network uses them.
const RESERVED: [(Ipv4Addr, u8); 4] = [
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
];

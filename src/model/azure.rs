//! Azure's network as an index, and the path of one connection through it. Pure.
//!
//! [`trace`] is the counterpart of [`super::trace::trace`]: the same answer, of Azure's rules. Hops are named by the
//! short names of resources, a subnet as `network/subnet`; their reasons hold the ids.

mod ends;
mod filter;
mod places;
mod route;
mod walk;

use std::{
    collections::{BTreeSet, HashMap},
    net::{IpAddr, Ipv4Addr},
};

use ipnet::{IpNet, Ipv4Net};

use super::set::AddressSet;
use super::trace::{Point, TraceError};
use crate::facts::{
    Cidr,
    azure::{
        self, ArmId, Firewall, IpConfiguration, NetworkInterface, Peering, PrivateEndpoint, Reference, RouteTable,
        VirtualNetwork, VirtualNetworkGateway,
    },
};
pub(super) use filter::Group;
pub(super) use places::public_places;
pub use walk::trace;

/// The facts of Azure's network, indexed.
#[derive(Debug)]
pub struct Network<'f> {
    facts: &'f azure::Network,
    networks: Vec<Vnet<'f>>,
    networks_by_id: HashMap<ArmId, usize>,
    subnets: Vec<Place<'f>>,
    subnets_by_id: HashMap<&'f ArmId, usize>,
    groups: HashMap<&'f ArmId, Group<'f>>,
    tables: HashMap<&'f ArmId, &'f RouteTable>,
    interfaces: HashMap<&'f ArmId, &'f NetworkInterface>,
    /// Interfaces by the addresses that they have inside their networks, and by their public ones.
    holders: HashMap<IpAddr, Vec<Holder<'f>>>,
    endpoints: HashMap<&'f ArmId, &'f PrivateEndpoint>,
    endpoint_of_interface: HashMap<&'f ArmId, &'f PrivateEndpoint>,
    public_addresses: HashMap<&'f ArmId, Option<IpAddr>>,
    public_prefixes: HashMap<&'f ArmId, Option<IpNet>>,
    tags: HashMap<String, Vec<IpNet>>,
    /// Addresses of private endpoints, each with its subnet.
    endpoint_addresses: Vec<EndpointAddress<'f>>,
}

/// A virtual network.
#[derive(Debug)]
pub(super) struct Vnet<'f> {
    pub(super) id: ArmId,
    /// `None` where only its subnets are known.
    pub(super) facts: Option<&'f VirtualNetwork>,
    /// All of its ranges are known and understood.
    pub(super) whole: bool,
    /// All of its peerings are known: what is not among them does not exist.
    pub(super) peerings_told: bool,
    pub(super) ranges: Vec<IpNet>,
    pub(super) peerings: Vec<&'f Peering>,
    /// Gateways in it, and whether there is one of which no file tells more.
    gateways: Vec<&'f VirtualNetworkGateway>,
    learns_routes: bool,
}

/// A subnet.
#[derive(Debug)]
pub(super) struct Place<'f> {
    pub(super) facts: &'f azure::Subnet,
    pub(super) network: usize,
    pub(super) ranges: Vec<IpNet>,
}

/// An interface that has an address.
#[derive(Clone, Copy, Debug)]
pub(super) struct Holder<'f> {
    pub(super) interface: &'f NetworkInterface,
    pub(super) configuration: &'f IpConfiguration,
}

/// An address of a private endpoint.
#[derive(Clone, Copy, Debug)]
pub(super) struct EndpointAddress<'f> {
    /// The endpoint's id; its description may be absent.
    pub(super) endpoint: &'f ArmId,
    pub(super) address: IpAddr,
    /// Place in the list of subnets.
    pub(super) subnet: Option<usize>,
}

/// Public addresses that packets leave with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublicAddresses {
    /// Those that are known, ascending.
    pub addresses: Vec<IpAddr>,
    /// Ranges that are too long to be listed address by address.
    pub ranges: Vec<IpNet>,
    /// What is named but not in the facts.
    pub unknown: Vec<ArmId>,
}

impl<'f> Network<'f> {
    /// Indexes the facts once.
    #[must_use]
    pub fn new(facts: &'f azure::Network) -> Self {
        let (networks, networks_by_id) = virtual_networks(facts);
        let subnets: Vec<Place<'f>> = facts
            .all_subnets()
            .filter_map(|subnet| {
                let network = *networks_by_id.get(&subnet.id.parent()?)?;
                Some(Place { facts: subnet, network, ranges: subnet.prefixes().filter_map(net).collect() })
            })
            .collect();
        let mut index = Self {
            facts,
            networks,
            networks_by_id,
            subnets_by_id: subnets.iter().enumerate().map(|(place, subnet)| (&subnet.facts.id, place)).collect(),
            subnets,
            // What does not tell its rules is as unknown as what is not there.
            groups: by_id(facts.network_security_groups.as_deref(), |one| &one.id)
                .filter(|(_, group)| group.security_rules.is_told())
                .map(|(id, group)| (id, Group::of(group)))
                .collect(),
            tables: by_id(facts.route_tables.as_deref(), |one| &one.id)
                .filter(|(_, table)| table.routes.is_told())
                .collect(),
            interfaces: by_id(facts.network_interfaces.as_deref(), |one| &one.id).collect(),
            holders: HashMap::new(),
            endpoints: by_id(facts.private_endpoints.as_deref(), |one| &one.id).collect(),
            endpoint_of_interface: HashMap::new(),
            public_addresses: by_id(facts.public_ip_addresses.as_deref(), |one| &one.id)
                .map(|(id, one)| (id, one.ip_address))
                .collect(),
            public_prefixes: by_id(facts.public_ip_prefixes.as_deref(), |one| &one.id)
                .map(|(id, one)| (id, one.ip_prefix.as_deref().and_then(net)))
                .collect(),
            tags: tags(facts),
            endpoint_addresses: Vec::new(),
        };
        index.gather_gateways();
        index.gather_holders();
        index.gather_endpoints();
        index
    }

    /// The facts themselves.
    #[must_use]
    pub const fn facts(&self) -> &'f azure::Network {
        self.facts
    }

    /// The virtual network that a subnet is in, as far as the facts describe both.
    #[must_use]
    pub fn network_of_subnet(&self, subnet: &ArmId) -> Option<&ArmId> {
        let place = self.subnets.get(*self.subnets_by_id.get(subnet)?)?;
        Some(&self.networks.get(place.network)?.id)
    }

    /// The virtual network whose subnets hold the address; `None` where none does, or several.
    #[must_use]
    pub fn network_holding(&self, address: IpAddr) -> Option<&ArmId> {
        let mut holding: Vec<usize> =
            self.subnets.iter().filter(|one| contains(&one.ranges, address)).map(|one| one.network).collect();
        holding.dedup();
        match holding.as_slice() {
            [only] => self.networks.get(*only).map(|network| &network.id),
            _ => None,
        }
    }

    /// Whether the range of some virtual network holds the address.
    #[must_use]
    pub fn is_in_a_network(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| contains(&network.ranges, address))
    }

    /// The interfaces that have this address, private or public.
    pub fn interfaces_with(&self, address: IpAddr) -> impl Iterator<Item = &'f NetworkInterface> {
        self.holders(address).iter().map(|holder| holder.interface)
    }

    /// The subnet of an interface: that of its first address.
    #[must_use]
    pub fn subnet_of_interface(&self, interface: &NetworkInterface) -> Option<&'f ArmId> {
        let subnet = interface.ip_configurations.iter().find_map(|one| one.subnet.as_ref())?;
        self.subnets.get(*self.subnets_by_id.get(&subnet.id)?).map(|place| &place.facts.id)
    }

    /// The ranges of a service tag; `None` when no file tells them.
    #[must_use]
    pub fn service_tag(&self, name: &str) -> Option<&[IpNet]> {
        self.tags.get(&name.to_ascii_lowercase()).map(Vec::as_slice)
    }

    /// The addresses of a private endpoint: those of its interfaces, else those that it says itself.
    pub fn addresses_of_endpoint(&self, endpoint: &ArmId) -> impl Iterator<Item = IpAddr> {
        self.endpoint_addresses.iter().filter(move |one| *one.endpoint == *endpoint).map(|one| one.address)
    }

    /// What public addresses and prefixes stand for, in whichever of the two lists an id is.
    pub fn public<'i>(&self, ids: impl IntoIterator<Item = &'i ArmId>) -> PublicAddresses {
        let mut found = PublicAddresses::default();
        for id in ids {
            match (self.public_addresses.get(id), self.public_prefixes.get(id)) {
                (Some(Some(address)), _) => found.addresses.push(*address),
                (_, Some(Some(net))) => match hosts(net) {
                    Some(addresses) => found.addresses.extend(addresses),
                    None => found.ranges.push(*net),
                },
                _ => found.unknown.push(id.clone()),
            }
        }
        found.addresses.sort_unstable();
        found.addresses.dedup();
        found
    }

    pub(super) fn vnet(&self, place: usize) -> Option<&Vnet<'f>> {
        self.networks.get(place)
    }

    pub(super) fn vnets(&self) -> impl Iterator<Item = (usize, &Vnet<'f>)> {
        self.networks.iter().enumerate()
    }

    pub(super) fn vnet_by_id(&self, id: &ArmId) -> Option<usize> {
        self.networks_by_id.get(id).copied()
    }

    pub(super) fn place(&self, place: usize) -> Option<&Place<'f>> {
        self.subnets.get(place)
    }

    pub(super) fn places(&self) -> impl Iterator<Item = (usize, &Place<'f>)> {
        self.subnets.iter().enumerate()
    }

    pub(super) fn place_by_id(&self, id: &ArmId) -> Option<usize> {
        self.subnets_by_id.get(id).copied()
    }

    pub(super) fn group(&self, id: &ArmId) -> Option<&Group<'f>> {
        self.groups.get(id)
    }

    pub(super) fn table(&self, id: &ArmId) -> Option<&'f RouteTable> {
        self.tables.get(id).copied()
    }

    pub(super) fn interface(&self, id: &ArmId) -> Option<&'f NetworkInterface> {
        self.interfaces.get(id).copied()
    }

    pub(super) fn holders(&self, address: IpAddr) -> &[Holder<'f>] {
        self.holders.get(&address).map_or(&[], Vec::as_slice)
    }

    pub(super) fn endpoint_of(&self, interface: &NetworkInterface) -> Option<&'f PrivateEndpoint> {
        self.endpoint_of_interface.get(&interface.id).copied()
    }

    pub(super) fn endpoint(&self, id: &ArmId) -> Option<&'f PrivateEndpoint> {
        self.endpoints.get(id).copied()
    }

    pub(super) fn endpoint_addresses(&self) -> &[EndpointAddress<'f>] {
        &self.endpoint_addresses
    }

    pub(super) fn public_address(&self, configuration: &IpConfiguration) -> PublicOf {
        match &configuration.public_ip_address {
            None => PublicOf::None,
            Some(reference) => match self.public_addresses.get(&reference.id) {
                Some(Some(address)) => PublicOf::Is(*address),
                // One that is not given out yet, or not in the facts.
                _ => PublicOf::Unknown,
            },
        }
    }

    pub(super) fn firewall_at(&self, address: IpAddr) -> Option<&'f Firewall> {
        let all = self.facts.firewalls.as_deref().unwrap_or_default();
        all.iter().find(|one| one.ip_configurations.iter().any(|config| config.private_ip_address == Some(address)))
    }

    /// The side of the peering from one network to another.
    pub(super) fn peering(&self, from: usize, to: &ArmId) -> Option<&'f Peering> {
        let network = self.networks.get(from)?;
        let leads = |one: &&&Peering| one.remote_virtual_network.as_ref().is_some_and(|remote| remote.id == *to);
        network.peerings.iter().find(leads).copied()
    }

    fn gather_gateways(&mut self) {
        let gateways = self.facts.virtual_network_gateways.as_deref().unwrap_or_default();
        for gateway in gateways {
            let subnet = gateway.ip_configurations.iter().find_map(|one| one.subnet.as_ref());
            let network = subnet.and_then(|subnet| subnet.id.parent()).and_then(|id| self.vnet_by_id(&id));
            if let Some(network) = network.and_then(|place| self.networks.get_mut(place)) {
                network.gateways.push(gateway);
                network.learns_routes = true;
            }
        }
        for subnet in &self.subnets {
            let named = |name: &str| subnet.facts.id.name().eq_ignore_ascii_case(name);
            let learns = named(GATEWAY_SUBNET) || named(ROUTE_SERVER_SUBNET);
            if learns
                && !subnet.facts.ip_configurations.is_empty()
                && let Some(network) = self.networks.get_mut(subnet.network)
            {
                network.learns_routes = true;
            }
        }
    }

    fn gather_holders(&mut self) {
        let mut holders: HashMap<IpAddr, Vec<Holder<'f>>> = HashMap::new();
        for interface in self.facts.network_interfaces.as_deref().unwrap_or_default() {
            for configuration in &interface.ip_configurations {
                let holder = Holder { interface, configuration };
                let public = match self.public_address(configuration) {
                    PublicOf::Is(address) => Some(address),
                    PublicOf::None | PublicOf::Unknown => None,
                };
                for address in configuration.private_ip_address.into_iter().chain(public) {
                    holders.entry(address).or_default().push(holder);
                }
            }
        }
        self.holders = holders;
    }

    fn gather_endpoints(&mut self) {
        let mut claims: HashMap<&ArmId, Vec<&'f NetworkInterface>> = HashMap::new();
        for interface in self.facts.network_interfaces.as_deref().unwrap_or_default() {
            if let Some(endpoint) = &interface.private_endpoint {
                claims.entry(&endpoint.id).or_default().push(interface);
            }
        }
        for endpoint in self.facts.private_endpoints.as_deref().unwrap_or_default() {
            let own = endpoint.network_interfaces.iter().filter_map(|one| self.interfaces.get(&one.id).copied());
            let claiming = claims.get(&endpoint.id).into_iter().flatten().copied();
            let interfaces: Vec<&'f NetworkInterface> = own.chain(claiming).collect();
            let subnet_of =
                |reference: Option<&Reference>| reference.and_then(|one| self.subnets_by_id.get(&one.id).copied());
            let mut addresses: Vec<(IpAddr, Option<usize>)> = Vec::new();
            for interface in interfaces {
                self.endpoint_of_interface.insert(&interface.id, endpoint);
                for one in &interface.ip_configurations {
                    let subnet = one.subnet.as_ref().or(endpoint.subnet.as_ref());
                    addresses.extend(one.private_ip_address.map(|address| (address, subnet_of(subnet))));
                }
            }
            if addresses.is_empty() {
                let said = endpoint.custom_dns_configs.iter().flat_map(|one| &one.ip_addresses);
                let subnet = subnet_of(endpoint.subnet.as_ref());
                addresses.extend(said.filter_map(|text| Some((text.parse().ok()?, subnet))));
            }
            let mut seen = BTreeSet::new();
            for (address, subnet) in addresses {
                if seen.insert(address) {
                    self.endpoint_addresses.push(EndpointAddress { endpoint: &endpoint.id, address, subnet });
                }
            }
        }
        // Interfaces of endpoints that no file describes: where they are is known all the same.
        let described: BTreeSet<&ArmId> = self.endpoints.keys().copied().collect();
        for (endpoint, interfaces) in claims.into_iter().filter(|(id, _)| !described.contains(id)) {
            for one in interfaces.into_iter().flat_map(|interface| &interface.ip_configurations) {
                let subnet = one.subnet.as_ref().and_then(|subnet| self.subnets_by_id.get(&subnet.id).copied());
                let found = one.private_ip_address.map(|address| EndpointAddress { endpoint, address, subnet });
                self.endpoint_addresses.extend(found);
            }
        }
        // In an order of their own, whatever the map's is.
        self.endpoint_addresses.sort_by(|one, other| (one.endpoint, one.address).cmp(&(other.endpoint, other.address)));
    }
}

/// The interface that a point means; `None` for one that has none in the facts.
///
/// # Errors
/// A point that the facts do not hold, or that they hold several times.
pub fn interface_of<'f>(network: &Network<'f>, point: &Point) -> Result<Option<&'f NetworkInterface>, TraceError> {
    ends::interface_of(network, point)
}

/// The virtual network that a point is in.
#[must_use]
pub fn network_of<'n>(network: &'n Network<'_>, point: &Point) -> Option<&'n ArmId> {
    network.vnet(ends::network_of_point(network, point)?).map(|one| &one.id)
}

/// The public address of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PublicOf {
    Is(IpAddr),
    None,
    /// It has one, and the facts do not say which.
    Unknown,
}

impl Vnet<'_> {
    /// Gateways or route servers in it may learn routes that are in no file.
    pub(super) const fn learns_routes(&self) -> bool {
        self.learns_routes
    }

    /// Ranges beyond its gateways that somebody wrote down: of machines that dial in, and custom routes.
    pub(super) fn ranges_beyond(&self) -> Vec<IpNet> {
        let mut ranges = Vec::new();
        for gateway in &self.gateways {
            let pool =
                gateway.vpn_client_configuration.iter().flat_map(|one| &one.vpn_client_address_pool.address_prefixes);
            ranges.extend(pool.chain(&gateway.custom_routes.address_prefixes).filter_map(|text| net(text)));
        }
        ranges
    }

    /// The name of its gateway, for hops.
    pub(super) fn gateway_name(&self) -> String {
        let first = self.gateways.first().map(|one| one.id.name().to_owned());
        first.unwrap_or_else(|| format!("the gateway of {}", self.id.name()))
    }
}

/// The networks of the facts, with their ranges and this side of their peerings.
fn virtual_networks(facts: &azure::Network) -> (Vec<Vnet<'_>>, HashMap<ArmId, usize>) {
    let listed = facts.listed.contains(&azure::Kind::Peering);
    let refused = [azure::Kind::Peering, azure::Kind::VirtualNetwork].iter().any(|kind| facts.refused.contains(kind));
    let mut networks: Vec<Vnet<'_>> = Vec::new();
    let mut by_id: HashMap<ArmId, usize> = HashMap::new();
    for network in facts.virtual_networks.as_deref().unwrap_or_default() {
        by_id.entry(network.id.clone()).or_insert_with(|| {
            networks.push(Vnet {
                id: network.id.clone(),
                facts: Some(network),
                whole: understood(network.address_space.address_prefixes.iter().map(String::as_str)),
                peerings_told: (network.virtual_network_peerings.is_told() || listed) && !refused,
                ranges: nets(&network.address_space.address_prefixes),
                peerings: Vec::new(),
                gateways: Vec::new(),
                learns_routes: false,
            });
            networks.len() - 1
        });
    }
    for subnet in facts.subnets.as_deref().unwrap_or_default() {
        let Some(id) = subnet.id.parent() else { continue };
        let place = *by_id.entry(id.clone()).or_insert_with(|| {
            networks.push(Vnet {
                id,
                facts: None,
                whole: false,
                peerings_told: false,
                ranges: Vec::new(),
                peerings: Vec::new(),
                gateways: Vec::new(),
                learns_routes: false,
            });
            networks.len() - 1
        });
        if let Some(network) = networks.get_mut(place).filter(|network| network.facts.is_none()) {
            network.ranges.extend(subnet.prefixes().filter_map(net));
        }
    }
    for (id, peering) in facts.all_peerings() {
        if let Some(network) = by_id.get(&id).and_then(|place| networks.get_mut(*place)) {
            network.peerings.push(peering);
        }
    }
    (networks, by_id)
}

fn tags(facts: &azure::Network) -> HashMap<String, Vec<IpNet>> {
    let all = facts.service_tags.as_deref().unwrap_or_default();
    let known = all.iter().filter(|tag| {
        // One whose ranges are left out, or not all understood, is not known.
        tag.address_prefixes.is_told() && tag.address_prefixes.iter().all(|text| net(text).is_some())
    });
    known.map(|tag| (tag.name.to_ascii_lowercase(), nets(&tag.address_prefixes))).collect()
}

fn by_id<T>(all: Option<&[T]>, id: fn(&T) -> &ArmId) -> impl Iterator<Item = (&ArmId, &T)> {
    all.unwrap_or_default().iter().map(move |one| (id(one), one))
}

fn nets(texts: &[String]) -> Vec<IpNet> {
    texts.iter().filter_map(|text| net(text)).collect()
}

/// Whether there are ranges and all of them can be read.
fn understood<'t>(texts: impl Iterator<Item = &'t str>) -> bool {
    let all: Vec<bool> = texts.map(|text| net(text).is_some()).collect();
    !all.is_empty() && all.into_iter().all(|read| read)
}

/// A range as Azure writes it; a bare address is a range of one.
pub(super) fn net(text: &str) -> Option<IpNet> {
    Cidr::parse(text.trim()).ok().map(|cidr| cidr.net)
}

pub(super) fn contains(nets: &[IpNet], address: IpAddr) -> bool {
    nets.iter().any(|net| net.contains(&address))
}

/// The addresses of a prefix, all of which packets may leave with; `None` where they are too many to list.
fn hosts(net: &IpNet) -> Option<Vec<IpAddr>> {
    match net {
        IpNet::V4(v4) if v4.prefix_len() >= LEAST_LISTED_PREFIX => {
            let (first, last) = (v4.network().to_bits(), v4.broadcast().to_bits());
            Some((first..=last).map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits))).collect())
        }
        IpNet::V6(v6) if v6.prefix_len() == 128 => Some(vec![IpAddr::V6(v6.addr())]),
        _ => None,
    }
}

/// What the internet carries: everything but the ranges that are private, shared, local or reserved.
pub(super) fn public_space() -> AddressSet {
    let private = NOT_PUBLIC.map(|(address, length)| IpNet::V4(Ipv4Net::new_assert(address, length)));
    let six = ["fc00::/7", "fe80::/10", "::/8", "ff00::/8"];
    let six = six.iter().filter_map(|text| net(text));
    AddressSet::everything().difference(&private.into_iter().chain(six).collect())
}

/// The platform's own address: DNS, DHCP, health probes
/// (<https://learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16>).
pub(in crate::model) const PLATFORM: Ipv4Addr = Ipv4Addr::new(168, 63, 129, 16);

const GATEWAY_SUBNET: &str = "GatewaySubnet";
const ROUTE_SERVER_SUBNET: &str = "RouteServerSubnet";
/// Prefixes of up to sixteen addresses are listed address by address.
const LEAST_LISTED_PREFIX: u8 = 28;
const NOT_PUBLIC: [(Ipv4Addr, u8); 8] = [
    (Ipv4Addr::UNSPECIFIED, 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(224, 0, 0, 0), 3),
];

#[cfg(test)]
mod oracle;
#[cfg(test)]
pub(super) mod testing;
#[cfg(test)]
mod tests;

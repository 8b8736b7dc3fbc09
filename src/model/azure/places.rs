//! Places on the internet that a host's rules and routes can tell apart.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};

use super::{
    Network, PLATFORM,
    ends::{self, Guard},
    public_space, route, walk,
};
use crate::model::{set::AddressSet, trace::Point};

/// An IPv4 address of each part of the public space that rules and routes at a host may treat in its own way: what is
/// alike for all of these is alike for every public address. `None` when there are more parts than anybody would look at.
pub(in crate::model) fn public_places(network: &Network<'_>, from: &Point) -> Option<Vec<IpAddr>> {
    let mut parts = vec![space(network, from)];
    for set in ranges(network, from) {
        let mut next = Vec::with_capacity(parts.len());
        for part in parts {
            let (inside, outside) = (part.intersection(&set), part.difference(&set));
            next.extend([inside, outside].into_iter().filter(|one| !one.is_empty()));
        }
        if next.len() > MOST_PARTS {
            return None;
        }
        parts = next;
    }
    Some(parts.iter().filter_map(AddressSet::first).collect())
}

/// Public addresses that are nothing else in the facts: no host's, and of no network that has nothing to do with the host.
fn space(network: &Network<'_>, from: &Point) -> AddressSet {
    let homes: Vec<usize> = ends::insides(network, from).iter().map(|one| one.network).collect();
    let peered = |place: usize| {
        let id = network.vnet(place).map(|one| &one.id);
        id.is_some_and(|id| homes.iter().any(|home| network.peering(*home, id).is_some()))
    };
    let strange = network.vnets().filter(|(place, _)| !homes.contains(place) && !peered(*place));
    let strange: Vec<IpNet> = strange.flat_map(|(_, one)| one.ranges.iter().copied()).collect();
    let taken = AddressSet::from_addresses(network.holders.keys().copied().chain([IpAddr::V4(PLATFORM)]));
    public_space().ipv4().difference(&taken).difference(&AddressSet::from_nets(&strange))
}

/// The ranges that rules and routes at a host name, each as a set.
fn ranges(network: &Network<'_>, from: &Point) -> Vec<AddressSet> {
    let mut found = Vec::new();
    for end in ends::insides(network, from) {
        let Some(subnet) = end.subnet else { continue };
        let interface = match end.guard {
            Guard::Interface(interface) => Some(interface),
            _ => None,
        };
        let tags = walk::tags(network, subnet);
        found.extend(route::ranges_of_routes(network, subnet, interface));
        let of_subnet = network.place(subnet).and_then(|place| place.facts.network_security_group.as_ref());
        let of_interface = interface.and_then(|one| one.network_security_group.as_ref());
        for group in of_subnet.into_iter().chain(of_interface).filter_map(|one| network.group(&one.id)) {
            found.extend(group.destinations(everything(), &tags).flatten());
        }
        found.extend([tags.virtual_network, tags.perhaps]);
    }
    found
}

fn everything() -> IpNet {
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0))
}

const MOST_PARTS: usize = 256;

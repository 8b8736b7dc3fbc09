//! The public path: whom the authorized ranges let in, and the address that the endpoint sees
//! (<https://learn.microsoft.com/azure/aks/api-server-authorized-ip-ranges>).

use std::net::{IpAddr, Ipv4Addr};

use kubereach_probes::AddressClass;

use super::{Evaluation, Located, PORT, Place, PublicPath, is_node};
use crate::{
    facts::{
        Facts,
        aks::{AuthorizedSource, ManagedCluster},
        azure::ArmId,
    },
    model::{
        azure::{self, Network, PublicAddresses},
        paths::representatives,
        set::AddressSet,
        trace::{HopKind, Outcome, Point, Trace},
    },
};

/// The sources that the authorized ranges name as ranges: everybody where there is none. Service tags and `0.0.0.0/32`,
/// which stands for the cluster's own outbound addresses, hold nobody here.
#[must_use]
pub fn admitted(cluster: &ManagedCluster) -> AddressSet {
    let access = cluster.access();
    if access.authorized_ip_ranges.is_empty() {
        return AddressSet::everything();
    }
    access.authorized_ip_ranges.iter().filter(|one| !one.is_outbound_only()).filter_map(AuthorizedSource::net).collect()
}

/// The public addresses that the cluster's packets leave with, of its load balancer or managed NAT gateway. `None` when
/// it leaves another way, or the cluster does not tell.
#[must_use]
pub fn outbound_addresses(facts: &Facts, network: &Network<'_>) -> Option<PublicAddresses> {
    let profile = facts.managed_cluster.as_ref()?.network_profile.as_ref()?;
    let kind = profile.outbound_type.as_deref().unwrap_or("loadBalancer");
    let of = |wanted: &str| kind.eq_ignore_ascii_case(wanted);
    let outbound = if of("loadBalancer") {
        profile.load_balancer_profile.as_ref()
    } else if of("managedNATGateway") || of("managedNATGatewayV2") {
        profile.nat_gateway_profile.as_ref()
    } else {
        None
    };
    let ids: Vec<&ArmId> = outbound?.effective_outbound_ips.iter().map(|one| &one.id).collect();
    if ids.is_empty() { None } else { Some(network.public(ids)) }
}

impl<'f> Evaluation<'_, 'f> {
    pub(super) fn public(&self, located: &Located<'f>) -> PublicPath {
        let access = self.cluster.public_network_access.as_deref().unwrap_or("Enabled");
        if self.cluster.is_private() || access.eq_ignore_ascii_case("Disabled") {
            return PublicPath::Off;
        }
        // Another word may close it, or guard it by something else than the ranges.
        if !access.eq_ignore_ascii_case("Enabled") {
            return PublicPath::NotKnown;
        }
        let mut egress: Vec<IpAddr> = Vec::new();
        let mut unsure = None;
        match (&located.place, &located.point) {
            (Place::ClusterNetwork { .. } | Place::OtherNetwork { .. }, Some(from)) => {
                let Some(way) = self.way_out(from) else { return PublicPath::NotKnown };
                egress.clone_from(&way.source_seen);
                if egress.is_empty() && way.outcome == Outcome::Reachable {
                    egress = self.of_node(located, &way);
                }
                match way.outcome {
                    Outcome::Reachable => {}
                    Outcome::Blocked => return PublicPath::NoWayOut(Box::new(way)),
                    Outcome::Unknown => unsure = Some(way),
                }
            }
            // By which address it is seen is declared or was observed.
            _ if !self.standpoint.egress.is_empty() => {
                let access = self.cluster.access();
                let ranges = access.authorized_ip_ranges.iter().filter_map(AuthorizedSource::net);
                egress = representatives(&self.standpoint.egress, ranges);
            }
            // The scenario says where it is, and the facts do not know that place: nor whether it has a way out.
            (Place::Unknown, _) if self.standpoint.declared => return PublicPath::EgressNotKnown,
            _ => egress.extend(self.standpoint.own.iter().filter(|one| self.classes.of(**one) == AddressClass::Public)),
        }
        egress.sort_unstable();
        egress.dedup();
        // The endpoint has IPv4 addresses: who has none needs a translator to get there, and is seen as that.
        let six =
            self.endpoint_addresses.iter().any(|one| one.is_ipv6() && self.classes.of(*one) == AddressClass::Public);
        if !six && egress.iter().any(IpAddr::is_ipv6) {
            egress.retain(IpAddr::is_ipv4);
            if egress.is_empty() {
                return PublicPath::EgressNotKnown;
            }
        }
        let access = self.cluster.access();
        let ranges = &access.authorized_ip_ranges;
        let judged = if ranges.is_empty() {
            PublicPath::Open
        } else if egress.is_empty() || (self.standpoint.behind_proxy && self.standpoint.egress.is_empty()) {
            PublicPath::EgressNotKnown
        } else {
            self.judged(ranges, egress)
        };
        match (unsure, judged) {
            // Whatever an appliance lets through, the endpoint does not.
            (_, judged @ (PublicPath::NotListed { .. } | PublicPath::OutboundOnly { .. })) | (None, judged) => judged,
            (Some(way), _) => PublicPath::WayOutNotKnown(Box::new(way)),
        }
    }

    fn judged(&self, ranges: &[AuthorizedSource], egress: Vec<IpAddr>) -> PublicPath {
        let entry = |address: &IpAddr| ranges.iter().find(|one| self.holds(one, *address));
        let (inside, outside): (Vec<IpAddr>, Vec<IpAddr>) = egress.into_iter().partition(|one| entry(one).is_some());
        let unknown_tag = ranges.iter().find_map(|one| match one {
            AuthorizedSource::ServiceTag(tag) if self.network.service_tag(tag).is_none() => Some(tag.clone()),
            AuthorizedSource::ServiceTag(_) | AuthorizedSource::Range(_) => None,
        });
        let first = inside.first().and_then(|address| Some((*address, entry(address)?.text().to_owned())));
        match (first, outside.is_empty(), unknown_tag) {
            (Some((egress, entry)), true, _) => PublicPath::Listed { egress, entry },
            (_, _, Some(tag)) => PublicPath::TagNotKnown { tag, egress: outside },
            (Some(_), false, None) => PublicPath::PartlyListed { listed: inside, unlisted: outside },
            (None, _, None) if ranges.iter().all(AuthorizedSource::is_outbound_only) => {
                PublicPath::OutboundOnly { egress: outside }
            }
            (None, _, None) => PublicPath::NotListed { egress: outside },
        }
    }

    fn holds(&self, entry: &AuthorizedSource, address: IpAddr) -> bool {
        match entry {
            // The load balancer's addresses only: nodes that leave by a NAT gateway or a firewall are not let in.
            _ if entry.is_outbound_only() => {
                let profile = self.cluster.network_profile.as_ref();
                let balancer = profile.and_then(|profile| profile.load_balancer_profile.as_ref());
                let ids = balancer.into_iter().flat_map(|one| &one.effective_outbound_ips).map(|one| &one.id);
                let own = self.network.public(ids);
                own.addresses.contains(&address) || own.ranges.iter().any(|net| net.contains(&address))
            }
            AuthorizedSource::Range(cidr) => cidr.net.contains(&address),
            AuthorizedSource::ServiceTag(tag) => {
                self.network.service_tag(tag).is_some_and(|nets| nets.iter().any(|net| net.contains(&address)))
            }
        }
    }

    /// The addresses of a node whose own network does not tell them: those that the cluster says it leaves with.
    fn of_node(&self, located: &Located<'f>, way: &Trace) -> Vec<IpAddr> {
        let node = located.interface.is_some_and(|interface| is_node(self.facts, interface));
        // A gateway whose addresses are not known is another way than that of the cluster's profile, or the same.
        let by_gateway = way.hops().any(|hop| matches!(hop.kind, HopKind::NatGateway | HopKind::PublicIpAddress));
        let managed = self.cluster.network_profile.as_ref().and_then(|profile| profile.nat_gateway_profile.as_ref());
        if !node || (by_gateway && managed.is_none()) {
            return Vec::new();
        }
        let known = outbound_addresses(self.facts, self.network);
        known
            .filter(|known| known.unknown.is_empty() && known.ranges.is_empty())
            .map(|known| known.addresses)
            .unwrap_or_default()
    }

    /// The way from a host to the endpoint on the internet: to each of its known public addresses; where none is known,
    /// to every part of the public space that rules and routes there can tell apart. Where those differ, the way is unknown.
    fn way_out(&self, from: &Point) -> Option<Trace> {
        let public = |one: &&IpAddr| self.classes.of(**one) == AddressClass::Public;
        let known: Vec<IpAddr> = self.endpoint_addresses.iter().filter(public).copied().collect();
        let assumed = known.is_empty();
        let places = if assumed { azure::public_places(self.network, from) } else { None };
        let uncounted = assumed && places.is_none();
        let targets = match places.filter(|places| !places.is_empty()) {
            Some(places) => places,
            None if assumed => vec![IpAddr::V4(A_PUBLIC_ADDRESS)],
            None => known.into_iter().take(MOST_TARGETS).collect(),
        };
        let mut ways = Vec::with_capacity(targets.len());
        for target in &targets {
            ways.push(azure::trace(self.network, from, &Point::Address(*target), PORT).ok()?);
        }
        let same = ways.iter().all(|way| way.outcome == ways[0].outcome && way.source_seen == ways[0].source_seen);
        let unclear = !same || uncounted;
        // The one that is not open says more.
        let place = ways.iter().position(|way| way.outcome != Outcome::Reachable).unwrap_or(0);
        let mut way = ways.swap_remove(place);
        if unclear {
            way.outcome = Outcome::Unknown;
            way.notes.push(
                "the endpoint's addresses are not known, or not all alike: list them under `addresses`".to_owned(),
            );
        }
        Some(way)
    }
}

/// Stands for the public endpoint where its addresses are not known, and its places are too many to look at each.
const A_PUBLIC_ADDRESS: Ipv4Addr = Ipv4Addr::new(20, 50, 0, 1);
const MOST_TARGETS: usize = 16;

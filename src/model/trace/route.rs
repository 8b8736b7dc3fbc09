//! Longest-prefix match in the route tables of subnets and of transit gateways.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::{
    facts::ec2,
    model::network::{Network, is},
};

/// Where a route leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target<'f> {
    Local,
    InternetGateway(&'f str),
    EgressOnly(&'f str),
    Nat(&'f str),
    Transit(&'f str),
    Peering(&'f str),
    Vpn(&'f str),
    /// A gateway endpoint, or one of a load balancer of appliances.
    Endpoint(&'f str),
    /// An interface or instance that decides by itself.
    Appliance(&'f str),
    /// What is not modelled: local and carrier gateways, core networks, what may come.
    Other(&'f str),
}

impl<'f> Target<'f> {
    pub(super) fn id(self) -> &'f str {
        match self {
            Self::Local => "local",
            Self::InternetGateway(id)
            | Self::EgressOnly(id)
            | Self::Nat(id)
            | Self::Transit(id)
            | Self::Peering(id)
            | Self::Vpn(id)
            | Self::Endpoint(id)
            | Self::Appliance(id)
            | Self::Other(id) => id,
        }
    }

    fn of(route: &'f ec2::Route) -> Self {
        let first = |id: &'f Option<String>| id.as_deref().filter(|id| !id.is_empty());
        if let Some(id) = first(&route.transit_gateway_id) {
            Self::Transit(id)
        } else if let Some(id) = first(&route.vpc_peering_connection_id) {
            Self::Peering(id)
        } else if let Some(id) = first(&route.nat_gateway_id) {
            Self::Nat(id)
        } else if let Some(id) = first(&route.egress_only_internet_gateway_id) {
            Self::EgressOnly(id)
        } else if let Some(id) = first(&route.network_interface_id).or_else(|| first(&route.instance_id)) {
            Self::Appliance(id)
        } else if let Some(id) = first(&route.gateway_id) {
            match id.split('-').next() {
                Some("local") => Self::Local,
                Some("igw") => Self::InternetGateway(id),
                Some("eigw") => Self::EgressOnly(id),
                Some("vgw") => Self::Vpn(id),
                Some("vpce") => Self::Endpoint(id),
                _ => Self::Other(id),
            }
        } else {
            let other = first(&route.local_gateway_id).or_else(|| first(&route.carrier_gateway_id));
            Self::Other(other.or_else(|| first(&route.core_network_arn)).unwrap_or("an unknown target"))
        }
    }
}

/// The route that a packet takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken<'f> {
    pub(super) target: Target<'f>,
    /// The destination as the table prints it: a range, or the prefix list.
    pub(super) destination: &'f str,
    pub(super) net: IpNet,
    pub(super) blackhole: bool,
    pub(super) propagated: bool,
}

impl Taken<'_> {
    /// `10.0.0.0/8 → tgw-0abc (static)`.
    pub(super) fn words(&self) -> String {
        let origin = match (self.target, self.propagated) {
            (Target::Local, _) => "",
            (_, true) => " (propagated)",
            (_, false) => " (static)",
        };
        format!("{} → {}{origin}", self.destination, self.target.id())
    }
}

/// What a table says of a destination.
#[derive(Debug, Default)]
pub(super) struct Lookup<'f> {
    pub(super) taken: Option<Taken<'f>>,
    /// A longer route for a part of the destination leads elsewhere.
    pub(super) part: Option<Taken<'f>>,
    /// A route to this prefix list might be better, but its entries are not known.
    pub(super) unknown_list: Option<&'f str>,
    /// Gateway endpoints whose lists are not known: taken not to hold the destination.
    pub(super) unknown_services: Vec<&'f str>,
}

/// The longest match; at equal length a static route beats a prefix list's, and that a propagated one
/// (<https://docs.aws.amazon.com/vpc/latest/userguide/route-tables-priority.html>).
pub(super) fn look_up<'f>(network: &Network<'f>, table: &'f ec2::RouteTable, destination: &IpNet) -> Lookup<'f> {
    let mut lookup = Lookup::default();
    let mut best = (0_u8, 0_u8);
    let mut parts: Vec<Taken<'f>> = Vec::new();
    let mut unread: Vec<(&'f str, Target<'f>, bool)> = Vec::new();
    for route in table.routes.iter().flatten() {
        let target = Target::of(route);
        let blackhole = is(route.state.as_deref(), "blackhole");
        let propagated = is(route.origin.as_deref(), "EnableVgwRoutePropagation");
        let mut consider = |net: IpNet, text: &'f str, priority: u8| {
            let taken = Taken { target, destination: text, net, blackhole, propagated };
            if net.contains(destination) {
                let rank = (net.prefix_len(), priority);
                if lookup.taken.is_none() || rank > best {
                    best = rank;
                    lookup.taken = Some(taken);
                }
            } else if destination.contains(&net) {
                parts.push(taken);
            }
        };
        let cidr = route.destination_cidr_block.as_ref().or(route.destination_ipv6_cidr_block.as_ref());
        if let Some(cidr) = cidr {
            consider(cidr.net, &cidr.text, if propagated { 0 } else { 2 });
        }
        if let Some(list) = route.destination_prefix_list_id.as_deref() {
            match (network.prefix_list_entries(list), target) {
                (Some(entries), _) => entries.iter().for_each(|net| consider(*net, list, 1)),
                // Such a list holds addresses of the provider's own public services.
                (None, Target::Endpoint(_)) if super::ends::is_private(destination.addr()) => {}
                (None, Target::Endpoint(_)) => lookup.unknown_services.push(list),
                (None, target) => unread.push((list, target, blackhole)),
            }
        }
    }
    // Nothing is longer than a route for the very address, and a list that leads the same way changes nothing.
    let whole = lookup.taken.is_some_and(|taken| taken.net.prefix_len() == taken.net.max_prefix_len());
    let same = |target: Target<'f>, blackhole: bool| {
        lookup.taken.is_some_and(|taken| taken.target == target && taken.blackhole == blackhole)
    };
    lookup.unknown_list =
        unread.iter().find(|(_, target, blackhole)| !whole && !same(*target, *blackhole)).map(|(list, ..)| *list);
    lookup.part = parts
        .into_iter()
        .find(|part| part.blackhole || lookup.taken.is_none_or(|taken| taken.blackhole || taken.target != part.target));
    lookup
}

/// A route of a transit gateway that a packet takes.
#[derive(Clone, Debug)]
pub(super) struct TransitTaken<'f> {
    pub(super) route: &'f ec2::TransitGatewayRoute,
    pub(super) net: IpNet,
    pub(super) text: &'f str,
}

/// What a route of a transit gateway does by its state
/// (<https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_TransitGatewayRoute.html>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TransitState {
    /// `active`, or nothing said.
    Forwards,
    /// `blackhole`.
    Drops,
    /// `pending`, `deleting`, `deleted`: as if it were not there.
    Absent,
    /// A word that is not known.
    Unclear,
}

impl TransitState {
    pub(super) fn of(route: &ec2::TransitGatewayRoute) -> Self {
        let state = route.state.as_deref();
        if state.is_none() || is(state, "active") {
            Self::Forwards
        } else if is(state, "blackhole") {
            Self::Drops
        } else if ["pending", "deleting", "deleted"].iter().any(|word| is(state, word)) {
            Self::Absent
        } else {
            Self::Unclear
        }
    }
}

/// The longest match; at equal length static routes come first, then propagated ones by the kind of their attachment
/// (<https://docs.aws.amazon.com/vpc/latest/tgw/how-transit-gateways-work.html>). With it, a longer route for a part.
pub(super) fn look_up_transit<'f>(
    network: &Network<'f>,
    routes: &'f ec2::TransitGatewayRoutes,
    destination: &IpNet,
) -> (Option<TransitTaken<'f>>, Option<TransitTaken<'f>>) {
    let mut best: Option<((u8, u8), TransitTaken<'f>)> = None;
    let mut parts = Vec::new();
    for route in routes.routes.iter().filter(|route| TransitState::of(route) != TransitState::Absent) {
        let mut consider = |net: IpNet, text: &'f str| {
            let taken = TransitTaken { route, net, text };
            if net.contains(destination) {
                let rank = (net.prefix_len(), priority(route));
                if best.as_ref().is_none_or(|(other, _)| rank > *other) {
                    best = Some((rank, taken));
                }
            } else if destination.contains(&net) {
                parts.push(taken);
            }
        };
        match (&route.destination_cidr_block, route.prefix_list_id.as_deref()) {
            (Some(cidr), _) => consider(cidr.net, &cidr.text),
            (None, Some(list)) => {
                network.prefix_list_entries(list).into_iter().flatten().for_each(|net| consider(*net, list));
            }
            (None, None) => {}
        }
    }
    let best = best.map(|(_, taken)| taken);
    let first = |taken: &TransitTaken<'f>| {
        let attachment = taken.route.transit_gateway_attachments.first();
        (
            TransitState::of(taken.route),
            attachment.and_then(|attachment| attachment.transit_gateway_attachment_id.clone()),
        )
    };
    let part = parts.into_iter().find(|part| best.as_ref().is_none_or(|best| first(best) != first(part)));
    (best, part)
}

/// Whether a TGW route's destination holds this address, and how long it is; one that is not in effect holds nothing.
pub(super) fn holds(network: &Network<'_>, route: &ec2::TransitGatewayRoute, address: IpAddr) -> Option<u8> {
    if TransitState::of(route) == TransitState::Absent {
        return None;
    }
    match (&route.destination_cidr_block, route.prefix_list_id.as_deref()) {
        (Some(cidr), _) => cidr.net.contains(&address).then(|| cidr.net.prefix_len()),
        (None, Some(list)) => {
            network.prefix_list_entries(list)?.iter().filter(|net| net.contains(&address)).map(IpNet::prefix_len).max()
        }
        (None, None) => None,
    }
}

fn priority(route: &ec2::TransitGatewayRoute) -> u8 {
    if is(route.kind.as_deref(), "static") {
        return if route.prefix_list_id.is_some() { 8 } else { 9 };
    }
    match route.transit_gateway_attachments.first().and_then(|attachment| attachment.resource_type.as_deref()) {
        Some("vpc") => 7,
        Some("direct-connect-gateway") => 6,
        Some("connect" | "connect-peer") => 5,
        Some("vpn") => 4,
        Some("peering" | "tgw-peering") => 3,
        _ => 2,
    }
}

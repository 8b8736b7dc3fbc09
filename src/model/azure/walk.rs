//! The packet's way from hop to hop.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{
    Network, PLATFORM, PublicOf, contains,
    ends::{self, End, Ends, Guard, Inside, subnet_label},
    filter::{Decided, Membership, Named, Packet, Tags},
    route::{self, Chosen, Looked, Origin, Via, carries, gateways_of, look_up, ranges_of},
};
use crate::{
    facts::azure::ArmId,
    model::{
        set::AddressSet,
        trace::{Decision, Hop, HopKind, NsgRule, PeeringProblem, Point, Reason, Trace, TraceError, is_private},
    },
};

/// The way of a TCP connection from one point to another and of its replies, by Azure's rules.
///
/// # Errors
/// A point that the facts do not hold, or that they hold several times.
pub fn trace(network: &Network<'_>, from: &Point, to: &Point, port: u16) -> Result<Trace, TraceError> {
    let ends = ends::resolve(network, from, to)?;
    let mut walk = Walk {
        network,
        port,
        dialled: ends.dialled,
        forward: Vec::new(),
        back: Vec::new(),
        notes: Vec::new(),
        seen: Vec::new(),
    };
    if let End::Inside(Inside { guard: Guard::NotAsked, label, .. }) = &ends.from {
        walk.notes.push(format!("security groups of single hosts in {label} are not part of this answer"));
    }
    walk.go(&ends);
    let Walk { forward, back, notes, mut seen, .. } = walk;
    seen.sort_unstable();
    seen.dedup();
    Ok(Trace::of(forward, back, Some(ends.dialled), seen, notes))
}

struct Walk<'n, 'f> {
    network: &'n Network<'f>,
    port: u16,
    dialled: IpAddr,
    forward: Vec<Hop>,
    back: Vec<Hop>,
    notes: Vec<String>,
    seen: Vec<IpAddr>,
}

/// How far a packet got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Carried {
    /// To the network of the destination.
    There,
    /// To the internet's edge.
    Internet,
    /// To a gateway.
    Gateway,
    /// To something that may translate it, drop it or send it on.
    Elsewhere,
    /// Nowhere: a hop says why.
    Lost,
}

/// What the security groups at one end did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Filtered {
    /// There is none.
    None,
    /// A rule of each lets it pass.
    Passed,
    /// One stops it.
    Stopped,
    /// What one does is not known, or it lets some of the sources pass.
    Unknown,
}

/// Whom a packet is from and to, as security groups see it.
struct Flow<'a, 'f> {
    sources: &'a [IpNet],
    destinations: &'a [IpNet],
    source: Option<&'a Inside<'f>>,
    destination: Option<&'a Inside<'f>>,
}

impl<'f> Walk<'_, 'f> {
    fn go(&mut self, ends: &Ends<'f>) {
        match (&ends.from, &ends.to) {
            (End::Inside(source), End::Inside(target)) if contains(&target.nets, ends.dialled) => {
                self.inside(source, target);
            }
            (End::Inside(source), _) if !is_private(ends.dialled) => {
                self.leave_for_the_internet(source, ends.to_inside());
            }
            (End::Inside(source), _) => self.leave_by_a_gateway(source),
            (End::Outside(source), End::Inside(target)) => self.arrive_from_outside(*source, target),
            (End::Outside(_), End::Outside(_)) => {}
        }
    }

    fn push(&mut self, hop: Hop) {
        self.forward.push(hop);
    }

    fn label(&self, subnet: Option<usize>) -> String {
        subnet
            .map_or_else(|| "a subnet that is not in the facts".to_owned(), |subnet| subnet_label(self.network, subnet))
    }

    fn subnet_id(&self, subnet: usize) -> ArmId {
        self.network.place(subnet).map(|place| place.facts.id.clone()).unwrap_or_default()
    }

    fn vnet_id(&self, network: usize) -> ArmId {
        self.network.vnet(network).map(|one| one.id.clone()).unwrap_or_default()
    }

    /// The hop of an end itself.
    fn end_hops(&mut self, end: &Inside<'f>, does: &str) {
        if let Guard::Endpoint(id, None) = end.guard {
            let what = format!("the state of the private endpoint {}", id.name());
            self.missing(HopKind::PrivateEndpoint, id.name(), what, PRIVATE_ENDPOINTS);
        }
        if let Guard::Endpoint(_, Some(endpoint)) = end.guard {
            let connections = endpoint
                .private_link_service_connections
                .iter()
                .chain(&endpoint.manual_private_link_service_connections);
            let states = connections.filter_map(|one| one.private_link_service_connection_state.status.as_deref());
            if let Some(state) = states.into_iter().find(|state| !is(state, "Approved")) {
                let rule = format!("its connection is {state}, not Approved");
                let reason =
                    Reason::EndpointState { endpoint: endpoint.id.as_str().to_owned(), state: state.to_owned() };
                self.push(hop(HopKind::PrivateEndpoint, &end.label, Decision::Drop, rule, Some(reason)));
                return;
            }
        }
        let within = self.label(end.subnet);
        let who = if matches!(end.guard, Guard::NotAsked) { "a host".to_owned() } else { net_words(&end.nets) };
        let rule = format!("{who} in {within} {does}");
        self.push(hop(end.kind, &end.label, Decision::Forward, rule, None));
    }

    /// Both ends inside, by a private address.
    fn inside(&mut self, source: &Inside<'f>, target: &Inside<'f>) {
        self.end_hops(source, "sends");
        let dialled = [IpNet::from(self.dialled)];
        let flow =
            Flow { sources: &source.nets, destinations: &dialled, source: Some(source), destination: Some(target) };
        let left = self.filter_out(source, &flow);
        let carried = self.carry(source, Some(target), left);
        self.seen = if carried == Carried::Elsewhere { Vec::new() } else { single_addresses(&source.nets) };
        let untranslated = match carried {
            Carried::There => true,
            Carried::Lost => self.forward.iter().any(|hop| hop.decision.blocks()),
            Carried::Internet | Carried::Gateway => {
                // A gateway may bring it back, and the internet has another host of that address.
                let what = format!("whether packets to {} come from there to {}", self.dialled, target.label);
                self.unclear(HopKind::OnPremises, &self.dialled.to_string(), what);
                false
            }
            Carried::Elsewhere => false,
        };
        if !untranslated {
            return;
        }
        let place = self.forward.len();
        let came_in = self.filter_in(target, &flow);
        if source.network != target.network && carried == Carried::There {
            self.require_access(target.network, source.network, came_in, place);
        }
        let lost = self.forward.iter().any(|hop| hop.decision.blocks());
        self.end_hops(target, if lost { "is where it should arrive" } else { "is reached" });
        self.reply(source, target, carried);
    }

    /// The replies of a host inside to one inside.
    fn reply(&mut self, source: &Inside<'f>, target: &Inside<'f>, carried: Carried) {
        if matches!(target.guard, Guard::Endpoint(..)) {
            // <https://learn.microsoft.com/azure/private-link/private-endpoint-overview>
            if carried == Carried::There {
                let rule =
                    format!("replies go straight back to {}: routes do not apply to them", net_words(&source.nets));
                self.back.push(hop(HopKind::PrivateEndpoint, &target.label, Decision::Forward, rule, None));
                self.back_at(source);
            }
            return;
        }
        // Replies of a private endpoint would not care for routes.
        if self.may_be_endpoint(target) || (source.subnet.is_none() && target.subnet.is_none()) {
            return;
        }
        let forward = std::mem::take(&mut self.forward);
        let carried = self.carry_reply(source, target);
        let hops = std::mem::replace(&mut self.forward, forward);
        self.back.extend(hops);
        if carried == Carried::There {
            self.back_at(source);
        }
    }

    fn carry_reply(&mut self, source: &Inside<'f>, target: &Inside<'f>) -> Carried {
        let destination = ends::first(source);
        let Some(subnet) = target.subnet else { return self.no_subnet(target) };
        if let Some(range) = source.nets.iter().find(|net| net.prefix_len() < net.max_prefix_len())
            && let Some(route) = route::parts(self.network, subnet, range)
        {
            let what = format!(
                "route {} ({}) parts {range}: whether replies take it depends on the host",
                route.name,
                route.address_prefix.as_deref().unwrap_or_default()
            );
            self.unclear(HopKind::RouteTable, &subnet_label(self.network, subnet), what);
            return Carried::Elsewhere;
        }
        let interface = match target.guard {
            Guard::Interface(interface) => Some(interface),
            _ => None,
        };
        let looked = look_up(self.network, subnet, interface, destination);
        self.follow(Leg { subnet, from: target.network, to: Some(source), destination, reply: true }, looked)
    }

    fn back_at(&mut self, source: &Inside<'f>) {
        let who = if matches!(source.guard, Guard::NotAsked) { "the host".to_owned() } else { net_words(&source.nets) };
        // Groups keep state (<https://learn.microsoft.com/azure/virtual-network/network-security-groups-overview>).
        let rule = format!("{who} gets the replies: no rule is asked for them");
        self.back.push(hop(source.kind, &source.label, Decision::Forward, rule, None));
    }

    /// From the source's subnet to the destination's network.
    fn carry(&mut self, source: &Inside<'f>, target: Option<&Inside<'f>>, left: Filtered) -> Carried {
        let Some(subnet) = source.subnet else { return self.no_subnet(source) };
        let interface = match source.guard {
            Guard::Interface(interface) => Some(interface),
            _ => None,
        };
        let looked = look_up(self.network, subnet, interface, self.dialled);
        let doubtful = |looked: &Looked<'_>| {
            let Looked::Route(chosen) = looked else { return false };
            matches!(chosen.origin, Origin::User { .. }) && chosen.net.prefix_len() < chosen.net.max_prefix_len()
        };
        if doubtful(&looked) && target.is_some_and(|target| self.may_be_endpoint(target)) {
            let what = format!(
                "whether {} is a private endpoint, whose own route goes before those of the user",
                self.dialled
            );
            self.missing(HopKind::RouteTable, &subnet_label(self.network, subnet), what, INTERFACES);
            return Carried::Elsewhere;
        }
        let leg = Leg { subnet, from: source.network, to: target, destination: self.dialled, reply: false };
        let carried = self.follow(leg, looked);
        if let (Carried::There, Some(target)) = (carried, target)
            && target.network != source.network
        {
            let place = self.forward.len();
            self.require_access(source.network, target.network, left, place);
        }
        carried
    }

    fn no_subnet(&mut self, end: &Inside<'f>) -> Carried {
        let what = format!("the subnet of {}", net_words(&end.nets));
        let home = self.vnet_id(end.network);
        self.missing(HopKind::VirtualNetwork, home.name(), what, VIRTUAL_NETWORKS);
        Carried::Elsewhere
    }

    /// Without `allowVirtualNetworkAccess` the service tag does not hold the peer: a rule that names the addresses can
    /// still let packets through, nothing else can
    /// (<https://learn.microsoft.com/azure/virtual-network/virtual-network-manage-peering>).
    fn require_access(&mut self, here: usize, there: usize, filtered: Filtered, place: usize) {
        let (here_id, remote) = (self.vnet_id(here), self.vnet_id(there));
        let Some(peering) = self.network.peering(here, &remote) else { return };
        if peering.allow_virtual_network_access != Some(false) || filtered == Filtered::Passed {
            return;
        }
        let reason = Reason::VirtualNetworkPeering {
            peering: Some(peering.id.clone()),
            network: here_id.clone(),
            remote: remote.clone(),
            problem: PeeringProblem::AccessDenied,
            reply: false,
        };
        let rule = format!(
            "allowVirtualNetworkAccess is false: {} does not take part in VirtualNetwork in {}, and no security rule is known to name the addresses",
            remote.name(),
            here_id.name()
        );
        let place = place.min(self.forward.len());
        let decision = if filtered == Filtered::Unknown { Decision::Unknown } else { Decision::Drop };
        self.forward.insert(place, hop(HopKind::Peering, peering.id.name(), decision, rule, Some(reason)));
    }

    /// What a route does with a packet.
    fn follow(&mut self, leg: Leg<'_, 'f>, looked: Looked<'f>) -> Carried {
        let label = subnet_label(self.network, leg.subnet);
        let chosen = match looked {
            Looked::Route(chosen) => chosen,
            Looked::UnlessLearned(chosen) => {
                if let Some(carried) = self.not_by_gateway(leg, &chosen) {
                    return carried;
                }
                let what = format!(
                    "whether a gateway has learned a route to {} is not in the facts; without one {}",
                    leg.destination,
                    route_words(&chosen)
                );
                self.unclear(HopKind::RouteTable, &label, what);
                return Carried::Elsewhere;
            }
            Looked::NoTable(table) => {
                let what = format!("the route table {} of {label}", table.name());
                self.missing(HopKind::RouteTable, table.name(), what, ROUTE_TABLES);
                return Carried::Elsewhere;
            }
            Looked::NoNetwork => {
                let home = self.vnet_id(leg.from);
                self.missing(
                    HopKind::VirtualNetwork,
                    home.name(),
                    format!("the ranges and peerings of {}", home.name()),
                    VIRTUAL_NETWORKS,
                );
                return Carried::Elsewhere;
            }
            Looked::Unclear(what) => {
                self.unclear(HopKind::RouteTable, &label, what);
                return Carried::Elsewhere;
            }
        };
        self.take(leg, &chosen)
    }

    fn take(&mut self, leg: Leg<'_, 'f>, chosen: &Chosen<'f>) -> Carried {
        let words = route_words(chosen);
        let component = self.route_component(leg.subnet, chosen);
        match &chosen.via {
            Via::Local => {
                if leg.to.is_none_or(|to| to.network != leg.from) {
                    return self.stays(leg, chosen);
                }
                self.push(hop(HopKind::RouteTable, &component, Decision::Forward, words, None));
                Carried::There
            }
            Via::Endpoint(endpoint) => {
                // The route of a private endpoint leads to it, and nowhere else that has the same address.
                let there = leg.to.is_some_and(|to| matches!(to.guard, Guard::Endpoint(one, _) if *one == **endpoint));
                if !there {
                    return self.stays(leg, chosen);
                }
                self.push(hop(HopKind::RouteTable, &component, Decision::Forward, words, None));
                match leg.to {
                    Some(to) if to.network != leg.from => self.cross(leg, to.network),
                    _ => Carried::There,
                }
            }
            Via::Peering(remote) => {
                let place = self.network.vnet_by_id(remote);
                if leg.to.is_none_or(|to| Some(to.network) != place) {
                    if place.is_none() {
                        self.push(hop(HopKind::RouteTable, &component, Decision::Forward, words, None));
                        let what = format!("the virtual network {}", remote.name());
                        self.missing(HopKind::VirtualNetwork, remote.name(), what, VIRTUAL_NETWORKS);
                        return Carried::Elsewhere;
                    }
                    return self.stays(leg, chosen);
                }
                self.push(hop(HopKind::RouteTable, &component, Decision::Forward, words, None));
                match place {
                    Some(place) => self.cross(leg, place),
                    None => Carried::Lost,
                }
            }
            Via::Internet => {
                if is_private(leg.destination) {
                    let rule = format!("{words}: the internet does not carry {}", leg.destination);
                    return self.unrouted(leg, chosen, rule);
                }
                self.push(hop(HopKind::RouteTable, &component, Decision::Forward, words, None));
                Carried::Internet
            }
            Via::Appliance(address) => self.by_appliance(leg, chosen, *address),
            Via::Gateway => {
                self.push(hop(HopKind::RouteTable, &component, Decision::Forward, words, None));
                Carried::Gateway
            }
            Via::Nowhere => self.nowhere(leg, chosen),
            Via::Other => {
                self.unclear(HopKind::RouteTable, &component, format!("{words}: what that means is not known"));
                Carried::Elsewhere
            }
        }
    }

    /// The route keeps the packet in a network in which its destination is not.
    fn stays(&mut self, leg: Leg<'_, 'f>, chosen: &Chosen<'f>) -> Carried {
        let component = self.route_component(leg.subnet, chosen);
        let words = route_words(chosen);
        let home = self.vnet_id(leg.from);
        if let (Via::Local, Origin::System) = (&chosen.via, chosen.origin) {
            let rule = format!("{words}: {} is in a range of {} itself", leg.destination, home.name());
            let reason = Reason::OverlapsClient {
                vpc: home.as_str().to_owned(),
                cidr: chosen.net.to_string(),
                reply: leg.reply,
            };
            self.push(hop(HopKind::RouteTable, &component, Decision::Drop, rule, Some(reason)));
        } else {
            let rule = format!("{words}, where {} is not", leg.destination);
            let reason = Reason::LeadsElsewhere {
                target: component.clone(),
                destination: IpNet::from(leg.destination),
                reply: leg.reply,
            };
            self.push(hop(HopKind::RouteTable, &component, Decision::Drop, rule, Some(reason)));
        }
        Carried::Lost
    }

    /// Over a peering that is up, as its route shows.
    fn cross(&mut self, leg: Leg<'_, 'f>, to: usize) -> Carried {
        let remote = self.vnet_id(to);
        let Some(peering) = self.network.peering(leg.from, &remote) else {
            self.no_peering(leg, to);
            return Carried::Lost;
        };
        let name = peering.id.name().to_owned();
        match peering.peering_state.as_deref() {
            None => {
                let what = format!("the state of the peering {name}");
                self.missing(HopKind::Peering, &name, what, VIRTUAL_NETWORKS);
                Carried::There
            }
            Some(state) if !is(state, "Connected") => {
                self.broken_peering(leg, to, PeeringProblem::State(state.to_owned()));
                Carried::Lost
            }
            Some(_) if !self.comes_back(leg, to) => Carried::Lost,
            Some(_) => {
                let rule = format!("connects {} with {}", self.vnet_id(leg.from).name(), remote.name());
                self.push(hop(HopKind::Peering, &name, Decision::Forward, rule, None));
                Carried::There
            }
        }
    }

    /// Whether the other side of a peering is up, too, where no reply will be led over it: those of private endpoints know
    /// no routes. What is not known is a hop, and no hindrance.
    fn comes_back(&mut self, leg: Leg<'_, 'f>, to: usize) -> bool {
        let endpoint = leg.to.is_some_and(|to| matches!(to.guard, Guard::Endpoint(..)) || self.may_be_endpoint(to));
        if leg.reply || !endpoint {
            return true;
        }
        let (home, remote) = (self.vnet_id(leg.from), self.vnet_id(to));
        let back = Leg { from: to, reply: true, ..leg };
        match self.network.peering(to, &home).map(|one| (one.id.name().to_owned(), one.peering_state.clone())) {
            Some((_, Some(state))) if is(&state, "Connected") => true,
            Some((_, Some(state))) => {
                self.broken_peering(back, leg.from, PeeringProblem::State(state));
                false
            }
            Some((name, None)) => {
                self.missing(HopKind::Peering, &name, format!("the state of the peering {name}"), VIRTUAL_NETWORKS);
                true
            }
            None if self.peerings_told(to) => {
                self.broken_peering(back, leg.from, PeeringProblem::Missing);
                false
            }
            None => {
                let what = format!("the peering of {} with {}", remote.name(), home.name());
                self.missing(HopKind::Peering, remote.name(), what, VIRTUAL_NETWORKS);
                true
            }
        }
    }

    fn peerings_told(&self, network: usize) -> bool {
        self.network.vnet(network).is_some_and(|one| one.peerings_told)
    }

    /// `None`, or a route that the provider has for ranges that no network uses.
    fn nowhere(&mut self, leg: Leg<'_, 'f>, chosen: &Chosen<'f>) -> Carried {
        let rule = format!("{}: packets to {} are dropped", route_words(chosen), leg.destination);
        self.unrouted(leg, chosen, rule)
    }

    /// A route that leads to nobody: one of the user's diverts packets; the provider's own show that there is no way.
    fn unrouted(&mut self, leg: Leg<'_, 'f>, chosen: &Chosen<'f>, rule: String) -> Carried {
        let component = self.route_component(leg.subnet, chosen);
        if let (Origin::System | Origin::Effective(_), Some(to)) = (chosen.origin, leg.to)
            && to.network != leg.from
            && !by_user(chosen)
        {
            self.no_peering(leg, to.network);
            return Carried::Lost;
        }
        let reason = if by_user(chosen) {
            self.user_route(leg, chosen, None)
        } else {
            Reason::NoRoute {
                table: component.clone(),
                subnet: self.subnet_id(leg.subnet).as_str().to_owned(),
                destination: IpNet::from(leg.destination),
                reply: leg.reply,
            }
        };
        self.push(hop(HopKind::RouteTable, &component, Decision::Drop, rule, Some(reason)));
        Carried::Lost
    }

    /// There is no route between two networks of the facts: what is the matter with their peering.
    fn no_peering(&mut self, leg: Leg<'_, 'f>, to: usize) {
        let problem = self.peering_problem(leg.from, to);
        if !matches!(problem, PeeringProblem::State(_)) && !self.peerings_told(leg.from) {
            let (here, remote) = (self.vnet_id(leg.from), self.vnet_id(to));
            let what = format!("whether {} is peered with {}", here.name(), remote.name());
            self.missing(HopKind::Peering, here.name(), what, VIRTUAL_NETWORKS);
            return;
        }
        self.broken_peering(leg, to, problem);
    }

    fn peering_problem(&self, from: usize, to: usize) -> PeeringProblem {
        let remote = self.vnet_id(to);
        if let Some(peering) = self.network.peering(from, &remote) {
            return PeeringProblem::State(peering.peering_state.clone().unwrap_or_else(|| "unknown".to_owned()));
        }
        let peers = self.network.vnet(from).map(|one| one.peerings.as_slice()).unwrap_or_default();
        let through =
            peers.iter().filter(|one| carries(one)).filter_map(|one| one.remote_virtual_network.as_ref()).find(|one| {
                let third = self.network.vnet_by_id(&one.id);
                let theirs = third.and_then(|third| self.network.peering(third, &remote)).is_some_and(carries);
                let back = self.network.peering(to, &one.id).is_some_and(carries);
                theirs || back
            });
        match through {
            Some(third) => PeeringProblem::NotTransitive { through: third.id.clone() },
            None => PeeringProblem::Missing,
        }
    }

    fn broken_peering(&mut self, leg: Leg<'_, 'f>, to: usize, problem: PeeringProblem) {
        let (here, remote) = (self.vnet_id(leg.from), self.vnet_id(to));
        let peering = self.network.peering(leg.from, &remote).map(|one| one.id.clone());
        let between = format!("{} and {}", here.name(), remote.name());
        let rule = match &problem {
            PeeringProblem::Missing => format!("no peering between {between}"),
            PeeringProblem::NotTransitive { through } => {
                format!(
                    "{between} are each peered with {}, not with each other: peering is not transitive",
                    through.name()
                )
            }
            PeeringProblem::State(state) => format!("the peering of {between} is {state}, not Connected"),
            PeeringProblem::AccessDenied | PeeringProblem::ForwardedTraffic | PeeringProblem::GatewayTransit => {
                format!("the peering of {between} does not carry it")
            }
        };
        let component = peering.as_ref().map_or_else(|| here.name().to_owned(), |id| id.name().to_owned());
        let reason = Reason::VirtualNetworkPeering { peering, network: here, remote, problem, reply: leg.reply };
        self.push(hop(HopKind::Peering, &component, Decision::Drop, rule, Some(reason)));
    }

    /// Two networks that use the gateway of a third do not reach each other by it: it does not tell one of the other
    /// (<https://learn.microsoft.com/azure/vpn-gateway/vpn-gateway-peering-gateway-transit>).
    fn not_by_gateway(&mut self, leg: Leg<'_, 'f>, chosen: &Chosen<'f>) -> Option<Carried> {
        let to = leg.to.filter(|to| to.network != leg.from && chosen.origin == Origin::System)?;
        let remote = self.vnet_id(to.network);
        let lent = |beyond: &route::Beyond| {
            let hub = beyond.network.filter(|hub| *hub != leg.from)?;
            let peered = self.network.peering(hub, &remote).is_some_and(carries);
            peered.then_some(())
        };
        let all = gateways_of(self.network, leg.from);
        if all.is_empty() || !all.iter().all(|beyond| lent(beyond).is_some()) {
            return None;
        }
        self.no_peering(leg, to.network);
        Some(Carried::Lost)
    }

    fn by_appliance(&mut self, leg: Leg<'_, 'f>, chosen: &Chosen<'f>, address: Option<IpAddr>) -> Carried {
        let component = self.route_component(leg.subnet, chosen);
        let words = route_words(chosen);
        self.push(hop(HopKind::RouteTable, &component, Decision::Forward, words, None));
        let Some(address) = address else {
            let reason = self.user_route(leg, chosen, None);
            self.push(hop(
                HopKind::Appliance,
                &component,
                Decision::Unknown,
                "which appliance is not in the facts",
                Some(reason),
            ));
            return Carried::Elsewhere;
        };
        let reason = self.user_route(leg, chosen, Some(address));
        if let Some(firewall) = self.network.firewall_at(address) {
            let rule = format!("{address} is an Azure Firewall: what its rules let through is not in the facts");
            self.push(hop(HopKind::Firewall, firewall.id.name(), Decision::Unknown, rule, Some(reason)));
            if !leg.reply && !is_private(leg.destination) {
                let own = firewall.ip_configurations.iter().filter_map(|one| one.public_ip_address.as_ref());
                self.leave_as(own.map(|one| &one.id));
            }
            self.beyond_appliance(leg, address);
            return Carried::Elsewhere;
        }
        let holders = self.network.holders(address);
        let named = match holders {
            [only] => match &only.interface.virtual_machine {
                Some(machine) => machine.id.name().to_owned(),
                None => only.interface.id.name().to_owned(),
            },
            _ => address.to_string(),
        };
        // <https://learn.microsoft.com/azure/virtual-network/virtual-network-network-interface#enable-or-disable-ip-forwarding>
        if let [only] = holders
            && only.interface.enable_ip_forwarding == Some(false)
        {
            let rule = format!(
                "{address} is {named}, whose interface does not forward packets of others (enableIPForwarding)"
            );
            self.push(hop(HopKind::Appliance, &named, Decision::Drop, rule, Some(reason)));
            return Carried::Lost;
        }
        let rule = format!("{address} decides by itself what to do with the packet");
        self.push(hop(HopKind::Appliance, &named, Decision::Unknown, rule, Some(reason)));
        self.beyond_appliance(leg, address);
        Carried::Elsewhere
    }

    /// What is known of the way from an appliance in a third network on to the destination's.
    fn beyond_appliance(&mut self, leg: Leg<'_, 'f>, appliance: IpAddr) {
        let Some(to) = leg.to.filter(|_| !leg.reply) else { return };
        let mut homes =
            self.network.vnets().filter(|(_, one)| contains(&one.ranges, appliance)).map(|(place, _)| place);
        let (Some(home), None) = (homes.next(), homes.next()) else { return };
        if home == to.network {
            return;
        }
        let remote = self.vnet_id(home);
        let Some(peering) = self.network.peering(to.network, &remote).filter(|peering| carries(peering)) else {
            return;
        };
        if leg.from != home && peering.allow_forwarded_traffic == Some(false) {
            let network = self.vnet_id(to.network);
            let rule = format!(
                "allowForwardedTraffic is false: {} takes packets from {} only where the appliance sends them as its own",
                network.name(),
                remote.name()
            );
            let reason = Reason::VirtualNetworkPeering {
                peering: Some(peering.id.clone()),
                network,
                remote,
                problem: PeeringProblem::ForwardedTraffic,
                reply: false,
            };
            self.push(hop(HopKind::Peering, peering.id.name(), Decision::Unknown, rule, Some(reason)));
        }
    }

    fn user_route(&self, leg: Leg<'_, 'f>, chosen: &Chosen<'f>, appliance: Option<IpAddr>) -> Reason {
        let (table, route, prefix, next_hop) = match chosen.origin {
            Origin::User { table, route } => (
                Some(table.id.clone()),
                route.name.clone(),
                route.address_prefix.clone().unwrap_or_default(),
                route.next_hop_type.clone().unwrap_or_default(),
            ),
            Origin::Effective(route) => (
                None,
                route.name.clone().unwrap_or_default(),
                chosen.net.to_string(),
                route.next_hop_type.clone().unwrap_or_default(),
            ),
            Origin::System | Origin::Gateway => (None, String::new(), chosen.net.to_string(), String::new()),
        };
        Reason::UserRoute {
            table,
            subnet: self.subnet_id(leg.subnet),
            route,
            prefix,
            next_hop,
            appliance,
            firewall: appliance.and_then(|address| self.network.firewall_at(address)).map(|one| one.id.clone()),
            destination: IpNet::from(leg.destination),
            reply: leg.reply,
        }
    }

    fn route_component(&self, subnet: usize, chosen: &Chosen<'f>) -> String {
        match chosen.origin {
            Origin::User { table, .. } => table.id.name().to_owned(),
            Origin::System | Origin::Gateway | Origin::Effective(_) => subnet_label(self.network, subnet),
        }
    }

    /// From a host to a public address.
    fn leave_for_the_internet(&mut self, source: &Inside<'f>, target: Option<&Inside<'f>>) {
        self.end_hops(source, "sends");
        let dialled = [IpNet::from(self.dialled)];
        let flow = Flow { sources: &source.nets, destinations: &dialled, source: Some(source), destination: None };
        let left = self.filter_out(source, &flow);
        match self.carry(source, None, left) {
            Carried::Internet => {}
            Carried::Gateway => {
                let what =
                    format!("how the network beyond the gateway leads on to {} is not in the facts", self.dialled);
                self.unclear(HopKind::OnPremises, &self.dialled.to_string(), what);
                return;
            }
            Carried::There | Carried::Elsewhere | Carried::Lost => return,
        }
        if !self.leave(source) {
            return;
        }
        match target {
            Some(target) => {
                let what = format!("whether {} lets in what comes from the internet as these addresses", target.label);
                self.unclear(HopKind::PublicIpAddress, &self.dialled.to_string(), what);
            }
            None => {
                let component = self.dialled.to_string();
                self.push(hop(HopKind::Internet, &component, Decision::Forward, "on the internet", None));
                self.back.push(hop(
                    HopKind::Internet,
                    &component,
                    Decision::Forward,
                    "replies come back as they went",
                    None,
                ));
                self.back_at(source);
            }
        }
    }

    /// By which address packets leave for the internet: the subnet's NAT gateway, else the interface's own public
    /// address, else a load balancer's, else the provider's default, where the subnet has it
    /// (<https://learn.microsoft.com/azure/virtual-network/ip-services/default-outbound-access>). False when there is none.
    fn leave(&mut self, source: &Inside<'f>) -> bool {
        let Some(place) = source.subnet.and_then(|subnet| self.network.place(subnet)) else { return false };
        if let Some(gateway) = place.facts.nat_gateway.as_ref().filter(|_| self.dialled.is_ipv4()) {
            let known =
                self.network.facts.nat_gateways.as_deref().unwrap_or_default().iter().find(|one| one.id == gateway.id);
            let ids = known.map(|one| one.public_ip_addresses.iter().chain(&one.public_ip_prefixes).map(|one| &one.id));
            let seen = match ids {
                Some(ids) => self.leave_as(ids),
                None => {
                    self.notes
                        .push(format!("the addresses of the NAT gateway {} are not in the facts", gateway.id.name()));
                    String::new()
                }
            };
            let rule = format!("packets leave {}{seen}", self.label(source.subnet));
            self.push(hop(HopKind::NatGateway, gateway.id.name(), Decision::Forward, rule, None));
            return true;
        }
        match source.public {
            PublicOf::Is(address) if address.is_ipv4() == self.dialled.is_ipv4() => {
                self.seen.push(address);
                let rule = format!("packets leave as {address}");
                self.push(hop(HopKind::PublicIpAddress, &source.label, Decision::Forward, rule, None));
                return true;
            }
            PublicOf::Unknown if matches!(source.guard, Guard::Interface(_)) => {
                self.notes.push(format!("the public address of {} is not in the facts", source.label));
                let rule = "packets leave with its own public address";
                self.push(hop(HopKind::PublicIpAddress, &source.label, Decision::Forward, rule, None));
                return true;
            }
            PublicOf::Is(_) | PublicOf::Unknown | PublicOf::None => {}
        }
        if let Some(balancer) = self.balancer_of(source) {
            let rules = balancer.1;
            let seen = self.leave_as(rules.iter());
            let rule = format!("packets leave by an outbound rule{seen}");
            self.push(hop(HopKind::LoadBalancer, balancer.0.name(), Decision::Forward, rule, None));
            return true;
        }
        let pools = source.configuration.is_some_and(|one| !one.load_balancer_backend_address_pools.is_empty());
        let label = self.label(source.subnet);
        if place.facts.default_outbound_access == Some(false) {
            if pools || matches!(source.guard, Guard::NotAsked | Guard::Unknown) {
                let what =
                    format!("whether a load balancer or an address of its own lets {} out of {label}", source.label);
                self.missing(HopKind::LoadBalancer, &source.label, what, LOAD_BALANCERS);
                return false;
            }
            let reason = Reason::NoOutboundAccess { subnet: place.facts.id.clone() };
            let rule = format!("{label} has no default outbound access, and {} no address to leave with", source.label);
            self.push(hop(HopKind::Subnet, &label, Decision::Drop, rule, Some(reason)));
            return false;
        }
        self.notes.push(format!("the address that packets from {} leave with is not in the facts", source.label));
        true
    }

    /// The load balancer by whose outbound rule the host leaves, and the public addresses of that rule.
    fn balancer_of(&self, source: &Inside<'f>) -> Option<(ArmId, Vec<ArmId>)> {
        let pools = &source.configuration?.load_balancer_backend_address_pools;
        let balancers = self.network.facts.load_balancers.as_deref()?;
        for pool in pools {
            let Some(balancer) = balancers.iter().find(|one| pool.id.parent().is_some_and(|parent| parent == one.id))
            else {
                continue;
            };
            let rules = balancer.outbound_rules.iter().filter(|rule| rule.backend_address_pool.as_ref() == Some(pool));
            let fronts: Vec<&ArmId> =
                rules.flat_map(|rule| &rule.frontend_ip_configurations).map(|one| &one.id).collect();
            if fronts.is_empty() {
                continue;
            }
            let own = balancer.frontend_ip_configurations.iter().filter(|one| fronts.contains(&&one.id));
            let public =
                own.flat_map(|one| one.public_ip_address.iter().chain(&one.public_ip_prefix)).map(|one| one.id.clone());
            return Some((balancer.id.clone(), public.collect()));
        }
        None
    }

    /// Notes the public addresses that packets leave with; words for a rule.
    fn leave_as<'i>(&mut self, ids: impl IntoIterator<Item = &'i ArmId>) -> String {
        let public = self.network.public(ids);
        if public.unknown.is_empty() && public.ranges.is_empty() {
            self.seen.extend(&public.addresses);
            let shown: Vec<String> = public.addresses.iter().take(MOST_SHOWN).map(ToString::to_string).collect();
            let more = public.addresses.len().saturating_sub(MOST_SHOWN);
            let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
            return if shown.is_empty() { String::new() } else { format!(" as {}{rest}", shown.join(" or ")) };
        }
        for id in &public.unknown {
            self.notes.push(format!("the public address {} is not in the facts", id.name()));
        }
        for range in &public.ranges {
            self.notes.push(format!("packets may leave with any address of {range}"));
        }
        String::new()
    }

    /// From a host to a private address that no network of the facts has.
    fn leave_by_a_gateway(&mut self, source: &Inside<'f>) {
        self.end_hops(source, "sends");
        let dialled = [IpNet::from(self.dialled)];
        let flow = Flow { sources: &source.nets, destinations: &dialled, source: Some(source), destination: None };
        let left = self.filter_out(source, &flow);
        if self.carry(source, None, left) == Carried::Gateway {
            self.seen = single_addresses(&source.nets);
            let rule = "beyond the gateway; what happens there is not in the facts";
            let component = self.dialled.to_string();
            self.push(hop(HopKind::OnPremises, &component, Decision::Forward, rule, None));
            self.back.push(hop(
                HopKind::OnPremises,
                &component,
                Decision::Forward,
                "replies come back by the gateway",
                None,
            ));
            self.back_at(source);
        }
    }

    fn arrive_from_outside(&mut self, source: IpAddr, target: &Inside<'f>) {
        let sources = [IpNet::from(source)];
        let inside = target.nets.clone();
        let flow = Flow { sources: &sources, destinations: &inside, source: None, destination: Some(target) };
        let label = source.to_string();
        if !is_private(source) {
            self.push(hop(HopKind::Internet, &label, Decision::Forward, "from the internet", None));
            if contains(&target.nets, self.dialled) && is_private(self.dialled) {
                let reason = Reason::PrivateFromInternet { address: self.dialled };
                let rule = format!("the internet does not carry packets to {}", self.dialled);
                self.push(hop(
                    HopKind::VirtualNetwork,
                    self.vnet_id(target.network).name(),
                    Decision::Drop,
                    rule,
                    Some(reason),
                ));
                return;
            }
            self.seen = vec![source];
            let rule = format!("{} is the public address of {}", self.dialled, net_words(&target.nets));
            let dialled = self.dialled.to_string();
            self.push(hop(HopKind::PublicIpAddress, &dialled, Decision::Forward, rule, None));
            if self.filter_in(target, &flow) == Filtered::None {
                // <https://learn.microsoft.com/azure/virtual-network/ip-services/public-ip-addresses#sku>
                let what = format!("whether {} is open without any security group depends on its SKU", self.dialled);
                self.unclear(HopKind::PublicIpAddress, &self.dialled.to_string(), what);
            }
            let lost = self.forward.iter().any(|hop| hop.decision.blocks());
            self.end_hops(target, if lost { "is where it should arrive" } else { "is reached" });
            self.reply_outside(source, target, Carried::Internet);
            return;
        }
        self.push(hop(
            HopKind::OnPremises,
            &label,
            Decision::Forward,
            "what happens before the gateway is not in the facts",
            None,
        ));
        self.seen = vec![source];
        let way_in = self.gateway_in(source, target);
        if way_in == Carried::Elsewhere && !self.network.vnets().any(|(_, one)| one.learns_routes()) {
            return;
        }
        self.filter_in(target, &flow);
        let lost = self.forward.iter().any(|hop| hop.decision.blocks());
        self.end_hops(target, if lost { "is where it should arrive" } else { "is reached" });
        if way_in == Carried::There {
            self.reply_outside(source, target, Carried::Gateway);
        }
    }

    /// By which gateway packets of an address outside come in.
    fn gateway_in(&mut self, source: IpAddr, target: &Inside<'f>) -> Carried {
        let network = self.network;
        let home = self.vnet_id(target.network);
        let used = gateways_of(network, target.network);
        if let Some(beyond) = used.iter().find(|one| contains(&one.ranges, source)) {
            let gateway = beyond.network.and_then(|place| network.vnet(place));
            let name = gateway.map_or_else(|| home.name().to_owned(), super::Vnet::gateway_name);
            let rule = format!("{source} is beyond this gateway");
            self.push(hop(HopKind::VirtualNetworkGateway, &name, Decision::Forward, rule, None));
            if let Some(carried) = beyond.network.and_then(|place| self.by_gateway_subnet(place, target)) {
                return carried;
            }
            if let Some(place) = beyond.network.filter(|place| *place != target.network) {
                return self.lent(place, target.network);
            }
            return Carried::There;
        }
        // A gateway of a peer that is not lent.
        let peers = network.vnet(target.network).map(|one| one.peerings.clone()).unwrap_or_default();
        let hubs: Vec<usize> = peers
            .iter()
            .filter(|one| carries(one) && one.use_remote_gateways != Some(true))
            .filter_map(|one| network.vnet_by_id(&one.remote_virtual_network.as_ref()?.id))
            .filter(|place| network.vnet(*place).is_some_and(super::Vnet::learns_routes))
            .collect();
        let beyond_hub =
            |place: &&usize| network.vnet(**place).is_some_and(|one| contains(&one.ranges_beyond(), source));
        if used.is_empty()
            && let Some(hub) = hubs.iter().find(beyond_hub).or(hubs.first())
        {
            let name = network.vnet(*hub).map(super::Vnet::gateway_name).unwrap_or_default();
            self.push(hop(HopKind::VirtualNetworkGateway, &name, Decision::Forward, "the only gateway near", None));
            self.not_lent(*hub, target.network);
            return Carried::Lost;
        }
        let what = if used.is_empty() {
            format!("how {source} is connected to {} is not in the facts", home.name())
        } else {
            format!("whether {source} is beyond the gateway of {} is not in the facts", home.name())
        };
        let component = used
            .first()
            .and_then(|one| network.vnet(one.network?))
            .map_or_else(|| source.to_string(), super::Vnet::gateway_name);
        let kind = if used.is_empty() { HopKind::OnPremises } else { HopKind::VirtualNetworkGateway };
        self.unclear(kind, &component, what);
        Carried::Elsewhere
    }

    /// Where the user's routes of a gateway's own subnet lead what it has received
    /// (<https://learn.microsoft.com/azure/vpn-gateway/vpn-gateway-about-vpn-gateway-settings#gwsub>). `None`: they let it
    /// go the provider's way.
    fn by_gateway_subnet(&mut self, hub: usize, target: &Inside<'f>) -> Option<Carried> {
        let network = self.network;
        let of_gateway = |place: &super::Place<'_>| place.facts.id.name().eq_ignore_ascii_case(super::GATEWAY_SUBNET);
        let (subnet, place) = network.places().find(|(_, place)| place.network == hub && of_gateway(place))?;
        place.facts.route_table.as_ref()?;
        let looked = look_up(network, subnet, None, self.dialled);
        match &looked {
            Looked::Route(chosen) | Looked::UnlessLearned(chosen) if !by_user(chosen) => return None,
            Looked::Route(chosen)
                if self.may_be_endpoint(target) && chosen.net.prefix_len() < chosen.net.max_prefix_len() =>
            {
                let what = format!(
                    "whether {} is a private endpoint, whose own route goes before those of the user",
                    self.dialled
                );
                self.missing(HopKind::RouteTable, &subnet_label(network, subnet), what, INTERFACES);
                return Some(Carried::Elsewhere);
            }
            _ => {}
        }
        let leg = Leg { subnet, from: hub, to: Some(target), destination: self.dialled, reply: false };
        Some(self.follow(leg, looked)).filter(|carried| *carried != Carried::There)
    }

    /// Over the peering by which a network uses the gateway of another.
    fn lent(&mut self, hub: usize, spoke: usize) -> Carried {
        let (hub_id, spoke_id) = (self.vnet_id(hub), self.vnet_id(spoke));
        match self.network.peering(hub, &spoke_id) {
            Some(peering) if carries(peering) && peering.allow_gateway_transit == Some(true) => {
                let rule = format!("{} lends its gateway to {}", hub_id.name(), spoke_id.name());
                self.push(hop(HopKind::Peering, peering.id.name(), Decision::Forward, rule, None));
                Carried::There
            }
            None if !self.peerings_told(hub) => {
                let what = format!("the peering of {} with {}", hub_id.name(), spoke_id.name());
                self.missing(HopKind::Peering, hub_id.name(), what, VIRTUAL_NETWORKS);
                Carried::Elsewhere
            }
            _ => {
                self.not_lent(hub, spoke);
                Carried::Lost
            }
        }
    }

    fn not_lent(&mut self, hub: usize, spoke: usize) {
        let (network, remote) = (self.vnet_id(hub), self.vnet_id(spoke));
        let peering = self.network.peering(hub, &remote).map(|one| one.id.clone());
        let rule = format!(
            "{} does not use the gateway of {}: allowGatewayTransit there and useRemoteGateways here",
            remote.name(),
            network.name()
        );
        let component = peering.as_ref().map_or_else(|| network.name().to_owned(), |id| id.name().to_owned());
        let reason = Reason::VirtualNetworkPeering {
            peering,
            network,
            remote,
            problem: PeeringProblem::GatewayTransit,
            reply: false,
        };
        self.push(hop(HopKind::Peering, &component, Decision::Drop, rule, Some(reason)));
    }

    /// Replies to an address outside, which must leave as the request came in.
    fn reply_outside(&mut self, source: IpAddr, target: &Inside<'f>, wanted: Carried) {
        if matches!(target.guard, Guard::Endpoint(..)) {
            return;
        }
        let Some(subnet) = target.subnet else { return };
        let interface = match target.guard {
            Guard::Interface(interface) => Some(interface),
            _ => None,
        };
        let looked = look_up(self.network, subnet, interface, source);
        let forward = std::mem::take(&mut self.forward);
        let leg = Leg { subnet, from: target.network, to: None, destination: source, reply: true };
        let carried = self.follow(leg, looked);
        if matches!(carried, Carried::Internet | Carried::Gateway) && carried != wanted {
            let label = subnet_label(self.network, subnet);
            let reason =
                Reason::LeadsElsewhere { target: label.clone(), destination: IpNet::from(source), reply: true };
            let rule = "replies leave another way than the request came";
            self.push(hop(HopKind::RouteTable, &label, Decision::Drop, rule, Some(reason)));
        }
        let hops = std::mem::replace(&mut self.forward, forward);
        self.back.extend(hops);
    }

    /// Outbound: the group of the interface, then that of the subnet.
    fn filter_out(&mut self, source: &Inside<'f>, flow: &Flow<'_, 'f>) -> Filtered {
        let of_interface = self.interface_group(source, flow, false);
        let of_subnet = self.subnet_group(source, flow, false);
        join(of_interface, of_subnet)
    }

    /// Inbound: the group of the subnet, then that of the interface.
    fn filter_in(&mut self, target: &Inside<'f>, flow: &Flow<'_, 'f>) -> Filtered {
        if let Guard::Endpoint(..) = target.guard {
            let place = target.subnet.and_then(|subnet| self.network.place(subnet));
            let policies = place.and_then(|place| place.facts.private_endpoint_network_policies.as_deref());
            let covers = |word: &str| policies.is_some_and(|policies| is(policies, word));
            if !covers("Enabled") && !covers("NetworkSecurityGroupEnabled") {
                return Filtered::None;
            }
        }
        if self.may_be_endpoint(target) {
            return self.interface_group(target, flow, true);
        }
        let of_subnet = self.subnet_group(target, flow, true);
        let of_interface = self.interface_group(target, flow, true);
        join(of_subnet, of_interface)
    }

    /// Whether a host that no interface describes may be a private endpoint: its subnet has some.
    fn may_be_endpoint(&self, end: &Inside<'f>) -> bool {
        let place = end.subnet.and_then(|subnet| self.network.place(subnet));
        matches!(end.guard, Guard::Unknown) && place.is_some_and(|place| !place.facts.private_endpoints.is_empty())
    }

    fn subnet_group(&mut self, end: &Inside<'f>, flow: &Flow<'_, 'f>, inbound: bool) -> Filtered {
        let Some(place) = end.subnet.and_then(|subnet| self.network.place(subnet)) else { return Filtered::None };
        match &place.facts.network_security_group {
            Some(group) => self.group(&group.id, &place.facts.id, end, flow, inbound),
            None => Filtered::None,
        }
    }

    fn interface_group(&mut self, end: &Inside<'f>, flow: &Flow<'_, 'f>, inbound: bool) -> Filtered {
        match end.guard {
            Guard::Interface(interface) => match &interface.network_security_group {
                Some(group) => self.group(&group.id, &interface.id, end, flow, inbound),
                None => Filtered::None,
            },
            Guard::Unknown => {
                let what = format!("the security group of the interface that has {}", net_words(&end.nets));
                self.missing(HopKind::NetworkSecurityGroup, &end.label, what, INTERFACES);
                Filtered::Unknown
            }
            Guard::Endpoint(..) | Guard::ApiServer | Guard::FrontEnd | Guard::NotAsked => Filtered::None,
        }
    }

    fn group(&mut self, id: &ArmId, guards: &ArmId, end: &Inside<'f>, flow: &Flow<'_, 'f>, inbound: bool) -> Filtered {
        let network = self.network;
        let Some(group) = network.group(id) else {
            let what = format!("the rules of the security group {}", id.name());
            self.missing(HopKind::NetworkSecurityGroup, id.name(), what, SECURITY_GROUPS);
            return Filtered::Unknown;
        };
        let tags = end.subnet.map_or_else(
            || Tags { network, virtual_network: AddressSet::empty(), perhaps: AddressSet::everything() },
            |subnet| tags(network, subnet),
        );
        let (source_groups, destination_groups) = (membership(flow.source), membership(flow.destination));
        let ports: &[u16] = match end.guard {
            // What stands behind the load balancer listens on a port of its own.
            Guard::ApiServer if inbound && self.port == HTTPS => &[HTTPS, API_SERVER_PORT],
            _ => &[self.port],
        };
        let mut filtered = Filtered::Passed;
        for port in ports {
            let packet = Packet {
                inbound,
                sources: flow.sources,
                destinations: flow.destinations,
                port: *port,
                source_groups: &source_groups,
                destination_groups: &destination_groups,
                tags: &tags,
            };
            let decided = group.decide(&packet);
            let rule = |named: Named<'_>| NsgRule {
                group: group.id.clone(),
                guards: guards.clone(),
                name: named.name.to_owned(),
                priority: named.priority,
                inbound,
                source: flow.sources.first().copied().unwrap_or_default(),
                destination: flow.destinations.first().copied().unwrap_or_default(),
                port: *port,
            };
            let words = |named: Named<'_>| rule_words(named, inbound, flow, *port);
            let (decision, text, reason) = match decided {
                Decided::Allow(named) => (Decision::Allow, words(named), None),
                Decided::Deny(named) => (Decision::Deny, words(named), Some(Reason::NsgRule(rule(named)))),
                Decided::Part { open, rule: named } => {
                    let text = format!("{}: only {open} passes", words(named));
                    (Decision::Unknown, text, Some(Reason::NsgRule(rule(named))))
                }
                Decided::Unknown { rule: named, tag, why } => {
                    let text = format!("whether {} applies is not known: {why}", words(named));
                    let reason = Reason::NsgRuleUnclear { rule: rule(named), tag: tag.map(str::to_owned), why };
                    (Decision::Unknown, text, Some(reason))
                }
            };
            filtered = join(
                filtered,
                match decision {
                    Decision::Allow => Filtered::Passed,
                    Decision::Deny => Filtered::Stopped,
                    _ => Filtered::Unknown,
                },
            );
            let name = group.id.name().to_owned();
            self.push(hop(HopKind::NetworkSecurityGroup, &name, decision, text, reason));
        }
        filtered
    }

    fn missing(&mut self, kind: HopKind, component: &str, what: String, (file, action): (&str, &'static str)) {
        let rule = format!("{what} is not in the facts");
        let reason = Reason::Missing { what, file: file.to_owned(), action };
        self.push(hop(kind, component, Decision::Unknown, rule, Some(reason)));
    }

    fn unclear(&mut self, kind: HopKind, component: &str, what: String) {
        let reason = Reason::NotEvaluable { what: what.clone() };
        self.push(hop(kind, component, Decision::Unknown, what, Some(reason)));
    }
}

/// One leg of the way: from a subnet to a destination.
#[derive(Clone, Copy)]
struct Leg<'a, 'f> {
    subnet: usize,
    /// The network of the subnet.
    from: usize,
    /// What the packet is to reach, where that is inside.
    to: Option<&'a Inside<'f>>,
    destination: IpAddr,
    reply: bool,
}

impl<'f> Ends<'f> {
    const fn to_inside(&self) -> Option<&Inside<'f>> {
        match &self.to {
            End::Inside(inside) => Some(inside),
            End::Outside(_) => None,
        }
    }
}

/// Whether a route is the user's, of whatever table.
fn by_user(chosen: &Chosen<'_>) -> bool {
    match chosen.origin {
        Origin::User { .. } => true,
        Origin::Effective(route) => route.source.as_deref().is_some_and(|source| is(source, "User")),
        Origin::System | Origin::Gateway => false,
    }
}

fn route_words(chosen: &Chosen<'_>) -> String {
    let to = match &chosen.via {
        Via::Local => "the virtual network".to_owned(),
        Via::Peering(remote) => format!("the peered network {}", remote.name()),
        Via::Endpoint(endpoint) => format!("the private endpoint {}", endpoint.name()),
        Via::Internet => "the internet".to_owned(),
        Via::Appliance(Some(address)) => format!("the appliance {address}"),
        Via::Appliance(None) => "an appliance".to_owned(),
        Via::Gateway => "the gateway".to_owned(),
        Via::Nowhere => "None".to_owned(),
        Via::Other => "an unknown kind of next hop".to_owned(),
    };
    match chosen.origin {
        Origin::User { route, .. } => {
            let prefix = route.address_prefix.as_deref().unwrap_or_default();
            format!("route {} sends {prefix} to {to}", route.name)
        }
        Origin::Effective(_) => format!("its effective route sends {} to {to}", chosen.net),
        Origin::System => format!("the default route of {} leads to {to}", chosen.net),
        Origin::Gateway => format!("{} is beyond {to}", chosen.net),
    }
}

/// What service tags mean in a subnet.
pub(super) fn tags<'n>(network: &'n Network<'_>, subnet: usize) -> Tags<'n> {
    let mut sure = AddressSet::from(IpAddr::V4(PLATFORM));
    let mut perhaps = route::user_ranges(network, subnet).unwrap_or_else(AddressSet::everything);
    let home = network.place(subnet).map(|place| place.network);
    if let Some(own) = home.and_then(|home| network.vnet(home)) {
        sure = sure.union(&AddressSet::from_nets(&own.ranges));
        let garbled = own.peerings.iter().any(|peering| !route::ranges_understood(network, peering));
        if !own.whole || !own.peerings_told || garbled {
            perhaps = AddressSet::everything();
        }
        for peering in own.peerings.iter().filter(|peering| carries(peering)) {
            let ranges = AddressSet::from_nets(&ranges_of(network, peering));
            match (peering.allow_virtual_network_access, &peering.peering_state) {
                (Some(true), Some(_)) => sure = sure.union(&ranges),
                (Some(false), _) => {}
                _ => perhaps = perhaps.union(&ranges),
            }
        }
    }
    for beyond in home.map(|home| gateways_of(network, home)).unwrap_or_default() {
        sure = sure.union(&AddressSet::from_nets(&beyond.ranges));
        if beyond.learns {
            perhaps = AddressSet::everything();
        }
    }
    let perhaps = perhaps.difference(&sure);
    Tags { network, virtual_network: sure, perhaps }
}

fn membership<'f>(end: Option<&Inside<'f>>) -> Membership<'f> {
    match end {
        None => Membership::Known(Vec::new()),
        Some(end) => match (end.guard, end.configuration) {
            // Of the endpoint itself, which is where they are set, or of its interface.
            (Guard::Endpoint(_, Some(endpoint)), configuration) => {
                let own = configuration.into_iter().flat_map(|one| &one.application_security_groups);
                Membership::Known(endpoint.application_security_groups.iter().chain(own).map(|one| &one.id).collect())
            }
            (Guard::NotAsked | Guard::Unknown | Guard::Endpoint(_, None), _) => Membership::Unknown,
            (_, Some(configuration)) => {
                Membership::Known(configuration.application_security_groups.iter().map(|one| &one.id).collect())
            }
            (_, None) => Membership::Known(Vec::new()),
        },
    }
}

const fn join(one: Filtered, other: Filtered) -> Filtered {
    match (one, other) {
        (Filtered::None, other) => other,
        (one, Filtered::None) => one,
        (Filtered::Stopped, _) | (_, Filtered::Stopped) => Filtered::Stopped,
        (Filtered::Unknown, _) | (_, Filtered::Unknown) => Filtered::Unknown,
        (Filtered::Passed, Filtered::Passed) => Filtered::Passed,
    }
}

fn rule_words(named: Named<'_>, inbound: bool, flow: &Flow<'_, '_>, port: u16) -> String {
    let direction = if inbound { "inbound" } else { "outbound" };
    let what = format!("tcp/{port} from {} to {}", net_words(flow.sources), net_words(flow.destinations));
    match named.priority {
        _ if named.name.is_empty() => format!("no {direction} rule for {what}"),
        Some(priority) => format!("{direction} rule {} ({priority}) for {what}", named.name),
        None => format!("{direction} rule {} for {what}", named.name),
    }
}

fn hop(
    kind: HopKind,
    component: impl Into<String>,
    decision: Decision,
    rule: impl Into<String>,
    reason: Option<Reason>,
) -> Hop {
    Hop { component: component.into(), kind, decision, rule: rule.into(), reason }
}

/// The single addresses among ranges.
fn single_addresses(nets: &[IpNet]) -> Vec<IpAddr> {
    nets.iter().filter(|net| net.prefix_len() == net.max_prefix_len()).map(IpNet::addr).collect()
}

fn net_words(nets: &[IpNet]) -> String {
    AddressSet::from_nets(nets).to_string()
}

fn is(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}

const HTTPS: u16 = 443;
/// The port behind the load balancer of a VNet-integrated API server.
const API_SERVER_PORT: u16 = 4443;
const MOST_SHOWN: usize = 4;
const VIRTUAL_NETWORKS: (&str, &str) = ("network/virtual-networks.json", "Microsoft.Network/virtualNetworks/read");
const ROUTE_TABLES: (&str, &str) = ("network/route-tables.json", "Microsoft.Network/routeTables/read");
const SECURITY_GROUPS: (&str, &str) =
    ("network/network-security-groups.json", "Microsoft.Network/networkSecurityGroups/read");
const INTERFACES: (&str, &str) = ("network/network-interfaces.json", "Microsoft.Network/networkInterfaces/read");
const PRIVATE_ENDPOINTS: (&str, &str) = ("network/private-endpoints.json", "Microsoft.Network/privateEndpoints/read");
const LOAD_BALANCERS: (&str, &str) = ("network/load-balancers.json", "Microsoft.Network/loadBalancers/read");

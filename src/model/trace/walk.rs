//! The packet's way from hop to hop.

use std::{fmt::Write as _, net::IpAddr};

use ipnet::IpNet;

use super::{
    Decision, Hop, HopKind, Reason,
    ends::{Groups, Inside, Public, is_private},
    filter::{ephemeral, family},
    route::{Target, TransitState, look_up, look_up_transit},
};
use crate::{
    facts::ec2,
    model::{
        network::{Network, is, is_attached, other_side, peer_ranges},
        set::{AddressSet, Family, PortSet},
    },
};

/// A packet on its way.
pub(super) struct Walk<'n, 'f> {
    pub(super) network: &'n Network<'f>,
    /// The port that the request is for.
    pub(super) port: u16,
    pub(super) reply: bool,
    pub(super) hops: Vec<Hop>,
    pub(super) notes: Vec<String>,
    /// The addresses that the packet may come from as it is here.
    pub(super) source: Vec<IpNet>,
    pub(super) destination: Vec<IpNet>,
    /// Ephemeral ports that every network ACL so far lets pass.
    pub(super) open: PortSet,
    /// Far-side addresses that some filter has stopped.
    pub(super) closed: AddressSet,
    pub(super) medium: Medium,
    /// The peering connection that has carried it.
    pub(super) peering: Option<&'f str>,
    /// Translations of the source so far.
    pub(super) translations: Vec<Translation<'f>>,
    /// The last route that it took was a default route.
    pub(super) by_default: bool,
    steps: u32,
}

/// What carries a packet between its ends, as far as rules that name groups care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Medium {
    Unset,
    Local,
    Peering { same_region: bool },
    Transit { referencing: Option<bool> },
    Other,
}

/// A NAT gateway has put its own address in the place of the source's.
#[derive(Clone, Debug)]
pub(super) struct Translation<'f> {
    /// The gateway as an end.
    pub(super) gateway: Inside<'f>,
    /// What the source was before.
    pub(super) before: Vec<IpNet>,
    /// What the internet sees.
    pub(super) public: Vec<IpAddr>,
    pub(super) is_private: bool,
}

/// What the packet is to reach.
#[derive(Clone, Copy)]
pub(super) enum Goal<'a, 'f> {
    Inside(&'a Inside<'f>),
    Outside,
}

impl<'a, 'f> Goal<'a, 'f> {
    fn inside(self) -> Option<&'a Inside<'f>> {
        match self {
            Self::Inside(inside) => Some(inside),
            Self::Outside => None,
        }
    }
}

/// Where a walk ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Arrival<'f> {
    /// In the subnet of the goal, its network ACL passed or told.
    There,
    /// On the internet.
    Internet,
    /// In a network beyond a gateway.
    OnPremises(Gateway<'f>),
    /// In a VPC of which the facts say too little.
    Elsewhere,
    /// At a public service, through a gateway endpoint.
    Service,
    /// Nowhere: a hop says why.
    Lost,
}

/// A way to and from networks that are not VPCs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gateway<'f> {
    Vpn { gateway: &'f str, vpc: &'f str },
    Transit { gateway: &'f str, attachment: &'f str },
}

/// What comes next.
pub(super) enum Next<'f> {
    Subnet { vpc: &'f str, subnet: &'f str },
    End(Arrival<'f>),
}

impl<'n, 'f> Walk<'n, 'f> {
    pub(super) fn new(network: &'n Network<'f>, port: u16, reply: bool) -> Self {
        Self {
            network,
            port,
            reply,
            hops: Vec::with_capacity(12),
            notes: Vec::new(),
            source: Vec::new(),
            destination: Vec::new(),
            open: ephemeral(),
            closed: AddressSet::empty(),
            medium: Medium::Unset,
            peering: None,
            translations: Vec::new(),
            by_default: false,
            steps: 0,
        }
    }

    pub(super) fn push(
        &mut self,
        kind: HopKind,
        component: impl Into<String>,
        decision: Decision,
        rule: impl Into<String>,
        reason: Option<Reason>,
    ) {
        self.hops.push(Hop { component: component.into(), kind, decision, rule: rule.into(), reason });
    }

    fn unknown(&mut self, kind: HopKind, component: impl Into<String>, reason: Reason) {
        let rule = match &reason {
            Reason::Missing { what, .. } => format!("{what} is not in the facts"),
            Reason::NotEvaluable { what } => what.clone(),
            _ => String::new(),
        };
        self.push(kind, component, Decision::Unknown, rule, Some(reason));
    }

    fn note(&mut self, note: String) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// From a subnet of a VPC on to the goal. `at` is the end that sends, as long as nothing has translated it.
    pub(super) fn leave_subnet(
        &mut self,
        mut vpc: &'f str,
        mut subnet: &'f str,
        mut at: Option<&Inside<'f>>,
        goal: Goal<'_, 'f>,
    ) -> Arrival<'f> {
        loop {
            self.steps += 1;
            if self.steps > MOST_STEPS {
                let reason = Reason::Loop { component: subnet.to_owned() };
                self.push(HopKind::Subnet, subnet, Decision::Drop, "the routes lead in a circle", Some(reason));
                return Arrival::Lost;
            }
            if let Goal::Inside(inside) = goal
                && inside.vpc == vpc
                && inside.subnet == subnet
                && !subnet.is_empty()
            {
                // Within a subnet nothing is filtered and nothing is routed.
                self.pass(Medium::Local);
                return Arrival::There;
            }
            self.network_acl(vpc, subnet, true);
            let next = match self.route(vpc, subnet) {
                None => Next::End(Arrival::Lost),
                Some(target) => self.follow(target, vpc, subnet, at, goal),
            };
            match next {
                Next::End(arrival) => return arrival,
                Next::Subnet { vpc: to_vpc, subnet: to_subnet } => {
                    if to_vpc != vpc || !self.translations.is_empty() {
                        at = None;
                    }
                    (vpc, subnet) = (to_vpc, to_subnet);
                }
            }
        }
    }

    fn pass(&mut self, medium: Medium) {
        self.medium = match (self.medium, medium) {
            (Medium::Unset, _) => medium,
            (known, Medium::Local) => known,
            (Medium::Local, other) => other,
            _ => Medium::Other,
        };
    }

    /// The route table of the subnet: where it sends the packet, with its hop.
    fn route(&mut self, vpc: &'f str, subnet: &'f str) -> Option<Target<'f>> {
        let network = self.network;
        let destination = *self.destination.first()?;
        let Some(table) = network.route_table(subnet, vpc) else {
            let what = if subnet.is_empty() {
                format!("the route table of the subnet of {}", nets_words(&self.source))
            } else {
                format!("the route table of {subnet}")
            };
            let component = if subnet.is_empty() { vpc } else { subnet };
            self.unknown(
                HopKind::RouteTable,
                component,
                missing(what, "ec2/describe-route-tables.json", "ec2:DescribeRouteTables"),
            );
            return None;
        };
        let id = table.route_table_id.as_str();
        if table.routes.is_none() {
            let what = format!("`Routes` of {id}");
            let reason = missing(what, "ec2/describe-route-tables.json", "ec2:DescribeRouteTables");
            self.unknown(HopKind::RouteTable, id, reason);
            return None;
        }
        let lookup = look_up(network, table, &destination);
        for list in &lookup.unknown_services {
            self.note(format!(
                "{list} in {id} leads to a gateway endpoint and its entries are not in the facts: it is taken not to \
                 hold {}",
                nets_words(&[destination])
            ));
        }
        if let Some(list) = lookup.unknown_list {
            let what = format!("whether {list} in {id} holds {}", nets_words(&[destination]));
            let file = format!("ec2/get-managed-prefix-list-entries-{list}.json");
            self.unknown(HopKind::RouteTable, id, missing(what, file, "ec2:GetManagedPrefixListEntries"));
            return None;
        }
        if let Some(part) = lookup.part {
            let rule = format!("{} takes another route: {}", part.net, part.words());
            let reason = Reason::RoutePart { table: id.to_owned(), part: part.net };
            self.push(HopKind::RouteTable, id, Decision::Unknown, rule, Some(reason));
            return None;
        }
        // Several addresses of one NAT gateway are rarely told apart by a table; when they are, it is said.
        for other in self.destination.clone().iter().skip(1) {
            let elsewhere = look_up(network, table, other);
            if elsewhere.taken.map(|taken| (taken.target, taken.blackhole))
                != lookup.taken.map(|taken| (taken.target, taken.blackhole))
            {
                let reason = Reason::RoutePart { table: id.to_owned(), part: *other };
                let rule = format!("{} takes another route", nets_words(&[*other]));
                self.push(HopKind::RouteTable, id, Decision::Unknown, rule, Some(reason));
                return None;
            }
        }
        let Some(taken) = lookup.taken else {
            let rule = format!("no route to {}", nets_words(&[destination]));
            let reason =
                Reason::NoRoute { table: id.to_owned(), subnet: subnet.to_owned(), destination, reply: self.reply };
            self.push(HopKind::RouteTable, id, Decision::Drop, rule, Some(reason));
            return None;
        };
        if taken.blackhole {
            let reason = Reason::Blackhole {
                table: id.to_owned(),
                route: taken.destination.to_owned(),
                target: taken.target.id().to_owned(),
                destination,
                reply: self.reply,
            };
            let rule = format!("{}: a black hole, its target is gone", taken.words());
            self.push(HopKind::RouteTable, id, Decision::Drop, rule, Some(reason));
            return None;
        }
        self.by_default = taken.net.prefix_len() == 0;
        self.push(HopKind::RouteTable, id, Decision::Forward, taken.words(), None);
        Some(taken.target)
    }

    fn follow(
        &mut self,
        target: Target<'f>,
        vpc: &'f str,
        subnet: &'f str,
        at: Option<&Inside<'f>>,
        goal: Goal<'_, 'f>,
    ) -> Next<'f> {
        match target {
            Target::Local => Next::End(self.local(vpc, goal)),
            Target::Peering(id) => Next::End(self.peering(id, vpc, goal)),
            Target::Transit(id) => self.transit_from_vpc(id, vpc, subnet, goal),
            Target::Vpn(id) => Next::End(self.vpn_gateway(id, vpc, goal)),
            Target::Nat(id) => self.nat(id, vpc, subnet),
            Target::InternetGateway(id) => Next::End(self.internet_gateway(id, vpc, at)),
            Target::EgressOnly(id) => Next::End(self.egress_only(id, vpc)),
            Target::Endpoint(id) => Next::End(self.endpoint(id)),
            Target::Appliance(id) => {
                let what = format!("{id} decides by itself what it does with the packet");
                self.unknown(HopKind::Appliance, id, Reason::NotEvaluable { what });
                Next::End(Arrival::Lost)
            }
            Target::Other(id) => {
                let what = format!("a route to {id} is not modelled");
                self.unknown(HopKind::Appliance, id, Reason::NotEvaluable { what });
                Next::End(Arrival::Lost)
            }
        }
    }

    fn local(&mut self, vpc: &'f str, goal: Goal<'_, 'f>) -> Arrival<'f> {
        if let Goal::Inside(inside) = goal
            && inside.vpc == vpc
        {
            self.pass(Medium::Local);
            self.network_acl(inside.vpc, inside.subnet, false);
            return Arrival::There;
        }
        let destination = self.destination.first().copied().unwrap_or_default();
        let mut ranges = self.network.vpc_ranges(vpc);
        let range = ranges.find(|range| range.contains(&destination) || destination.contains(range));
        let cidr = range.map_or_else(|| "a local route".to_owned(), |range| range.to_string());
        let rule = format!("{cidr} is of {vpc} itself: packets to {} stay there", nets_words(&self.destination));
        let reason = Reason::OverlapsClient { vpc: vpc.to_owned(), cidr, reply: self.reply };
        self.push(HopKind::Vpc, vpc, Decision::Drop, rule, Some(reason));
        Arrival::Lost
    }

    /// Peering carries packets between hosts of the two VPCs and no further
    /// (<https://docs.aws.amazon.com/vpc/latest/peering/vpc-peering-basics.html>).
    fn peering(&mut self, id: &'f str, vpc: &'f str, goal: Goal<'_, 'f>) -> Arrival<'f> {
        let network = self.network;
        let Some(peering) = network.peering(id) else {
            let file = "ec2/describe-vpc-peering-connections.json";
            self.unknown(HopKind::Peering, id, missing(id.to_owned(), file, "ec2:DescribeVpcPeeringConnections"));
            return if goal.inside().is_some() { Arrival::Elsewhere } else { Arrival::Lost };
        };
        let code = peering.status.as_ref().and_then(|status| status.code.as_deref());
        let Some(side) = other_side(peering, vpc) else {
            let rule = format!("{id} is no peering connection of {vpc}");
            let reason =
                Reason::PeeringState { peering: id.to_owned(), code: "elsewhere".to_owned(), reply: self.reply };
            self.push(HopKind::Peering, id, Decision::Drop, rule, Some(reason));
            return Arrival::Lost;
        };
        let other = side.vpc_id.as_deref().unwrap_or_default();
        match code {
            Some(code) if code.eq_ignore_ascii_case("active") => {
                self.push(HopKind::Peering, id, Decision::Forward, format!("active, to {other}"), None);
            }
            Some(code) if !one_of(code, &BAD_PEERINGS) => {
                self.unknown(HopKind::Peering, id, unknown_state(id, code));
            }
            Some(code) => {
                let reason = Reason::PeeringState { peering: id.to_owned(), code: code.to_owned(), reply: self.reply };
                self.push(HopKind::Peering, id, Decision::Drop, format!("{code}, not active"), Some(reason));
            }
            None => {
                let what = format!("the status of {id}");
                let file = "ec2/describe-vpc-peering-connections.json";
                self.unknown(HopKind::Peering, id, missing(what, file, "ec2:DescribeVpcPeeringConnections"));
            }
        }
        let region = |side: Option<&'f ec2::PeeringVpc>| side.and_then(|side| side.region.as_deref());
        let regions = (region(peering.requester_vpc_info.as_ref()), region(peering.accepter_vpc_info.as_ref()));
        let same_region = !matches!(regions, (Some(one), Some(other)) if one != other);
        match goal {
            Goal::Inside(inside) if inside.vpc == other => {
                self.pass(Medium::Peering { same_region });
                self.peering = Some(id);
                self.network_acl(inside.vpc, inside.subnet, false);
                Arrival::There
            }
            goal => {
                let destination = self.destination.first().copied().unwrap_or_default();
                let mut ranges = peer_ranges(side);
                ranges.extend(network.vpc_ranges(other));
                if goal.inside().is_none() && ranges.iter().any(|range| range.contains(&destination)) {
                    let what = format!("what {other} does with the packet");
                    let file = "ec2/describe-vpcs.json";
                    self.unknown(HopKind::Vpc, other, missing(what, file, "ec2:DescribeVpcs"));
                    return Arrival::Elsewhere;
                }
                let rule =
                    format!("{} is not in {other}: peering carries packets no further", nets_words(&self.destination));
                let reason = Reason::PeeringNotTransitive { peering: id.to_owned(), destination, reply: self.reply };
                self.push(HopKind::Peering, id, Decision::Drop, rule, Some(reason));
                Arrival::Lost
            }
        }
    }

    /// From a subnet to a transit gateway: only where the VPC's attachment has a subnet in the same zone
    /// (<https://docs.aws.amazon.com/vpc/latest/tgw/tgw-vpc-attachments.html>); the ACL of that subnet judges packets
    /// as they come in (<https://docs.aws.amazon.com/vpc/latest/tgw/tgw-nacls.html>).
    fn transit_from_vpc(&mut self, gateway: &'f str, vpc: &'f str, subnet: &'f str, goal: Goal<'_, 'f>) -> Next<'f> {
        let network = self.network;
        if let Some(state) = network.transit_gateway(gateway).and_then(|known| known.state.as_deref())
            && !is(Some(state), "available")
            && !one_of(state, &BAD_TRANSIT_GATEWAYS)
        {
            self.unknown(HopKind::TransitGateway, gateway, unknown_state(gateway, state));
        } else if let Some(state) = network.transit_gateway(gateway).and_then(|known| known.state.as_deref())
            && !is(Some(state), "available")
        {
            let reason = Reason::TransitGatewayState { gateway: gateway.to_owned(), state: state.to_owned() };
            self.push(
                HopKind::TransitGateway,
                gateway,
                Decision::Drop,
                format!("{state}, not available"),
                Some(reason),
            );
        }
        let Some(attachment) = network.vpc_attachment_of(gateway, vpc) else {
            if network.facts.transit_gateway_vpc_attachments.is_none() {
                let what = format!("the attachment of {vpc} to {gateway}");
                let file = "ec2/describe-transit-gateway-vpc-attachments.json";
                let action = "ec2:DescribeTransitGatewayVpcAttachments";
                self.unknown(HopKind::TransitGatewayAttachment, gateway, missing(what, file, action));
            } else {
                let reason = Reason::AttachmentState {
                    attachment: gateway.to_owned(),
                    state: "none".to_owned(),
                    reply: self.reply,
                };
                let rule = format!("{vpc} has no attachment to {gateway}");
                self.push(HopKind::TransitGatewayAttachment, gateway, Decision::Drop, rule, Some(reason));
            }
            return Next::End(Arrival::Lost);
        };
        let id = attachment.transit_gateway_attachment_id.as_str();
        if !self.attachment_state(id, attachment.state.as_deref()) {
            self.push(HopKind::TransitGatewayAttachment, id, Decision::Forward, format!("{vpc} → {gateway}"), None);
        }
        let zone = self.zone(subnet);
        let subnets: Vec<(&'f str, Option<&'f str>)> =
            attachment.subnet_ids.iter().map(|id| (id.as_str(), self.zone(id))).collect();
        let here = if attachment.subnet_ids.iter().any(|id| id == subnet) {
            Some(subnet)
        } else {
            zone.and_then(|zone| subnets.iter().find(|(_, other)| *other == Some(zone)).map(|(id, _)| *id))
        };
        match (here, zone) {
            (Some(here), _) => self.network_acl(vpc, here, false),
            (None, Some(zone)) if subnets.iter().all(|(_, other)| other.is_some()) => {
                let rule = format!("no subnet of {id} is in {zone}, the zone of {subnet}");
                let reason = Reason::AttachmentZone {
                    attachment: id.to_owned(),
                    zone: zone.to_owned(),
                    subnet: subnet.to_owned(),
                    reply: self.reply,
                };
                self.push(HopKind::TransitGatewayAttachment, id, Decision::Drop, rule, Some(reason));
            }
            _ => {
                let what = format!("whether {id} has a subnet in the zone of {subnet}");
                let file = "ec2/describe-subnets.json";
                self.unknown(HopKind::TransitGatewayAttachment, id, missing(what, file, "ec2:DescribeSubnets"));
            }
        }
        self.transit_table(gateway, id, zone, goal)
    }

    /// True when it told of a state that stops packets or is not known
    /// (<https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_TransitGatewayAttachment.html>).
    fn attachment_state(&mut self, id: &str, state: Option<&str>) -> bool {
        match state {
            // A change of an available attachment leaves it working.
            Some(state) if is(Some(state), "available") || is(Some(state), "modifying") => false,
            Some(state) if !one_of(state, &BAD_ATTACHMENTS) => {
                self.unknown(HopKind::TransitGatewayAttachment, id, unknown_state(id, state));
                true
            }
            Some(state) => {
                let reason =
                    Reason::AttachmentState { attachment: id.to_owned(), state: state.to_owned(), reply: self.reply };
                let rule = format!("{state}, not available");
                self.push(HopKind::TransitGatewayAttachment, id, Decision::Drop, rule, Some(reason));
                true
            }
            None => {
                let what = format!("the state of {id}");
                let file = "ec2/describe-transit-gateway-attachments.json";
                let action = "ec2:DescribeTransitGatewayAttachments";
                self.unknown(HopKind::TransitGatewayAttachment, id, missing(what, file, action));
                true
            }
        }
    }

    fn zone(&self, subnet: &str) -> Option<&'f str> {
        let subnet = self.network.subnet(subnet)?;
        subnet.availability_zone_id.as_deref().or(subnet.availability_zone.as_deref())
    }

    /// The transit-gateway route table with which the attachment is associated, and on.
    pub(super) fn transit_table(
        &mut self,
        gateway: &'f str,
        attachment: &'f str,
        zone: Option<&'f str>,
        goal: Goal<'_, 'f>,
    ) -> Next<'f> {
        self.steps += 1;
        if self.steps > MOST_STEPS {
            let reason = Reason::Loop { component: gateway.to_owned() };
            let rule = "the routes lead in a circle";
            self.push(HopKind::TransitGateway, gateway, Decision::Drop, rule, Some(reason));
            return Next::End(Arrival::Lost);
        }
        let network = self.network;
        let lost = Next::End(Arrival::Lost);
        let Some(known) = network.attachment(attachment) else {
            let what = format!("the route table with which {attachment} is associated");
            let file = "ec2/describe-transit-gateway-attachments.json";
            let action = "ec2:DescribeTransitGatewayAttachments";
            self.unknown(HopKind::TransitGatewayRouteTable, gateway, missing(what, file, action));
            return lost;
        };
        let association = known.association.as_ref().filter(|association| {
            association.state.as_deref().is_none_or(|state| state.eq_ignore_ascii_case("associated"))
        });
        let Some(table) = association.and_then(|one| one.transit_gateway_route_table_id.as_deref()) else {
            let reason = Reason::NoAssociation { attachment: attachment.to_owned(), reply: self.reply };
            let rule = format!("{attachment} is associated with no route table");
            self.push(HopKind::TransitGateway, gateway, Decision::Drop, rule, Some(reason));
            return lost;
        };
        let Some(routes) = network.transit_routes(table) else {
            let what = format!("the routes of {table}");
            let file = format!("ec2/search-transit-gateway-routes-{table}.json");
            self.unknown(
                HopKind::TransitGatewayRouteTable,
                table,
                missing(what, file, "ec2:SearchTransitGatewayRoutes"),
            );
            return lost;
        };
        let destination = self.destination.first().copied().unwrap_or_default();
        let (taken, part) = look_up_transit(network, routes, &destination);
        if let Some(part) = part {
            let rule = format!("{} takes another route", part.net);
            let reason = Reason::RoutePart { table: table.to_owned(), part: part.net };
            self.push(HopKind::TransitGatewayRouteTable, table, Decision::Unknown, rule, Some(reason));
            return lost;
        }
        let unread = routes.routes.iter().filter(|route| route.destination_cidr_block.is_none()).find_map(|route| {
            route.prefix_list_id.as_deref().filter(|list| network.prefix_list_entries(list).is_none())
        });
        if let Some(list) = unread {
            let what = format!("whether {list} in {table} holds {}", nets_words(&[destination]));
            let file = format!("ec2/get-managed-prefix-list-entries-{list}.json");
            let action = "ec2:GetManagedPrefixListEntries";
            self.unknown(HopKind::TransitGatewayRouteTable, table, missing(what, file, action));
            return lost;
        }
        if routes.more {
            let what = format!("whether {table} has a better route (the list of its routes is cut off)");
            let file = format!("ec2/search-transit-gateway-routes-{table}.json");
            self.unknown(
                HopKind::TransitGatewayRouteTable,
                table,
                missing(what, file, "ec2:SearchTransitGatewayRoutes"),
            );
            return lost;
        }
        let state = taken.as_ref().map(|taken| TransitState::of(taken.route));
        if let (Some(TransitState::Unclear), Some(taken)) = (state, &taken) {
            let word = taken.route.state.as_deref().unwrap_or_default();
            let reason = unknown_state(&format!("the route {} of {table}", taken.text), word);
            self.unknown(HopKind::TransitGatewayRouteTable, table, reason);
            return lost;
        }
        let blackhole = state == Some(TransitState::Drops);
        let next = taken
            .as_ref()
            .filter(|_| !blackhole)
            .and_then(|taken| taken.route.transit_gateway_attachments.first().map(|next| (taken, next)));
        let Some((taken, next)) = next else {
            let rule = match &taken {
                Some(taken) => format!("{} is a black hole", taken.text),
                None => format!("no route to {}", nets_words(&[destination])),
            };
            let towards = goal.inside().and_then(|inside| network.vpc_attachment_of(gateway, inside.vpc));
            let reason = Reason::TransitRoute {
                table: table.to_owned(),
                destination,
                blackhole,
                attachment: attachment.to_owned(),
                towards: towards.iter().map(|one| one.transit_gateway_attachment_id.clone()).collect(),
                reply: self.reply,
            };
            self.push(HopKind::TransitGatewayRouteTable, table, Decision::Drop, rule, Some(reason));
            return lost;
        };
        self.by_default = taken.net.prefix_len() == 0;
        let kind = taken.route.kind.as_deref().unwrap_or("static");
        let ids: Vec<&str> = taken
            .route
            .transit_gateway_attachments
            .iter()
            .filter_map(|one| one.transit_gateway_attachment_id.as_deref())
            .collect();
        let rule = format!("{} → {} ({kind})", taken.text, ids.join(", "));
        self.push(HopKind::TransitGatewayRouteTable, table, Decision::Forward, rule, None);
        let id = next.transit_gateway_attachment_id.as_deref().unwrap_or_default();
        let described = network.attachment(id);
        let resource_type = described
            .and_then(|one| one.resource_type.as_deref())
            .or(next.resource_type.as_deref())
            .unwrap_or_default();
        match resource_type {
            "vpc" => self.deliver(gateway, id, zone),
            "vpn" | "direct-connect-gateway" | "connect" => {
                let resource = described
                    .and_then(|one| one.resource_id.as_deref())
                    .or(next.resource_id.as_deref())
                    .unwrap_or_default();
                Next::End(self.transit_to_outside(gateway, id, resource_type, resource, ids.len(), goal))
            }
            "peering" | "tgw-peering" => self.transit_peer(gateway, id, next.resource_id.as_deref(), goal),
            other => {
                let what = format!("attachments of type {other:?} are not modelled");
                self.unknown(HopKind::TransitGatewayAttachment, id, Reason::NotEvaluable { what });
                lost
            }
        }
    }

    /// From a transit gateway into a VPC: by the subnet of the zone that the packet comes from, else by any.
    fn deliver(&mut self, gateway: &'f str, id: &'f str, zone: Option<&'f str>) -> Next<'f> {
        let network = self.network;
        let Some(attachment) = network.vpc_attachment(id) else {
            let what = format!("the VPC behind {id}");
            let file = "ec2/describe-transit-gateway-vpc-attachments.json";
            let action = "ec2:DescribeTransitGatewayVpcAttachments";
            self.unknown(HopKind::TransitGatewayAttachment, id, missing(what, file, action));
            return Next::End(Arrival::Lost);
        };
        let vpc = attachment.vpc_id.as_deref().unwrap_or_default();
        if !self.attachment_state(id, attachment.state.as_deref()) {
            self.push(HopKind::TransitGatewayAttachment, id, Decision::Forward, format!("{gateway} → {vpc}"), None);
        }
        let options = |options: Option<&ec2::TransitGatewayOptions>| {
            options.and_then(|options| options.security_group_referencing_support.clone())
        };
        let enabled = |text: Option<String>| text.map(|text| text.eq_ignore_ascii_case("enable"));
        let of_gateway = enabled(network.transit_gateway(gateway).and_then(|one| options(one.options.as_ref())));
        let of_attachment = enabled(options(attachment.options.as_ref()));
        self.pass(Medium::Transit {
            referencing: match (of_gateway, of_attachment) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (known, _) => known,
            },
        });
        if network.vpc(vpc).is_none() && network.facts.subnets.iter().flatten().all(|subnet| subnet.vpc_id != vpc) {
            let what = format!("what {vpc} does with the packet");
            self.unknown(HopKind::Vpc, vpc, missing(what, "ec2/describe-vpcs.json", "ec2:DescribeVpcs"));
            return Next::End(Arrival::Lost);
        }
        let same = attachment
            .subnet_ids
            .iter()
            .find(|subnet| zone.is_some() && self.zone(subnet) == zone)
            .or_else(|| attachment.subnet_ids.first().filter(|_| attachment.subnet_ids.len() == 1));
        if let Some(subnet) = same {
            return Next::Subnet { vpc, subnet };
        }
        let Some(first) = attachment.subnet_ids.iter().min() else {
            let what = format!("the subnets of {id}");
            let file = "ec2/describe-transit-gateway-vpc-attachments.json";
            let action = "ec2:DescribeTransitGatewayVpcAttachments";
            self.unknown(HopKind::TransitGatewayAttachment, id, missing(what, file, action));
            return Next::End(Arrival::Lost);
        };
        let guards = |subnet: &str| {
            let acl = network.network_acl(subnet, vpc).map(|acl| acl.id);
            (acl, network.route_table(subnet, vpc).map(|table| table.route_table_id.as_str()))
        };
        if attachment.subnet_ids.iter().any(|subnet| guards(subnet) != guards(first)) {
            let what = format!(
                "by which of {} the packet enters {vpc} is chosen at run time",
                attachment.subnet_ids.join(", ")
            );
            self.unknown(HopKind::TransitGatewayAttachment, id, Reason::NotEvaluable { what });
            return Next::End(Arrival::Lost);
        }
        Next::Subnet { vpc, subnet: first }
    }

    fn transit_to_outside(
        &mut self,
        gateway: &'f str,
        id: &'f str,
        resource_type: &str,
        resource: &str,
        paths: usize,
        goal: Goal<'_, 'f>,
    ) -> Arrival<'f> {
        let network = self.network;
        if let Some(known) = network.attachment(id)
            && !self.attachment_state(id, known.state.as_deref())
        {
            self.push(
                HopKind::TransitGatewayAttachment,
                id,
                Decision::Forward,
                format!("{gateway} → {resource_type}"),
                None,
            );
        }
        self.pass(Medium::Other);
        if goal.inside().is_some() {
            return self.elsewhere(HopKind::TransitGatewayAttachment, id, "a network outside the VPCs");
        }
        // Several paths share the load; one that is down is not used.
        if resource_type == "vpn" && paths < 2 {
            let connection =
                network.facts.vpn_connections.iter().flatten().find(|one| one.vpn_connection_id == resource);
            self.tunnels(resource, connection.into_iter().collect());
        }
        Arrival::OnPremises(Gateway::Transit { gateway, attachment: id })
    }

    /// The VPN connections that may carry the packet: one tunnel is enough.
    fn tunnels(&mut self, component: &str, connections: Vec<&ec2::VpnConnection>) {
        let usable: Vec<_> = connections
            .into_iter()
            .filter(|one| one.state.as_deref().is_none_or(|state| !state.to_ascii_lowercase().starts_with("delet")))
            .collect();
        let tunnels: Vec<Option<&str>> = usable
            .iter()
            .flat_map(|connection| connection.vgw_telemetry.iter().map(|tunnel| tunnel.status.as_deref()))
            .collect();
        let ids: Vec<&str> = usable.iter().map(|one| one.vpn_connection_id.as_str()).collect();
        let ids = ids.join(", ");
        if tunnels.iter().any(|status| is(*status, "up")) {
            self.push(HopKind::VpnConnection, ids, Decision::Forward, "a tunnel is up", None);
        } else if !tunnels.is_empty() && tunnels.iter().all(|status| is(*status, "down")) {
            let reason = Reason::VpnDown { connection: ids.clone() };
            self.push(HopKind::VpnConnection, ids, Decision::Drop, "every tunnel is down", Some(reason));
        } else {
            let what = format!("the Direct Connect or VPN connection behind {component}");
            let file = "ec2/describe-vpn-connections.json";
            self.unknown(HopKind::VpnConnection, component, missing(what, file, "ec2:DescribeVpnConnections"));
        }
    }

    fn transit_peer(&mut self, gateway: &'f str, id: &'f str, peer: Option<&'f str>, goal: Goal<'_, 'f>) -> Next<'f> {
        let network = self.network;
        if let Some(known) = network.attachment(id)
            && !self.attachment_state(id, known.state.as_deref())
        {
            let rule = format!("{gateway} → {}", peer.unwrap_or("its peer"));
            self.push(HopKind::TransitGatewayAttachment, id, Decision::Forward, rule, None);
        }
        self.pass(Medium::Other);
        let peer = peer.or_else(|| network.attachment(id).and_then(|one| one.resource_id.as_deref()));
        let far = network.facts.transit_gateway_attachments.iter().flatten().find(|one| {
            matches!(one.resource_type.as_deref(), Some("peering" | "tgw-peering"))
                && one.transit_gateway_id.as_deref() == peer
                && one.resource_id.as_deref() == Some(gateway)
        });
        match (peer, far) {
            (Some(peer), Some(far)) => self.transit_table(peer, &far.transit_gateway_attachment_id, None, goal),
            _ => {
                let name = peer.unwrap_or("the peer");
                let what = format!("what {name} does with the packet: it is another Region's or account's");
                self.unknown(HopKind::TransitGateway, name, Reason::NotEvaluable { what });
                Next::End(Arrival::Lost)
            }
        }
    }

    fn elsewhere(&mut self, kind: HopKind, id: &str, place: &str) -> Arrival<'f> {
        let destination = self.destination.first().copied().unwrap_or_default();
        let reason = Reason::LeadsElsewhere { target: id.to_owned(), destination, reply: self.reply };
        let rule = format!("this leads to {place}, and {} is not there", nets_words(&[destination]));
        self.push(kind, id, Decision::Drop, rule, Some(reason));
        Arrival::Lost
    }

    fn vpn_gateway(&mut self, id: &'f str, vpc: &'f str, goal: Goal<'_, 'f>) -> Arrival<'f> {
        self.vpn_gateway_attached(id, vpc);
        self.pass(Medium::Other);
        if goal.inside().is_some() {
            return self.elsewhere(HopKind::VpnGateway, id, "a network outside the VPCs");
        }
        let connections: Vec<_> = self
            .network
            .facts
            .vpn_connections
            .iter()
            .flatten()
            .filter(|connection| connection.vpn_gateway_id.as_deref() == Some(id))
            .collect();
        self.tunnels(id, connections);
        Arrival::OnPremises(Gateway::Vpn { gateway: id, vpc })
    }

    fn vpn_gateway_attached(&mut self, id: &str, vpc: &str) {
        match self.network.vpn_gateway(id) {
            None => {
                let file = "ec2/describe-vpn-gateways.json";
                self.unknown(HopKind::VpnGateway, id, missing(id.to_owned(), file, "ec2:DescribeVpnGateways"));
            }
            Some(gateway) if is_attached(&gateway.vpc_attachments, vpc) => {
                self.push(HopKind::VpnGateway, id, Decision::Forward, format!("attached to {vpc}"), None);
            }
            Some(_) => {
                let reason = Reason::GatewayDetached { gateway: id.to_owned(), vpc: vpc.to_owned() };
                let rule = format!("not attached to {vpc}");
                self.push(HopKind::VpnGateway, id, Decision::Drop, rule, Some(reason));
            }
        }
    }

    /// From a network outside into a VPC.
    pub(super) fn enter(&mut self, gateway: Gateway<'f>, goal: &Inside<'f>) -> Arrival<'f> {
        self.pass(Medium::Other);
        match gateway {
            Gateway::Vpn { gateway, vpc } => {
                self.vpn_gateway_attached(gateway, vpc);
                if !self.reply {
                    let all = self.network.facts.vpn_connections.iter().flatten();
                    let connections = all.filter(|one| one.vpn_gateway_id.as_deref() == Some(gateway)).collect();
                    self.tunnels(gateway, connections);
                }
                self.edge_table(gateway);
                if goal.vpc == vpc {
                    self.network_acl(goal.vpc, goal.subnet, false);
                    Arrival::There
                } else {
                    self.elsewhere(HopKind::VpnGateway, gateway, vpc)
                }
            }
            Gateway::Transit { gateway, attachment } => {
                if let Some(known) = self.network.attachment(attachment) {
                    if !self.attachment_state(attachment, known.state.as_deref()) {
                        let kind = known.resource_type.as_deref().unwrap_or("outside");
                        let rule = format!("{kind} → {gateway}");
                        self.push(HopKind::TransitGatewayAttachment, attachment, Decision::Forward, rule, None);
                    }
                    if !self.reply && is(known.resource_type.as_deref(), "vpn") {
                        let resource = known.resource_id.as_deref().unwrap_or_default();
                        let all = self.network.facts.vpn_connections.iter().flatten();
                        let connections = all.filter(|one| one.vpn_connection_id == resource).collect();
                        self.tunnels(resource, connections);
                    }
                }
                match self.transit_table(gateway, attachment, None, Goal::Inside(goal)) {
                    Next::Subnet { vpc, subnet } => self.leave_subnet(vpc, subnet, None, Goal::Inside(goal)),
                    Next::End(arrival) => arrival,
                }
            }
        }
    }

    /// Packets that enter by a gateway may be sent to an appliance first.
    fn edge_table(&mut self, gateway: &str) {
        let associated = |table: &&ec2::RouteTable| {
            table.associations.iter().any(|association| association.gateway_id.as_deref() == Some(gateway))
        };
        let Some(table) = self.network.facts.route_tables.iter().flatten().find(associated) else { return };
        let Some(destination) = self.destination.first().copied() else { return };
        if table.routes.is_none() {
            let id = table.route_table_id.as_str();
            let what = format!("`Routes` of {id}");
            let reason = missing(what, "ec2/describe-route-tables.json", "ec2:DescribeRouteTables");
            self.unknown(HopKind::RouteTable, id, reason);
            return;
        }
        let lookup = look_up(self.network, table, &destination);
        if let Some(taken) = lookup.taken.filter(|taken| taken.target != Target::Local) {
            let id = table.route_table_id.as_str();
            let what = format!("{}: what it does with packets that enter by {gateway} is not modelled", taken.words());
            self.unknown(HopKind::RouteTable, id, Reason::NotEvaluable { what });
        }
    }

    fn nat(&mut self, id: &'f str, vpc: &'f str, subnet: &'f str) -> Next<'f> {
        let lost = Next::End(Arrival::Lost);
        if self.reply {
            let destination = self.destination.first().copied().unwrap_or_default();
            let reason = Reason::LeadsElsewhere { target: id.to_owned(), destination, reply: true };
            let rule = "replies that leave by a NAT gateway belong to no connection that it knows";
            self.push(HopKind::NatGateway, id, Decision::Drop, rule, Some(reason));
            return lost;
        }
        let network = self.network;
        let Some(gateway) = network.nat_gateway(id) else {
            let file = "ec2/describe-nat-gateways.json";
            if network.facts.nat_gateways.is_some() {
                let reason = Reason::NatState { gateway: id.to_owned(), state: "none".to_owned() };
                self.push(HopKind::NatGateway, id, Decision::Drop, "there is no such NAT gateway", Some(reason));
            } else {
                self.unknown(HopKind::NatGateway, id, missing(id.to_owned(), file, "ec2:DescribeNatGateways"));
            }
            return lost;
        };
        if self.translations.iter().any(|one| one.gateway.label == id) {
            let reason = Reason::Loop { component: id.to_owned() };
            self.push(HopKind::NatGateway, id, Decision::Drop, "the routes lead in a circle", Some(reason));
            return lost;
        }
        let place = gateway.subnet_id.as_deref().unwrap_or_default();
        if place != subnet {
            self.network_acl(vpc, place, false);
        }
        if family(&self.destination) == Family::V6 {
            let nat64 = self.destination.iter().all(|net| IpNet::V6(NAT64).contains(net));
            if nat64 {
                let what = "NAT64 is not modelled".to_owned();
                self.unknown(HopKind::NatGateway, id, Reason::NotEvaluable { what });
            } else {
                let reason = Reason::NatFamily { gateway: id.to_owned() };
                let rule = "NAT gateways translate no IPv6 packets outside 64:ff9b::/96";
                self.push(HopKind::NatGateway, id, Decision::Drop, rule, Some(reason));
            }
            return lost;
        }
        let is_private = is(gateway.connectivity_type.as_deref(), "private");
        let inside: Vec<IpNet> = addresses(gateway, |one| one.private_ip);
        let public: Vec<IpAddr> = gateway.nat_gateway_addresses.iter().filter_map(|one| one.public_ip).collect();
        let seen = if is_private || public.is_empty() {
            nets_words(&inside)
        } else {
            nets_words(&public.iter().map(|one| IpNet::from(*one)).collect::<Vec<_>>())
        };
        match gateway.state.as_deref() {
            Some(state) if is(Some(state), "available") => {
                let rule = format!("translates {} to {seen}", nets_words(&self.source));
                self.push(HopKind::NatGateway, id, Decision::Forward, rule, None);
            }
            Some(state) if !one_of(state, &BAD_NAT_GATEWAYS) => {
                self.unknown(HopKind::NatGateway, id, unknown_state(id, state));
            }
            Some(state) => {
                let reason = Reason::NatState { gateway: id.to_owned(), state: state.to_owned() };
                self.push(HopKind::NatGateway, id, Decision::Drop, format!("{state}, not available"), Some(reason));
            }
            None => {
                let what = format!("the state of {id}");
                let file = "ec2/describe-nat-gateways.json";
                self.unknown(HopKind::NatGateway, id, missing(what, file, "ec2:DescribeNatGateways"));
            }
        }
        let nat_vpc = gateway.vpc_id.as_deref().unwrap_or(vpc);
        if inside.is_empty() {
            let what = format!("the private address of {id}");
            let file = "ec2/describe-nat-gateways.json";
            self.unknown(HopKind::NatGateway, id, missing(what, file, "ec2:DescribeNatGateways"));
            return lost;
        }
        let end = Inside {
            label: id.to_owned(),
            kind: HopKind::NatGateway,
            vpc: nat_vpc,
            subnet: place,
            nets: inside.clone(),
            public: public.first().copied().map_or(Public::None, Public::Is),
            groups: Groups::None,
            interface: None,
            instance: None,
        };
        let before = std::mem::replace(&mut self.source, inside);
        self.closed = AddressSet::empty();
        self.translations.push(Translation { gateway: end, before, public, is_private });
        self.pass(Medium::Other);
        self.medium = Medium::Other;
        Next::Subnet { vpc: nat_vpc, subnet: place }
    }

    fn internet_gateway(&mut self, id: &'f str, vpc: &'f str, at: Option<&Inside<'f>>) -> Arrival<'f> {
        self.pass(Medium::Other);
        self.medium = Medium::Other;
        match self.network.internet_gateway(id) {
            None if self.network.facts.internet_gateways.is_none() => {
                let file = "ec2/describe-internet-gateways.json";
                self.unknown(
                    HopKind::InternetGateway,
                    id,
                    missing(id.to_owned(), file, "ec2:DescribeInternetGateways"),
                );
            }
            Some(gateway) if is_attached(&gateway.attachments, vpc) => {}
            Some(_) | None => {
                let reason = Reason::GatewayDetached { gateway: id.to_owned(), vpc: vpc.to_owned() };
                let rule = format!("not attached to {vpc}");
                self.push(HopKind::InternetGateway, id, Decision::Drop, rule, Some(reason));
                return Arrival::Lost;
            }
        }
        if self.destination.iter().any(|net| is_private(net.addr())) {
            return self.elsewhere(HopKind::InternetGateway, id, "the internet");
        }
        let known = self.hops.last().is_some_and(|hop| hop.kind == HopKind::InternetGateway);
        // Public addresses stand for private ones at this gateway only; IPv6 addresses are what they are.
        let seen: Option<Vec<IpNet>> = if family(&self.source) == Family::V6 {
            Some(self.source.clone())
        } else if let Some(translation) = self.translations.last() {
            if translation.gateway.vpc != vpc {
                // A public address stands for a private one at the gateway of its own VPC only.
                let rule = format!("{} has no public address at this gateway", nets_words(&self.source));
                let reason = Reason::NoPublicAddress { of: translation.gateway.label.clone() };
                self.push(HopKind::InternetGateway, id, Decision::Drop, rule, Some(reason));
                None
            } else if translation.is_private || translation.public.is_empty() {
                let gateway = translation.gateway.label.clone();
                let rule = format!("{gateway} has no public address: it does not lead to the internet");
                let reason = Reason::NatPrivate { gateway: gateway.clone() };
                self.push(HopKind::NatGateway, gateway, Decision::Drop, rule, Some(reason));
                None
            } else {
                Some(translation.public.iter().map(|one| IpNet::from(*one)).collect())
            }
        } else {
            self.public_of(id, vpc, at)
        };
        let Some(seen) = seen else { return Arrival::Lost };
        self.source = seen;
        if !known {
            self.push(HopKind::InternetGateway, id, Decision::Forward, format!("attached to {vpc}"), None);
        }
        if !self.reply {
            self.block_public_access(!self.translations.is_empty());
        }
        Arrival::Internet
    }

    fn public_of(&mut self, id: &str, vpc: &str, at: Option<&Inside<'f>>) -> Option<Vec<IpNet>> {
        let public = at.filter(|at| at.vpc == vpc).map_or(Public::None, |at| at.public);
        let label = at.map_or_else(|| nets_words(&self.source), |at| at.label.clone());
        match public {
            Public::Is(public) => Some(vec![IpNet::from(public)]),
            Public::None => {
                let reason = Reason::NoPublicAddress { of: label.clone() };
                let rule = format!("{label} has no public address, so its packets are not carried");
                self.push(HopKind::InternetGateway, id, Decision::Drop, rule, Some(reason));
                None
            }
            Public::Unknown => {
                let what = format!("whether {label} has a public address");
                let file = "ec2/describe-network-interfaces.json";
                let reason = missing(what, file, "ec2:DescribeNetworkInterfaces");
                self.unknown(HopKind::InternetGateway, id, reason);
                None
            }
        }
    }

    /// The Region's setting; NAT and egress-only gateways stay open when only ingress is blocked
    /// (<https://docs.aws.amazon.com/vpc/latest/userguide/security-vpc-bpa.html>).
    fn block_public_access(&mut self, by_outbound_gateway: bool) {
        let options = self.network.facts.block_public_access.as_ref();
        match options.and_then(|options| options.internet_gateway_block_mode.as_deref()) {
            // Off in every Region until somebody turns it on, and a folder made before the feature has no such file.
            None => self.note(
                "VPC Block Public Access is not in the facts (ec2/describe-vpc-block-public-access-options.json, \
                 ec2:DescribeVpcBlockPublicAccessOptions) and taken as off, its default"
                    .to_owned(),
            ),
            Some(mode) if is(Some(mode), "off") => {}
            Some(mode) if is(Some(mode), "block-ingress") && by_outbound_gateway => {}
            Some(mode) => {
                let reason = Reason::BlockPublicAccess { mode: mode.to_owned() };
                let rule = format!("{mode}, unless an exclusion is in effect for the VPC or subnet");
                self.push(HopKind::BlockPublicAccess, "VPC Block Public Access", Decision::Drop, rule, Some(reason));
            }
        }
    }

    fn egress_only(&mut self, id: &'f str, vpc: &'f str) -> Arrival<'f> {
        self.medium = Medium::Other;
        if self.reply {
            let what = format!("whether {id} carries replies to connections that it has not seen begin");
            self.unknown(HopKind::EgressOnlyInternetGateway, id, Reason::NotEvaluable { what });
            return Arrival::Internet;
        }
        if family(&self.destination) == Family::V4 {
            let reason = Reason::GatewayFamily { gateway: id.to_owned() };
            let rule = "carries IPv6 only";
            self.push(HopKind::EgressOnlyInternetGateway, id, Decision::Drop, rule, Some(reason));
            return Arrival::Lost;
        }
        match self.network.egress_only_gateway(id) {
            None if self.network.facts.egress_only_internet_gateways.is_none() => {
                let file = "ec2/describe-egress-only-internet-gateways.json";
                let action = "ec2:DescribeEgressOnlyInternetGateways";
                self.unknown(HopKind::EgressOnlyInternetGateway, id, missing(id.to_owned(), file, action));
            }
            Some(gateway) if is_attached(&gateway.attachments, vpc) => {
                let rule = format!("attached to {vpc}");
                self.push(HopKind::EgressOnlyInternetGateway, id, Decision::Forward, rule, None);
            }
            Some(_) | None => {
                let reason = Reason::GatewayDetached { gateway: id.to_owned(), vpc: vpc.to_owned() };
                let rule = format!("not attached to {vpc}");
                self.push(HopKind::EgressOnlyInternetGateway, id, Decision::Drop, rule, Some(reason));
            }
        }
        if self.destination.iter().any(|net| is_private(net.addr())) {
            return self.elsewhere(HopKind::EgressOnlyInternetGateway, id, "the internet");
        }
        self.block_public_access(true);
        Arrival::Internet
    }

    fn endpoint(&mut self, id: &'f str) -> Arrival<'f> {
        self.medium = Medium::Other;
        match self.network.endpoint(id) {
            None => {
                let file = "ec2/describe-vpc-endpoints.json";
                self.unknown(HopKind::VpcEndpoint, id, missing(id.to_owned(), file, "ec2:DescribeVpcEndpoints"));
                Arrival::Lost
            }
            Some(endpoint) if is(endpoint.vpc_endpoint_type.as_deref(), "GatewayLoadBalancer") => {
                let what = format!("the appliances behind {id} decide by themselves what they do with the packet");
                self.unknown(HopKind::Appliance, id, Reason::NotEvaluable { what });
                Arrival::Lost
            }
            Some(endpoint) => {
                let service = endpoint.service_name.as_deref().unwrap_or("a service");
                if !self.endpoint_state(endpoint) {
                    self.push(HopKind::VpcEndpoint, id, Decision::Forward, format!("to {service}"), None);
                }
                Arrival::Service
            }
        }
    }

    /// True when it told of a state that stops packets.
    pub(super) fn endpoint_state(&mut self, endpoint: &ec2::VpcEndpoint) -> bool {
        let Some(state) = endpoint.state.as_deref().filter(|state| !is(Some(state), "available")) else {
            return false;
        };
        let id = endpoint.vpc_endpoint_id.as_str();
        let reason = Reason::EndpointState { endpoint: id.to_owned(), state: state.to_owned() };
        self.push(HopKind::VpcEndpoint, id, Decision::Drop, format!("{state}, not available"), Some(reason));
        true
    }

    /// From the internet to something in a VPC that has this public address, or an IPv6 one.
    pub(super) fn enter_from_internet(&mut self, goal: &Inside<'f>, dialled: IpAddr) -> Arrival<'f> {
        self.medium = Medium::Other;
        let network = self.network;
        let id = match network.internet_gateway_of(goal.vpc) {
            Some(gateway) => {
                let id = gateway.internet_gateway_id.as_str();
                let address = nets_words(&goal.nets);
                let rule = if goal.nets.iter().any(|net| net.addr() == dialled) {
                    format!("attached to {}", goal.vpc)
                } else {
                    format!("attached to {}; {dialled} stands for {address}", goal.vpc)
                };
                self.push(HopKind::InternetGateway, id, Decision::Forward, rule, None);
                id
            }
            None if network.facts.internet_gateways.is_none() => {
                let what = format!("the internet gateway of {}", goal.vpc);
                let file = "ec2/describe-internet-gateways.json";
                self.unknown(HopKind::InternetGateway, goal.vpc, missing(what, file, "ec2:DescribeInternetGateways"));
                ""
            }
            None => {
                let reason = Reason::GatewayDetached { gateway: "none".to_owned(), vpc: goal.vpc.to_owned() };
                let rule = format!("no internet gateway is attached to {}", goal.vpc);
                self.push(HopKind::InternetGateway, goal.vpc, Decision::Drop, rule, Some(reason));
                ""
            }
        };
        if !self.reply {
            if is_private(dialled) {
                let rule = format!("{dialled} cannot be reached from the internet");
                let reason = Reason::PrivateFromInternet { address: dialled };
                self.push(HopKind::InternetGateway, id, Decision::Drop, rule, Some(reason));
            }
            self.block_public_access(false);
        }
        self.destination.clone_from(&goal.nets);
        if !id.is_empty() {
            self.edge_table(id);
        }
        self.network_acl(goal.vpc, goal.subnet, false);
        Arrival::There
    }
}

fn addresses(gateway: &ec2::NatGateway, which: impl Fn(&ec2::NatGatewayAddress) -> Option<IpAddr>) -> Vec<IpNet> {
    gateway.nat_gateway_addresses.iter().filter_map(which).map(IpNet::from).collect()
}

/// Ranges for a message: hosts as addresses, at most four.
pub(super) fn nets_words(nets: &[IpNet]) -> String {
    let mut words = String::new();
    for net in nets.iter().take(MOST_NETS) {
        if !words.is_empty() {
            words.push_str(", ");
        }
        if net.prefix_len() == net.max_prefix_len() {
            words.push_str(&net.addr().to_string());
        } else {
            words.push_str(&net.to_string());
        }
    }
    if let Some(more) = nets.len().checked_sub(MOST_NETS).filter(|more| *more > 0) {
        let _ = write!(words, " and {more} more");
    }
    words
}

fn one_of(state: &str, words: &[&str]) -> bool {
    words.iter().any(|word| state.eq_ignore_ascii_case(word))
}

/// A reason for a state that no document of the provider names: what it does is not guessed.
fn unknown_state(of: &str, state: &str) -> Reason {
    let short: String = state.escape_debug().take(LONGEST_STATE).collect();
    Reason::NotEvaluable { what: format!("what state `{short}` of {of} means is not known") }
}

/// A reason for what a file of the facts folder would say.
pub(super) fn missing(what: String, file: impl Into<String>, action: &'static str) -> Reason {
    Reason::Missing { what, file: file.into(), action }
}

/// <https://docs.aws.amazon.com/vpc/latest/userguide/nat-gateway-nat64-dns64.html>
const NAT64: ipnet::Ipv6Net = ipnet::Ipv6Net::new_assert(std::net::Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96);
const MOST_STEPS: u32 = 16;
/// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_VpcPeeringConnectionStateReason.html>
const BAD_PEERINGS: [&str; 8] = [
    "initiating-request",
    "pending-acceptance",
    "deleted",
    "rejected",
    "failed",
    "expired",
    "provisioning",
    "deleting",
];
/// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_NatGateway.html>
const BAD_NAT_GATEWAYS: [&str; 4] = ["pending", "failed", "deleting", "deleted"];
/// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_TransitGateway.html>
const BAD_TRANSIT_GATEWAYS: [&str; 4] = ["pending", "modifying", "deleting", "deleted"];
/// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_TransitGatewayAttachment.html>
const BAD_ATTACHMENTS: [&str; 11] = [
    "initiating",
    "initiatingRequest",
    "pendingAcceptance",
    "rollingBack",
    "pending",
    "deleting",
    "deleted",
    "failed",
    "rejected",
    "rejecting",
    "failing",
];
const MOST_NETS: usize = 4;
const LONGEST_STATE: usize = 40;

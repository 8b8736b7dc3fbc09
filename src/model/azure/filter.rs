//! Network security groups: of a subnet and of an interface, the lowest priority number that matches decides
//! (<https://learn.microsoft.com/azure/virtual-network/network-security-groups-overview>).

use std::net::IpAddr;

use ipnet::IpNet;

use super::{Network, PLATFORM, net, public_space, route::is_tag};
use crate::{
    facts::azure::{ArmId, NetworkSecurityGroup, SecurityRule},
    model::set::AddressSet,
};

/// A security group, its rules sorted and understood.
#[derive(Debug)]
pub(in crate::model) struct Group<'f> {
    pub(in crate::model) id: &'f ArmId,
    inbound: Vec<Rule<'f>>,
    outbound: Vec<Rule<'f>>,
}

/// A rule that may concern TCP.
#[derive(Debug)]
struct Rule<'f> {
    name: &'f str,
    priority: Option<i64>,
    /// `None`: neither `Allow` nor `Deny` is written.
    allow: Option<bool>,
    /// First and last destination port, of each range.
    ports: Vec<(u16, u16)>,
    sources: Side<'f>,
    destinations: Side<'f>,
    /// What of it cannot be understood, or only holds for some of a client's ports.
    unclear: Option<&'static str>,
}

/// One side of a rule.
#[derive(Debug, Default)]
struct Side<'f> {
    any: bool,
    nets: Vec<IpNet>,
    tags: Vec<&'f str>,
    groups: Vec<&'f ArmId>,
    unclear: bool,
}

/// The application security groups of an end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Membership<'f> {
    Known(Vec<&'f ArmId>),
    /// The facts do not say.
    Unknown,
}

/// A packet, as a security group sees it. All addresses are of one family.
pub(super) struct Packet<'a, 'f> {
    pub(super) inbound: bool,
    pub(super) sources: &'a [IpNet],
    pub(super) destinations: &'a [IpNet],
    pub(super) port: u16,
    pub(super) source_groups: &'a Membership<'f>,
    pub(super) destination_groups: &'a Membership<'f>,
    pub(super) tags: &'a Tags<'a>,
}

/// What service tags mean where the group stands.
pub(super) struct Tags<'a> {
    pub(super) network: &'a Network<'a>,
    /// In `VirtualNetwork` for certain.
    pub(super) virtual_network: AddressSet,
    /// In it perhaps: ranges of user-defined routes, and those that gateways learn.
    pub(super) perhaps: AddressSet,
}

/// What a group says of a packet.
#[derive(Debug, PartialEq)]
pub(super) enum Decided<'r> {
    Allow(Named<'r>),
    Deny(Named<'r>),
    /// Some sources pass and others do not.
    Part {
        open: AddressSet,
        rule: Named<'r>,
    },
    /// A rule of which it is not known whether it matches would decide otherwise than the next.
    Unknown {
        rule: Named<'r>,
        tag: Option<&'r str>,
        why: String,
    },
}

/// A rule by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Named<'r> {
    pub(super) name: &'r str,
    pub(super) priority: Option<i64>,
}

impl<'f> Group<'f> {
    pub(super) fn of(facts: &'f NetworkSecurityGroup) -> Self {
        let rules = |inbound: bool| {
            let wanted = if inbound { "Inbound" } else { "Outbound" };
            let written = facts.security_rules.iter().chain(&facts.default_security_rules);
            let of_direction = written.filter(|rule| {
                // A rule that does not say, in words that are known, for which direction it is may be for either.
                rule.direction
                    .as_deref()
                    .is_none_or(|direction| direction.eq_ignore_ascii_case(wanted) || !is_direction(direction))
            });
            let mut rules: Vec<Rule<'f>> = of_direction.filter_map(rule).collect();
            // Azure has them in every group; a file may leave them out.
            if facts.default_security_rules.is_empty() {
                rules.extend(defaults(inbound));
            }
            rules.sort_by_key(|rule| rule.priority.unwrap_or(i64::MIN));
            rules
        };
        Self { id: &facts.id, inbound: rules(true), outbound: rules(false) }
    }

    /// Of each outbound rule, the addresses of a family that it is to, for certain and perhaps.
    pub(super) fn destinations(&self, all: IpNet, tags: &Tags<'_>) -> impl Iterator<Item = [AddressSet; 2]> {
        self.outbound.iter().map(move |rule| {
            let holding = rule.destinations.holds(&[all], &Membership::Known(Vec::new()), tags);
            [holding.sure, holding.perhaps]
        })
    }

    /// What the group does with the packet.
    pub(super) fn decide(&self, packet: &Packet<'_, '_>) -> Decided<'_> {
        let rules = if packet.inbound { &self.inbound } else { &self.outbound };
        // What varies is the source or the destination, never both: the other is one address.
        let varying = if packet.destinations.len() == 1 && is_one(packet.destinations) {
            Vary::Source
        } else {
            Vary::Destination
        };
        let wanted = AddressSet::from_nets(match varying {
            Vary::Source => packet.sources,
            Vary::Destination => packet.destinations,
        });
        let mut judged = Judged { left: wanted.clone(), ..Judged::default() };
        for rule in rules.iter().filter(|rule| rule.ports.iter().any(|(from, to)| (*from..=*to).contains(&packet.port)))
        {
            if judged.left.is_empty() {
                break;
            }
            let (source, destination) = (
                rule.sources.holds(packet.sources, packet.source_groups, packet.tags),
                rule.destinations.holds(packet.destinations, packet.destination_groups, packet.tags),
            );
            let (sure, perhaps) = match varying {
                Vary::Source => (
                    source.sure_if(&destination, packet.destinations),
                    source.perhaps_if(&destination, packet.destinations),
                ),
                Vary::Destination => {
                    (destination.sure_if(&source, packet.sources), destination.perhaps_if(&source, packet.sources))
                }
            };
            let why = rule.unclear.map(str::to_owned).or(source.why).or(destination.why);
            judged.take(rule, &sure, &perhaps, why, source.tag.or(destination.tag));
        }
        judged.outcome(&wanted)
    }
}

#[derive(Clone, Copy)]
enum Vary {
    Source,
    Destination,
}

/// Which of the addresses in question a side of a rule holds.
struct Holding<'r> {
    sure: AddressSet,
    perhaps: AddressSet,
    tag: Option<&'r str>,
    why: Option<String>,
}

impl Holding<'_> {
    /// What of this side is held for certain, when the other side is a single place.
    fn sure_if(&self, other: &Self, of_other: &[IpNet]) -> AddressSet {
        let other_held = other.sure.is_superset(&AddressSet::from_nets(of_other));
        if other_held { self.sure.clone() } else { AddressSet::empty() }
    }

    fn perhaps_if(&self, other: &Self, of_other: &[IpNet]) -> AddressSet {
        let possible = other.perhaps.overlaps(&AddressSet::from_nets(of_other));
        if possible { self.perhaps.clone() } else { AddressSet::empty() }
    }
}

impl<'f> Side<'f> {
    fn of(only: Option<&'f str>, several: &'f [String], groups: impl Iterator<Item = &'f ArmId>) -> Self {
        let mut side = Self { groups: groups.collect(), ..Self::default() };
        let texts = only.into_iter().chain(several.iter().map(String::as_str)).map(str::trim);
        for text in texts.filter(|text| !text.is_empty()) {
            if text == "*" || text.eq_ignore_ascii_case("any") {
                side.any = true;
            } else if let Some(net) = net(text) {
                side.nets.push(net);
            } else if is_tag(text) {
                side.tags.push(text);
            } else {
                side.unclear = true;
            }
        }
        side.unclear |= !side.any && side.nets.is_empty() && side.tags.is_empty() && side.groups.is_empty();
        side
    }

    /// Which of these addresses it holds.
    fn holds(&self, addresses: &[IpNet], membership: &Membership<'_>, tags: &Tags<'_>) -> Holding<'_> {
        let all = AddressSet::from_nets(addresses);
        if self.any {
            return Holding { sure: all.clone(), perhaps: all, tag: None, why: None };
        }
        let mut holding = Holding {
            sure: AddressSet::from_nets(&self.nets).intersection(&all),
            perhaps: AddressSet::empty(),
            tag: None,
            why: None,
        };
        for tag in &self.tags {
            let (sure, perhaps) = tags.ranges(tag);
            holding.sure = holding.sure.union(&sure.intersection(&all));
            let doubtful = perhaps.intersection(&all);
            if !doubtful.is_empty() {
                holding.tag.get_or_insert(tag);
                let why = if tag.eq_ignore_ascii_case(VIRTUAL_NETWORK) {
                    "whether VirtualNetwork holds it depends on user-defined routes and on what gateways learn"
                        .to_owned()
                } else {
                    format!("the ranges of the service tag {tag} are not in the facts")
                };
                holding.why.get_or_insert(why);
            }
            holding.perhaps = holding.perhaps.union(&doubtful);
        }
        match membership {
            Membership::Known(groups) if self.groups.iter().any(|wanted| groups.contains(wanted)) => {
                holding.sure = all.clone();
            }
            Membership::Unknown if !self.groups.is_empty() => {
                holding.perhaps = all.clone();
                holding.why.get_or_insert_with(|| {
                    "which application security groups the host is in is not in the facts".to_owned()
                });
            }
            Membership::Known(_) | Membership::Unknown => {}
        }
        if self.unclear {
            holding.perhaps = all;
            holding.why.get_or_insert_with(|| "its addresses are not understood".to_owned());
        }
        holding.perhaps = holding.perhaps.union(&holding.sure);
        holding
    }
}

impl Tags<'_> {
    /// What a tag stands for: for certain, and perhaps besides
    /// (<https://learn.microsoft.com/azure/virtual-network/service-tags-overview>).
    fn ranges(&self, tag: &str) -> (AddressSet, AddressSet) {
        let nothing = AddressSet::empty;
        if tag.eq_ignore_ascii_case(VIRTUAL_NETWORK) {
            (self.virtual_network.clone(), self.perhaps.clone())
        } else if tag.eq_ignore_ascii_case("AzureLoadBalancer") {
            (AddressSet::from(IpAddr::V4(PLATFORM)), nothing())
        } else if tag.eq_ignore_ascii_case("Internet") {
            (public_space().difference(&self.virtual_network), nothing())
        } else {
            match self.network.service_tag(tag) {
                Some(nets) => (AddressSet::from_nets(nets), nothing()),
                // Services have public addresses.
                None => (nothing(), public_space()),
            }
        }
    }
}

/// What has been decided so far, of the addresses in question.
#[derive(Default)]
struct Judged<'r> {
    left: AddressSet,
    allowed: AddressSet,
    denied: AddressSet,
    unknown: AddressSet,
    maybe_allowed: AddressSet,
    maybe_denied: AddressSet,
    allowing: Option<Named<'r>>,
    denying: Option<Named<'r>>,
    doubt: Option<(Named<'r>, Option<&'r str>, String)>,
}

impl<'r> Judged<'r> {
    fn take(
        &mut self,
        rule: &Rule<'r>,
        sure: &AddressSet,
        perhaps: &AddressSet,
        why: Option<String>,
        tag: Option<&'r str>,
    ) {
        let named = Named { name: rule.name, priority: rule.priority };
        let certain = rule.unclear.is_none().then_some(rule.allow).flatten();
        let decides = if certain.is_some() { sure.intersection(&self.left) } else { AddressSet::empty() };
        let doubtful = perhaps.intersection(&self.left).difference(&decides);
        if !decides.is_empty() {
            let against = if certain == Some(true) { &self.maybe_denied } else { &self.maybe_allowed };
            self.unknown = self.unknown.union(&decides.intersection(against));
            let settled = decides.difference(against);
            let (set, name) = if certain == Some(true) {
                (&mut self.allowed, &mut self.allowing)
            } else {
                (&mut self.denied, &mut self.denying)
            };
            if !settled.is_empty() {
                *set = set.union(&settled);
                name.get_or_insert(named);
            }
            self.left = self.left.difference(&decides);
        }
        if !doubtful.is_empty() {
            if rule.allow != Some(false) {
                self.maybe_allowed = self.maybe_allowed.union(&doubtful);
            }
            if rule.allow != Some(true) {
                self.maybe_denied = self.maybe_denied.union(&doubtful);
            }
            let why = why.unwrap_or_else(|| "it says neither Allow nor Deny".to_owned());
            self.doubt.get_or_insert((named, tag, why));
        }
    }

    fn outcome(mut self, wanted: &AddressSet) -> Decided<'r> {
        // What no rule decides is denied; where the provider's own rules are written down there is a last one.
        self.unknown = self.unknown.union(&self.left.intersection(&self.maybe_allowed));
        self.denied = self.denied.union(&self.left.difference(&self.maybe_allowed));
        let nameless = Named { name: "", priority: None };
        let denying = self.denying.unwrap_or(nameless);
        if self.allowed.is_superset(wanted) {
            Decided::Allow(self.allowing.unwrap_or(nameless))
        } else if self.denied.is_superset(wanted) {
            Decided::Deny(denying)
        } else if let Some((rule, tag, why)) = self.doubt.filter(|_| !self.unknown.is_empty()) {
            Decided::Unknown { rule, tag, why }
        } else {
            Decided::Part { open: self.allowed, rule: denying }
        }
    }
}

/// `None` for a rule of another protocol.
fn rule(facts: &SecurityRule) -> Option<Rule<'_>> {
    let mut unclear = None;
    match facts.protocol.as_deref().map(str::trim) {
        None => unclear = Some("it names no protocol"),
        Some("*" | "6") => {}
        Some(protocol) if protocol.eq_ignore_ascii_case("tcp") || protocol.eq_ignore_ascii_case("any") => {}
        Some(protocol) if OTHER_PROTOCOLS.iter().any(|other| protocol.eq_ignore_ascii_case(other)) => return None,
        Some(protocol) if protocol.parse::<u8>().is_ok() => return None,
        Some(_) => unclear = Some("its protocol is not one that is known"),
    }
    let Some(ports) = ports(facts.destination_port_range.as_deref(), &facts.destination_port_ranges) else {
        return Some(Rule { unclear: Some("its ports are not understood"), ..skeleton(facts, vec![(0, u16::MAX)]) });
    };
    // Clients connect from ports of their system's choice.
    match self::ports(facts.source_port_range.as_deref(), &facts.source_port_ranges) {
        None => unclear = Some("its source ports are not understood"),
        Some(sources) if sources.iter().any(|(from, to)| *from <= FIRST_EPHEMERAL && *to == u16::MAX) => {}
        Some(sources) if sources.iter().all(|(_, to)| *to < FIRST_EPHEMERAL) => return None,
        Some(_) => unclear = Some("it holds for some source ports only"),
    }
    if !facts.direction.as_deref().is_some_and(is_direction) {
        unclear = Some("it does not say for which direction it is");
    }
    if facts.priority.is_none() {
        unclear = Some("it has no priority");
    }
    Some(Rule { unclear, ..skeleton(facts, ports) })
}

fn skeleton(facts: &SecurityRule, ports: Vec<(u16, u16)>) -> Rule<'_> {
    let allow = match facts.access.as_deref() {
        Some(access) if access.eq_ignore_ascii_case("allow") => Some(true),
        Some(access) if access.eq_ignore_ascii_case("deny") => Some(false),
        _ => None,
    };
    Rule {
        name: &facts.name,
        priority: facts.priority,
        allow,
        ports,
        sources: Side::of(
            facts.source_address_prefix.as_deref(),
            &facts.source_address_prefixes,
            facts.source_application_security_groups.iter().map(|one| &one.id),
        ),
        destinations: Side::of(
            facts.destination_address_prefix.as_deref(),
            &facts.destination_address_prefixes,
            facts.destination_application_security_groups.iter().map(|one| &one.id),
        ),
        unclear: None,
    }
}

/// Ports of a rule; `None` when a text cannot be understood or there is none at all.
fn ports(only: Option<&str>, several: &[String]) -> Option<Vec<(u16, u16)>> {
    let texts = only.into_iter().chain(several.iter().map(String::as_str)).map(str::trim);
    let ranges: Option<Vec<(u16, u16)>> = texts
        .filter(|text| !text.is_empty())
        .map(|text| match text.split_once('-') {
            _ if text == "*" || text.eq_ignore_ascii_case("any") => Some((0, u16::MAX)),
            Some((from, to)) => {
                let (from, to) = (from.trim().parse().ok()?, to.trim().parse().ok()?);
                (from <= to).then_some((from, to))
            }
            None => text.parse().ok().map(|port| (port, port)),
        })
        .collect();
    ranges.filter(|ranges| !ranges.is_empty())
}

/// The rules that every group has at its end.
fn defaults<'f>(inbound: bool) -> Vec<Rule<'f>> {
    let any = || Side { any: true, ..Side::default() };
    let tag = |name| Side { tags: vec![name], ..Side::default() };
    let rule = |name, priority, allow, sources, destinations| Rule {
        name,
        priority: Some(priority),
        allow: Some(allow),
        ports: vec![(0, u16::MAX)],
        sources,
        destinations,
        unclear: None,
    };
    if inbound {
        vec![
            rule("AllowVnetInBound", 65_000, true, tag(VIRTUAL_NETWORK), tag(VIRTUAL_NETWORK)),
            rule("AllowAzureLoadBalancerInBound", 65_001, true, tag("AzureLoadBalancer"), any()),
            rule("DenyAllInBound", 65_500, false, any(), any()),
        ]
    } else {
        vec![
            rule("AllowVnetOutBound", 65_000, true, tag(VIRTUAL_NETWORK), tag(VIRTUAL_NETWORK)),
            rule("AllowInternetOutBound", 65_001, true, any(), tag("Internet")),
            rule("DenyAllOutBound", 65_500, false, any(), any()),
        ]
    }
}

fn is_direction(text: &str) -> bool {
    ["Inbound", "Outbound"].iter().any(|known| text.eq_ignore_ascii_case(known))
}

fn is_one(nets: &[IpNet]) -> bool {
    nets.iter().all(|net| net.prefix_len() == net.max_prefix_len())
}

const VIRTUAL_NETWORK: &str = "VirtualNetwork";
const OTHER_PROTOCOLS: [&str; 4] = ["udp", "icmp", "esp", "ah"];
const FIRST_EPHEMERAL: u16 = 1024;

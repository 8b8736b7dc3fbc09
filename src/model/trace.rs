//! One path through the configuration, hop by hop, there and back, with every blocker on it.

mod ends;
mod filter;
mod hop;
mod route;
mod walk;

use std::{fmt, net::IpAddr, str::FromStr};

use ipnet::IpNet;

pub(super) use self::ends::{MOST_PLACES, best_pair, is_private, similar};
pub use hop::{Decision, Hop, HopKind, NsgRule, PeeringProblem, Reason};

use self::{
    ends::{End, Ends, Inside},
    filter::ephemeral,
    route::{Target, holds, look_up, look_up_transit},
    walk::{Arrival, Gateway, Goal, Medium, Walk, missing, nets_words},
};
use super::{
    network::{Network, is, is_attached, peer_ranges},
    set::AddressSet,
};
use crate::facts::azure::ArmId;

/// One end of a path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Point {
    /// `eni-…`: a network interface with its groups.
    Interface(String),
    /// `i-…`: an instance, by its primary network interface.
    Instance(String),
    /// `subnet-…`: any host there; its groups are not part of the question. As a source only.
    Subnet(String),
    /// An address in a network of the facts, on-premises, or on the internet.
    Address(IpAddr),
    /// A resource of Azure, by its id or its bare name: a network interface, machine, private endpoint or load balancer;
    /// as a source also a subnet.
    Resource(ArmId),
}

impl FromStr for Point {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address));
        }
        let known = text.len() <= LONGEST_ID && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        match text.split_once('-') {
            Some(("eni", _)) if known => Ok(Self::Interface(text.to_owned())),
            Some(("i", _)) if known => Ok(Self::Instance(text.to_owned())),
            Some(("subnet", _)) if known => Ok(Self::Subnet(text.to_owned())),
            _ if is_arm_id(text) || is_resource_name(text) => Ok(Self::Resource(ArmId::new(text))),
            _ => Err("expected an address, or the id of an instance (i-…), of a network interface (eni-…) or of a \
                      subnet (subnet-…); in Azure the id (/subscriptions/…) or name of a network interface, machine or \
                      private endpoint"
                .to_owned()),
        }
    }
}

impl fmt::Display for Point {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interface(id) | Self::Instance(id) | Self::Subnet(id) => formatter.write_str(id),
            Self::Address(address) => write!(formatter, "{address}"),
            Self::Resource(id) => write!(formatter, "{id}"),
        }
    }
}

/// `/subscriptions/…`, of the characters that ids have.
fn is_arm_id(text: &str) -> bool {
    text.len() <= LONGEST_ARM_ID
        && text.get(..15).is_some_and(|start| start.eq_ignore_ascii_case("/subscriptions/"))
        && text.chars().all(|letter| letter.is_ascii_alphanumeric() || "/-_.()".contains(letter))
}

/// A bare name of a resource: with a letter in it, so that it is no mistyped address
/// (<https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules>).
fn is_resource_name(text: &str) -> bool {
    text.len() <= LONGEST_NAME
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.contains(|letter: char| letter.is_ascii_alphabetic())
        && text.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_.".contains(letter))
}

/// What a path comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The request gets there and every reply gets back.
    Reachable,
    /// Something on the way or on the way back stops it.
    Blocked,
    /// Nothing known stops it, but something that decides is not in the facts, or only a part gets through.
    Unknown,
}

kubereach_probes::labels! { Outcome {
    Reachable => "reachable",
    Blocked => "blocked",
    Unknown => "unknown",
} }

/// A path, there and back.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    /// What it comes to.
    pub outcome: Outcome,
    /// The way of the request, from the source on.
    pub forward: Vec<Hop>,
    /// The way of the replies, from the destination on. Security groups do not stand here: they are stateful.
    pub back: Vec<Hop>,
    /// The address that was dialled.
    pub destination: Option<IpAddr>,
    /// The addresses that the far side may see as the source, ascending: the source's own, or those that it is known
    /// by outside (public addresses, all addresses of a NAT gateway). Empty when they are not known, or when the
    /// source is a whole subnet and nothing translates.
    pub source_seen: Vec<IpAddr>,
    /// What else is to be known of this answer, a sentence each.
    pub notes: Vec<String>,
}

impl Trace {
    /// Every hop that stops the packet, there first.
    pub fn blockers(&self) -> impl Iterator<Item = &Hop> {
        self.hops().filter(|hop| hop.decision.blocks())
    }

    /// Every hop of which the facts do not say what it does.
    pub fn unknowns(&self) -> impl Iterator<Item = &Hop> {
        self.hops().filter(|hop| hop.decision == Decision::Unknown)
    }

    /// The path of these hops, and what it comes to.
    #[must_use]
    pub(super) fn of(
        forward: Vec<Hop>,
        back: Vec<Hop>,
        destination: Option<IpAddr>,
        source_seen: Vec<IpAddr>,
        notes: Vec<String>,
    ) -> Self {
        let hops = || forward.iter().chain(&back);
        let outcome = if hops().any(|hop| hop.decision.blocks()) {
            Outcome::Blocked
        } else if hops().any(|hop| hop.decision == Decision::Unknown) {
            Outcome::Unknown
        } else {
            Outcome::Reachable
        };
        Self { outcome, forward, back, destination, source_seen, notes }
    }

    /// The rule that decides a path that is not open, for people: `nsg-a: rule deny-all (4096) …`.
    #[must_use]
    pub fn first_rule(&self) -> String {
        let hop = self.blockers().next().or_else(|| self.unknowns().next());
        hop.map_or_else(|| "open".to_owned(), |hop| format!("{}: {}", hop.component, hop.rule))
    }

    /// Every hop, there and back.
    pub fn hops(&self) -> impl Iterator<Item = &Hop> {
        self.forward.iter().chain(&self.back)
    }
}

/// A question that the facts cannot be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TraceError {
    /// The facts hold no such thing.
    #[error("the facts hold no {what} {id}{}", meant(near))]
    NotFound {
        /// `instance`, `network interface`, `subnet`.
        what: &'static str,
        /// The id that was asked for.
        id: String,
        /// Ids that resemble it, the nearest first.
        near: Vec<String>,
    },
    /// A file is needed to find the point at all.
    #[error("{id} cannot be looked up: {file} is not in the facts")]
    NoFile {
        /// The id that was asked for.
        id: String,
        /// The file of the facts folder.
        file: &'static str,
    },
    /// Several VPCs hold this address.
    #[error("{address} is in several places: {}; name a network interface or a subnet instead", places.join(", "))]
    Ambiguous {
        /// The address.
        address: IpAddr,
        /// Where it is: `eni-… in vpc-…`, `subnet-… in vpc-…`.
        places: Vec<String>,
    },
    /// The two ends have no address family in common.
    #[error("{from} and {to} have no address family in common")]
    NoCommonFamily {
        /// One end.
        from: Point,
        /// The other.
        to: Point,
    },
    /// A subnet as destination.
    #[error("{0} is a subnet: name an address, a network interface or a machine as the destination")]
    SubnetAsDestination(String),
    /// A resource of another provider than that of the facts.
    #[error("{0} names nothing in these facts: expected an address, or an id such as i-…, eni-… or subnet-…")]
    OtherProvider(Point),
    /// Several resources have this name.
    #[error("several resources are called {name}: {}; give the id of one", ids.join(", "))]
    AmbiguousName {
        /// The name.
        name: String,
        /// Some of them.
        ids: Vec<String>,
    },
    /// Both ends are outside.
    #[error("neither {from} nor {to} is in a network of the facts")]
    NothingInside {
        /// One end.
        from: Point,
        /// The other.
        to: Point,
    },
}

/// The way of a TCP connection from one point to another and of its replies.
///
/// # Errors
/// A point that the facts do not hold, or that they hold several times.
pub fn trace(network: &Network<'_>, from: &Point, to: &Point, port: u16) -> Result<Trace, TraceError> {
    let ends = ends::resolve(network, from, to)?;
    let mut notes = Vec::new();
    if let Point::Subnet(id) = from {
        notes.push(format!("the security groups of the hosts in {id} are not part of this answer"));
    }
    let (forward, arrival) = match &ends.from {
        End::Inside(source) => request_from_inside(network, &ends, source, port),
        End::Outside(source) => request_from_outside(network, &ends, *source, port),
    };
    let back = replies(network, &ends, &forward, &arrival, port);
    // A packet that is lost on the way out is seen by nobody; one that a known host guards against still is.
    let private = ends.to.inside().is_some_and(|target| target.nets.contains(&IpNet::from(ends.dialled)));
    let source_seen = match arrival.arrival {
        Arrival::Lost if !private || !forward.translations.is_empty() => Vec::new(),
        _ if arrival.translated_outside || (private && arrival.unknown_source) => Vec::new(),
        _ => single_addresses(&forward.source),
    };
    notes.extend(forward.notes);
    for note in back.notes {
        if !notes.contains(&note) {
            notes.push(note);
        }
    }
    Ok(Trace::of(forward.hops, back.hops, Some(ends.dialled), source_seen, notes))
}

/// How a request has ended.
struct Ended<'f> {
    arrival: Arrival<'f>,
    /// It came from the internet, or went over it.
    over_internet: bool,
    /// It leaves for the internet by a network of which nothing is known: so are the addresses that it is seen as.
    translated_outside: bool,
    /// It is not known as whom the destination would see it.
    unknown_source: bool,
}

fn request_from_inside<'n, 'f>(
    network: &'n Network<'f>,
    ends: &Ends<'f>,
    source: &Inside<'f>,
    port: u16,
) -> (Walk<'n, 'f>, Ended<'f>) {
    let mut walk = Walk::new(network, port, false);
    walk.source.clone_from(&source.nets);
    walk.destination = vec![IpNet::from(ends.dialled)];
    end_hops(&mut walk, source, "sends");
    let after_source = walk.hops.len();
    let target = ends.to.inside();
    let dialled = IpNet::from(ends.dialled);
    // A public address leads out and in again, even within one VPC.
    let direct = target.filter(|target| target.nets.contains(&dialled));
    let mut arrival = match direct {
        Some(target) => walk.leave_subnet(source.vpc, source.subnet, Some(source), Goal::Inside(target)),
        None => walk.leave_subnet(source.vpc, source.subnet, Some(source), Goal::Outside),
    };
    let mut over_internet = false;
    let mut translated_outside = false;
    match (&arrival, target) {
        (Arrival::Internet, Some(target)) => {
            over_internet = true;
            arrival = walk.enter_from_internet(target, ends.dialled);
        }
        (Arrival::Internet, None) => {
            over_internet = true;
            walk.push(HopKind::Internet, ends.dialled.to_string(), Decision::Forward, "on the internet", None);
        }
        (Arrival::OnPremises(_), None) if !walk.by_default || is_private(ends.dialled) => {
            let rule = "beyond the gateway; what happens there is not in the facts";
            walk.push(HopKind::OnPremises, ends.dialled.to_string(), Decision::Forward, rule, None);
        }
        (Arrival::OnPremises(_), _) => {
            let what = format!("how the network beyond the gateway leads on to {} is not in the facts", ends.dialled);
            let reason = Reason::NotEvaluable { what: what.clone() };
            walk.push(HopKind::OnPremises, ends.dialled.to_string(), Decision::Unknown, what, Some(reason));
            translated_outside = true;
        }
        // The way is lost, but what guards the destination is known all the same.
        (Arrival::Lost | Arrival::Elsewhere, Some(target))
            if target.subnet != source.subnet && goes_on(&walk, &arrival, direct) =>
        {
            walk.network_acl(target.vpc, target.subnet, false);
        }
        _ => {}
    }
    let unknown_source = !matches!(arrival, Arrival::There) && !goes_on(&walk, &arrival, direct);
    let mut rest = walk.hops.split_off(after_source);
    walk.security_groups(true, source, direct, &[dialled]);
    walk.hops.append(&mut rest);
    if let Some(target) = target.filter(|_| !unknown_source) {
        arrive(&mut walk, target, Some(source).filter(|_| walk_is_plain(&arrival, direct)));
    }
    (walk, Ended { arrival, over_internet, translated_outside, unknown_source })
}

/// Whether the network ACL of the far end can be judged although the way there is not whole. Where it is not known which
/// way the packet takes, it may come by a transit gateway's interface in that very subnet, which no ACL guards.
fn guarded(walk: &Walk<'_, '_>, arrival: &Arrival<'_>) -> bool {
    match arrival {
        Arrival::Elsewhere => true,
        Arrival::Lost => walk.hops.iter().any(|hop| hop.decision.blocks()),
        _ => false,
    }
}

/// Whether it is known as whom the destination would see the source although the way there is not whole: it was stopped
/// for certain before anything translated it, or it is in the hands of a peering connection, which translates nothing.
fn goes_on(walk: &Walk<'_, '_>, arrival: &Arrival<'_>, direct: Option<&Inside<'_>>) -> bool {
    let stopped = || walk.hops.iter().any(|hop| hop.decision.blocks() && hop.kind != HopKind::SecurityGroup);
    direct.is_some()
        && walk.translations.is_empty()
        && match arrival {
            Arrival::Elsewhere => true,
            Arrival::Lost => stopped(),
            _ => false,
        }
}

/// Whether the destination sees the source itself: a group that names it can match.
const fn walk_is_plain(arrival: &Arrival<'_>, direct: Option<&Inside<'_>>) -> bool {
    direct.is_some() && matches!(arrival, Arrival::There | Arrival::Lost | Arrival::Elsewhere)
}

fn request_from_outside<'n, 'f>(
    network: &'n Network<'f>,
    ends: &Ends<'f>,
    source: IpAddr,
    port: u16,
) -> (Walk<'n, 'f>, Ended<'f>) {
    let mut walk = Walk::new(network, port, false);
    walk.source = vec![IpNet::from(source)];
    walk.destination = vec![IpNet::from(ends.dialled)];
    let End::Inside(target) = &ends.to else {
        return (
            walk,
            Ended { arrival: Arrival::Lost, over_internet: false, translated_outside: false, unknown_source: false },
        );
    };
    let mut over_internet = false;
    let arrival = match way_in(network, target, source) {
        WayIn::Internet => {
            over_internet = true;
            walk.push(HopKind::Internet, source.to_string(), Decision::Forward, "from the internet", None);
            walk.enter_from_internet(target, ends.dialled)
        }
        WayIn::Gateway(gateway) => {
            let rule = "what happens before the gateway is not in the facts";
            walk.push(HopKind::OnPremises, source.to_string(), Decision::Forward, rule, None);
            walk.destination.clone_from(&target.nets);
            match walk.enter(gateway, target) {
                Arrival::There => Arrival::There,
                other => {
                    if guarded(&walk, &other) {
                        walk.network_acl(target.vpc, target.subnet, false);
                    }
                    other
                }
            }
        }
        WayIn::Peer { peering, vpc } => {
            let what = format!("what {vpc} does with the packet before {peering}");
            let reason = missing(what.clone(), "ec2/describe-vpcs.json", "ec2:DescribeVpcs");
            let rule = format!("{what} is not in the facts");
            walk.push(HopKind::Vpc, vpc, Decision::Unknown, rule, Some(reason));
            walk.network_acl(target.vpc, target.subnet, false);
            Arrival::Elsewhere
        }
        WayIn::Unknown => {
            let what = format!("how {source} is connected to {} is not in the facts", target.vpc);
            let reason = Reason::NotEvaluable { what: what.clone() };
            walk.push(HopKind::OnPremises, source.to_string(), Decision::Unknown, what, Some(reason));
            walk.network_acl(target.vpc, target.subnet, false);
            Arrival::Elsewhere
        }
    };
    walk.medium = Medium::Other;
    arrive(&mut walk, target, None);
    (walk, Ended { arrival, over_internet, translated_outside: false, unknown_source: false })
}

/// The groups of the destination and the destination itself.
fn arrive<'f>(walk: &mut Walk<'_, 'f>, target: &Inside<'f>, source: Option<&Inside<'f>>) {
    let peers = walk.source.clone();
    walk.security_groups(false, target, source, &peers);
    end_hops(walk, target, "is reached");
}

/// The hops of an end of the path itself.
fn end_hops<'f>(walk: &mut Walk<'_, 'f>, end: &Inside<'f>, does: &str) {
    if let Some(instance) = end.instance {
        let state = instance.state.as_ref().and_then(|state| state.name.as_deref());
        if let Some(state) = state.filter(|state| !is(Some(state), "running")) {
            let id = instance.instance_id.clone();
            let reason = Reason::InstanceState { instance: id.clone(), state: state.to_owned() };
            walk.push(HopKind::Instance, id, Decision::Drop, format!("{state}, not running"), Some(reason));
        }
    }
    let id = end.interface.map(|interface| interface.network_interface_id.as_str());
    if let Some(endpoint) = id.and_then(|id| walk.network.endpoint_of_interface(id)) {
        walk.endpoint_state(endpoint);
    }
    let within = if end.subnet.is_empty() { end.vpc } else { end.subnet };
    let of = match end.instance {
        Some(instance) if end.interface.is_some() => format!(" of {}", instance.instance_id),
        _ => String::new(),
    };
    let rule = format!("{}{of} in {within} {does}", nets_words(&end.nets));
    walk.push(end.kind, end.label.clone(), Decision::Forward, rule, None);
}

/// The way of the replies: as the request was seen from the other side, back through what has translated it.
fn replies<'n, 'f>(
    network: &'n Network<'f>,
    ends: &Ends<'f>,
    forward: &Walk<'n, 'f>,
    ended: &Ended<'f>,
    port: u16,
) -> Walk<'n, 'f> {
    let mut walk = Walk::new(network, port, true);
    walk.destination.clone_from(&forward.source);
    // The last thing that has put its address in the place of the source's; else the source.
    let holder = forward.translations.last().map(|one| &one.gateway).or_else(|| ends.from.inside());
    let seen_public = ended.over_internet && ends.from.inside().is_some();
    let arrived = match (&ends.to, holder) {
        (End::Inside(target), _) if seen_public || (ended.over_internet && holder.is_none()) => {
            if matches!(ended.arrival, Arrival::Lost) {
                return walk;
            }
            walk.source.clone_from(&target.nets);
            let left = walk.leave_subnet(target.vpc, target.subnet, Some(target), Goal::Outside);
            match (left, holder) {
                (Arrival::Internet, Some(holder)) => {
                    walk.open = ephemeral();
                    walk.enter_from_internet(holder, first_address(&forward.source, ends.dialled))
                }
                (Arrival::Internet, None) => {
                    let rule = "on the internet";
                    let component = nets_words(&walk.destination);
                    walk.push(HopKind::Internet, component, Decision::Forward, rule, None);
                    Arrival::There
                }
                (other, _) => not_by(&mut walk, other, "the internet"),
            }
        }
        (End::Inside(target), Some(holder)) => {
            // A packet that was lost on the way to the internet has no address that replies could go to.
            if !target.nets.contains(&IpNet::from(ends.dialled)) || ended.unknown_source {
                return walk;
            }
            walk.source.clone_from(&target.nets);
            let arrival = walk.leave_subnet(target.vpc, target.subnet, Some(target), Goal::Inside(holder));
            match arrival {
                Arrival::There => Arrival::There,
                other => {
                    if holder.subnet != target.subnet && guarded(&walk, &other) {
                        walk.network_acl(holder.vpc, holder.subnet, false);
                    }
                    other
                }
            }
        }
        (End::Inside(target), None) => {
            walk.source.clone_from(&target.nets);
            let left = walk.leave_subnet(target.vpc, target.subnet, Some(target), Goal::Outside);
            match left {
                Arrival::OnPremises(_) => {
                    let component = nets_words(&walk.destination);
                    let rule = "beyond the gateway; what happens there is not in the facts";
                    walk.push(HopKind::OnPremises, component, Decision::Forward, rule, None);
                    Arrival::There
                }
                other => not_by(&mut walk, other, "the network outside"),
            }
        }
        (End::Outside(_), Some(holder)) => {
            walk.source = vec![IpNet::from(ends.dialled)];
            match (&ended.arrival, ended.over_internet) {
                (Arrival::Service | Arrival::Lost | Arrival::Elsewhere, _) => return walk,
                (Arrival::OnPremises(gateway), _) => {
                    walk.destination.clone_from(&holder.nets);
                    if forward.translations.is_empty() {
                        walk.destination.clone_from(&forward.source);
                    }
                    walk.enter(*gateway, holder)
                }
                _ => reply_from_internet(&mut walk, forward, holder),
            }
        }
        (End::Outside(_), None) => return walk,
    };
    if !matches!(arrived, Arrival::There) && forward.translations.is_empty() {
        return walk;
    }
    unwind(&mut walk, ends, forward);
    walk
}

/// Replies from the internet come by the gateway by which the request left: an internet gateway or an egress-only one.
fn reply_from_internet<'f>(walk: &mut Walk<'_, 'f>, forward: &Walk<'_, 'f>, holder: &Inside<'f>) -> Arrival<'f> {
    let left_by = forward
        .hops
        .iter()
        .rev()
        .find(|hop| matches!(hop.kind, HopKind::InternetGateway | HopKind::EgressOnlyInternetGateway));
    let (kind, id) = left_by.map_or((HopKind::InternetGateway, ""), |hop| (hop.kind, hop.component.as_str()));
    let rule = format!("replies to {} go to {}", nets_words(&forward.source), nets_words(&holder.nets));
    walk.push(kind, id, Decision::Forward, rule, None);
    walk.destination.clone_from(&holder.nets);
    walk.medium = Medium::Other;
    walk.network_acl(holder.vpc, holder.subnet, false);
    Arrival::There
}

/// From the outermost NAT gateway back to the source, one gateway after the other.
fn unwind<'f>(walk: &mut Walk<'_, 'f>, ends: &Ends<'f>, forward: &Walk<'_, 'f>) {
    let Some(source) = ends.from.inside() else { return };
    walk.source = vec![IpNet::from(ends.dialled)];
    for (index, translation) in forward.translations.iter().enumerate().rev() {
        let gateway = &translation.gateway;
        let inner = index.checked_sub(1).map_or(source, |inner| &forward.translations[inner].gateway);
        let rule = format!("translates replies back to {}", nets_words(&translation.before));
        walk.push(HopKind::NatGateway, gateway.label.clone(), Decision::Forward, rule, None);
        walk.destination.clone_from(&translation.before);
        // Each side of a NAT gateway chooses its ports by itself.
        walk.open = ephemeral();
        walk.closed = AddressSet::empty();
        let arrival = walk.leave_subnet(gateway.vpc, gateway.subnet, None, Goal::Inside(inner));
        if inner.subnet != gateway.subnet && guarded(walk, &arrival) {
            walk.network_acl(inner.vpc, inner.subnet, false);
        }
    }
}

/// A way that does not end where the other side is.
fn not_by<'f>(walk: &mut Walk<'_, 'f>, arrival: Arrival<'f>, place: &str) -> Arrival<'f> {
    if matches!(arrival, Arrival::Lost | Arrival::Elsewhere) {
        return arrival;
    }
    let destination = walk.destination.first().copied().unwrap_or_default();
    let last = walk.hops.last().map_or_else(String::new, |hop| hop.component.clone());
    let kind = walk.hops.last().map_or(HopKind::RouteTable, |hop| hop.kind);
    let rule = format!("replies leave this way, but the request came from {place}");
    let reason = Reason::LeadsElsewhere { target: last.clone(), destination, reply: true };
    walk.push(kind, last, Decision::Drop, rule, Some(reason));
    Arrival::Lost
}

/// By which way packets of an address outside come into a VPC.
enum WayIn<'f> {
    Internet,
    Gateway(Gateway<'f>),
    /// A VPC of which the facts know the peering connection only.
    Peer {
        peering: &'f str,
        vpc: &'f str,
    },
    Unknown,
}

/// The way in is told by the way out where there is one; else by what is connected to the VPC.
fn way_in<'f>(network: &Network<'f>, target: &Inside<'f>, source: IpAddr) -> WayIn<'f> {
    let net = IpNet::from(source);
    let taken = network.route_table(target.subnet, target.vpc).and_then(|table| look_up(network, table, &net).taken);
    if let Some(taken) = taken.filter(|taken| !taken.blackhole) {
        match taken.target {
            Target::InternetGateway(_) | Target::EgressOnly(_) | Target::Nat(_) if !is_private(source) => {
                return WayIn::Internet;
            }
            // Everything that is not known better goes that way; it does not mean that the internet is there.
            Target::Vpn(_) | Target::Transit(_) if taken.net.prefix_len() == 0 && !is_private(source) => {
                return WayIn::Internet;
            }
            Target::Vpn(gateway) => return WayIn::Gateway(Gateway::Vpn { gateway, vpc: target.vpc }),
            Target::Transit(gateway) => {
                if let Some(way) = transit_way_in(network, gateway, target.vpc, source) {
                    return way;
                }
            }
            Target::Peering(peering) => {
                let known = network.peerings_of(target.vpc).find(|(one, _)| one.vpc_peering_connection_id == peering);
                let vpc = known.and_then(|(_, side)| side.vpc_id.as_deref());
                return vpc.map_or(WayIn::Unknown, |vpc| WayIn::Peer { peering, vpc });
            }
            _ => {}
        }
    }
    if !is_private(source) {
        return WayIn::Internet;
    }
    let peer =
        network.peerings_of(target.vpc).find(|(_, side)| peer_ranges(side).iter().any(|net| net.contains(&source)));
    if let Some((peering, side)) = peer
        && let Some(vpc) = side.vpc_id.as_deref()
    {
        return WayIn::Peer { peering: &peering.vpc_peering_connection_id, vpc };
    }
    let attachments = network.facts.transit_gateway_vpc_attachments.iter().flatten();
    let gateways = attachments.filter(|one| one.vpc_id.as_deref() == Some(target.vpc));
    for gateway in gateways.filter_map(|one| one.transit_gateway_id.as_deref()) {
        if let Some(way) = transit_way_in(network, gateway, target.vpc, source) {
            return way;
        }
    }
    let vpn = network.facts.vpn_gateways.iter().flatten().find(|one| is_attached(&one.vpc_attachments, target.vpc));
    match vpn {
        Some(vpn) => WayIn::Gateway(Gateway::Vpn { gateway: &vpn.vpn_gateway_id, vpc: target.vpc }),
        None => WayIn::Unknown,
    }
}

/// The attachment of a transit gateway behind which an address is: by the VPC's own table, else by any, else the only
/// one that leads outside.
fn transit_way_in<'f>(network: &Network<'f>, gateway: &'f str, vpc: &str, source: IpAddr) -> Option<WayIn<'f>> {
    let outside = |id: Option<&'f str>| {
        let attachment = network.attachment(id?)?;
        let kind = attachment.resource_type.as_deref()?;
        matches!(kind, "vpn" | "direct-connect-gateway" | "connect").then_some(WayIn::Gateway(Gateway::Transit {
            gateway,
            attachment: &attachment.transit_gateway_attachment_id,
        }))
    };
    let own = network
        .vpc_attachment_of(gateway, vpc)
        .and_then(|one| network.attachment(&one.transit_gateway_attachment_id))
        .and_then(|one| one.association.as_ref()?.transit_gateway_route_table_id.as_deref())
        .and_then(|table| network.transit_routes(table))
        .and_then(|routes| look_up_transit(network, routes, &IpNet::from(source)).0)
        .filter(|taken| !is(taken.route.state.as_deref(), "blackhole"));
    if let Some(taken) = own {
        let first = taken.route.transit_gateway_attachments.first();
        if let Some(way) = outside(first.and_then(|one| one.transit_gateway_attachment_id.as_deref())) {
            return Some(way);
        }
    }
    let of_gateway = |table: &str| {
        let known = network.facts.transit_gateway_route_tables.iter().flatten();
        known.into_iter().any(|one| {
            one.transit_gateway_route_table_id == table && one.transit_gateway_id.as_deref() == Some(gateway)
        })
    };
    let mut best: Option<(u8, WayIn<'f>)> = None;
    let tables = network.facts.transit_gateway_routes.iter();
    for route in tables.filter(|one| of_gateway(&one.transit_gateway_route_table_id)).flat_map(|one| &one.routes) {
        let Some(length) = holds(network, route, source) else { continue };
        let first = route.transit_gateway_attachments.first();
        if let Some(way) = outside(first.and_then(|one| one.transit_gateway_attachment_id.as_deref()))
            && best.as_ref().is_none_or(|(known, _)| length > *known)
        {
            best = Some((length, way));
        }
    }
    if let Some((_, way)) = best {
        return Some(way);
    }
    let attachments = network.facts.transit_gateway_attachments.iter().flatten();
    let mut ways = attachments
        .filter(|one| one.transit_gateway_id.as_deref() == Some(gateway))
        .filter_map(|one| outside(Some(&one.transit_gateway_attachment_id)));
    let only = ways.next();
    only.filter(|_| ways.next().is_none())
}

/// The single addresses among ranges, ascending.
fn single_addresses(nets: &[IpNet]) -> Vec<IpAddr> {
    let mut addresses: Vec<IpAddr> =
        nets.iter().filter(|net| net.prefix_len() == net.max_prefix_len()).map(IpNet::addr).collect();
    addresses.sort_unstable();
    addresses
}

fn first_address(nets: &[IpNet], otherwise: IpAddr) -> IpAddr {
    nets.first().map_or(otherwise, IpNet::addr)
}

fn meant(near: &[String]) -> String {
    if near.is_empty() { String::new() } else { format!("; did you mean {}?", near.join(", ")) }
}

/// Ids of AWS are at most 32 characters today.
const LONGEST_ID: usize = 64;
const LONGEST_ARM_ID: usize = 1_000;
const LONGEST_NAME: usize = 100;

#[cfg(test)]
mod tests;

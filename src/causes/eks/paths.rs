//! Causes of the network between a client and the cluster: every hop of the predicted paths that stops a packet is one.
//!
//! A path that something answers on is open, whatever its rules look like, and names no cause.

use std::{collections::BTreeSet, net::IpAddr};

use ipnet::IpNet;
use kubereach_probes::{AddressClass, Attempt};

use super::{
    commands::{self, Network},
    sight::{Lost, Shown, Sight, shown, told},
};
use crate::{
    causes::{
        CellView, Told,
        aks::paths as azure,
        evidence::{self, clean},
        lookups,
        shown::takes,
    },
    model::{
        Outlook,
        eks::PrivatePath,
        trace::{Decision, Hop, HopKind, Reason, Trace},
    },
    report::{Confidence, Intended, Reachability, Severity},
};

/// Which of a cell's paths a hop is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::causes) enum Way {
    /// To an interface of the control plane.
    Private,
    /// To the internet.
    Out,
    /// To the interface endpoint of the management API.
    Management,
}

/// A hop that stops a packet.
#[derive(Clone, Copy)]
pub(super) struct Blocker<'a> {
    pub(super) way: Way,
    pub(super) hop: &'a Hop,
    pub(super) reason: &'a Reason,
    /// The route table by which the packet came there.
    pub(super) table: Option<&'a str>,
    /// The interface that the path leads to, and its address.
    to: Option<(&'a str, IpAddr)>,
    /// On the way of the replies.
    pub(super) back: bool,
}

/// `eks-control-plane-sg-blocks-client`.
pub(super) fn control_plane_groups(view: &CellView<'_>) -> Option<Told> {
    sign(view, "eks-control-plane-sg-blocks-client")
}

/// `vpc-prefix-list-lacks-client`.
pub(super) fn prefix_list(view: &CellView<'_>) -> Option<Told> {
    sign(view, "vpc-prefix-list-lacks-client")
}

/// `vpc-client-sg-blocks-egress`.
pub(super) fn client_groups(view: &CellView<'_>) -> Option<Told> {
    sign(view, "vpc-client-sg-blocks-egress")
}

/// `vpc-nacl-denies-request`.
pub(super) fn network_acl_request(view: &CellView<'_>) -> Option<Told> {
    sign(view, "vpc-nacl-denies-request")
}

/// `vpc-nacl-denies-return`.
pub(super) fn network_acl_return(view: &CellView<'_>) -> Option<Told> {
    sign(view, NACL_RETURN).or_else(|| network_acl_part(view))
}

/// `vpc-no-route-to-cluster`.
pub(super) fn no_route(view: &CellView<'_>) -> Option<Told> {
    sign(view, "vpc-no-route-to-cluster")
}

/// `vpc-no-return-route`.
pub(super) fn no_return_route(view: &CellView<'_>) -> Option<Told> {
    sign(view, "vpc-no-return-route")
}

/// `vpc-peering-does-not-carry-traffic`.
pub(super) fn peering(view: &CellView<'_>) -> Option<Told> {
    sign(view, "vpc-peering-does-not-carry-traffic")
}

/// `vpc-tgw-attachment-not-usable`.
pub(super) fn attachment(view: &CellView<'_>) -> Option<Told> {
    sign(view, "vpc-tgw-attachment-not-usable")
}

/// `vpc-tgw-route-missing`.
pub(super) fn transit_route(view: &CellView<'_>) -> Option<Told> {
    sign(view, "vpc-tgw-route-missing")
}

/// `vpc-no-internet-egress`.
pub(super) fn no_internet(view: &CellView<'_>) -> Option<Told> {
    let told = sign(view, "vpc-no-internet-egress")?;
    let Some(sight) = Sight::of(view) else { return Some(told) };
    let private = sight.config().and_then(|config| config.endpoint_private_access);
    if private != Some(false) {
        return Some(told);
    }
    let fix = told.fix.clone().unwrap_or_default();
    let mode = sight.set_mode(Some(true), Some(true));
    Some(told.fix(format!("{fix}\n# or let clients in the VPC stay inside it:\n{mode}")))
}

/// `vpc-cidr-overlaps-client-network`.
pub(super) fn overlap(view: &CellView<'_>) -> Option<Told> {
    sign(view, "vpc-cidr-overlaps-client-network")
}

/// `eks-management-endpoint-sg-blocks-client`.
pub(super) fn endpoint_groups(view: &CellView<'_>) -> Option<Told> {
    sign(view, "eks-management-endpoint-sg-blocks-client")
}

/// `client-not-on-connected-network`, where the facts know the client's address.
pub(in crate::causes) fn not_connected(view: &CellView<'_>) -> Option<Told> {
    sign(view, "client-not-on-connected-network")
}

/// `inconclusive-rule-not-evaluable`.
pub(in crate::causes) fn not_evaluable(view: &CellView<'_>) -> Option<Told> {
    if view.configured != Reachability::Unknown || view.observed != Reachability::Unknown {
        return None;
    }
    let mut said: Vec<String> = Vec::new();
    for (_, trace) in traces(view)? {
        for hop in trace.unknowns() {
            let decides = match &hop.reason {
                Some(Reason::NotEvaluable { what }) => clean(what),
                Some(
                    Reason::GroupsUnknown { .. }
                    | Reason::SecurityGroupPart { .. }
                    | Reason::RoutePart { .. }
                    | Reason::AclEntry { .. },
                ) => format!("{}: {}", clean(&hop.component), clean(&hop.rule)),
                Some(reason) => match azure::not_evaluable(&hop.component, &hop.rule, reason) {
                    Some(decides) => decides,
                    None => continue,
                },
                None => continue,
            };
            if !said.contains(&decides) {
                said.push(decides);
            }
        }
    }
    let first = said.first()?;
    let mut told = Told::new(Confidence::Certain, format!("the configuration cannot tell: {first}"));
    for more in said.iter().skip(1).take(MOST_SAID - 1) {
        told = told.and(more.clone());
    }
    Some(told.and("a probe from there would tell; it outranks what cannot be evaluated"))
}

/// Signs with every hop of this code.
pub(in crate::causes) fn sign(view: &CellView<'_>, code: &str) -> Option<Told> {
    let all = blockers(view)?;
    let own: Vec<Blocker<'_>> = all.iter().copied().filter(|blocker| self::code(view, blocker) == Some(code)).collect();
    let first = own.first()?;
    let configured = view.configuration?;
    let lost =
        if matches!(code, "vpc-no-route-to-cluster" | "vpc-no-internet-egress" | "client-not-on-connected-network") {
            Lost::Unrouted
        } else {
            Lost::Dropped
        };
    let attempts = attempts_of(view, &own);
    let mut shown = shown(view, &attempts, lost);
    if let Shown::Silence(seen) = &mut shown {
        seen.of = evidence::direct(view).len();
    }
    if matches!(shown, Shown::Answer) {
        return None;
    }
    let confidence = match (&shown, Sight::of(view)) {
        // Who sent the packet back is not known; that there is no route, is.
        (Shown::Silence(seen), _) if seen.first().tcp.icmp.is_some() => Confidence::Likely,
        (_, Some(sight)) if first.way == Way::Out => sight.confidence(&shown),
        (Shown::Silence(_), _) => Confidence::Certain,
        _ => Confidence::Likely,
    };
    let mut told = told(view, confidence, &shown, says(view, &own));
    let mut said: BTreeSet<String> = BTreeSet::new();
    said.insert(words(&own[0]));
    for blocker in &own[1..] {
        let words = words(blocker);
        if said.len() < MOST_SAID && said.insert(words.clone()) {
            told = told.and(words);
        }
    }
    if let Reason::AttachmentZone { subnet, .. } = first.reason
        && let Some(zone) = configured.network.subnet(subnet).and_then(|subnet| subnet.availability_zone.as_deref())
    {
        told = told.and(format!("{} is in {}", clean(subnet), clean(zone)));
    }
    if let Some(note) = note(first.reason).or_else(|| azure::note(first.reason)) {
        told = told.and(note);
    }
    // What is only predicted for one of several addresses, and matters to nobody, is no outage yet.
    let predicted = view.observed == Reachability::Unknown && view.configured == Reachability::Reachable;
    if predicted && view.intended == Intended::Unspecified {
        told = told.severity(Severity::Warning);
    }
    let (fix, setting) = if view.provider_is_azure() {
        let mut lines: Vec<String> = Vec::new();
        for blocker in &own {
            let line = azure::command(configured.facts, view.port, blocker.reason);
            if !line.is_empty() && !lines.contains(&line) && lines.len() < MOST_SAID {
                lines.push(line);
            }
        }
        (lines.join("\n"), azure::setting(first.reason))
    } else {
        (commands::fix(&Network::of(view, &configured), &all, &own), commands::setting(first))
    };
    let told = match setting {
        Some(setting) => told.setting(setting),
        None => told,
    };
    Some(if fix.is_empty() { told } else { told.fix(fix) })
}

/// The code under which a hop is told.
fn code(view: &CellView<'_>, blocker: &Blocker<'_>) -> Option<&'static str> {
    if view.provider_is_azure() {
        return azure::code(view, blocker.reason);
    }
    let lost_route = |back: bool| match (blocker.way, back) {
        (Way::Out, _) => "vpc-no-internet-egress",
        (_, false) => "vpc-no-route-to-cluster",
        (_, true) => "vpc-no-return-route",
    };
    Some(match blocker.reason {
        Reason::SecurityGroupIngress { .. } | Reason::PrefixListLacks { egress: false, .. }
            if blocker.way == Way::Management =>
        {
            "eks-management-endpoint-sg-blocks-client"
        }
        Reason::SecurityGroupIngress { .. } => "eks-control-plane-sg-blocks-client",
        Reason::PrefixListLacks { egress: false, .. } => "vpc-prefix-list-lacks-client",
        Reason::SecurityGroupEgress { .. } | Reason::PrefixListLacks { egress: true, .. } => {
            "vpc-client-sg-blocks-egress"
        }
        Reason::AclEntry { reply: false, .. } => "vpc-nacl-denies-request",
        Reason::AclEntry { reply: true, .. } => NACL_RETURN,
        Reason::NoRoute { reply, .. } | Reason::Blackhole { reply, .. } | Reason::LeadsElsewhere { reply, .. } => {
            lost_route(*reply)
        }
        Reason::PeeringState { .. } | Reason::PeeringNotTransitive { .. } => "vpc-peering-does-not-carry-traffic",
        Reason::TransitGatewayState { .. } | Reason::AttachmentState { .. } | Reason::AttachmentZone { .. } => {
            "vpc-tgw-attachment-not-usable"
        }
        Reason::TransitRoute { .. } | Reason::NoAssociation { .. } => "vpc-tgw-route-missing",
        Reason::NatState { .. }
        | Reason::NatPrivate { .. }
        | Reason::NatFamily { .. }
        | Reason::GatewayDetached { .. }
        | Reason::GatewayFamily { .. }
        | Reason::NoPublicAddress { .. }
        | Reason::BlockPublicAccess { .. }
        | Reason::Loop { .. } => lost_route(blocker.back),
        Reason::OverlapsClient { .. } => "vpc-cidr-overlaps-client-network",
        Reason::PrivateFromInternet { .. } | Reason::VpnDown { .. } => "client-not-on-connected-network",
        Reason::EndpointState { .. } => "eks-management-endpoint-unavailable",
        Reason::SecurityGroupPart { .. }
        | Reason::GroupsUnknown { .. }
        | Reason::RoutePart { .. }
        | Reason::InstanceState { .. }
        | Reason::Missing { .. }
        | Reason::NotEvaluable { .. }
        // Of Azure's rules: causes of their own read them.
        | Reason::NsgRule(_)
        | Reason::NsgRuleUnclear { .. }
        | Reason::UserRoute { .. }
        | Reason::VirtualNetworkPeering { .. }
        | Reason::NoOutboundAccess { .. } => return None,
    })
}

/// The traces of the paths that the cell takes, each with the interface that it leads to; those that something answers
/// on are left out.
fn traces<'a>(view: &CellView<'a>) -> Option<Vec<(To<'a>, &'a Trace)>> {
    let configured = view.configuration?;
    if view.provider_is_azure() {
        return azure::traces(view);
    }
    if let Some(management) = configured.management() {
        let interfaces = management.interfaces.iter().map(|(id, trace)| {
            (To { way: Way::Management, interface: trace.destination.map(|address| (id.as_str(), address)) }, trace)
        });
        let out = management.way_out.iter().map(|trace| (To { way: Way::Out, interface: None }, trace));
        return Some(interfaces.chain(out).collect());
    }
    let prediction = configured.eks()?;
    let taken = |class| takes(view, class);
    let mut traces = Vec::new();
    if taken(AddressClass::Private) {
        let dialled: Vec<&Attempt> = private_attempts(view);
        let of = |path: &PrivatePath| dialled.iter().copied().find(|attempt| attempt.address == Some(path.address));
        traces.extend(
            prediction
                .private
                .iter()
                // Addresses that were not dialled say nothing beside those that were.
                .filter(|path| dialled.is_empty() || of(path).is_some())
                .map(|path| {
                    let interface = Some((path.interface.as_str(), path.address));
                    (To { way: Way::Private, interface }, &path.trace)
                }),
        );
    }
    if taken(AddressClass::Public)
        && let Some(way) = prediction.public.way_out()
    {
        traces.push((To { way: Way::Out, interface: None }, way));
    }
    Some(traces)
}

/// Where a trace leads.
#[derive(Clone, Copy)]
pub(in crate::causes) struct To<'a> {
    /// Which path it is.
    pub(in crate::causes) way: Way,
    /// What holds the address, and the address.
    pub(in crate::causes) interface: Option<(&'a str, IpAddr)>,
}

fn private_attempts<'a>(view: &CellView<'a>) -> Vec<&'a Attempt> {
    evidence::direct(view).into_iter().filter(|attempt| attempt.address_class == AddressClass::Private).collect()
}

/// Every hop of the cell's paths that stops a packet, from the client on, without those of paths that are open.
pub(super) fn blockers<'a>(view: &CellView<'a>) -> Option<Vec<Blocker<'a>>> {
    let mut found = Vec::new();
    for (to, trace) in traces(view)? {
        let attempts = evidence::direct(view);
        let answers = attempts.iter().any(|attempt| {
            let here = match to.interface {
                Some((_, address)) => attempt.address == Some(address),
                None => attempt.address_class == AddressClass::Public,
            };
            here && attempt.observed == Reachability::Reachable
        });
        if answers {
            continue;
        }
        // From the internet nothing else matters: no rule or route would let it in.
        let outside = trace.hops().find(|hop| matches!(hop.reason, Some(Reason::PrivateFromInternet { .. })));
        if let Some(Hop { reason: Some(reason), .. }) = outside
            && let Some(hop) = outside
        {
            found.push(Blocker { way: to.way, hop, reason, table: None, to: to.interface, back: false });
            continue;
        }
        for (back, hops) in [(false, &trace.forward), (true, &trace.back)] {
            let mut table = None;
            for hop in hops {
                if hop.kind == HopKind::RouteTable {
                    table = Some(hop.component.as_str());
                }
                if let (true, Some(reason)) = (hop.decision.blocks(), &hop.reason) {
                    found.push(Blocker { way: to.way, hop, reason, table, to: to.interface, back });
                }
            }
        }
    }
    found.retain({
        let peering = found.iter().any(|one| azure::is_peering(one.reason));
        move |one| !(peering && azure::follows_from_peering(one.reason))
    });
    Some(found)
}

/// The attempts that went the way of these hops.
fn attempts_of<'a>(view: &CellView<'a>, blockers: &[Blocker<'_>]) -> Vec<&'a Attempt> {
    let went = |attempt: &Attempt| {
        blockers.iter().any(|blocker| match blocker.to {
            Some((_, address)) => attempt.address == Some(address),
            None => attempt.address_class == AddressClass::Public,
        })
    };
    evidence::direct(view).into_iter().filter(|attempt| went(attempt)).collect()
}

/// The first hop in words, with the addresses that lie behind hops like it.
fn says(view: &CellView<'_>, blockers: &[Blocker<'_>]) -> String {
    let first = words(&blockers[0]);
    let all = traces(view).map_or(0, |traces| traces.iter().filter(|(to, _)| to.interface.is_some()).count());
    let mut interfaces: Vec<String> = Vec::new();
    for (interface, address) in blockers.iter().filter_map(|blocker| blocker.to) {
        let words = format!("{address} ({})", clean(interface));
        if !interfaces.contains(&words) {
            interfaces.push(words);
        }
    }
    if interfaces.is_empty() {
        return first;
    }
    format!("{first}; on the way to {} of {all} interfaces: {}", interfaces.len(), evidence::listed(interfaces))
}

fn words(blocker: &Blocker<'_>) -> String {
    let Hop { component, rule, kind, .. } = blocker.hop;
    let back = if blocker.back { " (on the way back)" } else { "" };
    let state = match blocker.reason {
        Reason::Blackhole { route, target, .. } => {
            format!(": the route {} → {} is a blackhole, its target is gone", clean(route), clean(target))
        }
        _ => format!(": {}", clean(rule)),
    };
    let at = match blocker.reason {
        Reason::AclEntry { subnet, .. } => format!(" of {}", clean(subnet)),
        Reason::NoRoute { subnet, .. } if !subnet.is_empty() => format!(" of {}", clean(subnet)),
        _ => String::new(),
    };
    let near = match blocker.reason {
        Reason::NoRoute { destination, .. } | Reason::LeadsElsewhere { destination, .. } => {
            let destination = short(*destination);
            if rule.contains(&destination) { String::new() } else { format!("; it should lead to {destination}") }
        }
        Reason::PrefixListLacks { prefix_list, version, .. } => {
            let version = version.map(|version| format!(" (version {version})")).unwrap_or_default();
            format!("; the rule for the port names {}{version}, which does not hold it", clean(prefix_list))
        }
        Reason::AttachmentZone { zone, .. } if !rule.contains(zone.as_str()) => format!("; zone {}", clean(zone)),
        _ => String::new(),
    };
    format!("{} {}{at}{state}{near}{back}", kind.label().replace('-', " "), clean(component))
}

/// A range as an address where it is one.
fn short(net: IpNet) -> String {
    if net.prefix_len() == net.max_prefix_len() { net.addr().to_string() } else { net.to_string() }
}

/// What is to be known of a kind of blocker.
const fn note(reason: &Reason) -> Option<&'static str> {
    Some(match reason {
        Reason::SecurityGroupIngress { .. } => "one rule in any of the groups would do, and none allows it",
        Reason::AclEntry { reply: true, .. } => {
            "network ACLs keep no state: replies to the client's ephemeral ports need an entry of their own"
        }
        Reason::AclEntry { .. } => {
            "network ACLs are read by ascending number, and the first entry that matches decides"
        }
        Reason::PeeringNotTransitive { .. } => "peering carries packets between the two VPCs and no further",
        Reason::AttachmentZone { .. } => "packets of a zone in which the attachment has no subnet are dropped",
        Reason::OverlapsClient { .. } => "a VPC keeps packets to its own ranges inside, whatever its tables say",
        _ => return None,
    })
}

/// An ACL that lets only a part of the replies through: some connections work, others do not.
fn network_acl_part(view: &CellView<'_>) -> Option<Told> {
    let configured = view.configuration?;
    let traces = traces(view)?;
    let hop = traces.iter().flat_map(|(_, trace)| &trace.back).find(|hop| {
        hop.decision == Decision::Unknown && matches!(hop.reason, Some(Reason::AclEntry { reply: true, .. }))
    })?;
    let silent = !evidence::deciding(view).is_empty() && lookups::all_silent(view);
    let reason = hop.reason.as_ref()?;
    let blocker = Blocker { way: Way::Private, hop, reason, table: None, to: None, back: true };
    let told = Told::new(Confidence::Possible, format!("the configuration says: {}", words(&blocker)))
        .and("a part of the ephemeral ports is open, so that some connections work and others time out")
        .and("rivals: every other cause of silence; what decides: the same probe many times over");
    let told = if silent { told } else { told.severity(Severity::Warning) };
    let network = Network::of(view, &configured);
    Some(told.fix(commands::fix(&network, &[blocker], &[blocker])))
}

/// Something that the facts do not hold.
pub(in crate::causes) struct MissingFact {
    /// What is not known.
    pub(in crate::causes) what: String,
    /// The file of the facts folder that would say.
    pub(in crate::causes) file: String,
    /// The permission that brings it.
    pub(in crate::causes) action: Option<String>,
}

/// Everything that keeps this cell's prediction unknown because it is not in the facts.
pub(in crate::causes) fn missing(view: &CellView<'_>) -> Vec<MissingFact> {
    let Some(configured) = view.configuration else { return Vec::new() };
    let own = configured.outlook.map(Outlook::missing);
    let mut found: Vec<MissingFact> = own
        .into_iter()
        .flatten()
        .map(|one| {
            let (file, action) = match one.decided_by.split_once(" (") {
                Some((file, action)) => (file, Some(action.trim_end_matches(')').to_owned())),
                None => (one.decided_by.as_str(), None),
            };
            MissingFact { what: one.what.clone(), file: file.to_owned(), action }
        })
        .collect();
    for (_, trace) in traces(view).unwrap_or_default() {
        for hop in trace.unknowns() {
            let Some(Reason::Missing { what, file, action }) = &hop.reason else { continue };
            if !found.iter().any(|known| known.what == *what) {
                found.push(MissingFact { what: what.clone(), file: file.clone(), action: Some((*action).to_owned()) });
            }
        }
    }
    found
}

/// How many of the control plane's interfaces the configuration closes and opens: `(closed, all)`, where both are some.
pub(in crate::causes) fn closed_in_part<'a>(view: &CellView<'a>) -> Option<(Vec<&'a PrivatePath>, usize)> {
    let prediction = view.configuration?.eks()?;
    Some((prediction.closed_in_part()?, prediction.private.len()))
}

/// `eni-… in subnet-… (eu-west-1a)`: what holds a private address of the control plane.
pub(in crate::causes) fn whose(view: &CellView<'_>, address: IpAddr) -> Option<String> {
    let facts = view.configuration?.facts;
    if let Some(prediction) = view.configuration?.aks() {
        let path = prediction.private.iter().find(|path| path.address == address)?;
        return Some(format!("{address} is {}", clean(path.endpoint.as_ref()?.name())));
    }
    let own = crate::model::eks::control_plane_interfaces(facts);
    let interface = own.into_iter().find(|one| one.private_ip_address == Some(address))?;
    let subnet = interface.subnet_id.as_deref().map(|subnet| format!(" in {}", clean(subnet))).unwrap_or_default();
    let zone = interface.availability_zone.as_deref().or_else(|| {
        let subnets = facts.network.subnets.iter().flatten();
        let own = interface.subnet_id.as_deref()?;
        subnets.clone().find(|one| one.subnet_id == own)?.availability_zone.as_deref()
    });
    let zone = zone.map(|zone| format!(" ({})", clean(zone))).unwrap_or_default();
    Some(format!("{address} is {}{subnet}{zone}", clean(&interface.network_interface_id)))
}

const NACL_RETURN: &str = "vpc-nacl-denies-return";
const MOST_SAID: usize = 6;

#[cfg(test)]
mod tests {
    use kubereach_probes::{DnsOutcome, TcpOutcome};
    use serde_json::json;

    use super::*;
    use crate::{
        causes::{testing::*, testing_facts::*},
        model::set::PortSet,
        model::trace::Outcome,
        report::Verdict,
    };

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    fn acl(reply: bool, egress: bool, rule_number: Option<u32>) -> Reason {
        Reason::AclEntry {
            acl: "acl-a".into(),
            subnet: "subnet-a1".into(),
            rule_number,
            egress,
            reply,
            ports: PortSet::of(443..=443),
            open: PortSet::from_intervals([]),
            peer: net("10.9.1.5/32"),
        }
    }

    /// Reason, on the way back, code, and what the command holds.
    fn table() -> Vec<(HopKind, Reason, bool, &'static str, &'static str)> {
        let to = net("10.20.1.10/32");
        let client = net("10.9.1.5/32");
        vec![
            (
                HopKind::SecurityGroup,
                Reason::SecurityGroupIngress {
                    groups: vec!["sg-cluster".into(), "sg-own".into()],
                    source: client,
                    port: 443,
                },
                false,
                "eks-control-plane-sg-blocks-client",
                "aws ec2 authorize-security-group-ingress --group-id sg-own --ip-permissions 'IpProtocol=tcp,FromPort=443,ToPort=443,IpRanges=[{CidrIp=10.9.1.5/32}]' --region eu-west-1",
            ),
            (
                HopKind::SecurityGroup,
                Reason::PrefixListLacks {
                    prefix_list: "pl-1".into(),
                    version: Some(4),
                    groups: vec!["sg-own".into()],
                    peer: client,
                    egress: false,
                    port: 443,
                },
                false,
                "vpc-prefix-list-lacks-client",
                "--prefix-list-id pl-1 --current-version 4 --add-entries Cidr=10.9.1.5/32",
            ),
            (
                HopKind::SecurityGroup,
                Reason::SecurityGroupEgress { groups: vec!["sg-peer".into()], destination: to, port: 443 },
                false,
                "vpc-client-sg-blocks-egress",
                "authorize-security-group-egress --group-id sg-peer --ip-permissions 'IpProtocol=tcp,FromPort=443,ToPort=443,IpRanges=[{CidrIp=10.20.1.0/24}]'",
            ),
            (
                HopKind::NetworkAcl,
                acl(false, false, Some(90)),
                false,
                "vpc-nacl-denies-request",
                "--rule-number 89 --protocol tcp --port-range From=443,To=443 --cidr-block 10.9.1.5/32 --rule-action allow --ingress",
            ),
            (
                HopKind::NetworkAcl,
                acl(true, true, None),
                true,
                "vpc-nacl-denies-return",
                "--rule-number 110 --protocol tcp --port-range From=1024,To=65535 --cidr-block 10.9.1.5/32 --rule-action allow --egress",
            ),
            (
                HopKind::RouteTable,
                Reason::NoRoute { table: "rtb-b".into(), subnet: "subnet-b".into(), destination: to, reply: false },
                false,
                "vpc-no-route-to-cluster",
                "create-route --route-table-id rtb-b --destination-cidr-block 10.20.0.0/16 --vpc-peering-connection-id pcx-1",
            ),
            (
                HopKind::RouteTable,
                Reason::Blackhole {
                    table: "rtb-a".into(),
                    route: "10.9.0.0/16".into(),
                    target: "pcx-0".into(),
                    destination: client,
                    reply: true,
                },
                true,
                "vpc-no-return-route",
                "replace-route --route-table-id rtb-a --destination-cidr-block 10.9.0.0/16 --vpc-peering-connection-id pcx-1",
            ),
            (
                HopKind::Peering,
                Reason::PeeringState { peering: "pcx-1".into(), code: "pending-acceptance".into(), reply: false },
                false,
                "vpc-peering-does-not-carry-traffic",
                "accept-vpc-peering-connection --vpc-peering-connection-id pcx-1",
            ),
            (
                HopKind::TransitGatewayAttachment,
                Reason::AttachmentZone {
                    attachment: "tgw-attach-1".into(),
                    zone: "euw1-az2".into(),
                    subnet: "subnet-a2".into(),
                    reply: true,
                },
                true,
                "vpc-tgw-attachment-not-usable",
                "--transit-gateway-attachment-id tgw-attach-1 --add-subnet-ids subnet-a2",
            ),
            (
                HopKind::TransitGatewayRouteTable,
                Reason::TransitRoute {
                    table: "tgw-rtb-1".into(),
                    destination: to,
                    blackhole: false,
                    attachment: "tgw-attach-2".into(),
                    towards: vec!["tgw-attach-1".into()],
                    reply: false,
                },
                false,
                "vpc-tgw-route-missing",
                "create-transit-gateway-route --transit-gateway-route-table-id tgw-rtb-1 --destination-cidr-block 10.20.0.0/16 --transit-gateway-attachment-id tgw-attach-1",
            ),
            (
                HopKind::Vpc,
                Reason::OverlapsClient { vpc: "vpc-a".into(), cidr: "10.20.0.0/16".into(), reply: true },
                true,
                "vpc-cidr-overlaps-client-network",
                "describe-vpcs --vpc-ids vpc-a",
            ),
            (
                HopKind::Internet,
                Reason::PrivateFromInternet { address: "10.20.1.10".parse().unwrap() },
                false,
                "client-not-on-connected-network",
                "",
            ),
        ]
    }

    fn both_silent() -> Scene {
        Scene::new().saw(
            vec![answer("system", &["10.20.1.10", "10.20.2.10"])],
            vec![silent("10.20.1.10"), silent("10.20.2.10")],
        )
    }

    #[test]
    fn every_reason_has_its_code_and_its_command() {
        for (kind, reason, back, code, command) in table() {
            let case = Case::new(json!({})).at("i-peer").closed(kind, "the-component", back, reason);
            let scene = both_silent();
            assert_eq!(case.errors(&scene), [code]);
            let finding = case.finding(&scene, code).unwrap();
            assert_eq!(finding.confidence, Confidence::Certain, "{code}");
            let said = finding.evidence.join("\n");
            assert!(said.contains("2 of 2 addresses did not answer") && said.contains("the-component"), "{said}");
            assert!(said.contains("2 of 2 interfaces: 10.20.1.10 (eni-0), 10.20.2.10 (eni-1)"), "{said}");
            let fix = finding.fix.unwrap();
            assert!(fix.contains(command), "{code}: {fix}");
        }
    }

    #[test]
    fn whoever_answers_or_refuses_is_behind_no_silent_rule() {
        for (kind, reason, back, code, _) in table() {
            let case = Case::new(json!({})).at("i-peer").closed(kind, "it", back, reason);
            for outcome in [TcpOutcome::Refused, TcpOutcome::Prohibited] {
                let attempts = vec![attempt("10.20.1.10", outcome, 20.0), attempt("10.20.2.10", outcome, 20.0)];
                let scene = Scene::new().saw(vec![answer("system", &["10.20.1.10", "10.20.2.10"])], attempts);
                assert!(case.finding(&scene, code).is_none(), "{code} {outcome:?}");
            }
            let open = Scene::new().saw(vec![answer("system", &["10.20.1.10"])], vec![reached("10.20.1.10")]);
            assert_eq!(case.errors(&open), ["unexplained"], "{code}");
        }
    }

    #[test]
    fn the_configuration_alone_is_likely() {
        for (kind, reason, back, code, _) in table() {
            let case = Case::new(json!({})).at("i-peer").closed(kind, "it", back, reason);
            let finding = case.finding(&unprobed(), code).unwrap();
            assert_eq!((finding.confidence, finding.severity), (Confidence::Likely, Severity::Error), "{code}");
            let met = unprobed().with(|scene| {
                scene.intended = Intended::Unreachable;
                scene.verdict = Verdict::Match;
            });
            assert_eq!(case.finding(&met, code).unwrap().severity, Severity::Info, "{code}");
        }
    }

    #[test]
    fn one_interface_of_two_is_told_with_the_partial_failure() {
        let (kind, reason, back, code, _) = table().swap_remove(3);
        let case = Case::new(json!({})).at("i-peer").closed(kind, "acl-a", back, reason).predicting(|prediction| {
            prediction.private[0].trace = open();
            prediction.configured = Reachability::Reachable;
        });
        let scene = Scene::new().saw(
            vec![answer("system", &["10.20.1.10", "10.20.2.10"])],
            vec![reached("10.20.1.10"), silent("10.20.2.10")],
        );
        assert_eq!(case.errors(&scene), ["partial-address-failure", code]);
        let said = case.finding(&scene, "partial-address-failure").unwrap().evidence.join("\n");
        assert!(said.contains("10.20.2.10 is eni-1 in subnet-a2 (eu-west-1b)"), "{said}");
        let said = case.finding(&scene, code).unwrap().evidence.join("\n");
        assert!(said.contains("1 of 2 addresses did not answer") && said.contains("1 of 2 interfaces"), "{said}");
        // Only predicted, it is the same; where nothing is intended it is a warning.
        let predicted = unprobed().with(|scene| scene.verdict = Verdict::Mismatch);
        assert_eq!(case.errors(&predicted), ["partial-address-failure", code]);
        let predicted = unprobed().with(|scene| {
            scene.intended = Intended::Unspecified;
            scene.verdict = Verdict::Match;
        });
        for code in ["partial-address-failure", code] {
            assert_eq!(case.finding(&predicted, code).unwrap().severity, Severity::Warning, "{code}");
        }
        assert!(case.errors(&predicted).is_empty());
        // Both silent, though one is open: the rest is not explained by the rule of the other.
        let errors = case.errors(&both_silent());
        assert!(errors.contains(&"net-filtered-silently".to_owned()), "{errors:?}");
    }

    #[test]
    fn every_blocker_of_a_path_signs_and_no_entry_number_is_given_twice() {
        let case =
            Case::new(json!({})).at("i-peer").closed(HopKind::NetworkAcl, "acl-a", false, acl(false, true, None));
        let case = case.predicting(|prediction| {
            for path in &mut prediction.private {
                path.trace.back = blocked(HopKind::NetworkAcl, "acl-a", true, acl(true, true, None)).back;
            }
        });
        let scene = both_silent();
        assert_eq!(case.errors(&scene), ["vpc-nacl-denies-request", "vpc-nacl-denies-return"]);
        let number = |code| {
            let fix = case.finding(&scene, code).unwrap().fix.unwrap();
            assert_eq!(fix.lines().count(), 1, "{fix}");
            fix.split("--rule-number ").nth(1).unwrap().split(' ').next().unwrap().to_owned()
        };
        assert_eq!([number("vpc-nacl-denies-request"), number("vpc-nacl-denies-return")], ["110", "120"]);
    }

    #[test]
    fn no_way_to_the_internet_is_told_and_the_list_is_not() {
        let reason = Reason::NoRoute {
            table: "rtb-a".into(),
            subnet: "subnet-n".into(),
            destination: net("198.51.100.20/32"),
            reply: false,
        };
        let nat = json!({ "ec2/describe-nat-gateways.json": { "NatGateways": [
            { "NatGatewayId": "nat-1", "VpcId": "vpc-a", "State": "available", "ConnectivityType": "public" },
        ] } });
        let case = Case::new(nat).at("i-node").no_way_out(HopKind::RouteTable, "rtb-a", false, reason);
        let scene = Scene::new().saw(vec![answer("system", &["198.51.100.20"])], vec![silent("198.51.100.20")]);
        let finding = case.finding(&scene, "vpc-no-internet-egress").unwrap();
        assert_eq!(finding.confidence, Confidence::Certain);
        let fix = finding.fix.unwrap();
        assert!(
            fix.contains(
                "create-route --route-table-id rtb-a --destination-cidr-block 0.0.0.0/0 --nat-gateway-id nat-1"
            ),
            "{fix}"
        );
        assert!(!case.errors(&scene).contains(&"eks-client-not-in-public-access-cidrs".to_owned()));
    }

    #[test]
    fn what_the_facts_do_not_hold_is_named_with_its_permission() {
        let unknown = |reason: Reason| {
            Case::new(json!({ "manifest.json": {
                "provider": "eks", "denied": [{ "action": "ec2:DescribeNetworkAcls", "message": "not authorized" }],
            } }))
            .at("i-peer")
            .closed(HopKind::NetworkAcl, "subnet-a1", false, reason)
            .predicting(|prediction| {
                prediction.configured = Reachability::Unknown;
                prediction.missing.clear();
                for path in &mut prediction.private {
                    path.trace.outcome = Outcome::Unknown;
                    path.trace.forward[0].decision = Decision::Unknown;
                }
            })
        };
        let scene = unprobed().with(|scene| scene.verdict = Verdict::Inconclusive);
        let missing = unknown(Reason::Missing {
            what: "the network ACL of subnet-a1".into(),
            file: "ec2/describe-network-acls.json".into(),
            action: "ec2:DescribeNetworkAcls",
        });
        assert_eq!(missing.errors(&scene), ["inconclusive-facts-missing"]);
        let said = missing.finding(&scene, "inconclusive-facts-missing").unwrap().evidence.join("\n");
        assert!(said.contains("ec2/describe-network-acls.json") && said.contains("ec2:DescribeNetworkAcls"), "{said}");
        let appliance = unknown(Reason::NotEvaluable { what: "eni-firewall decides by itself".into() });
        assert_eq!(appliance.errors(&scene), ["inconclusive-rule-not-evaluable"]);
    }

    #[test]
    fn the_management_api_is_told_apart() {
        let target = |scene: Scene| scene.with(|scene| scene.target = crate::report::CellTarget::EksApi);
        let public =
            || target(Scene::new().saw(vec![answer("system", &["198.51.100.30"])], vec![silent("198.51.100.30")]));
        // No endpoint, and no way to the internet.
        let case = Case::new(json!({})).at("i-node");
        let errors = case.errors(&public());
        assert!(errors.contains(&"eks-management-endpoint-unavailable".to_owned()), "{errors:?}");
        assert!(
            !errors.iter().any(|code| code.starts_with("eks-client") || code.starts_with("eks-public")),
            "{errors:?}"
        );
        let fix = case.finding(&public(), "eks-management-endpoint-unavailable").unwrap().fix.unwrap();
        assert!(fix.contains("--service-name com.amazonaws.eu-west-1.eks --subnet-ids subnet-n"), "{fix}");
        // The same cluster, asked for its own API, says nothing of it.
        let own = case.errors(&both_silent());
        assert!(!own.iter().any(|code| code.starts_with("eks-management-endpoint")), "{own:?}");
        let endpoint = |private_dns: bool| {
            json!({
                "ec2/describe-vpc-endpoints.json": { "VpcEndpoints": [{
                    "VpcEndpointId": "vpce-1", "VpcEndpointType": "Interface", "VpcId": "vpc-a",
                    "ServiceName": "com.amazonaws.eu-west-1.eks", "State": "available",
                    "PrivateDnsEnabled": private_dns, "NetworkInterfaceIds": ["eni-e"],
                    "Groups": [{ "GroupId": "sg-own" }],
                }] },
                "ec2/describe-network-interfaces.json": { "NetworkInterfaces": [{
                    "NetworkInterfaceId": "eni-e", "SubnetId": "subnet-a1", "VpcId": "vpc-a",
                    "PrivateIpAddress": "10.20.1.30", "Groups": [{ "GroupId": "sg-own" }],
                }] },
            })
        };
        let off = Case::new(endpoint(false)).at("i-node");
        let finding = off.finding(&public(), "eks-management-endpoint-private-dns-off").unwrap();
        assert_eq!(finding.confidence, Confidence::Certain);
        assert!(finding.fix.unwrap().contains("modify-vpc-endpoint --vpc-endpoint-id vpce-1 --private-dns-enabled"));
        let silent = target(Scene::new().saw(vec![answer("system", &["10.20.1.30"])], vec![silent("10.20.1.30")]));
        let on = Case::new(endpoint(true)).at("i-node");
        let errors = on.errors(&silent);
        assert!(errors.contains(&"eks-management-endpoint-sg-blocks-client".to_owned()), "{errors:?}");
        assert!(!errors.contains(&"eks-control-plane-sg-blocks-client".to_owned()), "{errors:?}");
        assert!(on.finding(&silent, "eks-management-endpoint-private-dns-off").is_none());
        let denied = target(Scene::new().saw(vec![no_answer("system", DnsOutcome::Timeout)], vec![]));
        assert!(!on.errors(&denied).is_empty());
    }
}

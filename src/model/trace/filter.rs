//! What filters packets: the security groups of interfaces and the network ACLs of subnets.

use ipnet::IpNet;

use super::{
    Decision, HopKind, Reason,
    ends::{Groups, Inside},
    walk::{Medium, Walk, missing, nets_words},
};
use crate::model::{
    network::{Acl, Entry, FINAL_ENTRY, Peer, Rule, Span, is},
    set::{AddressSet, Family, PortSet},
};

/// What one rule says of a peer.
enum Match {
    All,
    Part,
    No,
    /// The facts do not say.
    Unknown(Box<Reason>),
}

impl<'f> Walk<'_, 'f> {
    /// The security groups of an end: the union of their rules
    /// (<https://docs.aws.amazon.com/vpc/latest/userguide/security-group-rules.html>). `peers` is the far side's
    /// address as this end sees it, `far` what is behind it.
    pub(super) fn security_groups(&mut self, egress: bool, of: &Inside<'f>, far: Option<&Inside<'f>>, peers: &[IpNet]) {
        let ids = match &of.groups {
            Groups::None => return,
            Groups::Known(ids) => ids,
            Groups::Unknown => {
                let rule = format!("which security groups {} has is not in the facts", of.label);
                let reason = Reason::GroupsUnknown { of: of.label.clone() };
                self.push(HopKind::SecurityGroup, of.label.clone(), Decision::Unknown, rule, Some(reason));
                return;
            }
        };
        let direction = if egress { "egress" } else { "ingress" };
        let spans: Vec<Span> = peers.iter().map(Span::of).collect();
        let mut allowed: Vec<IpNet> = Vec::new();
        let mut partly: Option<(&'f str, String)> = None;
        let mut unknown: Option<(String, Reason)> = None;
        let mut lacking = None;
        for id in ids {
            let Some(group) = self.network.group(id) else {
                let rule = format!("the rules of {id} are not in the facts");
                let reason = missing(
                    format!("the rules of {id}"),
                    "ec2/describe-security-groups.json",
                    "ec2:DescribeSecurityGroups",
                );
                unknown.get_or_insert((rule, reason));
                continue;
            };
            let Some(rules) = (if egress { &group.egress } else { &group.ingress }) else {
                let field = if egress { "IpPermissionsEgress" } else { "IpPermissions" };
                let what = format!("`{field}` of {id}");
                let rule = format!("{what} is not in the facts");
                let file = "ec2/describe-security-groups.json";
                unknown.get_or_insert((rule, missing(what, file, "ec2:DescribeSecurityGroups")));
                continue;
            };
            for rule in rules.iter().filter(|rule| rule.first <= self.port && self.port <= rule.last) {
                // Most rules concern somebody else.
                if let Some(span) = &rule.span
                    && !spans.iter().any(|peer| span.touches(peer))
                {
                    continue;
                }
                let matched = self.matches(rule, egress, of, far, peers);
                if let (Some(why), Match::All | Match::Part) = (rule.unclear, &matched) {
                    let what = format!("{direction} rule {} of {id} is not understood: {why}", rule.number);
                    unknown.get_or_insert((what.clone(), Reason::NotEvaluable { what }));
                    continue;
                }
                match matched {
                    Match::All => {
                        let words = rule_words(rule, egress, id);
                        self.push(HopKind::SecurityGroup, (*id).to_owned(), Decision::Allow, words, None);
                        return;
                    }
                    Match::Part => {
                        allowed.extend(self.rule_nets(rule).copied());
                        partly.get_or_insert_with(|| (id, rule_words(rule, egress, id)));
                    }
                    Match::Unknown(reason) => {
                        let words = format!("{}: it cannot be told whether it matches", rule_words(rule, egress, id));
                        unknown.get_or_insert((words, *reason));
                    }
                    Match::No => {
                        if let Peer::List(list) = rule.peer {
                            lacking = lacking.or(Some(list));
                        }
                    }
                }
            }
        }
        let component = ids.join(", ");
        let wanted = AddressSet::from_nets(peers);
        let open = AddressSet::from_nets(&allowed).intersection(&wanted);
        let far_words = format!("tcp/{} {} {}", self.port, if egress { "to" } else { "from" }, nets_words(peers));
        if open == wanted && !wanted.is_empty() {
            let rule = partly.map(|(_, words)| format!("{words}, and others")).unwrap_or_default();
            self.push(HopKind::SecurityGroup, component, Decision::Allow, rule, None);
        } else if let Some((rule, reason)) = unknown {
            self.push(HopKind::SecurityGroup, component, Decision::Unknown, rule, Some(reason));
        } else if let Some((_, words)) = partly.filter(|_| !open.is_empty()) {
            self.closed = self.closed.union(&wanted.difference(&open));
            if self.closed.is_superset(&wanted) {
                let rule = format!("{words}, but that part is closed before");
                self.push(
                    HopKind::SecurityGroup,
                    component,
                    Decision::Deny,
                    rule,
                    Some(group_reason(egress, ids, peers, self.port)),
                );
                return;
            }
            let rule = format!("only {open} of {} is allowed: {words}", nets_words(peers));
            let groups = ids.iter().map(|id| (*id).to_owned()).collect();
            let reason = Reason::SecurityGroupPart { groups, egress, open };
            self.push(HopKind::SecurityGroup, component, Decision::Unknown, rule, Some(reason));
        } else {
            let reason = match (lacking, peers.first()) {
                (Some(list), Some(peer)) => Reason::PrefixListLacks {
                    prefix_list: list.to_owned(),
                    version: self.network.prefix_list(list).and_then(|list| list.version),
                    groups: ids.iter().map(|id| (*id).to_owned()).collect(),
                    peer: *peer,
                    egress,
                    port: self.port,
                },
                _ => group_reason(egress, ids, peers, self.port),
            };
            let also =
                lacking.map(|list| format!(" ({list}, which a rule names, does not hold it)")).unwrap_or_default();
            let rule = format!("no {direction} rule for {far_words}{also}");
            // Each group is a component of its own; why they deny together is said once.
            let mut reason = Some(reason);
            for id in ids {
                self.push(HopKind::SecurityGroup, (*id).to_owned(), Decision::Deny, rule.clone(), reason.take());
            }
            if ids.is_empty() {
                self.push(HopKind::SecurityGroup, component, Decision::Deny, rule, reason);
            }
        }
    }

    fn rule_nets(&self, rule: &Rule<'f>) -> std::slice::Iter<'_, IpNet> {
        match rule.peer {
            Peer::Net(cidr) => std::slice::from_ref(&cidr.net).iter(),
            Peer::List(list) => self.network.prefix_list_entries(list).unwrap_or_default().iter(),
            Peer::Group(_) => [].iter(),
        }
    }

    fn matches(
        &self,
        rule: &Rule<'f>,
        egress: bool,
        of: &Inside<'f>,
        far: Option<&Inside<'f>>,
        peers: &[IpNet],
    ) -> Match {
        match rule.peer {
            Peer::Net(cidr) => within(std::slice::from_ref(&cidr.net), peers),
            Peer::List(list) => match self.network.prefix_list_entries(list) {
                Some(entries) => within(entries, peers),
                None => Match::Unknown(Box::new(missing(
                    format!("the entries of {list}"),
                    format!("ec2/get-managed-prefix-list-entries-{list}.json"),
                    "ec2:GetManagedPrefixListEntries",
                ))),
            },
            Peer::Group(pair) => {
                let (Some(wanted), Some(far)) = (pair.group_id.as_deref(), far) else { return Match::No };
                let member = match &far.groups {
                    Groups::Known(groups) if groups.contains(&wanted) => true,
                    Groups::Known(_) => return Match::No,
                    Groups::None if far.interface.is_some() => return Match::No,
                    Groups::None | Groups::Unknown => false,
                };
                // A pair is for one peering connection, as long as that is active
                // (<https://docs.aws.amazon.com/vpc/latest/peering/vpc-peering-security-groups.html>).
                let by = pair.vpc_peering_connection_id.as_deref().filter(|id| !id.is_empty());
                let other = matches!(self.medium, Medium::Peering { .. }) && by.is_some() && by != self.peering;
                if other || pair.peering_status.as_deref().is_some_and(|status| !is(Some(status), "active")) {
                    return Match::No;
                }
                let carried = match self.medium {
                    // Where the way is lost, the rule is given the benefit: what lost it is told already.
                    Medium::Unset => true,
                    Medium::Local => of.vpc == far.vpc,
                    Medium::Peering { same_region } => same_region,
                    // <https://docs.aws.amazon.com/vpc/latest/tgw/tgw-vpc-attachments.html>: ingress rules only.
                    Medium::Transit { referencing: Some(enabled) } => enabled && !egress,
                    Medium::Transit { referencing: None } if !egress => {
                        return Match::Unknown(Box::new(missing(
                            "whether the transit gateway lets groups of other VPCs be named".to_owned(),
                            "ec2/describe-transit-gateways.json",
                            "ec2:DescribeTransitGateways",
                        )));
                    }
                    Medium::Transit { .. } | Medium::Other => false,
                };
                match (carried, member) {
                    (false, _) => Match::No,
                    (true, true) => Match::All,
                    (true, false) => Match::Unknown(Box::new(Reason::GroupsUnknown { of: far.label.clone() })),
                }
            }
        }
    }

    /// The network ACL of a subnet, stateless, first match by number
    /// (<https://docs.aws.amazon.com/vpc/latest/userguide/nacl-rules.html>). Replies go to any ephemeral port.
    pub(super) fn network_acl(&mut self, vpc: &str, subnet: &str, egress: bool) {
        let peers = if egress { self.destination.clone() } else { self.source.clone() };
        if subnet.is_empty() {
            let what = format!("the subnet of {}", nets_words(if egress { &self.source } else { &self.destination }));
            let rule = format!("{what} is not in the facts, nor then its network ACL");
            let reason = missing(what, "ec2/describe-subnets.json", "ec2:DescribeSubnets");
            self.push(HopKind::NetworkAcl, vpc.to_owned(), Decision::Unknown, rule, Some(reason));
            return;
        }
        let network = self.network;
        let Some(acl) = network.network_acl(subnet, vpc) else {
            let what = format!("the network ACL of {subnet}");
            let rule = format!("{what} is not in the facts");
            let reason = missing(what, "ec2/describe-network-acls.json", "ec2:DescribeNetworkAcls");
            self.push(HopKind::NetworkAcl, subnet.to_owned(), Decision::Unknown, rule, Some(reason));
            return;
        };
        let Some(entries) = (if egress { &acl.egress } else { &acl.ingress }) else {
            let what = format!("`Entries` of {}", acl.id);
            let rule = format!("{what} is not in the facts");
            let reason = missing(what, "ec2/describe-network-acls.json", "ec2:DescribeNetworkAcls");
            self.push(HopKind::NetworkAcl, acl.id.to_owned(), Decision::Unknown, rule, Some(reason));
            return;
        };
        let ports = if self.reply { ephemeral() } else { PortSet::of(self.port..=self.port) };
        let Some(judged) = judge(entries, &peers, &ports) else {
            let what = format!("what {} does with parts of {}: it has too many entries", acl.id, nets_words(&peers));
            let reason = Reason::NotEvaluable { what: what.clone() };
            self.push(HopKind::NetworkAcl, acl.id.to_owned(), Decision::Unknown, what, Some(reason));
            return;
        };
        self.acl_hop(acl, subnet, egress, &peers, &ports, &judged);
    }

    fn acl_hop(
        &mut self,
        acl: &Acl<'f>,
        subnet: &str,
        egress: bool,
        peers: &[IpNet],
        ports: &PortSet,
        judged: &Judged<'_, 'f>,
    ) {
        let component = acl.id.to_owned();
        if judged.everywhere == *ports {
            let rule = judged.allowing.map(|entry| entry_words(entry, egress)).unwrap_or_default();
            self.push(HopKind::NetworkAcl, component, Decision::Allow, rule, None);
            return;
        }
        let direction = if egress { "egress" } else { "ingress" };
        let far = format!("{} {}", if egress { "to" } else { "from" }, nets_words(peers));
        let reason = Reason::AclEntry {
            acl: component.clone(),
            subnet: subnet.to_owned(),
            rule_number: judged.denying.and_then(|entry| entry.number).filter(|number| *number != FINAL_ENTRY),
            egress,
            reply: self.reply,
            ports: ports.difference(&judged.everywhere),
            open: judged.somewhere.clone(),
            peer: peers.first().copied().unwrap_or_default(),
        };
        let deciding = match judged.denying {
            Some(entry) => entry_words(entry, egress),
            None => format!("no {direction} entry for tcp {} {far}", ports.difference(&judged.everywhere)),
        };
        let wanted = AddressSet::from_nets(peers);
        if self.reply {
            self.open = self.open.intersection(&judged.somewhere);
        }
        self.closed = self.closed.union(&judged.closed);
        let (decision, rule) = if judged.somewhere.is_empty() {
            (Decision::Deny, deciding)
        } else if self.closed.is_superset(&wanted) || (self.reply && self.open.is_empty()) {
            (Decision::Deny, format!("{deciding}; what it leaves open is closed before"))
        } else if let Some((entry, why)) = judged.unclear {
            let what = format!("{} of {component} is not understood: {why}", entry_name(entry, egress));
            let reason = Reason::NotEvaluable { what: what.clone() };
            self.push(HopKind::NetworkAcl, component, Decision::Unknown, what, Some(reason));
            return;
        } else if judged.somewhere == judged.everywhere {
            (Decision::Unknown, format!("{deciding}; open {far} are only ports {}", judged.everywhere))
        } else {
            let open = wanted.difference(&judged.closed);
            (Decision::Unknown, format!("{deciding}; of {} only {open} passes", nets_words(peers)))
        };
        self.push(HopKind::NetworkAcl, component, decision, rule, Some(reason));
    }
}

/// The ports that a client may have chosen
/// (<https://docs.aws.amazon.com/vpc/latest/userguide/custom-network-acl.html#nacl-ephemeral-ports>).
pub(super) fn ephemeral() -> PortSet {
    PortSet::of(1024..=u16::MAX)
}

/// What the entries of an ACL come to.
struct Judged<'a, 'f> {
    /// Ports that pass for every peer.
    everywhere: PortSet,
    /// Ports that pass for some peer, or that may.
    somewhere: PortSet,
    /// Peers for which nothing passes for certain.
    closed: AddressSet,
    allowing: Option<&'a Entry<'f>>,
    denying: Option<&'a Entry<'f>>,
    /// The first entry that is not understood and may decide, and why it is not.
    unclear: Option<(&'a Entry<'f>, &'static str)>,
}

/// Judges peers that some entries tell apart piece by piece; `None` when there are too many pieces.
fn judge<'a, 'f>(entries: &'a [Entry<'f>], peers: &[IpNet], ports: &PortSet) -> Option<Judged<'a, 'f>> {
    let mut judged = Judged {
        everywhere: ports.clone(),
        somewhere: PortSet::default(),
        closed: AddressSet::empty(),
        allowing: None,
        denying: None,
        unclear: None,
    };
    let mut pieces: Vec<IpNet> = peers.to_vec();
    let mut seen = 0;
    while let Some(piece) = pieces.pop() {
        seen += 1;
        if seen > MOST_PIECES {
            return None;
        }
        let inside = |entry: &Entry<'_>| entry.net.is_some_and(|cidr| piece.contains(&cidr.net) && cidr.net != piece);
        if piece.prefix_len() < piece.max_prefix_len() && entries.iter().any(inside) {
            pieces.extend(piece.subnets(piece.prefix_len() + 1).ok()?);
            continue;
        }
        let (allowed, unclear) = judge_piece(entries, &piece, ports, &mut judged);
        let perhaps = allowed.union(&unclear);
        if perhaps.is_empty() {
            judged.closed.insert(piece);
        }
        judged.everywhere = judged.everywhere.intersection(&allowed);
        judged.somewhere = judged.somewhere.union(&perhaps);
    }
    Some(judged)
}

/// The ports that pass, and those of which it is not known.
fn judge_piece<'a, 'f>(
    entries: &'a [Entry<'f>],
    piece: &IpNet,
    ports: &PortSet,
    judged: &mut Judged<'a, 'f>,
) -> (PortSet, PortSet) {
    let (mut left, mut allowed, mut unclear) = (ports.clone(), PortSet::default(), PortSet::default());
    for entry in entries.iter().filter(|entry| entry.net.is_none_or(|cidr| cidr.net.contains(piece))) {
        let taken = left.intersection(&PortSet::of(entry.first..=entry.last));
        if taken.is_empty() {
            continue;
        }
        left = left.difference(&taken);
        if let Some(why) = entry.unclear {
            judged.unclear.get_or_insert((entry, why));
            unclear = unclear.union(&taken);
        } else if entry.allow {
            judged.allowing.get_or_insert(entry);
            allowed = allowed.union(&taken);
        } else {
            judged.denying.get_or_insert(entry);
        }
        if left.is_empty() {
            break;
        }
    }
    (allowed, unclear)
}

fn within(nets: &[IpNet], peers: &[IpNet]) -> Match {
    // One host against ranges is by far the most common question.
    let whole = |peer: &IpNet| nets.iter().any(|net| net.contains(peer));
    if peers.iter().all(whole) && !peers.is_empty() {
        return Match::All;
    }
    let touches = |peer: &IpNet| nets.iter().any(|net| net.contains(peer) || peer.contains(net));
    if !peers.iter().any(touches) {
        return Match::No;
    }
    let (nets, peers) = (AddressSet::from_nets(nets), AddressSet::from_nets(peers));
    if nets.is_superset(&peers) { Match::All } else { Match::Part }
}

fn group_reason(egress: bool, groups: &[&str], peers: &[IpNet], port: u16) -> Reason {
    let groups = groups.iter().map(|id| (*id).to_owned()).collect();
    let peer = peers.first().copied().unwrap_or_default();
    if egress {
        Reason::SecurityGroupEgress { groups, destination: peer, port }
    } else {
        Reason::SecurityGroupIngress { groups, source: peer, port }
    }
}

/// `ingress rule 3: tcp/443 from 10.9.0.0/16 (sg-0abc, "vpn clients")`.
fn rule_words(rule: &Rule<'_>, egress: bool, group: &str) -> String {
    let (direction, side) = if egress { ("egress", "to") } else { ("ingress", "from") };
    let peer = match rule.peer {
        Peer::Net(cidr) => cidr.net.to_string(),
        Peer::List(list) => list.to_owned(),
        Peer::Group(pair) => format!("members of {}", pair.group_id.as_deref().unwrap_or("a group")),
    };
    let what = match (rule.all_protocols, rule.first, rule.last) {
        (true, ..) => "all traffic".to_owned(),
        (false, 0, u16::MAX) => "all tcp".to_owned(),
        (false, first, last) if first == last => format!("tcp/{first}"),
        (false, first, last) => format!("tcp/{first}-{last}"),
    };
    let description = match rule.description {
        Some(text) if !text.trim().is_empty() => {
            let short: String = text.trim().chars().take(LONGEST_DESCRIPTION).collect();
            format!(", {short:?}")
        }
        _ => String::new(),
    };
    format!("{direction} rule {}: {what} {side} {peer} ({group}{description})", rule.number)
}

/// `entry 100 egress allow tcp 443-443 to 0.0.0.0/0`.
fn entry_words(entry: &Entry<'_>, egress: bool) -> String {
    let side = if egress { "to" } else { "from" };
    let action = if entry.allow { "allow" } else { "deny" };
    let what =
        if entry.all_protocols { "all traffic".to_owned() } else { format!("tcp {}-{}", entry.first, entry.last) };
    let net = entry.net.map_or_else(|| "any range".to_owned(), |cidr| cidr.net.to_string());
    format!("{} {action} {what} {side} {net}", entry_name(entry, egress))
}

/// `entry 100 egress`.
fn entry_name(entry: &Entry<'_>, egress: bool) -> String {
    let number = match entry.number {
        Some(FINAL_ENTRY) => "*".to_owned(),
        Some(number) => number.to_string(),
        None => "without a number".to_owned(),
    };
    format!("entry {number} {}", if egress { "egress" } else { "ingress" })
}

/// The family of a list of ranges; they are all of one.
pub(super) fn family(nets: &[IpNet]) -> Family {
    nets.first().map_or(Family::V4, Family::of_net)
}

const MOST_PIECES: usize = 4_096;
const LONGEST_DESCRIPTION: usize = 60;

//! The commands that open what a configuration closes: complete, for the cluster's region, with the values of the facts.

use std::{collections::BTreeSet, net::IpAddr};

use ipnet::IpNet;

use super::{
    paths::{Blocker, Way},
    sight,
};
use crate::{
    causes::{
        CellView, ConfigurationView, Configured,
        configuration::words,
        evidence::{self, clean, shell},
    },
    facts::ec2,
    model::{network, trace::Reason},
};

/// The facts that commands are filled in from.
pub(super) struct Network<'a> {
    configuration: ConfigurationView<'a>,
    index: &'a network::Network<'a>,
    facts: &'a ec2::Network,
    /// Addresses of the endpoint that were dialled or are known.
    endpoint: Vec<IpAddr>,
}

impl<'a> Network<'a> {
    pub(super) fn of(view: &CellView<'a>, configured: &Configured<'a>) -> Self {
        let mut endpoint: Vec<IpAddr> = evidence::deciding(view).iter().filter_map(|attempt| attempt.address).collect();
        endpoint.extend(view.known_addresses);
        Self {
            configuration: sight::configuration(view, configured),
            index: configured.network,
            facts: &configured.facts.network,
            endpoint,
        }
    }

    fn ec2(&self, rest: &str) -> String {
        words::ec2(&self.configuration, rest)
    }
}

/// What opens these hops, a command a line; `all` are the cell's hops, so that two findings give no number twice.
pub(super) fn fix(network: &Network<'_>, all: &[Blocker<'_>], own: &[Blocker<'_>]) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut numbers = Numbers::default();
    for blocker in all {
        let is_own = own.iter().any(|one| std::ptr::eq(one.hop, blocker.hop));
        let line = command(network, blocker, &mut numbers);
        if is_own && !line.is_empty() && !lines.contains(&line) && lines.len() < MOST_LINES {
            lines.push(line);
        }
    }
    lines.join("\n")
}

/// The setting with its present value.
pub(super) fn setting(blocker: &Blocker<'_>) -> Option<String> {
    Some(match blocker.reason {
        Reason::SecurityGroupIngress { groups, .. } => format!("ingress rules of {}", listed(groups)),
        Reason::SecurityGroupEgress { groups, .. } => format!("egress rules of {}", listed(groups)),
        Reason::PrefixListLacks { prefix_list, version, .. } => match version {
            Some(version) => format!("entries of {} (version {version})", clean(prefix_list)),
            None => format!("entries of {}", clean(prefix_list)),
        },
        Reason::AclEntry { acl, rule_number, egress, .. } => {
            let number = rule_number.map_or_else(|| "*".to_owned(), |number| number.to_string());
            let direction = if *egress { "egress" } else { "ingress" };
            format!("{direction} entry {number} of {}", clean(acl))
        }
        Reason::NoRoute { table, .. } | Reason::Blackhole { table, .. } | Reason::TransitRoute { table, .. } => {
            format!("routes of {}", clean(table))
        }
        Reason::PeeringState { peering, code, .. } => format!("Status.Code of {} = {}", clean(peering), clean(code)),
        Reason::AttachmentState { attachment, state, .. } => {
            format!("State of {} = {}", clean(attachment), clean(state))
        }
        Reason::AttachmentZone { attachment, .. } => format!("SubnetIds of {}", clean(attachment)),
        Reason::NatState { gateway, state } => format!("State of {} = {}", clean(gateway), clean(state)),
        Reason::OverlapsClient { vpc, cidr, .. } => {
            format!("CidrBlockAssociationSet of {}: {}", clean(vpc), clean(cidr))
        }
        Reason::BlockPublicAccess { mode } => format!("InternetGatewayBlockMode = {}", clean(mode)),
        _ => return None,
    })
}

fn command(network: &Network<'_>, blocker: &Blocker<'_>, numbers: &mut Numbers) -> String {
    match blocker.reason {
        Reason::SecurityGroupIngress { groups, source, port } => authorize(network, groups, true, *source, *port),
        Reason::SecurityGroupEgress { groups, destination, port } => {
            let mut lines: Vec<String> = Vec::new();
            if blocker.way == Way::Out {
                // The endpoint's own addresses, as far as they are known; they change now and then.
                let known = network.endpoint.iter().filter(|address| address.is_ipv4() == destination.addr().is_ipv4());
                lines.extend(known.map(|address| authorize(network, groups, false, IpNet::from(*address), *port)));
                if !lines.is_empty() {
                    lines.insert(0, "# The addresses of the public endpoint change now and then; private access does without them.".to_owned());
                }
            }
            if lines.is_empty() {
                lines.push(authorize(network, groups, false, around(network, *destination), *port));
            }
            lines.join("\n")
        }
        Reason::PrefixListLacks { prefix_list, version, peer, .. } => {
            let version = version.map_or_else(|| "<version>".to_owned(), |version| version.to_string());
            network.ec2(&format!(
                "modify-managed-prefix-list --prefix-list-id {} --current-version {version} --add-entries Cidr={peer}",
                shell(prefix_list)
            ))
        }
        Reason::AclEntry { acl, rule_number, egress, reply, peer, .. } => {
            acl_entry(network, numbers, &AclWant { acl, below: *rule_number, egress: *egress, reply: *reply, peer: *peer })
        }
        Reason::NoRoute { table, destination, .. } => route(network, "create-route", table, blocker.way, *destination),
        Reason::Blackhole { table, route: stale, destination, .. } => {
            let wanted = lead_to(network, table, blocker.way, *destination);
            let Ok(stale) = stale.parse::<IpNet>() else {
                return route(network, "create-route", table, blocker.way, *destination);
            };
            network.ec2(&format!(
                "replace-route --route-table-id {} {} {}",
                shell(table),
                destination_option(stale),
                wanted.target
            ))
        }
        Reason::LeadsElsewhere { destination, .. } => match blocker.table {
            Some(table) => route(network, "create-route", table, blocker.way, *destination),
            None => String::new(),
        },
        Reason::PeeringState { peering, code, .. } => peering_command(network, peering, code),
        Reason::PeeringNotTransitive { peering, .. } => format!(
            "# {} ends in the VPC beside it: connect the two VPCs themselves, or both to one transit gateway.\n{}",
            clean(peering),
            network.ec2(&format!("describe-vpc-peering-connections --vpc-peering-connection-ids {}", shell(peering)))
        ),
        Reason::TransitGatewayState { gateway, .. } => {
            network.ec2(&format!("describe-transit-gateways --transit-gateway-ids {}", shell(gateway)))
        }
        Reason::AttachmentState { attachment, state, .. } => attachment_command(network, attachment, state),
        Reason::AttachmentZone { attachment, subnet, .. } => network.ec2(&format!(
            "modify-transit-gateway-vpc-attachment --transit-gateway-attachment-id {} --add-subnet-ids {}",
            shell(attachment),
            shell(subnet)
        )),
        Reason::TransitRoute { table, destination, blackhole, towards, .. } => {
            let verb = if *blackhole { "replace" } else { "create" };
            let attachment = towards.first().map_or_else(|| "<attachment>".to_owned(), |one| shell(one));
            network.ec2(&format!(
                "{verb}-transit-gateway-route --transit-gateway-route-table-id {} --destination-cidr-block {} --transit-gateway-attachment-id {attachment}",
                shell(table),
                vpc_range(network, *destination).unwrap_or(*destination)
            ))
        }
        Reason::NoAssociation { attachment, .. } => {
            let table = network
                .index
                .attachment(attachment)
                .and_then(|one| one.transit_gateway_id.as_deref())
                .and_then(|gateway| network.index.transit_gateway(gateway))
                .and_then(|gateway| gateway.options.as_ref()?.association_default_route_table_id.as_deref());
            network.ec2(&format!(
                "associate-transit-gateway-route-table --transit-gateway-route-table-id {} --transit-gateway-attachment-id {}",
                table.map_or_else(|| "<table>".to_owned(), shell),
                shell(attachment)
            ))
        }
        Reason::NatState { .. } | Reason::NatPrivate { .. } => {
            let Some(table) = blocker.table else { return String::new() };
            let target = usable_nat(network, vpc_of_table(network, table));
            network.ec2(&format!(
                "replace-route --route-table-id {} --destination-cidr-block 0.0.0.0/0 --nat-gateway-id {}",
                shell(table),
                target.map_or_else(|| "<a public NAT gateway>".to_owned(), shell)
            ))
        }
        Reason::GatewayDetached { gateway, vpc } if gateway.starts_with("igw-") => network.ec2(&format!(
            "attach-internet-gateway --internet-gateway-id {} --vpc-id {}",
            shell(gateway),
            shell(vpc)
        )),
        Reason::GatewayDetached { gateway, vpc } if gateway.starts_with("vgw-") => {
            network.ec2(&format!("attach-vpn-gateway --vpn-gateway-id {} --vpc-id {}", shell(gateway), shell(vpc)))
        }
        Reason::NoPublicAddress { of } => format!(
            "# Send the subnet's packets through a NAT gateway, or give the host a public address:\n{}",
            network.ec2(&format!("associate-address --allocation-id <eipalloc-…> --network-interface-id {}", shell(of)))
        ),
        Reason::BlockPublicAccess { .. } => network.ec2(
            "create-vpc-block-public-access-exclusion --vpc-id <vpc> --internet-gateway-exclusion-mode allow-egress",
        ),
        Reason::OverlapsClient { vpc, .. } => format!(
            "# Give one side another range, or translate the client's range (NAT) before it enters the VPC.\n{}",
            network.ec2(&format!("describe-vpcs --vpc-ids {} --query 'Vpcs[].CidrBlockAssociationSet'", shell(vpc)))
        ),
        Reason::VpnDown { connection } => network.ec2(&format!(
            "describe-vpn-connections --vpn-connection-ids {} --query 'VpnConnections[].VgwTelemetry'   # bring a tunnel up",
            connection.split(", ").map(shell).collect::<Vec<_>>().join(" ")
        )),
        Reason::EndpointState { endpoint, .. } => {
            network.ec2(&format!("describe-vpc-endpoints --vpc-endpoint-ids {}", shell(endpoint)))
        }
        _ => String::new(),
    }
}

/// A rule in the group that is the user's own where there is one, else in the first.
fn authorize(network: &Network<'_>, groups: &[String], ingress: bool, peer: IpNet, port: u16) -> String {
    let config = network.configuration.facts.cluster.as_ref().and_then(|cluster| cluster.resources_vpc_config.as_ref());
    let own = groups.iter().find(|group| config.is_some_and(|config| config.security_group_ids.contains(group)));
    let group = own.or(groups.first()).map_or_else(|| "<sg>".to_owned(), |group| shell(group));
    let ranges = match peer {
        IpNet::V4(net) => format!("IpRanges=[{{CidrIp={net}}}]"),
        IpNet::V6(net) => format!("Ipv6Ranges=[{{CidrIpv6={net}}}]"),
    };
    network.ec2(&format!(
        "authorize-security-group-{} --group-id {group} --ip-permissions 'IpProtocol=tcp,FromPort={port},ToPort={port},{ranges}'",
        if ingress { "ingress" } else { "egress" }
    ))
}

/// Entry numbers that were given already, by ACL and direction.
#[derive(Default)]
struct Numbers {
    given: BTreeSet<(String, bool, u32)>,
    wanted: Vec<(String, bool, bool, IpNet, u32)>,
}

struct AclWant<'a> {
    acl: &'a str,
    below: Option<u32>,
    egress: bool,
    reply: bool,
    peer: IpNet,
}

fn acl_entry(network: &Network<'_>, numbers: &mut Numbers, want: &AclWant<'_>) -> String {
    let AclWant { acl, below, egress, reply, peer } = *want;
    let known = numbers
        .wanted
        .iter()
        .find(|(of, out, back, to, _)| of == acl && *out == egress && *back == reply && *to == peer);
    let number = known.map(|known| known.4).or_else(|| free_number(network, numbers, acl, egress, below));
    let words = match number {
        Some(number) => {
            numbers.given.insert((acl.to_owned(), egress, number));
            numbers.wanted.push((acl.to_owned(), egress, reply, peer, number));
            number.to_string()
        }
        None => "<a number below the deny; renumber first>".to_owned(),
    };
    let ports = if reply { "From=1024,To=65535" } else { "From=443,To=443" };
    let option = if peer.addr().is_ipv4() { "--cidr-block" } else { "--ipv6-cidr-block" };
    let direction = if egress { "--egress" } else { "--ingress" };
    network.ec2(&format!(
        "create-network-acl-entry --network-acl-id {} --rule-number {words} --protocol tcp --port-range {ports} {option} {peer} --rule-action allow {direction}",
        shell(acl)
    ))
}

/// The greatest free number below the entry that denies; after the last one where the final `*` denies.
fn free_number(network: &Network<'_>, numbers: &Numbers, acl: &str, egress: bool, below: Option<u32>) -> Option<u32> {
    let acls = network.facts.network_acls.iter().flatten();
    let entries = acls.filter(|one| one.network_acl_id == acl).flat_map(|one| one.entries.iter().flatten());
    let used: BTreeSet<u32> =
        entries.filter(|entry| entry.egress == Some(egress)).filter_map(|entry| entry.rule_number).collect();
    let is_free = |number: &u32| !used.contains(number) && !numbers.given.contains(&(acl.to_owned(), egress, *number));
    match below.filter(|number| *number <= MOST_RULE) {
        Some(deny) => (1..deny).rev().find(is_free),
        None => {
            let last = used.range(..=MOST_RULE).next_back().copied().unwrap_or(0);
            (last.saturating_add(10)..=MOST_RULE)
                .step_by(10)
                .find(is_free)
                .or_else(|| (1..=MOST_RULE).rev().find(is_free))
        }
    }
}

fn route(network: &Network<'_>, verb: &str, table: &str, way: Way, destination: IpNet) -> String {
    let wanted = lead_to(network, table, way, destination);
    // A route to the same range cannot be created a second time.
    let tables = network.facts.route_tables.iter().flatten();
    let routes = tables.filter(|one| one.route_table_id == table).flat_map(|one| one.routes.iter().flatten());
    let exists = routes
        .filter_map(|route| route.destination_cidr_block.as_ref().or(route.destination_ipv6_cidr_block.as_ref()))
        .any(|cidr| cidr.net == wanted.destination);
    let verb = if exists { "replace-route" } else { verb };
    network.ec2(&format!(
        "{verb} --route-table-id {} {} {}",
        shell(table),
        destination_option(wanted.destination),
        wanted.target
    ))
}

struct Wanted {
    destination: IpNet,
    target: String,
}

/// The route that is wanted: to the whole VPC that holds the destination, by what connects the two.
fn lead_to(network: &Network<'_>, table: &str, way: Way, destination: IpNet) -> Wanted {
    let vpc = vpc_of_table(network, table);
    if way == Way::Out {
        let target = match usable_nat(network, vpc) {
            Some(nat) => format!("--nat-gateway-id {}", shell(nat)),
            None => "<--nat-gateway-id or --gateway-id> <id>".to_owned(),
        };
        let everywhere = IpNet::new(destination.addr(), 0).map_or(destination, |net| net.trunc());
        return Wanted { destination: everywhere, target };
    }
    let holder = vpc_holding(network, destination, vpc);
    let range = holder.and_then(|_| vpc_range(network, destination)).unwrap_or(destination);
    let target = connection(network, vpc, holder)
        .unwrap_or_else(|| "<--transit-gateway-id, --vpc-peering-connection-id or --gateway-id> <id>".to_owned());
    Wanted { destination: range, target }
}

/// What connects a VPC with another one, or with what is beyond its gateways.
fn connection(network: &Network<'_>, vpc: Option<&str>, other: Option<&str>) -> Option<String> {
    let vpc = vpc?;
    if let Some(other) = other {
        let joins = |peering: &&ec2::PeeringConnection| {
            let side = |side: &Option<ec2::PeeringVpc>| side.as_ref().and_then(|side| side.vpc_id.clone());
            let sides = [side(&peering.requester_vpc_info), side(&peering.accepter_vpc_info)];
            sides.iter().any(|one| one.as_deref() == Some(vpc)) && sides.iter().any(|one| one.as_deref() == Some(other))
        };
        let active = |peering: &&ec2::PeeringConnection| {
            network::is(peering.status.as_ref().and_then(|status| status.code.as_deref()), "active")
        };
        let peerings = || network.facts.peering_connections.iter().flatten().filter(joins);
        if let Some(peering) = peerings().find(active).or_else(|| peerings().next()) {
            return Some(format!("--vpc-peering-connection-id {}", shell(&peering.vpc_peering_connection_id)));
        }
    }
    let attachments = || network.facts.transit_gateway_vpc_attachments.iter().flatten();
    let gateways = |vpc: &str| -> Vec<&str> {
        attachments()
            .filter(|one| one.vpc_id.as_deref() == Some(vpc))
            .filter_map(|one| one.transit_gateway_id.as_deref())
            .collect()
    };
    let mine = gateways(vpc);
    let shared = match other {
        Some(other) => {
            let theirs = gateways(other);
            mine.into_iter().find(|gateway| theirs.contains(gateway))
        }
        None => mine.into_iter().find(|gateway| {
            network.facts.transit_gateway_attachments.iter().flatten().any(|one| {
                one.transit_gateway_id.as_deref() == Some(gateway)
                    && one.resource_type.as_deref().is_some_and(|kind| kind != "vpc")
            })
        }),
    };
    if let Some(gateway) = shared {
        return Some(format!("--transit-gateway-id {}", shell(gateway)));
    }
    let attached = |gateway: &&ec2::VpnGateway| network::is_attached(&gateway.vpc_attachments, vpc);
    let gateway = network.facts.vpn_gateways.iter().flatten().find(attached).filter(|_| other.is_none())?;
    Some(format!("--gateway-id {}", shell(&gateway.vpn_gateway_id)))
}

fn peering_command(network: &Network<'_>, peering: &str, code: &str) -> String {
    if code.eq_ignore_ascii_case("pending-acceptance") {
        return network.ec2(&format!("accept-vpc-peering-connection --vpc-peering-connection-id {}", shell(peering)));
    }
    let sides = network.index.peering(peering).map(|one| {
        let side = |side: &Option<ec2::PeeringVpc>| side.as_ref().and_then(|side| side.vpc_id.clone());
        (side(&one.requester_vpc_info), side(&one.accepter_vpc_info))
    });
    let (from, to) = sides.unwrap_or_default();
    let word = |id: Option<String>, unknown: &str| id.map_or_else(|| unknown.to_owned(), |id| shell(&id));
    format!(
        "# {} is {} for good: make another one, accept it, and point the routes at it.\n{}",
        clean(peering),
        clean(code),
        network.ec2(&format!(
            "create-vpc-peering-connection --vpc-id {} --peer-vpc-id {}",
            word(from, "<vpc>"),
            word(to, "<peer vpc>")
        ))
    )
}

fn attachment_command(network: &Network<'_>, attachment: &str, state: &str) -> String {
    if state.eq_ignore_ascii_case("pendingAcceptance") {
        return network.ec2(&format!(
            "accept-transit-gateway-vpc-attachment --transit-gateway-attachment-id {}",
            shell(attachment)
        ));
    }
    if attachment.starts_with("tgw-attach-") {
        return network.ec2(&format!(
            "describe-transit-gateway-vpc-attachments --transit-gateway-attachment-ids {}   # then bring it to `available`, or make another",
            shell(attachment)
        ));
    }
    network.ec2(&format!(
        "create-transit-gateway-vpc-attachment --transit-gateway-id {} --vpc-id <vpc> --subnet-ids <a subnet of each zone>",
        shell(attachment)
    ))
}

fn vpc_of_table<'a>(network: &Network<'a>, table: &str) -> Option<&'a str> {
    let tables = network.facts.route_tables.iter().flatten();
    tables.into_iter().find(|one| one.route_table_id == table).map(|one| one.vpc_id.as_str())
}

/// A NAT gateway by which hosts of the VPC get out.
fn usable_nat<'a>(network: &Network<'a>, vpc: Option<&str>) -> Option<&'a str> {
    let usable = |nat: &&ec2::NatGateway| {
        nat.vpc_id.as_deref() == vpc
            && network::is(nat.state.as_deref(), "available")
            && !network::is(nat.connectivity_type.as_deref(), "private")
    };
    network.facts.nat_gateways.iter().flatten().find(usable).map(|nat| nat.nat_gateway_id.as_str())
}

/// The VPC in which an address is; another than the one it is looked for from.
fn vpc_holding<'a>(network: &Network<'a>, destination: IpNet, from: Option<&str>) -> Option<&'a str> {
    let vpcs = network.facts.vpcs.iter().flatten().filter(|vpc| Some(vpc.vpc_id.as_str()) != from);
    let holds = |vpc: &&ec2::Vpc| network.index.vpc_ranges(&vpc.vpc_id).any(|range| range.contains(&destination));
    vpcs.into_iter().find(holds).map(|vpc| vpc.vpc_id.as_str())
}

/// The range of a VPC that holds it.
fn vpc_range(network: &Network<'_>, destination: IpNet) -> Option<IpNet> {
    let vpcs = network.facts.vpcs.iter().flatten();
    vpcs.flat_map(|vpc| network.index.vpc_ranges(&vpc.vpc_id)).find(|range| range.contains(&destination))
}

/// The subnet around an address of the facts: addresses of the control plane change, their subnets seldom.
fn around(network: &Network<'_>, destination: IpNet) -> IpNet {
    let ranges = network.facts.subnets.iter().flatten().flat_map(network::subnet_ranges);
    ranges.into_iter().find(|range| range.contains(&destination)).unwrap_or(destination)
}

fn destination_option(net: IpNet) -> String {
    match net {
        IpNet::V4(net) => format!("--destination-cidr-block {net}"),
        IpNet::V6(net) => format!("--destination-ipv6-cidr-block {net}"),
    }
}

fn listed(ids: &[String]) -> String {
    evidence::listed(ids.iter().map(|id| clean(id)))
}

/// The greatest number that an entry of one's own may have
/// (<https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateNetworkAclEntry.html>).
const MOST_RULE: u32 = 32_766;
const MOST_LINES: usize = 12;

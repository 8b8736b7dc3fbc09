//! The VPC of the cluster: name resolution, subnets, security groups, connected networks.

use super::{
    super::{
        Told,
        evidence::{clean, shell},
    },
    ConfigurationView,
    allow_lists::set_of,
    is, limits, speaks_of,
    words::{self, counted, listed},
};
use crate::{
    facts::{
        Cidr,
        ec2::{PeeringConnection, PeeringVpc, Permission, RouteTable, TransitGatewayVpcAttachment, Vpc},
        eks,
    },
    model::set::AddressSet,
    report::{Confidence, Severity},
};

/// `enableDnsSupport` is off in the cluster's VPC.
pub(in crate::causes) fn dns_support_disabled(view: &ConfigurationView<'_>) -> Vec<Told> {
    let Some(vpc) = private_vpc(view).filter(|vpc| view.dns_attributes(vpc).0 == Some(false)) else {
        return Vec::new();
    };
    vec![
        Told::new(
            Confidence::Likely,
            format!(
                "`enableDnsSupport` of {} is false: its resolver answers no host of the VPC, for any name.",
                clean(vpc)
            ),
        )
        .and("Private access is on, and its private addresses are found by that resolver only.")
        .severity(Severity::Warning)
        .setting(format!("enableDnsSupport of {} = false", clean(vpc)))
        .fix(words::ec2(
            view,
            &format!("modify-vpc-attribute --vpc-id {} --enable-dns-support '{{\"Value\":true}}'", shell(vpc)),
        )),
    ]
}

/// `enableDnsHostnames` is off in the cluster's VPC.
pub(in crate::causes) fn dns_hostnames_disabled(view: &ConfigurationView<'_>) -> Vec<Told> {
    let Some(vpc) = private_vpc(view).filter(|vpc| view.dns_attributes(vpc).1 == Some(false)) else {
        return Vec::new();
    };
    let effect = if view.public_access() == Some(true) {
        "Public access is on, too: hosts of the VPC get the public addresses then, and leave by NAT."
    } else {
        "Public access is off, so that public DNS gives the private addresses, which hides it."
    };
    vec![
        Told::new(
            Confidence::Likely,
            format!(
                "`enableDnsHostnames` of {} is false: the private zone of the endpoint is not in effect there.",
                clean(vpc)
            ),
        )
        .and(effect)
        .severity(Severity::Warning)
        .setting(format!("enableDnsHostnames of {} = false", clean(vpc)))
        .fix(words::ec2(
            view,
            &format!("modify-vpc-attribute --vpc-id {} --enable-dns-hostnames '{{\"Value\":true}}'", shell(vpc)),
        )),
    ]
}

/// The DHCP options of the cluster's VPC name other DNS servers than Amazon's.
pub(in crate::causes) fn dhcp_lacks_amazon_dns(view: &ConfigurationView<'_>) -> Vec<Told> {
    let Some(vpc) = private_vpc(view).and_then(|id| view.vpc(id)) else { return Vec::new() };
    let (Some(id), Some(servers)) = (vpc.dhcp_options_id.as_deref(), domain_name_servers(view, vpc)) else {
        return Vec::new();
    };
    let own = resolver_addresses(vpc);
    let amazons = |server: &String| {
        let server = server.trim().to_ascii_lowercase();
        server == "amazonprovideddns" || own.contains(&server)
    };
    if servers.iter().any(amazons) {
        return Vec::new();
    }
    let (confidence, named) = if servers.is_empty() {
        (Confidence::Likely, "no DNS server".to_owned())
    } else {
        (Confidence::Possible, listed(&servers))
    };
    let mut told = Told::new(
        confidence,
        format!(
            "The DHCP options {} of {} name {named}, and not AmazonProvidedDNS: hosts of the VPC do not ask the resolver that knows the private addresses.",
            clean(id),
            clean(&vpc.vpc_id)
        ),
    );
    if !servers.is_empty() {
        told = told.and(format!(
            "If these servers forward to {} nothing is wrong; the name asked of them from a host of the VPC decides.",
            own.first().map_or("169.254.169.253", String::as_str)
        ));
    }
    vec![
        told.severity(Severity::Warning).setting(format!("domain-name-servers of {} = {named}", clean(id))).fix(
            words::ec2(
                view,
                &format!(
                    "associate-dhcp-options --dhcp-options-id <dopt with AmazonProvidedDNS> --vpc-id {}",
                    shell(&vpc.vpc_id)
                ),
            )
            .replace("<dopt with AmazonProvidedDNS>", "'<dopt with AmazonProvidedDNS>'"),
        ),
    ]
}

/// A resolver rule or a private zone of one's own may stand before the endpoint's name.
pub(in crate::causes) fn resolver_shadows(view: &ConfigurationView<'_>) -> Vec<Told> {
    let Some(vpc) = private_vpc(view) else { return Vec::new() };
    let Some(host) = view.eks().and_then(|cluster| cluster.endpoint.as_deref()).and_then(host_of) else {
        return Vec::new();
    };
    let resolver = &view.facts.resolver;
    let in_effect = |id: &str| {
        resolver.rule_associations.iter().flatten().any(|one| {
            one.resolver_rule_id.as_deref() == Some(id)
                && one.vpc_id.as_deref() == Some(vpc)
                && one.status.as_deref().is_none_or(|status| status.eq_ignore_ascii_case("COMPLETE"))
        })
    };
    let mut told = Vec::new();
    let rules = resolver.rules.iter().flatten().filter(|rule| in_effect(&rule.id));
    // The most specific rule decides; a `SYSTEM` rule hands the name back to the VPC's own resolver
    // (<https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/resolver-overview-forward-vpc-to-network-domain-name-matches.html>).
    let closest = rules
        .filter_map(|rule| {
            let domain = domain_of(rule.domain_name.as_deref()?);
            is_under(&host, &domain).then_some((domain.len(), domain, rule))
        })
        .max_by_key(|(length, ..)| *length);
    if let Some((_, domain, rule)) = closest.filter(|(.., rule)| is(rule.rule_type.as_deref(), "FORWARD")) {
        let exact = domain == host;
        told.push(
            Told::new(
                if exact { Confidence::Likely } else { Confidence::Possible },
                format!(
                    "The resolver rule {} forwards {} to other servers, and is in effect in {}: the endpoint's name {} lies under it.",
                    clean(&rule.id),
                    if domain.is_empty() { "every name".to_owned() } else { clean(&domain) },
                    clean(vpc),
                    clean(&host)
                ),
            )
            .and("Unless the private zone of the endpoint is more specific, or those servers ask the VPC's resolver, hosts get the public addresses or none. The name asked of 169.254.169.253 from a host of the VPC decides.")
            .severity(Severity::Warning)
            .setting(format!("DomainName of {} = {}", clean(&rule.id), clean(&domain)))
            .fix(format!(
                "aws route53resolver disassociate-resolver-rule --vpc-id {} --resolver-rule-id {} --region {}",
                shell(vpc),
                shell(&rule.id),
                words::region_and_name(view).0
            )),
        );
    }
    for zone in resolver.hosted_zones.iter().flatten() {
        let owned_by_service = zone.owner.as_ref().is_some_and(|owner| owner.owning_service.is_some());
        let domain = domain_of(zone.name.as_deref().unwrap_or_default());
        if owned_by_service || domain.is_empty() || !is_under(&host, &domain) {
            continue;
        }
        told.push(
            Told::new(
                if domain == host { Confidence::Likely } else { Confidence::Possible },
                format!(
                    "The private hosted zone {} ({}) is in effect in the VPC, and the endpoint's name {} lies under it.",
                    clean(&domain),
                    clean(&zone.hosted_zone_id),
                    clean(&host)
                ),
            )
            .and("Where it is the closest zone and lacks the record, the name does not exist for hosts of the VPC: nothing falls through to the next. The name asked of 169.254.169.253 from a host of the VPC decides.")
            .severity(Severity::Warning)
            .setting(format!("VPC association of {}", clean(&zone.hosted_zone_id)))
            .fix(format!(
                "aws route53 disassociate-vpc-from-hosted-zone --hosted-zone-id {} --vpc VPCRegion={},VPCId={}",
                shell(&zone.hosted_zone_id),
                words::region_and_name(view).0,
                shell(vpc)
            )),
        );
    }
    told
}

/// Cluster subnets with few free addresses.
pub(in crate::causes) fn short_of_addresses(view: &ConfigurationView<'_>) -> Vec<Told> {
    let subnets = view.subnets();
    let total = view.config().map_or(0, |config| config.subnet_ids.len());
    let mut short: Vec<(u64, &str)> = subnets
        .iter()
        .filter_map(|subnet| Some((subnet.available_ip_address_count?, subnet.subnet_id.as_str())))
        .filter(|(free, _)| *free < ADVISED_FREE)
        .collect();
    short.sort_unstable();
    let Some((fewest, _)) = short.first().copied() else { return Vec::new() };
    let refused = fewest < NEEDED_FREE;
    let effect = if refused {
        "Today's endpoint works; the next update fails with IpNotAvailable or InsufficientFreeAddresses."
    } else {
        "An update needs 6 and works today; 16 are advised."
    };
    let enough: Vec<String> = subnets
        .iter()
        .filter(|subnet| subnet.available_ip_address_count.is_some_and(|free| free >= ADVISED_FREE))
        .map(|subnet| shell(&subnet.subnet_id))
        .collect();
    let (region, name) = words::region_and_name(view);
    let mut told = Told::new(
        Confidence::Certain,
        format!(
            "{} of {} have fewer than {ADVISED_FREE} free addresses: {}. {effect}",
            short.len(),
            counted(total, "cluster subnet", "cluster subnets"),
            listed(short.iter().map(|(free, id)| format!("{id} ({free} free)")))
        ),
    )
    .severity(if view.planned && refused { Severity::Error } else { Severity::Warning })
    .setting(format!("AvailableIpAddressCount of {}", listed(short.iter().map(|(_, id)| *id))));
    // At least two zones are needed, so fewer than two subnets are no list to write.
    let (note, list) = if enough.len() >= 2 {
        ("these have room", enough.join(","))
    } else {
        ("name subnets with room", "'<subnet 1>,<subnet 2>'".to_owned())
    };
    told = told.fix(format!(
        "# Free addresses in these subnets, or name others, in two zones at least; {note}:\naws eks update-cluster-config --region {region} --name {name} --resources-vpc-config subnetIds={list}"
    ));
    vec![told]
}

/// The cluster security group lacks rules that nodes and control plane need.
pub(in crate::causes) fn group_rules_insufficient(view: &ConfigurationView<'_>) -> Vec<Told> {
    let Some(id) = view.config().and_then(|config| config.cluster_security_group_id.as_deref()) else {
        return Vec::new();
    };
    let Some(group) = view.group(id) else { return Vec::new() };
    let names_itself = |permission: &Permission| {
        permission.user_id_group_pairs.iter().any(|pair| pair.group_id.as_deref() == Some(id))
    };
    let mut told = Vec::new();
    // Rules that are left out are not "no rules": nothing is said of them.
    if let Some(rules) = &group.ip_permissions
        && !rules.iter().any(|one| one.ip_protocol.as_deref() == Some("-1") && names_itself(one))
    {
        told.push(
            Told::new(
                Confidence::Certain,
                format!(
                    "The cluster security group {} has no ingress rule for all traffic from itself, in {}.",
                    clean(id),
                    counted(rules.len(), "rule", "rules")
                ),
            )
            .and("Nodes and control plane reach each other by that rule. EKS restores it on the next update of the cluster.")
            .setting(format!("IpPermissions of {} (clusterSecurityGroupId)", clean(id)))
            .fix(words::ec2(
                view,
                &format!(
                    "authorize-security-group-ingress --group-id {} --ip-permissions {}",
                    shell(id),
                    shell(&format!("IpProtocol=-1,UserIdGroupPairs=[{{GroupId={id}}}]"))
                ),
            )),
        );
    }
    let Some(egress) = &group.ip_permissions_egress else { return told };
    let vpc = view.vpc_id().and_then(|id| view.vpc(id)).map(|vpc| set_of(&ipv4_ranges(vpc)));
    // Without the VPC's ranges, a rule by addresses may or may not cover its hosts.
    let allows = |protocols: &[&str], port: i64| {
        let rules = || egress.iter().filter(move |permission| speaks_of(permission, protocols, port));
        if rules().any(names_itself) {
            return Some(true);
        }
        let named: Vec<Cidr> =
            rules().flat_map(|rule| rule.ip_ranges.iter().filter_map(|range| range.cidr_ip.clone())).collect();
        let by_lists = rules().any(|rule| !rule.prefix_list_ids.is_empty());
        match &vpc {
            _ if named.iter().any(|cidr| cidr.net.prefix_len() == 0) => Some(true),
            Some(vpc) if !vpc.is_empty() && set_of(&named).is_superset(vpc) => Some(true),
            _ if by_lists => None,
            None if !named.is_empty() => None,
            _ => Some(false),
        }
    };
    let needed: [(&str, &[&str], i64, &str); 4] = [
        ("tcp 443", &["tcp", "6"], 443, "tcp"),
        ("tcp 10250", &["tcp", "6"], 10250, "tcp"),
        ("tcp 53", &["tcp", "6"], 53, "tcp"),
        ("udp 53", &["udp", "17"], 53, "udp"),
    ];
    let missing: Vec<_> =
        needed.into_iter().filter(|(_, names, port, _)| allows(names, *port) == Some(false)).collect();
    if !missing.is_empty() {
        let commands: Vec<String> = missing
            .iter()
            .map(|(_, _, port, protocol)| {
                words::ec2(
                    view,
                    &format!(
                        "authorize-security-group-egress --group-id {} --ip-permissions {}",
                        shell(id),
                        shell(&format!(
                            "IpProtocol={protocol},FromPort={port},ToPort={port},UserIdGroupPairs=[{{GroupId={id}}}]"
                        ))
                    ),
                )
            })
            .collect();
        told.push(
            Told::new(
                Confidence::Certain,
                format!(
                    "The restricted egress of the cluster security group {} lacks {} of 4 that nodes and control plane need towards each other: {}.",
                    clean(id),
                    missing.len(),
                    listed(missing.iter().map(|(name, ..)| *name))
                ),
            )
            .setting(format!("IpPermissionsEgress of {} (clusterSecurityGroupId)", clean(id)))
            .fix(commands.join("\n")),
        );
    }
    told
}

/// Peering connections of the cluster's VPC that are not active, or that only one side has routes for.
pub(in crate::causes) fn peering_unusable(view: &ConfigurationView<'_>) -> Vec<Told> {
    let Some(vpc) = private_vpc(view) else { return Vec::new() };
    let mut told = Vec::new();
    for peering in view.facts.network.peering_connections.iter().flatten() {
        let side = |info: &Option<PeeringVpc>| info.as_ref().and_then(|info| info.vpc_id.clone()).unwrap_or_default();
        let (requester, accepter) = (side(&peering.requester_vpc_info), side(&peering.accepter_vpc_info));
        let (own, peer) = if requester == vpc {
            (&peering.requester_vpc_info, &peering.accepter_vpc_info)
        } else if accepter == vpc {
            (&peering.accepter_vpc_info, &peering.requester_vpc_info)
        } else {
            continue;
        };
        let Some(peer) = peer else { continue };
        told.extend(one_peering(view, vpc, peering, own.as_ref(), peer));
    }
    told
}

fn one_peering(
    view: &ConfigurationView<'_>,
    vpc: &str,
    peering: &PeeringConnection,
    own: Option<&PeeringVpc>,
    peer: &PeeringVpc,
) -> Option<Told> {
    let id = &peering.vpc_peering_connection_id;
    let peer_id = peer.vpc_id.as_deref().unwrap_or_default();
    let peer_ranges = peering_ranges(peer);
    let severity = if is_intended(view, &peer_ranges) { Severity::Error } else { Severity::Warning };
    let through = |table: &&RouteTable| {
        table.routes.iter().flatten().any(|route| route.vpc_peering_connection_id.as_deref() == Some(id.as_str()))
    };
    let tables_of = |id: &str| -> Vec<&RouteTable> {
        view.facts.network.route_tables.iter().flatten().filter(|table| table.vpc_id == id).collect()
    };
    let own_tables: Vec<&RouteTable> =
        view.control_plane_subnets().into_iter().filter_map(|subnet| view.route_table(subnet)).collect();
    let peer_tables = tables_of(peer_id);
    let (own_side, peer_side) = (own_tables.iter().any(through), peer_tables.iter().any(through));
    let code = peering.status.as_ref().and_then(|status| status.code.as_deref());
    let peer_word = format!("{}{}", clean(peer_id), region_note(view, peer));
    if let Some(code) = code.filter(|code| !code.eq_ignore_ascii_case("active")) {
        // A connection that is gone is still listed for a while; it matters while a route points at it.
        let used = tables_of(vpc).iter().any(through) || peer_side;
        let pending = ["pending-acceptance", "initiating-request", "provisioning"]
            .iter()
            .any(|word| code.eq_ignore_ascii_case(word));
        if !used && !pending {
            return None;
        }
        let message = peering
            .status
            .as_ref()
            .and_then(|status| status.message.as_deref())
            .map(|message| format!(" ({})", clean(message)))
            .unwrap_or_default();
        let told = Told::new(
            Confidence::Likely,
            format!(
                "The peering connection {} to {peer_word} is {}{message}, not active: nothing passes between the two.",
                clean(id),
                clean(code)
            ),
        )
        .and(if used { "Route tables lead to it all the same." } else { "No route leads to it yet." })
        .severity(severity)
        .setting(format!("Status.Code of {} = {}", clean(id), clean(code)));
        return Some(if pending {
            told.fix(words::ec2(
                view,
                &format!("accept-vpc-peering-connection --vpc-peering-connection-id {}", shell(id)),
            ))
        } else {
            told.fix("# Create the peering connection anew and let the routes point at the new one.")
        });
    }
    // Active: routes on one side only. The peer's tables are known only where the facts hold them.
    if code.is_none() || own_side == peer_side || peer_tables.is_empty() || own_tables.is_empty() {
        return None;
    }
    let (who, table, destination) = if own_side {
        let main = peer_tables.iter().find(|table| table.associations.iter().any(|one| one.main == Some(true)));
        let range = own.map(peering_ranges).unwrap_or_default();
        (format!("no route table of {peer_word}"), main.or(peer_tables.first())?.route_table_id.clone(), range)
    } else {
        (
            format!(
                "none of the {} of the control plane's subnets",
                counted(own_tables.len(), "route table", "route tables")
            ),
            own_tables.first()?.route_table_id.clone(),
            peer_ranges,
        )
    };
    let commands: Vec<String> = destination
        .iter()
        .filter(|range| range.net.addr().is_ipv4())
        .take(MOST_ROUTES)
        .map(|range| {
            words::ec2(
                view,
                &format!(
                    "create-route --route-table-id {} --destination-cidr-block {} --vpc-peering-connection-id {}",
                    shell(&table),
                    range.net,
                    shell(id)
                ),
            )
        })
        .collect();
    Some(
        Told::new(
            Confidence::Likely,
            format!(
                "The peering connection {} to {peer_word} is active, but only one side has a route to it: {who} has one.",
                clean(id)
            ),
        )
        .and("Packets get through one way and no reply comes back.")
        .severity(severity)
        .setting(format!("routes to {}", clean(id)))
        .fix(commands.join("\n")),
    )
}

/// Transit-gateway attachments that are not available, or that lack a zone of the control plane.
pub(in crate::causes) fn attachment_unusable(view: &ConfigurationView<'_>) -> Vec<Told> {
    let Some(vpc) = private_vpc(view) else { return Vec::new() };
    let attachments = view.facts.network.transit_gateway_vpc_attachments.as_deref().unwrap_or_default();
    let of_cluster = attachments.iter().filter(|one| one.vpc_id.as_deref() == Some(vpc));
    let gateways: Vec<&str> = of_cluster.filter_map(|one| one.transit_gateway_id.as_deref()).collect();
    let mut told = Vec::new();
    for attachment in attachments {
        let (Some(gateway), Some(attached)) = (&attachment.transit_gateway_id, &attachment.vpc_id) else { continue };
        if !gateways.contains(&gateway.as_str()) {
            continue;
        }
        let id = &attachment.transit_gateway_attachment_id;
        let tables = view.facts.network.route_tables.iter().flatten().filter(|table| table.vpc_id == *attached);
        let leads = |table: &RouteTable| {
            table.routes.iter().flatten().any(|route| route.transit_gateway_id.as_ref() == Some(gateway))
        };
        let used = tables.clone().any(leads);
        let state = attachment.state.as_deref();
        let ranges = view.vpc(attached).map(ipv4_ranges).unwrap_or_default();
        let intended = is_intended(view, &ranges) || attached == vpc && view.intent.is_some();
        let severity = if intended { Severity::Error } else { Severity::Warning };
        if let Some(state) = state.filter(|state| !state.eq_ignore_ascii_case("available")) {
            let waits = ["pendingAcceptance", "pending", "initiating", "initiatingRequest"]
                .iter()
                .any(|word| state.eq_ignore_ascii_case(word));
            if !used && !waits {
                continue;
            }
            let one = Told::new(
                Confidence::Likely,
                format!(
                    "The attachment {} of {} to {} is {}, not available: nothing passes by it.",
                    clean(id),
                    clean(attached),
                    clean(gateway),
                    clean(state)
                ),
            )
            .and(if used {
                "Route tables of that VPC lead to the transit gateway all the same."
            } else {
                "No route leads to it yet."
            })
            .severity(severity)
            .setting(format!("State of {} = {}", clean(id), clean(state)));
            told.push(if state.eq_ignore_ascii_case("pendingAcceptance") {
                one.fix(words::ec2(
                    view,
                    &format!("accept-transit-gateway-vpc-attachment --transit-gateway-attachment-id {}", shell(id)),
                ))
            } else {
                one.fix(words::ec2(
                    view,
                    &format!("describe-transit-gateway-vpc-attachments --transit-gateway-attachment-ids {}", shell(id)),
                ))
            });
        } else if attached == vpc && state.is_some() {
            told.extend(zones_lacking(view, attachment, gateway));
        }
    }
    told
}

/// Zones of the control plane's subnets that an attachment does not serve although their tables lead to it
/// (<https://docs.aws.amazon.com/vpc/latest/tgw/tgw-vpc-attachments.html>).
fn zones_lacking(
    view: &ConfigurationView<'_>,
    attachment: &TransitGatewayVpcAttachment,
    gateway: &str,
) -> Option<Told> {
    let zone = |id: &str| view.subnet(id).and_then(|subnet| subnet.availability_zone.as_deref());
    let served: Option<Vec<&str>> = attachment.subnet_ids.iter().map(|id| zone(id)).collect();
    let served = served.filter(|served| !served.is_empty())?;
    let subnets = view.control_plane_subnets();
    let lacking: Vec<(&str, &str)> = subnets
        .iter()
        .filter(|subnet| {
            view.route_table(subnet).is_some_and(|table| {
                table.routes.iter().flatten().any(|route| route.transit_gateway_id.as_deref() == Some(gateway))
            })
        })
        .filter_map(|subnet| Some((subnet.availability_zone.as_deref()?, subnet.subnet_id.as_str())))
        .filter(|(zone, _)| !served.contains(zone))
        .collect();
    if lacking.is_empty() {
        return None;
    }
    let id = &attachment.transit_gateway_attachment_id;
    let add: Vec<String> = lacking.iter().map(|(_, subnet)| shell(subnet)).collect();
    Some(
        Told::new(
            Confidence::Likely,
            format!(
                "The attachment {} serves {}, and {} of {} of the control plane lie elsewhere: {}.",
                clean(id),
                listed(&served),
                lacking.len(),
                counted(subnets.len(), "subnet", "subnets"),
                listed(lacking.iter().map(|(zone, subnet)| format!("{subnet} ({zone})")))
            ),
        )
        .and("Replies from those zones do not enter the transit gateway, so that some addresses of the endpoint answer and others do not.")
        .severity(Severity::Warning)
        .setting(format!("SubnetIds of {}", clean(id)))
        .fix(words::ec2(
            view,
            &format!(
                "modify-transit-gateway-vpc-attachment --transit-gateway-attachment-id {} --add-subnet-ids {}",
                shell(id),
                add.join(" ")
            ),
        )),
    )
}

/// Connected networks whose ranges overlap the cluster's VPC.
pub(in crate::causes) fn overlaps(view: &ConfigurationView<'_>) -> Vec<Told> {
    let Some(vpc) = private_vpc(view).and_then(|id| view.vpc(id)) else { return Vec::new() };
    let own = set_of(&ipv4_ranges(vpc));
    let network = &view.facts.network;
    let mut others: Vec<(String, Vec<Cidr>)> = Vec::new();
    for peering in network.peering_connections.iter().flatten() {
        let active = peering.status.as_ref().is_some_and(|status| is(status.code.as_deref(), "active"));
        let sides = [&peering.requester_vpc_info, &peering.accepter_vpc_info];
        let touches =
            sides.iter().any(|side| side.as_ref().is_some_and(|side| side.vpc_id.as_ref() == Some(&vpc.vpc_id)));
        if !active || !touches {
            continue;
        }
        for side in sides.into_iter().flatten().filter(|side| side.vpc_id.as_ref() != Some(&vpc.vpc_id)) {
            let name = format!(
                "{} (peering connection {})",
                side.vpc_id.as_deref().unwrap_or("a VPC"),
                peering.vpc_peering_connection_id
            );
            others.push((name, peering_ranges(side)));
        }
    }
    let attachments = network.transit_gateway_vpc_attachments.as_deref().unwrap_or_default();
    let gateways: Vec<&String> = attachments
        .iter()
        .filter(|one| one.vpc_id.as_ref() == Some(&vpc.vpc_id))
        .filter_map(|one| one.transit_gateway_id.as_ref())
        .collect();
    for attachment in attachments {
        let (Some(gateway), Some(attached)) = (&attachment.transit_gateway_id, &attachment.vpc_id) else { continue };
        if *attached == vpc.vpc_id || !gateways.contains(&gateway) || !is(attachment.state.as_deref(), "available") {
            continue;
        }
        if let Some(other) = view.vpc(attached) {
            others.push((format!("{attached} (transit gateway {gateway})"), ipv4_ranges(other)));
        }
    }
    if let Some(remote) = view.eks().and_then(|cluster| cluster.remote_network_config.as_ref()) {
        others.push(("remoteNodeNetworks".to_owned(), limits::ranges_of(&remote.remote_node_networks)));
        others.push(("remotePodNetworks".to_owned(), limits::ranges_of(&remote.remote_pod_networks)));
    }
    let mut told = Vec::new();
    for (name, ranges) in others {
        let common = set_of(&ranges).intersection(&own);
        if common.is_empty() {
            continue;
        }
        let severity =
            if name.starts_with("remote") || is_intended(view, &ranges) { Severity::Error } else { Severity::Warning };
        told.push(
            Told::new(
                Confidence::Likely,
                format!(
                    "{} overlaps {} in {}: {}.",
                    clean(&name),
                    clean(&vpc.vpc_id),
                    words::addresses(common.count()),
                    words::ranges(&common.cover())
                ),
            )
            .and("Replies to those addresses stay inside the cluster's VPC, because its local route wins.")
            .severity(severity)
            .setting(format!("CidrBlockAssociationSet of {} = {}", clean(&vpc.vpc_id), words::ranges(&own.cover())))
            .fix(format!(
                "# Give one side another range, or translate the client's range (NAT) before it enters the VPC.\n{}",
                words::ec2(
                    view,
                    &format!("describe-vpcs --vpc-ids {} --query 'Vpcs[].CidrBlockAssociationSet'", shell(&vpc.vpc_id))
                )
            )),
        );
    }
    told
}

/// The DNS servers of a VPC's DHCP options; `None` when the facts do not say. `default` stands for no options at all
/// (<https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_AssociateDhcpOptions.html>).
pub(super) fn domain_name_servers(view: &ConfigurationView<'_>, vpc: &Vpc) -> Option<Vec<String>> {
    let id = vpc.dhcp_options_id.as_deref()?;
    if id == "default" {
        return Some(Vec::new());
    }
    let options = view.facts.network.dhcp_options.as_ref()?.iter().find(|options| options.dhcp_options_id == id)?;
    let named = options.dhcp_configurations.iter().filter(|one| one.key == "domain-name-servers");
    Some(named.flat_map(|one| one.values.iter().map(|value| value.value.clone())).collect())
}

/// The IPv4 ranges of a VPC that are in effect.
pub(super) fn ipv4_ranges(vpc: &Vpc) -> Vec<Cidr> {
    let in_effect = vpc
        .cidr_block_association_set
        .iter()
        .filter(|one| one.cidr_block_state.as_ref().is_none_or(|state| is(state.state.as_deref(), "associated")))
        .filter_map(|one| one.cidr_block.clone());
    let mut ranges: Vec<Cidr> = vpc.cidr_block.iter().cloned().chain(in_effect).collect();
    let mut seen = Vec::new();
    ranges.retain(|range| {
        let new = !seen.contains(&range.net);
        seen.push(range.net);
        new
    });
    ranges
}

/// The cluster's VPC while private access is known to be on: only then does its network carry the endpoint.
fn private_vpc<'a>(view: &ConfigurationView<'a>) -> Option<&'a str> {
    view.vpc_id().filter(|_| view.private_access() == Some(true))
}

/// Whether the intent lets in anything of these ranges by the private path.
fn is_intended(view: &ConfigurationView<'_>, ranges: &[Cidr]) -> bool {
    let access = view.intent.and_then(|intent| intent.private_access.as_ref()).filter(|access| access.enabled);
    access
        .and_then(|access| access.allow.as_ref())
        .is_some_and(|allow| AddressSet::from_nets(allow).overlaps(&set_of(ranges)))
}

pub(super) fn peering_ranges(side: &PeeringVpc) -> Vec<Cidr> {
    let mut ranges: Vec<Cidr> = side.cidr_block_set.iter().filter_map(|one| one.cidr_block.clone()).collect();
    if ranges.is_empty() {
        ranges.extend(side.cidr_block.clone());
    }
    ranges
}

/// ` (eu-central-1)` for a peer in another region.
fn region_note(view: &ConfigurationView<'_>, peer: &PeeringVpc) -> String {
    let own = view.eks().and_then(eks::Cluster::region);
    match peer.region.as_deref() {
        Some(region) if Some(region) != own => format!(" ({})", clean(region)),
        _ => String::new(),
    }
}

/// The addresses of the VPC's own resolver: base of the primary range plus two, and the fixed ones
/// (<https://docs.aws.amazon.com/vpc/latest/userguide/AmazonDNS-concepts.html>).
fn resolver_addresses(vpc: &Vpc) -> Vec<String> {
    let mut addresses = Vec::new();
    for range in ipv4_ranges(vpc) {
        if let std::net::IpAddr::V4(base) = range.net.network() {
            addresses.push(std::net::Ipv4Addr::from_bits(base.to_bits().wrapping_add(2)).to_string());
        }
    }
    addresses.push("169.254.169.253".to_owned());
    addresses.push("fd00:ec2::253".to_owned());
    addresses
}

/// The host of an endpoint's URL, lower case.
fn host_of(endpoint: &str) -> Option<String> {
    let rest = endpoint.split_once("://").map_or(endpoint, |(_, rest)| rest);
    let host = rest.split(['/', ':']).next()?.trim_end_matches('.').to_ascii_lowercase();
    (!host.is_empty()).then_some(host)
}

fn domain_of(text: &str) -> String {
    text.trim_end_matches('.').to_ascii_lowercase()
}

/// Whether a host is the domain or lies under it; the empty domain holds every host.
fn is_under(host: &str, domain: &str) -> bool {
    domain.is_empty() || host.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// Free addresses that an update needs, and that are advised
/// (<https://docs.aws.amazon.com/eks/latest/userguide/network-reqs.html>).
const NEEDED_FREE: u64 = 6;
const ADVISED_FREE: u64 = 16;
const MOST_ROUTES: usize = 8;

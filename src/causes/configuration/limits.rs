//! What the providers refuse by number, and what EKS refuses: entries, networks.

use ipnet::IpNet;

use super::{
    super::Told,
    ConfigurationView,
    allow_lists::{PublicList, set_of, texts, update_list},
    ranges,
    words::{counted, listed, ranges as listed_ranges},
};
use crate::{
    facts::{Cidr, eks::RemoteNetwork},
    model::set::AddressSet,
    report::{Confidence, Provider, Severity},
};

/// Entries of the public list that EKS refuses, or that only some of its sources accept.
pub(in crate::causes) fn cidr_not_accepted(view: &ConfigurationView<'_>) -> Vec<Told> {
    let Some(list) = PublicList::of(view) else { return Vec::new() };
    let (mut refused, mut doubtful) = (Vec::new(), Vec::new());
    let mut bad = Vec::new();
    for entry in list.entries.iter() {
        let inside = |ranges: &[&str]| {
            ranges.iter().filter_map(|text| text.parse::<IpNet>().ok()).any(|range| range.contains(&entry.net))
        };
        if inside(REFUSED) {
            refused.push(format!("{} is private, shared, loopback, link-local or multicast", entry.text));
            bad.push(entry.net);
        } else if entry.net.addr().is_ipv6() && list.takes_ipv6 == Some(false) {
            refused.push(format!("{} is IPv6, and the endpoint of this cluster has IPv4 only", entry.text));
            bad.push(entry.net);
        } else if inside(DOUBTFUL) {
            doubtful.push(format!("{} is reserved", entry.text));
            bad.push(entry.net);
        } else if entry.has_host_bits() {
            doubtful.push(format!("{} has host bits set; its canonical form is {}", entry.text, entry.net));
        }
    }
    let keep = texts(list.entries.iter().map(|entry| entry.net).filter(|net| !bad.contains(net)));
    let fix = if keep.is_empty() {
        "# Nothing of the list would remain, and an empty list means everybody: list the public egress addresses instead.".to_owned()
    } else {
        format!("# The list without these entries, in canonical form:\n{}", update_list(view, &keep))
    };
    let mut told = Vec::new();
    for (entries, severity, sentence) in [
        (refused, view.refused(), "EKS refuses such entries, and no request from them arrives over the internet"),
        (doubtful, Severity::Warning, "EKS may refuse them; what it refuses beyond private ranges is not published"),
    ] {
        if !entries.is_empty() {
            told.push(
                Told::new(
                    if severity == Severity::Error { Confidence::Certain } else { Confidence::Likely },
                    format!(
                        "{} of {} of `publicAccessCidrs`: {}.",
                        entries.len(),
                        counted(list.entries.len(), "entry", "entries"),
                        listed(&entries)
                    ),
                )
                .and(format!("{sentence}."))
                .severity(severity)
                .setting(list.setting())
                .fix(fix.clone()),
            );
        }
    }
    told
}

/// More entries than the provider takes.
pub(in crate::causes) fn over_quota(view: &ConfigurationView<'_>) -> Vec<Told> {
    let Some((list, count)) = counted_list(view).filter(|(list, count)| *count > list.limit) else { return Vec::new() };
    let limit = list.limit;
    let minimal = set_of(&list.entries).cover();
    let fits = minimal.len() + list.tags.len() <= limit;
    let fix = if fits {
        format!(
            "# The same sources in {} entries:\n{}",
            minimal.len(),
            update_list(view, &texts(minimal.iter().copied()))
        )
    } else {
        update_list(view, &list.texts())
    };
    let why = match list.kind.provider {
        Provider::Aks if limit < ranges::MOST_WITH_VNET_INTEGRATION => ", or 2,000 with API server VNet integration",
        Provider::Aks => "",
        _ => ", which cannot be raised",
    };
    vec![
        Told::new(
            Confidence::Certain,
            format!("{} has {count} entries, and {} takes {limit}{why}.", list.kind.name, list.kind.who),
        )
        .and(format!(
            "The shortest list of the same sources has {}{}: {}.",
            counted(minimal.len(), "entry", "entries"),
            if fits { ", which fits" } else { ", which does not fit either" },
            listed_ranges(&minimal)
        ))
        .setting(format!("{} ({count} of {limit} entries)", list.kind.setting))
        .fix(fix),
    ]
}

/// Nearly as many entries as the provider takes.
pub(in crate::causes) fn near_limit(view: &ConfigurationView<'_>) -> Vec<Told> {
    let near = |count: usize, limit: usize| count * 10 >= limit * 9 && count <= limit;
    let Some((list, count)) = counted_list(view).filter(|(list, count)| near(*count, list.limit)) else {
        return Vec::new();
    };
    let limit = list.limit;
    let minimal = set_of(&list.entries).cover();
    let shortest = minimal.len() + list.tags.len();
    let saves = count.saturating_sub(shortest);
    let told = Told::new(
        Confidence::Certain,
        format!(
            "{} has {count} of {limit} entries: {} left. The shortest list of the same sources has {shortest}: {} left.",
            list.kind.name,
            limit - count,
            limit.saturating_sub(shortest)
        ),
    )
    .setting(format!("{} ({count} of {limit} entries)", list.kind.setting));
    vec![if saves > 0 && !minimal.iter().any(|net| net.prefix_len() == 0) {
        told.fix(update_list(view, &texts(minimal)))
    } else {
        told.fix("# No shorter list lets the same sources in: let sources share an egress address, or use the private endpoint for some.")
    }]
}

/// Networks that EKS refuses.
pub(in crate::causes) fn network_invalid(view: &ConfigurationView<'_>) -> Vec<Told> {
    let Some(config) = view.config() else { return Vec::new() };
    let mut problems = Vec::new();
    let mut settings = Vec::new();
    let subnets = view.subnets();
    if subnets.len() == config.subnet_ids.len() && !subnets.is_empty() {
        let zones: Vec<Option<&str>> = subnets
            .iter()
            .map(|subnet| subnet.availability_zone_id.as_deref().or(subnet.availability_zone.as_deref()))
            .collect();
        if zones.iter().all(Option::is_some) && zones.iter().all(|zone| zone == &zones[0]) {
            problems.push(format!(
                "{} in 1 availability zone ({}); at least 2 zones are needed",
                counted(subnets.len(), "cluster subnet lies", "cluster subnets lie"),
                zones[0].unwrap_or_default()
            ));
            settings.push("subnetIds");
        }
    }
    for subnet in &subnets {
        if let Some(zone) = subnet.availability_zone_id.as_deref().filter(|zone| EXCLUDED_ZONES.contains(zone)) {
            problems.push(format!("{} lies in {zone}, where EKS has no control plane", subnet.subnet_id));
            settings.push("subnetIds");
        }
    }
    if config.security_group_ids.len() > MOST_GROUPS {
        problems.push(format!(
            "securityGroupIds names {} groups; at most {MOST_GROUPS} are accepted",
            config.security_group_ids.len()
        ));
        settings.push("securityGroupIds");
    }
    let remote = remote_problems(view);
    if !remote.is_empty() {
        settings.push("remoteNetworkConfig");
        problems.extend(remote);
    }
    let mut told = Vec::new();
    if !problems.is_empty() {
        settings.dedup();
        let mut one = Told { confidence: Some(Confidence::Certain), ..Told::default() }.severity(view.refused());
        for problem in problems.iter().take(MOST_PROBLEMS) {
            one = one.and(format!("{}.", super::super::evidence::clean(problem)));
        }
        if problems.len() > MOST_PROBLEMS {
            one = one.and(format!("And {} more.", problems.len() - MOST_PROBLEMS));
        }
        if !view.planned {
            one = one.and("EKS refuses this in a new cluster or a change of these fields.");
        }
        told.push(one.setting(settings.join(", ")));
    }
    if view.public_access() == Some(true) && view.private_access() == Some(true) && has_remote_nodes(view) {
        told.push(
            Told::new(
                Confidence::Likely,
                "The cluster has hybrid nodes, and public and private access are both on: the nodes get the public addresses from DNS outside the VPC, and go that way.",
            )
            .and("AWS advises one of the two for hybrid nodes.")
            .severity(Severity::Warning)
            .setting("remoteNetworkConfig.remoteNodeNetworks, endpointPublicAccess = true, endpointPrivateAccess = true")
            .fix("# Choose the endpoint that the hybrid nodes are to use, and turn the other off once they use it."),
        );
    }
    told
}

fn remote_problems(view: &ConfigurationView<'_>) -> Vec<String> {
    let Some(cluster) = view.eks() else { return Vec::new() };
    let Some(remote) = &cluster.remote_network_config else { return Vec::new() };
    let nodes = ranges_of(&remote.remote_node_networks);
    let pods = ranges_of(&remote.remote_pod_networks);
    let mut problems = Vec::new();
    if nodes.is_empty() && pods.is_empty() {
        return problems;
    }
    let network = cluster.kubernetes_network_config.as_ref();
    if network.and_then(|network| network.ip_family.as_deref()) == Some("ipv6") {
        problems.push("Remote networks need a cluster of the IPv4 family, and this one is of IPv6".to_owned());
    }
    let rfc_1918: Vec<IpNet> =
        ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"].iter().filter_map(|text| text.parse().ok()).collect();
    let vpc: Vec<Cidr> = view.vpc_id().and_then(|id| view.vpc(id)).map(super::network::ipv4_ranges).unwrap_or_default();
    let service: Vec<Cidr> = network.and_then(|network| network.service_ipv4_cidr.clone()).into_iter().collect();
    for (name, list) in [("remoteNodeNetworks", &nodes), ("remotePodNetworks", &pods)] {
        if list.len() > MOST_REMOTE {
            problems.push(format!("{name} holds {} ranges; at most {MOST_REMOTE} are accepted", list.len()));
        }
        for range in list {
            let net = range.net;
            if net.addr().is_ipv6() {
                problems.push(format!("{name}: {} is IPv6; only IPv4 is accepted", range.text));
                continue;
            }
            if net.prefix_len() < 8 {
                problems.push(format!("{name}: {} is wider than a /8", range.text));
            } else if !rfc_1918.iter().any(|private| private.contains(&net)) {
                problems.push(format!("{name}: {} is not in 10/8, 172.16/12 or 192.168/16 (RFC 1918)", range.text));
            }
            let alone = AddressSet::from_nets([&net]);
            for (what, others) in [("the VPC's", &vpc), ("the service range", &service)] {
                for other in others.iter().filter(|other| alone.overlaps(&set_of(&[(*other).clone()]))) {
                    problems.push(format!("{name}: {} overlaps {what} {}", range.text, other.net));
                }
            }
        }
    }
    for node in &nodes {
        for pod in pods.iter().filter(|pod| set_of(&[(*pod).clone()]).overlaps(&set_of(std::slice::from_ref(node)))) {
            problems.push(format!("remoteNodeNetworks {} overlaps remotePodNetworks {}", node.text, pod.text));
        }
    }
    problems
}

pub(super) fn ranges_of(networks: &[RemoteNetwork]) -> Vec<Cidr> {
    networks.iter().flat_map(|network| network.cidrs.iter().cloned()).collect()
}

fn has_remote_nodes(view: &ConfigurationView<'_>) -> bool {
    let remote = view.eks().and_then(|cluster| cluster.remote_network_config.as_ref());
    remote.is_some_and(|remote| !ranges_of(&remote.remote_node_networks).is_empty())
}

/// The list with the number of its canonical entries.
fn counted_list<'a>(view: &ConfigurationView<'a>) -> Option<(PublicList<'a>, usize)> {
    let list = PublicList::of(view)?;
    let count = list.count();
    Some((list, count))
}

/// Refused by EKS: private, shared, loopback, link-local and multicast addresses
/// (<https://docs.aws.amazon.com/eks/latest/userguide/cluster-endpoint.html>: reserved addresses may not be listed).
const REFUSED: &[&str] = &[
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "224.0.0.0/4",
    "::1/128",
    "fc00::/7",
    "fe80::/10",
    "ff00::/8",
];
/// Reserved as well; whether EKS refuses them is not published. Documentation ranges have a code of their own.
const DOUBTFUL: &[&str] =
    &["240.0.0.0/4", "0.0.0.0/8", "192.0.0.0/24", "198.18.0.0/15", "192.88.99.0/24", "100::/64", "2001:2::/48"];
/// Zones without EKS control planes (<https://docs.aws.amazon.com/eks/latest/userguide/network-reqs.html>).
const EXCLUDED_ZONES: &[&str] = &["use1-az3", "usw1-az2", "cac1-az3"];
/// Groups of one's own (<https://docs.aws.amazon.com/eks/latest/userguide/sec-group-reqs.html>).
const MOST_GROUPS: usize = 4;
/// Ranges a list (<https://docs.aws.amazon.com/eks/latest/userguide/hybrid-nodes-networking.html>).
const MOST_REMOTE: usize = 15;
const MOST_PROBLEMS: usize = 16;

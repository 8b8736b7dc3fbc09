//! What the facts do not hold, and what that makes unknown.

use super::{
    super::{Told, evidence::clean},
    ConfigurationView,
    allow_lists::{PublicList, unread_prefix_lists},
    azure::private_endpoint,
    endpoint, is, outbound, words,
};
use crate::report::{Confidence, Provider, Severity};

/// A file that a cluster like this needs, the permission that brings it, and what is unknown without it.
pub(super) struct Gap {
    /// Relative to the folder.
    pub(super) file: String,
    /// `ec2:DescribeSubnets`.
    pub(super) action: &'static str,
    /// What is not known, as a clause.
    pub(super) unknown: String,
}

/// The gaps that matter for this cluster: a public-only one needs no network ACL.
pub(super) fn gaps(view: &ConfigurationView<'_>) -> Vec<Gap> {
    if view.provider() == Provider::Aks {
        return aks_gaps(view);
    }
    let network = &view.facts.network;
    let mut gaps = Vec::new();
    let mut need = |known: bool, file: &str, action: &'static str, unknown: &str| {
        if !known {
            gaps.push(Gap { file: file.to_owned(), action, unknown: unknown.to_owned() });
        }
    };
    if view.config().is_none() {
        need(
            false,
            "eks/describe-cluster.json",
            "eks:DescribeCluster",
            "which endpoints are on, who is let in, and which subnets and groups are the cluster's",
        );
        return gaps;
    }
    let describe = ("eks/describe-cluster.json", "eks:DescribeCluster");
    need(
        view.public_access().is_some(),
        describe.0,
        describe.1,
        "whether the public endpoint is on (endpointPublicAccess)",
    );
    need(
        view.private_access().is_some(),
        describe.0,
        describe.1,
        "whether the private endpoint is on (endpointPrivateAccess)",
    );
    let list = view.config().is_some_and(|config| config.public_access_cidrs.is_some());
    need(
        list || view.public_access() == Some(false),
        describe.0,
        describe.1,
        "who is let in by the public endpoint (publicAccessCidrs)",
    );
    let private = view.private_access() != Some(false);
    let restricted = PublicList::of(view).is_none_or(|list| !list.is_open_ipv4());
    need(
        network.subnets.is_some(),
        "ec2/describe-subnets.json",
        "ec2:DescribeSubnets",
        "zones and free addresses of the cluster's subnets",
    );
    if private || restricted {
        need(
            network.route_tables.is_some(),
            "ec2/describe-route-tables.json",
            "ec2:DescribeRouteTables",
            "which way packets to and from the cluster take",
        );
    }
    if !private && restricted {
        need(
            network.nat_gateways.is_some(),
            "ec2/describe-nat-gateways.json",
            "ec2:DescribeNatGateways",
            "which addresses the endpoint sees of the nodes",
        );
    }
    if private {
        need(
            network.vpcs.is_some(),
            "ec2/describe-vpcs.json",
            "ec2:DescribeVpcs",
            "the ranges of the VPC, and which networks overlap them",
        );
        let (support, host_names) = view.vpc_id().map_or((None, None), |vpc| view.dns_attributes(vpc));
        need(
            support.is_some(),
            "ec2/describe-vpc-attribute-enableDnsSupport.json",
            "ec2:DescribeVpcAttribute",
            "whether the VPC's resolver answers",
        );
        need(
            host_names.is_some(),
            "ec2/describe-vpc-attribute-enableDnsHostnames.json",
            "ec2:DescribeVpcAttribute",
            "whether hosts of the VPC get the private addresses",
        );
        need(
            network.dhcp_options.is_some(),
            "ec2/describe-dhcp-options.json",
            "ec2:DescribeDhcpOptions",
            "which DNS servers the hosts of the VPC ask",
        );
        need(
            network.security_groups.is_some(),
            "ec2/describe-security-groups.json",
            "ec2:DescribeSecurityGroups",
            "who may reach the control plane's interfaces",
        );
        need(
            network.network_acls.is_some(),
            "ec2/describe-network-acls.json",
            "ec2:DescribeNetworkAcls",
            "whether network ACLs drop requests or replies",
        );
        need(
            network.network_interfaces.is_some(),
            "ec2/describe-network-interfaces.json",
            "ec2:DescribeNetworkInterfaces",
            "where the control plane's interfaces are",
        );
    }
    for id in unread_prefix_lists(view).into_iter().filter(|_| private) {
        gaps.push(Gap {
            file: format!("ec2/get-managed-prefix-list-entries-{id}.json"),
            action: "ec2:GetManagedPrefixListEntries",
            unknown: format!("which sources the prefix list {id} lets in"),
        });
    }
    gaps
}

/// Whether a file is missing that would tell by which addresses the nodes of an AKS cluster leave.
pub(super) fn of_egress(view: &ConfigurationView<'_>) -> bool {
    gaps(view).iter().any(|gap| EGRESS.contains(&gap.action))
}

/// The gaps, and beside them what a page about the cluster shows as not in the facts.
pub(super) fn of_page(view: &ConfigurationView<'_>) -> Vec<Gap> {
    let mut gaps = gaps(view);
    let azure = &view.facts.azure;
    let read = azure.virtual_networks.is_some() || azure.subnets.is_some();
    if !read && view.aks().is_some() && !gaps.iter().any(|gap| gap.action == NETWORKS) {
        gaps.push(Gap {
            file: "network/virtual-networks.json".to_owned(),
            action: NETWORKS,
            unknown: "the networks and subnets of the nodes".to_owned(),
        });
    }
    gaps
}

/// The same for an AKS cluster.
fn aks_gaps(view: &ConfigurationView<'_>) -> Vec<Gap> {
    let mut gaps = Vec::new();
    let mut need = |known: bool, file: &str, action: &'static str, unknown: &str| {
        if !known {
            gaps.push(Gap { file: format!("{file}.json"), action, unknown: unknown.to_owned() });
        }
    };
    let Some(cluster) = view.aks() else {
        need(
            false,
            "aks/show",
            DESCRIBE_AKS,
            "whether it is private, who is let in, and which networks are the cluster's",
        );
        return gaps;
    };
    let azure = &view.facts.azure;
    let named = |kind: &str| {
        let profiles = cluster.network_profile.iter().flat_map(|network| {
            [network.load_balancer_profile.as_ref(), network.nat_gateway_profile.as_ref()].into_iter().flatten()
        });
        let mut ids = profiles.flat_map(|profile| &profile.effective_outbound_ips);
        ids.any(|one| one.id.kind().is_some_and(|of| of.ends_with(kind)))
    };
    let list = PublicList::of(view);
    let private = view.private_access() == Some(true);
    let depends = view.nodes_come_publicly() && list.as_ref().is_some_and(|list| !list.is_open_ipv4());
    let kind = cluster.network_profile.as_ref().and_then(|network| network.outbound_type.as_deref());
    let routed = is(kind, "userDefinedRouting");
    let by_subnet = routed || (is(kind, "userAssignedNATGateway") && !named("addresses") && !named("prefixes"));
    if depends {
        let seen = "which addresses the endpoint sees of the nodes";
        let pools = outbound::pools_with_public_addresses(view);
        let prefixes = pools.iter().any(|pool| pool.node_public_ip_prefix_id.is_some());
        let addresses = named("/publicipaddresses") || by_subnet;
        need(
            azure.public_ip_addresses.is_some() || !addresses,
            "network/public-ip-addresses",
            "Microsoft.Network/publicIPAddresses/read",
            seen,
        );
        need(
            azure.public_ip_prefixes.is_some() || !(prefixes || named("/publicipprefixes")),
            "network/public-ip-prefixes",
            "Microsoft.Network/publicIPPrefixes/read",
            seen,
        );
        need(
            azure.nat_gateways.is_some() || routed || !by_subnet,
            "network/nat-gateways",
            "Microsoft.Network/natGateways/read",
            seen,
        );
        need(
            azure.firewalls.is_some() || !routed,
            "network/azure-firewalls",
            "Microsoft.Network/azureFirewalls/read",
            seen,
        );
    }
    if private || (depends && by_subnet) {
        need(
            azure.virtual_networks.is_some() || azure.subnets.is_some(),
            "network/virtual-networks",
            NETWORKS,
            "the networks and subnets of the nodes, and with which they are peered",
        );
        need(
            azure.route_tables.is_some(),
            "network/route-tables",
            "Microsoft.Network/routeTables/read",
            "which way packets of the nodes take",
        );
    }
    if private {
        need(
            azure.network_security_groups.is_some(),
            "network/network-security-groups",
            "Microsoft.Network/networkSecurityGroups/read",
            "whether security groups deny connections to the API server",
        );
    }
    // What a planned change has yet to make is in no facts.
    let was = view.facts.earlier.as_ref().filter(|_| view.planned);
    let (newly_private, newly_integrated) = (
        cluster.is_private() && was.is_some_and(|was| !was.is_private()),
        cluster.is_vnet_integrated() && was.is_some_and(|was| !was.is_vnet_integrated()),
    );
    let made = !newly_integrated && (!newly_private || cluster.is_vnet_integrated());
    if cluster.is_vnet_integrated() && made {
        need(
            azure.load_balancers.is_some(),
            "network/load-balancers",
            "Microsoft.Network/loadBalancers/read",
            "the private address of the API server",
        );
    } else if cluster.is_private() && made {
        need(
            azure.private_endpoints.is_some(),
            "network/private-endpoints",
            "Microsoft.Network/privateEndpoints/read",
            "whether the private endpoint of the API server works",
        );
        let without = || private_endpoint(view).is_some_and(|endpoint| endpoint.custom_dns_configs.is_empty());
        need(
            azure.network_interfaces.is_some() || !without(),
            "network/network-interfaces",
            "Microsoft.Network/networkInterfaces/read",
            "the private address of the API server",
        );
    }
    let zone = cluster.access().private_dns_zone.clone();
    if cluster.is_private() && !newly_private && !is(zone.as_deref(), "none") {
        need(
            cluster.private_fqdn.is_some() || view.planned,
            "aks/show",
            DESCRIBE_AKS,
            "the private name of the API server (privateFQDN)",
        );
        for (known, file, action, unknown) in [
            (
                azure.private_dns_zones.is_some(),
                "network/private-dns-zones",
                "Microsoft.Network/privateDnsZones/read",
                "the private DNS zone of the cluster",
            ),
            (
                azure.private_dns_zone_links.is_some(),
                "network/private-dns-zone-links",
                "Microsoft.Network/privateDnsZones/virtualNetworkLinks/read",
                "which networks the zone is linked to",
            ),
            (
                azure.private_dns_records.is_some(),
                "network/private-dns-records",
                "Microsoft.Network/privateDnsZones/ALL/read",
                "which address the zone gives",
            ),
        ] {
            need(known, file, action, unknown);
        }
    }
    if list.is_some_and(|list| !list.unknown_tags.is_empty()) {
        need(
            azure.service_tags.is_some(),
            "network/service-tags",
            "Microsoft.Network/locations/serviceTags/read",
            "which sources the service tag on the list lets in",
        );
    }
    gaps
}

/// Files that are absent or were refused, and facts that do not belong together.
pub(in crate::causes) fn facts_missing(view: &ConfigurationView<'_>) -> Vec<Told> {
    let gaps = gaps(view);
    let described = view.config().is_some() || view.aks().is_some();
    let mut evidence = Vec::new();
    for gap in &gaps {
        let why = match view.facts.denied(gap.action) {
            Some(message) => format!("{} was refused ({})", gap.action, clean(message)),
            None if described && [DESCRIBE_EKS, DESCRIBE_AKS].contains(&gap.action) => {
                evidence.push(format!("Not known: {}. {} does not say.", clean(&gap.unknown), clean(&gap.file)));
                continue;
            }
            None => "is not in the facts".to_owned(),
        };
        evidence.push(if why.starts_with("is not") {
            format!("Not known: {}. {} {why}; {} brings it.", clean(&gap.unknown), clean(&gap.file), gap.action)
        } else {
            format!("Not known: {}. {why}; without it there is no {}.", clean(&gap.unknown), clean(&gap.file))
        });
    }
    let manifest = view.facts.manifest.as_ref();
    for refused in manifest.iter().flat_map(|manifest| manifest.denied.iter().chain(&manifest.failed)) {
        if !gaps.iter().any(|gap| gap.action == refused.action) {
            evidence.push(format!(
                "{} brought nothing: {}.",
                clean(&refused.action),
                clean(refused.message.trim_end_matches('.'))
            ));
        }
    }
    let region = match view.aks() {
        Some(cluster) => cluster.location.as_deref(),
        None => view.eks().and_then(|cluster| cluster.region()),
    };
    // Azure writes `West Europe` and `westeurope` for the same.
    let plain = |text: &str| text.replace(' ', "").to_ascii_lowercase();
    if let (Some(of_folder), Some(of_cluster)) = (manifest.and_then(|manifest| manifest.region.as_deref()), region)
        && plain(of_folder) != plain(of_cluster)
    {
        evidence.push(format!(
            "The facts were read in {}, and the cluster is in {}: its network is not among them.",
            clean(of_folder),
            clean(of_cluster)
        ));
    }
    let newest = endpoint::newest_update(view).and_then(|update| update.created_at);
    if let (Some(read), Some(update)) = (manifest.and_then(|manifest| manifest.created_at), newest)
        && read < update
    {
        evidence.push(format!(
            "The facts were read at {read}, before the newest update of {update}: they may be of the time before it."
        ));
    }
    if evidence.is_empty() {
        return Vec::new();
    }
    if evidence.len() > MOST_GAPS {
        let more = evidence.len() - MOST_GAPS;
        evidence.truncate(MOST_GAPS);
        evidence.push(format!("And {more} more."));
    }
    let (region, name) = words::region_and_name(view);
    let quoted = |word: String| if word.starts_with('<') { format!("'{word}'") } else { word };
    let mut actions: Vec<&str> = gaps.iter().map(|gap| gap.action).collect();
    actions.dedup();
    let permissions = if actions.is_empty() { String::new() } else { format!("   # with {}", actions.join(", ")) };
    let which = if view.provider() == Provider::Aks {
        // The same names as `az` takes.
        format!("aks {}", words::aks_options(view))
    } else {
        format!("eks --name {} --region {}", quoted(name), quoted(region))
    };
    // Without the cluster nothing was compared at all.
    let severity = if described { Severity::Warning } else { Severity::Error };
    vec![
        Told { confidence: Some(Confidence::Certain), evidence, ..Told::default() }
            .severity(severity)
            .setting("the facts folder, and the permissions of who reads them")
            .fix(format!("kubereach facts pull {which}{permissions}")),
    ]
}

const DESCRIBE_EKS: &str = "eks:DescribeCluster";
const DESCRIBE_AKS: &str = "Microsoft.ContainerService/managedClusters/read";
const NETWORKS: &str = "Microsoft.Network/virtualNetworks/read";
/// The permissions without which the nodes' egress addresses are not known.
const EGRESS: &[&str] = &[
    NETWORKS,
    "Microsoft.Network/azureFirewalls/read",
    "Microsoft.Network/natGateways/read",
    "Microsoft.Network/publicIPAddresses/read",
    "Microsoft.Network/publicIPPrefixes/read",
    "Microsoft.Network/routeTables/read",
];
const MOST_GAPS: usize = 24;

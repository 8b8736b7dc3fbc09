//! What the facts do not hold, and what that makes unknown.

use super::{
    super::{Told, evidence::clean},
    ConfigurationView,
    allow_lists::{PublicList, unread_prefix_lists},
    endpoint, words,
};
use crate::report::{Confidence, Severity};

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

/// Files that are absent or were refused, and facts that do not belong together.
pub(in crate::causes) fn facts_missing(view: &ConfigurationView<'_>) -> Vec<Told> {
    let gaps = gaps(view);
    let mut evidence = Vec::new();
    for gap in &gaps {
        let why = match view.facts.denied(gap.action) {
            Some(message) => format!("{} was refused ({})", gap.action, clean(message)),
            None if gap.action == "eks:DescribeCluster" && view.config().is_some() => {
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
    if let (Some(of_folder), Some(of_cluster)) =
        (manifest.and_then(|manifest| manifest.region.as_deref()), view.eks().and_then(|cluster| cluster.region()))
        && of_folder != of_cluster
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
    // Without the cluster nothing was compared at all.
    let severity = if view.config().is_none() { Severity::Error } else { Severity::Warning };
    vec![
        Told { confidence: Some(Confidence::Certain), evidence, ..Told::default() }
            .severity(severity)
            .setting("the facts folder, and the permissions of who reads them")
            .fix(format!("kubereach facts pull eks --name {} --region {}{permissions}", quoted(name), quoted(region))),
    ]
}

const MOST_GAPS: usize = 24;

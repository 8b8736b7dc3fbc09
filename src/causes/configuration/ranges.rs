//! The authorized IP ranges of AKS: what the provider refuses in them, whom they cut off, and the command that replaces
//! them.
//!
//! Rules after <https://learn.microsoft.com/azure/aks/api-server-authorized-ip-ranges> and the checks of the command line
//! itself (`validate_ip_ranges` of azure-cli).

use std::collections::HashSet;

use ipnet::IpNet;

use super::{
    super::{
        Told,
        evidence::{clean, shell},
    },
    ConfigurationView,
    allow_lists::{AKS_LIST, DOCUMENTATION, PublicList, nodes_outside, texts},
    azure::route_diverts,
    gaps, is, outbound,
    words::{self, aks_options, aks_update, counted, line, listed, place, ranges as listed_ranges},
};
use crate::{
    facts::{
        Cidr,
        aks::{AuthorizedSource, ManagedCluster},
    },
    model::set::{AddressSet, Family},
    report::{Confidence, Severity},
};

/// The stored list: ranges and service tags.
pub(super) fn sources(cluster: &ManagedCluster) -> &[AuthorizedSource] {
    cluster.api_server_access_profile.as_ref().map_or(&[][..], |access| &access.authorized_ip_ranges)
}

/// The ranges among them, as stored.
pub(super) fn entries(sources: &[AuthorizedSource]) -> Vec<Cidr> {
    let range = |source: &AuthorizedSource| match source {
        AuthorizedSource::Range(cidr) => Some(cidr.clone()),
        AuthorizedSource::ServiceTag(_) => None,
    };
    sources.iter().filter_map(range).collect()
}

/// Whom the ranges let in, those aside that stand for the cluster's own outbound address.
pub(super) fn set_of_real(entries: &[Cidr]) -> AddressSet {
    AddressSet::from_nets(entries.iter().map(|entry| &entry.net).filter(|net| !stands_for_outbound(net)))
}

/// How many entries AKS takes.
pub(super) fn limit(cluster: &ManagedCluster) -> usize {
    if cluster.is_vnet_integrated() { MOST_WITH_VNET_INTEGRATION } else { MOST }
}

/// The ranges of a service tag; `None` when the facts do not hold them all.
pub(super) fn of_tag(view: &ConfigurationView<'_>, tag: &str) -> Option<AddressSet> {
    let tags = view.facts.azure.service_tags.as_ref()?;
    let tag = tags.iter().find(|one| one.name.eq_ignore_ascii_case(tag))?;
    let nets: Option<Vec<IpNet>> = tag.address_prefixes.iter().map(|text| text.parse().ok()).collect();
    Some(AddressSet::from_nets(&nets?))
}

/// The command that makes these the whole list, beside the service tags on it and the cluster's own outbound addresses.
/// Minimised where it would be too long; a comment where even that is too long, or where nothing is left: an empty list
/// means everybody.
pub(super) fn set_to(view: &ConfigurationView<'_>, nets: &[IpNet]) -> String {
    let (mut list, refused) = acceptable(nets);
    let set = AddressSet::from_nets(&list);
    if list.is_empty() || set.is_everything(Family::V4) {
        return fill_in(view, &[]);
    }
    let own: Vec<(IpNet, String)> =
        nodes_outside(view, &set).into_iter().filter(|(net, _)| net.addr().is_ipv4()).collect();
    list.extend(own.iter().map(|(net, _)| *net));
    let (tags, most) = tags_and_limit(view);
    if list.len() + tags.len() > most {
        list = AddressSet::from_nets(&list).cover();
    }
    if list.len() + tags.len() > most {
        let more = list.len() + tags.len() - most;
        return format!(
            "# The list would have {} entries in its shortest form, {more} more than AKS takes: let sources share an egress address{}.",
            list.len() + tags.len(),
            if most < MOST_WITH_VNET_INTEGRATION {
                ", or use API server VNet integration, which takes 2,000"
            } else {
                ""
            }
        );
    }
    let mut notes = String::new();
    if !own.is_empty() {
        let named = own.iter().map(|(net, origin)| format!("{} ({origin})", place(*net)));
        notes = format!("# With the cluster's own outbound addresses, which must be listed: {}.\n", listed(named));
    }
    format!("{notes}{}{}", notes_of(view, &tags, &refused), command(view, texts(list).into_iter().chain(tags)))
}

/// The command with a place to fill in, and those who must stay.
pub(super) fn fill_in(view: &ConfigurationView<'_>, keep: &[IpNet]) -> String {
    let (kept, refused) = acceptable(keep);
    let mut list = kept.clone();
    list.extend(nodes_outside(view, &AddressSet::from_nets(&kept)).into_iter().map(|(net, _)| net));
    let (tags, _) = tags_and_limit(view);
    let whole = texts(list).into_iter().chain(tags.iter().cloned()).chain(["<egress address>/32".to_owned()]);
    format!(
        "# Fill in every source in use before running it; whoever is not on the list is cut off.\n{}{}",
        notes_of(view, &tags, &refused),
        command(view, whole)
    )
}

/// A range is written with an address inside it instead of its network address.
pub(in crate::causes) fn not_network_address(view: &ConfigurationView<'_>) -> Vec<Told> {
    let Some(cluster) = view.aks() else { return Vec::new() };
    let all = entries(sources(cluster));
    let wrong: Vec<&Cidr> = all.iter().filter(|entry| entry.has_host_bits()).collect();
    if wrong.is_empty() {
        return Vec::new();
    }
    let named = wrong.iter().map(|entry| {
        let address = entry.text.split('/').next().unwrap_or_default();
        format!("{} (its network is {}; for that address alone write {address}/32)", entry.text, entry.net)
    });
    vec![
        Told::new(
            Confidence::Certain,
            format!(
                "{} of {} of {} have host bits set: {}.",
                wrong.len(),
                counted(all.len(), "range", "ranges"),
                AKS_LIST.name,
                listed(named)
            ),
        )
        .and(if view.planned {
            "`az aks` refuses such a range."
        } else {
            "They are stored so, and stand for their whole networks; `az aks` refuses them in the next change of the list."
        })
        .severity(view.refused())
        .setting(setting(cluster))
        .fix(format!(
            "# The same sources, each by its network address; check that the whole networks are meant:\n{}",
            set_to(view, &all.iter().map(|entry| entry.net).collect::<Vec<_>>())
        )),
    ]
}

/// A range that no client of the public endpoint can have.
pub(in crate::causes) fn not_public_ipv4(view: &ConfigurationView<'_>) -> Vec<Told> {
    let Some(cluster) = view.aks() else { return Vec::new() };
    let all = entries(sources(cluster));
    let mut wrong = Vec::new();
    let mut named = Vec::new();
    for Cidr { text, net } in &all {
        let why = if net.addr().is_ipv6() {
            "IPv6"
        } else if stands_for_outbound(net) {
            continue;
        } else if inside(net, PRIVATE) {
            "private, shared, loopback or link-local"
        } else if inside(net, RESERVED) {
            "reserved"
        } else if view.planned && inside(net, DOCUMENTATION) {
            "reserved for documentation"
        } else {
            continue;
        };
        wrong.push(*net);
        named.push(format!("{text} is {why}"));
    }
    if wrong.is_empty() {
        return Vec::new();
    }
    let keep: Vec<IpNet> = all.iter().map(|entry| entry.net).filter(|net| !wrong.contains(net)).collect();
    vec![
        Told::new(
            Confidence::Certain,
            format!(
                "{} of {} of {} hold no public IPv4 address: {}.",
                wrong.len(),
                counted(all.len(), "range", "ranges"),
                AKS_LIST.name,
                listed(named)
            ),
        )
        .and(if view.planned {
            "`az aks` refuses them, and no request from such an address arrives over the internet."
        } else {
            "No request from such an address arrives over the internet: they let nobody in, and `az aks` refuses them in the next change of the list."
        })
        .severity(view.refused())
        .setting(setting(cluster))
        .fix(fill_in(view, &keep)),
    ]
}

/// A private cluster has no public endpoint that a list could govern.
pub(in crate::causes) fn on_private_cluster(view: &ConfigurationView<'_>) -> Vec<Told> {
    let Some(cluster) = view.aks().filter(|cluster| cluster.is_private()) else { return Vec::new() };
    let count = sources(cluster).len();
    if count == 0 {
        return Vec::new();
    }
    let told = Told::new(
        Confidence::Certain,
        format!(
            "`enablePrivateCluster` is true, and {} has {}: the list governs the public endpoint, which a private cluster does not have.",
            AKS_LIST.name,
            counted(count, "entry", "entries")
        ),
    )
    .and("Restrict a private cluster with network security groups instead.")
    .severity(view.refused())
    .setting(format!("enablePrivateCluster = true, {}", setting(cluster)));
    vec![if view.planned {
        told.and("AKS refuses the two together.").fix("# Take authorizedIPRanges out of the plan.")
    } else {
        told.and("The list has no effect while the cluster is private, and is in force at once when it becomes public.")
            .fix("# Nothing is let in or kept out by it now. Take authorizedIPRanges out of the template that sets it.")
    }]
}

/// Authorized ranges need a Standard load balancer.
pub(in crate::causes) fn need_standard_balancer(view: &ConfigurationView<'_>) -> Vec<Told> {
    let Some(cluster) = view.aks() else { return Vec::new() };
    let sku = cluster.network_profile.as_ref().and_then(|network| network.load_balancer_sku.as_deref());
    if !is(sku, "basic") || view.public_access() != Some(true) {
        return Vec::new();
    }
    let count = sources(cluster).len();
    let first = if count == 0 {
        format!(
            "`loadBalancerSku` is basic: {} cannot be set on this cluster, so its public endpoint stays open.",
            AKS_LIST.name
        )
    } else {
        format!(
            "`loadBalancerSku` is basic, and {} has {}: authorized ranges need a Standard load balancer.",
            AKS_LIST.name,
            counted(count, "entry", "entries")
        )
    };
    let refused = view.planned && count > 0;
    let told = Told::new(Confidence::Certain, first)
        .severity(if refused { Severity::Error } else { Severity::Warning })
        .setting(format!("networkProfile.loadBalancerSku = basic, {}", setting(cluster)))
        .fix(format!(
            "# Create the cluster anew with a Standard load balancer; whether an old cluster can be moved is documented both ways:\n{}",
            aks_update(view, "--load-balancer-sku standard")
        ));
    vec![if refused { told.and("`az aks` refuses the two together.") } else { told }]
}

/// Service tags that are not taken, or only by a preview.
pub(in crate::causes) fn service_tag_not_accepted(view: &ConfigurationView<'_>) -> Vec<Told> {
    let Some(cluster) = view.aks() else { return Vec::new() };
    let all = sources(cluster);
    let tags: Vec<&str> = all.iter().filter(|source| source.net().is_none()).map(AuthorizedSource::text).collect();
    let Some(first) = tags.first() else { return Vec::new() };
    let mut problems = Vec::new();
    if tags.len() > 1 {
        problems.push(format!("{} has {} service tags ({}); AKS takes one.", AKS_LIST.name, tags.len(), listed(&tags)));
    }
    if cluster.is_vnet_integrated() {
        problems.push(format!(
            "{} names the service tag {}, and the cluster has API server VNet integration, which takes ranges only.",
            AKS_LIST.name,
            clean(first)
        ));
    }
    let published = view.facts.azure.service_tags.as_ref().filter(|all| !all.is_empty());
    let unknown: Vec<&&str> = tags
        .iter()
        .filter(|tag| published.is_some_and(|all| !all.iter().any(|one| one.name.eq_ignore_ascii_case(tag))))
        .collect();
    if !unknown.is_empty() {
        problems.push(format!("No service tag is called {} in the facts' list of them.", listed(&unknown)));
    }
    let setting = setting(cluster);
    let nets: Vec<IpNet> = all.iter().filter_map(AuthorizedSource::net).collect();
    let feature =
        "az feature register --namespace Microsoft.ContainerService --name EnableServiceTagAuthorizedIPPreview";
    let Some((deciding, more)) = problems.split_first() else {
        // One tag, as the preview takes it: whether it is registered is in no facts.
        return if view.planned {
            vec![
                Told::new(
                    Confidence::Possible,
                    format!("The plan names the service tag {}, which is a preview.", clean(first)),
                )
                .and("Not known: whether the feature is registered, which no facts tell. The stock command line takes IPv4 ranges only; the extension aks-preview takes one tag.")
                .severity(Severity::Info)
                .setting(setting)
                .fix(format!("{feature}\naz extension add --name aks-preview --upgrade")),
            ]
        } else {
            Vec::new()
        };
    };
    let told = more.iter().fold(Told::new(Confidence::Certain, deciding), Told::and);
    let whole = texts(nets.iter().map(IpNet::trunc));
    let kept = if tags.len() > 1 && !cluster.is_vnet_integrated() { Some((*first).to_owned()) } else { None };
    let fix = if whole.is_empty() && kept.is_none() {
        "# List the ranges of these services instead: an empty list would let everybody in.".to_owned()
    } else {
        format!(
            "# Without what is not accepted; name the ranges that are needed of it instead:\n{}",
            command(view, whole.into_iter().chain(kept))
        )
    };
    vec![told.severity(view.refused()).setting(setting).fix(fix)]
}

/// The list lets in nobody but the cluster itself, or says so beside others.
pub(in crate::causes) fn outbound_only(view: &ConfigurationView<'_>) -> Vec<Told> {
    let Some(cluster) = view.aks().filter(|_| view.public_access() == Some(true)) else { return Vec::new() };
    let all = sources(cluster);
    if !all.iter().any(AuthorizedSource::is_outbound_only) {
        return Vec::new();
    }
    let setting = setting(cluster);
    let rest: Vec<IpNet> =
        all.iter().filter(|source| !source.is_outbound_only()).filter_map(AuthorizedSource::net).collect();
    if all.len() > 1 {
        return vec![
            Told::new(
                Confidence::Certain,
                format!(
                    "{} holds 0.0.0.0/32, which stands for the cluster's own outbound address, beside {}: the two may not be mixed.",
                    AKS_LIST.name,
                    counted(all.len() - 1, "other entry", "other entries")
                ),
            )
            .severity(view.refused())
            .setting(setting)
            .fix(set_to(view, &rest)),
        ];
    }
    let kind = cluster.network_profile.as_ref().and_then(|network| network.outbound_type.as_deref());
    let told = Told::new(
        Confidence::Certain,
        format!(
            "{} is exactly 0.0.0.0/32: only the outbound address of the cluster's Standard load balancer is let in, and every other client is dropped silently.",
            AKS_LIST.name
        ),
    )
    .setting(setting)
    .fix(fill_in(view, &[]));
    let nodes_too = kind.is_some_and(|kind| !is(Some(kind), "loadBalancer")) && view.nodes_come_publicly();
    let intended = view
        .intent
        .and_then(|intent| intent.public_access.as_ref())
        .is_some_and(|access| access.enabled && access.allow.as_ref().is_none_or(|allow| !allow.is_empty()));
    vec![if nodes_too {
        Told { confidence: Some(Confidence::Likely), ..told }.and(format!(
            "The nodes leave by {}, not by that load balancer: they are locked out as well.",
            clean(kind.unwrap_or_default())
        ))
    } else if intended {
        told
    } else {
        told.severity(Severity::Warning)
    }]
}

/// An update replaced the list where it was meant to add to it.
pub(in crate::causes) fn overwritten(view: &ConfigurationView<'_>) -> Vec<Told> {
    let Some(list) = PublicList::of(view).filter(|_| view.aks().is_some()) else { return Vec::new() };
    if list.count() == 0 {
        return Vec::new();
    }
    let intended = view
        .intent
        .and_then(|intent| intent.public_access.as_ref())
        .filter(|access| access.enabled)
        .and_then(|access| Some((access, AddressSet::from_nets(access.allow.as_ref()?))));
    let present = set_of_real(&list.entries);
    if let Some(earlier) = view.facts.earlier.as_ref().filter(|earlier| !earlier.is_private()) {
        let before = entries(sources(earlier));
        let before = set_of_real(&before);
        let gone = before.difference(&present);
        let new = present.difference(&before);
        // What was not meant to be on the list was taken off it.
        let meant = intended.as_ref().is_none_or(|(_, intended)| gone.overlaps(intended));
        if before.is_empty() || gone.is_empty() || new.is_empty() || !meant || list.set.is_superset(&gone) {
            return Vec::new();
        }
        // Who puts a lost list back takes little away and adds much.
        if intended.is_none() && new.cover().len() > gone.cover().len() {
            return Vec::new();
        }
        let lost = intended.as_ref().map_or_else(|| gone.clone(), |(_, intended)| gone.intersection(intended));
        let whole = texts(present.union(&lost).cover());
        let who = if view.planned { "the plan" } else { "one change" };
        let told = Told::new(
            Confidence::Likely,
            format!(
                "With {who} {} vanished from {} and {} came: {} went, {} came.",
                words::addresses(gone.count()),
                AKS_LIST.name,
                words::addresses(new.count()),
                listed_ranges(&gone.cover()),
                listed_ranges(&new.cover())
            ),
        )
        .and("The call replaces the whole list, so whoever means to add an entry must name all the others, too.")
        .and("Entries that were taken off on purpose look the same.")
        .setting(list.setting())
        .fix(format!(
            "# Both, the earlier and the present entries:\n{}",
            super::allow_lists::update_list(view, &whole)
        ));
        // What is intended decides; without an intent it may be as somebody wants it.
        return vec![if view.planned || intended.is_none() { told.severity(Severity::Warning) } else { told }];
    }
    // Without an earlier snapshot the intent stands for it: nothing of it is left, and something else is there.
    let Some((access, intended)) = intended else { return Vec::new() };
    let own = AddressSet::from_nets(outbound::outbound(view).known.iter().map(|(net, _)| net));
    let foreign = present.difference(&intended).difference(&own);
    let lost = intended.ipv4().difference(&own);
    if lost.is_empty() || foreign.is_empty() || list.set.overlaps(&lost) || !list.unknown_tags.is_empty() {
        return Vec::new();
    }
    let mut whole = list.texts();
    whole.extend(texts(lost.cover()));
    vec![
        Told::new(
            Confidence::Possible,
            format!(
                "Nothing of what is intended (intent.publicAccess.allow{}) is on the list, and {} that are not intended are: {}.",
                line(access.line),
                words::addresses(foreign.count()),
                listed_ranges(&foreign.cover())
            ),
        )
        .and("That is how a list looks after an update that named a new entry only: the call replaces the whole list. A list that somebody made on purpose may look the same; an earlier snapshot would decide.")
        .severity(Severity::Warning)
        .setting(list.setting())
        .fix(format!("# The present entries and the intended ones:\n{}", super::allow_lists::update_list(view, &whole))),
    ]
}

/// Node pools whose nodes have public addresses that nobody listed.
pub(in crate::causes) fn node_public_ip(view: &ConfigurationView<'_>) -> Vec<Told> {
    let Some(list) = PublicList::of(view).filter(|list| !list.is_open_ipv4()) else { return Vec::new() };
    let Some(cluster) = view.aks().filter(|_| view.nodes_come_publicly()) else { return Vec::new() };
    let pools = outbound::pools_with_public_addresses(view);
    let (mut without, mut missing, mut listed_ones) = (Vec::new(), Vec::new(), Vec::new());
    for pool in &pools {
        match pool.node_public_ip_prefix_id.as_ref().filter(|id| !id.is_empty()) {
            None => without.push(clean(&pool.name)),
            Some(id) => match outbound::prefix_of(view, id) {
                Some(net) if list.set.is_superset(&AddressSet::from_nets([&net])) => {
                    listed_ones.push(format!("{} ({net})", clean(&pool.name)));
                }
                // A tag may hold it.
                Some(net) if list.unknown_tags.is_empty() => missing.push((clean(&pool.name), net)),
                _ => {}
            },
        }
    }
    let sku = cluster.network_profile.as_ref().and_then(|network| network.load_balancer_sku.as_deref());
    let setting = format!("agentPoolProfiles[].enableNodePublicIP = true, {}", list.setting());
    let mut told = Vec::new();
    if !without.is_empty() || !missing.is_empty() {
        let mut evidence = Vec::new();
        if !without.is_empty() {
            evidence.push(format!(
                "{} of {} give each node a public address of its own, out of no prefix: {}. Nobody can list such addresses before the nodes have them.",
                without.len(),
                counted(pools.len(), "pool with node addresses", "pools with node addresses"),
                listed(&without)
            ));
        }
        if !missing.is_empty() {
            evidence.push(format!(
                "{} of {} take them from a prefix that is not on the list: {}.",
                missing.len(),
                counted(pools.len(), "pool with node addresses", "pools with node addresses"),
                listed(missing.iter().map(|(pool, net)| format!("{pool} ({net})")))
            ));
        }
        evidence.push("Packets of those nodes to the API server are dropped silently.".to_owned());
        if is(sku, "basic") {
            evidence.push("Prefixes need a Standard load balancer, and this one is basic.".to_owned());
        }
        let mut fix = Vec::new();
        if !without.is_empty() {
            fix.push(format!(
                "# Create the pools {} anew with --node-public-ip-prefix-id, then list the prefix.",
                listed(&without)
            ));
        }
        if !missing.is_empty() {
            let mut whole = list.texts();
            whole.extend(missing.iter().map(|(_, net)| net.to_string()));
            fix.push(super::allow_lists::update_list(view, &whole));
        }
        told.push(
            Told { confidence: Some(Confidence::Likely), evidence, ..Told::default() }
                .setting(setting.clone())
                .fix(fix.join("\n")),
        );
    }
    if !listed_ones.is_empty() {
        told.push(
            Told::new(
                Confidence::Possible,
                format!("Nodes have public addresses out of prefixes that are on the list: {}.", listed(&listed_ones)),
            )
            .and("The how-to allows that; the API reference calls authorized ranges and node addresses incompatible.")
            .severity(Severity::Warning)
            .setting(setting)
            .fix("# Nothing to do while the nodes are Ready; a pool without node addresses leaves by the cluster's own outbound address."),
        );
    }
    told
}

/// The cluster's own outbound addresses are not on the list.
pub(in crate::causes) fn egress_not_listed(view: &ConfigurationView<'_>) -> Vec<Told> {
    let Some(list) = PublicList::of(view).filter(|list| !list.is_open_ipv4()) else { return Vec::new() };
    let Some(cluster) = view.aks().filter(|_| view.nodes_come_publicly()) else { return Vec::new() };
    if sources(cluster).iter().any(AuthorizedSource::is_outbound_only) {
        return Vec::new();
    }
    let egress = outbound::outbound(view);
    let missing: Vec<&(IpNet, String)> =
        egress.known.iter().filter(|(net, _)| !list.set.is_superset(&AddressSet::from_nets([net]))).collect();
    if missing.is_empty() {
        return Vec::new();
    }
    let kind = cluster.network_profile.as_ref().and_then(|network| network.outbound_type.as_deref());
    let mut told = Told::new(
        Confidence::Likely,
        format!(
            "{} of {} of the cluster are not in {}: {}.",
            missing.len(),
            counted(egress.known.len(), "outbound address", "outbound addresses"),
            AKS_LIST.name,
            listed(missing.iter().map(|(net, origin)| format!("{} ({origin})", place(*net))))
        ),
    )
    .and(if view.integration_pending() {
        "VNet integration takes effect only after a restart. Until then the nodes reach the API server by its public address, and AKS drops their packets silently: they go NotReady, and new ones fail."
    } else {
        "The nodes reach the API server by its public address, and AKS drops their packets silently: they go NotReady, and new ones fail. Only the creation of a cluster adds these addresses by itself."
    });
    let subnets: Vec<String> = outbound::node_subnets(view)
        .known
        .iter()
        .flat_map(|subnet| subnet.prefixes())
        .filter(|prefix| list.entries.iter().any(|entry| entry.text == **prefix))
        .map(str::to_owned)
        .collect();
    if !subnets.is_empty() {
        told = told.and(format!(
            "The list holds the nodes' subnet {} instead, which never arrives at a public endpoint.",
            listed(&subnets)
        ));
    }
    if !egress.unknown.is_empty() {
        told = told.and(format!("Not known: {}.", listed(&egress.unknown)));
    }
    if !list.unknown_tags.is_empty() {
        told = told.and(format!(
            "Not known: the ranges of the service tag {}, which may hold them.",
            listed(&list.unknown_tags)
        ));
        told = Told { confidence: Some(Confidence::Possible), ..told }.severity(Severity::Warning);
    }
    if view.integration_pending() && !view.planned {
        told = told.and("Not known: whether it was restarted since the earlier snapshot. If it was, the nodes come by the private address.");
        told = Told { confidence: Some(Confidence::Possible), ..told }.severity(Severity::Warning);
    }
    let kind = kind.map(|kind| format!("networkProfile.outboundType = {}, ", clean(kind))).unwrap_or_default();
    let mut whole = list.texts();
    whole.extend(missing.iter().map(|(net, _)| net.to_string()));
    vec![told.setting(format!("{kind}{}", list.setting())).fix(format!(
        "# The present list and {} more; the API replaces the list, so it is whole:\n{}",
        counted(missing.len(), "address", "addresses"),
        super::allow_lists::update_list(view, &whole)
    ))]
}

/// The nodes depend on the list, and by which addresses they leave cannot be told from what Azure describes.
pub(in crate::causes) fn egress_not_evaluable(view: &ConfigurationView<'_>) -> Vec<Told> {
    let Some(list) = PublicList::of(view).filter(|list| !list.is_open_ipv4()) else { return Vec::new() };
    let Some(cluster) = view.aks().filter(|_| view.nodes_come_publicly()) else { return Vec::new() };
    let egress = outbound::outbound(view);
    // What a file or a permission would bring is told as missing, and what is beside a known fault is told with that.
    let told = || !egress_not_listed(view).is_empty() || !route_diverts(view).is_empty();
    if egress.unknown.is_empty() || gaps::of_egress(view) || told() {
        return Vec::new();
    }
    let kind = cluster.network_profile.as_ref().and_then(|network| network.outbound_type.as_deref());
    let whole = list.texts().into_iter().chain(list.tags.iter().map(|tag| (*tag).to_owned()));
    let mut told = Told::new(
        Confidence::Certain,
        format!("By which addresses the nodes reach the public endpoint is not known: {}.", listed(&egress.unknown)),
    )
    .and(format!("So whether {} lets the cluster's own nodes in is not known.", AKS_LIST.name));
    if !egress.known.is_empty() {
        let known = egress.known.iter().map(|(net, origin)| format!("{} ({origin})", place(*net)));
        told = told.and(format!("Known and on the list: {}.", listed(known)));
    }
    let kind = kind.map(|kind| format!("networkProfile.outboundType = {}, ", clean(kind))).unwrap_or_default();
    let ask = "# Ask whoever runs it by which public address it leaves. If the list lacks that, add it";
    let fix = if list.count() < list.limit {
        let whole = whole.chain(["<egress address>/32".to_owned()]);
        format!("{ask}; the API replaces the list, so it is whole:\n{}", command(view, whole))
    } else {
        format!("{ask}, and something else must go: the list is full.")
    };
    vec![told.severity(Severity::Warning).setting(format!("{kind}{}", list.setting())).fix(fix)]
}

/// `apiServerAccessProfile.authorizedIPRanges = … (3 entries)`.
pub(super) fn setting(cluster: &ManagedCluster) -> String {
    let all = sources(cluster);
    match all.len() {
        0 => format!("{} = [] (everybody)", AKS_LIST.setting),
        count => format!(
            "{} = {} ({count} of {} entries)",
            AKS_LIST.setting,
            listed(all.iter().map(AuthorizedSource::text)),
            limit(cluster)
        ),
    }
}

/// The ranges that the command line takes, each once and in their order, and those that it refuses.
fn acceptable(nets: &[IpNet]) -> (Vec<IpNet>, Vec<IpNet>) {
    let mut seen: HashSet<IpNet> = HashSet::new();
    let all = nets.iter().map(IpNet::trunc).filter(|net| !stands_for_outbound(net) && seen.insert(*net));
    all.partition(|net| net.addr().is_ipv4() && !inside(net, PRIVATE) && !inside(net, RESERVED))
}

/// Whether a range lies in space that no packet of the internet comes from.
pub(super) fn never_arrives(net: &IpNet) -> bool {
    inside(net, PRIVATE) || inside(net, RESERVED) || inside(net, PRIVATE_IPV6)
}

fn inside(net: &IpNet, ranges: &[&str]) -> bool {
    ranges.iter().filter_map(|text| text.parse::<IpNet>().ok()).any(|range| range.contains(net))
}

fn stands_for_outbound(net: &IpNet) -> bool {
    net.prefix_len() == 32 && net.addr().is_unspecified()
}

fn tags_and_limit(view: &ConfigurationView<'_>) -> (Vec<String>, usize) {
    let Some(cluster) = view.aks() else { return (Vec::new(), MOST) };
    let tags = sources(cluster).iter().filter(|source| source.net().is_none());
    (tags.map(|source| source.text().to_owned()).collect(), limit(cluster))
}

/// What must be known before the command is run, a line each.
fn notes_of(view: &ConfigurationView<'_>, tags: &[String], refused: &[IpNet]) -> String {
    let mut notes = Vec::new();
    if !refused.is_empty() {
        notes.push(format!("# Without {}, which `az` refuses.\n", listed_ranges(refused)));
    }
    if view.nodes_come_publicly() {
        let unknown = outbound::outbound(view).unknown;
        if !unknown.is_empty() {
            notes.push(format!(
                "# Not known: {}. Add whichever of the cluster's own outbound addresses the list lacks, or its nodes are cut off.\n",
                listed(&unknown)
            ));
        }
    }
    notes.extend(
        tags.first()
            .map(|tag| format!("# The service tag {} stays; only the extension aks-preview takes one.\n", clean(tag))),
    );
    notes.concat()
}

fn command(view: &ConfigurationView<'_>, list: impl IntoIterator<Item = String>) -> String {
    let list: Vec<String> = list.into_iter().collect();
    let list = list.join(",");
    // Ranges and tags need no quotes; a place to fill in does.
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "._:/,-".contains(letter);
    let list = if list.chars().all(plain) { list } else { format!("'{}'", list.replace('\'', "")) };
    format!("az aks update {} --api-server-authorized-ip-ranges {list}", aks_options(view))
}

/// The subscription and name of a cluster for a REST call: `/subscriptions/…`.
pub(super) fn cluster_word(cluster: &ManagedCluster) -> String {
    if cluster.id.is_empty() { shell(&cluster.name) } else { words::id_word(&cluster.id) }
}

/// Entries without API server VNet integration, and with it
/// (<https://learn.microsoft.com/azure/aks/api-server-authorized-ip-ranges>).
pub(super) const MOST: usize = 200;
pub(super) const MOST_WITH_VNET_INTEGRATION: usize = 2_000;
/// What no packet on the internet comes from; the command line refuses what is not global.
const PRIVATE: &[&str] =
    &["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"];
/// The same of IPv6: loopback, unique local, link-local, multicast.
const PRIVATE_IPV6: &[&str] = &["::1/128", "fc00::/7", "fe80::/10", "ff00::/8"];
/// Reserved (<https://www.iana.org/assignments/iana-ipv4-special-registry>), and multicast.
const RESERVED: &[&str] =
    &["0.0.0.0/8", "192.0.0.0/24", "198.18.0.0/15", "192.88.99.0/24", "224.0.0.0/4", "240.0.0.0/4"];

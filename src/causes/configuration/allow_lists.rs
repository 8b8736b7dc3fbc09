//! The lists of sources: the public endpoint's, and the security groups and prefix lists before the private one.
//!
//! All arithmetic is on exact sets, per family. The thresholds are kubereach's own.

use std::{borrow::Cow, collections::HashSet, net::IpAddr};

use ipnet::IpNet;
use kubereach_probes::{AddressClass, AddressClasses};

use super::{
    super::{Told, evidence::shell},
    ConfigurationView, endpoint, nodes, outbound, ranges, speaks_of_tcp,
    words::{self, addresses, counted, line, listed, ranges as listed_ranges, update_endpoint},
};
use crate::{
    facts::{
        Cidr,
        aks::{AuthorizedSource, ManagedCluster},
        ec2::{Permission, PrefixList, SecurityGroup},
    },
    model::set::{AddressSet, Family},
    report::{Confidence, Provider, Severity},
    scenario::Access,
};

/// The list of sources before a public endpoint that is on, whichever provider's.
pub(super) struct PublicList<'a> {
    /// Whose it is, and what it is called.
    pub(super) kind: &'static ListKind,
    /// Its ranges, as stored.
    pub(super) entries: Cow<'a, [Cidr]>,
    /// Its service tags, which only AKS knows.
    pub(super) tags: Vec<&'a str>,
    /// Who is let in. Without entries everybody is: `0.0.0.0/0`, on dual-stack endpoints `::/0` as well
    /// (<https://docs.aws.amazon.com/eks/latest/APIReference/API_VpcConfigRequest.html>,
    /// <https://learn.microsoft.com/azure/aks/api-server-authorized-ip-ranges>). Tags whose ranges the facts do not
    /// hold are left out.
    pub(super) set: AddressSet,
    /// The tags whose ranges the facts do not hold: they let more in than `set` says.
    pub(super) unknown_tags: Vec<&'a str>,
    /// Whether the endpoint has IPv6 addresses.
    pub(super) takes_ipv6: Option<bool>,
    /// How many entries the provider takes.
    pub(super) limit: usize,
}

/// What a provider calls its list.
pub(super) struct ListKind {
    /// Whose it is.
    pub(super) provider: Provider,
    /// The same for people.
    pub(super) who: &'static str,
    /// The setting.
    pub(super) setting: &'static str,
    /// The setting's own name, quoted for a sentence.
    pub(super) name: &'static str,
}

impl<'a> PublicList<'a> {
    /// The list, when the public endpoint is known to be on and the list is known.
    pub(super) fn of(view: &ConfigurationView<'a>) -> Option<Self> {
        if view.public_access() != Some(true) {
            return None;
        }
        match view.aks() {
            Some(cluster) => Some(Self::of_aks(view, cluster)),
            None => Self::of_eks(view),
        }
    }

    fn of_eks(view: &ConfigurationView<'a>) -> Option<Self> {
        let entries: &[Cidr] = view.config()?.public_access_cidrs.as_ref()?;
        let takes_ipv6 = endpoint::takes_ipv6(view.eks()?);
        let everybody = AddressSet::everything();
        let set = match (entries.is_empty(), takes_ipv6) {
            (true, Some(true)) => everybody,
            (true, _) => everybody.ipv4(),
            (false, Some(false)) => set_of(entries).ipv4(),
            (false, _) => set_of(entries),
        };
        Some(Self {
            kind: &EKS_LIST,
            entries: Cow::Borrowed(entries),
            tags: Vec::new(),
            set,
            unknown_tags: Vec::new(),
            takes_ipv6,
            limit: QUOTA,
        })
    }

    /// The public endpoint of AKS has IPv4 addresses only, as its list has.
    fn of_aks(view: &ConfigurationView<'a>, cluster: &'a ManagedCluster) -> Self {
        let sources = ranges::sources(cluster);
        let entries = ranges::entries(sources);
        let mut set = if sources.is_empty() {
            AddressSet::everything().ipv4()
        } else {
            // `0.0.0.0/32` stands for the cluster's own outbound address, and nobody has that one.
            ranges::set_of_real(&entries).ipv4()
        };
        let (mut tags, mut unknown_tags) = (Vec::new(), Vec::new());
        for source in sources {
            let AuthorizedSource::ServiceTag(tag) = source else { continue };
            tags.push(tag.as_str());
            match ranges::of_tag(view, tag) {
                Some(known) => set = set.union(&known.ipv4()),
                None => unknown_tags.push(tag.as_str()),
            }
        }
        let limit = ranges::limit(cluster);
        Self { kind: &AKS_LIST, entries: Cow::Owned(entries), tags, set, unknown_tags, takes_ipv6: Some(false), limit }
    }

    /// Whether every IPv4 address is let in.
    pub(super) fn is_open_ipv4(&self) -> bool {
        self.set.is_everything(Family::V4)
    }

    /// The ranges in their canonical form, each once, in their order.
    pub(super) fn texts(&self) -> Vec<String> {
        texts(self.entries.iter().map(|entry| entry.net))
    }

    /// How many entries it has, each once: ranges and tags.
    pub(super) fn count(&self) -> usize {
        self.texts().len() + self.tags.len()
    }

    /// `resourcesVpcConfig.publicAccessCidrs = … (3 of 40 entries)`.
    pub(super) fn setting(&self) -> String {
        let ListKind { setting, .. } = self.kind;
        match self.count() {
            0 => format!("{setting} = [] (everybody)"),
            count => format!(
                "{setting} = {} ({count} of {} entries)",
                listed(self.entries.iter().map(|entry| entry.text.as_str()).chain(self.tags.iter().copied())),
                self.limit
            ),
        }
    }
}

/// The command that makes this the whole public list: minimised where it would be too long, and a comment where even
/// that is too long, or where nothing is left, which would mean everybody.
pub(super) fn update_list(view: &ConfigurationView<'_>, whole: &[String]) -> String {
    let nets: Vec<IpNet> = whole.iter().filter_map(|text| text.parse().ok()).collect();
    if view.aks().is_some() {
        return ranges::set_to(view, &nets);
    }
    let mut list = texts(nets.iter().map(IpNet::trunc));
    if list.len() > QUOTA {
        list = AddressSet::from_nets(&nets).cover().iter().map(ToString::to_string).collect();
    }
    if list.len() > QUOTA {
        return format!(
            "# The list would have {} entries in its shortest form, {} more than EKS takes: let sources share an egress address, or use the private endpoint.",
            list.len(),
            list.len() - QUOTA
        );
    }
    // Neither of these is ever proposed: nothing, which means everybody, and everybody in however many pieces.
    let opens = AddressSet::from_nets(&nets).is_everything(Family::V4);
    if list.is_empty() || opens {
        return fill_in_list(view, &[]);
    }
    update_endpoint(view, Some(true), view.private_access(), Some(&list))
}

/// The command with a place to fill in, and what is known of those who must stay.
pub(super) fn fill_in_list(view: &ConfigurationView<'_>, keep: &[String]) -> String {
    if view.aks().is_some() {
        let keep: Vec<IpNet> = keep.iter().filter_map(|text| text.parse().ok()).collect();
        return ranges::fill_in(view, &keep);
    }
    let mut list: Vec<String> = keep.to_vec();
    let kept = AddressSet::from_nets(&keep.iter().filter_map(|text| text.parse().ok()).collect::<Vec<IpNet>>());
    list.extend(nodes_outside(view, &kept).into_iter().map(|(net, _)| net.to_string()));
    list.push("<egress address>/32".to_owned());
    format!(
        "# Fill in every source in use before running it; whoever is not on the list is cut off.\n{}",
        update_endpoint(view, Some(true), view.private_access(), Some(&list))
    )
}

/// The list lets a whole address family in.
pub(in crate::causes) fn open_to_internet(view: &ConfigurationView<'_>) -> Vec<Told> {
    let mut told = Vec::new();
    if let Some(list) = PublicList::of(view) {
        told.extend(public_open(view, &list, &open_families(&list.set)));
    }
    for list in private_lists(view) {
        for family in open_families(&list.set) {
            let pieces = list.pieces(family);
            told.push(
                Told::new(
                    Confidence::Certain,
                    format!(
                        "{} lets every {} source in on tcp/443: {}.",
                        list.name(),
                        family_word(family),
                        listed_ranges(&pieces)
                    ),
                )
                .and("It governs the private addresses only, so this means every network that is connected to the VPC, not the internet.")
                .severity(Severity::Info)
                .setting(list.setting())
                .fix(format!(
                    "# Let the networks in use in first, then take the open {} out:\n{}",
                    if pieces.len() == 1 { "entry" } else { "entries" },
                    list.replace(view, &["<client cidr>".to_owned()], &pieces)
                )),
            );
        }
    }
    told
}

/// The list lets half a family in, or far more than an organisation has.
pub(in crate::causes) fn nearly_open(view: &ConfigurationView<'_>) -> Vec<Told> {
    let mut told = Vec::new();
    if let Some(list) = PublicList::of(view) {
        // Nobody on the internet has a private or reserved address: such entries let nobody in.
        let (never, entries): (Vec<Cidr>, Vec<Cidr>) =
            list.entries.iter().cloned().partition(|entry| ranges::never_arrives(&entry.net));
        let arriving = list.set.difference(&set_of(&never));
        for family in [Family::V4, Family::V6] {
            let Some((severity, evidence, wide)) = wide(&arriving, &entries, family) else { continue };
            let keep: Vec<String> = texts(list.entries.iter().map(|one| one.net).filter(|net| !wide.contains(net)));
            told.push(
                Told::new(Confidence::Certain, format!("{} {evidence}.", list.kind.name))
                    .severity(severity)
                    .setting(list.setting())
                    .fix(
                        intended_list(view)
                            .map_or_else(|| fill_in_list(view, &keep), |intended| update_list(view, &intended)),
                    ),
            );
        }
    }
    for list in private_lists(view) {
        let public = list.set.difference(&private_space());
        let entries: Vec<Cidr> = list
            .entries
            .iter()
            .filter(|one| !private_space().overlaps(&set_of(&[(**one).clone()])))
            .copied()
            .cloned()
            .collect();
        for family in [Family::V4, Family::V6] {
            if list.set.is_everything(family) {
                continue;
            }
            let Some((_, evidence, wide)) = wide(&public, &entries, family) else { continue };
            told.push(
                Told::new(
                    Confidence::Certain,
                    format!("Of addresses that are not private, {} {evidence} on tcp/443.", list.name()),
                )
                .severity(Severity::Info)
                .setting(list.setting())
                .fix(format!(
                    "# Let the networks in use in first, then take the wide entries out:\n{}",
                    list.replace(view, &["<client cidr>".to_owned()], &wide)
                )),
            );
        }
    }
    told
}

/// Entries that change nothing.
pub(in crate::causes) fn redundant(view: &ConfigurationView<'_>) -> Vec<Told> {
    let mut told = Vec::new();
    // Where everybody is let in, every other entry is redundant, and that is not what matters then.
    if let Some(list) = PublicList::of(view).filter(|list| open_families(&list.set).is_empty()) {
        let set = set_of(&list.entries);
        let minimal = set.cover();
        if minimal.len() < list.entries.len() {
            told.push(
                Told::new(
                    Confidence::Certain,
                    format!(
                        "{} has {}; {} let exactly the same {} in, {} fewer: {}.",
                        list.kind.name,
                        counted(list.entries.len(), "entry", "entries"),
                        minimal.len(),
                        addresses(set.count()),
                        list.entries.len() - minimal.len(),
                        listed_ranges(&minimal)
                    ),
                )
                .setting(list.setting())
                .fix(update_list(view, &texts(minimal))),
            );
        }
    }
    for list in private_lists(view).iter().filter(|list| open_families(&list.set).is_empty()) {
        let inside: Vec<IpNet> = list
            .exactly_this_port()
            .into_iter()
            .filter(|net| list.entries.iter().any(|other| other.net != *net && other.net.contains(net)))
            .collect();
        if !inside.is_empty() {
            told.push(
                Told::new(
                    Confidence::Certain,
                    format!(
                        "{} of {} of {} on tcp/443 lie inside others: {}.",
                        inside.len(),
                        counted(list.entries.len(), "entry", "entries"),
                        list.name(),
                        listed_ranges(&inside)
                    ),
                )
                .setting(list.setting())
                .fix(list.replace(view, &[], &inside)),
            );
        }
    }
    told
}

/// Entries that were copied from documentation.
pub(in crate::causes) fn documentation_range(view: &ConfigurationView<'_>) -> Vec<Told> {
    let is_example = |cidr: &&Cidr| {
        DOCUMENTATION.iter().filter_map(|text| text.parse::<IpNet>().ok()).any(|net| net.contains(&cidr.net))
    };
    let sentence = |name: &str, examples: &[IpNet], all: usize| {
        format!(
            "{} of {} of {name} are reserved for examples, and no real client has such an address: {}. The source that was meant is not let in.",
            examples.len(),
            counted(all, "entry", "entries"),
            listed_ranges(examples)
        )
    };
    let mut told = Vec::new();
    if let Some(list) = PublicList::of(view) {
        let examples: Vec<IpNet> = list.entries.iter().filter(is_example).map(|cidr| cidr.net).collect();
        if !examples.is_empty() {
            let keep = texts(list.entries.iter().map(|one| one.net).filter(|net| !examples.contains(net)));
            told.push(
                Told::new(Confidence::Certain, sentence(list.kind.name, &examples, list.entries.len()))
                    .setting(list.setting())
                    .fix(fill_in_list(view, &keep)),
            );
        }
    }
    for list in private_lists(view) {
        let examples: Vec<IpNet> = list.entries.iter().copied().filter(is_example).map(|cidr| cidr.net).collect();
        if !examples.is_empty() {
            told.push(
                Told::new(Confidence::Certain, sentence(&list.name(), &examples, list.entries.len()))
                    .setting(list.setting())
                    .fix(list.replace(view, &["<client cidr>".to_owned()], &examples)),
            );
        }
    }
    told
}

/// The lists let in more than was intended.
pub(in crate::causes) fn exceeds_intent(view: &ConfigurationView<'_>) -> Vec<Told> {
    let severity = match view.strictness {
        super::Strictness::Lint => Severity::Warning,
        super::Strictness::Verify => Severity::Error,
    };
    let mut told = Vec::new();
    if let Some((access, intended)) = intended(view.intent.and_then(|intent| intent.public_access.as_ref()))
        && let Some(list) = PublicList::of(view)
    {
        let excess = list.set.difference(&intended);
        if !excess.is_empty() {
            let kept = list.set.intersection(&intended);
            let whole = if kept.is_empty() { &intended } else { &kept };
            let mut one = Told::new(
                Confidence::Certain,
                format!(
                    "Expected: {} lets in {} (intent.publicAccess.allow{}).",
                    list.kind.name,
                    of_set(&intended),
                    line(access.line)
                ),
            )
            .and(format!(
                "Seen: it lets in {} more: {}.",
                addresses(excess.count()),
                listed_ranges(&excess.cover())
            ));
            let nodes = nodes_outside(view, &intended);
            let mut list_after = texts(whole.cover());
            let mut taken = excess.clone();
            if !nodes.is_empty() {
                taken = taken.difference(&AddressSet::from_nets(nodes.iter().map(|(net, _)| net)));
                one = one.and(format!(
                    "Among them are addresses by which the cluster's own nodes reach it, because {}: {}. Add them to the intent{}.",
                    match list.kind.provider {
                        Provider::Aks if view.integration_pending() =>
                            "VNet integration takes effect only after a restart",
                        Provider::Aks => "its API server is not VNet-integrated",
                        _ => "private access is off",
                    },
                    listed(nodes.iter().map(|(net, origin)| format!("{} ({origin})", words::place(*net)))),
                    if taken.is_empty() { "" } else { "; the command below keeps them" }
                ));
                list_after.extend(nodes.iter().map(|(net, _)| net.to_string()));
            }
            let losing: Vec<String> = vantages_in(view, &taken, Over::Internet);
            if !losing.is_empty() {
                one = one.and(format!("It cuts off {}.", listed(losing)));
            }
            let fix = if taken.is_empty() {
                "# Nothing to take off the list: add the nodes' addresses to the intent.".to_owned()
            } else {
                one = one.and(format!("The command below takes {} off the list.", addresses(taken.count())));
                update_list(view, &list_after)
            };
            // The cluster's own nodes must be let in, whoever forgot to say so.
            let severity = if taken.is_empty() { Severity::Warning } else { severity };
            told.push(one.severity(severity).setting(list.setting()).fix(fix));
        }
    }
    if let Some((access, intended)) = intended(view.intent.and_then(|intent| intent.private_access.as_ref())) {
        for list in private_lists(view) {
            let excess = list.set.difference(&intended);
            if excess.is_empty() {
                continue;
            }
            let wide: Vec<IpNet> = list
                .entries
                .iter()
                .filter(|one| !intended.is_superset(&set_of(&[(**one).clone()])))
                .map(|one| one.net)
                .collect();
            let keep = AddressSet::from_nets(&wide).intersection(&intended).cover();
            let note = if keep.is_empty() { "" } else { "# What is intended of these entries stays:\n" };
            let fix = format!("{note}{}", list.replace(view, &texts(keep), &wide));
            told.push(
                Told::new(
                    Confidence::Certain,
                    format!(
                        "Expected: the control plane's security groups let in {} on tcp/443 (intent.privateAccess.allow{}).",
                        of_set(&intended),
                        line(access.line)
                    ),
                )
                .and(format!(
                    "Seen: {} lets in {} more: {}.",
                    list.name(),
                    addresses(excess.count()),
                    listed_ranges(&excess.cover())
                ))
                .severity(severity)
                .setting(list.setting())
                .fix(fix),
            );
        }
    }
    told
}

/// The lists lack sources that were intended.
pub(in crate::causes) fn lacks_intended(view: &ConfigurationView<'_>) -> Vec<Told> {
    let mut told = Vec::new();
    if let Some(access) = view.intent.and_then(|intent| intent.public_access.as_ref()).filter(|access| access.enabled)
        && let Some(list) = PublicList::of(view)
    {
        told.extend(public_lacks(view, access, &list));
    }
    if let Some((access, intended)) = intended(view.intent.and_then(|intent| intent.private_access.as_ref()))
        && view.private_access() == Some(true)
    {
        told.extend(private_lacks(view, access, &intended));
    }
    told
}

/// One family of the public endpoint is open, the other is not.
pub(in crate::causes) fn one_family_open(view: &ConfigurationView<'_>) -> Vec<Told> {
    let Some(list) = PublicList::of(view).filter(|list| list.takes_ipv6 == Some(true)) else { return Vec::new() };
    let [open] = open_families(&list.set)[..] else { return Vec::new() };
    let other = if open == Family::V4 { Family::V6 } else { Family::V4 };
    let rest = list.set.family(other);
    let keep = texts(rest.cover());
    vec![
        Told::new(
            Confidence::Certain,
            format!(
                "The endpoint has both families. {} is open to everybody; {} is restricted to {}.",
                family_word(open),
                family_word(other),
                of_set(&rest)
            ),
        )
        .and(format!(
            "Whoever has an {} address gets in, whatever the {} part says.",
            family_word(open),
            family_word(other)
        ))
        .setting(list.setting())
        .fix(intended_list(view).map_or_else(|| fill_in_list(view, &keep), |intended| update_list(view, &intended))),
    ]
}

fn public_open(view: &ConfigurationView<'_>, list: &PublicList<'_>, open: &[Family]) -> Option<Told> {
    let name = list.kind.name;
    let of_family = |family: Family| -> Vec<IpNet> {
        list.entries.iter().map(|entry| entry.net).filter(|net| Family::of(net.addr()) == family).collect()
    };
    let sentence = |family: Family| {
        let entries = of_family(family);
        match entries.iter().find(|net| net.prefix_len() == 0) {
            Some(net) => format!("{name} holds {net}: every {} address is let in.", family_word(family)),
            None if entries.is_empty() && list.tags.is_empty() => {
                format!("{name} has no entry, which means everybody: every {} address is let in.", family_word(family))
            }
            None => format!(
                "{name} has no entry for everybody, but {} add up to the whole of {}: {}.",
                counted(entries.len(), "entry", "entries"),
                family_word(family),
                listed_ranges(&entries)
            ),
        }
    };
    // Pieces that add up to everybody are all taken out; a narrow entry beside an open one is a real source.
    let real = |net: &IpNet| {
        let family = Family::of(net.addr());
        !open.contains(&family)
            || (net.prefix_len() > 0 && of_family(family).iter().any(|other| other.prefix_len() == 0))
    };
    let (first, rest) = open.split_first()?;
    let mut told = Told::new(Confidence::Certain, sentence(*first));
    for family in rest {
        told = told.and(sentence(*family));
    }
    let keep = texts(list.entries.iter().map(|entry| entry.net).filter(real));
    let fix = intended_list(view).map_or_else(|| fill_in_list(view, &keep), |intended| update_list(view, &intended));
    Some(
        told.and("Credentials are the only thing between the internet and the API server.")
            .setting(list.setting())
            .fix(fix),
    )
}

fn public_lacks(view: &ConfigurationView<'_>, access: &Access, list: &PublicList<'_>) -> Option<Told> {
    let everybody = access.allow.is_none();
    let intended = access.allow.as_ref().map_or_else(AddressSet::everything, AddressSet::from_nets);
    let missing = intended.difference(&list.set);
    // Without an IPv6 address nobody comes by IPv6, and the list would not take such an entry.
    let (countable, by_ipv6) = match list.takes_ipv6 {
        Some(true) => (missing.clone(), AddressSet::empty()),
        _ => (missing.ipv4(), if everybody { AddressSet::empty() } else { missing.ipv6() }),
    };
    if countable.is_empty() && by_ipv6.is_empty() {
        return None;
    }
    let expected = format!(
        "Expected: {} lets in {} (intent.publicAccess.allow{}).",
        list.kind.name,
        if everybody { "everybody".to_owned() } else { of_set(&intended) },
        line(access.line)
    );
    let six = (!by_ipv6.is_empty()).then(|| {
        let known = if list.kind.provider == Provider::Aks {
            "AKS lists IPv4 ranges only, so these sources come by IPv4, if at all"
        } else if list.takes_ipv6 == Some(false) {
            "the endpoint has no IPv6 address, so these sources come by IPv4, if at all"
        } else {
            "whether the endpoint has IPv6 addresses is not known (kubernetesNetworkConfig.ipFamily)"
        };
        format!("{} of the intent are IPv6: {}; {known}.", addresses(by_ipv6.count()), listed_ranges(&by_ipv6.cover()))
    });
    if countable.is_empty() {
        return Some(
            Told::new(Confidence::Certain, expected)
                .and(six.unwrap_or_default())
                .severity(Severity::Warning)
                .setting(list.setting())
                .fix("# Name the IPv4 egress addresses of these sources in the scenario's intent."),
        );
    }
    let mut told = Told::new(Confidence::Certain, expected).and(format!(
        "Seen: {} of it are not on the list: {}.",
        addresses(countable.count()),
        listed_ranges(&countable.cover())
    ));
    told = told.and(cut_off(view, &countable, Over::Internet));
    if let Some(six) = six {
        told = told.and(six);
    }
    let fix = if everybody {
        "# The intent names no sources, so it lets everybody in. Name the real ones in the scenario: publicAccess: { enabled: true, allow: [<range>] }".to_owned()
    } else {
        let mut whole = list.texts();
        whole.extend(texts(countable.cover()));
        format!(
            "# Lets {} more in; the API replaces the list, so it is whole:\n{}",
            addresses(countable.count()),
            update_list(view, &whole)
        )
    };
    if !list.unknown_tags.is_empty() {
        told = told.and(format!(
            "Not known: the ranges of the service {} {}. They may hold these sources, so this is possible only.",
            if list.unknown_tags.len() == 1 { "tag" } else { "tags" },
            listed(&list.unknown_tags)
        ));
        told = Told { confidence: Some(Confidence::Possible), ..told }.severity(Severity::Warning);
    }
    Some(told.setting(list.setting()).fix(fix))
}

fn private_lacks(view: &ConfigurationView<'_>, access: &Access, intended: &AddressSet) -> Option<Told> {
    let groups = view.control_plane_groups();
    let lists = private_lists(view);
    let configured = lists.iter().fold(AddressSet::empty(), |all, list| all.union(&list.set));
    let missing = intended.difference(&configured);
    // Without IPv6 service the control plane's interfaces have no IPv6 address.
    let missing = if view.eks().and_then(endpoint::takes_ipv6) == Some(true) { missing } else { missing.ipv4() };
    if missing.is_empty() {
        return None;
    }
    let absent: Vec<&str> = groups.iter().copied().filter(|id| view.group(id).is_none()).collect();
    let unread = unread_prefix_lists(view);
    if groups.is_empty() || absent.len() == groups.len() {
        // Nothing of the groups is known: that is told as missing facts.
        return None;
    }
    let mut told = Told::new(
        Confidence::Certain,
        format!(
            "Expected: the control plane's security groups let in {} on tcp/443 (intent.privateAccess.allow{}).",
            of_set(intended),
            line(access.line)
        ),
    )
    .and(format!(
        "Seen: no rule of {} ({}) names {} of it: {}.",
        counted(groups.len(), "group", "groups"),
        listed(&groups),
        addresses(missing.count()),
        listed_ranges(&missing.cover())
    ))
    .and(cut_off(view, &missing, Over::PrivateNetworks));
    let references = group_references(view);
    if !references.is_empty() {
        told = told.and(format!(
            "Members of {} are let in whatever their address; they are not counted.",
            listed(&references)
        ));
    }
    if !absent.is_empty() || !unread.is_empty() {
        told = told.and(format!(
            "Not known: the rules of {}. They may let these sources in, so this is possible only.",
            listed(absent.iter().copied().chain(unread.iter().copied()))
        ));
        told = Told { confidence: Some(Confidence::Possible), ..told }.severity(Severity::Warning);
    }
    let group = view
        .config()
        .and_then(|config| config.security_group_ids.first().or(config.cluster_security_group_id.as_ref()))?;
    let commands: Vec<String> =
        missing.cover().iter().take(MOST_COMMANDS).map(|net| authorize(view, group, &net.to_string())).collect();
    let rest = missing.cover().len().saturating_sub(MOST_COMMANDS);
    let more = if rest == 0 { String::new() } else { format!("\n# and likewise for {rest} more ranges") };
    Some(told.setting(format!("IpPermissions of {}", listed(&groups))).fix(format!(
        "# Lets {} more in on tcp/443:\n{}{more}",
        addresses(missing.count()),
        commands.join("\n")
    )))
}

/// `Of the vantages, laptop and ci are cut off.`
fn cut_off(view: &ConfigurationView<'_>, missing: &AddressSet, over: Over) -> String {
    let names = vantages_in(view, missing, over);
    if names.is_empty() {
        "No vantage of a known address is among them.".to_owned()
    } else {
        format!(
            "That cuts off {} of {}: {}.",
            names.len(),
            counted(view.vantages.len(), "known vantage", "known vantages"),
            listed(names)
        )
    }
}

/// By which path a list lets in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Over {
    /// The public endpoint: only public addresses come by it.
    Internet,
    /// The private endpoint.
    PrivateNetworks,
}

/// The known vantages with an address in a set: `laptop (198.51.100.7)`.
fn vantages_in(view: &ConfigurationView<'_>, set: &AddressSet, over: Over) -> Vec<String> {
    let classes = AddressClasses::default();
    let comes = |address: &IpAddr| over == Over::PrivateNetworks || classes.of(*address) != AddressClass::Private;
    view.vantages
        .iter()
        .filter_map(|vantage| {
            let address = vantage.addresses.iter().find(|address| set.contains(**address) && comes(address))?;
            Some(format!("{} ({address})", vantage.name))
        })
        .collect()
}

/// A security group or prefix list that lets sources in to the control plane's interfaces on tcp/443.
struct PrivateList<'a> {
    of: Of<'a>,
    entries: Vec<&'a Cidr>,
    set: AddressSet,
}

enum Of<'a> {
    /// A group, with the rule of each entry.
    Group(&'a SecurityGroup, Vec<&'a Permission>),
    /// A prefix list, by its id.
    PrefixList(&'a str, Option<&'a PrefixList>),
}

impl PrivateList<'_> {
    /// `sg-0abc`, for a sentence.
    fn name(&self) -> String {
        super::super::evidence::clean(match &self.of {
            Of::Group(group, _) => &group.group_id,
            Of::PrefixList(id, _) => id,
        })
    }

    fn setting(&self) -> String {
        let entries = counted(self.entries.len(), "source", "sources");
        match &self.of {
            Of::Group(..) => format!("IpPermissions of {} ({entries} on tcp/443)", self.name()),
            Of::PrefixList(..) => format!("entries of {} ({entries})", self.name()),
        }
    }

    /// The entries of one family that lie inside what makes it open: those of length zero, else all.
    fn pieces(&self, family: Family) -> Vec<IpNet> {
        let all: Vec<IpNet> =
            self.entries.iter().map(|entry| entry.net).filter(|net| Family::of(net.addr()) == family).collect();
        let whole: Vec<IpNet> = all.iter().copied().filter(|net| net.prefix_len() == 0).collect();
        if whole.is_empty() { all } else { whole }
    }

    /// The entries that open this port and nothing else; a wider rule may be there for another reason.
    fn exactly_this_port(&self) -> Vec<IpNet> {
        match &self.of {
            Of::Group(_, permissions) => self
                .entries
                .iter()
                .zip(permissions)
                .filter(|(_, permission)| permission.from_port == Some(PORT) && permission.to_port == Some(PORT))
                .map(|(entry, _)| entry.net)
                .collect(),
            Of::PrefixList(..) => self.entries.iter().map(|entry| entry.net).collect(),
        }
    }

    /// The commands that let sources in and then take entries out.
    fn replace(&self, view: &ConfigurationView<'_>, sources: &[String], entries: &[IpNet]) -> String {
        let sources = sources.iter().take(MOST_COMMANDS);
        match &self.of {
            Of::Group(group, permissions) => {
                let mut commands: Vec<String> =
                    sources.map(|source| authorize(view, &group.group_id, source)).collect();
                let stored = self.entries.iter().zip(permissions).filter(|(entry, _)| entries.contains(&entry.net));
                commands.extend(
                    stored
                        .take(MOST_COMMANDS)
                        .map(|(entry, permission)| revoke(view, &group.group_id, permission, entry)),
                );
                commands.join("\n")
            }
            Of::PrefixList(id, list) => {
                let version = list
                    .and_then(|list| list.version)
                    .map_or_else(|| "<version>".to_owned(), |version| version.to_string());
                let mut command =
                    format!("modify-managed-prefix-list --prefix-list-id {} --current-version {version}", shell(id));
                let add: Vec<String> = sources.map(|source| format!("'Cidr={source}'")).collect();
                let remove: Vec<String> =
                    entries.iter().take(MOST_COMMANDS).map(|entry| format!("'Cidr={entry}'")).collect();
                for (option, entries) in [("--add-entries", add), ("--remove-entries", remove)] {
                    if !entries.is_empty() {
                        command = format!("{command} {option} {}", entries.join(" "));
                    }
                }
                words::ec2(view, &command)
            }
        }
    }
}

/// The lists before the private endpoint, when that is known to be on: each group of the control plane with its rules
/// on tcp/443, then the prefix lists that these name and whose entries are known.
fn private_lists<'a>(view: &ConfigurationView<'a>) -> Vec<PrivateList<'a>> {
    let mut lists = Vec::new();
    if view.private_access() != Some(true) {
        return lists;
    }
    for group in view.control_plane_groups().into_iter().filter_map(|id| view.group(id)) {
        let (mut entries, mut permissions) = (Vec::new(), Vec::new());
        for permission in group.ip_permissions.iter().flatten().filter(|permission| speaks_of_tcp(permission, PORT)) {
            let four = permission.ip_ranges.iter().filter_map(|range| range.cidr_ip.as_ref());
            let six = permission.ipv6_ranges.iter().filter_map(|range| range.cidr_ipv6.as_ref());
            for cidr in four.chain(six) {
                entries.push(cidr);
                permissions.push(permission);
            }
        }
        let set = AddressSet::from_nets(entries.iter().map(|entry| &entry.net));
        lists.push(PrivateList { of: Of::Group(group, permissions), entries, set });
    }
    for id in referenced_prefix_lists(view) {
        let Some(found) = view.facts.network.prefix_list_entries.iter().find(|one| one.prefix_list_id == id) else {
            continue;
        };
        let list = view.facts.network.prefix_lists.iter().flatten().find(|one| one.prefix_list_id == id);
        lists.push(PrivateList {
            of: Of::PrefixList(id, list),
            entries: found.entries.iter().collect(),
            set: set_of(&found.entries),
        });
    }
    lists
}

/// Prefix lists that rules of the control plane's groups name for tcp/443.
pub(super) fn referenced_prefix_lists<'a>(view: &ConfigurationView<'a>) -> Vec<&'a str> {
    let mut ids: Vec<&str> = Vec::new();
    for group in view.control_plane_groups().into_iter().filter_map(|id| view.group(id)) {
        for permission in group.ip_permissions.iter().flatten().filter(|permission| speaks_of_tcp(permission, PORT)) {
            for reference in &permission.prefix_list_ids {
                if !ids.contains(&reference.prefix_list_id.as_str()) {
                    ids.push(&reference.prefix_list_id);
                }
            }
        }
    }
    ids
}

/// Those of them whose entries no file holds.
pub(super) fn unread_prefix_lists<'a>(view: &ConfigurationView<'a>) -> Vec<&'a str> {
    let read = |id: &str| view.facts.network.prefix_list_entries.iter().any(|one| one.prefix_list_id == id);
    referenced_prefix_lists(view).into_iter().filter(|id| !read(id)).collect()
}

/// Groups that rules of the control plane's groups name for tcp/443.
fn group_references<'a>(view: &ConfigurationView<'a>) -> Vec<&'a str> {
    let mut ids: Vec<&str> = Vec::new();
    for group in view.control_plane_groups().into_iter().filter_map(|id| view.group(id)) {
        for permission in group.ip_permissions.iter().flatten().filter(|permission| speaks_of_tcp(permission, PORT)) {
            for id in permission.user_id_group_pairs.iter().filter_map(|pair| pair.group_id.as_deref()) {
                if !ids.contains(&id) {
                    ids.push(id);
                }
            }
        }
    }
    ids
}

fn authorize(view: &ConfigurationView<'_>, group: &str, source: &str) -> String {
    let range = if source.contains(':') {
        format!("Ipv6Ranges=[{{CidrIpv6={source}}}]")
    } else {
        format!("IpRanges=[{{CidrIp={source}}}]")
    };
    words::ec2(
        view,
        &format!(
            "authorize-security-group-ingress --group-id {} --ip-permissions 'IpProtocol=tcp,FromPort=443,ToPort=443,{range}'",
            shell(group)
        ),
    )
}

/// The very rule, as it is stored.
fn revoke(view: &ConfigurationView<'_>, group: &str, permission: &Permission, entry: &Cidr) -> String {
    let range = if entry.net.addr().is_ipv4() {
        format!("IpRanges=[{{CidrIp={}}}]", entry.text)
    } else {
        format!("Ipv6Ranges=[{{CidrIpv6={}}}]", entry.text)
    };
    let ports = match (permission.from_port, permission.to_port) {
        (Some(from), Some(to)) => format!("FromPort={from},ToPort={to},"),
        _ => String::new(),
    };
    let rule = format!("IpProtocol={},{ports}{range}", permission.ip_protocol.as_deref().unwrap_or("-1"));
    words::ec2(
        view,
        &format!("revoke-security-group-ingress --group-id {} --ip-permissions {}", shell(group), shell(&rule)),
    )
}

/// What an intent lets in, when it is on and names sources.
fn intended(access: Option<&Access>) -> Option<(&Access, AddressSet)> {
    let access = access.filter(|access| access.enabled)?;
    Some((access, AddressSet::from_nets(access.allow.as_ref()?)))
}

/// The intended public sources as a list, when they are known and not everybody; with the nodes' own addresses where
/// these have no other way.
fn intended_list(view: &ConfigurationView<'_>) -> Option<Vec<String>> {
    let (_, set) = intended(view.intent.and_then(|intent| intent.public_access.as_ref()))?;
    if set.is_empty() || !open_families(&set).is_empty() {
        return None;
    }
    let mut list = texts(set.cover());
    list.extend(nodes_outside(view, &set).into_iter().map(|(net, _)| net.to_string()));
    Some(list)
}

/// The egress addresses of the nodes that a set lacks, while they depend on the list.
pub(super) fn nodes_outside(view: &ConfigurationView<'_>, set: &AddressSet) -> Vec<(IpNet, String)> {
    if !view.nodes_come_publicly() {
        return Vec::new();
    }
    let known = if view.aks().is_some() {
        outbound::outbound(view).known
    } else {
        nodes::egress(view).known.into_iter().map(|(address, origin)| (IpNet::from(address), origin)).collect()
    };
    known.into_iter().filter(|(net, _)| !set.is_superset(&AddressSet::from_nets([net]))).collect()
}

/// How wide a list is in a family, beyond what is usual: severity, words, the wide entries. Nothing for a whole family.
fn wide(set: &AddressSet, entries: &[Cidr], family: Family) -> Option<(Severity, String, Vec<IpNet>)> {
    let part = set.family(family);
    if part.is_empty() || part.is_everything(family) {
        return None;
    }
    let (bits, shortest) = match family {
        Family::V4 => (32_u32, 16),
        Family::V6 => (128, 32),
    };
    let count = part.count();
    let of_family = entries.iter().map(|entry| entry.net).filter(|net| Family::of(net.addr()) == family);
    let wide: Vec<IpNet> = of_family.clone().filter(|net| net.prefix_len() < shortest).collect();
    let half = 1_u128 << (bits - 1);
    // A part of 256, as much as a /8.
    let large = 1_u128 << (bits - 8);
    let percent = count.min(u128::MAX / 128) / ((half / 50).max(1));
    let named = if wide.is_empty() { of_family.collect() } else { wide.clone() };
    if count >= half {
        let words = format!("lets in {percent} % of all {} addresses: {}", family_word(family), listed_ranges(&named));
        Some((Severity::Warning, words, named))
    } else if count >= large {
        let words = format!(
            "lets in {} in {}, a /8 or more in sum: {}",
            addresses(count),
            family_word(family),
            listed_ranges(&named)
        );
        Some((Severity::Info, words, wide))
    } else if wide.is_empty() {
        None
    } else {
        let words = format!(
            "has {} wider than a /{shortest}: {}",
            counted(wide.len(), "entry", "entries"),
            listed_ranges(&wide)
        );
        Some((Severity::Info, words, wide))
    }
}

fn open_families(set: &AddressSet) -> Vec<Family> {
    [Family::V4, Family::V6].into_iter().filter(|family| set.is_everything(*family)).collect()
}

pub(super) fn set_of(entries: &[Cidr]) -> AddressSet {
    AddressSet::from_nets(entries.iter().map(|entry| &entry.net))
}

/// The ranges as texts, each once, in their order.
pub(super) fn texts(nets: impl IntoIterator<Item = IpNet>) -> Vec<String> {
    let mut seen: HashSet<IpNet> = HashSet::new();
    nets.into_iter().filter(|net| seen.insert(*net)).map(|net| net.to_string()).collect()
}

/// `203.0.113.0/24, 2001:db8::/48 (256 addresses)`.
fn of_set(set: &AddressSet) -> String {
    if set.is_empty() {
        "nobody".to_owned()
    } else {
        format!("{} ({})", listed_ranges(&set.cover()), addresses(set.count()))
    }
}

const fn family_word(family: Family) -> &'static str {
    match family {
        Family::V4 => "IPv4",
        Family::V6 => "IPv6",
    }
}

/// Ranges that no host of the internet has: RFC 1918, RFC 6598, unique local addresses.
pub(super) fn private_space() -> AddressSet {
    let nets: Vec<IpNet> = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"]
        .iter()
        .filter_map(|text| text.parse().ok())
        .collect();
    AddressSet::from_nets(&nets)
}

const EKS_LIST: ListKind = ListKind {
    provider: Provider::Eks,
    who: "EKS",
    setting: "resourcesVpcConfig.publicAccessCidrs",
    name: "`publicAccessCidrs`",
};
pub(super) const AKS_LIST: ListKind = ListKind {
    provider: Provider::Aks,
    who: "AKS",
    setting: "apiServerAccessProfile.authorizedIPRanges",
    name: "`authorizedIPRanges`",
};
/// Entries that EKS takes; not adjustable (<https://docs.aws.amazon.com/eks/latest/userguide/service-quotas.html>).
pub(super) const QUOTA: usize = 40;
pub(super) const DOCUMENTATION: &[&str] = &["192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32"];
const PORT: i64 = 443;
const MOST_COMMANDS: usize = 16;

//! Private DNS of an AKS cluster: its zone, the zone's links and record, and which zone a network really asks.
//!
//! Rules after <https://learn.microsoft.com/azure/aks/private-clusters>,
//! <https://learn.microsoft.com/azure/dns/private-dns-virtual-network-links> and
//! <https://learn.microsoft.com/azure/dns/private-dns-fallback>.

use std::{collections::BTreeSet, net::IpAddr};

use super::{
    super::{Told, evidence::clean},
    ConfigurationView,
    azure::{AZURE_DNS, api_addresses, node_networks, reconcile},
    is,
    words::{azure_options, id_word, listed},
};
use crate::{
    facts::{
        aks::ManagedCluster,
        azure::{ArmId, Kind, PrivateDnsRecordSet, PrivateDnsZone, PrivateDnsZoneLink, VirtualNetwork},
    },
    report::{Confidence, Severity},
};

/// The zone of a cluster's private name.
pub(super) struct ClusterZone<'a> {
    /// The zone, where the facts hold it.
    pub(super) zone: Option<&'a PrivateDnsZone>,
    /// Its id, where the cluster names it or the facts hold it.
    pub(super) id: Option<ArmId>,
    /// The private name of the API server, lower case.
    pub(super) host: String,
}

/// What a network's Azure DNS makes of a name.
pub(super) enum Seen<'a> {
    /// A zone answers for it, with the link that makes it do so.
    Zone(&'a PrivateDnsZone, &'a PrivateDnsZoneLink),
    /// None of the zones does: public DNS is asked.
    Nothing,
}

/// The zone of a private cluster; `None` where there is none, or the facts do not tell its name.
pub(super) fn zone<'a>(view: &ConfigurationView<'a>) -> Option<ClusterZone<'a>> {
    let cluster = view.aks().filter(|cluster| cluster.is_private())?;
    let setting = cluster.api_server_access_profile.as_ref()?.private_dns_zone.as_deref();
    if is(setting, "none") {
        return None;
    }
    let host = host_of(cluster.private_fqdn.as_deref()?)?;
    let zones = view.facts.azure.private_dns_zones.as_deref().unwrap_or_default();
    let named = setting.filter(|text| text.starts_with('/')).map(ArmId::new);
    let found = match &named {
        Some(id) => zones.iter().find(|zone| zone.id == *id),
        // The zone that AKS made lies in the resource group of the nodes.
        None => {
            let group = cluster.node_resource_group.as_deref().unwrap_or_default();
            let fits = |zone: &&PrivateDnsZone| is_under(&host, &zone.name);
            let own =
                |zone: &&PrivateDnsZone| zone.id.resource_group().is_some_and(|name| name.eq_ignore_ascii_case(group));
            let best = zones.iter().filter(fits).filter(own).max_by_key(|zone| zone.name.len());
            best.or_else(|| {
                zones.iter().filter(fits).max_by_key(|zone| zone.name.len()).filter(|_| !is(setting, "system"))
            })
        }
    };
    Some(ClusterZone { zone: found, id: named.or_else(|| found.map(|zone| zone.id.clone())), host })
}

/// The networks that must see the zone, each with why and how bad it is when it does not.
pub(super) struct Watcher<'a> {
    /// The network.
    pub(super) network: &'a VirtualNetwork,
    /// `the nodes' network`.
    pub(super) who: String,
    /// How bad it is when the name does not resolve there.
    pub(super) severity: Severity,
}

/// The networks whose Azure DNS decides: of the nodes or of the DNS servers that they ask, and of the known vantages.
pub(super) fn watchers<'a>(view: &ConfigurationView<'a>) -> Vec<Watcher<'a>> {
    let mut found: Vec<Watcher<'a>> = Vec::new();
    let mut add = |network: &'a VirtualNetwork, who: String, severity: Severity| {
        if !found.iter().any(|known| known.network.id == network.id) {
            found.push(Watcher { network, who, severity });
        }
    };
    for network in node_networks(view) {
        for (network, who) in deciding(view, network, "the nodes' network") {
            add(network, who, Severity::Error);
        }
    }
    for vantage in view.vantages {
        let places: BTreeSet<ArmId> = vantage
            .addresses
            .iter()
            .map(|address| view.azure_networks_of(*address))
            .filter(|networks| networks.len() == 1)
            .flat_map(|networks| networks.into_iter().map(|network| network.id.clone()))
            .collect();
        for network in places.iter().filter_map(|id| view.azure_network(id)) {
            for (network, who) in deciding(view, network, &format!("the network of {}", clean(&vantage.name))) {
                add(network, who, Severity::Warning);
            }
        }
    }
    found
}

/// The DNS servers of a network that are not Azure's own.
pub(super) fn own_servers(network: &VirtualNetwork) -> Vec<&str> {
    let servers = network.dhcp_options.dns_servers.iter().map(String::as_str);
    servers.filter(|text| text.trim().parse::<IpAddr>() != Ok(AZURE_DNS)).collect()
}

/// The zone that a network's Azure DNS asks for a name: of those linked to it, the one of the longest name.
pub(super) fn seen_by<'a>(view: &ConfigurationView<'a>, network: &ArmId, host: &str) -> Seen<'a> {
    let zones = view.facts.azure.private_dns_zones.as_deref().unwrap_or_default();
    let links = view.facts.azure.private_dns_zone_links.as_deref().unwrap_or_default();
    let linked = links.iter().filter(|link| link.virtual_network.as_ref().is_some_and(|one| one.id == *network));
    linked
        .filter_map(|link| {
            let id = link.id.parent()?;
            Some((zones.iter().find(|zone| zone.id == id && is_under(host, &zone.name))?, link))
        })
        .max_by_key(|(zone, _)| zone.name.len())
        .map_or(Seen::Nothing, |(zone, link)| Seen::Zone(zone, link))
}

/// The addresses that a zone has for a name. `None`: which records it has is not known.
pub(super) fn recorded(view: &ConfigurationView<'_>, zone: &PrivateDnsZone, host: &str) -> Option<Vec<IpAddr>> {
    let records = view.facts.azure.private_dns_records.as_deref().unwrap_or_default();
    let domain = zone.name.trim_end_matches('.').to_ascii_lowercase();
    let own = host.strip_suffix(&domain).map_or("@", |rest| rest.trim_end_matches('.'));
    let own = if own.is_empty() { "@" } else { own };
    let of_zone = |set: &&PrivateDnsRecordSet| set.id.parent().as_ref() == Some(&zone.id);
    let addresses = |name: &str| -> Vec<IpAddr> {
        let sets = records.iter().filter(of_zone).filter(|set| set.name.eq_ignore_ascii_case(name));
        sets.flat_map(|set| &set.a_records).filter_map(|record| record.ipv4_address).collect()
    };
    let exact = addresses(own);
    if !exact.is_empty() {
        return Some(exact);
    }
    let wildcard = addresses("*");
    if !wildcard.is_empty() {
        return Some(wildcard);
    }
    view.facts.azure_lists(Kind::PrivateDnsRecordSet).then(Vec::new)
}

/// The zone is not linked to a network that asks for the name.
pub(in crate::causes) fn not_linked(view: &ConfigurationView<'_>) -> Vec<Told> {
    let Some(zone) = zone(view) else { return Vec::new() };
    let (Some(id), true) = (&zone.id, view.facts.azure_lists(Kind::PrivateDnsZoneLink)) else { return Vec::new() };
    let name = zone.zone.map_or_else(|| clean(id.name()), |zone| clean(&zone.name));
    let links = view.facts.azure.private_dns_zone_links.as_deref().unwrap_or_default();
    let own: Vec<&PrivateDnsZoneLink> = links.iter().filter(|link| link.id.parent().as_ref() == Some(id)).collect();
    let public_name = has_public_name(view.aks());
    let mut told = Vec::new();
    for Watcher { network, who, severity } in watchers(view) {
        let linked = own.iter().any(|link| link.virtual_network.as_ref().is_some_and(|one| one.id == network.id));
        // Another zone that answers is told as such, unless it has the record.
        if linked || !matches!(seen_by(view, &network.id, &zone.host), Seen::Nothing) {
            continue;
        }
        let names = own.iter().filter_map(|link| link.virtual_network.as_ref()).map(|one| one.id.name());
        let mut one = Told::new(
            Confidence::Likely,
            format!(
                "The zone {name} has no link to {} ({who}): Azure DNS denies {} there.",
                clean(network.id.name()),
                clean(&zone.host)
            ),
        )
        .and(if own.is_empty() {
            "It is linked to no network at all.".to_owned()
        } else {
            format!("It is linked to {}.", listed(names))
        });
        let severity = if severity == Severity::Warning && public_name {
            one = one.and("The public name gives the private address there all the same.");
            Severity::Info
        } else {
            severity
        };
        told.push(one.severity(severity).setting(format!("virtualNetworkLinks of {name} ({})", own.len())).fix(
            format!(
                "az network private-dns link vnet create {} -n {} --virtual-network {} --registration-enabled false",
                azure_options(id, "-z", id.name()),
                super::super::evidence::shell(&format!("{}-link", network.id.name())),
                id_word(&network.id)
            ),
        ));
    }
    told
}

/// The zone's record is missing, or leads elsewhere than to the API server.
pub(in crate::causes) fn record_wrong(view: &ConfigurationView<'_>) -> Vec<Told> {
    let Some(cluster) = view.aks().filter(|_| !view.planned) else { return Vec::new() };
    let Some(ClusterZone { zone, id, host }) = zone(view) else { return Vec::new() };
    if is(cluster.power_state.as_ref().and_then(|state| state.code.as_deref()), "Stopped") {
        return Vec::new();
    }
    let addresses = api_addresses(view);
    let Some(zone) = zone else {
        if !view.facts.azure_lists(Kind::PrivateDnsZone) {
            return Vec::new();
        }
        return vec![
            Told::new(
                Confidence::Likely,
                format!(
                    "No private DNS zone of the facts holds {}{}: the name exists nowhere.",
                    clean(&host),
                    id.map(|id| format!(" (privateDNSZone is {})", clean(id.name()))).unwrap_or_default()
                ),
            )
            .and("A zone that the credentials may not read looks missing as well.")
            .setting("privateDNSZone")
            .fix(reconcile(view)),
        ];
    };
    let Some(recorded) = recorded(view, zone, &host) else { return Vec::new() };
    let name = clean(&zone.name);
    if recorded.is_empty() {
        return vec![
            Told::new(
                Confidence::Likely,
                format!("The zone {name} has no A record for {}: the name does not exist.", clean(&host)),
            )
            .setting(format!("A records of {name}: none for {}", clean(&host)))
            .fix(reconcile(view)),
        ];
    }
    if addresses.is_empty() || recorded.iter().all(|address| addresses.contains(address)) {
        return Vec::new();
    }
    let (says, has) = (texts(&recorded), texts(&addresses));
    vec![
        Told::new(
            Confidence::Likely,
            format!(
                "The zone {name} says that {} is {}, and the API server's private address is {}.",
                clean(&host),
                listed(&says),
                listed(&has)
            ),
        )
        .and("That is how a record looks that an endpoint made anew has left behind: the private answer leads to an address where nobody answers.")
        .setting(format!("A record of {} = {}", clean(&host), listed(&says)))
        .fix(reconcile(view)),
    ]
}

/// Another zone that fits the name answers in the cluster's place.
pub(in crate::causes) fn shadowed(view: &ConfigurationView<'_>) -> Vec<Told> {
    let Some(cluster) = view.aks() else { return Vec::new() };
    let own = zone(view);
    let mut told = Vec::new();
    let private = own.as_ref().map(|own| (own.host.clone(), own.id.clone()));
    // The public name may be hidden by a private zone as well.
    let public = cluster.fqdn.as_deref().and_then(host_of).filter(|_| private.is_none() || has_public_name(view.aks()));
    let hosts = private.into_iter().chain(public.map(|host| (host, None)));
    for (host, own) in hosts {
        for Watcher { network, who, severity } in watchers(view) {
            let Seen::Zone(zone, link) = seen_by(view, &network.id, &host) else { continue };
            let redirects = is(link.resolution_policy.as_deref(), "NxDomainRedirect");
            if Some(&zone.id) == own.as_ref() || recorded(view, zone, &host).is_none_or(|known| !known.is_empty()) {
                continue;
            }
            // What public DNS knows is found all the same then.
            if redirects && own.is_none() {
                continue;
            }
            let name = clean(&zone.name);
            let mut one = Told::new(
                Confidence::Likely,
                format!(
                    "{} ({who}) is linked to the zone {name}, which has no record of {}: its denial is final there.",
                    clean(network.id.name()),
                    clean(&host)
                ),
            );
            let link_options = azure_options(&zone.id, "-z", zone.id.name());
            let link_name = super::super::evidence::shell(link.id.name());
            let fix = match &own {
                Some(own) => {
                    one = one.and(format!("The record is in {}.", clean(own.as_str())));
                    format!(
                        "# Unlink the stray zone, if nothing else needs it, and link the cluster's own:\naz network private-dns link vnet delete {link_options} -n {link_name}\naz network private-dns link vnet create {} -n {} --virtual-network {} --registration-enabled false",
                        azure_options(own, "-z", own.name()),
                        super::super::evidence::shell(&format!("{}-link", network.id.name())),
                        id_word(&network.id)
                    )
                }
                None => format!(
                    "az network private-dns link vnet update {link_options} -n {link_name} --resolution-policy NxDomainRedirect"
                ),
            };
            told.push(
                one.severity(severity)
                    .setting(format!(
                        "resolutionPolicy of {} ({name}) = {}",
                        clean(link.id.name()),
                        clean(link.resolution_policy.as_deref().unwrap_or("Default"))
                    ))
                    .fix(fix),
            );
        }
    }
    told
}

/// The nodes ask DNS servers of the user's, which must forward to Azure DNS.
pub(in crate::causes) fn custom_servers(view: &ConfigurationView<'_>) -> Vec<Told> {
    let Some(zone) = zone(view) else { return Vec::new() };
    let mut told = Vec::new();
    for network in node_networks(view) {
        let servers = own_servers(network);
        if servers.is_empty() {
            continue;
        }
        let places: Vec<&str> = deciding(view, network, "").iter().map(|(network, _)| network.id.name()).collect();
        let place = if places.is_empty() {
            "They are in no network of the facts: a link cannot serve them, so they must forward to a resolver in a network that is linked to the zone, as Azure DNS Private Resolver.".to_owned()
        } else {
            format!("They are in {}, whose link to the zone decides.", listed(&places))
        };
        // The longest name that Azure DNS must be asked for: the zone's parent, not the zone, when AKS made it.
        let parent = parent_zone(&zone.host);
        told.push(
            Told::new(
                Confidence::Possible,
                format!(
                    "The hosts of {} ask DNS servers of their own, {}: these must forward {} to {AZURE_DNS}.",
                    clean(network.id.name()),
                    listed(&servers),
                    clean(&parent)
                ),
            )
            .and(place)
            .and("Not known: whether they forward. A lookup from that network would tell.")
            .severity(Severity::Info)
            .setting(format!("dhcpOptions.dnsServers of {} = {}", clean(network.id.name()), listed(&servers)))
            .fix(format!(
                "# On the DNS servers: forward {} to {AZURE_DNS} (the parent zone, not the cluster's own name).",
                clean(&parent)
            )),
        );
    }
    told
}

/// The settings of the private zone are of a form that AKS refuses.
pub(in crate::causes) fn settings_rejected(view: &ConfigurationView<'_>) -> Vec<Told> {
    let Some(cluster) = view.aks().filter(|cluster| cluster.is_private()) else { return Vec::new() };
    let access = cluster.access();
    let setting = access.private_dns_zone.as_deref().map(str::trim).filter(|text| !text.is_empty());
    let mut problems = Vec::new();
    if is(setting, "none") && access.enable_private_cluster_public_fqdn == Some(false) {
        problems.push(
            "`privateDNSZone` is none and `enablePrivateClusterPublicFQDN` is false: no DNS would know the API server"
                .to_owned(),
        );
    }
    let custom = setting.filter(|text| !is(Some(text), "none") && !is(Some(text), "system"));
    if let Some(text) = custom {
        let id = ArmId::new(text);
        let is_zone = id.kind().is_some_and(|kind| kind == "microsoft.network/privatednszones");
        if is_zone {
            problems.extend(name_problem(cluster, id.name()));
        } else {
            problems.push(format!("`privateDNSZone` is {}: AKS takes system, none or the id of a zone", clean(text)));
        }
    } else if setting.is_some()
        && let Some(label) = cluster.fqdn_subdomain.as_deref().filter(|text| !text.is_empty())
    {
        problems.push(format!("`fqdnSubdomain` is {}, which only a zone of one's own takes", clean(label)));
    }
    let Some((first, rest)) = problems.split_first() else { return Vec::new() };
    let told = Told::new(Confidence::Certain, format!("{first}."));
    let told = rest.iter().fold(told, |told, problem| told.and(format!("{problem}.")));
    let told = told.severity(view.refused()).setting(format!(
        "privateDNSZone = {}, enablePrivateClusterPublicFQDN = {}",
        setting.map_or_else(|| "not known".to_owned(), clean),
        access.enable_private_cluster_public_fqdn.map_or("not known", |on| if on { "true" } else { "false" })
    ));
    let public_name = format!("az aks update {} --enable-public-fqdn", super::words::aks_options(view));
    vec![if first.contains("no DNS would know") {
        told.fix(public_name)
    } else if view.planned {
        told.fix("# Plan privateDNSZone as system, none, or the id of a zone [<sub>.]privatelink.<region>.azmk8s.io (VNet integration: [<sub>.]private.<region>.azmk8s.io).")
    } else {
        told.fix(format!(
            "# AKS takes system, none, or the id of a zone [<sub>.]privatelink.<region>.azmk8s.io (VNet integration: [<sub>.]private.<region>.azmk8s.io). The public name leads there until then:\n{public_name}"
        ))
    }]
}

/// Whether a cluster has a public name as well: a public one, or a private one that publishes its private address.
pub(super) fn has_public_name(cluster: Option<&ManagedCluster>) -> bool {
    cluster.is_some_and(|cluster| {
        !cluster.is_private()
            || (cluster.fqdn.is_some() && cluster.access().enable_private_cluster_public_fqdn == Some(true))
    })
}

/// Why a zone's name is not one that AKS takes.
fn name_problem(cluster: &ManagedCluster, name: &str) -> Option<String> {
    let lower = name.trim_end_matches('.').to_ascii_lowercase();
    let word = if cluster.is_vnet_integrated() { "private" } else { "privatelink" };
    let shape = |domain: &str| format!("[<sub>.]{word}.<region>.{domain}");
    let Some((rest, domain)) = DOMAINS.iter().find_map(|domain| {
        let rest = lower.strip_suffix(domain)?.strip_suffix('.')?;
        Some((rest, *domain))
    }) else {
        return Some(format!("The zone is called {}, not {}", clean(name), shape(DOMAINS[0])));
    };
    let labels: Vec<&str> = rest.split('.').collect();
    let (sub, kind, region) = match labels.as_slice() {
        [kind, region] => (None, *kind, *region),
        [sub, kind, region] => (Some(*sub), *kind, *region),
        _ => return Some(format!("The zone is called {}, not {}", clean(name), shape(domain))),
    };
    if kind != word {
        return Some(format!("The zone is called {}, not {}", clean(name), shape(domain)));
    }
    if let Some(location) = cluster.location.as_deref().map(|text| text.replace(' ', "").to_ascii_lowercase())
        && !location.is_empty()
        && region != location
    {
        return Some(format!(
            "The zone {} is of the region {}, and the cluster is in {}",
            clean(name),
            clean(region),
            clean(&location)
        ));
    }
    let sub = sub.filter(|sub| sub.len() > LONGEST_SUB)?;
    Some(format!("The first part of the zone's name has {} characters; AKS takes {LONGEST_SUB}", sub.len()))
}

/// The networks whose link decides for the hosts of a network: itself, or those of the DNS servers that it names.
fn deciding<'a>(
    view: &ConfigurationView<'a>,
    network: &'a VirtualNetwork,
    who: &str,
) -> Vec<(&'a VirtualNetwork, String)> {
    let servers = own_servers(network);
    if servers.is_empty() {
        return vec![(network, who.to_owned())];
    }
    let mut found: Vec<(&VirtualNetwork, String)> = Vec::new();
    for server in servers {
        let Ok(address) = server.trim().parse::<IpAddr>() else { continue };
        let networks = view.azure_networks_of(address);
        // Where ranges overlap, the server's place is not known.
        let [place] = networks.as_slice() else { continue };
        if !found.iter().any(|(known, _)| known.id == place.id) {
            found.push((place, format!("the network of the DNS server {address} of {who}")));
        }
    }
    found
}

/// `privatelink.westeurope.azmk8s.io` of a name in it.
fn parent_zone(host: &str) -> String {
    let labels: Vec<&str> = host.split('.').collect();
    let place = labels.iter().position(|label| *label == "privatelink" || *label == "private");
    place.and_then(|place| labels.get(place..)).map_or_else(|| host.to_owned(), |rest| rest.join("."))
}

fn host_of(name: &str) -> Option<String> {
    let host = name.trim().trim_end_matches('.').to_ascii_lowercase();
    (!host.is_empty()).then_some(host)
}

/// Whether a host is the domain or lies under it.
fn is_under(host: &str, domain: &str) -> bool {
    let domain = domain.trim_end_matches('.').to_ascii_lowercase();
    !domain.is_empty() && host.strip_suffix(&domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

fn texts(addresses: &[IpAddr]) -> Vec<String> {
    addresses.iter().map(ToString::to_string).collect()
}

/// What the zones of AKS end in: Azure's public cloud, that of the US government, that of China
/// (<https://learn.microsoft.com/azure/private-link/private-endpoint-dns>).
const DOMAINS: [&str; 3] = ["azmk8s.io", "cx.aks.containerservice.azure.us", "cx.prod.service.azk8s.cn"];
const LONGEST_SUB: usize = 32;

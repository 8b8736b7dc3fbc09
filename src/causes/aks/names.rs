//! Causes of the answer: what keeps a client from the private address of an AKS cluster, and names that lead elsewhere.

use std::net::IpAddr;

use kubereach_probes::{AddressClass, DnsObservation, DnsOutcome, TcpOutcome, TlsOutcome};

use super::{
    commands,
    sight::{Sight, azure_dns, denies},
};
use crate::{
    causes::{
        CellView, Told,
        configuration::words,
        evidence::{self, clean},
        lookups::{self, answered, lookup_words},
        shown::listed,
    },
    client::host::recognise,
    facts::azure::ArmId,
    model::aks::{Place, ZoneObstacle},
    report::{Confidence, Provider, Reachability},
};

/// `aks-private-zone-not-linked`.
pub(super) fn zone_not_linked(view: &CellView<'_>) -> Option<Told> {
    let sight = Sight::of(view)?;
    let Some(ZoneObstacle::NotLinked { zone, network, server }) = &sight.prediction.answer.obstacle else {
        return None;
    };
    let lookup = sight.lookup();
    if lookup.is_some_and(answered) {
        // Another resolver serves this host.
        return None;
    }
    let whose = match server {
        Some(server) => format!("{}, in which the DNS server {server} stands", clean(network.name())),
        None => clean(network.name()),
    };
    let confidence = match lookup {
        Some(lookup) if denies(lookup) && server.is_none() => Confidence::Certain,
        _ => Confidence::Likely,
    };
    let links = links_of(&sight, zone);
    let told = seen(confidence, lookup, &format!("the zone {} has no link to {whose}", clean(zone.name())));
    let told =
        if links.is_empty() { told } else { told.and(format!("it is linked to {}", words::listed(links.iter()))) };
    Some(told.setting(format!("virtualNetworkLinks of {}", clean(zone.name()))).fix(commands::link_zone(zone, network)))
}

/// `aks-private-zone-record-wrong`.
pub(super) fn record_wrong(view: &CellView<'_>) -> Option<Told> {
    let sight = Sight::of(view)?;
    let lookup = sight.lookup();
    let (zone, told) = match sight.prediction.answer.obstacle.as_ref()? {
        ZoneObstacle::RecordMissing { zone } => {
            if lookup.is_some_and(answered) {
                return None;
            }
            let confidence = if lookup.is_some_and(denies) { Confidence::Certain } else { Confidence::Likely };
            let says = format!("the zone {} has no A record for {}", clean(zone.name()), clean(view.host));
            (zone, seen(confidence, lookup, &says))
        }
        ZoneObstacle::RecordDiffers { zone, recorded, endpoint } => {
            let dialled = evidence::direct(view);
            let of_record =
                || dialled.iter().filter(|attempt| attempt.address.is_some_and(|address| recorded.contains(&address)));
            if of_record().any(|attempt| attempt.observed == Reachability::Reachable) {
                // What answers there is the API server: the facts are older than its address.
                return None;
            }
            let silent = |outcome| matches!(outcome, TcpOutcome::Timeout | TcpOutcome::Unreachable);
            let gives_it = lookup.is_some_and(|lookup| recorded.iter().all(|one| lookup.addresses.contains(one)));
            let confidence = if gives_it
                && of_record().next().is_some()
                && of_record().all(|attempt| silent(attempt.tcp.outcome))
                && evidence::silence_counts(view)
            {
                Confidence::Certain
            } else {
                Confidence::Likely
            };
            let mut told = seen(
                confidence,
                lookup,
                &format!(
                    "the zone {} says {}, and the API server's private address is {}",
                    clean(zone.name()),
                    listed(recorded),
                    listed(endpoint)
                ),
            );
            for attempt in of_record() {
                told = told.and(lookups::attempt_words(attempt));
            }
            (zone, told)
        }
        _ => return None,
    };
    Some(
        told.setting(format!("the A record of {} in {}", clean(first_label(view.host)), clean(zone.name())))
            .fix(commands::reconcile(sight.facts())),
    )
}

/// `aks-private-zone-shadowed`.
pub(super) fn zone_shadowed(view: &CellView<'_>) -> Option<Told> {
    let sight = Sight::of(view)?;
    let Some(ZoneObstacle::Shadowed { zone, link, network }) = &sight.prediction.answer.obstacle else { return None };
    let lookup = sight.lookup();
    if lookup.is_some_and(answered) {
        return None;
    }
    let confidence = if lookup.is_some_and(denies) { Confidence::Certain } else { Confidence::Likely };
    let group =
        zone.resource_group().map(|group| format!(" in the resource group {}", clean(group))).unwrap_or_default();
    let told = seen(
        confidence,
        lookup,
        &format!(
            "{} is linked to the zone {}{group}, which does not have the record; what it denies is asked of nobody else",
            clean(network.name()),
            clean(zone.name())
        ),
    );
    Some(
        told.setting(format!("resolutionPolicy of the link {}", clean(link.name())))
            .fix(format!("{}   # or unlink the stray zone", commands::redirect_link(zone, link))),
    )
}

/// `azure-custom-dns-not-forwarding`.
pub(super) fn custom_dns(view: &CellView<'_>) -> Option<Told> {
    let sight = Sight::of(view)?;
    let Some(ZoneObstacle::CustomServers { network, servers }) = &sight.prediction.answer.obstacle else { return None };
    let lookup = sight.lookup();
    let fails = |lookup: &DnsObservation| {
        denies(lookup) || matches!(lookup.outcome, DnsOutcome::Servfail | DnsOutcome::Refused)
    };
    if lookup.is_some_and(|lookup| !fails(lookup)) {
        return None;
    }
    let own = lookup.and_then(|lookup| lookup.server.as_deref());
    let is_theirs =
        |own: &str| servers.iter().any(|server| own.split_once(':').map_or(own, |(host, _)| host) == server);
    let platform = azure_dns(view)
        .filter(|other| Some(other.resolver.as_str()) != lookup.map(|lookup| lookup.resolver.as_str()))
        .filter(|other| answered(other) && other.address_class == AddressClass::Private);
    let confidence = match (lookup, platform) {
        (Some(_), Some(_)) => Confidence::Certain,
        (Some(_), None) if own.is_some_and(is_theirs) => Confidence::Likely,
        _ => Confidence::Possible,
    };
    let parent = parent_zone(view.host);
    let told = seen(
        confidence,
        lookup,
        &format!(
            "{} gives its hosts the DNS servers {} instead of Azure's own",
            clean(network.name()),
            words::listed(servers.iter())
        ),
    );
    let told = match platform {
        Some(platform) => told.and(lookup_words(platform)).and("so the zone and its links are right, and those servers do not forward to Azure DNS"),
        None => told.and("whether they forward, and to whom, is not in the facts; the same name asked of 168.63.129.16 from their network decides"),
    };
    let told = told.and(format!("the parent zone {} must be forwarded, not a name below it", clean(&parent)));
    Some(
        told.setting(format!(
            "the forwarder of {}; dhcpOptions.dnsServers of {}",
            words::listed(servers.iter()),
            clean(network.name())
        ))
        .fix(format!(
            "# On {}: forward {} to 168.63.129.16. Then, for nodes that failed meanwhile:\n{}",
            words::listed(servers.iter()),
            clean(&parent),
            commands::reconcile(sight.facts())
        )),
    )
}

/// `inconclusive-rule-not-evaluable`, where what the resolver answers decides, and the facts do not tell it.
pub(in crate::causes) fn answer_not_known(view: &CellView<'_>) -> Option<Told> {
    let sight = Sight::of(view)?;
    let prediction = sight.prediction;
    let unknown = view.configured == Reachability::Unknown && view.observed == Reachability::Unknown;
    let by_name = prediction.via.is_none() && prediction.answer.class.is_none();
    let is_address = view.host.parse::<IpAddr>().is_ok();
    // What a pull would bring is told as missing.
    if !unknown || !by_name || view.circumstances.facts_missing.is_some() {
        return None;
    }
    let told = Told::new(
        Confidence::Certain,
        format!(
            "the configuration cannot tell what {} leads to there: {}",
            clean(view.host),
            clean(&prediction.answer.because)
        ),
    )
    .and(if is_address {
        "a probe from there would tell; it outranks what cannot be evaluated"
    } else {
        "a lookup from there would tell, and so would a probe; it outranks what cannot be evaluated"
    });
    let ask = |server: &str| format!("dig +short {} @{}", evidence::shell(view.host), evidence::shell(server));
    Some(match &prediction.answer.obstacle {
        Some(ZoneObstacle::CustomServers { network, servers }) => {
            let lines: Vec<String> = servers.iter().take(MOST_SERVERS).map(|server| ask(server)).collect();
            told.setting(format!(
                "dhcpOptions.dnsServers of {} = {}",
                clean(network.name()),
                words::listed(servers.iter())
            ))
            .fix(format!(
                "# From {}: the private address, if they forward {} to a resolver that sees its zone:\n{}",
                clean(network.name()),
                clean(&parent_zone(view.host)),
                lines.join("\n")
            ))
        }
        Some(ZoneObstacle::NotLinked { zone, network, server: Some(server) }) => {
            told.setting(format!("virtualNetworkLinks of {}", clean(zone.name()))).fix(format!(
                "# If {server} asks Azure DNS, the zone needs a link to its network:\n{}",
                commands::link_zone(zone, network)
            ))
        }
        _ if is_address => told.setting(format!("the endpoint {}", clean(view.host))),
        _ => told.setting("what the resolver of this vantage answers"),
    })
}

/// `aks-kubeconfig-uses-wrong-fqdn`.
pub(super) fn wrong_name(view: &CellView<'_>) -> Option<Told> {
    let sight = Sight::of(view)?;
    if view.observed == Reachability::Reachable {
        return None;
    }
    let cluster = sight.cluster;
    let portal = sight.dials(cluster.azure_portal_fqdn.as_deref());
    let unpublished = matches!(sight.prediction.answer.obstacle, Some(ZoneObstacle::NotPublished));
    if !(portal || unpublished) {
        return None;
    }
    let lookup = sight.lookup();
    if unpublished && !portal && lookup.is_some_and(answered) {
        return None;
    }
    let confidence = if portal || lookup.is_some_and(denies) { Confidence::Certain } else { Confidence::Likely };
    let says = if portal {
        format!("{} is the name that only the Azure portal uses (azurePortalFQDN)", clean(view.host))
    } else {
        format!(
            "{} is the public name of a private cluster whose public name is off (enablePrivateClusterPublicFQDN = false)",
            clean(view.host)
        )
    };
    let told = seen(confidence, lookup, &says);
    let meant = cluster.server_name().filter(|name| !sight.dials(Some(name)));
    let told = match meant {
        Some(meant) => told.and(format!("the name to use is {}", clean(meant))),
        None => told,
    };
    let renew = commands::kubeconfig(sight.facts(), false);
    let fix = if unpublished && !portal {
        format!(
            "{renew}\n# or, to use the public name:\n{}\n{}",
            commands::aks(sight.facts(), "update", "--enable-public-fqdn"),
            commands::kubeconfig(sight.facts(), true)
        )
    } else {
        renew
    };
    let setting = if portal {
        format!("server = https://{}:{}", clean(view.host), view.port)
    } else {
        "apiServerAccessProfile.enablePrivateClusterPublicFQDN = false".to_owned()
    };
    Some(told.setting(setting).fix(fix))
}

/// `client-kubeconfig-server-not-this-cluster`, for AKS.
pub(in crate::causes) fn server_not_this_cluster(view: &CellView<'_>) -> Option<Told> {
    let sight = Sight::of(view)?;
    let cluster = sight.cluster;
    let names = [&cluster.fqdn, &cluster.private_fqdn, &cluster.azure_portal_fqdn];
    let known: Vec<&str> = names.into_iter().flatten().map(String::as_str).filter(|name| !name.is_empty()).collect();
    let own = view.host.trim_end_matches('.');
    let is_address = own.parse::<IpAddr>().is_ok();
    // Whoever goes by an address or an alias and gets a certificate that verifies is where he means to be.
    if known.is_empty() || own.is_empty() || is_address || known.iter().any(|name| sight.dials(Some(name))) {
        return None;
    }
    if lookups::deciding(view).any(|attempt| attempt.tls.outcome == TlsOutcome::Verified) {
        return None;
    }
    // Another name of the provider's can only be another cluster's; a name of one's own may be an alias.
    let foreign = recognise(own).provider == Provider::Aks;
    let confidence = match (foreign, sight.is_unreachable()) {
        (true, true) => Confidence::Certain,
        (true, false) => Confidence::Likely,
        (false, _) => Confidence::Possible,
    };
    let told = Told::new(
        confidence,
        format!(
            "{} is asked for, and the API server of {} is {}",
            clean(own),
            clean(&cluster.name),
            words::listed(known.iter())
        ),
    )
    .and(if foreign {
        "that name belongs to another cluster, or to one that was deleted"
    } else {
        "rival: an alias or a proxy of one's own in front of the API server"
    });
    Some(
        told.setting(format!("server = https://{}:{}", clean(own), view.port))
            .fix(commands::kubeconfig(sight.facts(), false)),
    )
}

/// `dns-wrong-view-for-vantage`, for a private name that is asked for outside the networks that see its zone.
pub(in crate::causes) fn asked_from_outside(view: &CellView<'_>) -> Option<Told> {
    let sight = Sight::of(view)?;
    let lookup = sight.lookup().filter(|lookup| denies(lookup))?;
    let private = sight.cluster.is_private() && sight.dials(sight.cluster.private_fqdn.as_deref());
    let outside = matches!(sight.prediction.place, Place::Internet | Place::OutsideAddress);
    if !private || !outside {
        return None;
    }
    let told = Told::new(Confidence::Likely, lookup_words(lookup)).and(format!(
        "the configuration says: {} exists in a private DNS zone only, which answers in the virtual networks that are linked to it",
        clean(view.host)
    ));
    let linked: Vec<String> = sight
        .facts()
        .azure
        .private_dns_zones
        .iter()
        .flatten()
        .filter(|zone| view.host.to_ascii_lowercase().ends_with(&format!(".{}", zone.name.to_ascii_lowercase())))
        .flat_map(|zone| links_of(&sight, &zone.id))
        .collect();
    let told =
        if linked.is_empty() { told } else { told.and(format!("it is linked to {}", words::listed(linked.iter()))) };
    let public_name = sight.cluster.access().enable_private_cluster_public_fqdn != Some(false)
        && sight.cluster.fqdn.as_deref().is_some_and(|name| !name.is_empty());
    let fix = if public_name {
        format!(
            "# Its public name gives the private address to everybody; the way there must exist all the same (VPN, peering):\n{}",
            commands::kubeconfig(sight.facts(), true)
        )
    } else {
        format!(
            "# Ask a resolver in a linked network, over a VPN or a peering that leads there:\nresolvectl domain <vpn-if> {}",
            evidence::shell(&format!("~{}", parent_zone(view.host)))
        )
    };
    Some(told.setting("the resolver of this vantage").fix(fix))
}

/// `dns-stale-answer`, where the facts know the private address that there is.
pub(in crate::causes) fn outdated_private_answer(view: &CellView<'_>) -> Option<Told> {
    let sight = Sight::of(view)?;
    let lookup = sight.lookup().filter(|lookup| answered(lookup) && lookup.address_class == AddressClass::Private)?;
    let now = private_addresses(&sight);
    let old: Vec<IpAddr> = lookup.addresses.iter().copied().filter(|address| !now.contains(address)).collect();
    // What the zone itself says wrongly is no cache's fault.
    let recorded = sight.prediction.answer.obstacle.is_some();
    let dialled = evidence::direct(view);
    let fails = |address: &IpAddr| {
        dialled.iter().any(|attempt| {
            attempt.address == Some(*address)
                && matches!(attempt.tcp.outcome, TcpOutcome::Timeout | TcpOutcome::Unreachable | TcpOutcome::Refused)
        })
    };
    if now.is_empty() || old.is_empty() || recorded || !old.iter().all(fails) || !evidence::silence_counts(view) {
        return None;
    }
    Some(
        Told::new(Confidence::Likely, lookup_words(lookup))
            .and(format!("nothing answered there: no API server is at {}", listed(&old)))
            .and(format!("the configuration says: its private address is {}", listed(&now)))
            .and("rival: it was given another address since the facts were read (`net-endpoint-addresses-changed`); facts pulled again decide")
            .and("caches inside client processes are invisible to a probe"),
    )
}

/// The API server's private addresses, as the facts have them.
pub(super) fn private_addresses(sight: &Sight<'_>) -> Vec<IpAddr> {
    sight.prediction.private.iter().filter(|path| path.endpoint.is_some()).map(|path| path.address).collect()
}

/// The networks that a zone is linked to.
fn links_of(sight: &Sight<'_>, zone: &ArmId) -> Vec<String> {
    let links = sight.facts().azure.private_dns_zone_links.iter().flatten();
    let own = links.filter(|link| link.id.parent().as_ref() == Some(zone));
    own.filter_map(|link| Some(clean(link.virtual_network.as_ref()?.id.name()))).collect()
}

/// What was said, and what the configuration says.
fn seen(confidence: Confidence, lookup: Option<&DnsObservation>, says: &str) -> Told {
    let says = format!("the configuration says: {says}");
    match lookup {
        Some(lookup) => Told::new(confidence, lookup_words(lookup)).and(says),
        None => Told::new(confidence, says),
    }
}

/// The zone that a private name is in: `privatelink.<region>.azmk8s.io`; of other names all but the first label.
fn parent_zone(host: &str) -> String {
    let labels: Vec<&str> = host.trim_end_matches('.').split('.').collect();
    let marker = labels.iter().position(|label| *label == "privatelink" || *label == "private").unwrap_or(1);
    labels.get(marker..).unwrap_or_default().join(".")
}

fn first_label(host: &str) -> &str {
    host.split('.').next().unwrap_or(host)
}

const MOST_SERVERS: usize = 4;

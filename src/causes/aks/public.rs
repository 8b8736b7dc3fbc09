//! Causes of the public endpoint of AKS: its ranges, its switch, and the cluster itself.

use std::net::IpAddr;

use ipnet::IpNet;
use kubereach_probes::{AddressClass, TcpOutcome};

use super::{
    commands::{self, single},
    sight::{Sight, denies},
};
use crate::{
    causes::{
        CellView, Told,
        configuration::words,
        egress,
        evidence::{self, clean, silence_counts},
        lookups::{answered, attempt_words, lookup_words, moment_words},
        public::PublicList,
        shown::{LetsIn, Lost, Shown, listed, shown, told},
    },
    facts::Cidr,
    model::{
        aks::{Mode, Place, PublicPath},
        trace::{Decision, HopKind},
    },
    report::{Confidence, Reachability, Via},
};

/// `aks-client-not-in-authorized-ip-ranges`.
pub(super) fn client_not_listed(view: &CellView<'_>) -> Option<Told> {
    let sight = Sight::of(view)?;
    let addresses = sight.prediction.public.unlisted()?;
    let (unlisted, _) = addresses;
    if sight.is_node(unlisted) {
        return None;
    }
    let shown = sight.public()?;
    let told = not_listed(&sight, &shown, addresses)?;
    let told = match view.vantage_kind {
        "model" => told,
        _ => told.and("the portal's resource view goes by the browser's address, which is another vantage"),
    };
    Some(told.setting(setting(&sight)).fix(admitted(&sight, &egress::to_admit(view, unlisted))))
}

/// `aks-cluster-egress-not-in-authorized-ip-ranges`, seen from a node.
pub(super) fn cluster_egress_not_listed(view: &CellView<'_>) -> Option<Told> {
    let sight = Sight::of(view)?;
    let addresses = sight.prediction.public.unlisted()?;
    let (unlisted, _) = addresses;
    if sight.cluster.is_vnet_integrated() || !sight.is_node(unlisted) {
        return None;
    }
    let shown = sight.public()?;
    let told = not_listed(&sight, &shown, addresses)?;
    let outbound = sight.cluster.network_profile.as_ref().and_then(|profile| profile.outbound_type.as_deref());
    let outbound = outbound.map_or_else(|| "not known".to_owned(), clean);
    Some(
        told.and("every node that leaves by it is cut off as well, and goes NotReady")
            .and("only the creation of a cluster lists its outbound addresses by itself; a later update of the list does not")
            .setting(format!("{}; networkProfile.outboundType = {outbound}", setting(&sight)))
            .fix(admitted(&sight, &egress::to_admit(view, unlisted))),
    )
}

/// The command that lets these addresses in; `None` where the list does not decide.
pub(in crate::causes) fn admit(view: &CellView<'_>, addresses: &[IpNet]) -> Option<String> {
    let sight = Sight::of(view)?;
    (!sight.entries().is_empty()).then(|| admitted(&sight, addresses))
}

/// `aks-authorized-ip-ranges-outbound-only`.
pub(super) fn outbound_only(view: &CellView<'_>) -> Option<Told> {
    let sight = Sight::of(view)?;
    let PublicPath::OutboundOnly { egress } = &sight.prediction.public else { return None };
    let shown = sight.public()?;
    if matches!(shown, Shown::Answer) {
        return None;
    }
    let as_whom = if egress.is_empty() { clean(view.vantage) } else { listed(egress) };
    let told = sight
        .told(
            &shown,
            format!(
                "authorizedIPRanges = 0.0.0.0/32, which lets in the outbound address of the cluster's Standard load balancer alone, and {as_whom} is another"
            ),
        )
        .and("the value may not be combined with ranges");
    let outbound = commands::outbound_ranges(sight.facts());
    let mut list = outbound.clone();
    list.extend(singles(egress).into_iter().filter(|range| !outbound.contains(range)));
    if egress.is_empty() {
        list.push("<egress address>/32".to_owned());
    }
    Some(told.setting("apiServerAccessProfile.authorizedIPRanges = 0.0.0.0/32").fix(format!(
        "# The cluster's own outbound addresses take the place of 0.0.0.0/32, or the nodes are cut off:\n{}",
        commands::set_ranges(sight.facts(), &list)
    )))
}

/// `aks-cluster-stopped`.
pub(super) fn cluster_stopped(view: &CellView<'_>) -> Option<Told> {
    let sight = Sight::of(view)?;
    let code = sight.cluster.power_state.as_ref()?.code.as_deref()?;
    if !code.eq_ignore_ascii_case("Stopped") || view.observed == Reachability::Reachable {
        return None;
    }
    let attempts = evidence::direct(view);
    let gone = |outcome| matches!(outcome, TcpOutcome::Timeout | TcpOutcome::Refused | TcpOutcome::Unreachable);
    let nothing_serves = silence_counts(view)
        && if attempts.is_empty() {
            sight.lookup().is_some_and(denies)
        } else {
            attempts.iter().all(|attempt| gone(attempt.tcp.outcome))
        };
    if sight.is_unreachable() && !nothing_serves {
        return None;
    }
    let confidence = if sight.is_unreachable() { Confidence::Certain } else { Confidence::Likely };
    let told = Told::new(confidence, "the configuration says: powerState.code = Stopped, so no API server runs");
    Some(
        with_what_was_seen(&sight, told)
            .and("from every vantage it is the same; what else the configuration closes shows when it runs again")
            .setting(format!("powerState.code = {}", clean(code)))
            .fix(commands::aks(sight.facts(), "start", "")),
    )
}

/// `aks-cluster-not-ready`.
pub(super) fn cluster_not_ready(view: &CellView<'_>) -> Option<Told> {
    let sight = Sight::of(view)?;
    let state = sight.cluster.provisioning_state.as_deref()?;
    let is = |word: &str| state.eq_ignore_ascii_case(word);
    let window_open = view.change.is_some_and(|change| change.open);
    // A state that is passed through is no fault while its time runs.
    let passing = ["Creating", "Updating", "Starting", "Upgrading", "Deleting"].into_iter().any(is);
    if !(is("Failed") || is("Canceled") || (passing && !window_open)) || view.observed == Reachability::Reachable {
        return None;
    }
    let attempts = evidence::direct(view);
    let refused = !attempts.is_empty()
        && attempts.iter().all(|attempt| {
            attempt.tcp.outcome == TcpOutcome::Refused || attempt.http.status.is_some_and(|status| status >= 500)
        });
    // A cluster that is being updated serves all the while, as a rule.
    let confidence = match (refused, is("Updating") || is("Upgrading")) {
        (true, false) => Confidence::Likely,
        (true, true) | (false, _) => Confidence::Possible,
    };
    let told = Told::new(confidence, format!("the configuration says: provisioningState = {}", clean(state)));
    let told = with_what_was_seen(&sight, told);
    let told = if refused {
        told.and("somebody answered that nothing serves there, so no list of ranges is to blame")
    } else {
        told.and(
            "rivals: everything that is between this vantage and the cluster; the same probe from elsewhere decides",
        )
    };
    Some(told.setting(format!("provisioningState = {}", clean(state))).fix(commands::reconcile(sight.facts())))
}

/// `aks-public-network-access-disabled`.
pub(super) fn public_network_access_disabled(view: &CellView<'_>) -> Option<Told> {
    let sight = Sight::of(view)?;
    let switch = sight.cluster.public_network_access.as_deref();
    let disabled = switch.is_some_and(|switch| switch.eq_ignore_ascii_case("Disabled"));
    let integrated = sight.prediction.mode == Mode::PrivateWithVnetIntegration;
    let private = integrated || sight.prediction.mode == Mode::PrivateLink;
    let meant = view.intended_via == Some(Via::Public);
    let outside = matches!(sight.prediction.place, Place::Internet);
    // Whoever takes the public path, from wherever: a cluster that has no other serves its own nodes by it as well.
    let public_path = outside || sight.prediction.via == Some(Via::Public);
    let only = sight.prediction.mode == Mode::Public;
    // Who should come over private addresses is to join the network, not to be let in from the internet. A cluster that
    // was made private never had a public endpoint: only somebody who means one is surprised.
    let elsewhere = view.intended_via == Some(Via::Private) && (outside || !only);
    if sight.prediction.public != PublicPath::Off || elsewhere || !(meant || (public_path && disabled && !private)) {
        return None;
    }
    let attempts = evidence::direct(view);
    let seen = shown(view, &attempts, Lost::Unrouted);
    let public = attempts.iter().any(|attempt| attempt.address_class == AddressClass::Public);
    if (matches!(seen, Shown::Answer) && !meant) || (public && !disabled) {
        // Something answers, or names still lead to public addresses: then another thing is wrong.
        return None;
    }
    let confidence = match &seen {
        Shown::Silence(_) => Confidence::Certain,
        _ if sight.lookup().is_some_and(denies) => Confidence::Certain,
        _ => Confidence::Likely,
    };
    let (says, setting) = if disabled {
        ("publicNetworkAccess = Disabled, so no public address lets anybody in", "publicNetworkAccess = Disabled")
    } else {
        (
            "apiServerAccessProfile.enablePrivateCluster = true, so the API server has private addresses only",
            "apiServerAccessProfile.enablePrivateCluster = true",
        )
    };
    let mut told = told(view, confidence, &seen, says);
    if let Some(lookup) = sight.lookup() {
        told = told.and(lookup_words(lookup));
        if answered(lookup) && lookup.address_class == AddressClass::Private {
            told = told.and("that answer is right for a private cluster, and leads nowhere from the internet");
        }
    }
    if disabled && only {
        told = told.and("the cluster has no private endpoint, so its nodes go by the public one as well and are cut off with all others");
    }
    let fix = if sight.cluster.is_vnet_integrated() && private {
        format!(
            "{}   # VNet-integrated clusters; preview",
            commands::aks(sight.facts(), "update", "--disable-private-cluster")
        )
    } else if private {
        format!(
            "# A cluster that was made private with Private Link stays private. Come from a network that is connected to it, or\n# turn to API-server VNet integration, which can be switched:\n{}",
            commands::aks(
                sight.facts(),
                "update",
                "--enable-apiserver-vnet-integration --apiserver-subnet-id <subnet id>"
            )
        )
    } else {
        format!(
            "az resource update --ids {} --set properties.publicNetworkAccess=Enabled   # restrict it with authorized ranges in the same change",
            evidence::shell(sight.cluster.id.as_str())
        )
    };
    Some(told.setting(setting).fix(fix))
}

/// `aks-vnet-integration-restart-pending`.
pub(super) fn restart_pending(view: &CellView<'_>) -> Option<Told> {
    let sight = Sight::of(view)?;
    if !sight.cluster.is_vnet_integrated() || view.observed == Reachability::Reachable {
        return None;
    }
    let access = sight.cluster.access();
    let subnet = access.subnet_id.as_ref()?;
    let prefixes: Vec<Cidr> = sight
        .facts()
        .azure
        .all_subnets()
        .filter(|one| one.id == *subnet)
        .flat_map(|one| one.prefixes().filter_map(|prefix| Cidr::parse(prefix).ok()).collect::<Vec<_>>())
        .collect();
    let lookup = sight.lookup().filter(|lookup| answered(lookup) && lookup.address_class == AddressClass::Private)?;
    let outside = |address: &IpAddr| !prefixes.iter().any(|prefix| prefix.net.contains(address));
    if prefixes.is_empty() || !lookup.addresses.iter().all(outside) {
        return None;
    }
    let newly = sight.facts().earlier.as_ref().is_some_and(|earlier| !earlier.is_vnet_integrated());
    let confidence = if newly { Confidence::Likely } else { Confidence::Possible };
    let words: Vec<String> = prefixes.iter().map(|prefix| clean(&prefix.text)).collect();
    let told = Told::new(
        confidence,
        format!(
            "{}: no address of the API server's subnet {} ({})",
            lookup_words(lookup),
            clean(subnet.name()),
            words.join(", ")
        ),
    )
    .and("the configuration says: enableVnetIntegration = true, which takes effect when the cluster was stopped and started by hand");
    let told = if newly {
        told.and("an earlier snapshot of the cluster has it off")
    } else {
        told.and(
            "rival: an outdated record of the zone; whether the cluster was restarted since the flag was set decides",
        )
    };
    Some(told.setting("apiServerAccessProfile.enableVnetIntegration = true").fix(format!(
        "# An outage: nodes and workloads stop, and capacity is not reserved meanwhile.\n{}\n{}   # then renew rules that name addresses",
        commands::aks(sight.facts(), "stop", ""),
        commands::aks(sight.facts(), "start", "")
    )))
}

/// `inconclusive-egress-address-unknown`.
pub(in crate::causes) fn egress_not_known(view: &CellView<'_>) -> Option<Told> {
    let sight = Sight::of(view)?;
    list(&sight).egress_not_known(view, &sight.configured, &sight.prediction.public, &sight.public()?)
}

/// `inconclusive-rule-not-evaluable`, where a service tag decides whose ranges are not in the facts.
pub(in crate::causes) fn tag_not_known(view: &CellView<'_>) -> Option<Told> {
    let sight = Sight::of(view)?;
    let PublicPath::TagNotKnown { tag, egress } = &sight.prediction.public else { return None };
    let shown = sight.public()?;
    if matches!(shown, Shown::Answer) || view.observed == Reachability::Reachable {
        return None;
    }
    let confidence = if view.observed == Reachability::Unknown { Confidence::Certain } else { Confidence::Possible };
    let told = Told::new(
        confidence,
        format!(
            "the configuration cannot tell: {} is in no range of the list, and whether the service tag {} holds it is not in the facts",
            if egress.is_empty() { clean(view.vantage) } else { listed(egress) },
            clean(tag)
        ),
    )
    .and("network/service-tags.json would tell");
    let told = if confidence == Confidence::Possible {
        told.and("rivals: every other cause of silence; the ranges of the tag decide")
    } else {
        told.and("a probe from there would tell; it outranks what cannot be evaluated")
    };
    let region = sight.cluster.location.as_deref().map_or_else(|| "<region>".to_owned(), evidence::shell);
    Some(told.setting(setting(&sight)).fix(format!(
        "# In the facts folder (a pull with the permission reads them by itself):\naz network list-service-tags --location {region} -o json > network/service-tags.json"
    )))
}

/// The entry or rule of the configuration that lets this cell's client in; `None` where the configuration does not say.
pub(in crate::causes) fn what_lets_in(view: &CellView<'_>) -> Option<LetsIn> {
    let sight = Sight::of(view)?;
    if view.via.or(sight.prediction.via) == Some(Via::Private) {
        let path = sight.prediction.private.iter().find(|path| path.trace.blockers().next().is_none())?;
        let rule = path
            .trace
            .forward
            .iter()
            .rev()
            .find(|hop| hop.kind == HopKind::NetworkSecurityGroup && hop.decision == Decision::Allow);
        return Some(match rule {
            Some(rule) => LetsIn {
                rule: format!("what lets it in: {} ({})", clean(&rule.rule), clean(&rule.component)),
                setting: format!("the rules of {}", clean(&rule.component)),
                fix: "# Narrow the rule that the evidence names; whom else it serves:\naz network nsg rule list -g <rg> --nsg-name <nsg> -o table".to_owned(),
            },
            None => LetsIn {
                rule: "what lets it in: no network security group guards the API server's private address".to_owned(),
                setting: "privateEndpointNetworkPolicies of the endpoint's subnet, and its network security group".to_owned(),
                fix: "# Guard the subnet of the private endpoint with a network security group, and let it count there:\naz network vnet subnet update -g <rg> --vnet-name <vnet> -n <subnet> --network-security-group <nsg> --private-endpoint-network-policies NetworkSecurityGroupEnabled".to_owned(),
            },
        });
    }
    let list = list(&sight);
    let outbound = commands::outbound_ranges(sight.facts());
    match &sight.prediction.public {
        PublicPath::Open => Some(LetsIn {
            rule: list.lets_everybody_in(),
            setting: setting(&sight),
            fix: {
                let mut list = outbound;
                list.push("<real source>/32".to_owned());
                format!(
                    "# Name every source that should get in; the cluster's own outbound addresses among them, or the nodes are cut off:\n{}",
                    commands::set_ranges(sight.facts(), &list)
                )
            },
        }),
        PublicPath::Listed { egress, entry } => {
            let (dropped, mut rest) = list.parted_by(*egress);
            let mut notes = String::new();
            if dropped.iter().any(|text| *text != single(*egress) && *text != egress.to_string()) {
                notes = format!("# This also shuts out everybody else in {}.\n", words::listed(&dropped));
            }
            if rest.is_empty() {
                // An empty list lets everybody in.
                rest = outbound;
                notes.push_str("# Nothing else is on the list, and an empty list lets everybody in: the cluster's own outbound addresses stand in for it.\n");
            }
            Some(LetsIn {
                rule: list.lets_in(*egress, entry),
                setting: setting(&sight),
                fix: format!(
                    "{notes}# The call replaces the list: the other entries stay in it.\n{}",
                    commands::set_ranges(sight.facts(), &rest)
                ),
            })
        }
        _ => None,
    }
}

/// What the facts tell of the change that `propagation-aks-authorized-ip-ranges` waits for.
pub(in crate::causes) fn known_change(view: &CellView<'_>) -> Option<String> {
    let sight = Sight::of(view)?;
    let update = sight.configured.update?;
    let entries = sight.entries();
    let list = if entries.is_empty() {
        "empty, which lets everybody in".to_owned()
    } else {
        format!("{} ({})", words::listed(&entries), words::counted(entries.len(), "entry", "entries"))
    };
    let at = update.began.map(|at| format!(" at {}", moment_words(at))).unwrap_or_default();
    let state = match update.ended {
        None => "is being changed, begun",
        Some(_) => "was changed",
    };
    let state = if at.is_empty() { state.trim_end_matches(", begun") } else { state };
    Some(format!("the provider tells of it: the cluster {state}{at}; the list is now {list}"))
}

/// What is said of addresses that no range holds; `None` where something answered, which refutes a silent list.
fn not_listed(sight: &Sight<'_>, shown: &Shown<'_>, addresses: (&[IpAddr], &[IpAddr])) -> Option<Told> {
    let (unlisted, _) = addresses;
    let told = list(sight).not_listed(shown, sight.in_a_network(), addresses, |says| sight.told(shown, says))?;
    let mut told = egress::says_who(sight.view, &sight.configured, unlisted, told);
    if unlisted.iter().any(IpAddr::is_ipv6) {
        told = told.and("AKS takes IPv4 ranges only, so no IPv6 source can be listed");
    }
    Some(told.and("network security groups do not govern the public endpoint"))
}

fn list(sight: &Sight<'_>) -> PublicList {
    PublicList { setting: "authorizedIPRanges", provider: "AKS", network: "network", entries: sight.entries() }
}

/// What was seen, in a sentence each.
fn with_what_was_seen(sight: &Sight<'_>, mut told: Told) -> Told {
    let attempts = evidence::direct(sight.view);
    for attempt in attempts.iter().take(MOST_ATTEMPTS) {
        told = told.and(attempt_words(attempt));
    }
    match sight.lookup() {
        Some(lookup) if attempts.is_empty() => told.and(lookup_words(lookup)),
        _ => told,
    }
}

fn setting(sight: &Sight<'_>) -> String {
    let entries = sight.entries();
    let list = if entries.is_empty() { "empty".to_owned() } else { words::listed(&entries) };
    format!("apiServerAccessProfile.authorizedIPRanges = {list}")
}

/// The command that lets these addresses in besides those on the list.
fn admitted(sight: &Sight<'_>, addresses: &[IpNet]) -> String {
    // IPv6 cannot be listed.
    let ranges: Vec<String> = addresses.iter().filter(|one| one.addr().is_ipv4()).map(ToString::to_string).collect();
    if ranges.is_empty() {
        "# AKS takes IPv4 ranges only: come from an IPv4 address, and list that.".to_owned()
    } else {
        commands::add_ranges(sight.facts(), &ranges)
    }
}

/// The ranges that are these addresses alone; IPv6 cannot be listed.
fn singles(addresses: &[IpAddr]) -> Vec<String> {
    addresses.iter().filter(|address| address.is_ipv4()).map(|address| single(*address)).collect()
}

const MOST_ATTEMPTS: usize = 4;

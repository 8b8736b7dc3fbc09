//! Causes in name resolution: what the deciding resolver said, beside what others say.

use std::net::IpAddr;

use kubereach_probes::{AddressClass, Attempt, DnsObservation, DnsOutcome, Reachability, TlsOutcome};

use super::{
    BY_CONFIGURATION, Cause, CellView, Need, Told, aks,
    eks::names,
    lookups::{
        self, PUBLIC, SYSTEM, SYSTEM_DNS, address_reaches, addresses_words, answered, authoritative, canary, deciding,
        failed, from_hosts_file, labelled, lookup_words, others, shell_word, system,
    },
    recipes::kubeconfig_renew,
    sources,
};
use crate::report::{Confidence, Via};

pub(super) const CAUSES: &[Cause] = &[
    Cause {
        code: "dns-name-does-not-exist",
        title: "The endpoint's name does not exist",
        needs: &[Need::Probe],
        signature: "Every resolver that answers says that the name does not exist, or has no address: the cluster was deleted, or the name is mistyped. Two other faults look alike. When a resolver inside the VPC still answers, it is an old private-only EKS cluster; and a `privatelink` name of AKS is meant to be unknown to public resolvers, so that there the private zone is not linked to the client's network.",
        setting: "the endpoint's name; whether the cluster exists",
        fix: concat!(
            "aws eks list-clusters --region <region>   # EKS: does it still exist?\naz aks list -o table                      # AKS\n",
            kubeconfig_renew!()
        ),
        docs: sources::EKS_ENDPOINT,
        kubectl: &["no such host"],
        decided_by: "the same name asked of a resolver inside the cluster's network, and the list of clusters",
        predicate: Some(name_does_not_exist),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "dns-resolver-unreachable",
        title: "The resolver of this machine does not answer",
        needs: &[Need::Probe],
        signature: "The system's resolver gives no message, over UDP and over TCP, or its port is closed, while another resolver answers the same question. If only some of the questions stay unanswered it is overload: the resolver of a VPC takes 1,024 packets a second from each network interface, and that limit is fixed. When nothing at all answers, the prober itself is offline.",
        setting: "the list of resolvers; port 53 in security group, NSG or firewall",
        fix: "# Allow UDP and TCP port 53 from this machine to its resolver, or point it at one that answers:\nresolvectl status",
        docs: sources::VPC_DNS,
        kubectl: &["i/o timeout", "server misbehaving", "connection refused", "temporary failure in name resolution"],
        decided_by: "the same question over TCP port 53, and to another resolver",
        predicate: Some(resolver_unreachable),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "dns-resolver-returns-error",
        title: "The resolver of this machine answers with an error",
        needs: &[Need::Probe],
        signature: "The system's resolver answers `servfail` (the server that it forwards to is broken, or validation failed) or `refused` (it does not serve this client, or not this zone), while another resolver knows the name. In an Azure VNet with DNS servers of its own, a missing forwarder does this. The questions behind the outcome show which server said it.",
        setting: "that resolver's forwarders, or its list of clients",
        fix: "# On the resolver: repair the forwarding of the zone of <host>, or allow this client to ask.",
        docs: sources::AKS_DNS_FAIL,
        kubectl: &["server misbehaving", "no such host"],
        decided_by: "the same question to the servers that this resolver forwards to",
        predicate: Some(resolver_returns_error),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "dns-private-answer-filtered",
        title: "The resolver withholds private addresses (rebinding protection)",
        needs: &[Need::Probe],
        signature: "Public DNS gives private addresses for the name, as it does for a private-only EKS endpoint or the public FQDN of a private AKS cluster, but this resolver says that there are none, although it answers other names well. Home routers and some company resolvers strip private addresses to prevent DNS rebinding. A resolver that merely lacks a private zone looks alike, but then public DNS would not know the addresses either.",
        setting: "the resolver's option, e.g. `stop-dns-rebind` of dnsmasq or `private-address` of unbound",
        fix: "# dnsmasq: add this line and restart it (unbound: private-domain: eks.amazonaws.com)\nrebind-domain-ok=/eks.amazonaws.com/azmk8s.io/",
        docs: sources::REBIND_PROTECTION,
        kubectl: &["no such host"],
        decided_by: "another name that resolves to a private address, asked of the same resolver",
        predicate: Some(private_answer_filtered),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "dns-wrong-view-for-vantage",
        title: "This machine asks a resolver that cannot know the private addresses",
        needs: &[Need::Probe],
        signature: "The private addresses are expected here, and the resolver of the VPC or VPN gives them, but the system's resolver gives public ones or says that the name does not exist: it looks at DNS from outside. Typically a VPN is up while the LAN router still resolves, or split DNS lacks the domain. Inside a VPC the DNS settings of the VPC are to blame instead, which only the provider's configuration can tell.",
        setting: "the order of resolvers; the VPN's split-DNS domains",
        fix: "resolvectl dns <vpn-if> <resolver>\nresolvectl domain <vpn-if> '~<zone>'",
        docs: sources::WRONG_VIEW,
        kubectl: &["no such host", "i/o timeout"],
        decided_by: "the same name asked of the VPC's or VPN's resolver; inside a VPC, of 169.254.169.253",
        predicate: Some(wrong_view),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "dns-stale-answer",
        title: "The resolver gives an outdated answer",
        needs: &[Need::Probe],
        signature: "The system's resolver gives addresses that no other resolver gives (or denies a name that others know), and those addresses do not answer: it still holds an answer from before a change. Within the record's time to live, 60 seconds for EKS, that is only propagation. A cache inside a client process is invisible to a probe, so kubectl or a controller may still use an old address when everything here is green.",
        setting: "the cache of the resolver or of the client",
        fix: "resolvectl flush-caches   # or restart the caching resolver; then ask again",
        docs: sources::EKS_CONTROL_PLANE,
        kubectl: &["i/o timeout", "connection refused", "no such host"],
        decided_by: "the same name asked of the zone's authoritative server",
        predicate: Some(stale_answer),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "dns-answer-rewritten",
        title: "The resolver gives a made-up answer",
        needs: &[Need::Probe],
        signature: "The answer is 0.0.0.0, a loopback or a link-local address, or the resolver gives the same address for a random name that does not exist, or its message is no valid answer, or the address is of another class than all other resolvers give and its certificate does not verify. That is a filter list, a captive portal or a hijack. A wildcard record of the zone itself also answers random names, but then every resolver does.",
        setting: "that resolver's policy",
        fix: "kubereach doctor --resolver system=<trusted resolver>   # then exempt <host> on the filter",
        docs: sources::VPC_DNS,
        kubectl: &["connection refused", "no route to host", "certificate is valid for"],
        decided_by: "the same name, and a random one beside it, asked of another resolver",
        predicate: Some(answer_rewritten),
        ..BY_CONFIGURATION
    },
];

fn name_does_not_exist(view: &CellView<'_>) -> Option<Told> {
    let lookup = system(view)?;
    let unknown = |lookup: &DnsObservation| matches!(lookup.outcome, DnsOutcome::Nxdomain | DnsOutcome::Nodata);
    let said: Vec<&DnsObservation> = view.observation.dns.iter().filter(|lookup| lookup.outcome.is_message()).collect();
    if !unknown(lookup) || !said.iter().all(|lookup| unknown(lookup)) {
        return None;
    }
    let count = said.len();
    let mut told = Told::new(
        if count > 1 && !is_private_name(view.host) { Confidence::Likely } else { Confidence::Possible },
        format!("{count} of {count} resolvers that answered know no address for {}.", lookup.name),
    );
    for lookup in said.iter().take(RESOLVERS_NAMED) {
        told = told.and(format!("{}.", lookup_words(lookup)));
    }
    if is_private_name(view.host) {
        told = told.and("This is a private name of AKS, which public resolvers are meant not to know. Rival: the private DNS zone is not linked to this network (`aks-private-zone-not-linked`); the question from inside the cluster's VNet decides.");
    } else if count == 1 {
        told = told.and("Only one resolver was asked. Rivals: `dns-private-answer-filtered`, `dns-wrong-view-for-vantage`; the same question to a public resolver and to the network's own decides.");
    } else {
        told = told.and("Not asked: a resolver inside the cluster's network. If one knows the name, the public record is missing (`eks-public-dns-not-switched-to-private`).");
    }
    Some(told)
}

fn resolver_unreachable(view: &CellView<'_>) -> Option<Told> {
    let lookup = system(view).filter(|lookup| !lookup.outcome.is_message())?;
    let told = |confidence| Told::new(confidence, format!("{}.", lookup_words(lookup)));
    let server = lookup.server.as_deref().unwrap_or("the configured resolver");
    let unanswered = lookup.queries.iter().filter(|query| !query.outcome.is_message()).count();
    let fix = format!(
        "# Allow UDP and TCP port 53 from this machine to {server}, or use another resolver:\nresolvectl status"
    );
    let told = if let Some(other) = others(view).find(|other| other.outcome.is_message()) {
        told(Confidence::Certain).and(format!("{}.", lookup_words(other)))
    } else if answering_controls(view) > 0 {
        told(Confidence::Likely).and("Other hosts of the network do answer, so this machine is online.")
    } else {
        told(Confidence::Possible).and(
            "No other resolver answered. Rival: this machine is offline; a control target or another resolver decides.",
        )
    };
    let told = match lookup.queries.len() {
        0 => told,
        asked => told.and(format!("{unanswered} of {asked} questions stayed without an answer.")),
    };
    Some(told.setting(format!("the resolver {server}")).fix(fix))
}

fn resolver_returns_error(view: &CellView<'_>) -> Option<Told> {
    let lookup = system(view).filter(|lookup| matches!(lookup.outcome, DnsOutcome::Servfail | DnsOutcome::Refused))?;
    let why = if lookup.outcome == DnsOutcome::Refused {
        "It does not serve this client, or not this zone."
    } else {
        "It could not find out: the servers that it asks are broken or out of reach, or validation failed."
    };
    let other = others(view).find(|other| answered(other));
    let confidence = if other.is_some() { Confidence::Certain } else { Confidence::Likely };
    let mut told = Told::new(confidence, format!("{}.", lookup_words(lookup))).and(why);
    let errors: Vec<&str> =
        lookup.queries.iter().flat_map(|query| &query.extended_errors).map(String::as_str).take(3).collect();
    if !errors.is_empty() {
        told = told.and(format!("Extended error: {}.", errors.join("; ")));
    }
    told = match other {
        Some(other) => told.and(format!("{}.", lookup_words(other))),
        None => told.and("No other resolver gave an address either, so the zone itself may be broken."),
    };
    let server = lookup.server.as_deref().unwrap_or("that resolver");
    Some(told.setting(format!("forwarders and access list of {server}")))
}

fn private_answer_filtered(view: &CellView<'_>) -> Option<Told> {
    let lookup = system(view).filter(|lookup| denies(lookup) || lookup.outcome == DnsOutcome::Refused)?;
    let public =
        labelled(view, PUBLIC).filter(|public| answered(public) && public.address_class == AddressClass::Private)?;
    // A resolver that refuses every name is broken, not filtering.
    if lookup.outcome == DnsOutcome::Refused
        && canary(view, SYSTEM).is_some_and(|canary| canary.outcome == DnsOutcome::Refused)
    {
        return None;
    }
    let told = Told::new(Confidence::Likely, format!("{}.", lookup_words(lookup)))
        .and(format!("{}.", lookup_words(public)))
        .and("Public DNS gives private addresses to everybody, so a resolver that gives none strips them.");
    Some(match canary(view, SYSTEM) {
        Some(canary) if canary.outcome.is_message() => told.and("The same resolver answers other names, so it works."),
        _ => told,
    })
}

fn wrong_view(view: &CellView<'_>) -> Option<Told> {
    if let Some(told) = aks::names::asked_from_outside(view) {
        return Some(told);
    }
    let lookup = system(view).filter(|lookup| !from_hosts_file(lookup))?;
    let inside = others(view).find(|other| {
        other.resolver != PUBLIC
            && other.resolver != SYSTEM_DNS
            && answered(other)
            && other.address_class == AddressClass::Private
    })?;
    let public_is_private = labelled(view, PUBLIC).is_some_and(|public| public.address_class == AddressClass::Private);
    let predicted = view.configuration.and_then(|configured| configured.expected_answer());
    let private_expected = view.intended_via == Some(Via::Private) || predicted == Some(AddressClass::Private);
    if predicted == Some(AddressClass::Public) && view.intended_via != Some(Via::Private) {
        // From where it is, the public answer is the right one.
        return None;
    }
    let inside_works = inside.addresses.iter().any(|address| address_reaches(view, *address));
    let fits = if denies(lookup) {
        !public_is_private
    } else {
        let looks_from_outside = matches!(lookup.address_class, AddressClass::Public | AddressClass::Mixed);
        answered(lookup) && looks_from_outside && (private_expected || (inside_works && failed(view).next().is_some()))
    };
    if !fits {
        return None;
    }
    let server = inside.server.as_deref().and_then(|server| server.rsplit_once(':')).map(|(host, _)| host);
    let zone = view.host.split_once('.').map_or(view.host, |(_, zone)| zone);
    let told = Told::new(Confidence::Likely, format!("{}.", lookup_words(lookup)))
        .and(format!("{}.", lookup_words(inside)))
        .and("This machine asks a resolver that looks at the name from outside. In a VPC its DNS attributes and DHCP options may be the reason; the provider's configuration decides that.");
    let told = if inside_works { told.and("At a private address an API server answers from here.") } else { told };
    Some(told.fix(format!(
        "resolvectl dns <vpn-if> {}\nresolvectl domain <vpn-if> {}",
        server.unwrap_or("<resolver>"),
        shell_word(&format!("~{zone}"))
    )))
}

fn stale_answer(view: &CellView<'_>) -> Option<Told> {
    let outdated = names::outdated_private_answer(view).or_else(|| aks::names::outdated_private_answer(view));
    if let Some(told) = outdated {
        return Some(told);
    }
    let difference = disagreement(view)?;
    if let Some(seconds) = difference.lookup.ttl.filter(|_| within_window(view, difference.lookup))
        && seconds > 0
    {
        return None;
    }
    let confidence = if difference.better_works { Confidence::Likely } else { Confidence::Possible };
    let told = difference.told(confidence);
    let told = match difference.lookup.ttl {
        Some(seconds) if seconds > 0 => {
            told.and(format!("Its time to live is {seconds} s still, far beyond the 60 s of such records."))
        }
        _ => told,
    };
    let told = if difference.better_works {
        told
    } else {
        told.and("Rivals: a filter list on that resolver (`dns-answer-rewritten`), or a path that is blocked to both. The zone's authoritative server decides.")
    };
    Some(told.and("Caches inside client processes are invisible to a probe."))
}

/// Told by `propagation-dns-ttl`: the same picture while the answer's time to live runs.
pub(super) fn answer_still_running_out(view: &CellView<'_>) -> Option<Told> {
    let difference = disagreement(view)?;
    let seconds = difference.lookup.ttl.filter(|seconds| *seconds > 0)?;
    if !within_window(view, difference.lookup) {
        return None;
    }
    let declared = view.change.is_some_and(|change| change.open);
    let confidence = if declared || difference.better_works { Confidence::Likely } else { Confidence::Possible };
    let end = i64::from(seconds)
        .checked_add(view.now.as_second())
        .and_then(|second| jiff::Timestamp::from_second(second).ok());
    let until = end.map(|end| format!(", until {}", lookups::moment_words(end))).unwrap_or_default();
    Some(
        difference
            .told(confidence)
            .and(format!("The old answer may be kept for {seconds} s more{until}."))
            .fix(format!("sleep {seconds}   # or: resolvectl flush-caches")),
    )
}

/// The deciding resolver says one thing, a better one another.
struct Disagreement<'a> {
    lookup: &'a DnsObservation,
    better: &'a DnsObservation,
    /// Addresses that only the deciding resolver gave.
    extra: Vec<IpAddr>,
    /// An address that the better one gave was dialled and reached.
    better_works: bool,
}

impl Disagreement<'_> {
    fn told(&self, confidence: Confidence) -> Told {
        let told = Told::new(confidence, format!("{}.", lookup_words(self.lookup)))
            .and(format!("{}.", lookup_words(self.better)));
        let told = if self.extra.is_empty() {
            told
        } else {
            told.and(format!(
                "No other resolver gives {}, and there no API server answers.",
                addresses_words(&self.extra)
            ))
        };
        if self.better_works { told.and("At an address of the other answer an API server answers.") } else { told }
    }
}

/// Addresses that only the deciding resolver gives and that fail, or a denial of a name that is publicly known.
fn disagreement<'a>(view: &CellView<'a>) -> Option<Disagreement<'a>> {
    let lookup = system(view).filter(|lookup| !from_hosts_file(lookup))?;
    let candidates = || others(view).filter(|other| other.resolver != SYSTEM_DNS && answered(other));
    let better = candidates().find(|other| authoritative(other)).or_else(|| candidates().next())?;
    let better_works = better.addresses.iter().any(|address| address_reaches(view, *address));
    if denies(lookup) {
        // A private answer that is denied has causes of its own.
        return (better.address_class == AddressClass::Public).then_some(Disagreement {
            lookup,
            better,
            extra: Vec::new(),
            better_works,
        });
    }
    if !answered(lookup) || lookup.address_class != better.address_class {
        return None;
    }
    let extra: Vec<IpAddr> = lookup
        .addresses
        .iter()
        .copied()
        .filter(|address| !candidates().any(|other| other.addresses.contains(address)))
        .collect();
    let all_fail = |address: &IpAddr| {
        deciding(view).any(|attempt| attempt.address == Some(*address)) && !address_reaches(view, *address)
    };
    (!extra.is_empty() && extra.iter().all(all_fail)).then_some(Disagreement { lookup, better, extra, better_works })
}

/// Whether an answer's remaining life is that of a record on its way out, not of one that is kept too long.
fn within_window(view: &CellView<'_>, lookup: &DnsObservation) -> bool {
    let declared = view.change.filter(|change| change.open).map_or(0, |change| change.window.as_secs());
    let usual = if answered(lookup) { RECORD_TTL } else { NEGATIVE_TTL };
    lookup.ttl.is_some_and(|seconds| u64::from(seconds) <= usual.max(declared))
}

fn answer_rewritten(view: &CellView<'_>) -> Option<Told> {
    let lookup = system(view).filter(|lookup| !from_hosts_file(lookup))?;
    if lookup.outcome == DnsOutcome::Malformed {
        let detail = lookup.detail.as_deref().map(|detail| format!(" ({detail})")).unwrap_or_default();
        // Who made it so cannot be seen from here: a tampering box, a broken server and a stalled one look alike.
        return Some(
            Told::new(
                Confidence::Possible,
                format!("{}{detail}: a message came that is no usable answer.", lookup_words(lookup)),
            )
            .and("Rival: the resolver itself is broken or stalls. The same question to another resolver decides."),
        );
    }
    if !answered(lookup) || deciding(view).any(|attempt| attempt.tls.outcome == TlsOutcome::Verified) {
        return None;
    }
    let told = |confidence, why: String| Told::new(confidence, format!("{}.", lookup_words(lookup))).and(why);
    let given_elsewhere = |address: &IpAddr| {
        view.known_addresses.contains(address)
            || others(view).any(|other| answered(other) && other.addresses.contains(address))
    };
    let asked_elsewhere = others(view).any(|other| other.outcome.is_message());
    if let Some(address) =
        lookup.addresses.iter().find(|address| is_sink(**address, lookup.address_class) && !given_elsewhere(address))
    {
        let sure = asked_elsewhere || address.is_unspecified();
        let confidence = if sure { Confidence::Likely } else { Confidence::Possible };
        let told = told(
            confidence,
            format!("{address} is no address of an API server elsewhere: a filter answers like this."),
        );
        return Some(if sure {
            told
        } else {
            told.and("Rival: the endpoint really is on this machine and not running (`net-port-closed`). Another resolver decides.")
        });
    }
    let lying = |label: &str| {
        canary(view, label).filter(|canary| {
            answered(canary) && canary.addresses.iter().any(|address| lookup.addresses.contains(address))
        })
    };
    if let Some(canary) = lying(SYSTEM) {
        // A wildcard record of the zone makes every resolver answer.
        let mut elsewhere = view.observation.canaries.iter().filter(|canary| canary.resolver != SYSTEM);
        if elsewhere.any(|other| lying(&other.resolver).is_some()) {
            return None;
        }
        return Some(told(
            Confidence::Likely,
            format!(
                "The same resolver gives {} for {}, a random name that does not exist.",
                addresses_words(&canary.addresses),
                canary.name
            ),
        ));
    }
    let unlike = || others(view).filter(|other| other.resolver != SYSTEM_DNS && answered(other));
    let not_verified =
        |attempt: &Attempt| attempt.tls.outcome.completed() && attempt.observed != Reachability::Reachable;
    if unlike().count() > 0
        && unlike().all(|other| other.address_class != lookup.address_class)
        && deciding(view).any(not_verified)
    {
        let other = unlike().next()?;
        return Some(
            told(Confidence::Possible, format!("{}.", lookup_words(other)))
                .and("The addresses are of another class than all other resolvers give, and the certificate there does not verify. Rival: this machine asks a resolver with another view (`dns-wrong-view-for-vantage`); the certificate's issuer decides."),
        );
    }
    None
}

/// Whether a resolver says that there is no such name, or no address.
fn denies(lookup: &DnsObservation) -> bool {
    matches!(lookup.outcome, DnsOutcome::Nxdomain | DnsOutcome::Nodata)
}

/// Whether an address is one that filters answer with. Loopback addresses that the scenario declares public are not.
fn is_sink(address: IpAddr, class: AddressClass) -> bool {
    let link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    address.is_unspecified() || ((address.is_loopback() || link_local) && class != AddressClass::Public)
}

/// Whether public resolvers are meant not to know a name.
pub(super) fn is_private_name(host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    host.contains(".azmk8s.") && (host.contains(".privatelink.") || host.contains(".private."))
}

fn answering_controls(view: &CellView<'_>) -> usize {
    let connectivity = view.observation.connectivity.as_ref();
    connectivity.map_or(0, |connectivity| connectivity.controls.iter().filter(|control| control.answered).count())
}

/// Time to live of the providers' endpoint records, in seconds.
const RECORD_TTL: u64 = 60;
/// Time to live of a denial, in seconds, at most, in the providers' zones.
const NEGATIVE_TTL: u64 = 900;
const RESOLVERS_NAMED: usize = 6;

#[cfg(test)]
mod tests {
    use kubereach_probes::{Connectivity, Control};

    use super::*;
    use crate::causes::testing::*;

    fn told(code: &str, scene: &Scene) -> Option<Confidence> {
        scene.finding(code).map(|finding| finding.confidence)
    }

    #[test]
    fn a_name_that_nobody_knows_does_not_exist() {
        let nxdomain = |label: &str| no_answer(label, DnsOutcome::Nxdomain);
        let code = "dns-name-does-not-exist";
        let both = Scene::new().saw(vec![nxdomain("system"), nxdomain("public")], vec![]);
        assert_eq!(told(code, &both), Some(Confidence::Likely));
        let alone = Scene::new().saw(vec![nxdomain("system")], vec![]);
        assert_eq!(told(code, &alone), Some(Confidence::Possible));
        let known = Scene::new().saw(vec![nxdomain("system"), answer("vpc", &["10.0.1.5"])], vec![]);
        assert_eq!(told(code, &known), None);
        let private = both.with(|scene| scene.host = "a.1b2.privatelink.westeurope.azmk8s.io");
        assert_eq!(told(code, &private), Some(Confidence::Possible));
    }

    #[test]
    fn a_silent_resolver_is_to_blame_when_another_answers() {
        let code = "dns-resolver-unreachable";
        let timeout = || no_answer("system", DnsOutcome::Timeout);
        let other = Scene::new().saw(vec![timeout(), answer("public", &["198.51.100.20"])], vec![]);
        assert_eq!(told(code, &other), Some(Confidence::Certain));
        assert_eq!(other.errors(), [code]);
        let online = Scene::new().saw(vec![timeout()], vec![]).with(|scene| {
            let control = Control { target: "192.0.2.1:53".into(), answered: true, detail: "answer".into() };
            scene.observation.connectivity = Some(Connectivity { controls: vec![control], ..Connectivity::default() });
        });
        assert_eq!(told(code, &online), Some(Confidence::Likely));
        let closed = Scene::new().saw(vec![no_answer("system", DnsOutcome::Unreachable)], vec![]);
        assert_eq!(told(code, &closed), Some(Confidence::Possible));
        let fine = Scene::new().saw(vec![answer("system", &["198.51.100.20"])], vec![silent("198.51.100.20")]);
        assert_eq!(told(code, &fine), None);
    }

    #[test]
    fn an_error_of_the_resolver_is_told() {
        let code = "dns-resolver-returns-error";
        for outcome in [DnsOutcome::Servfail, DnsOutcome::Refused] {
            let scene =
                Scene::new().saw(vec![no_answer("system", outcome), answer("public", &["198.51.100.20"])], vec![]);
            assert_eq!(scene.errors(), [code]);
            assert_eq!(told(code, &scene), Some(Confidence::Certain));
        }
        let alone = Scene::new().saw(vec![no_answer("system", DnsOutcome::Servfail)], vec![]);
        assert_eq!(told(code, &alone), Some(Confidence::Likely));
    }

    #[test]
    fn private_addresses_that_only_this_resolver_withholds_are_filtered() {
        let code = "dns-private-answer-filtered";
        for outcome in [DnsOutcome::Nxdomain, DnsOutcome::Nodata, DnsOutcome::Refused] {
            let scene = Scene::new().saw(
                vec![no_answer("system", outcome), answer("public", &["10.0.1.5"])],
                vec![beside(silent("10.0.1.5"))],
            );
            assert_eq!(scene.errors(), [code], "{outcome:?}");
        }
        let refuses_all = Scene::new()
            .saw(vec![no_answer("system", DnsOutcome::Refused), answer("public", &["10.0.1.5"])], vec![])
            .with(|scene| scene.observation.canaries = vec![no_answer("system", DnsOutcome::Refused)]);
        assert_eq!(refuses_all.errors(), ["dns-resolver-returns-error"]);
        let public = Scene::new()
            .saw(vec![no_answer("system", DnsOutcome::Nxdomain), answer("public", &["198.51.100.20"])], vec![]);
        assert_eq!(told(code, &public), None);
    }

    #[test]
    fn a_resolver_outside_the_network_has_the_wrong_view() {
        let code = "dns-wrong-view-for-vantage";
        let lookups = || vec![answer("system", &["198.51.100.20"]), answer("vpc", &["10.0.1.5"])];
        let expected = Scene::new().saw(lookups(), vec![reached("198.51.100.20")]).with(|scene| {
            scene.intended_via = Some(Via::Private);
            scene.via = Some(Via::Public);
        });
        assert!(expected.errors().contains(&code.to_owned()), "{:?}", expected.errors());
        assert!(expected.errors().contains(&"net-path-not-as-intended".to_owned()));
        let works_inside = Scene::new().saw(lookups(), vec![silent("198.51.100.20"), beside(reached("10.0.1.5"))]);
        assert_eq!(told(code, &works_inside), Some(Confidence::Likely));
        let unknown =
            Scene::new().saw(vec![no_answer("system", DnsOutcome::Nxdomain), answer("vpc", &["10.0.1.5"])], vec![]);
        assert_eq!(unknown.errors(), [code]);
        let public_meant = Scene::new().saw(lookups(), vec![silent("198.51.100.20")]);
        assert_eq!(told(code, &public_meant), None);
    }

    #[test]
    fn an_old_answer_is_propagation_within_its_time_and_stale_beyond() {
        let scene = |ttl| {
            let old = DnsObservation { ttl, ..answer("system", &["198.51.100.99"]) };
            Scene::new().saw(
                vec![old, answer("public", &["198.51.100.20"])],
                vec![silent("198.51.100.99"), beside(reached("198.51.100.20"))],
            )
        };
        assert_eq!(told("propagation-dns-ttl", &scene(Some(40))), Some(Confidence::Likely));
        assert_eq!(told("dns-stale-answer", &scene(Some(40))), None);
        assert_eq!(told("dns-stale-answer", &scene(Some(7200))), Some(Confidence::Likely));
        assert_eq!(told("propagation-dns-ttl", &scene(Some(7200))), None);
        assert_eq!(told("dns-stale-answer", &scene(None)), Some(Confidence::Likely));
        let fix = scene(Some(40)).finding("propagation-dns-ttl").unwrap();
        assert!(fix.evidence.iter().any(|sentence| sentence.contains("40 s more, until 2027-01-15")), "{fix:?}");
        let subset = Scene::new().saw(
            vec![answer("system", &["198.51.100.20"]), answer("public", &["198.51.100.20", "198.51.100.21"])],
            vec![silent("198.51.100.20")],
        );
        assert_eq!(told("dns-stale-answer", &subset), None);
        assert_eq!(told("propagation-dns-ttl", &subset), None);
    }

    #[test]
    fn a_denial_that_runs_out_is_propagation() {
        let denial = DnsObservation { ttl: Some(300), ..no_answer("system", DnsOutcome::Nxdomain) };
        let scene = Scene::new()
            .saw(vec![denial, answer("public", &["198.51.100.20"])], vec![beside(reached("198.51.100.20"))]);
        assert_eq!(scene.errors(), ["propagation-dns-ttl"]);
    }

    #[test]
    fn sinks_lies_and_garbage_are_made_up_answers() {
        let code = "dns-answer-rewritten";
        let sink = Scene::new().saw(vec![answer("system", &["0.0.0.0"])], vec![silent("0.0.0.0")]);
        assert_eq!(told(code, &sink), Some(Confidence::Likely));
        let loopback = Scene::new().saw(
            vec![answer("system", &["127.0.0.1"]), answer("public", &["198.51.100.20"])],
            vec![silent("127.0.0.1")],
        );
        assert_eq!(told(code, &loopback), Some(Confidence::Likely));
        let local = Scene::new().saw(vec![answer("system", &["127.0.0.1"])], vec![silent("127.0.0.1")]);
        assert_eq!(told(code, &local), Some(Confidence::Possible));
        let lies = |other: DnsObservation| {
            Scene::new()
                .saw(vec![answer("system", &["192.0.2.9"])], vec![shook("192.0.2.9", TlsOutcome::Untrusted)])
                .with(|scene| scene.observation.canaries = vec![answer("system", &["192.0.2.9"]), other])
        };
        assert_eq!(told(code, &lies(no_answer("public", DnsOutcome::Nxdomain))), Some(Confidence::Likely));
        let wildcard = lies(answer("public", &["192.0.2.9"]));
        assert_eq!(told(code, &wildcard), None);
        let garbage = Scene::new().saw(vec![no_answer("system", DnsOutcome::Malformed)], vec![]);
        assert_eq!(garbage.errors(), [code]);
        assert_eq!(told(code, &garbage), Some(Confidence::Possible));
        let other_class = Scene::new().saw(
            vec![answer("system", &["10.9.9.9"]), answer("public", &["198.51.100.20"])],
            vec![shook("10.9.9.9", TlsOutcome::Untrusted)],
        );
        assert_eq!(told(code, &other_class), Some(Confidence::Possible));
        let partly = Scene::new()
            .saw(vec![answer("system", &["127.0.0.1", "127.0.0.2"])], vec![silent("127.0.0.1"), reached("127.0.0.2")]);
        assert_eq!(told(code, &partly), None);
    }
}

//! Causes that belong to no provider and no layer: propagation, the undecided, paths that are not as intended.

use std::net::{IpAddr, SocketAddr};

use kubereach_probes::{AddressClass, DnsOutcome, Observation, Reachability, TcpOutcome, TlsOutcome, TunnelOutcome};

use super::{
    BY_CONFIGURATION, Cause, CellView, IntentByEgress, Need, Told, aks, by_code, configuration,
    dns::{answer_still_running_out, is_private_name},
    egress,
    eks::{changes, paths, public},
    evidence::{clean, listed},
    lookups::{
        self, addresses, addresses_words, all_of_class, all_silent, answered, attempt_words, deciding, failed,
        lookup_words, moment_words, system,
    },
    recipes::eks_wait,
    sources, symptoms,
};
use crate::report::{Confidence, Intended, Provider, Severity, Verdict, Via};

pub(super) const CAUSES: &[Cause] = &[
    Cause {
        code: "propagation-aks-authorized-ip-ranges",
        title: "A change of the authorized IP ranges may still be on its way",
        signature: "The authorized IP ranges of an AKS cluster were changed less than two minutes ago, and the probe does not agree with the new list yet. AKS takes up to two minutes to apply it. A refused connection is not this, because the ranges drop silently. Probing again every five seconds until three rounds agree, or until the window ends, decides.",
        setting: "apiServerAccessProfile.authorizedIPRanges, and when it was changed",
        fix: "kubereach verify <scenario> --changed-at <time>   # probes again until the rounds agree or two minutes are over",
        docs: sources::AKS_RANGES,
        kubectl: &["i/o timeout"],
        decided_by: "the same probe after two minutes",
        predicate: Some(propagation_aks),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "propagation-eks-update-in-progress",
        title: "EKS is still applying an update of the endpoint",
        signature: "An update of endpoint access or of the VPC configuration is `InProgress`, or the cluster is `UPDATING`, and what the probe sees belongs to the state before. Handshakes may time out now and then meanwhile. The window ends one DNS time to live, 60 seconds, after the update is `Successful`. The update's status decides.",
        setting: "update.status",
        fix: eks_wait!(),
        docs: sources::EKS_API,
        kubectl: &["i/o timeout", "tls handshake timeout"],
        decided_by: "`aws eks describe-update`",
        configuration: Some(configuration::endpoint::update_in_progress),
        predicate: Some(changes::update_in_progress),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "propagation-dns-ttl",
        title: "A cached DNS answer has not run out yet",
        needs: &[Need::Probe],
        signature: "The zone's own server, or another resolver, already gives the right answer; the caching resolver that this machine uses still holds the old one, or still denies the name, and its time to live runs. It ends by itself at the second that the finding names. Once that is over and the answer is still old, it is `dns-stale-answer`.",
        setting: "the record's time to live; of a denial, that of the zone's SOA",
        fix: "resolvectl flush-caches   # or wait until the time to live is over",
        docs: sources::EKS_CONTROL_PLANE,
        kubectl: &["no such host", "i/o timeout"],
        decided_by: "the same lookup after the time to live",
        predicate: Some(answer_still_running_out),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "propagation-eks-vpc-cidr",
        title: "A new range of the VPC is not yet known to the cluster",
        signature: "Only clients in a CIDR that was associated with the VPC less than five hours ago get no answer; clients in older ranges work. EKS takes up to five hours to take a new range into account. A missing security-group rule for the new range looks the same, so its rules are read first.",
        setting: "CidrBlockAssociationSet",
        fix: "aws ec2 describe-vpcs --vpc-ids <vpc> --query 'Vpcs[].CidrBlockAssociationSet'   # then wait, at most 5 hours",
        docs: sources::EKS_NETWORK,
        kubectl: &["i/o timeout"],
        decided_by: "the same probe from an older range of the VPC",
        predicate: Some(changes::new_vpc_range),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "propagation-window-open",
        title: "A declared change may still be on its way",
        needs: &[Need::Probe, Need::Scenario],
        signature: "A change was declared with its time, the window in which it may take effect is still open, and what is observed does not agree with what is intended. That may be the change on its way, or a fault that the window merely hides; findings beside this one name what it would be. Only another round after the window decides.",
        setting: "--changed-at, propagation.window",
        fix: "kubereach verify <scenario> --changed-at <time>   # without --no-wait it probes again until the rounds agree or the window ends",
        docs: sources::AKS_RANGES,
        kubectl: &[],
        decided_by: "the same probe after the window",
        predicate: Some(propagation_window_open),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "inconclusive-vantage-unavailable",
        title: "The vantage cannot be used",
        needs: &[Need::Probe],
        signature: "The place from which this cell should have been probed cannot be used: the interface or network namespace of this host, the proxy, the SSH host, the EC2 instance or managed node behind Systems Manager, the pod of another cluster, or the long-lived agent behind NATS. So nothing was probed, and that says nothing about the cluster. The evidence names the step that failed, in the words of whoever refused it.",
        setting: "vantages.<vantage>",
        fix: "# Try the vantage's own way without kubereach; its guide has a table of what can be wrong:\nssh <bastion> true   # ssh\naws ssm describe-instance-information --filters Key=InstanceIds,Values=<instance>   # ssm\nkubectl --context <context> -n <namespace> auth can-i create jobs   # kubernetes\n# agent: is it running, under this name, and connected to the NATS server? Its log says so.",
        docs: sources::VANTAGES,
        kubectl: &[],
        decided_by: "the step that the evidence names",
        predicate: Some(vantage_unavailable),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "inconclusive-prober-offline",
        title: "The prober itself is offline",
        needs: &[Need::Probe],
        signature: "Nothing answers from here: neither the cluster nor this machine's own resolver nor any control target, or the machine could not even open a socket. A laptop without network sees every cluster as down, so this says nothing about the cluster. As soon as a control target answers, the same picture has another cause.",
        setting: "the network of this machine; its limits of descriptors and ports",
        fix: "ip route get <gateway>   # repair this machine's own network first, then run again",
        docs: sources::EKS_TROUBLESHOOTING,
        kubectl: &["network is unreachable", "temporary failure in name resolution"],
        decided_by: "a control target that should always answer",
        predicate: Some(prober_offline),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "inconclusive-facts-missing",
        title: "What decides is not in the provider's configuration that was read",
        needs: &[Need::Facts],
        signature: "What would decide this cell stands in the provider's configuration, and that is absent, was denied, belongs to another cluster or region, or is older than the newest update. kubereach does not fill a gap with a default. The evidence names the file or the permission that is missing.",
        setting: "the facts folder; the permission that is named",
        fix: "kubereach facts pull eks --name <cluster> --region <region>   # with the permission that the evidence names",
        docs: HOME,
        kubectl: &[],
        decided_by: "the file or permission that the evidence names",
        predicate: Some(facts_missing),
        configuration: Some(configuration::gaps::facts_missing),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "inconclusive-egress-address-unknown",
        title: "An allow-list decides, but the vantage's egress address is not known",
        needs: &[Need::Probe, Need::Scenario],
        signature: "Whether this vantage is let in depends on the source address that the cluster sees, and that address is not known for this family and path: NAT and proxies change it. An echo server may see another path, so what it says is never certain, but it is asked from the same place and through the same proxy. Declaring the address, or naming an echo server, decides.",
        setting: "vantages.<vantage>.egress",
        fix: "# Declare the address, or name a server that tells it:\n# vantages: { <vantage>: { egress: { addresses: [<egress address>/32], echo: [\"https://<echo server>/ip\"] } } }",
        docs: sources::EKS_ENDPOINT,
        kubectl: &[],
        decided_by: "the source address as the far side of this very path sees it",
        predicate: Some(egress_not_known),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "inconclusive-rule-not-evaluable",
        title: "A rule on the path cannot be evaluated",
        needs: &[Need::Facts],
        signature: "The element that decides lies outside what the model knows: a service tag without its prefixes, an appliance or firewall as next hop, a policy table, routes learned by BGP. The configuration alone cannot tell then. A probe from that vantage outranks the gap.",
        setting: "the element that the evidence names",
        fix: "kubereach verify <scenario>   # probe from that vantage: what happens outranks what cannot be evaluated",
        docs: sources::VPC_EXPLANATIONS,
        kubectl: &[],
        decided_by: "a probe from that vantage",
        predicate: Some(not_evaluable),
        configuration: Some(configuration::ranges::egress_not_evaluable),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "inconclusive-results-unstable",
        title: "The rounds do not agree with each other",
        needs: &[Need::Probe],
        signature: "The result alternated from round to round to the end of the window and never gave as many equal results in a row as were asked for. It does not depend on the address or the resolver; if it did, that would be told instead. Loss on the path and a change that is rolled back and forth look like this. More rounds over a longer time decide.",
        setting: "propagation.consecutive",
        fix: "kubereach verify <scenario> --wait 10m   # or raise propagation.consecutive",
        docs: HOME,
        kubectl: &[],
        decided_by: "more rounds over a longer time",
        predicate: Some(results_unstable),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "inconclusive-run-interrupted",
        title: "The run ended before this cell was decided",
        needs: &[Need::Probe],
        signature: "The run was interrupted, or its whole time was used up, before every stage of this cell was decided. What was seen until then is reported and proves nothing. A longer `--timeout` decides.",
        setting: "--timeout",
        fix: "kubereach verify <scenario> --timeout 5m",
        docs: HOME,
        kubectl: &[],
        decided_by: "another run with more time",
        predicate: Some(run_interrupted),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "partial-address-failure",
        title: "Some addresses of the endpoint do not answer, while others do",
        needs: &[Need::Probe],
        signature: "The name has several addresses, and at least one that was dialled fails while another reaches the API server. Clients that pick the bad one hang, others work, so it looks like a flicker. The cause is what the failing addresses have in common: the network ACL or route of one subnet, a zone without a transit-gateway attachment, an outdated record. A family for which this machine has no route is not dialled and does not count.",
        setting: "the subnet or target of the failing address",
        fix: "# What do the failing addresses have in common: subnet, zone, route, an outdated record? Clients hang whenever they pick one.\nkubereach doctor --server https://<failing address>:<port> --tls-server-name <host> --ca <ca.pem> -v",
        docs: sources::HALF_AN_OUTAGE,
        kubectl: &["i/o timeout"],
        decided_by: "the subnet and zone of the good addresses against those of the bad ones",
        predicate: Some(partial_address_failure),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "net-reachable-though-not-intended",
        title: "The API server is reachable from where it should not be",
        needs: &[Need::Probe, Need::Scenario],
        signature: "The scenario says that this vantage must not reach the cluster, and an API server answered over a verified connection. The evidence names the address and its class, which tells which endpoint is open. Which rule or list entry lets it in, only the provider's configuration can say. While a change is on its way this may still be propagation.",
        setting: "what lets it in: publicAccessCidrs, authorizedIPRanges, or a security-group rule",
        fix: "aws eks describe-cluster --region <region> --name <cluster> --query cluster.resourcesVpcConfig   # EKS: which entry holds this source?\naz aks show -g <rg> -n <cluster> --query apiServerAccessProfile   # AKS",
        docs: sources::EKS_ENDPOINT,
        kubectl: &[],
        decided_by: "the allow-list or security groups of the cluster",
        predicate: Some(reachable_though_not_intended),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "net-path-not-as-intended",
        title: "The API server is reached by another path than intended",
        needs: &[Need::Probe, Need::Scenario],
        signature: "The API server answers, but at addresses of another class than the scenario names: public where private was meant, or the reverse. That costs privacy or money today and becomes an outage when the other endpoint is closed. Usually DNS is the reason: the view of the resolver, or the DNS attributes of the VPC.",
        setting: "the resolver of the vantage; the DNS attributes of the VPC",
        fix: "dig +short <host>   # here and at the network's own resolver; the finding beside this one names the cause",
        docs: sources::EKS_ENDPOINT,
        kubectl: &[],
        decided_by: "the same name asked of the network's own resolver",
        predicate: Some(path_not_as_intended),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "net-unreachable-for-another-reason",
        severity: Severity::Warning,
        title: "Unreachable as intended, but only because something else is broken",
        needs: &[Need::Probe, Need::Scenario],
        signature: "The cluster should not be reachable from here, and it is not, but what stops it is not an access control: the name does not resolve, there is no route, the proxy is down, or something answers and refuses. Once that is repaired the door may stand open. With the provider's configuration it can be said whether it would.",
        setting: "the thing that is broken, named in the evidence",
        fix: "# Repair what the evidence names, then run kubereach verify again.",
        docs: HOME,
        kubectl: &[],
        decided_by: "the same probe after the repair, or the provider's configuration",
        predicate: Some(unreachable_for_another_reason),
        configuration: None,
    },
    Cause {
        code: "unexplained",
        title: "Not as intended, and no known cause fits",
        needs: &[Need::Probe],
        signature: "The cell is not as intended, and no cause of the catalogue signed. The evidence is what was seen, stage by stage, with every cause that came close and what would decide it. kubereach does not invent a cause.",
        setting: "not known",
        fix: "kubereach doctor -o json=report.json   # attach the report to an issue",
        docs: HOME,
        kubectl: &[],
        decided_by: "the raw evidence",
        predicate: Some(unexplained),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "net-scenario-contradicts-itself",
        title: "The scenario contradicts itself",
        needs: &[Need::Scenario],
        signature: "No configuration within the scenario's `intent` can meet its `expect`: a pair is expected both ways, a public path is expected while public access is meant to be off, or an address outside `allow` is expected to get in. Nothing can make this cell right. The line is named.",
        setting: "expect and intent of the scenario",
        fix: "# Correct the line of the scenario that the evidence names.",
        docs: HOME,
        kubectl: &[],
        decided_by: "the scenario alone",
        predicate: Some(scenario_contradicts_itself),
        ..BY_CONFIGURATION
    },
];

fn propagation_aks(view: &CellView<'_>) -> Option<Told> {
    let change = view.change.filter(|change| change.open)?;
    if view.provider != Provider::Aks {
        return None;
    }
    let words = match (view.intended, view.observed) {
        (Intended::Reachable, Reachability::Unreachable)
            if all_silent(view) && all_of_class(view, AddressClass::Public) =>
        {
            let count = deciding(view).count();
            format!(
                "{count} of {count} public addresses did not answer (tcp timeout), as when the ranges do not hold this source."
            )
        }
        (Intended::Unreachable, Reachability::Reachable) if all_of_class(view, AddressClass::Public) => {
            "A public address still answers, as while the old ranges hold this source.".to_owned()
        }
        _ => return None,
    };
    let told = window_told(view, change, words).and("AKS takes up to 2 minutes to apply authorized IP ranges.");
    Some(match aks::public::known_change(view) {
        Some(known) => told.and(known),
        None => told,
    })
}

fn not_evaluable(view: &CellView<'_>) -> Option<Told> {
    paths::not_evaluable(view)
        .or_else(|| aks::public::tag_not_known(view))
        .or_else(|| aks::names::answer_not_known(view))
}

/// `inconclusive-rule-not-evaluable`, asked last of a cell that nobody probed: the model says why it cannot tell.
pub(super) fn configured_not_known(view: &CellView<'_>) -> Option<Told> {
    let Observation { dns, attempts, proxy, .. } = view.observation;
    let unprobed = dns.is_empty() && attempts.is_empty() && proxy.is_none();
    let unknown = view.configured == Reachability::Unknown && view.observed == Reachability::Unknown;
    if !unprobed || !unknown || view.verdict != Verdict::Inconclusive {
        return None;
    }
    let says = view.configuration_says()?;
    let why = says.strip_prefix("unknown: ").unwrap_or(&says);
    Some(
        Told::new(Confidence::Certain, format!("the configuration cannot tell: {why}"))
            .and("a probe from there would tell; it outranks what cannot be evaluated"),
    )
}

fn egress_not_known(view: &CellView<'_>) -> Option<Told> {
    if let IntentByEgress::NotKnown(origin) = view.circumstances.intent_by_egress {
        let vantage = clean(view.vantage);
        let mut told = Told::new(
            Confidence::Certain,
            format!(
                "whether {vantage} should get in follows from the address that it is seen by ({origin}), and nobody could tell that address"
            ),
        );
        told.evidence.extend(egress::failures(view));
        if view.observation.egress.iter().any(|one| one.address.is_some()) {
            told = told.and("what echo servers say is of no path that was dialled to the cluster");
        }
        return Some(told.setting(format!("vantages.{vantage}.egress")).fix(format!(
            "# Declare it, or mend the echo server that the evidence names, or say under `expect` what should be:\n\
             # vantages: {{ {vantage}: {{ egress: {{ addresses: [<egress address>/32] }} }} }}"
        )));
    }
    let shut_out = view.verdict == Verdict::Match
        && view.intended == Intended::Unreachable
        && view.observed == Reachability::Unreachable;
    if shut_out && view.circumstances.intent_by_egress == IntentByEgress::Observed {
        let vantage = clean(view.vantage);
        return Some(
            Told::new(
                Confidence::Possible,
                format!("that {vantage} should not get in rests on what an echo server says alone ({})", clean(view.origin)),
            )
            .and("an echo server on another path sees another address, and then an API server that is down looks like one that is closed to it")
            .severity(Severity::Warning)
            .setting(format!("vantages.{vantage}.egress"))
            .fix(format!(
                "# Declare the address, or say under `expect` what should be:\n\
                 # vantages: {{ {vantage}: {{ egress: {{ addresses: [<egress address>/32] }} }} }}"
            )),
        );
    }
    public::egress_not_known(view).or_else(|| aks::public::egress_not_known(view))
}

fn propagation_window_open(view: &CellView<'_>) -> Option<Told> {
    let change = view.change.filter(|change| change.open)?;
    let disagrees = match view.intended {
        Intended::Reachable => view.observed == Reachability::Unreachable,
        Intended::Unreachable => view.observed == Reachability::Reachable,
        Intended::Unspecified => false,
    };
    (disagrees || view.verdict == Verdict::Propagating)
        .then(|| window_told(view, change, format!("{} is {} so far.", view.cluster, view.observed.label())))
}

fn window_told(view: &CellView<'_>, change: super::Change, seen: String) -> Told {
    let end = change.at.checked_add(change.window).ok();
    let told = Told::new(Confidence::Likely, seen);
    let since = view.now.as_second().saturating_sub(change.at.as_second());
    let known = view.configuration.is_some_and(|configured| configured.update.is_some());
    let verb = if known { "made" } else { "declared" };
    let told = told.and(format!("A change was {verb} {since} s ago, at {}.", moment_words(change.at)));
    match end {
        Some(end) => {
            let rest = end.as_second().saturating_sub(view.now.as_second()).max(0);
            told.and(format!("Its window stays open for {rest} s more, until {}.", moment_words(end))).fix(format!(
                "# Wait until {} ({rest} s), then run again; without --no-wait kubereach does so itself.",
                moment_words(end)
            ))
        }
        None => told,
    }
}

fn vantage_unavailable(view: &CellView<'_>) -> Option<Told> {
    if view.circumstances.facts_missing.is_some() {
        // It is not the vantage that is missing.
        return None;
    }
    if let Some(why) = ended_early(view) {
        let vantage = clean(view.vantage);
        let fix = match view.vantage_kind {
            "agent" => format!(
                "# Start the agent of {vantage} with a longer `--deadline`, or give each stage less (`--connect-timeout`), then run again."
            ),
            _ => "# Give each stage less (`--connect-timeout`), then run again.".to_owned(),
        };
        let undecided = match view.observation.undecided.as_slice() {
            [] => String::new(),
            some => format!("Not decided yet: {}.", addresses_words(some)),
        };
        return Some(
            Told::new(
                Confidence::Certain,
                format!("The probe from {vantage} was ended there before it was done: {}.", clean(why)),
            )
            .and(undecided)
            .and("This says nothing about the cluster.")
            .setting(format!("vantages.{vantage}"))
            .fix(fix)
            .docs(guide(view.vantage_kind)),
        );
    }
    let why = view.circumstances.vantage_unavailable.or(view.observation.vantage_error.as_deref())?;
    Some(
        Told::new(
            Confidence::Certain,
            format!("Nothing was probed from {} ({}): {why}.", view.vantage, view.vantage_kind),
        )
        .and("This says nothing about the cluster.")
        .setting(format!("vantages.{}", view.vantage))
        .fix(restored(view.vantage_kind, &clean(view.vantage)))
        .docs(guide(view.vantage_kind)),
    )
}

/// Which limit of the vantage's own ended the probe, where that left it undecided.
fn ended_early<'a>(view: &CellView<'a>) -> Option<&'a str> {
    let open = view.observation.cut_short && view.observed == Reachability::Unknown && !view.circumstances.interrupted;
    view.observation.ended_early.as_deref().filter(|_| open)
}

/// What to try without kubereach, where the vantage is of this kind.
fn restored(vantage_kind: &str, vantage: &str) -> String {
    let setting = format!("vantages.{vantage}.{vantage_kind}");
    match vantage_kind {
        "ssh" => format!(
            "# What the evidence names, then run again. With the `host` of {setting}, this has to work without a question:\nssh -o BatchMode=yes <host of the vantage> true"
        ),
        "ssm" => format!(
            "# What the evidence names, then run again. With the `instance` of {setting}, this has to say Online:\naws ssm describe-instance-information --filters Key=InstanceIds,Values=<instance> --query 'InstanceInformationList[].PingStatus'"
        ),
        "kubernetes" => format!(
            "# What the evidence names, then run again. With the kubeconfig and `namespace` of {setting}, this has to say yes:\nkubectl -n <namespace> auth can-i create jobs"
        ),
        "agent" => format!(
            "# What the evidence names, then run again: the agent of {setting} has to run under that name, connected to the same NATS server; its log says so."
        ),
        "proxy" => format!("# Mend the proxy, or the `url` of {setting}, then run again."),
        _ => format!(
            "# Mend what the evidence names in {setting} (interface, address or namespace of this host), then run again."
        ),
    }
}

/// The guide of this kind of vantage.
fn guide(vantage_kind: &str) -> &'static str {
    match vantage_kind {
        "ssh" => sources::VANTAGES_SSH,
        "ssm" => sources::VANTAGES_SSM,
        "kubernetes" => sources::VANTAGES_KUBERNETES,
        "agent" => sources::VANTAGES_AGENT,
        _ => sources::VANTAGES,
    }
}

fn prober_offline(view: &CellView<'_>) -> Option<Told> {
    let local_errors =
        deciding(view).count() > 0 && deciding(view).all(|attempt| attempt.tcp.outcome == TcpOutcome::LocalError);
    if view.circumstances.perhaps_offline && !view.circumstances.offline {
        return Some(perhaps_offline(view));
    }
    if !view.circumstances.offline && !local_errors {
        return None;
    }
    let mut told = if view.circumstances.offline {
        Told::new(
            Confidence::Certain,
            format!("From {} nothing answers: not the cluster, not the resolver, no control target.", view.vantage),
        )
    } else {
        let detail = deciding(view).find_map(|attempt| attempt.tcp.detail.as_deref()).unwrap_or("local error");
        Told::new(Confidence::Certain, format!("{} could not open a connection at all: {detail}.", view.vantage))
    };
    if let Some(connectivity) = &view.observation.connectivity {
        let count = connectivity.controls.len();
        let answered = connectivity.controls.iter().filter(|control| control.answered).count();
        if count > 0 {
            told = told.and(format!("{answered} of {count} control targets answered."));
        }
        if !connectivity.ipv4_route && !connectivity.ipv6_route {
            told = told.and("This machine has no route beyond itself, for neither address family.");
        }
    }
    Some(told.and("This says nothing about the cluster."))
}

fn perhaps_offline(view: &CellView<'_>) -> Told {
    let unasked = view.observation.connectivity.as_ref().map_or(&[][..], |connectivity| &connectivity.unasked);
    let targets = listed(unasked.iter().take(CONTROLS_SHOWN).map(|target| clean(target)));
    let more = match unasked.len().saturating_sub(CONTROLS_SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let vantage = clean(view.vantage);
    Told::new(
        Confidence::Possible,
        format!("From {vantage} nothing answers, and whether {vantage} itself is online is not known: the control target {targets}{more} was not asked from there."),
    )
    .and("This says nothing about the cluster.")
    .fix(format!(
        "# Name a control target under `controls` that {vantage} may ask, or let its agent ask this one (`--allow-host`, `--allow-cidr`, `--allow-port`), then run again."
    ))
}

fn facts_missing(view: &CellView<'_>) -> Option<Told> {
    if let Some(told) = changes::not_in_the_facts(view) {
        return Some(told);
    }
    if let (Some(missing), None) = (view.configuration_missing, view.circumstances.facts_missing) {
        let told = Told::new(Confidence::Certain, format!("The provider's configuration was not read: {missing}."))
            .and("What was seen is not compared with it.");
        // The probes alone may decide; that one truth is not known is then a warning.
        return Some(if view.verdict == Verdict::Inconclusive { told } else { told.severity(Severity::Warning) });
    }
    let what = view.circumstances.facts_missing?;
    let explained = || not_evaluable(view).or_else(|| egress_not_known(view)).is_some();
    if view.configuration.is_some() && !view.host.is_empty() && explained() {
        return None;
    }
    Some(Told::new(Confidence::Certain, what))
}

fn results_unstable(view: &CellView<'_>) -> Option<Told> {
    if !view.circumstances.unstable {
        return None;
    }
    let count = view.rounds.len();
    let agreeing = view.rounds.iter().filter(|round| round.agrees).count();
    let series: Vec<&str> = view.rounds.iter().rev().take(ROUNDS_SHOWN).map(|round| round.observed.label()).collect();
    let series: Vec<&str> = series.into_iter().rev().collect();
    Some(
        Told::new(Confidence::Certain, format!("{agreeing} of {count} rounds agreed with what is intended."))
            .and(format!("The last ones, in order: {}.", series.join(", "))),
    )
}

fn run_interrupted(view: &CellView<'_>) -> Option<Told> {
    let cut =
        view.observation.cut_short && view.observed == Reachability::Unknown && view.observation.ended_early.is_none();
    (view.circumstances.interrupted || cut).then(|| {
        Told::new(Confidence::Certain, "The run ended before this cell was decided.")
            .and(format!("{} rounds were complete.", view.rounds.len()))
            .and(match view.observation.undecided.as_slice() {
                [] => String::new(),
                some => format!("Not decided yet: {}.", addresses_words(some)),
            })
    })
}

fn partial_address_failure(view: &CellView<'_>) -> Option<Told> {
    if view.observed == Reachability::Unknown && deciding(view).next().is_none() {
        return predicted_partial_failure(view);
    }
    if !lookups::is_partial(view) || view.intended == Intended::Unreachable {
        return None;
    }
    let count = deciding(view).count();
    let bad = failed(view).count();
    let mut told =
        Told::new(Confidence::Certain, format!("{bad} of {count} addresses failed, {} answered.", count - bad));
    for attempt in failed(view).take(ATTEMPTS_SHOWN) {
        told = told.and(format!("{} ({}).", attempt_words(attempt), attempt.address_class.label()));
    }
    if bad > ATTEMPTS_SHOWN {
        told = told.and(format!("{} more failed.", bad - ATTEMPTS_SHOWN));
    }
    for address in addresses(failed(view)).into_iter().take(ATTEMPTS_SHOWN) {
        told = match paths::whose(view, address) {
            Some(words) => told.and(format!("{words}.")),
            None => told,
        };
    }
    if view.intended == Intended::Unspecified {
        told = told.severity(Severity::Warning);
    }
    let bad = addresses(failed(view));
    Some(told.setting(format!("the subnet or target of {}", addresses_words(&bad))).fix(meanwhile(view, &bad)))
}

/// The same, of a cell that is only predicted.
fn predicted_partial_failure(view: &CellView<'_>) -> Option<Told> {
    let (closed, of) = paths::closed_in_part(view)?;
    if view.intended == Intended::Unreachable {
        return None;
    }
    let bad: Vec<IpAddr> = closed.iter().map(|path| path.address).collect();
    let mut told = Told::new(
        Confidence::Likely,
        format!("The configuration lets {} of {of} addresses be reached and {} not.", of - bad.len(), bad.len()),
    );
    if view.intended == Intended::Unspecified {
        told = told.severity(Severity::Warning);
    }
    for address in bad.iter().take(ATTEMPTS_SHOWN) {
        told = match paths::whose(view, *address) {
            Some(words) => told.and(format!("{words}.")),
            None => told,
        };
    }
    Some(
        told.and("The findings beside this one name what closes them.")
            .setting(format!("the subnet or target of {}", addresses_words(&bad)))
            .fix(format!(
                "# What closes {} is named, with its command, by the findings beside this one.",
                addresses_words(&bad)
            )),
    )
}

/// What helps while some addresses fail: kubectl by one that answers, and what the failing ones belong to.
fn meanwhile(view: &CellView<'_>, bad: &[IpAddr]) -> String {
    let mut lines = vec![format!("# Until {} is mended, go by an address that answers:", addresses_words(bad))];
    let good = deciding(view).find(|attempt| attempt.observed == Reachability::Reachable);
    if let Some(address) = good.and_then(|attempt| attempt.address) {
        let (server, name) = (SocketAddr::new(address, view.port), lookups::shell_word(view.host));
        lines.push(format!("kubectl --server='https://{server}' --tls-server-name={name} get --raw /livez"));
    }
    let private = failed(view).filter(|attempt| attempt.address_class == AddressClass::Private);
    let private: Vec<String> = addresses(private).iter().map(ToString::to_string).collect();
    if view.provider == Provider::Eks && !private.is_empty() {
        lines.push("# Subnet and zone of what fails:".to_owned());
        lines.push(format!(
            "aws ec2 describe-network-interfaces --region <region> --filters \
             Name=addresses.private-ip-address,Values={} --query 'NetworkInterfaces[].[PrivateIpAddress,SubnetId,AvailabilityZone]'",
            private.join(",")
        ));
    }
    lines.join("\n")
}

fn reachable_though_not_intended(view: &CellView<'_>) -> Option<Told> {
    if view.intended != Intended::Unreachable {
        return None;
    }
    let lets_in = public::what_lets_in(view).or_else(|| aks::public::what_lets_in(view));
    if view.observed != Reachability::Reachable {
        // Nothing answered, and yet the door is open.
        let open = (view.configured == Reachability::Reachable).then(|| view.configuration_says()).flatten()?;
        let told = Told::new(Confidence::Likely, format!("The configuration lets it in: {open}."));
        let told = if view.observed == Reachability::Unreachable {
            told.and("Nothing let it in when it was probed, so something that the configuration does not show is in the way today.")
        } else {
            told.and("Nothing was probed.")
        };
        return Some(match lets_in {
            Some(lets_in) => told.and(format!("{}.", lets_in.rule)).setting(lets_in.setting).fix(lets_in.fix),
            None => told,
        });
    }
    let answering = || deciding(view).filter(|attempt| attempt.observed == Reachability::Reachable);
    let class = view.via.map_or("an unknown", |via| via.label());
    let count = deciding(view).count();
    let at = addresses(answering());
    let at = if at.is_empty() { "through the proxy".to_owned() } else { format!("at {}", addresses_words(&at)) };
    let mut told = Told::new(
        Confidence::Certain,
        format!("A Kubernetes API server answered {at} ({class} path): {} of {count} addresses.", answering().count()),
    );
    if let Some(status) = answering().find_map(|attempt| attempt.http.status) {
        told = told.and(format!("It answered with HTTP status {status} over a verified connection."));
    }
    if view.configured == Reachability::Unreachable
        && let Some(says) = view.configuration_says()
    {
        return Some(told.and(format!("The configuration does not explain it; it says {says}.")).and(facts_age(view)));
    }
    Some(match lets_in {
        Some(lets_in) => told.and(format!("{}.", lets_in.rule)).setting(lets_in.setting).fix(lets_in.fix),
        None => told.and("Not known: which rule or entry lets it in. The provider's configuration would name it."),
    })
}

fn path_not_as_intended(view: &CellView<'_>) -> Option<Told> {
    let intended = view.intended_via?;
    let via = view.via.filter(|via| *via != intended)?;
    if view.observed != Reachability::Reachable || view.intended == Intended::Unreachable {
        return None;
    }
    let answering = addresses(deciding(view).filter(|attempt| attempt.observed == Reachability::Reachable));
    let mut told = Told::new(
        Confidence::Certain,
        format!(
            "It is reachable, but over {} addresses ({}) where {} ones were meant.",
            via.label(),
            addresses_words(&answering),
            intended.label()
        ),
    );
    if let Some(lookup) = system(view) {
        told = told.and(format!("{}.", lookup_words(lookup)));
    }
    Some(if intended == Via::Private {
        told.and("Inside the cluster's own VPC or VNet, its DNS settings decide which addresses are given; outside, the resolver does.")
    } else {
        told
    })
}

fn unreachable_for_another_reason(view: &CellView<'_>) -> Option<Told> {
    if view.intended != Intended::Unreachable || view.observed != Reachability::Unreachable {
        return None;
    }
    let broken = other_reason(view)?;
    Some(
        Told::new(Confidence::Likely, format!("{} should not be reachable from {} ({}), and is not.", view.cluster, view.vantage, view.origin))
            .and(broken)
            .and(match (view.configured, view.configuration_says()) {
                (Reachability::Reachable, Some(says)) => {
                    format!("That is no access control: once it is repaired, the door stands open. The configuration says {says}.")
                }
                (Reachability::Unreachable, Some(says)) => {
                    format!("That is no access control; once it is repaired, the configuration still keeps the door shut: {says}.")
                }
                _ => "That is no access control: once it is repaired, the door may stand open. Not known without the provider's configuration: whether it would.".to_owned(),
            }),
    )
}

/// Since when the configuration may have changed, as a sentence.
fn facts_age(view: &CellView<'_>) -> String {
    let pulled = view.configuration.and_then(|configured| configured.facts.manifest.as_ref()?.created_at);
    match pulled {
        Some(at) => format!("The configuration was read at {}; it may have changed since.", moment_words(at)),
        None => "When the configuration was read is not known; it may have changed since.".to_owned(),
    }
}

/// What stops a probe that no access control stops, in a sentence.
fn other_reason(view: &CellView<'_>) -> Option<String> {
    if let Some(proxy) = &view.observation.proxy {
        let own =
            proxy.dns.as_ref().is_some_and(|lookup| !answered(lookup)) || proxy.tcp.outcome != TcpOutcome::Connected;
        let other = matches!(
            proxy.tunnel.outcome,
            TunnelOutcome::AuthenticationRequired
                | TunnelOutcome::NotAProxy
                | TunnelOutcome::Timeout
                | TunnelOutcome::Closed
        );
        if own || other {
            return Some(format!("But what stops it is the proxy {}, which does not work.", proxy.url));
        }
        if proxy.tunnel.outcome != TunnelOutcome::Established {
            return None;
        }
    }
    if deciding(view).next().is_none() {
        let lookup = system(view).filter(|lookup| !answered(lookup))?;
        // Public resolvers are meant not to know a private name: that is the control.
        let meant = is_private_name(view.host) && matches!(lookup.outcome, DnsOutcome::Nxdomain | DnsOutcome::Nodata);
        return (!meant).then(|| format!("But what stops it is the name: {}.", lookup_words(lookup)));
    }
    deciding(view).find_map(|attempt| {
        let filtered = attempt.tcp.icmp.is_some();
        let broken = match attempt.tcp.outcome {
            // A router far away that knows no private range is as good as a control.
            TcpOutcome::Unreachable => !filtered || attempt.address_class == AddressClass::Public,
            TcpOutcome::Refused => !filtered,
            TcpOutcome::Connected => {
                attempt.tls.outcome != TlsOutcome::Verified || attempt.observed != Reachability::Reachable
            }
            TcpOutcome::Reset | TcpOutcome::LocalError => true,
            TcpOutcome::Timeout | TcpOutcome::Prohibited => false,
        };
        broken.then(|| format!("But what stops it is this: {}.", attempt_words(attempt)))
    })
}

fn scenario_contradicts_itself(view: &CellView<'_>) -> Option<Told> {
    let told = Told::new(Confidence::Certain, view.circumstances.contradiction?);
    Some(if view.verdict == Verdict::Match { told.severity(Severity::Warning) } else { told })
}

/// Asked last, when nothing else signed: what was seen, and what came close.
fn unexplained(view: &CellView<'_>) -> Option<Told> {
    if view.verdict == Verdict::Match {
        return None;
    }
    let mut told = Told::new(
        Confidence::Possible,
        format!("Observed: {}; verdict: {}.", view.observed.label(), view.verdict.label()),
    );
    if view.is_contradicted()
        && let Some(says) = view.configuration_says()
    {
        told = told
            .and(format!("The configuration says {says}."))
            .and("The two contradict each other, and no cause that is known explains it.")
            .and(facts_age(view));
    } else if let Some(says) = view.configuration_says() {
        told = told.and(format!("The configuration says {says}."));
    }
    for lookup in view.observation.dns.iter().take(ATTEMPTS_SHOWN) {
        told = told.and(format!("{}.", lookup_words(lookup)));
    }
    if let Some(proxy) = &view.observation.proxy {
        let tunnel = proxy.tunnel.outcome.label();
        told = told.and(format!("Proxy {}: tcp {}, tunnel {tunnel}.", proxy.url, proxy.tcp.outcome.label()));
    }
    for attempt in view.observation.attempts.iter().take(ATTEMPTS_SHOWN) {
        let evidence = if attempt.decides { "" } else { " (evidence only)" };
        told = told.and(format!("{}{evidence}.", attempt_words(attempt)));
    }
    if !view.observation.undecided.is_empty() {
        told = told.and(format!("Nothing is known of {}.", addresses_words(&view.observation.undecided)));
    }
    let Some(symptom) = symptoms::seen_in(view) else { return Some(told) };
    for code in symptom.candidates.iter().take(CANDIDATES_SHOWN) {
        let Some(cause) = by_code(code) else { continue };
        let why = if cause.predicate.is_some() {
            "its signature does not hold here"
        } else {
            "not known without the provider's configuration"
        };
        told = told.and(format!("Came close: {code}; {why}. What decides it: {}.", cause.decided_by));
    }
    Some(told)
}

const HOME: &str = "https://github.com/kubereach/kubereach/blob/main/docs/causes.md";
const ATTEMPTS_SHOWN: usize = 8;
const CANDIDATES_SHOWN: usize = 12;
const ROUNDS_SHOWN: usize = 12;
const CONTROLS_SHOWN: usize = 3;

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::causes::{Round, testing::*};

    fn rounds(observed: &[Reachability]) -> Vec<Round> {
        let round = |observed: &Reachability| Round {
            at: Timestamp::from_second(NOW).unwrap(),
            observed: *observed,
            agrees: *observed == Reachability::Reachable,
            addresses: vec![],
            tcp: vec![],
        };
        observed.iter().map(round).collect()
    }

    #[test]
    fn a_vantage_that_cannot_be_used_has_the_advice_of_its_kind() {
        for (kind, command, guide) in [
            ("ssh", "ssh -o BatchMode=yes", "docs/vantages-ssh.md"),
            ("ssm", "aws ssm describe-instance-information", "docs/vantages-ssm.md"),
            ("kubernetes", "auth can-i create jobs", "docs/vantages-kubernetes.md"),
            ("agent", "vantages.laptop.agent", "docs/agents-over-nats.md"),
            ("local", "vantages.laptop.local", "docs/vantages.md"),
        ] {
            let scene = Scene::new().with(|scene| {
                scene.vantage_kind = kind;
                scene.observed = Reachability::Unknown;
                scene.verdict = Verdict::Inconclusive;
                scene.circumstances.vantage_unavailable = Some("this host has no way there");
            });
            let finding = scene.finding("inconclusive-vantage-unavailable").unwrap();
            assert!(finding.fix.unwrap().contains(command), "{kind}");
            assert!(finding.docs.unwrap().ends_with(guide), "{kind}");
            assert!(finding.evidence.join(" ").contains("this host has no way there"), "{kind}");
        }
    }

    #[test]
    fn what_rests_on_an_echo_server_alone_is_at_most_likely() {
        let seen = Scene::new().saw(vec![answer("system", &["198.51.100.20"])], vec![reached("198.51.100.20")]);
        let mut scene = seen.with(|scene| scene.intended = Intended::Unreachable);
        let confidence = |scene: &Scene| scene.finding("net-reachable-though-not-intended").unwrap().confidence;
        assert_eq!(confidence(&scene), Confidence::Certain);
        scene.circumstances.intent_by_egress = IntentByEgress::Observed;
        assert_eq!(confidence(&scene), Confidence::Likely);
    }

    #[test]
    fn an_intent_that_no_echo_server_decided_is_said() {
        let seen = Scene::new().saw(vec![answer("system", &["198.51.100.20"])], vec![reached("198.51.100.20")]);
        let scene = seen.with(|scene| {
            scene.intended = Intended::Unspecified;
            scene.verdict = Verdict::Inconclusive;
            scene.circumstances.intent_by_egress = IntentByEgress::NotKnown("intent.publicAccess, line 7");
        });
        assert_eq!(scene.errors(), ["inconclusive-egress-address-unknown"]);
        let told = scene.finding("inconclusive-egress-address-unknown").unwrap().evidence.join(" ");
        assert!(told.contains("intent.publicAccess, line 7"), "{told}");
    }

    #[test]
    fn a_young_change_of_an_aks_cluster_excuses_silence_but_no_refusal() {
        let scene = |attempt, ago| {
            Scene::new()
                .saw(vec![answer("system", &["198.51.100.20"])], vec![attempt])
                .with(|scene| {
                    scene.provider = Provider::Aks;
                    scene.verdict = Verdict::Propagating;
                })
                .changed(ago)
        };
        let young = scene(silent("198.51.100.20"), 30);
        assert_eq!(young.errors()[0], "propagation-aks-authorized-ip-ranges");
        assert!(!young.errors().contains(&"propagation-window-open".to_owned()));
        assert!(young.findings()[0].fix.as_ref().unwrap().contains("90 s"));
        let refused = scene(attempt("198.51.100.20", TcpOutcome::Refused, 12.0), 30);
        assert!(refused.finding("propagation-aks-authorized-ip-ranges").is_none());
        assert!(scene(silent("198.51.100.20"), 300).finding("propagation-aks-authorized-ip-ranges").is_none());
        assert!(scene(silent("10.0.1.5"), 30).finding("propagation-aks-authorized-ip-ranges").is_none());
    }

    #[test]
    fn an_open_window_outranks_what_it_may_excuse() {
        let scene = Scene::new()
            .saw(vec![no_answer("system", DnsOutcome::Servfail), answer("public", &["198.51.100.20"])], vec![])
            .with(|scene| scene.verdict = Verdict::Propagating)
            .changed(10);
        assert_eq!(scene.errors(), ["propagation-window-open", "dns-resolver-returns-error"]);
        let closed = scene.changed(600);
        assert_eq!(closed.errors(), ["dns-resolver-returns-error"]);
    }

    #[test]
    fn what_could_not_be_probed_is_inconclusive_and_blames_nothing() {
        let unknown = |change: fn(&mut Scene)| {
            Scene::new()
                .with(|scene| {
                    scene.observed = Reachability::Unknown;
                    scene.verdict = Verdict::Inconclusive;
                })
                .with(change)
        };
        let vantage = unknown(|scene| scene.circumstances.vantage_unavailable = Some("no namespace blue"));
        assert_eq!(vantage.errors(), ["inconclusive-vantage-unavailable"]);
        let error = unknown(|scene| scene.observation.vantage_error = Some("no interface wlan9".into()));
        assert_eq!(error.errors(), ["inconclusive-vantage-unavailable"]);
        let offline = unknown(|scene| {
            scene.circumstances.offline = true;
            scene.observation = observation(
                vec![no_answer("system", DnsOutcome::Timeout)],
                vec![attempt("198.51.100.20", TcpOutcome::Unreachable, 0.1)],
            );
        });
        assert_eq!(offline.errors(), ["inconclusive-prober-offline"]);
        let facts = unknown(|scene| scene.circumstances.facts_missing = Some("a model vantage needs facts"));
        assert_eq!(facts.errors(), ["inconclusive-facts-missing"]);
        let interrupted = unknown(|scene| scene.circumstances.interrupted = true);
        assert_eq!(interrupted.errors(), ["inconclusive-run-interrupted"]);
        let cut = unknown(|scene| scene.observation.cut_short = true);
        assert_eq!(cut.errors(), ["inconclusive-run-interrupted"]);
        assert_eq!(unknown(|_| {}).errors(), ["unexplained"]);
    }

    #[test]
    fn a_machine_out_of_descriptors_is_offline() {
        let mut local = attempt("198.51.100.20", TcpOutcome::LocalError, 0.0);
        local.tcp.detail = Some("Too many open files".into());
        let scene = Scene::new().saw(vec![], vec![local]).with(|scene| scene.verdict = Verdict::Inconclusive);
        assert_eq!(scene.errors()[0], "inconclusive-prober-offline");
        assert!(scene.findings()[0].evidence.iter().any(|sentence| sentence.contains("Too many open files")));
    }

    #[test]
    fn rounds_that_alternate_are_unstable_unless_the_address_explains_it() {
        let (up, down) = (Reachability::Reachable, Reachability::Unreachable);
        let scene = Scene::new().saw(vec![], vec![reached("198.51.100.20")]).with(|scene| {
            scene.verdict = Verdict::Inconclusive;
            scene.circumstances.unstable = true;
            scene.rounds = rounds(&[up, down, up]);
        });
        assert_eq!(scene.errors(), ["inconclusive-results-unstable"]);
        assert!(scene.findings()[0].evidence.iter().any(|sentence| sentence.starts_with("2 of 3 rounds")));
        let by_address = Scene::new()
            .saw(vec![], vec![reached("198.51.100.20"), attempt("198.51.100.21", TcpOutcome::Reset, 1.0)])
            .with(|scene| {
                scene.verdict = Verdict::Inconclusive;
                scene.circumstances.unstable = true;
            });
        assert!(by_address.errors().contains(&"partial-address-failure".to_owned()));
        assert!(by_address.finding("inconclusive-results-unstable").is_none());
    }

    #[test]
    fn one_bad_address_among_three_is_counted() {
        let attempts = || vec![reached("198.51.100.20"), silent("198.51.100.21"), reached("198.51.100.22")];
        let scene = Scene::new().saw(vec![], attempts());
        assert_eq!(scene.errors()[0], "partial-address-failure");
        assert!(scene.findings()[0].evidence.contains(&"1 of 3 addresses failed, 2 answered.".to_owned()));
        let unspecified = Scene::new().saw(vec![], attempts()).with(|scene| {
            scene.intended = Intended::Unspecified;
            scene.verdict = Verdict::Match;
        });
        assert_eq!(unspecified.finding("partial-address-failure").unwrap().severity, Severity::Warning);
        let evidence_only = Scene::new()
            .saw(vec![], vec![reached("198.51.100.20"), beside(silent("198.51.100.21"))])
            .with(|scene| scene.verdict = Verdict::Match);
        assert!(evidence_only.finding("partial-address-failure").is_none());
    }

    #[test]
    fn reachable_where_it_must_not_be_is_the_only_error() {
        let scene = Scene::new()
            .saw(vec![answer("system", &["198.51.100.20"])], vec![reached("198.51.100.20"), silent("198.51.100.21")])
            .with(|scene| {
                scene.intended = Intended::Unreachable;
                scene.via = Some(Via::Public);
            });
        assert_eq!(scene.errors(), ["net-reachable-though-not-intended"]);
        let evidence = scene.findings()[0].evidence.join(" ");
        assert!(evidence.contains("should not be reachable from laptop (expect, line 24)"), "{evidence}");
        assert!(evidence.contains("198.51.100.20 (public path): 1 of 2"), "{evidence}");
    }

    #[test]
    fn the_other_path_is_an_error_of_its_own() {
        let scene = Scene::new().saw(vec![], vec![reached("198.51.100.20")]).with(|scene| {
            scene.intended_via = Some(Via::Private);
            scene.via = Some(Via::Public);
        });
        assert_eq!(scene.errors(), ["net-path-not-as-intended"]);
        let as_meant = scene.with(|scene| {
            scene.via = Some(Via::Private);
            scene.verdict = Verdict::Match;
        });
        assert!(as_meant.errors().is_empty());
    }

    #[test]
    fn an_expected_silence_is_a_success_and_a_broken_thing_a_warning() {
        let met = |dns, attempts| {
            Scene::new().saw(dns, attempts).with(|scene| {
                scene.intended = Intended::Unreachable;
                scene.verdict = Verdict::Match;
            })
        };
        let code = "net-unreachable-for-another-reason";
        let blocked = met(vec![answer("system", &["198.51.100.20"])], vec![silent("198.51.100.20")]);
        assert!(blocked.finding(code).is_none());
        assert!(blocked.errors().is_empty());
        let resolver_down = met(vec![no_answer("system", DnsOutcome::Timeout)], vec![]);
        assert_eq!(resolver_down.finding(code).unwrap().severity, Severity::Warning);
        let cause = resolver_down.finding("dns-resolver-unreachable").unwrap();
        assert_eq!(cause.severity, Severity::Info);
        assert!(cause.evidence[0].ends_with("and is not."), "{:?}", cause.evidence);
        let no_route = met(vec![], vec![attempt("198.51.100.20", TcpOutcome::Unreachable, 0.1)]);
        assert!(no_route.finding(code).is_some());
        let forbidden = met(vec![], vec![attempt("198.51.100.20", TcpOutcome::Prohibited, 3.0)]);
        assert!(forbidden.finding(code).is_none());
        let interfered = met(vec![], vec![shook("198.51.100.20", TlsOutcome::Untrusted)]);
        assert!(interfered.finding(code).is_some());
        let private = met(vec![no_answer("system", DnsOutcome::Nxdomain)], vec![])
            .with(|scene| scene.host = "a.1b2.privatelink.westeurope.azmk8s.io");
        assert!(private.finding(code).is_none());
    }

    #[test]
    fn a_contradiction_stands_whatever_was_seen() {
        let scene = Scene::new().saw(vec![], vec![reached("198.51.100.20")]).with(|scene| {
            scene.circumstances.contradiction = Some("line 9 expects both");
        });
        assert_eq!(scene.errors(), ["net-scenario-contradicts-itself"]);
    }

    #[test]
    fn what_nothing_explains_keeps_its_evidence_and_what_came_close() {
        let mut odd = shook("198.51.100.20", TlsOutcome::Verified);
        odd.http = http(kubereach_probes::HttpOutcome::Skipped);
        odd.http.detail = Some("frame size".into());
        let scene = Scene::new().saw(vec![answer("system", &["198.51.100.20"])], vec![odd]);
        let findings = scene.findings();
        let unexplained = findings.iter().find(|finding| finding.code == "unexplained").unwrap();
        assert_eq!(unexplained.severity, Severity::Error);
        assert!(unexplained.evidence.iter().any(|sentence| sentence.contains("frame size")));
        assert_eq!(scene.errors(), ["unexplained"]);
        let silence = Scene::new().saw(vec![answer("system", &["198.51.100.20"])], vec![silent("198.51.100.20")]);
        if let Some(raw) = silence.finding("unexplained") {
            assert!(raw.evidence.iter().any(|sentence| sentence.starts_with("Came close: ")), "{:?}", raw.evidence);
            assert_eq!(silence.errors(), ["unexplained"]);
        }
    }
}

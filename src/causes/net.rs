//! Causes: the path of the packets, and the provider-neutral rows about allow-lists.
//!
//! Addresses, delays and ICMP errors are only read where no proxy stands in between; through a proxy they would be
//! the proxy's.

use std::{collections::BTreeSet, net::IpAddr};

use kubereach_probes::{
    AddressClass, Attempt, IcmpError, Observation, PathMtu, PathTrace, Reachability, TcpOutcome, TraceHop,
};

use super::{
    Cause, CellView, Need, Told, aks, configuration, egress,
    eks::names,
    evidence::{
        Seen, clean, controls_answer, controls_sentence, dialled, direct, duration, eks_region_and_name, from_where,
        host_prefix, kubeconfig_cluster, none_connected, place, seen, shell, silence_counts, told,
    },
    tls::{Handshake, handshake},
};
use crate::report::{Confidence, Provider, Severity};

pub(super) const CAUSES: &[Cause] = &[
    Cause {
        code: "net-filtered-silently",
        severity: Severity::Error,
        title: "Packets to the API server vanish without an answer",
        needs: &[Need::Probe],
        signature: "The name resolves, but every address stays silent: no connection, no refusal, no ICMP error. \
            Something on the way drops the packets: an allow-list of the provider, a security group or network policy, \
            a network ACL, a missing or dead return route, or a host that is down. From this side all of them look \
            alike, so this finding says what is seen and blames nothing. The provider's configuration, or a second \
            vantage that is known to be let in, tells them apart.",
        setting: "not known: the allow-list, security group, network ACL, route or host between here and the endpoint",
        fix: "# From a vantage that is known to be let in, ask the same address again:\nkubereach doctor --server https://<host>:<port>",
        docs: "https://docs.aws.amazon.com/vpc/latest/reachability/explanation-codes.html",
        kubectl: &[
            "i/o timeout",
            "connect: connection timed out",
            "connect: operation timed out",
            "request canceled while waiting for connection",
        ],
        decided_by: "Probe the same address from a vantage that is known to be let in: if it connects there, an \
            allow-list or the path of this vantage is the cause; if it is silent there too, the cluster's side is.",
        predicate: Some(filtered_silently),
        configuration: None,
    },
    Cause {
        code: "net-port-closed",
        severity: Severity::Error,
        title: "The address answers, but refuses connections on this port",
        needs: &[Need::Probe],
        signature: "The TCP connection is refused by a reset and no ICMP error is queued: the packets arrive and \
            somebody answers, but nothing listens there. The port in the kubeconfig is wrong, or the API server \
            process is not up. A filter that forges resets looks the same. Every allow-list that drops silently is \
            ruled out.",
        setting: "the port in the kubeconfig's `server`; the API server process",
        fix: "kubectl config set-cluster <name> --server=https://<host>:<port>",
        docs: "https://github.com/MicrosoftDocs/SupportArticles-docs/blob/main/support/azure/azure-kubernetes/error-codes/vmextensionerror-k8sapiserverconnfail.md",
        kubectl: &["connect: connection refused", "was refused - did you specify the right host or port"],
        decided_by: "Compare the delay of the refusal with the round-trip time of the path: a refusal that comes \
            sooner was sent by something nearer than the endpoint.",
        predicate: Some(port_closed),
        configuration: None,
    },
    Cause {
        code: "net-rejected-by-filter",
        severity: Severity::Error,
        title: "A filter on the way rejects the connection and says so",
        needs: &[Need::Probe],
        signature: "An ICMP error says `administratively prohibited`, or a hop that is not the endpoint sends `port \
            unreachable`, or the refusal comes sooner than the endpoint could have answered. A firewall on this host \
            or on a router rejects the packet instead of dropping it, and its own message names it. Without the \
            error queue of the socket the same rejection reads as an ordinary `unreachable` or `refused`.",
        setting: "the firewall of the hop that sent the message",
        fix: "sudo nft insert rule inet <table> <output chain> ip daddr <address> tcp dport <port> accept",
        docs: "https://github.com/MicrosoftDocs/SupportArticles-docs/blob/main/support/azure/azure-kubernetes/error-codes/vmextensionerror-k8sapiserverconnfail.md",
        kubectl: &["connect: no route to host", "connect: permission denied", "connect: connection refused"],
        decided_by: "Read who sent the ICMP error: this host's own address means its own firewall, any other the \
            firewall of that router.",
        predicate: Some(rejected_by_filter),
        configuration: None,
    },
    Cause {
        code: "net-no-route-to-address",
        severity: Severity::Error,
        title: "There is no working route to the address",
        needs: &[Need::Probe],
        signature: "Connecting ends in `unreachable`: at once when this host's own table has no route, after about \
            three seconds when the next hop does not answer on its link, or after a round trip when a router says \
            that it knows no way. With a connect timeout of three seconds a dead next hop reads as a timeout, so the \
            neighbour table is read as well. Where only one address family fails and the other works, it is \
            client-no-path-for-address-family.",
        setting: "the route table of this host, or of the router that answered",
        fix: "ip route get <address>\nsudo ip route add <address>/32 via <gateway>",
        docs: "https://github.com/MicrosoftDocs/SupportArticles-docs/blob/main/support/azure/azure-kubernetes/error-codes/vmextensionerror-k8sapiserverconnfail.md",
        kubectl: &["connect: no route to host", "connect: network is unreachable"],
        decided_by: "The time to the error: none means the local table, three seconds a dead next hop, a round trip \
            the router that is named.",
        predicate: Some(no_route_to_address),
        configuration: None,
    },
    Cause {
        code: "net-egress-address-not-as-declared",
        severity: Severity::Error,
        title: "Requests leave from another address than the declared one",
        needs: &[Need::Probe, Need::Facts],
        signature: "The address that an echo server sees differs from the one that the scenario declares or the NAT of \
            the provider's configuration, or takes turns: runners of a pipeline, several NAT gateways, a proxy. Only \
            addresses of one family are compared. When the declared address is on the allow-list and the real one is \
            not, this is the root cause. An echo server may see another path than the API server does, so what it \
            says is never certain.",
        setting: "vantages.<vantage>.egress.addresses, and the NAT on the way out",
        fix: "# Pin the egress to one static NAT address, then add that address to the allow-list.",
        docs: "https://learn.microsoft.com/azure/aks/api-server-authorized-ip-ranges",
        kubectl: &["i/o timeout"],
        decided_by: "The source address as the far side of this very path sees it (flow logs of the API server's \
            network), compared with the declared one.",
        predicate: Some(egress::not_as_declared),
        configuration: None,
    },
    Cause {
        code: "net-endpoint-addresses-changed",
        severity: Severity::Error,
        title: "The endpoint has new addresses, and something on the way still allows only the old ones",
        needs: &[Need::Probe, Need::Facts],
        signature: "DNS gives addresses that the scenario does not know, and these are silent, while an address from \
            before still answers. Providers replace the addresses of an endpoint on upgrades, network changes, or \
            stop and start; a firewall rule with literal addresses then blocks the new ones. Where the resolver \
            still serves old addresses instead, it is dns-stale-answer.",
        setting: "the firewall rule that holds literal addresses of the endpoint",
        fix: "aws ec2 describe-network-interfaces --filters Name=description,Values=\"Amazon EKS <cluster>\" --query 'NetworkInterfaces[].PrivateIpAddress'",
        docs: "https://docs.aws.amazon.com/eks/latest/userguide/network-reqs.html",
        kubectl: &["i/o timeout"],
        decided_by: "Probe a new address from a vantage that is not behind that firewall: if it answers there, the \
            firewall's rule is old.",
        predicate: Some(endpoint_addresses_changed),
        configuration: None,
    },
    Cause {
        code: "net-intermittent-timeout",
        severity: Severity::Error,
        title: "Connections to the same address sometimes work and sometimes time out",
        needs: &[Need::Probe],
        signature: "Several connects to one and the same address give different results: some succeed, some get no \
            answer. Exhausted SNAT ports or a full connection-tracking table, packet loss, or a network ACL that \
            covers only part of the ephemeral ports do this. When it goes by address instead, it is \
            partial-address-failure; when it changes once and stays, it is propagation. Metrics of the NAT or load \
            balancer tell the rest apart.",
        setting: "outbound ports of the NAT or load balancer; net.netfilter.nf_conntrack_max",
        fix: "az aks update -g <rg> -n <cluster> --load-balancer-outbound-ports <n>   # on Azure\nsudo sysctl -w net.netfilter.nf_conntrack_max=<n>   # on Linux",
        docs: "https://github.com/MicrosoftDocs/SupportArticles-docs/blob/main/support/azure/azure-kubernetes/connectivity/tunnel-connectivity-issues.md",
        kubectl: &["i/o timeout", "context deadline exceeded", "tls handshake timeout"],
        decided_by: "Compare net.netfilter.nf_conntrack_count with its maximum on every Linux hop, and the SNAT \
            metrics of the NAT or load balancer.",
        predicate: Some(intermittent_timeout),
        configuration: None,
    },
    Cause {
        code: "net-idle-connection-reset",
        severity: Severity::Error,
        title: "Idle connections are cut after a constant time",
        needs: &[Need::Probe],
        signature: "Fresh connections work, but one that was idle for a constant time is reset or goes silent: a load \
            balancer, NAT or firewall forgets it (30 minutes on an AKS load balancer, 4 minutes on Azure SNAT by \
            default). Only watching over time shows it. Long-lived watches and port-forwards suffer, short commands \
            do not.",
        setting: "the idle timeout on the path; the client's keepalive interval",
        fix: "# Set the client's TCP keepalive interval below the idle timeout, e.g.:\nsudo sysctl -w net.ipv4.tcp_keepalive_time=120",
        docs: "https://learn.microsoft.com/azure/aks/improve-network-fault-tolerance-in-aks-using-tcp-keepalive",
        kubectl: &["read: connection reset by peer", "http2: client connection lost", "lost connection to pod"],
        decided_by: "Hold one connection idle for growing times: a constant time of death names the timeout.",
        predicate: None,
        configuration: None,
    },
    Cause {
        code: "net-mtu-black-hole",
        severity: Severity::Error,
        title: "Large packets are lost on the way (path MTU black hole)",
        needs: &[Need::Probe],
        signature: "TCP connects, then the TLS handshake hangs without a ServerHello; the same handshake with small \
            segments completes. A link on the path carries less than both ends believe, and the ICMP message that \
            would tell them is filtered: typical of VPNs, tunnels and transit gateways. When small segments fail as \
            well and a handshake without the name passes, it is tls-sni-filtered.",
        setting: "MTU or MSS clamping on the VPN or gateway; a filter for ICMP `packet too big`",
        fix: "sudo nft add rule inet <table> forward tcp flags syn tcp option maxseg size set rt mtu\nsudo ip link set dev <vpn-if> mtu 1400   # or this, on the client",
        docs: "https://github.com/flannel-io/flannel/issues/1614",
        kubectl: &["tls handshake timeout"],
        decided_by: "Repeat the handshake with a maximum segment size of 1,200 bytes: if it completes, packets above \
            that size are lost.",
        predicate: Some(mtu_black_hole),
        configuration: None,
    },
    Cause {
        code: "net-allow-list-open-to-internet",
        severity: Severity::Warning,
        title: "The allow-list lets the whole internet in",
        needs: &[Need::Facts, Need::Scenario],
        signature: "The union of the entries is a whole address family: 0.0.0.0/0 or ::/0, or pieces that add up to \
            it, such as 0.0.0.0/1 and 128.0.0.0/1. An empty list means open on EKS and AKS. Credentials are then the \
            only thing between the internet and the API server.",
        setting: "the list of allowed sources",
        fix: "# Add the real sources first, then remove the open entry; both providers replace the whole list at once.",
        docs: "https://docs.aws.amazon.com/eks/latest/userguide/cluster-endpoint.html",
        kubectl: &[],
        decided_by: "The allow-list in the provider's configuration, merged as address sets.",
        predicate: None,
        configuration: Some(configuration::allow_lists::open_to_internet),
    },
    Cause {
        code: "net-allow-list-nearly-open",
        severity: Severity::Warning,
        title: "The allow-list lets a large part of the internet in",
        needs: &[Need::Facts, Need::Scenario],
        signature: "The union of the entries covers half of an address family or more, or single entries are far \
            wider than any organisation. An entry such as 1.1.1.1/1 looks like one host and is half of the internet; \
            scanners that search for 0.0.0.0/0 do not see it.",
        setting: "the list of allowed sources",
        fix: "# Replace the wide entries by the sources that are in use; both providers replace the whole list at once.",
        docs: "https://docs.datadoghq.com/security/default_rules/",
        kubectl: &[],
        decided_by: "The size of the merged address set, per family.",
        predicate: None,
        configuration: Some(configuration::allow_lists::nearly_open),
    },
    Cause {
        code: "net-allow-list-redundant-entries",
        severity: Severity::Info,
        title: "The allow-list holds entries that change nothing",
        needs: &[Need::Facts, Need::Scenario],
        signature: "Entries are duplicates, lie inside others, or can be merged with their neighbours. Nothing is \
            wrong yet, but the providers limit the number of entries, and a short list is easier to review.",
        setting: "the list of allowed sources",
        fix: "# Replace the list by its minimal form, which lets exactly the same sources in.",
        docs: "https://docs.aws.amazon.com/eks/latest/userguide/service-quotas.html",
        kubectl: &[],
        decided_by: "The minimal list of the same address set, compared with the present one.",
        predicate: None,
        configuration: Some(configuration::allow_lists::redundant),
    },
    Cause {
        code: "net-allow-list-near-limit",
        severity: Severity::Warning,
        title: "The allow-list is nearly full",
        needs: &[Need::Facts],
        signature: "The list holds at least nine tenths of what the provider allows: 40 entries on EKS, 200 on AKS, \
            2,000 on AKS with API server VNet integration. The next change may be refused in the middle of an \
            incident.",
        setting: "the list of allowed sources",
        fix: "# Replace the list by its minimal form, which lets exactly the same sources in.",
        docs: "https://docs.aws.amazon.com/eks/latest/userguide/service-quotas.html",
        kubectl: &[],
        decided_by: "The number of entries before and after minimising.",
        predicate: None,
        configuration: Some(configuration::limits::near_limit),
    },
    Cause {
        code: "net-allow-list-documentation-range",
        severity: Severity::Warning,
        title: "The allow-list holds an example range from the documentation",
        needs: &[Need::Facts, Need::Scenario],
        signature: "An entry lies in 192.0.2.0/24, 198.51.100.0/24, 203.0.113.0/24 or 2001:db8::/32. These ranges are \
            reserved for examples and no real client has such an address, so the entry was copied and the source that \
            was meant is not let in.",
        setting: "the list of allowed sources",
        fix: "# Replace the example range by the address that was meant; both providers replace the whole list at once.",
        docs: "https://docs.aws.amazon.com/eks/latest/userguide/cluster-endpoint.html",
        kubectl: &[],
        decided_by: "The allow-list in the provider's configuration.",
        predicate: None,
        configuration: Some(configuration::allow_lists::documentation_range),
    },
    Cause {
        code: "net-allow-list-exceeds-intent",
        severity: Severity::Error,
        title: "The allow-list lets in more than was intended",
        needs: &[Need::Facts, Need::Scenario],
        signature: "The configured set minus the intended one is not empty: somebody can reach the endpoint who was \
            not meant to. The excess is printed as the fewest ranges that describe it. Lists are compared as address \
            sets, so another spelling of the same ranges is no difference.",
        setting: "the list of allowed sources, against intent.publicAccess.allow",
        fix: "# Remove the excess from the list, or add it to the intent; both providers replace the whole list at once.",
        docs: "https://docs.aws.amazon.com/eks/latest/userguide/cluster-endpoint.html",
        kubectl: &[],
        decided_by: "The allow-list in the provider's configuration, compared with the scenario's intent.",
        predicate: None,
        configuration: Some(configuration::allow_lists::exceeds_intent),
    },
    Cause {
        code: "net-allow-list-lacks-intended-source",
        severity: Severity::Error,
        title: "The allow-list lacks a source that was intended",
        needs: &[Need::Facts, Need::Scenario],
        signature: "The intended set minus the configured one is not empty: somebody who was meant to reach the \
            endpoint is cut off. The missing ranges and the vantages that they hold are named. A change that is \
            still being rolled out looks the same for minutes.",
        setting: "the list of allowed sources, against intent.publicAccess.allow",
        fix: "# Add the missing ranges to the present list; both providers replace the whole list at once.",
        docs: "https://docs.aws.amazon.com/eks/latest/userguide/cluster-endpoint.html",
        kubectl: &["i/o timeout"],
        decided_by: "The allow-list in the provider's configuration, compared with the scenario's intent.",
        predicate: None,
        configuration: Some(configuration::allow_lists::lacks_intended),
    },
    Cause {
        code: "net-endpoint-mode-differs-from-intent",
        severity: Severity::Error,
        title: "The public or private endpoint is switched otherwise than intended",
        needs: &[Need::Facts, Need::Scenario],
        signature: "The provider's switches for the public and the private endpoint (on AKS a private cluster or \
            public network access) differ from the scenario's intent. Everything behind them, allow-list and DNS \
            answers included, follows from these switches.",
        setting: "endpointPublicAccess and endpointPrivateAccess; on AKS enablePrivateCluster and publicNetworkAccess",
        fix: "aws eks update-cluster-config --region <region> --name <cluster> --resources-vpc-config endpointPublicAccess=<bool>,endpointPrivateAccess=<bool>,publicAccessCidrs=<present list>",
        docs: "https://docs.aws.amazon.com/eks/latest/userguide/cluster-endpoint.html",
        kubectl: &[],
        decided_by: "The endpoint switches in the provider's configuration, compared with the scenario's intent.",
        predicate: None,
        configuration: Some(configuration::endpoint::mode_differs),
    },
];

fn filtered_silently(view: &CellView<'_>) -> Option<Told> {
    let attempts = direct(view);
    if !silence_counts(view) || !none_connected(&attempts) {
        return None;
    }
    let silent = seen(&attempts, is_swallowed)?;
    let confidence = if silent.attempts.len() == silent.of && controls_answer(view.observation) == Some(true) {
        Confidence::Likely
    } else {
        Confidence::Possible
    };
    let class = class_of(&silent);
    let (candidates, decided_by) = candidates(view.provider, class);
    let lets_in = (view.configured == Reachability::Reachable).then(|| view.configuration_says()).flatten();
    // Then what drops the packets stands in no list that was read.
    let confidence = if lets_in.is_some() { Confidence::Possible } else { confidence };
    let mut told = told(
        view,
        confidence,
        format!(
            "{} did not answer (tcp timeout, {}): {}, from {}",
            silent.count(),
            silent.longest_connect(),
            silent.places(view),
            from_where(view, silent.first())
        ),
    )
    .and(controls_sentence(view.observation));
    told.evidence.extend(silent.attempts.iter().find_map(|attempt| Some(trace_sentence(attempt.trace.as_ref()?))));
    if class == AddressClass::Public {
        told.evidence.extend(egress::sentence(view));
    }
    if let Some(lets_in) = lets_in {
        told = told
            .and(format!("yet the configuration lets it in: {lets_in}"))
            .and(
                "seen is silence, not its cause; what remains: a firewall on this side or in between, the host's own, \
                 an address translated otherwise than the configuration shows, a change since the facts were read",
            )
            .and("what decides: the same address from a host beside this one, and the facts pulled again");
        return Some(told.fix(look_up_configuration(view, silent.first())));
    }
    told = told.and(format!("seen is silence, not its cause; what drops packets like this: {candidates}"));
    told = told.and(format!("what decides: {decided_by}"));
    Some(told.fix(look_up_configuration(view, silent.first())))
}

fn port_closed(view: &CellView<'_>) -> Option<Told> {
    let attempts = direct(view);
    let closed = seen(&attempts, |attempt| {
        attempt.tcp.outcome == TcpOutcome::Refused && rejection(view.observation, attempt).is_none()
    })?;
    let first = closed.first();
    let place = if view.host.contains(':') { format!("[{}]", view.host) } else { view.host.to_owned() };
    let server = if view.host.is_empty() {
        "https://<host>:<port>".to_owned()
    } else {
        format!("{}:<port>", shell(&format!("https://{place}")))
    };
    Some(
        told(
            view,
            Confidence::Likely,
            format!(
                "{} refused the connection by a reset (tcp refused after {}, no ICMP error): {}, from {}",
                closed.count(),
                duration(first.tcp.ms),
                closed.places(view),
                from_where(view, first)
            ),
        )
        .and("somebody answered, so no allow-list that drops packets silently is to blame")
        .and("rival: a filter that forges resets; it would answer sooner than the endpoint's round-trip time")
        .setting(format!("port {} in the kubeconfig's `server`; the API server process", view.port))
        .fix(format!("kubectl config set-cluster {} --server={server}", kubeconfig_cluster(view))),
    )
}

fn rejected_by_filter(view: &CellView<'_>) -> Option<Told> {
    let attempts = direct(view);
    let rejected = seen(&attempts, |attempt| rejection(view.observation, attempt).is_some())?;
    let strongest = rejected
        .attempts
        .iter()
        .filter_map(|attempt| Some((*attempt, rejection(view.observation, attempt)?)))
        .min_by_key(|(_, rejection)| rejection.confidence as u8);
    let (attempt, rejection) = strongest?;
    let told = told(
        view,
        rejection.confidence,
        format!(
            "a filter rejected the connection to {}: {}, {}",
            rejected.count(),
            place(view, attempt),
            rejection.words
        ),
    )
    .and(format!("seen from {}", from_where(view, attempt)));
    let address = attempt.address?;
    let family = if address.is_ipv4() { "ip" } else { "ip6" };
    Some(match rejection.sender {
        Some(sender) if Some(sender) != attempt.tcp.source => {
            let source = attempt.tcp.source.map_or_else(|| "this vantage".to_owned(), |source| source.to_string());
            told.setting(format!("the firewall of {sender}")).fix(format!(
                "# On the firewall at {sender}: allow tcp from {source} to {address} port {}.",
                attempt.port
            ))
        }
        _ => told.setting("the firewall of this host, or of its first hop").fix(format!(
            "sudo nft insert rule inet <table> <output chain> {family} daddr {address} tcp dport {} accept",
            attempt.port
        )),
    })
}

fn no_route_to_address(view: &CellView<'_>) -> Option<Told> {
    let attempts = direct(view);
    let lost = seen(&attempts, |attempt| dead_end(view, &attempts, attempt).is_some())?;
    let attempt = lost.first();
    let dead_end = dead_end(view, &attempts, attempt)?;
    let address = attempt.address?;
    let (ip, prefix) = (if address.is_ipv4() { "ip" } else { "ip -6" }, host_prefix(address));
    let told = told(
        view,
        dead_end.confidence,
        format!(
            "{} cannot be reached: {}, {}; seen from {}",
            lost.count(),
            lost.places(view),
            dead_end.words,
            from_where(view, attempt)
        ),
    );
    Some(match dead_end.router {
        Some(router) => told
            .setting(format!("the route table of {router}"))
            .fix(format!("# On the router {router}; then add the route:\n{ip} route get {address}")),
        None => told
            .setting("the route table of this host")
            .fix(format!("{ip} route get {address}\nsudo {ip} route add {address}/{prefix} via <gateway>")),
    })
}

fn endpoint_addresses_changed(view: &CellView<'_>) -> Option<Told> {
    if let Some(told) = names::replaced_addresses(view) {
        return Some(told);
    }
    let attempts = direct(view);
    if !silence_counts(view) || view.known_addresses.is_empty() {
        return None;
    }
    let given: BTreeSet<IpAddr> = attempts.iter().filter_map(|attempt| attempt.address).collect();
    let is_new = |attempt: &Attempt| attempt.address.is_some_and(|address| !view.known_addresses.contains(&address));
    let new = seen(&attempts, is_new)?;
    if !new.attempts.iter().all(|attempt| attempt.tcp.outcome == TcpOutcome::Timeout) {
        return None;
    }
    let old = dialled(view.observation)
        .filter(|attempt| attempt.tcp.outcome == TcpOutcome::Connected)
        .filter(|attempt| attempt.address.is_some_and(|address| view.known_addresses.contains(&address)))
        .max_by_key(|attempt| (attempt.observed == Reachability::Reachable, attempt.decides))?;
    let (confidence, answer) = if old.observed == Reachability::Reachable {
        (Confidence::Likely, "is still answered by the API server")
    } else {
        (Confidence::Possible, "still accepts TCP connections (whether it is the API server could not be verified)")
    };
    let still = if old.address.is_some_and(|address| given.contains(&address)) {
        "DNS still gives it"
    } else {
        "DNS no longer gives it"
    };
    let told = told(
        view,
        confidence,
        format!(
            "the scenario does not list {} of the DNS answer, and none of these answered (tcp timeout, {}): {}",
            new.count(),
            new.longest_connect(),
            new.places(view)
        ),
    )
    .and(format!("the known address {} {answer}; {still}", place(view, old)))
    .and("a firewall in between that allows only the old addresses fits; rival: the new ones are not served yet");
    Some(if view.provider == Provider::Eks {
        let (region, name) = eks_region_and_name(view);
        told.fix(format!(
            "aws ec2 describe-network-interfaces --region {region} --filters Name=description,Values=\"Amazon EKS {name}\" --query 'NetworkInterfaces[].PrivateIpAddress'"
        ))
    } else {
        told.fix(format!(
            "# In the firewall rule: allow the endpoint by name or subnet instead of literal addresses; until then also {}.",
            new.places(view)
        ))
    })
}

fn intermittent_timeout(view: &CellView<'_>) -> Option<Told> {
    if !silence_counts(view) {
        return None;
    }
    let attempts = direct(view);
    let repeated = attempts.iter().find_map(|attempt| Some((*attempt, mixed_repeats(attempt)?)));
    let told = if let Some((attempt, (silent, of))) = repeated {
        told(
            view,
            Confidence::Likely,
            format!(
                "{silent} of {of} connects to {} got no answer, the others connected; seen from {}",
                place(view, attempt),
                from_where(view, attempt)
            ),
        )
        .severity(if attempt.observed == Reachability::Reachable {
            Severity::Warning
        } else {
            Severity::Error
        })
    } else {
        let (attempt, silent, of) = attempts.iter().find_map(|attempt| {
            let (silent, of) = alternating_rounds(view, attempt.address?)?;
            Some((*attempt, silent, of))
        })?;
        told(
            view,
            Confidence::Possible,
            format!(
                "{} got no answer in {silent} of {of} rounds and connected in others, back and forth",
                place(view, attempt)
            ),
        )
    };
    Some(
        told.and(
            "rivals that a probe cannot tell apart: exhausted SNAT ports, a full connection-tracking table, packet \
             loss, a network ACL that covers only part of the ephemeral ports",
        )
        .and("what decides: SNAT metrics of the NAT or load balancer, and nf_conntrack_count on every Linux hop"),
    )
}

fn mtu_black_hole(view: &CellView<'_>) -> Option<Told> {
    if !silence_counts(view) {
        return None;
    }
    let attempts = direct(view);
    let stalled = seen(&attempts, |attempt| handshake(attempt) == Some(Handshake::SmallSegmentsPass))?;
    let attempt = stalled.first();
    let told = told(
        view,
        Confidence::Likely,
        format!(
            "{} connected, but no ServerHello came in {}; with segments of at most 1,200 bytes the handshake completed: {}",
            stalled.count(),
            duration(attempt.tls.ms),
            stalled.places(view)
        ),
    )
    .and("packets above that size are lost and no ICMP message says so");
    let told = match &attempt.path_mtu {
        Some(PathMtu { bytes, router: Some(router) }) => {
            told.and(format!("router {router} says that packets of at most {bytes} bytes pass"))
        }
        Some(PathMtu { bytes, router: None }) => told.and(format!("packets of {bytes} bytes are known to pass")),
        None => told.and("the path's MTU could not be measured: nobody answered packets that may not be fragmented"),
    };
    let tunnel = attempt.route.as_ref().filter(|route| route.tunnel).and_then(|route| route.interface.as_deref());
    Some(match tunnel {
        Some(interface) => told
            .and(format!("the route to it leads into the tunnel {}", clean(interface)))
            .setting(format!("MTU of {}", clean(interface)))
            .fix(format!("sudo ip link set dev {} mtu 1280", shell(interface))),
        None => told,
    })
}

/// A timeout that nothing on the way explains.
pub(super) fn is_swallowed(attempt: &Attempt) -> bool {
    attempt.tcp.outcome == TcpOutcome::Timeout
        && attempt.tcp.icmp.is_none()
        && complaining_hop(attempt).is_none()
        && mixed_repeats(attempt).is_none()
        && !attempt.route.as_ref().is_some_and(|route| route.neighbour_failed)
}

/// How a filter made itself known.
struct Rejection {
    confidence: Confidence,
    words: String,
    sender: Option<IpAddr>,
}

fn rejection(observation: &Observation, attempt: &Attempt) -> Option<Rejection> {
    let address = attempt.address?;
    if matches!(attempt.tcp.outcome, TcpOutcome::Connected | TcpOutcome::Reset | TcpOutcome::LocalError) {
        return None;
    }
    if let Some(icmp) = &attempt.tcp.icmp {
        let sender = icmp.from.map_or_else(|| "an unknown hop".to_owned(), |from| who(from, attempt));
        let words = format!("ICMP says \"{}\", sent by {sender}", clean(&icmp.meaning));
        match complaint(icmp, address) {
            Complaint::Prohibited => {
                return Some(Rejection { confidence: Confidence::Certain, words, sender: icmp.from });
            }
            Complaint::PortUnreachable => {
                return Some(Rejection { confidence: Confidence::Likely, words, sender: icmp.from });
            }
            Complaint::NoRoute | Complaint::Other => {}
        }
    }
    if attempt.tcp.outcome == TcpOutcome::Prohibited {
        let detail = attempt.tcp.detail.as_deref().map_or_else(|| "no detail".to_owned(), clean);
        let words = format!("tcp prohibited after {} ({detail})", duration(attempt.tcp.ms));
        let sender = attempt.tcp.icmp.as_ref().and_then(|icmp| icmp.from);
        return Some(Rejection { confidence: Confidence::Likely, words, sender });
    }
    if let Some((hop, Complaint::Prohibited | Complaint::PortUnreachable)) = complaining_hop(attempt) {
        let words = format!("the trace got \"{}\" from {}, {} hops out", clean(&hop.said), hop.address, hop.ttl);
        return Some(Rejection { confidence: Confidence::Likely, words, sender: Some(hop.address) });
    }
    let echo = observation.connectivity.as_ref()?.icmp.as_ref().filter(|echo| echo.address == address)?;
    let round_trip = echo.ms.filter(|ms| *ms >= MEASURABLE_ROUND_TRIP_MS)?;
    let sooner = attempt.tcp.icmp.is_none()
        && matches!(attempt.tcp.outcome, TcpOutcome::Refused | TcpOutcome::Unreachable)
        && attempt.tcp.ms * 2.0 < round_trip;
    sooner.then(|| Rejection {
        confidence: Confidence::Possible,
        words: format!(
            "tcp {} after {}, while an echo to the same address takes {}: something nearer answered (rival: a lost and repeated echo)",
            attempt.tcp.outcome.label(),
            duration(attempt.tcp.ms),
            duration(round_trip)
        ),
        sender: None,
    })
}

/// Where the way ends.
struct DeadEnd {
    confidence: Confidence,
    words: String,
    /// The router that said so; `None` when this host or its link is the end.
    router: Option<IpAddr>,
}

fn dead_end(view: &CellView<'_>, attempts: &[&Attempt], attempt: &Attempt) -> Option<DeadEnd> {
    let address = attempt.address?;
    if !matches!(attempt.tcp.outcome, TcpOutcome::Unreachable | TcpOutcome::Timeout)
        || rejection(view.observation, attempt).is_some()
    {
        return None;
    }
    if let Some(icmp) = &attempt.tcp.icmp
        && complaint(icmp, address) == Complaint::NoRoute
        && let Some(from) = icmp.from.filter(|from| Some(*from) != attempt.tcp.source)
    {
        let words = format!("ICMP says \"{}\", sent by {}", clean(&icmp.meaning), who(from, attempt));
        return Some(DeadEnd { confidence: Confidence::Certain, words, router: Some(from) });
    }
    let neighbour_failed = attempt.route.as_ref().is_some_and(|route| route.neighbour_failed);
    let outcome = attempt.tcp.outcome.label();
    let after = duration(attempt.tcp.ms);
    if neighbour_failed {
        let words =
            format!("tcp {outcome} after {after}, and the next hop does not answer on its link (neighbour FAILED)");
        return Some(DeadEnd { confidence: Confidence::Likely, words, router: None });
    }
    if let Some((hop, Complaint::NoRoute)) = complaining_hop(attempt) {
        let words = format!("the trace got \"{}\" from {}, {} hops out", clean(&hop.said), hop.address, hop.ttl);
        return Some(DeadEnd { confidence: Confidence::Likely, words, router: Some(hop.address) });
    }
    if attempt.tcp.outcome == TcpOutcome::Timeout {
        return None;
    }
    if attempt.tcp.ms <= LOCAL_ERROR_MS {
        let other_family_works = attempts.iter().any(|other| {
            other.tcp.outcome == TcpOutcome::Connected
                && other.address.is_some_and(|other| other.is_ipv4() != address.is_ipv4())
        });
        let words = format!("tcp unreachable after {after}: this host itself knows no route");
        return (!other_family_works).then_some(DeadEnd { confidence: Confidence::Likely, words, router: None });
    }
    let words = if attempt.tcp.ms >= DEAD_NEIGHBOUR_MS {
        format!("tcp unreachable after {after}: the next hop does not answer on its link")
    } else {
        format!("tcp unreachable after {after}: a router on the way says so, but its message was not delivered")
    };
    Some(DeadEnd { confidence: Confidence::Likely, words, router: None })
}

/// What an ICMP error complains about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Complaint {
    Prohibited,
    PortUnreachable,
    NoRoute,
    Other,
}

/// RFC 792 and RFC 1812 for IPv4, RFC 4443 for IPv6.
const fn complaint(icmp: &IcmpError, address: IpAddr) -> Complaint {
    match (address.is_ipv4(), icmp.kind, icmp.code) {
        (true, 3, 9 | 10 | 13) | (false, 1, 1 | 5 | 6) => Complaint::Prohibited,
        (true, 3, 2 | 3) | (false, 1, 4) => Complaint::PortUnreachable,
        (true, 3, 0 | 1 | 5..=8 | 11 | 12) | (false, 1, 0 | 2 | 3) | (true, 11, _) | (false, 3, _) => {
            Complaint::NoRoute
        }
        _ => Complaint::Other,
    }
}

/// The farthest hop of the trace that said more than `time exceeded`.
fn complaining_hop(attempt: &Attempt) -> Option<(&TraceHop, Complaint)> {
    attempt.trace.as_ref()?.hops.iter().rev().find_map(|hop| {
        let said = hop.said.to_ascii_lowercase();
        let complaint = if said.contains("prohibited") {
            Complaint::Prohibited
        } else if said.contains("port") && said.contains("unreachable") {
            Complaint::PortUnreachable
        } else if said.contains("unreachable") || said.contains("no route") {
            Complaint::NoRoute
        } else {
            return None;
        };
        Some((hop, complaint))
    })
}

fn who(sender: IpAddr, attempt: &Attempt) -> String {
    if Some(sender) == attempt.tcp.source {
        format!("{sender} (this host itself)")
    } else if Some(sender) == attempt.address {
        format!("{sender} (the endpoint itself)")
    } else {
        sender.to_string()
    }
}

/// Of all connects to the address, how many got no answer, where others connected.
fn mixed_repeats(attempt: &Attempt) -> Option<(u32, u32)> {
    let repeats = attempt.repeats?;
    let connected = repeats.connected + u32::from(attempt.tcp.outcome == TcpOutcome::Connected);
    let silent = repeats.timed_out + u32::from(attempt.tcp.outcome == TcpOutcome::Timeout);
    (connected > 0 && silent > 0).then(|| (silent, repeats.tried.saturating_add(1)))
}

/// In how many of how many rounds the address was silent, when it went back and forth. One change from silence to an
/// answer or the reverse is a change that arrived, not a fault; and while a change is on its way nothing is judged.
fn alternating_rounds(view: &CellView<'_>, address: IpAddr) -> Option<(usize, usize)> {
    if view.change.is_some_and(|change| change.open) {
        return None;
    }
    let connected: Vec<bool> = view
        .rounds
        .iter()
        .filter_map(|round| round.tcp.iter().find(|(of, _)| *of == address))
        .filter_map(|(_, outcome)| match outcome {
            TcpOutcome::Connected => Some(true),
            TcpOutcome::Timeout => Some(false),
            _ => None,
        })
        .collect();
    let changes = connected.windows(2).filter(|pair| pair[0] != pair[1]).count();
    (changes >= 2).then(|| (connected.iter().filter(|connected| !**connected).count(), connected.len()))
}

fn trace_sentence(trace: &PathTrace) -> String {
    let note = trace.note.as_deref().map_or_else(String::new, |note| format!(" ({})", clean(note)));
    match trace.hops.iter().max_by_key(|hop| hop.ttl) {
        Some(hop) => {
            let hops = if hop.ttl == 1 { "hop" } else { "hops" };
            format!("last hop that answered: {}, {} {hops} out{note}", hop.address, hop.ttl)
        }
        None if note.is_empty() || note.contains("no router") => "no router on the way answered a trace".to_owned(),
        None => format!("no router on the way answered a trace{note}"),
    }
}

fn class_of(seen: &Seen<'_>) -> AddressClass {
    let class = seen.first().address_class;
    if seen.attempts.iter().all(|attempt| attempt.address_class == class) { class } else { AddressClass::Mixed }
}

/// What drops packets of this kind of endpoint, the most frequent first, and what would decide.
const fn candidates(provider: Provider, class: AddressClass) -> (&'static str, &'static str) {
    match (provider, class) {
        (Provider::Eks, AddressClass::Public) => (
            "publicAccessCidrs lacks this vantage's egress address (eks-client-not-in-public-access-cidrs), a change \
             that is still on its way, an egress address other than the declared one \
             (net-egress-address-not-as-declared), no way out of this network for the port",
            "the egress address of this path against publicAccessCidrs, or the same address from a vantage that is \
             listed: if it connects there, the allow-list; if not, the cluster's side",
        ),
        (Provider::Aks, AddressClass::Public) => (
            "authorizedIPRanges lacks this vantage's egress address (aks-client-not-in-authorized-ip-ranges), a \
             change younger than two minutes, an egress address other than the declared one \
             (net-egress-address-not-as-declared), no way out of this network for the port, a stopped cluster \
             (aks-cluster-stopped)",
            "the egress address of this path against authorizedIPRanges, or the same address from a vantage that is \
             listed: if it connects there, the allow-list; if not, the cluster's side",
        ),
        (Provider::Eks, AddressClass::Private) => (
            "this vantage is on no network that leads into the VPC (client-not-on-connected-network), the \
             control-plane security groups (eks-control-plane-sg-blocks-client), a network ACL, a missing route or \
             return route over peering, transit gateway or VPN, an address of the past (dns-stale-answer)",
            "ip route get, then the same address from the cluster's own subnet: if it connects there, the way in \
             between; if not, the security groups",
        ),
        (Provider::Aks, AddressClass::Private) => (
            "this vantage is on no network that leads into the VNet (client-not-on-connected-network), a private \
             endpoint that is not usable (aks-private-endpoint-not-usable), peering, a network security group, a \
             user-defined route, an address of the past (dns-stale-answer)",
            "ip route get, then the same address from the cluster's own VNet: if it connects there, the way in \
             between; if not, the private endpoint",
        ),
        (Provider::Generic, AddressClass::Private) => (
            "this vantage is on no network that leads there (client-not-on-connected-network), a firewall on the \
             way, a missing route or return route, a host that is down",
            "ip route get, then the same address from a host in the same subnet: if it connects there, the way in \
             between; if not, the host or its own firewall",
        ),
        _ => (
            "an allow-list on the cluster's side, a firewall on this side, a missing return route, a host that is down",
            "the same address from a vantage that is known to be let in: if it connects there, the allow-list or the \
             path of this vantage; if not, the cluster's side",
        ),
    }
}

/// A command that only reads, and shows what would decide.
fn look_up_configuration(view: &CellView<'_>, attempt: &Attempt) -> String {
    match (view.provider, attempt.address) {
        (Provider::Eks, _) => {
            let (region, name) = eks_region_and_name(view);
            format!("aws eks describe-cluster --region {region} --name {name} --query cluster.resourcesVpcConfig")
        }
        (Provider::Aks, _) => {
            let command = "az aks show -g <rg> -n <cluster> --query '[powerState, apiServerAccessProfile]'";
            match &view.configuration {
                Some(configured) => aks::commands::filled_in(configured.facts, command),
                None => command.to_owned(),
            }
        }
        (Provider::Generic, Some(address)) => {
            format!("ip route get {address} && sudo traceroute -n -T -p {} {address}", attempt.port)
        }
        (Provider::Generic, None) => format!("sudo traceroute -n -T -p {} {}", attempt.port, shell(view.host)),
    }
}

/// An error that comes so soon was made by this host.
const LOCAL_ERROR_MS: f64 = 2.0;
/// Linux gives up on a neighbour after about 3.1 s.
const DEAD_NEIGHBOUR_MS: f64 = 2_800.0;
/// Below this a round trip is too short to be compared with a delay.
const MEASURABLE_ROUND_TRIP_MS: f64 = 20.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::causes::{
        Change, Round,
        testing_net::{Scene, attempt, handshake as attempt_with, healthy, icmp, now, route, silent, traced, variant},
    };
    use kubereach_probes::{IcmpEcho, LocalRoute, Repeats, TlsOutcome, TlsVariantKind};

    const NONE: [&str; 0] = [];

    fn codes(attempts: Vec<Attempt>) -> Vec<&'static str> {
        Scene::new(attempts).codes(CAUSES)
    }

    #[test]
    fn silence_is_told_with_where_the_trace_stopped_and_blames_nothing() {
        let first =
            traced(silent("198.51.100.20"), &[(1, "192.0.2.1", "time exceeded"), (2, "203.0.113.1", "time exceeded")]);
        let mut scene = Scene::new(vec![first, silent("198.51.100.21")]);
        scene.provider = Provider::Eks;
        scene.host = "0123456789ABCDEF.gr7.eu-west-1.eks.amazonaws.com".to_owned();
        assert_eq!(scene.codes(CAUSES), ["net-filtered-silently"]);
        let told = scene.told(CAUSES, "net-filtered-silently").unwrap();
        assert_eq!(told.confidence, Some(Confidence::Likely));
        assert_eq!(
            told.evidence[0],
            "2 of 2 addresses did not answer (tcp timeout, 3.0 s): 198.51.100.20:443, 198.51.100.21:443, from laptop (192.0.2.7)"
        );
        let all = told.evidence.join("\n");
        assert!(all.contains("last hop that answered: 203.0.113.1, 2 hops out"), "{all}");
        assert!(all.contains("control targets answer (1 of 1)"), "{all}");
        assert!(all.contains("eks-client-not-in-public-access-cidrs"), "{all}");
        assert_eq!(
            told.fix.unwrap(),
            "aws eks describe-cluster --region eu-west-1 --name <cluster> --query cluster.resourcesVpcConfig"
        );
    }

    #[test]
    fn the_candidates_follow_address_class_and_provider() {
        let mut private = silent("10.20.1.10");
        private.address_class = AddressClass::Private;
        let mut scene = Scene::new(vec![private]);
        let candidates = |scene: &Scene| scene.told(CAUSES, "net-filtered-silently").unwrap().evidence.join("\n");
        scene.provider = Provider::Eks;
        assert!(candidates(&scene).contains("eks-control-plane-sg-blocks-client"));
        scene.provider = Provider::Aks;
        assert!(candidates(&scene).contains("aks-private-endpoint-not-usable"));
        assert!(!candidates(&scene).contains("authorizedIPRanges"));
        scene.provider = Provider::Generic;
        assert!(!candidates(&scene).contains("eks-") && !candidates(&scene).contains("aks-"));
    }

    #[test]
    fn silence_counts_for_less_without_controls_and_for_nothing_when_something_else_explains_it() {
        let mut scene = Scene::new(vec![silent("198.51.100.20")]);
        scene.observation.connectivity = None;
        assert_eq!(scene.told(CAUSES, "net-filtered-silently").unwrap().confidence, Some(Confidence::Possible));
        for change in [
            (|scene: &mut Scene| scene.offline = true) as fn(&mut Scene),
            |scene| scene.interrupted = true,
            |scene| scene.observation.cut_short = true,
            |scene| scene.vantage_unavailable = Some("no such interface".to_owned()),
            |scene| scene.observation.attempts[0].decides = false,
            |scene| scene.observation.attempts[0].skipped = Some("no route for IPv6".to_owned()),
            |scene| scene.observation.attempts.push(healthy("198.51.100.21")),
        ] {
            let mut scene = Scene::new(vec![silent("198.51.100.20")]);
            change(&mut scene);
            assert_eq!(scene.codes(CAUSES), NONE);
        }
        assert_eq!(Scene::new(vec![silent("198.51.100.20")]).proxied().codes(CAUSES), NONE);
    }

    #[test]
    fn a_reset_is_a_closed_port_and_refutes_silence() {
        let refused = attempt("198.51.100.20", TcpOutcome::Refused, 12.0);
        assert_eq!(codes(vec![refused.clone()]), ["net-port-closed"]);
        let told = Scene::new(vec![refused.clone()]).told(CAUSES, "net-port-closed").unwrap();
        assert_eq!(told.confidence, Some(Confidence::Likely));
        assert_eq!(told.fix.unwrap(), "kubectl config set-cluster <name> --server=https://api.example.com:<port>");
        assert_eq!(Scene::new(vec![refused]).proxied().codes(CAUSES), NONE);
    }

    #[test]
    fn a_hostile_host_is_quoted() {
        let mut scene = Scene::new(vec![attempt("198.51.100.20", TcpOutcome::Refused, 12.0)]);
        scene.host = "a;reboot".to_owned();
        let fix = scene.told(CAUSES, "net-port-closed").unwrap().fix.unwrap();
        assert_eq!(fix, "kubectl config set-cluster <name> --server='https://a;reboot':<port>");
    }

    #[test]
    fn filters_that_speak_are_named() {
        let refused = || attempt("198.51.100.20", TcpOutcome::Refused, 5.0);
        let table = [
            (
                icmp(
                    attempt("198.51.100.20", TcpOutcome::Prohibited, 5.0),
                    3,
                    13,
                    "203.0.113.1",
                    "administratively prohibited",
                ),
                Confidence::Certain,
                "203.0.113.1",
            ),
            (
                icmp(
                    attempt("2001:db8::20", TcpOutcome::Prohibited, 5.0),
                    1,
                    1,
                    "2001:db8::1",
                    "administratively prohibited",
                ),
                Confidence::Certain,
                "2001:db8::1",
            ),
            (icmp(refused(), 3, 3, "203.0.113.1", "port unreachable"), Confidence::Likely, "203.0.113.1"),
            (icmp(refused(), 3, 3, "198.51.100.20", "port unreachable"), Confidence::Likely, "the endpoint itself"),
            (
                icmp(attempt("198.51.100.20", TcpOutcome::Unreachable, 5.0), 3, 10, "203.0.113.1", "host prohibited"),
                Confidence::Certain,
                "203.0.113.1",
            ),
            (attempt("198.51.100.20", TcpOutcome::Prohibited, 0.1), Confidence::Likely, "prohibited"),
            (
                traced(silent("198.51.100.20"), &[(2, "203.0.113.1", "administratively prohibited")]),
                Confidence::Likely,
                "203.0.113.1, 2 hops out",
            ),
        ];
        for (attempt, confidence, words) in table {
            let scene = Scene::new(vec![attempt]);
            assert_eq!(scene.codes(CAUSES), ["net-rejected-by-filter"]);
            let told = scene.told(CAUSES, "net-rejected-by-filter").unwrap();
            assert_eq!(told.confidence, Some(confidence), "{told:?}");
            assert!(told.evidence[0].contains(words), "{told:?}");
        }
    }

    #[test]
    fn this_hosts_own_firewall_gets_a_command_and_a_routers_does_not() {
        let own = icmp(
            attempt("198.51.100.20", TcpOutcome::Prohibited, 0.1),
            3,
            13,
            "192.0.2.7",
            "administratively prohibited",
        );
        let fix = |attempt| Scene::new(vec![attempt]).told(CAUSES, "net-rejected-by-filter").unwrap().fix.unwrap();
        assert_eq!(
            fix(own),
            "sudo nft insert rule inet <table> <output chain> ip daddr 198.51.100.20 tcp dport 443 accept"
        );
        let far = icmp(
            attempt("198.51.100.20", TcpOutcome::Prohibited, 9.0),
            3,
            13,
            "203.0.113.1",
            "administratively prohibited",
        );
        assert_eq!(fix(far), "# On the firewall at 203.0.113.1: allow tcp from 192.0.2.7 to 198.51.100.20 port 443.");
    }

    #[test]
    fn a_refusal_sooner_than_the_round_trip_came_from_nearer() {
        let mut scene = Scene::new(vec![attempt("198.51.100.20", TcpOutcome::Refused, 0.3)]);
        let echo =
            |ms| IcmpEcho { address: "198.51.100.20".parse().unwrap(), outcome: "reply".to_owned(), ms: Some(ms) };
        scene.observation.connectivity.as_mut().unwrap().icmp = Some(echo(40.0));
        assert_eq!(scene.codes(CAUSES), ["net-rejected-by-filter"]);
        scene.observation.connectivity.as_mut().unwrap().icmp = Some(echo(0.4));
        assert_eq!(scene.codes(CAUSES), ["net-port-closed"]);
    }

    #[test]
    fn the_end_of_the_route_is_located() {
        let no_route = Scene::new(vec![attempt("198.51.100.20", TcpOutcome::Unreachable, 0.1)]);
        assert_eq!(no_route.codes(CAUSES), ["net-no-route-to-address"]);
        let told = no_route.told(CAUSES, "net-no-route-to-address").unwrap();
        assert!(told.evidence[0].contains("this host itself knows no route"), "{told:?}");
        assert_eq!(told.fix.unwrap(), "ip route get 198.51.100.20\nsudo ip route add 198.51.100.20/32 via <gateway>");

        let router =
            icmp(attempt("198.51.100.20", TcpOutcome::Unreachable, 8.0), 3, 1, "203.0.113.1", "host unreachable");
        let told = Scene::new(vec![router]).told(CAUSES, "net-no-route-to-address").unwrap();
        assert_eq!(told.confidence, Some(Confidence::Certain));
        assert!(told.setting.unwrap().contains("203.0.113.1"));

        let dead = attempt("198.51.100.20", TcpOutcome::Unreachable, 3100.0);
        let told = Scene::new(vec![dead]).told(CAUSES, "net-no-route-to-address").unwrap();
        assert!(told.evidence[0].contains("next hop does not answer"), "{told:?}");

        let mut failed = silent("198.51.100.20");
        failed.route = Some(LocalRoute { neighbour_failed: true, ..route() });
        assert_eq!(codes(vec![failed]), ["net-no-route-to-address"]);
    }

    #[test]
    fn one_family_without_a_route_beside_one_that_works_is_another_cause() {
        let attempts = vec![attempt("2001:db8::20", TcpOutcome::Unreachable, 0.1), healthy("198.51.100.20")];
        assert_eq!(codes(attempts), NONE);
        let same_family = vec![attempt("198.51.100.21", TcpOutcome::Unreachable, 0.1), healthy("198.51.100.20")];
        assert_eq!(codes(same_family), ["net-no-route-to-address"]);
    }

    #[test]
    fn new_addresses_that_are_silent_while_an_old_one_answers() {
        let mut old = healthy("198.51.100.10");
        old.decides = false;
        old.resolvers = vec!["scenario".to_owned()];
        let mut scene = Scene::new(vec![silent("198.51.100.20"), old]);
        scene.known_addresses = vec!["198.51.100.10".parse().unwrap()];
        let told = scene.told(CAUSES, "net-endpoint-addresses-changed").unwrap();
        assert_eq!(told.confidence, Some(Confidence::Likely));
        assert!(told.evidence[2].contains("198.51.100.10:443 is still answered by the API server"), "{told:?}");

        let mut near_miss = Scene::new(scene.observation.attempts.clone());
        assert!(near_miss.told(CAUSES, "net-endpoint-addresses-changed").is_none());
        near_miss.known_addresses = vec!["198.51.100.10".parse().unwrap(), "198.51.100.20".parse().unwrap()];
        assert!(near_miss.told(CAUSES, "net-endpoint-addresses-changed").is_none());
        near_miss.known_addresses.truncate(1);
        near_miss.observation.attempts[1] = Attempt { decides: false, ..silent("198.51.100.10") };
        assert!(near_miss.told(CAUSES, "net-endpoint-addresses-changed").is_none());
        near_miss.observation.attempts[1] = scene.observation.attempts[1].clone();
        near_miss.observation.attempts[0] = attempt("198.51.100.20", TcpOutcome::Refused, 9.0);
        assert!(near_miss.told(CAUSES, "net-endpoint-addresses-changed").is_none());
    }

    #[test]
    fn repeats_that_differ_are_intermittent() {
        let mut mixed = silent("198.51.100.20");
        mixed.repeats = Some(Repeats { tried: 9, connected: 6, timed_out: 3 });
        let told = Scene::new(vec![mixed.clone()]).told(CAUSES, "net-intermittent-timeout").unwrap();
        assert!(told.evidence[0].starts_with("4 of 10 connects to 198.51.100.20:443 got no answer"), "{told:?}");
        assert_eq!(codes(vec![mixed.clone()]), ["net-intermittent-timeout"]);
        mixed.repeats = Some(Repeats { tried: 9, connected: 0, timed_out: 9 });
        assert_eq!(codes(vec![mixed]), ["net-filtered-silently"]);
        let mut works = healthy("198.51.100.20");
        works.repeats = Some(Repeats { tried: 9, connected: 9, timed_out: 0 });
        assert_eq!(codes(vec![works.clone()]), NONE);
        works.repeats = Some(Repeats { tried: 9, connected: 7, timed_out: 2 });
        let told = Scene::new(vec![works]).told(CAUSES, "net-intermittent-timeout").unwrap();
        assert_eq!(told.severity, Some(Severity::Warning));
    }

    #[test]
    fn rounds_must_go_back_and_forth_to_be_intermittent() {
        let address: IpAddr = "198.51.100.20".parse().unwrap();
        let rounds = |outcomes: &[TcpOutcome]| {
            let round = |outcome: &TcpOutcome| Round {
                at: now(),
                observed: Reachability::Unknown,
                agrees: false,
                addresses: vec![address],
                tcp: vec![(address, *outcome)],
            };
            outcomes.iter().map(round).collect::<Vec<_>>()
        };
        let (yes, no) = (TcpOutcome::Connected, TcpOutcome::Timeout);
        let mut scene = Scene::new(vec![healthy("198.51.100.20")]);
        scene.rounds = rounds(&[yes, no, no, yes]);
        assert_eq!(scene.codes(CAUSES), ["net-intermittent-timeout"]);
        scene.rounds = rounds(&[no, no, yes, yes]);
        assert_eq!(scene.codes(CAUSES), NONE, "a rule that opened");
        scene.rounds = rounds(&[yes, no, no, yes]);
        scene.change = Some(Change { at: now(), window: std::time::Duration::from_mins(2), open: true });
        assert_eq!(scene.codes(CAUSES), NONE, "a change on its way");
    }

    #[test]
    fn a_tunnel_that_loses_large_packets_gets_its_mtu_lowered() {
        let stalled = variant(
            attempt_with("198.51.100.20", TlsOutcome::Timeout),
            TlsVariantKind::SmallSegments,
            TlsOutcome::Verified,
        );
        let mut scene = Scene::new(vec![stalled]);
        assert_eq!(scene.codes(CAUSES), ["net-mtu-black-hole"]);
        assert!(scene.told(CAUSES, "net-mtu-black-hole").unwrap().fix.is_none());
        scene.observation.attempts[0].route =
            Some(LocalRoute { tunnel: true, interface: Some("wg0; id".to_owned()), ..route() });
        let told = scene.told(CAUSES, "net-mtu-black-hole").unwrap();
        assert_eq!(told.fix.unwrap(), "sudo ip link set dev 'wg0; id' mtu 1280");
        scene.observation.attempts[0].tls.variants[0].outcome = TlsOutcome::Timeout;
        assert_eq!(scene.codes(CAUSES), NONE);
    }

    #[test]
    fn the_catalogue_is_complete_and_well_formed() {
        for cause in [CAUSES, crate::causes::tls::CAUSES, crate::causes::http::CAUSES].concat() {
            let code = cause.code;
            assert!(code.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{code}");
            assert!(cause.docs.starts_with("https://"), "{code}");
            for text in [cause.title, cause.setting, &cause.fix.replace("   # ", " # "), cause.decided_by] {
                assert!(!text.is_empty() && !text.contains("  "), "{code}: {text}");
            }
            let sentences = cause.signature.matches(". ").count() + 1;
            assert!((2..=5).contains(&sentences) && !cause.signature.contains("  "), "{code}: {sentences} sentences");
            assert!(cause.kubectl.iter().all(|fragment| *fragment == fragment.to_lowercase()), "{code}");
            assert!(!cause.needs.is_empty(), "{code}");
            assert!(!cause.fix.contains("0.0.0.0/0"), "{code}");
        }
    }
}

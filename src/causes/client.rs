//! Causes on this machine: kubeconfig, proxy variables, clock, hosts file, local routes.

use std::net::IpAddr;

use kubereach_probes::{
    AddressClass, Attempt, DnsOutcome, DnsSource, HttpOutcome, ProxyObservation, Reachability, TcpOutcome, TlsOutcome,
    TunnelOutcome,
};

use super::{
    BY_CONFIGURATION, Cause, CellView, Need, Told,
    aks::names,
    eks::{changes, paths},
    lookups::{
        self, address_reaches, addresses, addresses_words, answered, attempt_words, deciding, failed, from_hosts_file,
        lookup_words, milliseconds_words, others, reaches, shell_word, system,
    },
    recipes::kubeconfig_renew,
    sources,
};
use crate::report::{Confidence, Severity};

pub(super) const CAUSES: &[Cause] = &[
    Cause {
        code: "client-kubeconfig-unusable",
        title: "The kubeconfig cannot be used",
        needs: &[Need::Client],
        signature: "The kubeconfig file is missing or empty, the context does not exist, or the CA data cannot be decoded, so there is nothing to probe and kubereach ends with exit status 2. kubectl does not stop there: without a server it falls back to `localhost:8080` and says that the connection was refused. That text without a server in the kubeconfig is this, and not a closed port of the cluster. The kubeconfig itself decides.",
        setting: "KUBECONFIG, current-context, clusters[].cluster.certificate-authority-data",
        fix: kubeconfig_renew!(),
        docs: sources::KUBECTL_HELPERS,
        kubectl: &["localhost:8080", "invalid configuration", "no configuration has been provided", "does not exist"],
        decided_by: "whether `kubectl config view --minify` names a server",
        ..BY_CONFIGURATION
    },
    Cause {
        code: "client-kubeconfig-server-not-this-cluster",
        title: "The kubeconfig names the endpoint of another cluster",
        needs: &[Need::Client, Need::Facts],
        signature: "The host of the kubeconfig's server differs from the endpoint that the provider reports for this cluster (AKS: from both its FQDNs). The probe may be green, because another cluster answers, or show an untrusted certificate or a 401. Without the provider's configuration a cluster that was deleted and made anew looks the same as a name that does not exist.",
        setting: "clusters[].cluster.server",
        fix: kubeconfig_renew!(),
        docs: sources::EKS_TROUBLESHOOTING,
        kubectl: &["no such host", "certificate signed by unknown authority", "unauthorized"],
        decided_by: "the endpoint in `aws eks describe-cluster` or `az aks show`, against the kubeconfig's server",
        predicate: Some(server_not_this_cluster),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "client-kubeconfig-skips-tls-verification",
        severity: Severity::Warning,
        title: "The kubeconfig skips TLS verification",
        needs: &[Need::Client],
        signature: "`insecure-skip-tls-verify: true` makes kubectl accept any certificate, so it works even where somebody else answers, and an interception stays invisible. kubereach verifies all the same and reports what it found. Nothing else looks like this: the kubeconfig says it.",
        setting: "clusters[].cluster.insecure-skip-tls-verify",
        fix: "kubectl config set-cluster <name> --insecure-skip-tls-verify=false --certificate-authority=<ca.pem> --embed-certs=true",
        docs: sources::KUBECTL_SET_CLUSTER,
        kubectl: &[],
        decided_by: "the kubeconfig alone",
        predicate: Some(skips_tls_verification),
        configuration: None,
    },
    Cause {
        code: "client-exec-plugin-unavailable",
        title: "The credential plugin of the kubeconfig cannot be used",
        needs: &[Need::Client, Need::Probe],
        signature: "The network is fine: an API server answers. But the command that should fetch credentials is not on PATH, or the token service that it calls cannot be connected to, as in a VPC without an endpoint for STS. kubectl then says `getting credentials: exec:` before it sends anything. kubereach names the plugin and never runs it.",
        setting: "users[].user.exec.command; VPC endpoint com.amazonaws.<region>.sts",
        fix: concat!(
            "# Install the command that users[].user.exec names. In a VPC without internet access, give STS an endpoint:\n",
            super::recipes::vpc_endpoint_add!("com.amazonaws.<region>.sts")
        ),
        docs: sources::EKS_PRIVATE_CLUSTERS,
        kubectl: &["getting credentials: exec", "executable", "executable file not found"],
        decided_by: "whether the command is on PATH, then a connection to its token service",
        predicate: Some(exec_plugin_unavailable),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "client-certificate-expired",
        title: "The client certificate of the kubeconfig has expired",
        needs: &[Need::Client],
        signature: "The kubeconfig's user has a client certificate whose validity is over, or ends within a week. The network has no part in it: the API server answers, and says 401 to kubectl. A wrong local clock would look alike, which `client-clock-skew` tells. Certificates that kubeadm issues end after one year unless the cluster is upgraded in between.",
        setting: "users[].user.client-certificate-data",
        fix: "# on a control-plane node of a kubeadm cluster; elsewhere fetch a new kubeconfig from the provider:\nsudo kubeadm certs renew admin.conf",
        docs: sources::KUBEADM_CERTIFICATES,
        kubectl: &["you must be logged in to the server", "the server has asked for the client to provide credentials"],
        decided_by: "the certificate's own end of validity, against a clock that is right",
        predicate: Some(client_certificate_expired),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "client-proxy-not-bypassed",
        title: "kubectl goes through a proxy that does not let it through, while the direct path works",
        needs: &[Need::Client, Need::Probe],
        signature: "A proxy setting applies to this host (`proxy-url` in the kubeconfig, else HTTPS_PROXY) and NO_PROXY does not name it. Through the proxy it fails; directly the API server answers. If the direct path fails too, the proxy may be needed, and it is `client-proxy-fails`. The probe of both paths decides.",
        setting: "HTTPS_PROXY, NO_PROXY, clusters[].cluster.proxy-url",
        fix: "export NO_PROXY=\"$NO_PROXY,<host>\"",
        docs: sources::EKSCTL_PROXY,
        kubectl: &["proxyconnect tcp", "forbidden", "bad gateway", "service unavailable"],
        decided_by: "the same probe without the proxy",
        predicate: Some(proxy_not_bypassed),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "client-proxy-bypassed-but-needed",
        title: "NO_PROXY keeps kubectl from the proxy that it needs",
        needs: &[Need::Client, Need::Probe],
        signature: "An entry of NO_PROXY matches the host, so kubectl dials directly, and that fails: no such name, no answer, no route. Through the proxy that is configured the API server answers. An endpoint that is down fails on both paths. The probe of both paths decides.",
        setting: "NO_PROXY",
        fix: "# Remove the entry that matches <host> from NO_PROXY (and from no_proxy).",
        docs: sources::EKSCTL_PROXY,
        kubectl: &["i/o timeout", "no such host", "network is unreachable"],
        decided_by: "the same probe through the proxy",
        predicate: Some(proxy_bypassed_but_needed),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "client-proxy-fails",
        title: "The proxy does not make the connection",
        needs: &[Need::Client, Need::Probe],
        signature: "The proxy's own name does not resolve, its port does not answer (kubectl: `proxyconnect tcp`), or it answers the request for a tunnel with 407 (it wants credentials), 403 (its policy forbids it) or 502, 503 or 504 (it cannot reach the target itself). The finding names the stage. After a 502 or 504 the proxy may simply not be on the cluster's allow-list: only the proxy's egress address against that list can tell.",
        setting: "the proxy's URL and its policy",
        fix: "# Ask the proxy's operator to allow CONNECT to <host>:<port>. After a 502 or 504, list the proxy's egress address at the cluster.",
        docs: sources::AKS_CONN_FAIL,
        kubectl: &["proxyconnect tcp", "proxy authentication required", "bad gateway", "gateway timeout"],
        decided_by: "the direct probe without the proxy; after a 502 or 504, the proxy's egress address against the allow-list",
        predicate: Some(proxy_fails),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "client-proxy-settings-invalid",
        severity: Severity::Warning,
        title: "The proxy settings are not valid, or disagree with each other",
        needs: &[Need::Client],
        signature: "The proxy's URL has no scheme or port, has a scheme that the client does not know (`socks5h` is then looked up as a host name), or the upper-case and lower-case variables differ, so that curl and kubectl go different ways. The environment alone shows it. A proxy that is set well and fails is `client-proxy-fails`.",
        setting: "HTTPS_PROXY and https_proxy, NO_PROXY and no_proxy",
        fix: "export HTTPS_PROXY=http://<proxy>:<proxy port> https_proxy=http://<proxy>:<proxy port>   # both cases alike, with scheme and port",
        docs: sources::PROXY_VARIABLES,
        kubectl: &["lookup socks5h", "lookup http", "proxy: unknown scheme", "invalid proxy"],
        decided_by: "the environment alone",
        predicate: Some(proxy_settings_invalid),
        configuration: None,
    },
    Cause {
        code: "client-clock-skew",
        title: "The clock of this machine is wrong",
        needs: &[Need::Probe],
        signature: "The certificate counts as expired or not yet valid, and the local clock is more than five minutes off the `Date` of the endpoint's own answer. By the endpoint's time the certificate may be perfectly good. If the clocks agree, the certificate itself is at fault: `tls-certificate-expired`. A wrong clock also makes short-lived tokens fail with 401.",
        setting: "the local clock",
        fix: "sudo timedatectl set-ntp true",
        docs: sources::EKS_HYBRID_TOOL,
        kubectl: &["certificate has expired or is not yet valid"],
        decided_by: "the HTTP `Date` of two hosts against the local clock",
        predicate: Some(clock_skew),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "client-hosts-file-overrides-dns",
        title: "The hosts file overrides what DNS says",
        needs: &[Need::Client, Need::Probe],
        signature: "The system's lookup returns an address that no DNS server gave, because the hosts file names the endpoint. Providers change the addresses of their endpoints, so such a pin goes stale sooner or later. A resolver that gives old answers looks alike, but then the address comes from a server and not from a line of the file.",
        setting: "/etc/hosts",
        fix: "# Delete the line of /etc/hosts that names <host>.",
        docs: sources::EKS_CONTROL_PLANE,
        kubectl: &["i/o timeout", "connection refused", "no route to host"],
        decided_by: "the same name asked of a DNS server",
        predicate: Some(hosts_file_overrides_dns),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "client-local-route-captures-endpoint",
        title: "A local network of this machine captures the endpoint's address",
        needs: &[Need::Client, Need::Probe],
        signature: "DNS gives a private address, and this machine believes that the address lies in a network of its own: a container bridge such as 172.17.0.0/16, or the LAN at home. The packets never reach the VPN. Either nobody answers at all, or the error comes after about three seconds, when the neighbour lookup gives up. A client in the very subnet of the endpoint has the same route, but there the neighbour answers.",
        setting: "the local route table; the bridge's subnet",
        fix: "sudo ip route add <address>/32 dev <vpn-if>   # or move the bridge: `bip` in the container engine's settings",
        docs: sources::EKS_TROUBLESHOOTING,
        kubectl: &["no route to host", "i/o timeout"],
        decided_by: "`ip route get <address>`",
        predicate: Some(local_route_captures_endpoint),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "client-not-on-connected-network",
        title: "The endpoint is private and this vantage is on no network that leads there",
        needs: &[Need::Client, Need::Probe, Need::Facts],
        signature: "DNS gives private addresses only, which is right for a private cluster even from public resolvers, and nothing answers there; the packets leave by the default route towards the internet, where private addresses lead nowhere. On a connected network the same picture would mean a security group, a network ACL or a missing route. Only the provider's configuration, or a probe from inside the network, tells which.",
        setting: "the network of the vantage, or the cluster's public endpoint",
        fix: "# Join the network first: VPN, bastion, peering. AKS also takes commands from outside:\naz aks command invoke -g <rg> -n <cluster> --command \"kubectl get ns\"",
        docs: sources::EKS_PRIVATE_ACCESS,
        kubectl: &["i/o timeout", "no route to host", "network is unreachable"],
        decided_by: "the same probe from a host inside the cluster's network",
        predicate: Some(not_on_connected_network),
        ..BY_CONFIGURATION
    },
    Cause {
        code: "client-no-path-for-address-family",
        title: "This machine has no path for one address family",
        needs: &[Need::Probe],
        signature: "Every address of one family is unreachable within a millisecond, because this machine has no route for that family. While the other family works this is only good to know. It is the cause when the endpoint has addresses of the missing family only: IPv4 clusters of EKS publish no AAAA record. A timeout among the attempts is something else, because then packets did leave.",
        setting: "the routes of this machine; kubernetesNetworkConfig.ipFamily",
        fix: "# Use a vantage that has this address family, or give this one NAT64 and DNS64.",
        docs: sources::EKS_NETWORK,
        kubectl: &["network is unreachable", "no route to host", "cannot assign requested address"],
        decided_by: "the other family, and the time to the error: 0 ms is local",
        predicate: Some(no_path_for_address_family),
        ..BY_CONFIGURATION
    },
];

fn skips_tls_verification(view: &CellView<'_>) -> Option<Told> {
    let client = view.client.filter(|client| client.skips_tls_verification)?;
    let cluster = client.cluster.as_deref().unwrap_or("<name>");
    Some(
        Told::new(
            Confidence::Certain,
            format!("The kubeconfig says `insecure-skip-tls-verify: true` for cluster {cluster}, so kubectl accepts any certificate."),
        )
        .and("kubereach verified the certificate all the same; the TLS stage shows the result.")
        .setting("clusters[].cluster.insecure-skip-tls-verify = true")
        .fix(format!(
            "kubectl config set-cluster {} --insecure-skip-tls-verify=false --certificate-authority=<ca.pem> --embed-certs=true",
            shell_word(cluster)
        )),
    )
}

fn client_certificate_expired(view: &CellView<'_>) -> Option<Told> {
    let ends = view.client?.client_certificate_expires?;
    let left = ends.as_second().saturating_sub(view.now.as_second());
    let end = lookups::moment_words(ends);
    if left <= 0 {
        return Some(
            Told::new(Confidence::Certain, format!("The client certificate of the kubeconfig ended on {end}."))
                .and("The network has no part in it: the API server answers 401 to whoever presents it."),
        );
    }
    (left <= CERTIFICATE_RUNS_OUT).then(|| {
        Told::new(Confidence::Certain, format!("The client certificate of the kubeconfig ends on {end}."))
            .severity(Severity::Warning)
    })
}

fn exec_plugin_unavailable(view: &CellView<'_>) -> Option<Told> {
    let plugin = view.client?.exec.as_ref()?;
    let status = deciding(view).find(|attempt| attempt.http.outcome == HttpOutcome::ApiServer)?.http.status;
    let status = status.map(|status| format!(" {status}")).unwrap_or_default();
    let network = format!("The network is fine: a Kubernetes API server answered{status}.");
    if !plugin.found {
        return Some(
            Told::new(Confidence::Certain, network)
                .and(format!(
                    "The kubeconfig gets its credentials from `{}`, and no such command is on PATH.",
                    plugin.command
                ))
                .setting(format!("users[].user.exec.command = {}", plugin.command))
                .fix(format!("# Install `{}`, or put its folder on PATH.", plugin.command)),
        );
    }
    let service = plugin.token_service.as_deref().filter(|_| plugin.token_service_reachable == Some(false))?;
    Some(
        Told::new(Confidence::Likely, network)
            .and(format!("`{}` gets its token from {service}, which could not be connected to.", plugin.command))
            .setting(format!("the path to {service}; in a VPC, the endpoint com.amazonaws.<region>.sts")),
    )
}

fn proxy_not_bypassed(view: &CellView<'_>) -> Option<Told> {
    let proxy = view.observation.proxy.as_ref()?;
    let direct = view.other_path.filter(|direct| direct.proxy.is_none() && reaches(direct))?;
    // Where kubectl goes directly, a proxy that does not work hinders nobody.
    let unused = view.client.is_some_and(|client| client.proxy.used.is_none());
    if view.observed == Reachability::Reachable || unused {
        return None;
    }
    let through = match proxy_trouble(proxy) {
        Some(trouble) => trouble.words,
        None => failed(view).next().map_or_else(|| "nothing answered behind it".to_owned(), attempt_words),
    };
    let direct: Vec<IpAddr> =
        addresses(direct.attempts.iter().filter(|attempt| attempt.observed == Reachability::Reachable));
    let source = view.client.and_then(|client| client.proxy.used.as_ref()).map(|setting| setting.source.clone());
    let because = source.map(|source| format!(", because of {source}")).unwrap_or_default();
    Some(
        Told::new(
            Confidence::Certain,
            format!("kubectl goes through the proxy {}{because}, and there it fails: {through}.", proxy.url),
        )
        .and(format!("Directly, without the proxy, an API server answers at {}.", addresses_words(&direct)))
        .fix(format!("export NO_PROXY=\"$NO_PROXY\",{0} no_proxy=\"$NO_PROXY\",{0}", shell_word(view.host))),
    )
}

fn proxy_bypassed_but_needed(view: &CellView<'_>) -> Option<Told> {
    let client = view.client?;
    let bypassed = client.proxy.bypassed.as_ref()?;
    let entry = client.proxy.no_proxy_entry.as_deref().unwrap_or("an entry");
    let proxied = view.other_path.filter(|proxied| proxied.proxy.is_some() && reaches(proxied))?;
    if view.observation.proxy.is_some() || view.observed != Reachability::Unreachable {
        return None;
    }
    let direct = failed(view)
        .next()
        .map(attempt_words)
        .or_else(|| system(view).map(lookup_words))
        .unwrap_or_else(|| "nothing answered".to_owned());
    let url = proxied.proxy.as_ref().map(|proxy| proxy.url.as_str()).unwrap_or_default();
    Some(
        Told::new(
            Confidence::Certain,
            format!(
                "`{entry}` in NO_PROXY matches {}, so kubectl dials directly, and that fails: {direct}.",
                view.host
            ),
        )
        .and(format!("Through the proxy {url} ({}) an API server answers.", bypassed.source))
        .setting(format!("NO_PROXY contains `{entry}`"))
        .fix(format!("# Remove `{entry}` from NO_PROXY and no_proxy.")),
    )
}

fn proxy_fails(view: &CellView<'_>) -> Option<Told> {
    let proxy = view.observation.proxy.as_ref()?;
    if view.observed == Reachability::Reachable
        || view.other_path.is_some_and(|direct| direct.proxy.is_none() && reaches(direct))
    {
        return None;
    }
    let trouble = proxy_trouble(proxy)?;
    let mut told = Told::new(
        trouble.confidence,
        format!("The proxy {} fails at the stage {}: {}.", proxy.url, trouble.stage, trouble.words),
    )
    .setting(format!("the proxy {}", proxy.url))
    .fix(trouble.fix.replace("<target>", &format!("{}:{}", view.host, view.port)));
    if view.other_path.is_some() {
        told = told.and("Directly, without the proxy, it fails too.");
    }
    if proxy.tunnel.outcome == TunnelOutcome::TargetUnreachable {
        told = told.and("Not known: whether the cluster's allow-list holds the proxy's egress address, or the endpoint is unreachable for everybody. The allow-list, or a probe from another vantage, decides.");
    }
    Some(told)
}

/// The stage at which a proxy fails, in words.
struct ProxyTrouble {
    stage: &'static str,
    words: String,
    confidence: Confidence,
    fix: &'static str,
}

fn proxy_trouble(proxy: &ProxyObservation) -> Option<ProxyTrouble> {
    let trouble = |stage, words, confidence, fix| Some(ProxyTrouble { stage, words, confidence, fix });
    if let Some(lookup) = proxy.dns.as_ref().filter(|lookup| !answered(lookup)) {
        let words = format!("its name {} does not resolve, {}", lookup.name, lookup.outcome.label());
        return trouble(
            "name of the proxy",
            words,
            Confidence::Certain,
            "# Correct the proxy's host name, or unset HTTPS_PROXY.",
        );
    }
    if proxy.tcp.outcome != TcpOutcome::Connected {
        let words = format!("tcp {} after {}", proxy.tcp.outcome.label(), milliseconds_words(proxy.tcp.ms));
        return trouble(
            "connection to the proxy",
            words,
            Confidence::Certain,
            "# Start the proxy, correct its address and port, or unset HTTPS_PROXY.",
        );
    }
    if let Some(tls) = proxy.tls.as_ref().filter(|tls| tls.outcome != TlsOutcome::Verified) {
        let words = format!("tls {}", tls.outcome.label());
        return trouble(
            "TLS with the proxy",
            words,
            Confidence::Certain,
            "# Trust the proxy's own certificate authority, or use its http:// port.",
        );
    }
    let tunnel = &proxy.tunnel;
    let status = tunnel.status.map(|status| format!(" (status {status})")).unwrap_or_default();
    let (words, confidence, fix) = match tunnel.outcome {
        TunnelOutcome::Established | TunnelOutcome::Skipped => return None,
        TunnelOutcome::AuthenticationRequired => (
            format!("it wants other credentials{status}"),
            Confidence::Certain,
            "export HTTPS_PROXY=http://<user>:<password>@<proxy>:<proxy port>   # credentials that the proxy accepts",
        ),
        TunnelOutcome::Denied => (
            format!("its policy forbids the target{status}"),
            Confidence::Certain,
            "# Ask the proxy's operator to allow CONNECT to <target>.",
        ),
        TunnelOutcome::TargetUnreachable => (
            format!("it cannot reach the target itself{status}"),
            Confidence::Likely,
            "# Ask the proxy's operator for the error in its log for <target>; if its egress address is missing from the cluster's allow-list, add it there.",
        ),
        TunnelOutcome::Timeout => (
            "it took the request for a tunnel and did not answer in time".to_owned(),
            Confidence::Likely,
            "# Ask the proxy's operator why a CONNECT to <target> gets no answer.",
        ),
        TunnelOutcome::Closed => (
            format!("it closed the connection instead of answering the request for a tunnel{status}"),
            Confidence::Likely,
            "# Check that the port speaks the proxy's protocol, and whether its policy allows <target>.",
        ),
        TunnelOutcome::NotAProxy => (
            format!("what answers there is not such a proxy{status}"),
            Confidence::Certain,
            "# Correct scheme and port of the proxy's URL.",
        ),
    };
    trouble("tunnel", words, confidence, fix)
}

fn proxy_settings_invalid(view: &CellView<'_>) -> Option<Told> {
    let proxy = &view.client?.proxy;
    let (first, rest) = proxy.problems.split_first()?;
    let mut told = Told::new(Confidence::Certain, first.clone());
    for problem in rest {
        told = told.and(problem.clone());
    }
    // With a proxy that cannot be used at all, this is what keeps kubectl from the cluster.
    let unusable = proxy.used.as_ref().is_some_and(|setting| setting.target.is_none());
    if unusable && view.observed != Reachability::Reachable {
        told = told.severity(Severity::Error);
    }
    Some(told)
}

fn clock_skew(view: &CellView<'_>) -> Option<Told> {
    let ahead =
        |attempt: &Attempt| attempt.http.clock_ahead_seconds.filter(|seconds| seconds.unsigned_abs() > CLOCK_TOLERANCE);
    let attempt = deciding(view).find(|attempt| ahead(attempt).is_some())?;
    let seconds = ahead(attempt)?;
    let direction = if seconds > 0 { "ahead of" } else { "behind" };
    let clocks =
        format!("The local clock is {} {direction} the endpoint's `Date`.", duration_words(seconds.unsigned_abs()));
    if !matches!(attempt.tls.outcome, TlsOutcome::Expired | TlsOutcome::NotYetValid) {
        return Some(
            Told::new(Confidence::Likely, clocks)
                .and("The certificate is still inside its validity; short-lived tokens may be refused with 401 all the same.")
                .severity(Severity::Warning),
        );
    }
    let by_endpoint = view.now.as_second().saturating_sub(seconds);
    let valid = attempt.tls.chain.first().map(|leaf| {
        leaf.not_before.is_none_or(|begin| begin.as_second() <= by_endpoint)
            && leaf.not_after.is_none_or(|end| by_endpoint <= end.as_second())
    });
    let told = Told::new(
        if valid == Some(true) { Confidence::Certain } else { Confidence::Likely },
        format!("The certificate counts as {} by the local clock.", attempt.tls.outcome.label()),
    )
    .and(clocks);
    Some(match valid {
        Some(true) => told.and("By the endpoint's time the certificate is valid."),
        Some(false) => {
            told.and("By the endpoint's time the certificate would not be valid either: it needs renewal as well.")
        }
        None => told,
    })
}

fn hosts_file_overrides_dns(view: &CellView<'_>) -> Option<Told> {
    let pinned = system(view)?;
    let DnsSource::HostsFile { path, line, text } = &pinned.source else { return None };
    let by_dns: Vec<IpAddr> = others(view)
        .filter(|lookup| answered(lookup) && !from_hosts_file(lookup))
        .flat_map(|lookup| lookup.addresses.iter().copied())
        .collect();
    let asked = others(view).any(|lookup| lookup.outcome.is_message());
    let strangers: Vec<IpAddr> = pinned.addresses.iter().copied().filter(|address| !by_dns.contains(address)).collect();
    if !asked || strangers.is_empty() {
        return None;
    }
    let told = Told::new(
        Confidence::Likely,
        format!(
            "Line {line} of {path} pins {} to {}, which no DNS server gave.",
            view.host,
            addresses_words(&strangers)
        ),
    );
    let told = match others(view).find(|lookup| answered(lookup)).or_else(|| others(view).next()) {
        Some(lookup) => told.and(format!("{}.", lookup_words(lookup))),
        None => told,
    };
    let told = match by_dns.iter().find(|address| address_reaches(view, **address)) {
        Some(address) => told.and(format!("At {address}, which DNS gives, an API server answers.")),
        None => told,
    };
    let told = told
        .setting(format!("{path}, line {line}: `{}`", text.trim()))
        .fix(format!("# Delete line {line} of {path}: `{}`", text.trim()));
    // A pin that still works is a warning: providers change addresses.
    let works = view.observed == Reachability::Reachable && !lookups::is_partial(view);
    Some(if works && (view.intended_via.is_none() || view.intended_via == view.via) {
        told.severity(Severity::Warning)
    } else {
        told
    })
}

fn local_route_captures_endpoint(view: &CellView<'_>) -> Option<Told> {
    let captured: Vec<&Attempt> = failed(view).filter(|attempt| is_captured(attempt)).collect();
    let attempt = captured.iter().find(|attempt| captures_surely(attempt)).or_else(|| captured.first())?;
    let route = attempt.route.as_ref()?;
    let address = attempt.address?;
    let interface = route.interface.as_deref().unwrap_or("a local interface");
    let kind = if route.bridge { "the bridge" } else { "the directly connected network of" };
    let told = Told::new(
        if captures_surely(attempt) { Confidence::Likely } else { Confidence::Possible },
        format!("{}.", attempt_words(attempt)),
    )
    .and(format!("This machine sends packets for {address} into {kind} {interface}; no router sees them."));
    let told = if route.neighbour_failed {
        told.and("Nobody there answers for the address: the neighbour lookup failed.")
    } else if captures_surely(attempt) {
        told
    } else {
        told.and("If this machine really is in the endpoint's subnet, a filter at the endpoint looks the same (`net-filtered-silently`); `ip neigh` and the subnet of the endpoint decide.")
    };
    Some(told.setting(format!("the route to {address} by {interface}")).fix(format!(
        "sudo ip route add {address}/{} dev <vpn-if>   # or move the network of {interface} to another range",
        prefix_length(address)
    )))
}

fn is_captured(attempt: &Attempt) -> bool {
    let local = attempt.route.as_ref().is_some_and(|route| (route.on_link || route.bridge) && !route.tunnel);
    let loopback = attempt.address.is_some_and(|address| address.is_loopback());
    let from_a_host = attempt.tcp.icmp.as_ref().is_some_and(|error| error.from.is_some());
    let dead = matches!(attempt.tcp.outcome, TcpOutcome::Timeout | TcpOutcome::Unreachable);
    local && !loopback && !from_a_host && dead && attempt.address_class == AddressClass::Private
}

/// A bridge never leads to a cloud; a neighbour that does not answer (at once, or after the three seconds that the
/// kernel takes to give up) is none.
fn captures_surely(attempt: &Attempt) -> bool {
    attempt.route.as_ref().is_some_and(|route| route.bridge || route.neighbour_failed)
        || (attempt.tcp.outcome == TcpOutcome::Unreachable && attempt.tcp.ms > NEIGHBOUR_MS)
}

fn server_not_this_cluster(view: &CellView<'_>) -> Option<Told> {
    changes::server_not_this_cluster(view).or_else(|| names::server_not_this_cluster(view))
}

fn not_on_connected_network(view: &CellView<'_>) -> Option<Told> {
    if let Some(told) = paths::not_connected(view) {
        return Some(told);
    }
    let inside = view.configuration.is_some_and(|configured| configured.stands_in_a_network());
    if inside || view.configured == Reachability::Reachable {
        // The facts know where it is, and what leads from there.
        return None;
    }
    let dead = |attempt: &Attempt| matches!(attempt.tcp.outcome, TcpOutcome::Timeout | TcpOutcome::Unreachable);
    let by_default = |attempt: &Attempt| {
        attempt.route.as_ref().is_some_and(|route| route.by_default_route && !route.tunnel && !route.bridge)
    };
    if view.observation.proxy.is_some()
        || !lookups::all_of_class(view, AddressClass::Private)
        || !deciding(view).all(|attempt| dead(attempt) && by_default(attempt))
    {
        return None;
    }
    let count = deciding(view).count();
    let interface =
        deciding(view).find_map(|attempt| attempt.route.as_ref()?.interface.as_deref()).unwrap_or("unknown");
    Some(
        Told::new(
            Confidence::Possible,
            format!("{count} of {count} addresses are private and did not answer: {}.", addresses_words(&addresses(deciding(view)))),
        )
        .and(format!("Packets to them leave by the default route (interface {interface}); no VPN or more specific route leads there."))
        .and("A private answer is right for a private endpoint and proves nothing about the path.")
        .and("Rivals: a security group or network ACL, a missing route or peering (`net-filtered-silently` lists them). The same probe from a host inside the cluster's network decides."),
    )
}

fn no_path_for_address_family(view: &CellView<'_>) -> Option<Told> {
    [true, false].into_iter().find_map(|ipv6| missing_family(view, ipv6))
}

fn missing_family(view: &CellView<'_>, ipv6: bool) -> Option<Told> {
    let decides = || view.observation.attempts.iter().filter(|attempt| attempt.decides);
    let of_family = |attempt: &&Attempt| attempt.address.is_some_and(|address| address.is_ipv6() == ipv6);
    // What the vantage's own limits forbid is skipped, too, and stands among the undecided.
    let left_out = |attempt: &Attempt| {
        let forbidden = attempt.address.is_some_and(|address| view.observation.undecided.contains(&address));
        attempt.skipped.is_some() && !forbidden
    };
    let lacks_route = |attempt: &Attempt| {
        left_out(attempt)
            || (attempt.tcp.outcome == TcpOutcome::Unreachable
                && attempt.tcp.ms <= LOCAL_MS
                && attempt.tcp.icmp.is_none())
    };
    let count = decides().filter(of_family).count();
    if count == 0 || !decides().filter(of_family).all(lacks_route) {
        return None;
    }
    let name = if ipv6 { "IPv6" } else { "IPv4" };
    let family = addresses(decides().filter(of_family));
    let seen = format!(
        "{count} of {count} {name} addresses cannot be dialled: this machine has no route for {name} ({}).",
        addresses_words(&family)
    );
    let connected = |attempt: &Attempt| attempt.tcp.outcome == TcpOutcome::Connected;
    if decides().any(|attempt| !of_family(&attempt) && connected(attempt)) {
        return Some(
            Told::new(Confidence::Certain, seen)
                .and("The other address family connects, so kubectl works.")
                .severity(Severity::Info),
        );
    }
    if decides().any(|attempt| !of_family(&attempt)) {
        // The other family has addresses and fails for a reason of its own.
        return Some(Told::new(Confidence::Certain, seen).severity(Severity::Info));
    }
    let skipped = decides().all(left_out);
    let other_route = view.observation.connectivity.as_ref().is_some_and(|connectivity| {
        if ipv6 {
            connectivity.ipv4_route && !connectivity.ipv6_route
        } else {
            connectivity.ipv6_route && !connectivity.ipv4_route
        }
    });
    // An IPv6 address without a way out is common; IPv4 without one is a route that is missing, not a family.
    let no_way_out = ipv6
        && view.observation.dns.first().is_some_and(|lookup| {
            lookup
                .queries
                .iter()
                .any(|query| (query.record_type == "AAAA") != ipv6 && query.outcome == DnsOutcome::Nodata)
        });
    (skipped || other_route || no_way_out).then(|| {
        Told::new(Confidence::Certain, seen)
            .and(format!("{} has {name} addresses only.", if view.host.is_empty() { "The endpoint" } else { view.host }))
            .fix(format!("# Use a vantage that has {name}, or give this one a route for it (for an IPv6-only host: NAT64 and DNS64)."))
    })
}

fn duration_words(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

const fn prefix_length(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// Seconds that two honest clocks may differ.
/// A week: time enough to renew.
const CERTIFICATE_RUNS_OUT: i64 = 7 * 24 * 3600;
const CLOCK_TOLERANCE: u64 = 300;
/// An error faster than this never left the machine.
const LOCAL_MS: f64 = 1.0;
/// An error later than this is the neighbour lookup giving up.
const NEIGHBOUR_MS: f64 = 1000.0;

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use kubereach_probes::Certificate;

    use super::*;
    use crate::{
        causes::testing::*,
        client::{ClientEnvironment, ExecPlugin, ProxyEnvironment, ProxySetting},
        report::Verdict,
    };

    fn setting(source: &str) -> ProxySetting {
        ProxySetting { source: source.to_owned(), target: None }
    }

    #[test]
    fn a_kubeconfig_that_skips_verification_is_warned_about_even_when_all_is_well() {
        let scene = Scene::new().saw(vec![], vec![reached("198.51.100.20")]).with(|scene| {
            scene.verdict = Verdict::Match;
            scene.client = Some(ClientEnvironment { skips_tls_verification: true, ..ClientEnvironment::default() });
        });
        assert_eq!(scene.finding("client-kubeconfig-skips-tls-verification").unwrap().severity, Severity::Warning);
        assert!(scene.errors().is_empty());
    }

    #[test]
    fn a_missing_plugin_is_told_only_when_the_network_is_fine() {
        let exec =
            ExecPlugin { command: "aws".into(), found: false, token_service: None, token_service_reachable: None };
        let client = ClientEnvironment { exec: Some(exec), ..ClientEnvironment::default() };
        let fine = Scene::new().saw(vec![], vec![reached("198.51.100.20")]).with(|scene| {
            scene.verdict = Verdict::Match;
            scene.client = Some(client.clone());
        });
        assert_eq!(fine.errors(), ["client-exec-plugin-unavailable"]);
        let broken = Scene::new().saw(vec![], vec![silent("198.51.100.20")]).with(|scene| scene.client = Some(client));
        assert!(broken.finding("client-exec-plugin-unavailable").is_none());
    }

    #[test]
    fn a_token_service_out_of_reach_is_told() {
        let exec = ExecPlugin {
            command: "aws".into(),
            found: true,
            token_service: Some("sts.eu-west-1.amazonaws.com".into()),
            token_service_reachable: Some(false),
        };
        let scene = Scene::new().saw(vec![], vec![reached("198.51.100.20")]).with(|scene| {
            scene.verdict = Verdict::Match;
            scene.client = Some(ClientEnvironment { exec: Some(exec), ..ClientEnvironment::default() });
        });
        let finding = scene.finding("client-exec-plugin-unavailable").unwrap();
        assert!(finding.evidence.iter().any(|sentence| sentence.contains("sts.eu-west-1.amazonaws.com")));
    }

    #[test]
    fn a_proxy_in_the_way_is_told_apart_from_a_proxy_that_fails() {
        let behind = || {
            Scene::new().saw(vec![], vec![]).with(|scene| {
                scene.observation.proxy = Some(proxy(TunnelOutcome::Denied, Some(403)));
            })
        };
        let direct_works =
            behind().with(|scene| scene.other_path = Some(observation(vec![], vec![reached("198.51.100.20")])));
        assert_eq!(direct_works.errors(), ["client-proxy-not-bypassed"]);
        // Where kubectl goes directly, the proxy that it does not use is nobody's fault.
        let unused = direct_works.with(|scene| scene.client = Some(ClientEnvironment::default()));
        assert!(unused.finding("client-proxy-not-bypassed").is_none());
        let direct_fails =
            behind().with(|scene| scene.other_path = Some(observation(vec![], vec![silent("198.51.100.20")])));
        assert_eq!(direct_fails.errors(), ["client-proxy-fails"]);
        assert_eq!(behind().errors(), ["client-proxy-fails"]);
    }

    #[test]
    fn every_stage_of_a_proxy_has_its_words() {
        let told = |observed: ProxyObservation| {
            let scene = Scene::new().saw(vec![], vec![]).with(|scene| scene.observation.proxy = Some(observed));
            scene.finding("client-proxy-fails").map(|finding| (finding.confidence, finding.evidence.join(" ")))
        };
        let (confidence, words) = told(proxy(TunnelOutcome::AuthenticationRequired, Some(407))).unwrap();
        assert_eq!(confidence, Confidence::Certain);
        assert!(words.contains("407"), "{words}");
        let (confidence, words) = told(proxy(TunnelOutcome::TargetUnreachable, Some(502))).unwrap();
        assert_eq!(confidence, Confidence::Likely);
        assert!(words.contains("allow-list"), "{words}");
        let mut closed = proxy(TunnelOutcome::Skipped, None);
        closed.tcp = tcp(TcpOutcome::Refused, 0.2);
        assert!(told(closed).unwrap().1.contains("connection to the proxy"));
        let mut nameless = proxy(TunnelOutcome::Skipped, None);
        nameless.dns = Some(no_answer("system", DnsOutcome::Nxdomain));
        assert!(told(nameless).unwrap().1.contains("nxdomain"));
        assert!(told(proxy(TunnelOutcome::Established, Some(200))).is_none());
    }

    #[test]
    fn an_entry_of_no_proxy_that_shuts_kubectl_out_is_told() {
        let mut proxied = observation(vec![], vec![reached("198.51.100.20")]);
        proxied.proxy = Some(proxy(TunnelOutcome::Established, Some(200)));
        let scene = Scene::new().saw(vec![no_answer("system", DnsOutcome::Nxdomain)], vec![]).with(|scene| {
            scene.other_path = Some(proxied);
            scene.client = Some(ClientEnvironment {
                proxy: ProxyEnvironment {
                    bypassed: Some(setting("HTTPS_PROXY")),
                    no_proxy_entry: Some(".example.com".into()),
                    ..ProxyEnvironment::default()
                },
                ..ClientEnvironment::default()
            });
        });
        assert_eq!(scene.errors(), ["client-proxy-bypassed-but-needed"]);
        assert!(scene.findings()[0].fix.as_ref().unwrap().contains(".example.com"));
    }

    #[test]
    fn settings_that_disagree_are_a_warning_and_unusable_ones_an_error() {
        let client = |used| ClientEnvironment {
            proxy: ProxyEnvironment {
                used,
                problems: vec!["HTTPS_PROXY has no scheme.".into()],
                ..ProxyEnvironment::default()
            },
            ..ClientEnvironment::default()
        };
        let fine = Scene::new().saw(vec![], vec![reached("198.51.100.20")]).with(|scene| {
            scene.verdict = Verdict::Match;
            scene.client = Some(client(None));
        });
        assert_eq!(fine.finding("client-proxy-settings-invalid").unwrap().severity, Severity::Warning);
        let unusable =
            Scene::new().saw(vec![], vec![]).with(|scene| scene.client = Some(client(Some(setting("HTTPS_PROXY")))));
        assert_eq!(unusable.errors(), ["client-proxy-settings-invalid"]);
    }

    #[test]
    fn a_clock_that_is_off_is_to_blame_only_beyond_five_minutes() {
        let scene = |seconds: i64| {
            let mut attempt = shook("198.51.100.20", TlsOutcome::NotYetValid);
            attempt.http.clock_ahead_seconds = Some(seconds);
            attempt.tls.chain = vec![Certificate {
                subject: "CN=kube-apiserver".into(),
                issuer: "CN=kubernetes".into(),
                not_before: Some(Timestamp::from_second(NOW + 3600).unwrap()),
                not_after: None,
                sha256: String::new(),
                names: vec![],
            }];
            Scene::new().saw(vec![], vec![attempt])
        };
        let behind = scene(-7200).finding("client-clock-skew").unwrap();
        assert_eq!((behind.severity, behind.confidence), (Severity::Error, Confidence::Certain));
        assert!(behind.evidence.iter().any(|sentence| sentence.contains("2 h behind")), "{:?}", behind.evidence);
        assert_eq!(scene(-600).finding("client-clock-skew").unwrap().confidence, Confidence::Likely);
        assert!(scene(-20).finding("client-clock-skew").is_none());
    }

    #[test]
    fn a_hosts_file_line_is_told_when_dns_disagrees() {
        let mut pinned = answer("system", &["198.51.100.99"]);
        let text = "198.51.100.99 api.prod.example.com".to_owned();
        pinned.source = DnsSource::HostsFile { path: "/etc/hosts".into(), line: 7, text };
        let stale = Scene::new().saw(
            vec![pinned.clone(), answer("system-dns", &["198.51.100.20"])],
            vec![silent("198.51.100.99"), beside(reached("198.51.100.20"))],
        );
        assert_eq!(stale.errors()[0], "client-hosts-file-overrides-dns");
        assert!(stale.findings()[0].fix.as_ref().unwrap().contains("line 7"));
        let agrees = Scene::new()
            .saw(vec![pinned.clone(), answer("system-dns", &["198.51.100.99"])], vec![silent("198.51.100.99")]);
        assert!(agrees.finding("client-hosts-file-overrides-dns").is_none());
        let works = Scene::new()
            .saw(vec![pinned, answer("system-dns", &["198.51.100.20"])], vec![reached("198.51.100.99")])
            .with(|scene| scene.verdict = Verdict::Match);
        assert_eq!(works.finding("client-hosts-file-overrides-dns").unwrap().severity, Severity::Warning);
    }

    #[test]
    fn a_bridge_captures_and_a_tunnel_does_not() {
        let scene = |attempt| Scene::new().saw(vec![answer("system", &["172.17.3.4"])], vec![attempt]);
        let captured = |attempt| scene(attempt).finding("client-local-route-captures-endpoint");
        let bridge = captured(routed(silent("172.17.3.4"), |route| (route.on_link, route.bridge) = (true, true)));
        assert_eq!(bridge.unwrap().confidence, Confidence::Likely);
        let late = attempt("172.17.3.4", TcpOutcome::Unreachable, 3100.0);
        let late = captured(routed(late, |route| route.on_link = true));
        assert_eq!(late.unwrap().confidence, Confidence::Likely);
        let same_subnet = captured(routed(silent("172.17.3.4"), |route| route.on_link = true));
        assert_eq!(same_subnet.unwrap().confidence, Confidence::Possible);
        let tunnel = captured(routed(silent("172.17.3.4"), |route| (route.on_link, route.tunnel) = (true, true)));
        assert!(tunnel.is_none());
        let public = captured(routed(silent("198.51.100.4"), |route| route.on_link = true));
        assert!(public.is_none());
    }

    #[test]
    fn a_private_endpoint_by_the_default_route_is_possible_only() {
        let by_default = |to| routed(silent(to), |route| route.by_default_route = true);
        let scene = Scene::new().saw(vec![answer("system", &["10.0.1.5"])], vec![by_default("10.0.1.5")]);
        assert_eq!(scene.finding("client-not-on-connected-network").unwrap().confidence, Confidence::Possible);
        let specific =
            Scene::new().saw(vec![answer("system", &["10.0.1.5"])], vec![routed(silent("10.0.1.5"), |_| {})]);
        assert!(specific.finding("client-not-on-connected-network").is_none());
        let public = Scene::new().saw(vec![answer("system", &["198.51.100.5"])], vec![by_default("198.51.100.5")]);
        assert!(public.finding("client-not-on-connected-network").is_none());
    }

    #[test]
    fn a_family_without_a_route_is_info_while_the_other_works() {
        let mut skipped = attempt("2001:db8::20", TcpOutcome::Unreachable, 0.0);
        skipped.skipped = Some("no route for IPv6".into());
        let works = Scene::new()
            .saw(vec![], vec![reached("198.51.100.20"), skipped.clone()])
            .with(|scene| scene.verdict = Verdict::Match);
        assert_eq!(works.finding("client-no-path-for-address-family").unwrap().severity, Severity::Info);
        let only = Scene::new().saw(vec![], vec![skipped]);
        assert_eq!(only.errors(), ["client-no-path-for-address-family"]);
        let timeout = Scene::new().saw(vec![], vec![silent("2001:db8::20")]);
        assert!(timeout.finding("client-no-path-for-address-family").is_none());
        // What an agent's own limits forbid says nothing of routes.
        let mut forbidden = attempt("fd00:ec2::254", TcpOutcome::LocalError, 0.0);
        forbidden.skipped = Some("this vantage may not".into());
        let limited = Scene::new()
            .saw(vec![], vec![reached("198.51.100.20"), forbidden])
            .with(|scene| scene.observation.undecided = vec!["fd00:ec2::254".parse().unwrap()]);
        assert!(limited.finding("client-no-path-for-address-family").is_none());
    }
}

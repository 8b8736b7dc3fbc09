//! From a symptom to the causes that fit: what `explain` makes of a pasted error of kubectl, and what an unexplained
//! cell came close to.

use std::net::IpAddr;

use kubereach_probes::{AddressClass, AddressClasses, DnsOutcome, HttpOutcome, TcpOutcome, TlsOutcome};

use super::{
    CellView, all,
    lookups::{all_of_class, all_silent, answered, failed, is_partial, system},
};

/// One cause that fits a text, in order of probability.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ranked {
    /// The cause's code.
    pub code: &'static str,
    /// Which words of the text point to it.
    pub why: String,
    /// The one next probe or fact that tells it from the others.
    pub decided_by: &'static str,
}

/// Something that people see, and what may be behind it.
#[derive(Clone, Copy, Debug)]
pub struct Symptom {
    /// Short name, unique.
    pub name: &'static str,
    /// What it means, as a clause.
    pub meaning: &'static str,
    /// Lower-case fragments of the text: one of these groups must be there whole.
    pub words: &'static [&'static [&'static str]],
    /// Lower-case fragments that must not be there.
    pub without: &'static [&'static str],
    /// Class that the dialled address must have, where the text names one.
    pub address: Option<AddressClass>,
    /// Codes, most probable first.
    pub candidates: &'static [&'static str],
    /// The one next probe or fact that splits them.
    pub splits: &'static str,
}

/// Ranks the causes that fit an error text of kubectl (or of a node's bootstrap), most probable first.
///
/// Any text will do; only its first 64 KiB are read. Empty when nothing in it is known.
#[must_use]
pub fn rank(text: &str) -> Vec<Ranked> {
    let text = normalised(text);
    let dialled = dialled_class(&text);
    let mut ranked: Vec<Ranked> = Vec::new();
    for symptom in SYMPTOMS {
        let Some(words) = symptom.found_in(&text, dialled) else { continue };
        let quoted: Vec<String> = words.iter().map(|word| format!("`{}`", word.trim())).collect();
        let why = format!("{}: {}", quoted.join(" and "), symptom.meaning);
        for code in ordered(symptom, &text) {
            if !ranked.iter().any(|known| known.code == code) && fits_provider(code, &text) {
                ranked.push(Ranked { code, why: why.clone(), decided_by: symptom.splits });
            }
        }
    }
    if ranked.is_empty() {
        ranked.extend(all().filter(|cause| fits_provider(cause.code, &text)).filter_map(|cause| {
            let word = cause.kubectl.iter().find(|word| contains(&text, word))?;
            let why = format!("`{word}` is what kubectl prints in this case");
            Some(Ranked { code: cause.code, why, decided_by: cause.decided_by })
        }));
    }
    ranked
}

/// The symptom that an observation shows.
pub(super) fn seen_in(view: &CellView<'_>) -> Option<&'static Symptom> {
    let name = if is_partial(view) {
        "some-addresses"
    } else if let Some(lookup) = system(view).filter(|lookup| !answered(lookup)) {
        match lookup.outcome {
            DnsOutcome::Nxdomain | DnsOutcome::Nodata | DnsOutcome::Answer => "no-such-host",
            _ => "resolver-fails",
        }
    } else if all_silent(view) {
        if all_of_class(view, AddressClass::Private) { "private-silent" } else { "public-silent" }
    } else {
        let attempt = failed(view).next()?;
        match (attempt.tcp.outcome, attempt.tls.outcome) {
            (TcpOutcome::Timeout, _) if attempt.address_class == AddressClass::Private => "private-silent",
            (TcpOutcome::Timeout, _) => "public-silent",
            (TcpOutcome::Refused, _) => "refused",
            (TcpOutcome::Unreachable | TcpOutcome::Prohibited | TcpOutcome::LocalError, _) => "no-route",
            (_, TlsOutcome::Timeout) => "handshake-timeout",
            (TcpOutcome::Reset, _) | (_, TlsOutcome::Reset | TlsOutcome::Closed | TlsOutcome::Alert) => "cut-off",
            (_, TlsOutcome::Untrusted | TlsOutcome::NotTls) => "unknown-authority",
            (_, TlsOutcome::NameMismatch) => "valid-for-other-names",
            (_, TlsOutcome::Expired) => "expired",
            (_, TlsOutcome::NotYetValid) => "not-yet-valid",
            _ if matches!(attempt.http.outcome, HttpOutcome::Timeout | HttpOutcome::Reset) => "no-response",
            _ => return None,
        }
    };
    SYMPTOMS.iter().find(|symptom| symptom.name == name)
}

impl Symptom {
    /// The fragments that were found, when the symptom fits.
    fn found_in(&self, text: &str, dialled: Option<AddressClass>) -> Option<&'static [&'static str]> {
        let class_fits = match (self.address, dialled) {
            (Some(wanted), Some(found)) => wanted == found,
            _ => true,
        };
        let spoiled = self.without.iter().any(|word| contains(text, word));
        let found = self.words.iter().copied().find(|group| group.iter().all(|word| contains(text, word)));
        found.filter(|_| class_fits && !spoiled)
    }
}

/// The candidates in the order that the text suggests.
fn ordered(symptom: &Symptom, text: &str) -> Vec<&'static str> {
    let mut candidates = symptom.candidates.to_vec();
    // A certificate without any Kubernetes name belongs to another service.
    if symptom.name == "valid-for-other-names" && !text.contains("kubernetes") {
        candidates.reverse();
    }
    candidates
}

/// Lower case, cut, and with single spaces, so that wrapped text fits too.
fn normalised(text: &str) -> String {
    let mut end = text.len().min(MAXIMUM_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let mut normal = String::with_capacity(end);
    for word in text[..end].split_whitespace() {
        if !normal.is_empty() {
            normal.push(' ');
        }
        normal.push_str(&word.to_ascii_lowercase());
    }
    normal
}

/// Whether a fragment stands in a text, not inside a longer word or number.
fn contains(text: &str, fragment: &str) -> bool {
    let inside = |edge: Option<char>, beyond: Option<char>| {
        edge.is_some_and(|edge| edge.is_ascii_alphanumeric())
            && beyond.is_some_and(|beyond| beyond.is_ascii_alphanumeric())
    };
    text.match_indices(fragment).any(|(start, found)| {
        !inside(found.chars().next(), text[..start].chars().next_back())
            && !inside(found.chars().next_back(), text[start + found.len()..].chars().next())
    })
}

/// Class of the address that was dialled: of `dial tcp 10.0.0.1:443: …`, and not of a resolver or proxy.
fn dialled_class(text: &str) -> Option<AddressClass> {
    text.match_indices("dial tcp ").take(MAXIMUM_DIALS).find_map(|(start, found)| {
        let rest = &text[start + found.len()..];
        let endpoint = rest.split([' ', '-']).next()?.trim_end_matches(':');
        let (host, _) = endpoint.rsplit_once(':')?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let address: IpAddr = host.split('%').next()?.parse().ok()?;
        Some(AddressClasses::default().of(address))
    })
}

/// Whether a provider's cause may stand beside a text that names a host of one provider.
fn fits_provider(code: &str, text: &str) -> bool {
    let amazon = [".eks.amazonaws.com", ".api.aws", ".eks-cluster."].iter().any(|host| text.contains(host));
    let azure = [".azmk8s.", "k8sapiserver", "vmextension"].iter().any(|host| text.contains(host));
    let of = |scopes: [&str; 2]| {
        scopes.iter().any(|scope| code.starts_with(scope))
            || code.contains("-aks-") && scopes[0] == "aks-"
            || code.contains("-eks-") && scopes[0] == "eks-"
    };
    match (amazon, azure) {
        (true, false) => !of(["aks-", "azure-"]),
        (false, true) => !of(["eks-", "vpc-"]),
        _ => true,
    }
}

const MAXIMUM_TEXT: usize = 64 * 1024;
const MAXIMUM_DIALS: usize = 64;

/// Names of a lookup that fails, beside which an address in the text is the resolver's.
const LOOKUP: &[&str] = &["lookup", "proxyconnect"];

/// The decision guide, the most specific symptom first.
pub const SYMPTOMS: &[Symptom] = &[
    Symptom {
        name: "no-server",
        meaning: "kubectl found no server in a kubeconfig and tried its default, this very machine",
        words: &[
            &["localhost:8080", "refused"],
            &["127.0.0.1:8080", "refused"],
            &["[::1]:8080", "refused"],
            &["no configuration has been provided"],
            &["invalid configuration"],
            &["context", "does not exist"],
            &["error loading config file"],
        ],
        without: &[],
        address: None,
        candidates: &["client-kubeconfig-unusable"],
        splits: "does the kubeconfig name a server? `kubectl config view --minify`",
    },
    Symptom {
        name: "plugin",
        meaning: "kubectl could not run the command that fetches its credentials, before it sent anything",
        words: &[&["getting credentials"], &["exec plugin"], &["executable", "not found"]],
        without: &[],
        address: None,
        candidates: &["client-exec-plugin-unavailable", "http-identity-not-permitted"],
        splits: "is the command on PATH, and does its token service answer?",
    },
    Symptom {
        name: "proxy",
        meaning: "the connection goes through a proxy, and that is where it failed",
        words: &[
            &["proxyconnect"],
            &["proxy authentication required"],
            &["407"],
            &["bad gateway"],
            &["502"],
            &["gateway timeout"],
            &["unknown proxy"],
            &["socks connect"],
        ],
        without: &["the server was unable to return a response", "error dialing backend"],
        address: None,
        candidates: &["client-proxy-fails", "client-proxy-not-bypassed", "client-proxy-settings-invalid"],
        splits: "the same probe directly, without the proxy: `kubereach doctor` shows both paths",
    },
    Symptom {
        name: "proxy-as-a-name",
        meaning: "the scheme of a proxy's URL was looked up as if it were a host",
        words: &[&["lookup socks5h"], &["lookup socks5"], &["lookup http"], &["lookup https"]],
        without: &[],
        address: None,
        candidates: &["client-proxy-settings-invalid"],
        splits: "the values of HTTPS_PROXY and https_proxy",
    },
    Symptom {
        name: "tunnel",
        meaning: "the API server answers, but its own way to the node is broken; your path is fine",
        words: &[&["error dialing backend"], &["no agent available"]],
        without: &[],
        address: None,
        candidates: &["http-api-tunnel-down"],
        splits: "the health of the API from the same vantage, then port 10250 from the control plane",
    },
    Symptom {
        name: "node-connection",
        meaning: "a node of AKS could not connect to the API server while it was set up (exit 51)",
        words: &[
            &["k8sapiserverconnfail"],
            &["vmextensionerror_k8sapiserverconnfail"],
            &["exit status 51"],
            &["exit code 51"],
            &["exit=51"],
            &["exitcode: 51"],
            &["exit status=51"],
            &["exit 51"],
        ],
        without: &[],
        address: None,
        candidates: &[
            "aks-cluster-egress-not-in-authorized-ip-ranges",
            "azure-nsg-denies-443",
            "azure-udr-diverts-endpoint",
            "azure-firewall-lacks-endpoint-rule",
        ],
        splits: "a probe from the node's subnet, and its egress address against the authorized IP ranges",
    },
    Symptom {
        name: "node-lookup",
        meaning: "a node of AKS could not resolve the API server's name while it was set up (exit 52)",
        words: &[
            &["k8sapiserverdnslookupfail"],
            &["vmextensionerror_k8sapiserverdnslookupfail"],
            &["exit status 52"],
            &["exit code 52"],
            &["exit=52"],
            &["exitcode: 52"],
            &["exit status=52"],
            &["exit 52"],
        ],
        without: &[],
        address: None,
        candidates: &["azure-custom-dns-not-forwarding", "aks-private-zone-not-linked", "aks-private-zone-shadowed"],
        splits: "the same name asked of 168.63.129.16 and of the VNet's own DNS servers, from the node's subnet",
    },
    Symptom {
        name: "expired",
        meaning: "by this machine's clock the certificate is past its end",
        words: &[&["certificate has expired or is not yet valid", "is after"], &["certificate has expired"]],
        without: &["is before"],
        address: None,
        candidates: &["client-clock-skew", "tls-certificate-expired"],
        splits: "the HTTP `Date` of two hosts against the local clock",
    },
    Symptom {
        name: "not-yet-valid",
        meaning: "by this machine's clock the certificate has not begun",
        words: &[&["certificate has expired or is not yet valid"], &["certificate is not yet valid"]],
        without: &["is after"],
        address: None,
        candidates: &["client-clock-skew", "tls-certificate-not-yet-valid", "tls-certificate-expired"],
        splits: "the HTTP `Date` of two hosts against the local clock",
    },
    Symptom {
        name: "valid-for-other-names",
        meaning: "the certificate is for other names than the one that was asked for",
        words: &[
            &["certificate is valid for"],
            &["doesn't contain any ip sans"],
            &["not valid for any names"],
            &["certificate is not valid for"],
            &["cannot validate certificate for"],
        ],
        without: &[],
        address: None,
        candidates: &["tls-name-not-in-certificate", "tls-answered-by-other-service"],
        splits: "does the chain verify with the cluster's own CA?",
    },
    Symptom {
        name: "unknown-authority",
        meaning: "the certificate leads to no authority that the kubeconfig trusts",
        words: &[
            &["certificate signed by unknown authority"],
            &["unknown authority"],
            &["certificate is not trusted"],
            &["self-signed certificate"],
            &["self signed certificate"],
        ],
        without: &[],
        address: None,
        candidates: &[
            "tls-inspected-by-proxy",
            "eks-ca-rotation-not-trusted",
            "tls-cluster-ca-stale",
            "tls-answered-by-other-service",
            "client-kubeconfig-server-not-this-cluster",
        ],
        splits: "issuer and names of the chain: `openssl s_client -connect <host>:443 -showcerts`; then the provider's CA",
    },
    Symptom {
        name: "not-tls",
        meaning: "what answers does not speak TLS",
        words: &[&["first record does not look like a tls handshake"], &["http response to https client"]],
        without: &[],
        address: None,
        candidates: &["tls-answered-by-other-service", "http-not-a-kubernetes-api", "client-proxy-settings-invalid"],
        splits: "the first bytes of the answer",
    },
    Symptom {
        name: "handshake-timeout",
        meaning: "TCP connected, and then the TLS handshake did not finish",
        words: &[&["tls handshake timeout"]],
        without: &["proxyconnect"],
        address: None,
        candidates: &[
            "propagation-eks-update-in-progress",
            "net-mtu-black-hole",
            "tls-sni-filtered",
            "tls-large-client-hello-dropped",
            "tls-handshake-times-out",
            "client-proxy-fails",
        ],
        splits: "the handshake again with small segments, then with classical key shares, then without SNI",
    },
    Symptom {
        name: "handshake-refused",
        meaning: "the peer ended the TLS handshake with an alert",
        words: &[&["remote error: tls"], &["tls: handshake failure"], &["tls: protocol version"]],
        without: &[],
        address: None,
        candidates: &["tls-handshake-refused", "tls-sni-filtered", "http-identity-not-permitted"],
        splits: "the alert, and the versions that were offered",
    },
    Symptom {
        name: "no-such-host",
        meaning: "the resolver says that the name does not exist",
        words: &[&["no such host"], &["name or service not known"], &["nodename nor servname"], &["nxdomain"]],
        without: &["proxyconnect"],
        address: None,
        candidates: &[
            "dns-name-does-not-exist",
            "dns-private-answer-filtered",
            "dns-wrong-view-for-vantage",
            "aks-private-zone-not-linked",
            "azure-custom-dns-not-forwarding",
            "eks-public-dns-not-switched-to-private",
            "aks-private-zone-record-wrong",
            "aks-private-zone-shadowed",
            "aks-kubeconfig-uses-wrong-fqdn",
            "client-proxy-bypassed-but-needed",
        ],
        splits: "the same name asked of a public resolver and of the network's own: private, public or none?",
    },
    Symptom {
        name: "resolver-fails",
        meaning: "the resolver did not answer, or answered with an error",
        words: &[
            &["lookup", "i/o timeout"],
            &["server misbehaving"],
            &["temporary failure in name resolution"],
            &["lookup", "connection refused"],
            &["lookup", "network is unreachable"],
        ],
        without: &["proxyconnect", "no such host"],
        address: None,
        candidates: &[
            "dns-resolver-unreachable",
            "dns-resolver-returns-error",
            "azure-custom-dns-not-forwarding",
            "vpc-dns-support-disabled",
            "inconclusive-prober-offline",
        ],
        splits: "the same question over TCP port 53, and to another resolver",
    },
    Symptom {
        name: "private-silent",
        meaning: "packets to a private address get no answer",
        words: &[
            &["i/o timeout"],
            &["context deadline exceeded"],
            &["client.timeout exceeded"],
            &["connection timed out"],
            &["operation timed out"],
        ],
        without: LOOKUP,
        address: Some(AddressClass::Private),
        candidates: &[
            "client-not-on-connected-network",
            "client-local-route-captures-endpoint",
            "eks-control-plane-sg-blocks-client",
            "vpc-prefix-list-lacks-client",
            "vpc-client-sg-blocks-egress",
            "vpc-nacl-denies-request",
            "vpc-nacl-denies-return",
            "vpc-no-route-to-cluster",
            "vpc-no-return-route",
            "vpc-peering-does-not-carry-traffic",
            "vpc-tgw-attachment-not-usable",
            "vpc-tgw-route-missing",
            "aks-private-endpoint-not-usable",
            "azure-peering-does-not-carry-traffic",
            "azure-nsg-denies-443",
            "azure-udr-diverts-endpoint",
            "net-endpoint-addresses-changed",
            "dns-stale-answer",
            "net-filtered-silently",
        ],
        splits: "`ip route get <address>`; then a vantage in the endpoint's own subnet: connects → the path between, silent → security group or endpoint",
    },
    Symptom {
        name: "public-silent",
        meaning: "packets to a public address get no answer",
        words: &[
            &["i/o timeout"],
            &["context deadline exceeded"],
            &["client.timeout exceeded"],
            &["connection timed out"],
            &["operation timed out"],
            &["request canceled while waiting for connection"],
        ],
        without: LOOKUP,
        address: Some(AddressClass::Public),
        candidates: &[
            "eks-client-not-in-public-access-cidrs",
            "aks-client-not-in-authorized-ip-ranges",
            "propagation-aks-authorized-ip-ranges",
            "propagation-eks-update-in-progress",
            "aks-authorized-ip-ranges-outbound-only",
            "net-egress-address-not-as-declared",
            "vpc-no-internet-egress",
            "aks-cluster-stopped",
            "net-filtered-silently",
        ],
        splits: "the same address from a vantage known to be listed: connects → allow-list, silent → the cluster's side; then this path's egress address against the list",
    },
    Symptom {
        name: "refused",
        meaning: "somebody answered and refused, so no silent allow-list is to blame",
        words: &[&["connection refused"], &["was refused"], &["actively refused"]],
        without: &["localhost:8080", "127.0.0.1:8080", "[::1]:8080", "lookup", "proxyconnect"],
        address: None,
        candidates: &["net-port-closed", "aks-cluster-not-ready", "aks-cluster-stopped", "net-rejected-by-filter"],
        splits: "the delay against the path's round-trip time; the cluster's power and provisioning state",
    },
    Symptom {
        name: "no-route",
        meaning: "this machine or a router knows no way there, or forbids it",
        words: &[
            &["no route to host"],
            &["network is unreachable"],
            &["host is unreachable"],
            &["host is down"],
            &["permission denied", "dial tcp"],
            &["cannot assign requested address"],
        ],
        without: LOOKUP,
        address: None,
        candidates: &[
            "client-no-path-for-address-family",
            "net-no-route-to-address",
            "net-rejected-by-filter",
            "client-local-route-captures-endpoint",
            "azure-udr-diverts-endpoint",
            "inconclusive-prober-offline",
        ],
        splits: "the other address family, and the time to the error: 0 ms local, 3.1 s a dead neighbour, else a router",
    },
    Symptom {
        name: "cut-off",
        meaning: "the connection stood and was then cut off",
        words: &[
            &["connection reset by peer"],
            &["eof"],
            &["forcibly closed"],
            &["broken pipe"],
            &["http2: client connection lost"],
        ],
        without: &["proxyconnect"],
        address: None,
        candidates: &[
            "tls-sni-filtered",
            "azure-firewall-lacks-endpoint-rule",
            "tls-handshake-refused",
            "net-idle-connection-reset",
            "http-no-response-after-tls",
        ],
        splits: "a handshake with the same address without SNI",
    },
    Symptom {
        name: "no-response",
        meaning: "the TLS connection stands, and no answer to the request comes",
        words: &[
            &["timeout awaiting response headers"],
            &["http2: timeout awaiting"],
            &["client.timeout exceeded while awaiting headers"],
        ],
        without: LOOKUP,
        address: None,
        candidates: &["http-no-response-after-tls", "http-server-degraded"],
        splits: "the same request over HTTP/1.1 on a fresh connection",
    },
    Symptom {
        name: "identity",
        meaning: "the network is fine: the API server answered and does not accept the identity",
        words: &[
            &["must be logged in"],
            &["unauthorized"],
            &["401"],
            &["forbidden"],
            &["403"],
            &["the server has asked for the client to provide credentials"],
        ],
        without: &["proxyconnect"],
        address: None,
        candidates: &[
            "http-identity-not-permitted",
            "http-reachable-without-identity",
            "client-clock-skew",
            "client-proxy-not-bypassed",
        ],
        splits: "none on the network, which is fine; `kubectl auth whoami` shows the identity",
    },
    Symptom {
        name: "degraded",
        meaning: "the API server answers, but is overloaded or starting",
        words: &[
            &["service unavailable"],
            &["503"],
            &["too many requests"],
            &["429"],
            &["the server is currently unable to handle the request"],
            &["etcdserver"],
            &["internal server error"],
            &["the server was unable to return a response"],
        ],
        without: &["proxyconnect"],
        address: None,
        candidates: &["http-server-degraded", "client-proxy-fails"],
        splits: "`/livez` and `/readyz` from a second vantage",
    },
    Symptom {
        name: "not-kubernetes",
        meaning: "something answers that is no Kubernetes API server",
        words: &[
            &["the server could not find the requested resource"],
            &["invalid character '<' looking for beginning of value"],
            &["couldn't get current server api group list"],
        ],
        without: &[
            "i/o timeout",
            "refused",
            "no such host",
            "x509",
            "reset by peer",
            "eof",
            "credentials",
            "unauthorized",
        ],
        address: None,
        candidates: &[
            "http-not-a-kubernetes-api",
            "eks-management-endpoint-is-not-kubernetes",
            "client-kubeconfig-server-not-this-cluster",
        ],
        splits: "the answer's body: a page, a redirect, or JSON that is no `Status`",
    },
    Symptom {
        name: "some-addresses",
        meaning: "some addresses of the endpoint answer and others do not",
        words: &[&["sometimes"], &["intermittent"], &["intermittently"]],
        without: &[],
        address: None,
        candidates: &[
            "partial-address-failure",
            "net-intermittent-timeout",
            "vpc-no-return-route",
            "vpc-nacl-denies-return",
            "vpc-tgw-attachment-not-usable",
            "dns-stale-answer",
        ],
        splits: "subnet and availability zone of the good addresses against those of the bad ones",
    },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::causes::by_code;

    fn first(text: &str) -> &'static str {
        rank(text).first().map_or("nothing", |ranked| ranked.code)
    }

    #[test]
    fn every_candidate_is_in_the_list() {
        let mut names = BTreeSet::new();
        for symptom in SYMPTOMS {
            assert!(names.insert(symptom.name), "{} twice", symptom.name);
            for word in symptom.words.iter().copied().flatten().chain(symptom.without) {
                assert_eq!(*word, word.to_ascii_lowercase());
            }
            for code in symptom.candidates {
                assert!(by_code(code).is_some(), "{}: {code} is not in the list", symptom.name);
            }
        }
    }

    #[test]
    fn real_messages_lead_to_their_causes() {
        let get =
            "Unable to connect to the server: Get \"https://ABC.gr7.eu-west-1.eks.amazonaws.com/api?timeout=32s\": ";
        for (text, code) in [
            (
                "The connection to the server localhost:8080 was refused - did you specify the right host or port?",
                "client-kubeconfig-unusable",
            ),
            (
                "Unable to connect to the server: getting credentials: exec: executable aws not found",
                "client-exec-plugin-unavailable",
            ),
            (
                "Unable to connect to the server: proxyconnect tcp: dial tcp 10.0.0.1:3128: i/o timeout",
                "client-proxy-fails",
            ),
            (
                "Unable to connect to the server: proxyconnect tcp: dial tcp: lookup socks5h: no such host",
                "client-proxy-fails",
            ),
            (
                "dial tcp: lookup ABC.gr7.eu-west-1.eks.amazonaws.com on 10.0.0.2:53: no such host",
                "dns-name-does-not-exist",
            ),
            (
                "dial tcp: lookup abc on 10.0.0.2:53: read udp 10.0.0.9:4711->10.0.0.2:53: i/o timeout",
                "dns-resolver-unreachable",
            ),
            ("dial tcp: lookup abc on 127.0.0.53:53: server misbehaving", "dns-resolver-unreachable"),
            ("Unable to connect to the server: dial tcp 10.0.0.1:443: i/o timeout", "client-not-on-connected-network"),
            ("Unable to connect to the server: dial tcp [fd00::1]:443: i/o timeout", "client-not-on-connected-network"),
            ("dial tcp 52.1.2.3:443: connect: connection refused", "net-port-closed"),
            ("dial tcp 52.1.2.3:443: connect: no route to host", "client-no-path-for-address-family"),
            ("net/http: TLS handshake timeout", "propagation-eks-update-in-progress"),
            ("Unable to connect to the server: EOF", "tls-sni-filtered"),
            ("read tcp 10.1.1.1:5000->52.1.2.3:443: read: connection reset by peer", "tls-sni-filtered"),
            (
                "tls: failed to verify certificate: x509: certificate signed by unknown authority",
                "tls-inspected-by-proxy",
            ),
            (
                "x509: certificate is valid for kubernetes, kubernetes.default.svc, not api.example.com",
                "tls-name-not-in-certificate",
            ),
            ("x509: certificate is valid for ingress.local, not api.example.com", "tls-answered-by-other-service"),
            (
                "x509: certificate has expired or is not yet valid: current time 2026-11-22T01:00:00Z is after 2026-01-01T00:00:00Z",
                "client-clock-skew",
            ),
            ("error: You must be logged in to the server (Unauthorized)", "http-identity-not-permitted"),
            (
                "Error from server (Forbidden): pods is forbidden: User \"x\" cannot list resource",
                "http-identity-not-permitted",
            ),
            (
                "Error from server: error dialing backend: dial tcp 10.240.0.5:10250: i/o timeout",
                "http-api-tunnel-down",
            ),
            ("VMExtensionProvisioningError: exit status=51", "aks-cluster-egress-not-in-authorized-ip-ranges"),
            ("VMExtensionError_K8SAPIServerDNSLookupFail", "azure-custom-dns-not-forwarding"),
        ] {
            assert_eq!(first(text), code, "{text}");
        }
        assert_eq!(first(&format!("{get}dial tcp 52.1.2.3:443: i/o timeout")), "eks-client-not-in-public-access-cidrs");
    }

    #[test]
    fn the_host_in_a_message_leaves_only_its_provider() {
        let text = "Get \"https://prod-1a2b.hcp.westeurope.azmk8s.io:443/api\": dial tcp 20.1.2.3:443: i/o timeout";
        let codes: Vec<&str> = rank(text).iter().map(|ranked| ranked.code).collect();
        assert_eq!(codes[0], "aks-client-not-in-authorized-ip-ranges");
        assert!(!codes.iter().any(|code| code.starts_with("eks-") || code.starts_with("vpc-")), "{codes:?}");
    }

    #[test]
    fn a_certificate_before_its_time_is_not_called_expired() {
        let text = "x509: certificate has expired or is not yet valid: current time 2026-01-01T00:00:00Z is before 2026-11-22T00:00:00Z";
        let codes: Vec<&str> = rank(text).iter().map(|ranked| ranked.code).collect();
        assert_eq!(codes[..2], ["client-clock-skew", "tls-certificate-not-yet-valid"]);
    }

    #[test]
    fn any_text_will_do() {
        assert!(rank("").is_empty());
        assert!(rank("geofence typeof 14013").is_empty());
        assert!(rank(&"\u{1f980}".repeat(40_000)).is_empty());
        assert!(rank(&format!("{}EOF", "x ".repeat(40_000))).is_empty(), "beyond the bound");
        for junk in [
            "dial tcp",
            "dial tcp :",
            "dial tcp [::1",
            "dial tcp 999.1.1.1:443: i/o timeout",
            "dial tcp ]:[ i/o timeout",
        ] {
            let _ = rank(junk);
        }
        let wrapped = "Unable to connect to the server: dial tcp\n  10.0.0.1:443:   i/o\ttimeout";
        assert_eq!(first(wrapped), "client-not-on-connected-network");
    }
}
